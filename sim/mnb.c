/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The MAX17853 of an MNB-Li on its SPI bus: registers, 4 bytes in and 4 bytes out an access, sheet mnb. */
#include <math.h>
#include <string.h>

#include "sim/device.h"

enum { CELLS = 8, SENSORS = 6, REGISTERS = 256, FRAME = 4, SCAN_POLLS = 2 };

enum chip_register {
	STATUS1 = 0x02,
	STATUS2 = 0x03,
	FMEA2 = 0x06,
	OVER_ENABLE = 0x1a,
	UNDER_ENABLE = 0x1b,
	OVER_CLEAR = 0x1f,
	OVER_SET = 0x20,
	UNDER_CLEAR = 0x21,
	UNDER_SET = 0x22,
	MISMATCH = 0x23,
	BLOCK_OVER_CLEAR = 0x28,
	BLOCK_OVER_SET = 0x29,
	BLOCK_UNDER_CLEAR = 0x2a,
	BLOCK_UNDER_SET = 0x2b,
	COLD_CLEAR = 0x30,
	COLD_SET = 0x31,
	HOT_CLEAR = 0x32,
	HOT_SET = 0x33,
	CURRENT = 0x47,
	CELL = 0x48,
	BLOCK = 0x55,
	TOTAL = 0x56,
	DIE = 0x57,
	AUX = 0x59,
	CELL_ENABLE = 0x64,
	AUX_ENABLE = 0x65,
	SCANCTRL = 0x66,
	BALANCE_SWITCHES = 0x6f,
	TIMER = 0x71,
	BALCTRL = 0x80,
	BALDATA = 0x83,
	ID = 0x8c,
};

enum status1 {
	WAS_RESET = 1 << 14,
	DIFFERENT = 1 << 13,
	HIGH_CELL = 1 << 12,
	LOW_CELL = 1 << 11,
	HIGH_BLOCK = 1 << 10,
	LOW_BLOCK = 1 << 9,
	COLD = 1 << 8,
	HOT = 1 << 7,
	INTERFACE = 1 << 4
};

struct mnb_board {
	uint16_t reg[REGISTERS];
	bool accepted;			 /* the access before */
	unsigned scan_polls;		 /* until the scan is over */
	uint32_t over, under, cold, hot; /* bit per cell or sensor, with their hysteresis */
	bool block_over, block_under;
	double timer_s[CELLS], drained_V[CELLS];
	bool balancing;
	usec lived, restart_at;
	unsigned set_up; /* writes that are no flag, scan or balancer */
};

struct mnb_options {
	bool noready;
	double restart;
	int miso; /* enum miso */
};

enum miso { MISO_OK, MISO_LOW, MISO_HIGH };

_Static_assert(sizeof(struct mnb_options) <= SCENARIO_OWN, "room for its own keys");

#define AT(member) offsetof(struct mnb_options, member)
static const struct key mnb_keys[] = {
	{"noready", KEY_FLAG, AT(noready), 0, 0, "", "off", NULL, "a scan never comes to its end", 0},
	{"restart", KEY_NUMBER, AT(restart), 0.1, 1000000, "s", NULL, NULL, "the chip restarts after so long", 0},
	{"miso", KEY_WORD, AT(miso), 0, 0, "", "ok", "ok|low|high", "what the line back to the host does", 0},
};

static const struct mnb_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

static const struct alarm_bit mnb_alarms[] = {
	{NULL, CELL_IMBALANCE, ALARM, 13},   {NULL, HIGH_CELL_VOLTAGE, ALARM, 12},
	{NULL, LOW_CELL_VOLTAGE, ALARM, 11}, {NULL, HIGH_VOLTAGE, ALARM, 10},
	{NULL, LOW_VOLTAGE, ALARM, 9},	     {NULL, LOW_CHARGE_TEMPERATURE, ALARM, 8},
	{NULL, LOW_TEMPERATURE, ALARM, 8},   {NULL, HIGH_CHARGE_TEMPERATURE, ALARM, 7},
	{NULL, HIGH_TEMPERATURE, ALARM, 7},  {NULL, INTERNAL_FAILURE, ALARM, 3},
};

