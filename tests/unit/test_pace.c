/* SPDX-License-Identifier: GPL-3.0-or-later */
/* pace on frames constructed from its sheet. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "act.h"
#include "ascii_frame.h"
#include "play.h"

enum { OWN, BY_NUMBER, BY_NUMBER_FROM_0 };
enum { ANALOG = 0x42, WARNINGS = 0x44, COUNT = 0x90, CHARGE = 0x9a, DISCHARGE = 0x9b, VERSION = 0xc1, PRODUCT = 0xc2 };
enum { MAX_INFO = 2040 };

/* ---- frames ---- */

static const char *reply(uint8_t adr, uint8_t rtn, const void *info, size_t n)
{
	return ascii_frame_hex((struct ascii_head){0x25, adr, 0x46, rtn}, info, n);
}

#define REPLY(adr, rtn, ...) reply(adr, rtn, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* One block of 42; what is 0 in tail_n is not there. */
struct pack {
	unsigned cells, sensors;
	uint16_t cell_mV, volts_mV, remaining, full, cycles, design;
	int16_t current;
	uint8_t user_items, tail[20];
	size_t tail_n;
};

static struct pack pack_16s(void)
{
	return (struct pack){.cells = 16,
			     .sensors = 6,
			     .cell_mV = 3300,
			     .volts_mV = 52920,
			     .remaining = 4819,
			     .full = 10346,
			     .cycles = 140,
			     .design = 10000,
			     .current = -225,
			     .user_items = 3};
}

/* Cell i has i mV more than the first, sensor i is i degC warmer than 20. */
static size_t put_block(const struct pack *p, uint8_t *out)
{
	size_t n = 0;

	out[n++] = (uint8_t)p->cells;
	for (unsigned i = 0; i < p->cells; i++, n += 2)
		put_u16be(out + n, (uint16_t)(p->cell_mV ? p->cell_mV + i : 0));
	out[n++] = (uint8_t)p->sensors;
	for (unsigned i = 0; i < p->sensors; i++, n += 2)
		put_u16be(out + n, (uint16_t)(2730 + 200 + 10 * i));
	put_u16be(out + n, (uint16_t)p->current);
	put_u16be(out + n + 2, p->volts_mV);
	put_u16be(out + n + 4, p->remaining);
	out[n + 6] = p->user_items;
	put_u16be(out + n + 7, p->full);
	put_u16be(out + n + 9, p->cycles);
	put_u16be(out + n + 11, p->design);
	memcpy(out + n + 13, p->tail, p->tail_n);
	return n + 13 + p->tail_n;
}

static size_t put_blocks(const struct pack *p, unsigned count, uint8_t second, uint8_t *info)
{
	size_t n = 2;

	info[0] = 0;
	info[1] = second;
	for (unsigned i = 0; i < count; i++)
		n += put_block(&p[i], info + n);
	return n;
}

static const char *analog(uint8_t adr, const struct pack *p, unsigned count, uint8_t second)
{
	uint8_t info[MAX_INFO];

	return reply(adr, 0, info, put_blocks(p, count, second, info));
}

enum { P1 = 3, P2, INSTRUCTION, CONTROL, FAULT, BALANCE_LOW, BALANCE_HIGH, W1, W2, FIXED };

/* 44 of 16 cells and 6 sensors; fixed counts from the charge current byte. */
static const char *warnings(uint8_t adr, uint8_t second, const uint8_t *fixed, size_t fixed_n)
{
	uint8_t info[64] = {0, second, 16};

	info[2 + 1 + 16] = 6;
	memcpy(info + 2 + 1 + 16 + 1 + 6, fixed, fixed_n);
	return reply(adr, 0, info, 2 + 1 + 16 + 1 + 6 + fixed_n);
}

static const char *warned(unsigned at, uint8_t value)
{
	uint8_t fixed[FIXED] = {[INSTRUCTION] = 0x0e};

	fixed[at] = value;
	return warnings(0, 1, fixed, sizeof(fixed));
}

static const char version_text[] = "P16S100A-1812-1.00  ";

static const char *version(uint8_t adr)
{
	return reply(adr, 0, version_text, 20);
}

static struct device at(uint8_t address)
{
	return fresh_device("pace", address, OWN);
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

/* The text that goes out for this code. */
static const char *sent(struct device *dev, uint16_t code, uint16_t arg)
{
	static char text[64];
	uint8_t buf[64];
	int n = bytes_from_hex(request_hex(dev, code, arg), buf, sizeof(buf));

	snprintf(text, sizeof(text), "%.*s", n - 1, (const char *)buf);
	return text;
}

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	struct device dev = at(1);

	(void)unused;
	assert_string_equal(sent(&dev, ANALOG, 0), "~25014642E00201FD30");
	assert_string_equal(sent(&dev, WARNINGS, 0), "~25014644E00201FD2E");
	assert_string_equal(sent(&dev, COUNT, 0), "~250146900000FDA5");
	assert_string_equal(sent(&dev, VERSION, 0), "~250146C10000FD9A");
	dev.address = 2;
	assert_string_equal(sent(&dev, ANALOG, 0), "~25024642E00202FD2E");
	assert_string_equal(sent(&dev, WARNINGS, 0), "~25024644E00202FD2C");
	dev.address = 0;
	assert_string_equal(sent(&dev, ANALOG, 0), "~25004642E002FFFD06");
	assert_string_equal(sent(&dev, CHARGE, 1), "~2500469AE00201FD1D");
	assert_string_equal(sent(&dev, CHARGE, 0), "~2500469AE00200FD1E");
	assert_string_equal(sent(&dev, DISCHARGE, 1), "~2500469BE00201FD1C");
	assert_string_equal(sent(&dev, 0xd1, 0), "~250046D10000FD9A");
	device_free(&dev);
}

static void a_master_is_asked_for_the_others_and_only_for_their_values(void **unused)
{
	struct device dev = fresh_device("pace", 3, BY_NUMBER);
	struct request request;

	(void)unused;
	assert_string_equal(sent(&dev, ANALOG, 0), "~25014642E00203FD2E");
	assert_false(dev.protocol->encode(&dev, VERSION, 0, &request));
	assert_false(dev.protocol->encode(&dev, CHARGE, 1, &request));
	dev.address = 0;
	assert_false(dev.protocol->encode(&dev, ANALOG, 0, &request)); /* no pack has this number */
	dev.dialect = BY_NUMBER_FROM_0;
	assert_string_equal(sent(&dev, ANALOG, 0), "~25004642E002FFFD06");
	assert_true(dev.protocol->encode(&dev, 0xd1, 0, &request)); /* the master itself */
	dev.address = 4;
	assert_string_equal(sent(&dev, ANALOG, 0), "~25004642E00205FD2D");
	assert_false(dev.protocol->encode(&dev, 0xd1, 0, &request));
	device_free(&dev);
}

