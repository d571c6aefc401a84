/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `bmscope limits` and `bmscope config`: what they print and how they end. */
#include <config.h> /* POSIX */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console/config_cmd.h"
#include "console/limits.h"

#define SEQUENCE "test_offline_sequence.tmp"
#define INI	 "test_offline_ini.tmp"
#define PRINTED	 "test_offline_printed.tmp"

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int saved_stdout, saved_stderr;

/* What the program prints from here on goes into a file. */
static void capture(void)
{
	fflush(stdout);
	saved_stdout = dup(STDOUT_FILENO);
	saved_stderr = dup(STDERR_FILENO);
	assert_non_null(freopen(PRINTED, "w", stdout));
	dup2(STDOUT_FILENO, STDERR_FILENO);
}

/* Until here; the text is to be freed. */
static char *captured(void)
{
	char *text = NULL;
	size_t size = 0;

	fflush(stdout);
	dup2(saved_stdout, STDOUT_FILENO);
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stdout);
	close(saved_stderr);
	FILE *f = fopen(PRINTED, "r");

	assert_non_null(f);
	if (getdelim(&text, &size, 0, f) < 0) {
		free(text);
		text = strdup("");
	}
	fclose(f);
	unlink(PRINTED);
	return text;
}

static char *run_limits(const char *sequence, const char *ini, int mode, int expected)
{
	write_file(SEQUENCE, sequence);
	if (ini)
		write_file(INI, ini);
	capture();
	int status = limits_file(SEQUENCE, ini ? INI : NULL, mode);
	char *text = captured();

	unlink(SEQUENCE);
	unlink(INI);
	assert_int_equal(status, expected);
	return text;
}

static void expect(char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in: %s", part, text);
	free(text);
}

#define HEAD "{\"name\":\"x\",\"config\":{\"MAX_BATTERY_CHARGE_CURRENT\":\"80\"},\"cells\":4}\n"
#define STEP "{\"t\":0,\"in\":{\"cells\":[3.41,3.41,3.41,3.41],\"v\":13.64,\"i\":10}}\n"

static void the_mode_can_be_chosen(void **unused)
{
	(void)unused;
	expect(run_limits(HEAD STEP, NULL, 0, 0), "\"ccl\":13.6,"); /* linear is the default */
	expect(run_limits(HEAD STEP, NULL, LIMITS_STEP, 0), "\"ccl\":20,");
	expect(run_limits(HEAD STEP, NULL, LIMITS_LINEAR, 0), "\"ccl\":13.6,");
}

static void the_first_line_goes_over_the_configuration_file(void **unused)
{
	static const char ini[] = "[DEFAULT]\nMAX_BATTERY_CHARGE_CURRENT = 20\nMAX_BATTERY_DISCHARGE_CURRENT = 30\n";

	(void)unused;
	expect(run_limits(HEAD STEP, ini, 0, 0), "\"ccl\":13.6,");
	expect(run_limits(HEAD STEP, ini, 0, 0), "\"dcl\":30,");
	expect(run_limits(HEAD STEP, "[DEFAULT]\nFOO = 1\n", 0, 2), INI ":2: error: FOO: unknown option");
}

static void what_is_not_known_is_null(void **unused)
{
	(void)unused;
	expect(run_limits(HEAD STEP, NULL, 0, 0), "\"soc\":null");
	expect(run_limits(HEAD STEP, NULL, 0, 0), "\"temp_min\":null");
	expect(run_limits(HEAD "{\"t\":0,\"in\":{\"ok\":false}}\n", NULL, 0, 0), "\"cvl\":null");
}

static void a_line_that_makes_no_sense_ends_the_run(void **unused)
{
	(void)unused;
	expect(run_limits("", NULL, 0, 2), "no lines");
	expect(run_limits("{\"cells\":0}\n", NULL, 0, 2), SEQUENCE ":1: \"cells\" must be 1 to 48");
	expect(run_limits("{\"cells\":4,\"config\":{\"FOO\":\"1\"}}\n", NULL, 0, 2), "FOO: unknown option");
	expect(run_limits("{\"cells\":4,\"config\":{\"MIN_CELL_VOLTAGE\":\"4\"}}\n", NULL, 0, 2),
	       "not below MAX_CELL_VOLTAGE");
	expect(run_limits(HEAD STEP "[]\n", NULL, 0, 2), SEQUENCE ":3: not a JSON object");
	expect(run_limits(HEAD STEP "{\"t\":-1}\n", NULL, 0, 2),
	       "\"t\" must be a number, not below that of the line before");
	capture();
	assert_int_equal(limits_file("/nonexistent", NULL, 0), 2);
	expect(captured(), "/nonexistent: No such file or directory");
}

