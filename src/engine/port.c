/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ports: a link that comes and goes, detection on it, then a session. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/internal.h"
#include "links/serial.h"
#include "links/spi.h"

enum {
	RETRY_ABSENT_MS = 1000, /* besides the news from /dev */
	RETRY_REFUSED_MS = 2000,
	GIVE_UP_MS = 10000, /* a line on which every pack is silent is looked at afresh */
	PROGRESS_MS = 100,  /* detection shows itself at most so often */
	MAX_PROTOCOLS = 64,
};

static const struct line first_line = {115200, 8, 'N', 1};

static uint64_t now_of(const struct port *port)
{
	return engine_now_ms(port->engine);
}

static void schedule(struct port *port);

/* ---- which link a port has ---- */

/* By how its name begins; what begins otherwise is a serial port. */
static const struct port_kind {
	const char *prefix;
	enum link_kind link;
	struct link *(*open)(uv_loop_t *loop, const char *name, const struct line *line, struct link_events events,
			     int *error, char *why, size_t size);
	bool chosen_only; /* a question may do harm: asked only in a protocol that the user has named */
} port_kinds[] = {
	{SPI_DEVICE, LINK_SPI, spi_open, true},
	{SPI_SIMULATED, LINK_SPI, spi_open, true},
	{"", LINK_SERIAL, serial_open, false},
};

static const struct port_kind *port_kind(const struct port *port)
{
	const struct port_kind *k = port_kinds;

	while (strncmp(port->path, k->prefix, strlen(k->prefix)) != 0)
		k++;
	return k;
}

enum link_kind port_link(const struct port *port)
{
	return port_kind(port)->link;
}

/* The protocols to try on this kind of link, NULL-terminated, into out; how many. */
static unsigned protocols_for(const struct engine *e, const struct port_kind *kind, const struct protocol **out,
			      unsigned max)
{
	bool all = e->options.protocols == protocols_all();
	unsigned n = 0;

	for (unsigned i = 0; e->options.protocols[i] && !(all && kind->chosen_only) && n < max; i++)
		if (e->options.protocols[i]->link == kind->link)
			out[n++] = e->options.protocols[i];
	out[n] = NULL;
	return n;
}

/* ---- what the link carries ---- */

static void port_send(void *ctx, const struct request *request)
{
	struct port *port = ctx;
	struct bytes b = {request->tx, request->n};

	if (!port->link)
		return;
	/* Commands are refused long before; this is the last door. */
	if (request->writes && port->engine->options.read_only) {
		engine_log(port->engine, LOG_ERROR, "%s: a write was about to be sent in spite of --read-only",
			   port->name);
		return;
	}
	int error = link_send(port->link, b);
	if (error)
		engine_log(port->engine, LOG_WARNING, "%s: cannot send: %s", port->name, strerror(-error));
	engine_traffic(port->engine, port, TRAFFIC_SENT, b, NULL);
}

static void port_set_line(void *ctx, const struct line *line)
{
	struct port *port = ctx;

	port->line = *line;
	if (!port->link)
		return;
	int error = link_set_line(port->link, line);
	if (error)
		engine_log(port->engine, LOG_WARNING, "%s: cannot set %u baud %u%c%u: %s", port->name, line->baud,
			   line->data_bits, line->parity, line->stop_bits, strerror(-error));
	recorder_note_line(port->engine->recorder, port->engine, port);
}

/* ---- the session's news ---- */

static void session_found(void *ctx, struct session_pack *sp, uint64_t now_ms)
{
	struct port *port = ctx;
	const struct protocol *protocol = sp->dev.protocol;
	bool addressed = protocol->last_address && !(protocol->point_to_point >> sp->dev.dialect & 1);
	struct pack *p = pack_found(port, sp, protocol, sp->dev.address, addressed,
				    port->session && session_listening(port->session));

	(void)now_ms;
	if (!p)
		engine_log(port->engine, LOG_ERROR, "%s: too many batteries, this one is not shown", port->name);
	engine_show_port(port->engine, port);
}

