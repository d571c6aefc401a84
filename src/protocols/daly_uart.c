/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Daly Smart BMS on a serial line: 13-byte frames that begin with A5, sheet daly-uart. Two dialects of the
 * request: host addresses 40..4F, one per board, and 80, the Bluetooth dongle's, which means board 1. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/checksum.h"
#include "protocols/daly_common.h"
#include "protocols/procedure.h"
#include "protocols/protocol.h"
#include "protocols/table.h"

extern const struct protocol daly_uart_protocol;

enum dialect { HOST_40, HOST_80 };

/* A request's code is the command byte. Writes lie below 40, the two MOS switches aside. */
enum command_byte {
	CMD_SET_CLOCK_AND_SOC = 0x21,
	CMD_CAPACITY = 0x50,
	CMD_BOARDS = 0x51,
	CMD_TOTALS = 0x52,
	CMD_TYPE = 0x53,
	CMD_FIRMWARE_INDEX = 0x54,
	CMD_BATTERY_CODE = 0x57,
	CMD_CELL_THRESHOLDS = 0x59,
	CMD_PACK_THRESHOLDS = 0x5a,
	CMD_CURRENT_THRESHOLDS = 0x5b,
	CMD_TEMPERATURE_THRESHOLDS = 0x5c,
	CMD_SOC_THRESHOLDS = 0x5d,
	CMD_DIFFERENCE_THRESHOLDS = 0x5e,
	CMD_BALANCE_THRESHOLDS = 0x5f,
	CMD_SHORT_CIRCUIT = 0x60,
	CMD_CLOCK = 0x61,
	CMD_FIRMWARE = 0x62,
	CMD_HARDWARE = 0x63,
	CMD_PACK = 0x90,
	CMD_CELL_RANGE = 0x91,
	CMD_TEMP_RANGE = 0x92,
	CMD_MOS = 0x93,
	CMD_STATUS = 0x94,
	CMD_CELLS = 0x95,
	CMD_TEMPERATURES = 0x96,
	CMD_BALANCING = 0x97,
	CMD_ALARMS = 0x98,
	CMD_FAILURES = 0xd8,
	CMD_SET_DISCHARGE = 0xd9,
	CMD_SET_CHARGE = 0xda,
};

enum {
	FRAME_SIZE = 13,
	DATA_SIZE = 8,
	HOST_FIRST = 0x3f, /* + board number */
	HOST_DONGLE = 0x80,
	MAX_BOARD = 16,
	DALY_MAX_CELLS = 48,
	DALY_MAX_SENSORS = 16,
	MAX_PARTS = 16, /* frames of one reply */
	PART_SIZE = 7,	/* data bytes of each behind its index */
	CELLS_PER_PART = 3,
	FROZEN_POLLS = 30,
};

enum bms_state { IDLE, CHARGING, DISCHARGING };

/* Some boards send as many frames as the cells need, some all 16 (sheet 3). Only silence tells; two replies
 * in a row that ended alike settle it. */
struct habit {
	uint8_t last;  /* frames of the last reply that silence ended */
	uint8_t known; /* frames of every reply; 0: not known yet */
};

struct state {
	uint16_t code;	/* the command whose frames are being collected */
	uint16_t got;	/* bit i: frame i + 1 is there, from this reply or from one that lacked others */
	uint16_t fresh; /* those of this reply */
	uint8_t part[MAX_PARTS * PART_SIZE];
	struct habit cells, temperatures;
	bool sensors_known;
	uint8_t sensors;	/* of 94 */
	uint8_t contradictions; /* polls in a row in which the sign of the current and the state did not agree */
	bool heartbeat_known;
	uint8_t heartbeat, frozen; /* frozen: polls in which it has not moved */
	struct wall_time now;	   /* for the clock that goes with the SoC */
};

/* ---- framing: sheet 3 ---- */

static int daly_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	const uint8_t *start = memchr(in.p, 0xa5, in.n);

	(void)pending;
	if (start != in.p)
		return start ? -(int)(start - in.p) : -(int)in.n;
	if (bytes_has(in, 3, 1) && u8_at(in, 3) != DATA_SIZE)
		return -1;
	if (!bytes_has(in, 0, FRAME_SIZE)) {
		if (!quiet)
			return 0;
		*why = "frame cut short";
		return -1;
	}
	if (sum8(bytes_sub(in, 0, FRAME_SIZE - 1)) != u8_at(in, FRAME_SIZE - 1)) {
		*why = "checksum";
		return -1;
	}
	return FRAME_SIZE;
}

/* ---- requests ---- */

static bool is_write(uint16_t code)
{
	return code < 0x40 || code == CMD_SET_DISCHARGE || code == CMD_SET_CHARGE;
}

/* The frame that sets the SoC sets the clock as well: always the true time (sheet 7). */
static void put_clock_and_soc(uint8_t *data, const struct wall_time *t, uint16_t tenth_pct)
{
	data[0] = (uint8_t)(t->year - 2000);
	data[1] = (uint8_t)t->month;
	data[2] = (uint8_t)t->day;
	data[3] = (uint8_t)t->hour;
	data[4] = (uint8_t)t->minute;
	data[5] = (uint8_t)t->second;
	put_u16be(data + 6, tenth_pct);
}

