/* SPDX-License-Identifier: GPL-3.0-or-later */
/* eg4-lifepower on frames constructed from its sheet: binary frames from both start bytes, and the ASCII ones. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ascii_frame.h"
#include "play.h"

enum { START_7E, START_7C, ASCII };
enum { INFO = 0x01, VERSION = 0x33, HARDWARE = 0x42, PARAMETERS = 0x43, HEAT_START = 0xf1, HEAT_STOP = 0xf3 };
enum { STATUS = 0x8044, BOARD_TEXT = 0x8051, CLOCK = 0x804d, CONFIRM = 0x7fff };
enum { PROTECTION = 0xe0 };

/* What the board of these tests has in its groups; a test changes what it is about. */
static struct board {
	uint16_t cells[48];
	unsigned cell_count;
	uint16_t current, soc, full, cycles, voltage, soh, protection;
	uint8_t temperatures[6][2];
	uint8_t status[10];
	bool counters;
	/* ASCII */
	uint8_t cell_side[16], sensor_side[6], current_side, voltage_side;
	uint8_t balance, voltage_event, current_event, remaining, fet, system;
	uint16_t temperature_event;
	uint32_t balancing;
} board;

static struct device dev;
static char error[128];

static void start_board(void)
{
	static const uint8_t temperatures[6][2] = {{0, 65}, {0, 65}, {0, 64}, {0, 60}, {0x80, 66}, {0x20, 67}};

	memset(&board, 0, sizeof(board));
	board.cell_count = 16;
	for (unsigned i = 0; i < 16; i++)
		board.cells[i] = (uint16_t)(3310 + i);
	board.current = 30000 + 1234;
	board.soc = 8860;
	board.full = 10000;
	board.cycles = 7;
	board.voltage = 5308;
	board.soh = 9900;
	memcpy(board.temperatures, temperatures, sizeof(temperatures));
	board.fet = 3;
}

static int set_up(void **unused)
{
	(void)unused;
	start_board();
	dev = fresh_device("eg4-lifepower", 1, START_7E);
	error[0] = 0;
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	device_free(&dev);
	return 0;
}

/* ---- binary frames, built as the sheet has them ---- */