static void only_switch_commands_write_and_dangerous_ones_do_not_exist(void **unused)
{
	struct device dev = at(1);
	const struct protocol *p = dev.protocol;
	struct request request;

	(void)unused;
	for (unsigned r = 0; r < p->poll_count; r++) {
		assert_true(p->encode(&dev, p->polls[r].code, p->polls[r].arg, &request));
		assert_false(request.writes);
	}
	assert_true(p->encode(&dev, DISCHARGE, 1, &request));
	assert_true(request.writes);
	assert_false(p->encode(&dev, 0x9c, 1, &request)); /* shutdown */
	assert_false(p->encode(&dev, 0x99, 0x0e, &request));
	for (unsigned code = 0xd0; code <= 0xe6; code += 2) /* each writes what its neighbour reads */
		assert_false(p->encode(&dev, (uint16_t)code, 0, &request));
	device_free(&dev);
}

static bool parse(const char *text, struct request *out)
{
	return protocol_by_id("pace")->parse_request((struct bytes){(const uint8_t *)text, strlen(text)}, out);
}

static void recorded_requests_are_recognised(void **unused)
{
	struct request r;

	(void)unused;
	assert_true(parse("~25014642E00201FD30\r", &r));
	assert_int_equal(r.code, ANALOG);
	assert_int_equal(r.address, 1);
	assert_int_equal(r.dialect, OWN);
	assert_true(parse("~25014642E00203FD2E\r", &r));
	assert_int_equal(r.dialect, BY_NUMBER);
	assert_int_equal(r.address, 3);
	assert_true(parse("~25004642E00205FD2D\r", &r));
	assert_int_equal(r.dialect, BY_NUMBER_FROM_0);
	assert_int_equal(r.address, 4);
	assert_true(parse("~2500469BE00201FD1C\r", &r));
	assert_true(r.writes);
	assert_int_equal(r.arg, 1);
	assert_true(parse("~2500469CE00201FD1B\r", &r)); /* PbmsTools sent it, we never would */
	assert_true(r.writes);
	assert_false(parse("~25014642E00201FD31\r", &r)); /* checksum */
	assert_false(parse("~20024642E00202FD33\r", &r)); /* Pylontech */
	assert_false(parse("~25024642E00202FD2E", &r));
	assert_false(parse("\xdd\xa5\x03", &r));
}

/* ---- 42 ---- */

/* ~250146 00 F07A ... E1E4: the sheet's own example. */
static void the_example_of_the_sheet_is_read_as_it_says(void **unused)
{
	struct device dev = at(1);
	const struct reading *r = &dev.reading;

	(void)unused;
	told(&dev, ANALOG,
	     text_hex(
		     "~25014600F07A0001100CC70CC80CC70CC70CC70CC50CC60CC70CC70CC60CC70CC60CC60CC70CC60CC7060B9B0B990B99"
		     "0B990BB30BBCFF1FCCCD12D303286A008C2710E1E4\r"));
	assert_int_equal(r->cell_V.count, 16);
	assert_true(r->cell_V.value[5] == 3.269);
	assert_int_equal(r->temperatures.count, 4);
	assert_true(r->temperatures.value[0] == 24.1);
	assert_true(reading_get(r, Q_TEMP_MOS_C) == 26.5);
	assert_true(reading_get(r, Q_TEMP_AMBIENT_C) == 27.4);
	assert_true(reading_get(r, Q_CURRENT_A) == -2.25);
	assert_true(reading_get(r, Q_VOLTAGE_V) == 52.429);
	assert_true(reading_get(r, Q_CAPACITY_REMAINING_AH) == 48.19);
	assert_true(reading_get(r, Q_CAPACITY_FULL_AH) == 103.46);
	assert_true(reading_get(r, Q_CAPACITY_DESIGN_AH) == 100);
	assert_true(reading_get(r, Q_CYCLES) == 140);
	assert_true(reading_get(r, Q_SOC_PCT) == 46.6); /* computed: this board does not tell it */
	assert_false(reading_knows(r, Q_SOH_PCT));
	device_free(&dev);
}

static void the_currents_sign_is_bit_15(void **unused)
{
	static const int16_t raw[] = {-32768, -25000, -1, 0, 32767};
	struct device dev = at(1);
	struct pack p = pack_16s();

	(void)unused;
	for (int i = 0; i < 5; i++) {
		p.current = raw[i];
		told(&dev, ANALOG, analog(1, &p, 1, 1));
		assert_true(reading_get(&dev.reading, Q_CURRENT_A) == raw[i] / 100.0);
	}
	device_free(&dev);
}

static void a_soc_tail_of_one_byte_is_read_whatever_the_user_items_say(void **unused)
{
	static const uint8_t items[] = {2, 3, 4, 9, 0x0a};
	struct device dev = at(1);
	struct pack p = pack_16s();

	(void)unused;
	p.tail[0] = 97;
	p.tail_n = 1;
	for (int i = 0; i < 5; i++) {
		p.user_items = items[i];
		told(&dev, ANALOG, analog(1, &p, 1, 1));
		assert_true(reading_get(&dev.reading, Q_SOC_PCT) == 97);
		assert_false(reading_knows(&dev.reading, Q_SOH_PCT));
	}
	p.tail[0] = 101; /* no SoC: computed instead */
	told(&dev, ANALOG, analog(1, &p, 1, 1));
	assert_true(reading_get(&dev.reading, Q_SOC_PCT) == 46.6);
	device_free(&dev);
}

static struct pack gobel(uint8_t soc, uint8_t soh)
{
	struct pack p = pack_16s();

	memcpy(p.tail, "\x24\x71\x48\x71\x48\x71\x48\x71\x48\x64\xca\x12\x00\x00", 14);
	p.tail[0] = soc;
	p.tail[9] = soh;
	p.tail_n = 14;
	return p;
}

