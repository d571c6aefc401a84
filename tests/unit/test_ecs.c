/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ecs on frames constructed from its sheet: a meter, and cells at addresses of their own. */
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

enum { LIMITS = 30, CAPACITY = 46, TEMPERATURES = 102, VOLTAGE = 108, CURRENT = 114, STATES = 128 };
enum { ID = 0x100, CELL, MODULE, LOOK };
enum { CELLS = 30, REGISTERS = 132, TRIES = 3 };

/* The battery of these tests: a meter at address 1, four cells at 2 to 5; a test changes what it is about. */
static struct battery {
	uint16_t meter[REGISTERS];
	uint16_t cell[CELLS][3];
	unsigned cells;
	uint32_t dead; /* bit per cell */
	uint16_t module;
	/* what it does with reads of more than one value, and faults */
	bool meter_refuses, modules_refuse, modules_ignore, refuse_all;
	unsigned asked[CELLS]; /* questions to each cell */
} battery;

static struct device dev;
static struct exchange exchange;
static struct line_stats stats;
static char error[128];

static void put32(unsigned reg, int32_t v)
{
	battery.meter[reg] = (uint16_t)v;
	battery.meter[reg + 1] = (uint16_t)((uint32_t)v >> 16);
}

/* The meter's voltage is that of its cells. */
static void set_cells(unsigned n)
{
	int32_t sum = 0;

	battery.cells = n;
	for (unsigned i = 0; i < n; i++) {
		battery.cell[i][0] = (uint16_t)(3300 + i);
		battery.cell[i][1] = (uint16_t)(2010 - 1000 * (int)(i % 3));
		battery.cell[i][2] = i % 2 ? 51 : 50;
		sum += battery.cell[i][0];
	}
	put32(VOLTAGE, sum);
}

static void start_battery(void)
{
	memset(&battery, 0, sizeof(battery));
	battery.meter[0] = 501;
	put32(2, 20190412);
	battery.meter[LIMITS] = (uint16_t)-200;
	battery.meter[LIMITS + 1] = 100;
	put32(CAPACITY, 200000);
	battery.meter[TEMPERATURES] = 2150;
	battery.meter[TEMPERATURES + 1] = (uint16_t)-410;
	put32(CURRENT, -18250);
	put32(STATES, 83200);
	battery.module = 103;
	set_cells(4);
}

static int set_up(void **unused)
{
	(void)unused;
	start_battery();
	dev = fresh_device("ecs", 1, 0);
	error[0] = 0;
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	device_free(&dev);
	return 0;
}

/* ---- the devices on the line ---- */

static size_t add_crc(uint8_t *p, size_t n)
{
	uint16_t crc = crc16_modbus((struct bytes){p, n});

	p[n] = (uint8_t)crc;
	p[n + 1] = (uint8_t)(crc >> 8);
	return n + 2;
}

static size_t values(uint8_t *p, uint8_t address, const uint16_t *word, unsigned count)
{
	p[0] = address;
	p[1] = 3;
	p[2] = (uint8_t)(2 * count);
	for (unsigned i = 0; i < count; i++)
		put_u16be(p + 3 + 2 * i, word[i]);
	return add_crc(p, 3 + 2 * count);
}

static size_t refusal(uint8_t *p, uint8_t address)
{
	p[0] = address;
	p[1] = 0x83;
	p[2] = 2;
	return add_crc(p, 3);
}

static size_t meter_answers(uint8_t *p, unsigned reg, unsigned count)
{
	if (battery.refuse_all || (battery.meter_refuses && count > 2))
		return refusal(p, 1);
	return values(p, 1, battery.meter + reg, count);
}

static size_t cell_answers(uint8_t *p, uint8_t address, unsigned reg, unsigned count)
{
	unsigned cell = address - 2u;

	if (cell >= battery.cells)
		return 0;
	battery.asked[cell]++;
	if ((battery.dead >> cell & 1) || (battery.modules_ignore && count > 1))
		return 0;
	if (battery.modules_refuse && count > 1)
		return refusal(p, address);
	return reg == 0 ? values(p, address, &battery.module, 1)
			: values(p, address, battery.cell[cell] + reg - 100, count);
}

