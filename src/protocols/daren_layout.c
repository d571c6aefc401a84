/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/daren_layout.h"

#include <math.h>
#include <stdio.h>

#include "protocols/plausible.h"
#include "protocols/table.h"

enum {
	DAREN_MAX_CELLS = 32,
	DAREN_MAX_SENSORS = 8,
	/* Of 42 behind cells and sensors: at least up to the FET word; the two lengths that are known. */
	TAIL_MIN = 23,
	TAIL_SHORT = 33,
	TAIL_LONG = 46,
};

/* ---- 42 device information: sheet 5.1 ---- */

static const struct number_row mid_numbers[] = {
	{0, RAW_S16BE, 10, 0, Q_TEMP_AMBIENT_C},
	{4, RAW_S16BE, 10, 0, Q_TEMP_MOS_C},
};

static const struct detail_row mid_details[] = {{2, RAW_S16BE, 10, 0, "temp_pack_avg_C"}};

/* Behind cells and sensors. */
static const struct number_row tail_numbers[] = {
	{4, RAW_U16BE, 1, 0, Q_SOH_PCT},
	{7, RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
	{9, RAW_U16BE, 100, 0, Q_CAPACITY_REMAINING_AH},
	{11, RAW_U16BE, 1, 0, Q_CYCLES},
};

static const struct detail_row tail_details[] = {
	{2, RAW_U16BE, 1, 0, "internal_resistance_raw"}, /* unit not known; 0 on most boards */
	{43, RAW_U8, 1, 0,
	 "machine_state"},		  /* 0 init 1 check 2 ready 3 discharging 4 charging 5 fail 6 off 7 factory */
	{44, RAW_U16BE, 1, 0, "io_bits"}, /* 0 charger 1 ACC 2 ON 3 aerosol 4-6 locked 8 pre-discharge */
};

enum {
	FULL_AT = 7,
	REMAINING_AT = 9,
	VOLTAGE_WORD_AT = 13, /* then current, temperature, warning, FET */
	CURRENT_WORD_AT = 15,
	TEMPERATURE_WORD_AT = 17,
	WARNING_WORD_AT = 19,
	FET_WORD_AT = 21,
	CELL_WORDS_AT = 23, /* four, for cells 1-16 */
	BALANCING_AT = 31,
	CELL_WORDS_2_AT = 35, /* the same four for cells 17-32 */
	IO_WORD_AT = 44,
};

/* One number of the four status words: bit = 16 * word + bit. */
enum status_word { VOLTAGE, CURRENT, TEMPERATURE, WARN };
#define STATUS(word, bit) (16 * (word) + (bit))

static const struct alarm_row status_rows[] = {
	{STATUS(VOLTAGE, 0), ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{STATUS(VOLTAGE, 1), ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{STATUS(VOLTAGE, 2), ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{STATUS(VOLTAGE, 3), ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{STATUS(VOLTAGE, 4), ALARM_WARNING, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{STATUS(VOLTAGE, 5), ALARM_WARNING, ALARM_LOW_CELL_VOLTAGE, NULL},
	{STATUS(VOLTAGE, 6), ALARM_WARNING, ALARM_HIGH_VOLTAGE, NULL},
	{STATUS(VOLTAGE, 7), ALARM_WARNING, ALARM_LOW_VOLTAGE, NULL},
	{STATUS(VOLTAGE, 8), ALARM_WARNING, ALARM_CELL_IMBALANCE, NULL},
	{STATUS(VOLTAGE, 9), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "overvoltage_ten_times"},
	{STATUS(VOLTAGE, 10), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "undervoltage_ten_times"},
	{STATUS(VOLTAGE, 11), ALARM_WARNING, ALARM_COUNT, "temperature_difference"},
	{STATUS(VOLTAGE, 12), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_failed"},
	{STATUS(VOLTAGE, 13), ALARM_RAISED, ALARM_FUSE_BLOWN, NULL},
	{STATUS(VOLTAGE, 14), ALARM_RAISED, ALARM_CELL_IMBALANCE, NULL},
	{STATUS(CURRENT, 2), ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{STATUS(CURRENT, 3), ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{STATUS(CURRENT, 3), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{STATUS(CURRENT, 4), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{STATUS(CURRENT, 5), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{STATUS(CURRENT, 6), ALARM_WARNING, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{STATUS(CURRENT, 7), ALARM_WARNING, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{STATUS(CURRENT, 8), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "overcurrent_ten_times"},
	{STATUS(CURRENT, 9), ALARM_RAISED, ALARM_COUNT, "output_reverse_polarity"},
	{STATUS(TEMPERATURE, 0), ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{STATUS(TEMPERATURE, 1), ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{STATUS(TEMPERATURE, 2), ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{STATUS(TEMPERATURE, 3), ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{STATUS(TEMPERATURE, 4), ALARM_RAISED, ALARM_HIGH_TEMPERATURE, "ambient_high_temperature"},
	{STATUS(TEMPERATURE, 5), ALARM_RAISED, ALARM_LOW_TEMPERATURE, "ambient_low_temperature"},
	{STATUS(TEMPERATURE, 6), ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{STATUS(TEMPERATURE, 7), ALARM_RAISED, ALARM_COUNT, "mos_low_temperature"},
	{STATUS(TEMPERATURE, 8), ALARM_WARNING, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{STATUS(TEMPERATURE, 9), ALARM_WARNING, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{STATUS(TEMPERATURE, 10), ALARM_WARNING, ALARM_HIGH_TEMPERATURE, NULL},
	{STATUS(TEMPERATURE, 11), ALARM_WARNING, ALARM_LOW_TEMPERATURE, NULL},
	{STATUS(TEMPERATURE, 12), ALARM_WARNING, ALARM_HIGH_TEMPERATURE, "ambient_high_temperature"},
	{STATUS(TEMPERATURE, 13), ALARM_WARNING, ALARM_LOW_TEMPERATURE, "ambient_low_temperature"},
	{STATUS(TEMPERATURE, 14), ALARM_WARNING, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{STATUS(TEMPERATURE, 15), ALARM_WARNING, ALARM_COUNT, "mos_low_temperature"},
	{STATUS(WARN, 0), ALARM_WARNING, ALARM_CELL_IMBALANCE, NULL},
	{STATUS(WARN, 1), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "charge_fet_failure"},
	{STATUS(WARN, 2), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "sd_card_fault"},
	{STATUS(WARN, 3), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "spi_fault"},
	{STATUS(WARN, 4), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "eeprom_fault"},
	/* 5 and 6: LED and buzzer are enabled */
	{STATUS(WARN, 7), ALARM_WARNING, ALARM_LOW_SOC, NULL},
	{STATUS(WARN, 8), ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{STATUS(WARN, 9), ALARM_WARNING, ALARM_INTERNAL_FAILURE, "heater_film_fault"}, /* the papers disagree */
	{STATUS(WARN, 10), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "limiter_board_fault"},
	{STATUS(WARN, 11), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "sampling_fault"},
	{STATUS(WARN, 12), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_fault"},
	{STATUS(WARN, 13), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "temperature_sensor_fault"},
	{STATUS(WARN, 14), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "charge_mos_fault"},
	{STATUS(WARN, 15), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "discharge_mos_fault"},
};

static const struct alarm_row fet_rows[] = {
	{2, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "fet_failure"}, /* of which one, the papers disagree */
	{3, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "fet_failure"},
	{13, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "afe_fault"},
	{14, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "afe_pin_fault"},
	{15, ALARM_RAISED, ALARM_LOW_SOC, NULL},
};

static const struct alarm_row io_rows[] = {
	{4, ALARM_RAISED, ALARM_COUNT, "discharge_locked"},
	{5, ALARM_RAISED, ALARM_COUNT, "anti_theft_locked"},
	{6, ALARM_RAISED, ALARM_COUNT, "charge_locked"},
	{12, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "crystal_fault"},
	{13, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "eeprom_fault"},
};

#define BIT(word, bit) (UINT64_C(1) << STATUS(word, bit))
#define STOPS_CHARGE   (BIT(VOLTAGE, 0) | BIT(VOLTAGE, 2) | BIT(CURRENT, 2) | BIT(TEMPERATURE, 0) | BIT(TEMPERATURE, 1))
#define STOPS_DISCHARGE                                                                                                \
	(BIT(VOLTAGE, 1) | BIT(VOLTAGE, 3) | BIT(CURRENT, 3) | BIT(CURRENT, 4) | BIT(CURRENT, 5) |                     \
	 BIT(TEMPERATURE, 2) | BIT(TEMPERATURE, 3))

static uint64_t status_of(struct bytes tail)
{
	return u16be_at(tail, VOLTAGE_WORD_AT) | (uint64_t)u16be_at(tail, CURRENT_WORD_AT) << 16 |
	       (uint64_t)u16be_at(tail, TEMPERATURE_WORD_AT) << 32 | (uint64_t)u16be_at(tail, WARNING_WORD_AT) << 48;
}

/* What counts as charging to the board is discharging, and the other way round. */
static uint64_t swap_currents(uint64_t status)
{
	static const struct {
		uint8_t from, to;
	} bit[] = {{2, 4}, {4, 2}, {5, 2}, {6, 7}, {7, 6}};
	uint64_t out = status;

	for (size_t i = 0; i < sizeof(bit) / sizeof(bit[0]); i++)
		out &= ~BIT(CURRENT, bit[i].from);
	for (size_t i = 0; i < sizeof(bit) / sizeof(bit[0]); i++)
		if (status & BIT(CURRENT, bit[i].from))
			out |= BIT(CURRENT, bit[i].to);
	return out;
}

static void take_status(struct device *dev, struct bytes tail)
{
	struct reading *r = &dev->reading;
	uint64_t status = status_of(tail);
	unsigned fet = u16be_at(tail, FET_WORD_AT);

	alarms_clear(&r->alarms);
	table_alarms(ROWS(status_rows), dev->options.invert_current ? swap_currents(status) : status, &r->alarms);
	table_alarms(ROWS(fet_rows), fet, &r->alarms);
	table_alarms(ROWS(io_rows), u16be_at(tail, IO_WORD_AT), &r->alarms);
	reading_set_flag(r, F_CHARGE_MOS, fet & 1);
	reading_set_flag(r, F_DISCHARGE_MOS, fet & 2);
	reading_set_flag(r, F_HEATER_ON, fet >> 6 & 1);
	reading_set_flag(r, F_CHARGE_ALLOWED, fet & 1 && !(status & STOPS_CHARGE));
	reading_set_flag(r, F_DISCHARGE_ALLOWED, fet & 2 && !(status & STOPS_DISCHARGE));
	/* Bits 4 and 5 of the FET word are set on most packs at rest: this one tells. */
	reading_set_detail(r, "current_limited", (status & BIT(CURRENT, 11)) != 0);
	reading_set_detail(r, "sleeping", (status & BIT(VOLTAGE, 15)) != 0);
	reading_set_detail(r, "charger_load_state", (double)(status >> STATUS(CURRENT, 12) & 7));
	reading_set_detail(r, "fet_bits", fet);
}

/* Which cells a protection (p) or a warning is about, bit 0 = cell 1. */
static void take_cell_words(struct reading *r, struct bytes tail)
{
	static const char *const name[] = {"cells_ovp_bits", "cells_uvp_bits", "cells_high_bits", "cells_low_bits"};

	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		uint32_t cells =
			u16be_at(tail, CELL_WORDS_AT + 2 * i) | (uint32_t)u16be_at(tail, CELL_WORDS_2_AT + 2 * i) << 16;

		reading_set_detail(r, name[i], cells ? cells : NAN);
	}
}

static void take_balancing(struct reading *r, struct bytes tail)
{
	if (!bytes_has(tail, BALANCING_AT, 2))
		return;
	r->balancing = u16be_at(tail, BALANCING_AT) | (uint64_t)u16be_at(tail, BALANCING_AT + 2) << 16;
	r->balancing_known = true;
	reading_set_flag(r, F_BALANCING_ACTIVE, r->balancing != 0);
}

/* Most boards send 0.01 %, Revov's whole percent (sheet 10): what is nearer to remaining / full is meant. */
static double soc_of(unsigned raw, unsigned remaining, unsigned full)
{
	double pct = full ? 100.0 * remaining / full : NAN;

	if (raw <= 100 && fabs(raw - pct) < fabs(raw / 100.0 - pct))
		return raw;
	return raw / 100.0;
}

/* Where the fields behind cells and sensors begin; the counts are as they stand in the frame. */
static size_t tail_at(struct bytes info)
{
	size_t mid = 6 + 2 * (size_t)u8_at(info, 5);

	return mid + 7 + 2 * (size_t)u8_at(info, mid + 6);
}

static bool device_believable(struct bytes info, const char **why)
{
	unsigned cells = u8_at(info, 5), sensors = u8_at(info, 12 + 2 * (size_t)cells);
	struct bytes tail = bytes_sub(info, tail_at(info), SIZE_MAX);

	if (cells < 1 || cells > DAREN_MAX_CELLS)
		*why = "cell count outside 1..32";
	else if (sensors > DAREN_MAX_SENSORS)
		*why = "more than 8 temperature sensors";
	else if (tail.n < TAIL_MIN || tail.n > TAIL_LONG)
		*why = "length does not fit the counts of cells and temperatures";
	else if (u16be_at(info, 1) > 10000)
		*why = "SoC above 100 %";
	else
		return true;
	return false;
}

enum verdict daren_take_device(struct device *dev, struct bytes info, const char **why)
{
	struct daren_state *s = dev->state;
	struct reading *r = &dev->reading;
	struct bytes mid, tail;
	unsigned cells, sensors;
	double amps;

	if (!device_believable(info, why))
		return FRAME_BAD;
	cells = u8_at(info, 5);
	mid = bytes_sub(info, 6 + 2 * (size_t)cells, SIZE_MAX);
	sensors = u8_at(mid, 6);
	tail = bytes_sub(info, tail_at(info), SIZE_MAX);
	s->regular = tail.n == TAIL_SHORT || tail.n == TAIL_LONG;
	reading_set(r, Q_VOLTAGE_V, u16be_at(info, 3) / 100.0);
	reading_set(r, Q_SOC_PCT, soc_of(u16be_at(info, 1), u16be_at(tail, REMAINING_AT), u16be_at(tail, FULL_AT)));
	reading_set(r, Q_CELL_COUNT, cells);
	series_start(&r->cell_V, cells);
	for (unsigned i = 0; i < cells; i++)
		series_set(&r->cell_V, i, u16be_at(info, 6 + 2 * (size_t)i) / 1000.0);
	table_numbers(ROWS(mid_numbers), mid, r);
	table_details(ROWS(mid_details), mid, r);
	series_start(&r->temperatures, sensors);
	for (unsigned i = 0; i < sensors; i++)
		series_set(&r->temperatures, i, (int16_t)u16be_at(mid, 7 + 2 * (size_t)i) / 10.0);
	amps = (int16_t)u16be_at(tail, 0) / 100.0;
	reading_set(r, Q_CURRENT_A, dev->options.invert_current ? -amps : amps);
	table_numbers(ROWS(tail_numbers), tail, r);
	table_details(ROWS(tail_details), tail, r);
	take_status(dev, tail);
	take_cell_words(r, tail);
	take_balancing(r, tail);
	return FRAME_ANSWER;
}

/* ---- 47 system parameters: sheet 5.2 ---- */

static const struct setting_row system_settings[] = {
	{1, RAW_U16BE, 1000, 0, "cell_upper_V", SETTING_NUMBER},
	{3, RAW_U16BE, 1000, 0, "cell_lower_V", SETTING_NUMBER},
	{9, RAW_U16BE, 100, 0, "charge_current_upper_A", SETTING_NUMBER},
	{11, RAW_U16BE, 1000, 0, "pack_upper_per_cell_V", SETTING_NUMBER},
	{13, RAW_U16BE, 1000, 0, "pack_lower_per_cell_V", SETTING_NUMBER},
	{17, RAW_U16BE, 100, 0, "charge_current_limit_A", SETTING_NUMBER},
	{19, RAW_U16BE, 100, 0, "capacity_design_Ah", SETTING_NUMBER},
	{21, RAW_U16BE, 1, 0, "log_interval_min", SETTING_NUMBER},
	{23, RAW_U16BE, 1, 0, "balance_mode", SETTING_NUMBER}, /* 0: off */
};

enum { SYSTEM_SIZE = 65, SYSTEM_CELLS_AT = 15, SYSTEM_CCL_AT = 17, SYSTEM_DESIGN_AT = 19, BARCODE_SIZE = 20 };
/* A lower limit above this many degC is none: older firmware stores both limits 50 higher. */
enum { TOO_WARM_A_LIMIT = 20, OLD_OFFSET = 50 };

static void take_text(struct settings *s, const char *name, struct bytes at)
{
	char text[MAX_SETTING_TEXT];

	if (bytes_text(at, text, sizeof(text)))
		settings_set_text(s, name, text);
}

enum verdict daren_take_system(struct device *dev, struct bytes info, const char **why)
{
	const struct daren_state *s = dev->state;
	struct reading *r = &dev->reading;
	unsigned cells = u16be_at(info, SYSTEM_CELLS_AT), design = u16be_at(info, SYSTEM_DESIGN_AT);
	int lower = (int16_t)u16be_at(info, 7);
	int offset = lower > TOO_WARM_A_LIMIT ? OLD_OFFSET : 0;

	if (info.n != SYSTEM_SIZE || cells < 1 || cells > DAREN_MAX_CELLS) {
		*why = "no system parameters";
		return FRAME_BAD;
	}
	table_settings(ROWS(system_settings), info, &dev->settings);
	settings_set_number(&dev->settings, "temperature_upper_C", (int16_t)u16be_at(info, 5) - offset);
	settings_set_number(&dev->settings, "temperature_lower_C", lower - offset);
	take_text(&dev->settings, "product_barcode", bytes_sub(info, 25, BARCODE_SIZE));
	take_text(&dev->settings, "bms_barcode", bytes_sub(info, 45, BARCODE_SIZE));
	if (!r->cell_V.reported)
		reading_set(r, Q_CELL_COUNT, cells);
	if (!s->design_told && design)
		reading_set(r, Q_CAPACITY_DESIGN_AH, design / 100.0);
	if (u16be_at(info, SYSTEM_CCL_AT))
		reading_set(r, Q_BMS_CCL_A, u16be_at(info, SYSTEM_CCL_AT) / 100.0);
	return FRAME_ANSWER;
}

/* ---- 51 manufacturer: sheet 5.3 ---- */

static const struct text_row manufacturer_texts[] = {{0, 10, T_HARDWARE_VERSION}, {20, 10, T_MODEL}};

static bool is_field(struct bytes field)
{
	for (size_t i = 0; i < field.n; i++)
		if (field.p[i] && (field.p[i] < ' ' || field.p[i] > '~'))
			return false;
	return true;
}

enum verdict daren_take_manufacturer(struct device *dev, struct bytes info, const char *version, const char **why)
{
	char text[16];

	/* With software version, boot version, two bytes more. */
	if ((info.n != 33 && info.n != 35 && info.n != 37) || !is_field(bytes_sub(info, 0, 30)) ||
	    u8_at(info, 0) <= ' ') {
		*why = "no manufacturer information";
		return FRAME_BAD;
	}
	table_texts(ROWS(manufacturer_texts), info, &dev->reading);
	snprintf(text, sizeof(text), version, u8_at(info, 30), u8_at(info, 31), u8_at(info, 32));
	reading_set_text(&dev->reading, T_FIRMWARE_VERSION, text);
	take_text(&dev->settings, "product_code", bytes_sub(info, 10, 10));
	if (!bytes_has(info, 33, 2))
		return FRAME_ANSWER;
	snprintf(text, sizeof(text), "%u.%u", u8_at(info, 33), u8_at(info, 34));
	settings_set_text(&dev->settings, "boot_version", text);
	return FRAME_ANSWER;
}

/* ---- B0 parameter modules: sheet 5.5 ---- */

enum { MODULE_HEAD = 6, MANUFACTURING_SIZE = 113, CAPACITY_SIZE = 18 };

static const struct text_row manufacturing_texts[] = {{0, 30, T_SERIAL_NUMBER}, {93, 20, T_MANUFACTURER}};

static const struct number_row capacity_numbers[] = {
	{0, RAW_U16BE, 100, 0, Q_CAPACITY_REMAINING_AH}, {2, RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
	{4, RAW_U16BE, 100, 0, Q_CAPACITY_DESIGN_AH},	 {6, RAW_U32BE, 1, 0, Q_TOTAL_CHARGE_AH},
	{10, RAW_U32BE, 1, 0, Q_TOTAL_DISCHARGE_AH},
};

static const struct detail_row capacity_details[] = {
	{14, RAW_U16BE, 1, 0, "total_charge_energy_raw"}, /* 0.1 kWh fits one pack and not another */
	{16, RAW_U16BE, 1, 0, "total_discharge_energy_raw"},
};

static void take_manufacturing(struct device *dev, struct bytes data)
{
	unsigned year = u8_at(data, 90), month = u8_at(data, 91), day = u8_at(data, 92);
	char date[16];

	table_texts(ROWS(manufacturing_texts), data, &dev->reading);
	take_text(&dev->settings, "product_id", bytes_sub(data, 30, 30));
	take_text(&dev->settings, "bms_id", bytes_sub(data, 60, 30));
	if (year > 99 || month < 1 || month > 12 || day < 1 || day > 31)
		return;
	snprintf(date, sizeof(date), "%04u-%02u-%02u", 2000 + year, month, day);
	reading_set_text(&dev->reading, T_PRODUCTION_DATE, date);
}

enum verdict daren_take_module(struct device *dev, unsigned module, struct bytes info, const char **why)
{
	struct daren_state *s = dev->state;
	struct bytes data = bytes_sub(info, MODULE_HEAD, SIZE_MAX);
	size_t size = module == DAREN_MANUFACTURING ? MANUFACTURING_SIZE : CAPACITY_SIZE;

	if (u8_at(info, 0) != DAREN_MODULE || u8_at(info, 3) != module || data.n < size) {
		*why = "not this module";
		return FRAME_BAD;
	}
	if (module == DAREN_MANUFACTURING) {
		take_manufacturing(dev, data);
		return FRAME_ANSWER;
	}
	table_numbers(ROWS(capacity_numbers), data, &dev->reading);
	table_details(ROWS(capacity_details), data, &dev->reading);
	s->design_told = true;
	return FRAME_ANSWER;
}

/* ---- is it one? Sheet 4 ---- */

bool daren_plausible(const struct device *dev, const char **why)
{
	const struct daren_state *s = dev->state;
	const struct reading *r = &dev->reading;

	if (!r->cell_V.reported || !r->text[T_HARDWARE_VERSION][0])
		*why = "42 and 51 have not both been answered";
	else if (!s->regular)
		*why = "42 has neither of the two known lengths";
	else if (r->cell_V.count < 4 || !cells_make_up_voltage(r))
		*why = "the cells do not make up the pack's voltage";
	else if (!temperatures_within(r, -40, 120))
		*why = "a temperature that can't be";
	else if (!(reading_get(r, Q_CAPACITY_FULL_AH) > 0))
		*why = "no capacity";
	else
		return reading_plausible(r, why);
	return false;
}
