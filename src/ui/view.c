/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- packs ---- */

static struct pack_view *pack_with(const struct view *v, unsigned id)
{
	for (unsigned i = 0; i < v->pack_count; i++)
		if (v->pack[i]->snap.id == id)
			return v->pack[i];
	return NULL;
}

static struct pack_view *pack_add(struct view *v, unsigned id)
{
	struct pack_view **more = realloc(v->pack, (v->pack_count + 1) * sizeof(*more));

	if (!more)
		return NULL;
	v->pack = more;
	struct pack_view *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->snap.id = id;
	v->pack[v->pack_count++] = p;
	if (!v->chosen)
		v->chosen = id;
	return p;
}

/* ---- alarms ---- */

static struct alarm_row *open_alarm(struct view *v, unsigned pack, const char *name)
{
	uint64_t oldest = v->alarm_last > VIEW_ALARM_ROWS ? v->alarm_last - VIEW_ALARM_ROWS : 0;

	for (uint64_t i = v->alarm_last; i > oldest; i--) {
		struct alarm_row *a = &v->alarm[i % VIEW_ALARM_ROWS];

		if (a->pack == pack && a->cleared == 0 && !strcmp(a->name, name))
			return a;
	}
	return NULL;
}

static void note_alarm(struct view *v, const struct snapshot *s, const char *name, enum alarm_level level, double wall)
{
	struct alarm_row *a = open_alarm(v, s->id, name);

	if (a && a->level == level)
		return;
	if (a)
		a->cleared = wall;
	if (level == ALARM_OK)
		return;
	a = &v->alarm[++v->alarm_last % VIEW_ALARM_ROWS];
	*a = (struct alarm_row){
		.number = v->alarm_last,
		.pack = s->id,
		.name = name,
		.level = level,
		.raised = wall,
	};
	memcpy(a->pack_name, s->name, sizeof(a->pack_name));
}

enum alarm_level view_alarm_level(const struct snapshot *s, enum alarm a)
{
	const struct limits_output *o = snapshot_limits(s);
	int level = s->reading.alarms.level[a];

	if (a == ALARM_BMS_CABLE && s->reading_ms && o->cable > level)
		level = o->cable > ALARM_RAISED ? ALARM_RAISED : o->cable;
	return (enum alarm_level)level;
}

static enum alarm_level own_level(const struct alarms *alarms, const char *name)
{
	for (unsigned i = 0; i < alarms->own_count; i++)
		if (!strcmp(alarms->own[i].name, name))
			return alarms->own[i].level;
	return ALARM_OK;
}

static void follow_alarms(struct view *v, const struct snapshot *before, const struct snapshot *s, double wall)
{
	const struct alarms *was = &before->reading.alarms, *is = &s->reading.alarms;

	for (unsigned a = 0; a < ALARM_COUNT; a++)
		note_alarm(v, s, alarm_name((enum alarm)a), view_alarm_level(s, (enum alarm)a), wall);
	for (unsigned i = 0; i < was->own_count; i++)
		if (own_level(is, was->own[i].name) == ALARM_OK)
			note_alarm(v, s, was->own[i].name, ALARM_OK, wall);
	for (unsigned i = 0; i < is->own_count; i++)
		note_alarm(v, s, is->own[i].name, is->own[i].level, wall);
	note_alarm(v, s, "no_answer", s->state == PACK_LOST ? ALARM_RAISED : ALARM_OK, wall);
}

unsigned view_chosen_alarms(const struct view *v, enum alarm_level *worst)
{
	const struct pack_view *p = view_chosen(v);
	unsigned n = 0;

	*worst = ALARM_OK;
	if (!p)
		return 0;
	for (unsigned a = 0; a < ALARM_COUNT; a++) {
		enum alarm_level level = view_alarm_level(&p->snap, (enum alarm)a);

		n += level != ALARM_OK;
		*worst = level > *worst ? level : *worst;
	}
	for (unsigned i = 0; i < p->snap.reading.alarms.own_count; i++) {
		n++;
		if (p->snap.reading.alarms.own[i].level > *worst)
			*worst = p->snap.reading.alarms.own[i].level;
	}
	return n;
}

