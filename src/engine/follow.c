/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_SHOW_MS = 1000 };

bool follow_knows(const struct protocol *protocol, struct bytes tx, struct request *out)
{
	return protocol->parse_request && protocol->parse_request(tx, out);
}

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

bool follow_carefully(struct follow *f)
{
	f->others = malloc(sizeof(*f->others));
	if (f->others)
		listen_init(f->others, f->protocol, &f->options);
	return f->others;
}

void follow_free(struct follow *f)
{
	for (unsigned i = 0; i < f->device_count; i++)
		device_free(&f->device[i].dev);
	if (f->others)
		listen_free(f->others);
	free(f->others);
	free(f->listen);
	f->others = NULL;
	f->device_count = 0;
	f->listen = NULL;
}

static bool on_bus(const struct follow *f)
{
	return f->protocol->link == LINK_CAN;
}

/* NULL: nobody has been heard there. */
static struct follow_device *known_device(struct follow *f, const struct request *request)
{
	for (unsigned i = 0; i < f->device_count; i++) {
		const struct device *dev = &f->device[i].dev;

		if (on_bus(f) ? stream_said(dev, request) : dev->address == request->address)
			return &f->device[i];
	}
	return NULL;
}

/* NULL: there are too many, or no memory. */
static struct follow_device *device_at(struct follow *f, const struct request *request)
{
	struct follow_device *known = known_device(f, request);

	if (known || f->device_count == FOLLOW_MAX_DEVICES)
		return known;
	struct follow_device *d = &f->device[f->device_count];

	*d = (struct follow_device){.told = false};
	if (!device_init(&d->dev, f->protocol, request->address, request->dialect, &f->options))
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
	struct follow_device *d = device_at(f, request);

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
		struct follow_device *d = device_at(f, &as);
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

/* ---- what nobody here asked for ---- */

/* What another master on the line was told. */
static void hear_answer(struct follow *f, const struct request *as, struct bytes frame, uint64_t now_ms)
{
	struct follow_device *d = device_at(f, as);
	const char *why = NULL;

	if (d && f->protocol->take(&d->dev, as, frame, &why) == FRAME_ANSWER) {
		note_answer(f, as);
		if (begins_cycle(f, as))
			cycle(f, d, now_ms);
	} else if (why) {
		snprintf(f->error, sizeof(f->error), "frame rejected: %s", why);
	}
}

/* Of a device on a bus: all of a reading has come anew. */
static void show(struct follow *f, struct follow_device *d, uint64_t now_ms)
{
	bool early = d->shown && stream_speaks(f->protocol, d->dev.dialect) && now_ms < d->shown_ms + STREAM_SHOW_MS;

	if (!f->cycle || early || !stream_complete(&d->stream, &d->dev))
		return;
	stream_published(&d->stream);
	d->shown = true;
	d->shown_ms = now_ms;
	f->cycle(f->ctx, d, now_ms);
}

/* A device that is believed in from now on; what it has said makes a reading. */
static void meet(struct follow *f, struct device dev, uint64_t now_ms)
{
	if (f->device_count == FOLLOW_MAX_DEVICES) {
		device_free(&dev);
		return;
	}
	struct follow_device *d = &f->device[f->device_count++];

	*d = (struct follow_device){.dev = dev, .told = true};
	stream_start(&d->stream, dev.protocol, now_ms);
	show(f, d, now_ms);
}

static void bus_answered(struct follow *f, struct follow_device *d, const struct request *as, uint64_t now_ms)
{
	f->answered++;
	f->awaits = f->part = false;
	d->told = true;
	stream_heard(&d->stream, f->protocol, stream_row(f->protocol, as), now_ms);
	show(f, d, now_ms);
}

static void bus_take(struct follow *f, struct follow_device *d, const struct request *as, struct bytes frame,
		     uint64_t now_ms)
{
	const char *why = NULL;

	switch (f->protocol->take(&d->dev, as, frame, &why)) {
	case FRAME_ANSWER:
		bus_answered(f, d, as, now_ms);
		break;
	case FRAME_PART:
		f->part = true;
		f->part_as = *as;
		f->part_of = (unsigned)(d - f->device);
		break;
	case FRAME_REFUSED:
		f->awaits = false;
		f->not_answered++;
		snprintf(f->error, sizeof(f->error), "the device refuses: %s", why ? why : "no reason given");
		break;
	case FRAME_BAD:
		snprintf(f->error, sizeof(f->error), "frame rejected: %s", why ? why : "it can't be believed");
		break;
	case FRAME_FOREIGN:
		break;
	}
}

/* What somebody on the bus has said. */
static void bus_answer(struct follow *f, const struct request *as, struct bytes frame, uint64_t now_ms)
{
	struct follow_device *d = f->others ? known_device(f, as) : device_at(f, as);
	struct device dev;

	f->heard++;
	if (!d) {
		if (f->others && listen_hears(f->others, as, frame, now_ms, &dev))
			meet(f, dev, now_ms);
		return;
	}
	stream_age(&d->stream, &d->dev, now_ms);
	bus_take(f, d, as, frame, now_ms);
}

/* A conversation has come to an end: what was asked was answered, or not. */
static void bus_end(struct follow *f, uint64_t now_ms)
{
	bool part = f->part;

	f->part = false;
	if (part)
		bus_take(f, &f->device[f->part_of], &f->part_as, (struct bytes){NULL, 0}, now_ms);
	if (f->awaits) {
		f->not_answered++;
		if (!f->error[0])
			snprintf(f->error, sizeof(f->error), part ? "the reply is incomplete" : "no reply");
	}
	f->awaits = false;
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
		struct bytes frame = bytes_sub(in, 0, n > 0 ? (size_t)n : 0);
		if (n > 0 && f->protocol->overhear && f->protocol->overhear(f->listen, frame, &as) == HEARD_ANSWER)
			(on_bus(f) ? bus_answer : hear_answer)(f, &as, frame, now_ms);
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
	bus_end(f, now_ms);
}

/* A question on a bus: it is told by its answer, which somebody may have asked for before. */
static void bus_sent(struct follow *f, struct bytes tx, uint64_t now_ms)
{
	struct request request;

	bus_end(f, now_ms);
	if (!tx.n)
		return;
	if (follow_knows(f->protocol, tx, &request)) {
		f->known_requests++;
		f->awaits = !request.no_reply;
	} else {
		f->unknown_requests++;
	}
	follow_received(f, tx, now_ms);
}

void follow_sent(struct follow *f, struct bytes tx, uint64_t now_ms)
{
	struct request request;
	struct follow_device *d;

	if (on_bus(f)) {
		bus_sent(f, tx, now_ms);
		return;
	}
	follow_end(f, now_ms);
	f->x.in_n = 0; /* a recogniser has nothing to wait for any more */
	if (!tx.n)
		return;
	d = follow_knows(f->protocol, tx, &request) ? device_at(f, &request) : NULL;
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
	struct device dev;

	follow_end(f, now_ms);
	while (f->others && listen_takes_last(f->others, &dev))
		meet(f, dev, now_ms);
	for (unsigned i = 0; i < f->device_count && !on_bus(f); i++)
		cycle(f, &f->device[i], now_ms);
}
