/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A JK "B" board on its GPS port: frames 4E 57, sheet jk-uart. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "protocols/checksum.h"
#include "sim/device.h"

enum command { ACTIVATE = 1, WRITE = 2, READ = 3, PASSWORD = 5, READ_ALL = 6 };
enum source { FROM_BMS = 0, FROM_PC = 3 };
enum transport { REQUEST = 0, REPLY = 1, UNASKED = 2 };
enum tags { TAG_CHARGE = 0xab, TAG_DISCHARGE = 0xac, TAG_RESTART = 0xbb };

enum { OVERHEAD = 18, LENGTH_MIN = 0x12, LENGTH_MAX = 0x400, HEAD = 11 };

struct jk_uart_options {
	uint32_t protocol, boot;
	bool needpassword, variant;
};

_Static_assert(sizeof(struct jk_uart_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct jk_uart_options, member)

static const struct key jk_uart_keys[] = {
	{"protocol", KEY_INTEGER, AT(protocol), 0, 1, "", "1", NULL, "0 = old boards: list ends at B7, other current",
	 0},
	{"needpassword", KEY_FLAG, AT(needpassword), 0, 0, "", "on", NULL, "a write only works behind a password frame",
	 0},
	{"variant", KEY_FLAG, AT(variant), 0, 0, "", "on", NULL, "writes of source 3, transport 2 need no password", 0},
	{"boot", KEY_INTEGER, AT(boot), 0, 3600, "s", "0", NULL, "after the start, SoC and cycles read 0 so long", 0},
};

static const struct jk_uart_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

struct jk_uart_board {
	bool password_seen; /* since the last write */
	usec booted;
};

/* Tag 8B. */
static const struct alarm_bit jk_uart_alarms[] = {
	{NULL, LOW_SOC, WARNING, 0},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, 1},
	{NULL, HIGH_VOLTAGE, ALARM, 2},
	{NULL, LOW_VOLTAGE, ALARM, 3},
	{NULL, HIGH_TEMPERATURE, ALARM, 4},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, 4},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, 5},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, 6},
	{NULL, CELL_IMBALANCE, ALARM, 7},
	{NULL, LOW_TEMPERATURE, ALARM, 9},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, 9},
	{NULL, HIGH_CELL_VOLTAGE, ALARM, 10},
	{NULL, LOW_CELL_VOLTAGE, ALARM, 11},
	{NULL, INTERNAL_FAILURE, ALARM, 12},
};

static void jk_uart_start(struct device *d)
{
	struct jk_uart_board *board = d->board;

	board->booted = d->now;
}

/* ---- framing: sheet 3 ---- */

static int jk_uart_find_request(const struct scenario *s, struct bytes in)
{
	size_t length = u16be_at(in, 2), n = length + 2;

	(void)s;
	if (u8_at(in, 0) != 0x4e || (bytes_has(in, 1, 1) && u8_at(in, 1) != 0x57))
		return -1;
	if (!bytes_has(in, 2, 2))
		return 0;
	if (length < LENGTH_MIN || length > LENGTH_MAX)
		return -1;
	if (!bytes_has(in, 0, n))
		return 0;
	if (u8_at(in, n - 5) != 0x68 || sum16(bytes_sub(in, 0, n - 4)) != u16be_at(in, n - 2))
		return -1;
	return (int)n;
}

static void send_reply(struct reply *out, uint8_t command, const struct frame *body)
{
	struct frame *f = reply_frame(out);

	frame_add(f, "NW", 2);
	frame_add_u16be(f, OVERHEAD + body->n);
	frame_add_u32be(f, 0);
	frame_add_u8(f, command);
	frame_add_u8(f, FROM_BMS);
	frame_add_u8(f, REPLY);
	frame_add(f, body->p, body->n);
	frame_add_u32be(f, 0);
	frame_add_u8(f, 0x68);
	frame_add_u16be(f, 0);
	f->sum_at = (uint16_t)(f->n + 1);
	frame_add_u16be(f, sum16(frame_bytes(f)));
}

