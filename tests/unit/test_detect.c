/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Detection on a line in simulated time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/detect.h"
#include "vline.h"

#define JBD_BASIC_ASK "dda50300fffd77"
#define JBD_CELLS_ASK "dda50400fffc77"
/* 13.28 V, 50 of 100 Ah, 4S, SoC 50 %, both MOS on, one sensor 25 degC */
#define JBD_BASIC "dd03001905300000138827100003000000000000000020320304010ba5fdd377"
/* 4 x 3.320 V */
#define JBD_CELLS "dd0400080cf80cf80cf80cf8fbe877"

static struct vline line;
static struct line_stats stats;

static void send_on_line(void *ctx, const struct request *request)
{
	vline_send(ctx, (struct bytes){request->tx, request->n});
}

static void set_line(void *ctx, const struct line *l)
{
	struct vline *v = ctx;

	v->line = *l;
}

/* Runs until something is found, a sweep is over, or the time is. */
static void run(struct detect *d, unsigned sweeps, uint64_t until_ms)
{
	struct vline_event e;

	while (detect_state(d) != DETECT_FOUND && detect_sweeps(d) < sweeps) {
		uint64_t at = detect_deadline(d);

		if (vline_next(&line) < at)
			at = vline_next(&line);
		assert_true(at != UINT64_MAX);
		if (at > until_ms)
			return;
		if (at > line.now_ms)
			line.now_ms = at;
		while (vline_take(&line, &e))
			detect_receive(d, (struct bytes){e.bytes, e.n}, line.now_ms);
		detect_tick(d, line.now_ms);
	}
}

static struct detect *start(vline_device device, struct line device_line, const struct protocol *first)
{
	struct detect_io io = {send_on_line, set_line, &line};

	memset(&line, 0, sizeof(line));
	line.now_ms = 1;
	line.connected = device != NULL;
	line.device = device;
	line.device_line = device_line;
	struct detect *d = detect_new(protocols_all(), &(struct detect_hint){.protocol = first}, NULL, 0, NULL, io, &stats);
	assert_non_null(d);
	detect_start(d, line.now_ms);
	return d;
}

static bool is(struct bytes b, const char *hex)
{
	uint8_t want[64];
	int n = bytes_from_hex(hex, want, sizeof(want));

	return bytes_equal(b, (struct bytes){want, (size_t)n});
}

static const struct line at_9600 = {9600, 8, 'N', 1};

static void jbd(void *ctx, struct vline *v, struct bytes request)
{
	const uint32_t *delay = ctx;

	if (is(request, JBD_BASIC_ASK))
		vline_reply(v, JBD_BASIC, delay ? *delay : 80);
	if (is(request, JBD_CELLS_ASK))
		vline_reply(v, JBD_CELLS, delay ? *delay : 80);
}

static void a_jbd_is_found_within_600_ms_of_line_time(void **unused)
{
	struct detect *d = start(jbd, at_9600, NULL);
	bool listening;

	(void)unused;
	run(d, 3, 60000);
	assert_int_equal(detect_state(d), DETECT_FOUND);
	assert_in_range(line.now_ms, 0, 600);
	struct device dev = detect_take(d, &listening);
	assert_string_equal(dev.protocol->id, "jbd-uart");
	assert_false(listening);
	device_free(&dev);
	detect_free(d);
}

static void a_slow_jbd_is_still_found_though_its_answer_meets_another_question(void **unused)
{
	uint32_t delay = 230;
	struct detect *d = start(jbd, at_9600, NULL);

	(void)unused;
	line.ctx = &delay;
	run(d, 3, 60000);
	assert_int_equal(detect_state(d), DETECT_FOUND);
	detect_free(d);
}

static void a_silent_line_is_swept_once_in_5_s_and_then_patiently(void **unused)
{
	struct detect *d = start(NULL, at_9600, NULL);
	unsigned sent;

	(void)unused;
	run(d, 1, 60000);
	assert_int_equal(detect_sweeps(d), 1);
	assert_in_range(line.now_ms, 100, 5000);
	run(d, 3, 300000);
	assert_int_equal(detect_sweeps(d), 3);
	/* After that it rests: few requests in a minute. */
	run(d, 100, line.now_ms + 60000);
	sent = line.sent;
	run(d, 100, line.now_ms + 60000);
	assert_in_range(line.sent - sent, 1, 600);
	detect_free(d);
}

