/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A recording in place of ports: its bytes at their times, followed by the protocols' own code. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/follow_bus.h"
#include "engine/internal.h"
#include "engine/recording.h"

enum {
	REPLAY_MAX_PORTS = 32,
	AT_ONCE = 100,	  /* records per turn of the loop when played as fast as possible */
	RECOGNISE = 2000, /* records looked at where no protocol is noted */
};

struct replay_port {
	struct port *port;
	bool can;
	struct follow *follow;	      /* NULL: no protocol known */
	struct follow_bus *bus;	      /* of a CAN port, instead */
	unsigned seen[MAX_PROTOCOLS]; /* requests recognised per protocol, by place in protocols_all() */
};

struct replay {
	struct engine *engine;
	struct recording recording;
	double speed; /* 0 = at once */
	uint64_t start_ms;
	double t0, t; /* of the first record, and of the one played last */
	bool started, ended;
	bool pending; /* next holds a record that is not yet due */
	struct record next;
	struct replay_port port[REPLAY_MAX_PORTS];
	unsigned port_count;
	uv_timer_t *timer;
	struct replay *more;
};

uint64_t replay_now_ms(const struct replay *r)
{
	return r->start_ms + (uint64_t)((r->t - r->t0) * 1000);
}

enum link_kind replay_link(const struct replay *r, const struct port *port)
{
	for (unsigned i = 0; i < r->port_count; i++)
		if (r->port[i].port == port && r->port[i].can)
			return LINK_CAN;
	return LINK_SERIAL;
}

static struct replay_port *port_at(struct replay *r, const char *name)
{
	for (unsigned i = 0; i < r->port_count; i++)
		if (!strcmp(r->port[i].port->name, name))
			return &r->port[i];
	if (r->port_count == REPLAY_MAX_PORTS || r->engine->port_count == MAX_PORTS)
		return NULL;
	struct port *port = port_new(r->engine, name);
	if (!port)
		return NULL;
	port->replay = r;
	port->state = PORT_REPLAYING;
	r->engine->port[r->engine->port_count++] = port;
	r->port[r->port_count] = (struct replay_port){.port = port};
	return &r->port[r->port_count++];
}

/* ---- first pass: which protocol is spoken on which port ---- */

static void note_request(struct replay_port *p, const struct record *rec)
{
	struct request request;
	struct bytes tx = {rec->bytes, rec->n};

	for (unsigned i = 0; protocols_all()[i] && i < MAX_PROTOCOLS; i++)
		if (protocols_all()[i]->link != LINK_CAN && follow_knows(protocols_all()[i], tx, &request))
			p->seen[i]++;
}

static const struct protocol *most_seen(const struct replay_port *p)
{
	unsigned best = 0;

	for (unsigned i = 1; protocols_all()[i] && i < MAX_PROTOCOLS; i++)
		if (p->seen[i] > p->seen[best])
			best = i;
	return p->seen[best] ? protocols_all()[best] : NULL;
}

static int recognise(struct replay *r, char *why, size_t size)
{
	int got;

	for (unsigned n = 0; (got = recording_next(&r->recording, &r->next, why, size)) > 0; n++) {
		struct replay_port *p = port_at(r, r->next.port);

		if (!p) {
			snprintf(why, size, "line %u: too many ports", r->recording.line);
			return -ENOSPC;
		}
		p->can = p->can || r->next.can || (r->next.protocol && r->next.protocol->link == LINK_CAN);
		if (r->next.kind == RECORD_PROTOCOL && r->next.protocol && !p->port->protocol)
			p->port->protocol = r->next.protocol;
		if (r->next.kind == RECORD_SENT && !p->can && n < RECOGNISE)
			note_request(p, &r->next);
	}
	if (got < 0)
		return -EINVAL;
	if (!r->port_count) {
		snprintf(why, size, "the file holds no record");
		return -EINVAL;
	}
	if (recording_rewind(&r->recording))
		return 0;
	snprintf(why, size, "it must be a file that can be read twice");
	return -ESPIPE;
}

/* ---- second pass: playing ---- */

static void on_cycle(void *ctx, struct follow_device *d, uint64_t now_ms)
{
	struct port *port = ctx;
	const struct protocol *protocol = d->dev.protocol;
	bool addressed = protocol->last_address && !(protocol->point_to_point >> d->dev.dialect & 1);

	(void)now_ms;
	if (!port->protocol)
		port->protocol = protocol;
	if (!d->owner)
		d->owner = pack_found(port, NULL, protocol, d->dev.address, addressed, false);
	if (d->owner)
		pack_reading(d->owner, &d->dev, true, 0);
}

static void on_gone(void *ctx, struct follow_device *d)
{
	struct port *port = ctx;

	engine_log(port->engine, LOG_INFO, "%s: %s is given up for another protocol, which tells more", port->name,
		   d->dev.protocol->id);
	pack_gone_for_good(d->owner);
	port->protocol = NULL;
}

static int start_bus(struct replay *r, struct replay_port *p)
{
	struct protocol_options options = options_of(r->engine);

	p->bus = malloc(sizeof(*p->bus));
	if (!p->bus || !follow_bus_init(p->bus, r->engine->options.protocols, &options)) {
		free(p->bus);
		p->bus = NULL;
		return -ENOMEM;
	}
	p->bus->cycle = on_cycle;
	p->bus->gone = on_gone;
	p->bus->ctx = p->port;
	p->port->protocol = NULL; /* what is noted there is only one of those that were found */
	return 0;
}

