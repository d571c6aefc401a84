/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A Seplos BMS 3.0 on RS485, sheet seplos-v3: alone at address 0, with an address of its own, or as a bank whose
 * pack 1 is the bus master. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "sim/device.h"
#include "sim/modbus.h"

enum block { PIA, PIB, PIC, SPA, SFA, VIA, PCT, EIA, EIB, EIC, BLOCKS };
enum { CELLS = 16, SENSORS = 4, NO_SENSOR = 2731, BLOCK_BYTES = 212, SFA_BYTES = 10 };
enum { MASTER = 1, DEAF = 0xff };
enum register_number { REG_REMAINING = 0x135a, REG_DISCHARGE_OFF = 0x1510, REG_CHARGE_OFF, REG_LIMITER_OFF };
enum more_registers { REG_HEATER_ON = 0x1514, REG_CHARGE_ON, REG_PARAMETER_RESET, REG_BOOT_LOADER = 0x1519 };
enum values { FORCE_OFF = 0x55aa, FORCE_ON = 0xaa55 };

static const struct layout {
	uint16_t start;
	uint8_t function, count; /* registers or coils */
} layouts[BLOCKS] = {
	[PIA] = {0x1000, RTU_READ_INPUT, 0x12}, [PIB] = {0x1100, RTU_READ_INPUT, 0x1a},
	[PIC] = {0x1200, RTU_READ_COILS, 0x90}, [SPA] = {0x1300, RTU_READ_INPUT, 0x6a},
	[SFA] = {0x1400, RTU_READ_COILS, 0x50}, [VIA] = {0x1700, RTU_READ_INPUT, 0x33},
	[PCT] = {0x1800, RTU_READ_INPUT, 0x24}, [EIA] = {0x2000, RTU_READ_INPUT, 0x1a},
	[EIB] = {0x2100, RTU_READ_INPUT, 0x16}, [EIC] = {0x2200, RTU_READ_COILS, 0x50},
};

/* Nobody has seen a write on a wire: it may work, be refused, or be acknowledged without effect. */
enum writes { WRITES_WORK, WRITES_REFUSED, WRITES_IGNORED };

struct seplos_v3_options {
	int writes;
	bool master, shortpia;
};

