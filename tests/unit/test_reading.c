/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a pack reports: the unknown stays unknown, in memory and in JSON. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/json.h"

static struct reading r;

static int fresh(void **unused)
{
	(void)unused;
	memset(&r, 0, sizeof(r));
	return 0;
}

static void fill(struct series *s, unsigned n, const double *v)
{
	series_start(s, n);
	for (unsigned i = 0; i < n; i++)
		series_set(s, i, v[i]);
}

#define FILL(series, ...) fill(series, sizeof((double[]){__VA_ARGS__}) / sizeof(double), (double[]){__VA_ARGS__})

/* The member of name in the reading's JSON, as text; "" when it is absent. */
static const char *json_of(const char *name)
{
	static char text[600];
	json_t *o = reading_to_json(&r), *v = json_object_get(o, name);

	text[0] = 0;
	if (v) {
		char *s = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(JSON_DIGITS));

		snprintf(text, sizeof(text), "%s", s);
		free(s);
	}
	json_decref(o);
	return text;
}

/* ---- numbers, flags, texts ---- */

static void a_fresh_reading_knows_nothing(void **unused)
{
	(void)unused;
	for (unsigned q = 0; q < QUANTITY_COUNT; q++) {
		assert_false(reading_knows(&r, (enum quantity)q));
		assert_true(isnan(reading_get(&r, (enum quantity)q)));
	}
	for (unsigned f = 0; f < FLAG_COUNT; f++)
		assert_int_equal(reading_flag(&r, (enum flag)f), UNKNOWN);
	assert_true(isnan(reading_detail(&r, "any")));
	json_t *o = reading_to_json(&r);
	assert_int_equal(json_object_size(o), 0);
	json_decref(o);
}

static void a_known_0_is_told_and_an_unknown_is_not(void **unused)
{
	(void)unused;
	reading_set(&r, Q_CURRENT_A, 0);
	assert_true(reading_knows(&r, Q_CURRENT_A));
	assert_string_equal(json_of("current_A"), "0");
	reading_forget(&r, Q_CURRENT_A);
	assert_false(reading_knows(&r, Q_CURRENT_A));
	assert_string_equal(json_of("current_A"), "");
}

static void what_is_no_finite_number_becomes_unknown(void **unused)
{
	(void)unused;
	reading_set(&r, Q_VOLTAGE_V, 50);
	reading_set(&r, Q_VOLTAGE_V, NAN);
	assert_false(reading_knows(&r, Q_VOLTAGE_V));
	reading_set(&r, Q_VOLTAGE_V, INFINITY);
	assert_false(reading_knows(&r, Q_VOLTAGE_V));
}

static void names_are_those_of_the_vocabulary(void **unused)
{
	(void)unused;
	assert_string_equal(quantity_def(Q_VOLTAGE_V)->name, "voltage_V");
	assert_string_equal(quantity_def(Q_BMS_DVL_V)->name, "bms_dvl_V");
	assert_string_equal(flag_name(F_BALANCING_ACTIVE), "balancing_active");
	assert_string_equal(flag_name(F_DISCHARGE_ALLOWED), "discharge_allowed");
	assert_string_equal(text_name(T_PROTOCOL), "protocol");
	assert_string_equal(text_name(T_PRODUCTION_DATE), "production_date");
}

static void a_flag_that_is_off_is_told(void **unused)
{
	(void)unused;
	reading_set_flag(&r, F_CHARGE_MOS, false);
	assert_string_equal(json_of("charge_mos"), "false");
	reading_set_flag(&r, F_CHARGE_MOS, true);
	assert_string_equal(json_of("charge_mos"), "true");
	assert_string_equal(json_of("discharge_mos"), "");
}

static void a_text_is_cut_and_an_empty_one_unknown(void **unused)
{
	char lots[100];

	(void)unused;
	memset(lots, 'a', sizeof(lots));
	lots[99] = 0;
	reading_set_text(&r, T_MODEL, lots);
	assert_int_equal(strlen(r.text[T_MODEL]), MAX_TEXT - 1);
	reading_set_text(&r, T_MODEL, "");
	assert_string_equal(json_of("model"), "");
}