static size_t seal(uint8_t *p, size_t n)
{
	uint8_t all = 0, sum = 0;

	for (size_t i = 0; i < n; i++) {
		all ^= p[i];
		sum = (uint8_t)(sum + p[i]);
	}
	p[n] = all ^ sum;
	p[n + 1] = 0x0d;
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

static const char *frame(uint8_t start, uint8_t address, uint8_t command, const uint8_t *data, size_t n)
{
	uint8_t p[300] = {start, address, command, (uint8_t)n};

	memcpy(p + 4, data, n);
	return hex_of(p, seal(p, 4 + n));
}

static size_t put_group(uint8_t *p, size_t at, uint8_t id, uint16_t value)
{
	p[at] = id;
	p[at + 1] = 1;
	put_u16be(p + at + 2, value);
	return at + 4;
}

static size_t put_counter(uint8_t *p, size_t at, uint8_t id, uint32_t value)
{
	p[at] = id;
	p[at + 1] = 1;
	put_u32be(p + at + 2, value);
	return at + 6;
}

static size_t info_data(uint8_t *p)
{
	size_t n = 2;

	p[0] = 1;
	p[1] = (uint8_t)board.cell_count;
	for (unsigned i = 0; i < board.cell_count; i++, n += 2)
		put_u16be(p + n, board.cells[i]);
	n = put_group(p, n, 2, board.current);
	n = put_group(p, n, 3, board.soc);
	n = put_group(p, n, 4, board.full);
	p[n++] = 5;
	p[n++] = 6;
	memcpy(p + n, board.temperatures, 12);
	n += 12;
	p[n++] = 6;
	p[n++] = 5;
	memcpy(p + n, board.status, 10);
	n += 10;
	n = put_group(p, n, 7, board.cycles);
	n = put_group(p, n, 8, board.voltage);
	n = put_group(p, n, 9, board.soh);
	n = put_group(p, n, 10, board.protection);
	for (uint8_t id = 0x0b; board.counters && id <= 0x10; id++)
		n = put_counter(p, n, id, 1000u * id);
	return board.counters ? put_group(p, n, 0x11, 0xffff) : n;
}

static const char *info_from(uint8_t start, uint8_t address)
{
	uint8_t data[256];

	return frame(start, address, INFO, data, info_data(data));
}

static const char *info(void)
{
	return info_from(0x7e, 1);
}

static enum exchange_state ask_info(void)
{
	return play(&dev, INFO, 0, RX(info()), error);
}

static void read_info(void)
{
	assert_int_equal(ask_info(), EXCHANGE_ANSWERED);
}

static enum exchange_state ask_text(uint16_t code, const char *text)
{
	return play(&dev, code, 0, RX(frame(0x7e, 1, (uint8_t)code, (const uint8_t *)text, strlen(text))), error);
}

/* ---- ASCII frames ---- */

static size_t analog_data(uint8_t *p)
{
	static const uint16_t temperature[6] = {2971, 2981, 2961, 2971, 3001, 2991};
	uint16_t word[] = {669, 5308, 8617, 9860, 84};
	uint16_t tail[] = {87, 98, 3325, 3310, 15, 2981, 2961};
	uint32_t counter[] = {711360, 676949, 382067, 356518, 1664, 1226};
	size_t n = 3;

	p[0] = 0x10;
	p[1] = 1;
	p[2] = (uint8_t)board.cell_count;
	for (unsigned i = 0; i < board.cell_count; i++, n += 2)
		put_u16be(p + n, board.cells[i]);
	p[n++] = 4;
	for (unsigned i = 0; i < 6; i++, n += 2)
		put_u16be(p + n, temperature[i]);
	for (unsigned i = 0; i < 5; i++, n += 2)
		put_u16be(p + n, word[i]);
	p[n++] = 15;
	for (unsigned i = 0; i < 7; i++, n += 2)
		put_u16be(p + n, tail[i]);
	for (unsigned i = 0; i < 6; i++, n += 4)
		put_u32be(p + n, counter[i]);
	put_u16be(p + n, 22153);
	put_u16be(p + n + 2, 32292);
	return n + 4;
}

static size_t status_data(uint8_t *p)
{
	size_t n = 3;

	p[0] = 0x10;
	p[1] = 1;
	p[2] = (uint8_t)board.cell_count;
	for (unsigned i = 0; i < board.cell_count; i++)
		p[n++] = board.cell_side[i % 16];
	p[n++] = 4;
	for (unsigned i = 0; i < 6; i++)
		p[n++] = board.sensor_side[i];
	p[n++] = board.current_side;
	p[n++] = board.voltage_side;
	p[n++] = 9;
	p[n++] = board.balance;
	p[n++] = board.voltage_event;
	put_u16be(p + n, board.temperature_event);
	n += 2;
	p[n++] = board.current_event;
	p[n++] = board.remaining;
	p[n++] = board.fet;
	p[n++] = board.system;
	put_u32be(p + n, board.balancing);
	n += 4;
	p[n++] = 0;
	return n;
}

static const char *ascii_reply(uint8_t rtn, const uint8_t *data, size_t n)
{
	return ascii_frame_hex((struct ascii_head){0x20, 1, 0x4a, rtn}, data, n);
}

static const char *analog(void)
{
	uint8_t data[256];

	return ascii_reply(0, data, analog_data(data));
}

static const char *status(void)
{
	uint8_t data[256];

	return ascii_reply(0, data, status_data(data));
}

static void read_ascii_status(void)
{
	dev.dialect = ASCII;
	assert_int_equal(play(&dev, STATUS, 0, RX(status()), error), EXCHANGE_ANSWERED);
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

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	static const uint8_t info_sum[16] = {0x00, 0xfe, 0xfc, 0xfe, 0xf8, 0xfe, 0xfc, 0xfe,
					     0xf0, 0xfe, 0xfc, 0xfe, 0xf8, 0xfe, 0xfc, 0xfe};
	static const uint8_t version_sum[16] = {0xfc, 0xfe, 0xfc, 0xfa, 0xfc, 0xfe, 0xfc, 0xf2,
						0xfc, 0xfe, 0xfc, 0xfa, 0xfc, 0xfe, 0xfc, 0x82};

	(void)unused;
	for (uint8_t address = 0; address < 16; address++) {
		uint8_t tx[] = {0x7e, address, INFO, 0, info_sum[address], 0x0d};

		dev.address = address;
		assert_string_equal(request_hex(&dev, INFO, 0), hex_of(tx, sizeof(tx)));
		tx[2] = VERSION;
		tx[4] = version_sum[address];
		assert_string_equal(request_hex(&dev, VERSION, 0), hex_of(tx, sizeof(tx)));
		tx[2] = HARDWARE;
		tx[4] = 0xfc;
		assert_string_equal(request_hex(&dev, HARDWARE, 0), hex_of(tx, sizeof(tx)));
	}
	dev.address = 1;
	assert_string_equal(request_hex(&dev, PARAMETERS, PROTECTION), "7e0143e07e0d");
	assert_string_equal(request_hex(&dev, PARAMETERS, 0), "7e014300fe0d");
	assert_string_equal(request_hex(&dev, HEAT_START, 0), "7e01f100fe0d");
	assert_string_equal(request_hex(&dev, HEAT_STOP, 0), "7e01f300fe0d");
	dev.dialect = START_7C;
	assert_string_equal(request_hex(&dev, INFO, 0), "7c010100020d");
	dev.dialect = ASCII;
	assert_string_equal(request_hex(&dev, INFO, 0), text_hex("~20014A420000FDA2\r"));
	assert_string_equal(request_hex(&dev, STATUS, 0), text_hex("~20014A440000FDA0\r"));
	assert_string_equal(request_hex(&dev, BOARD_TEXT, 0), text_hex("~20014A510000FDA2\r"));
	assert_string_equal(request_hex(&dev, CLOCK, 0), text_hex("~20014A4D0000FD90\r"));
}

static void nothing_can_be_written(void **unused)
{
	struct request r;

	(void)unused;
	assert_int_equal(dev.protocol->commands, 0);
	for (unsigned dialect = 0; dialect < 3; dialect++) {
		dev.dialect = (uint8_t)dialect;
		for (unsigned code = 0; code <= 0xffff; code++) {
			bool ascii_code = code == STATUS || code == BOARD_TEXT || code == CLOCK;
			bool binary_code = code == VERSION || code == HARDWARE || code == PARAMETERS ||
					   code == HEAT_START || code == HEAT_STOP;
			bool can = dev.protocol->encode(&dev, (uint16_t)code, 0, &r);

			assert_int_equal(can, code == INFO || code == CONFIRM ||
						      (dialect == ASCII ? ascii_code : binary_code));
			if (can)
				assert_false(r.writes);
		}
	}
}

static void requests_are_recognised_from_their_bytes(void **unused)
{
	(void)unused;
	for (unsigned dialect = 0; dialect < 3; dialect++) {
		dev.dialect = (uint8_t)dialect;
		for (unsigned i = 0; i < dev.protocol->poll_count; i++) {
			const struct poll *row = &dev.protocol->polls[i];
			struct request r, again;

			if (row->wanted && !row->wanted(&dev))
				continue;
			assert_true(dev.protocol->encode(&dev, row->code, row->arg, &r));
			assert_true(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
			assert_int_equal(again.code, row->code);
			assert_int_equal(again.arg, row->arg);
			assert_int_equal(again.dialect, dialect);
			assert_int_equal(again.address, 1);
			r.tx[r.n - 2] ^= 1;
			assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
		}
	}
}

static void requests_to_other_makes_are_not_ours(void **unused)
{
	static const char *const other[] = {
		"7e10e0f00d",				    /* cut */
		"7e01dc03060000c20d",			    /* nobody knows what it does */
		"7ea1010000be1855aa55",			    /* ant */
		"7e3230303134363432453030323031464433350d", /* seplos */
	};
	uint8_t tx[64];
	struct request r;

	(void)unused;
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		int n = bytes_from_hex(other[i], tx, sizeof(tx));

		assert_false(dev.protocol->parse_request((struct bytes){tx, (size_t)n}, &r));
	}
}

static void a_recorded_write_is_answered_by_its_status(void **unused)
{
	static const uint8_t ok[] = {0}, refused[] = {6};

	(void)unused;
	assert_int_equal(play_tx(&dev, "7e01e30101f80d", RX(frame(0x7e, 1, 0xe3, ok, 1)), error), EXCHANGE_ANSWERED);
	assert_int_equal(play_tx(&dev, "7e01f202003712 0d", RX(frame(0x7e, 1, 0xf2, refused, 1)), error),
			 EXCHANGE_REFUSED);
	assert_non_null(strstr(error, "status 06"));
}

/* ---- binary: values ---- */

static void every_field_is_told(void **unused)
{
	const struct reading *r = &dev.reading;

	(void)unused;
	board.counters = true;
	board.cells[2] |= 0x8000;
	board.cells[5] |= 0x4000;
	read_info();
	assert_true(get(Q_ADDRESS) == 1);
	assert_int_equal(r->cell_V.count, 16);
	assert_true(r->cell_V.value[2] == 3.312);
	assert_true(r->cell_V.value[5] == 3.315);
	assert_true(r->balancing_known);
	assert_true(r->balancing == 1 << 2);
	assert_true(detail("cell_high_bits") == 1 << 5);
	assert_true(get(Q_CURRENT_A) == -12.34);
	assert_true(get(Q_SOC_PCT) == 88.6);
	assert_true(get(Q_CAPACITY_FULL_AH) == 100);
	assert_int_equal(r->temperatures.count, 4);
	assert_true(r->temperatures.value[3] == 10);
	assert_true(get(Q_TEMP_MOS_C) == 16);
	assert_true(get(Q_TEMP_AMBIENT_C) == 17);
	assert_true(get(Q_CYCLES) == 7);
	assert_true(get(Q_VOLTAGE_V) == 53.08);
	assert_true(get(Q_SOH_PCT) == 99);
	assert_true(get(Q_TOTAL_CHARGE_AH) == 11000);
	assert_true(get(Q_TOTAL_DISCHARGE_AH) == 12000);
	assert_true(detail("charge_time_s") == 13000);
	assert_true(detail("discharge_time_s") == 14000);
	assert_true(detail("charge_energy_Wh") == 15000);
	assert_true(detail("discharge_energy_Wh") == 16000);
	assert_true(detail("protection_word") == 0);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_HEATER_ON), OFF);
	assert_true(r->alarms.known);
	assert_int_equal(alarms_raised(&r->alarms), 0);
}

