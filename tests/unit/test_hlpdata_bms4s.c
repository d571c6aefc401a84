/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hlpdata-bms4s on lines of text constructed from its sheet. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/detect.h"
#include "engine/follow.h"
#include "play.h"
#include "vline.h"

enum { VERSION, SETTINGS, MEASURED, EVENTS };
enum { MEASURES, PRINTS };

#define M1 "m1 3.283,3.282,3.281,3.284,-1.500,41,1,0,12.700,40,7,0,2,b1 21,b2 -4.5,e1 35\r\n"

static struct device dev;
static char error[128];

static int set_up(void **unused)
{
	(void)unused;
	dev = fresh_device("hlpdata-bms4s", 0, MEASURES);
	error[0] = 0;
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	device_free(&dev);
	return 0;
}

static const char *hex_of(const char *text)
{
	static char hex[8][2 * 1200];
	static unsigned turn;
	char *out = hex[turn++ % 8];

	bytes_hex((struct bytes){(const uint8_t *)text, strlen(text)}, out, sizeof(hex[0]));
	return out;
}

static enum exchange_state hear(uint16_t code, const char *text)
{
	return play(&dev, code, 0, RX(hex_of(text)), error);
}

static void answers(uint16_t code, const char *text)
{
	assert_int_equal(hear(code, text), EXCHANGE_ANSWERED);
}

static double get(enum quantity q)
{
	return reading_get(&dev.reading, q);
}

static double setting(const char *name)
{
	return settings_number(&dev.settings, name);
}

static const char *setting_text(const char *name)
{
	const struct setting *s = settings_find(&dev.settings, name);

	return s ? s->text : "(none)";
}

static void nothing_was_taken(void)
{
	struct reading nothing = {0};

	assert_memory_equal(&dev.reading, &nothing, sizeof(nothing));
	assert_int_equal(dev.settings.count, 0);
}

/* Gives up the line, and takes nothing of it. */
static void is_not_believed(const char *line, const char *why)
{
	assert_int_equal(hear(MEASURED, line), EXCHANGE_FAILED);
	assert_non_null(strstr(error, why));
	nothing_was_taken();
}

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	(void)unused;
	assert_string_equal(request_hex(&dev, VERSION, 0), hex_of("\npv\n"));
	assert_string_equal(request_hex(&dev, SETTINGS, 0), hex_of("ps\n"));
	assert_string_equal(request_hex(&dev, MEASURED, 0), hex_of("m1\n"));
	assert_string_equal(request_hex(&dev, EVENTS, 0), hex_of("pe\n"));
	dev.dialect = PRINTS;
	assert_string_equal(request_hex(&dev, MEASURED, 0), hex_of("p\n"));
}

static void no_request_can_change_a_setting(void **unused)
{
	(void)unused;
	for (unsigned code = 0; code < 256; code++) {
		struct request request;

		if (dev.protocol->encode(&dev, (uint16_t)code, 0, &request))
			assert_false(request.writes);
		else
			assert_true(code > EVENTS);
	}
	assert_int_equal(dev.protocol->commands, 0);
}

static void recorded_requests_are_recognised(void **unused)
{
	static const char *const texts[] = {"pv\n", "\npv\n", "ps\n", "m1\r\n", "pe\n", "p\n"};
	static const uint16_t codes[] = {VERSION, VERSION, SETTINGS, MEASURED, EVENTS, MEASURED};
	struct request request;

	(void)unused;
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct bytes tx = {(const uint8_t *)texts[i], strlen(texts[i])};

		assert_true(dev.protocol->parse_request(tx, &request));
		assert_int_equal(request.code, codes[i]);
		assert_int_equal(request.dialect, i == 5 ? PRINTS : MEASURES);
	}
}

static void other_texts_are_no_requests(void **unused)
{
	static const char *const texts[] = {"", "\n", "m1", "m2\n", "va=3.5\n", "ce\n", "cm\n", "pvx\n", "\xdd\xa5\n"};
	struct request request;

	(void)unused;
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(dev.protocol->parse_request((struct bytes){(const uint8_t *)texts[i], strlen(texts[i])},
							 &request));
}

/* ---- pv ---- */

