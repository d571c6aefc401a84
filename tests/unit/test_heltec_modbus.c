/* SPDX-License-Identifier: GPL-3.0-or-later */
/* heltec-modbus on frames constructed from its sheet: one row of little-endian bytes, read in parts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "act.h"
#include "play.h"
#include "protocols/checksum.h"

enum { SUMMARY = 1, HARDWARE = 49, PROFILE = 63, STATUS = 80, SOC = 120, SETTINGS = 160 };
enum { WRITE_SOC = 0x0678, LIVE = 17, REGISTERS = 260 };

/* The board of these tests: 4 cells, 2 sensors, at rest; a test changes what it is about. */
static struct board {
	uint8_t p[2 * REGISTERS];
	/* what it does with writes, and faults */
	bool refuse, ignore, deaf_to_writes, silent, silent_after_write;
	unsigned writes;
} board;

static struct device dev;
static char error[128];

/* Where an offset of a block of the sheet lies. */
static unsigned at(unsigned block, unsigned off)
{
	return 2 * block + off;
}

static void put8(unsigned block, unsigned off, unsigned v)
{
	board.p[at(block, off)] = (uint8_t)v;
}

static void put16(unsigned block, unsigned off, unsigned v)
{
	put8(block, off, v & 0xff);
	put8(block, off + 1, v >> 8 & 0xff);
}

static void put32(unsigned block, unsigned off, uint32_t v)
{
	put16(block, off, v & 0xffff);
	put16(block, off + 2, v >> 16);
}

static void put_text(unsigned block, unsigned off, const char *text)
{
	memcpy(board.p + at(block, off), text, strlen(text));
}

static void start_board(void)
{
	memset(&board, 0, sizeof(board));
	put16(SUMMARY, 0, 101);
	memcpy(board.p + at(SUMMARY, 2), "\x59\x11\x01\x01\x63\x96\xf5\xd3", 8);
	put_text(SUMMARY, 12, "YY-BCU04");
	put_text(SUMMARY, 38, "YY-BCU04-MOS");
	put16(SUMMARY, 74, 101);
	put16(SUMMARY, 76, 2022);
	put8(SUMMARY, 78, 12);
	put8(SUMMARY, 79, 7);
	put_text(SUMMARY, 80, "YY-Test");
	put_text(SUMMARY, 92, "4711");
	put8(SUMMARY, 103, 2);
	put8(SUMMARY, 111, 24);
	put16(SUMMARY, 112, 100);
	put8(SUMMARY, 122, 104);
	put8(SUMMARY, 123, 133);
	put_text(SUMMARY, 124, "SBDM");
	memcpy(board.p + at(SUMMARY, 128), "\x17\x03\x0e\x11\x2f\x14", 6);
	put32(SUMMARY, 140, 5548124);
	put16(SUMMARY, 144, 7);
	put8(SUMMARY, 148, 4);
	put8(SUMMARY, 149, 1);
	put32(SUMMARY, 150, 13286);
	put32(SUMMARY, 154, 4);

	for (unsigned i = 0; i < 4; i++)
		put16(STATUS, 2 + 2 * i, 3320 + i);
	put8(STATUS, 62, 3);
	put8(STATUS, 63, 0);
	put8(STATUS, 64, 61);
	put8(STATUS, 65, 59);
	put8(STATUS, 66, 57);
	put8(STATUS, 67, 58);
	put8(STATUS, 71, 58);
	put8(STATUS, 72, 57);
	put8(STATUS, 73, 1);
	put8(STATUS, 74, 0);
	put8(STATUS, 75, 1);
	put16(STATUS, 76, 250);
	put16(STATUS, 78, 261);
	put8(STATUS, 80, 75);
	put8(STATUS, 81, 98);
	put32(STATUS, 82, 8);
	put16(STATUS, 86, 144);
	put16(STATUS, 88, 0xffff);
	put8(STATUS, 95, 7);
	put32(STATUS, 144, 0x00400153);

	put16(SETTINGS, 18, 3650);
	put16(SETTINGS, 36, 7140);
	put16(SETTINGS, 62, 2000);
	put16(SETTINGS, 68, 9000);
	put16(SETTINGS, 70, 102);
	put8(SETTINGS, 82, 20);
	put_text(SETTINGS, 94, "00000001");
	put16(SETTINGS, 114, 250);
	put16(SETTINGS, 116, 250);
}