static size_t on_request(struct bytes request, uint8_t *p)
{
	uint8_t address = u8_at(request, 0);

	assert_int_equal(request.n, 8);
	assert_int_equal(u8_at(request, 1), 3); /* nothing is ever written */
	return address == 1 ? meter_answers(p, u16be_at(request, 2), u16be_at(request, 4))
			    : cell_answers(p, address, u16be_at(request, 2), u16be_at(request, 4));
}

static enum exchange_state ask(unsigned code, unsigned arg)
{
	struct request request;
	uint8_t rx[300];

	assert_true(dev.protocol->encode(&dev, (uint16_t)code, (uint16_t)arg, &request));
	assert_int_equal(request.address, dev.address);
	exchange_begin(&exchange, &dev, &request, &stats, 0, 0);
	exchange_receive(&exchange, (struct bytes){rx, on_request((struct bytes){request.tx, request.n}, rx)}, 1);
	exchange_finish(&exchange, 100000);
	snprintf(error, sizeof(error), "%s",
		 exchange.state == EXCHANGE_REFUSED && exchange.why ? exchange.why : exchange.error);
	return exchange.state;
}

/* A poll cycle as a session takes it: rows that are wanted when it begins; silence of a required one ends it. */
static bool cycle(void)
{
	const struct protocol *p = dev.protocol;
	bool wanted[64];

	for (unsigned i = 0; i < p->poll_count; i++)
		wanted[i] = p->polls[i].required && (!p->polls[i].wanted || p->polls[i].wanted(&dev));
	for (unsigned i = 0; i < p->poll_count; i++) {
		enum exchange_state state = EXCHANGE_FAILED;

		for (int tries = 0; wanted[i] && state == EXCHANGE_FAILED && tries < TRIES; tries++)
			state = ask(p->polls[i].code, p->polls[i].arg);
		if (wanted[i] && state != EXCHANGE_ANSWERED)
			return false;
	}
	return true;
}

static bool cycles(unsigned n)
{
	bool good = true;

	while (n--)
		good = cycle() && good;
	return good;
}

static double get(enum quantity q)
{
	return reading_get(&dev.reading, q);
}

static double detail(const char *name)
{
	return reading_detail(&dev.reading, name);
}

static enum alarm_level level(enum alarm a)
{
	return (enum alarm_level)dev.reading.alarms.level[a];
}

static void nothing_was_taken(void)
{
	struct reading nothing = {0};

	assert_memory_equal(&dev.reading, &nothing, sizeof(nothing));
	assert_int_equal(dev.settings.count, 0);
}

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	(void)unused;
	assert_string_equal(request_hex(&dev, ID, 0), "0103000000044409");
	assert_string_equal(request_hex(&dev, ID, 1), "010300000001840a");
	assert_string_equal(request_hex(&dev, LIMITS, 0), "0103001e0002a40d");
	assert_string_equal(request_hex(&dev, CAPACITY, 0), "0103002e0002a402");
	assert_string_equal(request_hex(&dev, TEMPERATURES, 0), "0103006600022414");
	assert_string_equal(request_hex(&dev, VOLTAGE, 0), "0103006c00020416");
	assert_string_equal(request_hex(&dev, CURRENT, 0), "0103007200026410");
	assert_string_equal(request_hex(&dev, STATES, 0), "01030080000445e1");
	assert_string_equal(request_hex(&dev, MODULE, 0), "0203000000018439");
	assert_string_equal(request_hex(&dev, CELL, 0), "0203006400034427");
}

