/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Screen 2: every cell. The bars' scale is the pack's own spread, so that the worst cell is seen
 * without reading a number.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/ui.h"

/* A closer spread than this is not drawn larger: noise is to look like noise. */
#define FLOOR_V	 0.020
#define FLOOR_mV 10.0

enum {
	GAP = 2,
	LEAST_WIDTH = 17, /* of a cell: number, voltage, the shortest bar, marks */
	WIDE = 58,	  /* from here on there is room for everything */
	INFO_LINES = 5,	  /* a rule and four lines */
	PLOT_LEAST = 5,	  /* lines of a plot that is worth its place */
};

struct cells {
	const struct snapshot *snap;
	const struct trend *trend;
	unsigned count;
	unsigned order[MAX_CELLS]; /* in which they are shown */
	int lowest, highest;	   /* -1: not known */
	double lo, hi, mean;
	struct scale scale;	/* of the bars, V */
	struct scale deviation; /* mV, of deviations and trends */
};

/* ---- what there is to show ---- */

/* A wire that is off reads as 0 V. */
static bool is_open(const struct reading *r, unsigned i)
{
	return series_knows(&r->cell_V, i) && r->cell_V.value[i] == 0;
}

static bool has_voltage(const struct reading *r, unsigned i)
{
	return series_knows(&r->cell_V, i) && r->cell_V.value[i] > 0;
}

static void find_extremes(struct cells *k)
{
	const struct reading *r = &k->snap->reading;
	double sum = 0;
	unsigned n = 0;

	k->lowest = k->highest = -1;
	for (unsigned i = 0; i < k->count; i++) {
		if (!has_voltage(r, i))
			continue;
		if (k->lowest < 0 || r->cell_V.value[i] < r->cell_V.value[k->lowest])
			k->lowest = (int)i;
		if (k->highest < 0 || r->cell_V.value[i] > r->cell_V.value[k->highest])
			k->highest = (int)i;
		sum += r->cell_V.value[i];
		n++;
	}
	k->mean = n ? sum / n : NAN;
	k->lo = n ? r->cell_V.value[k->lowest] : NAN;
	k->hi = n ? r->cell_V.value[k->highest] : NAN;
}

/* Highest first; what has no voltage last. */
static void sort_by_voltage(struct cells *k)
{
	const struct reading *r = &k->snap->reading;

	for (unsigned i = 1; i < k->count; i++) {
		unsigned cell = k->order[i], j = i;
		double v = has_voltage(r, cell) ? r->cell_V.value[cell] : 0;

		for (; j > 0; j--) {
			unsigned before = k->order[j - 1];

			if ((has_voltage(r, before) ? r->cell_V.value[before] : 0) >= v)
				break;
			k->order[j] = before;
		}
		k->order[j] = cell;
	}
}

/* The farthest that any cell has been from the mean, in the history that is shown. */
static double farthest_mV(const struct cells *k)
{
	float v[TREND_TEN_MIN];
	double far = FLOOR_mV;

	for (unsigned i = 0; i < k->count; i++) {
		unsigned n = trend_last(k->trend, TREND_CELL + i, TREND_TEN_MIN, v);

		for (unsigned j = 0; j < n; j++)
			if (fabs((double)v[j]) > far) /* false for NAN */
				far = fabs((double)v[j]);
	}
	return far;
}

static void collect(const struct ui *ui, const struct pack_view *p, struct cells *k)
{
	*k = (struct cells){.snap = &p->snap, .trend = &p->trend, .count = p->snap.reading.cell_V.count};
	for (unsigned i = 0; i < k->count; i++)
		k->order[i] = i;
	find_extremes(k);
	if (ui->cells.by_voltage)
		sort_by_voltage(k);
	k->scale = scale_with_floor(k->lo, k->hi, FLOOR_V);
	double far = farthest_mV(k);
	k->deviation = (struct scale){-far, far};
}

/* ---- a cell ---- */

