/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The engine's log on standard error; with systemd's journal behind it, with priorities. */
#ifndef LOG_H
#define LOG_H

#include "engine/engine.h"

struct log_printer {
	struct observer observer;
	enum log_level level; /* the least important that is written */
	bool journal;
};

void log_printer_start(struct log_printer *l, struct engine *e, enum log_level level);

#endif
