/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The lines around every screen: which pack, which screen, how it is, what can be done. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ui/ui.h"

enum { TOP_LINES = 4, BOTTOM_LINES = 2, MESSAGE_MS = 8000, OLD_MS = 3000 };

struct area frame_body(const struct ui *ui)
{
	return (struct area){TOP_LINES, 0, ui->term.height - TOP_LINES - BOTTOM_LINES, ui->term.width};
}

void clock_text(double wall, char *out, size_t size)
{
	time_t t = (time_t)wall;
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(out, size, "%H:%M:%S", &tm);
}

bool values_old(const struct ui *ui, const struct snapshot *s, char *age, size_t size)
{
	uint64_t now = engine_now_ms(ui->engine);

	age[0] = 0;
	if (!s->reading_ms || s->state == PACK_ONLINE || s->state == PACK_STARTING)
		return false;
	age_text(now > s->reading_ms ? now - s->reading_ms : 0, age, size);
	return true;
}

void limit_codes(const struct current_limit *l, char *out, size_t size)
{
	static const char *const words[REASON_COUNT] = {"configured", "BMS limit", "cell",	 "temp",
							"MOSFET",     "SoC",	   "switch off", "no answer"};
	size_t n = 0;

	out[0] = 0;
	for (unsigned i = 0; i < REASON_COUNT && n < size; i++)
		if (l->why >> i & 1)
			n += (size_t)snprintf(out + n, size - n, "%s%s", n ? "+" : "", words[i]);
	if (l->wait && n < size)
		snprintf(out + n, size - n, ", held");
}

double remaining_Ah(const struct snapshot *s)
{
	double reported = reading_get(&s->reading, Q_CAPACITY_REMAINING_AH);

	if (!isnan(reported) || !s->reading_ms)
		return reported;
	return snapshot_limits(s)->capacity_remaining;
}

/* ---- what is being tried ---- */

void port_progress(const struct port_view *p, char *out, size_t size)
{
	const struct detect_progress *d = &p->progress;
	char left[24] = "";

	if (d->sweep_left_ms)
		age_text(d->sweep_left_ms + 999, left, sizeof(left));
	size_t n = (size_t)snprintf(out, size, "%s%s", left, left[0] ? " left, " : "");
	if (n >= size)
		return;
	char rate[24];

	port_rate(p, rate, sizeof(rate));
	if (d->protocol)
		snprintf(out + n, size - n, "%s%s%s address %u", d->confirming ? "confirming " : "", d->protocol->id, rate,
			 d->address);
	else
		snprintf(out + n, size - n, "listening%s%s", p->bus[0] ? ", " : "", p->bus);
}

void port_rate(const struct port_view *p, char *out, size_t size)
{
	bool can = p->link == LINK_CAN;

	out[0] = 0;
	if (p->line.baud)
		snprintf(out, size, " %u%s", (unsigned)(can ? p->line.baud / 1000 : p->line.baud), can ? "k" : "");
}

static void port_activity(const struct port_row *p, char *out, size_t size)
{
	char progress[120];

	out[0] = 0;
	if (!p)
		return;
	switch (p->view.state) {
	case PORT_ABSENT:
		snprintf(out, size, "waiting for %s to come back", p->view.name);
		break;
	case PORT_REFUSED:
		snprintf(out, size, "trying to open %s again every 2 s", p->view.name);
		break;
	case PORT_DETECTING:
		port_progress(&p->view, progress, sizeof(progress));
		snprintf(out, size, "searching the line anew: %s", progress);
		break;
	case PORT_RUNNING:
		snprintf(out, size, "still asking");
		break;
	case PORT_REPLAYING:
	case PORT_ENDED:
		break;
	}
}

void pack_trouble(const struct ui *ui, const struct pack_view *p, char *out, size_t size)
{
	uint64_t now = engine_now_ms(ui->engine);
	char since[24], doing[200];

	age_text(now > p->state_ms ? now - p->state_ms : 0, since, sizeof(since));
	port_activity(view_port_named(&ui->view, p->snap.port), doing, sizeof(doing));
	snprintf(out, size, "%s for %s: %s%s%s", p->snap.state == PACK_LOST ? "LOST" : "STALE", since,
		 p->snap.error[0] ? p->snap.error : "silence", doing[0] ? "; " : "", doing);
}

/* ---- the topmost line ---- */

static const char *state_mark(const struct snapshot *s)
{
	static const char *const mark[] = {
		[PACK_STARTING] = "◐", [PACK_ONLINE] = "●", [PACK_STALE] = "◐", [PACK_LOST] = "○"};

	return mark[s->state];
}

