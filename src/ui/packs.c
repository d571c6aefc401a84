/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Screen 1: every battery in a line, what they are together, and what becomes of every port. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ui/ui.h"

/* ---- columns ---- */

enum column {
	COLUMN_NUMBER,
	COLUMN_NAME,
	COLUMN_PORT,
	COLUMN_PROTOCOL,
	COLUMN_VOLTAGE,
	COLUMN_CURRENT,
	COLUMN_POWER,
	COLUMN_SOC,
	COLUMN_BAR,
	COLUMN_CELLS,
	COLUMN_SPREAD,
	COLUMN_TEMPERATURE,
	COLUMN_MOS,
	COLUMN_CVL,
	COLUMN_CCL,
	COLUMN_DCL,
	COLUMN_STATE,
	COLUMNS_OF_PACKS
};

static const struct {
	const char *title;
	int width, most; /* without the gap; most: how far it may grow */
	int keep;	 /* the lowest goes first when the line is too short */
	bool right;
} columns[COLUMNS_OF_PACKS] = {
	[COLUMN_NUMBER] = {"#", 3, 3, 20, true},     [COLUMN_NAME] = {"battery", 13, 28, 20, false},
	[COLUMN_PORT] = {"port", 14, 22, 8, false},  [COLUMN_PROTOCOL] = {"protocol", 9, 9, 4, false},
	[COLUMN_VOLTAGE] = {"V", 6, 6, 19, true},    [COLUMN_CURRENT] = {"A", 7, 7, 18, true},
	[COLUMN_POWER] = {"W", 6, 6, 13, true},	     [COLUMN_SOC] = {"SoC %", 5, 5, 17, true},
	[COLUMN_BAR] = {"", 7, 14, 11, false},	     [COLUMN_CELLS] = {"cells V", 11, 11, 7, false},
	[COLUMN_SPREAD] = {"mV", 4, 4, 15, true},    [COLUMN_TEMPERATURE] = {"°C", 5, 5, 12, true},
	[COLUMN_MOS] = {"MOS", 5, 5, 3, true},	     [COLUMN_CVL] = {"CVL V", 6, 6, 6, true},
	[COLUMN_CCL] = {"CCL A", 6, 6, 9, true},     [COLUMN_DCL] = {"DCL A", 6, 6, 9, true},
	[COLUMN_STATE] = {"state", 8, 8, 19, false},
};

struct table {
	int width[COLUMNS_OF_PACKS]; /* 0: left out */
	int x[COLUMNS_OF_PACKS];
};

static int table_width(const struct table *t)
{
	int width = 0;

	for (int i = 0; i < COLUMNS_OF_PACKS; i++)
		if (t->width[i])
			width += t->width[i] + 1;
	return width;
}

static void grow(struct table *t, enum column i, int room)
{
	int more = columns[i].most - columns[i].width;

	room -= table_width(t);
	if (t->width[i] && room > 0)
		t->width[i] += room < more ? room : more;
}

static void layout(struct table *t, int room)
{
	int x = 1;

	for (int i = 0; i < COLUMNS_OF_PACKS; i++)
		t->width[i] = columns[i].width;
	while (table_width(t) > room) {
		int first = -1;

		for (int i = 0; i < COLUMNS_OF_PACKS; i++)
			if (t->width[i] && (first < 0 || columns[i].keep < columns[first].keep))
				first = i;
		if (columns[first].keep == columns[COLUMN_NUMBER].keep)
			break;
		t->width[first] = 0;
	}
	grow(t, COLUMN_NAME, room);
	grow(t, COLUMN_PORT, room);
	grow(t, COLUMN_BAR, room);
	for (int i = 0; i < COLUMNS_OF_PACKS; i++) {
		t->x[i] = x;
		if (t->width[i])
			x += t->width[i] + 1;
	}
}

static void draw_titles(const struct canvas *c, const struct table *t, int y)
{
	for (int i = 0; i < COLUMNS_OF_PACKS; i++) {
		if (!t->width[i])
			continue;
		(columns[i].right ? put_right : put)(c, y, t->x[i], t->width[i], STYLE_LABEL, "%s", columns[i].title);
	}
}

/* ---- a pack ---- */

static const char *const state_words[] = {
	[PACK_STARTING] = "starting", [PACK_ONLINE] = "online", [PACK_STALE] = "STALE", [PACK_LOST] = "LOST"};
