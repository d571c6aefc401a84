/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rv-c-can on frames constructed from its sheet: values and those that are none, alarms bit by bit, whom to believe
 * when several devices tell of one DC bus, what is forgotten when, and what is no battery. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/listen.h"
#include "model/can.h"
#include "play.h"

#define NEAR 1e-9

enum { S1 = 1, S2, S3, S4, S5, S6, S11 = 11 };

/* The same of the Renogy REGO in the sheet. */
#define REGO_S1	 "19FFFD8D#01780A0120013577"
#define REGO_S2	 "19FFFC8D#01783C25AEF40001"
#define REGO_S3	 "19FFFB8D#0178C81404AEFFFF"
#define REGO_S4	 "19FEC98D#0178072001709403"
#define REGO_S6	 "19FEC78D#0178000000FFFFFF"
#define REGO_S11 "19FEA58D#017815B004F40100"

static const struct protocol *rvc(void)
{
	return protocol_by_id("rv-c-can");
}

/* ---- frames ---- */

static struct bytes frame(const char *text)
{
	static uint8_t b[CAN_BYTES];
	struct can_message m;

	assert_true(can_parse(text, &m));
	can_write(&m, b);
	return (struct bytes){b, sizeof(b)};
}

static enum heard heard(const char *text, struct request *as)
{
	return rvc()->overhear(NULL, frame(text), as);
}

/* What becomes of the frame when dev's bus carries it. */
static enum verdict told(struct device *dev, const char *text)
{
	struct request as;
	const char *why = NULL;

	if (heard(text, &as) != HEARD_ANSWER)
		return FRAME_FOREIGN;
	return rvc()->take(dev, &as, frame(text), &why);
}

#define TOLD(dev, text)	   assert_int_equal(told(dev, text), FRAME_ANSWER)
#define IGNORED(dev, text) assert_int_equal(told(dev, text), FRAME_FOREIGN)

static struct device battery(void)
{
	return fresh_device("rv-c-can", 1, 0);
}

static struct device rego(void)
{
	struct device dev = battery();

	TOLD(&dev, REGO_S1);
	TOLD(&dev, REGO_S2);
	TOLD(&dev, REGO_S3);
	TOLD(&dev, REGO_S4);
	TOLD(&dev, REGO_S6);
	TOLD(&dev, REGO_S11);
	return dev;
}

static void value_is(const struct device *dev, enum quantity q, double expected)
{
	assert_true(reading_knows(&dev->reading, q));
	assert_float_equal(reading_get(&dev->reading, q), expected, NEAR);
}

static void value_is_unknown(const struct device *dev, enum quantity q)
{
	assert_false(reading_knows(&dev->reading, q));
}

static void detail_is(const struct device *dev, const char *name, double expected)
{
	assert_float_equal(reading_detail(&dev->reading, name), expected, NEAR);
}

static void detail_is_unknown(const struct device *dev, const char *name)
{
	assert_true(isnan(reading_detail(&dev->reading, name)));
}

static bool is_plausible(const struct device *dev)
{
	const char *why = NULL;
	bool plausible = rvc()->plausible(dev, &why);

	assert_true(plausible || why);
	return plausible;
}

/* ---- values ---- */

static void every_value_of_the_renogy_rego_is_read(void **unused)
{
	struct device dev = rego();

	(void)unused;
	value_is(&dev, Q_ADDRESS, 1);
	value_is(&dev, Q_VOLTAGE_V, 13.3);
	value_is(&dev, Q_CURRENT_A, 37.6);
	value_is(&dev, Q_SOC_PCT, 87);
	value_is(&dev, Q_SOH_PCT, 100);
	value_is(&dev, Q_CAPACITY_REMAINING_AH, 1044);
	value_is(&dev, Q_CAPACITY_FULL_AH, 1200);
	value_is(&dev, Q_POWER_W, 500);
	value_is(&dev, Q_BMS_CVL_V, 14.4);
	value_is(&dev, Q_BMS_CCL_A, 300);
	assert_int_equal(dev.reading.temperatures.count, 1);
	assert_float_equal(dev.reading.temperatures.value[0], 24.875, NEAR);
	detail_is(&dev, "time_remaining_min", 244);
	detail_is(&dev, "time_is_to_full", 1);
	detail_is(&dev, "relative_capacity_pct", 87);
	detail_is(&dev, "charge_state", 7);
	detail_is(&dev, "battery_type", 3);
	detail_is(&dev, "charge_detected", 1);
	detail_is_unknown(&dev, "ripple_V");
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_MOS), ON);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), ON);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), ON);
	assert_true(dev.reading.alarms.known);
	assert_true(is_plausible(&dev));
	device_free(&dev);
}

static void it_has_no_cells(void **unused)
{
	struct device dev = rego();

	(void)unused;
	assert_false(dev.reading.cell_V.reported);
	assert_false(rvc()->series & SERIES_CELLS);
	device_free(&dev);
}