static void requests_are_recognised_from_their_bytes(void **unused)
{
	static const uint16_t code[][2] = {{ID, 0},	 {ID, 1},      {LIMITS, 0}, {CAPACITY, 0}, {TEMPERATURES, 0},
					   {VOLTAGE, 0}, {CURRENT, 0}, {STATES, 0}, {CELL, 3},	   {MODULE, 2}};

	(void)unused;
	for (size_t i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
		struct request r, again;

		assert_true(dev.protocol->encode(&dev, code[i][0], code[i][1], &r));
		assert_true(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
		assert_int_equal(again.code, code[i][0]);
		assert_int_equal(again.arg, code[i][1]);
		assert_int_equal(again.address, 1);
		assert_false(again.writes);
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n - 1u}, &again));
		r.tx[r.n - 1] ^= 1;
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
	}
}

static void requests_to_other_makes_are_not_ours(void **unused)
{
	static const uint8_t head[][6] = {
		{0x01, 0x03, 0x13, 0x02, 0x00, 0x0a}, {0x01, 0x04, 0x00, 0x00, 0x00, 0x04},
		{0x01, 0x03, 0x00, 0x00, 0x00, 0x27}, {0x01, 0x06, 0x00, 0x1e, 0x00, 0x02},
		{0x00, 0x03, 0x00, 0x00, 0x00, 0x04}, {0x01, 0x03, 0x00, 0x64, 0x00, 0x03},
		{0x1a, 0x03, 0x00, 0x64, 0x00, 0x03}, {0xf8, 0x03, 0x00, 0x6c, 0x00, 0x02},
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
	const struct reading *r = &dev.reading;

	(void)unused;
	assert_true(cycle());
	assert_true(get(Q_ADDRESS) == 1);
	assert_true(get(Q_VOLTAGE_V) == 13.206);
	assert_true(get(Q_CURRENT_A) == -18.25);
	assert_true(get(Q_SOC_PCT) == 83.2);
	assert_true(get(Q_CAPACITY_FULL_AH) == 200);
	assert_true(get(Q_BMS_DCL_A) == 200 && get(Q_BMS_CCL_A) == 100);
	assert_int_equal(r->temperatures.count, 2);
	assert_true(r->temperatures.value[0] == 21.5 && r->temperatures.value[1] == -4.1);
	assert_true(get(Q_CELL_COUNT) == 4);
	assert_int_equal(r->cell_V.count, 4);
	assert_true(r->cell_V.value[0] == 3.3 && r->cell_V.value[3] == 3.303);
	assert_true(r->balancing_known && r->balancing == 0xa);
	assert_true(detail("cell_1_temp_C") == 20.1 && detail("cell_2_temp_C") == 10.1 &&
		    detail("cell_3_temp_C") == 0.1);
	assert_int_equal(reading_flag(r, F_CHARGE_ALLOWED), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_ALLOWED), ON);
	assert_true(r->alarms.known);
	assert_int_equal(alarms_raised(&r->alarms), 0);
	assert_string_equal(r->text[T_MODEL], "GreenMeter 250A");
	assert_true(settings_number(&dev.settings, "production") == 20190412);
	assert_int_equal(ask(LOOK, 0), EXCHANGE_ANSWERED);
	assert_string_equal(settings_find(&dev.settings, "cell_modules")->text, "LiPro1-x active v2");
}

static void what_the_protocol_says_it_can_report_is_what_it_reports(void **unused)
{
	uint32_t flags = 0;

	(void)unused;
	assert_true(cycle());
	for (unsigned f = 0; f < FLAG_COUNT; f++)
		if (reading_flag(&dev.reading, (enum flag)f) != UNKNOWN)
			flags |= 1u << f;
	assert_true(dev.reading.known == dev.protocol->quantities);
	assert_true(flags == dev.protocol->flags);
	assert_int_equal(dev.protocol->commands, 0);
	assert_true(dev.protocol->untested);
}

static void all_details_find_their_place(void **unused)
{
	(void)unused;
	set_cells(24);
	battery.dead = 1;
	cycles(5);
	assert_true(detail("cell_24_temp_C") == battery.cell[23][1] / 100.0);
	assert_true(detail("silent_cells") == 1);
}

