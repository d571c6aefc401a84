/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tree of D-Bus paths: golden trees that were recorded with their bytes, and every rule beside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dbus/dbus.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "dbus/rows.h"
#include "dbus/tree.h"
#include "dbus_sample.h"
#include "engine/follow.h"

static const struct tree_identity identity = {
	.process_name = "/usr/bin/bmscope",
	.process_version = "0.0",
	.product_id = DEFAULT_PRODUCT_ID,
	.device_instance = 1,
	.can_clear_history = true,
};

/* ---- golden trees ---- */

/* Where a tree of ours is meant to differ from the recorded one. */
struct difference {
	const char *path;
	const char *text; /* ours */
	const char *reason;
	bool perhaps; /* it may also be equal */
};

static const struct difference jbd_differences[] = {
	{"/Alarms/LowCellVoltage", "0", "this bit of the BMS is passed on, where the recorded program lost it", false},
	{"/Alarms/HighCellVoltage", "0", "the same", false},
	{"/Alarms/CellImbalance", "0", "the same", false},
	{"/Alarms/InternalFailure", "0", "the same", false},
	{"/Alarms/FuseBlown", "0", "a protocol that does not list its alarms may report any", true},
	{"/Alarms/HighInternalTemperature", "0", "the same", true},
	{"/Heating", "0", "the BMS tells the state of its heater, which the recorded program did not read", false},
	{"/System/Temperature1", "24.3", "2974 is 24.3 degC (scale 2731 at 0), which was read as 24.25", false},
	{"/System/MinCellTemperature", "24.3", "the same", false},
	{"/History/MinimumTemperature", "24.3", "the same", false},
	{"/Dc/0/Temperature", "24.7", "the same: mean of 24.3 and 25.1", false},
	{"/Mgmt/Connection", "Serial /dev/ttyBMS0", "this dialect has no addresses, 0x00 was made up", false},
	{0},
};

static const struct difference jk_differences[] = {
	{"/Alarms/InternalFailure", "0", "the BMS has bits for it", false},
	{"/Balances/Cell9", "0", "this BMS tells that it balances, not which cells; the recorded program guessed",
	 false},
	{"/Balances/Cell14", "0", "the same", false},
	{"/HardwareVersion", "11.XW", "what the BMS says, without what the recorded program put together", false},
	{"/Family", "11.XW", "the same", false},
	{"/History/DeepestDischarge", "-43.7", "rounded to 3 decimals", false},
	{0},
};

static const struct difference jbd_option_differences[] = {
	{"/Info/Config/SOC_RESET_AFTER_DAYS", "---", "an option that is not set is unknown", false},
	{"/History/DeepestDischarge", "-92.4", "computed with the first poll, not with the second", false},
	{"/TimeToSoC/10", "46560 [12h 56m]", "the same", false},
	{"/TimeToSoC/50", "13886 [3h 51m]", "the same", false},
	{0},
};

/* Of these only the type is compared. */
static const char *const program_identity[] = {
	"/Mgmt/ProcessName", "/Mgmt/ProcessVersion", "/FirmwareVersion", "/ProductId", "/JsonData", NULL,
};

/* Of these a value within 0.1 % or 1 unit will do: they grow with the time that was spent. */
static const char *const growing[] = {
	"/History/TotalAhDrawn",
	"/History/AverageDischarge",
	"/History/LastDischarge",
	"/History/DischargedEnergy",
	"/History/ChargedEnergy",
	"/History/TimeSinceLastFullCharge",
	"/CurrentAvg",
	"/TimeToGo",
	NULL,
};

struct golden {
	json_t *root;
	struct follow follow;
	struct snapshot snapshot;
	struct config config;
	struct tree *tree;
};

static bool listed(const char *const *list, const char *path)
{
	while (*list && strcmp(*list, path) != 0)
		list++;
	return *list;
}

/* NULL when the shared vectors are not there and need not be. */
static json_t *load_vector(const char *name)
{
	const char *shared = getenv("BMSCOPE_SHARED"), *srcdir = getenv("srcdir");
	char path[512];
	json_error_t error;

	if (shared)
		snprintf(path, sizeof(path), "%s/vectors/dbus/%s", shared, name);
	else
		snprintf(path, sizeof(path), "%s/../shared/vectors/dbus/%s", srcdir ? srcdir : ".", name);
	json_t *root = json_load_file(path, 0, &error);
	if (!root && (getenv("CI") || getenv("BENCH_REQUIRED")))
		fail_msg("%s: %s", path, error.text);
	if (!root)
		print_message("SKIPPED: %s: %s; set BMSCOPE_SHARED\n", path, error.text);
	return root;
}

static struct bytes hex_bytes(const json_t *exchange, const char *key, uint8_t buf[MAX_FRAME])
{
	const char *hex = json_string_value(json_object_get(exchange, key));
	int n = bytes_from_hex(hex, buf, MAX_FRAME);

	assert_true(n > 0);
	return (struct bytes){buf, (size_t)n};
}

/* The recorded bytes through the protocol's own decoder. */
static void replay(struct golden *g, const char *protocol)
{
	uint8_t buf[MAX_FRAME];
	uint64_t now = 0;
	json_t *exchange;
	size_t i;

	assert_true(follow_init(&g->follow, protocol_by_id(protocol), NULL));
	json_array_foreach (json_object_get(g->root, "wire"), i, exchange) {
		follow_sent(&g->follow, hex_bytes(exchange, "request", buf), now);
		follow_received(&g->follow, hex_bytes(exchange, "reply", buf), now + 10);
		now += 1000;
	}
	follow_end(&g->follow, now);
	assert_int_equal(g->follow.device_count, 1);
}

