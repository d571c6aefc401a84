/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Screen 3: how hard the pack may be charged and discharged, which rule says so, and what would be if
 * a cell, a temperature or the SoC were different.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ui/ui.h"

enum {
	TABLE_LINES = 4,
	BMS_LINES = 1,
	CANDIDATE_LINES = 3,
	WHAT_IF_LINES = 3,
	PLOT_LEAST = 6, /* lines with title and axis */
	PLOT_GOOD = 13, /* a second one below only from here on */
	PLOT_WIDE = 70, /* columns for one of two side by side */
	AXIS_WIDTH = 8,
	VALUE_X = 8,
	VALUE_WIDTH = 10,
	WHY_X = 41,
};

/* Words and steps of the curves, in the order of enum limits_curve. */
static const struct {
	const char *charging, *discharging; /* over what they run */
	const char *short_name, *unit;
	int decimals;
	double step; /* of a what-if */
	const char *option_charging, *option_discharging;
} curves[CURVE_COUNT] = {
	[CURVE_CELL] = {"highest cell", "lowest cell", "cells", "V", 3, 0.005, "CCCM_CV_ENABLE", "DCCM_CV_ENABLE"},
	[CURVE_TEMP] = {"temperature", "temperature", "temp", "°C", 1, 1, "CCCM_T_ENABLE", "DCCM_T_ENABLE"},
	[CURVE_MOSFET] = {"MOSFET temperature", "MOSFET temperature", "MOSFET", "°C", 1, 2, "CCCM_T_MOSFET_ENABLE",
			  "DCCM_T_MOSFET_ENABLE"},
	[CURVE_SOC] = {"SoC", "SoC", "SoC", "%", 1, 1, "CCCM_SOC_ENABLE", "DCCM_SOC_ENABLE"},
};

static const struct number_list *curve_points(const struct config *c, enum limits_curve curve, bool charging)
{
	switch (curve) {
	case CURVE_CELL:
		return charging ? &c->cell_voltages_while_charging : &c->cell_voltages_while_discharging;
	case CURVE_TEMP:
		return charging ? &c->temperatures_while_charging : &c->temperatures_while_discharging;
	case CURVE_MOSFET:
		return charging ? &c->mosfet_temperatures_while_charging : &c->mosfet_temperatures_while_discharging;
	case CURVE_SOC:
	case CURVE_COUNT:
		break;
	}
	return charging ? &c->soc_while_charging : &c->soc_while_discharging;
}

/* Where the pack stands on a curve. Two temperatures may count: the one that allows less. */
static double operating_point(const struct config *c, const struct limits_output *o, enum limits_curve curve,
			      bool charging)
{
	double lo, hi;

	switch (curve) {
	case CURVE_CELL:
		return charging ? o->cell_max : o->cell_min;
	case CURVE_TEMP:
		lo = limits_curve_at(c, LIMITS_LINEAR, curve, charging, o->temp_min);
		hi = limits_curve_at(c, LIMITS_LINEAR, curve, charging, o->temp_max);
		return lo < hi || isnan(hi) ? o->temp_min : o->temp_max;
	case CURVE_MOSFET:
		return o->temp_mos;
	case CURVE_SOC:
	case CURVE_COUNT:
		break;
	}
	return o->soc;
}

/* ---- why ---- */

static size_t add(char *out, size_t size, size_t n, const char *text)
{
	return n < size ? n + (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "", text) : n;
}

/* "cell #5 3.427 V, curve 3.425 → 3.450" */
static void curve_reason(const struct config *c, const struct limits_output *o, enum limits_curve curve, bool charging,
			 char *out, size_t size)
{
	const struct number_list *points = curve_points(c, curve, charging);
	double x = operating_point(c, o, curve, charging), below = NAN, above = NAN;
	int number = charging ? o->cell_max_no : o->cell_min_no, d = curves[curve].decimals;
	size_t n;

	for (unsigned i = 0; i < points->n; i++) {
		if (points->v[i] <= x && !(below > points->v[i]))
			below = points->v[i];
		if (points->v[i] > x && !(above < points->v[i]))
			above = points->v[i];
	}
	if (curve == CURVE_CELL && number > 0)
		n = (size_t)snprintf(out, size, "cell #%d %.*f V", number, d, x);
	else
		n = (size_t)snprintf(out, size, "%s %.*f %s", curve == CURVE_CELL ? "cell" : curves[curve].short_name,
				     d, x, curves[curve].unit);
	if (n >= size)
		return;
	if (isnan(below))
		snprintf(out + n, size - n, ", curve below %.*f", d, above);
	else if (isnan(above))
		snprintf(out + n, size - n, ", curve from %.*f", d, below);
	else
		snprintf(out + n, size - n, ", curve %.*f → %.*f", d, below, d, above);
}

