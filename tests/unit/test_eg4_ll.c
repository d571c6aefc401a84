/* SPDX-License-Identifier: GPL-3.0-or-later */
/* eg4-ll on frames constructed from its sheet: the map of a pack, the map of a bank, identity, configuration. */
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

enum { READ = 0x0300, PACK = 0, COUNT = 39, CONFIG = 45, IDENTITY = 105, CELLS = 113, REGISTERS = 137 };
enum { CONFIRM_WHO = 1, CONFIRM_CELLS = 2 };

/* The registers of the board of these tests; a test changes what it is about. */
static uint16_t reg[REGISTERS];
static struct device dev;
static char error[128];

static void put_text(unsigned first, unsigned words, const char *text)
{
	char padded[32] = {0};

	memcpy(padded, text, strlen(text));
	for (unsigned i = 0; i < words; i++)
		reg[first + i] = (uint16_t)((uint8_t)padded[2 * i] << 8 | (uint8_t)padded[2 * i + 1]);
}

/* 48 V, 16 cells, 280 Ah. */
static void start_pack(void)
{
	memset(reg, 0, sizeof(reg));
	reg[0] = 5296;
	reg[1] = (uint16_t)-3080;
	for (unsigned i = 0; i < 16; i++)
		reg[2 + i] = (uint16_t)(3302 + i);
	reg[18] = 25;
	reg[19] = 23;
	reg[20] = 24;
	reg[21] = 213;
	reg[22] = 140;
	reg[23] = 99;
	reg[24] = 76;
	reg[25] = 2;
	reg[30] = 138;
	reg[31] = 280u * 3600000u >> 16;
	reg[32] = 280u * 3600000u & 0xffff;
	reg[33] = 0x1716;
	reg[34] = 0x1718;
	reg[36] = 16;
	reg[37] = 2800;
	reg[38] = 0x8001;
	put_text(105, 12, "ZTR-16S200A-10KW-STD2");
	put_text(117, 3, "S02T11");
	put_text(120, 8, "2309876543210987");
}

/* Unit 1 of a chain of three with 280 Ah each. */
static void start_bank(void)
{
	static const uint16_t block[] = {
		0x0042, 0,  33,	  5190, (uint16_t)-1234, 21, 30000, 27720, 18464, 0x020b, 0, 19,
		0,	99, 5600, 0,	30000,		 0,  3261,  3243,  4,	  11,	  16};

	memset(reg, 0, sizeof(reg));
	memcpy(reg + 19, block, sizeof(block));
	for (unsigned i = 0; i < 16; i++)
		reg[CELLS + i] = 3250;
	reg[CELLS + 4] = 3261;
	reg[CELLS + 11] = 3243;
}

static int set_up(void **unused)
{
	(void)unused;
	start_pack();
	dev = fresh_device("eg4-ll", 1, 0);
	error[0] = 0;
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	device_free(&dev);
	return 0;
}

static const char *sealed(uint8_t *p, size_t n)
{
	static char hex[8][600];
	static unsigned turn;
	char *out = hex[turn++ % 8];
	uint16_t crc = crc16_modbus((struct bytes){p, n});

	p[n] = (uint8_t)crc;
	p[n + 1] = (uint8_t)(crc >> 8);
	bytes_hex((struct bytes){p, n + 2}, out, sizeof(hex[0]));
	return out;
}

static const char *reply_of(uint8_t address, unsigned first, unsigned words)
{
	uint8_t p[300] = {address, 3, (uint8_t)(2 * words)};

	for (unsigned i = 0; i < words; i++)
		put_u16be(p + 3 + 2 * i, reg[first + i]);
	return sealed(p, 3 + 2 * words);
}

static const char *reply(unsigned first, unsigned words)
{
	return reply_of(1, first, words);
}

static enum exchange_state ask(unsigned first, unsigned words)
{
	return play(&dev, (uint16_t)(READ | words), (uint16_t)first, RX(reply(first, words)), error);
}

static enum exchange_state ask_pack(void)
{
	return ask(PACK, 39);
}

static void read_pack(void)
{
	assert_int_equal(ask_pack(), EXCHANGE_ANSWERED);
}

static void read_bank(void)
{
	read_pack();
	assert_int_equal(ask(COUNT, 3), EXCHANGE_ANSWERED);
	assert_int_equal(ask(CELLS, 16), EXCHANGE_ANSWERED);
}

