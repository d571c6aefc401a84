/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sinowealth on replies constructed from its sheet. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "play.h"

enum {
	TOTAL = 0x0b,
	TEMP_1,
	TEMP_2,
	TEMP_IC,
	CURRENT = 0x10,
	FULL,
	REMAINING,
	SOC,
	CYCLES,
	STATUS,
	PROTECTION,
	CONFIG
};

/* ---- replies ---- */

/* The check byte, from the sheet's polynomial: remainder of the message with eight zero bits behind it. */
static uint8_t pec(const uint8_t *p, size_t n)
{
	unsigned rest = 0;

	for (size_t bit = 0; bit < 8 * (n + 1); bit++) {
		unsigned in = bit < 8 * n ? p[bit / 8] >> (7 - bit % 8) & 1u : 0;

		rest = rest << 1 | in;
		if (rest & 0x100)
			rest ^= 0x107;
	}
	return (uint8_t)rest;
}

/* The reply to reg in hex; the last 16 stay valid. */
static const char *reply_of(uint8_t reg, uint32_t value, uint8_t n)
{
	static char hex[16][64];
	static unsigned next;
	uint8_t p[8] = {0x0a, reg, n};

	next = (next + 1) % 16;
	for (unsigned i = 0; i < n; i++)
		p[3 + i] = (uint8_t)(value >> 8 * (n - 1 - i));
	p[3 + n] = pec(p, 3u + n);
	bytes_hex((struct bytes){p + 3, n + 1u}, hex[next], sizeof(hex[next]));
	return hex[next];
}

static const char *reply(uint8_t reg, uint32_t value)
{
	return reply_of(reg, value, reg >= CURRENT && reg <= REMAINING ? 4 : 2);
}

static void told(struct device *dev, uint8_t reg, uint32_t value)
{
	assert_int_equal(play(dev, reg, 0, RX(reply(reg, value)), NULL), EXCHANGE_ANSWERED);
}

static struct device board(uint16_t config)
{
	struct device dev = fresh_device("sinowealth", 0, 0);

	told(&dev, CONFIG, config);
	return dev;
}

/* A 4S board of 250 Ah that has answered what detection asks. */
static struct device usual_board(void)
{
	struct device dev = board(0x41);

	told(&dev, TOTAL, 13325);
	told(&dev, 1, 3331);
	told(&dev, FULL, 250000);
	return dev;
}

static void is_not_taken(uint8_t reg, const char *const *rx, const char *say)
{
	struct device dev = fresh_device("sinowealth", 0, 0);
	char error[128];

	assert_int_equal(play(&dev, reg, 0, rx, error), EXCHANGE_FAILED);
	assert_string_equal(error, say);
	assert_true(dev.reading.known == 0);
	assert_false(dev.reading.cell_V.reported);
	device_free(&dev);
}

/* ---- requests ---- */

static void requests_are_three_bytes(void **unused)
{
	struct device dev = fresh_device("sinowealth", 0, 0);
	struct request request;

	(void)unused;
	assert_string_equal(request_hex(&dev, CONFIG, 0), "0a1702");
	assert_string_equal(request_hex(&dev, 1, 0), "0a0102");
	assert_string_equal(request_hex(&dev, 10, 0), "0a0a02");
	assert_string_equal(request_hex(&dev, TOTAL, 0), "0a0b02");
	assert_string_equal(request_hex(&dev, CURRENT, 0), "0a1004");
	assert_string_equal(request_hex(&dev, REMAINING, 0), "0a1204");
	assert_false(dev.protocol->encode(&dev, 0, 0, &request));
	assert_false(dev.protocol->encode(&dev, 0x18, 0, &request));
	device_free(&dev);
}

static bool parse(const char *hex, struct request *out)
{
	uint8_t buf[64];
	int n = bytes_from_hex(hex, buf, sizeof(buf));

	return protocol_by_id("sinowealth")->parse_request((struct bytes){buf, (size_t)n}, out);
}

static void recorded_requests_are_recognised(void **unused)
{
	struct request request;

	(void)unused;
	assert_true(parse("0a0b02", &request));
	assert_int_equal(request.code, TOTAL);
	assert_true(parse("0a0104", &request)); /* as another program asks */
	assert_int_equal(request.code, 1);
	assert_false(parse("0a0b0200", &request));
	assert_false(parse("0a0b", &request));
	assert_false(parse("0b0b02", &request));
	assert_false(parse("0a0002", &request));
	assert_false(parse("0a1902", &request));
	assert_false(parse("0a0b00", &request));
	assert_false(parse("0a0b15", &request));
	assert_false(parse("0a70760a", &request)); /* an HLP Data command */
}

