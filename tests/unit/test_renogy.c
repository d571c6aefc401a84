/* SPDX-License-Identifier: GPL-3.0-or-later */
/* renogy on frames constructed from its sheet: registers, status bits, what is no such battery. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/detect.h"
#include "play.h"
#include "protocols/checksum.h"
#include "vline.h"

enum { CELLS = 5000, PACK = 5035, STATUS = 5100, IDENTITY = 5110, SETTINGS = 5200, END = 5228 };
enum { NUMBERED = 0, LONE = 1, WRITE = 0x8000 };

/* The battery of these tests: 4 cells of 3.3 V, half full, at rest; a test changes what it is about. */
static struct battery {
	uint8_t address;
	uint16_t reg[END - CELLS];
	bool no_manufacturer, silent_there; /* registers 5132..5141 do not exist; silence instead of a refusal */
} battery;

static struct device dev;
static char error[128];

static void set(uint16_t reg, int v)
{
	battery.reg[reg - CELLS] = (uint16_t)v;
}

static void set_text(uint16_t reg, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i += 2)
		set((uint16_t)(reg + i / 2), text[i] << 8 | text[i + 1]);
}

static void start_battery(void)
{
	memset(&battery, 0, sizeof(battery));
	battery.address = 0x30;
	set(5000, 4);
	for (uint16_t i = 0; i < 4; i++)
		set((uint16_t)(5001 + i), 33);
	set(5017, 2);
	set(5018, 215);
	set(5019, -15);
	set(5020, 180);
	set(5043, 132);
	set(5045, 50000);
	set(5046, 1);
	set(5047, 100000 - 65536);
	set(5048, 321);
	set(5049, 148);
	set(5050, 100);
	set(5051, 5000);
	set(5052, -10000);
	set(5106, 0x0006);
	set(5109, 0x00c0);
	set_text(5110, "PPTAH19000000017", 16);
	set_text(5118, "01", 2);
	set_text(5119, "0003", 4);
	set_text(5121, "02", 2);
	set_text(5122, "RBT100LFP12S-G1 ", 16);
	set_text(5130, "V104", 4);
	set_text(5132, "RENOGY\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	set(5200, 37);
	set(5205, 500);
	set(5207, -20);
	set(5210, 6000);
	set(5221, -11000);
	set(5223, 0x30);
}

static int set_up(void **unused)
{
	(void)unused;
	start_battery();
	dev = fresh_device("renogy", 0x30, NUMBERED);
	error[0] = 0;
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	device_free(&dev);
	return 0;
}

static size_t seal(uint8_t *p, size_t n)
{
	put_u16le(p + n, crc16_modbus((struct bytes){p, n}));
	return n + 2;
}

static const char *hex_of(const uint8_t *p, size_t n)
{
	static char hex[8][600];
	static unsigned turn;
	char *out = hex[turn++ % 8];

	bytes_hex((struct bytes){p, n}, out, sizeof(hex[0]));
	return out;
}

static bool exists(unsigned reg)
{
	return (reg >= 5000 && reg <= 5033) || (reg >= 5035 && reg <= 5052) || (reg >= 5200 && reg <= 5223) ||
	       (reg >= 5100 && reg <= (battery.no_manufacturer ? 5131 : 5141));
}

static size_t on_request(struct bytes r, uint8_t *rx)
{
	uint16_t start = u16be_at(r, 2), count = u16be_at(r, 4);

	if (u8_at(r, 0) != battery.address || u8_at(r, 1) != 3)
		return 0;
	rx[0] = battery.address;
	rx[1] = 3;
	rx[2] = (uint8_t)(2 * count);
	for (unsigned i = 0; i < count; i++) {
		if (!exists(start + i)) {
			rx[1] = 0x83;
			rx[2] = 2;
			return battery.silent_there ? 0 : seal(rx, 3);
		}
		put_u16be(rx + 3 + 2 * i, battery.reg[start + i - CELLS]);
	}
	return seal(rx, 3 + 2 * count);
}

static const char *reply_to(const char *tx)
{
	uint8_t p[MAX_REQUEST], rx[MAX_FRAME];
	int n = bytes_from_hex(tx, p, sizeof(p));

	return hex_of(rx, on_request((struct bytes){p, (size_t)n}, rx));
}

static enum exchange_state ask(uint16_t code)
{
	char tx[64];

	strncpy(tx, request_hex(&dev, code, 0), sizeof(tx) - 1);
	tx[sizeof(tx) - 1] = 0;
	return play_tx(&dev, tx, RX(reply_to(tx)), error);
}

static double get(enum quantity q)
{
	return reading_get(&dev.reading, q);
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
	assert_string_equal(request_hex(&dev, CELLS, 0), "300313880022455c");
	assert_string_equal(request_hex(&dev, PACK, 0), "300313ab0012b482");
	assert_string_equal(request_hex(&dev, STATUS, 0), "300313ec000a049d");
	assert_string_equal(request_hex(&dev, SETTINGS, 0), "3003145000184400");
	assert_string_equal(request_hex(&dev, 0x13b2, 7), "300313b20007a48a");
	dev.address = 0xf7;
	assert_string_equal(request_hex(&dev, CELLS, 0), "f7031388002255eb");
}

static void nothing_can_be_written(void **unused)
{
	struct request r;

	(void)unused;
	assert_int_equal(dev.protocol->commands, 0);
	for (unsigned code = 0; code <= 0xffff; code++)
		for (uint16_t arg = 0; arg < 2; arg++)
			assert_false(dev.protocol->encode(&dev, (uint16_t)code, arg, &r) && r.writes);
}

static void requests_are_recognised_from_their_bytes(void **unused)
{
	static const uint16_t code[] = {CELLS, PACK, STATUS, IDENTITY, IDENTITY, SETTINGS};
	struct request r, again;

	(void)unused;
	for (size_t i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
		assert_true(dev.protocol->encode(&dev, code[i], 0, &r));
		assert_true(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
		assert_int_equal(again.code, code[i]);
		assert_int_equal(again.arg, 0);
		assert_int_equal(again.address, 0x30);
		assert_int_equal(again.dialect, NUMBERED);
		assert_false(again.writes);
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n - 1u}, &again));
		r.tx[3] ^= 1;
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
	}
}

