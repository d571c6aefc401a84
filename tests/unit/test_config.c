/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Configuration files: what is read, what is refused and how it is said, and what is printed from the table. */
#include <config.h> /* POSIX */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/options.h"

#define HEAD "[DEFAULT]\n"

/* ---- files ---- */

/* A file of n bytes; its name stays until the next one is written. */
static const char *file_of(const char *bytes, size_t n)
{
	static char path[] = "test_config.ini.tmp";
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	return path;
}

static int load(const char *text, struct config *c, struct config_report *report)
{
	int status = config_load(c, file_of(text, strlen(text)), report);

	unlink("test_config.ini.tmp");
	return status;
}

static struct configuration *load_sections(const char *text, struct config_report *report)
{
	struct configuration *conf = configuration_load(file_of(text, strlen(text)), NULL, report);

	unlink("test_config.ini.tmp");
	return conf;
}

/* The text is taken without a word. */
static struct config good(const char *text)
{
	struct config_report report;
	struct config c;

	if (load(text, &c, &report) || report.count)
		fail_msg("\"%s\": %s", text, report.count ? report.problem[0].text : "refused");
	config_report_free(&report);
	return c;
}

/* The text gives a problem of this severity in this line whose text begins (says) so. */
static struct config problem(const char *text, enum config_severity severity, int line, const char *says)
{
	struct config_report report;
	struct config c = {0};
	bool found = false;
	int status = load(text, &c, &report);

	for (unsigned i = 0; i < report.count; i++)
		found = found || (report.problem[i].severity == severity && report.problem[i].line == line &&
				  strstr(report.problem[i].text, says));
	if (!found) {
		config_report_print(&report, stderr);
		fail_msg("\"%s\": no such problem in line %d: %s", text, line, says);
	}
	assert_int_equal(status, report.errors ? -1 : 0);
	assert_true(severity != CONFIG_ERROR || report.errors);
	config_report_free(&report);
	return c;
}

#define error(text, line, says)	  problem(text, CONFIG_ERROR, line, says)
#define warning(text, line, says) problem(text, CONFIG_WARNING, line, says)

/* ---- the form of a file ---- */

static void a_file_may_have_a_mark_crlf_comments_and_blanks(void **unused)
{
	struct config c =
		good("\xef\xbb\xbf; comment\r\n# another\r\n\r\n  [DEFAULT]  \r\n\tMAX_CELL_VOLTAGE =  3.5 \r\n"
		     "CHARGE_MODE:2\r\n;MAX_CELL_VOLTAGE = 9");

	(void)unused;
	assert_true(c.max_cell_voltage == 3.5);
	assert_int_equal(c.charge_mode, 2);
	assert_true(c.min_cell_voltage == 2.9);
}

static void a_value_is_taken_as_it_stands(void **unused)
{
	struct config c = good(
		HEAD
		"MQTT_PASSWORD = a ;b = %d%(x)s #\nMQTT_USERNAME = u ; v\nTEMPERATURE_1_NAME = Rack #2: \xc3\xbc\n");

	(void)unused;
	assert_string_equal(c.mqtt_password, "a ;b = %d%(x)s #");
	assert_string_equal(c.mqtt_username, "u ; v");
	assert_string_equal(c.temperature_name[0], "Rack #2: \xc3\xbc");
}

static void a_long_list_is_read_to_its_end(void **unused)
{
	char text[2000] = HEAD "CELL_VOLTAGES_WHILE_CHARGING = ";
	struct config c;

	(void)unused;
	for (int i = 0; i < 30; i++)
		sprintf(text + strlen(text), "%s%.9f", i ? "  ,  " : "", 3.0 + i / 50.0);
	strcat(text, "\nMAX_CHARGE_CURRENT_CV_FRACTION = ");
	for (int i = 0; i < 30; i++)
		sprintf(text + strlen(text), "%s%.9f", i ? "," : "", 1 - i / 29.0);
	c = good(text);
	assert_int_equal(c.cell_voltages_while_charging.n, 30);
	assert_true(c.cell_voltages_while_charging.v[29] == 3.58);
}

static void a_line_is_not_continued_by_the_next(void **unused)
{
	(void)unused;
	error(HEAD "SOC_WHILE_CHARGING = 98, 95,\n   90, 85\n", 3, "not understood (got \"90, 85\")");
}

static void every_form_of_a_switch_is_understood(void **unused)
{
	static const char *const on[] = {"True", "true", "TRUE", "yes", "On", "1"}, *const off[] = {"False", "no",
												    "OFF", "0"};
	char text[80];

	(void)unused;
	for (unsigned i = 0; i < 6; i++) {
		snprintf(text, sizeof(text), HEAD "MIDPOINT_ENABLE = %s\n", on[i]);
		assert_true(good(text).midpoint_enable);
	}
	for (unsigned i = 0; i < 4; i++) {
		snprintf(text, sizeof(text), HEAD "HISTORY_ENABLE = %s\n", off[i]);
		assert_false(good(text).history_enable);
	}
	error(HEAD "HISTORY_ENABLE = maybe\n", 2,
	      "HISTORY_ENABLE: neither true nor false (got \"maybe\"); allowed: True or False");
}

