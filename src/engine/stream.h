/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a device that speaks by itself has said lately, row by row of its protocol's polls: when a reading is
 * whole, and what has become too old to be believed. Zeroed at the start.
 */
#ifndef ENGINE_STREAM_H
#define ENGINE_STREAM_H

#include "protocols/protocol.h"

#define STREAM_MAX_ROWS 32

struct stream {
	uint32_t heard;	 /* bit per row: since the last reading */
	uint32_t ageing; /* bit per row: its age counts */
	uint64_t last_ms[STREAM_MAX_ROWS];
};

/* Does a device of this dialect speak by itself? */
bool stream_speaks(const struct protocol *protocol, uint8_t dialect);
/* Is dev the one who said what as stands for? What speaks by itself and what answers are two, at the same address. */
bool stream_said(const struct device *dev, const struct request *as);
/* The row of polls that as (of overhear(), or a request) stands for; -1: none. */
int stream_row(const struct protocol *protocol, const struct request *as);
/* A frame of this row was taken at now_ms. Rows beyond STREAM_MAX_ROWS, and -1, are ignored. */
void stream_heard(struct stream *s, const struct protocol *protocol, int row, uint64_t now_ms);
/* Has every row that a reading needs been heard since the last one? */
bool stream_complete(const struct stream *s, const struct device *dev);
/* That reading is out: the next one needs everything anew. */
void stream_published(struct stream *s);
/* All that was heard before this time counts as heard now. */
void stream_start(struct stream *s, const struct protocol *protocol, uint64_t now_ms);
/* Makes dev forget what was not repeated in time; true: it has forgotten something. A
 * device that only speaks when asked forgets nothing. */
bool stream_age(struct stream *s, struct device *dev, uint64_t now_ms);
/* When stream_age() has something to do; UINT64_MAX: never, as far as is known. */
uint64_t stream_deadline(const struct stream *s, const struct protocol *protocol);

#endif
