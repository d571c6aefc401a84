/* SPDX-License-Identifier: GPL-3.0-or-later */
/* jbd-can on frames constructed from its sheet: the broadcast in Victron's style, JBD's own questions and answers, and
 * who is none of both. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/can.h"
#include "play.h"
#include "protocols/checksum.h"

enum { JBD, VICTRON, NATIVE };

/* ---- frames ---- */

/* A frame as candump writes it, in bytes; the last 16 stay valid. */
static struct bytes can(const char *text)
{
	static uint8_t b[16][CAN_BYTES];
	static unsigned next;
	struct can_message m;

	next = (next + 1) % 16;
	assert_true(can_parse(text, &m));
	can_write(&m, b[next]);
	return (struct bytes){b[next], CAN_BYTES};
}

static const char *hex(const char *text)
{
	static char out[16][2 * CAN_BYTES + 1];
	static unsigned next;

	next = (next + 1) % 16;
	bytes_hex(can(text), out[next], sizeof(out[next]));
	return out[next];
}

/* "104#100400000000" with its checksum; the last 16 stay valid. */
static const char *with_checksum(const char *text)
{
	static char out[16][CAN_TEXT_SIZE];
	static unsigned next;
	struct bytes data = can_data(can(text));

	next = (next + 1) % 16;
	assert_int_equal(data.n, 6);
	snprintf(out[next], sizeof(out[next]), "%s%04X", text, crc16_modbus(data));
	return out[next];
}

/* What a bus brings: who hears it, and the device it is about. */
struct ear {
	uint64_t listen[4];
	struct device dev;
};

static struct ear ear(uint8_t dialect)
{
	struct ear e = {.dev = fresh_device("jbd-can", 0, dialect)};

	assert_true(e.dev.protocol->listen_size <= sizeof(e.listen));
	return e;
}

static bool heard(struct ear *e, const char *text, struct request *as)
{
	return e->dev.protocol->overhear(e->listen, can(text), as) == HEARD_ANSWER;
}

/* FRAME_FOREIGN as well where it is no frame of the protocol. */
static enum verdict hears(struct ear *e, const char *text)
{
	const char *why = NULL;
	struct request as;

	if (!heard(e, text, &as))
		return FRAME_FOREIGN;
	return e->dev.protocol->take(&e->dev, &as, can(text), &why);
}

static void told(struct ear *e, const char *text)
{
	assert_int_equal(hears(e, text), FRAME_ANSWER);
}

/* A bad frame changes nothing. */
static void not_believed(struct ear *e, const char *text)
{
	struct reading before = e->dev.reading;

	assert_int_equal(hears(e, text), FRAME_BAD);
	assert_memory_equal(&before, &e->dev.reading, sizeof(before));
}

static const char *why_not(const struct ear *e)
{
	const char *why = NULL;

	return e->dev.protocol->plausible(&e->dev, &why) ? NULL : why;
}

static double number(const struct ear *e, enum quantity q)
{
	return reading_get(&e->dev.reading, q);
}

static bool known(const struct ear *e, enum quantity q)
{
	return reading_knows(&e->dev.reading, q);
}

static enum tri flag(const struct ear *e, enum flag f)
{
	return reading_flag(&e->dev.reading, f);
}

static void forgotten(struct ear *e, uint16_t code)
{
	e->dev.protocol->forget(&e->dev, code, 0);
}

#define assert_near(got, want) assert_true(fabs((got) - (want)) < 1e-9)

/* A battery of 16 cells that says what is required. */
static struct ear battery(void)
{
	struct ear e = ear(VICTRON);

	told(&e, "351#4002D007D007C001");
	told(&e, "355#3D006400CF170000");
	told(&e, "356#C51483FFD0000C00");
	told(&e, "373#F50C030D25012701");
	return e;
}

/* ---- the broadcast ---- */

static void the_required_frames_tell_limits_soc_voltage_and_extremes(void **unused)
{
	struct ear e = battery();

	(void)unused;
	assert_near(number(&e, Q_BMS_CVL_V), 57.6);
	assert_near(number(&e, Q_BMS_CCL_A), 200);
	assert_near(number(&e, Q_BMS_DCL_A), 200);
	assert_near(number(&e, Q_BMS_DVL_V), 44.8);
	assert_near(number(&e, Q_SOC_PCT), 60.95);
	assert_near(number(&e, Q_SOH_PCT), 100);
	assert_near(number(&e, Q_VOLTAGE_V), 53.17);
	assert_near(number(&e, Q_CURRENT_A), -12.5);
	assert_near(number(&e, Q_CYCLES), 12);
	assert_near(e.dev.reading.temperatures.value[0], 20.8);
	assert_near(number(&e, Q_CELL_MIN_V), 3.317);
	assert_near(number(&e, Q_CELL_MAX_V), 3.331);
	assert_near(number(&e, Q_TEMP_MIN_C), 20);
	assert_near(number(&e, Q_TEMP_MAX_C), 22);
	assert_false(e.dev.reading.alarms.known);
	assert_false(known(&e, Q_CAPACITY_FULL_AH));
	device_free(&e.dev);
}

static void what_lies_beyond_a_short_frame_is_unknown(void **unused)
{
	struct ear e = ear(VICTRON);

	(void)unused;
	told(&e, "351#4002D007D007");
	told(&e, "355#3D006400");
	told(&e, "356#C51483FFD000");
	told(&e, "373#F50C030D");
	assert_false(known(&e, Q_BMS_DVL_V));
	assert_near(number(&e, Q_SOC_PCT), 61);
	assert_false(known(&e, Q_CYCLES));
	assert_false(known(&e, Q_TEMP_MIN_C));
	assert_false(known(&e, Q_TEMP_MAX_C));
	told(&e, "355#3D00");
	assert_false(known(&e, Q_SOH_PCT));
	told(&e, "356#C51483FF");
	assert_near(number(&e, Q_VOLTAGE_V), 53.17);
	device_free(&e.dev);
}

static void frames_too_short_for_what_they_must_tell_are_bad(void **unused)
{
	struct ear e = battery();

	(void)unused;
	not_believed(&e, "355#");
	not_believed(&e, "355#3D");
	not_believed(&e, "356#C514");
	not_believed(&e, "373#F50C");
	device_free(&e.dev);
}

