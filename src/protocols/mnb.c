/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * MNB-Li, sheet mnb: a MAX17853 cell monitor on an SPI bus. There is no firmware: the host reads and writes the chip's
 * registers, 4 bytes an access, in batches here. Only ever spoken when the user has chosen it.
 *
 * What writes. Detection only reads. The poll cycle writes what the chip must be told so that it measures and raises
 * its flags: the set-up (volatile, and nothing in it switches anything), the scan, the transfer of its results, and 0
 * to flags that were read. Those are not `writes` of a request. What lets current flow, the balancer, is touched by a
 * command alone; the outputs of the board are not touched at all.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/procedure.h"
#include "protocols/table.h"

extern const struct protocol mnb_protocol;

enum { CELLS = 8, SENSORS = 6, ACCESS_SIZE = 4 };

/* Sheet 5.1. Cell input 1 carries the current amplifier; the battery's cells follow it. */
enum registers {
	REG_VERSION = 0x00,
	REG_STATUS1 = 0x02,
	REG_STATUS2 = 0x03,
	REG_FMEA1 = 0x05,
	REG_FMEA2 = 0x06,
	REG_CURRENT = 0x47,
	REG_CELL = 0x48,
	REG_BLOCK = 0x55,
	REG_TOTAL = 0x56,
	REG_DIE = 0x57,
	REG_SENSOR = 0x59,
	REG_SCAN = 0x66,
	REG_BALANCE_SWITCH = 0x6f,
	REG_BALANCE_TIMER = 0x71,
	REG_BALANCE_UNTIL = 0x7e,
	REG_BALANCE = 0x80,
	REG_MOVE = 0x83,
	REG_ID = 0x8c,
};

enum { MODEL = 0x853, SCAN_CELLS = 0x0e21, SCAN_DIAGNOSE = 0x1e28, DATA_READY = 1 << 13, WAS_RESET = 1 << 14 };

/* ---- the frame of an access: sheet 3 ---- */

enum { READ = -1 };

struct access {
	uint8_t reg;
	int32_t value; /* to write, or READ */
};

/* x^3 + x + 1, the highest of so many bits first. */
static uint8_t crc3(uint32_t v, unsigned bits)
{
	uint8_t crc = 0;

	while (bits--) {
		crc = (uint8_t)(crc << 1 ^ (v >> bits & 1) << 3);
		if (crc & 8)
			crc ^= 0x0b;
	}
	return crc;
}

static uint16_t access_data(struct bytes b)
{
	return (uint16_t)(u32be_at(b, 0) >> 4);
}

static void put_access(struct request *out, struct access a)
{
	bool read = a.value == READ;
	uint32_t head = (uint32_t)read << 8 | a.reg, value = read ? 0 : (uint32_t)a.value & 0xffff;
	uint8_t b[ACCESS_SIZE];

	put_u32be(b, head << 23 | (uint32_t)crc3(head, 9) << 20 | value << 4 | (uint32_t)read << 3 | crc3(value, 16));
	request_put(out, (struct bytes){b, sizeof(b)});
}

/* Takes apart what put_access() builds. False: it did not build this. */
static bool open_access(struct bytes b, struct access *out)
{
	uint32_t bits = u32be_at(b, 0), head = bits >> 23;
	bool read = head >> 8;

	*out = (struct access){(uint8_t)head, read ? READ : access_data(b)};
	return b.n == ACCESS_SIZE && (bits >> 20 & 7) == crc3(head, 9) && (bits >> 3 & 1) == read &&
	       (bits & 7) == crc3(access_data(b), 16) && !(read && access_data(b));
}

/* The ith access of a batch, or what came back for it. */
static struct bytes nth(struct bytes batch, size_t i)
{
	return bytes_sub(batch, i * ACCESS_SIZE, ACCESS_SIZE);
}

/* Every byte sent brings one back: what comes is the whole reply, or a piece of it. */
static int mnb_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	if (!pending)
		return -(int)in.n; /* the chip never speaks by itself */
	if (in.n >= pending->n)
		return pending->n;
	if (!quiet)
		return 0;
	*why = "a transfer was cut";
	return -(int)in.n;
}

