/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is kept over a restart, in one file: of limits by battery, never by port; and what was found on which
 * adapter.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/durable.h"
#include "engine/internal.h"
#include "model/json.h"

enum { SAVE_EVERY_S = 15 };

struct remembered {
	json_t *ports; /* adapter or path -> what was found on it */
	bool ports_changed;
	json_t *batteries; /* identifier -> what is kept of it; those that are not here now stay */
	struct durable *file;
	uint64_t saved_ms;
	char path[300];
};

/* ---- one battery to JSON and back. Ages become moments, or the file would change all the time. ---- */

static void set_number(json_t *o, const char *key, double v)
{
	if (isfinite(v))
		json_object_set_new(o, key, json_real(v));
}

static void set_moment(json_t *o, const char *key, double age_s, double now)
{
	set_number(o, key, round(now - age_s));
}

static double get_number(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_number(v) ? json_number_value(v) : NAN;
}

#define HISTORY(X)                                                                                                     \
	X(deepest)                                                                                                     \
	X(last) X(average) X(total) X(cycles) X(full_discharges) X(syncs) X(vmin) X(vmax) X(cell_min) X(cell_max)      \
		X(temp_min) X(temp_max) X(low_voltage_alarms) X(high_voltage_alarms) X(energy_out) X(energy_in)

static json_t *to_json(const struct limits_saved *s, double now)
{
	json_t *o = json_object(), *h = json_object();

	json_object_set_new(o, "allow_max", json_boolean(s->allow_max));
	json_object_set_new(o, "empty", json_boolean(s->empty));
	set_number(o, "absorption_s", s->absorption_s);
	set_number(o, "soc_pct", s->soc);
	set_moment(o, "soc_reset_at", s->soc_reset_age_s, now);
	set_moment(o, "full_at", s->history.since_full, now);
#define PUT(name) set_number(h, #name, s->history.name);
	HISTORY(PUT)
#undef PUT
	json_object_set_new(o, "history", h);
	return o;
}

static struct limits_saved from_json(const json_t *o, double saved)
{
	const json_t *h = json_object_get(o, "history");
	const json_t *allow_max = json_object_get(o, "allow_max");
	struct limits_saved s = {
		.allow_max = !allow_max || json_is_true(allow_max),
		.empty = json_is_true(json_object_get(o, "empty")),
		.absorption_s = get_number(o, "absorption_s"),
		.soc = get_number(o, "soc_pct"),
		.soc_reset_age_s = fmax(saved - get_number(o, "soc_reset_at"), 0),
	};

	s.history.since_full = fmax(saved - get_number(o, "full_at"), 0);
	if (isnan(get_number(o, "soc_reset_at")))
		s.soc_reset_age_s = NAN;
	if (isnan(get_number(o, "full_at")))
		s.history.since_full = NAN;
#define GET(name) s.history.name = get_number(h, #name);
	HISTORY(GET)
#undef GET
	return s;
}

/* ---- the file ---- */

static void note_failure(void *ctx, const char *path, int error)
{
	engine_log(ctx, LOG_ERROR, "cannot write %s: %s; what it holds is lost at a restart", path, strerror(error));
}

static void put_aside(struct engine *e, const char *path, const char *problem)
{
	char bad[320];

	snprintf(bad, sizeof(bad), "%s.bad", path);
	engine_log(e, LOG_ERROR, "%s: %s; %s", path, problem, rename(path, bad) ? "ignored" : "put aside as .bad");
}

/* The batteries; the ports go to *ports. */
static json_t *load(struct engine *e, const char *path, json_t **ports)
{
	json_error_t error;

	*ports = NULL;
	if (access(path, F_OK))
		return json_object();
	json_t *root = json_load_file(path, 0, &error);
	json_t *batteries = json_object_get(root, "batteries");

	if (json_is_object(batteries))
		json_incref(batteries);
	else
		put_aside(e, path, root ? "no batteries in it" : error.text);
	if (json_is_object(json_object_get(root, "ports")))
		*ports = json_incref(json_object_get(root, "ports"));
	json_decref(root);
	return json_is_object(batteries) ? batteries : json_object();
}

struct remembered *remember_start(struct engine *e)
{
	struct remembered *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	snprintf(r->path, sizeof(r->path), "%s/batteries.json", e->state_dir);
	r->batteries = load(e, r->path, &r->ports);
	if (!r->ports)
		r->ports = json_object();
	r->file = durable_new(e->loop, r->path, note_failure, e);
	r->saved_ms = engine_now_ms(e);
	return r;
}