static const enum style state_styles[] = {[PACK_STARTING] = STYLE_NORMAL,
					  [PACK_ONLINE] = STYLE_GOOD,
					  [PACK_STALE] = STYLE_WARNING,
					  [PACK_LOST] = STYLE_BAD};

static unsigned alarm_count(const struct snapshot *s, enum alarm_level *worst)
{
	const struct alarms *a = &s->reading.alarms;

	*worst = ALARM_OK;
	for (unsigned i = 0; i < ALARM_COUNT; i++)
		if (a->level[i] > *worst)
			*worst = (enum alarm_level)a->level[i];
	for (unsigned i = 0; i < a->own_count; i++)
		if (a->own[i].level > *worst)
			*worst = a->own[i].level;
	return alarms_raised(a);
}

/* Alarms are what matters most of a pack that answers. */
static void state_text(const struct snapshot *s, char *out, size_t size)
{
	enum alarm_level worst;
	unsigned alarms = alarm_count(s, &worst);

	if (s->state == PACK_ONLINE && alarms)
		snprintf(out, size, worst == ALARM_RAISED ? "ALARM %u" : "warn %u", alarms);
	else
		snprintf(out, size, "%s", s->listening && s->state == PACK_ONLINE ? "listens" : state_words[s->state]);
}

static void port_text(const struct snapshot *s, char *out, size_t size)
{
	int n = snprintf(out, size, "%s", s->port);

	if (s->addressed)
		snprintf(out + n, size - (size_t)n, " #%u", s->address);
}

/* The text of one column; numbers of a pack that has not told anything yet are "--". */
static void column_text(enum column column, const struct snapshot *s, unsigned number, char *out, size_t size)
{
	const struct reading *r = &s->reading;
	const struct limits_output *o = snapshot_limits(s);
	double lo = reading_get(r, Q_CELL_MIN_V), hi = reading_get(r, Q_CELL_MAX_V);
	bool told = s->reading_ms != 0;

	switch (column) {
	case COLUMN_NUMBER:
		snprintf(out, size, "%u", number);
		return;
	case COLUMN_NAME:
		snprintf(out, size, "%s", s->name);
		return;
	case COLUMN_PORT:
		port_text(s, out, size);
		return;
	case COLUMN_PROTOCOL:
		snprintf(out, size, "%s", s->protocol->id);
		return;
	case COLUMN_VOLTAGE:
		number_text(reading_get(r, Q_VOLTAGE_V), 2, "", out, size);
		return;
	case COLUMN_CURRENT:
		signed_text(snapshot_number(s, Q_CURRENT_A), 1, "", out, size);
		return;
	case COLUMN_POWER:
		signed_text(snapshot_number(s, Q_POWER_W), 0, "", out, size);
		return;
	case COLUMN_SOC:
		number_text(snapshot_number(s, Q_SOC_PCT), 1, "", out, size);
		return;
	case COLUMN_CELLS:
		if (isnan(lo) || isnan(hi))
			snprintf(out, size, "--");
		else
			snprintf(out, size, "%.3f-%.3f", lo, hi);
		return;
	case COLUMN_SPREAD:
		number_text((hi - lo) * 1000, 0, "", out, size);
		return;
	case COLUMN_TEMPERATURE:
		number_text(reading_get(r, Q_TEMP_MAX_C), 1, "", out, size);
		return;
	case COLUMN_MOS:
		number_text(reading_get(r, Q_TEMP_MOS_C), 1, "", out, size);
		return;
	case COLUMN_CVL:
		number_text(told ? o->cvl : NAN, 2, "", out, size);
		return;
	case COLUMN_CCL:
		number_text(told ? o->ccl.limit : NAN, 1, "", out, size);
		return;
	case COLUMN_DCL:
		number_text(told ? o->dcl.limit : NAN, 1, "", out, size);
		return;
	case COLUMN_STATE:
		state_text(s, out, size);
		return;
	case COLUMN_BAR:
	case COLUMNS_OF_PACKS:
		break;
	}
	out[0] = 0;
}

static enum style column_style(enum column column, const struct snapshot *s)
{
	enum alarm_level worst;