static void set_options(struct golden *g)
{
	json_t *line;
	size_t i;

	config_defaults(&g->config);
	json_array_foreach (json_object_get(json_object_get(g->root, "config"), "overrides"), i, line) {
		char name[64], value[128], why[256];

		assert_int_equal(sscanf(json_string_value(line), "%63s = %127[^\n]", name, value), 2);
		if (!config_set(&g->config, name, value, why, sizeof(why)))
			fail_msg("%s: %s", name, why);
	}
}

/* Six polls, as far apart as the recorded ones were, with the settings that stood on that bus. */
static void run_limits(struct golden *g)
{
	struct limits_state *state[] = {limits_state_new(), limits_state_new()};
	struct limits_output *out[] = {&g->snapshot.linear, &g->snapshot.step};
	struct limits_input in;

	limits_input_from_reading(&in, &g->snapshot.reading, g->snapshot.protocol->first_sensor_is_mos);
	in.ess = (struct ess_settings){true, 1, 0, 10, 10};
	for (int m = 0; m < 2; m++) {
		struct config c = g->config;

		c.charge_mode = m == 0 ? LIMITS_LINEAR : LIMITS_STEP;
		for (int poll = 0; poll <= 6; poll++)
			limits_step(state[m], &c, &in, poll ? 1.08 : 0, out[m]);
		limits_state_free(state[m]);
	}
}

static bool golden_open(struct golden *g, const char *file, const char *protocol, const char *identifier)
{
	struct snapshot *s = &g->snapshot;

	memset(g, 0, sizeof(*g));
	g->root = load_vector(file);
	if (!g->root)
		return false;
	set_options(g);
	replay(g, protocol);
	s->id = 1;
	s->state = PACK_ONLINE;
	s->protocol = protocol_by_id(protocol);
	s->identified = true;
	s->mode = g->config.charge_mode == LIMITS_STEP ? LIMITS_STEP : LIMITS_LINEAR;
	s->reading = g->follow.device[0].dev.reading;
	s->settings = g->follow.device[0].dev.settings;
	reading_derive(&s->reading);
	s->reading_ms = 7000;
	s->polls = 7;
	snprintf(s->port, sizeof(s->port), "%s", json_string_value(json_object_get(g->root, "link")));
	snprintf(s->identifier, sizeof(s->identifier), "%s", identifier);
	run_limits(g);
	g->tree = tree_new(&identity, s, &g->config, 7000);
	assert_non_null(g->tree);
	return true;
}

static void golden_close(struct golden *g)
{
	tree_free(g->tree);
	follow_free(&g->follow);
	json_decref(g->root);
}

static const char *text_at(const struct tree *t, const char *path)
{
	static char text[VALUE_TEXT_MAX];
	const struct item *item = tree_find(t, path);

	if (!item)
		fail_msg("%s is not there", path);
	return item_show(item, text);
}

static bool value_fits(const struct item *item, const json_t *value, double tolerance)
{
	switch (item->value.kind) {
	case VALUE_INVALID:
		return json_is_null(value);
	case VALUE_TEXT:
		return true; /* the text is compared */
	case VALUE_NUMBER:
		return json_is_number(value) && fabs(json_number_value(value) - item->value.number) <= tolerance;
	case VALUE_COUNT:
		return json_is_number(value) && fabs(json_number_value(value) - (double)item->value.count) <= tolerance;
	case VALUE_FLAG:
		return json_is_boolean(value) && json_boolean_value(value) == item->value.count;
	case VALUE_NUMBERS:
	case VALUE_COUNTS:
	case VALUE_WORDS:
		return json_is_array(value);
	}
	return false;
}

/* Every path has one type here; the recorded program wrote 67 in one moment and 66.99 in the next. */
static bool text_fits(const struct item *item, const json_t *recorded)
{
	const char *text = json_string_value(json_object_get(recorded, "text"));
	const char *sig = json_string_value(json_object_get(recorded, "sig"));
	char ours[VALUE_TEXT_MAX], widened[VALUE_TEXT_MAX];

	snprintf(ours, sizeof(ours), "%s", item_show(item, widened));
	if (!strcmp(ours, text))
		return true;
	snprintf(widened, sizeof(widened), "%s.0", text);
	return item->row->sig == 'd' && item->row->form == FORM_PLAIN && !strcmp(sig, "i") && !strcmp(ours, widened);
}

static bool equals_recorded(const struct item *item, const json_t *recorded)
{
	const json_t *value = json_object_get(recorded, "value");
	double number = fabs(json_number_value(value));

	if (listed(program_identity, item->path))
		return true;
	if (listed(growing, item->path))
		return value_fits(item, value, fmax(1, number / 1000));
	return value_fits(item, value, 1e-9) && text_fits(item, recorded);
}

static const struct difference *find_difference(const struct difference *const *lists, const char *path)
{
	for (; *lists; lists++)
		for (const struct difference *d = *lists; d->path; d++)
			if (!strcmp(d->path, path))
				return d;
	return NULL;
}

/* How many paths are not as recorded and not as listed. */
static unsigned compare(const struct golden *g, const struct difference *const *lists)
{
	unsigned wrong = 0;
	const char *path;
	json_t *recorded;

	json_object_foreach (json_object_get(g->root, "items"), path, recorded) {
		const struct item *item = tree_find(g->tree, path);
		const struct difference *known = find_difference(lists, path);

		if (!strncmp(path, "/Info/Config/", 13) && !item)
			continue; /* internals of the recorded program, and a password */
		if (item && equals_recorded(item, recorded) && (!known || known->perhaps))
			continue;
		if (item && known && !strcmp(text_at(g->tree, path), known->text))
			continue;
		print_error("%s: recorded \"%s\", ours \"%s\"%s\n", path,
			    json_string_value(json_object_get(recorded, "text")),
			    item ? text_at(g->tree, path) : "missing", known ? " (a listed difference)" : "");
		wrong++;
	}
	return wrong;
}

