/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Charge and discharge current limits (section 8): the least that any rule allows goes down at once (or
 * nearly so), and comes back after a hold along a ramp.
 */
#include "limits/state.h"

/* Charging or discharging, with the options and inputs of that side. */
struct side {
	bool charging;
	double max, bms;
	enum tri fet;
	double threshold, rate;
	int hold;
	struct current_state *state;
	struct current_limit *out;
};

/* ---- candidates ---- */

static double not_negative(double candidate)
{
	return known(candidate) ? fmax(0, candidate) : NAN;
}

/* A curve's current at x; NAN: no limit. */
static double curve_limit(const struct config *c, enum limits_curve curve, bool charging, double x)
{
	if (!limits_curve_enabled(c, curve, charging) || !known(x))
		return NAN;
	return not_negative(limits_curve_at(c, (enum limits_mode)c->charge_mode, curve, charging, x));
}

/* 8.1. fmin() passes over what is NAN. */
static struct limit_candidates candidates(const struct limits_state *s, const struct config *c, const struct side *d)
{
	const struct limits_output *o = &s->out;
	bool ch = d->charging;

	return (struct limit_candidates){
		.config = d->max,
		.bms_limit = d->bms < d->max ? not_negative(d->bms) : NAN,
		.cell = curve_limit(c, CURVE_CELL, ch, ch ? o->cell_max : o->cell_min),
		.temp = fmin(curve_limit(c, CURVE_TEMP, ch, o->temp_max), curve_limit(c, CURVE_TEMP, ch, o->temp_min)),
		.mosfet = curve_limit(c, CURVE_MOSFET, ch, o->temp_mos),
		.soc = curve_limit(c, CURVE_SOC, ch, o->soc),
		.bms_fet = d->fet == OFF ? 0 : NAN,
	};
}

static double smallest(const struct limit_candidates *k)
{
	double curves = fmin(fmin(k->cell, k->temp), fmin(k->mosfet, k->soc));

	return fmin(fmin(k->config, k->bms_limit), fmin(curves, k->bms_fet));
}

/* Do two candidates mean the same current? (section 1) */
static bool same(double a, double b)
{
	return round_to(a, 6) == round_to(b, 6);
}

/* 8.2. A curve that gives what the BMS allows anyway is not named. */
static unsigned reasons(const struct side *d, const struct limit_candidates *k, double least)
{
	double bms = known(d->bms) ? d->bms : d->max;
	unsigned why = 0;

	if (same(least, d->max))
		return REASON_CONFIG;
	if (same(k->bms_limit, least))
		why |= REASON_BMS_LIMIT;
	if (same(k->bms_fet, least))
		why |= REASON_BMS_FET;
	if (same(least, bms))
		return why;
	if (same(k->cell, least))
		why |= REASON_CELL;
	if (same(k->temp, least))
		why |= REASON_TEMP;
	if (same(k->mosfet, least))
		why |= REASON_MOSFET;
	if (same(k->soc, least))
		why |= REASON_SOC;
	return why;
}

/* ---- from target to limit ---- */

static void cancel(struct current_state *l)
{
	l->hold_t = l->ramp_t = l->ramp_from = NAN;
}

static void set_limit(struct limits_state *s, const struct side *d, double limit)
{
	d->state->lim = limit;
	d->state->set_t = s->now;
	d->out->wait = false;
	d->out->wait_left = NAN;
}

static void wait(const struct side *d, double left)
{
	d->out->wait = true;
	d->out->wait_left = left;
}

/* 8.5, third branch: more is allowed than the limit says. */
static void recover(struct limits_state *s, const struct side *d, double target)
{
	struct current_state *l = d->state;

	if (l->lim == 0 && target < d->max * d->threshold) {
		cancel(l);
		wait(d, NAN);
		return;
	}
	if (!known(l->hold_t))
		l->hold_t = s->now;
	double held = since(s, l->hold_t);

	if (held < d->hold) {
		l->ramp_t = l->ramp_from = NAN;
		wait(d, d->hold - held);
		return;
	}
	if (d->rate <= 0) {
		cancel(l);
		set_limit(s, d, target);
		return;
	}
	if (!known(l->ramp_t)) {
		l->ramp_t = s->now;
		l->ramp_from = l->lim;
	}
	set_limit(s, d, round_to(fmin(target, l->ramp_from + d->rate * since(s, l->ramp_t)), 3));
	if (l->lim >= target)
		cancel(l);
}

/* 8.4 */
static bool is_due(const struct limits_state *s, const struct config *c, const struct side *d, double target)
{
	const struct current_state *l = d->state;

	if (!known(l->lim) || !known(l->set_t) || target > l->lim)
		return true;
	if (l->lim > round_to(d->max, 3)) /* a new configuration has lowered the maximum */
		return true;
	if (since(s, l->set_t) >= c->cvl_recalculation_every || (target == 0 && l->lim != 0))
		return true;
	return round_to(fabs(l->lim - target), 6) >=
	       round_to(l->lim * c->cvl_recalculation_on_max_percentage_change / 100, 6);
}

static void limit_side(struct limits_state *s, const struct config *c, const struct side *d)
{
	struct current_limit *out = d->out;

	out->candidate = candidates(s, c, d);
	double least = smallest(&out->candidate);

	out->target = round_to(least, 3);
	if (is_due(s, c, d, out->target)) {
		out->why = reasons(d, &out->candidate, least);
		if (known(d->state->lim) && out->target > d->state->lim) {
			recover(s, d, out->target);
		} else {
			cancel(d->state);
			set_limit(s, d, out->target);
		}
	} else {
		cancel(d->state);
		out->wait_left = NAN;
	}
	out->limit = d->state->lim;
	out->allow = out->limit != 0;
	out->io = out->allow && d->fet != OFF;
}

void current_step(struct limits_state *s, const struct config *c, const struct limits_input *in)
{
	const struct side charge = {
		.charging = true,
		.max = c->max_battery_charge_current,
		.bms = in->bms_ccl,
		.fet = in->charge_fet,
		.threshold = c->charge_current_recovery_threshold_percent,
		.rate = c->ccl_recovery_rate_a_per_sec,
		.hold = c->ccl_recovery_hold_sec,
		.state = &s->charge,
		.out = &s->out.ccl,
	};
	const struct side discharge = {
		.charging = false,
		.max = c->max_battery_discharge_current,
		.bms = in->bms_dcl,
		.fet = in->discharge_fet,
		.threshold = c->discharge_current_recovery_threshold_percent,
		.rate = c->dcl_recovery_rate_a_per_sec,
		.hold = c->dcl_recovery_hold_sec,
		.state = &s->discharge,
		.out = &s->out.dcl,
	};

	limit_side(s, c, &charge);
	limit_side(s, c, &discharge);
}

/* The next poll sets both limits at once (K13). */
void current_forget(struct limits_state *s)
{
	s->charge.lim = s->charge.set_t = NAN;
	s->discharge.lim = s->discharge.set_t = NAN;
}
