/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A JK "PB" inverter board on RS485: trigger frames and Modbus, sheet jk-pb; also as bus master. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "protocols/checksum.h"
#include "sim/device.h"
#include "sim/modbus.h"
#include "sim/random.h"

enum function { READ_HOLDING = 0x03, WRITE_MULTIPLE = 0x10, REFUSED = 0x80 };
enum exception { BAD_FUNCTION = 1, BAD_ADDRESS = 2, BAD_VALUE = 3 };
enum frame_type { SETTINGS = 1, STATUS = 2, ABOUT = 3 };
enum base { SETTINGS_BASE = 0x1000, STATUS_BASE = 0x1200, ABOUT_BASE = 0x1400, COMMAND_BASE = 0x1600 };
enum trigger { TRIGGER_ABOUT = 0x161c, TRIGGER_SETTINGS = 0x161e, TRIGGER_STATUS = 0x1620 };
enum { IMAGE = 300, PAYLOAD = 6, SUM_AT = 299, WORDS_MAX = 123, SLOTS = 31, STATES = 80 };
enum { CYCLE_US = 4400000, COLD_US = 3000000 };
enum stage { BULK, ABSORPTION, FLOATING };

/* A 300-byte frame; width tells Modbus how long the number at an offset is. */
struct image {
	uint8_t p[IMAGE];
	uint8_t width[IMAGE];
};

enum pb_pad { PAD_NONE, PAD_BEFORE, PAD_AFTER, PAD_BOTH };

struct jk_pb_options {
	int pad;
	uint32_t stray;
	int32_t byte5;
	bool noabout, cold03, master, refuse, ackonly;
};

_Static_assert(sizeof(struct jk_pb_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct jk_pb_options, member)

static const struct key jk_pb_keys[] = {
	{"pad", KEY_WORD, AT(pad), 0, 0, "", "none", "none|before|after|both", "00 bytes around the acknowledgement",
	 0},
	{"stray", KEY_INTEGER, AT(stray), 0, 11, "bytes", "0", NULL, "of the request in front of the reply", 0},
	{"byte5", KEY_BYTE, AT(byte5), 0, 255, "HEX", NULL, NULL, "byte 5 of frames", 0},
	{"noabout", KEY_FLAG, AT(noabout), 0, 0, "", "off", NULL, "trigger 1C is not answered", 0},
	{"ackonly", KEY_FLAG, AT(ackonly), 0, 0, "", "off", NULL, "triggers are acknowledged without a frame", 0},
	{"cold03", KEY_FLAG, AT(cold03), 0, 0, "", "off", NULL, "function 03 needs a function 10 within the last 3 s",
	 0},
	{"master", KEY_FLAG, AT(master), 0, 0, "", "off", NULL, "one more board, at address 0, is the bus master", 0},
	{"refuse", KEY_FLAG, AT(refuse), 0, 0, "", "off", NULL, "settings can't be written", 0},
};

static const struct jk_pb_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

static bool mastered(const struct scenario *s)
{
	return options(s)->master;
}

struct jk_pb_board {
	int32_t state[STATES]; /* settings that mean nothing to the battery, by word of the settings frame */
	uint16_t control_bits;
	int8_t heat_start, heat_stop;
	uint8_t sleep_h;
	bool measured;
	uint8_t last_highest, last_lowest; /* these lag by one measurement */
	uint16_t last_spread;
	enum stage stage;
	double stage_since; /* battery time */
	usec function10;    /* the last one on the bus */
	unsigned slot;	    /* of the master's cycle */
};

/* The u32 at 166. */
static const struct alarm_bit jk_pb_alarms[] = {
	{"wire_resistance", NO_ALARM, WARNING, 0},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, 1},
	{"cell_count_mismatch", NO_ALARM, ALARM, 2},
	{"current_sensor_fault", NO_ALARM, ALARM, 3},
	{NULL, HIGH_CELL_VOLTAGE, ALARM, 4},
	{NULL, HIGH_VOLTAGE, ALARM, 5},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, 6},
	{"charge_short_circuit", NO_ALARM, ALARM, 7},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, 8},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, 9},
	{"coprocessor_comm_fault", NO_ALARM, ALARM, 10},
	{NULL, LOW_CELL_VOLTAGE, ALARM, 11},
	{NULL, LOW_VOLTAGE, ALARM, 12},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, 13},
	{NULL, SHORT_CIRCUIT, ALARM, 14},
	{NULL, HIGH_TEMPERATURE, ALARM, 15},
	{"charge_mos_fault", NO_ALARM, ALARM, 16},
	{"discharge_mos_fault", NO_ALARM, ALARM, 17},
	{"gps_disconnected", NO_ALARM, WARNING, 18},
	{"change_password_notice", NO_ALARM, WARNING, 19},
	{"discharge_on_failed", NO_ALARM, WARNING, 20},
	{NULL, HIGH_TEMPERATURE, WARNING, 21},
	{"temp_sensor_fault", NO_ALARM, WARNING, 22},
	{"pcl_module_fault", NO_ALARM, WARNING, 23},
	{"scp_release_failed", NO_ALARM, ALARM, 24},
	{"discharge_overcurrent_2", NO_ALARM, ALARM, 25},
	{"discharge_overcurrent_3", NO_ALARM, ALARM, 26},
	{NULL, LOW_TEMPERATURE, ALARM, 27},
	{"gps_remote_lock", NO_ALARM, WARNING, 28},
};

