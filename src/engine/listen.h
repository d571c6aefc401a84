/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who speaks by himself on a bus, and is not known yet. What looks like a frame of the protocol may be anything: a
 * device is believed in when all that it must say has come twice, and fits together.
 */
#ifndef ENGINE_LISTEN_H
#define ENGINE_LISTEN_H

#include "engine/stream.h"

#define LISTEN_MAX 16

struct listen {
	const struct protocol *protocol;
	struct protocol_options options;
	struct voice {
		struct device dev; /* dev.protocol NULL: this place is free */
		struct stream stream;
		unsigned times; /* all of it has come */
		uint64_t heard_ms;
	} heard[LISTEN_MAX];
};

void listen_init(struct listen *l, const struct protocol *protocol, const struct protocol_options *options);
void listen_free(struct listen *l);
/*
 * A frame that overhear() has called the answer to `as`. True: that makes a device, which *out is now and the caller
 * owns.
 */
bool listen_hears(struct listen *l, const struct request *as, struct bytes frame, uint64_t now_ms, struct device *out);
/* Nothing more will come: the same for one whose every row was heard once, until there is none. */
bool listen_takes_last(struct listen *l, struct device *out);

#endif
