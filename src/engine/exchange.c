/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/exchange.h"

#include <stdio.h>
#include <string.h>

#include "model/wire.h"

void exchange_begin(struct exchange *x, struct device *dev, const struct request *request, struct line_stats *stats,
		    uint64_t now_ms, uint32_t wire_ms)
{
	/* The inbox is 8 KiB that nobody reads beyond in_n: not worth clearing every time. */
	memset(x, 0, offsetof(struct exchange, in));
	x->state = EXCHANGE_WAITING;
	x->dev = dev;
	x->request = *request;
	x->stats = stats;
	x->sent_ms = now_ms;
	x->last_byte_ms = now_ms + wire_ms;
	x->first_deadline = now_ms + wire_ms + request->first_ms;
	x->last_deadline = x->first_deadline + request->gap_ms + 1000u + 4u * wire_ms;
	x->echo_open = request->n && !request->echo_is_reply;
	x->before = dev->reading;
	stats->requests++;
	stats->bytes_out += request->n;
}

static void end(struct exchange *x, enum exchange_state state, uint64_t now_ms)
{
	x->state = state;
	x->ended_ms = now_ms;
	if (state == EXCHANGE_ANSWERED)
		x->stats->answers++;
	else if (state == EXCHANGE_REFUSED)
		x->stats->refusals++;
	else
		x->stats->failures++;
	if (state != EXCHANGE_ANSWERED && x->part)
		x->dev->reading = x->before; /* half an answer is none */
}

static void describe_failure(struct exchange *x)
{
	char hex[2 * EXCHANGE_SAMPLE + 3];
	size_t n = x->received < EXCHANGE_SAMPLE ? x->received : EXCHANGE_SAMPLE;

	wire_text(x->dev->protocol->link, (struct bytes){x->sample, n}, hex, sizeof(hex));
	if (x->why)
		snprintf(x->error, sizeof(x->error), "reply rejected: %s", x->why);
	else if (x->part)
		snprintf(x->error, sizeof(x->error), "the reply is incomplete");
	else if (x->frames)
		snprintf(x->error, sizeof(x->error), "no reply; %u frame%s came that answer%s something else",
			 x->frames, x->frames == 1 ? "" : "s", x->frames == 1 ? "s" : "");
	else if (x->received)
		snprintf(x->error, sizeof(x->error), "%zu byte%s came, no frame: %s%s", x->received,
			 x->received == 1 ? "" : "s", hex, n < x->received ? ".." : "");
	else if (x->echoed)
		snprintf(x->error, sizeof(x->error), "no reply, only our own bytes came back");
	else
		snprintf(x->error, sizeof(x->error), "no reply");
}

static void drop(struct exchange *x, size_t n)
{
	x->in_n -= n;
	memmove(x->in, x->in + n, x->in_n);
}

/* Frames of others come between those of an answer. */
static bool shared(const struct exchange *x)
{
	return x->dev->protocol->link == LINK_CAN;
}

static void judge(struct exchange *x, struct bytes frame, uint64_t now_ms)
{
	const char *why = NULL;

	switch (x->dev->protocol->take(x->dev, &x->request, frame, &why)) {
	case FRAME_FOREIGN:
		x->stats->foreign_frames += frame.n > 0 && !shared(x);
		break;
	case FRAME_PART:
		x->part = true;
		x->last_byte_ms = now_ms > x->last_byte_ms ? now_ms : x->last_byte_ms;
		break;
	case FRAME_ANSWER:
		end(x, EXCHANGE_ANSWERED, now_ms);
		break;
	case FRAME_REFUSED:
		x->why = why;
		end(x, EXCHANGE_REFUSED, now_ms);
		break;
	case FRAME_BAD:
		x->why = why;
		x->stats->bad_frames += frame.n > 0; /* silence is no frame */
		break;
	}
}

/* Finds frames in the inbox and judges them until one ends the exchange or more bytes are needed. */
static void hunt(struct exchange *x, bool quiet, uint64_t now_ms)
{
	while (x->in_n && x->state == EXCHANGE_WAITING) {
		struct bytes in = {x->in, x->in_n};
		const char *why = NULL;
		int n = x->dev->protocol->find_frame(&x->request, in, quiet, &why);

		if (n == 0)
			return;
		if (n < 0) {
			size_t skip = (size_t)-n < x->in_n ? (size_t)-n : x->in_n;

			if (why) {
				x->why = why;
				x->stats->bad_frames++;
			}
			x->stats->noise_bytes += skip;
			drop(x, skip);
			continue;
		}
		x->frames++;
		judge(x, bytes_sub(in, 0, (size_t)n), now_ms);
		if (x->keep && x->state == EXCHANGE_ANSWERED)
			x->answer_n = (size_t)n;
		else
			drop(x, (size_t)n < x->in_n ? (size_t)n : x->in_n);
	}
}

