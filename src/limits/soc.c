/* SPDX-License-Identifier: GPL-3.0-or-later */
/* State of charge (section 5): from the BMS, from an external sensor, or counted here. */
#include "limits/state.h"

#define EMPTY_SECONDS 60.0 /* 5.3 */

/* 5.3: a cell that stays empty under load makes the pack empty. */
static void detect_empty(struct limits_state *s, const struct config *c)
{
	struct soc_state *soc = &s->soc;

	if (!known(s->out.cell_min) || s->out.cell_min > c->min_cell_voltage) {
		soc->zero_t = NAN;
		return;
	}
	if (!(s->out.current < 0) || !known(soc->zero_t)) {
		soc->zero_t = s->now;
		return;
	}
	if (since(s, soc->zero_t) > EMPTY_SECONDS && round_to(s->out.soc, 0) != 0) {
		soc->rem = 0;
		soc->zero_t = NAN;
	}
}

/* 5.2; s->out.soc is still that of the last poll. */
static double count(struct limits_state *s, const struct config *c, const struct limits_input *in)
{
	struct soc_state *soc = &s->soc;

	if (!(in->capacity > 0))
		return in->soc;
	if (!known(s->out.current))
		return known(soc->saved) ? soc->saved : known(s->out.soc) ? s->out.soc : in->soc;
	if (!known(soc->rem)) {
		double start = known(soc->saved) ? clamp(soc->saved, 0, 100) : known(in->soc) ? in->soc : 100;

		soc->rem = in->capacity * start / 100;
	} else {
		double flowed = s->out.current * since(s, soc->rem_t) / 3600;

		soc->rem = clamp(soc->rem + flowed, 0, in->capacity);
		detect_empty(s, c);
	}
	soc->rem_t = s->now;
	soc->saved = round_to(clamp(soc->rem / in->capacity * 100, 0, 100), 3);
	return soc->saved;
}

/* 5.6 */
static void capacities(struct limits_state *s, const struct config *c, const struct limits_input *in)
{
	double computed = in->capacity * s->out.soc / 100, remaining = in->remaining;

	if (!known(remaining) || (c->soc_calculation && known(computed)))
		remaining = computed;
	s->out.capacity_remaining = remaining;
	s->out.capacity_consumed = 0 - fabs(in->capacity - remaining);
}

void soc_step(struct limits_state *s, const struct config *c, const struct limits_input *in)
{
	if (!c->soc_calculation) /* should it be switched on later, it starts from the BMS */
		s->soc = (struct soc_state){NAN, NAN, NAN, NAN};
	if (known(in->ext_soc))
		s->out.soc = round_to(in->ext_soc, 3);
	else
		s->out.soc = c->soc_calculation ? count(s, c, in) : in->soc;
	capacities(s, c, in);
}

/* 5.4: the next poll shows it. */
void soc_pack_is_full(struct limits_state *s, double capacity)
{
	if (!known(s->soc.rem) || !known(capacity))
		return;
	s->soc.rem = capacity;
	s->soc.zero_t = NAN;
}

void limits_set_soc(struct limits_state *s, double pct)
{
	if (isnan(pct))
		return;
	s->soc.saved = clamp(pct, 0, 100);
	s->soc.rem = NAN;
}
