/* SPDX-License-Identifier: GPL-3.0-or-later */
/* jk-can on frames constructed from its sheet: what each frame says, who is believed to be a JK board, what becomes of
 * what is not repeated, and commands that only a stream can confirm. */
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
#include "protocols/procedure.h"

enum { V1, V2 };

/* 54.4 V, +25.3 A, 80 %; highest cell 3.415 V (16), lowest 3.400 V (1) */
#define STATUS	 "2F4#20029D1050000000"
#define EXTREMES "4F4#570D10480D010000"

/* ---- frames ---- */

static const struct protocol *jk(void)
{
	return protocol_by_id("jk-can");
}

static struct bytes frame_of(const char *text, uint8_t b[CAN_BYTES])
{
	struct can_message m;

	assert_true(can_parse(text, &m));
	can_write(&m, b);
	return (struct bytes){b, CAN_BYTES};
}

static enum heard overhears(const char *text, struct request *as)
{
	uint8_t b[CAN_BYTES];

	return jk()->overhear(NULL, frame_of(text, b), as);
}

/* As a session takes what a board of this address says. */
static enum verdict take(struct device *dev, const char *text, const char **why)
{
	uint8_t b[CAN_BYTES];
	struct request as;

	*why = NULL;
	assert_int_equal(overhears(text, &as), HEARD_ANSWER);
	return jk()->take(dev, &as, frame_of(text, b), why);
}

static void hear(struct device *dev, const char *text)
{
	const char *why;

	assert_int_equal(take(dev, text, &why), FRAME_ANSWER);
}

static struct device board(void)
{
	return fresh_device("jk-can", 0, V1);
}

static struct device board_that_said(const char *text)
{
	struct device dev = board();

	hear(&dev, text);
	return dev;
}

static void assert_number(const struct device *dev, enum quantity q, double value)
{
	assert_true(reading_knows(&dev->reading, q));
	assert_float_equal(reading_get(&dev->reading, q), value, 1e-6);
}

static void assert_unknown(const struct device *dev, enum quantity q)
{
	assert_false(reading_knows(&dev->reading, q));
}

static void assert_cell(const struct device *dev, unsigned place, double V)
{
	assert_true(series_knows(&dev->reading.cell_V, place));
	assert_float_equal(dev->reading.cell_V.value[place], V, 1e-6);
}

/* ---- whose frame it is ---- */

static const struct {
	const char *name;
	uint16_t code, arg;
	uint32_t id;
	uint8_t dialect, last_address;
} kinds[] = {
	{"status", 0, 0, 0x2f4, V1, 15},
	{"extremes", 1, 0, 0x4f4, V1, 15},
	{"temperatures", 2, 0, 0x5f4, V1, 15},
	{"levels", 3, 0, 0x7f4, V1, 11},
	{"capacity", 4, 0, CAN_EXTENDED | 0x18f128f4, V2, 15},
	{"sensors", 5, 0, CAN_EXTENDED | 0x18f228f4, V2, 15},
	{"faults", 6, 0, CAN_EXTENDED | 0x18f328f4, V2, 15},
	{"runtime", 7, 0, CAN_EXTENDED | 0x18f428f4, V2, 15},
	{"switches", 8, 0, CAN_EXTENDED | 0x18f528f4, V2, 15},
	{"charger", 9, 0, CAN_EXTENDED | 0x1806e5f4, V2, 15},
	{"cells", 10, 0, CAN_EXTENDED | 0x18e028f4, V2, 15},
	{"cells 25", 10, 6, CAN_EXTENDED | 0x18e628f4, V2, 15},
};

static enum heard overhears_id(uint32_t id, struct request *as)
{
	struct can_message m = {.id = id, .n = 8};
	uint8_t b[CAN_BYTES];

	can_write(&m, b);
	return jk()->overhear(NULL, (struct bytes){b, sizeof(b)}, as);
}

static void address_is_added_to_every_identifier(void **unused)
{
	struct request as;

	(void)unused;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		for (uint8_t a = 0; a <= kinds[i].last_address; a++) {
			assert_int_equal(overhears_id(kinds[i].id + a, &as), HEARD_ANSWER);
			assert_int_equal(as.code, kinds[i].code);
			assert_int_equal(as.arg, kinds[i].arg);
			assert_int_equal(as.address, a);
			assert_int_equal(as.dialect, kinds[i].dialect);
			assert_true(can_ids_have(jk()->hears, kinds[i].id + a));
		}
		if (kinds[i].last_address == 15)
			assert_int_equal(overhears_id(kinds[i].id + 16, &as), HEARD_NOTHING);
		assert_int_equal(overhears_id(kinds[i].id - 1, &as), HEARD_NOTHING);
	}
}

static void what_is_no_frame_of_a_board_is_not_heard(void **unused)
{
	static const char *const others[] = {
		"351#0000000000000000",
		"355#6400640000000000",
		"356#0000000000000000",
		"359#0000000000000000",
		"35E#50594C4F4E202020",
		"18900140#0000000000000000",
		"18F0F428#0100000000000000",
		"01F21400#0000000000",
		"000002F4#20029D1050000000",
		"18E728F4#480D490D4A0D4B0D",
		"18F628F4#0000000000000000",
		"2F4#R",
		"4F4#R",
	};
	struct request as;

	(void)unused;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(overhears(others[i], &as), HEARD_NOTHING);
}

static void remote_frames_are_noise(void **unused)
{
	uint8_t b[CAN_BYTES];
	const char *why = NULL;

	(void)unused;
	assert_int_equal(jk()->find_frame(NULL, frame_of("2F4#R", b), true, &why), -CAN_BYTES);
	assert_int_equal(jk()->find_frame(NULL, frame_of(STATUS, b), true, &why), CAN_BYTES);
}