static void the_gobel_tail_tells_soc_soh_and_the_bus_voltage(void **unused)
{
	struct device dev = at(1);
	struct pack p = gobel(36, 99);

	(void)unused;
	told(&dev, ANALOG, analog(1, &p, 1, 1));
	assert_true(reading_get(&dev.reading, Q_SOC_PCT) == 36);
	assert_true(reading_get(&dev.reading, Q_SOH_PCT) == 99);
	assert_true(reading_detail(&dev.reading, "bus_voltage_V") == 51.73);
	assert_true(reading_detail(&dev.reading, "capacity_tail_1_Ah") == 290);
	device_free(&dev);
}

static void soc_is_unknown_where_the_full_capacity_is_0(void **unused)
{
	struct device dev = at(1);
	struct pack p = pack_16s();

	(void)unused;
	p.full = 0;
	told(&dev, ANALOG, analog(1, &p, 1, 1));
	assert_false(reading_knows(&dev.reading, Q_SOC_PCT));
	device_free(&dev);
}

static void eight_cells_with_four_sensors_have_no_mos_sensor(void **unused)
{
	struct device dev = at(0);
	struct pack p = pack_16s();

	(void)unused;
	p.cells = 8;
	p.sensors = 4;
	told(&dev, ANALOG, analog(0, &p, 1, 1));
	assert_int_equal(dev.reading.cell_V.count, 8);
	assert_int_equal(dev.reading.temperatures.count, 4);
	assert_true(dev.reading.temperatures.value[3] == 23);
	assert_false(reading_knows(&dev.reading, Q_TEMP_MOS_C));
	assert_false(reading_knows(&dev.reading, Q_TEMP_AMBIENT_C));
	device_free(&dev);
}

static void counts_that_do_not_fit_the_length_are_not_believed(void **unused)
{
	struct device dev = at(1);
	uint8_t info[MAX_INFO];
	struct pack p = pack_16s();
	size_t n = put_blocks(&p, 1, 1, info);

	(void)unused;
	not_told(&dev, ANALOG, reply(1, 0, info, n - 1), "length of the reply");
	not_told(&dev, ANALOG, reply(1, 0, info, 2), "length of the reply");
	not_told(&dev, ANALOG, reply(1, 0, NULL, 0), "length of the reply");
	info[2] = 17;
	not_told(&dev, ANALOG, reply(1, 0, info, n), "length of the reply");
	info[2] = 255;
	not_told(&dev, ANALOG, reply(1, 0, info, n), "length of the reply");
	info[2] = 0;
	not_told(&dev, ANALOG, reply(1, 0, info, n), "length of the reply");
	info[2] = 16;
	info[2 + 33] = 200;
	not_told(&dev, ANALOG, reply(1, 0, info, n), "length of the reply");
	assert_false(dev.reading.cell_V.reported);
	device_free(&dev);
}

/* ---- several packs ---- */

/* As in a recording of somebody who asked for all at once. */
static const struct reading *told_of_all(struct device *dev, const char *all)
{
	assert_int_equal(play_tx(dev, text_hex("~25004642E002FFFD06\r"), RX(all), NULL), EXCHANGE_ANSWERED);
	return &dev->reading;
}

static void each_pack_takes_its_own_block(void **unused)
{
	struct pack p[3] = {gobel(36, 100), gobel(40, 90), gobel(50, 80)};
	const char *all;

	(void)unused;
	p[1].user_items = 9; /* differs between packs of one system */
	all = analog(0, p, 3, 3);
	for (uint8_t i = 0; i < 3; i++) {
		struct device dev = at(i);
		const struct reading *r = told_of_all(&dev, all);

		assert_true(reading_get(r, Q_SOC_PCT) == p[i].tail[0]);
		assert_true(reading_get(r, Q_SOH_PCT) == p[i].tail[9]);
		device_free(&dev);
	}
	struct device fourth = at(3);

	assert_int_equal(play_tx(&fourth, text_hex("~25004642E002FFFD06\r"), RX(all), NULL), EXCHANGE_FAILED);
	device_free(&fourth);
}

static unsigned further(const char *tx, const char *frame_hex, uint8_t *last)
{
	uint8_t frame[MAX_FRAME];
	int n = bytes_from_hex(frame_hex, frame, sizeof(frame));
	const struct protocol *p = protocol_by_id("pace");
	struct request pending, as;
	unsigned nth = 1;

	assert_true(p->parse_request((struct bytes){(const uint8_t *)tx, strlen(tx)}, &pending));
	while (p->further(&pending, (struct bytes){frame, (size_t)n}, nth, &as)) {
		*last = as.address;
		nth++;
	}
	return nth - 1;
}

static void only_a_reply_about_all_tells_of_further_packs(void **unused)
{
	struct pack p[3] = {gobel(36, 100), gobel(40, 90), gobel(50, 80)};
	uint8_t last = 0;

	(void)unused;
	assert_int_equal(further("~25014642E002FFFD05\r", analog(1, p, 3, 3), &last), 2);
	assert_int_equal(last, 3);
	assert_int_equal(further("~25014642E00203FD2E\r", analog(1, p, 1, 3), &last), 0);
	assert_int_equal(further("~25014642E002FFFD05\r", analog(1, p, 1, 1), &last), 0);
	assert_int_equal(further("~25014642E002FFFD05\r", analog(1, p, 1, 255), &last), 0);
	assert_int_equal(further("~250146900000FDA5\r", REPLY(1, 0, 0, 3), &last), 0);
}

static void packs_of_different_size_are_told_apart(void **unused)
{
	struct pack p[3] = {gobel(36, 100), gobel(40, 90), gobel(50, 80)};
	const char *all;

	(void)unused;
	p[0].cells = 15;
	p[1].cells = 13;
	p[1].sensors = 4;
	all = analog(0, p, 3, 3);
	for (uint8_t i = 0; i < 3; i++) {
		struct device dev = at(i);
		const struct reading *r = told_of_all(&dev, all);

		assert_int_equal(r->cell_V.count, p[i].cells);
		assert_true(reading_get(r, Q_SOC_PCT) == p[i].tail[0]);
		device_free(&dev);
	}
}