_Static_assert(sizeof(struct seplos_v3_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct seplos_v3_options, member)

static const struct key seplos_v3_keys[] = {
	{"master", KEY_FLAG, AT(master), 0, 0, "", "off", NULL,
	 "a bank: one more pack, number 1, is the bus master; the others count from 2", 0},
	{"shortpia", KEY_FLAG, AT(shortpia), 0, 0, "", "off", NULL, "the last register of block 1000 does not exist",
	 0},
	{"writes", KEY_WORD, AT(writes), 0, 0, "", "work", "work|refused|ignored", "what becomes of a write", 0},
};

struct seplos_v3_board {
	uint16_t spa[BLOCK_BYTES / 2]; /* parameters that mean nothing to the battery */
	uint8_t sfa[SFA_BYTES];
	bool limiter_off, heater_forced;
	unsigned dangerous; /* resets, power off, boot loader that were asked for */
	unsigned slot;	    /* of the master's cycle */
};

static const struct seplos_v3_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

static bool mastered(const struct scenario *s)
{
	return options(s)->master;
}

/* One pack without an address is alone at address 0. */
static const char *alone(const struct scenario *s)
{
	return s->packs > 1 || s->addresses || mastered(s) ? NULL : "more than one pack";
}

/* Bit = 8 * place + bit; the tables in the order TB02, 03, 04, 05, 16, 06, 08, 15. */
enum place { TB02, TB03, TB04, TB05, TB16, TB06, TB08, TB15 };
#define BIT(place, bit) (8 * (place) + (bit))

static const struct alarm_bit seplos_v3_alarms[] = {
	{NULL, HIGH_CELL_VOLTAGE, WARNING, BIT(TB02, 0)},
	{NULL, HIGH_CELL_VOLTAGE, ALARM, BIT(TB02, 1)},
	{NULL, LOW_CELL_VOLTAGE, WARNING, BIT(TB02, 2)},
	{NULL, LOW_CELL_VOLTAGE, ALARM, BIT(TB02, 3)},
	{NULL, HIGH_VOLTAGE, WARNING, BIT(TB02, 4)},
	{NULL, HIGH_VOLTAGE, ALARM, BIT(TB02, 5)},
	{NULL, LOW_VOLTAGE, WARNING, BIT(TB02, 6)},
	{NULL, LOW_VOLTAGE, ALARM, BIT(TB02, 7)},
	{NULL, HIGH_CHARGE_TEMPERATURE, WARNING, BIT(TB03, 0)},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, BIT(TB03, 1)},
	{NULL, LOW_CHARGE_TEMPERATURE, WARNING, BIT(TB03, 2)},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, BIT(TB03, 3)},
	{NULL, HIGH_TEMPERATURE, WARNING, BIT(TB03, 4)},
	{NULL, HIGH_TEMPERATURE, ALARM, BIT(TB03, 5)},
	{NULL, LOW_TEMPERATURE, WARNING, BIT(TB03, 6)},
	{NULL, LOW_TEMPERATURE, ALARM, BIT(TB03, 7)},
	{"high_ambient_temperature", NO_ALARM, WARNING, BIT(TB04, 0)},
	{"high_ambient_temperature", NO_ALARM, ALARM, BIT(TB04, 1)},
	{"low_ambient_temperature", NO_ALARM, WARNING, BIT(TB04, 2)},
	{"low_ambient_temperature", NO_ALARM, ALARM, BIT(TB04, 3)},
	{NULL, HIGH_INTERNAL_TEMPERATURE, WARNING, BIT(TB04, 4)},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, BIT(TB04, 5)},
	{NULL, HIGH_CHARGE_CURRENT, WARNING, BIT(TB05, 0)},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, BIT(TB05, 1)},
	{NULL, HIGH_DISCHARGE_CURRENT, WARNING, BIT(TB05, 3)},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, BIT(TB05, 4)},
	{NULL, SHORT_CIRCUIT, ALARM, BIT(TB05, 6)},
	{NULL, LOW_SOC, WARNING, BIT(TB06, 2)},
	{NULL, LOW_SOC, ALARM, BIT(TB06, 3)},
	{NULL, CELL_IMBALANCE, WARNING, BIT(TB06, 4)},
	{"ntc_fault", NO_ALARM, ALARM, BIT(TB15, 0)},
	{"afe_fault", NO_ALARM, ALARM, BIT(TB15, 1)},
	{NULL, INTERNAL_FAILURE, ALARM, BIT(TB15, 1)},
	{"charge_mos_fault", NO_ALARM, ALARM, BIT(TB15, 2)},
	{"discharge_mos_fault", NO_ALARM, ALARM, BIT(TB15, 3)},
	{NULL, CELL_IMBALANCE, ALARM, BIT(TB15, 4)},
	{"wire_break", NO_ALARM, ALARM, BIT(TB15, 5)},
	{"key_fault", NO_ALARM, ALARM, BIT(TB15, 6)},
	{"aerosol", NO_ALARM, ALARM, BIT(TB15, 7)},
};

/* ---- parameters: sheet 8 ---- */

static const struct parameter {
	uint8_t at;
	uint16_t member; /* of the battery's settings */
	double factor;	 /* wire units in one SI unit */
	int offset;	 /* wire units */
} parameters[] = {
#define OF(member) (uint16_t) offsetof(struct battery_settings, member)
	{0x04, OF(pack_ov_release), 100, 0},
	{0x05, OF(pack_ov), 100, 0},
	{0x08, OF(pack_uv_release), 100, 0},
	{0x09, OF(pack_uv), 100, 0},
	{0x0c, OF(cell_ov_release), 1000, 0},
	{0x0d, OF(cell_ov), 1000, 0},
	{0x10, OF(cell_uv_release), 1000, 0},
	{0x11, OF(cell_uv), 1000, 0},
	{0x13, OF(cell_difference), 1000, 0},
	{0x14, OF(cell_difference_release), 1000, 0},
	{0x17, OF(charge_oc), 1, 0},
	{0x18, OF(oc_delay), 10, 0},
	{0x1d, OF(discharge_oc), -1, 0},
	{0x1e, OF(oc_delay), 10, 0},
	{0x23, OF(oc_release), 10, 0},
	{0x31, OF(charge_ot_release), 10, NO_SENSOR},
	{0x32, OF(charge_ot), 10, NO_SENSOR},
	{0x35, OF(charge_ut_release), 10, NO_SENSOR},
	{0x36, OF(charge_ut), 10, NO_SENSOR},
	{0x39, OF(discharge_ot_release), 10, NO_SENSOR},
	{0x3a, OF(discharge_ot), 10, NO_SENSOR},
	{0x3d, OF(discharge_ut_release), 10, NO_SENSOR},
	{0x3e, OF(discharge_ut), 10, NO_SENSOR},
	{0x49, OF(mos_ot_release), 10, NO_SENSOR},
	{0x4a, OF(mos_ot), 10, NO_SENSOR},
	{0x50, OF(balance_start), 1000, 0},
	{0x51, OF(balance_window), 1000, 0},
	{0x56, OF(low_soc_release), 10, 0},
	{0x57, OF(low_soc), 10, 0},
	{0x58, OF(design_Ah), 100, 0},
#undef OF
};

