/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dbus_sample.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const struct protocol sample_protocol = {
	.id = "sample",
	.manufacturer = "Sample",
	.link = LINK_SERIAL,
	.alarms = 1 << ALARM_HIGH_VOLTAGE | 1 << ALARM_LOW_VOLTAGE | 1 << ALARM_HIGH_TEMPERATURE |
		  1 << ALARM_INTERNAL_FAILURE,
	.commands = 1 << COMMAND_SOC | 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE | 1 << COMMAND_BALANCE,
	.experimental = 1 << COMMAND_BALANCE,
};

void sample_unknown_limits(struct limits_output *o)
{
	double *const number[] = {
		&o->voltage,
		&o->current,
		&o->power,
		&o->soc,
		&o->cell_min,
		&o->cell_max,
		&o->cell_sum,
		&o->cell_diff,
		&o->temp,
		&o->temp_min,
		&o->temp_max,
		&o->temp_mos,
		&o->temp_sensor[0],
		&o->temp_sensor[1],
		&o->temp_sensor[2],
		&o->temp_sensor[3],
		&o->current_avg,
		&o->capacity_remaining,
		&o->capacity_consumed,
		&o->v_max,
		&o->v_min,
		&o->cvl_ctl,
		&o->cvl,
		&o->ccl.limit,
		&o->dcl.limit,
		&o->ttg,
		&o->mid,
		&o->mid_dev,
		&o->history.deepest,
		&o->history.last,
		&o->history.average,
		&o->history.total,
		&o->history.cycles,
		&o->history.full_discharges,
		&o->history.syncs,
		&o->history.vmin,
		&o->history.vmax,
		&o->history.cell_min,
		&o->history.cell_max,
		&o->history.temp_min,
		&o->history.temp_max,
		&o->history.since_full,
		&o->history.low_voltage_alarms,
		&o->history.high_voltage_alarms,
		&o->history.energy_out,
		&o->history.energy_in,
	};

	memset(o, 0, sizeof(*o));
	for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		*number[i] = NAN;
	o->alarm_hv = o->alarm_hcv = -1;
}

static void fill_limits(struct limits_output *o)
{
	sample_unknown_limits(o);
	o->voltage = 13.2;
	o->current = -5;
	o->power = -66;
	o->soc = 80;
	o->cell_min = 3.299;
	o->cell_max = 3.301;
	o->cell_sum = 13.2;
	o->cell_diff = 0.002;
	o->cell_min_no = 3;
	o->cell_max_no = 2;
	o->temp = 20.5;
	o->temp_min = o->temp_sensor[0] = 20;
	o->temp_max = o->temp_sensor[1] = 21;
	o->temp_min_no = 1;
	o->temp_max_no = 2;
	o->current_avg = -5;
	o->capacity_remaining = 80;
	o->capacity_consumed = -20;
	o->v_max = o->cvl_ctl = o->cvl = 13.8;
	o->v_min = 11.6;
	o->phase = CHARGE_BULK;
	o->ccl = (struct current_limit){.limit = 50, .why = REASON_CONFIG, .allow = true, .io = true};
	o->dcl = (struct current_limit){.limit = 60, .why = REASON_CONFIG, .allow = true, .io = true};
	o->state = 9;
	o->online_known = o->online = true;
	o->alarm_hv = 0;
	o->ttg = 43200;
	o->history.cycles = 12;
	o->history.last = 0;
}

void sample_battery(struct snapshot *s, const char *port, const char *identifier)
{
	static const double cell[] = {3.3, 3.301, 3.299, 3.3};
	struct reading *r = &s->reading;
	static unsigned ids;

	memset(s, 0, sizeof(*s));
	s->id = ++ids;
	s->state = PACK_ONLINE;
	s->protocol = &sample_protocol;
	s->identified = true;
	snprintf(s->port, sizeof(s->port), "%s", port);
	snprintf(s->identifier, sizeof(s->identifier), "%s", identifier);
	s->mode = LIMITS_LINEAR;
	s->reading_ms = 1000;
	s->polls = 1;
	reading_set_text(r, T_MODEL, "Sample 4S");
	reading_set(r, Q_CELL_COUNT, 4);
	reading_set(r, Q_CAPACITY_FULL_AH, 100);
	reading_set(r, Q_CAPACITY_REMAINING_AH, 80);
	reading_set(r, Q_SOC_PCT, 80);
	for (unsigned i = 0; i < 4; i++)
		series_set(&r->cell_V, i, cell[i]);
	reading_set_flag(r, F_CHARGE_MOS, true);
	reading_set_flag(r, F_DISCHARGE_MOS, true);
	reading_set_flag(r, F_BALANCE_ENABLED, true);
	alarms_clear(&r->alarms);
	fill_limits(&s->linear);
	s->step = s->linear;
}

void sample_polled(struct snapshot *s)
{
	s->seq++;
	s->polls++;
	s->reading_ms += 1000;
	s->failures = 0;
}
