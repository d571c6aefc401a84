/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/widgets.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- numbers ---- */

static void print_number(double v, int decimals, const char *unit, bool sign, char *out, size_t size)
{
	if (!isfinite(v)) {
		snprintf(out, size, "--");
		return;
	}
	double half = 0.5 * pow(10, -decimals);

	if (fabs(v) < half)
		v = 0; /* no "-0.0", no "+0.0" */
	snprintf(out, size, sign && v > 0 ? "+%.*f%s%s" : "%.*f%s%s", decimals, v, *unit ? " " : "", unit);
}

void number_text(double v, int decimals, const char *unit, char *out, size_t size)
{
	print_number(v, decimals, unit, false, out, size);
}

void signed_text(double v, int decimals, const char *unit, char *out, size_t size)
{
	print_number(v, decimals, unit, true, out, size);
}

void age_text(uint64_t ms, char *out, size_t size)
{
	unsigned long s = (unsigned long)(ms / 1000), min = s / 60, h = min / 60, d = h / 24;

	if (d)
		snprintf(out, size, "%lu d %lu h", d, h % 24);
	else if (h)
		snprintf(out, size, "%lu h %lu min", h, min % 60);
	else if (min)
		snprintf(out, size, "%lu min", min);
	else
		snprintf(out, size, "%lu s", s);
}

void bytes_amount_text(uint64_t bytes, char *out, size_t size)
{
	if (bytes < 1000)
		snprintf(out, size, "%u B", (unsigned)bytes);
	else if (bytes < 1000000)
		snprintf(out, size, "%.1f kB", (double)bytes / 1e3);
	else
		snprintf(out, size, "%.1f MB", (double)bytes / 1e6);
}

static const struct {
	const char *ending, *unit;
} unit_names[] = {
	{"V", "V"},   {"mV", "mV"},	{"A", "A"},	{"Ah", "Ah"},	{"W", "W"},   {"C", "°C"},  {"pct", "%"},
	{"ohm", "Ω"}, {"mOhm", "mΩ"},	{"mohm", "mΩ"}, {"s", "s"},	{"ms", "ms"}, {"us", "us"}, {"min", "min"},
	{"h", "h"},   {"days", "days"}, {"Wh", "Wh"},	{"kWh", "kWh"}, {"K", "K"},   {"mA", "mA"}, {"mAh", "mAh"},
};

void name_and_unit(const char *identifier, char *name, size_t name_size, char *unit, size_t unit_size)
{
	const char *last = strrchr(identifier, '_');
	size_t length = strlen(identifier);

	unit[0] = 0;
	for (size_t i = 0; last && i < sizeof(unit_names) / sizeof(unit_names[0]); i++) {
		if (strcmp(last + 1, unit_names[i].ending) != 0)
			continue;
		snprintf(unit, unit_size, "%s", unit_names[i].unit);
		length = (size_t)(last - identifier);
	}
	snprintf(name, name_size, "%.*s", (int)length, identifier);
	for (char *p = name; *p; p++)
		if (*p == '_')
			*p = ' ';
}

/* ---- bars ---- */

