/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sinowealth chips on a serial line (older Daly boards), sheet sinowealth: a register is asked for with three bytes,
 * its reply has no header at all. What makes it believable is its CRC, which covers the request as well. */
#include <math.h>
#include <stdio.h>

#include "protocols/protocol.h"
#include "protocols/table.h"

extern const struct protocol sinowealth_protocol;

/* A request's code is the register. */
enum reg {
	REG_CELL = 0x01, /* to 0A */
	REG_TOTAL = 0x0b,
	REG_TEMP_1 = 0x0c,
	REG_TEMP_2 = 0x0d,
	REG_TEMP_IC = 0x0e,
	REG_CURRENT = 0x10,
	REG_FULL = 0x11,
	REG_REMAINING = 0x12,
	REG_SOC = 0x13,
	REG_CYCLES = 0x14,
	REG_STATUS = 0x15,
	REG_PROTECTION = 0x16,
	REG_CONFIG = 0x17,
	REG_LAST = 0x18,
};

enum {
	START = 0x0a,
	REQUEST_SIZE = 3,
	LONGEST = 20,	  /* data bytes that somebody may ask for */
	SURPLUS = 4,	  /* stray bytes around a reply that are put up with */
	FEWEST_CELLS = 3, /* that the configuration can say */
	SINO_MAX_CELLS = 10,
	CELLS_MASK = 0x07,
	TWO_SENSORS = 1 << 6,
	OVER_CHARGE_CURRENT = 1 << 2,
	OVER_DISCHARGE_CURRENT = 1 << 3,
};

struct state {
	uint8_t cells; /* 0: not known */
	bool second_sensor;
	bool protection_known;
	uint16_t status, protection;
};

/* ---- framing: sheet 3 ---- */

/* x^8 + x^2 + x + 1, start 0: the SMBus packet error code. */
static uint8_t crc8(uint8_t crc, struct bytes b)
{
	for (size_t i = 0; i < b.n; i++) {
		crc ^= b.p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (uint8_t)(crc & 0x80 ? crc << 1 ^ 0x07 : crc << 1);
	}
	return crc;
}

static size_t reply_size(const struct request *pending)
{
	return pending->n == REQUEST_SIZE ? pending->tx[2] + 1u : 0;
}

static bool is_reply(const struct request *pending, struct bytes frame)
{
	return crc8(crc8(0, (struct bytes){pending->tx, pending->n}), frame) == 0;
}

/*
 * Nothing marks a reply, and one in 256 pieces of anything has a fitting CRC. So the line must fall silent first,
 * and what it then has said must be the reply and hardly more: no window slides over somebody else's talk.
 */
static int sino_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	size_t size = pending ? reply_size(pending) : 0;

	if (!quiet)
		return pending ? 0 : -(int)in.n;
	if (!size || in.n < size || in.n > size + SURPLUS) {
		if (size)
			*why = in.n < size ? "reply cut short" : "more bytes than were asked for";
		return -(int)in.n;
	}
	for (size_t i = 0; i + size <= in.n; i++)
		if (is_reply(pending, bytes_sub(in, i, size)))
			return i ? -(int)i : (int)size;
	*why = "checksum";
	return -(int)in.n;
}

/* ---- requests ---- */

static bool sino_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	bool four = code >= REG_CURRENT && code <= REG_REMAINING;
	const uint8_t tx[REQUEST_SIZE] = {START, (uint8_t)code, four ? 4 : 2};

	if (code < REG_CELL || code >= REG_LAST)
		return false;
	request_start(out, dev->protocol, dev->address, dev->dialect, code, arg);
	request_put(out, (struct bytes){tx, sizeof(tx)});
	return true;
}

/* Other programs ask for more bytes than a register has: the next registers follow, and are left alone. */
static bool sino_parse_request(struct bytes tx, struct request *out)
{
	uint8_t reg = u8_at(tx, 1), n = u8_at(tx, 2);

	if (tx.n != REQUEST_SIZE || u8_at(tx, 0) != START || reg < REG_CELL || reg > REG_LAST || !n || n > LONGEST)
		return false;
	request_start(out, &sinowealth_protocol, 0, 0, reg, 0);
	request_put(out, tx);
	return true;
}

/* ---- registers: sheet 5 ---- */