static void half_a_jbd(void *ctx, struct vline *v, struct bytes request)
{
	(void)ctx;
	if (is(request, JBD_BASIC_ASK))
		vline_reply(v, JBD_BASIC, 50);
}

static void one_good_frame_alone_declares_nothing(void **unused)
{
	struct detect *d = start(half_a_jbd, at_9600, NULL);

	(void)unused;
	run(d, 2, 60000);
	assert_int_equal(detect_state(d), DETECT_RUNNING);
	detect_free(d);
}

static void wrong_cells(void *ctx, struct vline *v, struct bytes request)
{
	(void)ctx;
	if (is(request, JBD_BASIC_ASK))
		vline_reply(v, JBD_BASIC, 50);
	if (is(request, JBD_CELLS_ASK))
		vline_reply(v, "dd0400080bf80bf80bf80bf8fbec77", 50); /* 12.26 V: not the pack's 13.28 V */
}

static void an_implausible_second_answer_declares_nothing(void **unused)
{
	struct detect *d = start(wrong_cells, at_9600, NULL);
	const struct attempt *a;
	bool said = false;

	(void)unused;
	run(d, 1, 60000);
	assert_int_equal(detect_state(d), DETECT_RUNNING);
	for (unsigned i = 0; i < detect_attempts(d, &a); i++)
		said = said || strstr(a[i].say, "do not add up");
	assert_true(said);
	detect_free(d);
}

static void echo(void *ctx, struct vline *v, struct bytes request)
{
	(void)ctx;
	vline_reply_bytes(v, request, 0);
}

static void an_echoing_adapter_is_no_bms(void **unused)
{
	struct detect *d = start(echo, at_9600, NULL);

	(void)unused;
	run(d, 2, 120000);
	assert_int_equal(detect_state(d), DETECT_RUNNING);
	detect_free(d);
}

static void noise(void *ctx, struct vline *v, struct bytes request)
{
	uint8_t b[64];

	(void)ctx;
	(void)request;
	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)rand();
	vline_reply_bytes(v, (struct bytes){b, sizeof(b)}, 5);
}

static void random_bytes_are_no_bms(void **unused)
{
	struct detect *d = start(noise, at_9600, NULL);

	(void)unused;
	srand(1);
	run(d, 4, 600000);
	assert_int_equal(detect_state(d), DETECT_RUNNING);
	detect_free(d);
}

static void what_was_spoken_before_is_asked_first(void **unused)
{
	struct detect *d = start(jbd, at_9600, protocol_by_id("jbd-uart"));

	(void)unused;
	run(d, 1, 60000);
	assert_int_equal(detect_state(d), DETECT_FOUND);
	assert_in_range(line.now_ms, 0, 350);
	detect_free(d);
}

static void detection_never_writes(void **unused)
{
	struct detect *d = start(NULL, at_9600, NULL);

	(void)unused;
	run(d, 3, 300000);
	/* Factory mode, switches, control words of JBD; nothing of it may ever have been sent. */
	assert_null(strstr(line.log, "dd5a"));
	detect_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_jbd_is_found_within_600_ms_of_line_time),
		cmocka_unit_test(a_slow_jbd_is_still_found_though_its_answer_meets_another_question),
		cmocka_unit_test(a_silent_line_is_swept_once_in_5_s_and_then_patiently),
		cmocka_unit_test(one_good_frame_alone_declares_nothing),
		cmocka_unit_test(an_implausible_second_answer_declares_nothing),
		cmocka_unit_test(an_echoing_adapter_is_no_bms),
		cmocka_unit_test(random_bytes_are_no_bms),
		cmocka_unit_test(what_was_spoken_before_is_asked_first),
		cmocka_unit_test(detection_never_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
