/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * JBD on CAN, in two languages: what UP boards tell an inverter in Victron's frames, which batteries of many makers do
 * as well; and JBD's own questions and answers. Sheet jbd-can.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/can.h"
#include "protocols/checksum.h"
#include "protocols/jbd_common.h"
#include "protocols/plausible.h"
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
	PYLONTECH = 0x359, /* its alarms, and its requests to the inverter: */
	PYLONTECH_REQUESTS = 0x35c,
	ALARMS = 0x35a,
	MAKER = 0x35e,
	BATTERY = 0x35f,
	MODEL_1 = 0x370,
	MODEL_2 = 0x371,
	PACKS = 0x372,
	EXTREMES = 0x373,
	NAMES = 0x374, /* of the lowest and the highest cell, the coldest and the warmest sensor */
	LAST_NAME = 0x377,
	ENERGY = 0x378,
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
	MAX_NATIVE_CELLS = 32, /* of which 30 are told */
	MAX_NATIVE_SENSORS = 6,
	TEXT_FRAMES = 4,
	MODEL_FRAMES = LAST_MODEL - FIRST_MODEL + 1,
	BROADCAST_FRAMES = 2, /* of model and serial number */
	DOUBTS = 4,
	SOFTWARE_LOCK = 12, /* bit of the protections */
};

/* A text that comes in several frames. */
struct long_text {
	char text[TEXT_FRAMES * SIZE];
	uint8_t seen; /* bit per frame */
};

struct state {
	bool other_alive;	/* an inverter's life sign was heard */
	bool pylontech;		/* frames of another way of telling an inverter */
	bool installed;		/* 379 tells the capacity */
	bool proved;		/* an answer with a good checksum has come */
	uint8_t doubts;		/* frames that must fit before this is believed: some did not */
	uint8_t cells, sensors; /* as 104 counts them; of a broadcast as the voltages make out */
	struct long_text model, serial;
};

/* What has been heard of questions and answers among others. */
struct listening {
	bool proved;	/* an answer with a good checksum */
	uint32_t asked; /* bit per identifier from BASIC on whose question waits for its answer */
};

/* ---- which frame it is ---- */

static bool is_native(uint32_t id)
{
	return id >= BASIC && id <= LAST_MODEL;
}

/* The row of a frame; 0: none of this protocol. */
static uint16_t row_of(uint32_t id)
{
	switch (id) {
	case PYLONTECH:
	case PYLONTECH_REQUESTS:
		return PYLONTECH;
	case ALIVE:
	case LIMITS:
	case SOC:
	case MEASURED:
	case ALARMS:
	case MAKER:
	case BATTERY:
	case MODEL_1:
	case MODEL_2:
	case PACKS:
	case EXTREMES:
	case ENERGY:
	case INSTALLED:
	case SERIAL_1:
	case SERIAL_2:
	case PRODUCT:
		return (uint16_t)id;
	default:
		if (id >= NAMES && id <= LAST_NAME)
			return NAMES;
		return is_native(id) ? (uint16_t)id : 0;
	}
}

static bool checksum_fits(const struct can_message *m)
{
	struct bytes data = {m->data, m->n};

	return u16be_at(data, CRC_AT) == crc16_modbus(bytes_sub(data, 0, CRC_AT));
}

/* These identifiers belong to anybody on other buses: an answer is known by its checksum, a text by its question. */
static bool is_answer(struct listening *l, const struct can_message *m)
{
	uint32_t bit = UINT32_C(1) << (m->id - BASIC);
	bool asked = l->asked & bit;

	if (!m->n)
		l->asked |= bit;
	if (m->n != SIZE)
		return false;
	l->asked &= ~bit;
	if (m->id >= FIRST_MODEL)
		return asked;
	if (checksum_fits(m))
		l->proved = true;
	return checksum_fits(m) || (l->proved && !u16be_at((struct bytes){m->data, m->n}, CRC_AT));
}

static enum heard jbd_overhear(void *listen, struct bytes frame, struct request *as)
{
	struct can_message m;

