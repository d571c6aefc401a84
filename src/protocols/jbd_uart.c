/* SPDX-License-Identifier: GPL-3.0-or-later */
/* JBD / LLT / Xiaoxiang boards on a serial line: frames DD .. 77, sheet jbd-uart. Two dialects: the
 * standard one without address, and the addressed one of shared RS485 buses. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/jbd_common.h"
#include "protocols/checksum.h"
#include "protocols/procedure.h"
#include "protocols/protocol.h"
#include "protocols/table.h"

extern const struct protocol jbd_uart_protocol;

enum dialect { STANDARD, ADDRESSED };

/* A request's code: operation and register. */
#define READ		    0xa500
#define WRITE		    0x5a00
#define CODE_REGISTER(code) ((uint8_t)((code)&0xff))

enum registers {
	REG_FACTORY_ENTER = 0x00, /* read, it tells the front-end chip */
	REG_CHIP = 0x00,
	REG_FACTORY_LEAVE = 0x01,
	REG_BASIC = 0x03,
	REG_CELLS = 0x04,
	REG_NAME = 0x05,
	REG_PASSWORD = 0x06,
	REG_PASSWORD_CHANGE = 0x07,
	REG_PASSWORD_ERASE = 0x09,
	REG_CONTROL = 0x0a,
	REG_FACTORY_KEY = 0x0f,
	REG_DATE = 0x15,
	REG_SERIAL = 0x16,
	REG_FUNCTIONS = 0x2d,
	REG_MANUFACTURER = 0xa0,
	REG_MODEL = 0xa1,
	REG_BARCODE = 0xa2,
	REG_COUNTERS = 0xaa,
	REG_REMAINING = 0xe0,
	REG_MOS = 0xe1,
	REG_RESISTANCES = 0xf6,
	REG_PARAMETERS = 0xfa,
	REG_MOS_NEW = 0xfb,
};

enum statuses { NO_SUCH_REGISTER = 0x80, NOT_ALLOWED = 0x81, REQUEST_CHECKSUM = 0x82, WRONG_PASSWORD = 0x83 };

enum { MAX_PAYLOAD = 96, MAX_CALLBACK_ID = 4, JBD_MAX_CELLS = 32, JBD_MAX_NTC = 8 };

#define LOCK_BIT	     12 /* protection word: a MOS is held off by software */
#define FUNCTION_BALANCE     0x0004
#define FUNCTION_LARGE_UNITS 0x1000
#define HOLD_CHARGE	     1 /* of E1, as the bits of the FET byte */
#define HOLD_DISCHARGE	     2

struct state {
	bool functions_known;
	uint16_t functions;  /* register 2D as last read */
	uint16_t protection; /* register 03, offset 16, as last read */
	uint8_t status;	     /* of the last refusal */
	uint8_t balanced;    /* bit per register 03, the last one lowest: did any cell balance? */
	uint8_t fewer_cells; /* so many are real, although register 03 says more; 0: all are */
	bool hold_known;     /* E1 was written from here, and the lock has not gone since */
	uint8_t hold;	     /* what was written */
	bool block_answered; /* the board knows register FA */
	double ah_divisor;   /* of the capacities in the last register 03: 100, or 10 in large units */
};

/* ---- framing: sheet 3 ---- */

static uint16_t checksum(struct bytes covered)
{
	return (uint16_t)(0x10000u - sum16(covered));
}

static bool status_possible(uint8_t status)
{
	return status == 0 || (status >= NO_SUCH_REGISTER && status <= WRONG_PASSWORD);
}

/* One dialect's reading of what starts with DD: as find_frame(), but 0 also when the header can't be
 * this dialect (*possible false). */
static int find_dialect(enum dialect dialect, struct bytes in, bool *possible, const char **why)
{
	size_t shift = dialect == ADDRESSED;
	size_t n = (size_t)u8_at(in, 3 + shift) + 7 + shift;

	*possible = true;
	if (!bytes_has(in, 3 + shift, 1))
		return 0;
	uint8_t status = u8_at(in, 2 + shift);
	if (!status_possible(status) || n > MAX_PAYLOAD + 7 + shift) {
		*possible = false;
		return 0;
	}
	if (!bytes_has(in, 0, n))
		return 0;
	if (u8_at(in, n - 1) != 0x77) {
		*why = "end byte is not 77";
		return -1;
	}
	struct bytes covered = dialect == ADDRESSED ? bytes_sub(in, 1, n - 4) : bytes_sub(in, 2, n - 5);
	/* Some firmware sends its refusals with a wrong checksum (sheet 3.1). */
	if (checksum(covered) != u16be_at(in, n - 3) && !(status && n == 7 + shift)) {
		*why = "checksum";
		return -1;
	}
	return (int)n;
}

static int jbd_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	bool wait = false;

	if (in.p[0] != 0xdd)
		return -1;
	for (int d = STANDARD; d <= ADDRESSED; d++) {
		bool possible;

		if (pending && pending->dialect != d)
			continue;
		int n = find_dialect((enum dialect)d, in, &possible, why);
		if (n > 0)
			return n;
		wait = wait || (possible && n == 0);
	}
	if (wait && !quiet)
		return 0;
	if (wait)
		*why = "frame cut short";
	return -1;
}

struct reply {
	uint8_t reg, status;
	struct bytes payload;
};

static struct reply reply_of(struct bytes frame, uint8_t dialect)
{
	size_t shift = dialect == ADDRESSED;

	return (struct reply){u8_at(frame, 1 + shift), u8_at(frame, 2 + shift),
			      bytes_sub(frame, 4 + shift, u8_at(frame, 3 + shift))};
}

/* ---- requests ---- */

static void build(struct request *out, const uint8_t *payload, uint8_t n)
{
	uint8_t head[5] = {0xdd};
	uint8_t tail[3] = {0, 0, 0x77};
	size_t h = 1;

	if (out->dialect == ADDRESSED)
		head[h++] = out->address;
	head[h++] = (uint8_t)(out->code >> 8);
	head[h++] = CODE_REGISTER(out->code);
	head[h++] = n;
	out->n = 0;
	request_put(out, (struct bytes){head, h});
	request_put(out, (struct bytes){payload, n});
	size_t from = out->dialect == ADDRESSED ? 1 : 2;
	put_u16be(tail, checksum((struct bytes){out->tx + from, out->n - from}));
	request_put(out, (struct bytes){tail, 3});
}

static bool jbd_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	uint8_t payload[8];

	request_start(out, dev->protocol, dev->address, dev->dialect, code, arg);
	if (code == (READ | REG_PARAMETERS)) { /* arg: first parameter, count */
		payload[0] = 0;
		payload[1] = (uint8_t)(arg >> 8);
		payload[2] = (uint8_t)arg;
		build(out, payload, 3);
	} else if (code == (WRITE | REG_PASSWORD)) { /* six 0 bytes: no password is set */
		memset(payload, 0, sizeof(payload));
		payload[0] = 6;
		build(out, payload, 7);
	} else if ((code & 0xff00) == WRITE) {
		put_u16be(payload, arg);
		build(out, payload, 2);
	} else {
		build(out, payload, 0);
	}
	out->writes = (code & 0xff00) == WRITE;
	return true;
}