/* ---- settings: sheet 8 ---- */

enum { STATE_ONLY = 0xffff };

struct setting {
	uint16_t offset;
	uint16_t member; /* of the battery's settings, or STATE_ONLY */
	double factor;	 /* wire units in one SI unit */
	int32_t min, max;
	int32_t usual; /* STATE_ONLY */
};

#define OF(member) (uint16_t) offsetof(struct battery_settings, member)

static const struct setting settings[] = {
	{6, STATE_ONLY, 0, 1200, 4400, 3300},
	{10, OF(cell_uv), 1000, 1200, 4350, 0},
	{14, OF(cell_uv_release), 1000, 1200, 4350, 0},
	{18, OF(cell_ov), 1000, 1200, 4350, 0},
	{22, OF(cell_ov_release), 1000, 1200, 4350, 0},
	{26, OF(balance_window), 1000, 3, 1000, 0},
	{30, OF(cell_full), 1000, 1200, 4400, 0},
	{34, OF(cell_empty), 1000, 1200, 4400, 0},
	{38, STATE_ONLY, 0, 1200, 4400, 3500},
	{42, STATE_ONLY, 0, 1200, 4400, 3350},
	{46, STATE_ONLY, 0, 1200, 4350, 2450},
	{50, OF(charge_oc), 1000, 1000, 600000, 0},
	{54, STATE_ONLY, 0, 2, 600, 3},
	{58, STATE_ONLY, 0, 2, 600, 60},
	{62, OF(discharge_oc), 1000, 1000, 1200000, 0},
	{66, STATE_ONLY, 0, 2, 600, 300},
	{70, STATE_ONLY, 0, 2, 600, 60},
	{74, STATE_ONLY, 0, 2, 600, 5},
	{78, OF(balance_current), 1000, 300, 15000, 0},
	{82, OF(charge_ot), 10, 300, 800, 0},
	{86, OF(charge_ot_release), 10, 300, 800, 0},
	{90, OF(discharge_ot), 10, 300, 800, 0},
	{94, OF(discharge_ot_release), 10, 300, 800, 0},
	{98, OF(charge_ut), 10, -450, 200, 0},
	{102, OF(charge_ut_release), 10, -450, 200, 0},
	{106, OF(mos_ot), 10, 500, 1100, 0},
	{110, OF(mos_ot_release), 10, 500, 1100, 0},
	{114, STATE_ONLY, 0, 2, 32, 0},
	{118, STATE_ONLY, 0, 0, 1, 0},
	{122, STATE_ONLY, 0, 0, 1, 0},
	{126, STATE_ONLY, 0, 0, 1, 0},
	{130, OF(design_Ah), 1000, 2000, 20000000, 0},
	{134, STATE_ONLY, 0, 0, 1000000, 1000},
	{138, OF(balance_start), 1000, 1200, 4250, 0},
	{274, STATE_ONLY, 0, 0, 600, 5},
};

