/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A Valence U-BMS on CAN with its modules: sheet ubms-can. The battery's cells are one string of modules; the others
 * hang beside it and share its current. It follows a master's mode, and stands by when that falls silent.
 */
#include "config.h"

#include <math.h>
#include <string.h>

#include "model/can.h"
#include "sim/device.h"

enum {
	BEAT = 570,
	MODULE_CELLS = 4,
	MAX_MODULES = 11,
	IDLE = 0x3f,
	MASTER_ID = 0x440,
	PER_FRAME = 3,
	PER_LONG_FRAME = 7
};
enum mode { STANDBY, CHARGE, DRIVE };
enum times { FOLLOW_MS = 1000, LOSE_MASTER_MS = 20000, LOSE_MODULE_MS = 5000 };

/* What its own keys say. */
struct ubms_options {
	uint32_t strings, lost;
	int mode;
};

_Static_assert(sizeof(struct ubms_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct ubms_options, member)

static const struct key ubms_keys[] = {
	{"strings", KEY_INTEGER, AT(strings), 1, 5, "", "2", NULL, "strings of modules side by side", 0},
	{"lost", KEY_INTEGER, AT(lost), 0, 11, "", "0", NULL, "the module that is not heard any more after 5 s", 0},
	{"mode", KEY_WORD, AT(mode), 0, 0, "", "drive", "standby|charge|drive",
	 "its mode while no master has ever spoken", 0},
};

struct ubms_board {
	unsigned beat;
	usec began, commanded; /* 0: no master has spoken */
	uint8_t mode, wanted;
	usec follow_at;
};

static const struct ubms_options *options(const struct device *d)
{
	return (const void *)d->scenario->own;
}

static unsigned in_series(const struct device *d)
{
	return (d->battery.start.cells + MODULE_CELLS - 1) / MODULE_CELLS;
}

static unsigned modules(const struct device *d)
{
	unsigned n = in_series(d) * options(d)->strings;

	return n < MAX_MODULES ? n : MAX_MODULES;
}

static bool is_lost(const struct device *d, unsigned module)
{
	const struct ubms_board *board = d->board;

	return options(d)->lost == module + 1 && d->now > board->began + LOSE_MODULE_MS * MS;
}

static const struct alarm_bit ubms_alarms[] = {
	{NULL, INTERNAL_FAILURE, ALARM, 0},
	{NULL, HIGH_TEMPERATURE, WARNING, 1},
	{NULL, HIGH_TEMPERATURE, ALARM, 2},
	{NULL, LOW_SOC, WARNING, 3},
	{NULL, LOW_CELL_VOLTAGE, ALARM, 4},
	{NULL, HIGH_CELL_VOLTAGE, ALARM, 5},
	{NULL, HIGH_DISCHARGE_CURRENT, WARNING, 16},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, 17},
	{NULL, HIGH_INTERNAL_TEMPERATURE, WARNING, 19},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, 20},
	{NULL, LOW_TEMPERATURE, WARNING, 29},
	{NULL, LOW_TEMPERATURE, ALARM, 30},
};

static void put(struct reply *out, uint32_t id, const uint8_t *data, uint8_t n)
{
	struct can_message m = {.id = id, .n = n};
	uint8_t b[CAN_BYTES];

	memcpy(m.data, data, n);
	can_write(&m, b);
	frame_add(reply_frame(out), b, sizeof(b));
}

/* ---- what the BMS says ---- */

static void say_version(struct reply *out)
{
	static const uint8_t b[8] = {156, 0, 1, 1, 34, 0x43, 0x4f, 0x33};

	put(out, 0x180, b, sizeof(b));
}

static void say_state(struct device *d, const struct battery_sample *s, struct reply *out)
{
	const struct ubms_board *board = d->board;
	uint64_t bits = device_alarm_bits(d);
	unsigned heard = modules(d), balancing = 0;

	for (unsigned m = 0; m < modules(d); m++)
		heard -= is_lost(d, m);
	for (unsigned m = 0; m < in_series(d); m++)
		for (unsigned i = 0; i < MODULE_CELLS; i++)
			if (m * MODULE_CELLS + i < s->cells && s->balancing[m * MODULE_CELLS + i]) {
				balancing++;
				break;
			}
	uint8_t b[8] = {
		(uint8_t)((s->soc_permille + 5) / 10),
		(uint8_t)(board->mode | (board->mode == DRIVE ? 8 : 0) | (balancing ? 16 : 0) | (bits >> 24 & 0x60)),
		(uint8_t)((bits & 0x3f) | (heard < modules(d))),
		0,
		(uint8_t)(bits >> 16 & 0x1f),
		(uint8_t)heard,
		(uint8_t)balancing,
		0};

	put(out, 0x0c0, b, sizeof(b));
}