static void a_restart_goes_on_from_the_last_write(void **unused)
{
	static const char sequence[] =
		"{\"cells\":4,\"config\":{\"SOC_CALCULATION\":\"True\"}}\n"
		"{\"t\":0,\"in\":{\"cells\":[3.3,3.3,3.3,3.3],\"v\":13.2,\"i\":36,\"soc\":50,\"cap\":100}}\n"
		"{\"t\":10,\"in\":{}}\n{\"t\":15,\"in\":{}}\n{\"t\":25,\"in\":{}}\n{\"t\":60,\"in\":{\"cmd\":"
		"\"restart\"}}\n";

	(void)unused;
	expect(run_limits(sequence, NULL, 0, 0),
	       "\"t\":60,\"out\":{\"voltage\":13.2,\"current\":36,\"power\":475.2,\"soc\":50.15,");
}

static char *run_config(const char *what, const char *ini, int expected)
{
	write_file(INI, ini);
	capture();
	int status = config_command(what, INI);
	char *text = captured();

	unlink(INI);
	assert_int_equal(status, expected);
	return text;
}

static void check_tells_right_from_wrong(void **unused)
{
	(void)unused;
	expect(run_config("check", "[DEFAULT]\nMAX_CELL_VOLTAGE = 3.5\n", 0), INI ": no errors\n");
	expect(run_config("check", "[DEFAULT]\nFLOAT_CELL_VOLTAGE = 3.5\n", 0),
	       INI ":2: warning: FLOAT_CELL_VOLTAGE: above");
	expect(run_config("check", "[DEFAULT]\nA = 1\nB = 2\n", 2), INI ": 2 errors; it can't be used\n");
	expect(run_config("check", "[DEFAULT]\nBMS_TYPE = Nonsense\n", 2),
	       "BMS_TYPE: unknown (got \"Nonsense\"); allowed: ");
	expect(run_config("check", "[DEFAULT]\nBMS_TYPE = LltJbd\n", 0), "no errors");
	expect(run_config("check", "[DEFAULT]\n[protocol:jbd-uart]\nVOLTAGE_DROP = 0.1\n", 0), "no errors");
}

static void show_tells_where_a_value_comes_from(void **unused)
{
	static const char ini[] =
		"[DEFAULT]\nMQTT_PASSWORD = secret\nMAX_CELL_VOLTAGE = 3.3\n[pack:A1]\nVOLTAGE_DROP = 0.1\n";
	char *text = run_config("show", ini, 0);

	(void)unused;
	assert_null(strstr(text, "secret"));
	assert_non_null(strstr(
		text, "\nMAX_CELL_VOLTAGE                              3.3                                 line 3\n"));
	assert_non_null(strstr(text, "\nFLOAT_CELL_VOLTAGE                            3.3                              "
				     "   default, corrected\n"));
	assert_non_null(strstr(text, "(not shown)                         line 2\n"));
	expect(text, "\n[pack:A1]\nVOLTAGE_DROP                                  0.1                                 "
		     "line 5\n");
	expect(run_config("show", "[DEFAULT]\nA = 1\n", 2), INI ":2: error: A: unknown option");
	expect(run_config("nonsense", "", 2), "is none of check, show, default, man");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_mode_can_be_chosen),
		cmocka_unit_test(the_first_line_goes_over_the_configuration_file),
		cmocka_unit_test(what_is_not_known_is_null),
		cmocka_unit_test(a_line_that_makes_no_sense_ends_the_run),
		cmocka_unit_test(a_restart_goes_on_from_the_last_write),
		cmocka_unit_test(check_tells_right_from_wrong),
		cmocka_unit_test(show_tells_where_a_value_comes_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
