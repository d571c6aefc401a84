/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ant on frames constructed from its sheet: both dialects. */
#include <math.h>
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

enum { NEW, LEGACY };
enum { STATUS = 0x01, READ = 0x02, READ_ID = 0x04, CONTROL = 0x51, WORD = 0x5a, CONFIRM = 0x100, NEXT = 0x101 };

#define ZERO_WORD "5a5a29000029"

/* ---- frames ---- */

struct frame {
	uint8_t p[512];
	size_t n;
};

static const char *hex_of(const struct frame *f)
{
	static char hex[8][1100];
	static unsigned next;

	next = (next + 1) % 8;
	bytes_hex((struct bytes){f->p, f->n}, hex[next], sizeof(hex[next]));
	return hex[next];
}

/* A frame of 2021: head, data, CRC, stray bytes, end. */
static struct frame new_frame(uint8_t function, uint16_t address, const uint8_t *data, uint8_t n, size_t stray)
{
	struct frame f = {{0x7e, 0xa1, function, (uint8_t)address, (uint8_t)(address >> 8), n}, 6};

	memcpy(f.p + f.n, data, n);
	f.n += n;
	put_u16le(f.p + f.n, crc16_modbus((struct bytes){f.p + 1, f.n - 1}));
	f.n += 2;
	memset(f.p + f.n, 0x41, stray);
	f.n += stray;
	f.p[f.n++] = 0xaa;
	f.p[f.n++] = 0x55;
	return f;
}

/* A status of 2021: cells of 3.300 V upwards, all else usual. tail: where what follows the temperatures begins. */
struct status {
	uint8_t data[250];
	uint8_t n;
	uint8_t *tail;
};

static struct status *usual_status(unsigned cells, unsigned sensors)
{
	static struct status s;
	unsigned sum = 0;

	memset(&s, 0, sizeof(s));
	s.n = (uint8_t)(106 + 2 * (cells + sensors));
	s.data[0] = 5;
	s.data[2] = (uint8_t)sensors;
	s.data[3] = (uint8_t)cells;
	for (unsigned i = 0; i < cells; i++) {
		put_u16le(s.data + 28 + 2 * i, (uint16_t)(3300 + i));
		sum += 3300 + i;
	}
	for (unsigned i = 0; i < sensors; i++)
		put_u16le(s.data + 28 + 2 * (cells + i), (uint16_t)(20 + i));
	s.tail = s.data + 28 + 2 * (cells + sensors);
	put_u16le(s.tail, 25);
	put_u16le(s.tail + 2, 26);
	put_u16le(s.tail + 4, (uint16_t)(sum / 10));
	put_u16le(s.tail + 8, 60);
	put_u16le(s.tail + 10, 99);
	s.tail[12] = s.tail[13] = 1;
	put_u16le(s.tail + 16, 0xe100); /* 100 Ah */
	put_u16le(s.tail + 18, 0x05f5);
	put_u16le(s.tail + 20, 0x8700); /* 60 Ah */
	put_u16le(s.tail + 22, 0x0393);
	return &s;
}

static const char *status_hex(const struct status *s)
{
	struct frame f = new_frame(0x11, 0, s->data, s->n, 0);

	return hex_of(&f);
}

static struct frame *usual_legacy(unsigned cells)
{
	static struct frame f;
	unsigned sum = 0;

	memset(&f, 0, sizeof(f));
	f.n = 140;
	memcpy(f.p, "\xaa\x55\xaa\xff", 4);
	for (unsigned i = 0; i < cells; i++) {
		put_u16be(f.p + 6 + 2 * i, (uint16_t)(3300 + i));
		sum += 3300 + i;
	}
	put_u16be(f.p + 4, (uint16_t)((sum + 50) / 100));
	f.p[74] = 60;
	put_u32be(f.p + 75, 100000000);
	put_u32be(f.p + 79, 60000000);
	put_u32be(f.p + 83, 1234567);
	f.p[103] = f.p[104] = 1;
	f.p[123] = (uint8_t)cells;
	return &f;
}

static const char *legacy_hex(struct frame *f)
{
	put_u16be(f->p + 138, sum16((struct bytes){f->p + 4, 134}));
	return hex_of(f);
}

static void told(struct device *dev, uint16_t code, uint16_t arg, const char *reply)
{
	assert_int_equal(play(dev, code, arg, RX(reply), NULL), EXCHANGE_ANSWERED);
}

static struct device told_status(const struct status *s)
{
	struct device dev = fresh_device("ant", 0, NEW);

	told(&dev, STATUS, 0, status_hex(s));
	return dev;
}

static struct device told_legacy(struct frame *f)
{
	struct device dev = fresh_device("ant", 0, LEGACY);

	told(&dev, STATUS, 0, legacy_hex(f));
	return dev;
}

static void is_not_taken(uint8_t dialect, uint16_t code, uint16_t arg, const char *reply, const char *say)
{
	struct device dev = fresh_device("ant", 0, dialect);
	char error[128];

	assert_int_equal(play(&dev, code, arg, RX(reply), error), EXCHANGE_FAILED);
	assert_string_equal(error, say);
	assert_true(dev.reading.known == 0);
	assert_int_equal(dev.settings.count, 0);
	device_free(&dev);
}

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	struct device dev = fresh_device("ant", 0, NEW);

	(void)unused;
	assert_string_equal(request_hex(&dev, STATUS, 0), "7ea1010000be1855aa55");
	assert_string_equal(request_hex(&dev, READ, 0x026c), "7ea1026c022058c4aa55");
	assert_string_equal(request_hex(&dev, CONFIRM, 0), "7ea1026c022058c4aa55");
	assert_string_equal(request_hex(&dev, READ_ID, 0), "7ea10400000c98ecaa55");
	assert_string_equal(request_hex(&dev, READ, 0), "7ea10200003899b3aa55");
	assert_string_equal(request_hex(&dev, CONTROL, 0x01), "7ea151010000d8e5aa55");
	assert_string_equal(request_hex(&dev, CONTROL, 0x03), "7ea1510300007925aa55");
	assert_string_equal(request_hex(&dev, CONTROL, 0x04), "7ea151040000c8e4aa55");
	assert_string_equal(request_hex(&dev, CONTROL, 0x06), "7ea1510600006924aa55");
	assert_string_equal(request_hex(&dev, CONTROL, 0x0d), "7ea1510d000018e6aa55");
	assert_string_equal(request_hex(&dev, CONTROL, 0x0e), "7ea1510e0000e8e6aa55");
	assert_string_equal(request_hex(&dev, CONTROL, 0x07), "7ea15107000038e4aa55");
	assert_string_equal(request_hex(&dev, 0x23, 0x016a), "7ea1236a010c3132333435363738396162632062aa55");
	dev.dialect = LEGACY;
	assert_string_equal(request_hex(&dev, STATUS, 0), "5a5a00000101");
	assert_string_equal(request_hex(&dev, WORD, 31), "5a5a1f00001f");
	assert_string_equal(request_hex(&dev, CONFIRM, 0), "5a5a18000018");
	assert_string_equal(request_hex(&dev, 0xa5fa, 1), "a5a5fa0001fb");
	assert_string_equal(request_hex(&dev, 0xa5f9, 0), "a5a5f90000f9");
	assert_string_equal(request_hex(&dev, 0xa5ff, 0), "a5a5ff0000ff");
	device_free(&dev);
}

