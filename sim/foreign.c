/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What hangs on serial ports and is no BMS: a GPS, a solar charger with VE.Direct, a modem, an energy meter, a
 * line that picks up noise. Detection must find nothing here.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "sim/device.h"
#include "sim/modbus.h"
#include "sim/random.h"

struct foreign_board {
	uint64_t random;
	unsigned turn;
};

static void foreign_start(struct device *d)
{
	struct foreign_board *board = d->board;

	board->random = random_stir(d->battery.start.seed);
}

/* Talks by itself: the board that does is the one beside the silent first. */
static bool talks(const struct scenario *s)
{
	(void)s;
	return true;
}

static int find_nothing(const struct scenario *s, struct bytes in)
{
	(void)s;
	return -(int)in.n;
}

static void answer_nothing(struct device *d, struct bytes request, struct reply *out)
{
	(void)d;
	(void)request;
	(void)out;
}

static void say(struct reply *out, const char *text)
{
	frame_add(reply_frame(out), text, strlen(text));
}

/* ---- NMEA 0183 ---- */

static void say_sentence(struct reply *out, const char *body)
{
	uint8_t sum = 0;
	char text[120];

	for (const char *c = body; *c; c++)
		sum ^= (uint8_t)*c;
	snprintf(text, sizeof(text), "$%s*%02X\r\n", body, sum);
	say(out, text);
}

static usec nmea_speak(struct device *d, struct reply *out)
{
	struct foreign_board *board = d->board;
	unsigned t = board->turn++;
	char body[100];

	snprintf(body, sizeof(body), "GPGGA,12%02u%02u.00,5231.2%03u,N,01324.1%03u,E,1,08,1.01,34.1,M,44.8,M,,",
		 t / 60 % 60, t % 60, t % 1000, t * 7 % 1000);
	say_sentence(out, body);
	snprintf(body, sizeof(body), "GPRMC,12%02u%02u.00,A,5231.2%03u,N,01324.1%03u,E,0.0%u,77.5,241126,,,A",
		 t / 60 % 60, t % 60, t % 1000, t * 7 % 1000, t % 10);
	say_sentence(out, body);
	say_sentence(out, "GPGSV,3,1,11,03,03,111,00,04,15,270,00,06,01,010,00,13,06,292,00");
	return d->now + SECOND;
}

/* ---- VE.Direct text ---- */

static usec vedirect_speak(struct device *d, struct reply *out)
{
	struct foreign_board *board = d->board;
	unsigned t = board->turn++;
	uint8_t sum = 0;
	char text[300];
	int n = snprintf(text, sizeof(text),
			 "\r\nPID\t0xA053\r\nFW\t161\r\nSER#\tHQ2132ABCDE\r\nV\t%u\r\nI\t%u\r\nVPV\t%u\r\nPPV\t%u\r\n"
			 "CS\t3\r\nMPPT\t2\r\nERR\t0\r\nLOAD\tON\r\nH19\t4031\r\nH20\t52\r\nHSDS\t87\r\nChecksum\t",
			 52830 + t % 40, 4100 + t % 90, 94120 + t % 200, 216 + t % 5);

	for (int i = 0; i < n; i++)
		sum = (uint8_t)(sum + (uint8_t)text[i]);
	struct frame *f = reply_frame(out);
	frame_add(f, text, (size_t)n);
	frame_add_u8(f, (uint8_t)(0x100 - sum));
	return d->now + SECOND;
}

/* ---- a modem: returns every character, answers every line ---- */

static int modem_find(const struct scenario *s, struct bytes in)
{
	(void)s;
	return in.n ? 1 : 0;
}

static void modem_answer(struct device *d, struct bytes request, struct reply *out)
{
	(void)d;
	out->delay = 0;
	frame_add(reply_frame(out), request.p, request.n);
	if (u8_at(request, 0) == '\r' || u8_at(request, 0) == '\n')
		say(out, "\r\nERROR\r\n");
}

/* ---- an energy meter: every register it is asked for is 0 ---- */

static void meter_answer(struct device *d, struct bytes request, struct reply *out)
{
	static const uint8_t zeros[250];
	struct rtu_request r;

	if (u8_at(request, 0) != d->hears || !rtu_open(request, &r))
		return;
	if (r.function == RTU_READ_HOLDING || r.function == RTU_READ_INPUT) {
		if (!r.count || r.count > 125)
			rtu_refuse(reply_frame(out), &r, RTU_BAD_VALUE);
		else
			rtu_answer(reply_frame(out), &r, (struct bytes){zeros, 2u * r.count});
	} else if (r.function == RTU_WRITE_REGISTER || r.function == RTU_WRITE_REGISTERS) {
		d->writes++;
		rtu_acknowledge(reply_frame(out), &r);
	} else {
		rtu_refuse(reply_frame(out), &r, RTU_BAD_FUNCTION);
	}
}

/* ---- noise ---- */

static usec noise_speak(struct device *d, struct reply *out)
{
	struct foreign_board *board = d->board;
	struct frame *f = reply_frame(out);
	int64_t n = random_between(&board->random, 1, 60);

	while (n--)
		frame_add_u8(f, (uint8_t)random_between(&board->random, 0, 255));
	return d->now + random_between(&board->random, 5 * MS, 200 * MS);
}

/* ---- kinds ---- */

#define FOREIGN                                                                                                        \
	.delay_min_ms = 5, .delay_max_ms = 20, .gap = 4 * MS, .max_cells = 1, .max_sensors = 1, .cells = 1,            \
	.sensors = 1, .capacity = 1, .garbage_hex = "FF", .board_size = sizeof(struct foreign_board),                  \
	.start = foreign_start

const struct kind nmea_kind = {
	.id = "nmea",
	.alias = "gps",
	.about = "no BMS: a GPS receiver, NMEA 0183",
	.baud = 9600,
	.mastered = talks,
	.speak = nmea_speak,
	.find_request = find_nothing,
	.answer = answer_nothing,
	FOREIGN,
};

const struct kind vedirect_kind = {
	.id = "ve-direct",
	.alias = "vedirect",
	.about = "no BMS: a solar charger, VE.Direct text",
	.baud = 19200,
	.mastered = talks,
	.speak = vedirect_speak,
	.find_request = find_nothing,
	.answer = answer_nothing,
	FOREIGN,
};

const struct kind modem_kind = {
	.id = "modem",
	.alias = "modem",
	.about = "no BMS: a modem that returns what it gets",
	.baud = 9600,
	.find_request = modem_find,
	.answer = modem_answer,
	FOREIGN,
};

const struct kind meter_kind = {
	.id = "modbus-meter",
	.alias = "meter",
	.about = "no BMS: an energy meter, Modbus, all registers 0",
	.baud = 9600,
	.addressed = true,
	.address_min = 0,
	.address_max = 247,
	.address_first = 1,
	.find_request = rtu_find_request,
	.answer = meter_answer,
	FOREIGN,
};

const struct kind noise_kind = {
	.id = "noise",
	.alias = "noise",
	.about = "no BMS: random bytes",
	.baud = 9600,
	.mastered = talks,
	.speak = noise_speak,
	.find_request = find_nothing,
	.answer = answer_nothing,
	FOREIGN,
};