static void current_why(const struct config *c, const struct limits_output *o, bool charging, char *out, size_t size)
{
	static const struct {
		enum limit_reason reason;
		enum limits_curve curve;
	} by_curve[] = {{REASON_CELL, CURVE_CELL},
			{REASON_TEMP, CURVE_TEMP},
			{REASON_MOSFET, CURVE_MOSFET},
			{REASON_SOC, CURVE_SOC}};
	const struct current_limit *l = charging ? &o->ccl : &o->dcl;
	char text[100];
	size_t n = 0;

	out[0] = 0;
	if (l->wait) {
		n = add(out, size, n, "held back");
		if (!isnan(l->wait_left) && n < size)
			n += (size_t)snprintf(out + n, size - n, " %.0f s more", l->wait_left);
		if (n < size)
			n += (size_t)snprintf(out + n, size - n, " (%.1f A)", l->target);
	}
	for (size_t i = 0; c && i < sizeof(by_curve) / sizeof(by_curve[0]); i++) {
		if (!(l->why & by_curve[i].reason))
			continue;
		curve_reason(c, o, by_curve[i].curve, charging, text, sizeof(text));
		n = add(out, size, n, text);
	}
	if (l->why & REASON_CONFIG)
		n = add(out, size, n, "configured maximum");
	if (l->why & REASON_BMS_LIMIT)
		n = add(out, size, n, "the BMS asks for no more");
	if (l->why & REASON_BMS_FET)
		n = add(out, size, n, charging ? "charging is switched off" : "discharging is switched off");
	if (l->why & REASON_DISCONNECT)
		add(out, size, n, "the BMS does not answer");
}

static void voltage_why(const struct snapshot *s, const struct limits_output *o, char *out, size_t size)
{
	double cells = reading_get(&s->reading, Q_CELL_COUNT);
	size_t n;

	charge_mode_text(o, out, size);
	n = strlen(out);
	if (cells > 0 && !isnan(o->cvl) && n < size)
		snprintf(out + n, size - n, "%s%.0f × %.3f V", n ? ": " : "", cells, o->cvl / cells);
}

/* ---- the table ---- */

struct row_of_limits {
	const char *name, *unit;
	int decimals;
	double in_force, step, linear;
	char why[200];
};

static void draw_row(const struct canvas *c, int y, int width, const struct row_of_limits *r)
{
	char text[24];

	put(c, y, 2, 5, STYLE_STRONG, "%s", r->name);
	number_text(r->in_force, r->decimals, r->unit, text, sizeof(text));
	put_right(c, y, VALUE_X, VALUE_WIDTH, STYLE_IN_FORCE, "%s", text);
	number_text(r->step, r->decimals, "", text, sizeof(text));
	put_right(c, y, VALUE_X + VALUE_WIDTH, VALUE_WIDTH, STYLE_NORMAL, "%s", text);
	number_text(r->linear, r->decimals, "", text, sizeof(text));
	put_right(c, y, VALUE_X + 2 * VALUE_WIDTH, VALUE_WIDTH, STYLE_NORMAL, "%s", text);
	put(c, y, WHY_X, width - WHY_X - 1, STYLE_NORMAL, "%s", r->why);
}

