/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One battery on the bus: its own connection and name, its tree, what clients write to it. Knows the
 * engine only through struct service_host.
 */
#ifndef BMSCOPE_DBUS_SERVICE_H
#define BMSCOPE_DBUS_SERVICE_H

#include "links/bus.h"
#include "dbus/tree.h"

/* Who carries out what clients ask for. ctx goes with every call but done's. */
struct service_host {
	uv_loop_t *loop;
	struct bus_hub *hub;
	struct say say;
	bool read_only;		       /* clients may write nothing but the custom name */
	bool properties_changed;       /* one PropertiesChanged per path instead of ItemsChanged */
	uint64_t (*now_ms)(void *ctx); /* the clock of the snapshots */
	/* As engine_can() and engine_command(). */
	bool (*can)(void *ctx, unsigned pack, const struct command *c, const char **why);
	int (*command)(void *ctx, unsigned pack, const struct command *c,
		       void (*done)(void *done_ctx, unsigned pack, const struct command *c,
				    const struct command_outcome *o),
		       void *done_ctx);
	void (*clear_history)(void *ctx, unsigned pack, int group); /* NULL: can't be done */
	void (*rename)(void *ctx, const char *identifier, const char *custom_name);
	void *ctx;
};

struct service;

/*
 * Publishes the battery of s (a whole reading, identified) as name: the connection is made, then the
 * name is claimed, last, with every path in place. host is kept, not copied. NULL: no memory.
 */
struct service *service_new(const struct service_host *host, const char *name, const struct tree_identity *identity,
			    const struct snapshot *s, const struct config *config);
/* Takes the battery off the bus. The loop must run once more so that handles are freed. */
void service_free(struct service *v);

/* A new reading, or a poll that failed; config may be another one than before. */
void service_update(struct service *v, const struct snapshot *s, const struct config *config);

unsigned service_pack(const struct service *v); /* snapshot.id */
const char *service_name(const struct service *v);
bool service_claimed(const struct service *v);

#endif
