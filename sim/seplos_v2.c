/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A Seplos V2 board on RS485, or a Boqiang, which speaks a dialect of it: sheet seplos-v2. */
#include <math.h>
#include <string.h>

#include "sim/ascii.h"

enum { VER_SEPLOS = 0x20, VER_BOQIANG = 0x26, CID1 = 0x46, GROUP_USUAL = 1 };
enum { WORDS = 60, BYTES = 27, MASKS = 8, BLOCK = 169, WORDS_AT = 2, BYTES_AT = 123, MASKS_AT = 151, MODEL_AT = 159 };
enum { EVENTS = 8, SENSORS = 6, PRESET = 0x3b };

enum cid2 {
	TELEMETRY = 0x42,
	SIGNALS = 0x44,
	PARAMETERS = 0x47,
	CLOCK = 0x4d,
	VERSION = 0x4f,
	VENDOR = 0x51,
	SET_PARAMETERS = 0xa1,
};

enum rtn {
	OK = 0x00,
	WRONG_VERSION = 0x01,
	WRONG_SUM = 0x02,
	UNKNOWN_COMMAND = 0x04,
	WRONG_FORMAT = 0x05,
	WRONG_DATA = 0x06,
	WRONG_CLASS = 0xe1,
	NO_PERMISSION = 0xe4,
};

struct seplos_options {
	bool boqiang, adr0, reserved, jump, locked, complain, strict;
};

_Static_assert(sizeof(struct seplos_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct seplos_options, member)

static const struct key seplos_keys[] = {
	{"boqiang", KEY_FLAG, AT(boqiang), 0, 0, "", "off", NULL, "the dialect of Boqiang boards, VER 26", 0},
	{"adr0", KEY_FLAG, AT(adr0), 0, 0, "", "off", NULL, "replies carry address 00 whatever the switches say", 0},
	{"reserved", KEY_FLAG, AT(reserved), 0, 0, "", "off", NULL, "reserved words of 42 are not zero", 0},
	{"jump", KEY_FLAG, AT(jump), 0, 0, "", "on", NULL, "writing parameters sets the SoC to their preset", 0},
	{"locked", KEY_FLAG, AT(locked), 0, 0, "", "off", NULL, "parameters cannot be written: return code E4", 0},
	{"complain", KEY_FLAG, AT(complain), 0, 0, "", "off", NULL, "a wrong checksum is answered with code 02", 0},
	{"strict", KEY_FLAG, AT(strict), 0, 0, "", "off", NULL, "silent when the group is not its own", 0},
};

static const struct seplos_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

struct seplos_board {
	uint8_t block[BLOCK]; /* as 47 tells it */
};

/* Events 1 to 8 of request 44. */
#define BIT(event, bit) (uint8_t)(8 * ((event)-1) + (bit))

static const struct alarm_bit seplos_alarms[] = {
	{NULL, INTERNAL_FAILURE, ALARM, BIT(1, 0)},
	{"voltage_sensor_fault", NO_ALARM, ALARM, BIT(1, 0)},
	{"temperature_sensor_fault", NO_ALARM, ALARM, BIT(1, 1)},
	{"current_sensor_fault", NO_ALARM, ALARM, BIT(1, 2)},
	{"key_switch_fault", NO_ALARM, WARNING, BIT(1, 3)},
	{NULL, CELL_IMBALANCE, ALARM, BIT(1, 4)},
	{"charge_switch_fault", NO_ALARM, ALARM, BIT(1, 5)},
	{"discharge_switch_fault", NO_ALARM, ALARM, BIT(1, 6)},
	{"current_limit_switch_fault", NO_ALARM, WARNING, BIT(1, 7)},
	{NULL, HIGH_CELL_VOLTAGE, WARNING, BIT(2, 0)},
	{NULL, HIGH_CELL_VOLTAGE, ALARM, BIT(2, 1)},
	{NULL, LOW_CELL_VOLTAGE, WARNING, BIT(2, 2)},
	{NULL, LOW_CELL_VOLTAGE, ALARM, BIT(2, 3)},
	{NULL, HIGH_VOLTAGE, WARNING, BIT(2, 4)},
	{NULL, HIGH_VOLTAGE, ALARM, BIT(2, 5)},
	{NULL, LOW_VOLTAGE, WARNING, BIT(2, 6)},
	{NULL, LOW_VOLTAGE, ALARM, BIT(2, 7)},
	{NULL, HIGH_CHARGE_TEMPERATURE, WARNING, BIT(3, 0)},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, BIT(3, 1)},
	{NULL, LOW_CHARGE_TEMPERATURE, WARNING, BIT(3, 2)},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, BIT(3, 3)},
	{NULL, HIGH_TEMPERATURE, WARNING, BIT(3, 4)},
	{NULL, HIGH_TEMPERATURE, ALARM, BIT(3, 5)},
	{NULL, LOW_TEMPERATURE, WARNING, BIT(3, 6)},
	{NULL, LOW_TEMPERATURE, ALARM, BIT(3, 7)},
	{"ambient_high_temperature", NO_ALARM, WARNING, BIT(4, 0)},
	{"ambient_high_temperature", NO_ALARM, ALARM, BIT(4, 1)},
	{"ambient_low_temperature", NO_ALARM, WARNING, BIT(4, 2)},
	{"ambient_low_temperature", NO_ALARM, ALARM, BIT(4, 3)},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, BIT(4, 4)}, /* the protection before the warning */
	{NULL, HIGH_INTERNAL_TEMPERATURE, WARNING, BIT(4, 5)},
	{NULL, FUSE_BLOWN, ALARM, BIT(4, 7)},
	{NULL, HIGH_CHARGE_CURRENT, WARNING, BIT(5, 0)},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, BIT(5, 1)},
	{NULL, HIGH_DISCHARGE_CURRENT, WARNING, BIT(5, 2)},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, BIT(5, 3)},
	{NULL, SHORT_CIRCUIT, ALARM, BIT(5, 5)},
	{"discharge_locked", NO_ALARM, ALARM, BIT(5, 7)},
	{NULL, LOW_SOC, WARNING, BIT(6, 2)},
	{NULL, LOW_SOC, ALARM, BIT(6, 3)},
	{"output_reverse_polarity", NO_ALARM, ALARM, BIT(6, 5)},
	{"output_connection_fault", NO_ALARM, ALARM, BIT(6, 6)},
	{"eeprom_fault", NO_ALARM, ALARM, BIT(8, 0)},
	{"clock_fault", NO_ALARM, WARNING, BIT(8, 1)},
	{"calibration_missing", NO_ALARM, WARNING, BIT(8, 2)},
};