static double get(enum quantity q)
{
	return reading_get(&dev.reading, q);
}

static double detail(const char *name)
{
	return reading_detail(&dev.reading, name);
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

static void is_dropped(const char *why)
{
	assert_int_equal(ask_pack(), EXCHANGE_FAILED);
	assert_non_null(strstr(error, why));
	nothing_was_taken();
}

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	(void)unused;
	assert_string_equal(request_hex(&dev, READ | 23, IDENTITY), "010300690017d5d8");
	assert_string_equal(request_hex(&dev, READ | 39, PACK), "01030000002705d0");
	assert_string_equal(request_hex(&dev, READ | 91, CONFIG), "0103002d005b9438");
	assert_string_equal(request_hex(&dev, CONFIRM_WHO, 0), "010300690017d5d8");
	dev.address = 2;
	assert_string_equal(request_hex(&dev, READ | 39, PACK), "02030000002705e3");
}

static void nothing_can_be_written(void **unused)
{
	struct request r;

	(void)unused;
	assert_int_equal(dev.protocol->commands, 0);
	for (unsigned code = 0; code <= 0xffff; code++) {
		if (!dev.protocol->encode(&dev, (uint16_t)code, 45, &r))
			continue;
		assert_false(r.writes);
		assert_int_equal(r.tx[1], 3);
	}
}

static void requests_are_recognised_from_their_bytes(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < dev.protocol->poll_count; i++) {
		const struct poll *row = &dev.protocol->polls[i];
		struct request r, again;

		assert_true(dev.protocol->encode(&dev, row->code, row->arg, &r));
		assert_true(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
		assert_int_equal(again.code, row->code);
		assert_int_equal(again.arg, row->arg);
		assert_int_equal(again.address, 1);
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n - 1u}, &again));
		r.tx[r.n - 1] ^= 1;
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
	}
}

static void requests_to_other_makes_are_not_ours(void **unused)
{
	static const uint8_t head[][6] = {
		{0x01, 0x03, 0x00, 0x3f, 0x00, 0x04}, {0x01, 0x03, 0x00, 0x00, 0x00, 0x04},
		{0x01, 0x03, 0x13, 0x02, 0x00, 0x0a}, {0x01, 0x04, 0x00, 0x00, 0x00, 0x27},
		{0x00, 0x03, 0x00, 0x00, 0x00, 0x27}, {0xd2, 0x03, 0x00, 0x00, 0x00, 0x3e},
		{0x01, 0x06, 0x00, 0x1d, 0x00, 0x01}, {0x01, 0x06, 0x00, 0x69, 0x41, 0x41},
	};
	struct request r;

	(void)unused;
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) {
		uint8_t p[8];

		memcpy(p, head[i], 6);
		sealed(p, 6);
		assert_false(dev.protocol->parse_request((struct bytes){p, 8}, &r));
	}
}

static void a_recorded_write_is_answered_by_its_acknowledgement(void **unused)
{
	(void)unused;
	assert_int_equal(play_tx(&dev, "01060039001459c8", RX("01060039001459c8"), error), EXCHANGE_ANSWERED);
	assert_int_equal(play_tx(&dev, "0110002d0004086711186e00080500f45a", RX("0110002d000451c3"), error),
			 EXCHANGE_ANSWERED);
	assert_int_equal(play_tx(&dev, "01060039001459c8", RX("0186030261"), error), EXCHANGE_REFUSED);
	nothing_was_taken();
}

/* ---- the map of a pack ---- */