enum { SETTINGS_COUNT = sizeof(settings) / sizeof(settings[0]) };
enum { AT_RCV = 38, AT_CELLS = 114, AT_CHARGE = 118, AT_DISCHARGE = 122, AT_BALANCE = 126 };

static const struct setting *setting_at(size_t offset)
{
	for (unsigned i = 0; i < SETTINGS_COUNT; i++)
		if (settings[i].offset == offset)
			return &settings[i];
	return NULL;
}

static int32_t *state_of(struct jk_pb_board *board, size_t offset)
{
	return &board->state[(offset - PAYLOAD) / 4];
}

static int32_t state_at(const struct device *d, size_t offset)
{
	const struct jk_pb_board *board = d->board;

	return board->state[(offset - PAYLOAD) / 4];
}

static int32_t setting_value(const struct device *d, const struct setting *s)
{
	double v;

	switch (s->offset) {
	case AT_CHARGE:
		return device_charge_wanted(d);
	case AT_DISCHARGE:
		return device_discharge_wanted(d);
	case AT_BALANCE:
		return d->battery.settings.balance_switch;
	}
	if (s->member == STATE_ONLY)
		return state_at(d, s->offset);
	memcpy(&v, (const char *)&d->battery.settings + s->member, sizeof(v));
	return (int32_t)lround(v * s->factor);
}

static void jk_pb_start(struct device *d)
{
	struct jk_pb_board *board = d->board;

	for (unsigned i = 0; i < SETTINGS_COUNT; i++)
		if (settings[i].member == STATE_ONLY)
			*state_of(board, settings[i].offset) = settings[i].usual;
	if (d->battery.start.chemistry == NMC) {
		*state_of(board, 6) = 3700;
		*state_of(board, 38) = 4100;
		*state_of(board, 42) = 4000;
		*state_of(board, 46) = 2700;
	}
	*state_of(board, AT_CELLS) = (int32_t)d->battery.start.cells;
	d->battery.settings.balance_window = 0.005;
	board->control_bits = 1u << 3 | 1u << 9 | (d->scenario->heater ? 1u : 0);
	board->heat_start = 0;
	board->heat_stop = 10;
	board->sleep_h = 24;
	board->function10 = d->now - COLD_US;
	if (!d->address) /* the bus master asks, it is not asked */
		d->hears = 0xff;
}

/* ---- frames: sheet 5 ---- */

static void put(struct image *img, size_t offset, uint8_t width, uint32_t v)
{
	for (uint8_t i = 0; i < width; i++)
		img->p[offset + i] = (uint8_t)(v >> 8 * i);
	img->width[offset] = width;
}

static void put_text(struct image *img, size_t offset, size_t size, const char *text)
{
	memcpy(img->p + offset, text, strnlen(text, size));
}

static void image_start(const struct device *d, struct image *img, enum frame_type type)
{
	static const uint8_t head[] = {0x55, 0xaa, 0xeb, 0x90};

	memset(img, 0, sizeof(*img));
	memcpy(img->p, head, sizeof(head));
	img->p[4] = (uint8_t)type;
	img->p[5] = (uint8_t)options(d->scenario)->byte5;
}

/* Bulk until a cell reaches RCV, then an hour of absorption, then float until the SoC is below 95 %. */
static void update_stage(struct device *d, const struct battery_sample *m)
{
	struct jk_pb_board *board = d->board;
	double now = d->battery.time_s;
	enum stage next = board->stage;

	if (board->stage == BULK && m->cell_mV[m->highest] >= state_at(d, AT_RCV))
		next = ABSORPTION;
	else if (board->stage == ABSORPTION && now - board->stage_since >= 3600)
		next = FLOATING;
	else if (board->stage != BULK && m->soc_permille < 950)
		next = BULK;
	if (next != board->stage)
		board->stage_since = now;
	board->stage = next;
}