/* ---- the list of tags: sheet 5 ---- */

/* The list as it is put together: all of it, or one tag alone. */
struct list {
	struct frame *body;
	uint8_t only; /* 0 = all */
};

/* false: this tag is not wanted. */
static bool add_tag(struct list *l, uint8_t tag)
{
	if (l->only && l->only != tag)
		return false;
	frame_add_u8(l->body, tag);
	return true;
}

static void add_u8(struct list *l, uint8_t tag, unsigned v)
{
	if (add_tag(l, tag))
		frame_add_u8(l->body, v);
}

static void add_u16(struct list *l, uint8_t tag, unsigned v)
{
	if (add_tag(l, tag))
		frame_add_u16be(l->body, v);
}

static void add_u32(struct list *l, uint8_t tag, uint32_t v)
{
	if (add_tag(l, tag))
		frame_add_u32be(l->body, v);
}

/* size bytes of text; what is missing is filled with fill. */
static void add_text(struct list *l, uint8_t tag, const char *text, size_t size, char fill)
{
	size_t n = strnlen(text, size);

	if (!add_tag(l, tag))
		return;
	frame_add(l->body, text, n);
	for (; n < size; n++)
		frame_add(l->body, &fill, 1);
}

static void add_cells(struct list *l, const struct battery_sample *m)
{
	if (!add_tag(l, 0x79))
		return;
	frame_add_u8(l->body, 3 * m->cells);
	for (unsigned i = 0; i < m->cells; i++) {
		frame_add_u8(l->body, i + 1);
		frame_add_u16be(l->body, m->cell_mV[i]);
	}
}

/* Below zero: 100 + the degrees. */
static uint16_t temperature(int16_t dC)
{
	long C = lround(dC / 10.0);

	return (uint16_t)(C < 0 ? 100 - C : C > 100 ? 100 : C);
}

static uint16_t current(const struct device *d, int32_t mA)
{
	double cA = mA / 10.0;

	if (!options(d->scenario)->protocol)
		return fit_u16(10000 - cA);
	return (uint16_t)((uint16_t)lround(fmin(fabs(cA), 0x7fff)) | (cA > 0 ? 0x8000 : 0));
}

static bool booting(const struct device *d)
{
	const struct jk_uart_board *board = d->board;

	return d->now - board->booted < (usec)options(d->scenario)->boot * SECOND;
}

static void add_live(const struct device *d, struct list *l)
{
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	add_cells(l, &m);
	add_u16(l, 0x80, temperature(m.mos_dC));
	add_u16(l, 0x81, temperature(m.sensor_dC[0]));
	add_u16(l, 0x82, temperature(m.sensor_dC[1]));
	add_u16(l, 0x83, fit_u16(m.pack_mV / 10.0));
	add_u16(l, 0x84, current(d, m.current_mA));
	add_u8(l, 0x85, booting(d) ? 0 : (unsigned)lround(m.soc_permille / 10.0));
	add_u8(l, 0x86, 2);
	add_u16(l, 0x87, booting(d) ? 0 : m.cycles);
	add_u32(l, 0x89, m.discharged_Ah);
	add_u16(l, 0x8a, m.cells);
	add_u16(l, 0x8b, (unsigned)device_alarm_bits(d));
	add_u16(l, 0x8c,
		(d->battery.charge_mos ? 1u : 0) | (d->battery.discharge_mos ? 2u : 0) | (m.balancing_any ? 4u : 0));
}