static void every_field_of_a_pack_is_told(void **unused)
{
	const struct reading *r = &dev.reading;

	(void)unused;
	read_pack();
	assert_true(get(Q_ADDRESS) == 1);
	assert_true(get(Q_VOLTAGE_V) == 52.96);
	assert_true(get(Q_CURRENT_A) == -30.8);
	assert_int_equal(r->cell_V.count, 16);
	assert_true(r->cell_V.value[0] == 3.302);
	assert_true(r->cell_V.value[15] == 3.317);
	assert_true(get(Q_CELL_COUNT) == 16);
	assert_true(get(Q_TEMP_MOS_C) == 25);
	assert_true(detail("temp_avg_C") == 23);
	assert_true(get(Q_TEMP_MAX_C) == 24);
	assert_true(get(Q_CAPACITY_REMAINING_AH) == 213);
	assert_true(get(Q_CAPACITY_FULL_AH) == 280);
	assert_true(get(Q_CAPACITY_DESIGN_AH) == 280);
	assert_true(get(Q_BMS_CCL_A) == 140);
	assert_true(get(Q_SOH_PCT) == 99);
	assert_true(get(Q_SOC_PCT) == 76);
	assert_true(get(Q_CYCLES) == 138);
	assert_int_equal(r->temperatures.count, 4);
	assert_true(r->temperatures.value[1] == 22);
	assert_true(r->balancing_known);
	assert_true(r->balancing == 0x8001);
	assert_true(detail("state") == 2);
	assert_int_equal(reading_flag(r, F_HEATER_ON), OFF);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), UNKNOWN);
	assert_true(r->alarms.known);
	assert_int_equal(alarms_raised(&r->alarms), 0);
}

static void cycles_have_32_bits(void **unused)
{
	(void)unused;
	reg[29] = 1;
	reg[30] = 2;
	read_pack();
	assert_true(get(Q_CYCLES) == 65538);
}

static void a_12_V_unit_counts_in_tenths(void **unused)
{
	(void)unused;
	reg[0] = 1324;
	reg[1] = (uint16_t)-62;
	reg[22] = 750;
	reg[36] = 4;
	reg[21] = reg[31] = reg[32] = reg[37] = 0;
	reg[24] = 48;
	read_pack();
	assert_true(get(Q_CURRENT_A) == -6.2);
	assert_true(get(Q_BMS_CCL_A) == 75);
	assert_int_equal(dev.reading.cell_V.count, 4);
	/* and does not fill in what it does not know */
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_REMAINING_AH));
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_FULL_AH));
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_DESIGN_AH));
}

static void the_scale_of_capacity_and_limit_is_seen_from_the_soc(void **unused)
{
	(void)unused;
	reg[21] = 2130;
	reg[22] = 1400;
	read_pack();
	assert_true(get(Q_CAPACITY_REMAINING_AH) == 213);
	assert_true(get(Q_BMS_CCL_A) == 140);
	assert_true(get(Q_CURRENT_A) == -30.8);
}

static void a_nearly_empty_pack_does_not_change_the_scale(void **unused)
{
	(void)unused;
	read_pack();
	reg[21] = 1;
	reg[24] = 0;
	read_pack();
	assert_true(get(Q_CAPACITY_REMAINING_AH) == 1);
	assert_true(get(Q_BMS_CCL_A) == 140);
	reg[21] = 0;
	read_pack();
	assert_true(get(Q_CAPACITY_REMAINING_AH) == 0);
}

static void a_place_without_sensor_has_no_temperature(void **unused)
{
	(void)unused;
	reg[33] = 0x17c8;
	reg[34] = 0x00f6;
	reg[35] = 0xc800;
	read_pack();
	assert_int_equal(dev.reading.temperatures.count, 4);
	assert_true(dev.reading.temperatures.value[0] == 23);
	assert_false(series_knows(&dev.reading.temperatures, 1));
	assert_true(dev.reading.temperatures.value[2] == 0);
	assert_true(dev.reading.temperatures.value[3] == -10);
}

static void zero_degrees_are_a_temperature_where_the_average_says_so(void **unused)
{
	(void)unused;
	reg[19] = 1;
	reg[33] = 0x0200;
	reg[34] = reg[35] = 0;
	read_pack();
	assert_int_equal(dev.reading.temperatures.count, 6);
}

static void a_pack_with_15_cells_has_15(void **unused)
{
	(void)unused;
	reg[0] = 4964;
	reg[17] = 0;
	reg[36] = 15;
	read_pack();
	assert_int_equal(dev.reading.cell_V.count, 15);
}

/* ---- alarms ---- */

struct expected {
	enum alarm alarm;
	const char *own;
};