static void what_a_firmware_does_not_send_stays_unknown(void **unused)
{
	(void)unused;
	read_info();
	assert_false(reading_knows(&dev.reading, Q_TOTAL_CHARGE_AH));
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_REMAINING_AH));
	assert_true(isnan(detail("charge_time_s")));
}

static void groups_may_come_in_any_order_with_unknown_ones_between(void **unused)
{
	static const uint8_t data[] = {0x08, 1,	   0x05, 0x2c, 0x77, 2,	   1,	 2,    3, 4,	0x02,
				       1,    0x75, 0x30, 0x03, 1,    0x13, 0x88, 0x01, 4, 0x0c, 0xee,
				       0x0c, 0xf1, 0x0c, 0xed, 0x0c, 0xf0, 0x07, 9,    0, 1};

	(void)unused;
	assert_int_equal(play(&dev, INFO, 0, RX(frame(0x7e, 1, INFO, data, sizeof(data))), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_VOLTAGE_V) == 13.24);
	assert_true(get(Q_SOC_PCT) == 50);
	assert_int_equal(dev.reading.cell_V.count, 4);
	/* the last group is longer than what is there */
	assert_false(reading_knows(&dev.reading, Q_CYCLES));
	/* and alarms are unknown, not absent */
	assert_false(dev.reading.alarms.known);
}

static void sensors_of_other_marks_are_battery_sensors(void **unused)
{
	(void)unused;
	board.temperatures[0][0] = 0x10;
	board.temperatures[4][0] = 0x40;
	board.temperatures[4][1] = 20;
	read_info();
	assert_int_equal(dev.reading.temperatures.count, 4);
	assert_true(dev.reading.temperatures.value[0] == 15);
	assert_true(get(Q_TEMP_MOS_C) == -30);
}

static void an_inverted_current_has_the_other_sign_and_the_other_alarms(void **unused)
{
	(void)unused;
	dev.options.invert_current = true;
	board.status[9] = 0x10;
	board.status[3] = 0x08;
	read_info();
	assert_true(get(Q_CURRENT_A) == 12.34);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_WARNING);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_CHARGE_CURRENT], ALARM_RAISED);
}

static void texts_are_model_firmware_and_hardware(void **unused)
{
	(void)unused;
	assert_int_equal(ask_text(VERSION, "TP-BD16S48V150-V3.1.29"), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_MODEL], "TP-BD16S48V150");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "TP-BD16S48V150-V3.1.29");
	assert_int_equal(ask_text(HARDWARE, "\xff HW-1.2_b\x80\x01 7*"), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_HARDWARE_VERSION], "HW-1.2_b 7");
}

static void a_version_without_a_model_is_one(void **unused)
{
	(void)unused;
	assert_int_equal(ask_text(VERSION, "-V3"), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_MODEL], "");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "-V3");
}