static void frame_of_another_board_is_not_taken(void **unused)
{
	struct device dev = board();
	uint8_t b[CAN_BYTES];
	struct request as;
	const char *why = NULL;

	(void)unused;
	assert_int_equal(overhears(STATUS, &as), HEARD_ANSWER);
	assert_int_equal(jk()->take(&dev, &as, frame_of("2F5#20029D1050000000", b), &why), FRAME_FOREIGN);
	assert_int_equal(jk()->take(&dev, &as, frame_of(EXTREMES, b), &why), FRAME_FOREIGN);
	assert_int_equal(jk()->take(&dev, &as, (struct bytes){b, CAN_BYTES - 1}, &why), FRAME_FOREIGN);
	assert_unknown(&dev, Q_VOLTAGE_V);
	device_free(&dev);
}

static void a_frame_without_the_bytes_it_needs_says_nothing(void **unused)
{
	static const char *const cut[] = {
		"2F4#20029D10",	     "2F4#",	    "4F4#570D10480D", "5F4#4B0248",	 "7F4#430020",
		"18F128F4#C00800",   "18F228F4#1F", "18F328F4#0000",  "18F428F4#805101", "18F528F4#",
		"1806E5F4#02400384", "18E028F4#48",
	};
	struct reading nothing;

	(void)unused;
	memset(&nothing, 0, sizeof(nothing));
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		struct device dev = board();
		const char *why;

		assert_int_equal(take(&dev, cut[i], &why), FRAME_BAD);
		assert_string_equal(why, "a frame is too short");
		assert_memory_equal(&dev.reading, &nothing, sizeof(nothing));
		assert_int_equal(dev.dialect, V1);
		device_free(&dev);
	}
}

static void bytes_that_a_frame_leaves_out_stay_unknown(void **unused)
{
	struct device dev = board_that_said("18F128F4#C008F00A");

	(void)unused;
	assert_number(&dev, Q_CAPACITY_FULL_AH, 280.0);
	assert_unknown(&dev, Q_CYCLES);
	assert_unknown(&dev, Q_TOTAL_CHARGE_AH);
	assert_true(isnan(reading_detail(&dev.reading, "cycle_capacity_raw_Ah")));
	hear(&dev, "18F428F4#80510100");
	assert_number(&dev, Q_UPTIME_S, 86400);
	assert_unknown(&dev, Q_SOH_PCT);
	hear(&dev, "18F228F4#1F4B4A50");
	assert_int_equal(dev.reading.temperatures.count, 2);
	assert_number(&dev, Q_TEMP_MOS_C, 30);
	hear(&dev, "18E028F4#480D490D4A");
	assert_int_equal(dev.reading.cell_V.count, 2);
	hear(&dev, "5F4#4B024801");
	assert_true(isnan(reading_detail(&dev.reading, "temp_avg_C")));
	hear(&dev, "1806E5F4#024003B600");
	assert_true(isnan(reading_detail(&dev.reading, "charge_mode")));
	device_free(&dev);
}

/* ---- what frames say ---- */

static void status_tells_voltage_current_and_soc(void **unused)
{
	struct device dev = board_that_said("2F4#1301D71133006400");

	(void)unused;
	assert_number(&dev, Q_VOLTAGE_V, 27.5);
	assert_number(&dev, Q_CURRENT_A, 56.7);
	assert_number(&dev, Q_SOC_PCT, 51);
	assert_number(&dev, Q_ADDRESS, 0);
	assert_float_equal(reading_detail(&dev.reading, "discharge_time_h"), 100, 0);
	device_free(&dev);
}

static void current_below_4000_leaves_the_battery(void **unused)
{
	struct device dev = board_that_said("2F4#1301C40933006400");

	(void)unused;
	assert_number(&dev, Q_CURRENT_A, -150);
	dev.options.invert_current = true;
	hear(&dev, "2F4#1301C40933006400");
	assert_number(&dev, Q_CURRENT_A, 150);
	device_free(&dev);
}

static void soc_above_100_is_not_believed(void **unused)
{
	struct device dev = board_that_said(STATUS);
	const char *why;

	(void)unused;
	assert_int_equal(take(&dev, "2F4#3301D71165006400", &why), FRAME_BAD);
	assert_string_equal(why, "SoC above 100 %");
	assert_number(&dev, Q_VOLTAGE_V, 54.4);
	assert_number(&dev, Q_SOC_PCT, 80);
	device_free(&dev);
}

static void extremes_tell_cells_and_their_numbers(void **unused)
{
	struct device dev = board_that_said("4F4#8C0A059209080000");

	(void)unused;
	assert_number(&dev, Q_CELL_MAX_V, 2.7);
	assert_number(&dev, Q_CELL_MAX_NO, 5);
	assert_number(&dev, Q_CELL_MIN_V, 2.45);
	assert_number(&dev, Q_CELL_MIN_NO, 8);
	assert_false(dev.reading.cell_V.reported); /* V1 has no single cells, none are made up */
	hear(&dev, "4F4#8C0A009209000000");
	assert_unknown(&dev, Q_CELL_MAX_NO);
	assert_unknown(&dev, Q_CELL_MIN_NO);
	device_free(&dev);
}

static void v1_board_has_as_many_cells_as_its_voltage_tells(void **unused)
{
	struct device dev = board_that_said(EXTREMES);

	(void)unused;
	assert_unknown(&dev, Q_CELL_COUNT);
	hear(&dev, STATUS);
	hear(&dev, "4F4#8C0A059209080000"); /* too far apart to be sure */
	assert_unknown(&dev, Q_CELL_COUNT);
	hear(&dev, EXTREMES);
	assert_number(&dev, Q_CELL_COUNT, 16);
	hear(&dev, "18F528F4#13"); /* it is a V2 board: it will tell */
	assert_unknown(&dev, Q_CELL_COUNT);
	hear(&dev, EXTREMES);
	assert_unknown(&dev, Q_CELL_COUNT);
	device_free(&dev);
}

