/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Newer Daly boards, both register maps, sheet daly-modbus-ble: frames built here from the sheet, whole and broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "act.h"
#include "play.h"
#include "protocols/checksum.h"
#include "protocols/daly_registers.h"

/* Codes of requests that only the register maps know. */
enum {
	LIVE_REST = DALY_CONFIRM + 1,
	LIVE_LONG,
	EXTRA,
	VERSIONS,
	SETTINGS,
	SETTINGS_REST,
	PASSWORD,
	DATES,
	CLOCK,
	TEXTS,
	UPTIME,
	SET_CHARGE,
	SET_DISCHARGE,
	SET_BALANCE,
	SET_SOC,
};

enum { MAP = 0x1d0 };

/* ---- frames ---- */

static const char *hex_of(const uint8_t *f, size_t n)
{
	static char hex[8][600];
	static unsigned next;

	next = (next + 1) % 8;
	bytes_hex((struct bytes){f, n}, hex[next], sizeof(hex[next]));
	return hex[next];
}

static size_t end_frame(uint8_t *f, size_t n)
{
	put_u16le(f + n, crc16_modbus((struct bytes){f, n}));
	return n + 2;
}

static size_t fill(uint8_t *f, uint8_t address, const uint16_t *reg, unsigned count)
{
	f[0] = address;
	f[1] = 0x03;
	f[2] = (uint8_t)(2 * count);
	for (unsigned i = 0; i < count; i++)
		put_u16be(f + 3 + 2 * i, reg[i]);
	return end_frame(f, 3 + 2 * count);
}

static const char *reply(uint8_t address, const uint16_t *reg, unsigned count)
{
	uint8_t f[300];

	return hex_of(f, fill(f, address, reg, count));
}

/* Registers of a board by their numbers. */
struct map {
	uint16_t reg[MAP];
};

static struct map d2_map(void)
{
	struct map m = {{0}};

	for (unsigned i = 0; i < 16; i++)
		m.reg[i] = (uint16_t)(3300 + i);
	m.reg[0x20] = 62;
	m.reg[0x21] = 35;
	m.reg[0x28] = 529;
	m.reg[0x29] = 29975;
	m.reg[0x2a] = 561;
	m.reg[0x2b] = 3315;
	m.reg[0x2c] = 3300;
	m.reg[0x2d] = 62;
	m.reg[0x2e] = 35;
	m.reg[0x2f] = 2;
	m.reg[0x30] = 1178;
	m.reg[0x31] = 16;
	m.reg[0x32] = 2;
	m.reg[0x33] = 60;
	m.reg[0x35] = m.reg[0x36] = 1;
	m.reg[0x37] = 3307;
	m.reg[0x38] = 15;
	m.reg[0x39] = 132;
	m.reg[0x40] = 30000;
	m.reg[0x42] = 55;
	m.reg[0x43] = 56;
	return m;
}

static struct map p81_map(void)
{
	struct map m = {{0}};

	for (unsigned i = 0; i < 16; i++)
		m.reg[i] = (uint16_t)(3300 + i);
	m.reg[0x30] = 62;
	m.reg[0x31] = 0xff;
	m.reg[0x38] = 529;
	m.reg[0x39] = 29911;
	m.reg[0x3a] = 864;
	m.reg[0x3b] = 182;
	m.reg[0x3c] = 16;
	m.reg[0x3d] = 2;
	m.reg[0x3e] = 3315;
	m.reg[0x3f] = 16;
	m.reg[0x41] = 1;
	m.reg[0x42] = 15;
	m.reg[0x43] = 62;
	m.reg[0x44] = 1;
	m.reg[0x45] = 35;
	m.reg[0x46] = 1;
	m.reg[0x48] = 2;
	m.reg[0x4b] = 2712;
	m.reg[0x4c] = 7;
	m.reg[0x52] = m.reg[0x53] = 1;
	m.reg[0x58] = 471;
	m.reg[0x5a] = 64;
	m.reg[0x5b] = 70;
	return m;
}

static struct device d2_device(void)
{
	return fresh_device("daly-modbus", 0, DALY_D2);
}

static struct device p81_device(uint8_t board)
{
	return fresh_device("daly-modbus", board, DALY_P81);
}

/* The board with these registers answers the first live question. */
static void tell_live(struct device *dev, const struct map *m)
{
	bool d2 = dev->dialect == DALY_D2;

	assert_int_equal(play(dev, DALY_LIVE, 0,
			      RX(reply(d2 ? 0xd2 : (uint8_t)(0x50 + dev->address), m->reg, d2 ? 0x3e : 0x40)), NULL),
			 EXCHANGE_ANSWERED);
}

static void tell_rest(struct device *dev, const struct map *m)
{
	assert_int_equal(play(dev, LIVE_REST, 0, RX(reply((uint8_t)(0x50 + dev->address), m->reg + 0x41, 0x3e)), NULL),
			 EXCHANGE_ANSWERED);
}

static void tell_long(struct device *dev, const struct map *m)
{
	assert_int_equal(play(dev, LIVE_LONG, 0, RX(reply(0xd2, m->reg, 0x50)), NULL), EXCHANGE_ANSWERED);
}

static struct device told_d2(const struct map *m)
{
	struct device dev = d2_device();

	tell_live(&dev, m);
	return dev;
}

static struct device told_p81(const struct map *m)
{
	struct device dev = p81_device(1);

	tell_live(&dev, m);
	tell_rest(&dev, m);
	return dev;
}

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	struct device dev = d2_device();

	(void)unused;
	assert_string_equal(request_hex(&dev, DALY_LIVE, 0), "d2030000003ed7b9");
	assert_string_equal(request_hex(&dev, DALY_CONFIRM, 0), "d20300a900208791");
	assert_string_equal(request_hex(&dev, LIVE_LONG, 0), "d203000000505655");
	assert_string_equal(request_hex(&dev, EXTRA, 0), "d203003e0009f7a3");
	assert_string_equal(request_hex(&dev, SETTINGS, 0), "d20300800029965f");
	assert_string_equal(request_hex(&dev, DATES, 0), "d20300cc00055655");
	assert_string_equal(request_hex(&dev, SET_CHARGE, 0), "d20600a500008a4a");
	assert_string_equal(request_hex(&dev, SET_CHARGE, 1), "d20600a500014b8a");
	assert_string_equal(request_hex(&dev, SET_DISCHARGE, 1), "d20600a60001bb8a");
	assert_string_equal(request_hex(&dev, SET_BALANCE, 1), "d20600cf00016b96");
	assert_string_equal(request_hex(&dev, SET_SOC, 1000), "d20600a703e82b34");
	device_free(&dev);
	dev = p81_device(1);
	assert_string_equal(request_hex(&dev, DALY_LIVE, 0), "8103000000405bfa");
	assert_string_equal(request_hex(&dev, DALY_CONFIRM, 0), "81030041003e8bce");
	assert_string_equal(request_hex(&dev, TEXTS, 0), "81030178004a5a18");
	assert_string_equal(request_hex(&dev, SETTINGS, 0), "8103010000519a0a");
	assert_string_equal(request_hex(&dev, UPTIME, 0), "810300a4000a9bee");
	assert_string_equal(request_hex(&dev, SET_CHARGE, 1), "810601210001063c");
	dev.address = 3;
	assert_memory_equal(request_hex(&dev, DALY_LIVE, 0), "830300000040", 12);
	device_free(&dev);
}