static const char *model_of(const struct device *d)
{
	return device_text(d->scenario->model, "JK_PB2A16S20P");
}

static void put_cells(struct device *d, struct image *img, const struct battery_sample *m)
{
	struct jk_pb_board *board = d->board;
	unsigned spread = (unsigned)(m->cell_mV[m->highest] - m->cell_mV[m->lowest]);
	uint32_t present = m->cells >= 32 ? 0xffffffff : (1u << m->cells) - 1;

	if (!board->measured) {
		board->last_highest = (uint8_t)m->highest;
		board->last_lowest = (uint8_t)m->lowest;
		board->last_spread = (uint16_t)spread;
		board->measured = true;
	}
	for (unsigned i = 0; i < 32; i++) {
		put(img, 6 + 2 * i, 2, i < m->cells ? m->cell_mV[i] : 0);
		put(img, 80 + 2 * i, 2,
		    i < m->cells ? 60 + (unsigned)(random_stir(d->battery.start.seed + i) % 12) : 0);
	}
	put(img, 70, 4, present);
	put(img, 74, 2, (m->pack_mV + m->cells / 2) / m->cells);
	put(img, 76, 2, board->last_spread);
	put(img, 78, 1, board->last_highest);
	put(img, 79, 1, board->last_lowest);
	board->last_highest = (uint8_t)m->highest;
	board->last_lowest = (uint8_t)m->lowest;
	board->last_spread = (uint16_t)spread;
}

static uint32_t alarm_bits(const struct device *d)
{
	bool mismatch = state_at(d, AT_CELLS) != (int32_t)d->battery.start.cells;

	return (uint32_t)device_alarm_bits(d) | (mismatch ? 1u << 2 : 0);
}

static void put_flow(const struct device *d, struct image *img, const struct battery_sample *m)
{
	put(img, 144, 2, (uint16_t)m->mos_dC);
	put(img, 146, 4, 0);
	put(img, 150, 4, m->pack_mV);
	put(img, 154, 4, (uint32_t)lround(fabs((double)m->pack_mV * m->current_mA) / 1000));
	put(img, 158, 4, (uint32_t)m->current_mA);
	put(img, 162, 2, (uint16_t)m->sensor_dC[0]);
	put(img, 164, 2, (uint16_t)m->sensor_dC[1]);
	put(img, 166, 4, alarm_bits(d));
	put(img, 170, 2, (uint16_t)-m->balance_mA);
	put(img, 172, 1, m->balance_mA > 0 ? 1 : m->balance_mA < 0 ? 2 : 0);
	put(img, 173, 1, (uint32_t)lround(m->soc_permille / 10.0));
	put(img, 174, 4, m->remaining_mAh);
	put(img, 178, 4, m->full_mAh);
	put(img, 182, 4, m->cycles);
	put(img, 186, 4, (uint32_t)llround(d->battery.discharged_Ah * 1000));
	put(img, 190, 1, (uint32_t)lround(d->scenario->soh));
	put(img, 191, 1, 0);
	put(img, 192, 2, 0);
	put(img, 194, 4, m->uptime_s);
	put(img, 198, 1, d->battery.charge_mos);
	put(img, 199, 1, d->battery.discharge_mos);
}