/* ---- the chip ---- */

static void power_on(struct device *d)
{
	struct mnb_board *board = d->board;
	uint16_t key;
	struct bytes value;

	memset(board->reg, 0, sizeof(board->reg));
	board->over = board->under = board->cold = board->hot = 0;
	board->block_over = board->block_under = board->balancing = false;
	board->accepted = true;
	board->reg[0x00] = 0x8537;
	board->reg[STATUS1] = WAS_RESET;
	board->reg[ID] = 0x4d4e;
	board->reg[ID + 1] = 0x4207;
	for (unsigned i = 0; d->registers && registers_at(d->registers, i, 0, &key, &value); i++)
		if (key < REGISTERS && value.n == 2)
			board->reg[key] = u16be_at(value, 0);
}

static void mnb_start(struct device *d)
{
	struct mnb_board *board = d->board;
	double restart = options(d->scenario)->restart;

	power_on(d);
	board->lived = d->now;
	board->restart_at = restart > 0 ? d->now + (usec)(restart * (double)SECOND) : INT64_MAX;
}

/* 14 bits at the upper end of a register. */
static uint16_t left14(double steps)
{
	return (uint16_t)((unsigned)lround(fmin(fmax(steps, 0), 16383)) << 2);
}

static uint16_t sensor_raw(double C)
{
	return left14(16383 / exp(0.01998 * (C + 12.74)) - 1);
}

/* One more of what is set beyond `set` and cleared behind `clear`. */
static bool watch(bool was, bool beyond_set, bool behind_clear)
{
	return beyond_set || (was && !behind_clear);
}

static void watch_cells(struct mnb_board *board)
{
	uint16_t lowest = UINT16_MAX, highest = 0;

	for (unsigned i = 0; i < CELLS; i++) {
		uint16_t v = board->reg[CELL + i];
		uint32_t bit = 1u << i;
		bool over = watch(board->over & bit, v > board->reg[OVER_SET], v < board->reg[OVER_CLEAR]);
		bool under = watch(board->under & bit, v<board->reg[UNDER_SET], v> board->reg[UNDER_CLEAR]);

		over = over && board->reg[OVER_ENABLE] >> (i + 1) & 1;
		under = under && board->reg[UNDER_ENABLE] >> (i + 1) & 1;
		board->over = (board->over & ~bit) | (over ? bit : 0);
		board->under = (board->under & ~bit) | (under ? bit : 0);
		lowest = v < lowest ? v : lowest;
		highest = v > highest ? v : highest;
	}
	board->reg[STATUS1] |= (board->over ? HIGH_CELL : 0) | (board->under ? LOW_CELL : 0);
	if (board->reg[MISMATCH] && highest - lowest > board->reg[MISMATCH])
		board->reg[STATUS1] |= DIFFERENT;
}

static void watch_sensors(struct mnb_board *board)
{
	for (unsigned i = 0; i < SENSORS; i++) {
		uint16_t v = board->reg[AUX + i];
		uint32_t bit = 1u << i;
		bool cold = watch(board->cold & bit, v > board->reg[COLD_SET], v < board->reg[COLD_CLEAR]);
		bool hot = watch(board->hot & bit, v<board->reg[HOT_SET], v> board->reg[HOT_CLEAR]);

		cold = cold && board->reg[COLD_SET];
		board->cold = (board->cold & ~bit) | (cold ? bit : 0);
		board->hot = (board->hot & ~bit) | (hot ? bit : 0);
	}
	board->reg[STATUS1] |= (board->cold ? COLD : 0) | (board->hot ? HOT : 0);
}

