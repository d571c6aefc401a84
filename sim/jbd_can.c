/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A JBD board on CAN, either telling an inverter of itself in Victron's frames or answering JBD's own: sheet jbd-can.
 */
#include "config.h"

#include <math.h>
#include <string.h>

#include "model/can.h"
#include "protocols/checksum.h"
#include "sim/device.h"

enum { SIZE = 8, CRC_AT = 6, ALIVE = 0x305, ALIVE_FOR = 10, PER_FRAME = 3, KELVIN_TENTHS = 2731 };
enum { BASIC = 0x100, CAPACITY, PROTECTION, SWITCHES, COUNTS, SENSORS, MORE_SENSORS, FIRST_CELLS };
enum { LAST_CELLS = 0x110, FIRST_MODEL, LAST_MODEL = 0x114 };
enum dialect { VICTRON, NATIVE };

/* What its own keys say. */
struct jbd_can_options {
	int dialect;
	char maker[SCENARIO_TEXT];
	bool needs305, shortframes, nocapacity, nocrc, badcrc;
};

_Static_assert(sizeof(struct jbd_can_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct jbd_can_options, member)

static const struct key jbd_can_keys[] = {
	{"dialect", KEY_WORD, AT(dialect), 0, 0, "", "victron", "victron|native", "how it speaks", 0},
	{"maker", KEY_TEXT, AT(maker), 0, 0, "", NULL, NULL, "who it says has made it (JBD)", 0},
	{"needs305", KEY_FLAG, AT(needs305), 0, 0, "", "off", NULL, "it falls silent 10 s after the last 305", 0},
	{"shortframes", KEY_FLAG, AT(shortframes), 0, 0, "", "off", NULL, "351, 355 and 356 have six bytes", 0},
	{"nocapacity", KEY_FLAG, AT(nocapacity), 0, 0, "", "off", NULL, "35F tells a capacity of 0", 0},
	{"nocrc", KEY_FLAG, AT(nocrc), 0, 0, "", "off", NULL, "only answers to 100 have a checksum", 0},
	{"badcrc", KEY_FLAG, AT(badcrc), 0, 0, "", "off", NULL, "answers have wrong checksums", 0},
};

struct jbd_can_board {
	usec alive; /* the last 305 */
};

static const struct jbd_can_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

/* Of 35A the place of the pair, of warnings 16 more; the protections of 102 from bit 32 on. */
static const struct alarm_bit jbd_can_alarms[] = {
	{NULL, HIGH_CELL_VOLTAGE, ALARM, 1},	   {NULL, HIGH_CELL_VOLTAGE, WARNING, 17},
	{NULL, LOW_CELL_VOLTAGE, ALARM, 2},	   {NULL, LOW_CELL_VOLTAGE, WARNING, 18},
	{NULL, HIGH_TEMPERATURE, ALARM, 3},	   {NULL, HIGH_TEMPERATURE, WARNING, 19},
	{NULL, LOW_TEMPERATURE, ALARM, 4},	   {NULL, LOW_TEMPERATURE, WARNING, 20},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, 5}, {NULL, LOW_CHARGE_TEMPERATURE, ALARM, 6},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, 7},  {NULL, HIGH_DISCHARGE_CURRENT, WARNING, 23},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, 8},	   {NULL, HIGH_CHARGE_CURRENT, WARNING, 24},
	{NULL, SHORT_CIRCUIT, ALARM, 10},	   {NULL, INTERNAL_FAILURE, ALARM, 11},
	{NULL, CELL_IMBALANCE, ALARM, 12},	   {NULL, CELL_IMBALANCE, WARNING, 28},
	{NULL, HIGH_CELL_VOLTAGE, ALARM, 32},	   {NULL, LOW_CELL_VOLTAGE, ALARM, 33},
	{NULL, HIGH_VOLTAGE, ALARM, 34},	   {NULL, LOW_VOLTAGE, ALARM, 35},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, 40},	   {NULL, HIGH_DISCHARGE_CURRENT, ALARM, 41},
	{NULL, SHORT_CIRCUIT, ALARM, 42},
};

