/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The headless face: every battery of the engine as a service com.victronenergy.battery.*, from its
 * first whole reading on until it is gone for good.
 */
#ifndef BMSCOPE_DBUS_PUBLISHER_H
#define BMSCOPE_DBUS_PUBLISHER_H

#include "engine/engine.h"

struct publisher_options {
	const struct config *config; /* of the program; kept, not copied, until publisher_reconfigure() */
	const char *bus;	     /* "system", "session", an address; NULL: as the environment says */
	int product_id;		     /* 0: the usual one */
	bool properties_changed;     /* one PropertiesChanged per path instead of ItemsChanged */
	bool read_only;		     /* as for the engine */
	bool experimental;
	bool addressed;		     /* bus addresses were given to the program: they become part of names */
	const char *process_name;    /* NULL: the running program's path */
	const char *process_version; /* NULL: our own */
};

struct publisher;

/*
 * Connects as soon as there is a bus, and follows the engine from now on. NULL: there can be no such
 * bus, or no memory; why says it.
 */
struct publisher *publisher_new(uv_loop_t *loop, struct engine *e, const struct publisher_options *options, char *why,
				size_t size);
/* Takes all batteries off the bus. Before engine_free(); the loop must run once more. */
void publisher_free(struct publisher *p);

/* New options (SIGHUP), after engine_reconfigure(), which says what holds for each battery. */
void publisher_reconfigure(struct publisher *p, const struct config *config);

/* How many batteries consumers can see. */
unsigned publisher_published(const struct publisher *p);

#endif
