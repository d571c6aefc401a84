/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A JBD board on its serial line: sheet jbd-uart. Both dialects, factory mode, password, control words. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "protocols/checksum.h"
#include "sim/device.h"
#include "sim/random.h"

enum status { DONE = 0x00, UNKNOWN = 0x80, NOT_NOW = 0x81, WRONG_PASSWORD = 0x83 };

enum { READ = 0xa5, WRITE = 0x5a };
enum { RAW_REGISTERS = 0x100, PARAMETERS = 184, TEXT_MAX = 31, COUNTERS = 11 };
enum { FUNCTION_BALANCE = 1 << 2, FUNCTION_ONLY_CHARGING = 1 << 3, FUNCTION_LARGE = 1 << 12 };
enum { HOLD_CHARGE = 1, HOLD_DISCHARGE = 2, LOCK_BIT = 1 << 12 };
enum texts { TEXT_MANUFACTURER, TEXT_MODEL, TEXT_BARCODE, TEXTS };

enum jbd_dialect { JBD_STANDARD, JBD_ADDRESSED };
enum jbd_password_form { PASSWORD_ANY, PASSWORD_ASCII, PASSWORD_VALUES };
enum jbd_mos { JBD_MOS_BOTH, JBD_MOS_E1, JBD_MOS_FB };
enum jbd_remaining { E0_WORKS, E0_IGNORED, E0_UNKNOWN };
enum jbd_tail { TAIL_0, TAIL_7, TAIL_9, TAIL_16 };

struct jbd_options {
	int dialect; /* enum jbd_dialect */
	char password[8];
	int password_form;
	int mos;
	int remaining; /* what register E0 does */
	int tail;
	uint32_t trailing;
	bool no05, no0a, fa, badrefusal, dd;
};

_Static_assert(sizeof(struct jbd_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct jbd_options, member)

static const struct key jbd_keys[] = {
	{"dialect", KEY_WORD, AT(dialect), 0, 0, "", "standard", "standard|addressed", "frames without or with address",
	 0},
	{"password", KEY_DIGITS, AT(password), 0, 0, "6 digits", NULL, NULL, "without it nothing can be written", 0},
	{"form", KEY_WORD, AT(password_form), 0, 0, "", "any", "any|ascii|values", "how the password must be sent", 0},
	{"mos", KEY_WORD, AT(mos), 0, 0, "", "both", "both|e1|fb", "commands known for the MOS", 0},
	{"e0", KEY_WORD, AT(remaining), 0, 0, "", "works", "works|ignored|unknown",
	 "what a write of the remaining capacity does", 0},
	{"tail", KEY_WORD, AT(tail), 0, 0, "bytes", "9", "0|7|9|16", "register 03 goes on so long behind the sensors",
	 0},
	{"trailing", KEY_INTEGER, AT(trailing), 0, 4, "bytes", "0", NULL, "behind a frame's end mark", 0},
	{"no05", KEY_FLAG, AT(no05), 0, 0, "", "off", NULL, "register 05 is not answered", 0},
	{"no0a", KEY_FLAG, AT(no0a), 0, 0, "", "off", NULL, "control word 0A is not known", 0},
	{"fa", KEY_FLAG, AT(fa), 0, 0, "", "on", NULL, "parameter block FA is known", 0},
	{"badrefusal", KEY_FLAG, AT(badrefusal), 0, 0, "", "off", NULL, "refusals have a wrong checksum", 0},
	{"dd", KEY_FLAG, AT(dd), 0, 0, "", "off", NULL, "cell voltages whose low byte is DD", 0},
};

static const struct jbd_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

static const char *alone(const struct scenario *s)
{
	return options(s)->dialect == JBD_STANDARD ? "dialect=addressed" : NULL;
}

struct jbd_board {
	bool factory, unlocked;
	uint8_t hold;			   /* HOLD_ bits of E1 */
	uint16_t raw[RAW_REGISTERS];	   /* registers that mean nothing to the battery */
	uint16_t parameter[PARAMETERS];	   /* of FA, likewise */
	uint8_t text[TEXTS][TEXT_MAX + 1]; /* its length, then the characters */
	char name[SCENARIO_TEXT];
	char password[7];	       /* "" = none */
	unsigned trips_seen[COUNTERS]; /* when the counters were cleared */
	unsigned restarts;
};

/* Bits 0-15: protection word; 16-31: alarm word. */
static const struct alarm_bit jbd_alarms[] = {
	{NULL, HIGH_CELL_VOLTAGE, ALARM, 0},
	{NULL, LOW_CELL_VOLTAGE, ALARM, 1},
	{NULL, HIGH_VOLTAGE, ALARM, 2},
	{NULL, LOW_VOLTAGE, ALARM, 3},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, 4},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, 5},
	{NULL, HIGH_TEMPERATURE, ALARM, 6},
	{NULL, LOW_TEMPERATURE, ALARM, 7},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, 8},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, 9},
	{NULL, SHORT_CIRCUIT, ALARM, 10},
	{NULL, INTERNAL_FAILURE, ALARM, 11},
	{"charge_mos_fault", NO_ALARM, ALARM, 13},
	{"discharge_mos_fault", NO_ALARM, ALARM, 14},
	{NULL, HIGH_CELL_VOLTAGE, WARNING, 16},
	{NULL, LOW_CELL_VOLTAGE, WARNING, 17},
	{NULL, HIGH_VOLTAGE, WARNING, 18},
	{NULL, LOW_VOLTAGE, WARNING, 19},
	{NULL, HIGH_CHARGE_TEMPERATURE, WARNING, 20},
	{NULL, LOW_CHARGE_TEMPERATURE, WARNING, 21},
	{NULL, HIGH_TEMPERATURE, WARNING, 22},
	{NULL, LOW_TEMPERATURE, WARNING, 23},
	{NULL, HIGH_CHARGE_CURRENT, WARNING, 24},
	{NULL, HIGH_DISCHARGE_CURRENT, WARNING, 25},
	{NULL, CELL_IMBALANCE, WARNING, 26},
	{NULL, LOW_SOC, WARNING, 27},
};