static void what_may_harm_has_no_request(void **unused)
{
	static const uint16_t control[] = {0x08, 0x09, 0x0b, 0x0c, 0x0f, 0x10, 0x1c, 0x1d, 0x1e, 0x20, 0x2a, 0x2c};
	static const uint8_t word[] = {0xf0, 0xf6, 0xf7, 0xf8, 0xfb, 0xfd, 0xfe, 0xef, 0xf5, 0x66, 1, 24, 31};
	struct device dev = fresh_device("ant", 0, NEW);
	struct request request;

	(void)unused;
	for (size_t i = 0; i < sizeof(control) / sizeof(control[0]); i++)
		assert_false(dev.protocol->encode(&dev, CONTROL, control[i], &request));
	assert_false(dev.protocol->encode(&dev, 0x22, 0x0000, &request));
	assert_false(dev.protocol->encode(&dev, READ, 0x1234, &request));
	assert_false(dev.protocol->encode(&dev, WORD, 31, &request));
	dev.dialect = LEGACY;
	for (size_t i = 0; i < sizeof(word); i++)
		assert_false(dev.protocol->encode(&dev, (uint16_t)(0xa500 | word[i]), 0, &request));
	assert_false(dev.protocol->encode(&dev, CONTROL, 0x01, &request));
	assert_false(dev.protocol->encode(&dev, WORD, 0, &request));
	assert_false(dev.protocol->encode(&dev, WORD, 256, &request));
	device_free(&dev);
}

static void only_commands_are_marked_as_writes(void **unused)
{
	static const struct {
		uint8_t dialect;
		uint16_t code, arg;
	} write[] = {
		{NEW, CONTROL, 1}, {NEW, 0x22, 0xa6}, {NEW, 0x23, 0x16a}, {LEGACY, 0xa5fa, 1}, {LEGACY, 0xa5ff, 0}};
	struct device dev = fresh_device("ant", 0, NEW);
	const struct protocol *p = dev.protocol;
	struct request request;
	unsigned reads = 0;

	(void)unused;
	for (unsigned i = 0; i < p->poll_count * 2; i++) {
		const struct poll *row = &p->polls[i / 2];

		dev.dialect = i % 2;
		if (row->wanted && !row->wanted(&dev))
			continue;
		assert_true(p->encode(&dev, row->code, row->arg, &request));
		assert_false(request.writes);
		reads++;
	}
	assert_int_equal(reads, p->poll_count + 1); /* the status is asked in both */
	for (unsigned i = 0; i < p->probe_count; i++) {
		dev.dialect = p->probes[i].dialect;
		assert_true(p->encode(&dev, p->probes[i].code, p->probes[i].arg, &request));
		assert_false(request.writes);
		assert_true(p->encode(&dev, p->confirm[0], 0, &request));
		assert_false(request.writes);
	}
	for (unsigned i = 0; i < sizeof(write) / sizeof(write[0]); i++) {
		dev.dialect = write[i].dialect;
		assert_true(p->encode(&dev, write[i].code, write[i].arg, &request));
		assert_true(request.writes);
	}
	device_free(&dev);
}

static bool parse(const char *hex, struct request *out)
{
	uint8_t buf[64];
	int n = bytes_from_hex(hex, buf, sizeof(buf));

	return protocol_by_id("ant")->parse_request((struct bytes){buf, (size_t)n}, out);
}

static void recorded_requests_are_recognised(void **unused)
{
	struct request request;

	(void)unused;
	assert_true(parse("7ea122000002420ebdecaa55", &request));
	assert_int_equal(request.code, 0x22);
	assert_int_equal(request.arg, 0);
	assert_int_equal(request.dialect, NEW);
	assert_true(request.writes);
	assert_true(parse("7ea1026c022058c4aa55", &request));
	assert_int_equal(request.arg, 0x026c);
	assert_false(request.writes);
	assert_true(parse("dbdb00000000", &request));
	assert_int_equal(request.code, STATUS);
	assert_int_equal(request.dialect, LEGACY);
	assert_true(parse("5a5a00000000", &request));
	assert_int_equal(request.code, STATUS);
	assert_true(parse("5a5a1f00001f", &request));
	assert_int_equal(request.code, WORD);
	assert_int_equal(request.arg, 31);
	assert_true(parse("a5a5fa0001fb", &request));
	assert_true(request.writes);
}

static void what_is_no_request_is_not_recognised(void **unused)
{
	struct request request;

	(void)unused;
	assert_false(parse("7ea1010000be1856aa55", &request));	 /* checksum */
	assert_false(parse("7ea1010000be1855aa56", &request));	 /* end */
	assert_false(parse("7ea1010000be1855aa5500", &request)); /* too long */
	assert_false(parse("7ea1010000be1855aa", &request));
	assert_false(parse("7ea16101000201003e2baa55", &request)); /* an answer */
	assert_false(parse("5a5a1f000020", &request));
	assert_false(parse("5aa51f00001f", &request));
	assert_false(parse("5a5a1f0000", &request));
	assert_false(parse("111100000101", &request));
	assert_false(parse("dda50300fffd77", &request));
}

/* ---- frames that are no answer: 2021 ---- */

static void a_wrong_crc_is_dropped(void **unused)
{
	struct frame f = new_frame(0x11, 0, usual_status(16, 2)->data, 142, 0);

	(void)unused;
	f.p[f.n - 3] ^= 1;
	is_not_taken(NEW, STATUS, 0, hex_of(&f), "reply rejected: checksum");
}

static void a_cut_frame_is_no_answer(void **unused)
{
	struct frame f = new_frame(0x11, 0, usual_status(16, 2)->data, 142, 0);

	(void)unused;
	f.n -= 1;
	is_not_taken(NEW, STATUS, 0, hex_of(&f), "reply rejected: frame cut short");
	f.n = 4;
	is_not_taken(NEW, STATUS, 0, hex_of(&f), "reply rejected: frame cut short");
}

static void a_frame_without_its_end_is_no_answer(void **unused)
{
	struct frame f = new_frame(0x11, 0, usual_status(16, 2)->data, 142, 9);

	(void)unused;
	is_not_taken(NEW, STATUS, 0, hex_of(&f), "reply rejected: no end mark");
}

static void a_length_that_is_one_too_large_is_no_answer(void **unused)
{
	struct frame f = new_frame(0x11, 0, usual_status(16, 2)->data, 142, 0);

	(void)unused;
	f.p[5]++;
	is_not_taken(NEW, STATUS, 0, hex_of(&f), "reply rejected: checksum");
}

static void numbers_of_cells_and_sensors_must_fit_the_length(void **unused)
{
	struct status *s = usual_status(16, 2);

	(void)unused;
	s->data[2] = 200;
	is_not_taken(NEW, STATUS, 0, status_hex(s),
		     "reply rejected: numbers of cells and sensors do not fit the length");
	s = usual_status(16, 2);
	s->data[3] = 15;
	is_not_taken(NEW, STATUS, 0, status_hex(s),
		     "reply rejected: numbers of cells and sensors do not fit the length");
	s = usual_status(16, 7);
	is_not_taken(NEW, STATUS, 0, status_hex(s),
		     "reply rejected: numbers of cells and sensors do not fit the length");
	s = usual_status(0, 2);
	is_not_taken(NEW, STATUS, 0, status_hex(s), "reply rejected: cell count outside 1..32");
	s = usual_status(33, 2);
	is_not_taken(NEW, STATUS, 0, status_hex(s), "reply rejected: cell count outside 1..32");
	s = usual_status(16, 2);
	put_u16le(s->tail + 8, 101);
	is_not_taken(NEW, STATUS, 0, status_hex(s), "reply rejected: SoC above 100 %");
}

static void an_answer_to_another_question_is_foreign(void **unused)
{
	struct frame f = new_frame(0x12, 0, usual_status(16, 2)->data, 142, 6);

	(void)unused;
	is_not_taken(NEW, STATUS, 0, hex_of(&f), "no reply; 1 frame came that answers something else");
	f = new_frame(0x11, 1, usual_status(16, 2)->data, 142, 0);
	is_not_taken(NEW, STATUS, 0, hex_of(&f), "no reply; 1 frame came that answers something else");
	is_not_taken(NEW, CONTROL, 4, "7ea16101000201003e2baa55", "no reply; 1 frame came that answers something else");
	is_not_taken(NEW, STATUS, 0, legacy_hex(usual_legacy(16)),
		     "140 bytes came, no frame: aa55aaff02110ce40ce50ce60ce70ce80ce90cea0ceb0cec..");
}