static bool replaying(const struct ui *ui, bool *ended)
{
	bool any = false;

	*ended = true;
	for (unsigned i = 0; i < ui->view.port_count; i++) {
		enum port_state state = ui->view.port[i].view.state;

		any = any || state == PORT_REPLAYING || state == PORT_ENDED;
		*ended = *ended && state == PORT_ENDED;
	}
	return any;
}

static void marks_text(const struct ui *ui, char *out, size_t size)
{
	const struct snapshot *s = ui_pack(ui);
	char clock[16];
	bool ended, replay = replaying(ui, &ended);

	clock_text((double)time(NULL), clock, sizeof(clock));
	snprintf(out, size, "%s%s%s%s %s %s ", ui->options->demo ? " DEMO" : "",
		 replay ? ended ? " END OF RECORDING" : " REPLAY" : "", ui->options->read_only ? " READ-ONLY" : "",
		 engine_recording(ui->engine) ? " REC" : "", clock, s ? state_mark(s) : "○");
}

static void title_pieces(const struct ui *ui, struct piece piece[6])
{
	const struct snapshot *s = ui_pack(ui);
	const struct port_row *port = s ? view_port_named(&ui->view, s->port) : NULL;
	double cells = s ? reading_get(&s->reading, Q_CELL_COUNT) : NAN;
	double capacity = s ? reading_get(&s->reading, Q_CAPACITY_FULL_AH) : NAN;
	int n;

	for (int i = 0; i < 6; i++)
		piece[i] = (struct piece){.style = STYLE_TITLE};
	snprintf(piece[0].text, sizeof(piece[0].text), "bmscope");
	piece[0].keep = 2;
	if (!s)
		return;
	piece[1].keep = 5;
	if (ui->view.pack_count > 1)
		snprintf(piece[1].text, sizeof(piece[1].text), "%u/%u", view_chosen_place(&ui->view) + 1,
			 ui->view.pack_count);
	piece[2].keep = 9;
	snprintf(piece[2].text, sizeof(piece[2].text), "%s", s->name);
	piece[3].keep = 4;
	n = isnan(cells) ? 0 : snprintf(piece[3].text, sizeof(piece[3].text), "%.0fS", cells);
	if (!isnan(capacity))
		snprintf(piece[3].text + n, sizeof(piece[3].text) - (size_t)n, "%s%.4g Ah", n ? " " : "", capacity);
	piece[4].keep = 3;
	n = snprintf(piece[4].text, sizeof(piece[4].text), "%.80s", s->port);
	if (s->addressed)
		snprintf(piece[4].text + n, sizeof(piece[4].text) - (size_t)n, " #%u", s->address);
	piece[5].keep = 1;
	n = snprintf(piece[5].text, sizeof(piece[5].text), "%.80s", s->protocol->id);
	if (port)
		port_rate(&port->view, piece[5].text + n, sizeof(piece[5].text) - (size_t)n);
}

static void draw_title(const struct ui *ui, const struct canvas *c)
{
	int width = ui->term.width;
	struct piece piece[6];
	char marks[100];

	marks_text(ui, marks, sizeof(marks));
	put_blank(c, 0, 0, width, STYLE_TITLE);
	int right = put_right(c, 0, 0, width, STYLE_TITLE, "%s", marks);
	title_pieces(ui, piece);
	int gap = pieces_width(piece, 6, 2, ui->term.glyphs) > width - 1 - right ? 1 : 2;
	put_pieces(c, 0, 1, width - 1 - right, gap, piece, 6);
}

/* ---- the tabs ---- */

static int tabs_width(const struct screen *const *screens, int name)
{
	int width = 0;

	for (int i = 0; i < SCREENS; i++) {
		int length = (int)strlen(screens[i]->title);

		width += 4 + (length < name ? length : name);
	}
	return width;
}

static void draw_tabs(const struct ui *ui, const struct canvas *c, const struct screen *const *screens)
{
	enum alarm_level worst;
	unsigned alarms = view_chosen_alarms(&ui->view, &worst);
	char count[12] = "", help[] = "? help";
	int name = 8, x = 0, width = ui->term.width, room = width - (int)sizeof(help);

	if (alarms)
		snprintf(count, sizeof(count), " %u", alarms);
	/* The names are worth more than the reminder of the help. */
	if (tabs_width(screens, name) + (int)strlen(count) > room)
		room = width;
	while (name > 1 && tabs_width(screens, name) + (int)strlen(count) > room)
		name--;
	for (int i = 0; i < SCREENS; i++) {
		bool here = i == (int)ui->screen && !ui->helping;
		enum style style = here ? STYLE_TAB : STYLE_NORMAL;

		if (i == SCREEN_ALARMS && alarms && !here)
			style = worst == ALARM_RAISED ? STYLE_BAD : STYLE_WARNING;
		x += put(c, 1, x, ui->term.width - x, style, here ? "[%d %.*s%s]" : " %d %.*s%s ", i + 1, name,
			 screens[i]->title, i == SCREEN_ALARMS ? count : "");
	}
	if (x + (int)sizeof(help) <= width)
		put_right(c, 1, 0, width - 1, ui->helping ? STYLE_TAB : STYLE_LABEL, "%s", help);
}

