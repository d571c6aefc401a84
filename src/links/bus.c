/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "links/bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_WATCHES = 8,
	TURN_MESSAGES = 50,	    /* dispatched before the loop gets its turn */
	TURN_NS = 2000000,	    /* and so long at most, all connections together */
	INCOMING_MAX = 1024 * 1024, /* beyond it the bus has to wait */
	RETRY_FIRST_MS = 500,
	RETRY_LAST_MS = 30000,
};

enum bus_state { BUS_DOWN, BUS_DIALLING, BUS_UP };

struct bus_hub {
	uv_loop_t *loop;
	char *address;
	struct say say;
	struct bus *connections;
	uv_timer_t *retry;
	unsigned failures; /* attempts in a row that came to nothing */
	uint64_t turn;	   /* uv_now() of the loop's turn that turn_end belongs to */
	uint64_t turn_end;
};

/* A method call under way. */
struct bus_pending {
	struct bus *bus;
	DBusPendingCall *call;
	void (*reply)(void *ctx, DBusMessage *reply);
	void *ctx;
	void (*ctx_free)(void *ctx);
	struct bus_pending *next;
};

struct bus {
	struct bus_hub *hub;
	struct bus_events events;
	enum bus_state state;
	DBusConnection *c;
	DBusWatch *watch[MAX_WATCHES];
	unsigned watch_count;
	uv_poll_t *poll; /* libdbus has two watches on one descriptor, libuv wants one handle */
	uv_idle_t *idle; /* runs while there is something to dispatch */
	bool lost;	 /* the Disconnected signal has come */
	bool held;	 /* not dispatching: too much lies unsent */
	struct bus_pending *pending;
	struct bus *next;
};

static void hub_dial(struct bus_hub *hub);

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

static void close_handle(void *handle)
{
	if (handle)
		uv_close(handle, free_handle);
}

/* ---- where the bus is ---- */

static bool choose_address(const char *which, char *out, size_t size, char *why, size_t why_size)
{
	const char *session = getenv("DBUS_SESSION_BUS_ADDRESS"), *system = getenv("DBUS_SYSTEM_BUS_ADDRESS");
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	bool have_session = session && *session;
	int n;

	if (!which)
		which = have_session ? "session" : "system";
	if (!strcmp(which, "system"))
		n = snprintf(out, size, "%s", system && *system ? system : "unix:path=/var/run/dbus/system_bus_socket");
	else if (strcmp(which, "session") != 0)
		n = snprintf(out, size, "%s", which);
	else if (have_session)
		n = snprintf(out, size, "%s", session);
	else if (runtime && *runtime)
		n = snprintf(out, size, "unix:path=%s/bus", runtime);
	else {
		snprintf(why, why_size, "there is no session bus: DBUS_SESSION_BUS_ADDRESS is not set");
		return false;
	}
	if (n < 0 || (size_t)n >= size) {
		snprintf(why, why_size, "the address of the bus is too long");
		return false;
	}
	return true;
}

bool bus_address(const char *which, char *out, size_t size, char *why, size_t why_size)
{
	DBusAddressEntry **entries;
	DBusError error;
	int n;

	if (!choose_address(which, out, size, why, why_size))
		return false;
	dbus_error_init(&error);
	if (!dbus_parse_address(out, &entries, &n, &error)) {
		snprintf(why, why_size, "\"%s\" is no D-Bus address: %s; possible: system, session, unix:path=...", out,
			 error.message);
		dbus_error_free(&error);
		return false;
	}
	/* It would start a bus of its own, and wait for that. */
	bool starts = n > 0 && !strcmp(dbus_address_entry_get_method(entries[0]), "autolaunch");
	dbus_address_entries_free(entries);
	if (starts)
		snprintf(why, why_size, "\"%s\": a bus is not started, only joined", out);
	return !starts;
}

/* ---- the descriptor ---- */

