/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A JK board on CAN, which tells its state by itself: sheet jk-can, V1 and V2. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "model/can.h"
#include "sim/device.h"

enum { BEAT = 100, PER_FRAME = 4, MAX_CELLS = 25, MOS_PLACE = 2, PLACES = 5, NO_SENSOR = 0xff, LAST = 15 };
enum { STATUS = 0x2f4, EXTREMES = 0x4f4, TEMPERATURES = 0x5f4, LEVELS = 0x7f4, LAST_LEVELS = 11 };
#define EXTENDED(id) (CAN_EXTENDED | UINT32_C(id))
enum { SETTLE_MS = 300, NONE = 63 /* no bit of an alarm */ };

/* What its own keys say. */
struct jk_can_options {
	bool v1, charger, opencell, shortframes;
	uint32_t throughput;
};

_Static_assert(sizeof(struct jk_can_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct jk_can_options, member)

static const struct key jk_can_keys[] = {
	{"v1", KEY_FLAG, AT(v1), 0, 0, "", "off", NULL, "an older board: standard frames only", 0},
	{"charger", KEY_FLAG, AT(charger), 0, 0, "", "off", NULL,
	 "a charger is plugged: the board asks it for a voltage", 0},
	{"opencell", KEY_FLAG, AT(opencell), 0, 0, "", "off", NULL, "the wire of cell 2 is open", 0},
	{"shortframes", KEY_FLAG, AT(shortframes), 0, 0, "", "off", NULL, "frames have no more bytes than they need",
	 0},
	{"throughput", KEY_INTEGER, AT(throughput), 0, 65535, "0.1 Ah", "1234", NULL, "ampere-hours charged so far", 0},
};

struct jk_can_board {
	unsigned beat;
};

static const struct jk_can_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

/* Bits of 18F328F4; 7F4 tells the same ones in levels. */
static const struct alarm_bit jk_can_alarms[] = {
	{"wire_resistance", NO_ALARM, WARNING, 0},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, 1},
	{"cell_count_mismatch", NO_ALARM, ALARM, 2},
	{"current_sensor_fault", NO_ALARM, ALARM, 3},
	{NULL, HIGH_CELL_VOLTAGE, ALARM, 4},
	{NULL, HIGH_VOLTAGE, ALARM, 5},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, 6},
	{NULL, SHORT_CIRCUIT, ALARM, 14},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, 8},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, 9},
	{"coprocessor_comm_fault", NO_ALARM, ALARM, 10},
	{NULL, LOW_CELL_VOLTAGE, ALARM, 11},
	{NULL, LOW_VOLTAGE, ALARM, 12},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, 13},
	{NULL, HIGH_TEMPERATURE, ALARM, 15},
	{"charge_mos_fault", NO_ALARM, ALARM, 16},
	{"discharge_mos_fault", NO_ALARM, ALARM, 17},
	{NULL, LOW_SOC, ALARM, 32},
	{NULL, LOW_SOC, WARNING, 33},
	{NULL, CELL_IMBALANCE, ALARM, 34},
	{NULL, CELL_IMBALANCE, WARNING, 35},
	{NULL, LOW_TEMPERATURE, ALARM, 36},
	{NULL, HIGH_CELL_VOLTAGE, WARNING, 37},
	{NULL, LOW_CELL_VOLTAGE, WARNING, 38},
	{NULL, HIGH_VOLTAGE, WARNING, 39},
	{NULL, LOW_VOLTAGE, WARNING, 40},
	{NULL, HIGH_DISCHARGE_CURRENT, WARNING, 41},
	{NULL, HIGH_CHARGE_CURRENT, WARNING, 42},
	{NULL, HIGH_TEMPERATURE, WARNING, 43},
	{NULL, LOW_TEMPERATURE, WARNING, 44},
	{"temp_difference", NO_ALARM, ALARM, 45},
	{"insulation_low", NO_ALARM, ALARM, 46},
	{"hvil_fault", NO_ALARM, ALARM, 47},
	{"external_comm_fault", NO_ALARM, WARNING, 48},
};

/* Place in 7F4, bit of the table above for "serious" and for "general". */
static const struct level {
	uint8_t place, serious, general;
} levels[] = {
	{0, 4, 37},  {1, 11, 38}, {2, 5, 39},	 {3, 12, 40},  {4, 34, 35},    {5, 13, 41},    {6, 6, 42},
	{7, 15, 43}, {8, 36, 44}, {9, 45, NONE}, {10, 32, 33}, {11, 46, NONE}, {12, 47, NONE}, {13, NONE, 48},
};

