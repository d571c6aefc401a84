/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Packs: from readings to snapshots. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/internal.h"

enum {
	LOST_MS = 10000, /* limits.md 9: after so long the values count for nothing */
};

static uint64_t now_of(const struct pack *p)
{
	return p->port && p->port->replay ? replay_now_ms(p->port->replay) : engine_now_ms(p->engine);
}

struct pack *pack_of(struct engine *e, const struct session_pack *sp)
{
	for (unsigned i = 0; i < e->pack_count; i++)
		if (e->pack[i]->sp == sp)
			return e->pack[i];
	return NULL;
}

struct pack *pack_by_id(const struct engine *e, unsigned id)
{
	for (unsigned i = 0; i < e->pack_count; i++)
		if (e->pack[i]->snap.id == id)
			return e->pack[i];
	return NULL;
}

/* ---- names ---- */

/* Letters and digits of s. */
static void alphanumeric(const char *s, char *out, size_t size)
{
	size_t n = 0;

	for (; *s && n + 1 < size; s++)
		if (isalnum((unsigned char)*s))
			out[n++] = *s;
	out[n] = 0;
}

/* dbus.md 3.2: the serial number; else version and capacity; else the port. */
static void base_identifier(const struct pack *p, char *out, size_t size)
{
	const struct reading *r = &p->snap.reading;
	const char *version =
		r->text[T_HARDWARE_VERSION][0] ? r->text[T_HARDWARE_VERSION] : r->text[T_FIRMWARE_VERSION];
	const char *slash = strrchr(p->snap.port, '/');
	char plain[MAX_TEXT], capacity[24];

	if (r->text[T_SERIAL_NUMBER][0]) {
		snprintf(out, size, "%s", r->text[T_SERIAL_NUMBER]);
		return;
	}
	alphanumeric(version, plain, sizeof(plain));
	if (plain[0] && reading_knows(r, Q_CAPACITY_FULL_AH) && !p->engine->config.use_port_as_unique_id) {
		snprintf(capacity, sizeof(capacity), "%.1f", reading_get(r, Q_CAPACITY_FULL_AH));
		for (char *c = capacity; *c; c++)
			if (*c == '.')
				*c = '_';
		snprintf(out, size, "%.40s_%.16sAh", plain, capacity);
		return;
	}
	snprintf(out, size, "%.50s", slash ? slash + 1 : p->snap.port);
	if (p->snap.addressed)
		snprintf(out + strlen(out), size - strlen(out), "__0x%02x", p->snap.address);
}

static bool identifier_taken(const struct pack *p, const char *identifier)
{
	const struct engine *e = p->engine;

	for (unsigned i = 0; i < e->pack_count; i++)
		if (e->pack[i] != p && !strcmp(e->pack[i]->snap.identifier, identifier))
			return true;
	return false;
}

static void name_pack(struct pack *p)
{
	struct snapshot *s = &p->snap;
	char base[PACK_NAME];
	const char *slash = strrchr(s->port, '/');

	base_identifier(p, base, sizeof(base));
	snprintf(s->identifier, sizeof(s->identifier), "%s", base);
	if (identifier_taken(p, s->identifier)) {
		snprintf(s->identifier, sizeof(s->identifier), "%.30s_%.20s", base, slash ? slash + 1 : s->port);
		if (s->addressed)
			snprintf(s->identifier + strlen(s->identifier), sizeof(s->identifier) - strlen(s->identifier),
				 "__0x%02x", s->address);
	}
	snprintf(s->name, sizeof(s->name), "%s",
		 s->reading.text[T_MODEL][0] ? s->reading.text[T_MODEL] : s->protocol->manufacturer);
}

/* ---- numbers that count ---- */

double snapshot_number(const struct snapshot *s, enum quantity q)
{
	const struct limits_output *l = snapshot_limits(s);
	double v = NAN;

	if (s->reading_ms)
		v = q == Q_SOC_PCT ? l->soc : q == Q_CURRENT_A ? l->current : q == Q_POWER_W ? l->power : NAN;
	return isnan(v) ? reading_get(&s->reading, q) : v;
}

