/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Batteries on a real bus: names, signals, calls, writes, and what happens when the bus misbehaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dbus/service.h"
#include "dbus_private.h"
#include "dbus_sample.h"

#define NAME "com.victronenergy.battery.ttyUSB0"
#define ITEM "com.victronenergy.BusItem"

/* Stands where the engine stands. */
struct fixture {
	struct private_bus bus;
	uv_loop_t loop;
	struct service_host host;
	struct snapshot s;
	struct config config;
	struct service *service;
	struct client client;
	uint64_t now_ms;
	char log[8192];
	/* commands */
	const char *refusal; /* of can() */
	struct command command;
	unsigned commands;
	void (*done)(void *done_ctx, unsigned pack, const struct command *c, const struct command_outcome *o);
	void *done_ctx;
	int cleared;
	char renamed[CUSTOM_NAME_SIZE];
};

static const struct tree_identity identity = {
	.process_name = "/usr/bin/bmscope",
	.process_version = "0.0",
	.product_id = DEFAULT_PRODUCT_ID,
	.device_instance = 1,
	.can_clear_history = true,
};

static uint64_t fake_now(void *ctx)
{
	return ((struct fixture *)ctx)->now_ms;
}

static void fake_log(void *ctx, enum log_level level, const char *text)
{
	struct fixture *f = ctx;
	size_t n = strlen(f->log);

	(void)level;
	snprintf(f->log + n, sizeof(f->log) - n, "%s\n", text);
}

static bool fake_can(void *ctx, unsigned pack, const struct command *c, const char **why)
{
	struct fixture *f = ctx;

	(void)pack, (void)c;
	*why = f->refusal;
	return !f->refusal;
}

static int fake_command(void *ctx, unsigned pack, const struct command *c,
			void (*done)(void *done_ctx, unsigned pack, const struct command *c,
				     const struct command_outcome *o),
			void *done_ctx)
{
	struct fixture *f = ctx;

	(void)pack;
	assert_null(f->done_ctx); /* one at a time */
	f->command = *c;
	f->commands++;
	f->done = done;
	f->done_ctx = done_ctx;
	return 0;
}

static void fake_clear(void *ctx, unsigned pack, int group)
{
	(void)pack;
	((struct fixture *)ctx)->cleared = group;
}

static void fake_rename(void *ctx, const char *identifier, const char *custom_name)
{
	struct fixture *f = ctx;

	assert_string_equal(identifier, "SAMPLE");
	snprintf(f->renamed, sizeof(f->renamed), "%s", custom_name);
}

/* The command under way ends. */
static void end_command(struct fixture *f, enum command_result result, const char *say)
{
	struct command_outcome o = {.result = result};
	void *ctx = f->done_ctx;

	snprintf(o.say, sizeof(o.say), "%s", say);
	f->done_ctx = NULL;
	f->done(ctx, f->s.id, &f->command, &o);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!private_bus_start(&f->bus)) {
		private_bus_remove(&f->bus);
		free(f);
		if (getenv("CI") || getenv("BENCH_REQUIRED")) {
			print_error("dbus-daemon is not there\n");
			return -1;
		}
		print_message("SKIPPED: dbus-daemon is not there\n");
		exit(77);
	}
	uv_loop_init(&f->loop);
	config_defaults(&f->config);
	f->now_ms = 1000;
	f->host = (struct service_host){
		.loop = &f->loop,
		.say = {fake_log, f},
		.now_ms = fake_now,
		.can = fake_can,
		.command = fake_command,
		.clear_history = fake_clear,
		.rename = fake_rename,
		.ctx = f,
	};
	f->host.hub = bus_hub_new(&f->loop, f->bus.address, f->host.say);
	sample_battery(&f->s, "/dev/ttyUSB0", "SAMPLE");
	client_open(&f->client, &f->loop, &f->bus);
	*state = f;
	return 0;
}

