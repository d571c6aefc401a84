/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/oneshot.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console/settle.h"
#include "console/text.h"
#include "model/json.h"

enum {
	LOOK_MS = 50,
	MAX_SWEEPS = 2, /* the quick one and a patient one */
};

/* What all of them need: a clock to look by, a way to be interrupted. */
struct oneshot {
	uv_loop_t *loop;
	struct engine *engine;
	const struct oneshot_options *options;
	uv_timer_t clock;
	uv_signal_t interrupt, terminate;
	uint64_t started_ms;
	bool interrupted;
	bool progress_shown;
	bool (*look)(struct oneshot *o); /* true: done */
	void *ctx;
};

static void show_progress(struct oneshot *o, bool last)
{
	char line[200];

	if (!isatty(STDERR_FILENO) || o->options->json)
		return;
	line[0] = 0;
	if (!last)
		settle_progress(o->engine, line, sizeof(line));
	if (line[0] || o->progress_shown)
		fprintf(stderr, "\r%-79.79s\r", line);
	o->progress_shown = line[0] != 0;
}

static bool time_is_over(const struct oneshot *o)
{
	double passed = (double)(engine_now_ms(o->engine) - o->started_ms) / 1000;

	return o->options->seconds >= 0 && passed >= o->options->seconds;
}

static void on_clock(uv_timer_t *timer)
{
	struct oneshot *o = timer->data;

	show_progress(o, false);
	if (o->look(o) || time_is_over(o))
		uv_stop(o->loop);
}

static void on_signal(uv_signal_t *signal, int number)
{
	struct oneshot *o = signal->data;

	(void)number;
	o->interrupted = true;
	uv_stop(o->loop);
}

static void run(struct oneshot *o, uv_loop_t *loop, struct engine *e, const struct oneshot_options *options,
		bool (*look)(struct oneshot *o))
{
	o->loop = loop;
	o->engine = e;
	o->options = options;
	o->look = look;
	o->started_ms = engine_now_ms(e);
	uv_timer_init(loop, &o->clock);
	uv_signal_init(loop, &o->interrupt);
	uv_signal_init(loop, &o->terminate);
	o->clock.data = o->interrupt.data = o->terminate.data = o;
	uv_timer_start(&o->clock, on_clock, 0, LOOK_MS);
	uv_signal_start(&o->interrupt, on_signal, SIGINT);
	uv_signal_start(&o->terminate, on_signal, SIGTERM);
	uv_run(loop, UV_RUN_DEFAULT);
	show_progress(o, true);
	uv_close((uv_handle_t *)&o->clock, NULL);
	uv_close((uv_handle_t *)&o->interrupt, NULL);
	uv_close((uv_handle_t *)&o->terminate, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
}

static unsigned max_sweeps(const struct oneshot_options *o)
{
	return o->quick ? 1 : MAX_SWEEPS;
}

static bool look_settled(struct oneshot *o)
{
	return settle(o->engine, max_sweeps(o->options)).pending == 0;
}

static void print_json(json_t *j)
{
	char *line = json_line(j);

	puts(line ? line : "{}");
	fflush(stdout);
	free(line);
	json_decref(j);
}

/* ---- scan ---- */

static json_t *attempts_to_json(const struct port_view *p)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < p->attempt_count; i++) {
		const struct attempt *t = &p->attempt[i];

		json_array_append_new(a, json_pack("{s:s,s:i,s:i,s:s,s:s,s:i,s:i}", "protocol", t->protocol->id, "baud",
						   (int)t->line.baud, "address", t->address, "sent", t->tx, "result", t->say,
						   "ms", (int)t->ms, "received", (int)t->received));
	}
	return a;
}

static json_t *port_to_json(const struct engine *e, const struct port_view *p)
{
	static const char *const state[] = {"absent", "refused", "nothing found", "found", "replaying", "ended"};
	json_t *o = json_pack("{s:s,s:s}", "port", p->name, "state", state[p->state]);
	json_t *found = json_array();

	if (p->description[0])
		json_object_set_new(o, "description", json_string(p->description));
	if (p->error[0])
		json_object_set_new(o, "error", json_string(p->error));
	if (p->bus[0])
		json_object_set_new(o, "bus", json_string(p->bus));
	if (p->trouble[0])
		json_object_set_new(o, "trouble", json_string(p->trouble));
	for (unsigned i = 0; i < engine_packs(e); i++)
		if (!strcmp(engine_pack(e, i)->port, p->name))
			json_array_append_new(found, snapshot_to_json(engine_pack(e, i)));
	json_object_set_new(o, "found", found);
	if (isfinite(p->detected_s))
		json_object_set_new(o, "detected_s", json_real(p->detected_s));
	json_object_set_new(o, "attempts", attempts_to_json(p));
	return o;
}