static int set_up(void **unused)
{
	(void)unused;
	start_board();
	dev = fresh_device("heltec-modbus", 1, 0);
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

static size_t reply_to(uint8_t *p, uint8_t address, unsigned start, unsigned count)
{
	p[0] = address;
	p[1] = 3;
	p[2] = (uint8_t)(2 * count);
	memcpy(p + 3, board.p + 2 * start, 2 * count);
	return add_crc(p, 3 + 2 * count);
}

static const char *hex_of(const uint8_t *p, size_t n)
{
	static char hex[8][600];
	static unsigned turn;
	char *out = hex[turn++ % 8];

	bytes_hex((struct bytes){p, n}, out, sizeof(hex[0]));
	return out;
}

static const char *reply(unsigned start, unsigned count)
{
	uint8_t p[256];

	return hex_of(p, reply_to(p, 1, start, count));
}

static enum exchange_state ask(unsigned start, unsigned count)
{
	return play(&dev, (uint16_t)start, (uint16_t)count, RX(reply(start, count)), error);
}

static const struct reading *read_status(void)
{
	assert_int_equal(ask(STATUS, 80), EXCHANGE_ANSWERED);
	return &dev.reading;
}

static const struct reading *read_all(void)
{
	assert_int_equal(ask(PROFILE, LIVE), EXCHANGE_ANSWERED);
	read_status();
	assert_int_equal(ask(SETTINGS, 81), EXCHANGE_ANSWERED);
	assert_int_equal(ask(SUMMARY, 46), EXCHANGE_ANSWERED);
	assert_int_equal(ask(HARDWARE, 14), EXCHANGE_ANSWERED);
	return &dev.reading;
}

static double get(enum quantity q)
{
	return reading_get(&dev.reading, q);
}

static double setting(const char *name)
{
	return settings_number(&dev.settings, name);
}

static const char *setting_text(const char *name)
{
	const struct setting *s = settings_find(&dev.settings, name);

	return s ? s->text : "";
}

static double detail(const char *name)
{
	return reading_detail(&dev.reading, name);
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
	assert_string_equal(request_hex(&dev, PROFILE, 4), "0103003f00047405");
	assert_string_equal(request_hex(&dev, SUMMARY, 79), "01030001004f55fe");
	assert_string_equal(request_hex(&dev, STATUS, 0), "01030050005045e7");
	assert_string_equal(request_hex(&dev, SETTINGS, 81), "010300a000518414");
	assert_string_equal(request_hex(&dev, 240, 20), "010300f0001445f6");
	assert_string_equal(request_hex(&dev, 78, 2), "0103004e0002a41c");
	assert_string_equal(request_hex(&dev, WRITE_SOC, 55 << 8 | 100), "0106007837641e08");
}

static void polls_never_ask_for_the_pin(void **unused)
{
	struct request r;

	(void)unused;
	for (unsigned i = 0; i < dev.protocol->poll_count; i++) {
		const struct poll *row = &dev.protocol->polls[i];

		assert_true(dev.protocol->encode(&dev, row->code, row->arg, &r));
		unsigned first = (unsigned)r.tx[2] << 8 | r.tx[3], count = (unsigned)r.tx[4] << 8 | r.tx[5];

		assert_true(2 * first > at(SUMMARY, 95) || 2 * (first + count) <= at(SUMMARY, 92));
		assert_false(r.writes);
	}
}

static void only_the_soc_can_be_written(void **unused)
{
	struct request r;

	(void)unused;
	for (unsigned code = 0; code <= 0xffff; code++)
		if (dev.protocol->encode(&dev, (uint16_t)code, 0, &r)) {
			assert_int_equal(r.writes, code == WRITE_SOC);
			assert_int_equal(r.tx[1], code == WRITE_SOC ? 6 : 3);
		}
	assert_int_equal(dev.protocol->experimental, dev.protocol->commands);
	dev.address = 0; /* everybody */
	assert_false(dev.protocol->encode(&dev, WRITE_SOC, 0, &r));
	assert_false(dev.protocol->encode(&dev, STATUS, 0, &r));
}

static void requests_are_recognised_from_their_bytes(void **unused)
{
	static const uint16_t code[][2] = {{PROFILE, 17}, {STATUS, 80}, {SETTINGS, 81},	    {SUMMARY, 46},
					   {SUMMARY, 79}, {191, 1},	{WRITE_SOC, 0x3764}};

	(void)unused;
	for (size_t i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
		struct request r, again;

		assert_true(dev.protocol->encode(&dev, code[i][0], code[i][1], &r));
		assert_true(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
		assert_int_equal(again.code, code[i][0]);
		assert_int_equal(again.arg, code[i][1]);
		assert_int_equal(again.address, 1);
		assert_int_equal(again.writes, r.writes);
		assert_int_equal(again.echo_is_reply, r.echo_is_reply);
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n - 1u}, &again));
		r.tx[r.n - 1] ^= 1;
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
	}
}