static bool holds_password(uint16_t code)
{
	uint8_t reg = CODE_REGISTER(code);

	return (code & 0xff00) == WRITE && (reg == REG_PASSWORD || reg == REG_PASSWORD_CHANGE ||
					    reg == REG_PASSWORD_ERASE || reg == REG_FACTORY_KEY);
}

/* A request may end in a few bytes behind the 77, which the board repeats (sheet 3.1). Passwords are not kept. */
static bool jbd_parse_request(struct bytes tx, struct request *out)
{
	for (int d = STANDARD; d <= ADDRESSED; d++) {
		size_t shift = d == ADDRESSED;
		size_t payload = 4 + shift, len = u8_at(tx, 3 + shift);
		size_t n = len + 7 + shift, from = d == ADDRESSED ? 1 : 2;
		uint16_t code = u16be_at(tx, 1 + shift);

		if (tx.n < n || tx.n > n + MAX_CALLBACK_ID || u8_at(tx, 0) != 0xdd || u8_at(tx, n - 1) != 0x77)
			continue;
		if ((code & 0xff00) != READ && (code & 0xff00) != WRITE)
			continue;
		if (checksum(bytes_sub(tx, from, n - 3 - from)) != u16be_at(tx, n - 3))
			continue;
		request_start(out, &jbd_uart_protocol, d == ADDRESSED ? tx.p[1] : 0, (uint8_t)d, code, 0);
		out->writes = (code & 0xff00) == WRITE;
		request_put(out, tx);
		if (holds_password(code))
			memset(out->tx + payload, 0, len);
		else if (code == (READ | REG_PARAMETERS))
			out->arg = (uint16_t)(u8_at(tx, payload + 1) << 8 | u8_at(tx, payload + 2));
		else if (len)
			out->arg = u16be_at(tx, payload);
		return true;
	}
	return false;
}

/* Word i of what consists of words. */
static uint16_t word_at(struct bytes p, size_t i)
{
	return u16be_at(p, 2 * i);
}

/* ---- register 03: sheet 5.1, 6 ---- */

static const struct number_row basic_rows[] = {
	{0, RAW_U16BE, 100, 0, Q_VOLTAGE_V},
	{8, RAW_U16BE, 1, 0, Q_CYCLES},
	{19, RAW_U8, 1, 0, Q_SOC_PCT},
};

