/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A Pace board: '~' frames of version 25, alone, on a bus, or as the master that tells of a whole group, sheet pace. */
#include <math.h>
#include <string.h>

#include "sim/ascii.h"
#include "sim/random.h"

enum { VERSION = 0x25, CLASS = 0x46, ALL_PACKS = 0xff, MAX_GROUP = 15, NAME = 20, MAX_CONFIG = 13, FF_ADDRESS_MAX = 1 };
enum { REBOOT_S = 20, SWITCH_MS = 200, IDLE_MA = 100 };

enum rtn {
	DONE = 0x00,
	WRONG_VERSION = 0x01,
	UNKNOWN = 0x04,
	BAD_FORMAT = 0x05,
	BAD_VALUE = 0x06,
	FAILED = 0x09,
	WRONG_CLASS = 0xe1
};

enum command {
	ANALOG = 0x42,
	WARNINGS = 0x44,
	PACK_COUNT = 0x90,
	CONTROL = 0x99,
	CHARGE_SWITCH = 0x9a,
	DISCHARGE_SWITCH = 0x9b,
	SHUTDOWN = 0x9c,
	CAPACITIES = 0xa6,
	BOARD_VERSION = 0xc1,
	PRODUCT = 0xc2,
	BOARD_SOFTWARE = 0xc6,
};

enum pace_tail { TAIL_NONE, TAIL_SOC, TAIL_GOBEL };

struct pace_options {
	int tail; /* enum pace_tail */
	uint32_t group, offline;
	int32_t chemistry_class;
	bool more44, badlength, noversion;
};