static void parameters_are_told_by_their_index(void **unused)
{
	static const uint8_t protection[] = {0,	 2, 0x0e, 0x42, 1,  2, 0x03, 0xe8, 2,  2, 0x0d, 0x7a,
					     6,	 2, 0x16, 0x80, 14, 2, 0x27, 0x10, 24, 2, 0x00, 0x64,
					     28, 2, 0x12, 0x2d, 50, 2, 0x00, 0x07, 99, 2, 0xff, 0xff};
	static const uint8_t warning[] = {0,  2, 0x0d, 0xde, 20, 2, 0x00, 0x69, 24, 2, 0x00, 0x6e,
					  33, 2, 0,    5,    35, 2, 0,	  40,	42, 2, 0,    20};

	(void)unused;
	assert_int_equal(play(&dev, PARAMETERS, PROTECTION,
			      RX(frame(0x7e, 1, PARAMETERS, protection, sizeof(protection))), error),
			 EXCHANGE_ANSWERED);
	assert_true(setting("cell_ovp_V") == 3.65);
	assert_true(setting("cell_ovp_delay_ms") == 1000);
	assert_true(setting("cell_ovpr_V") == 3.45);
	assert_true(setting("pack_ovp_V") == 57.6);
	assert_true(setting("charge_ocp_A") == 100);
	assert_true(setting("charge_otpr_C") == 50);
	assert_true(setting("charge_utp_C") == -5); /* the low byte alone */
	assert_true(setting("sleep_time") == 7);
	assert_int_equal(play(&dev, PARAMETERS, 0, RX(frame(0x7e, 1, PARAMETERS, warning, sizeof(warning))), error),
			 EXCHANGE_ANSWERED);
	assert_true(setting("cell_high_warning_V") == 3.55);
	assert_true(setting("charge_ot_warning_release_C") == 55);
	assert_true(setting("discharge_ot_warning_raw") == 110);
	assert_true(setting("low_capacity_warning_pct") == 5);
	assert_true(setting("cell_difference_warning_V") == 0.04);
	assert_true(setting("ambient_ut_warning_release_C") == -30);
	assert_int_equal(dev.settings.count, 14);
}

static void the_heating_temperatures_are_told(void **unused)
{
	static const uint8_t on[] = {0, 2, 0, 55}, off[] = {0, 2, 0, 40}, few[] = {0, 2, 0};

	(void)unused;
	assert_int_equal(play(&dev, HEAT_START, 0, RX(frame(0x7e, 1, HEAT_START, on, 4)), error), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, HEAT_STOP, 0, RX(frame(0x7e, 1, HEAT_STOP, off, 4)), error), EXCHANGE_ANSWERED);
	assert_true(setting("heat_start_C") == 5);
	assert_true(setting("heat_stop_C") == -10);
	assert_int_equal(play(&dev, HEAT_STOP, 0, RX(frame(0x7e, 1, HEAT_STOP, few, 3)), error), EXCHANGE_FAILED);
}

/* ---- binary: status bits ---- */

struct bit {
	uint8_t byte, bit;
	enum alarm alarm;	/* ALARM_COUNT: none of the common ones */
	enum alarm_level level; /* ALARM_OK: it raises nothing */
	const char *own;
};

#define A ALARM_RAISED
#define W ALARM_WARNING
#define N ALARM_COUNT, ALARM_OK, NULL

/* clang-format off */
static const struct bit bits[] = {
	{0, 3, ALARM_LOW_CELL_VOLTAGE, A, NULL}, {0, 4, ALARM_INTERNAL_FAILURE, A, NULL},
	{0, 5, ALARM_INTERNAL_FAILURE, A, NULL}, {0, 6, ALARM_INTERNAL_FAILURE, A, NULL},
	{0, 7, ALARM_INTERNAL_FAILURE, A, NULL}, {1, 0, ALARM_INTERNAL_FAILURE, A, NULL},
	{1, 1, ALARM_INTERNAL_FAILURE, A, NULL}, {1, 2, ALARM_COUNT, A, "output_reverse_polarity"},
	{1, 3, ALARM_HIGH_INTERNAL_TEMPERATURE, A, NULL}, {1, 4, ALARM_INTERNAL_FAILURE, W, NULL},
	{1, 5, ALARM_INTERNAL_FAILURE, W, NULL}, {1, 6, ALARM_INTERNAL_FAILURE, W, NULL},
	{1, 7, ALARM_FUSE_BLOWN, A, NULL}, {2, 0, ALARM_HIGH_TEMPERATURE, A, NULL},
	{2, 1, ALARM_LOW_TEMPERATURE, A, NULL}, {2, 4, N}, {2, 5, N}, {2, 6, ALARM_INTERNAL_FAILURE, W, NULL},
	{3, 0, N}, {3, 1, N}, {3, 3, ALARM_HIGH_DISCHARGE_CURRENT, A, NULL},
	{3, 6, ALARM_HIGH_CHARGE_TEMPERATURE, A, NULL}, {3, 7, ALARM_LOW_CHARGE_TEMPERATURE, A, NULL},
	{4, 0, ALARM_COUNT, A, "ambient_low_temperature"}, {4, 1, ALARM_COUNT, A, "ambient_high_temperature"},
	{4, 4, ALARM_LOW_SOC, A, NULL}, {5, 0, N}, {5, 1, N}, {5, 2, N}, {5, 3, N}, {5, 4, N},
	{5, 5, ALARM_HIGH_INTERNAL_TEMPERATURE, A, NULL}, {5, 6, ALARM_COUNT, A, "low_internal_temperature"},
	{5, 7, ALARM_LOW_CHARGE_TEMPERATURE, A, NULL}, {7, 0, ALARM_LOW_SOC, W, NULL},
	{7, 1, ALARM_COUNT, W, "vibration"}, {7, 2, N}, {7, 3, ALARM_COUNT, A, "fire_suppression"},
	{7, 4, ALARM_COUNT, W, "low_soh"}, {7, 5, ALARM_INTERNAL_FAILURE, A, NULL},
	{7, 6, ALARM_COUNT, W, "temperature_difference"}, {7, 7, ALARM_COUNT, W, "system_lock"},
	{8, 0, ALARM_COUNT, W, "ambient_high_temperature"}, {8, 1, ALARM_COUNT, W, "ambient_low_temperature"},
	{8, 2, ALARM_HIGH_INTERNAL_TEMPERATURE, W, NULL}, {8, 3, ALARM_LOW_SOC, W, NULL},
	{8, 4, ALARM_CELL_IMBALANCE, W, NULL}, {8, 5, ALARM_HIGH_TEMPERATURE, W, NULL},
	{8, 6, ALARM_LOW_TEMPERATURE, W, NULL}, {9, 0, ALARM_HIGH_CELL_VOLTAGE, W, NULL},
	{9, 1, ALARM_LOW_CELL_VOLTAGE, W, NULL}, {9, 2, ALARM_HIGH_VOLTAGE, W, NULL},
	{9, 3, ALARM_LOW_VOLTAGE, W, NULL}, {9, 4, ALARM_HIGH_CHARGE_CURRENT, W, NULL},
	{9, 5, ALARM_HIGH_DISCHARGE_CURRENT, W, NULL}, {9, 6, ALARM_HIGH_CHARGE_TEMPERATURE, W, NULL},
	{9, 7, ALARM_LOW_CHARGE_TEMPERATURE, W, NULL},
};
/* clang-format on */

