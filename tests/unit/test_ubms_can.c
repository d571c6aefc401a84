/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ubms-can on frames constructed from its sheet: values, alarms bit by bit, modules that are lost or can't be what the
 * configuration says, what is forgotten when, what is no such battery, and the master's part. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "act.h"
#include "engine/listen.h"
#include "model/can.h"
#include "play.h"

#define NEAR 1e-9

enum code {
	VERSION,
	NAME,
	STATE,
	CURRENT,
	CHARGE,
	EXTREMES,
	CELLS,
	CURRENTS,
	TEMPERATURES,
	BOARDS,
	SOCS,
	BALANCE,
	MASTER
};
enum mode { STANDBY, CHARGING, DRIVE };

/* 53 %, drive, 8 modules. */
#define IN_DRIVE   "0C0#350A000000080000"
#define IN_STANDBY "0C0#3508000000080000"
#define IN_CHARGE  "0C0#3509000000080000"
#define MINUS_40_A "0C1#0DD87FA705B60E04"
#define EXTREME_MV "0C4#3B39403BFB0CF40C" /* 3323 and 3316 mV */
#define MODULE_1A  "350#01000CF40CF80CFA"
#define MODULE_1B  "351#01000CF6"

static const struct protocol *ubms(void)
{
	return protocol_by_id("ubms-can");
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
	return ubms()->overhear(NULL, frame(text), as);
}

/* What becomes of the frame when dev's bus carries it. */
static enum verdict told(struct device *dev, const char *text)
{
	struct request as;
	const char *why = NULL;
	enum verdict verdict;

	if (heard(text, &as) != HEARD_ANSWER)
		return FRAME_FOREIGN;
	verdict = ubms()->take(dev, &as, frame(text), &why);
	assert_int_equal(verdict == FRAME_BAD, why != NULL);
	return verdict;
}

#define TOLD(dev, text)	   assert_int_equal(told(dev, text), FRAME_ANSWER)
#define PART(dev, text)	   assert_int_equal(told(dev, text), FRAME_PART)
#define IGNORED(dev, text) assert_int_equal(told(dev, text), FRAME_FOREIGN)
#define BAD(dev, text)	   assert_int_equal(told(dev, text), FRAME_BAD)

/* Module 1 is the first; all its cells have so many mV. */
static void tell_module(struct device *dev, unsigned module, unsigned mV)
{
	char text[CAN_TEXT_SIZE];

	snprintf(text, sizeof(text), "%03X#0100%04X%04X%04X", 0x350 + 2 * (module - 1), mV, mV, mV);
	PART(dev, text);
	snprintf(text, sizeof(text), "%03X#0100%04X", 0x351 + 2 * (module - 1), mV);
	TOLD(dev, text);
}

static struct device battery(void)
{
	return fresh_device("ubms-can", 0, 0);
}

/* modules in series; strings 0: not told */
static struct device battery_of(unsigned series, unsigned strings)
{
	struct device dev = battery();

	dev.options.modules_in_series = (uint8_t)series;
	dev.options.strings = (uint8_t)strings;
	return dev;
}

static double get(const struct device *dev, enum quantity q)
{
	return reading_get(&dev->reading, q);
}

static double detail(const struct device *dev, const char *name)
{
	return reading_detail(&dev->reading, name);
}

static double cell(const struct device *dev, unsigned i)
{
	return series_knows(&dev->reading.cell_V, i) ? dev->reading.cell_V.value[i] : NAN;
}

#define IS(a, b)    assert_true(fabs((a) - (b)) < NEAR)
#define UNKNOWN_(a) assert_true(isnan(a))

/* ---- which frames are its own ---- */

static void frames_are_known_by_their_identifiers(void **unused)
{
	static const struct {
		const char *text;
		enum code code;
		unsigned arg;
	} cases[] = {
		{"180#9C0A260122434F33", VERSION, 0},
		{"184#0101436572697A61", NAME, 0},
		{IN_DRIVE, STATE, 0},
		{MINUS_40_A, CURRENT, 0},
		{"0C2#0520010400", CHARGE, 0},
		{EXTREME_MV, EXTREMES, 0},
		{MODULE_1A, CELLS, 0},
		{MODULE_1B, CELLS, 0},
		{"366#01000CF40CF80CFA", CELLS, 11},
		{"367#01000CF4", CELLS, 11},
		{"46D#01000001", CURRENTS, 3},
		{"76C#01000001", TEMPERATURES, 2},
		{"67B#01000001", BOARDS, 1},
		{"06B#0191", SOCS, 1},
		{"26B#013F", BALANCE, 1},
		{"440#00020000", MASTER, 0},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct request as;

		assert_int_equal(heard(cases[i].text, &as), HEARD_ANSWER);
		assert_int_equal(as.code, cases[i].code);
		assert_int_equal(as.arg, cases[i].arg);
		assert_true(can_ids_have(ubms()->hears, u32be_at(frame(cases[i].text), 0)));
	}
}

static void what_others_send_under_its_numbers_is_not_its_own(void **unused)
{
	static const char *const texts[] = {
		"000000C0#350A000000080000",
		"000000C4#3B39403BFB0CF40C",
		"00000350#01000CF40CF80CFA", /* 29 bits */
		"0C0#R",
		"0C0#350A0000000800",
		"0C4#3B39403BFB0CF4", /* asked for; too short */
		"180#9C0A260122434F34",
		"180#9C0A26012243", /* not CO3 */
		"351#1402E402E402BD01",
		"351#0100E402",
		"355#0100640000000000",
		"355#01006400", /* of other batteries */
		"350#00000CF40CF80CFA",
		"350#01010CF40CF80CFA",
		"350#01000CF40CF8",
		"351#01000C",
		"351#01000CF40C",
		"46A#02000001",
		"06A#0091",
		"26A#003F",
		"46E#01000001",
		"305#0000000000000000",
		"35E#50594C4F4E202020",
		"368#01000CF40CF80CFA",
		"16A#0100000000000000",
		"188#0101FFFF7EFE070D",
	};
	struct request as;

	(void)unused;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(heard(texts[i], &as), HEARD_NOTHING);
	assert_false(can_ids_have(ubms()->hears, CAN_EXTENDED | 0x0c0));
	assert_false(can_ids_have(ubms()->hears, CAN_REMOTE | 0x0c0));
}

