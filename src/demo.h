/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Simulated batteries for `bmscope demo`: bmscope-sim as a child process. */
#ifndef DEMO_H
#define DEMO_H

#include <stdbool.h>

#include <sys/types.h>

#define DEMO_MAX_PORTS 8

struct demo {
	pid_t pid;
	char port[DEMO_MAX_PORTS][96];
	unsigned count;
};

/* Starts bmscope-sim (beside this program, else found by PATH) and learns its ports. 0, or the exit code
 * after saying what is wrong. */
int demo_start(struct demo *d);
void demo_end(struct demo *d);

#endif
