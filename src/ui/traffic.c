/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Screen 6: every byte on the lines, with its time, and what is counted there. */
#include <stdio.h>
#include <string.h>

#include "model/wire.h"
#include "ui/ui.h"

enum { TIME_WIDTH = 13, DELTA_WIDTH = 9, STATS_MOST = 4 };

/* Where the columns of a row begin. */
struct places {
	int delta, port, mark, bytes, width; /* port 0: not shown; width: of the bytes */
};

static struct places find_places(const struct ui *ui, int width)
{
	struct places p = {.delta = 1 + TIME_WIDTH};

	p.mark = p.delta + DELTA_WIDTH + 1;
	if (ui->view.port_count > 1 && !ui->traffic.port) {
		p.port = p.mark;
		p.mark += width > 110 ? 14 : 8;
	}
	p.bytes = p.mark + 3;
	p.width = width - p.bytes - 1;
	return p;
}

/* The last part of a port's name: "ttyUSB0", "pts/3". */
static const char *short_name(const char *name)
{
	return strncmp(name, "/dev/", 5) ? name : name + 5;
}

/* ---- rows ---- */

static size_t kept(const struct traffic_row *row)
{
	return row->n < VIEW_TRAFFIC_BYTES ? row->n : VIEW_TRAFFIC_BYTES;
}

/* Bytes that fit on a line. A CAN frame is never broken up. */
static size_t per_line(const struct ui *ui, const struct traffic_row *row, int width)
{
	int n = row->link == LINK_CAN ? CAN_BYTES : ui->traffic.text ? width : width / 3;

	return n > 1 ? (size_t)n : 1;
}

static int row_height(const struct ui *ui, const struct traffic_row *row, int width)
{
	size_t line = per_line(ui, row, width);

	if (!ui->traffic.wrap || row->kind == TRAFFIC_NOTE || !row->n)
		return 1;
	return (int)((kept(row) + line - 1) / line);
}

static bool shown(const struct ui *ui, const struct traffic_row *row)
{
	const char *filter = ui->filter[SCREEN_TRAFFIC];
	char hex[2 * VIEW_TRAFFIC_BYTES + 1], wanted[EDIT_ROOM];
	size_t n = 0;

	if (ui->traffic.port && row->port != ui->traffic.port)
		return false;
	if (!*filter)
		return true;
	/* "dd a5" finds what "dda5" finds. */
	for (const char *p = filter; *p; p++)
		if (*p != ' ')
			wanted[n++] = *p;
	wanted[n] = 0;
	wire_text(row->link, (struct bytes){row->bytes, kept(row)}, hex, sizeof(hex));
	return text_has(hex, wanted) || text_has(row->note, filter);
}

static char shown_char(unsigned char b)
{
	return b >= 0x20 && b < 0x7f ? (char)b : '.';
}

/* 18F128F4#48656C6C6F, and as text with 'Hello' beside it. */
static void frame_shown(const struct ui *ui, struct bytes frame, char *out, size_t size)
{
	struct bytes data = can_data(frame);
	char text[sizeof(((struct can_message *)0)->data) + 1] = "";

	wire_text(LINK_CAN, frame, out, size);
	for (size_t i = 0; i < data.n && i + 1 < sizeof(text); i++)
		text[i] = shown_char(data.p[i]);
	if (ui->traffic.text && *text)
		snprintf(out + strlen(out), size - strlen(out), "  '%s'", text);
}

/* The bytes from..from+n as they are shown. */
static void bytes_shown(const struct ui *ui, const struct traffic_row *row, size_t from, size_t n, char *out,
			size_t size)
{
	size_t at = 0;

	out[0] = 0;
	if (row->link == LINK_CAN) {
		frame_shown(ui, bytes_sub((struct bytes){row->bytes, kept(row)}, from, n), out, size);
		return;
	}
	for (size_t i = from; i < from + n && i < kept(row) && at + 4 < size; i++) {
		unsigned char b = row->bytes[i];

		if (ui->traffic.text)
			at += (size_t)snprintf(out + at, size - at, "%c", shown_char(b));
		else
			at += (size_t)snprintf(out + at, size - at, "%s%02x", i > from ? " " : "", b);
	}
}

