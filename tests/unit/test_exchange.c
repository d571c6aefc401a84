/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One request and what comes back, with a protocol of the test's own. Its frames are a letter between < and >:
 *	A, E  the answer, or its last part
 *	P, Q  a part of it; silence afterwards is no answer (P) or one (Q)
 *	F     answers something else
 *	R     the device refuses
 *	B     not to be believed
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/exchange.h"

enum { FIRST_MS = 300, GAP_MS = 50, WIRE_MS = 10, SENT_MS = 1000 };

static unsigned taken; /* frames that take() has seen */
static bool silence_answers;

static int find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	(void)pending;
	if (in.p[0] != '<')
		return -1;
	if (in.n < 3) {
		if (!quiet)
			return 0;
		*why = "frame cut short";
		return -(int)in.n;
	}
	if (in.p[2] != '>') {
		*why = "no end";
		return -1;
	}
	return 3;
}

static enum verdict take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	(void)pending;
	if (!frame.n)
		return silence_answers ? FRAME_ANSWER : FRAME_FOREIGN;
	taken++;
	switch (frame.p[1]) {
	case 'A':
	case 'E':
		reading_set(&dev->reading, Q_SOC_PCT, 50);
		return FRAME_ANSWER;
	case 'Q':
	case 'P':
		silence_answers = frame.p[1] == 'Q';
		reading_set(&dev->reading, Q_VOLTAGE_V, 1);
		return FRAME_PART;
	case 'R':
		*why = "not now";
		return FRAME_REFUSED;
	case 'B':
		*why = "too much";
		return FRAME_BAD;
	default:
		return FRAME_FOREIGN;
	}
}

/* A recogniser that never decides. */
static int never(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	(void)pending;
	(void)why;
	return quiet ? -(int)in.n : 0;
}

static const struct protocol angle = {.id = "angle", .find_frame = find_frame, .take = take};
static const struct protocol undecided = {.id = "undecided", .find_frame = never, .take = take};

static struct device dev;
static struct exchange x;
static struct line_stats stats;
static struct request request;

static int fresh(void **unused)
{
	(void)unused;
	dev = (struct device){.protocol = &angle};
	memset(&x, 0xee, sizeof(x)); /* whatever lay there */
	memset(&stats, 0, sizeof(stats));
	request = (struct request){.first_ms = FIRST_MS, .gap_ms = GAP_MS, .n = 4, .tx = "ASK!"};
	taken = 0;
	silence_answers = false;
	return 0;
}

static void begin(void)
{
	exchange_begin(&x, &dev, &request, &stats, SENT_MS, WIRE_MS);
}

static void receive(const char *s, uint64_t at)
{
	exchange_receive(&x, (struct bytes){(const uint8_t *)s, strlen(s)}, at);
}

/* Lets time pass until the exchange ends, jumping from deadline to deadline; when that was. */
static uint64_t wait_for_end(uint64_t now)
{
	for (int turns = 0; x.state == EXCHANGE_WAITING; turns++) {
		uint64_t next = exchange_deadline(&x);

		assert_true(turns < 20); /* every deadline brings it on */
		assert_true(next != UINT64_MAX);
		if (next > now)
			now = next;
		exchange_tick(&x, now);
	}
	assert_true(exchange_deadline(&x) == UINT64_MAX);
	return now;
}

/* ---- how it ends ---- */

static void an_answer_ends_it_at_once(void **unused)
{
	(void)unused;
	begin();
	assert_int_equal(x.state, EXCHANGE_WAITING);
	receive("<A>", 1100);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	assert_true(x.ended_ms == 1100);
	assert_true(reading_get(&dev.reading, Q_SOC_PCT) == 50);
	assert_int_equal(stats.requests, 1);
	assert_int_equal(stats.answers, 1);
	assert_int_equal(stats.bytes_out, 4);
	assert_int_equal(stats.bytes_in, 3);
}

static void an_answer_may_come_in_pieces_with_noise_around(void **unused)
{
	(void)unused;
	begin();
	receive("??", 1100);
	receive("<", 1110);
	receive("A", 1140);
	assert_int_equal(x.state, EXCHANGE_WAITING);
	receive(">?", 1180);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	assert_int_equal(stats.noise_bytes, 2);
}

static void a_refusal_ends_it_with_its_reason(void **unused)
{
	(void)unused;
	begin();
	receive("<R>", 1100);
	assert_int_equal(x.state, EXCHANGE_REFUSED);
	assert_string_equal(x.why, "not now");
	assert_int_equal(stats.refusals, 1);
	assert_int_equal(stats.failures, 0);
}