#define LISTS(...) ((const struct difference *const[]){__VA_ARGS__, NULL})

static void the_tree_of_a_jbd_is_the_recorded_one(void **unused)
{
	struct golden g;

	(void)unused;
	if (!golden_open(&g, "jbd-16s.json", "jbd-uart", "20_280_0Ah"))
		skip();
	assert_int_equal(compare(&g, LISTS(jbd_differences)), 0);
	assert_int_equal(g.tree->count, json_integer_value(json_object_get(g.root, "paths")));
	golden_close(&g);
}

static void the_tree_of_a_jk_is_the_recorded_one(void **unused)
{
	struct golden g;

	(void)unused;
	if (!protocol_by_id("jk-uart") || !golden_open(&g, "jk-15s.json", "jk-uart", "BD6A20S10P 230-0001"))
		skip();
	assert_int_equal(compare(&g, LISTS(jk_differences)), 0);
	golden_close(&g);
}

static void the_tree_with_all_options_is_the_recorded_one(void **unused)
{
	struct golden g;

	(void)unused;
	if (!golden_open(&g, "jbd-16s-options.json", "jbd-uart", "20_280_0Ah"))
		skip();
	assert_int_equal(compare(&g, LISTS(jbd_differences, jbd_option_differences)), 0);
	golden_close(&g);
}

/* ---- rules ---- */

struct fixture {
	struct snapshot s;
	struct config c;
	struct tree *t;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	config_defaults(&f->c);
	sample_battery(&f->s, "/dev/ttyUSB0", "SAMPLE 1-2");
	f->t = tree_new(&identity, &f->s, &f->c, f->s.reading_ms);
	*state = f;
	return f->t ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	tree_free(f->t);
	free(f);
	return 0;
}

static void update(struct fixture *f)
{
	f->s.step = f->s.linear;
	tree_update(f->t, &f->s, &f->c, f->s.reading_ms);
}

/* A tree for what the fixture has become. */
static void rebuild(struct fixture *f)
{
	tree_free(f->t);
	f->s.step = f->s.linear;
	f->t = tree_new(&identity, &f->s, &f->c, f->s.reading_ms);
	assert_non_null(f->t);
}

static void assert_text(const struct fixture *f, const char *path, const char *text)
{
	if (strcmp(text_at(f->t, path), text) != 0)
		fail_msg("%s: \"%s\" where \"%s\" should be", path, text_at(f->t, path), text);
}

static bool has_changed(const struct fixture *f, const char *path)
{
	return tree_find(f->t, path)->changed;
}

static bool type_is_right(const struct item *item)
{
	switch (item->value.kind) {
	case VALUE_INVALID:
		return true;
	case VALUE_NUMBER:
		return item->row->sig == 'd' || item->row->sig == 'v';
	case VALUE_COUNT:
		return item->row->sig == 'i' || item->row->sig == 'v';
	case VALUE_TEXT:
		return item->row->sig == 's' || item->row->sig == 'v';
	default:
		return item->row->sig == 'v';
	}
}

static void every_path_keeps_its_type(void **state)
{
	struct fixture *f = *state;

	f->c.publish_config_values = true;
	f->c.soc_calculation = true;
	rebuild(f);
	for (unsigned i = 0; i < f->t->count; i++)
		if (!type_is_right(&f->t->item[i]))
			fail_msg("%s", f->t->item[i].path);
}

static void paths_are_sorted_and_each_is_there_once(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 1; i < f->t->count; i++)
		assert_true(strcmp(f->t->item[i - 1].path, f->t->item[i].path) < 0);
	assert_null(tree_find(f->t, "/NoSuchPath"));
	assert_null(tree_find(f->t, "/Dc"));
}

static void a_group_holds_what_lies_below_it(void **state)
{
	struct fixture *f = *state;
	const struct item *first;

	assert_int_equal(tree_group(f->t, "/", &first), f->t->count);
	assert_int_equal(tree_group(f->t, "/Voltages", &first), 6);
	assert_string_equal(first->path, "/Voltages/Cell1");
	assert_int_equal(tree_group(f->t, "/Volt", &first), 0);
	assert_int_equal(tree_group(f->t, "/Soc", &first), 0);
	assert_int_equal(tree_group(f->t, "/Dc", &first), 6);
	assert_int_equal(tree_group(f->t, "/Dc/0", &first), 6);
	assert_int_equal(tree_group(f->t, "/zzz", &first), 0);
}

