/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "start.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "console/config_cmd.h"

/* NULL after the mistakes have been said on standard error. */
static struct configuration *load_configuration(const struct arguments *a)
{
	struct config_report report = {0};
	struct config_names names;
	char list[1024];
	const char *path = a->config;

	if (!path && !access(CONFIG_PATH, R_OK))
		path = CONFIG_PATH;
	config_known_names(&names, list, sizeof(list));
	struct configuration *c = configuration_load(path, &names, &report);
	config_report_print(&report, stderr);
	if (!c)
		fprintf(stderr, "bmscope: the configuration has %u error%s\n", report.errors, report.errors == 1 ? "" : "s");
	config_report_free(&report);
	return c;
}

const struct config *run_reload(struct run *r)
{
	struct configuration *next = load_configuration(r->arguments), *old = r->configuration;

	if (!next)
		return NULL;
	r->configuration = next;
	configuration_for(next, NULL, NULL, NULL, &r->config, NULL);
	engine_reconfigure(r->engine, next);
	configuration_free(old);
	return &r->config;
}

static int choose_protocols(struct run *r)
{
	char why[512];

	if (r->arguments->protocol[0] || !r->config.bms_type[0])
		return 0;
	if (arguments_protocols(r->arguments, r->config.bms_type, why, sizeof(why)))
		return 0;
	fprintf(stderr, "bmscope: BMS_TYPE: %s\n", why);
	return 2;
}

static void choose_addresses(struct run *r)
{
	struct arguments *a = r->arguments;
	const struct number_list *list = &r->config.battery_addresses;

	if (a->address_count)
		return;
	for (unsigned i = 0; i < list->n; i++)
		a->address[a->address_count++] = (uint8_t)list->v[i];
}

int run_start(struct run *r, struct arguments *a)
{
	memset(r, 0, sizeof(*r));
	r->arguments = a;
	r->configuration = load_configuration(a);
	if (!r->configuration)
		return 2;
	configuration_for(r->configuration, NULL, NULL, NULL, &r->config, NULL);
	int status = choose_protocols(r);
	if (status) {
		configuration_free(r->configuration);
		return status;
	}
	choose_addresses(r);
	struct engine_options options = {
		.configuration = r->configuration,
		.protocols = a->protocol[0] ? a->protocol : NULL,
		.addresses = a->address,
		.address_count = a->address_count,
		.poll_s = a->poll_s,
		.read_only = a->read_only,
		.can_up = a->can_up,
		.state_dir = a->state_dir,
		/* Looking once must not close a contactor. */
		.may_master = a->face == FACE_DAEMON || a->face == FACE_SCREEN || a->face == FACE_SHELL ||
			      a->face == FACE_SET,
		.keep_state = a->face == FACE_DAEMON || a->face == FACE_SCREEN || a->face == FACE_SHELL,
	};
	if (uv_loop_init(&r->loop)) {
		fprintf(stderr, "bmscope: cannot make an event loop\n");
		configuration_free(r->configuration);
		return 3;
	}
	r->engine = engine_new(&r->loop, &options);
	if (!r->engine) {
		fprintf(stderr, "bmscope: out of memory\n");
		configuration_free(r->configuration);
		uv_loop_close(&r->loop);
		return 3;
	}
	return 0;
}

/* Network interfaces have no path; those for CAN are called can0, vcan0, slcan0 ... */
static bool is_interface(const char *name)
{
	char device[PORT_NAME + 8];

	snprintf(device, sizeof(device), "/dev/%s", name);
	return access(device, F_OK) && (if_nametoindex(name) || strstr(name, "can"));
}

static int open_port(struct run *r, const char *name)
{
	char path[PORT_NAME + 8];
	bool whole = strpbrk(name, "/:") || is_interface(name);

	/* "ttyUSB0" means /dev/ttyUSB0; "spi:..." says itself what it is. */
	snprintf(path, sizeof(path), "%s%s", whole ? "" : "/dev/", name);
	int error = engine_add_port(r->engine, path);

	if (error >= 0)
		return 0;
	fprintf(stderr, "bmscope: %s: %s\n", name, strerror(-error));
	return 3;
}

int run_open(struct run *r)
{
	const struct arguments *a = r->arguments;
	char why[300];

	if (a->replay) {
		if (!engine_add_replay(r->engine, a->replay, a->replay_speed, why, sizeof(why)))
			return 0;
		fprintf(stderr, "bmscope: %s\n", why);
		return 2;
	}
	for (unsigned i = 0; i < a->port_count; i++) {
		int status = open_port(r, a->port[i]);

		if (status)
			return status;
	}
	if (!a->port_count)
		engine_add_all_ports(r->engine);
	return 0;
}

static void close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void run_end(struct run *r)
{
	engine_free(r->engine);
	uv_run(&r->loop, UV_RUN_NOWAIT);
	/* What a face has left open: its handles are part of it, nothing to free. */
	uv_walk(&r->loop, close_handle, NULL);
	uv_run(&r->loop, UV_RUN_DEFAULT);
	uv_loop_close(&r->loop);
	configuration_free(r->configuration);
}
