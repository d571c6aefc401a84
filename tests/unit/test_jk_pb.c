/* SPDX-License-Identifier: GPL-3.0-or-later */
/* jk-pb on frames constructed from its sheet: trigger frames, Modbus, a bus that has a master. */
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
#include "engine/detect.h"
#include "engine/follow.h"
#include "engine/session.h"
#include "play.h"
#include "protocols/checksum.h"
#include "vline.h"

enum { STATUS = 0x1620, SETTINGS = 0x161e, ABOUT = 0x161c, CHARGE = 0x1070, DISCHARGE = 0x1074, BALANCE = 0x1078 };
enum { READ_MODEL = 0x0308, MODEL = 0x1400, FRAME = 300, ACK = 8, OVERHEARD = 1 };

/* ---- frames, built as the sheet has them ---- */

static void put16(uint8_t *f, unsigned off, int v)
{
	f[off] = (uint8_t)v;
	f[off + 1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *f, unsigned off, int64_t v)
{
	put16(f, off, (int)(v & 0xffff));
	put16(f, off + 2, (int)(v >> 16 & 0xffff));
}

static void start_frame(uint8_t *f, uint8_t type)
{
	memset(f, 0, FRAME);
	memcpy(f, "\x55\xaa\xeb\x90", 4);
	f[4] = type;
}

static void seal(uint8_t *f)
{
	f[299] = 0;
	for (int i = 0; i < 299; i++)
		f[299] = (uint8_t)(f[299] + f[i]);
}

static size_t add_crc(uint8_t *p, size_t n)
{
	uint16_t crc = crc16_modbus((struct bytes){p, n});

	p[n] = (uint8_t)crc;
	p[n + 1] = (uint8_t)(crc >> 8);
	return n + 2;
}

static size_t acknowledge(uint8_t *p, uint8_t address, uint16_t reg, uint8_t words)
{
	const uint8_t head[] = {address, 0x10, (uint8_t)(reg >> 8), (uint8_t)reg, 0, words};

	memcpy(p, head, sizeof(head));
	return add_crc(p, sizeof(head));
}

static size_t trigger(uint8_t *p, uint8_t address, uint16_t reg)
{
	const uint8_t head[] = {address, 0x10, (uint8_t)(reg >> 8), (uint8_t)reg, 0, 1, 2, 0, 0};

	memcpy(p, head, sizeof(head));
	return add_crc(p, sizeof(head));
}

/* The board of these tests: a 4S PB at address 1; a test changes what it is about. */
static struct board {
	uint8_t address, second; /* a second one of the same kind on the cable; 0: none */
	uint8_t status[FRAME], settings[FRAME], about[FRAME];
	/* what it does with writes, and faults */
	bool hold_charge, deaf, asleep, no_about, cold, no_status, no_settings;
	uint8_t exception;
	unsigned writes, triggers, reads;
} board;

static void start_board(void)
{
	memset(&board, 0, sizeof(board));
	board.address = 1;
	start_frame(board.status, 2);
	for (unsigned i = 0; i < 4; i++) {
		put16(board.status, 6 + 2 * i, 3320 + (int)i);
		put16(board.status, 80 + 2 * i, 60 + (int)i);
	}
	put32(board.status, 70, 0x0f);
	put16(board.status, 74, 3321);
	board.status[78] = 3;
	board.status[79] = 0;
	put16(board.status, 144, 267);
	put32(board.status, 150, 13286);
	put32(board.status, 158, -1500);
	put16(board.status, 162, 255);
	put16(board.status, 164, 253);
	board.status[173] = 81;
	put32(board.status, 174, 226800);
	put32(board.status, 178, 280000);
	put32(board.status, 182, 85);
	put32(board.status, 186, 26758990);
	board.status[190] = 98;
	put32(board.status, 194, 4321);
	board.status[198] = board.status[199] = 1;
	board.status[214] = 0xff;
	put16(board.status, 254, 267);
	put16(board.status, 256, 251);
	put16(board.status, 258, 249);

	start_frame(board.settings, 1);
	put32(board.settings, 10, 2600);
	put32(board.settings, 18, 3650);
	put32(board.settings, 38, 3500);
	put32(board.settings, 42, 3350);
	put32(board.settings, 50, 100000);
	put32(board.settings, 62, 150000);
	put32(board.settings, 98, -250);
	put32(board.settings, 114, 4);
	board.settings[118] = board.settings[122] = board.settings[126] = 1;
	put32(board.settings, 130, 314000);
	put32(board.settings, 142 + 4, 125);
	put32(board.settings, 270, 1);
	put16(board.settings, 282, 0x0210);
	board.settings[284] = (uint8_t)-5;

	start_frame(board.about, 3);
	memcpy(board.about + 6, "JK_PB2A16S20P", 13);
	memcpy(board.about + 22, "15A", 3);
	memcpy(board.about + 30, "15.41", 5);
	memcpy(board.about + 46, "Garage", 6);
	memcpy(board.about + 62, "s3cr3tA", 7);
	memcpy(board.about + 78, "241217", 6);
	memcpy(board.about + 86, "40904495590", 11);
	memcpy(board.about + 118, "s3cr3tB", 7);
	board.about[184] = 1;
	board.about[266] = 10;
}

static struct device dev;
static char error[128];

static int set_up(void **unused)
{
	(void)unused;
	start_board();
	dev = fresh_device("jk-pb", 1, 0);
	error[0] = 0;
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	device_free(&dev);
	return 0;
}

static const char *hex_of(const uint8_t *p, size_t n)
{
	static char hex[8][1600];
	static unsigned turn;
	char *out = hex[turn++ % 8];

	bytes_hex((struct bytes){p, n}, out, sizeof(hex[0]));
	return out;
}

/* Frame and acknowledgement, as the board sends them. */
static size_t answer(uint8_t *p, const uint8_t *frame, uint8_t address, uint16_t reg)
{
	memcpy(p, frame, FRAME);
	seal(p);
	return FRAME + acknowledge(p + FRAME, address, reg, 1);
}

static const uint8_t *frame_of(uint16_t reg)
{
	return reg == STATUS ? board.status : reg == SETTINGS ? board.settings : board.about;
}

static const char *reply(uint16_t reg)
{
	uint8_t p[320];

	return hex_of(p, answer(p, frame_of(reg), board.address, reg));
}

static enum exchange_state ask(uint16_t reg)
{
	return play(&dev, reg, 0, RX(reply(reg)), error);
}

static const struct reading *read_status(void)
{
	assert_int_equal(ask(STATUS), EXCHANGE_ANSWERED);
	return &dev.reading;
}

static const struct reading *read_all(void)
{
	assert_int_equal(ask(SETTINGS), EXCHANGE_ANSWERED);
	assert_int_equal(ask(ABOUT), EXCHANGE_ANSWERED);
	return read_status();
}

static double get(enum quantity q)
{
	return reading_get(&dev.reading, q);
}

static double setting(const char *name)
{
	return settings_number(&dev.settings, name);
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
	assert_string_equal(request_hex(&dev, STATUS, 0), "011016200001020000d6f1");
	assert_string_equal(request_hex(&dev, SETTINGS, 0), "0110161e0001020000d22f");
	assert_string_equal(request_hex(&dev, ABOUT, 0), "0110161c0001020000d3cd");
	assert_string_equal(request_hex(&dev, CHARGE, 1), "0110107000020400000001f88b");
	assert_string_equal(request_hex(&dev, CHARGE, 0), "0110107000020400000000394b");
	assert_string_equal(request_hex(&dev, DISCHARGE, 1), "0110107400020400000001f978");
	assert_string_equal(request_hex(&dev, DISCHARGE, 0), "011010740002040000000038b8");
	assert_string_equal(request_hex(&dev, BALANCE, 1), "0110107800020400000001f92d");
	assert_string_equal(request_hex(&dev, BALANCE, 0), "011010780002040000000038ed");
	assert_memory_equal(request_hex(&dev, READ_MODEL, MODEL), "010314000008", 12);
	dev.address = 3;
	assert_string_equal(request_hex(&dev, STATUS, 0), "031016200001020000cf91");
}

static void nothing_but_three_switches_can_be_written(void **unused)
{
	struct request r;

	(void)unused;
	for (unsigned code = 0; code <= 0xffff; code++) {
		bool trigger_code = code == STATUS || code == SETTINGS || code == ABOUT;
		bool read = (code & 0xff00) == 0x0300;
		bool can = dev.protocol->encode(&dev, (uint16_t)code, 0, &r);

		assert_int_equal(can, trigger_code || read || code == CHARGE || code == DISCHARGE || code == BALANCE);
		if (can)
			assert_int_equal(r.writes, !trigger_code && !read);
	}
}

static void requests_are_recognised_from_their_bytes(void **unused)
{
	static const uint16_t code[] = {STATUS, SETTINGS, ABOUT, CHARGE, DISCHARGE, BALANCE, READ_MODEL};

	(void)unused;
	for (size_t i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
		struct request r, again;
		uint16_t arg = code[i] == READ_MODEL ? MODEL : code[i] < MODEL ? 1 : 0;

		assert_true(dev.protocol->encode(&dev, code[i], arg, &r));
		assert_true(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
		assert_int_equal(again.code, code[i]);
		assert_int_equal(again.arg, arg);
		assert_int_equal(again.address, 1);
		assert_int_equal(again.dialect, 0);
		assert_int_equal(again.writes, r.writes);
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n - 1u}, &again));
		r.tx[r.n - 1] ^= 1;
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
	}
}

