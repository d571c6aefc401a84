/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Felicity Solar (FelicityESS) batteries, sheet felicity. On RS485: Modbus RTU, reads only; a place that is not used
 * holds 7FFF and stays unknown. What they say through Bluetooth is another dialect, in felicity_json.c. */
#include <math.h>
#include <stdio.h>

#include "protocols/felicity_json.h"
#include "protocols/modbus_rtu.h"
#include "protocols/plausible.h"
#include "protocols/table.h"

extern const struct protocol felicity_protocol;

/* A request's code is its first register; in the JSON dialect, enum felicity_json_code. */
enum registers {
	REG_STATUS = 0x1302,
	REG_LIMITS = 0x131c,
	REG_CELLS = 0x132a,
	REG_SERIAL = 0xf804,
	REG_FIRMWARE = 0xf80b,
};

enum {
	FIRST_ADDRESS = 1,
	LAST_ADDRESS = 16,
	HIGHEST_ADDRESS = 247,
	CELL_PLACES = 16,
	SENSOR_PLACES = 8,
	FEW_SENSOR_PLACES = 4,
	FEWEST_CELLS = 4,
	SERIAL_WORDS = 5,
	NOTHING = 0x7fff,
};

/* Some batteries have four places for sensors and refuse a read of eight. One refusal may be a late one of something
 * else; the second in a row tells. */
struct state {
	uint8_t refusals;
};

static bool has_few_sensors(const struct device *dev)
{
	return ((const struct state *)dev->state)->refusals >= 2;
}

/* ---- requests: sheet 3 ---- */

static const struct {
	uint16_t start, count;
} reads[] = {
	{REG_STATUS, 10},
	{REG_LIMITS, 4},
	{REG_CELLS, CELL_PLACES + SENSOR_PLACES},
	{REG_CELLS, CELL_PLACES + FEW_SENSOR_PLACES},
	{REG_SERIAL, SERIAL_WORDS},
	{REG_FIRMWARE, 1},
};

enum { READS = sizeof(reads) / sizeof(reads[0]) };

static bool felicity_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	if (dev->dialect == FELICITY_JSON)
		return felicity_json_encode(dev, code, arg, out);
	for (unsigned i = 0; i < READS; i++) {
		bool skip =
			code == REG_CELLS && has_few_sensors(dev) && reads[i].count != CELL_PLACES + FEW_SENSOR_PLACES;

		if (reads[i].start != code || skip)
			continue;
		request_start(out, dev->protocol, dev->address, FELICITY_MODBUS, code, arg);
		modbus_build_read(out, MODBUS_READ_HOLDING, code, reads[i].count);
		return true;
	}
	return false;
}

static bool felicity_parse_request(struct bytes tx, struct request *out)
{
	if (felicity_json_parse_request(&felicity_protocol, tx, out))
		return true;
	if (tx.n != 8 || !modbus_crc_fits(tx) || u8_at(tx, 1) != MODBUS_READ_HOLDING || u8_at(tx, 0) < FIRST_ADDRESS ||
	    u8_at(tx, 0) > HIGHEST_ADDRESS)
		return false;
	for (unsigned i = 0; i < READS; i++) {
		if (reads[i].start != u16be_at(tx, 2) || reads[i].count != u16be_at(tx, 4))
			continue;
		request_start(out, &felicity_protocol, u8_at(tx, 0), FELICITY_MODBUS, reads[i].start, 0);
		request_put(out, tx);
		return true;
	}
	return false;
}

static int felicity_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	if (pending && pending->dialect == FELICITY_JSON)
		return felicity_json_find_frame(in, quiet, why);
	return modbus_find_reply(pending, in, quiet, why);
}

/* ---- values: sheet 5 ---- */

/* Currents count as positive when they flow out of the battery. */
static const struct number_row status_rows[] = {
	{8, RAW_U16BE, 100, 0, Q_VOLTAGE_V},
	{10, RAW_S16BE, -10, 0, Q_CURRENT_A},
	{16, RAW_S16BE, 1, 0, Q_TEMP_MOS_C},
	{18, RAW_U16BE, 1, 0, Q_SOC_PCT},
};

static const struct number_row limit_rows[] = {
	{0, RAW_U16BE, 100, 0, Q_BMS_CVL_V},
	{2, RAW_U16BE, 100, 0, Q_BMS_DVL_V},
	{4, RAW_U16BE, 10, 0, Q_BMS_CCL_A},
	{6, RAW_U16BE, 10, 0, Q_BMS_DCL_A},
};

static void take_numbers(struct device *dev, const struct number_row *row, size_t n, struct bytes values)
{
	for (; n--; row++) {
		reading_forget(&dev->reading, row->quantity);
		if (u16be_at(values, row->off) != NOTHING)
			table_numbers(row, 1, values, &dev->reading);
	}
}

/* ---- alarms: sheet 6 ---- */

