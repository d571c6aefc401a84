/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An ECS GreenMeter and its LiPro cell modules on RS485: one battery at many addresses, sheet ecs. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "sim/device.h"
#include "sim/modbus.h"

enum { REG_ID = 0, REG_LIMITS = 30, REG_CAPACITY = 46, REG_TEMPERATURES = 102, REG_VOLTAGE = 108, REG_CURRENT = 114 };
enum { REG_SOC = 128, REG_OVER = 130, REG_UNDER = 131, REGISTERS = 132 };
enum { REG_CELL = 100, CELL_WORDS = 3, MODULE_MODEL = 103, READ_MAX = 125 };
enum blocks { BLOCKS_ANSWERED, BLOCKS_REFUSED, BLOCKS_SILENT };

struct ecs_options {
	bool highword;
	int blocks;
	uint32_t meter, over, under;
	struct every dead;
};

_Static_assert(sizeof(struct ecs_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct ecs_options, member)

static const struct key ecs_keys[] = {
	{"meter", KEY_INTEGER, AT(meter), 125, 500, "A", "250", "125|250|500", "which GreenMeter", 0},
	{"highword", KEY_FLAG, AT(highword), 0, 0, "", "off", NULL, "below 65.536 % the SoC's high word is FFFF", 0},
	{"blocks", KEY_WORD, AT(blocks), 0, 0, "", "answered", "answered|refused|silent",
	 "what becomes of reads of more than one value", 0},
	{"over", KEY_INTEGER, AT(over), 0, 6, "", "0", NULL, "code of register 130; 0 = by the battery", 0},
	{"under", KEY_INTEGER, AT(under), 0, 6, "", "0", NULL, "code of register 131; 0 = by the battery", 0},
	{"dead", KEY_EVERY, AT(dead), 1, 48, "cell:s", NULL, NULL,
	 "this cell's module falls silent so long after the start", 0},
};

static const struct ecs_options *options(const struct device *d)
{
	return (const void *)d->scenario->own;
}

static const char *ecs_alone(const struct scenario *s)
{
	return s->packs > 1 && !s->addresses ? "room for the cells between them: addresses=1,40" : NULL;
}

/* Codes of register 130 in the low byte, of 131 in the high one. */
static const struct alarm_bit ecs_alarms[] = {
	{NULL, HIGH_VOLTAGE, ALARM, 1},
	{NULL, HIGH_CHARGE_CURRENT, WARNING, 2},
	{NULL, HIGH_CHARGE_TEMPERATURE, WARNING, 3},
	{NULL, LOW_CHARGE_TEMPERATURE, WARNING, 5},
	{NULL, LOW_VOLTAGE, ALARM, 9},
	{NULL, HIGH_DISCHARGE_CURRENT, WARNING, 10},
	{NULL, HIGH_TEMPERATURE, WARNING, 11},
	{NULL, LOW_TEMPERATURE, WARNING, 13},
};

/* What the registers of one address hold, and which there are. */
struct image {
	uint8_t p[2 * REGISTERS];
	bool there[REGISTERS];
};

static void put(struct image *img, unsigned reg, unsigned v)
{
	put_u16be(img->p + 2 * reg, (uint16_t)v);
	img->there[reg] = true;
}

/* Low word first. */
static void put_long(struct image *img, unsigned reg, uint32_t v)
{
	put(img, reg, v & 0xffff);
	put(img, reg + 1, v >> 16);
}

static unsigned lowest_code(unsigned bits)
{
	for (unsigned code = 1; code < 7; code++)
		if (bits >> code & 1)
			return code;
	return 0;
}

/* A switch that another protection has opened is a limit of the voltage. */
static unsigned state_code(unsigned forced, unsigned bits, bool closed)
{
	return forced ? forced : bits ? lowest_code(bits) : closed ? 0 : 1;
}

static void put_states(const struct device *d, struct image *img, const struct battery_sample *m)
{
	unsigned bits = (unsigned)device_alarm_bits(d);
	uint32_t soc = m->soc_permille * 100;

	if (options(d)->highword && soc < 65536)
		soc |= 0xffff0000;
	put_long(img, REG_SOC, soc);
	put(img, REG_OVER,
	    state_code(options(d)->over, bits & 0x7f, d->battery.charge_mos || !device_charge_wanted(d)));
	put(img, REG_UNDER,
	    state_code(options(d)->under, bits >> 8 & 0x7f, d->battery.discharge_mos || !device_discharge_wanted(d)));
}

static void meter_image(const struct device *d, struct image *img)
{
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	put(img, REG_ID, options(d)->meter == 500 ? 500 : options(d)->meter == 250 ? 501 : 502);
	put(img, REG_ID + 1, 0);
	put_long(img, REG_ID + 2, 20190400u + d->address);
	put(img, REG_LIMITS, (uint16_t)fit_s16(-d->battery.settings.discharge_oc));
	put(img, REG_LIMITS + 1, (uint16_t)fit_s16(d->battery.settings.charge_oc));
	put_long(img, REG_CAPACITY, m.full_mAh);
	put(img, REG_TEMPERATURES, (uint16_t)fit_s16(m.sensor_dC[0] * 10.0));
	put(img, REG_TEMPERATURES + 1, (uint16_t)fit_s16(m.sensor_dC[1] * 10.0));
	put_long(img, REG_VOLTAGE, m.pack_mV);
	put_long(img, REG_CURRENT, (uint32_t)m.current_mA);
	put_states(d, img, &m);
}

static void module_image(const struct device *d, unsigned cell, struct image *img)
{
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	put(img, REG_ID, MODULE_MODEL);
	put(img, REG_CELL, m.cell_mV[cell]);
	put(img, REG_CELL + 1, (uint16_t)fit_s16(m.sensor_dC[0] * 10.0 + cell));
	put(img, REG_CELL + 2, m.balancing[cell] ? 85 : 0);
}

/* A dump holds bytes by the register at which they begin; lines for a module carry its address. */
static void dump_image(const struct device *d, uint8_t address, struct image *img)
{
	struct bytes value;
	uint16_t key;

	for (unsigned i = 0; registers_at(d->registers, i, address, &key, &value); i++)
		for (unsigned k = 0; k < value.n / 2 && key + k < REGISTERS; k++)
			put(img, key + k, u16be_at(value, 2 * k));
}

/* ---- requests ---- */

static bool all_there(const struct image *img, const struct rtu_request *r)
{
	if (r->start + r->count > REGISTERS)
		return false;
	for (unsigned i = 0; i < r->count; i++)
		if (!img->there[r->start + i])
			return false;
	return true;
}

static void answer_read(const struct image *img, const struct rtu_request *r, struct frame *f)
{
	if (!r->count || r->count > READ_MAX)
		rtu_refuse(f, r, RTU_BAD_VALUE);
	else if (!all_there(img, r))
		rtu_refuse(f, r, RTU_BAD_ADDRESS);
	else
		rtu_answer(f, r, (struct bytes){img->p + 2 * r->start, 2u * r->count});
}

static void answer(struct device *d, struct rtu_request *r, bool module, unsigned cell, struct reply *out)
{
	unsigned most = options(d)->blocks == BLOCKS_ANSWERED ? READ_MAX : module ? 1 : 2;
	uint8_t asked = (uint8_t)(d->hears + (module ? 1 + cell : 0));
	struct image img = {.there = {false}};

	r->address = (uint8_t)(d->address + (module ? 1 + cell : 0));
	if (r->count > most && options(d)->blocks == BLOCKS_SILENT)
		return;
	if (d->registers)
		dump_image(d, asked, &img);
	else if (module)
		module_image(d, cell, &img);
	else
		meter_image(d, &img);
	if (r->function != RTU_READ_HOLDING) {
		d->writes += r->function == RTU_WRITE_REGISTER || r->function == RTU_WRITE_REGISTERS;
		rtu_refuse(reply_frame(out), r, RTU_BAD_FUNCTION);
	} else if (r->count > most) {
		rtu_refuse(reply_frame(out), r, RTU_BAD_ADDRESS);
	} else {
		answer_read(&img, r, reply_frame(out));
	}
}

static bool is_dead(const struct device *d, unsigned cell)
{
	const struct every *dead = &options(d)->dead;

	return dead->nth == cell + 1 && d->battery.time_s >= dead->arg;
}

static void ecs_answer(struct device *d, struct bytes request, struct reply *out)
{
	unsigned address = u8_at(request, 0), cell = address - d->hears - 1u;
	bool module = address != d->hears;
	struct rtu_request r;

	if (device_asleep(d) || !rtu_open(request, &r) ||
	    (module && (address < d->hears || cell >= d->battery.start.cells || is_dead(d, cell))))
		return;
	answer(d, &r, module, module ? cell : 0, out);
}

static void ecs_start(struct device *d)
{
	(void)d;
}

static void ecs_tell(const struct device *d, FILE *out)
{
	(void)d;
	(void)out;
}

const struct kind ecs_kind = {
	.id = "ecs",
	.alias = "ecs",
	.about = "ECS GreenMeter with LiPro cell modules, RS485 Modbus (set the line to 8E1)",
	.baud = 19200,
	.delay_min_ms = 5,
	.delay_max_ms = 20,
	.gap = 2 * MS,
	.max_cells = BATTERY_MAX_CELLS,
	.max_sensors = 2,
	.cells = 16,
	.sensors = 2,
	.sensors_fixed = true,
	.capacity = 200,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.alone = ecs_alone,
	.address_min = 1,
	.address_max = 247,
	.address_first = 1,
	.alarms = ecs_alarms,
	.n_alarms = sizeof(ecs_alarms) / sizeof(ecs_alarms[0]),
	.keys = ecs_keys,
	.n_keys = sizeof(ecs_keys) / sizeof(ecs_keys[0]),
	.garbage_hex = "01A03F",
	.board_size = 1, /* it remembers nothing */
	.start = ecs_start,
	.find_request = rtu_find_request,
	.answer = ecs_answer,
	.tell = ecs_tell,
};