static void say_current(struct device *d, const struct battery_sample *s, struct reply *out)
{
	const struct ubms_board *board = d->board;
	bool drive = board->mode == DRIVE;
	uint16_t ccl = drive && d->battery.charge_mos ? 1206 : 0;
	uint8_t b[8] = {(uint8_t)(s->pack_mV / 2000)};

	put_u16le(b + 1, fit_u16(32768 + (board->mode == STANDBY ? 0 : s->current_mA / 1000.0)));
	put_u16le(b + 3, drive && d->battery.discharge_mos ? 1447 : 0);
	b[5] = (uint8_t)ccl;
	b[6] = 0x0e;
	b[7] = (uint8_t)(ccl >> 8);
	put(out, 0x0c1, b, sizeof(b));
}

static void say_charge(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint8_t b[5] = {20, 0, 0, (uint8_t)(s->soc_permille >= 1000 ? 4 : 0)};

	(void)d;
	put(out, 0x0c2, b, sizeof(b));
}

static uint8_t celsius(int dC)
{
	double v = dC / 10.0 + 40;

	return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)lround(v);
}

/* Strings differ by a few mV, so that they can be told apart. */
static uint16_t cell_mV(const struct device *d, const struct battery_sample *s, unsigned module, unsigned i)
{
	unsigned cell = module % in_series(d) * MODULE_CELLS + i;

	return cell < s->cells ? (uint16_t)(s->cell_mV[cell] + module / in_series(d)) : 0;
}

static void say_extremes(struct device *d, const struct battery_sample *s, struct reply *out)
{
	uint16_t highest = 0, lowest = UINT16_MAX;

	for (unsigned m = 0; m < modules(d); m++)
		for (unsigned i = 0; i < MODULE_CELLS; i++) {
			uint16_t mV = cell_mV(d, s, m, i);

			highest = mV > highest ? mV : highest;
			lowest = mV && mV < lowest ? mV : lowest;
		}
	uint8_t b[8] = {celsius(s->sensor_dC[0]), celsius(s->sensor_dC[0] - 10), 0x40, celsius(s->mos_dC)};

	put_u16le(b + 4, highest);
	put_u16le(b + 6, lowest);
	put(out, 0x0c4, b, sizeof(b));
}

/* ---- what the modules say ---- */

static void say_cells(struct device *d, const struct battery_sample *s, struct reply *out)
{
	for (unsigned m = 0; m < modules(d); m++) {
		uint8_t b[8] = {1, 0};

		if (is_lost(d, m))
			continue;
		for (unsigned i = 0; i < 3; i++)
			put_u16be(b + 2 + 2 * i, cell_mV(d, s, m, i));
		put(out, 0x350 + 2 * m, b, 8);
		put_u16be(b + 2, cell_mV(d, s, m, 3));
		put(out, 0x351 + 2 * m, b, 4);
	}
}

static void say_words(struct device *d, const struct battery_sample *s, struct reply *out)
{
	const struct ubms_board *board = d->board;
	double A = board->mode == STANDBY ? 0 : s->current_mA / 1000.0 / options(d)->strings;

	for (unsigned first = 0; first < modules(d); first += PER_FRAME) {
		uint8_t currents[8] = {1}, cells[8] = {1}, boards[8] = {1};
		unsigned n = modules(d) - first < PER_FRAME ? modules(d) - first : PER_FRAME;

		for (unsigned i = 0; i < n; i++) {
			put_u16be(currents + 2 + 2 * i, (uint16_t)fit_s16(A * 100));
			put_u16be(cells + 2 + 2 * i, (uint16_t)fit_s16(s->sensor_dC[0] * 10));
			put_u16be(boards + 2 + 2 * i, (uint16_t)fit_s16(s->mos_dC * 10));
		}
		put(out, 0x46a + first / PER_FRAME, currents, (uint8_t)(2 + 2 * n));
		put(out, 0x76a + first / PER_FRAME, cells, (uint8_t)(2 + 2 * n));
		put(out, 0x67a + first / PER_FRAME, boards, (uint8_t)(2 + 2 * n));
	}
}

