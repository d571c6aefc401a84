/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The commands that look at ports, say something and end: scan, read, set, record. Each runs the loop
 * until it is done or interrupted and returns the exit code. */
#ifndef CONSOLE_ONESHOT_H
#define CONSOLE_ONESHOT_H

#include <uv.h>

#include "engine/engine.h"

struct oneshot_options {
	bool json;
	bool watch;      /* read: go on */
	bool quick;      /* only the quick sweep */
	bool yes;        /* set: do not ask */
	unsigned count;  /* read: so many readings per battery; 0 = no end */
	double seconds;  /* end after so long; NAN = not */
};

/* What hangs on which port. 0: found, 1: nothing found, 3: no port could be opened. */
int scan_run(uv_loop_t *loop, struct engine *e, const struct oneshot_options *o);
/* One reading of every battery, or with watch one per poll. 0 / 1 / 3 as scan. */
int read_run(uv_loop_t *loop, struct engine *e, const struct oneshot_options *o);
/* Carries out one command on the battery there is. 0 done, 1 refused or not confirmed or nothing found,
 * 2 several batteries and none chosen, or nobody to ask, 3 the port failed. */
int set_run(uv_loop_t *loop, struct engine *e, const struct command *c, const struct oneshot_options *o);
/* Lets the recording that engine_record() began go on until interrupted. 0; 2 when it can hold
 * nothing of the ports there are; 3 when it broke off. */
int record_run(uv_loop_t *loop, struct engine *e, const struct oneshot_options *o);

#endif
