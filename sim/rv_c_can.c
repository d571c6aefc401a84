/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A battery on an RV-C network: sheet rv-c-can. Its address is the instance of its DC bus. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "model/can.h"
#include "sim/device.h"

enum {
	BEAT = 500,
	BATTERY = 120,
	GATEWAY = 119,
	GATEWAY_SOURCE = 66,
	SOURCES = 254, /* addresses that a device may claim */
	LAST_INSTANCE = 250,
	CURRENT_ZERO = 2000000000,
};
enum dgn {
	S1 = 0x1fffd,
	S2 = 0x1fffc,
	S3 = 0x1fffb,
	S4 = 0x1fec9,
	S5 = 0x1fec8,
	S6 = 0x1fec7,
	S11 = 0x1fea5,
	DISCONNECT = 0x1fed0,
	SUB_PACK = 0x1fe96, /* less n */
};

/* What its own keys say. */
struct rvc_options {
	bool gateway, fine, nodata, errors, zero, contactor;
	uint32_t source, reclaim, silent4, modules, shorten;
};

_Static_assert(sizeof(struct rvc_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct rvc_options, member)

static const struct key rvc_keys[] = {
	{"gateway", KEY_FLAG, AT(gateway), 0, 0, "", "off", NULL,
	 "another device repeats what the battery says, a little late", 0},
	{"fine", KEY_FLAG, AT(fine), 0, 0, "", "off", NULL, "it tells its voltage in mV as well", 0},
	{"nodata", KEY_FLAG, AT(nodata), 0, 0, "", "off", NULL, "temperature, capacity and SoH are not available", 0},
	{"errors", KEY_FLAG, AT(errors), 0, 0, "", "off", NULL, "its alarm bits say that they are wrong", 0},
	{"zero", KEY_FLAG, AT(zero), 0, 0, "", "off", NULL, "it does not measure current: the field is 0", 0},
	{"contactor", KEY_FLAG, AT(contactor), 0, 0, "", "off", NULL, "it tells the state of its contactor", 0},
	{"source", KEY_INTEGER, AT(source), 0, 253, "", "141", NULL,
	 "its source address; further batteries of a port have the next ones", 0},
	{"reclaim", KEY_INTEGER, AT(reclaim), 0, 100000, "s", "0", NULL, "after so long it claims another address", 0},
	{"silent4", KEY_INTEGER, AT(silent4), 0, 100000, "s", "0", NULL, "no charger status after so long", 0},
	{"modules", KEY_INTEGER, AT(modules), 0, 12, "", "0", NULL, "so many batteries in it tell of themselves", 0},
	{"short", KEY_INTEGER, AT(shorten), 0, 100000, "", "0", NULL, "every Nth frame lacks its last byte", 0},
};

struct rvc_board {
	unsigned beat, frames;
	usec began;
	uint8_t late[8]; /* S1 as it was */
};

static const struct rvc_options *options(const struct device *d)
{
	return (const void *)d->scenario->own;
}

/* Bit = place in the alarm frame: 2 bits each, from byte 2 on. */
static const struct alarm_bit rvc_alarms[] = {
	{NULL, HIGH_VOLTAGE, WARNING, 0},
	{NULL, HIGH_VOLTAGE, ALARM, 1},
	{NULL, LOW_VOLTAGE, WARNING, 2},
	{NULL, LOW_VOLTAGE, ALARM, 3},
	{NULL, LOW_SOC, WARNING, 4},
	{NULL, LOW_SOC, ALARM, 5},
	{NULL, LOW_TEMPERATURE, WARNING, 6},
	{NULL, LOW_TEMPERATURE, ALARM, 7},
	{NULL, HIGH_TEMPERATURE, WARNING, 8},
	{NULL, HIGH_TEMPERATURE, ALARM, 9},
	{NULL, HIGH_DISCHARGE_CURRENT, WARNING, 10},
	{NULL, HIGH_CHARGE_CURRENT, WARNING, 10},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, 11},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, 11},
};