/* Takes the echo of the request off the front. True: what came so far may still be echo, wait. */
static bool strip_echo(struct exchange *x)
{
	size_t n = x->in_n < x->request.n ? x->in_n : x->request.n;

	if (!x->echo_open)
		return false;
	if (memcmp(x->in, x->request.tx, n) != 0) {
		x->echo_open = false;
		return false;
	}
	if (n < x->request.n)
		return true;
	x->echo_open = false;
	x->echoed = true;
	x->stats->echoes++;
	x->received -= n;
	drop(x, n);
	memmove(x->sample, x->sample + (n < EXCHANGE_SAMPLE ? n : EXCHANGE_SAMPLE),
		n < EXCHANGE_SAMPLE ? EXCHANGE_SAMPLE - n : 0);
	return false;
}

void exchange_receive(struct exchange *x, struct bytes b, uint64_t now_ms)
{
	if (x->state != EXCHANGE_WAITING)
		return;
	x->stats->bytes_in += b.n;
	if (!shared(x))
		x->last_byte_ms = now_ms;
	while (b.n && x->state == EXCHANGE_WAITING) {
		struct bytes part = bytes_sub(b, 0, sizeof(x->in) - x->in_n);

		if (!part.n) { /* a recogniser that never decides: start over */
			x->stats->noise_bytes += x->in_n;
			x->in_n = 0;
			continue;
		}
		for (size_t i = 0; i < part.n && x->received + i < EXCHANGE_SAMPLE; i++)
			x->sample[x->received + i] = part.p[i];
		memcpy(x->in + x->in_n, part.p, part.n);
		x->in_n += part.n;
		x->received += part.n;
		b = bytes_sub(b, part.n, b.n);
		if (!strip_echo(x) && !x->request.no_reply)
			hunt(x, false, now_ms);
	}
}

/* The line is silent: what is there must do. Half an answer ends it, noise does not. */
static void settle(struct exchange *x, uint64_t now_ms)
{
	x->echo_open = false;
	hunt(x, true, now_ms);
	x->in_n = x->answer_n;
	if (x->state == EXCHANGE_WAITING && x->part)
		judge(x, (struct bytes){NULL, 0}, now_ms);
	if (x->state == EXCHANGE_WAITING && x->part) {
		describe_failure(x);
		end(x, EXCHANGE_FAILED, now_ms);
	}
}

void exchange_finish(struct exchange *x, uint64_t now_ms)
{
	if (x->state != EXCHANGE_WAITING)
		return;
	if (x->request.no_reply) {
		end(x, EXCHANGE_ANSWERED, now_ms);
		return;
	}
	settle(x, now_ms);
	if (x->state != EXCHANGE_WAITING)
		return;
	describe_failure(x);
	end(x, EXCHANGE_FAILED, now_ms);
}

void exchange_tick(struct exchange *x, uint64_t now_ms)
{
	if (x->state != EXCHANGE_WAITING)
		return;
	bool silent = now_ms >= x->last_byte_ms + x->request.gap_ms || !x->received || x->request.no_reply;

	if (now_ms >= x->last_deadline || (now_ms >= x->first_deadline && silent))
		exchange_finish(x, now_ms);
	else if (silent && x->received && !x->request.no_reply)
		settle(x, now_ms);
}

uint64_t exchange_deadline(const struct exchange *x)
{
	if (x->state != EXCHANGE_WAITING)
		return UINT64_MAX;
	uint64_t deadline = x->first_deadline;

	if (x->received && !x->request.no_reply) {
		uint64_t silent = x->last_byte_ms + x->request.gap_ms;

		/* Before the first deadline a silence settles what is there once; after it, it ends. */
		if (silent > deadline || x->in_n || x->part)
			deadline = silent;
	}
	return deadline < x->last_deadline ? deadline : x->last_deadline;
}

bool exchange_late(struct exchange *x, struct bytes b, uint64_t now_ms)
{
	bool frame = false;

	x->last_byte_ms = now_ms;
	x->stats->bytes_in += b.n;
	while (b.n) {
		struct bytes part = bytes_sub(b, 0, sizeof(x->in) - x->in_n);

		if (!part.n) {
			x->in_n = 0;
			continue;
		}
		memcpy(x->in + x->in_n, part.p, part.n);
		x->in_n += part.n;
		b = bytes_sub(b, part.n, b.n);
		for (int n = 1; x->in_n && n;) {
			const char *why = NULL;

			n = x->dev->protocol->find_frame(&x->request, (struct bytes){x->in, x->in_n}, false, &why);
			if (n > 0)
				frame = true;
			size_t size = (size_t)(n < 0 ? -n : n);
			drop(x, size < x->in_n ? size : x->in_n);
		}
	}
	if (frame)
		x->stats->late_frames++;
	return frame;
}
