/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Commands: what may be asked, doing it, and the journal of what was changed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/durable.h"
#include "engine/internal.h"
#include "model/json.h"
#include "model/wire.h"
#include "protocols/procedure.h"

/* With SOC_CALCULATION the SoC that is shown is counted here; the BMS is not told. */
static bool is_counted(const struct engine *e, const struct pack *p, const struct command *c)
{
	return c->kind == COMMAND_SOC && engine_pack_config(e, p->snap.id)->soc_calculation;
}

static const char *against(const struct engine *e, const struct pack *p, const struct command *c)
{
	const struct protocol *protocol = p->snap.protocol;

	if (is_counted(e, p, c))
		return e->options.read_only ? "bmscope runs with --read-only" : NULL;
	if (!(protocol->commands >> c->kind & 1))
		return "this BMS has no such command on this link";
	if ((protocol->experimental >> c->kind & 1) && !c->experimental)
		return "never proven on hardware: only with --experimental";
	if (e->options.read_only)
		return "bmscope runs with --read-only";
	if (p->port->replay)
		return "this is a recording";
	if (p->snap.listening)
		return "this bus has another master: bmscope only listens";
	if (!p->sp || !port_session(p->port, p->sp))
		return "the battery does not answer";
	if (p->command.active)
		return "another command is still running";
	return NULL;
}

bool engine_can(const struct engine *e, unsigned pack, const struct command *c, const char **why)
{
	const struct pack *p = pack_by_id(e, pack);

	*why = p ? against(e, p, c) : "no such battery";
	return !*why;
}

/* ---- preview ---- */

static struct wall_time local_time(void)
{
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	return (struct wall_time){tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec};
}

/* Plays the command against a copy that answers everything, until something is written. */
void engine_command_preview(const struct engine *e, unsigned pack, const struct command *c, char *out, size_t size)
{
	const struct pack *p = pack_by_id(e, pack);
	struct procedure procedure = {.command = c, .now = local_time()};
	struct device *copy = p && p->sp ? malloc(sizeof(*copy)) : NULL;
	struct next next;

	out[0] = 0;
	if (!copy || !p->snap.protocol->proceed || is_counted(e, p, c)) {
		free(copy);
		return;
	}
	*copy = p->sp->dev;
	copy->state = malloc(p->snap.protocol->state_size + 1);
	if (copy->state && p->sp->dev.state)
		memcpy(copy->state, p->sp->dev.state, p->snap.protocol->state_size);
	while (copy->state && procedure.taken < MAX_STEPS) {
		procedure_next(copy, &procedure, &next);
		if (next.what == NEXT_END)
			break;
		if (next.what == NEXT_SEND && next.request.writes) {
			wire_text(p->snap.protocol->link, (struct bytes){next.request.tx, next.request.n}, out, size);
			break;
		}
		procedure_answered(&procedure, STEP_ANSWERED, NULL);
	}
	device_free(copy);
	free(copy);
}

/* ---- the journal ---- */

static void add_state(json_t *o, const char *key, const struct reading *r, enum command_kind kind)
{
	static const enum flag flag_of[COMMAND_KINDS] = {
		[COMMAND_CHARGE] = F_CHARGE_MOS,
		[COMMAND_DISCHARGE] = F_DISCHARGE_MOS,
		[COMMAND_BALANCE] = F_BALANCE_ENABLED,
	};

	if (kind == COMMAND_SOC) {
		if (reading_knows(r, Q_SOC_PCT))
			json_object_set_new(o, key, json_from_number(reading_get(r, Q_SOC_PCT)));
	} else if (reading_flag(r, flag_of[kind]) != UNKNOWN) {
		json_object_set_new(o, key, json_boolean(reading_flag(r, flag_of[kind]) == ON));
	}
}

