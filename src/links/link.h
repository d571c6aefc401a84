/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A link carries bytes: a serial port, a CAN interface, a Bluetooth connection. It never blocks, and
 * knows nothing of protocols. All callbacks come from the event loop, never from inside a call.
 */
#ifndef LINKS_LINK_H
#define LINKS_LINK_H

#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "model/bytes.h"
#include "model/line.h"

struct link_events {
	void (*received)(void *ctx, struct bytes b);
	/* The link has failed (error: a positive errno) and carries nothing any more; the owner closes it. */
	void (*gone)(void *ctx, int error, const char *say);
	void *ctx;
};

struct link;

struct link_ops {
	int (*set_line)(struct link *link, const struct line *line);
	int (*send)(struct link *link, struct bytes b);
	void (*close)(struct link *link);
};

/* What every link begins with. */
struct link {
	const struct link_ops *ops;
	struct link_events events;
};

/* Sets the line; drops what was received but not yet delivered. 0 or -errno. */
static inline int link_set_line(struct link *link, const struct line *line)
{
	return link->ops->set_line(link, line);
}

/* Queues b for sending, all or nothing: 0 or -errno (-ENOBUFS: the port takes nothing). */
static inline int link_send(struct link *link, struct bytes b)
{
	return link->ops->send(link, b);
}

/* Closes and frees; no callback comes after it returns. */
static inline void link_close(struct link *link)
{
	link->ops->close(link);
}

#endif