static void the_echo_of_a_request_is_no_answer(void **unused)
{
	(void)unused;
	is_not_taken(NEW, STATUS, 0, "7ea1010000be1855aa55", "no reply, only our own bytes came back");
	is_not_taken(NEW, STATUS, 0, "ff7ea1010000be1855aa55", "no reply; 1 frame came that answers something else");
	is_not_taken(LEGACY, STATUS, 0, "5a5a00000101", "no reply, only our own bytes came back");
}

static void noise_cuts_and_glue_are_no_matter(void **unused)
{
	struct device dev = fresh_device("ant", 0, NEW);
	const char *status = status_hex(usual_status(16, 2));
	char part[2][600], glued[1400];

	(void)unused;
	snprintf(part[0], sizeof(part[0]), "ff7e%.40s", status);
	snprintf(part[1], sizeof(part[1]), "%sff", status + 40);
	assert_int_equal(play(&dev, STATUS, 0, RX(part[0], part[1]), NULL), EXCHANGE_ANSWERED);
	/* the device information before the status, in one burst (sheet 3.2) */
	snprintf(glued, sizeof(glued), "%s%s",
		 "7ea1126c022031365a4d0000000000000000000000000000"
		 "31365a4d554230302d32313130323641"
		 "7208ff0b000041f2aa55",
		 status);
	assert_int_equal(play(&dev, STATUS, 0, RX(glued), NULL), EXCHANGE_ANSWERED);
	/* a frame that breaks off in front of a whole one */
	snprintf(glued, sizeof(glued), "%.60s%s", status, status);
	assert_int_equal(play(&dev, STATUS, 0, RX(glued), NULL), EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void a_mark_inside_the_data_is_data(void **unused)
{
	struct status *s = usual_status(16, 2);

	(void)unused;
	put_u16le(s->data + 28, 0xa17e);
	put_u16le(s->tail + 62, 0x55aa);
	struct device dev = told_status(s);
	assert_true(dev.reading.cell_V.value[0] == 41.342);
	device_free(&dev);
}

/* ---- the status of 2021 ---- */

static void both_currents_are_turned_round(void **unused)
{
	struct status *s = usual_status(16, 2);

	(void)unused;
	put_u16le(s->tail + 6, 123);
	put_u16le(s->tail + 28, 650);
	struct device dev = told_status(s);
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == -12.3);
	assert_true(reading_get(&dev.reading, Q_POWER_W) == -650);
	put_u16le(s->tail + 6, (uint16_t)-505);
	put_u16le(s->tail + 28, (uint16_t)-2668);
	put_u16le(s->tail + 30, 0xffff);
	told(&dev, STATUS, 0, status_hex(s));
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == 50.5);
	assert_true(reading_get(&dev.reading, Q_POWER_W) == 2668);
	dev.options.invert_current = true;
	told(&dev, STATUS, 0, status_hex(s));
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == -50.5);
	put_u16le(s->tail + 6, 0);
	dev.options.invert_current = false;
	told(&dev, STATUS, 0, status_hex(s));
	assert_false(signbit(reading_get(&dev.reading, Q_CURRENT_A)));
	device_free(&dev);
}

static void a_sensor_of_minus_40_degrees_is_not_fitted(void **unused)
{
	struct status *s = usual_status(16, 4);

	(void)unused;
	put_u16le(s->data + 28 + 32 + 2, (uint16_t)-40);
	put_u16le(s->data + 28 + 32 + 4, (uint16_t)-5);
	put_u16le(s->tail, (uint16_t)-40);
	struct device dev = told_status(s);
	assert_int_equal(dev.reading.temperatures.count, 4);
	assert_false(series_knows(&dev.reading.temperatures, 1));
	assert_true(dev.reading.temperatures.value[2] == -5);
	assert_false(reading_knows(&dev.reading, Q_TEMP_MOS_C));
	assert_true(reading_get(&dev.reading, Q_TEMP_BALANCER_C) == 26);
	device_free(&dev);
}

static void a_capacity_of_0_and_what_depends_on_it_are_unknown(void **unused)
{
	struct status *s = usual_status(16, 2);

	(void)unused;
	memset(s->tail + 16, 0, 4);
	struct device dev = told_status(s);
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_FULL_AH));
	assert_false(reading_knows(&dev.reading, Q_CYCLES));
	assert_true(reading_get(&dev.reading, Q_CAPACITY_REMAINING_AH) == 60);
	put_u16le(s->tail + 10, 255);
	told(&dev, STATUS, 0, status_hex(s));
	assert_false(reading_knows(&dev.reading, Q_SOH_PCT));
	device_free(&dev);
}

static void cycles_are_the_throughput_in_full_capacities(void **unused)
{
	struct status *s = usual_status(16, 2);

	(void)unused;
	put_u16le(s->tail + 24, 0x11c0); /* 0x001311c0 mAh */
	put_u16le(s->tail + 26, 0x0013);
	struct device dev = told_status(s);
	assert_true(reading_detail(&dev.reading, "throughput_Ah") == 1249.728);
	assert_true(reading_get(&dev.reading, Q_CYCLES) == 12);
	device_free(&dev);
}

static void discharge_comes_before_charge(void **unused)
{
	struct status *s = usual_status(16, 2);

	(void)unused;
	s->tail[12] = 0x0f;
	struct device dev = told_status(s);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_MOS), OFF);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), OFF);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), ON);
	assert_true(dev.reading.alarms.known);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	device_free(&dev);
}

static void balancing_cells_are_told_one_by_one(void **unused)
{
	struct status *s = usual_status(8, 2);

	(void)unused;
	s->tail[14] = 4;
	put_u16le(s->tail + 36, 0x0182);
	struct device dev = told_status(s);
	assert_true(dev.reading.balancing == 0x82); /* there is no cell 9 */
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), ON);
	device_free(&dev);
	s = usual_status(32, 0);
	put_u16le(s->tail + 38, 0x8000);
	dev = told_status(s);
	assert_true(dev.reading.balancing == 0x80000000);
	device_free(&dev);
}

/* ---- alarms: both dialects ---- */

struct meaning {
	uint8_t code;
	enum alarm alarm, also;
};

#define NONE ALARM_COUNT

static const struct meaning charge[] = {
	{0x00, NONE, NONE},
	{0x01, NONE, NONE},
	{0x02, ALARM_HIGH_CELL_VOLTAGE, NONE},
	{0x03, ALARM_HIGH_CHARGE_CURRENT, NONE},
	{0x04, NONE, NONE},
	{0x05, ALARM_HIGH_VOLTAGE, NONE},
	{0x06, ALARM_HIGH_CHARGE_TEMPERATURE, NONE},
	{0x07, ALARM_HIGH_INTERNAL_TEMPERATURE, NONE},
	{0x08, ALARM_INTERNAL_FAILURE, NONE},
	{0x09, ALARM_INTERNAL_FAILURE, NONE},
	{0x0a, ALARM_HIGH_INTERNAL_TEMPERATURE, NONE},
	{0x0b, NONE, NONE},
	{0x0c, ALARM_INTERNAL_FAILURE, NONE},
	{0x0d, ALARM_INTERNAL_FAILURE, NONE},
	{0x0e, NONE, NONE},
	{0x0f, NONE, NONE},
	{0x10, ALARM_HIGH_CELL_VOLTAGE, NONE},
	{0x11, ALARM_LOW_CHARGE_TEMPERATURE, NONE},
	{0x12, ALARM_CELL_IMBALANCE, NONE},
	{0x13, NONE, NONE},
	{0x14, ALARM_INTERNAL_FAILURE, NONE},
	{0x15, NONE, NONE},
	{0xff, NONE, NONE},
};

