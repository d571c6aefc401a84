/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/decode.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/follow.h"
#include "engine/recording.h"
#include "model/json.h"

enum { FRAME_BYTES = 4096 };

/* What one line gives under one protocol. */
struct result {
	const struct protocol *protocol;
	unsigned answered, known_requests, not_answered;
	bool ok;
	char error[160];
	json_t *readings; /* array of objects, one per device that told something */
	json_t *settings; /* object of the first device that told settings; NULL if none did */
};

static void result_free(struct result *r)
{
	json_decref(r->readings);
	json_decref(r->settings);
	r->readings = r->settings = NULL;
}

/* Bytes in hex, or a CAN frame as ID#DATA. */
static bool play_hex(const char *hex, uint8_t *buf, struct bytes *out, char *why, size_t size)
{
	struct can_message m;
	int n;

	if (strchr(hex, '#')) {
		if (!can_parse(hex, &m)) {
			snprintf(why, size, "no CAN frame: %.40s", hex);
			return false;
		}
		can_write(&m, buf);
		*out = (struct bytes){buf, CAN_BYTES};
		return true;
	}
	n = bytes_from_hex(hex, buf, FRAME_BYTES);

	if (n < 0) {
		snprintf(why, size, "not hexadecimal, or longer than %d bytes: %.24s", FRAME_BYTES, hex);
		return false;
	}
	*out = (struct bytes){buf, (size_t)n};
	return true;
}

/* Plays the exchanges; false: the line itself is malformed, error says how. */
static bool play(struct follow *f, const json_t *exchanges, char *error, size_t size)
{
	static uint8_t buf[FRAME_BYTES];
	struct bytes b;
	size_t i, k;
	json_t *exchange, *chunk;
	uint64_t now = 0;

	json_array_foreach (exchanges, i, exchange) {
		const json_t *tx = json_object_get(exchange, "tx");
		const json_t *rx = json_object_get(exchange, "rx");

		if (!json_is_object(exchange) || (tx && !json_is_string(tx) && !json_is_null(tx)) ||
		    (rx && !json_is_array(rx))) {
			snprintf(error, size, "exchange %zu: tx must be hex or null, rx a list", i + 1);
			return false;
		}
		now = (uint64_t)(json_number_value(json_object_get(exchange, "t")) * 1000);
		b = (struct bytes){buf, 0};
		if (json_is_string(tx) && !play_hex(json_string_value(tx), buf, &b, error, size))
			return false;
		follow_sent(f, b, now);
		json_array_foreach (rx, k, chunk) {
			if (!json_is_string(chunk)) {
				snprintf(error, size, "exchange %zu: rx %zu is no text", i + 1, k + 1);
				return false;
			}
			if (!play_hex(json_string_value(chunk), buf, &b, error, size))
				return false;
			follow_received(f, b, now);
		}
		follow_end(f, now);
	}
	follow_flush(f, now);
	return true;
}

static struct result decode_as(const struct protocol *protocol, const json_t *exchanges,
			       const struct protocol_options *options)
{
	struct result r = {.protocol = protocol, .readings = json_array()};
	struct follow *f = malloc(sizeof(*f));

	if (!f || !follow_init(f, protocol, options)) {
		snprintf(r.error, sizeof(r.error), "out of memory");
		free(f);
		return r;
	}
	if (!play(f, exchanges, r.error, sizeof(r.error))) {
		follow_free(f);
		free(f);
		return r;
	}
	r.answered = f->answered;
	r.known_requests = f->known_requests;
	r.not_answered = f->not_answered;
	/* Bytes that can't be believed take nothing away from those that can; alone, they are an error. */
	r.ok = f->answered > 0 || (!f->not_answered && !f->unknown_requests && f->known_requests);
	if (!r.ok)
		snprintf(r.error, sizeof(r.error), "%s", f->error[0] ? f->error : "no frame of this protocol");
	for (unsigned i = 0; i < f->device_count && r.ok; i++) {
		struct follow_device *d = &f->device[i];
		struct reading reading = d->dev.reading;

		if (!d->told)
			continue;
		reading_set_text(&reading, T_PROTOCOL, protocol->id);
		reading_derive(&reading);
		json_array_append_new(r.readings, reading_to_json(&reading));
		if (d->dev.settings.count && !r.settings)
			r.settings = settings_to_json(&d->dev.settings);
	}
	follow_free(f);
	free(f);
	return r;
}

