/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Commands of several steps, written as straight code. protocol->proceed() is run from its top after
 * every step; a step already taken returns true at once. So it reads
 *
 *	if (!step_ask(dev, p, next, WRITE, value))
 *		return;
 *	if (step_result(p) != STEP_ANSWERED) { step_end(...); return; }
 *	if (!step_ask(dev, p, next, READ, 0))
 *		return;
 *
 * Which step comes next may depend on results of steps and on p->memo. A value that is read from the
 * device and sent later is noted in p->memo while step_is_new().
 */
#ifndef PROTOCOLS_PROCEDURE_H
#define PROTOCOLS_PROCEDURE_H

#include "protocols/protocol.h"

/* True when this request has been made and has ended; false: next holds it, return. */
bool step_ask(struct device *dev, struct procedure *p, struct next *next, uint16_t code, uint16_t arg);
/* True when the time has passed; false: return. */
bool step_wait(struct procedure *p, struct next *next, uint32_t ms);
/* No step has been taken beyond the one just passed: what is read now is what it brought. */
bool step_is_new(const struct procedure *p);
/* How the request just passed ended. Waits in between do not change it. */
enum step_result step_result(const struct procedure *p);
/* Of a refused request: what the device said. */
const char *step_why(const struct procedure *p);
/* The command has ended so. */
__attribute__((format(printf, 3, 4))) void step_end(struct next *next, enum command_result result, const char *say,
						   ...);

/* For the engine: what comes next; and, before it asks again, how the request ended or that the wait
 * is over. */
void procedure_next(struct device *dev, struct procedure *p, struct next *next);
void procedure_answered(struct procedure *p, enum step_result result, const char *why);
void procedure_waited(struct procedure *p);

#endif