	if (column == COLUMN_STATE && s->state == PACK_ONLINE && alarm_count(s, &worst))
		return worst == ALARM_RAISED ? STYLE_BAD : STYLE_WARNING;
	if (column == COLUMN_STATE)
		return state_styles[s->state];
	return column == COLUMN_NAME || column == COLUMN_SOC ? STYLE_STRONG : STYLE_NORMAL;
}

static void draw_pack(struct canvas *c, const struct table *t, int y, const struct snapshot *s, unsigned number)
{
	char text[PORT_NAME + 16];

	for (int i = 0; i < COLUMNS_OF_PACKS; i++) {
		enum style style = column_style((enum column)i, s);

		if (!t->width[i])
			continue;
		if (i == COLUMN_BAR) {
			put_bar(c, y, t->x[i], t->width[i], STYLE_BAR, snapshot_number(s, Q_SOC_PCT) / 100);
			continue;
		}
		column_text((enum column)i, s, number, text, sizeof(text));
		(columns[i].right ? put_right : put)(c, y, t->x[i], t->width[i], style, "%s", text);
	}
}

/* ---- all packs together ---- */

struct totals {
	unsigned online;
	double current, power, remaining, full, ccl, dcl;
};

/* A sum of which one part is unknown is unknown. */
static struct totals add_up(const struct view *v)
{
	struct totals sum = {0};

	for (unsigned i = 0; i < v->pack_count; i++) {
		const struct snapshot *s = &v->pack[i]->snap;

		if (s->state != PACK_ONLINE)
			continue;
		sum.online++;
		sum.current += reading_get(&s->reading, Q_CURRENT_A);
		sum.power += reading_get(&s->reading, Q_POWER_W);
		sum.remaining += remaining_Ah(s);
		sum.full += reading_get(&s->reading, Q_CAPACITY_FULL_AH);
		sum.ccl += snapshot_limits(s)->ccl.limit;
		sum.dcl += snapshot_limits(s)->dcl.limit;
	}
	return sum;
}

static void draw_totals(const struct ui *ui, const struct canvas *c, int y, int width)
{
	struct totals sum = add_up(&ui->view);
	char a[24], w[24], left[24], full[24], ccl[24], dcl[24];
	struct piece piece[5] = {{.style = STYLE_STRONG, .keep = 9},
				 {.style = STYLE_STRONG, .keep = 8},
				 {.style = STYLE_NORMAL, .keep = 5},
				 {.style = STYLE_NORMAL, .keep = 7},
				 {.style = STYLE_NORMAL, .keep = 6}};

	signed_text(sum.current, 1, "A", a, sizeof(a));
	signed_text(sum.power, 0, "W", w, sizeof(w));
	number_text(sum.remaining, 0, "", left, sizeof(left));
	number_text(sum.full, 0, "Ah", full, sizeof(full));
	number_text(sum.ccl, 1, "A", ccl, sizeof(ccl));
	number_text(sum.dcl, 1, "A", dcl, sizeof(dcl));
	snprintf(piece[0].text, sizeof(piece[0].text), "together %u of %u", sum.online, ui->view.pack_count);
	if (sum.online) {
		snprintf(piece[1].text, sizeof(piece[1].text), "%s  %s", a, w);
		snprintf(piece[2].text, sizeof(piece[2].text), "%s of %s", left, full);
		snprintf(piece[3].text, sizeof(piece[3].text), "CCL %s", ccl);
		snprintf(piece[4].text, sizeof(piece[4].text), "DCL %s", dcl);
	}
	put_pieces(c, y, 5, width - 6, 3, piece, 5);
}

/* ---- the selected pack: what the line has no room for ---- */

enum { DETAIL_LINES = 4 };

static void identity_text(const struct snapshot *s, char *out, size_t size)
{
	static const struct {
		enum text t;
		const char *name;
	} shown[] = {{T_MANUFACTURER, ""},
		     {T_SERIAL_NUMBER, "serial "},
		     {T_FIRMWARE_VERSION, "firmware "},
		     {T_HARDWARE_VERSION, "hardware "},
		     {T_PRODUCTION_DATE, "made "}};
	size_t n = (size_t)snprintf(out, size, "%s  %s", s->protocol->id, s->port);

	if (s->addressed && n < size)
		n += (size_t)snprintf(out + n, size - n, " address %u", s->address);
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		if (s->reading.text[shown[i].t][0] && n < size)
			n += (size_t)snprintf(out + n, size - n, "  %s%s", shown[i].name, s->reading.text[shown[i].t]);
}

