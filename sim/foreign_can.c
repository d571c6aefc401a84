/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is on CAN buses and none of our batteries: a battery that tells an inverter of itself in the Pylontech way, an
 * inverter, the engine and instruments of a boat. Detection must find nothing here, and disturb nobody.
 */
#include "config.h"

#include <string.h>

#include "model/can.h"
#include "sim/device.h"

struct foreign_board {
	unsigned beat;
};

static void put(struct reply *out, uint32_t id, const void *data, uint8_t n)
{
	struct can_message m = {.id = id, .n = n};
	uint8_t b[CAN_BYTES];

	memcpy(m.data, data, n);
	can_write(&m, b);
	frame_add(reply_frame(out), b, sizeof(b));
}

static void foreign_start(struct device *d)
{
	(void)d;
}

static int find_nothing(const struct scenario *s, struct bytes in)
{
	(void)s;
	return in.n < CAN_BYTES ? 0 : -CAN_BYTES;
}

static void answer_nothing(struct device *d, struct bytes request, struct reply *out)
{
	(void)d;
	(void)request;
	(void)out;
}

/* ---- limits, SoC, voltage, alarms, requests, maker: without extremes, and with 359 ---- */

static usec pylontech_speak(struct device *d, struct reply *out)
{
	static const uint8_t alarms[7] = {0, 0, 0, 0, 1, 0x50, 0x4e};
	struct battery_sample s;
	uint8_t b[8] = {0};

	battery_measure(&d->battery, &s);
	put_u16le(b, 532);
	put_u16le(b + 2, 740);
	put_u16le(b + 4, 740);
	put_u16le(b + 6, 445);
	put(out, 0x351, b, 8);
	put_u16le(b, (uint16_t)(s.soc_permille / 10));
	put_u16le(b + 2, 100);
	put(out, 0x355, b, 4);
	put_u16le(b, (uint16_t)(s.pack_mV / 10));
	put_u16le(b + 2, (uint16_t)fit_s16(s.current_mA / 100.0));
	put_u16le(b + 4, (uint16_t)s.sensor_dC[0]);
	put(out, 0x356, b, 6);
	put(out, 0x359, alarms, 7);
	put(out, 0x35c, "\xc0\x00", 2);
	put(out, 0x35e, "PYLON   ", 8);
	return d->now + SECOND;
}

/* ---- an inverter: its life sign, and who it is ---- */

static usec inverter_speak(struct device *d, struct reply *out)
{
	static const uint8_t alive[8] = {0};

	put(out, 0x305, alive, 8);
	put(out, 0x307, "\x12\x34\x56\x78VIC\0", 8);
	return d->now + SECOND;
}

/* ---- J1939 and NMEA 2000 ---- */

static usec nmea2000_speak(struct device *d, struct reply *out)
{
	struct foreign_board *board = d->board;
	unsigned beat = board->beat++;
	uint8_t b[8] = {(uint8_t)beat, 0x7d, 0x7d, (uint8_t)(beat * 3), 0x1c, 0xff, 0xff, 0xff};

	put(out, CAN_EXTENDED | 0x0cf00400, b, 8); /* engine speed */
	put(out, CAN_EXTENDED | 0x09f11202, b, 8); /* heading */
	if (beat % 10 == 0) {
		put(out, 0x305, "\0\0\0\0\0\0\0", 8);				  /* a gateway, to an inverter */
		put(out, CAN_EXTENDED | 0x18feee00, b, 8);				  /* engine temperature */
		put(out, CAN_EXTENDED | 0x19f21400, "\0\x35\x05\xf6\xff\x80\x72\xff", 8); /* battery status */
		put(out, CAN_EXTENDED | 0x18eeff00, "\x2e\x1a\x67\x2d\0\x82\x32\xc0", 8); /* address claim */
		put(out, CAN_EXTENDED | 0x18ea0000, "\0\xee\0", 3);			  /* request */
		put(out, CAN_EXTENDED | 0x1defff02, b, 8);				  /* proprietary */
		put(out, CAN_EXTENDED | 0x19fffd42, "\1\x77\x06\1\0\x94\x35\x77", 8);	  /* of RV-C, by a gateway */
	}
	return d->now + 100 * MS;
}

#define FOREIGN(name_, about_, speak_, baud_)                                                                          \
	{                                                                                                              \
		.id = name_, .alias = name_, .about = about_, .can = true, .streams = true, .baud = baud_,             \
		.max_cells = 16, .max_sensors = 1, .cells = 15, .sensors = 1, .sensors_fixed = true, .capacity = 100,  \
		.garbage_hex = "", .board_size = sizeof(struct foreign_board), .start = foreign_start,                 \
		.find_request = find_nothing, .answer = answer_nothing, .speak = speak_,                               \
	}

const struct kind pylontech_can_kind =
	FOREIGN("pylontech-can", "no BMS of ours: a battery tells an inverter of itself", pylontech_speak, 500000);
const struct kind inverter_can_kind = FOREIGN("inverter-can", "no BMS: an inverter", inverter_speak, 500000);
const struct kind nmea2000_can_kind =
	FOREIGN("nmea2000-can", "no BMS: engine and instruments of a boat", nmea2000_speak, 250000);