static void requests_to_other_makes_are_not_ours(void **unused)
{
	static const uint8_t head[][6] = {
		{0x01, 0x03, 0x13, 0x02, 0x00, 0x0a}, /* registers of other makes */
		{0x01, 0x03, 0x00, 0x00, 0x00, 0x04}, {0x01, 0x03, 0x00, 0x00, 0x00, 0x01},
		{0x01, 0x03, 0x00, 0x00, 0x00, 0x27}, {0x01, 0x03, 0x00, 0x1e, 0x00, 0x02},
		{0x01, 0x03, 0x14, 0x00, 0x00, 0x08}, {0x01, 0x04, 0x00, 0x50, 0x00, 0x50}, /* another function */
		{0x00, 0x03, 0x00, 0x50, 0x00, 0x50}, /* addresses that no board has */
		{0xf8, 0x03, 0x00, 0x50, 0x00, 0x50}, {0x01, 0x06, 0x00, 0x79, 0x37, 0x64}, /* another register */
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
	assert_true(get(Q_VOLTAGE_V) == 13.286);
	assert_true(get(Q_CURRENT_A) == -0.04);
	assert_true(get(Q_UPTIME_S) == 5548124);
	assert_true(get(Q_CELL_COUNT) == 4);
	assert_int_equal(r->cell_V.count, 4);
	assert_true(r->cell_V.value[3] == 3.323);
	assert_true(get(Q_CELL_MAX_NO) == 4 && get(Q_CELL_MAX_V) == 3.323);
	assert_true(get(Q_CELL_MIN_NO) == 1 && get(Q_CELL_MIN_V) == 3.320);
	assert_true(get(Q_TEMP_MOS_C) == 21);
	assert_true(get(Q_TEMP_BALANCER_C) == 19);
	assert_int_equal(r->temperatures.count, 2);
	assert_true(r->temperatures.value[0] == 17 && r->temperatures.value[1] == 18);
	assert_true(get(Q_TEMP_MAX_C) == 18 && get(Q_TEMP_MAX_NO) == 2);
	assert_true(get(Q_TEMP_MIN_C) == 17 && get(Q_TEMP_MIN_NO) == 1);
	assert_true(get(Q_CAPACITY_DESIGN_AH) == 25);
	assert_true(get(Q_CAPACITY_FULL_AH) == 26.1);
	assert_true(get(Q_CAPACITY_REMAINING_AH) == 19.57);
	assert_true(get(Q_SOC_PCT) == 75 && get(Q_SOH_PCT) == 98);
	assert_true(get(Q_CYCLES) == 7);
	assert_true(get(Q_BMS_CCL_A) == 20 && get(Q_BMS_DCL_A) == 90);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_BALANCING_ACTIVE), OFF);
	assert_true(r->alarms.known);
	assert_int_equal(alarms_raised(&r->alarms), 0);
	assert_true(detail("remaining_energy_Wh") == 800);
	assert_true(detail("time_to_full_min") == 144);
	assert_true(isnan(detail("time_to_empty_min")));
	assert_string_equal(r->text[T_SERIAL_NUMBER], "591101016396f5d3");
	assert_string_equal(r->text[T_MODEL], "YY-BCU04");
	assert_string_equal(r->text[T_HARDWARE_VERSION], "1.01");
	assert_string_equal(r->text[T_FIRMWARE_VERSION], "1.33");
	assert_string_equal(r->text[T_PRODUCTION_DATE], "2022-12-07");
}