static int start_following(struct replay *r, struct replay_port *p)
{
	struct port *port = p->port;

	if (p->can)
		return start_bus(r, p);
	if (!port->protocol)
		port->protocol = most_seen(p);
	if (!port->protocol) {
		engine_log(r->engine, LOG_WARNING, "%s: no protocol is recognised in what was recorded", port->name);
		return 0;
	}
	p->follow = malloc(sizeof(*p->follow));
	if (!p->follow || !follow_init(p->follow, port->protocol, NULL)) {
		free(p->follow);
		p->follow = NULL;
		return -ENOMEM;
	}
	p->follow->cycle = on_cycle;
	p->follow->ctx = port;
	return 0;
}

static void follow_record(struct replay_port *p, bool sent, struct bytes b, uint64_t now)
{
	if (p->bus)
		follow_bus_hears(p->bus, b, now);
	else if (p->follow)
		(sent ? follow_sent : follow_received)(p->follow, b, now);
}

static void play(struct replay *r, const struct record *rec)
{
	struct replay_port *p = port_at(r, rec->port);
	struct bytes b = {rec->bytes, rec->n};
	uint64_t now = replay_now_ms(r);
	char text[sizeof(rec->text) + 16];

	if (!p)
		return;
	switch (rec->kind) {
	case RECORD_SENT:
		engine_traffic(r->engine, p->port, TRAFFIC_SENT, b, NULL);
		p->port->stats.bytes_out += b.n;
		follow_record(p, true, b, now);
		break;
	case RECORD_RECEIVED:
		engine_traffic(r->engine, p->port, TRAFFIC_RECEIVED, b, NULL);
		p->port->stats.bytes_in += b.n;
		follow_record(p, false, b, now);
		break;
	case RECORD_LINE:
	case RECORD_NOTE:
		snprintf(text, sizeof(text), "%s%s", rec->kind == RECORD_LINE ? "line " : "", rec->text);
		engine_traffic(r->engine, p->port, TRAFFIC_NOTE, (struct bytes){NULL, 0}, text);
		break;
	default:
		break;
	}
}

static void end_bus(struct replay *r, struct replay_port *p)
{
	char regret[160];

	follow_bus_flush(p->bus, replay_now_ms(r));
	if (p->port->protocol)
		return;
	follow_bus_regret(p->bus, regret, sizeof(regret));
	engine_log(r->engine, LOG_WARNING, "%s: %s", p->port->name, regret);
}

static void end_replay(struct replay *r, const char *why)
{
	r->ended = true;
	for (unsigned i = 0; i < r->port_count; i++) {
		struct port *port = r->port[i].port;

		if (r->port[i].follow)
			follow_flush(r->port[i].follow, replay_now_ms(r));
		if (r->port[i].bus)
			end_bus(r, &r->port[i]);
		port->state = PORT_ENDED;
		snprintf(port->error, sizeof(port->error), "%.150s", why);
		engine_show_port(r->engine, port);
	}
	engine_log(r->engine, LOG_INFO, "the recording has ended: %s", why);
}

static void on_timer(uv_timer_t *timer)
{
	struct replay *r = timer->data;
	char why[200];

	for (int n = 0; n < AT_ONCE; n++) {
		int got = r->pending ? 1 : recording_next(&r->recording, &r->next, why, sizeof(why));

		if (got <= 0) {
			end_replay(r, got < 0 ? why : "all of it was played");
			return;
		}
		if (!r->started) {
			r->started = true;
			r->t0 = r->t = r->next.t;
			r->start_ms = engine_now_ms(r->engine);
		}
		double due = r->speed > 0 ? (r->next.t - r->t0) / r->speed * 1000 : 0;
		double wait = due - (double)(engine_now_ms(r->engine) - r->start_ms);

		r->pending = r->speed > 0 && wait > 0;
		if (r->pending) {
			uv_timer_start(timer, on_timer, (uint64_t)wait + 1, 0);
			return;
		}
		if (r->next.t > r->t) /* a clock that runs backwards stands still */
			r->t = r->next.t;
		play(r, &r->next);
	}
	uv_timer_start(timer, on_timer, 0, 0);
}

int engine_add_replay(struct engine *e, const char *path, double speed, char *why, size_t size)
{
	struct replay *r = calloc(1, sizeof(*r));
	int error = 0;

	if (!r)
		return -ENOMEM;
	r->more = e->replay;
	e->replay = r; /* engine_free() cleans up whatever fails below */
	r->engine = e;
	r->speed = speed;
	r->timer = timer_new(e->loop, r);
	r->recording.file = fopen(path, "re");
	if (!r->recording.file || !r->timer) {
		error = r->recording.file ? -ENOMEM : -errno;
		snprintf(why, size, "%s: %s", path, strerror(-error));
		return error;
	}
	char say[200];
	error = recognise(r, say, sizeof(say));
	if (error) {
		snprintf(why, size, "%s: %s", path, say);
		return error;
	}
	for (unsigned i = 0; i < r->port_count && !error; i++)
		error = start_following(r, &r->port[i]);
	if (error) {
		snprintf(why, size, "%s: out of memory", path);
		return error;
	}
	uv_timer_start(r->timer, on_timer, 0, 0);
	return 0;
}

void replay_free(struct replay *r)
{
	while (r) {
		struct replay *more = r->more;

		for (unsigned i = 0; i < r->port_count; i++) {
			if (r->port[i].follow)
				follow_free(r->port[i].follow);
			free(r->port[i].follow);
			if (r->port[i].bus)
				follow_bus_free(r->port[i].bus);
			free(r->port[i].bus);
		}
		if (r->recording.file)
			fclose(r->recording.file);
		recording_free(&r->recording);
		timer_free(r->timer);
		free(r);
		r = more;
	}
}