static void current_out_of_the_battery_is_negative_and_can_be_inverted(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "19FFFD8D#0178E400FCE13677"); /* 2000085500 */
	value_is(&dev, Q_CURRENT_A, -85.5);
	dev.options.invert_current = true;
	TOLD(&dev, "19FFFD8D#0178E400FCE13677");
	value_is(&dev, Q_CURRENT_A, 85.5);
	device_free(&dev);
}

static void current_0_is_2000000000_and_a_field_of_0_is_no_current(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "19FFFD8D#01780A0100943577");
	value_is(&dev, Q_CURRENT_A, 0);
	TOLD(&dev, "19FFFD8D#01780A0100000000");
	value_is_unknown(&dev, Q_CURRENT_A);
	value_is(&dev, Q_VOLTAGE_V, 13.3);
	device_free(&dev);
}

/* Each of the three codes of a field that says nothing. */
static void values_that_are_not_available_become_unknown(void **unused)
{
	static const char *const frames[3][6] = {
		{"19FFFD8D#0178FFFFFFFFFFFF", "19FFFC8D#0178FFFFFFFFFFFF", "19FFFB8D#0178FFFFFFFFFFFF",
		 "19FEC98D#0178FFFFFFFFFFFF", "19FEA58D#0178FFFFFFFFFFFF", "19FEC88D#0178FFFFFFFFFFFF"},
		{"19FFFD8D#0178FEFFFEFFFFFF", "19FFFC8D#0178FEFFFEFEFFFE", "19FFFB8D#0178FEFEFFFEFEFF",
		 "19FEC98D#0178FEFEFFFEFFFF", "19FEA58D#0178AAFEFFFEFFFF", "19FEC88D#0178FEFFFFFFFEFF"},
		{"19FFFD8D#0178FDFFFDFFFFFF", "19FFFC8D#0178FDFFFDFDFFFE", "19FFFB8D#0178FDFDFFFDFDFF",
		 "19FEC98D#0178FDFDFFFDFFFF", "19FEA58D#0178AAFDFFFDFFFF", "19FEC88D#0178FDFFFFFFFDFF"},
	};
	static const char *const details[] = {"time_remaining_min", "time_is_to_full",	"relative_capacity_pct",
					      "charge_state",	    "battery_type",	"charge_detected",
					      "ripple_V",	    "voltage_slope_V_s"};

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		struct device dev = rego();

		for (unsigned k = 0; k < 6; k++)
			TOLD(&dev, frames[i][k]);
		for (unsigned q = 0; q < QUANTITY_COUNT; q++)
			assert_int_equal(reading_knows(&dev.reading, q), q == Q_ADDRESS);
		for (unsigned f = 0; f < FLAG_COUNT; f++)
			assert_int_equal(reading_flag(&dev.reading, f), UNKNOWN);
		for (unsigned k = 0; k < sizeof(details) / sizeof(details[0]); k++)
			if (i == 0 || strcmp(details[k], "battery_type") != 0)
				detail_is_unknown(&dev, details[k]);
		assert_false(dev.reading.temperatures.reported);
		assert_false(is_plausible(&dev));
		device_free(&dev);
	}
}

static void the_highest_numbers_that_are_values_are_taken(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "19FFFD8D#0178FCFFFCFFFFFF");
	value_is(&dev, Q_VOLTAGE_V, 65532 * 0.05);
	value_is(&dev, Q_CURRENT_A, (2000000000 - 4294967292.0) / 1000);
	TOLD(&dev, "19FFFC8D#0178FCFFFCFCFF00");
	value_is(&dev, Q_SOC_PCT, 126);
	detail_is(&dev, "time_remaining_min", 65532);
	detail_is(&dev, "time_is_to_full", 0);
	device_free(&dev);
}

static void below_freezing_is_below_273(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "19FFFC8F#01785021090C00FF"); /* 8528 */
	assert_float_equal(dev.reading.temperatures.value[0], -6.5, NEAR);
	device_free(&dev);
}

static void ripple_and_slope_are_in_volts(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "19FFFB8D#0178C81404AE7D00");
	detail_is(&dev, "ripple_V", 0.125);
	TOLD(&dev, "19FEC88D#017877670000F47C"); /* 26487 mV, 31988 */
	detail_is(&dev, "voltage_slope_V_s", -0.012);
	device_free(&dev);
}

static void the_fine_voltage_is_preferred_while_it_is_told(void **unused)
{
	struct device dev = rego();

	(void)unused;
	TOLD(&dev, "19FEC88D#0178FC330000007D"); /* 13308 mV */
	value_is(&dev, Q_VOLTAGE_V, 13.308);
	TOLD(&dev, REGO_S1);
	value_is(&dev, Q_VOLTAGE_V, 13.308);
	value_is(&dev, Q_CURRENT_A, 37.6);
	TOLD(&dev, "19FEC88D#0178FFFFFFFF007D");
	TOLD(&dev, REGO_S1);
	value_is(&dev, Q_VOLTAGE_V, 13.3);
	device_free(&dev);
}

