/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Charge voltage limit (section 6): bulk, absorption, float, and what lowers the voltage when single
 * cells run ahead.
 */
#include "limits/state.h"

#define BAND	    0.5	  /* V: so far the sum may fall below the target in absorption */
#define FLOAT_SLOPE 0.001 /* V/s: from absorption to float */
#define CLIP_MARGIN 0.010 /* V: of controller 3 */

#define DIFFERENCE_OFF	     1.0   /* V: a float difference from here on is none (D7) */
#define INTEGRATOR_OFFSET    0.010 /* V: set point of controller 2 then */
#define INTEGRATOR_LONGEST_S 10.0

#define SECONDS_PER_DAY 86400.0

/* What one poll needs in several places. */
struct cvl_poll {
	const struct config *c;
	const struct limits_input *in;
	double v_min, v_max; /* V, pack */
	double float_voltage;
	double allowed; /* V, cell */
	double diff;	/* V */
	double dt;	/* s since this last ran */
};

/* ---- targets ---- */

static bool reset_in_use(const struct config *c)
{
	return known(c->soc_reset_after_days) && c->cvcm_enable;
}

static void ask_for_reset(struct limits_state *s, const struct config *c)
{
	struct cvl_state *v = &s->cvl;

	if (!reset_in_use(c))
		v->soc_reset = false;
	else if (!known(v->reset_t) || since(s, v->reset_t) / SECONDS_PER_DAY > c->soc_reset_after_days)
		v->soc_reset = true;
}

/* 6.3; NAN while the number of cells is not known. */
static void find_targets(struct limits_state *s, struct cvl_poll *p)
{
	const struct config *c = p->c;
	double n = p->in->cells ? p->in->cells : NAN;

	ask_for_reset(s, c);
	p->allowed = s->cvl.soc_reset ? c->soc_reset_cell_voltage : c->max_cell_voltage;
	p->float_voltage = round_to(c->float_cell_voltage * n, 2);
	p->v_min = round_to(c->min_cell_voltage * n, 2);
	p->v_max = round_to(p->allowed * n, 2);
	if (!c->use_bms_dvcc_values)
		return;
	if (known(p->in->bms_dvl))
		p->v_min = round_to(p->in->bms_dvl, 6);
	if (known(p->in->bms_cvl) && !reset_in_use(c))
		p->v_max = round_to(p->in->bms_cvl, 6);
}

/* ---- phase ---- */

static void start_absorption_or_leave_float(struct limits_state *s, const struct cvl_poll *p)
{
	struct cvl_state *v = &s->cvl;
	const struct config *c = p->c;

	if (v->allow_max) {
		if (p->v_max <= s->vsum && p->diff <= c->switch_to_float_cell_voltage_diff)
			v->abs_t = s->now;
	} else if (s->out.soc < c->switch_to_bulk_soc_threshold || p->diff >= c->switch_to_bulk_cell_voltage_diff ||
		   v->soc_reset) {
		v->allow_max = true;
	}
}

static void watch_absorption(struct limits_state *s, const struct cvl_poll *p)
{
	struct cvl_state *v = &s->cvl;
	const struct config *c = p->c;
	double restart = round_to(c->switch_to_float_cell_voltage_diff + c->switch_to_float_cell_voltage_deviation, 6);

	if (p->diff > restart)
		v->abs_t = s->now;
	if (s->vsum < round_to(p->v_max - BAND, 6)) {
		v->abs_t = NAN;
	} else if (since(s, v->abs_t) > c->switch_to_float_wait_for_sec) {
		v->allow_max = false;
		v->abs_t = NAN;
	}
}

/* 6.5 */
static void decide_phase(struct limits_state *s, const struct cvl_poll *p)
{
	struct cvl_state *v = &s->cvl;

	if (p->v_max > v->v_max_last)
		v->abs_t = NAN;
	v->v_max_last = p->v_max;
	if (known(v->abs_t))
		watch_absorption(s, p);
	else
		start_absorption_or_leave_float(s, p);
}

/* ---- float ---- */

static void begin_float(struct limits_state *s, const struct cvl_poll *p)
{
	struct cvl_state *v = &s->cvl;

	v->fl_t = s->now;
	v->fl_from = v->ctl;
	v->phase = CHARGE_FLOAT_TRANSITION;
	v->lim_t = v->base = NAN;
	s->out.full_event = true;
	soc_pack_is_full(s, p->in->capacity);
	history_pack_is_full(s);
}

/* 6.6 */
static void run_float(struct limits_state *s, const struct cvl_poll *p)
{
	struct cvl_state *v = &s->cvl;

	if (v->soc_reset) {
		v->soc_reset = false;
		v->reset_t = s->now;
	}
	if (!known(v->ctl)) {
		v->ctl = p->float_voltage;
		v->phase = CHARGE_FLOAT;
	} else if (v->phase == CHARGE_BULK || v->phase == CHARGE_ABSORPTION) {
		begin_float(s, p);
	} else if (v->phase == CHARGE_FLOAT_TRANSITION) {
		v->ctl = v->fl_from - fmin(FLOAT_SLOPE * since(s, v->fl_t), v->fl_from - p->float_voltage);
		if (v->ctl <= p->float_voltage) {
			v->ctl = p->float_voltage;
			v->phase = CHARGE_FLOAT;
		}
	} else {
		v->phase = CHARGE_FLOAT;
	}
}