static const struct expected pack_bit[16] = {
	{ALARM_HIGH_VOLTAGE, NULL},
	{ALARM_HIGH_CELL_VOLTAGE, NULL},
	{ALARM_LOW_VOLTAGE, NULL},
	{ALARM_LOW_CELL_VOLTAGE, NULL},
	{ALARM_HIGH_CHARGE_CURRENT, NULL},
	{ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{ALARM_COUNT, "abnormal_ambient_temperature"},
	{ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{ALARM_HIGH_TEMPERATURE, NULL},
	{ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{ALARM_LOW_TEMPERATURE, NULL},
	{ALARM_LOW_SOC, NULL},
	{ALARM_COUNT, NULL},
	{ALARM_COUNT, NULL},
	{ALARM_COUNT, NULL},
};

static void raised_is(const struct expected *e, enum alarm_level level)
{
	const struct alarms *a = &dev.reading.alarms;

	assert_int_equal(alarms_raised(a), (e->alarm != ALARM_COUNT) + (e->own != NULL));
	if (e->alarm != ALARM_COUNT)
		assert_int_equal(a->level[e->alarm], level);
	if (e->own) {
		assert_string_equal(a->own[0].name, e->own);
		assert_int_equal(a->own[0].level, level);
	}
}

static void every_warning_bit_warns(void **unused)
{
	(void)unused;
	for (unsigned bit = 0; bit < 16; bit++) {
		reg[26] = (uint16_t)(1u << bit);
		read_pack();
		raised_is(&pack_bit[bit], ALARM_WARNING);
		assert_true(detail("float_stopped") == (bit == 13));
		assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), ON);
	}
}

static void every_protection_bit_is_an_alarm(void **unused)
{
	(void)unused;
	for (unsigned bit = 0; bit < 16; bit++) {
		reg[27] = (uint16_t)(1u << bit);
		read_pack();
		assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), 0x0513 >> bit & 1 ? OFF : ON);
		assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), 0x2a2c >> bit & 1 ? OFF : ON);
		if (bit != 13) {
			raised_is(&pack_bit[bit], ALARM_RAISED);
			continue;
		}
		assert_int_equal(dev.reading.alarms.level[ALARM_SHORT_CIRCUIT], ALARM_RAISED);
		assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_RAISED);
	}
}

static void every_error_bit_is_an_alarm(void **unused)
{
	static const struct expected bit_of[5] = {
		{ALARM_INTERNAL_FAILURE, "voltage_sensor_error"},
		{ALARM_INTERNAL_FAILURE, "temperature_sensor_error"},
		{ALARM_INTERNAL_FAILURE, "current_sensor_error"},
		{ALARM_COUNT, NULL},
		{ALARM_CELL_IMBALANCE, NULL},
	};

	(void)unused;
	for (unsigned bit = 0; bit < 5; bit++) {
		reg[28] = (uint16_t)(1u << bit);
		read_pack();
		raised_is(&bit_of[bit], ALARM_RAISED);
	}
}

static void an_inverted_current_has_the_other_sign_and_the_other_alarms(void **unused)
{
	(void)unused;
	dev.options.invert_current = true;
	reg[26] = 0x0010;
	reg[27] = 0x0020;
	read_pack();
	assert_true(get(Q_CURRENT_A) == 30.8);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_WARNING);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_CHARGE_CURRENT], ALARM_RAISED);
	/* what the unit forbids stays what it forbids */
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), OFF);
}

static void the_status_word_tells_state_and_heater(void **unused)
{
	(void)unused;
	reg[25] = 0x8008;
	read_pack();
	assert_int_equal(reading_flag(&dev.reading, F_HEATER_ON), ON);
	assert_true(detail("state") == 8);
	assert_true(detail("status_raw") == 0x8008);
}

/* ---- what must not be believed ---- */

static void an_all_zero_block_is_dropped(void **unused)
{
	(void)unused;
	memset(reg, 0, sizeof(reg));
	is_dropped("all zero block");
}

static void a_block_that_is_no_battery_is_dropped(void **unused)
{
	(void)unused;
	reg[0] = 0;
	is_dropped("pack voltage outside");
	start_pack();
	reg[36] = 17;
	is_dropped("cell count outside");
	reg[36] = 0;
	is_dropped("cell count outside");
	start_pack();
	reg[24] = 101;
	is_dropped("SoC above 100");
	start_pack();
	reg[23] = reg[31] = reg[32] = reg[37] = 0;
	is_dropped("SoH and capacities");
}