static void put(struct reply *out, uint32_t id, const void *data, size_t n)
{
	struct can_message m = {.id = id, .n = (uint8_t)n};
	uint8_t b[CAN_BYTES];

	memcpy(m.data, data, n);
	can_write(&m, b);
	frame_add(reply_frame(out), b, sizeof(b));
}

/* Eight characters of text from the nth eight on, zero padded. */
static void put_text(struct reply *out, uint32_t id, const char *text, unsigned nth)
{
	char b[SIZE] = {0};
	size_t n = strlen(text), from = (size_t)nth * SIZE;

	for (size_t i = 0; i < SIZE && from + i < n; i++)
		b[i] = text[from + i];
	put(out, id, b, SIZE);
}

static bool is_jbd(const struct scenario *s)
{
	return !*options(s)->maker || !strncmp(options(s)->maker, "JBD", 3);
}

/* ---- Victron's frames ---- */

static void say_alarms(struct device *d, struct reply *out)
{
	uint64_t bits = device_alarm_bits(d);
	uint8_t b[SIZE];

	for (unsigned i = 0; i < 32; i++) {
		unsigned pair = bits >> i & 1 ? 1 : 2;

		if (i % 4 == 0)
			b[i / 4] = 0;
		b[i / 4] |= (uint8_t)(pair << 2 * (i % 4));
	}
	put(out, 0x35a, b, SIZE);
}

static void say_measured(struct device *d, const struct battery_sample *s, struct reply *out)
{
	size_t n = options(d->scenario)->shortframes ? 6 : SIZE;
	const struct battery_settings *set = &d->battery.settings;
	uint8_t b[SIZE];

	put_u16le(b, fit_u16(set->cell_full * s->cells * 10));
	put_u16le(b + 2, d->battery.charge_mos ? fit_u16(set->charge_oc * 10) : 0);
	put_u16le(b + 4, d->battery.discharge_mos ? fit_u16(set->discharge_oc * 10) : 0);
	put_u16le(b + 6, fit_u16(set->cell_empty * s->cells * 10));
	put(out, 0x351, b, n);
	put_u16le(b, (uint16_t)((s->soc_permille + 5) / 10));
	put_u16le(b + 2, (uint16_t)lround(d->battery.start.soh_pct));
	put_u16le(b + 4, (uint16_t)(s->soc_permille * 10));
	put_u16le(b + 6, 0);
	put(out, 0x355, b, n);
	put_u16le(b, fit_u16((s->pack_mV + 5) / 10));
	put_u16le(b + 2, (uint16_t)fit_s16(s->current_mA / 100.0));
	put_u16le(b + 4, (uint16_t)s->sensor_dC[0]);
	put_u16le(b + 6, fit_u16(s->cycles));
	put(out, 0x356, b, n);
}

static void say_extremes(const struct battery_sample *s, struct reply *out)
{
	int16_t highest = s->sensor_dC[0], lowest = s->sensor_dC[0];
	uint8_t b[SIZE];

	for (unsigned i = 1; i < s->sensors; i++) {
		highest = s->sensor_dC[i] > highest ? s->sensor_dC[i] : highest;
		lowest = s->sensor_dC[i] < lowest ? s->sensor_dC[i] : lowest;
	}
	put_u16le(b, s->cell_mV[s->lowest]);
	put_u16le(b + 2, s->cell_mV[s->highest]);
	put_u16le(b + 4, (uint16_t)lround(lowest / 10.0 + 273));
	put_u16le(b + 6, (uint16_t)lround(highest / 10.0 + 273));
	put(out, 0x373, b, SIZE);
}

/* From 10 to 15 the tens are lost and the digit goes on behind '9'; 16 is told as 10. */
static void say_name(uint32_t id, unsigned number, struct reply *out)
{
	char name[SIZE + 1] = "ID:01.00";
	unsigned base = number > 16 ? 10 : 16;

	name[SIZE - 2] = (char)('0' + number / base);
	name[SIZE - 1] = (char)('0' + number % base);
	put(out, id, name, SIZE);
}

