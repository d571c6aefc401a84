/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A Daly Smart BMS on UART or RS485: 13-byte frames A5, sheet daly-uart. */
#include "protocols/checksum.h"
#include "sim/daly_board.h"

enum { FRAME = 13, HOST_FIRST_BOARD = 0x40, HOST_BLUETOOTH = 0x80 };
enum { ALL_CELL_FRAMES = 16, ALL_SENSOR_FRAMES = 3, USUAL_SENSOR_FRAMES = 2 };

struct daly_options {
	bool frames16, host80, inverted, noack, gathered;
};

_Static_assert(sizeof(struct daly_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct daly_options, member)

static const struct key daly_keys[] = {
	{"frames16", KEY_FLAG, AT(frames16), 0, 0, "", "off", NULL, "cells always come in 16 frames", 0},
	{"host80", KEY_FLAG, AT(host80), 0, 0, "", "on", NULL, "board 1 also answers host address 80", 0},
	{"inverted", KEY_FLAG, AT(inverted), 0, 0, "", "off", NULL, "the current has the other sign", 0},
	{"noack", KEY_FLAG, AT(noack), 0, 0, "", "off", NULL, "a SoC write is done, but not answered", 0},
	{"gathered", KEY_FLAG, AT(gathered), 0, 0, "", "off", NULL, "the second voltage of command 90 is filled", 0},
};

static const struct daly_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

/* ---- framing: sheet 3 ---- */

static int daly_find_request(const struct scenario *s, struct bytes in)
{
	(void)s;
	if (u8_at(in, 0) != 0xa5)
		return -1;
	if (!bytes_has(in, 0, FRAME))
		return 0;
	return u8_at(in, 3) == DALY_DATA && sum8(bytes_sub(in, 0, FRAME - 1)) == u8_at(in, FRAME - 1) ? FRAME : -1;
}

static void daly_send(struct device *d, struct reply *out, uint8_t command, const uint8_t data[DALY_DATA])
{
	struct frame *f = reply_frame(out);

	frame_add_u8(f, 0xa5);
	frame_add_u8(f, d->address);
	frame_add_u8(f, command);
	frame_add_u8(f, DALY_DATA);
	frame_add(f, data, DALY_DATA);
	f->sum_at = f->n;
	frame_add_u8(f, sum8(frame_bytes(f)));
}

static void daly_answer(struct device *d, struct bytes request, struct reply *out)
{
	uint8_t host = u8_at(request, 1), command = u8_at(request, 2);
	const struct daly_options *o = options(d->scenario);
	bool bluetooth = host == HOST_BLUETOOTH && o->host80 && d->hears == 1;
	struct daly_manner manner = {
		.inverted = o->inverted,
		.gathered = o->gathered,
		.leftovers = true,
		.least_cell_frames = bluetooth || o->frames16 ? ALL_CELL_FRAMES : 1,
		.least_sensor_frames = bluetooth ? ALL_SENSOR_FRAMES : USUAL_SENSOR_FRAMES,
		.send = daly_send,
	};

	if (!bluetooth && host != HOST_FIRST_BOARD - 1 + d->hears)
		return;
	daly_board_answer(d, command, bytes_sub(request, 4, DALY_DATA), &manner, out);
	if (command == DALY_SET_SOC && o->noack)
		out->n = 0;
}

const struct kind daly_kind = {
	.id = "daly-uart",
	.alias = "daly",
	.about = "Daly Smart BMS, frames A5",
	.baud = 9600,
	.delay_min_ms = 50,
	.delay_max_ms = 80,
	.gap = 50 * MS,
	.max_cells = 48,
	.max_sensors = 16,
	.cells = 16,
	.sensors = 2,
	.capacity = 230,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.address_min = 1,
	.address_max = 16,
	.address_first = 1,
	.alarms = daly_alarms,
	.n_alarms = DALY_ALARM_COUNT,
	.keys = daly_keys,
	.n_keys = sizeof(daly_keys) / sizeof(daly_keys[0]),
	.loops_back_asleep = true,
	.garbage_hex = "FF",
	.board_size = sizeof(struct daly_board),
	.start = daly_board_start,
	.find_request = daly_find_request,
	.answer = daly_answer,
	.tell = daly_board_tell,
};