static void start_dispatch(struct bus *b);

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct bus *b = handle->data;
	unsigned ready = 0;

	if (status < 0)
		ready = DBUS_WATCH_ERROR | DBUS_WATCH_HANGUP;
	if (events & UV_READABLE)
		ready |= DBUS_WATCH_READABLE;
	if (events & UV_WRITABLE)
		ready |= DBUS_WATCH_WRITABLE;
	/* Each call may add, remove or toggle watches. */
	for (unsigned i = 0; i < b->watch_count; i++) {
		DBusWatch *w = b->watch[i];
		unsigned own = ready & (dbus_watch_get_flags(w) | DBUS_WATCH_ERROR | DBUS_WATCH_HANGUP);

		if (own && dbus_watch_get_enabled(w))
			dbus_watch_handle(w, own);
	}
	start_dispatch(b);
}

/* Lets the one handle wait for whatever the enabled watches want. */
static void arm_poll(struct bus *b)
{
	int events = 0;

	for (unsigned i = 0; i < b->watch_count; i++) {
		unsigned flags = dbus_watch_get_enabled(b->watch[i]) ? dbus_watch_get_flags(b->watch[i]) : 0;

		events |= flags & DBUS_WATCH_READABLE ? UV_READABLE : 0;
		events |= flags & DBUS_WATCH_WRITABLE ? UV_WRITABLE : 0;
	}
	if (!b->poll)
		return;
	if (events)
		uv_poll_start(b->poll, events, on_poll);
	else
		uv_poll_stop(b->poll);
}

static bool open_poll(struct bus *b, int fd)
{
	uv_poll_t *poll = malloc(sizeof(*poll));

	if (!poll)
		return false;
	if (uv_poll_init(b->hub->loop, poll, fd)) {
		free(poll);
		return false;
	}
	poll->data = b;
	b->poll = poll;
	return true;
}

static dbus_bool_t add_watch(DBusWatch *w, void *data)
{
	struct bus *b = data;

	if (b->watch_count == MAX_WATCHES)
		return FALSE;
	if (!b->poll && !open_poll(b, dbus_watch_get_unix_fd(w)))
		return FALSE;
	b->watch[b->watch_count++] = w;
	arm_poll(b);
	return TRUE;
}

/* Comes before libdbus closes the descriptor. */
static void remove_watch(DBusWatch *w, void *data)
{
	struct bus *b = data;
	unsigned i = 0;

	while (i < b->watch_count && b->watch[i] != w)
		i++;
	if (i == b->watch_count)
		return;
	b->watch[i] = b->watch[--b->watch_count];
	if (b->watch_count) {
		arm_poll(b);
		return;
	}
	close_handle(b->poll);
	b->poll = NULL;
}

static void toggle_watch(DBusWatch *w, void *data)
{
	(void)w;
	arm_poll(data);
}

/* ---- time ---- */

static void on_timeout(uv_timer_t *timer)
{
	dbus_timeout_handle(timer->data);
}

static void arm_timeout(DBusTimeout *t)
{
	uv_timer_t *timer = dbus_timeout_get_data(t);
	uint64_t ms = (uint64_t)dbus_timeout_get_interval(t);

	if (dbus_timeout_get_enabled(t))
		uv_timer_start(timer, on_timeout, ms, ms ? ms : 1);
	else
		uv_timer_stop(timer);
}

static dbus_bool_t add_timeout(DBusTimeout *t, void *data)
{
	struct bus *b = data;
	uv_timer_t *timer = malloc(sizeof(*timer));

	if (!timer)
		return FALSE;
	uv_timer_init(b->hub->loop, timer);
	timer->data = t;
	dbus_timeout_set_data(t, timer, NULL);
	arm_timeout(t);
	return TRUE;
}

static void remove_timeout(DBusTimeout *t, void *data)
{
	(void)data;
	close_handle(dbus_timeout_get_data(t));
	dbus_timeout_set_data(t, NULL, NULL);
}

static void toggle_timeout(DBusTimeout *t, void *data)
{
	(void)data;
	arm_timeout(t);
}

