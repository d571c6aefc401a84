/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/ascii.h"

#include <string.h>

/* In characters. */
enum { INFO_AT = 13, SUM = 4, SHORTEST = 18 };

static int digit(uint8_t c)
{
	const char *all = "0123456789ABCDEF", *at = c ? strchr(all, c) : NULL;

	return at ? (int)(at - all) : -1;
}

static unsigned number(struct bytes b, size_t off, unsigned n)
{
	unsigned v = 0;

	for (unsigned i = 0; i < n; i++)
		v = v << 4 | ((unsigned)digit(u8_at(b, off + i)) & 0xf);
	return v;
}

/* What makes the sum of the characters a multiple of 65536. */
static unsigned complement(const uint8_t *p, size_t n)
{
	unsigned sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += p[i];
	return (0x10000 - (sum & 0xffff)) & 0xffff;
}

static unsigned length_word(size_t characters)
{
	unsigned n = (unsigned)characters, sum = n / 256 + n / 16 % 16 + n % 16;

	return (16 - sum % 16) % 16 * 0x1000 + n;
}

int ascii_find_request(const struct scenario *s, struct bytes in)
{
	(void)s;
	size_t n = 1;

	if (u8_at(in, 0) != '~' && u8_at(in, 0) != '>')
		return -1;
	while (n < in.n && digit(in.p[n]) >= 0)
		n++;
	if (n == in.n)
		return n > 400 ? -1 : 0;
	if (in.p[n] != '\r' || n + 1 < SHORTEST)
		return -1;
	size_t info = n + 1 - SHORTEST;
	if (number(in, 9, 4) != length_word(info) || number(in, n - SUM, SUM) != complement(in.p + 1, n - 1 - SUM))
		return -1;
	return (int)n + 1;
}

void ascii_open(struct bytes request, struct ascii_request *out)
{
	size_t n = (request.n - SHORTEST) / 2;

	*out = (struct ascii_request){
		.soi = (char)u8_at(request, 0),
		.ver = (uint8_t)number(request, 1, 2),
		.adr = (uint8_t)number(request, 3, 2),
		.cid1 = (uint8_t)number(request, 5, 2),
		.cid2 = (uint8_t)number(request, 7, 2),
		.n = (uint16_t)(n < sizeof(out->info) ? n : sizeof(out->info)),
	};
	for (size_t i = 0; i < out->n; i++)
		out->info[i] = (uint8_t)number(request, INFO_AT + 2 * i, 2);
}

static void add_digits(struct frame *f, unsigned v, unsigned n)
{
	while (n--)
		frame_add_u8(f, (uint8_t) "0123456789ABCDEF"[v >> 4 * n & 0xf]);
}

void ascii_answer(struct frame *f, const struct ascii_request *r, uint8_t adr, uint8_t rtn, struct bytes info)
{
	size_t begin = f->n + 1u;

	frame_add_u8(f, (uint8_t)r->soi);
	add_digits(f, r->ver, 2);
	add_digits(f, adr, 2);
	add_digits(f, r->cid1, 2);
	add_digits(f, rtn, 2);
	add_digits(f, length_word(2 * info.n), 4);
	for (size_t i = 0; i < info.n; i++)
		add_digits(f, info.p[i], 2);
	f->sum_at = f->n;
	add_digits(f, complement(f->p + begin, f->n - begin), SUM);
	frame_add_u8(f, '\r');
}
