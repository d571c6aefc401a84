/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Average current, time-to-go and the times to SoC points (section 11). */
#include "limits/state.h"

#define LEAST_INTERVAL 5.0 /* s */
#define LEAST_CURRENT  0.1 /* A: below it there is no time-to-go */

/* ESS settings, 11.2 */
#define HUB4_MODE_OPTIMIZED	  1
#define BATTERY_LIFE_KEEP_CHARGED 9
#define BATTERY_LIFE_OFF_FIRST	  10
#define BATTERY_LIFE_OFF_LAST	  12

/* ---- average ---- */

static void remember_current(struct limits_state *s, double current)
{
	struct average_state *a = &s->average;
	unsigned at = (a->first + a->count) % AVERAGE_RING;

	a->t[at] = s->now;
	a->current[at] = current;
	if (a->count < AVERAGE_RING)
		a->count++;
	else
		a->first = (a->first + 1) % AVERAGE_RING;
}

static void forget_old_currents(struct limits_state *s)
{
	struct average_state *a = &s->average;

	while (a->count && since(s, a->t[a->first]) >= AVERAGE_SECONDS) {
		a->first = (a->first + 1) % AVERAGE_RING;
		a->count--;
	}
}

/* 11.1 */
void average_step(struct limits_state *s, const struct limits_input *in)
{
	struct average_state *a = &s->average;
	double sum = 0;

	if (in->ok && known(s->out.current))
		remember_current(s, s->out.current);
	forget_old_currents(s);
	for (unsigned i = 0; i < a->count; i++)
		sum += a->current[(a->first + i) % AVERAGE_RING];
	s->out.current_avg = known(s->out.current) && a->count ? round_to(sum / a->count, 2) : NAN;
}

/* ---- times ---- */

/* The SoC at which a discharge is expected to end. */
static double discharge_target(const struct limits_state *s, const struct config *c)
{
	const struct ess_settings *e = &s->last.ess;

	if (!e->known || e->hub4_mode != HUB4_MODE_OPTIMIZED || e->battery_life_state == BATTERY_LIFE_KEEP_CHARGED ||
	    !known(e->minimum_soc_limit) || !known(e->soc_limit))
		return c->soc_low_warning;
	if (e->battery_life_state >= BATTERY_LIFE_OFF_FIRST && e->battery_life_state <= BATTERY_LIFE_OFF_LAST)
		return trunc(e->minimum_soc_limit);
	return trunc(e->soc_limit);
}

/* SoC points from here to p in the direction of the average current; negative: p lies behind. */
static double distance_to(const struct limits_state *s, double p)
{
	return s->out.current_avg > 0 ? p - s->out.soc : s->out.soc - p;
}

/* s for this distance; NAN when there is none, nothing flows or the SoC is not known. */
static double seconds_for(const struct limits_state *s, double distance)
{
	double percent_per_second = fabs(s->out.current_avg / (s->last.capacity / 100)) / 3600;

	if (percent_per_second == 0 || distance == 0)
		return NAN;
	return trunc(distance / percent_per_second) + 0.0;
}

static double time_to_go(const struct limits_state *s, const struct config *c)
{
	double average = s->out.current_avg, target = average < 0 ? discharge_target(s, c) : 100;
	double distance = distance_to(s, target);

	return fabs(average) > LEAST_CURRENT && distance > 0 ? seconds_for(s, distance) : NAN;
}

static void compute(struct limits_state *s, const struct config *c)
{
	struct limits_output *out = &s->out;

	out->ttg = c->time_to_go_enable ? time_to_go(s, c) : NAN;
	for (unsigned i = 0; i < out->points; i++) {
		double distance = distance_to(s, out->tts_point[i]);

		out->tts[i] = distance > 0 || c->time_to_soc_inc_from ? seconds_for(s, distance) : NAN;
	}
}

/* The points of the configuration; those that are new have no time yet. */
static void take_points(struct limits_output *out, const struct config *c)
{
	const struct number_list *points = &c->time_to_soc_points;
	unsigned n = points->n < LIMITS_MAX_POINTS ? points->n : LIMITS_MAX_POINTS;

	for (unsigned i = 0; i < n; i++) {
		if (i < out->points && out->tts_point[i] == (int)points->v[i])
			continue;
		out->tts_point[i] = (int)points->v[i];
		out->tts[i] = NAN;
	}
	out->points = n;
}

static void forget_times(struct limits_output *out)
{
	out->ttg = NAN;
	for (unsigned i = 0; i < out->points; i++)
		out->tts[i] = NAN;
}

/* 11.2, 11.3 */
void times_step(struct limits_state *s, const struct config *c)
{
	double interval = fmax(LEAST_INTERVAL, c->time_to_soc_recalculate_every);

	take_points(&s->out, c);
	if (!known(s->out.current_avg)) {
		forget_times(&s->out);
		return;
	}
	if (!(s->last.capacity > 0) || (!c->time_to_go_enable && !s->out.points) || since(s, s->times_t) < interval)
		return;
	s->times_t = s->now;
	compute(s, c);
}