/* arg: of the MOS switches 1 on, 0 off; of 21 the SoC in 0.1 %; else 0. */
static bool daly_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	uint8_t tx[FRAME_SIZE] = {0xa5, (uint8_t)(HOST_FIRST + dev->address), (uint8_t)code, DATA_SIZE};
	const struct state *s = dev->state;

	if (dev->address < 1 || dev->address > MAX_BOARD)
		return false;
	if (dev->dialect == HOST_80) {
		if (dev->address != 1)
			return false;
		tx[1] = HOST_DONGLE;
	}
	if (code == CMD_SET_CLOCK_AND_SOC)
		put_clock_and_soc(tx + 4, &s->now, arg);
	else
		tx[4] = (uint8_t)arg;
	tx[FRAME_SIZE - 1] = sum8((struct bytes){tx, FRAME_SIZE - 1});
	request_start(out, dev->protocol, dev->address, dev->dialect, code, arg);
	request_put(out, (struct bytes){tx, FRAME_SIZE});
	out->writes = is_write(code);
	return true;
}

static bool daly_parse_request(struct bytes tx, struct request *out)
{
	uint8_t host = u8_at(tx, 1), code = u8_at(tx, 2);
	bool dongle = host == HOST_DONGLE;

	if (tx.n != FRAME_SIZE || u8_at(tx, 0) != 0xa5 || u8_at(tx, 3) != DATA_SIZE)
		return false;
	if (!dongle && (host <= HOST_FIRST || host > HOST_FIRST + MAX_BOARD))
		return false;
	if (sum8(bytes_sub(tx, 0, FRAME_SIZE - 1)) != u8_at(tx, FRAME_SIZE - 1))
		return false;
	request_start(out, &daly_uart_protocol, dongle ? 1 : (uint8_t)(host - HOST_FIRST), dongle ? HOST_80 : HOST_40,
		      code, 0);
	if (code == CMD_SET_CHARGE || code == CMD_SET_DISCHARGE)
		out->arg = u8_at(tx, 4);
	else if (code == CMD_SET_CLOCK_AND_SOC)
		out->arg = u16be_at(tx, 10);
	out->writes = is_write(code);
	request_put(out, tx);
	return true;
}

/* ---- replies of one frame that are a fixed layout: sheet 5. Bytes that no row names are left over from
 * the reply before or junk. ---- */

static const struct number_row pack_numbers[] = {
	{0, RAW_U16BE, 10, 0, Q_VOLTAGE_V},
	{6, RAW_U16BE, 10, 0, Q_SOC_PCT},
};

static const struct number_row cell_range_numbers[] = {
	{0, RAW_U16BE, 1000, 0, Q_CELL_MAX_V},
	{2, RAW_U8, 1, 0, Q_CELL_MAX_NO},
	{3, RAW_U16BE, 1000, 0, Q_CELL_MIN_V},
	{5, RAW_U8, 1, 0, Q_CELL_MIN_NO},
};

static const struct number_row temp_range_numbers[] = {
	{0, RAW_U8, 1, -40, Q_TEMP_MAX_C},
	{1, RAW_U8, 1, 0, Q_TEMP_MAX_NO},
	{2, RAW_U8, 1, -40, Q_TEMP_MIN_C},
	{3, RAW_U8, 1, 0, Q_TEMP_MIN_NO},
};

static const struct number_row mos_numbers[] = {{4, RAW_U32BE, 1000, 0, Q_CAPACITY_REMAINING_AH}};

static const struct detail_row mos_details[] = {
	{0, RAW_U8, 1, 0, "state"},
	{3, RAW_U8, 1, 0, "heartbeat"},
};

static const struct number_row status_numbers[] = {
	{0, RAW_U8, 1, 0, Q_CELL_COUNT},
	{5, RAW_U16BE, 1, 0, Q_CYCLES},
};

static const struct detail_row status_details[] = {
	{1, RAW_U8, 1, 0, "temp_sensor_count"},
	{2, RAW_U8, 1, 0, "charger_connected"},
	{3, RAW_U8, 1, 0, "load_connected"},
	{4, RAW_U8, 1, 0, "dio_bits"}, /* bits 0-3 DI1-DI4, 4-7 DO1-DO4 */
};

static const struct detail_row alarm_details[] = {{7, RAW_U8, 1, 0, "fault_code"}};

static const struct number_row total_numbers[] = {
	{0, RAW_U32BE, 1, 0, Q_TOTAL_CHARGE_AH},
	{4, RAW_U32BE, 1, 0, Q_TOTAL_DISCHARGE_AH},
};

static const struct setting_row capacity_settings[] = {
	{0, RAW_U32BE, 1000, 0, "capacity_design_Ah", SETTING_NUMBER},
	{4, RAW_U32BE, 1000, 0, "nominal_cell_V", SETTING_NUMBER},
};

static const struct setting_row type_settings[] = {
	{5, RAW_U16BE, 1, 0, "sleep_time_s", SETTING_NUMBER}}; /* FFFF: never */

/* Level 1 warns, level 2 opens the MOS. */
static const struct setting_row cell_settings[] = {
	{0, RAW_U16BE, 1000, 0, "cell_high_warning_V", SETTING_NUMBER},
	{2, RAW_U16BE, 1000, 0, "cell_ovp_V", SETTING_NUMBER},
	{4, RAW_U16BE, 1000, 0, "cell_low_warning_V", SETTING_NUMBER},
	{6, RAW_U16BE, 1000, 0, "cell_uvp_V", SETTING_NUMBER},
};