/* ---- dispatching ---- */

static bool stuck(const struct bus *b)
{
	return dbus_connection_get_is_connected(b->c) && dbus_connection_get_outgoing_size(b->c) > BUS_OUTGOING_MAX;
}

static void lose(struct bus *b);

/* When dispatching has to end in this turn of the loop. */
static uint64_t turn_end(struct bus_hub *hub)
{
	uint64_t turn = uv_now(hub->loop);

	if (turn != hub->turn || !hub->turn_end) {
		hub->turn = turn;
		hub->turn_end = uv_hrtime() + TURN_NS;
	}
	return hub->turn_end;
}

/* Every connection gets at least one message through, however busy the others are. */
static void on_idle(uv_idle_t *idle)
{
	struct bus *b = idle->data;
	uint64_t until = turn_end(b->hub);
	DBusDispatchStatus status = DBUS_DISPATCH_DATA_REMAINS;
	int n = 0;

	do {
		b->held = stuck(b);
		if (b->held)
			break;
		status = dbus_connection_dispatch(b->c);
	} while (++n < TURN_MESSAGES && status == DBUS_DISPATCH_DATA_REMAINS && uv_hrtime() < until);
	if (status == DBUS_DISPATCH_COMPLETE || b->held)
		uv_idle_stop(idle);
	if (b->lost)
		lose(b);
}

static void start_dispatch(struct bus *b)
{
	if (b->held && stuck(b))
		return;
	b->held = false;
	uv_idle_start(b->idle, on_idle);
}

/* Never dispatches by itself: this comes from inside libdbus. */
static void on_dispatch_status(DBusConnection *c, DBusDispatchStatus status, void *data)
{
	(void)c;
	if (status == DBUS_DISPATCH_DATA_REMAINS)
		start_dispatch(data);
}

static DBusHandlerResult on_message(DBusConnection *c, DBusMessage *m, void *data)
{
	struct bus *b = data;

	(void)c;
	if (dbus_message_is_signal(m, DBUS_INTERFACE_LOCAL, "Disconnected")) {
		b->lost = true;
		return DBUS_HANDLER_RESULT_HANDLED;
	}
	return DBUS_HANDLER_RESULT_NOT_YET_HANDLED;
}

static DBusHandlerResult on_call(DBusConnection *c, DBusMessage *m, void *data)
{
	struct bus *b = data;

	if (dbus_message_get_type(m) != DBUS_MESSAGE_TYPE_METHOD_CALL || !b->events.call)
		return DBUS_HANDLER_RESULT_NOT_YET_HANDLED;
	DBusMessage *reply = b->events.call(b->events.ctx, m);
	if (reply && !dbus_message_get_no_reply(m))
		dbus_connection_send(c, reply, NULL);
	if (reply)
		dbus_message_unref(reply);
	return DBUS_HANDLER_RESULT_HANDLED;
}

/* ---- method calls of our own ---- */

static void free_pending(struct bus_pending *p)
{
	dbus_pending_call_cancel(p->call);
	dbus_pending_call_unref(p->call);
	if (p->ctx_free)
		p->ctx_free(p->ctx);
	free(p);
}

static void on_reply(DBusPendingCall *call, void *data)
{
	struct bus_pending *p = data;
	DBusMessage *reply = dbus_pending_call_steal_reply(call);

	for (struct bus_pending **q = &p->bus->pending; *q; q = &(*q)->next) {
		if (*q == p) {
			*q = p->next;
			break;
		}
	}
	/* What libdbus answers by itself when the connection ends is no reply. */
	if (dbus_connection_get_is_connected(p->bus->c))
		p->reply(p->ctx, reply);
	dbus_message_unref(reply);
	free_pending(p);
}

