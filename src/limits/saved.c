/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What of the state survives a restart (section 14). */
#include "limits/state.h"

#define LONGEST_PAUSE 300.0 /* s: a timer of absorption goes on after at most so long (D4) */

void limits_save(const struct limits_state *s, const struct config *c, struct limits_saved *saved)
{
	*saved = (struct limits_saved){
		.allow_max = s->cvl.allow_max,
		.absorption_s = since(s, s->cvl.abs_t),
		.soc = c->soc_calculation ? s->soc.saved : NAN,
		.soc_reset_age_s = since(s, s->cvl.reset_t),
		.empty = s->history.empty,
		.history = s->out.history,
	};
	saved->history.since_full = since(s, s->history.full_t);
	if (known(s->last.bms_cycles))
		saved->history.cycles = NAN;
}

void limits_restore(struct limits_state *s, const struct limits_saved *saved, double pause)
{
	double passed = pause > 0 ? pause : 0;

	s->cvl.allow_max = saved->allow_max;
	if (pause >= 0 && pause <= LONGEST_PAUSE)
		s->cvl.abs_t = s->now - saved->absorption_s;
	s->soc.saved = saved->soc;
	s->soc.rem = NAN;
	s->cvl.reset_t = s->now - saved->soc_reset_age_s - passed;
	s->out.history = saved->history;
	s->history.full_t = s->now - saved->history.since_full - passed;
	s->history.empty = saved->empty;
	if (known(saved->history.last))
		s->sum.ah_out_run = saved->history.last;
}
