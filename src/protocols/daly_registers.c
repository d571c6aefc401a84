/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/daly_registers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/daly_common.h"
#include "protocols/modbus_rtu.h"
#include "protocols/plausible.h"
#include "protocols/procedure.h"
#include "protocols/table.h"

enum { D2_ADDRESS = 0xd2, P81_ASKED = 0x80, P81_ANSWERS = 0x50 }; /* + board */
enum { D2_MAX_CELLS = 32, P81_MAX_CELLS = 48, MAX_SENSORS = 8, NONE = 0xffff, ABSENT_SENSOR = 0xff };

/* Behind those of daly_registers.h. */
enum code {
	LIVE_REST = DALY_CONFIRM + 1, /* P81: the second half */
	LIVE_LONG,		      /* D2: with the balancing bits and the board's temperatures */
	EXTRA,			      /* D2: those alone */
	VERSIONS,
	SETTINGS,
	SETTINGS_REST,
	PASSWORD,
	DATES,
	CLOCK,
	TEXTS,
	UPTIME,
	SET_CHARGE,
	SET_DISCHARGE,
	SET_BALANCE,
	SET_SOC, /* arg: 0.1 % */
};

static const struct block {
	uint8_t map, code;
	uint16_t start, count;
} blocks[] = {
	{DALY_D2, DALY_LIVE, 0x00, 0x3e},  {DALY_D2, LIVE_LONG, 0x00, 0x50},
	{DALY_D2, EXTRA, 0x3e, 9},	   {DALY_D2, VERSIONS, 0xa9, 0x20},
	{DALY_D2, SETTINGS, 0x80, 0x29},   {DALY_D2, PASSWORD, 0xc9, 3},
	{DALY_D2, DATES, 0xcc, 5},	   {DALY_D2, CLOCK, 0xd4, 3},
	{DALY_P81, DALY_LIVE, 0x00, 0x40}, {DALY_P81, LIVE_REST, 0x41, 0x3e},
	{DALY_P81, UPTIME, 0xa4, 0x0a},	   {DALY_P81, TEXTS, 0x178, 0x4a},
	{DALY_P81, SETTINGS, 0x100, 0x51}, {DALY_P81, SETTINGS_REST, 0x151, 0x27},
};

/* Writes; count is not used. Of P81 other registers did not do what they say (sheet 7). */
static const struct block writes[] = {
	{DALY_D2, SET_CHARGE, 0xa5, 1},	 {DALY_D2, SET_DISCHARGE, 0xa6, 1}, {DALY_D2, SET_SOC, 0xa7, 1},
	{DALY_D2, SET_BALANCE, 0xcf, 1}, {DALY_P81, SET_CHARGE, 0x121, 1},  {DALY_P81, SET_DISCHARGE, 0x122, 1},
};

/* Bytes in front of a register. */
#define AT(reg) (2 * (reg))

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct block *find_code(const struct block *b, size_t n, uint8_t map, uint16_t code)
{
	for (; n--; b++)
		if (b->map == map && b->code == code)
			return b;
	return NULL;
}

/* ---- framing: sheet 3. As Modbus, but a P81 board does not answer with the address that it is asked at ---- */

static uint8_t answering_address(uint8_t asked)
{
	return asked == D2_ADDRESS ? asked : (uint8_t)(asked - P81_ASKED + P81_ANSWERS);
}

int daly_map_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	struct request answered;

	if (!pending)
		return modbus_find_reply(NULL, in, quiet, why);
	answered = *pending;
	answered.tx[0] = answering_address(pending->tx[0]);
	return modbus_find_reply(&answered, in, quiet, why);
}

/* ---- requests ---- */

static uint16_t real_code(const struct device *dev, uint16_t code)
{
	const struct daly_state *s = dev->state;

	if (code == DALY_CONFIRM)
		return dev->dialect == DALY_D2 ? VERSIONS : LIVE_REST;
	if (code == DALY_LIVE && dev->dialect == DALY_D2 && s->long_live)
		return LIVE_LONG;
	return code;
}

bool daly_map_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	bool d2 = dev->dialect == DALY_D2;
	struct daly_state *s = dev->state;
	const struct block *read = find_code(blocks, COUNT(blocks), dev->dialect, real_code(dev, code));
	const struct block *write = find_code(writes, COUNT(writes), dev->dialect, code);

	if ((!read && !write) || (!d2 && (dev->address < DALY_FIRST_BOARD || dev->address > DALY_LAST_BOARD)))
		return false;
	request_start(out, dev->protocol, d2 ? D2_ADDRESS : (uint8_t)(P81_ASKED + dev->address), dev->dialect, code,
		      arg);
	if (read) {
		modbus_build_read(out, MODBUS_READ_HOLDING, read->start, read->count);
	} else {
		modbus_build_write(out, write->start, arg);
		out->echo_is_reply = d2;
	}
	out->address = dev->address; /* as everybody else counts */
	if (code == LIVE_LONG && s->long_asked < UINT8_MAX)
		s->long_asked++;
	if (code == EXTRA && s->extra_asked < UINT8_MAX)
		s->extra_asked++;
	return true;
}

bool daly_map_parse_request(const struct protocol *p, struct bytes tx, struct request *out)
{
	uint8_t address = u8_at(tx, 0), function = u8_at(tx, 1);
	bool d2 = address == D2_ADDRESS, write = function == MODBUS_WRITE_REGISTER;
	uint8_t map = d2 ? DALY_D2 : DALY_P81, board = (uint8_t)(d2 ? 0 : address - P81_ASKED);
	const struct block *b = write ? writes : blocks, *end = b + (write ? COUNT(writes) : COUNT(blocks));

	if (tx.n != 8 || !modbus_crc_fits(tx) || (!write && function != MODBUS_READ_HOLDING))
		return false;
	if (!d2 && (board < DALY_FIRST_BOARD || board > DALY_LAST_BOARD))
		return false;
	while (b < end && (b->map != map || b->start != u16be_at(tx, 2) || (!write && b->count != u16be_at(tx, 4))))
		b++;
	if (b == end)
		return false;
	/* Whichever of the two live blocks it was: it begins a cycle. */
	request_start(out, p, board, map, b->code == LIVE_LONG ? DALY_LIVE : b->code, write ? u16be_at(tx, 4) : 0);
	request_put(out, tx);
	out->writes = write;
	out->echo_is_reply = write && d2;
	return true;
}

