/* SPDX-License-Identifier: GPL-3.0-or-later */
/* JBD UP series, sheet jbd-up16s: frames built here from the sheet, whole and broken. */
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

/* Codes of requests: where the block begins; 45; writes. */
enum {
	CONFIRM = 0x01,
	INDIVIDUAL = 0x45,
	STATUS = 0x1000,
	PROTECTION = 0x1800,
	IDENTITY = 0x1c00,
	CAPACITY = 0x2000,
	TOTALS = 0x2006,
	CLOCK = 0x2800,
	PRODUCT = 0x2810,
	SET_SOC = 0x7901,
	SET_MOS = 0x7902,
};

enum { MAX_DATA = 520 };

/* ---- frames ---- */

static size_t fill(uint8_t *f, uint8_t address, uint8_t function, uint16_t start, uint16_t end, const uint8_t *data,
		   size_t n)
{
	f[0] = address;
	f[1] = function;
	put_u16be(f + 2, start);
	put_u16be(f + 4, end);
	put_u16be(f + 6, (uint16_t)n);
	if (n)
		memcpy(f + 8, data, n);
	put_u16le(f + 8 + n, crc16_modbus((struct bytes){f, 8 + n}));
	return n + 10;
}

static const char *hex_of(const uint8_t *f, size_t n)
{
	static char hex[8][2 * MAX_DATA + 40];
	static unsigned next;

	next = (next + 1) % 8;
	bytes_hex((struct bytes){f, n}, hex[next], sizeof(hex[next]));
	return hex[next];
}

static uint16_t end_of(uint16_t start)
{
	switch (start) {
	case STATUS:
		return 0x10a0;
	case PROTECTION:
		return 0x1900;
	case IDENTITY:
		return 0x1ca0;
	case CAPACITY:
		return 0x2050;
	case TOTALS:
		return 0x2018;
	case CLOCK:
		return 0x280f;
	default:
		return 0x283c;
	}
}

static const char *reply(uint8_t address, uint16_t start, const uint8_t *data, size_t n)
{
	uint8_t f[MAX_DATA + 10];

	return hex_of(f, fill(f, address, 0x78, start, end_of(start), data, n));
}

/* What the status says; everything else of it is derived from here. */
struct pack {
	uint16_t centi_V, centi_pct, mos, ccl, dcl, cells, sensors, packs, mask, firmware;
	int32_t centi_A;
	uint32_t faults, warnings;
	uint16_t balancing;
	size_t tail; /* bytes behind the sensors */
};

static struct pack pack_16s(void)
{
	return (struct pack){.centi_V = 5280,
			     .centi_pct = 6095,
			     .mos = 3,
			     .ccl = 1000,
			     .dcl = 1200,
			     .cells = 16,
			     .sensors = 4,
			     .packs = 1,
			     .mask = 1,
			     .firmware = 0x0c04,
			     .tail = 40};
}

static size_t status_data(const struct pack *p, uint8_t *d)
{
	size_t a = 68 + 2 * (size_t)p->cells, b = a + 2 + 2 * (size_t)p->sensors;

	memset(d, 0, MAX_DATA);
	put_u16be(d, p->centi_V);
	put_u32be(d + 4, (uint32_t)(300000 + p->centi_A));
	put_u16be(d + 8, p->centi_pct);
	put_u16be(d + 10, p->centi_pct);
	put_u16be(d + 12, 10000);
	put_u16be(d + 14, 10500);
	put_u16be(d + 16, 710);
	put_u16be(d + 18, 480);
	put_u16be(d + 20, 2);
	put_u16be(d + 22, 99);
	put_u32be(d + 24, p->faults);
	put_u32be(d + 28, p->warnings);
	put_u16be(d + 32, p->mos);
	put_u16be(d + 34, 4);
	put_u16be(d + 36, 12);
	put_u16be(d + 38, p->cells);
	put_u16be(d + 40, 3315);
	put_u16be(d + 42, 1);
	put_u16be(d + 44, 3300);
	put_u16be(d + 46, 3307);
	put_u16be(d + 48, 1);
	put_u16be(d + 50, 701);
	put_u16be(d + 52, 2);
	put_u16be(d + 54, 450);
	put_u16be(d + 56, 600);
	put_u16be(d + 58, 584);
	put_u16be(d + 60, p->ccl);
	put_u16be(d + 62, 448);
	put_u16be(d + 64, p->dcl);
	put_u16be(d + 66, p->cells);
	for (unsigned i = 0; i < p->cells; i++)
		put_u16be(d + 68 + 2 * i, (uint16_t)(3300 + i % 16));
	put_u16be(d + a, p->sensors);
	for (unsigned i = 0; i < p->sensors; i++)
		put_u16be(d + a + 2 + 2 * i, (uint16_t)(i == 1 ? 450 : 701));
	put_u16be(d + b + 2, p->balancing);
	put_u16be(d + b + 4, p->firmware);
	memcpy(d + b + 6, "JBD48100000", 11);
	put_u16be(d + b + 36, p->packs);
	put_u16be(d + b + 38, p->mask);
	return b + p->tail;
}

static const char *status_of(const struct pack *p, uint8_t address)
{
	uint8_t d[MAX_DATA];
	size_t n = status_data(p, d);

	return reply(address, STATUS, d, n);
}

static struct device told(const struct pack *p, uint8_t address)
{
	struct device dev = fresh_device("jbd-up16s", address, 0);

	assert_int_equal(play(&dev, STATUS, 0, RX(status_of(p, address)), NULL), EXCHANGE_ANSWERED);
	return dev;
}

static void tell(struct device *dev, const struct pack *p)
{
	assert_int_equal(play(dev, STATUS, 0, RX(status_of(p, dev->address)), NULL), EXCHANGE_ANSWERED);
}

/* 16 cells, as the sheet has it; n: bytes sent of it */
static const char *individual(uint8_t address, uint16_t ccl, uint16_t dcl, size_t n)
{
	uint8_t d[MAX_DATA] = {0}, f[MAX_DATA + 10];
	size_t s = 2 + 32;

	put_u16be(d, 16);
	for (unsigned i = 0; i < 16; i++)
		put_u16be(d + 2 + 2 * i, (uint16_t)(3300 + i));
	put_u16be(d + s, 3315);
	put_u16be(d + s + 2, 3300);
	put_u16be(d + s + 4, 5292);
	put_u32be(d + s + 6, (uint32_t)-1324);
	put_u16be(d + s + 10, 2731 + 250);
	put_u16be(d + s + 12, 2731 - 50);
	put_u16be(d + s + 14, 10000);
	put_u16be(d + s + 16, 2792);
	put_u16be(d + s + 18, 68);
	put_u16be(d + s + 20, 27);
	put_u16be(d + s + 22, 98);
	put_u16be(d + s + 28, 2);
	memcpy(d + s + 32, "BJ4D18", 6);
	put_u16be(d + s + 62, ccl);
	put_u16be(d + s + 64, dcl);
	put_u16be(d + s + 68, 2731 + 210);
	put_u16be(d + s + 70, 2731 + 226);
	d[s + 72] = 2;
	d[s + 73] = 4;
	put_u16be(d + s + 74, 2731 + 250);
	put_u16be(d + s + 76, 2731 - 50);
	return hex_of(f, fill(f, address, 0x45, 0, 0x54, d, n));
}

enum { WHOLE_INDIVIDUAL = 112, SHORT_INDIVIDUAL = 85 };

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);

	(void)unused;
	assert_string_equal(request_hex(&dev, STATUS, 0), "0178100010a000007fb2");
	assert_string_equal(request_hex(&dev, INDIVIDUAL, 0), "0145000000540000d4d3");
	assert_string_equal(request_hex(&dev, IDENTITY, 0), "01781c001ca000007c2e");
	assert_string_equal(request_hex(&dev, PRODUCT, 0), "01782810283c00007787");
	assert_string_equal(request_hex(&dev, CAPACITY, 0), "01782000205000007571");
	assert_string_equal(request_hex(&dev, TOTALS, 0), "01782006201800007d67");
	assert_string_equal(request_hex(&dev, SET_SOC, 10000), "0179200620080006114a42442710427a");
	assert_string_equal(request_hex(&dev, SET_SOC, 9800), "0179200620080006114a424426484210");
	assert_string_equal(request_hex(&dev, SET_MOS, 1), "0179290229040006114a424400011585");
	dev.address = 2;
	assert_string_equal(request_hex(&dev, STATUS, 0), "0278100010a000003fa7");
	device_free(&dev);
}

