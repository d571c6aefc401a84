/* SPDX-License-Identifier: GPL-3.0-or-later */
/* pylontech on frames constructed from its sheet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ascii_frame.h"
#include "play.h"

enum {
	ANALOG = 0x42,
	ALARMS = 0x44,
	PARAMETERS = 0x47,
	MAKER = 0x51,
	SYSTEM = 0x61,
	SYSTEM_ALARMS = 0x62,
	SYSTEM_LIMITS = 0x63,
	LIMITS = 0x92,
	SERIAL = 0x93,
	SOFTWARE = 0x96,
};
enum { MAX_INFO = 2040 };

/* ---- frames ---- */

static const char *reply(uint8_t adr, uint8_t rtn, const void *info, size_t n)
{
	return ascii_frame_hex((struct ascii_head){0x20, adr, 0x46, rtn}, info, n);
}

#define REPLY(adr, rtn, ...) reply(adr, rtn, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

struct module {
	unsigned cells, sensors;
	uint16_t cell_mV, volts_mV, cycles;
	int16_t current;
	uint8_t items;
	uint32_t remaining, full; /* mAh */
	size_t tail;		  /* bytes behind it */
};

static struct module us3000(void)
{
	return (struct module){.cells = 15,
			       .sensors = 5,
			       .cell_mV = 3269,
			       .volts_mV = 49140,
			       .cycles = 27,
			       .current = -32,
			       .items = 4,
			       .remaining = 48100,
			       .full = 74000};
}

static struct module us2000(void)
{
	struct module m = us3000();

	m.items = 2;
	m.remaining = 33500;
	m.full = 50000;
	return m;
}

static void put_u24be(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 16);
	put_u16be(p + 1, (uint16_t)v);
}

/* Cell i has i mV more than the first, sensor i is i degC warmer than 20. */
static size_t put_module(const struct module *m, uint8_t *out)
{
	size_t n = 0;

	out[n++] = (uint8_t)m->cells;
	for (unsigned i = 0; i < m->cells; i++, n += 2)
		put_u16be(out + n, (uint16_t)(m->cell_mV + i));
	out[n++] = (uint8_t)m->sensors;
	for (unsigned i = 0; i < m->sensors; i++, n += 2)
		put_u16be(out + n, (uint16_t)(2731 + 200 + 10 * i));
	put_u16be(out + n, (uint16_t)m->current);
	put_u16be(out + n + 2, m->volts_mV);
	put_u16be(out + n + 4, m->items == 2 ? (uint16_t)m->remaining : 0xffff);
	out[n + 6] = m->items;
	put_u16be(out + n + 7, m->items == 2 ? (uint16_t)m->full : 0xffff);
	put_u16be(out + n + 9, m->cycles);
	n += 11;
	if (m->items != 2) {
		put_u24be(out + n, m->remaining);
		put_u24be(out + n + 3, m->full);
		n += 6;
	}
	memset(out + n, 0, m->tail);
	return n + m->tail;
}

static size_t put_modules(const struct module *m, unsigned count, uint8_t second, uint8_t *info)
{
	size_t n = 2;

	info[0] = 0x11;
	info[1] = second;
	for (unsigned i = 0; i < count; i++)
		n += put_module(&m[i], info + n);
	return n;
}

static const char *analog(uint8_t adr, const struct module *m, unsigned count, uint8_t second)
{
	uint8_t info[MAX_INFO];

	return reply(adr, 0, info, put_modules(m, count, second, info));
}

enum { CHARGE_CURRENT, VOLTAGE, DISCHARGE_CURRENT, S1, S2, S3, S4, S5, FIXED };

/* 44 of 15 cells and 5 temperatures, one byte of it set; at: of INFO's fixed end, or below 0 of cell -at - 1. */
static const char *alarmed(int at, uint8_t value)
{
	uint8_t info[2 + 1 + 15 + 1 + 5 + FIXED] = {0, 2, 15};
	uint8_t *fixed = info + 2 + 1 + 15 + 1 + 5;

	info[2 + 1 + 15] = 5;
	fixed[S2] = 6;
	if (at < 0)
		info[3 - at - 1] = value;
	else
		fixed[at] = value;
	return reply(2, 0, info, sizeof(info));
}

static struct device at(uint8_t address)
{
	return fresh_device("pylontech", address, 0);
}

static void told(struct device *dev, uint16_t code, const char *rx)
{
	char error[128];

	if (play(dev, code, 0, RX(rx), error) != EXCHANGE_ANSWERED)
		fail_msg("%02x: %s", code, error);
}