/* The sheet's example, for all that the battery does not know. */
static const int16_t usual_spa[BLOCK_BYTES / 2] = {
	[0x00] = 4,    [0x01] = 16,   [0x02] = 5400, [0x03] = 5600, [0x06] = 4800, [0x07] = 4640, [0x0a] = 3400,
	[0x0b] = 3500, [0x0e] = 3100, [0x0f] = 2900, [0x12] = 2000, [0x15] = 203,  [0x16] = 205,  [0x19] = 300,
	[0x1a] = 300,  [0x1b] = -203, [0x1c] = -205, [0x1f] = -350, [0x20] = 300,  [0x21] = -300, [0x22] = 106,
	[0x24] = 5,    [0x25] = 3000, [0x26] = 205,  [0x27] = 10,   [0x28] = 3500, [0x29] = 3400, [0x2a] = 1500,
	[0x2b] = 1000, [0x2c] = 800,  [0x2d] = 200,  [0x2e] = 30,   [0x2f] = 3201, [0x30] = 3231, [0x33] = 2781,
	[0x34] = 2761, [0x37] = 3231, [0x38] = 3281, [0x3b] = 2761, [0x3c] = 2731, [0x3f] = 3201, [0x40] = 3231,
	[0x41] = 3281, [0x42] = 3331, [0x43] = 2761, [0x44] = 2731, [0x45] = 2731, [0x46] = 2631, [0x47] = 3581,
	[0x48] = 3681, [0x4b] = 2831, [0x4c] = 2731, [0x4d] = 3231, [0x4e] = 2731, [0x4f] = 10,	  [0x52] = 30,
	[0x53] = 960,  [0x54] = 80,   [0x55] = 50,   [0x5b] = 48,   [0x5c] = 60,   [0x5d] = 240,  [0x5e] = 10,
	[0x5f] = 7,    [0x61] = 13,   [0x63] = 500,  [0x64] = 300,  [0x65] = 5760, [0x66] = 180,  [0x67] = -180,
	[0x69] = 8,
};

/* Beside the master nobody else is number 1: then all move up. */
static unsigned moved_up(const struct scenario *s)
{
	for (unsigned i = 0; i < s->addresses; i++)
		if (s->address[i] == MASTER)
			return 1;
	return 0;
}

static void seplos_v3_start(struct device *d)
{
	static const uint8_t functions[SFA_BYTES] = {0xff, 0xff, 0x3f, 0x01, 0x7f, 0x2f, 0x9f, 0x0f, 0x63, 0x6f};
	const struct scenario *s = d->scenario;
	struct seplos_v3_board *board = d->board;

	for (unsigned i = 0; i < BLOCK_BYTES / 2; i++)
		board->spa[i] = (uint16_t)usual_spa[i];
	board->spa[1] = (uint16_t)d->battery.start.cells;
	memcpy(board->sfa, functions, SFA_BYTES);
	if (!mastered(s))
		return;
	if (d->address) {
		d->address = (uint8_t)(d->address + moved_up(s));
		d->hears = d->address;
	} else { /* the one more */
		d->address = MASTER;
		d->hears = DEAF;
	}
}

static double *member_of(struct battery_settings *s, uint16_t member)
{
	return (double *)(void *)((char *)s + member);
}