static void a_slave_is_confirmed_by_its_status_which_is_all_that_a_master_forwards(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);

	(void)unused;
	assert_string_equal(request_hex(&dev, CONFIRM, 0), "0145000000540000d4d3");
	dev.address = 2;
	assert_string_equal(request_hex(&dev, CONFIRM, 0), "0278100010a000003fa7");
	device_free(&dev);
}

static void only_commands_are_marked_as_writes(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);
	const struct protocol *p = dev.protocol;
	struct request request;

	(void)unused;
	for (unsigned r = 0; r < p->poll_count; r++) {
		assert_true(p->encode(&dev, p->polls[r].code, p->polls[r].arg, &request));
		assert_false(request.writes);
	}
	for (unsigned i = 0; i < p->probe_count; i++) {
		assert_true(p->encode(&dev, p->probes[i].code, p->probes[i].arg, &request));
		assert_false(request.writes);
	}
	assert_true(p->encode(&dev, SET_SOC, 0, &request));
	assert_true(request.writes);
	assert_true(p->encode(&dev, SET_MOS, 0, &request));
	assert_true(request.writes);
	device_free(&dev);
}

static void there_is_no_request_to_an_address_outside_1_to_16_nor_for_an_unknown_block(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 0, 0);
	struct request request;

	(void)unused;
	assert_false(dev.protocol->encode(&dev, STATUS, 0, &request));
	dev.address = 17;
	assert_false(dev.protocol->encode(&dev, STATUS, 0, &request));
	dev.address = 16;
	assert_true(dev.protocol->encode(&dev, STATUS, 0, &request));
	assert_false(dev.protocol->encode(&dev, 0x3000, 0, &request));
	device_free(&dev);
}

static bool parse(const char *hex, struct request *out)
{
	uint8_t buf[64];
	int n = bytes_from_hex(hex, buf, sizeof(buf));

	assert_true(n >= 0);
	return protocol_by_id("jbd-up16s")->parse_request((struct bytes){buf, (size_t)n}, out);
}

static void recorded_requests_are_recognised(void **unused)
{
	struct request r;

	(void)unused;
	assert_true(parse("0278100010a000003fa7", &r));
	assert_int_equal(r.code, STATUS);
	assert_int_equal(r.address, 2);
	assert_false(r.writes);
	assert_true(parse("0179200620080006114a42442710427a", &r));
	assert_int_equal(r.code, SET_SOC);
	assert_int_equal(r.arg, 10000);
	assert_true(r.writes);
	assert_true(parse("0145000000540000d4d3", &r));
	assert_int_equal(r.code, INDIVIDUAL);
}

static void what_is_no_request_is_not_recognised(void **unused)
{
	struct request r;
	uint8_t f[40], wrong_key[] = {0x11, 0x4a, 0x42, 0x45, 0x27, 0x10};

	(void)unused;
	assert_false(parse("0178100010a000007fb3", &r)); /* checksum */
	assert_false(parse("0178100010a000007f", &r));
	assert_false(parse("01", &r));
	assert_false(parse("", &r));
	assert_false(parse("d2030000003ed7b9", &r));
	assert_false(parse("010300000027"
			   "05d0",
			   &r));
	assert_false(parse(hex_of(f, fill(f, 1, 0x79, 0x2006, 0x2008, wrong_key, 6)), &r));
	assert_false(parse(hex_of(f, fill(f, 1, 0x79, 0x1800, 0x1802, wrong_key, 6)), &r));
	assert_false(parse(hex_of(f, fill(f, 17, 0x78, 0x1000, 0x10a0, NULL, 0)), &r));
	assert_false(parse(hex_of(f, fill(f, 1, 0x78, 0x3000, 0x30a0, NULL, 0)), &r));
}

/* ---- the status ---- */

static void the_status_tells_every_field(void **unused)
{
	struct pack p = pack_16s();

	(void)unused;
	p.centi_A = -1550;
	p.balancing = 0x8001;
	struct device dev = told(&p, 1);
	const struct reading *r = &dev.reading;

	assert_float_equal(reading_get(r, Q_VOLTAGE_V), 52.8, 1e-9);
	assert_float_equal(reading_get(r, Q_CURRENT_A), -15.5, 1e-9);
	assert_float_equal(reading_get(r, Q_SOC_PCT), 60.95, 1e-9);
	assert_float_equal(reading_get(r, Q_SOH_PCT), 99, 1e-9);
	assert_float_equal(reading_get(r, Q_CAPACITY_REMAINING_AH), 60.95, 1e-9);
	assert_float_equal(reading_get(r, Q_CAPACITY_FULL_AH), 100, 1e-9);
	assert_float_equal(reading_get(r, Q_CAPACITY_DESIGN_AH), 105, 1e-9);
	assert_float_equal(reading_get(r, Q_TEMP_MOS_C), 21, 1e-9);
	assert_float_equal(reading_get(r, Q_TEMP_AMBIENT_C), -2, 1e-9);
	assert_float_equal(reading_get(r, Q_CYCLES), 12, 1e-9);
	assert_float_equal(reading_get(r, Q_CELL_MAX_NO), 16, 1e-9);
	assert_float_equal(reading_get(r, Q_CELL_MIN_V), 3.3, 1e-9);
	assert_float_equal(reading_get(r, Q_TEMP_MIN_C), -5, 1e-9);
	assert_float_equal(reading_get(r, Q_TEMP_MIN_NO), 2, 1e-9);
	assert_float_equal(reading_get(r, Q_BMS_CVL_V), 58.4, 1e-9);
	assert_float_equal(reading_get(r, Q_BMS_DVL_V), 44.8, 1e-9);
	assert_float_equal(reading_get(r, Q_BMS_CCL_A), 100, 1e-9);
	assert_float_equal(reading_get(r, Q_BMS_DCL_A), 120, 1e-9);
	assert_float_equal(reading_get(r, Q_PACK_COUNT), 1, 1e-9);
	assert_float_equal(reading_get(r, Q_ADDRESS), 1, 1e-9);
	assert_float_equal(reading_detail(r, "state"), 2, 1e-9);
	assert_int_equal(r->cell_V.count, 16);
	assert_float_equal(r->cell_V.value[15], 3.315, 1e-9);
	assert_int_equal(r->temperatures.count, 4);
	assert_float_equal(r->temperatures.value[1], -5, 1e-9);
	assert_true(r->balancing_known);
	assert_int_equal(r->balancing, 0x8001);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_HEATER_ON), OFF);
	assert_string_equal(r->text[T_SERIAL_NUMBER], "JBD48100000");
	assert_string_equal(r->text[T_FIRMWARE_VERSION], "12.4");
	assert_true(r->alarms.known);
	assert_int_equal(alarms_raised(&r->alarms), 0);
	device_free(&dev);
}

static void each_bit_of_the_mos_word_is_one_switch(void **unused)
{
	static const struct {
		uint16_t word;
		enum tri discharge, charge, heater;
		double precharge, fan;
	} rows[] = {
		{0, OFF, OFF, OFF, 0, 0}, {1, ON, OFF, OFF, 0, 0}, {2, OFF, ON, OFF, 0, 0},
		{4, OFF, OFF, OFF, 1, 0}, {8, OFF, OFF, ON, 0, 0}, {16, OFF, OFF, OFF, 0, 1},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pack p = pack_16s();

		p.mos = rows[i].word;
		struct device dev = told(&p, 1);

		assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_MOS), rows[i].discharge);
		assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), rows[i].charge);
		assert_int_equal(reading_flag(&dev.reading, F_HEATER_ON), rows[i].heater);
		assert_float_equal(reading_detail(&dev.reading, "precharge_mos"), rows[i].precharge, 0);
		assert_float_equal(reading_detail(&dev.reading, "fan_on"), rows[i].fan, 0);
		device_free(&dev);
	}
}