static void print_found(const struct engine *e, const struct port_view *p)
{
	printf("%s%s%s\n", p->name, p->description[0] ? "  " : "", p->description);
	for (unsigned i = 0; i < engine_packs(e); i++) {
		const struct snapshot *s = engine_pack(e, i);
		char voltage[24], soc[24], cells[24] = "";

		if (strcmp(s->port, p->name) != 0)
			continue;
		text_number(reading_get(&s->reading, Q_VOLTAGE_V), 2, "V", voltage, sizeof(voltage));
		text_number(snapshot_number(s, Q_SOC_PCT), 1, "%", soc, sizeof(soc));
		if (reading_knows(&s->reading, Q_CELL_COUNT))
			snprintf(cells, sizeof(cells), "%.0fS  ", reading_get(&s->reading, Q_CELL_COUNT));
		printf("  found %-10s  %s", s->protocol->id, s->name);
		if (s->addressed)
			printf("  address %u", s->address);
		printf("  %s%s  SoC %s", cells, voltage, soc);
		if (s->protocol->untested)
			printf("  (untested on hardware)");
		if (s->listening)
			printf("  (listening only: the bus has another master)");
		putchar('\n');
	}
	if (isfinite(p->detected_s) && p->link == LINK_CAN)
		printf("  recognised after %.2f s (%s)\n", p->detected_s, p->bus);
	else if (isfinite(p->detected_s))
		printf("  recognised after %.2f s at %u baud\n", p->detected_s, p->line.baud);
	if (p->trouble[0])
		printf("  %s\n", p->trouble);
}

int scan_run(uv_loop_t *loop, struct engine *e, const struct oneshot_options *options)
{
	struct oneshot o = {0};
	struct port_view p;

	if (!engine_ports(e)) {
		if (options->json)
			print_json(json_pack("{s:[],s:i}", "ports", "found", 0));
		fputs("bmscope: this machine has no serial port; name one if it is of another kind\n", stderr);
		return 1;
	}
	run(&o, loop, e, options, look_settled);
	struct settled result = settle(e, max_sweeps(options));
	json_t *ports = json_array();

	for (unsigned i = 0; engine_port(e, i, &p); i++) {
		if (options->json)
			json_array_append_new(ports, port_to_json(e, &p));
		else if (p.packs)
			print_found(e, &p);
		else
			text_port_trouble(stdout, &p);
	}
	if (options->json)
		print_json(json_pack("{s:O,s:i}", "ports", ports, "found", (int)result.packs));
	json_decref(ports);
	return settled_exit_code(&result);
}

/* ---- read ---- */

struct reader {
	struct oneshot o;
	struct observer observer;
	bool live;          /* every reading is printed as it comes */
	unsigned printed[1024]; /* by pack id, modulo */
	unsigned total;
};

static void print_pack(const struct oneshot_options *o, const struct snapshot *s, bool line)
{
	if (o->json) {
		print_json(snapshot_to_json(s));
		return;
	}
	if (line)
		text_pack_line(stdout, s);
	else
		text_pack(stdout, s);
	fflush(stdout);
}

static void live_reading(void *ctx, const struct snapshot *s)
{
	struct reader *r = ctx;
	unsigned *printed = &r->printed[s->id % (sizeof(r->printed) / sizeof(r->printed[0]))];

	if (s->state != PACK_ONLINE || s->failures || !s->identified)
		return;
	if (r->o.options->count && *printed >= r->o.options->count)
		return;
	print_pack(r->o.options, s, *printed > 0);
	++*printed;
	r->total++;
}

/* With a count: every battery that was found has been printed so often, and no port is still looked at. */
static bool look_counted(struct oneshot *o)
{
	const struct reader *r = o->ctx;
	struct settled now = settle(o->engine, max_sweeps(o->options));

	if (!o->options->count)
		return now.pending == 0 && now.packs == 0 && now.refused < now.ports && !r->total;
	if (now.pending)
		return false;
	for (unsigned i = 0; i < engine_packs(o->engine); i++)
		if (r->printed[engine_pack(o->engine, i)->id % 1024] < o->options->count)
			return false;
	return true;
}

static void print_trouble(const struct engine *e)
{
	struct port_view p;

	if (!engine_ports(e))
		fputs("bmscope: this machine has no serial port; name one if it is of another kind\n", stderr);
	for (unsigned i = 0; engine_port(e, i, &p); i++)
		if (!p.packs && p.state != PORT_ENDED && p.state != PORT_REPLAYING)
			text_port_trouble(stderr, &p);
}

int read_run(uv_loop_t *loop, struct engine *e, const struct oneshot_options *options)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (!r)
		return 3;
	r->o.ctx = r;
	r->live = options->watch || options->count;
	r->observer = (struct observer){.pack = live_reading, .ctx = r};
	if (r->live)
		engine_observe(e, &r->observer);
	run(&r->o, loop, e, options, r->live ? look_counted : look_settled);
	if (r->live)
		engine_unobserve(e, &r->observer);
	struct settled result = settle(e, max_sweeps(options));
	int status = settled_exit_code(&result);

	for (unsigned i = 0; i < engine_packs(e) && !r->live; i++)
		if (engine_pack(e, i)->reading_ms)
			print_pack(options, engine_pack(e, i), false);
	if (r->total)
		status = 0;
	if (status)
		print_trouble(e);
	free(r);
	return status;
}

/* ---- set ---- */