static void details_are_replaced_and_removed(void **unused)
{
	(void)unused;
	reading_set_detail(&r, "a", 1);
	reading_set_detail(&r, "b", 2);
	reading_set_detail(&r, "c", 3);
	reading_set_detail(&r, "b", 20);
	assert_int_equal(r.detail_count, 3);
	assert_true(reading_detail(&r, "b") == 20);
	reading_set_detail(&r, "a", NAN);
	assert_int_equal(r.detail_count, 2);
	assert_true(isnan(reading_detail(&r, "a")));
	assert_true(reading_detail(&r, "b") == 20);
	assert_true(reading_detail(&r, "c") == 3);
	reading_set_detail(&r, "a", NAN);
	assert_int_equal(r.detail_count, 2);
	assert_string_equal(json_of("details"), "{\"b\":20,\"c\":3}");
}

static void too_many_details_are_dropped(void **unused)
{
	static char name[MAX_DETAILS + 5][8];

	(void)unused;
	for (unsigned i = 0; i < MAX_DETAILS + 5; i++) {
		snprintf(name[i], sizeof(name[i]), "d%u", i);
		reading_set_detail(&r, name[i], i);
	}
	assert_int_equal(r.detail_count, MAX_DETAILS);
	reading_set_detail(&r, name[3], 33);
	assert_true(reading_detail(&r, "d3") == 33);
	reading_set_detail(&r, name[MAX_DETAILS - 1], NAN);
	assert_int_equal(r.detail_count, MAX_DETAILS - 1);
}

/* ---- series ---- */

static void a_series_tells_reported_from_none_from_unknown(void **unused)
{
	(void)unused;
	assert_string_equal(json_of("temperatures"), "");
	series_start(&r.temperatures, 0);
	assert_string_equal(json_of("temperatures"), "[]");
	FILL(&r.temperatures, 20, NAN, 22.5);
	assert_false(series_knows(&r.temperatures, 1));
	assert_string_equal(json_of("temperatures"), "[20,null,22.5]");
	series_set(&r.temperatures, 0, NAN);
	assert_string_equal(json_of("temperatures"), "[null,null,22.5]");
}

static void a_series_never_grows_beyond_its_places(void **unused)
{
	(void)unused;
	series_start(&r.cell_V, MAX_CELLS + 10);
	assert_int_equal(r.cell_V.count, MAX_CELLS);
	series_set(&r.cell_V, 0, 3.3);
	series_set(&r.cell_V, MAX_CELLS, 3.3);
	series_set(&r.cell_V, MAX_CELLS - 1, 3.3);
	assert_int_equal(r.cell_V.count, MAX_CELLS);
	assert_true(series_knows(&r.cell_V, MAX_CELLS - 1));
	assert_false(series_knows(&r.cell_V, MAX_CELLS));
	series_start(&r.cell_V, 2);
	assert_false(series_knows(&r.cell_V, 0));
	series_set(&r.cell_V, 4, 3.3);
	assert_int_equal(r.cell_V.count, 5);
	assert_false(series_knows(&r.cell_V, 3));
}

/* ---- what follows from the rest ---- */

static void power_and_counts_are_derived(void **unused)
{
	(void)unused;
	reading_set(&r, Q_VOLTAGE_V, 50);
	FILL(&r.cell_V, 3.3, 3.4);
	reading_derive(&r);
	assert_false(reading_knows(&r, Q_POWER_W)); /* without a current there is none */
	assert_true(reading_get(&r, Q_CELL_COUNT) == 2);
	reading_set(&r, Q_CURRENT_A, -3);
	reading_derive(&r);
	assert_true(reading_get(&r, Q_POWER_W) == -150);
	assert_true(reading_knows(&r, Q_POWER_W));
	assert_false(reading_reported(&r, Q_POWER_W));
	assert_true(reading_reported(&r, Q_VOLTAGE_V));
	reading_set(&r, Q_POWER_W, -151);
	assert_true(reading_reported(&r, Q_POWER_W));
	reading_derive(&r);
	assert_true(reading_get(&r, Q_POWER_W) == -151);
}