/* ---- bulk and absorption ---- */

/* Controller 2. */
static double integrate(const struct limits_state *s, const struct cvl_poll *p)
{
	double offset = p->c->switch_to_float_cell_voltage_diff;
	double excess, seconds = fmin(p->dt, INTEGRATOR_LONGEST_S);

	if (!known(s->cvl.ctl))
		return p->v_max;
	if (offset >= DIFFERENCE_OFF)
		offset = INTEGRATOR_OFFSET;
	excess = s->out.cell_max - p->allowed - offset;
	return clamp(s->cvl.ctl - excess * p->c->cvl_icontroller_factor * seconds, p->v_min, p->v_max);
}

static double controller_target(const struct limits_state *s, const struct cvl_poll *p)
{
	double over = cells_over(p->c, p->in, s->out.cell_max, p->allowed);

	switch (p->c->cvl_controller_mode) {
	case 1:
		return over > 0 ? clamp(s->vsum - over, p->v_min, p->v_max) : p->v_max;
	case 2:
		return integrate(s, p);
	case 3:
		return over > 0 ? clamp(s->vsum - over + CLIP_MARGIN, p->v_min, p->v_max) : p->v_max;
	default:
		return p->v_max;
	}
}

/* The target is above the control voltage: hold, then rise. */
static void recover(struct limits_state *s, const struct cvl_poll *p, double target)
{
	struct cvl_state *v = &s->cvl;
	const struct config *c = p->c;
	double elapsed, a;

	if (!known(v->lim_t))
		v->lim_t = s->now;
	elapsed = since(s, v->lim_t);
	if (elapsed < c->cvl_recovery_hold_sec) {
		v->base = a = v->ctl;
		s->out.flags |= CHARGE_OVP;
	} else {
		if (!known(v->base))
			v->base = v->ctl;
		if (c->cvl_recovery_rate_v_per_sec <= 0)
			a = fmin(target, p->v_max);
		else
			a = fmin(v->base + c->cvl_recovery_rate_v_per_sec * (elapsed - c->cvl_recovery_hold_sec),
				 p->v_max);
		s->out.flags |= CHARGE_OVP_RAMP;
	}
	a = round_to(a, 6);
	if (a == p->v_max)
		v->lim_t = v->base = NAN;
	v->ctl = a;
}

/* 6.7 */
static void run_charge(struct limits_state *s, const struct cvl_poll *p)
{
	struct cvl_state *v = &s->cvl;
	double target = round_to(controller_target(s, p), 6);

	if (target >= p->v_max && !known(v->lim_t)) {
		v->ctl = p->v_max;
		v->base = NAN;
	} else if (!known(v->ctl) || target <= v->ctl) {
		v->lim_t = s->now;
		v->ctl = target;
		v->base = NAN;
		s->out.flags |= CHARGE_OVP;
	} else {
		recover(s, p, target);
	}
	v->phase = known(v->abs_t) ? CHARGE_ABSORPTION : CHARGE_BULK;
	if (v->soc_reset)
		s->out.flags |= CHARGE_SOC_RESET;
	if (p->in->balancing)
		s->out.flags |= CHARGE_BALANCING;
	if (p->in->heating == ON)
		s->out.flags |= CHARGE_HEATING;
}

static void run(struct limits_state *s, const struct cvl_poll *p)
{
	struct cvl_state *v = &s->cvl;

	s->out.flags = 0;
	if (!p->c->cvcm_enable) {
		v->ctl = round_to(p->v_max, 2);
		s->out.phase = v->phase = CHARGE_FIXED;
		return;
	}
	if (!known(s->out.cell_min) || !known(s->out.cell_max) || !known(s->vsum) || !known(p->v_max)) {
		v->ctl = p->float_voltage; /* 6.4 */
		s->out.phase = CHARGE_ERROR;
		return;
	}
	decide_phase(s, p);
	if (v->allow_max)
		run_charge(s, p);
	else
		run_float(s, p);
	s->out.phase = v->phase;
}

void cvl_step(struct limits_state *s, const struct config *c, const struct limits_input *in)
{
	struct cvl_poll p = {
		.c = c,
		.in = in,
		.diff = round_to(s->out.cell_max - s->out.cell_min, 6),
		.dt = known(s->cvl.ran_t) ? since(s, s->cvl.ran_t) : 0,
	};

	find_targets(s, &p);
	run(s, &p);
	s->cvl.ran_t = s->now;
	s->out.v_min = p.v_min;
	s->out.v_max = p.v_max;
	s->out.cvl_ctl = s->cvl.ctl;
	s->out.cvl = round_to(s->cvl.ctl + c->voltage_drop, 2);
	s->out.allow_max = s->cvl.allow_max;
	s->out.soc_reset = s->cvl.soc_reset;
}