static void not_told(struct device *dev, uint16_t code, const char *rx, const char *why)
{
	char error[128];

	assert_int_equal(play(dev, code, 0, RX(rx), error), EXCHANGE_FAILED);
	assert_non_null(strstr(error, why));
}

static const char *sent(struct device *dev, uint16_t code)
{
	static char text[64];
	uint8_t buf[64];
	int n = bytes_from_hex(request_hex(dev, code, 0), buf, sizeof(buf));

	snprintf(text, sizeof(text), "%.*s", n - 1, (const char *)buf);
	return text;
}

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	struct device dev = at(2);

	(void)unused;
	assert_string_equal(sent(&dev, ANALOG), "~20024642E00202FD33");
	assert_string_equal(sent(&dev, ALARMS), "~20024644E00202FD31");
	assert_string_equal(sent(&dev, PARAMETERS), "~200246470000FDA7");
	assert_string_equal(sent(&dev, LIMITS), "~20024692E00202FD2E");
	assert_string_equal(sent(&dev, SERIAL), "~20024693E00202FD2D");
	assert_string_equal(sent(&dev, SYSTEM), "~200246610000FDAB");
	dev.address = 7;
	dev.dialect = 3;
	assert_string_equal(sent(&dev, ANALOG), "~20374642E00237FD23");
	device_free(&dev);
}

static void nothing_that_is_asked_writes_and_94_and_95_do_not_exist(void **unused)
{
	struct device dev = at(2);
	const struct protocol *p = dev.protocol;
	struct request request;

	(void)unused;
	for (unsigned r = 0; r < p->poll_count; r++) {
		assert_true(p->encode(&dev, p->polls[r].code, p->polls[r].arg, &request));
		assert_false(request.writes);
	}
	assert_false(p->encode(&dev, 0x94, 0, &request));
	assert_false(p->encode(&dev, 0x95, 0, &request));
	assert_int_equal(p->commands, 0);
	device_free(&dev);
}

static bool parse(const char *text, struct request *out)
{
	return protocol_by_id("pylontech")->parse_request((struct bytes){(const uint8_t *)text, strlen(text)}, out);
}

static void recorded_requests_are_recognised(void **unused)
{
	struct request r;

	(void)unused;
	assert_true(parse("~20024642E002FFFD09\r", &r));
	assert_int_equal(r.code, ANALOG);
	assert_int_equal(r.address, 2);
	assert_true(parse("~20374642E00237FD23\r", &r));
	assert_int_equal(r.address, 7);
	assert_int_equal(r.dialect, 3);
	assert_true(parse("~20024647E00202FD2E\r", &r));  /* with an address, as some firmware takes it */
	assert_false(parse("~20004642E00200FD37\r", &r)); /* Seplos, address 0 */
	assert_false(parse("~20024642E00200FD35\r", &r)); /* of pack 2, for pack 0 */
	assert_false(parse("~20024695E00202FD2B\r", &r)); /* turn off */
	assert_false(parse("~25024642E00202FD2E\r", &r)); /* Pace */
	assert_false(parse("~20024642E00202FD34\r", &r));
}

/* ---- 42 ---- */

static void the_example_of_the_sheet_is_read_as_it_says(void **unused)
{
	struct device dev = at(2);
	struct module m = us3000();
	const struct reading *r = &dev.reading;

	(void)unused;
	told(&dev, ANALOG, analog(2, &m, 1, 2));
	assert_int_equal(r->cell_V.count, 15);
	assert_true(r->cell_V.value[1] == 3.27);
	assert_int_equal(r->temperatures.count, 5);
	assert_true(r->temperatures.value[0] == 20);
	assert_true(r->temperatures.value[4] == 24);
	assert_true(reading_get(r, Q_TEMP_MOS_C) == 20); /* the board's is the first */
	assert_true(reading_get(r, Q_CURRENT_A) == -3.2);
	assert_true(reading_get(r, Q_VOLTAGE_V) == 49.14);
	assert_true(reading_get(r, Q_CYCLES) == 27);
	assert_true(reading_get(r, Q_CAPACITY_REMAINING_AH) == 48.1);
	assert_true(reading_get(r, Q_CAPACITY_FULL_AH) == 74);
	assert_true(reading_get(r, Q_SOC_PCT) == 65);
	assert_true(reading_get(r, Q_ADDRESS) == 2);
	device_free(&dev);
}