static void what_is_not_known_is_invalid_and_never_0(void **state)
{
	static const char *const stands_anyway[][2] = {
		{"/State", "0"},
		{"/Mode", "3"},
		{"/Connected", "1"},
		{"/ConnectionInformation", "Connected"},
		{"/System/NrOfModulesOnline", "1"},
		{"/System/NrOfModulesOffline", "0"},
		{"/System/NrOfModulesBlockingCharge", "1"},
		{"/System/NrOfModulesBlockingDischarge", "1"},
		{"/Io/AllowToCharge", "0"},
		{"/Io/AllowToDischarge", "0"},
		{"/Balancing", "0"},
		{"/Alarms/BmsCable", "0"},
		{"/Info/MaxChargeCurrent", "0.00A"},
		{"/Info/MaxDischargeCurrent", "0.00A"},
		{"/Info/ChargeModeDebug", ""},
		{"/History/Clear", "0"},
		{"/History/CanBeCleared", "1"},
		{"/CustomName", ""},
	};
	struct fixture *f = *state;
	unsigned valid = 0;

	memset(&f->s.reading, 0, sizeof(f->s.reading));
	sample_unknown_limits(&f->s.linear);
	rebuild(f);
	for (size_t i = 0; i < sizeof(stands_anyway) / sizeof(stands_anyway[0]); i++)
		assert_text(f, stands_anyway[i][0], stands_anyway[i][1]);
	for (unsigned i = 0; i < f->t->count; i++)
		valid += f->t->item[i].value.kind != VALUE_INVALID;
	/* Besides those: program and battery's names (7), instance, product, 4 names of sensors, 2 more debug
	 * texts, /Settings (6). */
	assert_int_equal(valid, sizeof(stands_anyway) / sizeof(stands_anyway[0]) + 21);
}

static void nothing_changes_when_nothing_has_changed(void **state)
{
	struct fixture *f = *state;

	for (int poll = 0; poll < 100; poll++) {
		sample_polled(&f->s);
		update(f);
	}
	assert_int_equal(f->t->changes, 0);
}

static void what_changes_below_the_rounding_is_no_change(void **state)
{
	struct fixture *f = *state;

	f->s.linear.voltage = 13.2049;
	f->s.linear.current = -5.0049;
	f->s.linear.ccl.limit = 50.0004;
	f->s.reading.cell_V.value[0] = 3.3004;
	update(f);
	assert_int_equal(f->t->changes, 0);
	f->s.linear.voltage = 13.2051;
	update(f);
	assert_int_equal(f->t->changes, 1);
	assert_true(has_changed(f, "/Dc/0/Voltage"));
	assert_text(f, "/Dc/0/Voltage", "13.21V");
}

static void what_was_not_told_stays_marked_until_it_is(void **state)
{
	struct fixture *f = *state;

	f->s.linear.soc = 81;
	update(f);
	f->s.linear.voltage = 13.3;
	update(f);
	assert_int_equal(f->t->changes, 2);
	assert_true(has_changed(f, "/Soc") && has_changed(f, "/Dc/0/Voltage"));
	tree_sent(f->t);
	assert_int_equal(f->t->changes, 0);
	assert_false(has_changed(f, "/Soc"));
}

static void a_value_that_is_lost_becomes_invalid_and_comes_back(void **state)
{
	struct fixture *f = *state;

	f->s.linear.voltage = NAN;
	update(f);
	assert_text(f, "/Dc/0/Voltage", "---");
	assert_true(has_changed(f, "/Dc/0/Voltage"));
	f->s.linear.voltage = 13.2;
	update(f);
	assert_text(f, "/Dc/0/Voltage", "13.20V");
}

static void values_are_written_as_the_contract_has_it(void **state)
{
	static const char *const expected[][2] = {
		{"/Dc/0/Voltage", "13.20V"},
		{"/Dc/0/Current", "-5.00A"},
		{"/Dc/0/Power", "-66W"},
		{"/Dc/0/Temperature", "20.5"},
		{"/Soc", "80.0"},
		{"/Capacity", "80.00Ah"},
		{"/InstalledCapacity", "100Ah"},
		{"/ConsumedAmphours", "-20Ah"},
		{"/TimeToGo", "43200"},
		{"/System/MinVoltageCellId", "C3"},
		{"/System/MaxTemperatureCellId", "Temp 2"},
		{"/Voltages/Cell2", "3.301V"},
		{"/Voltages/Sum", "13.20V"},
		{"/Info/MaxChargeVoltage", "13.80V"},
		{"/Info/MaxChargeCellVoltage", "3.45V"},
		{"/Info/BatteryLowVoltage", "11.6"},
		{"/History/LastDischarge", "0.0"},
		{"/History/ChargeCycles", "12.0"},
		{"/ProductId", "0xBA77"},
		{"/ProductName", "Sample 4S"},
		{"/Serial", "SAMPLE_1_2"},
		{"/Manufacturer", "Sample"},
		{"/FirmwareVersion", "0.0"},
		{"/Mgmt/Connection", "Serial /dev/ttyUSB0"},
	};

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_text(*state, expected[i][0], expected[i][1]);
}

static void numbers_are_shown_with_the_fewest_digits_that_read_back(void **unused)
{
	static const struct {
		double v;
		const char *text;
	} expected[] = {
		{24.6, "24.6"},
		{-280, "-280.0"},
		{0, "0.0"},
		{100, "100.0"},
		{635.0509448476676, "635.0509448476676"},
		{-11760.206467604432, "-11760.206467604432"},
		{0.1 + 0.2, "0.30000000000000004"},
		{0.00001, "0.00001"},
		{1e15, "1000000000000000.0"},
	};
	char text[VALUE_TEXT_MAX];

	(void)unused;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		struct value v = value_number(expected[i].v);

		assert_string_equal(value_show(&v, FORM_PLAIN, text), expected[i].text);
	}
	for (int exponent = -308; exponent <= 308; exponent++) {
		struct value v = value_number(-1.7976931348623157 * pow(10, exponent));

		assert_true(v.kind != VALUE_NUMBER || strtod(value_show(&v, FORM_PLAIN, text), NULL) == v.number);
	}
}

