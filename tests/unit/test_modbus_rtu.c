/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The Modbus RTU codec on the examples and rules of its sheet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocols/checksum.h"
#include "protocols/modbus_rtu.h"

static uint8_t room[512];

/* Hex, with the CRC appended where it ends in "..". */
static struct bytes frame(const char *hex)
{
	char digits[600];
	size_t n = strlen(hex);
	bool seal = n > 2 && !strcmp(hex + n - 2, "..");

	snprintf(digits, sizeof(digits), "%.*s", (int)(seal ? n - 2 : n), hex);
	int size = bytes_from_hex(digits, room, sizeof(room) - 2);
	assert_true(size >= 0);
	if (seal) {
		put_u16le(room + size, crc16_modbus((struct bytes){room, (size_t)size}));
		size += 2;
	}
	return (struct bytes){room, (size_t)size};
}

static struct request to(uint8_t address)
{
	return (struct request){.address = address};
}

static const char *sent(const struct request *r)
{
	static char hex[2 * MAX_REQUEST + 1];

	bytes_hex((struct bytes){r->tx, r->n}, hex, sizeof(hex));
	return hex;
}

static struct request read_holding(uint8_t address, uint16_t start, uint16_t count)
{
	struct request r = to(address);

	modbus_build_read(&r, MODBUS_READ_HOLDING, start, count);
	return r;
}

static void requests_are_those_of_the_sheet(void **unused)
{
	struct request r = read_holding(0x01, 0, 0x27);

	(void)unused;
	assert_string_equal(sent(&r), "01030000002705d0");
	assert_false(r.writes);
	r = read_holding(0xff, 0x0100, 0x22);
	assert_string_equal(sent(&r), "ff0301000022d1f1");
	r = to(0x00);
	modbus_build_read(&r, MODBUS_READ_INPUT, 0x2000, 0x1a);
	assert_string_equal(sent(&r), "00042000001a7bd0");
	r = to(0x02);
	modbus_build_read(&r, MODBUS_READ_COILS, 0x1200, 0x90);
	assert_string_equal(sent(&r), "020112000090392d");
}

static void a_write_of_one_register_is_answered_by_its_own_bytes(void **unused)
{
	struct request r = to(0x01);

	(void)unused;
	modbus_build_write(&r, 0x0039, 0x0014);
	assert_string_equal(sent(&r), "010600390014"
				      "59c8");
	assert_true(r.writes);
	assert_true(r.echo_is_reply);
}

static void a_write_of_a_block_is_answered_by_where_and_how_much(void **unused)
{
	static const uint8_t value[] = {0x13, 0x88};
	struct request r = to(0x00);

	(void)unused;
	modbus_build_write_block(&r, 0x135a, (struct bytes){value, sizeof(value)});
	assert_string_equal(sent(&r), "0010135a000102138888ad");
	assert_true(r.writes);
	assert_false(r.echo_is_reply);
}

static void a_write_of_coils_carries_them_packed_and_is_acknowledged_by_where_and_how_many(void **unused)
{
	static const uint8_t bits[] = {0xcd, 0x01};
	struct request r = to(0x01);
	const char *why = NULL;
	struct bytes values;

	(void)unused;
	modbus_build_write_coils(&r, 0x0013, 10, (struct bytes){bits, sizeof(bits)});
	assert_string_equal(sent(&r), "010f0013000a02cd0172cb");
	assert_true(r.writes);
	assert_false(r.echo_is_reply);
	assert_int_equal(modbus_request_length((struct bytes){r.tx, r.n}), r.n);
	struct bytes asked = {r.tx, r.n};
	assert_int_equal(modbus_judge(asked, frame("010f0013000a.."), &values, &why), FRAME_ANSWER);
	assert_int_equal(modbus_judge(asked, frame("010f0013000b.."), &values, &why), FRAME_FOREIGN);
	assert_int_equal(modbus_judge(asked, frame("018f02.."), &values, &why), FRAME_REFUSED);
}

static void lengths_follow_from_the_head(void **unused)
{
	static const struct {
		const char *head;
		int request, reply;
	} row[] = {
		{"01", 0, 0},	   {"0103", 8, 0},   {"010306", 8, 11},		{"0101", 8, 0},
		{"010112", 8, 23}, {"010402", 8, 7}, {"0102ff", 8, 260},	{"0105", 8, 8},
		{"0106", 8, 8},	   {"0110", 0, 8},   {"0110135a000102", 11, 8}, {"010f0000000a02", 11, 8},
		{"0183", -1, 5},   {"0190", -1, 5},  {"0107", -1, -1},		{"0117", -1, -1},
		{"0100", -1, -1},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(modbus_request_length(frame(row[i].head)), row[i].request);
		assert_int_equal(modbus_reply_length(frame(row[i].head)), row[i].reply);
	}
}

