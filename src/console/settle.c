/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/settle.h"

#include <stdio.h>
#include <string.h>

/* -1: a battery of this port is still being read; else how many have been. */
static int packs_of(const struct engine *e, const struct port_view *port)
{
	int n = 0;

	for (unsigned i = 0; i < engine_packs(e); i++) {
		const struct snapshot *s = engine_pack(e, i);

		if (strcmp(s->port, port->name) != 0)
			continue;
		if (s->state == PACK_STARTING || !s->identified)
			return -1;
		n += s->reading_ms != 0;
	}
	return n;
}

struct settled settle(const struct engine *e, unsigned max_sweeps)
{
	struct settled all = {0};
	struct port_view port;

	for (unsigned i = 0; engine_port(e, i, &port); i++) {
		int packs = packs_of(e, &port);

		all.ports++;
		all.packs += packs > 0 ? (unsigned)packs : 0;
		switch (port.state) {
		case PORT_ABSENT:
		case PORT_REFUSED:
			all.refused++;
			break;
		case PORT_DETECTING:
			all.pending += port.sweeps < max_sweeps;
			break;
		case PORT_RUNNING:
			all.pending += packs <= 0 || port.searching;
			break;
		case PORT_REPLAYING:
			all.pending++;
			break;
		case PORT_ENDED:
			break;
		}
	}
	return all;
}

int settled_exit_code(const struct settled *s)
{
	if (s->packs)
		return 0;
	return s->ports && s->refused == s->ports ? 3 : 1;
}

void settle_progress(const struct engine *e, char *out, size_t size)
{
	struct port_view port;

	out[0] = 0;
	for (unsigned i = 0; engine_port(e, i, &port); i++) {
		const struct detect_progress *d = &port.progress;
		char bar[21];
		unsigned done;

		if (port.state == PORT_RUNNING && port.searching)
			snprintf(out, size, "%s: %s found, looking for further batteries on the cable", port.name,
				 port.protocol->id);
		if (port.state != PORT_DETECTING || !d->protocol || !d->steps)
			continue;
		done = 20 * d->step / d->steps;
		for (unsigned k = 0; k < 20; k++)
			bar[k] = k < done ? '#' : '.';
		bar[20] = 0;
		snprintf(out, size, "%s [%s] %s %s address %u, %.1f s left", port.name, bar,
			 d->confirming ? "confirming" : "asking", d->protocol->id, d->address,
			 (double)d->sweep_left_ms / 1000);
		return;
	}
}
