/* SPDX-License-Identifier: GPL-3.0-or-later */
/* EG4-LL, LifePower4 V2 and WP (boards by Zetara) on RS485, sheet eg4-ll: plain Modbus reads. Two register maps: that
 * of a pack, and that of a pack which speaks for its whole bank (newer firmware, unit 1 of a chain). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/modbus_rtu.h"
#include "protocols/plausible.h"
#include "protocols/table.h"

extern const struct protocol eg4_ll_protocol;

/* Codes of requests: READ and the number of registers, arg is the first; WRITE and the function, of writes that were
 * recorded. */
#define READ	      0x0300
#define WRITE	      0x1000
#define IS_READ(code) (((code)&0xff00) == READ)

/* What detection asks after the first answer depends on which map that showed. */
enum { CONFIRM_WHO = 1, CONFIRM_CELLS = 2 };

enum block {
	PACK = 0,	     /* registers 0..38, in either map */
	BANK = 19,	     /* of the bank map, within the block above */
	BANK_COUNT = 39,     /* which cells are the extremes; how many this pack has */
	CONFIG = 45,	     /* 45..135, the identity among them */
	IDENTITY = 105,	     /* 105..127 */
	BANK_CELLS = 113,    /* 113..128 */
	END_OF_MAP = 128,    /* a read beyond it is clipped */
	END_OF_CONFIG = 136, /* " on boards that have the rest */
};

enum {
	PACK_WORDS = 39,
	BANK_COUNT_WORDS = 3,
	CONFIG_WORDS = END_OF_CONFIG - CONFIG,
	IDENTITY_WORDS = END_OF_MAP - IDENTITY,
	CELL_PLACES = 16,
	SENSOR_PLACES = 6,
	FIRST_ADDRESS = 1,
	DIP_LAST = 16,	   /* four switches */
	LAST_ADDRESS = 64, /* six */
};

enum map { MAP_UNKNOWN, MAP_PACK, MAP_BANK };

struct state {
	uint8_t map;	    /* enum map */
	uint8_t tenths;	    /* registers 21 and 22 count 0.1 Ah, 0.1 A: 1 + that; 0: not known yet */
	uint8_t bank_cells; /* 0: not told yet */
	bool typical;	    /* the registers that always hold 30000 on a unit with the bank map do */
	uint16_t bank_protection, bank_warning;
	uint16_t bank_lowest_pack; /* 0.01 V */
};

/* ---- requests: sheet 3 ---- */

static bool encode_read(struct device *dev, uint16_t first, uint8_t words, struct request *out)
{
	request_start(out, dev->protocol, dev->address, 0, (uint16_t)(READ | words), first);
	modbus_build_read(out, MODBUS_READ_HOLDING, first, words);
	return true;
}

/* arg: the first register. */
static bool eg4_ll_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	const struct state *s = dev->state;

	if (code == CONFIRM_WHO && s->map == MAP_BANK)
		return encode_read(dev, BANK_COUNT, BANK_COUNT_WORDS, out);
	if (code == CONFIRM_WHO)
		return encode_read(dev, IDENTITY, IDENTITY_WORDS, out);
	if (code == CONFIRM_CELLS && s->map == MAP_BANK)
		return encode_read(dev, BANK_CELLS, CELL_PLACES, out);
	return IS_READ(code) && code != READ && encode_read(dev, arg, (uint8_t)code, out);
}

/* Reads that mean something here; other makes share function and address. */
static bool readable(uint16_t first, uint16_t words)
{
	switch (first) {
	case PACK:
		return words >= PACK_WORDS && words <= END_OF_MAP;
	case BANK:
		return words >= 2 && words <= END_OF_MAP - BANK;
	case BANK_COUNT:
		return words == BANK_COUNT_WORDS;
	case BANK_CELLS:
		return words == CELL_PLACES;
	case CONFIG:
		return words >= 1 && words <= CONFIG_WORDS;
	case IDENTITY:
		return words >= IDENTITY_WORDS && words <= 2 * IDENTITY_WORDS;
	default:
		return false;
	}
}

static bool eg4_ll_parse_request(struct bytes tx, struct request *out)
{
	uint8_t function = u8_at(tx, 1);
	uint16_t first = u16be_at(tx, 2), words = u16be_at(tx, 4);
	bool writes = function == MODBUS_WRITE_REGISTER || function == MODBUS_WRITE_REGISTERS;

	if (tx.n != (size_t)modbus_request_length(tx) || !modbus_crc_fits(tx) || u8_at(tx, 0) < FIRST_ADDRESS ||
	    u8_at(tx, 0) > LAST_ADDRESS)
		return false;
	if (function == MODBUS_READ_HOLDING ? !readable(first, words) : !writes || first < CONFIG || first >= IDENTITY)
		return false;
	request_start(out, &eg4_ll_protocol, tx.p[0], 0, (uint16_t)(writes ? WRITE | function : READ | words), first);
	out->writes = writes;
	out->echo_is_reply = function == MODBUS_WRITE_REGISTER;
	request_put(out, tx);
	return true;
}