struct setter {
	struct oneshot o;
	bool done;
	struct command_outcome outcome;
};

static bool look_done(struct oneshot *o)
{
	const struct setter *s = o->ctx;

	return s->done;
}

static void on_outcome(void *ctx, unsigned pack, const struct command *c, const struct command_outcome *outcome)
{
	struct setter *s = ctx;

	(void)pack;
	(void)c;
	s->outcome = *outcome;
	s->done = true;
	uv_stop(s->o.loop);
}

/* The person's yes. */
static bool agreed(const struct engine *e, const struct snapshot *s, const struct command *c)
{
	char text[64], hex[2 * MAX_REQUEST + 1], answer[16];

	command_text(c, text, sizeof(text));
	engine_command_preview(e, s->id, c, hex, sizeof(hex));
	fprintf(stderr, "%s on %s (%s, %s", text, s->name, s->port, s->protocol->id);
	if (s->addressed)
		fprintf(stderr, ", address %u", s->address);
	fprintf(stderr, ")\n");
	if (hex[0])
		fprintf(stderr, "will send: %s\n", hex);
	if (c->kind == COMMAND_DISCHARGE && c->value == 0)
		fputs("This cuts off everything behind the BMS, perhaps this computer too.\n", stderr);
	fputs("Do it? [y/N] ", stderr);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* The battery that is meant: the only one there is. */
static const struct snapshot *the_pack(const struct engine *e)
{
	if (engine_packs(e) == 1)
		return engine_pack(e, 0);
	fputs("bmscope: several batteries answer; choose one with --port and --address:\n", stderr);
	for (unsigned i = 0; i < engine_packs(e); i++) {
		const struct snapshot *s = engine_pack(e, i);

		fprintf(stderr, "  --port %s", s->port);
		if (s->addressed)
			fprintf(stderr, " --address %u", s->address);
		fprintf(stderr, "   %s\n", s->name);
	}
	return NULL;
}

static int report_outcome(const struct snapshot *s, const struct command *c, const struct command_outcome *outcome,
			  bool json)
{
	char text[64];

	command_text(c, text, sizeof(text));
	if (json)
		print_json(json_pack("{s:s,s:s,s:s,s:s}", "command", text, "battery", s->identifier, "outcome",
				     command_result_name(outcome->result), "said", outcome->say));
	else
		printf("%s: %s: %s\n", text, command_result_name(outcome->result), outcome->say);
	return outcome->result == COMMAND_DONE ? 0 : 1;
}

int set_run(uv_loop_t *loop, struct engine *e, const struct command *c, const struct oneshot_options *options)
{
	struct setter s = {.o = {0}};
	struct oneshot wait = {0};
	const struct snapshot *pack;
	const char *why;

	if (!options->yes && !isatty(STDIN_FILENO)) {
		fputs("bmscope: nobody to ask at this input; --yes does it without asking\n", stderr);
		return 2;
	}
	run(&wait, loop, e, options, look_settled);
	if (wait.interrupted)
		return 1;
	struct settled result = settle(e, max_sweeps(options));
	if (!result.packs) {
		print_trouble(e);
		return settled_exit_code(&result);
	}
	pack = the_pack(e);
	if (!pack)
		return 2;
	if (!engine_can(e, pack->id, c, &why)) {
		snprintf(s.outcome.say, sizeof(s.outcome.say), "%s", why);
		s.outcome.result = COMMAND_REFUSED;
		return report_outcome(pack, c, &s.outcome, options->json);
	}
	if (!options->yes && !agreed(e, pack, c)) {
		fputs("not done\n", stderr);
		return 1;
	}
	if (engine_command(e, pack->id, c, on_outcome, &s))
		return 3;
	s.o.ctx = &s;
	run(&s.o, loop, e, options, look_done);
	if (!s.done) {
		fputs("bmscope: interrupted; whether the command took effect is not known\n", stderr);
		return 1;
	}
	pack = engine_packs(e) ? engine_pack(e, 0) : pack;
	return report_outcome(pack, c, &s.outcome, options->json);
}

/* ---- record ---- */

static bool look_never(struct oneshot *o)
{
	(void)o;
	return false;
}

int record_run(uv_loop_t *loop, struct engine *e, const struct oneshot_options *options)
{
	struct oneshot o = {0};
	struct port_view p;
	int error = engine_record_check(e);

	if (error) {
		fprintf(stderr, "bmscope record: %s\n", engine_record_why(error));
		engine_record_stop(e);
		return 2;
	}
	if (isatty(STDERR_FILENO))
		fputs("recording; Ctrl-C ends it\n", stderr);
	run(&o, loop, e, options, look_never);
	bool complete = engine_recording(e);
	engine_record_stop(e);
	for (unsigned i = 0; engine_port(e, i, &p); i++)
		fprintf(stderr, "%s: %llu bytes sent, %llu received%s%s\n", p.name, (unsigned long long)p.stats.bytes_out,
			(unsigned long long)p.stats.bytes_in, p.protocol ? ", " : "", p.protocol ? p.protocol->id : "");
	return complete ? 0 : 3;
}