static void requests_to_other_makes_are_not_ours(void **unused)
{
	static const uint8_t head[][6] = {
		{0x01, 0x03, 0x13, 0x02, 0x00, 0x0a}, /* a register of another make */
		{0x01, 0x04, 0x12, 0x00, 0x00, 0x0a}, /* another function */
		{0x00, 0x03, 0x12, 0x00, 0x00, 0x0a}, /* addresses that no board has */
		{0x30, 0x03, 0x14, 0x00, 0x00, 0x08}, {0x01, 0x03, 0x00, 0x00, 0x00, 0x27},
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

static void every_field_of_the_status_is_told(void **unused)
{
	const struct reading *r = read_status();

	(void)unused;
	assert_true(get(Q_ADDRESS) == 1);
	assert_int_equal(r->cell_V.count, 4);
	assert_true(r->cell_V.value[3] == 3.323);
	assert_true(r->cell_resistance_ohm.value[2] == 0.062);
	assert_true(get(Q_CELL_COUNT) == 4);
	assert_true(get(Q_VOLTAGE_V) == 13.286);
	assert_true(get(Q_CURRENT_A) == -1.5);
	assert_true(get(Q_SOC_PCT) == 81);
	assert_true(get(Q_SOH_PCT) == 98);
	assert_true(get(Q_CAPACITY_REMAINING_AH) == 226.8);
	assert_true(get(Q_CAPACITY_FULL_AH) == 280);
	assert_true(get(Q_CYCLES) == 85);
	assert_true(get(Q_TOTAL_CHARGE_AH) == 26758.99);
	assert_true(get(Q_UPTIME_S) == 4321);
	assert_true(get(Q_TEMP_MOS_C) == 26.7);
	assert_true(get(Q_BALANCE_CURRENT_A) == 0);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_HEATER_ON), OFF);
	assert_int_equal(reading_flag(r, F_BALANCING_ACTIVE), OFF);
	assert_true(r->alarms.known);
	assert_int_equal(alarms_raised(&r->alarms), 0);
	assert_true(reading_detail(r, "cell_avg_V") == 3.321);
}

static void every_field_of_settings_and_about_is_told(void **unused)
{
	const struct reading *r = read_all();

	(void)unused;
	assert_true(setting("cell_ovp_V") == 3.65);
	assert_true(setting("charge_utp_C") == -25);
	assert_true(setting("heat_start_C") == -5);
	assert_true(setting("wire_calibration_2_mOhm") == 0.125);
	assert_true(isnan(setting("wire_calibration_5_mOhm"))); /* of four cells */
	assert_true(setting("control_bits") == 0x0210);
	assert_true(setting("display_always_on") == 1 && setting("charging_float_mode") == 1);
	assert_true(setting("gps_heartbeat") == 0);
	assert_true(setting("rcv_time_h") == 1);
	assert_string_equal(settings_find(&dev.settings, "device_name")->text, "Garage");
	assert_true(get(Q_CAPACITY_DESIGN_AH) == 314);
	assert_int_equal(reading_flag(r, F_BALANCE_ENABLED), ON);
	assert_string_equal(r->text[T_MODEL], "JK_PB2A16S20P");
	assert_string_equal(r->text[T_HARDWARE_VERSION], "15A");
	assert_string_equal(r->text[T_FIRMWARE_VERSION], "15.41");
	assert_string_equal(r->text[T_PRODUCTION_DATE], "241217");
	assert_string_equal(r->text[T_SERIAL_NUMBER], "40904495590");
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

static void passwords_are_nowhere(void **unused)
{
	const struct reading *r = read_all();

	(void)unused;
	for (unsigned i = 0; i < TEXT_COUNT; i++)
		assert_null(strstr(r->text[i], "s3cr3t"));
	for (unsigned i = 0; i < dev.settings.count; i++)
		assert_null(strstr(dev.settings.setting[i].text, "s3cr3t"));
}

static void all_details_and_settings_find_their_place(void **unused)
{
	(void)unused;
	put32(board.settings, 114, 32);
	memcpy(board.about + 30, "19.05", 5);
	read_all();
	assert_int_equal(ask(SETTINGS), EXCHANGE_ANSWERED);
	read_status();
	assert_true(reading_detail(&dev.reading, "dry_contact_bits") == 0);
	assert_true(setting("rebulk_soc_pct") == 0);
	assert_true(setting("discharge_utpr_C") == 0);
	assert_true(setting("wire_calibration_32_mOhm") == 0);
	assert_true(dev.settings.count < MAX_SETTINGS);
}

static void fields_of_newer_firmware_are_not_read_from_older(void **unused)
{
	(void)unused;
	read_status();
	assert_true(isnan(reading_detail(&dev.reading, "charge_status")));
	memcpy(board.about + 30, "14.20", 5);
	read_all();
	assert_true(isnan(reading_detail(&dev.reading, "charge_status")));
	memcpy(board.about + 30, "15.41", 5);
	read_all();
	assert_true(reading_detail(&dev.reading, "charge_status") == 0);
	assert_true(isnan(setting("discharge_utp_C")));
}

static void the_mask_says_which_cells_there_are(void **unused)
{
	(void)unused;
	put32(board.status, 70, 0x0b); /* cell 3 is missing */
	read_status();
	assert_true(get(Q_CELL_COUNT) == 3);
	assert_int_equal(dev.reading.cell_V.count, 4);
	assert_false(series_knows(&dev.reading.cell_V, 2));
	assert_true(dev.reading.cell_V.value[3] == 3.323);
	put32(board.status, 70, 0xffffffff);
	read_status();
	assert_true(get(Q_CELL_COUNT) == 32);
}

static void a_state_of_health_of_0_is_unknown(void **unused)
{
	(void)unused;
	board.status[190] = 0;
	read_status();
	assert_false(reading_knows(&dev.reading, Q_SOH_PCT));
}

static void temperatures_may_be_below_zero(void **unused)
{
	(void)unused;
	put16(board.status, 162, -55);
	put16(board.status, 144, -1);
	read_status();
	assert_true(dev.reading.temperatures.value[0] == -5.5);
	assert_true(get(Q_TEMP_MOS_C) == -0.1);
}

static void pb_boards_have_sensors_1_2_4_5(void **unused)
{
	const struct series *t = &read_all()->temperatures;

	(void)unused;
	assert_int_equal(t->count, 4);
	assert_true(t->value[0] == 25.5 && t->value[1] == 25.3 && t->value[2] == 25.1 && t->value[3] == 24.9);
}

static void other_boards_have_sensors_1_2_3(void **unused)
{
	const struct series *t;

	(void)unused;
	memcpy(board.about + 6, "JK_B2A8S20P\0\0", 13);
	put16(board.status, 254, 199);
	t = &read_all()->temperatures;
	assert_int_equal(t->count, 3);
	assert_true(t->value[2] == 19.9);
}

static void of_an_unknown_model_the_zeros_of_4_and_5_tell(void **unused)
{
	(void)unused;
	assert_int_equal(read_status()->temperatures.count, 4);
	put16(board.status, 256, 0);
	put16(board.status, 258, 0);
	assert_int_equal(read_status()->temperatures.count, 3);
	assert_int_equal(read_all()->temperatures.count, 2); /* a PB: neither 4, 5 nor 3 */
}

static void absent_sensors_are_unknown(void **unused)
{
	const struct series *t;

	(void)unused;
	put16(board.status, 164, -2000);
	t = &read_all()->temperatures;
	assert_int_equal(t->count, 4);
	assert_true(series_knows(t, 0) && !series_knows(t, 1) && series_knows(t, 2));
	board.status[214] = 0x02; /* T1 alone */
	t = &read_status()->temperatures;
	assert_int_equal(t->count, 1);
	assert_false(reading_knows(&dev.reading, Q_TEMP_MOS_C));
}

static void the_balanced_cell_follows_from_the_state(void **unused)
{
	static const struct {
		uint8_t state;
		uint64_t cells;
	} row[] = {{0, 0}, {1, 1u << 0}, {2, 1u << 3}, {7, 0}};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		board.status[172] = row[i].state;
		read_status();
		assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE) == ON, row[i].state != 0);
		assert_true(dev.reading.balancing_known);
		assert_true(dev.reading.balancing == row[i].cells);
	}
	board.status[172] = 2;
	board.status[78] = 200; /* no cell */
	assert_true(read_status()->balancing == 0);
	put16(board.status, 170, -2599);
	read_status();
	assert_true(get(Q_BALANCE_CURRENT_A) == -2.599);
}