/* ---- the map of a pack: sheet 5, 6. Offsets are twice the register ---- */

static const struct number_row pack_numbers[] = {
	{0, RAW_U16BE, 100, 0, Q_VOLTAGE_V}, {36, RAW_S16BE, 1, 0, Q_TEMP_MOS_C}, {40, RAW_S16BE, 1, 0, Q_TEMP_MAX_C},
	{46, RAW_U16BE, 1, 0, Q_SOH_PCT},    {48, RAW_U16BE, 1, 0, Q_SOC_PCT},	  {58, RAW_U32BE, 1, 0, Q_CYCLES},
	{72, RAW_U16BE, 1, 0, Q_CELL_COUNT},
};

static const struct detail_row pack_details[] = {
	{38, RAW_S16BE, 1, 0, "temp_avg_C"},  {50, RAW_U16BE, 1, 0, "status_raw"},
	{52, RAW_U16BE, 1, 0, "warning_raw"}, {54, RAW_U16BE, 1, 0, "protection_raw"},
	{56, RAW_U16BE, 1, 0, "error_raw"},
};

/* clang-format off */
#define BOTH(bit, alarm, name) \
	{bit, ALARM_WARNING, ALARM_##alarm, name}, {16 + (bit), ALARM_RAISED, ALARM_##alarm, name}
/* clang-format on */

/* Bits 0..15 warning, 16..31 protection, 32..47 error. */
static const struct alarm_row pack_alarms[] = {
	BOTH(0, HIGH_VOLTAGE, NULL),
	BOTH(1, HIGH_CELL_VOLTAGE, NULL),
	BOTH(2, LOW_VOLTAGE, NULL),
	BOTH(3, LOW_CELL_VOLTAGE, NULL),
	BOTH(4, HIGH_CHARGE_CURRENT, NULL),
	BOTH(5, HIGH_DISCHARGE_CURRENT, NULL),
	BOTH(6, COUNT, "abnormal_ambient_temperature"),
	BOTH(7, HIGH_INTERNAL_TEMPERATURE, NULL),
	BOTH(8, HIGH_CHARGE_TEMPERATURE, NULL),
	BOTH(9, HIGH_TEMPERATURE, NULL),
	BOTH(10, LOW_CHARGE_TEMPERATURE, NULL),
	BOTH(11, LOW_TEMPERATURE, NULL),
	BOTH(12, LOW_SOC, NULL),
	{29, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{29, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{32, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "voltage_sensor_error"},
	{33, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "temperature_sensor_error"},
	{34, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "current_sensor_error"},
	{36, ALARM_RAISED, ALARM_CELL_IMBALANCE, NULL},
};

enum {
	WARNING_FLOAT_STOPPED = 0x2000, /* information, no alarm */
	STATUS_STATE = 0x000f,
	STATUS_HEATER = 0x8000,
	/* The pack map has no MOS bits; these protections keep it from charging and from discharging. */
	FORBIDS_CHARGE = 0x0513,
	FORBIDS_DISCHARGE = 0x2a2c,
};

static uint16_t reg_at(struct bytes values, unsigned reg)
{
	return u16be_at(values, 2u * reg);
}

/* Up to 16 cells from off on, in mV. */
static void take_cells(struct reading *r, struct bytes values, size_t off, unsigned cells)
{
	series_start(&r->cell_V, cells);
	for (unsigned i = 0; i < cells; i++)
		series_set(&r->cell_V, i, u16be_at(values, off + 2 * i) / 1000.0);
}

/*
 * C8 is a place without a sensor. So is 0 at the end, unless the average says that it is about 0 degC: then nobody can
 * tell.
 */
static void take_temperatures(struct reading *r, struct bytes values)
{
	struct bytes sensors = bytes_sub(values, 66, SENSOR_PLACES);
	bool zero_is_none = abs((int16_t)reg_at(values, 19)) > 2;
	unsigned n = SENSOR_PLACES;

	while (n && (u8_at(sensors, n - 1) == 0xc8 || (zero_is_none && u8_at(sensors, n - 1) == 0)))
		n--;
	series_start(&r->temperatures, n);
	for (unsigned i = 0; i < n; i++)
		if (u8_at(sensors, i) != 0xc8)
			series_set(&r->temperatures, i, (int8_t)u8_at(sensors, i));
}

/*
 * 12 V units count the current in 0.1 A, the others in 0.01 A. Whether registers 21 and 22 count tenths is seen where
 * the remaining capacity can be compared with SoC and full capacity; else the 12 V units do, the others not.
 */
static void take_scaled(struct device *dev, struct bytes values)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;
	bool is_12V = reg_at(values, 36) <= 4;
	double full = u32be_at(values, 62) / 3600000.0, soc = reg_at(values, 24), remaining = reg_at(values, 21);
	double expected = soc * full / 100;
	int into = (int16_t)reg_at(values, 1);

	if (full > 0 && remaining > 0 && soc >= 5)
		s->tenths = 1 + (fabs(remaining / 10 - expected) < fabs(remaining - expected));
	double divisor = (s->tenths ? s->tenths == 2 : is_12V) ? 10 : 1;

	reading_set(r, Q_CURRENT_A, (dev->options.invert_current ? -into : into) / (is_12V ? 10.0 : 100.0));
	reading_set(r, Q_BMS_CCL_A, reg_at(values, 22) / divisor);
	reading_set(r, Q_CAPACITY_FULL_AH, full > 0 ? full : NAN);
	/* Some units do not fill it in. */
	reading_set(r, Q_CAPACITY_REMAINING_AH, remaining > 0 || soc < 1 ? remaining / divisor : NAN);
	reading_set(r, Q_CAPACITY_DESIGN_AH, reg_at(values, 37) ? reg_at(values, 37) / 10.0 : NAN);
}

/* What counts as charging to the unit is discharging here, and the other way round: bits 4 and 5. */
static uint16_t swap_currents(uint16_t word)
{
	return (uint16_t)((word & ~0x30u) | (word & 0x10u) << 1 | (word & 0x20u) >> 1);
}

static void take_pack_bits(struct device *dev, struct bytes values)
{
	struct reading *r = &dev->reading;
	uint16_t status = reg_at(values, 25), warning = reg_at(values, 26), protection = reg_at(values, 27);

	reading_set_flag(r, F_HEATER_ON, status & STATUS_HEATER);
	reading_set_flag(r, F_CHARGE_ALLOWED, !(protection & FORBIDS_CHARGE));
	reading_set_flag(r, F_DISCHARGE_ALLOWED, !(protection & FORBIDS_DISCHARGE));
	reading_set_detail(r, "state", status & STATUS_STATE); /* 1 charging, 2 discharging, 4 protection, 8 limited */
	reading_set_detail(r, "float_stopped", (warning & WARNING_FLOAT_STOPPED) != 0);
	if (dev->options.invert_current) {
		warning = swap_currents(warning);
		protection = swap_currents(protection);
	}
	alarms_clear(&r->alarms);
	table_alarms(ROWS(pack_alarms), warning | (uint64_t)protection << 16 | (uint64_t)reg_at(values, 28) << 32,
		     &r->alarms);
	r->balancing_known = true;
	r->balancing = reg_at(values, 38);
}

static bool all_zero(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i])
			return false;
	return true;
}