static void extremes_are_derived_and_number_from_1(void **unused)
{
	(void)unused;
	FILL(&r.cell_V, 3.3, 3.2, 3.4, 3.4);
	FILL(&r.temperatures, NAN, 20, 0, -5);
	reading_derive(&r);
	assert_true(reading_get(&r, Q_CELL_MIN_V) == 3.2 && reading_get(&r, Q_CELL_MIN_NO) == 2);
	assert_true(reading_get(&r, Q_CELL_MAX_V) == 3.4 && reading_get(&r, Q_CELL_MAX_NO) == 3);
	assert_true(reading_get(&r, Q_TEMP_MIN_C) == -5 && reading_get(&r, Q_TEMP_MIN_NO) == 4);
	assert_true(reading_get(&r, Q_TEMP_MAX_C) == 20 && reading_get(&r, Q_TEMP_MAX_NO) == 2);
	fresh(NULL);
	FILL(&r.temperatures, 20, 0);
	reading_derive(&r);
	assert_true(reading_get(&r, Q_TEMP_MIN_C) == 0); /* freezing is a temperature */
}

static void an_open_sense_wire_is_no_lowest_cell(void **unused)
{
	(void)unused;
	FILL(&r.cell_V, 3.3, 0, 3.4);
	reading_derive(&r);
	assert_true(reading_get(&r, Q_CELL_MIN_V) == 3.3);
}

static void of_cells_that_are_not_all_known_there_is_no_extreme(void **unused)
{
	(void)unused;
	FILL(&r.cell_V, 3.3, NAN, 3.4);
	reading_derive(&r);
	assert_false(reading_knows(&r, Q_CELL_MIN_V));
	assert_false(reading_knows(&r, Q_CELL_MAX_NO));
}

static void a_reported_extreme_is_kept_and_never_mixed(void **unused)
{
	(void)unused;
	FILL(&r.cell_V, 3.3, 3.4);
	reading_set(&r, Q_CELL_MAX_V, 3.41);
	reading_set(&r, Q_CELL_MIN_NO, 2);
	reading_derive(&r);
	assert_true(reading_get(&r, Q_CELL_MAX_V) == 3.41);
	assert_false(reading_knows(&r, Q_CELL_MAX_NO));
	assert_true(reading_get(&r, Q_CELL_MIN_NO) == 2);
	assert_false(reading_knows(&r, Q_CELL_MIN_V));
}

static void balancing_follows_from_the_cells_unless_reported(void **unused)
{
	(void)unused;
	reading_derive(&r);
	assert_int_equal(reading_flag(&r, F_BALANCING_ACTIVE), UNKNOWN);
	r.balancing_known = true;
	reading_derive(&r);
	assert_int_equal(reading_flag(&r, F_BALANCING_ACTIVE), OFF);
	r.flag[F_BALANCING_ACTIVE] = UNKNOWN;
	r.balancing = 5;
	reading_set(&r, Q_CELL_COUNT, 4);
	reading_derive(&r);
	assert_int_equal(reading_flag(&r, F_BALANCING_ACTIVE), ON);
	assert_string_equal(json_of("cell_balancing"), "[true,false,true,false]");
	r.balancing = 0;
	reading_derive(&r);
	assert_int_equal(reading_flag(&r, F_BALANCING_ACTIVE), ON);
}

static void values_of_no_battery_are_named(void **unused)
{
	static const struct {
		enum quantity q;
		double good, bad;
	} bound[] = {{Q_VOLTAGE_V, 200, 200.1}, {Q_VOLTAGE_V, 0, -0.1},	 {Q_CURRENT_A, -1000, -1000.1},
		     {Q_CURRENT_A, 1000, 1001}, {Q_SOC_PCT, 100, 100.1}, {Q_SOC_PCT, 0, -1},
		     {Q_CELL_COUNT, 48, 49},	{Q_CELL_COUNT, 1, 0},	 {Q_CAPACITY_FULL_AH, 5000, 5001}};
	const char *why = NULL;

	(void)unused;
	assert_true(reading_plausible(&r, &why)); /* nothing known, nothing wrong */
	for (size_t i = 0; i < sizeof(bound) / sizeof(bound[0]); i++) {
		fresh(NULL);
		reading_set(&r, bound[i].q, bound[i].good);
		assert_true(reading_plausible(&r, &why));
		reading_set(&r, bound[i].q, bound[i].bad);
		why = NULL;
		assert_false(reading_plausible(&r, &why));
		assert_non_null(why);
	}
}