/* ---- what the engine tells ---- */

static double wall_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_pack(void *ctx, const struct snapshot *s)
{
	struct view *v = ctx;
	struct pack_view *p = pack_with(v, s->id);
	bool fresh = !p;

	if (fresh)
		p = pack_add(v, s->id);
	if (!p)
		return;
	if (fresh || p->snap.state != s->state)
		p->state_ms = engine_now_ms(v->engine);
	follow_alarms(v, &p->snap, s, s->state == PACK_ONLINE ? s->reading_wall : wall_clock());
	if (s->reading_ms && s->reading_ms != p->reading_seen) {
		trend_add(&p->trend, &s->reading, s->reading_ms);
		if (p->reading_seen && s->reading_ms > p->reading_seen)
			p->interval_ms = s->reading_ms - p->reading_seen;
		p->reading_seen = s->reading_ms;
	}
	p->snap = *s;
	v->changed = true;
}

static void on_pack_gone(void *ctx, const struct snapshot *s)
{
	struct view *v = ctx;
	unsigned i = 0;

	while (i < v->pack_count && v->pack[i]->snap.id != s->id)
		i++;
	if (i == v->pack_count)
		return;
	trend_free(&v->pack[i]->trend);
	free(v->pack[i]);
	v->pack_count--;
	memmove(&v->pack[i], &v->pack[i + 1], (v->pack_count - i) * sizeof(v->pack[0]));
	if (v->chosen == s->id)
		v->chosen = v->pack_count ? v->pack[i < v->pack_count ? i : i - 1]->snap.id : 0;
	v->changed = true;
}

static void on_port(void *ctx, const struct port_view *view)
{
	struct view *v = ctx;
	struct port_row *p = (struct port_row *)view_port(v, view->id);

	if (!p) {
		struct port_row *more = realloc(v->port, (v->port_count + 1) * sizeof(*more));

		if (!more)
			return;
		v->port = more;
		p = &v->port[v->port_count++];
		memset(p, 0, sizeof(*p));
	}
	p->view = *view;
	p->attempted = view->attempt_count > 0;
	p->received = 0;
	for (unsigned i = 0; i < view->attempt_count; i++)
		p->received += view->attempt[i].received;
	if (p->attempted)
		p->last = view->attempt[view->attempt_count - 1];
	p->view.attempt = NULL;
	p->view.attempt_count = 0;
	v->changed = true;
}

static struct traffic_row *last_on_port(const struct view *v, unsigned port)
{
	uint64_t oldest = v->traffic_last > VIEW_TRAFFIC_ROWS ? v->traffic_last - VIEW_TRAFFIC_ROWS : 0;

	for (uint64_t i = v->traffic_last; i > oldest; i--)
		if (v->traffic[i % VIEW_TRAFFIC_ROWS].port == port)
			return &v->traffic[i % VIEW_TRAFFIC_ROWS];
	return NULL;
}

static void add_bytes(struct traffic_row *row, const struct traffic *t)
{
	size_t kept = row->n < VIEW_TRAFFIC_BYTES ? VIEW_TRAFFIC_BYTES - row->n : 0;

	if (kept > t->bytes.n)
		kept = t->bytes.n;
	if (kept)
		memcpy(row->bytes + row->n, t->bytes.p, kept);
	row->n += t->bytes.n;
	row->last_ms = t->ms;
}

static bool goes_on(const struct traffic_row *before, const struct traffic *t)
{
	return before && t->link != LINK_CAN && t->kind == TRAFFIC_RECEIVED && before->kind == TRAFFIC_RECEIVED &&
	       t->ms - before->last_ms <= VIEW_MERGE_MS && before->n < VIEW_TRAFFIC_BYTES;
}

