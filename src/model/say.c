/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/say.h"

#include <stdarg.h>
#include <stdio.h>

void say_log(const struct say *say, enum log_level level, const char *format, ...)
{
	char text[512];
	va_list args;

	if (!say->log)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say->log(say->ctx, level, text);
}