static const struct meaning discharge[] = {
	{0x00, NONE, NONE},
	{0x01, NONE, NONE},
	{0x02, ALARM_LOW_CELL_VOLTAGE, NONE},
	{0x03, ALARM_HIGH_DISCHARGE_CURRENT, NONE},
	{0x04, ALARM_HIGH_DISCHARGE_CURRENT, NONE},
	{0x05, ALARM_LOW_VOLTAGE, NONE},
	{0x06, ALARM_HIGH_TEMPERATURE, NONE},
	{0x07, ALARM_HIGH_INTERNAL_TEMPERATURE, NONE},
	{0x08, ALARM_INTERNAL_FAILURE, NONE},
	{0x09, ALARM_INTERNAL_FAILURE, NONE},
	{0x0a, ALARM_HIGH_INTERNAL_TEMPERATURE, NONE},
	{0x0b, NONE, NONE},
	{0x0c, ALARM_SHORT_CIRCUIT, ALARM_HIGH_DISCHARGE_CURRENT},
	{0x0d, ALARM_INTERNAL_FAILURE, NONE},
	{0x0e, ALARM_INTERNAL_FAILURE, NONE},
	{0x0f, NONE, NONE},
	{0x10, ALARM_LOW_CELL_VOLTAGE, NONE},
	{0x11, ALARM_LOW_TEMPERATURE, NONE},
	{0x12, ALARM_CELL_IMBALANCE, NONE},
	{0x13, ALARM_INTERNAL_FAILURE, NONE},
	{0x14, NONE, NONE},
	{0xff, NONE, NONE},
};

static void assert_means(const struct device *dev, const struct meaning *m, bool on)
{
	const struct alarms *a = &dev->reading.alarms;
	unsigned expected = (m->alarm != NONE) + (m->also != NONE);

	assert_int_equal(alarms_raised(a), expected);
	if (m->alarm != NONE)
		assert_int_equal(a->level[m->alarm], ALARM_RAISED);
	if (m->also != NONE)
		assert_int_equal(a->level[m->also], ALARM_RAISED);
	assert_int_equal(on, m->code == 1);
}

static void every_mos_code_means_what_the_sheet_says(void **unused)
{
	struct device dev = fresh_device("ant", 0, NEW);

	(void)unused;
	for (size_t i = 0; i < sizeof(charge) / sizeof(charge[0]); i++) {
		struct status *s = usual_status(16, 2);
		struct frame *f = usual_legacy(16);

		s->tail[13] = f->p[103] = charge[i].code;
		dev.dialect = NEW;
		told(&dev, STATUS, 0, status_hex(s));
		assert_means(&dev, &charge[i], reading_flag(&dev.reading, F_CHARGE_MOS) == ON);
		dev.dialect = LEGACY;
		told(&dev, STATUS, 0, legacy_hex(f));
		assert_means(&dev, &charge[i], reading_flag(&dev.reading, F_CHARGE_MOS) == ON);
	}
	for (size_t i = 0; i < sizeof(discharge) / sizeof(discharge[0]); i++) {
		struct status *s = usual_status(16, 2);
		struct frame *f = usual_legacy(16);

		s->tail[12] = f->p[104] = discharge[i].code;
		dev.dialect = NEW;
		told(&dev, STATUS, 0, status_hex(s));
		assert_means(&dev, &discharge[i], reading_flag(&dev.reading, F_DISCHARGE_MOS) == ON);
		dev.dialect = LEGACY;
		told(&dev, STATUS, 0, legacy_hex(f));
		assert_means(&dev, &discharge[i], reading_flag(&dev.reading, F_DISCHARGE_MOS) == ON);
	}
	device_free(&dev);
}

static void a_hot_balancer_warns(void **unused)
{
	struct device dev = fresh_device("ant", 0, NEW);

	(void)unused;
	for (unsigned code = 0; code < 256; code++) {
		struct status *s = usual_status(16, 2);
		const struct alarms *a = &dev.reading.alarms;
		bool hot = code == 3 || code == 10;

		s->tail[14] = (uint8_t)code;
		told(&dev, STATUS, 0, status_hex(s));
		assert_int_equal(alarms_raised(a), hot);
		assert_int_equal(a->level[ALARM_HIGH_INTERNAL_TEMPERATURE], hot ? ALARM_WARNING : ALARM_OK);
	}
	device_free(&dev);
}

static void of_the_protection_bits_only_that_of_a_high_cell_is_an_alarm(void **unused)
{
	struct device dev = fresh_device("ant", 0, NEW);

	(void)unused;
	for (unsigned bit = 0; bit < 64; bit++) {
		struct status *s = usual_status(16, 2);

		s->data[4 + bit / 8] = (uint8_t)(1 << bit % 8);
		told(&dev, STATUS, 0, status_hex(s));
		assert_int_equal(alarms_raised(&dev.reading.alarms), bit == 1);
		assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_CELL_VOLTAGE], bit == 1 ? ALARM_RAISED : ALARM_OK);
		assert_true(reading_detail(&dev.reading, "protection_bits_low") == (bit < 32 ? ldexp(1, (int)bit) : 0));
		assert_true(reading_detail(&dev.reading, "protection_bits_high") ==
			    (bit < 32 ? 0 : ldexp(1, (int)bit - 32)));
	}
	device_free(&dev);
}

static void an_inverted_board_has_its_current_alarms_turned_round(void **unused)
{
	struct status *s = usual_status(16, 2);
	struct device dev = fresh_device("ant", 0, NEW);

	(void)unused;
	dev.options.invert_current = true;
	s->tail[13] = 3;
	told(&dev, STATUS, 0, status_hex(s));
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_RAISED);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_CHARGE_CURRENT], ALARM_OK);
	s->tail[13] = 1;
	s->tail[12] = 3;
	told(&dev, STATUS, 0, status_hex(s));
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_CHARGE_CURRENT], ALARM_RAISED);
	device_free(&dev);
}

/* ---- the other reads of 2021 ---- */

static void identity_is_read_past_the_stray_bytes(void **unused)
{
	static const uint8_t text[32] = "24BHA0TB101A\0\0\0\0"
					"24BHUB00-211026A";
	static const uint8_t id[12] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0, 1, 2, 3}, none[12] = {0};
	struct device dev = fresh_device("ant", 0, NEW);
	struct frame f = new_frame(0x12, 0x026c, text, 32, 6);

	(void)unused;
	told(&dev, READ, 0x026c, hex_of(&f));
	assert_string_equal(dev.reading.text[T_MODEL], "24BHA0TB101A");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "24BHUB00-211026A");
	f = new_frame(0x14, 0, none, 12, 0);
	told(&dev, READ_ID, 0, hex_of(&f));
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "");
	f = new_frame(0x14, 0, id, 12, 0);
	told(&dev, READ_ID, 0, hex_of(&f));
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "0123456789abcdef00010203");
	device_free(&dev);
	f = new_frame(0x12, 0x026c, text, 30, 6);
	is_not_taken(NEW, READ, 0x026c, hex_of(&f), "reply rejected: another length than asked for");
}

