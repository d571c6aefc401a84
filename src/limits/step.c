/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One poll from its beginning to its end (section 3), and the state that it begins with. */
#include <stdlib.h>

#include "limits/state.h"

#define SUPPRESSED_SECONDS 1800.0 /* 10.2: so long after a SoC reset */

enum { STATE_STARTING = 0, STATE_RUNNING = 9, STATE_STANDBY = 14 };

/* ---- the beginning ---- */

static void nothing_known(struct limits_output *out)
{
	const struct limit_candidates none = {NAN, NAN, NAN, NAN, NAN, NAN, NAN};
	const struct current_limit limit = {.limit = NAN, .wait_left = NAN, .target = NAN, .candidate = none};

	*out = (struct limits_output){
		.voltage = NAN,
		.current = NAN,
		.power = NAN,
		.soc = NAN,
		.cell_min = NAN,
		.cell_max = NAN,
		.cell_sum = NAN,
		.cell_diff = NAN,
		.temp = NAN,
		.temp_min = NAN,
		.temp_max = NAN,
		.temp_mos = NAN,
		.temp_sensor = {NAN, NAN, NAN, NAN},
		.current_avg = NAN,
		.capacity_remaining = NAN,
		.capacity_consumed = NAN,
		.v_max = NAN,
		.v_min = NAN,
		.cvl_ctl = NAN,
		.cvl = NAN,
		.ccl = limit,
		.dcl = limit,
		.allow_max = true,
		.alarm_hv = -1,
		.alarm_hcv = -1,
		.ttg = NAN,
		.mid = NAN,
		.mid_dev = NAN,
		.history = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN},
	};
}

struct limits_state *limits_state_new(void)
{
	const struct current_state current = {NAN, NAN, NAN, NAN, NAN};
	struct limits_state *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->good_t = s->times_t = s->vsum = NAN;
	s->last = (struct last_reading){.capacity = NAN, .bms_cycles = NAN, .alarm_hv = -1, .alarm_hcv = -1};
	s->soc = (struct soc_state){NAN, NAN, NAN, NAN};
	s->cvl = (struct cvl_state){
		.allow_max = true,
		.abs_t = NAN,
		.lim_t = NAN,
		.base = NAN,
		.ctl = NAN,
		.fl_t = NAN,
		.fl_from = NAN,
		.reset_t = NAN,
		.v_max_last = NAN,
		.ran_t = NAN,
	};
	s->charge = s->discharge = current;
	s->outage.fail_t0 = s->outage.fail_last = NAN;
	nothing_known(&s->out);
	history_start(s);
	return s;
}

void limits_state_free(struct limits_state *s)
{
	free(s);
}

/* ---- one poll ---- */

/* An infinite value is as good as none (D25). */
static void drop_infinite(double *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (isinf(v[i]))
			v[i] = NAN;
}

static void clean(struct limits_input *in)
{
	double *const single[] = {&in->cell_lo,	 &in->cell_hi,	 &in->voltage,	   &in->current, &in->soc,
				  &in->capacity, &in->remaining, &in->temp_mos,	   &in->bms_ccl, &in->bms_dcl,
				  &in->bms_cvl,	 &in->bms_dvl,	 &in->ext_current, &in->ext_soc, &in->bms_cycles};

	if (in->cells > MAX_CELLS)
		in->cells = MAX_CELLS;
	drop_infinite(in->cell, in->cells);
	drop_infinite(in->temp, LIMITS_MAX_SENSORS);
	for (unsigned i = 0; i < sizeof(single) / sizeof(single[0]); i++)
		drop_infinite(single[i], 1);
}

static void remember(struct limits_state *s, const struct limits_input *in)
{
	s->last.cells = in->cells;
	s->last.capacity = in->capacity;
	s->last.ess = in->ess;
	if (known(in->bms_cycles))
		s->last.bms_cycles = in->bms_cycles;
	s->last.alarm_hv = in->alarms_known ? in->alarm[ALARM_HIGH_VOLTAGE] : -1;
	s->last.alarm_hcv = in->alarms_known ? in->alarm[ALARM_HIGH_CELL_VOLTAGE] : -1;
}

/* 10.3 */
static void battery_state(struct limits_output *out)
{
	bool may_flow = out->ccl.io || out->dcl.io;

	if (out->state == STATE_STARTING)
		out->state = STATE_RUNNING;
	if (out->state == STATE_RUNNING && !may_flow)
		out->state = STATE_STANDBY;
	if (out->state == STATE_STANDBY && may_flow)
		out->state = STATE_RUNNING;
}

static void good_poll(struct limits_state *s, const struct config *c, const struct limits_input *in)
{
	outage_good_poll(s);
	remember(s, in);
	measure_current(s, c, in);
	measure_cells(s, c, in);
	measure_midpoint(s, c, in);
	soc_step(s, c, in);
	measure_temperatures(s, c, in);
	cvl_step(s, c, in);
	current_step(s, c, in);
	battery_state(&s->out);
	s->good_t = s->now;
}

/* 10.2; unknown stays unknown. */
static void publish_alarms(struct limits_state *s, const struct config *c)
{
	struct limits_output *out = &s->out;

	out->alarms_suppressed = s->cvl.soc_reset || since(s, s->cvl.reset_t) <= SUPPRESSED_SECONDS;
	out->alarm_hv = out->alarms_suppressed && s->last.alarm_hv > 0 ? 0 : s->last.alarm_hv;
	out->alarm_hcv = out->alarms_suppressed && s->last.alarm_hcv > 0 ? 0 : s->last.alarm_hcv;
	out->blocked = s->outage.blocked;
	out->cable = c->bms_cable_alarm ? s->outage.cable : 0;
}

void limits_step(struct limits_state *s, const struct config *config, const struct limits_input *in, double dt,
		 struct limits_output *out)
{
	struct limits_input cleaned = *in;

	clean(&cleaned);
	if (isfinite(dt) && dt > 0)
		s->now += dt;
	s->out.full_event = false;
	if (cleaned.ok)
		good_poll(s, config, &cleaned);
	else
		outage_failed_poll(s, config);
	publish_alarms(s, config);
	average_step(s, &cleaned);
	times_step(s, config);
	history_step(s, config, &cleaned);
	*out = s->out;
}