static void two_user_items_have_capacities_of_16_bits(void **unused)
{
	struct device dev = at(2);
	struct module m = us2000();

	(void)unused;
	told(&dev, ANALOG, analog(2, &m, 1, 2));
	assert_true(reading_get(&dev.reading, Q_CAPACITY_REMAINING_AH) == 33.5);
	assert_true(reading_get(&dev.reading, Q_CAPACITY_FULL_AH) == 50);
	assert_true(reading_get(&dev.reading, Q_SOC_PCT) == 67);
	m.remaining = m.full = 0xffff;
	told(&dev, ANALOG, analog(2, &m, 1, 2));
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_REMAINING_AH));
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_FULL_AH));
	assert_false(reading_knows(&dev.reading, Q_SOC_PCT));
	m = us3000();
	m.remaining = 0xffffff;
	told(&dev, ANALOG, analog(2, &m, 1, 2));
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_REMAINING_AH));
	assert_true(reading_get(&dev.reading, Q_CAPACITY_FULL_AH) == 74);
	m.full = 0;
	told(&dev, ANALOG, analog(2, &m, 1, 2));
	assert_false(reading_knows(&dev.reading, Q_SOC_PCT));
	device_free(&dev);
}

static void currents_are_signed_tenths(void **unused)
{
	static const int16_t raw[] = {-32768, -1, 0, 1, 32767};
	struct device dev = at(2);
	struct module m = us3000();

	(void)unused;
	for (int i = 0; i < 5; i++) {
		m.current = raw[i];
		told(&dev, ANALOG, analog(2, &m, 1, 2));
		assert_true(reading_get(&dev.reading, Q_CURRENT_A) == raw[i] / 10.0);
	}
	device_free(&dev);
}

static void a_short_tail_is_ignored_a_long_one_is_not_believed(void **unused)
{
	struct device dev = at(2);
	struct module m = us3000();

	(void)unused;
	m.tail = 19;
	told(&dev, ANALOG, analog(2, &m, 1, 2));
	m.tail = 20;
	not_told(&dev, ANALOG, analog(2, &m, 1, 2), "length of the reply");
	device_free(&dev);
}

static void counts_that_do_not_fit_are_not_believed(void **unused)
{
	struct device dev = at(2);
	struct module m = us3000();
	uint8_t info[MAX_INFO];
	size_t n = put_modules(&m, 1, 2, info);
	static const uint8_t items[] = {0, 1, 3, 5, 9, 0x0a, 255};

	(void)unused;
	not_told(&dev, ANALOG, reply(2, 0, info, n - 1), "length of the reply");
	not_told(&dev, ANALOG, reply(2, 0, info, 2), "length of the reply");
	not_told(&dev, ANALOG, reply(2, 0, NULL, 0), "length of the reply");
	for (size_t i = 0; i < sizeof(items); i++) {
		m.items = items[i]; /* Seplos has 0A, Pace 3 or 9 */
		not_told(&dev, ANALOG, analog(2, &m, 1, 2), "length of the reply");
	}
	info[2] = 255;
	not_told(&dev, ANALOG, reply(2, 0, info, n), "length of the reply");
	info[2] = 0;
	not_told(&dev, ANALOG, reply(2, 0, info, n), "length of the reply");
	assert_false(dev.reading.cell_V.reported);
	device_free(&dev);
}

/* ---- several packs ---- */

static const char *const all_asked = "~20024642E002FFFD09\r";

static void modules_of_different_size_are_stepped_over(void **unused)
{
	struct module m[3] = {us3000(), us2000(), us3000()};
	const char *all;

	(void)unused;
	m[0].cells = 15;
	m[1].cells = 16;
	m[2].cells = 8;
	all = analog(2, m, 3, 3);
	for (uint8_t i = 0; i < 3; i++) {
		struct device dev = at((uint8_t)(2 + i));

		assert_int_equal(play_tx(&dev, text_hex(all_asked), RX(all), NULL), EXCHANGE_ANSWERED);
		assert_int_equal(dev.reading.cell_V.count, m[i].cells);
		assert_true(reading_get(&dev.reading, Q_CAPACITY_FULL_AH) == m[i].full / 1000.0);
		assert_true(reading_get(&dev.reading, Q_PACK_COUNT) == 3);
		assert_true(reading_get(&dev.reading, Q_ADDRESS) == 2 + i);
		device_free(&dev);
	}
	struct device fifth = at(5);

	assert_int_equal(play_tx(&fifth, text_hex(all_asked), RX(all), NULL), EXCHANGE_FAILED);
	device_free(&fifth);
}