static const struct {
	uint8_t reg;
	struct number_row row;
} numbers[] = {
	{REG_TOTAL, {0, RAW_U16BE, 1000, 0, Q_VOLTAGE_V}},
	{REG_SOC, {0, RAW_U16BE, 1, 0, Q_SOC_PCT}},
	{REG_CYCLES, {0, RAW_U16BE, 1, 0, Q_CYCLES}},
};

/* 0.1 K; 0: no sensor. */
static double celsius(struct bytes data)
{
	return u16be_at(data, 0) ? (u16be_at(data, 0) - 2731) / 10.0 : NAN;
}

static void take_config(struct device *dev, uint16_t config)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;
	char text[MAX_TEXT];

	s->cells = (uint8_t)((config & CELLS_MASK) + FEWEST_CELLS);
	s->second_sensor = config & TWO_SENSORS;
	reading_set(r, Q_CELL_COUNT, s->cells);
	if (r->cell_V.count != s->cells)
		series_start(&r->cell_V, s->cells);
	if (r->temperatures.count != 1u + s->second_sensor)
		series_start(&r->temperatures, 1u + s->second_sensor);
	snprintf(text, sizeof(text), "Daly/Sinowealth %uS", s->cells);
	reading_set_text(r, T_HARDWARE_VERSION, text);
	settings_set_number(&dev->settings, "cell_count", s->cells);
	settings_set_number(&dev->settings, "temperature_sensor_count", 1 + s->second_sensor);
}

/* While the configuration is not known, a cell of 0 V is one that is not there. */
static void take_cell(struct device *dev, unsigned cell, uint16_t mV)
{
	const struct state *s = dev->state;

	if (s->cells ? cell < s->cells : mV != 0)
		series_set(&dev->reading.cell_V, cell, mV / 1000.0);
}

static void take_current(struct device *dev, struct bytes data)
{
	int64_t raw = (int32_t)u32be_at(data, 0);

	reading_set(&dev->reading, Q_CURRENT_A, (double)(dev->options.invert_current ? -raw : raw) / 1000.0);
}

/* ---- status and protections: sheets 5, 6 ---- */