static void a_frame_is_only_taken_for_what_it_is(void **unused)
{
	struct device dev = battery();
	struct request as;
	const char *why = NULL;

	(void)unused;
	assert_int_equal(heard(IN_DRIVE, &as), HEARD_ANSWER);
	assert_int_equal(ubms()->take(&dev, &as, frame(MINUS_40_A), &why), FRAME_FOREIGN);
	assert_int_equal(ubms()->take(&dev, &as, (struct bytes){NULL, 0}, &why), FRAME_FOREIGN);
	UNKNOWN_(get(&dev, Q_CURRENT_A));
	device_free(&dev);
}

/* ---- the BMS ---- */

static void versions_and_the_modules_name_are_its_identity(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "180#9C0A260122434F33");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "156");
	assert_string_equal(dev.reading.text[T_HARDWARE_VERSION], "34");
	IS(detail(&dev, "customer_revision"), 10);
	IS(detail(&dev, "boot_loader"), 38);
	IS(detail(&dev, "bms_type"), 1);
	TOLD(&dev, "180#090A260105434F33");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "9");
	assert_string_equal(dev.reading.text[T_HARDWARE_VERSION], "5");

	TOLD(&dev, "184#0201414141414141"); /* of the second module */
	assert_string_equal(dev.reading.text[T_MODEL], "");
	TOLD(&dev, "184#0101436572697A61");
	TOLD(&dev, "184#0102795F55323700");
	TOLD(&dev, "184#0103403C0CE40300");
	assert_string_equal(dev.reading.text[T_MODEL], "Cerizay_U27");
	device_free(&dev);
}

static void a_name_that_is_no_text_is_none(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "184#0101FFFFFFFFFFFF");
	TOLD(&dev, "184#0102FFFFFFFFFFFF");
	assert_string_equal(dev.reading.text[T_MODEL], "");
	device_free(&dev);
}

static void the_current_has_16_bits(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "0C1#0D7480A705B60E04");
	IS(get(&dev, Q_CURRENT_A), 116);
	TOLD(&dev, "0C1#0D707EC409B60E04");
	IS(get(&dev, Q_CURRENT_A), -400);
	dev.options.invert_current = true;
	TOLD(&dev, MINUS_40_A);
	IS(get(&dev, Q_CURRENT_A), 40);
	TOLD(&dev, "46A#0100FBF3");
	IS(detail(&dev, "module_1_current_A"), 10.37);
	device_free(&dev);
}

static void each_mode_permits_something_else(void **unused)
{
	static const struct {
		const char *text;
		enum tri charge, discharge;
	} cases[] = {
		{IN_STANDBY, OFF, OFF},
		{IN_CHARGE, ON, OFF},
		{IN_DRIVE, ON, ON},
		{"0C0#350B000000080000", OFF, OFF},
	};
	struct device dev = battery();

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TOLD(&dev, cases[i].text);
		assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), cases[i].charge);
		assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), cases[i].discharge);
		IS(detail(&dev, "mode"), i);
	}
	device_free(&dev);
}

static void state_of_charge_and_counts_come_with_the_state(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "0C0#3D12000200090107");
	IS(get(&dev, Q_SOC_PCT), 61);
	IS(detail(&dev, "modules_communicating"), 9);
	IS(detail(&dev, "modules_balancing"), 1);
	IS(detail(&dev, "internal_errors"), 2);
	IS(detail(&dev, "shutdown_reason"), 7);
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), ON);
	TOLD(&dev, IN_DRIVE);
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), OFF);
	UNKNOWN_(get(&dev, Q_CAPACITY_FULL_AH));
	UNKNOWN_(get(&dev, Q_CAPACITY_REMAINING_AH));
	device_free(&dev);
}

static void the_capacity_is_what_the_configuration_says(void **unused)
{
	struct device dev = battery();

	(void)unused;
	dev.options.battery_capacity_Ah = 520;
	TOLD(&dev, IN_DRIVE);
	IS(get(&dev, Q_CAPACITY_FULL_AH), 520);
	IS(get(&dev, Q_CAPACITY_REMAINING_AH), 275.6);
	device_free(&dev);
}

static void a_state_of_charge_above_100_is_not_believed(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, IN_DRIVE);
	BAD(&dev, "0C0#6508000000080000");
	IS(get(&dev, Q_SOC_PCT), 53);
	IS(detail(&dev, "mode"), DRIVE);
	TOLD(&dev, "0C0#6408000000080000");
	IS(get(&dev, Q_SOC_PCT), 100);
	device_free(&dev);
}

static void extremes_are_those_of_all_modules(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "0C4#3B274006FB0CF40C");
	IS(get(&dev, Q_TEMP_MAX_C), 19);
	IS(get(&dev, Q_TEMP_MIN_C), -1);
	IS(get(&dev, Q_TEMP_MOS_C), -34);
	IS(get(&dev, Q_CELL_MAX_V), 3.323);
	IS(get(&dev, Q_CELL_MIN_V), 3.316);
	BAD(&dev, "0C4#3B394006F30CF40C"); /* the highest below the lowest */
	BAD(&dev, "0C4#3B3940068913F40C"); /* 5.001 V */
	IS(get(&dev, Q_TEMP_MIN_C), -1);
	TOLD(&dev, "0C4#3B394006FB0C0000"); /* a cell that is dead */
	IS(get(&dev, Q_CELL_MIN_V), 0);
	device_free(&dev);
}