static void only_a_reply_about_all_tells_of_further_packs(void **unused)
{
	static const struct {
		const char *tx;
		uint8_t count;
		unsigned further;
	} is[] = {{"~20024642E002FFFD09\r", 3, 2},
		  {"~20024642E002FFFD09\r", 1, 0},
		  {"~20024642E002FFFD09\r", 200, 0},
		  {"~20024642E00202FD33\r", 3, 0},
		  {"~20024692E00202FD2E\r", 3, 0}};
	const struct protocol *p = protocol_by_id("pylontech");

	(void)unused;
	for (int i = 0; i < 5; i++) {
		uint8_t info[2] = {0, is[i].count};
		char text[ASCII_FRAME_TEXT];
		size_t n = ascii_frame((struct ascii_head){0x20, 2, 0x46, 0}, info, 2, text);
		struct request pending, as;
		unsigned nth = 1;

		assert_true(parse(is[i].tx, &pending));
		for (; p->further(&pending, (struct bytes){(uint8_t *)text, n}, nth, &as); nth++)
			assert_int_equal(as.address, 2 + nth);
		assert_int_equal(nth - 1, is[i].further);
	}
}

static void the_reply_of_another_pack_is_no_answer(void **unused)
{
	struct device dev = at(3);
	struct module m = us3000();

	(void)unused;
	not_told(&dev, ANALOG, analog(2, &m, 1, 2), "answers something else"); /* ADR */
	not_told(&dev, ANALOG, analog(3, &m, 1, 2), "answers something else"); /* INFO */
	told(&dev, ANALOG, analog(3, &m, 1, 3));
	device_free(&dev);
}

/* ---- frames ---- */

static void damaged_and_foreign_frames_are_no_answer(void **unused)
{
	struct device dev = at(2);
	struct module m = us3000();
	uint8_t info[MAX_INFO];
	size_t n = put_modules(&m, 1, 2, info);
	char text[ASCII_FRAME_TEXT];

	(void)unused;
	not_told(&dev, ANALOG, ascii_frame_hex((struct ascii_head){0x25, 2, 0x46, 0}, info, n), "something else");
	not_told(&dev, ANALOG, ascii_frame_hex((struct ascii_head){0x20, 2, 0x4a, 0}, info, n), "something else");
	not_told(&dev, ANALOG, text_hex("~20024642E00202FD33\r"), "no reply");
	size_t size = ascii_frame((struct ascii_head){0x20, 2, 0x46, 0}, info, n, text);
	text[50] ^= 1;
	not_told(&dev, ANALOG, text_hex(text), "checksum");
	text[50] ^= 1;
	text[size - 2] = 0;
	not_told(&dev, ANALOG, text_hex(text), "frame cut short");
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	device_free(&dev);
}

static void noise_echo_and_a_glued_frame_are_no_matter(void **unused)
{
	struct device dev = at(2);
	struct module m = us3000();
	char rx[1024];

	(void)unused;
	snprintf(rx, sizeof(rx), "ff7e32%s%s%s00", text_hex("~20024642E00202FD33\r"), analog(3, &m, 1, 3),
		 analog(2, &m, 1, 2));
	told(&dev, ANALOG, rx);
	assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 49.14);
	device_free(&dev);
}

static void firmware_may_answer_in_version_21(void **unused)
{
	struct device dev = at(2);
	struct module m = us3000();
	uint8_t info[MAX_INFO];
	size_t n = put_modules(&m, 1, 2, info);

	(void)unused;
	told(&dev, ANALOG, ascii_frame_hex((struct ascii_head){0x21, 2, 0x46, 0}, info, n));
	not_told(&dev, ANALOG, ascii_frame_hex((struct ascii_head){0x21, 3, 0x46, 0}, info, n), "something else");
	device_free(&dev);
}

static void a_refusal_says_why(void **unused)
{
	struct device dev = at(2);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, ANALOG, 0, RX(reply(2, 0x91, NULL, 0)), error), EXCHANGE_REFUSED);
	assert_string_equal(error, "no communication between master and pack (return code 91)");
	assert_int_equal(play(&dev, ANALOG, 0, RX(reply(2, 0x90, NULL, 0)), error), EXCHANGE_REFUSED);
	assert_int_equal(play(&dev, LIMITS, 0, RX(reply(2, 0x90, NULL, 0)), error), EXCHANGE_REFUSED);
	device_free(&dev);
}

