/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/follow_bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { YIELD_MS = 6000 }; /* until then other protocols have had their say */

static bool yields(const struct follow_device *d)
{
	return d->dev.protocol->yields >> d->dev.dialect & 1;
}

/* The same battery's answers and what it says by itself are not shown side by side: what was first, stays. */
static bool shown_already(const struct follow_bus *bus, const struct follow_device *d)
{
	for (unsigned i = 0; i < bus->count; i++) {
		const struct follow *f = &bus->follow[i];

		for (unsigned k = 0; k < f->device_count && f->protocol == d->dev.protocol; k++)
			if (&f->device[k] != d && f->device[k].told_of && f->device[k].dev.address == d->dev.address)
				return true;
	}
	return false;
}

/* What was shown of others was a second language. */
static void make_yield(struct follow_bus *bus)
{
	for (unsigned i = 0; i < bus->count; i++) {
		struct follow *f = &bus->follow[i];

		for (unsigned k = 0; k < f->device_count; k++) {
			struct follow_device *d = &f->device[k];

			if (!yields(d))
				continue;
			if (d->told_of && bus->gone)
				bus->gone(bus->ctx, d);
			d->told_of = false;
			d->owner = NULL;
		}
	}
}

static void tell(struct follow_bus *bus, struct follow_device *d, uint64_t now_ms)
{
	d->told_of = true;
	if (bus->cycle)
		bus->cycle(bus->ctx, d, now_ms);
}

static void on_cycle(void *ctx, struct follow_device *d, uint64_t now_ms)
{
	struct follow_bus *bus = ctx;

	d->held = yields(d) && (now_ms < bus->started_ms + YIELD_MS || bus->spoken);
	if (d->held)
		return;
	if (!yields(d)) {
		make_yield(bus);
		bus->spoken = true;
	}
	if (!shown_already(bus, d))
		tell(bus, d, now_ms);
}

bool follow_bus_init(struct follow_bus *bus, const struct protocol *const *protocols,
		     const struct protocol_options *options)
{
	unsigned n = 0;

	memset(bus, 0, sizeof(*bus));
	while (protocols[n])
		n++;
	bus->follow = calloc(n + 1, sizeof(*bus->follow));
	for (unsigned i = 0; i < n && bus->follow; i++) {
		struct follow *f = &bus->follow[bus->count];

		if (protocols[i]->link != LINK_CAN)
			continue;
		bus->count++;
		if (!follow_init(f, protocols[i], options) || !follow_carefully(f)) {
			follow_bus_free(bus);
			return false;
		}
		f->cycle = on_cycle;
		f->ctx = bus;
	}
	return bus->follow;
}

void follow_bus_free(struct follow_bus *bus)
{
	for (unsigned i = 0; i < bus->count; i++)
		follow_free(&bus->follow[i]);
	free(bus->follow);
	bus->follow = NULL;
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

		for (unsigned k = 0; k < f->device_count && !bus->spoken; k++)
			if (f->device[k].held && !shown_already(bus, &f->device[k]))
				tell(bus, &f->device[k], now_ms);
	}
}

void follow_bus_regret(const struct follow_bus *bus, char *out, size_t size)
{
	const struct follow *most = NULL;

	for (unsigned i = 0; i < bus->count; i++)
		if (bus->follow[i].heard > (most ? most->heard : 0))
			most = &bus->follow[i];
	if (most)
		snprintf(out, size, "no battery is recognised; %u frame%s may be %s, but tell no whole reading",
			 most->heard, most->heard == 1 ? "" : "s", most->protocol->id);
	else
		snprintf(out, size, "no battery is recognised in these frames");
}
