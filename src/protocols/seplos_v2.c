/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Seplos V2 (1101 boards, EMU10xx) and Boqiang on RS485: '~' ... CR frames with VER 20 or 26, sheet seplos-v2.
 * There is no command that switches the MOS; the SoC goes into the parameter block that A1 writes. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/ascii_1363.h"
#include "protocols/plausible.h"
#include "protocols/procedure.h"
#include "protocols/protocol.h"
#include "protocols/table.h"

extern const struct protocol seplos_v2_protocol;

/* ANSWERS_AS_0: firmware whose replies carry ADR 00 whatever the DIP switches say; alone on its cable. */
enum dialect { SEPLOS, BOQIANG, ANSWERS_AS_0 };

/* A request's code is its CID2. */
enum cid2 {
	CMD_TELEMETRY = 0x42,
	CMD_SIGNALS = 0x44,
	CMD_PARAMETERS = 0x47,
	CMD_CLOCK = 0x4d,
	CMD_VERSION = 0x4f,
	CMD_VENDOR = 0x51,
	CMD_LIMITS_OF_PYLONTECH = 0x92, /* these two a Seplos does not know: ascii-1363 8 */
	CMD_INFORMATION_OF_PYLONTECH = 0x93,
	CMD_SET_PARAMETERS = 0xa1,
};

enum {
	VER_SEPLOS = 0x20,
	VER_BOQIANG = 0x26,
	CID1 = 0x46,
	MAX_ADDRESS = 15,
	RTN_UNKNOWN_COMMAND = 0x04,
	MIN_CELLS = 4,
	SEPLOS_MAX_CELLS = 24,
	MAX_SENSORS = 8,
	SENSOR_AMBIENT = 4, /* of 6: four at the cells, then these two */
	SENSOR_MOS = 5,
	ITEMS_SEPLOS = 10, /* user defined items of 42 */
	ITEMS_BOQIANG = 2,
	SIGNAL_BYTES = 20,
	BALANCE_BITS = 16,
	VENDOR_SIZE = 32,
	CLOCK_SIZE = 7,
	TWO_PERCENT = 50, /* one part of so many */
};

/* The parameter block: sheet 8. */
enum {
	BLOCK_SIZE = 169,
	WORDS = 60,
	WORDS_AT = 2,
	BYTES = 27,
	BYTES_AT = 123,
	FIRST_BYTE = 0x3c, /* index of the first byte parameter */
	MASKS = 8,
	MASKS_AT = 151,
	MODEL_AT = 159,
	MODEL_SIZE = 10,
	WORD_SOC_PRESET = 0x3b,
	BYTE_CELLS = 0x41,
	CELL_WORDS = 10, /* the first so many are cell voltages */
};

#define WORD_AT(index)	     (WORDS_AT + 2 * (index))
#define BYTE_AT(index)	     (BYTES_AT + (index)-FIRST_BYTE)
#define FULL_CAPACITY_MAX_AH 655.35

struct state {
	bool block_known;
	uint8_t block[BLOCK_SIZE]; /* as read last */
	uint8_t sent[BLOCK_SIZE];  /* as written last */
};

/* ---- requests ---- */

static void put_block(struct request *out, struct state *s, uint16_t soc_preset)
{
	memcpy(s->sent, s->block, BLOCK_SIZE);
	s->sent[0] = 0;
	put_u16be(s->sent + WORD_AT(WORD_SOC_PRESET), soc_preset);
	ascii_1363_build(out, ASCII_1363_SOI, VER_SEPLOS, CID1, CMD_SET_PARAMETERS,
			 (struct bytes){s->sent, BLOCK_SIZE});
}

/* arg: of A1 the SoC preset in 0.01 Ah; everything else in the block stays as it was read. Else 0. */
static bool seplos_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	struct state *s = dev->state;
	bool boqiang = dev->dialect == BOQIANG;
	bool grouped = code == CMD_TELEMETRY || code == CMD_SIGNALS;
	uint8_t group = dev->address;

	if (dev->address > MAX_ADDRESS)
		return false;
	if (code == CMD_SET_PARAMETERS && (boqiang || !s->block_known))
		return false;
	request_start(out, dev->protocol, dev->address, dev->dialect, code, arg);
	if (code == CMD_SET_PARAMETERS) {
		put_block(out, s, arg);
		out->writes = true;
		out->first_ms = 1500;
		return true;
	}
	ascii_1363_build(out, ASCII_1363_SOI, boqiang ? VER_BOQIANG : VER_SEPLOS, CID1, (uint8_t)code,
			 (struct bytes){&group, grouped});
	return true;
}

/* INFO bytes that a request of this code may have; the second is that of programs that always send a group. */
static bool info_fits(uint8_t code, size_t n)
{
	switch (code) {
	case CMD_TELEMETRY:
	case CMD_SIGNALS:
		return n == 1;
	case CMD_PARAMETERS:
		return n <= 1;
	case CMD_CLOCK:
	case CMD_VERSION:
	case CMD_VENDOR:
	case CMD_LIMITS_OF_PYLONTECH:
	case CMD_INFORMATION_OF_PYLONTECH:
		return n == 0;
	case CMD_SET_PARAMETERS:
		return n == BLOCK_SIZE;
	default:
		return false;
	}
}