static const struct alarm_row warning_rows[] = {
	{0, ALARM_WARNING, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{1, ALARM_WARNING, ALARM_LOW_CELL_VOLTAGE, NULL},
	{2, ALARM_WARNING, ALARM_HIGH_VOLTAGE, NULL},
	{3, ALARM_WARNING, ALARM_LOW_VOLTAGE, NULL},
	{4, ALARM_WARNING, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{5, ALARM_WARNING, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{6, ALARM_WARNING, ALARM_HIGH_TEMPERATURE, NULL},
	{7, ALARM_WARNING, ALARM_LOW_TEMPERATURE, NULL},
	{8, ALARM_WARNING, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{9, ALARM_WARNING, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{10, ALARM_WARNING, ALARM_CELL_IMBALANCE, NULL},
	{11, ALARM_WARNING, ALARM_LOW_SOC, NULL},
};

enum { SHORTEST_TAIL = 7 };

/* What newer firmware appends. A vendor sample ends in 3 bytes that make no sense: not taken for a tail. */
static void take_tail(struct bytes tail, double nominal_Ah, double ah, struct reading *r)
{
	if (tail.n < SHORTEST_TAIL)
		return;
	reading_set_detail(r, "humidity_pct", u8_at(tail, 0));
	table_alarms(ROWS(warning_rows), u16be_at(tail, 1), &r->alarms);
	/* A learned full capacity makes the nominal one the nameplate. */
	if (u16be_at(tail, 3)) {
		reading_set(r, Q_CAPACITY_DESIGN_AH, nominal_Ah);
		reading_set(r, Q_CAPACITY_FULL_AH, u16be_at(tail, 3) / ah);
	}
	if (bytes_has(tail, 7, 2))
		reading_set(r, Q_BALANCE_CURRENT_A, u16be_at(tail, 7) / 1000.0);
}

static bool basic_believable(struct bytes p, size_t ntc_off, const char **why)
{
	if (!bytes_has(p, 0, ntc_off + 1) || !bytes_has(p, ntc_off + 1, (size_t)2 * u8_at(p, ntc_off)))
		*why = "register 03 too short";
	else if (u8_at(p, 21) < 1 || u8_at(p, 21) > JBD_MAX_CELLS)
		*why = "cell count outside 1..32";
	else if (u8_at(p, ntc_off) > JBD_MAX_NTC)
		*why = "more than 8 temperature sensors";
	else if (u8_at(p, 19) > 100)
		*why = "SoC above 100 %";
	else
		return true;
	return false;
}

static void take_capacity(struct device *dev, struct bytes p)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;
	bool large = s->functions_known && (s->functions & FUNCTION_LARGE_UNITS);
	bool tenths = u8_at(p, 20) & 0x80;

	s->ah_divisor = large || tenths ? 10 : 100;
	reading_set(r, Q_CURRENT_A, (int16_t)u16be_at(p, 2) / (tenths ? 10.0 : 100.0));
	reading_set(r, Q_CAPACITY_REMAINING_AH, u16be_at(p, 4) / s->ah_divisor);
	reading_set(r, Q_CAPACITY_FULL_AH, u16be_at(p, 6) / s->ah_divisor);
	reading_forget(r, Q_CAPACITY_DESIGN_AH);
}

static void take_identity(struct reading *r, struct bytes p)
{
	char text[16];

	jbd_date_text(u16be_at(p, 10), text);
	reading_set_text(r, T_PRODUCTION_DATE, text);
	snprintf(text, sizeof(text), "%u.%u", u8_at(p, 18) >> 4, u8_at(p, 18) & 15);
	reading_set_text(r, T_FIRMWARE_VERSION, text);
}

/* Odd and even cells take turns, with nothing in between now and then: so many readings it still counts as
 * balancing. */
#define BALANCED_MASK 7u

static void take_balancing(struct device *dev, struct bytes p)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;

	/* Bit 0 is cell 1: two captures settle what the papers contradict each other on (sheet 5.1). */
	r->balancing = u16be_at(p, 12) | (uint64_t)u16be_at(p, 14) << 16;
	r->balancing &= (UINT64_C(1) << u8_at(p, 21)) - 1;
	r->balancing_known = true;
	s->balanced = (uint8_t)((s->balanced << 1 | (r->balancing != 0)) & BALANCED_MASK);
	reading_set_flag(r, F_BALANCING_ACTIVE, s->balanced);
}

static void take_switches(struct device *dev, struct bytes p)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;
	uint8_t fet = u8_at(p, 20);

	s->protection = u16be_at(p, 16);
	if (!(s->protection >> LOCK_BIT & 1))
		s->hold_known = false;
	jbd_protections(s->protection, &r->alarms);
	reading_set_detail(r, "mos_software_lock", s->protection >> LOCK_BIT & 1);
	reading_set_flag(r, F_CHARGE_MOS, fet & 1);
	reading_set_flag(r, F_DISCHARGE_MOS, fet & 2);
	reading_set_flag(r, F_CHARGE_ALLOWED, fet & 1);
	reading_set_flag(r, F_DISCHARGE_ALLOWED, fet & 2);
	reading_set_flag(r, F_HEATER_ON, fet & 8);
	reading_set_detail(r, "current_limiter_on", fet >> 2 & 1);
}

static void take_temperatures(struct device *dev, struct bytes p, size_t ntc_off)
{
	struct reading *r = &dev->reading;
	unsigned ntc = u8_at(p, ntc_off);
	struct bytes sensors = bytes_sub(p, ntc_off + 1, p.n);

	series_start(&r->temperatures, ntc);
	for (unsigned i = 0; i < ntc; i++)
		series_set(&r->temperatures, i, jbd_celsius(word_at(sensors, i)));
	if (dev->dialect == ADDRESSED) {
		reading_set(r, Q_TEMP_MOS_C, jbd_celsius(u16be_at(p, 24)));
		reading_set(r, Q_TEMP_AMBIENT_C, jbd_celsius(u16be_at(p, 26)));
	} else if (ntc >= 2 && series_knows(&r->temperatures, 0)) {
		reading_set(r, Q_TEMP_MOS_C, r->temperatures.value[0]);
	} else {
		reading_forget(r, Q_TEMP_MOS_C);
	}
}

static enum verdict take_basic(struct device *dev, struct bytes p, const char **why)
{
	struct reading *r = &dev->reading;
	const struct state *s = dev->state;
	size_t ntc_off = dev->dialect == ADDRESSED ? 28 : 22;
	unsigned cells = u8_at(p, 21);

	if (!basic_believable(p, ntc_off, why))
		return FRAME_BAD;
	table_numbers(ROWS(basic_rows), p, r);
	reading_set(r, Q_CELL_COUNT, s->fewer_cells && s->fewer_cells < cells ? s->fewer_cells : cells);
	take_capacity(dev, p);
	take_identity(r, p);
	take_balancing(dev, p);
	take_switches(dev, p);
	take_temperatures(dev, p, ntc_off);
	if (dev->dialect == STANDARD)
		take_tail(bytes_sub(p, ntc_off + 1 + (size_t)2 * u8_at(p, ntc_off), p.n),
			  u16be_at(p, 6) / s->ah_divisor, s->ah_divisor, r);
	return FRAME_ANSWER;
}

/* ---- the other registers: sheet 5.2 .. 5.6 ---- */

/*
 * Some boards count a cell too many and show it as 0 V at the end (sheet 10). A cell that is there, with
 * its wire off, is missing in the sum of the others: half a cell tells the two apart.
 */
static unsigned real_cells(const struct reading *r, struct bytes p, unsigned cells)
{
	double voltage = reading_get(r, Q_VOLTAGE_V), sum = 0;
	unsigned real = cells;

	while (real && !word_at(p, real - 1))
		real--;
	for (unsigned i = 0; i < real; i++)
		sum += word_at(p, i) / 1000.0;
	return real && fabs(sum - voltage) < 0.5 * sum / real ? real : cells;
}

static enum verdict take_cells(struct device *dev, struct bytes p, const char **why)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;
	unsigned words = (unsigned)p.n / 2;
	unsigned cells = words;

	if (!words || words > JBD_MAX_CELLS + 1 || (p.n & 1)) {
		*why = "length of register 04";
		return FRAME_BAD;
	}
	/* One word more than there are cells may follow. */
	if (reading_knows(r, Q_CELL_COUNT) && r->number[Q_CELL_COUNT] < cells)
		cells = (unsigned)r->number[Q_CELL_COUNT];
	unsigned real = real_cells(r, p, cells);

	if (real < cells) {
		s->fewer_cells = (uint8_t)real;
		reading_set(r, Q_CELL_COUNT, real);
	} else if (s->fewer_cells && word_at(p, s->fewer_cells)) {
		s->fewer_cells = 0;
	}
	series_start(&r->cell_V, real);
	for (unsigned i = 0; i < real; i++)
		series_set(&r->cell_V, i, word_at(p, i) / 1000.0);
	return FRAME_ANSWER;
}

static enum verdict take_counters(struct device *dev, struct bytes p)
{
	static const char *const counter[] = {
		"count_short_circuit",		 "count_charge_overcurrent",	    "count_discharge_overcurrent",
		"count_cell_overvoltage",	 "count_cell_undervoltage",	    "count_charge_overtemperature",
		"count_charge_undertemperature", "count_discharge_overtemperature", "count_discharge_undertemperature",
		"count_pack_overvoltage",	 "count_pack_undervoltage",	    "count_restarts",
	};

	for (size_t i = 0; i < sizeof(counter) / sizeof(counter[0]); i++)
		if (bytes_has(p, 2 * i, 2))
			reading_set_detail(&dev->reading, counter[i], word_at(p, i));
	return FRAME_ANSWER;
}

/* "Not yet implemented" by the vendor: all zero means just that. */
static enum verdict take_resistances(struct device *dev, struct bytes p)
{
	struct reading *r = &dev->reading;
	unsigned cells = reading_knows(r, Q_CELL_COUNT) ? (unsigned)r->number[Q_CELL_COUNT] : 0;
	bool any = false;

	for (unsigned i = 0; i < cells; i++)
		any = any || word_at(p, i);
	if (!any)
		return FRAME_ANSWER;
	series_start(&r->cell_resistance_ohm, cells);
	for (unsigned i = 0; i < cells && i < p.n / 2; i++)
		series_set(&r->cell_resistance_ohm, i, (int16_t)word_at(p, i) / 10000.0);
	return FRAME_ANSWER;
}

/* ---- configuration: sheet 8. A register and, on newer boards, a number in block FA ---- */

enum part { WORD, HIGH, LOW };

static const struct parameter {
	int16_t reg, fa; /* -1: not there */
	enum part part;	 /* of the register; in block FA each is a word of its own */
	enum raw_type type;
	double divisor, add;
	double large; /* the divisor in large units; 0: the same */
	const char *name;
} parameters[] = {
	{0x10, 0, WORD, RAW_U16BE, 100, 0, 10, "capacity_design_Ah"},
	{0x11, 1, WORD, RAW_U16BE, 100, 0, 10, "capacity_cycle_Ah"},
	{0x12, 2, WORD, RAW_U16BE, 1000, 0, 0, "soc100_V"},
	{0x13, 3, WORD, RAW_U16BE, 1000, 0, 0, "soc0_V"},
	{0x14, -1, WORD, RAW_U16BE, 10, 0, 0, "self_discharge_pct"},
	{0x16, 6, WORD, RAW_U16BE, 1, 0, 0, "serial_number"},
	{0x17, 7, WORD, RAW_U16BE, 1, 0, 0, "cycles"},
	{0x18, 8, WORD, RAW_U16BE, 10, -2731, 0, "charge_otp_C"},
	{0x19, 9, WORD, RAW_U16BE, 10, -2731, 0, "charge_otpr_C"},
	{0x1a, 10, WORD, RAW_U16BE, 10, -2731, 0, "charge_utp_C"},
	{0x1b, 11, WORD, RAW_U16BE, 10, -2731, 0, "charge_utpr_C"},
	{0x1c, 12, WORD, RAW_U16BE, 10, -2731, 0, "discharge_otp_C"},
	{0x1d, 13, WORD, RAW_U16BE, 10, -2731, 0, "discharge_otpr_C"},
	{0x1e, 14, WORD, RAW_U16BE, 10, -2731, 0, "discharge_utp_C"},
	{0x1f, 15, WORD, RAW_U16BE, 10, -2731, 0, "discharge_utpr_C"},
	{0x20, 16, WORD, RAW_U16BE, 100, 0, 0, "pack_ovp_V"},
	{0x21, 17, WORD, RAW_U16BE, 100, 0, 0, "pack_ovpr_V"},
	{0x22, 18, WORD, RAW_U16BE, 100, 0, 0, "pack_uvp_V"},
	{0x23, 19, WORD, RAW_U16BE, 100, 0, 0, "pack_uvpr_V"},
	{0x24, 20, WORD, RAW_U16BE, 1000, 0, 0, "cell_ovp_V"},
	{0x25, 21, WORD, RAW_U16BE, 1000, 0, 0, "cell_ovpr_V"},
	{0x26, 22, WORD, RAW_U16BE, 1000, 0, 0, "cell_uvp_V"},
	{0x27, 23, WORD, RAW_U16BE, 1000, 0, 0, "cell_uvpr_V"},
	{0x28, 24, WORD, RAW_S16BE, 100, 0, 10, "charge_ocp_A"},
	{0x29, 25, WORD, RAW_S16BE, -100, 0, -10, "discharge_ocp_A"}, /* stored negative */
	{0x2a, 26, WORD, RAW_U16BE, 1000, 0, 0, "balance_start_V"},
	{0x2b, 27, WORD, RAW_U16BE, 1000, 0, 0, "balance_trigger_V"},
	{0x2c, -1, WORD, RAW_U16BE, 10, 0, 100, "shunt_mOhm"},
	{0x2d, 29, WORD, RAW_U16BE, 1, 0, 0, "function_bits"},
	{0x2e, 30, WORD, RAW_U16BE, 1, 0, 0, "ntc_enable_bits"},
	{0x2f, 31, WORD, RAW_U16BE, 1, 0, 0, "cell_count"},
	{0x30, 32, WORD, RAW_U16BE, 1, 0, 0, "fet_switch_time_s"},
	{0x31, 33, WORD, RAW_U16BE, 1, 0, 0, "led_time_s"},
	{0x32, 34, WORD, RAW_U16BE, 1000, 0, 0, "soc80_V"},
	{0x33, 35, WORD, RAW_U16BE, 1000, 0, 0, "soc60_V"},
	{0x34, 36, WORD, RAW_U16BE, 1000, 0, 0, "soc40_V"},
	{0x35, 37, WORD, RAW_U16BE, 1000, 0, 0, "soc20_V"},
	{0x36, 38, WORD, RAW_U16BE, 1000, 0, 0, "hardware_ovp_V"},
	{0x37, 39, WORD, RAW_U16BE, 1000, 0, 0, "hardware_uvp_V"},
	{0x38, -1, WORD, RAW_U16BE, 1, 0, 0, "short_circuit_bits"},
	{0x39, -1, WORD, RAW_U16BE, 1, 0, 0, "hardware_delay_bits"},
	{0x3a, 44, HIGH, RAW_U8, 1, 0, 0, "charge_utp_delay_s"},
	{0x3a, 45, LOW, RAW_U8, 1, 0, 0, "charge_otp_delay_s"},
	{0x3b, 46, HIGH, RAW_U8, 1, 0, 0, "discharge_utp_delay_s"},
	{0x3b, 47, LOW, RAW_U8, 1, 0, 0, "discharge_otp_delay_s"},
	{0x3c, 48, HIGH, RAW_U8, 1, 0, 0, "pack_uvp_delay_s"},
	{0x3c, 49, LOW, RAW_U8, 1, 0, 0, "pack_ovp_delay_s"},
	{0x3d, 50, HIGH, RAW_U8, 1, 0, 0, "cell_uvp_delay_s"},
	{0x3d, 51, LOW, RAW_U8, 1, 0, 0, "cell_ovp_delay_s"},
	{0x3e, 52, HIGH, RAW_U8, 1, 0, 0, "charge_ocp_delay_s"},
	{0x3e, 53, LOW, RAW_U8, 1, 0, 0, "charge_ocpr_s"},
	{0x3f, 54, HIGH, RAW_U8, 1, 0, 0, "discharge_ocp_delay_s"},
	{0x3f, 55, LOW, RAW_U8, 1, 0, 0, "discharge_ocpr_s"},
	{0x40, 104, WORD, RAW_U16BE, 1, 0, 0, "gps_cutoff_voltage"},
	{0x41, 105, WORD, RAW_U16BE, 1, 0, 0, "gps_cutoff_delay"},
	{0x42, 106, WORD, RAW_U16BE, 1000, 0, 0, "soc90_V"},
	{0x43, 107, WORD, RAW_U16BE, 1000, 0, 0, "soc70_V"},
	{0x44, 108, WORD, RAW_U16BE, 1000, 0, 0, "soc50_V"},
	{0x45, 109, WORD, RAW_U16BE, 1000, 0, 0, "soc30_V"},
	{0x46, 110, WORD, RAW_U16BE, 1000, 0, 0, "soc10_V"},
	{0x47, 111, WORD, RAW_U16BE, 1000, 0, 0, "soc100_table_V"},
	{-1, 4, WORD, RAW_U16BE, 1, 0, 0, "own_consumption_mA"},
	{-1, 40, WORD, RAW_U16BE, 1, 0, 0, "second_ocp_bits"},
	{-1, 41, WORD, RAW_U16BE, 1, 0, 0, "short_circuit_raw"},
	{-1, 42, WORD, RAW_U16BE, 1, 0, 0, "hardware_delays_raw"},
	{-1, 43, WORD, RAW_U16BE, 1, 0, 0, "short_circuit_release_s"},
	{-1, 112, WORD, RAW_U16BE, 100, 0, 10, "capacity_learned_Ah"},
	{-1, 113, WORD, RAW_U16BE, 1, 0, 0, "correction_interval_s"},
	{-1, 114, WORD, RAW_U16BE, 10, 0, 0, "rated_voltage_V"},
	{-1, 115, WORD, RAW_U16BE, 1, 0, 0, "rated_current_A"},
	{-1, 116, WORD, RAW_U16BE, 1, 0, 0, "power_max_W"},
	{-1, 117, WORD, RAW_U16BE, 10, 0, 0, "rated_charge_voltage_V"},
	{-1, 118, WORD, RAW_U16BE, 1, 0, 0, "rated_discharge_current_A"},
	{-1, 119, WORD, RAW_U16BE, 1, 0, 0, "rated_charge_current_A"},
	{-1, 120, WORD, RAW_U16BE, 1, 0, 0, "rated_discharge_power_W"},
	{-1, 121, WORD, RAW_U16BE, 1, 0, 0, "current_min_mA"},
	{-1, 122, WORD, RAW_U16BE, 1, 0, 0, "sleep_time_s"},
};

#define PARAMETER_COUNT (sizeof(parameters) / sizeof(parameters[0]))

/* The bits of 2D whose meaning has been the same in all firmware; bits 6-10 have not (sheet 8.1). */
static const struct {
	uint8_t bit;
	const char *name;
} function_switches[] = {
	{0, "external_switch"},
	{1, "load_detection"},
	{2, "balance_enabled"},
	{3, "balance_only_charging"},
	{4, "led"},
	{5, "led_count"},
	{11, "start_battery_mode"},
	{12, "large_units"},
	{13, "bluetooth_power"},
};

enum { FA_DATE = 5, FA_SHUNT = 28, FA_FUNCTIONS = 29, FA_UNIQUE_ID = 170, UNIQUE_ID_SIZE = 12 };

static const struct {
	uint8_t first, words;
	const char *name;
} block_texts[] = {{56, 16, "manufacturer"},
		   {72, 16, "bms_code"},
		   {88, 16, "barcode"},
		   {158, 12, "battery_model"},
		   {176, 8, "hardware_name"}};

static void note_functions(struct device *dev, uint16_t functions)
{
	struct state *s = dev->state;

	s->functions = functions;
	s->functions_known = true;
	reading_set_flag(&dev->reading, F_BALANCE_ENABLED, functions & FUNCTION_BALANCE);
	for (size_t i = 0; i < sizeof(function_switches) / sizeof(function_switches[0]); i++)
		settings_set_switch(&dev->settings, function_switches[i].name,
				    functions >> function_switches[i].bit & 1);
}

static void note_date(struct device *dev, uint16_t raw)
{
	char text[16];

	jbd_date_text(raw, text);
	settings_set_text(&dev->settings, "production_date", text);
}

static void take_parameter(struct device *dev, const struct parameter *row, struct bytes word)
{
	const struct state *s = dev->state;
	bool large = s->functions_known && (s->functions & FUNCTION_LARGE_UNITS);

	settings_set_number(&dev->settings, row->name,
			    (raw_at(word, 0, row->type) + row->add) /
				    (large && row->large != 0 ? row->large : row->divisor));
}

/* A text with its length in front, or without: no letter is that small. */
static void take_setting_text(struct device *dev, const char *name, struct bytes at)
{
	char text[MAX_SETTING_TEXT];
	bool counted = u8_at(at, 0) < ' ';

	bytes_text(bytes_sub(at, counted, counted ? u8_at(at, 0) : at.n), text, sizeof(text));
	settings_set_text(&dev->settings, name, text);
}

/* A0, A1, A2: sheet 8.1. */
static void take_name(struct device *dev, uint8_t reg, struct bytes p)
{
	static const char *const name[] = {"manufacturer", "model", "barcode"};
	char text[MAX_TEXT];

	take_setting_text(dev, name[reg - REG_MANUFACTURER], p);
	if (reg != REG_MANUFACTURER)
		return;
	bytes_text(bytes_sub(p, 1, u8_at(p, 0)), text, sizeof(text));
	reading_set_text(&dev->reading, T_MANUFACTURER, text);
}

static void take_chip(struct device *dev, uint16_t chip)
{
	static const char *const names[] = {"TI", "OZ7717", "Panasonic 49522", "SH309", "SH303", "DC10xx", "OZ3714"};

	if (chip < sizeof(names) / sizeof(names[0]))
		settings_set_text(&dev->settings, "front_end_chip", names[chip]);
}

static enum verdict take_register(struct device *dev, uint8_t reg, struct bytes p, const char **why)
{
	char text[8];

	if (reg >= REG_MANUFACTURER && reg <= REG_BARCODE) {
		take_name(dev, reg, p);
		return FRAME_ANSWER;
	}
	if (p.n != 2) {
		*why = "length of a register";
		return FRAME_BAD;
	}
	if (reg == REG_CHIP)
		take_chip(dev, u16be_at(p, 0));
	if (reg == REG_FUNCTIONS)
		note_functions(dev, u16be_at(p, 0));
	if (reg == REG_DATE)
		note_date(dev, u16be_at(p, 0));
	if (reg == REG_SERIAL) {
		snprintf(text, sizeof(text), "%u", u16be_at(p, 0));
		reading_set_text(&dev->reading, T_SERIAL_NUMBER, text);
	}
	for (size_t i = 0; i < PARAMETER_COUNT; i++)
		if (parameters[i].reg == reg)
			take_parameter(dev, &parameters[i], bytes_sub(p, parameters[i].part == LOW, 2));
	return FRAME_ANSWER;
}

/* The words from number on, of a block that begins with first; empty when they are not all in it. */
static struct bytes block_words(struct bytes words, size_t first, size_t number, size_t count)
{
	if (number < first || !bytes_has(words, 2 * (number - first), 2 * count))
		return (struct bytes){words.p, 0};
	return bytes_sub(words, 2 * (number - first), 2 * count);
}

static void take_block_parameters(struct device *dev, unsigned first, struct bytes words)
{
	struct bytes at = block_words(words, first, FA_FUNCTIONS, 1); /* first: it says in which units the others are */

	if (at.n)
		note_functions(dev, u16be_at(at, 0));
	at = block_words(words, first, FA_DATE, 1);
	if (at.n)
		note_date(dev, u16be_at(at, 0));
	at = block_words(words, first, FA_SHUNT, 1);
	if (at.n)
		settings_set_number(&dev->settings, "shunt_mOhm",
				    (u16be_at(at, 0) & 0x7fff) / (u16be_at(at, 0) & 0x8000 ? 100.0 : 10.0));
	for (size_t i = 0; i < PARAMETER_COUNT; i++) {
		at = parameters[i].fa < 0 ? (struct bytes){words.p, 0}
					  : block_words(words, first, (size_t)parameters[i].fa, 1);
		if (at.n)
			take_parameter(dev, &parameters[i], bytes_sub(at, parameters[i].part != WORD, 2));
	}
}

static void take_block_texts(struct device *dev, unsigned first, struct bytes words)
{
	char text[2 * UNIQUE_ID_SIZE + 1];

	for (size_t i = 0; i < sizeof(block_texts) / sizeof(block_texts[0]); i++) {
		struct bytes at = block_words(words, first, block_texts[i].first, block_texts[i].words);

		if (at.n)
			take_setting_text(dev, block_texts[i].name, at);
	}
	struct bytes id = block_words(words, first, FA_UNIQUE_ID, UNIQUE_ID_SIZE / 2);

	if (id.n) {
		bytes_hex(id, text, sizeof(text));
		settings_set_text(&dev->settings, "unique_id", text);
	}
}

static enum verdict take_block(struct device *dev, uint16_t arg, struct bytes p, const char **why)
{
	unsigned first = u16be_at(p, 0), count = u8_at(p, 2);

	if (first != (unsigned)arg >> 8 || count != (arg & 0xffu))
		return FRAME_FOREIGN;
	if (p.n != 3 + 2u * count) {
		*why = "length of block FA";
		return FRAME_BAD;
	}
	((struct state *)dev->state)->block_answered = true;
	take_block_parameters(dev, first, bytes_sub(p, 3, p.n));
	take_block_texts(dev, first, bytes_sub(p, 3, p.n));
	return FRAME_ANSWER;
}

static const char *status_text(uint8_t status)
{
	switch (status) {
	case NO_SUCH_REGISTER:
		return "no such register or command (status 80)";
	case NOT_ALLOWED:
		return "not allowed now: factory mode or a password is needed (status 81)";
	case REQUEST_CHECKSUM:
		return "the board found our checksum wrong (status 82)";
	case WRONG_PASSWORD:
		return "wrong password (status 83)";
	default:
		return "refused";
	}
}

/* The name register may be empty; every other read brings data. */
static bool may_be_empty(uint8_t reg)
{
	return reg == REG_NAME;
}

/* What was written to the MOS switches tells more than 03 does afterwards. */
static void note_written(struct device *dev, const struct request *pending)
{
	struct state *s = dev->state;
	uint8_t reg = CODE_REGISTER(pending->code);

	if (reg != REG_MOS && reg != REG_MOS_NEW)
		return;
	s->hold_known = reg == REG_MOS && pending->arg;
	s->hold = pending->arg & (HOLD_CHARGE | HOLD_DISCHARGE);
}

static enum verdict jbd_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct reply reply = reply_of(frame, pending->dialect);
	uint8_t reg = CODE_REGISTER(pending->code);
	bool write = (pending->code & 0xff00) == WRITE;

	if (!frame.n || reply.reg != reg)
		return FRAME_FOREIGN;
	if (pending->dialect == ADDRESSED && u8_at(frame, 1) != pending->address)
		return FRAME_FOREIGN;
	if (reply.status) {
		((struct state *)dev->state)->status = reply.status;
		*why = status_text(reply.status);
		return FRAME_REFUSED;
	}
	/* An acknowledgement is empty, data is not: a late one is never taken for the other. */
	if (write && reply.payload.n)
		return FRAME_FOREIGN;
	if (write) {
		note_written(dev, pending);
		return FRAME_ANSWER;
	}
	if (!reply.payload.n && !may_be_empty(reg))
		return FRAME_FOREIGN;
	if (pending->dialect == ADDRESSED)
		reading_set(&dev->reading, Q_ADDRESS, pending->address);

	char text[MAX_TEXT];
	switch (reg) {
	case REG_BASIC:
		return take_basic(dev, reply.payload, why);
	case REG_CELLS:
		return take_cells(dev, reply.payload, why);
	case REG_NAME:
		bytes_text(reply.payload, text, sizeof(text));
		reading_set_text(&dev->reading, T_MODEL, text);
		return FRAME_ANSWER;
	case REG_COUNTERS:
		return take_counters(dev, reply.payload);
	case REG_RESISTANCES:
		return take_resistances(dev, reply.payload);
	case REG_PARAMETERS:
		return take_block(dev, pending->arg, reply.payload, why);
	default:
		return take_register(dev, reg, reply.payload, why);
	}
}