static void free_leftover(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		fail_msg("a %s handle was left open", uv_handle_type_name(handle->type));
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	service_free(f->service);
	bus_hub_free(f->host.hub);
	if (f->done_ctx)
		end_command(f, COMMAND_REFUSED, ""); /* after the service has gone */
	client_close(&f->client);
	uv_walk(&f->loop, free_leftover, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	private_bus_remove(&f->bus);
	free(f);
	return 0;
}

static bool is_claimed(void *ctx)
{
	return service_claimed(((struct fixture *)ctx)->service);
}

static void publish(struct fixture *f)
{
	f->service = service_new(&f->host, NAME, &identity, &f->s, &f->config);
	assert_non_null(f->service);
	client_pump_until(&f->client, is_claimed, f);
	client_forget_signals(&f->client);
}

static void poll_battery(struct fixture *f)
{
	sample_polled(&f->s);
	f->now_ms += 1000;
	f->s.step = f->s.linear;
	service_update(f->service, &f->s, &f->config);
}

static bool has_signal(void *ctx)
{
	return ((struct client *)ctx)->signals > 0;
}

static DBusMessage *call(struct fixture *f, const char *path, const char *interface, const char *method)
{
	return client_call(&f->client, NAME, path, interface, method, NULL, NULL);
}

static void assert_call(struct fixture *f, const char *path, const char *method, const char *signature)
{
	DBusMessage *reply = call(f, path, ITEM, method);

	if (dbus_message_get_type(reply) == DBUS_MESSAGE_TYPE_ERROR)
		assert_string_equal(dbus_message_get_error_name(reply), signature);
	else
		assert_string_equal(client_signature(reply), signature);
	dbus_message_unref(reply);
}

static void assert_text(struct fixture *f, const char *path, const char *text)
{
	assert_string_equal(client_text(&f->client, NAME, path), text);
}

/* ---- names and signals ---- */

struct first_look {
	DBusPendingCall *items;
};

static struct first_look first_look;

static void look_at_once(struct client *client, const char *name)
{
	DBusMessage *m = dbus_message_new_method_call(name, "/", ITEM, "GetItems");

	dbus_connection_send_with_reply(client->c, m, &first_look.items, DBUS_TIMEOUT_INFINITE);
	dbus_message_unref(m);
}

static bool looked(void *ctx)
{
	(void)ctx;
	return first_look.items && dbus_pending_call_get_completed(first_look.items);
}

/* The number on this path in GetItems' reply; NAN when there is none. */
static double item_number(DBusMessage *items, const char *path)
{
	DBusMessageIter at, entries;
	double number = NAN;

	dbus_message_iter_init(items, &at);
	for (dbus_message_iter_recurse(&at, &entries); dbus_message_iter_get_arg_type(&entries) != DBUS_TYPE_INVALID;
	     dbus_message_iter_next(&entries)) {
		DBusMessageIter entry, properties, property, value;
		const char *key;

		dbus_message_iter_recurse(&entries, &entry);
		dbus_message_iter_get_basic(&entry, &key);
		if (strcmp(key, path) != 0)
			continue;
		dbus_message_iter_next(&entry);
		dbus_message_iter_recurse(&entry, &properties);
		dbus_message_iter_recurse(&properties, &property);
		dbus_message_iter_get_basic(&property, &key);
		assert_string_equal(key, "Value");
		dbus_message_iter_next(&property);
		dbus_message_iter_recurse(&property, &value);
		if (dbus_message_iter_get_arg_type(&value) == DBUS_TYPE_DOUBLE)
			dbus_message_iter_get_basic(&value, &number);
	}
	return number;
}

static void who_looks_the_moment_the_name_appears_finds_everything(void **state)
{
	struct fixture *f = *state;

	f->client.on_appear = look_at_once;
	first_look.items = NULL;
	f->service = service_new(&f->host, NAME, &identity, &f->s, &f->config);
	client_pump_until(&f->client, looked, NULL);
	DBusMessage *items = dbus_pending_call_steal_reply(first_look.items);
	dbus_pending_call_unref(first_look.items);
	assert_true(item_number(items, "/Info/MaxChargeVoltage") == 13.8);
	assert_true(item_number(items, "/Info/MaxChargeCurrent") == 50);
	assert_true(item_number(items, "/Dc/0/Voltage") == 13.2);
	dbus_message_unref(items);
	assert_int_equal(f->client.signals, 0);
}

static void a_poll_makes_one_signal_with_what_changed(void **state)
{
	struct fixture *f = *state;

	publish(f);
	f->s.linear.voltage = 13.3;
	f->s.linear.soc = 79.5;
	poll_battery(f);
	client_pump_until(&f->client, has_signal, &f->client);
	client_pump_turns(&f->client, 20);
	assert_int_equal(f->client.signals, 1);
	assert_true(dbus_message_has_member(f->client.signal[0].m, "ItemsChanged"));
	assert_true(dbus_message_has_path(f->client.signal[0].m, "/"));
	assert_string_equal(dbus_message_get_signature(f->client.signal[0].m), "a{sa{sv}}");
	assert_int_equal(f->client.signal[0].paths, 2);
	assert_true(signal_has(f->client.signal[0].m, "/Dc/0/Voltage"));
	assert_true(signal_has(f->client.signal[0].m, "/Soc"));
}

static void a_poll_that_changes_nothing_is_not_heard(void **state)
{
	struct fixture *f = *state;

	publish(f);
	for (int i = 0; i < 50; i++) {
		f->s.linear.voltage = 13.2 + (i % 2 ? 0.001 : -0.001);
		poll_battery(f);
		client_pump(&f->client);
	}
	client_pump_turns(&f->client, 20);
	assert_int_equal(f->client.signals, 0);
}

static void old_consumers_get_one_signal_per_path(void **state)
{
	struct fixture *f = *state;

	f->host.properties_changed = true;
	publish(f);
	f->s.linear.voltage = 13.3;
	f->s.linear.soc = 79.5;
	poll_battery(f);
	client_pump_turns(&f->client, 50);
	assert_int_equal(f->client.signals, 2);
	assert_true(dbus_message_has_member(f->client.signal[0].m, "PropertiesChanged"));
	assert_true(dbus_message_has_path(f->client.signal[0].m, "/Dc/0/Voltage"));
	assert_string_equal(dbus_message_get_signature(f->client.signal[0].m), "a{sv}");
	assert_true(dbus_message_has_path(f->client.signal[1].m, "/Soc"));
}

static void a_battery_with_other_paths_appears_anew(void **state)
{
	struct fixture *f = *state;

	publish(f);
	reading_set(&f->s.reading, Q_CELL_COUNT, 5);
	series_set(&f->s.reading.cell_V, 4, 3.31);
	poll_battery(f);
	assert_false(service_claimed(f->service));
	client_pump_until(&f->client, is_claimed, f);
	client_pump_turns(&f->client, 20);
	assert_int_equal(f->client.disappeared, 1);
	assert_int_equal(f->client.appeared, 2);
	assert_text(f, "/Voltages/Cell5", "3.310V");
}

static void two_batteries_have_two_connections(void **state)
{
	struct fixture *f = *state;
	struct snapshot other;
	struct service *second;

	publish(f);
	sample_battery(&other, "/dev/ttyUSB1", "OTHER");
	second = service_new(&f->host, "com.victronenergy.battery.ttyUSB1", &identity, &other, &f->config);
	struct service *first = f->service;
	f->service = second;
	client_pump_until(&f->client, is_claimed, f);
	f->service = first;
	other.linear.soc = 50;
	service_update(second, &other, &f->config);
	f->s.linear.soc = 40;
	poll_battery(f);
	client_pump_turns(&f->client, 50);
	assert_int_equal(f->client.signals, 2);
	assert_string_not_equal(dbus_message_get_sender(f->client.signal[0].m),
				dbus_message_get_sender(f->client.signal[1].m));
	service_free(second);
}

/* ---- calls ---- */

static void leaves_groups_and_root_answer_in_their_own_ways(void **state)
{
	struct fixture *f = *state;

	publish(f);
	assert_call(f, "/Dc/0/Voltage", "GetValue", "v:d");
	assert_call(f, "/State", "GetValue", "v:i");
	assert_call(f, "/ProductName", "GetValue", "v:s");
	assert_call(f, "/ErrorCode", "GetValue", "v:ai");
	assert_call(f, "/Dc/0/Voltage", "GetText", "s");
	assert_call(f, "/ErrorCode", "GetText", "s");
	assert_text(f, "/ErrorCode", "---");
	assert_call(f, "/Soc", "GetDescription", "s");
	assert_call(f, "/Soc", "GetMin", "v:ai");
	assert_call(f, "/Soc", "GetMax", "v:ai");
	assert_call(f, "/Soc", "GetDefault", "v:ai");
	assert_call(f, "/Settings/ResetSocTo", "GetMax", "v:i");
	assert_call(f, "/Dc", "GetValue", "v:a{sv}");
	assert_call(f, "/Dc/0", "GetText", "v:a{ss}");
	assert_call(f, "/", "GetValue", "v:a{sv}");
	assert_call(f, "/", "GetText", "v:a{ss}");
	assert_call(f, "/", "GetItems", "a{sa{sv}}");
}

static void what_is_not_there_is_refused_by_its_proper_error(void **state)
{
	struct fixture *f = *state;

	publish(f);
	assert_call(f, "/NoSuchPath", "GetValue", DBUS_ERROR_UNKNOWN_OBJECT);
	assert_call(f, "/Dc/1", "GetItems", DBUS_ERROR_UNKNOWN_OBJECT);
	assert_call(f, "/Soc", "GetItems", DBUS_ERROR_UNKNOWN_METHOD);
	assert_call(f, "/Dc", "GetItems", DBUS_ERROR_UNKNOWN_METHOD);
	assert_call(f, "/", "SetValue", DBUS_ERROR_UNKNOWN_METHOD);
	assert_call(f, "/Dc", "SetValue", DBUS_ERROR_UNKNOWN_METHOD);
	assert_call(f, "/Soc", "SetDefault", DBUS_ERROR_UNKNOWN_METHOD);
	assert_call(f, "/Soc", "SetValue", DBUS_ERROR_INVALID_ARGS);
	DBusMessage *reply = call(f, "/Soc", "org.freedesktop.DBus.Properties", "Get");
	assert_string_equal(dbus_message_get_error_name(reply), DBUS_ERROR_UNKNOWN_METHOD);
	dbus_message_unref(reply);
}

static void a_call_without_interface_is_answered(void **state)
{
	struct fixture *f = *state;

	publish(f);
	DBusMessage *reply = call(f, "/Soc", NULL, "GetValue");
	assert_string_equal(client_signature(reply), "v:d");
	dbus_message_unref(reply);
}

static void keys_of_a_group_begin_below_it(void **state)
{
	struct fixture *f = *state;
	DBusMessageIter at, in, entries, entry;
	const char *key;

	publish(f);
	DBusMessage *reply = call(f, "/Dc", ITEM, "GetValue");
	dbus_message_iter_init(reply, &at);
	dbus_message_iter_recurse(&at, &in);
	dbus_message_iter_recurse(&in, &entries);
	dbus_message_iter_recurse(&entries, &entry);
	dbus_message_iter_get_basic(&entry, &key);
	assert_string_equal(key, "0/Current");
	dbus_message_unref(reply);
}

static void the_tree_can_be_walked(void **state)
{
	static const struct {
		const char *path;
		const char *has, *has_not;
	} expected[] = {
		{"/", "<node name=\"Dc\"/>", "<node name=\"0\"/>"},
		{"/", "ItemsChanged", "SetValue"},
		{"/Dc", "<node name=\"0\"/>", "GetItems"},
		{"/Dc/0/Voltage", "SetValue", "<node name"},
		{"/Voltages", "<node name=\"Cell4\"/>", "<node name=\"Cell5\"/>"},
	};
	struct fixture *f = *state;

	publish(f);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		DBusMessage *reply = call(f, expected[i].path, DBUS_INTERFACE_INTROSPECTABLE, "Introspect");
		const char *xml;

		assert_true(dbus_message_get_args(reply, NULL, DBUS_TYPE_STRING, &xml, DBUS_TYPE_INVALID));
		assert_non_null(strstr(xml, expected[i].has));
		assert_null(strstr(xml, expected[i].has_not));
		dbus_message_unref(reply);
	}
}

