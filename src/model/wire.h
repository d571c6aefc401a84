/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What travels over a link, as people and files see it: hexadecimal digits; on CAN ID#DATA, as candump writes it. */
#ifndef MODEL_WIRE_H
#define MODEL_WIRE_H

#include "model/can.h"
#include "model/line.h"

/* Cut short with ".." when it does not fit. size > 0. */
void wire_text(enum link_kind link, struct bytes b, char *out, size_t size);
/* Reads hexadecimal digits, or one CAN frame where the text has a '#' (its CAN_BYTES). Returns how many bytes; -1:
 * neither, or more than size. */
int wire_parse(const char *text, uint8_t *out, size_t size);
/* Is this text a CAN frame, if it is anything? */
bool wire_is_can(const char *text);

#endif