	if (!can_read(frame, &m) || !row_of(m.id) || (is_native(m.id) && !is_answer(listen, &m)))
		return HEARD_NOTHING;
	request_start(as, &jbd_can_protocol, 0, is_native(m.id) ? NATIVE : VICTRON, row_of(m.id), 0);
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

	if (!can_read(tx, &m) || !(m.id == ALIVE || (is_native(m.id) && !m.n)))
		return false;
	request_start(out, &jbd_can_protocol, 0, m.id == ALIVE ? VICTRON : NATIVE, (uint16_t)m.id, 0);
	request_put(out, tx);
	out->no_reply = m.id == ALIVE;
	return true;
}

/*
 * One frame of a text. It is told when it is whole: a frame that is not full is its last one, and so is one after
 * which the same comes again.
 */
static void take_text(struct device *dev, enum text which, struct long_text *t, unsigned nth, unsigned frames,
		      struct bytes data)
{
	bool again = t->seen >> nth & 1, whole = false;
	char text[MAX_TEXT];

	memset(t->text + nth * SIZE, 0, SIZE);
	memcpy(t->text + nth * SIZE, data.p, data.n < SIZE ? data.n : SIZE);
	t->seen |= (uint8_t)(1u << nth);
	for (unsigned i = 0; i < frames && !whole && t->seen >> i & 1; i++)
		whole = i + 1 == frames || !t->text[i * SIZE + SIZE - 1];
	if (!whole && !again)
		return;
	bytes_text((struct bytes){(const uint8_t *)t->text, frames * SIZE}, text, sizeof(text));
	reading_set_text(&dev->reading, which, text);
}

static void take_current(struct device *dev)
{
	if (dev->options.invert_current)
		reading_set(&dev->reading, Q_CURRENT_A, -reading_get(&dev->reading, Q_CURRENT_A));
}

/* ---- Victron's frames: section 5.1 ---- */

enum {
	FULL_PCT = 100,
	BEST_SOH_PCT = 200, /* new cells may have more than they should */
	KELVIN = 273,
	LEAST_CENTIVOLTS = 800, /* of a battery, sheet 4 */
	COLDEST_C = -60,
	WARMEST_C = 150,
	ALARM_PAIRS = 13,
};

static const struct number_row limit_rows[] = {
	{0, RAW_U16LE, 10, 0, Q_BMS_CVL_V},
	{2, RAW_S16LE, 10, 0, Q_BMS_CCL_A},
	{4, RAW_S16LE, 10, 0, Q_BMS_DCL_A},
	{6, RAW_U16LE, 10, 0, Q_BMS_DVL_V},
};
static const struct number_row measured_rows[] = {
	{0, RAW_U16LE, 100, 0, Q_VOLTAGE_V},
	{2, RAW_S16LE, 10, 0, Q_CURRENT_A},
	{6, RAW_U16LE, 1, 0, Q_CYCLES},
};
static const struct detail_row battery_details[] = {
	{0, RAW_U16LE, 1, 0, "battery_type"},
	{6, RAW_U16LE, 1, 0, "product_id"},
};
static const struct detail_row pack_details[] = {
	{2, RAW_U16LE, 1, 0, "packs_charge_blocked"},
	{4, RAW_U16LE, 1, 0, "packs_discharge_blocked"},
	{6, RAW_U16LE, 1, 0, "packs_offline"},
};
static const struct detail_row energy_details[] = {
	{0, RAW_U32LE, 10, 0, "energy_charged_kWh"},
	{4, RAW_U32LE, 10, 0, "energy_discharged_kWh"},
};

