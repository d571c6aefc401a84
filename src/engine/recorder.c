/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing and reading recordings. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/candump.h"
#include "engine/internal.h"
#include "engine/recording.h"
#include "model/json.h"
#include "model/wire.h"

struct recorder {
	FILE *file;
	char path[256];
	bool candump;
	uint64_t start_ms;
	uint64_t start_ns;	 /* of the same clock, and */
	uint64_t start_epoch_us; /* what the wall clock said then */
	int error;		 /* the first one; nothing is written any more */
};

static void put(struct recorder *r, json_t *o)
{
	char *line = json_line(o);

	json_decref(o);
	if (!r->error && (!line || fprintf(r->file, "%s\n", line) < 0))
		r->error = errno ? errno : EIO;
	free(line);
}

static json_t *record(const struct recorder *r, const struct engine *e, const struct port *port)
{
	json_t *o = json_object();

	json_object_set_new(o, "t", json_real((double)(engine_now_ms(e) - r->start_ms) / 1000));
	json_object_set_new(o, "port", json_string(port->name));
	return o;
}

static void put_json(struct recorder *r, const struct engine *e, const struct port *port, enum traffic_kind kind,
		     const char *text)
{
	static const char *const key[] = {"tx", "rx", "note"};
	json_t *o = record(r, e, port);

	json_object_set_new(o, key[kind], json_string(text));
	put(r, o);
}

static void put_candump(struct recorder *r, const struct port *port, bool sent, struct bytes frame)
{
	uint64_t us = r->start_epoch_us + (uv_hrtime() - r->start_ns) / 1000;

	if (candump_write(r->file, us, port->name, frame, sent) < 0)
		r->error = errno ? errno : EIO;
}

void recorder_write(struct recorder *r, const struct engine *e, const struct port *port, enum traffic_kind kind,
		    struct bytes b, const char *note)
{
	char text[2 * RECORD_BYTES + 1];
	bool can = port_link(port) == LINK_CAN;

	if (!r || r->error || (r->candump && (!can || kind == TRAFFIC_NOTE)))
		return;
	if (kind == TRAFFIC_NOTE) {
		put_json(r, e, port, kind, note);
		return;
	}
	for (bool first = true; (first || b.n) && !r->error; first = false) {
		struct bytes part = bytes_sub(b, 0, can ? CAN_BYTES : RECORD_BYTES);

		b = bytes_sub(b, part.n, b.n);
		if (r->candump) {
			put_candump(r, port, kind == TRAFFIC_SENT, part);
			continue;
		}
		wire_text(can ? LINK_CAN : LINK_SERIAL, part, text, sizeof(text));
		put_json(r, e, port, kind, text);
	}
}

void recorder_note_line(struct recorder *r, const struct engine *e, const struct port *port)
{
	if (!r || r->error || r->candump)
		return;
	json_t *o = record(r, e, port);

	json_object_set_new(o, "line",
			    json_sprintf("%u %u%c%u", port->line.baud, port->line.data_bits, port->line.parity,
					 port->line.stop_bits));
	put(r, o);
}

void recorder_note_protocol(struct recorder *r, const struct engine *e, const struct port *port)
{
	if (!r || r->error || r->candump || !port->protocol)
		return;
	json_t *o = record(r, e, port);

	json_object_set_new(o, "protocol", json_string(port->protocol->id));
	put(r, o);
}

static bool is_log(const char *path)
{
	size_t n = strlen(path);

	return n > 4 && !strcmp(path + n - 4, ".log");
}

static bool has_can(const struct engine *e)
{
	for (unsigned i = 0; i < e->port_count; i++)
		if (port_link(e->port[i]) == LINK_CAN)
			return true;
	return false;
}

int engine_record_check(const struct engine *e)
{
	return e->recorder && e->recorder->candump && !has_can(e) ? -EPROTONOSUPPORT : 0;
}

const char *engine_record_why(int error)
{
	if (error == -EPROTONOSUPPORT)
		return "a file named .log holds CAN frames only, and there is no CAN interface";
	return strerror(-error);
}

/* Says in the file what it is, and what is spoken where: it may begin in the middle. */
static void put_beginning(struct recorder *r, struct engine *e)
{
	char started[32];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", &tm);
	put(r, json_pack("{s:s,s:i,s:s}", "recording", "bmscope", "version", 1, "started", started));
	for (unsigned i = 0; i < e->port_count; i++) {
		if (!e->port[i]->link)
			continue;
		recorder_note_line(r, e, e->port[i]);
		if (e->port[i]->state == PORT_RUNNING)
			recorder_note_protocol(r, e, e->port[i]);
	}
}

int engine_record(struct engine *e, const char *path)
{
	if (e->recorder)
		return -EBUSY;
	if (is_log(path) && e->port_count && !has_can(e))
		return -EPROTONOSUPPORT;
	struct recorder *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->file = fopen(path, "we");
	if (!r->file) {
		int error = errno;

		free(r);
		return -error;
	}
	snprintf(r->path, sizeof(r->path), "%s", path);
	r->candump = is_log(path);
	r->start_ms = engine_now_ms(e);
	r->start_ns = uv_hrtime();
	r->start_epoch_us = (uint64_t)(wall_now() * 1e6);
	if (!r->candump)
		put_beginning(r, e);
	e->recorder = r;
	return 0;
}