static void put_rest_of_status(const struct device *d, struct image *img, const struct battery_sample *m)
{
	const struct jk_pb_board *board = d->board;
	bool pb = strstr(model_of(d), "PB");

	for (size_t offset = 200; offset < 214; offset += 2) /* user alarm 2, countdowns */
		put(img, offset, 2, 0);
	put(img, 214, 1, 0xff);
	put(img, 215, 1, d->battery.heater_on);
	for (size_t offset = 218; offset < 226; offset += 2)
		put(img, offset, 2, 0);
	put(img, 226, 4, 0x3f800000); /* 1.0 */
	put(img, 230, 2, 0);
	put(img, 232, 2, 0);
	put(img, 234, 2, (m->pack_mV + 5) / 10);
	put(img, 236, 2, d->battery.heater_on ? 4200 : 0);
	put(img, 241, 1, 1);
	put(img, 245, 1, m->current_mA > 0);
	put(img, 246, 4, m->uptime_s * 10);
	put(img, 250, 4, 0);
	put(img, 254, 2, (uint16_t)m->mos_dC);
	put(img, 256, 2, pb ? (uint16_t)m->sensor_dC[2] : 0);
	put(img, 258, 2, pb ? (uint16_t)m->sensor_dC[3] : 0);
	put(img, 260, 2, 0);
	put(img, 262, 4, 110000000 + m->uptime_s);
	put(img, 266, 4, 12);
	put(img, 270, 4, 86400);
	put(img, 275, 1, d->battery.start.chemistry == NMC);
	put(img, 278, 2, fit_u16(d->battery.time_s - board->stage_since));
	put(img, 280, 1, board->stage);
}

static void status_image(struct device *d, struct image *img)
{
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	update_stage(d, &m);
	put_cells(d, img, &m);
	put_flow(d, img, &m);
	put_rest_of_status(d, img, &m);
}

static void settings_image(const struct device *d, struct image *img)
{
	const struct jk_pb_board *board = d->board;

	for (unsigned i = 0; i < SETTINGS_COUNT; i++)
		put(img, settings[i].offset, 4, (uint32_t)setting_value(d, &settings[i]));
	for (size_t offset = 142; offset < 270; offset += 4)
		put(img, offset, 4, 0);
	put(img, 270, 4, d->address);
	put(img, 278, 4, 200000);
	put(img, 282, 2, board->control_bits);
	put(img, 284, 1, (uint8_t)board->heat_start);
	put(img, 285, 1, (uint8_t)board->heat_stop);
	put(img, 286, 1, board->sleep_h);
	put(img, 287, 1, 0xfe);
	for (size_t offset = 288; offset < 292; offset++)
		put(img, offset, 1, 0xff);
	put(img, 296, 1, (uint8_t)lround(d->battery.settings.discharge_ut));
	put(img, 297, 1, (uint8_t)lround(d->battery.settings.discharge_ut_release));
}

static void about_image(const struct device *d, struct image *img)
{
	char serial[17];

	snprintf(serial, sizeof(serial), "4090449%04u", (unsigned)(5590 + d->address) % 10000);
	put_text(img, 6, 16, model_of(d));
	put_text(img, 22, 8, "15A");
	put_text(img, 30, 8, "15.41");
	put(img, 38, 4, (uint32_t)d->battery.time_s / 600 * 600);
	put(img, 42, 4, 39);
	put_text(img, 46, 16, device_text(d->scenario->serial, serial));
	put_text(img, 62, 16, "1234");
	put_text(img, 78, 8, "241217");
	put_text(img, 86, 16, device_text(d->scenario->serial, serial));
	put_text(img, 102, 16, "JK-BMS");
	put_text(img, 118, 16, "123456");
	put_text(img, 134, 16, "JK-BMS");
	put(img, 182, 2, 0);
	put(img, 184, 1, 1);
	put(img, 185, 1, 0);
	put(img, 186, 4, 0x67ff);
	put(img, 202, 4, 0x0fff);
	put(img, 218, 1, 1);
	put(img, 219, 4, 0x67ff);
	put(img, 234, 1, 0);
	put(img, 235, 1, 0);
	put(img, 236, 1, 9);
	put(img, 237, 1, 8);
	for (size_t offset = 238; offset < 262; offset += 4)
		put(img, offset, 4, 0);
	put(img, 262, 4, 3600);
	put(img, 266, 1, 10);
	put(img, 267, 1, 240);
	put(img, 268, 1, 10);
	put(img, 269, 1, 30);
	put(img, 298, 1, 0xfe);
}

