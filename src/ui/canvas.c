/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/canvas.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LINE_ROOM = 1024 };

static void draw(const struct canvas *c, int y, int x, enum style style, const char *text)
{
	attr_t look = c->term->attributes[style];

	/* Reversed colours would make a patchwork of a selected line. */
	if (c->extra & A_REVERSE)
		look &= ~(attr_t)A_COLOR;
	wattrset(c->window, (int)(look | c->extra));
	mvwaddstr(c->window, y, x, text);
}

/* The part of width columns from x on that lies inside the window; 0 when none does. */
static int inside(const struct canvas *c, int y, int x, int width)
{
	int height, across;

	getmaxyx(c->window, height, across);
	if (y < 0 || y >= height || x < 0 || x >= across)
		return 0;
	return width < across - x ? width : across - x;
}

int put(const struct canvas *c, int y, int x, int width, enum style style, const char *format, ...)
{
	char text[LINE_ROOM], fit[LINE_ROOM];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	int used = glyphs_fit(text, inside(c, y, x, width), c->term->glyphs, fit, sizeof(fit));
	if (used > 0)
		draw(c, y, x, style, fit);
	return used;
}

int put_right(const struct canvas *c, int y, int x, int width, enum style style, const char *format, ...)
{
	char text[LINE_ROOM], fit[LINE_ROOM];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	int used = glyphs_fit(text, inside(c, y, x, width), c->term->glyphs, fit, sizeof(fit));
	if (used > 0)
		draw(c, y, x + width - used, style, fit);
	return used;
}

void put_end(const struct canvas *c, int y, int x, int width, enum style style, const char *name)
{
	bool cut = false;

	while (glyphs_width(name, c->term->glyphs) + cut > width) {
		glyph_next(&name);
		cut = true;
	}
	put(c, y, x, width, style, "%s%s", cut ? "…" : "", name);
}

void put_blank(const struct canvas *c, int y, int x, int width, enum style style)
{
	for (int i = inside(c, y, x, width); i-- > 0;)
		draw(c, y, x + i, style, " ");
}

void put_rule(const struct canvas *c, int y, int x, int width)
{
	const char *line = c->term->glyphs == GLYPHS_ASCII ? "-" : "─";

	for (int i = inside(c, y, x, width); i-- > 0;)
		draw(c, y, x + i, STYLE_RULE, line);
}

void put_bar(const struct canvas *c, int y, int x, int width, enum style style, double fraction)
{
	char bar[LINE_ROOM];

	bar_text(fraction, width - 2, bar, sizeof(bar));
	put(c, y, x, 1, STYLE_RULE, "▕");
	put(c, y, x + 1, width - 2, style, "%s", bar);
	put(c, y, x + width - 1, 1, STYLE_RULE, "▏");
}

void put_plot(const struct canvas *c, int y, int x, const struct plot *p, const enum style style[PLOT_LAYERS])
{
	char one[8];
	int layer;

	for (int row = 0; row < p->height; row++) {
		for (int column = 0; column < p->width; column++) {
			plot_character(p, column, row, one, &layer);
			if (one[0] != ' ')
				put(c, y + row, x + column, 1, style[layer], "%s", one);
		}
	}
}

static int gap_before(const struct piece *p, int gap)
{
	return p->tight ? 1 : gap;
}

int pieces_width(const struct piece *piece, unsigned n, int gap, enum glyphs glyphs)
{
	int width = 0;

	for (unsigned i = 0; i < n; i++)
		if (piece[i].text[0])
			width += (width ? gap_before(&piece[i], gap) : 0) + glyphs_width(piece[i].text, glyphs);
	return width;
}

/* Leaves out what matters least. False: nothing is left. */
static bool drop_one(struct piece *piece, unsigned n)
{
	struct piece *least = NULL;

	for (unsigned i = 0; i < n; i++)
		if (piece[i].text[0] && (!least || piece[i].keep < least->keep))
			least = &piece[i];
	if (least)
		least->text[0] = 0;
	return least != NULL;
}

int put_pieces(const struct canvas *c, int y, int x, int width, int gap, struct piece *piece, unsigned n)
{
	int at = x;

	while (pieces_width(piece, n, gap, c->term->glyphs) > width && drop_one(piece, n))
		;
	for (unsigned i = 0; i < n; i++) {
		if (!piece[i].text[0])
			continue;
		at += at > x ? gap_before(&piece[i], gap) : 0;
		at += put(c, y, at, x + width - at, piece[i].style, "%s", piece[i].text);
	}
	return at - x;
}

void put_keys(const struct canvas *c, int y, int x, int width, const char *keys)
{
	int at = x, end = x + width;

	while (*keys) {
		const char *gap = strstr(keys, "  ");
		size_t n = gap ? (size_t)(gap - keys) : strlen(keys), key = strcspn(keys, " ");
		char text[80];

		snprintf(text, sizeof(text), "%.*s", (int)n, keys);
		if (at + glyphs_width(text, c->term->glyphs) > end)
			return;
		at += put(c, y, at, end - at, STYLE_KEY, "%.*s", (int)key, keys);
		at += put(c, y, at, end - at, STYLE_NORMAL, "%.*s", (int)(n - key), keys + key);
		at += 2;
		keys += n;
		keys += strspn(keys, " ");
	}
}

void put_more(const struct canvas *c, struct area a, bool above, bool below)
{
	if (above)
		put(c, a.y, a.x + a.width - 1, 1, STYLE_LABEL, "↑");
	if (below)
		put(c, a.y + a.height - 1, a.x + a.width - 1, 1, STYLE_LABEL, "↓");
}