/* The pairs of 35A, section 6. Level: what a pair of the first half means; of the second half it is a warning. */
static const struct alarm_row pair_rows[] = {
	{0, ALARM_RAISED, ALARM_COUNT, "general_alarm"},
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

/* 01 = active, 10 = not; 00 = the battery does not watch this, 11 = it can't say. */
static void take_pairs(struct alarms *a, uint32_t pairs, enum alarm_level level)
{
	for (unsigned i = 0; i < ALARM_PAIRS; i++)
		a->known = a->known || (pairs >> 2 * i & 3) == 1 || (pairs >> 2 * i & 3) == 2;
	for (size_t i = 0; i < sizeof(pair_rows) / sizeof(pair_rows[0]); i++) {
		const struct alarm_row *row = &pair_rows[i];

		if ((pairs >> 2 * row->bit & 3) != 1)
			continue;
		if (row->alarm != ALARM_COUNT)
			alarm_raise(a, row->alarm, level);
		if (row->name)
			alarm_raise_own(a, row->name, level);
	}
}

static void take_alarms(struct alarms *a, struct bytes data)
{
	*a = (struct alarms){.known = false};
	take_pairs(a, u32le_at(data, 0), ALARM_RAISED);
	take_pairs(a, u32le_at(data, 4), ALARM_WARNING);
}

static void set_or_forget(struct reading *r, enum quantity q, double value, bool known)
{
	reading_forget(r, q);
	if (known)
		reading_set(r, q, value);
}

/* What a JBD says of itself makes this battery one. */
static void look_for_jbd(struct device *dev)
{
	const struct reading *r = &dev->reading;

	if (!strncmp(r->text[T_MANUFACTURER], "JBD", 3) || strstr(r->text[T_MODEL], "UP16S") ||
	    !strcmp(r->text[T_SERIAL_NUMBER], "JBD87654321"))
		dev->dialect = JBD;
}

/* No frame tells it; it follows from what others do. */
static void tell_remaining(struct reading *r)
{
	double Ah = reading_get(r, Q_CAPACITY_FULL_AH) * reading_get(r, Q_SOC_PCT) / FULL_PCT;

	set_or_forget(r, Q_CAPACITY_REMAINING_AH, Ah, isfinite(Ah));
}

/* Nor this: once it is known it stays. */
static void count_cells(struct device *dev)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;
	double cells = cells_by_extremes(r);

	if (!s->cells && !isnan(cells))
		s->cells = (uint8_t)cells;
	if (s->cells)
		reading_set(r, Q_CELL_COUNT, s->cells);
}

/* Allowed is what it gives a current for. */
static void tell_permission(struct reading *r, enum quantity limit, enum flag allowed)
{
	if (reading_get(r, limit) < 0)
		reading_forget(r, limit);
	r->flag[allowed] = UNKNOWN;
	if (reading_knows(r, limit))
		reading_set_flag(r, allowed, reading_get(r, limit) > 0);
}

/* A voltage limit of 0 is one that is not used. */
static void take_limits(struct reading *r, struct bytes data)
{
	table_numbers(ROWS(limit_rows), data, r);
	if (reading_get(r, Q_BMS_CVL_V) == 0)
		reading_forget(r, Q_BMS_CVL_V);
	if (reading_get(r, Q_BMS_DVL_V) == 0)
		reading_forget(r, Q_BMS_DVL_V);
	tell_permission(r, Q_BMS_CCL_A, F_CHARGE_ALLOWED);
	tell_permission(r, Q_BMS_DCL_A, F_DISCHARGE_ALLOWED);
}

/* The finer SoC counts where it is one: some fill the frame up with 0. */
static enum verdict take_soc(struct reading *r, struct bytes data, const char **why)
{
	double soc = u16le_at(data, 0), soh = u16le_at(data, 2), fine = u16le_at(data, 4) / 100.0;

	if (!bytes_has(data, 0, 2) || soc > FULL_PCT || soh > BEST_SOH_PCT) {
		*why = "no SoC and SoH of 0..100 %";
		return FRAME_BAD;
	}
	if (bytes_has(data, 4, 2) && fabs(fine - soc) <= 1 && fine <= FULL_PCT)
		soc = fine;
	reading_set(r, Q_SOC_PCT, soc);
	set_or_forget(r, Q_SOH_PCT, soh, bytes_has(data, 2, 2) && soh <= FULL_PCT);
	tell_remaining(r);
	return FRAME_ANSWER;
}