static void a_pack_that_is_registered_but_offline_tells_nothing(void **unused)
{
	struct pack p = gobel(98, 100);
	struct device dev = fresh_device("pace", 2, BY_NUMBER);

	(void)unused;
	p.cell_mV = p.volts_mV = p.remaining = p.full = p.design = 0;
	not_told(&dev, ANALOG, analog(1, &p, 1, 2), "offline");
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	device_free(&dev);
}

static void the_block_of_another_number_is_no_answer(void **unused)
{
	struct device dev = fresh_device("pace", 2, BY_NUMBER);
	struct pack p = pack_16s();

	(void)unused;
	not_told(&dev, ANALOG, analog(1, &p, 1, 3), "answers something else");
	told(&dev, ANALOG, analog(1, &p, 1, 2));
	device_free(&dev);
	dev = fresh_device("pace", 2, BY_NUMBER_FROM_0);
	not_told(&dev, ANALOG, analog(0, &p, 1, 2), "answers something else");
	told(&dev, ANALOG, analog(0, &p, 1, 3));
	device_free(&dev);
}

static void a_count_of_packs_makes_a_master(void **unused)
{
	static const struct {
		uint8_t address, count, dialect;
	} is[] = {{1, 1, OWN}, {1, 2, BY_NUMBER}, {0, 1, OWN}, {0, 2, BY_NUMBER_FROM_0}, {2, 2, OWN}, {1, 0, OWN}};

	(void)unused;
	for (int i = 0; i < 6; i++) {
		struct device dev = at(is[i].address);

		told(&dev, COUNT, REPLY(is[i].address, 0, is[i].count));
		assert_true(reading_get(&dev.reading, Q_PACK_COUNT) == is[i].count);
		assert_int_equal(dev.dialect, is[i].dialect);
		device_free(&dev);
	}
}

/* ---- frames ---- */

static void frames_of_others_and_damaged_ones_are_no_answer(void **unused)
{
	struct device dev = at(1);
	uint8_t info[MAX_INFO];
	struct pack p = pack_16s();
	size_t n = put_blocks(&p, 1, 1, info);
	char text[ASCII_FRAME_TEXT];

	(void)unused;
	not_told(&dev, ANALOG, analog(2, &p, 1, 1), "answers something else");
	not_told(&dev, ANALOG, ascii_frame_hex((struct ascii_head){0x20, 1, 0x46, 0}, info, n), "something else");
	not_told(&dev, ANALOG, ascii_frame_hex((struct ascii_head){0x25, 1, 0x4a, 0}, info, n), "something else");
	not_told(&dev, ANALOG, text_hex("~25014642E00201FD30\r"), "no reply");
	size_t size = ascii_frame((struct ascii_head){0x25, 1, 0x46, 0}, info, n, text);
	text[40] ^= 1;
	not_told(&dev, ANALOG, text_hex(text), "checksum");
	text[40] ^= 1;
	text[size - 3] = 0;
	not_told(&dev, ANALOG, text_hex(text), "frame cut short");
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	device_free(&dev);
}

static void noise_echo_and_a_glued_frame_are_no_matter(void **unused)
{
	struct device dev = at(1);
	struct pack p = pack_16s();
	char rx[1024];

	(void)unused;
	snprintf(rx, sizeof(rx), "ff7e32%s%s%s00", text_hex("~25014642E00201FD30\r"), analog(2, &p, 1, 1),
		 analog(1, &p, 1, 1));
	told(&dev, ANALOG, rx);
	assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 52.92);
	device_free(&dev);
}

static void a_14s_board_may_answer_with_another_class(void **unused)
{
	struct device dev = at(1);
	uint8_t info[MAX_INFO];
	struct pack p = pack_16s();
	size_t n = put_blocks(&p, 1, 1, info);

	(void)unused;
	told(&dev, ANALOG, ascii_frame_hex((struct ascii_head){0x25, 1, 0x4f, 0}, info, n));
	assert_int_equal(dev.reading.cell_V.count, 16);
	device_free(&dev);
}

static void a_wrong_length_field_is_forgiven_where_the_board_is_known(void **unused)
{
	struct device dev = at(1);
	uint8_t info[MAX_INFO];
	char text[ASCII_FRAME_TEXT];
	struct pack p = pack_16s();
	unsigned sum = 0;

	(void)unused;
	size_t n = ascii_frame((struct ascii_head){0x25, 1, 0x46, 0}, info, put_blocks(&p, 1, 1, info), text);
	memcpy(text + 9, "1078", 4); /* LENID two too small */
	for (size_t i = 1; i < n - 5; i++)
		sum += (uint8_t)text[i];
	snprintf(text + n - 5, 6, "%04X\r", -sum & 0xffff);
	not_told(&dev, ANALOG, text_hex(text), "length");
	told(&dev, VERSION, version(1));
	told(&dev, ANALOG, text_hex(text));
	assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 52.92);
	device_free(&dev);
}

static void a_refusal_says_why(void **unused)
{
	struct device dev = at(1);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0xd1, 0, RX(reply(1, 4, NULL, 0)), error), EXCHANGE_REFUSED);
	assert_string_equal(error, "command not known (return code 04)");
	assert_int_equal(play(&dev, ANALOG, 0, RX(reply(1, 0x90, NULL, 0)), error), EXCHANGE_REFUSED);
	device_free(&dev);
}

/* ---- 44 ---- */

#define A(id) ALARM_##id