static void parameters_lie_at_their_addresses(void **unused)
{
	struct device dev = fresh_device("ant", 0, NEW);
	uint8_t page[0x38];

	(void)unused;
	for (unsigned i = 0; i < sizeof(page) / 2; i++)
		put_u16le(page + 2 * i, (uint16_t)(1000 + i));
	put_u16le(page + 0x0c, 0xffff); /* not used */
	struct frame f = new_frame(0x12, 0x0000, page, 0x38, 6);
	told(&dev, READ, 0x0000, hex_of(&f));
	assert_true(settings_number(&dev.settings, "cell_ovp_V") == 1.0);
	assert_true(settings_number(&dev.settings, "pack_ovp_V") == 100.4);
	assert_null(settings_find(&dev.settings, "cell_uvp_V"));
	assert_true(settings_number(&dev.settings, "cell_diff_warning_release_V") == 1.025);
	assert_int_equal(dev.settings.count, 23);
	put_u16le(page, 0xffff); /* one degree below zero */
	f = new_frame(0x12, 0x0038, page, 0x2c, 6);
	told(&dev, READ, 0x0038, hex_of(&f));
	assert_true(settings_number(&dev.settings, "charge_otp_C") == -1);
	assert_true(settings_number(&dev.settings, "discharge_cold_warning_release_C") == 1021);
	f = new_frame(0x12, 0x0088, page, 0x26, 6);
	told(&dev, READ, 0x0088, hex_of(&f));
	assert_true(settings_number(&dev.settings, "balance_limit_V") == 1.002);
	assert_true(settings_number(&dev.settings, "capacity_design_Ah") == (1013 + 65536 * 1014) / 1e6);
	assert_true(settings_number(&dev.settings, "capacity_cycle_Ah") == (1017 + 65536 * 1018) / 1000.0);
	device_free(&dev);
}

static void the_overcurrent_thresholds_are_its_current_limits(void **unused)
{
	struct device dev = fresh_device("ant", 0, NEW);
	uint8_t page[0x24] = {0};

	(void)unused;
	put_u16le(page + 4, 1000);
	struct frame f = new_frame(0x12, 0x0064, page, 0x24, 6);
	told(&dev, READ, 0x0064, hex_of(&f));
	assert_true(reading_get(&dev.reading, Q_BMS_CCL_A) == 100);
	assert_false(reading_knows(&dev.reading, Q_BMS_DCL_A)); /* 0 is no limit */
	device_free(&dev);
}

/* ---- legacy ---- */

static void a_wrong_legacy_sum_is_dropped(void **unused)
{
	struct frame *f = usual_legacy(16);

	(void)unused;
	legacy_hex(f);
	f->p[70] ^= 0x80;
	is_not_taken(LEGACY, STATUS, 0, hex_of(f), "reply rejected: checksum");
	f->p[70] ^= 0x80;
	f->n = 139;
	is_not_taken(LEGACY, STATUS, 0, hex_of(f), "reply rejected: frame cut short");
	f = usual_legacy(16);
	f->p[3] = 0xfe;
	is_not_taken(LEGACY, STATUS, 0, legacy_hex(f),
		     "140 bytes came, no frame: aa55aafe02110ce40ce50ce60ce70ce80ce90cea0ceb0cec..");
}

static void legacy_counts_out_of_range_are_not_believed(void **unused)
{
	struct frame *f = usual_legacy(16);

	(void)unused;
	f->p[123] = 0;
	is_not_taken(LEGACY, STATUS, 0, legacy_hex(f), "reply rejected: cell count outside 1..32");
	f->p[123] = 33;
	is_not_taken(LEGACY, STATUS, 0, legacy_hex(f), "reply rejected: cell count outside 1..32");
	f->p[123] = 16;
	f->p[74] = 101;
	is_not_taken(LEGACY, STATUS, 0, legacy_hex(f), "reply rejected: SoC above 100 %");
}

static void the_legacy_status_is_decoded_with_noise_cut_and_glued(void **unused)
{
	struct device dev = fresh_device("ant", 0, LEGACY);
	struct frame *f = usual_legacy(32);
	char part[2][400], glued[800];

	(void)unused;
	put_u32be(f->p + 70, (uint32_t)-1075);
	put_u16be(f->p + 95, (uint16_t)-40);
	put_u16be(f->p + 97, (uint16_t)-7);
	const char *hex = legacy_hex(f);
	snprintf(part[0], sizeof(part[0]), "aa55%.100s", hex);
	snprintf(part[1], sizeof(part[1]), "%s00", hex + 100);
	assert_int_equal(play(&dev, STATUS, 0, RX("00aa", part[0], part[1]), NULL), EXCHANGE_ANSWERED);
	snprintf(glued, sizeof(glued), "%.200s%s", hex, hex);
	assert_int_equal(play(&dev, STATUS, 0, RX(glued), NULL), EXCHANGE_ANSWERED);
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == 107.5);
	assert_int_equal(dev.reading.cell_V.count, 32);
	assert_true(dev.reading.cell_V.value[31] == 3.331);
	assert_int_equal(dev.reading.temperatures.count, 4);
	assert_false(series_knows(&dev.reading.temperatures, 0));
	assert_true(dev.reading.temperatures.value[1] == -7);
	assert_true(reading_get(&dev.reading, Q_CYCLES) == 12);
	device_free(&dev);
}

static void a_legacy_capacity_of_0_is_taken_from_the_parameters(void **unused)
{
	struct frame *f = usual_legacy(16);

	(void)unused;
	put_u32be(f->p + 75, 0);
	struct device dev = told_legacy(f);
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_FULL_AH));
	told(&dev, WORD, 32, "5a5a200beb16"); /* the high word alone tells nothing */
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_FULL_AH));
	told(&dev, WORD, 31, "5a5a1fc200e1");
	told(&dev, WORD, 32, "5a5a200beb16");
	assert_true(reading_get(&dev.reading, Q_CAPACITY_FULL_AH) == 200);
	told(&dev, STATUS, 0, legacy_hex(f));
	assert_true(reading_get(&dev.reading, Q_CAPACITY_FULL_AH) == 200);
	assert_true(reading_get(&dev.reading, Q_CYCLES) == 6);
	device_free(&dev);
}

static void a_legacy_parameter_must_be_the_one_that_was_asked_for(void **unused)
{
	(void)unused;
	is_not_taken(LEGACY, WORD, 3, "5a5a040e4254", "no reply; 1 frame came that answers something else");
	is_not_taken(LEGACY, WORD, 3, "5a5a030e4254", "reply rejected: checksum");
	is_not_taken(LEGACY, WORD, 3, "a5a5030e4253", "6 bytes came, no frame: a5a5030e4253");
}

static void legacy_parameters_have_their_scales(void **unused)
{
	struct device dev = told_legacy(usual_legacy(16));

	(void)unused;
	told(&dev, WORD, 3, "5a5a030e4253");
	assert_true(settings_number(&dev.settings, "cell_ovp_V") == 3.65);
	told(&dev, WORD, 37, "5a5a25fffb1f");
	assert_true(settings_number(&dev.settings, "charge_utp_C") == -5);
	told(&dev, WORD, 52, "5a5a34000337");
	assert_false(series_knows(&dev.reading.cell_resistance_ohm, 0));
	assert_true(dev.reading.cell_resistance_ohm.value[1] == 0.0003);
	device_free(&dev);
}

