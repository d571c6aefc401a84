/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the command line to a running engine: what every face with ports has in common. */
#ifndef START_H
#define START_H

#include <uv.h>

#include "arguments.h"
#include "config/config.h"
#include "engine/engine.h"

struct run {
	uv_loop_t loop;
	struct configuration *configuration;
	struct config config; /* what its [DEFAULT] says */
	struct arguments *arguments;
	struct engine *engine;
};

/*
 * Loads the configuration and makes the engine, without ports. Returns 0, or the exit code after it
 * has said on standard error what is wrong.
 */
int run_start(struct run *r, struct arguments *a);
/* Opens the ports that were asked for (all serial ports if none), or the recording. As run_start(). */
int run_open(struct run *r);
/* Reads the configuration again (SIGHUP). NULL when it has errors (said on standard error): the old one
 * stays in force. */
const struct config *run_reload(struct run *r);
/* Frees the engine and the loop. */
void run_end(struct run *r);

#endif
