/* SPDX-License-Identifier: GPL-3.0-or-later */
/* felicity on frames constructed from its sheet. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "play.h"
#include "protocols/checksum.h"
#include "protocols/felicity_json.h"

enum { STATUS = 0x1302, LIMITS = 0x131c, CELLS = 0x132a, SENSORS = 0x133a, SERIAL = 0xf804, FIRMWARE = 0xf80b };
enum { WORDS = 64, NAMES = 8, NOTHING = 0x7fff };

/* The battery of these tests: four cells and two sensors, charging; a test changes what it is about. */
static struct {
	uint16_t data[WORDS], names[NAMES];
} battery;

static struct device dev;
static char error[128];

static uint16_t *word(unsigned reg)
{
	return reg >= SERIAL ? &battery.names[reg - SERIAL] : &battery.data[reg - STATUS];
}

static void put(unsigned reg, int v)
{
	*word(reg) = (uint16_t)v;
}

static void start_battery(void)
{
	for (unsigned i = 0; i < WORDS; i++)
		battery.data[i] = NOTHING;
	for (unsigned i = 0; i < NAMES; i++)
		battery.names[i] = NOTHING;
	for (unsigned i = 0; i < 10; i++)
		put(STATUS + i, 0);
	put(STATUS, 0x15);
	put(STATUS + 4, 1609);
	put(STATUS + 5, -305);
	put(STATUS + 8, -3);
	put(STATUS + 9, 87);
	put(LIMITS, 1760);
	put(LIMITS + 1, 1200);
	put(LIMITS + 2, 1500);
	put(LIMITS + 3, 1005);
	for (unsigned i = 0; i < 5; i++)
		put(CELLS + i, 3216 + (int)i);
	put(SENSORS, 12);
	put(SENSORS + 1, -6);
	put(SERIAL, 10);
	put(SERIAL + 1, 11);
	put(SERIAL + 2, 24);
	put(SERIAL + 3, 2447);
	put(SERIAL + 4, 238);
	put(FIRMWARE, 418);
}

static int set_up(void **unused)
{
	(void)unused;
	start_battery();
	dev = fresh_device("felicity", 1, 0);
	error[0] = 0;
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	device_free(&dev);
	return 0;
}

/* ---- frames ---- */

static size_t add_crc(uint8_t *p, size_t n)
{
	uint16_t crc = crc16_modbus((struct bytes){p, n});

	p[n] = (uint8_t)crc;
	p[n + 1] = (uint8_t)(crc >> 8);
	return n + 2;
}

static size_t reply_to(uint8_t *p, uint8_t address, unsigned reg, unsigned count)
{
	p[0] = address;
	p[1] = 3;
	p[2] = (uint8_t)(2 * count);
	for (unsigned i = 0; i < count; i++)
		put_u16be(p + 3 + 2 * i, *word(reg + i));
	return add_crc(p, 3 + 2 * count);
}

static const char *hex_of(const uint8_t *p, size_t n)
{
	static char hex[8][300];
	static unsigned turn;
	char *out = hex[turn++ % 8];

	bytes_hex((struct bytes){p, n}, out, sizeof(hex[0]));
	return out;
}

static const char *reply(unsigned reg, unsigned count)
{
	uint8_t p[128];

	return hex_of(p, reply_to(p, 1, reg, count));
}

static const char *exception(void)
{
	uint8_t p[8] = {1, 0x83, 2};

	return hex_of(p, add_crc(p, 3));
}

static enum exchange_state ask(unsigned reg, unsigned count)
{
	return play(&dev, (uint16_t)reg, 0, RX(reply(reg, count)), error);
}

static const struct reading *read_status(void)
{
	assert_int_equal(ask(STATUS, 10), EXCHANGE_ANSWERED);
	return &dev.reading;
}

static const struct reading *read_all(void)
{
	read_status();
	assert_int_equal(ask(CELLS, 24), EXCHANGE_ANSWERED);
	assert_int_equal(ask(LIMITS, 4), EXCHANGE_ANSWERED);
	assert_int_equal(ask(SERIAL, 5), EXCHANGE_ANSWERED);
	assert_int_equal(ask(FIRMWARE, 1), EXCHANGE_ANSWERED);
	return &dev.reading;
}

static double get(enum quantity q)
{
	return reading_get(&dev.reading, q);
}

static void nothing_was_taken(void)
{
	struct reading nothing = {0};

	assert_memory_equal(&dev.reading, &nothing, sizeof(nothing));
	assert_int_equal(dev.settings.count, 0);
}

/* ---- the JSON dialect: a reply is a list of keys with their values, of which a test changes one ---- */

enum { ENTRIES = 16, LONGEST = 6000 };

static struct {
	const char *key, *value;
} json[ENTRIES];

static const char *const json_normal[][2] = {
	{"CommVer", "1"},
	{"DevSN", "\"100011002424470238\""},
	{"Estate", "960"},
	{"Bfault", "0"},
	{"Bwarn", "0"},
	{"Bstate", "960"},
	{"Batt", "[[26600],[-1000],[null]]"},
	{"BattList", "[[26550,65535],[-401,-1]]"},
	{"BatsocList", "[[8050,995,100000]]"},
	{"BatcelList", "[[3320,3321,3322,3320,3320,3320,3320,3319,65535,65535,65535,65535,65535,65535,65535,65535]]"},
	{"LVolCur", "[[292,240],[2000,3000]]"},
	{"BLVolCu", "[[288,241],[1000,1005]]"},
	{"BtemList", "[[130,-55,32767,132,32767,32767,32767,32767]]"},
};

