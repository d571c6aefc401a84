/* SPDX-License-Identifier: GPL-3.0-or-later */
/* seplos-v3 on frames constructed from its sheet: blocks, alarms, a bus that has a master, commands. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "act.h"
#include "engine/detect.h"
#include "engine/follow.h"
#include "play.h"
#include "protocols/checksum.h"
#include "vline.h"

enum { PIA = 0x1000, PIB = 0x1100, PIC = 0x1200, SPA = 0x1300, SFA = 0x1400, SCA = 0x1500, VIA = 0x1700 };
enum { PCT = 0x1800, EIA = 0x2000, EIB = 0x2100, EIC = 0x2200, WRITE = 0x8000, SINGLE = 0, BANK = 1 };
enum { TB09 = 8, TB02, TB03, TB04, TB05, TB16, TB06, TB07, TB08, TB15 }; /* bytes of PIC */

/* The pack of these tests: 16 cells of 3.3 V, half full, at rest; a test changes what it is about. */
static struct pack {
	uint8_t address;
	uint16_t pia[0x12], pib[0x1a], spa[0x6a], eia[0x1a], eib[0x16];
	uint8_t pic[18], sfa[10];
	uint16_t pia_max; /* registers that its PIA has */
	/* what it does with writes, and faults */
	uint8_t exception;
	bool deaf, no_acknowledgement, silent_after_write;
	unsigned writes;
} pack;

static struct device dev;
static char error[128];

static void start_pack(void)
{
	static const uint16_t pia[] = {5280, 0,	   14000, 28000, 241,  500,  999, 10, 3300,
				       2953, 3301, 3299,  2960,	 2952, 0xff, 150, 90, 1000};

	memset(&pack, 0, sizeof(pack));
	memcpy(pack.pia, pia, sizeof(pia));
	pack.pia_max = 0x12;
	for (unsigned i = 0; i < 16; i++)
		pack.pib[i] = 3300;
	pack.pib[3] = 3301;
	pack.pib[7] = 3299;
	for (unsigned i = 0x10; i < 0x1a; i++)
		pack.pib[i] = 2731;
	pack.pib[0x10] = 2960;
	pack.pib[0x11] = 2952;
	pack.pib[0x12] = 2953;
	pack.pib[0x13] = 2954;
	pack.pib[0x18] = 2990;
	pack.pib[0x19] = 3051;
	pack.pic[TB07] = 3;
	pack.spa[0] = 4;
	pack.spa[1] = 16;
	pack.sfa[7] = 1;
}

