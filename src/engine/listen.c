/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/listen.h"

#include <string.h>

/* A stream repeats itself; whom somebody else asks may be asked only once. */
enum { STREAM_TIMES = 2, ASKED_TIMES = 1 };

enum { SILENT_MS = 10000 }; /* after so long what somebody has told counts for nothing */

void listen_init(struct listen *l, const struct protocol *protocol, const struct protocol_options *options)
{
	memset(l, 0, sizeof(*l));
	l->protocol = protocol;
	if (options)
		l->options = *options;
}

static void forget(struct voice *h)
{
	if (h->dev.protocol)
		device_free(&h->dev);
	memset(h, 0, sizeof(*h));
}

void listen_free(struct listen *l)
{
	for (unsigned i = 0; i < LISTEN_MAX; i++)
		forget(&l->heard[i]);
}

/* How much it has told: noise repeats itself rarely. */
static unsigned told(const struct voice *h, uint64_t now_ms)
{
	unsigned n = 0;

	if (!h->dev.protocol || now_ms > h->heard_ms + SILENT_MS)
		return 0;
	for (uint32_t heard = h->stream.heard; heard; heard &= heard - 1)
		n++;
	return 1 + n + h->times * STREAM_MAX_ROWS;
}

/* The place of this address; noise may have taken all: then that of the one that has told least, or long ago. */
static struct voice *place_of(struct listen *l, const struct request *as, uint64_t now_ms)
{
	struct voice *worst = &l->heard[0];

	for (unsigned i = 0; i < LISTEN_MAX; i++) {
		struct voice *h = &l->heard[i];
		unsigned n = told(h, now_ms), least = told(worst, now_ms);

		if (h->dev.protocol && stream_said(&h->dev, as))
			return h;
		if (n < least || (n == least && h->heard_ms < worst->heard_ms))
			worst = h;
	}
	forget(worst);
	return device_init(&worst->dev, l->protocol, as->address, as->dialect, &l->options) ? worst : NULL;
}

static unsigned times_wanted(const struct voice *h)
{
	return stream_speaks(h->dev.protocol, h->dev.dialect) ? STREAM_TIMES : ASKED_TIMES;
}

/* True: *out is the device, and its place is free. */
static bool believe(struct voice *h, struct device *out)
{
	const char *why = NULL;

	if (!h->dev.protocol->plausible(&h->dev, &why))
		return false;
	*out = h->dev;
	memset(h, 0, sizeof(*h));
	return true;
}

bool listen_hears(struct listen *l, const struct request *as, struct bytes frame, uint64_t now_ms, struct device *out)
{
	struct voice *h = place_of(l, as, now_ms);
	const char *why = NULL;

	if (!h)
		return false;
	h->heard_ms = now_ms;
	stream_age(&h->stream, &h->dev, now_ms);
	if (l->protocol->take(&h->dev, as, frame, &why) != FRAME_ANSWER)
		return false;
	stream_heard(&h->stream, l->protocol, stream_row(l->protocol, as), now_ms);
	if (!stream_complete(&h->stream, &h->dev))
		return false;
	stream_published(&h->stream);
	h->times++;
	return h->times >= times_wanted(h) && believe(h, out);
}

bool listen_takes_last(struct listen *l, struct device *out)
{
	for (unsigned i = 0; i < LISTEN_MAX; i++)
		if (l->heard[i].times && believe(&l->heard[i], out))
			return true;
	return false;
}