static enum style cell_style(const struct cells *k, unsigned i, enum style otherwise)
{
	if (k->highest == k->lowest)
		return otherwise;
	return (int)i == k->highest ? STYLE_HIGH : (int)i == k->lowest ? STYLE_LOW : otherwise;
}

static void draw_marks(const struct canvas *c, int y, int x, const struct cells *k, unsigned i)
{
	if (k->highest != k->lowest && (int)i == k->highest)
		put(c, y, x, 1, STYLE_HIGH, "▲");
	if (k->highest != k->lowest && (int)i == k->lowest)
		put(c, y, x, 1, STYLE_LOW, "▼");
	if (k->snap->reading.balancing_known && (k->snap->reading.balancing >> i & 1))
		put(c, y, x + 1, 1, STYLE_BALANCE, "⇅");
}

static double deviation_mV(const struct cells *k, unsigned i)
{
	return has_voltage(&k->snap->reading, i) ? (k->snap->reading.cell_V.value[i] - k->mean) * 1000 : NAN;
}

static void draw_trend(const struct canvas *c, int y, int x, int width, const struct cells *k, unsigned i)
{
	float v[TREND_TEN_MIN];
	char spark[512];
	unsigned n = trend_last(k->trend, TREND_CELL + i, TREND_TEN_MIN, v);

	spark_text(v, n, k->deviation, width, spark, sizeof(spark));
	put(c, y, x, width, cell_style(k, i, STYLE_BAR), "%s", spark);
}

static void draw_deviation_bar(const struct canvas *c, int y, int x, int width, const struct cells *k, unsigned i)
{
	double far = fmax(fmax(k->hi - k->mean, k->mean - k->lo) * 1000, FLOOR_mV);
	char bar[512];

	bar_from_middle(deviation_mV(k, i) / far, width - 2, bar, sizeof(bar));
	put(c, y, x, 1, STYLE_RULE, "▕");
	put(c, y, x + 1, width - 2, cell_style(k, i, STYLE_BAR), "%s", bar);
	put(c, y, x + width - 1, 1, STYLE_RULE, "▏");
	if (fabs(deviation_mV(k, i)) / far * (width - 2) < 1)
		put(c, y, x + 1 + (width - 2) / 2, 1, STYLE_RULE, "│");
}

/* Bar and trend share what the numbers leave. */
static int trend_width(int width)
{
	return width > 72 ? (width - 40) / 2 : 16;
}

/* What stands right of the bar where there is room for it: from the mean, resistance, trend. */
static int draw_extras(const struct canvas *c, int y, int x, int width, const struct cells *k, unsigned i)
{
	const struct series *wires = &k->snap->reading.cell_resistance_ohm;
	double slope = trend_per_minute(k->trend, TREND_CELL + i);
	int at = x + width - 1, trend = trend_width(width);
	char text[24];

	signed_text(slope, 1, "", text, sizeof(text));
	at -= 7;
	put_right(c, y, at, 7, STYLE_NORMAL, "%s", text);
	at -= trend + 1;
	draw_trend(c, y, at, trend, k, i);
	if (wires->count) {
		number_text(series_knows(wires, i) ? wires->value[i] : NAN, 3, "", text, sizeof(text));
		at -= 7;
		put_right(c, y, at, 6, STYLE_NORMAL, "%s", text);
	}
	signed_text(deviation_mV(k, i), 1, "", text, sizeof(text));
	at -= 8;
	put_right(c, y, at, 7, STYLE_NORMAL, "%s", text);
	return at - x;
}

static void draw_extras_titles(const struct canvas *c, int y, int x, int width, const struct cells *k)
{
	int at = x + width - 1, trend = trend_width(width - 10);

	at -= 7;
	put_right(c, y, at, 7, STYLE_LABEL, "mV/min");
	at -= trend + 1;
	put(c, y, at, trend, STYLE_LABEL, "last 10 min");
	if (k->snap->reading.cell_resistance_ohm.count) {
		at -= 7;
		put_right(c, y, at, 6, STYLE_LABEL, "wire Ω");
	}
	at -= 8;
	put_right(c, y, at, 7, STYLE_LABEL, "mean mV");
	put(c, y, x, 20, STYLE_LABEL, "  #     V");
}