static void a_soc_whose_high_word_is_all_ones_is_positive(void **unused)
{
	(void)unused;
	put32(STATES, (int32_t)0xffffc350);
	assert_int_equal(ask(STATES, 0), EXCHANGE_ANSWERED);
	assert_true(get(Q_SOC_PCT) == 50);
	put32(STATES, 50000);
	assert_int_equal(ask(STATES, 0), EXCHANGE_ANSWERED);
	assert_true(get(Q_SOC_PCT) == 50);
	put32(STATES, 100400);
	assert_int_equal(ask(STATES, 0), EXCHANGE_ANSWERED);
	assert_true(get(Q_SOC_PCT) == 100);
	put32(STATES, 120000);
	assert_int_equal(ask(STATES, 0), EXCHANGE_FAILED);
}

static void a_capacity_of_zero_is_unknown(void **unused)
{
	(void)unused;
	put32(CAPACITY, 0);
	assert_int_equal(ask(CAPACITY, 0), EXCHANGE_ANSWERED);
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_FULL_AH));
}

static void the_meter_is_one_of_three(void **unused)
{
	static const char *const name[] = {"GreenMeter 500A", "GreenMeter 250A", "GreenMeter 125A"};

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		battery.meter[0] = (uint16_t)(500 + i);
		assert_int_equal(ask(ID, i % 2), EXCHANGE_ANSWERED);
		assert_string_equal(dev.reading.text[T_MODEL], name[i]);
	}
	battery.meter[0] = 503;
	assert_int_equal(ask(ID, 0), EXCHANGE_REFUSED);
	battery.meter[0] = 0;
	assert_int_equal(ask(ID, 1), EXCHANGE_REFUSED);
	assert_string_equal(error, "a Modbus device, but no GreenMeter");
}

/* ---- alarms ---- */

static void each_state_code_means_what_the_sheet_says(void **unused)
{
	static const enum alarm charge[] = {ALARM_COUNT,
					    ALARM_HIGH_VOLTAGE,
					    ALARM_HIGH_CHARGE_CURRENT,
					    ALARM_HIGH_CHARGE_TEMPERATURE,
					    ALARM_HIGH_CHARGE_TEMPERATURE,
					    ALARM_LOW_CHARGE_TEMPERATURE,
					    ALARM_LOW_CHARGE_TEMPERATURE};
	static const enum alarm discharge[] = {ALARM_COUNT,
					       ALARM_LOW_VOLTAGE,
					       ALARM_HIGH_DISCHARGE_CURRENT,
					       ALARM_HIGH_TEMPERATURE,
					       ALARM_HIGH_TEMPERATURE,
					       ALARM_LOW_TEMPERATURE,
					       ALARM_LOW_TEMPERATURE};

	(void)unused;
	for (unsigned over = 0; over < 7; over++)
		for (unsigned under = 0; under < 7; under++) {
			battery.meter[130] = (uint16_t)over;
			battery.meter[131] = (uint16_t)under;
			assert_int_equal(ask(STATES, 0), EXCHANGE_ANSWERED);
			assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), over ? OFF : ON);
			assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), under ? OFF : ON);
			for (unsigned a = 0; a < ALARM_COUNT; a++) {
				enum alarm_level want = ALARM_OK;

				if (a == charge[over])
					want = over == 1 ? ALARM_RAISED : ALARM_WARNING;
				if (a == discharge[under])
					want = under == 1 ? ALARM_RAISED : ALARM_WARNING;
				assert_int_equal(level((enum alarm)a), want);
			}
		}
}

static void a_state_that_nobody_knows_forbids_and_warns(void **unused)
{
	(void)unused;
	battery.meter[130] = (uint16_t)-1;
	assert_int_equal(ask(STATES, 0), EXCHANGE_ANSWERED);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), OFF);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), ON);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 1);
	assert_string_equal(dev.reading.alarms.own[0].name, "unknown_state");
	assert_true(detail("over_voltage_state") == -1);
}