static const struct setting_row pack_settings[] = {
	{0, RAW_U16BE, 10, 0, "pack_high_warning_V", SETTING_NUMBER},
	{2, RAW_U16BE, 10, 0, "pack_ovp_V", SETTING_NUMBER},
	{4, RAW_U16BE, 10, 0, "pack_low_warning_V", SETTING_NUMBER},
	{6, RAW_U16BE, 10, 0, "pack_uvp_V", SETTING_NUMBER},
};

/* Which is charge and which discharge is not certain: as they stand, with their sign. */
static const struct setting_row current_settings[] = {
	{0, RAW_U16BE, 10, -30000, "current_threshold_1_A", SETTING_NUMBER},
	{2, RAW_U16BE, 10, -30000, "current_threshold_2_A", SETTING_NUMBER},
	{4, RAW_U16BE, 10, -30000, "current_threshold_3_A", SETTING_NUMBER},
	{6, RAW_U16BE, 10, -30000, "current_threshold_4_A", SETTING_NUMBER},
};

static const struct setting_row balance_settings[] = {
	{0, RAW_U16BE, 1000, 0, "balance_start_V", SETTING_NUMBER},
	{2, RAW_U16BE, 1000, 0, "balance_trigger_V", SETTING_NUMBER},
};

static const struct setting_row short_circuit_settings[] = {
	{0, RAW_U16BE, 1, 0, "short_circuit_A", SETTING_NUMBER},
	{2, RAW_U16BE, 1000, 0, "shunt_mOhm", SETTING_NUMBER},
};

#define NONE NULL, 0

static const struct layout {
	uint8_t code;
	const struct number_row *numbers;
	size_t number_count;
	const struct detail_row *details;
	size_t detail_count;
	const struct setting_row *settings;
	size_t setting_count;
} layouts[] = {
	{CMD_PACK, ROWS(pack_numbers), NONE, NONE},
	{CMD_CELL_RANGE, ROWS(cell_range_numbers), NONE, NONE},
	{CMD_TEMP_RANGE, ROWS(temp_range_numbers), NONE, NONE},
	{CMD_MOS, ROWS(mos_numbers), ROWS(mos_details), NONE},
	{CMD_STATUS, ROWS(status_numbers), ROWS(status_details), NONE},
	{CMD_ALARMS, NONE, ROWS(alarm_details), NONE},
	{CMD_CAPACITY, NONE, NONE, ROWS(capacity_settings)},
	{CMD_TOTALS, ROWS(total_numbers), NONE, NONE},
	{CMD_TYPE, NONE, NONE, ROWS(type_settings)},
	{CMD_CELL_THRESHOLDS, NONE, NONE, ROWS(cell_settings)},
	{CMD_PACK_THRESHOLDS, NONE, NONE, ROWS(pack_settings)},
	{CMD_CURRENT_THRESHOLDS, NONE, NONE, ROWS(current_settings)},
	{CMD_BALANCE_THRESHOLDS, NONE, NONE, ROWS(balance_settings)},
	{CMD_SHORT_CIRCUIT, NONE, NONE, ROWS(short_circuit_settings)},
};

static void take_layout(struct device *dev, uint8_t code, struct bytes data)
{
	for (const struct layout *l = layouts; l < layouts + sizeof(layouts) / sizeof(layouts[0]); l++) {
		if (l->code != code)
			continue;
		table_numbers(l->numbers, l->number_count, data, &dev->reading);
		table_details(l->details, l->detail_count, data, &dev->reading);
		table_settings(l->settings, l->setting_count, data, &dev->settings);
	}
}

/* The first n data bytes as one number, byte 0 lowest. */
static uint64_t bits_of(struct bytes data, size_t n)
{
	uint64_t word = 0;

	for (size_t i = 0; i < n; i++)
		word |= (uint64_t)u8_at(data, i) << (8 * i);
	return word;
}

/* ---- what a table can't say ---- */

static unsigned cell_count(const struct device *dev)
{
	return reading_knows(&dev->reading, Q_CELL_COUNT) ? (unsigned)dev->reading.number[Q_CELL_COUNT] : 0;
}

static void take_current(struct device *dev, struct bytes data)
{
	int into = 30000 - u16be_at(data, 4); /* 0.1 A */
	double gathered = u16be_at(data, 2) / 10.0;

	reading_set(&dev->reading, Q_CURRENT_A, (dev->options.invert_current ? -into : into) / 10.0);
	/* Most boards leave the second voltage 0. */
	reading_set_detail(&dev->reading, "gathered_voltage_V", gathered > 0 ? gathered : NAN);
}

/* A counter that stands still over many polls: the board hangs and repeats old values. */
static void watch_heartbeat(struct device *dev, uint8_t heartbeat)
{
	struct state *s = dev->state;

	if (!s->heartbeat_known || s->heartbeat != heartbeat)
		s->frozen = 0;
	else if (s->frozen < FROZEN_POLLS)
		s->frozen++;
	s->heartbeat_known = true;
	s->heartbeat = heartbeat;
	reading_set_detail(&dev->reading, "heartbeat_frozen", s->frozen == FROZEN_POLLS ? 1 : NAN);
}