static void a_current_to_charge_with_that_is_below_0_is_none(void **unused)
{
	struct device dev = rego();

	(void)unused;
	TOLD(&dev, "19FEC98D#0178022001007DF3"); /* 32000 */
	value_is(&dev, Q_BMS_CCL_A, 0);
	TOLD(&dev, "19FEC98D#0178022001FF7CF3"); /* 31999 */
	value_is_unknown(&dev, Q_BMS_CCL_A);
	TOLD(&dev, "19FEC98D#0178000000000000");
	value_is_unknown(&dev, Q_BMS_CCL_A);
	device_free(&dev);
}

static void switches_are_two_bits_each(void **unused)
{
	static const struct {
		const char *frame;
		enum tri discharge, charge;
		double detected;
	} cases[] = {
		{"19FEA58D#0178C0FFFFFFFFFF", OFF, OFF, 0},	{"19FEA58D#0178C1FFFFFFFFFF", ON, OFF, 0},
		{"19FEA58D#0178C4FFFFFFFFFF", OFF, ON, 0},	{"19FEA58D#0178D0FFFFFFFFFF", OFF, OFF, 1},
		{"19FEA58D#0178C2FFFFFFFFFF", UNKNOWN, OFF, 0}, {"19FEA58D#0178CBFFFFFFFFFF", UNKNOWN, UNKNOWN, 0},
		{"19FEA58D#0178CDFFFFFFFFFF", ON, UNKNOWN, 0},
	};

	(void)unused;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct device dev = battery();

		TOLD(&dev, cases[i].frame);
		assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_MOS), cases[i].discharge);
		assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), cases[i].charge);
		assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), cases[i].discharge);
		assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), cases[i].charge);
		detail_is(&dev, "charge_detected", cases[i].detected);
		device_free(&dev);
	}
}

static void charging_is_not_allowed_while_the_battery_wants_none(void **unused)
{
	struct device dev = rego();

	(void)unused;
	TOLD(&dev, "19FEC98D#0178012001709403"); /* do not charge */
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), OFF);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), ON);
	TOLD(&dev, REGO_S4);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), ON);
	TOLD(&dev, "19FEC98D#0178022001007D03"); /* with 0 A */
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), OFF);
	TOLD(&dev, "19FEA58D#0178FFFFFFFFFFFF"); /* whether or not its switch is known */
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), OFF);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), UNKNOWN);
	device_free(&dev);
}

static void the_contactor_is_told_of(void **unused)
{
	struct device dev = rego();

	(void)unused;
	TOLD(&dev, "19FED042#01FDFFFFFFFFFFFF");
	detail_is(&dev, "contactor_closed", 1);
	TOLD(&dev, "19FED042#01FCFFFFFFFFFFFF");
	detail_is(&dev, "contactor_closed", 0);
	TOLD(&dev, "19FED042#01FFFFFFFFFFFFFF");
	detail_is_unknown(&dev, "contactor_closed");
	device_free(&dev);
}

/* ---- alarms ---- */

static void each_alarm_is_its_two_bits(void **unused)
{
	static const struct {
		unsigned byte, shift;
		enum alarm_level level;
		enum alarm alarm;
	} rows[] = {
		{2, 0, ALARM_WARNING, ALARM_HIGH_VOLTAGE},
		{2, 2, ALARM_RAISED, ALARM_HIGH_VOLTAGE},
		{2, 4, ALARM_WARNING, ALARM_LOW_VOLTAGE},
		{2, 6, ALARM_RAISED, ALARM_LOW_VOLTAGE},
		{3, 0, ALARM_WARNING, ALARM_LOW_SOC},
		{3, 2, ALARM_RAISED, ALARM_LOW_SOC},
		{3, 4, ALARM_WARNING, ALARM_LOW_TEMPERATURE},
		{3, 6, ALARM_RAISED, ALARM_LOW_TEMPERATURE},
		{4, 0, ALARM_WARNING, ALARM_HIGH_TEMPERATURE},
		{4, 2, ALARM_RAISED, ALARM_HIGH_TEMPERATURE},
		{4, 4, ALARM_WARNING, ALARM_COUNT},
		{4, 6, ALARM_RAISED, ALARM_COUNT}, /* over current */
	};

	(void)unused;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (unsigned pair = 0; pair < 4; pair++) {
			struct device dev = battery();
			uint8_t b[8] = {1, 120, 0, 0, 0, 0xff, 0xff, 0xff};
			char text[64];

			b[rows[i].byte] = (uint8_t)(pair << rows[i].shift);
			snprintf(text, sizeof(text), "19FEC78D#%02X%02X%02X%02X%02XFFFFFF", b[0], b[1], b[2], b[3],
				 b[4]);
			TOLD(&dev, text);
			assert_true(dev.reading.alarms.known);
			for (unsigned a = 0; a < ALARM_COUNT; a++) {
				bool current = a == ALARM_HIGH_DISCHARGE_CURRENT || a == ALARM_HIGH_CHARGE_CURRENT;
				bool meant = rows[i].alarm == ALARM_COUNT ? current : a == rows[i].alarm;

				assert_int_equal(dev.reading.alarms.level[a],
						 meant && pair == 1 ? rows[i].level : ALARM_OK);
			}
			device_free(&dev);
		}
}