static void renumbering_is_recognised_in_a_recording_as_a_write(void **unused)
{
	uint8_t p[8];
	struct request r;

	(void)unused;
	bytes_from_hex("f706146700302967", p, sizeof(p));
	assert_true(dev.protocol->parse_request((struct bytes){p, 8}, &r));
	assert_true(r.writes);
	assert_int_equal(r.dialect, LONE);
	assert_int_equal(play_tx(&dev, "f706146700302967", RX("f706146700302967"), error), EXCHANGE_ANSWERED);
	bytes_from_hex("f70614660001", p, sizeof(p)); /* the shutdown command */
	assert_false(dev.protocol->parse_request((struct bytes){p, seal(p, 6)}, &r));
}

static void requests_to_other_devices_are_not_ours(void **unused)
{
	static const uint8_t head[][6] = {
		{0x01, 0x04, 0x13, 0x88, 0x00, 0x22}, /* another function */
		{0x01, 0x03, 0x00, 0x0a, 0x00, 0x08}, /* a charge controller's register */
		{0x00, 0x03, 0x13, 0x88, 0x00, 0x22}, /* a broadcast */
	};
	struct request r;

	(void)unused;
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) {
		uint8_t p[8];

		memcpy(p, head[i], 6);
		assert_false(dev.protocol->parse_request((struct bytes){p, seal(p, 6)}, &r));
	}
}

/* ---- values ---- */

static void cells_and_sensors_are_as_many_as_their_numbers_say(void **unused)
{
	const struct reading *r = &dev.reading;

	(void)unused;
	set(5005, 33);
	assert_int_equal(ask(CELLS), EXCHANGE_ANSWERED);
	assert_true(get(Q_ADDRESS) == 0x30);
	assert_true(get(Q_CELL_COUNT) == 4);
	assert_int_equal(r->cell_V.count, 4);
	assert_true(r->cell_V.value[3] == 3.3);
	assert_int_equal(r->temperatures.count, 2); /* the third is filled, but not there */
	assert_true(r->temperatures.value[0] == 21.5);
	assert_true(r->temperatures.value[1] == -1.5);
}

