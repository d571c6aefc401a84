/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Follows a conversation that already happened: a capture file, a recording. The bytes that were sent
 * choose the request, the bytes that came are its reply; both run through the very exchange and
 * protocol code of a live port.
 */
#ifndef ENGINE_FOLLOW_H
#define ENGINE_FOLLOW_H

#include "engine/exchange.h"

#define FOLLOW_MAX_DEVICES 16

struct follow_device {
	struct device dev;
	bool told;         /* an answer was taken since the last cycle() */
	uint64_t answered; /* bit per row of protocol->polls that was answered at least once */
	void *owner;       /* the caller's */
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
	/* May be NULL. A poll cycle of d is complete: every required row has been answered, and the next
	 * cycle begins (or the end has come). */
	void (*cycle)(void *ctx, struct follow_device *d, uint64_t now_ms);
	void *ctx;
};

/* False: no memory. */
bool follow_init(struct follow *f, const struct protocol *protocol, const struct protocol_options *options);
void follow_free(struct follow *f);

/* Bytes that were sent; ends the exchange before. Empty: nothing was sent, the device speaks by itself. */
void follow_sent(struct follow *f, struct bytes tx, uint64_t now_ms);
/* Bytes that came. */
void follow_received(struct follow *f, struct bytes rx, uint64_t now_ms);
/* Nothing more comes for what was sent last. */
void follow_end(struct follow *f, uint64_t now_ms);
/* The end of everything: the last cycles are complete. */
void follow_flush(struct follow *f, uint64_t now_ms);

#endif