static void what_answers_something_else_is_passed_over(void **unused)
{
	(void)unused;
	begin();
	receive("<F><F><A>", 1100);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	assert_int_equal(stats.foreign_frames, 2);
	begin();
	receive("<F>", 1100);
	wait_for_end(1100);
	assert_int_equal(x.state, EXCHANGE_FAILED);
	assert_string_equal(x.error, "no reply; 1 frame came that answers something else");
}

static void what_is_not_believed_leaves_room_for_a_better_one(void **unused)
{
	(void)unused;
	begin();
	receive("<B><A>", 1100);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	assert_int_equal(stats.bad_frames, 1);
	begin();
	receive("<B>", 1100);
	assert_true(wait_for_end(1100) == SENT_MS + WIRE_MS + FIRST_MS);
	assert_int_equal(x.state, EXCHANGE_FAILED);
	assert_string_equal(x.error, "reply rejected: too much");
}

static void nothing_after_the_answer_is_judged(void **unused)
{
	(void)unused;
	begin();
	receive("<A><B><R>", 1100);
	receive("<R>", 1101);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	assert_int_equal(taken, 1);
}

static void errors_say_what_came(void **unused)
{
	(void)unused;
	begin();
	wait_for_end(SENT_MS);
	assert_string_equal(x.error, "no reply");
	begin();
	receive("?", 1100);
	wait_for_end(1100);
	assert_string_equal(x.error, "1 byte came, no frame: 3f");
	begin();
	receive("0123456789abcdefghijklmnopqrstuv", 1100);
	wait_for_end(1100);
	assert_string_equal(x.error, "32 bytes came, no frame: 303132333435363738396162636465666768696a6b6c6d6e..");
	begin();
	receive("<A", 1100);
	wait_for_end(1100);
	assert_string_equal(x.error, "reply rejected: frame cut short");
	assert_int_equal(stats.bad_frames, 1);
	begin();
	receive("<F><F>", 1100);
	wait_for_end(1100);
	assert_string_equal(x.error, "no reply; 2 frames came that answer something else");
}

/* ---- the echo of the request ---- */

static void an_echo_is_taken_off_and_alone_it_is_no_reply(void **unused)
{
	(void)unused;
	begin();
	receive("AS", 1010);
	receive("K!", 1012);
	assert_true(wait_for_end(1012) == SENT_MS + WIRE_MS + FIRST_MS);
	assert_int_equal(x.state, EXCHANGE_FAILED);
	assert_string_equal(x.error, "no reply, only our own bytes came back");
	assert_int_equal(stats.echoes, 1);
	assert_int_equal(stats.noise_bytes, 0);
	begin();
	receive("ASK!<A>", 1100);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	begin();
	receive("ASK!??", 1100);
	wait_for_end(1100);
	assert_string_equal(x.error, "2 bytes came, no frame: 3f3f");
	begin(); /* an echo comes once */
	receive("ASK!ASK!", 1100);
	wait_for_end(1100);
	assert_string_equal(x.error, "4 bytes came, no frame: 41534b21");
}

static void what_only_begins_like_an_echo_is_none(void **unused)
{
	(void)unused;
	begin();
	receive("AS", 1010);
	receive("?<A>", 1030);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	assert_int_equal(stats.echoes, 0);
}

static void an_answer_that_equals_the_request_is_taken_where_it_may(void **unused)
{
	(void)unused;
	request.n = 3;
	memcpy(request.tx, "<A>", 3);
	begin();
	receive("<A>", 1100);
	assert_int_equal(x.state, EXCHANGE_WAITING);
	wait_for_end(1100);
	assert_int_equal(x.state, EXCHANGE_FAILED);
	request.echo_is_reply = true;
	begin();
	receive("<A>", 1100);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
}

/* ---- replies in parts ---- */

static void parts_are_ended_by_the_last_one(void **unused)
{
	(void)unused;
	begin();
	receive("<P>", 1100);
	receive("<P>", 1120);
	assert_int_equal(x.state, EXCHANGE_WAITING);
	receive("<E>", 1140);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 1);
}

static void parts_are_ended_by_silence_where_that_is_an_answer(void **unused)
{
	(void)unused;
	begin();
	receive("<Q>", 1100);
	exchange_tick(&x, 1100 + GAP_MS - 1);
	assert_int_equal(x.state, EXCHANGE_WAITING);
	assert_true(exchange_deadline(&x) == 1100 + GAP_MS);
	exchange_tick(&x, 1100 + GAP_MS);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
}