static void of_limit_and_disconnect_the_worse_counts_and_both_go_away(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "19FEC78D#0178050000FFFFFF");
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_VOLTAGE], ALARM_RAISED);
	TOLD(&dev, "19FEC78D#0178010000FFFFFF");
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_VOLTAGE], ALARM_WARNING);
	TOLD(&dev, REGO_S6);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_VOLTAGE], ALARM_OK);
	device_free(&dev);
}

/* ---- which frames ---- */

static void a_frame_is_known_by_its_dgn_whoever_sends_it_and_however_urgent(void **unused)
{
	struct request as;

	(void)unused;
	assert_int_equal(heard("19FFFD00#01780A0120013577", &as), HEARD_ANSWER);
	assert_int_equal(as.code, S1);
	assert_int_equal(as.address, 1);
	assert_int_equal(heard("09FFFDFD#FA780A0120013577", &as), HEARD_ANSWER);
	assert_int_equal(as.address, 250);
	assert_int_equal(heard("19FFFC8F#03783C25AEF40001", &as), HEARD_ANSWER);
	assert_int_equal(as.code, S2);
	assert_int_equal(as.address, 3);
	assert_int_equal(heard(REGO_S3, &as), HEARD_ANSWER);
	assert_int_equal(as.code, S3);
	assert_int_equal(heard(REGO_S4, &as), HEARD_ANSWER);
	assert_int_equal(as.code, S4);
	assert_int_equal(heard(REGO_S6, &as), HEARD_ANSWER);
	assert_int_equal(as.code, S6);
	assert_int_equal(heard(REGO_S11, &as), HEARD_ANSWER);
	assert_int_equal(as.code, S11);
}

static void other_frames_are_not_ours(void **unused)
{
	static const char *const foreign[] = {
		"351#1402E402E4020000",	     /* a battery for an inverter */
		"7FD#01780A0120013577",	     /* a standard identifier */
		"1BFFFD8D#01780A0120013577", /* J1939's next page */
		"18FFFD8D#01780A0120013577", /* J1939's first page */
		"19FFFE8D#01780A0120013577", /* another DGN */
		"19FE8A8D#01780A0120013577", /* BATTERY_COMMAND */
		"19FE968D#01010A0120013577", /* beyond BATTERY_STATUS_1 */
		"19FEA48D#0178000000FFFFFF", /* DC_SOURCE_COMMAND */
		"19FECF8D#01FDFFFFFFFFFFFF", /* DC_DISCONNECT_COMMAND */
		"19FFFD8D#01780A01200135",   /* a byte is missing */
		"19FFFD8D#",		     /* all are */
		"19FFFD8D#R8",		     /* asks for them */
		"19FFFD8D#00780A0120013577", /* no instance: all of them */
		"19FFFD8D#FB780A0120013577", /* no instance: beyond the last */
		"19FFFD8D#FF780A0120013577", /* no instance: unknown */
		"19FFFD8D#01790A0120013577", /* a priority that nobody has */
		"19FFFD8D#01000A0120013577",
		"19FFFD8D#01FF0A0120013577", /* no priority */
		"19F21400#003505F6FF8072FF", /* NMEA 2000: battery status */
		"18EEFF00#2E1A672D008232C0", /* an address claim */
	};
	struct request as;

	(void)unused;
	for (unsigned i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		if (heard(foreign[i], &as) != HEARD_NOTHING)
			fail_msg("%s", foreign[i]);
}

static void every_frame_that_counts_passes_the_filters(void **unused)
{
	static const uint32_t dgns[] = {0x1fffd, 0x1fffc, 0x1fffb, 0x1fec9, 0x1fec8,
					0x1fec7, 0x1fea5, 0x1fed0, 0x1fe95, 0x1fe8b};

	(void)unused;
	for (unsigned i = 0; i < sizeof(dgns) / sizeof(dgns[0]); i++) {
		uint32_t id = CAN_EXTENDED | UINT32_C(6) << 26 | dgns[i] << 8 | 0x8d;

		assert_true(can_ids_have(rvc()->hears, id));
		assert_false(can_ids_have(rvc()->hears, id | CAN_REMOTE));
		assert_false(can_ids_have(rvc()->hears, id | CAN_ERROR));
		assert_false(can_ids_have(rvc()->hears, id & ~CAN_EXTENDED));
		assert_false(can_ids_have(rvc()->hears, id | UINT32_C(1) << 25));
	}
}

static void a_frame_is_taken_for_its_own_row_and_instance_only(void **unused)
{
	struct device dev = battery();
	struct request as;
	const char *why = NULL;

	(void)unused;
	assert_int_equal(heard(REGO_S1, &as), HEARD_ANSWER);
	assert_int_equal(rvc()->take(&dev, &as, frame(REGO_S2), &why), FRAME_FOREIGN);
	assert_int_equal(rvc()->take(&dev, &as, (struct bytes){NULL, 0}, &why), FRAME_FOREIGN);
	assert_int_equal(rvc()->take(&dev, &as, bytes_sub(frame(REGO_S1), 0, 7), &why), FRAME_FOREIGN);
	IGNORED(&dev, "19FFFD8D#02780A0120013577");
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

static void nothing_is_ever_sent(void **unused)
{
	struct device dev = rego();
	struct request request;

	(void)unused;
	for (unsigned i = 0; i < rvc()->poll_count; i++)
		assert_false(rvc()->encode(&dev, rvc()->polls[i].code, rvc()->polls[i].arg, &request));
	assert_false(rvc()->parse_request(frame("19FECF8D#01FDFFFFFFFFFFFF"), &request));
	assert_int_equal(rvc()->probe_count, 0);
	assert_int_equal(rvc()->confirm_count, 0);
	assert_int_equal(rvc()->commands | rvc()->experimental, 0);
	assert_int_equal(rvc()->keep_alive_ms, 0);
	device_free(&dev);
}

/* ---- whom to believe ---- */

static void what_others_tell_of_the_same_bus_does_not_mix_in(void **unused)
{
	struct device dev = rego();

	(void)unused;
	IGNORED(&dev, "19FFFD42#0177040148113477"); /* a gateway, late */
	IGNORED(&dev, "19FFFC42#017700000000FFFF");
	IGNORED(&dev, "19FEC942#0177010000007D03");
	IGNORED(&dev, "19FEC742#0177555555FFFFFF");
	IGNORED(&dev, "19FFFD50#0114060100000000"); /* a voltmeter */
	value_is(&dev, Q_VOLTAGE_V, 13.3);
	value_is(&dev, Q_CURRENT_A, 37.6);
	value_is(&dev, Q_SOC_PCT, 87);
	value_is(&dev, Q_BMS_CCL_A, 300);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_VOLTAGE], ALARM_OK);
	assert_true(is_plausible(&dev));
	device_free(&dev);
}

