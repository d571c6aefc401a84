/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A Felicity Solar battery on RS485: two areas of registers that can only be read, sheet felicity. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "sim/device.h"
#include "sim/modbus.h"

enum { AREA_DATA = 0x1302, DATA_WORDS = 64, AREA_NAMES = 0xf804, NAMES_WORDS = 8, WORDS = DATA_WORDS + NAMES_WORDS };
enum { LIMITS = 0x131c, CELLS = 0x132a, SENSORS = 0x133a, SERIAL = 0xf804, FIRMWARE = 0xf80b };
enum { CELL_PLACES = 16, SENSOR_PLACES = 8, SERIAL_WORDS = 5, UNUSED = 0x7fff, READ_MAX = 125 };

struct felicity_options {
	uint32_t places;
};

_Static_assert(sizeof(struct felicity_options) <= SCENARIO_OWN, "room for its own keys");

static const struct key felicity_keys[] = {
	{"places", KEY_INTEGER, offsetof(struct felicity_options, places), 4, 8, "sensors", "8", "4|8",
	 "registers for temperatures", 0},
};

static unsigned sensor_places(const struct device *d)
{
	return ((const struct felicity_options *)(const void *)d->scenario->own)->places;
}

/* Register 1304. */
static const struct alarm_bit felicity_alarms[] = {
	{NULL, HIGH_CELL_VOLTAGE, ALARM, 2},	     {NULL, LOW_CELL_VOLTAGE, ALARM, 3},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, 4},	     {NULL, HIGH_DISCHARGE_CURRENT, ALARM, 5},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, 6}, {NULL, HIGH_TEMPERATURE, ALARM, 8},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, 8},   {NULL, LOW_TEMPERATURE, ALARM, 9},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, 9},    {"unknown_fault", NO_ALARM, WARNING, 12},
};

/* What the registers hold, area after area. there: the board, or the dump in its place, has this one. */
struct image {
	uint8_t p[2 * WORDS];
	bool there[WORDS];
};

/* Place in the image of count registers from reg on; -1: they lie in no area. */
static int place_of(unsigned reg, unsigned count)
{
	if (reg >= AREA_DATA && reg + count <= AREA_DATA + DATA_WORDS)
		return (int)(reg - AREA_DATA);
	if (reg >= AREA_NAMES && reg + count <= AREA_NAMES + NAMES_WORDS)
		return (int)(DATA_WORDS + reg - AREA_NAMES);
	return -1;
}

static void put(struct image *img, unsigned reg, unsigned v)
{
	put_u16be(img->p + 2 * place_of(reg, 1), (uint16_t)v);
}

static void put_status(const struct device *d, struct image *img, const struct battery_sample *m)
{
	bool charge = d->battery.charge_mos, discharge = d->battery.discharge_mos;

	put(img, AREA_DATA, (charge ? 0x11u : 0) | (discharge ? 0x04u : 0));
	put(img, AREA_DATA + 1, 0);
	put(img, AREA_DATA + 2, (unsigned)device_alarm_bits(d) & 0xffff);
	put(img, AREA_DATA + 3, 0);
	put(img, AREA_DATA + 4, (m->pack_mV + 5) / 10);
	put(img, AREA_DATA + 5, (uint16_t)fit_s16(-m->current_mA / 100.0));
	put(img, AREA_DATA + 6, 0);
	put(img, AREA_DATA + 7, 0);
	put(img, AREA_DATA + 8, (uint16_t)fit_s16(m->mos_dC / 10.0));
	put(img, AREA_DATA + 9, (unsigned)lround(m->soc_permille / 10.0));
}

/* In the cold, and with a switch open, nothing is asked for. */
static void put_limits(const struct device *d, struct image *img)
{
	const struct battery *b = &d->battery;
	bool cold = b->temperature_C <= b->settings.charge_ut;

	put(img, LIMITS, 360 * b->start.cells);
	put(img, LIMITS + 1, 300 * b->start.cells);
	put(img, LIMITS + 2, b->charge_mos && !cold ? fit_u16(b->settings.charge_oc * 10) : 0);
	put(img, LIMITS + 3, b->discharge_mos ? fit_u16(b->settings.discharge_oc * 10) : 0);
}

static void put_cells(struct image *img, const struct battery_sample *m)
{
	for (unsigned i = 0; i < m->cells && i < CELL_PLACES; i++)
		put(img, CELLS + i, m->cell_mV[i]);
	for (unsigned i = 0; i < m->sensors && i < SENSOR_PLACES; i++)
		put(img, SENSORS + i, (uint16_t)fit_s16(m->sensor_dC[i] / 10.0));
}