static void the_coarse_soc_counts_where_the_finer_one_contradicts_it(void **unused)
{
	struct ear e = ear(VICTRON);

	(void)unused;
	told(&e, "355#3D00640000000000");
	assert_near(number(&e, Q_SOC_PCT), 61);
	told(&e, "355#00006400320000");
	assert_near(number(&e, Q_SOC_PCT), 0.5);
	told(&e, "355#640064001A27"); /* 100.10 % */
	assert_near(number(&e, Q_SOC_PCT), 100);
	device_free(&e.dev);
}

static void a_soc_above_100_is_not_believed(void **unused)
{
	struct ear e = battery();

	(void)unused;
	not_believed(&e, "355#65006400");
	not_believed(&e, "355#FFFF6400");
	not_believed(&e, "355#01000CF4"); /* a module's cell on a U-BMS */
	told(&e, "355#64006900");
	assert_false(known(&e, Q_SOH_PCT));
	device_free(&e.dev);
}

static void lowest_and_highest_cell_must_be_that(void **unused)
{
	struct ear e = battery();

	(void)unused;
	not_believed(&e, "373#030DF50C25012701");
	not_believed(&e, "373#0000000025012701");
	not_believed(&e, "373#F50C891325012701"); /* 5.001 V */
	told(&e, "373#0000030D25012701");	  /* a wire is off */
	assert_near(number(&e, Q_CELL_MIN_V), 0);
	device_free(&e.dev);
}

static void sensors_that_tell_no_temperature_are_unknown(void **unused)
{
	struct ear e = battery();

	(void)unused;
	told(&e, "373#F50C030D0000FFFF");
	assert_false(known(&e, Q_TEMP_MIN_C));
	assert_false(known(&e, Q_TEMP_MAX_C));
	told(&e, "356#C51483FFFF7F0C00");
	assert_false(series_knows(&e.dev.reading.temperatures, 0));
	told(&e, "356#C51483FF38FF0C00");
	assert_near(e.dev.reading.temperatures.value[0], -20);
	device_free(&e.dev);
}

static void the_current_may_be_turned_round(void **unused)
{
	struct ear e = ear(VICTRON);

	(void)unused;
	e.dev.options.invert_current = true;
	told(&e, "356#C51483FFD0000C00");
	assert_near(number(&e, Q_CURRENT_A), 12.5);
	device_free(&e.dev);
}

static void no_current_limit_means_no_permission(void **unused)
{
	struct ear e = ear(VICTRON);

	(void)unused;
	assert_int_equal(flag(&e, F_CHARGE_ALLOWED), UNKNOWN);
	told(&e, "351#40020000D007C001");
	assert_int_equal(flag(&e, F_CHARGE_ALLOWED), OFF);
	assert_int_equal(flag(&e, F_DISCHARGE_ALLOWED), ON);
	told(&e, "351#4002D0070000C001");
	assert_int_equal(flag(&e, F_CHARGE_ALLOWED), ON);
	assert_int_equal(flag(&e, F_DISCHARGE_ALLOWED), OFF);
	told(&e, "351#0000FFFFFFFF0000");
	assert_false(known(&e, Q_BMS_CVL_V));
	assert_false(known(&e, Q_BMS_DVL_V));
	assert_false(known(&e, Q_BMS_CCL_A));
	assert_int_equal(flag(&e, F_CHARGE_ALLOWED), UNKNOWN);
	assert_int_equal(flag(&e, F_DISCHARGE_ALLOWED), UNKNOWN);
	assert_int_equal(flag(&e, F_CHARGE_MOS), UNKNOWN);
	device_free(&e.dev);
}

static void the_installed_capacity_goes_before_the_one_beside_the_firmware(void **unused)
{
	struct ear e = battery();

	(void)unused;
	told(&e, "35F#0000040C00000000");
	assert_false(known(&e, Q_CAPACITY_FULL_AH));
	assert_string_equal(e.dev.reading.text[T_FIRMWARE_VERSION], "12.4");
	told(&e, "35F#0200040C64000700");
	assert_near(number(&e, Q_CAPACITY_FULL_AH), 100);
	assert_near(number(&e, Q_CAPACITY_REMAINING_AH), 60.95);
	assert_near(reading_detail(&e.dev.reading, "battery_type"), 2);
	assert_near(reading_detail(&e.dev.reading, "product_id"), 7);
	told(&e, "379#C800000000000000");
	told(&e, "35F#0200040C64000700");
	assert_near(number(&e, Q_CAPACITY_FULL_AH), 200);
	told(&e, "355#320064008813"); /* 50.00 % */
	assert_near(number(&e, Q_CAPACITY_REMAINING_AH), 100);
	told(&e, "379#0000000000000000");
	assert_near(number(&e, Q_CAPACITY_FULL_AH), 200);
	device_free(&e.dev);
}

static void cells_are_counted_once_they_are_alike(void **unused)
{
	struct ear e = ear(VICTRON);

	(void)unused;
	told(&e, "356#C51483FFD0000C00");
	told(&e, "373#C50C030D25012701"); /* 62 mV apart */
	assert_false(known(&e, Q_CELL_COUNT));
	told(&e, "373#F50C030D25012701");
	assert_near(number(&e, Q_CELL_COUNT), 16);
	told(&e, "356#A50F83FFD0000C00");
	assert_near(number(&e, Q_CELL_COUNT), 16);
	assert_int_equal(e.dev.reading.cell_V.count, 0);
	device_free(&e.dev);
}

static void packs_and_energy_are_told(void **unused)
{
	struct ear e = ear(VICTRON);

	(void)unused;
	told(&e, "372#0000000000000000");
	assert_false(known(&e, Q_PACK_COUNT));
	told(&e, "372#0400010002000300");
	assert_near(number(&e, Q_PACK_COUNT), 4);
	assert_near(reading_detail(&e.dev.reading, "packs_charge_blocked"), 1);
	assert_near(reading_detail(&e.dev.reading, "packs_discharge_blocked"), 2);
	assert_near(reading_detail(&e.dev.reading, "packs_offline"), 3);
	told(&e, "378#0000000000000000");
	assert_true(isnan(reading_detail(&e.dev.reading, "energy_charged_kWh")));
	told(&e, "378#3930000000000100");
	assert_near(reading_detail(&e.dev.reading, "energy_charged_kWh"), 1234.5);
	assert_near(reading_detail(&e.dev.reading, "energy_discharged_kWh"), 6553.6);
	device_free(&e.dev);
}