static void draw_cell(const struct ui *ui, const struct canvas *c, int y, int x, int width, const struct cells *k,
		      unsigned i)
{
	const struct reading *r = &k->snap->reading;
	enum style style = cell_style(k, i, STYLE_NORMAL);
	int bar = x + 10, end = x + width - 2;
	char text[24];

	put_right(c, y, x, 3, STYLE_LABEL, "%u", i + 1);
	if (is_open(r, i)) {
		put(c, y, x + 4, width - 4, STYLE_BAD, "open wire");
		return;
	}
	number_text(has_voltage(r, i) ? r->cell_V.value[i] : NAN, 3, "", text, sizeof(text));
	put_right(c, y, x + 4, 5, style, "%s", text);
	draw_marks(c, y, end, k, i);
	if (!has_voltage(r, i))
		return;
	if (width >= WIDE)
		end = bar + draw_extras(c, y, bar, end - bar, k, i);
	if (ui->cells.show != CELLS_BARS && width < WIDE && width > LEAST_WIDTH + 6) {
		signed_text(deviation_mV(k, i), 1, "", text, sizeof(text));
		put_right(c, y, bar, 6, style, "%s", text);
		bar += 7;
	}
	if (ui->cells.show == CELLS_DEVIATION)
		draw_deviation_bar(c, y, bar, end - bar, k, i);
	else if (ui->cells.show == CELLS_TREND)
		draw_trend(c, y, bar, end - bar - 1, k, i);
	else
		put_bar(c, y, bar, end - bar, cell_style(k, i, STYLE_BAR),
			scale_fraction(k->scale, r->cell_V.value[i]));
}

/* Returns the lines used. */
static int draw_grid(const struct ui *ui, const struct canvas *c, struct area a, const struct cells *k)
{
	struct grid g = grid_layout((int)k->count, LEAST_WIDTH, GAP, a.width - 1, a.height);
	bool titles = g.width >= WIDE && g.rows < a.height;

	for (int column = 0; titles && column < g.columns; column++)
		draw_extras_titles(c, a.y, a.x + column * (g.width + GAP), g.width - 2, k);
	a.y += titles;
	for (unsigned i = 0; i < k->count; i++) {
		int row = (int)i % g.rows, column = (int)i / g.rows;

		if (row < a.height)
			draw_cell(ui, c, a.y + row, a.x + column * (g.width + GAP), g.width, k, k->order[i]);
	}
	return g.rows + titles;
}

/* ---- below the grid ---- */

static void draw_scale(const struct ui *ui, const struct canvas *c, int y, int width, const struct cells *k)
{
	char text[100];

	put_rule(c, y, 0, width);
	if (isnan(k->lo))
		return;
	if (ui->cells.show == CELLS_BARS)
		snprintf(text, sizeof(text), "bars from %.3f to %.3f V", k->scale.lo, k->scale.hi);
	else if (ui->cells.show == CELLS_DEVIATION)
		snprintf(text, sizeof(text), "from the mean of %.4f V, in mV", k->mean);
	else
		snprintf(text, sizeof(text), "last 10 min, from the mean, -%.0f to +%.0f mV", k->deviation.hi,
			 k->deviation.hi);
	put(c, y, 2, width - 4, STYLE_LABEL, " %s%s ", text, ui->cells.by_voltage ? ", highest first" : "");
}

static void trend_words(const struct cells *k, char *out, size_t size)
{
	double slope = trend_per_minute(k->trend, TREND_SPREAD_mV);
	unsigned steps = k->trend->n < TREND_TEN_MIN ? k->trend->n : TREND_TEN_MIN;
	char age[24];

	age_text((uint64_t)steps * TREND_STEP_MS, age, sizeof(age));
	if (isnan(slope))
		snprintf(out, size, "%s", age);
	else if (fabs(slope) < 0.1)
		snprintf(out, size, "%s, steady", age);
	else
		snprintf(out, size, "%s, %s %.1f mV/min", age, slope > 0 ? "growing" : "closing", fabs(slope));
}

