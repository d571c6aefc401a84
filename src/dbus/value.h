/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What stands on a path: a number, a count, a text or nothing; how it is rounded and written. No bus. */
#ifndef BMSCOPE_DBUS_VALUE_H
#define BMSCOPE_DBUS_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

enum value_kind {
	VALUE_INVALID, /* unknown */
	VALUE_NUMBER,
	VALUE_COUNT,
	VALUE_TEXT,
	VALUE_FLAG,    /* count: 0 or 1 */
	VALUE_NUMBERS, /* list */
	VALUE_COUNTS,  /* list of whole numbers */
	VALUE_WORDS,   /* text: words with commas between them */
};

struct value {
	enum value_kind kind;
	union {
		double number;
		int64_t count;
		const char *text;
		const struct number_list *list;
	};
};

/* How a value is shown (contract 1.4). */
enum text_form {
	FORM_PLAIN,
	FORM_V2, /* "53.01V" */
	FORM_V3,
	FORM_A2,
	FORM_W0,
	FORM_AH2,
	FORM_AH0,
	FORM_P1,  /* "0.3%" */
	FORM_HEX, /* "0xBA77" */
};

#define VALUE_TEXT_MAX 1024 /* the longest double in plain digits, the longest list */
#define VALUE_UNKNOWN  "---"

/* NAN and infinite numbers are unknown; -0 becomes 0. */
struct value value_number(double v);
/* The whole part; unknown when v is not known or too large to count. */
struct value value_count(double v);
/* Borrows text; NULL is unknown. */
struct value value_text(const char *text);
bool value_equal(const struct value *a, const struct value *b);

/* v to so many decimals as "%.*f" rounds it: nearest on the exact double, half to even. */
double value_round(double v, int decimals);

/* The next of the words, without blanks around it; false: there is none. words moves on. */
bool words_next(const char **words, char *out, size_t size);

/* The value as text: written to out, but a text is returned as it is. */
const char *value_show(const struct value *v, enum text_form form, char out[VALUE_TEXT_MAX]);

/* Copies text; every byte that is no part of well-formed UTF-8 becomes '?', an end cut short too. */
void utf8_clean(const char *text, char *out, size_t size);

#endif