static void draw_bytes(const struct ui *ui, const struct canvas *c, int y, struct area a, const struct places *p,
		       const struct traffic_row *row)
{
	enum style style = row->kind == TRAFFIC_SENT ? STYLE_SENT : STYLE_RECEIVED;
	size_t line = per_line(ui, row, p->width), n = kept(row);
	char text[1024], more[24] = "";
	int room = p->width;

	if (!ui->traffic.wrap && n > line) {
		snprintf(more, sizeof(more), " … %zu bytes", row->n);
		room -= glyphs_width(more, ui->term.glyphs);
		n = per_line(ui, row, room);
	}
	for (size_t from = 0; from < n && y < a.y + a.height; from += line, y++) {
		if (y < a.y)
			continue;
		bytes_shown(ui, row, from, n - from < line ? n - from : line, text, sizeof(text));
		int used = put(c, y, p->bytes, p->width, style, "%s", text);

		if (*more)
			put(c, y, p->bytes + used, p->width - used, STYLE_LABEL, "%s", more);
	}
}

/* y may lie above the area: what is above is not drawn. */
static void draw_row(const struct ui *ui, const struct canvas *c, int y, struct area a, const struct places *p,
		     const struct traffic_row *row)
{
	static const char *const mark[] = {[TRAFFIC_SENT] = "→", [TRAFFIC_RECEIVED] = "←", [TRAFFIC_NOTE] = "*"};
	const struct port_row *port = view_port(&ui->view, row->port);
	char time_text[16];

	if (row->kind != TRAFFIC_NOTE)
		draw_bytes(ui, c, y, a, p, row);
	if (y < a.y)
		return;
	clock_text(row->wall, time_text, sizeof(time_text));
	put(c, y, 1, TIME_WIDTH, STYLE_LABEL, "%s.%03u", time_text, (unsigned)((uint64_t)(row->wall * 1000) % 1000));
	if (!row->first && row->since_ms < 100000)
		put_right(c, y, p->delta, DELTA_WIDTH, STYLE_NORMAL, "+%u ms", (unsigned)row->since_ms);
	else if (!row->first)
		put_right(c, y, p->delta, DELTA_WIDTH, STYLE_NORMAL, "+%u s", (unsigned)(row->since_ms / 1000));
	if (p->port && port)
		put(c, y, p->port, p->mark - p->port - 1, STYLE_LABEL, "%s", short_name(port->view.name));
	put(c, y, p->mark, 2, STYLE_STRONG, "%s", mark[row->kind]);
	if (row->kind == TRAFFIC_NOTE)
		put(c, y, p->bytes, p->width, STYLE_WARNING, "%s", row->note);
}

static void draw_rows(struct ui *ui, const struct canvas *c, struct area a)
{
	const struct view *v = &ui->view;
	struct list_row row[VIEW_TRAFFIC_ROWS];
	struct places p = find_places(ui, a.width);
	uint64_t last = ui->traffic.paused_at ? ui->traffic.paused_at : v->traffic_last;
	uint64_t oldest = v->traffic_last > VIEW_TRAFFIC_ROWS ? v->traffic_last - VIEW_TRAFFIC_ROWS : 0;
	unsigned n = 0;

	for (uint64_t i = oldest + 1; i <= last; i++) {
		const struct traffic_row *r = &v->traffic[i % VIEW_TRAFFIC_ROWS];

		if (shown(ui, r))
			row[n++] = (struct list_row){i, row_height(ui, r, p.width)};
	}
	if (!n)
		put(c, a.y, 2, a.width - 3, STYLE_NORMAL, "nothing%s",
		    v->traffic_last ? " of this kind" : " has been sent or received");
	unsigned first = list_first(&ui->traffic.list, row, n, a.height);
	int y = a.y - ui->traffic.list.skip, end = a.y + a.height;
	for (unsigned i = first; i < n && y < end; i++) {
		draw_row(ui, c, y, a, &p, &v->traffic[row[i].number % VIEW_TRAFFIC_ROWS]);
		y += row[i].height;
	}
	put_more(c, a, first > 0, !ui->traffic.list.follow && y >= end && row[n - 1].number > ui->traffic.list.top);
}

/* ---- what is counted ---- */