static void every_alarm_bit_raises_its_alarm(void **unused)
{
	static const struct {
		unsigned at, bit;
		enum alarm alarm, also;
		const char *own;
		enum alarm_level level;
	} rows[] = {
		{P1, 0, A(HIGH_CELL_VOLTAGE), A(COUNT), NULL, ALARM_RAISED},
		{P1, 1, A(LOW_CELL_VOLTAGE), A(COUNT), NULL, ALARM_RAISED},
		{P1, 2, A(HIGH_VOLTAGE), A(COUNT), NULL, ALARM_RAISED},
		{P1, 3, A(LOW_VOLTAGE), A(COUNT), NULL, ALARM_RAISED},
		{P1, 4, A(HIGH_CHARGE_CURRENT), A(COUNT), NULL, ALARM_RAISED},
		{P1, 5, A(HIGH_DISCHARGE_CURRENT), A(COUNT), NULL, ALARM_RAISED},
		{P1, 6, A(SHORT_CIRCUIT), A(HIGH_DISCHARGE_CURRENT), NULL, ALARM_RAISED},
		{P1, 7, A(HIGH_VOLTAGE), A(COUNT), NULL, ALARM_RAISED},
		{P2, 0, A(HIGH_CHARGE_TEMPERATURE), A(COUNT), NULL, ALARM_RAISED},
		{P2, 1, A(HIGH_TEMPERATURE), A(COUNT), NULL, ALARM_RAISED},
		{P2, 2, A(LOW_CHARGE_TEMPERATURE), A(COUNT), NULL, ALARM_RAISED},
		{P2, 3, A(LOW_TEMPERATURE), A(COUNT), NULL, ALARM_RAISED},
		{P2, 4, A(HIGH_INTERNAL_TEMPERATURE), A(COUNT), NULL, ALARM_RAISED},
		{P2, 5, A(COUNT), A(COUNT), "ambient_high_temperature", ALARM_RAISED},
		{P2, 6, A(COUNT), A(COUNT), "ambient_low_temperature", ALARM_RAISED},
		{FAULT, 0, A(INTERNAL_FAILURE), A(COUNT), NULL, ALARM_RAISED},
		{FAULT, 1, A(INTERNAL_FAILURE), A(COUNT), NULL, ALARM_RAISED},
		{FAULT, 2, A(INTERNAL_FAILURE), A(COUNT), NULL, ALARM_RAISED},
		{FAULT, 4, A(INTERNAL_FAILURE), A(COUNT), NULL, ALARM_RAISED},
		{FAULT, 5, A(INTERNAL_FAILURE), A(COUNT), NULL, ALARM_RAISED},
		{W1, 0, A(HIGH_CELL_VOLTAGE), A(COUNT), NULL, ALARM_WARNING},
		{W1, 1, A(LOW_CELL_VOLTAGE), A(COUNT), NULL, ALARM_WARNING},
		{W1, 2, A(HIGH_VOLTAGE), A(COUNT), NULL, ALARM_WARNING},
		{W1, 3, A(LOW_VOLTAGE), A(COUNT), NULL, ALARM_WARNING},
		{W1, 4, A(HIGH_CHARGE_CURRENT), A(COUNT), NULL, ALARM_WARNING},
		{W1, 5, A(HIGH_DISCHARGE_CURRENT), A(COUNT), NULL, ALARM_WARNING},
		{W2, 0, A(HIGH_CHARGE_TEMPERATURE), A(COUNT), NULL, ALARM_WARNING},
		{W2, 1, A(HIGH_TEMPERATURE), A(COUNT), NULL, ALARM_WARNING},
		{W2, 2, A(LOW_CHARGE_TEMPERATURE), A(COUNT), NULL, ALARM_WARNING},
		{W2, 3, A(LOW_TEMPERATURE), A(COUNT), NULL, ALARM_WARNING},
		{W2, 4, A(COUNT), A(COUNT), "ambient_high_temperature", ALARM_WARNING},
		{W2, 5, A(COUNT), A(COUNT), "ambient_low_temperature", ALARM_WARNING},
		{W2, 6, A(HIGH_INTERNAL_TEMPERATURE), A(COUNT), NULL, ALARM_WARNING},
		{W2, 7, A(LOW_SOC), A(COUNT), NULL, ALARM_WARNING},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct device dev = at(0);
		const struct alarms *a = &dev.reading.alarms;

		told(&dev, WARNINGS, warned(rows[i].at, (uint8_t)(1u << rows[i].bit)));
		assert_int_equal(alarms_raised(a), rows[i].also == A(COUNT) ? 1 : 2);
		if (rows[i].own)
			assert_string_equal(a->own[0].name, rows[i].own);
		if (rows[i].own)
			assert_int_equal(a->own[0].level, rows[i].level);
		else
			assert_int_equal(a->level[rows[i].alarm], rows[i].level);
		if (rows[i].also != A(COUNT))
			assert_int_equal(a->level[rows[i].also], rows[i].level);
		device_free(&dev);
	}
}

static void what_is_no_alarm_raises_none(void **unused)
{
	struct device dev = at(0);

	(void)unused;
	told(&dev, WARNINGS, warned(P2, 0x80));
	assert_true(dev.reading.alarms.known);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	assert_true(reading_detail(&dev.reading, "fully_charged") == 1);
	told(&dev, WARNINGS, warned(CONTROL, 0x31));
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	assert_true(reading_detail(&dev.reading, "control_bits") == 0x31);
	assert_true(reading_detail(&dev.reading, "fully_charged") == 0);
	device_free(&dev);
}

static void switches_and_permissions_follow_the_bits(void **unused)
{
	static const struct {
		unsigned at;
		uint8_t value;
		enum tri charge, discharge, charge_allowed, discharge_allowed;
	} is[] = {
		{INSTRUCTION, 0x0e, ON, ON, ON, ON},   {INSTRUCTION, 0x04, OFF, ON, OFF, ON},
		{INSTRUCTION, 0x02, ON, OFF, ON, OFF}, {INSTRUCTION, 0xf9, OFF, OFF, OFF, OFF},
		{P1, 0x01, ON, ON, OFF, ON},	       {P1, 0x04, ON, ON, OFF, ON},
		{P1, 0x10, ON, ON, OFF, ON},	       {P1, 0x02, ON, ON, ON, OFF},
		{P1, 0x08, ON, ON, ON, OFF},	       {P1, 0x20, ON, ON, ON, OFF},
		{P1, 0x40, ON, ON, ON, OFF},	       {P2, 0x01, ON, ON, OFF, ON},
		{P2, 0x04, ON, ON, OFF, ON},	       {P2, 0x02, ON, ON, ON, OFF},
		{P2, 0x08, ON, ON, ON, OFF},	       {W1, 0xff, ON, ON, ON, ON},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(is) / sizeof(is[0]); i++) {
		struct device dev = at(0);
		const struct reading *r = &dev.reading;

		told(&dev, WARNINGS, warned(is[i].at, is[i].value));
		assert_int_equal(reading_flag(r, F_CHARGE_MOS), is[i].charge);
		assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), is[i].discharge);
		assert_int_equal(reading_flag(r, F_CHARGE_ALLOWED), is[i].charge_allowed);
		assert_int_equal(reading_flag(r, F_DISCHARGE_ALLOWED), is[i].discharge_allowed);
		device_free(&dev);
	}
}