/* ---- which cells there are ---- */

static void the_first_cycle_finds_all_cells_and_asks_nobody_who_is_not_there(void **unused)
{
	(void)unused;
	for (unsigned n = 1; n <= 24; n++) {
		device_free(&dev);
		start_battery();
		dev = fresh_device("ecs", 1, 0);
		set_cells(n);
		assert_true(cycles(2));
		assert_true(get(Q_CELL_COUNT) == n);
		assert_true(dev.reading.cell_V.value[n - 1] == battery.cell[n - 1][0] / 1000.0);
	}
}

static void a_cell_that_falls_silent_costs_one_cycle_and_is_a_fault(void **unused)
{
	(void)unused;
	assert_true(cycles(4));
	battery.dead = 1u << 2;
	assert_false(cycle());
	assert_true(cycles(10));
	assert_true(get(Q_CELL_COUNT) == 4);
	assert_false(series_knows(&dev.reading.cell_V, 2));
	assert_true(series_knows(&dev.reading.cell_V, 3));
	assert_int_equal(level(ALARM_INTERNAL_FAILURE), ALARM_WARNING);
	assert_true(detail("silent_cells") == 1 && detail("first_silent_cell") == 3);
}

static void a_cell_that_comes_back_is_found_by_looking(void **unused)
{
	(void)unused;
	assert_true(cycle());
	battery.dead = 0x5;
	cycles(4);
	assert_true(detail("silent_cells") == 2);
	assert_int_equal(ask(LOOK, 0), EXCHANGE_FAILED);
	battery.dead = 0;
	assert_int_equal(ask(LOOK, 0), EXCHANGE_ANSWERED);
	assert_int_equal(ask(LOOK, 0), EXCHANGE_ANSWERED);
	assert_true(cycles(3));
	assert_true(series_knows(&dev.reading.cell_V, 0) && series_knows(&dev.reading.cell_V, 2));
	assert_int_equal(level(ALARM_INTERNAL_FAILURE), ALARM_OK);
	assert_true(isnan(detail("silent_cells")));
}

static void a_cell_that_never_answers_is_told_by_the_voltage(void **unused)
{
	(void)unused;
	for (unsigned dead = 0; dead < 8; dead++) {
		device_free(&dev);
		start_battery();
		dev = fresh_device("ecs", 1, 0);
		set_cells(8);
		battery.dead = 1u << dead;
		cycles(2); /* the search; two cycles are not yet a lost battery */
		assert_true(cycles(5));
		assert_true(get(Q_CELL_COUNT) == 8);
		for (unsigned i = 0; i < 8; i++)
			assert_int_equal(series_knows(&dev.reading.cell_V, i), i != dead);
		assert_int_equal(level(ALARM_INTERNAL_FAILURE), ALARM_WARNING);
	}
}

static void a_meter_without_modules_is_read_all_the_same(void **unused)
{
	(void)unused;
	battery.cells = 0;
	cycles(2);
	assert_true(cycles(5));
	assert_false(dev.reading.cell_V.reported);
	assert_false(reading_knows(&dev.reading, Q_CELL_COUNT));
	assert_true(get(Q_VOLTAGE_V) == 13.206);
}

static void a_meter_that_measures_a_little_more_finds_the_same_cells(void **unused)
{
	(void)unused;
	put32(VOLTAGE, 13206 + 700);
	cycles(2);
	assert_true(cycles(5));
	assert_true(get(Q_CELL_COUNT) == 4);
	assert_int_equal(level(ALARM_INTERNAL_FAILURE), ALARM_OK);
}

static void a_load_during_the_search_hides_no_cell(void **unused)
{
	(void)unused;
	put32(VOLTAGE, 3 * 3300); /* at the first cycle the voltage is that of three cells */
	assert_true(cycle());
	assert_true(get(Q_CELL_COUNT) == 3);
	put32(VOLTAGE, 13206);
	cycles(5);
	assert_true(get(Q_CELL_COUNT) == 4);
	assert_true(cycles(3));
}