static void byte_5_is_a_counter(void **unused)
{
	(void)unused;
	board.status[5] = 5;
	read_status();
}

static void the_serial_number_may_stand_in_the_name(void **unused)
{
	(void)unused;
	memset(board.about + 86, 0, 16);
	memcpy(board.about + 97, "0000", 4);
	assert_int_equal(ask(ABOUT), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "");
	memcpy(board.about + 46, "2032816012", 10);
	assert_int_equal(ask(ABOUT), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "2032816012");
}

static void the_byte_behind_the_model_is_no_text(void **unused)
{
	(void)unused;
	memcpy(board.about + 6, "JK_PB2A16S20P12", 15);
	board.about[21] = 16;
	assert_int_equal(ask(ABOUT), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_MODEL], "JK_PB2A16S20P12");
}

/* ---- limits ---- */

static void limits_come_from_the_settings(void **unused)
{
	(void)unused;
	read_status();
	assert_false(reading_knows(&dev.reading, Q_BMS_CCL_A)); /* not known before */
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), UNKNOWN);
	read_all();
	assert_true(get(Q_BMS_CCL_A) == 100);
	assert_true(get(Q_BMS_DCL_A) == 150);
	assert_true(get(Q_BMS_CVL_V) == 14.0);
	assert_true(get(Q_BMS_DVL_V) == 10.4);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), ON);
}

static void in_float_the_other_voltage_is_asked_for(void **unused)
{
	(void)unused;
	board.status[280] = 2;
	read_all();
	assert_true(get(Q_BMS_CVL_V) == 13.4);
	put32(board.settings, 42, 0);
	read_all();
	assert_true(get(Q_BMS_CVL_V) == 14.0);
	put32(board.settings, 38, 0);
	read_all();
	assert_false(reading_knows(&dev.reading, Q_BMS_CVL_V)); /* this board asks for none */
}

static void a_switch_that_is_off_allows_0_A(void **unused)
{
	(void)unused;
	board.settings[118] = 0;
	board.status[198] = 0;
	read_all();
	assert_true(get(Q_BMS_CCL_A) == 0);
	assert_true(get(Q_BMS_DCL_A) == 150);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), OFF);
	board.settings[122] = 0;
	read_all();
	assert_true(get(Q_BMS_DCL_A) == 0);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), OFF);
}

static void a_mos_that_a_protection_holds_off_allows_0_A(void **unused)
{
	(void)unused;
	board.status[199] = 0;
	read_all();
	assert_true(get(Q_BMS_DCL_A) == 0);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), ON);
	assert_true(get(Q_BMS_CCL_A) == 100);
}

static void an_alarm_stops_what_it_is_about(void **unused)
{
	static const uint32_t both = 1u << 1;
	static const uint32_t charge = 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 9 | 1u << 16;
	static const uint32_t discharge = 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 15 | 1u << 17 | 1u << 24 |
					  1u << 25 | 1u << 26 | 1u << 27;

	(void)unused;
	read_all();
	for (unsigned bit = 0; bit < 32; bit++) {
		put32(board.status, 166, (int64_t)1 << bit);
		read_status();
		assert_true((get(Q_BMS_CCL_A) == 0) == ((both | charge) >> bit & 1));
		assert_true((get(Q_BMS_DCL_A) == 0) == ((both | discharge) >> bit & 1));
		assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED) == OFF, (both | charge) >> bit & 1);
	}
	put32(board.status, 166, 0);
	read_status();
	assert_true(get(Q_BMS_CCL_A) == 100 && get(Q_BMS_DCL_A) == 150);
}

/* ---- alarms ---- */

static enum alarm_level own_level(const struct alarms *a, const char *name)
{
	for (unsigned i = 0; i < a->own_count; i++)
		if (!strcmp(a->own[i].name, name))
			return a->own[i].level;
	return ALARM_OK;
}