static void add_settings(const struct device *d, struct list *l)
{
	const struct battery_settings *s = &d->battery.settings;
	unsigned cells = d->battery.start.cells;

	add_u16(l, 0x8e, fit_u16(100 * s->cell_ov * cells));
	add_u16(l, 0x8f, fit_u16(100 * s->cell_uv * cells));
	add_u16(l, 0x90, fit_u16(1000 * s->cell_ov));
	add_u16(l, 0x91, fit_u16(1000 * s->cell_ov_release));
	add_u16(l, 0x92, 5);
	add_u16(l, 0x93, fit_u16(1000 * s->cell_uv));
	add_u16(l, 0x94, fit_u16(1000 * s->cell_uv_release));
	add_u16(l, 0x95, 5);
	add_u16(l, 0x96, fit_u16(1000 * s->cell_difference));
	add_u16(l, 0x97, fit_u16(s->discharge_oc));
	add_u16(l, 0x98, fit_u16(s->oc_delay));
	add_u16(l, 0x99, fit_u16(s->charge_oc));
	add_u16(l, 0x9a, fit_u16(s->oc_delay));
	add_u16(l, 0x9b, fit_u16(1000 * s->balance_start));
	add_u16(l, 0x9c, fit_u16(1000 * s->balance_window));
	add_u8(l, 0x9d, s->balance_switch);
	add_u16(l, 0x9e, fit_u16(s->mos_ot));
	add_u16(l, 0x9f, fit_u16(s->mos_ot_release));
	add_u16(l, 0xa0, 100);
	add_u16(l, 0xa1, 100);
	add_u16(l, 0xa2, 20);
	add_u16(l, 0xa3, fit_u16(s->charge_ot));
	add_u16(l, 0xa4, fit_u16(s->discharge_ot));
	add_u16(l, 0xa5, (uint16_t)fit_s16(s->charge_ut));
	add_u16(l, 0xa6, (uint16_t)fit_s16(s->charge_ut_release));
	add_u16(l, 0xa7, (uint16_t)fit_s16(s->discharge_ut));
	add_u16(l, 0xa8, (uint16_t)fit_s16(s->discharge_ut_release));
	add_u8(l, 0xa9, cells);
	add_u32(l, 0xaa, (uint32_t)lround(s->design_Ah));
	add_u8(l, TAG_CHARGE, device_charge_wanted(d));
	add_u8(l, TAG_DISCHARGE, device_discharge_wanted(d));
	add_u16(l, 0xad, 1000);
	add_u8(l, 0xae, 1);
	add_u8(l, 0xaf, d->battery.start.chemistry == NMC);
	add_u16(l, 0xb0, 10);
	add_u8(l, 0xb1, fit_u16(s->low_soc + 10) & 0xff);
}

static void add_identity(const struct device *d, struct list *l)
{
	char user[25];

	add_text(l, 0xb2, "123456", 10, 0);
	add_u8(l, 0xb3, 0);
	add_text(l, 0xb4, device_text(d->scenario->serial, "Input Userda"), 8, 0);
	add_text(l, 0xb5, "2306", 4, 0);
	add_u32(l, 0xb6, (uint32_t)(d->battery.time_s / 60));
	add_text(l, 0xb7, options(d->scenario)->protocol ? "11.XW_S11.26___" : "NW_1_0_0_200428", 15, '_');
	if (!options(d->scenario)->protocol)
		return;
	add_u8(l, 0xb8, 0);
	add_u32(l, 0xb9, (uint32_t)lround(d->battery.full_Ah));
	snprintf(user, sizeof(user), "%-12.12s%-12.12s", device_text(d->scenario->serial, "Input Userda"),
		 device_text(d->scenario->model, "JK_B2A20S20P"));
	add_text(l, 0xba, user, 24, 0);
	add_u8(l, 0xc0, 1);
}

static void add_dump(const struct device *d, struct list *l)
{
	struct bytes value;
	uint16_t tag;

	for (unsigned i = 0; registers_at(d->registers, i, d->address, &tag, &value); i++) {
		if (add_tag(l, (uint8_t)tag))
			frame_add(l->body, value.p, value.n);
	}
}

static void add_all(const struct device *d, struct list *l)
{
	if (d->registers) {
		add_dump(d, l);
		return;
	}
	add_live(d, l);
	add_settings(d, l);
	add_identity(d, l);
}