static void draw_table(const struct canvas *c, int y, int width, const struct snapshot *s, const struct config *config)
{
	const struct limits_output *o = snapshot_limits(s);
	struct row_of_limits row[3] = {
		{"CVL", "V", 2, o->cvl, s->step.cvl, s->linear.cvl, ""},
		{"CCL", "A", 1, o->ccl.limit, s->step.ccl.limit, s->linear.ccl.limit, ""},
		{"DCL", "A", 1, o->dcl.limit, s->step.dcl.limit, s->linear.dcl.limit, ""},
	};

	voltage_why(s, o, row[0].why, sizeof(row[0].why));
	current_why(config, o, true, row[1].why, sizeof(row[1].why));
	current_why(config, o, false, row[2].why, sizeof(row[2].why));
	put_right(c, y, VALUE_X, VALUE_WIDTH, STYLE_LABEL, "in force");
	put_right(c, y, VALUE_X + VALUE_WIDTH, VALUE_WIDTH, s->mode == LIMITS_STEP ? STYLE_IN_FORCE : STYLE_LABEL,
		  s->mode == LIMITS_STEP ? "[step]" : "step");
	put_right(c, y, VALUE_X + 2 * VALUE_WIDTH, VALUE_WIDTH, s->mode == LIMITS_STEP ? STYLE_LABEL : STYLE_IN_FORCE,
		  s->mode == LIMITS_STEP ? "linear" : "[linear]");
	put(c, y, WHY_X, 10, STYLE_LABEL, "why");
	for (int i = 0; i < 3; i++)
		draw_row(c, y + 1 + i, width, &row[i]);
}

static void draw_bms(const struct canvas *c, int y, int width, const struct reading *r)
{
	static const struct {
		enum quantity q;
		const char *name, *unit;
		int decimals;
	} shown[] = {{Q_BMS_CVL_V, "CVL", "V", 2},
		     {Q_BMS_CCL_A, "CCL", "A", 1},
		     {Q_BMS_DCL_A, "DCL", "A", 1},
		     {Q_BMS_DVL_V, "DVL", "V", 2}};
	int x = 2 + put(c, y, 2, 12, STYLE_LABEL, "BMS itself");
	char text[24];

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		number_text(reading_get(r, shown[i].q), shown[i].decimals, shown[i].unit, text, sizeof(text));
		x += put(c, y, x, width - x - 1, STYLE_NORMAL, "   %s %s", shown[i].name, text);
	}
}

static void draw_candidates(const struct canvas *c, int y, const struct limits_output *o)
{
	static const char *const title[] = {"config", "BMS", "cell", "temp", "MOSFET", "SoC", "switch"};
	const struct current_limit *l[] = {&o->ccl, &o->dcl};
	char text[24];

	put(c, y, 2, 12, STYLE_LABEL, "rules say, A");
	for (int i = 0; i < 7; i++)
		put_right(c, y, 14 + i * 9, 8, STYLE_LABEL, "%s", title[i]);
	for (int side = 0; side < 2; side++) {
		const struct limit_candidates *k = &l[side]->candidate;
		const double value[] = {k->config, k->bms_limit, k->cell, k->temp, k->mosfet, k->soc, k->bms_fet};

		put(c, y + 1 + side, 2, 5, STYLE_STRONG, side ? "DCL" : "CCL");
		for (int i = 0; i < 7; i++) {
			bool binds = value[i] <= l[side]->target;

			number_text(value[i], 1, "", text, sizeof(text));
			put_right(c, y + 1 + side, 14 + i * 9, 8, binds ? STYLE_IN_FORCE : STYLE_NORMAL, "%s", text);
		}
	}
}

/* ---- what if ---- */

static bool what_if(const struct ui *ui)
{
	for (int i = 0; i < CURVE_COUNT; i++)
		if (ui->limits.moved[i] != 0)
			return true;
	return false;
}

/* The limits of this mode at the moved values: the same arithmetic, without hold and ramp. */
static bool what_if_limits(const struct ui *ui, const struct snapshot *s, const struct config *config,
			   enum limits_mode mode, struct limits_output *out)
{
	struct limits_state *state = limits_state_new();
	const double *moved = ui->limits.moved;
	struct config c = *config;
	struct limits_input in;

	if (!state)
		return false;
	c.charge_mode = mode;
	limits_input_from_reading(&in, &s->reading, s->protocol->first_sensor_is_mos);
	for (unsigned i = 0; i < in.cells; i++)
		in.cell[i] += moved[CURVE_CELL];
	in.cell_lo += moved[CURVE_CELL];
	in.cell_hi += moved[CURVE_CELL];
	in.voltage += moved[CURVE_CELL] * in.cells;
	for (int i = 0; i < LIMITS_MAX_SENSORS; i++)
		in.temp[i] += moved[CURVE_TEMP];
	in.temp_mos += moved[CURVE_MOSFET];
	in.soc = fmin(fmax(in.soc + moved[CURVE_SOC], 0), 100);
	limits_step(state, &c, &in, 0, out);
	limits_state_free(state);
	return true;
}

