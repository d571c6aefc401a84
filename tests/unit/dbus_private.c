/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dbus_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define INTERFACE	"com.victronenergy.BusItem"
#define UNREASONABLE_NS (30 * UINT64_C(1000000000))

/* ---- the bus ---- */

static void write_config(const struct private_bus *b, char path[128])
{
	snprintf(path, 128, "%s/bus.conf", b->dir);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fprintf(f,
		"<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"
		" \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
		"<busconfig><type>session</type><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth>\n"
		"<policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>"
		"<allow eavesdrop=\"true\"/><allow own=\"*\"/></policy>"
		"<limit name=\"max_replies_per_connection\">50000</limit></busconfig>\n",
		b->dir);
	assert_int_equal(fclose(f), 0);
}

static void become_daemon(const char *config, int print)
{
	char option[160], where[32];
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* no test leaves one behind */
	dup2(null, 0);
	dup2(null, 2); /* it complains about its limit of descriptors */
	snprintf(option, sizeof(option), "--config-file=%s", config);
	snprintf(where, sizeof(where), "--print-address=%d", print);
	execlp("dbus-daemon", "dbus-daemon", option, "--nofork", "--nopidfile", "--nosyslog", where, (char *)NULL);
	_exit(127);
}

bool private_bus_start(struct private_bus *b)
{
	char config[128], line[256];
	int pipes[2];

	if (!b->dir[0]) {
		snprintf(b->dir, sizeof(b->dir), "%s/bmscope-bus-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
		assert_non_null(mkdtemp(b->dir));
		snprintf(b->address, sizeof(b->address), "unix:path=%s/bus", b->dir);
	}
	write_config(b, config);
	assert_int_equal(pipe(pipes), 0);
	b->pid = fork();
	assert_true(b->pid >= 0);
	if (b->pid == 0) {
		close(pipes[0]);
		become_daemon(config, pipes[1]);
	}
	close(pipes[1]);
	ssize_t n = read(pipes[0], line, sizeof(line)); /* it listens once it has said where */
	close(pipes[0]);
	if (n <= 0)
		private_bus_stop(b);
	return n > 0;
}

void private_bus_stop(struct private_bus *b)
{
	char path[128];

	if (!b->pid)
		return;
	kill(b->pid, SIGCONT);
	kill(b->pid, SIGKILL);
	waitpid(b->pid, NULL, 0);
	b->pid = 0;
	snprintf(path, sizeof(path), "%s/bus", b->dir);
	unlink(path);
}

void private_bus_remove(struct private_bus *b)
{
	char path[128];

	private_bus_stop(b);
	if (!b->dir[0])
		return;
	snprintf(path, sizeof(path), "%s/bus.conf", b->dir);
	unlink(path);
	rmdir(b->dir);
	b->dir[0] = 0;
}

/* ---- the client ---- */

static unsigned count_entries(DBusMessage *m)
{
	DBusMessageIter at;

	return dbus_message_iter_init(m, &at) && dbus_message_iter_get_arg_type(&at) == DBUS_TYPE_ARRAY
		       ? (unsigned)dbus_message_iter_get_element_count(&at)
		       : 0;
}

static DBusHandlerResult hear(DBusConnection *c, DBusMessage *m, void *data)
{
	struct client *client = data;
	const char *name, *old, *new;

	(void)c;
	if (dbus_message_is_signal(m, DBUS_INTERFACE_DBUS, "NameOwnerChanged") &&
	    dbus_message_get_args(m, NULL, DBUS_TYPE_STRING, &name, DBUS_TYPE_STRING, &old, DBUS_TYPE_STRING, &new,
				  DBUS_TYPE_INVALID) &&
	    !strncmp(name, "com.victronenergy.battery.", 26)) {
		client->appeared += *new != 0;
		client->disappeared += *old != 0;
		if (*new && client->on_appear)
			client->on_appear(client, name);
	} else if (dbus_message_has_interface(m, INTERFACE) && dbus_message_get_type(m) == DBUS_MESSAGE_TYPE_SIGNAL) {
		assert_true(client->signals < MAX_SIGNALS);
		client->signal[client->signals].m = dbus_message_ref(m);
		client->signal[client->signals++].paths = count_entries(m);
	} else if (dbus_message_get_reply_serial(m)) {
		client->answers++;
	}
	return DBUS_HANDLER_RESULT_HANDLED;
}

void client_open(struct client *client, uv_loop_t *loop, const struct private_bus *b)
{
	DBusError error;

	memset(client, 0, sizeof(*client));
	client->loop = loop;
	dbus_error_init(&error);
	client->c = dbus_connection_open_private(b->address, &error);
	if (!client->c || !dbus_bus_register(client->c, &error))
		fail_msg("%s", error.message);
	dbus_connection_set_exit_on_disconnect(client->c, FALSE);
	assert_true(dbus_connection_add_filter(client->c, hear, client, NULL));
	dbus_bus_add_match(client->c, "type='signal',interface='" INTERFACE "'", &error);
	dbus_bus_add_match(client->c, "type='signal',sender='" DBUS_SERVICE_DBUS "',member='NameOwnerChanged'", &error);
	assert_false(dbus_error_is_set(&error));
}

void client_forget_signals(struct client *client)
{
	while (client->signals)
		dbus_message_unref(client->signal[--client->signals].m);
}

void client_close(struct client *client)
{
	client_forget_signals(client);
	dbus_connection_close(client->c);
	dbus_connection_unref(client->c);
}

void client_pump(struct client *client)
{
	uv_run(client->loop, UV_RUN_NOWAIT);
	dbus_connection_read_write(client->c, 1);
	while (dbus_connection_dispatch(client->c) == DBUS_DISPATCH_DATA_REMAINS)
		;
}

void client_pump_until(struct client *client, bool (*done)(void *ctx), void *ctx)
{
	uint64_t start = uv_hrtime();

	while (!done(ctx)) {
		if (uv_hrtime() - start > UNREASONABLE_NS)
			fail_msg("what was waited for does not happen");
		client_pump(client);
	}
}

void client_pump_turns(struct client *client, unsigned turns)
{
	while (turns--)
		client_pump(client);
}

static bool completed(void *ctx)
{
	return dbus_pending_call_get_completed(ctx);
}

DBusMessage *client_call(struct client *client, const char *name, const char *path, const char *interface,
			 const char *method, void (*append)(DBusMessageIter *to, const void *ctx), const void *ctx)
{
	DBusMessage *m = dbus_message_new_method_call(name, path, interface, method);
	DBusPendingCall *pending = NULL;
	DBusMessageIter to;

	assert_non_null(m);
	dbus_message_iter_init_append(m, &to);
	if (append)
		append(&to, ctx);
	assert_true(dbus_connection_send_with_reply(client->c, m, &pending, DBUS_TIMEOUT_INFINITE));
	dbus_message_unref(m);
	client_pump_until(client, completed, pending);
	DBusMessage *reply = dbus_pending_call_steal_reply(pending);
	dbus_pending_call_unref(pending);
	return reply;
}

struct basic {
	int type;
	const void *value;
};

static void append_variant(DBusMessageIter *to, const void *ctx)
{
	const struct basic *b = ctx;
	char signature[2] = {(char)b->type, 0};
	DBusMessageIter in;

	dbus_message_iter_open_container(to, DBUS_TYPE_VARIANT, signature, &in);
	dbus_message_iter_append_basic(&in, b->type, b->value);
	dbus_message_iter_close_container(to, &in);
}

int client_set(struct client *client, const char *name, const char *path, int type, const void *value)
{
	struct basic b = {type, value};
	DBusMessage *reply = client_call(client, name, path, INTERFACE, "SetValue", append_variant, &b);
	dbus_int32_t answer = -1000;

	dbus_message_get_args(reply, NULL, DBUS_TYPE_INT32, &answer, DBUS_TYPE_INVALID);
	dbus_message_unref(reply);
	return answer;
}

int client_set_int(struct client *client, const char *name, const char *path, int value)
{
	dbus_int32_t v = value;

	return client_set(client, name, path, DBUS_TYPE_INT32, &v);
}

const char *client_text(struct client *client, const char *name, const char *path)
{
	static char text[4096];
	DBusMessage *reply = client_call(client, name, path, INTERFACE, "GetText", NULL, NULL);
	const char *s = NULL;

	if (!dbus_message_get_args(reply, NULL, DBUS_TYPE_STRING, &s, DBUS_TYPE_INVALID) ||
	    dbus_message_get_type(reply) == DBUS_MESSAGE_TYPE_ERROR)
		s = dbus_message_get_error_name(reply);
	snprintf(text, sizeof(text), "%s", s ? s : "");
	dbus_message_unref(reply);
	return text;
}

const char *client_signature(DBusMessage *reply)
{
	static char text[64];
	DBusMessageIter at, in;

	snprintf(text, sizeof(text), "%s", dbus_message_get_signature(reply));
	if (!strcmp(text, "v") && dbus_message_iter_init(reply, &at)) {
		dbus_message_iter_recurse(&at, &in);
		char *inner = dbus_message_iter_get_signature(&in);
		snprintf(text, sizeof(text), "v:%s", inner);
		dbus_free(inner);
	}
	return text;
}

bool signal_has(DBusMessage *m, const char *path)
{
	DBusMessageIter at, entries;

	if (!dbus_message_iter_init(m, &at))
		return false;
	for (dbus_message_iter_recurse(&at, &entries); dbus_message_iter_get_arg_type(&entries) != DBUS_TYPE_INVALID;
	     dbus_message_iter_next(&entries)) {
		DBusMessageIter entry;
		const char *key;

		dbus_message_iter_recurse(&entries, &entry);
		dbus_message_iter_get_basic(&entry, &key);
		if (!strcmp(key, path))
			return true;
	}
	return false;
}