/* value NULL: the key is missing */
static void say(const char *key, const char *value)
{
	unsigned i = 0;

	while (i < ENTRIES - 1 && json[i].key && strcmp(json[i].key, key) != 0)
		i++;
	json[i].key = key;
	json[i].value = value;
}

static void speak_json(void)
{
	device_free(&dev);
	dev = fresh_device("felicity", 0, FELICITY_JSON);
	memset(json, 0, sizeof(json));
	for (size_t i = 0; i < sizeof(json_normal) / sizeof(json_normal[0]); i++)
		say(json_normal[i][0], json_normal[i][1]);
}

static const char *json_text(void)
{
	static char text[LONGEST];
	size_t n = 0;

	for (unsigned i = 0; i < ENTRIES && json[i].key; i++)
		if (json[i].value)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%c\"%s\":%s", n ? ',' : '{', json[i].key,
					      json[i].value);
	snprintf(text + n, sizeof(text) - n, "}");
	return text;
}

/* What comes in answer to a request: this text, in notifications of so many bytes. */
static enum exchange_state hear_text(uint16_t code, const char *text, size_t piece)
{
	static char hex[2 * LONGEST + LONGEST];
	const char *rx[LONGEST + 1];
	size_t n = strlen(text), count = 0, at = 0;

	for (size_t i = 0; i < n; i += piece) {
		size_t size = n - i < piece ? n - i : piece;

		rx[count++] = hex + at;
		bytes_hex((struct bytes){(const uint8_t *)text + i, size}, hex + at, 2 * size + 1);
		at += 2 * size + 1;
	}
	rx[count] = NULL;
	return play(&dev, code, 0, rx, error);
}

static enum exchange_state real(void)
{
	return hear_text(FELICITY_JSON_REAL, json_text(), 35);
}

static void real_is_rejected(const char *why)
{
	char expected[128];

	snprintf(expected, sizeof(expected), "reply rejected: %s", why);
	assert_int_equal(real(), EXCHANGE_FAILED);
	assert_string_equal(error, expected);
	nothing_was_taken();
}

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	(void)unused;
	assert_string_equal(request_hex(&dev, STATUS, 0), "01031302000a6089");
	assert_string_equal(request_hex(&dev, LIMITS, 0), "0103131c0004814b");
	assert_string_equal(request_hex(&dev, CELLS, 0), "0103132a0018608c");
	assert_string_equal(request_hex(&dev, FIRMWARE, 0), "0103f80b0001c4a8");
	assert_string_equal(request_hex(&dev, SERIAL, 0), "0103f8040005f568");
	dev.address = 2;
	assert_string_equal(request_hex(&dev, STATUS, 0), "02031302000a60ba");
}

static void nothing_can_be_written(void **unused)
{
	struct request r;

	(void)unused;
	assert_int_equal(dev.protocol->commands, 0);
	for (unsigned code = 0; code <= 0xffff; code++)
		if (dev.protocol->encode(&dev, (uint16_t)code, 0, &r)) {
			assert_false(r.writes);
			assert_int_equal(r.tx[1], 3);
		}
}

static void requests_are_recognised_from_their_bytes(void **unused)
{
	static const uint16_t code[] = {STATUS, LIMITS, CELLS, FIRMWARE, SERIAL};

	(void)unused;
	for (size_t i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
		struct request r, again;

		assert_true(dev.protocol->encode(&dev, code[i], 0, &r));
		assert_true(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
		assert_int_equal(again.code, code[i]);
		assert_int_equal(again.address, 1);
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n - 1u}, &again));
		r.tx[r.n - 1] ^= 1;
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
	}
}

static void requests_to_other_makes_are_not_ours(void **unused)
{
	static const uint8_t head[][6] = {
		{0x01, 0x03, 0x13, 0x02, 0x00, 0x0b}, {0x01, 0x04, 0x13, 0x02, 0x00, 0x0a},
		{0x01, 0x03, 0x00, 0x00, 0x00, 0x27}, {0x01, 0x06, 0x13, 0x02, 0x00, 0x0a},
		{0x00, 0x03, 0x13, 0x02, 0x00, 0x0a}, {0xf8, 0x03, 0x13, 0x02, 0x00, 0x0a},
	};
	struct request r;

	(void)unused;
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) {
		uint8_t p[8];

		memcpy(p, head[i], 6);
		add_crc(p, 6);
		assert_false(dev.protocol->parse_request((struct bytes){p, 8}, &r));
	}
}

/* ---- values ---- */