static bool jbd_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;
	double sum = 0, voltage = reading_get(r, Q_VOLTAGE_V);

	if (!reading_knows(r, Q_VOLTAGE_V) || !r->cell_V.count) {
		*why = "registers 03 and 04 have not both been answered";
		return false;
	}
	for (unsigned i = 0; i < r->cell_V.count; i++)
		sum += r->cell_V.value[i];
	/* Pack voltage 0 is seen on a bench (sheet 10). */
	if (voltage > 0 && fabs(sum - voltage) > 0.05 * voltage) {
		*why = "the cells do not add up to the pack voltage";
		return false;
	}
	return reading_plausible(r, why);
}

/* ---- commands: sheet 7 ---- */

enum { READ_BACKS = 4, READ_BACK_WAIT_MS = 400, ESTIMATE_READ_BACKS = 3, LEAVE_WAIT_MS = 500, FACTORY_KEY = 0x5678 };

/* Notes of a command: memo[MEMO_PASSWORD_AT] is the step that the board wanted a password for. */
enum memos { MEMO_VALUE, MEMO_FALLBACK, MEMO_GOOD, MEMO_PASSWORD_AT };

static bool status_was(const struct device *dev, const struct procedure *p, uint8_t status)
{
	const struct state *s = dev->state;

	return step_result(p) == STEP_REFUSED && s->status == status;
}

