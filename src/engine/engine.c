/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The engine: holds ports and packs, tells observers. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/internal.h"
#include "links/can.h"
#include "links/serial.h"

enum { TICK_MS = 1000 };

double wall_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

uint64_t engine_now_ms(const struct engine *e)
{
	/* Never 0, which stands for "not yet" everywhere. */
	return (uv_hrtime() - e->start_ns) / 1000000 + 1;
}

uint32_t engine_poll_ms(const struct engine *e)
{
	double s = e->options.poll_s;

	if (!(s > 0))
		s = e->config.poll_interval;
	return s > 0 ? (uint32_t)(s * 1000) : 1000;
}

/* ---- timers ---- */

uv_timer_t *timer_new(uv_loop_t *loop, void *data)
{
	uv_timer_t *t = malloc(sizeof(*t));

	if (!t)
		return NULL;
	uv_timer_init(loop, t);
	t->data = data;
	return t;
}

static void free_timer(uv_handle_t *handle)
{
	free(handle);
}

void timer_free(uv_timer_t *timer)
{
	if (timer)
		uv_close((uv_handle_t *)timer, free_timer);
}

/* ---- telling ---- */

void engine_observe(struct engine *e, struct observer *observer)
{
	observer->next = e->observers;
	e->observers = observer;
}

void engine_unobserve(struct engine *e, struct observer *observer)
{
	for (struct observer **o = &e->observers; *o; o = &(*o)->next) {
		if (*o == observer) {
			*o = observer->next;
			return;
		}
	}
}

void engine_show_pack(struct engine *e, struct pack *p)
{
	p->snap.seq = ++e->next_seq;
	for (struct observer *o = e->observers, *next; o; o = next) {
		next = o->next;
		if (o->pack)
			o->pack(o->ctx, &p->snap);
	}
}

void engine_show_port(struct engine *e, struct port *port)
{
	struct port_view v;

	port_fill_view(port, &v);
	for (struct observer *o = e->observers, *next; o; o = next) {
		next = o->next;
		if (o->port)
			o->port(o->ctx, &v);
	}
}

void engine_traffic(struct engine *e, struct port *port, enum traffic_kind kind, struct bytes b, const char *note)
{
	recorder_write(e->recorder, e, port, kind, b, note);
	for (struct observer *o = e->observers, *next; o; o = next) {
		struct traffic t = {engine_now_ms(e), 0, port->id, port->name, port_link(port), kind, b, note};

		next = o->next;
		if (!o->traffic)
			continue;
		t.wall = wall_now();
		o->traffic(o->ctx, &t);
	}
}

void engine_log(struct engine *e, enum log_level level, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (struct observer *o = e->observers, *next; o; o = next) {
		next = o->next;
		if (o->log)
			o->log(o->ctx, level, wall_now(), text);
	}
}

/* ---- ports ---- */

struct port *port_named(const struct engine *e, const char *name)
{
	char want[4096], have[4096];

	if (!realpath(name, want))
		snprintf(want, sizeof(want), "%s", name);
	for (unsigned i = 0; i < e->port_count; i++) {
		if (!strcmp(e->port[i]->name, name))
			return e->port[i];
		if (!realpath(e->port[i]->path, have))
			snprintf(have, sizeof(have), "%s", e->port[i]->path);
		if (!strcmp(want, have))
			return e->port[i];
	}
	return NULL;
}

static int add_port(struct engine *e, const char *name, bool automatic)
{
	struct port *port = port_named(e, name);

	if (port)
		return (int)port->id;
	if (strlen(name) >= PORT_NAME)
		return -ENAMETOOLONG;
	if (e->port_count == MAX_PORTS)
		return -ENOSPC;
	port = port_new(e, name);
	if (!port)
		return -ENOMEM;
	port->automatic = automatic;
	e->port[e->port_count++] = port;
	port_open(port);
	return (int)port->id;
}

static void devices_changed(void *ctx)
{
	struct engine *e = ctx;

	for (unsigned i = 0; i < e->port_count; i++)
		port_devices_changed(e->port[i]);
	if (e->all_ports)
		engine_add_all_ports(e);
}

static void watch_devices(struct engine *e)
{
	int error;

	if (!e->watch)
		e->watch = serial_watch_new(e->loop, devices_changed, e, &error);
}

int engine_add_port(struct engine *e, const char *name)
{
	watch_devices(e);
	return add_port(e, name, false);
}

/* Is it one of these, separated by commas and blanks? */
static bool listed(const char *names, const char *name)
{
	char list[CONFIG_MAX_TEXT];
	char *save = NULL;

	snprintf(list, sizeof(list), "%s", names);
	for (char *n = strtok_r(list, ", ", &save); n; n = strtok_r(NULL, ", ", &save))
		if (!strcmp(n, name))
			return true;
	return false;
}

static bool excluded(const struct engine *e, const char *path)
{
	return listed(e->config.excluded_devices, path);
}