static void session_reading(void *ctx, struct session_pack *sp, uint64_t now_ms)
{
	struct port *port = ctx;
	struct pack *p = pack_of(port->engine, sp);

	(void)now_ms;
	if (p)
		pack_reading(p, &sp->dev, sp->identified, sp->poll_ms);
}

static void session_missed(void *ctx, struct session_pack *sp, uint64_t now_ms)
{
	struct port *port = ctx;
	struct pack *p = pack_of(port->engine, sp);

	(void)now_ms;
	if (p)
		pack_missed(p, sp->failures, sp->error);
}

static void session_command_done(void *ctx, struct session_pack *sp, const struct command *command,
				 const struct command_outcome *outcome, uint64_t now_ms)
{
	struct port *port = ctx;
	struct pack *p = pack_of(port->engine, sp);

	(void)command;
	(void)now_ms;
	if (p)
		command_done(p, outcome);
}

/* ---- states ---- */

static void end_session(struct port *port, const char *why)
{
	if (!port->session)
		return;
	for (unsigned i = 0; i < session_packs(port->session); i++) {
		struct pack *p = pack_of(port->engine, session_pack(port->session, i));

		if (p)
			pack_detached(p, why);
	}
	session_free(port->session);
	port->session = NULL;
}

static void keep_attempts(struct port *port)
{
	const struct attempt *a;
	unsigned n = detect_attempts(port->detect, &a);

	free(port->attempt);
	port->attempt = n ? malloc(n * sizeof(*a)) : NULL;
	port->attempt_count = port->attempt ? n : 0;
	if (port->attempt)
		memcpy(port->attempt, a, n * sizeof(*a));
}

static void end_detection(struct port *port)
{
	if (!port->detect)
		return;
	keep_attempts(port);
	detect_free(port->detect);
	port->detect = NULL;
}

static void start_detection(struct port *port)
{
	struct engine *e = port->engine;
	struct detect_io io = {port_send, port_set_line, port};
	struct protocol_options options = {
		.invert_current = e->config.invert_current_measurement < 0,
		.battery_capacity_Ah = e->config.battery_capacity,
	};
	const struct protocol *protocols[MAX_PROTOCOLS + 1];

	protocols_for(e, port_kind(port), protocols, MAX_PROTOCOLS);
	if (!port->known.protocol)
		remember_port_hint(e->remembered, port);
	port->detect = detect_new(protocols, &port->known, e->options.addresses, e->options.address_count, &options, io,
				  &port->stats);
	if (!port->detect) {
		engine_log(e, LOG_ERROR, "%s: out of memory", port->name);
		return;
	}
	port->state = PORT_DETECTING;
	detect_start(port->detect, now_of(port));
	engine_show_port(e, port);
}

static void start_session(struct port *port)
{
	struct engine *e = port->engine;
	struct session_io io = {port_send, session_found, session_reading, session_missed, session_command_done, port};
	bool listening;
	struct device dev = detect_take(port->detect, &listening);

	end_detection(port);
	port->protocol = dev.protocol;
	port->known = (struct detect_hint){dev.protocol, dev.address, dev.dialect, port->line};
	remember_port(e->remembered, port);
	port->detected_s = (double)(now_of(port) - port->opened_ms) / 1000;
	port->session = session_new(dev, &port->line, listening, engine_poll_ms(e), e->options.addresses,
				    e->options.address_count, io, &port->stats);
	if (!port->session) {
		device_free(&dev);
		engine_log(e, LOG_ERROR, "%s: out of memory", port->name);
		port->state = PORT_REFUSED;
		return;
	}
	engine_log(e, LOG_INFO, "%s: %s found after %.2f s", port->name, port->protocol->id, port->detected_s);
	recorder_note_protocol(e->recorder, e, port);
	port->state = PORT_RUNNING;
	session_start(port->session, now_of(port));
	engine_show_port(e, port);
}

static void close_link(struct port *port)
{
	if (port->link)
		link_close(port->link);
	port->link = NULL;
}