static void halves_are_rounded_to_the_even_digit(void **unused)
{
	char text[VALUE_TEXT_MAX];
	struct value v = value_number(-92.5);

	(void)unused;
	assert_string_equal(value_show(&v, FORM_AH0, text), "-92Ah");
	assert_true(value_round((24.2 + 25.1) / 2, 1) == 24.6);
	assert_true(value_round(23.625, 2) == 23.62);
	v = value_number(-0.0);
	assert_string_equal(value_show(&v, FORM_PLAIN, text), "0.0");
}

static void a_battery_without_a_name_is_called_by_its_identifier(void **state)
{
	struct fixture *f = *state;

	reading_set_text(&f->s.reading, T_MODEL, "");
	update(f);
	assert_text(f, "/ProductName", "SerialBattery SAMPLE_1-2 @ ttyUSB0 (Sample)");
}

static void the_address_stands_behind_the_port(void **state)
{
	struct fixture *f = *state;

	f->s.addressed = true;
	f->s.address = 0x1f;
	update(f);
	assert_text(f, "/Mgmt/Connection", "Serial /dev/ttyUSB0__0x1f");
}

static void a_radio_link_is_told_to_be_insecure(void **state)
{
	static struct protocol radio;
	struct fixture *f = *state;

	assert_null(tree_find(f->t, "/Mgmt/InsecureConnection"));
	radio = sample_protocol;
	radio.link = LINK_BLE;
	f->s.protocol = &radio;
	rebuild(f);
	assert_text(f, "/Mgmt/InsecureConnection", "1");
}

static void the_format_of_cell_data_chooses_their_paths(void **state)
{
	static const struct {
		int format;
		bool voltages, volts, balances;
	} expected[] = {
		{0, false, false, false}, {1, true, false, true}, {2, false, true, false}, {3, false, true, true}};
	struct fixture *f = *state;

	for (size_t i = 0; i < 4; i++) {
		f->c.battery_cell_data_format = expected[i].format;
		assert_int_equal(tree_fits(f->t, &f->s, &f->c), f->t->shape.cell_format == expected[i].format);
		rebuild(f);
		assert_int_equal(!!tree_find(f->t, "/Voltages/Cell4"), expected[i].voltages);
		assert_int_equal(!!tree_find(f->t, "/Voltages/Sum"), expected[i].voltages);
		assert_int_equal(!!tree_find(f->t, "/Cell/4/Volts"), expected[i].volts);
		assert_int_equal(!!tree_find(f->t, "/Cell/Diff"), expected[i].volts);
		assert_int_equal(!!tree_find(f->t, "/Balances/Cell4"), expected[i].balances);
	}
}

static void an_implausible_cell_is_unknown(void **state)
{
	struct fixture *f = *state;

	f->s.reading.cell_V.value[1] = 65.535;
	update(f);
	assert_text(f, "/Voltages/Cell2", "---");
}

static void times_to_points_are_written_in_three_ways(void **state)
{
	static const char *const expected[] = {"13885", "3h 51m", "13885 [3h 51m]"};
	struct fixture *f = *state;

	f->c.time_to_soc_points = (struct number_list){3, {100, 50, 50}};
	f->s.linear.points = 2;
	f->s.linear.tts_point[0] = 100;
	f->s.linear.tts[0] = NAN;
	f->s.linear.tts_point[1] = 50;
	f->s.linear.tts[1] = 13885;
	for (int type = 1; type <= 3; type++) {
		f->c.time_to_soc_value_type = type;
		rebuild(f);
		assert_text(f, "/TimeToSoC/50", expected[type - 1]);
		assert_text(f, "/TimeToSoC/100", "---");
	}
}

static void an_alarm_that_the_bms_does_not_report_is_invalid(void **state)
{
	struct fixture *f = *state;

	assert_text(f, "/Alarms/LowVoltage", "0");
	assert_text(f, "/Alarms/FuseBlown", "---");
	alarm_raise(&f->s.reading.alarms, ALARM_LOW_VOLTAGE, ALARM_WARNING);
	update(f);
	assert_text(f, "/Alarms/LowVoltage", "1");
	f->s.reading.alarms.known = false;
	update(f);
	assert_text(f, "/Alarms/LowVoltage", "---");
}

static void a_high_voltage_alarm_is_held_down_where_the_limits_say_so(void **state)
{
	struct fixture *f = *state;

	alarm_raise(&f->s.reading.alarms, ALARM_HIGH_VOLTAGE, ALARM_RAISED);
	f->s.linear.alarm_hv = 0;
	update(f);
	assert_text(f, "/Alarms/HighVoltage", "0");
	f->s.linear.alarm_hv = 2;
	update(f);
	assert_text(f, "/Alarms/HighVoltage", "2");
}

static void a_low_soc_alarm_is_made_where_the_bms_has_none(void **state)
{
	static const struct {
		double soc;
		const char *level;
	} expected[] = {{20, "0"}, {19.9, "1"}, {10, "1"}, {9.9, "2"}};
	struct fixture *f = *state;

	for (size_t i = 0; i < 4; i++) {
		reading_set(&f->s.reading, Q_SOC_PCT, expected[i].soc);
		update(f);
		assert_text(f, "/Alarms/LowSoc", expected[i].level);
	}
	f->c.soc_calculation = true;
	rebuild(f);
	assert_text(f, "/Alarms/LowSoc", "---");
}

