/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A line in simulated time: what is sent takes its wire time, a scripted device answers after its delay,
 * bytes come at the pace of the line. For tests of detection and sessions. */
#ifndef TESTS_VLINE_H
#define TESTS_VLINE_H

#include "model/bytes.h"
#include "model/line.h"

struct vline;

/* The device on the line: gets whole requests (as they were sent), answers with vline_reply(). */
typedef void (*vline_device)(void *ctx, struct vline *v, struct bytes request);

struct vline_event {
	uint64_t at;
	uint8_t bytes[400];
	size_t n;
};

struct vline {
	uint64_t now_ms;
	struct line line;         /* as the program has set it */
	struct line device_line;  /* as the device has it: another speed is noise to it */
	vline_device device;
	void *ctx;
	bool connected;
	struct vline_event event[64];
	unsigned count;
	unsigned sent;            /* requests that went out */
	char log[8192];           /* hex of what was sent, one line each */
};

/* Carries a request away; for detect_io.send and session_io.send. */
void vline_send(struct vline *v, struct bytes b);
/* Bytes in hex that the device sends, delay_ms after the request has been received. */
void vline_reply(struct vline *v, const char *hex, uint32_t delay_ms);
void vline_reply_bytes(struct vline *v, struct bytes b, uint32_t delay_ms);
/* Time of the next bytes; UINT64_MAX: none. */
uint64_t vline_next(const struct vline *v);
/* The bytes that are due at now_ms, removed from the line; false: none. */
bool vline_take(struct vline *v, struct vline_event *out);

#endif