static void each_mode_has_its_own_charge_limit(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, MINUS_40_A); /* in which mode is not known yet */
	UNKNOWN_(get(&dev, Q_BMS_CCL_A));
	IS(get(&dev, Q_BMS_DCL_A), 144.7);
	TOLD(&dev, IN_DRIVE);
	TOLD(&dev, "0C1#0E04801105920E00");
	IS(get(&dev, Q_BMS_CCL_A), 14.6);
	IS(get(&dev, Q_BMS_DCL_A), 129.7);
	TOLD(&dev, MINUS_40_A);
	IS(get(&dev, Q_BMS_CCL_A), 120.6);
	TOLD(&dev, "0C2#0520010400"); /* counts in charge mode only */
	IS(get(&dev, Q_BMS_CCL_A), 120.6);
	UNKNOWN_(detail(&dev, "charge_complete"));

	TOLD(&dev, IN_STANDBY);
	UNKNOWN_(get(&dev, Q_BMS_CCL_A));
	TOLD(&dev, MINUS_40_A);
	UNKNOWN_(get(&dev, Q_BMS_CCL_A));

	TOLD(&dev, IN_CHARGE);
	TOLD(&dev, "0C2#0520010400");
	UNKNOWN_(get(&dev, Q_BMS_CCL_A)); /* not equalizing */
	IS(detail(&dev, "charge_complete"), 1);
	IS(detail(&dev, "charge_voltage_raw"), 288);
	TOLD(&dev, "0C0#6319000000080100");
	TOLD(&dev, "0C2#0520010000");
	IS(get(&dev, Q_BMS_CCL_A), 5);
	IS(detail(&dev, "charge_complete"), 0);
	TOLD(&dev, IN_CHARGE);
	TOLD(&dev, "0C2#0520010000");
	UNKNOWN_(get(&dev, Q_BMS_CCL_A));

	TOLD(&dev, IN_DRIVE);
	UNKNOWN_(detail(&dev, "charge_complete"));
	UNKNOWN_(detail(&dev, "charge_voltage_raw"));
	device_free(&dev);
}

/* ---- alarms ---- */

static void every_alarm_bit_raises_what_it_means(void **unused)
{
	static const struct {
		uint8_t byte, bits;
		enum alarm alarm;
		enum alarm_level level;
	} cases[] = {
		{2, 0x01, ALARM_INTERNAL_FAILURE, ALARM_RAISED},
		{2, 0x02, ALARM_HIGH_TEMPERATURE, ALARM_WARNING},
		{2, 0x04, ALARM_HIGH_TEMPERATURE, ALARM_RAISED},
		{2, 0x06, ALARM_HIGH_TEMPERATURE, ALARM_RAISED},
		{2, 0x08, ALARM_LOW_SOC, ALARM_WARNING},
		{2, 0x10, ALARM_LOW_CELL_VOLTAGE, ALARM_RAISED},
		{2, 0x20, ALARM_HIGH_CELL_VOLTAGE, ALARM_RAISED},
		{3, 0x01, ALARM_INTERNAL_FAILURE, ALARM_RAISED},
		{3, 0x02, ALARM_INTERNAL_FAILURE, ALARM_RAISED},
		{3, 0x04, ALARM_INTERNAL_FAILURE, ALARM_RAISED},
		{3, 0x08, ALARM_INTERNAL_FAILURE, ALARM_RAISED},
		{3, 0x10, ALARM_INTERNAL_FAILURE, ALARM_RAISED},
		{3, 0x20, ALARM_INTERNAL_FAILURE, ALARM_RAISED},
		{3, 0x40, ALARM_INTERNAL_FAILURE, ALARM_RAISED},
		{3, 0x80, ALARM_INTERNAL_FAILURE, ALARM_RAISED},
		{4, 0x01, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_WARNING},
		{4, 0x02, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_RAISED},
		{4, 0x03, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_RAISED},
		{4, 0x08, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_WARNING},
		{4, 0x10, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_RAISED},
		{4, 0x18, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_RAISED},
		{1, 0x20, ALARM_LOW_TEMPERATURE, ALARM_WARNING},
		{1, 0x40, ALARM_LOW_TEMPERATURE, ALARM_RAISED},
		{1, 0x60, ALARM_LOW_TEMPERATURE, ALARM_RAISED},
	};
	struct device dev = battery();

	(void)unused;
	assert_false(dev.reading.alarms.known);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t data[8] = {53, DRIVE, 0, 0, 0, 8, 0, 0};
		char text[CAN_TEXT_SIZE];
		struct can_message m = {.id = 0x0c0, .n = 8};

		data[cases[i].byte] |= cases[i].bits;
		memcpy(m.data, data, 8);
		can_text(&m, text);
		TOLD(&dev, text);
		assert_int_equal(dev.reading.alarms.level[cases[i].alarm], cases[i].level);
		assert_int_equal(alarms_raised(&dev.reading.alarms), 1);
		assert_true(ubms()->alarms >> cases[i].alarm & 1);
	}
	TOLD(&dev, IN_DRIVE);
	assert_true(dev.reading.alarms.known);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	device_free(&dev);
}

/* ---- modules ---- */

static void a_modules_cells_come_in_two_frames_and_count_together(void **unused)
{
	struct device dev = battery();

	(void)unused;
	IGNORED(&dev, "353#01000CF4"); /* its first half was not heard */
	UNKNOWN_(cell(&dev, 7));
	PART(&dev, "352#01000CF80CF60CF5");
	UNKNOWN_(cell(&dev, 4));
	TOLD(&dev, "353#01000CF4");
	IS(cell(&dev, 4), 3.320);
	IS(cell(&dev, 5), 3.318);
	IS(cell(&dev, 6), 3.317);
	IS(cell(&dev, 7), 3.316);
	UNKNOWN_(cell(&dev, 0));

	PART(&dev, "352#01000CE40CE40CE4"); /* a second half is lost */
	PART(&dev, "352#01000CE50CE50CE5");
	IS(cell(&dev, 4), 3.320);
	TOLD(&dev, "353#01000CE5");
	IS(cell(&dev, 4), 3.301);
	IGNORED(&dev, "353#01000CE6"); /* again, without a first half */
	IS(cell(&dev, 7), 3.301);
	assert_int_equal(dev.reading.cell_V.count, 8);
	device_free(&dev);
}

static void modules_of_six_cells_are_laid_out_so(void **unused)
{
	struct device dev = battery_of(1, 0);

	(void)unused;
	tell_module(&dev, 1, 3300);
	PART(&dev, "350#01000CE40CE50CE6");
	TOLD(&dev, "351#01000CE70CE80CE9");
	PART(&dev, "352#01000CE50CE60CE7");
	TOLD(&dev, "353#01000CE80CE90CEA");
	assert_int_equal(dev.reading.cell_V.count, 12);
	IS(cell(&dev, 5), 3.305);
	IS(cell(&dev, 6), 3.301);
	IS(cell(&dev, 11), 3.306);
	IS(get(&dev, Q_CELL_COUNT), 6);
	IS(get(&dev, Q_VOLTAGE_V), 19.815);
	TOLD(&dev, "26A#011F3E");
	assert_true(dev.reading.balancing == (UINT64_C(1) << 5 | UINT64_C(1) << 6));
	for (unsigned m = 3; m <= 12; m++) { /* more than a reading holds */
		char text[CAN_TEXT_SIZE];

		snprintf(text, sizeof(text), "%03X#01000CE50CE60CE7", 0x350 + 2 * (m - 1));
		PART(&dev, text);
		snprintf(text, sizeof(text), "%03X#01000CE80CE90CEA", 0x351 + 2 * (m - 1));
		TOLD(&dev, text);
	}
	TOLD(&dev, "26B#010000000000");
	assert_int_equal(dev.reading.cell_V.count, MAX_CELLS);
	assert_true(dev.reading.balancing >> 42 == 0x3f);
	device_free(&dev);
}