static void a_crc_over_nothing_never_fits(void **unused)
{
	(void)unused;
	assert_false(modbus_crc_fits(frame("")));
	assert_false(modbus_crc_fits(frame("ffff")));
	assert_true(modbus_crc_fits(frame("02074112")));
	assert_false(modbus_crc_fits(frame("02074113")));
}

static void a_reply_is_waited_for_until_it_is_whole(void **unused)
{
	struct request r = read_holding(1, 0, 2);
	const char *why = NULL;
	struct bytes whole = frame("010304000a0014..");

	(void)unused;
	for (size_t n = 1; n < whole.n; n++)
		assert_int_equal(modbus_find_reply(&r, bytes_sub(whole, 0, n), false, &why), 0);
	assert_int_equal(modbus_find_reply(&r, whole, false, &why), 9);
	assert_null(why);
}

static void a_reply_cut_short_is_dropped_when_the_line_is_quiet(void **unused)
{
	struct request r = read_holding(1, 0, 2);
	const char *why = NULL;

	(void)unused;
	assert_int_equal(modbus_find_reply(&r, frame("010304000a00"), true, &why), -1);
	assert_string_equal(why, "frame cut short");
}

static void a_damaged_reply_costs_one_byte_only(void **unused)
{
	struct request r = read_holding(1, 0, 1);
	const char *why = NULL;

	(void)unused;
	assert_int_equal(modbus_find_reply(&r, frame("010302000a0000"), false, &why), -1);
	assert_string_equal(why, "checksum");
}

static void noise_is_not_waited_upon(void **unused)
{
	struct request r = read_holding(1, 0, 1);
	const char *why = NULL;

	(void)unused;
	assert_int_equal(modbus_find_reply(&r, frame("00"), false, &why), -1);
	assert_int_equal(modbus_find_reply(&r, frame("0203"), false, &why), -1); /* another address */
	assert_int_equal(modbus_find_reply(&r, frame("0104"), false, &why), -1); /* another function */
	assert_int_equal(modbus_find_reply(&r, frame("0107"), false, &why), -1); /* no function */
	assert_null(why);
}

static void the_whole_reply_of_another_address_is_a_frame_but_no_answer(void **unused)
{
	struct request r = read_holding(1, 0, 1);
	const char *why = NULL;
	struct bytes values, f = frame("020302000a..");

	(void)unused;
	assert_int_equal(modbus_find_reply(&r, f, false, &why), 7);
	assert_int_equal(modbus_judge((struct bytes){r.tx, r.n}, f, &values, &why), FRAME_FOREIGN);
	f = frame("010402000a.."); /* another function */
	assert_int_equal(modbus_judge((struct bytes){r.tx, r.n}, f, &values, &why), FRAME_FOREIGN);
}

static void without_a_request_everybodys_reply_is_found(void **unused)
{
	const char *why = NULL;
	struct bytes f = frame("070302000a..");

	(void)unused;
	assert_int_equal(modbus_find_reply(NULL, bytes_sub(f, 0, 4), false, &why), 0);
	assert_int_equal(modbus_find_reply(NULL, f, false, &why), 7);
	assert_int_equal(modbus_find_reply(NULL, frame("070302000a0000"), false, &why), -1);
	assert_null(why); /* nobody waits for it: noise */
}

static void the_values_of_a_read_are_as_many_as_the_reply_says(void **unused)
{
	struct request r = read_holding(1, 0x1200, 2);
	const char *why = NULL;
	struct bytes values = {NULL, 0};

	(void)unused;
	assert_int_equal(modbus_judge((struct bytes){r.tx, r.n}, frame("010304000a0014.."), &values, &why),
			 FRAME_ANSWER);
	assert_int_equal(values.n, 4);
	assert_int_equal(u16be_at(values, 2), 0x14);
	assert_int_equal(modbus_read_bytes((struct bytes){r.tx, r.n}), 4);
	assert_int_equal(modbus_judge((struct bytes){r.tx, r.n}, frame("010302000a.."), &values, &why), FRAME_ANSWER);
	assert_int_equal(values.n, 2);
}

