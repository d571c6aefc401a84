/* SPDX-License-Identifier: GPL-3.0-or-later */
/* JBD UP series (UP16S...) on RS485, RS232 and the UART of its radio stick, sheet jbd-up16s: frames that look like
 * Modbus but name a range of bytes. The master answers for its slaves, though not everything. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/checksum.h"
#include "protocols/modbus_rtu.h"
#include "protocols/plausible.h"
#include "protocols/procedure.h"
#include "protocols/table.h"

extern const struct protocol jbd_up16s_protocol;

/* Of a frame that the packs' own master got from one of them, the code says nothing: it tells itself. */
enum dialect { ASKED, OVERHEARD };

enum function { READ = 0x78, WRITE = 0x79, INDIVIDUAL_STATUS = 0x45 };

/* Codes of requests: of 78 where the block begins. */
enum code {
	CONFIRM = 0x01, /* whatever else this pack must know */
	INDIVIDUAL = INDIVIDUAL_STATUS,
	STATUS = 0x1000,
	PROTECTION = 0x1800,
	IDENTITY = 0x1c00,
	CAPACITY = 0x2000,
	TOTALS = 0x2006,
	WIFI = 0x2400,
	CLOCK = 0x2800,
	PRODUCT = 0x2810,
	DEBUG_BLOCK = 0x2900,
	SET_SOC = 0x7901, /* arg: 0.01 % */
	SET_MOS = 0x7902, /* arg: the MOS word */
};

enum {
	MASTER = 1,
	LAST_ADDRESS = 16,
	HEAD = 8,   /* address, function, start, end, length */
	FRAME = 10, /* and the CRC */
	MAX_DATA = 512,
	UP_MAX_CELLS = 32,
	UP_MAX_SENSORS = 8,
	BALANCE_BITS = 16,
	PARTIAL_READS = 12, /* firmware from which on a block can be read from its middle */
	KEYED_WRITE = 6,    /* key and one word */
	UNSURE_MS = 400,    /* for an answer that a master may not forward */
	UNSURE_TRIES = 2,
	OWN_LIMITS_STATUSES = 100, /* for so many they hold without being told again */
};

static const uint8_t key[] = {0x11, 'J', 'B', 'D'};

static const struct block {
	uint16_t start, end, shortest; /* bytes that its reply has at least */
} blocks[] = {
	{STATUS, 0x10a0, 100},	{PROTECTION, 0x1900, 208}, {IDENTITY, 0x1ca0, 118},
	{CAPACITY, 0x2050, 24}, {TOTALS, 0x2018, 18},	   {WIFI, 0x2450, 0},
	{CLOCK, 0x280f, 12},	{PRODUCT, 0x283c, 44},	   {DEBUG_BLOCK, 0x2910, 0},
};

/* A discharge limit of 0 that lasts one reading only is a mistake of the firmware (sheet 10). */
struct limit {
	bool known, was_0;
	double A;
};

struct state {
	bool status_known;
	bool direct;			  /* it has answered more than its status: no master stands between */
	bool fault;			  /* the last status has a fault bit */
	uint8_t statuses, identity_asked; /* how often, the first modulo 256 */
	uint16_t mos_word;
	uint8_t firmware_major; /* 0: not known */
	unsigned packs;		/* on the cable, of the master; 0: not the master, or not known */
	bool product_known, model_known;
	struct limit dcl, own_dcl; /* of the status, and of this pack alone */
	bool own_ccl_known;
	uint8_t own_age; /* statuses since then */
	double own_ccl;
};

/* ---- framing: sheet 3 ---- */

static const struct block *block_at(uint16_t start)
{
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		if (blocks[i].start == start)
			return &blocks[i];
	return NULL;
}

/* How far the beginning of in can be a frame of anybody: HEAD bytes, or as many as are there. */
static bool head_fits(struct bytes in)
{
	uint8_t address = u8_at(in, 0), function = u8_at(in, 1);

	if (address < MASTER || address > LAST_ADDRESS)
		return false;
	if (in.n > 1 && function != READ && function != WRITE && function != INDIVIDUAL_STATUS)
		return false;
	return in.n < HEAD || u16be_at(in, 6) <= MAX_DATA;
}

/* What a Modbus device that does not know our functions says. */
static int find_exception(const struct request *pending, struct bytes in)
{
	bool exception = pending && u8_at(in, 0) == pending->tx[0] && in.n > 1 &&
			 u8_at(in, 1) == (pending->tx[1] | MODBUS_EXCEPTION);

	if (!exception)
		return -1;
	if (!bytes_has(in, 0, 5))
		return 0;
	return modbus_crc_fits(bytes_sub(in, 0, 5)) ? 5 : -1;
}

/* The beginning of what the pending request is answered by: it is worth waiting for. */
static bool awaited(const struct request *pending, struct bytes in)
{
	size_t n = in.n < 6 ? in.n : 6;

	return !pending || memcmp(in.p, pending->tx, n) == 0;
}

static int up_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	size_t size = (size_t)u16be_at(in, 6) + FRAME;
	int exception = head_fits(in) ? -1 : find_exception(pending, in);
	bool ours = awaited(pending, in);

	if (exception >= 0)
		return exception || !quiet ? exception : -1;
	if (!head_fits(in))
		return -1;
	if (bytes_has(in, 0, HEAD) && bytes_has(in, 0, size)) {
		if (modbus_crc_fits(bytes_sub(in, 0, size)))
			return (int)size;
		if (pending && ours)
			*why = "checksum";
		return -1;
	}
	if (!quiet && ours)
		return 0;
	if (pending && ours && bytes_has(in, 0, HEAD))
		*why = "frame cut short";
	return -1;
}

/* ---- requests ---- */

static void put_frame(struct request *out, uint8_t function, uint16_t start, uint16_t end, struct bytes values)
{
	uint8_t head[HEAD] = {out->address, function}, crc[2];

	put_u16be(head + 2, start);
	put_u16be(head + 4, end);
	put_u16be(head + 6, (uint16_t)values.n);
	request_put(out, (struct bytes){head, HEAD});
	if (values.n)
		request_put(out, values);
	put_u16le(crc, crc16_modbus((struct bytes){out->tx, out->n}));
	request_put(out, (struct bytes){crc, 2});
}