static void nothing_can_be_commanded(void **unused)
{
	const struct protocol *p = protocol_by_id("sinowealth");

	(void)unused;
	assert_int_equal(p->commands, 0);
	assert_null(p->proceed);
}

/* ---- replies that are none ---- */

static void a_wrong_crc_is_dropped(void **unused)
{
	(void)unused;
	is_not_taken(TOTAL, RX("340d0e"), "reply rejected: checksum");
	is_not_taken(TOTAL, RX("350d0f"), "reply rejected: checksum");
}

static void a_reply_to_another_register_is_dropped(void **unused)
{
	(void)unused;
	is_not_taken(2, RX("0d03fd"), "reply rejected: checksum"); /* that of register 1 */
	for (uint8_t reg = 2; reg <= CONFIG; reg++) {
		struct device dev = fresh_device("sinowealth", 0, 0);

		assert_int_equal(play(&dev, reg, 0, RX("0d03fd"), NULL), EXCHANGE_FAILED);
		device_free(&dev);
	}
}

static void another_length_is_no_reply(void **unused)
{
	(void)unused;
	is_not_taken(TOTAL, RX("340d"), "reply rejected: reply cut short");
	is_not_taken(CURRENT, RX("0d03fd"), "reply rejected: reply cut short");
	is_not_taken(TOTAL, RX("0000000000340d0f"), "reply rejected: more bytes than were asked for");
}

static void an_echo_is_no_reply(void **unused)
{
	struct device dev = fresh_device("sinowealth", 0, 0);

	(void)unused;
	is_not_taken(TOTAL, RX("0a0b02"), "no reply, only our own bytes came back");
	for (uint8_t reg = 1; reg <= CONFIG; reg++) {
		char noisy[16];

		snprintf(noisy, sizeof(noisy), "ff%s", request_hex(&dev, reg, 0));
		assert_int_equal(play(&dev, reg, 0, RX(noisy), NULL), EXCHANGE_FAILED);
	}
	device_free(&dev);
}

static void a_few_stray_bytes_cuts_and_an_echo_are_no_matter(void **unused)
{
	struct device dev = fresh_device("sinowealth", 0, 0);

	(void)unused;
	assert_int_equal(play(&dev, TOTAL, 0, RX("ff340d0f"), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, TOTAL, 0, RX("ffff340d0fff"), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, TOTAL, 0, RX("34", "0d", "0f"), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, TOTAL, 0, RX("0a0b02", "340d0f"), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, TOTAL, 0, RX("0a0b02340d0f"), NULL), EXCHANGE_ANSWERED);
	assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 13.325);
	device_free(&dev);
}

/* No window slides over talk that is somebody else's. */
static void the_reply_inside_of_longer_talk_is_none(void **unused)
{
	(void)unused;
	is_not_taken(TOTAL, RX("24475052", "340d0f", "0d0a"), "reply rejected: more bytes than were asked for");
	is_not_taken(TOTAL,
		     RX("340d0f24475052"
			"4d43"),
		     "reply rejected: more bytes than were asked for");
}