static void every_field_is_told(void **unused)
{
	const struct reading *r = read_all();

	(void)unused;
	assert_true(get(Q_ADDRESS) == 1);
	assert_true(get(Q_VOLTAGE_V) == 16.09);
	assert_true(get(Q_CURRENT_A) == 30.5);
	assert_true(get(Q_TEMP_MOS_C) == -3);
	assert_true(get(Q_SOC_PCT) == 87);
	assert_true(get(Q_BMS_CVL_V) == 17.6 && get(Q_BMS_DVL_V) == 12);
	assert_true(get(Q_BMS_CCL_A) == 150 && get(Q_BMS_DCL_A) == 100.5);
	assert_true(get(Q_CELL_COUNT) == 5);
	assert_int_equal(r->cell_V.count, 5);
	assert_true(r->cell_V.value[4] == 3.22);
	assert_int_equal(r->temperatures.count, 2);
	assert_true(r->temperatures.value[0] == 12 && r->temperatures.value[1] == -6);
	assert_int_equal(reading_flag(r, F_CHARGE_ALLOWED), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_ALLOWED), ON);
	assert_true(r->alarms.known);
	assert_int_equal(alarms_raised(&r->alarms), 0);
	assert_true(reading_detail(r, "status_bits") == 0x15);
	assert_string_equal(r->text[T_SERIAL_NUMBER], "100011002424470238");
	assert_string_equal(r->text[T_FIRMWARE_VERSION], "418");
}

static void what_the_protocol_says_it_can_report_is_what_it_reports(void **unused)
{
	uint32_t flags = 0;

	(void)unused;
	dev.options.battery_capacity_Ah = 99;
	const struct reading *r = read_all();

	for (unsigned f = 0; f < FLAG_COUNT; f++)
		if (reading_flag(r, (enum flag)f) != UNKNOWN)
			flags |= 1u << f;
	uint64_t known = r->known;

	assert_true(flags == dev.protocol->flags);
	speak_json();
	assert_int_equal(real(), EXCHANGE_ANSWERED);
	assert_true((known | r->known) == dev.protocol->quantities);
}

static void positive_on_the_wire_is_discharge(void **unused)
{
	(void)unused;
	put(STATUS + 5, 1255);
	read_status();
	assert_true(get(Q_CURRENT_A) == -125.5);
	put(STATUS + 5, 0);
	read_status();
	assert_true(get(Q_CURRENT_A) == 0);
	assert_false(signbit(get(Q_CURRENT_A)));
}

static void the_capacity_is_what_the_configuration_says(void **unused)
{
	(void)unused;
	read_status();
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_FULL_AH));
	dev.options.battery_capacity_Ah = 250;
	read_status();
	assert_true(get(Q_CAPACITY_FULL_AH) == 250);
}

static void unused_places_are_unknown(void **unused)
{
	(void)unused;
	read_all();
	put(STATUS + 4, NOTHING);
	put(STATUS + 5, NOTHING);
	put(STATUS + 8, NOTHING);
	put(STATUS + 9, NOTHING);
	put(LIMITS + 2, NOTHING);
	put(CELLS + 1, NOTHING);
	put(SENSORS, NOTHING);
	put(FIRMWARE, NOTHING);
	for (unsigned i = 0; i < 5; i++)
		put(SERIAL + i, i % 2 ? 0 : NOTHING);
	const struct reading *r = read_all();

	assert_false(reading_knows(r, Q_VOLTAGE_V));
	assert_false(reading_knows(r, Q_CURRENT_A));
	assert_false(reading_knows(r, Q_TEMP_MOS_C));
	assert_false(reading_knows(r, Q_SOC_PCT));
	assert_false(reading_knows(r, Q_BMS_CCL_A));
	assert_true(get(Q_BMS_DCL_A) == 100.5);
	assert_int_equal(r->cell_V.count, 5);
	assert_false(series_knows(&r->cell_V, 1));
	assert_int_equal(r->temperatures.count, 2);
	assert_false(series_knows(&r->temperatures, 0));
	assert_string_equal(r->text[T_FIRMWARE_VERSION], "");
	assert_string_equal(r->text[T_SERIAL_NUMBER], "");
}

static void status_bits_are_permissions(void **unused)
{
	(void)unused;
	put(STATUS, 0x01);
	read_status();
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), ON);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), OFF);
	put(STATUS, 0xfffe);
	read_status();
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), OFF);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), ON);
}

/* ---- alarms ---- */

static void each_alarm_bit_means_what_the_sheet_says(void **unused)
{
	static const struct {
		unsigned bit;
		enum alarm alarm, also;
	} bits[] = {
		{2, ALARM_HIGH_CELL_VOLTAGE, ALARM_COUNT},
		{3, ALARM_LOW_CELL_VOLTAGE, ALARM_COUNT},
		{4, ALARM_HIGH_CHARGE_CURRENT, ALARM_COUNT},
		{5, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT},
		{6, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_COUNT},
		{8, ALARM_HIGH_TEMPERATURE, ALARM_HIGH_CHARGE_TEMPERATURE},
		{9, ALARM_LOW_TEMPERATURE, ALARM_LOW_CHARGE_TEMPERATURE},
	};
	unsigned told = 0;

	(void)unused;
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		put(STATUS + 2, 1 << bits[i].bit);
		const struct alarms *a = &read_status()->alarms;

		told |= 1u << bits[i].bit;
		for (unsigned k = 0; k < ALARM_COUNT; k++)
			assert_int_equal(a->level[k],
					 k == bits[i].alarm || k == bits[i].also ? ALARM_RAISED : ALARM_OK);
		assert_int_equal(a->own_count, 0);
		assert_true(reading_detail(&dev.reading, "fault_bits") == 1u << bits[i].bit);
		assert_true(isnan(reading_detail(&dev.reading, "unknown_fault_bits")));
	}
	for (unsigned bit = 0; bit < 16; bit++) {
		if (told >> bit & 1)
			continue;
		put(STATUS + 2, 1 << bit);
		const struct alarms *a = &read_status()->alarms;

		assert_int_equal(alarms_raised(a), 1);
		assert_string_equal(a->own[0].name, "unknown_fault");
		assert_int_equal(a->own[0].level, ALARM_WARNING);
		assert_true(reading_detail(&dev.reading, "unknown_fault_bits") == 1u << bit);
	}
}