static bool seplos_parse_request(struct bytes tx, struct request *out)
{
	struct ascii_1363 f;

	if (u8_at(tx, 0) != ASCII_1363_SOI || !ascii_1363_open(tx, &f) || f.length_wrong || tx.n > MAX_REQUEST)
		return false;
	if ((f.ver != VER_SEPLOS && f.ver != VER_BOQIANG) || f.cid1 != CID1 || f.adr > MAX_ADDRESS ||
	    !info_fits(f.code, f.n))
		return false;
	request_start(out, &seplos_v2_protocol, f.adr, f.ver == VER_BOQIANG ? BOQIANG : SEPLOS, f.code, 0);
	if (f.code == CMD_SET_PARAMETERS) {
		out->arg = u16be_at(ascii_1363_info(&f), WORD_AT(WORD_SOC_PRESET));
		out->writes = true;
	}
	request_put(out, tx);
	return true;
}

/* ---- 42 telemetry: sheet 5.1 ---- */

/* Behind cells and temperatures. */
static const struct number_row seplos_numbers[] = {
	{2, RAW_U16BE, 100, 0, Q_VOLTAGE_V},
	{4, RAW_U16BE, 100, 0, Q_CAPACITY_REMAINING_AH},
	{7, RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
	{9, RAW_U16BE, 10, 0, Q_SOC_PCT},
	{11, RAW_U16BE, 100, 0, Q_CAPACITY_DESIGN_AH},
	{13, RAW_U16BE, 1, 0, Q_CYCLES},
	{15, RAW_U16BE, 10, 0, Q_SOH_PCT},
};

static const struct detail_row seplos_details[] = {{17, RAW_U16BE, 100, 0, "port_voltage_V"}};

static const struct number_row boqiang_numbers[] = {
	{2, RAW_U16BE, 100, 0, Q_VOLTAGE_V},
	{4, RAW_U16BE, 100, 0, Q_CAPACITY_REMAINING_AH},
	{7, RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
	{9, RAW_U16BE, 1, 0, Q_CYCLES},
};

enum { SEPLOS_TAIL = 27, BOQIANG_TAIL = 11, ITEMS_AT = 6, SOC_AT = 9, VOLTAGE_AT = 2 };

/* Where the fields behind cells and temperatures begin; the counts are as they stand in the frame. */
static size_t tail_at(struct bytes info)
{
	size_t cells = u8_at(info, 2);

	return 4 + 2 * cells + 2 * (size_t)u8_at(info, 3 + 2 * cells);
}

/* A reply does not say what it answers: counts, length and item count must all fit (ascii-1363 7, 10). */
static bool telemetry_believable(struct bytes info, bool boqiang, const char **why)
{
	unsigned cells = u8_at(info, 2), sensors = u8_at(info, 3 + 2 * (size_t)cells);
	struct bytes tail = bytes_sub(info, tail_at(info), SIZE_MAX);

	if (cells < MIN_CELLS || cells > SEPLOS_MAX_CELLS)
		*why = "cell count outside 4..24";
	else if (sensors < 1 || sensors > MAX_SENSORS)
		*why = "number of temperatures outside 1..8";
	else if (tail.n != (boqiang ? BOQIANG_TAIL : SEPLOS_TAIL))
		*why = "length does not fit the counts of cells and temperatures";
	else if (u8_at(tail, ITEMS_AT) != (boqiang ? ITEMS_BOQIANG : ITEMS_SEPLOS))
		*why = "another device of this family (count of user items)";
	else if (!boqiang && u16be_at(tail, SOC_AT) > 1000)
		*why = "SoC above 100 %";
	else
		return true;
	return false;
}

static unsigned cell_mV(struct bytes info, unsigned cell)
{
	return u16be_at(info, 3 + 2 * (size_t)cell);
}

/* A cell below this is not there, or its wire is off. */
enum { NO_CELL_MV = 500 };

/* Some boards count more cells than are fitted: without them the sum is the pack's voltage (sheet 5.1). A cell
 * whose wire is off is missing in the sum. */
static bool has_absent_cells(struct bytes info, unsigned cells, unsigned voltage_mV)
{
	unsigned sum = 0, low = 0;

	for (unsigned i = 0; i < cells; i++) {
		if (cell_mV(info, i) < NO_CELL_MV)
			low++;
		else
			sum += cell_mV(info, i);
	}
	return low && voltage_mV && fabs((double)sum - voltage_mV) <= (double)voltage_mV / TWO_PERCENT;
}

static void take_cells(struct reading *r, struct bytes info, unsigned voltage_mV)
{
	unsigned cells = u8_at(info, 2);
	bool absent = has_absent_cells(info, cells, voltage_mV);

	while (absent && cell_mV(info, cells - 1) < NO_CELL_MV)
		cells--;
	reading_set(r, Q_CELL_COUNT, cells);
	series_start(&r->cell_V, cells);
	for (unsigned i = 0; i < cells; i++)
		series_set(&r->cell_V, i, absent && cell_mV(info, i) < NO_CELL_MV ? NAN : cell_mV(info, i) / 1000.0);
}

static double celsius(unsigned raw)
{
	return raw && raw != 0xffff ? ((double)raw - 2731) / 10 : NAN;
}

/* sensors: the count byte and what follows it. */
static void take_temperatures(struct reading *r, struct bytes sensors)
{
	unsigned n = u8_at(sensors, 0);
	bool all_six = n > SENSOR_MOS;

	series_start(&r->temperatures, all_six ? n - 2 : n);
	for (unsigned i = 0; i < n; i++) {
		double t = celsius(u16be_at(sensors, 1 + 2 * (size_t)i));

		if (all_six && (i == SENSOR_AMBIENT || i == SENSOR_MOS)) {
			enum quantity q = i == SENSOR_MOS ? Q_TEMP_MOS_C : Q_TEMP_AMBIENT_C;

			reading_forget(r, q);
			reading_set(r, q, t);
		} else {
			series_set(&r->temperatures, i < SENSOR_AMBIENT || !all_six ? i : i - 2, t);
		}
	}
}

static enum verdict take_telemetry(struct device *dev, struct bytes info, const char **why)
{
	struct reading *r = &dev->reading;
	bool boqiang = dev->dialect == BOQIANG;
	struct bytes tail;
	double amps;

	if (!telemetry_believable(info, boqiang, why))
		return FRAME_BAD;
	tail = bytes_sub(info, tail_at(info), SIZE_MAX);
	amps = (int16_t)u16be_at(tail, 0) / 100.0;
	reading_set(r, Q_CURRENT_A, dev->options.invert_current ? -amps : amps);
	take_cells(r, info, 10u * u16be_at(tail, VOLTAGE_AT));
	take_temperatures(r, bytes_sub(info, 3 + 2 * (size_t)u8_at(info, 2), SIZE_MAX));
	if (boqiang) {
		table_numbers(ROWS(boqiang_numbers), tail, r);
		double full = reading_get(r, Q_CAPACITY_FULL_AH);
		double pct = full > 0 ? 100 * reading_get(r, Q_CAPACITY_REMAINING_AH) / full : NAN;

		reading_forget(r, Q_SOC_PCT);
		reading_set(r, Q_SOC_PCT, pct <= 100 ? pct : NAN);
	} else {
		table_numbers(ROWS(seplos_numbers), tail, r);
		table_details(ROWS(seplos_details), tail, r);
	}
	return FRAME_ANSWER;
}

/* ---- 44 signals: sheet 5.2 and 6. Bit = 8 * (event - 1) + bit ---- */

#define EVENT(event, bit) (8 * ((event)-1) + (bit))

static const struct alarm_row alarm_rows[] = {
	{EVENT(1, 0), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "voltage_sensor_fault"},
	{EVENT(1, 1), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "temperature_sensor_fault"},
	{EVENT(1, 2), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "current_sensor_fault"},
	{EVENT(1, 3), ALARM_WARNING, ALARM_INTERNAL_FAILURE, "key_switch_fault"},
	{EVENT(1, 4), ALARM_RAISED, ALARM_CELL_IMBALANCE, NULL},
	{EVENT(1, 4), ALARM_WARNING, ALARM_INTERNAL_FAILURE, NULL},
	{EVENT(1, 5), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "charge_switch_fault"},
	{EVENT(1, 6), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "discharge_switch_fault"},
	{EVENT(1, 7), ALARM_WARNING, ALARM_INTERNAL_FAILURE, "current_limit_switch_fault"},
	{EVENT(2, 0), ALARM_WARNING, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{EVENT(2, 1), ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{EVENT(2, 2), ALARM_WARNING, ALARM_LOW_CELL_VOLTAGE, NULL},
	{EVENT(2, 3), ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{EVENT(2, 4), ALARM_WARNING, ALARM_HIGH_VOLTAGE, NULL},
	{EVENT(2, 5), ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{EVENT(2, 6), ALARM_WARNING, ALARM_LOW_VOLTAGE, NULL},
	{EVENT(2, 7), ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{EVENT(3, 0), ALARM_WARNING, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{EVENT(3, 1), ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{EVENT(3, 2), ALARM_WARNING, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{EVENT(3, 3), ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{EVENT(3, 4), ALARM_WARNING, ALARM_HIGH_TEMPERATURE, NULL},
	{EVENT(3, 5), ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{EVENT(3, 6), ALARM_WARNING, ALARM_LOW_TEMPERATURE, NULL},
	{EVENT(3, 7), ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{EVENT(4, 0), ALARM_WARNING, ALARM_HIGH_TEMPERATURE, "ambient_high_temperature"},
	{EVENT(4, 1), ALARM_RAISED, ALARM_HIGH_TEMPERATURE, "ambient_high_temperature"},
	{EVENT(4, 2), ALARM_WARNING, ALARM_LOW_TEMPERATURE, "ambient_low_temperature"},
	{EVENT(4, 3), ALARM_RAISED, ALARM_LOW_TEMPERATURE, "ambient_low_temperature"},
	/* Against all others the protection comes first here: paper and vendor tool agree. */
	{EVENT(4, 4), ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{EVENT(4, 5), ALARM_WARNING, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{EVENT(4, 7), ALARM_RAISED, ALARM_FUSE_BLOWN, NULL},
	{EVENT(5, 0), ALARM_WARNING, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{EVENT(5, 1), ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{EVENT(5, 2), ALARM_WARNING, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{EVENT(5, 3), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{EVENT(5, 4), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{EVENT(5, 5), ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{EVENT(5, 5), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{EVENT(5, 6), ALARM_RAISED, ALARM_COUNT, "discharge_locked"},
	{EVENT(5, 7), ALARM_RAISED, ALARM_COUNT, "discharge_locked"},
	{EVENT(6, 0), ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{EVENT(6, 2), ALARM_WARNING, ALARM_LOW_SOC, NULL},
	{EVENT(6, 3), ALARM_RAISED, ALARM_LOW_SOC, NULL},
	{EVENT(6, 4), ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{EVENT(6, 5), ALARM_RAISED, ALARM_COUNT, "output_reverse_polarity"},
	{EVENT(6, 6), ALARM_RAISED, ALARM_COUNT, "output_connection_fault"},
	{EVENT(8, 0), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "eeprom_fault"},
	{EVENT(8, 1), ALARM_WARNING, ALARM_INTERNAL_FAILURE, "clock_fault"},
	{EVENT(8, 2), ALARM_WARNING, ALARM_COUNT, "calibration_missing"},
	{EVENT(8, 3), ALARM_WARNING, ALARM_COUNT, "calibration_missing"},
	{EVENT(8, 4), ALARM_WARNING, ALARM_COUNT, "calibration_missing"},
};

/* Sense wires, bit 0 = cell 1. */
static const struct alarm_row wire_rows[] = {
	{0, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_1_wire_broken"},
	{1, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_2_wire_broken"},
	{2, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_3_wire_broken"},
	{3, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_4_wire_broken"},
	{4, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_5_wire_broken"},
	{5, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_6_wire_broken"},
	{6, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_7_wire_broken"},
	{7, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_8_wire_broken"},
	{8, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_9_wire_broken"},
	{9, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_10_wire_broken"},
	{10, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_11_wire_broken"},
	{11, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_12_wire_broken"},
	{12, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_13_wire_broken"},
	{13, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_14_wire_broken"},
	{14, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_15_wire_broken"},
	{15, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_16_wire_broken"},
};

#define BIT(event, bit) (UINT64_C(1) << EVENT(event, bit))
#define STOPS_CHARGE	(BIT(2, 1) | BIT(2, 5) | BIT(3, 1) | BIT(3, 3) | BIT(5, 1) | BIT(6, 0) | BIT(6, 4))
#define STOPS_DISCHARGE                                                                                                \
	(BIT(2, 3) | BIT(2, 7) | BIT(3, 5) | BIT(3, 7) | BIT(5, 3) | BIT(5, 4) | BIT(5, 5) | BIT(5, 6) | BIT(5, 7) |   \
	 BIT(6, 3))
#define CHARGE_CURRENT	  (BIT(5, 0) | BIT(5, 1))
#define DISCHARGE_CURRENT (BIT(5, 2) | BIT(5, 3))

/* What lies behind the alarm bytes of cells and sensors: a in the sheet's table. */
enum {
	EVENTS_AT = 3,
	EVENTS_1_TO = 6,
	SWITCHES_AT = 9,
	BALANCING_AT = 10,
	STATE_AT = 12,
	WIRES_AT = 13,
	EVENT_7_AT = 15
};
enum { MODE_AT = 22, SIGNALS_TAIL = 23 };

static const struct detail_row signal_details[] = {
	{0, RAW_U8, 1, 0, "current_alarm_code"},
	{1, RAW_U8, 1, 0, "voltage_alarm_code"},
	{STATE_AT, RAW_U8, 1, 0, "system_state_bits"}, /* 1 discharge 2 charge 4 float 8 full 10 standby 20 off */
	{MODE_AT, RAW_U8, 1, 0, "mode_bits"},
};

/* States among the events that are no alarms. */
static const struct {
	uint8_t bit;
	const char *name;
} event_details[] = {
	{EVENT(6, 1), "intermittent_recharge_waiting"},
	{EVENT(7, 4), "automatic_charge_waiting"},
	{EVENT(7, 5), "manual_charge_waiting"},
};

/* Which of n alarm bytes are 01 (below a limit), 02 (above) or something else (a fault), as bits from 0. */
static void take_places(struct reading *r, struct bytes codes, const char *low, const char *high, const char *fault)
{
	uint32_t bits[3] = {0};

	for (unsigned i = 0; i < codes.n; i++) {
		unsigned code = codes.p[i];

		if (code)
			bits[code < 3 ? code - 1 : 2] |= 1u << i;
	}
	reading_set_detail(r, low, bits[0] ? bits[0] : NAN);
	reading_set_detail(r, high, bits[1] ? bits[1] : NAN);
	reading_set_detail(r, fault, bits[2] ? bits[2] : NAN);
}

static uint64_t event_word(struct bytes tail)
{
	uint64_t word = 0;

	for (unsigned i = 0; i < 8; i++)
		word |= (uint64_t)u8_at(tail, i < EVENTS_1_TO ? EVENTS_AT + i : EVENT_7_AT + i - EVENTS_1_TO)
			<< (8 * i);
	return word;
}

static void take_events(struct device *dev, uint64_t word, unsigned broken_wires)
{
	struct reading *r = &dev->reading;

	/* What counts as charging to the board is discharging here, and the other way round. */
	if (dev->options.invert_current)
		word = (word & ~(CHARGE_CURRENT | DISCHARGE_CURRENT)) | (word & CHARGE_CURRENT) << 2 |
		       (word & DISCHARGE_CURRENT) >> 2;
	alarms_clear(&r->alarms);
	table_alarms(ROWS(alarm_rows), word, &r->alarms);
	table_alarms(ROWS(wire_rows), broken_wires, &r->alarms);
	for (size_t i = 0; i < sizeof(event_details) / sizeof(event_details[0]); i++)
		reading_set_detail(r, event_details[i].name, word >> event_details[i].bit & 1);
}

static void take_switches(struct reading *r, uint8_t switches, uint64_t events)
{
	reading_set_flag(r, F_DISCHARGE_MOS, switches & 1);
	reading_set_flag(r, F_CHARGE_MOS, switches & 2);
	reading_set_detail(r, "current_limiter_on", switches >> 2 & 1);
	reading_set_flag(r, F_HEATER_ON, switches & 8 || events & BIT(4, 6));
	reading_set_flag(r, F_CHARGE_ALLOWED, switches & 2 && !(events & STOPS_CHARGE));
	reading_set_flag(r, F_DISCHARGE_ALLOWED, switches & 1 && !(events & STOPS_DISCHARGE));
}

/* Bits 0-7 in the first byte. */
static unsigned bits16(struct bytes tail, size_t off)
{
	return u8_at(tail, off) | (unsigned)u8_at(tail, off + 1) << 8;
}

static enum verdict take_signals(struct device *dev, struct bytes info, const char **why)
{
	struct reading *r = &dev->reading;
	unsigned cells = u8_at(info, 2), sensors = u8_at(info, 3 + (size_t)cells);
	struct bytes tail = bytes_sub(info, 4 + (size_t)cells + sensors, SIZE_MAX);
	uint64_t events = event_word(tail);

	if (cells < MIN_CELLS || cells > SEPLOS_MAX_CELLS || sensors < 1 || sensors > MAX_SENSORS ||
	    tail.n != SIGNALS_TAIL || u8_at(tail, 2) != SIGNAL_BYTES) {
		*why = "length does not fit the counts of cells, temperatures and events";
		return FRAME_BAD;
	}
	if (!r->cell_V.reported) /* 42 knows which of them are fitted */
		reading_set(r, Q_CELL_COUNT, cells);
	take_places(r, bytes_sub(info, 3, cells), "cells_low_bits", "cells_high_bits", "cells_fault_bits");
	take_places(r, bytes_sub(info, 4 + (size_t)cells, sensors), "sensors_low_bits", "sensors_high_bits",
		    "sensors_fault_bits");
	table_details(ROWS(signal_details), tail, r);
	take_events(dev, events, bits16(tail, WIRES_AT));
	take_switches(r, u8_at(tail, SWITCHES_AT), events);
	r->balancing = bits16(tail, BALANCING_AT);
	r->balancing_known = true;
	reading_set_flag(r, F_BALANCING_ACTIVE, r->balancing != 0);
	return FRAME_ANSWER;
}

/* ---- 51 vendor, 4D clock: sheet 5.3, 5.5 ---- */

static const struct text_row vendor_texts[] = {{0, MODEL_SIZE, T_MODEL}};

static enum verdict take_vendor(struct device *dev, struct bytes info, const char **why)
{
	struct reading *r = &dev->reading;
	char text[32];

	if (info.n != VENDOR_SIZE || u8_at(info, 0) <= ' ' || u8_at(info, 0) > '~') {
		*why = "no vendor information";
		return FRAME_BAD;
	}
	table_texts(ROWS(vendor_texts), info, r);
	snprintf(text, sizeof(text), "%u.%u", u8_at(info, 10), u8_at(info, 11));
	reading_set_text(r, T_FIRMWARE_VERSION, text);
	bytes_text(bytes_sub(info, 12, 20), text, sizeof(text));
	if (dev->dialect == BOQIANG)
		reading_set_text(r, T_MANUFACTURER, text);
	else if (text[0]) /* which inverter the CAN port is set to */
		settings_set_text(&dev->settings, "can_protocol", text);
	return FRAME_ANSWER;
}

static enum verdict take_clock(struct device *dev, struct bytes info, const char **why)
{
	char text[MAX_SETTING_TEXT];
	unsigned month = u8_at(info, 2), day = u8_at(info, 3);

	if (info.n != CLOCK_SIZE || month < 1 || month > 12 || day < 1 || day > 31 || u8_at(info, 4) > 23 ||
	    u8_at(info, 5) > 59 || u8_at(info, 6) > 59) {
		*why = "no time";
		return FRAME_BAD;
	}
	snprintf(text, sizeof(text), "%04u-%02u-%02u %02u:%02u:%02u", u16be_at(info, 0), month, day, u8_at(info, 4),
		 u8_at(info, 5), u8_at(info, 6));
	settings_set_text(&dev->settings, "clock", text);
	return FRAME_ANSWER;
}

/* ---- 47 parameters: sheet 8 ---- */

#define CELL_V(index, name)                                                                                            \
	{                                                                                                              \
		WORD_AT(index), RAW_U16BE, 1000, 0, name, SETTING_NUMBER                                               \
	}
#define CENTI(index, name)                                                                                             \
	{                                                                                                              \
		WORD_AT(index), RAW_U16BE, 100, 0, name, SETTING_NUMBER                                                \
	}
#define CHARGE(index, name)                                                                                            \
	{                                                                                                              \
		WORD_AT(index), RAW_S16BE, 100, 0, name, SETTING_NUMBER                                                \
	}
#define DISCH(index, name)                                                                                             \
	{                                                                                                              \
		WORD_AT(index), RAW_S16BE, -100, 0, name, SETTING_NUMBER                                               \
	} /* stored negative */
#define CELSIUS(index, name)                                                                                           \
	{                                                                                                              \
		WORD_AT(index), RAW_U16BE, 10, -2731, name, SETTING_NUMBER                                             \
	}
#define BYTE(index, divisor, name)                                                                                     \
	{                                                                                                              \
		BYTE_AT(index), RAW_U8, divisor, 0, name, SETTING_NUMBER                                               \
	}

static const struct setting_row block_settings[] = {
	CELL_V(0x00, "cell_high_warning_V"),
	CELL_V(0x01, "cell_high_warning_release_V"),
	CELL_V(0x02, "cell_low_warning_V"),
	CELL_V(0x03, "cell_low_warning_release_V"),
	CELL_V(0x04, "cell_ovp_V"),
	CELL_V(0x05, "cell_ovpr_V"),
	CELL_V(0x06, "cell_uvp_V"),
	CELL_V(0x07, "cell_uvpr_V"),
	CELL_V(0x08, "balance_start_V"),
	CELL_V(0x09, "cell_charge_forbidden_below_V"),
	CENTI(0x0a, "pack_high_warning_V"),
	CENTI(0x0b, "pack_high_warning_release_V"),
	CENTI(0x0c, "pack_low_warning_V"),
	CENTI(0x0d, "pack_low_warning_release_V"),
	CENTI(0x0e, "pack_ovp_V"),
	CENTI(0x0f, "pack_ovpr_V"),
	CENTI(0x10, "pack_uvp_V"),
	CENTI(0x11, "pack_uvpr_V"),
	CENTI(0x12, "charge_ovp_V"),
	CENTI(0x13, "charge_ovpr_V"),
	CELSIUS(0x14, "charge_high_warning_C"),
	CELSIUS(0x15, "charge_high_warning_release_C"),
	CELSIUS(0x16, "charge_low_warning_C"),
	CELSIUS(0x17, "charge_low_warning_release_C"),
	CELSIUS(0x18, "charge_otp_C"),
	CELSIUS(0x19, "charge_otpr_C"),
	CELSIUS(0x1a, "charge_utp_C"),
	CELSIUS(0x1b, "charge_utpr_C"),
	CELSIUS(0x1c, "discharge_high_warning_C"),
	CELSIUS(0x1d, "discharge_high_warning_release_C"),
	CELSIUS(0x1e, "discharge_low_warning_C"),
	CELSIUS(0x1f, "discharge_low_warning_release_C"),
	CELSIUS(0x20, "discharge_otp_C"),
	CELSIUS(0x21, "discharge_otpr_C"),
	CELSIUS(0x22, "discharge_utp_C"),
	CELSIUS(0x23, "discharge_utpr_C"),
	CELSIUS(0x24, "heating_start_C"),
	CELSIUS(0x25, "heating_stop_C"),
	CELSIUS(0x26, "ambient_high_warning_C"),
	CELSIUS(0x27, "ambient_high_warning_release_C"),
	CELSIUS(0x28, "ambient_low_warning_C"),
	CELSIUS(0x29, "ambient_low_warning_release_C"),
	CELSIUS(0x2a, "ambient_otp_C"),
	CELSIUS(0x2b, "ambient_otpr_C"),
	CELSIUS(0x2c, "ambient_utp_C"),
	CELSIUS(0x2d, "ambient_utpr_C"),
	CELSIUS(0x2e, "mos_high_warning_C"),
	CELSIUS(0x2f, "mos_high_warning_release_C"),
	CELSIUS(0x30, "mos_otp_C"),
	CELSIUS(0x31, "mos_otpr_C"),
	CHARGE(0x32, "charge_current_warning_A"),
	CHARGE(0x33, "charge_current_warning_release_A"),
	DISCH(0x34, "discharge_current_warning_A"),
	DISCH(0x35, "discharge_current_warning_release_A"),
	CHARGE(0x36, "charge_ocp_A"),
	DISCH(0x37, "discharge_ocp_A"),
	DISCH(0x38, "transient_ocp_A"),
	{WORD_AT(0x39), RAW_U16BE, 1, 0, "soft_start_delay_ms", SETTING_NUMBER},
	CENTI(0x3a, "capacity_design_Ah"),
	CENTI(WORD_SOC_PRESET, "soc_preset_Ah"),
	BYTE(0x3c, 100, "cell_failure_difference_V"),
	BYTE(0x3d, 100, "cell_failure_difference_release_V"),
	BYTE(0x3e, 1000, "balance_open_difference_V"),
	BYTE(0x3f, 1000, "balance_close_difference_V"),
	BYTE(0x40, 1, "static_balance_h"),
	BYTE(BYTE_CELLS, 1, "cells"),
	BYTE(0x42, 1, "charge_ocp_delay_s"),
	BYTE(0x43, 1, "discharge_ocp_delay_s"),
	BYTE(0x44, 1, "transient_ocp_delay_ms"),
	BYTE(0x45, 1, "ocp_release_s"),
	BYTE(0x46, 1, "ocp_release_tries"),
	BYTE(0x47, 1, "charge_limiter_delay_min"),
	BYTE(0x48, 1, "charge_activation_delay_min"),
	BYTE(0x49, 1, "charge_activation_interval_h"),
	BYTE(0x4a, 1, "charge_activation_tries"),
	BYTE(0x4b, 1, "log_interval_working_min"),
	BYTE(0x4c, 1, "log_interval_standby_min"),
	BYTE(0x4d, 1, "standby_shutdown_h"),
	BYTE(0x4e, 1, "low_soc_warning_pct"),
	BYTE(0x4f, 1, "low_soc_protection_pct"),
	BYTE(0x50, 1, "intermittent_charge_pct"),
	BYTE(0x51, 1, "cycle_capacity_pct"),
	BYTE(0x52, 10, "connection_fault_mOhm"),
	BYTE(0x53, 1, "compensation_1_cell"),
	BYTE(0x54, 10, "compensation_1_mOhm"),
	BYTE(0x55, 1, "compensation_2_cell"),
	BYTE(0x56, 10, "compensation_2_mOhm"),
};

/* The last two mask bytes, bit 0 of byte 6 first. The six before switch the alarms of section 6. */
static const char *const functions[] = {
	"balance_charging",
	"balance_static",
	"balance_stops_after_timeout",
	"balance_stops_when_hot",
	"automatic_charge_activation",
	"manual_charge_activation",
	"active_charge_limit",
	"passive_charge_limit",
	"switch_shutdown",
	"standby_shutdown",
	"history_log",
	"lcd",
	"bluetooth",
	"automatic_addressing",
	"parallel_polling",
	"single_charging_1C",
};

enum { FUNCTIONS_AT = MASKS_AT + 6, BALANCING_FUNCTIONS = 3 };

static bool block_believable(struct bytes block)
{
	return block.n == BLOCK_SIZE && u8_at(block, 1) == WORDS && u8_at(block, 122) == BYTES &&
	       u8_at(block, 150) == MASKS && u8_at(block, MODEL_AT) > ' ' && u8_at(block, MODEL_AT) <= '~';
}

static enum verdict take_block(struct device *dev, struct bytes block, const char **why)
{
	static const struct text_row model[] = {{MODEL_AT, MODEL_SIZE, T_MODEL}};
	struct state *s = dev->state;
	unsigned bits = bits16(block, FUNCTIONS_AT);
	char mask[2 * MASKS + 1];

	if (!block_believable(block)) {
		*why = "a parameter block of another layout";
		return FRAME_BAD;
	}
	memcpy(s->block, block.p, BLOCK_SIZE);
	s->block_known = true;
	table_settings(ROWS(block_settings), block, &dev->settings);
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		settings_set_switch(&dev->settings, functions[i], bits >> i & 1);
	bytes_hex(bytes_sub(block, MASKS_AT, MASKS), mask, sizeof(mask));
	settings_set_text(&dev->settings, "function_mask", mask);
	table_texts(ROWS(model), block, &dev->reading);
	reading_set_flag(&dev->reading, F_BALANCE_ENABLED, bits & BALANCING_FUNCTIONS);
	return FRAME_ANSWER;
}

/* ---- verdicts ---- */

static enum verdict judge(const struct request *pending, struct bytes frame, struct ascii_1363 *f, const char **why)
{
	struct request as = *pending;

	if (pending->dialect == ANSWERS_AS_0)
		memcpy(as.tx + 3, "00", 2);
	return ascii_1363_judge(&as, frame, false, f, why);
}

static bool is_asked_of_pylontech(uint16_t code)
{
	return code == CMD_LIMITS_OF_PYLONTECH || code == CMD_INFORMATION_OF_PYLONTECH;
}

static enum verdict take_info(struct device *dev, uint16_t code, struct bytes info, const char **why)
{
	switch (code) {
	case CMD_TELEMETRY:
		return take_telemetry(dev, info, why);
	case CMD_SIGNALS:
		return take_signals(dev, info, why);
	case CMD_PARAMETERS:
		return take_block(dev, info, why);
	case CMD_CLOCK:
		return take_clock(dev, info, why);
	case CMD_VENDOR:
		return take_vendor(dev, info, why);
	case CMD_VERSION:
	case CMD_SET_PARAMETERS:
		if (!info.n)
			return FRAME_ANSWER;
		*why = "an acknowledgement carries no data";
		return FRAME_BAD;
	default:
		*why = "a Seplos V2 does not know this command";
		return FRAME_BAD;
	}
}

static enum verdict seplos_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct ascii_1363 f;
	enum verdict verdict = judge(pending, frame, &f, why);

	/* Not to know these two is the very answer of a Seplos. */
	if (verdict == FRAME_REFUSED && f.code == RTN_UNKNOWN_COMMAND && is_asked_of_pylontech(pending->code))
		verdict = FRAME_ANSWER;
	else if (verdict == FRAME_ANSWER)
		verdict = take_info(dev, pending->code, ascii_1363_info(&f), why);
	if (verdict == FRAME_ANSWER)
		reading_set(&dev->reading, Q_ADDRESS, pending->address);
	return verdict;
}

/* ---- is it one? Sheet 4 ---- */

static bool seplos_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;

	if (!r->cell_V.reported || !r->text[T_MODEL][0])
		*why = "42 and 51 have not both been answered";
	else if (!cells_make_up_voltage(r))
		*why = "the cells do not make up the pack's voltage";
	else if (!temperatures_within(r, -40, 120))
		*why = "a temperature outside -40..120";
	else if (!(reading_get(r, Q_CAPACITY_FULL_AH) > 0))
		*why = "no capacity";
	else
		return reading_plausible(r, why);
	return false;
}

/* ---- commands: sheet 7 ---- */

enum { READ_BACKS = 8, READ_BACK_WAIT_MS = 3750, NEAR_PCT = 1 }; /* 30 s in all */

/* Anything that speaks against writing this block with another SoC preset; NULL: nothing. */
static const char *against_write(const struct device *dev, double preset_Ah)
{
	const struct state *s = dev->state;
	const struct reading *r = &dev->reading;
	struct bytes block = {s->block, BLOCK_SIZE};

	for (size_t i = 0; i < CELL_WORDS; i++)
		if (u16be_at(block, WORD_AT(i)) < 1000 || u16be_at(block, WORD_AT(i)) > 5000)
			return "the parameter block holds a cell voltage outside 1..5 V";
	if (u8_at(block, BYTE_AT(BYTE_CELLS)) != reading_get(r, Q_CELL_COUNT))
		return "the parameter block is for another number of cells";
	if (!(preset_Ah >= 0 && preset_Ah <= FULL_CAPACITY_MAX_AH))
		return "the capacity of the full battery is not known";
	for (unsigned a = 0; a < ALARM_COUNT; a++)
		if (r->alarms.level[a] == ALARM_RAISED)
			return "nothing is written while a protection acts (see Alarms)";
	return NULL;
}

/* The SoC that was written: does it show? memo[1]: in which read-back it did, from 1. */
static void watch_soc(struct device *dev, struct procedure *p, struct next *next)
{
	double want = p->command->value;

	for (unsigned i = 1; i <= READ_BACKS; i++) {
		if (!step_wait(p, next, READ_BACK_WAIT_MS))
			return;
		if (!step_ask(dev, p, next, CMD_TELEMETRY, 0))
			return;
		double got = reading_get(&dev->reading, Q_SOC_PCT);

		if (step_is_new(p) && step_result(p) == STEP_ANSWERED && fabs(got - want) <= NEAR_PCT)
			p->memo[1] = i;
		if (p->memo[1] != i)
			continue;
		step_end(next, COMMAND_DONE, "SoC reads back %g %%, remaining capacity %g Ah", got,
			 reading_get(&dev->reading, Q_CAPACITY_REMAINING_AH));
		return;
	}
	if (step_result(p) == STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "the preset was written, but the SoC still reads %g %%",
			 reading_get(&dev->reading, Q_SOC_PCT));
	else
		step_end(next, COMMAND_UNCONFIRMED, "the preset was written, but the SoC could not be read back");
}

/* memo[0]: the preset in 0.01 Ah. */
static void proceed_soc(struct device *dev, struct procedure *p, struct next *next)
{
	static const uint16_t before[] = {CMD_TELEMETRY, CMD_SIGNALS, CMD_PARAMETERS};
	const struct state *s = dev->state;

	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		if (!step_ask(dev, p, next, before[i], 0))
			return;
		if (step_result(p) != STEP_ANSWERED) {
			step_end(next, COMMAND_REFUSED, "nothing was written: request %02X: %s", before[i],
				 step_why(p));
			return;
		}
	}
	if (step_is_new(p)) {
		double preset = p->command->value / 100 * reading_get(&dev->reading, Q_CAPACITY_FULL_AH);
		const char *against = against_write(dev, preset);

		if (against) {
			step_end(next, COMMAND_REFUSED, "%s", against);
			return;
		}
		p->memo[0] = (uint32_t)lround(100 * preset);
	}
	if (!step_ask(dev, p, next, CMD_SET_PARAMETERS, (uint16_t)p->memo[0]))
		return;
	if (step_result(p) == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return;
	}
	if (!step_ask(dev, p, next, CMD_PARAMETERS, 0))
		return;
	/* All bytes as they were written; the first is a flag of the board's own. */
	if (step_is_new(p) &&
	    (step_result(p) != STEP_ANSWERED || memcmp(s->block + 1, s->sent + 1, BLOCK_SIZE - 1) != 0)) {
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the parameters do not read back as they were written");
		return;
	}
	watch_soc(dev, p, next);
}

static void seplos_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	if (p->command->kind != COMMAND_SOC)
		step_end(next, COMMAND_REFUSED, "no frame is known that makes a Seplos V2 switch anything");
	else if (dev->dialect == BOQIANG)
		step_end(next, COMMAND_REFUSED, "the parameters of a Boqiang board are not known");
	else
		proceed_soc(dev, p, next);
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{19200, 8, 'N', 1}, {9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Seplos", NULL};

static bool is_seplos(const struct device *dev)
{
	return dev->dialect != BOQIANG;
}

static bool is_boqiang(const struct device *dev)
{
	return dev->dialect == BOQIANG;
}

/* Whether a Boqiang answers 44 is not known. */
static const struct poll polls[] = {
	{CMD_TELEMETRY, 0, EVERY_POLL, true, NULL},	 {CMD_SIGNALS, 0, EVERY_POLL, true, is_seplos},
	{CMD_SIGNALS, 0, EVERY_POLL, false, is_boqiang}, {CMD_VENDOR, 0, ONCE, false, NULL},
	{CMD_CLOCK, 0, ONCE, false, is_seplos},		 {CMD_PARAMETERS, 0, 300000, false, is_seplos},
};

static const struct probe probes[] = {
	{CMD_TELEMETRY, 0, 0, MAX_ADDRESS, SEPLOS, 0, 150, false},
	{CMD_TELEMETRY, 0, 0, MAX_ADDRESS, BOQIANG, 2, 150, false},
	{CMD_TELEMETRY, 0, 1, MAX_ADDRESS, ANSWERS_AS_0, 2, 150, false},
};

#define Q(id) (UINT64_C(1) << Q_##id)
#define F(id) (1u << F_##id)
#define A(id) (1u << ALARM_##id)

const struct protocol seplos_v2_protocol = {
	.id = "seplos-v2",
	.title = "Seplos V2 (1101 boards), Boqiang",
	.manufacturer = "Seplos",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 500,
		   .gap_ms = 200,
		   .pause_ms = 50,
		   .late_ms = 500,
		   .scan_ms = 250,
		   .tries = 3,
		   .poll_ms = 1000},
	.quantities = Q(ADDRESS) | Q(VOLTAGE_V) | Q(CURRENT_A) | Q(SOC_PCT) | Q(SOH_PCT) | Q(CAPACITY_FULL_AH) |
		      Q(CAPACITY_DESIGN_AH) | Q(CAPACITY_REMAINING_AH) | Q(CYCLES) | Q(CELL_COUNT) | Q(TEMP_MOS_C) |
		      Q(TEMP_AMBIENT_C),
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING,
	.flags = F(BALANCING_ACTIVE) | F(CHARGE_MOS) | F(DISCHARGE_MOS) | F(BALANCE_ENABLED) | F(HEATER_ON) |
		 F(CHARGE_ALLOWED) | F(DISCHARGE_ALLOWED),
	.alarms = A(HIGH_VOLTAGE) | A(LOW_VOLTAGE) | A(HIGH_CELL_VOLTAGE) | A(LOW_CELL_VOLTAGE) | A(LOW_SOC) |
		  A(HIGH_CHARGE_CURRENT) | A(HIGH_DISCHARGE_CURRENT) | A(CELL_IMBALANCE) | A(INTERNAL_FAILURE) |
		  A(HIGH_CHARGE_TEMPERATURE) | A(LOW_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) | A(LOW_TEMPERATURE) |
		  A(HIGH_INTERNAL_TEMPERATURE) | A(FUSE_BLOWN) | A(SHORT_CIRCUIT),
	.commands = 1 << COMMAND_SOC,
	.experimental = 1 << COMMAND_SOC,
	.first_address = 0,
	.last_address = MAX_ADDRESS,
	.point_to_point = 1 << ANSWERS_AS_0,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {CMD_VENDOR},
	.confirm_count = 1,
	.encode = seplos_encode,
	.find_frame = ascii_1363_find,
	.take = seplos_take,
	.plausible = seplos_plausible,
	.parse_request = seplos_parse_request,
	.proceed = seplos_proceed,
};
