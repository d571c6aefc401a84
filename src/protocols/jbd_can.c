/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * JBD on CAN, in two languages: what UP boards tell an inverter in Victron's frames, which batteries of many makers do
 * as well; and JBD's own questions and answers. Sheet jbd-can.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/can.h"
#include "protocols/checksum.h"
#include "protocols/jbd_common.h"
#include "protocols/table.h"

extern const struct protocol jbd_can_protocol;

enum dialect {
	JBD,	 /* Victron's frames, by a JBD */
	VICTRON, /* Victron's frames, by whoever 35E says */
	NATIVE,	 /* questions and answers */
};

/* Rows are called as their identifiers; several identifiers of one thing as the first of them. */
enum code {
	BASIC = 0x100,
	CAPACITY = 0x101,
	PROTECTION = 0x102,
	SWITCHES = 0x103,
	COUNTS = 0x104,
	SENSORS = 0x105,
	MORE_SENSORS = 0x106,
	FIRST_CELLS = 0x107,
	LAST_CELLS = 0x110,
	FIRST_MODEL = 0x111,
	LAST_MODEL = 0x114,
	ALIVE = 0x305,
	LIMITS = 0x351,
	SOC = 0x355,
	MEASURED = 0x356,
	PYLONTECH_ALARMS = 0x359,
	ALARMS = 0x35a,
	PYLONTECH_REQUESTS = 0x35c,
	MAKER = 0x35e,
	BATTERY = 0x35f,
	MODEL_1 = 0x370,
	MODEL_2 = 0x371,
	PACKS = 0x372,
	EXTREMES = 0x373,
	LAST_EXTREME_NAME = 0x377,
	INSTALLED = 0x379,
	SERIAL_1 = 0x380,
	SERIAL_2 = 0x381,
	PRODUCT = 0x382,
};

enum {
	SIZE = 8,
	CRC_AT = 6,
	CELLS_PER_FRAME = 3,
	SENSORS_PER_FRAME = 3,
	MAX_NATIVE_CELLS = 30,
	MAX_NATIVE_SENSORS = 6,
	ENOUGH = 2,
	TEXT_SIZE = 8,
};

struct state {
	uint8_t socs, measured, extremes; /* credible frames in a row, up to ENOUGH */
	bool other_alive;		  /* an inverter's life sign was heard */
	bool pylontech;			  /* frames of another way of telling an inverter */
	bool proved;			  /* an answer with a good checksum has come */
	uint8_t cells, sensors;		  /* as 104 counts them */
	char model[2 * TEXT_SIZE + 1], serial[2 * TEXT_SIZE + 1], native_model[4 * TEXT_SIZE + 1];
};

/* ---- which frame it is ---- */

static bool is_broadcast(uint32_t id)
{
	return id == ALIVE || id == LIMITS || id == SOC || id == MEASURED || id == PYLONTECH_ALARMS || id == ALARMS ||
	       id == PYLONTECH_REQUESTS || id == MAKER || id == BATTERY || (id >= MODEL_1 && id <= LAST_EXTREME_NAME) ||
	       id == INSTALLED || id == SERIAL_1 || id == SERIAL_2 || id == PRODUCT;
}

static bool is_native(uint32_t id)
{
	return id >= BASIC && id <= LAST_MODEL;
}

static enum heard jbd_overhear(void *listen, struct bytes frame, struct request *as)
{
	struct can_message m;

	(void)listen;
	if (!can_read(frame, &m) || !m.n || (!is_broadcast(m.id) && !is_native(m.id)))
		return HEARD_NOTHING;
	request_start(as, &jbd_can_protocol, 0, is_native(m.id) ? NATIVE : VICTRON, (uint16_t)m.id, 0);
	return HEARD_ANSWER;
}

/* These questions may mean anything to somebody else: only where nobody is (section 4). */
static bool jbd_may_ask(const void *listen, bool silent)
{
	(void)listen;
	return silent;
}