/* ---- the parameter block: sheet 8 ---- */

static void set_word(struct seplos_board *board, unsigned index, double v)
{
	put_u16be(board->block + WORDS_AT + 2 * index, v < 0 ? (uint16_t)fit_s16(v) : fit_u16(v));
}

static unsigned word(const struct seplos_board *board, unsigned index)
{
	return u16be_at((struct bytes){board->block, BLOCK}, WORDS_AT + 2 * (size_t)index);
}

static double kelvin(double C)
{
	return 10 * C + 2731;
}

/* A warning and its release, a protection and its release, at indices i..i+3; step: what lies between. */
static void set_four(struct seplos_board *board, unsigned i, double protection, double release, double step)
{
	set_word(board, i, protection - step);
	set_word(board, i + 1, protection - 2 * step);
	set_word(board, i + 4, protection);
	set_word(board, i + 5, release);
}

static void set_temperatures(struct seplos_board *board, const struct battery_settings *s)
{
	set_four(board, 0x14, kelvin(s->charge_ot), kelvin(s->charge_ot_release), 30);
	set_four(board, 0x16, kelvin(s->charge_ut), kelvin(s->charge_ut_release), -20);
	set_four(board, 0x1c, kelvin(s->discharge_ot), kelvin(s->discharge_ot_release), 30);
	set_four(board, 0x1e, kelvin(s->discharge_ut), kelvin(s->discharge_ut_release), -20);
	set_word(board, 0x24, kelvin(0));
	set_word(board, 0x25, kelvin(10));
	set_four(board, 0x26, kelvin(65), kelvin(55), 50);
	set_four(board, 0x28, kelvin(-20), kelvin(0), -50);
	set_word(board, 0x2e, kelvin(s->mos_ot - 10));
	set_word(board, 0x2f, kelvin(s->mos_ot - 15));
	set_word(board, 0x30, kelvin(s->mos_ot));
	set_word(board, 0x31, kelvin(s->mos_ot_release));
}

static void set_currents(struct seplos_board *board, const struct battery_settings *s)
{
	set_word(board, 0x32, 100 * (s->charge_oc - 10));
	set_word(board, 0x33, 100 * (s->charge_oc - 12));
	set_word(board, 0x34, -100 * (s->discharge_oc - 10));
	set_word(board, 0x35, -100 * (s->discharge_oc - 12));
	set_word(board, 0x36, 100 * s->charge_oc);
	set_word(board, 0x37, -100 * s->discharge_oc);
	set_word(board, 0x38, -100 * (s->discharge_oc + 50));
	set_word(board, 0x39, 2000);
}

