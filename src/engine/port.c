/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ports: a link that comes and goes, and what is talked over it. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/internal.h"
#include "links/can.h"
#include "links/serial.h"
#include "links/spi.h"

enum {
	RETRY_ABSENT_MS = 1000, /* besides the news from /dev */
	RETRY_REFUSED_MS = 2000,
	PROGRESS_MS = 100,  /* detection shows itself at most so often */
};

static const struct line first_line = {115200, 8, 'N', 1};

static uint64_t now_of(const struct port *port)
{
	return engine_now_ms(port->engine);
}

static void schedule(struct port *port);

/* ---- which link a port has ---- */

/* By how its name begins; what begins otherwise is a serial port when it is a path, else a CAN interface. */
static const struct port_kind {
	const char *prefix;
	enum link_kind link;
	struct link *(*open)(uv_loop_t *loop, const char *name, const struct line *line, struct link_events events,
			     int *error, char *why, size_t size);
	bool chosen_only; /* a question may do harm: asked only in a protocol that the user has named */
	bool paths;	  /* every path is one, "./port" too */
} port_kinds[] = {
	{SPI_DEVICE, LINK_SPI, spi_open, true, false},
	{SPI_SIMULATED, LINK_SPI, spi_open, true, false},
	{CAN_PREFIX, LINK_CAN, can_open, false, false},
	{"", LINK_SERIAL, serial_open, false, true},
	{"", LINK_CAN, can_open, false, false},
};

static bool is_of(const struct port_kind *kind, const char *path)
{
	return !strncmp(path, kind->prefix, strlen(kind->prefix)) && (!kind->paths || strchr(path, '/'));
}

static const struct port_kind *port_kind(const struct port *port)
{
	const struct port_kind *k = port_kinds;

	while (!is_of(k, port->path))
		k++;
	return k;
}

