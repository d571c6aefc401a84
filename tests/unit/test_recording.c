/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading recordings of both formats: JSON lines and candump's log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/candump.h"
#include "model/wire.h"

static struct record rec;
static struct recording recording;
static char why[200];

static void open_text(const char *text)
{
	recording = (struct recording){.file = tmpfile()};
	assert_non_null(recording.file);
	assert_int_equal(fwrite(text, 1, strlen(text), recording.file), strlen(text));
	assert_true(recording_rewind(&recording));
}

static int next(void)
{
	*why = 0;
	return recording_next(&recording, &rec, why, sizeof(why));
}

static int close_text(void **state)
{
	(void)state;
	if (recording.file)
		fclose(recording.file);
	recording_free(&recording);
	recording.file = NULL;
	return 0;
}

static void assert_frame(const char *wanted)
{
	char text[CAN_TEXT_SIZE + 8];

	assert_true(rec.can);
	wire_text(LINK_CAN, (struct bytes){rec.bytes, rec.n}, text, sizeof(text));
	assert_string_equal(text, wanted);
}

/* ---- candump's log ---- */

static void candump_log_is_recognised_by_its_first_line(void **state)
{
	(void)state;
	open_text("\n(1436509052.249713) vcan0 044#2A366C2BBA\n"
		  "(1436509052.499713)   can1 18F128F4#EE0AF00A7B240300 R\r\n"
		  "(1436509053.249713) can1 100# T\n");
	assert_int_equal(next(), 1);
	assert_int_equal(rec.kind, RECORD_RECEIVED);
	assert_string_equal(rec.port, "vcan0");
	assert_true(rec.t == 0);
	assert_frame("044#2A366C2BBA");
	assert_int_equal(next(), 1);
	assert_int_equal(rec.kind, RECORD_RECEIVED);
	assert_string_equal(rec.port, "can1");
	assert_true(rec.t > 0.2499 && rec.t < 0.2501);
	assert_frame("18F128F4#EE0AF00A7B240300");
	assert_int_equal(next(), 1);
	assert_int_equal(rec.kind, RECORD_SENT);
	assert_true(rec.t > 0.9999 && rec.t < 1.0001);
	assert_frame("100#");
	assert_int_equal(next(), 0);
}

static void log_can_be_read_again(void **state)
{
	(void)state;
	open_text("(5.0) can0 001#\n(6.5) can0 002#\n");
	assert_int_equal(next(), 1);
	assert_int_equal(next(), 1);
	assert_int_equal(next(), 0);
	assert_true(recording_rewind(&recording));
	assert_int_equal(next(), 1);
	assert_frame("001#");
	assert_true(rec.t == 0);
	assert_int_equal(next(), 1);
	assert_true(rec.t == 1.5);
}

static void clock_before_the_first_line_is_its_time(void **state)
{
	(void)state;
	open_text("(10.0) can0 001#\n(7.5) can0 002#\n");
	assert_int_equal(next(), 1);
	assert_int_equal(next(), 1);
	assert_true(rec.t == 0);
}

static void what_no_bms_says_is_skipped(void **state)
{
	static const char *const skipped[] = {
		"(1.0) can0 123##1001122334455667788",	       /* CAN FD */
		"(1.0) can0 12345678##0",		       /* CAN FD, empty */
		"(1.0) can0 123##5AABB R B E",		       /* CAN FD with its flags */
		"(1.0) can0 20000088#0000000000000000",	       /* an error frame */
		"(1.0) can0 00242123#81:00:12345678#11223344", /* CAN XL */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(skipped) / sizeof(skipped[0]); i++) {
		assert_true(candump_is(skipped[i]));
		assert_int_equal(candump_parse(skipped[i], &rec, why, sizeof(why)), 0);
	}
}

static void rare_but_right_frames_are_read(void **state)
{
	(void)state;
	assert_int_equal(candump_parse("(1.0) can0 123#R8", &rec, why, sizeof(why)), 1);
	assert_frame("123#R8");
	assert_int_equal(candump_parse("(1.0) can0 123#1122334455667788_B", &rec, why, sizeof(why)), 1);
	assert_frame("123#1122334455667788");
	assert_int_equal(candump_parse("(0001700000000.000001) slcan-usb_0:1 7FF#ff T", &rec, why, sizeof(why)), -1);
	assert_int_equal(candump_parse("(01700000000.000001) slcan-usb_0:1 7FF#ff T", &rec, why, sizeof(why)), 1);
	assert_string_equal(rec.port, "slcan-usb_0:1");
}