/* ---- 44 ---- */

#define A(id) ALARM_##id

static void every_alarm_raises_its_own_and_no_other(void **unused)
{
	static const struct {
		int at;
		uint8_t value;
		enum alarm alarm;
	} rows[] = {
		{S1, 0x80, A(LOW_VOLTAGE)},
		{S1, 0x40, A(HIGH_CHARGE_TEMPERATURE)},
		{S1, 0x20, A(HIGH_TEMPERATURE)},
		{S1, 0x10, A(HIGH_DISCHARGE_CURRENT)},
		{S1, 0x04, A(HIGH_CHARGE_CURRENT)},
		{S1, 0x02, A(LOW_CELL_VOLTAGE)},
		{S1, 0x01, A(HIGH_VOLTAGE)},
		{CHARGE_CURRENT, 2, A(HIGH_CHARGE_CURRENT)},
		{VOLTAGE, 1, A(LOW_VOLTAGE)},
		{VOLTAGE, 2, A(HIGH_VOLTAGE)},
		{DISCHARGE_CURRENT, 2, A(HIGH_DISCHARGE_CURRENT)},
		{-1, 1, A(LOW_CELL_VOLTAGE)},
		{-1, 2, A(HIGH_CELL_VOLTAGE)},
		{-15, 2, A(HIGH_CELL_VOLTAGE)},
		{-17, 1, A(LOW_TEMPERATURE)}, /* behind the cells and the count of sensors */
		{-17, 2, A(HIGH_TEMPERATURE)},
		{S4, 0x01, A(INTERNAL_FAILURE)},
		{S4, 0x80, A(INTERNAL_FAILURE)},
		{S5, 0x01, A(INTERNAL_FAILURE)},
		{S5, 0x80, A(INTERNAL_FAILURE)},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct device dev = at(2);

		told(&dev, ALARMS, alarmed(rows[i].at, rows[i].value));
		assert_int_equal(alarms_raised(&dev.reading.alarms), 1);
		assert_int_equal(dev.reading.alarms.level[rows[i].alarm], ALARM_RAISED);
		device_free(&dev);
	}
}

static void a_cell_in_a_module_that_is_said_to_be_too_high_is_one_event(void **unused)
{
	struct device dev = at(2);
	uint8_t info[2 + 1 + 15 + 1 + 5 + FIXED] = {0, 2, 15};

	(void)unused;
	info[3 + 6] = 2;
	info[18] = 5;
	info[24 + S1] = 0x01;
	info[24 + S4] = 0x40;
	told(&dev, ALARMS, reply(2, 0, info, sizeof(info)));
	assert_int_equal(alarms_raised(&dev.reading.alarms), 1);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_VOLTAGE], ALARM_RAISED);
	assert_true(reading_detail(&dev.reading, "cell_above_limit_no") == 7);
	assert_true(reading_detail(&dev.reading, "faulty_cell_no") == 7);
	device_free(&dev);
}

static void states_are_no_alarms(void **unused)
{
	static const struct {
		int at;
		uint8_t value;
		const char *name;
	} rows[] = {{S2, 0x01, "precharge_mos"}, {S2, 0x08, "pack_powers_itself"}, {S3, 0x80, "charging"},
		    {S3, 0x40, "discharging"},	 {S3, 0x08, "fully_charged"},	   {S3, 0x01, "buzzer_on"}};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct device dev = at(2);

		told(&dev, ALARMS, alarmed(rows[i].at, rows[i].value));
		assert_true(dev.reading.alarms.known);
		assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
		assert_true(reading_detail(&dev.reading, rows[i].name) == 1);
		device_free(&dev);
	}
}

static void switches_follow_status_2_and_3(void **unused)
{
	struct device dev = at(2);
	const struct reading *r = &dev.reading;

	(void)unused;
	told(&dev, ALARMS, alarmed(S2, 0x02));
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), OFF);
	assert_int_equal(reading_flag(r, F_HEATER_ON), OFF);
	told(&dev, ALARMS, alarmed(S2, 0x04));
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), OFF);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), ON);
	told(&dev, ALARMS, alarmed(S3, 0x20));
	assert_int_equal(reading_flag(r, F_HEATER_ON), ON);
	device_free(&dev);
}