static void empty_values_mean_what_the_table_says(void **unused)
{
	struct config c = good(HEAD "SWITCH_TO_FLOAT_WAIT_FOR_SEC =\nSWITCH_TO_FLOAT_CELL_VOLTAGE_DIFF = \n"
				    "SWITCH_TO_BULK_SOC_THRESHOLD=\nSOC_RESET_AFTER_DAYS =\nPOLL_INTERVAL =\n"
				    "TEMPERATURE_2_NAME =\nBATTERY_ADDRESSES =\n");

	(void)unused;
	assert_int_equal(c.switch_to_float_wait_for_sec, 0);
	assert_true(c.switch_to_float_cell_voltage_diff == 10);
	assert_int_equal(c.switch_to_bulk_soc_threshold, 0);
	assert_true(isnan(c.soc_reset_after_days));
	assert_true(isnan(c.poll_interval));
	assert_string_equal(c.temperature_name[1], "Temp 2");
	assert_int_equal(c.battery_addresses.n, 0);
	error(HEAD "MAX_CELL_VOLTAGE =\n", 2, "MAX_CELL_VOLTAGE: empty (got \"\"); allowed: number 0.5 to 5");
	error(HEAD "TEMPERATURE_SOURCE_BATTERY = ,\n", 2, "TEMPERATURE_SOURCE_BATTERY: no elements");
}

static void addresses_are_hexadecimal(void **unused)
{
	struct config c = good(HEAD "BATTERY_ADDRESSES = 0x01, 0X1f , ff\n");

	(void)unused;
	assert_int_equal(c.battery_addresses.n, 3);
	assert_true(c.battery_addresses.v[0] == 1 && c.battery_addresses.v[1] == 31 && c.battery_addresses.v[2] == 255);
	error(HEAD "BATTERY_ADDRESSES = 0x100\n", 2, "element 1, \"0x100\", is out of range");
	error(HEAD "BATTERY_ADDRESSES = 1, x\n", 2, "element 2, \"x\", is not a hexadecimal number");
}