static const struct alarm_row alarm_rows[] = {
	{0, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},	{0, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{1, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},	{1, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{2, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},	{3, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{8, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL}, {9, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{10, ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL}, {11, ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{12, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},	{12, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{13, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},		{13, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{14, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
};

static const struct alarm_row status_alarm_rows[] = {{9, ALARM_WARNING, ALARM_LOW_SOC, NULL}};

static const struct {
	uint8_t bit;
	const char *name;
} status_details[] = {
	{2, "charging"},       {3, "discharging"},   {4, "slow_discharge"},   {5, "medium_discharge"},
	{6, "fast_discharge"}, {8, "fully_charged"}, {9, "fully_discharged"}, {10, "valid_discharge_qualified"},
	{15, "calibrated"},
};

/* What counts as charging to the board is discharging here, and the other way round. */
static uint16_t turn_round(uint16_t protection)
{
	uint16_t others = (uint16_t)(protection & ~(OVER_CHARGE_CURRENT | OVER_DISCHARGE_CURRENT));

	return (uint16_t)(others | (protection & OVER_CHARGE_CURRENT) << 1 |
			  (protection & OVER_DISCHARGE_CURRENT) >> 1);
}

/* The alarms come from two registers: either one makes them anew. */
static void take_alarms(struct device *dev)
{
	const struct state *s = dev->state;
	uint16_t protection = dev->options.invert_current ? turn_round(s->protection) : s->protection;

	if (!s->protection_known)
		return;
	alarms_clear(&dev->reading.alarms);
	table_alarms(ROWS(alarm_rows), protection, &dev->reading.alarms);
	table_alarms(ROWS(status_alarm_rows), s->status, &dev->reading.alarms);
}

static void take_status(struct device *dev, uint16_t status)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;

	s->status = status;
	reading_set_flag(r, F_CHARGE_MOS, status & 1);
	reading_set_flag(r, F_DISCHARGE_MOS, status & 2);
	reading_set_flag(r, F_CHARGE_ALLOWED, status & 1);
	reading_set_flag(r, F_DISCHARGE_ALLOWED, status & 2);
	for (size_t i = 0; i < sizeof(status_details) / sizeof(status_details[0]); i++)
		reading_set_detail(r, status_details[i].name, status >> status_details[i].bit & 1);
	take_alarms(dev);
}

static void take_protection(struct device *dev, uint16_t protection)
{
	struct state *s = dev->state;

	s->protection = protection;
	s->protection_known = true;
	take_alarms(dev);
}

static void take_register(struct device *dev, uint8_t reg, struct bytes data)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;
	double capacity = raw_at(data, 0, RAW_S32BE) / 1000;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i].reg == reg)
			table_numbers(&numbers[i].row, 1, data, r);
	switch (reg) {
	case REG_TEMP_1:
		series_set(&r->temperatures, 0, celsius(data));
		break;
	case REG_TEMP_2:
		if (s->second_sensor)
			series_set(&r->temperatures, 1, celsius(data));
		break;
	case REG_TEMP_IC:
		reading_set_detail(r, "temp_ic_C", celsius(data));
		break;
	case REG_CURRENT:
		take_current(dev, data);
		break;
	case REG_FULL:
		reading_set(r, Q_CAPACITY_FULL_AH, capacity > 0 ? capacity : NAN);
		break;
	case REG_REMAINING:
		reading_set(r, Q_CAPACITY_REMAINING_AH, capacity >= 0 ? capacity : NAN);
		break;
	case REG_STATUS:
		take_status(dev, u16be_at(data, 0));
		break;
	case REG_PROTECTION:
		take_protection(dev, u16be_at(data, 0));
		break;
	case REG_CONFIG:
		take_config(dev, u16be_at(data, 0));
		break;
	default:
		if (reg < REG_TOTAL)
			take_cell(dev, reg - REG_CELL, u16be_at(data, 0));
	}
}

static enum verdict sino_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct bytes data = bytes_sub(frame, 0, frame.n ? frame.n - 1 : 0);
	uint8_t reg = (uint8_t)pending->code;
	bool four = reg >= REG_CURRENT && reg <= REG_REMAINING;

	if (frame.n != reply_size(pending))
		return FRAME_FOREIGN;
	if (data.n < (four ? 4u : 2u)) {
		*why = "less than one register";
		return FRAME_BAD;
	}
	if (reg == REG_SOC && u16be_at(data, 0) > 100) {
		*why = "SoC above 100 %";
		return FRAME_BAD;
	}
	take_register(dev, reg, data);
	return FRAME_ANSWER;
}

/* ---- detection: sheet 4 ---- */

enum { MAX_CAPACITY_AH = 2000 };

static bool sino_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;
	const struct state *s = dev->state;
	double total = reading_get(r, Q_VOLTAGE_V), full = reading_get(r, Q_CAPACITY_FULL_AH);
	double cell = series_knows(&r->cell_V, 0) ? r->cell_V.value[0] : NAN;

	if (!s->cells || !reading_knows(r, Q_VOLTAGE_V) || isnan(cell))
		*why = "configuration, voltage and first cell have not all been answered";
	else if (cell < 0.5 || cell > 5.0)
		*why = "its first cell is outside 0.5..5 V";
	else if (total >= 0.5 && total <= 5.0 && total < 0.7 * s->cells * cell)
		*why = "a Sinowealth chip with more than 10 cells, whose register map is unknown";
	else if (fabs(s->cells * cell - total) > 0.3 * total)
		*why = "its first cell is not one of so many in this pack voltage";
	else if (!(full >= 1 && full <= MAX_CAPACITY_AH))
		*why = "capacity outside 1..2000 Ah";
	else
		return reading_plausible(r, why);
	return false;
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Sinowealth", NULL};

static bool has_cell(const struct device *dev, unsigned cell)
{
	const struct state *s = dev->state;

	return !s->cells || cell <= s->cells;
}

static bool has_cell_4(const struct device *dev)
{
	return has_cell(dev, 4);
}

static bool has_cell_5(const struct device *dev)
{
	return has_cell(dev, 5);
}

static bool has_cell_6(const struct device *dev)
{
	return has_cell(dev, 6);
}

static bool has_cell_7(const struct device *dev)
{
	return has_cell(dev, 7);
}

static bool has_cell_8(const struct device *dev)
{
	return has_cell(dev, 8);
}

static bool has_cell_9(const struct device *dev)
{
	return has_cell(dev, 9);
}

static bool has_cell_10(const struct device *dev)
{
	return has_cell(dev, 10);
}

static bool has_second_sensor(const struct device *dev)
{
	const struct state *s = dev->state;

	return s->second_sensor;
}

/* Required rows are asked again when they stay silent. */
static const struct poll polls[] = {
	{REG_TOTAL, 0, EVERY_POLL, true, NULL},
	{REG_CONFIG, 0, ONCE, true, NULL},
	{REG_CURRENT, 0, EVERY_POLL, true, NULL},
	{REG_SOC, 0, EVERY_POLL, true, NULL},
	{REG_STATUS, 0, EVERY_POLL, true, NULL},
	{REG_PROTECTION, 0, EVERY_POLL, true, NULL},
	{REG_CELL, 0, EVERY_POLL, true, NULL},
	{REG_CELL + 1, 0, EVERY_POLL, true, NULL},
	{REG_CELL + 2, 0, EVERY_POLL, true, NULL},
	{REG_CELL + 3, 0, EVERY_POLL, true, has_cell_4},
	{REG_CELL + 4, 0, EVERY_POLL, true, has_cell_5},
	{REG_CELL + 5, 0, EVERY_POLL, true, has_cell_6},
	{REG_CELL + 6, 0, EVERY_POLL, true, has_cell_7},
	{REG_CELL + 7, 0, EVERY_POLL, true, has_cell_8},
	{REG_CELL + 8, 0, EVERY_POLL, true, has_cell_9},
	{REG_CELL + 9, 0, EVERY_POLL, true, has_cell_10},
	{REG_TEMP_1, 0, 5000, true, NULL},
	{REG_TEMP_2, 0, 6000, false, has_second_sensor},
	{REG_TEMP_IC, 0, 11000, false, NULL},
	{REG_REMAINING, 0, 8000, true, NULL},
	{REG_FULL, 0, 31000, true, NULL},
	{REG_CYCLES, 0, 61000, false, NULL},
};

/* Twice: some boards are said to answer every other request only. */
static const struct probe probes[] = {
	{REG_CONFIG, 0, 0, 0, 0, 1, 80, false},
	{REG_CONFIG, 0, 0, 0, 0, 1, 80, false},
};

#define Q(id) (UINT64_C(1) << Q_##id)
#define F(id) (1u << F_##id)
#define A(id) (1u << ALARM_##id)

const struct protocol sinowealth_protocol = {
	.id = "sinowealth",
	.title = "Sinowealth chips with up to 10 cells (older Daly)",
	.manufacturer = "Daly/Sinowealth",
	.bms_types = bms_types,
	.untested = true, /* real bytes exist of cells and voltage alone */
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 300,
		   .gap_ms = 30, /* also the rest that the line needs between two registers */
		   .pause_ms = 0,
		   .late_ms = 300,
		   .scan_ms = 300,
		   .tries = 3,
		   .poll_ms = 2000},
	.quantities = Q(VOLTAGE_V) | Q(CURRENT_A) | Q(SOC_PCT) | Q(CAPACITY_FULL_AH) | Q(CAPACITY_REMAINING_AH) |
		      Q(CYCLES) | Q(CELL_COUNT),
	.series = SERIES_CELLS | SERIES_TEMPERATURES,
	.flags = F(CHARGE_MOS) | F(DISCHARGE_MOS) | F(CHARGE_ALLOWED) | F(DISCHARGE_ALLOWED),
	.alarms = A(HIGH_VOLTAGE) | A(LOW_VOLTAGE) | A(HIGH_CELL_VOLTAGE) | A(LOW_CELL_VOLTAGE) | A(LOW_SOC) |
		  A(HIGH_CHARGE_CURRENT) | A(HIGH_DISCHARGE_CURRENT) | A(INTERNAL_FAILURE) |
		  A(HIGH_CHARGE_TEMPERATURE) | A(LOW_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) | A(LOW_TEMPERATURE) |
		  A(SHORT_CIRCUIT),
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {REG_TOTAL, REG_CELL, REG_FULL},
	.confirm_count = 3,
	.encode = sino_encode,
	.find_frame = sino_find_frame,
	.take = sino_take,
	.plausible = sino_plausible,
	.parse_request = sino_parse_request,
};