/* Bursts of empty blocks with a good checksum are known (sheet 10). */
static bool believable(struct bytes values, const char **why)
{
	unsigned cells = reg_at(values, 36);

	if (all_zero(values))
		*why = "all zero block";
	else if (reg_at(values, 0) < 500 || reg_at(values, 0) > 6500)
		*why = "pack voltage outside 5..65 V";
	else if (cells < 4 || cells > CELL_PLACES)
		*why = "cell count outside 4..16";
	else if (reg_at(values, 24) > 100)
		*why = "SoC above 100 %";
	else if (!reg_at(values, 23) && !reg_at(values, 37) && !u32be_at(values, 62))
		*why = "SoH and capacities are all zero";
	else
		return true;
	return false;
}

static enum verdict take_pack(struct device *dev, struct bytes values, const char **why)
{
	if (!believable(values, why))
		return FRAME_BAD;
	table_numbers(ROWS(pack_numbers), values, &dev->reading);
	table_details(ROWS(pack_details), values, &dev->reading);
	take_cells(&dev->reading, values, 4, reg_at(values, 36));
	take_temperatures(&dev->reading, values);
	take_scaled(dev, values);
	take_pack_bits(dev, values);
	return FRAME_ANSWER;
}

/* ---- the map of a bank: sheet 9. Offsets are twice the register less 19 ---- */

#define BANK_AT(reg) (2 * ((reg)-BANK))

static const struct number_row bank_numbers[] = {
	{BANK_AT(30), RAW_U16BE, 1, 0, Q_CYCLES}, /* the highest of the bank */
	{BANK_AT(32), RAW_U16BE, 1, 0, Q_SOH_PCT},
	{BANK_AT(33), RAW_U16BE, 20, 0, Q_CAPACITY_DESIGN_AH},
};