static void texts_come_in_two_halves(void **unused)
{
	struct ear e = ear(VICTRON);

	(void)unused;
	told(&e, "370#5550313653303135");
	assert_string_equal(e.dev.reading.text[T_MODEL], "");
	told(&e, "371#2E31365332303041");
	assert_string_equal(e.dev.reading.text[T_MODEL], "UP16S015.16S200A");
	told(&e, "380#4A42440000000000");
	assert_string_equal(e.dev.reading.text[T_SERIAL_NUMBER], "JBD");
	told(&e, "382#5550313653000000");
	assert_string_equal(settings_find(&e.dev.settings, "product")->text, "UP16S");
	device_free(&e.dev);
}

static void a_text_whose_second_half_never_comes_is_told_the_second_time(void **unused)
{
	struct ear e = ear(VICTRON);

	(void)unused;
	told(&e, "370#5241434B42415454");
	assert_string_equal(e.dev.reading.text[T_MODEL], "");
	told(&e, "370#5241434B42415454");
	assert_string_equal(e.dev.reading.text[T_MODEL], "RACKBATT");
	device_free(&e.dev);
}

/* ---- names of cells ---- */

static double lowest_cell(struct ear *e, const char *name)
{
	char text[CAN_TEXT_SIZE] = "374#", digits[17];

	bytes_hex((struct bytes){(const uint8_t *)name, strlen(name)}, digits, sizeof(digits));
	strcat(text, digits);
	told(e, text);
	return number(e, Q_CELL_MIN_NO);
}

static void the_digit_of_a_cell_goes_on_behind_9(void **unused)
{
	struct ear e = battery();

	(void)unused;
	assert_near(lowest_cell(&e, "ID:01.08"), 8);
	assert_near(reading_detail(&e.dev.reading, "cell_min_pack"), 1);
	assert_near(lowest_cell(&e, "ID:03.0:"), 10);
	assert_near(reading_detail(&e.dev.reading, "cell_min_pack"), 3);
	assert_near(lowest_cell(&e, "ID:01.:"), 10);
	assert_near(lowest_cell(&e, "ID:0:.?"), 15);
	assert_near(reading_detail(&e.dev.reading, "cell_min_pack"), 10);
	assert_near(lowest_cell(&e, "ID:01.14"), 14);
	device_free(&e.dev);
}

static void ten_is_16_on_a_jbd_of_16_cells_and_10_elsewhere(void **unused)
{
	struct ear e = battery();

	(void)unused;
	assert_near(lowest_cell(&e, "ID:01.10"), 10);
	told(&e, "35E#4A42440000000000");
	assert_near(lowest_cell(&e, "ID:01.10"), 16);
	assert_near(lowest_cell(&e, "ID:01.0:"), 10);
	told(&e, "376#49443A30312E3130");
	assert_near(number(&e, Q_TEMP_MIN_NO), 10);
	device_free(&e.dev);
}

static void a_name_that_says_nothing_leaves_no_number(void **unused)
{
	static const char *const names[] = {"",	       "CELL 3",   "ID:01", "ID:01.",
					    "ID:01.@", "ID:01.:3", "01.03", "ID:01.00"};
	struct ear e = battery();

	(void)unused;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_near(lowest_cell(&e, "ID:01.08"), 8);
		assert_true(isnan(lowest_cell(&e, names[i])));
	}
	device_free(&e.dev);
}

static void each_extreme_has_its_name(void **unused)
{
	struct ear e = battery();

	(void)unused;
	told(&e, "374#49443A30312E3038");
	told(&e, "375#49443A30322E3033");
	told(&e, "376#49443A30332E3032");
	told(&e, "377#49443A30342E3034");
	assert_near(number(&e, Q_CELL_MIN_NO), 8);
	assert_near(number(&e, Q_CELL_MAX_NO), 3);
	assert_near(number(&e, Q_TEMP_MIN_NO), 2);
	assert_near(number(&e, Q_TEMP_MAX_NO), 4);
	assert_near(reading_detail(&e.dev.reading, "cell_max_pack"), 2);
	assert_near(reading_detail(&e.dev.reading, "temp_min_pack"), 3);
	assert_near(reading_detail(&e.dev.reading, "temp_max_pack"), 4);
	device_free(&e.dev);
}

/* ---- alarms of the broadcast ---- */

