/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The conversation with the packs of one protocol on one line: poll cycles, looking for further
 * addresses, commands, keep-alives; or only listening where a bus has another master, or where packs
 * speak by themselves. Sans-I/O: the port feeds bytes and time; what happens goes out through session_io.
 */
#ifndef ENGINE_SESSION_H
#define ENGINE_SESSION_H

#include "engine/exchange.h"
#include "engine/stream.h"

#define SESSION_MAX_PACKS 16
#define SESSION_MAX_POLLS 32

struct session_pack {
	struct device dev;
	unsigned index;	   /* stable while the session lives */
	bool unwanted;	   /* it speaks by itself, but at none of the addresses that were asked for: known, never told of */
	bool identified;   /* every row that is asked once has been answered or given up */
	bool lost;	   /* several polls failed in a row */
	unsigned failures; /* polls failed since the last good one */
	uint64_t good_ms;  /* end of the last good cycle; 0: none yet */
	uint64_t poll_ms;  /* duration of the last good cycle's exchanges */
	char error[128];   /* of the last failed poll */

	/* the session's own */
	uint64_t next_poll;
	uint64_t cycle_start;
	bool optional_asked;  /* in this cycle */
	bool optional_failed; /* in this cycle: no further optional rows */
	bool published;	      /* in this cycle */
	struct stream stream; /* what it said by itself */
	uint64_t whole_ms;    /* when that last made a reading, due or not */
	uint64_t heard;	      /* rows whose answer to another master was heard in this cycle */
	struct {
		uint64_t due;
		bool unsupported;
		uint8_t misses;
		bool in_cycle;
	} row[SESSION_MAX_POLLS];
};

struct session_io {
	void (*send)(void *ctx, const struct request *request);
	/* A pack that was not known before, at the start and when one more is found on the cable. */
	void (*found)(void *ctx, struct session_pack *pack, uint64_t now_ms);
	/* A whole, consistent cycle is in pack->dev.reading. */
	void (*reading)(void *ctx, struct session_pack *pack, uint64_t now_ms);
	/* A poll failed: pack->error, pack->failures. */
	void (*missed)(void *ctx, struct session_pack *pack, uint64_t now_ms);
	void (*command_done)(void *ctx, struct session_pack *pack, const struct command *command,
			     const struct command_outcome *outcome, uint64_t now_ms);
	void *ctx;
};

struct session;

/*
 * first: the device that detection found; the session takes it over. listening: never transmit.
 * addresses: the only ones to poll when address_count > 0 (kept, not copied). NULL: no memory.
 */
struct session *session_new(struct device first, const struct line *line, bool listening, uint32_t poll_ms,
			    const uint8_t *addresses, unsigned address_count, struct session_io io,
			    struct line_stats *stats);
void session_free(struct session *s);

void session_start(struct session *s, uint64_t now_ms);
void session_receive(struct session *s, struct bytes b, uint64_t now_ms);
void session_tick(struct session *s, uint64_t now_ms);
uint64_t session_deadline(const struct session *s);

unsigned session_packs(const struct session *s);
/* Those of them that were asked for. */
unsigned session_wanted(const struct session *s);
struct session_pack *session_pack(struct session *s, unsigned i);
bool session_listening(const struct session *s);
/* Its packs speak by themselves. */
bool session_streams(const struct session *s);
bool session_has(const struct session *s, const struct session_pack *pack);
/* Not every address of the cable has been asked, or heard, yet. */
bool session_searching(const struct session *s, uint64_t now_ms);
/* Since when no pack has answered any more; 0 while one does. */
uint64_t session_silent_since(const struct session *s);

/*
 * Starts a command; its end comes through command_done. now: the wall clock, for devices that are
 * told the time. -EBUSY: another one is running; -EPERM: the bus has another master.
 */
int session_command(struct session *s, unsigned pack, const struct command *command, const struct wall_time *now);

#endif
