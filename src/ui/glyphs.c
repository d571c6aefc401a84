/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/glyphs.h"

#include <stdbool.h>
#include <string.h>
#include <wchar.h>

#define FOREIGN	 0xfffdu /* U+FFFD */
#define ELLIPSIS 0x2026u
#define BRAILLE	 0x2800u

/* What stands for a character where it is missing. */
struct stand_in {
	uint32_t code;
	const char *simple; /* NULL: the character itself */
	const char *ascii;
};

/* In the order of their codes. */
static const struct stand_in stand_ins[] = {
	{0x00b0, NULL, ""},	 /* ° */
	{0x00b1, NULL, "+-"},	 /* ± */
	{0x00b7, NULL, "."},	 /* · */
	{0x00d7, NULL, "x"},	 /* × */
	{0x03a9, NULL, "ohm"},	 /* Ω */
	{0x2022, NULL, "*"},	 /* • */
	{0x2026, NULL, "~"},	 /* … */
	{0x2190, NULL, "<-"},	 /* ← */
	{0x2191, NULL, "^"},	 /* ↑ */
	{0x2192, NULL, "->"},	 /* → */
	{0x2193, NULL, "v"},	 /* ↓ */
	{0x21c5, "\u2195", "="}, /* ⇅ */
	{0x2500, NULL, "-"},	 /* ─ */
	{0x2502, NULL, "|"},	 /* │ */
	{0x250c, NULL, "+"},	 /* ┌ */
	{0x2510, NULL, "+"},	 /* ┐ */
	{0x2514, NULL, "+"},	 /* └ */
	{0x2518, NULL, "+"},	 /* ┘ */
	{0x2524, NULL, "|"},	 /* ┤ */
	{0x2581, "_", "_"},	 /* ▁ */
	{0x2582, "_", "."},	 /* ▂ */
	{0x2583, "\u2584", "-"}, /* ▃ */
	{0x2584, NULL, "="},	 /* ▄ */
	{0x2585, "\u2584", "+"}, /* ▅ */
	{0x2586, "\u2584", "*"}, /* ▆ */
	{0x2587, "\u2588", "%"}, /* ▇ */
	{0x2588, NULL, "#"},	 /* █ */
	{0x2589, "\u2588", "#"}, /* ▉ */
	{0x258a, "\u2588", "#"}, /* ▊ */
	{0x258b, "\u258c", "#"}, /* ▋ */
	{0x258c, NULL, "#"},	 /* ▌ */
	{0x258d, "\u258c", " "}, /* ▍ */
	{0x258e, " ", " "},	 /* ▎ */
	{0x258f, "\u2502", "|"}, /* ▏ */
	{0x2590, NULL, "#"},	 /* ▐ */
	{0x2591, NULL, "."},	 /* ░ */
	{0x2595, "\u2502", "|"}, /* ▕ */
	{0x25b2, NULL, "^"},	 /* ▲ */
	{0x25b6, ">", ">"},	 /* ▶ */
	{0x25bc, NULL, "v"},	 /* ▼ */
	{0x25c6, "\u2666", "X"}, /* ◆ */
	{0x25cb, "o", "o"},	 /* ○ */
	{0x25cf, "\u2022", "@"}, /* ● */
	{0x25d0, "o", "o"},	 /* ◐ */
};

static const struct stand_in *find_stand_in(uint32_t code)
{
	size_t lo = 0, hi = sizeof(stand_ins) / sizeof(stand_ins[0]);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (stand_ins[mid].code == code)
			return &stand_ins[mid];
		if (stand_ins[mid].code < code)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

uint32_t glyph_next(const char **text)
{
	const unsigned char *p = (const unsigned char *)*text;
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	unsigned more = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : p[0] >= 0xc0 ? 1 : 0;
	uint32_t code = more ? p[0] & (0x3fu >> more) : p[0];

	if (!code && !more)
		return 0;
	(*text)++;
	if (p[0] >= 0x80 && p[0] < 0xc0)
		return FOREIGN;
	for (unsigned i = 1; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return FOREIGN;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return FOREIGN;
	*text += more;
	return code;
}

size_t glyph_put(uint32_t code, char *out)
{
	size_t n = 0;

	if (code < 0x80) {
		out[n++] = (char)code;
	} else if (code < 0x800) {
		out[n++] = (char)(0xc0 | code >> 6);
		out[n++] = (char)(0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		out[n++] = (char)(0xe0 | code >> 12);
		out[n++] = (char)(0x80 | (code >> 6 & 0x3f));
		out[n++] = (char)(0x80 | (code & 0x3f));
	} else {
		out[n++] = (char)(0xf0 | code >> 18);
		out[n++] = (char)(0x80 | (code >> 12 & 0x3f));
		out[n++] = (char)(0x80 | (code >> 6 & 0x3f));
		out[n++] = (char)(0x80 | (code & 0x3f));
	}
	out[n] = 0;
	return n;
}

/* One character as it will be shown, into out (8 bytes); returns its columns. */
static int shown(uint32_t code, enum glyphs glyphs, char *out)
{
	const struct stand_in *s = code < 0x80 || glyphs == GLYPHS_FULL ? NULL : find_stand_in(code);
	const char *instead = s ? (glyphs == GLYPHS_ASCII ? s->ascii : s->simple) : NULL;

	if (instead) {
		strcpy(out, instead);
		return glyphs == GLYPHS_ASCII ? (int)strlen(instead) : 1;
	}
	if (code >= 0x20 && code < 0x7f) {
		out[0] = (char)code;
		out[1] = 0;
		return 1;
	}
	bool foreign = code < 0xa0 || code == FOREIGN || (glyphs == GLYPHS_ASCII && !s);
	int width = foreign ? -1 : wcwidth((wchar_t)code);
	if (width < 0) {
		strcpy(out, "?");
		return 1;
	}
	if (width == 0) {
		out[0] = 0;
		return 0;
	}
	glyph_put(code, out);
	return width;
}

int glyphs_width(const char *text, enum glyphs glyphs)
{
	char one[8];
	int width = 0;

	for (uint32_t code; (code = glyph_next(&text));)
		width += shown(code, glyphs, one);
	return width;
}

int glyphs_fit(const char *text, int width, enum glyphs glyphs, char *out, size_t size)
{
	bool cut = glyphs_width(text, glyphs) > width;
	int room = cut ? width - 1 : width, used = 0;
	size_t n = 0;
	char one[8];

	out[0] = 0;
	if (width <= 0)
		return 0;
	for (uint32_t code; (code = glyph_next(&text));) {
		int columns = shown(code, glyphs, one);
		size_t bytes = strlen(one);

		if (used + columns > room || n + bytes + 4 >= size)
			break;
		memcpy(out + n, one, bytes + 1);
		n += bytes;
		used += columns;
	}
	if (cut && n + 4 < size) {
		used += shown(ELLIPSIS, glyphs, one);
		memcpy(out + n, one, strlen(one) + 1);
	}
	return used;
}