_Static_assert(sizeof(struct pace_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct pace_options, member)

static const struct key pace_keys[] = {
	{"tail", KEY_WORD, AT(tail), 0, 0, "bytes", "0", "0|1|14", "command 42 goes on so long behind the capacities",
	 0},
	{"group", KEY_INTEGER, AT(group), 1, MAX_GROUP, "", "1", NULL, "the board is the master of so many packs", 0},
	{"offline", KEY_INTEGER, AT(offline), 2, MAX_GROUP, "N", NULL, NULL,
	 "pack N of the group is registered, no more", 0},
	{"class", KEY_BYTE, AT(chemistry_class), 0, 255, "HEX", "46", NULL, "device class in replies", 0},
	{"more44", KEY_FLAG, AT(more44), 0, 0, "", "off", NULL, "a byte more behind the warnings", 0},
	{"badlength", KEY_FLAG, AT(badlength), 0, 0, "", "off", NULL, "42 and 44 tell a wrong length", 0},
	{"noversion", KEY_FLAG, AT(noversion), 0, 0, "", "off", NULL, "the board does not know C1 and C2", 0},
};

/* What can be read by one command and written by another. */
static const struct config {
	uint8_t read, write, size;
	uint8_t usual[MAX_CONFIG];
} configs[] = {
	{0xd1, 0xd0, 8, {1, 0x0e, 0x10, 0x0e, 0x74, 0x0d, 0x34, 0x0a}},
	{0xd3, 0xd2, 8, {1, 0x0b, 0x54, 0x0a, 0x8c, 0x0b, 0xb8, 0x0a}},
	{0xd5, 0xd4, 8, {1, 0xe1, 0x00, 0xe7, 0x40, 0xd2, 0xf0, 0x0a}},
	{0xd7, 0xd6, 8, {1, 0xb3, 0xb0, 0xa4, 0x10, 0xbb, 0x80, 0x0a}},
	{0xd9, 0xd8, 6, {1, 0x00, 0x68, 0x00, 0x6e, 0x0a}},
	{0xdb, 0xda, 6, {1, 0xff, 0x97, 0xff, 0x92, 0x0a}},
	{0xdd, 0xdc, 13, {1, 0x0c, 0xa8, 0x0c, 0xd0, 0x0c, 0x9e, 0x0c, 0xda, 0x0d, 0x02, 0x0c, 0xd0}},
	{0xdf, 0xde, 13, {1, 0x0a, 0xd2, 0x0a, 0xaa, 0x0a, 0xdc, 0x0a, 0x46, 0x09, 0xe2, 0x0a, 0x14}},
	{0xe1, 0xe0, 7, {1, 0x0e, 0x2e, 0x0e, 0xf6, 0x0d, 0xfc}},
	{0xe3, 0xe2, 6, {0, 0x96, 0x04, 0x00, 0x96, 0x04}},
	{0xe5, 0xe4, 1, {0x0c}},
	{0xe7, 0xe6, 13, {1, 0x0a, 0xaa, 0x0a, 0x46, 0x0a, 0xaa, 0x0d, 0x34, 0x0d, 0x66, 0x0d, 0x34}},
	{0xb6, 0xb5, 4, {0x0d, 0x48, 0x00, 0x1e}},
	{0xa0, 0xa8, 4, {0x0c, 0x1c, 0x00, 0x05}},
	{0xaf, 0xae, 5, {0xdb, 0x60, 0x07, 0xd0, 0x05}},
	{0xed, 0xee, 2, {0x00, 0x64}},
	{0xeb, 0xec, 3, {0x13, 0x14, 0x00}},
	{0xb1, 0xb2, 6, {0x18, 0x08, 0x15, 0x05, 0x1d, 0x1f}},
};

enum { CONFIGS = sizeof(configs) / sizeof(configs[0]) };

struct pace_board {
	uint8_t config[CONFIGS][MAX_CONFIG];
	uint8_t control;
	struct battery pack[MAX_GROUP - 1]; /* the others of its group */
};

/* Protect 1 from bit 0, protect 2 from 8, fault from 16, warn 1 from 24, warn 2 from 32: sheet 6. */
static const struct alarm_bit pace_alarms[] = {
	{NULL, HIGH_CELL_VOLTAGE, ALARM, 0},
	{NULL, LOW_CELL_VOLTAGE, ALARM, 1},
	{NULL, HIGH_VOLTAGE, ALARM, 2},
	{NULL, LOW_VOLTAGE, ALARM, 3},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, 4},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, 5},
	{NULL, SHORT_CIRCUIT, ALARM, 6},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, 8},
	{NULL, HIGH_TEMPERATURE, ALARM, 9},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, 10},
	{NULL, LOW_TEMPERATURE, ALARM, 11},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, 12},
	{"ambient_high_temperature", NO_ALARM, ALARM, 13},
	{"ambient_low_temperature", NO_ALARM, ALARM, 14},
	{"charge_mos_fault", NO_ALARM, ALARM, 16},
	{"discharge_mos_fault", NO_ALARM, ALARM, 17},
	{"sensor_fault", NO_ALARM, ALARM, 18},
	{"cell_fault", NO_ALARM, ALARM, 20},
	{NULL, INTERNAL_FAILURE, ALARM, 21},
	{NULL, HIGH_CELL_VOLTAGE, WARNING, 24},
	{NULL, LOW_CELL_VOLTAGE, WARNING, 25},
	{NULL, HIGH_VOLTAGE, WARNING, 26},
	{NULL, LOW_VOLTAGE, WARNING, 27},
	{NULL, HIGH_CHARGE_CURRENT, WARNING, 28},
	{NULL, HIGH_DISCHARGE_CURRENT, WARNING, 29},
	{NULL, HIGH_CHARGE_TEMPERATURE, WARNING, 32},
	{NULL, HIGH_TEMPERATURE, WARNING, 33},
	{NULL, LOW_CHARGE_TEMPERATURE, WARNING, 34},
	{NULL, LOW_TEMPERATURE, WARNING, 35},
	{"ambient_high_temperature", NO_ALARM, WARNING, 36},
	{"ambient_low_temperature", NO_ALARM, WARNING, 37},
	{NULL, HIGH_INTERNAL_TEMPERATURE, WARNING, 38},
	{NULL, LOW_SOC, WARNING, 39},
};

