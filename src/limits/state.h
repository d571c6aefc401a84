/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What limits_step() remembers from poll to poll, and what the files of this room ask of each other.
 * Nobody else includes it. Times are points on s->now; NAN = not set.
 */
#ifndef LIMITS_STATE_H
#define LIMITS_STATE_H

#include <math.h>

#include "limits/limits.h"
#include "limits/round.h"

#define AVERAGE_RING	1024 /* 11.1 */
#define AVERAGE_SECONDS 300.0

/* 6.2 */
struct cvl_state {
	bool allow_max;
	double abs_t;		 /* start of the absorption timer */
	double lim_t, base;	 /* of the last over-voltage limitation; where its ramp starts */
	double ctl;		 /* V; control voltage */
	enum charge_phase phase; /* the last one that was no error */
	double fl_t, fl_from;	 /* start of the float transition */
	bool soc_reset;
	double reset_t; /* when the SoC reset voltage was last reached */
	double v_max_last;
	double ran_t; /* when this was last computed */
};

/* 8.3 */
struct current_state {
	double lim, set_t;
	double hold_t, ramp_t, ramp_from;
};

/* 9 */
struct outage_state {
	unsigned fail_count;
	double fail_t0, fail_last;
	enum tri safe;
	bool blocked;
	int cable;
};

struct soc_state {
	double rem, rem_t, zero_t;
	double saved; /* %; the last counted value, or what was set or restored */
};

/* 4.2 */
struct accumulators {
	double ah_out, ah_out_run, wh_in, wh_out;
};

struct average_state {
	unsigned first, count; /* of the ring */
	double t[AVERAGE_RING], current[AVERAGE_RING];
};

/* Extremes observed since the last tick (12.2). */
struct extremes {
	double deepest;
	double vmin, vmax, cell_min, cell_max, temp_min, temp_max;
};

/* 12; the published values are in s->out.history. */
struct history_state {
	bool ticked;
	double tick_t;
	struct extremes seen;
	unsigned full_discharges, low_voltage_alarms, high_voltage_alarms; /* since the last tick */
	double full_t;							   /* time of the last full charge */
	double last_avg;
	bool empty;
	int level[4]; /* of the voltage alarms in the last good poll; -1 = not known */
};

/* What the last good reading said and later (failed) polls still need. */
struct last_reading {
	unsigned cells;
	double capacity, bms_cycles;
	int alarm_hv, alarm_hcv; /* unsuppressed; -1 = not known */
	struct ess_settings ess;
};

struct limits_state {
	double now;    /* s; sum of all dt */
	double good_t; /* of the last good poll */
	struct limits_output out;
	double vsum; /* 4.1: control sum of this poll */
	struct last_reading last;
	struct accumulators sum;
	struct soc_state soc;
	struct cvl_state cvl;
	struct current_state charge, discharge;
	struct outage_state outage;
	struct average_state average;
	double times_t; /* when times were last computed */
	struct history_state history;
};

static inline bool known(double x)
{
	return !isnan(x);
}

/* Seconds since t, free of the noise of the sums (section 1); NAN if t is not set. */
static inline double since(const struct limits_state *s, double t)
{
	return round_to(s->now - t, 6);
}

static inline double clamp(double x, double lo, double hi)
{
	return fmin(fmax(x, lo), hi);
}

/* values.c */
void measure_current(struct limits_state *s, const struct config *c, const struct limits_input *in);
void measure_cells(struct limits_state *s, const struct config *c, const struct limits_input *in);
void measure_temperatures(struct limits_state *s, const struct config *c, const struct limits_input *in);
void measure_midpoint(struct limits_state *s, const struct config *c, const struct limits_input *in);
/* V by which cells stand above allowed, in sum (6.7). */
double cells_over(const struct config *c, const struct limits_input *in, double cell_max, double allowed);

/* soc.c */
void soc_step(struct limits_state *s, const struct config *c, const struct limits_input *in);
void soc_pack_is_full(struct limits_state *s, double capacity);

/* cvl.c */
void cvl_step(struct limits_state *s, const struct config *c, const struct limits_input *in);

/* current.c */
void current_step(struct limits_state *s, const struct config *c, const struct limits_input *in);
void current_forget(struct limits_state *s);

/* outage.c */
void outage_good_poll(struct limits_state *s);
void outage_failed_poll(struct limits_state *s, const struct config *c);

/* curve.c */
double curve_linear(double v, const struct number_list *x, const struct number_list *y, double scale);

/* times.c */
void average_step(struct limits_state *s, const struct limits_input *in);
void times_step(struct limits_state *s, const struct config *c);

/* history.c */
void history_start(struct limits_state *s);
void history_step(struct limits_state *s, const struct config *c, const struct limits_input *in);
void history_pack_is_full(struct limits_state *s);

#endif