static void texts_that_are_no_utf8_are_published_all_the_same(void **state)
{
	struct fixture *f = *state;

	snprintf(f->s.reading.text[T_MODEL], MAX_TEXT, "Akku \xff\xfe 4S");
	snprintf(f->config.temperature_name[0], sizeof(f->config.temperature_name[0]), "K\xc3");
	publish(f);
	assert_text(f, "/ProductName", "Akku ?? 4S");
	assert_text(f, "/System/Temperature1Name", "K?");
	assert_call(f, "/", "GetItems", "a{sa{sv}}");
	assert_call(f, "/System", "GetText", "v:a{ss}");
}

/* ---- writes ---- */

static void what_is_not_writable_stays_as_it_is(void **state)
{
	static const char *const paths[] = {"/Soc", "/Mode", "/DeviceInstance", "/Info/MaxChargeVoltage",
					    "/Alarms/LowVoltage"};
	struct fixture *f = *state;

	publish(f);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_int_equal(client_set_int(&f->client, NAME, paths[i], 99), 1);
	assert_text(f, "/Soc", "80.0");
	assert_int_equal(f->client.signals, 0);
	assert_int_equal(f->commands, 0);
}

static void a_custom_name_is_kept_and_announced_before_the_answer(void **state)
{
	const char *name = "Garage";
	struct fixture *f = *state;

	publish(f);
	assert_int_equal(client_set(&f->client, NAME, "/CustomName", DBUS_TYPE_STRING, &name), 0);
	assert_int_equal(f->client.signals, 1);
	assert_true(signal_has(f->client.signal[0].m, "/CustomName"));
	assert_int_equal(f->client.signal[0].paths, 1);
	assert_string_equal(f->renamed, "Garage");
	assert_text(f, "/CustomName", "Garage");
	assert_int_equal(client_set(&f->client, NAME, "/CustomName", DBUS_TYPE_STRING, &name), 0);
	assert_int_equal(f->client.signals, 1);
}