/* Until the line is silent a reply is not believed: more may follow. */
static void a_reply_counts_only_when_the_line_has_fallen_silent(void **unused)
{
	static struct exchange x;
	static struct line_stats stats;
	struct device dev = fresh_device("sinowealth", 0, 0);
	static const uint8_t bytes[] = {0x34, 0x0d, 0x0f, 0x0d, 0x0a, 0x34, 0x0d, 0x0f};
	struct request request;

	(void)unused;
	assert_true(dev.protocol->encode(&dev, TOTAL, 0, &request));
	exchange_begin(&x, &dev, &request, &stats, 0, 0);
	exchange_receive(&x, (struct bytes){bytes, 3}, 20);
	assert_int_equal(x.state, EXCHANGE_WAITING);
	exchange_receive(&x, (struct bytes){bytes + 3, 5}, 30);
	exchange_tick(&x, 60);
	assert_int_equal(x.state, EXCHANGE_WAITING);
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	exchange_receive(&x, (struct bytes){bytes, 3}, 100);
	exchange_tick(&x, 129);
	assert_int_equal(x.state, EXCHANGE_WAITING);
	exchange_tick(&x, 130);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void less_than_a_register_is_not_believed(void **unused)
{
	struct device dev = fresh_device("sinowealth", 0, 0);
	char error[128];

	(void)unused;
	assert_int_equal(play_tx(&dev, "0a0b01", RX(reply_of(TOTAL, 0x34, 1)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: less than one register");
	assert_int_equal(play_tx(&dev, "0a1002", RX(reply_of(CURRENT, 0x34, 2)), error), EXCHANGE_FAILED);
	assert_true(dev.reading.known == 0);
	assert_int_equal(play_tx(&dev, "0a0b04", RX(reply_of(TOTAL, 0x340d0ba5, 4)), error), EXCHANGE_ANSWERED);
	assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 13.325);
	device_free(&dev);
}

/* ---- registers ---- */

static void every_register_has_its_scale(void **unused)
{
	struct device dev = board(0x41);
	const struct reading *r = &dev.reading;

	(void)unused;
	told(&dev, 4, 3330);
	told(&dev, TOTAL, 13325);
	told(&dev, TEMP_1, 2981);
	told(&dev, TEMP_2, 2681);
	told(&dev, TEMP_IC, 3011);
	told(&dev, CURRENT, (uint32_t)-12500);
	told(&dev, FULL, 250000);
	told(&dev, REMAINING, 200001);
	told(&dev, SOC, 80);
	told(&dev, CYCLES, 300);
	assert_true(r->cell_V.value[3] == 3.33);
	assert_true(reading_get(r, Q_VOLTAGE_V) == 13.325);
	assert_true(r->temperatures.value[0] == 25);
	assert_true(r->temperatures.value[1] == -5);
	assert_true(reading_detail(r, "temp_ic_C") == 28);
	assert_true(reading_get(r, Q_CURRENT_A) == -12.5);
	assert_true(reading_get(r, Q_CAPACITY_FULL_AH) == 250);
	assert_true(reading_get(r, Q_CAPACITY_REMAINING_AH) == 200.001);
	assert_true(reading_get(r, Q_SOC_PCT) == 80);
	assert_true(reading_get(r, Q_CYCLES) == 300);
	told(&dev, CURRENT, 5120);
	assert_true(reading_get(r, Q_CURRENT_A) == 5.12);
	device_free(&dev);
}

static void what_can_not_be_is_unknown(void **unused)
{
	struct device dev = board(0x41);
	char error[128];

	(void)unused;
	told(&dev, FULL, 0);
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_FULL_AH));
	told(&dev, REMAINING, (uint32_t)-1);
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_REMAINING_AH));
	told(&dev, TEMP_1, 0);
	assert_false(series_knows(&dev.reading.temperatures, 0));
	assert_int_equal(play(&dev, SOC, 0, RX(reply(SOC, 101)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: SoC above 100 %");
	assert_false(reading_knows(&dev.reading, Q_SOC_PCT));
	device_free(&dev);
}

static void the_configuration_tells_cells_and_sensors(void **unused)
{
	(void)unused;
	for (uint16_t config = 0; config < 256; config++) {
		struct device dev = board(config);
		const struct reading *r = &dev.reading;
		unsigned cells = 3u + (config & 7);

		assert_true(reading_get(r, Q_CELL_COUNT) == cells);
		assert_int_equal(r->cell_V.count, cells);
		assert_int_equal(r->temperatures.count, config & 0x40 ? 2 : 1);
		told(&dev, TEMP_2, 2981);
		assert_int_equal(series_knows(&dev.reading.temperatures, 1), (config & 0x40) != 0);
		for (uint8_t cell = 1; cell <= 10; cell++)
			told(&dev, cell, 3300);
		assert_int_equal(r->cell_V.count, cells);
		device_free(&dev);
	}
	struct device dev = board(0x04);
	assert_string_equal(dev.reading.text[T_HARDWARE_VERSION], "Daly/Sinowealth 7S");
	device_free(&dev);
}

static void without_configuration_a_cell_of_0_is_not_there(void **unused)
{
	struct device dev = fresh_device("sinowealth", 0, 0);

	(void)unused;
	for (uint8_t cell = 1; cell <= 10; cell++)
		told(&dev, cell, cell <= 4 ? 3300 : 0);
	assert_int_equal(dev.reading.cell_V.count, 4);
	device_free(&dev);
}

static bool wants(const struct device *dev, uint16_t reg)
{
	for (unsigned i = 0; i < dev->protocol->poll_count; i++) {
		const struct poll *row = &dev->protocol->polls[i];

		if (row->code == reg)
			return !row->wanted || row->wanted(dev);
	}
	return false;
}

static void only_cells_and_sensors_that_are_there_are_polled(void **unused)
{
	struct device dev = fresh_device("sinowealth", 0, 0);

	(void)unused;
	for (uint16_t cell = 1; cell <= 10; cell++)
		assert_true(wants(&dev, cell));
	assert_false(wants(&dev, 0x0f));
	assert_false(wants(&dev, 0x18));
	device_free(&dev);
	for (uint16_t config = 0; config < 8; config++) {
		dev = board(config);
		for (uint16_t cell = 1; cell <= 10; cell++)
			assert_int_equal(wants(&dev, cell), cell <= config + 3);
		assert_false(wants(&dev, TEMP_2));
		device_free(&dev);
	}
	dev = board(0x40);
	assert_true(wants(&dev, TEMP_2));
	device_free(&dev);
}

static void an_inverted_board_is_turned_round_with_its_current_alarms(void **unused)
{
	struct device dev = board(0x41);
	const struct alarms *a = &dev.reading.alarms;

	(void)unused;
	dev.options.invert_current = true;
	told(&dev, CURRENT, 5120);
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == -5.12);
	told(&dev, CURRENT, 0);
	assert_false(signbit(reading_get(&dev.reading, Q_CURRENT_A)));
	told(&dev, PROTECTION, 1 << 2);
	assert_int_equal(a->level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_RAISED);
	told(&dev, PROTECTION, 1 << 3 | 1 << 1);
	assert_int_equal(a->level[ALARM_HIGH_CHARGE_CURRENT], ALARM_RAISED);
	assert_int_equal(a->level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_OK);
	assert_int_equal(a->level[ALARM_LOW_CELL_VOLTAGE], ALARM_RAISED);
	device_free(&dev);
}

/* ---- status and alarms ---- */

static void every_status_bit_is_told(void **unused)
{
	static const char *const name[16] = {[2] = "charging",	       [3] = "discharging",
					     [4] = "slow_discharge",   [5] = "medium_discharge",
					     [6] = "fast_discharge",   [8] = "fully_charged",
					     [9] = "fully_discharged", [10] = "valid_discharge_qualified",
					     [15] = "calibrated"};
	struct device dev = board(0x41);
	const struct reading *r = &dev.reading;

	(void)unused;
	for (unsigned bit = 0; bit < 16; bit++) {
		told(&dev, STATUS, 1u << bit);
		assert_int_equal(reading_flag(r, F_CHARGE_MOS), bit == 0 ? ON : OFF);
		assert_int_equal(reading_flag(r, F_CHARGE_ALLOWED), bit == 0 ? ON : OFF);
		assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), bit == 1 ? ON : OFF);
		assert_int_equal(reading_flag(r, F_DISCHARGE_ALLOWED), bit == 1 ? ON : OFF);
		for (unsigned i = 0; i < 16; i++)
			if (name[i])
				assert_true(reading_detail(r, name[i]) == (i == bit));
	}
	assert_false(r->alarms.known); /* the protections have not been read */
	device_free(&dev);
}

