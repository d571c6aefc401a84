/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `bmscope --daemon`: the engine without a screen, its batteries on D-Bus. */
#ifndef BMSCOPE_DBUS_DAEMON_H
#define BMSCOPE_DBUS_DAEMON_H

#include <uv.h>

#include "engine/engine.h"

struct daemon_options {
	const char *bus; /* as publisher_options.bus */
	const struct config *config;
	bool read_only, experimental, addressed;
	/* SIGHUP: loads the configuration again and gives it to the engine. NULL: it has errors, the old one
	 * stays in force. */
	const struct config *(*reload)(void *ctx);
	void *ctx;
};

/* Runs until SIGTERM or SIGINT. 0; 2 when there can be no such bus. */
int daemon_run(uv_loop_t *loop, struct engine *e, const struct daemon_options *o);

#endif
