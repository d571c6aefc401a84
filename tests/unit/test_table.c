/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fixed layouts as tables. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocols/table.h"

static const uint8_t frame_bytes[] = {0x12, 0x34, 0xff, 0xfe, 0x80, 0x00, 0x00, 0x01, 'A', 'B', ' ', 0};
static const struct bytes frame = {frame_bytes, sizeof(frame_bytes)};

static struct reading reading;
static struct settings settings;

static int fresh(void **unused)
{
	(void)unused;
	memset(&reading, 0, sizeof(reading));
	memset(&settings, 0, sizeof(settings));
	return 0;
}

static void a_number_is_raw_plus_add_over_divisor(void **unused)
{
	static const struct number_row rows[] = {
		{0, RAW_U16BE, 100, 0, Q_VOLTAGE_V},
		{0, RAW_U16LE, 10, -2731, Q_TEMP_MOS_C},
		{2, RAW_S16BE, 1, 0, Q_CURRENT_A},
		{4, RAW_S32BE, -1, 0, Q_POWER_W},
		{3, RAW_U8, 1, 0, Q_SOC_PCT},
		{3, RAW_S8, 1, 0, Q_SOH_PCT},
		{4, RAW_U32LE, 1, 0, Q_TOTAL_CHARGE_AH},
	};

	(void)unused;
	table_numbers(ROWS(rows), frame, &reading);
	assert_true(reading_get(&reading, Q_VOLTAGE_V) == 46.6);
	assert_true(reading_get(&reading, Q_TEMP_MOS_C) == (0x3412 - 2731) / 10.0);
	assert_true(reading_get(&reading, Q_CURRENT_A) == -2);
	assert_true(reading_get(&reading, Q_POWER_W) == 2147483647);
	assert_true(reading_get(&reading, Q_SOC_PCT) == 254);
	assert_true(reading_get(&reading, Q_SOH_PCT) == -2);
	assert_true(reading_get(&reading, Q_TOTAL_CHARGE_AH) == 0x01000080);
}

static void a_row_beyond_the_end_leaves_its_field_unknown(void **unused)
{
	static const struct number_row numbers[] = {
		{11, RAW_U16BE, 1, 0, Q_VOLTAGE_V}, {12, RAW_U8, 1, 0, Q_CURRENT_A},  {9, RAW_U32BE, 1, 0, Q_SOC_PCT},
		{8, RAW_U32BE, 1, 0, Q_CYCLES},	    {60000, RAW_U8, 1, 0, Q_SOH_PCT},
	};
	static const struct detail_row details[] = {{12, RAW_U8, 1, 0, "beyond"}, {11, RAW_U8, 1, 0, "last"}};
	static const struct setting_row rows[] = {{11, RAW_U16BE, 1, 0, "beyond", SETTING_NUMBER},
						  {11, RAW_U8, 1, 0, "last", SETTING_SWITCH}};
	static const struct text_row texts[] = {{8, 5, T_MODEL}};

	(void)unused;
	table_numbers(ROWS(numbers), frame, &reading);
	table_details(ROWS(details), frame, &reading);
	table_settings(ROWS(rows), frame, &settings);
	table_texts(ROWS(texts), frame, &reading);
	assert_true(reading.known == UINT64_C(1) << Q_CYCLES);
	assert_true(isnan(reading_detail(&reading, "beyond")));
	assert_true(reading_detail(&reading, "last") == 0);
	assert_null(settings_find(&settings, "beyond"));
	assert_non_null(settings_find(&settings, "last"));
	assert_string_equal(reading.text[T_MODEL], "");
}

static void an_empty_frame_tells_nothing(void **unused)
{
	static const struct number_row numbers[] = {{0, RAW_U8, 1, 0, Q_VOLTAGE_V}};

	(void)unused;
	table_numbers(ROWS(numbers), (struct bytes){NULL, 0}, &reading);
	assert_true(reading.known == 0);
}

