/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A window to draw on: text in styles, cut to its place. */
#ifndef UI_CANVAS_H
#define UI_CANVAS_H

#include "ui/term.h"
#include "ui/widgets.h"

struct canvas {
	WINDOW *window;
	const struct terminal *term;
	attr_t extra; /* added to every style: reverse for a selected line, dim for old values */
};

/* A part of a canvas. */
struct area {
	int y, x, height, width;
};

/* Draws at most width columns of text (printf) at y, x; returns the columns used. */
__attribute__((format(printf, 6, 7))) int put(const struct canvas *c, int y, int x, int width, enum style style,
					      const char *format, ...);
/* The same, ending at the right edge of the width columns. */
__attribute__((format(printf, 6, 7))) int put_right(const struct canvas *c, int y, int x, int width, enum style style,
						    const char *format, ...);
/* A name of which the end matters: when it is too long, its beginning is left out. */
void put_end(const struct canvas *c, int y, int x, int width, enum style style, const char *name);
/* Fills width columns with blanks of this style. */
void put_blank(const struct canvas *c, int y, int x, int width, enum style style);
void put_rule(const struct canvas *c, int y, int x, int width);
/* A bar with its frame, width columns in all (at least 3). */
void put_bar(const struct canvas *c, int y, int x, int width, enum style style, double fraction);
void put_plot(const struct canvas *c, int y, int x, const struct plot *p, const enum style style[PLOT_LAYERS]);

/* Something of a line that may be left out when the line is too short. */
struct piece {
	char text[100];
	enum style style;
	int keep;   /* the lowest goes first */
	bool tight; /* only one blank before it */
};
/* Draws the pieces with gap blanks between them, in their order; returns the columns used. */
int put_pieces(const struct canvas *c, int y, int x, int width, int gap, struct piece *piece, unsigned n);

/* Columns that all of them would take. */
int pieces_width(const struct piece *piece, unsigned n, int gap, enum glyphs glyphs);

/* "s sort  m mV/bars": keys in their style, what they do beside them; what does not fit is left out. */
void put_keys(const struct canvas *c, int y, int x, int width, const char *keys);

/* A list's mark that there is more above or below, at the right edge. */
void put_more(const struct canvas *c, struct area a, bool above, bool below);

#endif
