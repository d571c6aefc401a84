/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The file in which every byte is kept with its time: JSON lines.
 *   {"recording":"bmscope","version":1,"started":"2026-05-01T10:00:00Z"}
 *   {"t":0.012,"port":"/dev/ttyUSB0","note":"opened"}
 *   {"t":0.013,"port":"/dev/ttyUSB0","line":"115200 8N1"}
 *   {"t":0.014,"port":"/dev/ttyUSB0","tx":"4e57..."}     "rx" likewise
 *   {"t":0.161,"port":"/dev/ttyUSB0","protocol":"jk-uart"}
 * t: seconds since the recording began. On a CAN interface tx and rx are one frame as ID#DATA. There candump's log
 * (candump.h) is the other format: written when the file's name ends in .log, read when the first line is of it.
 */
#ifndef ENGINE_RECORDING_H
#define ENGINE_RECORDING_H

#include <jansson.h>
#include <stdio.h>

#include "model/bytes.h"
#include "protocols/protocol.h"

#define RECORD_BYTES 4096

enum record_kind { RECORD_HEADER, RECORD_NOTE, RECORD_LINE, RECORD_SENT, RECORD_RECEIVED, RECORD_PROTOCOL };

struct record {
	enum record_kind kind;
	double t; /* s */
	char port[96];
	char text[128];			 /* NOTE, LINE */
	const struct protocol *protocol; /* PROTOCOL; NULL when this program does not know it */
	bool can;			 /* SENT, RECEIVED: one CAN frame */
	size_t n;
	uint8_t bytes[RECORD_BYTES];
};

/* Is this JSON line one of a recording? */
bool record_is(const json_t *line);
/* False: malformed; why says how. */
bool record_parse(const json_t *line, struct record *out, char *why, size_t size);

/* A file of records that is being read. Zeroed at the start, but for file. */
struct recording {
	FILE *file; /* the caller's */
	unsigned line;
	bool candump; /* which format it is of; known with the first line */
	char *text;   /* the line itself */
	size_t room;
	bool begun, timed;
	double t0; /* of the first line of a candump log */
};

/* The next line that is not blank, into r->text. False: the end, or the file can't be read (ferror()). */
bool recording_line(struct recording *r);
/*
 * What that line says, in a file of either format; out->t counts from the beginning. 1: out is filled; 0: nothing
 * that matters here; -1: malformed, and why says how.
 */
int recording_take(struct recording *r, struct record *out, char *why, size_t size);
/* The next record but headers. 1: out holds it; 0: the end; -1: malformed, and why names the line, too. */
int recording_next(struct recording *r, struct record *out, char *why, size_t size);
/* Back to the first line. False: this file can't. */
bool recording_rewind(struct recording *r);
void recording_free(struct recording *r);

#endif
