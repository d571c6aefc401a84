/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Screen 7: what bmscope has to say. */
#include <stdio.h>
#include <string.h>

#include "ui/ui.h"

enum { LEVEL_X = 10, TEXT_X = 19 };

static const struct {
	const char *word;
	enum style style;
} levels[] = {
	[LOG_ERROR] = {"ERROR", STYLE_BAD},
	[LOG_WARNING] = {"warning", STYLE_WARNING},
	[LOG_INFO] = {"info", STYLE_NORMAL},
	[LOG_DEBUG] = {"debug", STYLE_LABEL},
};

static bool shown(const struct ui *ui, const struct log_row *row)
{
	return row->level <= ui->log.level && row->text && text_has(row->text, ui->filter[SCREEN_LOG]);
}

static int text_lines(const char *text, int width, enum glyphs glyphs)
{
	int n = 0;

	do {
		wrap_line(text, width, glyphs, &text);
		n++;
	} while (*text);
	return n;
}

/* y may lie above the area: what is above is not drawn. */
static void draw_row(const struct canvas *c, int y, struct area a, int width, const struct log_row *row)
{
	const char *text = row->text, *next;
	char stamp[16];

	if (y >= a.y) {
		clock_text(row->wall, stamp, sizeof(stamp));
		put(c, y, 1, 8, STYLE_LABEL, "%s", stamp);
		put(c, y, LEVEL_X, 8, levels[row->level].style, "%s", levels[row->level].word);
	}
	do {
		size_t n = wrap_line(text, width, c->term->glyphs, &next);

		if (y >= a.y)
			put(c, y, TEXT_X, width, STYLE_NORMAL, "%.*s", (int)n, text);
		y++;
		text = next;
	} while (*text && y < a.y + a.height);
}

static void log_draw(struct ui *ui, const struct canvas *c, struct area a)
{
	const struct view *v = &ui->view;
	const char *filter = ui->filter[SCREEN_LOG];
	struct list_row row[VIEW_LOG_ROWS];
	int width = a.width - TEXT_X - 1;
	uint64_t oldest = v->log_last > VIEW_LOG_ROWS ? v->log_last - VIEW_LOG_ROWS : 0;
	unsigned n = 0;

	for (uint64_t i = oldest + 1; i <= v->log_last; i++)
		if (shown(ui, &v->log[i % VIEW_LOG_ROWS]))
			row[n++] = (struct list_row){
				i, text_lines(v->log[i % VIEW_LOG_ROWS].text, width, ui->term.glyphs)};
	put(c, a.y, 1, a.width - 2, STYLE_LABEL, "%u line%s, %s%s%s%s%s", n, n == 1 ? "" : "s",
	    ui->log.level == LOG_ERROR ? "only " : "up to ", levels[ui->log.level].word, *filter ? ", only with " : "",
	    filter, ui->log.list.follow ? "" : "; scrolled back, End follows again");
	a.y++;
	a.height--;
	unsigned first = list_first(&ui->log.list, row, n, a.height);
	int y = a.y - ui->log.list.skip, end = a.y + a.height;
	for (unsigned i = first; i < n && y < end; i++) {
		draw_row(c, y, a, width, &v->log[row[i].number % VIEW_LOG_ROWS]);
		y += row[i].height;
	}
	put_more(c, a, first > 0, y >= end && !ui->log.list.follow);
}

static bool log_key(struct ui *ui, int key)
{
	if (key != 'l')
		return list_key(&ui->log.list, key, frame_body(ui).height - 1);
	ui->log.level = ui->log.level == LOG_DEBUG ? LOG_ERROR : (enum log_level)(ui->log.level + 1);
	return true;
}

static const char *const help[] = {
	"l\tthe least important level that is shown: error, warning, info, debug",
	"/\tonly lines with this text",
	NULL,
};

const struct screen log_screen = {
	.title = "Log",
	.keys = "↑↓ scroll  l level",
	.help = help,
	.lists = true,
	.draw = log_draw,
	.key = log_key,
};