static int set_up(void **unused)
{
	(void)unused;
	start_pack();
	dev = fresh_device("seplos-v3", 0, SINGLE);
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

static size_t refuse(uint8_t *rx, uint8_t address, uint8_t function, uint8_t code)
{
	rx[0] = address;
	rx[1] = function | 0x80;
	rx[2] = code;
	return seal(rx, 3);
}

static size_t answer_coils(uint8_t address, const uint8_t *bits, uint8_t n, uint8_t *rx)
{
	rx[0] = address;
	rx[1] = 1;
	rx[2] = n;
	memcpy(rx + 3, bits, n);
	return seal(rx, 3u + n);
}

static size_t answer_registers(uint8_t address, const uint16_t *reg, size_t have, size_t from, size_t count,
			       uint8_t *rx)
{
	if (from + count > have)
		return refuse(rx, address, 4, 2);
	rx[0] = address;
	rx[1] = 4;
	rx[2] = (uint8_t)(2 * count);
	for (size_t i = 0; i < count; i++)
		put_u16be(rx + 3 + 2 * i, reg[from + i]);
	return seal(rx, 3 + 2 * count);
}

static size_t answer_read(struct bytes r, uint8_t *rx)
{
	uint16_t start = u16be_at(r, 2), count = u16be_at(r, 4);
	uint8_t address = u8_at(r, 0);

	if (u8_at(r, 1) == 1)
		return start == PIC   ? answer_coils(address, pack.pic, sizeof(pack.pic), rx)
		       : start == SFA ? answer_coils(address, pack.sfa, sizeof(pack.sfa), rx)
				      : refuse(rx, address, 1, 2);
	switch (start & 0xff00) {
	case PIA:
		return answer_registers(address, pack.pia, pack.pia_max, start - PIA, count, rx);
	case PIB:
		return answer_registers(address, pack.pib, 0x1a, start - PIB, count, rx);
	case SPA:
		return answer_registers(address, pack.spa, 0x6a, start - SPA, count, rx);
	case EIA:
		return answer_registers(address, pack.eia, 0x1a, start - EIA, count, rx);
	case EIB:
		return answer_registers(address, pack.eib, 0x16, start - EIB, count, rx);
	default:
		return refuse(rx, address, 4, 2);
	}
}

static void carry_out(uint16_t reg, uint16_t value)
{
	if (reg == 0x1510)
		pack.pic[TB07] = (uint8_t)((pack.pic[TB07] & ~1) | (value != 0x55aa));
	else if (reg == 0x1511 && value == 0x55aa)
		pack.pic[TB07] &= (uint8_t)~2;
	else if (reg == 0x1515 && value == 0xaa55)
		pack.pic[TB07] |= 2;
	else if (reg == 0x135a) {
		pack.pia[2] = value;
		pack.pia[5] = (uint16_t)(1000 * value / pack.pia[3]);
	}
}

static size_t answer_write(struct bytes r, uint8_t *rx)
{
	pack.writes++;
	if (pack.exception)
		return refuse(rx, u8_at(r, 0), u8_at(r, 1), pack.exception);
	if (!pack.deaf && u8_at(r, 1) == 0x10)
		carry_out(u16be_at(r, 2), u16be_at(r, 7));
	else if (!pack.deaf)
		memcpy(pack.sfa, r.p + 7, sizeof(pack.sfa));
	if (pack.no_acknowledgement)
		return 0;
	memcpy(rx, r.p, 6);
	return seal(rx, 6);
}

static size_t on_request(void *ctx, struct bytes r, uint8_t *rx)
{
	uint8_t function = u8_at(r, 1);

	(void)ctx;
	if (u8_at(r, 0) != pack.address || (pack.silent_after_write && pack.writes))
		return 0;
	return function == 1 || function == 4 ? answer_read(r, rx) : answer_write(r, rx);
}

/* What the pack answers to the request of this code. */
static const char *reply(uint16_t code)
{
	uint8_t tx[MAX_REQUEST], rx[MAX_FRAME];
	int n = bytes_from_hex(request_hex(&dev, code, 0), tx, sizeof(tx));

	return hex_of(rx, on_request(NULL, (struct bytes){tx, (size_t)n}, rx));
}

static enum exchange_state ask(uint16_t code)
{
	return play(&dev, code, 0, RX(reply(code)), error);
}

static const struct reading *read_pack(void)
{
	assert_int_equal(ask(PIA), EXCHANGE_ANSWERED);
	assert_int_equal(ask(PIB), EXCHANGE_ANSWERED);
	assert_int_equal(ask(PIC), EXCHANGE_ANSWERED);
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

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	(void)unused;
	assert_string_equal(request_hex(&dev, PIA, 0), "0004100000127516");
	assert_string_equal(request_hex(&dev, EIA, 0), "00042000001a7bd0");
	assert_string_equal(request_hex(&dev, EIB, 0), "0004210000167a29");
	assert_string_equal(request_hex(&dev, EIC, 0), "000122000050379f");
	assert_string_equal(request_hex(&dev, SFA, 0), "0001140000503817");
	assert_string_equal(request_hex(&dev, VIA, 0), "000417000033b47a");
	assert_string_equal(request_hex(&dev, PCT, 0), "000418000024f760");
	dev.address = 1;
	assert_string_equal(request_hex(&dev, PIA, 0), "01041000001274c7");
	assert_string_equal(request_hex(&dev, PIA, 0x11), "01041000001134c6");
	assert_string_equal(request_hex(&dev, PIB, 0), "01041100001a74fd");
	assert_string_equal(request_hex(&dev, PIC, 0), "010112000090391e");
	assert_string_equal(request_hex(&dev, 0x135a, 1), "0104135a0001155d");
	assert_string_equal(request_hex(&dev, WRITE | 0x1510, 0x55aa), "0110151000010255aa5f2e");
	assert_string_equal(request_hex(&dev, WRITE | 0x1511, 0x55aa), "0110151100010255aa5eff");
	assert_string_equal(request_hex(&dev, WRITE | 0x1515, 0xaa55), "01101515000102aa555ecb");
	assert_string_equal(request_hex(&dev, WRITE | 0x135a, 14000), "0110135a00010236b09e7f");
}

static void only_four_registers_and_the_functions_can_be_written(void **unused)
{
	struct request r;
	unsigned written = 0;

	(void)unused;
	for (unsigned code = WRITE; code <= 0xffff; code++) {
		if (!dev.protocol->encode(&dev, (uint16_t)code, 0, &r))
			continue;
		assert_true(r.writes);
		written++;
	}
	assert_int_equal(written, 4); /* not the functions: they were not read */
	assert_int_equal(ask(SFA), EXCHANGE_ANSWERED);
	assert_true(dev.protocol->encode(&dev, WRITE | SFA, 0, &r));
	assert_true(r.writes);
	for (unsigned reg = 0x1516; reg <= 0x1519; reg++) /* reset, power off, boot loader */
		assert_false(dev.protocol->encode(&dev, (uint16_t)(WRITE | reg), 0x55aa, &r));
}

static void requests_are_recognised_from_their_bytes(void **unused)
{
	static const struct {
		uint16_t code, arg, told;
	} row[] = {{PIA, 0x12, 0},
		   {PIA, 0x11, 0},
		   {PIC, 0x90, 0},
		   {SPA, 0x35, 0x35},
		   {0x1335, 0x35, 0x35},
		   {SFA, 0, 0},
		   {EIB, 0x1a, 0x1a},
		   {WRITE | 0x1511, 0x55aa, 0x55aa},
		   {WRITE | 0x135a, 14000, 14000},
		   {WRITE | SFA, 1, 1}};
	struct request r, again;

	(void)unused;
	dev.address = 3;
	assert_int_equal(play(&dev, SFA, 0, RX("03010affff3f017f2f9f0f636f5162"), error), EXCHANGE_ANSWERED);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_true(dev.protocol->encode(&dev, row[i].code, row[i].arg, &r));
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n - 1u}, &again));
		assert_true(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
		assert_int_equal(again.code, row[i].code);
		assert_int_equal(again.arg, row[i].told);
		assert_int_equal(again.address, 3);
		assert_int_equal(again.dialect, BANK);
		assert_int_equal(again.writes, r.writes);
		r.tx[3] ^= 1;
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
	}
}