static void take_mos(struct device *dev, struct bytes data)
{
	struct reading *r = &dev->reading;

	reading_set_flag(r, F_CHARGE_MOS, u8_at(data, 1));
	reading_set_flag(r, F_DISCHARGE_MOS, u8_at(data, 2));
	reading_set_flag(r, F_CHARGE_ALLOWED, u8_at(data, 1));
	reading_set_flag(r, F_DISCHARGE_ALLOWED, u8_at(data, 2));
	watch_heartbeat(dev, u8_at(data, 3));
	daly_compare_direction(&dev->reading, &((struct state *)dev->state)->contradictions);
}

static void forget_temp_range(struct reading *r)
{
	static const enum quantity range[] = {Q_TEMP_MAX_C, Q_TEMP_MAX_NO, Q_TEMP_MIN_C, Q_TEMP_MIN_NO};

	for (size_t i = 0; i < sizeof(range) / sizeof(range[0]); i++)
		reading_forget(r, range[i]);
}

static void take_status(struct device *dev, struct bytes data)
{
	struct state *s = dev->state;

	s->sensors = u8_at(data, 1);
	s->sensors_known = true;
	if (s->sensors)
		return;
	series_start(&dev->reading.temperatures, 0);
	forget_temp_range(&dev->reading);
}

static void take_balancing(struct device *dev, struct bytes data)
{
	struct reading *r = &dev->reading;

	r->balancing = bits_of(data, 6);
	if (cell_count(dev))
		r->balancing &= (UINT64_C(1) << cell_count(dev)) - 1;
	r->balancing_known = true;
	reading_set_flag(r, F_BALANCING_ACTIVE, r->balancing != 0);
}

/* The installed capacity is all that this board knows of a full one. */
static void take_capacity(struct device *dev, struct bytes data)
{
	double full = u32be_at(data, 0) / 1000.0;

	if (full <= 0)
		return;
	reading_set(&dev->reading, Q_CAPACITY_DESIGN_AH, full);
	reading_set(&dev->reading, Q_CAPACITY_FULL_AH, full);
}

static void take_boards(struct device *dev, struct bytes data)
{
	static const char *const cells[] = {"board1_cells", "board2_cells", "board3_cells"};
	static const char *const sensors[] = {"board1_sensors", "board2_sensors", "board3_sensors"};
	unsigned boards = u8_at(data, 0);

	settings_set_number(&dev->settings, "boards", boards);
	for (unsigned i = 0; i < boards && i < 3; i++) {
		settings_set_number(&dev->settings, cells[i], u8_at(data, 1 + i));
		settings_set_number(&dev->settings, sensors[i], u8_at(data, 4 + i));
	}
}

/* Year from 2000, month, day; "" when that is no date. */
static void date_text(struct bytes at, char out[16])
{
	unsigned year = u8_at(at, 0), month = u8_at(at, 1), day = u8_at(at, 2);

	out[0] = 0;
	if (year <= 99 && month >= 1 && month <= 12 && day >= 1 && day <= 31)
		snprintf(out, 16, "%04u-%02u-%02u", 2000 + year, month, day);
}

static void take_type(struct device *dev, struct bytes data)
{
	char text[16];

	bytes_hex(bytes_sub(data, 0, 2), text, sizeof(text));
	settings_set_text(&dev->settings, "battery_type_and_mode", text); /* which is which is not certain */
	date_text(bytes_sub(data, 2, 3), text);
	reading_set_text(&dev->reading, T_PRODUCTION_DATE, text);
}

static void take_clock(struct device *dev, struct bytes data)
{
	char date[16], text[MAX_SETTING_TEXT];

	date_text(data, date);
	if (!date[0] || u8_at(data, 3) > 23 || u8_at(data, 4) > 59 || u8_at(data, 5) > 59)
		return;
	snprintf(text, sizeof(text), "%s %02u:%02u:%02u", date, u8_at(data, 3), u8_at(data, 4), u8_at(data, 5));
	settings_set_text(&dev->settings, "clock", text);
}

/* What is known to be there, but not what it means. */
static void take_hex(struct device *dev, const char *name, struct bytes data)
{
	char text[2 * DATA_SIZE + 1];

	bytes_hex(data, text, sizeof(text));
	settings_set_text(&dev->settings, name, text);
}

static void take_firmware_index(struct device *dev, struct bytes data)
{
	char text[DATA_SIZE + 1];

	bytes_text(data, text, sizeof(text));
	settings_set_text(&dev->settings, "firmware_index", text);
}

static bool believable(uint8_t code, struct bytes data, const char **why)
{
	if (code == CMD_PACK && u16be_at(data, 6) > 1000)
		*why = "SoC above 100 %";
	else if (code == CMD_STATUS && (u8_at(data, 0) < 1 || u8_at(data, 0) > DALY_MAX_CELLS))
		*why = "cell count outside 1..48";
	else if (code == CMD_STATUS && u8_at(data, 1) > DALY_MAX_SENSORS)
		*why = "more than 16 temperature sensors";
	else
		return true;
	return false;
}

