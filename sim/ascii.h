/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The '~' ... CR frames of sheet ascii-1363 as a board speaks them. */
#ifndef SIM_ASCII_H
#define SIM_ASCII_H

#include "sim/device.h"

enum { ASCII_INFO = 2047 };

struct ascii_request {
	char soi;
	uint8_t ver, adr, cid1, cid2;
	uint16_t n;
	uint8_t info[176]; /* the longest request has fewer (seplos-v2 A1: 169); what is longer is cut */
};

/* For kind.find_request: a frame whose length and checksum fit, whatever its start character is. */
int ascii_find_request(const struct scenario *s, struct bytes in);
/* Takes apart what ascii_find_request() found. */
void ascii_open(struct bytes request, struct ascii_request *out);
/* The reply to r from address adr, with INFO; f is the reply's next frame. */
void ascii_answer(struct frame *f, const struct ascii_request *r, uint8_t adr, uint8_t rtn, struct bytes info);

#endif