static void requests_to_other_devices_are_not_ours(void **unused)
{
	static const uint8_t head[][6] = {
		{0x01, 0x03, 0x10, 0x00, 0x00, 0x12}, /* another function */
		{0x01, 0x04, 0x00, 0x00, 0x00, 0x12}, /* another register */
		{0x01, 0x04, 0x12, 0x00, 0x00, 0x12}, /* coils read as registers */
		{0x90, 0x04, 0x10, 0x00, 0x00, 0x12}, /* no address of a BMS */
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

static void every_field_of_a_pack_is_told(void **unused)
{
	const struct reading *r;

	(void)unused;
	pack.pia[1] = (uint16_t)-125;
	pack.pic[2] = 0x10;
	pack.pic[5] = 0x02;
	pack.pic[7] = 0x80;
	pack.pic[TB09] = 0x11;
	pack.pic[TB07] = 0x0e;
	r = read_pack();
	assert_true(get(Q_ADDRESS) == 0);
	assert_true(get(Q_VOLTAGE_V) == 52.8);
	assert_true(get(Q_CURRENT_A) == -1.25);
	assert_true(get(Q_CAPACITY_REMAINING_AH) == 140);
	assert_true(get(Q_CAPACITY_FULL_AH) == 280);
	assert_true(get(Q_TOTAL_DISCHARGE_AH) == 2410);
	assert_true(get(Q_SOC_PCT) == 50);
	assert_true(get(Q_SOH_PCT) == 99.9);
	assert_true(get(Q_CYCLES) == 10);
	assert_true(get(Q_BMS_DCL_A) == 150);
	assert_true(get(Q_BMS_CCL_A) == 90);
	assert_true(get(Q_CELL_COUNT) == 16);
	assert_true(r->cell_V.value[3] == 3.301);
	assert_int_equal(r->temperatures.count, 4);
	assert_true(r->temperatures.value[0] == 22.9);
	assert_true(get(Q_TEMP_AMBIENT_C) == 25.9);
	assert_true(get(Q_TEMP_MOS_C) == 32);
	assert_true(reading_detail(r, "cell_average_V") == 3.3);
	assert_true(reading_detail(r, "temp_average_C") == 22.2);
	assert_true(reading_detail(r, "high_voltage_cells") == 0x10);
	assert_true(reading_detail(r, "high_temperature_sensors") == 2);
	assert_true(r->balancing == 0x8000);
	assert_int_equal(reading_flag(r, F_BALANCING_ACTIVE), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), OFF);
	assert_int_equal(reading_flag(r, F_DISCHARGE_ALLOWED), OFF);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_CHARGE_ALLOWED), ON);
	assert_int_equal(reading_flag(r, F_HEATER_ON), ON);
	assert_true(reading_detail(r, "current_limiter_on") == 1);
	assert_true(reading_detail(r, "state_discharging") == 1);
	assert_true(reading_detail(r, "state_charging") == 0);
	assert_true(reading_detail(r, "state_standby") == 1);
}

static void the_extremes_of_pia_serve_until_the_cells_are_known(void **unused)
{
	(void)unused;
	ask(PIA);
	assert_true(get(Q_CELL_MAX_V) == 3.301);
	assert_true(get(Q_CELL_MIN_V) == 3.299);
	assert_true(get(Q_TEMP_MAX_C) == 22.9);
	ask(PIB);
	assert_false(reading_knows(&dev.reading, Q_CELL_MAX_V));
	ask(PIA);
	assert_false(reading_knows(&dev.reading, Q_CELL_MAX_V));
	struct reading shown = dev.reading;

	reading_derive(&shown);
	assert_true(reading_get(&shown, Q_CELL_MAX_NO) == 4);
	assert_true(reading_get(&shown, Q_CELL_MIN_NO) == 8);
	assert_true(reading_get(&shown, Q_TEMP_MIN_C) == 22.1);
}

static void cells_that_are_not_there_are_left_out_and_an_open_wire_is_not(void **unused)
{
	(void)unused;
	pack.pib[15] = 0;
	ask(PIB);
	assert_int_equal(dev.reading.cell_V.count, 15);
	pack.pib[5] = 0;
	ask(PIB);
	assert_int_equal(dev.reading.cell_V.count, 15);
	assert_true(dev.reading.cell_V.value[5] == 0);
	ask(SPA); /* it has 16 of them */
	ask(PIB);
	assert_int_equal(dev.reading.cell_V.count, 16);
}

static void a_sensor_that_is_not_there_is_no_0_degrees(void **unused)
{
	(void)unused;
	pack.pib[0x11] = pack.pib[0x13] = pack.pib[0x18] = 2731;
	pack.pia[0x0d] = 2731;
	pack.spa[0] = 3;
	ask(PIA);
	assert_false(reading_knows(&dev.reading, Q_TEMP_MIN_C));
	ask(PIB);
	assert_int_equal(dev.reading.temperatures.count, 3);
	assert_false(series_knows(&dev.reading.temperatures, 1));
	assert_false(reading_knows(&dev.reading, Q_TEMP_AMBIENT_C));
	ask(SPA); /* the second is there: it is 0 degrees */
	ask(PIB);
	assert_int_equal(dev.reading.temperatures.count, 3);
	assert_true(series_knows(&dev.reading.temperatures, 1));
	assert_true(dev.reading.temperatures.value[1] == 0);
}

static void a_shorter_pia_tells_what_it_has(void **unused)
{
	uint8_t p[64];

	(void)unused;
	assert_int_equal(play(&dev, PIA, 0, RX(hex_of(p, answer_registers(0, pack.pia, 0x12, 0, 0x10, p))), error),
			 EXCHANGE_ANSWERED);
	assert_true(get(Q_BMS_DCL_A) == 150);
	assert_false(reading_knows(&dev.reading, Q_BMS_CCL_A));
	assert_int_equal(play(&dev, PIA, 0, RX(hex_of(p, answer_registers(0, pack.pia, 0x12, 0, 0x0f, p))), error),
			 EXCHANGE_FAILED);
}

static void firmware_that_lacks_the_last_register_is_asked_without_it(void **unused)
{
	(void)unused;
	pack.pia_max = 0x11;
	assert_int_equal(ask(PIA), EXCHANGE_REFUSED);
	assert_string_equal(error, "illegal register address (exception 02)");
	assert_int_equal(ask(PIA), EXCHANGE_ANSWERED);
	assert_true(get(Q_BMS_CCL_A) == 90);
}

