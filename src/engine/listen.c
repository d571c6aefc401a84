/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/listen.h"

#include <string.h>

enum { TIMES = 2 };

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

/* The place of this address; noise may have taken all: then that of the one that has been silent longest. */
static struct voice *place_of(struct listen *l, const struct request *as)
{
	struct voice *oldest = &l->heard[0];

	for (unsigned i = 0; i < LISTEN_MAX; i++) {
		struct voice *h = &l->heard[i];

		if (h->dev.protocol && h->dev.address == as->address)
			return h;
		if (oldest->dev.protocol && (!h->dev.protocol || h->heard_ms < oldest->heard_ms))
			oldest = h;
	}
	forget(oldest);
	return device_init(&oldest->dev, l->protocol, as->address, as->dialect, &l->options) ? oldest : NULL;
}

bool listen_hears(struct listen *l, const struct request *as, struct bytes frame, uint64_t now_ms, struct device *out)
{
	struct voice *h = place_of(l, as);
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
	if (++h->times < TIMES || !l->protocol->plausible(&h->dev, &why))
		return false;
	*out = h->dev;
	memset(h, 0, sizeof(*h));
	return true;
}