static bool call(struct bus *b, DBusMessage *m, int timeout_ms, struct bus_pending pending)
{
	struct bus_pending *p = malloc(sizeof(*p));
	DBusPendingCall *pc = NULL;

	if (!p)
		return false;
	if (!dbus_connection_send_with_reply(b->c, m, &pc, timeout_ms) || !pc) {
		free(p);
		return false;
	}
	*p = pending;
	p->bus = b;
	p->call = pc;
	if (!dbus_pending_call_set_notify(pc, on_reply, p, NULL)) {
		dbus_pending_call_cancel(pc);
		dbus_pending_call_unref(pc);
		free(p);
		return false;
	}
	p->next = b->pending;
	b->pending = p;
	return true;
}

bool bus_call(struct bus *b, DBusMessage *m, int timeout_ms, void (*reply)(void *ctx, DBusMessage *reply), void *ctx,
	      void (*ctx_free)(void *ctx))
{
	return bus_ready(b) &&
	       call(b, m, timeout_ms, (struct bus_pending){.reply = reply, .ctx = ctx, .ctx_free = ctx_free});
}

bool bus_ready(const struct bus *b)
{
	return b->state == BUS_UP && !b->lost && !stuck(b);
}

bool bus_send(struct bus *b, DBusMessage *m)
{
	return bus_ready(b) && dbus_connection_send(b->c, m, NULL);
}

/* ---- coming and going ---- */

/* Ends the connection without a word. */
static void hang_up(struct bus *b)
{
	while (b->pending) {
		struct bus_pending *p = b->pending;

		b->pending = p->next;
		free_pending(p);
	}
	if (!b->c)
		return;
	uv_idle_stop(b->idle);
	dbus_connection_set_dispatch_status_function(b->c, NULL, NULL, NULL);
	dbus_connection_close(b->c);
	dbus_connection_set_watch_functions(b->c, NULL, NULL, NULL, NULL, NULL);
	dbus_connection_set_timeout_functions(b->c, NULL, NULL, NULL, NULL, NULL);
	dbus_connection_unref(b->c);
	b->c = NULL;
	b->lost = b->held = false;
	b->state = BUS_DOWN;
}

static void on_retry(uv_timer_t *timer)
{
	hub_dial(timer->data);
}

static void hub_retry_later(struct bus_hub *hub)
{
	uint64_t ms = RETRY_FIRST_MS;

	for (unsigned i = 0; i < hub->failures && ms < RETRY_LAST_MS; i++)
		ms *= 2;
	hub->failures++;
	uv_timer_start(hub->retry, on_retry, ms < RETRY_LAST_MS ? ms : RETRY_LAST_MS, 0);
}

static void lose(struct bus *b)
{
	struct bus_hub *hub = b->hub;
	bool was_up = b->state == BUS_UP;

	hang_up(b);
	if (was_up && b->events.down)
		b->events.down(b->events.ctx);
	/* All connections go together when the bus goes: that is told once. */
	if (uv_is_active((uv_handle_t *)hub->retry))
		return;
	if (was_up)
		say_log(&hub->say, LOG_ERROR, "D-Bus: the bus has gone; trying again");
	else if (!hub->failures)
		say_log(&hub->say, LOG_ERROR, "D-Bus: the bus did not let us in; trying again");
	hub_retry_later(hub);
}

/* The bus has told our name: we are in. */
static void on_hello(void *ctx, DBusMessage *reply)
{
	struct bus *b = ctx;
	struct bus_hub *hub = b->hub;
	const char *name;

	if (dbus_message_get_type(reply) == DBUS_MESSAGE_TYPE_ERROR ||
	    !dbus_message_get_args(reply, NULL, DBUS_TYPE_STRING, &name, DBUS_TYPE_INVALID) ||
	    !dbus_bus_set_unique_name(b->c, name)) {
		b->lost = true; /* taken up when this turn of dispatching ends */
		return;
	}
	b->state = BUS_UP;
	if (hub->failures)
		say_log(&hub->say, LOG_INFO, "D-Bus: connected");
	hub->failures = 0;
	if (b->events.up)
		b->events.up(b->events.ctx);
	hub_dial(hub);
}

