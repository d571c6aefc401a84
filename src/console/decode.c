/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/decode.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/follow_bus.h"
#include "engine/recording.h"
#include "model/json.h"
#include "model/wire.h"

/* ---- what went over a line, in order ---- */

enum happened { SENT, RECEIVED, ENDED /* an exchange: what comes is no answer to what was sent */ };

struct event {
	enum happened what;
	uint64_t ms;
	size_t at, n; /* in bytes */
};

struct tape {
	struct event *event;
	size_t count, room;
	uint8_t *bytes;
	size_t used, bytes_room;
	bool can; /* CAN frames */
};

/* Makes room for one more of them; false: no memory. */
static bool grow(void **p, size_t *room, size_t wanted, size_t size)
{
	size_t n = *room ? *room : 64;

	if (wanted <= *room)
		return true;
	while (n < wanted)
		n *= 2;
	void *more = realloc(*p, n * size);
	if (!more)
		return false;
	*p = more;
	*room = n;
	return true;
}

/* False: no memory. */
static bool tape_add(struct tape *t, enum happened what, uint64_t ms, struct bytes b)
{
	void *event = t->event, *bytes = t->bytes;
	bool ok = grow(&event, &t->room, t->count + 1, sizeof(*t->event)) &&
		  grow(&bytes, &t->bytes_room, t->used + b.n + 1, 1);

	t->event = event;
	t->bytes = bytes;
	if (!ok)
		return false;
	if (b.n)
		memcpy(t->bytes + t->used, b.p, b.n);
	t->event[t->count++] = (struct event){what, ms, t->used, b.n};
	t->used += b.n;
	return true;
}

static void tape_free(struct tape *t)
{
	free(t->event);
	free(t->bytes);
	*t = (struct tape){.can = false};
}

static struct bytes event_bytes(const struct tape *t, const struct event *e)
{
	return (struct bytes){t->bytes + e->at, e->n};
}

/* Adds bytes in hex, or a CAN frame as ID#DATA. False: why says what is wrong. */
static bool add_text(struct tape *t, enum happened what, const char *text, char *why, size_t size)
{
	uint8_t buf[RECORD_BYTES];
	int n = wire_parse(text, buf, sizeof(buf));

	if (n < 0) {
		snprintf(why, size,
			 wire_is_can(text) ? "no CAN frame: %.40s"
					   : "not hexadecimal, or longer than a frame can be: %.24s",
			 text);
		return false;
	}
	t->can = t->can || wire_is_can(text);
	if (tape_add(t, what, 0, (struct bytes){buf, (size_t)n}))
		return true;
	snprintf(why, size, "out of memory");
	return false;
}

/* Exchange number i of a capture. */
static bool add_exchange(struct tape *t, const json_t *exchange, size_t i, char *why, size_t size)
{
	const json_t *tx = json_object_get(exchange, "tx"), *rx = json_object_get(exchange, "rx");
	json_t *chunk;
	size_t k;

	if (!json_is_object(exchange) || (tx && !json_is_string(tx) && !json_is_null(tx)) ||
	    (rx && !json_is_array(rx))) {
		snprintf(why, size, "exchange %zu: tx must be hex or null, rx a list", i + 1);
		return false;
	}
	if (!add_text(t, SENT, json_is_string(tx) ? json_string_value(tx) : "", why, size))
		return false;
	json_array_foreach (rx, k, chunk) {
		if (!json_is_string(chunk)) {
			snprintf(why, size, "exchange %zu: rx %zu is no text", i + 1, k + 1);
			return false;
		}
		if (!add_text(t, RECEIVED, json_string_value(chunk), why, size))
			return false;
	}
	return add_text(t, ENDED, "", why, size);
}

static bool add_exchanges(struct tape *t, const json_t *exchanges, char *why, size_t size)
{
	json_t *exchange;
	size_t i;

	json_array_foreach (exchanges, i, exchange)
		if (!add_exchange(t, exchange, i, why, size))
			return false;
	return true;
}