/* ---- values that have a way of not being there ---- */

struct temperature_row {
	uint16_t off;
	enum quantity quantity;
	const char *detail; /* where quantity is QUANTITY_COUNT */
};

static double temperature(uint16_t raw)
{
	return raw && raw != ABSENT_SENSOR && raw != NONE ? raw - 40 : NAN;
}

static void take_temperatures(const struct temperature_row *row, size_t n, struct bytes values, struct reading *r)
{
	for (; n--; row++) {
		double v = temperature(u16be_at(values, row->off));

		if (!bytes_has(values, row->off, 2))
			continue;
		if (row->quantity == QUANTITY_COUNT)
			reading_set_detail(r, row->detail, v);
		else if (isnan(v))
			reading_forget(r, row->quantity);
		else
			reading_set(r, row->quantity, v);
	}
}

static void take_sensors(struct reading *r, struct bytes words, unsigned n)
{
	series_start(&r->temperatures, n);
	for (unsigned i = 0; i < n; i++)
		series_set(&r->temperatures, i, temperature(u16be_at(words, 2 * (size_t)i)));
}

static void take_cells(struct reading *r, struct bytes words, unsigned n)
{
	reading_set(r, Q_CELL_COUNT, n);
	series_start(&r->cell_V, n);
	for (unsigned i = 0; i < n; i++)
		series_set(&r->cell_V, i, u16be_at(words, 2 * (size_t)i) / 1000.0);
}

static void take_balance_current(struct reading *r, uint16_t raw)
{
	if (raw && raw != NONE)
		reading_set(r, Q_BALANCE_CURRENT_A, (raw - 30000) / 1000.0);
	else
		reading_forget(r, Q_BALANCE_CURRENT_A);
}

/* More than 0 is charging, in both maps; the opposite of the A5 frames (sheet 10). */
static void take_current(struct device *dev, uint16_t raw)
{
	double into = (raw - 30000) / 10.0;

	reading_set(&dev->reading, Q_CURRENT_A, dev->options.invert_current ? 0 - into : into);
}

/* The board tells no sign. */
static void take_power(struct reading *r, uint16_t raw)
{
	double current = reading_get(r, Q_CURRENT_A);

	if (fabs(current) > 0)
		reading_set(r, Q_POWER_W, copysign(raw, current));
	else
		reading_forget(r, Q_POWER_W);
}

/* word: bit 0 is cell 1. */
static void take_balancing(struct reading *r, uint64_t word)
{
	if (!r->cell_V.count)
		return;
	r->balancing = word & ((UINT64_C(1) << r->cell_V.count) - 1);
	r->balancing_known = true;
}

/* Bytes: year from 2000, month, day; "" when they are no date or one that was never set. */
static void date_text(struct bytes at, char out[16])
{
	unsigned year = u8_at(at, 0), month = u8_at(at, 1), day = u8_at(at, 2);

	out[0] = 0;
	if (year >= 1 && year <= 99 && month >= 1 && month <= 12 && day >= 1 && day <= 31)
		snprintf(out, 16, "%04u-%02u-%02u", 2000 + year, month, day);
}

static void take_clock(struct device *dev, struct bytes at)
{
	char date[16], text[MAX_SETTING_TEXT];

	date_text(at, date);
	if (!date[0] || u8_at(at, 3) > 23 || u8_at(at, 4) > 59 || u8_at(at, 5) > 59)
		return;
	snprintf(text, sizeof(text), "%s %02u:%02u:%02u", date, u8_at(at, 3), u8_at(at, 4), u8_at(at, 5));
	settings_set_text(&dev->settings, "clock", text);
}

static void take_capacity(struct reading *r, enum quantity q, double Ah)
{
	if (Ah > 0)
		reading_set(r, q, Ah);
}

/* count alarm registers as bytes. One of FFFF is one that this board does not have. */
static void read_alarm_bytes(struct bytes words, unsigned count, uint8_t *out)
{
	memset(out, 0, AT(count));
	for (unsigned i = 0; i < count; i++)
		if (u16be_at(words, AT(i)) != NONE)
			put_u16be(out + AT(i), u16be_at(words, AT(i)));
}

static enum verdict bad(const char **why, const char *what)
{
	*why = what;
	return FRAME_BAD;
}

/* ---- D2, live: sheet 5.1 ---- */

enum d2_register {
	D2_SENSORS = 0x20,
	D2_CURRENT = 0x29,
	D2_SOC = 0x2a,
	D2_REMAINING = 0x30,
	D2_CELL_COUNT = 0x31,
	D2_SENSOR_COUNT = 0x32,
	D2_BALANCE_MODE = 0x34,
	D2_CHARGE_MOS = 0x35,
	D2_DISCHARGE_MOS = 0x36,
	D2_POWER = 0x39,
	D2_ALARMS = 0x3a,
	D2_EXTRA = 0x3e,
};

static const struct number_row d2_numbers[] = {
	{AT(0x28), RAW_U16BE, 10, 0, Q_VOLTAGE_V},
	{AT(D2_SOC), RAW_U16BE, 10, 0, Q_SOC_PCT},
	{AT(0x2b), RAW_U16BE, 1000, 0, Q_CELL_MAX_V},
	{AT(0x2c), RAW_U16BE, 1000, 0, Q_CELL_MIN_V},
	{AT(D2_REMAINING), RAW_U16BE, 10, 0, Q_CAPACITY_REMAINING_AH},
	{AT(0x33), RAW_U16BE, 1, 0, Q_CYCLES},
};

static const struct temperature_row d2_temperatures[] = {
	{AT(0x2d), Q_TEMP_MAX_C, NULL},
	{AT(0x2e), Q_TEMP_MIN_C, NULL},
};

static const struct detail_row d2_details[] = {
	{AT(0x2f), RAW_U16BE, 1, 0, "state"},			/* 0 idle, 1 charging, 2 discharging */
	{AT(D2_BALANCE_MODE), RAW_U16BE, 1, 0, "balance_mode"}, /* 0 off, 1 passive, 2 active */
	{AT(0x37), RAW_U16BE, 1000, 0, "cell_avg_V"},
	{AT(0x38), RAW_U16BE, 1000, 0, "cell_delta_V"},
};