/* Those of CAN_PORT, else all that are up, or may be brought up. Returns how many. */
static unsigned add_can_interfaces(struct engine *e)
{
	struct can_interface list[16];
	unsigned n = can_list(list, 16), count = 0;
	const char *wanted = e->config.can_port;

	for (unsigned i = 0; i < n && i < 16; i++) {
		bool chosen = wanted[0] ? listed(wanted, list[i].name) : list[i].up || e->options.can_up;

		if (!chosen || excluded(e, list[i].name))
			continue;
		count++;
		add_port(e, list[i].name, true);
	}
	return count;
}

/* Has an absent port's adapter come back under this name? Then it is no new port. (Some adapters all
 * bear the same serial number: one that is still at its place is another one.) */
static bool returned_adapter(const struct engine *e, const struct serial_port *sp)
{
	for (unsigned i = 0; sp->usb_serial[0] && i < e->port_count; i++)
		if (e->port[i]->state == PORT_ABSENT && !strcmp(e->port[i]->usb_serial, sp->usb_serial))
			return true;
	return false;
}

unsigned engine_add_all_ports(struct engine *e)
{
	struct serial_port list[64];
	unsigned n = serial_list(list, 64), count = 0;

	e->all_ports = true;
	watch_devices(e);
	for (unsigned i = 0; i < n && i < 64; i++) {
		if (excluded(e, list[i].path))
			continue;
		count++;
		if (!returned_adapter(e, &list[i]))
			add_port(e, list[i].path, true);
	}
	return count + add_can_interfaces(e);
}

unsigned engine_ports(const struct engine *e)
{
	return e->port_count;
}

bool engine_port(const struct engine *e, unsigned i, struct port_view *out)
{
	if (i >= e->port_count)
		return false;
	port_fill_view(e->port[i], out);
	return true;
}

unsigned engine_packs(const struct engine *e)
{
	return e->pack_count;
}

const struct snapshot *engine_pack(const struct engine *e, unsigned i)
{
	return i < e->pack_count ? &e->pack[i]->snap : NULL;
}

const struct snapshot *engine_pack_by_id(const struct engine *e, unsigned id)
{
	for (unsigned i = 0; i < e->pack_count; i++)
		if (e->pack[i]->snap.id == id)
			return &e->pack[i]->snap;
	return NULL;
}

/* ---- life ---- */

static void on_tick(uv_timer_t *timer)
{
	struct engine *e = timer->data;

	for (unsigned i = e->pack_count; i-- > 0;)
		pack_tick(e->pack[i]);
	for (unsigned i = 0; i < e->port_count; i++)
		port_tick(e->port[i]);
	if (e->all_ports) /* interfaces have no device files that could be watched */
		add_can_interfaces(e);
	recorder_flush(e);
	remember_tick(e->remembered, e);
}

static void choose_state_dir(struct engine *e)
{
	const char *given = e->options.state_dir ? e->options.state_dir : getenv("STATE_DIRECTORY");
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (given && *given)
		snprintf(e->state_dir, sizeof(e->state_dir), "%s", given);
	else if (geteuid() == 0)
		snprintf(e->state_dir, sizeof(e->state_dir), "/var/lib/bmscope");
	else if (xdg && *xdg)
		snprintf(e->state_dir, sizeof(e->state_dir), "%s/bmscope", xdg);
	else
		snprintf(e->state_dir, sizeof(e->state_dir), "%s/.local/state/bmscope", home ? home : ".");
}

struct engine *engine_new(uv_loop_t *loop, const struct engine_options *options)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->loop = loop;
	e->options = *options;
	configuration_for(options->configuration, NULL, NULL, NULL, &e->config, NULL);
	if (!e->options.protocols)
		e->options.protocols = protocols_all();
	e->start_ns = uv_hrtime();
	e->tick = timer_new(loop, e);
	e->defer_timer = timer_new(loop, e);
	if (!e->tick || !e->defer_timer) {
		timer_free(e->tick);
		timer_free(e->defer_timer);
		free(e);
		return NULL;
	}
	choose_state_dir(e);
	if (options->keep_state)
		e->remembered = remember_start(e);
	uv_timer_start(e->tick, on_tick, TICK_MS, TICK_MS);
	return e;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	remember_end(e->remembered, e);
	e->observers = NULL;
	serial_watch_free(e->watch);
	for (unsigned i = 0; i < e->port_count; i++)
		port_free(e->port[i]);
	deliver_deferred(e->defer_timer);
	for (unsigned i = 0; i < e->pack_count; i++)
		pack_free(e->pack[i]);
	replay_free(e->replay);
	sensors_free(e);
	engine_record_stop(e);
	timer_free(e->tick);
	timer_free(e->defer_timer);
	free(e);
}

const char *engine_state_dir(const struct engine *e)
{
	return e->state_dir;
}

void engine_reconfigure(struct engine *e, const struct configuration *configuration)
{
	e->options.configuration = configuration;
	configuration_for(configuration, NULL, NULL, NULL, &e->config, NULL);
	for (unsigned i = 0; i < e->pack_count; i++)
		pack_configure(e->pack[i]);
}
