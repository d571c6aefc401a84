/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One line of the log that can-utils' `candump -l` writes and canplayer plays:
 *   (1436509052.249713) vcan0 044#2A366C2BBA R
 * epoch time, interface, frame; R (received) or T (sent) where it was asked for.
 */
#ifndef ENGINE_CANDUMP_H
#define ENGINE_CANDUMP_H

#include <stdio.h>

#include "engine/recording.h"

/* Does it begin like such a line? */
bool candump_is(const char *line);
/*
 * 1: out is what was sent or received, its t in the log's own time. 0: nothing that a BMS says (CAN FD, CAN XL,
 * error frames). -1: malformed; why says how.
 */
int candump_parse(const char *line, struct record *out, char *why, size_t size);
/* Writes the frame that b (CAN_BYTES) is; negative when the file can't be written. */
int candump_write(FILE *file, uint64_t epoch_us, const char *interface, struct bytes b, bool sent);

#endif
