/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One request and what comes back for it: collects bytes, finds frames, lets the protocol judge them,
 * ends in time. Sans-I/O: bytes and times come as arguments; who owns it sends exchange.request.tx.
 * Detection, polls, commands, replays and `bmscope decode` all run through here.
 */
#ifndef ENGINE_EXCHANGE_H
#define ENGINE_EXCHANGE_H

#include "protocols/protocol.h"

#define EXCHANGE_INBOX 8200 /* nearly two of the longest frames */
#define EXCHANGE_SAMPLE 24  /* bytes of what came, kept for the error text */

enum exchange_state {
	EXCHANGE_IDLE,
	EXCHANGE_WAITING,
	EXCHANGE_ANSWERED, /* dev holds what the reply said */
	EXCHANGE_REFUSED,  /* the device said no: exchange.why */
	EXCHANGE_FAILED,   /* nothing that may be believed: exchange.error */
};

/* What went over a line, since it was opened. */
struct line_stats {
	uint64_t requests, answers, refusals, failures;
	uint64_t bad_frames;     /* right start, wrong length, checksum or content */
	uint64_t foreign_frames; /* whole, but no answer to what was asked */
	uint64_t late_frames;    /* whole, after their time was over */
	uint64_t noise_bytes;
	uint64_t echoes;         /* requests that came back unchanged */
	uint64_t bytes_in, bytes_out;
};

struct exchange {
	enum exchange_state state;
	struct device *dev; /* not owned */
	struct request request;
	struct line_stats *stats; /* not owned */
	uint64_t sent_ms;         /* when sending began */
	uint64_t first_deadline;  /* for the first byte */
	uint64_t last_deadline;   /* whatever keeps coming */
	uint64_t last_byte_ms;
	uint64_t ended_ms;
	size_t received;    /* bytes since the request, echo not counted */
	bool echo_open;     /* what came so far may still be our echo */
	bool echoed;        /* the whole request came back */
	bool part;          /* FRAME_PART was taken */
	bool keep;          /* to be set after the beginning: the answer stays at the front of the inbox */
	size_t answer_n;    /* its length */
	unsigned frames;    /* whole frames, whatever they said */
	const char *why;    /* of the last refusal or bad frame; NULL: none */
	char error[128];    /* of FAILED, for people */
	uint8_t sample[EXCHANGE_SAMPLE];
	struct reading before; /* dev->reading when the request was made */
	size_t in_n;
	uint8_t in[EXCHANGE_INBOX];
};

/* Starts a request to dev at now_ms, on a line where it takes wire_ms to send; drops what lay in the inbox. */
void exchange_begin(struct exchange *x, struct device *dev, const struct request *request, struct line_stats *stats,
		    uint64_t now_ms, uint32_t wire_ms);
/* Bytes that came; x->state tells whether that ended it. */
void exchange_receive(struct exchange *x, struct bytes b, uint64_t now_ms);
/* Time has passed; x->state tells whether that ended it. */
void exchange_tick(struct exchange *x, uint64_t now_ms);
/* When exchange_tick() has something to do; UINT64_MAX when not waiting. */
uint64_t exchange_deadline(const struct exchange *x);
/* Nothing more will come: ends it now as a silent line would. */
void exchange_finish(struct exchange *x, uint64_t now_ms);
/*
 * Bytes that came after the end: a whole frame among them is a late one and is counted, never
 * decoded. True when there was one.
 */
bool exchange_late(struct exchange *x, struct bytes b, uint64_t now_ms);

#endif