static bool since(const struct device *d, uint32_t seconds)
{
	const struct rvc_board *board = d->board;

	return seconds && d->now - board->began >= seconds * SECOND;
}

static uint8_t source_of(const struct device *d)
{
	uint32_t claimed = options(d)->source + d->address - 1u;

	return (uint8_t)((claimed + (since(d, options(d)->reclaim) ? SOURCES / 2 : 0)) % SOURCES);
}

static void put_from(struct reply *out, uint32_t dgn, uint8_t source, const uint8_t data[8], uint8_t n)
{
	struct can_message m = {.id = CAN_EXTENDED | UINT32_C(6) << 26 | dgn << 8 | source, .n = n};
	uint8_t b[CAN_BYTES];

	memcpy(m.data, data, n);
	can_write(&m, b);
	frame_add(reply_frame(out), b, sizeof(b));
}

static void put(const struct device *d, struct reply *out, uint32_t dgn, const uint8_t data[8])
{
	struct rvc_board *board = d->board;
	uint32_t shorten = options(d)->shorten;

	board->frames++;
	put_from(out, dgn, source_of(d), data, shorten && board->frames % shorten == 0 ? 7 : 8);
}

static void put_u32le(uint8_t *p, uint32_t v)
{
	put_u16le(p, (uint16_t)v);
	put_u16le(p + 2, (uint16_t)(v >> 16));
}

static uint16_t twentieths(double v)
{
	return fit_u16(v * 20);
}

/* Everything begins with the instance and the priority; what is not said is all ones. */
static void begin(const struct device *d, uint8_t b[8])
{
	memset(b, 0xff, 8);
	b[0] = d->address;
	b[1] = BATTERY;
}

static void say_voltage(struct device *d, const struct battery_sample *s, struct reply *out)
{
	struct rvc_board *board = d->board;
	uint8_t b[8];

	begin(d, b);
	put_u16le(b + 2, twentieths(s->pack_mV / 1000.0));
	put_u32le(b + 4, options(d)->zero ? 0 : (uint32_t)(CURRENT_ZERO - s->current_mA));
	put(d, out, S1, b);
	if (options(d)->gateway && board->beat > 1) {
		board->late[1] = GATEWAY;
		put_from(out, S1, GATEWAY_SOURCE, board->late, 8);
	}
	memcpy(board->late, b, sizeof(b));
}

static void say_soc(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint8_t b[8];

	begin(d, b);
	if (!options(d)->nodata)
		put_u16le(b + 2, fit_u16((s->sensor_dC[0] / 10.0 + 273) * 32));
	b[4] = (uint8_t)((s->soc_permille + 2) / 5);
	put(d, out, S2, b);
}

static void say_capacity(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint8_t b[8];

	begin(d, b);
	if (!options(d)->nodata) {
		b[2] = (uint8_t)lround(d->battery.start.soh_pct * 2);
		put_u16le(b + 3, fit_u16(s->remaining_mAh / 1000));
		b[5] = (uint8_t)((s->soc_permille + 2) / 5);
	}
	put(d, out, S3, b);
}

static void say_wish(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint8_t b[8];
	double A = d->battery.charge_mos ? d->battery.settings.charge_oc / 2 : 0;

	begin(d, b);
	b[2] = d->battery.charge_mos ? 2 : 1;
	put_u16le(b + 3, twentieths(d->battery.settings.cell_full * s->cells));
	put_u16le(b + 5, twentieths(A + 1600));
	b[7] = 0xf3;
	put(d, out, S4, b);
}

static void say_fine_voltage(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint8_t b[8];

	begin(d, b);
	put_u32le(b + 2, s->pack_mV);
	put(d, out, S5, b);
}