static void temperatures_begin_at_minus_50(void **unused)
{
	struct device dev = board_that_said("5F4#48062F013F000000");

	(void)unused;
	assert_number(&dev, Q_TEMP_MAX_C, 22);
	assert_number(&dev, Q_TEMP_MAX_NO, 6);
	assert_number(&dev, Q_TEMP_MIN_C, -3);
	assert_number(&dev, Q_TEMP_MIN_NO, 1);
	assert_float_equal(reading_detail(&dev.reading, "temp_avg_C"), 13, 0);
	assert_false(dev.reading.temperatures.reported);
	hear(&dev, "5F4#FF00FF00FF000000");
	assert_unknown(&dev, Q_TEMP_MAX_C);
	assert_unknown(&dev, Q_TEMP_MAX_NO);
	assert_unknown(&dev, Q_TEMP_MIN_C);
	assert_unknown(&dev, Q_TEMP_MIN_NO);
	assert_true(isnan(reading_detail(&dev.reading, "temp_avg_C")));
	device_free(&dev);
}

static void sensors_keep_their_places_and_the_third_is_the_mos(void **unused)
{
	struct device dev = board_that_said("18F228F4#1F4B4A504849");
	const struct series *t = &dev.reading.temperatures;

	(void)unused;
	assert_int_equal(t->count, 4);
	assert_float_equal(t->value[0], 25, 0);
	assert_float_equal(t->value[1], 24, 0);
	assert_float_equal(t->value[2], 22, 0);
	assert_float_equal(t->value[3], 23, 0);
	assert_number(&dev, Q_TEMP_MOS_C, 30);
	/* 4 and 5 that a small board does not have */
	hear(&dev, "18F228F4#074B4A50FFFF");
	assert_int_equal(t->count, 2);
	/* the first one broken, 4 not there, 5 there */
	hear(&dev, "18F228F4#1FFF4A50FF49");
	assert_int_equal(t->count, 4);
	assert_false(series_knows(t, 0));
	assert_true(series_knows(t, 1));
	assert_false(series_knows(t, 2));
	assert_float_equal(t->value[3], 23, 0);
	/* supported by none */
	hear(&dev, "18F228F4#004B4A504849");
	assert_true(t->reported);
	assert_int_equal(t->count, 0);
	assert_unknown(&dev, Q_TEMP_MOS_C);
	device_free(&dev);
}

static void capacity_and_cycles_come_in_one_frame(void **unused)
{
	struct device dev = board_that_said("18F128F4#EE0AF00A7B240300");

	(void)unused;
	assert_int_equal(dev.dialect, V2);
	assert_number(&dev, Q_CAPACITY_REMAINING_AH, 279.8);
	assert_number(&dev, Q_CAPACITY_FULL_AH, 280);
	assert_number(&dev, Q_CYCLES, 3);
	assert_number(&dev, Q_TOTAL_CHARGE_AH, 933.9);
	device_free(&dev);
}

static void charge_counter_that_may_have_wrapped_tells_no_total(void **unused)
{
	struct device dev = board_that_said("18F128F4#EE0AF00A7B241600"); /* 22 cycles: up to 23 times 280 Ah */

	(void)unused;
	assert_number(&dev, Q_TOTAL_CHARGE_AH, 933.9);
	hear(&dev, "18F128F4#EE0AF00A7B241700"); /* 23 cycles: perhaps more than 6553.6 Ah */
	assert_unknown(&dev, Q_TOTAL_CHARGE_AH);
	assert_float_equal(reading_detail(&dev.reading, "cycle_capacity_raw_Ah"), 933.9, 1e-6);
	device_free(&dev);
}

static void runtime_heater_and_health_come_in_one_frame(void **unused)
{
	struct device dev = board_that_said("18F428F4#C8000000280A64");

	(void)unused;
	assert_number(&dev, Q_UPTIME_S, 200);
	assert_number(&dev, Q_SOH_PCT, 100);
	assert_float_equal(reading_detail(&dev.reading, "heater_current_A"), 2.6, 1e-6);
	device_free(&dev);
}

static void each_switch_bit_has_its_meaning(void **unused)
{
	static const struct {
		unsigned bit;
		enum flag flag;
	} rows[] = {{0, F_CHARGE_MOS}, {1, F_DISCHARGE_MOS}, {2, F_BALANCING_ACTIVE}, {3, F_HEATER_ON}};
	struct device dev = board();

	(void)unused;
	for (unsigned bit = 0; bit < 6; bit++) {
		char text[CAN_TEXT_SIZE];

		snprintf(text, sizeof(text), "18F528F4#%02X", 1u << bit);
		hear(&dev, text);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			assert_int_equal(reading_flag(&dev.reading, rows[i].flag), rows[i].bit == bit ? ON : OFF);
		assert_float_equal(reading_detail(&dev.reading, "charger_plugged"), bit == 4, 0);
		assert_float_equal(reading_detail(&dev.reading, "acc_on"), bit == 5, 0);
	}
	assert_int_equal(reading_flag(&dev.reading, F_BALANCE_ENABLED), UNKNOWN);
	device_free(&dev);
}

static void charge_request_is_big_endian(void **unused)
{
	struct device dev = board_that_said("1806E5F4#024003B600010000");

	(void)unused;
	assert_number(&dev, Q_BMS_CVL_V, 57.6);
	assert_number(&dev, Q_BMS_CCL_A, 95);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), ON);
	assert_float_equal(reading_detail(&dev.reading, "charge_mode"), 1, 0);
	hear(&dev, "1806E5F4#024003B601000000");
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), OFF);
	device_free(&dev);
}

static void cells_come_four_by_four_up_to_25(void **unused)
{
	struct device dev = board();

	(void)unused;
	for (unsigned k = 0; k < 7; k++) {
		char text[CAN_TEXT_SIZE];

		snprintf(text, sizeof(text), "18E%u28F4#480D490D4A0D4B0D", k);
		hear(&dev, text);
	}
	assert_int_equal(dev.reading.cell_V.count, 25);
	assert_cell(&dev, 0, 3.4);
	assert_cell(&dev, 23, 3.403);
	assert_cell(&dev, 24, 3.4);
	device_free(&dev);
}

