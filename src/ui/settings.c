/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Screen 5: what the BMS tells of itself: who it is, how it is set, and what else it reports. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ui/ui.h"

enum { MAX_ENTRIES = TEXT_COUNT + MAX_SETTINGS + MAX_DETAILS, COLUMN_LEAST = 38, GAP = 2 };

struct entry {
	char name[48], value[48];
};

struct entries {
	unsigned n;
	struct entry entry[MAX_ENTRIES];
};

/* Up to six decimals, but no zeros at the end that say nothing: "3.65 V", "280 Ah". */
static void exact_text(double v, const char *unit, char *out, size_t size)
{
	int decimals = 0;

	for (double scaled = v; decimals < 6 && fabs(scaled - round(scaled)) > 1e-6; decimals++)
		scaled *= 10;
	number_text(v, decimals, unit, out, size);
}

static void setting_value(const struct setting *s, const char *unit, char *out, size_t size)
{
	switch (s->kind) {
	case SETTING_NUMBER:
		exact_text(s->number, unit, out, size);
		break;
	case SETTING_SWITCH:
		snprintf(out, size, "%s", s->number != 0 ? "on" : "off");
		break;
	case SETTING_TEXT:
		snprintf(out, size, "%s", s->text);
		break;
	}
}

static void add(struct entries *e, const char *filter, const struct entry *one)
{
	if (e->n < MAX_ENTRIES && (text_has(one->name, filter) || text_has(one->value, filter)))
		e->entry[e->n++] = *one;
}

static void collect(const struct snapshot *s, const char *filter, struct entries *e)
{
	struct entry one;
	char unit[8];

	e->n = 0;
	for (unsigned t = 0; t < TEXT_COUNT; t++) {
		if (!s->reading.text[t][0])
			continue;
		name_and_unit(text_name((enum text)t), one.name, sizeof(one.name), unit, sizeof(unit));
		snprintf(one.value, sizeof(one.value), "%s", s->reading.text[t]);
		add(e, filter, &one);
	}
	for (unsigned i = 0; i < s->settings.count; i++) {
		name_and_unit(s->settings.setting[i].name, one.name, sizeof(one.name), unit, sizeof(unit));
		setting_value(&s->settings.setting[i], unit, one.value, sizeof(one.value));
		add(e, filter, &one);
	}
	for (unsigned i = 0; i < s->reading.detail_count; i++) {
		name_and_unit(s->reading.detail[i].name, one.name, sizeof(one.name), unit, sizeof(unit));
		exact_text(s->reading.detail[i].value, unit, one.value, sizeof(one.value));
		add(e, filter, &one);
	}
}

static void draw_entry(const struct canvas *c, int y, int x, int width, const struct entry *e)
{
	int name = width * 6 / 10;

	put(c, y, x, name, STYLE_NORMAL, "%s", e->name);
	put(c, y, x + name + 1, width - name - 1, STYLE_STRONG, "%s", e->value);
}

static void draw_entries(struct ui *ui, const struct canvas *c, struct area a, const struct entries *e)
{
	int columns = (a.width - 2 + GAP) / (COLUMN_LEAST + GAP);
	struct list_row row[MAX_ENTRIES];
	unsigned rows;

	if (columns < 1)
		columns = 1;
	int width = (a.width - 2 - GAP * (columns - 1)) / columns;
	rows = (e->n + (unsigned)columns - 1) / (unsigned)columns;
	for (unsigned i = 0; i < rows; i++)
		row[i] = (struct list_row){i, 1};
	unsigned first = list_first(&ui->settings, row, rows, a.height);
	for (unsigned i = 0; i < e->n; i++) {
		int line = (int)(i % rows) - (int)first, column = (int)(i / rows);

		if (line >= 0 && line < a.height)
			draw_entry(c, a.y + line, 1 + column * (width + GAP), width, &e->entry[i]);
	}
	put_more(c, a, first > 0, rows - first > (unsigned)a.height);
}

static void settings_draw(struct ui *ui, const struct canvas *c, struct area a)
{
	const struct snapshot *s = ui_pack(ui);
	const char *filter = ui->filter[SCREEN_SETTINGS];
	struct entries e;

	if (!s) {
		put(c, a.y + 1, 2, a.width - 3, STYLE_NORMAL, "No battery yet.");
		return;
	}
	collect(s, filter, &e);
	put(c, a.y, 1, a.width - 2, STYLE_LABEL, "%u value%s%s%s, read from the BMS%s", e.n, e.n == 1 ? "" : "s",
	    *filter ? " with " : "", filter, s->identified ? "" : "; it is still being asked");
	draw_entries(ui, c, (struct area){a.y + 1, 0, a.height - 1, a.width}, &e);
}

static bool settings_key(struct ui *ui, int key)
{
	return list_key(&ui->settings, key, frame_body(ui).height - 1);
}

static const char *const help[] = {
	"/\tonly names or values with this text, as in: ovp",
	NULL,
};

const struct screen settings_screen = {
	.title = "Settings",
	.keys = "↑↓ scroll",
	.help = help,
	.lists = true,
	.draw = settings_draw,
	.key = settings_key,
};
