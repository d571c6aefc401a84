/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A board with a Sinowealth chip, as older Daly ones: registers asked for with three bytes, sheet sinowealth. */
#include <math.h>
#include <string.h>

#include "sim/device.h"

enum {
	START = 0x0a,
	REQUEST = 3,
	LONGEST = 20,
	FIRST_CELL = 0x01,
	TOTAL = 0x0b,
	TEMP_1 = 0x0c,
	TEMP_2 = 0x0d,
	TEMP_IC = 0x0e,
	CONSTANT = 0x0f,
	CURRENT = 0x10,
	FULL = 0x11,
	REMAINING = 0x12,
	SOC = 0x13,
	CYCLES = 0x14,
	STATUS = 0x15,
	PROTECTION = 0x16,
	CONFIG = 0x17,
	ACCESS = 0x18,
	REGISTERS,
};

enum { USUAL_CELLS = 10, MORE_CELLS = 15, FEWEST_CELLS = 3, TWO_SENSORS = 1 << 6 };
enum { STATUS_BITS = 16 }; /* place of the status register in the alarm bits */

struct sino_options {
	bool dropodd;
};

_Static_assert(sizeof(struct sino_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct sino_options, member)

static const struct key sino_keys[] = {
	{"dropodd", KEY_FLAG, AT(dropodd), 0, 0, "", "off", NULL, "every other request is not answered", 0},
};

static const struct sino_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

struct sino_board {
	unsigned requests;
};

static const struct alarm_bit sino_alarms[] = {
	{NULL, HIGH_CELL_VOLTAGE, ALARM, 0},	   {NULL, HIGH_VOLTAGE, ALARM, 0},
	{NULL, LOW_CELL_VOLTAGE, ALARM, 1},	   {NULL, LOW_VOLTAGE, ALARM, 1},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, 2},	   {NULL, HIGH_DISCHARGE_CURRENT, ALARM, 3},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, 8}, {NULL, HIGH_TEMPERATURE, ALARM, 9},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, 10}, {NULL, LOW_TEMPERATURE, ALARM, 11},
	{NULL, SHORT_CIRCUIT, ALARM, 13},	   {NULL, INTERNAL_FAILURE, ALARM, 14},
	{NULL, LOW_SOC, WARNING, STATUS_BITS + 9},
};

static void sino_start(struct device *d)
{
	(void)d; /* nothing that anybody could change */
}

/* ---- framing: sheet 3 ---- */

static int sino_find_request(const struct scenario *s, struct bytes in)
{
	(void)s;
	if (u8_at(in, 0) != START)
		return -1;
	if (!bytes_has(in, 0, REQUEST))
		return 0;
	return u8_at(in, 1) >= FIRST_CELL && u8_at(in, 1) < REGISTERS && u8_at(in, 2) >= 1 && u8_at(in, 2) <= LONGEST
		       ? REQUEST
		       : -1;
}

/* Polynomial 07, one table step per half byte. */
static uint8_t pec(uint8_t crc, struct bytes b)
{
	static const uint8_t half[16] = {0x00, 0x07, 0x0e, 0x09, 0x1c, 0x1b, 0x12, 0x15,
					 0x38, 0x3f, 0x36, 0x31, 0x24, 0x23, 0x2a, 0x2d};

	for (size_t i = 0; i < b.n; i++) {
		crc ^= b.p[i];
		crc = (uint8_t)(crc << 4 ^ half[crc >> 4]);
		crc = (uint8_t)(crc << 4 ^ half[crc >> 4]);
	}
	return crc;
}

/* ---- registers: sheet 5 ---- */

static size_t register_size(uint8_t reg)
{
	return reg >= CURRENT && reg <= REMAINING ? 4 : 2;
}

static unsigned decikelvin(int dC)
{
	return (unsigned)(2731 + dC);
}

/* 16 and more cells do not fit the three bits: they show what is left of the number. */
static unsigned config(const struct battery_sample *m)
{
	unsigned cells = m->cells < FEWEST_CELLS ? FEWEST_CELLS : m->cells;

	return ((cells - FEWEST_CELLS) & 7) | (m->sensors > 1 ? TWO_SENSORS : 0);
}

