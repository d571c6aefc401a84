/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "act.h"

#include <stdio.h>
#include <string.h>

#include "protocols/procedure.h"

enum { TRIES = 2 }; /* as a session has it: a silent request is sent once more */

static struct exchange exchange;
static struct line_stats stats;

static void note_request(struct act *a, const struct request *request)
{
	size_t n = strlen(a->writes);

	a->requests++;
	bytes_hex((struct bytes){request->tx, request->n}, a->last, sizeof(a->last));
	if (request->writes)
		snprintf(a->writes + n, sizeof(a->writes) - n, "%s%s", n ? " " : "", a->last);
}

static enum step_result ask(struct act *a, struct device *dev, const struct request *request, act_board board,
			    void *ctx, const char **why)
{
	uint8_t rx[MAX_FRAME];

	for (int tries = 0; tries < TRIES; tries++) {
		note_request(a, request);
		exchange_begin(&exchange, dev, request, &stats, 0, 0);
		exchange_receive(&exchange, (struct bytes){rx, board(ctx, (struct bytes){request->tx, request->n}, rx)},
				 1);
		exchange_finish(&exchange, 100000);
		*why = exchange.why;
		if (exchange.state == EXCHANGE_ANSWERED)
			return STEP_ANSWERED;
		if (exchange.state == EXCHANGE_REFUSED)
			return STEP_REFUSED;
	}
	return STEP_SILENT;
}

struct act act(struct device *dev, const struct command *command, act_board board, void *ctx)
{
	struct procedure p = {.command = command, .now = {2022, 12, 13, 21, 29, 39}};
	struct act a = {.requests = 0};
	struct next next;
	const char *why;

	for (;; a.steps++) {
		memset(&next, 0, sizeof(next));
		procedure_next(dev, &p, &next);
		if (next.what == NEXT_END)
			break;
		if (next.what == NEXT_WAIT) {
			a.waited_ms += next.wait_ms;
			procedure_waited(&p);
			continue;
		}
		enum step_result result = ask(&a, dev, &next.request, board, ctx, &why);

		procedure_answered(&p, result, why);
	}
	a.outcome = next.outcome;
	return a;
}
