/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the keys do: those of the screen that was left, and those that work everywhere. */
#include <stdio.h>
#include <string.h>

#include "ui/ui.h"

static const char *const everywhere[] = {
	"1 .. 7\tgo to this screen; Tab and Shift-Tab go to the next and the one before",
	"[  ]\tthe battery before, the next battery: all screens show the chosen one",
	"c\ttell this battery to do something (charge, discharge, balance, SoC); asks first",
	"r\trecord every byte to a file; once more ends the recording",
	":\tcommand line: set charge off, record FILE, record stop, pack 2, cells, quit",
	"/\tfind: only lines with this text; Esc shows all again",
	"↑ ↓\tmove by a line; PgUp, PgDn by a page; Home, End to the ends (also j, k, blank)",
	"?\tthis help, and back",
	"^L\tdraws the screen anew",
	"q\tquit",
	NULL,
};

static const char *const marks[] = {
	"--\tthe BMS does not report this",
	"▲  ▼\tthe highest and the lowest cell",
	"⇅\tthis cell is being balanced",
	"● ◐ ○\tthe battery answers; its values are old; it is lost",
	NULL,
};

enum { MAX_ROWS = 64, KEY_X = 3, TEXT_X = 12 };

struct help_rows {
	struct list_row row[MAX_ROWS];
	const char *text[MAX_ROWS]; /* with a tab: key and meaning; else a heading */
	unsigned n;
};

static void add(struct help_rows *h, const char *text)
{
	if (h->n == MAX_ROWS)
		return;
	h->row[h->n] = (struct list_row){h->n, 1};
	h->text[h->n++] = text;
}

static void add_all(struct help_rows *h, const char *heading, const char *const *lines)
{
	if (!lines)
		return;
	if (h->n)
		add(h, "");
	add(h, heading);
	while (*lines)
		add(h, *lines++);
}

/* Draws the rows of a text as far as they lie between top and end; c NULL: only counts them. */
static int text_rows(const struct canvas *c, enum glyphs glyphs, int y, int top, int end, int width, const char *text)
{
	const char *tab = strchr(text, '\t'), *at = tab ? tab + 1 : text;
	int rows = 0;

	if (c && tab && y >= top)
		put(c, y, KEY_X, TEXT_X - KEY_X - 1, STYLE_KEY, "%.*s", (int)(tab - text), text);
	do {
		size_t n = wrap_line(at, tab ? width - TEXT_X - 2 : width - 2, glyphs, &text);

		if (c && y + rows >= top && y + rows < end)
			put(c, y + rows, tab ? TEXT_X : 1, width, tab ? STYLE_NORMAL : STYLE_STRONG, "%.*s", (int)n,
			    at);
		rows++;
		at = text;
	} while (*at);
	return rows;
}

void help_draw(struct ui *ui, const struct canvas *c, struct area a)
{
	static const struct screen *const screens[SCREENS] = {
		&packs_screen,	  &cells_screen,   &limits_screen, &alarms_screen,
		&settings_screen, &traffic_screen, &log_screen,
	};
	const struct screen *s = screens[ui->screen];
	struct help_rows h = {.n = 0};
	char heading[40];

	snprintf(heading, sizeof(heading), "On the screen %s", s->title);
	add_all(&h, heading, s->help);
	add_all(&h, "Everywhere", everywhere);
	add_all(&h, "Marks", marks);
	for (unsigned i = 0; i < h.n; i++)
		h.row[i].height = text_rows(NULL, ui->term.glyphs, 0, 0, 0, a.width, h.text[i]);
	unsigned first = list_first(&ui->help, h.row, h.n, a.height), i = first;
	int y = a.y - ui->help.skip, end = a.y + a.height;
	for (; i < h.n && y < end; i++)
		y += text_rows(c, ui->term.glyphs, y, a.y, end, a.width, h.text[i]);
	put_more(c, a, first > 0, i < h.n || y > end);
}