/* ---- configuration ---- */

static const struct config *config_of(const struct pack *p)
{
	return p->config ? p->config : &p->engine->config;
}

const struct config *engine_pack_config(const struct engine *e, unsigned pack)
{
	const struct pack *p = pack_by_id(e, pack);

	return p ? config_of(p) : NULL;
}

bool engine_clear_history(struct engine *e, unsigned pack, int group)
{
	struct pack *p = pack_by_id(e, pack);

	if (!p)
		return false;
	limits_clear_history(p->linear, config_of(p), group);
	limits_clear_history(p->step, config_of(p), group);
	return true;
}

void pack_configure(struct pack *p)
{
	const char *serial = p->snap.reading.text[T_SERIAL_NUMBER];
	struct config *own = malloc(sizeof(*own));

	free(p->config);
	p->config = own;
	if (own && !configuration_for(p->engine->options.configuration, p->snap.port, serial[0] ? serial : NULL,
				      p->snap.protocol->id, own, NULL)) {
		free(own);
		p->config = NULL;
	}
	p->snap.mode = config_of(p)->charge_mode == LIMITS_STEP ? LIMITS_STEP : LIMITS_LINEAR;
}

/* ---- life ---- */

static struct pack *pack_new(struct port *port)
{
	struct engine *e = port->engine;
	struct pack *p = e->pack_count < MAX_PACKS ? calloc(1, sizeof(*p)) : NULL;

	if (!p)
		return NULL;
	p->engine = e;
	p->linear = limits_state_new();
	p->step = limits_state_new();
	if (!p->linear || !p->step) {
		pack_free(p);
		return NULL;
	}
	p->snap.id = ++e->next_pack_id;
	e->pack[e->pack_count++] = p;
	return p;
}

void pack_free(struct pack *p)
{
	limits_state_free(p->linear);
	limits_state_free(p->step);
	free(p->config);
	free(p);
}

static void remove_pack(struct pack *p)
{
	struct engine *e = p->engine;
	unsigned i = 0;

	while (e->pack[i] != p)
		i++;
	for (struct observer *o = e->observers; o; o = o->next)
		if (o->pack_gone)
			o->pack_gone(o->ctx, &p->snap);
	memmove(&e->pack[i], &e->pack[i + 1], (e->pack_count - i - 1) * sizeof(e->pack[0]));
	e->pack_count--;
	pack_free(p);
}

void pack_gone_for_good(struct pack *p)
{
	if (p)
		remove_pack(p);
}

/* The pack that this port and address held before, if nothing talks to it now. */
static struct pack *former_pack(const struct port *port, const struct protocol *protocol, uint8_t address)
{
	const struct engine *e = port->engine;

	for (unsigned i = 0; i < e->pack_count; i++) {
		struct pack *p = e->pack[i];

		if (!p->sp && p->port == port && p->snap.protocol == protocol && p->snap.address == address)
			return p;
	}
	return NULL;
}

/* Another battery answers where these were: they are not coming back here. */
static void drop_replaced(struct port *port, const struct protocol *protocol)
{
	struct engine *e = port->engine;

	for (unsigned i = e->pack_count; i-- > 0;)
		if (e->pack[i]->port == port && !e->pack[i]->sp && e->pack[i]->snap.protocol != protocol &&
		    port_link(port) != LINK_CAN) /* there others go on beside it */
			remove_pack(e->pack[i]);
}

struct pack *pack_found(struct port *port, struct session_pack *sp, const struct protocol *protocol, uint8_t address,
			bool addressed, bool listening)
{
	drop_replaced(port, protocol);
	struct pack *p = former_pack(port, protocol, address);

	if (!p) {
		p = pack_new(port);
		if (!p)
			return NULL;
		p->snap.state = PACK_STARTING;
	}
	p->port = port;
	p->sp = sp;
	p->seen_ms = now_of(p);
	p->snap.protocol = protocol;
	p->snap.address = address;
	p->snap.addressed = addressed;
	p->snap.listening = listening;
	snprintf(p->snap.port, sizeof(p->snap.port), "%s", port->name);
	pack_configure(p);
	if (!p->snap.identifier[0])
		name_pack(p);
	engine_show_pack(p->engine, p);
	return p;
}