static void a_bank_tells_its_sums_low_word_first(void **unused)
{
	(void)unused;
	static const uint16_t eia[] = {5325, 0, 0xfff3, 0xffff, 0xe000, 1,    300, 2,	290, 0, 3400, 2,   3,
				       0,    2, 0,	1800,	0,	1700, 0,   576, 464, 2, 10,   832, 999};
	memcpy(pack.eia, eia, sizeof(eia));
	assert_int_equal(ask(EIA), EXCHANGE_ANSWERED);
	assert_true(get(Q_VOLTAGE_V) == 53.25);
	assert_true(get(Q_CURRENT_A) == -1.3);
	assert_true(get(Q_CAPACITY_REMAINING_AH) == (65536 + 0xe000) / 100.0);
	assert_true(get(Q_CAPACITY_FULL_AH) == (2 * 65536 + 300) / 100.0);
	assert_true(get(Q_CAPACITY_DESIGN_AH) == (2 * 65536 + 3400) / 100.0);
	assert_true(get(Q_TOTAL_DISCHARGE_AH) == 2900);
	assert_true(get(Q_BMS_DCL_A) == 180);
	assert_true(get(Q_BMS_CCL_A) == 170);
	assert_true(get(Q_BMS_CVL_V) == 57.6);
	assert_true(get(Q_BMS_DVL_V) == 46.4);
	assert_true(get(Q_PACK_COUNT) == 2);
	assert_true(get(Q_SOC_PCT) == 83.2);
	assert_true(reading_detail(&dev.reading, "packs_online") == 3);
	assert_true(reading_detail(&dev.reading, "packs_in_protection") == 2);
	ask(PIA); /* finer */
	ask(EIA);
	assert_true(get(Q_CURRENT_A) == 0);
	assert_true(get(Q_SOC_PCT) == 50);
}

static void temperatures_of_a_bank_are_in_celsius_or_kelvin(void **unused)
{
	(void)unused;
	pack.eib[8] = 229;
	pack.eib[9] = (uint16_t)-15;
	pack.eib[0x11] = 2731 + 240;
	assert_int_equal(ask(EIB), EXCHANGE_ANSWERED);
	assert_true(get(Q_TEMP_MAX_C) == 22.9);
	assert_true(get(Q_TEMP_MIN_C) == -1.5);
	assert_true(get(Q_TEMP_MOS_C) == 24);
	assert_true(get(Q_CELL_MAX_NO) == 1);
}

static double setting(const char *name)
{
	return settings_number(&dev.settings, name);
}

static void parameters_are_settings(void **unused)
{
	(void)unused;
	pack.spa[0x05] = 5760;
	pack.spa[0x0d] = 3650;
	pack.spa[0x1d] = (uint16_t)-210;
	pack.spa[0x20] = 300;
	pack.spa[0x36] = 2731;
	pack.spa[0x65] = 5760;
	pack.spa[0x67] = (uint16_t)-180;
	assert_int_equal(ask(SPA), EXCHANGE_ANSWERED);
	assert_true(setting("cell_count") == 16);
	assert_true(setting("pack_ovp_V") == 57.6);
	assert_true(setting("cell_ovp_V") == 3.65);
	assert_true(setting("discharge_ocp_A") == -210);
	assert_true(setting("discharge_ocp2_delay_s") == 0.3);
	assert_true(setting("charge_utp_C") == 0);
	assert_true(setting("inverter_dcl_A") == -180);
	assert_true(get(Q_BMS_CVL_V) == 57.6);
	assert_true(get(Q_BMS_DCL_A) == 180);
	ask(PIA); /* what it asks for now, not at most */
	ask(SPA);
	assert_true(get(Q_BMS_DCL_A) == 150);
	pack.spa[1] = 17;
	assert_int_equal(ask(SPA), EXCHANGE_FAILED);
	assert_int_equal(ask(0x1301), EXCHANGE_ANSWERED); /* a part of them, as a recording may have it */
	assert_true(get(Q_CELL_COUNT) == 16);
}

static void the_clock_is_told_when_it_is_one(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, SCA, 0, RX("000408e907060a17070900b251"), error), EXCHANGE_ANSWERED);
	assert_string_equal(settings_find(&dev.settings, "clock")->text, "2025-06-10 23:07:09");
	dev.settings.count = 0;
	assert_int_equal(play(&dev, SCA, 0, RX("000408e907000a17070900b237"), error), EXCHANGE_ANSWERED);
	assert_null(settings_find(&dev.settings, "clock"));
}

static void enabled_functions_are_no_alarms(void **unused)
{
	(void)unused;
	memset(pack.sfa, 0xff, sizeof(pack.sfa));
	assert_int_equal(ask(SFA), EXCHANGE_ANSWERED);
	assert_false(dev.reading.alarms.known);
	assert_int_equal(reading_flag(&dev.reading, F_BALANCE_ENABLED), ON);
	assert_true(setting("buzzer") == 1);
	pack.sfa[7] = 0xfe;
	ask(SFA);
	assert_int_equal(reading_flag(&dev.reading, F_BALANCE_ENABLED), OFF);
}

/* ---- alarms ---- */

static enum alarm_level level_of(const char *name)
{
	const struct alarms *a = &dev.reading.alarms;
	enum alarm common = alarm_by_name(name);

	if (common != ALARM_COUNT)
		return (enum alarm_level)a->level[common];
	for (unsigned i = 0; i < a->own_count; i++)
		if (!strcmp(a->own[i].name, name))
			return a->own[i].level;
	return ALARM_OK;
}

