/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Poll cycles, losses and commands on a line in simulated time, with a JBD board of the test's own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/session.h"
#include "vline.h"

/* What the board does, and what it is made to do wrong. */
static struct board {
	uint8_t hold;      /* bit 0 charge MOS, bit 1 discharge MOS held off */
	uint32_t delay_ms;
	bool silent, bad_sum, ineffective;
	unsigned asked[256]; /* per register */
} board;

static struct vline line;
static struct line_stats stats;
static unsigned readings, misses, founds;
static double last_voltage;
static struct command_outcome outcome;
static unsigned outcomes;

static void reply(struct vline *v, uint8_t reg, uint8_t status, const uint8_t *data, uint8_t n)
{
	uint8_t f[64] = {0xdd, reg, status, n};
	uint16_t sum = 0;

	if (n)
		memcpy(f + 4, data, n);
	for (int i = 2; i < 4 + n; i++)
		sum = (uint16_t)(sum + f[i]);
	sum = (uint16_t)(0x10000 - sum + (board.bad_sum ? 1 : 0));
	f[4 + n] = (uint8_t)(sum >> 8);
	f[5 + n] = (uint8_t)sum;
	f[6 + n] = 0x77;
	vline_reply_bytes(v, (struct bytes){f, 7u + n}, board.delay_ms);
}

static void on_request(void *ctx, struct vline *v, struct bytes r)
{
	/* 13.28 V, 0 A, 50 of 100 Ah, 4S, SoC 50 %, one sensor 25 degC */
	uint8_t basic[25] = {0x05, 0x30, 0, 0, 0x13, 0x88, 0x27, 0x10, 0, 3, 0, 0, 0,
			     0,    0,    0, 0, 0,    0x20, 50,   3,    4, 1, 0x0b, 0xa5};
	static const uint8_t cells[8] = {0x0c, 0xf8, 0x0c, 0xf8, 0x0c, 0xf8, 0x0c, 0xf8};

	(void)ctx;
	board.asked[u8_at(r, 2)]++;
	if (board.silent)
		return;
	basic[20] = (uint8_t)(3 & ~board.hold);
	basic[16] = board.hold ? 0x10 : 0;
	if (u8_at(r, 1) == 0x5a) {
		if (u8_at(r, 2) == 0xe1 && !board.ineffective)
			board.hold = u8_at(r, 5);
		reply(v, u8_at(r, 2), 0, NULL, 0);
	} else if (u8_at(r, 2) == 3) {
		reply(v, 3, 0, basic, sizeof(basic));
	} else if (u8_at(r, 2) == 4) {
		reply(v, 4, 0, cells, sizeof(cells));
	} else if (u8_at(r, 2) == 5) {
		reply(v, 5, 0, (const uint8_t *)"TEST", 4);
	} else {
		reply(v, u8_at(r, 2), 0x80, NULL, 0);
	}
}

static void on_send(void *ctx, const struct request *request)
{
	(void)ctx;
	vline_send(&line, (struct bytes){request->tx, request->n});
}

static void on_found(void *ctx, struct session_pack *p, uint64_t now)
{
	(void)ctx;
	(void)p;
	(void)now;
	founds++;
}

static void on_reading(void *ctx, struct session_pack *p, uint64_t now)
{
	(void)ctx;
	(void)now;
	readings++;
	last_voltage = reading_get(&p->dev.reading, Q_VOLTAGE_V);
}

static void on_missed(void *ctx, struct session_pack *p, uint64_t now)
{
	(void)ctx;
	(void)p;
	(void)now;
	misses++;
}

static void on_command(void *ctx, struct session_pack *p, const struct command *c, const struct command_outcome *o,
		       uint64_t now)
{
	(void)ctx;
	(void)p;
	(void)c;
	(void)now;
	outcome = *o;
	outcomes++;
}

static struct session *start_as(const char *protocol, const struct line *speed, vline_device device)
{
	struct session_io io = {on_send, on_found, on_reading, on_missed, on_command, NULL};
	struct device dev;

