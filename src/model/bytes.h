/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A run of bytes that carries its size, and reads from it that cannot leave it. */
#ifndef MODEL_BYTES_H
#define MODEL_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed, never owned. */
struct bytes {
	const uint8_t *p;
	size_t n;
};

/* How a number lies on the wire. */
enum raw_type {
	RAW_U8,
	RAW_S8,
	RAW_U16BE,
	RAW_S16BE,
	RAW_U16LE,
	RAW_S16LE,
	RAW_U32BE,
	RAW_S32BE,
	RAW_U32LE,
	RAW_S32LE,
	RAW_F32LE,
};

static inline bool bytes_has(struct bytes b, size_t off, size_t n)
{
	return off <= b.n && n <= b.n - off;
}

/* The part of b from off on, at most n bytes; empty when off lies outside. */
static inline struct bytes bytes_sub(struct bytes b, size_t off, size_t n)
{
	if (off > b.n)
		off = b.n;
	if (n > b.n - off)
		n = b.n - off;
	return (struct bytes){b.n ? b.p + off : b.p, n};
}

/* Reads outside b give 0: whoever must tell that from a real 0 asks bytes_has() first. */
uint8_t u8_at(struct bytes b, size_t off);
uint16_t u16be_at(struct bytes b, size_t off);
uint16_t u16le_at(struct bytes b, size_t off);
uint32_t u32be_at(struct bytes b, size_t off);
uint32_t u32le_at(struct bytes b, size_t off);

/* Bytes that a number of this type takes: 1, 2 or 4. */
size_t raw_size(enum raw_type type);
/* The number at off as it stands on the wire, unscaled; 0 outside b. */
double raw_at(struct bytes b, size_t off, enum raw_type type);

/* Stores v at p, which must have room. */
void put_u16be(uint8_t *p, uint16_t v);
void put_u16le(uint8_t *p, uint16_t v);
void put_u32be(uint8_t *p, uint32_t v);

/* Position of needle in hay at or after from; hay.n when it is not there. An empty needle is nowhere. */
size_t bytes_find(struct bytes hay, struct bytes needle, size_t from);
bool bytes_equal(struct bytes a, struct bytes b);

/* Printable ASCII of b into out (size > 0, always terminated): stops at the first 0 byte, drops what
 * is not printable, trims blanks at both ends. Returns the length. */
size_t bytes_text(struct bytes b, char *out, size_t size);

/* Lower-case hex of b into out (size > 0, terminated); cut short with ".." when it does not fit. */
void bytes_hex(struct bytes b, char *out, size_t size);
/* Hex digits (blanks between bytes allowed) into out. Returns the number of bytes, or -1: odd number
 * of digits, a foreign character, or more than size bytes. */
int bytes_from_hex(const char *hex, uint8_t *out, size_t size);

#endif