static void put_write(struct request *out, uint16_t start, uint16_t word)
{
	uint8_t values[KEYED_WRITE];

	memcpy(values, key, sizeof(key));
	put_u16be(values + sizeof(key), word);
	put_frame(out, WRITE, start, (uint16_t)(start + 2), (struct bytes){values, sizeof(values)});
	out->writes = true;
}

/* What a master forwards of a slave lacks the first half of the firmware's version. */
static bool seems_direct(const struct device *dev)
{
	const struct state *s = dev->state;

	return dev->address == MASTER || s->direct || s->firmware_major;
}

static bool up_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	static const struct bytes none = {NULL, 0};

	if (dev->address < MASTER || dev->address > LAST_ADDRESS)
		return false;
	/* A pack that its master answers for has a status and nothing else. */
	if (code == CONFIRM)
		code = dev->address == MASTER ? INDIVIDUAL : STATUS;
	const struct block *block = block_at(code);
	struct state *s = dev->state;

	request_start(out, dev->protocol, dev->address, ASKED, code, arg);
	/* Often it is not answered: no time for that. */
	if (code == IDENTITY && !seems_direct(dev))
		out->first_ms = UNSURE_MS;
	if (code == IDENTITY && s->identity_asked < UINT8_MAX)
		s->identity_asked++;
	if (code == INDIVIDUAL)
		put_frame(out, INDIVIDUAL_STATUS, 0x0000, 0x0054, none);
	else if (code == SET_SOC)
		put_write(out, 0x2006, arg);
	else if (code == SET_MOS)
		put_write(out, 0x2902, arg);
	else if (block)
		put_frame(out, READ, block->start, block->end, none);
	else
		return false;
	return true;
}

/* 0: no request of ours. */
static uint16_t code_of(struct bytes tx)
{
	uint8_t function = u8_at(tx, 1);
	uint16_t start = u16be_at(tx, 2), n = u16be_at(tx, 6);

	if (function == READ && n == 0)
		return block_at(start) ? start : 0;
	if (function == INDIVIDUAL_STATUS && n == 0)
		return start == 0 ? INDIVIDUAL : 0;
	if (function != WRITE || n != KEYED_WRITE || !bytes_has(tx, HEAD, sizeof(key)) ||
	    memcmp(tx.p + HEAD, key, sizeof(key)) != 0)
		return 0;
	return start == 0x2006 ? SET_SOC : start == 0x2902 ? SET_MOS : 0;
}

static bool up_parse_request(struct bytes tx, struct request *out)
{
	uint16_t code = code_of(tx);

	if (!tx.n || !head_fits(tx) || !code || tx.n != (size_t)u16be_at(tx, 6) + FRAME || !modbus_crc_fits(tx))
		return false;
	request_start(out, &jbd_up16s_protocol, u8_at(tx, 0), ASKED, code, 0);
	if (code == SET_SOC || code == SET_MOS) {
		out->arg = u16be_at(tx, HEAD + sizeof(key));
		out->writes = true;
	}
	request_put(out, tx);
	return true;
}

/* ---- the status: sheet 5.1 ---- */

enum {
	OFF_FAULTS = 24,
	OFF_WARNINGS = 28,
	OFF_MOS = 32,
	OFF_CCL = 60,
	OFF_DCL = 64,
	OFF_CELL_COUNT = 66,
	OFF_CELLS = 68,
};

