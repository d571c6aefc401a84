/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where this room's log lines go. */
#ifndef BMSCOPE_DBUS_SAY_H
#define BMSCOPE_DBUS_SAY_H

#include "engine/engine.h"

struct say {
	void (*log)(void *ctx, enum log_level level, const char *text); /* NULL: nowhere */
	void *ctx;
};

__attribute__((format(printf, 3, 4))) void say_log(const struct say *say, enum log_level level, const char *format,
						   ...);

#endif