static void port_lost(struct port *port, int error, const char *say)
{
	struct engine *e = port->engine;

	engine_log(e, LOG_WARNING, "%s: %s", port->name, say);
	engine_traffic(e, port, TRAFFIC_NOTE, (struct bytes){NULL, 0}, say);
	close_link(port);
	end_detection(port);
	end_session(port, say);
	port->state = PORT_ABSENT;
	port->error_code = error;
	snprintf(port->error, sizeof(port->error), "%s", say);
	port->retry_ms = now_of(port) + RETRY_ABSENT_MS;
	engine_show_port(e, port);
	schedule(port);
}

static void link_gone(void *ctx, int error, const char *say)
{
	port_lost(ctx, error, say);
}

/* What is due now that bytes came or time has passed. */
static void advance(struct port *port)
{
	uint64_t now = now_of(port);

	if (port->detect && detect_state(port->detect) == DETECT_FOUND)
		start_session(port);
	bool listening = port->session && session_listening(port->session);
	if (listening && !port->listening) {
		engine_log(port->engine, LOG_INFO, "%s: the bus has another master, bmscope only listens", port->name);
		packs_listen(port);
	}
	port->listening = listening;
	if (port->session) {
		uint64_t silent = session_silent_since(port->session);

		if (silent && now > silent + GIVE_UP_MS && !session_listening(port->session)) {
			end_session(port, "no answer; the line is searched anew");
			start_detection(port);
		} else if (silent && now > silent + 2 * GIVE_UP_MS) {
			end_session(port, "nothing heard on this bus; the line is searched anew");
			start_detection(port);
		}
	}
	if (port->detect && now >= port->shown_ms + PROGRESS_MS) {
		port->shown_ms = now;
		engine_show_port(port->engine, port);
	}
	schedule(port);
}

static void link_received(void *ctx, struct bytes b)
{
	struct port *port = ctx;
	uint64_t now = now_of(port);

	engine_traffic(port->engine, port, TRAFFIC_RECEIVED, b, NULL);
	if (port->detect)
		detect_receive(port->detect, b, now);
	else if (port->session)
		session_receive(port->session, b, now);
	advance(port);
}

/* ---- opening ---- */

static void learn_description(struct port *port)
{
	struct serial_port list[64];
	unsigned n = serial_list(list, 64);

	for (unsigned i = 0; i < n; i++) {
		if (strcmp(list[i].path, port->path) != 0)
			continue;
		snprintf(port->description, sizeof(port->description), "%s", list[i].description);
		snprintf(port->usb_serial, sizeof(port->usb_serial), "%s", list[i].usb_serial);
	}
}

/* NULL: error is a positive errno, and why says what is wrong. */
static struct link *open_link(struct port *port, int *error, char *why, size_t size)
{
	struct link_events events = {link_received, link_gone, port};
	const struct port_kind *kind = port_kind(port);
	const struct protocol *protocols[MAX_PROTOCOLS + 1];

	if (protocols_for(port->engine, kind, protocols, MAX_PROTOCOLS))
		return kind->open(port->engine->loop, port->path, &first_line, events, error, why, size);
	*error = EPROTONOSUPPORT;
	snprintf(why, size,
		 kind->chosen_only && port->engine->options.protocols == protocols_all()
			 ? "%s: nothing is searched for here; say which BMS it is (--protocol or BMS_TYPE)"
			 : "%s: none of the chosen protocols is spoken on such a port",
		 port->name);
	return NULL;
}