static void every_field_of_the_pack_is_told(void **unused)
{
	(void)unused;
	set(5042, -3618);
	assert_int_equal(ask(PACK), EXCHANGE_ANSWERED);
	assert_true(get(Q_CURRENT_A) == -36.18);
	assert_true(get(Q_VOLTAGE_V) == 13.2);
	assert_true(get(Q_CAPACITY_REMAINING_AH) == 50);
	assert_true(get(Q_CAPACITY_FULL_AH) == 100);
	assert_true(get(Q_SOC_PCT) == 50);
	assert_true(get(Q_CYCLES) == 321);
	assert_true(get(Q_BMS_CVL_V) == 14.8);
	assert_true(get(Q_BMS_DVL_V) == 10);
	assert_true(get(Q_BMS_CCL_A) == 50);
	assert_true(get(Q_BMS_DCL_A) == 100);
}

static void the_soc_follows_from_two_capacities(void **unused)
{
	(void)unused;
	set(5045, 49796);
	ask(PACK);
	assert_true(get(Q_SOC_PCT) == 49.8);
	set(5044, 2);
	ask(PACK); /* more than it can hold */
	assert_true(get(Q_SOC_PCT) == 100);
	set(5046, 0);
	set(5047, 0);
	ask(PACK);
	assert_false(reading_knows(&dev.reading, Q_SOC_PCT));
}

static void sensors_that_are_not_there_are_not_told(void **unused)
{
	(void)unused;
	set(5037, 250);
	set(5040, 250);
	ask(PACK);
	assert_false(reading_knows(&dev.reading, Q_TEMP_AMBIENT_C));
	assert_true(isnan(detail("temp_heater_1_C")));
	assert_true(isnan(detail("temp_board_C")));
	set(5035, -30);
	set(5036, 2);
	set(5038, -80);
	set(5039, 1);
	ask(PACK);
	assert_true(get(Q_TEMP_AMBIENT_C) == 25);
	assert_true(detail("temp_ambient_2_C") == -8);
	assert_true(detail("temp_heater_1_C") == 25);
	assert_true(isnan(detail("temp_heater_2_C")));
	assert_true(detail("temp_board_C") == -3);
}

static void two_families_count_the_current_in_tenths(void **unused)
{
	static const struct {
		const char *model;
		double current;
	} row[] = {{"RBT100LFP12S-G1 ", 1.23},
		   {"RNGPRO12V500AH  ", 1.23},
		   {"RNGRBP12V100AH  ", 12.3},
		   {"RNGC12V100AH    ", 12.3}};

	(void)unused;
	set(5042, 123);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		set_text(5122, row[i].model, 16);
		assert_int_equal(ask(IDENTITY), EXCHANGE_ANSWERED);
		ask(IDENTITY);
		ask(PACK);
		assert_true(get(Q_CURRENT_A) == row[i].current);
	}
}

static void the_identity_is_told(void **unused)
{
	const struct reading *r = &dev.reading;

	(void)unused;
	assert_int_equal(ask(IDENTITY), EXCHANGE_ANSWERED);
	assert_string_equal(r->text[T_MODEL], "RBT100LFP12S-G1");
	assert_string_equal(r->text[T_MANUFACTURER], "RENOGY");
	assert_string_equal(r->text[T_SERIAL_NUMBER], "PPTAH19000000017");
	assert_string_equal(r->text[T_FIRMWARE_VERSION], "V104");
	assert_string_equal(settings_find(&dev.settings, "main_line_version")->text, "0003");
}

static void a_battery_without_its_makers_name_is_asked_without_it(void **unused)
{
	(void)unused;
	battery.no_manufacturer = true;
	assert_int_equal(ask(IDENTITY), EXCHANGE_REFUSED);
	assert_int_equal(ask(IDENTITY), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_MODEL], "RBT100LFP12S-G1");
	assert_string_equal(dev.reading.text[T_MANUFACTURER], "");
	battery.silent_there = true;
	assert_int_equal(ask(IDENTITY), EXCHANGE_FAILED);
	assert_int_equal(ask(IDENTITY), EXCHANGE_ANSWERED);
}

static void parameters_are_settings(void **unused)
{
	(void)unused;
	assert_int_equal(ask(SETTINGS), EXCHANGE_ANSWERED);
	assert_true(settings_number(&dev.settings, "cell_ovp_V") == 3.7);
	assert_true(settings_number(&dev.settings, "charge_high_warning_C") == 50);
	assert_true(settings_number(&dev.settings, "charge_utp_C") == -2);
	assert_true(settings_number(&dev.settings, "charge_high_warning_A") == 60);
	assert_true(settings_number(&dev.settings, "discharge_high_warning_A") == -110);
	assert_true(settings_number(&dev.settings, "device_address") == 0x30);
}