static void a_shorter_trailer_leaves_unknown_what_it_lacks(void **unused)
{
	struct pack p = pack_16s();

	(void)unused;
	p.tail = 2;
	struct device dev = told(&p, 1);

	assert_false(dev.reading.balancing_known);
	assert_false(reading_knows(&dev.reading, Q_PACK_COUNT));
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "");
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "");
	assert_false(reading_detail(&dev.reading, "online_mask") >= 0);
	device_free(&dev);
}

static void a_terminal_voltage_of_0_is_unknown(void **unused)
{
	struct pack p = pack_16s();
	uint8_t d[MAX_DATA];
	size_t n = status_data(&p, d);
	struct device dev = told(&p, 2);

	(void)unused;
	assert_false(reading_detail(&dev.reading, "external_voltage_V") >= 0);
	put_u16be(d + 2, 5321);
	assert_int_equal(play(&dev, STATUS, 0, RX(reply(2, STATUS, d, n)), NULL), EXCHANGE_ANSWERED);
	assert_float_equal(reading_detail(&dev.reading, "external_voltage_V"), 53.21, 1e-9);
	device_free(&dev);
}

static void a_slave_does_not_know_how_many_packs_there_are(void **unused)
{
	struct pack p = pack_16s();

	(void)unused;
	p.mask = 2;
	p.firmware = 0x0004;
	struct device dev = told(&p, 2);

	assert_false(reading_knows(&dev.reading, Q_PACK_COUNT));
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "?.4");
	device_free(&dev);
}

static void impossible_counts_and_socs_are_not_believed(void **unused)
{
	static const struct {
		uint16_t cells, sensors, centi_pct;
		const char *why;
	} rows[] = {
		{0, 4, 5000, "reply rejected: cell count outside 1..32"},
		{33, 4, 5000, "reply rejected: cell count outside 1..32"},
		{16, 9, 5000, "reply rejected: more cells or sensors than the reply is long"},
		{16, 4, 10001, "reply rejected: SoC above 100 %"},
	};
	char error[128];

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct device dev = fresh_device("jbd-up16s", 1, 0);
		struct pack p = pack_16s();

		p.cells = rows[i].cells;
		p.sensors = rows[i].sensors;
		p.centi_pct = rows[i].centi_pct;
		assert_int_equal(play(&dev, STATUS, 0, RX(status_of(&p, 1)), error), EXCHANGE_FAILED);
		assert_string_equal(error, rows[i].why);
		assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
		device_free(&dev);
	}
}