static const struct {
	enum alarm alarm, further;
	const char *own;
} pairs[] = {
	{ALARM_COUNT, ALARM_COUNT, "general_alarm"},
	{ALARM_HIGH_CELL_VOLTAGE, ALARM_COUNT, NULL},
	{ALARM_LOW_CELL_VOLTAGE, ALARM_COUNT, NULL},
	{ALARM_HIGH_TEMPERATURE, ALARM_COUNT, NULL},
	{ALARM_LOW_TEMPERATURE, ALARM_COUNT, NULL},
	{ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_COUNT, NULL},
	{ALARM_LOW_CHARGE_TEMPERATURE, ALARM_COUNT, NULL},
	{ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT, NULL},
	{ALARM_HIGH_CHARGE_CURRENT, ALARM_COUNT, NULL},
	{ALARM_INTERNAL_FAILURE, ALARM_COUNT, "contactor_fault"},
	{ALARM_SHORT_CIRCUIT, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{ALARM_INTERNAL_FAILURE, ALARM_COUNT, NULL},
	{ALARM_CELL_IMBALANCE, ALARM_COUNT, NULL},
};

/* All pairs "not active" but the nth, of 32. */
static void tell_pair(struct ear *e, unsigned nth, unsigned pair)
{
	char text[CAN_TEXT_SIZE] = "35A#";
	uint64_t bits = UINT64_C(0xaaaaaaaaaaaaaaaa);

	bits = (bits & ~(UINT64_C(3) << 2 * nth)) | (uint64_t)pair << 2 * nth;
	for (unsigned i = 0; i < 8; i++)
		snprintf(text + 4 + 2 * i, 3, "%02X", (unsigned)(bits >> 8 * i & 0xff));
	told(e, text);
}

static void every_pair_of_35a_is_its_alarm_and_its_warning(void **unused)
{
	struct ear e = ear(VICTRON);
	const struct alarms *a = &e.dev.reading.alarms;

	(void)unused;
	for (unsigned i = 0; i < 2 * sizeof(pairs) / sizeof(pairs[0]); i++) {
		unsigned at = i % (sizeof(pairs) / sizeof(pairs[0])), warning = i != at;
		unsigned level = warning ? ALARM_WARNING : ALARM_RAISED;

		tell_pair(&e, at + 16 * warning, 1);
		for (unsigned k = 0; k < ALARM_COUNT; k++)
			assert_int_equal(a->level[k],
					 k == pairs[at].alarm || k == pairs[at].further ? level : ALARM_OK);
		assert_int_equal(a->own_count, pairs[at].own != NULL);
		if (pairs[at].own) {
			assert_string_equal(a->own[0].name, pairs[at].own);
			assert_int_equal(a->own[0].level, level);
		}
		for (unsigned pair = 0; pair <= 3; pair++) {
			if (pair == 1)
				continue;
			tell_pair(&e, at + 16 * warning, pair);
			assert_int_equal(alarms_raised(a), 0);
			assert_true(a->known);
		}
	}
	device_free(&e.dev);
}

static void an_alarm_goes_before_its_warning(void **unused)
{
	struct ear e = ear(VICTRON);

	(void)unused;
	told(&e, "35A#A6AAAA02A6AAAA02");
	assert_int_equal(e.dev.reading.alarms.level[ALARM_HIGH_CELL_VOLTAGE], ALARM_RAISED);
	device_free(&e.dev);
}

static void a_battery_that_watches_nothing_reports_no_alarms(void **unused)
{
	struct ear e = ear(VICTRON);

	(void)unused;
	tell_pair(&e, 1, 1);
	told(&e, "35A#0000000000000000");
	assert_false(e.dev.reading.alarms.known);
	assert_int_equal(alarms_raised(&e.dev.reading.alarms), 0);
	told(&e, "35A#FFFFFFFFFFFFFFFF");
	assert_false(e.dev.reading.alarms.known);
	told(&e, "35A#");
	assert_false(e.dev.reading.alarms.known);
	device_free(&e.dev);
}

/* ---- who it is ---- */

static uint8_t dialect_after(const char *frame, const char *another)
{
	struct ear e = battery();

	told(&e, frame);
	if (another)
		told(&e, another);
	uint8_t dialect = e.dev.dialect;
	device_free(&e.dev);
	return dialect;
}

static void a_jbd_is_known_by_maker_model_or_dummy_serial_number(void **unused)
{
	const struct protocol *p = protocol_by_id("jbd-can");

	(void)unused;
	assert_int_equal(dialect_after("35E#4A42440000000000", NULL), JBD);
	assert_int_equal(dialect_after("370#5550313653303135", "371#2E31365332303041"), JBD);
	assert_int_equal(dialect_after("380#4A42443837363534", "381#3332310000000000"), JBD);
	assert_int_equal(dialect_after("35E#44414C5900000000", NULL), VICTRON);
	assert_int_equal(dialect_after("370#5241434B00000000", NULL), VICTRON);
	assert_int_equal(dialect_after("380#4230303030313233", "381#3435000000000000"), VICTRON);
	assert_false(p->yields >> JBD & 1);
	assert_true(p->yields >> VICTRON & 1);
	assert_true(p->streams >> JBD & 1);
	assert_true(p->streams >> VICTRON & 1);
	assert_false(p->streams >> NATIVE & 1);
}

static void a_battery_that_fits_is_plausible(void **unused)
{
	struct ear e = battery();

	(void)unused;
	assert_null(why_not(&e));
	device_free(&e.dev);
}

static void without_one_of_the_required_frames_it_is_not(void **unused)
{
	static const char *const frames[] = {"355#3D006400CF170000", "356#C51483FFD0000C00", "373#F50C030D25012701"};

	(void)unused;
	for (unsigned without = 0; without < 3; without++) {
		struct ear e = ear(VICTRON);

		for (unsigned i = 0; i < 3; i++)
			if (i != without)
				told(&e, frames[i]);
		assert_non_null(why_not(&e));
		device_free(&e.dev);
	}
}

static void what_does_not_fit_is_no_battery(void **unused)
{
	static const char *const frames[] = {
		"356#6B0783FFD0000C00", /* 18.99 V: 5.7 cells */
		"356#904E83FFD0000C00", /* 201.12 V */
		"356#C514EFD8D0000C00", /* -1000.1 A */
		"373#0000030D25012701", /* a cell of 0 V */
		"373#F50C030D27012501", /* the coldest is the warmest */
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		struct ear e = battery();

		told(&e, frames[i]);
		assert_non_null(why_not(&e));
		device_free(&e.dev);
	}
}

static void a_voltage_below_8_is_not_believed(void **unused)
{
	struct ear e = battery();

	(void)unused;
	not_believed(&e, "356#0000000000000000");
	not_believed(&e, "356#1F0383FFD0000C00");
	told(&e, "356#200383FFD0000C00");
	assert_near(number(&e, Q_VOLTAGE_V), 8);
	device_free(&e.dev);
}

static void a_battery_that_speaks_pylontechs_way_is_none_of_these(void **unused)
{
	struct ear e = ear(VICTRON);

	(void)unused;
	told(&e, "351#1402E402E402BD01");
	told(&e, "355#3D006400");
	told(&e, "356#C51483FFD000");
	told(&e, "359#00000000015050");
	told(&e, "35C#C000");
	told(&e, "35E#50594C4F4E202020");
	assert_non_null(why_not(&e));
	told(&e, "373#F50C030D25012701");
	assert_non_null(why_not(&e));
	forgotten(&e, 0x359);
	assert_null(why_not(&e));
	told(&e, "35C#C000");
	assert_non_null(why_not(&e));
	told(&e, "35E#4A42440000000000"); /* a JBD that says a bit more */
	assert_null(why_not(&e));
	device_free(&e.dev);
}

static void frames_of_others_are_not_heard(void **unused)
{
	static const char *const frames[] = {"307#1234567856494300",
					     "350#01000CF40CF50CF4",
					     "352#01000CF40CF50CF4",
					     "357#01000CF4",
					     "35D#01000CF4",
					     "383#0000000000000000",
					     "2F4#8500A00F64000000",
					     "00000351#4002D007D007C001",
					     "18904001#0107000075300213",
					     "19F21400#0035",
					     "20000351#00",
					     "351#R",
					     "0C4#F40CF50C00000000"};
	struct ear e = battery();
	struct reading before = e.dev.reading;

	(void)unused;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++)
		assert_int_equal(hears(&e, frames[i]), FRAME_FOREIGN);
	assert_memory_equal(&before, &e.dev.reading, sizeof(before));
	device_free(&e.dev);
}

