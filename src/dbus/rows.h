/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of paths (dbus.md section 4) and where each value comes from; for tree.c alone. */
#ifndef BMSCOPE_DBUS_ROWS_H
#define BMSCOPE_DBUS_ROWS_H

#include "dbus/tree.h"

/* What a row may look at. limits, reading and snapshot are NULL when only rows of our own are looked at. */
struct view {
	const struct row *row; /* the row that is asked */
	unsigned n;	       /* of a repeated row: which, from 1 */
	const struct tree *tree;
	const struct snapshot *snapshot;
	const struct limits_output *limits; /* of the mode in force */
	const struct config *config;
	uint64_t now_ms;
	char scratch[512]; /* for texts that are made up; valid until the next row is asked */
};

enum row_repeat { REPEAT_ONCE, REPEAT_CELLS, REPEAT_SENSORS, REPEAT_POINTS, REPEAT_OPTIONS };

enum row_source {
	SOURCE_FUNCTION, /* get() */
	SOURCE_LIMITS,	 /* the double at offset in struct limits_output */
	SOURCE_NEGATIVE, /* the same, with the other sign */
	SOURCE_CONSTANT, /* arg */
	SOURCE_OWN,	 /* get(), from the tree's own state alone: changes between snapshots */
	SOURCE_NONE,	 /* nothing reports it yet */
	SOURCE_TREE,	 /* made from all other items: /JsonData */
};

struct row {
	const char *path; /* "%u": the number of a repeated row */
	char sig;	  /* the type of its values: 'd', 'i', 's'; 'v': an option's own */
	enum text_form form;
	int decimals; /* to which a number is rounded; EXACT: it is not */
	enum row_source source;
	size_t offset;
	struct value (*get)(struct view *v);
	int arg;
	enum row_repeat repeat;
	bool (*exists)(const struct tree_shape *shape, int arg); /* NULL: always */
	enum item_write write;
};

#define EXACT (-1)

extern const struct row tree_rows[];
extern const unsigned tree_row_count;

void shape_of(struct tree_shape *shape, const struct tree_identity *identity, const struct snapshot *s,
	      const struct config *config);

#endif