static void settings_are_told(void **unused)
{
	(void)unused;
	read_all();
	assert_true(setting("cell_ovp_V") == 3.65);
	assert_true(setting("pack_ovp_V") == 71.4);
	assert_true(setting("charge_utp_C") == -20);
	assert_true(setting("discharge_ocp_2_A") == 102);
	assert_true(setting("max_current_A") == 100);
	assert_string_equal(setting_text("pack_serial"), "00000001");
	assert_string_equal(setting_text("product_name"), "YY-BCU04-MOS");
	assert_string_equal(setting_text("bluetooth_name"), "YY-Test");
	assert_string_equal(setting_text("boot_version"), "1.04");
	assert_string_equal(setting_text("firmware_build"), "2023-03-14 17:47:20");
	assert_string_equal(setting_text("chemistry"), "LFP");
	assert_true(dev.settings.count < MAX_SETTINGS);
}

static void what_the_protocol_says_it_can_report_is_what_it_reports(void **unused)
{
	const struct reading *r = read_all();
	uint32_t flags = 0;

	(void)unused;
	for (unsigned f = 0; f < FLAG_COUNT; f++)
		if (reading_flag(r, (enum flag)f) != UNKNOWN)
			flags |= 1u << f;
	assert_true(r->known == dev.protocol->quantities);
	assert_true(flags == dev.protocol->flags);
}

static void the_pin_of_a_whole_summary_is_nowhere(void **unused)
{
	(void)unused;
	assert_int_equal(ask(SUMMARY, 79), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_MODEL], "YY-BCU04");
	for (unsigned i = 0; i < TEXT_COUNT; i++)
		assert_null(strstr(dev.reading.text[i], "4711"));
	for (unsigned i = 0; i < dev.settings.count; i++)
		assert_null(strstr(dev.settings.setting[i].text, "4711"));
}

static void positive_on_the_wire_is_discharge(void **unused)
{
	(void)unused;
	put32(SUMMARY, 154, 12345);
	assert_int_equal(ask(PROFILE, LIVE), EXCHANGE_ANSWERED);
	assert_true(get(Q_CURRENT_A) == -123.45);
	put32(SUMMARY, 154, (uint32_t)-12345);
	assert_int_equal(ask(PROFILE, LIVE), EXCHANGE_ANSWERED);
	assert_true(get(Q_CURRENT_A) == 123.45);
	put32(SUMMARY, 154, 0);
	assert_int_equal(ask(PROFILE, LIVE), EXCHANGE_ANSWERED);
	assert_false(signbit(get(Q_CURRENT_A)));
}

static void numbers_that_mean_no_cell_are_none(void **unused)
{
	static const unsigned none[] = {0, 20, 35, 36, 5001, 65535};

	(void)unused;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		put16(STATUS, 2 + 2, none[i]);
		put16(STATUS, 2 + 2 * 4, none[i]);
		put16(STATUS, 2 + 2 * 24, none[i]);
		read_status();
		assert_int_equal(dev.reading.cell_V.count, 4);
		assert_false(series_knows(&dev.reading.cell_V, 1));
		assert_true(dev.reading.cell_V.value[2] == 3.322);
	}
}

static void there_are_as_many_cells_as_the_summary_says(void **unused)
{
	(void)unused;
	put8(SUMMARY, 148, 3);
	assert_int_equal(ask(PROFILE, LIVE), EXCHANGE_ANSWERED);
	read_status();
	assert_int_equal(dev.reading.cell_V.count, 3);
	assert_false(reading_knows(&dev.reading, Q_CELL_MAX_NO)); /* it names the fourth */
	assert_true(get(Q_CELL_MIN_NO) == 1);
}