/* Of the last alarm register, behind those that A5 frames have; its low byte is no alarm. */
static const struct alarm_row d2_alarms[] = {
	{52, ALARM_WARNING, ALARM_COUNT, "mos_off_by_switch"},
	{53, ALARM_WARNING, ALARM_COUNT, "charging_cabinet_offline"},
};

enum { D2_ALARM_REGISTERS = 4, D2_ALARM_BYTES = 7, LOW_SOC_BITS = 22 };

/* An active balancer does not count charge: its SoC of 0 is none to warn of. */
static bool counts_no_charge(const struct device *dev, struct bytes values)
{
	return dev->reading.text[T_FIRMWARE_VERSION][0] == 'B' && u16be_at(values, AT(D2_REMAINING)) == 0;
}

static void take_d2_alarms(struct device *dev, struct bytes values)
{
	uint8_t byte[AT(D2_ALARM_REGISTERS)];
	uint64_t word = 0;

	read_alarm_bytes(bytes_sub(values, AT(D2_ALARMS), sizeof(byte)), D2_ALARM_REGISTERS, byte);
	for (unsigned i = 0; i < D2_ALARM_BYTES; i++)
		word |= (uint64_t)byte[i] << (8 * i);
	if (counts_no_charge(dev, values))
		word &= ~(UINT64_C(3) << LOW_SOC_BITS);
	daly_take_alarms(&dev->reading.alarms, word, dev->options.invert_current);
	table_alarms(ROWS(d2_alarms), word, &dev->reading.alarms);
}

/* From register 3E on. */
static const struct temperature_row extra_temperatures[] = {
	{AT(4), Q_TEMP_MOS_C, NULL},
	{AT(5), QUANTITY_COUNT, "temp_board_C"},
};

static void take_extra(struct device *dev, struct bytes extra)
{
	const struct daly_state *s = dev->state;
	struct reading *r = &dev->reading;
	uint16_t low = u16be_at(extra, AT(0)), high = u16be_at(extra, AT(1));

	/* Some firmware keeps other things in these two. */
	if (!s->balance_mode)
		take_balancing(r, 0);
	else if (low != NONE && high != NONE)
		take_balancing(r, (uint64_t)high << 16 | low);
	else
		r->balancing_known = false;
	take_balance_current(r, u16be_at(extra, AT(2)));
	take_temperatures(extra_temperatures, COUNT(extra_temperatures), extra, r);
}

static enum verdict take_d2_live(struct device *dev, struct bytes values, const char **why)
{
	struct daly_state *s = dev->state;
	struct reading *r = &dev->reading;
	unsigned cells = u16be_at(values, AT(D2_CELL_COUNT)), sensors = u16be_at(values, AT(D2_SENSOR_COUNT));

	if (cells < 1 || cells > D2_MAX_CELLS)
		return bad(why, "cell count outside 1..32");
	if (sensors > MAX_SENSORS)
		return bad(why, "more than 8 temperature sensors");
	if (u16be_at(values, AT(D2_SOC)) > 1000)
		return bad(why, "SoC above 100 %");
	table_numbers(ROWS(d2_numbers), values, r);
	table_details(ROWS(d2_details), values, r);
	take_temperatures(d2_temperatures, COUNT(d2_temperatures), values, r);
	take_cells(r, values, cells);
	take_sensors(r, bytes_sub(values, AT(D2_SENSORS), AT(MAX_SENSORS)), sensors);
	take_current(dev, u16be_at(values, AT(D2_CURRENT)));
	take_power(r, u16be_at(values, AT(D2_POWER)));
	s->balance_mode = u16be_at(values, AT(D2_BALANCE_MODE)) != 0;
	reading_set_flag(r, F_BALANCING_ACTIVE, s->balance_mode);
	reading_set_flag(r, F_CHARGE_MOS, u16be_at(values, AT(D2_CHARGE_MOS)));
	reading_set_flag(r, F_DISCHARGE_MOS, u16be_at(values, AT(D2_DISCHARGE_MOS)));
	take_d2_alarms(dev, values);
	daly_compare_direction(r, &s->contradictions);
	if (values.n > AT(D2_EXTRA)) {
		s->long_live = true;
		take_extra(dev, bytes_sub(values, AT(D2_EXTRA), values.n));
	}
	return FRAME_ANSWER;
}

/* ---- D2, the rest: sheet 5.2 and 8 ---- */

#define D2S(reg) AT((reg)-0x80)