static enum verdict take_measured(struct device *dev, struct bytes data, const char **why)
{
	struct reading *r = &dev->reading;
	double C = (int16_t)u16le_at(data, 4) / 10.0;

	if (!bytes_has(data, 0, 4)) {
		*why = "no voltage and current";
		return FRAME_BAD;
	}
	if (u16le_at(data, 0) < LEAST_CENTIVOLTS) {
		*why = "the voltage can't be";
		return FRAME_BAD;
	}
	table_numbers(ROWS(measured_rows), data, r);
	take_current(dev);
	if (bytes_has(data, 4, 2))
		series_set(&r->temperatures, 0, C >= COLDEST_C && C <= WARMEST_C ? C : NAN);
	count_cells(dev);
	return FRAME_ANSWER;
}

static void tell_kelvin(struct reading *r, enum quantity q, struct bytes data, size_t off)
{
	double C = u16le_at(data, off) - (double)KELVIN;

	set_or_forget(r, q, C, C >= COLDEST_C && C <= WARMEST_C);
}

static enum verdict take_extremes(struct device *dev, struct bytes data, const char **why)
{
	struct reading *r = &dev->reading;
	double lowest = u16le_at(data, 0) / 1000.0, highest = u16le_at(data, 2) / 1000.0;

	if (!(highest > 0 && highest <= 5 && lowest <= highest)) {
		*why = "these are no lowest and highest cell";
		return FRAME_BAD;
	}
	reading_set(r, Q_CELL_MIN_V, lowest);
	reading_set(r, Q_CELL_MAX_V, highest);
	tell_kelvin(r, Q_TEMP_MIN_C, data, 4);
	tell_kelvin(r, Q_TEMP_MAX_C, data, 6);
	count_cells(dev);
	return FRAME_ANSWER;
}

/* What 379 says goes before. */
static void take_battery(struct device *dev, struct bytes data)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;
	char text[16];

	table_details(ROWS(battery_details), data, r);
	if (u16le_at(data, 2)) {
		snprintf(text, sizeof(text), "%u.%u", u8_at(data, 3), u8_at(data, 2));
		reading_set_text(r, T_FIRMWARE_VERSION, text);
	}
	if (s->installed)
		return;
	set_or_forget(r, Q_CAPACITY_FULL_AH, u16le_at(data, 4), u16le_at(data, 4));
	tell_remaining(r);
}

static void take_installed(struct device *dev, struct bytes data)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;

	if (!u16le_at(data, 0))
		return;
	s->installed = true;
	reading_set(r, Q_CAPACITY_FULL_AH, u16le_at(data, 0));
	tell_remaining(r);
}

static void take_packs(struct reading *r, struct bytes data)
{
	set_or_forget(r, Q_PACK_COUNT, u16le_at(data, 0), u16le_at(data, 0));
	table_details(ROWS(pack_details), data, r);
}

/* Zeros on a JBD, which does not count. */
static void take_energy(struct reading *r, struct bytes data)
{
	if (u32le_at(data, 0) || u32le_at(data, 4))
		table_details(ROWS(energy_details), data, r);
}

/* ---- names of cells and sensors: "ID:", pack, ".", number ---- */

static const struct {
	enum quantity number;
	const char *pack;
} named[] = {{Q_CELL_MIN_NO, "cell_min_pack"},
	     {Q_CELL_MAX_NO, "cell_max_pack"},
	     {Q_TEMP_MIN_NO, "temp_min_pack"},
	     {Q_TEMP_MAX_NO, "temp_max_pack"}};

/* From 10 to 15 the last digit goes on behind '9' and the tens are missing. 0: that is no such number. */
static unsigned number_in(const char *digits)
{
	size_t n = strspn(digits, "0123456789");
	char last = digits[n];

	if (last >= ':' && last <= '?' && !digits[n + 1])
		return 10 + (unsigned)(last - ':');
	return n && n <= 3 && !last ? (unsigned)strtoul(digits, NULL, 10) : 0;
}

