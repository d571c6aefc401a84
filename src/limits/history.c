/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a pack has gone through (section 12): extremes, totals and counts. */
#include "limits/state.h"

#define TICK_SECONDS	60.0
#define NO_LONGER_EMPTY 15.0 /* % */
#define GROUPS		7

/* The voltage alarms whose rise is counted; the first two are low, the others high. */
static const enum alarm counted_alarms[4] = {ALARM_LOW_VOLTAGE, ALARM_LOW_CELL_VOLTAGE, ALARM_HIGH_VOLTAGE,
					     ALARM_HIGH_CELL_VOLTAGE};

static void forget(struct extremes *e)
{
	*e = (struct extremes){NAN, NAN, NAN, NAN, NAN, NAN, NAN};
}

void history_start(struct limits_state *s)
{
	struct history_state *h = &s->history;

	h->tick_t = h->full_t = h->last_avg = NAN;
	forget(&h->seen);
	for (unsigned i = 0; i < 4; i++)
		h->level[i] = -1;
}

/* ---- observation (12.2) ---- */

/* fmin() and fmax() pass over what is NAN. */
static void observe_extremes(struct limits_state *s)
{
	const struct limits_output *o = &s->out;
	struct extremes *e = &s->history.seen;

	e->deepest = fmax(e->deepest, fabs(o->capacity_consumed));
	e->vmin = fmin(e->vmin, o->voltage);
	e->vmax = fmax(e->vmax, o->voltage);
	e->cell_min = fmin(e->cell_min, o->cell_min);
	e->cell_max = fmax(e->cell_max, o->cell_max);
	e->temp_min = fmin(e->temp_min, o->temp_min);
	e->temp_max = fmax(e->temp_max, o->temp_max);
}

static void observe_alarms(struct history_state *h, const struct limits_input *in)
{
	bool rose[4] = {false};

	for (unsigned i = 0; i < 4; i++) {
		int level = in->alarms_known ? in->alarm[counted_alarms[i]] : -1;

		rose[i] = h->level[i] == 0 && level > 0;
		h->level[i] = level;
	}
	h->low_voltage_alarms += rose[0] || rose[1];
	h->high_voltage_alarms += rose[2] || rose[3];
}

/* What is counted from one good poll to the next; the first only sets the stage. */
static void observe_events(struct limits_state *s, const struct limits_input *in)
{
	struct history_state *h = &s->history;

	observe_alarms(h, in);
	if (h->ticked && s->out.soc == 0 && !h->empty) {
		h->full_discharges++;
		h->empty = true;
	} else if (s->out.soc > NO_LONGER_EMPTY) {
		h->empty = false;
	}
	if (h->last_avg >= 0 && s->out.current_avg < 0)
		s->sum.ah_out_run = 0;
}

/* ---- tick (12.3) ---- */

/* v, or from when it is not known yet. */
static void add(double *v, double first, double more)
{
	*v = known(*v) ? *v + more : first;
}

/* Moves an accumulator into a total that exists already; a new total starts with first and leaves it. */
static void flush(double *total, double first, double *accumulator, double scale)
{
	if (!known(*total)) {
		*total = first;
		return;
	}
	*total += *accumulator / scale;
	*accumulator = 0;
}

static void tick_energy(struct limits_state *s, const struct config *c)
{
	struct limits_history *p = &s->out.history;
	double per_cycle = c->float_cell_voltage * s->last.cells * s->last.capacity / 1000;
	double estimate = known(p->cycles) && known(s->last.capacity) ? per_cycle * p->cycles : 0;

	flush(&p->energy_out, estimate, &s->sum.wh_out, 1000);
	flush(&p->energy_in, estimate, &s->sum.wh_in, 1000);
}

static void tick_capacity(struct limits_state *s)
{
	struct limits_history *p = &s->out.history;
	const struct last_reading *l = &s->last;
	bool cycles_known = l->bms_cycles > 0;

	p->deepest = fmax(p->deepest, s->history.seen.deepest);
	if (!known(p->last))
		p->last = 0;
	else if (s->out.current_avg <= 0)
		p->last = s->sum.ah_out_run;
	add(&p->full_discharges, 0, s->history.full_discharges);
	flush(&p->total, cycles_known && l->capacity > 0 ? l->bms_cycles * l->capacity : 0, &s->sum.ah_out, 1);
	if (!known(l->bms_cycles) && p->total > 0 && l->capacity > 0)
		p->cycles = p->total / l->capacity;
	p->average = cycles_known ? p->total / p->cycles : NAN;
}