static void every_protection_bit_means_what_the_sheet_says(void **unused)
{
	static const enum alarm meaning[16][2] = {
		[0] = {ALARM_HIGH_CELL_VOLTAGE, ALARM_HIGH_VOLTAGE},
		[1] = {ALARM_LOW_CELL_VOLTAGE, ALARM_LOW_VOLTAGE},
		[2] = {ALARM_HIGH_CHARGE_CURRENT, ALARM_COUNT},
		[3] = {ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT},
		[4] = {ALARM_COUNT, ALARM_COUNT},
		[5] = {ALARM_COUNT, ALARM_COUNT},
		[6] = {ALARM_COUNT, ALARM_COUNT},
		[7] = {ALARM_COUNT, ALARM_COUNT},
		[8] = {ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_COUNT},
		[9] = {ALARM_HIGH_TEMPERATURE, ALARM_COUNT},
		[10] = {ALARM_LOW_CHARGE_TEMPERATURE, ALARM_COUNT},
		[11] = {ALARM_LOW_TEMPERATURE, ALARM_COUNT},
		[12] = {ALARM_HIGH_CELL_VOLTAGE, ALARM_HIGH_VOLTAGE},
		[13] = {ALARM_SHORT_CIRCUIT, ALARM_HIGH_DISCHARGE_CURRENT},
		[14] = {ALARM_INTERNAL_FAILURE, ALARM_COUNT},
		[15] = {ALARM_COUNT, ALARM_COUNT},
	};
	struct device dev = board(0x41);
	const struct alarms *a = &dev.reading.alarms;

	(void)unused;
	for (unsigned bit = 0; bit < 16; bit++) {
		unsigned expected = 0;

		told(&dev, PROTECTION, 1u << bit);
		for (unsigned i = 0; i < 2; i++) {
			if (meaning[bit][i] == ALARM_COUNT)
				continue;
			assert_int_equal(a->level[meaning[bit][i]], ALARM_RAISED);
			expected++;
		}
		assert_int_equal(alarms_raised(a), expected);
		assert_true(a->known);
	}
	device_free(&dev);
}

