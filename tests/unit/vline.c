/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 32 }; /* bytes that arrive together */

static uint64_t arrival; /* when the request in hand has been received whole */

void vline_send(struct vline *v, struct bytes b)
{
	char hex[900];
	size_t n = strlen(v->log);

	bytes_hex(b, hex, sizeof(hex));
	snprintf(v->log + n, sizeof(v->log) - n, "%llu %s\n", (unsigned long long)v->now_ms, hex);
	v->sent++;
	arrival = v->now_ms + line_wire_ms(&v->line, (uint32_t)b.n);
	if (v->connected && v->device && line_equal(&v->line, &v->device_line))
		v->device(v->ctx, v, b);
}

static void add(struct vline *v, uint64_t at, struct bytes b)
{
	if (v->count == sizeof(v->event) / sizeof(v->event[0])) {
		fprintf(stderr, "test is wrong: too many bytes on the line\n");
		abort();
	}
	v->event[v->count].at = at;
	v->event[v->count].n = b.n;
	memcpy(v->event[v->count].bytes, b.p, b.n);
	v->count++;
}

void vline_reply_bytes(struct vline *v, struct bytes b, uint32_t delay_ms)
{
	for (size_t done = 0; done < b.n;) {
		struct bytes piece = bytes_sub(b, done, PIECE);

		done += piece.n;
		add(v, arrival + delay_ms + line_wire_ms(&v->device_line, (uint32_t)done), piece);
	}
}

void vline_reply(struct vline *v, const char *hex, uint32_t delay_ms)
{
	uint8_t buf[400];
	int n = bytes_from_hex(hex, buf, sizeof(buf));

	if (n < 0) {
		fprintf(stderr, "test is wrong: %s\n", hex);
		abort();
	}
	vline_reply_bytes(v, (struct bytes){buf, (size_t)n}, delay_ms);
}

uint64_t vline_next(const struct vline *v)
{
	uint64_t at = UINT64_MAX;

	for (unsigned i = 0; i < v->count; i++)
		if (v->event[i].at < at)
			at = v->event[i].at;
	return at;
}

bool vline_take(struct vline *v, struct vline_event *out)
{
	int best = -1;

	for (unsigned i = 0; i < v->count; i++)
		if (v->event[i].at <= v->now_ms && (best < 0 || v->event[i].at < v->event[best].at))
			best = (int)i;
	if (best < 0)
		return false;
	*out = v->event[best];
	memmove(&v->event[best], &v->event[best + 1], (v->count - (unsigned)best - 1) * sizeof(v->event[0]));
	v->count--;
	return true;
}