static void the_state_of_the_device_names_its_worst_alarm(void **state)
{
	static const struct {
		enum alarm alarm;
		enum alarm_level level;
		const char *state;
	} expected[] = {
		{ALARM_LOW_VOLTAGE, ALARM_RAISED, "261"},
		{ALARM_HIGH_TEMPERATURE, ALARM_WARNING, "258"},
		{ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_RAISED, "257"},
		{ALARM_INTERNAL_FAILURE, ALARM_RAISED, "259"},
	};
	struct fixture *f = *state;

	assert_text(f, "/DeviceState", "256");
	f->s.linear.ccl.io = f->s.linear.dcl.io = false;
	f->s.linear.state = 14;
	update(f);
	assert_text(f, "/DeviceState", "260");
	assert_text(f, "/Mode", "4");
	for (size_t i = 0; i < 4; i++) {
		alarm_raise(&f->s.reading.alarms, expected[i].alarm, expected[i].level);
		update(f);
		assert_text(f, "/DeviceState", expected[i].state);
	}
}

static void amounts_taken_out_are_negative_and_time_goes_in_minutes(void **state)
{
	struct fixture *f = *state;

	f->s.linear.history.total = 11760.206467604432;
	f->s.linear.history.since_full = 3599;
	f->s.linear.history.syncs = 3;
	update(f);
	assert_text(f, "/History/TotalAhDrawn", "-11760.206");
	assert_text(f, "/History/TimeSinceLastFullCharge", "3540");
	assert_text(f, "/History/AutomaticSyncs", "3");
}

static void counting_the_soc_shows_the_bms_own_beside_it(void **state)
{
	struct fixture *f = *state;

	assert_null(tree_find(f->t, "/SocBms"));
	f->c.soc_calculation = true;
	assert_false(tree_fits(f->t, &f->s, &f->c));
	rebuild(f);
	assert_text(f, "/SocBms", "80.0");
	assert_text(f, "/CapacityBms", "80.00Ah");
	assert_text(f, "/ConsumedAmphoursBms", "-20Ah");
}

static void a_battery_offers_the_commands_that_it_takes(void **state)
{
	static struct protocol mute;
	struct tree_identity daring = identity;
	struct fixture *f = *state;

	assert_non_null(tree_find(f->t, "/Settings/ForceChargingOff"));
	assert_null(tree_find(f->t, "/Settings/TurnBalancingOff")); /* unproven */
	daring.experimental = true;
	tree_free(f->t);
	f->t = tree_new(&daring, &f->s, &f->c, 0);
	assert_non_null(tree_find(f->t, "/Settings/TurnBalancingOff"));
	mute = sample_protocol;
	mute.commands = 0;
	f->s.protocol = &mute;
	rebuild(f);
	assert_null(tree_find(f->t, "/Settings/ForceChargingOff"));
	assert_null(tree_find(f->t, "/Settings/HasSettings"));
	f->c.soc_calculation = true;
	rebuild(f);
	assert_text(f, "/Settings/ResetSocTo", "100");
	assert_text(f, "/Settings/HasSettings", "1");
}

static void a_switch_shows_what_was_asked_until_that_is_over(void **state)
{
	static const char path[] = "/Settings/ForceChargingOff";
	struct fixture *f = *state;

	assert_text(f, path, "0");
	tree_set_asked(f->t, COMMAND_CHARGE, OFF, 2000);
	assert_text(f, path, "1");
	update(f); /* the BMS still reports it on */
	assert_text(f, path, "1");
	tree_set_asked(f->t, COMMAND_CHARGE, UNKNOWN, 3000); /* it failed */
	assert_text(f, path, "0");
	reading_set_flag(&f->s.reading, F_CHARGE_MOS, false); /* somebody else turned it off */
	update(f);
	assert_text(f, path, "1");
}

static void a_battery_that_asks_for_charge_says_so(void **state)
{
	struct fixture *f = *state;

	assert_null(tree_find(f->t, "/Info/ChargeRequest"));
	reading_set_detail(&f->s.reading, "charge_request", 1);
	rebuild(f);
	assert_text(f, "/Info/ChargeRequest", "1");
}

static void debug_texts_are_there_for_those_who_want_them(void **state)
{
	struct fixture *f = *state;

	assert_text(f, "/Info/ChargeModeDebugFloat", "");
	f->c.gui_parameters_show_additional_info = true;
	f->s.linear.cell_sum = NAN;
	update(f);
	assert_non_null(strstr(text_at(f->t, "/Info/ChargeModeDebug"), "at most 13.80 V"));
	assert_non_null(strstr(text_at(f->t, "/Info/ChargeModeDebug"), "sum -- V"));
	assert_non_null(strstr(text_at(f->t, "/Info/ChargeModeDebugFloat"), "float after 900 s"));
	assert_non_null(strstr(text_at(f->t, "/Info/ChargeModeDebugBulk"), "80 %"));
}

/* ---- the link in words ---- */

static void miss(struct fixture *f, uint64_t ms)
{
	f->s.failures++;
	f->s.errors++;
	f->s.state = PACK_STALE;
	tree_update(f->t, &f->s, &f->c, f->s.reading_ms + ms);
}

static void a_single_missed_poll_says_nothing(void **state)
{
	struct fixture *f = *state;

	miss(f, 1000);
	assert_text(f, "/ConnectionInformation", "Connected");
	assert_int_equal(f->t->changes, 0);
}

static void a_silent_battery_is_told_in_words_every_ten_seconds(void **state)
{
	struct fixture *f = *state;
	unsigned texts = 0;

	f->c.block_on_disconnect_voltage_max = 3.4;
	for (uint64_t s = 1; s <= 60; s++) {
		miss(f, s * 1000);
		texts += has_changed(f, "/ConnectionInformation");
		tree_sent(f->t);
		if (s == 2)
			assert_text(f, "/ConnectionInformation",
				    "Lost for: 2s | Disconnect in: 29m 58s | Threshold: 30m");
	}
	assert_int_equal(texts, 6);
	assert_text(f, "/ConnectionInformation", "Lost for: 52s | Disconnect in: 29m 8s | Threshold: 30m");
}