static void counts_that_reach_beyond_the_reply_are_not_believed(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);
	struct pack p = pack_16s();
	uint8_t d[MAX_DATA];
	char error[128];

	(void)unused;
	status_data(&p, d);
	put_u16be(d + 66, 30); /* 128 bytes, 110 sent */
	assert_int_equal(play(&dev, STATUS, 0, RX(reply(1, STATUS, d, 110)), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, STATUS, 0, RX(reply(1, STATUS, d, 99)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: the block is shorter than it must be");
	device_free(&dev);
}

static void thirty_two_cells_are_told_but_not_which_balance(void **unused)
{
	struct pack p = pack_16s();

	(void)unused;
	p.cells = 32;
	p.centi_V = 10572;
	struct device dev = told(&p, 1);

	assert_int_equal(dev.reading.cell_V.count, 32);
	assert_false(dev.reading.balancing_known); /* the word has 16 bits */
	device_free(&dev);
}

/* ---- alarms ---- */

/* own NULL: none; ALARM_COUNT: no common one. */
struct meaning {
	unsigned bit;
	enum alarm common, second;
	const char *own;
};

static const struct meaning faults[] = {
	{0, ALARM_HIGH_CELL_VOLTAGE, ALARM_COUNT, NULL},
	{1, ALARM_LOW_CELL_VOLTAGE, ALARM_COUNT, NULL},
	{2, ALARM_HIGH_VOLTAGE, ALARM_COUNT, NULL},
	{3, ALARM_LOW_VOLTAGE, ALARM_COUNT, NULL},
	{4, ALARM_HIGH_CHARGE_CURRENT, ALARM_COUNT, NULL},
	{5, ALARM_HIGH_CHARGE_CURRENT, ALARM_COUNT, NULL},
	{6, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT, NULL},
	{7, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT, NULL},
	{8, ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_COUNT, NULL},
	{9, ALARM_LOW_CHARGE_TEMPERATURE, ALARM_COUNT, NULL},
	{10, ALARM_HIGH_TEMPERATURE, ALARM_COUNT, NULL},
	{11, ALARM_LOW_TEMPERATURE, ALARM_COUNT, NULL},
	{12, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_COUNT, NULL},
	{13, ALARM_HIGH_TEMPERATURE, ALARM_COUNT, "high_ambient_temperature"},
	{14, ALARM_LOW_TEMPERATURE, ALARM_COUNT, "low_ambient_temperature"},
	{15, ALARM_CELL_IMBALANCE, ALARM_COUNT, NULL},
	{16, ALARM_COUNT, ALARM_COUNT, "temperature_difference"},
	{17, ALARM_LOW_SOC, ALARM_COUNT, NULL},
	{18, ALARM_SHORT_CIRCUIT, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{19, ALARM_INTERNAL_FAILURE, ALARM_COUNT, "cell_wire_fault"},
	{20, ALARM_INTERNAL_FAILURE, ALARM_COUNT, "temperature_sensor_fault"},
	{21, ALARM_INTERNAL_FAILURE, ALARM_COUNT, "charge_mos_fault"},
	{22, ALARM_INTERNAL_FAILURE, ALARM_COUNT, "discharge_mos_fault"},
	{23, ALARM_INTERNAL_FAILURE, ALARM_COUNT, "current_limiter_fault"},
	{24, ALARM_INTERNAL_FAILURE, ALARM_COUNT, "aerosol"},
	{25, ALARM_COUNT, ALARM_COUNT, NULL},
	{26, ALARM_INTERNAL_FAILURE, ALARM_COUNT, "afe_fault"},
	{27, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT, "reverse_polarity"},
	{28, ALARM_COUNT, ALARM_COUNT, NULL},
	{31, ALARM_COUNT, ALARM_COUNT, NULL},
};

static const struct meaning warnings[] = {
	{0, ALARM_HIGH_CELL_VOLTAGE, ALARM_COUNT, NULL},
	{1, ALARM_LOW_CELL_VOLTAGE, ALARM_COUNT, NULL},
	{2, ALARM_HIGH_VOLTAGE, ALARM_COUNT, NULL},
	{3, ALARM_LOW_VOLTAGE, ALARM_COUNT, NULL},
	{4, ALARM_HIGH_CHARGE_CURRENT, ALARM_COUNT, NULL},
	{5, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_COUNT, NULL},
	{6, ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_COUNT, NULL},
	{7, ALARM_LOW_CHARGE_TEMPERATURE, ALARM_COUNT, NULL},
	{8, ALARM_HIGH_TEMPERATURE, ALARM_COUNT, NULL},
	{9, ALARM_LOW_TEMPERATURE, ALARM_COUNT, NULL},
	{10, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_COUNT, NULL},
	{11, ALARM_HIGH_TEMPERATURE, ALARM_COUNT, "high_ambient_temperature"},
	{12, ALARM_LOW_TEMPERATURE, ALARM_COUNT, "low_ambient_temperature"},
	{13, ALARM_CELL_IMBALANCE, ALARM_COUNT, NULL},
	{14, ALARM_COUNT, ALARM_COUNT, "temperature_difference"},
	{15, ALARM_LOW_SOC, ALARM_COUNT, NULL},
	{16, ALARM_INTERNAL_FAILURE, ALARM_COUNT, "eeprom_fault"},
	{17, ALARM_INTERNAL_FAILURE, ALARM_COUNT, "rtc_fault"},
	{18, ALARM_COUNT, ALARM_COUNT, NULL},
	{19, ALARM_COUNT, ALARM_COUNT, NULL},
};

static void check_meaning(const struct alarms *a, const struct meaning *m, enum alarm_level level)
{
	unsigned expected = (m->common != ALARM_COUNT) + (m->second != ALARM_COUNT) + (m->own != NULL);

	assert_true(a->known);
	assert_int_equal(alarms_raised(a), expected);
	if (m->common != ALARM_COUNT)
		assert_int_equal(a->level[m->common], level);
	if (m->second != ALARM_COUNT)
		assert_int_equal(a->level[m->second], level);
	if (!m->own)
		return;
	assert_int_equal(a->own_count, 1);
	assert_string_equal(a->own[0].name, m->own);
	assert_int_equal(a->own[0].level, level);
}

static void every_alarm_bit_alone_means_what_the_sheet_says(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct pack p = pack_16s();

		p.faults = UINT32_C(1) << faults[i].bit;
		struct device dev = told(&p, 1);
		check_meaning(&dev.reading.alarms, &faults[i], ALARM_RAISED);
		device_free(&dev);
	}
	for (size_t i = 0; i < sizeof(warnings) / sizeof(warnings[0]); i++) {
		struct pack p = pack_16s();

		p.warnings = UINT32_C(1) << warnings[i].bit;
		struct device dev = told(&p, 1);
		check_meaning(&dev.reading.alarms, &warnings[i], ALARM_WARNING);
		device_free(&dev);
	}
}

static void the_full_charge_protection_is_a_state(void **unused)
{
	struct pack p = pack_16s();
	struct device dev = told(&p, 1);

	(void)unused;
	assert_float_equal(reading_detail(&dev.reading, "full_charge_protection"), 0, 0);
	p.faults = 1u << 25;
	tell(&dev, &p);
	assert_float_equal(reading_detail(&dev.reading, "full_charge_protection"), 1, 0);
	p.faults = 0;
	p.warnings = 1u << 18;
	tell(&dev, &p);
	assert_float_equal(reading_detail(&dev.reading, "full_charge_protection"), 1, 0);
	device_free(&dev);
}

static void an_alarm_that_is_over_is_no_longer_told(void **unused)
{
	struct pack p = pack_16s();

	(void)unused;
	p.faults = 1u << 2 | 1u << 19;
	struct device dev = told(&p, 1);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 3);
	p.faults = 0;
	tell(&dev, &p);
	assert_true(dev.reading.alarms.known);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	device_free(&dev);
}

static void the_alarms_it_raises_are_those_it_announces(void **unused)
{
	struct pack p = pack_16s();

	(void)unused;
	p.faults = p.warnings = 0xffffffff;
	struct device dev = told(&p, 1);

	for (unsigned a = 0; a < ALARM_COUNT; a++)
		assert_int_equal(dev.reading.alarms.level[a] != ALARM_OK, dev.protocol->alarms >> a & 1);
	device_free(&dev);
}

/* ---- limits ---- */

static void a_discharge_limit_of_0_in_one_reading_alone_is_the_firmwares_mistake(void **unused)
{
	struct pack p = pack_16s();
	struct device dev = told(&p, 1);

	(void)unused;
	p.dcl = 0;
	tell(&dev, &p);
	assert_float_equal(reading_get(&dev.reading, Q_BMS_DCL_A), 120, 1e-9);
	tell(&dev, &p);
	assert_float_equal(reading_get(&dev.reading, Q_BMS_DCL_A), 0, 1e-9);
	p.dcl = 500;
	tell(&dev, &p);
	assert_float_equal(reading_get(&dev.reading, Q_BMS_DCL_A), 50, 1e-9);
	device_free(&dev);
}

static void a_discharge_limit_of_0_with_a_fault_is_true_at_once(void **unused)
{
	struct pack p = pack_16s();
	struct device dev = told(&p, 1);

	(void)unused;
	p.dcl = 0;
	p.faults = 1u << 1;
	tell(&dev, &p);
	assert_float_equal(reading_get(&dev.reading, Q_BMS_DCL_A), 0, 1e-9);
	device_free(&dev);
}

static void a_discharge_limit_of_0_from_the_first_reading_on_is_told(void **unused)
{
	struct pack p = pack_16s();

	(void)unused;
	p.dcl = 0;
	struct device dev = told(&p, 1);
	assert_float_equal(reading_get(&dev.reading, Q_BMS_DCL_A), 0, 1e-9);
	device_free(&dev);
}

static void of_several_packs_the_masters_own_limits_come_from_45(void **unused)
{
	struct pack p = pack_16s();

	(void)unused;
	p.packs = 2;
	p.mask = 3;
	p.ccl = 2000;
	p.dcl = 2400;
	struct device dev = told(&p, 1);
	assert_float_equal(reading_get(&dev.reading, Q_BMS_CCL_A), 200, 1e-9);
	assert_int_equal(play(&dev, INDIVIDUAL, 0, RX(individual(1, 1000, 1100, WHOLE_INDIVIDUAL)), NULL),
			 EXCHANGE_ANSWERED);
	assert_float_equal(reading_get(&dev.reading, Q_BMS_CCL_A), 100, 1e-9);
	assert_float_equal(reading_get(&dev.reading, Q_BMS_DCL_A), 110, 1e-9);
	tell(&dev, &p);
	assert_float_equal(reading_get(&dev.reading, Q_BMS_CCL_A), 100, 1e-9);
	assert_float_equal(reading_detail(&dev.reading, "system_ccl_A"), 200, 1e-9);
	assert_float_equal(reading_detail(&dev.reading, "system_dcl_A"), 240, 1e-9);
	p.ccl = 300; /* less for all than this one had a moment ago */
	tell(&dev, &p);
	assert_float_equal(reading_get(&dev.reading, Q_BMS_CCL_A), 30, 1e-9);
	device_free(&dev);
}

static void own_limits_that_are_not_told_again_do_not_hold_for_ever(void **unused)
{
	struct pack p = pack_16s();

	(void)unused;
	p.packs = 2;
	p.mask = 3;
	struct device dev = told(&p, 1);
	for (int i = 0; i < 2; i++)
		play(&dev, INDIVIDUAL, 0, RX(individual(1, 0, 0, WHOLE_INDIVIDUAL)), NULL);
	tell(&dev, &p);
	assert_float_equal(reading_get(&dev.reading, Q_BMS_DCL_A), 0, 1e-9);
	for (int i = 0; i < 100; i++)
		tell(&dev, &p);
	assert_float_equal(reading_get(&dev.reading, Q_BMS_CCL_A), 100, 1e-9);
	assert_float_equal(reading_get(&dev.reading, Q_BMS_DCL_A), 120, 1e-9);
	device_free(&dev);
}

static void beside_the_status_45_brings_nothing_but_limits(void **unused)
{
	struct pack p = pack_16s();
	struct device dev = told(&p, 1);

	(void)unused;
	assert_int_equal(play(&dev, INDIVIDUAL, 0, RX(individual(1, 1000, 1100, WHOLE_INDIVIDUAL)), NULL),
			 EXCHANGE_ANSWERED);
	assert_float_equal(reading_get(&dev.reading, Q_SOC_PCT), 60.95, 1e-9);
	assert_float_equal(reading_get(&dev.reading, Q_VOLTAGE_V), 52.8, 1e-9);
	assert_float_equal(reading_get(&dev.reading, Q_CYCLES), 12, 1e-9);
	assert_int_equal(dev.reading.temperatures.count, 4);
	device_free(&dev);
}

/* ---- other replies ---- */

static void the_individual_status_alone_tells_a_whole_pack(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 2, 0);
	const struct reading *r = &dev.reading;

	(void)unused;
	assert_int_equal(play(&dev, INDIVIDUAL, 0, RX(individual(2, 1000, 1100, WHOLE_INDIVIDUAL)), NULL),
			 EXCHANGE_ANSWERED);
	assert_float_equal(reading_get(r, Q_CURRENT_A), -13.24, 1e-9);
	assert_float_equal(reading_get(r, Q_VOLTAGE_V), 52.92, 1e-9);
	assert_float_equal(reading_get(r, Q_SOC_PCT), 27, 1e-9);
	assert_float_equal(reading_get(r, Q_SOH_PCT), 98, 1e-9);
	assert_float_equal(reading_get(r, Q_TEMP_MAX_C), 25, 1e-9);
	assert_float_equal(reading_get(r, Q_TEMP_MIN_C), -5, 1e-9);
	assert_float_equal(reading_get(r, Q_TEMP_MOS_C), 21, 1e-9);
	assert_float_equal(reading_get(r, Q_TEMP_AMBIENT_C), 22.6, 1e-9);
	assert_int_equal(r->temperatures.count, 2);
	assert_float_equal(r->temperatures.value[1], -5, 1e-9);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), OFF);
	assert_string_equal(r->text[T_SERIAL_NUMBER], "JBD481");
	assert_string_equal(r->text[T_FIRMWARE_VERSION], "?.4");
	device_free(&dev);
}