static enum verdict take_single(struct device *dev, uint8_t code, struct bytes data, const char **why)
{
	if (!believable(code, data, why))
		return FRAME_BAD;
	take_layout(dev, code, data);
	switch (code) {
	case CMD_PACK:
		take_current(dev, data);
		break;
	case CMD_MOS:
		take_mos(dev, data);
		break;
	case CMD_STATUS:
		take_status(dev, data);
		break;
	case CMD_BALANCING:
		take_balancing(dev, data);
		break;
	case CMD_ALARMS:
		daly_take_alarms(&dev->reading.alarms, bits_of(data, 7), dev->options.invert_current);
		break;
	case CMD_CAPACITY:
		take_capacity(dev, data);
		break;
	case CMD_BOARDS:
		take_boards(dev, data);
		break;
	case CMD_TYPE:
		take_type(dev, data);
		break;
	case CMD_FIRMWARE_INDEX:
		take_firmware_index(dev, data);
		break;
	case CMD_TEMPERATURE_THRESHOLDS:
		take_hex(dev, "temperature_thresholds_raw", data);
		break;
	case CMD_SOC_THRESHOLDS:
		take_hex(dev, "soc_thresholds_raw", data);
		break;
	case CMD_DIFFERENCE_THRESHOLDS:
		take_hex(dev, "difference_thresholds_raw", data);
		break;
	case CMD_CLOCK:
		take_clock(dev, data);
		break;
	case CMD_FAILURES:
		take_hex(dev, "failures_raw", data);
		break;
	}
	return FRAME_ANSWER;
}

/* ---- replies of several frames: 95, 96 and the texts ---- */

/* The most frames that a reply to this command may have; 0: it is one frame without an index. */
static unsigned most_parts(uint16_t code)
{
	switch (code) {
	case CMD_BATTERY_CODE:
		return 5;
	case CMD_CELLS:
	case CMD_TEMPERATURES:
	case CMD_FIRMWARE:
	case CMD_HARDWARE:
		return MAX_PARTS;
	default:
		return 0;
	}
}

static struct habit *habit_of(struct state *s, uint16_t code)
{
	return code == CMD_CELLS ? &s->cells : code == CMD_TEMPERATURES ? &s->temperatures : NULL;
}

/* The frames that hold something; 0: not known. */
static unsigned needed_parts(const struct device *dev, uint16_t code)
{
	const struct state *s = dev->state;

	if (code == CMD_CELLS)
		return (cell_count(dev) + CELLS_PER_PART - 1) / CELLS_PER_PART;
	if (code == CMD_TEMPERATURES && s->sensors_known)
		return (s->sensors + PART_SIZE - 1u) / PART_SIZE;
	return 0;
}

static bool has_parts(const struct state *s, unsigned n)
{
	unsigned all = (1u << n) - 1;

	return (s->got & all) == all;
}

static unsigned highest_part(const struct state *s)
{
	unsigned n = 0;

	while (n < MAX_PARTS && s->got >> n)
		n++;
	return n;
}

/* 91 and 92 are asked apart from the values that they sum up. What these do not bear out is of another
 * moment: dropped. */
static void check_extreme(struct reading *r, const struct series *s, enum quantity value, enum quantity number,
			  int sign)
{
	double extreme = reading_get(r, value), no = reading_get(r, number);
	bool holds =
		no >= 1 && no <= s->count && series_knows(s, (unsigned)no - 1) && s->value[(unsigned)no - 1] == extreme;

	for (unsigned i = 0; i < s->count; i++)
		if (series_knows(s, i) && sign * s->value[i] > sign * extreme)
			holds = false;
	if (holds)
		return;
	reading_forget(r, value);
	reading_forget(r, number);
}

static double cell_voltage(const struct state *s, unsigned cell)
{
	struct bytes parts = {s->part, sizeof(s->part)};

	return u16be_at(parts, PART_SIZE * (cell / CELLS_PER_PART) + 2 * (cell % CELLS_PER_PART)) / 1000.0;
}

static bool finish_cells(struct device *dev, unsigned parts, const char **why)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;
	unsigned cells = cell_count(dev);

	/* While 94 has not told how many there are: the empty places at the end are none. */
	if (!cells)
		for (cells = CELLS_PER_PART * parts; cells && cell_voltage(s, cells - 1) <= 0;)
			cells--;
	if (!cells) {
		*why = "no cell in the reply";
		return false;
	}
	series_start(&r->cell_V, cells);
	for (unsigned i = 0; i < cells; i++)
		series_set(&r->cell_V, i, cell_voltage(s, i));
	check_extreme(r, &r->cell_V, Q_CELL_MAX_V, Q_CELL_MAX_NO, 1);
	check_extreme(r, &r->cell_V, Q_CELL_MIN_V, Q_CELL_MIN_NO, -1);
	return true;
}

static void finish_temperatures(struct device *dev, unsigned parts)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;
	const uint8_t *raw = s->part;
	unsigned sensors = s->sensors;

	if (!s->sensors_known) {
		sensors = PART_SIZE * parts < DALY_MAX_SENSORS ? PART_SIZE * parts : DALY_MAX_SENSORS;
		while (sensors && !raw[sensors - 1])
			sensors--;
	}
	series_start(&r->temperatures, sensors);
	for (unsigned i = 0; i < sensors; i++)
		series_set(&r->temperatures, i, raw[i] ? raw[i] - 40 : NAN);
	check_extreme(r, &r->temperatures, Q_TEMP_MAX_C, Q_TEMP_MAX_NO, 1);
	check_extreme(r, &r->temperatures, Q_TEMP_MIN_C, Q_TEMP_MIN_NO, -1);
}