/* ---- the pack in a line ---- */

static void switch_piece(struct piece *p, const char *name, enum tri state, int keep, bool tight)
{
	static const char *const word[] = {[UNKNOWN] = "--", [OFF] = "OFF", [ON] = "on"};

	p->style = state == OFF ? STYLE_BAD : STYLE_NORMAL;
	p->keep = keep;
	p->tight = tight;
	snprintf(p->text, sizeof(p->text), "%s %s", name, word[state]);
}

static void temperature_text(const struct snapshot *s, char *out, size_t size)
{
	double lo = reading_get(&s->reading, Q_TEMP_MIN_C), hi = reading_get(&s->reading, Q_TEMP_MAX_C);
	double mos = reading_get(&s->reading, Q_TEMP_MOS_C);
	int n = 0;

	if (!isnan(lo) && round(lo) != round(hi))
		n = snprintf(out, size, "%.0f..%.0f°C", round(lo), round(hi));
	else if (!isnan(hi))
		n = snprintf(out, size, "%.1f°C", hi);
	else
		n = snprintf(out, size, "--°C");
	if (!isnan(mos))
		snprintf(out + n, size - (size_t)n, "/MOS %.1f", mos);
}

static void pack_pieces(const struct ui *ui, const struct snapshot *s, struct piece piece[9])
{
	static const struct {
		enum quantity q;
		int decimals, keep, width; /* width: so that what follows does not jump about */
		const char *before, *unit;
		bool sign;
	} shown[] = {
		{Q_VOLTAGE_V, 2, 9, 7, "", "V", false},
		{Q_CURRENT_A, 1, 8, 7, "", "A", true},
		{Q_POWER_W, 0, 3, 7, "", "W", true},
		{Q_SOC_PCT, 1, 7, 6, "SoC ", "%", false},
	};
	char age[24];

	memset(piece, 0, 9 * sizeof(*piece));
	if (values_old(ui, s, age, sizeof(age))) {
		snprintf(piece[0].text, sizeof(piece[0].text), "%s, %s old", s->state == PACK_LOST ? "LOST" : "STALE",
			 age);
		piece[0].style = s->state == PACK_LOST ? STYLE_BAD : STYLE_WARNING;
		piece[0].keep = 10;
	}
	for (int i = 0; i < 4; i++) {
		char value[40];

		(shown[i].sign ? signed_text : number_text)(snapshot_number(s, shown[i].q), shown[i].decimals,
							    shown[i].unit, value, sizeof(value));
		snprintf(piece[1 + i].text, sizeof(piece[0].text), "%s%*s", shown[i].before, shown[i].width, value);
		piece[1 + i].style = STYLE_STRONG;
		piece[1 + i].keep = shown[i].keep;
	}
	temperature_text(s, piece[5].text, sizeof(piece[5].text));
	piece[5].keep = 4;
	switch_piece(&piece[6], "CHG", reading_flag(&s->reading, F_CHARGE_MOS), 6, false);
	switch_piece(&piece[7], "DSG", reading_flag(&s->reading, F_DISCHARGE_MOS), 5, true);
	switch_piece(&piece[8], "BAL", reading_flag(&s->reading, F_BALANCE_ENABLED), 2, true);
	if (reading_flag(&s->reading, F_BALANCE_ENABLED) == OFF)
		piece[8].style = STYLE_NORMAL;
}