/* The dump's frame, or its payload, instead of what the board would say itself. */
static bool image_of_dump(const struct device *d, struct image *img, enum frame_type type)
{
	static const uint8_t head[] = {0x55, 0xaa, 0xeb, 0x90};
	struct bytes dump = registers_get(d->registers, (uint16_t)type, d->address, 0);
	bool whole = bytes_equal(bytes_sub(dump, 0, 4), (struct bytes){head, 4});

	if (!dump.p)
		return false;
	memset(img->p + PAYLOAD, 0, IMAGE - PAYLOAD);
	dump = bytes_sub(dump, 0, whole ? IMAGE : IMAGE - PAYLOAD);
	memcpy(img->p + (whole ? 0 : PAYLOAD), dump.p, dump.n);
	return true;
}

/* false: the board has no such frame. */
static bool make_image(struct device *d, struct image *img, enum frame_type type)
{
	image_start(d, img, type);
	if (type == STATUS)
		status_image(d, img);
	else if (type == SETTINGS)
		settings_image(d, img);
	else
		about_image(d, img);
	if (d->registers && !image_of_dump(d, img, type))
		return false;
	img->p[SUM_AT] = sum8((struct bytes){img->p, SUM_AT});
	return true;
}

/* ---- requests: sheet 3 ---- */

static void send_exception(const struct device *d, struct reply *out, uint8_t function, enum exception why)
{
	struct frame *f = reply_frame(out);

	frame_add_u8(f, d->address);
	frame_add_u8(f, function | REFUSED);
	frame_add_u8(f, why);
	rtu_end(f);
}

static void acknowledgement(const struct device *d, uint16_t reg, uint16_t words, struct frame *f)
{
	f->n = 0;
	frame_add_u8(f, d->address);
	frame_add_u8(f, WRITE_MULTIPLE);
	frame_add_u16be(f, reg);
	frame_add_u16be(f, words);
	rtu_end(f);
}

/* Numbers lie big-endian in Modbus, little-endian in a frame. */
static void to_big_endian(const struct image *img, uint8_t *out)
{
	for (size_t i = 0; i < IMAGE;) {
		size_t width = img->width[i] > 1 ? img->width[i] : 1;

		for (size_t j = 0; j < width && i + j < IMAGE; j++)
			out[i + j] = img->p[i + width - 1 - j];
		i += width;
	}
}

static bool frame_type_of(uint16_t reg, enum frame_type *type, size_t *offset)
{
	static const struct {
		uint16_t base;
		enum frame_type type;
	} areas[] = {{SETTINGS_BASE, SETTINGS}, {STATUS_BASE, STATUS}, {ABOUT_BASE, ABOUT}};

	for (unsigned i = 0; i < 3; i++) {
		if (reg < areas[i].base || reg >= areas[i].base + IMAGE - PAYLOAD)
			continue;
		*type = areas[i].type;
		*offset = (size_t)(reg - areas[i].base) + PAYLOAD;
		return true;
	}
	return false;
}

static void answer_read(struct device *d, struct bytes request, struct reply *out)
{
	uint16_t reg = u16be_at(request, 2), words = u16be_at(request, 4);
	const struct jk_pb_board *board = d->board;
	uint8_t big[IMAGE];
	enum frame_type type;
	struct image img;
	size_t offset;

	if (options(d->scenario)->cold03 && d->now - board->function10 > COLD_US)
		return;
	if (!words || words > WORDS_MAX) {
		send_exception(d, out, READ_HOLDING, BAD_VALUE);
		return;
	}
	if (reg % 2 || !frame_type_of(reg, &type, &offset) || offset + 2u * words > IMAGE ||
	    !make_image(d, &img, type)) {
		send_exception(d, out, READ_HOLDING, BAD_ADDRESS);
		return;
	}
	to_big_endian(&img, big);
	struct frame *f = reply_frame(out);
	frame_add_u8(f, d->address);
	frame_add_u8(f, READ_HOLDING);
	frame_add_u8(f, 2u * words);
	frame_add(f, big + offset, 2u * words);
	rtu_end(f);
}

/* Some adapters return the end of the request in front of the reply. */
static void add_stray(const struct device *d, struct bytes request, struct frame *f)
{
	size_t n = options(d->scenario)->stray, from = n <= 7 ? 4 : request.n - n;

	if (n) {
		struct bytes stray = bytes_sub(request, from, n);

		frame_add(f, stray.p, stray.n);
	}
}