static void draw_stats(const struct canvas *c, int y, int width, const struct port_view *p)
{
	const struct line_stats *s = &p->stats;
	struct piece piece[9] = {{.style = STYLE_STRONG, .keep = 20}};
	const struct {
		const char *name;
		uint64_t n;
		bool bad;
		int keep;
	} count[] = {{"asked", s->requests, false, 18},	   {"answers", s->answers, false, 17},
		     {"failed", s->failures, true, 16},	   {"bad", s->bad_frames, true, 15},
		     {"late", s->late_frames, true, 14},   {"foreign", s->foreign_frames, true, 12},
		     {"noise B", s->noise_bytes, true, 11}};
	char in[24], out[24];

	snprintf(piece[0].text, sizeof(piece[0].text), "%.90s", short_name(p->name));
	for (size_t i = 0; i < sizeof(count) / sizeof(count[0]); i++) {
		snprintf(piece[1 + i].text, sizeof(piece[0].text), "%s %llu", count[i].name,
			 (unsigned long long)count[i].n);
		piece[1 + i].style = count[i].bad && count[i].n ? STYLE_WARNING : STYLE_NORMAL;
		piece[1 + i].keep = count[i].keep;
	}
	bytes_amount_text(s->bytes_in, in, sizeof(in));
	bytes_amount_text(s->bytes_out, out, sizeof(out));
	snprintf(piece[8].text, sizeof(piece[8].text), "in %s out %s", in, out);
	piece[8].keep = 10;
	put_pieces(c, y, 1, width - 2, 2, piece, 9);
}

/* Returns the lines used. Asked of the engine: counters change all the time, and nobody is told. */
static int draw_counters(const struct ui *ui, const struct canvas *c, int y, int width, int most)
{
	struct port_view p;
	int used = 0;

	for (unsigned i = 0; used < most && engine_port(ui->engine, i, &p); i++) {
		bool recorded = p.state == PORT_REPLAYING || p.state == PORT_ENDED; /* nothing is counted there */

		if (!recorded && (!ui->traffic.port || ui->traffic.port == p.id))
			draw_stats(c, y + used++, width, &p);
	}
	return used;
}

static void draw_mode(const struct ui *ui, const struct canvas *c, int y, int width)
{
	const struct traffic_state *t = &ui->traffic;
	const struct port_row *port = t->port ? view_port(&ui->view, t->port) : NULL;
	int x = 2;

	put_rule(c, y, 0, width);
	x += put(c, y, x, width - x, STYLE_LABEL, " %s, %s, %s%s%s ", port ? short_name(port->view.name) : "all ports",
		 t->text ? "as text" : "hex", t->wrap ? "whole" : "cut",
		 ui->filter[SCREEN_TRAFFIC][0] ? ", only with " : "", ui->filter[SCREEN_TRAFFIC]);
	if (t->paused_at)
		put(c, y, x, width - x, STYLE_WARNING, " PAUSED, %llu more ",
		    (unsigned long long)(ui->view.traffic_last - t->paused_at));
	else if (!t->list.follow)
		put(c, y, x, width - x, STYLE_WARNING, " scrolled back; End follows again ");
}

static void traffic_draw(struct ui *ui, const struct canvas *c, struct area a)
{
	int most = a.height / 4 < STATS_MOST ? a.height / 4 : STATS_MOST;
	int used = draw_counters(ui, c, a.y, a.width, a.height > 30 ? a.height / 4 : most);

	draw_mode(ui, c, a.y + used, a.width);
	used++;
	draw_rows(ui, c, (struct area){a.y + used, 0, a.height - used, a.width});
}

/* ---- keys ---- */

static void next_port(struct ui *ui)
{
	const struct view *v = &ui->view;
	unsigned i = 0;

	while (i < v->port_count && v->port[i].view.id != ui->traffic.port)
		i++;
	/* After all ports the first one, after the last all. */
	i = ui->traffic.port ? i + 1 : 0;
	ui->traffic.port = i < v->port_count ? v->port[i].view.id : 0;
}

static bool traffic_key(struct ui *ui, int key)
{
	struct traffic_state *t = &ui->traffic;

	switch (key) {
	case 'p':
	case ' ':
		t->paused_at = t->paused_at ? 0 : ui->view.traffic_last;
		return true;
	case 'f':
		next_port(ui);
		return true;
	case 'x':
		t->text = !t->text;
		return true;
	case 'w':
		t->wrap = !t->wrap;
		return true;
	default:
		return list_key(&t->list, key, frame_body(ui).height - 2);
	}
}

static const char *const help[] = {
	"p\tpause: what comes is kept, but not shown",
	"f\tall ports, or one after the other",
	"x\tbytes in hex or as text; on CAN frames as ID#DATA, or with their text",
	"w\tlong frames cut, or whole on several lines",
	"/\tonly rows with these bytes, as in: dd a5",
	"asked\tquestions sent; answers believed; failed: no answer that may be believed",
	"bad\tframes with a wrong checksum or length; late: after their time",
	"foreign\twhole frames that nobody asked for; noise: bytes that belong to no frame",
	NULL,
};

const struct screen traffic_screen = {
	.title = "Traffic",
	.keys = "p pause  f port  x hex/text  w wrap",
	.help = help,
	.lists = true,
	.draw = traffic_draw,
	.key = traffic_key,
};
