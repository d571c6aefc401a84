/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `bmscope shell`: a line console for dumb terminals and scripts. */
#ifndef CONSOLE_SHELL_H
#define CONSOLE_SHELL_H

#include <uv.h>

#include "engine/engine.h"

/* Reads commands from standard input until it ends or says quit. 0; 1 when a command of a script failed. */
int shell_run(uv_loop_t *loop, struct engine *e, bool experimental);

#endif