enum { FULLY_CHARGED = 15 };

static const struct pace_options *options(const struct device *d)
{
	return (const void *)d->scenario->own;
}

/* ---- configuration: sheet 8 ---- */

static uint8_t *config_of(struct device *d, uint8_t read)
{
	struct pace_board *board = d->board;

	for (unsigned i = 0; i < CONFIGS; i++)
		if (configs[i].read == read)
			return board->config[i];
	return NULL;
}

static void put_limits(struct device *d, uint8_t read, double warn, double protect, double release)
{
	uint8_t *c = config_of(d, read);

	put_u16be(c + 1, fit_u16(warn));
	put_u16be(c + 3, fit_u16(protect));
	put_u16be(c + 5, fit_u16(release));
}

static void start_config(struct device *d)
{
	const struct battery_settings *s = &d->battery.settings;
	struct pace_board *board = d->board;
	unsigned cells = d->battery.start.cells;

	for (unsigned i = 0; i < CONFIGS; i++)
		memcpy(board->config[i], configs[i].usual, MAX_CONFIG);
	put_limits(d, 0xd1, 1000 * s->cell_ov - 50, 1000 * s->cell_ov, 1000 * s->cell_ov_release);
	put_limits(d, 0xd3, 1000 * s->cell_uv + 200, 1000 * s->cell_uv, 1000 * s->cell_uv_release);
	put_limits(d, 0xd5, 1000 * s->pack_ov - 50.0 * cells, 1000 * s->pack_ov, 1000 * s->pack_ov_release);
	put_limits(d, 0xd7, 1000 * s->pack_uv + 200.0 * cells, 1000 * s->pack_uv, 1000 * s->pack_uv_release);
	put_u16be(config_of(d, 0xd9) + 3, fit_u16(s->charge_oc));
	put_u16be(config_of(d, 0xdb) + 3, (uint16_t)fit_s16(-s->discharge_oc));
	put_u16be(config_of(d, 0xb6), fit_u16(1000 * s->balance_start));
	put_u16be(config_of(d, 0xb6) + 2, fit_u16(1000 * s->balance_window));
}

/* What was written takes effect where it means something to the battery. */
static void apply_config(struct device *d)
{
	struct battery_settings *s = &d->battery.settings;

#define WORD(read, at) u16be_at((struct bytes){config_of(d, read), MAX_CONFIG}, at)
	s->cell_ov = WORD(0xd1, 3) / 1000.0;
	s->cell_ov_release = WORD(0xd1, 5) / 1000.0;
	s->cell_uv = WORD(0xd3, 3) / 1000.0;
	s->cell_uv_release = WORD(0xd3, 5) / 1000.0;
	s->pack_ov = WORD(0xd5, 3) / 1000.0;
	s->pack_ov_release = WORD(0xd5, 5) / 1000.0;
	s->pack_uv = WORD(0xd7, 3) / 1000.0;
	s->pack_uv_release = WORD(0xd7, 5) / 1000.0;
	s->charge_oc = WORD(0xd9, 3);
	s->discharge_oc = fabs((double)(int16_t)WORD(0xdb, 3));
	s->balance_start = WORD(0xb6, 0) / 1000.0;
	s->balance_window = WORD(0xb6, 2) / 1000.0;
#undef WORD
	battery_apply_settings(&d->battery);
}

/* ---- the group ---- */

static void pace_start(struct device *d)
{
	struct pace_board *board = d->board;

	start_config(d);
	board->control = 0x01;
	for (unsigned i = 0; i + 1 < options(d)->group; i++) {
		struct battery_start start = d->battery.start;

		start.soc_pct = fmax(0, start.soc_pct - 0.7 * (i + 1));
		start.seed = random_stir(start.seed + i + 1);
		battery_init(&board->pack[i], &start);
	}
}