/* The order of register AA. */
static const enum battery_alarm counted[COUNTERS] = {
	SHORT_CIRCUIT,		HIGH_CHARGE_CURRENT, HIGH_DISCHARGE_CURRENT,
	HIGH_CELL_VOLTAGE,	LOW_CELL_VOLTAGE,    HIGH_CHARGE_TEMPERATURE,
	LOW_CHARGE_TEMPERATURE, HIGH_TEMPERATURE,    LOW_TEMPERATURE,
	HIGH_VOLTAGE,		LOW_VOLTAGE,
};

/* ---- registers that are settings of the battery ---- */

enum unit { MILLIVOLT, CENTIVOLT, DECIKELVIN, CENTIAMP, CENTIAMP_NEGATIVE, CENTIAMPHOUR };

struct jbd_register {
	uint8_t reg;
	enum unit unit;
	size_t member;
};

#define OF(member) offsetof(struct battery_settings, member)

static const struct jbd_register settings[] = {
	{0x10, CENTIAMPHOUR, OF(design_Ah)},
	{0x12, MILLIVOLT, OF(cell_full)},
	{0x13, MILLIVOLT, OF(cell_empty)},
	{0x18, DECIKELVIN, OF(charge_ot)},
	{0x19, DECIKELVIN, OF(charge_ot_release)},
	{0x1a, DECIKELVIN, OF(charge_ut)},
	{0x1b, DECIKELVIN, OF(charge_ut_release)},
	{0x1c, DECIKELVIN, OF(discharge_ot)},
	{0x1d, DECIKELVIN, OF(discharge_ot_release)},
	{0x1e, DECIKELVIN, OF(discharge_ut)},
	{0x1f, DECIKELVIN, OF(discharge_ut_release)},
	{0x20, CENTIVOLT, OF(pack_ov)},
	{0x21, CENTIVOLT, OF(pack_ov_release)},
	{0x22, CENTIVOLT, OF(pack_uv)},
	{0x23, CENTIVOLT, OF(pack_uv_release)},
	{0x24, MILLIVOLT, OF(cell_ov)},
	{0x25, MILLIVOLT, OF(cell_ov_release)},
	{0x26, MILLIVOLT, OF(cell_uv)},
	{0x27, MILLIVOLT, OF(cell_uv_release)},
	{0x28, CENTIAMP, OF(charge_oc)},
	{0x29, CENTIAMP_NEGATIVE, OF(discharge_oc)},
	{0x2a, MILLIVOLT, OF(balance_start)},
	{0x2b, MILLIVOLT, OF(balance_window)},
};

static bool large_units(const struct device *d)
{
	return ((const struct jbd_board *)d->board)->raw[0x2d] & FUNCTION_LARGE;
}

/* How many wire units one SI unit is. */
static double factor(const struct device *d, enum unit unit)
{
	double small = large_units(d) ? 10 : 100;

	switch (unit) {
	case MILLIVOLT:
		return 1000;
	case CENTIVOLT:
		return 100;
	case DECIKELVIN:
		return 10;
	case CENTIAMP_NEGATIVE:
		return -small;
	default:
		return small;
	}
}