static void the_short_individual_status_of_older_firmware_leaves_the_rest_unknown(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 2, 0);

	(void)unused;
	assert_int_equal(play(&dev, INDIVIDUAL, 0, RX(individual(2, 1000, 1100, SHORT_INDIVIDUAL)), NULL),
			 EXCHANGE_ANSWERED);
	assert_float_equal(reading_get(&dev.reading, Q_SOC_PCT), 27, 1e-9);
	assert_false(reading_knows(&dev.reading, Q_BMS_CCL_A));
	assert_false(reading_knows(&dev.reading, Q_BMS_DCL_A));
	assert_false(reading_knows(&dev.reading, Q_TEMP_MOS_C));
	assert_false(dev.reading.temperatures.reported);
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "");
	device_free(&dev);
}

static void an_individual_status_that_contradicts_the_status_is_not_believed(void **unused)
{
	struct pack p = pack_16s();
	char error[128];

	(void)unused;
	p.cells = 15;
	struct device dev = told(&p, 1);
	assert_int_equal(play(&dev, INDIVIDUAL, 0, RX(individual(1, 1000, 1100, WHOLE_INDIVIDUAL)), error),
			 EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: another cell count than in the status");
	assert_int_equal(play(&dev, INDIVIDUAL, 0, RX(individual(1, 1000, 1100, 40)), error), EXCHANGE_FAILED);
	device_free(&dev);
}

static void totals_come_from_the_part_of_block_2000(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);

	(void)unused;
	assert_int_equal(play(&dev, TOTALS, 0, RX("0178200620180012188d00640003009600500000197400001eea98b0"), NULL),
			 EXCHANGE_ANSWERED);
	assert_float_equal(reading_get(&dev.reading, Q_SOC_PCT), 62.85, 1e-9);
	assert_float_equal(reading_get(&dev.reading, Q_TOTAL_CHARGE_AH), 651.6, 1e-9);
	assert_float_equal(reading_get(&dev.reading, Q_TOTAL_DISCHARGE_AH), 791.4, 1e-9);
	device_free(&dev);
}

static void the_product_names_the_board_and_its_firmware_better_than_the_status(void **unused)
{
	struct pack p = pack_16s();
	struct device dev = told(&p, 1);
	uint8_t d[44] = {0};

	(void)unused;
	put_u16be(d, 33);
	put_u16be(d + 2, 3);
	put_u16be(d + 4, 12);
	put_u16be(d + 6, 1);
	put_u16be(d + 8, 7);
	memcpy(d + 12, "UP16S015.16S200AJBD", 19);
	assert_int_equal(play(&dev, PRODUCT, 0, RX(reply(1, PRODUCT, d, 44)), NULL), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_MODEL], "UP16S015.16S200A");
	assert_string_equal(dev.reading.text[T_HARDWARE_VERSION], "UP16S015.16S200A rev 3");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "12.1.7");
	tell(&dev, &p);
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "12.1.7");
	device_free(&dev);
}

static void the_identity_names_the_pack_whichever_comes_first(void **unused)
{
	uint8_t identity[134] = {0}, product[44] = {0};

	(void)unused;
	memcpy(identity + 16, "UP16S019000123525032200332", 26);
	memcpy(identity + 52, "SN7", 3);
	put_u16be(identity + 82, 2025);
	put_u16be(identity + 84, 3);
	put_u16be(identity + 86, 18);
	memcpy(identity + 88, "ECO-LFP48100-3U", 15);
	memcpy(product + 12, "UP16S015.16S200A", 16);
	for (int order = 0; order < 2; order++) {
		struct device dev = fresh_device("jbd-up16s", 1, 0);

		for (int i = 0; i < 2; i++)
			if (i == order)
				play(&dev, IDENTITY, 0, RX(reply(1, IDENTITY, identity, 134)), NULL);
			else
				play(&dev, PRODUCT, 0, RX(reply(1, PRODUCT, product, 44)), NULL);
		assert_string_equal(dev.reading.text[T_MODEL], "ECO-LFP48100-3U");
		assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "SN7");
		assert_string_equal(dev.reading.text[T_PRODUCTION_DATE], "2025-03-18");
		assert_string_equal(settings_find(&dev.settings, "bms_serial_number")->text,
				    "UP16S019000123525032200332");
		assert_null(settings_find(&dev.settings, "bms_production_date")); /* 0-0-0 is none */
		device_free(&dev);
	}
}

static void only_what_is_a_clock_is_shown_as_one(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);
	uint8_t d[12];
	uint16_t t[] = {2026, 6, 6, 17, 6, 60};

	(void)unused;
	for (int i = 0; i < 6; i++)
		put_u16be(d + 2 * i, t[i]);
	assert_int_equal(play(&dev, CLOCK, 0, RX(reply(1, CLOCK, d, 12)), NULL), EXCHANGE_ANSWERED);
	assert_null(settings_find(&dev.settings, "clock"));
	put_u16be(d + 10, 56);
	assert_int_equal(play(&dev, CLOCK, 0, RX(reply(1, CLOCK, d, 12)), NULL), EXCHANGE_ANSWERED);
	assert_string_equal(settings_find(&dev.settings, "clock")->text, "2026-06-06 17:06:56");
	device_free(&dev);
}

static void thresholds_are_settings(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);
	uint8_t d[208];

	(void)unused;
	for (unsigned i = 0; i < 104; i++)
		put_u16be(d + 2 * i, (uint16_t)(1000 + i));
	assert_int_equal(play(&dev, PROTECTION, 0, RX(reply(1, PROTECTION, d, 208)), NULL), EXCHANGE_ANSWERED);
	assert_float_equal(settings_number(&dev.settings, "cell_ovp_V"), 1.003, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "cell_uvpr_V"), 1.010, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "pack_ovp_V"), 10.15, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "pack_uvp_delay_s"), 1.023, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "charge_ocp2_A"), 103.1, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "discharge_ocp_delay_s"), 1.038, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "charge_otp_C"), 54.7, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "mos_otpr_C"), 57.2, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "cell_difference_warning_V"), 1.092, 1e-9);
	assert_float_equal(settings_number(&dev.settings, "low_soc_p_pct"), 1101, 1e-9);
	assert_int_equal(dev.settings.count, 104);
	device_free(&dev);
}

static void a_block_that_is_too_short_is_not_believed(void **unused)
{
	static const uint16_t blocks[] = {PROTECTION, IDENTITY, CAPACITY, TOTALS, CLOCK, PRODUCT};
	uint8_t d[10] = {1};

	(void)unused;
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		struct device dev = fresh_device("jbd-up16s", 1, 0);

		assert_int_equal(play(&dev, blocks[i], 0, RX(reply(1, blocks[i], d, sizeof(d))), NULL),
				 EXCHANGE_FAILED);
		assert_int_equal(dev.settings.count, 0);
		device_free(&dev);
	}
}

/* ---- broken and foreign ---- */