static void what_a_lower_priority_has_told_is_forgotten_when_the_battery_speaks(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "19FFFC42#017700000000FFFF");
	TOLD(&dev, "19FEC742#0177555555FFFFFF");
	TOLD(&dev, "19FEC842#017799330000007D");
	TOLD(&dev, REGO_S1);
	value_is(&dev, Q_VOLTAGE_V, 13.3);
	value_is_unknown(&dev, Q_SOC_PCT);
	assert_false(dev.reading.alarms.known);
	assert_false(dev.reading.temperatures.reported);
	assert_false(is_plausible(&dev));
	TOLD(&dev, REGO_S2);
	assert_true(is_plausible(&dev));
	device_free(&dev);
}

static void lower_priorities_are_never_a_battery(void **unused)
{
	static const unsigned priorities[] = {119, 100, 80, 60, 40, 20, 1};

	(void)unused;
	for (unsigned i = 0; i < sizeof(priorities) / sizeof(priorities[0]); i++) {
		struct device dev = battery();
		char text[32];

		snprintf(text, sizeof(text), "19FFFD8D#01%02X0A0120013577", priorities[i]);
		TOLD(&dev, text);
		snprintf(text, sizeof(text), "19FFFC8D#01%02X3C25AEF40001", priorities[i]);
		TOLD(&dev, text);
		value_is(&dev, Q_VOLTAGE_V, 13.3);
		value_is(&dev, Q_SOC_PCT, 87);
		assert_false(is_plausible(&dev));
		device_free(&dev);
	}
}

static void of_two_batteries_with_one_instance_the_first_is_followed(void **unused)
{
	struct device dev = rego();

	(void)unused;
	for (unsigned i = 0; i < 50; i++) {
		IGNORED(&dev, "19FFFD90#01780001E0333677");
		IGNORED(&dev, "19FFFC90#0178000000000000");
		TOLD(&dev, REGO_S1);
		TOLD(&dev, REGO_S2);
	}
	value_is(&dev, Q_VOLTAGE_V, 13.3);
	value_is(&dev, Q_SOC_PCT, 87);
	device_free(&dev);
}

static void a_battery_that_claims_another_address_is_followed(void **unused)
{
	struct device dev = rego();

	(void)unused;
	TOLD(&dev, "19FEC88D#0178FC330000007D");
	for (unsigned i = 0; i < 3; i++) {
		IGNORED(&dev, "19FFFD12#0178000120013577");
		IGNORED(&dev, "19FFFC12#01783C2500F40001");
	}
	TOLD(&dev, "19FFFD12#0178000120013577");
	value_is(&dev, Q_VOLTAGE_V, 12.8); /* what it no longer tells in mV it tells in 0.05 V */
	assert_false(is_plausible(&dev));  /* until both come from there */
	TOLD(&dev, "19FFFC12#01783C2564F40001");
	value_is(&dev, Q_SOC_PCT, 50);
	value_is(&dev, Q_BMS_CCL_A, 300);
	assert_true(is_plausible(&dev));
	IGNORED(&dev, REGO_S2);
	device_free(&dev);
}

static void voltage_and_soc_of_two_devices_make_no_battery(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, REGO_S1);
	IGNORED(&dev, "19FFFC90#01783C25AEF40001");
	assert_false(is_plausible(&dev));
	device_free(&dev);
}