static void watch_block(struct mnb_board *board)
{
	/* The limits are those of the pack; the amplifier's input is no cell of it. */
	double v = (board->reg[BLOCK] >> 2) - (board->reg[CURRENT] >> 2) * 0.000305 / 0.003967;

	board->block_over = board->reg[BLOCK_OVER_SET] && watch(board->block_over, v > board->reg[BLOCK_OVER_SET] >> 2,
								v < board->reg[BLOCK_OVER_CLEAR] >> 2);
	board->block_under =
		watch(board->block_under, v < board->reg[BLOCK_UNDER_SET] >> 2, v > board->reg[BLOCK_UNDER_CLEAR] >> 2);
	board->reg[STATUS1] |= (board->block_over ? HIGH_BLOCK : 0) | (board->block_under ? LOW_BLOCK : 0);
}

/* What the last scan has found, as far as it was told to measure. */
static void move_results(struct device *d)
{
	struct mnb_board *board = d->board;
	struct battery_sample m;
	double sum = 0, amplifier;

	battery_measure(&d->battery, &m);
	amplifier = (m.current_mA / 1000.0 - 2.2) * 0.025 + 2.5;
	for (unsigned i = 0; i < CELLS; i++) {
		double v = (i < m.cells ? m.cell_mV[i] / 1000.0 : 0) - board->drained_V[i];

		sum += v;
		if (board->reg[CELL_ENABLE] >> (i + 1) & 1)
			board->reg[CELL + i] = left14(v / 0.000305);
	}
	if (board->reg[CELL_ENABLE] & 1)
		board->reg[CURRENT] = left14(amplifier / 0.000305);
	if (board->reg[CELL_ENABLE] >> 14 & 1)
		board->reg[BLOCK] = left14((sum + amplifier) / 0.003967);
	board->reg[TOTAL] = fit_u16(sum / 0.00122);
	for (unsigned i = 0; i < SENSORS; i++)
		if (board->reg[AUX_ENABLE] >> i & 1)
			board->reg[AUX + i] = sensor_raw(m.sensor_dC[i] / 10.0);
	if (board->reg[0x6b] == 1)
		board->reg[DIE] = left14((m.mos_dC / 10.0 + 273 - 8.3) * 0.0032 / 2.3077 * 16384);
	watch_cells(board);
	watch_sensors(board);
	watch_block(board);
	board->reg[STATUS1] |= (uint16_t)device_alarm_bits(d);
}

/* ---- balancing: sheet 7; a timer's unit is a second here ---- */

static void start_balancing(struct mnb_board *board)
{
	board->balancing = false;
	for (unsigned i = 0; i < CELLS; i++) {
		board->timer_s[i] = board->reg[BALCTRL] & 0x2000 ? board->reg[TIMER + i] & 15 : 0;
		board->balancing = board->balancing || board->timer_s[i] > 0;
	}
	board->balancing = board->balancing && board->reg[BALANCE_SWITCHES];
	board->reg[BALCTRL] = (board->reg[BALCTRL] & 0x3fff) | (board->balancing ? 0x4000 : 0);
}

static void balance(struct mnb_board *board, double seconds)
{
	bool left = false;

	if (!board->balancing)
		return;
	for (unsigned i = 0; i < CELLS; i++) {
		double s = fmin(board->timer_s[i], seconds);

		board->timer_s[i] -= s;
		board->drained_V[i] += 0.0001 * s;
		board->reg[TIMER + i] = (uint16_t)ceil(board->timer_s[i]);
		left = left || board->timer_s[i] > 0;
	}
	board->balancing = left;
	if (!left)
		board->reg[BALCTRL] = (board->reg[BALCTRL] & 0x3fff) | 0x8000;
}

/* ---- accesses ---- */

static uint8_t crc3(uint32_t v, unsigned bits)
{
	uint32_t rest = v << 3;

	for (unsigned i = bits + 2; i >= 3; i--)
		if (rest >> i & 1)
			rest ^= 0x0bu << (i - 3);
	return (uint8_t)(rest & 7);
}

static uint16_t read_register(struct device *d, uint8_t reg)
{
	struct mnb_board *board = d->board;

	if (reg != SCANCTRL || !board->reg[reg])
		return board->reg[reg];
	if (options(d->scenario)->noready || board->scan_polls) {
		board->scan_polls -= board->scan_polls > 0;
		return board->reg[reg];
	}
	return board->reg[reg] | 0xa000;
}

