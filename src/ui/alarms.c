/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Screen 4: what is wrong now, and what was. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ui/ui.h"

/* The value that an alarm is about, for who reads it. */
static const struct {
	enum alarm alarm;
	enum quantity q;
} about[] = {
	{ALARM_HIGH_VOLTAGE, Q_VOLTAGE_V},
	{ALARM_LOW_VOLTAGE, Q_VOLTAGE_V},
	{ALARM_HIGH_CELL_VOLTAGE, Q_CELL_MAX_V},
	{ALARM_LOW_CELL_VOLTAGE, Q_CELL_MIN_V},
	{ALARM_LOW_SOC, Q_SOC_PCT},
	{ALARM_HIGH_CHARGE_CURRENT, Q_CURRENT_A},
	{ALARM_HIGH_DISCHARGE_CURRENT, Q_CURRENT_A},
	{ALARM_HIGH_CHARGE_TEMPERATURE, Q_TEMP_MAX_C},
	{ALARM_LOW_CHARGE_TEMPERATURE, Q_TEMP_MIN_C},
	{ALARM_HIGH_TEMPERATURE, Q_TEMP_MAX_C},
	{ALARM_LOW_TEMPERATURE, Q_TEMP_MIN_C},
	{ALARM_HIGH_INTERNAL_TEMPERATURE, Q_TEMP_MOS_C},
};

static void plain_name(const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s", name);
	for (char *p = out; *p; p++)
		if (*p == '_')
			*p = ' ';
}

static enum style level_style(enum alarm_level level)
{
	return level == ALARM_RAISED ? STYLE_BAD : level == ALARM_WARNING ? STYLE_WARNING : STYLE_GOOD;
}

static const char *level_word(enum alarm_level level)
{
	return level == ALARM_RAISED ? "ALARM" : alarm_level_name(level);
}

static void value_text(const struct reading *r, enum alarm a, char *out, size_t size)
{
	out[0] = 0;
	for (size_t i = 0; i < sizeof(about) / sizeof(about[0]); i++) {
		const struct quantity_def *def = quantity_def(about[i].q);

		if (about[i].alarm == a)
			number_text(reading_get(r, about[i].q), def->decimals, def->unit, out, size);
	}
}

/* ---- now ---- */

static void draw_now_line(const struct canvas *c, int y, int width, const char *name, enum alarm_level level,
			  const char *value)
{
	char text[80];

	plain_name(name, text, sizeof(text));
	put(c, y, 2, 8, level_style(level), "%s", level_word(level));
	put(c, y, 11, 40, STYLE_STRONG, "%s", text);
	put(c, y, 52, width - 53, STYLE_NORMAL, "%s", value);
}

/* Returns the lines used. */
static int draw_now(const struct ui *ui, const struct canvas *c, struct area a, const struct snapshot *s)
{
	const struct alarms *alarms = &s->reading.alarms;
	int y = a.y, end = a.y + a.height;
	char value[40];

	if (s->state == PACK_LOST && y < end)
		draw_now_line(c, y++, a.width, "no answer from this battery", ALARM_RAISED, s->error);
	for (unsigned i = 0; i < ALARM_COUNT && y < end; i++) {
		enum alarm_level level = view_alarm_level(s, (enum alarm)i);

		if (level == ALARM_OK)
			continue;
		value_text(&s->reading, (enum alarm)i, value, sizeof(value));
		draw_now_line(c, y++, a.width, alarm_name((enum alarm)i), level, value);
	}
	for (unsigned i = 0; i < alarms->own_count && y < end; i++)
		draw_now_line(c, y++, a.width, alarms->own[i].name, alarms->own[i].level, "");
	(void)ui;
	if (y == a.y && !alarms->known)
		put(c, y++, 2, a.width - 3, STYLE_NORMAL,
		    s->reading_ms ? "This BMS does not report alarms." : "No reading yet.");
	else if (y == a.y)
		put(c, y++, 2, a.width - 3, STYLE_GOOD, "No alarm, no warning.");
	return y - a.y;
}

/* ---- history ---- */

static void time_words(double wall, char *out, size_t size)
{
	time_t t = (time_t)wall;
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(out, size, "%m-%d %H:%M:%S", &tm);
}