static void trigger(struct device *d, uint16_t reg, struct bytes request, struct reply *out)
{
	enum frame_type type = reg == TRIGGER_STATUS ? STATUS : reg == TRIGGER_SETTINGS ? SETTINGS : ABOUT;
	int pad = options(d->scenario)->pad;
	struct frame ack;
	struct image img;

	if ((type == ABOUT && options(d->scenario)->noabout) || !make_image(d, &img, type))
		return;
	struct frame *f = reply_frame(out);
	add_stray(d, request, f);
	size_t begin = f->n;
	if (!options(d->scenario)->ackonly)
		frame_add(f, img.p, IMAGE);
	if (pad == PAD_BEFORE || pad == PAD_BOTH)
		frame_add_u8(f, 0);
	acknowledgement(d, reg, 1, &ack);
	size_t ack_at = f->n;
	frame_add(f, ack.p, ack.n);
	if (pad == PAD_AFTER || pad == PAD_BOTH)
		frame_add_u8(f, 0);
	f->sum_at = (uint16_t)(options(d->scenario)->ackonly ? ack_at + ack.sum_at : begin + SUM_AT);
}

/* ---- writes: sheet 7 ---- */

static bool cell_voltages_in_order(const struct battery_settings *s)
{
	return s->cell_uv < s->cell_uv_release && s->cell_uv_release < s->cell_ov_release &&
	       s->cell_ov_release < s->cell_ov;
}

static bool write_setting(struct device *d, const struct setting *s, int32_t v)
{
	struct battery_settings *b = &d->battery.settings, before = *b;
	double si = s->member == STATE_ONLY ? 0 : v / s->factor;

	if (v < s->min || v > s->max)
		return false;
	if (s->offset == AT_CHARGE)
		device_switch(d, v, device_discharge_wanted(d), 500 * MS);
	else if (s->offset == AT_DISCHARGE)
		device_switch(d, device_charge_wanted(d), v, 500 * MS);
	else if (s->offset == AT_BALANCE)
		b->balance_switch = v;
	else if (s->member == STATE_ONLY)
		*state_of(d->board, s->offset) = v;
	else
		memcpy((char *)b + s->member, &si, sizeof(si));
	if (!cell_voltages_in_order(b)) {
		*b = before;
		return false;
	}
	battery_apply_settings(&d->battery);
	return true;
}

/* The rows that are narrower than 32 bits. */
static bool write_word(struct device *d, size_t offset, uint16_t v)
{
	struct jk_pb_board *board = d->board;

	if (offset == 282) {
		board->control_bits = v;
	} else if (offset == 284) {
		board->heat_start = (int8_t)(v >> 8);
		board->heat_stop = (int8_t)(v & 0xff);
	} else {
		return false;
	}
	return true;
}

static bool write_settings(struct device *d, size_t offset, struct bytes data)
{
	if (data.n == 2)
		return write_word(d, offset, u16be_at(data, 0));
	for (size_t i = 0; i < data.n; i += 4) {
		const struct setting *s = setting_at(offset + i);

		if (!s || !bytes_has(data, i, 4) || !write_setting(d, s, (int32_t)u32be_at(data, i)))
			return false;
	}
	return true;
}

static void answer_write(struct device *d, struct bytes request, struct reply *out)
{
	uint16_t reg = u16be_at(request, 2), words = u16be_at(request, 4);
	struct bytes data = bytes_sub(request, 7, u8_at(request, 6));
	enum frame_type type;
	size_t offset;

	if (data.n != 2u * words || !words) {
		send_exception(d, out, WRITE_MULTIPLE, BAD_VALUE);
		return;
	}
	if (words == 1 && (reg == TRIGGER_STATUS || reg == TRIGGER_SETTINGS || reg == TRIGGER_ABOUT)) {
		trigger(d, reg, request, out);
		return;
	}
	d->writes++;
	bool command = reg >= COMMAND_BASE && reg < COMMAND_BASE + 0x100;
	bool known = frame_type_of(reg, &type, &offset) && type == SETTINGS;
	if (!options(d->scenario)->refuse && !command && !known)
		send_exception(d, out, WRITE_MULTIPLE, BAD_ADDRESS);
	else if (options(d->scenario)->refuse || (known && !write_settings(d, offset, data)))
		send_exception(d, out, WRITE_MULTIPLE, BAD_VALUE);
	else
		acknowledgement(d, reg, words, reply_frame(out));
}