static void version_is_what_follows_the_name(void **unused)
{
	(void)unused;
	answers(VERSION, "pv\r\nHLP Data BMS4S ver 4.2.89 \r\n");
	assert_string_equal(dev.reading.text[T_MODEL], "BMS4S");
	assert_string_equal(dev.reading.text[T_HARDWARE_VERSION], "BMS4S ver 4.2.89");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "ver 4.2.89");
}

static void version_without_a_line_end_is_taken_when_the_line_is_silent(void **unused)
{
	(void)unused;
	answers(VERSION, "BMS4S ver 1.4.55");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "ver 1.4.55");
}

static void other_texts_are_no_version(void **unused)
{
	(void)unused;
	assert_int_equal(hear(VERSION, "BMS4S\r\n"), EXCHANGE_FAILED);
	assert_int_equal(hear(VERSION, "PID\t0xA053\r\nV\t26201\r\n"), EXCHANGE_FAILED);
	assert_int_equal(hear(VERSION, "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n"),
			 EXCHANGE_FAILED);
	assert_int_equal(hear(VERSION, "\npv\n"), EXCHANGE_FAILED);
	assert_string_equal(error, "no reply, only our own bytes came back");
	nothing_was_taken();
}

/* ---- ps ---- */

#define PS                                                                                                             \
	"Settings\r\nBatterySize= 180 Ah: size, command bs\r\nVoltHigh= 3.600 V: high\r\nVoltLow= 2,900 V: low\r\n"    \
	"VoltBalance= 3.500 V: start\r\nVoltDifference= 0,050 V: allowed\r\nVoltAbsorbtion= 3.450 V: absorb\r\n"       \
	"BalanceInit= 0.9 Ah: unbalance\r\nSoundOn= yes -: beeps\r\nAltTemp= 80 C: alternator\r\n"

static void settings_are_told_with_point_or_comma(void **unused)
{
	(void)unused;
	answers(SETTINGS, PS);
	assert_true(get(Q_CAPACITY_FULL_AH) == 180);
	assert_true(get(Q_BMS_CVL_V) == 14.4);
	assert_true(get(Q_BMS_DVL_V) == 11.6);
	assert_true(setting("battery_size_Ah") == 180);
	assert_true(setting("cell_ovp_V") == 3.6);
	assert_true(setting("cell_uvp_V") == 2.9);
	assert_true(setting("balance_start_V") == 3.5);
	assert_true(setting("cell_difference_V") == 0.05);
	assert_true(setting("absorption_V") == 3.45);
	assert_true(setting("balance_init_Ah") == 0.9);
	assert_string_equal(setting_text("other_1"), "SoundOn= yes -");
	assert_string_equal(setting_text("other_2"), "AltTemp= 80 C");
}

static void settings_asked_again_keep_their_names(void **unused)
{
	(void)unused;
	answers(SETTINGS, PS);
	unsigned count = dev.settings.count;

	answers(SETTINGS, PS);
	assert_int_equal(dev.settings.count, count);
}

static void settings_without_a_size_are_not_believed(void **unused)
{
	(void)unused;
	assert_int_equal(hear(SETTINGS, "VoltHigh= 3.600 V: high\r\n"), EXCHANGE_FAILED);
	assert_non_null(strstr(error, "BatterySize"));
	assert_false(reading_knows(&dev.reading, Q_BMS_CVL_V));
}

static void size_that_was_cut_is_not_believed(void **unused)
{
	(void)unused;
	assert_int_equal(hear(SETTINGS, "VoltHigh= 3.600 V: high\r\nBatterySize= 18"), EXCHANGE_FAILED);
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_FULL_AH));
}

static void more_settings_than_there_are_names_for_do_no_harm(void **unused)
{
	char text[1100] = "BatterySize= 90 Ah: size\r\n";

	(void)unused;
	for (unsigned i = 0; i < 50; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "Unknown%u= %u -\r\n", i, i);
	answers(SETTINGS, text);
	assert_string_equal(setting_text("other_20"), "Unknown19= 19 -");
	assert_int_equal(dev.settings.count, 21);
}

/* ---- m1 ---- */