static const struct bit *bit_at(unsigned byte, unsigned bit)
{
	static const struct bit unknown = {0, 0, ALARM_COUNT, W, "unknown_status_bit"};

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (bits[i].byte == byte && bits[i].bit == bit)
			return &bits[i];
	return &unknown;
}

static void raised_is(const struct bit *e)
{
	const struct alarms *a = &dev.reading.alarms;

	assert_int_equal(alarms_raised(a), e->level != ALARM_OK);
	if (e->own) {
		assert_string_equal(a->own[0].name, e->own);
		assert_int_equal(a->own[0].level, e->level);
	} else if (e->level != ALARM_OK) {
		assert_int_equal(a->level[e->alarm], e->level);
	}
}

static void every_status_bit_means_what_the_sheet_says_and_no_other_is_silent(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < 80; i++) {
		unsigned byte = i / 8, bit = i % 8;

		if (byte == 3 && (bit == 2 || bit == 4 || bit == 5))
			continue; /* two alarms each: below */
		memset(board.status, 0, sizeof(board.status));
		board.status[byte] = (uint8_t)(1u << bit);
		read_info();
		raised_is(bit_at(byte, bit));
	}
}

static void some_status_bits_raise_two_alarms(void **unused)
{
	const uint8_t *level = dev.reading.alarms.level;

	(void)unused;
	board.status[3] = 0x04;
	read_info();
	assert_int_equal(alarms_raised(&dev.reading.alarms), 2);
	assert_int_equal(level[ALARM_SHORT_CIRCUIT], ALARM_RAISED);
	assert_int_equal(level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_RAISED);
	board.status[3] = 0x10;
	read_info();
	assert_int_equal(alarms_raised(&dev.reading.alarms), 2);
	assert_int_equal(level[ALARM_HIGH_VOLTAGE], ALARM_RAISED);
	assert_int_equal(level[ALARM_HIGH_CELL_VOLTAGE], ALARM_RAISED);
	board.status[3] = 0x20;
	read_info();
	assert_int_equal(alarms_raised(&dev.reading.alarms), 2);
	assert_int_equal(level[ALARM_LOW_VOLTAGE], ALARM_RAISED);
	assert_int_equal(level[ALARM_LOW_CELL_VOLTAGE], ALARM_RAISED);
}

static void an_overcurrent_is_one_of_charging_while_it_charges(void **unused)
{
	(void)unused;
	board.current = 30000 - 5000;
	board.status[3] = 0x08;
	read_info();
	assert_true(get(Q_CURRENT_A) == 50);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_CHARGE_CURRENT], ALARM_RAISED);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_OK);
}

static void switches_and_states_come_from_the_status(void **unused)
{
	(void)unused;
	board.status[0] = 0x10;
	board.status[2] = 0x10;
	board.status[3] = 0x02;
	board.status[5] = 0x18;
	read_info();
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), OFF);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_MOS), ON);
	assert_int_equal(reading_flag(&dev.reading, F_HEATER_ON), ON);
	assert_true(detail("state") == 2);
	assert_true(detail("manual_discharge_off") == 1);
	assert_true(detail("sense_wire_broken") == 1);
	assert_true(detail("status_1") == 0x1002);
	/* and is gone with the bit */
	memset(board.status, 0, sizeof(board.status));
	read_info();
	assert_true(isnan(detail("sense_wire_broken")));
}

static void a_protection_word_that_nobody_knows_is_not_silent(void **unused)
{
	(void)unused;
	board.protection = 1;
	read_info();
	assert_int_equal(dev.reading.alarms.own_count, 1);
	assert_string_equal(dev.reading.alarms.own[0].name, "unknown_protection_bit");
}

/* ---- binary: what must not be believed ---- */

static void is_dropped(const char *why)
{
	assert_int_equal(ask_info(), EXCHANGE_FAILED);
	assert_non_null(strstr(error, why));
	nothing_was_taken();
}

static void a_reply_that_is_no_battery_is_dropped(void **unused)
{
	(void)unused;
	board.cell_count = 0;
	is_dropped("no cells");
	start_board();
	board.soc = 10001;
	is_dropped("SoC above 100");
}

static void a_reply_without_voltage_is_dropped(void **unused)
{
	static const uint8_t data[] = {1, 4, 0x0c, 0xee, 0x0c, 0xf1, 0x0c, 0xed, 0x0c, 0xf0, 2, 1, 0x75, 0x30};

	(void)unused;
	assert_int_equal(play(&dev, INFO, 0, RX(frame(0x7e, 1, INFO, data, sizeof(data))), error), EXCHANGE_FAILED);
	nothing_was_taken();
}

static void a_wrong_checksum_or_end_is_dropped(void **unused)
{
	char bad[300];

	(void)unused;
	for (size_t from_end = 3; from_end <= 4; from_end++) {
		strcpy(bad, info());
		char *c = bad + strlen(bad) - from_end;

		*c = *c == '0' ? '1' : '0';
		assert_int_equal(play(&dev, INFO, 0, RX(bad), error), EXCHANGE_FAILED);
		assert_non_null(strstr(error, "checksum"));
	}
	strcpy(bad, info());
	bad[strlen(bad) - 1] = 'e';
	assert_int_equal(play(&dev, INFO, 0, RX(bad), error), EXCHANGE_FAILED);
	nothing_was_taken();
}

/* Wrong bits that the checksum does not show. */
static void values_that_do_not_bear_each_other_out_are_dropped(void **unused)
{
	(void)unused;
	board.voltage ^= 0x0200;
	is_dropped("add up");
	start_board();
	board.cells[4] ^= 0x0800;
	is_dropped("add up");
	start_board();
	board.current ^= 0x8000;
	is_dropped("current outside");
	start_board();
	board.soc ^= 0x4000;
	is_dropped("SoC above");
}