static bool jbd_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	const struct state *s = dev->state;
	bool alive = code == ALIVE;
	struct can_message m = {.id = code, .n = alive ? SIZE : 0};

	if (alive ? dev->dialect == NATIVE || s->other_alive : !is_native(code))
		return false;
	request_start(out, &jbd_can_protocol, 0, dev->dialect, code, arg);
	can_put(out, &m);
	out->no_reply = alive;
	return true;
}

static bool jbd_parse_request(struct bytes tx, struct request *out)
{
	struct can_message m;

	if (!can_read(tx, &m) || !is_native(m.id) || m.n)
		return false;
	request_start(out, &jbd_can_protocol, 0, NATIVE, (uint16_t)m.id, 0);
	request_put(out, tx);
	return true;
}

/* ---- Victron's frames: section 5.1 ---- */

static const struct number_row limit_rows[] = {
	{0, RAW_U16LE, 10, 0, Q_BMS_CVL_V},
	{2, RAW_S16LE, 10, 0, Q_BMS_CCL_A},
	{4, RAW_S16LE, 10, 0, Q_BMS_DCL_A},
	{6, RAW_U16LE, 10, 0, Q_BMS_DVL_V},
};
static const struct number_row soc_rows[] = {
	{0, RAW_U16LE, 1, 0, Q_SOC_PCT},
	{2, RAW_U16LE, 1, 0, Q_SOH_PCT},
	{4, RAW_U16LE, 100, 0, Q_SOC_PCT}, /* finer, where the frame is long enough */
};
static const struct number_row measured_rows[] = {
	{0, RAW_U16LE, 100, 0, Q_VOLTAGE_V},
	{2, RAW_S16LE, 10, 0, Q_CURRENT_A},
	{6, RAW_U16LE, 1, 0, Q_CYCLES},
};
static const struct number_row extreme_rows[] = {
	{0, RAW_U16LE, 1000, 0, Q_CELL_MIN_V},
	{2, RAW_U16LE, 1000, 0, Q_CELL_MAX_V},
	{4, RAW_U16LE, 1, -273, Q_TEMP_MIN_C},
	{6, RAW_U16LE, 1, -273, Q_TEMP_MAX_C},
};
static const struct number_row pack_rows[] = {{0, RAW_U16LE, 1, 0, Q_PACK_COUNT}};
static const struct detail_row pack_details[] = {
	{2, RAW_U16LE, 1, 0, "packs_charge_blocked"},
	{4, RAW_U16LE, 1, 0, "packs_discharge_blocked"},
	{6, RAW_U16LE, 1, 0, "packs_offline"},
};