/* Sensors are counted as cells are. */
static void say_names(const struct battery_sample *s, struct reply *out)
{
	unsigned coldest = 0, warmest = 0;

	for (unsigned i = 1; i < s->sensors; i++) {
		coldest = s->sensor_dC[i] < s->sensor_dC[coldest] ? i : coldest;
		warmest = s->sensor_dC[i] > s->sensor_dC[warmest] ? i : warmest;
	}
	say_name(0x374, s->lowest + 1, out);
	say_name(0x375, s->highest + 1, out);
	say_name(0x376, coldest + 1, out);
	say_name(0x377, warmest + 1, out);
}

static void say_identity(struct device *d, const struct battery_sample *s, struct reply *out)
{
	const struct jbd_can_options *o = options(d->scenario);
	const char *model = device_text(d->scenario->model, is_jbd(d->scenario) ? "UP16S015.16S200A" : "RACK BATTERY");
	const char *serial = device_text(d->scenario->serial, is_jbd(d->scenario) ? "JBD87654321" : "B000012345");
	uint8_t b[SIZE] = {0};

	put_text(out, 0x35e, *o->maker ? o->maker : "JBD", 0);
	put_u16le(b + 2, 0x0c04);
	put_u16le(b + 4, o->nocapacity ? 0 : fit_u16(s->full_mAh / 1000));
	put(out, 0x35f, b, SIZE);
	put_text(out, 0x370, model, 0);
	put_text(out, 0x371, model, 1);
	memset(b, 0, sizeof(b));
	put_u16le(b, 1);
	put(out, 0x372, b, SIZE);
	say_extremes(s, out);
	say_names(s, out);
	memset(b, 0, sizeof(b));
	put(out, 0x378, b, SIZE);
	put_u16le(b, fit_u16(s->full_mAh / 1000));
	put(out, 0x379, b, SIZE);
	put_text(out, 0x380, serial, 0);
	put_text(out, 0x381, serial, 1);
	put_text(out, 0x382, is_jbd(d->scenario) ? "UP16S" : "RACK", 0);
}

/* All that a real battery has said. */
static void say_dump(const struct device *d, struct reply *out)
{
	struct bytes value;
	uint16_t id;

	for (unsigned i = 0; registers_at(d->registers, i, d->address, &id, &value); i++)
		if (id > LAST_MODEL)
			put(out, id, value.p, value.n < SIZE ? value.n : SIZE);
}

static usec jbd_can_speak(struct device *d, struct reply *out)
{
	const struct jbd_can_board *board = d->board;
	const struct jbd_can_options *o = options(d->scenario);
	struct battery_sample s;

	if (o->dialect == NATIVE)
		return INT64_MAX;
	if (o->needs305 && d->now > board->alive + ALIVE_FOR * SECOND)
		return d->now + SECOND;
	if (d->registers) {
		say_dump(d, out);
		return d->now + SECOND;
	}
	battery_measure(&d->battery, &s);
	say_measured(d, &s, out);
	say_alarms(d, out);
	say_identity(d, &s, out);
	return d->now + SECOND;
}

/* ---- questions and answers ---- */

static void fill_cells(const struct battery_sample *s, unsigned first, uint8_t *b)
{
	for (unsigned i = 0; i < PER_FRAME; i++)
		put_u16be(b + 2 * i, first + i < s->cells ? s->cell_mV[first + i] : 0);
}

static void fill_sensors(const struct battery_sample *s, unsigned first, uint8_t *b)
{
	for (unsigned i = 0; i < PER_FRAME; i++)
		put_u16be(b + 2 * i, first + i < s->sensors ? (uint16_t)(s->sensor_dC[first + i] + KELVIN_TENTHS) : 0);
}

static void fill_protection(const struct device *d, const struct battery_sample *s, uint8_t *b)
{
	uint32_t balancing = 0;

	for (unsigned i = 0; i < s->cells; i++)
		balancing |= (uint32_t)s->balancing[i] << i;
	put_u16be(b, (uint16_t)balancing);
	put_u16be(b + 2, (uint16_t)(balancing >> 16));
	put_u16be(b + 4, (uint16_t)(device_alarm_bits(d) >> 32));
}