static void each_alarm_bit_means_what_the_sheet_says(void **unused)
{
	static const struct {
		enum alarm_level level;
		enum alarm alarm, second;
		const char *own;
	} row[32] = {
		{ALARM_WARNING, ALARM_COUNT, ALARM_COUNT, "wire_resistance"},
		{ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_COUNT, NULL},
		{ALARM_RAISED, ALARM_INTERNAL_FAILURE, ALARM_COUNT, "cell_count_mismatch"},
		{ALARM_RAISED, ALARM_INTERNAL_FAILURE, ALARM_COUNT, "current_sensor_fault"},
		{ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, ALARM_COUNT, NULL},
		{ALARM_RAISED, ALARM_HIGH_VOLTAGE, ALARM_COUNT, NULL},
		{ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, ALARM_COUNT, NULL},
		{ALARM_RAISED, ALARM_SHORT_CIRCUIT, ALARM_HIGH_CHARGE_CURRENT, NULL},
		{ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_COUNT, NULL},
		{ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, ALARM_COUNT, NULL},
		{ALARM_RAISED, ALARM_INTERNAL_FAILURE, ALARM_COUNT, "coprocessor_comm_fault"},
		{ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, ALARM_COUNT, NULL},
		{ALARM_RAISED, ALARM_LOW_VOLTAGE, ALARM_COUNT, NULL},
		{ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT, NULL},
		{ALARM_RAISED, ALARM_SHORT_CIRCUIT, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
		{ALARM_RAISED, ALARM_HIGH_TEMPERATURE, ALARM_COUNT, NULL},
		{ALARM_RAISED, ALARM_INTERNAL_FAILURE, ALARM_COUNT, "charge_mos_fault"},
		{ALARM_RAISED, ALARM_INTERNAL_FAILURE, ALARM_COUNT, "discharge_mos_fault"},
		{ALARM_WARNING, ALARM_COUNT, ALARM_COUNT, "gps_disconnected"},
		{ALARM_OK, ALARM_COUNT, ALARM_COUNT, NULL}, /* the factory password is still set: no alarm */
		{ALARM_WARNING, ALARM_COUNT, ALARM_COUNT, "discharge_on_failed"},
		{ALARM_WARNING, ALARM_HIGH_TEMPERATURE, ALARM_COUNT, NULL},
		{ALARM_WARNING, ALARM_COUNT, ALARM_COUNT, "temp_sensor_fault"},
		{ALARM_WARNING, ALARM_COUNT, ALARM_COUNT, "pcl_module_fault"},
		{ALARM_RAISED, ALARM_COUNT, ALARM_COUNT, "scp_release_failed"},
		{ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT, NULL},
		{ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT, NULL},
		{ALARM_RAISED, ALARM_LOW_TEMPERATURE, ALARM_COUNT, NULL},
		{ALARM_WARNING, ALARM_COUNT, ALARM_COUNT, "gps_remote_lock"},
		{ALARM_OK, ALARM_COUNT, ALARM_COUNT, NULL},
		{ALARM_OK, ALARM_COUNT, ALARM_COUNT, NULL},
		{ALARM_OK, ALARM_COUNT, ALARM_COUNT, NULL},
	};
	uint32_t seen = 0;

	(void)unused;
	for (unsigned bit = 0; bit < 32; bit++) {
		put32(board.status, 166, (int64_t)1 << bit);
		const struct alarms *a = &read_status()->alarms;
		unsigned expected =
			(row[bit].alarm != ALARM_COUNT) + (row[bit].second != ALARM_COUNT) + (row[bit].own != NULL);

		assert_true(a->known);
		assert_int_equal(alarms_raised(a), expected);
		if (row[bit].alarm != ALARM_COUNT) {
			assert_int_equal(a->level[row[bit].alarm], row[bit].level);
			seen |= 1u << row[bit].alarm;
		}
		if (row[bit].second != ALARM_COUNT)
			assert_int_equal(a->level[row[bit].second], row[bit].level);
		if (row[bit].own)
			assert_int_equal(own_level(a, row[bit].own), row[bit].level);
		assert_true(reading_detail(&dev.reading, "alarm_bits") == (double)(1u << bit));
	}
	assert_true(seen == (dev.protocol->alarms & ~(uint32_t)0));
}

static void a_cell_at_its_limit_is_a_warning_at_the_end_of_a_charge(void **unused)
{
	static const struct {
		int current_mA;
		uint8_t soc;
		enum alarm_level level;
	} row[] = {
		{5000, 100, ALARM_WARNING}, {5000, 95, ALARM_WARNING}, {0, 100, ALARM_WARNING},
		{5000, 94, ALARM_RAISED},   {-386, 99, ALARM_RAISED},
	};

	(void)unused;
	put32(board.status, 166, 1 << 4);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		put32(board.status, 158, row[i].current_mA);
		board.status[173] = row[i].soc;
		assert_int_equal(read_status()->alarms.level[ALARM_HIGH_CELL_VOLTAGE], row[i].level);
	}
}

/* ---- whose answer it is ---- */

static void padding_and_part_of_an_echo_are_passed_over(void **unused)
{
	uint8_t p[340], whole[320];
	size_t n = answer(whole, board.status, 1, STATUS);

	(void)unused;
	for (size_t stray = 0; stray <= 2; stray++) {
		memset(p, 0, sizeof(p));
		memcpy(p, "\x00\x01\x02\x00\x00", 5);
		memcpy(p + 5, whole, FRAME);
		memcpy(p + 5 + FRAME + stray, whole + FRAME, ACK);
		assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(p, 5 + n + stray + 1)), error), EXCHANGE_ANSWERED);
	}
}

static void the_whole_echo_before_the_answer_is_passed_over(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, STATUS, 0, RX("011016200001020000d6f1", reply(STATUS)), error), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, STATUS, 0, RX("00011016200001020000d6f1", reply(STATUS)), error),
			 EXCHANGE_ANSWERED);
}

static void the_echo_alone_is_no_answer(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, STATUS, 0, RX("011016200001020000d6f1"), error), EXCHANGE_FAILED);
	assert_string_equal(error, "no reply, only our own bytes came back");
	nothing_was_taken();
}

static void the_acknowledgement_must_name_who_was_asked(void **unused)
{
	uint8_t p[320];

	(void)unused;
	assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(p, answer(p, board.status, 2, STATUS))), error),
			 EXCHANGE_FAILED);
	nothing_was_taken();
}

static void the_acknowledgement_must_name_what_was_asked(void **unused)
{
	uint8_t p[320];

	(void)unused;
	assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(p, answer(p, board.status, 1, SETTINGS))), error),
			 EXCHANGE_FAILED);
	assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(p, answer(p, board.settings, 1, STATUS))), error),
			 EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: a frame of another type than asked for");
	nothing_was_taken();
}

static void without_its_acknowledgement_a_frame_is_nobodys(void **unused)
{
	uint8_t p[320];
	size_t n = answer(p, board.status, 1, STATUS);

	(void)unused;
	for (size_t cut = FRAME; cut < n; cut++) {
		assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(p, cut)), error), EXCHANGE_FAILED);
		assert_string_equal(error,
				    "reply rejected: no acknowledgement behind the frame: it could be any board's");
	}
	p[n - 1] ^= 1;
	assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(p, n)), error), EXCHANGE_FAILED);
	nothing_was_taken();
}

static void an_acknowledgement_that_comes_after_a_silence_is_too_late(void **unused)
{
	struct exchange x;
	struct line_stats count = {0};
	struct request r;
	uint8_t p[320];
	size_t n = answer(p, board.status, 1, STATUS);

	(void)unused;
	assert_true(dev.protocol->encode(&dev, STATUS, 0, &r));
	exchange_begin(&x, &dev, &r, &count, 1000, 1);
	exchange_receive(&x, (struct bytes){p, FRAME}, 1040);
	exchange_tick(&x, 1040 + r.gap_ms);
	exchange_receive(&x, (struct bytes){p + FRAME, n - FRAME}, 1200);
	exchange_tick(&x, 2000);
	assert_int_equal(x.state, EXCHANGE_FAILED);
	nothing_was_taken();
}

static void an_acknowledgement_alone_is_no_answer(void **unused)
{
	uint8_t p[16];

	(void)unused;
	assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(p, acknowledge(p, 1, STATUS, 1))), error), EXCHANGE_FAILED);
	nothing_was_taken();
}

static void a_wrong_sum_is_dropped(void **unused)
{
	uint8_t p[320];
	size_t n = answer(p, board.status, 1, STATUS);

	(void)unused;
	p[160] ^= 0x10;
	assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(p, n)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: checksum");
	nothing_was_taken();
}

static void a_reply_cut_anywhere_is_dropped(void **unused)
{
	uint8_t p[320];
	size_t n = answer(p, board.status, 1, STATUS);

	(void)unused;
	for (size_t cut = 0; cut < n; cut += cut < 280 ? 8 : 1)
		assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(p, cut)), error), EXCHANGE_FAILED);
	/* Bytes lost in the middle. */
	memmove(p + 128, p + 141, n - 141);
	assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(p, n - 13)), error), EXCHANGE_FAILED);
	nothing_was_taken();
}

static void noise_with_a_start_mark_in_it_only_delays_the_answer(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, STATUS, 0, RX("55aa55a0ff5555aaeb", reply(STATUS)), error), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, STATUS, 0, RX("55aaeb9002", reply(STATUS)), error), EXCHANGE_ANSWERED);
}