static bool not_allowed(const struct device *dev, const struct procedure *p)
{
	return status_was(dev, p, NOT_ALLOWED) || status_was(dev, p, WRONG_PASSWORD);
}

/* step_ask() for a write. When the board wants a password first: says, once in a command, that there is none,
 * and asks again. */
static bool step_write(struct device *dev, struct procedure *p, struct next *next, uint8_t reg, uint16_t arg)
{
	if (!step_ask(dev, p, next, WRITE | reg, arg))
		return false;
	if (step_is_new(p) && !p->memo[MEMO_PASSWORD_AT] && not_allowed(dev, p))
		p->memo[MEMO_PASSWORD_AT] = p->at;
	if (p->memo[MEMO_PASSWORD_AT] != p->at)
		return true;
	return step_ask(dev, p, next, WRITE | REG_PASSWORD, 0) && step_ask(dev, p, next, WRITE | reg, arg);
}

/* Leaves factory mode without saving, whatever was done in it; asked again when the board is silent. */
static bool step_leave(struct device *dev, struct procedure *p, struct next *next)
{
	if (!step_ask(dev, p, next, WRITE | REG_FACTORY_LEAVE, 0))
		return false;
	if (step_result(p) != STEP_SILENT)
		return true;
	return step_wait(p, next, LEAVE_WAIT_MS) && step_ask(dev, p, next, WRITE | REG_FACTORY_LEAVE, 0);
}