static void every_balancing_bit_is_its_cell(void **unused)
{
	(void)unused;
	for (unsigned cell = 0; cell < 16; cell++) {
		struct device dev = at(0);

		told(&dev, WARNINGS, warned(cell < 8 ? BALANCE_LOW : BALANCE_HIGH, (uint8_t)(1u << cell % 8)));
		assert_true(dev.reading.balancing_known);
		assert_int_equal(dev.reading.balancing, 1u << cell);
		assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), ON);
		device_free(&dev);
	}
}

static void the_first_bad_cell_and_sensor_are_named(void **unused)
{
	struct device dev = at(0);
	uint8_t info[2 + 36] = {0, 1, 16};
	const struct reading *r = &dev.reading;

	(void)unused;
	info[2 + 1 + 16] = 6;
	info[3 + 1] = 2;
	info[3 + 7] = 1;
	info[3 + 15] = 0xf0;
	info[20 + 3] = 2;
	told(&dev, WARNINGS, reply(0, 0, info, sizeof(info)));
	assert_true(reading_detail(r, "cell_above_limit_no") == 2);
	assert_true(reading_detail(r, "cell_below_limit_no") == 8);
	assert_true(reading_detail(r, "cell_fault_no") == 16);
	assert_true(reading_detail(r, "sensor_above_limit_no") == 4);
	assert_true(reading_detail(r, "sensor_below_limit_no") == 0);
	info[3] = 3; /* no such state */
	not_told(&dev, WARNINGS, reply(0, 0, info, sizeof(info)), "length of the reply");
	device_free(&dev);
}

static void a_byte_more_behind_the_warnings_is_no_matter_but_many_are(void **unused)
{
	struct device dev = at(0);
	uint8_t fixed[20] = {[INSTRUCTION] = 0x0e, [W2] = 0x80};

	(void)unused;
	told(&dev, WARNINGS, warnings(0, 1, fixed, FIXED + 1));
	assert_int_equal(dev.reading.alarms.level[ALARM_LOW_SOC], ALARM_WARNING);
	not_told(&dev, WARNINGS, warnings(0, 1, fixed, FIXED + 4), "length of the reply");
	not_told(&dev, WARNINGS, warnings(0, 1, fixed, FIXED - 1), "length of the reply");
	device_free(&dev);
}

static void values_are_not_taken_for_warnings_nor_warnings_for_values(void **unused)
{
	static const unsigned cells[] = {8, 13, 14, 15, 16};
	uint8_t fixed[FIXED] = {[INSTRUCTION] = 0x0e};

	(void)unused;
	for (int i = 0; i < 5; i++) {
		struct device dev = at(0);
		struct pack p = pack_16s();

		p.cells = cells[i];
		not_told(&dev, WARNINGS, analog(0, &p, 1, 1), "rejected");
		not_told(&dev, ANALOG, warnings(0, 1, fixed, sizeof(fixed)), "rejected");
		not_told(&dev, VERSION, analog(0, &p, 1, 1), "rejected");
		device_free(&dev);
	}
}

static void warnings_of_another_number_of_cells_are_not_believed(void **unused)
{
	struct device dev = at(0);
	struct pack p = pack_16s();

	(void)unused;
	p.cells = 15;
	told(&dev, ANALOG, analog(0, &p, 1, 1));
	not_told(&dev, WARNINGS, warned(P1, 0), "another number of cells");
	device_free(&dev);
}

/* ---- identity and settings ---- */

static void the_version_is_split_at_its_last_dash(void **unused)
{
	struct device dev = at(1);

	(void)unused;
	told(&dev, VERSION, version(1));
	assert_string_equal(dev.reading.text[T_HARDWARE_VERSION], "P16S100A-1812-1.00");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "1.00");
	not_told(&dev, VERSION, reply(1, 0, "P16S100A-1812-1.00 ", 19), "no board version");
	not_told(&dev, VERSION,
		 reply(1, 0,
		       "P16S100A\x01"
		       "1812-1.00  ",
		       20),
		 "no board version");
	not_told(&dev, VERSION, reply(1, 0, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20), "no board version");
	device_free(&dev);
}

static void the_pack_serial_may_be_blank_or_absent(void **unused)
{
	struct device dev = at(1);

	(void)unused;
	told(&dev, PRODUCT, reply(1, 0, "1812101380309D      ", 20));
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "");
	assert_string_equal(settings_find(&dev.settings, "bms_serial")->text, "1812101380309D");
	told(&dev, PRODUCT, reply(1, 0, "1812101380309D      PACK7               ", 40));
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "PACK7");
	device_free(&dev);
}

static double setting(uint16_t code, const char *name, const char *rx)
{
	struct device dev = at(0);
	double value;

	told(&dev, code, rx);
	value = settings_number(&dev.settings, name);
	device_free(&dev);
	return value;
}

/* Replies of the vendor's PC program's session, sheet 8. */
static void parameters_are_scaled_as_the_sheet_says(void **unused)
{
	(void)unused;
	assert_true(setting(0xd1, "cell_ovp_V", REPLY(0, 0, 1, 0x0e, 0x10, 0x0e, 0x74, 0x0d, 0x34, 0x0a)) == 3.7);
	assert_true(setting(0xd1, "cell_ovp_delay_s", REPLY(0, 0, 1, 0x0e, 0x10, 0x0e, 0x74, 0x0d, 0x34, 0x0a)) == 1);
	assert_true(setting(0xd7, "pack_uvp_V", REPLY(0, 0, 1, 0xb3, 0xb0, 0xa7, 0xf8, 0xb5, 0x00, 0x0a)) == 43);
	assert_true(setting(0xdb, "discharge_ocp_A", REPLY(0, 0, 1, 0xff, 0x97, 0xff, 0x92, 0x0a)) == 110);
	assert_true(setting(0xe1, "mos_otp_C", REPLY(0, 0, 1, 0x0e, 0x2e, 0x0e, 0xf6, 0x0d, 0xfc)) == 110);
	assert_true(setting(0xe3, "discharge_ocp2_A", REPLY(0, 0, 0, 0x96, 4, 0, 0x96, 4)) == 150);
	assert_true(setting(0xe3, "discharge_ocp2_delay_s", REPLY(0, 0, 0, 0x96, 4, 0, 0x96, 4)) == 0.1);
	assert_true(fabs(setting(0xe5, "short_circuit_delay_us", REPLY(0, 0, 12)) - 300) < 1e-9);
	assert_true(setting(0xdf, "charge_utp_C",
			    REPLY(0, 0, 1, 0xa, 0xaa, 0xa, 0x78, 0xa, 0xaa, 0xa, 0x46, 0x9, 0xe2, 0xa, 0x14)) == -5);
	assert_true(setting(0xaf, "full_charge_A", REPLY(0, 0, 0xdb, 0x60, 0x07, 0xd0, 5)) == 2);
	assert_true(setting(0xaf, "low_soc_warn_pct", REPLY(0, 0, 0xdb, 0x60, 0x07, 0xd0, 5)) == 5);
	assert_true(setting(0xb6, "balance_trigger_V", REPLY(0, 0, 0x0d, 0x48, 0, 0x1e)) == 0.03);
	assert_true(setting(0xa0, "sleep_delay_min", REPLY(0, 0, 0x0c, 0x1c, 0, 5)) == 5);
	assert_true(setting(0xed, "limiter_start_A", REPLY(0, 0, 0, 100)) == 100);
}