static void the_voltage_is_that_of_a_string(void **unused)
{
	struct device dev = battery_of(2, 0);

	(void)unused;
	tell_module(&dev, 1, 3300);
	UNKNOWN_(get(&dev, Q_VOLTAGE_V));
	IS(get(&dev, Q_CELL_COUNT), 8);
	tell_module(&dev, 2, 3310);
	IS(get(&dev, Q_VOLTAGE_V), 26.44);
	tell_module(&dev, 3, 3301);
	tell_module(&dev, 4, 3311);
	IS(get(&dev, Q_VOLTAGE_V), 26.44);
	ubms()->forget(&dev, CELLS, 0); /* the other string has the same voltage */
	UNKNOWN_(cell(&dev, 0));
	IS(cell(&dev, 4), 3.31);
	IS(get(&dev, Q_VOLTAGE_V), 26.448);
	ubms()->forget(&dev, CELLS, 3);
	UNKNOWN_(get(&dev, Q_VOLTAGE_V));
	device_free(&dev);
}

static void without_the_number_in_series_there_is_no_voltage(void **unused)
{
	struct device dev = battery();

	(void)unused;
	tell_module(&dev, 1, 3300);
	tell_module(&dev, 2, 3300);
	TOLD(&dev, "0C0#350A000000020000");
	UNKNOWN_(get(&dev, Q_VOLTAGE_V));
	UNKNOWN_(get(&dev, Q_CELL_COUNT));
	IS(cell(&dev, 7), 3.3);
	assert_int_equal(dev.reading.alarms.own_count, 0);
	device_free(&dev);
}

static void told_of(struct device *dev, unsigned modules)
{
	char text[CAN_TEXT_SIZE];

	snprintf(text, sizeof(text), "0C0#350A000000%02X0000", modules & 0xff);
	TOLD(dev, text);
}

/* Limits are made of these: a wrong number in series would be a wrong charge voltage. */
static void modules_that_contradict_the_configuration_make_no_cells(void **unused)
{
	static const struct {
		unsigned series, strings, modules;
		bool right;
	} cases[] = {
		{4, 2, 8, true},  {4, 2, 4, false}, {2, 4, 8, true}, {4, 0, 8, true},
		{4, 0, 6, false}, {3, 2, 8, false}, {1, 1, 1, true}, {2, 2, 5, false},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct device dev = battery_of(cases[i].series, cases[i].strings);

		for (unsigned m = 1; m <= cases[i].modules; m++)
			tell_module(&dev, m, 3300);
		IS(get(&dev, Q_VOLTAGE_V), cases[i].series * 13.2);
		told_of(&dev, cases[i].modules);
		assert_int_equal(reading_knows(&dev.reading, Q_VOLTAGE_V), cases[i].right);
		assert_int_equal(reading_knows(&dev.reading, Q_CELL_COUNT), cases[i].right);
		assert_int_equal(dev.reading.cell_V.reported, cases[i].right);
		assert_int_equal(dev.reading.alarms.own_count, !cases[i].right);
		tell_module(&dev, 1, 3300);
		assert_int_equal(dev.reading.cell_V.reported, cases[i].right);
		told_of(&dev, cases[i].series * (cases[i].strings ? cases[i].strings : 1));
		assert_true(dev.reading.cell_V.reported);
		assert_int_equal(dev.reading.alarms.own_count, 0);
		device_free(&dev);
	}
}

static void modules_that_are_missing_contradict_nothing(void **unused)
{
	struct device dev = battery_of(2, 2);

	(void)unused;
	tell_module(&dev, 1, 3300);
	tell_module(&dev, 2, 3300);
	TOLD(&dev, "0C0#350A010000030000");
	IS(get(&dev, Q_VOLTAGE_V), 26.4);
	assert_int_equal(dev.reading.alarms.own_count, 0);
	TOLD(&dev, "0C0#350A000200050000"); /* too many */
	IS(get(&dev, Q_VOLTAGE_V), 26.4);
	device_free(&dev);
}

/* Two in series, two strings: -40 A are -20 A in each of four modules. */
static void tell_currents(struct device *dev, const char *pack)
{
	told_of(dev, 4);
	TOLD(dev, pack);
	TOLD(dev, "46A#0100F830F830F830");
	TOLD(dev, "46B#0100F830");
}

static void currents_tell_that_another_number_is_in_series(void **unused)
{
	struct device dev = battery_of(4, 1);

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		tell_currents(&dev, MINUS_40_A);
		assert_int_equal(dev.reading.alarms.own_count, 0);
	}
	told_of(&dev, 4);
	assert_int_equal(dev.reading.alarms.own_count, 1);
	assert_string_equal(dev.reading.alarms.own[0].name, "module_configuration");
	assert_int_equal(dev.reading.alarms.own[0].level, ALARM_WARNING);
	tell_currents(&dev, "0C1#0DEC7FA705B60E04"); /* -20 A: four of them are in series */
	told_of(&dev, 4);
	assert_int_equal(dev.reading.alarms.own_count, 0);
	device_free(&dev);
}

static void small_currents_tell_nothing(void **unused)
{
	struct device dev = battery_of(4, 1);

	(void)unused;
	for (unsigned i = 0; i < 6; i++) { /* -19 A, -9.5 A in each: two in series, if they were exact */
		told_of(&dev, 4);
		TOLD(&dev, "0C1#0DED7FA705B60E04");
		TOLD(&dev, "46A#0100FC4AFC4AFC4A");
		TOLD(&dev, "46B#0100FC4A");
	}
	told_of(&dev, 4);
	assert_int_equal(dev.reading.alarms.own_count, 0);
	device_free(&dev);
}