static void one_cycle_under_load_does_not_change_the_number_of_cells(void **unused)
{
	(void)unused;
	set_cells(8);
	battery.dead = 1;
	cycles(8);
	assert_true(get(Q_CELL_COUNT) == 8);
	put32(VOLTAGE, 8 * 3300 + 3400);
	cycles(2);
	put32(VOLTAGE, 8 * 3300);
	cycles(5);
	assert_true(get(Q_CELL_COUNT) == 8);
}

static void of_more_cells_than_can_be_read_the_number_is_right(void **unused)
{
	(void)unused;
	set_cells(30);
	assert_true(cycles(6));
	assert_true(get(Q_CELL_COUNT) == 30);
	assert_true(series_knows(&dev.reading.cell_V, 23));
	assert_false(series_knows(&dev.reading.cell_V, 24));
}

/* ---- blocks and parts ---- */

static void values_are_read_in_parts_where_blocks_are_refused(void **unused)
{
	(void)unused;
	battery.meter_refuses = battery.modules_refuse = true;
	battery.meter[131] = 1;
	assert_true(cycles(6));
	assert_true(get(Q_SOC_PCT) == 83.2);
	assert_int_equal(level(ALARM_LOW_VOLTAGE), ALARM_RAISED);
	assert_true(get(Q_CELL_COUNT) == 4);
	assert_true(detail("cell_3_temp_C") == 0.1);
	assert_true(dev.reading.balancing_known && dev.reading.balancing == 0xa);
}

static void values_are_read_in_parts_where_blocks_are_not_answered(void **unused)
{
	(void)unused;
	battery.modules_ignore = true;
	assert_true(cycles(6));
	assert_true(get(Q_CELL_COUNT) == 4);
	assert_true(detail("cell_4_temp_C") == 20.1);
	memset(battery.asked, 0, sizeof(battery.asked));
	assert_true(cycle());
	assert_int_equal(battery.asked[2], 1); /* it has learned */
}

static void a_lost_block_is_no_reason_for_parts(void **unused)
{
	(void)unused;
	assert_true(cycles(2));
	battery.modules_ignore = true;
	assert_false(cycle());
	battery.modules_ignore = false;
	assert_int_equal(ask(LOOK, 0), EXCHANGE_ANSWERED);
	assert_true(cycle());
	assert_memory_equal(request_hex(&dev, CELL, 0), "020300640003", 12);
}

/* ---- frames that are not to be believed ---- */

static const char *hex_of(const uint8_t *p, size_t n)
{
	static char hex[8][120];
	static unsigned turn;
	char *out = hex[turn++ % 8];

	bytes_hex((struct bytes){p, n}, out, sizeof(hex[0]));
	return out;
}

static void damaged_frames_are_no_reading(void **unused)
{
	uint8_t p[32];
	size_t n = meter_answers(p, VOLTAGE, 2);

	(void)unused;
	for (size_t i = 0; i < n; i++) {
		p[i] ^= 0x10;
		assert_int_equal(play(&dev, VOLTAGE, 0, RX(hex_of(p, n)), error), EXCHANGE_FAILED);
		p[i] ^= 0x10;
	}
	for (size_t i = 0; i < n; i++)
		assert_int_equal(play(&dev, VOLTAGE, 0, RX(hex_of(p, i)), error), EXCHANGE_FAILED);
	nothing_was_taken();
	assert_int_equal(play(&dev, VOLTAGE, 0, RX("ff0103", hex_of(p, 4), hex_of(p + 4, n - 4)), error),
			 EXCHANGE_ANSWERED);
}