static const struct setting_row d2_settings[] = {
	{D2S(0x80), RAW_U16BE, 10, 0, "capacity_design_Ah", SETTING_NUMBER},
	{D2S(0x81), RAW_U16BE, 1000, 0, "nominal_cell_V", SETTING_NUMBER},
	{D2S(0x82), RAW_U16BE, 1, 0, "boards", SETTING_NUMBER},
	{D2S(0x89), RAW_U16BE, 1, 0, "chemistry", SETTING_NUMBER},    /* 0 LFP, 1 NMC, 2 LTO */
	{D2S(0x8a), RAW_U16BE, 1, 0, "sleep_time_s", SETTING_NUMBER}, /* FFFF: never */
	{D2S(0x8b), RAW_U16BE, 1000, 0, "cell_high_warning_V", SETTING_NUMBER},
	{D2S(0x8c), RAW_U16BE, 1000, 0, "cell_ovp_V", SETTING_NUMBER},
	{D2S(0x8d), RAW_U16BE, 1000, 0, "cell_low_warning_V", SETTING_NUMBER},
	{D2S(0x8e), RAW_U16BE, 1000, 0, "cell_uvp_V", SETTING_NUMBER},
	{D2S(0x8f), RAW_U16BE, 10, 0, "pack_high_warning_V", SETTING_NUMBER},
	{D2S(0x90), RAW_U16BE, 10, 0, "pack_ovp_V", SETTING_NUMBER},
	{D2S(0x91), RAW_U16BE, 10, 0, "pack_low_warning_V", SETTING_NUMBER},
	{D2S(0x92), RAW_U16BE, 10, 0, "pack_uvp_V", SETTING_NUMBER},
	/* of charging the sign is that of the A5 frames */
	{D2S(0x93), RAW_U16BE, -10, -30000, "charge_current_warning_A", SETTING_NUMBER},
	{D2S(0x94), RAW_U16BE, -10, -30000, "charge_ocp_A", SETTING_NUMBER},
	{D2S(0x95), RAW_U16BE, 10, -30000, "discharge_current_warning_A", SETTING_NUMBER},
	{D2S(0x96), RAW_U16BE, 10, -30000, "discharge_ocp_A", SETTING_NUMBER},
	{D2S(0x97), RAW_U16BE, 1, -40, "charge_hot_warning_C", SETTING_NUMBER},
	{D2S(0x98), RAW_U16BE, 1, -40, "charge_otp_C", SETTING_NUMBER},
	{D2S(0x99), RAW_U16BE, 1, -40, "charge_cold_warning_C", SETTING_NUMBER},
	{D2S(0x9a), RAW_U16BE, 1, -40, "charge_utp_C", SETTING_NUMBER},
	{D2S(0x9b), RAW_U16BE, 1, -40, "discharge_hot_warning_C", SETTING_NUMBER},
	{D2S(0x9c), RAW_U16BE, 1, -40, "discharge_otp_C", SETTING_NUMBER},
	{D2S(0x9d), RAW_U16BE, 1, -40, "discharge_cold_warning_C", SETTING_NUMBER},
	{D2S(0x9e), RAW_U16BE, 1, -40, "discharge_utp_C", SETTING_NUMBER},
	{D2S(0x9f), RAW_U16BE, 1000, 0, "cell_difference_warning_V", SETTING_NUMBER},
	{D2S(0xa0), RAW_U16BE, 1000, 0, "cell_difference_p_V", SETTING_NUMBER},
	{D2S(0xa1), RAW_U16BE, 1, 0, "temperature_difference_warning_K", SETTING_NUMBER},
	{D2S(0xa2), RAW_U16BE, 1, 0, "temperature_difference_p_K", SETTING_NUMBER},
	{D2S(0xa3), RAW_U16BE, 1000, 0, "balance_start_V", SETTING_NUMBER},
	{D2S(0xa4), RAW_U16BE, 1000, 0, "balance_trigger_V", SETTING_NUMBER},
	{D2S(0xa5), RAW_U16BE, 1, 0, "charge_switch", SETTING_SWITCH},
	{D2S(0xa6), RAW_U16BE, 1, 0, "discharge_switch", SETTING_SWITCH},
	{D2S(0xa8), RAW_U16BE, 1, -40, "mos_otp_C", SETTING_NUMBER},
};

static const struct text_row d2_versions[] = {{0, 16, T_FIRMWARE_VERSION}, {16, 16, T_HARDWARE_VERSION}};

static void take_d2_boards(struct device *dev, struct bytes values)
{
	static const char *const cells[] = {"board1_cells", "board2_cells", "board3_cells"};
	static const char *const sensors[] = {"board1_sensors", "board2_sensors", "board3_sensors"};
	unsigned boards = u16be_at(values, D2S(0x82));

	for (unsigned i = 0; i < boards && i < COUNT(cells); i++) {
		settings_set_number(&dev->settings, cells[i], u16be_at(values, D2S(0x83 + i)));
		settings_set_number(&dev->settings, sensors[i], u16be_at(values, D2S(0x86 + i)));
	}
}

/* The rated capacity is all that this map knows of a full battery. */
static void take_d2_settings(struct device *dev, struct bytes values)
{
	double Ah = u16be_at(values, 0) / 10.0;

	table_settings(ROWS(d2_settings), values, &dev->settings);
	take_d2_boards(dev, values);
	take_capacity(&dev->reading, Q_CAPACITY_DESIGN_AH, Ah);
	take_capacity(&dev->reading, Q_CAPACITY_FULL_AH, Ah);
}

static void take_d2_dates(struct device *dev, struct bytes values)
{
	char text[16];

	date_text(values, text);
	if (text[0])
		reading_set_text(&dev->reading, T_PRODUCTION_DATE, text);
	reading_set_flag(&dev->reading, F_BALANCE_ENABLED, u16be_at(values, AT(0xcf - 0xcc)));
}

/* ---- P81, live: sheet 5.3 ---- */

enum p81_register {
	P81_SENSORS = 0x30,
	P81_CURRENT = 0x39,
	P81_SOC = 0x3a,
	P81_CELL_COUNT = 0x3c,
	P81_SENSOR_COUNT = 0x3d,
};

static const struct number_row p81_numbers[] = {
	{AT(0x38), RAW_U16BE, 10, 0, Q_VOLTAGE_V},
	{AT(P81_SOC), RAW_U16BE, 10, 0, Q_SOC_PCT},
	{AT(0x3e), RAW_U16BE, 1000, 0, Q_CELL_MAX_V},
	{AT(0x3f), RAW_U16BE, 1, 0, Q_CELL_MAX_NO},
};

static const struct detail_row p81_details[] = {{AT(0x3b), RAW_U16BE, 1, 0, "heartbeat"}}; /* seconds modulo 256 */

static enum verdict take_p81_live(struct device *dev, struct bytes values, const char **why)
{
	struct reading *r = &dev->reading;
	unsigned cells = u16be_at(values, AT(P81_CELL_COUNT)), sensors = u16be_at(values, AT(P81_SENSOR_COUNT));

	if (cells < 1 || cells > P81_MAX_CELLS)
		return bad(why, "cell count outside 1..48");
	if (sensors > MAX_SENSORS)
		return bad(why, "more than 8 temperature sensors");
	if (u16be_at(values, AT(P81_SOC)) > 1000)
		return bad(why, "SoC above 100 %");
	table_numbers(ROWS(p81_numbers), values, r);
	table_details(ROWS(p81_details), values, r);
	take_cells(r, values, cells);
	take_sensors(r, bytes_sub(values, AT(P81_SENSORS), AT(MAX_SENSORS)), sensors);
	take_current(dev, u16be_at(values, AT(P81_CURRENT)));
	return FRAME_ANSWER;
}

/* The second half begins with register 41. */
#define P81R(reg) AT((reg)-0x41)

