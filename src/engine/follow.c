/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool follow_init(struct follow *f, const struct protocol *protocol, const struct protocol_options *options)
{
	memset(f, 0, sizeof(*f));
	f->protocol = protocol;
	if (options)
		f->options = *options;
	if (protocol->listen_size)
		f->listen = calloc(1, protocol->listen_size);
	return !protocol->listen_size || f->listen;
}

void follow_free(struct follow *f)
{
	for (unsigned i = 0; i < f->device_count; i++)
		device_free(&f->device[i].dev);
	free(f->listen);
	f->device_count = 0;
	f->listen = NULL;
}

static struct follow_device *device_at(struct follow *f, uint8_t address, uint8_t dialect)
{
	for (unsigned i = 0; i < f->device_count; i++)
		if (f->device[i].dev.address == address)
			return &f->device[i];
	if (f->device_count == FOLLOW_MAX_DEVICES)
		return NULL;
	struct follow_device *d = &f->device[f->device_count];

	*d = (struct follow_device){.told = false};
	if (!device_init(&d->dev, f->protocol, address, dialect, &f->options))
		return NULL;
	f->device_count++;
	return d;
}

static void cycle(struct follow *f, struct follow_device *d, uint64_t now_ms)
{
	if (!d->told || !f->cycle)
		return;
	for (unsigned r = 0; r < f->protocol->poll_count; r++) {
		const struct poll *row = &f->protocol->polls[r];

		if (row->required && (!row->wanted || row->wanted(&d->dev)) && !(d->answered >> r & 1))
			return;
	}
	d->told = false;
	f->cycle(f->ctx, d, now_ms);
}

static bool begins_cycle(const struct follow *f, const struct request *request)
{
	return f->protocol->poll_count && request->code == f->protocol->polls[0].code;
}

static void note_answer(struct follow *f, const struct request *request)
{
	struct follow_device *d = device_at(f, request->address, request->dialect);

	if (!request->no_reply)
		f->answered++;
	if (!d)
		return;
	d->told = true;
	for (unsigned r = 0; r < f->protocol->poll_count; r++)
		if (f->protocol->polls[r].code == request->code && f->protocol->polls[r].arg == request->arg)
			d->answered |= 1ull << r;
}

/* The answer may tell of more packs than the one that was asked for. */
static void note_further(struct follow *f)
{
	struct exchange *x = &f->x;
	struct bytes frame = {x->in, x->answer_n};
	struct request as;

	for (unsigned nth = 1; x->keep && f->protocol->further(&x->request, frame, nth, &as); nth++) {
		struct follow_device *d = device_at(f, as.address, as.dialect);
		const char *why = NULL;

		if (d && f->protocol->take(&d->dev, &as, frame, &why) == FRAME_ANSWER)
			note_answer(f, &as);
	}
	x->in_n -= x->answer_n;
	memmove(x->in, x->in + x->answer_n, x->in_n);
	x->answer_n = 0;
}

static void note_end(struct follow *f)
{
	const struct exchange *x = &f->x;

	if (x->state == EXCHANGE_ANSWERED) {
		note_answer(f, &x->request);
		note_further(f);
	} else {
		f->not_answered++;
		if (x->state == EXCHANGE_REFUSED)
			snprintf(f->error, sizeof(f->error), "the device refuses: %s",
				 x->why ? x->why : "no reason given");
		else
			snprintf(f->error, sizeof(f->error), "%s", x->error);
	}
	f->x.state = EXCHANGE_IDLE;
}

static void hear(struct follow *f, bool quiet, uint64_t now_ms)
{
	while (f->x.in_n) {
		struct bytes in = {f->x.in, f->x.in_n};
		struct request as;
		const char *why = NULL;
		int n = f->protocol->find_frame(NULL, in, quiet, &why);

		if (n == 0)
			return;
		if (n < 0 && why)
			snprintf(f->error, sizeof(f->error), "frame rejected: %s", why);
		if (n > 0 && f->protocol->overhear &&
		    f->protocol->overhear(f->listen, bytes_sub(in, 0, (size_t)n), &as) == HEARD_ANSWER) {
			struct follow_device *d = device_at(f, as.address, as.dialect);

			if (d && f->protocol->take(&d->dev, &as, bytes_sub(in, 0, (size_t)n), &why) == FRAME_ANSWER) {
				note_answer(f, &as);
				if (begins_cycle(f, &as))
					cycle(f, d, now_ms);
			} else if (why)
				snprintf(f->error, sizeof(f->error), "frame rejected: %s", why);
		}
		size_t size = (size_t)(n < 0 ? -n : n);
		if (size > f->x.in_n)
			size = f->x.in_n;
		f->x.in_n -= size;
		memmove(f->x.in, f->x.in + size, f->x.in_n);
	}
}

void follow_end(struct follow *f, uint64_t now_ms)
{
	if (f->x.state == EXCHANGE_WAITING) {
		exchange_finish(&f->x, now_ms);
		note_end(f);
	}
	hear(f, true, now_ms);
}

void follow_sent(struct follow *f, struct bytes tx, uint64_t now_ms)
{
	struct request request;
	struct follow_device *d;

	follow_end(f, now_ms);
	f->x.in_n = 0; /* a recogniser has nothing to wait for any more */
	if (!tx.n)
		return;
	d = f->protocol->parse_request(tx, &request) ? device_at(f, request.address, request.dialect) : NULL;
	if (!d) {
		f->unknown_requests++;
		snprintf(f->error, sizeof(f->error), "what was sent is no request of %s", f->protocol->id);
		return;
	}
	f->known_requests++;
	d->dev.dialect = request.dialect;
	if (begins_cycle(f, &request))
		cycle(f, d, now_ms);
	exchange_begin(&f->x, &d->dev, &request, &f->stats, now_ms, 0);
	f->x.keep = f->protocol->further != NULL;
}

void follow_received(struct follow *f, struct bytes rx, uint64_t now_ms)
{
	if (f->x.state == EXCHANGE_WAITING) {
		exchange_receive(&f->x, rx, now_ms);
		if (f->x.state != EXCHANGE_WAITING)
			note_end(f);
		return;
	}
	while (rx.n) {
		struct bytes part = bytes_sub(rx, 0, sizeof(f->x.in) - f->x.in_n);

		if (!part.n) {
			f->x.in_n = 0;
			continue;
		}
		memcpy(f->x.in + f->x.in_n, part.p, part.n);
		f->x.in_n += part.n;
		rx = bytes_sub(rx, part.n, rx.n);
		hear(f, false, now_ms);
	}
}

void follow_flush(struct follow *f, uint64_t now_ms)
{
	follow_end(f, now_ms);
	for (unsigned i = 0; i < f->device_count; i++)
		cycle(f, &f->device[i], now_ms);
}