static void put_parameters(struct device *d, const struct battery_sample *m, uint8_t *p)
{
	const struct seplos_v3_board *board = d->board;

	for (unsigned i = 0; i < BLOCK_BYTES / 2; i++)
		put_u16be(p + 2 * i, board->spa[i]);
	for (unsigned i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		const struct parameter *row = &parameters[i];
		double v = *member_of(&d->battery.settings, row->member) * row->factor + row->offset;

		put_u16be(p + 2 * row->at, v < 0 ? (uint16_t)fit_s16(v) : fit_u16(v));
	}
	put_u16be(p + 2 * 0x59, fit_u16(m->full_mAh / 10.0));
	put_u16be(p + 2 * 0x5a, fit_u16(m->remaining_mAh / 10.0));
}

static bool write_parameter(struct device *d, uint16_t reg, uint16_t v)
{
	struct seplos_v3_board *board = d->board;
	unsigned at = reg - layouts[SPA].start;

	if (at == 0 || at >= layouts[SPA].count)
		return false;
	if (reg == REG_REMAINING) {
		if (v / 100.0 > d->battery.full_Ah)
			return false;
		battery_set_remaining(&d->battery, v / 100.0);
		return true;
	}
	board->spa[at] = v;
	for (unsigned i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		const struct parameter *row = &parameters[i];

		if (row->at == at)
			*member_of(&d->battery.settings, row->member) =
				((row->factor < 0 ? (int16_t)v : v) - row->offset) / row->factor;
	}
	battery_apply_settings(&d->battery);
	return true;
}

/* ---- what a pack measures: sheet 5 ---- */

static void put_words(uint8_t *p, const double *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put_u16be(p + 2 * i, v[i] < 0 ? (uint16_t)fit_s16(v[i]) : fit_u16(v[i]));
}

static int16_t extreme(const struct battery_sample *m, bool highest)
{
	int16_t v = m->sensors ? m->sensor_dC[0] : 0;

	for (unsigned i = 1; i < m->sensors; i++)
		if (highest ? m->sensor_dC[i] > v : m->sensor_dC[i] < v)
			v = m->sensor_dC[i];
	return v;
}

static double average_dC(const struct battery_sample *m)
{
	double sum = 0;

	for (unsigned i = 0; i < m->sensors; i++)
		sum += m->sensor_dC[i];
	return m->sensors ? round(sum / m->sensors) : 0;
}

static double allowed_A(const struct device *d, bool charge)
{
	return (charge ? d->battery.charge_mos : d->battery.discharge_mos) ? 180 : 0;
}

static void put_pia(const struct device *d, const struct battery_sample *m, uint8_t *p)
{
	const double v[] = {
		m->pack_mV / 10.0,
		m->current_mA / 10.0,
		m->remaining_mAh / 10.0,
		m->full_mAh / 10.0,
		m->discharged_Ah / 10.0,
		m->soc_permille,
		d->scenario->soh * 10,
		m->cycles,
		round((double)m->pack_mV / m->cells),
		average_dC(m) + NO_SENSOR,
		m->cell_mV[m->highest],
		m->cell_mV[m->lowest],
		extreme(m, true) + NO_SENSOR,
		extreme(m, false) + NO_SENSOR,
		0,
		allowed_A(d, false),
		allowed_A(d, true),
		1000,
	};

	put_words(p, v, sizeof(v) / sizeof(v[0]));
}

static void put_pib(const struct battery_sample *m, uint8_t *p)
{
	for (unsigned i = 0; i < CELLS; i++)
		put_u16be(p + 2 * i, i < m->cells ? m->cell_mV[i] : 0);
	for (unsigned i = 0; i < 2 * SENSORS; i++)
		put_u16be(p + 2 * (CELLS + i), (uint16_t)(NO_SENSOR + (i < SENSORS ? m->sensor_dC[i] : 0)));
	put_u16be(p + 2 * 0x18, (uint16_t)(NO_SENSOR + m->ambient_dC));
	put_u16be(p + 2 * 0x19, (uint16_t)(NO_SENSOR + m->mos_dC));
}