static void every_alarm_bit_has_its_alarm(void **unused)
{
	static const struct {
		uint8_t byte, bit;
		enum alarm_level level;
		const char *name, *also;
	} row[] = {
		{TB02, 0, ALARM_WARNING, "high_cell_voltage", NULL},
		{TB02, 1, ALARM_RAISED, "high_cell_voltage", NULL},
		{TB02, 2, ALARM_WARNING, "low_cell_voltage", NULL},
		{TB02, 3, ALARM_RAISED, "low_cell_voltage", NULL},
		{TB02, 4, ALARM_WARNING, "high_voltage", NULL},
		{TB02, 5, ALARM_RAISED, "high_voltage", NULL},
		{TB02, 6, ALARM_WARNING, "low_voltage", NULL},
		{TB02, 7, ALARM_RAISED, "low_voltage", NULL},
		{TB03, 0, ALARM_WARNING, "high_charge_temperature", NULL},
		{TB03, 1, ALARM_RAISED, "high_charge_temperature", NULL},
		{TB03, 2, ALARM_WARNING, "low_charge_temperature", NULL},
		{TB03, 3, ALARM_RAISED, "low_charge_temperature", NULL},
		{TB03, 4, ALARM_WARNING, "high_temperature", NULL},
		{TB03, 5, ALARM_RAISED, "high_temperature", NULL},
		{TB03, 6, ALARM_WARNING, "low_temperature", NULL},
		{TB03, 7, ALARM_RAISED, "low_temperature", NULL},
		{TB04, 0, ALARM_WARNING, "high_ambient_temperature", NULL},
		{TB04, 1, ALARM_RAISED, "high_ambient_temperature", NULL},
		{TB04, 2, ALARM_WARNING, "low_ambient_temperature", NULL},
		{TB04, 3, ALARM_RAISED, "low_ambient_temperature", NULL},
		{TB04, 4, ALARM_WARNING, "high_internal_temperature", NULL},
		{TB04, 5, ALARM_RAISED, "high_internal_temperature", NULL},
		{TB05, 0, ALARM_WARNING, "high_charge_current", NULL},
		{TB05, 1, ALARM_RAISED, "high_charge_current", NULL},
		{TB05, 2, ALARM_RAISED, "high_charge_current", NULL},
		{TB05, 3, ALARM_WARNING, "high_discharge_current", NULL},
		{TB05, 4, ALARM_RAISED, "high_discharge_current", NULL},
		{TB05, 5, ALARM_RAISED, "high_discharge_current", NULL},
		{TB05, 6, ALARM_RAISED, "short_circuit", "high_discharge_current"},
		{TB16, 0, ALARM_RAISED, "short_circuit", "high_discharge_current"},
		{TB16, 2, ALARM_RAISED, "high_charge_current", NULL},
		{TB16, 3, ALARM_RAISED, "high_discharge_current", NULL},
		{TB06, 2, ALARM_WARNING, "low_soc", NULL},
		{TB06, 3, ALARM_RAISED, "low_soc", NULL},
		{TB06, 4, ALARM_WARNING, "cell_imbalance", NULL},
		{TB08, 0, ALARM_WARNING, "low_soc", NULL},
		{TB08, 5, ALARM_RAISED, "low_soc", NULL},
		{TB15, 0, ALARM_RAISED, "ntc_fault", "internal_failure"},
		{TB15, 1, ALARM_RAISED, "afe_fault", "internal_failure"},
		{TB15, 2, ALARM_RAISED, "charge_mos_fault", "internal_failure"},
		{TB15, 3, ALARM_RAISED, "discharge_mos_fault", "internal_failure"},
		{TB15, 4, ALARM_RAISED, "cell_imbalance", NULL},
		{TB15, 5, ALARM_RAISED, "wire_break", "internal_failure"},
		{TB15, 6, ALARM_RAISED, "key_fault", "internal_failure"},
		{TB15, 7, ALARM_RAISED, "aerosol", NULL},
	};
	unsigned raising = 0;

	(void)unused;
	for (unsigned byte = TB09; byte <= TB15; byte++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			memset(pack.pic, 0, sizeof(pack.pic));
			pack.pic[byte] = (uint8_t)(1u << bit);
			assert_int_equal(ask(PIC), EXCHANGE_ANSWERED);
			raising += alarms_raised(&dev.reading.alarms) > 0;
			for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
				if (row[i].byte != byte || row[i].bit != bit)
					continue;
				assert_int_equal(level_of(row[i].name), row[i].level);
				assert_true(!row[i].also || level_of(row[i].also) == ALARM_RAISED);
				assert_int_equal(alarms_raised(&dev.reading.alarms), row[i].also ? 2 : 1);
			}
		}
	}
	assert_int_equal(raising, sizeof(row) / sizeof(row[0])); /* and no other bit raises any */
}

static void the_bits_of_cells_and_sensors_raise_nothing(void **unused)
{
	(void)unused;
	memset(pack.pic, 0xff, TB09);
	ask(PIC);
	assert_true(dev.reading.alarms.known);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
}

/* ---- frames that are no answer ---- */

