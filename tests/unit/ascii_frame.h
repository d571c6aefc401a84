/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For tests: '~' ... CR frames built by hand from sheet ascii-1363, without the program's own codec. */
#ifndef TESTS_ASCII_FRAME_H
#define TESTS_ASCII_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum { ASCII_FRAME_TEXT = 4120 };

struct ascii_head {
	uint8_t ver, adr, cid1, code; /* CID2 or RTN */
};

/* The frame as it goes over the wire, into text (ASCII_FRAME_TEXT bytes); its length. */
size_t ascii_frame(struct ascii_head head, const uint8_t *info, size_t n, char *text);
/* The same in hex, for play.h; one of eight static buffers. */
const char *ascii_frame_hex(struct ascii_head head, const uint8_t *info, size_t n);
/* Any text in hex. */
const char *text_hex(const char *text);
/* Takes apart a request as a board would; the number of INFO bytes. */
size_t ascii_frame_open(const uint8_t *tx, size_t n, struct ascii_head *head, uint8_t *info, size_t room);

#endif