static void draw_spread(const struct canvas *c, int y, int width, const struct cells *k)
{
	struct piece piece[5] = {{.style = STYLE_HIGH, .keep = 8},
				 {.style = STYLE_LOW, .keep = 7},
				 {.style = STYLE_STRONG, .keep = 9},
				 {.style = STYLE_BAR, .keep = 1},
				 {.style = STYLE_NORMAL, .keep = 2}};
	float v[TREND_TEN_MIN];
	double most = FLOOR_mV;
	unsigned n = trend_last(k->trend, TREND_SPREAD_mV, TREND_TEN_MIN, v);

	for (unsigned i = 0; i < n; i++)
		if ((double)v[i] > most)
			most = (double)v[i];
	if (k->highest >= 0) {
		snprintf(piece[0].text, sizeof(piece[0].text), "max #%d %.3f", k->highest + 1, k->hi);
		snprintf(piece[1].text, sizeof(piece[1].text), "min #%d %.3f", k->lowest + 1, k->lo);
		snprintf(piece[2].text, sizeof(piece[2].text), "spread %.0f mV", (k->hi - k->lo) * 1000);
	}
	spark_text(v, n, (struct scale){0, most}, width > 100 ? 30 : 8, piece[3].text, sizeof(piece[3].text));
	trend_words(k, piece[4].text, sizeof(piece[4].text));
	put_pieces(c, y, 2, width - 3, 3, piece, 5);
}

static void balancing_text(const struct reading *r, char *out, size_t size)
{
	double current = reading_get(r, Q_BALANCE_CURRENT_A);
	size_t n = 0;

	if (reading_flag(r, F_BALANCING_ACTIVE) != ON) {
		snprintf(out, size, reading_flag(r, F_BALANCING_ACTIVE) == OFF ? "not balancing" : "balancing --");
		return;
	}
	n = (size_t)snprintf(out, size, "balancing");
	for (unsigned i = 0; r->balancing_known && i < r->cell_V.count && n < size; i++)
		if (r->balancing >> i & 1)
			n += (size_t)snprintf(out + n, size - n, " #%u", i + 1);
	if (!isnan(current) && n < size)
		snprintf(out + n, size - n, "  %.2f A", fabs(current));
}