static void a_new_frame_inside_a_damaged_one_is_found(void **unused)
{
	uint8_t p[320];

	(void)unused;
	answer(p, board.status, 1, STATUS);
	assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(p, 287), reply(STATUS)), error), EXCHANGE_ANSWERED);
}

static void of_two_answers_glued_together_only_ones_own_is_taken(void **unused)
{
	uint8_t p[320];

	(void)unused;
	board.status[173] = 12;
	const char *other = hex_of(p, answer(p, board.status, 2, STATUS));

	board.status[173] = 81;
	assert_int_equal(play(&dev, STATUS, 0, RX(other, reply(STATUS)), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_SOC_PCT) == 81);
	assert_int_equal(play(&dev, STATUS, 0, RX(reply(STATUS), other), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_SOC_PCT) == 81);
}

static void frames_that_no_board_sends_are_refused(void **unused)
{
	(void)unused;
	put32(board.status, 70, 0);
	assert_int_equal(ask(STATUS), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: no cell in the mask");
	put32(board.status, 70, 0x0f);
	board.status[173] = 101;
	assert_int_equal(ask(STATUS), EXCHANGE_FAILED);
	board.status[173] = 81;
	put16(board.status, 8, 5001);
	assert_int_equal(ask(STATUS), EXCHANGE_FAILED);
	put32(board.settings, 114, 33);
	assert_int_equal(ask(SETTINGS), EXCHANGE_FAILED);
	put32(board.settings, 114, 4);
	put32(board.settings, 18, 5001);
	assert_int_equal(ask(SETTINGS), EXCHANGE_FAILED);
	board.about[6] = 'X';
	assert_int_equal(ask(ABOUT), EXCHANGE_FAILED);
	nothing_was_taken();
}

/* ---- Modbus ---- */

static const char *model_reply(const char *model)
{
	uint8_t p[32] = {board.address, 0x03, 16};

	memcpy(p + 3, model, strlen(model));
	return hex_of(p, add_crc(p, 19));
}

static void the_model_is_read_by_modbus(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, READ_MODEL, MODEL, RX(model_reply("JK_PB2A16S20P")), error), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_MODEL], "JK_PB2A16S20P");
	assert_string_equal(dev.reading.text[T_HARDWARE_VERSION], ""); /* was not read */
}

static void another_modbus_device_is_a_refusal(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, READ_MODEL, MODEL, RX(model_reply("METER")), error), EXCHANGE_REFUSED);
	assert_int_equal(play(&dev, READ_MODEL, MODEL, RX("018302c0f1"), error), EXCHANGE_REFUSED);
	nothing_was_taken();
}

static void a_late_frame_is_no_modbus_reply(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, READ_MODEL, MODEL, RX(reply(STATUS)), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, CHARGE, 1, RX(reply(STATUS)), error), EXCHANGE_FAILED);
	nothing_was_taken();
	assert_int_equal(play(&dev, READ_MODEL, MODEL, RX(reply(STATUS), model_reply("JK_B2A8S20P")), error),
			 EXCHANGE_ANSWERED);
}

static void a_stale_acknowledgement_is_not_that_of_a_write(void **unused)
{
	uint8_t p[16];

	(void)unused;
	assert_int_equal(play(&dev, BALANCE, 1, RX(hex_of(p, acknowledge(p, 1, STATUS, 1))), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, BALANCE, 1, RX(hex_of(p, acknowledge(p, 1, CHARGE, 2))), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, BALANCE, 1, RX(hex_of(p, acknowledge(p, 2, BALANCE, 2))), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, BALANCE, 1, RX(hex_of(p, acknowledge(p, 1, BALANCE, 2))), error),
			 EXCHANGE_ANSWERED);
}

static void the_boards_own_meaning_of_exception_4_is_told(void **unused)
{
	uint8_t p[8] = {0x01, 0x90, 0x04};

	(void)unused;
	assert_int_equal(play(&dev, CHARGE, 1, RX(hex_of(p, add_crc(p, 3))), error), EXCHANGE_REFUSED);
	assert_string_equal(error, "the board found our checksum wrong (exception 04)");
}

/* ---- commands ---- */

static uint16_t switch_off(uint16_t reg)
{
	return reg == CHARGE ? 118 : reg == DISCHARGE ? 122 : 126;
}

static size_t write_switch(uint8_t address, uint16_t reg, uint8_t on, uint8_t *rx)
{
	board.writes++;
	if (board.exception) {
		rx[0] = address;
		rx[1] = 0x90;
		rx[2] = board.exception;
		return add_crc(rx, 3);
	}
	if (!board.deaf) {
		board.settings[switch_off(reg)] = on;
		if (reg == CHARGE)
			board.status[198] = on && !board.hold_charge;
		if (reg == DISCHARGE)
			board.status[199] = on;
	}
	return acknowledge(rx, address, reg, 2);
}

static size_t on_request(void *ctx, struct bytes r, uint8_t *rx)
{
	uint16_t reg = u16be_at(r, 2);
	uint8_t address = u8_at(r, 0);

	(void)ctx;
	if (board.asleep || (address != board.address && address != board.second) || r.n < 8)
		return 0;
	if (u8_at(r, 1) == 3 && reg == MODEL) {
		board.reads++;
		if (board.cold)
			return 0;
		memset(rx, 0, 19);
		rx[0] = address;
		rx[1] = 3;
		rx[2] = 16;
		memcpy(rx + 3, board.about + 6, 16);
		return add_crc(rx, 19);
	}
	if (u8_at(r, 1) != 0x10)
		return 0;
	if (reg == CHARGE || reg == DISCHARGE || reg == BALANCE)
		return write_switch(address, reg, u8_at(r, 10), rx);
	board.triggers++;
	if ((reg == ABOUT && board.no_about) || (reg == STATUS && board.no_status) ||
	    (reg == SETTINGS && board.no_settings))
		return 0;
	return answer(rx, frame_of(reg), address, reg);
}

static struct act do_command(enum command_kind kind, double value)
{
	struct command c = {.kind = kind, .value = value};

	return act(&dev, &c, on_request, NULL);
}

static void each_switch_is_written_acknowledged_and_read_back(void **unused)
{
	static const enum command_kind kind[] = {COMMAND_CHARGE, COMMAND_DISCHARGE, COMMAND_BALANCE};
	static const uint16_t reg[] = {CHARGE, DISCHARGE, BALANCE};

	(void)unused;
	for (size_t i = 0; i < 3; i++) {
		for (int on = 0; on <= 1; on++) {
			board.writes = 0;
			struct act a = do_command(kind[i], on);

			assert_int_equal(a.outcome.result, COMMAND_DONE);
			assert_int_equal(board.writes, 1);
			assert_int_equal(board.settings[switch_off(reg[i])], on);
			if (kind[i] != COMMAND_BALANCE)
				assert_true(a.waited_ms >= 1000);
		}
	}
}

static void what_the_board_refuses_is_refused_with_its_reason(void **unused)
{
	struct act a;

	(void)unused;
	board.exception = 3;
	a = do_command(COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.outcome.say, "illegal value (exception 03)");
	assert_int_equal(board.writes, 1);
}

static void a_write_without_effect_is_not_confirmed(void **unused)
{
	struct act a;

	(void)unused;
	board.deaf = true;
	a = do_command(COMMAND_DISCHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the discharge switch does not read back off");
	assert_int_equal(board.writes, 1);
}

static void a_mos_that_a_protection_holds_off_is_named(void **unused)
{
	struct act a;

	(void)unused;
	board.settings[118] = board.status[198] = 0;
	board.hold_charge = true;
	put32(board.status, 166, 1 << 9);
	a = do_command(COMMAND_CHARGE, 1);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say,
			    "the switch is on, but a protection holds the charge MOS off: low_charge_temperature");
	assert_true(a.waited_ms >= 2000);
	assert_int_equal(board.writes, 1);
}

