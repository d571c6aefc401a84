/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Finds out which protocol is spoken on a line. Sans-I/O: the port feeds bytes and time and carries
 * out send and set_line.
 *
 * A quick sweep asks every protocol at its usual address, most common first, grouped by line speed,
 * with short windows; patient sweeps try the other addresses and wait as long as the sheets say.
 * Every frame is offered to every protocol of the line: a late answer to an earlier question still
 * counts. A protocol is declared after a checked frame and a second, plausible answer. Only reads are
 * sent; the one exception (probe.only_when_silent) goes out only where nothing has spoken.
 *
 * On a CAN bus each protocol is looked for by itself: it is listened for first, which finds what speaks unasked
 * (listen.h), and goes on; then it is asked for, where the protocol says that it may be.
 */
#ifndef ENGINE_DETECT_H
#define ENGINE_DETECT_H

#include "engine/exchange.h"

#define DETECT_MAX_ATTEMPTS 512 /* two sweeps over all protocols */
#define DETECT_QUICK 0 /* number of the quick sweep; patient ones follow */

/* What answered here before. */
struct detect_hint {
	const struct protocol *protocol; /* NULL: nothing is known */
	uint8_t address, dialect;
	struct line line; /* baud 0: only the protocol is known */
};

struct detect_io {
	void (*send)(void *ctx, const struct request *request);
	void (*set_line)(void *ctx, const struct line *line);
	void *ctx;
};

/* One question and what came of it, for reports. */
struct attempt {
	const struct protocol *protocol;
	struct line line;
	uint8_t address;
	unsigned sweep;
	uint32_t ms;         /* from sending to the decision */
	size_t received;     /* bytes that came in this window */
	char tx[48];         /* hex of what was sent */
	char say[128];       /* what came back, for people */
};

enum detect_state { DETECT_RUNNING, DETECT_FOUND };

struct detect;

/*
 * protocols: those to try, NULL-terminated, most common first; kept, not copied. hint: what is asked before
 * anything else, patiently; or NULL. addresses: asked instead of the protocols' own
 * when address_count > 0. NULL: no memory.
 */
struct detect *detect_new(const struct protocol *const *protocols, const struct detect_hint *hint,
			  const uint8_t *addresses, unsigned address_count, const struct protocol_options *options,
			  struct detect_io io, struct line_stats *stats);
void detect_free(struct detect *d);

void detect_start(struct detect *d, uint64_t now_ms);
/* CAN: whole frames only, those of protocol->hears. */
void detect_receive(struct detect *d, struct bytes b, uint64_t now_ms);
void detect_tick(struct detect *d, uint64_t now_ms);
uint64_t detect_deadline(const struct detect *d);

/* A person has named the protocol: it is asked for although protocol->may_ask speaks against it. */
void detect_insist(struct detect *d);
/* CAN: something was heard on this bus, of whatever kind. */
void detect_bus_spoke(struct detect *d);

enum detect_state detect_state(const struct detect *d);
/*
 * After DETECT_FOUND: the device that answered, with what it told so far. The caller takes it over;
 * d must be freed next. *listening: it has another master, do not transmit.
 */
struct device detect_take(struct detect *d, bool *listening);

/* After DETECT_FOUND: what was found is a dialect of protocol->yields. */
bool detect_yields(const struct detect *d);

/* Progress, for people. */
struct detect_progress {
	unsigned sweep;       /* 0 quick, then patient ones */
	unsigned step, steps; /* of this sweep */
	const struct protocol *protocol; /* being asked; NULL in a pause */
	uint8_t address;
	bool confirming;
	uint64_t started_ms;
	uint32_t sweep_left_ms; /* an estimate: until this sweep is over if nothing answers */
};
struct detect_progress detect_progress(const struct detect *d, uint64_t now_ms);
/* Completed sweeps. */
unsigned detect_sweeps(const struct detect *d);
/* The attempts so far, oldest first; the oldest are dropped beyond DETECT_MAX_ATTEMPTS. */
unsigned detect_attempts(const struct detect *d, const struct attempt **out);

#endif
