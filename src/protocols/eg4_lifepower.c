/* SPDX-License-Identifier: GPL-3.0-or-later */
/* EG4 LifePower4 (older ones), Tian Power, Revov, Narada and Basengreen boards on RS485, sheet eg4-lifepower: binary
 * frames 7E ... 0D (7C on some), or the '~' ... CR frames of sheet ascii-1363. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/ascii_1363.h"
#include "protocols/checksum.h"
#include "protocols/plausible.h"
#include "protocols/table.h"

extern const struct protocol eg4_lifepower_protocol;

enum dialect { START_7E, START_7C, ASCII };

/*
 * A request's code: of the binary dialects the command byte, of the other one CID2 with the top bit set; the live
 * values, which come first in every poll, have the same code in all.
 */
enum code {
	INFO = 0x01,
	VERSION = 0x33,
	HARDWARE = 0x42,
	PARAMETERS = 0x43, /* arg: PROTECTION or WARNING */
	HEATER = 0xe3,	   /* this and the next two with F2, F4 are writes: recorded ones are understood */
	HEAT_START = 0xf1,
	SET_HEAT_START = 0xf2,
	HEAT_STOP = 0xf3,
	SET_HEAT_STOP = 0xf4,
	STATUS = 0x8044,
	BOARD_TEXT = 0x8051,
	CLOCK = 0x804d,
	CONFIRM = 0x7fff, /* detection's second question, by dialect */
};

/* Stands where the length of the data stands, though none follow (sheet 5.3). */
enum { WARNING = 0x00, PROTECTION = 0xe0 };

enum {
	HEAD = 4, /* start, address, command, length of the data */
	FRAME_OVERHEAD = HEAD + 2,
	END = 0x0d,
	LAST_ADDRESS = 15,
	ASCII_VERSION = 0x20,
	ASCII_CLASS = 0x4a,
	LEAST_CELLS = 4, /* of a device that is to be recognised */
	MOST_CELLS = 24,
	ASCII_SENSORS = 6,
	ANALOG_BYTES = 69, /* and two for each cell */
	STATUS_BYTES = 26, /* and one for each cell */
	TEXT_BYTES = 46,
	CLOCK_BYTES = 7,
};

/* ---- binary framing: sheet 3 ---- */

static uint8_t checksum(struct bytes b)
{
	uint8_t all = 0;

	for (size_t i = 0; i < b.n; i++)
		all ^= b.p[i];
	return all ^ sum8(b);
}

static bool is_start(uint8_t c)
{
	return c == 0x7e || c == 0x7c;
}

static bool frame_fits(struct bytes frame)
{
	return frame.n >= FRAME_OVERHEAD && checksum(bytes_sub(frame, 0, frame.n - 2)) == u8_at(frame, frame.n - 2) &&
	       u8_at(frame, frame.n - 1) == END;
}

/* Could this be the beginning of the reply to pending? What is not there yet may be. */
static bool head_fits(const struct request *pending, struct bytes in)
{
	if (!pending)
		return true;
	return (in.n < 2 || u8_at(in, 1) == pending->address) && (in.n < 3 || u8_at(in, 2) == pending->code);
}

static int find_binary(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	size_t n = (size_t)u8_at(in, 3) + FRAME_OVERHEAD;
	bool ours = head_fits(pending, in);

	if (in.n > 1 && u8_at(in, 1) > LAST_ADDRESS)
		return -1;
	if (in.n >= HEAD && bytes_has(in, 0, n)) {
		if (frame_fits(bytes_sub(in, 0, n)))
			return (int)n;
		if (pending && ours)
			*why = "checksum";
		return -1;
	}
	if (!ours)
		return -1;
	if (!quiet)
		return 0;
	if (pending && in.n >= HEAD)
		*why = "frame cut short";
	return -1;
}

static bool is_hex_digit(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

static bool is_ascii(const struct request *r)
{
	return r && r->dialect == ASCII;
}

/* Both kinds of frames may begin with 7E; the byte behind it is an address up to 15, or a digit. */
static int eg4_lifepower_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	if (!is_start(u8_at(in, 0)))
		return -1;
	if (in.n == 1)
		return quiet ? -1 : 0;
	if (!is_hex_digit(u8_at(in, 1)))
		return find_binary(is_ascii(pending) ? NULL : pending, in, quiet, why);
	return ascii_1363_find(is_ascii(pending) ? pending : NULL, in, quiet, why);
}

/* ---- requests ---- */

static void build_binary(struct request *out, uint8_t command, uint8_t length)
{
	uint8_t tx[FRAME_OVERHEAD] = {out->dialect == START_7C ? 0x7c : 0x7e, out->address, command, length};

	tx[HEAD] = checksum((struct bytes){tx, HEAD});
	tx[HEAD + 1] = END;
	request_put(out, (struct bytes){tx, sizeof(tx)});
}

/* Bytes of data that a request with this command byte has; -1: no such command. */
static int data_of_request(uint16_t command)
{
	switch (command) {
	case INFO:
	case VERSION:
	case HARDWARE:
	case PARAMETERS:
	case HEAT_START:
	case HEAT_STOP:
		return 0;
	case HEATER:
		return 1;
	case SET_HEAT_START:
	case SET_HEAT_STOP:
		return 2;
	default:
		return -1;
	}
}

/* CID2 of the ASCII dialect; 0: it has no such request. */
static uint8_t cid2_of(uint16_t code)
{
	return code == INFO ? 0x42 : code == STATUS || code == BOARD_TEXT || code == CLOCK ? (uint8_t)code : 0;
}

/* Nothing here changes anything in a board: what the sheet calls a write is not built. */
static bool eg4_lifepower_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	bool ascii = dev->dialect == ASCII;

	if (code == CONFIRM)
		code = ascii ? STATUS : VERSION;
	if (dev->address > LAST_ADDRESS || (ascii && !(dev->address && cid2_of(code))) ||
	    (!ascii && data_of_request(code) != 0))
		return false;
	request_start(out, dev->protocol, dev->address, dev->dialect, code, arg);
	if (ascii)
		ascii_1363_build(out, ASCII_1363_SOI, ASCII_VERSION, ASCII_CLASS, cid2_of(code),
				 (struct bytes){NULL, 0});
	else
		build_binary(out, (uint8_t)code, code == PARAMETERS ? (uint8_t)arg : 0);
	return true;
}