static const struct detail_row bank_details[] = {
	{BANK_AT(19), RAW_U16BE, 1, 0, "status_raw"},	      {BANK_AT(20), RAW_U16BE, 1, 0, "protection_raw"},
	{BANK_AT(21), RAW_U16BE, 1, 0, "bank_soc_pct"},	      {BANK_AT(22), RAW_U16BE, 100, 0, "bank_voltage_min_V"},
	{BANK_AT(23), RAW_S16BE, 100, 0, "bank_current_A"},   {BANK_AT(24), RAW_S16BE, 1, 0, "bank_temp_max_C"},
	{BANK_AT(34), RAW_U16BE, 1, 0, "warning_raw"},	      {BANK_AT(37), RAW_U16BE, 1000, 0, "bank_cell_max_V"},
	{BANK_AT(38), RAW_U16BE, 1000, 0, "bank_cell_min_V"},
};

/* Bits 0..15 protection, 16..31 warning: the same ones, it is assumed. */
/* clang-format off */
#define BANK_BOTH(bit, alarm, name) \
	{bit, ALARM_RAISED, ALARM_##alarm, name}, {16 + (bit), ALARM_WARNING, ALARM_##alarm, name}
/* clang-format on */

static const struct alarm_row bank_alarms[] = {
	BANK_BOTH(0, SHORT_CIRCUIT, NULL),
	BANK_BOTH(0, HIGH_DISCHARGE_CURRENT, NULL),
	BANK_BOTH(3, LOW_CELL_VOLTAGE, NULL),
	BANK_BOTH(4, HIGH_DISCHARGE_CURRENT, NULL),
	BANK_BOTH(5, HIGH_CHARGE_CURRENT, NULL),
	BANK_BOTH(6, COUNT, "abnormal_ambient_temperature"),
	BANK_BOTH(7, HIGH_INTERNAL_TEMPERATURE, NULL),
	BANK_BOTH(8, LOW_CHARGE_TEMPERATURE, NULL),
	BANK_BOTH(9, LOW_TEMPERATURE, NULL),
	BANK_BOTH(10, HIGH_CHARGE_TEMPERATURE, NULL),
	BANK_BOTH(11, HIGH_TEMPERATURE, NULL),
	BANK_BOTH(12, HIGH_CELL_VOLTAGE, NULL),
};

enum {
	BANK_FLOAT_STOPPED = 0x0002,
	BANK_PACK_VOLTAGE = 0x2000, /* too low or too high: the bit is the same */
	BANK_CHARGER_VOLTAGE = 0x4000,
	BANK_HEATING = 0x8000,
};

/* Registers 0..18 are empty there (two may not be); what follows can't be the end of a pack's block. */
static bool is_bank(struct bytes values)
{
	unsigned filled = 0;

	for (unsigned i = 0; i < BANK; i++)
		filled += reg_at(values, i) != 0;
	return filled <= 2 && reg_at(values, 21) <= 100 && reg_at(values, 22) >= 4000 && reg_at(values, 22) <= 6000;
}

/* Which of the two the common bit for the pack's voltage means, only the voltage tells. */
static void take_bank_alarms(struct device *dev)
{
	struct reading *r = &dev->reading;
	const struct state *s = dev->state;
	double cell = reading_get(r, Q_VOLTAGE_V) / s->bank_cells;

	if (!(cell > 0))
		cell = reading_detail(r, "bank_cell_min_V");
	enum alarm voltage = cell < 3.0 ? ALARM_LOW_VOLTAGE : ALARM_HIGH_VOLTAGE;

	alarms_clear(&r->alarms);
	table_alarms(ROWS(bank_alarms), s->bank_protection | (uint64_t)s->bank_warning << 16, &r->alarms);
	if (s->bank_warning & BANK_PACK_VOLTAGE)
		alarm_raise(&r->alarms, voltage, ALARM_WARNING);
	if (s->bank_protection & BANK_PACK_VOLTAGE)
		alarm_raise(&r->alarms, voltage, ALARM_RAISED);
}

/*
 * The bank's capacities are told in 0.01 Ah and 16 bits only: they are what is left of them beyond multiples of 655.36
 * Ah. The smallest bank of whole packs whose SoC comes out right is taken.
 */
static void take_bank_capacity(struct reading *r, double remaining, double full, double soc)
{
	const double design = reading_get(r, Q_CAPACITY_DESIGN_AH), wrap = 655.36;

	reading_set_detail(r, "bank_capacity_remaining_Ah", NAN);
	reading_set_detail(r, "bank_capacity_full_Ah", NAN);
	for (unsigned k = 0; k < LAST_ADDRESS; k++, full += wrap) {
		double packs = rint(full / design);
		double value = remaining + wrap * fmax(rint((full * soc / 100 - remaining) / wrap), 0);

		if (design > 0 && (packs < 1 || fabs(full - packs * design) > 1))
			continue;
		if (!(full > 0) || value > 1.05 * full || fabs(100 * value / full - soc) > 1)
			continue;
		reading_set_detail(r, "bank_capacity_remaining_Ah", value);
		reading_set_detail(r, "bank_capacity_full_Ah", full);
		return;
	}
}

static void take_bank_bits(struct device *dev, struct bytes values)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;
	uint16_t status = u16be_at(values, BANK_AT(19)), both;

	s->bank_protection = u16be_at(values, BANK_AT(20));
	s->bank_warning = u16be_at(values, BANK_AT(34));
	if (dev->options.invert_current) {
		s->bank_protection = swap_currents(s->bank_protection);
		s->bank_warning = swap_currents(s->bank_warning);
	}
	both = s->bank_protection | s->bank_warning;
	reading_set_detail(r, "state", status & 3); /* 1 charging, 2 discharging, 3 both */
	reading_set_detail(r, "float_stopped", (both & BANK_FLOAT_STOPPED) != 0);
	reading_set_detail(r, "charger_voltage", (both & BANK_CHARGER_VOLTAGE) != 0);
	reading_set_flag(r, F_DISCHARGE_MOS, status >> 5 & 1);
	reading_set_flag(r, F_CHARGE_MOS, status >> 6 & 1);
	reading_set_flag(r, F_HEATER_ON, both & BANK_HEATING);
	take_bank_alarms(dev);
}