static void each_map_has_its_own_requests_and_boards_1_to_16(void **unused)
{
	struct device d2 = d2_device(), p81 = p81_device(1);
	struct request request;

	(void)unused;
	assert_false(d2.protocol->encode(&d2, UPTIME, 0, &request));
	assert_false(d2.protocol->encode(&d2, SETTINGS_REST, 0, &request));
	assert_false(p81.protocol->encode(&p81, LIVE_LONG, 0, &request));
	assert_false(p81.protocol->encode(&p81, SET_SOC, 0, &request));
	assert_false(p81.protocol->encode(&p81, SET_BALANCE, 0, &request));
	p81.address = 0;
	assert_false(p81.protocol->encode(&p81, DALY_LIVE, 0, &request));
	p81.address = 17;
	assert_false(p81.protocol->encode(&p81, DALY_LIVE, 0, &request));
	device_free(&d2);
	device_free(&p81);
}

static void only_commands_are_marked_as_writes(void **unused)
{
	const struct protocol *p = protocol_by_id("daly-modbus");
	struct request request;

	(void)unused;
	for (uint8_t map = DALY_D2; map <= DALY_P81; map++) {
		struct device dev = fresh_device("daly-modbus", map == DALY_D2 ? 0 : 1, map);

		for (unsigned r = 0; r < p->poll_count; r++)
			if (p->encode(&dev, p->polls[r].code, p->polls[r].arg, &request)) {
				assert_false(request.writes);
				assert_int_equal(request.tx[1], 0x03);
			} else {
				assert_false(p->polls[r].wanted(&dev));
			}
		assert_true(p->encode(&dev, SET_CHARGE, 1, &request));
		assert_true(request.writes);
		assert_int_equal(request.echo_is_reply, map == DALY_D2);
		device_free(&dev);
	}
	for (unsigned i = 0; i < p->probe_count; i++) {
		struct device dev = fresh_device("daly-modbus", p->probes[i].address, p->probes[i].dialect);

		assert_true(p->encode(&dev, p->probes[i].code, 0, &request));
		assert_int_equal(request.tx[1], 0x03);
		device_free(&dev);
	}
}

static bool parse(const char *hex, struct request *out)
{
	uint8_t buf[32];
	int n = bytes_from_hex(hex, buf, sizeof(buf));

	assert_true(n >= 0);
	return protocol_by_id("daly-modbus")->parse_request((struct bytes){buf, (size_t)n}, out);
}

static void recorded_requests_are_recognised(void **unused)
{
	struct request r;

	(void)unused;
	assert_true(parse("d2030000003ed7b9", &r));
	assert_int_equal(r.code, DALY_LIVE);
	assert_int_equal(r.dialect, DALY_D2);
	assert_int_equal(r.address, 0);
	assert_true(parse("d203000000505655", &r));
	assert_int_equal(r.code, DALY_LIVE); /* it begins a cycle as the short one does */
	assert_true(parse("8103000000405bfa", &r));
	assert_int_equal(r.dialect, DALY_P81);
	assert_int_equal(r.address, 1);
	assert_true(parse("d20600a703e82b34", &r));
	assert_int_equal(r.code, SET_SOC);
	assert_int_equal(r.arg, 1000);
	assert_true(r.writes);
	assert_true(r.echo_is_reply);
	assert_true(parse("810601210001063c", &r));
	assert_false(r.echo_is_reply);
}

static void what_is_no_request_is_not_recognised(void **unused)
{
	struct request r;

	(void)unused;
	assert_false(parse("d2030000003ed7b8", &r)); /* checksum */
	assert_false(parse("d2030000003ed7", &r));
	assert_false(parse("", &r));
	assert_false(parse("01030000002705d0", &r)); /* another slave */
	assert_false(parse("d203000000485655", &r));
	assert_false(parse("a540940800000000000000", &r));
	assert_false(parse("dda50300fffd77", &r));
}

/* ---- D2 ---- */

static void the_live_block_tells_every_field(void **unused)
{
	struct map m = d2_map();
	struct device dev = told_d2(&m);
	const struct reading *r = &dev.reading;

	(void)unused;
	assert_float_equal(reading_get(r, Q_VOLTAGE_V), 52.9, 1e-9);
	assert_float_equal(reading_get(r, Q_CURRENT_A), -2.5, 1e-9);
	assert_float_equal(reading_get(r, Q_POWER_W), -132, 1e-9); /* its sign is that of the current */
	assert_float_equal(reading_get(r, Q_SOC_PCT), 56.1, 1e-9);
	assert_float_equal(reading_get(r, Q_CAPACITY_REMAINING_AH), 117.8, 1e-9);
	assert_float_equal(reading_get(r, Q_CELL_COUNT), 16, 0);
	assert_float_equal(reading_get(r, Q_CELL_MAX_V), 3.315, 1e-9);
	assert_float_equal(reading_get(r, Q_CELL_MIN_V), 3.3, 1e-9);
	assert_float_equal(reading_get(r, Q_TEMP_MAX_C), 22, 1e-9);
	assert_float_equal(reading_get(r, Q_TEMP_MIN_C), -5, 1e-9);
	assert_float_equal(reading_get(r, Q_CYCLES), 60, 0);
	assert_float_equal(reading_detail(r, "state"), 2, 0);
	assert_int_equal(r->cell_V.count, 16);
	assert_float_equal(r->cell_V.value[15], 3.315, 1e-9);
	assert_int_equal(r->temperatures.count, 2);
	assert_float_equal(r->temperatures.value[1], -5, 1e-9);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_BALANCING_ACTIVE), OFF);
	assert_false(reading_knows(r, Q_ADDRESS));
	assert_false(reading_knows(r, Q_TEMP_MOS_C)); /* only in the long block */
	assert_false(r->balancing_known);
	assert_true(r->alarms.known);
	device_free(&dev);
}

static void above_30000_is_charging_unless_the_configuration_says_otherwise(void **unused)
{
	struct map m = d2_map();

	(void)unused;
	m.reg[0x29] = 30255;
	m.reg[0x2f] = 1;
	struct device dev = told_d2(&m);
	assert_float_equal(reading_get(&dev.reading, Q_CURRENT_A), 25.5, 1e-9);
	dev.options.invert_current = true;
	m.reg[0x3b] = 0x0300; /* charge current, both levels */
	tell_live(&dev, &m);
	assert_float_equal(reading_get(&dev.reading, Q_CURRENT_A), -25.5, 1e-9);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_RAISED);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_CHARGE_CURRENT], ALARM_OK);
	device_free(&dev);
}

static void without_current_the_power_has_no_sign_and_is_not_told(void **unused)
{
	struct map m = d2_map();

	(void)unused;
	m.reg[0x29] = 30000;
	struct device dev = told_d2(&m);
	assert_false(reading_knows(&dev.reading, Q_POWER_W));
	device_free(&dev);
}

static void three_polls_in_which_current_and_state_disagree_give_a_hint(void **unused)
{
	struct map m = d2_map();

	(void)unused;
	m.reg[0x2f] = 1; /* charging, with -2.5 A */
	struct device dev = told_d2(&m);
	tell_live(&dev, &m);
	assert_false(reading_detail(&dev.reading, "current_seems_inverted") > 0);
	tell_live(&dev, &m);
	assert_true(reading_detail(&dev.reading, "current_seems_inverted") > 0);
	m.reg[0x2f] = 2;
	tell_live(&dev, &m);
	assert_false(reading_detail(&dev.reading, "current_seems_inverted") > 0);
	device_free(&dev);
}

static void a_sensor_of_raw_0_is_absent(void **unused)
{
	struct map m = d2_map();

	(void)unused;
	m.reg[0x21] = m.reg[0x2e] = 0;
	struct device dev = told_d2(&m);
	assert_false(series_knows(&dev.reading.temperatures, 1));
	assert_false(reading_knows(&dev.reading, Q_TEMP_MIN_C));
	device_free(&dev);
}