static void a_parameter_of_wrong_length_is_not_believed(void **unused)
{
	struct device dev = at(0);

	(void)unused;
	not_told(&dev, 0xd1, REPLY(0, 0, 1, 0x0e, 0x10, 0x0e, 0x74, 0x0d, 0x34), "length of the reply");
	not_told(&dev, 0xe5, REPLY(0, 0, 12, 13), "length of the reply");
	not_told(&dev, 0xb1, REPLY(0, 0, 24, 8, 21, 5, 29), "length of the reply");
	assert_int_equal(dev.settings.count, 0);
	device_free(&dev);
}

static void clock_and_interfaces_are_texts(void **unused)
{
	struct device dev = at(0);

	(void)unused;
	told(&dev, 0xb1, REPLY(0, 0, 24, 8, 21, 5, 29, 31));
	assert_string_equal(settings_find(&dev.settings, "clock")->text, "2024-08-21 05:29:31");
	told(&dev, 0xeb, REPLY(0, 0, 1, 0xff, 0xff));
	assert_string_equal(settings_find(&dev.settings, "can_protocol")->text, "Pylon");
	assert_string_equal(settings_find(&dev.settings, "rs485_protocol")->text, "off");
	told(&dev, 0xeb, REPLY(0, 0, 0x77, 0, 1));
	assert_string_equal(settings_find(&dev.settings, "can_protocol")->text, "77");
	assert_string_equal(settings_find(&dev.settings, "protocol_choice")->text, "manual");
	device_free(&dev);
}

static void the_acknowledgement_of_somebody_elses_write_is_one(void **unused)
{
	struct device dev = at(0);
	const char *write = ascii_frame_hex((struct ascii_head){0x25, 0, 0x46, 0xd0},
					    (const uint8_t *)"\x01\x0e\x10\x0e\x74\x0d\x34\x0a", 8);

	(void)unused;
	assert_int_equal(play_tx(&dev, write, RX(reply(0, 0, NULL, 0)), NULL), EXCHANGE_ANSWERED);
	not_told(&dev, 0xd1, reply(0, 0, NULL, 0), "length of the reply");
	device_free(&dev);
}

/* ---- detection ---- */

static bool plausible_with(const struct pack *p, bool named)
{
	struct device dev = at(0);
	const char *why = NULL;

	if (named)
		told(&dev, VERSION, version(0));
	told(&dev, ANALOG, analog(0, p, 1, 1));
	bool is = dev.protocol->plausible(&dev, &why);
	assert_true(is || why);
	device_free(&dev);
	return is;
}

static void a_device_is_one_when_version_and_values_agree(void **unused)
{
	struct pack p = pack_16s();

	(void)unused;
	assert_true(plausible_with(&p, true));
	assert_false(plausible_with(&p, false));
	p.volts_mV = 54500; /* 3 % */
	assert_false(plausible_with(&p, true));
	p.volts_mV = 5292; /* in units of Seplos */
	assert_false(plausible_with(&p, true));
	p = pack_16s();
	p.cell_mV = 5200;
	p.volts_mV = 65535;
	assert_false(plausible_with(&p, true));
	p = pack_16s();
	p.cells = 2;
	p.cell_mV = 100;
	p.volts_mV = 201;
	assert_false(plausible_with(&p, true));
}

static void firmware_without_a_version_is_known_by_its_refusal(void **unused)
{
	struct device dev = at(0);
	struct pack p = pack_16s();
	const char *why;

	(void)unused;
	told(&dev, VERSION, reply(0, 4, NULL, 0));
	told(&dev, ANALOG, analog(0, &p, 1, 1));
	assert_true(dev.protocol->plausible(&dev, &why));
	device_free(&dev);
	/* Seplos and Pylontech refuse in a version of their own. */
	dev = at(0);
	assert_int_equal(
		play(&dev, VERSION, 0, RX(ascii_frame_hex((struct ascii_head){0x20, 0, 0x46, 4}, NULL, 0)), NULL),
		EXCHANGE_REFUSED);
	assert_false(dev.protocol->plausible(&dev, &why));
	device_free(&dev);
}

/* ---- commands: a board that keeps the rules of sheet 7 ---- */

struct board {
	uint8_t on;	 /* bit 1 charge, bit 2 discharge */
	int16_t current; /* > 0: charging */
	bool stuck, silent, mute_after;
};

static bool forbidden(const struct board *b, uint8_t cid2)
{
	bool charge = cid2 == CHARGE;

	return (charge ? b->current < 0 : b->current > 0) || b->on != 6;
}

static size_t answer(void *ctx, struct bytes request, uint8_t *rx)
{
	struct board *b = ctx;
	struct ascii_head head;
	uint8_t in[8] = {0}, out[2 + 36] = {0, 1, 16};
	size_t n = 1;

	ascii_frame_open(request.p, request.n, &head, in, sizeof(in));
	uint8_t bit = head.code == CHARGE ? 2 : 4, cid2 = head.code;
	head.code = 0;
	if (b->silent)
		return 0;
	if (cid2 == WARNINGS) {
		out[2 + 1 + 16] = 6;
		out[2 + 1 + 16 + 1 + 6 + INSTRUCTION] = b->on;
		n = sizeof(out);
		if (b->mute_after)
			return 0;
	} else if (in[0] == 1 && forbidden(b, cid2)) {
		head.code = 9;
		out[0] = b->on;
	} else {
		if (!b->stuck)
			b->on = in[0] ? b->on & (uint8_t)~bit : b->on | bit;
		out[0] = b->on;
	}
	return ascii_frame(head, out, n, (char *)rx);
}

