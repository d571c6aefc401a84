/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing and reading recordings. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/internal.h"
#include "engine/recording.h"
#include "model/json.h"

struct recorder {
	FILE *file;
	char path[256];
	uint64_t start_ms;
	int error; /* the first one; nothing is written any more */
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

void recorder_write(struct recorder *r, const struct engine *e, const struct port *port, enum traffic_kind kind,
		    struct bytes b, const char *note)
{
	static const char *const key[] = {"tx", "rx", "note"};
	char hex[2 * RECORD_BYTES + 1];

	if (!r || r->error)
		return;
	for (bool first = true; first || b.n; first = false) {
		struct bytes part = bytes_sub(b, 0, RECORD_BYTES);
		json_t *o = record(r, e, port);

		bytes_hex(part, hex, sizeof(hex));
		json_object_set_new(o, key[kind], json_string(kind == TRAFFIC_NOTE ? note : hex));
		put(r, o);
		b = bytes_sub(b, part.n, b.n);
	}
}

void recorder_note_line(struct recorder *r, const struct engine *e, const struct port *port)
{
	if (!r || r->error)
		return;
	json_t *o = record(r, e, port);

	json_object_set_new(o, "line", json_sprintf("%u %u%c%u", port->line.baud, port->line.data_bits, port->line.parity,
						    port->line.stop_bits));
	put(r, o);
}

void recorder_note_protocol(struct recorder *r, const struct engine *e, const struct port *port)
{
	if (!r || r->error || !port->protocol)
		return;
	json_t *o = record(r, e, port);

	json_object_set_new(o, "protocol", json_string(port->protocol->id));
	put(r, o);
}

int engine_record(struct engine *e, const char *path)
{
	char started[32];
	time_t now = time(NULL);
	struct tm tm;

	if (e->recorder)
		return -EBUSY;
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
	r->start_ms = engine_now_ms(e);
	gmtime_r(&now, &tm);
	strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", &tm);
	put(r, json_pack("{s:s,s:i,s:s}", "recording", "bmscope", "version", 1, "started", started));
	e->recorder = r;
	/* A recording that begins in the middle must still tell what is spoken where. */
	for (unsigned i = 0; i < e->port_count; i++) {
		if (!e->port[i]->link)
			continue;
		recorder_note_line(r, e, e->port[i]);
		if (e->port[i]->state == PORT_RUNNING)
			recorder_note_protocol(r, e, e->port[i]);
	}
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
	return json_object_get(line, "recording") ||
	       (json_object_get(line, "t") && json_object_get(line, "port"));
}

static bool parse_bytes(const json_t *hex, struct record *out, char *why, size_t size)
{
	int n = json_is_string(hex) ? bytes_from_hex(json_string_value(hex), out->bytes, sizeof(out->bytes)) : -1;

	if (n < 0) {
		snprintf(why, size, "tx and rx must be hexadecimal, at most %d bytes", RECORD_BYTES);
		return false;
	}
	out->n = (size_t)n;
	return true;
}

bool record_parse(const json_t *line, struct record *out, char *why, size_t size)
{
	const json_t *v;

	out->kind = RECORD_HEADER;
	out->t = 0;
	out->port[0] = out->text[0] = 0;
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
