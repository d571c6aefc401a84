/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Kinds of links, and how a serial line is set. */
#ifndef MODEL_LINE_H
#define MODEL_LINE_H

#include <stdbool.h>
#include <stdint.h>

enum link_kind { LINK_SERIAL, LINK_CAN, LINK_BLE, LINK_SPI, LINK_MQTT };

struct line {
	uint32_t baud;
	uint8_t data_bits; /* 7 or 8 */
	char parity;       /* 'N', 'E', 'O' */
	uint8_t stop_bits; /* 1 or 2 */
};

static inline bool line_equal(const struct line *a, const struct line *b)
{
	return a->baud == b->baud && a->data_bits == b->data_bits && a->parity == b->parity &&
	       a->stop_bits == b->stop_bits;
}

/* Time that n bytes take on this line, in ms, rounded up. */
static inline uint32_t line_wire_ms(const struct line *l, uint32_t n)
{
	uint32_t bits = 1u + l->data_bits + (l->parity != 'N') + l->stop_bits;

	return l->baud ? (n * bits * 1000u + l->baud - 1) / l->baud : 0;
}

#endif