static void cells_outside_the_safe_band_shorten_the_wait(void **state)
{
	struct fixture *f = *state;

	f->s.linear.cell_max = 3.5;
	miss(f, 1000);
	miss(f, 2000);
	assert_text(f, "/ConnectionInformation", "Lost for: 2s | Disconnect in: 58s | Threshold: 1m");
}

static void a_blocked_battery_is_told_at_once(void **state)
{
	struct fixture *f = *state;

	miss(f, 1000);
	miss(f, 2000);
	f->s.linear.blocked = true;
	f->s.step = f->s.linear;
	miss(f, 3000);
	assert_text(f, "/ConnectionInformation", "Lost for: 3s | Disconnected | Threshold: 30m");
}

static void errors_are_told_until_a_minute_has_passed_without_one(void **state)
{
	struct fixture *f = *state;

	for (uint64_t s = 1; s <= 86; s++)
		miss(f, s * 1000);
	f->s.reading_ms += 87000;
	f->s.failures = 0;
	update(f);
	assert_text(f, "/ConnectionInformation", "Connected (86 errors in the last 1m 26s)");
	f->s.reading_ms += 59000;
	update(f);
	assert_text(f, "/ConnectionInformation", "Connected (86 errors in the last 2m 25s)");
	f->s.reading_ms += 2000;
	update(f);
	assert_text(f, "/ConnectionInformation", "Connected");
}

static void the_end_of_a_command_is_shown_for_a_minute(void **state)
{
	struct fixture *f = *state;

	tree_set_outcome(f->t, "charge off: done", f->s.reading_ms);
	assert_text(f, "/ConnectionInformation", "Connected | charge off: done");
	f->s.reading_ms += 59999;
	update(f);
	assert_text(f, "/ConnectionInformation", "Connected | charge off: done");
	f->s.reading_ms += 1;
	update(f);
	assert_text(f, "/ConnectionInformation", "Connected");
}

/* ---- JSON, options, texts from anywhere ---- */

static void the_tree_as_json_is_nested_and_leaves_settings_out(void **state)
{
	struct fixture *f = *state;
	json_error_t error;

	assert_text(f, "/JsonData", "---");
	f->c.publish_battery_data_as_json = true;
	reading_set_text(&f->s.reading, T_MODEL, "4S \"quoted\" \\ \x01");
	update(f);
	json_t *root = json_loads(text_at(f->t, "/JsonData"), 0, &error);
	if (!root)
		fail_msg("%s: %s", error.text, text_at(f->t, "/JsonData"));
	json_t *dc = json_object_get(json_object_get(root, "Dc"), "0");
	assert_true(json_real_value(json_object_get(dc, "Voltage")) == 13.2);
	assert_true(json_is_null(json_object_get(root, "CustomName")));
	assert_true(json_is_null(json_object_get(root, "ErrorCode")));
	assert_string_equal(json_string_value(json_object_get(root, "ProductName")), "4S \"quoted\" \\ \x01");
	assert_null(json_object_get(root, "Settings"));
	assert_null(json_object_get(root, "JsonData"));
	assert_int_equal(json_object_size(json_object_get(root, "Voltages")), 6);
	json_decref(root);
}

static void json_changes_when_another_path_does(void **state)
{
	struct fixture *f = *state;

	f->c.publish_battery_data_as_json = true;
	update(f);
	tree_sent(f->t);
	update(f);
	assert_int_equal(f->t->changes, 0);
	for (double soc = 70; soc < 72; soc++) { /* also when the first change was not sent yet */
		f->s.linear.soc = soc;
		update(f);
		assert_non_null(strstr(text_at(f->t, "/JsonData"), soc == 70 ? "\"Soc\":70.0" : "\"Soc\":71.0"));
	}
}

static void options_are_published_but_no_secret(void **state)
{
	struct fixture *f = *state;

	f->c.publish_config_values = true;
	snprintf(f->c.mqtt_password, sizeof(f->c.mqtt_password), "secret");
	snprintf(f->c.excluded_devices, sizeof(f->c.excluded_devices), "/dev/ttyUSB0, /dev/ttyS1");
	rebuild(f);
	assert_text(f, "/Info/Config/CVCM_ENABLE", "True");
	assert_text(f, "/Info/Config/CHARGE_MODE", "1");
	assert_text(f, "/Info/Config/MAX_CELL_VOLTAGE", "3.45");
	assert_text(f, "/Info/Config/CELL_VOLTAGES_WHILE_CHARGING", "[3.5, 3.45, 3.425, 3.4, 3.375]");
	assert_text(f, "/Info/Config/TEMPERATURE_SOURCE_BATTERY", "[1, 2, 3, 4]");
	assert_text(f, "/Info/Config/BMS_TYPE", "[]");
	assert_text(f, "/Info/Config/EXCLUDED_DEVICES", "['/dev/ttyUSB0', '/dev/ttyS1']");
	assert_null(tree_find(f->t, "/Info/Config/MQTT_PASSWORD"));
	f->c.publish_battery_data_as_json = true;
	update(f);
	assert_null(strstr(text_at(f->t, "/JsonData"), "secret"));
}

static unsigned random_next(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 16);
}