/* Pairs of bits, 01 = active, first as alarms, then from byte 4 on as warnings. */
static const struct alarm_row pair_rows[] = {
	{1, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{2, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{3, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{4, ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{5, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{6, ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{7, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{8, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{9, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "contactor_fault"},
	{10, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{10, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{11, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{12, ALARM_RAISED, ALARM_CELL_IMBALANCE, NULL},
};

static void take_alarms(struct alarms *a, struct bytes data)
{
	uint32_t words[] = {u32le_at(data, 0), u32le_at(data, 4)};

	alarms_clear(a);
	for (unsigned w = 0; w < 2; w++)
		for (size_t i = 0; i < sizeof(pair_rows) / sizeof(pair_rows[0]); i++) {
			const struct alarm_row *row = &pair_rows[i];
			enum alarm_level level = w ? ALARM_WARNING : ALARM_RAISED;

			if ((words[w] >> 2 * row->bit & 3) != 1)
				continue;
			alarm_raise(a, row->alarm, level);
			if (row->name)
				alarm_raise_own(a, row->name, level);
		}
}

static void count(uint8_t *n, bool credible)
{
	*n = !credible ? 0 : *n < ENOUGH ? (uint8_t)(*n + 1) : ENOUGH;
}

/* The second half of a text that two frames bring, or the first. */
static void take_half(char *whole, unsigned half, struct bytes data)
{
	char text[TEXT_SIZE + 1] = {0};

	memcpy(text, data.p, data.n < TEXT_SIZE ? data.n : TEXT_SIZE);
	memset(whole + half * TEXT_SIZE, 0, TEXT_SIZE);
	memcpy(whole + half * TEXT_SIZE, text, TEXT_SIZE);
}

static void tell_text(struct reading *r, enum text which, const char *whole, size_t n)
{
	char text[4 * TEXT_SIZE + 1];

	bytes_text((struct bytes){(const uint8_t *)whole, n}, text, sizeof(text));
	reading_set_text(r, which, text);
}

/* What a JBD says of itself makes this battery one. */
static void look_for_jbd(struct device *dev)
{
	const struct reading *r = &dev->reading;
	bool jbd = !strncmp(r->text[T_MANUFACTURER], "JBD", 3) || strstr(r->text[T_MODEL], "UP16S") ||
		   !strncmp(r->text[T_SERIAL_NUMBER], "JBD", 3);

	if (jbd && dev->dialect == VICTRON)
		dev->dialect = JBD;
}

static void take_battery(struct reading *r, struct bytes data)
{
	char text[16];

	if (bytes_has(data, 2, 2)) {
		snprintf(text, sizeof(text), "%u.%u", u8_at(data, 3), u8_at(data, 2));
		reading_set_text(r, T_FIRMWARE_VERSION, text);
	}
	if (u16le_at(data, 4) && !reading_knows(r, Q_CAPACITY_FULL_AH))
		reading_set(r, Q_CAPACITY_FULL_AH, u16le_at(data, 4));
}

/* Allowed is what it gives a current for. */
static void take_limits(struct reading *r, struct bytes data)
{
	table_numbers(ROWS(limit_rows), data, r);
	if (reading_knows(r, Q_BMS_CCL_A))
		reading_set_flag(r, F_CHARGE_ALLOWED, reading_get(r, Q_BMS_CCL_A) > 0);
	if (reading_knows(r, Q_BMS_DCL_A))
		reading_set_flag(r, F_DISCHARGE_ALLOWED, reading_get(r, Q_BMS_DCL_A) > 0);
}

static void take_measured(struct device *dev, struct bytes data)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;

	table_numbers(ROWS(measured_rows), data, r);
	if (dev->options.invert_current)
		reading_set(r, Q_CURRENT_A, -reading_get(r, Q_CURRENT_A));
	if (bytes_has(data, 4, 2))
		series_set(&r->temperatures, 0, (int16_t)u16le_at(data, 4) / 10.0);
	count(&s->measured, reading_get(r, Q_VOLTAGE_V) >= 8 && reading_get(r, Q_VOLTAGE_V) <= 200);
}

static void take_broadcast(struct device *dev, uint16_t code, struct bytes data)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;
	char text[TEXT_SIZE + 1];

	switch (code) {
	case ALIVE:
		s->other_alive = true;
		break;
	case LIMITS:
		take_limits(r, data);
		break;
	case SOC:
		table_numbers(ROWS(soc_rows), data, r);
		count(&s->socs,
		      reading_get(r, Q_SOC_PCT) <= 100 && u16le_at(data, 0) <= 100 && u16le_at(data, 2) <= 100);
		break;
	case MEASURED:
		take_measured(dev, data);
		break;
	case PYLONTECH_ALARMS:
	case PYLONTECH_REQUESTS:
		s->pylontech = true;
		break;
	case ALARMS:
		take_alarms(&r->alarms, data);
		break;
	case MAKER:
		bytes_text(data, text, sizeof(text));
		reading_set_text(r, T_MANUFACTURER, text);
		break;
	case BATTERY:
		take_battery(r, data);
		break;
	case MODEL_1:
	case MODEL_2:
		take_half(s->model, code - MODEL_1, data);
		tell_text(r, T_MODEL, s->model, sizeof(s->model));
		break;
	case PACKS:
		table_numbers(ROWS(pack_rows), data, r);
		table_details(ROWS(pack_details), data, r);
		break;
	case EXTREMES:
		table_numbers(ROWS(extreme_rows), data, r);
		count(&s->extremes, reading_get(r, Q_CELL_MIN_V) >= 0.5 && reading_get(r, Q_CELL_MAX_V) <= 5 &&
					    reading_get(r, Q_CELL_MIN_V) <= reading_get(r, Q_CELL_MAX_V) &&
					    reading_get(r, Q_TEMP_MIN_C) <= reading_get(r, Q_TEMP_MAX_C) &&
					    reading_get(r, Q_TEMP_MIN_C) >= -60 && reading_get(r, Q_TEMP_MAX_C) <= 150);
		break;
	case INSTALLED:
		if (u16le_at(data, 0))
			reading_set(r, Q_CAPACITY_FULL_AH, u16le_at(data, 0));
		break;
	case SERIAL_1:
	case SERIAL_2:
		take_half(s->serial, code - SERIAL_1, data);
		tell_text(r, T_SERIAL_NUMBER, s->serial, sizeof(s->serial));
		break;
	default: /* names of cells and sensors, product */
		break;
	}
	look_for_jbd(dev);
}

/* ---- questions and answers: section 5.2 ---- */

static const struct number_row basic_rows[] = {
	{0, RAW_U16BE, 100, 0, Q_VOLTAGE_V},
	{2, RAW_S16BE, 100, 0, Q_CURRENT_A},
	{4, RAW_U16BE, 100, 0, Q_CAPACITY_REMAINING_AH},
};
static const struct number_row capacity_rows[] = {
	{0, RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
	{2, RAW_U16BE, 1, 0, Q_CYCLES},
	{4, RAW_U16BE, 1, 0, Q_SOC_PCT},
};

static void tell_balancing(struct device *dev, uint32_t bits)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;

	r->balancing_known = true;
	r->balancing = s->cells ? bits & ((UINT64_C(1) << s->cells) - 1) : bits;
	reading_set_flag(r, F_BALANCING_ACTIVE, r->balancing != 0);
}

static void take_switches(struct reading *r, struct bytes data)
{
	unsigned version = u8_at(data, 5);
	char text[JBD_DATE_SIZE];

	reading_set_flag(r, F_CHARGE_MOS, u8_at(data, 1) & 1);
	reading_set_flag(r, F_DISCHARGE_MOS, u8_at(data, 1) >> 1 & 1);
	jbd_date_text(u16be_at(data, 2), text);
	reading_set_text(r, T_PRODUCTION_DATE, text);
	snprintf(text, sizeof(text), "%u.%u", version >> 4, version & 15);
	reading_set_text(r, T_FIRMWARE_VERSION, text);
}

static void take_native_cells(struct device *dev, unsigned first, struct bytes data)
{
	const struct state *s = dev->state;

	for (unsigned i = 0; i < CELLS_PER_FRAME && first + i < s->cells; i++)
		series_set(&dev->reading.cell_V, first + i, u16be_at(data, 2 * i) / 1000.0);
}

static void take_native_sensors(struct device *dev, unsigned first, struct bytes data)
{
	const struct state *s = dev->state;

	for (unsigned i = 0; i < SENSORS_PER_FRAME && first + i < s->sensors; i++)
		series_set(&dev->reading.temperatures, first + i, jbd_celsius(u16be_at(data, 2 * i)));
}

static void take_answer(struct device *dev, uint16_t code, struct bytes data)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;

	switch (code) {
	case BASIC:
		table_numbers(ROWS(basic_rows), data, r);
		if (dev->options.invert_current)
			reading_set(r, Q_CURRENT_A, -reading_get(r, Q_CURRENT_A));
		break;
	case CAPACITY:
		table_numbers(ROWS(capacity_rows), data, r);
		break;
	case PROTECTION:
		tell_balancing(dev, u16be_at(data, 0) | (uint32_t)u16be_at(data, 2) << 16);
		jbd_protections(u16be_at(data, 4), &r->alarms);
		break;
	case SWITCHES:
		take_switches(r, data);
		break;
	case COUNTS:
		s->cells = u8_at(data, 0);
		s->sensors = u8_at(data, 1);
		if (s->cells > MAX_NATIVE_CELLS)
			s->cells = MAX_NATIVE_CELLS;
		if (s->sensors > MAX_NATIVE_SENSORS)
			s->sensors = MAX_NATIVE_SENSORS;
		reading_set(r, Q_CELL_COUNT, u8_at(data, 0));
		break;
	case SENSORS:
	case MORE_SENSORS:
		take_native_sensors(dev, (unsigned)(code - SENSORS) * SENSORS_PER_FRAME, data);
		break;
	default:
		take_native_cells(dev, (unsigned)(code - FIRST_CELLS) * CELLS_PER_FRAME, data);
		break;
	}
}

/* A text frame is all text; the others end in a checksum, where 0 says that there is none. */
static enum verdict take_native(struct device *dev, uint16_t code, struct bytes data, const char **why)
{
	struct state *s = dev->state;
	uint16_t crc = u16be_at(data, CRC_AT);

	if (data.n != SIZE)
		return FRAME_FOREIGN;
	if (code >= FIRST_MODEL) {
		memcpy(s->native_model + (code - FIRST_MODEL) * TEXT_SIZE, data.p, TEXT_SIZE);
		tell_text(&dev->reading, T_MODEL, s->native_model, sizeof(s->native_model));
		return FRAME_ANSWER;
	}
	if (crc ? crc != crc16_modbus(bytes_sub(data, 0, CRC_AT)) : !s->proved) {
		*why = crc ? "checksum" : "no checksum";
		return FRAME_BAD;
	}
	s->proved = true;
	take_answer(dev, code, data);
	return FRAME_ANSWER;
}

static enum verdict jbd_take(struct device *dev, const struct request *as, struct bytes frame, const char **why)
{
	struct bytes data = can_data(frame);
	struct can_message m;

	if (!can_read(frame, &m) || m.id != as->code || !m.n)
		return FRAME_FOREIGN;
	if (is_native(m.id))
		return take_native(dev, as->code, data, why);
	take_broadcast(dev, as->code, data);
	return FRAME_ANSWER;
}

/* ---- what was not repeated ---- */

static void forget_numbers(struct reading *r, const struct number_row *row, size_t n)
{
	for (size_t i = 0; i < n; i++)
		reading_forget(r, row[i].quantity);
}

static void jbd_forget(struct device *dev, uint16_t code, uint16_t arg)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;

	(void)arg;
	switch (code) {
	case ALIVE:
		s->other_alive = false;
		break;
	case LIMITS:
		forget_numbers(r, ROWS(limit_rows));
		r->flag[F_CHARGE_ALLOWED] = r->flag[F_DISCHARGE_ALLOWED] = UNKNOWN;
		break;
	case ALARMS:
		r->alarms = (struct alarms){.known = false};
		break;
	case INSTALLED:
		reading_forget(r, Q_CAPACITY_FULL_AH);
		break;
	case PACKS:
		forget_numbers(r, ROWS(pack_rows));
		break;
	case PYLONTECH_ALARMS:
	case PYLONTECH_REQUESTS:
		s->pylontech = false;
		break;
	default:
		break;
	}
}

/* ---- identification: section 4 ---- */

static bool native_plausible(const struct device *dev, const char **why)
{
	const struct state *s = dev->state;
	double V = reading_get(&dev->reading, Q_VOLTAGE_V), cells = reading_get(&dev->reading, Q_CELL_COUNT);

	if (!(cells >= 1 && cells <= 32) || s->sensors > MAX_NATIVE_SENSORS)
		*why = "there can't be so many cells or sensors";
	else if (!(V / cells >= 1 && V / cells <= 5))
		*why = "the voltage does not fit the number of cells";
	else
		return true;
	return false;
}

static bool jbd_plausible(const struct device *dev, const char **why)
{
	const struct state *s = dev->state;
	double lowest = reading_get(&dev->reading, Q_CELL_MIN_V), highest = reading_get(&dev->reading, Q_CELL_MAX_V);
	double V = reading_get(&dev->reading, Q_VOLTAGE_V), cells = round(V / ((lowest + highest) / 2));

	if (dev->dialect == NATIVE)
		return native_plausible(dev, why);
	if (s->pylontech && dev->dialect != JBD)
		*why = "it speaks another way to its inverter";
	else if (s->socs < ENOUGH || s->measured < ENOUGH || s->extremes < ENOUGH)
		*why = "SoC, voltage and extremes have not come twice, each credible";
	else if (!(cells >= 1 && cells <= 64) || V < cells * lowest * 0.97 || V > cells * highest * 1.03)
		*why = "the cells do not make up the voltage";
	else
		return true;
	return false;
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{500000, 8, 'N', 1}, {250000, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"LltJbd_Can", NULL};

#define KIND_MASK (CAN_EXTENDED | CAN_REMOTE | CAN_ERROR)

static const struct can_ids hears[] = {
	{0x100, KIND_MASK | 0x7e0}, {ALIVE, KIND_MASK | 0x7ff}, {0x350, KIND_MASK | 0x7f0},
	{0x370, KIND_MASK | 0x7f0}, {0x380, KIND_MASK | 0x7fc}, {0, 0},
};

static bool streams(const struct device *dev)
{
	return dev->dialect != NATIVE;
}

static bool answers(const struct device *dev)
{
	return dev->dialect == NATIVE;
}

static bool has_sensors(const struct device *dev)
{
	return answers(dev) && ((const struct state *)dev->state)->sensors > 0;
}

static bool has_more_sensors(const struct device *dev)
{
	return answers(dev) && ((const struct state *)dev->state)->sensors > SENSORS_PER_FRAME;
}

#define CELL_FRAME(k)                                                                                                  \
	static bool has_cells_##k(const struct device *dev)                                                            \
	{                                                                                                              \
		return answers(dev) && ((const struct state *)dev->state)->cells > (k)*CELLS_PER_FRAME;                \
	}
CELL_FRAME(0)
CELL_FRAME(1)
CELL_FRAME(2)
CELL_FRAME(3)
CELL_FRAME(4)
CELL_FRAME(5)
CELL_FRAME(6)
CELL_FRAME(7)
CELL_FRAME(8)
CELL_FRAME(9)
#define CELL_ROW(k)                                                                                                    \
	{                                                                                                              \
		FIRST_CELLS + (k), 0, EVERY_POLL, true, has_cells_##k                                                  \
	}

static const struct poll polls[] = {
	{BASIC, 0, EVERY_POLL, true, answers},
	{COUNTS, 0, 60000, true, answers},
	{CAPACITY, 0, EVERY_POLL, true, answers},
	{PROTECTION, 0, EVERY_POLL, true, answers},
	{SWITCHES, 0, EVERY_POLL, true, answers},
	{SENSORS, 0, EVERY_POLL, true, has_sensors},
	{MORE_SENSORS, 0, EVERY_POLL, true, has_more_sensors},
	CELL_ROW(0),
	CELL_ROW(1),
	CELL_ROW(2),
	CELL_ROW(3),
	CELL_ROW(4),
	CELL_ROW(5),
	CELL_ROW(6),
	CELL_ROW(7),
	CELL_ROW(8),
	CELL_ROW(9),
	{FIRST_MODEL, 0, ONCE, false, answers},
	{FIRST_MODEL + 1, 0, ONCE, false, answers},
	{FIRST_MODEL + 2, 0, ONCE, false, answers},
	{LAST_MODEL, 0, ONCE, false, answers},
	{SOC, 0, EVERY_POLL, true, streams},
	{MEASURED, 0, EVERY_POLL, true, streams},
	{EXTREMES, 0, EVERY_POLL, true, streams},
	{LIMITS, 0, 5000, false, streams},
	{ALARMS, 0, 5000, false, streams},
	{INSTALLED, 0, 30000, false, streams},
	{PACKS, 0, 30000, false, streams},
	{ALIVE, 0, 5000, false, streams},
	{PYLONTECH_ALARMS, 0, 10000, false, streams},
	{PYLONTECH_REQUESTS, 0, 10000, false, streams},
};

static const struct probe probes[] = {
	{.code = BASIC, .dialect = NATIVE, .window_ms = 200, .only_when_silent = true},
};

#define QUANTITY(q) (UINT64_C(1) << Q_##q)
#define FLAG(f)	    (UINT32_C(1) << F_##f)
#define ALARM(a)    (UINT32_C(1) << ALARM_##a)

const struct protocol jbd_can_protocol = {
	.id = "jbd-can",
	.title = "JBD UP series and Victron-style batteries (CAN)",
	.manufacturer = "LLT/JBD",
	.bms_types = bms_types,
	.untested = true,
	.link = LINK_CAN,
	.lines = lines,
	.hears = hears,
	.timing = {.first_ms = 200,
		   .gap_ms = 20,
		   .pause_ms = 5,
		   .late_ms = 200,
		   .tries = 2,
		   .poll_ms = 1000,
		   .listen_ms = 3000,
		   .unheard_ms = 5000},
	.quantities = QUANTITY(VOLTAGE_V) | QUANTITY(CURRENT_A) | QUANTITY(SOC_PCT) | QUANTITY(SOH_PCT) |
		      QUANTITY(CAPACITY_FULL_AH) | QUANTITY(CAPACITY_REMAINING_AH) | QUANTITY(CYCLES) |
		      QUANTITY(CELL_COUNT) | QUANTITY(CELL_MIN_V) | QUANTITY(CELL_MAX_V) | QUANTITY(TEMP_MIN_C) |
		      QUANTITY(TEMP_MAX_C) | QUANTITY(BMS_CVL_V) | QUANTITY(BMS_CCL_A) | QUANTITY(BMS_DCL_A) |
		      QUANTITY(BMS_DVL_V) | QUANTITY(PACK_COUNT),
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING,
	.flags = FLAG(CHARGE_MOS) | FLAG(DISCHARGE_MOS) | FLAG(BALANCING_ACTIVE) | FLAG(CHARGE_ALLOWED) |
		 FLAG(DISCHARGE_ALLOWED),
	.alarms = ALARM(HIGH_VOLTAGE) | ALARM(LOW_VOLTAGE) | ALARM(HIGH_CELL_VOLTAGE) | ALARM(LOW_CELL_VOLTAGE) |
		  ALARM(HIGH_CHARGE_CURRENT) | ALARM(HIGH_DISCHARGE_CURRENT) | ALARM(CELL_IMBALANCE) |
		  ALARM(INTERNAL_FAILURE) | ALARM(HIGH_CHARGE_TEMPERATURE) | ALARM(LOW_CHARGE_TEMPERATURE) |
		  ALARM(HIGH_TEMPERATURE) | ALARM(LOW_TEMPERATURE) | ALARM(SHORT_CIRCUIT),
	.streams = 1u << JBD | 1u << VICTRON,
	.yields = 1u << VICTRON,
	.keep_alive = ALIVE,
	.keep_alive_ms = 1000,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {COUNTS},
	.confirm_count = 1,
	.encode = jbd_encode,
	.find_frame = can_find_frame,
	.take = jbd_take,
	.plausible = jbd_plausible,
	.parse_request = jbd_parse_request,
	.overhear = jbd_overhear,
	.may_ask = jbd_may_ask,
	.forget = jbd_forget,
};