/* ---- frames that are not to be believed ---- */

static void damaged_frames_are_no_reading(void **unused)
{
	uint8_t p[64];
	size_t n = reply_to(p, 1, CELLS, 24);

	(void)unused;
	for (size_t i = 0; i < n; i++) {
		p[i] ^= 0x10;
		assert_int_equal(play(&dev, CELLS, 0, RX(hex_of(p, n)), error), EXCHANGE_FAILED);
		p[i] ^= 0x10;
	}
	for (size_t i = 0; i < n; i++)
		assert_int_equal(play(&dev, CELLS, 0, RX(hex_of(p, i)), error), EXCHANGE_FAILED);
	nothing_was_taken();
	assert_int_equal(play(&dev, CELLS, 0, RX(hex_of(p, n)), error), EXCHANGE_ANSWERED);
}

static void replies_of_others_are_no_answer(void **unused)
{
	uint8_t p[64];

	(void)unused;
	assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(p, reply_to(p, 2, STATUS, 10))), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, STATUS, 0, RX(reply(LIMITS, 4)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: not as many bytes as were asked for");
	assert_int_equal(play(&dev, STATUS, 0, RX(request_hex(&dev, STATUS, 0)), error), EXCHANGE_FAILED);
	nothing_was_taken();
}

static void an_answer_is_found_in_noise_and_behind_another_one(void **unused)
{
	uint8_t p[64], q[64];
	size_t n = reply_to(p, 1, STATUS, 10), m = reply_to(q, 1, LIMITS, 4);
	char both[300];

	(void)unused;
	assert_int_equal(play(&dev, STATUS, 0, RX("ff01a03f", hex_of(p, 9), hex_of(p + 9, n - 9), "00"), error),
			 EXCHANGE_ANSWERED);
	snprintf(both, sizeof(both), "%s%s%s", hex_of(q, m), exception(), hex_of(p, n));
	assert_int_equal(play(&dev, STATUS, 0, RX(both), error), EXCHANGE_ANSWERED);
	assert_false(reading_knows(&dev.reading, Q_BMS_CVL_V));
}

static void values_that_no_battery_has_are_not_believed(void **unused)
{
	(void)unused;
	put(STATUS + 9, 101);
	assert_int_equal(ask(STATUS, 10), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: SoC above 100 %");
	for (unsigned i = 0; i < 16; i++)
		put(CELLS + i, NOTHING);
	assert_int_equal(ask(CELLS, 24), EXCHANGE_FAILED);
	nothing_was_taken();
}

static void a_refusal_says_why(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, LIMITS, 0, RX(exception()), error), EXCHANGE_REFUSED);
	assert_string_equal(error, "illegal register address (exception 02)");
	assert_int_equal(play(&dev, STATUS, 0, RX(exception()), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: illegal register address (exception 02)");
}

static void a_battery_with_four_places_for_sensors_is_asked_for_four(void **unused)
{
	(void)unused;
	play(&dev, CELLS, 0, RX(exception()), error);
	assert_string_equal(request_hex(&dev, CELLS, 0), "0103132a0018608c");
	play(&dev, CELLS, 0, RX(exception()), error);
	assert_memory_equal(request_hex(&dev, CELLS, 0), "0103132a0014", 12);
	assert_int_equal(ask(CELLS, 20), EXCHANGE_ANSWERED);
	assert_true(dev.reading.temperatures.value[1] == -6);
	assert_memory_equal(request_hex(&dev, CELLS, 0), "0103132a0014", 12);
}

static void one_stray_refusal_takes_no_sensor_away(void **unused)
{
	(void)unused;
	for (int i = 0; i < 3; i++) {
		play(&dev, CELLS, 0, RX(exception()), error);
		assert_int_equal(ask(CELLS, 24), EXCHANGE_ANSWERED);
	}
	assert_string_equal(request_hex(&dev, CELLS, 0), "0103132a0018608c");
}

/* ---- is it one? ---- */

static bool plausible(void)
{
	const char *why = NULL;

	device_free(&dev);
	dev = fresh_device("felicity", 1, 0);
	return ask(STATUS, 10) == EXCHANGE_ANSWERED && ask(CELLS, 24) == EXCHANGE_ANSWERED &&
	       dev.protocol->plausible(&dev, &why);
}

static void a_battery_is_recognised(void **unused)
{
	(void)unused;
	assert_true(plausible());
	put(CELLS + 2, 0); /* a broken sense wire does not hide it */
	assert_true(plausible());
}

static void another_modbus_device_is_not_taken_for_one(void **unused)
{
	static const int all[] = {0, 1, 50, 100, 3300, 0x7fff, 0xffff};

	(void)unused;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		for (unsigned k = 0; k < WORDS; k++)
			battery.data[k] = (uint16_t)all[i];
		assert_false(plausible());
	}
}

