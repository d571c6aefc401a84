/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A Renogy smart lithium battery on RS485, sheet renogy: F7 when it is new, 30 and up when batteries were numbered. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "sim/device.h"
#include "sim/modbus.h"

enum { FIRST = 5000, END = 5224, REGISTERS = END - FIRST, IMAGE = 2 * REGISTERS, READ_MAX = 125 };
enum { CELLS = 16, SENSORS = 16, NEW = 0xf7, UNIVERSAL = 0xff, NUMBERED_FIRST = 0x30 };
enum { REG_MAKER = 5132, REG_SHUTDOWN = 5222, REG_ADDRESS = 5223 };

enum maker { MAKER_RENOGY, MAKER_SPACES, MAKER_REFUSED, MAKER_SILENT };

struct renogy_options {
	int maker;
	bool pro, twins;
	char firmware[SCENARIO_TEXT];
};

_Static_assert(sizeof(struct renogy_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct renogy_options, member)

static const struct key renogy_keys[] = {
	{"firmware", KEY_TEXT, AT(firmware), 0, 0, "TEXT", "0119", NULL, "four characters: 0119, V104", 0},
	{"maker", KEY_WORD, AT(maker), 0, 0, "", "renogy", "renogy|spaces|refused|silent",
	 "what becomes of a read of the manufacturer's name", 0},
	{"pro", KEY_FLAG, AT(pro), 0, 0, "", "off", NULL, "a Pro model, which counts the current in 0.1 A", 0},
	{"twins", KEY_FLAG, AT(twins), 0, 0, "", "off", NULL, "two batteries answer at once: garbage", 0},
};

struct renogy_board {
	unsigned shutdowns; /* that were asked for */
};

static const struct renogy_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

/* One battery without an address is factory-new. */
static const char *alone(const struct scenario *s)
{
	return s->packs > 1 || s->addresses ? NULL : "more than one battery";
}

/* Registers 5106 (bit 16 and up) and 5107 as one number; bit 32: 5108 is not 0. */
#define STATUS_1(bit) (16 + (bit))

static const struct alarm_bit renogy_alarms[] = {
	{NULL, LOW_CELL_VOLTAGE, WARNING, 0},
	{NULL, HIGH_CELL_VOLTAGE, WARNING, 1},
	{NULL, LOW_VOLTAGE, WARNING, 2},
	{NULL, HIGH_VOLTAGE, WARNING, 3},
	{NULL, LOW_CHARGE_TEMPERATURE, WARNING, 4},
	{NULL, HIGH_CHARGE_TEMPERATURE, WARNING, 5},
	{NULL, LOW_TEMPERATURE, WARNING, 6},
	{NULL, HIGH_TEMPERATURE, WARNING, 7},
	{NULL, SHORT_CIRCUIT, ALARM, STATUS_1(0)},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, STATUS_1(4)},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, STATUS_1(5)},
	{NULL, HIGH_VOLTAGE, ALARM, STATUS_1(6)},
	{NULL, LOW_CELL_VOLTAGE, ALARM, STATUS_1(7)},
	{NULL, HIGH_CELL_VOLTAGE, ALARM, STATUS_1(8)},
	{NULL, LOW_TEMPERATURE, ALARM, STATUS_1(11)},
	{NULL, HIGH_TEMPERATURE, ALARM, STATUS_1(12)},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, STATUS_1(13)},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, STATUS_1(14)},
	{NULL, LOW_VOLTAGE, ALARM, STATUS_1(15)},
	{NULL, INTERNAL_FAILURE, ALARM, 32},
	{"cell_voltage_error", NO_ALARM, ALARM, 32},
};

/* What the registers hold. there: the battery, or the dump in its place, has this one. */
struct image {
	uint16_t reg[REGISTERS];
	bool there[REGISTERS];
};

static void renogy_start(struct device *d)
{
	if (!d->address)
		d->address = d->hears = NEW;
}

static void put(struct image *img, unsigned reg, double v)
{
	img->reg[reg - FIRST] = v < 0 ? (uint16_t)fit_s16(v) : fit_u16(v);
}

static void put32(struct image *img, unsigned reg, uint32_t v)
{
	img->reg[reg - FIRST] = (uint16_t)(v >> 16);
	img->reg[reg + 1 - FIRST] = (uint16_t)v;
}

/* size: in bytes, filled up with zeros. */
static void put_text(struct image *img, unsigned reg, unsigned size, const char *text)
{
	size_t n = strnlen(text, size);

	for (unsigned i = 0; i < size; i++) {
		unsigned c = i < n ? (uint8_t)text[i] : 0;

		img->reg[reg + i / 2 - FIRST] |= (uint16_t)(i % 2 ? c : c << 8);
	}
}

/* ---- 5000 and 5035: sheet 5 ---- */