static void numbers_have_a_point_whatever_the_locale(void **unused)
{
	static const char *const with_comma[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE", "fr_FR.utf8"};
	const struct option *o = option_by_name("MAX_CELL_VOLTAGE");
	bool found = false;
	char text[32];

	(void)unused;
	for (unsigned i = 0; i < 5 && !found; i++)
		found = setlocale(LC_ALL, with_comma[i]) != NULL;
	struct config c = good(HEAD "MAX_CELL_VOLTAGE = 3.412\n");

	option_text(o, &c, text, sizeof(text));
	error(HEAD "MAX_CELL_VOLTAGE = 3,412\n", 2,
	      "MAX_CELL_VOLTAGE: not a number (got \"3,412\"); allowed: number 0.5 to 5");
	setlocale(LC_ALL, "C");
	assert_true(c.max_cell_voltage == 3.412);
	assert_string_equal(text, "3.412");
	if (!found)
		print_message("no locale with a decimal comma is installed; only the C locale was tried\n");
}

/* ---- what is refused: V01 to V04, types, ranges ---- */

static void messages_say_what_was_got_and_what_is_allowed(void **unused)
{
	(void)unused;
	error(HEAD "CVL_RECALCULATION_EVERY = 60.0\n", 2,
	      "CVL_RECALCULATION_EVERY: not an integer (got \"60.0\"); allowed: integer 0 to 3600");
	error(HEAD "CHARGE_MODE = 3\n", 2, "CHARGE_MODE: out of range (got \"3\"); allowed: 1 linear, 2 step");
	error(HEAD "INVERT_CURRENT_MEASUREMENT = 0\n", 2, "INVERT_CURRENT_MEASUREMENT: out of range (got \"0\")");
	error(HEAD "MAX_BATTERY_CHARGE_CURRENT = 0\n", 2, "allowed: number above 0, up to 1000");
	error(HEAD "MAX_BATTERY_CHARGE_CURRENT = nan\n", 2, "not a number (got \"nan\")");
	error(HEAD "MAX_BATTERY_CHARGE_CURRENT = 50A\n", 2, "not a number (got \"50A\")");
	error(HEAD "MQTT_BROKER_PORT = 99999999999999999999\n", 2, "out of range");
	error(HEAD "LOGGING = LOUD\n", 2,
	      "LOGGING: not one of the words allowed (got \"LOUD\"); allowed: ERROR, WARNING, INFO, DEBUG");
	error(HEAD "TEMPERATURE_1_NAME = 123456789012345678901234567890123\n", 2, "longer than 32 bytes");
	error(HEAD "TEMPERATURE_1_NAME = \xff\n", 2, "not UTF-8");
	error(HEAD "TEMPERATURE_1_NAME = \xed\xa0\x80\n", 2, "not UTF-8");
	error(HEAD "EXTERNAL_SENSOR_DBUS_PATH_SOC = Soc\n", 2, "does not start with /");
	error(HEAD "EXTERNAL_SENSOR_DBUS_DEVICE = no spaces.here\n", 2, "not the name of a D-Bus service");
	error(HEAD "MQTT_TLS_PATH_TO_CA = ca.crt\n", 2, "not an absolute path");
	error(HEAD "BLUETOOTH_BMS = Jkbms_Ble C8:47:8C:00:00\n", 2, "not a type and an address");
	error(HEAD "CAN_PORT = can0, /dev/x\n", 2, "not names of interfaces");
}

static void a_password_is_never_repeated(void **unused)
{
	char text[400] = HEAD "MQTT_PASSWORD = ";
	struct config_report report;
	struct config c;

	(void)unused;
	memset(text + strlen(text), 's', 300);
	assert_int_equal(load(text, &c, &report), -1);
	assert_int_equal(report.count, 1);
	assert_null(strstr(report.problem[0].text, "sss"));
	config_report_free(&report);
}

static void control_characters_never_reach_the_terminal(void **unused)
{
	(void)unused;
	error(HEAD "LOGGING = \x1b[31mX\n", 2, "got \"?[31mX\"");
	error(HEAD "\x1b]0;X = 3\n", 2, "?]0;X");
}

static void unknown_names_get_a_suggestion(void **unused)
{
	(void)unused;
	error(HEAD "MAX_CEL_VOLTAGE = 3.5\n", 2, "MAX_CEL_VOLTAGE: unknown option; did you mean MAX_CELL_VOLTAGE?");
	error(HEAD "charge_mode = 1\n", 2, "charge_mode: unknown option; did you mean CHARGE_MODE?");
	error(HEAD "MAX_VOLTAGE_TIME_SEC = 1\n", 2, "it is now SWITCH_TO_FLOAT_WAIT_FOR_SEC");
	error(HEAD "LINEAR_LIMITATION_ENABLE = True\n", 2, "it is now CHARGE_MODE (True is now 1, False is 2)");
	error(HEAD "DC_SOC_LIMIT2 = 3\n", 2, "SOC_WHILE_DISCHARGING and MAX_DISCHARGE_CURRENT_SOC_FRACTION");
	error(HEAD "SOC_RESET_TIME = 3\n", 2, "no successor");
	error(HEAD "NONSENSE = 3\n", 2, "NONSENSE: unknown option");
}

static void the_section_must_come_first_and_be_written_exactly(void **unused)
{
	(void)unused;
	error("MAX_CELL_VOLTAGE = 3.5\n" HEAD, 1, "[DEFAULT] is missing");
	error("; only this\n", 1, "[DEFAULT] is missing");
	error("", 0, "[DEFAULT] is missing");
	error("[default]\n", 1, "wrongly written (got \"[default]\")");
	error("[DEFAULT] ; c\n", 1, "wrongly written");
	error(HEAD "[OTHER]\n", 2, "unknown section (got \"[OTHER]\")");
	error(HEAD "[pack:1]\n", 2, "unknown section (got \"[pack:1]\")"); /* one configuration for all packs */
	error(HEAD "[open\n", 2, "unknown section");
}

static void an_option_given_twice_names_both_lines(void **unused)
{
	(void)unused;
	error(HEAD "\nCHARGE_MODE = 1\n\nCHARGE_MODE = 2\n", 5, "CHARGE_MODE: given twice, in line 3 and in line 5");
}

static void a_comment_behind_a_value_is_an_error_with_a_hint(void **unused)
{
	(void)unused;
	error(HEAD "CVL_RECALCULATION_EVERY = 60 ; text\n", 2, "comment behind the value (got \"60 ; text\")");
	error(HEAD "BMS_TYPE = Daly # mine\n", 2, "comment behind the value");
	error(HEAD "TEMPERATURE_1_NAME = Left ; of the door\n", 2, "comment behind the value");
}

static void all_problems_come_at_once_in_the_order_of_lines(void **unused)
{
	struct config_report report;
	struct config c;

	(void)unused;
	assert_int_equal(load(HEAD "MAX_CELL_VOLTAGE = 3.3\nfoo\nFLOAT_CELL_VOLTAGE = 3.4\nBAR = 1\nCHARGE_MODE = x\n",
			      &c, &report),
			 -1);
	assert_int_equal(report.count, 5);
	assert_int_equal(report.errors, 3);
	for (unsigned i = 1; i < report.count; i++)
		assert_true(report.problem[i - 1].line <= report.problem[i].line);
	config_report_free(&report);
}

static void a_file_that_is_not_there_is_an_error(void **unused)
{
	struct config_report report;
	struct config c;

	(void)unused;
	assert_int_equal(config_load(&c, "/nonexistent/config.ini", &report), -1);
	assert_string_equal(report.problem[0].text, "cannot be read: No such file or directory");
	config_report_free(&report);
	assert_int_equal(config_load(&c, "/", &report), -1);
	config_report_free(&report);
}

static void a_file_without_end_is_given_up(void **unused)
{
	struct config_report report;
	struct config c;

	(void)unused;
	assert_int_equal(config_load(&c, "/dev/zero", &report), -1);
	assert_true(report.count > 0);
	config_report_free(&report);
}

static void a_file_of_rubbish_does_not_fill_the_memory(void **unused)
{
	static char text[200 * 1024];
	struct config_report report;
	struct config c;

	(void)unused;
	for (size_t i = 0; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "a\n", 2);
	text[sizeof(text) - 1] = 0;
	assert_int_equal(load(text, &c, &report), -1);
	assert_int_equal(report.count, 1000);
	assert_true(report.dropped > 90000 && report.errors == report.count + report.dropped);
	config_report_free(&report);
}

static void random_bytes_never_do_harm(void **unused)
{
	static const char *const words[] = {"[DEFAULT]",
					    "\n",
					    " = ",
					    ":",
					    ";",
					    "#",
					    "MAX_CELL_VOLTAGE",
					    "3.4",
					    ",",
					    "-",
					    "[",
					    "]",
					    "CELL_VOLTAGES_WHILE_CHARGING",
					    "TEMPERATURE_1_ADJUST",
					    "1e9",
					    "\r",
					    "\t",
					    "BMS_TYPE",
					    "pack:",
					    "MQTT_TOPIC",
					    "\xef\xbb\xbf",
					    "0x",
					    "nan",
					    "CURRENT_REPORTED_BY_BMS",
					    "[pack:1]\n"};
	char text[4096];

	(void)unused;
	srand(1);
	for (int run = 0; run < 1000; run++) {
		struct config_report report;
		size_t n = 0;

		while (n < 200 + (size_t)run % 300) {
			if (rand() % 8) {
				const char *w = words[(unsigned)rand() % (sizeof(words) / sizeof(words[0]))];

				memcpy(text + n, w, strlen(w));
				n += strlen(w);
			} else {
				text[n++] = (char)rand();
			}
		}
		struct configuration *conf = configuration_load(file_of(text, n), NULL, &report);

		assert_true((conf != NULL) == !report.errors);
		configuration_free(conf);
		config_report_free(&report);
	}
	unlink("test_config.ini.tmp");
}

/* ---- rules over several options: V05 to V31 ---- */

static void voltages_are_checked_against_each_other(void **unused)
{
	struct config c;

	(void)unused;
	error(HEAD "MIN_CELL_VOLTAGE = 3.45\n", 2,
	      "MIN_CELL_VOLTAGE: not below MAX_CELL_VOLTAGE (got \"3.45\"); allowed: below 3.45"); /* V05 */
	c = warning(HEAD "FLOAT_CELL_VOLTAGE = 3.5\n", 2,
		    "FLOAT_CELL_VOLTAGE: above MAX_CELL_VOLTAGE (got \"3.5\"); 3.45 is used"); /* V06 */
	assert_true(c.float_cell_voltage == 3.45);
	c = warning(HEAD "FLOAT_CELL_VOLTAGE = 2.5\n", 2,
		    "FLOAT_CELL_VOLTAGE: below MIN_CELL_VOLTAGE (got \"2.5\"); 2.9 is used");
	assert_true(c.float_cell_voltage == 2.9);
	c = warning(HEAD "MAX_CELL_VOLTAGE = 3.3\n", 2, "FLOAT_CELL_VOLTAGE: above"); /* the line that made it so */
	assert_true(c.float_cell_voltage == 3.3);
	c = warning(HEAD "SOC_RESET_AFTER_DAYS = 7\nSOC_RESET_CELL_VOLTAGE = 3.4\n", 3,
		    "SOC_RESET_CELL_VOLTAGE: below"); /* V07 */
	assert_true(c.soc_reset_cell_voltage == 3.45);
	error(HEAD "SOC_RESET_AFTER_DAYS = 0\n", 2,
	      "SOC_RESET_AFTER_DAYS: out of range (got \"0\"); allowed: integer 1 to 3650"); /* V08 */
	warning(HEAD "SOC_RESET_AFTER_DAYS = 7\nCVCM_ENABLE = False\nAUTO_RESET_SOC = False\n", 2,
		"SOC_RESET_AFTER_DAYS: ignored"); /* V09 */
}

static void disconnect_voltages_lie_within_the_cells(void **unused)
{
	struct config c;

	(void)unused;
	c = warning(HEAD "BLOCK_ON_DISCONNECT_VOLTAGE_MIN = 2.5\n", 2,
		    "below MIN_CELL_VOLTAGE (got \"2.5\"); 2.9 is used"); /* V10 */
	assert_true(c.block_on_disconnect_voltage_min == 2.9);
	c = warning(HEAD "BLOCK_ON_DISCONNECT_VOLTAGE_MAX = 3.6\n", 2,
		    "above MAX_CELL_VOLTAGE (got \"3.6\"); 3.45 is used");
	assert_true(c.block_on_disconnect_voltage_max == 3.45);
	c = warning(HEAD "BLOCK_ON_DISCONNECT_VOLTAGE_MIN = 3.38\n", 2, "BLOCK_ON_DISCONNECT = True is used"); /* V11 */
	assert_true(c.block_on_disconnect);
	good(HEAD "BLOCK_ON_DISCONNECT = True\nBLOCK_ON_DISCONNECT_VOLTAGE_MIN = 2.5\n");
}

static void sensors_are_checked(void **unused)
{
	struct config c;

	(void)unused;
	error(HEAD "SOC_CALCULATION = True\nEXTERNAL_SENSOR_DBUS_DEVICE = a.b\nEXTERNAL_SENSOR_DBUS_PATH_SOC = /Soc\n",
	      4, "EXTERNAL_SENSOR_DBUS_PATH_SOC: together with SOC_CALCULATION"); /* V12 */
	error(HEAD "EXTERNAL_SENSOR_DBUS_PATH_CURRENT = /I\n", 2,
	      "given without EXTERNAL_SENSOR_DBUS_DEVICE"); /* V13 */
	warning(HEAD "EXTERNAL_SENSOR_DBUS_DEVICE = a.b\n", 2, "given without a path");
	error(HEAD "TEMPERATURE_SOURCE_BATTERY = 1, 5\n", 2, "element 2, \"5\", is out of range"); /* V23 */
	c = warning(HEAD "TEMPERATURE_SOURCE_BATTERY = 3, 3, 1\n", 2, "a sensor is given twice");
	assert_int_equal(c.temperature_source_battery.n, 2);
	error(HEAD "TEMPERATURE_1_ADJUST = 1\n", 2, "not two numbers"); /* V24 */
	error(HEAD "TEMPERATURE_1_ADJUST = 1, 2, 3\n", 2, "more than two numbers");
	error(HEAD "TEMPERATURE_MOS_ADJUST = 1, 0\n", 2, "slope 0");
	error(HEAD "TEMPERATURE_1_ADJUST = 101, 1\n", 2, "offset out of range");
	c = good(HEAD "TEMPERATURE_4_ADJUST = -2.5, 1.01\n");
	assert_true(c.temperature_adjust[3].v[0] == -2.5 && c.temperature_adjust[3].v[1] == 1.01);
}

static void curves_are_checked(void **unused)
{
	(void)unused;
	error(HEAD "SOC_WHILE_CHARGING = 98, 95, 90\n", 2,
	      "3 entries, but MAX_CHARGE_CURRENT_SOC_FRACTION has 4"); /* V14 */
	error(HEAD "MAX_CHARGE_CURRENT_SOC_FRACTION = 0.5, 1\n", 2,
	      "4 entries, but MAX_CHARGE_CURRENT_SOC_FRACTION has 2");
	error(HEAD "SOC_WHILE_CHARGING = 98\nMAX_CHARGE_CURRENT_SOC_FRACTION = 1\n", 2, "only one entry");
	error(HEAD "SOC_WHILE_CHARGING = 98, 95, 96\n", 2,
	      "entry 3, \"96\", breaks the order"); /* beside their number being wrong */
	error(HEAD "CELL_VOLTAGES_WHILE_CHARGING = 3.5, 3.45, 3.45, 3.4, 3.3\n", 2,
	      "entry 3, \"3.45\", breaks the order"); /* V15 */
	error(HEAD "CELL_VOLTAGES_WHILE_CHARGING = 3.1, 3.2, 3.3, 3.4, 3.35\n", 2,
	      "entry 5, \"3.35\", breaks the order");
	error(HEAD "MAX_CHARGE_CURRENT_CV_FRACTION = 0, 0.1, 0.2, 0.3, 1.1\n", 2,
	      "element 5, \"1.1\", is out of range");						      /* V16 */
	warning(HEAD "MAX_CHARGE_CURRENT_CV_FRACTION = 0, 0.1, 0.2, 0.3, 0.9\n", 2, "no entry is 1"); /* V17 */
	warning(HEAD "CELL_VOLTAGES_WHILE_CHARGING = 3.44, 3.43, 3.425, 3.4, 3.375\n", 2,
		"no current from 3.44 V"); /* V18 */
	warning(HEAD "SOC_RESET_AFTER_DAYS = 7\n", 2, "no current from 3.5 V, but the cells shall reach 3.65 V");
	warning(HEAD "CELL_VOLTAGES_WHILE_DISCHARGING = 2.95, 2.96, 3.0, 3.1, 3.19\n", 2,
		"no current at 2.95 V"); /* V19 */
	problem(HEAD "SOC_WHILE_CHARGING = 99, 95, 90, 85\n", CONFIG_INFO, 2,
		"has no effect because CCCM_SOC_ENABLE is False"); /* V31 */
	good(HEAD "CCCM_SOC_ENABLE = True\nSOC_WHILE_CHARGING = 85, 90, 95, 98\nMAX_CHARGE_CURRENT_SOC_FRACTION = 1, "
		  ".5, .2, .1\n");
}

static void the_other_rules_warn_or_refuse(void **unused)
{
	struct config c;

	(void)unused;
	warning(HEAD "SWITCH_TO_BULK_SOC_THRESHOLD = 0\nSWITCH_TO_BULK_CELL_VOLTAGE_DIFF = 0.101\n", 2,
		"hardly ever");										      /* V20 */
	warning(HEAD "CVL_CONTROLLER_MODE = 2\nSWITCH_TO_FLOAT_CELL_VOLTAGE_DIFF =\n", 2, "0.010 V is used"); /* V21 */
	error(HEAD "CURRENT_REPORTED_BY_BMS = -300, 0, 300\n", 2,
	      "3 entries, but CURRENT_MEASURED_BY_USER has 2"); /* V22 */
	error(HEAD "CURRENT_REPORTED_BY_BMS = 300, 300\n", 2, "breaks the order");
	error(HEAD "CURRENT_MEASURED_BY_USER = 300, -300\n", 2, "goes against the order");
	good(HEAD "CURRENT_REPORTED_BY_BMS = 300, 0, -300\nCURRENT_MEASURED_BY_USER = 310, 0, 0\n");
	c = warning(HEAD "TIME_TO_SOC_POINTS = 10, 20, 10\n", 2, "a point is given twice"); /* V25 */
	assert_int_equal(c.time_to_soc_points.n, 2);
	c = warning(HEAD "TIME_TO_SOC_POINTS = "
			 "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,"
			 "32,33,34,35,36,37,38,39,40\n",
		    2, "more than 20 points");
	assert_int_equal(c.time_to_soc_points.n, 20);
	c = warning(HEAD "TIME_TO_SOC_RECALCULATE_EVERY = 2\n", 2, "too small, 5 is used"); /* V26 */
	assert_int_equal(c.time_to_soc_recalculate_every, 5);
	warning(HEAD "SOC_LOW_ALARM = 30\n", 2, "above SOC_LOW_WARNING"); /* V27 */
	error(HEAD "CHARGE_CURRENT_RECOVERY_THRESHOLD_PERCENT = 1.5\n", 2,
	      "it is a fraction (0.015 = 1.5 %), not percent");		/* V28 */
	warning(HEAD "CVCM_ENABLE = False\n", 2, "never set to 100 %"); /* V29 */
	error(HEAD "LIPRO_START_ADDRESS = 9\n", 2, "below LIPRO_START_ADDRESS (got \"4\"); allowed: 9 to 247");
}

static bool is_daly(const char *name)
{
	return !strcmp(name, "Daly");
}

static void names_of_bms_are_checked_by_those_who_know_them(void **unused)
{
	const struct config_names names = {.bms_type = is_daly, .protocol = is_daly, .bms_types = "Daly, Others"};
	struct config_report report;
	static const char text[] = HEAD "BMS_TYPE = Daly, Foo\n[protocol:Bar]\n";
	struct configuration *conf = configuration_load(file_of(text, strlen(text)), &names, &report);

	(void)unused;
	unlink("test_config.ini.tmp");
	assert_null(conf);
	assert_int_equal(report.count, 2);
	assert_string_equal(report.problem[0].text, "BMS_TYPE: unknown (got \"Foo\"); allowed: Daly, Others"); /* V30 */
	assert_string_equal(report.problem[1].text, "[protocol:Bar]: no protocol has this name");
	config_report_free(&report);
}

/* ---- setting single options ---- */

static void one_option_is_set_as_a_line_would(void **unused)
{
	struct config c;
	char why[CONFIG_MAX_PROBLEM];

	(void)unused;
	config_defaults(&c);
	assert_true(config_set(&c, "MAX_CELL_VOLTAGE", " 3.5 ", why, sizeof(why)));
	assert_true(c.max_cell_voltage == 3.5);
	assert_false(config_set(&c, "MAX_CELL_VOLTAGE", "x", why, sizeof(why)));
	assert_string_equal(why, "MAX_CELL_VOLTAGE: not a number (got \"x\"); allowed: number 0.5 to 5");
	assert_true(c.max_cell_voltage == 3.5);
	assert_false(config_set(&c, "MAX_CELL_VOLT", "3", why, sizeof(why)));
	assert_true(config_set(&c, "FLOAT_CELL_VOLTAGE", "4.0", why, sizeof(why)));

	struct config_report report = {0};

	config_check(&c, &report);
	assert_true(c.float_cell_voltage == 3.5);
	assert_int_equal(report.count, 1);
	assert_int_equal(report.problem[0].line, 0);
	config_report_free(&report);
}

static void what_is_set_can_be_read_back_as_text(void **unused)
{
	char text[CONFIG_MAX_TEXT * 2], again[CONFIG_MAX_TEXT * 2], why[CONFIG_MAX_PROBLEM];
	struct config c, d;

	(void)unused;
	config_defaults(&c);
	memset(&d, 0, sizeof(d));
	for (unsigned i = 0; i < CONFIG_OPTIONS; i++) {
		const struct option *o = option_at(i);

		assert_int_equal(option_index(o), i);
		assert_ptr_equal(option_by_name(o->name), o);
		option_text(o, &c, text, sizeof(text));
		if (!config_set(&d, o->name, text, why, sizeof(why)))
			fail_msg("%s", why);
		option_text(o, &d, again, sizeof(again));
		assert_string_equal(text, again);
	}
}

/* ---- sections ---- */

static const char with_sections[] = HEAD "MAX_CELL_VOLTAGE = 3.40\nVOLTAGE_DROP = 0.1\n"
					 "[pack:A1]\nMAX_CELL_VOLTAGE = 3.42\n"
					 "[protocol:jk-pb]\nVOLTAGE_DROP = 0.2\nMAX_CELL_VOLTAGE = 3.41\n"
					 "[port:ttyUSB0]\nVOLTAGE_DROP = 0.3\n";

static void the_most_special_section_has_the_last_word(void **unused)
{
	struct config_origin origin[CONFIG_OPTIONS];
	struct config_report report;
	struct configuration *conf = load_sections(with_sections, &report);
	struct config c;

	(void)unused;
	assert_non_null(conf);
	assert_int_equal(report.count, 0);
	assert_false(configuration_for(conf, "/dev/ttyUSB7", NULL, "jbd-uart", &c, NULL));
	assert_true(c.max_cell_voltage == 3.40 && c.voltage_drop == 0.1);
	assert_true(configuration_for(conf, "/dev/ttyUSB0", NULL, "jk-pb", &c, NULL));
	assert_true(c.max_cell_voltage == 3.41 && c.voltage_drop == 0.3);
	assert_true(configuration_for(conf, "ttyUSB0", "A1", "jk-pb", &c, origin));
	assert_true(c.max_cell_voltage == 3.42 && c.voltage_drop == 0.3);

	const struct config_origin *o = &origin[option_index(option_by_name("MAX_CELL_VOLTAGE"))];

	assert_int_equal(o->line, 5);
	assert_string_equal(o->section, "pack:A1");
	o = &origin[option_index(option_by_name("MIN_CELL_VOLTAGE"))];
	assert_int_equal(o->line, 0);
	assert_string_equal(configuration_section(conf, 0), "pack:A1");
	assert_string_equal(configuration_section(conf, 2), "port:ttyUSB0");
	assert_null(configuration_section(conf, 3));
	configuration_free(conf);
	config_report_free(&report);
}

static void combinations_of_sections_are_checked_too(void **unused)
{
	struct config_report report;
	struct configuration *conf = load_sections(
		HEAD "[pack:A1]\nMAX_CELL_VOLTAGE = 3.0\nFLOAT_CELL_VOLTAGE = 2.95\n[port:x]\nMIN_CELL_VOLTAGE = 3.1\n",
		&report);

	(void)unused;
	assert_null(conf); /* each alone would do */
	assert_int_equal(report.errors, 1);
	config_report_free(&report);
}

static void options_of_the_whole_program_stand_in_default_only(void **unused)
{
	struct config_report report;
	struct configuration *conf = load_sections(HEAD "[pack:A1]\nLOGGING = DEBUG\n", &report);

	(void)unused;
	assert_null(conf);
	assert_int_equal(report.problem[0].line, 3);
	assert_string_equal(report.problem[0].text, "LOGGING: concerns the whole program; allowed: only in [DEFAULT]");
	config_report_free(&report);
}

static void a_corrected_value_is_marked(void **unused)
{
	struct config_origin origin[CONFIG_OPTIONS];
	struct config_report report;
	struct configuration *conf = load_sections(HEAD "MAX_CELL_VOLTAGE = 3.3\nFLOAT_CELL_VOLTAGE = 3.4\n", &report);
	struct config c;

	(void)unused;
	assert_non_null(conf);
	configuration_for(conf, NULL, NULL, NULL, &c, origin);
	assert_true(origin[option_index(option_by_name("FLOAT_CELL_VOLTAGE"))].mended);
	assert_false(origin[option_index(option_by_name("MAX_CELL_VOLTAGE"))].mended);
	configuration_free(conf);
	config_report_free(&report);
}

/* ---- what is printed from the table ---- */

static char *printed(void (*print)(FILE *to))
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	print(f);
	assert_int_equal(fclose(f), 0);
	return text;
}