static bool say_hello(struct bus *b)
{
	DBusMessage *m = dbus_message_new_method_call(DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, "Hello");
	bool sent = m && call(b, m, DBUS_TIMEOUT_INFINITE, (struct bus_pending){.reply = on_hello, .ctx = b});

	if (m)
		dbus_message_unref(m);
	return sent;
}

static bool prepare(struct bus *b)
{
	static const DBusObjectPathVTable objects = {.message_function = on_call};

	dbus_connection_set_exit_on_disconnect(b->c, FALSE);
	dbus_connection_set_max_received_size(b->c, INCOMING_MAX);
	dbus_connection_set_dispatch_status_function(b->c, on_dispatch_status, b, NULL);
	return dbus_connection_set_watch_functions(b->c, add_watch, remove_watch, toggle_watch, b, NULL) &&
	       dbus_connection_set_timeout_functions(b->c, add_timeout, remove_timeout, toggle_timeout, b, NULL) &&
	       dbus_connection_add_filter(b->c, on_message, b, NULL) &&
	       dbus_connection_register_fallback(b->c, "/", &objects, b) && say_hello(b);
}

/* False: it came to nothing; why is told once. */
static bool dial(struct bus *b)
{
	struct bus_hub *hub = b->hub;
	DBusError error;

	dbus_error_init(&error);
	b->c = dbus_connection_open_private(hub->address, &error);
	if (!b->c) {
		if (!hub->failures)
			say_log(&hub->say, LOG_ERROR, "D-Bus: cannot reach the bus at %s: %s; trying again",
				hub->address, error.message);
		dbus_error_free(&error);
		return false;
	}
	b->state = BUS_DIALLING;
	if (!prepare(b)) {
		hang_up(b);
		return false;
	}
	start_dispatch(b);
	return true;
}

/* Lets the next connection in, if none is on its way and it is not too early. */
static void hub_dial(struct bus_hub *hub)
{
	struct bus *next = NULL;

	for (struct bus *b = hub->connections; b; b = b->next) {
		if (b->state == BUS_DIALLING)
			return;
		if (b->state == BUS_DOWN)
			next = b; /* the one that has been there longest: new ones come first in the list */
	}
	if (next && !uv_is_active((uv_handle_t *)hub->retry) && !dial(next))
		hub_retry_later(hub);
}

struct bus_hub *bus_hub_new(uv_loop_t *loop, const char *address, struct say say)
{
	struct bus_hub *hub = calloc(1, sizeof(*hub));

	if (!hub)
		return NULL;
	hub->loop = loop;
	hub->say = say;
	hub->address = strdup(address);
	hub->retry = malloc(sizeof(*hub->retry));
	if (!hub->address || !hub->retry) {
		free(hub->address);
		free(hub->retry);
		free(hub);
		return NULL;
	}
	uv_timer_init(loop, hub->retry);
	hub->retry->data = hub;
	return hub;
}

void bus_hub_free(struct bus_hub *hub)
{
	if (!hub)
		return;
	close_handle(hub->retry);
	free(hub->address);
	free(hub);
}

struct bus *bus_new(struct bus_hub *hub, struct bus_events events)
{
	struct bus *b = calloc(1, sizeof(*b));
	uv_idle_t *idle = malloc(sizeof(*idle));

	if (!b || !idle) {
		free(b);
		free(idle);
		return NULL;
	}
	b->hub = hub;
	b->events = events;
	uv_idle_init(hub->loop, idle);
	idle->data = b;
	b->idle = idle;
	b->next = hub->connections;
	hub->connections = b;
	hub_dial(hub);
	return b;
}

void bus_free(struct bus *b)
{
	if (!b)
		return;
	for (struct bus **p = &b->hub->connections; *p; p = &(*p)->next) {
		if (*p == b) {
			*p = b->next;
			break;
		}
	}
	hang_up(b);
	close_handle(b->idle);
	hub_dial(b->hub);
	free(b);
}