static void a_cut_reply_is_dropped(void **unused)
{
	char cut[300];

	(void)unused;
	strcpy(cut, info());
	for (size_t n = strlen(cut) - 2; n; n -= 2) {
		cut[n] = 0;
		assert_int_equal(play(&dev, INFO, 0, RX(cut), error), EXCHANGE_FAILED);
	}
	nothing_was_taken();
}

static void replies_of_others_are_dropped(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, INFO, 0, RX(info_from(0x7e, 2)), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, VERSION, 0, RX(info()), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, INFO, 0, RX("7e010100fe0d", "7e010100fe0d"), error), EXCHANGE_FAILED);
	nothing_was_taken();
	assert_int_equal(play(&dev, INFO, 0, RX(info_from(0x7e, 2), info()), error), EXCHANGE_ANSWERED);
}

static void either_start_byte_may_answer(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, INFO, 0, RX(info_from(0x7c, 1)), error), EXCHANGE_ANSWERED);
	dev.dialect = START_7C;
	assert_int_equal(play(&dev, INFO, 0, RX(info_from(0x7c, 1)), error), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, INFO, 0, RX(info()), error), EXCHANGE_ANSWERED);
}

static void noise_and_echo_around_a_reply_do_no_harm(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, INFO, 0, RX("7e010100fe0d", "7e7c0d7e01", info(), "7e"), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_VOLTAGE_V) == 53.08);
}

static void of_two_glued_replies_the_first_counts(void **unused)
{
	char glued[600];

	(void)unused;
	strcpy(glued, info());
	board.voltage = 5000;
	strcat(glued, info());
	assert_int_equal(play(&dev, INFO, 0, RX(glued), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_VOLTAGE_V) == 53.08);
}

static void a_status_alone_is_a_refusal(void **unused)
{
	static const uint8_t data[] = {4};

	(void)unused;
	assert_int_equal(play(&dev, PARAMETERS, PROTECTION, RX(frame(0x7e, 1, PARAMETERS, data, 1)), error),
			 EXCHANGE_REFUSED);
	assert_non_null(strstr(error, "status 04"));
	nothing_was_taken();
}

static void a_reply_heard_without_its_request_says_what_it_answers(void **unused)
{
	struct request as;
	uint8_t p[300];
	int n = bytes_from_hex(info_from(0x7c, 3), p, sizeof(p));

	(void)unused;
	assert_int_equal(dev.protocol->overhear(NULL, (struct bytes){p, (size_t)n}, &as), HEARD_ANSWER);
	assert_int_equal(as.code, INFO);
	assert_int_equal(as.address, 3);
	n = bytes_from_hex("7e010100fe0d", p, sizeof(p));
	assert_int_equal(dev.protocol->overhear(NULL, (struct bytes){p, (size_t)n}, &as), HEARD_NOTHING);
	n = bytes_from_hex(analog(), p, sizeof(p));
	assert_int_equal(dev.protocol->overhear(NULL, (struct bytes){p, (size_t)n}, &as), HEARD_NOTHING);
}

/* ---- ASCII ---- */

static void every_field_of_the_ascii_values_is_told(void **unused)
{
	const struct reading *r = &dev.reading;

	(void)unused;
	dev.dialect = ASCII;
	assert_int_equal(play(&dev, INFO, 0, RX(analog()), error), EXCHANGE_ANSWERED);
	assert_int_equal(r->cell_V.count, 16);
	assert_true(r->cell_V.value[15] == 3.325);
	assert_int_equal(r->temperatures.count, 4);
	assert_true(r->temperatures.value[2] == 23);
	assert_true(get(Q_TEMP_AMBIENT_C) == 27);
	assert_true(get(Q_TEMP_MOS_C) == 26);
	assert_true(get(Q_CURRENT_A) == 6.69);
	assert_true(get(Q_VOLTAGE_V) == 53.08);
	assert_true(get(Q_CAPACITY_REMAINING_AH) == 86.17);
	assert_true(get(Q_CAPACITY_FULL_AH) == 98.6);
	assert_true(get(Q_CYCLES) == 84);
	assert_true(get(Q_SOC_PCT) == 87);
	assert_true(get(Q_SOH_PCT) == 98);
	assert_true(get(Q_TOTAL_CHARGE_AH) == 7113.6);
	assert_true(get(Q_TOTAL_DISCHARGE_AH) == 6769.49);
	assert_true(detail("charge_energy_kWh") == 382.067);
	assert_true(detail("discharge_time_h") == 1226);
	assert_true(detail("charge_times") == 22153);
	assert_true(detail("discharge_times") == 32292);
}

static void an_ascii_reply_is_taken_for_what_its_length_says(void **unused)
{
	uint8_t data[256] = {0};
	size_t n = analog_data(data);

	(void)unused;
	dev.dialect = ASCII;
	assert_int_equal(play(&dev, INFO, 0, RX(status()), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, STATUS, 0, RX(analog()), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, INFO, 0, RX(ascii_reply(0, data, n - 1)), error), EXCHANGE_FAILED);
	data[2] = 15;
	assert_int_equal(play(&dev, INFO, 0, RX(ascii_reply(0, data, n)), error), EXCHANGE_FAILED);
	data[2] = 16;
	data[3 + 32 + 23] = 10;
	assert_int_equal(play(&dev, INFO, 0, RX(ascii_reply(0, data, n)), error), EXCHANGE_FAILED);
	nothing_was_taken();
}