static void a_battery_that_contradicts_itself_is_not_recognised(void **unused)
{
	(void)unused;
	put(STATUS + 4, 1700);
	assert_false(plausible());
	start_battery();
	put(STATUS + 8, 130);
	assert_false(plausible());
	start_battery();
	put(STATUS + 9, NOTHING);
	assert_false(plausible());
	start_battery();
	put(STATUS + 4, 966);
	put(CELLS + 3, NOTHING);
	put(CELLS + 4, NOTHING);
	assert_false(plausible());
}

/* ---- the JSON dialect ---- */

static void json_requests_are_those_of_the_sheet(void **unused)
{
	static const struct {
		uint16_t code;
		const char *text;
	} asked[] = {
		{FELICITY_JSON_REAL, "wifilocalMonitor:get dev real infor"},
		{FELICITY_JSON_BASIC, "wifilocalMonitor:get dev basice infor"},
		{FELICITY_JSON_DATE, "wifilocalMonitor:get Date"},
	};
	struct request r;

	(void)unused;
	speak_json();
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		size_t n = strlen(asked[i].text);

		assert_true(dev.protocol->encode(&dev, asked[i].code, 0, &r));
		assert_int_equal(r.n, n);
		assert_memory_equal(r.tx, asked[i].text, n);
		assert_false(r.writes);
		assert_true(dev.protocol->parse_request((struct bytes){(const uint8_t *)asked[i].text, n}, &r));
		assert_int_equal(r.code, asked[i].code);
		assert_int_equal(r.dialect, FELICITY_JSON);
		assert_false(dev.protocol->parse_request((struct bytes){(const uint8_t *)asked[i].text, n - 1}, &r));
	}
	assert_false(dev.protocol->encode(&dev, STATUS, 0, &r));
}

static void each_dialect_is_polled_with_its_own_requests(void **unused)
{
	(void)unused;
	for (uint8_t dialect = FELICITY_MODBUS; dialect <= FELICITY_JSON; dialect++) {
		dev.dialect = dialect;
		for (unsigned i = 0; i < dev.protocol->poll_count; i++) {
			struct request r;
			const struct poll *row = &dev.protocol->polls[i];

			assert_true(row->wanted(&dev) == dev.protocol->encode(&dev, row->code, row->arg, &r));
		}
	}
	for (unsigned i = 0; i < dev.protocol->probe_count; i++)
		assert_int_equal(dev.protocol->probes[i].dialect, FELICITY_MODBUS);
}

static void every_key_is_told(void **unused)
{
	const struct reading *r = &dev.reading;

	(void)unused;
	speak_json();
	assert_int_equal(real(), EXCHANGE_ANSWERED);
	assert_true(get(Q_VOLTAGE_V) == 26.6);
	assert_true(get(Q_CURRENT_A) == -40.1);
	assert_true(reading_detail(r, "stack_current_A") == -100);
	assert_true(reading_detail(r, "pack_voltage_V") == 26.55);
	assert_true(get(Q_SOC_PCT) == 80.5 && get(Q_SOH_PCT) == 99.5);
	assert_true(get(Q_CAPACITY_FULL_AH) == 100);
	assert_true(fabs(get(Q_CAPACITY_REMAINING_AH) - 80.5) < 1e-9);
	assert_true(get(Q_BMS_CVL_V) == 28.8 && get(Q_BMS_DVL_V) == 24.1);
	assert_true(get(Q_BMS_CCL_A) == 100 && get(Q_BMS_DCL_A) == 100.5);
	assert_true(get(Q_CELL_COUNT) == 8);
	assert_int_equal(r->cell_V.count, 8);
	assert_true(r->cell_V.value[2] == 3.322 && r->cell_V.value[7] == 3.319);
	assert_int_equal(r->temperatures.count, 4);
	assert_true(r->temperatures.value[0] == 13 && r->temperatures.value[1] == -5.5);
	assert_false(series_knows(&r->temperatures, 2));
	assert_true(reading_detail(r, "state_bits") == 960);
	assert_true(r->alarms.known);
	assert_int_equal(alarms_raised(&r->alarms), 0);
	assert_string_equal(r->text[T_SERIAL_NUMBER], "100011002424470238");
	assert_false(reading_knows(r, Q_ADDRESS));
}

static void a_battery_that_speaks_json_is_plausible_without_a_board_temperature(void **unused)
{
	const char *why = NULL;

	(void)unused;
	speak_json();
	assert_int_equal(real(), EXCHANGE_ANSWERED);
	assert_true(dev.protocol->plausible(&dev, &why));
	say("BatsocList", NULL);
	assert_int_equal(real(), EXCHANGE_ANSWERED);
	assert_false(dev.protocol->plausible(&dev, &why));
}

static void minus_one_is_a_current_where_there_is_a_battery(void **unused)
{
	(void)unused;
	speak_json();
	say("BattList", "[[26550,65535],[-1,-1]]");
	assert_int_equal(real(), EXCHANGE_ANSWERED);
	assert_true(get(Q_CURRENT_A) == -0.1);
	say("BattList", "[[65535,65535],[-1,-1]]");
	assert_int_equal(real(), EXCHANGE_ANSWERED);
	assert_true(get(Q_CURRENT_A) == -100);
	assert_true(isnan(reading_detail(&dev.reading, "pack_voltage_V")));
	say("Batt", "[[26600],[32767],[null]]");
	assert_int_equal(real(), EXCHANGE_ANSWERED);
	assert_false(reading_knows(&dev.reading, Q_CURRENT_A));
}