void port_open(struct port *port)
{
	struct engine *e = port->engine;
	char why[sizeof(port->error)];
	int error = 0;

	if (port->link || port->replay)
		return;
	port->link = open_link(port, &error, why, sizeof(why));
	if (!port->link) {
		enum port_state state =
			error == ENOENT || error == ENXIO || error == ENODEV ? PORT_ABSENT : PORT_REFUSED;

		if (state != port->state || strcmp(why, port->error) != 0)
			engine_log(e, LOG_WARNING, "%s", why);
		port->state = state;
		port->error_code = error;
		snprintf(port->error, sizeof(port->error), "%s", why);
		port->retry_ms = now_of(port) + (state == PORT_ABSENT ? RETRY_ABSENT_MS : RETRY_REFUSED_MS);
		engine_show_port(e, port);
		schedule(port);
		return;
	}
	port->error[0] = 0;
	port->error_code = 0;
	port->line = first_line;
	port->opened_ms = now_of(port);
	port->detected_s = NAN;
	learn_description(port);
	engine_traffic(e, port, TRAFFIC_NOTE, (struct bytes){NULL, 0}, "opened");
	start_detection(port);
	schedule(port);
}

void port_devices_changed(struct port *port)
{
	struct serial_port list[64];

	if (port->link || port->replay)
		return;
	/* The same adapter may have come back under another name. */
	unsigned n = port->usb_serial[0] ? serial_list(list, 64) : 0;
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(list[i].usb_serial, port->usb_serial) != 0 || port_named(port->engine, list[i].path))
			continue;
		engine_log(port->engine, LOG_INFO, "%s: this adapter is now %s", port->name, list[i].path);
		snprintf(port->path, sizeof(port->path), "%s", list[i].path);
	}
	port_open(port);
}

static void on_timer(uv_timer_t *timer)
{
	struct port *port = timer->data;
	uint64_t now = now_of(port);

	if (!port->link) {
		port_open(port);
		return;
	}
	if (port->detect)
		detect_tick(port->detect, now);
	else if (port->session)
		session_tick(port->session, now);
	advance(port);
}

static void schedule(struct port *port)
{
	uint64_t now = now_of(port), deadline = UINT64_MAX;

	if (port->replay)
		return;
	if (!port->link)
		deadline = port->retry_ms;
	else if (port->detect)
		deadline = detect_deadline(port->detect);
	else if (port->session)
		deadline = session_deadline(port->session);
	if (deadline == UINT64_MAX) {
		uv_timer_stop(port->timer);
		return;
	}
	uv_update_time(port->engine->loop);
	uv_timer_start(port->timer, on_timer, deadline > now ? deadline - now : 0, 0);
}

void port_wake(struct port *port)
{
	if (!port->replay)
		uv_timer_start(port->timer, on_timer, 0, 0);
}

/* ---- life ---- */

struct port *port_new(struct engine *e, const char *name)
{
	struct port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->engine = e;
	port->id = ++e->next_port_id;
	port->state = PORT_ABSENT;
	port->detected_s = NAN;
	snprintf(port->name, sizeof(port->name), "%s", name);
	snprintf(port->path, sizeof(port->path), "%s", name);
	port->timer = timer_new(e->loop, port);
	if (!port->timer) {
		free(port);
		return NULL;
	}
	return port;
}

void port_free(struct port *port)
{
	close_link(port);
	end_detection(port);
	end_session(port, "bmscope ends");
	timer_free(port->timer);
	free(port->attempt);
	free(port);
}

void port_fill_view(const struct port *port, struct port_view *v)
{
	*v = (struct port_view){
		.id = port->id,
		.state = port->state,
		.error_code = port->error_code,
		.line = port->line,
		.protocol = port->protocol,
		.stats = port->stats,
		.detected_s = port->detected_s,
		.attempt = port->attempt,
		.attempt_count = port->attempt_count,
	};
	snprintf(v->name, sizeof(v->name), "%s", port->name);
	snprintf(v->description, sizeof(v->description), "%s", port->description);
	snprintf(v->error, sizeof(v->error), "%s", port->error);
	if (port->session) {
		v->packs = session_packs(port->session);
		v->listening = port->listening;
		v->searching = session_searching(port->session, now_of(port));
	}
	if (port->detect) {
		v->progress = detect_progress(port->detect, now_of(port));
		v->sweeps = detect_sweeps(port->detect);
		v->attempt_count = detect_attempts(port->detect, &v->attempt);
	}
}