/* ---- alarms ---- */

static void alarms_are_absent_empty_or_raised(void **unused)
{
	(void)unused;
	assert_string_equal(json_of("alarms"), "");
	alarms_clear(&r.alarms);
	assert_string_equal(json_of("alarms"), "{}");
	alarm_raise(&r.alarms, ALARM_LOW_SOC, ALARM_WARNING);
	alarm_raise_own(&r.alarms, "afe_fault", ALARM_RAISED);
	assert_string_equal(json_of("alarms"), "{\"low_soc\":\"warning\",\"afe_fault\":\"alarm\"}");
	assert_int_equal(alarms_raised(&r.alarms), 2);
	alarms_clear(&r.alarms);
	assert_int_equal(alarms_raised(&r.alarms), 0);
	assert_true(r.alarms.known);
}

static void an_alarm_is_never_lowered_by_a_warning(void **unused)
{
	(void)unused;
	alarm_raise(&r.alarms, ALARM_LOW_SOC, ALARM_RAISED);
	alarm_raise(&r.alarms, ALARM_LOW_SOC, ALARM_WARNING);
	assert_int_equal(r.alarms.level[ALARM_LOW_SOC], ALARM_RAISED);
	alarm_raise_own(&r.alarms, "x", ALARM_WARNING);
	alarm_raise_own(&r.alarms, "x", ALARM_RAISED);
	alarm_raise_own(&r.alarms, "x", ALARM_WARNING);
	assert_int_equal(r.alarms.own_count, 1);
	assert_int_equal(r.alarms.own[0].level, ALARM_RAISED);
}

static void an_own_alarm_too_many_is_an_internal_failure(void **unused)
{
	static char name[MAX_OWN_ALARMS][8];

	(void)unused;
	for (unsigned i = 0; i < MAX_OWN_ALARMS; i++) {
		snprintf(name[i], sizeof(name[i]), "o%u", i);
		alarm_raise_own(&r.alarms, name[i], ALARM_WARNING);
	}
	assert_int_equal(r.alarms.level[ALARM_INTERNAL_FAILURE], ALARM_OK);
	alarm_raise_own(&r.alarms, "one more", ALARM_RAISED);
	assert_int_equal(r.alarms.level[ALARM_INTERNAL_FAILURE], ALARM_RAISED);
	assert_int_equal(r.alarms.own_count, MAX_OWN_ALARMS);
}

static void alarm_names_are_found_again(void **unused)
{
	(void)unused;
	for (unsigned a = 0; a < ALARM_COUNT; a++)
		assert_int_equal(alarm_by_name(alarm_name((enum alarm)a)), a);
	assert_int_equal(alarm_by_name("no such"), ALARM_COUNT);
	assert_string_equal(alarm_name(ALARM_COUNT), "");
	assert_string_equal(alarm_level_name(ALARM_OK), "ok");
}

/* ---- settings and JSON ---- */

static void settings_are_replaced_and_keep_their_order(void **unused)
{
	static struct settings s;

	(void)unused;
	memset(&s, 0, sizeof(s));
	settings_set_number(&s, "cell_ovp_V", 3.65);
	settings_set_switch(&s, "balance", true);
	settings_set_text(&s, "name", "abc");
	settings_set_number(&s, "cell_ovp_V", 3.6);
	settings_set_number(&s, "nothing", NAN);
	assert_int_equal(s.count, 3);
	assert_true(settings_number(&s, "cell_ovp_V") == 3.6);
	assert_true(settings_number(&s, "balance") == 1);
	assert_true(isnan(settings_number(&s, "name")));
	assert_true(isnan(settings_number(&s, "nothing")));
	json_t *o = settings_to_json(&s);
	char *text = json_line(o);
	assert_string_equal(text, "{\"cell_ovp_V\":3.6,\"balance\":true,\"name\":\"abc\"}");
	free(text);
	json_decref(o);
}

