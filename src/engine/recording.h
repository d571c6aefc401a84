/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The file in which every byte is kept with its time: JSON lines.
 *   {"recording":"bmscope","version":1,"started":"2026-05-01T10:00:00Z"}
 *   {"t":0.012,"port":"/dev/ttyUSB0","note":"opened"}
 *   {"t":0.013,"port":"/dev/ttyUSB0","line":"115200 8N1"}
 *   {"t":0.014,"port":"/dev/ttyUSB0","tx":"4e57..."}     "rx" likewise
 *   {"t":0.161,"port":"/dev/ttyUSB0","protocol":"jk-uart"}
 * t: seconds since the recording began.
 */
#ifndef ENGINE_RECORDING_H
#define ENGINE_RECORDING_H

#include <jansson.h>

#include "model/bytes.h"
#include "protocols/protocol.h"

#define RECORD_BYTES 4096

enum record_kind { RECORD_HEADER, RECORD_NOTE, RECORD_LINE, RECORD_SENT, RECORD_RECEIVED, RECORD_PROTOCOL };

struct record {
	enum record_kind kind;
	double t; /* s */
	char port[96];
	char text[128];                  /* NOTE, LINE */
	const struct protocol *protocol; /* PROTOCOL; NULL when this program does not know it */
	size_t n;                        /* SENT, RECEIVED */
	uint8_t bytes[RECORD_BYTES];
};

/* Is this JSON line one of a recording? */
bool record_is(const json_t *line);
/* False: malformed; why says how. */
bool record_parse(const json_t *line, struct record *out, char *why, size_t size);

#endif