static void finish_text(struct device *dev, uint16_t code, unsigned parts)
{
	const struct state *s = dev->state;
	char text[MAX_TEXT];

	bytes_text((struct bytes){s->part, (size_t)PART_SIZE * parts}, text, sizeof(text));
	reading_set_text(&dev->reading,
			 code == CMD_BATTERY_CODE ? T_SERIAL_NUMBER
			 : code == CMD_FIRMWARE	  ? T_FIRMWARE_VERSION
						  : T_HARDWARE_VERSION,
			 text);
}

static enum verdict finish_parts(struct device *dev, uint16_t code, unsigned parts, const char **why)
{
	struct state *s = dev->state;

	s->got = s->fresh = 0;
	if (code == CMD_CELLS) {
		if (!finish_cells(dev, parts, why))
			return FRAME_BAD;
	} else if (code == CMD_TEMPERATURES) {
		finish_temperatures(dev, parts);
	} else {
		finish_text(dev, code, parts);
	}
	return FRAME_ANSWER;
}

static enum verdict take_part(struct device *dev, uint16_t code, struct bytes data, const char **why)
{
	struct state *s = dev->state;
	const struct habit *habit = habit_of(s, code);
	unsigned index = u8_at(data, 0), needed = needed_parts(dev, code), last = most_parts(code);

	if (index < 1 || index > most_parts(code)) {
		*why = "frame index out of range";
		return FRAME_BAD;
	}
	memcpy(s->part + (size_t)PART_SIZE * (index - 1), data.p + 1, PART_SIZE);
	s->got |= (uint16_t)(1u << (index - 1));
	s->fresh |= (uint16_t)(1u << (index - 1));
	if (habit && habit->known && habit->known >= needed)
		last = habit->known;
	/* Whatever is there already, what is still to come is waited for. */
	return has_parts(s, last) && s->fresh >> (last - 1) ? finish_parts(dev, code, last, why) : FRAME_PART;
}

/* The line has fallen silent: is everything there? */
static enum verdict end_parts(struct device *dev, uint16_t code, const char **why)
{
	struct state *s = dev->state;
	struct habit *habit = habit_of(s, code);
	unsigned parts = highest_part(s), needed = needed_parts(dev, code);

	if (!parts || !has_parts(s, needed ? needed : parts)) {
		s->fresh = 0;
		*why = "a frame of the reply is missing";
		return FRAME_BAD;
	}
	if (habit) {
		habit->known = habit->last == parts ? (uint8_t)parts : 0;
		habit->last = (uint8_t)parts;
	}
	return finish_parts(dev, code, parts, why);
}

/* ---- verdicts ---- */

static enum verdict take_acknowledgement(const struct request *pending, struct bytes data, const char **why)
{
	bool of_switch = pending->code == CMD_SET_CHARGE || pending->code == CMD_SET_DISCHARGE;

	if (!of_switch || u8_at(data, 0) == pending->arg)
		return FRAME_ANSWER;
	*why = "the board acknowledges the opposite";
	return FRAME_REFUSED;
}

static enum verdict daly_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct bytes data = bytes_sub(frame, 4, DATA_SIZE);
	struct state *s = dev->state;
	bool silence = !frame.n && most_parts(pending->code);
	enum verdict verdict;

	/* A board's own number is below 20; what is above is a request that comes back (sheet 2). */
	if (!silence &&
	    (frame.n != FRAME_SIZE || u8_at(frame, 1) != pending->address || u8_at(frame, 2) != pending->code))
		return FRAME_FOREIGN;
	/* What an incomplete reply has brought is kept for its repetition, and for nothing else. */
	if (s->code != pending->code)
		s->got = s->fresh = 0;
	s->code = pending->code;
	if (is_write(pending->code))
		return take_acknowledgement(pending, data, why);
	if (silence)
		verdict = end_parts(dev, pending->code, why);
	else if (most_parts(pending->code))
		verdict = take_part(dev, pending->code, data, why);
	else
		verdict = take_single(dev, (uint8_t)pending->code, data, why);
	if (verdict == FRAME_ANSWER)
		reading_set(&dev->reading, Q_ADDRESS, pending->address);
	return verdict;
}

/* Sheet 4. */
static bool daly_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;
	double per_cell = reading_get(r, Q_VOLTAGE_V) / reading_get(r, Q_CELL_COUNT);

	if (!reading_knows(r, Q_VOLTAGE_V) || !reading_knows(r, Q_CELL_COUNT))
		*why = "90 and 94 have not both been answered";
	else if (per_cell < 1.5 || per_cell > 4.5)
		*why = "pack voltage outside 1.5..4.5 V per cell";
	else if (reading_detail(r, "charger_connected") > 1 || reading_detail(r, "load_connected") > 1)
		*why = "94 bytes 2 and 3 are no switches";
	else if (reading_detail(r, "state") > DISCHARGING)
		*why = "93 state outside 0..2";
	else
		return reading_plausible(r, why);
	return false;
}