static void places_behind_the_last_cell_are_none(void **unused)
{
	struct device dev = board_that_said("18E128F4#480D490D00000000");

	(void)unused;
	hear(&dev, "18E028F4#480D0000480D480D");
	hear(&dev, "18E228F4#0000000000000000");
	assert_int_equal(dev.reading.cell_V.count, 6);
	assert_cell(&dev, 1, 0); /* its wire is open */
	assert_cell(&dev, 5, 3.401);
	device_free(&dev);
}

static void sum_of_the_cells_is_the_finer_voltage(void **unused)
{
	struct device dev = board_that_said("2F4#8500A00F64000000"); /* 13.3 V */

	(void)unused;
	hear(&dev, "18E028F4#000D000D010D020D"); /* 13.315 V */
	assert_number(&dev, Q_VOLTAGE_V, 13.315);
	hear(&dev, "2F4#8300A00F64000000"); /* 13.1 V: the cells are old */
	assert_number(&dev, Q_VOLTAGE_V, 13.1);
	hear(&dev, "2F4#8500A00F64000000");
	assert_number(&dev, Q_VOLTAGE_V, 13.315);
	device_free(&dev);
}

static void sum_does_not_count_while_a_cell_is_missing(void **unused)
{
	struct device dev = board_that_said(STATUS);

	(void)unused;
	hear(&dev, "18E028F4#480D490D4A0D4B0D");
	assert_number(&dev, Q_VOLTAGE_V, 54.4);
	hear(&dev, "18E228F4#480D490D4A0D4B0D");
	assert_number(&dev, Q_VOLTAGE_V, 54.4);
	device_free(&dev);
}

/* ---- alarms ---- */

/* 7F4 with this level at this place. */
static void hear_level(struct device *dev, unsigned place, unsigned level)
{
	uint32_t word = level << 2 * place;
	char text[CAN_TEXT_SIZE];

	snprintf(text, sizeof(text), "7F4#%02X%02X%02X%02X00000000", word & 0xff, word >> 8 & 0xff, word >> 16 & 0xff,
		 word >> 24);
	hear(dev, text);
}

static enum alarm_level own_level(const struct device *dev, const char *name)
{
	const struct alarms *a = &dev->reading.alarms;

	for (unsigned i = 0; i < a->own_count; i++)
		if (!strcmp(a->own[i].name, name))
			return a->own[i].level;
	return ALARM_OK;
}

static const struct {
	enum alarm alarm;
	const char *own;
	bool mild; /* a warning at most */
} level_means[] = {
	{ALARM_HIGH_CELL_VOLTAGE, NULL, false},
	{ALARM_LOW_CELL_VOLTAGE, NULL, false},
	{ALARM_HIGH_VOLTAGE, NULL, false},
	{ALARM_LOW_VOLTAGE, NULL, false},
	{ALARM_CELL_IMBALANCE, NULL, false},
	{ALARM_HIGH_DISCHARGE_CURRENT, NULL, false},
	{ALARM_HIGH_CHARGE_CURRENT, NULL, false},
	{ALARM_HIGH_TEMPERATURE, NULL, false},
	{ALARM_LOW_TEMPERATURE, NULL, false},
	{ALARM_COUNT, "temp_difference", false},
	{ALARM_LOW_SOC, NULL, false},
	{ALARM_INTERNAL_FAILURE, "insulation_low", false},
	{ALARM_INTERNAL_FAILURE, "hvil_fault", false},
	{ALARM_COUNT, "external_comm_fault", true},
	{ALARM_INTERNAL_FAILURE, NULL, false},
};

static void each_level_raises_its_alarm_and_no_other(void **unused)
{
	struct device dev = board_that_said("2F4#2002C40950000000"); /* discharging */

	(void)unused;
	for (unsigned place = 0; place < sizeof(level_means) / sizeof(level_means[0]); place++) {
		for (unsigned level = 1; level <= 3; level++) {
			/* 1 is the worst, 3 the mildest */
			enum alarm_level must = level == 3 || level_means[place].mild ? ALARM_WARNING : ALARM_RAISED;

			hear_level(&dev, place, level);
			for (unsigned a = 0; a < ALARM_COUNT; a++)
				assert_int_equal(dev.reading.alarms.level[a],
						 a == (unsigned)level_means[place].alarm ? must : ALARM_OK);
			assert_int_equal(dev.reading.alarms.own_count, level_means[place].own != NULL);
			if (level_means[place].own)
				assert_int_equal(own_level(&dev, level_means[place].own), must);
		}
	}
	hear_level(&dev, 15, 3); /* no meaning */
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	device_free(&dev);
}

static void temperature_levels_are_those_of_charging_while_it_charges(void **unused)
{
	struct device dev = board_that_said(STATUS);

	(void)unused;
	hear_level(&dev, 7, 1);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_TEMPERATURE], ALARM_RAISED);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_CHARGE_TEMPERATURE], ALARM_RAISED);
	hear_level(&dev, 8, 3);
	assert_int_equal(dev.reading.alarms.level[ALARM_LOW_TEMPERATURE], ALARM_WARNING);
	assert_int_equal(dev.reading.alarms.level[ALARM_LOW_CHARGE_TEMPERATURE], ALARM_WARNING);
	hear(&dev, "2F4#2002C40950000000"); /* discharging now */
	assert_int_equal(dev.reading.alarms.level[ALARM_LOW_CHARGE_TEMPERATURE], ALARM_OK);
	assert_int_equal(dev.reading.alarms.level[ALARM_LOW_TEMPERATURE], ALARM_WARNING);
	device_free(&dev);
}

