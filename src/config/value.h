/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the text of a value to the member of struct config. Only this room includes it. */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "config/options.h"

enum value_result {
	VALUE_TAKEN,
	VALUE_MENDED,  /* taken in a form that why explains */
	VALUE_REFUSED, /* c is unchanged; why says what is wrong */
};

/* Sets the option from text, blanks around it removed. why: "what is wrong (got "VALUE"); what is allowed". */
enum value_result value_set(const struct option *o, const char *text, struct config *c, char *why, size_t size);

/*
 * The next element of a list, without the blanks around it; empty ones are passed over. False: no more.
 * What does not fit ends with "...", which makes it no number.
 */
bool value_next_word(const char **at, char *word, size_t size);

/* True when a value looks as if a comment stood behind it, which the file format does not have (V04). */
bool value_has_comment(const struct option *o, const char *text);

/* text cut to a length that messages can bear, without control characters. Returns shown. */
const char *value_shown(const char *text, char *shown, size_t size);

/* Checks of option.wrong: NULL, or what is wrong with text. */
const char *wrong_bluetooth(const char *text);
const char *wrong_interfaces(const char *text);
const char *wrong_bus_name(const char *text);
const char *wrong_object_path(const char *text);
const char *wrong_host(const char *text);
const char *wrong_file(const char *text);

#endif