/*
 * values begins at register 19. What it tells of the bank are details: this pack's own SoC and current are not told,
 * and the voltage is the lowest of the bank's packs, not its own.
 */
static enum verdict take_bank(struct device *dev, struct bytes values, const char **why)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;
	char version[12];

	if (u16be_at(values, BANK_AT(21)) > 100) {
		*why = "SoC above 100 %";
		return FRAME_BAD;
	}
	s->map = MAP_BANK;
	s->typical = u16be_at(values, BANK_AT(25)) == 30000 && u16be_at(values, BANK_AT(35)) == 30000;
	s->bank_lowest_pack = u16be_at(values, BANK_AT(22));
	table_numbers(ROWS(bank_numbers), values, r);
	table_details(ROWS(bank_details), values, r);
	if (dev->options.invert_current)
		reading_set_detail(r, "bank_current_A", -reading_detail(r, "bank_current_A"));
	if (bytes_has(values, BANK_AT(26), 4))
		take_bank_capacity(r, u16be_at(values, BANK_AT(26)) / 100.0, u16be_at(values, BANK_AT(27)) / 100.0,
				   u16be_at(values, BANK_AT(21)));
	if (bytes_has(values, BANK_AT(28), 2)) {
		snprintf(version, sizeof(version), "%u.%u", u8_at(values, BANK_AT(28)), u8_at(values, BANK_AT(28) + 1));
		reading_set_text(r, T_FIRMWARE_VERSION, version);
	}
	take_bank_bits(dev, values);
	return FRAME_ANSWER;
}

static enum verdict take_bank_count(struct device *dev, struct bytes values)
{
	struct state *s = dev->state;
	uint16_t cells = reg_at(values, 2);

	s->bank_cells = cells == 15 || cells == 16 ? (uint8_t)cells : 0;
	reading_set(&dev->reading, Q_CELL_COUNT, s->bank_cells ? s->bank_cells : NAN);
	return FRAME_ANSWER;
}

/* The cells of this pack, and its voltage, which nothing else tells; neither where they do not fit the bank. */
static enum verdict take_bank_cells(struct device *dev, struct bytes values)
{
	struct reading *r = &dev->reading;
	const struct state *s = dev->state;
	bool fits = s->bank_cells;
	unsigned sum = 0;

	for (unsigned i = 0; i < s->bank_cells; i++) {
		fits = fits && reg_at(values, i) >= 1000 && reg_at(values, i) <= 5000;
		sum += reg_at(values, i);
	}
	fits = fits && sum + 500 >= 10u * s->bank_lowest_pack;
	if (fits) {
		take_cells(r, values, 0, s->bank_cells);
		reading_set(r, Q_VOLTAGE_V, sum / 1000.0);
	} else {
		memset(&r->cell_V, 0, sizeof(r->cell_V));
		reading_forget(r, Q_VOLTAGE_V);
	}
	take_bank_alarms(dev);
	return FRAME_ANSWER;
}

/* ---- identity: sheet 5 ---- */

static const struct text_row identity_texts[] = {
	{0, 24, T_MODEL},
	{24, 6, T_FIRMWARE_VERSION},
	{30, 16, T_SERIAL_NUMBER},
};