static const struct {
	enum alarm alarm, second;
	const char *own;
} fault_means[] = {
	{ALARM_COUNT, ALARM_COUNT, "wire_resistance"},
	{ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_COUNT, NULL},
	{ALARM_INTERNAL_FAILURE, ALARM_COUNT, "cell_count_mismatch"},
	{ALARM_INTERNAL_FAILURE, ALARM_COUNT, "current_sensor_fault"},
	{ALARM_HIGH_CELL_VOLTAGE, ALARM_COUNT, NULL},
	{ALARM_HIGH_VOLTAGE, ALARM_COUNT, NULL},
	{ALARM_HIGH_CHARGE_CURRENT, ALARM_COUNT, NULL},
	{ALARM_SHORT_CIRCUIT, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_COUNT, NULL},
	{ALARM_LOW_CHARGE_TEMPERATURE, ALARM_COUNT, NULL},
	{ALARM_INTERNAL_FAILURE, ALARM_COUNT, "coprocessor_comm_fault"},
	{ALARM_LOW_CELL_VOLTAGE, ALARM_COUNT, NULL},
	{ALARM_LOW_VOLTAGE, ALARM_COUNT, NULL},
	{ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT, NULL},
	{ALARM_SHORT_CIRCUIT, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{ALARM_HIGH_TEMPERATURE, ALARM_COUNT, NULL},
	{ALARM_INTERNAL_FAILURE, ALARM_COUNT, "charge_mos_fault"},
	{ALARM_INTERNAL_FAILURE, ALARM_COUNT, "discharge_mos_fault"},
};

static void each_fault_bit_raises_its_alarm_and_no_other(void **unused)
{
	struct device dev = board_that_said(STATUS);

	(void)unused;
	for (unsigned bit = 0; bit < 24; bit++) {
		bool known = bit < sizeof(fault_means) / sizeof(fault_means[0]);
		uint32_t word = UINT32_C(1) << bit;
		char text[CAN_TEXT_SIZE];

		snprintf(text, sizeof(text), "18F328F4#%02X%02X%02X", word & 0xff, word >> 8 & 0xff, word >> 16);
		hear(&dev, text);
		for (unsigned a = 0; a < ALARM_COUNT; a++) {
			bool raised = known &&
				      (a == (unsigned)fault_means[bit].alarm || a == (unsigned)fault_means[bit].second);

			assert_int_equal(dev.reading.alarms.level[a], raised ? ALARM_RAISED : ALARM_OK);
		}
		assert_int_equal(dev.reading.alarms.own_count, known && fault_means[bit].own);
		if (known && fault_means[bit].own)
			assert_int_equal(own_level(&dev, fault_means[bit].own), bit ? ALARM_RAISED : ALARM_WARNING);
	}
	device_free(&dev);
}

static void the_worse_of_two_frames_counts(void **unused)
{
	struct device dev = board_that_said("18F328F4#100000"); /* cell over voltage */

	(void)unused;
	hear_level(&dev, 0, 3);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_CELL_VOLTAGE], ALARM_RAISED);
	hear(&dev, "18F328F4#000000");
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_CELL_VOLTAGE], ALARM_WARNING);
	hear_level(&dev, 0, 0);
	assert_true(dev.reading.alarms.known);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	device_free(&dev);
}

static void v1_board_without_a_level_frame_has_no_alarm(void **unused)
{
	struct device dev = board_that_said(STATUS);

	(void)unused;
	assert_true(dev.reading.alarms.known);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	device_free(&dev);
}

/* ---- what was not repeated ---- */

static void levels_that_are_not_repeated_are_over(void **unused)
{
	struct device dev = board_that_said(STATUS);

	(void)unused;
	hear_level(&dev, 0, 1);
	jk()->forget(&dev, 3, 0);
	assert_true(dev.reading.alarms.known);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	device_free(&dev);
}

static void faults_that_are_not_repeated_are_unknown(void **unused)
{
	struct device dev = board_that_said("18F328F4#100000");

	(void)unused;
	jk()->forget(&dev, 6, 0);
	assert_false(dev.reading.alarms.known);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	hear_level(&dev, 1, 1);
	assert_true(dev.reading.alarms.known);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_CELL_VOLTAGE], ALARM_OK);
	assert_int_equal(dev.reading.alarms.level[ALARM_LOW_CELL_VOLTAGE], ALARM_RAISED);
	device_free(&dev);
}

static void all_that_ages_is_forgotten_and_nothing_else(void **unused)
{
	static const char *const all[] = {
		STATUS,
		EXTREMES,
		"5F4#4B02480149000000",
		"18F128F4#C008F00AD2041200",
		"18F228F4#1F4B4A504849",
		"18F328F4#000000",
		"18F428F4#80510100000063",
		"18F528F4#13",
		"1806E5F4#024003B60000",
		"18E028F4#480D490D4A0D4B0D",
	};
	struct device dev = board();
	struct reading *r = &dev.reading;

	(void)unused;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		hear(&dev, all[i]);
	/* every quantity that the protocol claims has been said; the number of cells is that of V1 */
	assert_int_equal(r->known | UINT64_C(1) << Q_CELL_COUNT, jk()->quantities);
	assert_unknown(&dev, Q_CELL_COUNT);
	assert_true(r->detail_count > 0);
	for (unsigned i = 0; i < jk()->poll_count; i++)
		if (jk()->polls[i].every_ms)
			jk()->forget(&dev, jk()->polls[i].code, jk()->polls[i].arg);
	assert_int_equal(r->known, UINT64_C(1) << Q_VOLTAGE_V | UINT64_C(1) << Q_CURRENT_A | UINT64_C(1) << Q_SOC_PCT |
					   UINT64_C(1) << Q_ADDRESS);
	for (unsigned f = 0; f < FLAG_COUNT; f++)
		assert_int_equal(reading_flag(r, f), UNKNOWN);
	assert_int_equal(r->detail_count, 0);
	assert_int_equal(r->cell_V.known, 0);
	assert_false(r->temperatures.reported);
	assert_false(r->alarms.known);
	device_free(&dev);
}

/* ---- when a reading is whole ---- */

struct listener {
	struct listen listen;
	struct device found; /* protocol NULL: none */
	uint64_t now_ms;
};

static struct listener listening(void)
{
	struct listener l = {.now_ms = 1000};

	listen_init(&l.listen, jk(), NULL);
	return l;
}

