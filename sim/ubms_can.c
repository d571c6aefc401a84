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
	BEAT = 570,	  /* ms: the BMS, and three of the modules */
	SECOND_HALF = 25, /* ms after the first of a beat */
	MODULE_CELLS = 4,
	MAX_MODULES = 12,
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
	{"strings", KEY_INTEGER, AT(strings), 1, 6, "", "2", NULL, "strings of modules side by side", 0},
	{"lost", KEY_INTEGER, AT(lost), 0, MAX_MODULES, "", "0", NULL,
	 "the module that falls silent after 5 s, and is missed 5 s later", 0},
	{"mode", KEY_WORD, AT(mode), 0, 0, "", "drive", "standby|charge|drive",
	 "its mode while no master has ever spoken", 0},
};

struct ubms_board {
	unsigned turn;	       /* two to a beat */
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

static bool is_silent(const struct device *d, unsigned module)
{
	const struct ubms_board *board = d->board;

	return options(d)->lost == module + 1 && d->now > board->began + LOSE_MODULE_MS * MS;
}

/* Silent for so long that the BMS counts it no more. */
static bool is_missed(const struct device *d, unsigned module)
{
	const struct ubms_board *board = d->board;

	return options(d)->lost == module + 1 && d->now > board->began + 2 * LOSE_MODULE_MS * MS;
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
	static const uint8_t b[8] = {156, 10, 38, 1, 34, 0x43, 0x4f, 0x33};

	put(out, 0x180, b, sizeof(b));
}

/* Bit per cell. */
static unsigned balances(const struct device *d, const struct battery_sample *s, unsigned module)
{
	unsigned first = module % in_series(d) * MODULE_CELLS, bits = 0;

	for (unsigned i = 0; i < MODULE_CELLS && first + i < s->cells; i++)
		bits |= (unsigned)s->balancing[first + i] << i;
	return bits;
}

static void say_state(struct device *d, const struct battery_sample *s, struct reply *out)
{
	const struct ubms_board *board = d->board;
	uint64_t bits = device_alarm_bits(d);
	unsigned heard = modules(d), balancing = 0;

	for (unsigned m = 0; m < modules(d); m++) {
		heard -= is_missed(d, m);
		balancing += balances(d, s, m) != 0;
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

/* All zero but in charge mode. */
static void say_charge(struct device *d, const struct battery_sample *s, struct reply *out)
{
	const struct ubms_board *board = d->board;
	uint8_t b[5] = {0};

	if (board->mode == CHARGE) {
		b[0] = 20;
		put_u16le(b + 1, 288);
		b[3] = s->soc_permille >= 1000 ? 4 : 0;
	}
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

/* Three modules; of 188 nothing is known but that it changes. */
static void say_cells(struct device *d, const struct battery_sample *s, unsigned first, struct reply *out)
{
	for (unsigned m = first; m < first + PER_FRAME && m < modules(d); m++) {
		uint8_t b[8] = {1, 0},
			unknown[8] = {(uint8_t)(m + 1), 1, 0xff, 0xfb, 0x7e, 0xfe, 7, (uint8_t)s->mos_dC};

		if (is_silent(d, m))
			continue;
		put(out, 0x188, unknown, 8);
		unknown[1] = 2;
		put(out, 0x188, unknown, 7);
		for (unsigned i = 0; i < 3; i++)
			put_u16be(b + 2 + 2 * i, cell_mV(d, s, m, i));
		put(out, 0x350 + 2 * m, b, 8);
		put_u16be(b + 2, cell_mV(d, s, m, 3));
		put(out, 0x351 + 2 * m, b, 4);
	}
}

static void say_name(struct device *d, unsigned module, struct reply *out)
{
	char name[13] = {0};
	uint8_t b[8] = {(uint8_t)(module + 1)};

	snprintf(name, sizeof(name), "%s", device_text(d->scenario->model, "U27-12XP"));
	for (unsigned line = 0; line < 2; line++) {
		b[1] = (uint8_t)(line + 1);
		memcpy(b + 2, name + 6 * line, 6);
		put(out, 0x184, b, 8);
	}
	memcpy(b + 1, "\3\x40\x51\x0c\xe4\3", 7);
	put(out, 0x184, b, 8);
}

/* 01 00 and a signed number for each of three modules. */
static void say_words(struct device *d, uint32_t id, double value, struct reply *out)
{
	for (unsigned first = 0; first < modules(d); first += PER_FRAME) {
		uint8_t b[8] = {1};
		unsigned n = modules(d) - first < PER_FRAME ? modules(d) - first : PER_FRAME;

		for (unsigned i = 0; i < n; i++)
			put_u16be(b + 2 + 2 * i, (uint16_t)fit_s16(value));
		put(out, id + first / PER_FRAME, b, (uint8_t)(2 + 2 * n));
	}
}

static void say_bytes(struct device *d, const struct battery_sample *s, struct reply *out)
{
	for (unsigned first = 0; first < modules(d); first += PER_LONG_FRAME) {
		uint8_t socs[8] = {1}, flags[8] = {1};
		unsigned n = modules(d) - first < PER_LONG_FRAME ? modules(d) - first : PER_LONG_FRAME;

		for (unsigned i = 0; i < n; i++) {
			long soc = lround(s->soc_permille * 0.256);

			socs[1 + i] = (uint8_t)(soc > 255 ? 255 : soc);
			flags[1 + i] = (uint8_t)(IDLE & ~balances(d, s, first + i));
		}
		put(out, 0x06a + first / PER_LONG_FRAME, socs, (uint8_t)(1 + n));
		put(out, 0x26a + first / PER_LONG_FRAME, flags, (uint8_t)(1 + n));
	}
}

static void say_unknown(struct reply *out)
{
	static const uint8_t zeros[8] = {1}, present[8] = {1, 0xff};

	put(out, 0x16a, zeros, 8);
	put(out, 0x16c, zeros, 8);
	put(out, 0x56a, present, 8);
}

/* What comes only every sixth beat. */
static void say_slow(struct device *d, const struct battery_sample *s, unsigned beat, struct reply *out)
{
	const struct ubms_board *board = d->board;
	double A = board->mode == STANDBY ? 0 : s->current_mA / 1000.0 / options(d)->strings;

	switch (beat % 6) {
	case 0:
		say_words(d, 0x46a, A * 100, out);
		break;
	case 1:
		say_words(d, 0x67a, s->mos_dC * 10, out);
		break;
	case 2:
		say_unknown(out);
		break;
	case 3:
		say_words(d, 0x76a, s->sensor_dC[0] * 10, out);
		break;
	case 4:
		say_version(out);
		break;
	default:
		say_bytes(d, s, out);
		break;
	}
}

/* ---- time ---- */

/* The contactor: closed in drive; in charge mode for what goes in. */
static void set_mode(struct device *d, uint8_t mode)
{
	struct ubms_board *board = d->board;

	board->mode = mode;
	device_switch(d, mode != STANDBY, mode == DRIVE, 0);
}

static void follow_master(struct device *d)
{
	struct ubms_board *board = d->board;

	if (board->follow_at && d->now >= board->follow_at) {
		/* Between charge and drive it goes through standby. */
		bool direct = board->mode != STANDBY && board->wanted != STANDBY && board->mode != board->wanted;

		board->follow_at = 0;
		set_mode(d, direct ? (uint8_t)STANDBY : board->wanted);
	}
	if (board->commanded && board->mode != STANDBY && d->now > board->commanded + LOSE_MASTER_MS * MS)
		set_mode(d, STANDBY);
}

static usec ubms_speak(struct device *d, struct reply *out)
{
	struct ubms_board *board = d->board;
	unsigned beat = board->turn / 2, groups = (modules(d) + PER_FRAME - 1) / PER_FRAME;
	struct battery_sample s;

	if (!board->turn) {
		board->began = d->now;
		set_mode(d, board->mode);
	}
	follow_master(d);
	battery_measure(&d->battery, &s);
	if (board->turn++ % 2 == 0) { /* a reply holds no more than FRAMES_MAX */
		say_cells(d, &s, beat % groups * PER_FRAME, out);
		say_slow(d, &s, beat, out);
		return d->now + SECOND_HALF * MS;
	}
	say_name(d, beat % modules(d), out);
	say_extremes(d, &s, out);
	say_current(d, &s, out);
	say_state(d, &s, out);
	say_charge(d, &s, out);
	return d->now + (BEAT - SECOND_HALF) * MS;
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

static void ubms_tell(const struct device *d, FILE *out)
{
	static const char *const modes[] = {"standby", "charge", "drive"};
	const struct ubms_board *board = d->board;

	fprintf(out, ",\"mode\":\"%s\"", modes[board->mode]);
}

const struct kind ubms_can_kind = {
	.id = "ubms-can",
	.alias = "ubms-can",
	.about = "Valence U-BMS with modules of four cells, sheet ubms-can",
	.can = true,
	.streams = true,
	.baud = 250000,
	.max_cells = 48,
	.max_sensors = 1,
	.cells = 16,
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
	.tell = ubms_tell,
};