static void cells_text(const struct snapshot *s, char *out, size_t size)
{
	const struct reading *r = &s->reading;
	double lo = reading_get(r, Q_CELL_MIN_V), hi = reading_get(r, Q_CELL_MAX_V);
	size_t n = (size_t)snprintf(out, size, "cells --");

	if (!isnan(lo) && !isnan(hi))
		n = (size_t)snprintf(out, size, "cells min #%.0f %.3f V  max #%.0f %.3f V  spread %.0f mV",
				     reading_get(r, Q_CELL_MIN_NO), lo, reading_get(r, Q_CELL_MAX_NO), hi,
				     (hi - lo) * 1000);
	for (unsigned i = 0; i < r->temperatures.count && n < size; i++)
		if (series_knows(&r->temperatures, i))
			n += (size_t)snprintf(out + n, size - n, "  T%u %.1f°C", i + 1, r->temperatures.value[i]);
	if (reading_knows(r, Q_TEMP_MOS_C) && n < size)
		snprintf(out + n, size - n, "  MOS %.1f°C", reading_get(r, Q_TEMP_MOS_C));
}

static void limits_text(const struct snapshot *s, char *out, size_t size)
{
	const struct limits_output *o = snapshot_limits(s);
	char cvl[24], ccl[24], dcl[24], why_ccl[60], why_dcl[60];

	number_text(o->cvl, 2, "V", cvl, sizeof(cvl));
	number_text(o->ccl.limit, 1, "A", ccl, sizeof(ccl));
	number_text(o->dcl.limit, 1, "A", dcl, sizeof(dcl));
	limit_codes(&o->ccl, why_ccl, sizeof(why_ccl));
	limit_codes(&o->dcl, why_dcl, sizeof(why_dcl));
	snprintf(out, size, "CVL %s %s  CCL %s (%s)  DCL %s (%s)", cvl, charge_phase_name(o->phase), ccl, why_ccl, dcl,
		 why_dcl);
}

static void capacity_text(const struct snapshot *s, char *out, size_t size)
{
	const struct reading *r = &s->reading;
	char left[24], full[24], cycles[24], soh[24];

	number_text(remaining_Ah(s), 1, "", left, sizeof(left));
	number_text(reading_get(r, Q_CAPACITY_FULL_AH), 1, "Ah", full, sizeof(full));
	number_text(reading_get(r, Q_CYCLES), 0, "", cycles, sizeof(cycles));
	number_text(reading_get(r, Q_SOH_PCT), 0, "%", soh, sizeof(soh));
	snprintf(out, size, "%s of %s left  cycles %s  SoH %s", left, full, cycles, soh);
}

static void draw_detail(const struct ui *ui, const struct canvas *c, int y, int width, const struct pack_view *p,
			int line)
{
	bool trouble = p->snap.state == PACK_STALE || p->snap.state == PACK_LOST;
	char text[500];

	if (line == 0)
		identity_text(&p->snap, text, sizeof(text));
	else if (line == 1)
		cells_text(&p->snap, text, sizeof(text));
	else if (line == 2)
		limits_text(&p->snap, text, sizeof(text));
	else if (trouble)
		pack_trouble(ui, p, text, sizeof(text));
	else
		capacity_text(&p->snap, text, sizeof(text));
	put(c, y, 5, width - 6, line == 3 && trouble ? STYLE_BAD : STYLE_NORMAL, "%s", text);
}

/* ---- ports ---- */

/* What is said below a port that has found nothing: wrapped, so it may be long. */
static void port_advice(const struct port_row *p, char *out, size_t size)
{
	static const char silent[] =
		"Nothing has come back. Is the BMS awake (charger, button)? Swap A and B on RS485, RX and "
		"TX on a TTL port. Is it the right socket, and its protocol switched on in the BMS?";
	static const char talking[] =
		"Something talks on this line, but no BMS that bmscope knows. Is it another device?";
	const struct port_view *v = &p->view;
	size_t n = 0;

	out[0] = 0;
	if (v->state == PORT_ABSENT || v->state == PORT_REFUSED) {
		snprintf(out, size, "%s", v->error[0] ? v->error : "not there");
	} else if (v->state == PORT_DETECTING && v->trouble[0]) {
		snprintf(out, size, "%s", v->trouble);
	} else if (v->state == PORT_DETECTING) {
		n = (size_t)snprintf(out, size, "sweep %u (%s)", v->progress.sweep + 1,
				     v->progress.sweep ? "patient" : "quick");
		if (p->attempted && n < size)
			n += (size_t)snprintf(out + n, size - n, ", last %s %u: %s", p->last.protocol->id,
					      (unsigned)p->last.line.baud, p->last.say);
		if (v->sweeps && n < size)
			snprintf(out + n, size - n, "\n%s", p->received ? talking : silent);
	}
}