static bool better(const struct result *a, const struct result *b)
{
	if (a->answered != b->answered)
		return a->answered > b->answered;
	return a->known_requests > b->known_requests;
}

/* A name that is no link says nothing. */
static bool link_fits(const struct protocol *p, const char *name)
{
	for (int kind = LINK_SERIAL; name && kind <= LINK_MQTT; kind++)
		if (!strcmp(name, link_kind_name((enum link_kind)kind)))
			return p->link == (enum link_kind)kind || (kind == LINK_BLE && p->also_ble);
	return true;
}

/* Tries every protocol of the link and keeps the one that makes most of the bytes. */
static struct result decode_any(const json_t *exchanges, const char *link, const struct protocol_options *options)
{
	struct result best = {.readings = json_array()};

	snprintf(best.error, sizeof(best.error), "no protocol recognises these bytes");
	for (unsigned i = 0; protocols_all()[i]; i++) {
		if (!link_fits(protocols_all()[i], link))
			continue;
		struct result r = decode_as(protocols_all()[i], exchanges, options);

		if (better(&r, &best)) {
			result_free(&best);
			best = r;
		} else {
			result_free(&r);
		}
	}
	return best;
}

static void read_options(const json_t *j, struct protocol_options *o)
{
	const json_t *v = json_object_get(j, "INVERT_CURRENT_MEASUREMENT");

	o->invert_current = json_is_number(v) && json_number_value(v) < 0;
	v = json_object_get(j, "BATTERY_CAPACITY");
	if (json_is_number(v))
		o->battery_capacity_Ah = json_number_value(v);
	v = json_object_get(j, "modules_in_series");
	o->modules_in_series = (uint8_t)json_integer_value(v);
}

/* ---- comparing with `expect` ---- */

/* A version "1.01" may be written as a number by whoever made the file. */
static bool same_number(const json_t *want, const json_t *got)
{
	char *end;
	double v = json_is_string(got) ? strtod(json_string_value(got), &end) : NAN;

	return json_is_string(got) && !*end && v == json_number_value(want);
}

static bool same(const json_t *want, const json_t *got)
{
	if (!got) /* an empty text is none */
		return json_is_string(want) && !json_string_length(want);
	if (json_is_number(want) && json_is_string(got))
		return same_number(want, got);
	if (json_is_number(want) && json_is_number(got)) {
		double a = json_number_value(want), b = json_number_value(got);

		return fabs(a - b) <= 1e-6 * fmax(fabs(a), 1e-3);
	}
	if (json_is_array(want) && json_is_array(got)) {
		if (json_array_size(want) != json_array_size(got))
			return false;
		for (size_t i = 0; i < json_array_size(want); i++)
			if (!same(json_array_get(want, i), json_array_get(got, i)))
				return false;
		return true;
	}
	return json_equal(want, got);
}

static unsigned compare(const char *name, const json_t *expect, const json_t *reading)
{
	unsigned differences = 0;
	const char *key;
	json_t *want;

	json_object_foreach ((json_t *)expect, key, want) {
		const json_t *got = json_object_get(reading, key);

		if (!strcmp(key, "packs") || !strcmp(key, "common") || same(want, got))
			continue;
		char *w = json_dumps(want, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(JSON_DIGITS));
		char *g =
			got ? json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(JSON_DIGITS)) : NULL;
		printf("%s: %s: expected %s, got %s\n", name, key, w ? w : "?", g ? g : "nothing");
		free(w);
		free(g);
		differences++;
	}
	return differences;
}

static unsigned check_line(const char *name, const json_t *line, const struct result *r)
{
	const json_t *expect = json_object_get(line, "expect");
	const json_t *packs = json_object_get(expect, "packs");
	unsigned differences = 0;

	if (!expect)
		return 0;
	if (json_object_get(expect, "reject")) {
		if (!r->ok)
			return 0;
		printf("%s: expected a rejection (%s), but it was decoded\n", name,
		       json_string_value(json_object_get(expect, "reject")));
		return 1;
	}
	if (!r->ok) {
		printf("%s: not decoded: %s\n", name, r->error);
		return 1;
	}
	if (!packs)
		return compare(name, expect, json_array_get(r->readings, 0));
	if (json_array_size(packs) != json_array_size(r->readings)) {
		printf("%s: expected %zu packs, got %zu\n", name, json_array_size(packs), json_array_size(r->readings));
		return 1;
	}
	for (size_t i = 0; i < json_array_size(packs); i++) {
		differences += compare(name, json_array_get(packs, i), json_array_get(r->readings, i));
		differences += compare(name, json_object_get(expect, "common"), json_array_get(r->readings, i));
	}
	return differences;
}