void packs_listen(struct port *port)
{
	struct engine *e = port->engine;

	for (unsigned i = 0; i < e->pack_count; i++) {
		if (e->pack[i]->port != port)
			continue;
		e->pack[i]->snap.listening = true;
		engine_show_pack(e, e->pack[i]);
	}
}

/* ---- readings ---- */

static void step_limits(struct pack *p, const struct limits_input *in)
{
	uint64_t now = now_of(p);
	double dt = p->stepped ? (double)(now - p->step_ms) / 1000 : 0;
	struct config other = *config_of(p);

	other.charge_mode = LIMITS_LINEAR;
	limits_step(p->linear, &other, in, dt, &p->snap.linear);
	other.charge_mode = LIMITS_STEP;
	limits_step(p->step, &other, in, dt, &p->snap.step);
	p->stepped = true;
	p->step_ms = now;
}

/* The battery that is known by this serial number, if nothing talks to it: it has come back elsewhere. */
static struct pack *known_by_serial(const struct pack *p)
{
	const struct engine *e = p->engine;
	const char *serial = p->snap.reading.text[T_SERIAL_NUMBER];

	if (p->port->replay) /* nothing is lost there, nothing comes back */
		return NULL;
	for (unsigned i = 0; serial[0] && i < e->pack_count; i++) {
		struct pack *q = e->pack[i];

		if (q != p && !q->sp && q->snap.protocol == p->snap.protocol &&
		    !strcmp(q->snap.reading.text[T_SERIAL_NUMBER], serial))
			return q;
	}
	return NULL;
}

/* p turned out to be q, which was lost: q goes on in p's place. */
static struct pack *merge(struct pack *p, struct pack *q)
{
	q->port = p->port;
	q->sp = p->sp;
	q->snap.address = p->snap.address;
	q->snap.addressed = p->snap.addressed;
	q->snap.listening = p->snap.listening;
	q->snap.reading = p->snap.reading;
	memcpy(q->snap.port, p->snap.port, sizeof(q->snap.port));
	engine_log(p->engine, LOG_INFO, "%s: %s is back on this port", q->snap.port, q->snap.name);
	p->sp = NULL;
	remove_pack(p);
	return q;
}

/* Another battery of the same kind answers on this port and address: it starts afresh. */
static void start_afresh(struct pack *p)
{
	struct engine *e = p->engine;

	engine_log(e, LOG_INFO, "%s: another battery (%s) has taken the place of %s", p->snap.port,
		   p->snap.reading.text[T_SERIAL_NUMBER], p->snap.identifier);
	for (struct observer *o = e->observers; o; o = o->next)
		if (o->pack_gone)
			o->pack_gone(o->ctx, &p->snap);
	struct limits_state *linear = limits_state_new(), *step = limits_state_new();

	if (linear && step) {
		limits_state_free(p->linear);
		limits_state_free(p->step);
		p->linear = linear;
		p->step = step;
		p->stepped = false;
	} else { /* no memory: the timers of the other battery are better than none */
		limits_state_free(linear);
		limits_state_free(step);
	}
	p->snap.id = ++e->next_pack_id;
	p->snap.polls = p->snap.errors = 0;
	p->snap.identified = false;
	p->snap.identifier[0] = 0;
}