/* ---- limits that the chip watches: sheet 5.3 ---- */

enum scale { SCALE_CELL, SCALE_BLOCK, SCALE_TEMPERATURE };

static const double volts[] = {[SCALE_CELL] = 0.000305, [SCALE_BLOCK] = 0.003967};

/* What its flags mean, no protection: nothing is switched by them. */
static const struct limit_row {
	uint8_t reg;
	enum scale scale;
	double value;
	const char *setting;
} limit_rows[] = {
	{0x1f, SCALE_CELL, 3.55, "cell_ovpr_V"},	 {0x20, SCALE_CELL, 3.65, "cell_ovp_V"},
	{0x21, SCALE_CELL, 3.00, "cell_uvpr_V"},	 {0x22, SCALE_CELL, 2.90, "cell_uvp_V"},
	{0x23, SCALE_CELL, 0.0992, "cell_difference_V"}, {0x28, SCALE_BLOCK, 28.95, "pack_ovpr_V"},
	{0x29, SCALE_BLOCK, 29.20, "pack_ovp_V"},	 {0x2a, SCALE_BLOCK, 23.45, "pack_uvpr_V"},
	{0x2b, SCALE_BLOCK, 23.20, "pack_uvp_V"},	 {0x30, SCALE_TEMPERATURE, 20, "cold_release_C"},
	{0x31, SCALE_TEMPERATURE, 15, "cold_C"},	 {0x32, SCALE_TEMPERATURE, 35, "hot_release_C"},
	{0x33, SCALE_TEMPERATURE, 40, "hot_C"},
};

#define LIMITS (sizeof(limit_rows) / sizeof(limit_rows[0]))

static uint16_t limit_raw(const struct limit_row *row)
{
	double raw = row->scale == SCALE_TEMPERATURE ? 16383 / exp(0.01988 * (row->value + 12.74))
						     : row->value / volts[row->scale];

	return (uint16_t)((unsigned)raw << 2);
}

static double limit_value(const struct limit_row *row, uint16_t raw)
{
	double v = raw >> 2;

	return row->scale == SCALE_TEMPERATURE ? round(10 * (log(16383 / v) / 0.01988 - 12.74)) / 10
					       : v * volts[row->scale];
}

/* ---- requests ---- */

enum code {
	VERSION,
	IDENTITY,
	SET_UP,
	CLEAR,
	SCAN,
	READY,
	MEASURE,
	BALANCE_STATE,
	BALANCE_OFF,
	BALANCE_TIMERS,
	BALANCE_ON, /* arg: the duty, 0..15 */
	ACCESS,	    /* of a recording: any other accesses */
};

/* All but the limits. */
static const struct access set_up[] = {
	{0x01, 0},	{0x02, 0},	{0x03, 0},	{0x04, 0},	{0x05, 0},	{0x06, 0},	{0x14, 0x0002},
	{0x15, 0x0004}, {0x16, 0x0000}, {0x18, 0x2999}, {0x19, 0x3faf}, {0x1a, 0x41fe}, {0x1b, 0x41fe}, {0x1c, 0x000f},
	{0x1d, 0x000f}, {0x5f, 0x0001}, {0x62, 0x4800}, {0x63, 0x0303}, {0x64, 0x41ff}, {0x65, 0x803f}, {0x6b, 0x0001},
};

static const struct access version[] = {{REG_VERSION, READ}};
static const struct access identity[] = {{REG_VERSION, READ}, {REG_ID, READ}, {REG_ID + 1, READ}};
static const struct access clear[] = {{0x02, 0}, {0x03, 0}, {0x04, 0}, {0x05, 0}, {0x06, 0}};
static const struct access scan[] = {{REG_SCAN, SCAN_CELLS}};
static const struct access ready[] = {{REG_SCAN, READ}};