/* The battery of pack `number` (from 1) of the group. */
static const struct battery *pack_of(struct device *d, unsigned number)
{
	struct pace_board *board = d->board;

	if (number == 1)
		return &d->battery;
	struct battery *b = &board->pack[number - 2];

	if (d->battery.time_s > b->time_s)
		battery_run(b, d->battery.time_s - b->time_s);
	return b;
}

/* ---- live values: sheet 5 ---- */

static unsigned kelvin(int dC)
{
	return (unsigned)(2730 + dC);
}

static void add_tail(const struct device *d, const struct battery_sample *m, bool absent, struct frame *f)
{
	double soc = absent ? 98 : round(m->soc_permille / 10.0);

	if (options(d)->tail == TAIL_NONE)
		return;
	frame_add_u8(f, (unsigned)soc);
	if (options(d)->tail == TAIL_SOC)
		return;
	for (unsigned i = 0; i < 4; i++)
		frame_add_u16be(f, absent ? 0 : fit_u16(m->design_mAh / 10.0));
	frame_add_u8(f, absent ? 100 : (unsigned)lround(d->battery.start.soh_pct));
	frame_add_u16be(f, absent ? 0 : fit_u16(m->pack_mV + 40.0));
	frame_add_u16be(f, 0);
}

static unsigned user_items(const struct device *d, unsigned number)
{
	if (options(d)->tail == TAIL_SOC)
		return 4;
	return options(d)->tail == TAIL_GOBEL && number == 1 ? 9 : 3;
}

/* Boards of up to 8 cells have no sensors but those of the cells. */
static bool has_mos_sensor(const struct battery_sample *m)
{
	return m->cells > 8;
}

static void add_analog(struct device *d, unsigned number, struct frame *f)
{
	bool absent = number > 1 && number == options(d)->offline;
	struct battery_sample m;

	battery_measure(pack_of(d, number), &m);
	if (absent)
		memset(m.cell_mV, 0, sizeof(m.cell_mV));
	frame_add_u8(f, m.cells);
	for (unsigned i = 0; i < m.cells; i++)
		frame_add_u16be(f, m.cell_mV[i]);
	frame_add_u8(f, m.sensors + (has_mos_sensor(&m) ? 2 : 0));
	for (unsigned i = 0; i < m.sensors; i++)
		frame_add_u16be(f, kelvin(absent ? 0 : m.sensor_dC[i]));
	if (has_mos_sensor(&m)) {
		frame_add_u16be(f, kelvin(absent ? 0 : m.mos_dC));
		frame_add_u16be(f, kelvin(absent ? 0 : m.ambient_dC));
	}
	frame_add_u16be(f, absent ? 0 : (uint16_t)fit_s16(m.current_mA / 10.0));
	frame_add_u16be(f, absent ? 0 : fit_u16(m.pack_mV));
	frame_add_u16be(f, absent ? 0 : fit_u16(m.remaining_mAh / 10.0));
	frame_add_u8(f, user_items(d, number));
	frame_add_u16be(f, absent ? 0 : fit_u16(m.full_mAh / 10.0));
	frame_add_u16be(f, absent ? 0 : m.cycles);
	frame_add_u16be(f, absent ? 0 : fit_u16(m.design_mAh / 10.0));
	add_tail(d, &m, absent, f);
}

static unsigned cell_state(const struct battery *b, uint16_t mV)
{
	return mV > 1000 * b->settings.cell_ov ? 2 : mV < 1000 * b->settings.cell_uv ? 1 : 0;
}

static uint8_t instruction(const struct battery *b, const struct battery_sample *m)
{
	unsigned state = (b->charge_mos ? 2u : 0) | (b->discharge_mos ? 4u : 0);

	return (uint8_t)(state | (m->current_mA > IDLE_MA ? 0x20u : 0x08u));
}