static void a_part_of_the_registers_tells_what_is_in_it(void **unused)
{
	(void)unused;
	assert_int_equal(play_tx(&dev, "300313b20006654a", RX(reply_to("300313b20006654a")), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_SOC_PCT) == 50);
	assert_false(reading_knows(&dev.reading, Q_CYCLES));
	assert_false(dev.reading.alarms.known);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), UNKNOWN);
}

/* ---- status ---- */

static void the_switches_and_permissions_are_told(void **unused)
{
	const struct reading *r = &dev.reading;

	(void)unused;
	ask(STATUS);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_HEATER_ON), OFF);
	assert_int_equal(reading_flag(r, F_CHARGE_ALLOWED), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_ALLOWED), ON);
	set(5106, 0x000c);
	set(5107, 0x2800);
	set(5109, 0x0088);
	ask(STATUS);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), OFF);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_HEATER_ON), ON);
	assert_int_equal(reading_flag(r, F_CHARGE_ALLOWED), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_ALLOWED), OFF);
	assert_true(detail("on_battery_power") == 1);
	assert_true(detail("fully_charged") == 1);
	assert_true(detail("full_charge_request") == 1);
}

static void a_limit_of_0_forbids_as_well(void **unused)
{
	(void)unused;
	set(5051, 0);
	ask(STATUS);
	ask(PACK);
	assert_true(get(Q_BMS_CCL_A) == 0);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), OFF);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), ON);
	set(5051, 100);
	set(5052, 0);
	ask(PACK);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), ON);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), OFF);
}

static void every_status_bit_has_its_alarm(void **unused)
{
	static const struct {
		uint16_t reg;
		uint8_t bit;
		enum alarm_level level;
		enum alarm alarm, also;
	} row[] = {
		{5106, 15, ALARM_RAISED, ALARM_LOW_VOLTAGE, ALARM_COUNT},
		{5106, 14, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_COUNT},
		{5106, 13, ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, ALARM_COUNT},
		{5106, 12, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, ALARM_COUNT},
		{5106, 11, ALARM_RAISED, ALARM_LOW_TEMPERATURE, ALARM_COUNT},
		{5106, 10, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT},
		{5106, 9, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, ALARM_COUNT},
		{5106, 8, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, ALARM_COUNT},
		{5106, 7, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, ALARM_COUNT},
		{5106, 6, ALARM_RAISED, ALARM_HIGH_VOLTAGE, ALARM_COUNT},
		{5106, 5, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT},
		{5106, 4, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, ALARM_COUNT},
		{5106, 0, ALARM_RAISED, ALARM_SHORT_CIRCUIT, ALARM_HIGH_DISCHARGE_CURRENT},
		{5107, 7, ALARM_WARNING, ALARM_HIGH_TEMPERATURE, ALARM_COUNT},
		{5107, 6, ALARM_WARNING, ALARM_LOW_TEMPERATURE, ALARM_COUNT},
		{5107, 5, ALARM_WARNING, ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_COUNT},
		{5107, 4, ALARM_WARNING, ALARM_LOW_CHARGE_TEMPERATURE, ALARM_COUNT},
		{5107, 3, ALARM_WARNING, ALARM_HIGH_VOLTAGE, ALARM_COUNT},
		{5107, 2, ALARM_WARNING, ALARM_LOW_VOLTAGE, ALARM_COUNT},
		{5107, 1, ALARM_WARNING, ALARM_HIGH_CELL_VOLTAGE, ALARM_COUNT},
		{5107, 0, ALARM_WARNING, ALARM_LOW_CELL_VOLTAGE, ALARM_COUNT},
	};
	const struct alarms *a = &dev.reading.alarms;
	unsigned raising = 0;

	(void)unused;
	for (uint16_t reg = 5106; reg <= 5107; reg++) {
		for (unsigned bit = 0; bit < 16; bit++) {
			set(5106, 0);
			set(5107, 0);
			set(reg, 1 << bit);
			assert_int_equal(ask(STATUS), EXCHANGE_ANSWERED);
			assert_true(a->known);
			raising += alarms_raised(a) > 0;
			for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
				if (row[i].reg != reg || row[i].bit != bit)
					continue;
				assert_int_equal(a->level[row[i].alarm], row[i].level);
				assert_int_equal(alarms_raised(a), row[i].also == ALARM_COUNT ? 1 : 2);
				assert_true(row[i].also == ALARM_COUNT || a->level[row[i].also] == ALARM_RAISED);
			}
		}
	}
	assert_int_equal(raising, sizeof(row) / sizeof(row[0])); /* and no other bit raises any */
}

