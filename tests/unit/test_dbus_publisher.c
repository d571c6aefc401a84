/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The publisher on a real bus, with an engine that is only played: names, instances, what is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dbus/kept.h"
#include "dbus/publisher.h"
#include "dbus_private.h"
#include "dbus_sample.h"

#define BATTERY "com.victronenergy.battery."

enum { BATTERIES = 4 };

/* ---- the engine, as far as the publisher knows it ---- */

struct engine {
	struct observer *observer;
	struct snapshot pack[BATTERIES];
	unsigned packs;
	struct config config;
	const char *state_dir;
	int cleared;
	char log[8192];
};

void engine_observe(struct engine *e, struct observer *observer)
{
	e->observer = observer;
}

void engine_unobserve(struct engine *e, struct observer *observer)
{
	assert_ptr_equal(e->observer, observer);
	e->observer = NULL;
}

unsigned engine_packs(const struct engine *e)
{
	return e->packs;
}

const struct snapshot *engine_pack(const struct engine *e, unsigned i)
{
	return &e->pack[i];
}

const struct config *engine_pack_config(const struct engine *e, unsigned pack)
{
	(void)pack;
	return &e->config;
}

uint64_t engine_now_ms(const struct engine *e)
{
	(void)e;
	return uv_hrtime() / 1000000;
}

bool engine_can(const struct engine *e, unsigned pack, const struct command *c, const char **why)
{
	(void)e, (void)pack, (void)c;
	*why = "nobody is there";
	return false;
}

int engine_command(struct engine *e, unsigned pack, const struct command *c,
		   void (*done)(void *ctx, unsigned pack, const struct command *c, const struct command_outcome *o),
		   void *ctx)
{
	(void)e, (void)pack, (void)c, (void)done, (void)ctx;
	return -ENOENT;
}

const char *engine_state_dir(const struct engine *e)
{
	return e->state_dir;
}

bool engine_clear_history(struct engine *e, unsigned pack, int group)
{
	(void)pack;
	e->cleared = group;
	return true;
}

void engine_log(struct engine *e, enum log_level level, const char *format, ...)
{
	size_t n = strlen(e->log);
	va_list args;

	(void)level;
	va_start(args, format);
	vsnprintf(e->log + n, sizeof(e->log) - n, format, args);
	va_end(args);
	n = strlen(e->log);
	snprintf(e->log + n, sizeof(e->log) - n, "\n");
}

/* ---- the test's own ---- */

struct fixture {
	struct private_bus bus;
	uv_loop_t loop;
	struct engine engine;
	struct publisher *publisher;
	struct client client;
	char dir[64], file[96];
};

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
	snprintf(f->dir, sizeof(f->dir), "%s", f->bus.dir);
	snprintf(f->file, sizeof(f->file), "%s/dbus.json", f->dir);
	uv_loop_init(&f->loop);
	config_defaults(&f->engine.config);
	client_open(&f->client, &f->loop, &f->bus);
	*state = f;
	return 0;
}

static void stop(struct fixture *f)
{
	publisher_free(f->publisher);
	f->publisher = NULL;
	uv_run(&f->loop, UV_RUN_DEFAULT);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char bad[112];

	stop(f);
	assert_null(f->engine.observer);
	client_close(&f->client);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	snprintf(bad, sizeof(bad), "%s.bad", f->file);
	unlink(f->file);
	unlink(bad);
	private_bus_remove(&f->bus);
	free(f);
	return 0;
}

static void start_with(struct fixture *f, const char *dir, bool addressed)
{
	struct publisher_options o = {
		.config = &f->engine.config, .bus = f->bus.address, .addressed = addressed};
	char why[128];

	f->engine.state_dir = dir;
	f->publisher = publisher_new(&f->loop, &f->engine, &o, why, sizeof(why));
	if (!f->publisher)
		fail_msg("%s", why);
}

static void start(struct fixture *f)
{
	start_with(f, f->dir, false);
}

static struct snapshot *add(struct fixture *f, const char *port, const char *identifier)
{
	struct snapshot *s = &f->engine.pack[f->engine.packs++];

	sample_battery(s, port, identifier);
	return s;
}

static void show(struct fixture *f, const struct snapshot *s)
{
	f->engine.observer->pack(f->engine.observer->ctx, s);
}

static void wait_published(struct fixture *f, unsigned n)
{
	for (int turn = 0; turn < 20000 && publisher_published(f->publisher) != n; turn++)
		client_pump(&f->client);
	assert_int_equal(publisher_published(f->publisher), n);
}

static void assert_text(struct fixture *f, const char *name, const char *path, const char *text)
{
	assert_string_equal(client_text(&f->client, name, path), text);
}

static void a_battery_is_published_with_its_first_whole_reading(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = add(f, "/dev/ttyUSB0", "ONE");

	s->identified = false;
	start(f);
	show(f, s);
	s->identified = true;
	s->polls = 0;
	show(f, s);
	client_pump_turns(&f->client, 30);
	assert_int_equal(f->client.appeared, 0);
	s->polls = 1;
	show(f, s);
	wait_published(f, 1);
	assert_text(f, BATTERY "ttyUSB0", "/DeviceInstance", "1");
}