static void a_setting_too_many_is_dropped(void **unused)
{
	static struct settings s;
	static char name[MAX_SETTINGS + 1][8];

	(void)unused;
	memset(&s, 0, sizeof(s));
	for (unsigned i = 0; i <= MAX_SETTINGS; i++) {
		snprintf(name[i], sizeof(name[i]), "s%u", i);
		settings_set_number(&s, name[i], i);
		settings_set_switch(&s, name[i], true);
		settings_set_text(&s, name[i], "x");
	}
	assert_int_equal(s.count, MAX_SETTINGS);
	assert_null(settings_find(&s, name[MAX_SETTINGS]));
}

static void whole_numbers_are_integers_and_others_keep_ten_digits(void **unused)
{
	(void)unused;
	reading_set(&r, Q_VOLTAGE_V, 0.1 + 0.2);
	assert_string_equal(json_of("voltage_V"), "0.3");
	reading_set(&r, Q_VOLTAGE_V, 52);
	assert_string_equal(json_of("voltage_V"), "52");
	reading_set(&r, Q_VOLTAGE_V, -0.0);
	assert_string_equal(json_of("voltage_V"), "0");
	reading_set(&r, Q_UPTIME_S, 4294967295.0);
	assert_string_equal(json_of("uptime_s"), "4294967295");
	reading_set(&r, Q_UPTIME_S, 1e20);
	assert_string_equal(json_of("uptime_s"), "1e20");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_fresh_reading_knows_nothing, fresh),
		cmocka_unit_test_setup(a_known_0_is_told_and_an_unknown_is_not, fresh),
		cmocka_unit_test_setup(what_is_no_finite_number_becomes_unknown, fresh),
		cmocka_unit_test_setup(names_are_those_of_the_vocabulary, fresh),
		cmocka_unit_test_setup(a_flag_that_is_off_is_told, fresh),
		cmocka_unit_test_setup(a_text_is_cut_and_an_empty_one_unknown, fresh),
		cmocka_unit_test_setup(details_are_replaced_and_removed, fresh),
		cmocka_unit_test_setup(too_many_details_are_dropped, fresh),
		cmocka_unit_test_setup(a_series_tells_reported_from_none_from_unknown, fresh),
		cmocka_unit_test_setup(a_series_never_grows_beyond_its_places, fresh),
		cmocka_unit_test_setup(power_and_counts_are_derived, fresh),
		cmocka_unit_test_setup(extremes_are_derived_and_number_from_1, fresh),
		cmocka_unit_test_setup(an_open_sense_wire_is_no_lowest_cell, fresh),
		cmocka_unit_test_setup(of_cells_that_are_not_all_known_there_is_no_extreme, fresh),
		cmocka_unit_test_setup(a_reported_extreme_is_kept_and_never_mixed, fresh),
		cmocka_unit_test_setup(balancing_follows_from_the_cells_unless_reported, fresh),
		cmocka_unit_test_setup(values_of_no_battery_are_named, fresh),
		cmocka_unit_test_setup(alarms_are_absent_empty_or_raised, fresh),
		cmocka_unit_test_setup(an_alarm_is_never_lowered_by_a_warning, fresh),
		cmocka_unit_test_setup(an_own_alarm_too_many_is_an_internal_failure, fresh),
		cmocka_unit_test_setup(alarm_names_are_found_again, fresh),
		cmocka_unit_test_setup(settings_are_replaced_and_keep_their_order, fresh),
		cmocka_unit_test_setup(a_setting_too_many_is_dropped, fresh),
		cmocka_unit_test_setup(whole_numbers_are_integers_and_others_keep_ten_digits, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