static void whatever_bytes_come_the_text_is_valid_utf8(void **unused)
{
	char raw[64], clean[64];

	(void)unused;
	for (int i = 0; i < 200000; i++) {
		unsigned n = random_next() % (sizeof(raw) - 1);

		for (unsigned k = 0; k < n; k++)
			raw[k] = (char)(random_next() % 3 ? 0x80 + random_next() % 128 : 1 + random_next() % 127);
		raw[n] = 0;
		utf8_clean(raw, clean, sizeof(clean));
		assert_true(dbus_validate_utf8(clean, NULL));
		if (dbus_validate_utf8(raw, NULL))
			assert_string_equal(raw, clean);
	}
	utf8_clean("25 \xc2\xb0"
		   "C \xe2\x82\xac \xf0\x9f\x94\x8b",
		   clean, sizeof(clean));
	assert_string_equal(clean, "25 \xc2\xb0"
				   "C \xe2\x82\xac \xf0\x9f\x94\x8b");
	utf8_clean("\xe2\x82\xac\xe2\x82\xac", clean, 6);
	assert_string_equal(clean, "\xe2\x82\xac");
}

static double random_number(void)
{
	switch (random_next() % 6) {
	case 0:
		return NAN;
	case 1:
		return INFINITY;
	case 2:
		return -1e300;
	default:
		return ((double)(random_next() % 2000000) - 1000000) / 1000;
	}
}

/* Fills the doubles and ints of the limits with whatever; flags and reasons stay what they can be. */
static void randomize(struct fixture *f)
{
	struct limits_output *o = &f->s.linear;
	double *number[] = {&o->voltage,
			    &o->current,
			    &o->soc,
			    &o->cell_min,
			    &o->v_max,
			    &o->cvl,
			    &o->ttg,
			    &o->temp_sensor[2],
			    &o->ccl.limit,
			    &o->history.total,
			    &o->history.since_full,
			    &o->history.full_discharges};

	for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		*number[i] = random_number();
	o->cell_min_no = (int)(random_next() % 60) - 5;
	o->temp_min_no = (int)(random_next() % 60) - 5;
	for (unsigned t = 0; t < TEXT_COUNT; t++)
		for (unsigned i = 0; i < MAX_TEXT - 1; i++)
			f->s.reading.text[t][i] = (char)random_next();
	reading_set(&f->s.reading, Q_CELL_COUNT, random_number());
	f->s.reading.cell_V.known = random_next();
	f->s.errors = random_next();
	f->s.failures = random_next() % 4;
}

static void no_snapshot_can_hurt_the_tree(void **state)
{
	struct fixture *f = *state;
	char text[VALUE_TEXT_MAX];

	f->c.publish_battery_data_as_json = true;
	for (int i = 0; i < 3000; i++) {
		randomize(f);
		if (!tree_fits(f->t, &f->s, &f->c))
			rebuild(f);
		update(f);
		for (unsigned k = 0; k < f->t->count; k++) {
			const struct item *item = &f->t->item[k];

			assert_true(type_is_right(item));
			assert_true(item->value.kind != VALUE_NUMBER || isfinite(item->value.number));
			assert_true(strlen(item_show(item, text)) < 20000);
		}
		tree_sent(f->t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tree_of_a_jbd_is_the_recorded_one),
		cmocka_unit_test(the_tree_of_a_jk_is_the_recorded_one),
		cmocka_unit_test(the_tree_with_all_options_is_the_recorded_one),
		cmocka_unit_test_setup_teardown(every_path_keeps_its_type, set_up, tear_down),
		cmocka_unit_test_setup_teardown(paths_are_sorted_and_each_is_there_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_group_holds_what_lies_below_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_known_is_invalid_and_never_0, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_changes_when_nothing_has_changed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_changes_below_the_rounding_is_no_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_not_told_stays_marked_until_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_value_that_is_lost_becomes_invalid_and_comes_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(values_are_written_as_the_contract_has_it, set_up, tear_down),
		cmocka_unit_test(numbers_are_shown_with_the_fewest_digits_that_read_back),
		cmocka_unit_test(halves_are_rounded_to_the_even_digit),
		cmocka_unit_test_setup_teardown(a_battery_without_a_name_is_called_by_its_identifier, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_address_stands_behind_the_port, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_radio_link_is_told_to_be_insecure, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_format_of_cell_data_chooses_their_paths, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_implausible_cell_is_unknown, set_up, tear_down),
		cmocka_unit_test_setup_teardown(times_to_points_are_written_in_three_ways, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_alarm_that_the_bms_does_not_report_is_invalid, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_high_voltage_alarm_is_held_down_where_the_limits_say_so, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_low_soc_alarm_is_made_where_the_bms_has_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_state_of_the_device_names_its_worst_alarm, set_up, tear_down),
		cmocka_unit_test_setup_teardown(amounts_taken_out_are_negative_and_time_goes_in_minutes, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(counting_the_soc_shows_the_bms_own_beside_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_battery_offers_the_commands_that_it_takes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_switch_shows_what_was_asked_until_that_is_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_battery_that_asks_for_charge_says_so, set_up, tear_down),
		cmocka_unit_test_setup_teardown(debug_texts_are_there_for_those_who_want_them, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_single_missed_poll_says_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_silent_battery_is_told_in_words_every_ten_seconds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cells_outside_the_safe_band_shorten_the_wait, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_blocked_battery_is_told_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(errors_are_told_until_a_minute_has_passed_without_one, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_end_of_a_command_is_shown_for_a_minute, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_tree_as_json_is_nested_and_leaves_settings_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(json_changes_when_another_path_does, set_up, tear_down),
		cmocka_unit_test_setup_teardown(options_are_published_but_no_secret, set_up, tear_down),
		cmocka_unit_test(whatever_bytes_come_the_text_is_valid_utf8),
		cmocka_unit_test_setup_teardown(no_snapshot_can_hurt_the_tree, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