static void draw_past(const struct canvas *c, int y, int width, const struct alarm_row *row, bool several)
{
	char name[60], raised[24], cleared[24] = "still there", lasted[24] = "";

	plain_name(row->name, name, sizeof(name));
	time_words(row->raised, raised, sizeof(raised));
	if (row->cleared > 0) {
		clock_text(row->cleared, cleared, sizeof(cleared));
		age_text((uint64_t)(fmax(row->cleared - row->raised, 0) * 1000), lasted, sizeof(lasted));
	}
	put(c, y, 2, 8, level_style(row->level), "%s", level_word(row->level));
	put(c, y, 11, 26, STYLE_STRONG, "%s", name);
	put(c, y, 38, 14, STYLE_NORMAL, "%s", raised);
	put(c, y, 54, 11, row->cleared > 0 ? STYLE_NORMAL : STYLE_WARNING, "%s", cleared);
	put(c, y, 66, 9, STYLE_NORMAL, "%s", lasted);
	if (several)
		put(c, y, 76, width - 77, STYLE_LABEL, "%s", row->pack_name);
}

static bool shown(const struct ui *ui, const struct alarm_row *row)
{
	char name[60];

	plain_name(row->name, name, sizeof(name));
	return text_has(name, ui->filter[SCREEN_ALARMS]) || text_has(row->pack_name, ui->filter[SCREEN_ALARMS]);
}

static void draw_history(struct ui *ui, const struct canvas *c, struct area a)
{
	const struct view *v = &ui->view;
	struct list_row row[VIEW_ALARM_ROWS];
	uint64_t kept = v->alarm_last < VIEW_ALARM_ROWS ? v->alarm_last : VIEW_ALARM_ROWS;
	unsigned n = 0;

	put_rule(c, a.y, 0, a.width);
	put(c, a.y, 2, a.width - 4, STYLE_LABEL, " since bmscope began%s%s ",
	    ui->filter[SCREEN_ALARMS][0] ? ", only with " : "", ui->filter[SCREEN_ALARMS]);
	if (a.width >= 76) {
		put(c, a.y, 38, 8, STYLE_LABEL, " raised ");
		put(c, a.y, 54, 9, STYLE_LABEL, " cleared ");
		put(c, a.y, 66, 8, STYLE_LABEL, " lasted ");
	}
	a.y++;
	a.height--;
	/* Newest first: rows count downwards from the newest, so that it stays on top. */
	for (uint64_t i = 0; i < kept; i++)
		if (shown(ui, &v->alarm[(v->alarm_last - i) % VIEW_ALARM_ROWS]))
			row[n++] = (struct list_row){i, 1};
	if (!n)
		put(c, a.y, 2, a.width - 3, STYLE_NORMAL, "nothing");
	unsigned first = list_first(&ui->alarms, row, n, a.height);
	for (unsigned i = first; i < n && (int)(i - first) < a.height; i++)
		draw_past(c, a.y + (int)(i - first), a.width,
			  &v->alarm[(v->alarm_last - row[i].number) % VIEW_ALARM_ROWS], v->pack_count > 1);
	put_more(c, a, first > 0, n - first > (unsigned)a.height);
}

static void alarms_draw(struct ui *ui, const struct canvas *c, struct area a)
{
	const struct snapshot *s = ui_pack(ui);
	int used = 0;

	if (!s)
		put(c, a.y + used++, 2, a.width - 3, STYLE_NORMAL, "No battery yet.");
	else
		used = draw_now(ui, c, (struct area){a.y, 0, a.height - 3, a.width}, s);
	draw_history(ui, c, (struct area){a.y + used, 0, a.height - used, a.width});
}

static bool alarms_key(struct ui *ui, int key)
{
	return list_key(&ui->alarms, key, frame_body(ui).height / 2);
}

static const char *const help[] = {
	"ALARM\tthe BMS has acted, or is about to; warning: it asks for attention",
	NULL,
};

const struct screen alarms_screen = {
	.title = "Alarms",
	.keys = "↑↓ history",
	.help = help,
	.lists = true,
	.draw = alarms_draw,
	.key = alarms_key,
};