/* Which MOS are held off by software. After a start from outside all that 03 tells is that one of those that
 * are off is: both count as held then, for nothing may come on that somebody has switched off. */
static uint8_t held_off(const struct device *dev)
{
	const struct state *s = dev->state;
	uint8_t held = 0;

	if (!(s->protection >> LOCK_BIT & 1))
		return 0;
	if (s->hold_known)
		return s->hold;
	if (reading_flag(&dev->reading, F_CHARGE_MOS) == OFF)
		held |= HOLD_CHARGE;
	if (reading_flag(&dev->reading, F_DISCHARGE_MOS) == OFF)
		held |= HOLD_DISCHARGE;
	return held;
}

/* Reads 03 until the switch is as wanted, for somewhat more than the second that a board takes. */
static void read_back_mos(struct device *dev, struct procedure *p, struct next *next)
{
	bool charge = p->command->kind == COMMAND_CHARGE;
	bool want_on = p->command->value != 0;
	const char *name = charge ? "charge" : "discharge";
	const struct state *s = dev->state;
	bool on = false, locked = false;

	for (int i = 0; i < READ_BACKS; i++) {
		if (i && !step_wait(p, next, READ_BACK_WAIT_MS))
			return;
		if (!step_ask(dev, p, next, READ | REG_BASIC, 0))
			return;
		on = reading_flag(&dev->reading, charge ? F_CHARGE_MOS : F_DISCHARGE_MOS) == ON;
		locked = s->protection >> LOCK_BIT & 1;
		if (step_result(p) == STEP_ANSWERED && on == want_on && (on || locked)) {
			step_end(next, COMMAND_DONE, "%s MOS reads back %s", name, on ? "on" : "off");
			return;
		}
	}
	if (step_result(p) != STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
	else if (want_on && !(held_off(dev) & (charge ? HOLD_CHARGE : HOLD_DISCHARGE)))
		step_end(next, COMMAND_UNCONFIRMED,
			 "released, but the %s MOS stays off: a protection holds it (see Alarms)", name);
	else if (on == want_on)
		step_end(next, COMMAND_UNCONFIRMED, "the %s MOS reads back off, but not locked: it may come on again",
			 name);
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the %s MOS reads back %s", name, on ? "on" : "off");
}

/* E1, and where that is refused what newer firmware wants instead. memo: the hold bits to write; the status
 * of the first refusal. */
static bool step_write_mos(struct device *dev, struct procedure *p, struct next *next)
{
	bool charge = p->command->kind == COMMAND_CHARGE;
	bool hold = p->command->value == 0;

	if (!step_ask(dev, p, next, WRITE | REG_MOS, (uint16_t)p->memo[MEMO_VALUE]))
		return false;
	if (step_is_new(p))
		p->memo[MEMO_FALLBACK] = not_allowed(dev, p)			? NOT_ALLOWED
					 : status_was(dev, p, NO_SUCH_REGISTER) ? NO_SUCH_REGISTER
										: 0;
	switch (p->memo[MEMO_FALLBACK]) {
	case NOT_ALLOWED:
		return step_write(dev, p, next, REG_FACTORY_ENTER, FACTORY_KEY) &&
		       step_write(dev, p, next, REG_MOS, (uint16_t)p->memo[MEMO_VALUE]);
	case NO_SUCH_REGISTER: /* FB: which switch (00 discharge, 01 charge), then 00 release, 01 hold off */
		return step_write(dev, p, next, REG_MOS_NEW, (uint16_t)(charge << 8 | hold));
	default:
		return true;
	}
}

/* E1 carries the state of both switches, so the other one's is read first. As the vendor's app does it: E1,
 * then leave factory mode without having entered it. */
static void proceed_mos(struct device *dev, struct procedure *p, struct next *next)
{
	uint8_t bit = p->command->kind == COMMAND_CHARGE ? HOLD_CHARGE : HOLD_DISCHARGE;

	if (!step_ask(dev, p, next, READ | REG_BASIC, 0))
		return;
	if (step_result(p) != STEP_ANSWERED) {
		step_end(next, COMMAND_REFUSED, "the board does not tell its present state; nothing was sent");
		return;
	}
	if (step_is_new(p))
		p->memo[MEMO_VALUE] =
			p->command->value != 0 ? held_off(dev) & ~(uint32_t)bit : held_off(dev) | (uint32_t)bit;
	if (!step_write_mos(dev, p, next))
		return;
	enum step_result written = step_result(p);
	const char *why = step_why(p);
	if (!step_leave(dev, p, next))
		return;
	if (written == STEP_REFUSED)
		step_end(next, COMMAND_REFUSED, "%s", why);
	else
		read_back_mos(dev, p, next);
}

/* The enable bit is one of many in register 2D: read, change that bit, write, leave, read again.
 * Factory mode is left whatever happened. memo: the word to write. */
static void proceed_balance(struct device *dev, struct procedure *p, struct next *next)
{
	const struct state *s = dev->state;
	bool want_on = p->command->value != 0;

	if (!step_write(dev, p, next, REG_FACTORY_ENTER, FACTORY_KEY))
		return;
	enum step_result result = step_result(p);
	const char *why = step_why(p);
	if (result == STEP_ANSWERED) {
		if (!step_ask(dev, p, next, READ | REG_FUNCTIONS, 0))
			return;
		result = step_result(p);
		why = step_why(p);
	}
	bool written = result == STEP_ANSWERED;
	if (written) {
		if (step_is_new(p))
			p->memo[MEMO_VALUE] =
				want_on ? s->functions | FUNCTION_BALANCE : s->functions & ~FUNCTION_BALANCE;
		if (!step_write(dev, p, next, REG_FUNCTIONS, (uint16_t)p->memo[MEMO_VALUE]))
			return;
		result = step_result(p);
		why = step_why(p);
	}
	if (!step_leave(dev, p, next))
		return;
	if (result == STEP_REFUSED || !written) {
		step_end(next, COMMAND_REFUSED, "%s", result == STEP_REFUSED ? why : "no answer; nothing was changed");
		return;
	}
	if (!step_write(dev, p, next, REG_FACTORY_ENTER, FACTORY_KEY))
		return;
	if (!step_ask(dev, p, next, READ | REG_FUNCTIONS, 0))
		return;
	result = step_result(p);
	if (!step_leave(dev, p, next))
		return;
	if (result == STEP_ANSWERED && s->functions == p->memo[MEMO_VALUE])
		step_end(next, COMMAND_DONE, "balancing reads back %s", want_on ? "on" : "off");
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the balance bit does not read back %s",
			 want_on ? "on" : "off");
}

