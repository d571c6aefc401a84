/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dbus/publisher.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "dbus/kept.h"
#include "dbus/service.h"

#define NAME_PREFIX "com.victronenergy.battery."
#define NAME_SIZE   192

struct publisher {
	struct engine *engine;
	const struct config *config;
	struct service_host host;
	struct observer observer;
	struct tree_identity identity; /* what all batteries have in common */
	struct kept *kept;
	struct service **service;
	unsigned count;
	bool addressed;
	char process_name[256];
};

/* ---- what services want of the engine ---- */

static void host_log(void *ctx, enum log_level level, const char *text)
{
	const struct publisher *p = ctx;

	engine_log(p->engine, level, "%s", text);
}

static uint64_t host_now_ms(void *ctx)
{
	const struct publisher *p = ctx;

	return engine_now_ms(p->engine);
}

static bool host_can(void *ctx, unsigned pack, const struct command *c, const char **why)
{
	const struct publisher *p = ctx;

	return engine_can(p->engine, pack, c, why);
}

static int host_command(void *ctx, unsigned pack, const struct command *c,
			void (*done)(void *done_ctx, unsigned pack, const struct command *c,
				     const struct command_outcome *o),
			void *done_ctx)
{
	const struct publisher *p = ctx;

	return engine_command(p->engine, pack, c, done, done_ctx);
}

static void host_rename(void *ctx, const char *identifier, const char *custom_name)
{
	const struct publisher *p = ctx;

	kept_rename(p->kept, identifier, custom_name);
}

static void host_clear_history(void *ctx, unsigned pack, int group)
{
	const struct publisher *p = ctx;

	engine_clear_history(p->engine, pack, group);
}

/* ---- names: contract section 2 ---- */

static bool name_taken(const struct publisher *p, const char *name)
{
	for (unsigned i = 0; i < p->count; i++)
		if (!strcmp(service_name(p->service[i]), name))
			return true;
	return false;
}

/* The port's part of the name: no slash, no colon, and no digit in front. */
static void port_part(const struct snapshot *s, char *out, size_t size)
{
	const char *slash = strrchr(s->port, '/');
	const char *leaf = slash ? slash + 1 : s->port;
	bool radio = s->protocol->link == LINK_BLE;
	size_t n = (size_t)snprintf(out, size, "%s", radio ? "ble_" : isdigit((unsigned char)*leaf) ? "_" : "");

	for (; *leaf && n + 1 < size; leaf++) {
		unsigned char c = (unsigned char)*leaf;

		if (radio && c == ':')
			continue;
		out[n++] = (char)(!isalnum(c) && c != '-' ? '_' : radio ? tolower(c) : c);
	}
	out[n] = 0;
}

/* The first battery of a port bears the port's name alone, unless addresses were asked for. */
static void choose_name(const struct publisher *p, const struct snapshot *s, char name[NAME_SIZE])
{
	char port[PORT_NAME + 8], address[8] = "";

	port_part(s, port, sizeof(port));
	if (s->addressed)
		snprintf(address, sizeof(address), "__0x%02x", s->address);
	snprintf(name, NAME_SIZE, NAME_PREFIX "%s%s", port, p->addressed ? address : "");
	if (name_taken(p, name))
		snprintf(name, NAME_SIZE, NAME_PREFIX "%s%s", port, address);
	for (unsigned i = 2; name_taken(p, name); i++)
		snprintf(name, NAME_SIZE, NAME_PREFIX "%s%s__%u", port, address, i);
}

/* ---- batteries come and go ---- */

static struct service **find(const struct publisher *p, unsigned pack)
{
	for (unsigned i = 0; i < p->count; i++)
		if (service_pack(p->service[i]) == pack)
			return &p->service[i];
	return NULL;
}

static const struct config *config_of(const struct publisher *p, const struct snapshot *s)
{
	const struct config *own = engine_pack_config(p->engine, s->id);

	return own ? own : p->config;
}