static void details_settings_and_texts_are_told(void **unused)
{
	static const struct detail_row details[] = {{0, RAW_U8, 2, 0, "half"}, {0, RAW_U8, 1, -40, "degrees"}};
	static const struct setting_row rows[] = {{0, RAW_U16BE, 1000, 0, "cell_ovp_V", SETTING_NUMBER},
						  {4, RAW_U8, 1, 0, "on", SETTING_SWITCH},
						  {5, RAW_U8, 1, 0, "off", SETTING_SWITCH},
						  {0, RAW_U8, 1, -40, "degrees", SETTING_NUMBER}};
	static const struct text_row texts[] = {{8, 4, T_MODEL}};

	(void)unused;
	table_details(ROWS(details), frame, &reading);
	table_settings(ROWS(rows), frame, &settings);
	table_texts(ROWS(texts), frame, &reading);
	assert_true(reading_detail(&reading, "half") == 9);
	assert_true(reading_detail(&reading, "degrees") == -22);
	assert_true(settings_number(&settings, "degrees") == -22);
	assert_true(settings_number(&settings, "cell_ovp_V") == 4.66);
	assert_true(settings_number(&settings, "on") == 1);
	assert_int_equal(settings_find(&settings, "on")->kind, SETTING_SWITCH);
	assert_true(settings_number(&settings, "off") == 0);
	assert_string_equal(reading.text[T_MODEL], "AB");
}

static const struct alarm_row alarm_rows[] = {
	{0, ALARM_WARNING, ALARM_HIGH_VOLTAGE, NULL}, {1, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{2, ALARM_RAISED, ALARM_COUNT, "own"},	      {3, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "both"},
	{4, ALARM_OK, ALARM_LOW_VOLTAGE, "nothing"},  {63, ALARM_WARNING, ALARM_LOW_SOC, NULL},
};

static void no_bit_means_that_alarms_are_known_and_none_is_raised(void **unused)
{
	struct alarms a = {.known = false};

	(void)unused;
	table_alarms(ROWS(alarm_rows), 0, &a);
	assert_true(a.known);
	assert_int_equal(alarms_raised(&a), 0);
}

static void bits_raise_common_and_own_alarms(void **unused)
{
	struct alarms a = {.known = false};

	(void)unused;
	table_alarms(ROWS(alarm_rows), UINT64_C(1) << 63 | 0x1e, &a);
	assert_int_equal(a.level[ALARM_HIGH_VOLTAGE], ALARM_RAISED);
	assert_int_equal(a.level[ALARM_INTERNAL_FAILURE], ALARM_RAISED);
	assert_int_equal(a.level[ALARM_LOW_VOLTAGE], ALARM_OK);
	assert_int_equal(a.level[ALARM_LOW_SOC], ALARM_WARNING);
	assert_int_equal(a.own_count, 2);
	assert_string_equal(a.own[0].name, "own");
	assert_string_equal(a.own[1].name, "both");
}

static void the_higher_level_wins_in_any_order(void **unused)
{
	struct alarms a = {.known = false};

	(void)unused;
	table_alarms(ROWS(alarm_rows), 2, &a);
	table_alarms(ROWS(alarm_rows), 1, &a);
	assert_int_equal(a.level[ALARM_HIGH_VOLTAGE], ALARM_RAISED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_number_is_raw_plus_add_over_divisor, fresh),
		cmocka_unit_test_setup(a_row_beyond_the_end_leaves_its_field_unknown, fresh),
		cmocka_unit_test_setup(an_empty_frame_tells_nothing, fresh),
		cmocka_unit_test_setup(details_settings_and_texts_are_told, fresh),
		cmocka_unit_test_setup(no_bit_means_that_alarms_are_known_and_none_is_raised, fresh),
		cmocka_unit_test_setup(bits_raise_common_and_own_alarms, fresh),
		cmocka_unit_test_setup(the_higher_level_wins_in_any_order, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