static void every_field_of_m1_is_told(void **unused)
{
	(void)unused;
	answers(SETTINGS, PS);
	answers(MEASURED, M1);
	assert_int_equal(dev.reading.cell_V.count, 4);
	assert_true(dev.reading.cell_V.value[0] == 3.283);
	assert_true(dev.reading.cell_V.value[1] == 3.282);
	assert_true(dev.reading.cell_V.value[2] == 3.281);
	assert_true(dev.reading.cell_V.value[3] == 3.284);
	assert_true(fabs(get(Q_VOLTAGE_V) - 13.13) < 1e-9);
	assert_true(get(Q_CURRENT_A) == -1.5);
	assert_true(get(Q_SOC_PCT) == 41);
	assert_true(fabs(get(Q_CAPACITY_REMAINING_AH) - 73.8) < 1e-9);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), ON);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), OFF);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_MOS), OFF);
	assert_true(reading_detail(&dev.reading, "aux_voltage_V") == 12.7);
	assert_true(reading_detail(&dev.reading, "socnow") == 40);
	assert_true(reading_detail(&dev.reading, "adj") == 7);
	assert_true(reading_detail(&dev.reading, "beep") == 0);
	assert_true(reading_detail(&dev.reading, "led") == 2);
	assert_int_equal(dev.reading.temperatures.count, 2);
	assert_true(dev.reading.temperatures.value[0] == 21);
	assert_true(dev.reading.temperatures.value[1] == -4.5);
	assert_true(reading_detail(&dev.reading, "other_sensor_1") == 35);
	assert_true(dev.reading.alarms.known);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
}

static void remaining_capacity_stays_unknown_without_a_size(void **unused)
{
	(void)unused;
	answers(MEASURED, M1);
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_REMAINING_AH));
}

static void fields_without_a_number_stay_unknown(void **unused)
{
	(void)unused;
	answers(MEASURED, "m1 3.283,3.282,3.281,3.284,-1.500,41,1,0,--,,x,0,off,b1 --,b2 20\r\n");
	assert_true(isnan(reading_detail(&dev.reading, "aux_voltage_V")));
	assert_true(isnan(reading_detail(&dev.reading, "socnow")));
	assert_true(isnan(reading_detail(&dev.reading, "adj")));
	assert_true(isnan(reading_detail(&dev.reading, "led")));
	assert_int_equal(dev.reading.temperatures.count, 2);
	assert_false(series_knows(&dev.reading.temperatures, 0));
	assert_true(dev.reading.temperatures.value[1] == 20);
}

static void battery_without_sensors_has_none(void **unused)
{
	(void)unused;
	answers(MEASURED, "m1 3.283,3.282,3.281,3.284,-1.500,41,1,0,12.7,40,7,0,2\r\n");
	assert_true(dev.reading.temperatures.reported);
	assert_int_equal(dev.reading.temperatures.count, 0);
}

static void echo_on_the_same_line_or_before_does_not_matter(void **unused)
{
	(void)unused;
	answers(MEASURED, "m1\r\n" M1);
	answers(MEASURED, "m1" M1);
	answers(MEASURED, "m1\n" M1);
	answers(MEASURED, "\r\n\r\nm1\rm1: 3.283,3.282,3.281,3.284,-1.500,41,1,0,12.7,40,7,0,2\r");
	/* The exchange takes an exact echo off; nothing may be left of the mark. */
	answers(MEASURED, "m1\n3.283,3.282,3.281,3.284,-1.500,41,1,0,12.7,40,7,0,2\r\n");
}

static void noise_around_a_line_is_skipped(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, MEASURED, 0, RX("ff00fe", hex_of(M1), "ff00"), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_SOC_PCT) == 41);
}

static void noise_inside_a_line_spoils_it(void **unused)
{
	(void)unused;
	is_not_believed("m1 3.283,3.2\xff"
			"82,3.281,3.284,-1.500,41,1,0,12.700,40,7,0,2,b1 21\r\n",
			"no text");
}

static void bytes_may_come_one_by_one(void **unused)
{
	const char *hex = hex_of(M1);
	const char *rx[sizeof(M1)] = {NULL};
	char piece[sizeof(M1)][3];

	(void)unused;
	for (size_t i = 0; i < sizeof(M1) - 1; i++) {
		snprintf(piece[i], sizeof(piece[i]), "%.2s", hex + 2 * i);
		rx[i] = piece[i];
	}
	assert_int_equal(play(&dev, MEASURED, 0, rx, error), EXCHANGE_ANSWERED);
	assert_true(dev.reading.temperatures.value[1] == -4.5);
}