void pack_reading(struct pack *p, const struct device *dev, bool identified, uint64_t poll_ms)
{
	struct snapshot *s = &p->snap;
	struct reading reading = dev->reading;
	struct limits_input in;
	const char *why = NULL;
	char serial[MAX_TEXT];

	reading_set_text(&reading, T_PROTOCOL, dev->protocol->id);
	reading_derive(&reading);
	if (!reading_plausible(&reading, &why)) {
		pack_missed(p, s->failures + 1, why);
		return;
	}
	memcpy(serial, s->reading.text[T_SERIAL_NUMBER], sizeof(serial));
	s->reading = reading;
	s->settings = dev->settings;
	if (identified && s->identified && serial[0] && strcmp(serial, reading.text[T_SERIAL_NUMBER]) != 0)
		start_afresh(p);
	if (identified && known_by_serial(p)) {
		p = merge(p, known_by_serial(p));
		s = &p->snap;
		s->settings = dev->settings;
	}
	if (identified && (!s->identified || !s->identifier[0])) {
		name_pack(p);
		pack_configure(p);
		remember_restore(p->engine->remembered, p);
	}
	s->identified = s->identified || identified;
	s->state = PACK_ONLINE;
	s->reading_ms = p->seen_ms = now_of(p);
	s->reading_wall = wall_now();
	s->failures = 0;
	s->error[0] = 0;
	s->polls++;
	s->poll_ms = poll_ms;
	const struct config *c = config_of(p);

	limits_input_from_reading(&in, &s->reading, dev->protocol->first_sensor_is_mos);
	if (dev->protocol->limits_on_demand && !c->use_bms_dvcc_values)
		in.bms_ccl = in.bms_dcl = NAN;
	in.ext_current = sensor_value(p->engine, c->external_sensor_dbus_device, c->external_sensor_dbus_path_current);
	in.ext_soc = sensor_value(p->engine, c->external_sensor_dbus_device, c->external_sensor_dbus_path_soc);
	step_limits(p, &in);
	engine_show_pack(p->engine, p);
}

void pack_missed(struct pack *p, unsigned failures, const char *error)
{
	struct snapshot *s = &p->snap;

	if (!s->failures)
		engine_log(p->engine, LOG_WARNING, "%s %s: poll failed: %s", s->port, s->name, error);
	s->failures = failures;
	s->errors++;
	snprintf(s->error, sizeof(s->error), "%s", error);
	if (s->state == PACK_ONLINE)
		s->state = PACK_STALE;
	engine_show_pack(p->engine, p);
}

void pack_detached(struct pack *p, const char *why)
{
	p->sp = NULL;
	p->snap.state = PACK_LOST;
	snprintf(p->snap.error, sizeof(p->snap.error), "%s", why);
	if (p->command.active) {
		struct command_outcome outcome = {.result = COMMAND_UNCONFIRMED};

		snprintf(outcome.say, sizeof(outcome.say), "the connection ended during the command: %s", why);
		command_done(p, &outcome);
	}
	engine_show_pack(p->engine, p);
}

void pack_tick(struct pack *p)
{
	uint64_t now = now_of(p);
	struct limits_input failed = {.ok = false};
	enum pack_state state = p->snap.state;
	bool changed = false;

	if (p->port->replay)
		return;
	if ((state == PACK_STALE || state == PACK_ONLINE) && now > p->seen_ms + LOST_MS) {
		p->snap.state = PACK_LOST;
		changed = true;
		engine_log(p->engine, LOG_ERROR, "%s %s: no answer for %d s: %s", p->snap.port, p->snap.name,
			   LOST_MS / 1000, p->snap.error[0] ? p->snap.error : "silence");
	}
	/* A poll that is half an interval late did not come. */
	uint64_t poll = engine_poll_ms(p->engine);
	if (p->snap.listening)
		poll = LOST_MS;
	else if (p->sp && p->snap.protocol->streams >> p->sp->dev.dialect & 1)
		poll = p->snap.protocol->timing.unheard_ms;
	if (p->stepped && now > p->step_ms + poll + poll / 2 && now > p->seen_ms + poll + poll / 2) {
		step_limits(p, &failed);
		changed = true;
	}
	if (changed)
		engine_show_pack(p->engine, p);
}