/* The version first and last: zeros from a broken wire have a right checksum. */
static const struct access measure[] = {
	{REG_VERSION, READ},
	{REG_DIE, READ},
	{REG_MOVE, 1},
	{REG_SCAN, SCAN_DIAGNOSE},
	{REG_CELL, READ},
	{REG_CELL + 1, READ},
	{REG_CELL + 2, READ},
	{REG_CELL + 3, READ},
	{REG_CELL + 4, READ},
	{REG_CELL + 5, READ},
	{REG_CELL + 6, READ},
	{REG_CELL + 7, READ},
	{REG_CURRENT, READ},
	{REG_BLOCK, READ},
	{REG_TOTAL, READ},
	{REG_SENSOR, READ},
	{REG_SENSOR + 1, READ},
	{REG_SENSOR + 2, READ},
	{REG_SENSOR + 3, READ},
	{REG_SENSOR + 4, READ},
	{REG_SENSOR + 5, READ},
	{REG_STATUS1, READ},
	{REG_STATUS2, READ},
	{0x04, READ},
	{REG_FMEA1, READ},
	{REG_FMEA2, READ},
	{REG_BALANCE, READ},
	{REG_BALANCE_TIMER, READ},
	{REG_BALANCE_TIMER + 1, READ},
	{REG_BALANCE_TIMER + 2, READ},
	{REG_BALANCE_TIMER + 3, READ},
	{REG_BALANCE_TIMER + 4, READ},
	{REG_BALANCE_TIMER + 5, READ},
	{REG_BALANCE_TIMER + 6, READ},
	{REG_BALANCE_TIMER + 7, READ},
	{REG_VERSION, READ},
};

static const struct access balance_state[] = {{REG_VERSION, READ}, {REG_BALANCE, READ}};

#define BATCH(table)                                                                                                   \
	{                                                                                                              \
		(table), sizeof(table) / sizeof((table)[0])                                                            \
	}

/* Those that are always the same. */
static const struct batch {
	const struct access *access;
	size_t n;
} batches[] = {
	[VERSION] = BATCH(version),
	[IDENTITY] = BATCH(identity),
	[CLEAR] = BATCH(clear),
	[SCAN] = BATCH(scan),
	[READY] = BATCH(ready),
	[MEASURE] = BATCH(measure),
	[BALANCE_STATE] = BATCH(balance_state),
};

/* The limits are read back (sheet 5.3); other registers have bits of the chip's own. */
static void put_set_up(struct request *out)
{
	for (size_t i = 0; i < sizeof(set_up) / sizeof(set_up[0]); i++)
		put_access(out, set_up[i]);
	for (size_t i = 0; i < LIMITS; i++)
		put_access(out, (struct access){limit_rows[i].reg, limit_raw(&limit_rows[i])});
	for (size_t i = 0; i < LIMITS; i++)
		put_access(out, (struct access){limit_rows[i].reg, READ});
}

/* Stops it, then forgets switches and timers. */
static void put_balance_off(struct request *out)
{
	put_access(out, (struct access){REG_BALANCE, 0});
	for (uint8_t reg = REG_BALANCE_SWITCH; reg < REG_BALANCE; reg++)
		put_access(out, (struct access){reg, 0});
	put_access(out, (struct access){REG_BALANCE, READ});
	put_access(out, (struct access){REG_BALANCE_SWITCH, READ});
}

struct spread {
	double lowest_V, highest_V;
};

/* False: not all cells are known. */
static bool spread_of(const struct reading *r, struct spread *out)
{
	*out = (struct spread){INFINITY, -INFINITY};
	for (unsigned i = 0; i < CELLS; i++) {
		if (!series_knows(&r->cell_V, i))
			return false;
		out->lowest_V = fmin(out->lowest_V, r->cell_V.value[i]);
		out->highest_V = fmax(out->highest_V, r->cell_V.value[i]);
	}
	return true;
}

static uint16_t nibble(double v)
{
	return (uint16_t)(v < 0 ? 0 : v > 15 ? 15 : v + 0.5);
}

/* Sheet 7: the higher a cell, the longer. */
static uint16_t timer_of(const struct reading *r, unsigned cell)
{
	struct spread s;
	double v = cell < CELLS ? r->cell_V.value[cell] : 0;

	if (!spread_of(r, &s) || v <= 3.35 || s.highest_V <= s.lowest_V)
		return 0;
	return nibble(15 * (v - s.lowest_V) / (s.highest_V - s.lowest_V));
}