static void of_two_lines_glued_together_the_first_is_taken(void **unused)
{
	(void)unused;
	answers(MEASURED, M1 "m1 3.0,3.0,3.0,3.0,0,9,1,0,12.700,40,7,0,2\r\n");
	assert_true(get(Q_SOC_PCT) == 41);
}

static void line_without_an_end_may_be_cut_in_its_last_field(void **unused)
{
	(void)unused;
	answers(MEASURED, "m1 3.283,3.282,3.281,3.284,-1.500,41,1,0,12.700,40,7,0,2,b1 21,b2 1");
	assert_int_equal(dev.reading.temperatures.count, 1);
	assert_true(dev.reading.temperatures.value[0] == 21);
}

static void cut_line_is_not_believed(void **unused)
{
	(void)unused;
	is_not_believed("m1 3.283,3.282,3.281,3.284,-1.500,41,1,0,12.700,40,7,0,2", "fewer than 13 fields");
	is_not_believed("m1 3.283,3.282,3.281,3.284,-1.500,41,1,0,12.700,40,7,0\r\n", "fewer than 13 fields");
	is_not_believed("m1 3.283,3.282\r\n", "fewer than 13 fields");
	is_not_believed(".282,3.281,3.284,-1.500,41,1,0,12.700,40,7,0,2,b1 21,b2 19,e1 35\r\n", "cell voltage");
	is_not_believed("3.282,3.281,3.284,-1.500,41,1,0,12.700,40,7,0,2,b1 21,b2 19,e1 35\r\n", "cell voltage");
	is_not_believed("3.281,3.284,1.500,1.5,41,1,0,12.700,40,7,0,2,b1 21,b2 19,e1 35\r\n", "neither 0 nor 1");
}

static void values_that_cannot_be_are_not_believed(void **unused)
{
	(void)unused;
	is_not_believed("m1 0.000,3.282,3.281,3.284,-1.500,41,1,0,12.700,40,7,0,2\r\n", "cell voltage");
	is_not_believed("m1 3.283,3.282,3.281,5.001,-1.500,41,1,0,12.700,40,7,0,2\r\n", "cell voltage");
	is_not_believed("m1 3.283,3.2 82,3.281,3.284,-1.500,41,1,0,12.700,40,7,0,2\r\n", "cell voltage");
	is_not_believed("m1 3.283,3.282,3.281,3.284,--1.5,41,1,0,12.700,40,7,0,2\r\n", "current");
	is_not_believed("m1 3.283,3.282,3.281,3.284,-1.500,101,1,0,12.700,40,7,0,2\r\n", "SoC");
	is_not_believed("m1 3.283,3.282,3.281,3.284,-1.500,-1,1,0,12.700,40,7,0,2\r\n", "SoC");
	is_not_believed("m1 3.283,3.282,3.281,3.284,-1.500,4.1,1,0,12.700,40,7,0,2\r\n", "SoC");
	is_not_believed("m1 3.283,3.282,3.281,3.284,-1.500,41,2,0,12.700,40,7,0,2\r\n", "switch");
	is_not_believed("m1 3.283,3.282,3.281,3.284,-1.500,41,1,,12.700,40,7,0,2\r\n", "switch");
	is_not_believed("m1 3.283,3.282,3.281,3.284,-1.500,41,1,0,12.700,40,7,led,2\r\n", "beep");
	is_not_believed("m1 3.283,3.282,3.281,3.284,99999999999999999999,41,1,0,12.700,40,7,0,2\r\n", "current");
}

