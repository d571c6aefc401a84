/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dbus/sensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "links/bus.h"
#include "dbus/busitem.h"

enum { ASK_MS = 1000, ANSWER_MS = 3000 };

struct sensors {
	uv_loop_t *loop;
	struct engine *engine;
	struct observer observer;
	char which[512];
	bool hopeless; /* there can be no such bus; said once */
	struct bus_hub *hub;
	struct bus *bus;
	uv_timer_t *timer; /* runs while a battery wants a sensor */
};

/* A question on its way. */
struct question {
	struct engine *engine;
	char service[CONFIG_MAX_TEXT], path[CONFIG_MAX_TEXT];
};

static void say_log_engine(void *ctx, enum log_level level, const char *text)
{
	engine_log(ctx, level, "%s", text);
}

static const struct config *config_with_sensor(const struct sensors *s, const struct snapshot *pack)
{
	const struct config *c = engine_pack_config(s->engine, pack->id);

	return c && c->external_sensor_dbus_device[0] ? c : NULL;
}

static void on_reply(void *ctx, DBusMessage *reply)
{
	const struct question *q = ctx;

	engine_tell_sensor(q->engine, q->service, q->path, busitem_number(reply));
}

static void ask(struct sensors *s, const char *service, const char *path)
{
	struct question *q = *path ? calloc(1, sizeof(*q)) : NULL;
	DBusMessage *m = q ? busitem_get_value(service, path) : NULL;

	if (q) {
		q->engine = s->engine;
		memcpy(q->service, service, strlen(service) + 1);
		memcpy(q->path, path, strlen(path) + 1);
	}
	if (!m || !bus_call(s->bus, m, ANSWER_MS, on_reply, q, free))
		free(q);
	if (m)
		dbus_message_unref(m);
}

/* Batteries that share a sensor share the question. */
static bool asked_before(const struct sensors *s, unsigned n, const struct config *c)
{
	for (unsigned i = 0; i < n; i++) {
		const struct config *o = config_with_sensor(s, engine_pack(s->engine, i));

		if (o && !strcmp(o->external_sensor_dbus_device, c->external_sensor_dbus_device) &&
		    !strcmp(o->external_sensor_dbus_path_current, c->external_sensor_dbus_path_current) &&
		    !strcmp(o->external_sensor_dbus_path_soc, c->external_sensor_dbus_path_soc))
			return true;
	}
	return false;
}

static void on_timer(uv_timer_t *timer)
{
	struct sensors *s = timer->data;
	bool wanted = false;

	for (unsigned i = 0; i < engine_packs(s->engine); i++) {
		const struct config *c = config_with_sensor(s, engine_pack(s->engine, i));

		if (!c)
			continue;
		wanted = true;
		if (!bus_ready(s->bus) || asked_before(s, i, c))
			continue;
		ask(s, c->external_sensor_dbus_device, c->external_sensor_dbus_path_current);
		ask(s, c->external_sensor_dbus_device, c->external_sensor_dbus_path_soc);
	}
	if (!wanted)
		uv_timer_stop(timer);
}

static void connect_bus(struct sensors *s)
{
	struct say say = {say_log_engine, s->engine};
	char address[512], why[256] = "no memory";

	if (bus_address(s->which[0] ? s->which : NULL, address, sizeof(address), why, sizeof(why)))
		s->hub = bus_hub_new(s->loop, address, say);
	s->bus = s->hub ? bus_new(s->hub, (struct bus_events){.ctx = s}) : NULL;
	s->hopeless = !s->bus;
	if (s->hopeless)
		engine_log(s->engine, LOG_ERROR, "EXTERNAL_SENSOR_DBUS_DEVICE: %s", why);
}

static void on_pack(void *ctx, const struct snapshot *pack)
{
	struct sensors *s = ctx;

	if (s->hopeless || uv_is_active((uv_handle_t *)s->timer) || !config_with_sensor(s, pack))
		return;
	if (!s->bus)
		connect_bus(s);
	if (s->bus)
		uv_timer_start(s->timer, on_timer, 0, ASK_MS);
}

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

struct sensors *sensors_new(uv_loop_t *loop, struct engine *e, const char *which)
{
	struct sensors *s = calloc(1, sizeof(*s));
	uv_timer_t *timer = calloc(1, sizeof(*timer));

	if (!s || !timer || (which && strlen(which) >= sizeof(s->which))) {
		free(s);
		free(timer);
		return NULL;
	}
	s->loop = loop;
	s->engine = e;
	if (which)
		strcpy(s->which, which);
	uv_timer_init(loop, timer);
	timer->data = s;
	s->timer = timer;
	s->observer = (struct observer){.pack = on_pack, .ctx = s};
	engine_observe(e, &s->observer);
	return s;
}

void sensors_close(struct sensors *s)
{
	if (!s)
		return;
	engine_unobserve(s->engine, &s->observer);
	uv_timer_stop(s->timer);
	uv_close((uv_handle_t *)s->timer, free_handle);
	bus_free(s->bus);
	bus_hub_free(s->hub);
	free(s);
}