static void fill(const struct device *d, uint32_t id, uint8_t *b)
{
	struct battery_sample s;

	battery_measure(&d->battery, &s);
	switch (id) {
	case BASIC:
		put_u16be(b, fit_u16((s.pack_mV + 5) / 10));
		put_u16be(b + 2, (uint16_t)fit_s16(s.current_mA / 10.0));
		put_u16be(b + 4, fit_u16(s.remaining_mAh / 10));
		break;
	case CAPACITY:
		put_u16be(b, fit_u16(s.full_mAh / 10));
		put_u16be(b + 2, fit_u16(s.cycles));
		put_u16be(b + 4, (uint16_t)((s.soc_permille + 5) / 10));
		break;
	case PROTECTION:
		fill_protection(d, &s, b);
		break;
	case SWITCHES:
		b[1] = (uint8_t)(d->battery.charge_mos | d->battery.discharge_mos << 1);
		put_u16be(b + 2, 0x2c7c);
		b[5] = 0x23;
		break;
	case COUNTS:
		b[0] = (uint8_t)s.cells;
		b[1] = (uint8_t)s.sensors;
		break;
	case SENSORS:
	case MORE_SENSORS:
		fill_sensors(&s, (id - SENSORS) * PER_FRAME, b);
		break;
	default:
		fill_cells(&s, (id - FIRST_CELLS) * PER_FRAME, b);
		break;
	}
}

static int jbd_can_find(const struct scenario *s, struct bytes in)
{
	if (in.n < CAN_BYTES)
		return 0;
	uint32_t id = u32be_at(in, 0);
	bool question = options(s)->dialect == NATIVE && id >= BASIC && id <= LAST_MODEL && !u8_at(in, 4);

	return question || id == ALIVE ? CAN_BYTES : -CAN_BYTES;
}

static void jbd_can_answer(struct device *d, struct bytes request, struct reply *out)
{
	struct jbd_can_board *board = d->board;
	const struct jbd_can_options *o = options(d->scenario);
	uint32_t id = u32be_at(request, 0);
	uint8_t b[SIZE] = {0};

	if (id == ALIVE) {
		board->alive = d->now;
		return;
	}
	if (d->registers) {
		struct bytes value = registers_get(d->registers, (uint16_t)id, d->address, 0);

		if (value.p)
			put(out, id, value.p, value.n < SIZE ? value.n : SIZE);
		return;
	}
	if (id >= FIRST_MODEL) {
		put_text(out, id, device_text(d->scenario->model, "JBD-SP25S003-L16S-100A"), id - FIRST_MODEL);
		return;
	}
	fill(d, id, b);
	if (!o->nocrc || id == BASIC)
		put_u16be(b + CRC_AT, crc16_modbus((struct bytes){b, CRC_AT}) ^ (o->badcrc ? 0x5a : 0));
	put(out, id, b, SIZE);
}

static void jbd_can_start(struct device *d)
{
	struct jbd_can_board *board = d->board;

	board->alive = d->now;
}

const struct kind jbd_can_kind = {
	.id = "jbd-can",
	.alias = "jbd-can",
	.about = "JBD board on CAN, or any battery that speaks as to a Victron, sheet jbd-can",
	.can = true,
	.streams = true,
	.baud = 500000,
	.delay_min_ms = 5,
	.delay_max_ms = 50,
	.max_cells = 30,
	.max_sensors = 6,
	.cells = 16,
	.sensors = 4,
	.capacity = 200,
	.balancer = BALANCER_BLEEDS,
	.alarms = jbd_can_alarms,
	.n_alarms = sizeof(jbd_can_alarms) / sizeof(jbd_can_alarms[0]),
	.keys = jbd_can_keys,
	.n_keys = sizeof(jbd_can_keys) / sizeof(jbd_can_keys[0]),
	.garbage_hex = "",
	.board_size = sizeof(struct jbd_can_board),
	.start = jbd_can_start,
	.find_request = jbd_can_find,
	.answer = jbd_can_answer,
	.speak = jbd_can_speak,
};
