/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dbus/daemon.h"

#include <stdio.h>

#include "dbus/publisher.h"

struct daemon {
	uv_loop_t *loop;
	struct engine *engine;
	struct publisher *publisher;
	const struct daemon_options *options;
	uv_signal_t terminate, interrupt, hangup;
};

static void on_end(uv_signal_t *signal, int number)
{
	struct daemon *d = signal->data;

	engine_log(d->engine, LOG_INFO, "%s: ending", number == SIGTERM ? "SIGTERM" : "SIGINT");
	uv_stop(d->loop);
}

static void on_hangup(uv_signal_t *signal, int number)
{
	struct daemon *d = signal->data;
	const struct config *config = d->options->reload(d->options->ctx);

	(void)number;
	if (!config) {
		engine_log(d->engine, LOG_ERROR, "the configuration has errors; the one before stays in force");
		return;
	}
	publisher_reconfigure(d->publisher, config);
	engine_log(d->engine, LOG_INFO, "the configuration was read again");
}

static void start_signal(struct daemon *d, uv_signal_t *signal, uv_signal_cb cb, int number)
{
	uv_signal_init(d->loop, signal);
	signal->data = d;
	uv_signal_start(signal, cb, number);
}

int daemon_run(uv_loop_t *loop, struct engine *e, const struct daemon_options *o)
{
	struct daemon d = {.loop = loop, .engine = e, .options = o};
	struct publisher_options options = {
		.config = o->config,
		.bus = o->bus,
		.read_only = o->read_only,
		.experimental = o->experimental,
		.addressed = o->addressed,
	};
	char why[256];

	d.publisher = publisher_new(loop, e, &options, why, sizeof(why));
	if (!d.publisher) {
		fprintf(stderr, "bmscope: %s\n", why);
		return 2;
	}
	start_signal(&d, &d.terminate, on_end, SIGTERM);
	start_signal(&d, &d.interrupt, on_end, SIGINT);
	start_signal(&d, &d.hangup, on_hangup, SIGHUP);
	uv_run(loop, UV_RUN_DEFAULT);
	publisher_free(d.publisher);
	uv_close((uv_handle_t *)&d.terminate, NULL);
	uv_close((uv_handle_t *)&d.interrupt, NULL);
	uv_close((uv_handle_t *)&d.hangup, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
	return 0;
}
