/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Batteries, ports and log lines as text and JSON for the one-shot commands. */
#ifndef CONSOLE_TEXT_H
#define CONSOLE_TEXT_H

#include <stdio.h>

#include <jansson.h>

#include "engine/engine.h"

/* A number with its unit, or "--" when unknown (NAN). */
void text_number(double v, int decimals, const char *unit, char *out, size_t size);

/* All there is to know of one battery, in lines of at most 80 columns. */
void text_pack(FILE *to, const struct snapshot *s);
/* One line. */
void text_pack_line(FILE *to, const struct snapshot *s);

/* The reading's fields at the top, beside them port, name, state, limits, settings. New reference. */
json_t *snapshot_to_json(const struct snapshot *s);
json_t *limits_output_to_json(const struct limits_output *o);

/* What a port that brought nothing has to say, with what to check next. */
void text_port_trouble(FILE *to, const struct port_view *p);

#endif