static void half_an_answer_is_rolled_back(void **unused)
{
	(void)unused;
	reading_set(&dev.reading, Q_VOLTAGE_V, 48);
	begin();
	receive("<P>", 1100);
	assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 1);
	assert_true(wait_for_end(1100) == 1100 + GAP_MS);
	assert_int_equal(x.state, EXCHANGE_FAILED);
	assert_string_equal(x.error, "the reply is incomplete");
	assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 48);
	assert_int_equal(stats.foreign_frames, 0); /* silence is no frame */
}

static void a_refusal_after_half_an_answer_rolls_it_back(void **unused)
{
	(void)unused;
	reading_set(&dev.reading, Q_VOLTAGE_V, 48);
	begin();
	receive("<P><R>", 1100);
	assert_int_equal(x.state, EXCHANGE_REFUSED);
	assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 48);
}

/* ---- time ---- */

static void the_first_byte_is_waited_for_from_the_end_of_sending(void **unused)
{
	(void)unused;
	begin();
	assert_true(exchange_deadline(&x) == SENT_MS + WIRE_MS + FIRST_MS);
	exchange_tick(&x, SENT_MS + WIRE_MS + FIRST_MS - 1);
	assert_int_equal(x.state, EXCHANGE_WAITING);
	exchange_tick(&x, SENT_MS + WIRE_MS + FIRST_MS);
	assert_int_equal(x.state, EXCHANGE_FAILED);
	assert_int_equal(stats.failures, 1);
}

static void a_reply_that_has_begun_in_time_may_end_later(void **unused)
{
	(void)unused;
	begin();
	receive("<", 1300);
	assert_true(exchange_deadline(&x) == 1300 + GAP_MS);
	exchange_tick(&x, 1320); /* past the time for the first byte */
	assert_int_equal(x.state, EXCHANGE_WAITING);
	receive("A", 1340);
	assert_true(exchange_deadline(&x) == 1340 + GAP_MS);
	receive(">", 1380);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
}

static void noise_before_its_time_does_not_end_it(void **unused)
{
	(void)unused;
	begin();
	receive("<?", 1020);
	exchange_tick(&x, 1020 + GAP_MS);
	assert_int_equal(x.state, EXCHANGE_WAITING);
	assert_true(exchange_deadline(&x) == SENT_MS + WIRE_MS + FIRST_MS); /* settled: no deadline in the past */
	receive("<A>", 1200);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
}

static void a_line_that_babbles_ends_all_the_same(void **unused)
{
	uint64_t now = 1020;

	(void)unused;
	begin();
	for (; x.state == EXCHANGE_WAITING && now < 10000; now += GAP_MS / 2) {
		receive("<?<", now);
		exchange_tick(&x, now);
		assert_true(exchange_deadline(&x) > now); /* no deadline that has nothing to do */
	}
	assert_int_equal(x.state, EXCHANGE_FAILED);
	assert_in_range(now, SENT_MS + FIRST_MS, SENT_MS + FIRST_MS + 2000);
}

static void endless_parts_end_all_the_same(void **unused)
{
	uint64_t now = 1020;

	(void)unused;
	begin();
	for (; x.state == EXCHANGE_WAITING && now < 10000; now += GAP_MS / 2) {
		receive("<P>", now);
		exchange_tick(&x, now);
	}
	assert_int_equal(x.state, EXCHANGE_FAILED);
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
}

static void a_recogniser_that_never_decides_does_not_fill_the_inbox(void **unused)
{
	static char lots[1000];

	(void)unused;
	memset(lots, '.', sizeof(lots) - 1);
	dev.protocol = &undecided;
	begin();
	for (int i = 0; i < 10; i++)
		receive(lots, 1100);
	assert_int_equal(x.received, 10 * (sizeof(lots) - 1));
	assert_in_range(x.in_n, 0, EXCHANGE_INBOX);
	wait_for_end(1100);
	assert_int_equal(x.state, EXCHANGE_FAILED);
}

static void a_request_without_reply_is_a_pause(void **unused)
{
	(void)unused;
	request.no_reply = true;
	begin();
	receive("<R>", 1100);
	assert_int_equal(x.state, EXCHANGE_WAITING);
	assert_int_equal(taken, 0);
	assert_true(wait_for_end(1100) == SENT_MS + WIRE_MS + FIRST_MS);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
}