static void put(struct reply *out, const struct device *d, uint32_t id, const uint8_t *data, uint8_t needed)
{
	struct can_message m = {.id = id + d->address, .n = options(d->scenario)->shortframes ? needed : 8};
	uint8_t b[CAN_BYTES];

	memcpy(m.data, data, m.n);
	can_write(&m, b);
	frame_add(reply_frame(out), b, sizeof(b));
}

static uint8_t celsius(int dC)
{
	double C = dC / 10.0 + 50;

	return C < 0 ? 0 : C > 254 ? 254 : (uint8_t)lround(C);
}

static void put_u32le(uint8_t *p, uint32_t v)
{
	put_u16le(p, (uint16_t)v);
	put_u16le(p + 2, (uint16_t)(v >> 16));
}

static uint16_t cell_of(const struct device *d, const struct battery_sample *s, unsigned i)
{
	return i >= s->cells || (i == 1 && options(d->scenario)->opencell) ? 0 : s->cell_mV[i];
}

static void say_status(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint8_t b[8] = {0};

	put_u16le(b, fit_u16((s->pack_mV + 50) / 100));
	put_u16le(b + 2, fit_u16(s->current_mA / 100.0 + 4000));
	b[4] = (uint8_t)((s->soc_permille + 5) / 10);
	put(out, d, STATUS, b, 5);
}

static void say_extremes(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint8_t b[8] = {0};

	put_u16le(b, s->cell_mV[s->highest]);
	b[2] = (uint8_t)(s->highest + 1);
	put_u16le(b + 3, s->cell_mV[s->lowest]);
	b[5] = (uint8_t)(s->lowest + 1);
	put(out, d, EXTREMES, b, 6);
}

static void say_temperatures(struct device *d, const struct battery_sample *s, struct reply *out)
{
	unsigned highest = 0, lowest = 0;
	int sum = 0;

	for (unsigned i = 0; i < s->sensors; i++) {
		highest = s->sensor_dC[i] > s->sensor_dC[highest] ? i : highest;
		lowest = s->sensor_dC[i] < s->sensor_dC[lowest] ? i : lowest;
		sum += s->sensor_dC[i];
	}
	uint8_t b[8] = {celsius(s->sensor_dC[highest]), (uint8_t)(highest + 1), celsius(s->sensor_dC[lowest]),
			(uint8_t)(lowest + 1), celsius(s->sensors ? sum / (int)s->sensors : 0)};

	put(out, d, TEMPERATURES, b, 5);
}

static void say_levels(struct device *d, struct reply *out)
{
	uint64_t bits = device_alarm_bits(d);
	uint32_t word = 0;
	uint8_t b[8] = {0};

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (bits >> levels[i].serious & 1)
			word |= 1u << 2 * levels[i].place;
		else if (bits >> levels[i].general & 1)
			word |= 3u << 2 * levels[i].place;
	}
	put_u32le(b, word);
	if (word && d->address <= LAST_LEVELS)
		put(out, d, LEVELS, b, 4);
}

static void say_capacity(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint8_t b[8];
	uint32_t charged = options(d->scenario)->throughput + s->charged_Ah * 10;

	put_u16le(b, fit_u16(s->remaining_mAh / 100));
	put_u16le(b + 2, fit_u16(s->full_mAh / 100));
	put_u16le(b + 4, (uint16_t)charged); /* it wraps */
	put_u16le(b + 6, fit_u16(s->cycles));
	put(out, d, EXTENDED(0x18f128f4), b, 8);
}

/* Two sensors, the MOS, and two more that only big boards have. */
static void say_sensors(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint8_t b[8] = {0};
	unsigned sensor = 0;

	for (unsigned place = 0; place < PLACES; place++) {
		bool there = place == MOS_PLACE || sensor < s->sensors;

		b[1 + place] = !there ? NO_SENSOR : celsius(place == MOS_PLACE ? s->mos_dC : s->sensor_dC[sensor]);
		b[0] |= (uint8_t)(there << place);
		sensor += place != MOS_PLACE;
	}
	put(out, d, EXTENDED(0x18f228f4), b, 6);
}

static void say_faults(struct device *d, struct reply *out)
{
	uint8_t b[8] = {0};

	put_u32le(b, (uint32_t)device_alarm_bits(d) & 0x3ffff);
	put(out, d, EXTENDED(0x18f328f4), b, 3);
}