static void take_name(struct device *dev, unsigned which, struct bytes data)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;
	char text[SIZE + 1];
	unsigned pack = 0, number = 0;
	bool is_cell = named[which].number == Q_CELL_MIN_NO || named[which].number == Q_CELL_MAX_NO;

	bytes_text(data, text, sizeof(text));
	char *dot = strchr(text, '.');
	if (!strncmp(text, "ID:", 3) && dot) {
		*dot = 0;
		pack = number_in(text + 3);
		number = number_in(dot + 1);
		/* Cell 16 is told as 10, which cell 10 never is. */
		if (!strcmp(dot + 1, "10") && dev->dialect == JBD && s->cells == 16 && is_cell)
			number = 16;
	}
	set_or_forget(r, named[which].number, number, number);
	reading_set_detail(r, named[which].pack, pack ? pack : NAN);
}

static void take_product(struct device *dev, struct bytes data)
{
	char text[SIZE + 1];

	if (bytes_text(data, text, sizeof(text)))
		settings_set_text(&dev->settings, "product", text);
}

static void take_maker(struct reading *r, struct bytes data)
{
	char text[SIZE + 1];

	bytes_text(data, text, sizeof(text));
	reading_set_text(r, T_MANUFACTURER, text);
}

static enum verdict take_broadcast(struct device *dev, uint32_t id, struct bytes data, const char **why)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;

	switch (id) {
	case ALIVE:
		s->other_alive = true;
		break;
	case LIMITS:
		take_limits(r, data);
		break;
	case SOC:
		return take_soc(r, data, why);
	case MEASURED:
		return take_measured(dev, data, why);
	case PYLONTECH:
	case PYLONTECH_REQUESTS:
		s->pylontech = true;
		break;
	case ALARMS:
		take_alarms(&r->alarms, data);
		break;
	case MAKER:
		take_maker(r, data);
		break;
	case BATTERY:
		take_battery(dev, data);
		break;
	case MODEL_1:
	case MODEL_2:
		take_text(dev, T_MODEL, &s->model, id - MODEL_1, BROADCAST_FRAMES, data);
		break;
	case PACKS:
		take_packs(r, data);
		break;
	case EXTREMES:
		return take_extremes(dev, data, why);
	case ENERGY:
		take_energy(r, data);
		break;
	case INSTALLED:
		take_installed(dev, data);
		break;
	case SERIAL_1:
	case SERIAL_2:
		take_text(dev, T_SERIAL_NUMBER, &s->serial, id - SERIAL_1, BROADCAST_FRAMES, data);
		break;
	case PRODUCT:
		take_product(dev, data);
		break;
	default:
		take_name(dev, id - NAMES, data);
		break;
	}
	look_for_jbd(dev);
	return FRAME_ANSWER;
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

static enum verdict take_capacity(struct reading *r, struct bytes data, const char **why)
{
	if (u16be_at(data, 4) > FULL_PCT) {
		*why = "SoC above 100 %";
		return FRAME_BAD;
	}
	table_numbers(ROWS(capacity_rows), data, r);
	return FRAME_ANSWER;
}

static void take_protection(struct device *dev, struct bytes data)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;
	uint32_t bits = u16be_at(data, 0) | (uint32_t)u16be_at(data, 2) << 16;

	r->balancing_known = true;
	r->balancing = s->cells ? bits & ((UINT64_C(1) << s->cells) - 1) : bits;
	reading_set_flag(r, F_BALANCING_ACTIVE, r->balancing != 0);
	jbd_protections(u16be_at(data, 4), &r->alarms);
	reading_set_detail(r, "mos_software_lock", u16be_at(data, 4) >> SOFTWARE_LOCK & 1);
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

static enum verdict take_counts(struct device *dev, struct bytes data, const char **why)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;
	uint8_t cells = u8_at(data, 0), sensors = u8_at(data, 1);

	if (!cells || cells > MAX_NATIVE_CELLS || sensors > MAX_NATIVE_SENSORS) {
		*why = "there can't be so many cells or sensors";
		return FRAME_BAD;
	}
	if (cells != s->cells)
		series_start(&r->cell_V, cells);
	if (sensors != s->sensors || !r->temperatures.reported)
		series_start(&r->temperatures, sensors);
	s->cells = cells;
	s->sensors = sensors;
	reading_set(r, Q_CELL_COUNT, cells);
	return FRAME_ANSWER;
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

