/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Communication loss (section 9): what stays, for how long, and when the pack is blocked. */
#include "limits/state.h"

#define OFFLINE_SECONDS	  10.0
#define UNSAFE_SECONDS	  60.0 /* so long an outage may last when the cells were near a limit */
#define CABLE_SECONDS	  60.0
#define RECOVERED_SECONDS 60.0 /* after the last failed poll the cable alarm is withdrawn */

void outage_good_poll(struct limits_state *s)
{
	struct outage_state *o = &s->outage;

	o->fail_count = 0;
	o->safe = UNKNOWN;
	s->out.online_known = s->out.online = true;
	if (o->blocked) {
		o->blocked = false;
		current_forget(s);
	}
	if (since(s, o->fail_last) > RECOVERED_SECONDS) {
		o->cable = 0;
		o->fail_last = NAN;
	}
}

static bool cells_were_safe(const struct limits_output *out, const struct config *c)
{
	return out->cell_min > c->block_on_disconnect_voltage_min && out->cell_max < c->block_on_disconnect_voltage_max;
}

static bool must_block(const struct outage_state *o, const struct config *c, double age)
{
	if (c->block_on_disconnect)
		return age >= OFFLINE_SECONDS;
	return age >= 60.0 * c->block_on_disconnect_timeout_minutes || (o->safe != ON && age >= UNSAFE_SECONDS);
}

static void block_limit(struct current_limit *l, struct current_state *state)
{
	state->lim = l->limit = 0;
	l->why = REASON_DISCONNECT;
	l->wait = l->allow = l->io = false;
	l->wait_left = NAN;
}

static void block(struct limits_state *s)
{
	s->outage.blocked = true;
	s->outage.cable = 2;
	block_limit(&s->out.ccl, &s->charge);
	block_limit(&s->out.dcl, &s->discharge);
	s->out.state = 14;
}

void outage_failed_poll(struct limits_state *s, const struct config *c)
{
	struct outage_state *o = &s->outage;

	if (++o->fail_count == 1)
		o->fail_t0 = s->now;
	o->fail_last = s->now;
	if (o->fail_count == 1)
		return;
	double age = since(s, o->fail_t0);

	if (o->safe == UNKNOWN)
		o->safe = cells_were_safe(&s->out, c) ? ON : OFF;
	if (age >= OFFLINE_SECONDS) {
		s->out.online_known = true;
		s->out.online = false;
		s->out.voltage = s->out.current = s->out.power = NAN;
	}
	o->cable = age > CABLE_SECONDS;
	if (must_block(o, c, age))
		block(s);
}