static void an_empty_battery_warns_in_whatever_order_the_registers_come(void **unused)
{
	struct device dev = board(0x41);
	const struct alarms *a = &dev.reading.alarms;

	(void)unused;
	told(&dev, STATUS, 1u << 9);
	told(&dev, PROTECTION, 1u << 1);
	assert_int_equal(a->level[ALARM_LOW_SOC], ALARM_WARNING);
	assert_int_equal(a->level[ALARM_LOW_VOLTAGE], ALARM_RAISED);
	told(&dev, STATUS, 3);
	assert_int_equal(a->level[ALARM_LOW_SOC], ALARM_OK);
	assert_int_equal(a->level[ALARM_LOW_VOLTAGE], ALARM_RAISED);
	told(&dev, PROTECTION, 0);
	assert_int_equal(alarms_raised(a), 0);
	assert_true(a->known);
	device_free(&dev);
}

/* ---- is it one? ---- */

static void assert_plausible(const struct device *dev, const char *against)
{
	const char *why = NULL;

	assert_int_equal(dev->protocol->plausible(dev, &why), against == NULL);
	if (against)
		assert_string_equal(why, against);
}

static void a_board_is_one_when_its_numbers_fit_together(void **unused)
{
	static const struct {
		uint8_t reg;
		uint32_t value;
		const char *against;
	} each[] = {
		{1, 3331, NULL},
		{1, 499, "its first cell is outside 0.5..5 V"},
		{1, 5001, "its first cell is outside 0.5..5 V"},
		{TOTAL, 33250, "its first cell is not one of so many in this pack voltage"},
		{TOTAL, 10000, "its first cell is not one of so many in this pack voltage"},
		{TOTAL, 0, "its first cell is not one of so many in this pack voltage"},
		{FULL, 999, "capacity outside 1..2000 Ah"},
		{FULL, 2000001, "capacity outside 1..2000 Ah"},
		{FULL, 0, "capacity outside 1..2000 Ah"},
	};
	struct device dev = fresh_device("sinowealth", 0, 0);

	(void)unused;
	assert_plausible(&dev, "configuration, voltage and first cell have not all been answered");
	device_free(&dev);
	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		dev = usual_board();
		told(&dev, each[i].reg, each[i].value);
		assert_plausible(&dev, each[i].against);
		device_free(&dev);
	}
}

static void a_chip_with_more_cells_is_refused_by_name(void **unused)
{
	struct device dev = board(0x05); /* 16 cells, in three bits */

	(void)unused;
	told(&dev, TOTAL, 3330); /* a cell */
	told(&dev, 1, 3331);
	told(&dev, FULL, 250000);
	assert_plausible(&dev, "a Sinowealth chip with more than 10 cells, whose register map is unknown");
	device_free(&dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_three_bytes),
		cmocka_unit_test(recorded_requests_are_recognised),
		cmocka_unit_test(nothing_can_be_commanded),
		cmocka_unit_test(a_wrong_crc_is_dropped),
		cmocka_unit_test(a_reply_to_another_register_is_dropped),
		cmocka_unit_test(another_length_is_no_reply),
		cmocka_unit_test(an_echo_is_no_reply),
		cmocka_unit_test(a_few_stray_bytes_cuts_and_an_echo_are_no_matter),
		cmocka_unit_test(the_reply_inside_of_longer_talk_is_none),
		cmocka_unit_test(a_reply_counts_only_when_the_line_has_fallen_silent),
		cmocka_unit_test(less_than_a_register_is_not_believed),
		cmocka_unit_test(every_register_has_its_scale),
		cmocka_unit_test(what_can_not_be_is_unknown),
		cmocka_unit_test(the_configuration_tells_cells_and_sensors),
		cmocka_unit_test(without_configuration_a_cell_of_0_is_not_there),
		cmocka_unit_test(only_cells_and_sensors_that_are_there_are_polled),
		cmocka_unit_test(an_inverted_board_is_turned_round_with_its_current_alarms),
		cmocka_unit_test(every_status_bit_is_told),
		cmocka_unit_test(every_protection_bit_means_what_the_sheet_says),
		cmocka_unit_test(an_empty_battery_warns_in_whatever_order_the_registers_come),
		cmocka_unit_test(a_board_is_one_when_its_numbers_fit_together),
		cmocka_unit_test(a_chip_with_more_cells_is_refused_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