static void endless_text_is_no_line(void **unused)
{
	char text[1101];

	(void)unused;
	memset(text, ',', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_int_equal(hear(MEASURED, text), EXCHANGE_FAILED);
	nothing_was_taken();
}

static void foreign_text_is_no_measurement(void **unused)
{
	(void)unused;
	assert_int_equal(hear(MEASURED, "PID\t0xA053\r\nV\t26201\r\nI\t-340\r\n"), EXCHANGE_FAILED);
	assert_int_equal(hear(MEASURED, "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n"),
			 EXCHANGE_FAILED);
	assert_int_equal(hear(MEASURED, "BMS4S ver 4.2.89\r\nBatterySize= 180 Ah: x\r\n"), EXCHANGE_FAILED);
	nothing_was_taken();
}

/* ---- alarms ---- */

static const struct alarms *beeps(unsigned code)
{
	char line[120];

	snprintf(line, sizeof(line), "m1 3.283,3.282,3.281,3.284,-1.500,41,1,0,12.700,40,7,%u,2\r\n", code);
	answers(MEASURED, line);
	assert_true(reading_detail(&dev.reading, "beep") == code);
	return &dev.reading.alarms;
}

static void every_beep_code_has_its_alarm(void **unused)
{
	static const struct {
		unsigned code;
		enum alarm alarm;
		enum alarm_level level;
	} rows[] = {
		{2, ALARM_LOW_CHARGE_TEMPERATURE, ALARM_WARNING},
		{3, ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_WARNING},
		{4, ALARM_LOW_VOLTAGE, ALARM_RAISED},
		{5, ALARM_HIGH_VOLTAGE, ALARM_RAISED},
	};

	(void)unused;
	assert_int_equal(alarms_raised(beeps(0)), 0);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct alarms *a = beeps(rows[i].code);

		assert_int_equal(alarms_raised(a), 1);
		assert_int_equal(a->level[rows[i].alarm], rows[i].level);
		assert_true(dev.protocol->alarms >> rows[i].alarm & 1);
	}
	assert_int_equal(alarms_raised(beeps(0)), 0);
}

static void beep_that_nobody_knows_is_a_warning_under_its_number(void **unused)
{
	(void)unused;
	for (unsigned code = 1; code < 12; code += code == 1 ? 5 : 1) {
		const struct alarms *a = beeps(code);
		char name[16];

		snprintf(name, sizeof(name), code < 10 ? "beep_%u" : "beep_above_9", code);
		assert_int_equal(alarms_raised(a), 1);
		assert_string_equal(a->own[0].name, name);
		assert_int_equal(a->own[0].level, ALARM_WARNING);
	}
}

static void bad_sense_cables_are_an_internal_failure_until_they_are_not_told_any_more(void **unused)
{
	(void)unused;
	answers(MEASURED, "bad voltage sense cables!\r\n" M1);
	assert_int_equal(dev.reading.alarms.level[ALARM_INTERNAL_FAILURE], ALARM_RAISED);
	answers(MEASURED, M1);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	answers(EVENTS, "HVE , 3.599 , 3.600 , 3.598 , 3.599 , 14.396 , 77.130 ,\r\nbad voltage sense cables!\r\n");
	answers(MEASURED, M1);
	assert_int_equal(dev.reading.alarms.level[ALARM_INTERNAL_FAILURE], ALARM_RAISED);
	answers(EVENTS, "HVE , 3.599 , 3.600 , 3.598 , 3.599 , 14.396 , 77.130 ,\r\n");
	answers(MEASURED, M1);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
}

/* ---- p ---- */

static void old_firmware_prints_its_values(void **unused)
{
	(void)unused;
	dev.dialect = PRINTS;
	answers(MEASURED, "p\r\nU=3.283 3.282 3.281 3.284 13.130 I=-1.500 SoC=41\r\n");
	assert_true(dev.reading.cell_V.value[2] == 3.281);
	assert_true(get(Q_VOLTAGE_V) == 13.13);
	assert_true(get(Q_CURRENT_A) == -1.5);
	assert_true(get(Q_SOC_PCT) == 41);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), UNKNOWN);
	assert_false(dev.reading.temperatures.reported);
	assert_false(dev.reading.alarms.known);
}

static void printed_line_that_does_not_fit_is_not_believed(void **unused)
{
	(void)unused;
	dev.dialect = PRINTS;
	is_not_believed("U=3.283 3.282 3.281 3.284 13.130 I=-1.500 SoC=4", "cut");
	is_not_believed("U=3.283 3.282 3.281 3.284 13.130 I=-1.500\r\n", "cut");
	is_not_believed("U=3.283 3.282 3.281\r\n", "cut");
	is_not_believed("U=3.283 3.282 3.281 3.284 12.130 I=-1.500 SoC=41\r\n", "add up");
	is_not_believed("U=3.283 3.282 3.281 3.284 13.130 I=-1.500 SoC=141\r\n", "add up");
	is_not_believed("U=0 0 0 0 0 I=0 SoC=0\r\n", "add up");
}