static char *journal_line(const struct pack *p, const struct command_outcome *outcome)
{
	json_t *o = json_object();
	char text[64], stamp[32];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	command_text(&p->command.command, text, sizeof(text));
	json_object_set_new(o, "time", json_string(stamp));
	json_object_set_new(o, "battery", json_string(p->snap.identifier));
	json_object_set_new(o, "port", json_string(p->snap.port));
	json_object_set_new(o, "protocol", json_string(p->snap.protocol->id));
	if (p->snap.addressed)
		json_object_set_new(o, "address", json_integer(p->snap.address));
	json_object_set_new(o, "command", json_string(text));
	add_state(o, "old", &p->command.before, p->command.command.kind);
	/* What the procedure read back stands in the device, not yet in the snapshot. */
	add_state(o, "new", p->sp ? &p->sp->dev.reading : &p->snap.reading, p->command.command.kind);
	json_object_set_new(o, "outcome", json_string(command_result_name(outcome->result)));
	json_object_set_new(o, "said", json_string(outcome->say));
	char *line = json_line(o);
	json_decref(o);
	return line;
}

static void write_journal(const struct pack *p, const struct command_outcome *outcome)
{
	struct engine *e = p->engine;
	char path[300];
	char *line = journal_line(p, outcome);

	snprintf(path, sizeof(path), "%s/journal.jsonl", e->state_dir);
	int error = durable_make_folders(path);
	FILE *f = error || !line ? NULL : fopen(path, "ae");
	if (!f || fprintf(f, "%s\n", line) < 0 || fflush(f) || fsync(fileno(f)))
		engine_log(e, LOG_ERROR, "cannot write the journal %s: %s", path, strerror(error ? error : errno));
	if (f)
		fclose(f);
	free(line);
}

/* ---- doing it ---- */

void deliver_deferred(uv_timer_t *timer)
{
	struct engine *e = timer->data;

	while (e->deferred) {
		struct deferred *d = e->deferred;

		e->deferred = d->next;
		d->done(d->ctx, d->pack, &d->command, &d->outcome);
		free(d);
	}
}

static int defer(struct engine *e, struct deferred d)
{
	struct deferred *copy = malloc(sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	*copy = d;
	struct deferred **end = &e->deferred;
	while (*end)
		end = &(*end)->next;
	*end = copy;
	return uv_timer_start(e->defer_timer, deliver_deferred, 0, 0);
}

void command_done(struct pack *p, const struct command_outcome *outcome)
{
	char text[64];

	if (!p->command.active)
		return;
	p->command.active = false;
	command_text(&p->command.command, text, sizeof(text));
	engine_log(p->engine, outcome->result == COMMAND_DONE ? LOG_INFO : LOG_WARNING, "%s %s: %s: %s: %s",
		   p->snap.port, p->snap.name, text, command_result_name(outcome->result), outcome->say);
	write_journal(p, outcome);
	p->command.done(p->command.ctx, p->snap.id, &p->command.command, outcome);
}

static void end_at_once(struct deferred *d, enum command_result result, const char *say)
{
	d->outcome.result = result;
	snprintf(d->outcome.say, sizeof(d->outcome.say), "%s", say);
}

int engine_command(struct engine *e, unsigned pack, const struct command *c,
		   void (*done)(void *ctx, unsigned pack, const struct command *c, const struct command_outcome *o),
		   void *ctx)
{
	struct pack *p = pack_by_id(e, pack);
	struct wall_time now = local_time();

	if (!p)
		return -ENOENT;
	struct deferred d = {.pack = pack, .command = *c, .done = done, .ctx = ctx};
	const char *why = against(e, p, c);

	if (!why && is_counted(e, p, c)) {
		limits_set_soc(p->linear, c->value);
		limits_set_soc(p->step, c->value);
		end_at_once(&d, COMMAND_DONE, "the counted SoC was set; the BMS keeps its own");
		return defer(e, d);
	}
	int error = why ? 0 : session_command(port_session(p->port, p->sp), p->sp->index, c, &now);
	if (error)
		why = error == -EPERM ? "this bus has another master" : "another command is still running on this port";
	if (why) {
		end_at_once(&d, COMMAND_REFUSED, why);
		return defer(e, d);
	}
	p->command.active = true;
	p->command.command = *c;
	p->command.done = done;
	p->command.ctx = ctx;
	p->command.before = p->snap.reading;
	port_wake(p->port);
	return 0;
}