static void alarms_that_do_not_fit_are_not_believed(void **unused)
{
	struct device dev = at(2);
	uint8_t info[2 + 1 + 15 + 1 + 6 + FIXED + 20] = {0, 2, 15};
	struct module m = us3000();

	(void)unused;
	info[18] = 6; /* one more, of the MOSFET */
	told(&dev, ALARMS, reply(2, 0, info, 2 + 1 + 15 + 1 + 6 + FIXED));
	not_told(&dev, ALARMS, reply(2, 0, info, 2 + 1 + 15 + 1 + 6 + FIXED - 1), "length of the reply");
	not_told(&dev, ALARMS, reply(2, 0, info, sizeof(info)), "length of the reply");
	info[3] = 3; /* no such state */
	not_told(&dev, ALARMS, reply(2, 0, info, 2 + 1 + 15 + 1 + 6 + FIXED), "length of the reply");
	not_told(&dev, ALARMS, analog(2, &m, 1, 2), "length of the reply");
	not_told(&dev, ANALOG, alarmed(S1, 0), "length of the reply");
	m.cells = 16;
	told(&dev, ANALOG, analog(2, &m, 1, 2));
	not_told(&dev, ALARMS, alarmed(S1, 0), "another number of cells");
	device_free(&dev);
}

/* ---- limits ---- */

static void limits_are_those_of_the_pack(void **unused)
{
	struct device dev = at(2);
	const struct reading *r = &dev.reading;

	(void)unused;
	told(&dev, LIMITS, REPLY(2, 0, 2, 0xd0, 0x02, 0xaf, 0xc8, 0, 0, 0xfc, 0xe0, 0x40));
	assert_true(reading_get(r, Q_BMS_CVL_V) == 53.25);
	assert_true(reading_get(r, Q_BMS_DVL_V) == 45);
	assert_true(reading_get(r, Q_BMS_CCL_A) == 0);
	assert_true(reading_get(r, Q_BMS_DCL_A) == 80);
	assert_int_equal(reading_flag(r, F_CHARGE_ALLOWED), OFF);
	assert_int_equal(reading_flag(r, F_DISCHARGE_ALLOWED), ON);
	told(&dev, LIMITS, REPLY(2, 0, 2, 0xd0, 0x02, 0xaf, 0xc8, 1, 0, 0xfc, 0xe0, 0xb8));
	assert_int_equal(reading_flag(r, F_CHARGE_ALLOWED), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_ALLOWED), OFF);
	assert_true(reading_detail(r, "charge_immediately") == 1);
	assert_true(reading_detail(r, "charge_immediately_2") == 1);
	assert_true(reading_detail(r, "full_charge_request") == 1);
	not_told(&dev, LIMITS, REPLY(2, 0, 2, 0xd0, 0x02, 0xaf, 0xc8, 0xff, 0, 0xfc, 0xe0, 0xb8),
		 "limits that can't be");
	not_told(&dev, LIMITS, REPLY(2, 0, 2, 0xd0, 0x02, 0xaf, 0xc8, 1, 0, 0xfc, 0xe0), "length of the reply");
	not_told(&dev, LIMITS, REPLY(2, 0, 3, 0xd0, 0x02, 0xaf, 0xc8, 1, 0, 0xfc, 0xe0, 0xb8), "something else");
	device_free(&dev);
}

static void voltages_that_overflowed_are_unknown(void **unused)
{
	struct device dev = at(2);

	(void)unused;
	told(&dev, SYSTEM_LIMITS, REPLY(2, 0, 0x70, 0x80, 0x54, 0x60, 0x06, 0x40, 0x06, 0xa4, 0xc0));
	assert_true(reading_get(&dev.reading, Q_BMS_CVL_V) == 28.8);
	assert_true(reading_get(&dev.reading, Q_BMS_DCL_A) == 170);
	told(&dev, SYSTEM_LIMITS, REPLY(2, 0, 0x10, 0x80, 0x54, 0x60, 0x06, 0x40, 0x06, 0xa4, 0xc0));
	assert_false(reading_knows(&dev.reading, Q_BMS_CVL_V));
	assert_false(reading_knows(&dev.reading, Q_BMS_DVL_V));
	assert_true(reading_get(&dev.reading, Q_BMS_CCL_A) == 160);
	device_free(&dev);
}

static const struct poll *row_of(const struct protocol *p, uint16_t code)
{
	for (unsigned i = 0; i < p->poll_count; i++)
		if (p->polls[i].code == code)
			return &p->polls[i];
	return NULL;
}

