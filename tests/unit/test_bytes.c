/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reads that cannot leave their bytes; hex and text. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/bytes.h"

static const uint8_t five[] = {0x01, 0x02, 0xff, 0x04, 0x85};
static const struct bytes b = {five, sizeof(five)};
static const struct bytes none = {NULL, 0};

static void reads_take_their_order_of_bytes(void **unused)
{
	(void)unused;
	assert_int_equal(u8_at(b, 4), 0x85);
	assert_int_equal(u16be_at(b, 0), 0x0102);
	assert_int_equal(u16le_at(b, 0), 0x0201);
	assert_int_equal(u32be_at(b, 1), 0x02ff0485);
	assert_int_equal(u32le_at(b, 1), 0x8504ff02);
}

static void a_read_that_is_not_whole_inside_gives_0(void **unused)
{
	(void)unused;
	assert_int_equal(u8_at(b, 5), 0);
	assert_int_equal(u16be_at(b, 4), 0);
	assert_int_equal(u16le_at(b, 4), 0);
	assert_int_equal(u32be_at(b, 2), 0);
	assert_int_equal(u32le_at(b, 2), 0);
	assert_int_equal(u8_at(b, SIZE_MAX), 0);
	assert_int_equal(u16be_at(b, SIZE_MAX), 0);
	assert_int_equal(u32be_at(b, SIZE_MAX - 1), 0);
	assert_int_equal(u8_at(none, 0), 0);
}

static void inside_and_outside_are_told_without_overflow(void **unused)
{
	(void)unused;
	assert_true(bytes_has(b, 0, 5));
	assert_true(bytes_has(b, 5, 0));
	assert_false(bytes_has(b, 0, 6));
	assert_false(bytes_has(b, 6, 0));
	assert_false(bytes_has(b, 3, SIZE_MAX));
	assert_false(bytes_has(b, SIZE_MAX, 2));
}

static void parts_are_cut_to_what_is_there(void **unused)
{
	(void)unused;
	assert_int_equal(bytes_sub(b, 1, 2).n, 2);
	assert_int_equal(bytes_sub(b, 1, 2).p[0], 0x02);
	assert_int_equal(bytes_sub(b, 3, 100).n, 2);
	assert_int_equal(bytes_sub(b, 5, 1).n, 0);
	assert_int_equal(bytes_sub(b, 500, 1).n, 0);
	assert_int_equal(bytes_sub(b, 2, SIZE_MAX).n, 3);
	assert_int_equal(bytes_sub(none, 1, 1).n, 0);
}

static void numbers_of_every_type(void **unused)
{
	static const uint8_t raw[] = {0xff, 0xfe, 0x00, 0x01, 0x00, 0x00, 0xc0, 0x3f};
	const struct bytes r = {raw, sizeof(raw)};

	(void)unused;
	assert_true(raw_at(r, 0, RAW_U8) == 255);
	assert_true(raw_at(r, 0, RAW_S8) == -1);
	assert_true(raw_at(r, 0, RAW_U16BE) == 65534);
	assert_true(raw_at(r, 0, RAW_S16BE) == -2);
	assert_true(raw_at(r, 0, RAW_U16LE) == 65279);
	assert_true(raw_at(r, 0, RAW_S16LE) == -257);
	assert_true(raw_at(r, 0, RAW_U32BE) == 4294836225.0);
	assert_true(raw_at(r, 0, RAW_S32BE) == -131071);
	assert_true(raw_at(r, 0, RAW_U32LE) == 16842495);
	assert_true(raw_at(r, 0, RAW_S32LE) == 16842495);
	assert_true(raw_at(r, 4, RAW_F32LE) == 1.5);
	assert_true(raw_at(r, 5, RAW_F32LE) == 0);
}

static void every_type_has_its_size(void **unused)
{
	static const struct {
		enum raw_type type;
		size_t size;
	} types[] = {{RAW_U8, 1},    {RAW_S8, 1},    {RAW_U16BE, 2}, {RAW_S16BE, 2}, {RAW_U16LE, 2}, {RAW_S16LE, 2},
		     {RAW_U32BE, 4}, {RAW_S32BE, 4}, {RAW_U32LE, 4}, {RAW_S32LE, 4}, {RAW_F32LE, 4}};

	(void)unused;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_int_equal(raw_size(types[i].type), types[i].size);
}