static void values_that_no_battery_has_make_none(void **unused)
{
	static const char *const bad[] = {
		"19FFFD8D#0178270020013577",				  /* 1.95 V */
		"19FFFD8D#0178D10720013577",				  /* 100.05 V */
		"19FFFD8D#01780A0101000000",				  /* 2000000 A */
		"19FFFD8D#0178FFFF20013577", "19FFFC8D#01783C25C9F40001", /* 100.5 % */
		"19FFFC8D#01783C25FFF40001", "19FFFC8D#01780000AEF40001", /* -273 degC */
		"19FEA58D#017815FCFFF40100",				  /* 65532 Ah */
	};

	(void)unused;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct device dev = rego();

		assert_true(is_plausible(&dev));
		TOLD(&dev, bad[i]);
		if (is_plausible(&dev))
			fail_msg("%s", bad[i]);
		device_free(&dev);
	}
}

/* ---- batteries within a battery ---- */

static void sub_packs_are_counted_when_heard_twice(void **unused)
{
	struct device dev = rego();

	(void)unused;
	TOLD(&dev, "19FE958D#01010A01CC633577");
	value_is_unknown(&dev, Q_PACK_COUNT);
	TOLD(&dev, "19FE948D#010130258CFFFFFF"); /* the same one */
	value_is(&dev, Q_PACK_COUNT, 1);
	TOLD(&dev, "19FE958D#10010A01CC633577");
	TOLD(&dev, "19FE958D#10010A01CC633577");
	value_is(&dev, Q_PACK_COUNT, 2);
	TOLD(&dev, "19FE958D#11010A01CC633577"); /* none of 1 to 16 */
	TOLD(&dev, "19FE958D#11010A01CC633577");
	TOLD(&dev, "19FE958D#00010A01CC633577");
	TOLD(&dev, "19FE958D#00010A01CC633577");
	value_is(&dev, Q_PACK_COUNT, 2);
	value_is(&dev, Q_VOLTAGE_V, 13.3); /* of the whole */
	value_is(&dev, Q_CURRENT_A, 37.6);
	rvc()->forget(&dev, 200, 1);
	value_is(&dev, Q_PACK_COUNT, 1);
	rvc()->forget(&dev, 200, 16);
	value_is_unknown(&dev, Q_PACK_COUNT);
	device_free(&dev);
}

static void sub_packs_of_another_bus_are_not_counted(void **unused)
{
	struct device dev = rego();
	struct request as;

	(void)unused;
	assert_int_equal(heard("19FE958D#01020A01CC633577", &as), HEARD_ANSWER);
	assert_int_equal(as.address, 2);
	IGNORED(&dev, "19FE958D#01020A01CC633577");
	device_free(&dev);
}

static void without_a_battery_for_the_whole_the_first_sub_pack_is_shown_but_makes_none(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "19FE958F#02010A01CC633577");
	IGNORED(&dev, "19FE958F#0301000100943577");
	TOLD(&dev, "19FE948F#020130258CFFFFFF");
	TOLD(&dev, "19FE8B8F#0201056400FFFFFF");
	value_is(&dev, Q_VOLTAGE_V, 13.3);
	value_is(&dev, Q_CURRENT_A, 12.34);
	value_is(&dev, Q_SOC_PCT, 70);
	value_is(&dev, Q_CAPACITY_FULL_AH, 100);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), ON);
	assert_false(is_plausible(&dev));
	device_free(&dev);
}

/* ---- time ---- */

/* A battery that was found, and what a session keeps of it. */
struct session {
	struct device dev;
	struct stream stream;
};

static void hears(struct session *s, const char *text, uint64_t now_ms)
{
	struct request as;

	stream_age(&s->stream, &s->dev, now_ms);
	assert_int_equal(heard(text, &as), HEARD_ANSWER);
	TOLD(&s->dev, text);
	stream_heard(&s->stream, rvc(), stream_row(rvc(), &as), now_ms);
}

static struct session rego_at_0(void)
{
	static const char *const all[] = {REGO_S1, REGO_S2, REGO_S3, REGO_S4, REGO_S6, REGO_S11};
	struct session s = {.dev = battery()};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		hears(&s, all[i], 0);
	return s;
}

static void without_charger_status_for_60_s_no_charge_is_allowed(void **unused)
{
	struct session s = rego_at_0();

	(void)unused;
	for (uint64_t t = 500; t < 60000; t += 500) {
		hears(&s, REGO_S1, t);
		hears(&s, REGO_S2, t);
		hears(&s, REGO_S11, t);
	}
	stream_age(&s.stream, &s.dev, 59999);
	value_is(&s.dev, Q_BMS_CCL_A, 300);
	assert_int_equal(reading_flag(&s.dev.reading, F_CHARGE_ALLOWED), ON);
	stream_age(&s.stream, &s.dev, 60000);
	value_is(&s.dev, Q_BMS_CCL_A, 0);
	value_is_unknown(&s.dev, Q_BMS_CVL_V);
	detail_is_unknown(&s.dev, "charge_state");
	assert_int_equal(reading_flag(&s.dev.reading, F_CHARGE_ALLOWED), OFF);
	assert_int_equal(reading_flag(&s.dev.reading, F_DISCHARGE_ALLOWED), ON);
	hears(&s, REGO_S4, 60100);
	value_is(&s.dev, Q_BMS_CCL_A, 300);
	assert_int_equal(reading_flag(&s.dev.reading, F_CHARGE_ALLOWED), ON);
	device_free(&s.dev);
}

