/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A dump of a real device: raw register bytes from a text file, one `KEY[@ADDRESS] HEX` per line. The key
 * is what the protocol asks by: a register, a command, a tag, a frame type; in hex.
 */
#ifndef SIM_REGISTERS_H
#define SIM_REGISTERS_H

#include "model/bytes.h"

struct registers;

/* NULL: why says line and mistake. */
struct registers *registers_load(const char *path, char *why, size_t size);
void registers_free(struct registers *r);

/* The nth line (from 0) of this key that holds for this address; n == 0 and p == NULL: there is none. */
struct bytes registers_get(const struct registers *r, uint16_t key, uint8_t address, unsigned nth);

/* The ith line of all; false after the last. */
bool registers_at(const struct registers *r, unsigned i, uint8_t address, uint16_t *key, struct bytes *value);

#endif