static void changing_currents_tell_nothing(void **unused)
{
	struct device dev = battery_of(4, 1);

	(void)unused;
	for (unsigned i = 0; i < 6; i++) {
		tell_currents(&dev, MINUS_40_A);
		tell_currents(&dev, "0C1#0DE37FA705B60E04"); /* -29 A: 2.76 in series can't be */
		tell_currents(&dev, "0C1#0D28803C05B60E04"); /* nor -2 */
	}
	told_of(&dev, 4);
	assert_int_equal(dev.reading.alarms.own_count, 0);
	device_free(&dev);
}

static void modules_tell_current_temperatures_and_charge(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "46A#01000B6D0B410C84");
	TOLD(&dev, "46C#0100FCAEFB81");
	IS(detail(&dev, "module_1_current_A"), 29.25);
	IS(detail(&dev, "module_2_current_A"), 28.81);
	IS(detail(&dev, "module_3_current_A"), 32.04);
	UNKNOWN_(detail(&dev, "module_4_current_A"));
	IS(detail(&dev, "module_8_current_A"), -11.51);
	UNKNOWN_(detail(&dev, "module_9_current_A"));

	TOLD(&dev, "76B#01000771071DFF9C");
	IS(dev.reading.temperatures.value[3], 19.05);
	IS(dev.reading.temperatures.value[5], -1);
	assert_false(series_knows(&dev.reading.temperatures, 0));
	TOLD(&dev, "67C#0100071D0775");
	IS(detail(&dev, "module_8_pcb_C"), 19.09);
	UNKNOWN_(detail(&dev, "module_9_pcb_C"));

	TOLD(&dev, "06A#0188898B8D868E8F");
	TOLD(&dev, "06B#01FF800000000000");
	IS(detail(&dev, "module_1_soc_pct"), 53.125);
	IS(detail(&dev, "module_8_soc_pct"), 99.609375);
	IS(detail(&dev, "module_9_soc_pct"), 50);
	IS(detail(&dev, "module_12_soc_pct"), 0);
	device_free(&dev);
}

static void balancing_cells_of_all_modules_are_told(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "26A#013F3F3F3F3F3F3E");
	assert_true(dev.reading.balancing_known);
	assert_true(dev.reading.balancing == UINT64_C(1) << 24);
	TOLD(&dev, "26B#0137");
	assert_true(dev.reading.balancing == (UINT64_C(1) << 24 | UINT64_C(1) << 31));
	TOLD(&dev, "26A#013F3F3F3F3F3F3F");
	assert_true(dev.reading.balancing == UINT64_C(1) << 31);
	device_free(&dev);
}

static void twelve_modules_fill_a_reading(void **unused)
{
	struct device dev = battery_of(4, 3);

	(void)unused;
	for (unsigned m = 1; m <= 12; m++)
		tell_module(&dev, m, 3300);
	told_of(&dev, 12);
	TOLD(&dev, "180#9C0A260122434F33");
	TOLD(&dev, "440#00020000");
	TOLD(&dev, "0C0#350900000C0C0000");
	TOLD(&dev, "0C2#0520010400");
	for (unsigned i = 0; i < 4; i++) {
		static const unsigned ids[] = {0x46a, 0x67a, 0x76a};
		char text[CAN_TEXT_SIZE];

		for (unsigned k = 0; k < 3; k++) {
			snprintf(text, sizeof(text), "%03X#0100000100010001", ids[k] + i);
			TOLD(&dev, text);
		}
	}
	TOLD(&dev, "06A#0180808080808080");
	TOLD(&dev, "06B#018080808080");
	assert_int_equal(dev.reading.cell_V.count, 48);
	assert_int_equal(dev.reading.temperatures.count, 12);
	IS(detail(&dev, "module_12_current_A"), 0.01);
	IS(detail(&dev, "module_12_pcb_C"), 0.01);
	IS(detail(&dev, "module_12_soc_pct"), 50);
	IS(detail(&dev, "charge_complete"), 1);
	IS(detail(&dev, "master_mode"), DRIVE);
	device_free(&dev);
}

/* ---- what is not repeated ---- */

static void what_is_not_repeated_is_unknown_again(void **unused)
{
	struct device dev = battery_of(1, 0);

	(void)unused;
	tell_module(&dev, 1, 3300);
	tell_module(&dev, 2, 3300);
	TOLD(&dev, "46A#0100000100010001");
	TOLD(&dev, "46B#0100000100010001");
	TOLD(&dev, "67A#0100000100010001");
	TOLD(&dev, "67B#0100000100010001");
	TOLD(&dev, "76A#0100000100010001");
	TOLD(&dev, "76B#0100000100010001");
	TOLD(&dev, "06A#0180808080808080");
	TOLD(&dev, "06B#0180");
	TOLD(&dev, "26A#01003F3F3F3F3F3F");
	TOLD(&dev, "0C0#6319000000080100");
	TOLD(&dev, "0C2#0520010400");

	ubms()->forget(&dev, CELLS, 1);
	assert_int_equal(dev.reading.cell_V.count, 4);
	ubms()->forget(&dev, CURRENTS, 1);
	UNKNOWN_(detail(&dev, "module_4_current_A"));
	IS(detail(&dev, "module_3_current_A"), 0.01);
	ubms()->forget(&dev, BOARDS, 0);
	UNKNOWN_(detail(&dev, "module_3_pcb_C"));
	IS(detail(&dev, "module_4_pcb_C"), 0.01);
	ubms()->forget(&dev, TEMPERATURES, 0);
	assert_false(series_knows(&dev.reading.temperatures, 2));
	assert_true(series_knows(&dev.reading.temperatures, 3));
	ubms()->forget(&dev, TEMPERATURES, 1);
	assert_false(dev.reading.temperatures.reported);
	ubms()->forget(&dev, SOCS, 0);
	UNKNOWN_(detail(&dev, "module_7_soc_pct"));
	IS(detail(&dev, "module_8_soc_pct"), 50);
	ubms()->forget(&dev, BALANCE, 0);
	assert_false(dev.reading.balancing_known);
	assert_true(dev.reading.balancing == 0);
	ubms()->forget(&dev, CHARGE, 0);
	UNKNOWN_(detail(&dev, "charge_complete"));
	UNKNOWN_(get(&dev, Q_BMS_CCL_A));
	ubms()->forget(&dev, CELLS, 0);
	assert_false(dev.reading.cell_V.reported);
	IGNORED(&dev, MODULE_1B); /* nor is a half kept */
	device_free(&dev);
}