static void sensors_that_are_not_there_are_unknown(void **unused)
{
	(void)unused;
	put8(STATUS, 64, 0);
	put8(STATUS, 65, 166);
	put8(STATUS, 66, 166);
	put8(STATUS, 68, 20);
	put8(STATUS, 74, 0);
	read_status();
	assert_false(reading_knows(&dev.reading, Q_TEMP_MOS_C));
	assert_false(reading_knows(&dev.reading, Q_TEMP_BALANCER_C));
	assert_int_equal(dev.reading.temperatures.count, 3);
	assert_false(series_knows(&dev.reading.temperatures, 0));
	assert_true(dev.reading.temperatures.value[2] == -20);
	assert_false(reading_knows(&dev.reading, Q_TEMP_MIN_NO));
	for (unsigned i = 66; i < 73; i++)
		put8(STATUS, i, 0);
	read_status();
	assert_int_equal(dev.reading.temperatures.count, 0);
	assert_true(dev.reading.temperatures.reported);
	assert_false(reading_knows(&dev.reading, Q_TEMP_MAX_C));
}

static void a_capacity_of_zero_is_unknown(void **unused)
{
	(void)unused;
	put16(STATUS, 76, 0);
	put16(STATUS, 78, 0);
	read_status();
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_DESIGN_AH));
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_FULL_AH));
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_REMAINING_AH));
}

static void the_settings_do_not_overrule_the_learned_capacity(void **unused)
{
	(void)unused;
	assert_int_equal(ask(SETTINGS, 81), EXCHANGE_ANSWERED);
	assert_true(get(Q_CAPACITY_FULL_AH) == 25);
	read_status();
	assert_int_equal(ask(SETTINGS, 81), EXCHANGE_ANSWERED);
	assert_true(get(Q_CAPACITY_FULL_AH) == 26.1);
	assert_true(setting("capacity_full_Ah") == 25);
}

static void a_date_that_is_none_is_unknown(void **unused)
{
	(void)unused;
	put8(SUMMARY, 78, 31);
	read_all();
	assert_string_equal(dev.reading.text[T_PRODUCTION_DATE], "2022-07-31"); /* it can only be the day */
	put8(SUMMARY, 78, 0);
	dev.reading.text[T_PRODUCTION_DATE][0] = 0;
	read_all();
	assert_string_equal(dev.reading.text[T_PRODUCTION_DATE], "");
}

static void balancing_bits_are_cells(void **unused)
{
	(void)unused;
	put32(STATUS, 118, 0xfffffff5);
	read_status();
	assert_true(dev.reading.balancing == 0x5);
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), ON);
	put32(STATUS, 118, 0x10);
	read_status();
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), OFF);
}

static void a_protection_takes_the_permission_not_the_switch(void **unused)
{
	(void)unused;
	put32(STATUS, 144, 0x3 | 1u << 28);
	read_status();
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), OFF);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), ON);
	put32(STATUS, 144, 0x2 | 1u << 29 | 2u << 26);
	read_status();
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_MOS), OFF);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), ON);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), OFF);
	assert_true(detail("state") == 2);
}

/* ---- alarms ---- */

static void each_alarm_bit_means_what_the_sheet_says(void **unused)
{
	static const struct {
		unsigned bit;
		enum alarm alarm, also;
	} bits[] = {
		{0, ALARM_HIGH_CELL_VOLTAGE, ALARM_COUNT},
		{1, ALARM_LOW_CELL_VOLTAGE, ALARM_COUNT},
		{2, ALARM_LOW_CELL_VOLTAGE, ALARM_COUNT},
		{3, ALARM_HIGH_VOLTAGE, ALARM_COUNT},
		{4, ALARM_LOW_VOLTAGE, ALARM_COUNT},
		{5, ALARM_HIGH_CHARGE_CURRENT, ALARM_COUNT},
		{6, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT},
		{7, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT},
		{8, ALARM_SHORT_CIRCUIT, ALARM_HIGH_DISCHARGE_CURRENT},
		{9, ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_COUNT},
		{10, ALARM_LOW_CHARGE_TEMPERATURE, ALARM_COUNT},
		{11, ALARM_HIGH_TEMPERATURE, ALARM_COUNT},
		{12, ALARM_LOW_TEMPERATURE, ALARM_COUNT},
		{13, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_COUNT},
		{14, ALARM_LOW_SOC, ALARM_COUNT},
		{17, ALARM_HIGH_VOLTAGE, ALARM_COUNT},
		{18, ALARM_LOW_VOLTAGE, ALARM_COUNT},
		{25, ALARM_INTERNAL_FAILURE, ALARM_COUNT},
		{26, ALARM_INTERNAL_FAILURE, ALARM_COUNT},
		{27, ALARM_INTERNAL_FAILURE, ALARM_COUNT},
		{28, ALARM_INTERNAL_FAILURE, ALARM_COUNT},
		{29, ALARM_INTERNAL_FAILURE, ALARM_COUNT},
		{30, ALARM_INTERNAL_FAILURE, ALARM_COUNT},
		{31, ALARM_INTERNAL_FAILURE, ALARM_COUNT},
	};
	uint32_t told = 0;

	(void)unused;
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		put32(STATUS, 152, 1u << bits[i].bit);
		const struct alarms *a = &read_status()->alarms;

		told |= 1u << bits[i].bit;
		for (unsigned k = 0; k < ALARM_COUNT; k++) {
			enum alarm_level want = k == bits[i].alarm || k == bits[i].also ? ALARM_RAISED : ALARM_OK;

			if (want && bits[i].bit == 14)
				want = ALARM_WARNING;
			assert_int_equal(a->level[k], want);
		}
		assert_int_equal(a->own_count, bits[i].bit == 2);
		assert_true(detail("alarm_bits") == (double)(1u << bits[i].bit));
	}
	put32(STATUS, 152, ~told);
	assert_int_equal(alarms_raised(&read_status()->alarms), 0);
}