	memset(&board, 0, sizeof(board));
	memset(&line, 0, sizeof(line));
	memset(&stats, 0, sizeof(stats));
	readings = misses = founds = outcomes = 0;
	board.delay_ms = 60;
	line.now_ms = 1;
	line.line = line.device_line = *speed;
	line.connected = true;
	line.device = device;
	assert_true(device_init(&dev, protocol_by_id(protocol), protocol_by_id(protocol)->first_address, 0, NULL));
	struct session *s = session_new(dev, speed, false, 1000, NULL, 0, io, &stats);
	assert_non_null(s);
	session_start(s, line.now_ms);
	return s;
}

static struct session *start(void)
{
	return start_as("jbd-uart", &(const struct line){9600, 8, 'N', 1}, on_request);
}

static void run(struct session *s, uint64_t ms)
{
	uint64_t until = line.now_ms + ms;
	struct vline_event e;

	for (;;) {
		uint64_t at = session_deadline(s);

		if (vline_next(&line) < at)
			at = vline_next(&line);
		if (at > until) {
			line.now_ms = until;
			return;
		}
		if (at > line.now_ms)
			line.now_ms = at;
		while (vline_take(&line, &e))
			session_receive(s, (struct bytes){e.bytes, e.n}, line.now_ms);
		session_tick(s, line.now_ms);
	}
}

static void a_reading_comes_every_second(void **unused)
{
	struct session *s = start();

	(void)unused;
	run(s, 10000);
	assert_int_equal(founds, 1);
	assert_in_range(readings, 10, 12);
	assert_int_equal(misses, 0);
	assert_true(last_voltage == 13.28);
	session_free(s);
}

static void the_name_is_asked_once_and_what_is_refused_not_again(void **unused)
{
	struct session *s = start();

	(void)unused;
	run(s, 30000);
	assert_int_equal(board.asked[5], 1);
	assert_int_equal(board.asked[0xfa], 1);
	assert_string_equal(session_pack(s, 0)->dev.reading.text[T_MODEL], "TEST");
	assert_true(session_pack(s, 0)->identified);
	session_free(s);
}

static void a_board_that_falls_silent_is_lost_and_comes_back(void **unused)
{
	struct session *s = start();

	(void)unused;
	run(s, 3000);
	board.silent = true;
	run(s, 30000);
	assert_true(session_pack(s, 0)->lost);
	assert_true(session_silent_since(s) > 0);
	assert_in_range(misses, 3, 15);
	unsigned before = readings;
	board.silent = false;
	run(s, 15000);
	assert_false(session_pack(s, 0)->lost);
	assert_true(readings > before + 5);
	assert_int_equal(session_silent_since(s), 0);
	session_free(s);
}

static void a_silent_board_is_asked_rarely(void **unused)
{
	struct session *s = start();

	(void)unused;
	board.silent = true;
	run(s, 60000);
	unsigned sent = line.sent;
	run(s, 60000);
	assert_in_range(line.sent - sent, 1, 20);
	session_free(s);
}

static void wrong_checksums_never_become_a_reading(void **unused)
{
	struct session *s = start();

	(void)unused;
	board.bad_sum = true;
	run(s, 20000);
	assert_int_equal(readings, 0);
	assert_true(stats.bad_frames > 3);
	session_free(s);
}

static void a_device_slower_than_its_sheet_is_waited_for(void **unused)
{
	struct session *s = start();

	(void)unused;
	board.delay_ms = 450; /* the sheet says 300 ms */
	run(s, 30000);
	assert_true(readings > 10);
	assert_true(stats.late_frames > 0);
	session_free(s);
}

static void no_answer_meets_another_request(void **unused)
{
	struct session *s = start();

	(void)unused;
	/* Each reply comes while the next request would already be out, if nobody waited for silence. */
	board.delay_ms = 700;
	run(s, 20000);
	assert_int_equal(stats.foreign_frames, 0);
	session_free(s);
}

static void command(struct session *s, enum command_kind kind, double value)
{
	struct command c = {.kind = kind, .value = value};
	struct wall_time now = {2026, 1, 2, 3, 4, 5};

	assert_int_equal(session_command(s, 0, &c, &now), 0);
	run(s, 20000);
	assert_int_equal(outcomes, 1);
}