static struct act do_it(enum command_kind kind, bool on, struct board *b)
{
	struct device dev = at(0);
	struct command c = {kind, on, false};
	struct act a = act(&dev, &c, answer, b);

	device_free(&dev);
	return a;
}

static void a_switch_is_thrown_and_read_back(void **unused)
{
	struct board b = {.on = 6};
	struct act a = do_it(COMMAND_CHARGE, false, &b);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "charge MOS reads back off");
	assert_string_equal(a.writes, text_hex("~2500469AE00201FD1D\r"));
	assert_int_equal(b.on, 4);
	a = do_it(COMMAND_CHARGE, true, &b);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.writes, text_hex("~2500469AE00200FD1E\r"));
	a = do_it(COMMAND_DISCHARGE, false, &b);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.writes, text_hex("~2500469BE00201FD1C\r"));
	a = do_it(COMMAND_DISCHARGE, true, &b);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(b.on, 6);
}

static void what_the_firmware_refuses_is_said_with_its_rule(void **unused)
{
	struct board b = {.on = 4};
	struct act a = do_it(COMMAND_DISCHARGE, false, &b);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_non_null(strstr(a.outcome.say, "charge MOS off"));
	assert_int_equal(b.on, 4);
	b = (struct board){.on = 6, .current = -500};
	a = do_it(COMMAND_CHARGE, false, &b);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_non_null(strstr(a.outcome.say, "while it discharges"));
	b = (struct board){.on = 6, .current = 500};
	a = do_it(COMMAND_DISCHARGE, false, &b);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_int_equal(b.on, 6);
}

static void a_switch_that_does_not_follow_is_not_confirmed(void **unused)
{
	struct board b = {.on = 6, .stuck = true};
	struct act a = do_it(COMMAND_CHARGE, false, &b);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the charge MOS reads back on");
	b = (struct board){.on = 4, .stuck = true};
	a = do_it(COMMAND_CHARGE, true, &b);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	b = (struct board){.on = 6, .mute_after = true};
	a = do_it(COMMAND_CHARGE, false, &b);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	b = (struct board){.on = 6, .silent = true};
	a = do_it(COMMAND_CHARGE, false, &b);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
}

static void a_pack_behind_its_master_takes_no_command(void **unused)
{
	struct device dev = fresh_device("pace", 2, BY_NUMBER);
	struct command c = {COMMAND_CHARGE, 0, false};
	struct board b = {.on = 6};
	struct act a = act(&dev, &c, answer, &b);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_int_equal(a.requests, 0);
	device_free(&dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_those_of_the_sheet),
		cmocka_unit_test(a_master_is_asked_for_the_others_and_only_for_their_values),
		cmocka_unit_test(only_switch_commands_write_and_dangerous_ones_do_not_exist),
		cmocka_unit_test(recorded_requests_are_recognised),
		cmocka_unit_test(the_example_of_the_sheet_is_read_as_it_says),
		cmocka_unit_test(the_currents_sign_is_bit_15),
		cmocka_unit_test(a_soc_tail_of_one_byte_is_read_whatever_the_user_items_say),
		cmocka_unit_test(the_gobel_tail_tells_soc_soh_and_the_bus_voltage),
		cmocka_unit_test(soc_is_unknown_where_the_full_capacity_is_0),
		cmocka_unit_test(eight_cells_with_four_sensors_have_no_mos_sensor),
		cmocka_unit_test(counts_that_do_not_fit_the_length_are_not_believed),
		cmocka_unit_test(each_pack_takes_its_own_block),
		cmocka_unit_test(only_a_reply_about_all_tells_of_further_packs),
		cmocka_unit_test(packs_of_different_size_are_told_apart),
		cmocka_unit_test(a_pack_that_is_registered_but_offline_tells_nothing),
		cmocka_unit_test(the_block_of_another_number_is_no_answer),
		cmocka_unit_test(a_count_of_packs_makes_a_master),
		cmocka_unit_test(frames_of_others_and_damaged_ones_are_no_answer),
		cmocka_unit_test(noise_echo_and_a_glued_frame_are_no_matter),
		cmocka_unit_test(a_14s_board_may_answer_with_another_class),
		cmocka_unit_test(a_wrong_length_field_is_forgiven_where_the_board_is_known),
		cmocka_unit_test(a_refusal_says_why),
		cmocka_unit_test(every_alarm_bit_raises_its_alarm),
		cmocka_unit_test(what_is_no_alarm_raises_none),
		cmocka_unit_test(switches_and_permissions_follow_the_bits),
		cmocka_unit_test(every_balancing_bit_is_its_cell),
		cmocka_unit_test(the_first_bad_cell_and_sensor_are_named),
		cmocka_unit_test(a_byte_more_behind_the_warnings_is_no_matter_but_many_are),
		cmocka_unit_test(values_are_not_taken_for_warnings_nor_warnings_for_values),
		cmocka_unit_test(warnings_of_another_number_of_cells_are_not_believed),
		cmocka_unit_test(the_version_is_split_at_its_last_dash),
		cmocka_unit_test(the_pack_serial_may_be_blank_or_absent),
		cmocka_unit_test(parameters_are_scaled_as_the_sheet_says),
		cmocka_unit_test(a_parameter_of_wrong_length_is_not_believed),
		cmocka_unit_test(clock_and_interfaces_are_texts),
		cmocka_unit_test(the_acknowledgement_of_somebody_elses_write_is_one),
		cmocka_unit_test(a_device_is_one_when_version_and_values_agree),
		cmocka_unit_test(firmware_without_a_version_is_known_by_its_refusal),
		cmocka_unit_test(a_switch_is_thrown_and_read_back),
		cmocka_unit_test(what_the_firmware_refuses_is_said_with_its_rule),
		cmocka_unit_test(a_switch_that_does_not_follow_is_not_confirmed),
		cmocka_unit_test(a_pack_behind_its_master_takes_no_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