/* Text, and nothing but zeros behind it. A serial number that was never set is neither. */
static bool is_text(struct bytes b)
{
	size_t n = 0;

	while (n < b.n && b.p[n] >= 0x20 && b.p[n] <= 0x7e)
		n++;
	return n && all_zero(bytes_sub(b, n, b.n));
}

static void take_identity(struct device *dev, struct bytes values)
{
	const struct text_row *row = identity_texts;

	for (size_t i = 0; i < sizeof(identity_texts) / sizeof(identity_texts[0]); i++, row++)
		if (is_text(bytes_sub(values, row->off, row->n)))
			table_texts(row, 1, values, &dev->reading);
}

/* ---- configuration: sheet 8. Offsets are twice the register less 45 ---- */

#define CONFIG_AT(reg) (2 * ((reg)-CONFIG))

/* clang-format off */
#define SETTING(reg, divisor, add, name) {CONFIG_AT(reg), RAW_U16BE, divisor, add, name, SETTING_NUMBER}

static const struct setting_row config_settings[] = {
	SETTING(56, 1000, 0, "balance_start_V"),
	SETTING(57, 1000, 0, "balance_trigger_V"),
	SETTING(58, 1, 0, "low_capacity_warning"), /* Ah or %, nobody knows */
	SETTING(61, 1000, 0, "cell_low_warning_V"),
	SETTING(62, 1000, 0, "cell_uvp_V"),
	SETTING(63, 1000, 0, "cell_uvpr_V"),
	SETTING(64, 100, 0, "pack_low_warning_V"),
	SETTING(65, 100, 0, "pack_uvp_V"),
	SETTING(66, 100, 0, "pack_uvpr_V"),
	SETTING(67, 1000, 0, "cell_high_warning_V"),
	SETTING(68, 1000, 0, "cell_ovp_V"),
	SETTING(69, 1000, 0, "cell_ovpr_V"),
	SETTING(70, 100, 0, "pack_high_warning_V"),
	SETTING(71, 100, 0, "pack_ovp_V"),
	SETTING(72, 100, 0, "pack_ovpr_V"),
	SETTING(73, 1, 0, "register_73"),
	SETTING(74, 1, 0, "register_74"),
	SETTING(76, 1, 0, "charge_ocp_lock_count"),
	SETTING(77, 1, 0, "discharge_ocp_lock_count"),
	SETTING(78, 1, 0, "charge_ocpr_s"),
	SETTING(79, 1, 0, "discharge_ocpr_s"),
	SETTING(80, 100, 0, "charge_ocp_A"),
	SETTING(81, 100, 0, "discharge_ocp_A"),
	/* One of the two is the second discharge level, the other the short circuit; which, is unproven. */
	SETTING(82, 100, 0, "discharge_ocp2_or_short_82_A"),
	SETTING(83, 100, 0, "charge_ocp2_A"),
	SETTING(84, 100, 0, "discharge_ocp2_or_short_84_A"),
	SETTING(85, 1, 0, "charge_ocp_delay_s"),
	SETTING(86, 1, 0, "charge_ocp2_delay_s"),
	SETTING(87, 1, 0, "discharge_ocp_delay_s"),
	SETTING(88, 1, 0, "discharge_ocp2_delay_s"),
	SETTING(90, 1, -50, "charge_ut_warning_C"),
	SETTING(91, 1, -50, "charge_utp_C"),
	SETTING(92, 1, -50, "charge_utpr_C"),
	SETTING(93, 1, -50, "charge_ot_warning_C"),
	SETTING(94, 1, -50, "charge_otp_C"),
	SETTING(95, 1, -50, "charge_otpr_C"),
	SETTING(96, 1, -50, "discharge_ut_warning_C"),
	SETTING(97, 1, -50, "discharge_utp_C"),
	SETTING(98, 1, -50, "discharge_utpr_C"),
	SETTING(99, 1, -50, "discharge_ot_warning_C"),
	SETTING(100, 1, -50, "discharge_otp_C"),
	SETTING(101, 1, -50, "discharge_otpr_C"),
	SETTING(102, 1, -50, "mos_ot_warning_C"),
	SETTING(103, 1, -50, "mos_otp_C"),
	SETTING(104, 1, -50, "mos_otpr_C"),
	SETTING(128, 1, -50, "heat_start_C"),
	SETTING(129, 1, -50, "heat_stop_C"),
	SETTING(130, 1, -50, "ambient_ut_warning_C"),
	SETTING(131, 1, -50, "ambient_utp_C"),
	SETTING(132, 1, -50, "ambient_utpr_C"),
	SETTING(133, 1, -50, "ambient_ot_warning_C"),
	SETTING(134, 1, -50, "ambient_otp_C"),
	SETTING(135, 1, -50, "ambient_otpr_C"),
};
/* clang-format on */