static void the_long_block_has_balancing_and_board_temperatures(void **unused)
{
	struct map m = d2_map();
	struct device dev = d2_device();

	(void)unused;
	m.reg[0x34] = 1;
	m.reg[0x3e] = 0x8001;
	m.reg[0x3f] = 0x00ff; /* beyond the last cell */
	m.reg[0x40] = 30750;
	tell_long(&dev, &m);
	assert_true(dev.reading.balancing_known);
	assert_int_equal(dev.reading.balancing, 0x8001);
	assert_float_equal(reading_get(&dev.reading, Q_BALANCE_CURRENT_A), 0.75, 1e-9);
	assert_float_equal(reading_get(&dev.reading, Q_TEMP_MOS_C), 15, 1e-9);
	assert_float_equal(reading_detail(&dev.reading, "temp_board_C"), 16, 1e-9);
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), ON);
	device_free(&dev);
}

static void balancing_bits_count_only_while_it_balances_and_ffff_are_none(void **unused)
{
	struct map m = d2_map();
	struct device dev = d2_device();

	(void)unused;
	m.reg[0x3e] = 0x1234; /* mileage */
	tell_long(&dev, &m);
	assert_true(dev.reading.balancing_known);
	assert_int_equal(dev.reading.balancing, 0);
	m.reg[0x34] = 2;
	m.reg[0x3e] = m.reg[0x3f] = 0xffff;
	tell_long(&dev, &m);
	assert_false(dev.reading.balancing_known);
	device_free(&dev);
}

static void absent_values_of_the_long_block_are_unknown(void **unused)
{
	static const uint16_t absent[] = {0, 0xffff};
	struct map m = d2_map();
	struct device dev = d2_device();

	(void)unused;
	for (int i = 0; i < 2; i++) {
		m.reg[0x40] = m.reg[0x42] = m.reg[0x43] = absent[i];
		tell_long(&dev, &m);
		assert_false(reading_knows(&dev.reading, Q_BALANCE_CURRENT_A));
		assert_false(reading_knows(&dev.reading, Q_TEMP_MOS_C));
		assert_false(reading_detail(&dev.reading, "temp_board_C") > -100);
	}
	device_free(&dev);
}

static bool wanted(const struct device *dev, uint16_t code)
{
	for (unsigned r = 0; r < dev->protocol->poll_count; r++)
		if (dev->protocol->polls[r].code == code)
			return !dev->protocol->polls[r].wanted || dev->protocol->polls[r].wanted(dev);
	return false;
}

static void a_board_that_knows_the_long_block_is_asked_for_it_from_then_on(void **unused)
{
	struct map m = d2_map();
	struct device dev = told_d2(&m);

	(void)unused;
	assert_true(wanted(&dev, LIVE_LONG));
	assert_true(wanted(&dev, EXTRA));
	tell_long(&dev, &m);
	assert_string_equal(request_hex(&dev, DALY_LIVE, 0), "d203000000505655");
	assert_false(wanted(&dev, LIVE_LONG));
	assert_false(wanted(&dev, EXTRA));
	device_free(&dev);
}

static void a_board_that_does_not_is_asked_for_it_twice(void **unused)
{
	struct map m = d2_map();
	struct device dev = told_d2(&m);

	(void)unused;
	for (int i = 0; i < 2; i++) {
		assert_true(wanted(&dev, LIVE_LONG));
		play(&dev, LIVE_LONG, 0, RX(NULL), NULL);
	}
	assert_false(wanted(&dev, LIVE_LONG));
	assert_string_equal(request_hex(&dev, DALY_LIVE, 0), "d2030000003ed7b9");
	/* the same with the extra registers; one answer is enough to go on */
	play(&dev, EXTRA, 0, RX(NULL), NULL);
	assert_int_equal(play(&dev, EXTRA, 0, RX(reply(0xd2, m.reg + 0x3e, 9)), NULL), EXCHANGE_ANSWERED);
	assert_true(wanted(&dev, EXTRA));
	assert_float_equal(reading_get(&dev.reading, Q_TEMP_MOS_C), 15, 1e-9);
	device_free(&dev);
}

static void impossible_counts_and_socs_are_not_believed(void **unused)
{
	static const struct {
		unsigned reg;
		uint16_t value;
		const char *why;
	} rows[] = {
		{0x31, 0, "reply rejected: cell count outside 1..32"},
		{0x31, 33, "reply rejected: cell count outside 1..32"},
		{0x32, 9, "reply rejected: more than 8 temperature sensors"},
		{0x2a, 1001, "reply rejected: SoC above 100 %"},
	};
	char error[128];

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct map m = d2_map();
		struct device dev = d2_device();

		m.reg[rows[i].reg] = rows[i].value;
		assert_int_equal(play(&dev, DALY_LIVE, 0, RX(reply(0xd2, m.reg, 0x3e)), error), EXCHANGE_FAILED);
		assert_string_equal(error, rows[i].why);
		assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
		device_free(&dev);
	}
}

/* ---- alarms ---- */

/* own NULL: none; ALARM_COUNT: no common one. */
struct meaning {
	uint8_t reg, bit;
	enum alarm_level level;
	enum alarm common, second;
	const char *own;
};

#define W  ALARM_WARNING
#define R  ALARM_RAISED
#define NO ALARM_COUNT