static bool parse_binary(struct bytes tx, struct request *out)
{
	uint8_t command = u8_at(tx, 2), length = u8_at(tx, 3);
	int data = data_of_request(command);
	bool parameters = command == PARAMETERS && (length == WARNING || length == PROTECTION);

	if (!is_start(u8_at(tx, 0)) || u8_at(tx, 1) > LAST_ADDRESS || data < 0 ||
	    tx.n != (size_t)data + FRAME_OVERHEAD || !frame_fits(tx) || (length != data && !parameters))
		return false;
	request_start(out, &eg4_lifepower_protocol, u8_at(tx, 1), u8_at(tx, 0) == 0x7c ? START_7C : START_7E, command,
		      command == PARAMETERS ? length : 0);
	out->writes = data > 0;
	return true;
}

static bool parse_ascii(struct bytes tx, struct request *out)
{
	struct ascii_1363 f;

	if (!ascii_1363_open(tx, &f) || f.length_wrong || f.ver != ASCII_VERSION || f.cid1 != ASCII_CLASS || f.n ||
	    f.adr < 1 || f.adr > LAST_ADDRESS)
		return false;
	uint16_t code = f.code == cid2_of(INFO) ? INFO : f.code | 0x8000;

	if (!cid2_of(code))
		return false;
	request_start(out, &eg4_lifepower_protocol, f.adr, ASCII, code, 0);
	return true;
}

static bool eg4_lifepower_parse_request(struct bytes tx, struct request *out)
{
	if (!parse_binary(tx, out) && !parse_ascii(tx, out))
		return false;
	request_put(out, tx);
	return true;
}

/* ---- alarms of the binary dialects: sheet 6. Group 06 has ten bytes; these are 0..5 and 7..9 ---- */

#define LOW(byte, bit)	(8 * (byte) + (bit))
#define HIGH(byte, bit) (8 * ((byte)-7) + (bit))