static void write_register(struct device *d, uint8_t reg, uint16_t value)
{
	struct mnb_board *board = d->board;

	if (reg >= STATUS1 && reg <= FMEA2) {
		board->reg[reg] &= value;
		return;
	}
	if (reg == 0 || (reg >= CELL && reg < AUX + SENSORS) || reg == ID || reg == ID + 1)
		return; /* measured, or burnt in */
	board->reg[reg] = value;
	if (reg == SCANCTRL) {
		board->scan_polls = SCAN_POLLS;
	} else if (reg == BALDATA) {
		board->reg[reg] = 0;
		move_results(d);
	} else if (reg >= BALANCE_SWITCHES && reg <= BALCTRL) {
		d->writes++;
		if (reg == BALCTRL)
			start_balancing(board);
	} else {
		board->set_up++;
	}
}

static int mnb_find_request(const struct scenario *s, struct bytes in)
{
	(void)s;
	return bytes_has(in, 0, FRAME) ? FRAME : 0;
}

static void live(struct device *d)
{
	struct mnb_board *board = d->board;

	balance(board, d->speed * (double)(d->now - board->lived) / 1e6);
	board->lived = d->now;
	if (d->now < board->restart_at)
		return;
	board->restart_at = INT64_MAX;
	power_on(d);
}

static void mnb_answer(struct device *d, struct bytes request, struct reply *out)
{
	struct mnb_board *board = d->board;
	uint32_t bits = u32be_at(request, 0), head = bits >> 23;
	uint16_t data = (uint16_t)(bits >> 4), value = 0;
	bool read = head >> 8,
	     sound = (bits >> 20 & 7) == crc3(head, 9) && (bits >> 3 & 1) == read && (bits & 7) == crc3(data, 16);
	struct frame *f = reply_frame(out);
	int miso = options(d->scenario)->miso;

	live(d);
	if (sound && read) {
		value = read_register(d, (uint8_t)head);
	} else if (sound) {
		write_register(d, (uint8_t)head, data);
	} else {
		board->reg[STATUS2] |= 1;
		board->reg[STATUS1] |= INTERFACE;
	}
	uint32_t flags = board->reg[STATUS1] ? 0x10 : 0;

	if (miso == MISO_OK)
		frame_add_u32be(f, flags << 27 | (uint32_t)crc3(flags, 5) << 24 | (uint32_t)value << 4 |
					   (uint32_t)board->accepted << 3 | crc3(value, 16));
	else
		frame_add_u32be(f, miso == MISO_HIGH ? UINT32_MAX : 0);
	f->sum_at = FRAME - 1;
	board->accepted = sound;
}

static void mnb_tell(const struct device *d, FILE *out)
{
	const struct mnb_board *board = d->board;

	fprintf(out, ",\"set_up\":%u,\"status1\":\"%04x\",\"balancing\":%s,\"registers\":\"", board->set_up,
		board->reg[STATUS1], board->balancing ? "true" : "false");
	for (unsigned i = 0; i <= ID + 1; i++)
		fprintf(out, "%04x", board->reg[i]);
	fprintf(out, "\"");
}

const struct kind mnb_kind = {
	.id = "mnb",
	.alias = "mnb",
	.about = "MNB-Li, a MAX17853 on SPI: a unix socket",
	.baud = 500000,
	.socket = "spisim:",
	.gap = SECOND,
	.max_cells = CELLS,
	.max_sensors = SENSORS,
	.cells = CELLS,
	.sensors = SENSORS,
	.capacity = 130,
	.balancer = BALANCER_BLEEDS,
	.sensors_fixed = true,
	.alarms = mnb_alarms,
	.n_alarms = sizeof(mnb_alarms) / sizeof(mnb_alarms[0]),
	.keys = mnb_keys,
	.n_keys = sizeof(mnb_keys) / sizeof(mnb_keys[0]),
	.garbage_hex = "FF",
	.board_size = sizeof(struct mnb_board),
	.start = mnb_start,
	.find_request = mnb_find_request,
	.answer = mnb_answer,
	.tell = mnb_tell,
};