static void a_wrong_checksum_is_no_answer(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);
	struct pack p = pack_16s();
	uint8_t d[MAX_DATA], f[MAX_DATA + 10];
	char error[128];
	size_t n = fill(f, 1, 0x78, STATUS, 0x10a0, d, status_data(&p, d));

	(void)unused;
	for (size_t at = 0; at < n; at += 7) {
		f[at] ^= 0x10;
		assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(f, n)), error), EXCHANGE_FAILED);
		f[at] ^= 0x10;
	}
	f[n - 1] ^= 1;
	assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(f, n)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: checksum");
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	device_free(&dev);
}

static void a_frame_cut_short_is_no_answer(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);
	struct pack p = pack_16s();
	uint8_t d[MAX_DATA], f[MAX_DATA + 10];
	char error[128];
	size_t n = fill(f, 1, 0x78, STATUS, 0x10a0, d, status_data(&p, d));

	(void)unused;
	for (size_t cut = 1; cut < n; cut++)
		assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(f, cut)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: frame cut short");
	device_free(&dev);
}

static void another_address_or_block_is_no_answer(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);
	struct pack p = pack_16s();
	uint8_t d[MAX_DATA] = {0};

	(void)unused;
	assert_int_equal(play(&dev, STATUS, 0, RX(status_of(&p, 2)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, STATUS, 0, RX(reply(1, IDENTITY, d, 134)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, STATUS, 0, RX(individual(1, 1, 1, WHOLE_INDIVIDUAL)), NULL), EXCHANGE_FAILED);
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	/* but what comes after them is */
	assert_int_equal(
		play(&dev, STATUS, 0, RX(reply(1, IDENTITY, d, 134), status_of(&p, 2), status_of(&p, 1)), NULL),
		EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void noise_cuts_and_glue_are_no_matter(void **unused)
{
	struct pack p = pack_16s(), q = pack_16s();
	char whole[1200], chunk[8];
	const char *rx[400];
	static char pieces[400][8];
	unsigned n = 0;

	(void)unused;
	q.centi_V = 5300;
	struct device dev = fresh_device("jbd-up16s", 1, 0);
	snprintf(whole, sizeof(whole), "ff0178000d0a%s00", status_of(&p, 1));
	assert_int_equal(play(&dev, STATUS, 0, RX(whole), NULL), EXCHANGE_ANSWERED);
	snprintf(whole, sizeof(whole), "%s%s", status_of(&q, 1), status_of(&p, 1));
	assert_int_equal(play(&dev, STATUS, 0, RX(whole), NULL), EXCHANGE_ANSWERED);
	assert_float_equal(reading_get(&dev.reading, Q_VOLTAGE_V), 53, 1e-9); /* the first of the two */
	snprintf(whole, sizeof(whole), "%s", status_of(&p, 1));
	for (size_t at = 0; whole[at]; at += 2, n++) {
		memcpy(chunk, whole + at, 2);
		chunk[2] = 0;
		memcpy(pieces[n], chunk, 3);
		rx[n] = pieces[n];
	}
	rx[n] = NULL;
	assert_int_equal(play(&dev, STATUS, 0, rx, NULL), EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void an_echo_alone_is_no_answer_and_in_front_of_one_no_matter(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);
	struct pack p = pack_16s();

	(void)unused;
	assert_int_equal(play(&dev, STATUS, 0, RX("0178100010a000007fb2"), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, STATUS, 0, RX("0178100010a000007fb2", "0178100010a000007fb2"), NULL),
			 EXCHANGE_FAILED);
	assert_int_equal(play(&dev, STATUS, 0, RX("0178100010a000007fb2", status_of(&p, 1)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, SET_SOC, 10000, RX("0179200620080006114a42442710427a"), NULL), EXCHANGE_FAILED);
	assert_int_equal(
		play(&dev, SET_SOC, 10000, RX("0179200620080006114a42442710427a", "01792006200800006c62"), NULL),
		EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void a_length_beyond_512_is_no_frame_and_is_not_waited_for(void **unused)
{
	const struct protocol *p = protocol_by_id("jbd-up16s");
	uint8_t f[] = {1, 0x78, 0x10, 0x00, 0x10, 0xa0, 0x02, 0x01};
	const char *why = NULL;

	(void)unused;
	assert_true(p->find_frame(NULL, (struct bytes){f, sizeof(f)}, false, &why) < 0);
	f[7] = 0;
	assert_int_equal(p->find_frame(NULL, (struct bytes){f, sizeof(f)}, false, &why), 0);
	assert_true(p->find_frame(NULL, (struct bytes){f, sizeof(f)}, true, &why) < 0);
}

static void a_modbus_device_that_does_not_know_the_function_refuses(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);
	uint8_t f[5] = {0x01, 0xf8, 0x01};
	char error[128];

	(void)unused;
	put_u16le(f + 3, crc16_modbus((struct bytes){f, 3}));
	assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(f, 5)), error), EXCHANGE_REFUSED);
	assert_string_equal(error, "illegal function (exception 01)");
	f[3] ^= 1;
	assert_int_equal(play(&dev, STATUS, 0, RX(hex_of(f, 5)), error), EXCHANGE_FAILED);
	device_free(&dev);
}

/* ---- plausible ---- */

static bool plausible(const struct pack *p)
{
	struct device dev = told(p, 1);
	const char *why = NULL;
	bool ok = dev.protocol->plausible(&dev, &why);

	assert_true(ok || why);
	device_free(&dev);
	return ok;
}

static void a_battery_is_plausible_and_nonsense_is_not(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);
	struct pack p = pack_16s();
	const char *why = NULL;

	(void)unused;
	assert_true(plausible(&p));
	assert_false(dev.protocol->plausible(&dev, &why)); /* nothing told */
	p.centi_V = 5000;				   /* the cells add up to 52.92 V */
	assert_false(plausible(&p));
	p.centi_V = 0;
	assert_false(plausible(&p));
	p = pack_16s();
	p.centi_A = 200000;
	assert_false(plausible(&p));
	device_free(&dev);
}

static bool plausible_with(unsigned cells, uint16_t mV)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);
	struct pack p = pack_16s();
	uint8_t d[MAX_DATA];
	const char *why = NULL;
	size_t n = status_data(&p, d);

	for (unsigned i = 0; i < cells; i++)
		put_u16be(d + 68 + 2 * i, mV);
	assert_int_equal(play(&dev, STATUS, 0, RX(reply(1, STATUS, d, n)), NULL), EXCHANGE_ANSWERED);
	bool ok = dev.protocol->plausible(&dev, &why);
	device_free(&dev);
	return ok;
}

static void a_cell_whose_wire_is_off_does_not_hide_the_battery_but_no_cell_has_more_than_5_V(void **unused)
{
	(void)unused;
	assert_true(plausible_with(1, 0));
	assert_false(plausible_with(1, 5001));
	assert_false(plausible_with(16, 0));
}

/* ---- the bus between the packs ---- */

static enum heard hear(void *listen, const char *hex, struct request *as)
{
	uint8_t buf[MAX_DATA];
	int n = bytes_from_hex(hex, buf, sizeof(buf));

	return protocol_by_id("jbd-up16s")->overhear(listen, (struct bytes){buf, (size_t)n}, as);
}

static void what_a_master_asks_of_its_packs_and_they_answer_is_overheard(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 2, 0);
	uint8_t listen[16] = {0}, f[MAX_DATA];
	struct request as = {0};
	const char *answer = individual(2, 1000, 1100, WHOLE_INDIVIDUAL), *why = NULL;
	int n = bytes_from_hex(answer, f, sizeof(f));

	(void)unused;
	assert_true(dev.protocol->listen_size <= sizeof(listen));
	assert_int_equal(hear(listen, answer, &as), HEARD_NOTHING); /* nobody has asked */
	assert_int_equal(hear(listen, "024500000054000094c6", &as), HEARD_MASTER);
	assert_int_equal(hear(listen, individual(3, 1, 1, WHOLE_INDIVIDUAL), &as), HEARD_NOTHING);
	assert_int_equal(hear(listen, "024500000054000094c6", &as), HEARD_MASTER);
	assert_int_equal(hear(listen, answer, &as), HEARD_ANSWER);
	assert_int_equal(as.address, 2);
	assert_int_equal(as.code, dev.protocol->polls[0].code);
	assert_int_equal(dev.protocol->take(&dev, &as, (struct bytes){f, (size_t)n}, &why), FRAME_ANSWER);
	assert_float_equal(reading_get(&dev.reading, Q_CURRENT_A), -13.24, 1e-9);
	assert_true(dev.protocol->plausible(&dev, &why));
	device_free(&dev);
}

