/* SPDX-License-Identifier: GPL-3.0-or-later */
/* In place of CAN where bmscope is built without it. */
#include "config.h"

#include "links/can.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

static int refuse(const char *name, char *why, size_t size)
{
	snprintf(why, size, "%s: this bmscope was built without CAN (--enable-can, with libsocketcan)", name);
	return -EAFNOSUPPORT;
}

struct link *can_open(uv_loop_t *loop, const char *name, const struct line *line, struct link_events events, int *error,
		      char *why, size_t size)
{
	(void)loop;
	(void)line;
	(void)events;
	*error = -refuse(name, why, size);
	return NULL;
}

int can_set_filters(struct link *link, const struct can_ids *ids, unsigned n)
{
	(void)link;
	(void)ids;
	(void)n;
	return -EAFNOSUPPORT;
}

void can_allow_bitrate(struct link *link, bool allow)
{
	(void)link;
	(void)allow;
}

void can_status(struct link *link, struct can_status *out)
{
	(void)link;
	*out = (struct can_status){.load = NAN};
}

const char *can_bus_state_text(enum can_bus_state state)
{
	(void)state;
	return "unknown";
}

int can_up(const char *name, uint32_t bitrate, bool listen_only, char *why, size_t size)
{
	(void)bitrate;
	(void)listen_only;
	return refuse(name, why, size);
}

unsigned can_list(struct can_interface *out, unsigned max)
{
	(void)out;
	(void)max;
	return 0;
}