static void replies_of_others_are_no_answer(void **unused)
{
	uint8_t p[32], q[32];
	size_t n = cell_answers(p, 3, 100, 3), m = meter_answers(q, STATES, 4);
	char both[120];

	(void)unused;
	assert_int_equal(play(&dev, CELL, 0, RX(hex_of(p, n)), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, VOLTAGE, 0, RX(hex_of(q, m)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: not as many bytes as were asked for");
	assert_int_equal(play(&dev, VOLTAGE, 0, RX(request_hex(&dev, VOLTAGE, 0)), error), EXCHANGE_FAILED);
	nothing_was_taken();
	snprintf(both, sizeof(both), "%s%s", hex_of(p, n), hex_of(q, m));
	assert_int_equal(play(&dev, STATES, 0, RX(both), error), EXCHANGE_ANSWERED);
}

static void what_is_no_cell_is_not_believed(void **unused)
{
	(void)unused;
	battery.cell[0][0] = 6001;
	assert_int_equal(ask(CELL, 0), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: a cell voltage above 6 V");
	assert_false(dev.reading.cell_V.reported);
	battery.module = 99;
	assert_int_equal(ask(MODULE, 0), EXCHANGE_FAILED);
	assert_int_equal(dev.settings.count, 0);
}

static void a_refusal_says_why(void **unused)
{
	(void)unused;
	battery.refuse_all = true;
	assert_int_equal(ask(VOLTAGE, 0), EXCHANGE_REFUSED);
	assert_string_equal(error, "illegal register address (exception 02)");
	assert_int_equal(ask(ID, 1), EXCHANGE_REFUSED);
	nothing_was_taken();
}

/* ---- is it one? ---- */

static bool plausible(void)
{
	const char *why = NULL;

	device_free(&dev);
	dev = fresh_device("ecs", 1, 0);
	return ask(ID, 1) == EXCHANGE_ANSWERED && ask(VOLTAGE, 0) == EXCHANGE_ANSWERED &&
	       ask(STATES, 0) == EXCHANGE_ANSWERED && dev.protocol->plausible(&dev, &why);
}

static void a_meter_is_recognised_and_nothing_else(void **unused)
{
	(void)unused;
	assert_true(plausible());
	put32(VOLTAGE, 0);
	assert_false(plausible());
	put32(VOLTAGE, 300000);
	assert_false(plausible());
	start_battery();
	for (unsigned v = 0; v < 0x10000; v += 0x0101) {
		for (unsigned i = 0; i < REGISTERS; i++)
			battery.meter[i] = (uint16_t)v;
		assert_false(plausible());
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_are_those_of_the_sheet),
		TEST(requests_are_recognised_from_their_bytes),
		TEST(requests_to_other_makes_are_not_ours),
		TEST(every_field_is_told),
		TEST(what_the_protocol_says_it_can_report_is_what_it_reports),
		TEST(all_details_find_their_place),
		TEST(a_soc_whose_high_word_is_all_ones_is_positive),
		TEST(a_capacity_of_zero_is_unknown),
		TEST(the_meter_is_one_of_three),
		TEST(each_state_code_means_what_the_sheet_says),
		TEST(a_state_that_nobody_knows_forbids_and_warns),
		TEST(the_first_cycle_finds_all_cells_and_asks_nobody_who_is_not_there),
		TEST(a_cell_that_falls_silent_costs_one_cycle_and_is_a_fault),
		TEST(a_cell_that_comes_back_is_found_by_looking),
		TEST(a_cell_that_never_answers_is_told_by_the_voltage),
		TEST(a_meter_without_modules_is_read_all_the_same),
		TEST(a_meter_that_measures_a_little_more_finds_the_same_cells),
		TEST(a_load_during_the_search_hides_no_cell),
		TEST(one_cycle_under_load_does_not_change_the_number_of_cells),
		TEST(of_more_cells_than_can_be_read_the_number_is_right),
		TEST(values_are_read_in_parts_where_blocks_are_refused),
		TEST(values_are_read_in_parts_where_blocks_are_not_answered),
		TEST(a_lost_block_is_no_reason_for_parts),
		TEST(damaged_frames_are_no_reading),
		TEST(replies_of_others_are_no_answer),
		TEST(what_is_no_cell_is_not_believed),
		TEST(a_refusal_says_why),
		TEST(a_meter_is_recognised_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