static void bits_are_counted_in_bytes(void **unused)
{
	struct request r = to(2);
	const char *why = NULL;
	struct bytes values = {NULL, 0};
	struct bytes f = frame("020112000000000000000002000000000000030000e999");

	(void)unused;
	modbus_build_read(&r, MODBUS_READ_COILS, 0x1200, 144);
	assert_int_equal(modbus_read_bytes((struct bytes){r.tx, r.n}), 18);
	assert_int_equal(modbus_judge((struct bytes){r.tx, r.n}, f, &values, &why), FRAME_ANSWER);
	assert_int_equal(values.n, 18);
	assert_int_equal(u8_at(values, 8), 0x02);
	modbus_build_read(&r, MODBUS_READ_COILS, 0, 9);
	assert_int_equal(modbus_read_bytes((struct bytes){r.tx, r.n}), 2);
}

static void an_exception_is_a_refusal_with_its_reason(void **unused)
{
	struct request r = read_holding(1, 0, 1);
	const char *why = NULL;
	struct bytes values, f = frame("018302..");

	(void)unused;
	assert_int_equal(modbus_find_reply(&r, f, false, &why), 5);
	assert_int_equal(modbus_judge((struct bytes){r.tx, r.n}, f, &values, &why), FRAME_REFUSED);
	assert_string_equal(why, "illegal register address (exception 02)");
	f = frame("019002.."); /* of a write: not what was asked */
	assert_int_equal(modbus_judge((struct bytes){r.tx, r.n}, f, &values, &why), FRAME_FOREIGN);
}

static void every_exception_has_a_text_of_its_own(void **unused)
{
	static const uint8_t code[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x08, 0x0a, 0x0b, 0x81, 0x55};

	(void)unused;
	for (size_t i = 0; i < sizeof(code); i++) {
		char number[20];

		snprintf(number, sizeof(number), "exception %02X", code[i]);
		assert_true((strstr(modbus_exception_text(code[i]), number) != NULL) == (code[i] != 0x55));
	}
}

static void an_acknowledgement_must_be_that_of_this_write(void **unused)
{
	static const uint8_t value[] = {0, 0, 0, 1};
	struct request r = to(1);
	const char *why = NULL;
	struct bytes values;

	(void)unused;
	modbus_build_write_block(&r, 0x1070, (struct bytes){value, sizeof(value)});
	struct bytes asked = {r.tx, r.n};
	assert_int_equal(modbus_judge(asked, frame("011010700002.."), &values, &why), FRAME_ANSWER);
	assert_int_equal(modbus_judge(asked, frame("011010740002.."), &values, &why), FRAME_FOREIGN); /* where */
	assert_int_equal(modbus_judge(asked, frame("011010700001.."), &values, &why), FRAME_FOREIGN); /* how much */
	assert_int_equal(modbus_judge(asked, frame("021010700002.."), &values, &why), FRAME_FOREIGN); /* who */
	modbus_build_write(&r, 0x39, 0x14);
	asked = (struct bytes){r.tx, r.n};
	assert_int_equal(modbus_judge(asked, frame("010600390014.."), &values, &why), FRAME_ANSWER);
	assert_int_equal(modbus_judge(asked, frame("010600390015.."), &values, &why), FRAME_FOREIGN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_those_of_the_sheet),
		cmocka_unit_test(a_write_of_one_register_is_answered_by_its_own_bytes),
		cmocka_unit_test(a_write_of_a_block_is_answered_by_where_and_how_much),
		cmocka_unit_test(a_write_of_coils_carries_them_packed_and_is_acknowledged_by_where_and_how_many),
		cmocka_unit_test(lengths_follow_from_the_head),
		cmocka_unit_test(a_crc_over_nothing_never_fits),
		cmocka_unit_test(a_reply_is_waited_for_until_it_is_whole),
		cmocka_unit_test(a_reply_cut_short_is_dropped_when_the_line_is_quiet),
		cmocka_unit_test(a_damaged_reply_costs_one_byte_only),
		cmocka_unit_test(noise_is_not_waited_upon),
		cmocka_unit_test(the_whole_reply_of_another_address_is_a_frame_but_no_answer),
		cmocka_unit_test(without_a_request_everybodys_reply_is_found),
		cmocka_unit_test(the_values_of_a_read_are_as_many_as_the_reply_says),
		cmocka_unit_test(bits_are_counted_in_bytes),
		cmocka_unit_test(an_exception_is_a_refusal_with_its_reason),
		cmocka_unit_test(every_exception_has_a_text_of_its_own),
		cmocka_unit_test(an_acknowledgement_must_be_that_of_this_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