static void say_runtime(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint8_t b[8] = {0};

	put_u32le(b, s->uptime_s);
	put_u16le(b + 4, d->battery.heater_on ? 2600 : 0);
	b[6] = (uint8_t)lround(d->battery.start.soh_pct);
	put(out, d, EXTENDED(0x18f428f4), b, 7);
}

static void say_switches(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint8_t b[8] = {(uint8_t)(d->battery.charge_mos | d->battery.discharge_mos << 1 | s->balancing_any << 2 |
				  d->battery.heater_on << 3 | options(d->scenario)->charger << 4)};

	put(out, d, EXTENDED(0x18f528f4), b, 1);
}

static void say_charger(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint8_t b[8] = {0};

	put_u16be(b, fit_u16(d->battery.settings.cell_full * 10 * s->cells));
	put_u16be(b + 2, fit_u16(d->battery.settings.charge_oc * 10));
	b[4] = !d->battery.charge_mos;
	if (options(d->scenario)->charger)
		put(out, d, EXTENDED(0x1806e5f4), b, 6);
}

static void say_cells(struct device *d, const struct battery_sample *s, struct reply *out)
{
	for (unsigned k = 0; k * PER_FRAME < s->cells; k++) {
		uint8_t b[8];

		for (unsigned i = 0; i < PER_FRAME; i++)
			put_u16le(b + 2 * i, cell_of(d, s, k * PER_FRAME + i));
		put(out, d, EXTENDED(0x18e028f4) + k * UINT32_C(0x10000), b, 8);
	}
}

static usec jk_can_speak(struct device *d, struct reply *out)
{
	struct jk_can_board *board = d->board;
	bool v2 = !options(d->scenario)->v1;
	struct battery_sample s;
	unsigned beat = board->beat++;

	battery_measure(&d->battery, &s);
	say_status(d, &s, out);
	say_extremes(d, &s, out);
	say_levels(d, out);
	if (!v2 || beat % 5 == 0)
		say_temperatures(d, &s, out);
	if (v2) {
		say_capacity(d, &s, out);
		say_faults(d, out);
	}
	if (v2 && beat % 5 == 1) {
		say_sensors(d, &s, out);
		say_runtime(d, &s, out);
		say_switches(d, &s, out);
		say_charger(d, &s, out);
	}
	if (v2 && beat % 10 == 2)
		say_cells(d, &s, out);
	return d->now + BEAT * MS;
}

/* ---- control ---- */

static int jk_can_find(const struct scenario *s, struct bytes in)
{
	(void)s;
	if (in.n < CAN_BYTES)
		return 0;
	return u32be_at(in, 0) == EXTENDED(0x18f0f428) && u8_at(in, 4) == 8 ? CAN_BYTES : -CAN_BYTES;
}

static void jk_can_answer(struct device *d, struct bytes request, struct reply *out)
{
	struct bytes data = can_data(request);
	uint8_t mask = u8_at(data, 0);

	(void)out; /* it acknowledges nothing */
	if (options(d->scenario)->v1 || d->address || !(mask & 7))
		return;
	d->writes++;
	device_switch(d, mask & 1 ? u8_at(data, 1) & 1 : device_charge_wanted(d),
		      mask & 2 ? u8_at(data, 2) & 1 : device_discharge_wanted(d), SETTLE_MS * MS);
	if (mask & 4) {
		d->battery.settings.balance_switch = u8_at(data, 3) & 1;
		battery_apply_settings(&d->battery);
	}
}

static void jk_can_start(struct device *d)
{
	(void)d;
}

const struct kind jk_can_kind = {
	.id = "jk-can",
	.alias = "jk-can",
	.about = "JK board on CAN, V2 (or V1), sheet jk-can",
	.can = true,
	.streams = true,
	.baud = 250000,
	.max_cells = MAX_CELLS,
	.max_sensors = PLACES - 1,
	.cells = 16,
	.sensors = 2,
	.capacity = 280,
	.balancer = BALANCER_MOVES,
	.addressed = true,
	.address_min = 0,
	.address_max = LAST,
	.alarms = jk_can_alarms,
	.n_alarms = sizeof(jk_can_alarms) / sizeof(jk_can_alarms[0]),
	.keys = jk_can_keys,
	.n_keys = sizeof(jk_can_keys) / sizeof(jk_can_keys[0]),
	.garbage_hex = "",
	.board_size = sizeof(struct jk_can_board),
	.start = jk_can_start,
	.find_request = jk_can_find,
	.answer = jk_can_answer,
	.speak = jk_can_speak,
};