/* The board estimates its SoC anew from the cell voltages. memo: which read-back showed 100 %, from 1; 0:
 * none did. True: all steps are taken; *refused: why the board did not, or NULL. */
static bool step_estimate(struct device *dev, struct procedure *p, struct next *next, const char **refused)
{
	if (!step_write(dev, p, next, REG_CONTROL, 0x0100))
		return false;
	*refused = step_result(p) == STEP_REFUSED ? step_why(p) : NULL;
	for (unsigned i = 1; i <= ESTIMATE_READ_BACKS && !*refused; i++) {
		if (!step_wait(p, next, READ_BACK_WAIT_MS) || !step_ask(dev, p, next, READ | REG_BASIC, 0))
			return false;
		if (step_is_new(p) && step_result(p) == STEP_ANSWERED && reading_get(&dev->reading, Q_SOC_PCT) >= 99.5)
			p->memo[MEMO_GOOD] = i;
		if (p->memo[MEMO_GOOD] == i)
			break;
	}
	return true;
}

static void read_back_remaining(struct device *dev, struct procedure *p, struct next *next)
{
	const struct state *s = dev->state;
	double full = reading_get(&dev->reading, Q_CAPACITY_FULL_AH);
	double want = p->memo[MEMO_VALUE] / s->ah_divisor;

	for (int i = 0; i < READ_BACKS; i++) {
		if (!step_wait(p, next, READ_BACK_WAIT_MS))
			return;
		if (!step_ask(dev, p, next, READ | REG_BASIC, 0))
			return;
		double got = reading_get(&dev->reading, Q_CAPACITY_REMAINING_AH);
		if (step_result(p) == STEP_ANSWERED && fabs(got - want) <= 0.005 * full) {
			step_end(next, COMMAND_DONE, "remaining capacity reads back %g Ah, SoC %g %%", got,
				 reading_get(&dev->reading, Q_SOC_PCT));
			return;
		}
	}
	if (step_result(p) == STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the remaining capacity reads back %g Ah",
			 reading_get(&dev->reading, Q_CAPACITY_REMAINING_AH));
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
}