static const struct meaning d2_alarms[] = {
	{0x3a, 8, W, ALARM_HIGH_CELL_VOLTAGE, NO, NULL},
	{0x3a, 9, R, ALARM_HIGH_CELL_VOLTAGE, NO, NULL},
	{0x3a, 10, W, ALARM_LOW_CELL_VOLTAGE, NO, NULL},
	{0x3a, 11, R, ALARM_LOW_CELL_VOLTAGE, NO, NULL},
	{0x3a, 12, W, ALARM_HIGH_VOLTAGE, NO, NULL},
	{0x3a, 13, R, ALARM_HIGH_VOLTAGE, NO, NULL},
	{0x3a, 14, W, ALARM_LOW_VOLTAGE, NO, NULL},
	{0x3a, 15, R, ALARM_LOW_VOLTAGE, NO, NULL},
	{0x3a, 0, W, ALARM_HIGH_CHARGE_TEMPERATURE, NO, NULL},
	{0x3a, 1, R, ALARM_HIGH_CHARGE_TEMPERATURE, NO, NULL},
	{0x3a, 2, W, ALARM_LOW_CHARGE_TEMPERATURE, NO, NULL},
	{0x3a, 3, R, ALARM_LOW_CHARGE_TEMPERATURE, NO, NULL},
	{0x3a, 4, W, ALARM_HIGH_TEMPERATURE, NO, NULL},
	{0x3a, 5, R, ALARM_HIGH_TEMPERATURE, NO, NULL},
	{0x3a, 6, W, ALARM_LOW_TEMPERATURE, NO, NULL},
	{0x3a, 7, R, ALARM_LOW_TEMPERATURE, NO, NULL},
	{0x3b, 8, W, ALARM_HIGH_CHARGE_CURRENT, NO, NULL},
	{0x3b, 9, R, ALARM_HIGH_CHARGE_CURRENT, NO, NULL},
	{0x3b, 10, W, ALARM_HIGH_DISCHARGE_CURRENT, NO, NULL},
	{0x3b, 11, R, ALARM_HIGH_DISCHARGE_CURRENT, NO, NULL},
	{0x3b, 12, W, NO, NO, "high_soc"},
	{0x3b, 13, R, NO, NO, "high_soc"},
	{0x3b, 14, W, ALARM_LOW_SOC, NO, NULL},
	{0x3b, 15, R, ALARM_LOW_SOC, NO, NULL},
	{0x3b, 0, W, ALARM_CELL_IMBALANCE, NO, NULL},
	{0x3b, 1, R, ALARM_CELL_IMBALANCE, NO, NULL},
	{0x3b, 2, W, NO, NO, "temperature_difference"},
	{0x3b, 3, R, NO, NO, "temperature_difference"},
	{0x3b, 4, R, NO, NO, NULL}, /* reserved */
	{0x3c, 8, R, ALARM_HIGH_INTERNAL_TEMPERATURE, NO, NULL},
	{0x3c, 9, R, ALARM_HIGH_INTERNAL_TEMPERATURE, NO, NULL},
	{0x3c, 10, R, ALARM_INTERNAL_FAILURE, NO, "charge_mos_sensor_fault"},
	{0x3c, 11, R, ALARM_INTERNAL_FAILURE, NO, "discharge_mos_sensor_fault"},
	{0x3c, 12, R, ALARM_INTERNAL_FAILURE, NO, "charge_mos_stuck_fault"},
	{0x3c, 13, R, ALARM_INTERNAL_FAILURE, NO, "discharge_mos_stuck_fault"},
	{0x3c, 14, R, ALARM_INTERNAL_FAILURE, NO, "charge_mos_open_fault"},
	{0x3c, 15, R, ALARM_INTERNAL_FAILURE, NO, "discharge_mos_open_fault"},
	{0x3c, 0, R, ALARM_INTERNAL_FAILURE, NO, "afe_fault"},
	{0x3c, 1, R, ALARM_INTERNAL_FAILURE, NO, "voltage_sampling_fault"},
	{0x3c, 2, R, ALARM_INTERNAL_FAILURE, NO, "temperature_sensor_fault"},
	{0x3c, 3, R, ALARM_INTERNAL_FAILURE, NO, "eeprom_fault"},
	{0x3c, 4, W, ALARM_INTERNAL_FAILURE, NO, "rtc_fault"},
	{0x3c, 5, R, ALARM_INTERNAL_FAILURE, NO, "precharge_fault"},
	{0x3c, 6, W, ALARM_INTERNAL_FAILURE, NO, "vehicle_comm_fault"},
	{0x3c, 7, R, ALARM_INTERNAL_FAILURE, NO, "internal_comm_fault"},
	{0x3d, 8, R, ALARM_INTERNAL_FAILURE, NO, "current_sensor_fault"},
	{0x3d, 9, R, ALARM_INTERNAL_FAILURE, NO, "pack_voltage_sensor_fault"},
	{0x3d, 10, R, ALARM_SHORT_CIRCUIT, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{0x3d, 11, R, NO, NO, "low_voltage_charge_forbidden"},
	{0x3d, 12, W, NO, NO, "mos_off_by_switch"},
	{0x3d, 13, W, NO, NO, "charging_cabinet_offline"},
	{0x3d, 0, R, NO, NO, NULL}, /* the low byte is no alarm */
	{0x3d, 7, R, NO, NO, NULL},
};

/* Single bits of the other map, and the lowest bit of each level. */
static const struct meaning p81_alarms[] = {
	{0x6d, 8, W, ALARM_HIGH_CELL_VOLTAGE, NO, NULL},
	{0x6d, 11, W, ALARM_LOW_CELL_VOLTAGE, NO, NULL},
	{0x6d, 14, W, NO, NO, "smart_charger_connection"},
	{0x6d, 15, W, NO, NO, "smart_charger_fault"},
	{0x6d, 0, W, ALARM_CELL_IMBALANCE, NO, NULL},
	{0x6d, 3, W, ALARM_HIGH_CHARGE_TEMPERATURE, NO, NULL},
	{0x6e, 8, W, ALARM_LOW_CHARGE_TEMPERATURE, NO, NULL},
	{0x6e, 11, W, ALARM_HIGH_TEMPERATURE, NO, NULL},
	{0x6e, 14, R, ALARM_HIGH_INTERNAL_TEMPERATURE, NO, NULL},
	{0x6e, 15, R, ALARM_INTERNAL_FAILURE, NO, "charge_mos_sensor_fault"},
	{0x6e, 0, W, ALARM_LOW_TEMPERATURE, NO, NULL},
	{0x6e, 3, W, NO, NO, "temperature_difference"},
	{0x6e, 6, R, ALARM_HIGH_INTERNAL_TEMPERATURE, NO, NULL},
	{0x6e, 7, R, ALARM_INTERNAL_FAILURE, NO, "discharge_mos_sensor_fault"},
	{0x6f, 8, W, ALARM_HIGH_VOLTAGE, NO, NULL},
	{0x6f, 11, W, ALARM_LOW_VOLTAGE, NO, NULL},
	{0x6f, 14, R, ALARM_SHORT_CIRCUIT, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{0x6f, 15, R, NO, NO, NULL}, /* firmware update: a state */
	{0x6f, 0, W, ALARM_HIGH_CHARGE_CURRENT, NO, NULL},
	{0x6f, 3, W, ALARM_HIGH_DISCHARGE_CURRENT, NO, NULL},
	{0x6f, 6, R, NO, NO, "charge_under_voltage"},
	{0x6f, 7, R, NO, NO, "discharge_over_voltage"},
	{0x70, 8, W, ALARM_LOW_SOC, NO, NULL},
	{0x70, 11, W, NO, NO, "low_soh"},
	{0x70, 14, R, NO, NO, NULL}, /* parallel operation: a state */
	{0x70, 15, R, NO, NO, "parallel_fault"},
	{0x70, 0, W, ALARM_HIGH_INTERNAL_TEMPERATURE, NO, NULL},
	{0x70, 3, R, ALARM_INTERNAL_FAILURE, NO, "thermal_runaway"},
	{0x70, 7, R, NO, NO, NULL}, /* set on a healthy board */
	{0x71, 0, R, NO, NO, NULL},
	{0x71, 15, R, NO, NO, NULL},
	{0x72, 8, R, NO, NO, NULL},
	{0x72, 0, R, ALARM_INTERNAL_FAILURE, NO, "afe_fault"},
	{0x72, 1, R, ALARM_INTERNAL_FAILURE, NO, "afe_link_fault"},
	{0x72, 2, R, ALARM_INTERNAL_FAILURE, NO, "afe_sampling_fault"},
	{0x72, 3, R, ALARM_INTERNAL_FAILURE, NO, "voltage_sampling_fault"},
	{0x72, 4, R, ALARM_INTERNAL_FAILURE, NO, "voltage_wire_fault"},
	{0x72, 5, R, ALARM_INTERNAL_FAILURE, NO, "pack_voltage_sensor_fault"},
	{0x72, 6, R, ALARM_INTERNAL_FAILURE, NO, "current_sensor_fault"},
	{0x72, 7, R, ALARM_INTERNAL_FAILURE, NO, "temperature_sensor_fault"},
	{0x73, 8, R, ALARM_INTERNAL_FAILURE, NO, "temperature_wire_fault"},
	{0x73, 9, R, ALARM_INTERNAL_FAILURE, NO, "eeprom_fault"},
	{0x73, 10, R, ALARM_INTERNAL_FAILURE, NO, "flash_fault"},
	{0x73, 11, R, ALARM_INTERNAL_FAILURE, NO, "rtc_fault"},
	{0x73, 12, R, ALARM_INTERNAL_FAILURE, NO, "charge_mos_fault"},
	{0x73, 13, R, ALARM_INTERNAL_FAILURE, NO, "discharge_mos_fault"},
	{0x73, 14, R, ALARM_INTERNAL_FAILURE, NO, "precharge_mos_fault"},
	{0x73, 15, R, ALARM_INTERNAL_FAILURE, NO, "precharge_fault"},
	{0x73, 0, R, NO, NO, NULL}, /* states */
	{0x73, 4, R, NO, NO, NULL},
	{0x73, 6, R, NO, NO, NULL},
	{0x73, 7, R, NO, NO, "heater_fault"},
};

static void check_meaning(const struct alarms *a, const struct meaning *m)
{
	unsigned expected = (m->common != NO) + (m->second != NO) + (m->own != NULL);

	assert_true(a->known);
	assert_int_equal(alarms_raised(a), expected);
	if (m->common != NO)
		assert_int_equal(a->level[m->common], m->level);
	if (m->second != NO)
		assert_int_equal(a->level[m->second], m->level);
	if (!m->own)
		return;
	assert_int_equal(a->own_count, 1);
	assert_string_equal(a->own[0].name, m->own);
	assert_int_equal(a->own[0].level, m->level);
}

static void every_alarm_bit_of_d2_alone_means_what_the_sheet_says(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(d2_alarms) / sizeof(d2_alarms[0]); i++) {
		struct map m = d2_map();

		m.reg[d2_alarms[i].reg] = (uint16_t)(1u << d2_alarms[i].bit);
		struct device dev = told_d2(&m);
		check_meaning(&dev.reading.alarms, &d2_alarms[i]);
		device_free(&dev);
	}
}

static void every_alarm_bit_of_p81_alone_means_what_the_sheet_says(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(p81_alarms) / sizeof(p81_alarms[0]); i++) {
		struct map m = p81_map();

		m.reg[p81_alarms[i].reg] = (uint16_t)(1u << p81_alarms[i].bit);
		struct device dev = told_p81(&m);
		check_meaning(&dev.reading.alarms, &p81_alarms[i]);
		device_free(&dev);
	}
}