/* ---- what is believed to be one ---- */

static bool plausible(const struct device *dev)
{
	const char *why = NULL;
	bool yes = ubms()->plausible(dev, &why);

	assert_int_equal(yes, why == NULL);
	return yes;
}

static void it_is_believed_when_it_has_told_twice_what_fits_together(void **unused)
{
	struct device dev = battery();

	(void)unused;
	assert_false(plausible(&dev));
	TOLD(&dev, IN_DRIVE);
	TOLD(&dev, EXTREME_MV);
	PART(&dev, MODULE_1A);
	TOLD(&dev, MODULE_1B);
	assert_false(plausible(&dev));
	TOLD(&dev, IN_DRIVE);
	assert_false(plausible(&dev));
	TOLD(&dev, EXTREME_MV);
	assert_true(plausible(&dev));
	BAD(&dev, "0C0#FF0A000000080000"); /* not everything under this number is its */
	assert_false(plausible(&dev));
	device_free(&dev);
}

static void what_does_not_fit_together_is_not_believed(void **unused)
{
	static const struct {
		const char *state, *extremes, *first, *second;
	} cases[] = {
		{"0C0#350B000000080000", EXTREME_MV, MODULE_1A, MODULE_1B},	/* no such mode */
		{"0C0#350A000000410000", EXTREME_MV, MODULE_1A, MODULE_1B},	/* 65 modules */
		{"0C0#350A000000080900", EXTREME_MV, MODULE_1A, MODULE_1B},	/* more balance than there are */
		{IN_DRIVE, "0C4#3B39403B9511F40C", MODULE_1A, MODULE_1B},	/* 4.501 V */
		{IN_DRIVE, "0C4#3B39403BFB0CDB05", MODULE_1A, MODULE_1B},	/* 1.499 V */
		{IN_DRIVE, EXTREME_MV, "350#01000CF40CF80D2E", MODULE_1B},	/* 51 mV above the highest */
		{IN_DRIVE, EXTREME_MV, MODULE_1A, "351#01000CC1"},		/* 51 mV below the lowest */
		{IN_DRIVE, EXTREME_MV, "352#01000CF40CF80CFA", "353#01000CF6"}, /* not the first module */
		{IN_DRIVE, EXTREME_MV, MODULE_1A, MODULE_1A},			/* half a module */
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct device dev = battery();

		for (unsigned k = 0; k < 3; k++) {
			told(&dev, cases[i].state);
			told(&dev, cases[i].extremes);
			told(&dev, cases[i].first);
			told(&dev, cases[i].second);
		}
		assert_false(plausible(&dev));
		device_free(&dev);
	}
}

/* What detection makes of a frame. */
static bool found(struct listen *l, const char *text, uint64_t now_ms)
{
	struct device dev;
	struct request as;

	if (heard(text, &as) != HEARD_ANSWER || !listen_hears(l, &as, frame(text), now_ms, &dev))
		return false;
	device_free(&dev);
	return true;
}

static void detection_finds_it_in_its_second_round(void **unused)
{
	static const char *const round[] = {MODULE_1A, MODULE_1B, EXTREME_MV, MINUS_40_A, IN_DRIVE};
	struct listen l;
	unsigned n = 0;
	bool yes = false;

	(void)unused;
	listen_init(&l, ubms(), NULL);
	for (uint64_t now = 0; !yes && now < ubms()->timing.listen_ms; now += 570)
		for (unsigned i = 0; !yes && i < 5; i++, n++)
			yes = found(&l, round[i], now);
	assert_true(yes);
	assert_int_equal(n, 10);
	listen_free(&l);
}

static void a_battery_that_speaks_to_an_inverter_is_not_found(void **unused)
{
	static const char *const round[] = {
		"351#1402E402E402BD01", "355#01006400",		"356#C414B0FFDC00",
		"359#00000000000050",	"35A#0000000000000000", "35C#C000",
		"35E#50594C4F4E202020", "305#0000000000000000", "0C0#350A",
		"180#9C0A260122434F34",
	};
	struct listen l;

	(void)unused;
	listen_init(&l, ubms(), NULL);
	for (uint64_t now = 0; now < 60000; now += 1000)
		for (unsigned i = 0; i < sizeof(round) / sizeof(round[0]); i++)
			assert_false(found(&l, round[i], now));
	listen_free(&l);
}

/* Of its own numbers, and whole: more like it than what hangs on a bus. */
static void random_data_is_not_found(void **unused)
{
	static const uint16_t ids[] = {0x0c0, 0x0c1, 0x0c2, 0x0c4, 0x180, 0x350, 0x351, 0x352, 0x353, 0x46a, 0x06a};
	uint32_t random = 1;
	struct listen l;

	(void)unused;
	listen_init(&l, ubms(), NULL);
	for (unsigned i = 0; i < 300000; i++) {
		struct can_message m = {.id = ids[i % 11], .n = 8};
		char text[CAN_TEXT_SIZE];

		for (unsigned k = 0; k < 8; k++) {
			random = random * 1664525 + 1013904223;
			m.data[k] = (uint8_t)(random >> 24);
		}
		if (m.id >= 0x350 && m.id < 0x360)
			memcpy(m.data, "\1", 2);
		can_text(&m, text);
		assert_false(found(&l, text, i / 4));
	}
	listen_free(&l);
}

/* ---- the master ---- */

static struct device mastered(const char *state)
{
	struct device dev = battery();

	dev.options.master = true;
	TOLD(&dev, state);
	return dev;
}

static const char *keep_alive(struct device *dev)
{
	static char text[CAN_TEXT_SIZE];
	struct request request;
	struct can_message m;

	if (!ubms()->encode(dev, ubms()->keep_alive, 0, &request))
		return "nothing";
	assert_true(request.writes);
	assert_true(request.no_reply);
	assert_true(can_read((struct bytes){request.tx, request.n}, &m));
	can_text(&m, text);
	return text;
}