static void a_pause_on_a_babbling_line_is_no_longer(void **unused)
{
	(void)unused;
	request.no_reply = true;
	begin();
	receive("?", SENT_MS + WIRE_MS + FIRST_MS - 1);
	exchange_tick(&x, SENT_MS + WIRE_MS + FIRST_MS);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
}

static void finishing_is_silence_at_once(void **unused)
{
	(void)unused;
	begin();
	receive("<Q>", 1100);
	exchange_finish(&x, 1101);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	exchange_finish(&x, 1102);
	assert_int_equal(stats.answers, 1);
	begin();
	exchange_finish(&x, 1101);
	assert_int_equal(x.state, EXCHANGE_FAILED);
}

/* ---- after the end ---- */

static bool late(const char *s, uint64_t at)
{
	return exchange_late(&x, (struct bytes){(const uint8_t *)s, strlen(s)}, at);
}

static void a_late_frame_is_counted_and_never_decoded(void **unused)
{
	(void)unused;
	begin();
	wait_for_end(SENT_MS);
	assert_false(late("?<", 1400));
	assert_false(late("A", 1410));
	assert_true(late(">", 1420));
	assert_int_equal(stats.late_frames, 1);
	assert_int_equal(taken, 0);
	assert_false(reading_knows(&dev.reading, Q_SOC_PCT));
	assert_int_equal(x.state, EXCHANGE_FAILED);
	assert_true(x.last_byte_ms == 1420);
	/* and the next request does not find the rest of it */
	assert_false(late("<A", 1430));
	begin();
	receive(">", 1500);
	assert_int_equal(x.state, EXCHANGE_WAITING);
}

static void late_bytes_without_end_do_not_fill_the_inbox(void **unused)
{
	static char lots[1000];

	(void)unused;
	memset(lots, '.', sizeof(lots) - 1);
	dev.protocol = &undecided;
	begin();
	exchange_finish(&x, 1100);
	for (int i = 0; i < 10; i++)
		assert_false(late(lots, 1200));
	assert_in_range(x.in_n, 0, EXCHANGE_INBOX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_answer_ends_it_at_once, fresh),
		cmocka_unit_test_setup(an_answer_may_come_in_pieces_with_noise_around, fresh),
		cmocka_unit_test_setup(a_refusal_ends_it_with_its_reason, fresh),
		cmocka_unit_test_setup(what_answers_something_else_is_passed_over, fresh),
		cmocka_unit_test_setup(what_is_not_believed_leaves_room_for_a_better_one, fresh),
		cmocka_unit_test_setup(nothing_after_the_answer_is_judged, fresh),
		cmocka_unit_test_setup(errors_say_what_came, fresh),
		cmocka_unit_test_setup(an_echo_is_taken_off_and_alone_it_is_no_reply, fresh),
		cmocka_unit_test_setup(what_only_begins_like_an_echo_is_none, fresh),
		cmocka_unit_test_setup(an_answer_that_equals_the_request_is_taken_where_it_may, fresh),
		cmocka_unit_test_setup(parts_are_ended_by_the_last_one, fresh),
		cmocka_unit_test_setup(parts_are_ended_by_silence_where_that_is_an_answer, fresh),
		cmocka_unit_test_setup(half_an_answer_is_rolled_back, fresh),
		cmocka_unit_test_setup(a_refusal_after_half_an_answer_rolls_it_back, fresh),
		cmocka_unit_test_setup(the_first_byte_is_waited_for_from_the_end_of_sending, fresh),
		cmocka_unit_test_setup(a_reply_that_has_begun_in_time_may_end_later, fresh),
		cmocka_unit_test_setup(noise_before_its_time_does_not_end_it, fresh),
		cmocka_unit_test_setup(a_line_that_babbles_ends_all_the_same, fresh),
		cmocka_unit_test_setup(endless_parts_end_all_the_same, fresh),
		cmocka_unit_test_setup(a_recogniser_that_never_decides_does_not_fill_the_inbox, fresh),
		cmocka_unit_test_setup(a_request_without_reply_is_a_pause, fresh),
		cmocka_unit_test_setup(a_pause_on_a_babbling_line_is_no_longer, fresh),
		cmocka_unit_test_setup(finishing_is_silence_at_once, fresh),
		cmocka_unit_test_setup(a_late_frame_is_counted_and_never_decoded, fresh),
		cmocka_unit_test_setup(late_bytes_without_end_do_not_fill_the_inbox, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