static void what_it_hears_lets_its_frames_through_and_other_kinds_not(void **unused)
{
	const struct can_ids *ids = protocol_by_id("jbd-can")->hears;
	static const uint32_t wanted[] = {0x100, 0x110, 0x114, 0x305, 0x351, 0x359,
					  0x35c, 0x35f, 0x370, 0x379, 0x380, 0x382};

	(void)unused;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		assert_true(can_ids_have(ids, wanted[i]));
		assert_false(can_ids_have(ids, wanted[i] | CAN_EXTENDED));
		assert_false(can_ids_have(ids, wanted[i] | CAN_REMOTE));
		assert_false(can_ids_have(ids, wanted[i] | CAN_ERROR));
	}
	assert_false(can_ids_have(ids, 0x0c4));
	assert_false(can_ids_have(ids, 0x2f4));
}

/* ---- what was not repeated is unknown ---- */

static void what_a_frame_said_goes_with_it(void **unused)
{
	struct ear e = battery();

	(void)unused;
	tell_pair(&e, 1, 1);
	told(&e, "372#0200000000000000");
	told(&e, "374#49443A30312E3038");
	told(&e, "35F#0200040C64000700");
	told(&e, "379#C800000000000000");
	forgotten(&e, 0x351);
	assert_false(known(&e, Q_BMS_CVL_V) || known(&e, Q_BMS_CCL_A) || known(&e, Q_BMS_DCL_A) ||
		     known(&e, Q_BMS_DVL_V));
	assert_int_equal(flag(&e, F_CHARGE_ALLOWED), UNKNOWN);
	assert_int_equal(flag(&e, F_DISCHARGE_ALLOWED), UNKNOWN);
	forgotten(&e, 0x35a);
	assert_false(e.dev.reading.alarms.known);
	forgotten(&e, 0x372);
	assert_false(known(&e, Q_PACK_COUNT));
	assert_true(isnan(reading_detail(&e.dev.reading, "packs_offline")));
	forgotten(&e, 0x374);
	assert_false(known(&e, Q_CELL_MIN_NO));
	assert_true(isnan(reading_detail(&e.dev.reading, "cell_min_pack")));
	forgotten(&e, 0x35f);
	assert_near(number(&e, Q_CAPACITY_FULL_AH), 200);
	assert_true(isnan(reading_detail(&e.dev.reading, "product_id")));
	forgotten(&e, 0x379);
	assert_false(known(&e, Q_CAPACITY_FULL_AH));
	assert_false(known(&e, Q_CAPACITY_REMAINING_AH));
	told(&e, "35F#0200040C64000700");
	assert_near(number(&e, Q_CAPACITY_FULL_AH), 100);
	forgotten(&e, 0x35f);
	assert_false(known(&e, Q_CAPACITY_FULL_AH));
	assert_near(number(&e, Q_SOC_PCT), 60.95);
	device_free(&e.dev);
}

/* ---- the life sign ---- */

static void the_life_sign_is_sent_while_nobody_else_does(void **unused)
{
	struct ear e = battery();
	const struct protocol *p = e.dev.protocol;
	struct request r;
	char text[CAN_TEXT_SIZE];
	struct can_message m;

	(void)unused;
	assert_int_equal(p->keep_alive_ms, 1000);
	assert_true(p->encode(&e.dev, p->keep_alive, 0, &r));
	assert_true(r.no_reply);
	assert_false(r.writes);
	assert_true(can_read((struct bytes){r.tx, r.n}, &m));
	can_text(&m, text);
	assert_string_equal(text, "305#0000000000000000");
	told(&e, "305#0000000000000000");
	assert_false(p->encode(&e.dev, p->keep_alive, 0, &r));
	forgotten(&e, p->keep_alive);
	assert_true(p->encode(&e.dev, p->keep_alive, 0, &r));
	e.dev.dialect = JBD;
	assert_true(p->encode(&e.dev, p->keep_alive, 0, &r));
	e.dev.dialect = NATIVE;
	assert_false(p->encode(&e.dev, p->keep_alive, 0, &r));
	device_free(&e.dev);
}

static void detection_sends_no_life_sign(void **unused)
{
	const struct protocol *p = protocol_by_id("jbd-can");

	(void)unused;
	assert_true(p->probe_count > 0);
	for (unsigned i = 0; i < p->probe_count; i++)
		assert_int_not_equal(p->probes[i].code, p->keep_alive);
}

static void the_life_sign_has_a_row_of_five_seconds(void **unused)
{
	const struct protocol *p = protocol_by_id("jbd-can");
	unsigned rows = 0;

	(void)unused;
	for (unsigned i = 0; i < p->poll_count; i++) {
		if (p->polls[i].code != p->keep_alive)
			continue;
		assert_int_equal(p->polls[i].every_ms, 5000);
		assert_false(p->polls[i].required);
		rows++;
	}
	assert_int_equal(rows, 1);
}

/* ---- questions and answers ---- */

static enum exchange_state asked(struct device *dev, uint16_t code, const char *answer)
{
	return play(dev, code, 0, RX(hex(answer)), NULL);
}

static void answered(struct device *dev, uint16_t code, const char *answer)
{
	assert_int_equal(asked(dev, code, answer), EXCHANGE_ANSWERED);
}