static void without_a_fresh_status_no_mos_is_confirmed(void **unused)
{
	(void)unused;
	read_all(); /* the MOS was on, but that was before */
	board.no_status = true;
	assert_int_equal(do_command(COMMAND_CHARGE, 1).outcome.result, COMMAND_UNCONFIRMED);
	board.no_settings = true;
	assert_int_equal(do_command(COMMAND_BALANCE, 1).outcome.result, COMMAND_UNCONFIRMED);
}

static void a_silent_board_leaves_a_command_unconfirmed(void **unused)
{
	struct act a;

	(void)unused;
	board.asleep = true;
	a = do_command(COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the board does not answer the read-back");
}

static void the_soc_cannot_be_set_here(void **unused)
{
	struct act a = do_command(COMMAND_SOC, 100);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_int_equal(a.requests, 0);
	assert_false(dev.protocol->commands >> COMMAND_SOC & 1);
}

/* ---- a bus that has a master ---- */

static struct follow heard;
static uint64_t cycles;

static void on_cycle(void *ctx, struct follow_device *d, uint64_t now_ms)
{
	(void)ctx;
	(void)d;
	(void)now_ms;
	cycles++;
}

static void start_listening(void)
{
	assert_true(follow_init(&heard, dev.protocol, NULL));
	heard.cycle = on_cycle;
	cycles = 0;
	follow_sent(&heard, (struct bytes){NULL, 0}, 0);
}

static void on_the_bus(const uint8_t *p, size_t n)
{
	for (size_t done = 0; done < n; done += 32)
		follow_received(&heard, bytes_sub((struct bytes){p, n}, done, 32), 0);
}

static void poll_heard(uint8_t address, uint16_t reg)
{
	uint8_t p[16];

	on_the_bus(p, trigger(p, address, reg));
}

static void answer_heard(uint8_t address, uint16_t reg)
{
	uint8_t p[320];

	on_the_bus(p, answer(p, frame_of(reg), address, reg));
}

static void own_frame_heard(uint16_t reg)
{
	uint8_t p[320];

	answer(p, frame_of(reg), 0, reg);
	on_the_bus(p, FRAME);
}

static const struct device *listened_to(uint8_t address)
{
	for (unsigned i = 0; i < heard.device_count; i++)
		if (heard.device[i].dev.address == address)
			return &heard.device[i].dev;
	return NULL;
}

static void the_boards_of_a_master_are_told_apart_by_their_acknowledgements(void **unused)
{
	(void)unused;
	start_listening();
	poll_heard(3, STATUS);
	answer_heard(3, STATUS);
	poll_heard(3, SETTINGS);
	answer_heard(3, SETTINGS);
	poll_heard(4, STATUS);
	poll_heard(5, STATUS);
	board.status[173] = 55;
	answer_heard(5, STATUS);
	poll_heard(5, SETTINGS);
	answer_heard(5, SETTINGS);
	assert_int_equal(heard.device_count, 2);
	assert_true(reading_get(&listened_to(3)->reading, Q_SOC_PCT) == 81);
	assert_true(reading_get(&listened_to(3)->reading, Q_ADDRESS) == 3);
	assert_true(reading_get(&listened_to(3)->reading, Q_BMS_CCL_A) == 100);
	assert_true(reading_get(&listened_to(5)->reading, Q_SOC_PCT) == 55);
	follow_flush(&heard, 0);
	assert_int_equal(cycles, 2); /* both have told all that a reading needs */
	follow_free(&heard);
}

static void the_masters_own_frames_are_address_0(void **unused)
{
	(void)unused;
	start_listening();
	put32(board.settings, 270, 0);
	poll_heard(14, STATUS);
	poll_heard(15, STATUS); /* nobody is there */
	own_frame_heard(STATUS);
	poll_heard(1, SETTINGS);
	own_frame_heard(SETTINGS);
	poll_heard(1, STATUS);
	assert_int_equal(heard.device_count, 1);
	assert_non_null(listened_to(0));
	assert_true(reading_get(&listened_to(0)->reading, Q_SOC_PCT) == 81);
	assert_true(reading_get(&listened_to(0)->reading, Q_BMS_CCL_A) == 100);
	follow_free(&heard);
}

static void who_joins_late_still_learns_whose_frame_it_was(void **unused)
{
	uint8_t p[320];
	size_t n = answer(p, board.status, 7, STATUS);

	(void)unused;
	start_listening();
	on_the_bus(p + 200, n - 200); /* the end of an answer */
	answer_heard(6, STATUS);      /* its request was not heard */
	assert_int_equal(heard.device_count, 1);
	assert_non_null(listened_to(6));
	follow_free(&heard);
}

static void where_an_acknowledgement_got_lost_nobody_is_guessed(void **unused)
{
	(void)unused;
	start_listening();
	poll_heard(3, STATUS);
	answer_heard(3, STATUS);
	board.status[173] = 12;
	poll_heard(3, STATUS);
	own_frame_heard(STATUS); /* of 3, or the master's? */
	poll_heard(4, STATUS);
	assert_int_equal(heard.device_count, 1);
	assert_true(reading_get(&listened_to(3)->reading, Q_SOC_PCT) == 81);
	/* Settings hold their address. */
	put32(board.settings, 270, 3);
	own_frame_heard(SETTINGS);
	poll_heard(4, SETTINGS);
	assert_int_equal(heard.device_count, 1);
	assert_true(reading_get(&listened_to(3)->reading, Q_CAPACITY_DESIGN_AH) == 314);
	follow_free(&heard);
}

static void damaged_frames_on_the_bus_are_nobodys(void **unused)
{
	uint8_t p[340], whole[320];

	(void)unused;
	start_listening();
	poll_heard(3, STATUS);
	size_t n = answer(p, board.status, 3, STATUS);
	p[20] ^= 1;
	on_the_bus(p, n);
	/* An acknowledgement of something else behind the frame. */
	n = answer(p, board.status, 3, SETTINGS);
	on_the_bus(p, n);
	/* Cut short, and the next one behind it. */
	answer(p, board.status, 3, STATUS);
	on_the_bus(p, 128);
	poll_heard(4, STATUS);
	n = answer(whole, board.status, 4, STATUS);
	on_the_bus(whole, n);
	on_the_bus(whole, n);
	assert_int_equal(heard.device_count, 1);
	assert_non_null(listened_to(4));
	follow_free(&heard);
}

static enum heard overhear(void *listen, const uint8_t *p, size_t n, struct request *as)
{
	return dev.protocol->overhear(listen, (struct bytes){p, n}, as);
}

static void a_poll_shows_a_master_but_the_echo_of_our_probe_does_not(void **unused)
{
	uint64_t listen[8] = {0};
	struct request as;
	uint8_t p[320];

	(void)unused;
	assert_true(dev.protocol->listen_size <= sizeof(listen));
	assert_int_equal(overhear(listen, p, trigger(p, 1, ABOUT), &as), HEARD_NOTHING);
	/* So does what it brings, when it comes too late for the probe. */
	assert_int_equal(overhear(listen, p, answer(p, board.about, 1, ABOUT), &as), HEARD_NOTHING);
	assert_int_equal(overhear(listen, p, acknowledge(p, 1, STATUS, 1), &as), HEARD_NOTHING);
	assert_int_equal(overhear(listen, p, trigger(p, 1, STATUS), &as), HEARD_MASTER);
	assert_int_equal(overhear(listen, p, trigger(p, 15, SETTINGS), &as), HEARD_MASTER);
	assert_int_equal(overhear(listen, p, answer(p, board.about, 1, ABOUT), &as), HEARD_ANSWER);
	assert_int_equal(as.code, ABOUT);
	assert_int_equal(as.address, 1);
	assert_int_equal(as.dialect, OVERHEARD);
	assert_int_equal(as.arg, 0);
}

/* ---- detection and sessions on a line ---- */

static struct vline line;
static struct line_stats stats;
static const char *foreign; /* what a Modbus device of another kind at address 1 answers to reads; NULL: none */

static void on_line(void *ctx, struct vline *v, struct bytes request)
{
	uint8_t rx[MAX_FRAME];

	(void)ctx;
	if (foreign) {
		if (u8_at(request, 0) == 1 && u8_at(request, 1) == 3)
			vline_reply(v, foreign, 30);
		return;
	}
	vline_reply_bytes(v, (struct bytes){rx, on_request(NULL, request, rx)}, 38);
}

static void send_on_line(void *ctx, const struct request *request)
{
	(void)ctx;
	vline_send(&line, (struct bytes){request->tx, request->n});
}

static void set_line(void *ctx, const struct line *l)
{
	(void)ctx;
	line.line = *l;
}

static struct detect *start_detection(vline_device device)
{
	struct detect_io io = {send_on_line, set_line, NULL};

	line = (struct vline){
		.now_ms = 1, .connected = device != NULL, .device = device, .device_line = {115200, 8, 'N', 1}};
	struct detect *d = detect_new(protocols_all(), NULL, NULL, 0, NULL, io, &stats);

	assert_non_null(d);
	detect_start(d, line.now_ms);
	return d;
}

static void run(struct detect *d, unsigned sweeps, uint64_t until_ms)
{
	struct vline_event e;

	while (detect_state(d) != DETECT_FOUND && detect_sweeps(d) < sweeps) {
		uint64_t at = detect_deadline(d) < vline_next(&line) ? detect_deadline(d) : vline_next(&line);

		if (at > until_ms)
			return;
		line.now_ms = at > line.now_ms ? at : line.now_ms;
		while (vline_take(&line, &e))
			detect_receive(d, (struct bytes){e.bytes, e.n}, line.now_ms);
		detect_tick(d, line.now_ms);
	}
}

static struct device found_device(struct detect *d, bool *listening)
{
	assert_int_equal(detect_state(d), DETECT_FOUND);
	struct device found = detect_take(d, listening);

	assert_string_equal(found.protocol->id, "jk-pb");
	detect_free(d);
	return found;
}

static void a_board_on_its_line_is_found_at_once(void **unused)
{
	struct detect *d = start_detection(on_line);
	bool listening;

	(void)unused;
	run(d, 3, 60000);
	assert_in_range(line.now_ms, 0, 600); /* time of the line, not of a clock */
	struct device found = found_device(d, &listening);
	assert_false(listening);
	assert_string_equal(found.reading.text[T_MODEL], "JK_PB2A16S20P");
	assert_int_equal(board.writes, 0);
	device_free(&found);
}

static void a_board_that_answers_triggers_alone_is_found_in_the_same_sweep(void **unused)
{
	struct detect *d;
	bool listening;

	(void)unused;
	board.cold = true;
	d = start_detection(on_line);
	run(d, 1, 60000);
	struct device found = found_device(d, &listening);
	device_free(&found);
	assert_int_equal(board.reads, 2);
}

static void a_board_at_another_address_is_found_by_patience(void **unused)
{
	struct detect *d;
	bool listening;

	(void)unused;
	board.address = 9;
	d = start_detection(on_line);
	run(d, 3, 60000);
	struct device found = found_device(d, &listening);
	assert_int_equal(found.address, 9);
	device_free(&found);
}

static void a_foreign_modbus_device_is_never_sent_a_trigger(void **unused)
{
	const char *const answers[] = {"018302c0f1", model_reply("METER")};

	(void)unused;
	for (size_t i = 0; i < 2; i++) {
		foreign = answers[i];
		struct detect *d = start_detection(on_line);

		run(d, 3, 120000);
		foreign = NULL;
		assert_int_equal(detect_state(d), DETECT_RUNNING);
		assert_non_null(strstr(line.log, " 010314000008"));
		assert_null(strstr(line.log, " 0110161c"));
		detect_free(d);
	}
}

static void a_silent_line_is_sent_nothing_but_reads_and_the_last_probe(void **unused)
{
	struct detect *d = start_detection(NULL);

	(void)unused;
	run(d, 1, 60000);
	assert_in_range(line.now_ms, 1, 5000);
	assert_non_null(strstr(line.log, " 010314000008"));
	assert_non_null(strstr(line.log, " 0110161c"));
	assert_null(strstr(line.log, " 01101620"));
	assert_null(strstr(line.log, " 011010"));
	detect_free(d);
}

static void an_echo_is_no_master(void **unused)
{
	struct detect *d;

	(void)unused;
	d = start_detection(NULL);
	line.connected = true;
	line.device = NULL;
	struct vline_event e;
	unsigned sent = 0;

	while (detect_sweeps(d) < 2 && line.now_ms < 60000) {
		uint64_t at = detect_deadline(d) < vline_next(&line) ? detect_deadline(d) : vline_next(&line);

		line.now_ms = at > line.now_ms ? at : line.now_ms;
		for (; sent < line.sent; sent++) { /* what went out last comes back */
			uint8_t back[400];
			const char *last = strrchr(line.log, ' ');
			char hex[800];

			snprintf(hex, sizeof(hex), "%.*s", (int)strcspn(last + 1, "\n"), last + 1);
			int n = bytes_from_hex(hex, back, sizeof(back));
			detect_receive(d, (struct bytes){back, (size_t)n}, line.now_ms);
		}
		while (vline_take(&line, &e))
			detect_receive(d, (struct bytes){e.bytes, e.n}, line.now_ms);
		detect_tick(d, line.now_ms);
	}
	const struct attempt *a;

	for (unsigned i = 0; i < detect_attempts(d, &a); i++)
		assert_null(strstr(a[i].say, "master"));
	assert_int_equal(detect_state(d), DETECT_RUNNING);
	detect_free(d);
}

/* A master that polls 1..15 for both frames, of which 2 is there, and sends its own in between. */
static void play_master(void (*to)(void *ctx, struct bytes b, uint64_t now), void *ctx, uint64_t *now)
{
	uint8_t p[320];

	for (uint8_t address = 1; address <= 15; address++) {
		for (unsigned half = 0; half < 2; half++) {
			uint16_t reg = half ? SETTINGS : STATUS;

			*now += 140;
			to(ctx, (struct bytes){p, trigger(p, address, reg)}, *now);
			if (address == 2)
				to(ctx, (struct bytes){p, answer(p, frame_of(reg), 2, reg)}, *now + 40);
		}
	}
	for (unsigned half = 0; half < 2; half++) {
		uint16_t reg = half ? SETTINGS : STATUS;

		*now += 140;
		answer(p, frame_of(reg), 0, reg);
		if (half) {
			put32(p, 270, 0);
			seal(p);
		}
		to(ctx, (struct bytes){p, FRAME}, *now);
	}
}

static void into_detection(void *ctx, struct bytes b, uint64_t now)
{
	struct detect *d = ctx;

	if (detect_state(d) == DETECT_FOUND)
		return;
	while (detect_deadline(d) <= now && detect_state(d) != DETECT_FOUND) {
		line.now_ms = detect_deadline(d);
		detect_tick(d, line.now_ms);
	}
	line.now_ms = now;
	detect_receive(d, b, now);
}

static unsigned founds, readings;

static void on_found(void *ctx, struct session_pack *p, uint64_t now)
{
	(void)ctx;
	(void)p;
	(void)now;
	founds++;
}

static void on_reading(void *ctx, struct session_pack *p, uint64_t now)
{
	(void)ctx;
	(void)now;
	readings += reading_knows(&p->dev.reading, Q_SOC_PCT);
}

static void on_missed(void *ctx, struct session_pack *p, uint64_t now)
{
	(void)ctx;
	(void)p;
	(void)now;
}

static void into_session(void *ctx, struct bytes b, uint64_t now)
{
	session_receive(ctx, b, now);
	session_tick(ctx, now);
}

static void a_bus_with_a_master_is_only_listened_to(void **unused)
{
	struct session_io io = {.send = send_on_line, .found = on_found, .reading = on_reading, .missed = on_missed};
	struct detect *d = start_detection(NULL);
	uint64_t now = 100;
	bool listening;

	(void)unused;
	put32(board.settings, 270, 2);
	for (int turn = 0; turn < 2; turn++)
		play_master(into_detection, d, &now);
	struct device found = found_device(d, &listening);
	assert_true(listening);

	const struct line at_115200 = {115200, 8, 'N', 1};
	unsigned sent = line.sent;
	founds = readings = 0;
	struct session *s = session_new(found, &at_115200, listening, 1000, NULL, 0, io, &stats);
	session_start(s, now);
	for (int turn = 0; turn < 2; turn++)
		play_master(into_session, s, &now);
	assert_int_equal(line.sent, sent);
	assert_int_equal(session_packs(s), 2); /* the master and board 2 */
	assert_int_equal(founds, 2);
	assert_true(readings >= 4);
	for (unsigned i = 0; i < 2; i++) {
		const struct device *pack = &session_pack(s, i)->dev;

		assert_true(pack->address == 0 || pack->address == 2);
		assert_true(reading_get(&pack->reading, Q_BMS_CCL_A) == 100);
	}
	session_free(s);
}

static void run_session(struct session *s, uint64_t until_ms)
{
	struct vline_event e;

	for (;;) {
		uint64_t at = session_deadline(s) < vline_next(&line) ? session_deadline(s) : vline_next(&line);

		if (at > until_ms)
			return;
		line.now_ms = at > line.now_ms ? at : line.now_ms;
		while (vline_take(&line, &e))
			session_receive(s, (struct bytes){e.bytes, e.n}, line.now_ms);
		session_tick(s, line.now_ms);
	}
}

/* The shortest time between two requests. */
static unsigned long closest_requests(void)
{
	unsigned long before = 0, best = 1000000;

	for (const char *at = line.log; *at; at = strchr(at, '\n') + 1) {
		unsigned long now = strtoul(at, NULL, 10);

		if (before && now - before < best)
			best = now - before;
		before = now;
	}
	return best;
}

static void all_boards_on_the_cable_are_found_and_polled_with_pauses(void **unused)
{
	struct session_io io = {.send = send_on_line, .found = on_found, .reading = on_reading, .missed = on_missed};
	struct detect *d;
	bool listening;

	(void)unused;
	board.second = 5;
	d = start_detection(on_line);
	run(d, 3, 60000);
	struct device found = found_device(d, &listening);
	struct session *s = session_new(found, &line.device_line, listening, 1000, NULL, 0, io, &stats);

	founds = readings = 0;
	line.log[0] = 0;
	session_start(s, line.now_ms);
	run_session(s, line.now_ms + 6000);
	assert_int_equal(session_packs(s), 2);
	assert_true(readings >= 4); /* of both, though absent addresses are still being asked */
	for (unsigned i = 0; i < 2; i++) {
		const struct session_pack *p = session_pack(s, i);

		assert_int_equal(p->dev.address, i ? 5 : 1);
		assert_true(p->identified);
		assert_true(reading_get(&p->dev.reading, Q_BMS_DCL_A) == 150);
		assert_string_equal(p->dev.reading.text[T_SERIAL_NUMBER], "40904495590");
	}
	assert_int_equal(board.writes, 0);
	assert_in_range(closest_requests(), 120, 1000);
	session_free(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_are_those_of_the_sheet),
		TEST(nothing_but_three_switches_can_be_written),
		TEST(requests_are_recognised_from_their_bytes),
		TEST(requests_to_other_makes_are_not_ours),
		TEST(every_field_of_the_status_is_told),
		TEST(every_field_of_settings_and_about_is_told),
		TEST(what_the_protocol_says_it_can_report_is_what_it_reports),
		TEST(passwords_are_nowhere),
		TEST(all_details_and_settings_find_their_place),
		TEST(fields_of_newer_firmware_are_not_read_from_older),
		TEST(the_mask_says_which_cells_there_are),
		TEST(a_state_of_health_of_0_is_unknown),
		TEST(temperatures_may_be_below_zero),
		TEST(pb_boards_have_sensors_1_2_4_5),
		TEST(other_boards_have_sensors_1_2_3),
		TEST(of_an_unknown_model_the_zeros_of_4_and_5_tell),
		TEST(absent_sensors_are_unknown),
		TEST(the_balanced_cell_follows_from_the_state),
		TEST(byte_5_is_a_counter),
		TEST(the_serial_number_may_stand_in_the_name),
		TEST(the_byte_behind_the_model_is_no_text),
		TEST(limits_come_from_the_settings),
		TEST(in_float_the_other_voltage_is_asked_for),
		TEST(a_switch_that_is_off_allows_0_A),
		TEST(a_mos_that_a_protection_holds_off_allows_0_A),
		TEST(an_alarm_stops_what_it_is_about),
		TEST(each_alarm_bit_means_what_the_sheet_says),
		TEST(a_cell_at_its_limit_is_a_warning_at_the_end_of_a_charge),
		TEST(padding_and_part_of_an_echo_are_passed_over),
		TEST(the_whole_echo_before_the_answer_is_passed_over),
		TEST(the_echo_alone_is_no_answer),
		TEST(the_acknowledgement_must_name_who_was_asked),
		TEST(the_acknowledgement_must_name_what_was_asked),
		TEST(without_its_acknowledgement_a_frame_is_nobodys),
		TEST(an_acknowledgement_that_comes_after_a_silence_is_too_late),
		TEST(an_acknowledgement_alone_is_no_answer),
		TEST(a_wrong_sum_is_dropped),
		TEST(a_reply_cut_anywhere_is_dropped),
		TEST(noise_with_a_start_mark_in_it_only_delays_the_answer),
		TEST(a_new_frame_inside_a_damaged_one_is_found),
		TEST(of_two_answers_glued_together_only_ones_own_is_taken),
		TEST(frames_that_no_board_sends_are_refused),
		TEST(the_model_is_read_by_modbus),
		TEST(another_modbus_device_is_a_refusal),
		TEST(a_late_frame_is_no_modbus_reply),
		TEST(a_stale_acknowledgement_is_not_that_of_a_write),
		TEST(the_boards_own_meaning_of_exception_4_is_told),
		TEST(each_switch_is_written_acknowledged_and_read_back),
		TEST(what_the_board_refuses_is_refused_with_its_reason),
		TEST(a_write_without_effect_is_not_confirmed),
		TEST(a_mos_that_a_protection_holds_off_is_named),
		TEST(without_a_fresh_status_no_mos_is_confirmed),
		TEST(a_silent_board_leaves_a_command_unconfirmed),
		TEST(the_soc_cannot_be_set_here),
		TEST(the_boards_of_a_master_are_told_apart_by_their_acknowledgements),
		TEST(the_masters_own_frames_are_address_0),
		TEST(who_joins_late_still_learns_whose_frame_it_was),
		TEST(where_an_acknowledgement_got_lost_nobody_is_guessed),
		TEST(damaged_frames_on_the_bus_are_nobodys),
		TEST(a_poll_shows_a_master_but_the_echo_of_our_probe_does_not),
		TEST(a_board_on_its_line_is_found_at_once),
		TEST(a_board_that_answers_triggers_alone_is_found_in_the_same_sweep),
		TEST(a_board_at_another_address_is_found_by_patience),
		TEST(a_foreign_modbus_device_is_never_sent_a_trigger),
		TEST(a_silent_line_is_sent_nothing_but_reads_and_the_last_probe),
		TEST(an_echo_is_no_master),
		TEST(a_bus_with_a_master_is_only_listened_to),
		TEST(all_boards_on_the_cable_are_found_and_polled_with_pauses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