static void add_traffic(struct view *v, const struct traffic *t)
{
	struct traffic_row *before = last_on_port(v, t->port);

	if (goes_on(before, t)) {
		add_bytes(before, t);
		return;
	}
	uint64_t since = before ? t->ms - before->ms : 0;
	struct traffic_row *row = &v->traffic[++v->traffic_last % VIEW_TRAFFIC_ROWS];
	*row = (struct traffic_row){
		.number = v->traffic_last,
		.ms = t->ms,
		.since_ms = since,
		.first = !before,
		.wall = t->wall,
		.port = t->port,
		.link = t->link,
		.kind = t->kind,
	};
	add_bytes(row, t);
	if (t->note)
		strncpy(row->note, t->note, sizeof(row->note) - 1);
}

static void on_traffic(void *ctx, const struct traffic *t)
{
	struct view *v = ctx;
	struct traffic frame = *t;

	v->changed = true;
	if (t->link != LINK_CAN || t->kind == TRAFFIC_NOTE) {
		add_traffic(v, t);
		return;
	}
	for (struct bytes rest = t->bytes; rest.n; rest = bytes_sub(rest, CAN_BYTES, rest.n)) {
		frame.bytes = bytes_sub(rest, 0, CAN_BYTES);
		add_traffic(v, &frame);
	}
}

void view_log(struct view *v, enum log_level level, double wall, const char *text)
{
	struct log_row *row = &v->log[++v->log_last % VIEW_LOG_ROWS];

	free(row->text);
	*row = (struct log_row){v->log_last, level, wall, strdup(text)};
	v->changed = true;
}

static void on_log(void *ctx, enum log_level level, double wall, const char *text)
{
	view_log(ctx, level, wall, text);
}

/* ---- life ---- */

bool view_start(struct view *v, struct engine *e)
{
	memset(v, 0, sizeof(*v));
	v->engine = e;
	v->traffic = calloc(VIEW_TRAFFIC_ROWS, sizeof(*v->traffic));
	if (!v->traffic)
		return false;
	v->observer = (struct observer){on_pack, on_pack_gone, on_port, on_traffic, on_log, v, NULL};
	engine_observe(e, &v->observer);
	return true;
}

void view_end(struct view *v)
{
	engine_unobserve(v->engine, &v->observer);
	for (unsigned i = 0; i < v->pack_count; i++) {
		trend_free(&v->pack[i]->trend);
		free(v->pack[i]);
	}
	for (unsigned i = 0; i < VIEW_LOG_ROWS; i++)
		free(v->log[i].text);
	free(v->pack);
	free(v->port);
	free(v->traffic);
}

void view_look_at_ports(struct view *v)
{
	struct port_view p;

	for (unsigned i = 0; engine_port(v->engine, i, &p); i++)
		on_port(v, &p);
}

/* ---- asking ---- */

struct pack_view *view_chosen(const struct view *v)
{
	return pack_with(v, v->chosen);
}

unsigned view_chosen_place(const struct view *v)
{
	unsigned i = 0;

	while (i < v->pack_count && v->pack[i]->snap.id != v->chosen)
		i++;
	return i < v->pack_count ? i : 0;
}

void view_choose(struct view *v, int place)
{
	int n = (int)v->pack_count;

	if (!n)
		return;
	v->chosen = v->pack[(place % n + n) % n]->snap.id;
	v->changed = true;
}

const struct port_row *view_port(const struct view *v, unsigned id)
{
	for (unsigned i = 0; i < v->port_count; i++)
		if (v->port[i].view.id == id)
			return &v->port[i];
	return NULL;
}

const struct port_row *view_port_named(const struct view *v, const char *name)
{
	for (unsigned i = 0; i < v->port_count; i++)
		if (!strcmp(v->port[i].view.name, name))
			return &v->port[i];
	return NULL;
}