static void put_cells(struct image *img, const struct battery_sample *m)
{
	put(img, 5000, m->cells);
	for (unsigned i = 0; i < m->cells; i++)
		put(img, 5001 + i, m->cell_mV[i] / 100.0);
	put(img, 5017, m->sensors);
	for (unsigned i = 0; i < m->sensors; i++)
		put(img, 5018 + i, m->sensor_dC[i]);
}

static void put_pack(const struct device *d, struct image *img, const struct battery_sample *m)
{
	const struct battery_settings *s = &d->battery.settings;
	bool heater = d->battery.start.heater;

	put(img, 5036, 1);
	put(img, 5037, m->ambient_dC);
	put(img, 5038, 250);
	put(img, 5039, heater);
	put(img, 5040, heater ? m->sensor_dC[0] : 250);
	put(img, 5041, 250);
	put(img, 5042, m->current_mA / (options(d->scenario)->pro ? 100.0 : 10.0));
	put(img, 5043, m->pack_mV / 100.0);
	put32(img, 5044, m->remaining_mAh);
	put32(img, 5046, m->full_mAh);
	put(img, 5048, m->cycles);
	put(img, 5049, s->cell_full * m->cells * 10);
	put(img, 5050, s->pack_uv * 10);
	put(img, 5051, d->battery.charge_mos ? fmin(s->charge_oc, 600) * 50 : 0);
	put(img, 5052, d->battery.discharge_mos ? -fmin(s->discharge_oc, 600) * 50 : 0);
}

/* ---- 5100 ---- */

static void put_status(const struct device *d, struct image *img, const struct battery_sample *m)
{
	const struct battery *b = &d->battery;
	uint64_t bits = device_alarm_bits(d);
	bool charging = m->current_mA > 100, discharging = m->current_mA < -100;

	bits |= (uint64_t)b->charge_mos << STATUS_1(1) | (uint64_t)b->discharge_mos << STATUS_1(2);
	bits |= (uint64_t)discharging << STATUS_1(3);
	bits |= (uint64_t)charging << 15 | (uint64_t)discharging << 14 | (uint64_t)b->heater_on << 13;
	bits |= (uint64_t)(m->soc_permille >= 1000) << 11;
	put(img, 5101, 0x00aa); /* codes of healthy cells (sheet 5) */
	put(img, 5106, (uint16_t)(bits >> 16));
	put(img, 5107, (uint16_t)bits);
	put(img, 5108, bits >> 32 & 1);
	put(img, 5109, b->charge_mos << 7 | b->discharge_mos << 6 | (m->soc_permille < 50) << 5);
}

static void put_identity(const struct device *d, struct image *img)
{
	const char *usual = options(d->scenario)->pro	 ? "RNGRBP12V100AH"
			    : d->battery.start.cells > 4 ? "RBT50LFP48S"
							 : "RBT100LFP12S-G1";
	char serial[24];

	snprintf(serial, sizeof(serial), "PPTAH19000000%03u", d->address);
	put_text(img, 5110, 16, device_text(d->scenario->serial, serial));
	put_text(img, 5118, 2, "01");
	put_text(img, 5119, 4, "0003");
	put_text(img, 5121, 2, "02");
	put_text(img, 5122, 16, device_text(d->scenario->model, usual));
	put_text(img, 5130, 4, options(d->scenario)->firmware);
	put_text(img, REG_MAKER, 20, options(d->scenario)->maker == MAKER_SPACES ? "                    " : "RENOGY");
}

/* ---- 5200: sheet 8 ---- */

static void put_settings(const struct device *d, struct image *img)
{
	const struct battery_settings *s = &d->battery.settings;
	double cells = d->battery.start.cells;
	const double v[] = {
		s->cell_ov * 10,
		s->cell_full * 10,
		s->cell_uv_release * 10,
		s->cell_uv * 10,
		s->charge_ot * 10,
		s->charge_ot_release * 10,
		s->charge_ut_release * 10,
		s->charge_ut * 10,
		s->charge_oc * 120,
		s->charge_oc * 100,
		s->charge_oc * 90,
		s->pack_ov * 10,
		s->cell_full * cells * 10,
		s->cell_uv_release * cells * 10,
		s->pack_uv * 10,
		s->discharge_ot * 10,
		s->discharge_ot_release * 10,
		s->discharge_ut_release * 10,
		s->discharge_ut * 10,
		-s->discharge_oc * 120,
		-s->discharge_oc * 100,
		-s->discharge_oc * 90,
		0,
		d->address,
	};

	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		put(img, 5200 + i, v[i]);
}

/* ---- all registers together ---- */

static bool exists(unsigned reg, int maker)
{
	if (maker >= MAKER_REFUSED && reg >= REG_MAKER && reg <= 5141)
		return false;
	return (reg >= 5000 && reg <= 5033) || (reg >= 5035 && reg <= 5052) || (reg >= 5100 && reg <= 5141) ||
	       (reg >= 5200 && reg < END);
}