/* True: with this frame a board is believed in. */
static bool listens(struct listener *l, const char *text)
{
	uint8_t b[CAN_BYTES];
	struct request as;

	l->now_ms += 20;
	if (overhears(text, &as) != HEARD_ANSWER)
		return false;
	return listen_hears(&l->listen, &as, frame_of(text, b), l->now_ms, &l->found);
}

static void stop(struct listener *l)
{
	if (l->found.protocol)
		device_free(&l->found);
	listen_free(&l->listen);
}

/* How often both are told until there is a board; 0: never. */
static unsigned rounds_until_found(struct listener *l, const char *status, const char *extremes)
{
	for (unsigned round = 1; round <= 100; round++)
		if (listens(l, status) || listens(l, extremes))
			return round;
	return 0;
}

static void three_seconds_of_status_and_extremes_make_a_v1(void **unused)
{
	struct listener l = listening();

	(void)unused;
	assert_int_equal(rounds_until_found(&l, STATUS, EXTREMES), 30);
	assert_int_equal(l.found.address, 0);
	assert_int_equal(l.found.dialect, V1);
	stop(&l);
}

static void a_v2_is_found_with_all_its_cells(void **unused)
{
	static const char *const second[] = {STATUS, EXTREMES, "18F528F4#13", "18E028F4#480D490D4A0D4B0D",
					     "18E128F4#4C0D4D0D4E0D4F0D", "18E228F4#500D510D520D530D",
					     "18E328F4#540D550D560D570D"};
	struct listener l = listening();
	unsigned frames = 0;

	(void)unused;
	while (frames < 35 && !listens(&l, second[frames % 7]))
		frames++;
	assert_in_range(frames, 8, 28); /* not before one of the cells has come again */
	assert_int_equal(l.found.dialect, V2);
	assert_int_equal(l.found.reading.cell_V.count, 16);
	assert_true(isnan(reading_detail(&l.found.reading, "discharge_time_h"))); /* of V1 only */
	stop(&l);
}

static void boards_that_mix_are_told_apart(void **unused)
{
	static const char *const mixed[] = {STATUS, "2F6#8500A00F64000000", EXTREMES, "4F6#000D01000D040000"};
	struct listener l = listening();
	bool found[3] = {false};

	(void)unused;
	for (unsigned i = 0; i < 4 * 40; i++) {
		if (!listens(&l, mixed[i % 4]))
			continue;
		found[l.found.address] = true;
		assert_number(&l.found, Q_VOLTAGE_V, l.found.address ? 13.3 : 54.4);
		device_free(&l.found);
	}
	assert_true(found[0] && found[2]);
	l.found = (struct device){.state = NULL};
	stop(&l);
}

/* Neither of these, in turn for ever, is a board. */
static void assert_never_a_board(const char *status, const char *extremes)
{
	struct listener l = listening();

	for (unsigned i = 0; i < 20; i++) {
		assert_false(listens(&l, status));
		assert_false(listens(&l, extremes));
	}
	stop(&l);
}