static void batteries_that_are_there_already_are_published(void **state)
{
	struct fixture *f = *state;

	add(f, "/dev/ttyUSB0", "ONE");
	add(f, "can0", "TWO");
	start(f);
	wait_published(f, 2);
	assert_text(f, BATTERY "can0", "/DeviceInstance", "2");
}

static void a_battery_that_is_gone_leaves_the_bus(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = add(f, "/dev/ttyUSB0", "ONE");

	start(f);
	wait_published(f, 1);
	f->engine.observer->pack_gone(f->engine.observer->ctx, s);
	for (int turn = 0; turn < 20000 && !f->client.disappeared; turn++)
		client_pump(&f->client);
	assert_int_equal(f->client.disappeared, 1);
	assert_int_equal(publisher_published(f->publisher), 0);
}

static void a_battery_keeps_its_name_when_it_returns_elsewhere(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s = add(f, "/dev/ttyUSB0", "ONE");

	start(f);
	wait_published(f, 1);
	snprintf(s->port, sizeof(s->port), "/dev/ttyUSB3");
	show(f, s);
	show(f, add(f, "/dev/ttyUSB0", "TWO"));
	wait_published(f, 2);
	assert_text(f, BATTERY "ttyUSB0", "/Mgmt/Connection", "Serial /dev/ttyUSB3");
	assert_text(f, BATTERY "ttyUSB0__2", "/Mgmt/Connection", "Serial /dev/ttyUSB0");
}

static void names_are_made_of_ports_and_addresses(void **state)
{
	static const struct {
		const char *port;
		int address; /* -1: none */
		bool addressed;
		enum link_kind link;
		const char *name;
	} expected[] = {
		{"/dev/ttyUSB0", -1, false, LINK_SERIAL, BATTERY "ttyUSB0"},
		{"/dev/ttyUSB0", 2, false, LINK_SERIAL, BATTERY "ttyUSB0"},
		{"/dev/ttyUSB0", 2, true, LINK_SERIAL, BATTERY "ttyUSB0__0x02"},
		{"/dev/ttyUSB0", -1, true, LINK_SERIAL, BATTERY "ttyUSB0"},
		{"/dev/pts/3", -1, false, LINK_SERIAL, BATTERY "_3"},
		{"/dev/tty.usb:serial~1", -1, false, LINK_SERIAL, BATTERY "tty_usb_serial_1"},
		{"C8:47:8C:E1:23:AB", -1, false, LINK_BLE, BATTERY "ble_c8478ce123ab"},
		{"can0", -1, false, LINK_CAN, BATTERY "can0"},
	};
	static struct protocol protocol;
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		f->engine.packs = 0;
		struct snapshot *s = add(f, expected[i].port, "ONE");

		protocol = sample_protocol;
		protocol.link = expected[i].link;
		s->protocol = &protocol;
		s->addressed = expected[i].address >= 0;
		s->address = (uint8_t)expected[i].address;
		start_with(f, NULL, expected[i].addressed);
		wait_published(f, 1);
		assert_text(f, expected[i].name, "/Connected", "1");
		stop(f);
	}
}

static void batteries_on_one_cable_have_names_of_their_own(void **state)
{
	struct fixture *f = *state;

	for (unsigned address = 1; address <= 3; address++) {
		char identifier[8];

		snprintf(identifier, sizeof(identifier), "P%u", address);
		struct snapshot *s = add(f, "/dev/ttyUSB0", identifier);
		s->addressed = true;
		s->address = (uint8_t)address;
	}
	start(f);
	wait_published(f, 3);
	assert_text(f, BATTERY "ttyUSB0", "/Serial", "P1");
	assert_text(f, BATTERY "ttyUSB0__0x02", "/Serial", "P2");
	assert_text(f, BATTERY "ttyUSB0__0x03", "/Serial", "P3");
}

static void instance_and_name_outlive_the_program(void **state)
{
	const char *name = "Gar\xc3\xa4ge \"2\"";
	struct fixture *f = *state;

	add(f, "/dev/ttyUSB0", "ONE");
	add(f, "/dev/ttyUSB1", "TWO");
	start(f);
	wait_published(f, 2);
	assert_int_equal(client_set(&f->client, BATTERY "ttyUSB1", "/CustomName", DBUS_TYPE_STRING, &name), 0);
	stop(f);
	/* The other way round, and a third one. */
	f->engine.packs = 0;
	add(f, "/dev/ttyUSB0", "THREE");
	add(f, "/dev/ttyUSB1", "TWO");
	add(f, "/dev/ttyUSB2", "ONE");
	start(f);
	wait_published(f, 3);
	assert_text(f, BATTERY "ttyUSB0", "/DeviceInstance", "3");
	assert_text(f, BATTERY "ttyUSB1", "/DeviceInstance", "2");
	assert_text(f, BATTERY "ttyUSB1", "/CustomName", name);
	assert_text(f, BATTERY "ttyUSB2", "/DeviceInstance", "1");
}