static int advice_lines(const struct port_row *p, int width, enum glyphs glyphs)
{
	char text[700];
	const char *at = text;
	int n = 0;

	port_advice(p, text, sizeof(text));
	while (*at) {
		wrap_line(at, width, glyphs, &at);
		n++;
	}
	return n;
}

static void draw_advice(const struct canvas *c, int y, int x, int width, const struct port_row *p, int line)
{
	enum style style = p->view.state == PORT_REFUSED ? STYLE_BAD : STYLE_NORMAL;
	char text[700];
	const char *at = text, *next = text;
	size_t n = 0;

	port_advice(p, text, sizeof(text));
	for (int i = 0; i <= line; i++) {
		at = next;
		n = wrap_line(at, width, c->term->glyphs, &next);
	}
	put(c, y, x, width, style, "%.*s", (int)n, at);
}

static void draw_searching(const struct canvas *c, int y, int x, int width, const struct port_view *p)
{
	const struct detect_progress *d = &p->progress;
	double part = d->steps ? (double)d->step / d->steps : 0;
	int bar = width > 80 ? 30 : 16;
	char text[120];

	put_bar(c, y, x, bar, STYLE_BAR, part);
	put_right(c, y, x + bar, 5, STYLE_STRONG, "%.0f %%", part * 100);
	port_progress(p, text, sizeof(text));
	put(c, y, x + bar + 7, width - bar - 7, STYLE_NORMAL, "%s", text);
}

static void running_text(const struct port_view *p, char *out, size_t size)
{
	char rate[24];

	port_rate(p, rate, sizeof(rate));
	size_t n = (size_t)snprintf(out, size, "%s%s  %u batter%s%s%s", p->protocol ? p->protocol->id : "", rate,
				    p->packs, p->packs == 1 ? "y" : "ies",
				    p->searching ? ", looking for more" : "",
				    p->listening ? ", only listening: the bus has another master" : "");

	if (!isnan(p->detected_s) && n < size)
		snprintf(out + n, size - n, ", found after %.1f s", p->detected_s);
}

static void draw_port(const struct canvas *c, int y, int width, const struct port_row *row)
{
	static const char *const word[] = {[PORT_ABSENT] = "not there",	   [PORT_REFUSED] = "can't be opened",
					   [PORT_DETECTING] = "",	   [PORT_RUNNING] = "",
					   [PORT_REPLAYING] = "replaying", [PORT_ENDED] = "the recording is over"};
	const struct port_view *p = &row->view;
	int name = width > 100 ? 30 : 16, x = 2 + name + 1;
	char text[160];

	put_end(c, y, 2, name, STYLE_STRONG, p->name);
	if (p->state == PORT_DETECTING) {
		draw_searching(c, y, x, width - x - 1, p);
	} else if (p->state == PORT_RUNNING) {
		running_text(p, text, sizeof(text));
		x += put(c, y, x, width - x - 1, STYLE_NORMAL, "%s", text) + 2;
		put(c, y, x, width - x - 1, p->trouble[0] ? STYLE_BAD : STYLE_LABEL, "%s",
		    p->trouble[0] ? p->trouble : p->bus[0] ? p->bus : p->description);
	} else {
		put(c, y, x, width - x - 1, p->state == PORT_REFUSED ? STYLE_BAD : STYLE_WARNING, "%s", word[p->state]);
	}
}

/* ---- attempts on one port ---- */

static void draw_attempt(const struct canvas *c, int y, int width, const struct attempt *a)
{
	int x = 1;

	put(c, y, x, 10, STYLE_STRONG, "%s", a->protocol->id);
	put_right(c, y, x + 11, 6, STYLE_NORMAL, "%u", (unsigned)a->line.baud);
	put_right(c, y, x + 18, 4, STYLE_NORMAL, "%u", a->address);
	put_right(c, y, x + 23, 5, STYLE_NORMAL, "%u", (unsigned)a->ms);
	put(c, y, x + 30, 20, STYLE_SENT, "%s", a->tx);
	put(c, y, x + 51, width - x - 52, a->received ? STYLE_STRONG : STYLE_NORMAL, "%s", a->say);
}

