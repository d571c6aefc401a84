/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Standard error while the screen stands: what is written there (by a library, by whoever opens the
 * ports) would damage the picture, so it is kept aside and shown where people can read it.
 */
#ifndef UI_CAPTURE_H
#define UI_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>

#include <sys/types.h>

struct capture {
	int before; /* where standard error led; -1: it is not captured */
	int memory;
	off_t taken;
};

/* Only when standard error is a terminal; else it disturbs nobody and stays as it is. */
void capture_start(struct capture *c);
/* The next line that has come, without its end. False: none. */
bool capture_line(struct capture *c, char *out, size_t size);
/* Standard error as it was. With say, all that was written meanwhile goes there now. */
void capture_end(struct capture *c, bool say);

#endif
