/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The shared checksums, on values that anybody can look up or add up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocols/checksum.h"

static struct bytes text(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void the_modbus_check_value_of_123456789_is_4b37(void **unused)
{
	(void)unused;
	assert_int_equal(crc16_modbus(text("123456789")), 0x4b37);
}

static void the_modbus_sum_of_nothing_is_its_start_value(void **unused)
{
	(void)unused;
	assert_int_equal(crc16_modbus((struct bytes){NULL, 0}), 0xffff);
}

static void the_modbus_sum_of_a_frame_with_its_sum_is_0(void **unused)
{
	uint8_t frame[] = {0x01, 0x03, 0x00, 0x00, 0x00, 0x0a, 0, 0};
	uint16_t crc = crc16_modbus((struct bytes){frame, 6});

	(void)unused;
	frame[6] = (uint8_t)crc; /* low byte first */
	frame[7] = (uint8_t)(crc >> 8);
	assert_int_equal(frame[6], 0xc5);
	assert_int_equal(frame[7], 0xcd);
	assert_int_equal(crc16_modbus((struct bytes){frame, 8}), 0);
}

static void every_single_bit_error_changes_the_modbus_sum(void **unused)
{
	uint8_t frame[] = {0x01, 0x03, 0x00, 0x00, 0x00, 0x0a};
	uint16_t right = crc16_modbus((struct bytes){frame, sizeof(frame)});

	(void)unused;
	for (unsigned bit = 0; bit < 8 * sizeof(frame); bit++) {
		frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(crc16_modbus((struct bytes){frame, sizeof(frame)}), right);
		frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void sums_wrap_at_their_width(void **unused)
{
	uint8_t many[300];

	(void)unused;
	memset(many, 0xff, sizeof(many));
	assert_int_equal(sum16((struct bytes){many, 2}), 0x1fe);
	assert_int_equal(sum8((struct bytes){many, 2}), 0xfe);
	assert_int_equal(sum16((struct bytes){many, 258}), 258 * 255 - 65536);
	assert_int_equal(sum16((struct bytes){many, 257}), 65535);
	assert_int_equal(sum8((struct bytes){many, 0}), 0);
	assert_int_equal(sum16((struct bytes){NULL, 0}), 0);
}

static void the_sum_of_a_daly_request_is_the_sheets(void **unused)
{
	static const uint8_t request[] = {0xa5, 0x40, 0x90, 0x08, 0, 0, 0, 0, 0, 0, 0, 0};

	(void)unused;
	assert_int_equal(sum8((struct bytes){request, sizeof(request)}), 0x7d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_modbus_check_value_of_123456789_is_4b37),
		cmocka_unit_test(the_modbus_sum_of_nothing_is_its_start_value),
		cmocka_unit_test(the_modbus_sum_of_a_frame_with_its_sum_is_0),
		cmocka_unit_test(every_single_bit_error_changes_the_modbus_sum),
		cmocka_unit_test(sums_wrap_at_their_width),
		cmocka_unit_test(the_sum_of_a_daly_request_is_the_sheets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