static enum verdict take_answer(struct device *dev, uint32_t id, struct bytes data, const char **why)
{
	struct reading *r = &dev->reading;

	switch (id) {
	case BASIC:
		table_numbers(ROWS(basic_rows), data, r);
		take_current(dev);
		break;
	case CAPACITY:
		return take_capacity(r, data, why);
	case PROTECTION:
		take_protection(dev, data);
		break;
	case SWITCHES:
		take_switches(r, data);
		break;
	case COUNTS:
		return take_counts(dev, data, why);
	case SENSORS:
	case MORE_SENSORS:
		take_native_sensors(dev, (id - SENSORS) * SENSORS_PER_FRAME, data);
		break;
	default:
		take_native_cells(dev, (id - FIRST_CELLS) * CELLS_PER_FRAME, data);
		break;
	}
	return FRAME_ANSWER;
}

/* These two are the hardest to hit by chance. Noise does not often fit, and never several times in a row. */
static void doubt(struct device *dev, uint32_t id, enum verdict verdict)
{
	struct state *s = dev->state;

	if (verdict == FRAME_BAD)
		s->doubts = DOUBTS;
	else if ((id == SOC || id == EXTREMES) && s->doubts)
		s->doubts--;
}

/* A text frame is all text; the others end in a checksum, where 0 says that there is none. */
static enum verdict take_native(struct device *dev, const struct can_message *m, struct bytes data, const char **why)
{
	struct state *s = dev->state;

	if (m->n != SIZE)
		return FRAME_FOREIGN;
	if (m->id >= FIRST_MODEL) {
		take_text(dev, T_MODEL, &s->model, m->id - FIRST_MODEL, MODEL_FRAMES, data);
		return FRAME_ANSWER;
	}
	if (!checksum_fits(m) && (u16be_at(data, CRC_AT) || !s->proved)) {
		*why = u16be_at(data, CRC_AT) ? "checksum" : "no checksum";
		return FRAME_BAD;
	}
	s->proved = true;
	return take_answer(dev, m->id, data, why);
}

static enum verdict jbd_take(struct device *dev, const struct request *as, struct bytes frame, const char **why)
{
	struct bytes data = can_data(frame);
	struct can_message m;

	if (!can_read(frame, &m) || row_of(m.id) != as->code || is_native(m.id) != (dev->dialect == NATIVE))
		return FRAME_FOREIGN;
	if (is_native(m.id))
		return take_native(dev, &m, data, why);
	enum verdict verdict = take_broadcast(dev, m.id, data, why);

	doubt(dev, m.id, verdict);
	return verdict;
}

/* ---- what was not repeated ---- */

static void forget_details(struct reading *r, const struct detail_row *row, size_t n)
{
	for (size_t i = 0; i < n; i++)
		reading_set_detail(r, row[i].name, NAN);
}

static void forget_limits(struct reading *r)
{
	for (size_t i = 0; i < sizeof(limit_rows) / sizeof(limit_rows[0]); i++)
		reading_forget(r, limit_rows[i].quantity);
	tell_permission(r, Q_BMS_CCL_A, F_CHARGE_ALLOWED);
	tell_permission(r, Q_BMS_DCL_A, F_DISCHARGE_ALLOWED);
}

static void forget_capacity(struct reading *r)
{
	reading_forget(r, Q_CAPACITY_FULL_AH);
	tell_remaining(r);
}