/* The hour is BCD; everything else has its own offset. */
static void take_clock(struct device *dev, struct bytes values)
{
	int year = u8_at(values, 0) + 1922, month = u8_at(values, 1) - 5, day = u8_at(values, 5);
	int hour = (u8_at(values, 2) >> 4) * 10 + (u8_at(values, 2) & 15), minute = u8_at(values, 3) - 110;
	int second = u8_at(values, 6) - 5;
	char text[40];

	if (!bytes_has(values, 0, 8) || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute < 0 ||
	    minute > 59 || second < 0 || second > 59)
		return;
	snprintf(text, sizeof(text), "%04d-%02d-%02d %02d:%02d:%02d", year, month, day, hour, minute, second);
	settings_set_text(&dev->settings, "clock", text);
}

static enum verdict take_config(struct device *dev, struct bytes values, const char **why)
{
	if (all_zero(values)) {
		*why = "all zero block";
		return FRAME_BAD;
	}
	table_settings(ROWS(config_settings), values, &dev->settings);
	take_clock(dev, values);
	take_identity(dev, bytes_sub(values, CONFIG_AT(IDENTITY), values.n));
	return FRAME_ANSWER;
}

/* ---- replies ---- */

/* A read that runs beyond the map brings what there is; no other length is the answer to it. */
static bool length_fits(const struct request *pending, struct bytes values)
{
	unsigned words = pending->code & 0xff;
	bool clipped = pending->arg + words > END_OF_MAP && pending->arg < END_OF_MAP;

	return values.n == 2 * words || (clipped && values.n == 2u * (END_OF_MAP - pending->arg));
}

/* A unit that changes its map has become another one. */
static void note_map(struct device *dev, enum map map)
{
	struct state *s = dev->state;

	if (s->map != map) {
		dev->reading = (struct reading){0};
		*s = (struct state){.map = (uint8_t)map};
	}
}

static enum verdict take_first(struct device *dev, struct bytes values, const char **why)
{
	bool bank = is_bank(values);

	if (!bank && !believable(values, why))
		return FRAME_BAD;
	note_map(dev, bank ? MAP_BANK : MAP_PACK);
	return bank ? take_bank(dev, bytes_sub(values, 2 * BANK, values.n), why) : take_pack(dev, values, why);
}

static enum verdict take_read(struct device *dev, const struct request *pending, struct bytes values, const char **why)
{
	switch (pending->arg) {
	case PACK:
		return take_first(dev, values, why);
	case BANK:
		return take_bank(dev, values, why);
	case BANK_COUNT:
		return take_bank_count(dev, values);
	case BANK_CELLS:
		return take_bank_cells(dev, values);
	case CONFIG:
		return take_config(dev, values, why);
	case IDENTITY: /* may be empty: boards without a name are known */
		take_identity(dev, values);
		return FRAME_ANSWER;
	default:
		return FRAME_FOREIGN;
	}
}

static enum verdict eg4_ll_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct bytes values = {NULL, 0};
	enum verdict verdict = modbus_judge((struct bytes){pending->tx, pending->n}, frame, &values, why);

	if (verdict != FRAME_ANSWER || !IS_READ(pending->code))
		return verdict;
	if (!length_fits(pending, values))
		return FRAME_FOREIGN;
	verdict = take_read(dev, pending, values, why);
	if (verdict == FRAME_ANSWER)
		reading_set(&dev->reading, Q_ADDRESS, pending->address);
	return verdict;
}

/* ---- is it one: sheet 4 ---- */

/* The bank's highest and lowest cell enclose those of this pack; the two are measured at different times. */
static bool cells_fit_bank(const struct reading *r)
{
	double highest = reading_detail(r, "bank_cell_max_V") + 0.1,
	       lowest = reading_detail(r, "bank_cell_min_V") - 0.1;

	for (unsigned i = 0; i < r->cell_V.count; i++)
		if (!(r->cell_V.value[i] <= highest && r->cell_V.value[i] >= lowest))
			return false;
	return r->cell_V.count > 0;
}

static bool eg4_ll_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;
	const struct state *s = dev->state;
	bool temperature = fabs(reading_get(r, Q_TEMP_MOS_C)) <= 150;

	if (s->map == MAP_UNKNOWN)
		*why = "it has sent no block of values";
	else if (s->map == MAP_BANK && !(s->typical && cells_fit_bank(r)))
		*why = "it shows no bank and no cells that fit it";
	else if (s->map == MAP_PACK && !cells_make_up_voltage(r))
		*why = "the cells do not add up to the pack voltage";
	else if (s->map == MAP_PACK && !(temperature && reading_get(r, Q_SOH_PCT) <= 100))
		*why = "temperature or SoH out of range";
	else
		return reading_plausible(r, why);
	return false;
}