static void full_and_empty_are_states(void **unused)
{
	(void)unused;
	put32(STATUS, 152, 1u << 15);
	read_status();
	assert_true(detail("battery_full") == 1);
	assert_true(isnan(detail("battery_empty")));
	put32(STATUS, 152, 1u << 16);
	read_status();
	assert_true(isnan(detail("battery_full")));
	assert_true(detail("battery_empty") == 1);
	put32(STATUS, 152, 1u << 28);
	read_status();
	assert_true(detail("temp_sensor_fault") == 1);
}

/* ---- frames that are not to be believed ---- */

static void damaged_frames_are_no_reading(void **unused)
{
	uint8_t p[256];
	size_t n = reply_to(p, 1, STATUS, 80);

	(void)unused;
	for (size_t i = 0; i < n; i++) {
		p[i] ^= 0x10;
		assert_int_equal(play(&dev, STATUS, 80, RX(hex_of(p, n)), error), EXCHANGE_FAILED);
		p[i] ^= 0x10;
	}
	for (size_t i = 0; i < n; i++)
		assert_int_equal(play(&dev, STATUS, 80, RX(hex_of(p, i)), error), EXCHANGE_FAILED);
	nothing_was_taken();
	assert_int_equal(play(&dev, STATUS, 80, RX(hex_of(p, n)), error), EXCHANGE_ANSWERED);
}

