/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Follows a conversation that already happened: a capture file, a recording. The bytes that were sent
 * choose the request, the bytes that came are its reply; both run through the very exchange and
 * protocol code of a live port. On CAN, where frames of many go together, everything is only overheard;
 * of a whole bus (careful) a device counts when listen.h believes in it.
 */
#ifndef ENGINE_FOLLOW_H
#define ENGINE_FOLLOW_H

#include "engine/exchange.h"
#include "engine/listen.h"

#define FOLLOW_MAX_DEVICES 16

struct follow_device {
	struct device dev;
	bool told;	      /* an answer was taken since the last cycle() */
	uint64_t answered;    /* bit per row of protocol->polls that was answered at least once */
	struct stream stream; /* on CAN */
	bool shown;	      /* cycle() was told of it, the last time at */
	uint64_t shown_ms;
	bool held, told_of; /* the bus': kept back; cycle() of the bus was told */
	void *owner;	    /* the caller's */
};

struct follow {
	const struct protocol *protocol;
	struct protocol_options options;
	struct line_stats stats;
	struct exchange x;
	struct follow_device device[FOLLOW_MAX_DEVICES];
	unsigned device_count;
	unsigned known_requests, unknown_requests;
	unsigned answered, not_answered;
	char error[160]; /* why the last exchange that was not answered was not; "" if none */
	void *listen;
	/* on CAN */
	struct listen *others; /* when careful: who is not believed in yet; else NULL */
	unsigned heard;	       /* frames of this protocol */
	bool awaits;	       /* the answer to what was sent last */
	bool part;	       /* of an answer was taken: */
	struct request part_as;
	unsigned part_of; /* device */
	/* May be NULL. A poll cycle of d is complete: every required row has been answered, and the next
	 * cycle begins (or the end has come). Of a device that speaks by itself at most once a second. */
	void (*cycle)(void *ctx, struct follow_device *d, uint64_t now_ms);
	void *ctx;
};

/* False: no memory. */
bool follow_init(struct follow *f, const struct protocol *protocol, const struct protocol_options *options);
/* Before anything was followed: this is all that went over a bus, not a conversation picked out of it. CAN only.
 * False: no memory. */
bool follow_carefully(struct follow *f);
void follow_free(struct follow *f);

/* Bytes that were sent; ends the exchange before. Empty: nothing was sent, the device speaks by itself. */
void follow_sent(struct follow *f, struct bytes tx, uint64_t now_ms);
/* Bytes that came. */
void follow_received(struct follow *f, struct bytes rx, uint64_t now_ms);
/* Nothing more comes for what was sent last. */
void follow_end(struct follow *f, uint64_t now_ms);
/* The end of everything: the last cycles are complete. */
void follow_flush(struct follow *f, uint64_t now_ms);
/* Is tx a request of this protocol? out is filled then. */
bool follow_knows(const struct protocol *protocol, struct bytes tx, struct request *out);

#endif