static const struct alarm_row low_alarms[] = {
	{LOW(0, 3), ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{LOW(0, 4), ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{LOW(0, 5), ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{LOW(0, 6), ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{LOW(0, 7), ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{LOW(1, 0), ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{LOW(1, 1), ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{LOW(1, 2), ALARM_RAISED, ALARM_COUNT, "output_reverse_polarity"},
	{LOW(1, 3), ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{LOW(1, 4), ALARM_WARNING, ALARM_INTERNAL_FAILURE, NULL},
	{LOW(1, 5), ALARM_WARNING, ALARM_INTERNAL_FAILURE, NULL},
	{LOW(1, 6), ALARM_WARNING, ALARM_INTERNAL_FAILURE, NULL},
	{LOW(1, 7), ALARM_RAISED, ALARM_FUSE_BLOWN, NULL},
	{LOW(2, 0), ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{LOW(2, 1), ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{LOW(2, 6), ALARM_WARNING, ALARM_INTERNAL_FAILURE, NULL},
	{LOW(3, 2), ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{LOW(3, 2), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{LOW(3, 4), ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{LOW(3, 4), ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{LOW(3, 5), ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{LOW(3, 5), ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{LOW(3, 6), ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{LOW(3, 7), ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{LOW(4, 0), ALARM_RAISED, ALARM_COUNT, "ambient_low_temperature"},
	{LOW(4, 1), ALARM_RAISED, ALARM_COUNT, "ambient_high_temperature"},
	{LOW(4, 4), ALARM_RAISED, ALARM_LOW_SOC, NULL},
	{LOW(5, 5), ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{LOW(5, 6), ALARM_RAISED, ALARM_COUNT, "low_internal_temperature"},
	{LOW(5, 7), ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
};

static const struct alarm_row high_alarms[] = {
	{HIGH(7, 0), ALARM_WARNING, ALARM_LOW_SOC, NULL},
	{HIGH(7, 1), ALARM_WARNING, ALARM_COUNT, "vibration"},
	{HIGH(7, 3), ALARM_RAISED, ALARM_COUNT, "fire_suppression"},
	{HIGH(7, 4), ALARM_WARNING, ALARM_COUNT, "low_soh"},
	{HIGH(7, 5), ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{HIGH(7, 6), ALARM_WARNING, ALARM_COUNT, "temperature_difference"},
	{HIGH(7, 7), ALARM_WARNING, ALARM_COUNT, "system_lock"},
	{HIGH(8, 0), ALARM_WARNING, ALARM_COUNT, "ambient_high_temperature"},
	{HIGH(8, 1), ALARM_WARNING, ALARM_COUNT, "ambient_low_temperature"},
	{HIGH(8, 2), ALARM_WARNING, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{HIGH(8, 3), ALARM_WARNING, ALARM_LOW_SOC, NULL},
	{HIGH(8, 4), ALARM_WARNING, ALARM_CELL_IMBALANCE, NULL},
	{HIGH(8, 5), ALARM_WARNING, ALARM_HIGH_TEMPERATURE, NULL},
	{HIGH(8, 6), ALARM_WARNING, ALARM_LOW_TEMPERATURE, NULL},
	{HIGH(9, 0), ALARM_WARNING, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{HIGH(9, 1), ALARM_WARNING, ALARM_LOW_CELL_VOLTAGE, NULL},
	{HIGH(9, 2), ALARM_WARNING, ALARM_HIGH_VOLTAGE, NULL},
	{HIGH(9, 3), ALARM_WARNING, ALARM_LOW_VOLTAGE, NULL},
	{HIGH(9, 4), ALARM_WARNING, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{HIGH(9, 5), ALARM_WARNING, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{HIGH(9, 6), ALARM_WARNING, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{HIGH(9, 7), ALARM_WARNING, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
};

/* Which of the faults that are all an internal failure it is, and states, as details: there while the bit is set. */
static const struct {
	uint8_t byte, bit;
	const char *name;
} status_details[] = {
	{0, 4, "sense_wire_broken"},
	{0, 5, "charge_mos_fault"},
	{0, 6, "discharge_mos_fault"},
	{0, 7, "voltage_sensor_fault"},
	{1, 0, "ntc_disconnected"},
	{1, 1, "adc_fault"},
	{1, 4, "locked"},
	{1, 5, "communication_timeout"},
	{1, 6, "serial_number_fault"},
	{2, 6, "internal_comm_fault"},
	{5, 0, "manual_charge_on"},
	{5, 1, "manual_charge_off"},
	{5, 2, "manual_discharge_on"},
	{5, 3, "manual_discharge_off"},
	{7, 2, "waits_for_recharge"},
	{7, 5, "ntc_short_circuit"},
};

enum { STATUS_GROUP_BYTES = 10 };

/* Bits that the sheet names, by byte: what else is set is a trouble that nobody knows. */
static const uint8_t known_bits[STATUS_GROUP_BYTES] = {0xf8, 0xff, 0x73, 0xff, 0x13, 0xff, 0x00, 0xff, 0x7f, 0xff};

static uint64_t bits_of(struct bytes b, size_t from, size_t n)
{
	uint64_t word = 0;

	for (size_t i = 0; i < n; i++)
		word |= (uint64_t)u8_at(b, from + i) << (8 * i);
	return word;
}

static void swap_levels(struct alarms *a, enum alarm x, enum alarm y)
{
	uint8_t level = a->level[x];

	a->level[x] = a->level[y];
	a->level[y] = level;
}

static void take_status_group(struct device *dev, struct bytes b)
{
	static const char *const words[] = {"status_0", "status_1", "status_2", "status_3", "status_4"};
	struct reading *r = &dev->reading;
	struct alarms *a = &r->alarms;

	alarms_clear(a);
	table_alarms(ROWS(low_alarms), bits_of(b, 0, 6), a);
	table_alarms(ROWS(high_alarms), bits_of(b, 7, 3), a);
	if (dev->options.invert_current && !(u8_at(b, 3) & 0x04))
		swap_levels(a, ALARM_HIGH_CHARGE_CURRENT, ALARM_HIGH_DISCHARGE_CURRENT);
	if (u8_at(b, 3) & 0x08)
		alarm_raise(a,
			    reading_get(r, Q_CURRENT_A) > 0 ? ALARM_HIGH_CHARGE_CURRENT : ALARM_HIGH_DISCHARGE_CURRENT,
			    ALARM_RAISED);
	for (size_t i = 0; i < STATUS_GROUP_BYTES; i++)
		if (u8_at(b, i) & ~known_bits[i])
			alarm_raise_own(a, "unknown_status_bit", ALARM_WARNING);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		reading_set_detail(r, words[i], u16be_at(b, 2 * i));
	for (size_t i = 0; i < sizeof(status_details) / sizeof(status_details[0]); i++)
		reading_set_detail(r, status_details[i].name,
				   u8_at(b, status_details[i].byte) >> status_details[i].bit & 1 ? 1 : NAN);
	reading_set_detail(r, "state", u8_at(b, 3) & 3); /* 1 charging, 2 discharging */
	reading_set_flag(r, F_CHARGE_MOS, !(u8_at(b, 2) & 0x10));
	reading_set_flag(r, F_DISCHARGE_MOS, !(u8_at(b, 2) & 0x20));
	reading_set_flag(r, F_HEATER_ON, u8_at(b, 5) & 0x10);
}

/* ---- command 01: sheet 5.1 ---- */

enum group {
	GROUP_CELLS = 0x01,
	GROUP_CURRENT = 0x02,
	GROUP_TEMPERATURES = 0x05,
	GROUP_STATUS = 0x06,
	GROUP_PROTECTION = 0x0a,
	GROUPS = 0x12,
};

/* Groups of one number. */
static const struct number_row group_numbers[GROUPS] = {
	[0x03] = {0, RAW_U16BE, 100, 0, Q_SOC_PCT},
	[0x04] = {0, RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
	[0x07] = {0, RAW_U16BE, 1, 0, Q_CYCLES},
	[0x08] = {0, RAW_U16BE, 100, 0, Q_VOLTAGE_V},
	[0x09] = {0, RAW_U16BE, 100, 0, Q_SOH_PCT},
	[0x0b] = {0, RAW_U32BE, 1, 0, Q_TOTAL_CHARGE_AH},
	[0x0c] = {0, RAW_U32BE, 1, 0, Q_TOTAL_DISCHARGE_AH},
};

static const struct detail_row group_details[GROUPS] = {
	[0x0a] = {0, RAW_U16BE, 1, 0, "protection_word"},     [0x0d] = {0, RAW_U32BE, 1, 0, "charge_time_s"},
	[0x0e] = {0, RAW_U32BE, 1, 0, "discharge_time_s"},    [0x0f] = {0, RAW_U32BE, 1, 0, "charge_energy_Wh"},
	[0x10] = {0, RAW_U32BE, 1, 0, "discharge_energy_Wh"},
};

static size_t element_size(uint8_t id)
{
	return id >= 0x0b && id <= 0x10 ? 4 : 2;
}

/* The group at *at, which moves behind it. False: the rest is no group. */
static bool next_group(struct bytes data, size_t *at, uint8_t *id, struct bytes *elements)
{
	size_t n;

	if (!bytes_has(data, *at, 2))
		return false;
	*id = u8_at(data, *at);
	n = u8_at(data, *at + 1) * element_size(*id);
	if (!bytes_has(data, *at + 2, n))
		return false;
	*elements = bytes_sub(data, *at + 2, n);
	*at += 2 + n;
	return true;
}

static struct bytes find_group(struct bytes data, uint8_t wanted)
{
	struct bytes elements;
	uint8_t id;

	for (size_t at = 0; next_group(data, &at, &id, &elements);)
		if (id == wanted)
			return elements;
	return (struct bytes){NULL, 0};
}

/* Bit 15: it is balanced; bit 14: a mark for high voltage. */
static void take_cells(struct reading *r, struct bytes b)
{
	uint32_t high = 0;

	series_start(&r->cell_V, (unsigned)(b.n / 2));
	r->balancing = 0;
	r->balancing_known = true;
	for (unsigned i = 0; i < r->cell_V.count; i++) {
		uint16_t raw = u16be_at(b, 2 * i);

		series_set(&r->cell_V, i, (raw & 0x3fff) / 1000.0);
		r->balancing |= (uint64_t)(raw >> 15) << i;
		high |= i < 32 ? (uint32_t)(raw >> 14 & 1) << i : 0;
	}
	reading_set(r, Q_CELL_COUNT, r->cell_V.count);
	reading_set_detail(r, "cell_high_bits", high);
}

/* The high byte tells what a sensor sits on. */
static void take_temperatures(struct reading *r, struct bytes b)
{
	unsigned n = 0;

	series_start(&r->temperatures, 0);
	for (size_t i = 0; i + 1 < b.n; i += 2) {
		double value = u8_at(b, i + 1) - 50;

		switch (u8_at(b, i)) {
		case 0x20:
			reading_set(r, Q_TEMP_AMBIENT_C, value);
			break;
		case 0x40:
		case 0x80:
			reading_set(r, Q_TEMP_MOS_C, value);
			break;
		default:
			if (n < MAX_TEMPERATURES)
				series_set(&r->temperatures, n++, value);
		}
	}
}

static void take_group(struct device *dev, uint8_t id, struct bytes b)
{
	struct reading *r = &dev->reading;

	if (id == GROUP_CELLS && b.n / 2 <= MAX_CELLS) {
		take_cells(r, b);
	} else if (id == GROUP_TEMPERATURES) {
		take_temperatures(r, b);
	} else if (id < GROUPS) {
		if (group_numbers[id].divisor > 0)
			table_numbers(&group_numbers[id], 1, b, r);
		if (group_details[id].name)
			table_details(&group_details[id], 1, b, r);
	}
}

/*
 * The checksum lets half of all single wrong bits through: its lowest bit is always 0, and where nothing is carried a
 * bit changes XOR and sum alike. So the values must bear each other out in every reply.
 */
static bool believable(const struct reading *r, const char **why)
{
	if (!r->cell_V.count)
		*why = "no cells, or more than 48";
	else if (!reading_knows(r, Q_VOLTAGE_V) || !reading_knows(r, Q_CURRENT_A))
		*why = "no current or no voltage";
	else if (!cells_make_up_voltage(r))
		*why = "the cells do not add up to the pack voltage";
	else if (reading_get(r, Q_SOC_PCT) > 100)
		*why = "SoC above 100 %";
	else if (fabs(reading_get(r, Q_CURRENT_A)) > 300)
		*why = "current outside +-300 A";
	else
		return true;
	return false;
}

static enum verdict take_info(struct device *dev, struct bytes data, const char **why)
{
	struct bytes b, status = find_group(data, GROUP_STATUS), current = find_group(data, GROUP_CURRENT);
	struct reading *r = &dev->reading, before = *r;
	int into = 30000 - u16be_at(current, 0); /* 0.01 A */
	uint8_t id;

	memset(&r->cell_V, 0, sizeof(r->cell_V));
	reading_forget(r, Q_VOLTAGE_V);
	reading_set(r, Q_CURRENT_A, current.n == 2 ? (dev->options.invert_current ? -into : into) / 100.0 : NAN);
	for (size_t at = 0; next_group(data, &at, &id, &b);)
		take_group(dev, id, b);
	if (!believable(r, why)) {
		*r = before;
		return FRAME_BAD;
	}
	if (status.n == STATUS_GROUP_BYTES)
		take_status_group(dev, status);
	if (u16be_at(find_group(data, GROUP_PROTECTION), 0))
		alarm_raise_own(&r->alarms, "unknown_protection_bit", ALARM_WARNING);
	return FRAME_ANSWER;
}

/* ---- texts: sheet 5.2 ---- */

/* "TP-BD16S48V150-V3.1.29": the model, and the firmware's full name. */
static void take_version(struct device *dev, struct bytes data)
{
	char text[MAX_TEXT];

	bytes_text(data, text, sizeof(text));
	reading_set_text(&dev->reading, T_FIRMWARE_VERSION, text);
	char *version = strstr(text, "-V");
	if (version && version > text) {
		*version = 0;
		reading_set_text(&dev->reading, T_MODEL, text);
	}
}

/* Foreign bytes are known to stand in it. */
static void take_hardware(struct device *dev, struct bytes data)
{
	char text[MAX_TEXT];
	uint8_t kept[256];
	size_t n = 0;

	for (size_t i = 0; i < data.n && n < sizeof(kept); i++) {
		uint8_t c = data.p[i];

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		    (c && strchr("-._ ", c)))
			kept[n++] = c;
	}
	bytes_text((struct bytes){kept, n}, text, sizeof(text));
	reading_set_text(&dev->reading, T_HARDWARE_VERSION, text);
}

/* ---- parameters: sheet 5.3, 5.4. The rows stand in the order of their index on the wire ---- */

enum unit { NONE, MILLIVOLT, HUNDREDTH, DEGREES, PLAIN };

struct parameter {
	enum unit unit;
	const char *name;
};

/* clang-format off */
#define LIMIT(unit, name, letter) {unit, name "p" letter}, {PLAIN, name "p_delay_ms"}, {unit, name "pr" letter}

static const struct parameter protection[] = {
	LIMIT(MILLIVOLT, "cell_ov", "_V"),
	LIMIT(MILLIVOLT, "cell_uv", "_V"),
	LIMIT(HUNDREDTH, "pack_ov", "_V"),
	LIMIT(HUNDREDTH, "pack_uv", "_V"),
	{HUNDREDTH, "constant_voltage_V"}, {HUNDREDTH, "constant_current_A"},
	{HUNDREDTH, "charge_ocp_A"}, {PLAIN, "charge_ocp_delay_ms"},
	{HUNDREDTH, "discharge_ocp_A"}, {PLAIN, "discharge_ocp_delay_ms"},
	{HUNDREDTH, "charge_ocp2_A"}, {PLAIN, "charge_ocp2_delay_ms"},
	{HUNDREDTH, "discharge_ocp2_A"}, {PLAIN, "discharge_ocp2_delay_ms"},
	LIMIT(DEGREES, "charge_ot", "_C"),
	LIMIT(DEGREES, "discharge_ot", "_C"),
	LIMIT(DEGREES, "charge_ut", "_C"),
	LIMIT(DEGREES, "discharge_ut", "_C"),
	LIMIT(DEGREES, "mos_ot", "_C"),
	LIMIT(DEGREES, "ambient_ot", "_C"),
	LIMIT(DEGREES, "ambient_ut", "_C"),
	{MILLIVOLT, "balance_start_V"}, {MILLIVOLT, "balance_trigger_V"}, {MILLIVOLT, "sleep_cell_V"},
	{PLAIN, "scp_delay"}, {PLAIN, "standby_time"}, {PLAIN, "low_voltage_off_time"},
	{PLAIN, "current_limiter_style"}, {PLAIN, "sleep_time"},
};

#undef LIMIT
#define LIMIT(unit, name, letter) \
	{unit, name "_warning" letter}, {PLAIN, name "_warning_delay_ms"}, {unit, name "_warning_release" letter}

static const struct parameter warning[] = {
	LIMIT(MILLIVOLT, "cell_high", "_V"),
	LIMIT(MILLIVOLT, "cell_low", "_V"),
	LIMIT(HUNDREDTH, "pack_high", "_V"),
	LIMIT(HUNDREDTH, "pack_low", "_V"),
	LIMIT(HUNDREDTH, "charge_oc", "_A"),
	LIMIT(HUNDREDTH, "discharge_oc", "_A"),
	LIMIT(DEGREES, "charge_ot", "_C"),
	LIMIT(DEGREES, "charge_ut", "_C"),
	/* Their zero is in doubt: as they stand. */
	LIMIT(PLAIN, "discharge_ot", "_raw"),
	LIMIT(PLAIN, "discharge_ut", "_raw"),
	LIMIT(DEGREES, "mos_ot", "_C"),
	{PLAIN, "low_capacity_warning_pct"}, {PLAIN, "low_capacity_warning_release_pct"},
	{MILLIVOLT, "cell_difference_warning_V"}, {MILLIVOLT, "cell_difference_warning_release_V"},
	LIMIT(DEGREES, "ambient_ot", "_C"),
	LIMIT(DEGREES, "ambient_ut", "_C"),
};
/* clang-format on */

static double parameter_value(enum unit unit, struct bytes two)
{
	switch (unit) {
	case MILLIVOLT:
		return u16be_at(two, 0) / 1000.0;
	case HUNDREDTH:
		return u16be_at(two, 0) / 100.0;
	case DEGREES:
		return u8_at(two, 1) - 50;
	default:
		return u16be_at(two, 0);
	}
}

/* A list of index, size (2), value. What has another size ends it. */
static enum verdict take_parameters(struct device *dev, uint16_t which, struct bytes data, const char **why)
{
	const struct parameter *row = which == PROTECTION ? protection : warning;
	size_t rows = which == PROTECTION ? sizeof(protection) / sizeof(*row) : sizeof(warning) / sizeof(*row);

	if (data.n < 4 || u8_at(data, 1) != 2) {
		*why = "no list of parameters";
		return FRAME_BAD;
	}
	for (size_t at = 0; bytes_has(data, at, 4) && u8_at(data, at + 1) == 2; at += 4) {
		uint8_t index = u8_at(data, at);

		if (index < rows)
			settings_set_number(&dev->settings, row[index].name,
					    parameter_value(row[index].unit, bytes_sub(data, at + 2, 2)));
	}
	return FRAME_ANSWER;
}

static enum verdict take_heat(struct device *dev, const char *name, struct bytes data, const char **why)
{
	if (data.n < 4) {
		*why = "length of a temperature";
		return FRAME_BAD;
	}
	settings_set_number(&dev->settings, name, u16be_at(data, 2) - 50.0);
	return FRAME_ANSWER;
}

/* ---- binary replies ---- */

/* Sheet 5.6. */
static const char *status_text(uint8_t status)
{
	switch (status) {
	case 0x01:
		return "version wrong (status 01)";
	case 0x02:
		return "checksum of the request wrong (status 02)";
	case 0x03:
		return "length checksum of the request wrong (status 03)";
	case 0x04:
		return "command not known (status 04)";
	case 0x05:
		return "command has a wrong format (status 05)";
	case 0x06:
		return "value not allowed (status 06)";
	default:
		return "a status that is in no sheet";
	}
}

static enum verdict take_binary(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct bytes data = bytes_sub(frame, HEAD, u8_at(frame, 3));

	if (!frame_fits(frame) || u8_at(frame, 1) != pending->address || u8_at(frame, 2) != pending->code || !data.n ||
	    bytes_equal(frame, (struct bytes){pending->tx, pending->n}))
		return FRAME_FOREIGN;
	if (data.n == 1 && data.p[0]) {
		*why = status_text(data.p[0]);
		return FRAME_REFUSED;
	}
	switch (pending->code) {
	case INFO:
		return take_info(dev, data, why);
	case VERSION:
		take_version(dev, data);
		return FRAME_ANSWER;
	case HARDWARE:
		take_hardware(dev, data);
		return FRAME_ANSWER;
	case PARAMETERS:
		return take_parameters(dev, pending->arg, data, why);
	case HEAT_START:
		return take_heat(dev, "heat_start_C", data, why);
	case HEAT_STOP:
		return take_heat(dev, "heat_stop_C", data, why);
	default: /* a write: the status alone */
		return data.n == 1 ? FRAME_ANSWER : FRAME_FOREIGN;
	}
}

/* ---- ASCII: sheet, appendix A. A reply does not say what it answers: its length must be that of M cells ---- */

/* Offsets behind the cells. The extremes at 28..37 repeat what cells and sensors tell. */
static const struct number_row analog_numbers[] = {
	{9, RAW_U16BE, 10, -2731, Q_TEMP_AMBIENT_C},
	{11, RAW_U16BE, 10, -2731, Q_TEMP_MOS_C},
	{15, RAW_U16BE, 100, 0, Q_VOLTAGE_V},
	{17, RAW_U16BE, 100, 0, Q_CAPACITY_REMAINING_AH},
	{19, RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
	{21, RAW_U16BE, 1, 0, Q_CYCLES},
	{24, RAW_U16BE, 1, 0, Q_SOC_PCT},
	{26, RAW_U16BE, 1, 0, Q_SOH_PCT},
	{38, RAW_U32BE, 100, 0, Q_TOTAL_CHARGE_AH},
	{42, RAW_U32BE, 100, 0, Q_TOTAL_DISCHARGE_AH},
};

static const struct detail_row analog_details[] = {
	{46, RAW_U32BE, 1000, 0, "charge_energy_kWh"}, {50, RAW_U32BE, 1000, 0, "discharge_energy_kWh"},
	{54, RAW_U32BE, 1, 0, "charge_time_h"},	       {58, RAW_U32BE, 1, 0, "discharge_time_h"},
	{62, RAW_U16BE, 1, 0, "charge_times"},	       {64, RAW_U16BE, 1, 0, "discharge_times"},
};

enum { AT_CELL_COUNT = 2, AT_CELLS = 3, ANALOG_ITEMS = 15, STATUS_ITEMS = 9, BATTERY_SENSORS = 4 };

/* The reply tells four sensors, and six follow. */
static enum verdict take_analog(struct device *dev, struct bytes info, const char **why)
{
	struct reading *r = &dev->reading;
	unsigned cells = u8_at(info, AT_CELL_COUNT);
	struct bytes b = bytes_sub(info, AT_CELLS + 2 * cells, info.n);

	if (info.n != ANALOG_BYTES + 2 * cells)
		return FRAME_FOREIGN;
	if (!cells || cells > MAX_CELLS || u8_at(b, 23) != ANALOG_ITEMS)
		*why = "number of cells, or of further items";
	else if (u16be_at(b, 24) > 100)
		*why = "SoC above 100 %";
	else
		*why = NULL;
	if (*why)
		return FRAME_BAD;
	int into = (int16_t)u16be_at(b, 13); /* 0.01 A */

	series_start(&r->cell_V, cells);
	for (unsigned i = 0; i < cells; i++)
		series_set(&r->cell_V, i, u16be_at(info, AT_CELLS + 2 * i) / 1000.0);
	series_start(&r->temperatures, BATTERY_SENSORS);
	for (unsigned i = 0; i < BATTERY_SENSORS; i++)
		series_set(&r->temperatures, i, (u16be_at(b, 1 + 2 * i) - 2731) / 10.0);
	reading_set(r, Q_CELL_COUNT, cells);
	reading_set(r, Q_CURRENT_A, (dev->options.invert_current ? -into : into) / 100.0);
	table_numbers(ROWS(analog_numbers), b, r);
	table_details(ROWS(analog_details), b, r);
	return FRAME_ANSWER;
}

/* Bits 0.. balance event, 8.. voltage event, 16.. temperature event, 32.. current event, 40.. what remains. */
static const struct alarm_row event_alarms[] = {
	{4, ALARM_WARNING, ALARM_CELL_IMBALANCE, NULL},
	{5, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{6, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{8, ALARM_WARNING, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{9, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{10, ALARM_WARNING, ALARM_LOW_CELL_VOLTAGE, NULL},
	{11, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{12, ALARM_WARNING, ALARM_HIGH_VOLTAGE, NULL},
	{13, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{14, ALARM_WARNING, ALARM_LOW_VOLTAGE, NULL},
	{15, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{16, ALARM_WARNING, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{17, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{18, ALARM_WARNING, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{19, ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{20, ALARM_WARNING, ALARM_HIGH_TEMPERATURE, NULL},
	{21, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{22, ALARM_WARNING, ALARM_LOW_TEMPERATURE, NULL},
	{23, ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{24, ALARM_WARNING, ALARM_COUNT, "ambient_high_temperature"},
	{25, ALARM_RAISED, ALARM_COUNT, "ambient_high_temperature"},
	{26, ALARM_WARNING, ALARM_COUNT, "ambient_low_temperature"},
	{27, ALARM_RAISED, ALARM_COUNT, "ambient_low_temperature"},
	{28, ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{29, ALARM_RAISED, ALARM_COUNT, "fire_alarm"},
	{32, ALARM_WARNING, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{33, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{34, ALARM_WARNING, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{35, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{36, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{37, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{38, ALARM_RAISED, ALARM_COUNT, "current_lockout"},
	{39, ALARM_RAISED, ALARM_COUNT, "current_lockout"},
	{40, ALARM_WARNING, ALARM_LOW_SOC, NULL},
};

/* Offsets behind the sensors' bytes: b begins with the one of the current. */
static const struct detail_row status_numbers[] = {
	{0, RAW_U8, 1, 0, "current_alarm"},	   {1, RAW_U8, 1, 0, "voltage_alarm"},
	{3, RAW_U8, 1, 0, "balance_event"},	   {4, RAW_U8, 1, 0, "voltage_event"},
	{5, RAW_U16BE, 1, 0, "temperature_event"}, {7, RAW_U8, 1, 0, "current_event"},
	{10, RAW_U8, 1, 0, "system_status"}, /* bit 0 discharging, 1 charging, 3 standby */
};

/* One byte each: 1 below, 2 above its limit. */
static void take_side(struct alarms *a, uint8_t side, enum alarm low, enum alarm high)
{
	if (side == 1)
		alarm_raise(a, low, ALARM_WARNING);
	else if (side == 2)
		alarm_raise(a, high, ALARM_WARNING);
}

static void take_sides(struct alarms *a, struct bytes info, unsigned cells)
{
	size_t sensors = AT_CELLS + cells + 1;

	for (unsigned i = 0; i < cells; i++)
		take_side(a, u8_at(info, AT_CELLS + i), ALARM_LOW_CELL_VOLTAGE, ALARM_HIGH_CELL_VOLTAGE);
	for (unsigned i = 0; i < BATTERY_SENSORS; i++)
		take_side(a, u8_at(info, sensors + i), ALARM_LOW_TEMPERATURE, ALARM_HIGH_TEMPERATURE);
	take_side(a, u8_at(info, sensors + ASCII_SENSORS + 1), ALARM_LOW_VOLTAGE, ALARM_HIGH_VOLTAGE);
	if (u8_at(info, sensors + 4) == 2)
		alarm_raise_own(a, "ambient_high_temperature", ALARM_WARNING);
	else if (u8_at(info, sensors + 4) == 1)
		alarm_raise_own(a, "ambient_low_temperature", ALARM_WARNING);
	if (u8_at(info, sensors + 5) == 2)
		alarm_raise(a, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_WARNING);
}

static enum verdict take_status(struct device *dev, struct bytes info, const char **why)
{
	struct reading *r = &dev->reading;
	unsigned cells = u8_at(info, AT_CELL_COUNT);
	struct bytes b = bytes_sub(info, AT_CELLS + cells + 1 + ASCII_SENSORS, info.n);

	if (info.n != STATUS_BYTES + cells)
		return FRAME_FOREIGN;
	if (!cells || cells > MAX_CELLS || u8_at(b, 2) != STATUS_ITEMS) {
		*why = "number of cells, or of further items";
		return FRAME_BAD;
	}
	uint64_t events = u8_at(b, 3) | (uint64_t)u8_at(b, 4) << 8 | (uint64_t)u16be_at(b, 5) << 16 |
			  (uint64_t)u8_at(b, 7) << 32 | (uint64_t)(u8_at(b, 8) & 1) << 40;

	alarms_clear(&r->alarms);
	table_alarms(ROWS(event_alarms), events, &r->alarms);
	if (dev->options.invert_current)
		swap_levels(&r->alarms, ALARM_HIGH_CHARGE_CURRENT, ALARM_HIGH_DISCHARGE_CURRENT);
	take_sides(&r->alarms, info, cells);
	table_details(ROWS(status_numbers), b, r);
	reading_set_detail(r, "limiter_on", u8_at(b, 9) >> 2 & 1);
	reading_set_flag(r, F_DISCHARGE_MOS, u8_at(b, 9) & 1);
	reading_set_flag(r, F_CHARGE_MOS, u8_at(b, 9) & 2);
	reading_set_flag(r, F_HEATER_ON, u8_at(b, 9) & 8);
	r->balancing_known = true;
	r->balancing = u32be_at(b, 11);
	reading_set_flag(r, F_BALANCING_ACTIVE, (u8_at(b, 3) & 1) || r->balancing);
	reading_set(r, Q_CELL_COUNT, cells);
	return FRAME_ANSWER;
}

/* Words in padding; the last one is the version. */
static enum verdict take_board_text(struct device *dev, struct bytes info)
{
	char text[TEXT_BYTES + 1];
	size_t n = 0;

	if (info.n != TEXT_BYTES)
		return FRAME_FOREIGN;
	for (size_t i = 0; i < info.n; i++) {
		bool printable = info.p[i] > ' ' && info.p[i] <= '~';

		if (printable)
			text[n++] = (char)info.p[i];
		else if (n && text[n - 1] != ' ')
			text[n++] = ' ';
	}
	while (n && text[n - 1] == ' ')
		n--;
	text[n] = 0;
	char *version = strrchr(text, ' ');
	reading_set_text(&dev->reading, T_FIRMWARE_VERSION, version ? version + 1 : text);
	if (version) {
		*version = 0;
		reading_set_text(&dev->reading, T_MODEL, text);
	}
	return FRAME_ANSWER;
}

static enum verdict take_clock(struct device *dev, struct bytes info)
{
	char text[40];

	if (info.n != CLOCK_BYTES)
		return FRAME_FOREIGN;
	snprintf(text, sizeof(text), "%04u-%02u-%02u %02u:%02u:%02u", u16be_at(info, 0), u8_at(info, 2), u8_at(info, 3),
		 u8_at(info, 4), u8_at(info, 5), u8_at(info, 6));
	if (u8_at(info, 2) >= 1 && u8_at(info, 2) <= 12 && u8_at(info, 3) >= 1 && u8_at(info, 3) <= 31)
		settings_set_text(&dev->settings, "clock", text);
	return FRAME_ANSWER;
}

static enum verdict take_ascii(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct ascii_1363 f;
	enum verdict verdict = ascii_1363_judge(pending, frame, false, &f, why);

	/* What refuses another version or class was asked by somebody else, for another make. */
	if (verdict == FRAME_REFUSED && (f.ver != ASCII_VERSION || f.cid1 != ASCII_CLASS))
		return FRAME_FOREIGN;
	if (verdict != FRAME_ANSWER)
		return verdict;
	switch (pending->code) {
	case INFO:
		return take_analog(dev, ascii_1363_info(&f), why);
	case STATUS:
		return take_status(dev, ascii_1363_info(&f), why);
	case BOARD_TEXT:
		return take_board_text(dev, ascii_1363_info(&f));
	default:
		return take_clock(dev, ascii_1363_info(&f));
	}
}

static enum verdict eg4_lifepower_take(struct device *dev, const struct request *pending, struct bytes frame,
				       const char **why)
{
	enum verdict verdict =
		is_ascii(pending) ? take_ascii(dev, pending, frame, why) : take_binary(dev, pending, frame, why);

	if (verdict == FRAME_ANSWER)
		reading_set(&dev->reading, Q_ADDRESS, pending->address);
	return verdict;
}

/*
 * A binary reply says whose it is and what it answers, so one that was recorded without its request can be read.
 * Nobody's request is taken for a master's: it may be the echo of our own.
 */
static enum heard eg4_lifepower_overhear(void *listen, struct bytes frame, struct request *as)
{
	(void)listen;
	if (is_hex_digit(u8_at(frame, 1)) || u8_at(frame, 3) < 2 || data_of_request(u8_at(frame, 2)) != 0 ||
	    u8_at(frame, 2) == PARAMETERS)
		return HEARD_NOTHING;
	request_start(as, &eg4_lifepower_protocol, u8_at(frame, 1), u8_at(frame, 0) == 0x7c ? START_7C : START_7E,
		      u8_at(frame, 2), 0);
	return HEARD_ANSWER;
}

/* ---- is it one: sheet 4 ---- */

static bool eg4_lifepower_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;

	if (!(r->cell_V.count >= LEAST_CELLS && r->cell_V.count <= MOST_CELLS))
		*why = "not 4..24 cells";
	else if (!cells_make_up_voltage(r))
		*why = "the cells do not add up to the pack voltage";
	else if (!reading_knows(r, Q_SOC_PCT) || !reading_knows(r, Q_CURRENT_A))
		*why = "no SoC or no current";
	else if (!temperatures_within(r, -50, 150))
		*why = "a temperature outside -50..150 degC";
	else if (dev->dialect != ASCII && !r->text[T_FIRMWARE_VERSION][0])
		*why = "it has no version";
	else
		return reading_plausible(r, why);
	return false;
}

/* ---- what the engine needs to know ---- */

static bool is_binary(const struct device *dev)
{
	return dev->dialect != ASCII;
}

static bool speaks_ascii(const struct device *dev)
{
	return dev->dialect == ASCII;
}

static const struct line lines[] = {{9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"EG4_Lifepower", "Revov", NULL};

static const struct poll polls[] = {
	{INFO, 0, EVERY_POLL, true, NULL},
	{STATUS, 0, EVERY_POLL, true, speaks_ascii},
	{VERSION, 0, ONCE, false, is_binary},
	{HARDWARE, 0, ONCE, false, is_binary},
	{BOARD_TEXT, 0, ONCE, false, speaks_ascii},
	{PARAMETERS, PROTECTION, 300000, false, is_binary},
	{PARAMETERS, WARNING, 300000, false, is_binary},
	{HEAT_START, 0, 300000, false, is_binary},
	{HEAT_STOP, 0, 300000, false, is_binary},
	{CLOCK, 0, 300000, false, speaks_ascii},
};

/*
 * Answers come after 100..500 ms. The first two questions are short: what comes late, while others are asked, is still
 * heard. Later three of our own follow each other, and each waits for itself.
 */
static const struct probe probes[] = {
	{INFO, 0, 1, 1, START_7E, 0, 150, false},
	{INFO, 0, 1, 1, ASCII, 1, 150, false},
	{INFO, 0, 1, LAST_ADDRESS, ASCII, 2, 350, false},
	{INFO, 0, 1, LAST_ADDRESS, START_7C, 2, 350, false},
	{INFO, 0, 1, LAST_ADDRESS, START_7E, 2, 350, false},
	{INFO, 0, 0, 0, START_7E, 2, 350, false},
};

#define QUANTITY(id)  (UINT64_C(1) << Q_##id)
#define ALARM_BIT(id) (UINT32_C(1) << ALARM_##id)

const struct protocol eg4_lifepower_protocol = {
	.id = "eg4-lifepower",
	.title = "EG4 LifePower4, Tian Power, Revov, Narada, Basengreen",
	.manufacturer = "EG4",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 600,
		   .gap_ms = 150,
		   .pause_ms = 100,
		   .late_ms = 600,
		   .scan_ms = 400,
		   .tries = 3,
		   .poll_ms = 2000},
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING,
	.quantities = QUANTITY(ADDRESS) | QUANTITY(VOLTAGE_V) | QUANTITY(CURRENT_A) | QUANTITY(SOC_PCT) |
		      QUANTITY(SOH_PCT) | QUANTITY(CAPACITY_FULL_AH) | QUANTITY(CAPACITY_REMAINING_AH) |
		      QUANTITY(CYCLES) | QUANTITY(TOTAL_CHARGE_AH) | QUANTITY(TOTAL_DISCHARGE_AH) |
		      QUANTITY(CELL_COUNT) | QUANTITY(TEMP_MOS_C) | QUANTITY(TEMP_AMBIENT_C),
	.flags = 1u << F_BALANCING_ACTIVE | 1u << F_CHARGE_MOS | 1u << F_DISCHARGE_MOS | 1u << F_HEATER_ON,
	.alarms = ALARM_BIT(HIGH_VOLTAGE) | ALARM_BIT(LOW_VOLTAGE) | ALARM_BIT(HIGH_CELL_VOLTAGE) |
		  ALARM_BIT(LOW_CELL_VOLTAGE) | ALARM_BIT(LOW_SOC) | ALARM_BIT(HIGH_CHARGE_CURRENT) |
		  ALARM_BIT(HIGH_DISCHARGE_CURRENT) | ALARM_BIT(CELL_IMBALANCE) | ALARM_BIT(INTERNAL_FAILURE) |
		  ALARM_BIT(HIGH_CHARGE_TEMPERATURE) | ALARM_BIT(LOW_CHARGE_TEMPERATURE) | ALARM_BIT(HIGH_TEMPERATURE) |
		  ALARM_BIT(LOW_TEMPERATURE) | ALARM_BIT(HIGH_INTERNAL_TEMPERATURE) | ALARM_BIT(FUSE_BLOWN) |
		  ALARM_BIT(SHORT_CIRCUIT),
	.first_address = 0,
	.last_address = LAST_ADDRESS,
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {CONFIRM},
	.confirm_count = 1,
	.encode = eg4_lifepower_encode,
	.find_frame = eg4_lifepower_find_frame,
	.take = eg4_lifepower_take,
	.plausible = eg4_lifepower_plausible,
	.parse_request = eg4_lifepower_parse_request,
	.overhear = eg4_lifepower_overhear,
};