static struct device board(void)
{
	struct device dev = fresh_device("jbd-can", 0, NATIVE);

	answered(&dev, 0x100, "100#14C5FB1E17CF98D1");
	answered(&dev, 0x104, with_checksum("104#100400000000"));
	return dev;
}

static void a_question_is_the_identifier_without_data(void **unused)
{
	struct device dev = fresh_device("jbd-can", 0, NATIVE);
	const struct protocol *p = dev.protocol;
	struct request r, back;
	struct can_message m;

	(void)unused;
	for (unsigned i = 0; i < p->poll_count; i++) {
		if (p->polls[i].code > 0x114)
			continue;
		assert_true(p->encode(&dev, p->polls[i].code, 0, &r));
		assert_false(r.writes || r.no_reply);
		assert_true(can_read((struct bytes){r.tx, r.n}, &m));
		assert_int_equal(m.id, p->polls[i].code);
		assert_int_equal(m.n, 0);
		assert_true(p->parse_request((struct bytes){r.tx, r.n}, &back));
		assert_int_equal(back.code, r.code);
		assert_int_equal(back.dialect, NATIVE);
	}
	assert_false(p->encode(&dev, 0x115, 0, &r));
	assert_false(p->encode(&dev, 0x351, 0, &r));
	assert_false(p->parse_request(can("100#00"), &back));
	assert_false(p->parse_request(can("351#"), &back));
	device_free(&dev);
}

static void it_is_asked_only_on_a_silent_bus(void **unused)
{
	const struct protocol *p = protocol_by_id("jbd-can");
	struct ear e = ear(NATIVE);

	(void)unused;
	assert_true(p->may_ask(e.listen, true));
	assert_false(p->may_ask(e.listen, false));
	for (unsigned i = 0; i < p->probe_count; i++)
		assert_true(p->probes[i].only_when_silent);
	assert_int_equal(p->probes[0].code, 0x100);
	assert_int_equal(p->probes[0].dialect, NATIVE);
	device_free(&e.dev);
}

static void the_example_of_the_sheet_has_its_checksum(void **unused)
{
	(void)unused;
	assert_string_equal(with_checksum("100#14C5FB1E17CF"), "100#14C5FB1E17CF98D1");
}

static void answers_tell_all_of_the_sheet(void **unused)
{
	struct device dev = board();
	const struct reading *r = &dev.reading;

	(void)unused;
	answered(&dev, 0x101, "101#2710000C003DDDC6");
	answered(&dev, 0x102, "102#000400000200BBF0");
	answered(&dev, 0x103, "103#00032C7C00238ACC");
	answered(&dev, 0x105, "105#0B7C0B770B7D8525");
	answered(&dev, 0x106, "106#0B7F00000000AA14");
	answered(&dev, 0x107, "107#0CFE0CF60D03F08E");
	answered(&dev, 0x10c, "10C#0CFA00000000C3D8");
	assert_near(reading_get(r, Q_VOLTAGE_V), 53.17);
	assert_near(reading_get(r, Q_CURRENT_A), -12.5);
	assert_near(reading_get(r, Q_CAPACITY_REMAINING_AH), 60.95);
	assert_near(reading_get(r, Q_CAPACITY_FULL_AH), 100);
	assert_near(reading_get(r, Q_CYCLES), 12);
	assert_near(reading_get(r, Q_SOC_PCT), 61);
	assert_near(reading_get(r, Q_CELL_COUNT), 16);
	assert_int_equal(r->balancing, 4);
	assert_int_equal(reading_flag(r, F_BALANCING_ACTIVE), ON);
	assert_int_equal(r->alarms.level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_RAISED);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), ON);
	assert_string_equal(r->text[T_PRODUCTION_DATE], "2022-03-28");
	assert_string_equal(r->text[T_FIRMWARE_VERSION], "2.3");
	assert_int_equal(r->temperatures.count, 4);
	assert_near(r->temperatures.value[0], 20.9);
	assert_near(r->temperatures.value[3], 21.2);
	assert_int_equal(r->cell_V.count, 16);
	assert_near(r->cell_V.value[2], 3.331);
	assert_near(r->cell_V.value[15], 3.322);
	assert_false(series_knows(&r->cell_V, 14));
	device_free(&dev);
}

static void every_protection_bit_is_that_of_the_serial_line(void **unused)
{
	static const struct {
		uint8_t bit;
		enum alarm alarm;
	} bits[] = {
		{0, ALARM_HIGH_CELL_VOLTAGE},
		{1, ALARM_LOW_CELL_VOLTAGE},
		{2, ALARM_HIGH_VOLTAGE},
		{3, ALARM_LOW_VOLTAGE},
		{4, ALARM_HIGH_CHARGE_TEMPERATURE},
		{5, ALARM_LOW_CHARGE_TEMPERATURE},
		{6, ALARM_HIGH_TEMPERATURE},
		{7, ALARM_LOW_TEMPERATURE},
		{8, ALARM_HIGH_CHARGE_CURRENT},
		{9, ALARM_HIGH_DISCHARGE_CURRENT},
		{10, ALARM_SHORT_CIRCUIT},
		{11, ALARM_INTERNAL_FAILURE},
		{13, ALARM_INTERNAL_FAILURE},
		{14, ALARM_INTERNAL_FAILURE},
	};
	struct device dev = board();
	char text[CAN_TEXT_SIZE];

	(void)unused;
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		snprintf(text, sizeof(text), "102#00000000%04X", 1u << bits[i].bit);
		answered(&dev, 0x102, with_checksum(text));
		for (unsigned k = 0; k < ALARM_COUNT; k++) {
			bool also = bits[i].bit == 10 && k == ALARM_HIGH_DISCHARGE_CURRENT;

			assert_int_equal(dev.reading.alarms.level[k],
					 k == bits[i].alarm || also ? ALARM_RAISED : ALARM_OK);
		}
		assert_near(reading_detail(&dev.reading, "mos_software_lock"), 0);
	}
	answered(&dev, 0x102, with_checksum("102#000000001000"));
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	assert_near(reading_detail(&dev.reading, "mos_software_lock"), 1);
	device_free(&dev);
}