static void damaged_and_foreign_frames_are_not_believed(void **unused)
{
	const char *good = reply(PIA);
	uint8_t p[64];
	int n = bytes_from_hex(good, p, sizeof(p));

	(void)unused;
	p[4] ^= 1;
	assert_int_equal(play(&dev, PIA, 0, RX(hex_of(p, (size_t)n)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: checksum");
	p[4] ^= 1;
	assert_int_equal(play(&dev, PIA, 0, RX(hex_of(p, (size_t)n - 3)), error), EXCHANGE_FAILED);
	p[0] = 5;
	seal(p, (size_t)n - 2);
	assert_int_equal(play(&dev, PIA, 0, RX(hex_of(p, (size_t)n)), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, PIB, 0, RX(good), error), EXCHANGE_FAILED); /* a late one: another length */
	assert_string_equal(error, "reply rejected: length of the reply");
	assert_int_equal(play(&dev, PIC, 0, RX(reply(PIB)), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, PIA, 0, RX(request_hex(&dev, PIA, 0)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "no reply, only our own bytes came back");
	nothing_was_taken();
}

static void eia_and_pib_are_equally_long_and_not_confused(void **unused)
{
	(void)unused;
	pack.eia[0] = 5325;
	assert_int_equal(play(&dev, PIB, 0, RX(reply(EIA)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: a cell above 5 V");
	assert_int_equal(play(&dev, EIA, 0, RX(reply(PIB)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: SoC above 100 %");
	nothing_was_taken();
}

static void the_answer_is_found_between_noise_and_other_answers(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, PIA, 0, RX("00", "0004f0ff", reply(PIA)), error), EXCHANGE_ANSWERED);
	pack.address = dev.address = 5;
	const char *other = reply(PIA);

	pack.address = dev.address = 0;
	pack.pia[5] = 123;
	assert_int_equal(play(&dev, PIA, 0, RX(other, reply(PIA), other), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_SOC_PCT) == 12.3);
	assert_int_equal(play(&dev, PIB, 0, RX(other, reply(PIB)), error), EXCHANGE_ANSWERED);
}

static void an_exception_is_a_refusal(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, EIB, 0, RX("0084029301"), error), EXCHANGE_REFUSED);
	assert_int_equal(play(&dev, SFA, 0, RX("0081029051"), error), EXCHANGE_REFUSED);
	nothing_was_taken();
}

/* ---- is it such a pack? ---- */

static bool plausible(void)
{
	const char *why = NULL;

	device_free(&dev);
	dev = fresh_device("seplos-v3", 0, SINGLE);
	ask(PIA);
	ask(PIB);
	bool is = dev.protocol->plausible(&dev, &why);
	assert_true(is || why);
	return is;
}

static void a_pack_is_plausible(void **unused)
{
	(void)unused;
	assert_true(plausible());
	pack.pib[15] = 0; /* an open wire does not hide it */
	pack.pia[0] = 5030;
	assert_true(plausible());
}

static void a_pack_that_contradicts_itself_is_not(void **unused)
{
	static const struct {
		uint8_t reg;
		uint16_t value;
	} row[] = {{0, 1999}, {0, 6501}, {0, 4900}, {5, 1001},	{6, 1101}, {8, 3500},
		   {8, 3298}, {9, 0},	 {9, 5000}, {10, 4000}, {11, 3000}};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		start_pack();
		pack.pia[row[i].reg] = row[i].value;
		assert_false(plausible());
	}
}

static void a_foreign_device_of_the_same_function_is_not(void **unused)
{
	(void)unused;
	static const uint16_t same[] = {0, 1, 0x0101, 3300, 0x4366, 0xffff};

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		for (unsigned k = 0; k < 0x12; k++)
			pack.pia[k] = same[i];
		for (unsigned k = 0; k < 0x1a; k++)
			pack.pib[k] = same[i];
		assert_false(plausible());
	}
	srand(1);
	for (unsigned turn = 0; turn < 2000; turn++) {
		for (unsigned k = 0; k < 0x12; k++)
			pack.pia[k] = (uint16_t)(rand() % 6000);
		for (unsigned k = 0; k < 0x1a; k++)
			pack.pib[k] = (uint16_t)(rand() % 5000);
		assert_false(plausible());
	}
}

/* ---- detection, and a bus that has a master ---- */

static struct vline line;
static struct line_stats stats;
static const struct protocol *only[2];

static void on_line(void *ctx, struct vline *v, struct bytes request)
{
	uint8_t rx[MAX_FRAME];
	size_t n = on_request(ctx, request, rx);

	if (n)
		vline_reply_bytes(v, (struct bytes){rx, n}, 60);
}

static void send_on_line(void *ctx, const struct request *request)
{
	(void)ctx;
	vline_send(&line, (struct bytes){request->tx, request->n});
}

static void set_line(void *ctx, const struct line *wanted)
{
	(void)ctx;
	line.line = *wanted;
}

static struct detect *start_detection(void)
{
	struct detect_io io = {send_on_line, set_line, NULL};

	only[0] = protocol_by_id("seplos-v3");
	line = (struct vline){.now_ms = 1000, .device_line = {19200, 8, 'N', 1}, .device = on_line, .connected = true};
	struct detect *d = detect_new(only, NULL, NULL, 0, NULL, io, &stats);

	assert_non_null(d);
	detect_start(d, line.now_ms);
	return d;
}

static void run_detection(struct detect *d, unsigned sweeps)
{
	struct vline_event e;

	while (detect_state(d) != DETECT_FOUND && detect_sweeps(d) < sweeps) {
		uint64_t at = detect_deadline(d) < vline_next(&line) ? detect_deadline(d) : vline_next(&line);

		if (at > line.now_ms)
			line.now_ms = at;
		while (vline_take(&line, &e))
			detect_receive(d, (struct bytes){e.bytes, e.n}, line.now_ms);
		detect_tick(d, line.now_ms);
	}
}

static void found_at(uint8_t address, uint8_t dialect)
{
	struct detect *d = start_detection();
	bool listening = true;

	run_detection(d, 4);
	assert_int_equal(detect_state(d), DETECT_FOUND);
	struct device found = detect_take(d, &listening);

	assert_int_equal(found.address, address);
	assert_int_equal(found.dialect, dialect);
	assert_false(listening);
	device_free(&found);
	detect_free(d);
}

static void a_single_pack_is_found_at_address_0_or_any_other(void **unused)
{
	(void)unused;
	found_at(0, SINGLE);
	pack.address = 1;
	found_at(1, BANK);
	pack.address = 15;
	found_at(15, BANK);
	pack.address = 0;
	pack.pia_max = 0x11;
	found_at(0, SINGLE);
}

/* One turn of the master: it asks pack 2, which answers, and tells its own. */
static unsigned master_turn(uint8_t frame[9][64], size_t size[9])
{
	static const uint16_t blocks[] = {PIA, PIB, PIC};
	struct request r;

	for (unsigned i = 0; i < 3; i++) {
		pack.address = dev.address = 2;
		assert_true(dev.protocol->encode(&dev, blocks[i], 0, &r));
		memcpy(frame[2 * i], r.tx, r.n);
		size[2 * i] = r.n;
		size[2 * i + 1] = on_request(NULL, (struct bytes){r.tx, r.n}, frame[2 * i + 1]);
		pack.address = dev.address = 1;
		assert_true(dev.protocol->encode(&dev, blocks[i], 0, &r));
		size[6 + i] = on_request(NULL, (struct bytes){r.tx, r.n}, frame[6 + i]);
	}
	return 9;
}

static void packs_of_a_bank_are_overheard(void **unused)
{
	uint8_t frame[9][64];
	size_t size[9];
	struct follow heard;

	(void)unused;
	master_turn(frame, size);
	assert_true(follow_init(&heard, dev.protocol, NULL));
	follow_sent(&heard, (struct bytes){NULL, 0}, 0);
	for (unsigned turn = 0; turn < 2; turn++)
		for (unsigned i = 0; i < 9; i++) /* the first one only in part: cut on the way */
			follow_received(&heard, (struct bytes){frame[i], size[i] - (turn == 0 && i == 1 ? 3 : 0)},
					10 * i);
	follow_end(&heard, 1000);
	assert_int_equal(heard.device_count, 2);
	assert_int_equal(heard.device[0].dev.address, 2);
	assert_int_equal(heard.device[1].dev.address, 1);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(reading_get(&heard.device[i].dev.reading, Q_VOLTAGE_V) == 52.8);
		assert_int_equal(heard.device[i].dev.reading.cell_V.count, 16);
		assert_int_equal(heard.device[i].answered, 7);
	}
	follow_free(&heard);
}

static void a_reply_that_nobody_asked_for_is_no_master(void **unused)
{
	uint8_t p[MAX_FRAME], listen[64] = {0};
	struct request as;

	(void)unused;
	assert_true(dev.protocol->listen_size <= sizeof(listen));
	size_t n = answer_registers(1, pack.pia, 0x12, 0, 0x12, p);
	assert_int_equal(dev.protocol->overhear(listen, (struct bytes){p, n}, &as), HEARD_NOTHING);
	n = answer_registers(0, pack.pib, 0x1a, 0, 0x1a, p); /* EIA of an inverter's master looks like it */
	assert_int_equal(dev.protocol->overhear(listen, (struct bytes){p, n}, &as), HEARD_NOTHING);
	n = (size_t)bytes_from_hex("02041000001274f4", p, sizeof(p)); /* may be the echo of our own probe */
	assert_int_equal(dev.protocol->overhear(listen, (struct bytes){p, n}, &as), HEARD_NOTHING);
	n = (size_t)bytes_from_hex("02041100001a74ce", p, sizeof(p));
	assert_int_equal(dev.protocol->overhear(listen, (struct bytes){p, n}, &as), HEARD_MASTER);
}

static void a_bank_with_a_master_is_found_by_listening(void **unused)
{
	struct detect *d = start_detection();
	uint8_t frame[9][64];
	size_t size[9];
	bool listening = false;
	unsigned i = 0;

	(void)unused;
	master_turn(frame, size);
	line.connected = false; /* it does not answer us */
	for (uint64_t now = 1050; detect_state(d) != DETECT_FOUND && now < 6000; now += 40, i++) {
		line.now_ms = now;
		detect_receive(d, (struct bytes){frame[i % 9], size[i % 9]}, now);
		while (detect_state(d) != DETECT_FOUND && detect_deadline(d) <= now + 39) {
			line.now_ms = detect_deadline(d);
			detect_tick(d, line.now_ms);
		}
	}
	assert_int_equal(detect_state(d), DETECT_FOUND);
	struct device found = detect_take(d, &listening);

	assert_true(listening);
	assert_true(found.address == 1 || found.address == 2);
	device_free(&found);
	detect_free(d);
}

/* ---- commands ---- */

static struct act do_command(enum command_kind kind, double value)
{
	struct command c = {.kind = kind, .value = value, .experimental = true};

	return act(&dev, &c, on_request, NULL);
}

static void the_fets_are_written_and_read_back(void **unused)
{
	static const struct {
		enum command_kind kind;
		int on;
		const char *writes;
		uint8_t fets;
	} row[] = {{COMMAND_CHARGE, 0, "0010151100010255aa536f", 1},
		   {COMMAND_CHARGE, 1, "00101515000102aa55535b", 3},
		   {COMMAND_DISCHARGE, 0, "0010151000010255aa52be", 2},
		   {COMMAND_DISCHARGE, 1, "001015100001020000ed91", 3}};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct act a = do_command(row[i].kind, row[i].on);

		assert_int_equal(a.outcome.result, COMMAND_DONE);
		assert_string_equal(a.writes, row[i].writes);
		assert_int_equal(pack.pic[TB07], row[i].fets);
	}
}

static void the_soc_is_set_by_the_remaining_capacity(void **unused)
{
	struct act a = do_command(COMMAND_SOC, 75);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "SoC reads back 75 %, remaining capacity 210 Ah");
	assert_int_equal(pack.pia[2], 21000);
	pack.pia[1] = 2000;
	a = do_command(COMMAND_SOC, 100);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_non_null(strstr(a.outcome.say, "more than 5 A flowed"));
}

static void without_a_capacity_no_soc_is_set(void **unused)
{
	(void)unused;
	pack.pia[3] = 0;
	assert_int_equal(do_command(COMMAND_SOC, 75).outcome.result, COMMAND_REFUSED);
	assert_int_equal(pack.writes, 0);
}

static void balancing_is_one_bit_of_many_that_are_kept(void **unused)
{
	static const uint8_t want[] = {0xff, 0xff, 0x3f, 0x01, 0x7f, 0x2f, 0x9f, 0x0e, 0x63, 0x6f};

	(void)unused;
	memcpy(pack.sfa, want, sizeof(want));
	pack.sfa[7] = 0x0f;
	assert_int_equal(do_command(COMMAND_BALANCE, 0).outcome.result, COMMAND_DONE);
	assert_memory_equal(pack.sfa, want, sizeof(want));
	assert_int_equal(do_command(COMMAND_BALANCE, 1).outcome.result, COMMAND_DONE);
	assert_int_equal(pack.sfa[7], 0x0f);
}

static const enum command_kind all_kinds[] = {COMMAND_SOC, COMMAND_CHARGE, COMMAND_DISCHARGE, COMMAND_BALANCE};

static void what_the_pack_refuses_is_refused(void **unused)
{
	(void)unused;
	pack.exception = 1;
	for (size_t i = 0; i < 4; i++) {
		struct act a = do_command(all_kinds[i], 0);

		assert_int_equal(a.outcome.result, COMMAND_REFUSED);
		assert_string_equal(a.outcome.say, "illegal function (exception 01)");
	}
}

static void a_write_without_effect_is_not_confirmed(void **unused)
{
	(void)unused;
	pack.deaf = true;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(do_command(all_kinds[i], 0).outcome.result, COMMAND_UNCONFIRMED);
	read_pack();
	pack.pic[TB07] = 1;
	pack.pic[TB02] = 0x02;
	assert_string_equal(do_command(COMMAND_CHARGE, 1).outcome.say,
			    "acknowledged, but the charge FET stays off: a protection holds it (see Alarms)");
}

static void an_acknowledgement_alone_confirms_nothing(void **unused)
{
	(void)unused;
	pack.silent_after_write = true;
	for (size_t i = 0; i < 4; i++) {
		pack.writes = 0;
		pack.deaf = true;
		assert_int_equal(do_command(all_kinds[i], 0).outcome.result, COMMAND_UNCONFIRMED);
	}
}

static void an_effect_without_acknowledgement_is_told_as_such(void **unused)
{
	(void)unused;
	pack.no_acknowledgement = true;
	struct act a = do_command(COMMAND_DISCHARGE, 0);

	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "not acknowledged, but the discharge FET reads back off");
}

static void a_stale_acknowledgement_is_not_that_of_a_write(void **unused)
{
	(void)unused;
	dev.address = 1;
	assert_int_equal(play(&dev, WRITE | 0x1511, 0x55aa, RX("0110151000010400"), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, WRITE | 0x1511, 0x55aa, RX("01101511000155c0"), error), EXCHANGE_ANSWERED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_are_those_of_the_sheet),
		TEST(only_four_registers_and_the_functions_can_be_written),
		TEST(requests_are_recognised_from_their_bytes),
		TEST(requests_to_other_devices_are_not_ours),
		TEST(every_field_of_a_pack_is_told),
		TEST(the_extremes_of_pia_serve_until_the_cells_are_known),
		TEST(cells_that_are_not_there_are_left_out_and_an_open_wire_is_not),
		TEST(a_sensor_that_is_not_there_is_no_0_degrees),
		TEST(a_shorter_pia_tells_what_it_has),
		TEST(firmware_that_lacks_the_last_register_is_asked_without_it),
		TEST(a_bank_tells_its_sums_low_word_first),
		TEST(temperatures_of_a_bank_are_in_celsius_or_kelvin),
		TEST(parameters_are_settings),
		TEST(the_clock_is_told_when_it_is_one),
		TEST(enabled_functions_are_no_alarms),
		TEST(every_alarm_bit_has_its_alarm),
		TEST(the_bits_of_cells_and_sensors_raise_nothing),
		TEST(damaged_and_foreign_frames_are_not_believed),
		TEST(eia_and_pib_are_equally_long_and_not_confused),
		TEST(the_answer_is_found_between_noise_and_other_answers),
		TEST(an_exception_is_a_refusal),
		TEST(a_pack_is_plausible),
		TEST(a_pack_that_contradicts_itself_is_not),
		TEST(a_foreign_device_of_the_same_function_is_not),
		TEST(a_single_pack_is_found_at_address_0_or_any_other),
		TEST(packs_of_a_bank_are_overheard),
		TEST(a_reply_that_nobody_asked_for_is_no_master),
		TEST(a_bank_with_a_master_is_found_by_listening),
		TEST(the_fets_are_written_and_read_back),
		TEST(the_soc_is_set_by_the_remaining_capacity),
		TEST(without_a_capacity_no_soc_is_set),
		TEST(balancing_is_one_bit_of_many_that_are_kept),
		TEST(what_the_pack_refuses_is_refused),
		TEST(a_write_without_effect_is_not_confirmed),
		TEST(an_acknowledgement_alone_confirms_nothing),
		TEST(an_effect_without_acknowledgement_is_told_as_such),
		TEST(a_stale_acknowledgement_is_not_that_of_a_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