/* ---- lines in, lines out ---- */

static void print_result(const char *name, const struct result *r)
{
	json_t *o = json_object();

	json_object_set_new(o, "name", json_string(name));
	if (r->protocol)
		json_object_set_new(o, "protocol", json_string(r->protocol->id));
	json_object_set_new(o, "ok", json_boolean(r->ok));
	if (!r->ok) {
		json_object_set_new(o, "error", json_string(r->error));
	} else if (json_array_size(r->readings) > 1) {
		json_object_set(o, "readings", r->readings);
	} else {
		json_t *reading = json_array_get(r->readings, 0);

		json_object_set_new(o, "reading", reading ? json_incref(reading) : json_object());
	}
	if (r->ok && r->settings)
		json_object_set(o, "settings", r->settings);
	char *text = json_line(o);
	puts(text ? text : "{}");
	free(text);
	json_decref(o);
}

/* Returns 1, for the count of what is wrong. */
__attribute__((format(printf, 2, 3))) static int print_error(const char *name, const char *error, ...)
{
	struct result r = {.ok = false};
	va_list args;

	va_start(args, error);
	vsnprintf(r.error, sizeof(r.error), error, args);
	va_end(args);
	print_result(name, &r);
	return 1;
}

static int print_line_error(unsigned number, const char *error)
{
	char name[32];

	snprintf(name, sizeof(name), "line %u", number);
	return print_error(name, "%s", error);
}

/* Returns 0: as it should be, 1: not. */
static int decode_line(json_t *line, unsigned number, const struct protocol *protocol, bool check)
{
	const json_t *exchanges = json_object_get(line, "exchanges");
	const char *given = json_string_value(json_object_get(line, "name"));
	struct protocol_options options = {0};
	struct result r;
	char name[128];
	int status;

	snprintf(name, sizeof(name), "%s", given ? given : "");
	if (!given)
		snprintf(name, sizeof(name), "line %u", number);
	if (!json_is_array(exchanges)) {
		r = (struct result){.protocol = protocol};
		snprintf(r.error, sizeof(r.error), "the line has no list \"exchanges\"");
	} else {
		read_options(json_object_get(line, "options"), &options);
		if (!json_object_get(line, "options"))
			read_options(json_object_get(json_object_get(line, "also"), "config"), &options);
		r = protocol ? decode_as(protocol, exchanges, &options)
			     : decode_any(exchanges, json_string_value(json_object_get(line, "link")), &options);
	}
	if (check) {
		status = check_line(name, line, &r) != 0;
	} else {
		print_result(name, &r);
		bool reject = json_object_get(json_object_get(line, "expect"), "reject");
		status = r.ok == reject;
	}
	result_free(&r);
	return status;
}

/* ---- recordings: the records of a port, gathered into exchanges ---- */

enum { MAX_RECORDED_PORTS = 32 };

struct recorded_port {
	char name[sizeof(((struct record *)0)->port)];
	const struct protocol *protocol;
	json_t *exchanges;
};

struct recorded {
	struct recorded_port port[MAX_RECORDED_PORTS];
	unsigned count;
	unsigned readings;
};

static struct recorded_port *recorded_port(struct recorded *r, const char *name)
{
	for (unsigned i = 0; i < r->count; i++)
		if (!strcmp(r->port[i].name, name))
			return &r->port[i];
	if (r->count == MAX_RECORDED_PORTS)
		return NULL;
	struct recorded_port *p = &r->port[r->count++];

	*p = (struct recorded_port){.exchanges = json_array()};
	snprintf(p->name, sizeof(p->name), "%s", name);
	return p;
}