static void a_level_of_2_and_more_is_an_alarm(void **unused)
{
	(void)unused;
	for (unsigned level = 1; level < 8; level++) {
		struct map m = p81_map();

		m.reg[0x6f] = (uint16_t)(level << 11); /* low voltage */
		struct device dev = told_p81(&m);
		assert_int_equal(dev.reading.alarms.level[ALARM_LOW_VOLTAGE], level == 1 ? W : R);
		assert_int_equal(alarms_raised(&dev.reading.alarms), 1);
		device_free(&dev);
	}
}

static void an_alarm_register_of_ffff_is_one_that_the_board_lacks(void **unused)
{
	struct map p = p81_map(), d = d2_map();

	(void)unused;
	for (unsigned reg = 0x6d; reg <= 0x73; reg++)
		p.reg[reg] = 0xffff;
	for (unsigned reg = 0x3a; reg <= 0x3d; reg++)
		d.reg[reg] = 0xffff;
	struct device dev = told_p81(&p);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	device_free(&dev);
	dev = told_d2(&d);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	device_free(&dev);
}

static void states_between_the_alarms_are_details(void **unused)
{
	struct map m = p81_map();

	(void)unused;
	m.reg[0x70] = 1 << 14;
	m.reg[0x73] = 1 << 2;
	struct device dev = told_p81(&m);
	assert_float_equal(reading_detail(&dev.reading, "parallel_ok"), 1, 0);
	assert_float_equal(reading_detail(&dev.reading, "charge_off_by_switch"), 1, 0);
	assert_float_equal(reading_detail(&dev.reading, "discharge_off_by_switch"), 0, 0);
	device_free(&dev);
}

static void an_inverted_p81_board_is_turned_round_with_its_current_alarms(void **unused)
{
	struct map m = p81_map();
	struct device dev = p81_device(1);

	(void)unused;
	dev.options.invert_current = true;
	m.reg[0x6f] = 1; /* charge current */
	tell_live(&dev, &m);
	tell_rest(&dev, &m);
	assert_float_equal(reading_get(&dev.reading, Q_CURRENT_A), 8.9, 1e-9);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_DISCHARGE_CURRENT], W);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_CHARGE_CURRENT], ALARM_OK);
	device_free(&dev);
}

static void the_alarms_it_raises_are_those_it_announces(void **unused)
{
	struct map d = d2_map(), p = p81_map();

	(void)unused;
	for (unsigned reg = 0x3a; reg <= 0x3d; reg++)
		d.reg[reg] = 0xfffe;
	for (unsigned reg = 0x6d; reg <= 0x73; reg++)
		p.reg[reg] = 0x7fff;
	struct device d2 = told_d2(&d), p81 = told_p81(&p);
	for (unsigned a = 0; a < ALARM_COUNT; a++)
		assert_int_equal(d2.reading.alarms.level[a] || p81.reading.alarms.level[a],
				 d2.protocol->alarms >> a & 1);
	device_free(&d2);
	device_free(&p81);
}

static void a_balancer_that_does_not_count_charge_warns_of_no_low_soc(void **unused)
{
	struct map m = d2_map();
	uint16_t versions[0x20] = {0x4230, 0x3032, 0x5f31}; /* B002_1 */

	(void)unused;
	m.reg[0x2a] = m.reg[0x30] = 0;
	m.reg[0x3b] = 0xc000;
	struct device dev = told_d2(&m);
	assert_int_equal(dev.reading.alarms.level[ALARM_LOW_SOC], R); /* not known yet to be one */
	assert_int_equal(play(&dev, VERSIONS, 0, RX(reply(0xd2, versions, 0x20)), NULL), EXCHANGE_ANSWERED);
	tell_live(&dev, &m);
	assert_int_equal(dev.reading.alarms.level[ALARM_LOW_SOC], ALARM_OK);
	m.reg[0x30] = 1;
	tell_live(&dev, &m);
	assert_int_equal(dev.reading.alarms.level[ALARM_LOW_SOC], R);
	device_free(&dev);
}

/* ---- D2, the rest ---- */

static void d2_settings_are_told_and_the_rated_capacity_is_the_full_one(void **unused)
{
	struct device dev = d2_device();
	uint16_t reg[0x29] = {0};

	(void)unused;
	reg[0] = 2800;
	reg[2] = 1;
	reg[3] = 16;
	reg[6] = 4;
	reg[0x0c] = 3650;
	reg[0x10] = 584;
	reg[0x14] = 28500;
	reg[0x16] = 31500;
	reg[0x18] = 105;
	reg[0x25] = 1;
	reg[0x28] = 130;
	assert_int_equal(play(&dev, SETTINGS, 0, RX(reply(0xd2, reg, 0x29)), NULL), EXCHANGE_ANSWERED);
	assert_float_equal(reading_get(&dev.reading, Q_CAPACITY_FULL_AH), 280, 1e-9);
	assert_float_equal(reading_get(&dev.reading, Q_CAPACITY_DESIGN_AH), 280, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "cell_ovp_V"), 3.65, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "pack_ovp_V"), 58.4, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "charge_ocp_A"), 150, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "discharge_ocp_A"), 150, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "charge_otp_C"), 65, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "charge_switch"), 1, 0);
	assert_float_equal(settings_number(&dev.settings, "discharge_switch"), 0, 0);
	assert_float_equal(settings_number(&dev.settings, "mos_otp_C"), 90, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "board1_cells"), 16, 0);
	assert_null(settings_find(&dev.settings, "board2_cells"));
	device_free(&dev);
	dev = d2_device();
	reg[0] = 0;
	assert_int_equal(play(&dev, SETTINGS, 0, RX(reply(0xd2, reg, 0x29)), NULL), EXCHANGE_ANSWERED);
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_FULL_AH));
	device_free(&dev);
}