static void what_a_reply_leaves_out_is_unknown(void **unused)
{
	static const char *const keys[] = {"DevSN",	 "Estate",     "Bfault",  "Bwarn",   "Bstate",	"Batt",
					   "BatsocList", "BatcelList", "LVolCur", "BLVolCu", "BtemList"};
	const struct reading *r = &dev.reading;

	(void)unused;
	speak_json();
	assert_int_equal(real(), EXCHANGE_ANSWERED); /* what was known before is not kept either */
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		say(keys[i], NULL);
	assert_int_equal(real(), EXCHANGE_ANSWERED);
	assert_true(get(Q_VOLTAGE_V) == 26.55);
	assert_true(get(Q_CURRENT_A) == -40.1);
	assert_true(r->known == (UINT64_C(1) << Q_VOLTAGE_V | UINT64_C(1) << Q_CURRENT_A));
	assert_false(r->cell_V.reported);
	assert_false(r->temperatures.reported);
	assert_false(r->alarms.known);
}

static void what_says_that_it_is_nothing_is_unknown(void **unused)
{
	static const char *const keys[] = {"Batt", "BattList", "BatcelList", "BLVolCu", "LVolCur", "BtemList"};
	const struct reading *r = &dev.reading;

	(void)unused;
	speak_json();
	say("BatsocList", "[[65535,-1,null]]");
	say("Bwarn", "null");
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		say(keys[i], i % 2 ? "[[null],null]" : "null");
	assert_int_equal(real(), EXCHANGE_ANSWERED);
	assert_int_equal(r->known, 0);
	assert_false(r->cell_V.reported);
	assert_false(r->temperatures.reported);
	assert_false(r->alarms.known);
}

static void limits_of_the_stack_count_where_the_battery_tells_none(void **unused)
{
	(void)unused;
	speak_json();
	say("BLVolCu", "[[288,65535],[-1,0]]");
	assert_int_equal(real(), EXCHANGE_ANSWERED);
	assert_true(get(Q_BMS_CVL_V) == 28.8 && get(Q_BMS_DVL_V) == 24);
	assert_true(get(Q_BMS_CCL_A) == 200 && get(Q_BMS_DCL_A) == 0);
}

static void faults_and_warnings_are_alarms_of_their_level(void **unused)
{
	static const struct {
		const char *key, *name;
		enum alarm_level level;
	} words[] = {
		{"Bfault", "unknown_fault", ALARM_RAISED},
		{"Bwarn", "unknown_warning", ALARM_WARNING},
		{"BBfault", "unknown_fault", ALARM_RAISED},
		{"BBwarn", "unknown_warning", ALARM_WARNING},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const struct alarms *a = &dev.reading.alarms;

		speak_json();
		say(words[i].key, "2147483648");
		assert_int_equal(real(), EXCHANGE_ANSWERED);
		assert_int_equal(alarms_raised(a), 1);
		assert_string_equal(a->own[0].name, words[i].name);
		assert_int_equal(a->own[0].level, words[i].level);
		say(words[i].key, "0");
		assert_int_equal(real(), EXCHANGE_ANSWERED);
		assert_true(a->known);
		assert_int_equal(alarms_raised(a), 0);
	}
}

static void the_basic_reply_tells_firmware_and_serial_number(void **unused)
{
	(void)unused;
	speak_json();
	assert_int_equal(hear_text(FELICITY_JSON_BASIC, "{\"CommVer\":1,\"DevSN\":\"0757\",\"M1SwVer\":519}", 20),
			 EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "0757");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "519");
	assert_int_equal(hear_text(FELICITY_JSON_BASIC, "{\"CommVer\":1,\"M1SwVer\":65535}", 20), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "");
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "0757");
}

static void the_date_reply_tells_the_clock(void **unused)
{
	(void)unused;
	speak_json();
	assert_int_equal(hear_text(FELICITY_JSON_DATE, "{\"CommVer\":1,\"dateTime\":\"2021010101045\"}", 35),
			 EXCHANGE_ANSWERED);
	assert_null(settings_find(&dev.settings, "clock"));
	assert_int_equal(hear_text(FELICITY_JSON_DATE, "{\"CommVer\":1,\"dateTime\":\"20210102030459\"}", 35),
			 EXCHANGE_ANSWERED);
	assert_string_equal(settings_find(&dev.settings, "clock")->text, "2021-01-02 03:04:59");
}

static void a_reply_to_another_request_is_no_answer(void **unused)
{
	static const char *const other[] = {
		"{\"CommVer\":1}",
		"{\"CommVer\":1,\"M1SwVer\":519,\"DevSN\":\"0757\"}",
		"{\"CommVer\":1,\"dateTime\":\"20210102030459\"}",
	};

	(void)unused;
	speak_json();
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		assert_int_equal(hear_text(FELICITY_JSON_REAL, other[i], 35), EXCHANGE_FAILED);
	assert_int_equal(hear_text(FELICITY_JSON_BASIC, json_text(), 35), EXCHANGE_FAILED);
	assert_int_equal(hear_text(FELICITY_JSON_DATE, json_text(), 35), EXCHANGE_FAILED);
	nothing_was_taken();
}