static void answer_read(struct device *d, uint8_t command, uint8_t tag, struct reply *out)
{
	struct frame body = {.n = 0};
	struct list l = {&body, tag};

	add_all(d, &l);
	if (body.n)
		send_reply(out, command, &body);
}

/* ---- writing: sheet 7 ---- */

static void write_tag(struct device *d, uint8_t tag, uint8_t value)
{
	struct jk_uart_board *board = d->board;

	if (tag == TAG_CHARGE && value <= 1)
		device_switch(d, value, device_discharge_wanted(d), 300 * MS);
	else if (tag == TAG_DISCHARGE && value <= 1)
		device_switch(d, device_charge_wanted(d), value, 300 * MS);
	else if (tag == TAG_RESTART && value == 1) {
		d->deaf_until = d->now + 3 * SECOND;
		board->booted = d->deaf_until;
	}
	/* Anything else is acknowledged and has no effect, the balancing switch 9D with it. */
}

static void answer_write(struct device *d, struct bytes request, struct bytes data, struct reply *out)
{
	struct jk_uart_board *board = d->board;
	bool variant = u8_at(request, 9) == FROM_PC && u8_at(request, 10) == UNASKED && options(d->scenario)->variant;
	struct frame body = {.n = 0};

	if (!data.n)
		return;
	d->writes++;
	if (data.n == 2 && (board->password_seen || variant || !options(d->scenario)->needpassword))
		write_tag(d, data.p[0], data.p[1]);
	board->password_seen = false;
	frame_add(&body, data.p, 1);
	send_reply(out, WRITE, &body);
}

static void jk_uart_answer(struct device *d, struct bytes request, struct reply *out)
{
	struct jk_uart_board *board = d->board;
	struct bytes data = bytes_sub(request, HEAD, request.n - 2 - OVERHEAD);
	struct frame body = {.n = 0};

	if (device_asleep(d) || u8_at(request, 10) == REPLY)
		return;
	if (d->foreign) { /* an answer to a write that nobody has asked for */
		frame_add_u8(&body, TAG_CHARGE);
		send_reply(out, WRITE, &body);
		return;
	}
	switch (u8_at(request, 8)) {
	case READ_ALL:
		if (data.n == 1 && !data.p[0])
			answer_read(d, READ_ALL, 0, out);
		return;
	case READ:
		if (data.n == 1)
			answer_read(d, READ, data.p[0], out);
		return;
	case WRITE:
		answer_write(d, request, data, out);
		return;
	case PASSWORD:
		board->password_seen = true;
		return;
	default: /* ACTIVATE: awake already */
		return;
	}
}

static void jk_uart_tell(const struct device *d, FILE *out)
{
	(void)d;
	(void)out;
}

const struct kind jk_uart_kind = {
	.id = "jk-uart",
	.alias = "jk",
	.about = "JK boards, serial protocol 4E 57",
	.baud = 115200,
	.delay_min_ms = 3,
	.delay_max_ms = 5,
	.gap = 50 * MS,
	.max_cells = 32,
	.max_sensors = 2,
	.cells = 16,
	.sensors = 2,
	.capacity = 280,
	.balancer = BALANCER_MOVES,
	.sensors_fixed = true,
	.alarms = jk_uart_alarms,
	.n_alarms = sizeof(jk_uart_alarms) / sizeof(jk_uart_alarms[0]),
	.keys = jk_uart_keys,
	.n_keys = sizeof(jk_uart_keys) / sizeof(jk_uart_keys[0]),
	/* It holds a start "NW" with a length that would swallow the reply. */
	.garbage_hex = "00FF4E5700FA0000A55A13372BC04E8E4E57FFFF0168000011223344554E",
	.board_size = sizeof(struct jk_uart_board),
	.start = jk_uart_start,
	.find_request = jk_uart_find_request,
	.answer = jk_uart_answer,
	.tell = jk_uart_tell,
};