static void jk_pb_answer(struct device *d, struct bytes request, struct reply *out)
{
	struct jk_pb_board *board = d->board;
	uint8_t function = u8_at(request, 1);

	if (!device_asleep(d) && u8_at(request, 0) == d->hears) {
		if (function == READ_HOLDING)
			answer_read(d, request, out);
		else if (function == WRITE_MULTIPLE)
			answer_write(d, request, out);
		else
			send_exception(d, out, function, BAD_FUNCTION);
	}
	if (function == WRITE_MULTIPLE)
		board->function10 = d->now;
}

/* ---- the bus master: sheet 9 ---- */

static void send_own(struct device *d, struct reply *out)
{
	static const enum frame_type types[] = {STATUS, SETTINGS};
	struct image img;

	for (unsigned i = 0; i < 2; i++) {
		if (!make_image(d, &img, types[i]))
			continue;
		struct frame *f = reply_frame(out);

		frame_add(f, img.p, IMAGE);
		f->sum_at = SUM_AT;
	}
}

static usec jk_pb_speak(struct device *d, struct reply *out)
{
	struct jk_pb_board *board = d->board;
	unsigned slot = board->slot;

	board->slot = (slot + 1) % SLOTS;
	if (!slot) {
		send_own(d, out);
	} else {
		struct frame *f = reply_frame(out);

		frame_add_u8(f, (slot + 1) / 2);
		frame_add_u8(f, WRITE_MULTIPLE);
		frame_add_u16be(f, slot % 2 ? TRIGGER_STATUS : TRIGGER_SETTINGS);
		frame_add_u16be(f, 1);
		frame_add_u8(f, 2);
		frame_add_u16be(f, 0);
		rtu_end(f);
		out->heard = true;
	}
	return d->now + CYCLE_US / SLOTS;
}

static void jk_pb_tell(const struct device *d, FILE *out)
{
	const struct jk_pb_board *board = d->board;

	fprintf(out, ",\"control_bits\":%u,\"heat_C\":[%d,%d],\"settings\":{", board->control_bits, board->heat_start,
		board->heat_stop);
	for (unsigned i = 0; i < SETTINGS_COUNT; i++)
		fprintf(out, "%s\"%04x\":%d", i ? "," : "", SETTINGS_BASE + settings[i].offset - PAYLOAD,
			(int)setting_value(d, &settings[i]));
	fprintf(out, "}");
}

const struct kind jk_pb_kind = {
	.id = "jk-pb",
	.alias = "jk-pb",
	.about = "JK PB inverter boards, RS485 Modbus and trigger frames",
	.baud = 115200,
	.delay_min_ms = 35,
	.delay_max_ms = 50,
	.gap = 4 * MS,
	.max_cells = 32,
	.max_sensors = 4,
	.cells = 16,
	.sensors = 4,
	.capacity = 314,
	.balancer = BALANCER_MOVES,
	.sensors_fixed = true,
	.addressed = true,
	.mastered = mastered,
	.address_min = 1,
	.address_max = 15,
	.address_first = 1,
	.alarms = jk_pb_alarms,
	.n_alarms = sizeof(jk_pb_alarms) / sizeof(jk_pb_alarms[0]),
	.keys = jk_pb_keys,
	.n_keys = sizeof(jk_pb_keys) / sizeof(jk_pb_keys[0]),
	.garbage_hex = "55A03F",
	.board_size = sizeof(struct jk_pb_board),
	.start = jk_pb_start,
	.find_request = rtu_find_request,
	.answer = jk_pb_answer,
	.speak = jk_pb_speak,
	.tell = jk_pb_tell,
};