static void ascii_replies_of_others_are_dropped(void **unused)
{
	uint8_t data[256];
	size_t n = analog_data(data);
	char bad[600];

	(void)unused;
	dev.dialect = ASCII;
	assert_int_equal(
		play(&dev, INFO, 0, RX(ascii_frame_hex((struct ascii_head){0x20, 2, 0x4a, 0}, data, n)), error),
		EXCHANGE_FAILED);
	assert_int_equal(
		play(&dev, INFO, 0, RX(ascii_frame_hex((struct ascii_head){0x22, 1, 0x4a, 0}, data, n)), error),
		EXCHANGE_FAILED);
	assert_int_equal(
		play(&dev, INFO, 0, RX(ascii_frame_hex((struct ascii_head){0x20, 1, 0x46, 0}, data, n)), error),
		EXCHANGE_FAILED);
	strcpy(bad, analog());
	bad[101] ^= 1;
	assert_int_equal(play(&dev, INFO, 0, RX(bad), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, INFO, 0, RX(info()), error), EXCHANGE_FAILED);
	nothing_was_taken();
	assert_int_equal(play(&dev, INFO, 0, RX(ascii_reply(4, NULL, 0)), error), EXCHANGE_REFUSED);
	/* a late refusal of another make's question is none of ours */
	assert_int_equal(play(&dev, INFO, 0,
			      RX(ascii_frame_hex((struct ascii_head){0x25, 1, 0x46, 1}, NULL, 0), analog()), error),
			 EXCHANGE_ANSWERED);
	memset(&dev.reading, 0, sizeof(dev.reading));
	nothing_was_taken();
	assert_int_equal(play(&dev, INFO, 0, RX("7e0101", "0d7e", analog()), error), EXCHANGE_ANSWERED);
}

static void switches_and_balancing_come_from_the_ascii_status(void **unused)
{
	(void)unused;
	board.fet = 0x0e;
	board.balancing = 0x8001;
	board.balance = 1;
	board.system = 2;
	read_ascii_status();
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_MOS), OFF);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(&dev.reading, F_HEATER_ON), ON);
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), ON);
	assert_true(dev.reading.balancing == 0x8001);
	assert_true(detail("limiter_on") == 1);
	assert_true(detail("system_status") == 2);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
}

static void every_ascii_event_bit_is_an_alarm(void **unused)
{
	/* clang-format off */
	static const struct {
		uint8_t *byte;
		struct bit bit[8];
	} events[] = {
		{&board.balance, {{0, 0, N}, {0, 1, N}, {0, 2, N}, {0, 3, N}, {0, 4, ALARM_CELL_IMBALANCE, W, NULL},
				  {0, 5, ALARM_INTERNAL_FAILURE, A, NULL}, {0, 6, ALARM_INTERNAL_FAILURE, A, NULL},
				  {0, 7, N}}},
		{&board.voltage_event, {{0, 0, ALARM_HIGH_CELL_VOLTAGE, W, NULL}, {0, 1, ALARM_HIGH_CELL_VOLTAGE, A, NULL},
					{0, 2, ALARM_LOW_CELL_VOLTAGE, W, NULL}, {0, 3, ALARM_LOW_CELL_VOLTAGE, A, NULL},
					{0, 4, ALARM_HIGH_VOLTAGE, W, NULL}, {0, 5, ALARM_HIGH_VOLTAGE, A, NULL},
					{0, 6, ALARM_LOW_VOLTAGE, W, NULL}, {0, 7, ALARM_LOW_VOLTAGE, A, NULL}}},
		{&board.current_event, {{0, 0, ALARM_HIGH_CHARGE_CURRENT, W, NULL},
					{0, 1, ALARM_HIGH_CHARGE_CURRENT, A, NULL},
					{0, 2, ALARM_HIGH_DISCHARGE_CURRENT, W, NULL},
					{0, 3, ALARM_HIGH_DISCHARGE_CURRENT, A, NULL},
					{0, 4, ALARM_HIGH_DISCHARGE_CURRENT, A, NULL},
					{0, 5, ALARM_SHORT_CIRCUIT, A, NULL}, {0, 6, ALARM_COUNT, A, "current_lockout"},
					{0, 7, ALARM_COUNT, A, "current_lockout"}}},
		{&board.remaining, {{0, 0, ALARM_LOW_SOC, W, NULL}, {0, 1, N}, {0, 2, N}, {0, 3, N}, {0, 4, N},
				    {0, 5, N}, {0, 6, N}, {0, 7, N}}},
	};
	static const struct bit temperature[14] = {
		{0, 0, ALARM_HIGH_CHARGE_TEMPERATURE, W, NULL}, {0, 1, ALARM_HIGH_CHARGE_TEMPERATURE, A, NULL},
		{0, 2, ALARM_LOW_CHARGE_TEMPERATURE, W, NULL}, {0, 3, ALARM_LOW_CHARGE_TEMPERATURE, A, NULL},
		{0, 4, ALARM_HIGH_TEMPERATURE, W, NULL}, {0, 5, ALARM_HIGH_TEMPERATURE, A, NULL},
		{0, 6, ALARM_LOW_TEMPERATURE, W, NULL}, {0, 7, ALARM_LOW_TEMPERATURE, A, NULL},
		{0, 0, ALARM_COUNT, W, "ambient_high_temperature"}, {0, 1, ALARM_COUNT, A, "ambient_high_temperature"},
		{0, 2, ALARM_COUNT, W, "ambient_low_temperature"}, {0, 3, ALARM_COUNT, A, "ambient_low_temperature"},
		{0, 4, ALARM_HIGH_INTERNAL_TEMPERATURE, A, NULL}, {0, 5, ALARM_COUNT, A, "fire_alarm"},
	};
	/* clang-format on */

	(void)unused;
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			*events[i].byte = (uint8_t)(1u << bit);
			read_ascii_status();
			raised_is(&events[i].bit[bit]);
		}
		*events[i].byte = 0;
	}
	for (unsigned bit = 0; bit < 14; bit++) {
		board.temperature_event = (uint16_t)(1u << bit);
		read_ascii_status();
		raised_is(&temperature[bit]);
	}
}