static uint16_t duty_of(const struct spread *s)
{
	return nibble(500 * (s->highest_V - s->lowest_V - 0.01));
}

static void put_balance_timers(const struct reading *r, struct request *out)
{
	for (int read = 0; read < 2; read++)
		for (unsigned i = 0; i < CELLS; i++)
			put_access(out,
				   (struct access){(uint8_t)(REG_BALANCE_TIMER + i), read ? READ : timer_of(r, i)});
}

static void put_balance_on(uint16_t duty, struct request *out)
{
	put_access(out, (struct access){REG_BALANCE_UNTIL, 1}); /* down to the lowest cell */
	put_access(out, (struct access){REG_BALANCE_SWITCH, 0x01fe});
	put_access(out, (struct access){REG_BALANCE, 0x2002 | (duty & 15) << 4});
	put_access(out, (struct access){REG_BALANCE, READ});
}

static bool mnb_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	request_start(out, &mnb_protocol, 0, 0, code, arg);
	out->writes = code == BALANCE_OFF || code == BALANCE_TIMERS || code == BALANCE_ON;
	if (code == READY)
		out->first_ms = 20; /* tries, and the pauses between: the scan has 100 ms (sheet 5.4) */
	switch (code) {
	case SET_UP:
		put_set_up(out);
		return true;
	case BALANCE_OFF:
		put_balance_off(out);
		return true;
	case BALANCE_TIMERS:
		put_balance_timers(&dev->reading, out);
		return true;
	case BALANCE_ON:
		put_balance_on(arg, out);
		return true;
	}
	if (code >= sizeof(batches) / sizeof(batches[0]))
		return false;
	for (size_t i = 0; i < batches[code].n; i++)
		put_access(out, batches[code].access[i]);
	return true;
}

/* The code whose batch this is. */
static uint16_t code_of(struct bytes tx)
{
	static const enum code always_alike[] = {VERSION, IDENTITY, SET_UP,	   CLEAR,      SCAN,
						 READY,	  MEASURE,  BALANCE_STATE, BALANCE_OFF};
	struct device none = {.protocol = &mnb_protocol};
	struct request request;

	for (size_t i = 0; i < sizeof(always_alike) / sizeof(always_alike[0]); i++)
		if (mnb_encode(&none, (uint16_t)always_alike[i], 0, &request) &&
		    bytes_equal(tx, (struct bytes){request.tx, request.n}))
			return (uint16_t)always_alike[i];
	return ACCESS;
}

static bool mnb_parse_request(struct bytes tx, struct request *out)
{
	struct access a;
	bool writes = false;

	if (!tx.n || tx.n % ACCESS_SIZE || tx.n > MAX_REQUEST)
		return false;
	for (size_t i = 0; i < tx.n / ACCESS_SIZE; i++) {
		if (!open_access(nth(tx, i), &a))
			return false;
		writes = writes || (a.value != READ && a.reg >= REG_BALANCE_SWITCH && a.reg <= REG_BALANCE);
	}
	request_start(out, &mnb_protocol, 0, 0, code_of(tx), 0);
	out->writes = writes;
	request_put(out, tx);
	return true;
}

/* ---- what registers say: sheet 5.2 ---- */

struct mnb_state {
	bool is_set_up;
	uint16_t status1, status2, fmea1, flags; /* flags: of all flag registers */
	bool status_told;
	bool restarted; /* since the last reading */
	uint8_t open;	/* bit per thermistor that cannot be believed */
	uint16_t balance, timer[CELLS];
	uint16_t id[2];
};