static void the_production_date_and_the_balancer_switch_come_together(void **unused)
{
	struct device dev = d2_device();
	uint16_t reg[5] = {0x1a03, 0x1a00, 0x10, 1, 10};

	(void)unused;
	assert_int_equal(play(&dev, DATES, 0, RX(reply(0xd2, reg, 5)), NULL), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_PRODUCTION_DATE], "2026-03-26");
	assert_int_equal(reading_flag(&dev.reading, F_BALANCE_ENABLED), ON);
	device_free(&dev);
	dev = d2_device();
	reg[0] = 0x0001; /* never set */
	reg[1] = 0x0100;
	reg[3] = 0;
	assert_int_equal(play(&dev, DATES, 0, RX(reply(0xd2, reg, 5)), NULL), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_PRODUCTION_DATE], "");
	assert_int_equal(reading_flag(&dev.reading, F_BALANCE_ENABLED), OFF);
	device_free(&dev);
}

static void only_what_is_a_clock_is_shown_as_one(void **unused)
{
	struct device dev = d2_device();
	uint16_t reg[3] = {0x1a06, 0x0217, 0x3c04};

	(void)unused;
	assert_int_equal(play(&dev, CLOCK, 0, RX(reply(0xd2, reg, 3)), NULL), EXCHANGE_ANSWERED);
	assert_null(settings_find(&dev.settings, "clock"));
	reg[2] = 0x0f04;
	assert_int_equal(play(&dev, CLOCK, 0, RX(reply(0xd2, reg, 3)), NULL), EXCHANGE_ANSWERED);
	assert_string_equal(settings_find(&dev.settings, "clock")->text, "2026-06-02 23:15:04");
	device_free(&dev);
}

static void the_password_is_not_kept(void **unused)
{
	struct device dev = d2_device();

	(void)unused;
	assert_int_equal(play(&dev, PASSWORD, 0, RX("d203063132333435364c69"), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(dev.settings.count, 0);
	assert_false(wanted(&dev, PASSWORD));
	device_free(&dev);
}

/* ---- P81 ---- */

static void both_halves_of_the_live_block_tell_every_field(void **unused)
{
	struct map m = p81_map();

	(void)unused;
	m.reg[0x4e] = 29500;
	m.reg[0x4f] = 0x8001;
	m.reg[0x55] = 1;
	m.reg[0x5c] = 0;
	struct device dev = told_p81(&m);
	const struct reading *r = &dev.reading;

	assert_float_equal(reading_get(r, Q_ADDRESS), 1, 0);
	assert_float_equal(reading_get(r, Q_VOLTAGE_V), 52.9, 1e-9);
	assert_float_equal(reading_get(r, Q_CURRENT_A), -8.9, 1e-9);
	assert_float_equal(reading_get(r, Q_POWER_W), -471, 1e-9);
	assert_float_equal(reading_get(r, Q_SOC_PCT), 86.4, 1e-9);
	assert_float_equal(reading_get(r, Q_CAPACITY_REMAINING_AH), 271.2, 1e-9);
	assert_float_equal(reading_get(r, Q_CYCLES), 7, 0);
	assert_float_equal(reading_get(r, Q_CELL_MAX_V), 3.315, 1e-9);
	assert_float_equal(reading_get(r, Q_CELL_MAX_NO), 16, 0);
	assert_float_equal(reading_get(r, Q_CELL_MIN_V), 3.3, 1e-9); /* of the cell that it names */
	assert_float_equal(reading_get(r, Q_CELL_MIN_NO), 1, 0);
	assert_float_equal(reading_get(r, Q_TEMP_MAX_C), 22, 1e-9);
	assert_float_equal(reading_get(r, Q_TEMP_MIN_C), -5, 1e-9);
	assert_float_equal(reading_get(r, Q_TEMP_MOS_C), 24, 1e-9);
	assert_float_equal(reading_get(r, Q_BALANCE_CURRENT_A), -0.5, 1e-9);
	assert_float_equal(reading_detail(r, "temp_board_C"), 30, 1e-9);
	assert_false(reading_detail(r, "temp_heater_C") > -100);
	assert_int_equal(r->temperatures.count, 2);
	assert_false(series_knows(&r->temperatures, 1)); /* 00FF */
	assert_int_equal(r->balancing, 0x8001);
	assert_int_equal(reading_flag(r, F_HEATER_ON), ON);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	device_free(&dev);
}

static void forty_eight_cells_and_their_balancing_bits(void **unused)
{
	struct map m = p81_map();

	(void)unused;
	for (unsigned i = 0; i < 48; i++)
		m.reg[i] = (uint16_t)(3300 + i);
	m.reg[0x3c] = 48;
	m.reg[0x4f] = 1;
	m.reg[0x50] = 2;
	m.reg[0x51] = 0x8000;
	struct device dev = told_p81(&m);
	assert_int_equal(dev.reading.cell_V.count, 48);
	assert_float_equal(dev.reading.cell_V.value[47], 3.347, 1e-9);
	assert_true(dev.reading.balancing == (UINT64_C(1) << 47 | 1u << 17 | 1u));
	device_free(&dev);
}

static void impossible_counts_of_p81_are_not_believed(void **unused)
{
	static const struct {
		unsigned reg;
		uint16_t value;
	} rows[] = {{0x3c, 0}, {0x3c, 49}, {0x3d, 9}, {0x3a, 1001}};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct map m = p81_map();
		struct device dev = p81_device(1);

		m.reg[rows[i].reg] = rows[i].value;
		assert_int_equal(play(&dev, DALY_LIVE, 0, RX(reply(0x51, m.reg, 0x40)), NULL), EXCHANGE_FAILED);
		assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
		device_free(&dev);
	}
}

static void p81_settings_come_in_two_blocks(void **unused)
{
	struct device dev = p81_device(1);
	struct map m = {{0}};

	(void)unused;
	m.reg[0x101] = 16;
	m.reg[0x109] = 4;
	m.reg[0x10a] = 0xca90;
	m.reg[0x10e] = 5000;
	m.reg[0x117] = 987;
	m.reg[0x131] = 3550;
	m.reg[0x14f] = 40;
	m.reg[0x151] = 2000;
	m.reg[0x15b] = 500;
	m.reg[0x167] = 140;
	assert_int_equal(play(&dev, SETTINGS, 0, RX(reply(0x51, m.reg + 0x100, 0x51)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, SETTINGS_REST, 0, RX(reply(0x51, m.reg + 0x151, 0x27)), NULL), EXCHANGE_ANSWERED);
	assert_float_equal(reading_get(&dev.reading, Q_CAPACITY_DESIGN_AH), 314, 1e-9);
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_FULL_AH)); /* 0 */
	assert_float_equal(reading_get(&dev.reading, Q_TOTAL_CHARGE_AH), 5, 1e-9);
	assert_float_equal(reading_get(&dev.reading, Q_SOH_PCT), 98.7, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "cell_ovp_V"), 3.55, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "charge_utp_C"), 0, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "charge_utp_delay_s"), 2, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "cell_difference_p_V"), 0.5, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "mos_otp_C"), 100, 1e-9);
	device_free(&dev);
}

/* ---- broken and foreign ---- */

static void a_wrong_checksum_is_no_answer(void **unused)
{
	struct device dev = d2_device();
	struct map m = d2_map();
	uint8_t f[300];
	char error[128];
	size_t n = fill(f, 0xd2, m.reg, 0x3e);

	(void)unused;
	for (size_t at = 0; at < n; at++) {
		f[at] ^= 0x20;
		assert_int_equal(play(&dev, DALY_LIVE, 0, RX(hex_of(f, n)), error), EXCHANGE_FAILED);
		f[at] ^= 0x20;
	}
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	device_free(&dev);
}