static void an_own_request_that_comes_back_is_no_other_master(void **unused)
{
	uint8_t listen[16] = {0};
	struct request as;

	(void)unused;
	assert_int_equal(hear(listen, "0178100010a000007fb2", &as), HEARD_NOTHING);
}

static bool wanted(const struct device *dev, uint16_t code)
{
	for (unsigned r = 0; r < dev->protocol->poll_count; r++)
		if (dev->protocol->polls[r].code == code)
			return !dev->protocol->polls[r].wanted || dev->protocol->polls[r].wanted(dev);
	return false;
}

static void a_pack_behind_its_master_is_asked_only_for_what_it_forwards(void **unused)
{
	struct pack p = pack_16s();
	uint8_t d[134] = {0};

	(void)unused;
	p.mask = 2;
	p.firmware = 4;
	struct device dev = told(&p, 2);
	assert_true(wanted(&dev, STATUS));
	assert_false(wanted(&dev, INDIVIDUAL));
	assert_false(wanted(&dev, PRODUCT));
	assert_false(wanted(&dev, PROTECTION));
	assert_false(wanted(&dev, TOTALS));
	assert_false(wanted(&dev, CLOCK));
	play(&dev, IDENTITY, 0, RX(reply(2, IDENTITY, d, 134)), NULL);
	assert_true(wanted(&dev, PRODUCT));
	assert_true(wanted(&dev, TOTALS));
	device_free(&dev);
}

static void a_pack_behind_a_master_is_asked_twice_who_it_is_each_in_a_cycle_of_its_own(void **unused)
{
	struct pack p = pack_16s();
	unsigned asked[4] = {0};

	(void)unused;
	p.mask = 2;
	p.firmware = 4;
	for (uint8_t address = 2; address <= 3; address++) {
		struct device dev = told(&p, address);

		for (unsigned cycle = 1; cycle < 100; cycle++, tell(&dev, &p)) {
			if (!wanted(&dev, IDENTITY))
				continue;
			assert_int_equal(cycle % 16, address);
			assert_int_equal(play(&dev, IDENTITY, 0, RX(NULL), NULL), EXCHANGE_FAILED);
			asked[address]++;
		}
		device_free(&dev);
	}
	assert_int_equal(asked[2], 2);
	assert_int_equal(asked[3], 2);
}

static void a_pack_that_tells_its_whole_firmware_version_is_wired_whatever_its_address(void **unused)
{
	struct pack p = pack_16s();

	(void)unused;
	p.mask = 16;
	struct device dev = told(&p, 5);
	assert_true(wanted(&dev, IDENTITY));
	assert_true(wanted(&dev, PRODUCT));
	assert_true(wanted(&dev, PROTECTION));
	device_free(&dev);
}

static void a_master_is_asked_for_everything_that_its_firmware_knows_but_never_for_block_2000(void **unused)
{
	struct pack p = pack_16s();
	struct device dev = told(&p, 1);

	(void)unused;
	assert_true(wanted(&dev, PRODUCT));
	assert_true(wanted(&dev, TOTALS));
	assert_false(wanted(&dev, INDIVIDUAL)); /* alone its limits are those of the status */
	assert_false(wanted(&dev, CAPACITY));
	p.firmware = 0x0a01;
	p.packs = 2;
	tell(&dev, &p);
	assert_false(wanted(&dev, TOTALS));
	assert_true(wanted(&dev, INDIVIDUAL));
	device_free(&dev);
}

/* ---- commands ---- */

/* A board that the tests play. */
struct board {
	uint16_t centi_pct, mos;
	bool stuck;	/* acknowledges and does nothing */
	bool mute;	/* does not acknowledge writes */
	bool forwarded; /* a master answers for it */
	bool dead;	/* says nothing */
	bool inverted;	/* the other switch moves */
	bool held;	/* once moved, it does not move back */
	unsigned slow;	/* so many read-backs show the old state */
	uint16_t next_pct, next_mos;
};

static struct board normal(void)
{
	return (struct board){.centi_pct = 6095, .mos = 3, .next_pct = 6095, .next_mos = 3};
}

static void write_board(struct board *b, uint16_t start, uint16_t word)
{
	if (b->stuck)
		return;
	if (start == 0x2006)
		b->next_pct = word;
	else if (b->inverted)
		b->next_mos = (uint16_t)(b->held ? 0 : (word & ~3) | (word >> 1 & 1) | (word << 1 & 2));
	else
		b->next_mos = word;
}

static size_t board(void *ctx, struct bytes request, uint8_t *rx)
{
	struct board *b = ctx;
	uint8_t address = u8_at(request, 0), function = u8_at(request, 1), d[MAX_DATA] = {0};
	uint16_t start = u16be_at(request, 2), end = u16be_at(request, 4);
	struct pack p = pack_16s();

	if (b->dead || (b->forwarded && start != STATUS))
		return 0;
	if (function == 0x79) {
		write_board(b, start, u16be_at(request, 12));
		return b->mute ? 0 : fill(rx, address, function, start, end, NULL, 0);
	}
	if (start == IDENTITY)
		return fill(rx, address, function, start, end, d, 134);
	assert_int_equal(start, STATUS);
	if (b->slow) {
		b->slow--;
	} else {
		b->centi_pct = b->next_pct;
		b->mos = b->next_mos;
	}
	p.centi_pct = b->centi_pct;
	p.mos = b->mos;
	size_t n = status_data(&p, d);
	return fill(rx, address, function, start, end, d, n);
}

static struct act command(struct board *b, uint8_t address, enum command_kind kind, double value)
{
	struct device dev = fresh_device("jbd-up16s", address, 0);
	struct command c = {.kind = kind, .value = value, .experimental = true};
	struct act a = act(&dev, &c, board, b);

	device_free(&dev);
	return a;
}

static void the_soc_is_set_and_read_back(void **unused)
{
	struct board b = normal();
	struct act a = command(&b, 1, COMMAND_SOC, 98);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "SoC reads back 98 %");
	assert_string_equal(a.writes, "0179200620080006114a424426484210");
	assert_string_equal(a.last, "0178100010a000007fb2");
	assert_int_equal(b.centi_pct, 9800);
}

static void a_board_that_takes_its_time_with_the_soc_is_asked_again(void **unused)
{
	struct board b = normal();

	(void)unused;
	b.slow = 2;
	struct act a = command(&b, 1, COMMAND_SOC, 20);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
}

static void a_soc_that_does_not_move_is_not_confirmed(void **unused)
{
	struct board b = normal();

	(void)unused;
	b.stuck = true;
	struct act a = command(&b, 1, COMMAND_SOC, 98);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "acknowledged, but the SoC reads back 60.95 %");
	b.mute = true;
	a = command(&b, 1, COMMAND_SOC, 98);
	assert_string_equal(a.outcome.say, "no acknowledgement, and the SoC reads back 60.95 %");
	b.dead = true;
	a = command(&b, 1, COMMAND_SOC, 98);
	assert_string_equal(a.outcome.say, "sent, but the board does not answer the read-back");
}

static void without_acknowledgement_the_read_back_decides(void **unused)
{
	struct board b = normal();

	(void)unused;
	b.mute = true;
	struct act a = command(&b, 1, COMMAND_SOC, 98);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "not acknowledged, but the SoC reads back 98 %");
}

