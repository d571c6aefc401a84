/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The list of what is wrong with a configuration. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config/internal.h"

#define MAX_PROBLEMS 1000 /* nobody reads more, and a file of rubbish has no end of them */

static const char *const severity_names[] = {"info", "warning", "error"};

static void add(struct config_report *r, const struct config_problem *p)
{
	struct config_problem *more = NULL;

	if (p->severity == CONFIG_ERROR)
		r->errors++;
	if (r->count < MAX_PROBLEMS)
		more = realloc(r->problem, (r->count + 1) * sizeof(*more));
	if (!more) {
		r->dropped++;
		return;
	}
	r->problem = more;
	r->problem[r->count++] = *p;
}

void report_add(struct config_report *r, enum config_severity severity, unsigned line, const char *format, ...)
{
	struct config_problem p = {.severity = severity, .line = (int)line};
	va_list args;

	va_start(args, format);
	vsnprintf(p.text, sizeof(p.text), format, args);
	va_end(args);
	add(r, &p);
}

void report_add_once(struct config_report *r, const struct config_problem *p)
{
	for (unsigned i = 0; i < r->count; i++)
		if (r->problem[i].line == p->line && !strcmp(r->problem[i].text, p->text))
			return;
	add(r, p);
}

/* By line; what belongs to no line comes last; problems of one line stay in their order. */
void report_sort(struct config_report *r)
{
	for (unsigned i = 1; i < r->count; i++) {
		struct config_problem p = r->problem[i];
		unsigned j = i;

		while (j && p.line && (!r->problem[j - 1].line || r->problem[j - 1].line > p.line)) {
			r->problem[j] = r->problem[j - 1];
			j--;
		}
		r->problem[j] = p;
	}
}

void config_report_free(struct config_report *r)
{
	free(r->problem);
	memset(r, 0, sizeof(*r));
}

void config_report_print(const struct config_report *r, FILE *to)
{
	for (unsigned i = 0; i < r->count; i++) {
		const struct config_problem *p = &r->problem[i];

		if (r->file[0])
			fprintf(to, "%s:", r->file);
		if (p->line)
			fprintf(to, "%d:", p->line);
		fprintf(to, "%s%s: %s\n", r->file[0] || p->line ? " " : "", severity_names[p->severity], p->text);
	}
	if (r->dropped)
		fprintf(to, "%s: %u more problems are not listed\n", r->file, r->dropped);
}
