/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dbus/link_text.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	TEXT_EVERY_MS = 10000, /* the same kind of text changes at most so often */
	FORGIVEN_MS = 60000,   /* after so long without an error the old ones are not told any more */
	LOST_FAILURES = 2,     /* a single missed poll says nothing */
	UNSAFE_S = 60,	       /* limits.md 9: until charge and discharge are blocked */
	BLOCK_AT_ONCE_S = 10,
};

enum link_kind_shown { LINK_SHOWN_NOTHING, LINK_SHOWN_WELL, LINK_SHOWN_ERRORS, LINK_SHOWN_LOST, LINK_SHOWN_BLOCKED };

static int block_after_s(const struct limits_output *o, const struct config *c)
{
	bool safe =
		o->cell_min > c->block_on_disconnect_voltage_min && o->cell_max < c->block_on_disconnect_voltage_max;

	if (c->block_on_disconnect)
		return BLOCK_AT_ONCE_S;
	return safe || c->block_on_disconnect_timeout_minutes == 0 ? 60 * c->block_on_disconnect_timeout_minutes
								   : UNSAFE_S;
}

static void show_lost(struct link_text *link, const struct snapshot *s, const struct config *config, uint64_t now_ms)
{
	const struct limits_output *o = snapshot_limits(s);
	int64_t lost = (int64_t)(now_ms - s->reading_ms) / 1000;
	int64_t limit = block_after_s(o, config);
	char since[40], left[40], threshold[40];

	limits_duration_text((double)lost, since, sizeof(since));
	limits_duration_text((double)(limit > lost ? limit - lost : 0), left, sizeof(left));
	limits_duration_text((double)limit, threshold, sizeof(threshold));
	if (o->blocked)
		snprintf(link->text, sizeof(link->text), "Lost for: %s | Disconnected | Threshold: %s", since,
			 threshold);
	else
		snprintf(link->text, sizeof(link->text), "Lost for: %s | Disconnect in: %s | Threshold: %s", since,
			 left, threshold);
}

static void show_errors(struct link_text *link, uint64_t now_ms)
{
	uint64_t errors = link->errors_seen - link->errors_clean;
	char time[48];

	limits_duration_text((double)((now_ms - link->first_error_ms) / 1000), time, sizeof(time));
	snprintf(link->text, sizeof(link->text), "Connected (%" PRIu64 " %s in the last %s)", errors,
		 errors == 1 ? "error" : "errors", time);
}

static void count_errors(struct link_text *link, const struct snapshot *s, uint64_t now_ms)
{
	if (!link->started || s->errors < link->errors_seen)
		link->errors_clean = link->errors_seen = s->errors;
	link->started = true;
	if (s->errors > link->errors_seen) {
		if (link->errors_seen == link->errors_clean)
			link->first_error_ms = now_ms;
		link->errors_seen = s->errors;
		link->last_error_ms = now_ms;
	}
	if (!s->failures && now_ms > link->last_error_ms + FORGIVEN_MS)
		link->errors_clean = link->errors_seen;
}

void link_text_update(struct link_text *link, const struct snapshot *s, const struct config *config, uint64_t now_ms)
{
	bool lost = s->state == PACK_LOST || s->failures >= LOST_FAILURES;
	int kind;

	count_errors(link, s, now_ms);
	if (lost)
		kind = snapshot_limits(s)->blocked ? LINK_SHOWN_BLOCKED : LINK_SHOWN_LOST;
	else if (s->failures)
		return;
	else
		kind = link->errors_seen != link->errors_clean ? LINK_SHOWN_ERRORS : LINK_SHOWN_WELL;
	if (kind == link->shown && (kind == LINK_SHOWN_WELL || now_ms < link->shown_ms + TEXT_EVERY_MS))
		return;
	link->shown = kind;
	link->shown_ms = now_ms;
	if (lost)
		show_lost(link, s, config, now_ms);
	else if (kind == LINK_SHOWN_ERRORS)
		show_errors(link, now_ms);
	else
		snprintf(link->text, sizeof(link->text), "Connected");
}