/* Blocks of 1/8 to 8/8 of a column, from the left. */
static const char *const eighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
/* The same from below. */
static const char *const levels[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

static size_t append(char *out, size_t size, size_t n, const char *text)
{
	size_t length = strlen(text);

	if (n + length >= size)
		return n;
	memcpy(out + n, text, length + 1);
	return n + length;
}

static double limited(double v, double lo, double hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

void bar_text(double fraction, int width, char *out, size_t size)
{
	int filled = isnan(fraction) ? 0 : (int)lround(limited(fraction, 0, 1) * width * 8);
	size_t n = 0;

	/* An eighth alone looks like the frame of the bar. */
	if (fraction > 0 && filled < 2)
		filled = 2;
	out[0] = 0;
	for (int i = 0; i < width; i++) {
		int part = filled - i * 8;

		part = part < 0 ? 0 : part > 8 ? 8 : part;
		n = append(out, size, n, eighths[part == 1 && i ? 2 : part]);
	}
}

void bar_from_middle(double fraction, int width, char *out, size_t size)
{
	int left = width / 2, right = width - left;
	int halves =
		isnan(fraction) ? 0 : (int)lround(limited(fabs(fraction), 0, 1) * 2 * (fraction < 0 ? left : right));
	size_t n = 0;

	out[0] = 0;
	for (int i = 0; i < left; i++) {
		int away = (left - 1 - i) * 2, part = fraction < 0 ? halves - away : 0;

		n = append(out, size, n, part >= 2 ? "█" : part == 1 ? "▐" : " ");
	}
	for (int i = 0; i < right; i++) {
		int part = fraction > 0 ? halves - i * 2 : 0;

		n = append(out, size, n, part >= 2 ? "█" : part == 1 ? "▌" : " ");
	}
}

struct scale scale_with_floor(double lo, double hi, double floor)
{
	double middle = (lo + hi) / 2;

	if (hi - lo >= floor)
		return (struct scale){lo, hi};
	return (struct scale){middle - floor / 2, middle + floor / 2};
}

double scale_fraction(struct scale s, double v)
{
	return s.hi > s.lo ? (v - s.lo) / (s.hi - s.lo) : 0.5;
}

/* ---- plots ---- */

/* The mean of what is known among from..to. */
static double mean_of(const float *v, unsigned from, unsigned to)
{
	double sum = 0;
	unsigned known = 0;

	for (unsigned i = from; i < to; i++) {
		if (!isnan(v[i])) {
			sum += (double)v[i];
			known++;
		}
	}
	return known ? sum / known : NAN;
}

void spark_text(const float *v, unsigned n, struct scale s, int width, char *out, size_t size)
{
	unsigned columns = width > 0 ? (unsigned)width : 0, used = n < columns ? n : columns;
	size_t at = 0;

	out[0] = 0;
	for (unsigned i = used; i < columns; i++)
		at = append(out, size, at, " ");
	for (unsigned i = 0; i < used; i++) {
		double mean = mean_of(v, i * n / used, (i + 1) * n / used);

		if (isnan(mean))
			at = append(out, size, at, " ");
		else
			at = append(out, size, at, levels[1 + lround(limited(scale_fraction(s, mean), 0, 1) * 7)]);
	}
}

double slope_of(const float *v, unsigned n, unsigned need)
{
	double x_sum = 0, y_sum = 0, xx = 0, xy = 0;
	unsigned known = 0;

	for (unsigned i = 0; i < n; i++) {
		if (isnan(v[i]))
			continue;
		known++;
		x_sum += i;
		y_sum += (double)v[i];
	}
	if (known < 2 || known < need)
		return NAN;
	for (unsigned i = 0; i < n; i++) {
		double dx = i - x_sum / known;

		if (isnan(v[i]))
			continue;
		xx += dx * dx;
		xy += dx * ((double)v[i] - y_sum / known);
	}
	return xy / xx;
}

void plot_start(struct plot *p, int width, int height, enum glyphs glyphs)
{
	memset(p, 0, sizeof(*p));
	p->width = width < 0 ? 0 : width > PLOT_MAX_WIDTH ? PLOT_MAX_WIDTH : width;
	p->height = height < 0 ? 0 : height > PLOT_MAX_HEIGHT ? PLOT_MAX_HEIGHT : height;
	p->braille = glyphs == GLYPHS_FULL;
}

int plot_dots_across(const struct plot *p)
{
	return p->braille ? p->width * 2 : p->width;
}

int plot_dots_down(const struct plot *p)
{
	return p->braille ? p->height * 4 : p->height;
}

static void set_dot(struct plot *p, int layer, int x, int y)
{
	/* Bits of the braille characters: rows from above, left and right column. */
	static const uint8_t bit[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};

	if (x < 0 || x >= plot_dots_across(p) || y < 0 || y >= plot_dots_down(p))
		return;
	y = plot_dots_down(p) - 1 - y;
	if (p->braille)
		p->dots[layer][y / 4][x / 2] |= bit[y % 4][x % 2];
	else
		p->dots[layer][y][x] = 1;
}

void plot_line(struct plot *p, int layer, int x0, int y0, int x1, int y1)
{
	int steps = abs(x1 - x0) > abs(y1 - y0) ? abs(x1 - x0) : abs(y1 - y0);

	for (int i = 0; i <= steps; i++) {
		double part = steps ? (double)i / steps : 0;

		set_dot(p, layer, x0 + (int)lround(part * (x1 - x0)), y0 + (int)lround(part * (y1 - y0)));
	}
}

static int dot_of(const struct plot *p, struct scale s, double v)
{
	return (int)lround(limited(scale_fraction(s, v), -1, 2) * (plot_dots_down(p) - 1));
}

void plot_values(struct plot *p, int layer, const double *v, int n, struct scale s, bool dotted)
{
	int across = plot_dots_across(p);
	double before = NAN;

	for (int x = 0; x < across && n > 0; x++) {
		double now = v[across > 1 ? (int)((long)x * (n - 1) / (across - 1)) : 0];

		if (!isnan(now) && dotted) {
			if (x % 2 == 0)
				set_dot(p, layer, x, dot_of(p, s, now));
		} else if (!isnan(now)) {
			int y = dot_of(p, s, now);

			plot_line(p, layer, x, isnan(before) ? y : dot_of(p, s, before), x, y);
		}
		before = now;
	}
}

void plot_character(const struct plot *p, int x, int y, char *out, int *layer)
{
	static const char ascii[PLOT_LAYERS] = {'*', '.'};
	uint8_t all = 0;

	*layer = 0;
	for (int i = PLOT_LAYERS; i-- > 0;) {
		all |= p->dots[i][y][x];
		if (p->dots[i][y][x])
			*layer = i;
	}
	out[0] = all && !p->braille ? ascii[*layer] : ' ';
	out[1] = 0;
	if (all && p->braille)
		glyph_put(0x2800u + all, out);
}

/* ---- windows on long lists ---- */

/* The first row that is whole on the last page; *spare: lines that remain above it. */
static unsigned last_page(const struct list_row *row, unsigned n, int lines, int *spare)
{
	while (n > 0 && lines >= row[n - 1].height)
		lines -= row[--n].height;
	*spare = n ? lines : 0;
	return n;
}

unsigned list_first(struct list *l, const struct list_row *row, unsigned n, int lines)
{
	int spare;
	unsigned last = last_page(row, n, lines, &spare), first = 0;

	/* A row taller than the window is shown from its beginning. */
	if (n && last == n) {
		last = n - 1;
		spare = 0;
	}
	while (first < last && row[first].number < l->top)
		first++;
	if (l->follow)
		first = last;
	for (; l->move < 0 && first > 0; l->move++)
		first--;
	for (; l->move > 0 && first < last; l->move--)
		first++;
	/* Who has scrolled to the end wants to see what comes. */
	if (l->follow || l->move > 0)
		l->follow = first == last;
	l->move = 0;
	l->top = n ? row[first].number : 0;
	l->skip = 0;
	if (spare && first == last) {
		first--;
		l->skip = row[first].height - spare;
	}
	return first;
}

/* ---- a grid ---- */

struct grid grid_layout(int n, int min_width, int gap, int width, int height)
{
	int most = (width + gap) / (min_width + gap), columns = 1;

	if (most < 1)
		most = 1;
	if (n < 1)
		n = 1;
	if (height < 1)
		height = 1;
	while (columns < most && (n + columns - 1) / columns > height)
		columns++;
	int rows = (n + columns - 1) / columns;
	/* Columns of equal height: 14 cells in two columns of 7, not 8 and 6. */
	columns = (n + rows - 1) / rows;
	return (struct grid){columns, rows, (width - gap * (columns - 1)) / columns};
}

/* ---- a line being typed ---- */

void edit_start(struct line_edit *e, const char *text)
{
	snprintf(e->text, sizeof(e->text), "%s", text);
	e->at = strlen(e->text);
}

static bool continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

void edit_insert(struct line_edit *e, uint32_t code)
{
	char utf8[8];
	size_t n = glyph_put(code, utf8), length = strlen(e->text);

	if (code < 0x20 || code == 0x7f || length + n >= sizeof(e->text))
		return;
	memmove(e->text + e->at + n, e->text + e->at, length - e->at + 1);
	memcpy(e->text + e->at, utf8, n);
	e->at += n;
}

void edit_left(struct line_edit *e)
{
	while (e->at > 0 && continues(e->text[--e->at]))
		;
}

void edit_right(struct line_edit *e)
{
	if (!e->text[e->at])
		return;
	do
		e->at++;
	while (continues(e->text[e->at]));
}

void edit_delete(struct line_edit *e)
{
	size_t from = e->at;

	edit_right(e);
	memmove(e->text + from, e->text + e->at, strlen(e->text + e->at) + 1);
	e->at = from;
}

void edit_backspace(struct line_edit *e)
{
	if (!e->at)
		return;
	edit_left(e);
	edit_delete(e);
}

/* ---- long texts ---- */

size_t wrap_line(const char *text, int width, enum glyphs glyphs, const char **next)
{
	const char *p = text, *blank = NULL;
	char one[8], unused[8];
	int used = 0;

	for (;;) {
		const char *at = p;
		uint32_t code = glyph_next(&p);

		if (!code || code == '\n') {
			*next = p;
			return (size_t)(at - text);
		}
		glyph_put(code, one);
		used += glyphs_fit(one, 8, glyphs, unused, sizeof(unused));
		if (code == ' ')
			blank = at;
		if (used <= width || at == text)
			continue;
		if (blank && blank > text) {
			*next = blank + 1;
			return (size_t)(blank - text);
		}
		*next = at;
		return (size_t)(at - text);
	}
}

bool text_has(const char *text, const char *what)
{
	size_t n = strlen(what);

	for (; strlen(text) >= n; text++) {
		if (!strncasecmp(text, what, n))
			return true;
		if (!*text)
			break;
	}
	return false;
}