static const struct number_row rest_numbers[] = {
	{P81R(0x41), RAW_U16BE, 1, 0, Q_CELL_MIN_NO}, {P81R(0x44), RAW_U16BE, 1, 0, Q_TEMP_MAX_NO},
	{P81R(0x46), RAW_U16BE, 1, 0, Q_TEMP_MIN_NO}, {P81R(0x4b), RAW_U16BE, 10, 0, Q_CAPACITY_REMAINING_AH},
	{P81R(0x4c), RAW_U16BE, 1, 0, Q_CYCLES},
};

static const struct temperature_row rest_temperatures[] = {
	{P81R(0x43), Q_TEMP_MAX_C, NULL},
	{P81R(0x45), Q_TEMP_MIN_C, NULL},
	{P81R(0x5a), Q_TEMP_MOS_C, NULL},
	{P81R(0x5b), QUANTITY_COUNT, "temp_board_C"},
	{P81R(0x5c), QUANTITY_COUNT, "temp_heater_C"},
};

static const struct detail_row rest_details[] = {
	{P81R(0x42), RAW_U16BE, 1000, 0, "cell_delta_V"},
	{P81R(0x47), RAW_U16BE, 1, 0, "temp_delta_K"},
	{P81R(0x48), RAW_U16BE, 1, 0, "state"},
	{P81R(0x4d), RAW_U16BE, 1, 0, "balance_mode"}, /* 7 was seen on a board that did not balance */
	{P81R(0x54), RAW_U16BE, 1, 0, "precharge_mos"},
	{P81R(0x56), RAW_U16BE, 1, 0, "fan_on"},
	{P81R(0x57), RAW_U16BE, 1000, 0, "cell_avg_V"},
	{P81R(0x59), RAW_U16BE, 1, 0, "energy_Wh"},
	{P81R(0x6c), RAW_U16BE, 10, 0, "soc_second_pct"},
};

/* ---- P81, alarms: sheet 6.2 ---- */

/* A level of three bits: 1 warns, 2 and more is an alarm. byte counts from the high one of register 6D. */
struct level_row {
	uint8_t byte, shift;
	enum alarm alarm;
	const char *name;
};

#define HIGH(reg) (uint8_t)(2 * ((reg)-0x6d))
#define LOW(reg)  (uint8_t)(2 * ((reg)-0x6d) + 1)

