/* SPDX-License-Identifier: GPL-3.0-or-later */
/* JBD / LLT / Xiaoxiang boards on a serial line: frames DD .. 77, sheet jbd-uart. Two dialects: the
 * standard one without address, and the addressed one of shared RS485 buses. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/checksum.h"
#include "protocols/procedure.h"
#include "protocols/protocol.h"
#include "protocols/table.h"

extern const struct protocol jbd_uart_protocol;

enum dialect { STANDARD, ADDRESSED };

/* A request's code: operation and register. */
#define READ 0xa500
#define WRITE 0x5a00
#define CODE_REGISTER(code) ((uint8_t)((code) & 0xff))

enum registers {
	REG_FACTORY_ENTER = 0x00,
	REG_FACTORY_LEAVE = 0x01,
	REG_BASIC = 0x03,
	REG_CELLS = 0x04,
	REG_NAME = 0x05,
	REG_PASSWORD = 0x06,
	REG_CONTROL = 0x0a,
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

enum { MAX_PAYLOAD = 96, JBD_MAX_CELLS = 32, JBD_MAX_NTC = 8 };

#define LOCK_BIT 12 /* protection word: a MOS is held off by software */
#define FUNCTION_BALANCE 0x0004
#define FUNCTION_LARGE_UNITS 0x1000

struct state {
	bool functions_known;
	uint16_t functions;  /* register 2D as last read */
	uint16_t protection; /* register 03, offset 16, as last read */
	uint8_t status;      /* of the last refusal */
};

/* ---- framing: sheet 3 ---- */

static uint16_t checksum(struct bytes covered)
{
	return (uint16_t)(0x10000u - sum16(covered));
}

static bool status_possible(uint8_t status)
{
	return status == 0 || (status >= 0x80 && status <= 0x83);
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
	return true;
}

static bool jbd_parse_request(struct bytes tx, struct request *out)
{
	for (int d = STANDARD; d <= ADDRESSED; d++) {
		size_t shift = d == ADDRESSED;
		size_t n = (size_t)u8_at(tx, 3 + shift) + 7 + shift;
		uint16_t code = u16be_at(tx, 1 + shift);
		size_t from = d == ADDRESSED ? 1 : 2;

		if (tx.n != n || u8_at(tx, 0) != 0xdd || u8_at(tx, n - 1) != 0x77 || n > MAX_REQUEST)
			continue;
		if ((code & 0xff00) != READ && (code & 0xff00) != WRITE)
			continue;
		if (checksum(bytes_sub(tx, from, n - 3 - from)) != u16be_at(tx, n - 3))
			continue;
		request_start(out, &jbd_uart_protocol, d == ADDRESSED ? tx.p[1] : 0, (uint8_t)d, code, 0);
		if (code == (READ | REG_PARAMETERS))
			out->arg = (uint16_t)(u8_at(tx, 5 + shift) << 8 | u8_at(tx, 6 + shift));
		else
			out->arg = u16be_at(tx, 4 + shift);
		request_put(out, tx);
		return true;
	}
	return false;
}

/* ---- register 03: sheet 5.1, 6 ---- */

static const struct number_row basic_rows[] = {
	{0, RAW_U16BE, 100, 0, Q_VOLTAGE_V},
	{8, RAW_U16BE, 1, 0, Q_CYCLES},
	{19, RAW_U8, 1, 0, Q_SOC_PCT},
	{21, RAW_U8, 1, 0, Q_CELL_COUNT},
};

static const struct alarm_row protection_rows[] = {
	{0, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{1, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{2, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{3, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{4, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{5, ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{6, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{7, ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{8, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{9, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{10, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{10, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{11, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{13, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "charge_mos_fault"},
	{14, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "discharge_mos_fault"},
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

static double celsius(uint16_t tenth_kelvin)
{
	return (tenth_kelvin - 2731) / 10.0;
}

/* day bits 0-4, month 5-8, year from 2000 9-15; 0 or no such day = unknown */
static void date_text(uint16_t raw, char out[16])
{
	unsigned day = raw & 31, month = raw >> 5 & 15, year = 2000 + (raw >> 9);

	out[0] = 0;
	if (day && month && month <= 12)
		snprintf(out, 16, "%04u-%02u-%02u", year, month, day);
}

static void take_tail(struct bytes p, size_t off, double ah, struct reading *r)
{
	if (bytes_has(p, off, 1))
		reading_set_detail(r, "humidity_pct", u8_at(p, off));
	if (bytes_has(p, off + 1, 2))
		table_alarms(ROWS(warning_rows), u16be_at(p, off + 1), &r->alarms);
	/* A learned full capacity makes the value at offset 6 the nameplate. */
	if (bytes_has(p, off + 3, 2) && u16be_at(p, off + 3)) {
		reading_set(r, Q_CAPACITY_DESIGN_AH, u16be_at(p, 6) / ah);
		reading_set(r, Q_CAPACITY_FULL_AH, u16be_at(p, off + 3) / ah);
	}
	if (bytes_has(p, off + 7, 2))
		reading_set(r, Q_BALANCE_CURRENT_A, u16be_at(p, off + 7) / 1000.0);
}

static bool basic_believable(struct bytes p, size_t ntc_off, const char **why)
{
	if (!bytes_has(p, 0, ntc_off + 1) || !bytes_has(p, ntc_off + 1, 2u * u8_at(p, ntc_off)))
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

static enum verdict take_basic(struct device *dev, struct bytes p, const char **why)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;
	size_t ntc_off = dev->dialect == ADDRESSED ? 28 : 22;
	char text[16];

	if (!basic_believable(p, ntc_off, why))
		return FRAME_BAD;
	table_numbers(ROWS(basic_rows), p, r);

	uint8_t fet = u8_at(p, 20);
	bool large = s->functions_known && (s->functions & FUNCTION_LARGE_UNITS);
	double ah = large || (fet & 0x80) ? 10 : 100;
	reading_set(r, Q_CURRENT_A, (int16_t)u16be_at(p, 2) / (fet & 0x80 ? 10.0 : 100.0));
	reading_set(r, Q_CAPACITY_REMAINING_AH, u16be_at(p, 4) / ah);
	reading_set(r, Q_CAPACITY_FULL_AH, u16be_at(p, 6) / ah);
	reading_forget(r, Q_CAPACITY_DESIGN_AH);

	date_text(u16be_at(p, 10), text);
	reading_set_text(r, T_PRODUCTION_DATE, text);
	snprintf(text, sizeof(text), "%u.%u", u8_at(p, 18) >> 4, u8_at(p, 18) & 15);
	reading_set_text(r, T_FIRMWARE_VERSION, text);

	/* Bit 0 is cell 1: two captures settle what the papers contradict each other on (sheet 5.1). */
	r->balancing = u16be_at(p, 12) | (uint64_t)u16be_at(p, 14) << 16;
	r->balancing &= (UINT64_C(1) << u8_at(p, 21)) - 1;
	r->balancing_known = true;

	s->protection = u16be_at(p, 16);
	alarms_clear(&r->alarms);
	table_alarms(ROWS(protection_rows), s->protection, &r->alarms);
	reading_set_detail(r, "mos_software_lock", s->protection >> LOCK_BIT & 1);

	reading_set_flag(r, F_CHARGE_MOS, fet & 1);
	reading_set_flag(r, F_DISCHARGE_MOS, fet & 2);
	reading_set_flag(r, F_CHARGE_ALLOWED, fet & 1);
	reading_set_flag(r, F_DISCHARGE_ALLOWED, fet & 2);
	reading_set_flag(r, F_HEATER_ON, fet & 8);
	reading_set_detail(r, "current_limiter_on", fet >> 2 & 1);

	unsigned ntc = u8_at(p, ntc_off);
	series_start(&r->temperatures, ntc);
	for (unsigned i = 0; i < ntc; i++)
		series_set(&r->temperatures, i, celsius(u16be_at(p, ntc_off + 1 + 2 * i)));
	if (dev->dialect == ADDRESSED) {
		reading_set(r, Q_TEMP_MOS_C, celsius(u16be_at(p, 24)));
		reading_set(r, Q_TEMP_AMBIENT_C, celsius(u16be_at(p, 26)));
	} else if (ntc >= 2) {
		reading_set(r, Q_TEMP_MOS_C, r->temperatures.value[0]);
	}
	if (dev->dialect == STANDARD)
		take_tail(p, ntc_off + 1 + 2 * ntc, ah, r);
	return FRAME_ANSWER;
}

/* ---- the other registers: sheet 5.2 .. 5.6 ---- */

static enum verdict take_cells(struct device *dev, struct bytes p, const char **why)
{
	struct reading *r = &dev->reading;
	unsigned words = (unsigned)p.n / 2;
	unsigned cells = words;

	/* One word more than there are cells may follow. */
	if (reading_knows(r, Q_CELL_COUNT) && r->number[Q_CELL_COUNT] < cells)
		cells = (unsigned)r->number[Q_CELL_COUNT];
	if (!words || words > JBD_MAX_CELLS + 1 || (p.n & 1)) {
		*why = "length of register 04";
		return FRAME_BAD;
	}
	series_start(&r->cell_V, cells);
	for (unsigned i = 0; i < cells; i++)
		series_set(&r->cell_V, i, u16be_at(p, 2u * i) / 1000.0);
	return FRAME_ANSWER;
}

static enum verdict take_counters(struct device *dev, struct bytes p)
{
	static const char *const counter[] = {
		"count_short_circuit",          "count_charge_overcurrent",       "count_discharge_overcurrent",
		"count_cell_overvoltage",       "count_cell_undervoltage",        "count_charge_overtemperature",
		"count_charge_undertemperature", "count_discharge_overtemperature", "count_discharge_undertemperature",
		"count_pack_overvoltage",       "count_pack_undervoltage",        "count_restarts",
	};

	for (size_t i = 0; i < sizeof(counter) / sizeof(counter[0]); i++)
		if (bytes_has(p, 2 * i, 2))
			reading_set_detail(&dev->reading, counter[i], u16be_at(p, 2 * i));
	return FRAME_ANSWER;
}

/* "Not yet implemented" by the vendor: all zero means just that. */
static enum verdict take_resistances(struct device *dev, struct bytes p)
{
	struct reading *r = &dev->reading;
	unsigned cells = reading_knows(r, Q_CELL_COUNT) ? (unsigned)r->number[Q_CELL_COUNT] : 0;
	bool any = false;

	for (unsigned i = 0; i < cells; i++)
		any = any || u16be_at(p, 2u * i);
	for (unsigned i = 0; any && i < cells && bytes_has(p, 2u * i, 2); i++)
		series_set(&r->cell_resistance_ohm, i, (int16_t)u16be_at(p, 2u * i) / 10000.0);
	return FRAME_ANSWER;
}

/* ---- configuration: sheet 8. A register and, on newer boards, a number in block FA ---- */

enum part { WORD, HIGH, LOW };

static const struct parameter {
	uint8_t reg;
	int16_t fa; /* -1: not there */
	enum part part;
	enum raw_type type;
	double divisor, add;
	const char *name;
} parameters[] = {
	{0x10, 0, WORD, RAW_U16BE, 100, 0, "capacity_design_Ah"},
	{0x11, 1, WORD, RAW_U16BE, 100, 0, "capacity_cycle_Ah"},
	{0x12, 2, WORD, RAW_U16BE, 1000, 0, "soc100_V"},
	{0x13, 3, WORD, RAW_U16BE, 1000, 0, "soc0_V"},
	{0x14, -1, WORD, RAW_U16BE, 10, 0, "self_discharge_pct"},
	{0x16, 6, WORD, RAW_U16BE, 1, 0, "serial_number"},
	{0x17, 7, WORD, RAW_U16BE, 1, 0, "cycles"},
	{0x18, 8, WORD, RAW_U16BE, 10, -2731, "charge_otp_C"},
	{0x19, 9, WORD, RAW_U16BE, 10, -2731, "charge_otpr_C"},
	{0x1a, 10, WORD, RAW_U16BE, 10, -2731, "charge_utp_C"},
	{0x1b, 11, WORD, RAW_U16BE, 10, -2731, "charge_utpr_C"},
	{0x1c, 12, WORD, RAW_U16BE, 10, -2731, "discharge_otp_C"},
	{0x1d, 13, WORD, RAW_U16BE, 10, -2731, "discharge_otpr_C"},
	{0x1e, 14, WORD, RAW_U16BE, 10, -2731, "discharge_utp_C"},
	{0x1f, 15, WORD, RAW_U16BE, 10, -2731, "discharge_utpr_C"},
	{0x20, 16, WORD, RAW_U16BE, 100, 0, "pack_ovp_V"},
	{0x21, 17, WORD, RAW_U16BE, 100, 0, "pack_ovpr_V"},
	{0x22, 18, WORD, RAW_U16BE, 100, 0, "pack_uvp_V"},
	{0x23, 19, WORD, RAW_U16BE, 100, 0, "pack_uvpr_V"},
	{0x24, 20, WORD, RAW_U16BE, 1000, 0, "cell_ovp_V"},
	{0x25, 21, WORD, RAW_U16BE, 1000, 0, "cell_ovpr_V"},
	{0x26, 22, WORD, RAW_U16BE, 1000, 0, "cell_uvp_V"},
	{0x27, 23, WORD, RAW_U16BE, 1000, 0, "cell_uvpr_V"},
	{0x28, 24, WORD, RAW_S16BE, 100, 0, "charge_ocp_A"},
	{0x29, 25, WORD, RAW_S16BE, -100, 0, "discharge_ocp_A"}, /* stored negative */
	{0x2a, 26, WORD, RAW_U16BE, 1000, 0, "balance_start_V"},
	{0x2b, 27, WORD, RAW_U16BE, 1000, 0, "balance_trigger_V"},
	{0x2c, -1, WORD, RAW_U16BE, 10, 0, "shunt_mOhm"},
	{0x2d, 29, WORD, RAW_U16BE, 1, 0, "function_bits"},
	{0x2e, 30, WORD, RAW_U16BE, 1, 0, "ntc_enable_bits"},
	{0x2f, 31, WORD, RAW_U16BE, 1, 0, "cell_count"},
	{0x30, 32, WORD, RAW_U16BE, 1, 0, "fet_switch_time_s"},
	{0x31, 33, WORD, RAW_U16BE, 1, 0, "led_time_s"},
	{0x32, 34, WORD, RAW_U16BE, 1000, 0, "soc80_V"},
	{0x33, 35, WORD, RAW_U16BE, 1000, 0, "soc60_V"},
	{0x34, 36, WORD, RAW_U16BE, 1000, 0, "soc40_V"},
	{0x35, 37, WORD, RAW_U16BE, 1000, 0, "soc20_V"},
	{0x36, 38, WORD, RAW_U16BE, 1000, 0, "hardware_ovp_V"},
	{0x37, 39, WORD, RAW_U16BE, 1000, 0, "hardware_uvp_V"},
	{0x38, -1, WORD, RAW_U16BE, 1, 0, "short_circuit_bits"},
	{0x39, -1, WORD, RAW_U16BE, 1, 0, "hardware_delay_bits"},
	{0x3a, 44, HIGH, RAW_U8, 1, 0, "charge_utp_delay_s"},
	{0x3a, 45, LOW, RAW_U8, 1, 0, "charge_otp_delay_s"},
	{0x3b, 46, HIGH, RAW_U8, 1, 0, "discharge_utp_delay_s"},
	{0x3b, 47, LOW, RAW_U8, 1, 0, "discharge_otp_delay_s"},
	{0x3c, 48, HIGH, RAW_U8, 1, 0, "pack_uvp_delay_s"},
	{0x3c, 49, LOW, RAW_U8, 1, 0, "pack_ovp_delay_s"},
	{0x3d, 50, HIGH, RAW_U8, 1, 0, "cell_uvp_delay_s"},
	{0x3d, 51, LOW, RAW_U8, 1, 0, "cell_ovp_delay_s"},
	{0x3e, 52, HIGH, RAW_U8, 1, 0, "charge_ocp_delay_s"},
	{0x3e, 53, LOW, RAW_U8, 1, 0, "charge_ocpr_s"},
	{0x3f, 54, HIGH, RAW_U8, 1, 0, "discharge_ocp_delay_s"},
	{0x3f, 55, LOW, RAW_U8, 1, 0, "discharge_ocpr_s"},
	{0x40, 104, WORD, RAW_U16BE, 1, 0, "gps_cutoff_voltage"},
	{0x41, 105, WORD, RAW_U16BE, 1, 0, "gps_cutoff_delay"},
	{0x42, 106, WORD, RAW_U16BE, 1000, 0, "soc90_V"},
	{0x43, 107, WORD, RAW_U16BE, 1000, 0, "soc70_V"},
	{0x44, 108, WORD, RAW_U16BE, 1000, 0, "soc50_V"},
	{0x45, 109, WORD, RAW_U16BE, 1000, 0, "soc30_V"},
	{0x46, 110, WORD, RAW_U16BE, 1000, 0, "soc10_V"},
	{0x47, 111, WORD, RAW_U16BE, 1000, 0, "soc100_table_V"},
};

static void note_functions(struct device *dev, uint16_t functions)
{
	struct state *s = dev->state;

	s->functions = functions;
	s->functions_known = true;
	reading_set_flag(&dev->reading, F_BALANCE_ENABLED, functions & FUNCTION_BALANCE);
}

static void take_parameter(struct device *dev, const struct parameter *row, struct bytes word)
{
	const struct state *s = dev->state;
	double divisor = row->divisor;
	bool scaled = row->reg == 0x10 || row->reg == 0x11 || row->reg == 0x28 || row->reg == 0x29 || row->reg == 0x2c;

	if (scaled && s->functions_known && (s->functions & FUNCTION_LARGE_UNITS))
		divisor = row->reg == 0x2c ? divisor * 10 : divisor / 10;
	settings_set_number(&dev->settings, row->name, (raw_at(word, 0, row->type) + row->add) / divisor);
}

static enum verdict take_register(struct device *dev, uint8_t reg, struct bytes p, const char **why)
{
	char text[MAX_SETTING_TEXT];

	if (reg >= REG_MANUFACTURER && reg <= REG_BARCODE) {
		static const char *const name[] = {"manufacturer", "model", "barcode"};

		bytes_text(bytes_sub(p, 1, u8_at(p, 0)), text, sizeof(text));
		settings_set_text(&dev->settings, name[reg - REG_MANUFACTURER], text);
		return FRAME_ANSWER;
	}
	if (p.n != 2) {
		*why = "length of a register";
		return FRAME_BAD;
	}
	if (reg == REG_FUNCTIONS)
		note_functions(dev, u16be_at(p, 0));
	if (reg == 0x15) {
		date_text(u16be_at(p, 0), text);
		settings_set_text(&dev->settings, "production_date", text);
	}
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
		if (parameters[i].reg == reg)
			take_parameter(dev, &parameters[i], bytes_sub(p, parameters[i].part == LOW, 2));
	return FRAME_ANSWER;
}

static enum verdict take_block(struct device *dev, uint16_t arg, struct bytes p, const char **why)
{
	unsigned first = u16be_at(p, 0), count = u8_at(p, 2);
	static const struct {
		unsigned first;
		const char *name;
	} texts[] = {{56, "manufacturer"}, {72, "bms_code"}, {88, "barcode"}, {176, "hardware_name"}};

	if (first != (unsigned)arg >> 8 || count != (arg & 0xffu))
		return FRAME_FOREIGN;
	if (p.n != 3 + 2u * count) {
		*why = "length of block FA";
		return FRAME_BAD;
	}
	struct bytes words = bytes_sub(p, 3, p.n);
	if (first <= 29 && first + count > 29)
		note_functions(dev, u16be_at(words, 2u * (29 - first)));
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		const struct parameter *row = &parameters[i];
		unsigned fa = (unsigned)row->fa;

		if (row->fa < 0 || fa < first || fa >= first + count)
			continue;
		/* The one-byte parts of a register are words of their own here. */
		take_parameter(dev, row, bytes_sub(words, 2u * (fa - first) + (row->part != WORD), 2));
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char text[MAX_SETTING_TEXT];

		if (texts[i].first < first || texts[i].first >= first + count)
			continue;
		struct bytes at = bytes_sub(words, 2u * (texts[i].first - first), 32);
		/* The length byte comes first; the hardware name has none. */
		bool counted = texts[i].first != 176;
		bytes_text(bytes_sub(at, counted, counted ? u8_at(at, 0) : 16), text, sizeof(text));
		settings_set_text(&dev->settings, texts[i].name, text);
	}
	return FRAME_ANSWER;
}

static const char *status_text(uint8_t status)
{
	switch (status) {
	case 0x80:
		return "no such register or command (status 80)";
	case 0x81:
		return "not allowed now: factory mode or a password is needed (status 81)";
	case 0x82:
		return "the board found our checksum wrong (status 82)";
	case 0x83:
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
	if (write)
		return reply.payload.n ? FRAME_FOREIGN : FRAME_ANSWER;
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

/* Which MOS are held off by software (bit 0 charge, bit 1 discharge), as far as 03 tells. */
static uint16_t held_off(const struct device *dev)
{
	const struct state *s = dev->state;
	uint16_t held = 0;

	if (!(s->protection >> LOCK_BIT & 1))
		return 0;
	if (reading_flag(&dev->reading, F_CHARGE_MOS) == OFF)
		held |= 1;
	if (reading_flag(&dev->reading, F_DISCHARGE_MOS) == OFF)
		held |= 2;
	return held;
}

static bool status_was(const struct device *dev, const struct procedure *p, uint8_t status)
{
	const struct state *s = dev->state;

	return step_result(p) == STEP_REFUSED && s->status == status;
}

enum { READ_BACK_TRIES = 4, READ_BACK_WAIT_MS = 400 };

/* Reads 03 until the switch is as wanted, for somewhat more than the second that a board takes. */
static void read_back_mos(struct device *dev, struct procedure *p, struct next *next)
{
	bool charge = p->command->kind == COMMAND_CHARGE;
	bool want_on = p->command->value != 0;
	const char *name = charge ? "charge" : "discharge";
	bool on, held;

	for (int i = 0; i < READ_BACK_TRIES; i++) {
		if (!step_ask(dev, p, next, READ | REG_BASIC, 0))
			return;
		on = reading_flag(&dev->reading, charge ? F_CHARGE_MOS : F_DISCHARGE_MOS) == ON;
		held = held_off(dev) & (charge ? 1 : 2);
		if (step_result(p) == STEP_ANSWERED && (want_on ? on : !on && held)) {
			step_end(next, COMMAND_DONE, "%s MOS reads back %s", name, on ? "on" : "off");
			return;
		}
		if (!step_wait(p, next, READ_BACK_WAIT_MS))
			return;
	}
	if (step_result(p) == STEP_SILENT)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
	else if (want_on && !held)
		step_end(next, COMMAND_UNCONFIRMED,
			 "released, but the %s MOS stays off: a protection holds it (see Alarms)", name);
	else
		step_end(next, COMMAND_UNCONFIRMED, "acknowledged, but the %s MOS reads back %s", name,
			 on ? "on" : "off");
}

/*
 * E1 carries the state of both switches, so the other one's is read first. As the vendor's app does
 * it: E1, then leave factory mode without having entered it; enter it only when the board asks for it.
 * memo[0]: hold bits to write.
 */
static void proceed_mos(struct device *dev, struct procedure *p, struct next *next)
{
	bool charge = p->command->kind == COMMAND_CHARGE;
	bool want_on = p->command->value != 0;
	uint16_t bit = charge ? 1 : 2;

	if (!step_ask(dev, p, next, READ | REG_BASIC, 0))
		return;
	if (step_result(p) != STEP_ANSWERED) {
		step_end(next, COMMAND_REFUSED, "the board does not tell its present state; nothing was sent");
		return;
	}
	if (step_is_new(p))
		p->memo[0] = want_on ? held_off(dev) & ~(uint32_t)bit : held_off(dev) | (uint32_t)bit;
	if (!step_ask(dev, p, next, WRITE | REG_MOS, (uint16_t)p->memo[0]))
		return;
	if (step_is_new(p))
		p->memo[1] = status_was(dev, p, 0x81) ? 0x81 : status_was(dev, p, 0x80) ? 0x80 : 0;
	if (p->memo[1] == 0x81) {
		if (!step_ask(dev, p, next, WRITE | REG_FACTORY_ENTER, 0x5678))
			return;
		if (!step_ask(dev, p, next, WRITE | REG_MOS, (uint16_t)p->memo[0]))
			return;
	} else if (p->memo[1] == 0x80) {
		/* FB, newer firmware: which switch (00 discharge, 01 charge), then 00 release, 01 hold off. */
		if (!step_ask(dev, p, next, WRITE | REG_MOS_NEW, (uint16_t)(charge << 8 | !want_on)))
			return;
	}
	enum step_result written = step_result(p);
	const char *why = step_why(p);
	if (!step_ask(dev, p, next, WRITE | REG_FACTORY_LEAVE, 0))
		return;
	if (written == STEP_REFUSED)
		step_end(next, COMMAND_REFUSED, "%s", why);
	else
		read_back_mos(dev, p, next);
}

/* The enable bit is one of many in register 2D: read, change that bit, write, leave, read again.
 * Factory mode is left whatever happened. memo[0]: the word to write. */
static void proceed_balance(struct device *dev, struct procedure *p, struct next *next)
{
	const struct state *s = dev->state;
	bool want_on = p->command->value != 0;

	if (!step_ask(dev, p, next, WRITE | REG_FACTORY_ENTER, 0x5678))
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
			p->memo[0] = want_on ? s->functions | FUNCTION_BALANCE : s->functions & ~FUNCTION_BALANCE;
		if (!step_ask(dev, p, next, WRITE | REG_FUNCTIONS, (uint16_t)p->memo[0]))
			return;
		result = step_result(p);
		why = step_why(p);
	}
	if (!step_ask(dev, p, next, WRITE | REG_FACTORY_LEAVE, 0))
		return;
	if (result == STEP_REFUSED || !written) {
		step_end(next, COMMAND_REFUSED, "%s", result == STEP_REFUSED ? why : "no answer; nothing was changed");
		return;
	}
	if (!step_ask(dev, p, next, WRITE | REG_FACTORY_ENTER, 0x5678))
		return;
	if (!step_ask(dev, p, next, READ | REG_FUNCTIONS, 0))
		return;
	result = step_result(p);
	if (!step_ask(dev, p, next, WRITE | REG_FACTORY_LEAVE, 0))
		return;
	if (result == STEP_ANSWERED && s->functions == p->memo[0])
		step_end(next, COMMAND_DONE, "balancing reads back %s", want_on ? "on" : "off");
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the balance bit does not read back %s",
			 want_on ? "on" : "off");
}

/* 100 % without --experimental: the board estimates anew from its cell voltages and says what it got. */
static void proceed_estimate(struct device *dev, struct procedure *p, struct next *next)
{
	double soc;

	if (!step_ask(dev, p, next, WRITE | REG_CONTROL, 0x0100))
		return;
	if (step_result(p) == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return;
	}
	for (int i = 0; i < READ_BACK_TRIES; i++) {
		if (!step_wait(p, next, READ_BACK_WAIT_MS))
			return;
		if (!step_ask(dev, p, next, READ | REG_BASIC, 0))
			return;
		soc = reading_get(&dev->reading, Q_SOC_PCT);
		if (step_result(p) == STEP_ANSWERED && soc >= 99.5) {
			step_end(next, COMMAND_DONE, "SoC reads back %g %%", soc);
			return;
		}
	}
	step_end(next, COMMAND_UNCONFIRMED,
		 "the board estimated %g %% from its cell voltages: 100 %% needs full cells", soc);
}

/* E0 writes the remaining capacity: in one register map, never seen on a wire (sheet 7). */
static void proceed_remaining(struct device *dev, struct procedure *p, struct next *next)
{
	double want = p->command->value;

	if (!step_ask(dev, p, next, READ | REG_BASIC, 0))
		return;
	double full = reading_get(&dev->reading, Q_CAPACITY_FULL_AH);
	if (step_is_new(p)) {
		double raw = want / 100 * full * 100;

		p->memo[0] = raw >= 0 && raw <= 65535 ? (uint32_t)lrint(raw) : UINT32_MAX;
	}
	if (p->memo[0] == UINT32_MAX || step_result(p) != STEP_ANSWERED) {
		step_end(next, COMMAND_REFUSED, "the board does not tell a full capacity below 655 Ah; nothing was sent");
		return;
	}
	if (!step_ask(dev, p, next, WRITE | REG_FACTORY_ENTER, 0x5678))
		return;
	if (!step_ask(dev, p, next, WRITE | REG_REMAINING, (uint16_t)p->memo[0]))
		return;
	enum step_result written = step_result(p);
	const char *why = step_why(p);
	if (!step_ask(dev, p, next, WRITE | REG_FACTORY_LEAVE, 0))
		return;
	if (written == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", why);
		return;
	}
	for (int i = 0; i < READ_BACK_TRIES; i++) {
		if (!step_wait(p, next, READ_BACK_WAIT_MS))
			return;
		if (!step_ask(dev, p, next, READ | REG_BASIC, 0))
			return;
		double got = reading_get(&dev->reading, Q_CAPACITY_REMAINING_AH);
		if (step_result(p) == STEP_ANSWERED && fabs(got - p->memo[0] / 100.0) <= 0.005 * full) {
			step_end(next, COMMAND_DONE, "remaining capacity reads back %g Ah, SoC %g %%", got,
				 reading_get(&dev->reading, Q_SOC_PCT));
			return;
		}
	}
	step_end(next, COMMAND_UNCONFIRMED, "sent, but the remaining capacity reads back %g Ah",
		 reading_get(&dev->reading, Q_CAPACITY_REMAINING_AH));
}

static void jbd_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	switch (p->command->kind) {
	case COMMAND_CHARGE:
	case COMMAND_DISCHARGE:
		proceed_mos(dev, p, next);
		return;
	case COMMAND_BALANCE:
		proceed_balance(dev, p, next);
		return;
	default:
		if (p->command->experimental)
			proceed_remaining(dev, p, next);
		else if (p->command->value == 100)
			proceed_estimate(dev, p, next);
		else
			step_end(next, COMMAND_REFUSED,
				 "this board can only be told to estimate 100 %% from full cells; another value needs "
				 "--experimental (never proven on hardware)");
	}
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"LltJbd", "LltJbd_Ble", NULL};

static bool standard(const struct device *dev)
{
	return dev->dialect == STANDARD;
}

static const struct poll polls[] = {
	{READ | REG_BASIC, 0, EVERY_POLL, true, NULL},
	{READ | REG_CELLS, 0, EVERY_POLL, true, NULL},
	{READ | REG_NAME, 0, ONCE, false, NULL},
	{READ | REG_COUNTERS, 0, 60000, false, NULL},
	{READ | REG_PARAMETERS, 0 << 8 | 40, 300000, false, standard},
	{READ | REG_PARAMETERS, 40 << 8 | 16, 300000, false, standard},
	{READ | REG_PARAMETERS, 56 << 8 | 16, ONCE, false, standard},
	{READ | REG_PARAMETERS, 88 << 8 | 24, ONCE, false, standard},
	{READ | REG_RESISTANCES, 0, ONCE, false, standard},
};

static const struct probe probes[] = {
	{READ | REG_BASIC, 0, 0, 0, STANDARD, 0, 140, false},
	/* A sleeping board swallows the first request. */
	{READ | REG_BASIC, 0, 0, 0, STANDARD, 1, 140, false},
	{READ | REG_BASIC, 0, 0, 15, ADDRESSED, 1, 140, false},
};

const struct protocol jbd_uart_protocol = {
	.id = "jbd-uart",
	.title = "JBD, LLT Power, Xiaoxiang, Overkill Solar",
	.manufacturer = "LLT/JBD",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 300, .gap_ms = 50, .pause_ms = 20, .late_ms = 500, .scan_ms = 150, .tries = 3, .poll_ms = 1000},
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