static void seplos_start(struct device *d)
{
	static const uint8_t bytes[BYTES] = {50, 30, 30, 20, 10, 0, 15, 10, 30,	 60, 5, 0,  5, 80,
					     5,	 3,  60, 48, 15, 5, 96, 80, 100, 9,  0, 13, 0};
	static const uint8_t masks[MASKS] = {0xff, 0xff, 0xff, 0x3f, 0xbf, 0x97, 0x8f, 0x0f};
	struct seplos_board *board = d->board;
	const struct battery_settings *s = &d->battery.settings;

	board->block[1] = WORDS;
	set_four(board, 0x00, 1000 * s->cell_ov, 1000 * s->cell_ov_release, 150);
	set_four(board, 0x02, 1000 * s->cell_uv, 1000 * s->cell_uv_release, -200);
	set_word(board, 0x08, 1000 * s->balance_start);
	set_word(board, 0x09, 1500);
	set_four(board, 0x0a, 100 * s->pack_ov, 100 * s->pack_ov_release, 150);
	set_four(board, 0x0c, 100 * s->pack_uv, 100 * s->pack_uv_release, -150);
	set_word(board, 0x12, 100 * s->pack_ov);
	set_word(board, 0x13, 100 * s->pack_ov_release);
	set_temperatures(board, s);
	set_currents(board, s);
	set_word(board, 0x3a, 100 * s->design_Ah);
	set_word(board, PRESET, 50 * s->design_Ah);
	board->block[122] = BYTES;
	memcpy(board->block + BYTES_AT, bytes, BYTES);
	board->block[BYTES_AT + 5] = (uint8_t)d->battery.start.cells;
	board->block[150] = MASKS;
	memcpy(board->block + MASKS_AT, masks, MASKS);
	if (!s->balance_switch)
		board->block[MASKS_AT + 6] &= 0xfc;
	memset(board->block + MODEL_AT, ' ', BLOCK - MODEL_AT);
	memcpy(board->block + MODEL_AT, "1101-SP76", 9);
}

/* What was written takes effect where it means something to the battery. */
static void apply_block(struct device *d)
{
	const struct seplos_board *board = d->board;
	struct battery_settings *s = &d->battery.settings;

	s->cell_ov = word(board, 0x04) / 1000.0;
	s->cell_ov_release = word(board, 0x05) / 1000.0;
	s->cell_uv = word(board, 0x06) / 1000.0;
	s->cell_uv_release = word(board, 0x07) / 1000.0;
	s->balance_start = word(board, 0x08) / 1000.0;
	s->pack_ov = word(board, 0x0e) / 100.0;
	s->pack_uv = word(board, 0x10) / 100.0;
	s->charge_oc = (int16_t)word(board, 0x36) / 100.0;
	s->discharge_oc = -(int16_t)word(board, 0x37) / 100.0;
	s->design_Ah = word(board, 0x3a) / 100.0;
	s->balance_switch = board->block[MASKS_AT + 6] & 3;
	battery_apply_settings(&d->battery);
	if (options(d->scenario)->jump)
		battery_set_remaining(&d->battery, word(board, PRESET) / 100.0);
}

/* ---- replies: sheet 5 ---- */

static void add_temperatures(struct frame *f, const struct battery_sample *m)
{
	frame_add_u8(f, SENSORS);
	for (unsigned i = 0; i < SENSORS - 2; i++)
		frame_add_u16be(f, (unsigned)(m->sensor_dC[i] + 2731));
	frame_add_u16be(f, (unsigned)(m->ambient_dC + 2731));
	frame_add_u16be(f, (unsigned)(m->mos_dC + 2731));
}