static void write_file(struct fixture *f, const char *text)
{
	FILE *file = fopen(f->file, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void a_file_that_cannot_be_read_is_put_aside(void **state)
{
	static const char *const broken[] = {"{\"batteries\": {\"ONE\": {\"insta", "[]", "{}", ""};
	struct fixture *f = *state;

	add(f, "/dev/ttyUSB0", "ONE");
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		f->engine.log[0] = 0;
		write_file(f, broken[i]);
		start(f);
		assert_non_null(strstr(f->engine.log, "put aside as"));
		wait_published(f, 1);
		assert_text(f, BATTERY "ttyUSB0", "/DeviceInstance", "1");
		stop(f);
	}
}

static void nonsense_in_the_file_is_left_out(void **state)
{
	struct fixture *f = *state;

	write_file(f,
		   "{\"batteries\": {\"A\": {\"instance\": 1}, \"B\": {\"instance\": 1, \"custom_name\": 5},"
		   " \"C\": {\"instance\": -3}, \"D\": {\"instance\": \"2\"}, \"E\": 7, \"ONE\": {\"instance\": 3}}}");
	add(f, "/dev/ttyUSB0", "ONE");
	add(f, "/dev/ttyUSB1", "TWO");
	start(f);
	wait_published(f, 2);
	assert_text(f, BATTERY "ttyUSB0", "/DeviceInstance", "3");
	assert_text(f, BATTERY "ttyUSB1", "/DeviceInstance", "2");
}

static void a_directory_that_cannot_be_written_is_told_and_no_more(void **state)
{
	struct fixture *f = *state;

	add(f, "/dev/ttyUSB0", "ONE");
	start_with(f, "/proc/nowhere", false);
	wait_published(f, 1);
	for (int turn = 0; turn < 5000 && !strstr(f->engine.log, "cannot write"); turn++)
		client_pump(&f->client);
	assert_non_null(strstr(f->engine.log, "cannot write /proc/nowhere/dbus.json"));
}

static void new_options_may_bring_other_paths(void **state)
{
	struct fixture *f = *state;

	add(f, "/dev/ttyUSB0", "ONE");
	start(f);
	wait_published(f, 1);
	assert_text(f, BATTERY "ttyUSB0", "/Cell/1/Volts", DBUS_ERROR_UNKNOWN_OBJECT);
	f->engine.config.battery_cell_data_format = 2;
	publisher_reconfigure(f->publisher, &f->engine.config);
	wait_published(f, 1);
	assert_text(f, BATTERY "ttyUSB0", "/Cell/1/Volts", "3.300V");
	assert_text(f, BATTERY "ttyUSB0", "/Voltages/Cell1", DBUS_ERROR_UNKNOWN_OBJECT);
}

static void a_bus_that_cannot_be_is_refused(void **state)
{
	static const char *const wrong[] = {"nonsense", "autolaunch:", "unix"};
	struct fixture *f = *state;
	struct publisher_options o = {.config = &f->engine.config};
	char why[256];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		o.bus = wrong[i];
		why[0] = 0;
		assert_null(publisher_new(&f->loop, &f->engine, &o, why, sizeof(why)));
		assert_non_null(strstr(why, wrong[i]));
	}
	unsetenv("DBUS_SESSION_BUS_ADDRESS");
	unsetenv("XDG_RUNTIME_DIR");
	o.bus = "session";
	assert_null(publisher_new(&f->loop, &f->engine, &o, why, sizeof(why)));
	assert_non_null(strstr(why, "DBUS_SESSION_BUS_ADDRESS"));
}

static void the_session_bus_is_taken_when_the_environment_names_one(void **state)
{
	struct fixture *f = *state;
	struct publisher_options o = {.config = &f->engine.config};
	char why[256];

	setenv("DBUS_SESSION_BUS_ADDRESS", f->bus.address, 1);
	add(f, "/dev/ttyUSB0", "ONE");
	f->publisher = publisher_new(&f->loop, &f->engine, &o, why, sizeof(why));
	assert_non_null(f->publisher);
	wait_published(f, 1);
	unsetenv("DBUS_SESSION_BUS_ADDRESS");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_battery_is_published_with_its_first_whole_reading, set_up, tear_down),
		cmocka_unit_test_setup_teardown(batteries_that_are_there_already_are_published, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_battery_that_is_gone_leaves_the_bus, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_battery_keeps_its_name_when_it_returns_elsewhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_are_made_of_ports_and_addresses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(batteries_on_one_cable_have_names_of_their_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(instance_and_name_outlive_the_program, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_that_cannot_be_read_is_put_aside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense_in_the_file_is_left_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_directory_that_cannot_be_written_is_told_and_no_more, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(new_options_may_bring_other_paths, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_bus_that_cannot_be_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_session_bus_is_taken_when_the_environment_names_one, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
