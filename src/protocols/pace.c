/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pace boards, the '~' frames of version 25, sheet pace. A pack answers at its own address, or the master of a
 * group answers for all of them (RS232). */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/ascii_1363.h"
#include "protocols/plausible.h"
#include "protocols/procedure.h"
#include "protocols/protocol.h"
#include "protocols/table.h"

extern const struct protocol pace_protocol;

enum { VERSION = 0x25, CLASS = 0x46, CLASS_4E = 0x4e, CLASS_4F = 0x4f }; /* sheet 1, ascii-1363 1 */

/* A request's code is its CID2. */
enum commands {
	ANALOG = 0x42,
	WARNINGS = 0x44,
	PACK_COUNT = 0x90,
	BUZZER = 0x99,
	CHARGE_SWITCH = 0x9a,
	DISCHARGE_SWITCH = 0x9b,
	SHUTDOWN = 0x9c,
	HISTORY = 0xa1,
	CAPACITIES = 0xa6,
	CLOCK = 0xb1,
	BOARD_VERSION = 0xc1,
	PRODUCT = 0xc2,
	GOBEL_VERSION = 0xc6,
	INTERFACES = 0xeb,
};

enum { ALL_PACKS = 0xff, SWITCHED_ON = 0, SWITCHED_OFF = 1 };

/*
 * OWN: address and ADR are the same. The others are of a master that knows more packs than itself, and tells of the
 * one whose number is asked: at ADR 01, where address is that number, or at ADR 00, where it is one less.
 */
enum dialect { OWN, BY_NUMBER, BY_NUMBER_FROM_0 };

enum { MASTER = 1, ALONE = 0 }; /* ADR, sheet 2 */

enum { PACE_MAX_CELLS = 24, PACE_MAX_SENSORS = 16, CELL_SENSORS = 4, MAX_TAIL = 40, MAX_PACKS = 16, WARN_TAIL = 2 };

struct state {
	bool nameless; /* it does not know C1 */
	bool refused;  /* the last switch command was */
	uint8_t on;    /* INSTRUCTION_ bits as last told */
};

enum { INSTRUCTION_CHARGE = 1 << 1, INSTRUCTION_DISCHARGE = 1 << 2 };

static const char *const wrong_length = "length of the reply";

/* ---- requests ---- */

/* ADR on the wire. */
static uint8_t adr_of(const struct device *dev)
{
	switch (dev->dialect) {
	case BY_NUMBER:
		return MASTER;
	case BY_NUMBER_FROM_0:
		return ALONE;
	default:
		return dev->address;
	}
}

/* The pack that 42 and 44 ask for. A board at ADR 00 is asked for all that it knows: it need not have a number. */
static uint8_t pack_of(const struct device *dev)
{
	if (adr_of(dev) != ALONE)
		return dev->address;
	return dev->address == ALONE ? ALL_PACKS : (uint8_t)(dev->address + 1);
}

/* A master answers 42 and 44 for the others, and nothing else (sheet 2, 9). */
static bool is_itself(const struct device *dev)
{
	return dev->dialect == OWN || dev->address == adr_of(dev);
}

static bool is_switch(uint16_t code)
{
	return code == CHARGE_SWITCH || code == DISCHARGE_SWITCH;
}

/* What this program asks. The neighbours of many reads are writes (sheet 4): no other code goes out. */
static bool is_offered(uint16_t code);

static bool pace_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	uint8_t info = 0;
	size_t n = 1;

	request_start(out, dev->protocol, dev->address, dev->dialect, code, arg);
	if (!is_offered(code))
		return false;
	if (dev->dialect == BY_NUMBER && !dev->address)
		return false;
	if (code == ANALOG || code == WARNINGS)
		info = pack_of(dev);
	else if (!is_itself(dev))
		return false;
	else if (is_switch(code))
		info = (uint8_t)arg;
	else
		n = 0;
	if (info == ALL_PACKS)
		out->first_ms *= 2; /* many packs take a second and a half (sheet 9) */
	out->writes = is_switch(code);
	out->address = adr_of(dev);
	ascii_1363_build(out, ASCII_1363_SOI, VERSION, CLASS, (uint8_t)code, (struct bytes){&info, n});
	out->address = dev->address;
	return true;
}

static bool pace_parse_request(struct bytes tx, struct request *out)
{
	struct ascii_1363 f;

	if (tx.n > MAX_REQUEST || u8_at(tx, 0) != ASCII_1363_SOI || !ascii_1363_open(tx, &f) || f.length_wrong)
		return false;
	if (f.ver != VERSION || f.cid1 != CLASS || f.adr >= MAX_PACKS)
		return false;
	request_start(out, &pace_protocol, f.adr, OWN, f.code, 0);
	if (f.code == ANALOG || f.code == WARNINGS) {
		if (f.n != 1 || (f.info[0] != ALL_PACKS && f.info[0] > MAX_PACKS))
			return false;
		if (f.adr <= MASTER && f.info[0] > 1 && f.info[0] != ALL_PACKS) {
			out->dialect = f.adr == MASTER ? BY_NUMBER : BY_NUMBER_FROM_0;
			out->address = (uint8_t)(f.info[0] - (f.adr == MASTER ? 0 : 1));
		}
	} else if (f.n) {
		out->arg = f.n == 1 ? f.info[0] : (uint16_t)(f.info[0] << 8 | f.info[1]);
	}
	out->writes = is_switch(f.code) || f.code == BUZZER || f.code == SHUTDOWN;
	request_put(out, tx);
	return true;
}

/* ---- the packs of one reply: sheet 5.1, 5.2 ---- */

/* What a reply to 42 or 44 says of how many packs, and the pack that is wanted. */
struct blocks {
	struct bytes of_all;
	unsigned count, wanted;
};

/* The second byte is the pack's number where one was asked: another's reply that is late. */
static bool is_of_another(const struct device *dev, const struct ascii_1363 *f)
{
	return dev->dialect != OWN && pack_of(dev) != ALL_PACKS && f->n > 1 && f->info[1] != pack_of(dev);
}