/* ---- commands: sheet 7 ---- */

enum { READ_BACK_WAIT_MS = 400, MOS_READ_BACKS = 5, SOC_READ_BACKS = 6, CLOCK_SET_YEAR = 2020 };

static bool protection_acts(const struct reading *r)
{
	for (unsigned a = 0; a < ALARM_COUNT; a++)
		if (r->alarms.level[a] == ALARM_RAISED)
			return true;
	for (unsigned i = 0; i < r->alarms.own_count; i++)
		if (r->alarms.own[i].level == ALARM_RAISED)
			return true;
	return false;
}

/* The switch does not read back as wanted. */
static void end_switch(struct device *dev, struct procedure *p, struct next *next, enum step_result sent,
		       const char *why)
{
	const char *name = p->command->kind == COMMAND_CHARGE ? "charge" : "discharge";
	bool want_on = p->command->value != 0;

	if (step_result(p) != STEP_ANSWERED) {
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
		return;
	}
	if (!step_ask(dev, p, next, CMD_ALARMS, 0))
		return;
	if (sent == STEP_REFUSED)
		step_end(next, COMMAND_REFUSED, "%s", why);
	else if (sent == STEP_SILENT)
		step_end(next, COMMAND_UNCONFIRMED, "no acknowledgement, and the %s MOS stays %s", name,
			 want_on ? "off" : "on");
	else if (want_on && protection_acts(&dev->reading))
		step_end(next, COMMAND_UNCONFIRMED,
			 "acknowledged, but the %s MOS stays off: a protection holds it (see Alarms)", name);
	else
		step_end(next, COMMAND_UNCONFIRMED, "acknowledged, but the %s MOS reads back %s", name,
			 want_on ? "off" : "on");
}

static void proceed_switch(struct device *dev, struct procedure *p, struct next *next)
{
	bool charge = p->command->kind == COMMAND_CHARGE;
	bool want_on = p->command->value != 0;

	if (!step_ask(dev, p, next, charge ? CMD_SET_CHARGE : CMD_SET_DISCHARGE, want_on))
		return;
	enum step_result sent = step_result(p);
	const char *why = step_why(p);
	for (int i = 0; i < MOS_READ_BACKS; i++) {
		if (i && !step_wait(p, next, READ_BACK_WAIT_MS))
			return;
		if (!step_ask(dev, p, next, CMD_MOS, 0))
			return;
		bool on = reading_flag(&dev->reading, charge ? F_CHARGE_MOS : F_DISCHARGE_MOS) == ON;
		if (step_result(p) == STEP_ANSWERED && on == want_on) {
			step_end(next, COMMAND_DONE, "%s%s MOS reads back %s",
				 sent == STEP_ANSWERED ? "" : "not acknowledged, but the ",
				 charge ? "charge" : "discharge", on ? "on" : "off");
			return;
		}
	}
	end_switch(dev, p, next, sent, why);
}

/* No reply to 21 has ever been captured: what 90 says afterwards decides. memo[0]: which read-back showed
 * the wanted value, from 1. */
static void proceed_soc(struct device *dev, struct procedure *p, struct next *next)
{
	struct state *s = dev->state;
	double want = p->command->value;

	if (p->now.year < CLOCK_SET_YEAR || p->now.year >= 2100) {
		step_end(next, COMMAND_REFUSED, "the same frame sets the board's clock, and this computer's says %d",
			 p->now.year);
		return;
	}
	s->now = p->now;
	if (!step_ask(dev, p, next, CMD_SET_CLOCK_AND_SOC, (uint16_t)lround(10 * want)))
		return;
	for (unsigned i = 1; i <= SOC_READ_BACKS; i++) {
		if (!step_wait(p, next, READ_BACK_WAIT_MS))
			return;
		if (!step_ask(dev, p, next, CMD_PACK, 0))
			return;
		double got = reading_get(&dev->reading, Q_SOC_PCT);
		if (step_is_new(p) && step_result(p) == STEP_ANSWERED && fabs(got - want) <= 0.5)
			p->memo[0] = i;
		if (p->memo[0] != i)
			continue;
		if (!step_ask(dev, p, next, CMD_MOS, 0))
			return;
		step_end(next, COMMAND_DONE, "SoC reads back %g %%, remaining capacity %g Ah", got,
			 reading_get(&dev->reading, Q_CAPACITY_REMAINING_AH));
		return;
	}
	if (step_result(p) == STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the SoC reads back %g %%",
			 reading_get(&dev->reading, Q_SOC_PCT));
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
}

static void daly_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	if (p->command->kind == COMMAND_SOC)
		proceed_soc(dev, p, next);
	else if (p->command->kind == COMMAND_CHARGE || p->command->kind == COMMAND_DISCHARGE)
		proceed_switch(dev, p, next);
	else
		step_end(next, COMMAND_REFUSED, "balancing can't be switched on this line");
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Daly", NULL};

static bool cells_unknown(const struct device *dev)
{
	return !dev->reading.cell_V.reported;
}

static bool temperatures_unknown(const struct device *dev)
{
	return !dev->reading.temperatures.reported;
}

static bool has_sensors(const struct device *dev)
{
	const struct state *s = dev->state;

	return !s->sensors_known || s->sensors;
}

