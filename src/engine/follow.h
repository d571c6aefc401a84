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
	bool told; /* an answer of this device was taken since follow_forget() */
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
	bool reply_taken; /* by the exchange that ended last */
	char error[160];  /* why the last exchange that was not answered was not; "" if none */
	uint16_t answered_code; /* request.code of the last answer */
	uint8_t answered_address;
	void *listen;
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

#endif