/* Returns 0, or 1 when the record is malformed (said on standard output). */
static int gather(struct recorded *r, const json_t *line, unsigned number)
{
	static struct record rec;
	char why[160];

	if (!record_parse(line, &rec, why, sizeof(why)))
		return print_line_error(number, why);
	if (rec.kind == RECORD_HEADER)
		return 0;
	struct recorded_port *p = recorded_port(r, rec.port);
	if (!p)
		return print_line_error(number, "too many ports in one recording");
	if (rec.kind == RECORD_PROTOCOL && !p->protocol)
		p->protocol = rec.protocol;
	size_t n = json_array_size(p->exchanges);
	if (rec.kind == RECORD_SENT || (rec.kind == RECORD_RECEIVED && !n)) {
		json_t *tx = rec.kind == RECORD_SENT ? json_incref(json_object_get(line, "tx")) : json_null();

		json_array_append_new(p->exchanges, json_pack("{s:f,s:o,s:[]}", "t", rec.t, "tx", tx, "rx"));
		n++;
	}
	if (rec.kind == RECORD_RECEIVED)
		json_array_append(json_object_get(json_array_get(p->exchanges, n - 1), "rx"),
				  json_object_get(line, "rx"));
	return 0;
}

struct recorded_cycle {
	struct recorded *recorded;
	const char *port;
};

static void print_cycle(void *ctx, struct follow_device *d, uint64_t now_ms)
{
	const struct recorded_cycle *c = ctx;
	struct result r = {.protocol = d->dev.protocol, .ok = true, .readings = json_array()};
	struct reading reading = d->dev.reading;
	char name[160];

	reading_set_text(&reading, T_PROTOCOL, d->dev.protocol->id);
	reading_derive(&reading);
	json_array_append_new(r.readings, reading_to_json(&reading));
	if (d->dev.settings.count)
		r.settings = settings_to_json(&d->dev.settings);
	snprintf(name, sizeof(name), "%s t=%.3f", c->port, (double)now_ms / 1000);
	print_result(name, &r);
	result_free(&r);
	c->recorded->readings++;
}

/* Returns 0, or 1 when nothing of the port could be decoded. */
static int decode_recorded(struct recorded *recorded, const struct recorded_port *p, const struct protocol *protocol)
{
	struct recorded_cycle cycle = {recorded, p->name};
	unsigned before = recorded->readings;
	char error[160] = "no whole poll cycle was recorded";
	struct follow *f = malloc(sizeof(*f));

	if (!protocol)
		protocol = p->protocol;
	if (!protocol) {
		struct result best = decode_any(p->exchanges, NULL, NULL);

		protocol = best.protocol;
		result_free(&best);
	}
	if (!protocol) {
		snprintf(error, sizeof(error), "no protocol recognises these bytes");
	} else if (f && follow_init(f, protocol, NULL)) {
		f->cycle = print_cycle;
		f->ctx = &cycle;
		play(f, p->exchanges, error, sizeof(error));
		follow_free(f);
	}
	free(f);
	if (recorded->readings > before)
		return 0;
	return print_error(p->name, "%s", error);
}

static int decode_all_recorded(struct recorded *r, const struct protocol *protocol)
{
	int wrong = 0;

	for (unsigned i = 0; i < r->count; i++) {
		wrong += decode_recorded(r, &r->port[i], protocol);
		json_decref(r->port[i].exchanges);
	}
	return wrong;
}

/* ---- the file ---- */

int decode_file(const char *path, const struct protocol *protocol, bool check)
{
	FILE *in = strcmp(path, "-") ? fopen(path, "r") : stdin;
	char *text = NULL;
	size_t room = 0;
	unsigned number = 0, lines = 0, wrong = 0;
	struct recorded *recorded = calloc(1, sizeof(*recorded));

	if (!in || !recorded) {
		fprintf(stderr, "bmscope decode: %s: %s\n", path, strerror(errno));
		free(recorded);
		return 2;
	}
	while (getline(&text, &room, in) > 0) {
		json_error_t error;

		number++;
		if (!text[strspn(text, " \t\r\n")])
			continue;
		json_t *line = json_loads(text, JSON_REJECT_DUPLICATES, &error);
		lines++;
		if (json_is_object(line) && record_is(line))
			wrong += (unsigned)gather(recorded, line, number);
		else if (json_is_object(line))
			wrong += (unsigned)decode_line(line, number, protocol, check);
		else
			wrong += (unsigned)print_line_error(number, "this line is no JSON object");
		json_decref(line);
	}
	bool unreadable = ferror(in);
	if (unreadable)
		fprintf(stderr, "bmscope decode: %s: %s\n", path, strerror(errno));
	wrong += (unsigned)decode_all_recorded(recorded, protocol);
	free(recorded);
	free(text);
	if (in != stdin)
		fclose(in);
	if (check)
		printf("%s: %u lines, %u right, %u wrong\n", path, lines, lines - wrong, wrong);
	return unreadable ? 2 : wrong ? 1 : 0;
}