static void a_pack_that_does_not_know_its_limits_is_not_asked_again(void **unused)
{
	struct device dev = at(2), slave = at(3);
	const struct poll *own = row_of(dev.protocol, LIMITS), *system = row_of(dev.protocol, SYSTEM_LIMITS);

	(void)unused;
	assert_true(own->wanted(&dev));
	assert_false(system->wanted(&dev));
	told(&dev, LIMITS, reply(2, 4, NULL, 0));
	told(&slave, LIMITS, reply(3, 4, NULL, 0));
	assert_false(reading_knows(&dev.reading, Q_BMS_CCL_A));
	assert_false(own->wanted(&dev));
	assert_true(system->wanted(&dev));
	assert_false(system->wanted(&slave));
	device_free(&dev);
	device_free(&slave);
}

/* ---- the rest ---- */

static void parameters_of_47_are_settings(void **unused)
{
	struct device dev = at(2);
	const struct settings *s = &dev.settings;

	(void)unused;
	told(&dev, PARAMETERS, text_hex("~20024600B032110E420BEA0AF00D030A470384D2F0B3B0A7F80D030A47FC7CF27E\r"));
	assert_true(settings_number(s, "cell_ovp_V") == 3.65);
	assert_true(settings_number(s, "cell_uvp_V") == 2.8);
	assert_true(settings_number(s, "charge_utp_C") == -10);
	assert_true(settings_number(s, "charge_ocp_A") == 90);
	assert_true(settings_number(s, "discharge_ocp_A") == 90);
	assert_true(settings_number(s, "pack_uvp_V") == 43);
	not_told(&dev, PARAMETERS, REPLY(2, 0, 0x11, 0x0e, 0x42), "length of the reply");
	device_free(&dev);
}

static void identity_comes_from_93_96_and_51(void **unused)
{
	struct device dev = at(2);
	char info[33] = "\x02K190914810000002";

	(void)unused;
	told(&dev, SERIAL, reply(2, 0, info, 17));
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "K190914810000002");
	not_told(&dev, SERIAL, reply(2, 0, info, 16), "no serial number");
	info[4] = 1;
	not_told(&dev, SERIAL, reply(2, 0, info, 17), "no serial number");
	memset(info, 0, sizeof(info));
	memcpy(info, "US3000", 6);
	info[10] = 2;
	info[11] = 4;
	memcpy(info + 12, "Pylon", 5);
	told(&dev, MAKER, reply(2, 0, info, 32));
	assert_string_equal(dev.reading.text[T_MODEL], "US3000");
	assert_string_equal(dev.reading.text[T_MANUFACTURER], "Pylon");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "2.4");
	told(&dev, SOFTWARE, REPLY(2, 0, 2, 1, 3, 2, 4, 5));
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "2.4.5");
	not_told(&dev, SOFTWARE, REPLY(2, 0, 2, 1, 3, 2, 4), "length of the reply");
	device_free(&dev);
}

static const char system_frame[] =
	"~200246008062C2BF0000550008000864640CFC00020CFB00020BAB0BAC00020BA900020BA80BA800020BA80002"
	"0BB00BB000020BB00002E8CC\r";

static void values_of_the_system_do_not_replace_those_of_the_pack(void **unused)
{
	struct device dev = at(2);
	struct module m = us3000();

	(void)unused;
	told(&dev, SYSTEM, text_hex(system_frame));
	assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 49.855);
	assert_true(reading_get(&dev.reading, Q_SOC_PCT) == 85);
	told(&dev, ANALOG, analog(2, &m, 1, 2));
	told(&dev, SYSTEM, text_hex(system_frame));
	assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 49.14);
	assert_true(reading_get(&dev.reading, Q_SOC_PCT) == 65);
	assert_true(reading_detail(&dev.reading, "system_soc_pct") == 85);
	assert_true(reading_detail(&dev.reading, "system_soh_min_pct") == 100);
	told(&dev, SYSTEM_ALARMS, REPLY(2, 0, 0, 0, 4, 0));
	assert_true(reading_detail(&dev.reading, "system_protection_1_bits") == 4);
	not_told(&dev, SYSTEM, REPLY(2, 0, 1, 2, 3), "length of the reply");
	device_free(&dev);
}

/* ---- detection ---- */

enum tells { NEITHER, LIMITS_ONLY, SERIAL_ONLY };

