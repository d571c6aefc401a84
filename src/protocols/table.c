/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/table.h"

static bool inside(struct bytes frame, uint16_t off, enum raw_type type)
{
	return bytes_has(frame, off, raw_size(type));
}

void table_numbers(const struct number_row *row, size_t n, struct bytes frame, struct reading *r)
{
	for (; n--; row++)
		if (inside(frame, row->off, row->type))
			reading_set(r, row->quantity, (raw_at(frame, row->off, row->type) + row->add) / row->divisor);
}

void table_details(const struct detail_row *row, size_t n, struct bytes frame, struct reading *r)
{
	for (; n--; row++)
		if (inside(frame, row->off, row->type))
			reading_set_detail(r, row->name,
					   (raw_at(frame, row->off, row->type) + row->add) / row->divisor);
}

void table_settings(const struct setting_row *row, size_t n, struct bytes frame, struct settings *s)
{
	for (; n--; row++) {
		if (!inside(frame, row->off, row->type))
			continue;
		double v = (raw_at(frame, row->off, row->type) + row->add) / row->divisor;

		if (row->kind == SETTING_SWITCH)
			settings_set_switch(s, row->name, v != 0);
		else
			settings_set_number(s, row->name, v);
	}
}

void table_texts(const struct text_row *row, size_t n, struct bytes frame, struct reading *r)
{
	char text[MAX_TEXT];

	for (; n--; row++) {
		if (!bytes_has(frame, row->off, row->n))
			continue;
		bytes_text(bytes_sub(frame, row->off, row->n), text, sizeof(text));
		reading_set_text(r, row->text, text);
	}
}

void table_alarms(const struct alarm_row *row, size_t n, uint64_t word, struct alarms *a)
{
	a->known = true;
	for (; n--; row++) {
		if (!(word >> row->bit & 1) || row->level == ALARM_OK)
			continue;
		if (row->alarm != ALARM_COUNT)
			alarm_raise(a, row->alarm, row->level);
		if (row->name)
			alarm_raise_own(a, row->name, row->level);
	}
}