static void cells_and_sensors_beyond_their_limits_warn(void **unused)
{
	const uint8_t *level = dev.reading.alarms.level;

	(void)unused;
	board.cell_side[3] = 1;
	board.cell_side[7] = 2;
	board.sensor_side[0] = 1;
	board.sensor_side[3] = 2;
	board.sensor_side[4] = 2;
	board.sensor_side[5] = 2;
	board.voltage_side = 1;
	read_ascii_status();
	assert_int_equal(level[ALARM_LOW_CELL_VOLTAGE], ALARM_WARNING);
	assert_int_equal(level[ALARM_HIGH_CELL_VOLTAGE], ALARM_WARNING);
	assert_int_equal(level[ALARM_LOW_TEMPERATURE], ALARM_WARNING);
	assert_int_equal(level[ALARM_HIGH_TEMPERATURE], ALARM_WARNING);
	assert_int_equal(level[ALARM_HIGH_INTERNAL_TEMPERATURE], ALARM_WARNING);
	assert_int_equal(level[ALARM_LOW_VOLTAGE], ALARM_WARNING);
	assert_string_equal(dev.reading.alarms.own[0].name, "ambient_high_temperature");
}

static void the_ascii_text_ends_in_the_version(void **unused)
{
	uint8_t data[46] = "QT-YS00-16SV100A    ";

	(void)unused;
	dev.dialect = ASCII;
	memcpy(data + 30, "V1.07", 5);
	assert_int_equal(play(&dev, BOARD_TEXT, 0, RX(ascii_reply(0, data, 46)), error), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_MODEL], "QT-YS00-16SV100A");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "V1.07");
	assert_int_equal(play(&dev, BOARD_TEXT, 0, RX(ascii_reply(0, data, 45)), error), EXCHANGE_FAILED);
	memset(data, 'A', 46);
	assert_int_equal(play(&dev, BOARD_TEXT, 0, RX(ascii_reply(0, data, 46)), error), EXCHANGE_ANSWERED);
}

static void the_ascii_clock_is_told(void **unused)
{
	static const uint8_t data[] = {0x07, 0xe8, 3, 31, 23, 5, 9}, none[] = {0, 0, 0, 0, 0, 0, 0};

	(void)unused;
	dev.dialect = ASCII;
	assert_int_equal(play(&dev, CLOCK, 0, RX(ascii_reply(0, none, 7)), error), EXCHANGE_ANSWERED);
	assert_null(settings_find(&dev.settings, "clock"));
	assert_int_equal(play(&dev, CLOCK, 0, RX(ascii_reply(0, data, 7)), error), EXCHANGE_ANSWERED);
	assert_string_equal(settings_find(&dev.settings, "clock")->text, "2024-03-31 23:05:09");
}

/* ---- detection ---- */

static bool plausible(void)
{
	const char *why = NULL;
	bool is = dev.protocol->plausible(&dev, &why);

	assert_true(is || why);
	return is;
}

static void a_board_is_plausible_when_it_has_told_values_and_version(void **unused)
{
	(void)unused;
	assert_false(plausible());
	read_info();
	assert_false(plausible());
	assert_int_equal(ask_text(VERSION, "HY-CW007-B200LT55-V1.0.0"), EXCHANGE_ANSWERED);
	assert_true(plausible());
	board.voltage = 662;
	board.cell_count = 2;
	read_info();
	assert_false(plausible());
}

static void an_ascii_board_is_plausible(void **unused)
{
	(void)unused;
	dev.dialect = ASCII;
	assert_int_equal(play(&dev, INFO, 0, RX(analog()), error), EXCHANGE_ANSWERED);
	assert_true(plausible());
	board.cells[0] = 6000;
	assert_int_equal(play(&dev, INFO, 0, RX(analog()), error), EXCHANGE_ANSWERED);
	assert_false(plausible());
}

static void the_second_question_is_that_of_the_dialect(void **unused)
{
	(void)unused;
	assert_string_equal(request_hex(&dev, CONFIRM, 0), "7e013300fe0d");
	dev.dialect = ASCII;
	assert_string_equal(request_hex(&dev, CONFIRM, 0), text_hex("~20014A440000FDA0\r"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
		TEST(requests_are_those_of_the_sheet),
		TEST(nothing_can_be_written),
		TEST(requests_are_recognised_from_their_bytes),
		TEST(requests_to_other_makes_are_not_ours),
		TEST(a_recorded_write_is_answered_by_its_status),
		TEST(every_field_is_told),
		TEST(what_a_firmware_does_not_send_stays_unknown),
		TEST(groups_may_come_in_any_order_with_unknown_ones_between),
		TEST(sensors_of_other_marks_are_battery_sensors),
		TEST(an_inverted_current_has_the_other_sign_and_the_other_alarms),
		TEST(texts_are_model_firmware_and_hardware),
		TEST(a_version_without_a_model_is_one),
		TEST(parameters_are_told_by_their_index),
		TEST(the_heating_temperatures_are_told),
		TEST(every_status_bit_means_what_the_sheet_says_and_no_other_is_silent),
		TEST(some_status_bits_raise_two_alarms),
		TEST(an_overcurrent_is_one_of_charging_while_it_charges),
		TEST(switches_and_states_come_from_the_status),
		TEST(a_protection_word_that_nobody_knows_is_not_silent),
		TEST(a_reply_that_is_no_battery_is_dropped),
		TEST(a_reply_without_voltage_is_dropped),
		TEST(a_wrong_checksum_or_end_is_dropped),
		TEST(values_that_do_not_bear_each_other_out_are_dropped),
		TEST(a_cut_reply_is_dropped),
		TEST(replies_of_others_are_dropped),
		TEST(either_start_byte_may_answer),
		TEST(noise_and_echo_around_a_reply_do_no_harm),
		TEST(of_two_glued_replies_the_first_counts),
		TEST(a_status_alone_is_a_refusal),
		TEST(a_reply_heard_without_its_request_says_what_it_answers),
		TEST(every_field_of_the_ascii_values_is_told),
		TEST(an_ascii_reply_is_taken_for_what_its_length_says),
		TEST(ascii_replies_of_others_are_dropped),
		TEST(switches_and_balancing_come_from_the_ascii_status),
		TEST(every_ascii_event_bit_is_an_alarm),
		TEST(cells_and_sensors_beyond_their_limits_warn),
		TEST(the_ascii_text_ends_in_the_version),
		TEST(the_ascii_clock_is_told),
		TEST(a_board_is_plausible_when_it_has_told_values_and_version),
		TEST(an_ascii_board_is_plausible),
		TEST(the_second_question_is_that_of_the_dialect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