static int compare_numbers(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The wire whose resistance stands out (by a third, and by 10 mΩ), or how they all are. */
static void wires_text(const struct reading *r, struct piece *piece)
{
	const struct series *wires = &r->cell_resistance_ohm;
	double sorted[MAX_CELLS];
	unsigned n = 0, worst = 0;

	for (unsigned i = 0; i < wires->count; i++) {
		if (!series_knows(wires, i))
			continue;
		if (!n || wires->value[i] > wires->value[worst])
			worst = i;
		sorted[n++] = wires->value[i];
	}
	if (!n)
		return;
	qsort(sorted, n, sizeof(sorted[0]), compare_numbers);
	double usual = sorted[n / 2];
	if (sorted[n - 1] > usual * 4 / 3 && sorted[n - 1] > usual + 0.010) {
		piece->style = STYLE_WARNING;
		snprintf(piece->text, sizeof(piece->text), "wire #%u %.3f Ω (others %.3f) ← check this lug", worst + 1,
			 sorted[n - 1], usual);
	} else {
		snprintf(piece->text, sizeof(piece->text), "wires %.3f to %.3f Ω", sorted[0], sorted[n - 1]);
	}
}

static void draw_balancing(const struct canvas *c, int y, int width, const struct cells *k)
{
	const struct reading *r = &k->snap->reading;
	struct piece piece[3] = {{.style = STYLE_BAD, .keep = 9},
				 {.style = STYLE_NORMAL, .keep = 5},
				 {.style = STYLE_NORMAL, .keep = 7}};
	size_t n = 0;

	for (unsigned i = 0; i < k->count && n < sizeof(piece[0].text); i++)
		if (is_open(r, i))
			n += (size_t)snprintf(piece[0].text + n, sizeof(piece[0].text) - n, "%s #%u",
					      n ? "" : "open wire", i + 1);
	balancing_text(r, piece[1].text, sizeof(piece[1].text));
	if (reading_flag(r, F_BALANCING_ACTIVE) == ON)
		piece[1].style = STYLE_BALANCE;
	wires_text(r, &piece[2]);
	put_pieces(c, y, 2, width - 3, 4, piece, 3);
}

static void draw_limits(const struct canvas *c, int y, int width, const struct snapshot *s)
{
	const struct limits_output *o = snapshot_limits(s);
	struct piece piece[3] = {{.keep = 9}, {.keep = 8}, {.keep = 7}};
	char value[24], why[60];

	number_text(o->cvl, 2, "V", value, sizeof(value));
	snprintf(piece[0].text, sizeof(piece[0].text), "CVL %s %s", value, charge_phase_name(o->phase));
	number_text(o->ccl.limit, 1, "A", value, sizeof(value));
	limit_codes(&o->ccl, why, sizeof(why));
	snprintf(piece[1].text, sizeof(piece[1].text), "CCL %s (%s)", value, why);
	number_text(o->dcl.limit, 1, "A", value, sizeof(value));
	limit_codes(&o->dcl, why, sizeof(why));
	snprintf(piece[2].text, sizeof(piece[2].text), "DCL %s (%s)", value, why);
	put_pieces(c, y, 2, width - 3, 4, piece, 3);
}

static void sensors_text(const struct reading *r, char *out, size_t size)
{
	size_t n = 0;

	out[0] = 0;
	for (unsigned i = 0; i < r->temperatures.count && n < size; i++)
		if (series_knows(&r->temperatures, i))
			n += (size_t)snprintf(out + n, size - n, "%sT%u %.1f", n ? "  " : "", i + 1,
					      r->temperatures.value[i]);
	if (n && n < size)
		snprintf(out + n, size - n, " °C");
}

static void draw_capacity(const struct canvas *c, int y, int width, const struct snapshot *s)
{
	const struct reading *r = &s->reading;
	struct piece piece[4] = {{.keep = 9}, {.keep = 8}, {.keep = 6}, {.keep = 7}};
	double left = remaining_Ah(s), full = reading_get(r, Q_CAPACITY_FULL_AH);
	char a[24], b[24];

	number_text(left, 1, "", a, sizeof(a));
	number_text(full, 1, "Ah", b, sizeof(b));
	snprintf(piece[0].text, sizeof(piece[0].text), "%s of %s", a, b);
	number_text(reading_get(r, Q_CYCLES), 0, "", a, sizeof(a));
	snprintf(piece[1].text, sizeof(piece[1].text), "cycles %s", a);
	if (reading_knows(r, Q_SOH_PCT))
		snprintf(piece[2].text, sizeof(piece[2].text), "SoH %.0f %%", reading_get(r, Q_SOH_PCT));
	sensors_text(r, piece[3].text, sizeof(piece[3].text));
	put_pieces(c, y, 2, width - 3, 4, piece, 4);
}

/* Where the terminal is tall: the spread over the time that fits, up to an hour. */
static void draw_spread_plot(struct ui *ui, const struct canvas *c, struct area a, const struct cells *k)
{
	static const enum style styles[PLOT_LAYERS] = {STYLE_BAR, STYLE_BAR};
	struct plot *p = &ui->plot;
	int left = 8;
	float v[TREND_STEPS];
	double values[TREND_STEPS], most = FLOOR_mV;
	char age[24];

	plot_start(p, a.width - left - 2, a.height - 1, ui->term.glyphs);
	unsigned want = (unsigned)plot_dots_across(p) < TREND_STEPS ? (unsigned)plot_dots_across(p) : TREND_STEPS;
	unsigned n = trend_last(k->trend, TREND_SPREAD_mV, want, v);
	for (unsigned i = 0; i < want; i++) {
		values[i] = i + n < want ? NAN : (double)v[i + n - want];
		if (values[i] > most)
			most = values[i];
	}
	plot_values(p, 0, values, (int)want, (struct scale){0, most}, false);
	put_rule(c, a.y, 0, a.width);
	age_text((uint64_t)want * TREND_STEP_MS, age, sizeof(age));
	put(c, a.y, 2, a.width - 4, STYLE_LABEL, " spread in mV, last %s ", age);
	put_right(c, a.y + 1, 0, left - 1, STYLE_LABEL, "%.0f", most);
	put_right(c, a.y + a.height - 1, 0, left - 1, STYLE_LABEL, "0");
	for (int y = 1; y < a.height; y++)
		put(c, a.y + y, left - 1, 1, STYLE_RULE, "│");
	put_plot(c, a.y + 1, left, p, styles);
}

/* ---- the whole ---- */

static void draw_without_cells(const struct canvas *c, struct area a, const struct snapshot *s)
{
	double lo = reading_get(&s->reading, Q_CELL_MIN_V), hi = reading_get(&s->reading, Q_CELL_MAX_V);

	put(c, a.y + 1, 2, a.width - 3, STYLE_STRONG,
	    s->reading_ms ? "This BMS does not report its single cells." : "Waiting for the first whole reading.");
	if (!isnan(lo) && !isnan(hi))
		put(c, a.y + 3, 2, a.width - 3, STYLE_NORMAL, "lowest %.3f V  highest %.3f V  spread %.0f mV", lo, hi,
		    (hi - lo) * 1000);
}

static void cells_draw(struct ui *ui, const struct canvas *canvas, struct area a)
{
	const struct pack_view *p = view_chosen(&ui->view);
	struct canvas c = *canvas;
	struct cells k;
	char age[24];

	if (!p) {
		put(&c, a.y + 1, 2, a.width - 3, STYLE_NORMAL, "No battery yet; 1 shows what is being tried.");
		return;
	}
	if (values_old(ui, &p->snap, age, sizeof(age)))
		c.extra = A_DIM;
	if (!p->snap.reading.cell_V.count) {
		draw_without_cells(&c, a, &p->snap);
		return;
	}
	collect(ui, p, &k);
	struct area grid = {a.y, a.x, a.height - INFO_LINES, a.width};
	int used = draw_grid(ui, &c, grid, &k), y = a.y + (used < grid.height ? used : grid.height);
	draw_scale(ui, &c, y, a.width, &k);
	draw_spread(&c, y + 1, a.width, &k);
	draw_balancing(&c, y + 2, a.width, &k);
	draw_limits(&c, y + 3, a.width, &p->snap);
	draw_capacity(&c, y + 4, a.width, &p->snap);
	y += INFO_LINES;
	if (a.y + a.height - y >= PLOT_LEAST)
		draw_spread_plot(ui, &c, (struct area){y, 0, a.y + a.height - y, a.width}, &k);
}

static bool cells_key(struct ui *ui, int key)
{
	struct cells_state *s = &ui->cells;

	switch (key) {
	case 's':
		s->by_voltage = !s->by_voltage;
		return true;
	case 'm':
		s->show = s->show == CELLS_DEVIATION ? CELLS_BARS : CELLS_DEVIATION;
		return true;
	case 't':
		s->show = s->show == CELLS_TREND ? CELLS_BARS : CELLS_TREND;
		return true;
	default:
		return false;
	}
}

static const char *const help[] = {
	"s\tby number, or the highest first",
	"m\tbars between the lowest and the highest cell, or mV from the mean",
	"t\thow each cell has moved against the mean in the last ten minutes",
	NULL,
};

const struct screen cells_screen = {
	.title = "Cells",
	.keys = "s sort  m mV/bars  t trend",
	.help = help,
	.draw = cells_draw,
	.key = cells_key,
};