static void a_battery_that_never_asked_for_a_current_is_not_forbidden_to_charge(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, REGO_S1);
	TOLD(&dev, REGO_S11);
	rvc()->forget(&dev, S4, 0);
	value_is_unknown(&dev, Q_BMS_CCL_A);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), ON);
	device_free(&dev);
}

static void what_is_not_repeated_is_forgotten(void **unused)
{
	struct session s = rego_at_0();
	struct reading *r = &s.dev.reading;

	(void)unused;
	hears(&s, "19FEC88D#0178FC330000007D", 8500);
	hears(&s, REGO_S1, 9999);
	value_is(&s.dev, Q_VOLTAGE_V, 13.308);
	value_is(&s.dev, Q_SOC_PCT, 87);
	stream_age(&s.stream, &s.dev, 10000);
	value_is_unknown(&s.dev, Q_SOC_PCT);
	assert_false(r->temperatures.reported);
	detail_is_unknown(&s.dev, "time_remaining_min");
	detail_is_unknown(&s.dev, "time_is_to_full");
	value_is_unknown(&s.dev, Q_SOH_PCT);
	value_is_unknown(&s.dev, Q_CAPACITY_REMAINING_AH);
	detail_is_unknown(&s.dev, "relative_capacity_pct");
	value_is_unknown(&s.dev, Q_CAPACITY_FULL_AH);
	value_is_unknown(&s.dev, Q_POWER_W);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), UNKNOWN);
	assert_int_equal(reading_flag(r, F_DISCHARGE_ALLOWED), UNKNOWN);
	assert_true(r->alarms.known);
	hears(&s, REGO_S1, 10500);
	value_is(&s.dev, Q_VOLTAGE_V, 13.3);
	stream_age(&s.stream, &s.dev, 20000);
	assert_false(r->alarms.known);
	device_free(&s.dev);
}

static void a_reading_needs_voltage_and_soc_anew(void **unused)
{
	struct session s = {.dev = battery()};

	(void)unused;
	hears(&s, REGO_S1, 0);
	hears(&s, REGO_S4, 0);
	assert_false(stream_complete(&s.stream, &s.dev));
	hears(&s, REGO_S2, 0);
	assert_true(stream_complete(&s.stream, &s.dev));
	stream_published(&s.stream);
	hears(&s, REGO_S2, 500);
	hears(&s, REGO_S3, 500);
	assert_false(stream_complete(&s.stream, &s.dev));
	hears(&s, REGO_S1, 500);
	assert_true(stream_complete(&s.stream, &s.dev));
	device_free(&s.dev);
}

/* ---- detection ---- */

static struct listen listener(void)
{
	struct listen l;

	listen_init(&l, rvc(), NULL);
	return l;
}

static bool makes_a_battery(struct listen *l, const char *text, uint64_t now_ms, struct device *out)
{
	struct request as;

	return heard(text, &as) == HEARD_ANSWER && listen_hears(l, &as, frame(text), now_ms, out);
}

static void a_battery_is_found_when_it_has_told_all_twice(void **unused)
{
	struct listen l = listener();
	struct device dev;

	(void)unused;
	assert_false(makes_a_battery(&l, REGO_S1, 0, &dev));
	assert_false(makes_a_battery(&l, "19FFFD42#0177040148113477", 10, &dev));
	assert_false(makes_a_battery(&l, REGO_S2, 20, &dev));
	assert_false(makes_a_battery(&l, "19FFFD91#0278F20018903577", 30, &dev));
	assert_false(makes_a_battery(&l, REGO_S1, 500, &dev));
	assert_true(makes_a_battery(&l, REGO_S2, 520, &dev));
	assert_int_equal(dev.address, 1);
	value_is(&dev, Q_VOLTAGE_V, 13.3);
	device_free(&dev);
	assert_false(makes_a_battery(&l, "19FFFC91#02783C2564F40001", 530, &dev));
	assert_false(makes_a_battery(&l, "19FFFD91#0278F20018903577", 1030, &dev));
	assert_true(makes_a_battery(&l, "19FFFC91#02783C2564F40001", 1030, &dev));
	assert_int_equal(dev.address, 2);
	value_is(&dev, Q_SOC_PCT, 50);
	device_free(&dev);
	listen_free(&l);
}

static void a_gateway_alone_is_no_battery(void **unused)
{
	struct listen l = listener();
	struct device dev;

	(void)unused;
	for (uint64_t t = 0; t < 20000; t += 500) {
		assert_false(makes_a_battery(&l, "19FFFD42#01770A0120013577", t, &dev));
		assert_false(makes_a_battery(&l, "19FFFC42#01773C25AEF40001", t, &dev));
	}
	assert_false(listen_takes_last(&l, &dev));
	listen_free(&l);
}

static uint32_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 32);
}