static void say_alarms(struct device *d, struct reply *out)
{
	uint64_t bits = device_alarm_bits(d);
	uint8_t b[8];

	begin(d, b);
	for (unsigned place = 0; place < 12; place++) {
		unsigned pair = options(d)->errors ? 2 : bits >> place & 1;
		unsigned shift = 2 * (place % 4);

		b[2 + place / 4] = (uint8_t)((b[2 + place / 4] & ~(3u << shift)) | pair << shift);
	}
	put(d, out, S6, b);
}

static void say_switches(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint8_t b[8];

	begin(d, b);
	b[2] = (uint8_t)(d->battery.discharge_mos | d->battery.charge_mos << 2 | (s->current_mA > 0) << 4 | 0xc0);
	if (!options(d)->nodata)
		put_u16le(b + 3, fit_u16(s->full_mAh / 1000));
	put_u16le(b + 5, fit_u16(fabs(s->pack_mV / 1000.0 * s->current_mA / 1000.0)));
	put(d, out, S11, b);
}

static void say_contactor(struct device *d, struct reply *out)
{
	uint8_t b[8];

	memset(b, 0xff, sizeof(b));
	b[0] = d->address;
	b[1] = (uint8_t)(0xfc | (d->battery.charge_mos || d->battery.discharge_mos));
	put(d, out, DISCONNECT, b);
}

/* Of each battery within: its number, the DC bus that it is on, and its share. */
static void say_modules(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint32_t n = options(d)->modules;

	for (uint8_t i = 1; i <= n; i++) {
		uint8_t b[8] = {i, d->address};

		put_u16le(b + 2, twentieths(s->pack_mV / 1000.0));
		put_u32le(b + 4, (uint32_t)(CURRENT_ZERO - s->current_mA / (int32_t)n));
		put(d, out, SUB_PACK - 1, b);
	}
}

static usec rvc_speak(struct device *d, struct reply *out)
{
	struct rvc_board *board = d->board;
	unsigned beat = board->beat++;
	struct battery_sample s;

	if (!beat)
		board->began = d->now;
	battery_measure(&d->battery, &s);
	say_voltage(d, &s, out);
	say_soc(d, &s, out);
	say_capacity(d, &s, out);
	if (options(d)->fine)
		say_fine_voltage(d, &s, out);
	if (beat % 2 == 0)
		say_switches(d, &s, out);
	if (beat % 4 == 1)
		say_alarms(d, out);
	if (beat % 10 == 3 && !since(d, options(d)->silent4))
		say_wish(d, &s, out);
	if (beat % 10 == 5 && options(d)->contactor)
		say_contactor(d, out);
	if (beat % 4 == 2)
		say_modules(d, &s, out);
	return d->now + BEAT * MS;
}

static int rvc_find(const struct scenario *s, struct bytes in)
{
	(void)s;
	return in.n < CAN_BYTES ? 0 : -CAN_BYTES;
}

static void rvc_answer(struct device *d, struct bytes request, struct reply *out)
{
	(void)d;
	(void)request;
	(void)out;
}

static void rvc_start(struct device *d)
{
	(void)d;
}

const struct kind rv_c_can_kind = {
	.id = "rv-c-can",
	.alias = "rv-c-can",
	.about = "battery on an RV-C network, sheet rv-c-can",
	.can = true,
	.streams = true,
	.baud = 250000,
	.max_cells = 16,
	.max_sensors = 1,
	.cells = 4,
	.sensors = 1,
	.sensors_fixed = true,
	.capacity = 400,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.address_min = 1,
	.address_max = LAST_INSTANCE,
	.address_first = 1,
	.alarms = rvc_alarms,
	.n_alarms = sizeof(rvc_alarms) / sizeof(rvc_alarms[0]),
	.keys = rvc_keys,
	.n_keys = sizeof(rvc_keys) / sizeof(rvc_keys[0]),
	.garbage_hex = "",
	.board_size = sizeof(struct rvc_board),
	.start = rvc_start,
	.find_request = rvc_find,
	.answer = rvc_answer,
	.speak = rvc_speak,
};