/* Groups of four digits from the end, the rest in front. A text that is no such number is not written. */
static void put_serial(const struct device *d, struct image *img)
{
	char usual[24];
	size_t n;

	snprintf(usual, sizeof(usual), "100011002424470%03u", 237u + d->address);
	const char *serial = device_text(d->scenario->serial, usual);

	n = strlen(serial);
	if (n <= 16 || n > 20 || strspn(serial, "0123456789") != n)
		n = strlen(serial = usual);
	for (unsigned i = 0, at = 0; i < SERIAL_WORDS; i++) {
		unsigned v = 0, digits = i ? 4 : (unsigned)n - 16;

		for (; digits--; at++)
			v = 10 * v + (unsigned)(serial[at] - '0');
		put(img, SERIAL + i, v);
	}
}

/* A dump holds bytes by the register at which they begin; it has what it has and nothing else. */
static void image_of_dump(const struct device *d, struct image *img)
{
	struct bytes value;
	uint16_t key;

	for (unsigned i = 0; registers_at(d->registers, i, d->address, &key, &value); i++) {
		for (unsigned k = 0; k < value.n / 2; k++) {
			int place = place_of(key + k, 1);

			if (place < 0)
				continue;
			memcpy(img->p + 2 * place, value.p + 2 * k, 2);
			img->there[place] = true;
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
	for (unsigned i = 0; i < WORDS; i++)
		put_u16be(img->p + 2 * i, UNUSED);
	memset(img->there, true, sizeof(img->there));
	for (unsigned i = sensor_places(d); i < SENSOR_PLACES; i++)
		img->there[place_of(SENSORS + i, 1)] = false;
	battery_measure(&d->battery, &m);
	put_status(d, img, &m);
	put_limits(d, img);
	put_cells(img, &m);
	put_serial(d, img);
	put(img, FIRMWARE, 418);
}

/* ---- requests ---- */

static bool all_there(const struct image *img, int place, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (place < 0 || !img->there[place + (int)i])
			return false;
	return true;
}

static void answer_read(const struct device *d, const struct rtu_request *r, struct frame *f)
{
	int place = place_of(r->start, r->count);
	struct image img;

	make_image(d, &img);
	if (!r->count || r->count > READ_MAX)
		rtu_refuse(f, r, RTU_BAD_VALUE);
	else if (!all_there(&img, place, r->count))
		rtu_refuse(f, r, RTU_BAD_ADDRESS);
	else
		rtu_answer(f, r, (struct bytes){img.p + 2 * place, 2u * r->count});
}

static void felicity_start(struct device *d)
{
	(void)d;
}

static void felicity_answer(struct device *d, struct bytes request, struct reply *out)
{
	struct rtu_request r;

	if (device_asleep(d) || u8_at(request, 0) != d->hears || !rtu_open(request, &r))
		return;
	r.address = d->address;
	if (r.function == RTU_READ_HOLDING) {
		answer_read(d, &r, reply_frame(out));
		return;
	}
	d->writes += r.function == RTU_WRITE_REGISTER || r.function == RTU_WRITE_REGISTERS;
	rtu_refuse(reply_frame(out), &r, RTU_BAD_FUNCTION);
}

static void felicity_tell(const struct device *d, FILE *out)
{
	(void)d;
	(void)out;
}

const struct kind felicity_kind = {
	.id = "felicity",
	.alias = "felicity",
	.about = "Felicity Solar batteries, RS485 Modbus",
	.baud = 9600,
	.delay_min_ms = 50,
	.delay_max_ms = 200,
	.gap = 4 * MS,
	.max_cells = CELL_PLACES,
	.max_sensors = SENSOR_PLACES,
	.cells = 16,
	.sensors = 4,
	.capacity = 100,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.address_min = 1,
	.address_max = 247,
	.address_first = 1,
	.alarms = felicity_alarms,
	.n_alarms = sizeof(felicity_alarms) / sizeof(felicity_alarms[0]),
	.keys = felicity_keys,
	.n_keys = sizeof(felicity_keys) / sizeof(felicity_keys[0]),
	.garbage_hex = "01A03F",
	.board_size = 1, /* it remembers nothing */
	.start = felicity_start,
	.find_request = rtu_find_request,
	.answer = felicity_answer,
	.tell = felicity_tell,
};