static void malformed_line_is_named_with_what_is_wrong(void **state)
{
	static const struct {
		const char *line, *said;
	} bad[] = {
		{"(1.0)", "line 2: after the time the name of an interface is missing"},
		{"(1.0) ", "line 2: after the time the name of an interface is missing"},
		{"(1.0) aninterfaceofthatlength 123#00", "line 2: after the time the name of an interface is missing"},
		{"(1.0) ca\x1bn0 123#00", "line 2: after the time the name of an interface is missing"},
		{"(1.0) 123#00", "line 2: after the time the name of an interface is missing"},
		{"(1.0) can0", "line 2: after the interface there is no CAN frame (ID#DATA)"},
		{"(1.0) can0 1234#00", "line 2: after the interface there is no CAN frame (ID#DATA)"},
		{"(1.0) can0 800#00", "line 2: after the interface there is no CAN frame (ID#DATA)"},
		{"(1.0) can0 123#0", "line 2: after the interface there is no CAN frame (ID#DATA)"},
		{"(1.0) can0 123#xx", "line 2: after the interface there is no CAN frame (ID#DATA)"},
		{"(1.0) can0 123#112233445566778899", "line 2: after the interface there is no CAN frame (ID#DATA)"},
		{"(1.0) can0 123#00_9", "line 2: after the interface there is no CAN frame (ID#DATA)"},
		{"(1.0) can0 123 [2] 00 11", "line 2: after the interface there is no CAN frame (ID#DATA)"},
		{"(1.0) can0 123#00 X", "line 2: after the frame there may only be R or T"},
		{"(1.0) can0 123#00 R R", "line 2: after the frame there may only be R or T"},
		{"(1.0) can0 123#00 RT", "line 2: after the frame there may only be R or T"},
		{"(1,0) can0 123#00", "line 2: it must begin with a time, (seconds.fraction)"},
		{"(.0) can0 123#00", "line 2: it must begin with a time, (seconds.fraction)"},
		{"(1.) can0 123#00", "line 2: it must begin with a time, (seconds.fraction)"},
		{"(1.0 can0 123#00", "line 2: it must begin with a time, (seconds.fraction)"},
		{"(nan) can0 123#00", "line 2: it must begin with a time, (seconds.fraction)"},
		{"{\"t\":1,\"port\":\"can0\"}", "line 2: it must begin with a time, (seconds.fraction)"},
	};
	char text[200];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "(0.0) can0 001#\n%s\n", bad[i].line);
		open_text(text);
		assert_int_equal(next(), 1);
		if (next() != -1 || strcmp(why, bad[i].said) != 0)
			fail_msg("%s: %s", bad[i].line, why);
		close_text(state);
	}
}

static void written_line_is_read_back(void **state)
{
	uint8_t frame[CAN_BYTES];
	char text[100] = "";

	(void)state;
	assert_int_equal(wire_parse("1FFFFFFF#0011223344556677", frame, sizeof(frame)), CAN_BYTES);
	recording = (struct recording){.file = tmpfile()};
	assert_true(candump_write(recording.file, 1436509052249713, "vcan0", (struct bytes){frame, sizeof(frame)},
				  true) > 0);
	assert_true(candump_write(recording.file, 7000042, "can0", (struct bytes){frame, sizeof(frame)}, false) > 0);
	assert_true(recording_rewind(&recording));
	assert_non_null(fgets(text, sizeof(text), recording.file));
	assert_string_equal(text, "(1436509052.249713) vcan0 1FFFFFFF#0011223344556677 T\n");
	assert_non_null(fgets(text, sizeof(text), recording.file));
	assert_string_equal(text, "(0000000007.000042) can0 1FFFFFFF#0011223344556677 R\n");
	assert_true(recording_rewind(&recording));
	assert_int_equal(next(), 1);
	assert_int_equal(rec.kind, RECORD_SENT);
	assert_frame("1FFFFFFF#0011223344556677");
}

/* ---- JSON lines ---- */

static void frames_in_json_are_as_in_captures(void **state)
{
	(void)state;
	open_text("{\"recording\":\"bmscope\",\"version\":1}\n"
		  "{\"t\":0.5,\"port\":\"can0\",\"tx\":\"18900140#0000000000000000\"}\n"
		  "{\"t\":0.6,\"port\":\"can0\",\"rx\":\"123#0A\"}\n"
		  "{\"t\":0.7,\"port\":\"can0\",\"rx\":\"00000123010a00000000000000\"}\n");
	assert_int_equal(next(), 1);
	assert_int_equal(rec.kind, RECORD_SENT);
	assert_frame("18900140#0000000000000000");
	assert_int_equal(next(), 1);
	assert_int_equal(rec.kind, RECORD_RECEIVED);
	assert_frame("123#0A");
	uint8_t as_frame[CAN_BYTES];
	memcpy(as_frame, rec.bytes, sizeof(as_frame));
	assert_int_equal(next(), 1);
	assert_false(rec.can);
	assert_int_equal(rec.n, CAN_BYTES);
	assert_memory_equal(rec.bytes, as_frame, CAN_BYTES);
	assert_int_equal(next(), 0);
}

static void malformed_record_is_named(void **state)
{
	static const char *const bad[] = {
		"{\"t\":0.5,\"port\":\"can0\",\"tx\":\"1234#00\"}",
		"{\"t\":0.5,\"port\":\"can0\",\"rx\":\"123#00 123#00\"}",
		"{\"t\":0.5,\"port\":\"can0\",\"rx\":7}",
		"{\"t\":-1,\"port\":\"can0\",\"rx\":\"00\"}",
		"(1.0) can0 123#00",
		"{\"x\":1}",
		"[]",
		"{",
	};

	char text[200];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "{\"t\":0,\"port\":\"p\",\"note\":\"x\"}\n\n%s\n", bad[i]);
		open_text(text);
		assert_int_equal(next(), 1);
		if (next() != -1 || strncmp(why, "line 3: ", 8) != 0)
			fail_msg("%s: %s", bad[i], why);
		close_text(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(candump_log_is_recognised_by_its_first_line, close_text),
		cmocka_unit_test_teardown(log_can_be_read_again, close_text),
		cmocka_unit_test_teardown(clock_before_the_first_line_is_its_time, close_text),
		cmocka_unit_test_teardown(what_no_bms_says_is_skipped, close_text),
		cmocka_unit_test_teardown(rare_but_right_frames_are_read, close_text),
		cmocka_unit_test_teardown(malformed_line_is_named_with_what_is_wrong, close_text),
		cmocka_unit_test_teardown(written_line_is_read_back, close_text),
		cmocka_unit_test_teardown(frames_in_json_are_as_in_captures, close_text),
		cmocka_unit_test_teardown(malformed_record_is_named, close_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