static void a_cell_voltage_error_is_an_alarm_and_the_codes_are_not(void **unused)
{
	(void)unused;
	for (uint16_t reg = 5100; reg <= 5105; reg++)
		set(reg, 0x00aa);
	ask(STATUS);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	assert_true(detail("cell_voltage_codes") == 0x00aa00aa);
	set(5108, 4);
	ask(STATUS);
	assert_int_equal(dev.reading.alarms.level[ALARM_INTERNAL_FAILURE], ALARM_RAISED);
	assert_int_equal(dev.reading.alarms.own_count, 1);
	assert_string_equal(dev.reading.alarms.own[0].name, "cell_voltage_error");
}

/* ---- frames that are no answer ---- */

static void damaged_and_foreign_frames_are_not_believed(void **unused)
{
	const char *good = reply_to("300313ab0012b482");
	uint8_t p[64];
	int n = bytes_from_hex(good, p, sizeof(p));

	(void)unused;
	p[9] ^= 1;
	assert_int_equal(play(&dev, PACK, 0, RX(hex_of(p, (size_t)n)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: checksum");
	p[9] ^= 1;
	assert_int_equal(play(&dev, PACK, 0, RX(hex_of(p, (size_t)n - 3)), error), EXCHANGE_FAILED);
	p[0] = 0x31;
	seal(p, (size_t)n - 2);
	assert_int_equal(play(&dev, PACK, 0, RX(hex_of(p, (size_t)n)), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, CELLS, 0, RX(good), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: length of the reply");
	assert_int_equal(play(&dev, PACK, 0, RX("300313ab0012b482"), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, PACK, 0, RX("308302913e"), error), EXCHANGE_REFUSED);
	nothing_was_taken();
}

static void the_answer_is_found_between_noise_and_other_answers(void **unused)
{
	(void)unused;
	battery.address = 0x31;
	const char *other = reply_to("310313ab0012b553");

	battery.address = 0x30;
	set(5045, 12300);
	const char *own = reply_to("300313ab0012b482");

	assert_int_equal(play(&dev, PACK, 0, RX("30", "3003ff00", own), error), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, PACK, 0, RX(other, own, other), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_SOC_PCT) == 12.3);
	assert_true(get(Q_ADDRESS) == 0x30);
}

static void counts_that_no_battery_has_are_refused(void **unused)
{
	static const struct {
		uint16_t reg, value;
	} row[] = {{5000, 0}, {5000, 17}, {5017, 17}, {5017, 0xffff}};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		start_battery();
		set(row[i].reg, row[i].value);
		assert_int_equal(ask(CELLS), EXCHANGE_FAILED);
	}
	nothing_was_taken();
}

/* ---- is it such a battery? ---- */

static bool plausible(void)
{
	const char *why = NULL;

	device_free(&dev);
	dev = fresh_device("renogy", 0x30, NUMBERED);
	ask(CELLS);
	ask(IDENTITY);
	ask(PACK);
	bool is = dev.protocol->plausible(&dev, &why);
	assert_true(is || why);
	return is;
}

static void a_battery_is_plausible_by_its_maker_or_its_model(void **unused)
{
	(void)unused;
	assert_true(plausible());
	set_text(5122, "SOMETHING NEW   ", 16);
	assert_true(plausible());
	set_text(5122, "RBT100LFP12-BT  ", 16);
	set_text(5132, "                    ", 20);
	assert_true(plausible());
	set(5043, 136); /* cells are rounded to 0.1 V */
	assert_true(plausible());
}

static void another_device_is_not(void **unused)
{
	(void)unused;
	set_text(5122, "SOMETHING NEW   ", 16);
	set_text(5132, "OTHER               ", 20);
	assert_false(plausible());
	start_battery();
	set(5043, 140);
	assert_false(plausible());
	start_battery();
	set(5001, 46);
	assert_false(plausible());
	start_battery();
	set(5001, 14);
	assert_false(plausible());
}

static void a_meter_of_the_same_function_is_not(void **unused)
{
	static const uint16_t same[] = {0, 1, 4, 33, 0x4366, 0xffff};

	(void)unused;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		for (unsigned k = 0; k < END - CELLS; k++)
			battery.reg[k] = same[i];
		assert_false(plausible());
	}
}

/* ---- detection ---- */

static struct vline line;
static struct line_stats stats;
static const struct protocol *only[2];

static void on_line(void *ctx, struct vline *v, struct bytes request)
{
	uint8_t rx[MAX_FRAME];
	size_t n = on_request(request, rx);

	(void)ctx;
	if (n)
		vline_reply_bytes(v, (struct bytes){rx, n}, 25);
}

static void send_on_line(void *ctx, const struct request *request)
{
	(void)ctx;
	assert_false(request->writes);
	vline_send(&line, (struct bytes){request->tx, request->n});
}

static void set_line(void *ctx, const struct line *wanted)
{
	(void)ctx;
	line.line = *wanted;
}

static bool found_at(uint8_t address, uint8_t dialect)
{
	struct detect_io io = {send_on_line, set_line, NULL};
	struct vline_event e;
	bool listening, found;

	battery.address = address;
	only[0] = protocol_by_id("renogy");
	line = (struct vline){.now_ms = 1000, .device_line = {9600, 8, 'N', 1}, .device = on_line, .connected = true};
	struct detect *d = detect_new(only, NULL, NULL, 0, NULL, io, &stats);

	assert_non_null(d);
	detect_start(d, line.now_ms);
	while (detect_state(d) != DETECT_FOUND && detect_sweeps(d) < 4) {
		uint64_t at = detect_deadline(d) < vline_next(&line) ? detect_deadline(d) : vline_next(&line);

		if (at > line.now_ms)
			line.now_ms = at;
		while (vline_take(&line, &e))
			detect_receive(d, (struct bytes){e.bytes, e.n}, line.now_ms);
		detect_tick(d, line.now_ms);
	}
	found = detect_state(d) == DETECT_FOUND;
	if (found) {
		struct device dev_found = detect_take(d, &listening);

		found = dev_found.address == address && dev_found.dialect == dialect;
		device_free(&dev_found);
	}
	detect_free(d);
	return found;
}

static void a_battery_is_found_at_all_addresses_that_were_seen(void **unused)
{
	static const uint8_t address[] = {0x30, 0x31, 0x3f, 0x48, 0x49, 0x21, 0x23, 0x01, 0x20};

	(void)unused;
	for (size_t i = 0; i < sizeof(address); i++)
		assert_true(found_at(address[i], NUMBERED));
	assert_true(found_at(0xf7, LONE));
	assert_false(found_at(0xff, LONE)); /* one of a bank, which would hide the others */
}

static void a_battery_that_refuses_or_ignores_its_makers_name_is_found(void **unused)
{
	(void)unused;
	battery.no_manufacturer = true;
	assert_true(found_at(0x30, NUMBERED));
	battery.silent_there = true;
	assert_true(found_at(0x30, NUMBERED));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_are_those_of_the_sheet),
		TEST(nothing_can_be_written),
		TEST(requests_are_recognised_from_their_bytes),
		TEST(renumbering_is_recognised_in_a_recording_as_a_write),
		TEST(requests_to_other_devices_are_not_ours),
		TEST(cells_and_sensors_are_as_many_as_their_numbers_say),
		TEST(every_field_of_the_pack_is_told),
		TEST(the_soc_follows_from_two_capacities),
		TEST(sensors_that_are_not_there_are_not_told),
		TEST(two_families_count_the_current_in_tenths),
		TEST(the_identity_is_told),
		TEST(a_battery_without_its_makers_name_is_asked_without_it),
		TEST(parameters_are_settings),
		TEST(a_part_of_the_registers_tells_what_is_in_it),
		TEST(the_switches_and_permissions_are_told),
		TEST(a_limit_of_0_forbids_as_well),
		TEST(every_status_bit_has_its_alarm),
		TEST(a_cell_voltage_error_is_an_alarm_and_the_codes_are_not),
		TEST(damaged_and_foreign_frames_are_not_believed),
		TEST(the_answer_is_found_between_noise_and_other_answers),
		TEST(counts_that_no_battery_has_are_refused),
		TEST(a_battery_is_plausible_by_its_maker_or_its_model),
		TEST(another_device_is_not),
		TEST(a_meter_of_the_same_function_is_not),
		TEST(a_battery_is_found_at_all_addresses_that_were_seen),
		TEST(a_battery_that_refuses_or_ignores_its_makers_name_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