/*
 * The required rows but 94 and 92 fill half a second of every poll; the others come now and then, and
 * rarely two in the same poll. 91 and 92 only stand in for 95 and 96: what these tell needs no summary
 * of another moment.
 */
static const struct poll polls[] = {
	{CMD_PACK, 0, EVERY_POLL, true, NULL},
	{CMD_STATUS, 0, 11000, true, NULL},
	{CMD_MOS, 0, EVERY_POLL, true, NULL},
	{CMD_CELLS, 0, EVERY_POLL, true, NULL},
	{CMD_ALARMS, 0, EVERY_POLL, true, NULL},
	{CMD_TEMP_RANGE, 0, 2000, true, temperatures_unknown},
	{CMD_TEMPERATURES, 0, 3000, false, has_sensors},
	{CMD_BALANCING, 0, 2000, false, NULL},
	{CMD_CAPACITY, 0, ONCE, false, NULL},
	{CMD_BATTERY_CODE, 0, ONCE, false, NULL},
	{CMD_FIRMWARE, 0, ONCE, false, NULL},
	{CMD_HARDWARE, 0, ONCE, false, NULL},
	{CMD_TYPE, 0, ONCE, false, NULL},
	{CMD_BOARDS, 0, ONCE, false, NULL},
	{CMD_TOTALS, 0, 61000, false, NULL},
	{CMD_CELL_THRESHOLDS, 0, 300000, false, NULL},
	{CMD_PACK_THRESHOLDS, 0, 301000, false, NULL},
	{CMD_CURRENT_THRESHOLDS, 0, 302000, false, NULL},
	{CMD_BALANCE_THRESHOLDS, 0, 303000, false, NULL},
	{CMD_SHORT_CIRCUIT, 0, 304000, false, NULL},
	{CMD_TEMPERATURE_THRESHOLDS, 0, 305000, false, NULL},
	{CMD_SOC_THRESHOLDS, 0, 306000, false, NULL},
	{CMD_DIFFERENCE_THRESHOLDS, 0, 307000, false, NULL},
	{CMD_CELL_RANGE, 0, 2000, false, cells_unknown},
};

static const struct probe probes[] = {
	{CMD_STATUS, 0, 1, MAX_BOARD, HOST_40, 0, 100, false},
	/* Not behind the other one: a slow answer to 40 would pass for one to 80. */
	{CMD_STATUS, 0, 1, 1, HOST_80, 1, 100, false},
	{CMD_STATUS, 0, 1, 1, HOST_40, 1, 200, false},
};

#define Q(id) (UINT64_C(1) << Q_##id)
#define F(id) (1u << F_##id)
#define A(id) (1u << ALARM_##id)

const struct protocol daly_uart_protocol = {
	.id = "daly-uart",
	.title = "Daly Smart BMS (A5 frames), MGod, 100Balance",
	.manufacturer = "Daly",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 300,
		   .gap_ms = 100,
		   .pause_ms = 20,
		   .late_ms = 300,
		   .scan_ms = 150,
		   .tries = 3,
		   .poll_ms = 1000},
	.quantities = Q(ADDRESS) | Q(VOLTAGE_V) | Q(CURRENT_A) | Q(SOC_PCT) | Q(CAPACITY_FULL_AH) |
		      Q(CAPACITY_DESIGN_AH) | Q(CAPACITY_REMAINING_AH) | Q(CYCLES) | Q(TOTAL_CHARGE_AH) |
		      Q(TOTAL_DISCHARGE_AH) | Q(CELL_COUNT) | Q(CELL_MIN_V) | Q(CELL_MAX_V) | Q(CELL_MIN_NO) |
		      Q(CELL_MAX_NO) | Q(TEMP_MIN_C) | Q(TEMP_MAX_C) | Q(TEMP_MIN_NO) | Q(TEMP_MAX_NO),
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING,
	.flags = F(BALANCING_ACTIVE) | F(CHARGE_MOS) | F(DISCHARGE_MOS) | F(CHARGE_ALLOWED) | F(DISCHARGE_ALLOWED),
	.alarms = A(HIGH_VOLTAGE) | A(LOW_VOLTAGE) | A(HIGH_CELL_VOLTAGE) | A(LOW_CELL_VOLTAGE) | A(LOW_SOC) |
		  A(HIGH_CHARGE_CURRENT) | A(HIGH_DISCHARGE_CURRENT) | A(CELL_IMBALANCE) | A(INTERNAL_FAILURE) |
		  A(HIGH_CHARGE_TEMPERATURE) | A(LOW_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) | A(LOW_TEMPERATURE) |
		  A(HIGH_INTERNAL_TEMPERATURE) | A(SHORT_CIRCUIT),
	.commands = 1 << COMMAND_SOC | 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE,
	.first_address = 1,
	.last_address = MAX_BOARD,
	.point_to_point = 1 << HOST_80,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {CMD_PACK}, /* 93 as well would cost 100 ms of everybody's start; the first poll asks it */
	.confirm_count = 1,
	.encode = daly_encode,
	.find_frame = daly_find_frame,
	.take = daly_take,
	.plausible = daly_plausible,
	.parse_request = daly_parse_request,
	.proceed = daly_proceed,
};