static void draw_pack(const struct ui *ui, const struct canvas *c)
{
	const struct snapshot *s = ui_pack(ui);
	struct canvas values = *c;
	struct piece piece[9];
	unsigned looking = 0;
	int x = 1;

	for (unsigned i = 0; i < ui->view.port_count; i++)
		looking += ui->view.port[i].view.state == PORT_DETECTING;
	if (!s && looking)
		put(c, 2, 1, ui->term.width - 1, STYLE_STRONG, "No battery yet: looking on %u port%s", looking,
		    looking == 1 ? "" : "s");
	else if (!s)
		put(c, 2, 1, ui->term.width - 1, STYLE_STRONG, "No battery yet, and no port that can be looked on");
	else if (!s->reading_ms)
		put(c, 2, 1, ui->term.width - 1, STYLE_STRONG, "Found; waiting for its first whole reading%s%s",
		    s->error[0] ? ": " : "", s->error);
	if (!s || !s->reading_ms)
		return;
	pack_pieces(ui, s, piece);
	if (piece[0].text[0]) {
		x += put(c, 2, x, ui->term.width - 2, piece[0].style, "%s", piece[0].text) + 2;
		values.extra = A_DIM;
	}
	put_pieces(&values, 2, x, ui->term.width - 1 - x, 2, piece + 1, 8);
}

/* ---- the lowest two lines ---- */

static void draw_message(const struct ui *ui, const struct canvas *c)
{
	int y = ui->term.height - BOTTOM_LINES;
	char trouble[400];

	put_rule(c, y, 0, ui->term.width);
	const struct pack_view *p = view_chosen(&ui->view);
	if (p && (p->snap.state == PACK_STALE || p->snap.state == PACK_LOST)) {
		pack_trouble(ui, p, trouble, sizeof(trouble));
		put(c, y, 2, ui->term.width - 4, p->snap.state == PACK_LOST ? STYLE_BAD : STYLE_WARNING, " %s ",
		    trouble);
	}
	if (ui->message[0] && uv_now(ui->loop) < ui->message_ms + MESSAGE_MS) {
		put_rule(c, y, 0, ui->term.width);
		put(c, y, 2, ui->term.width - 4, ui->message_style, " %s ", ui->message);
	}
}

/* A line being typed, with a cursor of our own: the terminal's is hidden. */
static void draw_prompt(const struct ui *ui, const struct canvas *c)
{
	const struct line_edit *e = &ui->prompt.edit;
	int y = ui->term.height - 1, x = 1;
	char before[EDIT_ROOM], here[8] = " ";
	const char *text = e->text, *rest = e->text + e->at;

	x += put(c, y, x, ui->term.width - x, STYLE_KEY, "%s", prompt_label(ui->prompt.kind));
	snprintf(before, sizeof(before), "%.*s", (int)e->at, text);
	/* Of a long line the end before the cursor is shown. */
	for (text = before; glyphs_width(text, ui->term.glyphs) > ui->term.width - x - 8;)
		glyph_next(&text);
	x += put(c, y, x, ui->term.width - x, STYLE_NORMAL, "%s", text);
	if (*rest)
		glyph_put(glyph_next(&rest), here);
	x += put(c, y, x, ui->term.width - x, STYLE_TAB, "%s", here);
	put(c, y, x, ui->term.width - x - 1, STYLE_NORMAL, "%s", rest);
}

static int draw_poll(const struct ui *ui, const struct canvas *c)
{
	const struct pack_view *p = view_chosen(&ui->view);
	char text[80] = "";
	int n = 0;

	if (!p || !p->snap.reading_ms)
		return 0;
	if (p->interval_ms)
		n = snprintf(text, sizeof(text), "poll %.1f s ", (double)p->interval_ms / 1000);
	n += snprintf(text + n, sizeof(text) - (size_t)n, "%u ms", (unsigned)p->snap.poll_ms);
	if (p->snap.errors)
		snprintf(text + n, sizeof(text) - (size_t)n, "  %u error%s", (unsigned)p->snap.errors,
			 p->snap.errors == 1 ? "" : "s");
	return put_right(c, ui->term.height - 1, 0, ui->term.width - 1, p->snap.errors ? STYLE_WARNING : STYLE_LABEL,
			 "%s", text);
}

static void draw_footer(const struct ui *ui, const struct canvas *c, const struct screen *s)
{
	char keys[300];

	if (ui->prompt.kind) {
		draw_prompt(ui, c);
		return;
	}
	int right = draw_poll(ui, c);
	if (ui->helping)
		snprintf(keys, sizeof(keys), "Esc back  q quit");
	else
		snprintf(keys, sizeof(keys), "%s%sc command  r record%s  : command line  q quit", s->keys,
			 *s->keys ? "  " : "", s->lists ? "  / find" : "");
	put_keys(c, ui->term.height - 1, 1, ui->term.width - 3 - right, keys);
}

void frame_draw(struct ui *ui, const struct canvas *c, const struct screen *const *screens)
{
	draw_title(ui, c);
	draw_tabs(ui, c, screens);
	draw_pack(ui, c);
	put_rule(c, 3, 0, ui->term.width);
	draw_message(ui, c);
	draw_footer(ui, c, screens[ui->screen]);
}