static void what_cannot_be_a_battery_is_never_a_board(void **unused)
{
	static const struct {
		const char *status, *extremes;
	} pairs[] = {
		{STATUS, "4F6#570D10480D010000"},		  /* of different addresses */
		{"2F4#31009D1050000000", "4F4#2413012413010000"}, /* 4.9 V */
		{"2F4#DD059D1050000000", "4F4#5412015412020000"}, /* 150.1 V */
		{"2F4#2002FFFF50000000", EXTREMES},		  /* 6153.5 A */
		{"2F4#2002B93650000000", EXTREMES},		  /* 1000.9 A */
		{"2F4#20029D10FF000000", EXTREMES},		  /* 255 % */
		{"2F4#0000000000000000", "4F4#0000000000000000"},
		{"2F4#FFFFFFFFFFFFFFFF", "4F4#FFFFFFFFFFFFFFFF"},
		{STATUS, "4F4#480D10570D010000"}, /* highest below lowest */
		{STATUS, "4F4#891310480D010000"}, /* 5.001 V */
		{STATUS, "4F4#570D10F301010000"}, /* 0.499 V */
		{STATUS, "4F4#570D21480D010000"}, /* cell 33 */
		{STATUS, "4F4#570D10480D210000"},
		{"2F4#34009D1050000000", "4F4#DD0B01DC0B020000"}, /* 5.2 V of cells of 3.036 V */
		{"2F4#DC059D1050000000", "4F4#F40101F401020000"}, /* 150 V of cells of 0.5 V */
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		assert_never_a_board(pairs[i].status, pairs[i].extremes);
}

static void batteries_with_one_bad_cell_are_boards(void **unused)
{
	struct listener l = listening();

	(void)unused;
	/* 15 cells of 3.35 V and one of 2.5 V */
	assert_int_equal(rounds_until_found(&l, "2F4#0F02A00F32000000", "4F4#160D01C409080000"), 30);
	stop(&l);
}

static void one_bad_frame_makes_it_begin_anew(void **unused)
{
	struct listener l = listening();

	(void)unused;
	for (unsigned i = 0; i < 40; i++) { /* every second status is bad */
		assert_false(listens(&l, STATUS));
		assert_false(listens(&l, EXTREMES));
		assert_false(listens(&l, "2F4#31009D1050000000"));
		assert_false(listens(&l, EXTREMES));
	}
	assert_int_equal(rounds_until_found(&l, STATUS, EXTREMES), 2);
	stop(&l);
}

/* Is a row of cells needed for the next reading? */
static bool needs_cells(const struct device *dev, uint16_t nth)
{
	for (unsigned i = 0; i < jk()->poll_count; i++)
		if (jk()->polls[i].code == 10 && jk()->polls[i].arg == nth)
			return jk()->polls[i].required && jk()->polls[i].wanted(dev);
	fail_msg("there is no row for cells %u", 4u * nth + 1);
	return false;
}

static void half_of_the_cells_make_no_reading(void **unused)
{
	struct device dev = board_that_said(STATUS);

	(void)unused;
	hear(&dev, EXTREMES);
	assert_false(needs_cells(&dev, 0)); /* a V1 board never tells them */
	hear(&dev, "18E028F4#480D490D4A0D4B0D");
	for (uint16_t k = 0; k < 4; k++)
		assert_true(needs_cells(&dev, k));
	assert_false(needs_cells(&dev, 4)); /* 54.4 V are 16 cells */
	/* A round is over: what did not come does not exist. */
	hear(&dev, "18E128F4#480D490D4A0D4B0D");
	hear(&dev, "18E028F4#480D490D4A0D4B0D");
	assert_true(needs_cells(&dev, 1));
	assert_false(needs_cells(&dev, 2));
	jk()->forget(&dev, 10, 1);
	assert_false(needs_cells(&dev, 1));
	assert_cell(&dev, 3, 3.403);
	assert_false(series_knows(&dev.reading.cell_V, 4));
	device_free(&dev);
}

/* ---- commands ---- */

struct bench {
	unsigned switches; /* as the board tells them */
	unsigned tells_at; /* the wait in which it does so for the first time; 0: never */
	bool deaf;	   /* it does not do what it is told */
	bool tells_before; /* while the frame was on its way: what was */
	unsigned sent, waits;
	char last[CAN_TEXT_SIZE];
};

static void tell_switches(struct device *dev, const struct bench *bench)
{
	char text[CAN_TEXT_SIZE];

	snprintf(text, sizeof(text), "18F528F4#%02X", bench->switches);
	hear(dev, text);
}

static void obey(struct device *dev, struct bench *bench, const struct request *request)
{
	struct can_message m;

	assert_true(request->writes);
	assert_true(request->no_reply);
	assert_true(can_read((struct bytes){request->tx, request->n}, &m));
	can_text(&m, bench->last);
	bench->sent++;
	if (bench->tells_before)
		tell_switches(dev, bench);
	for (unsigned i = 0; i < 2 && !bench->deaf; i++)
		if (m.data[0] >> i & 1)
			bench->switches = (bench->switches & ~(1u << i)) | (unsigned)m.data[1 + i] << i;
}

static struct command_outcome command(struct device *dev, enum command_kind kind, double value, struct bench *bench)
{
	struct command c = {.kind = kind, .value = value, .experimental = true};
	struct procedure p = {.command = &c};
	struct next next;

	for (;;) {
		memset(&next, 0, sizeof(next));
		procedure_next(dev, &p, &next);
		if (next.what == NEXT_END)
			return next.outcome;
		if (next.what == NEXT_SEND) {
			obey(dev, bench, &next.request);
			procedure_answered(&p, STEP_ANSWERED, NULL);
			continue;
		}
		if (bench->tells_at && ++bench->waits >= bench->tells_at)
			tell_switches(dev, bench);
		procedure_waited(&p);
	}
}

static struct device v2_board(void)
{
	return board_that_said("18F528F4#03");
}

static void a_switch_is_moved_alone_and_read_back(void **unused)
{
	static const struct {
		enum command_kind kind;
		bool on;
		unsigned switches;
		const char *frame, *say;
	} rows[] = {
		{COMMAND_CHARGE, false, 3, "18F0F428#0100000000000000", "the charge MOS reads back off"},
		{COMMAND_CHARGE, true, 2, "18F0F428#0101000000000000", "the charge MOS reads back on"},
		{COMMAND_DISCHARGE, false, 3, "18F0F428#0200000000000000", "the discharge MOS reads back off"},
		{COMMAND_DISCHARGE, true, 1, "18F0F428#0200010000000000", "the discharge MOS reads back on"},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct device dev = v2_board();
		struct bench bench = {.switches = rows[i].switches, .tells_at = 1};
		struct command_outcome o = command(&dev, rows[i].kind, rows[i].on, &bench);

		assert_int_equal(o.result, COMMAND_DONE);
		assert_string_equal(o.say, rows[i].say);
		assert_string_equal(bench.last, rows[i].frame);
		assert_int_equal(bench.sent, 1);
		device_free(&dev);
	}
}

static void a_state_that_comes_late_is_waited_for(void **unused)
{
	struct device dev = v2_board();
	struct bench bench = {.switches = 3, .tells_at = 4, .tells_before = true};

	(void)unused;
	assert_int_equal(command(&dev, COMMAND_CHARGE, 0, &bench).result, COMMAND_DONE);
	assert_int_equal(bench.waits, 4);
	device_free(&dev);
}

static void a_board_that_does_not_obey_is_not_confirmed(void **unused)
{
	struct device dev = v2_board();
	struct bench bench = {.switches = 3, .tells_at = 1, .deaf = true};
	struct command_outcome o = command(&dev, COMMAND_CHARGE, 0, &bench);

	(void)unused;
	assert_int_equal(o.result, COMMAND_UNCONFIRMED);
	assert_string_equal(o.say, "sent, but the charge MOS does not read back off");
	assert_int_equal(bench.sent, 1);
	device_free(&dev);
}

static void what_was_told_before_confirms_nothing(void **unused)
{
	struct device dev = v2_board(); /* has told that both are on */
	struct bench bench = {.switches = 3};

	(void)unused;
	assert_int_equal(command(&dev, COMMAND_CHARGE, 1, &bench).result, COMMAND_UNCONFIRMED);
	device_free(&dev);
}

static void balance_is_sent_but_cannot_be_read_back(void **unused)
{
	struct device dev = v2_board();
	struct bench bench = {.switches = 7, .tells_at = 1};
	struct command_outcome o = command(&dev, COMMAND_BALANCE, 1, &bench);

	(void)unused;
	assert_string_equal(bench.last, "18F0F428#0400000100000000");
	assert_int_equal(o.result, COMMAND_UNCONFIRMED);
	bench = (struct bench){.switches = 3, .tells_at = 1};
	command(&dev, COMMAND_BALANCE, 0, &bench);
	assert_string_equal(bench.last, "18F0F428#0400000000000000");
	device_free(&dev);
}

static void nothing_is_sent_to_one_of_several_boards(void **unused)
{
	struct device dev = v2_board();
	struct bench bench = {.switches = 3, .tells_at = 1};
	struct command_outcome o;

	(void)unused;
	dev.packs = 2;
	o = command(&dev, COMMAND_CHARGE, 0, &bench);
	assert_int_equal(o.result, COMMAND_REFUSED);
	assert_string_equal(o.say, "how one of several boards on a bus is told is not known");
	dev.packs = 1;
	dev.address = 1;
	o = command(&dev, COMMAND_CHARGE, 0, &bench);
	assert_int_equal(o.result, COMMAND_REFUSED);
	assert_string_equal(o.say, "how one of several boards on a bus is told is not known");
	assert_int_equal(bench.sent, 0);
	device_free(&dev);
}

static void nothing_is_sent_to_a_v1_board(void **unused)
{
	struct device dev = board_that_said(STATUS);
	struct bench bench = {.switches = 3, .tells_at = 1};

	(void)unused;
	assert_int_equal(command(&dev, COMMAND_DISCHARGE, 0, &bench).result, COMMAND_REFUSED);
	assert_int_equal(bench.sent, 0);
	device_free(&dev);
}

static void there_is_no_other_request(void **unused)
{
	struct device dev = v2_board();
	struct request request;

	(void)unused;
	assert_int_equal(jk()->probe_count, 0);
	assert_int_equal(jk()->commands, jk()->experimental);
	for (unsigned i = 0; i < jk()->poll_count; i++)
		assert_false(jk()->encode(&dev, jk()->polls[i].code, jk()->polls[i].arg, &request));
	device_free(&dev);
}

static void control_of_another_host_is_recognised_as_a_write(void **unused)
{
	struct request request;
	uint8_t b[CAN_BYTES];

	(void)unused;
	assert_true(jk()->parse_request(frame_of("18F0F428#0701010100000000", b), &request));
	assert_true(request.writes);
	assert_true(request.no_reply);
	assert_int_equal(request.n, CAN_BYTES);
	assert_false(jk()->parse_request(frame_of("18F0F428#07", b), &request));
	assert_false(jk()->parse_request(frame_of("18F0F429#0701010100000000", b), &request));
	assert_false(jk()->parse_request(frame_of(STATUS, b), &request));
	assert_false(jk()->parse_request((struct bytes){b, 5}, &request));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_is_added_to_every_identifier),
		cmocka_unit_test(what_is_no_frame_of_a_board_is_not_heard),
		cmocka_unit_test(remote_frames_are_noise),
		cmocka_unit_test(frame_of_another_board_is_not_taken),
		cmocka_unit_test(a_frame_without_the_bytes_it_needs_says_nothing),
		cmocka_unit_test(bytes_that_a_frame_leaves_out_stay_unknown),
		cmocka_unit_test(status_tells_voltage_current_and_soc),
		cmocka_unit_test(current_below_4000_leaves_the_battery),
		cmocka_unit_test(soc_above_100_is_not_believed),
		cmocka_unit_test(extremes_tell_cells_and_their_numbers),
		cmocka_unit_test(v1_board_has_as_many_cells_as_its_voltage_tells),
		cmocka_unit_test(temperatures_begin_at_minus_50),
		cmocka_unit_test(sensors_keep_their_places_and_the_third_is_the_mos),
		cmocka_unit_test(capacity_and_cycles_come_in_one_frame),
		cmocka_unit_test(charge_counter_that_may_have_wrapped_tells_no_total),
		cmocka_unit_test(runtime_heater_and_health_come_in_one_frame),
		cmocka_unit_test(each_switch_bit_has_its_meaning),
		cmocka_unit_test(charge_request_is_big_endian),
		cmocka_unit_test(cells_come_four_by_four_up_to_25),
		cmocka_unit_test(places_behind_the_last_cell_are_none),
		cmocka_unit_test(sum_of_the_cells_is_the_finer_voltage),
		cmocka_unit_test(sum_does_not_count_while_a_cell_is_missing),
		cmocka_unit_test(each_level_raises_its_alarm_and_no_other),
		cmocka_unit_test(temperature_levels_are_those_of_charging_while_it_charges),
		cmocka_unit_test(each_fault_bit_raises_its_alarm_and_no_other),
		cmocka_unit_test(the_worse_of_two_frames_counts),
		cmocka_unit_test(v1_board_without_a_level_frame_has_no_alarm),
		cmocka_unit_test(levels_that_are_not_repeated_are_over),
		cmocka_unit_test(faults_that_are_not_repeated_are_unknown),
		cmocka_unit_test(all_that_ages_is_forgotten_and_nothing_else),
		cmocka_unit_test(three_seconds_of_status_and_extremes_make_a_v1),
		cmocka_unit_test(a_v2_is_found_with_all_its_cells),
		cmocka_unit_test(boards_that_mix_are_told_apart),
		cmocka_unit_test(what_cannot_be_a_battery_is_never_a_board),
		cmocka_unit_test(batteries_with_one_bad_cell_are_boards),
		cmocka_unit_test(one_bad_frame_makes_it_begin_anew),
		cmocka_unit_test(half_of_the_cells_make_no_reading),
		cmocka_unit_test(a_switch_is_moved_alone_and_read_back),
		cmocka_unit_test(a_state_that_comes_late_is_waited_for),
		cmocka_unit_test(a_board_that_does_not_obey_is_not_confirmed),
		cmocka_unit_test(what_was_told_before_confirms_nothing),
		cmocka_unit_test(balance_is_sent_but_cannot_be_read_back),
		cmocka_unit_test(nothing_is_sent_to_one_of_several_boards),
		cmocka_unit_test(nothing_is_sent_to_a_v1_board),
		cmocka_unit_test(there_is_no_other_request),
		cmocka_unit_test(control_of_another_host_is_recognised_as_a_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
