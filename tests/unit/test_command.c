/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a person may ask for, as words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/command.h"

static struct command c;
static char why[160];

static bool parse(const char *what, const char *value)
{
	why[0] = 0;
	return command_parse(&c, what, value, why, sizeof(why));
}

static void a_soc_is_a_number_of_percent(void **unused)
{
	(void)unused;
	assert_true(parse("soc", "95"));
	assert_int_equal(c.kind, COMMAND_SOC);
	assert_true(c.value == 95);
	assert_false(c.experimental);
	assert_true(parse("SoC", "99.5%"));
	assert_true(c.value == 99.5);
	assert_true(parse("soc", "0"));
	assert_true(parse("soc", "100"));
}

static void what_is_no_soc_is_refused_with_the_range(void **unused)
{
	static const char *const bad[] = {"100.1", "-1", "full", "", "50%%", "nan", "inf", "1e9", "5 0"};

	(void)unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(parse("soc", bad[i]));
		assert_non_null(strstr(why, "0..100"));
	}
	assert_false(parse("soc", NULL));
}

static void switches_are_on_or_off(void **unused)
{
	static const char *const on[] = {"on", "1", "TRUE", "yes"}, *const off[] = {"off", "0", "false", "No"};

	(void)unused;
	for (size_t i = 0; i < 4; i++) {
		assert_true(parse("charge", on[i]));
		assert_int_equal(c.kind, COMMAND_CHARGE);
		assert_true(c.value == 1);
		assert_true(parse("discharge", off[i]));
		assert_int_equal(c.kind, COMMAND_DISCHARGE);
		assert_true(c.value == 0);
	}
	assert_false(parse("balance", "maybe"));
	assert_non_null(strstr(why, "neither on nor off"));
	assert_false(parse("balance", ""));
	assert_non_null(strstr(why, "on or off"));
}

static void an_unknown_command_is_answered_with_those_that_exist(void **unused)
{
	(void)unused;
	assert_false(parse("explode", "on"));
	for (unsigned k = 0; k < COMMAND_KINDS; k++)
		assert_non_null(strstr(why, command_name((enum command_kind)k)));
}

static void a_command_is_its_words_again(void **unused)
{
	static const char *const words[][2] = {{"soc", "95"}, {"soc", "99.5"}, {"charge", "off"}, {"balance", "on"}};
	char text[32], want[32];

	(void)unused;
	for (size_t i = 0; i < 4; i++) {
		assert_true(parse(words[i][0], words[i][1]));
		command_text(&c, text, sizeof(text));
		strcpy(want, words[i][0]);
		strcat(want, " ");
		strcat(want, words[i][1]);
		assert_string_equal(text, want);
	}
}

static void outcomes_have_names(void **unused)
{
	(void)unused;
	assert_string_equal(command_result_name(COMMAND_DONE), "done");
	assert_string_equal(command_result_name(COMMAND_REFUSED), "refused");
	assert_string_equal(command_result_name(COMMAND_UNCONFIRMED), "not confirmed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_soc_is_a_number_of_percent),
		cmocka_unit_test(what_is_no_soc_is_refused_with_the_range),
		cmocka_unit_test(switches_are_on_or_off),
		cmocka_unit_test(an_unknown_command_is_answered_with_those_that_exist),
		cmocka_unit_test(a_command_is_its_words_again),
		cmocka_unit_test(outcomes_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