static void say_bytes(struct device *d, const struct battery_sample *s, struct reply *out)
{
	for (unsigned first = 0; first < modules(d); first += PER_LONG_FRAME) {
		uint8_t socs[8] = {1}, flags[8] = {1};
		unsigned n = modules(d) - first < PER_LONG_FRAME ? modules(d) - first : PER_LONG_FRAME;

		for (unsigned i = 0; i < n; i++) {
			socs[1 + i] = (uint8_t)lround(s->soc_permille * 0.255);
			flags[1 + i] = IDLE;
			for (unsigned c = 0; c < MODULE_CELLS; c++) {
				unsigned cell = (first + i) % in_series(d) * MODULE_CELLS + c;

				if (cell < s->cells && s->balancing[cell])
					flags[1 + i] &= (uint8_t) ~(1u << c);
			}
		}
		put(out, 0x06a + first / PER_LONG_FRAME, socs, (uint8_t)(1 + n));
		put(out, 0x26a + first / PER_LONG_FRAME, flags, (uint8_t)(1 + n));
	}
}

/* ---- time ---- */

static void follow_master(struct device *d)
{
	struct ubms_board *board = d->board;

	if (board->follow_at && d->now >= board->follow_at) {
		board->follow_at = 0;
		/* Between charge and drive it goes through standby. */
		bool direct = board->mode != STANDBY && board->wanted != STANDBY && board->mode != board->wanted;

		board->mode = direct ? STANDBY : board->wanted;
	}
	if (board->commanded && d->now > board->commanded + LOSE_MASTER_MS * MS)
		board->mode = STANDBY;
}

static usec ubms_speak(struct device *d, struct reply *out)
{
	struct ubms_board *board = d->board;
	unsigned beat = board->beat++;
	struct battery_sample s;

	if (!beat)
		board->began = d->now;
	follow_master(d);
	battery_measure(&d->battery, &s);
	switch (beat % 6) { /* FRAMES_MAX at one go: modules take turns */
	case 0:
	case 3:
		say_cells(d, &s, out);
		return d->now + 2 * MS;
	case 1:
		say_words(d, &s, out);
		break;
	case 2:
		say_bytes(d, &s, out);
		break;
	case 4:
		say_version(out);
		break;
	default:
		break;
	}
	say_state(d, &s, out);
	say_current(d, &s, out);
	say_charge(d, &s, out);
	say_extremes(d, &s, out);
	return d->now + BEAT * MS;
}

static int ubms_find(const struct scenario *s, struct bytes in)
{
	(void)s;
	if (in.n < CAN_BYTES)
		return 0;
	return u32be_at(in, 0) == MASTER_ID && u8_at(in, 4) >= 2 ? CAN_BYTES : -CAN_BYTES;
}

static void ubms_answer(struct device *d, struct bytes request, struct reply *out)
{
	struct ubms_board *board = d->board;
	uint8_t wanted = u8_at(can_data(request), 1);

	(void)out;
	if (wanted > DRIVE)
		return;
	board->commanded = d->now;
	if (wanted == board->wanted && (board->mode == wanted || board->follow_at))
		return;
	d->writes += wanted != board->wanted;
	board->wanted = wanted;
	board->follow_at = d->now + FOLLOW_MS * MS;
}

static void ubms_start(struct device *d)
{
	struct ubms_board *board = d->board;

	board->mode = board->wanted = (uint8_t)options(d)->mode;
}

const struct kind ubms_can_kind = {
	.id = "ubms-can",
	.alias = "ubms-can",
	.about = "Valence U-BMS with modules of four cells, sheet ubms-can",
	.can = true,
	.streams = true,
	.baud = 250000,
	.max_cells = 20,
	.max_sensors = 1,
	.cells = 8,
	.sensors = 1,
	.sensors_fixed = true,
	.capacity = 260,
	.balancer = BALANCER_BLEEDS,
	.alarms = ubms_alarms,
	.n_alarms = sizeof(ubms_alarms) / sizeof(ubms_alarms[0]),
	.keys = ubms_keys,
	.n_keys = sizeof(ubms_keys) / sizeof(ubms_keys[0]),
	.garbage_hex = "",
	.board_size = sizeof(struct ubms_board),
	.start = ubms_start,
	.find_request = ubms_find,
	.answer = ubms_answer,
	.speak = ubms_speak,
};