/* ---- ports ---- */

static const char *port_key(const struct port *port)
{
	return port->usb_serial[0] ? port->usb_serial : port->name;
}

void remember_port(struct remembered *r, const struct port *port)
{
	const struct detect_hint *h = &port->known;
	const char parity[] = {h->line.parity, 0};

	if (!r || port->replay || !h->protocol)
		return;
	json_t *o = json_pack("{s:s,s:i,s:i,s:i,s:i,s:s,s:i}", "protocol", h->protocol->id, "address", h->address,
			      "dialect", h->dialect, "baud", (int)h->line.baud, "data_bits", h->line.data_bits,
			      "parity", parity, "stop_bits", h->line.stop_bits);
	if (o && !json_equal(o, json_object_get(r->ports, port_key(port)))) {
		json_object_set(r->ports, port_key(port), o);
		r->ports_changed = true;
	}
	json_decref(o);
}

void remember_port_hint(const struct remembered *r, struct port *port)
{
	json_t *o = r ? json_object_get(r->ports, port_key(port)) : NULL;
	const char *id, *parity;
	int address, dialect, baud, data_bits, stop_bits;

	if (!o ||
	    json_unpack(o, "{s:s,s:i,s:i,s:i,s:i,s:s,s:i}", "protocol", &id, "address", &address, "dialect", &dialect,
			"baud", &baud, "data_bits", &data_bits, "parity", &parity, "stop_bits", &stop_bits))
		return;
	port->known = (struct detect_hint){
		.protocol = protocol_by_id(id),
		.address = (uint8_t)address,
		.dialect = (uint8_t)dialect,
		.line = {(uint32_t)baud, (uint8_t)data_bits, parity[0], (uint8_t)stop_bits},
	};
}

bool remember_restore(struct remembered *r, struct pack *p)
{
	const json_t *o = r ? json_object_get(r->batteries, p->snap.identifier) : NULL;
	double saved = get_number(o, "saved");
	struct limits_state *linear, *step;

	if (!json_is_object(o) || isnan(saved))
		return false;
	linear = limits_state_new();
	step = limits_state_new();
	if (!linear || !step) {
		limits_state_free(linear);
		limits_state_free(step);
		return false;
	}
	struct limits_saved s = from_json(o, saved);

	limits_restore(linear, &s, wall_now() - saved);
	limits_restore(step, &s, wall_now() - saved);
	limits_state_free(p->linear);
	limits_state_free(p->step);
	p->linear = linear;
	p->step = step;
	p->stepped = false;
	return true;
}

/* True when what is kept of p is not what was kept before. */
static bool note_pack(struct remembered *r, const struct pack *p)
{
	const struct limits_state *in_force = p->snap.mode == LIMITS_STEP ? p->step : p->linear;
	double now = wall_now();
	struct limits_saved s;

	limits_save(in_force, engine_pack_config(p->engine, p->snap.id), &s);
	json_t *fresh = to_json(&s, now);
	json_t *kept = json_object_get(r->batteries, p->snap.identifier);
	json_t *saved = kept ? json_incref(json_object_get(kept, "saved")) : NULL;

	if (saved)
		json_object_set(fresh, "saved", saved);
	bool same = kept && json_equal(fresh, kept);
	json_decref(saved);
	json_object_set_new(fresh, "saved", json_real(round(now)));
	if (!same)
		json_object_set(r->batteries, p->snap.identifier, fresh);
	json_decref(fresh);
	return !same;
}

static void save(struct remembered *r, const struct engine *e)
{
	bool changed = false;

	for (unsigned i = 0; i < e->pack_count; i++) {
		const struct pack *p = e->pack[i];

		if (p->stepped && p->snap.identified && !p->port->replay)
			changed |= note_pack(r, p);
	}
	if (!changed && !r->ports_changed)
		return;
	r->ports_changed = false;
	json_t *root = json_pack("{s:O,s:O}", "batteries", r->batteries, "ports", r->ports);
	durable_write(r->file,
		      root ? json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_REAL_PRECISION(12)) : NULL);
	json_decref(root);
}

void remember_tick(struct remembered *r, const struct engine *e)
{
	if (!r || engine_now_ms(e) < r->saved_ms + 1000 * SAVE_EVERY_S)
		return;
	r->saved_ms = engine_now_ms(e);
	save(r, e);
}

void remember_end(struct remembered *r, const struct engine *e)
{
	if (!r)
		return;
	save(r, e);
	durable_close(r->file);
	json_decref(r->batteries);
	json_decref(r->ports);
	free(r);
}
