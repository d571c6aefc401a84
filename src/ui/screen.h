/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ncurses face. */
#ifndef UI_SCREEN_H
#define UI_SCREEN_H

#include <uv.h>

#include "engine/engine.h"

struct screen_options {
	/* Opens the ports; called once the screen stands, so that detection is seen from its start.
	 * 0, or the exit code after it has said on standard error what is wrong. */
	int (*open)(void *ctx);
	void *ctx;
	bool demo;	   /* simulated batteries: say so on the screen */
	bool read_only;	   /* the engine refuses every command: say so too */
	bool experimental; /* commands that a sheet calls unproven are allowed */
};

/* Shows the engine until the user quits. Returns the exit code; the terminal is as it was before. */
int screen_run(uv_loop_t *loop, struct engine *e, const struct screen_options *o);

#endif