static void what_is_put_is_read_again(void **unused)
{
	uint8_t buf[4];
	const struct bytes r = {buf, sizeof(buf)};

	(void)unused;
	put_u16be(buf, 0xa55a);
	assert_int_equal(u16be_at(r, 0), 0xa55a);
	put_u16le(buf, 0xa55a);
	assert_int_equal(u16le_at(r, 0), 0xa55a);
	put_u32be(buf, 0xdeadbeef);
	assert_int_equal(u32be_at(r, 0), 0xdeadbeef);
}

static void needles_are_found_at_or_after_a_place(void **unused)
{
	static const uint8_t hay[] = {1, 2, 1, 2, 3};
	const struct bytes h = {hay, 5}, two = {hay, 2}, three = {hay + 2, 3};

	(void)unused;
	assert_int_equal(bytes_find(h, two, 0), 0);
	assert_int_equal(bytes_find(h, two, 1), 2);
	assert_int_equal(bytes_find(h, two, 3), 5);
	assert_int_equal(bytes_find(h, three, 0), 2);
	assert_int_equal(bytes_find(h, none, 0), 5);
	assert_int_equal(bytes_find(none, two, 0), 0);
	assert_int_equal(bytes_find(h, two, 99), 5);
	assert_true(bytes_equal(two, (struct bytes){hay + 2, 2}));
	assert_false(bytes_equal(two, three));
	assert_true(bytes_equal(none, (struct bytes){hay, 0}));
}

static const char *text_of(const char *raw, size_t n, size_t size)
{
	static char out[32];

	memset(out, 'x', sizeof(out));
	size_t length = bytes_text((struct bytes){(const uint8_t *)raw, n}, out, size);

	assert_int_equal(length, strlen(out));
	return out;
}

static void text_is_printable_trimmed_and_ends(void **unused)
{
	(void)unused;
	assert_string_equal(text_of("  A\x01"
				    "B \xff C  ",
				    11, 32),
			    "AB  C");
	assert_string_equal(text_of("AB\0CD", 5, 32), "AB");
	assert_string_equal(text_of("a!~\x7f", 4, 32), "a!~");
	assert_string_equal(text_of("    ", 4, 32), "");
	assert_string_equal(text_of("ABCDEF", 6, 4), "ABC");
	assert_string_equal(text_of("ABCDEF", 6, 1), "");
	assert_string_equal(text_of("", 0, 32), "");
}

static void hex_that_does_not_fit_is_marked(void **unused)
{
	char out[11];

	(void)unused;
	bytes_hex(b, out, sizeof(out));
	assert_string_equal(out, "0102ff0485");
	bytes_hex(b, out, 10);
	assert_string_equal(out, "0102ff..");
	bytes_hex(b, out, 3);
	assert_string_equal(out, "..");
	bytes_hex(b, out, 2);
	assert_string_equal(out, "");
	bytes_hex(b, out, 1);
	assert_string_equal(out, "");
	bytes_hex(none, out, sizeof(out));
	assert_string_equal(out, "");
}

static void hex_is_read_strictly(void **unused)
{
	uint8_t out[4];

	(void)unused;
	assert_int_equal(bytes_from_hex("dD a5 03", out, 4), 3);
	assert_int_equal(out[0], 0xdd);
	assert_int_equal(out[2], 0x03);
	assert_int_equal(bytes_from_hex("afAF", out, 4), 2);
	assert_int_equal(out[0], 0xaf);
	assert_int_equal(out[1], 0xaf);
	assert_int_equal(bytes_from_hex("", out, 4), 0);
	assert_int_equal(bytes_from_hex("  ", out, 4), 0);
	assert_int_equal(bytes_from_hex("dda", out, 4), -1);
	assert_int_equal(bytes_from_hex("d da", out, 4), -1);
	assert_int_equal(bytes_from_hex("0x12", out, 4), -1);
	assert_int_equal(bytes_from_hex("gg", out, 4), -1);
	assert_int_equal(bytes_from_hex("0102030405", out, 4), -1);
	assert_int_equal(bytes_from_hex("01020304 ", out, 4), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_take_their_order_of_bytes),
		cmocka_unit_test(a_read_that_is_not_whole_inside_gives_0),
		cmocka_unit_test(inside_and_outside_are_told_without_overflow),
		cmocka_unit_test(parts_are_cut_to_what_is_there),
		cmocka_unit_test(numbers_of_every_type),
		cmocka_unit_test(every_type_has_its_size),
		cmocka_unit_test(what_is_put_is_read_again),
		cmocka_unit_test(needles_are_found_at_or_after_a_place),
		cmocka_unit_test(text_is_printable_trimmed_and_ends),
		cmocka_unit_test(hex_that_does_not_fit_is_marked),
		cmocka_unit_test(hex_is_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
