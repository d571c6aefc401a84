/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `bmscope limits`: readings in, limits out, no port needed. */
#ifndef CONSOLE_LIMITS_H
#define CONSOLE_LIMITS_H

#include "limits/limits.h"

/*
 * Reads a sequence of readings ("-" = standard input) and prints one JSON line of limits per step. The
 * options of its first line go over those of the file at config_path (NULL: the defaults). mode 0: as
 * configured, else enum limits_mode. Returns the exit code: 0, or 2 when a file can't be used; then it has
 * said why on standard error.
 */
int limits_file(const char *path, const char *config_path, int mode);

#endif
