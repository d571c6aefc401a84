/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A small file that is replaced whole: whoever reads it finds the old text or the new one, whenever the
 * power fails or the disk is full. Written in a thread of libuv's pool; waiting for a disk is not the
 * loop's business.
 */
#ifndef ENGINE_DURABLE_H
#define ENGINE_DURABLE_H

#include <uv.h>

struct durable;

/* failed (may be NULL): a write did not succeed (positive errno), told once until one does. Missing
 * folders of path are made with the first write. NULL: no memory. */
struct durable *durable_new(uv_loop_t *loop, const char *path, void (*failed)(void *ctx, const char *path, int error),
			    void *ctx);
/* Text to be written as soon as the write under way, if any, is done; taken over, freed later. NULL: nothing
 * happens (no memory to make it). */
void durable_write(struct durable *d, char *text);
/* Writes what is not yet written, then frees d; the loop must run once more when a write is under way.
 * failed is not called any more. */
void durable_close(struct durable *d);

/* The write itself, now: 0 or a positive errno. */
int durable_replace(const char *path, const char *text);
/* Makes the folders above path, and path too when it ends in "/": 0 or a positive errno. */
int durable_make_folders(const char *path);

#endif