/* ---- pe ---- */

static void events_are_shown_with_what_was_measured(void **unused)
{
	(void)unused;
	answers(EVENTS, "HVE , 3.599 , 3.600 , 3.598 , 3.599 , 14.396 , 77.130 ,\r\n"
			"UBC , 3.563 , 3.564 , 3.563 , 3.555 , 14.264 , 75.622 , 0.720 , 0.720 , 0.810 , 0.010 ,\r\n"
			"LVE , 2.997 , 2.996 , 2.99");
	assert_string_equal(setting_text("event_1"), "HVE 3.599 3.600 3.598 3.599 77.130 A");
	assert_string_equal(setting_text("event_2"), "UBC 3.563 3.564 3.563 3.555 75.622 A");
	assert_string_equal(setting_text("event_2_cell_Ah"), "0.720 0.720 0.810 0.010");
	assert_int_equal(dev.settings.count, 3);
}

static void log_that_was_cleared_is_shorter(void **unused)
{
	(void)unused;
	answers(EVENTS, "HVE , 3.599 , 3.600 , 3.598 , 3.599 , 14.396 , 77.130 ,\r\n"
			"LVE , 2.997 , 2.996 , 2.996 , 2.997 , 11.986 , -1.663 ,\r\n");
	answers(EVENTS, "HVA , 3.5 , 3.5 , 3.5 , 3.5 , 14.0 , 0 ,\r\n");
	assert_string_equal(setting_text("event_1"), "HVA 3.500 3.500 3.500 3.500 0.000 A");
	assert_string_equal(setting_text("event_2"), "");
}

static void log_of_any_length_is_taken(void **unused)
{
	static char hex[60][130];
	const char *rx[61] = {NULL};

	(void)unused;
	for (unsigned i = 0; i < 60; i++) {
		char line[64];

		snprintf(line, sizeof(line), "HVE , 3.5 , 3.5 , 3.5 , 3.5 , 14.0 , %u ,\r\n", i);
		bytes_hex((struct bytes){(const uint8_t *)line, strlen(line)}, hex[i], sizeof(hex[i]));
		rx[i] = hex[i];
	}
	assert_int_equal(play(&dev, EVENTS, 0, rx, error), EXCHANGE_ANSWERED);
	assert_string_equal(setting_text("event_50"), "HVE 3.500 3.500 3.500 3.500 49.000 A");
	assert_int_equal(dev.settings.count, 50);
}

static void event_with_absurd_numbers_fits_its_text(void **unused)
{
	(void)unused;
	answers(EVENTS, "HVE , -99999999999999 , 99999999999999 , 3.5 , 3.5 , 14.0 , 99999999999999 ,\r\n");
	assert_int_equal(strlen(setting_text("event_1")), MAX_SETTING_TEXT - 1);
}

/* ---- is it one? ---- */

static void unit_is_plausible_when_it_has_told_its_version_and_cells(void **unused)
{
	const char *why = NULL;

	(void)unused;
	answers(VERSION, "BMS4S ver 4.2.89\r\n");
	assert_false(dev.protocol->plausible(&dev, &why));
	answers(MEASURED, M1);
	assert_true(dev.protocol->plausible(&dev, &why));
	reading_set(&dev.reading, Q_CURRENT_A, 1500);
	assert_false(dev.protocol->plausible(&dev, &why));
}

static struct vline line;
static struct line_stats stats;
static bool knows_m1;

static void unit(void *ctx, struct vline *v, struct bytes request)
{
	(void)ctx;
	if (bytes_equal(request, (struct bytes){(const uint8_t *)"\npv\n", 4}))
		vline_reply(v, hex_of("BMS4S ver 1.4.55\r\n"), 60);
	else if (bytes_equal(request, (struct bytes){(const uint8_t *)"ps\n", 3}))
		vline_reply(v, hex_of("BatterySize= 90 Ah: size\r\nVoltHigh= 3.600 V: high\r\n"), 60);
	else if (knows_m1 && bytes_equal(request, (struct bytes){(const uint8_t *)"m1\n", 3}))
		vline_reply(v, hex_of(M1), 60);
	else if (bytes_equal(request, (struct bytes){(const uint8_t *)"p\n", 2}))
		vline_reply(v, hex_of("U=3.283 3.282 3.281 3.284 13.130 I=-1.500 SoC=41\r\n"), 60);
}