static void add_warnings(struct device *d, unsigned number, struct frame *f)
{
	const struct battery *b = pack_of(d, number);
	const struct pace_board *board = d->board;
	struct battery_sample m;
	uint64_t bits = number == 1 ? device_alarm_bits(d) : 0;
	unsigned balancing = 0;

	battery_measure(b, &m);
	if (m.soc_permille >= 1000)
		bits |= UINT64_C(1) << FULLY_CHARGED;
	frame_add_u8(f, m.cells);
	for (unsigned i = 0; i < m.cells; i++) {
		frame_add_u8(f, cell_state(b, m.cell_mV[i]));
		balancing |= m.balancing[i] && i < 16 ? 1u << i : 0;
	}
	unsigned sensors = m.sensors + (has_mos_sensor(&m) ? 2 : 0);
	frame_add_u8(f, sensors);
	for (unsigned i = 0; i < sensors; i++)
		frame_add_u8(f, 0);
	frame_add_u8(f, bits >> 4 & 1 ? 2 : 0);
	frame_add_u8(f, bits >> 2 & 1 ? 2 : bits >> 3 & 1 ? 1 : 0);
	frame_add_u8(f, bits >> 5 & 1 ? 2 : 0);
	frame_add_u8(f, (unsigned)bits);
	frame_add_u8(f, (unsigned)(bits >> 8));
	frame_add_u8(f, instruction(b, &m));
	frame_add_u8(f, board->control);
	frame_add_u8(f, (unsigned)(bits >> 16));
	frame_add_u8(f, balancing);
	frame_add_u8(f, balancing >> 8);
	frame_add_u8(f, (unsigned)(bits >> 24));
	frame_add_u8(f, (unsigned)(bits >> 32));
	if (options(d)->more44)
		frame_add_u8(f, 0);
}

/* 42 and 44: of the pack whose number is asked, or of all (only a pack at 00 or 01 is asked so). */
static enum rtn add_packs(struct device *d, const struct ascii_request *r, struct frame *info)
{
	unsigned wanted = r->info[0], group = options(d)->group, first = wanted, last = wanted;
	unsigned own = d->hears ? d->hears : 1;

	if (r->n != 1)
		return BAD_FORMAT;
	if (wanted == ALL_PACKS && d->hears <= FF_ADDRESS_MAX) {
		first = 1;
		last = group;
	} else if (group > 1) {
		if (!wanted || wanted > group)
			return BAD_VALUE;
	} else if (wanted == own) {
		first = last = 1;
	} else {
		return BAD_VALUE;
	}
	frame_add_u8(info, 0);
	frame_add_u8(info, wanted == ALL_PACKS ? last : wanted);
	for (unsigned i = first; i <= last; i++) {
		if (r->cid2 == ANALOG)
			add_analog(d, i, info);
		else
			add_warnings(d, i, info);
	}
	return DONE;
}

/* ---- identity ---- */

static void add_text(struct frame *f, const char *text, size_t size)
{
	size_t n = strlen(text);

	frame_add(f, text, n < size ? n : size);
	for (size_t i = n; i < size; i++)
		frame_add_u8(f, ' ');
}

static enum rtn add_identity(const struct device *d, uint8_t cid2, struct frame *info)
{
	char serial[NAME + 1];

	if (options(d)->noversion || (cid2 == BOARD_SOFTWARE && options(d)->tail != TAIL_GOBEL))
		return UNKNOWN;
	if (cid2 == BOARD_VERSION) {
		add_text(info, device_text(d->scenario->model, "P16S100A-1812-1.00"), NAME);
	} else if (cid2 == PRODUCT) {
		snprintf(serial, sizeof(serial), "18121013803%02uD", d->address % 100u);
		add_text(info, serial, NAME);
		add_text(info, d->scenario->serial, NAME);
	} else {
		add_text(info, "PC200-16S-V2.1", NAME);
		add_text(info, "HW1.0", 10);
	}
	return DONE;
}

/* ---- writing: sheet 7, 8 ---- */

