/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What was recorded on a CAN bus, heard by every protocol at the same time: several may be spoken there, and nobody
 * knows who asked. What only is another battery's second language (protocol.yields) is not shown.
 */
#ifndef ENGINE_FOLLOW_BUS_H
#define ENGINE_FOLLOW_BUS_H

#include "engine/follow.h"

struct follow_bus {
	struct follow *follow; /* count of them, one for each protocol */
	unsigned count;
	bool started;
	bool spoken; /* somebody has told a reading, in a language that does not yield */
	uint64_t started_ms;
	/* A battery has told a reading. Set both before the first frame; NULL: not wanted. */
	void (*cycle)(void *ctx, struct follow_device *d, uint64_t now_ms);
	/* What cycle was told of d was no battery of its own. */
	void (*gone)(void *ctx, struct follow_device *d);
	void *ctx;
};

/* Of protocols (NULL-terminated) those on CAN. False: no memory. */
bool follow_bus_init(struct follow_bus *bus, const struct protocol *const *protocols,
		     const struct protocol_options *options);
void follow_bus_free(struct follow_bus *bus);
/* Frames (CAN_BYTES each), whoever sent them. */
void follow_bus_hears(struct follow_bus *bus, struct bytes frames, uint64_t now_ms);
/* The end: who has said everything but once is shown, too, if it makes sense. */
void follow_bus_flush(struct follow_bus *bus, uint64_t now_ms);
/* Why no battery was found, for people. */
void follow_bus_regret(const struct follow_bus *bus, char *out, size_t size);

#endif