static void only_comm_ver_1_is_believed(void **unused)
{
	static const char *const versions[] = {"0", "2", "-1", "\"1\"", "1.0", "true", "null", "[1]", NULL};

	(void)unused;
	speak_json();
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		say("CommVer", versions[i]);
		real_is_rejected("CommVer is not 1");
	}
}

static void a_value_of_another_type_spoils_the_reply(void **unused)
{
	static const char *const keys[] = {"Estate", "Bfault", "Batt", "BattList", "BatcelList", "BLVolCu", "BtemList"};
	static const char *const values[] = {"\"0\"", "true", "{}", "[[\"26600\"],[1]]", "[[26600.5],[1]]", "[1,2]"};

	(void)unused;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
			speak_json();
			say(keys[i], values[k]);
			assert_int_equal(real(), EXCHANGE_FAILED);
			nothing_was_taken();
		}
	speak_json();
	say("DevSN", "100011002424470238");
	real_is_rejected("something else where a text belongs");
}

static void numbers_that_no_battery_has_spoil_the_reply(void **unused)
{
	static const char *const bad[][2] = {
		{"Batt", "[[26600],[2147483647],[null]]"},
		{"Batt", "[[-2],[0],[null]]"},
		{"Batt", "[[9223372036854775807],[0],[null]]"},
		{"BatsocList", "[[10001,1000,100000]]"},
		{"BatsocList", "[[100,1000,99999999999]]"},
		{"BtemList", "[[-9223372036854775808,0,0,0,0,0,0,0]]"},
		{"Bfault", "4294967296"},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		speak_json();
		say(bad[i][0], bad[i][1]);
		real_is_rejected("a number that no battery has");
	}
	speak_json();
	say("Bfault", "99999999999999999999999");
	real_is_rejected("not JSON");
	say("Bfault", "1e999");
	real_is_rejected("not JSON");
}

static void a_reply_that_lost_a_piece_is_not_believed(void **unused)
{
	(void)unused;
	speak_json();
	say("BLVolCu", "[[288,241],[1000,1005,130]]");
	real_is_rejected("a list of the wrong length");
	speak_json();
	say("BatcelList", "[[3320,3321]]");
	real_is_rejected("a list of the wrong length");
	speak_json();
	say("Batt", "[[2660],[-1000],[null]]");
	real_is_rejected("its cells do not add up to its voltage");
	speak_json();
	say("BatcelList", "[[3320,0,3322,3320,65535,3320,3320,3319,65535,65535,65535,65535,65535,65535,65535,65535]]");
	assert_int_equal(real(), EXCHANGE_ANSWERED); /* an open sense wire is no lost piece */
	assert_false(series_knows(&dev.reading.cell_V, 4));
}

static void a_reply_that_is_cut_is_rejected(void **unused)
{
	char text[LONGEST];

	(void)unused;
	speak_json();
	snprintf(text, sizeof(text), "%s", json_text());
	for (size_t n = strlen(text) - 1; n; n--) {
		text[n] = 0;
		assert_int_equal(hear_text(FELICITY_JSON_REAL, text, 35), EXCHANGE_FAILED);
		assert_string_equal(error, "reply rejected: the reply is cut short");
	}
	nothing_was_taken();
}

static void a_reply_is_put_together_from_pieces_of_any_size(void **unused)
{
	static const size_t sizes[] = {1, 2, 20, 35, 244, 4000};

	(void)unused;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		speak_json();
		assert_int_equal(hear_text(FELICITY_JSON_REAL, json_text(), sizes[i]), EXCHANGE_ANSWERED);
	}
}

static void braces_in_texts_are_no_ends(void **unused)
{
	(void)unused;
	speak_json();
	say("DevSN", "\"}{\\\"}\\\\\"");
	assert_int_equal(real(), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "}{\"}\\");
}

static void a_reply_is_found_behind_rubbish(void **unused)
{
	static const char *const before[] = {".",
					     "]]}\r\n",
					     "{}",
					     "{{}}",
					     "{\"Comm",
					     "{{{{\"",
					     "{}{]}",
					     "{\"\\\"",
					     "{\"CommVer\":2}",
					     "{\"CommVer\":1}"};
	char text[LONGEST];

	(void)unused;
	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		speak_json();
		snprintf(text, sizeof(text), "%s%s", before[i], json_text());
		assert_int_equal(hear_text(FELICITY_JSON_REAL, text, 35), EXCHANGE_ANSWERED);
		assert_true(get(Q_VOLTAGE_V) == 26.6);
	}
}

static void of_two_replies_in_one_each_is_for_itself(void **unused)
{
	char text[LONGEST];

	(void)unused;
	speak_json();
	snprintf(text, sizeof(text), "{\"CommVer\":1,\"M1SwVer\":519}%s", json_text());
	assert_int_equal(hear_text(FELICITY_JSON_REAL, text, 4000), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "");
	speak_json();
	snprintf(text, sizeof(text), "%s{\"CommVer\":1,\"Batt\":[[51000],[0]]}", json_text());
	assert_int_equal(hear_text(FELICITY_JSON_REAL, text, 4000), EXCHANGE_ANSWERED);
	assert_true(get(Q_VOLTAGE_V) == 26.6);
}

static void a_key_that_comes_twice_is_not_believed(void **unused)
{
	(void)unused;
	speak_json();
	say("Bwarn", "0,\"Bwarn\":1");
	real_is_rejected("not JSON");
}

