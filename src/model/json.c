/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/json.h"

#include <math.h>

json_t *json_from_number(double v)
{
	if (v == rint(v) && fabs(v) < 1e15)
		return json_integer((json_int_t)v);
	return json_real(v);
}

static json_t *series_to_json(const struct series *s)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < s->count; i++)
		json_array_append_new(a, series_knows(s, i) ? json_from_number(s->value[i]) : json_null());
	return a;
}

static json_t *balancing_to_json(const struct reading *r)
{
	json_t *a = json_array();
	unsigned cells = reading_knows(r, Q_CELL_COUNT) ? (unsigned)reading_get(r, Q_CELL_COUNT) : r->cell_V.count;

	for (unsigned i = 0; i < cells && i < MAX_CELLS; i++)
		json_array_append_new(a, json_boolean(r->balancing >> i & 1));
	return a;
}

json_t *alarms_to_json(const struct alarms *a)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < ALARM_COUNT; i++)
		if (a->level[i] != ALARM_OK)
			json_object_set_new(o, alarm_name((enum alarm)i),
					    json_string(alarm_level_name((enum alarm_level)a->level[i])));
	for (unsigned i = 0; i < a->own_count; i++)
		json_object_set_new(o, a->own[i].name, json_string(alarm_level_name(a->own[i].level)));
	return o;
}

json_t *reading_to_json(const struct reading *r)
{
	json_t *o = json_object();

	for (unsigned t = 0; t < TEXT_COUNT; t++)
		if (r->text[t][0])
			json_object_set_new(o, text_name((enum text)t), json_string(r->text[t]));
	for (unsigned q = 0; q < QUANTITY_COUNT; q++)
		if (reading_knows(r, (enum quantity)q))
			json_object_set_new(o, quantity_def((enum quantity)q)->name, json_from_number(r->number[q]));
	for (unsigned f = 0; f < FLAG_COUNT; f++)
		if (r->flag[f] != UNKNOWN)
			json_object_set_new(o, flag_name((enum flag)f), json_boolean(r->flag[f] == ON));
	if (r->cell_V.reported)
		json_object_set_new(o, "cell_V", series_to_json(&r->cell_V));
	if (r->balancing_known)
		json_object_set_new(o, "cell_balancing", balancing_to_json(r));
	if (r->cell_resistance_ohm.reported)
		json_object_set_new(o, "cell_resistance_ohm", series_to_json(&r->cell_resistance_ohm));
	if (r->temperatures.reported)
		json_object_set_new(o, "temperatures", series_to_json(&r->temperatures));
	if (r->alarms.known)
		json_object_set_new(o, "alarms", alarms_to_json(&r->alarms));
	if (r->detail_count) {
		json_t *d = json_object();

		for (unsigned i = 0; i < r->detail_count; i++)
			json_object_set_new(d, r->detail[i].name, json_from_number(r->detail[i].value));
		json_object_set_new(o, "details", d);
	}
	return o;
}

json_t *settings_to_json(const struct settings *s)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < s->count; i++) {
		const struct setting *p = &s->setting[i];
		json_t *v = p->kind == SETTING_TEXT     ? json_string(p->text)
			    : p->kind == SETTING_SWITCH ? json_boolean(p->number != 0)
							: json_from_number(p->number);
		json_object_set_new(o, p->name, v);
	}
	return o;
}

char *json_line(const json_t *j)
{
	return json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(JSON_DIGITS));
}
