/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For protocol tests: one command against a board that the test plays, step by step as a session takes them. */
#ifndef TESTS_ACT_H
#define TESTS_ACT_H

#include "engine/exchange.h"

/*
 * What the board answers to request: bytes into rx (room for MAX_FRAME), their number returned; 0: silence.
 */
typedef size_t (*act_board)(void *ctx, struct bytes request, uint8_t *rx);

struct act {
	struct command_outcome outcome;
	unsigned requests; /* that went out */
	unsigned steps;	   /* of the procedure */
	uint32_t waited_ms;
	char writes[1024]; /* hex of the requests that may change something, one blank between two */
	char last[64];	   /* hex of the last request of all */
};

struct act act(struct device *dev, const struct command *command, act_board board, void *ctx);

#endif