static void draw_attempts(struct ui *ui, const struct canvas *c, struct area a)
{
	struct list_row row[DETECT_MAX_ATTEMPTS];
	struct port_view p;
	unsigned i = 0;

	while (engine_port(ui->engine, i, &p) && p.id != ui->packs.on_port)
		i++;
	if (!engine_port(ui->engine, i, &p))
		return;
	put(c, a.y, 1, a.width - 2, STYLE_STRONG, "%s: what was tried, and what came back", p.name);
	put(c, a.y + 1, 1, a.width - 2, STYLE_LABEL, "protocol     baud addr    ms  sent                 came back");
	a.y += 2;
	a.height -= 2;
	unsigned n = p.attempt_count < DETECT_MAX_ATTEMPTS ? p.attempt_count : DETECT_MAX_ATTEMPTS;
	if (!n)
		put(c, a.y, 1, a.width - 2, STYLE_NORMAL, "nothing: %s",
		    p.error[0] ? p.error : "no question was asked here");
	for (i = 0; i < n; i++)
		row[i] = (struct list_row){i, 1};
	unsigned first = list_first(&ui->packs.attempts, row, n, a.height);
	for (i = first; i < n && (int)(i - first) < a.height; i++)
		draw_attempt(c, a.y + (int)(i - first), a.width, &p.attempt[i]);
	put_more(c, a, first > 0, n - first > (unsigned)a.height);
}

/* ---- the whole ---- */

enum line_kind { LINE_PACK, LINE_TOTALS, LINE_DETAIL, LINE_BLANK, LINE_PORT, LINE_ADVICE };

struct line_of_packs {
	enum line_kind kind;
	unsigned index;
	int part; /* of a detail or an advice */
};

enum { MAX_LINES = 1200, ADVICE_X = 4 };

struct lines {
	unsigned n, selected; /* selected: the line of what is selected */
	struct line_of_packs line[MAX_LINES];
};

static void add_line(struct lines *l, enum line_kind kind, unsigned index, int part)
{
	if (l->n < MAX_LINES)
		l->line[l->n++] = (struct line_of_packs){kind, index, part};
}

static void collect_lines(const struct ui *ui, struct lines *l, int width)
{
	const struct view *v = &ui->view;

	l->n = l->selected = 0;
	for (unsigned i = 0; i < v->pack_count; i++) {
		bool chosen = i == view_chosen_place(v);

		if (chosen && !ui->packs.on_port)
			l->selected = l->n;
		add_line(l, LINE_PACK, i, 0);
		for (int part = 0; chosen && part < DETAIL_LINES; part++)
			add_line(l, LINE_DETAIL, i, part);
	}
	if (v->pack_count > 1)
		add_line(l, LINE_TOTALS, 0, 0);
	if (v->pack_count)
		add_line(l, LINE_BLANK, 0, 0);
	for (unsigned i = 0; i < v->port_count; i++) {
		int advice = advice_lines(&v->port[i], width - ADVICE_X - 1, ui->term.glyphs);

		if (ui->packs.on_port == v->port[i].view.id)
			l->selected = l->n;
		add_line(l, LINE_PORT, i, 0);
		for (int part = 0; part < advice; part++)
			add_line(l, LINE_ADVICE, i, part);
	}
}

static void draw_line(struct ui *ui, struct canvas *c, const struct table *t, int y, int width,
		      const struct line_of_packs *line, bool selected)
{
	const struct view *v = &ui->view;

	c->extra = selected ? A_REVERSE : 0;
	if (selected) {
		put_blank(c, y, 0, width, STYLE_NORMAL);
		put(c, y, 0, 1, STYLE_STRONG, "▶");
	}
	switch (line->kind) {
	case LINE_PACK:
		if (v->pack[line->index]->snap.state == PACK_LOST)
			c->extra |= A_DIM;
		draw_pack(c, t, y, &v->pack[line->index]->snap, line->index + 1);
		break;
	case LINE_TOTALS:
		draw_totals(ui, c, y, width);
		break;
	case LINE_DETAIL:
		draw_detail(ui, c, y, width, v->pack[line->index], line->part);
		break;
	case LINE_PORT:
		draw_port(c, y, width, &v->port[line->index]);
		break;
	case LINE_ADVICE:
		draw_advice(c, y, ADVICE_X, width - ADVICE_X - 1, &v->port[line->index], line->part);
		break;
	case LINE_BLANK:
		break;
	}
	c->extra = 0;
}