static void publish(struct publisher *p, const struct snapshot *s)
{
	struct tree_identity identity = p->identity;
	const struct kept_battery *b = kept_battery(p->kept, s->identifier);
	struct service **grown = realloc(p->service, (p->count + 1) * sizeof(*grown));
	struct service *v = NULL;
	char name[NAME_SIZE];

	if (grown)
		p->service = grown;
	if (grown && b) {
		identity.device_instance = b->instance;
		snprintf(identity.custom_name, sizeof(identity.custom_name), "%s", b->custom_name);
		choose_name(p, s, name);
		v = service_new(&p->host, name, &identity, s, config_of(p, s));
	}
	if (v)
		p->service[p->count++] = v;
	else
		engine_log(p->engine, LOG_ERROR, "%s: no memory to publish it", s->identifier);
}

static void on_pack(void *ctx, const struct snapshot *s)
{
	struct publisher *p = ctx;
	struct service **v = find(p, s->id);

	if (v)
		service_update(*v, s, config_of(p, s));
	else if (s->identified && s->polls)
		publish(p, s);
}

static void on_pack_gone(void *ctx, const struct snapshot *s)
{
	struct publisher *p = ctx;
	struct service **v = find(p, s->id);

	if (!v)
		return;
	service_free(*v);
	*v = p->service[--p->count];
}

static void update_all(struct publisher *p)
{
	for (unsigned i = 0; i < engine_packs(p->engine); i++)
		on_pack(p, engine_pack(p->engine, i));
}

/* ---- life ---- */

static void name_process(struct publisher *p, const char *given)
{
	ssize_t n = 0;

	if (given)
		snprintf(p->process_name, sizeof(p->process_name), "%s", given);
	else
		n = readlink("/proc/self/exe", p->process_name, sizeof(p->process_name) - 1);
	if (n > 0)
		p->process_name[n] = 0;
	else if (!given)
		snprintf(p->process_name, sizeof(p->process_name), "bmscope");
}

static void set_up(struct publisher *p, uv_loop_t *loop, const struct publisher_options *o)
{
	p->config = o->config;
	p->addressed = o->addressed || o->config->battery_addresses.n;
	name_process(p, o->process_name);
	p->identity = (struct tree_identity){
		.process_name = p->process_name,
		.process_version = o->process_version ? o->process_version : PACKAGE_VERSION,
		.product_id = o->product_id ? o->product_id : DEFAULT_PRODUCT_ID,
		.experimental = o->experimental,
		.can_clear_history = true,
	};
	p->host = (struct service_host){
		.loop = loop,
		.say = {host_log, p},
		.read_only = o->read_only,
		.properties_changed = o->properties_changed,
		.now_ms = host_now_ms,
		.can = host_can,
		.command = host_command,
		.rename = host_rename,
		.clear_history = host_clear_history,
		.ctx = p,
	};
	p->observer = (struct observer){.pack = on_pack, .pack_gone = on_pack_gone, .ctx = p};
}

struct publisher *publisher_new(uv_loop_t *loop, struct engine *e, const struct publisher_options *options, char *why,
				size_t size)
{
	char address[512];

	if (!bus_address(options->bus, address, sizeof(address), why, size))
		return NULL;
	struct publisher *p = calloc(1, sizeof(*p));
	if (p) {
		p->engine = e;
		set_up(p, loop, options);
		p->kept = kept_open(loop, engine_state_dir(e), p->host.say);
		p->host.hub = bus_hub_new(loop, address, p->host.say);
	}
	if (!p || !p->kept || !p->host.hub) {
		snprintf(why, size, "no memory");
		if (p) {
			kept_close(p->kept);
			bus_hub_free(p->host.hub);
		}
		free(p);
		return NULL;
	}
	engine_observe(e, &p->observer);
	update_all(p);
	return p;
}

void publisher_free(struct publisher *p)
{
	if (!p)
		return;
	engine_unobserve(p->engine, &p->observer);
	while (p->count)
		service_free(p->service[--p->count]);
	bus_hub_free(p->host.hub);
	kept_close(p->kept);
	free(p->service);
	free(p);
}

void publisher_reconfigure(struct publisher *p, const struct config *config)
{
	p->config = config;
	update_all(p);
}

unsigned publisher_published(const struct publisher *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->count; i++)
		n += service_claimed(p->service[i]);
	return n;
}