static bool plausible(const struct module *m, enum tells tells, uint8_t cvl_high)
{
	struct device dev = at(2);
	const char *why = NULL;

	told(&dev, ANALOG, analog(2, m, 1, 2));
	if (tells == LIMITS_ONLY)
		told(&dev, LIMITS, REPLY(2, 0, 2, cvl_high, 0x02, 0xaf, 0xc8, 0, 0, 0xfc, 0xe0, 0x40));
	else
		told(&dev, LIMITS, reply(2, 4, NULL, 0));
	told(&dev, SERIAL, tells == SERIAL_ONLY ? reply(2, 0, "\x02K190914810000002", 17) : reply(2, 4, NULL, 0));
	bool is = dev.protocol->plausible(&dev, &why);
	assert_true(is || why);
	device_free(&dev);
	return is;
}

static void a_pack_is_one_when_cells_and_limits_or_serial_say_so(void **unused)
{
	struct module m = us3000();

	(void)unused;
	assert_true(plausible(&m, LIMITS_ONLY, 0xd0));
	assert_true(plausible(&m, SERIAL_ONLY, 0));
	assert_false(plausible(&m, NEITHER, 0));	/* so does Seplos */
	assert_false(plausible(&m, LIMITS_ONLY, 0xff)); /* CVL 65.282 V */
	assert_false(plausible(&m, LIMITS_ONLY, 0xa0)); /* below the DVL */
	m.volts_mV = 4914;				/* in units of Seplos */
	assert_false(plausible(&m, LIMITS_ONLY, 0xd0));
	m = us3000();
	m.volts_mV = 50300;
	assert_false(plausible(&m, LIMITS_ONLY, 0xd0));
	m = us3000();
	m.cells = 8;
	m.cell_mV = 5100;
	m.volts_mV = 40828;
	assert_false(plausible(&m, LIMITS_ONLY, 0xd0));
}

/* 42 of a Seplos V2 board with 16 cells, 6 sensors, voltage in 10 mV, ten user items: sheet seplos-v2. */
static void a_seplos_is_not_taken_for_one(void **unused)
{
	struct device dev = at(2);
	uint8_t info[75] = {0, 2, 16};
	uint8_t *p = info + 3;

	(void)unused;
	for (int i = 0; i < 16; i++, p += 2)
		put_u16be(p, 3300);
	*p++ = 6;
	for (int i = 0; i < 6; i++, p += 2)
		put_u16be(p, 2981);
	put_u16be(p + 2, 5280);
	put_u16be(p + 4, 5000);
	p[6] = 10;
	not_told(&dev, ANALOG, reply(2, 0, info, sizeof(info)), "length of the reply");
	device_free(&dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_those_of_the_sheet),
		cmocka_unit_test(nothing_that_is_asked_writes_and_94_and_95_do_not_exist),
		cmocka_unit_test(recorded_requests_are_recognised),
		cmocka_unit_test(the_example_of_the_sheet_is_read_as_it_says),
		cmocka_unit_test(two_user_items_have_capacities_of_16_bits),
		cmocka_unit_test(currents_are_signed_tenths),
		cmocka_unit_test(a_short_tail_is_ignored_a_long_one_is_not_believed),
		cmocka_unit_test(counts_that_do_not_fit_are_not_believed),
		cmocka_unit_test(modules_of_different_size_are_stepped_over),
		cmocka_unit_test(only_a_reply_about_all_tells_of_further_packs),
		cmocka_unit_test(the_reply_of_another_pack_is_no_answer),
		cmocka_unit_test(damaged_and_foreign_frames_are_no_answer),
		cmocka_unit_test(noise_echo_and_a_glued_frame_are_no_matter),
		cmocka_unit_test(firmware_may_answer_in_version_21),
		cmocka_unit_test(a_refusal_says_why),
		cmocka_unit_test(every_alarm_raises_its_own_and_no_other),
		cmocka_unit_test(a_cell_in_a_module_that_is_said_to_be_too_high_is_one_event),
		cmocka_unit_test(states_are_no_alarms),
		cmocka_unit_test(switches_follow_status_2_and_3),
		cmocka_unit_test(alarms_that_do_not_fit_are_not_believed),
		cmocka_unit_test(limits_are_those_of_the_pack),
		cmocka_unit_test(voltages_that_overflowed_are_unknown),
		cmocka_unit_test(a_pack_that_does_not_know_its_limits_is_not_asked_again),
		cmocka_unit_test(parameters_of_47_are_settings),
		cmocka_unit_test(identity_comes_from_93_96_and_51),
		cmocka_unit_test(values_of_the_system_do_not_replace_those_of_the_pack),
		cmocka_unit_test(a_pack_is_one_when_cells_and_limits_or_serial_say_so),
		cmocka_unit_test(a_seplos_is_not_taken_for_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