static void draw_nothing(const struct canvas *c, struct area a)
{
	put(c, a.y, 1, a.width - 2, STYLE_STRONG, "No serial port on this machine.");
	put(c, a.y + 1, 1, a.width - 2, STYLE_NORMAL, "Plug in an adapter: it is seen and searched at once.");
	put(c, a.y + 2, 1, a.width - 2, STYLE_NORMAL, "Without any hardware: bmscope demo");
}

/* Is there a choice, so that what is selected must be seen? */
static bool shows_selection(const struct ui *ui)
{
	return ui->packs.on_port || ui->view.pack_count > 1;
}

static void packs_draw(struct ui *ui, const struct canvas *canvas, struct area a)
{
	struct canvas c = *canvas;
	struct lines l;
	struct table t;

	if (ui->packs.attempts_shown) {
		draw_attempts(ui, canvas, a);
		return;
	}
	if (!ui->view.pack_count && !ui->view.port_count) {
		draw_nothing(canvas, a);
		return;
	}
	if (ui->view.pack_count) {
		layout(&t, a.width - 1);
		draw_titles(canvas, &t, a.y);
		a.y++;
		a.height--;
	}
	collect_lines(ui, &l, a.width);
	/* The selected one with what belongs to it stays in sight. */
	unsigned end = l.selected + 1 + DETAIL_LINES, first = end > (unsigned)a.height ? end - (unsigned)a.height : 0;
	for (unsigned i = first; i < l.n && (int)(i - first) < a.height; i++)
		draw_line(ui, &c, &t, a.y + (int)(i - first), a.width, &l.line[i],
			  i == l.selected && shows_selection(ui));
	put_more(canvas, a, first > 0, l.n - first > (unsigned)a.height);
}

/* Place of what is selected: packs first, then ports; -1: nothing is. */
static int selected_place(const struct ui *ui)
{
	const struct view *v = &ui->view;

	for (unsigned i = 0; ui->packs.on_port && i < v->port_count; i++)
		if (v->port[i].view.id == ui->packs.on_port)
			return (int)(v->pack_count + i);
	return v->pack_count ? (int)view_chosen_place(v) : -1;
}

static void select_by(struct ui *ui, int step)
{
	int packs = (int)ui->view.pack_count, n = packs + (int)ui->view.port_count;
	int at = selected_place(ui) + step;

	if (at < 0 || at >= n)
		return;
	ui->packs.on_port = at < packs ? 0 : ui->view.port[at - packs].view.id;
	if (at < packs)
		view_choose(&ui->view, at);
}

static void look_closer(struct ui *ui)
{
	if (ui->packs.on_port) {
		ui->packs.attempts_shown = true;
		ui->packs.attempts = (struct list){.follow = true};
	} else if (ui->view.pack_count) {
		ui_show_screen(ui, SCREEN_CELLS);
	}
}

static bool packs_key(struct ui *ui, int key)
{
	if (ui->packs.attempts_shown) {
		if (key != 27 && key != '\r' && key != KEY_BACKSPACE)
			return list_key(&ui->packs.attempts, key, frame_body(ui).height - 2);
		ui->packs.attempts_shown = false;
		return true;
	}
	switch (key) {
	case KEY_UP:
	case 'k':
		select_by(ui, -1);
		return true;
	case KEY_DOWN:
	case 'j':
		select_by(ui, 1);
		return true;
	case '\r':
	case '\n':
	case KEY_ENTER:
		look_closer(ui);
		return true;
	default:
		return false;
	}
}

static const char *const help[] = {
	"↑ ↓\tchoose a battery or a port",
	"Enter\ta battery: its cells; a port: what was tried there and what came back",
	"Esc\tback from the port",
	NULL,
};

const struct screen packs_screen = {
	.title = "Packs",
	.keys = "↑↓ choose  Enter look",
	.help = help,
	.draw = packs_draw,
	.key = packs_key,
};
