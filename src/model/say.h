/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where log lines go. */
#ifndef MODEL_SAY_H
#define MODEL_SAY_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

struct say {
	void (*log)(void *ctx, enum log_level level, const char *text); /* NULL: nowhere */
	void *ctx;
};

__attribute__((format(printf, 3, 4))) void say_log(const struct say *say, enum log_level level, const char *format,
						   ...);

#endif
