/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of this room share; nobody else includes it. */
#ifndef CONFIG_INTERNAL_H
#define CONFIG_INTERNAL_H

#include "config/options.h"

/* One line "NAME = value" of a file; the value has been found good. */
struct assignment {
	const struct option *option;
	char *value;
	unsigned line;
};

enum section_kind { SECTION_DEFAULT, SECTION_PROTOCOL, SECTION_PORT, SECTION_PACK };

struct section {
	enum section_kind kind;
	char *name;	 /* "DEFAULT", "pack:1234" */
	const char *key; /* what stands behind the colon; "" for DEFAULT */
	struct assignment *assignment;
	unsigned count;
};

/* section[0] is always [DEFAULT]. */
struct configuration {
	struct section *section;
	unsigned count;
};

/* report.c */
__attribute__((format(printf, 4, 5))) void report_add(struct config_report *r, enum config_severity severity,
						      unsigned line, const char *format, ...);
/* The same, unless that line has this problem already. */
void report_add_once(struct config_report *r, const struct config_problem *p);
void report_sort(struct config_report *r);

/* file.c: the lines of the file at path, each checked by itself. sections: other than [DEFAULT] are allowed. */
void file_read(struct configuration *conf, const char *path, bool sections, const struct config_names *names,
	       struct config_report *report);

/* check.c: rules over several options; origin and names may be NULL. */
void check_config(struct config *c, const struct config_origin *origin, const struct config_names *names,
		  struct config_report *report);

#endif