static void what_if_text(const struct limits_output *o, char *out, size_t size)
{
	char ccl[24], dcl[24], why_ccl[60], why_dcl[60];

	number_text(o->ccl.target, 1, "A", ccl, sizeof(ccl));
	number_text(o->dcl.target, 1, "A", dcl, sizeof(dcl));
	limit_codes(&o->ccl, why_ccl, sizeof(why_ccl));
	limit_codes(&o->dcl, why_dcl, sizeof(why_dcl));
	snprintf(out, size, "CCL %s (%s)   DCL %s (%s)", ccl, why_ccl, dcl, why_dcl);
}

static void draw_what_if(const struct ui *ui, const struct canvas *c, int y, int width, const struct snapshot *s,
			 const struct config *config)
{
	static const struct {
		enum limits_mode mode;
		const char *name;
	} modes[] = {{LIMITS_STEP, "step"}, {LIMITS_LINEAR, "linear"}};
	int x = 2 + put(c, y, 2, width - 3, STYLE_WHAT_IF, "WHAT IF");
	struct limits_output o;
	char text[260];

	for (int i = 0; i < CURVE_COUNT; i++) {
		if (ui->limits.moved[i] == 0)
			continue;
		signed_text(ui->limits.moved[i], curves[i].decimals, curves[i].unit, text, sizeof(text));
		x += put(c, y, x, width - x - 1, STYLE_WHAT_IF, "  %s %s", curves[i].short_name, text);
	}
	for (int i = 0; i < 2; i++) {
		if (!what_if_limits(ui, s, config, modes[i].mode, &o))
			return;
		what_if_text(&o, text, sizeof(text));
		put(c, y + 1 + i, 4, 7, STYLE_LABEL, "%s", modes[i].name);
		put(c, y + 1 + i, 11, width - 12, STYLE_NORMAL, "%s", text);
	}
}

/* ---- curves ---- */

struct curve_plot {
	const struct config *config;
	enum limits_curve curve;
	bool charging;
	enum limits_mode in_force;
	double lo, hi;	  /* of x */
	double at, moved; /* operating point, and that of the what-if */
	double top;	  /* A */
};

/* The range of the curve with some air, and the operating point if it is not too far away. */
static void find_range(struct curve_plot *k)
{
	double lo, hi;

	limits_curve_range(k->config, k->curve, k->charging, &lo, &hi);
	double span = hi - lo, air = span * 0.08;
	k->lo = lo - air;
	k->hi = hi + air;
	const double points[] = {k->at, k->moved};
	for (int i = 0; i < 2; i++) {
		if (points[i] < k->lo && points[i] > lo - span)
			k->lo = points[i] - air;
		if (points[i] > k->hi && points[i] < hi + span)
			k->hi = points[i] + air;
	}
}

static double current_at(const struct curve_plot *k, enum limits_mode mode, double x)
{
	return limits_curve_at(k->config, mode, k->curve, k->charging, x);
}

static void plot_mode(struct plot *p, struct curve_plot *k, enum limits_mode mode, int layer)
{
	double v[2 * PLOT_MAX_WIDTH];
	int n = plot_dots_across(p);

	for (int i = 0; i < n; i++)
		v[i] = current_at(k, mode, k->lo + (k->hi - k->lo) * i / (n > 1 ? n - 1 : 1));
	plot_values(p, layer, v, n, (struct scale){0, k->top}, layer == 1);
}

static void draw_point(const struct canvas *c, struct area a, const struct curve_plot *k, double x, enum style style,
		       const char *mark)
{
	double part = (x - k->lo) / (k->hi - k->lo), height = current_at(k, k->in_force, x) / k->top;
	int column = (int)lround(fmin(fmax(part, 0), 1) * (a.width - 1));
	int row = a.height - 1 - (int)lround(fmin(fmax(height, 0), 1) * (a.height - 1));

	if (isnan(x))
		return;
	put(c, a.y + row, a.x + column, 2, style, "%s", part < 0 ? "←" : part > 1 ? "→" : mark);
}