static void charge_off_is_sent_and_read_back(void **unused)
{
	struct session *s = start();

	(void)unused;
	run(s, 2000);
	command(s, COMMAND_CHARGE, 0);
	assert_int_equal(outcome.result, COMMAND_DONE);
	assert_int_equal(board.hold, 1);
	assert_non_null(strstr(line.log, "dd5ae1020001ff1c77"));
	assert_non_null(strstr(line.log, "dd5a01020000fffd77"));
	assert_int_equal(reading_flag(&session_pack(s, 0)->dev.reading, F_CHARGE_MOS), OFF);
	session_free(s);
}

static void a_switch_leaves_the_other_one_as_it_is(void **unused)
{
	struct session *s = start();

	(void)unused;
	board.hold = 2; /* somebody holds discharge off */
	run(s, 2000);
	command(s, COMMAND_CHARGE, 0);
	assert_int_equal(outcome.result, COMMAND_DONE);
	assert_int_equal(board.hold, 3);
	session_free(s);
}

static void an_acknowledged_command_without_effect_is_not_confirmed(void **unused)
{
	struct session *s = start();

	(void)unused;
	run(s, 2000);
	board.ineffective = true;
	command(s, COMMAND_CHARGE, 0);
	assert_int_equal(outcome.result, COMMAND_UNCONFIRMED);
	session_free(s);
}

static void polling_goes_on_after_a_command(void **unused)
{
	struct session *s = start();

	(void)unused;
	run(s, 2000);
	command(s, COMMAND_CHARGE, 0);
	unsigned before = readings;
	run(s, 5000);
	assert_in_range(readings - before, 4, 7);
	session_free(s);
}

static void a_second_command_waits_for_the_first(void **unused)
{
	struct session *s = start();
	struct command c = {.kind = COMMAND_CHARGE};
	struct wall_time now = {2026, 1, 2, 3, 4, 5};

	(void)unused;
	run(s, 2000);
	assert_int_equal(session_command(s, 0, &c, &now), 0);
	assert_true(session_command(s, 0, &c, &now) < 0);
	session_free(s);
}

/* An adapter that returns what it is sent; the board is silent. */
static void echoes(void *ctx, struct vline *v, struct bytes r)
{
	(void)ctx;
	vline_reply_bytes(v, r, 0);
}

static void where_somebody_else_asks_nothing_more_is_sent(void **unused)
{
	const struct line speed = {115200, 8, 'N', 1};
	struct session *s = start_as("jk-pb", &speed, echoes);
	struct command c = {.kind = COMMAND_CHARGE};
	const struct wall_time now = {.year = 2024, .month = 3, .day = 1};

	(void)unused;
	run(s, 5000);
	assert_false(session_listening(s)); /* one's own echo is nobody else */
	/* What a master sends to board 5: status, later the settings. One alone, and one more much later, is no master. */
	vline_reply(&line, "051016200001020000e431", 300);
	run(s, 30000);
	vline_reply(&line, "051016200001020000e431", 300);
	run(s, 2000);
	assert_false(session_listening(s));
	vline_reply(&line, "0510161e0001020000e0ef", 300);
	run(s, 2000);
	assert_true(session_listening(s));
	unsigned sent = line.sent;
	run(s, 60000);
	assert_int_equal(line.sent, sent);
	assert_int_equal(session_command(s, 0, &c, &now), -EPERM);
	session_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reading_comes_every_second),
		cmocka_unit_test(the_name_is_asked_once_and_what_is_refused_not_again),
		cmocka_unit_test(a_board_that_falls_silent_is_lost_and_comes_back),
		cmocka_unit_test(a_silent_board_is_asked_rarely),
		cmocka_unit_test(wrong_checksums_never_become_a_reading),
		cmocka_unit_test(a_device_slower_than_its_sheet_is_waited_for),
		cmocka_unit_test(no_answer_meets_another_request),
		cmocka_unit_test(charge_off_is_sent_and_read_back),
		cmocka_unit_test(a_switch_leaves_the_other_one_as_it_is),
		cmocka_unit_test(an_acknowledged_command_without_effect_is_not_confirmed),
		cmocka_unit_test(polling_goes_on_after_a_command),
		cmocka_unit_test(a_second_command_waits_for_the_first),
		cmocka_unit_test(where_somebody_else_asks_nothing_more_is_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
