/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/follow_bus.h"

#include <stdlib.h>
#include <string.h>

enum { YIELD_MS = 6000 }; /* until then other protocols have had their say */

static bool yields(const struct follow_device *d)
{
	return d->dev.protocol->yields >> d->dev.dialect & 1;
}

static bool another_speaks(const struct follow_bus *bus, const struct protocol *protocol)
{
	for (unsigned i = 0; i < bus->count; i++)
		if (bus->speaks[i] && bus->follow[i].protocol != protocol)
			return true;
	return false;
}

/* What was shown of other protocols was this one's battery, in its second language. */
static void make_yield(struct follow_bus *bus, const struct protocol *protocol)
{
	for (unsigned i = 0; i < bus->count; i++) {
		struct follow *f = &bus->follow[i];

		bus->speaks[i] = bus->speaks[i] || f->protocol == protocol;
		for (unsigned k = 0; k < f->device_count && f->protocol != protocol; k++) {
			struct follow_device *d = &f->device[k];

			if (!yields(d))
				continue;
			if (d->owner && bus->gone)
				bus->gone(bus->ctx, d);
			d->owner = NULL;
		}
	}
}

static void on_cycle(void *ctx, struct follow_device *d, uint64_t now_ms)
{
	struct follow_bus *bus = ctx;

	d->held = yields(d) && (now_ms < bus->started_ms + YIELD_MS || another_speaks(bus, d->dev.protocol));
	if (d->held)
		return;
	if (!yields(d))
		make_yield(bus, d->dev.protocol);
	if (bus->cycle)
		bus->cycle(bus->ctx, d, now_ms);
}

bool follow_bus_init(struct follow_bus *bus, const struct protocol *const *protocols,
		     const struct protocol_options *options)
{
	unsigned n = 0;

	memset(bus, 0, sizeof(*bus));
	while (protocols[n])
		n++;
	bus->follow = calloc(n + 1, sizeof(*bus->follow));
	bus->speaks = calloc(n + 1, sizeof(*bus->speaks));
	for (unsigned i = 0; i < n && bus->follow && bus->speaks; i++) {
		struct follow *f = &bus->follow[bus->count];

		if (protocols[i]->link != LINK_CAN)
			continue;
		if (!follow_init(f, protocols[i], options)) {
			follow_bus_free(bus);
			return false;
		}
		follow_carefully(f);
		f->cycle = on_cycle;
		f->ctx = bus;
		bus->count++;
	}
	return bus->follow && bus->speaks;
}

void follow_bus_free(struct follow_bus *bus)
{
	for (unsigned i = 0; i < bus->count; i++)
		follow_free(&bus->follow[i]);
	free(bus->follow);
	free(bus->speaks);
	bus->follow = NULL;
	bus->speaks = NULL;
	bus->count = 0;
}

void follow_bus_hears(struct follow_bus *bus, struct bytes frames, uint64_t now_ms)
{
	if (!bus->started)
		bus->started_ms = now_ms;
	bus->started = true;
	for (unsigned i = 0; i < bus->count; i++)
		follow_received(&bus->follow[i], frames, now_ms);
}

void follow_bus_flush(struct follow_bus *bus, uint64_t now_ms)
{
	for (unsigned i = 0; i < bus->count; i++)
		follow_flush(&bus->follow[i], now_ms);
	/* Nobody else has spoken to the end. */
	for (unsigned i = 0; i < bus->count; i++) {
		struct follow *f = &bus->follow[i];

		for (unsigned k = 0; k < f->device_count && !another_speaks(bus, f->protocol); k++)
			if (f->device[k].held && bus->cycle)
				bus->cycle(bus->ctx, &f->device[k], now_ms);
	}
}