/* TB09, 02, 03, 04, 05, 16, 06, 07, 08, 15. */
static void put_tables(const struct device *d, const struct battery_sample *m, uint8_t *p)
{
	const struct seplos_v3_board *board = d->board;
	const struct battery *b = &d->battery;
	uint64_t alarms = device_alarm_bits(d);

	p[0] = m->current_mA < -100 ? 1 : m->current_mA > 100 ? 2 : 1 << 4;
	if (m->soc_permille >= 1000)
		p[0] |= 1 << 3;
	for (unsigned i = TB02; i <= TB06; i++)
		p[1 + i] = (uint8_t)(alarms >> BIT(i, 0));
	p[7] = (uint8_t)(b->discharge_mos | b->charge_mos << 1 | (b->heater_on || board->heater_forced) << 3);
	p[8] = (uint8_t)(alarms >> BIT(TB08, 0));
	p[9] = (uint8_t)(alarms >> BIT(TB15, 0));
	if (p[7] & 8)
		p[1 + TB04] |= 1 << 6;
}

static void put_pic(const struct device *d, const struct battery_sample *m, uint8_t *p)
{
	uint16_t balancing = 0, low = 0, high = 0;

	for (unsigned i = 0; i < m->cells; i++)
		balancing |= (uint16_t)(m->balancing[i] << i);
	if (battery_alarm(&d->battery, LOW_CELL_VOLTAGE) != QUIET)
		low = (uint16_t)(1u << m->lowest);
	if (battery_alarm(&d->battery, HIGH_CELL_VOLTAGE) != QUIET)
		high = (uint16_t)(1u << m->highest);
	put_u16le(p, low);
	put_u16le(p + 2, high);
	put_u16le(p + 6, balancing);
	put_tables(d, m, p + 8);
}

/* ---- what a single pack says of the bank that it is ---- */

static void put_low_first(uint8_t *p, double v)
{
	uint32_t raw = (uint32_t)(int64_t)round(v);

	put_u16be(p, (uint16_t)raw);
	put_u16be(p + 2, (uint16_t)(raw >> 16));
}

static void put_eia(const struct device *d, const struct battery_sample *m, uint8_t *p)
{
	const double pairs[] = {
		m->pack_mV / 10.0,
		m->current_mA / 100.0,
		m->remaining_mAh / 10.0,
		m->full_mAh / 10.0,
		m->discharged_Ah / 10.0,
		m->design_mAh / 10.0,
		1,
		0,
		allowed_A(d, false) * 10,
		allowed_A(d, true) * 10,
	};
	const double words[] = {576, 464, 1, m->cycles, m->soc_permille, d->scenario->soh * 10};

	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		put_low_first(p + 4 * i, pairs[i]);
	put_words(p + 40, words, sizeof(words) / sizeof(words[0]));
}

static void put_eib(const struct device *d, const struct battery_sample *m, uint8_t *p)
{
	const double v[] = {
		m->cell_mV[m->highest],
		m->cell_mV[m->lowest],
		m->highest,
		m->lowest,
		m->pack_mV / 10.0,
		m->pack_mV / 10.0,
		0,
		0,
		extreme(m, true),
		extreme(m, false),
		average_dC(m),
		0,
		0,
		m->soc_permille,
		m->soc_permille,
		m->cycles,
		d->scenario->soh * 10,
		m->mos_dC,
		m->mos_dC,
		m->mos_dC,
		0,
		0,
	};

	put_words(p, v, sizeof(v) / sizeof(v[0]));
}

/* ---- identity ---- */

static void put_text(uint8_t *p, unsigned at, unsigned size, const char *text)
{
	memcpy(p + at, text, strnlen(text, size));
}

static void put_via(const struct device *d, uint8_t *p)
{
	char serial[20];

	snprintf(serial, sizeof(serial), "SP57B-A25061200%02u", d->address);
	put_text(p, 0, 20, "XZH-ElecTech Co.,Ltd");
	put_text(p, 20, 20, device_text(d->scenario->model, "SG16S200A-SP57B-A"));
	put_text(p, 40, 2, "15");
	put_text(p, 42, 30, device_text(d->scenario->serial, serial));
}

static void put_pct(uint8_t *p)
{
	put_u16be(p + 2, 500);
	put_text(p, 4, 32, "SUN-3.6K-SG03P1-EU");
	put_text(p, 36, 32, "Pylon CAN Protocol");
	put_text(p, 68, 2, "20");
}

/* ---- blocks ---- */

static size_t bytes_of(const struct layout *l)
{
	return l->function == RTU_READ_COILS ? l->count / 8u : 2u * l->count;
}