static void who_only_looks_sends_nothing(void **unused)
{
	struct device dev = battery();
	struct request request;

	(void)unused;
	TOLD(&dev, IN_STANDBY);
	assert_string_equal(keep_alive(&dev), "nothing");
	dev.options.master = true;
	for (unsigned r = 0; r < ubms()->poll_count; r++)
		assert_false(ubms()->encode(&dev, ubms()->polls[r].code, ubms()->polls[r].arg, &request));
	assert_int_equal(ubms()->probe_count, 0);
	assert_int_equal(ubms()->confirm_count, 0);
	device_free(&dev);
}

/* After 10 s. */
static void settle(struct device *dev, const char *state)
{
	for (unsigned i = 0; i < 17; i++)
		TOLD(dev, state);
}

static void the_contactor_is_closed_late_enough_for_a_command_to_come_first(void **unused)
{
	struct device dev = mastered(IN_STANDBY);

	(void)unused;
	for (unsigned i = 0; i < 17; i++) {
		assert_string_equal(keep_alive(&dev), "nothing");
		TOLD(&dev, IN_STANDBY);
	}
	assert_string_equal(keep_alive(&dev), "440#00020000");
	device_free(&dev);
}

static void what_is_in_drive_is_kept_there_at_once(void **unused)
{
	struct device dev = mastered(IN_DRIVE);

	(void)unused;
	assert_string_equal(keep_alive(&dev), "440#00020000");
	device_free(&dev);
}

static void the_master_keeps_it_in_drive(void **unused)
{
	struct device dev = mastered(IN_STANDBY);

	(void)unused;
	settle(&dev, IN_STANDBY);
	assert_int_equal(ubms()->keep_alive_ms, 1000);
	assert_string_equal(keep_alive(&dev), "440#00020000");
	TOLD(&dev, IN_DRIVE);
	assert_string_equal(keep_alive(&dev), "440#00020000");
	TOLD(&dev, IN_STANDBY); /* by itself */
	assert_string_equal(keep_alive(&dev), "440#00020000");
	device_free(&dev);
}

static void between_charge_and_drive_it_stands_by(void **unused)
{
	struct device dev = mastered(IN_CHARGE);

	(void)unused;
	settle(&dev, IN_CHARGE);
	assert_string_equal(keep_alive(&dev), "440#00000000");
	TOLD(&dev, IN_STANDBY);
	assert_string_equal(keep_alive(&dev), "440#00020000");
	device_free(&dev);
}

static void where_another_master_speaks_this_one_is_silent_until_that_one_is_gone(void **unused)
{
	struct device dev = mastered(IN_DRIVE);

	(void)unused;
	TOLD(&dev, "440#00010000");
	assert_string_equal(keep_alive(&dev), "nothing");
	IS(detail(&dev, "master_mode"), CHARGING);
	for (unsigned i = 0; i < 35; i++) { /* 20 s */
		TOLD(&dev, IN_DRIVE);
		assert_string_equal(keep_alive(&dev), "nothing");
		assert_string_equal(dev.reading.alarms.own[0].name, "other_master");
	}
	TOLD(&dev, IN_DRIVE);
	assert_string_equal(keep_alive(&dev), "440#00020000");
	UNKNOWN_(detail(&dev, "master_mode"));
	assert_int_equal(dev.reading.alarms.own_count, 0);
	device_free(&dev);
}

static void another_master_is_no_alarm_to_who_only_looks(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "440#00020000");
	TOLD(&dev, IN_DRIVE);
	assert_int_equal(dev.reading.alarms.own_count, 0);
	device_free(&dev);
}

static void a_recorded_keep_alive_is_recognised(void **unused)
{
	struct request request;

	(void)unused;
	assert_true(ubms()->parse_request(frame("440#00020000"), &request));
	assert_int_equal(request.code, MASTER);
	assert_int_equal(request.arg, DRIVE + 1);
	assert_true(request.no_reply);
	assert_true(request.writes);
	assert_false(ubms()->parse_request(frame("440#00030000"), &request));
	assert_false(ubms()->parse_request(frame("440#00"), &request));
	assert_false(ubms()->parse_request(frame("00000440#00020000"), &request));
	assert_false(ubms()->parse_request(frame("441#00020000"), &request));
}

/* ---- commands ---- */

/* A U-BMS that follows as it is told to. */
struct board {
	struct device *dev;
	const char *standby, *drive; /* what it says when told so; NULL: nothing */
};

static size_t board_hears(void *ctx, struct bytes request, uint8_t *rx)
{
	const struct board *b = ctx;
	const char *says = u8_at(can_data(request), 1) == DRIVE ? b->drive : b->standby;

	(void)rx;
	if (says)
		TOLD(b->dev, says);
	return 0;
}

static struct act give(struct device *dev, enum command_kind kind, bool on, const char *standby, const char *drive)
{
	struct command command = {.kind = kind, .value = on};
	struct board b = {dev, standby, drive};

	return act(dev, &command, board_hears, &b);
}

#define OUTCOME(a, result_, say_)                                                                                      \
	do {                                                                                                           \
		assert_int_equal((a).outcome.result, result_);                                                         \
		assert_non_null(strstr((a).outcome.say, say_));                                                        \
	} while (0)

#define STAND_BY_HEX                                                                                                   \
	"000004400400000000"                                                                                           \
	"00000000"
#define DRIVE_HEX                                                                                                      \
	"000004400400020000"                                                                                           \
	"00000000"

static void off_is_standby_and_the_keep_alive_goes_on_with_it(void **unused)
{
	static const enum command_kind kinds[] = {COMMAND_CHARGE, COMMAND_DISCHARGE};

	(void)unused;
	for (unsigned i = 0; i < 2; i++) {
		struct device dev = mastered(IN_DRIVE);
		struct act a = give(&dev, kinds[i], false, IN_STANDBY, IN_DRIVE);

		OUTCOME(a, COMMAND_DONE, "standby");
		assert_string_equal(a.writes, STAND_BY_HEX);
		assert_true(a.waited_ms <= 3000);
		assert_string_equal(keep_alive(&dev), "440#00000000");
		a = give(&dev, kinds[i], true, IN_STANDBY, IN_DRIVE);
		OUTCOME(a, COMMAND_DONE, "drive");
		assert_string_equal(a.writes, DRIVE_HEX);
		assert_string_equal(keep_alive(&dev), "440#00020000");
		device_free(&dev);
	}
}

