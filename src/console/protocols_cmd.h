/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `bmscope protocols`: what is known, and what each can report and do; from the registry, so that it is true. */
#ifndef CONSOLE_PROTOCOLS_CMD_H
#define CONSOLE_PROTOCOLS_CMD_H

#include <stdbool.h>

/* As text, as one JSON object a line, or (markdown) as the tables of README.md. Returns the exit code. */
int protocols_command(bool json, bool markdown);

#endif