static void lists_in_lists_are_no_number_and_too_deep_ones_are_no_json(void **unused)
{
	static char deep[4001];

	(void)unused;
	speak_json();
	memset(json, 0, sizeof(json));
	say("CommVer", "1");
	memset(deep, '[', 1000);
	memset(deep + 1000, ']', 1000);
	say("Batt", deep);
	real_is_rejected("something else where a whole number belongs");
	memset(deep, '[', 4000);
	real_is_rejected("not JSON");
}

static void objects_in_objects_are_found_whole(void **unused)
{
	char deep[LONGEST];
	size_t n = 0;

	(void)unused;
	speak_json();
	for (unsigned i = 0; i < 500; i++)
		n += (size_t)snprintf(deep + n, sizeof(deep) - n, "{\"a\":");
	n += (size_t)snprintf(deep + n, sizeof(deep) - n, "1");
	memset(deep + n, '}', 500);
	deep[n + 500] = 0;
	assert_int_equal(hear_text(FELICITY_JSON_REAL, deep, 35), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: CommVer is not 1");
	nothing_was_taken();
}

static void a_stream_that_never_closes_its_braces_is_given_up(void **unused)
{
	char text[LONGEST];
	size_t n = MAX_FRAME + 10;

	(void)unused;
	speak_json();
	text[0] = '{';
	memset(text + 1, 'x', n);
	snprintf(text + n, sizeof(text) - n, "%s", json_text());
	assert_int_equal(hear_text(FELICITY_JSON_REAL, text, 35), EXCHANGE_ANSWERED);
	memset(text, '{', n);
	text[n] = 0;
	device_free(&dev);
	dev = fresh_device("felicity", 0, FELICITY_JSON);
	assert_int_equal(hear_text(FELICITY_JSON_REAL, text, 35), EXCHANGE_FAILED);
	nothing_was_taken();
}

static void modbus_is_no_answer_to_a_text_nor_a_text_to_modbus(void **unused)
{
	(void)unused;
	speak_json();
	assert_int_equal(play(&dev, FELICITY_JSON_REAL, 0, RX(reply(STATUS, 10)), error), EXCHANGE_FAILED);
	nothing_was_taken();
	device_free(&dev);
	dev = fresh_device("felicity", 1, FELICITY_MODBUS);
	assert_int_equal(hear_text(STATUS, json_text(), 35), EXCHANGE_FAILED);
	nothing_was_taken();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_are_those_of_the_sheet),
		TEST(nothing_can_be_written),
		TEST(requests_are_recognised_from_their_bytes),
		TEST(requests_to_other_makes_are_not_ours),
		TEST(every_field_is_told),
		TEST(what_the_protocol_says_it_can_report_is_what_it_reports),
		TEST(positive_on_the_wire_is_discharge),
		TEST(the_capacity_is_what_the_configuration_says),
		TEST(unused_places_are_unknown),
		TEST(status_bits_are_permissions),
		TEST(each_alarm_bit_means_what_the_sheet_says),
		TEST(damaged_frames_are_no_reading),
		TEST(replies_of_others_are_no_answer),
		TEST(an_answer_is_found_in_noise_and_behind_another_one),
		TEST(values_that_no_battery_has_are_not_believed),
		TEST(a_refusal_says_why),
		TEST(a_battery_with_four_places_for_sensors_is_asked_for_four),
		TEST(one_stray_refusal_takes_no_sensor_away),
		TEST(a_battery_is_recognised),
		TEST(another_modbus_device_is_not_taken_for_one),
		TEST(a_battery_that_contradicts_itself_is_not_recognised),
		TEST(json_requests_are_those_of_the_sheet),
		TEST(each_dialect_is_polled_with_its_own_requests),
		TEST(every_key_is_told),
		TEST(a_battery_that_speaks_json_is_plausible_without_a_board_temperature),
		TEST(minus_one_is_a_current_where_there_is_a_battery),
		TEST(what_a_reply_leaves_out_is_unknown),
		TEST(what_says_that_it_is_nothing_is_unknown),
		TEST(limits_of_the_stack_count_where_the_battery_tells_none),
		TEST(faults_and_warnings_are_alarms_of_their_level),
		TEST(the_basic_reply_tells_firmware_and_serial_number),
		TEST(the_date_reply_tells_the_clock),
		TEST(a_reply_to_another_request_is_no_answer),
		TEST(only_comm_ver_1_is_believed),
		TEST(a_value_of_another_type_spoils_the_reply),
		TEST(numbers_that_no_battery_has_spoil_the_reply),
		TEST(a_reply_that_lost_a_piece_is_not_believed),
		TEST(a_reply_that_is_cut_is_rejected),
		TEST(a_reply_is_put_together_from_pieces_of_any_size),
		TEST(braces_in_texts_are_no_ends),
		TEST(a_reply_is_found_behind_rubbish),
		TEST(of_two_replies_in_one_each_is_for_itself),
		TEST(a_key_that_comes_twice_is_not_believed),
		TEST(lists_in_lists_are_no_number_and_too_deep_ones_are_no_json),
		TEST(objects_in_objects_are_found_whole),
		TEST(a_stream_that_never_closes_its_braces_is_given_up),
		TEST(modbus_is_no_answer_to_a_text_nor_a_text_to_modbus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
