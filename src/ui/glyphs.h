/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What may reach a terminal: printable characters only, so many columns wide, in the characters that
 * the terminal has. Everybody writes UTF-8; here it becomes what can be shown.
 */
#ifndef UI_GLYPHS_H
#define UI_GLYPHS_H

#include <stddef.h>
#include <stdint.h>

enum glyphs {
	GLYPHS_ASCII,  /* no UTF-8 */
	GLYPHS_SIMPLE, /* UTF-8 with a font of 256 or 512 characters: the Linux console */
	GLYPHS_FULL,   /* eighths of blocks, braille */
};

/*
 * The code point at *text, which is moved on; 0 at the end. What is no UTF-8 comes as U+FFFD, one for
 * each byte.
 */
uint32_t glyph_next(const char **text);
/* Appends the code point's UTF-8 to out (at least 5 bytes); returns its length. */
size_t glyph_put(uint32_t code, char *out);

/*
 * text into out (size > 0, terminated), at most width columns: control and other unprintable
 * characters become '?', marks that stand on nothing are dropped, and what glyphs does not have is
 * replaced ("→" by "->", "°" by nothing). A text that does not fit ends in "…" ('~' without UTF-8).
 * Returns the columns used. The locale must be a UTF-8 one unless glyphs is GLYPHS_ASCII.
 */
int glyphs_fit(const char *text, int width, enum glyphs glyphs, char *out, size_t size);

/* Columns that text takes. */
int glyphs_width(const char *text, enum glyphs glyphs);

#endif