static void a_wrong_checksum_is_not_believed(void **unused)
{
	struct device dev = board();
	struct reading before = dev.reading;
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0x100, 0, RX(hex("100#14C6FB1E17CF98D1")), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: checksum");
	assert_memory_equal(&before, &dev.reading, sizeof(before));
	device_free(&dev);
}

static void no_checksum_is_believed_after_a_good_one(void **unused)
{
	struct device dev = fresh_device("jbd-can", 0, NATIVE);

	(void)unused;
	assert_int_equal(asked(&dev, 0x100, "100#14C5FB1E17CF0000"), EXCHANGE_FAILED);
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	answered(&dev, 0x100, "100#14C5FB1E17CF98D1");
	answered(&dev, 0x100, "100#14C6FB1E17CF0000");
	assert_near(reading_get(&dev.reading, Q_VOLTAGE_V), 53.18);
	device_free(&dev);
}

static void other_lengths_identifiers_and_kinds_are_no_answer(void **unused)
{
	static const char *const frames[] = {"100#14C5FB1E17CF",
					     "100#",
					     "101#2710000C003DDDC6",
					     "00000100#14C5FB1E17CF98D1",
					     "351#4002D007D007C001",
					     "305#0000000000000000",
					     "100#R8",
					     "20000100#14C5FB1E17CF98D1"};
	struct device dev = board();
	struct reading before = dev.reading;

	(void)unused;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++)
		assert_int_equal(asked(&dev, 0x100, frames[i]), EXCHANGE_FAILED);
	assert_memory_equal(&before, &dev.reading, sizeof(before));
	assert_int_equal(play(&dev, 0x100, 0, RX(hex(frames[2]), hex("7FF#00"), hex("100#14C5FB1E17CF98D1")), NULL),
			 EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void counts_that_cannot_be_are_not_believed(void **unused)
{
	struct device dev = board();

	(void)unused;
	assert_int_equal(asked(&dev, 0x104, with_checksum("104#000400000000")), EXCHANGE_FAILED);
	assert_int_equal(asked(&dev, 0x104, with_checksum("104#210400000000")), EXCHANGE_FAILED);
	assert_int_equal(asked(&dev, 0x104, with_checksum("104#100700000000")), EXCHANGE_FAILED);
	assert_near(reading_get(&dev.reading, Q_CELL_COUNT), 16);
	answered(&dev, 0x104, with_checksum("104#200600000000"));
	assert_int_equal(dev.reading.cell_V.count, 32);
	assert_int_equal(asked(&dev, 0x101, with_checksum("101#2710000C0065")), EXCHANGE_FAILED);
	assert_false(reading_knows(&dev.reading, Q_SOC_PCT));
	device_free(&dev);
}

static void only_cells_and_sensors_that_are_there_are_told(void **unused)
{
	struct device dev = fresh_device("jbd-can", 0, NATIVE);
	const struct reading *r = &dev.reading;

	(void)unused;
	answered(&dev, 0x104, with_checksum("104#040100000000"));
	answered(&dev, 0x107, with_checksum("107#0CFE0CF60D03"));
	answered(&dev, 0x108, with_checksum("108#0CF60CF80CFB"));
	answered(&dev, 0x109, with_checksum("109#0D000CF50CFC"));
	answered(&dev, 0x105, with_checksum("105#0B7C0B770B7D"));
	answered(&dev, 0x102, with_checksum("102#FFFF00000000"));
	assert_int_equal(r->cell_V.count, 4);
	assert_int_equal(r->temperatures.count, 1);
	assert_int_equal(r->balancing, 0xf);
	answered(&dev, 0x105, with_checksum("105#000000000000"));
	assert_false(series_knows(&r->temperatures, 0));
	answered(&dev, 0x104, with_checksum("104#030000000000"));
	assert_int_equal(r->cell_V.count, 3);
	assert_false(series_knows(&r->cell_V, 0));
	assert_true(r->temperatures.reported);
	assert_int_equal(r->temperatures.count, 0);
	device_free(&dev);
}

static void rows_ask_for_as_many_cells_and_sensors_as_there_are(void **unused)
{
	struct device dev = board(); /* 16 cells, 4 sensors */
	const struct protocol *p = dev.protocol;

	(void)unused;
	for (unsigned i = 0; i < p->poll_count; i++) {
		uint16_t code = p->polls[i].code;
		bool wanted = p->polls[i].wanted(&dev);

		if (code >= 0x107 && code <= 0x110)
			assert_int_equal(wanted, code <= 0x10c);
		else
			assert_int_equal(wanted, code <= 0x114);
	}
	answered(&dev, 0x104, with_checksum("104#040300000000"));
	for (unsigned i = 0; i < p->poll_count; i++)
		if (p->polls[i].code == 0x106 || p->polls[i].code == 0x109)
			assert_false(p->polls[i].wanted(&dev));
	dev.dialect = VICTRON;
	for (unsigned i = 0; i < p->poll_count; i++)
		assert_int_equal(p->polls[i].wanted(&dev), p->polls[i].code > 0x114);
	device_free(&dev);
}

static void the_model_is_told_when_it_is_whole(void **unused)
{
	struct device dev = board();

	(void)unused;
	answered(&dev, 0x111, "111#4A42442D53503235");
	assert_string_equal(dev.reading.text[T_MODEL], "");
	answered(&dev, 0x112, "112#533030332D4C3136");
	answered(&dev, 0x113, "113#532D313030410000");
	assert_string_equal(dev.reading.text[T_MODEL], "JBD-SP25S003-L16S-100A");
	device_free(&dev);
}

static void a_board_is_believed_when_voltage_cells_and_soc_fit(void **unused)
{
	struct ear e = {.dev = board()};

	(void)unused;
	assert_non_null(why_not(&e));
	answered(&e.dev, 0x101, "101#2710000C003DDDC6");
	assert_non_null(why_not(&e));
	answered(&e.dev, 0x107, "107#0CFE0CF60D03F08E");
	assert_null(why_not(&e));
	answered(&e.dev, 0x107, with_checksum("107#0CFEFFFF0D03"));
	assert_non_null(why_not(&e));
	answered(&e.dev, 0x107, "107#0CFE0CF60D03F08E");
	answered(&e.dev, 0x100, with_checksum("100#FFFFFB1E17CF"));
	assert_non_null(why_not(&e));
	answered(&e.dev, 0x100, with_checksum("100#0000FB1E17CF"));
	assert_non_null(why_not(&e));
	device_free(&e.dev);
}

/* ---- answers to somebody else ---- */

static void an_answer_to_somebody_else_is_known_by_its_checksum(void **unused)
{
	struct ear e = ear(NATIVE);
	struct request as;

	(void)unused;
	assert_false(heard(&e, "100#", &as));
	assert_false(heard(&e, "100#14C5FB1E17CF98D2", &as));
	assert_false(heard(&e, "100#14C5FB1E17CF0000", &as));
	assert_false(heard(&e, "100#14C5FB", &as));
	assert_true(heard(&e, "100#14C5FB1E17CF98D1", &as));
	assert_int_equal(as.code, 0x100);
	assert_int_equal(as.dialect, NATIVE);
	assert_true(heard(&e, "101#2710000C003D0000", &as));
	told(&e, "100#14C5FB1E17CF98D1");
	assert_near(number(&e, Q_VOLTAGE_V), 53.17);
	device_free(&e.dev);
}

static void a_text_is_known_by_its_question(void **unused)
{
	struct ear e = ear(NATIVE);
	struct request as;

	(void)unused;
	assert_false(heard(&e, "111#4A42442D53503235", &as));
	assert_false(heard(&e, "111#", &as));
	assert_false(heard(&e, "112#", &as));
	assert_true(heard(&e, "111#4A42442D53503235", &as));
	assert_true(heard(&e, "112#533030332D4C3136", &as));
	assert_false(heard(&e, "112#533030332D4C3136", &as));
	device_free(&e.dev);
}

static void the_two_languages_are_not_mixed(void **unused)
{
	struct ear e = battery();

	(void)unused;
	assert_int_equal(hears(&e, "100#14C6FB1E17CF98D1"), FRAME_FOREIGN);
	assert_int_equal(hears(&e, "100#14C5FB1E17CF98D1"), FRAME_FOREIGN);
	assert_int_equal(hears(&e, "111#"), FRAME_FOREIGN);
	assert_int_equal(hears(&e, "111#4A42442D53503235"), FRAME_FOREIGN);
	assert_string_equal(e.dev.reading.text[T_MODEL], "");
	device_free(&e.dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_required_frames_tell_limits_soc_voltage_and_extremes),
		cmocka_unit_test(what_lies_beyond_a_short_frame_is_unknown),
		cmocka_unit_test(frames_too_short_for_what_they_must_tell_are_bad),
		cmocka_unit_test(the_coarse_soc_counts_where_the_finer_one_contradicts_it),
		cmocka_unit_test(a_soc_above_100_is_not_believed),
		cmocka_unit_test(lowest_and_highest_cell_must_be_that),
		cmocka_unit_test(sensors_that_tell_no_temperature_are_unknown),
		cmocka_unit_test(the_current_may_be_turned_round),
		cmocka_unit_test(no_current_limit_means_no_permission),
		cmocka_unit_test(the_installed_capacity_goes_before_the_one_beside_the_firmware),
		cmocka_unit_test(cells_are_counted_once_they_are_alike),
		cmocka_unit_test(packs_and_energy_are_told),
		cmocka_unit_test(texts_come_in_two_halves),
		cmocka_unit_test(a_text_whose_second_half_never_comes_is_told_the_second_time),
		cmocka_unit_test(the_digit_of_a_cell_goes_on_behind_9),
		cmocka_unit_test(ten_is_16_on_a_jbd_of_16_cells_and_10_elsewhere),
		cmocka_unit_test(a_name_that_says_nothing_leaves_no_number),
		cmocka_unit_test(each_extreme_has_its_name),
		cmocka_unit_test(every_pair_of_35a_is_its_alarm_and_its_warning),
		cmocka_unit_test(an_alarm_goes_before_its_warning),
		cmocka_unit_test(a_battery_that_watches_nothing_reports_no_alarms),
		cmocka_unit_test(a_jbd_is_known_by_maker_model_or_dummy_serial_number),
		cmocka_unit_test(a_battery_that_fits_is_plausible),
		cmocka_unit_test(without_one_of_the_required_frames_it_is_not),
		cmocka_unit_test(what_does_not_fit_is_no_battery),
		cmocka_unit_test(a_voltage_below_8_is_not_believed),
		cmocka_unit_test(a_battery_that_speaks_pylontechs_way_is_none_of_these),
		cmocka_unit_test(frames_of_others_are_not_heard),
		cmocka_unit_test(what_it_hears_lets_its_frames_through_and_other_kinds_not),
		cmocka_unit_test(what_a_frame_said_goes_with_it),
		cmocka_unit_test(the_life_sign_is_sent_while_nobody_else_does),
		cmocka_unit_test(detection_sends_no_life_sign),
		cmocka_unit_test(the_life_sign_has_a_row_of_five_seconds),
		cmocka_unit_test(a_question_is_the_identifier_without_data),
		cmocka_unit_test(it_is_asked_only_on_a_silent_bus),
		cmocka_unit_test(the_example_of_the_sheet_has_its_checksum),
		cmocka_unit_test(answers_tell_all_of_the_sheet),
		cmocka_unit_test(every_protection_bit_is_that_of_the_serial_line),
		cmocka_unit_test(a_wrong_checksum_is_not_believed),
		cmocka_unit_test(no_checksum_is_believed_after_a_good_one),
		cmocka_unit_test(other_lengths_identifiers_and_kinds_are_no_answer),
		cmocka_unit_test(counts_that_cannot_be_are_not_believed),
		cmocka_unit_test(only_cells_and_sensors_that_are_there_are_told),
		cmocka_unit_test(rows_ask_for_as_many_cells_and_sensors_as_there_are),
		cmocka_unit_test(the_model_is_told_when_it_is_whole),
		cmocka_unit_test(a_board_is_believed_when_voltage_cells_and_soc_fit),
		cmocka_unit_test(an_answer_to_somebody_else_is_known_by_its_checksum),
		cmocka_unit_test(a_text_is_known_by_its_question),
		cmocka_unit_test(the_two_languages_are_not_mixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
