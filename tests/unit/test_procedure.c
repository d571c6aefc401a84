/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Commands of several steps, driven as a session drives them, with a protocol of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocols/procedure.h"

enum { ASK_FIRST = 1, ASK_AGAIN = 2, ASK_ELSE = 3, NO_SUCH = 99 };

static void (*script)(struct device *dev, struct procedure *p, struct next *next);

static bool encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	if (code == NO_SUCH)
		return false;
	request_start(out, dev->protocol, dev->address, dev->dialect, code, arg);
	return true;
}

static void proceed(struct device *dev, struct procedure *p, struct next *next)
{
	script(dev, p, next);
}

static const struct protocol protocol = {.id = "test", .encode = encode, .proceed = proceed};
static struct device dev;
static struct procedure p;
static struct next next;
static const struct command command = {.kind = COMMAND_SOC, .value = 50};

static void start(void (*s)(struct device *, struct procedure *, struct next *))
{
	script = s;
	dev = (struct device){.protocol = &protocol};
	p = (struct procedure){.command = &command};
	memset(&next, 0, sizeof(next));
	procedure_next(&dev, &p, &next);
}

static void answered(enum step_result result, const char *why)
{
	procedure_answered(&p, result, why);
	procedure_next(&dev, &p, &next);
}

static void waited(void)
{
	procedure_waited(&p);
	procedure_next(&dev, &p, &next);
}

/* ask, wait, ask; the first result is told at the end */
static void ask_wait_ask(struct device *d, struct procedure *q, struct next *n)
{
	if (!step_ask(d, q, n, ASK_FIRST, 7))
		return;
	enum step_result first = step_result(q);

	if (step_is_new(q))
		q->memo[0]++;
	if (!step_wait(q, n, 400))
		return;
	assert_int_equal(step_result(q), first); /* a wait does not change it */
	if (!step_ask(d, q, n, ASK_AGAIN, 8))
		return;
	step_end(n, COMMAND_DONE, "%d %d %s", (int)first, (int)step_result(q), step_why(q));
}

static void steps_come_one_after_the_other(void **unused)
{
	(void)unused;
	start(ask_wait_ask);
	assert_int_equal(next.what, NEXT_SEND);
	assert_int_equal(next.request.code, ASK_FIRST);
	assert_int_equal(next.request.arg, 7);
	/* asked again before it is answered: the same step */
	procedure_next(&dev, &p, &next);
	assert_int_equal(next.request.code, ASK_FIRST);
	answered(STEP_SILENT, NULL);
	assert_int_equal(next.what, NEXT_WAIT);
	assert_int_equal(next.wait_ms, 400);
	waited();
	assert_int_equal(next.what, NEXT_SEND);
	assert_int_equal(next.request.code, ASK_AGAIN);
	answered(STEP_REFUSED, "too late");
	assert_int_equal(next.what, NEXT_END);
	assert_int_equal(next.outcome.result, COMMAND_DONE);
	assert_string_equal(next.outcome.say, "2 1 too late");
}

static void what_is_noted_while_a_step_is_new_is_noted_once(void **unused)
{
	(void)unused;
	start(ask_wait_ask);
	answered(STEP_ANSWERED, NULL);
	waited();
	answered(STEP_ANSWERED, NULL);
	assert_int_equal(p.memo[0], 1);
	assert_string_equal(next.outcome.say, "0 0 no answer");
}

static void ask_and_wait(struct device *d, struct procedure *q, struct next *n)
{
	if (step_ask(d, q, n, ASK_FIRST, 0) && step_wait(q, n, 1) && step_wait(q, n, 1))
		step_end(n, COMMAND_REFUSED, "%d %s", (int)step_result(q), step_why(q));
}

static void waits_keep_the_result_and_its_reason(void **unused)
{
	(void)unused;
	start(ask_and_wait);
	answered(STEP_REFUSED, "locked");
	waited();
	waited();
	assert_string_equal(next.outcome.say, "1 locked");
}

static void wait_first(struct device *d, struct procedure *q, struct next *n)
{
	(void)d;
	if (step_wait(q, n, 5))
		step_end(n, step_result(q) == STEP_ANSWERED ? COMMAND_DONE : COMMAND_REFUSED, "x");
}

static void a_wait_may_come_first(void **unused)
{
	(void)unused;
	start(wait_first);
	assert_int_equal(next.what, NEXT_WAIT);
	waited();
	assert_int_equal(next.what, NEXT_END);
	assert_int_equal(next.outcome.result, COMMAND_DONE);
}

static void ask_no_such(struct device *d, struct procedure *q, struct next *n)
{
	if (step_ask(d, q, n, NO_SUCH, 0))
		fail();
}

static void a_request_that_the_device_has_not_ends_the_command(void **unused)
{
	(void)unused;
	start(ask_no_such);
	assert_int_equal(next.what, NEXT_END);
	assert_int_equal(next.outcome.result, COMMAND_REFUSED);
	assert_true(strlen(next.outcome.say) > 0);
}

static void ask_for_ever(struct device *d, struct procedure *q, struct next *n)
{
	while (step_ask(d, q, n, ASK_FIRST, 0) && step_wait(q, n, 1))
		continue;
}

static void a_command_without_end_ends_after_the_last_step(void **unused)
{
	unsigned steps = 0;

	(void)unused;
	start(ask_for_ever);
	for (; next.what != NEXT_END && steps < 1000; steps++) {
		if (next.what == NEXT_WAIT)
			waited();
		else
			answered(STEP_ANSWERED, NULL);
	}
	assert_int_equal(steps, MAX_STEPS);
	assert_int_equal(next.outcome.result, COMMAND_UNCONFIRMED);
	/* one answer too many does no harm */
	answered(STEP_ANSWERED, NULL);
	assert_int_equal(next.what, NEXT_END);
	assert_int_equal(p.taken, MAX_STEPS);
}

static void talk(struct device *d, struct procedure *q, struct next *n)
{
	(void)d;
	(void)q;
	step_end(n, COMMAND_REFUSED, "%0300d", 1);
}

static void a_long_outcome_is_cut(void **unused)
{
	(void)unused;
	start(talk);
	assert_int_equal(strlen(next.outcome.say), COMMAND_SAY - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_come_one_after_the_other),
		cmocka_unit_test(what_is_noted_while_a_step_is_new_is_noted_once),
		cmocka_unit_test(waits_keep_the_result_and_its_reason),
		cmocka_unit_test(a_wait_may_come_first),
		cmocka_unit_test(a_request_that_the_device_has_not_ends_the_command),
		cmocka_unit_test(a_command_without_end_ends_after_the_last_step),
		cmocka_unit_test(a_long_outcome_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
