/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/ascii_1363.h"

#include <assert.h>
#include <string.h>

#include "protocols/checksum.h"

/* In characters, sheet 1. */
enum { HEAD = 13, LENGTH_AT = 9, SUM = 4, OVERHEAD = HEAD + SUM + 1, LONGEST = 0xfff + OVERHEAD };

static bool is_soi(uint8_t c)
{
	return c == ASCII_1363_SOI || c == ASCII_1363_SOI_KS48100;
}

static int nibble(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* The number that n digits at off stand for; they are known to be digits. */
static unsigned digits(struct bytes b, size_t off, unsigned n)
{
	unsigned v = 0;

	while (n--)
		v = v << 4 | (unsigned)nibble(u8_at(b, off++));
	return v;
}

/* ---- building ---- */

static void put_digits(struct request *out, unsigned v, unsigned n)
{
	while (n--) {
		uint8_t c = (uint8_t) "0123456789ABCDEF"[v >> 4 * n & 0xf];

		request_put(out, (struct bytes){&c, 1});
	}
}

/* Sheet 2: the top digit makes the sum of all four a multiple of 16. */
static unsigned length_field(unsigned lenid)
{
	unsigned sum = (lenid >> 8 & 0xf) + (lenid >> 4 & 0xf) + (lenid & 0xf);

	return (-sum & 0xf) << 12 | lenid;
}

/* Sheet 3: of the characters between SOI and CHKSUM. */
static unsigned checksum(struct bytes characters)
{
	return -(unsigned)sum16(characters) & 0xffff;
}

void ascii_1363_build(struct request *out, char soi, uint8_t ver, uint8_t cid1, uint8_t cid2, struct bytes info)
{
	uint8_t first = (uint8_t)soi, last = '\r';

	assert(info.n <= ASCII_1363_MAX_INFO);
	request_put(out, (struct bytes){&first, 1});
	put_digits(out, ver, 2);
	put_digits(out, out->address, 2);
	put_digits(out, cid1, 2);
	put_digits(out, cid2, 2);
	put_digits(out, length_field((unsigned)(2 * info.n)), 4);
	for (size_t i = 0; i < info.n; i++)
		put_digits(out, info.p[i], 2);
	put_digits(out, checksum((struct bytes){out->tx + 1, out->n - 1u}), 4);
	request_put(out, (struct bytes){&last, 1});
}

/* ---- finding: sheet 6 ---- */

static bool length_fits(struct bytes frame, size_t info_characters)
{
	unsigned length = digits(frame, LENGTH_AT, 4);

	return length == length_field(length & 0xfff) && (length & 0xfff) == info_characters;
}

/* A device writes all its letters alike. CHKSUM does not cover itself: one letter of it in the other case is damage. */
static bool one_case(struct bytes frame)
{
	bool upper = false, lower = false;

	for (size_t i = 1; i < frame.n; i++) {
		upper = upper || (frame.p[i] >= 'A' && frame.p[i] <= 'F');
		lower = lower || (frame.p[i] >= 'a' && frame.p[i] <= 'f');
	}
	return !upper || !lower;
}

/* A frame from SOI to CR that holds nothing but digits. */
static int examine(struct bytes frame, bool wanted, const char **why)
{
	size_t info = frame.n - OVERHEAD;

	if (frame.n < OVERHEAD || info % 2) {
		if (wanted)
			*why = "length";
		return -1;
	}
	if (digits(frame, frame.n - 1 - SUM, SUM) != checksum(bytes_sub(frame, 1, frame.n - 2 - SUM))) {
		if (wanted)
			*why = length_fits(frame, info) ? "checksum" : "length";
		return -1;
	}
	if (!one_case(frame)) {
		if (wanted)
			*why = "upper and lower case mixed";
		return -1;
	}
	return (int)frame.n;
}

int ascii_1363_find(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	size_t i = 1;

	if (!is_soi(u8_at(in, 0)))
		return -1;
	while (i < in.n && nibble(in.p[i]) >= 0)
		i++;
	if (i < in.n && in.p[i] == '\r' && i < LONGEST)
		return examine(bytes_sub(in, 0, i + 1), pending != NULL, why);
	if (i < in.n || i >= LONGEST)
		return -1; /* a foreign character, or another start: what stood before is no frame */
	if (!quiet)
		return 0;
	if (pending && in.n >= HEAD)
		*why = "frame cut short";
	return -1;
}

bool ascii_1363_open(struct bytes frame, struct ascii_1363 *out)
{
	const char *why;
	size_t info = frame.n - OVERHEAD;

	if (!frame.n || ascii_1363_find(NULL, frame, true, &why) != (int)frame.n)
		return false;
	out->ver = (uint8_t)digits(frame, 1, 2);
	out->adr = (uint8_t)digits(frame, 3, 2);
	out->cid1 = (uint8_t)digits(frame, 5, 2);
	out->code = (uint8_t)digits(frame, 7, 2);
	out->length_wrong = !length_fits(frame, info);
	out->n = (uint16_t)(info / 2);
	for (size_t i = 0; i < out->n; i++)
		out->info[i] = (uint8_t)digits(frame, HEAD + 2 * i, 2);
	return true;
}

/* ---- judging ---- */

/* Sheet 4. */
static const char *rtn_text(uint8_t rtn)
{
	switch (rtn) {
	case 0x01:
		return "it speaks another version (return code 01)";
	case 0x02:
		return "checksum of the request wrong (return code 02)";
	case 0x03:
		return "length checksum of the request wrong (return code 03)";
	case 0x04:
		return "command not known (return code 04)";
	case 0x05:
		return "command has a wrong format (return code 05)";
	case 0x06:
		return "value not allowed (return code 06)";
	case 0x07:
		return "no data (return code 07)";
	case 0x09:
		return "operation failed (return code 09)";
	case 0x90:
		return "no pack at this address (return code 90)";
	case 0x91:
		return "no communication between master and pack (return code 91)";
	case 0xe1:
		return "another device class (return code E1)";
	case 0xe2:
		return "command failed (return code E2)";
	case 0xe3:
		return "device fault (return code E3)";
	case 0xe4:
		return "no permission (return code E4)";
	default:
		return "a return code that is in no sheet";
	}
}

/* A code that no device returns: what came is somebody else's request. Sheet 4 knows 01 .. 09 and 80 .. EF. */
static bool is_request(uint8_t code)
{
	return code >= 0x10 && code < 0x80;
}

enum verdict ascii_1363_judge(const struct request *pending, struct bytes frame, bool trusted, struct ascii_1363 *out,
			      const char **why)
{
	struct bytes tx = {pending->tx, pending->n};

	if (tx.n < OVERHEAD || !ascii_1363_open(frame, out) || out->adr != digits(tx, 3, 2) || is_request(out->code))
		return FRAME_FOREIGN;
	/* Only what was asked with '>' may be answered with it (sheet ks48100 3). */
	if (u8_at(frame, 0) != ASCII_1363_SOI && u8_at(frame, 0) != u8_at(tx, 0))
		return FRAME_FOREIGN;
	/* Also behind noise, where the engine does not recognise it, our own request may come back. */
	if (out->code && out->code == digits(tx, 7, 2) &&
	    bytes_equal(bytes_sub(tx, 1, SIZE_MAX), bytes_sub(frame, 1, SIZE_MAX)))
		return FRAME_FOREIGN;
	if (out->code) {
		*why = rtn_text(out->code);
		return FRAME_REFUSED;
	}
	if (out->ver != digits(tx, 1, 2) || out->cid1 != digits(tx, 5, 2))
		return FRAME_FOREIGN;
	if (out->length_wrong && !trusted) {
		*why = "length";
		return FRAME_BAD;
	}
	return FRAME_ANSWER;
}