static void a_name_may_come_as_a_number_but_not_without_end(void **state)
{
	static char huge[100000];
	const char *long_name = huge;
	double number = 12;
	struct fixture *f = *state;

	publish(f);
	assert_int_equal(client_set(&f->client, NAME, "/CustomName", DBUS_TYPE_DOUBLE, &number), 0);
	assert_text(f, "/CustomName", "12");
	memset(huge, 'x', sizeof(huge) - 1);
	assert_int_equal(client_set(&f->client, NAME, "/CustomName", DBUS_TYPE_STRING, &long_name), 2);
	assert_text(f, "/CustomName", "12");
}

static bool log_says(struct fixture *f, const char *text)
{
	for (int turn = 0; turn < 100 && !strstr(f->log, text); turn++)
		client_pump(&f->client);
	return strstr(f->log, text);
}

static void a_switch_turns_into_a_command(void **state)
{
	struct fixture *f = *state;
	char line[160];

	publish(f);
	assert_int_equal(client_set_int(&f->client, NAME, "/Settings/ForceChargingOff", 1), 0);
	assert_int_equal(f->client.signals, 1);
	assert_true(signal_has(f->client.signal[0].m, "/Settings/ForceChargingOff"));
	assert_int_equal(f->commands, 1);
	assert_int_equal(f->command.kind, COMMAND_CHARGE);
	assert_true(f->command.value == 0);
	snprintf(line, sizeof(line), "/Settings/ForceChargingOff = 1 written by %s (pid %d)",
		 dbus_bus_get_unique_name(f->client.c), (int)getpid());
	assert_true(log_says(f, line));
	end_command(f, COMMAND_DONE, "");
	assert_text(f, "/Settings/ForceChargingOff", "1");
	assert_text(f, "/ConnectionInformation", "Connected | charge off: done");
	reading_set_flag(&f->s.reading, F_CHARGE_MOS, false);
	poll_battery(f);
	assert_text(f, "/Settings/ForceChargingOff", "1");
	assert_int_equal(client_set_int(&f->client, NAME, "/Settings/ForceChargingOff", 1), 0);
	assert_int_equal(f->commands, 1); /* it is off already */
	assert_int_equal(client_set_int(&f->client, NAME, "/Settings/ForceChargingOff", 0), 0);
	assert_int_equal(f->commands, 2);
	assert_true(f->command.value == 1);
}

static void a_switch_falls_back_when_its_command_fails(void **state)
{
	struct fixture *f = *state;

	publish(f);
	assert_int_equal(client_set_int(&f->client, NAME, "/Settings/ForceDischargingOff", 1), 0);
	assert_text(f, "/Settings/ForceDischargingOff", "1");
	end_command(f, COMMAND_UNCONFIRMED, "the MOS stayed on");
	assert_text(f, "/Settings/ForceDischargingOff", "0");
	assert_text(f, "/ConnectionInformation", "Connected | discharge off: not confirmed: the MOS stayed on");
}