static void a_wrong_checksum_is_dropped(void **unused)
{
	char bad[200];

	(void)unused;
	snprintf(bad, sizeof(bad), "%s", reply(PACK, 39));
	bad[20] = bad[20] == '0' ? '1' : '0';
	assert_int_equal(play(&dev, READ | 39, PACK, RX(bad), error), EXCHANGE_FAILED);
	assert_non_null(strstr(error, "checksum"));
	nothing_was_taken();
}

static void a_cut_reply_is_dropped(void **unused)
{
	char cut[200];

	(void)unused;
	snprintf(cut, sizeof(cut), "%s", reply(PACK, 39));
	for (size_t n = strlen(cut) - 2; n; n -= 2) {
		cut[n] = 0;
		assert_int_equal(play(&dev, READ | 39, PACK, RX(cut), error), EXCHANGE_FAILED);
	}
	nothing_was_taken();
}

static void a_reply_of_another_address_is_dropped(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, READ | 39, PACK, RX(reply_of(2, PACK, 39)), error), EXCHANGE_FAILED);
	nothing_was_taken();
}

static void a_late_reply_to_another_read_is_no_answer(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, READ | 39, PACK, RX(reply(IDENTITY, 23)), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, READ | 23, IDENTITY, RX(reply(PACK, 39)), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, READ | 39, PACK, RX(reply(PACK, 38)), error), EXCHANGE_FAILED);
	nothing_was_taken();
	assert_int_equal(play(&dev, READ | 39, PACK, RX(reply(IDENTITY, 23), reply(PACK, 39)), error),
			 EXCHANGE_ANSWERED);
}

static void noise_and_echo_around_a_reply_do_no_harm(void **unused)
{
	(void)unused;
	assert_int_equal(
		play(&dev, READ | 39, PACK, RX("01030000002705d0", "ff010300", reply(PACK, 39), "0103"), error),
		EXCHANGE_ANSWERED);
	assert_true(get(Q_VOLTAGE_V) == 52.96);
}

static void of_two_glued_replies_the_first_counts(void **unused)
{
	char glued[400];

	(void)unused;
	snprintf(glued, sizeof(glued), "%s", reply(PACK, 39));
	reg[0] = 5000;
	strcat(glued, reply(PACK, 39));
	assert_int_equal(play(&dev, READ | 39, PACK, RX(glued), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_VOLTAGE_V) == 52.96);
}

static void an_exception_is_a_refusal(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, READ | 39, PACK, RX("018302c0f1"), error), EXCHANGE_REFUSED);
	assert_non_null(strstr(error, "exception 02"));
	nothing_was_taken();
}

/* ---- identity and configuration ---- */

static void the_identity_is_told(void **unused)
{
	(void)unused;
	assert_int_equal(ask(IDENTITY, 23), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_MODEL], "ZTR-16S200A-10KW-STD2");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "S02T11");
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "2309876543210987");
}

static void a_serial_number_that_was_never_set_is_none(void **unused)
{
	(void)unused;
	reg[120] = 0x41f4;
	for (unsigned i = 121; i < 128; i++)
		reg[i] = 0xffff;
	assert_int_equal(ask(IDENTITY, 23), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "S02T11");
}

static void text_with_something_behind_its_end_is_none(void **unused)
{
	(void)unused;
	put_text(105, 12, "ZTR");
	reg[110] = 0x4141;
	assert_int_equal(ask(IDENTITY, 23), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_MODEL], "");
}

static void an_empty_identity_takes_away_nothing(void **unused)
{
	(void)unused;
	assert_int_equal(ask(IDENTITY, 23), EXCHANGE_ANSWERED);
	memset(reg + IDENTITY, 0, 23 * sizeof(reg[0]));
	assert_int_equal(ask(IDENTITY, 23), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_MODEL], "ZTR-16S200A-10KW-STD2");
}

static void a_read_beyond_the_map_is_answered_with_what_there_is(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, READ | 46, IDENTITY, RX(reply(IDENTITY, 23)), error), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_MODEL], "ZTR-16S200A-10KW-STD2");
	reg[128] = 50;
	assert_int_equal(play(&dev, READ | 91, CONFIG, RX(reply(CONFIG, 83)), error), EXCHANGE_ANSWERED);
	assert_true(isnan(setting("heat_start_C")));
	assert_int_equal(play(&dev, READ | 91, CONFIG, RX(reply(CONFIG, 91)), error), EXCHANGE_ANSWERED);
	assert_true(setting("heat_start_C") == 0);
	assert_int_equal(play(&dev, READ | 91, CONFIG, RX(reply(CONFIG, 82)), error), EXCHANGE_FAILED);
}

