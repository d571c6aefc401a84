/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is kept of every battery that was ever published: its device instance and the name its owner
 * gave it, by identifier, in a small JSON file. Written beside the loop, whole or not at all.
 */
#ifndef BMSCOPE_DBUS_KEPT_H
#define BMSCOPE_DBUS_KEPT_H

#include <uv.h>

#include "model/say.h"
#include "dbus/tree.h"

struct kept;

struct kept_battery {
	char identifier[PACK_NAME];
	int instance; /* from 1, no two alike */
	char custom_name[CUSTOM_NAME_SIZE];
};

/*
 * Reads dir/dbus.json (dir NULL: nothing is kept beyond this run). A file that is no such file is put
 * aside as dbus.json.bad. NULL: no memory.
 */
struct kept *kept_open(uv_loop_t *loop, const char *dir, struct say say);
/* Writes what is not yet written; the loop must run once more when a write is under way. */
void kept_close(struct kept *k);

/* This battery; a new one gets the lowest instance that no other has. Valid until the next new one.
 * NULL: no memory. */
const struct kept_battery *kept_battery(struct kept *k, const char *identifier);
void kept_rename(struct kept *k, const char *identifier, const char *custom_name);

#endif