static const struct number_row status_numbers[] = {
	{0, RAW_U16BE, 100, 0, Q_VOLTAGE_V},
	{4, RAW_U32BE, 100, -300000, Q_CURRENT_A},
	{8, RAW_U16BE, 100, 0, Q_SOC_PCT},
	{10, RAW_U16BE, 100, 0, Q_CAPACITY_REMAINING_AH},
	{12, RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
	{14, RAW_U16BE, 100, 0, Q_CAPACITY_DESIGN_AH},
	{16, RAW_U16BE, 10, -500, Q_TEMP_MOS_C},
	{18, RAW_U16BE, 10, -500, Q_TEMP_AMBIENT_C},
	{22, RAW_U16BE, 1, 0, Q_SOH_PCT},
	{36, RAW_U16BE, 1, 0, Q_CYCLES},
	{38, RAW_U16BE, 1, 0, Q_CELL_MAX_NO},
	{40, RAW_U16BE, 1000, 0, Q_CELL_MAX_V},
	{42, RAW_U16BE, 1, 0, Q_CELL_MIN_NO},
	{44, RAW_U16BE, 1000, 0, Q_CELL_MIN_V},
	{48, RAW_U16BE, 1, 0, Q_TEMP_MAX_NO},
	{50, RAW_U16BE, 10, -500, Q_TEMP_MAX_C},
	{52, RAW_U16BE, 1, 0, Q_TEMP_MIN_NO},
	{54, RAW_U16BE, 10, -500, Q_TEMP_MIN_C},
	{58, RAW_U16BE, 10, 0, Q_BMS_CVL_V},
	{62, RAW_U16BE, 10, 0, Q_BMS_DVL_V},
	{OFF_CELL_COUNT, RAW_U16BE, 1, 0, Q_CELL_COUNT},
};

static const struct detail_row status_details[] = {
	{20, RAW_U16BE, 1, 0, "state"}, /* 0 idle, 1 charging, 2 discharging */
	{34, RAW_U16BE, 1, 0, "connection_bits"},
	{46, RAW_U16BE, 1000, 0, "cell_avg_V"},
	{56, RAW_U16BE, 10, -500, "temp_avg_C"},
};

/* Behind the sensors; a row that a shorter trailer lacks stays unknown. */
enum { TAIL_BALANCING = 2, TAIL_FIRMWARE = 4, TAIL_SERIAL = 6, TAIL_PACKS = 36, TAIL_ONLINE = 38 };
static const struct text_row tail_texts[] = {{TAIL_SERIAL, 30, T_SERIAL_NUMBER}};
static const struct detail_row tail_details[] = {{TAIL_ONLINE, RAW_U16BE, 1, 0, "online_mask"}};

/* Sheet 6. Bit 25 of the faults and 18 of the warnings tell a state, the full-charge protection. */
enum { FAULT_FULL = 25, WARNING_FULL = 18 };

static const struct alarm_row fault_rows[] = {
	{0, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{1, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{2, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{3, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{4, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{5, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{6, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{7, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{8, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{9, ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{10, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{11, ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{12, ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{13, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, "high_ambient_temperature"},
	{14, ALARM_RAISED, ALARM_LOW_TEMPERATURE, "low_ambient_temperature"},
	{15, ALARM_RAISED, ALARM_CELL_IMBALANCE, NULL},
	{16, ALARM_RAISED, ALARM_COUNT, "temperature_difference"},
	{17, ALARM_RAISED, ALARM_LOW_SOC, NULL},
	{18, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{18, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{19, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_wire_fault"},
	{20, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "temperature_sensor_fault"},
	{21, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "charge_mos_fault"},
	{22, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "discharge_mos_fault"},
	{23, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "current_limiter_fault"},
	{24, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "aerosol"},
	{26, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "afe_fault"},
	{27, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, "reverse_polarity"},
};

static const struct alarm_row warning_rows[] = {
	{0, ALARM_WARNING, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{1, ALARM_WARNING, ALARM_LOW_CELL_VOLTAGE, NULL},
	{2, ALARM_WARNING, ALARM_HIGH_VOLTAGE, NULL},
	{3, ALARM_WARNING, ALARM_LOW_VOLTAGE, NULL},
	{4, ALARM_WARNING, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{5, ALARM_WARNING, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{6, ALARM_WARNING, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{7, ALARM_WARNING, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{8, ALARM_WARNING, ALARM_HIGH_TEMPERATURE, NULL},
	{9, ALARM_WARNING, ALARM_LOW_TEMPERATURE, NULL},
	{10, ALARM_WARNING, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{11, ALARM_WARNING, ALARM_HIGH_TEMPERATURE, "high_ambient_temperature"},
	{12, ALARM_WARNING, ALARM_LOW_TEMPERATURE, "low_ambient_temperature"},
	{13, ALARM_WARNING, ALARM_CELL_IMBALANCE, NULL},
	{14, ALARM_WARNING, ALARM_COUNT, "temperature_difference"},
	{15, ALARM_WARNING, ALARM_LOW_SOC, NULL},
	{16, ALARM_WARNING, ALARM_INTERNAL_FAILURE, "eeprom_fault"},
	{17, ALARM_WARNING, ALARM_INTERNAL_FAILURE, "rtc_fault"},
};

static void take_alarms(struct device *dev, struct bytes data)
{
	struct state *s = dev->state;
	uint32_t faults = u32be_at(data, OFF_FAULTS), warnings = u32be_at(data, OFF_WARNINGS);

	alarms_clear(&dev->reading.alarms);
	table_alarms(ROWS(fault_rows), faults, &dev->reading.alarms);
	table_alarms(ROWS(warning_rows), warnings, &dev->reading.alarms);
	reading_set_detail(&dev->reading, "full_charge_protection",
			   (faults >> FAULT_FULL & 1) || (warnings >> WARNING_FULL & 1));
	s->fault = faults & ~(UINT32_C(1) << FAULT_FULL);
}

static void take_mos_word(struct device *dev, uint16_t word)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;

	reading_set_flag(r, F_DISCHARGE_MOS, word & 1);
	reading_set_flag(r, F_CHARGE_MOS, word & 2);
	reading_set_flag(r, F_HEATER_ON, word & 8);
	reading_set_detail(r, "precharge_mos", word >> 2 & 1);
	reading_set_detail(r, "fan_on", word >> 4 & 1);
	s->mos_word = word;
}

/* ---- limits: the master's status has the sum of all packs (sheet 7), 45 and block 2000 this pack's own ---- */

static void take_dcl(const struct state *s, struct limit *l, double A)
{
	bool glitch = A <= 0 && l->known && l->A > 0 && !l->was_0 && !s->fault;

	l->was_0 = A <= 0;
	l->known = true;
	if (!glitch)
		l->A = A;
}

static void take_own_limits(struct device *dev, double ccl, double dcl)
{
	struct state *s = dev->state;

	take_dcl(s, &s->own_dcl, dcl);
	s->own_ccl = ccl;
	s->own_ccl_known = true;
	s->own_age = 0;
	reading_set(&dev->reading, Q_BMS_CCL_A, s->own_ccl);
	reading_set(&dev->reading, Q_BMS_DCL_A, s->own_dcl.A);
}

static void take_status_limits(struct device *dev, double ccl, double dcl)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;

	take_dcl(s, &s->dcl, dcl);
	dcl = s->dcl.A;
	if (++s->own_age > OWN_LIMITS_STATUSES)
		s->own_ccl_known = s->own_dcl.known = false;
	if (s->packs > 1) {
		reading_set_detail(r, "system_ccl_A", ccl);
		reading_set_detail(r, "system_dcl_A", dcl);
		if (s->own_ccl_known)
			ccl = fmin(ccl, s->own_ccl);
		if (s->own_dcl.known)
			dcl = fmin(dcl, s->own_dcl.A);
	}
	reading_set(r, Q_BMS_CCL_A, ccl);
	reading_set(r, Q_BMS_DCL_A, dcl);
}

/* ---- what lies at places that depend on counts ---- */

static void take_cells(struct reading *r, struct bytes words, unsigned n)
{
	series_start(&r->cell_V, n);
	for (unsigned i = 0; i < n; i++)
		series_set(&r->cell_V, i, u16be_at(words, 2 * (size_t)i) / 1000.0);
}

/* Tenths of a degree above -zero. */
static void take_temperatures(struct reading *r, struct bytes words, unsigned n, int zero)
{
	series_start(&r->temperatures, n);
	for (unsigned i = 0; i < n; i++)
		series_set(&r->temperatures, i, (u16be_at(words, 2 * (size_t)i) - zero) / 10.0);
}

static void take_firmware(struct device *dev, unsigned major, unsigned minor)
{
	const struct state *s = dev->state;
	char text[16];

	if (s->product_known) /* which tells it better */
		return;
	if (major)
		snprintf(text, sizeof(text), "%u.%u", major, minor);
	else
		snprintf(text, sizeof(text), "?.%u", minor);
	reading_set_text(&dev->reading, T_FIRMWARE_VERSION, text);
}

static void take_status_tail(struct device *dev, struct bytes tail, unsigned cells)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;

	if (bytes_has(tail, TAIL_BALANCING, 2) && cells <= BALANCE_BITS) {
		r->balancing = u16be_at(tail, TAIL_BALANCING) & ((1u << cells) - 1);
		r->balancing_known = true;
	}
	if (bytes_has(tail, TAIL_FIRMWARE, 2)) {
		s->firmware_major = u8_at(tail, TAIL_FIRMWARE);
		take_firmware(dev, s->firmware_major, u8_at(tail, TAIL_FIRMWARE + 1));
	}
	table_texts(ROWS(tail_texts), tail, r);
	table_details(ROWS(tail_details), tail, r);
	/* A slave only knows of itself. */
	s->packs = u16be_at(tail, TAIL_ONLINE) & 1 ? u16be_at(tail, TAIL_PACKS) : 0;
	if (s->packs)
		reading_set(r, Q_PACK_COUNT, s->packs);
	else
		reading_forget(r, Q_PACK_COUNT);
}

static enum verdict bad(const char **why, const char *what)
{
	*why = what;
	return FRAME_BAD;
}

static enum verdict take_status(struct device *dev, struct bytes data, const char **why)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;
	unsigned cells = u16be_at(data, OFF_CELL_COUNT);
	size_t sensors_at = OFF_CELLS + 2 * (size_t)cells;

	if (cells < 1 || cells > UP_MAX_CELLS)
		return bad(why, "cell count outside 1..32");
	unsigned sensors = u16be_at(data, sensors_at);
	size_t tail_at = sensors_at + 2 + 2 * (size_t)sensors;

	if (!bytes_has(data, sensors_at, 2) || sensors > UP_MAX_SENSORS || tail_at > data.n)
		return bad(why, "more cells or sensors than the reply is long");
	if (u16be_at(data, 8) > 10000)
		return bad(why, "SoC above 100 %");
	table_numbers(ROWS(status_numbers), data, r);
	table_details(ROWS(status_details), data, r);
	double outside = u16be_at(data, 2) / 100.0;
	reading_set_detail(r, "external_voltage_V", outside > 0 ? outside : NAN);
	take_alarms(dev, data);
	take_mos_word(dev, u16be_at(data, OFF_MOS));
	take_cells(r, bytes_sub(data, OFF_CELLS, 2 * (size_t)cells), cells);
	take_temperatures(r, bytes_sub(data, sensors_at + 2, 2 * (size_t)sensors), sensors, 500);
	take_status_tail(dev, bytes_sub(data, tail_at, data.n), cells);
	take_status_limits(dev, u16be_at(data, OFF_CCL) / 10.0, u16be_at(data, OFF_DCL) / 10.0);
	s->status_known = true;
	s->statuses++;
	return FRAME_ANSWER;
}

/* ---- the individual status: sheet 5.2. Offsets count from behind the cells ---- */

static const struct number_row individual_numbers[] = {
	{0, RAW_U16BE, 1000, 0, Q_CELL_MAX_V},
	{2, RAW_U16BE, 1000, 0, Q_CELL_MIN_V},
	{4, RAW_U16BE, 100, 0, Q_VOLTAGE_V},
	{6, RAW_S32BE, 100, 0, Q_CURRENT_A},
	{10, RAW_U16BE, 10, -2731, Q_TEMP_MAX_C},
	{12, RAW_U16BE, 10, -2731, Q_TEMP_MIN_C},
	{14, RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
	{16, RAW_U16BE, 100, 0, Q_CAPACITY_REMAINING_AH},
	{18, RAW_U16BE, 1, 0, Q_CYCLES},
	{20, RAW_U16BE, 1, 0, Q_SOC_PCT},
	{22, RAW_U16BE, 1, 0, Q_SOH_PCT},
	{68, RAW_U16BE, 10, -2731, Q_TEMP_MOS_C},
	{70, RAW_U16BE, 10, -2731, Q_TEMP_AMBIENT_C},
};

enum {
	IND_MOS = 28,
	IND_SERIAL = 32,
	IND_SERIAL_END = 62,
	IND_CCL = 62,
	IND_DCL = 64,
	IND_SENSORS = 72,
	IND_SHORTEST = 30, /* up to the MOS word; older firmware ends behind its unused serial number */
};

/* Stored as words whose bytes are swapped. */
static void take_swapped_serial(struct reading *r, struct bytes at)
{
	uint8_t text[IND_SERIAL_END - IND_SERIAL];
	char out[MAX_TEXT];

	if (at.n < sizeof(text))
		return;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = u8_at(at, i ^ 1);
	bytes_text((struct bytes){text, sizeof(text)}, out, sizeof(out));
	reading_set_text(r, T_SERIAL_NUMBER, out);
}

static void take_whole_individual(struct device *dev, struct bytes data, struct bytes rest, unsigned cells)
{
	struct reading *r = &dev->reading;
	unsigned sensors = u8_at(rest, IND_SENSORS);
	uint16_t mos = u16be_at(rest, IND_MOS);

	take_cells(r, bytes_sub(data, 2, 2 * (size_t)cells), cells);
	reading_set(r, Q_CELL_COUNT, cells);
	table_numbers(ROWS(individual_numbers), rest, r);
	reading_set_flag(r, F_DISCHARGE_MOS, mos & 1);
	reading_set_flag(r, F_CHARGE_MOS, mos & 2);
	take_swapped_serial(r, bytes_sub(rest, IND_SERIAL, IND_SERIAL_END - IND_SERIAL));
	if (!bytes_has(rest, IND_SENSORS, 2 + 2 * (size_t)sensors) || sensors > UP_MAX_SENSORS)
		return;
	take_temperatures(r, bytes_sub(rest, IND_SENSORS + 2, 2 * (size_t)sensors), sensors, 2731);
	take_firmware(dev, 0, u8_at(rest, IND_SENSORS + 1));
}

/* Beside the status, which is finer, only what that does not have is taken: no reading of two moments. */
static enum verdict take_individual(struct device *dev, struct bytes data, const char **why)
{
	const struct state *s = dev->state;
	unsigned cells = u16be_at(data, 0);
	struct bytes rest = bytes_sub(data, 2 + 2 * (size_t)cells, data.n);

	if (cells < 1 || cells > UP_MAX_CELLS)
		return bad(why, "cell count outside 1..32");
	if (rest.n < IND_SHORTEST)
		return bad(why, "more cells than the reply is long");
	if (u16be_at(rest, 20) > 100)
		return bad(why, "SoC above 100 %");
	if (s->status_known && cells != dev->reading.cell_V.count)
		return bad(why, "another cell count than in the status");
	if (!s->status_known)
		take_whole_individual(dev, data, rest, cells);
	if (bytes_has(rest, IND_DCL, 2))
		take_own_limits(dev, u16be_at(rest, IND_CCL) / 10.0, u16be_at(rest, IND_DCL) / 10.0);
	return FRAME_ANSWER;
}

/* ---- capacity and totals: sheet 5.3 ---- */

static const struct number_row capacity_numbers[] = {
	{0, RAW_U16BE, 100, 0, Q_CAPACITY_DESIGN_AH},
	{2, RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
	{4, RAW_U16BE, 100, 0, Q_CAPACITY_REMAINING_AH},
	{42, RAW_U16BE, 10, 0, Q_BMS_CVL_V},
	{46, RAW_U16BE, 10, 0, Q_BMS_DVL_V},
};

/* From byte 6 of the block on. */
static const struct number_row total_numbers[] = {
	{0, RAW_U16BE, 100, 0, Q_SOC_PCT},
	{2, RAW_U16BE, 1, 0, Q_SOH_PCT},
	{4, RAW_U16BE, 1, 0, Q_CYCLES},
	{10, RAW_U32BE, 10, 0, Q_TOTAL_CHARGE_AH},
	{14, RAW_U32BE, 10, 0, Q_TOTAL_DISCHARGE_AH},
};

static const struct setting_row capacity_settings[] = {
	{26, RAW_U16BE, 1000, 0, "soc_table_1_V", SETTING_NUMBER},
	{28, RAW_U16BE, 1, 0, "soc_table_1_pct", SETTING_NUMBER},
	{30, RAW_U16BE, 1000, 0, "soc_table_2_V", SETTING_NUMBER},
	{32, RAW_U16BE, 1, 0, "soc_table_2_pct", SETTING_NUMBER},
	{34, RAW_U16BE, 1000, 0, "soc_table_3_V", SETTING_NUMBER},
	{36, RAW_U16BE, 1, 0, "soc_table_3_pct", SETTING_NUMBER},
	{38, RAW_U16BE, 1000, 0, "soc_table_4_V", SETTING_NUMBER},
	{40, RAW_U16BE, 1, 0, "soc_table_4_pct", SETTING_NUMBER},
};

enum { TOTALS_AT = TOTALS - CAPACITY };

static enum verdict take_totals(struct device *dev, struct bytes data, const char **why)
{
	if (u16be_at(data, 0) > 10000)
		return bad(why, "SoC above 100 %");
	table_numbers(ROWS(total_numbers), data, &dev->reading);
	return FRAME_ANSWER;
}

static enum verdict take_capacity(struct device *dev, struct bytes data, const char **why)
{
	enum verdict verdict = take_totals(dev, bytes_sub(data, TOTALS_AT, data.n), why);

	if (verdict != FRAME_ANSWER)
		return verdict;
	table_numbers(ROWS(capacity_numbers), data, &dev->reading);
	table_settings(ROWS(capacity_settings), data, &dev->settings);
	if (bytes_has(data, 48, 2))
		take_own_limits(dev, u16be_at(data, 44) / 10.0, u16be_at(data, 48) / 10.0);
	return FRAME_ANSWER;
}

/* ---- identity, product, clock: sheet 5.4..5.6 ---- */

static const struct setting_row identity_settings[] = {
	{4, RAW_U16BE, 1000, 0, "balance_start_V", SETTING_NUMBER},
	{6, RAW_U16BE, 1000, 0, "balance_trigger_V", SETTING_NUMBER},
	{12, RAW_U16BE, 100, 0, "full_charge_V", SETTING_NUMBER},
};

static const struct text_row identity_texts[] = {{52, 30, T_SERIAL_NUMBER}};

static void setting_text(struct device *dev, const char *name, struct bytes at)
{
	char text[MAX_SETTING_TEXT];

	if (bytes_text(at, text, sizeof(text)))
		settings_set_text(&dev->settings, name, text);
}

/* Three words; "" when they are no date. */
static void date_text(struct bytes at, char out[16])
{
	unsigned year = u16be_at(at, 0), month = u16be_at(at, 2), day = u16be_at(at, 4);

	out[0] = 0;
	if (year >= 2000 && year <= 2099 && month >= 1 && month <= 12 && day >= 1 && day <= 31)
		snprintf(out, 16, "%04u-%02u-%02u", year, month, day);
}

static void take_identity(struct device *dev, struct bytes data)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;
	char text[MAX_TEXT];

	table_settings(ROWS(identity_settings), data, &dev->settings);
	table_texts(ROWS(identity_texts), data, r);
	setting_text(dev, "bms_serial_number", bytes_sub(data, 16, 30));
	date_text(bytes_sub(data, 46, 6), text);
	if (text[0])
		settings_set_text(&dev->settings, "bms_production_date", text);
	date_text(bytes_sub(data, 82, 6), text);
	reading_set_text(r, T_PRODUCTION_DATE, text);
	if (!bytes_text(bytes_sub(data, 88, 30), text, sizeof(text)))
		return;
	reading_set_text(r, T_MODEL, text); /* of the pack, while the product tells that of the board */
	s->model_known = true;
}

static void take_product(struct device *dev, struct bytes data)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;
	char model[20], text[MAX_TEXT];

	bytes_text(bytes_sub(data, 12, 16), model, sizeof(model));
	snprintf(text, sizeof(text), "%u.%u.%u", u16be_at(data, 4), u16be_at(data, 6), u16be_at(data, 8));
	reading_set_text(r, T_FIRMWARE_VERSION, text);
	s->product_known = true;
	snprintf(text, sizeof(text), "%s%srev %u", model, model[0] ? " " : "", u16be_at(data, 2));
	reading_set_text(r, T_HARDWARE_VERSION, text);
	if (!s->model_known)
		reading_set_text(r, T_MODEL, model);
	settings_set_number(&dev->settings, "model_id", u16be_at(data, 0));
	setting_text(dev, "project", bytes_sub(data, 28, 16));
}

static void take_clock(struct device *dev, struct bytes data)
{
	unsigned hour = u16be_at(data, 6), minute = u16be_at(data, 8), second = u16be_at(data, 10);
	char date[16], text[MAX_SETTING_TEXT];

	date_text(data, date);
	if (!date[0] || hour > 23 || minute > 59 || second > 59)
		return;
	snprintf(text, sizeof(text), "%s %02u:%02u:%02u", date, hour, minute, second);
	settings_set_text(&dev->settings, "clock", text);
}

/* ---- thresholds: sheet 8. By word: threshold, release, delay ---- */

#define WORD_ROW(word, divisor, add, name)                                                                             \
	{                                                                                                              \
		2 * (word), RAW_U16BE, divisor, add, name, SETTING_NUMBER                                              \
	}
#define WARNING(word, divisor, add, name, unit)                                                                        \
	WORD_ROW(word, divisor, add, name "_warning_" unit),                                                           \
		WORD_ROW(word + 1, divisor, add, name "_warning_release_" unit),                                       \
		WORD_ROW(word + 2, 1000, 0, name "_warning_delay_s")
#define PROTECTS(word, divisor, add, name, unit)                                                                       \
	WORD_ROW(word, divisor, add, name "_" unit), WORD_ROW(word + 1, divisor, add, name "r_" unit),                 \
		WORD_ROW(word + 2, 1000, 0, name "_delay_s")
/* After the delay two words that are a guess. */
#define OVERCURRENT(word, name)                                                                                        \
	WORD_ROW(word, 10, 0, name "_A"), WORD_ROW(word + 1, 1000, 0, name "_delay_s"),                                \
		WORD_ROW(word + 2, 1, 0, name "_recovery_raw")

static const struct setting_row protection_settings[] = {
	WARNING(0, 1000, 0, "cell_high", "V"),
	PROTECTS(3, 1000, 0, "cell_ovp", "V"),
	WARNING(6, 1000, 0, "cell_low", "V"),
	PROTECTS(9, 1000, 0, "cell_uvp", "V"),
	WARNING(12, 100, 0, "pack_high", "V"),
	PROTECTS(15, 100, 0, "pack_ovp", "V"),
	WARNING(18, 100, 0, "pack_low", "V"),
	PROTECTS(21, 100, 0, "pack_uvp", "V"),
	WARNING(24, 10, 0, "charge_current", "A"),
	OVERCURRENT(27, "charge_ocp"),
	WORD_ROW(30, 1, 0, "charge_ocp_lock_raw"),
	OVERCURRENT(31, "charge_ocp2"),
	WARNING(34, 10, 0, "discharge_current", "A"),
	OVERCURRENT(37, "discharge_ocp"),
	WORD_ROW(40, 1, 0, "discharge_ocp_lock_raw"),
	OVERCURRENT(41, "discharge_ocp2"),
	WARNING(44, 10, -500, "charge_hot", "C"),
	PROTECTS(47, 10, -500, "charge_otp", "C"),
	WARNING(50, 10, -500, "charge_cold", "C"),
	PROTECTS(53, 10, -500, "charge_utp", "C"),
	WARNING(56, 10, -500, "discharge_hot", "C"),
	PROTECTS(59, 10, -500, "discharge_otp", "C"),
	WARNING(62, 10, -500, "discharge_cold", "C"),
	PROTECTS(65, 10, -500, "discharge_utp", "C"),
	WARNING(68, 10, -500, "mos_hot", "C"),
	PROTECTS(71, 10, -500, "mos_otp", "C"),
	WARNING(74, 10, -500, "ambient_hot", "C"),
	PROTECTS(77, 10, -500, "ambient_otp", "C"),
	WARNING(80, 10, -500, "ambient_cold", "C"),
	PROTECTS(83, 10, -500, "ambient_utp", "C"),
	WARNING(86, 10, 0, "temperature_difference", "K"),
	PROTECTS(89, 10, 0, "temperature_difference_p", "K"),
	WARNING(92, 1000, 0, "cell_difference", "V"),
	PROTECTS(95, 1000, 0, "cell_difference_p", "V"),
	WARNING(98, 1, 0, "low_soc", "pct"),
	PROTECTS(101, 1, 0, "low_soc_p", "pct"),
};

/* ---- verdicts ---- */

static enum verdict take_block(struct device *dev, uint16_t code, struct bytes data, const char **why)
{
	const struct block *block = block_at(code);

	if (data.n < block->shortest)
		return bad(why, "the block is shorter than it must be");
	switch (code) {
	case STATUS:
		return take_status(dev, data, why);
	case CAPACITY:
		return take_capacity(dev, data, why);
	case TOTALS:
		return take_totals(dev, data, why);
	case IDENTITY:
		take_identity(dev, data);
		break;
	case PRODUCT:
		take_product(dev, data);
		break;
	case CLOCK:
		take_clock(dev, data);
		break;
	case PROTECTION:
		table_settings(ROWS(protection_settings), data, &dev->settings);
		break;
	}
	return FRAME_ANSWER;
}

static enum verdict up_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct bytes data = bytes_sub(frame, HEAD, frame.n > FRAME ? frame.n - FRAME : 0);
	struct state *s = dev->state;
	enum verdict verdict;

	if (pending->dialect == ASKED) {
		if (frame.n == 5 && u8_at(frame, 0) == pending->address) {
			*why = modbus_exception_text(u8_at(frame, 2));
			return FRAME_REFUSED;
		}
		if (frame.n < FRAME || memcmp(frame.p, pending->tx, 6) != 0)
			return FRAME_FOREIGN;
		/* A write is acknowledged by a frame without data; a read that comes back so is its own echo. */
		if (pending->writes)
			return data.n ? FRAME_FOREIGN : FRAME_ANSWER;
	}
	if (!data.n)
		return FRAME_FOREIGN;
	if (u8_at(frame, 1) == INDIVIDUAL_STATUS)
		verdict = take_individual(dev, data, why);
	else
		verdict = take_block(dev, pending->code, data, why);
	if (verdict != FRAME_ANSWER)
		return verdict;
	if (pending->code != STATUS)
		s->direct = true;
	reading_set(&dev->reading, Q_ADDRESS, pending->address);
	return FRAME_ANSWER;
}

/* Sheet 4. */
static bool up_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;

	if (!reading_knows(r, Q_VOLTAGE_V) || !r->cell_V.count) {
		*why = "it has sent no status";
		return false;
	}
	if (!cells_make_up_voltage(r)) {
		*why = "the cells do not add up to the pack's voltage";
		return false;
	}
	return reading_plausible(r, why);
}

/* ---- the bus between the packs, whose master asks each of them for 45: sheet 2 ---- */

struct listen {
	uint8_t address; /* of the request directly before; 0: none */
};

static enum heard up_overhear(void *listen, struct bytes frame, struct request *as)
{
	struct listen *l = listen;

	if (u8_at(frame, 1) != INDIVIDUAL_STATUS)
		return HEARD_NOTHING;
	if (frame.n == FRAME) {
		l->address = u8_at(frame, 0);
		return HEARD_MASTER;
	}
	if (l->address != u8_at(frame, 0))
		return HEARD_NOTHING;
	l->address = 0;
	request_start(as, &jbd_up16s_protocol, u8_at(frame, 0), OVERHEARD, STATUS, 0);
	return HEARD_ANSWER;
}

/* ---- commands: sheet 7 ---- */

enum { READ_BACKS = 3, READ_BACK_WAIT_MS = 500 };

static const char not_forwarded[] = "this pack is reached through its master, which does not forward commands";

/* A master that answers for a pack forwards its status alone. True: go on. */
static bool is_reached_directly(struct device *dev, struct procedure *p, struct next *next)
{
	if (dev->address == MASTER)
		return true;
	if (!step_ask(dev, p, next, IDENTITY, 0))
		return false;
	if (step_result(p) == STEP_ANSWERED)
		return true;
	step_end(next, COMMAND_REFUSED, "%s", not_forwarded);
	return false;
}

/* memo[0]: which read-back showed the wanted value, from 1. */
static void proceed_soc(struct device *dev, struct procedure *p, struct next *next)
{
	double want = p->command->value;

	if (!is_reached_directly(dev, p, next))
		return;
	if (!step_ask(dev, p, next, SET_SOC, (uint16_t)lround(100 * want)))
		return;
	enum step_result sent = step_result(p);
	if (sent == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return;
	}
	for (unsigned i = 1; i <= READ_BACKS; i++) {
		if (i > 1 && !step_wait(p, next, READ_BACK_WAIT_MS))
			return;
		if (!step_ask(dev, p, next, STATUS, 0))
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
	if (step_result(p) != STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
	else
		step_end(next, COMMAND_UNCONFIRMED, "%s the SoC reads back %g %%",
			 sent == STEP_ANSWERED ? "acknowledged, but" : "no acknowledgement, and",
			 reading_get(&dev->reading, Q_SOC_PCT));
}

enum { MOS_DISCHARGE = 1, MOS_CHARGE = 2, MOS_SWITCHES = MOS_DISCHARGE | MOS_CHARGE };

/* Sends word and reads what the MOS do then; memo[slot] gets that, with bit 16 set. False: return. */
static bool switch_mos(struct device *dev, struct procedure *p, struct next *next, uint16_t word, unsigned slot)
{
	const struct state *s = dev->state;

	if (!step_ask(dev, p, next, SET_MOS, word))
		return false;
	for (unsigned i = 0; i < READ_BACKS; i++) {
		if (!step_wait(p, next, READ_BACK_WAIT_MS) || !step_ask(dev, p, next, STATUS, 0))
			return false;
		if (step_is_new(p) && step_result(p) == STEP_ANSWERED)
			p->memo[slot] = 0x10000u | s->mos_word;
		if ((p->memo[slot] & 0x10000) && ((p->memo[slot] ^ word) & MOS_SWITCHES) == 0)
			break;
	}
	return true;
}

static bool mos_are(uint32_t memo, uint16_t word)
{
	return (memo & 0x10000) && ((memo ^ word) & MOS_SWITCHES) == 0;
}

/* Nobody has seen this write work: what it does is read back, and anything else than wanted is undone. memo[0]:
 * the MOS before, [1]: after the write, [2]: after it was undone. */
static void proceed_switch(struct device *dev, struct procedure *p, struct next *next)
{
	bool charge = p->command->kind == COMMAND_CHARGE, on = p->command->value != 0;
	const char *name = charge ? "charge" : "discharge";
	uint16_t bit = charge ? MOS_CHARGE : MOS_DISCHARGE;
	const struct state *s = dev->state;

	if (!is_reached_directly(dev, p, next) || !step_ask(dev, p, next, STATUS, 0))
		return;
	if (step_result(p) != STEP_ANSWERED) {
		step_end(next, COMMAND_REFUSED, "the board does not say how its MOS stand");
		return;
	}
	if (step_is_new(p))
		p->memo[0] = s->mos_word;
	uint16_t before = (uint16_t)p->memo[0], word = (uint16_t)(on ? before | bit : before & ~bit);

	if (!switch_mos(dev, p, next, word, 1))
		return;
	if (mos_are(p->memo[1], word)) {
		step_end(next, COMMAND_DONE, "%s MOS reads back %s", name, on ? "on" : "off");
		return;
	}
	if (mos_are(p->memo[1], before)) {
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the %s MOS reads back %s", name, on ? "off" : "on");
		return;
	}
	if (!switch_mos(dev, p, next, before, 2))
		return;
	step_end(next, COMMAND_UNCONFIRMED, "the board did something else than asked; %s",
		 mos_are(p->memo[2], before) ? "undone" : "undoing it was not confirmed");
}

static void up_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	if (p->command->kind == COMMAND_SOC)
		proceed_soc(dev, p, next);
	else if (p->command->kind == COMMAND_BALANCE)
		step_end(next, COMMAND_REFUSED, "balancing can't be switched on this board");
	else if (!p->command->experimental)
		step_end(next, COMMAND_REFUSED, "nobody has seen this switch work on such a board: experimental");
	else
		proceed_switch(dev, p, next);
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"LltJbd_Up16s", NULL};

/* The status of a master has the limits of all packs together. */
static bool is_one_of_many(const struct device *dev)
{
	const struct state *s = dev->state;

	return s->packs > 1;
}

/* A pack behind its master says who it is where the cable ends in the radio stick's port. Each tries it in another
 * cycle, so that a bank of silent ones is not held up. */
static bool may_tell_identity(const struct device *dev)
{
	const struct state *s = dev->state;

	if (seems_direct(dev))
		return true;
	return s->identity_asked < UNSURE_TRIES && s->statuses % LAST_ADDRESS == dev->address % LAST_ADDRESS;
}

static bool has_totals(const struct device *dev)
{
	const struct state *s = dev->state;

	return seems_direct(dev) && (!s->firmware_major || s->firmware_major >= PARTIAL_READS);
}

/* Block 2000 is never asked for: reading it makes some firmware tell everybody, the inverter too, a discharge limit
 * of 0 for a moment (sheet 5.3). The identity shows whether a pack is reached directly. */
static const struct poll polls[] = {
	{STATUS, 0, EVERY_POLL, true, NULL},	       {INDIVIDUAL, 0, 2000, false, is_one_of_many},
	{IDENTITY, 0, ONCE, false, may_tell_identity}, {PRODUCT, 0, ONCE, false, seems_direct},
	{TOTALS, 0, 60000, false, has_totals},	       {PROTECTION, 0, 600000, false, seems_direct},
	{CLOCK, 0, 601000, false, seems_direct},
};

static const struct probe probes[] = {
	{STATUS, 0, MASTER, LAST_ADDRESS, ASKED, 0, 180, false},
};

#define Q(id) (UINT64_C(1) << Q_##id)
#define F(id) (1u << F_##id)
#define A(id) (1u << ALARM_##id)

const struct protocol jbd_up16s_protocol = {
	.id = "jbd-up16s",
	.title = "JBD UP series (UP16S010, UP16S015, UP16S020), Eco-Worthy and other rack batteries with it",
	.manufacturer = "LLT/JBD",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.limits_on_demand = true,
	.lines = lines,
	.timing = {.first_ms = 1000,
		   .gap_ms = 100,
		   .pause_ms = 100,
		   .late_ms = 400,
		   .scan_ms = 300,
		   .tries = 3,
		   .poll_ms = 500},
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING,
	.quantities = Q(ADDRESS) | Q(PACK_COUNT) | Q(VOLTAGE_V) | Q(CURRENT_A) | Q(SOC_PCT) | Q(SOH_PCT) |
		      Q(CAPACITY_FULL_AH) | Q(CAPACITY_DESIGN_AH) | Q(CAPACITY_REMAINING_AH) | Q(CYCLES) |
		      Q(TOTAL_CHARGE_AH) | Q(TOTAL_DISCHARGE_AH) | Q(CELL_COUNT) | Q(CELL_MIN_V) | Q(CELL_MAX_V) |
		      Q(CELL_MIN_NO) | Q(CELL_MAX_NO) | Q(TEMP_MIN_C) | Q(TEMP_MAX_C) | Q(TEMP_MIN_NO) |
		      Q(TEMP_MAX_NO) | Q(TEMP_MOS_C) | Q(TEMP_AMBIENT_C) | Q(BMS_CCL_A) | Q(BMS_DCL_A) | Q(BMS_CVL_V) |
		      Q(BMS_DVL_V),
	.flags = F(BALANCING_ACTIVE) | F(CHARGE_MOS) | F(DISCHARGE_MOS) | F(HEATER_ON),
	.alarms = A(HIGH_VOLTAGE) | A(LOW_VOLTAGE) | A(HIGH_CELL_VOLTAGE) | A(LOW_CELL_VOLTAGE) | A(LOW_SOC) |
		  A(HIGH_CHARGE_CURRENT) | A(HIGH_DISCHARGE_CURRENT) | A(CELL_IMBALANCE) | A(INTERNAL_FAILURE) |
		  A(HIGH_CHARGE_TEMPERATURE) | A(LOW_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) | A(LOW_TEMPERATURE) |
		  A(HIGH_INTERNAL_TEMPERATURE) | A(SHORT_CIRCUIT),
	.commands = 1 << COMMAND_SOC | 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE,
	.experimental = 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE,
	.first_address = MASTER,
	.last_address = LAST_ADDRESS,
	.state_size = sizeof(struct state),
	.listen_size = sizeof(struct listen),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {CONFIRM},
	.confirm_count = 1,
	.encode = up_encode,
	.find_frame = up_find_frame,
	.take = up_take,
	.plausible = up_plausible,
	.parse_request = up_parse_request,
	.overhear = up_overhear,
	.proceed = up_proceed,
};