static void draw_axes(const struct canvas *c, struct area a, const struct curve_plot *k)
{
	int d = curves[k->curve].decimals, label = 9;
	char text[24];

	number_text(k->top, 0, "A", text, sizeof(text));
	put_right(c, a.y, a.x - AXIS_WIDTH, AXIS_WIDTH - 2, STYLE_LABEL, "%s", text);
	put_right(c, a.y + a.height - 1, a.x - AXIS_WIDTH, AXIS_WIDTH - 2, STYLE_LABEL, "0");
	for (int y = 0; y < a.height; y++)
		put(c, a.y + y, a.x - 1, 1, STYLE_RULE, y == 0 || y == a.height - 1 ? "┤" : "│");
	for (int i = 0; i <= 4; i++) {
		int x = a.x + i * (a.width - label) / 4;

		number_text(k->lo + (k->hi - k->lo) * (x - a.x + (i ? label / 2 : 0)) / a.width, d, "", text,
			    sizeof(text));
		if (a.width >= 40 || i % 2 == 0)
			put(c, a.y + a.height, x, label, STYLE_LABEL, "%s%s", text,
			    i == 4 ? curves[k->curve].unit : "");
	}
}

static void draw_legend(const struct canvas *c, int y, int x, int width, const struct curve_plot *k, bool chosen)
{
	bool step = k->in_force == LIMITS_STEP;
	const char *line = c->term->glyphs == GLYPHS_FULL ? "⠒⠒⠒" : "***",
		   *dots = c->term->glyphs == GLYPHS_FULL ? "⠐⠐⠐" : "...";
	char at[40];
	int end = x + width;

	number_text(k->at, curves[k->curve].decimals, curves[k->curve].unit, at, sizeof(at));
	put_rule(c, y, x, width);
	x += 2;
	x += put(c, y, x, end - x, chosen ? STYLE_TAB : STYLE_STRONG, " %s over %s ", k->charging ? "CCL" : "DCL",
		 k->charging ? curves[k->curve].charging : curves[k->curve].discharging);
	if (isnan(k->at))
		x += put(c, y, x, end - x, STYLE_NORMAL, " not reported ");
	else
		x += put(c, y, x, end - x, STYLE_NORMAL, " ● %s ", at);
	if (end - x < 32)
		return;
	x += put(c, y, x, end - x, STYLE_IN_FORCE, " %s %s ", line, step ? "step" : "linear");
	put(c, y, x, end - x, STYLE_OTHER, " %s %s ", dots, step ? "linear" : "step");
}

/* One curve with its title above and its axis below. */
static void draw_curve(struct ui *ui, const struct canvas *c, struct area a, struct curve_plot *k, bool chosen)
{
	static const enum style styles[PLOT_LAYERS] = {STYLE_IN_FORCE, STYLE_OTHER};
	double moved = ui->limits.moved[k->curve];
	struct area inner = {a.y + 1, a.x + AXIS_WIDTH, a.height - 2, a.width - AXIS_WIDTH - 2};

	draw_legend(c, a.y, a.x, a.width, k, chosen);
	if (!limits_curve_enabled(k->config, k->curve, k->charging)) {
		put(c, a.y + 1, a.x + 2, a.width - 3, STYLE_NORMAL, "this curve is off (%s)",
		    k->charging ? curves[k->curve].option_charging : curves[k->curve].option_discharging);
		return;
	}
	k->moved = moved != 0 ? k->at + moved : NAN;
	find_range(k);
	k->top = k->charging ? k->config->max_battery_charge_current : k->config->max_battery_discharge_current;
	if (!(k->top > 0))
		k->top = 1;
	plot_start(&ui->plot, inner.width, inner.height, ui->term.glyphs);
	plot_mode(&ui->plot, k, k->in_force, 0);
	plot_mode(&ui->plot, k, k->in_force == LIMITS_STEP ? LIMITS_LINEAR : LIMITS_STEP, 1);
	draw_axes(c, inner, k);
	put_plot(c, inner.y, inner.x, &ui->plot, styles);
	draw_point(c, inner, k, k->at, STYLE_STRONG, "●");
	draw_point(c, inner, k, k->moved, STYLE_WHAT_IF, "◆");
}

