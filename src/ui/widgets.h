/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Texts and drawings that need no terminal: numbers, bars, small plots, windows on long lists, a line
 * being typed. What they return is UTF-8; glyphs.h makes of it what the terminal has.
 */
#ifndef UI_WIDGETS_H
#define UI_WIDGETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ui/glyphs.h"

/* ---- numbers ---- */

/* "53.17 V"; "--" for NAN. decimals 0..6, unit "" for none. */
void number_text(double v, int decimals, const char *unit, char *out, size_t size);
/* The same with a sign before what is positive: "+31.4 A". Never "-0.0". */
void signed_text(double v, int decimals, const char *unit, char *out, size_t size);
/* "3 s", "4 min", "2 h 5 min", "3 d 4 h". */
void age_text(uint64_t ms, char *out, size_t size);
/* "812 B", "45.1 kB", "3.2 MB". */
void bytes_amount_text(uint64_t bytes, char *out, size_t size);
/* "cell_ovp_V" is split into "cell ovp" and its unit "V"; name without a unit: "". */
void name_and_unit(const char *identifier, char *name, size_t name_size, char *unit, size_t unit_size);

/* ---- bars ---- */

/* fraction 0..1 of width columns in eighths of a column; a fraction above 0 is always seen. Exactly
 * width columns; blank for NAN. */
void bar_text(double fraction, int width, char *out, size_t size);
/* A bar from the middle: fraction -1..1. */
void bar_from_middle(double fraction, int width, char *out, size_t size);

/* Where the bars of several cells begin and end. */
struct scale {
	double lo, hi;
};
/* lo and hi, but not closer than floor: a spread of 2 mV is not to look like a disaster. */
struct scale scale_with_floor(double lo, double hi, double floor);
double scale_fraction(struct scale s, double v);

/* ---- plots ---- */

/* The n values of v (NAN: none) as one row of width columns, from the lower edge at s.lo to the upper at
 * s.hi. n < width fills the right part. */
void spark_text(const float *v, unsigned n, struct scale s, int width, char *out, size_t size);

/* Rise of v per step, by the least squares; NAN when fewer than need values are known. */
double slope_of(const float *v, unsigned n, unsigned need);

#define PLOT_MAX_WIDTH	240
#define PLOT_MAX_HEIGHT 64
#define PLOT_LAYERS	2

/* A drawing of lines in dots: eight to a character where there is braille, else one. */
struct plot {
	int width, height; /* characters */
	bool braille;
	uint8_t dots[PLOT_LAYERS][PLOT_MAX_HEIGHT][PLOT_MAX_WIDTH];
};
/* An empty plot; what is larger than PLOT_MAX is cut. */
void plot_start(struct plot *p, int width, int height, enum glyphs glyphs);
int plot_dots_across(const struct plot *p);
int plot_dots_down(const struct plot *p);
/* From dot to dot; (0, 0) is the lower left one. What lies outside is left out. */
void plot_line(struct plot *p, int layer, int x0, int y0, int x1, int y1);
/* The values, evenly over the width, as a connected line; NAN leaves a gap. dotted: every other dot. */
void plot_values(struct plot *p, int layer, const double *v, int n, struct scale s, bool dotted);
/* The character at column x of row y (0 = the topmost) into out (5 bytes), " " where nothing is drawn;
 * *layer tells whose it is. */
void plot_character(const struct plot *p, int x, int y, char *out, int *layer);

/* ---- windows on long lists ---- */

/* Rows of a list have numbers that never change and heights of their own. */
struct list_row {
	uint64_t number; /* ascending */
	int height;
};

#define LIST_TO_START (-1000000)
#define LIST_TO_END   1000000

struct list {
	bool follow;  /* the end is shown, also when it grows */
	uint64_t top; /* number of the first row shown */
	int move;     /* rows that were asked for since it was last drawn */
	int skip;     /* out: lines of the first row shown that lie above the window */
};
/* Carries out what was asked for and returns the first row to show in a window of so many lines. At the end
 * of the list the window is full: then the first row may begin above it. */
unsigned list_first(struct list *l, const struct list_row *row, unsigned n, int lines);

/* ---- a grid ---- */

struct grid {
	int columns, rows, width; /* width of a column */
};
/* Places n things of at least min_width columns, in as few columns as the height allows; when the height
 * does not allow it, as many as fit side by side. */
struct grid grid_layout(int n, int min_width, int gap, int width, int height);

/* ---- a line being typed ---- */

#define EDIT_ROOM 240

struct line_edit {
	char text[EDIT_ROOM]; /* UTF-8 */
	size_t at;	      /* byte position of the cursor */
};
void edit_start(struct line_edit *e, const char *text);
void edit_insert(struct line_edit *e, uint32_t code);
void edit_left(struct line_edit *e);
void edit_right(struct line_edit *e);
void edit_backspace(struct line_edit *e);
void edit_delete(struct line_edit *e);

/* ---- long texts ---- */

/* The length of the first line of text when it is broken at blanks to so many columns; *next is where
 * the following line begins. 0 with *next == text only at the end. */
size_t wrap_line(const char *text, int width, enum glyphs glyphs, const char **next);
/* Does text hold what, whatever the case of ASCII letters? An empty what is everywhere. */
bool text_has(const char *text, const char *what);

#endif
