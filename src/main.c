/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the user asked for -> which face; nothing else. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arguments.h"
#include "console/config_cmd.h"
#include "console/decode.h"
#include "console/limits.h"
#include "console/oneshot.h"
#include "console/protocols_cmd.h"
#include "console/shell.h"
#include "dbus/daemon.h"
#include "dbus/sensors.h"
#include "demo.h"
#include "log.h"
#include "start.h"
#include "ui/screen.h"

enum { TEXT_VIEW_READINGS = 3 };

static struct oneshot_options oneshot_options(const struct arguments *a)
{
	return (struct oneshot_options){
		.json = a->json,
		.watch = a->watch,
		.quick = a->quick,
		.yes = a->yes,
		.count = a->count,
		.seconds = a->seconds,
	};
}

static int run_set(struct run *r)
{
	const struct arguments *a = r->arguments;
	struct oneshot_options o = oneshot_options(a);
	struct command c;
	char why[200];

	if (!command_parse(&c, a->word[0], a->word[1], why, sizeof(why))) {
		fprintf(stderr, "bmscope set: %s\n", why);
		return 2;
	}
	c.experimental = a->experimental;
	int status = run_open(r);
	return status ? status : set_run(&r->loop, r->engine, &c, &o);
}

static int run_record(struct run *r)
{
	const struct arguments *a = r->arguments;
	struct oneshot_options o = oneshot_options(a);
	int error = engine_record(r->engine, a->word[0]); /* before the first byte is sent */

	if (error) {
		fprintf(stderr, "bmscope: %s: %s\n", a->word[0], engine_record_why(error));
		return 3;
	}
	int status = run_open(r);
	return status ? status : record_run(&r->loop, r->engine, &o);
}

static bool has_terminal(void)
{
	const char *term = getenv("TERM");

	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

/* The screen, or where there is no terminal a text view of a few polls. */
static int run_screen(struct run *r)
{
	struct oneshot_options o = oneshot_options(r->arguments);
	int status;

	if (has_terminal()) {
		struct screen_options s = {
			.open = (int (*)(void *))run_open,
			.ctx = r,
			.demo = r->arguments->face == FACE_DEMO,
			.read_only = r->arguments->read_only,
			.experimental = r->arguments->experimental,
		};

		return screen_run(&r->loop, r->engine, &s);
	}
	status = run_open(r);
	if (status)
		return status;
	if (!o.count)
		o.count = TEXT_VIEW_READINGS;
	if (!o.json)
		printf("No terminal: %u readings of every battery as text. `bmscope read --watch` goes on.\n\n", o.count);
	fflush(stdout);
	return read_run(&r->loop, r->engine, &o);
}

static const struct config *reload(void *ctx)
{
	return run_reload(ctx);
}

static int run_face(struct run *r)
{
	const struct arguments *a = r->arguments;
	struct oneshot_options o = oneshot_options(a);
	int status;

	switch (a->face) {
	case FACE_SET:
		return run_set(r);
	case FACE_RECORD:
		return run_record(r);
	case FACE_SCREEN:
	case FACE_DEMO:
		return run_screen(r);
	default:
		break;
	}
	status = run_open(r);
	if (status)
		return status;
	switch (a->face) {
	case FACE_SCAN:
		return scan_run(&r->loop, r->engine, &o);
	case FACE_READ:
		return read_run(&r->loop, r->engine, &o);
	case FACE_SHELL:
		return shell_run(&r->loop, r->engine, a->experimental);
	default: {
		struct daemon_options d = {
			.bus = a->bus,
			.config = &r->config,
			.read_only = a->read_only,
			.experimental = a->experimental,
			.addressed = a->address_count > 0,
			.reload = reload,
			.ctx = r,
		};

		return daemon_run(&r->loop, r->engine, &d);
	}
	}
}

/* The screen shows the log itself. */
static bool is_screen(const struct arguments *a)
{
	return (a->face == FACE_SCREEN || a->face == FACE_DEMO) && has_terminal();
}

static enum log_level log_level(const struct arguments *a)
{
	if (a->verbose)
		return LOG_DEBUG;
	return a->face == FACE_DAEMON ? LOG_INFO : LOG_ERROR;
}

static int run_with_ports(struct arguments *a)
{
	struct demo demo = {.pid = -1};
	struct run r;
	int status = 0;

	if (a->face == FACE_DEMO)
		status = demo_start(&demo);
	for (unsigned i = 0; i < demo.count && !status; i++)
		a->port[a->port_count++] = demo.port[i];
	if (!status)
		status = run_start(&r, a);
	if (!status) {
		struct log_printer log;

		if (!is_screen(a))
			log_printer_start(&log, r.engine, log_level(a));
		struct sensors *sensors = sensors_new(&r.loop, r.engine, a->bus);

		status = run_face(&r);
		sensors_close(sensors);
		run_end(&r);
	}
	demo_end(&demo);
	return status;
}

int main(int argc, char **argv)
{
	static struct arguments a;
	int status = arguments_parse(argc, argv, &a);

	if (status >= 0)
		return status;
	signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of a write, not the end */
	switch (a.face) {
	case FACE_DECODE:
		if (a.protocol[0] && a.protocol[1]) {
			fputs("bmscope decode: --protocol takes one protocol here\n", stderr);
			return 2;
		}
		return decode_file(a.word[0], a.protocol[0], a.check);
	case FACE_LIMITS:
		return limits_file(a.word[0], a.config, !a.mode ? 0 : strcmp(a.mode, "step") ? LIMITS_LINEAR : LIMITS_STEP);
	case FACE_CONFIG:
		return config_command(a.word[0], a.word[1] ? a.word[1] : a.config);
	case FACE_PROTOCOLS:
		return protocols_command(a.json, a.markdown);
	default:
		return run_with_ports(&a);
	}
}