/* A dump holds bytes by the register at which they begin; it has what it has and nothing else. */
static void image_of_dump(const struct device *d, struct image *img)
{
	struct bytes value;
	uint16_t key;

	for (unsigned i = 0; registers_at(d->registers, i, d->address, &key, &value); i++) {
		for (size_t k = 0; k < value.n / 2; k++) {
			if (key + k < FIRST || key + k >= END)
				continue;
			img->reg[key + k - FIRST] = u16be_at(value, 2 * k);
			img->there[key + k - FIRST] = true;
		}
	}
}

static void make_image(const struct device *d, struct image *img)
{
	struct battery_sample m;

	memset(img, 0, sizeof(*img));
	if (d->registers) {
		image_of_dump(d, img);
		return;
	}
	for (unsigned i = 0; i < REGISTERS; i++)
		img->there[i] = exists(FIRST + i, options(d->scenario)->maker);
	battery_measure(&d->battery, &m);
	put_cells(img, &m);
	put_pack(d, img, &m);
	put_status(d, img, &m);
	put_identity(d, img);
	put_settings(d, img);
}

/* ---- requests ---- */

static bool all_there(const struct image *img, const struct rtu_request *r)
{
	for (unsigned i = 0; i < r->count; i++)
		if (r->start + i < FIRST || r->start + i >= END || !img->there[r->start + i - FIRST])
			return false;
	return true;
}

static void answer_read(const struct device *d, const struct rtu_request *r, struct reply *out)
{
	uint8_t values[2 * READ_MAX];
	struct image img;
	bool maker = r->start <= 5141 && r->start + r->count > REG_MAKER;

	make_image(d, &img);
	if (!r->count || r->count > READ_MAX) {
		rtu_refuse(reply_frame(out), r, RTU_BAD_VALUE);
		return;
	}
	if (!all_there(&img, r)) {
		if (!maker || options(d->scenario)->maker != MAKER_SILENT)
			rtu_refuse(reply_frame(out), r, RTU_BAD_ADDRESS);
		return;
	}
	for (unsigned i = 0; i < r->count; i++)
		put_u16be(values + 2 * i, img.reg[r->start + i - FIRST]);
	rtu_answer(reply_frame(out), r, (struct bytes){values, 2u * r->count});
}

/* It answers with the address that it had. */
static void answer_write(struct device *d, const struct rtu_request *r, struct frame *f)
{
	struct renogy_board *board = d->board;
	uint16_t v = u16be_at(r->values, 0);

	d->writes++;
	if (r->start == REG_ADDRESS && v >= 1 && v <= NEW) {
		rtu_acknowledge(f, r);
		d->address = d->hears = (uint8_t)v;
		return;
	}
	board->shutdowns += r->start == REG_SHUTDOWN;
	rtu_refuse(f, r, r->start == REG_ADDRESS ? RTU_BAD_VALUE : RTU_BAD_ADDRESS);
}

/* Two that speak at once: where one drives the line low, it is low. */
static void overlap(struct frame *f)
{
	for (unsigned i = 0; i + 1 < f->n; i++)
		f->p[i] &= f->p[i + 1];
}

static void renogy_answer(struct device *d, struct bytes request, struct reply *out)
{
	const struct scenario *s = d->scenario;
	struct rtu_request r;

	rtu_open(request, &r);
	bool universal = r.address == UNIVERSAL && s->addresses < 2;

	if (device_asleep(d) || (r.address != d->hears && !universal))
		return;
	if (!universal)
		r.address = (uint8_t)(d->address + d->foreign);
	if (r.function == RTU_READ_HOLDING)
		answer_read(d, &r, out);
	else if (r.function == RTU_WRITE_REGISTER)
		answer_write(d, &r, reply_frame(out));
	else
		rtu_refuse(reply_frame(out), &r, RTU_BAD_FUNCTION);
	for (unsigned i = 0; options(s)->twins && i < out->n; i++)
		overlap(&out->frame[i]);
}

static void renogy_tell(const struct device *d, FILE *out)
{
	const struct renogy_board *board = d->board;

	fprintf(out, ",\"shutdowns\":%u", board->shutdowns);
}

const struct kind renogy_kind = {
	.id = "renogy",
	.alias = "rbt",
	.about = "Renogy smart lithium batteries, Modbus",
	.baud = 9600,
	.delay_min_ms = 20,
	.delay_max_ms = 100,
	.gap = 4 * MS,
	.max_cells = CELLS,
	.max_sensors = SENSORS,
	.cells = 4,
	.sensors = 3,
	.capacity = 100,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.alone = alone,
	.address_min = 1,
	.address_max = NEW,
	.address_first = NUMBERED_FIRST,
	.alarms = renogy_alarms,
	.n_alarms = sizeof(renogy_alarms) / sizeof(renogy_alarms[0]),
	.keys = renogy_keys,
	.n_keys = sizeof(renogy_keys) / sizeof(renogy_keys[0]),
	.garbage_hex = "F7A03F",
	.board_size = sizeof(struct renogy_board),
	.start = renogy_start,
	.find_request = rtu_find_request,
	.answer = renogy_answer,
	.tell = renogy_tell,
};