static void the_configuration_is_told_with_identity_and_clock(void **unused)
{
	(void)unused;
	reg[45] = 0x6711;
	reg[46] = 0x178c;
	reg[47] = 0x0008;
	reg[48] = 0x1100;
	reg[57] = 40;
	reg[65] = 4480;
	reg[68] = 3800;
	reg[80] = 20500;
	reg[91] = 45;
	reg[103] = 160;
	assert_int_equal(ask(CONFIG, 91), EXCHANGE_ANSWERED);
	assert_string_equal(settings_find(&dev.settings, "clock")->text, "2025-12-08 17:30:12");
	assert_true(setting("balance_trigger_V") == 0.04);
	assert_true(setting("pack_uvp_V") == 44.8);
	assert_true(setting("cell_ovp_V") == 3.8);
	assert_true(setting("charge_ocp_A") == 205);
	assert_true(setting("charge_utp_C") == -5);
	assert_true(setting("mos_otp_C") == 110);
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "2309876543210987");
}

static void a_clock_that_is_no_time_is_none(void **unused)
{
	(void)unused;
	reg[57] = 40;
	assert_int_equal(ask(CONFIG, 91), EXCHANGE_ANSWERED);
	assert_null(settings_find(&dev.settings, "clock"));
}

static void an_empty_configuration_is_dropped(void **unused)
{
	(void)unused;
	memset(reg, 0, sizeof(reg));
	assert_int_equal(ask(CONFIG, 91), EXCHANGE_FAILED);
	nothing_was_taken();
}

/* ---- the map of a bank ---- */

static void a_bank_is_told_as_details_and_the_pack_from_its_cells(void **unused)
{
	(void)unused;
	start_bank();
	read_bank();
	assert_true(detail("bank_soc_pct") == 33);
	assert_true(detail("bank_voltage_min_V") == 51.9);
	assert_true(detail("bank_current_A") == -12.34);
	assert_true(detail("bank_temp_max_C") == 21);
	assert_true(fabs(detail("bank_capacity_remaining_Ah") - 277.2) < 1e-9);
	assert_true(fabs(detail("bank_capacity_full_Ah") - 840) < 1e-9);
	assert_true(detail("state") == 2);
	assert_false(reading_knows(&dev.reading, Q_SOC_PCT));
	assert_false(reading_knows(&dev.reading, Q_CURRENT_A));
	assert_true(get(Q_SOH_PCT) == 99);
	assert_true(get(Q_CYCLES) == 19);
	assert_true(get(Q_CAPACITY_DESIGN_AH) == 280);
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "2.11");
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_MOS), OFF);
	assert_int_equal(dev.reading.cell_V.count, 16);
	assert_true(fabs(get(Q_VOLTAGE_V) - (14 * 3.25 + 3.261 + 3.243)) < 1e-9);
}

static void a_banks_voltage_is_never_taken_for_that_of_the_pack(void **unused)
{
	(void)unused;
	start_bank();
	read_pack();
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	/* without the number of cells, and with cells that do not fit the bank, it stays unknown */
	assert_int_equal(ask(CELLS, 16), EXCHANGE_ANSWERED);
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	read_bank();
	assert_true(reading_knows(&dev.reading, Q_VOLTAGE_V));
	reg[CELLS + 7] = 2600;
	assert_int_equal(ask(CELLS, 16), EXCHANGE_ANSWERED);
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	assert_false(dev.reading.cell_V.reported);
	reg[CELLS + 7] = 0;
	assert_int_equal(ask(CELLS, 16), EXCHANGE_ANSWERED);
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
}

static void identity_and_configuration_of_a_bank_are_not_asked(void **unused)
{
	const struct poll *polls = dev.protocol->polls;

	(void)unused;
	for (int bank = 0; bank < 2; bank++) {
		bank ? start_bank() : start_pack();
		read_pack();
		for (unsigned i = 0; i < dev.protocol->poll_count; i++) {
			if (!polls[i].wanted)
				continue;
			assert_int_equal(polls[i].wanted(&dev), polls[i].required == bank);
			assert_true(!bank || polls[i].arg == COUNT || polls[i].arg == CELLS || !polls[i].wanted(&dev));
		}
	}
	assert_string_equal(request_hex(&dev, CONFIRM_WHO, 0), "010300270003b5c0");
	assert_string_equal(request_hex(&dev, CONFIRM_CELLS, 0), "010300710010141d");
}