/* Own alarms would only repeat what the raw words in the details say bit by bit. */
static const struct alarm_row status1_rows[] = {
	{14, ALARM_WARNING, ALARM_COUNT, "afe_reset"},		{13, ALARM_RAISED, ALARM_CELL_IMBALANCE, NULL},
	{12, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},	{11, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{10, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},		{9, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{8, ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},	{8, ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{7, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL}, {7, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{5, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},	{4, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{3, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},	{2, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{1, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},	{0, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
};

/* Clocks, the chip's inner bus, a write that was rejected. */
static const struct alarm_row status2_rows[] = {
	{6, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{5, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{4, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{0, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
};

/* Balance switch, supply too high, without headroom, too low, ground lost. */
static const struct alarm_row fmea1_rows[] = {
	{0, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL}, {1, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{2, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL}, {3, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{4, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL}, {5, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{6, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
};

enum { DIE_HOT_C = 70 };

static double round_milli(double v)
{
	return round(1000 * v) / 1000;
}

static double cell_V(uint16_t value)
{
	return (value >> 2) * 305 / 1e6;
}

/* The amplifier stands at 2.5 V without current and gives 25 mV/A; 2.2 A are its offset (sheet 5.2). */
static double current_A(uint16_t value)
{
	return (cell_V(value) - 2.5) / 0.025 + 2.2;
}

static void take_sensor(struct device *dev, unsigned i, uint16_t value)
{
	struct mnb_state *s = dev->state;
	unsigned raw = value >> 2;
	double T = log(16383.0 / (raw + 1)) / 0.01998 - 12.74;
	bool broken = T < -12 || raw < 200; /* open, or shorted */

	s->open = (uint8_t)((s->open & ~(1u << i)) | (unsigned)broken << i);
	series_set(&dev->reading.temperatures, i, broken ? NAN : round_milli(T));
}

static void take_version(struct reading *r, uint16_t value)
{
	char text[MAX_TEXT];

	reading_set_text(r, T_MODEL, "MAX17853");
	snprintf(text, sizeof(text), "silicon %u", value & 15u);
	reading_set_text(r, T_HARDWARE_VERSION, text);
}

static void take_id(struct device *dev, unsigned i, uint16_t value)
{
	struct mnb_state *s = dev->state;
	uint32_t id;
	char text[MAX_TEXT];

	s->id[i] = value;
	id = (uint32_t)s->id[0] << 16 | s->id[1];
	snprintf(text, sizeof(text), "%08X", (unsigned)id);
	if (i && id && id != UINT32_MAX)
		reading_set_text(&dev->reading, T_SERIAL_NUMBER, text);
}

static void take_flags(struct device *dev, uint8_t reg, uint16_t value)
{
	struct mnb_state *s = dev->state;
	struct reading *r = &dev->reading;

	s->flags |= value;
	switch (reg) {
	case REG_STATUS1:
		s->status1 = value;
		s->status_told = true;
		reading_set_detail(r, "status1", value);
		break;
	case REG_STATUS2:
		s->status2 = value;
		reading_set_detail(r, "status2", value);
		break;
	case REG_FMEA1:
		s->fmea1 = value;
		reading_set_detail(r, "fmea1", value);
		break;
	case REG_FMEA2:
		reading_set_detail(r, "fmea2", value);
		break;
	default:
		break; /* the sheet tells nothing of STATUS3 */
	}
}

static void take_one(struct device *dev, uint8_t reg, uint16_t value)
{
	struct mnb_state *s = dev->state;
	struct reading *r = &dev->reading;

	if (reg == REG_VERSION) {
		take_version(r, value);
	} else if (reg >= REG_STATUS1 && reg <= REG_FMEA2) {
		take_flags(dev, reg, value);
	} else if (reg >= REG_CELL && reg < REG_CELL + CELLS) {
		series_set(&r->cell_V, reg - REG_CELL, cell_V(value));
	} else if (reg == REG_CURRENT) {
		reading_set(r, Q_CURRENT_A, current_A(value));
	} else if (reg == REG_BLOCK) {
		reading_set_detail(r, "block_voltage_V", (value >> 2) * 3967 / 1e6);
	} else if (reg == REG_TOTAL) {
		reading_set_detail(r, "total_voltage_V", value * 122 / 1e5);
	} else if (reg == REG_DIE) {
		reading_set_detail(r, "temp_ic_C", round_milli((value >> 2) / 16384.0 * 2.3077 / 0.0032 + 8.3 - 273));
	} else if (reg >= REG_SENSOR && reg < REG_SENSOR + SENSORS) {
		take_sensor(dev, reg - REG_SENSOR, value);
	} else if (reg >= REG_BALANCE_TIMER && reg < REG_BALANCE_TIMER + CELLS) {
		s->timer[reg - REG_BALANCE_TIMER] = value;
	} else if (reg == REG_BALANCE) {
		s->balance = value;
	} else if (reg == REG_ID || reg == REG_ID + 1) {
		take_id(dev, reg - REG_ID, value);
	}
	for (size_t i = 0; i < LIMITS; i++)
		if (limit_rows[i].reg == reg)
			settings_set_number(&dev->settings, limit_rows[i].setting, limit_value(&limit_rows[i], value));
}

static void judge_alarms(struct device *dev)
{
	const struct mnb_state *s = dev->state;
	struct alarms *a = &dev->reading.alarms;

	alarms_clear(a);
	table_alarms(ROWS(status1_rows), s->status1, a);
	table_alarms(ROWS(status2_rows), s->status2, a);
	table_alarms(ROWS(fmea1_rows), s->fmea1, a);
	if (reading_detail(&dev->reading, "temp_ic_C") >= DIE_HOT_C)
		alarm_raise(a, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_WARNING);
	if (s->restarted)
		alarm_raise_own(a, "afe_reset", ALARM_WARNING);
	if (s->open)
		alarm_raise_own(a, "temperature_sensor_fault", ALARM_WARNING);
}

/* BALCTRL, bits 15..14. */
enum balance { BALANCE_IDLE, BALANCE_RUNS, BALANCE_DONE, BALANCE_UNCLEAR };

static enum balance balance_of(const struct device *dev)
{
	const struct mnb_state *s = dev->state;

	return (enum balance)(s->balance >> 14);
}

static void judge_balancing(struct device *dev)
{
	const struct mnb_state *s = dev->state;
	struct reading *r = &dev->reading;

	r->balancing_known = true;
	r->balancing = 0;
	for (unsigned i = 0; i < CELLS; i++)
		if (balance_of(dev) == BALANCE_RUNS && s->timer[i])
			r->balancing |= UINT64_C(1) << i;
}

/* What follows from all of them together. */
static void take_together(struct device *dev, uint16_t code)
{
	const struct mnb_state *s = dev->state;
	struct reading *r = &dev->reading;
	struct spread spread;
	double sum = 0;

	for (unsigned i = 0; i < r->cell_V.count; i++)
		sum += r->cell_V.value[i];
	if (spread_of(r, &spread))
		reading_set(r, Q_VOLTAGE_V, sum);
	if (s->status_told)
		judge_alarms(dev);
	if (code == MEASURE)
		judge_balancing(dev);
	if (dev->options.battery_capacity_Ah > 0)
		reading_set(r, Q_CAPACITY_FULL_AH, dev->options.battery_capacity_Ah);
}

/* ---- replies ---- */

/* What was written to this register earlier in the batch, or READ. */
static int32_t written_before(struct bytes tx, size_t i, uint8_t reg)
{
	struct access a;

	while (i--)
		if (open_access(nth(tx, i), &a) && a.reg == reg && a.value != READ)
			return a.value;
	return READ;
}

/* NULL: what came back for the ith access may be believed. Of a write nothing usable comes back. */
static const char *distrust(struct bytes tx, struct bytes rx, size_t i)
{
	struct bytes b = nth(rx, i);
	struct access a;

	if (!open_access(nth(tx, i), &a) || a.value != READ)
		return NULL;
	if ((u8_at(b, 3) & 7) != crc3(access_data(b), 16))
		return "checksum (crc) of a register";
	if (a.reg == REG_VERSION && access_data(b) >> 4 != MODEL)
		return "its version is not 0x853: no MAX17853";
	if (i && !(u8_at(b, 3) & 8))
		return "the chip has not accepted an access";
	int32_t written = written_before(tx, i, a.reg);
	/* The upper bits of this one say what it does. */
	if (written != READ && a.reg != REG_BALANCE && written != access_data(b))
		return "a register has not kept what was written to it";
	return NULL;
}

/* The register's value in this reply; 0 where it was not read. */
static uint16_t value_of(struct bytes tx, struct bytes rx, uint8_t reg)
{
	struct access a;

	for (size_t i = 0; i < tx.n / ACCESS_SIZE; i++)
		if (open_access(nth(tx, i), &a) && a.reg == reg && a.value == READ)
			return access_data(nth(rx, i));
	return 0;
}

/* A checksum of three bits lets every eighth damage pass; the block is measured apart from the cells. */
static bool adds_up(struct bytes tx, struct bytes rx)
{
	double sum = cell_V(value_of(tx, rx, REG_CURRENT));

	for (unsigned i = 0; i < CELLS; i++)
		sum += cell_V(value_of(tx, rx, (uint8_t)(REG_CELL + i)));
	return fabs(sum - (value_of(tx, rx, REG_BLOCK) >> 2) * volts[SCALE_BLOCK]) <= 1;
}

static const char *distrust_measured(struct device *dev, struct bytes tx, struct bytes rx)
{
	struct mnb_state *s = dev->state;

	if (value_of(tx, rx, REG_STATUS1) & WAS_RESET) {
		s->is_set_up = false; /* what it has measured since means nothing */
		s->restarted = true;
		return "the chip has restarted, it is set up anew";
	}
	return adds_up(tx, rx) ? NULL : "the cells do not add up to the block's voltage";
}

static enum verdict mnb_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct bytes tx = {pending->tx, pending->n};
	struct mnb_state *s = dev->state;
	struct access a;

	if (!frame.n || frame.n != tx.n)
		return FRAME_FOREIGN;
	*why = NULL;
	for (size_t i = 0; i < tx.n / ACCESS_SIZE && !*why; i++)
		*why = distrust(tx, frame, i);
	if (!*why && pending->code == READY && !(value_of(tx, frame, REG_SCAN) & DATA_READY))
		*why = "the chip has not finished its scan";
	if (!*why && pending->code == MEASURE)
		*why = distrust_measured(dev, tx, frame);
	if (*why)
		return FRAME_BAD;
	if (pending->code == MEASURE)
		s->flags = 0;
	for (size_t i = 0; i < tx.n / ACCESS_SIZE; i++)
		if (open_access(nth(tx, i), &a) && a.value == READ)
			take_one(dev, a.reg, access_data(nth(frame, i)));
	s->is_set_up = s->is_set_up || pending->code == SET_UP;
	take_together(dev, pending->code);
	s->restarted = s->restarted && pending->code != MEASURE;
	return FRAME_ANSWER;
}

static bool mnb_plausible(const struct device *dev, const char **why)
{
	if (dev->reading.text[T_MODEL][0])
		return true;
	*why = "it has not told what it is";
	return false;
}

/* ---- the balancer: sheet 7 ---- */

static void proceed_off(struct device *dev, struct procedure *p, struct next *next)
{
	if (!step_ask(dev, p, next, BALANCE_OFF, 0))
		return;
	if (step_result(p) != STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the read-back failed");
	else if (balance_of(dev) != BALANCE_IDLE)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the chip still says that it balances");
	else
		step_end(next, COMMAND_DONE, "read back: no switch is on, no timer runs");
}

/* Only from a state in which nothing runs. True: it is one; false: return. */
static bool make_idle(struct device *dev, struct procedure *p, struct next *next)
{
	if (!step_ask(dev, p, next, BALANCE_STATE, 0))
		return false;
	if (step_result(p) == STEP_ANSWERED && step_is_new(p))
		p->memo[0] = 1u + balance_of(dev);
	if (!p->memo[0]) {
		step_end(next, COMMAND_REFUSED, "the chip does not tell its state; nothing was changed");
		return false;
	}
	if (p->memo[0] == 1u + BALANCE_RUNS) {
		step_end(next, COMMAND_DONE, "it balances already");
		return false;
	}
	if (p->memo[0] == 1u + BALANCE_IDLE)
		return true;
	if (!step_ask(dev, p, next, BALANCE_OFF, 0))
		return false;
	if (step_result(p) == STEP_ANSWERED)
		return true;
	step_end(next, COMMAND_UNCONFIRMED, "the last run could not be ended");
	return false;
}

static void proceed_on(struct device *dev, struct procedure *p, struct next *next)
{
	struct spread spread;
	unsigned cells = 0;

	for (unsigned i = 0; i < CELLS; i++)
		cells += timer_of(&dev->reading, i) > 0;
	if (!spread_of(&dev->reading, &spread) || !duty_of(&spread) || !cells) {
		step_end(next, COMMAND_REFUSED, "no cell is above 3.35 V, or they are less than 11 mV apart");
		return;
	}
	if (!make_idle(dev, p, next) || !step_ask(dev, p, next, BALANCE_TIMERS, 0))
		return;
	if (step_result(p) != STEP_ANSWERED) {
		step_end(next, COMMAND_UNCONFIRMED, "the chip has not kept the timers; not started");
		return;
	}
	if (!step_ask(dev, p, next, BALANCE_ON, duty_of(&spread)))
		return;
	if (step_result(p) == STEP_ANSWERED && balance_of(dev) == BALANCE_RUNS)
		step_end(next, COMMAND_DONE, "read back: %u cell%s balance%s", cells, cells == 1 ? "" : "s",
			 cells == 1 ? "s" : "");
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the chip does not say that it balances");
}

static void mnb_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	if (p->command->value != 0)
		proceed_on(dev, p, next);
	else
		proceed_off(dev, p, next);
}

/* ---- what the engine needs to know ---- */

/* The clock of the bus in Hz; the rest means nothing here. */
static const struct line lines[] = {{500000, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"MNB", NULL};

static bool is_not_set_up(const struct device *dev)
{
	const struct mnb_state *s = dev->state;

	return !s->is_set_up;
}

static bool has_flags(const struct device *dev)
{
	const struct mnb_state *s = dev->state;

	return s->flags != 0;
}

/* In this order: nothing is written before the version was read. */
static const struct poll polls[] = {
	{VERSION, 0, EVERY_POLL, true, NULL},	 {SET_UP, 0, EVERY_POLL, true, is_not_set_up},
	{CLEAR, 0, EVERY_POLL, true, has_flags}, {SCAN, 0, EVERY_POLL, true, NULL},
	{READY, 0, EVERY_POLL, true, NULL},	 {MEASURE, 0, EVERY_POLL, true, NULL},
	{IDENTITY, 0, ONCE, false, NULL},
};

static const struct probe probes[] = {{VERSION, 0, 0, 0, 0, 0, 50, false}};

#define A(id) (1u << ALARM_##id)

const struct protocol mnb_protocol = {
	.id = "mnb",
	.title = "MNB-Li, a MAX17853 on an SPI bus",
	.manufacturer = "MNB-Li",
	.bms_types = bms_types,
	.untested = true,
	.link = LINK_SPI,
	.lines = lines,
	.timing = {.first_ms = 50, .gap_ms = 10, .pause_ms = 5, .late_ms = 15, .tries = 3, .poll_ms = 1000},
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING,
	.quantities = UINT64_C(1) << Q_VOLTAGE_V | UINT64_C(1) << Q_CURRENT_A | UINT64_C(1) << Q_CAPACITY_FULL_AH,
	.alarms = A(HIGH_CELL_VOLTAGE) | A(LOW_CELL_VOLTAGE) | A(HIGH_VOLTAGE) | A(LOW_VOLTAGE) | A(CELL_IMBALANCE) |
		  A(LOW_CHARGE_TEMPERATURE) | A(LOW_TEMPERATURE) | A(HIGH_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) |
		  A(INTERNAL_FAILURE) | A(HIGH_INTERNAL_TEMPERATURE),
	.commands = 1u << COMMAND_BALANCE,
	.experimental = 1u << COMMAND_BALANCE,
	.state_size = sizeof(struct mnb_state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {IDENTITY},
	.confirm_count = 1,
	.encode = mnb_encode,
	.find_frame = mnb_find_frame,
	.take = mnb_take,
	.plausible = mnb_plausible,
	.parse_request = mnb_parse_request,
	.proceed = mnb_proceed,
};
