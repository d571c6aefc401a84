/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For protocol tests: one exchange in hex, through the engine's exchange as on a live port. */
#ifndef TESTS_PLAY_H
#define TESTS_PLAY_H

#include "engine/exchange.h"

/* A device of this protocol that has told nothing yet; released with device_free(). */
struct device fresh_device(const char *protocol, uint8_t address, uint8_t dialect);

/*
 * Sends dev's request of this code and lets the hex strings of rx (NULL-terminated list) come in one
 * after the other, then silence. Returns how the exchange ended; error (128 bytes) says why it failed or
 * what was refused.
 */
enum exchange_state play(struct device *dev, uint16_t code, uint16_t arg, const char *const *rx, char *error);
/* The same for what a request in hex asks, as a recording has it. */
enum exchange_state play_tx(struct device *dev, const char *tx, const char *const *rx, char *error);
#define RX(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The request's bytes in hex; static buffer. */
const char *request_hex(struct device *dev, uint16_t code, uint16_t arg);

#endif
