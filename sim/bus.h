/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A line with boards on it, as pure functions of bytes and time: requests come in, replies go out at the
 * pace of the line, with what may go wrong on the way. No I/O, no clock.
 */
#ifndef SIM_BUS_H
#define SIM_BUS_H

#include "sim/device.h"

enum { BUS_BOARDS = SCENARIO_PACKS + 1, BUS_HEARS = 1200 };

/* Something on its way to the host: each byte arrives at `began` + its time. */
struct transmission {
	struct transmission *next;
	usec start; /* not before */
	usec began; /* -1 = not yet */
	size_t n, sent;
	struct {
		usec at; /* after the beginning, when its last bit is through */
		uint8_t byte;
	} e[];
};

struct bus {
	struct scenario scenario;
	struct device board[BUS_BOARDS];
	unsigned boards;
	struct registers *registers;
	uint64_t random;
	uint8_t heard[BUS_HEARS]; /* what may become a request */
	size_t heard_n;
	usec heard_until;		    /* when its last byte was through */
	usec free_at;			    /* when the line is quiet again */
	struct transmission *first;	    /* the next ones come by time */
	unsigned requests, replies, frames; /* how many, for "every Nth" */
	unsigned writes_told;		    /* what bus_changed() has seen */
};

/* false: why says what is wrong (the registers file; no memory). The bus must stay where it is. */
bool bus_init(struct bus *bus, const struct scenario *s, uint64_t seed, double speed, usec now, char *why, size_t size);
void bus_free(struct bus *bus);

/* The host began to send these bytes now (or goes on, when earlier ones still need the line). */
void bus_receive(struct bus *bus, struct bytes in, usec now);
/* The host sent at another line speed: no board understands a thing. */
void bus_garbled(struct bus *bus, struct bytes in, usec now);
/* Lets a bus master speak that has something to say. */
void bus_run(struct bus *bus, usec now);
/* The bytes that have arrived at the host until now; 0 = none. */
size_t bus_take(struct bus *bus, usec now, uint8_t *out, size_t size);
/* When to call bus_run() and bus_take() again; INT64_MAX = when bytes came in. */
usec bus_next(const struct bus *bus);
/* When the line has taken so much of what the host sent that the rest fits the host's buffer; a time
 * that has passed: it takes more now. */
usec bus_takes_more(const struct bus *bus);
/* The host is gone: forgets what is on its way in both directions. */
void bus_hang_up(struct bus *bus, usec now);

/* Whether a board was written to since the last call. */
bool bus_changed(struct bus *bus);
/* One JSON line per board: what an installer can change. */
void bus_tell(struct bus *bus, usec now, const char *path, FILE *out);

#endif