static void every_bit_of_a_bank_is_told(void **unused)
{
	static const struct expected bit_of[16] = {
		{ALARM_COUNT, NULL}, /* below */
		{ALARM_COUNT, NULL},
		{ALARM_COUNT, NULL},
		{ALARM_LOW_CELL_VOLTAGE, NULL},
		{ALARM_HIGH_DISCHARGE_CURRENT, NULL},
		{ALARM_HIGH_CHARGE_CURRENT, NULL},
		{ALARM_COUNT, "abnormal_ambient_temperature"},
		{ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
		{ALARM_LOW_CHARGE_TEMPERATURE, NULL},
		{ALARM_LOW_TEMPERATURE, NULL},
		{ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
		{ALARM_HIGH_TEMPERATURE, NULL},
		{ALARM_HIGH_CELL_VOLTAGE, NULL},
		{ALARM_HIGH_VOLTAGE, NULL},
		{ALARM_COUNT, NULL},
		{ALARM_COUNT, NULL},
	};

	(void)unused;
	start_bank();
	read_bank();
	for (unsigned bit = 1; bit < 16; bit++) {
		reg[20] = (uint16_t)(1u << bit);
		reg[34] = 0;
		read_pack();
		raised_is(&bit_of[bit], ALARM_RAISED);
		assert_true(detail("float_stopped") == (bit == 1));
		assert_true(detail("charger_voltage") == (bit == 14));
		assert_int_equal(reading_flag(&dev.reading, F_HEATER_ON), bit == 15 ? ON : OFF);
		reg[34] = reg[20];
		reg[20] = 0;
		read_pack();
		raised_is(&bit_of[bit], ALARM_WARNING);
	}
	reg[20] = 1;
	read_pack();
	assert_int_equal(dev.reading.alarms.level[ALARM_SHORT_CIRCUIT], ALARM_RAISED);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_RAISED);
}

static void the_voltage_bit_of_a_bank_means_low_when_the_cells_are_low(void **unused)
{
	(void)unused;
	start_bank();
	reg[20] = 0x2000;
	reg[22] = 4600;
	for (unsigned i = 0; i < 16; i++)
		reg[CELLS + i] = 2900;
	read_bank();
	assert_int_equal(dev.reading.alarms.level[ALARM_LOW_VOLTAGE], ALARM_RAISED);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_VOLTAGE], ALARM_OK);
}

static void a_banks_capacity_that_fits_nothing_is_not_told(void **unused)
{
	(void)unused;
	start_bank();
	reg[27] = 100;
	read_bank();
	assert_true(isnan(detail("bank_capacity_full_Ah")));
	assert_true(isnan(detail("bank_capacity_remaining_Ah")));
}

static void a_small_bank_does_not_wrap(void **unused)
{
	(void)unused;
	start_bank();
	reg[21] = 50;
	reg[26] = 28000;
	reg[27] = 56000;
	read_bank();
	assert_true(detail("bank_capacity_full_Ah") == 560);
	assert_true(detail("bank_capacity_remaining_Ah") == 280);
}

static void a_unit_that_changes_its_map_starts_afresh(void **unused)
{
	(void)unused;
	read_pack();
	start_bank();
	read_pack();
	assert_false(reading_knows(&dev.reading, Q_SOC_PCT));
	start_pack();
	read_pack();
	assert_true(isnan(detail("bank_soc_pct")));
	assert_true(get(Q_SOC_PCT) == 76);
}

/* ---- detection ---- */

static bool plausible(void)
{
	const char *why = NULL;
	bool is = dev.protocol->plausible(&dev, &why);

	assert_true(is || why);
	return is;
}

static void a_pack_and_a_bank_are_plausible(void **unused)
{
	(void)unused;
	assert_false(plausible());
	read_pack();
	assert_true(plausible());
	start_bank();
	read_bank();
	assert_true(plausible());
}