static void a_board_that_refuses_has_refused(void **unused)
{
	struct device dev = fresh_device("jbd-up16s", 1, 0);
	uint8_t f[5] = {0x01, 0xf9, 0x04};

	(void)unused;
	put_u16le(f + 3, crc16_modbus((struct bytes){f, 3}));
	assert_int_equal(play(&dev, SET_SOC, 5000, RX(hex_of(f, 5)), NULL), EXCHANGE_REFUSED);
	device_free(&dev);
}

static void a_pack_behind_its_master_takes_no_commands(void **unused)
{
	struct board b = normal();

	(void)unused;
	b.forwarded = true;
	struct act a = command(&b, 2, COMMAND_SOC, 98);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_non_null(strstr(a.outcome.say, "through its master"));
	assert_string_equal(a.writes, "");
	a = command(&b, 2, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.writes, "");
	b.forwarded = false; /* on the radio stick's port all are reached */
	a = command(&b, 2, COMMAND_SOC, 98);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
}

static void an_experimental_switch_changes_one_bit_and_is_read_back(void **unused)
{
	struct board b = normal();
	struct act a = command(&b, 1, COMMAND_CHARGE, 0);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "charge MOS reads back off");
	assert_string_equal(a.writes, "0179290229040006114a424400011585");
	assert_int_equal(b.mos, 1);
	a = command(&b, 1, COMMAND_CHARGE, 1);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(b.mos, 3);
	a = command(&b, 1, COMMAND_DISCHARGE, 0);
	assert_string_equal(a.outcome.say, "discharge MOS reads back off");
	assert_int_equal(b.mos, 2);
}

static void a_switch_that_does_not_follow_is_not_confirmed(void **unused)
{
	struct board b = normal();

	(void)unused;
	b.stuck = true;
	struct act a = command(&b, 1, COMMAND_DISCHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the discharge MOS reads back on");
}

static void a_switch_that_does_something_else_is_undone(void **unused)
{
	struct board b = normal();

	(void)unused;
	b.inverted = true;
	struct act a = command(&b, 1, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "the board did something else than asked; undone");
	assert_int_equal(b.mos, 3);
	b.held = true;
	a = command(&b, 1, COMMAND_CHARGE, 0);
	assert_string_equal(a.outcome.say, "the board did something else than asked; undoing it was not confirmed");
}

static void a_board_that_does_not_tell_its_mos_is_not_switched(void **unused)
{
	struct board b = normal();

	(void)unused;
	b.dead = true;
	struct act a = command(&b, 1, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.writes, "");
}

static void switches_are_experimental_and_balancing_none(void **unused)
{
	const struct protocol *p = protocol_by_id("jbd-up16s");
	struct device dev = fresh_device("jbd-up16s", 1, 0);
	struct board b = normal();
	struct command c = {.kind = COMMAND_CHARGE, .value = 0};
	struct act a = act(&dev, &c, board, &b);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.writes, "");
	a = command(&b, 1, COMMAND_BALANCE, 0);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_int_equal(p->commands, 1 << COMMAND_SOC | 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE);
	assert_int_equal(p->experimental, 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE);
	device_free(&dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_those_of_the_sheet),
		cmocka_unit_test(a_slave_is_confirmed_by_its_status_which_is_all_that_a_master_forwards),
		cmocka_unit_test(only_commands_are_marked_as_writes),
		cmocka_unit_test(there_is_no_request_to_an_address_outside_1_to_16_nor_for_an_unknown_block),
		cmocka_unit_test(recorded_requests_are_recognised),
		cmocka_unit_test(what_is_no_request_is_not_recognised),
		cmocka_unit_test(the_status_tells_every_field),
		cmocka_unit_test(each_bit_of_the_mos_word_is_one_switch),
		cmocka_unit_test(a_shorter_trailer_leaves_unknown_what_it_lacks),
		cmocka_unit_test(a_terminal_voltage_of_0_is_unknown),
		cmocka_unit_test(a_slave_does_not_know_how_many_packs_there_are),
		cmocka_unit_test(impossible_counts_and_socs_are_not_believed),
		cmocka_unit_test(counts_that_reach_beyond_the_reply_are_not_believed),
		cmocka_unit_test(thirty_two_cells_are_told_but_not_which_balance),
		cmocka_unit_test(every_alarm_bit_alone_means_what_the_sheet_says),
		cmocka_unit_test(the_full_charge_protection_is_a_state),
		cmocka_unit_test(an_alarm_that_is_over_is_no_longer_told),
		cmocka_unit_test(the_alarms_it_raises_are_those_it_announces),
		cmocka_unit_test(a_discharge_limit_of_0_in_one_reading_alone_is_the_firmwares_mistake),
		cmocka_unit_test(a_discharge_limit_of_0_with_a_fault_is_true_at_once),
		cmocka_unit_test(a_discharge_limit_of_0_from_the_first_reading_on_is_told),
		cmocka_unit_test(of_several_packs_the_masters_own_limits_come_from_45),
		cmocka_unit_test(own_limits_that_are_not_told_again_do_not_hold_for_ever),
		cmocka_unit_test(beside_the_status_45_brings_nothing_but_limits),
		cmocka_unit_test(the_individual_status_alone_tells_a_whole_pack),
		cmocka_unit_test(the_short_individual_status_of_older_firmware_leaves_the_rest_unknown),
		cmocka_unit_test(an_individual_status_that_contradicts_the_status_is_not_believed),
		cmocka_unit_test(totals_come_from_the_part_of_block_2000),
		cmocka_unit_test(the_product_names_the_board_and_its_firmware_better_than_the_status),
		cmocka_unit_test(the_identity_names_the_pack_whichever_comes_first),
		cmocka_unit_test(only_what_is_a_clock_is_shown_as_one),
		cmocka_unit_test(thresholds_are_settings),
		cmocka_unit_test(a_block_that_is_too_short_is_not_believed),
		cmocka_unit_test(a_wrong_checksum_is_no_answer),
		cmocka_unit_test(a_frame_cut_short_is_no_answer),
		cmocka_unit_test(another_address_or_block_is_no_answer),
		cmocka_unit_test(noise_cuts_and_glue_are_no_matter),
		cmocka_unit_test(an_echo_alone_is_no_answer_and_in_front_of_one_no_matter),
		cmocka_unit_test(a_length_beyond_512_is_no_frame_and_is_not_waited_for),
		cmocka_unit_test(a_modbus_device_that_does_not_know_the_function_refuses),
		cmocka_unit_test(a_battery_is_plausible_and_nonsense_is_not),
		cmocka_unit_test(a_cell_whose_wire_is_off_does_not_hide_the_battery_but_no_cell_has_more_than_5_V),
		cmocka_unit_test(what_a_master_asks_of_its_packs_and_they_answer_is_overheard),
		cmocka_unit_test(an_own_request_that_comes_back_is_no_other_master),
		cmocka_unit_test(a_pack_behind_its_master_is_asked_only_for_what_it_forwards),
		cmocka_unit_test(a_pack_behind_a_master_is_asked_twice_who_it_is_each_in_a_cycle_of_its_own),
		cmocka_unit_test(a_pack_that_tells_its_whole_firmware_version_is_wired_whatever_its_address),
		cmocka_unit_test(a_master_is_asked_for_everything_that_its_firmware_knows_but_never_for_block_2000),
		cmocka_unit_test(the_soc_is_set_and_read_back),
		cmocka_unit_test(a_board_that_takes_its_time_with_the_soc_is_asked_again),
		cmocka_unit_test(a_soc_that_does_not_move_is_not_confirmed),
		cmocka_unit_test(without_acknowledgement_the_read_back_decides),
		cmocka_unit_test(a_board_that_refuses_has_refused),
		cmocka_unit_test(a_pack_behind_its_master_takes_no_commands),
		cmocka_unit_test(an_experimental_switch_changes_one_bit_and_is_read_back),
		cmocka_unit_test(a_switch_that_does_not_follow_is_not_confirmed),
		cmocka_unit_test(a_switch_that_does_something_else_is_undone),
		cmocka_unit_test(a_board_that_does_not_tell_its_mos_is_not_switched),
		cmocka_unit_test(switches_are_experimental_and_balancing_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