static void off_in_standby_never_closes_the_contactor(void **unused)
{
	struct device dev = mastered(IN_STANDBY);
	struct act a;

	(void)unused;
	assert_string_equal(keep_alive(&dev), "nothing");
	a = give(&dev, COMMAND_DISCHARGE, false, IN_STANDBY, IN_DRIVE);
	OUTCOME(a, COMMAND_DONE, "standby");
	settle(&dev, IN_STANDBY);
	assert_string_equal(keep_alive(&dev), "440#00000000");
	device_free(&dev);
}

static void what_does_not_follow_is_not_confirmed(void **unused)
{
	struct device dev = mastered(IN_DRIVE);
	struct act a = give(&dev, COMMAND_CHARGE, false, IN_DRIVE, IN_DRIVE);

	(void)unused;
	OUTCOME(a, COMMAND_UNCONFIRMED, "not in standby mode after 3 s");
	assert_int_equal(a.waited_ms, 3000);
	assert_string_equal(keep_alive(&dev), "440#00000000"); /* it is still wanted */
	device_free(&dev);
}

static void what_was_said_before_confirms_nothing(void **unused)
{
	struct device dev = mastered(IN_DRIVE);
	struct act a = give(&dev, COMMAND_DISCHARGE, true, NULL, NULL);

	(void)unused;
	OUTCOME(a, COMMAND_UNCONFIRMED, "not in drive mode");
	device_free(&dev);
}

static void on_leads_from_charge_to_drive_through_standby(void **unused)
{
	struct device dev = mastered(IN_CHARGE);
	struct act a = give(&dev, COMMAND_DISCHARGE, true, IN_STANDBY, IN_DRIVE);

	(void)unused;
	OUTCOME(a, COMMAND_DONE, "drive");
	assert_string_equal(a.writes, STAND_BY_HEX " " DRIVE_HEX);
	device_free(&dev);
}

static void what_stays_in_charge_mode_is_not_told_to_drive(void **unused)
{
	struct device dev = mastered(IN_CHARGE);
	struct act a = give(&dev, COMMAND_DISCHARGE, true, IN_CHARGE, IN_DRIVE);

	(void)unused;
	OUTCOME(a, COMMAND_UNCONFIRMED, "does not leave charge mode");
	assert_string_equal(a.writes, STAND_BY_HEX);
	device_free(&dev);
}

static void who_is_not_the_master_gives_no_commands(void **unused)
{
	struct device dev = battery();
	struct act a;

	(void)unused;
	TOLD(&dev, IN_DRIVE);
	a = give(&dev, COMMAND_CHARGE, false, IN_STANDBY, IN_DRIVE);
	OUTCOME(a, COMMAND_REFUSED, "UBMS_CAN_MASTER");
	assert_int_equal(a.requests, 0);
	dev.options.master = true;
	TOLD(&dev, "440#00020000");
	a = give(&dev, COMMAND_CHARGE, false, IN_STANDBY, IN_DRIVE);
	OUTCOME(a, COMMAND_REFUSED, "another master");
	assert_int_equal(a.requests, 0);
	device_free(&dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_known_by_their_identifiers),
		cmocka_unit_test(what_others_send_under_its_numbers_is_not_its_own),
		cmocka_unit_test(a_frame_is_only_taken_for_what_it_is),
		cmocka_unit_test(versions_and_the_modules_name_are_its_identity),
		cmocka_unit_test(a_name_that_is_no_text_is_none),
		cmocka_unit_test(the_current_has_16_bits),
		cmocka_unit_test(each_mode_permits_something_else),
		cmocka_unit_test(state_of_charge_and_counts_come_with_the_state),
		cmocka_unit_test(the_capacity_is_what_the_configuration_says),
		cmocka_unit_test(a_state_of_charge_above_100_is_not_believed),
		cmocka_unit_test(extremes_are_those_of_all_modules),
		cmocka_unit_test(each_mode_has_its_own_charge_limit),
		cmocka_unit_test(every_alarm_bit_raises_what_it_means),
		cmocka_unit_test(a_modules_cells_come_in_two_frames_and_count_together),
		cmocka_unit_test(modules_of_six_cells_are_laid_out_so),
		cmocka_unit_test(the_voltage_is_that_of_a_string),
		cmocka_unit_test(without_the_number_in_series_there_is_no_voltage),
		cmocka_unit_test(modules_that_contradict_the_configuration_make_no_cells),
		cmocka_unit_test(modules_that_are_missing_contradict_nothing),
		cmocka_unit_test(currents_tell_that_another_number_is_in_series),
		cmocka_unit_test(small_currents_tell_nothing),
		cmocka_unit_test(changing_currents_tell_nothing),
		cmocka_unit_test(modules_tell_current_temperatures_and_charge),
		cmocka_unit_test(balancing_cells_of_all_modules_are_told),
		cmocka_unit_test(twelve_modules_fill_a_reading),
		cmocka_unit_test(what_is_not_repeated_is_unknown_again),
		cmocka_unit_test(it_is_believed_when_it_has_told_twice_what_fits_together),
		cmocka_unit_test(what_does_not_fit_together_is_not_believed),
		cmocka_unit_test(detection_finds_it_in_its_second_round),
		cmocka_unit_test(a_battery_that_speaks_to_an_inverter_is_not_found),
		cmocka_unit_test(random_data_is_not_found),
		cmocka_unit_test(who_only_looks_sends_nothing),
		cmocka_unit_test(the_contactor_is_closed_late_enough_for_a_command_to_come_first),
		cmocka_unit_test(what_is_in_drive_is_kept_there_at_once),
		cmocka_unit_test(the_master_keeps_it_in_drive),
		cmocka_unit_test(between_charge_and_drive_it_stands_by),
		cmocka_unit_test(where_another_master_speaks_this_one_is_silent_until_that_one_is_gone),
		cmocka_unit_test(another_master_is_no_alarm_to_who_only_looks),
		cmocka_unit_test(a_recorded_keep_alive_is_recognised),
		cmocka_unit_test(off_is_standby_and_the_keep_alive_goes_on_with_it),
		cmocka_unit_test(off_in_standby_never_closes_the_contactor),
		cmocka_unit_test(what_does_not_follow_is_not_confirmed),
		cmocka_unit_test(what_was_said_before_confirms_nothing),
		cmocka_unit_test(on_leads_from_charge_to_drive_through_standby),
		cmocka_unit_test(what_stays_in_charge_mode_is_not_told_to_drive),
		cmocka_unit_test(who_is_not_the_master_gives_no_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