static char *committed(const char *name)
{
	const char *source = getenv("srcdir");
	char path[4096];
	char *text = NULL;
	size_t size = 0;

	snprintf(path, sizeof(path), "%s/%s", source ? source : ".", name);
	FILE *f = fopen(path, "r");

	if (!f)
		fail_msg("%s can't be read", path);
	if (getdelim(&text, &size, 0, f) < 0)
		fail_msg("%s is empty", path);
	fclose(f);
	return text;
}

static void the_default_file_says_the_defaults_and_gives_no_complaint(void **unused)
{
	char *text = printed(config_print_default);
	struct config c = good(text), d;

	(void)unused;
	config_defaults(&d);
	for (unsigned i = 0; i < CONFIG_OPTIONS; i++) {
		char a[CONFIG_MAX_TEXT * 2], b[CONFIG_MAX_TEXT * 2], line[80];

		option_text(option_at(i), &c, a, sizeof(a));
		option_text(option_at(i), &d, b, sizeof(b));
		assert_string_equal(a, b);
		snprintf(line, sizeof(line), "\n%s =", option_at(i)->name);
		assert_non_null(strstr(text, line));
	}
	free(text);
}

static void the_committed_default_file_is_the_printed_one(void **unused)
{
	char *now = printed(config_print_default), *file = committed("data/config.default.ini");

	(void)unused;
	if (strcmp(now, file) != 0)
		fail_msg("data/config.default.ini is old: bmscope config default >data/config.default.ini");
	free(now);
	free(file);
}

