/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/procedure.h"

#include <stdarg.h>
#include <stdio.h>

/* A procedure longer than MAX_STEPS is a mistake in the protocol: it ends instead of running on. */
static bool too_long(const struct procedure *p, struct next *next)
{
	if (p->taken < MAX_STEPS)
		return false;
	step_end(next, COMMAND_UNCONFIRMED, "the command did not come to an end");
	return true;
}

bool step_ask(struct device *dev, struct procedure *p, struct next *next, uint16_t code, uint16_t arg)
{
	if (p->at < p->taken) {
		p->at++;
		return true;
	}
	if (too_long(p, next))
		return false;
	next->what = NEXT_SEND;
	if (!dev->protocol->encode(dev, code, arg, &next->request))
		step_end(next, COMMAND_REFUSED, "this device has no such request");
	return false;
}

bool step_wait(struct procedure *p, struct next *next, uint32_t ms)
{
	if (p->at < p->taken) {
		p->at++;
		return true;
	}
	if (too_long(p, next))
		return false;
	next->what = NEXT_WAIT;
	next->wait_ms = ms;
	return false;
}

bool step_is_new(const struct procedure *p)
{
	return p->at == p->taken;
}

enum step_result step_result(const struct procedure *p)
{
	return p->at ? p->step[p->at - 1].result : STEP_ANSWERED;
}

const char *step_why(const struct procedure *p)
{
	const char *why = p->at ? p->step[p->at - 1].why : NULL;

	return why ? why : "no answer";
}

void step_end(struct next *next, enum command_result result, const char *say, ...)
{
	va_list args;

	next->what = NEXT_END;
	next->outcome.result = result;
	va_start(args, say);
	vsnprintf(next->outcome.say, sizeof(next->outcome.say), say, args);
	va_end(args);
}

void procedure_next(struct device *dev, struct procedure *p, struct next *next)
{
	p->at = 0;
	dev->protocol->proceed(dev, p, next);
}

void procedure_answered(struct procedure *p, enum step_result result, const char *why)
{
	if (p->taken == MAX_STEPS)
		return;
	p->step[p->taken].result = result;
	p->step[p->taken].why = why;
	p->taken++;
}

void procedure_waited(struct procedure *p)
{
	if (p->taken)
		procedure_answered(p, p->step[p->taken - 1].result, p->step[p->taken - 1].why);
	else
		procedure_answered(p, STEP_ANSWERED, NULL);
}