enum link_kind port_link(const struct port *port)
{
	return port->replay ? replay_link(port->replay, port) : port_kind(port)->link;
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

void port_send(struct port *port, const struct request *request)
{
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
	if (error && error != -EBUSY) /* a CAN bus that shows errors only: its trouble text says so */
		engine_log(port->engine, LOG_WARNING, "%s: cannot send: %s", port->name, strerror(-error));
	engine_traffic(port->engine, port, TRAFFIC_SENT, b, NULL);
}

void port_set_line(struct port *port, const struct line *line)
{
	port->line = *line;
	if (!port->link)
		return;
	int error = link_set_line(port->link, line);
	if (error)
		engine_log(port->engine, LOG_WARNING, "%s: cannot set %u baud %u%c%u: %s", port->name, line->baud,
			   line->data_bits, line->parity, line->stop_bits, strerror(-error));
	recorder_note_line(port->engine->recorder, port->engine, port);
}

/* ---- talks ---- */

void port_found(struct port *port, const struct device *dev)
{
	struct engine *e = port->engine;

	port->protocol = dev->protocol;
	if (port_link(port) != LINK_CAN) { /* there nothing has to be searched in an order */
		port->known = (struct detect_hint){dev->protocol, dev->address, dev->dialect, port->line};
		remember_port(e->remembered, port);
	}
	port->detected_s = (double)(now_of(port) - port->opened_ms) / 1000;
	engine_log(e, LOG_INFO, "%s: %s found after %.2f s", port->name, dev->protocol->id, port->detected_s);
	recorder_note_protocol(e->recorder, e, port);
	port->state = PORT_RUNNING;
}

struct session *port_session(const struct port *port, const struct session_pack *sp)
{
	for (unsigned i = 0; i < port->talk_count; i++)
		if (port->talk[i].session && session_has(port->talk[i].session, sp))
			return port->talk[i].session;
	return NULL;
}

/* On a CAN bus each protocol has a talk of its own, elsewhere there is one. False: no memory. */
static bool make_talks(struct port *port)
{
	const struct protocol *found[MAX_PROTOCOLS + 1];
	unsigned n = protocols_for(port->engine, port_kind(port), found, MAX_PROTOCOLS);
	bool apart = port_link(port) == LINK_CAN;
	unsigned at = 0;

	port->talk_count = apart ? n : 1;
	port->talk = calloc(port->talk_count, sizeof(*port->talk));
	if (!port->talk) {
		port->talk_count = 0;
		return false;
	}
	for (unsigned i = 0; i < n; i++) {
		if (apart || !i)
			port->talk[apart ? i : 0] = (struct talk){.port = port, .protocols = &port->protocols[at]};
		port->protocols[at++] = found[i];
		if (apart)
			port->protocols[at++] = NULL;
	}
	if (!apart)
		port->protocols[at] = NULL;
	return true;
}

static void free_talks(struct port *port)
{
	for (unsigned i = 0; i < port->talk_count; i++)
		talk_free(&port->talk[i]);
	free(port->talk);
	port->talk = NULL;
	port->talk_count = 0;
}

static void start_talks(struct port *port)
{
	free_talks(port);
	if (!make_talks(port)) {
		engine_log(port->engine, LOG_ERROR, "%s: out of memory", port->name);
		return;
	}
	if (!port->known.protocol)
		remember_port_hint(port->engine->remembered, port);
	port->state = PORT_DETECTING;
	for (unsigned i = 0; i < port->talk_count; i++)
		talk_start(&port->talk[i]);
	engine_show_port(port->engine, port);
}

static void end_talks(struct port *port, const char *why)
{
	for (unsigned i = 0; i < port->talk_count; i++)
		talk_end(&port->talk[i], why);
}

/* The first talk that has got to a session; else NULL. */
static const struct talk *speaking(const struct port *port)
{
	for (unsigned i = 0; i < port->talk_count; i++)
		if (port->talk[i].session)
			return &port->talk[i];
	return NULL;
}

/* The one whose search people want to see: that asks, or else the first that searches. */
static const struct talk *searching(const struct port *port)
{
	const struct talk *first = NULL;

	for (unsigned i = 0; i < port->talk_count; i++) {
		const struct talk *t = &port->talk[i];

		if (!t->detect)
			continue;
		if (t->protocols[0] && t->protocols[0]->probe_count)
			return t;
		first = first ? first : t;
	}
	return first;
}

/* ---- a CAN bus ---- */

enum { UNFILTERED_MS = 5000, MAX_RATES = 8 };

/* After a while in which everything is heard, only what some protocol wants to see: a full bus costs little then. */
static void filter_frames(struct port *port)
{
	struct can_ids ids[256];
	unsigned n = 0;

	if (port->filtered || !port->link || now_of(port) < port->opened_ms + UNFILTERED_MS)
		return;
	port->filtered = true;
	for (unsigned i = 0; i < port->talk_count; i++)
		for (const struct can_ids *h = port->talk[i].protocols[0]->hears; h && h->mask; h++) {
			if (n == sizeof(ids) / sizeof(ids[0]))
				return;
			ids[n++] = *h;
		}
	can_set_filters(port->link, ids, n);
}

/* The bit rates that the protocols of this port know, usual ones first. */
static unsigned bit_rates(const struct port *port, uint32_t out[MAX_RATES])
{
	const struct protocol *protocols[MAX_PROTOCOLS + 1];
	unsigned count = protocols_for(port->engine, port_kind(port), protocols, MAX_PROTOCOLS), n = 0;

	for (unsigned i = 0; i < count; i++)
		for (const struct line *l = protocols[i]->lines; l && l->baud && n < MAX_RATES; l++) {
			unsigned k = 0;

			while (k < n && out[k] != l->baud)
				k++;
			if (k == n)
				out[n++] = l->baud;
		}
	return n;
}

/* Nobody found with this bit rate: the next one. */
static void try_next_rate(struct port *port)
{
	uint32_t rate[MAX_RATES];
	unsigned n = bit_rates(port, rate);

	struct can_status status;

	if (!port->engine->options.can_up || n < 2 || !port->link)
		return;
	for (unsigned i = 0; i < port->talk_count; i++)
		if (port->talk[i].session || !port->talk[i].detect || !detect_sweeps(port->talk[i].detect))
			return;
	can_status(port->link, &status);
	if (!status.bitrate) /* it has none */
		return;
	port->rounds += ++port->rate % n == 0;
	port->rate %= n;
	end_talks(port, "");
	port->bus_spoke = port->filtered = false;
	can_set_filters(port->link, NULL, 0);
	port->opened_ms = now_of(port);
	port_set_line(port, &(struct line){rate[port->rate], 8, 'N', 1});
	start_talks(port);
}

/* Is it up already? Then its bit rate is somebody's choice: that one is tried first. */
static bool is_up(const char *name)
{
	struct can_interface list[16];
	unsigned n = can_list(list, 16);

	for (unsigned i = 0; i < n && i < 16; i++)
		if (!strcmp(list[i].name, name))
			return list[i].up;
	return false;
}

static bool bring_up(struct port *port, int *error, char *why, size_t size)
{
	uint32_t rate[MAX_RATES];
	unsigned n = bit_rates(port, rate);

	if (!port->engine->options.can_up || !n || is_up(port->path))
		return true;
	*error = -can_up(port->path, rate[port->rate % n], true, why, size);
	return !*error;
}

void port_tick(struct port *port)
{
	struct can_status status;

	if (port_link(port) != LINK_CAN || !port->link)
		return;
	filter_frames(port);
	can_status(port->link, &status);
	if (strcmp(status.say, port->trouble) != 0) {
		snprintf(port->trouble, sizeof(port->trouble), "%s", status.say);
		engine_log(port->engine, LOG_WARNING, "%s: %s", port->name, status.say[0] ? status.say : "the bus is well again");
		engine_traffic(port->engine, port, TRAFFIC_NOTE, (struct bytes){NULL, 0},
			       status.say[0] ? status.say : "the bus is well again");
	}
	engine_show_port(port->engine, port);
}

static void fill_bus(const struct port *port, struct port_view *v)
{
	struct can_status status;

	can_status(port->link, &status);
	v->line = (struct line){.baud = status.bitrate};
	size_t n = (size_t)snprintf(v->bus, sizeof(v->bus), "%s", can_bus_state_text(status.state));

	if (status.bitrate)
		n += (size_t)snprintf(v->bus + n, sizeof(v->bus) - n, ", %g kbit/s", status.bitrate / 1000.0);
	if (!isnan(status.load))
		n += (size_t)snprintf(v->bus + n, sizeof(v->bus) - n, ", load %.0f %%", status.load * 100);
	if (status.has_errors)
		n += (size_t)snprintf(v->bus + n, sizeof(v->bus) - n, ", errors tx %u rx %u", status.tx_errors,
				      status.rx_errors);
	if (status.lost && n < sizeof(v->bus))
		snprintf(v->bus + n, sizeof(v->bus) - n, ", %llu lost", (unsigned long long)status.lost);
	snprintf(v->trouble, sizeof(v->trouble), "%s", status.say);
}

/* ---- states ---- */

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
	end_talks(port, say);
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

