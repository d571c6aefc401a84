/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `bmscope config`: is a file right, what is in force, what could be written into one. */
#ifndef CONSOLE_CONFIG_CMD_H
#define CONSOLE_CONFIG_CMD_H

#include "config/config.h"

/*
 * what: "check", "show", "default" (the file of all defaults) or "man" (the manual page); path: the file,
 * NULL = the usual one. Returns the exit code: 0, or 2 for a file with errors or an unknown word.
 */
int config_command(const char *what, const char *path);

/* The names that the validator can't know by itself: those of the protocols. list takes the text of
 * names->bms_types and must live as long. */
void config_known_names(struct config_names *names, char *list, size_t size);

#endif