/* The identifiers are ours, everything else is chance; far more of them than a bus could bring in a day. */
static void noise_under_our_identifiers_is_never_a_battery(void **unused)
{
	static const uint32_t dgns[] = {0x1fffd, 0x1fffc, 0x1fec9, 0x1fec8, 0x1fec7, 0x1fea5, 0x1fed0, 0x1fe95};
	struct listen l = listener();
	uint64_t random = 1;
	unsigned heard_frames = 0;

	(void)unused;
	for (unsigned i = 0; i < 200000; i++) {
		struct can_message m = {.id = CAN_EXTENDED | UINT32_C(6) << 26, .n = 8};
		struct request as;
		struct device dev;
		uint8_t b[CAN_BYTES];

		m.id |= dgns[next_random(&random) % 8] << 8 | (next_random(&random) & 0xff);
		for (unsigned k = 0; k < 8; k++)
			m.data[k] = (uint8_t)next_random(&random);
		can_write(&m, b);
		if (rvc()->overhear(NULL, (struct bytes){b, sizeof(b)}, &as) != HEARD_ANSWER)
			continue;
		heard_frames++;
		assert_false(listen_hears(&l, &as, (struct bytes){b, sizeof(b)}, i, &dev));
	}
	assert_true(heard_frames > 50000);
	listen_free(&l);
}

/* A frame that noise has put among those of a battery that is followed changes its reading for a moment at most. */
static void noise_of_another_priority_or_sender_leaves_a_battery_alone(void **unused)
{
	struct device dev = rego();
	uint64_t random = 7;

	(void)unused;
	for (unsigned i = 0; i < 2000; i++) {
		char text[32];
		unsigned source = next_random(&random) & 0xff, priority = next_random(&random) & 0xff;

		if (source == 0x8d && priority == 120)
			continue;
		snprintf(text, sizeof(text), "19FFFD%02X#01%02X%04X%08X", source, priority,
			 (unsigned)(next_random(&random) & 0xffff), (unsigned)next_random(&random));
		IGNORED(&dev, text);
	}
	value_is(&dev, Q_VOLTAGE_V, 13.3);
	TOLD(&dev, REGO_S1);
	device_free(&dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_value_of_the_renogy_rego_is_read),
		cmocka_unit_test(it_has_no_cells),
		cmocka_unit_test(current_out_of_the_battery_is_negative_and_can_be_inverted),
		cmocka_unit_test(current_0_is_2000000000_and_a_field_of_0_is_no_current),
		cmocka_unit_test(values_that_are_not_available_become_unknown),
		cmocka_unit_test(the_highest_numbers_that_are_values_are_taken),
		cmocka_unit_test(below_freezing_is_below_273),
		cmocka_unit_test(ripple_and_slope_are_in_volts),
		cmocka_unit_test(the_fine_voltage_is_preferred_while_it_is_told),
		cmocka_unit_test(a_current_to_charge_with_that_is_below_0_is_none),
		cmocka_unit_test(switches_are_two_bits_each),
		cmocka_unit_test(charging_is_not_allowed_while_the_battery_wants_none),
		cmocka_unit_test(the_contactor_is_told_of),
		cmocka_unit_test(each_alarm_is_its_two_bits),
		cmocka_unit_test(of_limit_and_disconnect_the_worse_counts_and_both_go_away),
		cmocka_unit_test(a_frame_is_known_by_its_dgn_whoever_sends_it_and_however_urgent),
		cmocka_unit_test(other_frames_are_not_ours),
		cmocka_unit_test(every_frame_that_counts_passes_the_filters),
		cmocka_unit_test(a_frame_is_taken_for_its_own_row_and_instance_only),
		cmocka_unit_test(nothing_is_ever_sent),
		cmocka_unit_test(what_others_tell_of_the_same_bus_does_not_mix_in),
		cmocka_unit_test(what_a_lower_priority_has_told_is_forgotten_when_the_battery_speaks),
		cmocka_unit_test(lower_priorities_are_never_a_battery),
		cmocka_unit_test(of_two_batteries_with_one_instance_the_first_is_followed),
		cmocka_unit_test(a_battery_that_claims_another_address_is_followed),
		cmocka_unit_test(voltage_and_soc_of_two_devices_make_no_battery),
		cmocka_unit_test(values_that_no_battery_has_make_none),
		cmocka_unit_test(sub_packs_are_counted_when_heard_twice),
		cmocka_unit_test(sub_packs_of_another_bus_are_not_counted),
		cmocka_unit_test(without_a_battery_for_the_whole_the_first_sub_pack_is_shown_but_makes_none),
		cmocka_unit_test(without_charger_status_for_60_s_no_charge_is_allowed),
		cmocka_unit_test(a_battery_that_never_asked_for_a_current_is_not_forbidden_to_charge),
		cmocka_unit_test(what_is_not_repeated_is_forgotten),
		cmocka_unit_test(a_reading_needs_voltage_and_soc_anew),
		cmocka_unit_test(a_battery_is_found_when_it_has_told_all_twice),
		cmocka_unit_test(a_gateway_alone_is_no_battery),
		cmocka_unit_test(noise_under_our_identifiers_is_never_a_battery),
		cmocka_unit_test(noise_of_another_priority_or_sender_leaves_a_battery_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