/* The whole block, from the dump where there is one. false: this pack does not have it. */
static bool make_block(struct device *d, enum block block, uint8_t *p)
{
	const struct seplos_v3_board *board = d->board;
	struct battery_sample m;

	memset(p, 0, BLOCK_BYTES);
	if (d->registers) {
		struct bytes dump = registers_get(d->registers, layouts[block].start, d->address, 0);

		dump = bytes_sub(dump, 0, BLOCK_BYTES);
		if (dump.n)
			memcpy(p, dump.p, dump.n);
		return dump.n > 0;
	}
	if (block >= EIA && d->address != 0)
		return false;
	battery_measure(&d->battery, &m);
	switch (block) {
	case PIA:
		put_pia(d, &m, p);
		break;
	case PIB:
		put_pib(&m, p);
		break;
	case PIC:
		put_pic(d, &m, p);
		break;
	case SPA:
		put_parameters(d, &m, p);
		break;
	case SFA:
		memcpy(p, board->sfa, SFA_BYTES);
		p[7] = (uint8_t)((p[7] & ~1) | d->battery.settings.balance_switch);
		break;
	case VIA:
		put_via(d, p);
		break;
	case PCT:
		put_pct(p);
		break;
	case EIA:
		put_eia(d, &m, p);
		break;
	case EIB:
		put_eib(d, &m, p);
		break;
	case EIC:
		put_tables(d, &m, p);
		break;
	case BLOCKS:
		break;
	}
	return true;
}

/* ---- requests ---- */

/* Coils come as a whole block; registers from anywhere inside one. */
static bool block_of(const struct rtu_request *r, enum block *block)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		const struct layout *l = &layouts[i];

		*block = (enum block)i;
		if (l->function == r->function && r->start >= l->start && r->start + r->count <= l->start + l->count)
			return r->function == RTU_READ_INPUT || r->count == l->count;
	}
	return false;
}

static void answer_read(struct device *d, const struct rtu_request *r, struct frame *f)
{
	uint8_t p[BLOCK_BYTES];
	enum block block;
	bool beyond = options(d->scenario)->shortpia && r->start + r->count > 0x1011 && r->start < 0x1012;

	if (!r->count) {
		rtu_refuse(f, r, RTU_BAD_VALUE);
		return;
	}
	if (!block_of(r, &block) || beyond || !make_block(d, block, p)) {
		rtu_refuse(f, r, RTU_BAD_ADDRESS);
		return;
	}
	size_t at = r->function == RTU_READ_INPUT ? 2u * (r->start - layouts[block].start) : 0;
	size_t n = r->function == RTU_READ_INPUT ? 2u * r->count : bytes_of(&layouts[block]);
	rtu_answer(f, r, (struct bytes){p + at, n});
}

static bool carry_out(struct device *d, uint16_t reg, uint16_t v)
{
	struct seplos_v3_board *board = d->board;
	bool charge = device_charge_wanted(d), discharge = device_discharge_wanted(d);

	switch (reg) {
	case REG_DISCHARGE_OFF:
		device_switch(d, charge, v != FORCE_OFF, 500 * MS);
		return true;
	case REG_CHARGE_OFF:
		device_switch(d, v != FORCE_OFF, discharge, 500 * MS);
		return true;
	case REG_CHARGE_ON:
		device_switch(d, charge || v == FORCE_ON, discharge, 500 * MS);
		return true;
	case REG_LIMITER_OFF:
		board->limiter_off = v == FORCE_OFF;
		return true;
	case REG_HEATER_ON:
		board->heater_forced = v == FORCE_ON;
		return true;
	default:
		break;
	}
	if (reg < REG_PARAMETER_RESET || reg > REG_BOOT_LOADER)
		return write_parameter(d, reg, v);
	board->dangerous += v == FORCE_OFF;
	return true;
}

static void answer_write(struct device *d, const struct rtu_request *r, struct frame *f)
{
	struct seplos_v3_board *board = d->board;
	bool ignored = options(d->scenario)->writes == WRITES_IGNORED, done = true;

	d->writes++;
	if (options(d->scenario)->writes == WRITES_REFUSED) {
		rtu_refuse(f, r, RTU_BAD_FUNCTION);
		return;
	}
	if (r->function == RTU_WRITE_COILS) {
		done = r->start == layouts[SFA].start && r->count == layouts[SFA].count;
		if (done && !ignored) {
			memcpy(board->sfa, r->values.p, SFA_BYTES);
			d->battery.settings.balance_switch = board->sfa[7] & 1;
			battery_apply_settings(&d->battery);
		}
	} else {
		done = r->count == 1 && (ignored || carry_out(d, r->start, u16be_at(r->values, 0)));
	}
	if (done)
		rtu_acknowledge(f, r);
	else
		rtu_refuse(f, r, RTU_BAD_ADDRESS);
}