static unsigned status(const struct device *d, const struct battery_sample *m)
{
	unsigned bits = (unsigned)(device_alarm_bits(d) >> STATUS_BITS) & 0xffff;

	bits |= d->battery.charge_mos;
	bits |= (unsigned)d->battery.discharge_mos << 1;
	bits |= (unsigned)(m->current_mA > 100) << 2;
	bits |= (unsigned)(m->current_mA < -100) << 3;
	bits |= (unsigned)(m->soc_permille >= 1000) << 8;
	bits |= (unsigned)(m->soc_permille == 0) << 9;
	return bits | 1u << 15;
}

static uint32_t value_of(const struct device *d, const struct battery_sample *m, uint8_t reg)
{
	bool many = m->cells > USUAL_CELLS;

	/* A chip for more cells has them where the others have voltage and temperatures. */
	if (reg <= (many ? MORE_CELLS : USUAL_CELLS))
		return reg <= m->cells ? m->cell_mV[reg - 1] : 0;
	switch (reg) {
	case TOTAL:
		return fit_u16(m->pack_mV);
	case TEMP_1:
	case TEMP_2:
		return reg - TEMP_1 < (int)m->sensors ? decikelvin(m->sensor_dC[reg - TEMP_1]) : 0;
	case TEMP_IC:
		return decikelvin(m->mos_dC);
	case CONSTANT:
		return 7100;
	case CURRENT:
		return (uint32_t)m->current_mA;
	case FULL:
		return m->full_mAh;
	case REMAINING:
		return m->remaining_mAh;
	case SOC:
		return (m->soc_permille + 5) / 10;
	case CYCLES:
		return m->cycles;
	case STATUS:
		return status(d, m);
	case PROTECTION:
		return (uint32_t)device_alarm_bits(d) & 0xffff;
	case CONFIG:
		return config(m);
	default: /* ACCESS */
		return 0;
	}
}

static struct bytes dumped(const struct device *d, uint8_t reg)
{
	return d->registers ? registers_get(d->registers, reg, d->address, 0) : (struct bytes){NULL, 0};
}

static void add_register(const struct device *d, const struct battery_sample *m, uint8_t reg, struct frame *f)
{
	struct bytes dump = dumped(d, reg);

	if (dump.p)
		frame_add(f, dump.p, dump.n);
	else if (register_size(reg) == 4)
		frame_add_u32be(f, value_of(d, m, reg));
	else
		frame_add_u16be(f, value_of(d, m, reg));
}

static void sino_answer(struct device *d, struct bytes request, struct reply *out)
{
	struct sino_board *board = d->board;
	uint8_t first = u8_at(request, 1), n = u8_at(request, 2);
	struct frame data = {.n = 0};
	struct battery_sample m;

	if ((options(d->scenario)->dropodd && board->requests++ % 2 == 0) || (d->registers && !dumped(d, first).p))
		return;
	battery_measure(&d->battery, &m);
	/* Who asks for more than the register has gets the next ones (a guess of the sheet). */
	for (uint8_t reg = first; data.n < n && reg < REGISTERS; reg++)
		add_register(d, &m, reg, &data);
	while (data.n < n)
		frame_add_u8(&data, 0);
	struct frame *f = reply_frame(out);
	uint8_t asked[REQUEST] = {START, d->foreign ? (uint8_t)(first ^ 1) : first, n}; /* a reply to another one */

	frame_add(f, data.p, n);
	f->sum_at = f->n;
	frame_add_u8(f, pec(pec(0, (struct bytes){asked, sizeof(asked)}), frame_bytes(f)));
}

static void sino_tell(const struct device *d, FILE *out)
{
	const struct sino_board *board = d->board;

	fprintf(out, ",\"requests\":%u", board->requests);
}

const struct kind sinowealth_kind = {
	.id = "sinowealth",
	.alias = "sino",
	.about = "Sinowealth chips of older Daly boards",
	.baud = 9600,
	.delay_min_ms = 10,
	.delay_max_ms = 40,
	.gap = 50 * MS,
	.max_cells = MORE_CELLS,
	.max_sensors = 2,
	.cells = 4,
	.sensors = 2,
	.capacity = 250,
	.balancer = BALANCER_BLEEDS,
	.alarms = sino_alarms,
	.n_alarms = sizeof(sino_alarms) / sizeof(sino_alarms[0]),
	.keys = sino_keys,
	.n_keys = sizeof(sino_keys) / sizeof(sino_keys[0]),
	.garbage_hex = "FF",
	.board_size = sizeof(struct sino_board),
	.start = sino_start,
	.find_request = sino_find_request,
	.answer = sino_answer,
	.tell = sino_tell,
};