static void a_pack_whose_cells_do_not_add_up_is_none(void **unused)
{
	(void)unused;
	reg[0] = 4900;
	read_pack();
	assert_false(plausible());
	start_pack();
	reg[3] = 5200;
	reg[0] = 5486;
	read_pack();
	assert_false(plausible());
	start_pack();
	reg[23] = 120;
	read_pack();
	assert_false(plausible());
}

static void a_bank_without_fitting_cells_is_none(void **unused)
{
	(void)unused;
	start_bank();
	read_pack();
	assert_false(plausible());
	reg[35] = 0;
	read_bank();
	assert_false(plausible());
	reg[35] = 30000;
	reg[CELLS + 2] = 3400;
	read_bank();
	assert_false(plausible());
}

/* Meters with the same address and function: empty, counting, all alike, full of noise. */
static void no_other_modbus_device_is_taken_for_one(void **unused)
{
	uint32_t random = 1;

	(void)unused;
	for (unsigned kind = 0; kind < 3000; kind++) {
		for (unsigned i = 0; i < REGISTERS; i++) {
			random = random * 1664525 + 1013904223;
			reg[i] = (uint16_t)(kind == 0	? 0
					    : kind == 1 ? i
					    : kind < 70 ? 16 * (kind - 2)
							: random >> (kind % 8 + 16));
		}
		const enum exchange_state state = ask_pack();

		assert_true(state != EXCHANGE_ANSWERED || !plausible());
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
		TEST(requests_are_those_of_the_sheet),
		TEST(nothing_can_be_written),
		TEST(requests_are_recognised_from_their_bytes),
		TEST(requests_to_other_makes_are_not_ours),
		TEST(a_recorded_write_is_answered_by_its_acknowledgement),
		TEST(every_field_of_a_pack_is_told),
		TEST(cycles_have_32_bits),
		TEST(a_12_V_unit_counts_in_tenths),
		TEST(the_scale_of_capacity_and_limit_is_seen_from_the_soc),
		TEST(a_nearly_empty_pack_does_not_change_the_scale),
		TEST(a_place_without_sensor_has_no_temperature),
		TEST(zero_degrees_are_a_temperature_where_the_average_says_so),
		TEST(a_pack_with_15_cells_has_15),
		TEST(every_warning_bit_warns),
		TEST(every_protection_bit_is_an_alarm),
		TEST(every_error_bit_is_an_alarm),
		TEST(an_inverted_current_has_the_other_sign_and_the_other_alarms),
		TEST(the_status_word_tells_state_and_heater),
		TEST(an_all_zero_block_is_dropped),
		TEST(a_block_that_is_no_battery_is_dropped),
		TEST(a_wrong_checksum_is_dropped),
		TEST(a_cut_reply_is_dropped),
		TEST(a_reply_of_another_address_is_dropped),
		TEST(a_late_reply_to_another_read_is_no_answer),
		TEST(noise_and_echo_around_a_reply_do_no_harm),
		TEST(of_two_glued_replies_the_first_counts),
		TEST(an_exception_is_a_refusal),
		TEST(the_identity_is_told),
		TEST(a_serial_number_that_was_never_set_is_none),
		TEST(text_with_something_behind_its_end_is_none),
		TEST(an_empty_identity_takes_away_nothing),
		TEST(a_read_beyond_the_map_is_answered_with_what_there_is),
		TEST(the_configuration_is_told_with_identity_and_clock),
		TEST(a_clock_that_is_no_time_is_none),
		TEST(an_empty_configuration_is_dropped),
		TEST(a_bank_is_told_as_details_and_the_pack_from_its_cells),
		TEST(a_banks_voltage_is_never_taken_for_that_of_the_pack),
		TEST(identity_and_configuration_of_a_bank_are_not_asked),
		TEST(every_bit_of_a_bank_is_told),
		TEST(the_voltage_bit_of_a_bank_means_low_when_the_cells_are_low),
		TEST(a_banks_capacity_that_fits_nothing_is_not_told),
		TEST(a_small_bank_does_not_wrap),
		TEST(a_unit_that_changes_its_map_starts_afresh),
		TEST(a_pack_and_a_bank_are_plausible),
		TEST(a_pack_whose_cells_do_not_add_up_is_none),
		TEST(a_bank_without_fitting_cells_is_none),
		TEST(no_other_modbus_device_is_taken_for_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
