/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Has looking for batteries come to a result? */
#ifndef CONSOLE_SETTLE_H
#define CONSOLE_SETTLE_H

#include "engine/engine.h"

struct settled {
	unsigned ports;
	unsigned pending;  /* ports still being looked at */
	unsigned refused;  /* ports that could not be opened */
	unsigned packs;    /* batteries with a whole, identified reading */
};

/* A port is through when its batteries have been read and identified and every address of its cable
 * has been asked; or after so many sweeps without success. */
struct settled settle(const struct engine *e, unsigned max_sweeps);

/* 0: a battery was found, 1: none, 3: none because no port could be opened. */
int settled_exit_code(const struct settled *s);

/* For a terminal: one line that shows what is being tried, redrawn in place; "" when nothing is. */
void settle_progress(const struct engine *e, char *out, size_t size);

#endif