static const struct level_row level_rows[] = {
	{HIGH(0x6d), 0, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{HIGH(0x6d), 3, ALARM_LOW_CELL_VOLTAGE, NULL},
	{LOW(0x6d), 0, ALARM_CELL_IMBALANCE, NULL},
	{LOW(0x6d), 3, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{HIGH(0x6e), 0, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{HIGH(0x6e), 3, ALARM_HIGH_TEMPERATURE, NULL},
	{LOW(0x6e), 0, ALARM_LOW_TEMPERATURE, NULL},
	{LOW(0x6e), 3, ALARM_COUNT, "temperature_difference"},
	{HIGH(0x6f), 0, ALARM_HIGH_VOLTAGE, NULL},
	{HIGH(0x6f), 3, ALARM_LOW_VOLTAGE, NULL},
	{LOW(0x6f), 0, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{LOW(0x6f), 3, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{HIGH(0x70), 0, ALARM_LOW_SOC, NULL},
	{HIGH(0x70), 3, ALARM_COUNT, "low_soh"},
	{LOW(0x70), 0, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
};

/* Single bits. shift: which. */
struct bit_row {
	uint8_t byte, shift;
	enum alarm_level level;
	enum alarm alarm;
	const char *name;
};

static const struct bit_row bit_rows[] = {
	{HIGH(0x6d), 6, ALARM_WARNING, ALARM_COUNT, "smart_charger_connection"},
	{HIGH(0x6d), 7, ALARM_WARNING, ALARM_COUNT, "smart_charger_fault"},
	{HIGH(0x6e), 6, ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{HIGH(0x6e), 7, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "charge_mos_sensor_fault"},
	{LOW(0x6e), 6, ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{LOW(0x6e), 7, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "discharge_mos_sensor_fault"},
	{HIGH(0x6f), 6, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{HIGH(0x6f), 6, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{LOW(0x6f), 6, ALARM_RAISED, ALARM_COUNT, "charge_under_voltage"},
	{LOW(0x6f), 7, ALARM_RAISED, ALARM_COUNT, "discharge_over_voltage"},
	{HIGH(0x70), 7, ALARM_RAISED, ALARM_COUNT, "parallel_fault"},
	{LOW(0x72), 0, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "afe_fault"},
	{LOW(0x72), 1, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "afe_link_fault"},
	{LOW(0x72), 2, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "afe_sampling_fault"},
	{LOW(0x72), 3, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "voltage_sampling_fault"},
	{LOW(0x72), 4, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "voltage_wire_fault"},
	{LOW(0x72), 5, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "pack_voltage_sensor_fault"},
	{LOW(0x72), 6, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "current_sensor_fault"},
	{LOW(0x72), 7, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "temperature_sensor_fault"},
	{HIGH(0x73), 0, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "temperature_wire_fault"},
	{HIGH(0x73), 1, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "eeprom_fault"},
	{HIGH(0x73), 2, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "flash_fault"},
	{HIGH(0x73), 3, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "rtc_fault"},
	{HIGH(0x73), 4, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "charge_mos_fault"},
	{HIGH(0x73), 5, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "discharge_mos_fault"},
	{HIGH(0x73), 6, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "precharge_mos_fault"},
	{HIGH(0x73), 7, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "precharge_fault"},
	{LOW(0x73), 7, ALARM_RAISED, ALARM_COUNT, "heater_fault"},
};

/* Bits between the alarms that tell a state. */
static const struct {
	uint8_t byte, shift;
	const char *name;
} state_rows[] = {
	{HIGH(0x6f), 7, "updating_firmware"},	 {HIGH(0x70), 6, "parallel_ok"},
	{LOW(0x73), 0, "charge_off_by_command"}, {LOW(0x73), 1, "discharge_off_by_command"},
	{LOW(0x73), 2, "charge_off_by_switch"},	 {LOW(0x73), 3, "discharge_off_by_switch"},
	{LOW(0x73), 6, "limiting_current"},
};

enum { P81_ALARM_REGISTERS = 7, THERMAL_RUNAWAY_SHIFT = 3 };

static void raise_both(struct alarms *a, enum alarm alarm, const char *name, enum alarm_level level)
{
	if (alarm != ALARM_COUNT)
		alarm_raise(a, alarm, level);
	if (name)
		alarm_raise_own(a, name, level);
}

static enum alarm turned_round(enum alarm a)
{
	return a == ALARM_HIGH_CHARGE_CURRENT	   ? ALARM_HIGH_DISCHARGE_CURRENT
	       : a == ALARM_HIGH_DISCHARGE_CURRENT ? ALARM_HIGH_CHARGE_CURRENT
						   : a;
}

static void take_p81_alarms(struct device *dev, struct bytes words)
{
	struct alarms *a = &dev->reading.alarms;
	uint8_t byte[2 * P81_ALARM_REGISTERS];

	read_alarm_bytes(words, P81_ALARM_REGISTERS, byte);
	alarms_clear(a);
	for (const struct level_row *row = level_rows; row < level_rows + COUNT(level_rows); row++) {
		unsigned level = byte[row->byte] >> row->shift & 7;

		if (level)
			raise_both(a, dev->options.invert_current ? turned_round(row->alarm) : row->alarm, row->name,
				   level > 1 ? ALARM_RAISED : ALARM_WARNING);
	}
	if (byte[LOW(0x70)] >> THERMAL_RUNAWAY_SHIFT & 7)
		raise_both(a, ALARM_INTERNAL_FAILURE, "thermal_runaway", ALARM_RAISED);
	for (const struct bit_row *row = bit_rows; row < bit_rows + COUNT(bit_rows); row++)
		if (byte[row->byte] >> row->shift & 1)
			raise_both(a, row->alarm, row->name, row->level);
	for (size_t i = 0; i < COUNT(state_rows); i++)
		reading_set_detail(&dev->reading, state_rows[i].name,
				   byte[state_rows[i].byte] >> state_rows[i].shift & 1);
}

static void take_p81_rest(struct device *dev, struct bytes values)
{
	struct daly_state *s = dev->state;
	struct reading *r = &dev->reading;
	unsigned lowest = u16be_at(values, P81R(0x41));

	table_numbers(ROWS(rest_numbers), values, r);
	if (lowest && series_knows(&r->cell_V, lowest - 1))
		reading_set(r, Q_CELL_MIN_V, r->cell_V.value[lowest - 1]);
	table_details(ROWS(rest_details), values, r);
	take_temperatures(rest_temperatures, COUNT(rest_temperatures), values, r);
	take_balance_current(r, u16be_at(values, P81R(0x4e)));
	take_balancing(r, (uint64_t)u16be_at(values, P81R(0x51)) << 32 | (uint64_t)u16be_at(values, P81R(0x50)) << 16 |
				  u16be_at(values, P81R(0x4f)));
	reading_set_flag(r, F_CHARGE_MOS, u16be_at(values, P81R(0x52)));
	reading_set_flag(r, F_DISCHARGE_MOS, u16be_at(values, P81R(0x53)));
	reading_set_flag(r, F_HEATER_ON, u16be_at(values, P81R(0x55)));
	take_power(r, u16be_at(values, P81R(0x58)));
	take_p81_alarms(dev, bytes_sub(values, P81R(0x6d), AT(P81_ALARM_REGISTERS)));
	daly_compare_direction(r, &s->contradictions);
}

/* ---- P81, the rest: sheet 5.3 and 8 ---- */

#define P81S(reg) AT((reg)-0x100)
#define P81T(reg) AT((reg)-0x151)

static const struct number_row p81_setting_numbers[] = {
	{P81S(0x10d), RAW_U32BE, 1000, 0, Q_TOTAL_CHARGE_AH},
	{P81S(0x10f), RAW_U32BE, 1000, 0, Q_TOTAL_DISCHARGE_AH},
};

/* Warning, protection, release; the delay in ms stands in a row of its own. */
#define NUMBER(off, divisor, add, name)                                                                                \
	{                                                                                                              \
		off, RAW_U16BE, divisor, add, name, SETTING_NUMBER                                                     \
	}
#define LEVELS(off, divisor, add, warning, name, unit)                                                                 \
	NUMBER(off, divisor, add, warning "_warning_" unit), NUMBER((off) + 2, divisor, add, name "_" unit),           \
		NUMBER((off) + 4, divisor, add, name "r_" unit)
#define DELAY(off, name)  NUMBER(off, 1000, 0, name "_delay_s")
#define THRESHOLD(reg, n) NUMBER(P81S(reg), 10, -30000, "current_threshold_" n "_A")

static const struct setting_row p81_settings[] = {
	{P81S(0x100), RAW_U16BE, 1, 0, "board_number", SETTING_NUMBER},
	{P81S(0x106), RAW_U16BE, 1, 0, "temp_sensor_count", SETTING_NUMBER},
	{P81S(0x114), RAW_U16BE, 1000, 0, "nominal_cell_V", SETTING_NUMBER},
	{P81S(0x11a), RAW_U16BE, 1000, 0, "balance_start_V", SETTING_NUMBER},
	{P81S(0x11b), RAW_U16BE, 1000, 0, "balance_trigger_V", SETTING_NUMBER},
	{P81S(0x121), RAW_U16BE, 1, 0, "charge_switch", SETTING_SWITCH},
	{P81S(0x122), RAW_U16BE, 1, 0, "discharge_switch", SETTING_SWITCH},
	LEVELS(P81S(0x130), 1000, 0, "cell_high", "cell_ovp", "V"),
	DELAY(P81S(0x133), "cell_ovp"),
	LEVELS(P81S(0x134), 1000, 0, "cell_low", "cell_uvp", "V"),
	DELAY(P81S(0x137), "cell_uvp"),
	LEVELS(P81S(0x138), 10, 0, "pack_high", "pack_ovp", "V"),
	DELAY(P81S(0x13b), "pack_ovp"),
	LEVELS(P81S(0x13c), 10, 0, "pack_low", "pack_uvp", "V"),
	DELAY(P81S(0x13f), "pack_uvp"),
	/* which half is charge is not known: as they stand, with their sign */
	THRESHOLD(0x140, "1"),
	THRESHOLD(0x141, "2"),
	DELAY(P81S(0x142), "current_threshold_2"),
	THRESHOLD(0x143, "3"),
	DELAY(P81S(0x144), "current_threshold_3"),
	THRESHOLD(0x145, "4"),
	THRESHOLD(0x146, "5"),
	DELAY(P81S(0x147), "current_threshold_5"),
	THRESHOLD(0x148, "6"),
	DELAY(P81S(0x149), "current_threshold_6"),
	LEVELS(P81S(0x14a), 1, -40, "charge_hot", "charge_otp", "C"),
	DELAY(P81S(0x14d), "charge_otp"),
	LEVELS(P81S(0x14e), 1, -40, "charge_cold", "charge_utp", "C"),
};

static const struct setting_row p81_settings_rest[] = {
	DELAY(P81T(0x151), "charge_utp"),
	LEVELS(P81T(0x152), 1, -40, "discharge_hot", "discharge_otp", "C"),
	DELAY(P81T(0x155), "discharge_otp"),
	LEVELS(P81T(0x156), 1, -40, "discharge_cold", "discharge_utp", "C"),
	DELAY(P81T(0x159), "discharge_utp"),
	LEVELS(P81T(0x15a), 1000, 0, "cell_difference", "cell_difference_p", "V"),
	DELAY(P81T(0x15d), "cell_difference_p"),
	LEVELS(P81T(0x15e), 1, 0, "temperature_difference", "temperature_difference_p", "K"),
	DELAY(P81T(0x161), "temperature_difference_p"),
	LEVELS(P81T(0x166), 1, -40, "mos_hot", "mos_otp", "C"),
	LEVELS(P81T(0x16a), 1, -40, "board_hot", "board_otp", "C"),
};

static const struct text_row p81_texts[] = {
	{AT(0x00), 14, T_FIRMWARE_VERSION},
	{AT(0x07), 14, T_MODEL},
	{AT(0x0e), 14, T_HARDWARE_VERSION},
	{AT(0x15), 28, T_SERIAL_NUMBER},
};

static void take_p81_settings(struct device *dev, struct bytes values)
{
	struct reading *r = &dev->reading;
	uint16_t soh = u16be_at(values, P81S(0x117));
	char text[16];

	if (u16be_at(values, P81S(0x101)))
		reading_set(r, Q_CELL_COUNT, u16be_at(values, P81S(0x101)));
	take_capacity(r, Q_CAPACITY_DESIGN_AH, u32be_at(values, P81S(0x109)) / 1000.0);
	take_capacity(r, Q_CAPACITY_FULL_AH, u32be_at(values, P81S(0x10b)) / 1000.0);
	table_numbers(ROWS(p81_setting_numbers), values, r);
	if (soh <= 1000)
		reading_set(r, Q_SOH_PCT, soh / 10.0);
	table_settings(ROWS(p81_settings), values, &dev->settings);
	take_clock(dev, bytes_sub(values, P81S(0x123), 6));
	date_text(bytes_sub(values, P81S(0x129), 3), text);
	if (text[0])
		reading_set_text(r, T_PRODUCTION_DATE, text);
}

static void take_p81_texts(struct device *dev, struct bytes values)
{
	char text[MAX_SETTING_TEXT];

	table_texts(ROWS(p81_texts), values, &dev->reading);
	if (bytes_text(bytes_sub(values, AT(0x19b - 0x178), 14), text, sizeof(text)))
		settings_set_text(&dev->settings, "battery_code", text);
}

static void take_p81_uptime(struct device *dev, struct bytes values)
{
	reading_set(&dev->reading, Q_UPTIME_S, u32be_at(values, AT(0xa9 - 0xa4)));
	reading_set_detail(&dev->reading, "second_timer_s", u32be_at(values, AT(0xab - 0xa4)));
}

/* ---- verdicts ---- */

static enum verdict take_values(struct device *dev, uint16_t code, struct bytes values, const char **why)
{
	bool d2 = dev->dialect == DALY_D2;
	struct daly_state *s = dev->state;

	switch (code) {
	case DALY_LIVE:
	case LIVE_LONG:
		return d2 ? take_d2_live(dev, values, why) : take_p81_live(dev, values, why);
	case LIVE_REST:
		take_p81_rest(dev, values);
		break;
	case EXTRA:
		s->extra_known = true;
		take_extra(dev, values);
		break;
	case VERSIONS:
		table_texts(ROWS(d2_versions), values, &dev->reading);
		break;
	case SETTINGS:
		if (d2)
			take_d2_settings(dev, values);
		else
			take_p81_settings(dev, values);
		break;
	case SETTINGS_REST:
		table_settings(ROWS(p81_settings_rest), values, &dev->settings);
		break;
	case DATES:
		take_d2_dates(dev, values);
		break;
	case CLOCK:
		take_clock(dev, values);
		break;
	case TEXTS:
		take_p81_texts(dev, values);
		break;
	case UPTIME:
		take_p81_uptime(dev, values);
		break;
	default: /* of the password nothing is kept */
		break;
	}
	return FRAME_ANSWER;
}

enum verdict daly_map_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct bytes values = {NULL, 0}, request = {pending->tx, pending->n};
	uint8_t answered[8];
	enum verdict verdict;

	if (request.n != sizeof(answered))
		return FRAME_FOREIGN;
	memcpy(answered, request.p, sizeof(answered));
	answered[0] = answering_address(answered[0]);
	verdict = modbus_judge((struct bytes){answered, sizeof(answered)}, frame, &values, why);
	if (verdict != FRAME_ANSWER || u8_at(request, 1) != MODBUS_READ_HOLDING)
		return verdict;
	/* A reply names no register: a late one is told by its length (sheet 3). */
	if (values.n != modbus_read_bytes(request))
		return FRAME_FOREIGN;
	verdict = take_values(dev, real_code(dev, pending->code), values, why);
	if (verdict == FRAME_ANSWER && dev->dialect == DALY_P81)
		reading_set(&dev->reading, Q_ADDRESS, pending->address);
	return verdict;
}

/* Sheet 4. */
bool daly_map_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;

	if (!reading_knows(r, Q_VOLTAGE_V) || !r->cell_V.count)
		*why = "it has sent no live values";
	else if (!cells_make_up_voltage(r))
		*why = "the cells do not add up to the pack's voltage";
	else
		return reading_plausible(r, why);
	return false;
}

/* ---- commands: sheet 7 ---- */

enum { READ_BACK_WAIT_MS = 500, SWITCH_READ_BACKS = 6, SOC_READ_BACKS = 8 };

static const struct daly_switch {
	const char *name;
	enum flag flag;
	uint16_t write;
} switches[COMMAND_KINDS] = {
	[COMMAND_CHARGE] = {"charge MOS", F_CHARGE_MOS, SET_CHARGE},
	[COMMAND_DISCHARGE] = {"discharge MOS", F_DISCHARGE_MOS, SET_DISCHARGE},
	[COMMAND_BALANCE] = {"balancer switch", F_BALANCE_ENABLED, SET_BALANCE},
};

static uint16_t tells_switch(const struct device *dev, enum command_kind kind)
{
	if (kind == COMMAND_BALANCE)
		return DATES;
	return dev->dialect == DALY_D2 ? DALY_LIVE : LIVE_REST;
}

static const char *sent_text(enum step_result sent)
{
	return sent == STEP_ANSWERED ? "acknowledged" : "no acknowledgement";
}

/* memo[0]: which read-back showed the wanted state, from 1. */
static void proceed_switch(struct device *dev, struct procedure *p, struct next *next)
{
	const struct daly_switch *w = &switches[p->command->kind];
	bool want_on = p->command->value != 0;

	if (!step_ask(dev, p, next, w->write, want_on))
		return;
	enum step_result sent = step_result(p);
	if (sent == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return;
	}
	for (unsigned i = 1; i <= SWITCH_READ_BACKS; i++) {
		if (!step_wait(p, next, READ_BACK_WAIT_MS) ||
		    !step_ask(dev, p, next, tells_switch(dev, p->command->kind), 0))
			return;
		if (step_is_new(p) && step_result(p) == STEP_ANSWERED &&
		    reading_flag(&dev->reading, w->flag) == (want_on ? ON : OFF))
			p->memo[0] = i;
		if (p->memo[0] != i)
			continue;
		step_end(next, COMMAND_DONE, "%sthe %s reads back %s",
			 sent == STEP_ANSWERED ? "" : "not acknowledged, but ", w->name, want_on ? "on" : "off");
		return;
	}
	if (step_result(p) == STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "%s, and the %s stays %s", sent_text(sent), w->name,
			 want_on ? "off" : "on");
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
}

static void proceed_soc(struct device *dev, struct procedure *p, struct next *next)
{
	double want = p->command->value;

	if (!step_ask(dev, p, next, SET_SOC, (uint16_t)lround(10 * want)))
		return;
	enum step_result sent = step_result(p);
	if (sent == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return;
	}
	for (unsigned i = 1; i <= SOC_READ_BACKS; i++) {
		if (!step_wait(p, next, READ_BACK_WAIT_MS) || !step_ask(dev, p, next, DALY_LIVE, 0))
			return;
		double got = reading_get(&dev->reading, Q_SOC_PCT);
		if (step_is_new(p) && step_result(p) == STEP_ANSWERED && fabs(got - want) <= 0.5)
			p->memo[0] = i;
		if (p->memo[0] != i)
			continue;
		step_end(next, COMMAND_DONE, "%sSoC reads back %g %%",
			 sent == STEP_ANSWERED ? "" : "not acknowledged, but the ", got);
		return;
	}
	if (step_result(p) == STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "%s, and the SoC reads back %g %%", sent_text(sent),
			 reading_get(&dev->reading, Q_SOC_PCT));
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
}

void daly_map_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	bool d2 = dev->dialect == DALY_D2;

	if (!d2 && (p->command->kind == COMMAND_SOC || p->command->kind == COMMAND_BALANCE))
		step_end(next, COMMAND_REFUSED, "this kind of Daly board is not known to take that");
	else if (p->command->kind == COMMAND_SOC)
		proceed_soc(dev, p, next);
	else
		proceed_switch(dev, p, next);
}

/* ---- polls ---- */

enum { TRIES_OF_UNSURE = 2 };

static bool is_d2(const struct device *dev)
{
	return dev->dialect == DALY_D2;
}

static bool is_p81(const struct device *dev)
{
	return dev->dialect == DALY_P81;
}

/* Boards that do not know the long block stay silent (sheet 5.1). */
static bool may_know_long(const struct device *dev)
{
	const struct daly_state *s = dev->state;

	return is_d2(dev) && !s->long_live && s->long_asked < TRIES_OF_UNSURE;
}

/* Some answer, some stay silent (sheet 10): tried, then remembered. */
static bool may_know_extra(const struct device *dev)
{
	const struct daly_state *s = dev->state;

	return is_d2(dev) && !s->long_live && (s->extra_known || s->extra_asked < TRIES_OF_UNSURE);
}

static bool knows_settings(const struct device *dev)
{
	return dev->settings.count;
}

/* The settings have the capacity, which belongs to the first reading; later they are asked for what has changed. */
const struct poll daly_polls[] = {
	{DALY_LIVE, 0, EVERY_POLL, true, NULL},
	{LIVE_REST, 0, EVERY_POLL, true, is_p81},
	{VERSIONS, 0, ONCE, false, is_d2},
	{DATES, 0, ONCE, false, is_d2},
	{TEXTS, 0, ONCE, false, is_p81},
	{SETTINGS, 0, ONCE, false, NULL},
	{LIVE_LONG, 0, ONCE, false, may_know_long},
	{EXTRA, 0, 5000, false, may_know_extra},
	{DATES, 0, 10000, false, is_d2},
	{UPTIME, 0, 60000, false, is_p81},
	{SETTINGS, 0, 60000, false, knows_settings},
	{SETTINGS_REST, 0, 300000, false, is_p81},
	{CLOCK, 0, 601000, false, is_d2},
};

_Static_assert(COUNT(daly_polls) == DALY_POLLS, "as many as the protocols are told");