static bool find_blocks(const struct device *dev, const struct request *pending, const struct ascii_1363 *f,
			struct blocks *out)
{
	struct ascii_1363 asked;
	struct bytes info = ascii_1363_info(f);

	if (info.n < 3 || !ascii_1363_open((struct bytes){pending->tx, pending->n}, &asked))
		return false;
	*out = (struct blocks){bytes_sub(info, 2, info.n), 1, 0};
	if (asked.info[0] != ALL_PACKS)
		return true;
	out->count = u8_at(info, 1);
	out->wanted = dev->address - asked.adr; /* the first is the one that answers */
	return out->count >= 1 && out->count <= MAX_PACKS && out->wanted < out->count;
}

/* Bytes of a block up to the first that is not always there; 0: it can't be one. */
typedef size_t (*block_size)(struct bytes block);

/*
 * All blocks are of one size, unless packs differ in cells; then each is as long as its own counts say, with a
 * tail as long as makes all of them fit (sheet 5.1).
 */
static bool cut_block(const struct blocks *b, block_size size, size_t max_tail, struct bytes *out)
{
	for (size_t tail = 0; tail <= max_tail; tail++) {
		size_t at = 0;
		unsigned i = 0;

		for (; i < b->count; i++) {
			struct bytes rest = bytes_sub(b->of_all, at, b->of_all.n);
			size_t n = size(rest);

			if (!n || !bytes_has(rest, 0, n + tail))
				break;
			if (i == b->wanted)
				*out = bytes_sub(rest, 0, n + tail);
			at += n + tail;
		}
		if (i == b->count && at == b->of_all.n)
			return true;
	}
	return false;
}

/* ---- 42: sheet 5.1 ---- */

enum { ANALOG_FIXED = 13, CAPACITY_SIZE = 2 }; /* from the current to the design capacity */

static unsigned cells_in(struct bytes block)
{
	return u8_at(block, 0);
}

static unsigned sensors_in(struct bytes block)
{
	return u8_at(block, 1 + 2 * (size_t)cells_in(block));
}

static size_t analog_size(struct bytes block)
{
	unsigned m = cells_in(block), n = sensors_in(block);

	if (!m || m > PACE_MAX_CELLS || !n || n > PACE_MAX_SENSORS)
		return 0;
	return 2 + 2 * (size_t)m + 2 * (size_t)n + ANALOG_FIXED;
}