static void tick(struct limits_state *s, const struct config *c)
{
	struct limits_history *p = &s->out.history;
	struct history_state *h = &s->history;
	const struct extremes *e = &h->seen;

	tick_capacity(s);
	p->vmin = fmin(p->vmin, e->vmin);
	p->vmax = fmax(p->vmax, e->vmax);
	p->cell_min = fmin(p->cell_min, e->cell_min);
	p->cell_max = fmax(p->cell_max, e->cell_max);
	p->temp_min = fmin(p->temp_min, e->temp_min);
	p->temp_max = fmax(p->temp_max, e->temp_max);
	add(&p->low_voltage_alarms, 0, h->low_voltage_alarms);
	add(&p->high_voltage_alarms, 0, h->high_voltage_alarms);
	tick_energy(s, c);
	forget(&h->seen);
	h->full_discharges = h->low_voltage_alarms = h->high_voltage_alarms = 0;
}

void history_pack_is_full(struct limits_state *s)
{
	add(&s->out.history.syncs, 1, 1);
	s->history.full_t = s->now;
}

void history_step(struct limits_state *s, const struct config *c, const struct limits_input *in)
{
	struct history_state *h = &s->history;

	if (!c->history_enable || !known(s->good_t))
		return;
	if (in->ok) {
		observe_extremes(s);
		observe_events(s, in);
		if (known(s->last.bms_cycles))
			s->out.history.cycles = s->last.bms_cycles;
	}
	h->last_avg = s->out.current_avg;
	s->out.history.since_full = since(s, h->full_t);
	if (h->ticked && since(s, h->tick_t) < TICK_SECONDS)
		return;
	tick(s, c);
	h->ticked = true;
	h->tick_t = s->now;
}

/* ---- clear command (12.5) ---- */

static void clear_capacity(struct limits_state *s)
{
	struct limits_history *p = &s->out.history;

	p->deepest = p->last = p->full_discharges = p->total = p->average = NAN;
	if (!known(s->last.bms_cycles))
		p->cycles = NAN;
	s->history.seen.deepest = NAN;
	s->history.full_discharges = 0;
	s->sum.ah_out = s->sum.ah_out_run = 0;
}

static void clear_voltages(struct limits_state *s)
{
	struct limits_history *p = &s->out.history;
	struct extremes *e = &s->history.seen;

	p->vmin = p->vmax = p->cell_min = p->cell_max = NAN;
	e->vmin = e->vmax = e->cell_min = e->cell_max = NAN;
}

static void clear_full_charge(struct limits_state *s)
{
	s->out.history.syncs = s->out.history.since_full = NAN;
	s->history.full_t = NAN;
}

static void clear_alarms(struct limits_state *s)
{
	s->out.history.low_voltage_alarms = s->out.history.high_voltage_alarms = NAN;
	s->history.low_voltage_alarms = s->history.high_voltage_alarms = 0;
}

static void clear_temperatures(struct limits_state *s)
{
	s->out.history.temp_min = s->out.history.temp_max = NAN;
	s->history.seen.temp_min = s->history.seen.temp_max = NAN;
}

static void clear_energies(struct limits_state *s)
{
	s->out.history.energy_out = s->out.history.energy_in = NAN;
	s->sum.wh_out = s->sum.wh_in = 0;
}

void limits_clear_history(struct limits_state *s, const struct config *config, int group)
{
	static void (*const clear[])(struct limits_state * s) = {
		clear_capacity, clear_voltages, clear_full_charge, clear_alarms, clear_temperatures, clear_energies,
	};

	if (group < 1 || group > GROUPS)
		return;
	for (int g = 2; g <= GROUPS; g++)
		if (group == 1 || group == g)
			clear[g - 2](s);
	if (!s->history.ticked)
		return;
	observe_extremes(s);
	tick(s, config);
}