static const struct alarm_row alarm_rows[] = {
	{2, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},	  {3, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{4, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},	  {5, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{6, ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL}, {8, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{8, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},	  {9, ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{9, ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
};

enum { KNOWN_FAULTS = 0x037c };

/* A fault whose meaning nobody knows is one all the same. */
static void take_faults(struct device *dev, uint16_t word)
{
	struct reading *r = &dev->reading;
	unsigned unknown = word & ~(unsigned)KNOWN_FAULTS;

	alarms_clear(&r->alarms);
	table_alarms(ROWS(alarm_rows), word, &r->alarms);
	if (unknown)
		alarm_raise_own(&r->alarms, "unknown_fault", ALARM_WARNING);
	reading_set_detail(r, "fault_bits", word);
	reading_set_detail(r, "unknown_fault_bits", unknown ? unknown : NAN);
}

/* ---- replies ---- */

static enum verdict take_status(struct device *dev, struct bytes values, const char **why)
{
	struct reading *r = &dev->reading;
	uint16_t status = u16be_at(values, 0), soc = u16be_at(values, 18);

	if (soc > 100 && soc != NOTHING) {
		*why = "SoC above 100 %";
		return FRAME_BAD;
	}
	take_numbers(dev, ROWS(status_rows), values);
	if (reading_get(r, Q_CURRENT_A) == 0)
		reading_set(r, Q_CURRENT_A, 0); /* not -0 */
	reading_set_flag(r, F_CHARGE_ALLOWED, status & 1);
	reading_set_flag(r, F_DISCHARGE_ALLOWED, status >> 2 & 1);
	reading_set_detail(r, "status_bits", status);
	take_faults(dev, u16be_at(values, 4));
	/* It is not told on this link (sheet 1). */
	if (dev->options.battery_capacity_Ah > 0)
		reading_set(r, Q_CAPACITY_FULL_AH, dev->options.battery_capacity_Ah);
	return FRAME_ANSWER;
}

/* The words from place on into a series whose end is the last one that holds something. */
static void take_series(struct series *s, struct bytes words, double divisor, bool is_signed)
{
	series_start(s, 0);
	for (unsigned i = 0; i < words.n / 2; i++)
		if (u16be_at(words, 2 * i) != NOTHING)
			series_set(s, i, raw_at(words, 2 * i, is_signed ? RAW_S16BE : RAW_U16BE) / divisor);
}

static enum verdict take_cells(struct device *dev, struct bytes values, const char **why)
{
	struct series cells;

	take_series(&cells, bytes_sub(values, 0, 2 * CELL_PLACES), 1000, false);
	if (!cells.count) {
		*why = "no cell in the reply";
		return FRAME_BAD;
	}
	dev->reading.cell_V = cells;
	reading_set(&dev->reading, Q_CELL_COUNT, cells.count);
	take_series(&dev->reading.temperatures, bytes_sub(values, 2 * CELL_PLACES, 2 * SENSOR_PLACES), 1, true);
	return FRAME_ANSWER;
}

static void take_firmware(struct device *dev, struct bytes values)
{
	char text[8];

	snprintf(text, sizeof(text), "%u", u16be_at(values, 0));
	reading_set_text(&dev->reading, T_FIRMWARE_VERSION, u16be_at(values, 0) != NOTHING ? text : "");
}

/* Five decimal numbers one after the other, of which the later ones have four digits each. */
static void take_serial(struct device *dev, struct bytes values)
{
	char text[MAX_TEXT];
	size_t n = 0;
	unsigned used = 0;

	for (unsigned i = 0; i < SERIAL_WORDS; i++) {
		uint16_t word = u16be_at(values, 2 * i);

		used += word && word != NOTHING;
		n += (size_t)snprintf(text + n, sizeof(text) - n, i ? "%04u" : "%u", word);
	}
	reading_set_text(&dev->reading, T_SERIAL_NUMBER, used ? text : "");
}

static enum verdict take_values(struct device *dev, uint16_t code, struct bytes values, const char **why)
{
	switch (code) {
	case REG_STATUS:
		return take_status(dev, values, why);
	case REG_CELLS:
		return take_cells(dev, values, why);
	case REG_LIMITS:
		take_numbers(dev, ROWS(limit_rows), values);
		break;
	case REG_FIRMWARE:
		take_firmware(dev, values);
		break;
	case REG_SERIAL:
		take_serial(dev, values);
		break;
	}
	return FRAME_ANSWER;
}

/*
 * An exception does not say what it refuses: while batteries are looked for it may be the late answer to somebody
 * else's question. Every Felicity has the status, so that one is waited for all the same.
 */
static enum verdict take_refusal(struct device *dev, uint16_t code)
{
	struct state *s = dev->state;

	if (code == REG_STATUS)
		return FRAME_BAD;
	if (code == REG_CELLS && !has_few_sensors(dev))
		s->refusals++;
	return FRAME_REFUSED;
}

static enum verdict take_modbus(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct bytes request = {pending->tx, pending->n}, values = {NULL, 0};
	struct state *s = dev->state;
	enum verdict verdict = modbus_judge(request, frame, &values, why);

	if (verdict == FRAME_REFUSED)
		return take_refusal(dev, pending->code);
	if (verdict != FRAME_ANSWER)
		return verdict;
	if (values.n != modbus_read_bytes(request)) {
		*why = "not as many bytes as were asked for";
		return FRAME_BAD;
	}
	verdict = take_values(dev, pending->code, values, why);
	if (verdict != FRAME_ANSWER)
		return verdict;
	if (pending->code == REG_CELLS && !has_few_sensors(dev))
		s->refusals = 0;
	reading_set(&dev->reading, Q_ADDRESS, pending->address);
	return FRAME_ANSWER;
}

static enum verdict felicity_take(struct device *dev, const struct request *pending, struct bytes frame,
				  const char **why)
{
	if (pending->dialect == FELICITY_JSON)
		return felicity_json_take(dev, pending->code, frame, why);
	return take_modbus(dev, pending, frame, why);
}

/* ---- is it one? sheet 4 ---- */

static bool felicity_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;
	double voltage = reading_get(r, Q_VOLTAGE_V), mos = reading_get(r, Q_TEMP_MOS_C);

	if (!(voltage >= 15 && voltage <= 65))
		*why = "pack voltage outside 15..65 V";
	else if (!reading_knows(r, Q_SOC_PCT))
		*why = "it tells no SoC";
	else if (dev->dialect == FELICITY_MODBUS && !(mos >= -40 && mos <= 120))
		*why = "BMS temperature outside -40..120 degC";
	else if (r->cell_V.count < FEWEST_CELLS)
		*why = "fewer than 4 cells";
	else if (!cells_make_up_voltage(r))
		*why = "its cells do not add up to its voltage";
	else
		return reading_plausible(r, why);
	return false;
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Felicity", NULL};

static bool speaks_modbus(const struct device *dev)
{
	return dev->dialect == FELICITY_MODBUS;
}

static bool speaks_json(const struct device *dev)
{
	return dev->dialect == FELICITY_JSON;
}

/* What may flow changes with temperature and state of charge: part of every reading. */
static const struct poll polls[] = {
	{REG_STATUS, 0, EVERY_POLL, true, speaks_modbus},   {REG_CELLS, 0, EVERY_POLL, true, speaks_modbus},
	{REG_LIMITS, 0, EVERY_POLL, true, speaks_modbus},   {REG_SERIAL, 0, ONCE, false, speaks_modbus},
	{REG_FIRMWARE, 0, ONCE, false, speaks_modbus},	    {FELICITY_JSON_REAL, 0, EVERY_POLL, true, speaks_json},
	{FELICITY_JSON_BASIC, 0, ONCE, false, speaks_json},
};

/* Up to 0.2 s until it answers: asked late, so that the quick ones need not wait for it. */
static const struct probe probes[] = {
	{REG_STATUS, 0, FIRST_ADDRESS, LAST_ADDRESS, FELICITY_MODBUS, 1, 150, false},
};

#define Q(id) (UINT64_C(1) << Q_##id)
#define F(id) (1u << F_##id)
#define A(id) (1u << ALARM_##id)

const struct protocol felicity_protocol = {
	.id = "felicity",
	.title = "Felicity Solar (FelicityESS, LPBF, LPBA)",
	.manufacturer = "Felicity Solar",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.also_ble = true,
	.limits_on_demand = true,
	.lines = lines,
	.timing = {.first_ms = 500,
		   .gap_ms = 50,
		   .pause_ms = 20,
		   .late_ms = 300,
		   .scan_ms = 250,
		   .tries = 3,
		   .poll_ms = 500},
	.quantities = Q(ADDRESS) | Q(VOLTAGE_V) | Q(CURRENT_A) | Q(SOC_PCT) | Q(SOH_PCT) | Q(CAPACITY_FULL_AH) |
		      Q(CAPACITY_REMAINING_AH) | Q(CELL_COUNT) | Q(TEMP_MOS_C) | Q(BMS_CCL_A) | Q(BMS_DCL_A) |
		      Q(BMS_CVL_V) | Q(BMS_DVL_V),
	.series = SERIES_CELLS | SERIES_TEMPERATURES,
	.flags = F(CHARGE_ALLOWED) | F(DISCHARGE_ALLOWED),
	.alarms = A(HIGH_CELL_VOLTAGE) | A(LOW_CELL_VOLTAGE) | A(HIGH_CHARGE_CURRENT) | A(HIGH_DISCHARGE_CURRENT) |
		  A(HIGH_CHARGE_TEMPERATURE) | A(LOW_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) | A(LOW_TEMPERATURE) |
		  A(HIGH_INTERNAL_TEMPERATURE),
	.first_address = FIRST_ADDRESS,
	.last_address = LAST_ADDRESS,
	.point_to_point = 1 << FELICITY_JSON,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {REG_CELLS},
	.confirm_count = 1,
	.encode = felicity_encode,
	.find_frame = felicity_find_frame,
	.take = felicity_take,
	.plausible = felicity_plausible,
	.parse_request = felicity_parse_request,
};