void recorder_flush(struct engine *e)
{
	struct recorder *r = e->recorder;

	if (!r)
		return;
	if (!r->error && fflush(r->file))
		r->error = errno;
	if (r->error) {
		engine_log(e, LOG_ERROR, "the recording %s has ended: %s", r->path, strerror(r->error));
		engine_record_stop(e);
	}
}

void engine_record_stop(struct engine *e)
{
	struct recorder *r = e->recorder;

	if (!r)
		return;
	e->recorder = NULL;
	if (fclose(r->file) && !r->error)
		engine_log(e, LOG_ERROR, "the recording %s is incomplete: %s", r->path, strerror(errno));
	free(r);
}

bool engine_recording(const struct engine *e)
{
	return e->recorder != NULL;
}

/* ---- reading ---- */

bool record_is(const json_t *line)
{
	return json_object_get(line, "recording") || (json_object_get(line, "t") && json_object_get(line, "port"));
}

static bool parse_bytes(const json_t *hex, struct record *out, char *why, size_t size)
{
	const char *text = json_string_value(hex);
	int n = text ? wire_parse(text, out->bytes, sizeof(out->bytes)) : -1;

	if (n < 0) {
		snprintf(why, size, "tx and rx must be hexadecimal, at most %d bytes, or a CAN frame (ID#DATA)",
			 RECORD_BYTES);
		return false;
	}
	out->can = wire_is_can(text);
	out->n = (size_t)n;
	return true;
}

bool record_parse(const json_t *line, struct record *out, char *why, size_t size)
{
	const json_t *v;

	out->kind = RECORD_HEADER;
	out->t = 0;
	out->port[0] = out->text[0] = 0;
	out->protocol = NULL;
	out->can = false;
	out->n = 0;
	v = json_object_get(line, "recording");
	if (v) {
		const json_t *version = json_object_get(line, "version");

		if (json_integer_value(version) == 1)
			return true;
		snprintf(why, size, "this recording is of a version that this bmscope does not know");
		return false;
	}
	v = json_object_get(line, "t");
	out->t = json_is_number(v) ? json_number_value(v) : NAN;
	if (!(out->t >= 0 && out->t < 1e9) || !json_is_string(json_object_get(line, "port"))) {
		snprintf(why, size, "a record needs \"t\" (seconds) and \"port\"");
		return false;
	}
	snprintf(out->port, sizeof(out->port), "%s", json_string_value(json_object_get(line, "port")));
	if ((v = json_object_get(line, "tx")) || (v = json_object_get(line, "rx"))) {
		out->kind = json_object_get(line, "tx") ? RECORD_SENT : RECORD_RECEIVED;
		return parse_bytes(v, out, why, size);
	}
	if ((v = json_object_get(line, "protocol"))) {
		out->kind = RECORD_PROTOCOL;
		out->protocol = json_is_string(v) ? protocol_by_id(json_string_value(v)) : NULL;
		return true;
	}
	out->kind = json_object_get(line, "line") ? RECORD_LINE : RECORD_NOTE;
	v = json_object_get(line, out->kind == RECORD_LINE ? "line" : "note");
	snprintf(out->text, sizeof(out->text), "%s", json_is_string(v) ? json_string_value(v) : "");
	return true;
}

bool recording_line(struct recording *r)
{
	while (getline(&r->text, &r->room, r->file) > 0) {
		r->line++;
		if (!r->text[strspn(r->text, " \t\r\n")])
			continue;
		if (!r->begun)
			r->candump = candump_is(r->text);
		r->begun = true;
		return true;
	}
	return false;
}

static int take_candump(struct recording *r, struct record *out, char *why, size_t size)
{
	int got = candump_parse(r->text, out, why, size);

	if (got < 0)
		return got;
	if (!r->timed)
		r->t0 = out->t;
	r->timed = true;
	out->t = out->t > r->t0 ? out->t - r->t0 : 0;
	return got;
}

static int take_json(const struct recording *r, struct record *out, char *why, size_t size)
{
	json_error_t error;
	json_t *line = json_loads(r->text, JSON_REJECT_DUPLICATES, &error);
	bool ok = json_is_object(line) && record_is(line);

	snprintf(why, size, "%s", line ? "no record of a recording" : error.text);
	ok = ok && record_parse(line, out, why, size);
	json_decref(line);
	return !ok ? -1 : out->kind != RECORD_HEADER;
}

int recording_take(struct recording *r, struct record *out, char *why, size_t size)
{
	return r->candump ? take_candump(r, out, why, size) : take_json(r, out, why, size);
}

int recording_next(struct recording *r, struct record *out, char *why, size_t size)
{
	char say[160];

	while (recording_line(r)) {
		int got = recording_take(r, out, say, sizeof(say));

		if (got < 0)
			snprintf(why, size, "line %u: %s", r->line, say);
		if (got)
			return got;
	}
	return 0;
}

bool recording_rewind(struct recording *r)
{
	r->line = 0;
	return fseek(r->file, 0, SEEK_SET) == 0;
}

void recording_free(struct recording *r)
{
	free(r->text);
	r->text = NULL;
	r->room = 0;
}
