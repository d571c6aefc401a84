/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/bytes.h"

#include <string.h>

uint8_t u8_at(struct bytes b, size_t off)
{
	return bytes_has(b, off, 1) ? b.p[off] : 0;
}

uint16_t u16be_at(struct bytes b, size_t off)
{
	if (!bytes_has(b, off, 2))
		return 0;
	return (uint16_t)(b.p[off] << 8 | b.p[off + 1]);
}

uint16_t u16le_at(struct bytes b, size_t off)
{
	if (!bytes_has(b, off, 2))
		return 0;
	return (uint16_t)(b.p[off + 1] << 8 | b.p[off]);
}

uint32_t u32be_at(struct bytes b, size_t off)
{
	if (!bytes_has(b, off, 4))
		return 0;
	return (uint32_t)u16be_at(b, off) << 16 | u16be_at(b, off + 2);
}

uint32_t u32le_at(struct bytes b, size_t off)
{
	if (!bytes_has(b, off, 4))
		return 0;
	return (uint32_t)u16le_at(b, off + 2) << 16 | u16le_at(b, off);
}

size_t raw_size(enum raw_type type)
{
	switch (type) {
	case RAW_U8:
	case RAW_S8:
		return 1;
	case RAW_U16BE:
	case RAW_S16BE:
	case RAW_U16LE:
	case RAW_S16LE:
		return 2;
	default:
		return 4;
	}
}

double raw_at(struct bytes b, size_t off, enum raw_type type)
{
	switch (type) {
	case RAW_U8:
		return u8_at(b, off);
	case RAW_S8:
		return (int8_t)u8_at(b, off);
	case RAW_U16BE:
		return u16be_at(b, off);
	case RAW_S16BE:
		return (int16_t)u16be_at(b, off);
	case RAW_U16LE:
		return u16le_at(b, off);
	case RAW_S16LE:
		return (int16_t)u16le_at(b, off);
	case RAW_U32BE:
		return u32be_at(b, off);
	case RAW_S32BE:
		return (int32_t)u32be_at(b, off);
	case RAW_U32LE:
		return u32le_at(b, off);
	case RAW_S32LE:
		return (int32_t)u32le_at(b, off);
	case RAW_F32LE: {
		uint32_t u = u32le_at(b, off);
		float f;

		memcpy(&f, &u, sizeof(f));
		return (double)f;
	}
	}
	return 0;
}

void put_u16be(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

void put_u16le(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

void put_u32be(uint8_t *p, uint32_t v)
{
	put_u16be(p, (uint16_t)(v >> 16));
	put_u16be(p + 2, (uint16_t)v);
}

size_t bytes_find(struct bytes hay, struct bytes needle, size_t from)
{
	if (!needle.n)
		return hay.n;
	for (size_t i = from; bytes_has(hay, i, needle.n); i++)
		if (!memcmp(hay.p + i, needle.p, needle.n))
			return i;
	return hay.n;
}

bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.n == b.n && (!a.n || !memcmp(a.p, b.p, a.n));
}

size_t bytes_text(struct bytes b, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < b.n && b.p[i] && n + 1 < size; i++) {
		if (b.p[i] < 0x20 || b.p[i] > 0x7e)
			continue;
		if (b.p[i] == ' ' && !n)
			continue;
		out[n++] = (char)b.p[i];
	}
	while (n && out[n - 1] == ' ')
		n--;
	out[n] = 0;
	return n;
}

void bytes_hex(struct bytes b, char *out, size_t size)
{
	static const char digit[] = "0123456789abcdef";
	size_t fits = (size - 1) / 2;
	size_t n = b.n;
	char *o = out;

	if (n > fits)
		n = fits ? fits - 1 : 0;
	for (size_t i = 0; i < n; i++) {
		*o++ = digit[b.p[i] >> 4];
		*o++ = digit[b.p[i] & 15];
	}
	if (n < b.n && size >= 3) {
		*o++ = '.';
		*o++ = '.';
	}
	*o = 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int bytes_from_hex(const char *hex, uint8_t *out, size_t size)
{
	size_t n = 0;

	for (;;) {
		while (*hex == ' ')
			hex++;
		if (!*hex)
			return (int)n;
		int hi = hex_digit(hex[0]);
		int lo = hi < 0 ? -1 : hex_digit(hex[1]);
		if (lo < 0 || n == size)
			return -1;
		out[n++] = (uint8_t)(hi << 4 | lo);
		hex += 2;
	}
}