/* Counted from the current. */
static const struct number_row analog_rows[] = {
	{0, RAW_S16BE, 100, 0, Q_CURRENT_A},
	{2, RAW_U16BE, 1000, 0, Q_VOLTAGE_V},
	{4, RAW_U16BE, 100, 0, Q_CAPACITY_REMAINING_AH},
	{7, RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
	{9, RAW_U16BE, 1, 0, Q_CYCLES},
	{11, RAW_U16BE, 100, 0, Q_CAPACITY_DESIGN_AH},
};

/* Counted from behind the design capacity. */
static const struct detail_row tail_rows[] = {
	{1, RAW_U16BE, 100, 0, "capacity_tail_1_Ah"}, {3, RAW_U16BE, 100, 0, "capacity_tail_2_Ah"},
	{5, RAW_U16BE, 100, 0, "capacity_tail_3_Ah"}, {7, RAW_U16BE, 100, 0, "capacity_tail_4_Ah"},
	{10, RAW_U16BE, 1000, 0, "bus_voltage_V"},
};

enum { SOC_TAIL = 1, GOBEL_TAIL = 14 };

static double celsius(uint16_t raw)
{
	return (raw - 2730) / 10.0;
}

static void take_cells(struct reading *r, struct bytes block)
{
	unsigned m = cells_in(block);

	reading_set(r, Q_CELL_COUNT, m);
	series_start(&r->cell_V, m);
	for (unsigned i = 0; i < m; i++)
		series_set(&r->cell_V, i, u16be_at(block, 1 + 2 * (size_t)i) / 1000.0);
}

/* Four at the cells, then the MOS and the ambience (sheet 5.1); a history record tells only that there are so many. */
static void take_sensors(struct reading *r, struct bytes block, bool named)
{
	unsigned n = sensors_in(block), cells = 0;
	size_t at = 2 + 2 * (size_t)cells_in(block);

	reading_forget(r, Q_TEMP_MOS_C);
	reading_forget(r, Q_TEMP_AMBIENT_C);
	series_start(&r->temperatures, named && n > CELL_SENSORS ? CELL_SENSORS : n);
	for (unsigned i = 0; i < n; i++) {
		double t = celsius(u16be_at(block, at + 2 * (size_t)i));

		if (named && i == CELL_SENSORS)
			reading_set(r, Q_TEMP_MOS_C, t);
		else if (named && i == CELL_SENSORS + 1)
			reading_set(r, Q_TEMP_AMBIENT_C, t);
		else
			series_set(&r->temperatures, cells++, t);
	}
}

static void compute_soc(struct reading *r)
{
	double full = reading_get(r, Q_CAPACITY_FULL_AH);

	reading_forget(r, Q_SOC_PCT);
	if (full > 0)
		reading_set(r, Q_SOC_PCT, round(1000 * reading_get(r, Q_CAPACITY_REMAINING_AH) / full) / 10);
}

/* Which tail it is shows in its length, not in the count of user items (sheet 5.1). */
static void take_tail(struct reading *r, struct bytes tail)
{
	reading_forget(r, Q_SOH_PCT);
	if ((tail.n == SOC_TAIL || tail.n == GOBEL_TAIL) && u8_at(tail, 0) <= 100)
		reading_set(r, Q_SOC_PCT, u8_at(tail, 0));
	else
		compute_soc(r);
	if (tail.n != GOBEL_TAIL)
		return;
	if (u8_at(tail, 9) <= 100)
		reading_set(r, Q_SOH_PCT, u8_at(tail, 9));
	table_details(ROWS(tail_rows), tail, r);
}

/* A pack that is registered, but does not answer its master (sheet 5.1). */
static bool is_absent(struct bytes block)
{
	for (unsigned i = 0; i < cells_in(block); i++)
		if (u16be_at(block, 1 + 2 * (size_t)i))
			return false;
	return true;
}

static enum verdict take_analog(struct device *dev, const struct request *pending, const struct ascii_1363 *f,
				const char **why)
{
	struct reading *r = &dev->reading;
	struct blocks blocks;
	struct bytes block;

	if (is_of_another(dev, f))
		return FRAME_FOREIGN;
	if (!find_blocks(dev, pending, f, &blocks) || !cut_block(&blocks, analog_size, MAX_TAIL, &block)) {
		*why = wrong_length;
		return FRAME_BAD;
	}
	if (is_absent(block) && blocks.count == 1) {
		*why = "the pack is registered, but offline";
		return FRAME_BAD;
	}
	size_t size = analog_size(block);

	take_cells(r, block);
	take_sensors(r, block, true);
	table_numbers(ROWS(analog_rows), bytes_sub(block, size - ANALOG_FIXED, ANALOG_FIXED), r);
	take_tail(r, bytes_sub(block, size, block.n));
	return FRAME_ANSWER;
}

/* ---- 44: sheet 5.2, 6 ---- */

enum { WARN_FIXED = 12 };

/* Counted from behind the bytes of cells and sensors. */
enum warn_bytes {
	PROTECT_1 = 3,
	PROTECT_2,
	INSTRUCTION,
	CONTROL,
	FAULT,
	BALANCE_LOW,
	BALANCE_HIGH,
	WARN_1,
	WARN_2,
};

static const struct alarm_row protect_1_rows[] = {
	{0, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},   {1, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{2, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},	    {3, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{4, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL}, {5, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{6, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},	    {6, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{7, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
};

static const struct alarm_row protect_2_rows[] = {
	{0, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{1, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{2, ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{3, ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{4, ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{5, ALARM_RAISED, ALARM_COUNT, "ambient_high_temperature"},
	{6, ALARM_RAISED, ALARM_COUNT, "ambient_low_temperature"},
};

static const struct alarm_row fault_rows[] = {
	{0, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL}, {1, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{2, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL}, {4, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{5, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
};

static const struct alarm_row warn_1_rows[] = {
	{0, ALARM_WARNING, ALARM_HIGH_CELL_VOLTAGE, NULL},   {1, ALARM_WARNING, ALARM_LOW_CELL_VOLTAGE, NULL},
	{2, ALARM_WARNING, ALARM_HIGH_VOLTAGE, NULL},	     {3, ALARM_WARNING, ALARM_LOW_VOLTAGE, NULL},
	{4, ALARM_WARNING, ALARM_HIGH_CHARGE_CURRENT, NULL}, {5, ALARM_WARNING, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
};

/* The order is not that of protect 2. */
static const struct alarm_row warn_2_rows[] = {
	{0, ALARM_WARNING, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{1, ALARM_WARNING, ALARM_HIGH_TEMPERATURE, NULL},
	{2, ALARM_WARNING, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{3, ALARM_WARNING, ALARM_LOW_TEMPERATURE, NULL},
	{4, ALARM_WARNING, ALARM_COUNT, "ambient_high_temperature"},
	{5, ALARM_WARNING, ALARM_COUNT, "ambient_low_temperature"},
	{6, ALARM_WARNING, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{7, ALARM_WARNING, ALARM_LOW_SOC, NULL},
};

static const struct detail_row warn_details[] = {
	{0, RAW_U8, 1, 0, "charge_current_state"},    {1, RAW_U8, 1, 0, "voltage_state"},
	{2, RAW_U8, 1, 0, "discharge_current_state"}, {PROTECT_1, RAW_U8, 1, 0, "protect_1_bits"},
	{PROTECT_2, RAW_U8, 1, 0, "protect_2_bits"},  {INSTRUCTION, RAW_U8, 1, 0, "instruction_bits"},
	{CONTROL, RAW_U8, 1, 0, "control_bits"},      {FAULT, RAW_U8, 1, 0, "fault_bits"},
	{WARN_1, RAW_U8, 1, 0, "warn_1_bits"},	      {WARN_2, RAW_U8, 1, 0, "warn_2_bits"},
};

enum cell_states { CELL_OK = 0, CELL_LOW = 1, CELL_HIGH = 2, CELL_FAULT = 0xf0 };

/* Every byte that says how a cell or sensor is must be one of four: so 42 is not taken for 44. */
static bool states_possible(struct bytes states)
{
	for (size_t i = 0; i < states.n; i++)
		if (states.p[i] > CELL_HIGH && states.p[i] != CELL_FAULT)
			return false;
	return true;
}

static size_t warn_size(struct bytes block)
{
	size_t m = u8_at(block, 0), n = u8_at(block, 1 + m);

	if (!m || m > PACE_MAX_CELLS || n > PACE_MAX_SENSORS || !states_possible(bytes_sub(block, 1, m)) ||
	    !states_possible(bytes_sub(block, 2 + m, n)))
		return 0;
	return 2 + m + n + WARN_FIXED;
}

/* The number, from 1, of the first that is so; 0: none is. */
static unsigned first_that_is(enum cell_states what, struct bytes states)
{
	for (size_t i = 0; i < states.n; i++)
		if (states.p[i] == what)
			return (unsigned)i + 1;
	return 0;
}

static void take_states(struct reading *r, struct bytes cells, struct bytes sensors)
{
	reading_set_detail(r, "cell_below_limit_no", first_that_is(CELL_LOW, cells));
	reading_set_detail(r, "cell_above_limit_no", first_that_is(CELL_HIGH, cells));
	reading_set_detail(r, "cell_fault_no", first_that_is(CELL_FAULT, cells));
	reading_set_detail(r, "sensor_below_limit_no", first_that_is(CELL_LOW, sensors));
	reading_set_detail(r, "sensor_above_limit_no", first_that_is(CELL_HIGH, sensors));
	reading_set_detail(r, "sensor_fault_no", first_that_is(CELL_FAULT, sensors));
}

static void take_switches(struct device *dev, uint8_t instruction)
{
	struct state *s = dev->state;

	s->on = instruction & (INSTRUCTION_CHARGE | INSTRUCTION_DISCHARGE);
	reading_set_flag(&dev->reading, F_CHARGE_MOS, instruction & INSTRUCTION_CHARGE);
	reading_set_flag(&dev->reading, F_DISCHARGE_MOS, instruction & INSTRUCTION_DISCHARGE);
}

/* Sheet 6: the MOS is on and no protection speaks against it. */
static void take_permissions(struct device *dev, uint8_t protect_1, uint8_t protect_2)
{
	const struct state *s = dev->state;
	bool charge = !(protect_1 & 0x15) && !(protect_2 & 0x05);
	bool discharge = !(protect_1 & 0x6a) && !(protect_2 & 0x0a);

	reading_set_flag(&dev->reading, F_CHARGE_ALLOWED, charge && (s->on & INSTRUCTION_CHARGE));
	reading_set_flag(&dev->reading, F_DISCHARGE_ALLOWED, discharge && (s->on & INSTRUCTION_DISCHARGE));
}

static void take_alarms(struct reading *r, struct bytes fixed)
{
	alarms_clear(&r->alarms);
	table_alarms(ROWS(protect_1_rows), u8_at(fixed, PROTECT_1), &r->alarms);
	table_alarms(ROWS(protect_2_rows), u8_at(fixed, PROTECT_2), &r->alarms);
	table_alarms(ROWS(fault_rows), u8_at(fixed, FAULT), &r->alarms);
	table_alarms(ROWS(warn_1_rows), u8_at(fixed, WARN_1), &r->alarms);
	table_alarms(ROWS(warn_2_rows), u8_at(fixed, WARN_2), &r->alarms);
	table_details(ROWS(warn_details), fixed, r);
	reading_set_detail(r, "fully_charged", u8_at(fixed, PROTECT_2) >> 7);
}

static enum verdict take_warnings(struct device *dev, const struct request *pending, const struct ascii_1363 *f,
				  const char **why)
{
	struct reading *r = &dev->reading;
	struct blocks blocks;
	struct bytes block;

	if (is_of_another(dev, f))
		return FRAME_FOREIGN;
	if (!find_blocks(dev, pending, f, &blocks) || !cut_block(&blocks, warn_size, WARN_TAIL, &block)) {
		*why = wrong_length;
		return FRAME_BAD;
	}
	size_t m = u8_at(block, 0), n = u8_at(block, 1 + m);
	struct bytes fixed = bytes_sub(block, 2 + m + n, WARN_FIXED);

	if (reading_knows(r, Q_CELL_COUNT) && r->number[Q_CELL_COUNT] != (double)m) {
		*why = "the warnings are of another number of cells";
		return FRAME_BAD;
	}
	reading_set(r, Q_CELL_COUNT, (double)m);
	take_states(r, bytes_sub(block, 1, m), bytes_sub(block, 2 + m, n));
	take_alarms(r, fixed);
	take_switches(dev, u8_at(fixed, INSTRUCTION));
	take_permissions(dev, u8_at(fixed, PROTECT_1), u8_at(fixed, PROTECT_2));
	r->balancing = u8_at(fixed, BALANCE_LOW) | (uint64_t)u8_at(fixed, BALANCE_HIGH) << 8;
	r->balancing &= (UINT64_C(1) << m) - 1;
	r->balancing_known = true;
	reading_set_flag(r, F_BALANCING_ACTIVE, r->balancing);
	return FRAME_ANSWER;
}

/* ---- who it is: sheet 5.3 .. 5.6 ---- */

enum { NAME_SIZE = 20, GOBEL_HARDWARE_SIZE = 10 };

static bool printable(struct bytes text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] && !isprint(text.p[i]))
			return false;
	return true;
}

/* "P16S100A-1812-1.00" is the board and, behind the last '-', its firmware. */
static enum verdict take_version(struct device *dev, struct bytes info, const char **why)
{
	char text[MAX_TEXT];
	const char *dash;

	bytes_text(info, text, sizeof(text));
	if (info.n != NAME_SIZE || !printable(info) || !text[0]) {
		*why = "no board version";
		return FRAME_BAD;
	}
	reading_set_text(&dev->reading, T_HARDWARE_VERSION, text);
	dash = strrchr(text, '-');
	reading_set_text(&dev->reading, T_FIRMWARE_VERSION, dash ? dash + 1 : "");
	return FRAME_ANSWER;
}

static enum verdict take_product(struct device *dev, struct bytes info, const char **why)
{
	char text[MAX_TEXT];

	if ((info.n != NAME_SIZE && info.n != 2 * NAME_SIZE) || !printable(info)) {
		*why = "no product information";
		return FRAME_BAD;
	}
	bytes_text(bytes_sub(info, 0, NAME_SIZE), text, sizeof(text));
	settings_set_text(&dev->settings, "bms_serial", text);
	bytes_text(bytes_sub(info, NAME_SIZE, NAME_SIZE), text, sizeof(text));
	reading_set_text(&dev->reading, T_SERIAL_NUMBER, text);
	return FRAME_ANSWER;
}

static enum verdict take_gobel_version(struct device *dev, struct bytes info, const char **why)
{
	char text[MAX_TEXT];

	if (info.n != NAME_SIZE + GOBEL_HARDWARE_SIZE || !printable(info)) {
		*why = "no version";
		return FRAME_BAD;
	}
	bytes_text(bytes_sub(info, 0, NAME_SIZE), text, sizeof(text));
	settings_set_text(&dev->settings, "software_version", text);
	bytes_text(bytes_sub(info, NAME_SIZE, GOBEL_HARDWARE_SIZE), text, sizeof(text));
	settings_set_text(&dev->settings, "hardware_version", text);
	return FRAME_ANSWER;
}

/* Who knows of more packs than one is their master, and tells of each. */
static enum verdict take_pack_count(struct device *dev, struct bytes info, const char **why)
{
	unsigned count = u8_at(info, 0);

	if (info.n != 1 || count > MAX_PACKS) {
		*why = "no pack count";
		return FRAME_BAD;
	}
	reading_set(&dev->reading, Q_PACK_COUNT, count);
	if (count > 1 && dev->dialect == OWN && dev->address == MASTER)
		dev->dialect = BY_NUMBER;
	if (count > 1 && dev->dialect == OWN && dev->address == ALONE)
		dev->dialect = BY_NUMBER_FROM_0;
	return FRAME_ANSWER;
}

/* ---- configuration: sheet 8, 5.7, 5.8 ---- */

static const struct number_row capacity_rows[] = {
	{0, RAW_U16BE, 100, 0, Q_CAPACITY_REMAINING_AH},
	{2, RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
	{4, RAW_U16BE, 100, 0, Q_CAPACITY_DESIGN_AH},
};

enum { MAX_ROWS = 6 };

static const struct parameters {
	uint8_t code, size; /* of INFO */
	struct setting_row row[MAX_ROWS];
} parameters[] = {
	{0xd1,
	 8,
	 {{1, RAW_U16BE, 1000, 0, "cell_ov_warn_V", SETTING_NUMBER},
	  {3, RAW_U16BE, 1000, 0, "cell_ovp_V", SETTING_NUMBER},
	  {5, RAW_U16BE, 1000, 0, "cell_ovpr_V", SETTING_NUMBER},
	  {7, RAW_U8, 10, 0, "cell_ovp_delay_s", SETTING_NUMBER}}},
	{0xd3,
	 8,
	 {{1, RAW_U16BE, 1000, 0, "cell_uv_warn_V", SETTING_NUMBER},
	  {3, RAW_U16BE, 1000, 0, "cell_uvp_V", SETTING_NUMBER},
	  {5, RAW_U16BE, 1000, 0, "cell_uvpr_V", SETTING_NUMBER},
	  {7, RAW_U8, 10, 0, "cell_uvp_delay_s", SETTING_NUMBER}}},
	{0xd5,
	 8,
	 {{1, RAW_U16BE, 1000, 0, "pack_ov_warn_V", SETTING_NUMBER},
	  {3, RAW_U16BE, 1000, 0, "pack_ovp_V", SETTING_NUMBER},
	  {5, RAW_U16BE, 1000, 0, "pack_ovpr_V", SETTING_NUMBER},
	  {7, RAW_U8, 10, 0, "pack_ovp_delay_s", SETTING_NUMBER}}},
	{0xd7,
	 8,
	 {{1, RAW_U16BE, 1000, 0, "pack_uv_warn_V", SETTING_NUMBER},
	  {3, RAW_U16BE, 1000, 0, "pack_uvp_V", SETTING_NUMBER},
	  {5, RAW_U16BE, 1000, 0, "pack_uvpr_V", SETTING_NUMBER},
	  {7, RAW_U8, 10, 0, "pack_uvp_delay_s", SETTING_NUMBER}}},
	{0xd9,
	 6,
	 {{1, RAW_U16BE, 1, 0, "charge_oc_warn_A", SETTING_NUMBER},
	  {3, RAW_U16BE, 1, 0, "charge_ocp_A", SETTING_NUMBER},
	  {5, RAW_U8, 10, 0, "charge_ocp_delay_s", SETTING_NUMBER}}},
	{0xdb, /* told negative */
	 6,
	 {{1, RAW_S16BE, -1, 0, "discharge_oc_warn_A", SETTING_NUMBER},
	  {3, RAW_S16BE, -1, 0, "discharge_ocp_A", SETTING_NUMBER},
	  {5, RAW_U8, 10, 0, "discharge_ocp_delay_s", SETTING_NUMBER}}},
	{0xdd,
	 13,
	 {{1, RAW_U16BE, 10, -2730, "charge_ot_warn_C", SETTING_NUMBER},
	  {3, RAW_U16BE, 10, -2730, "charge_otp_C", SETTING_NUMBER},
	  {5, RAW_U16BE, 10, -2730, "charge_otpr_C", SETTING_NUMBER},
	  {7, RAW_U16BE, 10, -2730, "discharge_ot_warn_C", SETTING_NUMBER},
	  {9, RAW_U16BE, 10, -2730, "discharge_otp_C", SETTING_NUMBER},
	  {11, RAW_U16BE, 10, -2730, "discharge_otpr_C", SETTING_NUMBER}}},
	{0xdf,
	 13,
	 {{1, RAW_U16BE, 10, -2730, "charge_ut_warn_C", SETTING_NUMBER},
	  {3, RAW_U16BE, 10, -2730, "charge_utp_C", SETTING_NUMBER},
	  {5, RAW_U16BE, 10, -2730, "charge_utpr_C", SETTING_NUMBER},
	  {7, RAW_U16BE, 10, -2730, "discharge_ut_warn_C", SETTING_NUMBER},
	  {9, RAW_U16BE, 10, -2730, "discharge_utp_C", SETTING_NUMBER},
	  {11, RAW_U16BE, 10, -2730, "discharge_utpr_C", SETTING_NUMBER}}},
	{0xe1,
	 7,
	 {{1, RAW_U16BE, 10, -2730, "mos_ot_warn_C", SETTING_NUMBER},
	  {3, RAW_U16BE, 10, -2730, "mos_otp_C", SETTING_NUMBER},
	  {5, RAW_U16BE, 10, -2730, "mos_otpr_C", SETTING_NUMBER}}},
	{0xe3, /* the last three bytes mean nothing */
	 6,
	 {{1, RAW_U8, 1, 0, "discharge_ocp2_A", SETTING_NUMBER},
	  {2, RAW_U8, 40, 0, "discharge_ocp2_delay_s", SETTING_NUMBER}}},
	{0xe5, 1, {{0, RAW_U8, 0.04, 0, "short_circuit_delay_us", SETTING_NUMBER}}},
	{0xe7,
	 13,
	 {{1, RAW_U16BE, 10, -2730, "ambient_ut_warn_C", SETTING_NUMBER},
	  {3, RAW_U16BE, 10, -2730, "ambient_utp_C", SETTING_NUMBER},
	  {5, RAW_U16BE, 10, -2730, "ambient_utpr_C", SETTING_NUMBER},
	  {7, RAW_U16BE, 10, -2730, "ambient_ot_warn_C", SETTING_NUMBER},
	  {9, RAW_U16BE, 10, -2730, "ambient_otp_C", SETTING_NUMBER},
	  {11, RAW_U16BE, 10, -2730, "ambient_otpr_C", SETTING_NUMBER}}},
	{0xb6,
	 4,
	 {{0, RAW_U16BE, 1000, 0, "balance_start_V", SETTING_NUMBER},
	  {2, RAW_U16BE, 1000, 0, "balance_trigger_V", SETTING_NUMBER}}},
	{0xa0,
	 4,
	 {{0, RAW_U16BE, 1000, 0, "sleep_cell_V", SETTING_NUMBER},
	  {3, RAW_U8, 1, 0, "sleep_delay_min", SETTING_NUMBER}}},
	{0xaf,
	 5,
	 {{0, RAW_U16BE, 1000, 0, "full_charge_V", SETTING_NUMBER},
	  {2, RAW_U16BE, 1000, 0, "full_charge_A", SETTING_NUMBER},
	  {4, RAW_U8, 1, 0, "low_soc_warn_pct", SETTING_NUMBER}}},
	{0xed, 2, {{1, RAW_U8, 1, 0, "limiter_start_A", SETTING_NUMBER}}},
};

static const char *const can_protocols[] = {
	"PACE",	      "Pylon",	      "Growatt",   "Victron", "Schneider", "LuxPower", "SRD",	       "SMA",
	"GoodWe",     "Studer",	      "Sofar",	   "Must",    "Solis",	   "TBB/DIDU", "Senergy",      "TBB",
	"Pylon V202", "Growatt V109", "Must V202", "Afore",   "INVT",	   "FUJI",     "Sofar V21003",
};

static const char *const rs485_protocols[] = {
	"Pace Modbus", "Pylon",		"Growatt", "Voltronic",	 "Schneider",	 "Phocos",	 "LuxPower",
	"Solar",       "Lithium/Smark", "EP",	   "RTU04",	 "LuxPower V01", "LuxPower V03", "SRNE",
	"Leoch",       "Pylon F",	"Afore",   "UPS AGXN",	 "Orex",	 "Xiongtao",	 "Rongke",
	"Xinrui",      "Eltek",		"GT",	   "Leoch V106",
};

static void note_interface(struct device *dev, const char *name, const char *const *names, size_t n, uint8_t which)
{
	char text[MAX_SETTING_TEXT];

	if (which < n)
		snprintf(text, sizeof(text), "%s", names[which]);
	else
		snprintf(text, sizeof(text), which == 0xff ? "off" : "%02X", which);
	settings_set_text(&dev->settings, name, text);
}

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void take_interfaces(struct device *dev, struct bytes info)
{
	static const char *const how[] = {"auto", "manual"};

	note_interface(dev, "can_protocol", can_protocols, COUNT(can_protocols), u8_at(info, 0));
	note_interface(dev, "rs485_protocol", rs485_protocols, COUNT(rs485_protocols), u8_at(info, 1));
	note_interface(dev, "protocol_choice", how, COUNT(how), u8_at(info, 2));
}

static const struct parameters *parameters_of(uint16_t code)
{
	for (size_t i = 0; i < COUNT(parameters); i++)
		if (parameters[i].code == code)
			return &parameters[i];
	return NULL;
}

static bool is_offered(uint16_t code)
{
	static const uint8_t others[] = {ANALOG, WARNINGS,	PACK_COUNT, CHARGE_SWITCH, DISCHARGE_SWITCH, CAPACITIES,
					 CLOCK,	 BOARD_VERSION, PRODUCT,    GOBEL_VERSION, INTERFACES};

	for (size_t i = 0; i < COUNT(others); i++)
		if (others[i] == code)
			return true;
	return parameters_of(code) != NULL;
}

/* Six bytes from the year on, plain binary. */
static void clock_text(struct bytes b, char *out, size_t size)
{
	snprintf(out, size, "%04u-%02u-%02u %02u:%02u:%02u", 2000u + u8_at(b, 0), u8_at(b, 1), u8_at(b, 2), u8_at(b, 3),
		 u8_at(b, 4), u8_at(b, 5));
}

static enum verdict take_fixed(struct device *dev, uint16_t code, struct bytes info, const char **why)
{
	const struct parameters *p = parameters_of(code);
	size_t size = p ? p->size : code == INTERFACES ? 3 : code == CLOCK || code == CAPACITIES ? 6 : SIZE_MAX;
	char text[32];

	if (info.n != size) {
		*why = wrong_length;
		return FRAME_BAD;
	}
	for (unsigned k = 0; p && k < MAX_ROWS && p->row[k].name; k++)
		table_settings(&p->row[k], 1, info, &dev->settings);
	if (code == CAPACITIES)
		table_numbers(ROWS(capacity_rows), info, &dev->reading);
	if (code == INTERFACES)
		take_interfaces(dev, info);
	if (code == CLOCK) {
		clock_text(info, text, sizeof(text));
		settings_set_text(&dev->settings, "clock", text);
	}
	return FRAME_ANSWER;
}

/* ---- history: sheet 5.8 ---- */

enum { HISTORY_CLOCK = 6, HISTORY_FIXED = 20 };

static const struct number_row history_rows[] = {
	{0, RAW_S16BE, 100, 0, Q_CURRENT_A},
	{2, RAW_U16BE, 1000, 0, Q_VOLTAGE_V},
	{4, RAW_U16BE, 100, 0, Q_CAPACITY_REMAINING_AH},
	{6, RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
};

/* A record of the past, in a recording; nobody here asks for one. No INFO: there are no more. */
static enum verdict take_history(struct device *dev, struct bytes info, const char **why)
{
	struct bytes block = bytes_sub(info, HISTORY_CLOCK, info.n);
	size_t size = analog_size(block);
	char text[32];

	if (!info.n)
		return FRAME_ANSWER;
	if (!size || block.n != size - ANALOG_FIXED + HISTORY_FIXED) {
		*why = wrong_length;
		return FRAME_BAD;
	}
	clock_text(info, text, sizeof(text));
	settings_set_text(&dev->settings, "history_clock", text);
	take_cells(&dev->reading, block);
	take_sensors(&dev->reading, block, false);
	table_numbers(ROWS(history_rows), bytes_sub(block, size - ANALOG_FIXED, HISTORY_FIXED), &dev->reading);
	bytes_hex(bytes_sub(block, block.n - 12, 12), text, sizeof(text));
	settings_set_text(&dev->settings, "history_codes", text);
	return FRAME_ANSWER;
}

/* ---- taking a reply ---- */

enum { UNKNOWN_COMMAND = 0x04, OPERATION_FAILED = 0x09 }; /* return codes */
enum { EMPTY_FRAME = 18 };				  /* characters of a frame without INFO */

/* 9A and 9B tell the state of both switches, also when they refuse (sheet 7). */
static enum verdict take_switched(struct device *dev, const struct ascii_1363 *f, const char **why)
{
	struct state *s = dev->state;

	if (f->n > 1) {
		*why = wrong_length;
		return FRAME_BAD;
	}
	s->refused = f->code != 0;
	if (f->n)
		take_switches(dev, f->info[0]);
	return FRAME_ANSWER;
}

static enum verdict take_info(struct device *dev, const struct request *pending, const struct ascii_1363 *f,
			      const char **why)
{
	struct bytes info = ascii_1363_info(f);

	switch (pending->code) {
	case ANALOG:
		return take_analog(dev, pending, f, why);
	case WARNINGS:
		return take_warnings(dev, pending, f, why);
	case PACK_COUNT:
		return take_pack_count(dev, info, why);
	case BOARD_VERSION:
		return take_version(dev, info, why);
	case PRODUCT:
		return take_product(dev, info, why);
	case GOBEL_VERSION:
		return take_gobel_version(dev, info, why);
	case CHARGE_SWITCH:
	case DISCHARGE_SWITCH:
		return take_switched(dev, f, why);
	case HISTORY:
		return take_history(dev, info, why);
	case BUZZER:
	case SHUTDOWN:
		return FRAME_ANSWER;
	default:
		if (!info.n && pending->n > EMPTY_FRAME) /* a write that somebody else has made */
			return FRAME_ANSWER;
		return take_fixed(dev, pending->code, info, why);
	}
}

/* Boards of other chemistries answer with a class of their own. */
static bool is_other_chemistry(const struct request *pending, const struct ascii_1363 *f, uint8_t adr)
{
	return pending->n && f->ver == VERSION && f->adr == adr && !f->code && !f->length_wrong &&
	       (f->cid1 == CLASS_4E || f->cid1 == CLASS_4F);
}

/* Some boards send 42 and 44 with a wrong LENGTH (sheet 3): believed of one that has told rightly what it is. */
static bool trusted(const struct device *dev, const struct request *pending)
{
	return dev->reading.text[T_HARDWARE_VERSION][0] && (pending->code == ANALOG || pending->code == WARNINGS);
}

static enum verdict pace_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct state *s = dev->state;
	struct ascii_1363 f = {.n = 0}, asked;
	enum verdict verdict = ascii_1363_judge(pending, frame, trusted(dev, pending), &f, why);

	if (verdict == FRAME_FOREIGN && frame.n && ascii_1363_open((struct bytes){pending->tx, pending->n}, &asked) &&
	    is_other_chemistry(pending, &f, asked.adr))
		verdict = FRAME_ANSWER;
	if (verdict == FRAME_REFUSED && f.ver == VERSION && pending->code == BOARD_VERSION &&
	    f.code == UNKNOWN_COMMAND) {
		s->nameless = true; /* odd firmware, but its own (sheet 4) */
		return FRAME_ANSWER;
	}
	if (verdict == FRAME_REFUSED && is_switch(pending->code) && f.code == OPERATION_FAILED)
		return take_switched(dev, &f, why);
	if (verdict != FRAME_ANSWER)
		return verdict;
	verdict = take_info(dev, pending, &f, why);
	if (verdict == FRAME_ANSWER)
		reading_set(&dev->reading, Q_ADDRESS, dev->address);
	return verdict;
}

static bool pace_further(const struct request *pending, struct bytes frame, unsigned nth, struct request *as)
{
	struct ascii_1363 f;

	if ((pending->code != ANALOG && pending->code != WARNINGS) || !ascii_1363_open(frame, &f) || f.n < 2 ||
	    nth >= f.info[1])
		return false;
	uint8_t packs = f.info[1];
	if (!ascii_1363_open((struct bytes){pending->tx, pending->n}, &f) || f.info[0] != ALL_PACKS ||
	    packs > MAX_PACKS)
		return false;
	*as = *pending;
	as->address = (uint8_t)(pending->address + nth);
	return true;
}

static bool pace_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;
	const struct state *s = dev->state;

	if (!r->cell_V.count || (!r->text[T_HARDWARE_VERSION][0] && !s->nameless)) {
		*why = "version and cells have not both been told";
		return false;
	}
	if (!cells_make_up_voltage(r) || !temperatures_within(r, -60, 120)) {
		*why = "cells, pack voltage and temperatures do not fit each other";
		return false;
	}
	return reading_plausible(r, why);
}

/* ---- commands: sheet 7 ---- */

enum { READ_BACKS = 4, READ_BACK_WAIT_MS = 500 };

static void read_back_switch(struct device *dev, struct procedure *p, struct next *next)
{
	bool charge = p->command->kind == COMMAND_CHARGE, want_on = p->command->value != 0;
	const char *name = charge ? "charge" : "discharge";
	bool answered = false, on = false;

	for (int i = 0; i < READ_BACKS; i++) {
		if (i && !step_wait(p, next, READ_BACK_WAIT_MS))
			return;
		if (!step_ask(dev, p, next, WARNINGS, 0))
			return;
		answered = step_result(p) == STEP_ANSWERED;
		on = reading_flag(&dev->reading, charge ? F_CHARGE_MOS : F_DISCHARGE_MOS) == ON;
		if (answered && on == want_on) {
			step_end(next, COMMAND_DONE, "%s MOS reads back %s", name, on ? "on" : "off");
			return;
		}
	}
	if (!answered)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
	else if (want_on)
		step_end(next, COMMAND_UNCONFIRMED,
			 "sent, but the %s MOS stays off: a protection may hold it (see Alarms)", name);
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the %s MOS reads back on", name);
}

/* What the firmware never does (sheet 7). */
static const char *rule_of(const struct procedure *p)
{
	if (p->command->value != 0)
		return "refused by the board";
	return p->command->kind == COMMAND_CHARGE
		       ? "refused by the board: charging can't be switched off while it discharges, nor with the "
			 "discharge MOS off"
		       : "refused by the board: discharging can't be switched off while it charges, nor with the "
			 "charge MOS off";
}

static void pace_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	const struct state *s = dev->state;
	bool charge = p->command->kind == COMMAND_CHARGE;
	uint16_t how = p->command->value != 0 ? SWITCHED_ON : SWITCHED_OFF;

	if (!is_itself(dev)) {
		step_end(next, COMMAND_REFUSED,
			 "the master of this group only tells of this pack: connect to its own port");
		return;
	}
	if (!step_ask(dev, p, next, charge ? CHARGE_SWITCH : DISCHARGE_SWITCH, how))
		return;
	if (step_is_new(p))
		p->memo[0] = s->refused;
	if (step_result(p) == STEP_REFUSED)
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
	else if (step_result(p) == STEP_ANSWERED && p->memo[0])
		step_end(next, COMMAND_REFUSED, "%s", rule_of(p));
	else
		read_back_switch(dev, p, next);
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{9600, 8, 'N', 1}, {19200, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Pace", NULL};

#define SLOWLY 900000

static const struct poll polls[] = {
	{ANALOG, 0, EVERY_POLL, true, NULL},  {WARNINGS, 0, EVERY_POLL, true, NULL},
	{PACK_COUNT, 0, ONCE, false, NULL},   {BOARD_VERSION, 0, ONCE, false, NULL},
	{PRODUCT, 0, ONCE, false, NULL},      {GOBEL_VERSION, 0, SLOWLY, false, NULL},
	{0xd1, 0, SLOWLY, false, NULL},	      {0xd3, 0, SLOWLY, false, NULL},
	{0xd5, 0, SLOWLY, false, NULL},	      {0xd7, 0, SLOWLY, false, NULL},
	{0xd9, 0, SLOWLY, false, NULL},	      {0xdb, 0, SLOWLY, false, NULL},
	{0xdd, 0, SLOWLY, false, NULL},	      {0xdf, 0, SLOWLY, false, NULL},
	{0xe1, 0, SLOWLY, false, NULL},	      {0xe3, 0, SLOWLY, false, NULL},
	{0xe5, 0, SLOWLY, false, NULL},	      {0xe7, 0, SLOWLY, false, NULL},
	{0xb6, 0, SLOWLY, false, NULL},	      {0xa0, 0, SLOWLY, false, NULL},
	{0xaf, 0, SLOWLY, false, NULL},	      {0xed, 0, SLOWLY, false, NULL},
	{INTERFACES, 0, SLOWLY, false, NULL}, {CLOCK, 0, SLOWLY, false, NULL},
};

static const struct probe probes[] = {
	{BOARD_VERSION, 0, ALONE, 0, OWN, 0, 120, false},
	{BOARD_VERSION, 0, MASTER, MAX_PACKS - 1, OWN, 1, 120, false},
};

#define Q(id) (UINT64_C(1) << Q_##id)
#define F(id) (1u << F_##id)
#define A(id) (1u << ALARM_##id)

const struct protocol pace_protocol = {
	.id = "pace",
	.title = "Pace, Gobel Power, Jakiper, SOK, Revov, PbmsTools packs",
	.manufacturer = "PACE",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 500,
		   .gap_ms = 200,
		   .pause_ms = 100,
		   .late_ms = 800,
		   .scan_ms = 180,
		   .tries = 3,
		   .poll_ms = 1000},
	.quantities = Q(ADDRESS) | Q(PACK_COUNT) | Q(VOLTAGE_V) | Q(CURRENT_A) | Q(SOC_PCT) | Q(SOH_PCT) |
		      Q(CAPACITY_FULL_AH) | Q(CAPACITY_DESIGN_AH) | Q(CAPACITY_REMAINING_AH) | Q(CYCLES) |
		      Q(CELL_COUNT) | Q(TEMP_MOS_C) | Q(TEMP_AMBIENT_C),
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING,
	.flags = F(BALANCING_ACTIVE) | F(CHARGE_MOS) | F(DISCHARGE_MOS) | F(CHARGE_ALLOWED) | F(DISCHARGE_ALLOWED),
	.alarms = A(HIGH_VOLTAGE) | A(LOW_VOLTAGE) | A(HIGH_CELL_VOLTAGE) | A(LOW_CELL_VOLTAGE) | A(LOW_SOC) |
		  A(HIGH_CHARGE_CURRENT) | A(HIGH_DISCHARGE_CURRENT) | A(INTERNAL_FAILURE) |
		  A(HIGH_CHARGE_TEMPERATURE) | A(LOW_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) | A(LOW_TEMPERATURE) |
		  A(HIGH_INTERNAL_TEMPERATURE) | A(SHORT_CIRCUIT),
	.commands = 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE,
	.first_address = 0,
	.last_address = MAX_PACKS - 1,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = COUNT(polls),
	.probes = probes,
	.probe_count = COUNT(probes),
	.confirm = {ANALOG},
	.confirm_count = 1,
	.encode = pace_encode,
	.find_frame = ascii_1363_find,
	.take = pace_take,
	.plausible = pace_plausible,
	.parse_request = pace_parse_request,
	.further = pace_further,
	.proceed = pace_proceed,
};