static void a_switch_that_the_bms_holds_off_can_still_be_turned_off(void **state)
{
	struct fixture *f = *state;

	publish(f);
	reading_set_flag(&f->s.reading, F_CHARGE_MOS, false);
	poll_battery(f);
	assert_text(f, "/Settings/ForceChargingOff", "1");
	assert_int_equal(client_set_int(&f->client, NAME, "/Settings/ForceChargingOff", 1), 0);
	assert_int_equal(f->commands, 1);
	end_command(f, COMMAND_DONE, "");
	assert_int_equal(client_set_int(&f->client, NAME, "/Settings/ForceChargingOff", 1), 0);
	assert_int_equal(f->commands, 1);
}

static void wishes_wait_for_each_other_and_the_last_one_counts(void **state)
{
	struct fixture *f = *state;

	publish(f);
	assert_int_equal(client_set_int(&f->client, NAME, "/Settings/ForceChargingOff", 1), 0);
	assert_int_equal(client_set_int(&f->client, NAME, "/Settings/ForceDischargingOff", 1), 0);
	assert_int_equal(client_set_int(&f->client, NAME, "/Settings/ForceChargingOff", 0), 0);
	assert_int_equal(f->commands, 1);
	end_command(f, COMMAND_DONE, "");
	assert_int_equal(f->commands, 2);
	assert_int_equal(f->command.kind, COMMAND_CHARGE);
	assert_true(f->command.value == 1);
	assert_text(f, "/Settings/ForceChargingOff", "0");
	end_command(f, COMMAND_DONE, "");
	assert_int_equal(f->command.kind, COMMAND_DISCHARGE);
	assert_text(f, "/Settings/ForceDischargingOff", "1");
}

static void a_command_that_cannot_be_is_refused_at_once(void **state)
{
	struct fixture *f = *state;

	publish(f);
	f->refusal = "this bus has another master";
	assert_int_equal(client_set_int(&f->client, NAME, "/Settings/ForceChargingOff", 1), 2);
	assert_text(f, "/Settings/ForceChargingOff", "0");
	assert_true(log_says(f, "charge off refused: this bus has another master"));
}

static void nonsense_is_refused_and_does_nothing(void **state)
{
	static const struct {
		const char *path;
		int value, answer;
	} expected[] = {
		{"/Settings/ForceChargingOff", 2, 2}, {"/Settings/ForceChargingOff", -1, 2},
		{"/Settings/ResetSocTo", 101, 2},     {"/Settings/ResetSocTo", -1, 2},
		{"/Settings/ResetSocTo", 0, 0},	      {"/Settings/ResetSocTo", 100, 0},
		{"/Settings/ResetSocToApply", 0, 0},  {"/History/Clear", 8, 0},
	};
	const char *text = "abc";
	double half = 0.5, nan = NAN;
	struct fixture *f = *state;

	publish(f);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(client_set_int(&f->client, NAME, expected[i].path, expected[i].value),
				 expected[i].answer);
	assert_int_equal(client_set(&f->client, NAME, "/Settings/ForceChargingOff", DBUS_TYPE_STRING, &text), 2);
	assert_int_equal(client_set(&f->client, NAME, "/Settings/ForceChargingOff", DBUS_TYPE_DOUBLE, &half), 2);
	assert_int_equal(client_set(&f->client, NAME, "/Settings/ForceChargingOff", DBUS_TYPE_DOUBLE, &nan), 2);
	assert_int_equal(f->commands, 0);
	assert_int_equal(f->cleared, 0);
}

static void every_type_of_number_is_taken(void **state)
{
	static const struct {
		int type;
		DBusBasicValue value;
	} number[] = {
		{DBUS_TYPE_BYTE, {.byt = 41}},		 {DBUS_TYPE_INT16, {.i16 = 42}},
		{DBUS_TYPE_UINT16, {.u16 = 43}},	 {DBUS_TYPE_INT32, {.i32 = 44}},
		{DBUS_TYPE_UINT32, {.u32 = 45}},	 {DBUS_TYPE_INT64, {.i64 = 46}},
		{DBUS_TYPE_UINT64, {.u64 = 47}},	 {DBUS_TYPE_DOUBLE, {.dbl = 48}},
		{DBUS_TYPE_BOOLEAN, {.bool_val = TRUE}},
	};
	struct fixture *f = *state;

	publish(f);
	for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++) {
		char text[8];

		assert_int_equal(client_set(&f->client, NAME, "/Settings/ResetSocTo", number[i].type, &number[i].value),
				 0);
		snprintf(text, sizeof(text), "%d", number[i].type == DBUS_TYPE_BOOLEAN ? 1 : 41 + (int)i);
		assert_text(f, "/Settings/ResetSocTo", text);
	}
}

static void append_bare_nothing(DBusMessageIter *to, const void *ctx)
{
	DBusMessageIter none;

	(void)ctx;
	dbus_message_iter_open_container(to, DBUS_TYPE_ARRAY, "i", &none);
	dbus_message_iter_close_container(to, &none);
}

static void append_wrapped(DBusMessageIter *to, const void *ctx)
{
	dbus_int32_t value = 77;
	DBusMessageIter a, b, c;

	(void)ctx;
	dbus_message_iter_open_container(to, DBUS_TYPE_VARIANT, "v", &a);
	dbus_message_iter_open_container(&a, DBUS_TYPE_VARIANT, "v", &b);
	dbus_message_iter_open_container(&b, DBUS_TYPE_VARIANT, "i", &c);
	dbus_message_iter_append_basic(&c, DBUS_TYPE_INT32, &value);
	dbus_message_iter_close_container(&b, &c);
	dbus_message_iter_close_container(&a, &b);
	dbus_message_iter_close_container(to, &a);
}