static void replies_of_others_are_no_answer(void **unused)
{
	uint8_t p[256];

	(void)unused;
	assert_int_equal(play(&dev, STATUS, 80, RX(hex_of(p, reply_to(p, 2, STATUS, 80))), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, STATUS, 80, RX(reply(SETTINGS, 81)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: not as many bytes as were asked for");
	assert_int_equal(play(&dev, STATUS, 80, RX(request_hex(&dev, STATUS, 80)), error), EXCHANGE_FAILED);
	nothing_was_taken();
}

static void an_answer_is_found_in_noise_and_behind_a_late_one(void **unused)
{
	uint8_t p[256], q[256];
	size_t n = reply_to(p, 1, STATUS, 80), m = reply_to(q, 1, PROFILE, LIVE);
	char both[1200];

	(void)unused;
	assert_int_equal(play(&dev, STATUS, 80, RX("ff01a03f", hex_of(p, 70), hex_of(p + 70, n - 70), "00"), error),
			 EXCHANGE_ANSWERED);
	snprintf(both, sizeof(both), "%s%s", hex_of(q, m), hex_of(p, n));
	assert_int_equal(play(&dev, STATUS, 80, RX(both), error), EXCHANGE_ANSWERED);
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
}

static void a_refusal_says_why(void **unused)
{
	uint8_t p[8] = {1, 0x83, 2};
	const char *refusal = hex_of(p, add_crc(p, 3));

	(void)unused;
	assert_int_equal(play(&dev, STATUS, 80, RX(refusal), error), EXCHANGE_REFUSED);
	assert_string_equal(error, "illegal register address (exception 02)");
	/* What detection asks is never refused: that is for somebody else, and the answer may still come. */
	assert_int_equal(play(&dev, PROFILE, LIVE, RX(refusal), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: illegal register address (exception 02)");
	assert_int_equal(play(&dev, PROFILE, LIVE, RX(refusal, reply(PROFILE, LIVE)), error), EXCHANGE_ANSWERED);
}

static void values_that_no_board_has_are_not_believed(void **unused)
{
	(void)unused;
	put8(STATUS, 80, 101);
	assert_int_equal(ask(STATUS, 80), EXCHANGE_FAILED);
	put8(SUMMARY, 148, 25);
	assert_int_equal(ask(PROFILE, LIVE), EXCHANGE_FAILED);
	put8(SUMMARY, 148, 0);
	assert_int_equal(ask(PROFILE, LIVE), EXCHANGE_FAILED);
	nothing_was_taken();
}

static void address_0_finds_out_who_is_there(void **unused)
{
	(void)unused;
	assert_int_equal(play_tx(&dev, "00030000000185db", RX("05030205004ad4"), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_ADDRESS) == 5);
}

static void single_registers_are_decoded_as_the_blocks_are(void **unused)
{
	(void)unused;
	assert_int_equal(play_tx(&dev, "010300bf0001b5ee", RX("01030288139f89"), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_BMS_CCL_A) == 50);
	assert_int_equal(ask(112, 1), EXCHANGE_ANSWERED);
	assert_true(get(Q_TEMP_MOS_C) == 21);
	assert_int_equal(ask(75, 1), EXCHANGE_ANSWERED);
	assert_true(get(Q_CELL_COUNT) == 4);
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	assert_false(dev.reading.cell_V.reported);
}

/* ---- is it one? ---- */

static bool plausible(void)
{
	const char *why = NULL;

	device_free(&dev);
	dev = fresh_device("heltec-modbus", 1, 0);
	return ask(PROFILE, LIVE) == EXCHANGE_ANSWERED && ask(STATUS, 80) == EXCHANGE_ANSWERED &&
	       dev.protocol->plausible(&dev, &why);
}

static void a_board_is_recognised(void **unused)
{
	(void)unused;
	assert_true(plausible());
	put16(STATUS, 2 + 2, 0); /* a broken sense wire does not hide it */
	assert_true(plausible());
}

static void another_modbus_device_is_not_taken_for_one(void **unused)
{
	(void)unused;
	memset(board.p, 0, sizeof(board.p));
	assert_int_equal(ask(PROFILE, LIVE), EXCHANGE_REFUSED);
	assert_string_equal(error, "a Modbus device, but no YY board");
	nothing_was_taken();
	start_board();
	put_text(SUMMARY, 124, "SBDX");
	assert_int_equal(ask(PROFILE, LIVE), EXCHANGE_REFUSED);
	assert_int_equal(ask(SUMMARY, 79), EXCHANGE_REFUSED);
	nothing_was_taken();
}

static void a_board_that_contradicts_itself_is_not_recognised(void **unused)
{
	(void)unused;
	put8(SUMMARY, 149, 4);
	assert_false(plausible());
	start_board();
	put32(SUMMARY, 150, 20000);
	assert_false(plausible());
	start_board();
	for (unsigned i = 0; i < 4; i++)
		put16(STATUS, 2 + 2 * i, 0);
	assert_false(plausible());
	start_board();
	put8(SUMMARY, 148, 9);
	assert_false(plausible());
}

/* ---- commands ---- */

static size_t on_request(void *ctx, struct bytes request, uint8_t *rx)
{
	(void)ctx;
	if (board.silent || (board.silent_after_write && board.writes))
		return 0;
	if (u8_at(request, 1) == 3)
		return reply_to(rx, u8_at(request, 0), u16be_at(request, 2), u16be_at(request, 4));
	board.writes++;
	if (board.refuse) {
		const uint8_t no[] = {u8_at(request, 0), 0x86, 2};

		memcpy(rx, no, sizeof(no));
		return add_crc(rx, sizeof(no));
	}
	if (!board.ignore) {
		put8(STATUS, 80, u8_at(request, 4));
		put8(STATUS, 81, u8_at(request, 5));
	}
	if (board.deaf_to_writes || board.silent_after_write)
		return 0;
	memcpy(rx, request.p, request.n);
	return request.n;
}

static struct act command(enum command_kind kind, double value)
{
	const struct command c = {.kind = kind, .value = value, .experimental = true};

	return act(&dev, &c, on_request, NULL);
}

static void the_soc_is_written_and_read_back_and_the_soh_kept(void **unused)
{
	struct act a = command(COMMAND_SOC, 55);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "SoC reads back 55 %");
	assert_memory_equal(a.writes, "010600783762", 12);
	assert_int_equal(board.p[at(STATUS, 81)], 98);
	assert_int_equal(board.writes, 1);
}

static void a_refused_write_is_a_refusal(void **unused)
{
	(void)unused;
	board.refuse = true;
	struct act a = command(COMMAND_SOC, 55);

	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.outcome.say, "illegal register address (exception 02)");
}

static void a_write_without_effect_is_not_confirmed(void **unused)
{
	(void)unused;
	board.ignore = true;
	struct act a = command(COMMAND_SOC, 55);

	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the SoC reads back 75 %");
	assert_int_equal(board.writes, 1);
}

static void a_write_whose_acknowledgement_is_lost_is_judged_by_what_it_did(void **unused)
{
	(void)unused;
	board.deaf_to_writes = true;
	assert_int_equal(command(COMMAND_SOC, 60).outcome.result, COMMAND_DONE);
}

static void nothing_is_written_to_a_board_that_is_silent(void **unused)
{
	(void)unused;
	board.silent = true;
	struct act a = command(COMMAND_SOC, 55);

	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.writes, "");
	board.silent = false;
	board.silent_after_write = true;
	assert_int_equal(command(COMMAND_SOC, 55).outcome.result, COMMAND_UNCONFIRMED);
}

static void switches_do_not_exist(void **unused)
{
	(void)unused;
	assert_int_equal(command(COMMAND_CHARGE, 0).outcome.result, COMMAND_REFUSED);
	assert_int_equal(command(COMMAND_DISCHARGE, 0).outcome.result, COMMAND_REFUSED);
	assert_int_equal(command(COMMAND_BALANCE, 0).outcome.result, COMMAND_REFUSED);
	assert_int_equal(board.writes, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_are_those_of_the_sheet),
		TEST(polls_never_ask_for_the_pin),
		TEST(only_the_soc_can_be_written),
		TEST(requests_are_recognised_from_their_bytes),
		TEST(requests_to_other_makes_are_not_ours),
		TEST(every_field_is_told),
		TEST(settings_are_told),
		TEST(what_the_protocol_says_it_can_report_is_what_it_reports),
		TEST(the_pin_of_a_whole_summary_is_nowhere),
		TEST(positive_on_the_wire_is_discharge),
		TEST(numbers_that_mean_no_cell_are_none),
		TEST(there_are_as_many_cells_as_the_summary_says),
		TEST(sensors_that_are_not_there_are_unknown),
		TEST(a_capacity_of_zero_is_unknown),
		TEST(the_settings_do_not_overrule_the_learned_capacity),
		TEST(a_date_that_is_none_is_unknown),
		TEST(balancing_bits_are_cells),
		TEST(a_protection_takes_the_permission_not_the_switch),
		TEST(each_alarm_bit_means_what_the_sheet_says),
		TEST(full_and_empty_are_states),
		TEST(damaged_frames_are_no_reading),
		TEST(replies_of_others_are_no_answer),
		TEST(an_answer_is_found_in_noise_and_behind_a_late_one),
		TEST(a_refusal_says_why),
		TEST(values_that_no_board_has_are_not_believed),
		TEST(address_0_finds_out_who_is_there),
		TEST(single_registers_are_decoded_as_the_blocks_are),
		TEST(a_board_is_recognised),
		TEST(another_modbus_device_is_not_taken_for_one),
		TEST(a_board_that_contradicts_itself_is_not_recognised),
		TEST(the_soc_is_written_and_read_back_and_the_soh_kept),
		TEST(a_refused_write_is_a_refusal),
		TEST(a_write_without_effect_is_not_confirmed),
		TEST(a_write_whose_acknowledgement_is_lost_is_judged_by_what_it_did),
		TEST(nothing_is_written_to_a_board_that_is_silent),
		TEST(switches_do_not_exist),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