static void a_legacy_parameter_of_0_looks_like_the_request_and_is_0(void **unused)
{
	struct device dev = told_legacy(usual_legacy(16));
	char error[128];

	(void)unused;
	told(&dev, WORD, 41, ZERO_WORD);
	assert_true(settings_number(&dev.settings, "tyre_length_mm") == 0);
	told(&dev, WORD, 51, "5a5a33000033");
	assert_false(series_knows(&dev.reading.cell_resistance_ohm, 0));
	/* there is no board without cells: that must be an echo */
	assert_int_equal(play(&dev, WORD, 24, RX("5a5a18000018"), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: a board without cells");
	device_free(&dev);
}

static void where_requests_come_back_one_that_does_so_alone_is_no_value(void **unused)
{
	struct device dev = told_legacy(usual_legacy(16));
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, WORD, 24, RX("5a5a18000018", "5a5a18001028"), NULL), EXCHANGE_ANSWERED);
	assert_true(settings_number(&dev.settings, "cell_count") == 16);
	assert_int_equal(play(&dev, WORD, 41, RX(ZERO_WORD), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: only our own bytes came back");
	assert_null(settings_find(&dev.settings, "tyre_length_mm"));
	assert_int_equal(play(&dev, WORD, 41, RX(ZERO_WORD ZERO_WORD), NULL), EXCHANGE_ANSWERED);
	assert_true(settings_number(&dev.settings, "tyre_length_mm") == 0);
	device_free(&dev);
}

static void the_sweep_asks_every_legacy_parameter_once_and_then_again(void **unused)
{
	struct device dev = told_legacy(usual_legacy(4));
	const struct protocol *p = dev.protocol;
	bool asked[256] = {false};
	const struct poll *row = NULL;
	struct request request;
	unsigned n = 0;

	(void)unused;
	for (unsigned i = 0; i < p->poll_count && !row; i++)
		if (p->polls[i].code == NEXT)
			row = &p->polls[i];
	for (; row->wanted(&dev) && n < 100; n++) {
		assert_true(p->encode(&dev, NEXT, 0, &request));
		assert_false(asked[request.arg]);
		asked[request.arg] = true;
	}
	assert_int_equal(n, 42 + 4);
	for (unsigned i = 1; i <= 42; i++)
		assert_true(asked[i]);
	for (unsigned i = 51; i <= 54; i++)
		assert_true(asked[i]);
	assert_true(p->encode(&dev, NEXT, 2, &request));
	assert_true(asked[request.arg]);
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

static void a_board_whose_cells_add_up_is_plausible(void **unused)
{
	struct status *s = usual_status(16, 2);
	struct device dev = fresh_device("ant", 0, NEW);

	(void)unused;
	assert_plausible(&dev, "it has sent no status");
	told(&dev, STATUS, 0, status_hex(s));
	assert_plausible(&dev, NULL);
	put_u16le(s->tail + 4, 5100);
	told(&dev, STATUS, 0, status_hex(s));
	assert_plausible(&dev, "its cells do not add up to the pack voltage");
	put_u16le(s->tail + 4, 4952); /* the sum without one cell */
	put_u16le(s->data + 28, 499);
	told(&dev, STATUS, 0, status_hex(s));
	assert_plausible(&dev, "its cells do not add up to the pack voltage");
	device_free(&dev);
	dev = told_legacy(usual_legacy(32));
	assert_plausible(&dev, NULL);
	device_free(&dev);
	struct frame *zeros = usual_legacy(1);
	put_u32be(zeros->p + 4, 0);
	dev = told_legacy(zeros);
	assert_plausible(&dev, "its cells do not add up to the pack voltage");
	device_free(&dev);
}

/* ---- commands ---- */

/* A board that the test plays. */
struct board {
	uint8_t dialect;
	uint8_t charge, discharge, balancer; /* codes */
	uint8_t permission;
	uint8_t wrong_password; /* it does not take the factory's */
	uint8_t acknowledges;	/* what it says to a control */
	bool deaf, ineffective, silent_ack;
	unsigned slow;	   /* statuses until what was asked shows */
	unsigned forgets;  /* switch requests that do nothing, legacy */
	uint8_t charge_to; /* what switching on leads to, if not to 1 */
	uint32_t remaining_uAh, register_uAh, full_uAh;
	uint8_t pending[3]; /* codes to come */
	unsigned wait;
	uint32_t written;
	bool kept;
};

static void settle(struct board *b)
{
	if (!b->wait || --b->wait)
		return;
	b->charge = b->pending[0];
	b->discharge = b->pending[1];
	b->balancer = b->pending[2];
}

static void wish(struct board *b, uint16_t command)
{
	uint8_t want[3] = {b->charge, b->discharge, b->balancer};

	if (command == 0x04 || command == 0x06)
		want[0] = command == 0x06 ? (b->charge_to ? b->charge_to : 1) : 0x0f;
	else if (command == 0x01 || command == 0x03)
		want[1] = command == 0x03 ? 1 : 0x0f;
	else
		want[2] = command == 0x0d ? 4 : 0;
	memcpy(b->pending, want, 3);
	b->wait = b->slow + 1;
}

static size_t put_out(const struct frame *f, uint8_t *rx)
{
	memcpy(rx, f->p, f->n);
	return f->n;
}

static size_t new_control(struct board *b, uint16_t command, uint8_t *rx)
{
	uint8_t ack[2] = {b->acknowledges ? b->acknowledges : 1, 0};
	struct frame f;

	if (b->permission < 5)
		ack[0] = 3;
	if (command == 7 && ack[0] == 1) {
		b->kept = true;
		b->remaining_uAh = b->ineffective ? b->remaining_uAh : b->written;
	} else if (ack[0] == 1 && !b->ineffective) {
		wish(b, command);
	}
	f = new_frame(0x61, command, ack, 2, 0);
	return b->silent_ack ? 0 : put_out(&f, rx);
}

static size_t new_board(struct board *b, struct bytes tx, uint8_t *rx)
{
	uint8_t function = u8_at(tx, 2), raw[4], ack[2] = {5, 0};
	struct status *s = usual_status(16, 2);
	struct frame f;

	switch (function) {
	case STATUS:
		settle(b);
		s->data[0] = b->permission;
		s->tail[12] = b->discharge;
		s->tail[13] = b->charge;
		s->tail[14] = b->balancer;
		put_u16le(s->tail + 8, (uint16_t)(b->remaining_uAh / 1000000));
		put_u16le(s->tail + 20, (uint16_t)b->remaining_uAh);
		put_u16le(s->tail + 22, (uint16_t)(b->remaining_uAh >> 16));
		f = new_frame(0x11, 0, s->data, s->n, 0);
		return put_out(&f, rx);
	case READ:
		put_u16le(raw, (uint16_t)b->register_uAh);
		put_u16le(raw + 2, (uint16_t)(b->register_uAh >> 16));
		f = new_frame(0x12, 0xa6, raw, 4, 6);
		return put_out(&f, rx);
	case 0x22:
		b->written = u32le_at(tx, 6);
		f = new_frame(0x42, 0xa6, tx.p + 6, 4, 6);
		return put_out(&f, rx);
	case 0x23:
		b->permission = b->wrong_password ? 1 : 5;
		ack[0] = b->permission;
		f = new_frame(0x43, 0x16a, ack, 2, 0);
		return put_out(&f, rx);
	default:
		return new_control(b, u16le_at(tx, 3), rx);
	}
}

static size_t legacy_word(struct board *b, struct bytes tx, uint8_t *rx)
{
	uint8_t word = u8_at(tx, 2);

	memcpy(rx, tx.p, 6);
	rx[0] = rx[1] = 0x5a;
	if (u8_at(tx, 0) == 0x5a) {
		put_u16be(rx + 3, (uint16_t)(word == 33 ? b->register_uAh : b->register_uAh >> 16));
		rx[5] = sum8((struct bytes){rx + 2, 3});
		return 6;
	}
	if (b->acknowledges) {
		rx[4] ^= 1;
		rx[5] = sum8((struct bytes){rx + 2, 3});
	}
	if (word == 33 || word == 34)
		b->written |= (uint32_t)u16be_at(tx, 3) << (word == 34 ? 16 : 0);
	if (b->ineffective || b->acknowledges || (word >= 0xf9 && word <= 0xfc && b->forgets && b->forgets--))
		return 6;
	if (word == 0xfa)
		wish(b, u8_at(tx, 4) ? 0x06 : 0x04);
	else if (word == 0xf9)
		wish(b, u8_at(tx, 4) ? 0x03 : 0x01);
	else if (word == 0xfc)
		wish(b, 0x0d);
	else if (word == 0xff && b->written)
		b->remaining_uAh = b->written;
	return 6;
}

static size_t board(void *ctx, struct bytes tx, uint8_t *rx)
{
	struct board *b = ctx;
	struct frame *f = usual_legacy(16);

	if (b->deaf)
		return 0;
	if (b->dialect == NEW)
		return new_board(b, tx, rx);
	if (u8_at(tx, 0) != 0x5a || u8_at(tx, 2))
		return legacy_word(b, tx, rx);
	settle(b);
	f->p[103] = b->charge;
	f->p[104] = b->discharge;
	f->p[105] = b->balancer;
	f->p[74] = (uint8_t)(b->remaining_uAh / 1000000);
	put_u32be(f->p + 75, b->full_uAh);
	put_u32be(f->p + 79, b->remaining_uAh);
	legacy_hex(f);
	return put_out(f, rx);
}

static struct board usual_board(uint8_t dialect)
{
	return (struct board){.dialect = dialect,
			      .charge = 1,
			      .discharge = 1,
			      .permission = 5,
			      .remaining_uAh = 60000000,
			      .register_uAh = 60100000,
			      .full_uAh = 100000000};
}

static struct act command(struct board *b, enum command_kind kind, double value)
{
	struct device dev = fresh_device("ant", 0, b->dialect);
	struct command c = {kind, value, kind == COMMAND_SOC};
	struct act a = act(&dev, &c, board, b);

	device_free(&dev);
	return a;
}

static void assert_outcome(const struct act *a, enum command_result result, const char *say)
{
	assert_string_equal(a->outcome.say, say);
	assert_int_equal(a->outcome.result, result);
}

static void every_switch_is_sent_and_read_back(void **unused)
{
	static const struct {
		enum command_kind kind;
		int value;
		const char *new, *legacy, *say;
	} each[] = {
		{COMMAND_CHARGE, 0, "7ea151040000c8e4aa55", "a5a5fa0000fa a5a5ff0000ff", "charge MOS reads back off"},
		{COMMAND_CHARGE, 1, "7ea1510600006924aa55", "a5a5fa0001fb a5a5ff0000ff", "charge MOS reads back on"},
		{COMMAND_DISCHARGE, 0, "7ea151010000d8e5aa55", "a5a5f90000f9 a5a5ff0000ff",
		 "discharge MOS reads back off"},
		{COMMAND_DISCHARGE, 1, "7ea1510300007925aa55", "a5a5f90001fa a5a5ff0000ff",
		 "discharge MOS reads back on"},
	};

	(void)unused;
	for (unsigned i = 0; i < 2 * sizeof(each) / sizeof(each[0]); i++) {
		struct board b = usual_board(i % 2);
		struct act a;

		if (each[i / 2].value)
			b.charge = b.discharge = 0x0f;
		a = command(&b, each[i / 2].kind, each[i / 2].value);
		assert_outcome(&a, COMMAND_DONE, each[i / 2].say);
		assert_string_equal(a.writes, i % 2 ? each[i / 2].legacy : each[i / 2].new);
	}
}

static void balancing_is_switched_on_and_off(void **unused)
{
	struct board b = usual_board(NEW);
	struct act a = command(&b, COMMAND_BALANCE, 1);

	(void)unused;
	assert_outcome(&a, COMMAND_DONE, "balancing reads back on (balancer code 4)");
	assert_string_equal(a.writes, "7ea1510d000018e6aa55");
	a = command(&b, COMMAND_BALANCE, 0);
	assert_outcome(&a, COMMAND_DONE, "balancing reads back off (balancer code 0)");
	assert_string_equal(a.writes, "7ea1510e0000e8e6aa55");
	b = usual_board(LEGACY);
	a = command(&b, COMMAND_BALANCE, 1);
	assert_outcome(&a, COMMAND_DONE, "balancing reads back on (balancer code 4)");
	assert_string_equal(a.writes, "a5a5fc0000fc a5a5ff0000ff");
}

static void the_legacy_button_is_not_pressed_where_it_could_switch_off(void **unused)
{
	struct board b = usual_board(LEGACY);
	struct act a;

	(void)unused;
	b.balancer = 4;
	a = command(&b, COMMAND_BALANCE, 1);
	assert_outcome(&a, COMMAND_DONE, "it balances already");
	assert_string_equal(a.writes, "");
	a = command(&b, COMMAND_BALANCE, 0);
	assert_outcome(&a, COMMAND_REFUSED, "this board knows no way to stop balancing");
	assert_int_equal(a.requests, 0);
}

static void a_mos_that_follows_late_is_waited_for(void **unused)
{
	struct board b = usual_board(NEW);
	struct act a;

	(void)unused;
	b.charge = 0x0f;
	b.slow = 6;
	a = command(&b, COMMAND_CHARGE, 1);
	assert_outcome(&a, COMMAND_DONE, "charge MOS reads back on");
	assert_string_equal(a.writes, "7ea1510600006924aa55");
	assert_true(a.waited_ms > 5300);
}

static void a_board_with_a_password_gets_it_first(void **unused)
{
	struct board b = usual_board(NEW);
	struct act a;

	(void)unused;
	b.permission = 1;
	a = command(&b, COMMAND_CHARGE, 0);
	assert_outcome(&a, COMMAND_DONE, "charge MOS reads back off");
	assert_string_equal(a.writes, "7ea1236a010c3132333435363738396162632062aa55 7ea151040000c8e4aa55");
	b.permission = 1;
	b.wrong_password = 1;
	a = command(&b, COMMAND_CHARGE, 1);
	assert_outcome(&a, COMMAND_REFUSED, "the password is not the factory's");
	assert_string_equal(a.writes, "7ea1236a010c3132333435363738396162632062aa55");
}

static void a_refusal_is_told_with_its_reason(void **unused)
{
	struct board b = usual_board(NEW);
	struct act a;

	(void)unused;
	b.acknowledges = 3;
	a = command(&b, COMMAND_DISCHARGE, 0);
	assert_outcome(&a, COMMAND_REFUSED, "the board does not permit it (acknowledgement 3)");
	b.acknowledges = 2;
	a = command(&b, COMMAND_DISCHARGE, 0);
	assert_outcome(&a, COMMAND_REFUSED, "the board does not acknowledge it");
	b = usual_board(LEGACY);
	b.acknowledges = 1;
	a = command(&b, COMMAND_DISCHARGE, 0);
	assert_outcome(&a, COMMAND_REFUSED, "the board keeps another value");
}

static void what_has_no_effect_is_not_confirmed(void **unused)
{
	struct board b = usual_board(NEW);
	struct act a;

	(void)unused;
	b.ineffective = true;
	a = command(&b, COMMAND_CHARGE, 0);
	assert_outcome(&a, COMMAND_UNCONFIRMED, "sent, but the board says of the charge MOS: on (code 1)");
	assert_true(a.waited_ms >= 10000);
	a = command(&b, COMMAND_BALANCE, 1);
	assert_outcome(&a, COMMAND_UNCONFIRMED, "sent, but balancing reads back off (balancer code 0)");
	b.dialect = LEGACY;
	a = command(&b, COMMAND_DISCHARGE, 0);
	assert_outcome(&a, COMMAND_UNCONFIRMED, "sent, but the board says of the discharge MOS: on (code 1)");
	assert_string_equal(a.writes, "a5a5f90000f9 a5a5ff0000ff a5a5f90000f9 a5a5ff0000ff a5a5f90000f9 a5a5ff0000ff");
	a = command(&b, COMMAND_BALANCE, 1);
	assert_string_equal(a.writes, "a5a5fc0000fc a5a5ff0000ff"); /* a button is not pressed twice */
}

static void a_legacy_switch_that_was_not_heard_is_repeated(void **unused)
{
	struct board b = usual_board(LEGACY);
	struct act a;

	(void)unused;
	b.forgets = 2;
	a = command(&b, COMMAND_CHARGE, 0);
	assert_outcome(&a, COMMAND_DONE, "charge MOS reads back off");
	assert_string_equal(a.writes, "a5a5fa0000fa a5a5ff0000ff a5a5fa0000fa a5a5ff0000ff a5a5fa0000fa a5a5ff0000ff");
}

static void what_a_protection_holds_off_is_said_and_not_repeated(void **unused)
{
	struct board b = usual_board(NEW);
	struct act a;

	(void)unused;
	b.charge = 0x0f;
	b.charge_to = 2;
	a = command(&b, COMMAND_CHARGE, 1);
	assert_outcome(&a, COMMAND_UNCONFIRMED,
		       "sent, but the board says of the charge MOS: cell over voltage (code 2)");
	assert_string_equal(a.writes, "7ea1510600006924aa55");
	b = usual_board(LEGACY);
	b.charge = 0x0f;
	b.charge_to = 5;
	a = command(&b, COMMAND_CHARGE, 1);
	assert_outcome(&a, COMMAND_UNCONFIRMED,
		       "sent, but the board says of the charge MOS: pack over voltage (code 5)");
	assert_string_equal(a.writes, "a5a5fa0001fb a5a5ff0000ff");
}

static void an_acknowledgement_that_was_lost_does_not_matter_when_the_state_is_right(void **unused)
{
	struct board b = usual_board(NEW);
	struct act a;

	(void)unused;
	b.silent_ack = true;
	a = command(&b, COMMAND_CHARGE, 0);
	assert_outcome(&a, COMMAND_DONE, "charge MOS reads back off");
}

static void a_board_that_does_not_answer_is_sent_nothing(void **unused)
{
	struct board b = usual_board(NEW);
	struct act a;

	(void)unused;
	b.deaf = true;
	a = command(&b, COMMAND_CHARGE, 0);
	assert_outcome(&a, COMMAND_REFUSED, "the board does not answer; nothing was sent");
	assert_string_equal(a.writes, "");
}

static void the_soc_is_set_through_the_remaining_capacity(void **unused)
{
	struct board b = usual_board(NEW);
	struct act a = command(&b, COMMAND_SOC, 95);

	(void)unused;
	assert_outcome(&a, COMMAND_DONE, "SoC reads back 95 %, remaining capacity 95 Ah");
	assert_int_equal(b.written, 95000000);
	assert_true(b.kept);
	b = usual_board(LEGACY);
	a = command(&b, COMMAND_SOC, 95);
	assert_outcome(&a, COMMAND_DONE, "SoC reads back 95 %, remaining capacity 95 Ah");
	assert_int_equal(b.written, 95000000);
	assert_string_equal(a.writes, "a5a52195c076 a5a52205a9d0 a5a5ff0000ff"); /* 0x05a995c0 */
}

static void the_soc_is_not_set_where_the_register_holds_something_else(void **unused)
{
	struct board b = usual_board(NEW);
	struct act a;

	(void)unused;
	for (uint8_t dialect = NEW; dialect <= LEGACY; dialect++) {
		b = usual_board(dialect);
		b.register_uAh = 61000000;
		a = command(&b, COMMAND_SOC, 95);
		assert_outcome(
			&a, COMMAND_REFUSED,
			"the register for the remaining capacity does not hold what the status says; nothing was "
			"written");
		assert_string_equal(a.writes, "");
	}
	b = usual_board(LEGACY);
	b.full_uAh = 0;
	a = command(&b, COMMAND_SOC, 95);
	assert_outcome(&a, COMMAND_REFUSED, "the board does not tell its capacity");
	b = usual_board(NEW);
	b.ineffective = true;
	a = command(&b, COMMAND_SOC, 95);
	assert_outcome(&a, COMMAND_UNCONFIRMED, "sent, but the SoC reads back 60 %");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_those_of_the_sheet),
		cmocka_unit_test(what_may_harm_has_no_request),
		cmocka_unit_test(only_commands_are_marked_as_writes),
		cmocka_unit_test(recorded_requests_are_recognised),
		cmocka_unit_test(what_is_no_request_is_not_recognised),
		cmocka_unit_test(a_wrong_crc_is_dropped),
		cmocka_unit_test(a_cut_frame_is_no_answer),
		cmocka_unit_test(a_frame_without_its_end_is_no_answer),
		cmocka_unit_test(a_length_that_is_one_too_large_is_no_answer),
		cmocka_unit_test(numbers_of_cells_and_sensors_must_fit_the_length),
		cmocka_unit_test(an_answer_to_another_question_is_foreign),
		cmocka_unit_test(the_echo_of_a_request_is_no_answer),
		cmocka_unit_test(noise_cuts_and_glue_are_no_matter),
		cmocka_unit_test(a_mark_inside_the_data_is_data),
		cmocka_unit_test(both_currents_are_turned_round),
		cmocka_unit_test(a_sensor_of_minus_40_degrees_is_not_fitted),
		cmocka_unit_test(a_capacity_of_0_and_what_depends_on_it_are_unknown),
		cmocka_unit_test(cycles_are_the_throughput_in_full_capacities),
		cmocka_unit_test(discharge_comes_before_charge),
		cmocka_unit_test(balancing_cells_are_told_one_by_one),
		cmocka_unit_test(every_mos_code_means_what_the_sheet_says),
		cmocka_unit_test(a_hot_balancer_warns),
		cmocka_unit_test(of_the_protection_bits_only_that_of_a_high_cell_is_an_alarm),
		cmocka_unit_test(an_inverted_board_has_its_current_alarms_turned_round),
		cmocka_unit_test(identity_is_read_past_the_stray_bytes),
		cmocka_unit_test(parameters_lie_at_their_addresses),
		cmocka_unit_test(the_overcurrent_thresholds_are_its_current_limits),
		cmocka_unit_test(a_wrong_legacy_sum_is_dropped),
		cmocka_unit_test(legacy_counts_out_of_range_are_not_believed),
		cmocka_unit_test(the_legacy_status_is_decoded_with_noise_cut_and_glued),
		cmocka_unit_test(a_legacy_capacity_of_0_is_taken_from_the_parameters),
		cmocka_unit_test(a_legacy_parameter_must_be_the_one_that_was_asked_for),
		cmocka_unit_test(legacy_parameters_have_their_scales),
		cmocka_unit_test(a_legacy_parameter_of_0_looks_like_the_request_and_is_0),
		cmocka_unit_test(where_requests_come_back_one_that_does_so_alone_is_no_value),
		cmocka_unit_test(the_sweep_asks_every_legacy_parameter_once_and_then_again),
		cmocka_unit_test(a_board_whose_cells_add_up_is_plausible),
		cmocka_unit_test(every_switch_is_sent_and_read_back),
		cmocka_unit_test(balancing_is_switched_on_and_off),
		cmocka_unit_test(the_legacy_button_is_not_pressed_where_it_could_switch_off),
		cmocka_unit_test(a_mos_that_follows_late_is_waited_for),
		cmocka_unit_test(a_board_with_a_password_gets_it_first),
		cmocka_unit_test(a_refusal_is_told_with_its_reason),
		cmocka_unit_test(what_has_no_effect_is_not_confirmed),
		cmocka_unit_test(a_legacy_switch_that_was_not_heard_is_repeated),
		cmocka_unit_test(what_a_protection_holds_off_is_said_and_not_repeated),
		cmocka_unit_test(an_acknowledgement_that_was_lost_does_not_matter_when_the_state_is_right),
		cmocka_unit_test(a_board_that_does_not_answer_is_sent_nothing),
		cmocka_unit_test(the_soc_is_set_through_the_remaining_capacity),
		cmocka_unit_test(the_soc_is_not_set_where_the_register_holds_something_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