static void telemetry(const struct device *d, uint8_t group, struct frame *f)
{
	static const uint16_t reserved[] = {0x0028, 0x0000, 0x0b83, 0x0b1c};
	const struct seplos_options *o = options(d->scenario);
	bool live = d->battery.charge_mos || d->battery.discharge_mos;
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	frame_add_u8(f, 0);
	frame_add_u8(f, group);
	frame_add_u8(f, m.cells);
	for (unsigned i = 0; i < m.cells; i++)
		frame_add_u16be(f, m.cell_mV[i]);
	add_temperatures(f, &m);
	frame_add_u16be(f, (uint16_t)fit_s16(m.current_mA / 10.0));
	frame_add_u16be(f, fit_u16(m.pack_mV / 10.0));
	frame_add_u16be(f, fit_u16(m.remaining_mAh / 10.0));
	frame_add_u8(f, o->boqiang ? 2 : 10);
	frame_add_u16be(f, fit_u16(m.full_mAh / 10.0));
	if (o->boqiang) {
		frame_add_u16be(f, m.cycles);
		return;
	}
	frame_add_u16be(f, m.soc_permille);
	frame_add_u16be(f, fit_u16(m.design_mAh / 10.0));
	frame_add_u16be(f, m.cycles);
	frame_add_u16be(f, fit_u16(10 * d->battery.start.soh_pct));
	frame_add_u16be(f, live ? fit_u16(m.pack_mV / 10.0) : 0);
	for (unsigned i = 0; i < 4; i++)
		frame_add_u16be(f, o->reserved ? reserved[i] : 0);
}

static unsigned system_state(const struct device *d, const struct battery_sample *m)
{
	if (m->current_mA < -100)
		return 0x01;
	if (m->current_mA > 100)
		return 0x02;
	return d->battery.phase == RESTING_FULL ? 0x08 : 0x10;
}

static void add_cell_codes(const struct device *d, const struct battery_sample *m, struct frame *f)
{
	frame_add_u8(f, m->cells);
	for (unsigned i = 0; i < m->cells; i++)
		frame_add_u8(f, m->cell_mV[i] > word(d->board, 0x00)   ? 2
				: m->cell_mV[i] < word(d->board, 0x02) ? 1
								       : 0);
}

static void signals(const struct device *d, uint8_t group, struct frame *f)
{
	uint64_t events = device_alarm_bits(d);
	struct battery_sample m;
	unsigned balancing = 0;

	battery_measure(&d->battery, &m);
	for (unsigned i = 0; i < m.cells; i++)
		balancing |= (unsigned)m.balancing[i] << i;
	if (d->battery.heater_on)
		events |= (uint64_t)1 << BIT(4, 6);
	frame_add_u8(f, 0);
	frame_add_u8(f, group);
	add_cell_codes(d, &m, f);
	frame_add_u8(f, SENSORS);
	for (unsigned i = 0; i < SENSORS + 2; i++) /* and those of current and voltage */
		frame_add_u8(f, 0);
	frame_add_u8(f, 20);
	for (unsigned i = 0; i < 6; i++)
		frame_add_u8(f, events >> 8 * i & 0xff);
	frame_add_u8(f, (unsigned)d->battery.discharge_mos | (unsigned)d->battery.charge_mos << 1 |
				(unsigned)d->battery.heater_on << 3);
	frame_add_u8(f, balancing & 0xff);
	frame_add_u8(f, balancing >> 8);
	frame_add_u8(f, system_state(d, &m));
	frame_add_u16be(f, 0); /* no wire is broken */
	frame_add_u8(f, events >> 48 & 0xff);
	frame_add_u8(f, events >> 56);
	for (unsigned i = 0; i < 5; i++)
		frame_add_u8(f, 0);
	frame_add_u8(f, system_state(d, &m));
}

static void add_padded(struct frame *f, const char *text, size_t size)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < size; i++)
		frame_add_u8(f, i < n ? (uint8_t)text[i] : ' ');
}

static void vendor(const struct device *d, struct frame *f)
{
	bool boqiang = options(d->scenario)->boqiang;

	add_padded(f, device_text(d->scenario->model, boqiang ? "BMS07-LD43" : "1101-SP76"), 10);
	frame_add_u8(f, boqiang ? 1 : 2);
	frame_add_u8(f, boqiang ? 8 : 7);
	add_padded(f, boqiang ? "JS-Richpower Co.,Ltd" : "CANProtocol:Sofar", 20);
}

static void clock_now(const struct device *d, struct frame *f)
{
	unsigned minutes = (unsigned)(d->battery.time_s / 60) % (24 * 60);

	frame_add_u16be(f, 2024);
	frame_add_u8(f, 6);
	frame_add_u8(f, 1);
	frame_add_u8(f, minutes / 60);
	frame_add_u8(f, minutes % 60);
	frame_add_u8(f, (unsigned)d->battery.time_s % 60);
}

/* ---- requests ---- */

static enum rtn write_block(struct device *d, const struct ascii_request *r)
{
	struct seplos_board *board = d->board;

	d->writes++;
	if (options(d->scenario)->locked)
		return NO_PERMISSION;
	if (r->n != BLOCK || r->info[1] != WORDS || r->info[122] != BYTES || r->info[150] != MASKS)
		return WRONG_FORMAT;
	memcpy(board->block + 1, r->info + 1, BLOCK - 1);
	apply_block(d);
	return OK;
}