static void send_on_line(void *ctx, const struct request *request)
{
	vline_send(ctx, (struct bytes){request->tx, request->n});
}

static void set_line(void *ctx, const struct line *l)
{
	((struct vline *)ctx)->line = *l;
}

/* What detection among all protocols finds: its dialect, and in which sweep. */
static struct device detect(unsigned *sweeps)
{
	struct detect_io io = {send_on_line, set_line, &line};
	struct detect *d = detect_new(protocols_all(), NULL, NULL, 0, NULL, io, &stats);
	struct vline_event e;
	bool listening;

	memset(&line, 0, sizeof(line));
	line.device = unit;
	line.device_line = (struct line){9600, 8, 'N', 1};
	line.connected = true;
	detect_start(d, 1);
	while (detect_state(d) != DETECT_FOUND && detect_sweeps(d) < 4) {
		uint64_t at = detect_deadline(d);

		line.now_ms = vline_next(&line) < at ? vline_next(&line) : at;
		line.log[0] = 0;
		while (vline_take(&line, &e))
			detect_receive(d, (struct bytes){e.bytes, e.n}, line.now_ms);
		detect_tick(d, line.now_ms);
	}
	assert_int_equal(detect_state(d), DETECT_FOUND);
	*sweeps = detect_sweeps(d);
	struct device found = detect_take(d, &listening);
	detect_free(d);
	return found;
}

static void unit_is_found_in_the_quick_sweep(void **unused)
{
	unsigned sweeps;

	(void)unused;
	knows_m1 = true;
	struct device found = detect(&sweeps);
	assert_string_equal(found.protocol->id, "hlpdata-bms4s");
	assert_int_equal(found.dialect, MEASURES);
	assert_int_equal(sweeps, DETECT_QUICK);
	device_free(&found);
}

static void unit_with_an_old_firmware_is_found_later(void **unused)
{
	unsigned sweeps;

	(void)unused;
	knows_m1 = false;
	struct device found = detect(&sweeps);
	assert_string_equal(found.protocol->id, "hlpdata-bms4s");
	assert_int_equal(found.dialect, PRINTS);
	assert_true(reading_get(&found.reading, Q_VOLTAGE_V) == 13.13);
	device_free(&found);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(requests_are_those_of_the_sheet),
		T(no_request_can_change_a_setting),
		T(recorded_requests_are_recognised),
		T(other_texts_are_no_requests),
		T(version_is_what_follows_the_name),
		T(version_without_a_line_end_is_taken_when_the_line_is_silent),
		T(other_texts_are_no_version),
		T(settings_are_told_with_point_or_comma),
		T(settings_asked_again_keep_their_names),
		T(settings_without_a_size_are_not_believed),
		T(size_that_was_cut_is_not_believed),
		T(more_settings_than_there_are_names_for_do_no_harm),
		T(every_field_of_m1_is_told),
		T(remaining_capacity_stays_unknown_without_a_size),
		T(fields_without_a_number_stay_unknown),
		T(battery_without_sensors_has_none),
		T(echo_on_the_same_line_or_before_does_not_matter),
		T(noise_around_a_line_is_skipped),
		T(noise_inside_a_line_spoils_it),
		T(bytes_may_come_one_by_one),
		T(of_two_lines_glued_together_the_first_is_taken),
		T(line_without_an_end_may_be_cut_in_its_last_field),
		T(cut_line_is_not_believed),
		T(values_that_cannot_be_are_not_believed),
		T(endless_text_is_no_line),
		T(foreign_text_is_no_measurement),
		T(every_beep_code_has_its_alarm),
		T(beep_that_nobody_knows_is_a_warning_under_its_number),
		T(bad_sense_cables_are_an_internal_failure_until_they_are_not_told_any_more),
		T(old_firmware_prints_its_values),
		T(printed_line_that_does_not_fit_is_not_believed),
		T(events_are_shown_with_what_was_measured),
		T(log_that_was_cleared_is_shorter),
		T(log_of_any_length_is_taken),
		T(event_with_absurd_numbers_fits_its_text),
		T(unit_is_plausible_when_it_has_told_its_version_and_cells),
		T(unit_is_found_in_the_quick_sweep),
		T(unit_with_an_old_firmware_is_found_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