/* The chosen curve; where there is room also the other direction beside it and further curves below. */
static void draw_curves(struct ui *ui, const struct canvas *c, struct area a, const struct snapshot *s,
			const struct config *config)
{
	int columns = a.width >= 2 * PLOT_WIDE ? 2 : 1, rows = a.height / PLOT_GOOD;

	rows = rows < 1 ? 1 : rows > CURVE_COUNT ? CURVE_COUNT : rows;
	for (int row = 0; row < rows; row++) {
		for (int column = 0; column < columns; column++) {
			struct curve_plot k = {
				.config = config,
				.curve = (enum limits_curve)((ui->limits.curve + (unsigned)row) % CURVE_COUNT),
				.charging = columns == 2 ? column == 0 : !ui->limits.discharging,
				.in_force = s->mode == LIMITS_STEP ? LIMITS_STEP : LIMITS_LINEAR,
			};
			struct area place = {a.y + row * (a.height / rows), column * (a.width / columns),
					     a.height / rows, a.width / columns};

			k.at = operating_point(config, snapshot_limits(s), k.curve, k.charging);
			draw_curve(ui, c, place, &k, row == 0 && k.charging == !ui->limits.discharging);
		}
	}
}

/* ---- the whole ---- */

static void limits_draw(struct ui *ui, const struct canvas *canvas, struct area a)
{
	const struct snapshot *s = ui_pack(ui);
	const struct config *config = s ? engine_pack_config(ui->engine, s->id) : NULL;
	struct canvas c = *canvas;
	int end = a.y + a.height, y = a.y;
	bool moved = what_if(ui) && config;
	char age[24];

	if (!s || !s->reading_ms) {
		put(&c, a.y + 1, 2, a.width - 3, STYLE_NORMAL, "No reading yet, so no limits.");
		return;
	}
	if (values_old(ui, s, age, sizeof(age)))
		c.extra = A_DIM;
	draw_table(&c, y, a.width, s, config);
	y += TABLE_LINES;
	int spare = end - y - PLOT_LEAST - (moved ? WHAT_IF_LINES : 0);
	if (spare >= BMS_LINES + CANDIDATE_LINES) {
		draw_bms(&c, y, a.width, &s->reading);
		draw_candidates(&c, y + BMS_LINES, snapshot_limits(s));
		y += BMS_LINES + CANDIDATE_LINES;
	}
	if (moved) {
		draw_what_if(ui, &c, y, a.width, s, config);
		y += WHAT_IF_LINES;
	}
	if (config && end - y >= 4)
		draw_curves(ui, &c, (struct area){y, 0, end - y, a.width}, s, config);
}

/* Moves the chosen value by so many steps; rounding keeps it free of the noise of many additions. */
static void move_value(struct ui *ui, int steps)
{
	double step = curves[ui->limits.curve].step, *moved = &ui->limits.moved[ui->limits.curve];

	*moved = round(*moved / step + steps) * step;
}

static bool limits_key(struct ui *ui, int key)
{
	struct limits_state_view *l = &ui->limits;

	switch (key) {
	case 'v':
		l->curve = (enum limits_curve)((l->curve + 1) % CURVE_COUNT);
		return true;
	case 'd':
		l->discharging = !l->discharging;
		return true;
	case KEY_LEFT:
	case '-':
		move_value(ui, -1);
		return true;
	case KEY_RIGHT:
	case '+':
		move_value(ui, 1);
		return true;
	case '<':
		move_value(ui, -10);
		return true;
	case '>':
		move_value(ui, 10);
		return true;
	case 'z':
		memset(l->moved, 0, sizeof(l->moved));
		return true;
	default:
		return false;
	}
}

static const char *const help[] = {
	"v\tthe next curve: cell, temperature, MOSFET, SoC",
	"d\tcharging or discharging",
	"← →\twhat if the value of this curve were lower or higher (also - +; < > by ten)",
	"z\tends the what-if",
	NULL,
};

const struct screen limits_screen = {
	.title = "Limits",
	.keys = "v curve  d charge/discharge  ←→ what-if  z end it",
	.help = help,
	.draw = limits_draw,
	.key = limits_key,
};