/* One MOS always stays on, and none opens under the current that it carries. */
static bool allowed(const struct device *d, uint8_t cid2, bool on)
{
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	if (on)
		return true;
	if (!device_charge_wanted(d) || !device_discharge_wanted(d))
		return false;
	return cid2 == CHARGE_SWITCH ? m.current_mA >= -IDLE_MA : m.current_mA <= IDLE_MA;
}

static enum rtn switch_mos(struct device *d, const struct ascii_request *r, struct frame *info)
{
	bool on = r->info[0] == 0, done = allowed(d, r->cid2, on);
	struct battery_sample m;

	if (r->n != 1)
		return BAD_FORMAT;
	if (r->info[0] > 1)
		return BAD_VALUE;
	battery_measure(&d->battery, &m);
	if (done && r->cid2 == CHARGE_SWITCH)
		device_switch(d, on, device_discharge_wanted(d), SWITCH_MS * MS);
	else if (done)
		device_switch(d, device_charge_wanted(d), on, SWITCH_MS * MS);
	unsigned state = instruction(&d->battery, &m) & ~6u;
	state |= (device_charge_wanted(d) ? 2u : 0) | (device_discharge_wanted(d) ? 4u : 0);
	frame_add_u8(info, state);
	return done ? DONE : FAILED;
}

static enum rtn control(struct device *d, const struct ascii_request *r, struct frame *info)
{
	static const struct {
		uint8_t code, bit;
		bool set;
	} codes[] = {{0x06, 5, false}, {0x07, 5, true}, {0x08, 3, false}, {0x09, 3, true},
		     {0x0a, 4, false}, {0x0b, 4, true}, {0x0c, 0, false}, {0x0d, 0, true}};
	struct pace_board *board = d->board;

	if (r->n != 1)
		return BAD_FORMAT;
	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		unsigned mask = 1u << codes[i].bit;

		if (codes[i].code != r->info[0])
			continue;
		board->control = (uint8_t)(codes[i].set ? board->control | mask : board->control & ~mask);
		frame_add_u8(info, r->info[0]);
		frame_add_u8(info, board->control);
		return DONE;
	}
	return BAD_VALUE;
}

static enum rtn configuration(struct device *d, const struct ascii_request *r, struct frame *info)
{
	struct pace_board *board = d->board;

	for (unsigned i = 0; i < CONFIGS; i++) {
		uint8_t *c = board->config[i];

		if (configs[i].read == r->cid2) {
			frame_add(info, c, configs[i].size);
			return r->n ? BAD_FORMAT : DONE;
		}
		if (configs[i].write != r->cid2)
			continue;
		d->writes++;
		if (r->n != (r->cid2 == 0xe2 ? 3 : configs[i].size))
			return BAD_FORMAT;
		memcpy(c, r->info, r->n);
		if (r->cid2 == 0xda) /* written positive, told negative */
			for (unsigned at = 1; at < 5; at += 2)
				put_u16be(c + at, (uint16_t)-u16be_at((struct bytes){r->info, r->n}, at));
		apply_config(d);
		return DONE;
	}
	return UNKNOWN;
}

static enum rtn answer_command(struct device *d, const struct ascii_request *r, struct frame *info)
{
	struct battery_sample m;

	switch (r->cid2) {
	case ANALOG:
	case WARNINGS:
		return add_packs(d, r, info);
	case PACK_COUNT:
		frame_add_u8(info, options(d)->group);
		return DONE;
	case BOARD_VERSION:
	case PRODUCT:
	case BOARD_SOFTWARE:
		return add_identity(d, r->cid2, info);
	case CAPACITIES:
		battery_measure(&d->battery, &m);
		frame_add_u16be(info, fit_u16(m.remaining_mAh / 10.0));
		frame_add_u16be(info, fit_u16(m.full_mAh / 10.0));
		frame_add_u16be(info, fit_u16(m.design_mAh / 10.0));
		return DONE;
	case CHARGE_SWITCH:
	case DISCHARGE_SWITCH:
		d->writes++;
		return switch_mos(d, r, info);
	case CONTROL:
		d->writes++;
		return control(d, r, info);
	case SHUTDOWN:
		d->writes++;
		d->deaf_until = d->now + REBOOT_S * SECOND;
		return DONE;
	default:
		return configuration(d, r, info);
	}
}