static void append_bare_number(DBusMessageIter *to, const void *ctx)
{
	dbus_int64_t value = 66;

	(void)ctx;
	dbus_message_iter_append_basic(to, DBUS_TYPE_INT64, &value);
}

static void append_dictionary(DBusMessageIter *to, const void *ctx)
{
	DBusMessageIter a, dict, entry;
	const char *key = "x";

	(void)ctx;
	dbus_message_iter_open_container(to, DBUS_TYPE_VARIANT, "a{ss}", &a);
	dbus_message_iter_open_container(&a, DBUS_TYPE_ARRAY, "{ss}", &dict);
	dbus_message_iter_open_container(&dict, DBUS_TYPE_DICT_ENTRY, NULL, &entry);
	dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &key);
	dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &key);
	dbus_message_iter_close_container(&dict, &entry);
	dbus_message_iter_close_container(&a, &dict);
	dbus_message_iter_close_container(to, &a);
}

static void append_descriptor(DBusMessageIter *to, const void *ctx)
{
	int fd = 0;

	(void)ctx;
	dbus_message_iter_append_basic(to, DBUS_TYPE_UNIX_FD, &fd);
}

static void append_two(DBusMessageIter *to, const void *ctx)
{
	append_bare_number(to, ctx);
	append_bare_number(to, ctx);
}

static int set_with(struct fixture *f, const char *path, void (*append)(DBusMessageIter *to, const void *ctx))
{
	DBusMessage *reply = client_call(&f->client, NAME, path, ITEM, "SetValue", append, NULL);
	dbus_int32_t answer = -1000;

	dbus_message_get_args(reply, NULL, DBUS_TYPE_INT32, &answer, DBUS_TYPE_INVALID);
	dbus_message_unref(reply);
	return answer;
}

static void values_come_bare_and_wrapped_and_in_odd_shapes(void **state)
{
	struct fixture *f = *state;

	publish(f);
	assert_int_equal(set_with(f, "/Settings/ResetSocTo", append_wrapped), 0);
	assert_text(f, "/Settings/ResetSocTo", "77");
	assert_int_equal(set_with(f, "/Settings/ResetSocTo", append_bare_number), 0);
	assert_text(f, "/Settings/ResetSocTo", "66");
	assert_int_equal(set_with(f, "/Settings/ResetSocTo", append_bare_nothing), 2);
	assert_int_equal(set_with(f, "/CustomName", append_bare_nothing), 2);
	assert_int_equal(set_with(f, "/Settings/ResetSocTo", append_dictionary), 2);
	assert_int_equal(set_with(f, "/Settings/ResetSocTo", append_descriptor), 2);
	assert_int_equal(set_with(f, "/Settings/ResetSocTo", append_two), -1000);
	assert_text(f, "/Settings/ResetSocTo", "66");
}

static void the_soc_is_set_to_the_value_that_was_written_before(void **state)
{
	struct fixture *f = *state;

	publish(f);
	assert_int_equal(client_set_int(&f->client, NAME, "/Settings/ResetSocTo", 80), 0);
	assert_int_equal(f->commands, 0);
	for (int i = 1; i <= 2; i++) { /* it can be triggered again */
		assert_int_equal(client_set_int(&f->client, NAME, "/Settings/ResetSocToApply", 1), 0);
		assert_int_equal(f->command.kind, COMMAND_SOC);
		assert_true(f->command.value == 80);
		assert_text(f, "/Settings/ResetSocToApply", "0");
		end_command(f, COMMAND_DONE, "");
		assert_int_equal(f->commands, i);
	}
}

static void history_can_be_cleared_again_and_again(void **state)
{
	struct fixture *f = *state;

	publish(f);
	for (int group = 1; group <= 7; group++) {
		assert_int_equal(client_set_int(&f->client, NAME, "/History/Clear", group), 0);
		assert_int_equal(f->cleared, group);
		assert_text(f, "/History/Clear", "0");
	}
}

static void read_only_lets_nothing_through_but_a_name(void **state)
{
	static const char *const paths[] = {"/Settings/ForceChargingOff", "/Settings/ResetSocTo",
					    "/Settings/ResetSocToApply", "/History/Clear"};
	const char *name = "Boat";
	struct fixture *f = *state;

	f->host.read_only = true;
	publish(f);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_int_equal(client_set_int(&f->client, NAME, paths[i], 1), 1);
	assert_int_equal(f->commands + (unsigned)f->cleared, 0);
	assert_int_equal(client_set(&f->client, NAME, "/CustomName", DBUS_TYPE_STRING, &name), 0);
}

static void a_client_that_runs_wild_is_slowed_down(void **state)
{
	struct fixture *f = *state;
	unsigned done = 0;

	publish(f);
	for (int i = 0; i < 60; i++)
		done += client_set_int(&f->client, NAME, "/Settings/ResetSocTo", 1 + i % 2) == 0;
	assert_in_range(done, 1, 30);
	f->now_ms += 1000;
	assert_int_equal(client_set_int(&f->client, NAME, "/Settings/ResetSocTo", 50), 0);
	client_forget_signals(&f->client);
}

/* ---- a bus that misbehaves ---- */