/* What goes into INFO; not OK: nothing. */
static enum rtn carry_out(struct device *d, const struct ascii_request *r, struct frame *info)
{
	const struct seplos_board *board = d->board;
	bool boqiang = options(d->scenario)->boqiang;
	bool grouped = r->cid2 == TELEMETRY || r->cid2 == SIGNALS;

	if (r->ver != (boqiang ? VER_BOQIANG : VER_SEPLOS))
		return WRONG_VERSION;
	if (r->cid1 != CID1)
		return WRONG_CLASS;
	if (grouped && r->n != 1)
		return WRONG_FORMAT;
	if (grouped && r->info[0] != d->hears && r->info[0] != GROUP_USUAL)
		return WRONG_DATA;
	if (d->registers && r->cid2 != SET_PARAMETERS) {
		struct bytes dump = registers_get(d->registers, r->cid2, d->address, 0);

		frame_add(info, dump.p, dump.n);
		return dump.p ? OK : UNKNOWN_COMMAND;
	}
	switch (r->cid2) {
	case TELEMETRY:
		telemetry(d, r->info[0], info);
		return OK;
	case SIGNALS:
		signals(d, r->info[0], info);
		return OK;
	case VERSION:
		return OK;
	case VENDOR:
		vendor(d, info);
		return OK;
	case PARAMETERS:
	case CLOCK:
	case SET_PARAMETERS:
		if (boqiang)
			return UNKNOWN_COMMAND;
		if (r->cid2 == SET_PARAMETERS)
			return write_block(d, r);
		if (r->cid2 == CLOCK)
			clock_now(d, info);
		else
			frame_add(info, board->block, BLOCK);
		return OK;
	default:
		return UNKNOWN_COMMAND;
	}
}

/* With `complain` also a frame whose checksum is wrong; seplos_answer() tells them apart. */
static int seplos_find_request(const struct scenario *s, struct bytes in)
{
	int n = ascii_find_request(s, in);
	const uint8_t *end = in.n > 17 && in.p[0] == '~' ? memchr(in.p, '\r', in.n) : NULL;

	return n < 0 && end && end - in.p >= 17 && options(s)->complain ? (int)(end - in.p) + 1 : n;
}

static void seplos_answer(struct device *d, struct bytes request, struct reply *out)
{
	const struct seplos_options *o = options(d->scenario);
	struct frame info = {.n = 0};
	struct ascii_request r;
	enum rtn rtn;

	ascii_open(request, &r);
	if (r.soi != '~' || r.adr != d->hears)
		return;
	rtn = ascii_find_request(d->scenario, request) == (int)request.n ? carry_out(d, &r, &info) : WRONG_SUM;
	if (rtn == WRONG_DATA && o->strict)
		return;
	if (r.cid2 == SET_PARAMETERS && rtn == OK)
		out->delay = 370 * MS;
	r.ver = o->boqiang ? VER_BOQIANG : VER_SEPLOS;
	r.cid1 = CID1;
	ascii_answer(reply_frame(out), &r, o->adr0 ? 0 : d->address, (uint8_t)rtn, frame_bytes(&info));
}

static void seplos_tell(const struct device *d, FILE *out)
{
	const struct seplos_board *board = d->board;

	fprintf(out, ",\"block\":\"");
	for (unsigned i = 0; i < BLOCK; i++)
		fprintf(out, "%02x", board->block[i]);
	fprintf(out, "\"");
}

const struct kind seplos_v2_kind = {
	.id = "seplos-v2",
	.alias = "seplos",
	.about = "Seplos V2, 1101 boards on RS485",
	.baud = 19200,
	.delay_min_ms = 50,
	.delay_max_ms = 80,
	.gap = 200 * MS,
	.max_cells = 16,
	.max_sensors = SENSORS - 2,
	.cells = 16,
	.sensors = SENSORS - 2,
	.sensors_fixed = true,
	.capacity = 280,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.address_min = 0,
	.address_max = 15,
	.address_first = 0,
	.alarms = seplos_alarms,
	.n_alarms = sizeof(seplos_alarms) / sizeof(seplos_alarms[0]),
	.keys = seplos_keys,
	.n_keys = sizeof(seplos_keys) / sizeof(seplos_keys[0]),
	.garbage_hex = "FF7E32",
	.board_size = sizeof(struct seplos_board),
	.start = seplos_start,
	.find_request = seplos_find_request,
	.answer = seplos_answer,
	.tell = seplos_tell,
};