/* ---- frames ---- */

/* The length field of some boards: two characters too few, with the checksums to it. */
static void spoil_length(struct frame *f)
{
	static const char digits[] = "0123456789ABCDEF";
	unsigned n = f->n - 18u - 2u, nibbles = n / 256 + n / 16 % 16 + n % 16, sum = 0;
	unsigned word = (16 - nibbles % 16) % 16 * 0x1000 + n;

	for (unsigned i = 0; i < 4; i++)
		f->p[9 + i] = (uint8_t)digits[word >> (12 - 4 * i) & 15];
	for (unsigned i = 1; i < f->sum_at; i++)
		sum += f->p[i];
	sum = (0x10000 - (sum & 0xffff)) & 0xffff;
	for (unsigned i = 0; i < 4; i++)
		f->p[f->sum_at + i] = (uint8_t)digits[sum >> (12 - 4 * i) & 15];
}

static void pace_answer(struct device *d, struct bytes request, struct reply *out)
{
	struct ascii_request r;
	struct frame info = {.n = 0};
	enum rtn rtn = DONE;

	ascii_open(request, &r);
	if (r.soi != '~' || r.adr != d->hears)
		return;
	if (r.ver != VERSION)
		rtn = WRONG_VERSION;
	else if (r.cid1 != CLASS)
		rtn = WRONG_CLASS;
	else if (d->registers) {
		struct bytes dump = registers_get(d->registers, r.cid2, d->address, 0);

		rtn = dump.p ? DONE : UNKNOWN;
		frame_add(&info, dump.p, dump.n);
	} else {
		rtn = answer_command(d, &r, &info);
	}
	if (rtn != DONE && rtn != FAILED)
		info.n = 0;
	r.ver = VERSION;
	r.cid1 = (uint8_t)options(d)->chemistry_class;
	struct frame *f = reply_frame(out);

	ascii_answer(f, &r, d->address, (uint8_t)rtn, frame_bytes(&info));
	if (options(d)->badlength && rtn == DONE && (r.cid2 == ANALOG || r.cid2 == WARNINGS))
		spoil_length(f);
}

static void pace_tell(const struct device *d, FILE *out)
{
	const struct pace_board *board = d->board;

	fprintf(out, ",\"control\":%u,\"config\":\"", board->control);
	for (unsigned i = 0; i < CONFIGS; i++)
		for (unsigned j = 0; j < configs[i].size; j++)
			fprintf(out, "%02x", board->config[i][j]);
	fprintf(out, "\"");
}

const struct kind pace_kind = {
	.id = "pace",
	.alias = "pbms",
	.about = "Pace board, '~' frames of version 25",
	.baud = 9600,
	.delay_min_ms = 20,
	.delay_max_ms = 120,
	.gap = 200 * MS,
	.max_cells = 16,
	.max_sensors = 4,
	.cells = 16,
	.sensors = 4,
	.capacity = 100,
	.balancer = BALANCER_BLEEDS,
	.sensors_fixed = true,
	.addressed = true,
	.address_min = 0,
	.address_max = 15,
	.address_first = 0,
	.alarms = pace_alarms,
	.n_alarms = sizeof(pace_alarms) / sizeof(pace_alarms[0]),
	.keys = pace_keys,
	.n_keys = sizeof(pace_keys) / sizeof(pace_keys[0]),
	.garbage_hex = "007E3235FF",
	.board_size = sizeof(struct pace_board),
	.start = pace_start,
	.find_request = ascii_find_request,
	.answer = pace_answer,
	.tell = pace_tell,
};