static void a_frame_cut_short_is_no_answer(void **unused)
{
	struct device dev = d2_device();
	struct map m = d2_map();
	uint8_t f[300];
	char error[128];
	size_t n = fill(f, 0xd2, m.reg, 0x3e);

	(void)unused;
	for (size_t cut = 1; cut < n; cut++)
		assert_int_equal(play(&dev, DALY_LIVE, 0, RX(hex_of(f, cut)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: frame cut short");
	device_free(&dev);
}

static void a_p81_board_answers_with_another_address_and_nobody_else_does(void **unused)
{
	struct device dev = p81_device(1);
	struct map m = p81_map();

	(void)unused;
	/* a standard Modbus slave 81 would answer as itself */
	assert_int_equal(play(&dev, DALY_LIVE, 0, RX(reply(0x81, m.reg, 0x40)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, DALY_LIVE, 0, RX(reply(0x52, m.reg, 0x40)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, DALY_LIVE, 0, RX(reply(0x51, m.reg, 0x40)), NULL), EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void a_late_reply_to_another_request_is_told_by_its_length(void **unused)
{
	struct device dev = d2_device();
	struct map m = d2_map();

	(void)unused;
	assert_int_equal(play(&dev, DALY_LIVE, 0, RX(reply(0xd2, m.reg, 9)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, DALY_LIVE, 0, RX(reply(0xd2, m.reg, 9), reply(0xd2, m.reg, 0x3e)), NULL),
			 EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void noise_pieces_and_glue_are_no_matter(void **unused)
{
	struct device dev = d2_device();
	struct map m = d2_map();
	static char whole[1400], piece[80][48];
	const char *rx[80];
	unsigned n = 0;

	(void)unused;
	snprintf(whole, sizeof(whole), "ffd203d200%s%s", reply(0xd2, m.reg, 0x3e), reply(0xd2, m.reg, 0x3e));
	assert_int_equal(play(&dev, DALY_LIVE, 0, RX(whole), NULL), EXCHANGE_ANSWERED);
	snprintf(whole, sizeof(whole), "%s", reply(0xd2, m.reg, 0x3e));
	for (size_t at = 0; whole[at]; at += strlen(piece[n - 1])) { /* 20 bytes, as a radio sends them */
		snprintf(piece[n], sizeof(piece[n]), "%.40s", whole + at);
		rx[n] = piece[n];
		n++;
	}
	rx[n] = NULL;
	assert_int_equal(play(&dev, DALY_LIVE, 0, rx, NULL), EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void an_echo_alone_is_no_answer_to_a_read(void **unused)
{
	struct device dev = d2_device();
	struct map m = d2_map();

	(void)unused;
	assert_int_equal(play(&dev, DALY_LIVE, 0, RX("d2030000003ed7b9"), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, DALY_LIVE, 0, RX("d2030000003ed7b9", reply(0xd2, m.reg, 0x3e)), NULL),
			 EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void an_acknowledgement_repeats_the_write_and_has_a_good_checksum(void **unused)
{
	struct device d2 = d2_device(), p81 = p81_device(1);
	uint8_t f[] = {0x51, 0x06, 0x01, 0x21, 0x00, 0x01, 0, 0};
	char error[128];

	(void)unused;
	assert_int_equal(play(&d2, SET_BALANCE, 1, RX("d20600cf00016b96"), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&d2, SET_BALANCE, 1, RX("d20600cf00011c8a"), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: checksum");
	assert_int_equal(play(&d2, SET_BALANCE, 1, RX("d20600cf0000aa56"), NULL), EXCHANGE_FAILED);
	end_frame(f, 6);
	assert_int_equal(play(&p81, SET_CHARGE, 1, RX(hex_of(f, 8)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&p81, SET_CHARGE, 1, RX("810601210001063c"), NULL), EXCHANGE_FAILED); /* an echo */
	device_free(&d2);
	device_free(&p81);
}

static void an_exception_is_a_refusal(void **unused)
{
	struct device dev = d2_device();
	uint8_t f[5] = {0xd2, 0x83, 0x02};
	char error[128];

	(void)unused;
	end_frame(f, 3);
	assert_int_equal(play(&dev, DALY_LIVE, 0, RX(hex_of(f, 5)), error), EXCHANGE_REFUSED);
	assert_string_equal(error, "illegal register address (exception 02)");
	device_free(&dev);
}

static void a_battery_is_plausible_and_a_meter_is_not(void **unused)
{
	struct device dev = d2_device();
	struct map m = d2_map(), zeros = {{0}};
	const char *why = NULL;

	(void)unused;
	assert_false(dev.protocol->plausible(&dev, &why));
	tell_live(&dev, &m);
	assert_true(dev.protocol->plausible(&dev, &why));
	m.reg[0x28] = 600;
	tell_live(&dev, &m);
	assert_false(dev.protocol->plausible(&dev, &why));
	assert_string_equal(why, "the cells do not add up to the pack's voltage");
	assert_int_equal(play(&dev, DALY_LIVE, 0, RX(reply(0xd2, zeros.reg, 0x3e)), NULL), EXCHANGE_FAILED);
	device_free(&dev);
	dev = p81_device(1);
	assert_int_equal(play(&dev, DALY_LIVE, 0, RX(reply(0x51, zeros.reg, 0x40)), NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

/* ---- commands ---- */

/* A board that the tests play. */
struct board {
	struct map map;
	bool stuck;	   /* acknowledges and does nothing */
	bool mute;	   /* does not acknowledge writes */
	bool refuses;	   /* answers writes with an exception */
	bool dead;	   /* answers no read */
	unsigned bad_echo; /* so many acknowledgements have a wrong checksum */
	unsigned slow;	   /* so many read-backs show the old state */
	unsigned reg;	   /* written, and not in force yet; 0: none */
	uint16_t value;
};

/* Where a written register shows. */
static unsigned shown_at(unsigned reg)
{
	switch (reg) {
	case 0xa5:
		return 0x35;
	case 0xa6:
		return 0x36;
	case 0xa7:
		return 0x2a;
	case 0x121:
		return 0x52;
	case 0x122:
		return 0x53;
	default:
		return reg;
	}
}

static size_t answer_write(struct board *b, struct bytes request, uint8_t *rx)
{
	if (!b->stuck) {
		b->reg = shown_at(u16be_at(request, 2));
		b->value = u16be_at(request, 4);
	}
	if (b->mute)
		return 0;
	memcpy(rx, request.p, 8);
	if (rx[0] == 0x81)
		rx[0] = 0x51;
	if (b->refuses) {
		rx[1] = 0x86;
		rx[2] = 0x04;
		return end_frame(rx, 3);
	}
	end_frame(rx, 6);
	if (b->bad_echo) {
		b->bad_echo--;
		rx[7] ^= 0xff;
	}
	return 8;
}

static size_t board(void *ctx, struct bytes request, uint8_t *rx)
{
	struct board *b = ctx;
	uint8_t address = u8_at(request, 0);

	if (u8_at(request, 1) == 0x06)
		return answer_write(b, request, rx);
	if (b->dead)
		return 0;
	if (b->slow)
		b->slow--;
	else if (b->reg)
		b->map.reg[b->reg] = b->value;
	return fill(rx, address == 0x81 ? 0x51 : address, b->map.reg + u16be_at(request, 2), u16be_at(request, 4));
}

static struct board d2_board(void)
{
	struct board b = {.map = d2_map()};

	b.map.reg[0xcf] = 1;
	return b;
}

static struct act command(struct board *b, enum daly_map map, enum command_kind kind, double value)
{
	struct device dev = map == DALY_D2 ? d2_device() : p81_device(1);
	struct command c = {.kind = kind, .value = value};
	struct act a = act(&dev, &c, board, b);

	device_free(&dev);
	return a;
}

static void the_switches_of_d2_are_sent_and_read_back(void **unused)
{
	struct board b = d2_board();
	struct act a = command(&b, DALY_D2, COMMAND_CHARGE, 0);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "the charge MOS reads back off");
	assert_string_equal(a.writes, "d20600a500008a4a");
	assert_int_equal(b.map.reg[0x35], 0);
	b.slow = 4;
	a = command(&b, DALY_D2, COMMAND_DISCHARGE, 0);
	assert_string_equal(a.outcome.say, "the discharge MOS reads back off");
	assert_string_equal(a.writes, "d20600a600007a4a");
	a = command(&b, DALY_D2, COMMAND_BALANCE, 0);
	assert_string_equal(a.outcome.say, "the balancer switch reads back off");
	assert_string_equal(a.writes, "d20600cf0000aa56");
	assert_string_equal(a.last, "d20300cc00055655");
	assert_int_equal(b.map.reg[0xcf], 0);
}

static void the_switches_of_p81_are_sent_and_read_back(void **unused)
{
	struct board b = {.map = p81_map()};

	(void)unused;
	struct act a = command(&b, DALY_P81, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(b.map.reg[0x52], 0);
	a = command(&b, DALY_P81, COMMAND_CHARGE, 1);
	assert_string_equal(a.writes, "810601210001063c");
	assert_string_equal(a.last, "81030041003e8bce");
	a = command(&b, DALY_P81, COMMAND_DISCHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(b.map.reg[0x53], 0);
}

static void the_soc_is_set_and_read_back(void **unused)
{
	struct board b = d2_board();
	struct act a = command(&b, DALY_D2, COMMAND_SOC, 100);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "SoC reads back 100 %");
	assert_string_equal(a.writes, "d20600a703e82b34");
	b.slow = 7;
	a = command(&b, DALY_D2, COMMAND_SOC, 42.5);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(b.map.reg[0x2a], 425);
}

static void an_acknowledgement_with_a_wrong_checksum_makes_it_send_again(void **unused)
{
	struct board b = d2_board();

	(void)unused;
	b.bad_echo = 1;
	struct act a = command(&b, DALY_D2, COMMAND_BALANCE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.writes, "d20600cf0000aa56 d20600cf0000aa56");
}

static void without_acknowledgement_the_read_back_decides(void **unused)
{
	struct board b = d2_board();

	(void)unused;
	b.mute = true;
	struct act a = command(&b, DALY_D2, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "not acknowledged, but the charge MOS reads back off");
	a = command(&b, DALY_D2, COMMAND_SOC, 10);
	assert_string_equal(a.outcome.say, "not acknowledged, but the SoC reads back 10 %");
}

static void what_does_not_follow_is_not_confirmed(void **unused)
{
	struct board b = d2_board();

	(void)unused;
	b.stuck = true;
	struct act a = command(&b, DALY_D2, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "acknowledged, and the charge MOS stays on");
	assert_in_range(a.waited_ms, 2500, 3500); /* three seconds are what a board may take */
	a = command(&b, DALY_D2, COMMAND_SOC, 10);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "acknowledged, and the SoC reads back 56.1 %");
	b.dead = true;
	a = command(&b, DALY_D2, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the board does not answer the read-back");
	a = command(&b, DALY_D2, COMMAND_SOC, 10);
	assert_string_equal(a.outcome.say, "sent, but the board does not answer the read-back");
}

static void a_board_that_refuses_has_refused(void **unused)
{
	struct board b = d2_board();

	(void)unused;
	b.refuses = true;
	struct act a = command(&b, DALY_D2, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.outcome.say, "device failure (exception 04)");
	a = command(&b, DALY_D2, COMMAND_SOC, 10);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
}

static void a_p81_board_takes_neither_soc_nor_balancing(void **unused)
{
	struct board b = {.map = p81_map()};
	struct act a = command(&b, DALY_P81, COMMAND_SOC, 50);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_int_equal(a.requests, 0);
	a = command(&b, DALY_P81, COMMAND_BALANCE, 0);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_int_equal(a.requests, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_those_of_the_sheet),
		cmocka_unit_test(each_map_has_its_own_requests_and_boards_1_to_16),
		cmocka_unit_test(only_commands_are_marked_as_writes),
		cmocka_unit_test(recorded_requests_are_recognised),
		cmocka_unit_test(what_is_no_request_is_not_recognised),
		cmocka_unit_test(the_live_block_tells_every_field),
		cmocka_unit_test(above_30000_is_charging_unless_the_configuration_says_otherwise),
		cmocka_unit_test(without_current_the_power_has_no_sign_and_is_not_told),
		cmocka_unit_test(three_polls_in_which_current_and_state_disagree_give_a_hint),
		cmocka_unit_test(a_sensor_of_raw_0_is_absent),
		cmocka_unit_test(the_long_block_has_balancing_and_board_temperatures),
		cmocka_unit_test(balancing_bits_count_only_while_it_balances_and_ffff_are_none),
		cmocka_unit_test(absent_values_of_the_long_block_are_unknown),
		cmocka_unit_test(a_board_that_knows_the_long_block_is_asked_for_it_from_then_on),
		cmocka_unit_test(a_board_that_does_not_is_asked_for_it_twice),
		cmocka_unit_test(impossible_counts_and_socs_are_not_believed),
		cmocka_unit_test(every_alarm_bit_of_d2_alone_means_what_the_sheet_says),
		cmocka_unit_test(every_alarm_bit_of_p81_alone_means_what_the_sheet_says),
		cmocka_unit_test(a_level_of_2_and_more_is_an_alarm),
		cmocka_unit_test(an_alarm_register_of_ffff_is_one_that_the_board_lacks),
		cmocka_unit_test(states_between_the_alarms_are_details),
		cmocka_unit_test(an_inverted_p81_board_is_turned_round_with_its_current_alarms),
		cmocka_unit_test(the_alarms_it_raises_are_those_it_announces),
		cmocka_unit_test(a_balancer_that_does_not_count_charge_warns_of_no_low_soc),
		cmocka_unit_test(d2_settings_are_told_and_the_rated_capacity_is_the_full_one),
		cmocka_unit_test(the_production_date_and_the_balancer_switch_come_together),
		cmocka_unit_test(only_what_is_a_clock_is_shown_as_one),
		cmocka_unit_test(the_password_is_not_kept),
		cmocka_unit_test(both_halves_of_the_live_block_tell_every_field),
		cmocka_unit_test(forty_eight_cells_and_their_balancing_bits),
		cmocka_unit_test(impossible_counts_of_p81_are_not_believed),
		cmocka_unit_test(p81_settings_come_in_two_blocks),
		cmocka_unit_test(a_wrong_checksum_is_no_answer),
		cmocka_unit_test(a_frame_cut_short_is_no_answer),
		cmocka_unit_test(a_p81_board_answers_with_another_address_and_nobody_else_does),
		cmocka_unit_test(a_late_reply_to_another_request_is_told_by_its_length),
		cmocka_unit_test(noise_pieces_and_glue_are_no_matter),
		cmocka_unit_test(an_echo_alone_is_no_answer_to_a_read),
		cmocka_unit_test(an_acknowledgement_repeats_the_write_and_has_a_good_checksum),
		cmocka_unit_test(an_exception_is_a_refusal),
		cmocka_unit_test(a_battery_is_plausible_and_a_meter_is_not),
		cmocka_unit_test(the_switches_of_d2_are_sent_and_read_back),
		cmocka_unit_test(the_switches_of_p81_are_sent_and_read_back),
		cmocka_unit_test(the_soc_is_set_and_read_back),
		cmocka_unit_test(an_acknowledgement_with_a_wrong_checksum_makes_it_send_again),
		cmocka_unit_test(without_acknowledgement_the_read_back_decides),
		cmocka_unit_test(what_does_not_follow_is_not_confirmed),
		cmocka_unit_test(a_board_that_refuses_has_refused),
		cmocka_unit_test(a_p81_board_takes_neither_soc_nor_balancing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
