/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ascii_frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 13, OVERHEAD = 18 };

size_t ascii_frame(struct ascii_head h, const uint8_t *info, size_t n, char *text)
{
	unsigned lenid = (unsigned)(2 * n), nibbles = (lenid >> 8) + (lenid >> 4 & 15) + (lenid & 15), sum = 0;
	size_t at =
		(size_t)sprintf(text, "~%02X%02X%02X%02X%X%03X", h.ver, h.adr, h.cid1, h.code, -nibbles & 15u, lenid);

	for (size_t i = 0; i < n; i++)
		at += (size_t)sprintf(text + at, "%02X", info[i]);
	for (size_t i = 1; i < at; i++)
		sum += (uint8_t)text[i];
	at += (size_t)sprintf(text + at, "%04X\r", -sum & 0xffffu);
	return at;
}

const char *text_hex(const char *text)
{
	static char hex[8][2 * ASCII_FRAME_TEXT + 1];
	static unsigned next;
	char *out = hex[next = (next + 1) % 8];

	out[0] = 0;
	for (size_t i = 0; text[i]; i++)
		sprintf(out + 2 * i, "%02x", (unsigned char)text[i]);
	return out;
}

const char *ascii_frame_hex(struct ascii_head head, const uint8_t *info, size_t n)
{
	static char text[ASCII_FRAME_TEXT];

	ascii_frame(head, info, n, text);
	return text_hex(text);
}

static uint8_t byte_of(const uint8_t *tx)
{
	char digits[3] = {(char)tx[0], (char)tx[1], 0};

	return (uint8_t)strtoul(digits, NULL, 16);
}

size_t ascii_frame_open(const uint8_t *tx, size_t n, struct ascii_head *head, uint8_t *info, size_t room)
{
	size_t count = n < OVERHEAD ? 0 : (n - OVERHEAD) / 2;

	*head = (struct ascii_head){byte_of(tx + 1), byte_of(tx + 3), byte_of(tx + 5), byte_of(tx + 7)};
	for (size_t i = 0; i < count && i < room; i++)
		info[i] = byte_of(tx + HEAD + 2 * i);
	return count;
}