/* ---- what the engine needs to know ---- */

static bool speaks_for_bank(const struct device *dev)
{
	return ((const struct state *)dev->state)->map == MAP_BANK;
}

/* Identity and configuration are not confirmed on units with the bank map: they are not asked. */
static bool is_pack(const struct device *dev)
{
	return ((const struct state *)dev->state)->map == MAP_PACK;
}

static const struct line lines[] = {{9600, 8, 'N', 1}, {19200, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"EG4_LL", NULL};

/* The identity now and then, not once: what came may have been one of the empty blocks. */
static const struct poll polls[] = {
	{READ | PACK_WORDS, PACK, EVERY_POLL, true, NULL},
	{READ | BANK_COUNT_WORDS, BANK_COUNT, EVERY_POLL, true, speaks_for_bank},
	{READ | CELL_PLACES, BANK_CELLS, EVERY_POLL, true, speaks_for_bank},
	{READ | IDENTITY_WORDS, IDENTITY, 600000, false, is_pack},
	{READ | CONFIG_WORDS, CONFIG, 300000, false, is_pack},
};

/* The second one asks again: within 100 ms after a reply, be it to another make's question, a unit hears nothing. */
static const struct probe probes[] = {
	{READ | PACK_WORDS, PACK, FIRST_ADDRESS, DIP_LAST, 0, 0, 120, false},
	{READ | PACK_WORDS, PACK, FIRST_ADDRESS, FIRST_ADDRESS, 0, 1, 120, false},
	{READ | PACK_WORDS, PACK, DIP_LAST, DIP_LAST, 0, 2, 120, false}, /* all switches on, the document's default */
	{READ | PACK_WORDS, PACK, LAST_ADDRESS, LAST_ADDRESS, 0, 2, 120, false},
};

#define QUANTITY(id)  (UINT64_C(1) << Q_##id)
#define ALARM_BIT(id) (UINT32_C(1) << ALARM_##id)

const struct protocol eg4_ll_protocol = {
	.id = "eg4-ll",
	.title = "EG4-LL, LifePower4 V2, WP (Zetara boards)",
	.manufacturer = "EG4",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.also_ble = true,
	.lines = lines,
	.timing = {.first_ms = 500,
		   .gap_ms = 100,
		   .pause_ms = 100,
		   .late_ms = 1000,
		   .scan_ms = 300,
		   .tries = 3,
		   .poll_ms = 3000},
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING,
	.quantities = QUANTITY(ADDRESS) | QUANTITY(VOLTAGE_V) | QUANTITY(CURRENT_A) | QUANTITY(SOC_PCT) |
		      QUANTITY(SOH_PCT) | QUANTITY(CAPACITY_FULL_AH) | QUANTITY(CAPACITY_DESIGN_AH) |
		      QUANTITY(CAPACITY_REMAINING_AH) | QUANTITY(CYCLES) | QUANTITY(CELL_COUNT) | QUANTITY(TEMP_MAX_C) |
		      QUANTITY(TEMP_MOS_C) | QUANTITY(BMS_CCL_A),
	.flags = 1u << F_CHARGE_MOS | 1u << F_DISCHARGE_MOS | 1u << F_HEATER_ON | 1u << F_CHARGE_ALLOWED |
		 1u << F_DISCHARGE_ALLOWED,
	.alarms = ALARM_BIT(HIGH_VOLTAGE) | ALARM_BIT(LOW_VOLTAGE) | ALARM_BIT(HIGH_CELL_VOLTAGE) |
		  ALARM_BIT(LOW_CELL_VOLTAGE) | ALARM_BIT(LOW_SOC) | ALARM_BIT(HIGH_CHARGE_CURRENT) |
		  ALARM_BIT(HIGH_DISCHARGE_CURRENT) | ALARM_BIT(CELL_IMBALANCE) | ALARM_BIT(INTERNAL_FAILURE) |
		  ALARM_BIT(HIGH_CHARGE_TEMPERATURE) | ALARM_BIT(LOW_CHARGE_TEMPERATURE) | ALARM_BIT(HIGH_TEMPERATURE) |
		  ALARM_BIT(LOW_TEMPERATURE) | ALARM_BIT(HIGH_INTERNAL_TEMPERATURE) | ALARM_BIT(SHORT_CIRCUIT),
	.first_address = FIRST_ADDRESS,
	.last_address = DIP_LAST, /* who has more than that names them: a search of 64 takes half a minute */
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {CONFIRM_WHO, CONFIRM_CELLS},
	.confirm_count = 2,
	.encode = eg4_ll_encode,
	.find_frame = modbus_find_reply,
	.take = eg4_ll_take,
	.plausible = eg4_ll_plausible,
	.parse_request = eg4_ll_parse_request,
};