/* E0 writes the remaining capacity: in one register map, never seen on a wire (sheet 7). memo: the raw value. */
static void proceed_remaining(struct device *dev, struct procedure *p, struct next *next)
{
	const struct state *s = dev->state;

	if (!step_ask(dev, p, next, READ | REG_BASIC, 0))
		return;
	if (step_is_new(p)) {
		double raw = p->command->value / 100 * reading_get(&dev->reading, Q_CAPACITY_FULL_AH) * s->ah_divisor;

		p->memo[MEMO_VALUE] = raw >= 0 && raw <= 65535 ? (uint32_t)lrint(raw) : UINT32_MAX;
	}
	if (p->memo[MEMO_VALUE] == UINT32_MAX || step_result(p) != STEP_ANSWERED) {
		step_end(next, COMMAND_REFUSED, "the board does not tell how much it holds; nothing was sent");
		return;
	}
	if (!step_write(dev, p, next, REG_FACTORY_ENTER, FACTORY_KEY))
		return;
	if (!step_write(dev, p, next, REG_REMAINING, (uint16_t)p->memo[MEMO_VALUE]))
		return;
	enum step_result written = step_result(p);
	const char *why = step_why(p);
	if (!step_leave(dev, p, next))
		return;
	if (written == STEP_REFUSED)
		step_end(next, COMMAND_REFUSED, "%s", why);
	else
		read_back_remaining(dev, p, next);
}

static void proceed_soc(struct device *dev, struct procedure *p, struct next *next)
{
	bool full = p->command->value == 100;
	const char *refused = NULL;

	if (!full && !p->command->experimental) {
		step_end(next, COMMAND_REFUSED,
			 "this board can only be told to estimate 100 %% from full cells; another value needs "
			 "--experimental (never proven on hardware)");
		return;
	}
	if (full && !step_estimate(dev, p, next, &refused))
		return;
	if (p->memo[MEMO_GOOD])
		step_end(next, COMMAND_DONE, "SoC reads back %g %%", reading_get(&dev->reading, Q_SOC_PCT));
	else if (p->command->experimental)
		proceed_remaining(dev, p, next);
	else if (refused)
		step_end(next, COMMAND_REFUSED, "%s", refused);
	else if (step_result(p) == STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED,
			 "the board estimated %g %% from its cell voltages: 100 %% needs full cells",
			 reading_get(&dev->reading, Q_SOC_PCT));
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
}

static void jbd_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	if (p->command->kind == COMMAND_SOC)
		proceed_soc(dev, p, next);
	else if (p->command->kind == COMMAND_BALANCE)
		proceed_balance(dev, p, next);
	else
		proceed_mos(dev, p, next);
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"LltJbd", "LltJbd_Ble", NULL};

static bool standard(const struct device *dev)
{
	return dev->dialect == STANDARD;
}

/* Old boards keep silent on FA: one question is enough to find out. */
static bool has_blocks(const struct device *dev)
{
	return ((const struct state *)dev->state)->block_answered;
}

static const struct poll polls[] = {
	{READ | REG_BASIC, 0, EVERY_POLL, true, NULL},
	{READ | REG_CELLS, 0, EVERY_POLL, true, NULL},
	{READ | REG_NAME, 0, ONCE, false, NULL},
	{READ | REG_COUNTERS, 0, 60000, false, NULL},
	{READ | REG_RESISTANCES, 0, ONCE, false, standard},
	{READ | REG_PARAMETERS, 0 << 8 | 40, 300000, false, standard},
	{READ | REG_PARAMETERS, 40 << 8 | 16, 301000, false, has_blocks},
	{READ | REG_PARAMETERS, 56 << 8 | 32, ONCE, false, has_blocks},
	{READ | REG_PARAMETERS, 88 << 8 | 35, 302000, false, has_blocks},
	{READ | REG_PARAMETERS, 158 << 8 | 26, ONCE, false, has_blocks},
};

static const struct probe probes[] = {
	{READ | REG_BASIC, 0, 0, 0, STANDARD, 0, 140, false},
	/* A sleeping board swallows the first request. */
	{READ | REG_BASIC, 0, 0, 0, STANDARD, 1, 140, false},
	{READ | REG_BASIC, 0, 0, 15, ADDRESSED, 1, 140, false},
};

#define Q(id) (UINT64_C(1) << Q_##id)
#define F(id) (1u << F_##id)
#define A(id) (1u << ALARM_##id)

const struct protocol jbd_uart_protocol = {
	.id = "jbd-uart",
	.title = "JBD, LLT Power, Xiaoxiang, Overkill Solar",
	.manufacturer = "LLT/JBD",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 300,
		   .gap_ms = 60,
		   .pause_ms = 20,
		   .late_ms = 500,
		   .scan_ms = 150,
		   .tries = 3,
		   .poll_ms = 1000},
	.quantities = Q(ADDRESS) | Q(VOLTAGE_V) | Q(CURRENT_A) | Q(SOC_PCT) | Q(CAPACITY_FULL_AH) |
		      Q(CAPACITY_DESIGN_AH) | Q(CAPACITY_REMAINING_AH) | Q(CYCLES) | Q(CELL_COUNT) | Q(TEMP_MOS_C) |
		      Q(TEMP_AMBIENT_C) | Q(BALANCE_CURRENT_A),
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING | SERIES_RESISTANCES,
	.flags = F(BALANCING_ACTIVE) | F(CHARGE_MOS) | F(DISCHARGE_MOS) | F(BALANCE_ENABLED) | F(HEATER_ON) |
		 F(CHARGE_ALLOWED) | F(DISCHARGE_ALLOWED),
	.alarms = A(HIGH_VOLTAGE) | A(LOW_VOLTAGE) | A(HIGH_CELL_VOLTAGE) | A(LOW_CELL_VOLTAGE) | A(LOW_SOC) |
		  A(HIGH_CHARGE_CURRENT) | A(HIGH_DISCHARGE_CURRENT) | A(CELL_IMBALANCE) | A(INTERNAL_FAILURE) |
		  A(HIGH_CHARGE_TEMPERATURE) | A(LOW_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) | A(LOW_TEMPERATURE) |
		  A(SHORT_CIRCUIT),
	.commands = 1 << COMMAND_SOC | 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE | 1 << COMMAND_BALANCE,
	.first_sensor_is_mos = true,
	.first_address = 0,
	.last_address = 15,
	.point_to_point = 1 << STANDARD,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {READ | REG_CELLS},
	.confirm_count = 1,
	.encode = jbd_encode,
	.find_frame = jbd_find_frame,
	.take = jbd_take,
	.plausible = jbd_plausible,
	.parse_request = jbd_parse_request,
	.proceed = jbd_proceed,
};