	for (unsigned i = 0; i < port->talk_count; i++)
		talk_advance(&port->talk[i]);
	port->state = speaking(port) ? PORT_RUNNING : PORT_DETECTING;
	if (port_link(port) == LINK_CAN)
		try_next_rate(port);
	if (port->state == PORT_DETECTING && now >= port->shown_ms + PROGRESS_MS) {
		port->shown_ms = now;
		engine_show_port(port->engine, port);
	}
	schedule(port);
}

static void link_received(void *ctx, struct bytes b)
{
	struct port *port = ctx;

	engine_traffic(port->engine, port, TRAFFIC_RECEIVED, b, NULL);
	port->bus_spoke = true;
	for (unsigned i = 0; i < port->talk_count; i++)
		talk_receive(&port->talk[i], b);
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

	if (protocols_for(port->engine, kind, protocols, MAX_PROTOCOLS)) {
		if (kind->link == LINK_CAN && !bring_up(port, error, why, size))
			return NULL;
		struct link *link = kind->open(port->engine->loop, port->path, &first_line, events, error, why, size);

		if (link && kind->link == LINK_CAN)
			can_allow_bitrate(link, port->engine->options.can_up);
		return link;
	}
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
	port->bus_spoke = port->filtered = false;
	port->opened_ms = now_of(port);
	port->detected_s = NAN;
	learn_description(port);
	engine_traffic(e, port, TRAFFIC_NOTE, (struct bytes){NULL, 0}, "opened");
	start_talks(port);
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
		snprintf(port->path, sizeof(port->path), "%.*s", (int)sizeof(port->path) - 1, list[i].path);
	}
	port_open(port);
}

static void on_timer(uv_timer_t *timer)
{
	struct port *port = timer->data;

	if (!port->link) {
		port_open(port);
		return;
	}
	for (unsigned i = 0; i < port->talk_count; i++)
		talk_tick(&port->talk[i]);
	advance(port);
}

static void schedule(struct port *port)
{
	uint64_t now = now_of(port), deadline = UINT64_MAX;

	if (port->replay)
		return;
	if (!port->link)
		deadline = port->retry_ms;
	for (unsigned i = 0; port->link && i < port->talk_count; i++) {
		uint64_t due = talk_deadline(&port->talk[i]);

		deadline = due < deadline ? due : deadline;
	}
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
	end_talks(port, "bmscope ends");
	free_talks(port);
	timer_free(port->timer);
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
	};
	const struct talk *search = searching(port);

	v->link = port_link(port);
	if (port->link && v->link == LINK_CAN)
		fill_bus(port, v);

	snprintf(v->name, sizeof(v->name), "%s", port->name);
	snprintf(v->description, sizeof(v->description), "%s", port->description);
	snprintf(v->error, sizeof(v->error), "%s", port->error);
	for (unsigned i = 0; i < port->talk_count; i++) {
		const struct talk *t = &port->talk[i];

		if (t->session) {
			v->packs += session_wanted(t->session);
			v->listening = v->listening || t->listening;
			v->searching = v->searching || session_searching(t->session, now_of(port));
		} else if (port->talk_count > 1) {
			v->searching = v->searching || talk_searches(t);
		}
		if (t->attempt_count && !v->attempt_count) {
			v->attempt = t->attempt;
			v->attempt_count = t->attempt_count;
		}
	}
	if (search && !speaking(port)) {
		v->progress = detect_progress(search->detect, now_of(port));
		v->sweeps = UINT_MAX;
		for (unsigned i = 0; i < port->talk_count; i++)
			if (port->talk[i].detect && detect_sweeps(port->talk[i].detect) < v->sweeps)
				v->sweeps = detect_sweeps(port->talk[i].detect);
		v->sweeps += port->rounds;
		v->attempt_count = detect_attempts(search->detect, &v->attempt);
	}
}