static bool not_claimed(void *ctx)
{
	return !is_claimed(ctx);
}

static void when_the_bus_returns_the_battery_does(void **state)
{
	struct fixture *f = *state;

	publish(f);
	client_close(&f->client);
	private_bus_stop(&f->bus);
	for (int i = 0; i < 3000 && is_claimed(f); i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_true(not_claimed(f));
	f->s.linear.soc = 12;
	poll_battery(f); /* measuring goes on */
	assert_true(private_bus_start(&f->bus));
	client_open(&f->client, &f->loop, &f->bus);
	client_pump_until(&f->client, is_claimed, f);
	assert_text(f, "/Soc", "12.0");
	assert_non_null(strstr(f->log, "the bus has gone"));
}

static void without_a_bus_the_battery_waits_for_one(void **state)
{
	struct fixture *f = *state;

	client_close(&f->client);
	private_bus_stop(&f->bus);
	f->service = service_new(&f->host, NAME, &identity, &f->s, &f->config);
	assert_non_null(f->service);
	assert_non_null(strstr(f->log, "cannot reach the bus"));
	for (int i = 0; i < 20; i++)
		poll_battery(f);
	assert_true(private_bus_start(&f->bus));
	client_open(&f->client, &f->loop, &f->bus);
	client_pump_until(&f->client, is_claimed, f);
}

enum { MANY = 40 /* more than the bus lets wait at its door */ };

struct crowd {
	struct service *service[MANY];
	struct snapshot s[MANY];
};

static bool crowd_claimed(void *ctx)
{
	const struct crowd *c = ctx;

	for (unsigned i = 0; i < MANY; i++)
		if (!service_claimed(c->service[i]))
			return false;
	return true;
}

static void many_batteries_can_wait_for_a_bus_that_hangs(void **state)
{
	struct fixture *f = *state;
	struct crowd *c = calloc(1, sizeof(*c));

	kill(f->bus.pid, SIGSTOP);
	for (unsigned i = 0; i < MANY; i++) {
		char name[64];

		sample_battery(&c->s[i], "/dev/ttyUSB0", "MANY");
		snprintf(name, sizeof(name), "com.victronenergy.battery.n%u", i);
		c->service[i] = service_new(&f->host, name, &identity, &c->s[i], &f->config);
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	for (unsigned i = 0; i < 10 * MANY; i++) {
		service_update(c->service[i % MANY], &c->s[i % MANY], &f->config);
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	assert_false(service_claimed(c->service[0]));
	kill(f->bus.pid, SIGCONT);
	client_pump_until(&f->client, crowd_claimed, c);
	for (unsigned i = 0; i < MANY; i++)
		service_free(c->service[i]);
	free(c);
}

static void a_name_that_is_taken_is_claimed_when_it_is_free(void **state)
{
	struct fixture *f = *state;
	struct client holder;

	client_open(&holder, &f->loop, &f->bus);
	dbus_bus_request_name(holder.c, NAME, 0, NULL);
	f->service = service_new(&f->host, NAME, &identity, &f->s, &f->config);
	for (int i = 0; i < 10000 && !strstr(f->log, "is taken by another program"); i++)
		client_pump(&f->client);
	assert_non_null(strstr(f->log, "is taken by another program"));
	assert_false(is_claimed(f));
	client_close(&holder);
	client_pump_until(&f->client, is_claimed, f);
}

/* Lets the loop run while nobody reads what we say. */
static void poll_unheard(struct fixture *f, unsigned polls)
{
	for (unsigned i = 0; i < polls; i++) {
		f->s.linear.soc = 50 + i % 40;
		f->s.linear.voltage = 13 + i % 100 / 100.0;
		for (unsigned c = 0; c < 4; c++)
			f->s.reading.cell_V.value[c] = 3.3 + i % 100 / 1000.0;
		poll_battery(f);
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
}

static size_t heap_in_use(void)
{
	char line[128];
	unsigned long pages = 0, resident = 0;
	FILE *statm = fopen("/proc/self/statm", "r");

	assert_non_null(statm);
	assert_non_null(fgets(line, sizeof(line), statm));
	fclose(statm);
	assert_int_equal(sscanf(line, "%lu %lu", &pages, &resident), 2);
	return resident * 4096;
}

static void a_bus_that_does_not_read_costs_no_memory_and_no_news(void **state)
{
	struct fixture *f = *state;

	publish(f);
	kill(f->bus.pid, SIGSTOP);
	poll_unheard(f, 3000); /* 1 MB and more of signals */
	size_t before = heap_in_use();
	poll_unheard(f, 20000);
	assert_true(heap_in_use() < before + 1024 * 1024);
	kill(f->bus.pid, SIGCONT);
	client_forget_signals(&f->client);
	for (int i = 0; i < 2000; i++) { /* what had piled up is let go as it comes */
		client_pump(&f->client);
		if (f->client.signals > MAX_SIGNALS / 2)
			client_forget_signals(&f->client);
	}
	f->s.linear.soc = 33;
	poll_battery(f);
	assert_text(f, "/Soc", "33.0");
	client_pump_turns(&f->client, 20);
	assert_true(signal_has(f->client.signal[f->client.signals - 1].m, "/Soc"));
}

/* Sends so many calls, sensible ones and others; returns how many of them want an answer. */
static unsigned flood(struct client *client, unsigned calls)
{
	static const char *const methods[] = {"GetValue", "GetItems", "SetValue", "Nonsense"};
	static const char *const paths[] = {"/", "/Soc", "/Nowhere", "/Settings/ResetSocTo"};
	unsigned answers = 0;

	for (unsigned i = 0; i < calls; i++) {
		DBusMessage *m = dbus_message_new_method_call(NAME, paths[i / 4 % 4], ITEM, methods[i % 4]);
		DBusMessageIter to;

		dbus_message_iter_init_append(m, &to);
		if (i % 3 == 0)
			append_dictionary(&to, NULL);
		dbus_message_set_no_reply(m, i % 5 == 0);
		answers += i % 5 != 0;
		dbus_connection_send(client->c, m, NULL);
		dbus_message_unref(m);
	}
	return answers;
}

struct answers {
	const struct client *client;
	unsigned wanted;
};

static bool all_answered(void *ctx)
{
	const struct answers *a = ctx;

	return a->client->answers >= a->wanted;
}

static void every_call_of_a_flood_is_answered(void **state)
{
	struct fixture *f = *state;
	struct answers a = {&f->client, 0};

	publish(f);
	f->client.answers = 0;
	a.wanted = flood(&f->client, 10000);
	client_pump_until(&f->client, all_answered, &a);
	assert_int_equal(f->client.answers, a.wanted);
	assert_text(f, "/Soc", "80.0");
}

/* A connection whose calls are only counted. */
struct counter {
	struct bus *bus;
	bool named;
	unsigned calls;
};

static void named(void *ctx, DBusMessage *reply)
{
	((struct counter *)ctx)->named = dbus_message_get_type(reply) == DBUS_MESSAGE_TYPE_METHOD_RETURN;
}

static void take_name(void *ctx)
{
	const dbus_uint32_t flags = DBUS_NAME_FLAG_DO_NOT_QUEUE;
	const char *name = NAME;
	struct counter *c = ctx;
	DBusMessage *m =
		dbus_message_new_method_call(DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, "RequestName");

	dbus_message_append_args(m, DBUS_TYPE_STRING, &name, DBUS_TYPE_UINT32, &flags, DBUS_TYPE_INVALID);
	assert_true(bus_call(c->bus, m, 10000, named, c, NULL));
	dbus_message_unref(m);
}

static void never_lost(void *ctx)
{
	(void)ctx;
	fail_msg("the connection was lost");
}

static DBusMessage *count_call(void *ctx, DBusMessage *m)
{
	((struct counter *)ctx)->calls++;
	return dbus_message_new_method_return(m);
}

static bool is_named(void *ctx)
{
	return ((struct counter *)ctx)->named;
}

static void a_flood_of_calls_lets_the_rest_of_the_loop_have_its_turn(void **state)
{
	enum { CALLS = 10000, PER_TURN = 50 };
	struct fixture *f = *state;
	struct counter c = {0};

	c.bus = bus_new(f->host.hub, (struct bus_events){take_name, never_lost, count_call, &c});
	client_pump_until(&f->client, is_named, &c);
	flood(&f->client, CALLS);
	while (c.calls < CALLS) {
		unsigned before = c.calls;

		uv_run(&f->loop, UV_RUN_NOWAIT);
		assert_in_range(c.calls - before, 0, PER_TURN);
		dbus_connection_read_write(f->client.c, 0);
		while (dbus_connection_dispatch(f->client.c) == DBUS_DISPATCH_DATA_REMAINS)
			;
	}
	bus_free(c.bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_looks_the_moment_the_name_appears_finds_everything, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_poll_makes_one_signal_with_what_changed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_poll_that_changes_nothing_is_not_heard, set_up, tear_down),
		cmocka_unit_test_setup_teardown(old_consumers_get_one_signal_per_path, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_battery_with_other_paths_appears_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(two_batteries_have_two_connections, set_up, tear_down),
		cmocka_unit_test_setup_teardown(leaves_groups_and_root_answer_in_their_own_ways, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_there_is_refused_by_its_proper_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_call_without_interface_is_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keys_of_a_group_begin_below_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_tree_can_be_walked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(texts_that_are_no_utf8_are_published_all_the_same, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_writable_stays_as_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_custom_name_is_kept_and_announced_before_the_answer, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_name_may_come_as_a_number_but_not_without_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_switch_turns_into_a_command, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_switch_falls_back_when_its_command_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_switch_that_the_bms_holds_off_can_still_be_turned_off, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(wishes_wait_for_each_other_and_the_last_one_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_command_that_cannot_be_is_refused_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense_is_refused_and_does_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_type_of_number_is_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(values_come_bare_and_wrapped_and_in_odd_shapes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_soc_is_set_to_the_value_that_was_written_before, set_up, tear_down),
		cmocka_unit_test_setup_teardown(history_can_be_cleared_again_and_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(read_only_lets_nothing_through_but_a_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_client_that_runs_wild_is_slowed_down, set_up, tear_down),
		cmocka_unit_test_setup_teardown(when_the_bus_returns_the_battery_does, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_a_bus_the_battery_waits_for_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_batteries_can_wait_for_a_bus_that_hangs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_name_that_is_taken_is_claimed_when_it_is_free, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_bus_that_does_not_read_costs_no_memory_and_no_news, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(every_call_of_a_flood_is_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_flood_of_calls_lets_the_rest_of_the_loop_have_its_turn, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
