/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The table of options as others may look at it: the validator, the default file, the man page,
 * `bmscope config`, the D-Bus face and the screen all walk through it. options.c holds the rows.
 */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include "config/config.h"

enum option_type {
	OPTION_BOOL,
	OPTION_INT,
	OPTION_FLOAT,
	OPTION_CHOICE, /* one of the words in choices */
	OPTION_TEXT,
	OPTION_WORDS,	  /* words separated by commas, kept as text */
	OPTION_INTEGERS,  /* list */
	OPTION_NUMBERS,	  /* list */
	OPTION_ADDRESSES, /* list of hexadecimal bytes */
	OPTION_ADJUST,	  /* offset, slope */
};

/* How the member of struct config is declared. */
enum option_store { STORE_BOOL, STORE_INT, STORE_DOUBLE, STORE_TEXT, STORE_LIST };

/* Who looks at it; a set. */
enum option_user {
	USED_LIMITS = 1,
	USED_PROTOCOLS = 2,
	USED_DBUS = 4,
	USED_SCREEN = 8,
	USED_LOG = 16,
	USED_NOBODY = 32, /* taken so that the file of another program loads unchanged */
};

struct option {
	const char *name;
	enum option_type type;
	const char *initial;	 /* the default, as a file would have it */
	double lo, hi;		 /* of each number; lo == hi: no bounds */
	bool above;		 /* lo itself is not allowed */
	bool raise;		 /* a number below lo is only a warning: lo is used */
	const char *unit;	 /* NULL if it has none */
	const char *choices;	 /* "1 linear, 2 step": the words or numbers allowed, NULL = all of the range */
	const char *empty;	 /* what an empty value stands for, as text; NULL: it is an error */
	const char *empty_means; /* the same for people */
	const char *note;	 /* said with every error of its value; NULL = nothing */
	/* NULL, or what is wrong with a text */
	const char *(*wrong)(const char *text);
	unsigned used;	     /* set of enum option_user */
	bool secret;	     /* never shown or published */
	bool global;	     /* concerns the program, not one pack: only in [DEFAULT] */
	const char *heading; /* a group of options begins here; NULL = no */
	const char *help;
	size_t offset; /* in struct config */
	enum option_store store;
	size_t size; /* of the member */
};

/* The rows in the order of the default file; i from 0 to CONFIG_OPTIONS - 1. */
const struct option *option_at(unsigned i);
unsigned option_index(const struct option *o);
/* NULL: no option has exactly this name. */
const struct option *option_by_name(const char *name);

/* The value in force as text that a file could hold, whatever the locale; a secret one is shown as it is. */
void option_text(const struct option *o, const struct config *c, char *text, size_t size);
/* What may be set, for messages and help: "integer 0 to 3600". */
void option_allowed(const struct option *o, char *text, size_t size);
/* "integer", "list of numbers": the kind of value, for help. */
const char *option_type_name(const struct option *o);

#endif
