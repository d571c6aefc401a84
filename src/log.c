/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void print_log(void *ctx, enum log_level level, double wall, const char *text)
{
	const struct log_printer *l = ctx;
	static const int priority[] = {3, 4, 6, 7};
	time_t t = (time_t)wall;
	struct tm tm;
	char stamp[16];

	if (level > l->level)
		return;
	if (l->journal) {
		fprintf(stderr, "<%d>%s\n", priority[level], text);
		return;
	}
	localtime_r(&t, &tm);
	strftime(stamp, sizeof(stamp), "%H:%M:%S", &tm);
	fprintf(stderr, "%s %s\n", stamp, text);
}

void log_printer_start(struct log_printer *l, struct engine *e, enum log_level level)
{
	*l = (struct log_printer){.level = level, .journal = getenv("JOURNAL_STREAM") != NULL};
	l->observer.log = print_log;
	l->observer.ctx = l;
	engine_observe(e, &l->observer);
}