static void the_committed_manual_is_the_printed_one_and_names_every_option(void **unused)
{
	char *now = printed(config_print_manual), *file = committed("man/bmscope.ini.5");

	(void)unused;
	if (strcmp(now, file) != 0)
		fail_msg("man/bmscope.ini.5 is old: bmscope config man >man/bmscope.ini.5");
	for (unsigned i = 0; i < CONFIG_OPTIONS; i++) {
		char line[80];

		snprintf(line, sizeof(line), "\n.BR %s ", option_at(i)->name);
		assert_non_null(strstr(file, line));
	}
	free(now);
	free(file);
}

static void a_problem_is_printed_with_file_line_and_severity(void **unused)
{
	struct config_report report;
	struct config c;
	char *text = NULL;
	size_t size = 0;

	(void)unused;
	assert_int_equal(load(HEAD "CVL_RECALCULATION_EVERY = 60.0\n", &c, &report), -1);
	FILE *f = open_memstream(&text, &size);

	config_report_print(&report, f);
	fclose(f);
	assert_string_equal(text,
			    "test_config.ini.tmp:2: error: CVL_RECALCULATION_EVERY: not an integer (got \"60.0\"); "
			    "allowed: integer 0 to 3600\n");
	free(text);
	config_report_free(&report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_may_have_a_mark_crlf_comments_and_blanks),
		cmocka_unit_test(a_value_is_taken_as_it_stands),
		cmocka_unit_test(a_long_list_is_read_to_its_end),
		cmocka_unit_test(a_line_is_not_continued_by_the_next),
		cmocka_unit_test(every_form_of_a_switch_is_understood),
		cmocka_unit_test(empty_values_mean_what_the_table_says),
		cmocka_unit_test(addresses_are_hexadecimal),
		cmocka_unit_test(numbers_have_a_point_whatever_the_locale),
		cmocka_unit_test(messages_say_what_was_got_and_what_is_allowed),
		cmocka_unit_test(a_password_is_never_repeated),
		cmocka_unit_test(control_characters_never_reach_the_terminal),
		cmocka_unit_test(unknown_names_get_a_suggestion),
		cmocka_unit_test(the_section_must_come_first_and_be_written_exactly),
		cmocka_unit_test(an_option_given_twice_names_both_lines),
		cmocka_unit_test(a_comment_behind_a_value_is_an_error_with_a_hint),
		cmocka_unit_test(all_problems_come_at_once_in_the_order_of_lines),
		cmocka_unit_test(a_file_that_is_not_there_is_an_error),
		cmocka_unit_test(a_file_without_end_is_given_up),
		cmocka_unit_test(a_file_of_rubbish_does_not_fill_the_memory),
		cmocka_unit_test(random_bytes_never_do_harm),
		cmocka_unit_test(voltages_are_checked_against_each_other),
		cmocka_unit_test(disconnect_voltages_lie_within_the_cells),
		cmocka_unit_test(sensors_are_checked),
		cmocka_unit_test(curves_are_checked),
		cmocka_unit_test(the_other_rules_warn_or_refuse),
		cmocka_unit_test(names_of_bms_are_checked_by_those_who_know_them),
		cmocka_unit_test(one_option_is_set_as_a_line_would),
		cmocka_unit_test(what_is_set_can_be_read_back_as_text),
		cmocka_unit_test(the_most_special_section_has_the_last_word),
		cmocka_unit_test(combinations_of_sections_are_checked_too),
		cmocka_unit_test(options_of_the_whole_program_stand_in_default_only),
		cmocka_unit_test(a_corrected_value_is_marked),
		cmocka_unit_test(the_default_file_says_the_defaults_and_gives_no_complaint),
		cmocka_unit_test(the_committed_default_file_is_the_printed_one),
		cmocka_unit_test(the_committed_manual_is_the_printed_one_and_names_every_option),
		cmocka_unit_test(a_problem_is_printed_with_file_line_and_severity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
