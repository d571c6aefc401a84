/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `bmscope decode`: bytes in, readings out, no port needed. */
#ifndef CONSOLE_DECODE_H
#define CONSOLE_DECODE_H

#include <stdbool.h>

struct protocol;

/*
 * Reads a capture file or a recording ("-" = standard input) and prints one JSON line per line of it.
 * protocol NULL: recognised from the bytes. check: compares with each line's `expect` and prints the
 * differences. Returns the exit code: 0 all decoded (or rejected where expected), 1 not all, 2 the file
 * can't be read.
 */
int decode_file(const char *path, const struct protocol *protocol, bool check);

#endif