static void forget_names(struct reading *r)
{
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		reading_forget(r, named[i].number);
		reading_set_detail(r, named[i].pack, NAN);
	}
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
		forget_limits(r);
		break;
	case ALARMS:
		r->alarms = (struct alarms){.known = false};
		break;
	case INSTALLED: /* 35F may tell it again */
		s->installed = false;
		forget_capacity(r);
		break;
	case BATTERY:
		forget_details(r, ROWS(battery_details));
		if (!s->installed)
			forget_capacity(r);
		break;
	case PACKS:
		reading_forget(r, Q_PACK_COUNT);
		forget_details(r, ROWS(pack_details));
		break;
	case NAMES:
		forget_names(r);
		break;
	case PYLONTECH:
		s->pylontech = false;
		break;
	default:
		break;
	}
}

/* ---- identification: section 4 ---- */

#define CELL_LEAST_V 0.5
#define CELL_MOST_V  5.0
#define OFF_BY	     0.03

static bool native_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;
	double mean = reading_get(r, Q_VOLTAGE_V) / reading_get(r, Q_CELL_COUNT);

	*why = "the voltage does not fit the number of cells";
	if (!(mean >= CELL_LEAST_V && mean <= CELL_MOST_V))
		return false;
	*why = "the first cells are none";
	for (unsigned i = 0; i < CELLS_PER_FRAME && i < r->cell_V.count; i++)
		if (!series_knows(&r->cell_V, i) || r->cell_V.value[i] > CELL_MOST_V)
			return false;
	*why = "it tells no SoC";
	return reading_knows(r, Q_SOC_PCT) && reading_plausible(r, why);
}

static bool jbd_plausible(const struct device *dev, const char **why)
{
	const struct state *s = dev->state;
	const struct reading *r = &dev->reading;
	double lowest = reading_get(r, Q_CELL_MIN_V), highest = reading_get(r, Q_CELL_MAX_V);
	double V = reading_get(r, Q_VOLTAGE_V), cells = round(V / ((lowest + highest) / 2));

	if (dev->dialect == NATIVE)
		return native_plausible(dev, why);
	if (s->doubts)
		*why = "not everything under its identifiers is a battery's";
	else if (s->pylontech && dev->dialect != JBD)
		*why = "it speaks another way to its inverter";
	else if (!reading_knows(r, Q_SOC_PCT) || !reading_knows(r, Q_VOLTAGE_V) || !(lowest >= CELL_LEAST_V))
		*why = "it does not tell SoC, voltage, lowest and highest cell of a battery";
	else if (reading_get(r, Q_TEMP_MIN_C) > reading_get(r, Q_TEMP_MAX_C))
		*why = "its coldest sensor is the warmest";
	else if (!(cells <= MAX_CELLS) || V < cells * lowest * (1 - OFF_BY) || V > cells * highest * (1 + OFF_BY))
		*why = "the cells do not make up the voltage";
	else
		return reading_plausible(r, why);
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
	{SOC, 0, EVERY_POLL, true, streams},
	{MEASURED, 0, EVERY_POLL, true, streams},
	{EXTREMES, 0, EVERY_POLL, true, streams},
	{LIMITS, 0, 5000, false, streams},
	{ALARMS, 0, 5000, false, streams},
	{NAMES, 0, 5000, false, streams},
	{ALIVE, 0, 5000, false, streams},
	{PYLONTECH, 0, 10000, false, streams},
	{INSTALLED, 0, 30000, false, streams},
	{BATTERY, 0, 30000, false, streams},
	{PACKS, 0, 30000, false, streams},
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
		      QUANTITY(TEMP_MAX_C) | QUANTITY(CELL_MIN_NO) | QUANTITY(CELL_MAX_NO) | QUANTITY(TEMP_MIN_NO) |
		      QUANTITY(TEMP_MAX_NO) | QUANTITY(BMS_CVL_V) | QUANTITY(BMS_CCL_A) | QUANTITY(BMS_DCL_A) |
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
	.listen_size = sizeof(struct listening),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {COUNTS, CAPACITY, FIRST_CELLS},
	.confirm_count = 3,
	.encode = jbd_encode,
	.find_frame = can_find_frame,
	.take = jbd_take,
	.plausible = jbd_plausible,
	.parse_request = jbd_parse_request,
	.overhear = jbd_overhear,
	.may_ask = jbd_may_ask,
	.forget = jbd_forget,
};