static void seplos_v3_answer(struct device *d, struct bytes request, struct reply *out)
{
	struct rtu_request r;

	if (u8_at(request, 0) != d->hears || device_asleep(d))
		return;
	struct frame *f = reply_frame(out);

	bool sound = rtu_open(request, &r);
	r.address = (uint8_t)(d->address + d->foreign);
	if (!sound)
		rtu_refuse(f, &r, RTU_BAD_VALUE);
	else if (r.function == RTU_READ_COILS || r.function == RTU_READ_INPUT)
		answer_read(d, &r, f);
	else if (r.function == RTU_WRITE_COILS || r.function == RTU_WRITE_REGISTERS)
		answer_write(d, &r, f);
	else
		rtu_refuse(f, &r, RTU_BAD_FUNCTION);
}

/* ---- the bus master: sheet 9 ---- */

enum { POLLED = 3, ASK_EVERY_MS = 130, REST_MS = 200 };

static void add_read(struct frame *f, unsigned address, const struct layout *l)
{
	frame_add_u8(f, address);
	frame_add_u8(f, l->function);
	frame_add_u16be(f, l->start);
	frame_add_u16be(f, l->count);
	rtu_end(f);
}

/* Its own data as replies that nobody asked for. */
static void send_own(struct device *d, struct reply *out)
{
	uint8_t p[BLOCK_BYTES];

	for (unsigned i = 0; i < POLLED; i++) {
		const struct rtu_request r = {.address = MASTER, .function = layouts[i].function};

		if (make_block(d, (enum block)i, p))
			rtu_answer(reply_frame(out), &r, (struct bytes){p, bytes_of(&layouts[i])});
	}
}

static usec seplos_v3_speak(struct device *d, struct reply *out)
{
	struct seplos_v3_board *board = d->board;
	unsigned slot = board->slot, last = POLLED * d->scenario->addresses;

	board->slot = slot < last ? slot + 1 : 0;
	if (slot == last) {
		send_own(d, out);
		return d->now + REST_MS * MS;
	}
	add_read(reply_frame(out), d->scenario->address[slot / POLLED] + moved_up(d->scenario),
		 &layouts[slot % POLLED]);
	out->heard = true;
	return d->now + ASK_EVERY_MS * MS;
}

static void seplos_v3_tell(const struct device *d, FILE *out)
{
	const struct seplos_v3_board *board = d->board;

	fprintf(out, ",\"limiter_off\":%s,\"heater_forced\":%s,\"dangerous\":%u,\"functions\":\"",
		board->limiter_off ? "true" : "false", board->heater_forced ? "true" : "false", board->dangerous);
	for (unsigned i = 0; i < SFA_BYTES; i++)
		fprintf(out, "%02x", board->sfa[i]);
	fprintf(out, "\"");
}

const struct kind seplos_v3_kind = {
	.id = "seplos-v3",
	.alias = "seplos3",
	.about = "Seplos BMS 3.0, Modbus",
	.baud = 19200,
	.delay_min_ms = 20,
	.delay_max_ms = 80,
	.gap = 2 * MS,
	.max_cells = CELLS,
	.max_sensors = SENSORS,
	.cells = CELLS,
	.sensors = SENSORS,
	.capacity = 280,
	.balancer = BALANCER_BLEEDS,
	.sensors_fixed = true,
	.addressed = true,
	.alone = alone,
	.mastered = mastered,
	.address_min = 0,
	.address_max = 15,
	.address_first = 1,
	.alarms = seplos_v3_alarms,
	.n_alarms = sizeof(seplos_v3_alarms) / sizeof(seplos_v3_alarms[0]),
	.keys = seplos_v3_keys,
	.n_keys = sizeof(seplos_v3_keys) / sizeof(seplos_v3_keys[0]),
	.garbage_hex = "00FF5A",
	.board_size = sizeof(struct seplos_v3_board),
	.start = seplos_v3_start,
	.find_request = rtu_find_request,
	.answer = seplos_v3_answer,
	.speak = seplos_v3_speak,
	.tell = seplos_v3_tell,
};