static const struct jbd_register *setting_find(uint8_t reg)
{
	for (unsigned i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (settings[i].reg == reg)
			return &settings[i];
	return NULL;
}

static uint16_t register_read(const struct device *d, uint8_t reg)
{
	const struct jbd_register *s = setting_find(reg);
	const struct jbd_board *board = d->board;
	double v;

	if (!s)
		return board->raw[reg];
	memcpy(&v, (const char *)&d->battery.settings + s->member, sizeof(v));
	v = v * factor(d, s->unit) + (s->unit == DECIKELVIN ? 2731 : 0);
	return s->unit == CENTIAMP_NEGATIVE ? (uint16_t)fit_s16(v) : fit_u16(v);
}

static void register_write(struct device *d, uint8_t reg, uint16_t raw)
{
	const struct jbd_register *s = setting_find(reg);
	struct jbd_board *board = d->board;
	double v = s && s->unit == CENTIAMP_NEGATIVE ? (int16_t)raw : raw;

	if (s) {
		v = (v - (s->unit == DECIKELVIN ? 2731 : 0)) / factor(d, s->unit);
		memcpy((char *)&d->battery.settings + s->member, &v, sizeof(v));
	} else {
		board->raw[reg] = raw;
	}
	if (reg == 0x2d) {
		d->battery.settings.balance_switch = raw & FUNCTION_BALANCE;
		d->battery.settings.balance_only_charging = raw & FUNCTION_ONLY_CHARGING;
	}
	battery_apply_settings(&d->battery);
}

static bool addressed(const struct device *d)
{
	return options(d->scenario)->dialect == JBD_ADDRESSED;
}

static uint16_t ocv_mV(const struct device *d, unsigned pct)
{
	return fit_u16(1000 * chemistry_ocv(d->battery.start.chemistry, pct / 100.0));
}

static void set_text(uint8_t *text, const char *to)
{
	text[0] = (uint8_t)strnlen(to, TEXT_MAX);
	memcpy(text + 1, to, text[0]);
}

static void start_registers(struct device *d)
{
	static const uint8_t curve[][2] = {{0x32, 80}, {0x33, 60}, {0x34, 40}, {0x35, 20}, {0x42, 90},
					   {0x43, 70}, {0x44, 50}, {0x45, 30}, {0x46, 10}, {0x47, 100}};
	struct jbd_board *board = d->board;
	const struct battery *b = &d->battery;
	bool large = b->settings.design_Ah > 655 || b->settings.discharge_oc > 327;

	board->raw[0x11] = fit_u16(0.8 * b->settings.design_Ah * (large ? 10 : 100));
	board->raw[0x14] = 2;
	board->raw[0x15] = 23 << 9 | 6 << 5 | 15;
	board->raw[0x16] = (uint16_t)(random_stir(b->start.seed) & 0x7fff);
	board->raw[0x17] = (uint16_t)b->start.cycles;
	board->raw[0x2c] = 5;
	board->raw[0x2d] =
		(uint16_t)(0x0002 | (b->settings.balance_switch ? FUNCTION_BALANCE : 0) | (large ? FUNCTION_LARGE : 0));
	board->raw[0x2e] = (uint16_t)((1u << b->start.sensors) - 1);
	board->raw[0x2f] = (uint16_t)b->start.cells;
	board->raw[0x30] = 6;
	board->raw[0x36] = fit_u16(1000 * (b->settings.cell_ov + 0.1));
	board->raw[0x37] = fit_u16(1000 * (b->settings.cell_uv - 0.3));
	board->raw[0x38] = 0x8f85;
	board->raw[0x39] = 0x5005;
	for (uint8_t r = 0x3a; r <= 0x3d; r++)
		board->raw[r] = 0x0202;
	board->raw[0x3e] = board->raw[0x3f] = 0x051e;
	for (unsigned i = 0; i < sizeof(curve) / sizeof(curve[0]); i++)
		board->raw[curve[i][0]] = ocv_mV(d, curve[i][1]);
}

static void start_texts(struct device *d)
{
	struct jbd_board *board = d->board;
	unsigned cells = d->battery.start.cells;
	char usual[SCENARIO_TEXT], model[TEXT_MAX + 1];

	snprintf(usual, sizeof(usual), "JBD-SP%02uS034-L%uS-200A-B-U", cells, cells);
	snprintf(board->name, sizeof(board->name), "%s",
		 device_text(d->scenario->model, addressed(d) ? "280A" : usual));
	snprintf(model, sizeof(model), "SP%02uS034-L%uS-200A", cells, cells);
	set_text(board->text[TEXT_MANUFACTURER], "DGJBD");
	set_text(board->text[TEXT_MODEL], model);
	set_text(board->text[TEXT_BARCODE], device_text(d->scenario->serial, "60306221100842"));
	memcpy(board->password, options(d->scenario)->password, sizeof(board->password));
}

static void jbd_start(struct device *d)
{
	struct jbd_board *board = d->board;

	start_registers(d);
	start_texts(d);
	board->restarts = 1;
	board->hold = (uint8_t)((d->charge_wanted ? 0 : HOLD_CHARGE) | (d->discharge_wanted ? 0 : HOLD_DISCHARGE));
}

/* ---- framing: sheet 3 ---- */

static uint16_t checksum(struct bytes covered)
{
	return (uint16_t)(0x10000u - sum16(covered));
}

static int jbd_find_request(const struct scenario *s, struct bytes in)
{
	size_t shift = options(s)->dialect == JBD_ADDRESSED;
	size_t n = (size_t)u8_at(in, 3 + shift) + 7 + shift;

	if (u8_at(in, 0) != 0xdd)
		return -1;
	if (bytes_has(in, 1 + shift, 1) && u8_at(in, 1 + shift) != READ && u8_at(in, 1 + shift) != WRITE)
		return -1;
	if (!bytes_has(in, 3 + shift, 1) || !bytes_has(in, 0, n))
		return 0;
	struct bytes covered = shift ? bytes_sub(in, 1, n - 4) : bytes_sub(in, 2, n - 5);
	return u8_at(in, n - 1) == 0x77 && u16be_at(in, n - 3) == checksum(covered) ? (int)n : -1;
}

static void send_reply(struct device *d, struct reply *out, uint8_t reg, enum status status, struct bytes payload)
{
	struct frame *f = reply_frame(out);
	size_t covered_from = addressed(d) ? 1 : 2;

	frame_add_u8(f, 0xdd);
	if (addressed(d))
		frame_add_u8(f, d->address);
	else if (d->foreign)
		reg = reg == 0x03 ? 0x04 : 0x03;
	frame_add_u8(f, reg);
	frame_add_u8(f, status);
	frame_add_u8(f, (unsigned)payload.n);
	frame_add(f, payload.p, payload.n);
	f->sum_at = f->n;
	uint16_t sum = checksum(bytes_sub(frame_bytes(f), covered_from, FRAME_MAX));
	frame_add_u16be(f, status && options(d->scenario)->badrefusal ? (uint16_t)~sum : sum);
	frame_add_u8(f, 0x77);
	for (uint32_t i = 0; i < options(d->scenario)->trailing; i++)
		frame_add_u8(f, 0xa0 + i);
}

static void send_status(struct device *d, struct reply *out, uint8_t reg, enum status status)
{
	send_reply(d, out, reg, status, (struct bytes){NULL, 0});
}

static void send_frame(struct device *d, struct reply *out, uint8_t reg, const struct frame *payload)
{
	send_reply(d, out, reg, DONE, frame_bytes(payload));
}

/* ---- reading: sheet 5 ---- */

static uint16_t capacity(const struct device *d, uint32_t mAh)
{
	return fit_u16(mAh / (large_units(d) ? 100.0 : 10.0));
}

static uint16_t decikelvin(int16_t dC)
{
	return (uint16_t)(dC + 2731);
}

static uint16_t balance_word(const struct battery_sample *m, unsigned from)
{
	uint16_t word = 0;

	for (unsigned i = 0; i < 16 && from + i < m->cells; i++)
		if (m->balancing[from + i])
			word = (uint16_t)(word | 1u << i);
	return word;
}

static bool has_tail(const struct device *d)
{
	return !addressed(d) && options(d->scenario)->tail != TAIL_0;
}

static void add_tail(const struct device *d, const struct battery_sample *m, struct frame *f)
{
	static const uint8_t more[] = {0x00, 0x00, 0x19, 0x00, 0x00, 0x00, 0x00};

	frame_add_u8(f, 45); /* humidity */
	frame_add_u16be(f, (unsigned)(device_alarm_bits(d) >> 16 & 0xffff));
	frame_add_u16be(f, capacity(d, m->full_mAh));
	frame_add_u16be(f, capacity(d, m->remaining_mAh));
	if (options(d->scenario)->tail == TAIL_7)
		return;
	frame_add_u16be(f, (unsigned)(m->balance_mA < 0 ? -m->balance_mA : m->balance_mA));
	if (options(d->scenario)->tail == TAIL_16)
		frame_add(f, more, sizeof(more));
}

/* Sensor 1 of a board with two or more sits at the MOS. */
static void add_sensors(const struct battery_sample *m, bool first_is_mos, struct frame *f)
{
	frame_add_u8(f, m->sensors);
	for (unsigned i = 0; i < m->sensors; i++)
		frame_add_u16be(f, decikelvin(!i && first_is_mos && m->sensors > 1 ? m->mos_dC : m->sensor_dC[i]));
}

/* What the board measures; on request with cells that carry the start byte of a frame. */
static void measure(const struct device *d, struct battery_sample *m)
{
	battery_measure(&d->battery, m);
	if (!options(d->scenario)->dd)
		return;
	m->pack_mV = 0;
	for (unsigned i = 0; i < m->cells; i++) {
		if (m->cell_mV[i] >= 0x5d)
			m->cell_mV[i] = (uint16_t)(((m->cell_mV[i] - 0x5du) & 0xff00u) + 0xddu);
		m->pack_mV += m->cell_mV[i];
	}
}

static void basic(const struct device *d, struct frame *f)
{
	const struct jbd_board *board = d->board;
	struct battery_sample m;

	measure(d, &m);
	frame_add_u16be(f, fit_u16(m.pack_mV / 10.0));
	frame_add_u16be(f, (uint16_t)fit_s16(m.current_mA / 10.0));
	frame_add_u16be(f, capacity(d, m.remaining_mAh));
	frame_add_u16be(f, capacity(d, has_tail(d) ? m.design_mAh : m.full_mAh));
	frame_add_u16be(f, m.cycles);
	frame_add_u16be(f, board->raw[0x15]);
	frame_add_u16be(f, balance_word(&m, 0));
	frame_add_u16be(f, balance_word(&m, 16));
	frame_add_u16be(f, (unsigned)(device_alarm_bits(d) & 0xffff) | (board->hold ? LOCK_BIT : 0));
	frame_add_u8(f, 0x24);
	frame_add_u8(f, (unsigned)lround(m.soc_permille / 10.0));
	frame_add_u8(f, (d->battery.charge_mos ? 1u : 0) | (d->battery.discharge_mos ? 2u : 0) |
				(d->battery.heater_on ? 8u : 0));
	frame_add_u8(f, m.cells);
	if (addressed(d)) {
		frame_add_u16be(f, 0);
		frame_add_u16be(f, decikelvin(m.mos_dC));
		frame_add_u16be(f, decikelvin(m.ambient_dC));
	}
	add_sensors(&m, !addressed(d), f);
	if (has_tail(d))
		add_tail(d, &m, f);
}

static void cells(const struct device *d, struct frame *f)
{
	struct battery_sample m;

	measure(d, &m);
	for (unsigned i = 0; i < m.cells; i++)
		frame_add_u16be(f, m.cell_mV[i]);
}

static void counters(const struct device *d, struct frame *f)
{
	const struct jbd_board *board = d->board;

	for (unsigned i = 0; i < COUNTERS; i++)
		frame_add_u16be(f, d->battery.trips[counted[i]] - board->trips_seen[i]);
	frame_add_u16be(f, board->restarts);
}

static bool is_config(uint8_t reg)
{
	return reg >= 0x10 && reg <= 0x47;
}

static bool is_text(uint8_t reg)
{
	return reg >= 0xa0 && reg < 0xa0 + TEXTS;
}

static void text(const struct device *d, uint8_t reg, struct frame *f)
{
	const struct jbd_board *board = d->board;
	const uint8_t *t = board->text[reg - 0xa0];

	frame_add(f, t, t[0] <= TEXT_MAX ? 1u + t[0] : TEXT_MAX + 1);
}

/* ---- the parameter block FA: sheet 8.2 ---- */

enum { LEARNED_PARAMETER = 112, WORDS_OF_TEXT = (TEXT_MAX + 1) / 2 };

/* Runs of parameters that are registers under another number. */
static const struct {
	uint8_t first, last, reg;
} same[] = {{0, 39, 0x10}, {104, 105, 0x40}, {106, 111, 0x42}};

/* Parameters that are one byte of a register, the high one first. */
enum { FIRST_BYTE_PARAMETER = 44, LAST_BYTE_PARAMETER = 55, BYTE_REGISTER = 0x3a };
enum { FIRST_TEXT_PARAMETER = 56, LAST_TEXT_PARAMETER = FIRST_TEXT_PARAMETER + TEXTS * WORDS_OF_TEXT - 1 };

/* 0: this parameter is no register. */
static uint8_t register_of(unsigned p)
{
	for (unsigned i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		if (p >= same[i].first && p <= same[i].last)
			return (uint8_t)(same[i].reg + p - same[i].first);
	return 0;
}

/* The two bytes of a text parameter; NULL: it is none. */
static uint8_t *text_of(struct jbd_board *board, unsigned p)
{
	unsigned word = p - FIRST_TEXT_PARAMETER;

	if (p < FIRST_TEXT_PARAMETER || p > LAST_TEXT_PARAMETER)
		return NULL;
	return board->text[word / WORDS_OF_TEXT] + 2 * (word % WORDS_OF_TEXT);
}

static bool is_byte_parameter(unsigned p)
{
	return p >= FIRST_BYTE_PARAMETER && p <= LAST_BYTE_PARAMETER;
}

static uint16_t parameter_read(const struct device *d, unsigned p)
{
	struct jbd_board *board = d->board;
	const uint8_t *t = text_of(board, p);
	struct battery_sample m;

	if (register_of(p))
		return register_read(d, register_of(p));
	if (t)
		return u16be_at((struct bytes){t, 2}, 0);
	if (is_byte_parameter(p)) {
		uint16_t both = board->raw[BYTE_REGISTER + (p - FIRST_BYTE_PARAMETER) / 2];

		return p % 2 ? both & 0xff : both >> 8;
	}
	if (p == LEARNED_PARAMETER) {
		battery_measure(&d->battery, &m);
		return capacity(d, m.full_mAh);
	}
	return board->parameter[p];
}

static void parameter_write(struct device *d, unsigned p, uint16_t v)
{
	struct jbd_board *board = d->board;
	uint8_t *t = text_of(board, p);

	if (register_of(p)) {
		register_write(d, register_of(p), v);
	} else if (t) {
		put_u16be(t, v);
	} else if (is_byte_parameter(p)) {
		uint16_t *both = &board->raw[BYTE_REGISTER + (p - FIRST_BYTE_PARAMETER) / 2];

		*both = (uint16_t)(p % 2 ? (*both & 0xff00) | (v & 0xff) : (*both & 0xff) | v << 8);
	} else {
		board->parameter[p] = v;
	}
}

static void parameters(struct device *d, bool write, struct bytes data, struct reply *out)
{
	unsigned first = u16be_at(data, 0), n = u8_at(data, 2);
	const struct jbd_board *board = d->board;
	struct frame payload = {.n = 0};

	if (!options(d->scenario)->fa || data.n != (write ? 3 + 2 * n : 3) || !n || n > 95 || first + n > PARAMETERS) {
		send_status(d, out, 0xfa, UNKNOWN);
		return;
	}
	if (write && !board->factory) {
		send_status(d, out, 0xfa, NOT_NOW);
		return;
	}
	if (write) {
		for (unsigned i = 0; i < n; i++)
			parameter_write(d, first + i, u16be_at(data, 3 + 2 * i));
		send_status(d, out, 0xfa, DONE);
		return;
	}
	frame_add(&payload, data.p, 3);
	for (unsigned i = 0; i < n; i++)
		frame_add_u16be(&payload, parameter_read(d, first + i));
	send_frame(d, out, 0xfa, &payload);
}

static void read_dump(struct device *d, uint8_t reg, struct reply *out)
{
	struct bytes value = registers_get(d->registers, reg, d->address, 0);

	if (value.p)
		send_reply(d, out, reg, DONE, bytes_sub(value, 0, 255));
	else
		send_status(d, out, reg, UNKNOWN);
}

static void answer_read(struct device *d, uint8_t reg, struct bytes data, struct reply *out)
{
	const struct jbd_board *board = d->board;
	struct frame payload = {.n = 0};

	if (reg == 0x00) /* a board with a TI chip does not say so */
		return;
	if ((is_config(reg) || is_text(reg)) && !board->factory) {
		send_status(d, out, reg, NOT_NOW);
		return;
	}
	if (d->registers) {
		read_dump(d, reg, out);
		return;
	}
	if (reg == 0xfa) {
		parameters(d, false, data, out);
		return;
	}
	if (reg == 0x03)
		basic(d, &payload);
	else if (reg == 0x04)
		cells(d, &payload);
	else if (reg == 0x05 && options(d->scenario)->no05)
		return;
	else if (reg == 0x05)
		frame_add(&payload, board->name, strlen(board->name));
	else if (reg == 0xaa)
		counters(d, &payload);
	else if (is_config(reg))
		frame_add_u16be(&payload, register_read(d, reg));
	else if (is_text(reg))
		text(d, reg, &payload);
	else {
		send_status(d, out, reg, UNKNOWN);
		return;
	}
	send_frame(d, out, reg, &payload);
}

/* ---- writing: sheet 7 ---- */

static enum status hold_mos(struct device *d, uint8_t hold)
{
	struct jbd_board *board = d->board;

	board->hold = hold & (HOLD_CHARGE | HOLD_DISCHARGE);
	device_switch(d, !(hold & HOLD_CHARGE), !(hold & HOLD_DISCHARGE), 0);
	return DONE;
}

/* FB: which MOS, and hold or release. */
static enum status hold_mos_new(struct device *d, uint8_t which, uint8_t hold)
{
	const struct jbd_board *board = d->board;
	uint8_t bits = which == 0x00 ? HOLD_DISCHARGE : which == 0x01 ? HOLD_CHARGE : which == 0x0a ? 3 : 0;

	return hold_mos(d, hold ? board->hold | bits : board->hold & (uint8_t)~bits);
}

static enum status enter_factory(struct device *d, uint16_t key)
{
	struct jbd_board *board = d->board;

	if (key != 0x5678)
		return NOT_NOW;
	board->factory = true;
	return DONE;
}

static enum status leave_factory(struct device *d, uint16_t how)
{
	struct jbd_board *board = d->board;

	board->factory = false;
	if (how == 0x2828) {
		for (unsigned i = 0; i < COUNTERS; i++)
			board->trips_seen[i] = d->battery.trips[counted[i]];
		board->restarts = 0;
	}
	return DONE;
}

static bool password_fits(const struct device *d, struct bytes digits)
{
	const struct jbd_board *board = d->board;
	int form = options(d->scenario)->password_form;
	bool ascii = form != PASSWORD_VALUES, values = form != PASSWORD_ASCII;

	for (unsigned i = 0; i < 6; i++) {
		ascii = ascii && u8_at(digits, i) == (uint8_t)board->password[i];
		values = values && u8_at(digits, i) == board->password[i] - '0';
	}
	return ascii || values;
}

static enum status unlock(struct device *d, struct bytes data)
{
	struct jbd_board *board = d->board;

	if (data.n != 7 || u8_at(data, 0) != 6)
		return WRONG_PASSWORD;
	if (*board->password && !password_fits(d, bytes_sub(data, 1, 6)))
		return WRONG_PASSWORD;
	board->unlocked = true;
	return DONE;
}

static enum status change_password(struct device *d, struct bytes data)
{
	struct jbd_board *board = d->board;

	if (data.n != 13 || u8_at(data, 0) != 12 || (*board->password && !password_fits(d, bytes_sub(data, 1, 6))))
		return WRONG_PASSWORD;
	for (unsigned i = 0; i < 6; i++)
		board->password[i] = (char)('0' + u8_at(data, 7 + i) % 16);
	return DONE;
}

static enum status erase_password(struct device *d, struct bytes data)
{
	static const uint8_t back_door[] = {6, 'J', '1', 'B', '2', 'D', '4'};
	struct jbd_board *board = d->board;

	if (!bytes_equal(data, (struct bytes){back_door, sizeof(back_door)}))
		return WRONG_PASSWORD;
	board->password[0] = 0;
	return DONE;
}

static enum status control(struct device *d, uint8_t word)
{
	struct jbd_board *board = d->board;

	if (options(d->scenario)->no0a)
		return UNKNOWN;
	switch (word) {
	case 0x01:
		battery_soc_from_voltage(&d->battery);
		return DONE;
	case 0x02:
		return leave_factory(d, 0x2828);
	case 0x03:
		d->deaf_until = d->now + 2 * SECOND;
		board->restarts++;
		return DONE;
	case 0x04:
		battery_clear_protections(&d->battery);
		return DONE;
	case 0x05:
		d->heard = d->now - 1000 * SECOND;
		return DONE;
	case 0x06:
		d->deaf_until = INT64_MAX;
		return DONE;
	case 0x07:
		register_write(d, 0x2d, register_read(d, 0x2d) | FUNCTION_BALANCE);
		return DONE;
	default:
		return word >= 0x08 && word <= 0x0c ? DONE : UNKNOWN;
	}
}

static enum status write_remaining(struct device *d, uint16_t raw)
{
	if (options(d->scenario)->remaining == E0_WORKS)
		battery_set_remaining(&d->battery, raw / (large_units(d) ? 10.0 : 100.0));
	return options(d->scenario)->remaining == E0_UNKNOWN ? UNKNOWN : DONE;
}

static enum status write_text(struct device *d, uint8_t reg, struct bytes data)
{
	struct jbd_board *board = d->board;

	if (data.n < 1 || data.n > TEXT_MAX + 1 || data.p[0] != data.n - 1)
		return UNKNOWN;
	memcpy(board->text[reg - 0xa0], data.p, data.n);
	return DONE;
}

/* What needs factory mode. */
static enum status write_config(struct device *d, uint8_t reg, struct bytes data)
{
	struct jbd_board *board = d->board;

	if (!is_config(reg) && !is_text(reg) && reg != 0xe0 && reg != 0xe2 && !(reg >= 0xad && reg <= 0xd7))
		return UNKNOWN;
	if (!board->factory)
		return NOT_NOW;
	if (is_text(reg))
		return write_text(d, reg, data);
	if (data.n != 2)
		return UNKNOWN;
	if (reg == 0xe0)
		return write_remaining(d, u16be_at(data, 0));
	if (reg == 0xe2) {
		d->battery.balance_manual = u8_at(data, 1) <= 3 ? (enum balance_manual)u8_at(data, 1) : BALANCE_AUTO;
		return DONE;
	}
	register_write(d, reg, u16be_at(data, 0));
	return DONE;
}

static enum status write_register(struct device *d, uint8_t reg, struct bytes data)
{
	const struct jbd_board *board = d->board;
	uint16_t word = u16be_at(data, 0);

	if (reg == 0x06)
		return unlock(d, data);
	if (reg == 0x09)
		return erase_password(d, data);
	if (*board->password && !board->unlocked)
		return NOT_NOW;
	if (reg == 0x07)
		return change_password(d, data);
	if (data.n != 2)
		return write_config(d, reg, data);
	if (reg == 0x00)
		return enter_factory(d, word);
	if (reg == 0x01)
		return leave_factory(d, word);
	if (reg == 0x0a)
		return control(d, u8_at(data, 0));
	if (reg == 0xe1)
		return options(d->scenario)->mos == JBD_MOS_FB ? UNKNOWN : hold_mos(d, u8_at(data, 1));
	if (reg == 0xfb)
		return options(d->scenario)->mos == JBD_MOS_E1 ? UNKNOWN
							       : hold_mos_new(d, u8_at(data, 0), u8_at(data, 1));
	return write_config(d, reg, data);
}

/* Asleep after a while of silence, the board takes a request only to wake up. */
static bool sleeping(const struct device *d)
{
	return d->scenario->sleep > 0 && (double)(d->now - d->heard) > d->scenario->sleep * (double)SECOND;
}

static void jbd_answer(struct device *d, struct bytes request, struct reply *out)
{
	size_t shift = addressed(d);
	uint8_t op = u8_at(request, 1 + shift), reg = u8_at(request, 2 + shift);
	struct bytes data = bytes_sub(request, 4 + shift, u8_at(request, 3 + shift));

	if ((shift && u8_at(request, 1) != d->hears) || sleeping(d))
		return;
	if (op == READ) {
		answer_read(d, reg, data, out);
		return;
	}
	d->writes++;
	if (reg == 0xfa)
		parameters(d, true, data, out);
	else
		send_status(d, out, reg, write_register(d, reg, data));
}

static void jbd_tell(const struct device *d, FILE *out)
{
	const struct jbd_board *board = d->board;

	fprintf(out, ",\"factory\":%s,\"hold\":%u,\"registers\":\"", board->factory ? "true" : "false", board->hold);
	for (unsigned r = 0x10; r <= 0x47; r++)
		fprintf(out, "%04x", register_read(d, (uint8_t)r));
	fprintf(out, "\",\"password\":\"%s\"", board->password);
}

const struct kind jbd_kind = {
	.id = "jbd-uart",
	.alias = "jbd",
	.about = "JBD / LLT / Xiaoxiang boards",
	.baud = 9600,
	.delay_min_ms = 40,
	.delay_max_ms = 120,
	.gap = 50 * MS,
	.max_cells = 32,
	.max_sensors = 8,
	.cells = 4,
	.sensors = 3,
	.capacity = 100,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.alone = alone,
	.address_min = 0,
	.address_max = 15,
	.address_first = 0,
	.alarms = jbd_alarms,
	.n_alarms = sizeof(jbd_alarms) / sizeof(jbd_alarms[0]),
	.keys = jbd_keys,
	.n_keys = sizeof(jbd_keys) / sizeof(jbd_keys[0]),
	.garbage_hex = "FF",
	.board_size = sizeof(struct jbd_board),
	.start = jbd_start,
	.find_request = jbd_find_request,
	.answer = jbd_answer,
	.tell = jbd_tell,
};
