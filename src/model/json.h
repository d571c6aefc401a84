/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Readings and settings as JSON, in the vocabulary that every face, file and test shares. */
#ifndef MODEL_JSON_H
#define MODEL_JSON_H

#include <jansson.h>

#include "model/reading.h"
#include "model/setting.h"

/* Digits that survive: enough for every value on a wire, few enough to hide binary noise. */
#define JSON_DIGITS 10

/* New object of all known fields; unknown ones are absent. The caller owns it; NULL: no memory. */
json_t *reading_to_json(const struct reading *r);
json_t *settings_to_json(const struct settings *s);
json_t *alarms_to_json(const struct alarms *a);

/* A whole number becomes a JSON integer, another one a real. */
json_t *json_from_number(double v);

/* One line, no blanks after separators needed by people: json_dumps() with our digits and key order.
 * The caller frees it. */
char *json_line(const json_t *j);

#endif