/* What one line gives under one protocol. */
struct result {
	const struct protocol *protocol;
	unsigned answered, known_requests, not_answered;
	bool ok;
	bool yields; /* all that was told is protocol.yields' */
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

/* ---- under one protocol ---- */

static void play(struct follow *f, const struct tape *t)
{
	uint64_t now = 0;

	for (size_t i = 0; i < t->count; i++) {
		const struct event *e = &t->event[i];

		now = e->ms > now ? e->ms : now;
		if (e->what == SENT)
			follow_sent(f, event_bytes(t, e), now);
		else if (e->what == RECEIVED)
			follow_received(f, event_bytes(t, e), now);
		else
			follow_end(f, now);
	}
	follow_flush(f, now);
}

static struct result decode_as(const struct protocol *protocol, const struct tape *tape,
			       const struct protocol_options *options)
{
	struct result r = {.protocol = protocol, .readings = json_array()};
	struct follow *f = malloc(sizeof(*f));

	if (!f || !follow_init(f, protocol, options)) {
		snprintf(r.error, sizeof(r.error), "out of memory");
		free(f);
		return r;
	}
	play(f, tape);
	r.answered = f->answered;
	r.known_requests = f->known_requests;
	r.not_answered = f->not_answered;
	/* Bytes that can't be believed take nothing away from those that can; alone, they are an error. */
	r.ok = f->answered > 0 || (!f->not_answered && !f->unknown_requests && f->known_requests);
	if (!r.ok)
		snprintf(r.error, sizeof(r.error), "%s", f->error[0] ? f->error : "no frame of this protocol");
	r.yields = protocol->yields != 0;
	for (unsigned i = 0; i < f->device_count && r.ok; i++) {
		struct follow_device *d = &f->device[i];
		struct reading reading = d->dev.reading;

		if (!d->told)
			continue;
		r.yields = r.yields && protocol->yields >> d->dev.dialect & 1;
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
	/* A battery's second language only counts where nobody speaks a first one. */
	if (a->answered && b->answered && a->yields != b->yields)
		return b->yields;
	if (a->answered != b->answered)
		return a->answered > b->answered;
	return a->known_requests > b->known_requests;
}

/* A name that is no link says nothing; frames speak for themselves. */
static bool link_fits(const struct protocol *p, const char *name, bool can)
{
	if (can || p->link == LINK_CAN)
		return can == (p->link == LINK_CAN);
	for (int kind = LINK_SERIAL; name && kind <= LINK_MQTT; kind++)
		if (!strcmp(name, link_kind_name((enum link_kind)kind)))
			return p->link == (enum link_kind)kind || (kind == LINK_BLE && p->also_ble);
	return true;
}

/* Tries every protocol of the link and keeps the one that makes most of the bytes. */
static struct result decode_any(const struct tape *tape, const char *link, const struct protocol_options *options)
{
	struct result best = {.readings = json_array()};

	snprintf(best.error, sizeof(best.error), "no protocol recognises these bytes");
	for (unsigned i = 0; protocols_all()[i]; i++) {
		if (!link_fits(protocols_all()[i], link, tape->can))
			continue;
		struct result r = decode_as(protocols_all()[i], tape, options);

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
	struct result r = {.protocol = protocol};
	struct tape tape = {.can = false};
	char name[128];
	int status;

	snprintf(name, sizeof(name), "%s", given ? given : "");
	if (!given)
		snprintf(name, sizeof(name), "line %u", number);
	if (!json_is_array(exchanges)) {
		snprintf(r.error, sizeof(r.error), "the line has no list \"exchanges\"");
	} else if (add_exchanges(&tape, exchanges, r.error, sizeof(r.error))) {
		read_options(json_object_get(line, "options"), &options);
		if (!json_object_get(line, "options"))
			read_options(json_object_get(json_object_get(line, "also"), "config"), &options);
		r = protocol ? decode_as(protocol, &tape, &options)
			     : decode_any(&tape, json_string_value(json_object_get(line, "link")), &options);
	}
	tape_free(&tape);
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

/* ---- recordings ---- */

enum { MAX_RECORDED_PORTS = 32 };

struct recorded_port {
	char name[sizeof(((struct record *)0)->port)];
	const struct protocol *protocol;
	struct tape tape;
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

	*p = (struct recorded_port){.protocol = NULL};
	snprintf(p->name, sizeof(p->name), "%s", name);
	return p;
}

/* Keeps what the record says. Returns 0, or 1 when it can't (said on standard output). */
static int gather(struct recorded *r, const struct record *rec, unsigned number)
{
	struct recorded_port *p = recorded_port(r, rec->port);
	bool sent = rec->kind == RECORD_SENT;

	if (!p)
		return print_line_error(number, "too many ports in one recording");
	if (rec->kind == RECORD_PROTOCOL && !p->protocol)
		p->protocol = rec->protocol;
	if (!sent && rec->kind != RECORD_RECEIVED)
		return 0;
	p->tape.can = p->tape.can || rec->can;
	if (tape_add(&p->tape, sent ? SENT : RECEIVED, (uint64_t)(rec->t * 1000 + 0.5),
		     (struct bytes){rec->bytes, rec->n}))
		return 0;
	return print_line_error(number, "out of memory");
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

/* A bus may carry several protocols: all of them are looked for, or the one that the user has named. Returns as
 * decode_recorded(). */
static int decode_bus(struct recorded_cycle *cycle, const struct tape *t, const struct protocol *protocol)
{
	const struct protocol *const one[] = {protocol, NULL};
	unsigned before = cycle->recorded->readings;
	struct follow_bus bus;
	char regret[160] = "out of memory";
	uint64_t now = 0;

	if (!follow_bus_init(&bus, protocol ? one : protocols_all(), NULL))
		return print_error(cycle->port, "%s", regret);
	bus.cycle = print_cycle;
	bus.ctx = cycle;
	for (size_t i = 0; i < t->count; i++) {
		now = t->event[i].ms > now ? t->event[i].ms : now;
		follow_bus_hears(&bus, event_bytes(t, &t->event[i]), now);
	}
	follow_bus_flush(&bus, now);
	follow_bus_regret(&bus, regret, sizeof(regret));
	follow_bus_free(&bus);
	return cycle->recorded->readings > before ? 0 : print_error(cycle->port, "%s", regret);
}

static void decode_conversation(struct recorded_cycle *cycle, const struct tape *t, const struct protocol *protocol)
{
	struct follow *f = malloc(sizeof(*f));

	if (f && follow_init(f, protocol, NULL)) {
		f->cycle = print_cycle;
		f->ctx = cycle;
		play(f, t);
		follow_free(f);
	}
	free(f);
}

static const struct protocol *recognise(const struct tape *t)
{
	struct result best = decode_any(t, NULL, NULL);
	const struct protocol *protocol = best.protocol;

	result_free(&best);
	return protocol;
}

/* Returns 0, or 1 when nothing of the port could be decoded. */
static int decode_recorded(struct recorded *recorded, const struct recorded_port *p, const struct protocol *protocol)
{
	struct recorded_cycle cycle = {recorded, p->name};
	unsigned before = recorded->readings;
	bool can = p->tape.can || (p->protocol && p->protocol->link == LINK_CAN);

	if (can)
		return decode_bus(&cycle, &p->tape, protocol);
	if (!protocol)
		protocol = p->protocol;
	if (!protocol)
		protocol = recognise(&p->tape);
	if (!protocol)
		return print_error(p->name, "no protocol recognises these bytes");
	decode_conversation(&cycle, &p->tape, protocol);
	return recorded->readings > before ? 0 : print_error(p->name, "no whole poll cycle was recorded");
}

static int decode_all_recorded(struct recorded *r, const struct protocol *protocol)
{
	int wrong = 0;

	for (unsigned i = 0; i < r->count; i++) {
		wrong += decode_recorded(r, &r->port[i], protocol);
		tape_free(&r->port[i].tape);
	}
	return wrong;
}

/* ---- the file ---- */

/* A line of a file that is no candump log: a capture, or a record of a recording. Returns how many are wrong. */
static int decode_json(struct recorded *recorded, const struct recording *file, const struct protocol *protocol,
		       bool check)
{
	static struct record rec;
	json_error_t error;
	json_t *line = json_loads(file->text, JSON_REJECT_DUPLICATES, &error);
	char why[160];
	int wrong = 0;

	if (!json_is_object(line))
		wrong = print_line_error(file->line, "this line is no JSON object");
	else if (!record_is(line))
		wrong = decode_line(line, file->line, protocol, check);
	else if (!record_parse(line, &rec, why, sizeof(why)))
		wrong = print_line_error(file->line, why);
	else if (rec.kind != RECORD_HEADER)
		wrong = gather(recorded, &rec, file->line);
	json_decref(line);
	return wrong;
}

static int decode_candump(struct recorded *recorded, struct recording *file)
{
	static struct record rec;
	char why[160];
	int got = recording_take(file, &rec, why, sizeof(why));

	if (got < 0)
		return print_line_error(file->line, why);
	return got ? gather(recorded, &rec, file->line) : 0;
}

int decode_file(const char *path, const struct protocol *protocol, bool check)
{
	struct recording file = {.file = strcmp(path, "-") ? fopen(path, "r") : stdin};
	struct recorded *recorded = calloc(1, sizeof(*recorded));
	unsigned lines = 0, wrong = 0;

	if (!file.file || !recorded) {
		fprintf(stderr, "bmscope decode: %s: %s\n", path, strerror(errno));
		free(recorded);
		return 2;
	}
	for (; recording_line(&file); lines++)
		wrong += (unsigned)(file.candump ? decode_candump(recorded, &file)
						 : decode_json(recorded, &file, protocol, check));
	bool unreadable = ferror(file.file);
	if (unreadable)
		fprintf(stderr, "bmscope decode: %s: %s\n", path, strerror(errno));
	wrong += (unsigned)decode_all_recorded(recorded, protocol);
	free(recorded);
	recording_free(&file);
	if (file.file != stdin)
		fclose(file.file);
	if (check)
		printf("%s: %u lines, %u right, %u wrong\n", path, lines, lines - wrong, wrong);
	return unreadable ? 2 : wrong ? 1 : 0;
}
