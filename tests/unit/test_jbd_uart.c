/* SPDX-License-Identifier: GPL-3.0-or-later */
/* jbd-uart on frames constructed from its sheet. */
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

enum { STANDARD, ADDRESSED };
enum {
	READ = 0xa500,
	WRITE = 0x5a00,
	BASIC = READ | 0x03,
	CELLS = READ | 0x04,
	NAME = READ | 0x05,
	BLOCK = READ | 0xfa
};

/* ---- frames ---- */

static uint16_t negated_sum(const uint8_t *p, size_t n)
{
	uint16_t sum = 0;

	while (n--)
		sum = (uint16_t)(sum - *p++);
	return sum;
}

/* A reply of the standard dialect; its length. */
static size_t fill(uint8_t *f, uint8_t reg, uint8_t status, const void *payload, size_t n)
{
	f[0] = 0xdd;
	f[1] = reg;
	f[2] = status;
	f[3] = (uint8_t)n;
	if (n)
		memcpy(f + 4, payload, n);
	put_u16be(f + 4 + n, negated_sum(f + 2, n + 2));
	f[n + 6] = 0x77;
	return n + 7;
}

static size_t fill_addressed(uint8_t *f, uint8_t address, uint8_t reg, uint8_t status, const void *payload, size_t n)
{
	f[1] = address;
	fill(f + 1, reg, status, payload, n);
	f[0] = 0xdd;
	f[1] = address;
	put_u16be(f + 5 + n, negated_sum(f + 1, n + 4));
	return n + 8;
}

static const char *hex_of(const uint8_t *f, size_t n)
{
	static char hex[8][600];
	static unsigned next;

	next = (next + 1) % 8;
	bytes_hex((struct bytes){f, n}, hex[next], sizeof(hex[next]));
	return hex[next];
}

static const char *reply(uint8_t reg, uint8_t status, const void *payload, size_t n)
{
	uint8_t f[300];

	return hex_of(f, fill(f, reg, status, payload, n));
}

#define REPLY(reg, ...) reply(reg, 0, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* What register 03 says; everything else of it is derived from here. */
struct basic {
	uint16_t centi_V, remaining, full, cycles, date, protection;
	int16_t current;
	uint32_t balancing;
	uint8_t version, soc, fet, cells, ntc;
	uint16_t kelvin[8];
	uint8_t tail[16];
	size_t tail_n;
};

static struct basic pack_16s(void)
{
	return (struct basic){.centi_V = 5280,
			      .remaining = 5000,
			      .full = 10000,
			      .cycles = 7,
			      .version = 0x23,
			      .soc = 50,
			      .fet = 3,
			      .cells = 16,
			      .ntc = 2,
			      .kelvin = {2981, 2931}};
}

static size_t basic_payload(const struct basic *b, uint8_t *p)
{
	size_t n = 23;

	put_u16be(p, b->centi_V);
	put_u16be(p + 2, (uint16_t)b->current);
	put_u16be(p + 4, b->remaining);
	put_u16be(p + 6, b->full);
	put_u16be(p + 8, b->cycles);
	put_u16be(p + 10, b->date);
	put_u16be(p + 12, (uint16_t)b->balancing);
	put_u16be(p + 14, (uint16_t)(b->balancing >> 16));
	put_u16be(p + 16, b->protection);
	p[18] = b->version;
	p[19] = b->soc;
	p[20] = b->fet;
	p[21] = b->cells;
	p[22] = b->ntc;
	for (unsigned i = 0; i < b->ntc && i < 8; i++, n += 2)
		put_u16be(p + n, b->kelvin[i]);
	memcpy(p + n, b->tail, b->tail_n);
	return n + b->tail_n;
}

static const char *basic_reply(const struct basic *b)
{
	uint8_t p[96];

	return reply(0x03, 0, p, basic_payload(b, p));
}

static void told(struct device *dev, uint16_t code, uint16_t arg, const char *rx)
{
	assert_int_equal(play(dev, code, arg, RX(rx), NULL), EXCHANGE_ANSWERED);
}

static struct device told_basic(const struct basic *b)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);

	told(&dev, BASIC, 0, basic_reply(b));
	return dev;
}

/* count words of mV from 3201 on; the last zeros of them are 0 */
static const char *cells_reply(unsigned count, unsigned zeros)
{
	uint8_t p[80];

	for (unsigned i = 0; i < count; i++)
		put_u16be(p + 2 * i, (uint16_t)(i + zeros < count ? 3201 + i : 0));
	return reply(0x04, 0, p, 2 * count);
}

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);

	(void)unused;
	assert_string_equal(request_hex(&dev, BASIC, 0), "dda50300fffd77");
	assert_string_equal(request_hex(&dev, NAME, 0), "dda50500fffb77");
	assert_string_equal(request_hex(&dev, BLOCK, 1 << 8 | 2), "dda5fa03000102ff0077");
	assert_string_equal(request_hex(&dev, WRITE | 0xe1, 1), "dd5ae1020001ff1c77");
	assert_string_equal(request_hex(&dev, WRITE | 0x00, 0x5678), "dd5a00025678ff3077");
	assert_string_equal(request_hex(&dev, WRITE | 0x01, 0), "dd5a01020000fffd77");
	assert_string_equal(request_hex(&dev, WRITE | 0x06, 0), "dd5a060706000000000000ffed77");
	assert_string_equal(request_hex(&dev, WRITE | 0xfb, 0x0101), "dd5afb020101ff0177");
	assert_string_equal(request_hex(&dev, WRITE | 0xe0, 15000), "dd5ae0023a98fe4c77");
	dev.dialect = ADDRESSED;
	assert_string_equal(request_hex(&dev, BASIC, 0), "dd00a50300ff5877");
	device_free(&dev);
}

static void only_commands_are_marked_as_writes(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	const struct protocol *p = dev.protocol;
	struct request request;

	(void)unused;
	for (unsigned r = 0; r < p->poll_count; r++) {
		assert_true(p->encode(&dev, p->polls[r].code, p->polls[r].arg, &request));
		assert_false(request.writes);
	}
	assert_true(p->encode(&dev, WRITE | 0x01, 0, &request));
	assert_true(request.writes);
	device_free(&dev);
}

static bool parse(const char *hex, struct request *out)
{
	uint8_t buf[300];
	int n = bytes_from_hex(hex, buf, sizeof(buf));

	return protocol_by_id("jbd-uart")->parse_request((struct bytes){buf, (size_t)n}, out);
}

static void recorded_requests_are_recognised(void **unused)
{
	struct request request;

	(void)unused;
	assert_true(parse("dda50300fffd77", &request));
	assert_int_equal(request.code, BASIC);
	assert_int_equal(request.dialect, STANDARD);
	assert_int_equal(request.address, 0);
	assert_false(request.writes);
	assert_true(parse("dda5fa03000102ff0077", &request));
	assert_int_equal(request.arg, 1 << 8 | 2);
	assert_true(parse("dd5ae1020003ff1a77", &request));
	assert_int_equal(request.code, WRITE | 0xe1);
	assert_int_equal(request.arg, 3);
	assert_true(request.writes);
	assert_true(parse("dd0fa50300ff4977", &request));
	assert_int_equal(request.dialect, ADDRESSED);
	assert_int_equal(request.address, 15);
	assert_true(parse("dd055ae1020002febc77", &request));
	assert_int_equal(request.address, 5);
	assert_int_equal(request.arg, 2);
	assert_true(parse("dda500020000fffe77", &request)); /* two dummy bytes, as the app sends them */
	assert_int_equal(request.code, READ);
	assert_true(parse("dda50300fffd7701020304", &request)); /* bytes that the board is to repeat */
	assert_int_equal(request.code, BASIC);
	assert_int_equal(request.n, 11);
}

static void what_is_no_request_is_not_recognised(void **unused)
{
	struct request request;

	(void)unused;
	assert_false(parse("dda50300fffe77", &request));		 /* checksum */
	assert_false(parse("dda50300fffd78", &request));		 /* end */
	assert_false(parse("dda50300fffd", &request));			 /* cut */
	assert_false(parse("dda50300fffd770102030405", &request));	 /* more than may follow */
	assert_false(parse("dd0400080f450f3d0f370f3dfec677", &request)); /* a reply */
	assert_false(parse("dd", &request));
}

static void no_password_is_kept(void **unused)
{
	static const char *const with_password[] = {
		"dd5a0607060706050802 08ffc977",
		"dd5a07 0d 0c 313233343536 363534333231",
		"dd5a0907064a3142324434fe8377",
	};
	struct request request;

	(void)unused;
	for (int i = 0; i < 3; i++) {
		uint8_t f[64];
		int n = bytes_from_hex(with_password[i], f, sizeof(f));

		if (i == 1) { /* the sheet gives no checksum for it */
			put_u16be(f + n, negated_sum(f + 2, (size_t)n - 2));
			f[n + 2] = 0x77;
			n += 3;
		}
		assert_true(parse(hex_of(f, (size_t)n), &request));
		assert_true(request.writes);
		assert_int_equal(request.arg, 0);
		for (int k = 4; k < n - 3; k++)
			assert_int_equal(request.tx[k], 0);
	}
}

/* ---- frames ---- */

static void a_wrong_checksum_is_dropped(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, CELLS, 0, RX("dd0400080f450f3d0f370f3dfec577"), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: checksum");
	assert_false(dev.reading.cell_V.reported);
	device_free(&dev);
}

static void a_wrong_end_byte_is_dropped(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, CELLS, 0, RX("dd0400080f450f3d0f370f3dfec678"), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: end byte is not 77");
	device_free(&dev);
}

static void a_reply_to_another_register_is_no_answer(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, BASIC, 0, RX("dd0400080f450f3d0f370f3dfec677"), error), EXCHANGE_FAILED);
	assert_string_equal(error, "no reply; 1 frame came that answers something else");
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	device_free(&dev);
}

static void a_late_reply_is_passed_over_and_the_right_one_taken(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	struct basic b = pack_16s();

	(void)unused;
	assert_int_equal(play(&dev, CELLS, 0, RX(basic_reply(&b), cells_reply(4, 0)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(dev.reading.cell_V.count, 4);
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	device_free(&dev);
}

static void noise_before_between_and_after_is_no_matter(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);

	(void)unused;
	assert_int_equal(play(&dev, CELLS, 0, RX("ffdd04", "00080f450f3d0f", "370f3dfec677ff"), NULL),
			 EXCHANGE_ANSWERED);
	assert_int_equal(dev.reading.cell_V.count, 4);
	assert_true(dev.reading.cell_V.value[0] == 3.909);
	device_free(&dev);
}

static void a_dd_inside_the_data_or_the_noise_is_no_matter(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	static const uint8_t cells[] = {0x0c, 0xdd, 0x0c, 0xdd};

	(void)unused;
	told(&dev, CELLS, 0, reply(0x04, 0, cells, sizeof(cells)));
	assert_true(dev.reading.cell_V.value[1] == 3.293);
	assert_int_equal(play(&dev, CELLS, 0, RX("dddddd", reply(0x04, 0, cells, sizeof(cells))), NULL),
			 EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void a_frame_cut_short_is_no_answer(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, CELLS, 0, RX("dd0400080f450f3d0f370f3dfec6"), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: frame cut short");
	assert_int_equal(play(&dev, CELLS, 0, RX("dd04"), error), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, CELLS, 0, RX("dd040008", cells_reply(4, 0)), NULL), EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void pieces_of_a_frame_may_come_50_ms_apart(void **unused)
{
	static struct exchange x;
	static struct line_stats stats;
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	struct request request;
	uint8_t f[64];
	int n = bytes_from_hex(cells_reply(4, 0), f, sizeof(f));

	(void)unused;
	assert_true(dev.protocol->encode(&dev, CELLS, 0, &request));
	exchange_begin(&x, &dev, &request, &stats, 0, 7);
	for (int i = 0; i < n; i += 3) {
		uint64_t now = 100 + (uint64_t)i / 3 * 50;

		exchange_tick(&x, now);
		exchange_receive(&x, (struct bytes){f + i, (size_t)(n - i < 3 ? n - i : 3)}, now);
	}
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void bytes_repeated_behind_the_end_are_no_matter(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	char rx[200];

	(void)unused;
	snprintf(rx, sizeof(rx), "%s01020304", cells_reply(4, 0));
	told(&dev, CELLS, 0, rx);
	device_free(&dev);
}

static void a_length_above_96_is_no_frame(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	uint8_t p[200] = {0};

	(void)unused;
	assert_int_equal(play(&dev, CELLS, 0, RX(reply(0x04, 0, p, 98), cells_reply(4, 0)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(dev.reading.cell_V.count, 4);
	/* 96 is one */
	char error[128];

	assert_int_equal(play(&dev, CELLS, 0, RX(reply(0x04, 0, p, 96)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: length of register 04");
	device_free(&dev);
	dev = fresh_device("jbd-uart", 3, ADDRESSED);
	uint8_t f[200];

	assert_int_equal(play(&dev, CELLS, 0, RX(hex_of(f, fill_addressed(f, 3, 0x04, 0, p, 96))), error),
			 EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: length of register 04");
	device_free(&dev);
}

static void every_refusal_says_why(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, READ | 0x47, 0, RX("dd478000ff8077"), error), EXCHANGE_REFUSED);
	assert_string_equal(error, "no such register or command (status 80)");
	assert_int_equal(play(&dev, READ | 0x24, 0, RX("dd248100ff7f77"), error), EXCHANGE_REFUSED);
	assert_string_equal(error, "not allowed now: factory mode or a password is needed (status 81)");
	assert_int_equal(play(&dev, READ | 0x24, 0, RX(reply(0x24, 0x82, NULL, 0)), error), EXCHANGE_REFUSED);
	assert_string_equal(error, "the board found our checksum wrong (status 82)");
	assert_int_equal(play(&dev, READ | 0x24, 0, RX(reply(0x24, 0x83, NULL, 0)), error), EXCHANGE_REFUSED);
	assert_string_equal(error, "wrong password (status 83)");
	/* no status that the sheet knows */
	assert_int_equal(play(&dev, READ | 0x24, 0, RX(reply(0x24, 0x84, NULL, 0)), error), EXCHANGE_FAILED);
	device_free(&dev);
}

static void a_refusal_with_a_wrong_checksum_is_still_a_refusal(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);

	(void)unused;
	assert_int_equal(play(&dev, READ | 0x24, 0, RX("dd2481001234 77"), NULL), EXCHANGE_REFUSED);
	device_free(&dev);
}

static void the_echo_of_an_adapter_is_no_reply(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, BASIC, 0, RX("dda50300fffd77"), error), EXCHANGE_FAILED);
	assert_string_equal(error, "no reply, only our own bytes came back");
	assert_int_equal(play(&dev, BASIC, 0, RX("ff", "dda50300fffd77"), NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

static void an_acknowledgement_is_no_reading_and_a_reading_no_acknowledgement(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);

	(void)unused;
	assert_int_equal(play(&dev, READ | 0x2d, 0, RX("dd2d0000000077"), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, WRITE | 0x2d, 4, RX(REPLY(0x2d, 0, 4)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, WRITE | 0x2d, 4, RX("dd2d0000000077"), NULL), EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void the_addressed_dialect_answers_for_its_own_address_alone(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 3, ADDRESSED);
	static const uint8_t cells[] = {0x0d, 0xab, 0x0d, 0xa4};
	uint8_t f[64];
	size_t n = fill_addressed(f, 3, 0x04, 0, cells, sizeof(cells));

	(void)unused;
	assert_int_equal(play(&dev, CELLS, 0, RX(hex_of(f, n)), NULL), EXCHANGE_ANSWERED);
	assert_true(dev.reading.cell_V.value[0] == 3.499);
	assert_true(reading_get(&dev.reading, Q_ADDRESS) == 3);
	n = fill_addressed(f, 4, 0x04, 0, cells, sizeof(cells));
	assert_int_equal(play(&dev, CELLS, 0, RX(hex_of(f, n)), NULL), EXCHANGE_FAILED);
	/* summed as the standard dialect does, without the register */
	n = fill_addressed(f, 3, 0x04, 0, cells, sizeof(cells));
	put_u16be(f + n - 3, negated_sum(f + 3, sizeof(cells) + 2));
	assert_int_equal(play(&dev, CELLS, 0, RX(hex_of(f, n)), NULL), EXCHANGE_FAILED);
	/* a standard frame */
	assert_int_equal(play(&dev, CELLS, 0, RX(reply(0x04, 0, cells, sizeof(cells))), NULL), EXCHANGE_FAILED);
	n = fill_addressed(f, 3, 0x04, 0x80, NULL, 0);
	assert_int_equal(play(&dev, CELLS, 0, RX(hex_of(f, n)), NULL), EXCHANGE_REFUSED);
	f[n - 2] ^= 1;
	assert_int_equal(play(&dev, CELLS, 0, RX(hex_of(f, n)), NULL), EXCHANGE_REFUSED);
	device_free(&dev);
}

/* ---- register 03 ---- */

static void register_03_is_decoded(void **unused)
{
	struct basic b = pack_16s();

	(void)unused;
	b.current = -2012;
	b.date = 24 << 9 | 2 << 5 | 29;
	struct device dev = told_basic(&b);
	const struct reading *r = &dev.reading;

	assert_true(reading_get(r, Q_VOLTAGE_V) == 52.8);
	assert_true(reading_get(r, Q_CURRENT_A) == -20.12);
	assert_true(reading_get(r, Q_CAPACITY_REMAINING_AH) == 50);
	assert_true(reading_get(r, Q_CAPACITY_FULL_AH) == 100);
	assert_false(reading_knows(r, Q_CAPACITY_DESIGN_AH));
	assert_true(reading_get(r, Q_CYCLES) == 7);
	assert_true(reading_get(r, Q_SOC_PCT) == 50);
	assert_true(reading_get(r, Q_CELL_COUNT) == 16);
	assert_string_equal(r->text[T_PRODUCTION_DATE], "2024-02-29");
	assert_string_equal(r->text[T_FIRMWARE_VERSION], "2.3");
	assert_int_equal(r->temperatures.count, 2);
	assert_true(r->temperatures.value[1] == 20);
	assert_true(reading_get(r, Q_TEMP_MOS_C) == 25);
	assert_false(reading_knows(r, Q_BALANCE_CURRENT_A));
	assert_false(reading_knows(r, Q_ADDRESS));
	device_free(&dev);
}

static void no_date_is_no_date(void **unused)
{
	static const uint16_t none[] = {0, 24 << 9 | 0 << 5 | 29, 24 << 9 | 13 << 5 | 29, 24 << 9 | 2 << 5};

	(void)unused;
	struct basic december = pack_16s();

	december.date = 23 << 9 | 12 << 5 | 31;
	struct device last = told_basic(&december);
	assert_string_equal(last.reading.text[T_PRODUCTION_DATE], "2023-12-31");
	device_free(&last);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		struct basic b = pack_16s();

		b.date = none[i];
		struct device dev = told_basic(&b);
		assert_string_equal(dev.reading.text[T_PRODUCTION_DATE], "");
		device_free(&dev);
	}
}

static void every_bit_of_the_fet_byte_is_told(void **unused)
{
	struct basic b = pack_16s();

	(void)unused;
	for (unsigned fet = 0; fet < 16; fet++) {
		b.fet = (uint8_t)fet;
		struct device dev = told_basic(&b);
		const struct reading *r = &dev.reading;

		assert_int_equal(reading_flag(r, F_CHARGE_MOS), fet & 1 ? ON : OFF);
		assert_int_equal(reading_flag(r, F_CHARGE_ALLOWED), fet & 1 ? ON : OFF);
		assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), fet & 2 ? ON : OFF);
		assert_int_equal(reading_flag(r, F_DISCHARGE_ALLOWED), fet & 2 ? ON : OFF);
		assert_true(reading_detail(r, "current_limiter_on") == (fet & 4 ? 1 : 0));
		assert_int_equal(reading_flag(r, F_HEATER_ON), fet & 8 ? ON : OFF);
		device_free(&dev);
	}
}

static void bit_7_of_the_fet_byte_means_tenths(void **unused)
{
	struct basic b = pack_16s();

	(void)unused;
	b.fet = 0x83;
	b.current = -2012;
	struct device dev = told_basic(&b);
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == -201.2);
	assert_true(reading_get(&dev.reading, Q_CAPACITY_REMAINING_AH) == 500);
	assert_true(reading_get(&dev.reading, Q_CAPACITY_FULL_AH) == 1000);
	device_free(&dev);
}

static void tails_of_every_length_give_what_lies_in_them(void **unused)
{
	/* humidity 55, alarm word, learned 273.02 Ah, remaining again, 0.48 A */
	static const uint8_t tail[16] = {55, 0x08, 0x02, 0x6a, 0xa6, 0x13, 0x94, 0x01, 0xe0, 0, 0, 0x19};
	static const size_t length[] = {0, 3, 7, 9, 16};

	(void)unused;
	for (size_t i = 0; i < 5; i++) {
		struct basic b = pack_16s();

		b.tail_n = length[i];
		memcpy(b.tail, tail, length[i]);
		struct device dev = told_basic(&b);
		const struct reading *r = &dev.reading;
		bool has = length[i] >= 7;

		assert_int_equal(!isnan(reading_detail(r, "humidity_pct")), has);
		assert_int_equal(r->alarms.level[ALARM_LOW_SOC], has ? ALARM_WARNING : ALARM_OK);
		assert_int_equal(r->alarms.level[ALARM_LOW_CELL_VOLTAGE], has ? ALARM_WARNING : ALARM_OK);
		assert_true(reading_get(r, Q_CAPACITY_FULL_AH) == (has ? 273.02 : 100));
		assert_int_equal(reading_knows(r, Q_CAPACITY_DESIGN_AH), has);
		assert_int_equal(reading_knows(r, Q_BALANCE_CURRENT_A), length[i] >= 9);
		if (length[i] >= 9)
			assert_true(reading_get(r, Q_BALANCE_CURRENT_A) == 0.48);
		assert_true(reading_get(r, Q_CAPACITY_REMAINING_AH) == 50);
		device_free(&dev);
	}
}

static void a_learned_capacity_of_0_is_not_given(void **unused)
{
	struct basic b = pack_16s();

	(void)unused;
	b.tail_n = 9;
	struct device dev = told_basic(&b);
	assert_true(reading_get(&dev.reading, Q_CAPACITY_FULL_AH) == 100);
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_DESIGN_AH));
	device_free(&dev);
}

static void without_sensors_there_are_no_temperatures(void **unused)
{
	struct basic b = pack_16s();

	(void)unused;
	b.ntc = 0;
	struct device dev = told_basic(&b);
	assert_true(dev.reading.temperatures.reported);
	assert_int_equal(dev.reading.temperatures.count, 0);
	assert_false(reading_knows(&dev.reading, Q_TEMP_MOS_C));
	device_free(&dev);
}

static void a_single_sensor_is_in_the_battery_and_0_kelvin_is_none(void **unused)
{
	struct basic b = pack_16s();
	struct device dev = told_basic(&b);

	(void)unused;
	assert_true(reading_knows(&dev.reading, Q_TEMP_MOS_C));
	b.ntc = 1;
	told(&dev, BASIC, 0, basic_reply(&b));
	assert_false(reading_knows(&dev.reading, Q_TEMP_MOS_C));
	b.ntc = 3;
	b.kelvin[0] = 0;
	told(&dev, BASIC, 0, basic_reply(&b));
	assert_false(series_knows(&dev.reading.temperatures, 0));
	assert_true(series_knows(&dev.reading.temperatures, 1));
	assert_false(reading_knows(&dev.reading, Q_TEMP_MOS_C));
	device_free(&dev);
}

static void what_can_not_be_is_not_believed(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	struct basic b = pack_16s();
	char error[128];
	uint8_t p[96];

	(void)unused;
	assert_int_equal(play(&dev, BASIC, 0, RX(reply(0x03, 0, p, basic_payload(&b, p) - 1)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: register 03 too short");
	assert_int_equal(play(&dev, BASIC, 0, RX(reply(0x03, 0, p, 22)), NULL), EXCHANGE_FAILED);
	b.cells = 0;
	assert_int_equal(play(&dev, BASIC, 0, RX(basic_reply(&b)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: cell count outside 1..32");
	b.cells = 33;
	assert_int_equal(play(&dev, BASIC, 0, RX(basic_reply(&b)), NULL), EXCHANGE_FAILED);
	b = pack_16s();
	b.soc = 101;
	assert_int_equal(play(&dev, BASIC, 0, RX(basic_reply(&b)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: SoC above 100 %");
	b = pack_16s();
	b.ntc = 9;
	b.tail_n = 16;
	assert_int_equal(play(&dev, BASIC, 0, RX(basic_reply(&b)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: more than 8 temperature sensors");
	assert_int_equal(dev.reading.known, 0);
	assert_false(dev.reading.alarms.known);
	b = pack_16s();
	b.cells = 1;
	told(&dev, BASIC, 0, basic_reply(&b));
	b.cells = 32;
	b.soc = 100;
	b.ntc = 8;
	told(&dev, BASIC, 0, basic_reply(&b));
	device_free(&dev);
}

static void the_addressed_dialect_has_its_temperatures_elsewhere(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, ADDRESSED);
	struct basic b = pack_16s();
	uint8_t p[96], f[120];

	(void)unused;
	b.ntc = 0;
	basic_payload(&b, p);
	memset(p + 22, 0, 2);
	put_u16be(p + 24, 2999);
	put_u16be(p + 26, 2984);
	p[28] = 2;
	put_u16be(p + 29, 2992);
	put_u16be(p + 31, 2997);
	told(&dev, BASIC, 0, hex_of(f, fill_addressed(f, 0, 0x03, 0, p, 33)));
	assert_true(reading_get(&dev.reading, Q_TEMP_MOS_C) == 26.8);
	assert_true(reading_get(&dev.reading, Q_TEMP_AMBIENT_C) == 25.3);
	assert_int_equal(dev.reading.temperatures.count, 2);
	assert_true(dev.reading.temperatures.value[1] == 26.6);
	assert_int_equal(play(&dev, BASIC, 0, RX(hex_of(f, fill_addressed(f, 0, 0x03, 0, p, 32))), NULL),
			 EXCHANGE_FAILED);
	device_free(&dev);
}

/* ---- balancing ---- */

static void balancing_bits_begin_with_cell_1(void **unused)
{
	struct basic b = pack_16s();

	(void)unused;
	b.cells = 24;
	b.balancing = 1u | 1u << 15 | 1u << 16 | 1u << 23 | 1u << 24;
	struct device dev = told_basic(&b);
	assert_true(dev.reading.balancing == (1u | 1u << 15 | 1u << 16 | 1u << 23)); /* there is no cell 25 */
	assert_true(dev.reading.balancing_known);
	device_free(&dev);
}

static void balancing_is_held_over_the_pauses_between_odd_and_even_cells(void **unused)
{
	struct basic b = pack_16s(), quiet = pack_16s();

	(void)unused;
	b.balancing = 4;
	struct device dev = told_basic(&quiet);
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), OFF);
	told(&dev, BASIC, 0, basic_reply(&b));
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), ON);
	told(&dev, BASIC, 0, basic_reply(&quiet));
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), ON);
	assert_true(dev.reading.balancing == 0); /* the cells are those of this moment */
	told(&dev, BASIC, 0, basic_reply(&quiet));
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), ON);
	told(&dev, BASIC, 0, basic_reply(&quiet));
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), OFF);
	device_free(&dev);
}

/* ---- alarms ---- */

static const char *level_of(const struct alarms *a, const char *name)
{
	enum alarm known = alarm_by_name(name);

	if (known != ALARM_COUNT)
		return alarm_level_name((enum alarm_level)a->level[known]);
	for (unsigned i = 0; i < a->own_count; i++)
		if (!strcmp(a->own[i].name, name))
			return alarm_level_name(a->own[i].level);
	return "ok";
}

static void every_protection_bit_alone_means_what_the_sheet_says(void **unused)
{
	static const char *const meaning[16][2] = {
		{"high_cell_voltage"},
		{"low_cell_voltage"},
		{"high_voltage"},
		{"low_voltage"},
		{"high_charge_temperature"},
		{"low_charge_temperature"},
		{"high_temperature"},
		{"low_temperature"},
		{"high_charge_current"},
		{"high_discharge_current"},
		{"short_circuit", "high_discharge_current"},
		{"internal_failure"},
		{NULL},
		{"internal_failure", "charge_mos_fault"},
		{"internal_failure", "discharge_mos_fault"},
		{NULL},
	};

	(void)unused;
	for (unsigned bit = 0; bit < 16; bit++) {
		struct basic b = pack_16s();

		b.protection = (uint16_t)(1u << bit);
		struct device dev = told_basic(&b);
		const struct alarms *a = &dev.reading.alarms;
		unsigned n = 0;

		for (; n < 2 && meaning[bit][n]; n++)
			assert_string_equal(level_of(a, meaning[bit][n]), "alarm");
		assert_int_equal(alarms_raised(a), n);
		assert_true(a->known);
		assert_true(reading_detail(&dev.reading, "mos_software_lock") == (bit == 12));
		device_free(&dev);
	}
}

static void every_warning_bit_alone_means_what_the_sheet_says(void **unused)
{
	static const char *const meaning[16] = {
		"high_cell_voltage",	   "low_cell_voltage",	     "high_voltage",	 "low_voltage",
		"high_charge_temperature", "low_charge_temperature", "high_temperature", "low_temperature",
		"high_charge_current",	   "high_discharge_current", "cell_imbalance",	 "low_soc",
	};

	(void)unused;
	for (unsigned bit = 0; bit < 16; bit++) {
		struct basic b = pack_16s();

		b.tail_n = 9;
		put_u16be(b.tail + 1, (uint16_t)(1u << bit));
		struct device dev = told_basic(&b);
		const struct alarms *a = &dev.reading.alarms;

		if (meaning[bit])
			assert_string_equal(level_of(a, meaning[bit]), "warning");
		assert_int_equal(alarms_raised(a), meaning[bit] ? 1 : 0);
		device_free(&dev);
	}
}

static void a_warning_never_lowers_a_protection(void **unused)
{
	struct basic b = pack_16s();

	(void)unused;
	b.protection = 1;
	b.tail_n = 9;
	put_u16be(b.tail + 1, 1);
	struct device dev = told_basic(&b);
	assert_string_equal(level_of(&dev.reading.alarms, "high_cell_voltage"), "alarm");
	b.protection = 0;
	b.tail[2] = 0;
	told(&dev, BASIC, 0, basic_reply(&b));
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	device_free(&dev);
}

static void the_alarms_it_raises_are_those_it_announces(void **unused)
{
	struct basic b = pack_16s();

	(void)unused;
	b.protection = 0xffff;
	b.tail_n = 9;
	put_u16be(b.tail + 1, 0xffff);
	struct device dev = told_basic(&b);
	for (unsigned i = 0; i < ALARM_COUNT; i++)
		assert_int_equal(dev.reading.alarms.level[i] != ALARM_OK, dev.protocol->alarms >> i & 1);
	device_free(&dev);
}

/* ---- the other registers ---- */

static void one_word_more_than_cells_is_left_out(void **unused)
{
	struct basic b = pack_16s();
	struct device dev = told_basic(&b);

	(void)unused;
	told(&dev, CELLS, 0, cells_reply(17, 1));
	assert_int_equal(dev.reading.cell_V.count, 16);
	assert_true(dev.reading.cell_V.value[15] == 3.216);
	assert_true(reading_get(&dev.reading, Q_CELL_COUNT) == 16);
	device_free(&dev);
}

static void a_cell_that_is_counted_but_not_there_is_left_out(void **unused)
{
	struct basic b = pack_16s();

	(void)unused;
	b.centi_V = 4813; /* what the 15 cells add up to, with a little loss */
	struct device dev = told_basic(&b);
	told(&dev, CELLS, 0, cells_reply(16, 1));
	assert_int_equal(dev.reading.cell_V.count, 15);
	assert_true(reading_get(&dev.reading, Q_CELL_COUNT) == 15);
	told(&dev, BASIC, 0, basic_reply(&b));
	assert_true(reading_get(&dev.reading, Q_CELL_COUNT) == 15);
	told(&dev, CELLS, 0, cells_reply(16, 1));
	assert_int_equal(dev.reading.cell_V.count, 15);
	/* it was only a bad start: all cells are there */
	b.centi_V = 5134;
	told(&dev, CELLS, 0, cells_reply(16, 0));
	told(&dev, BASIC, 0, basic_reply(&b));
	told(&dev, CELLS, 0, cells_reply(16, 0));
	assert_int_equal(dev.reading.cell_V.count, 16);
	assert_true(reading_get(&dev.reading, Q_CELL_COUNT) == 16);
	device_free(&dev);
}

static void a_cell_with_its_wire_off_stays_a_cell(void **unused)
{
	struct basic b = pack_16s();
	struct device dev = told_basic(&b); /* 52.8 V: more than the 15 others */

	(void)unused;
	told(&dev, CELLS, 0, cells_reply(16, 1));
	assert_int_equal(dev.reading.cell_V.count, 16);
	assert_true(dev.reading.cell_V.value[15] == 0);
	assert_true(reading_get(&dev.reading, Q_CELL_COUNT) == 16);
	device_free(&dev);
}

static void an_impossible_number_of_cells_is_not_believed(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);

	(void)unused;
	assert_int_equal(play(&dev, CELLS, 0, RX(cells_reply(34, 0)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, CELLS, 0, RX(REPLY(0x04, 0x0c, 0x80, 0x0c)), NULL), EXCHANGE_FAILED);
	assert_false(dev.reading.cell_V.reported);
	told(&dev, CELLS, 0, cells_reply(33, 1));
	device_free(&dev);
}

static void names_are_cut_and_cleaned(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	static const char name[] = "JBD-SP24S003P24S40A-a-name-that-goes-on-and-on-beyond-all-measure";

	(void)unused;
	told(&dev, NAME, 0, reply(0x05, 0, name, strlen(name)));
	assert_int_equal(strlen(dev.reading.text[T_MODEL]), 39);
	assert_memory_equal(dev.reading.text[T_MODEL], name, 39);
	told(&dev, NAME, 0, reply(0x05, 0, " \xe6\x88\x91 AB\x01 ", 9));
	assert_string_equal(dev.reading.text[T_MODEL], "AB");
	told(&dev, NAME, 0, reply(0x05, 0, NULL, 0));
	assert_string_equal(dev.reading.text[T_MODEL], "");
	device_free(&dev);
}

static void counters_are_told_with_and_without_the_restarts(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	uint8_t p[24] = {0};

	(void)unused;
	for (unsigned i = 0; i < 12; i++)
		p[2 * i + 1] = (uint8_t)(i + 1);
	told(&dev, READ | 0xaa, 0, reply(0xaa, 0, p, 22));
	assert_true(reading_detail(&dev.reading, "count_short_circuit") == 1);
	assert_true(reading_detail(&dev.reading, "count_cell_overvoltage") == 4);
	assert_true(reading_detail(&dev.reading, "count_pack_undervoltage") == 11);
	assert_true(isnan(reading_detail(&dev.reading, "count_restarts")));
	told(&dev, READ | 0xaa, 0, reply(0xaa, 0, p, 24));
	assert_true(reading_detail(&dev.reading, "count_restarts") == 12);
	device_free(&dev);
}

static void resistances_that_are_all_0_are_not_implemented(void **unused)
{
	struct basic b = pack_16s();
	uint8_t p[60] = {0};

	(void)unused;
	b.cells = 4;
	struct device dev = told_basic(&b);
	told(&dev, READ | 0xf6, 0, reply(0xf6, 0, p, sizeof(p)));
	assert_false(dev.reading.cell_resistance_ohm.reported);
	put_u16be(p + 2, 12);
	put_u16be(p + 6, 0xfffe);
	told(&dev, READ | 0xf6, 0, reply(0xf6, 0, p, sizeof(p)));
	assert_int_equal(dev.reading.cell_resistance_ohm.count, 4);
	assert_true(dev.reading.cell_resistance_ohm.value[1] == 0.0012);
	assert_true(dev.reading.cell_resistance_ohm.value[3] == -0.0002);
	device_free(&dev);
}

/* ---- settings ---- */

/* Sheet 8: a register, its number in block FA, a value on the wire and what it means. */
static const struct {
	int reg, fa;
	uint16_t raw;
	double value;
	const char *name;
} words[] = {
	{0x10, 0, 28000, 280, "capacity_design_Ah"},
	{0x11, 1, 22400, 224, "capacity_cycle_Ah"},
	{0x12, 2, 3500, 3.5, "soc100_V"},
	{0x13, 3, 2800, 2.8, "soc0_V"},
	{0x14, -1, 2, 0.2, "self_discharge_pct"},
	{0x16, 6, 4711, 4711, "serial_number"},
	{0x17, 7, 321, 321, "cycles"},
	{0x18, 8, 3481, 75, "charge_otp_C"},
	{0x19, 9, 3281, 55, "charge_otpr_C"},
	{0x1a, 10, 2631, -10, "charge_utp_C"},
	{0x1b, 11, 2732, 0.1, "charge_utpr_C"},
	{0x1c, 12, 3381, 65, "discharge_otp_C"},
	{0x1d, 13, 3231, 50, "discharge_otpr_C"},
	{0x1e, 14, 2531, -20, "discharge_utp_C"},
	{0x1f, 15, 2631, -10, "discharge_utpr_C"},
	{0x20, 16, 5840, 58.4, "pack_ovp_V"},
	{0x21, 17, 5600, 56, "pack_ovpr_V"},
	{0x22, 18, 4000, 40, "pack_uvp_V"},
	{0x23, 19, 4320, 43.2, "pack_uvpr_V"},
	{0x24, 20, 3650, 3.65, "cell_ovp_V"},
	{0x25, 21, 3550, 3.55, "cell_ovpr_V"},
	{0x26, 22, 2500, 2.5, "cell_uvp_V"},
	{0x27, 23, 2700, 2.7, "cell_uvpr_V"},
	{0x28, 24, 23000, 230, "charge_ocp_A"},
	{0x29, 25, 0xa628, 230, "discharge_ocp_A"},
	{0x2a, 26, 3400, 3.4, "balance_start_V"},
	{0x2b, 27, 30, 0.03, "balance_trigger_V"},
	{0x2c, -1, 5, 0.5, "shunt_mOhm"},
	{0x2d, 29, 14, 14, "function_bits"},
	{0x2e, 30, 7, 7, "ntc_enable_bits"},
	{0x2f, 31, 16, 16, "cell_count"},
	{0x30, 32, 6, 6, "fet_switch_time_s"},
	{0x31, 33, 9, 9, "led_time_s"},
	{0x32, 34, 3340, 3.34, "soc80_V"},
	{0x33, 35, 3320, 3.32, "soc60_V"},
	{0x34, 36, 3300, 3.3, "soc40_V"},
	{0x35, 37, 3200, 3.2, "soc20_V"},
	{0x36, 38, 3900, 3.9, "hardware_ovp_V"},
	{0x37, 39, 2000, 2, "hardware_uvp_V"},
	{0x38, -1, 0x8d5c, 36188, "short_circuit_bits"},
	{0x39, -1, 0xf064, 61540, "hardware_delay_bits"},
	{0x40, 104, 11, 11, "gps_cutoff_voltage"},
	{0x41, 105, 12, 12, "gps_cutoff_delay"},
	{0x42, 106, 3345, 3.345, "soc90_V"},
	{0x43, 107, 3330, 3.33, "soc70_V"},
	{0x44, 108, 3310, 3.31, "soc50_V"},
	{0x45, 109, 3250, 3.25, "soc30_V"},
	{0x46, 110, 3100, 3.1, "soc10_V"},
	{0x47, 111, 3450, 3.45, "soc100_table_V"},
	{-1, 4, 15, 15, "own_consumption_mA"},
	{-1, 40, 21, 21, "second_ocp_bits"},
	{-1, 41, 22, 22, "short_circuit_raw"},
	{-1, 42, 23, 23, "hardware_delays_raw"},
	{-1, 43, 24, 24, "short_circuit_release_s"},
	{-1, 44, 31, 31, "charge_utp_delay_s"},
	{-1, 45, 32, 32, "charge_otp_delay_s"},
	{-1, 46, 33, 33, "discharge_utp_delay_s"},
	{-1, 47, 34, 34, "discharge_otp_delay_s"},
	{-1, 48, 35, 35, "pack_uvp_delay_s"},
	{-1, 49, 36, 36, "pack_ovp_delay_s"},
	{-1, 50, 37, 37, "cell_uvp_delay_s"},
	{-1, 51, 38, 38, "cell_ovp_delay_s"},
	{-1, 52, 39, 39, "charge_ocp_delay_s"},
	{-1, 53, 41, 41, "charge_ocpr_s"},
	{-1, 54, 42, 42, "discharge_ocp_delay_s"},
	{-1, 55, 43, 43, "discharge_ocpr_s"},
	{-1, 28, 5, 0.5, "shunt_mOhm"},
	{-1, 28, 0x8019, 0.25, "shunt_mOhm"},
	{-1, 112, 27302, 273.02, "capacity_learned_Ah"},
	{-1, 113, 60, 60, "correction_interval_s"},
	{-1, 114, 512, 51.2, "rated_voltage_V"},
	{-1, 115, 100, 100, "rated_current_A"},
	{-1, 116, 5120, 5120, "power_max_W"},
	{-1, 117, 576, 57.6, "rated_charge_voltage_V"},
	{-1, 118, 120, 120, "rated_discharge_current_A"},
	{-1, 119, 110, 110, "rated_charge_current_A"},
	{-1, 120, 6000, 6000, "rated_discharge_power_W"},
	{-1, 121, 200, 200, "current_min_mA"},
	{-1, 122, 3600, 3600, "sleep_time_s"},
};

#define WORD_COUNT (sizeof(words) / sizeof(words[0]))

static double setting(struct device *dev, uint8_t reg, uint16_t raw, const char *name)
{
	uint8_t p[2];

	put_u16be(p, raw);
	told(dev, READ | reg, 0, reply(reg, 0, p, 2));
	return settings_number(&dev->settings, name);
}

static double parameter(struct device *dev, uint8_t number, uint16_t raw, const char *name)
{
	uint8_t p[5] = {0, number, 1};

	put_u16be(p + 3, raw);
	told(dev, BLOCK, (uint16_t)(number << 8 | 1), reply(0xfa, 0, p, sizeof(p)));
	return settings_number(&dev->settings, name);
}

static void every_register_and_every_parameter_has_its_name_and_unit(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < WORD_COUNT; i++) {
		struct device dev = fresh_device("jbd-uart", 0, STANDARD);

		if (words[i].reg >= 0)
			assert_true(setting(&dev, (uint8_t)words[i].reg, words[i].raw, words[i].name) ==
				    words[i].value);
		device_free(&dev);
		dev = fresh_device("jbd-uart", 0, STANDARD);
		if (words[i].fa >= 0)
			assert_true(parameter(&dev, (uint8_t)words[i].fa, words[i].raw, words[i].name) ==
				    words[i].value);
		device_free(&dev);
	}
}

/* Two bytes in one register: high byte, low byte. */
static void delays_share_their_registers(void **unused)
{
	static const struct {
		uint8_t reg;
		const char *high, *low;
	} pair[] = {
		{0x3a, "charge_utp_delay_s", "charge_otp_delay_s"},
		{0x3b, "discharge_utp_delay_s", "discharge_otp_delay_s"},
		{0x3c, "pack_uvp_delay_s", "pack_ovp_delay_s"},
		{0x3d, "cell_uvp_delay_s", "cell_ovp_delay_s"},
		{0x3e, "charge_ocp_delay_s", "charge_ocpr_s"},
		{0x3f, "discharge_ocp_delay_s", "discharge_ocpr_s"},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(pair) / sizeof(pair[0]); i++) {
		struct device dev = fresh_device("jbd-uart", 0, STANDARD);

		assert_true(setting(&dev, pair[i].reg, 0x0a1e, pair[i].high) == 10);
		assert_true(settings_number(&dev.settings, pair[i].low) == 30);
		assert_int_equal(dev.settings.count, 2);
		device_free(&dev);
	}
}

static void what_is_no_number_is_told_as_text(void **unused)
{
	static const char *const chips[] = {"TI", "OZ7717", "Panasonic 49522", "SH309", "SH303", "DC10xx", "OZ3714"};
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	char error[128];

	(void)unused;
	setting(&dev, 0x15, 22 << 9 | 3 << 5 | 28, "none");
	assert_string_equal(settings_find(&dev.settings, "production_date")->text, "2022-03-28");
	for (uint16_t chip = 0; chip < 7; chip++) {
		setting(&dev, 0x00, chip, "none");
		assert_string_equal(settings_find(&dev.settings, "front_end_chip")->text, chips[chip]);
	}
	setting(&dev, 0x00, 7, "none");
	assert_string_equal(settings_find(&dev.settings, "front_end_chip")->text, "OZ3714");
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "");
	setting(&dev, 0x16, 4711, "none");
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "4711");
	assert_int_equal(play(&dev, READ | 0x24, 0, RX(REPLY(0x24, 1)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: length of a register");
	assert_int_equal(play(&dev, READ | 0x24, 0, RX(REPLY(0x24, 1, 2, 3)), NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

static void large_units_change_some_words_alone(void **unused)
{
	static const struct {
		const char *name;
		double factor;
	} scaled[] = {
		{"capacity_design_Ah", 10}, {"capacity_cycle_Ah", 10},	 {"charge_ocp_A", 10},
		{"discharge_ocp_A", 10},    {"capacity_learned_Ah", 10}, {"shunt_mOhm", 0.1},
	};

	(void)unused;
	for (size_t i = 0; i < WORD_COUNT; i++) {
		struct device dev = fresh_device("jbd-uart", 0, STANDARD);
		double factor = 1;

		setting(&dev, 0x2d, 0x1006, "function_bits");
		for (size_t k = 0; k < sizeof(scaled) / sizeof(scaled[0]); k++)
			if (!strcmp(scaled[k].name, words[i].name))
				factor = scaled[k].factor;
		if (words[i].reg >= 0 && words[i].reg != 0x2d)
			assert_true(fabs(setting(&dev, (uint8_t)words[i].reg, words[i].raw, words[i].name) -
					 factor * words[i].value) < 1e-9);
		if (words[i].fa == 28) /* this one says itself in which unit it is */
			factor = 1;
		if (words[i].fa >= 0 && words[i].fa != 29)
			assert_true(fabs(parameter(&dev, (uint8_t)words[i].fa, words[i].raw, words[i].name) -
					 factor * words[i].value) < 1e-9);
		device_free(&dev);
	}
}

static void large_units_change_the_capacities_of_register_03(void **unused)
{
	struct basic b = pack_16s();
	struct device dev = told_basic(&b);

	(void)unused;
	setting(&dev, 0x2d, 0x1006, "function_bits");
	told(&dev, BASIC, 0, basic_reply(&b));
	assert_true(reading_get(&dev.reading, Q_CAPACITY_FULL_AH) == 1000);
	assert_true(reading_get(&dev.reading, Q_CAPACITY_REMAINING_AH) == 500);
	setting(&dev, 0x2d, 0x0006, "function_bits");
	told(&dev, BASIC, 0, basic_reply(&b));
	assert_true(reading_get(&dev.reading, Q_CAPACITY_FULL_AH) == 100);
	device_free(&dev);
}

static void the_function_bits_are_switches(void **unused)
{
	static const struct {
		unsigned bit;
		const char *name;
	} switches[] = {
		{0, "external_switch"},
		{1, "load_detection"},
		{2, "balance_enabled"},
		{3, "balance_only_charging"},
		{4, "led"},
		{5, "led_count"},
		{11, "start_battery_mode"},
		{12, "large_units"},
		{13, "bluetooth_power"},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		struct device dev = fresh_device("jbd-uart", 0, STANDARD);

		assert_true(setting(&dev, 0x2d, (uint16_t)(1u << switches[i].bit), switches[i].name) == 1);
		assert_int_equal(reading_flag(&dev.reading, F_BALANCE_ENABLED), switches[i].bit == 2 ? ON : OFF);
		assert_true(setting(&dev, 0x2d, (uint16_t) ~(1u << switches[i].bit), switches[i].name) == 0);
		assert_int_equal(reading_flag(&dev.reading, F_BALANCE_ENABLED), switches[i].bit == 2 ? OFF : ON);
		device_free(&dev);
	}
}

static void texts_of_registers_carry_their_length(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);

	(void)unused;
	told(&dev, READ | 0xa0, 0, REPLY(0xa0, 5, 'D', 'G', 'J', 'B', 'D', 'x', 'x'));
	assert_string_equal(settings_find(&dev.settings, "manufacturer")->text, "DGJBD");
	assert_string_equal(dev.reading.text[T_MANUFACTURER], "DGJBD");
	told(&dev, READ | 0xa2, 0, REPLY(0xa2, 0));
	assert_string_equal(settings_find(&dev.settings, "barcode")->text, "");
	told(&dev, READ | 0xa1, 0, REPLY(0xa1, 31, 'A')); /* claims more than there is */
	assert_string_equal(settings_find(&dev.settings, "model")->text, "A");
	device_free(&dev);
}

/* A reply of FA: count words from first on, word k holding first + k unless set afterwards. */
static size_t block(uint8_t *p, unsigned first, unsigned count)
{
	put_u16be(p, (uint16_t)first);
	p[2] = (uint8_t)count;
	for (unsigned i = 0; i < count; i++)
		put_u16be(p + 3 + 2 * i, (uint16_t)(first + i));
	return 3 + 2 * count;
}

static void block_fa_holds_the_same_settings(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	const struct settings *s = &dev.settings;
	uint8_t p[96];
	size_t n = block(p, 0, 40);

	(void)unused;
	put_u16be(p + 3 + 2 * 0, 28000);
	put_u16be(p + 3 + 2 * 5, 22 << 9 | 3 << 5 | 28);
	put_u16be(p + 3 + 2 * 20, 3650);
	put_u16be(p + 3 + 2 * 25, 0xa628);
	put_u16be(p + 3 + 2 * 28, 0x8019);
	put_u16be(p + 3 + 2 * 29, 0x100c);
	told(&dev, BLOCK, 0 << 8 | 40, reply(0xfa, 0, p, n));
	assert_true(settings_number(s, "capacity_design_Ah") == 2800); /* 29 says large units, though it comes later */
	assert_string_equal(settings_find(s, "production_date")->text, "2022-03-28");
	assert_true(settings_number(s, "cell_ovp_V") == 3.65);
	assert_true(settings_number(s, "discharge_ocp_A") == 2300);
	assert_true(settings_number(s, "shunt_mOhm") == 0.25);
	assert_true(settings_number(s, "soc20_V") == 0.037);
	assert_int_equal(reading_flag(&dev.reading, F_BALANCE_ENABLED), ON);
	n = block(p, 40, 16);
	told(&dev, BLOCK, 40 << 8 | 16, reply(0xfa, 0, p, n));
	assert_true(settings_number(s, "charge_utp_delay_s") == 44);
	assert_true(settings_number(s, "charge_otp_delay_s") == 45);
	assert_true(settings_number(s, "discharge_ocpr_s") == 55);
	n = block(p, 88, 35);
	put_u16be(p + 3 + 2 * (112 - 88), 2730);
	told(&dev, BLOCK, 88 << 8 | 35, reply(0xfa, 0, p, n));
	assert_true(settings_number(s, "capacity_learned_Ah") == 273);
	assert_true(settings_number(s, "rated_voltage_V") == 11.4);
	assert_true(settings_number(s, "sleep_time_s") == 122);
	device_free(&dev);
}

static void block_fa_holds_texts(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	uint8_t p[96] = {0};
	size_t n = block(p, 56, 32);

	(void)unused;
	memset(p + 3, 0, 64);
	memcpy(p + 3, "\5DGJBDzz", 8);
	memcpy(p + 3 + 32, "\3ABC", 4);
	told(&dev, BLOCK, 56 << 8 | 32, reply(0xfa, 0, p, n));
	assert_string_equal(settings_find(&dev.settings, "manufacturer")->text, "DGJBD");
	assert_string_equal(settings_find(&dev.settings, "bms_code")->text, "ABC");
	assert_null(settings_find(&dev.settings, "barcode"));
	n = block(p, 158, 26);
	memset(p + 3, 0, 52);
	memcpy(p + 3, "LFP-280", 7); /* without a length */
	memcpy(p + 3 + 2 * 12, "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c", 12);
	memcpy(p + 3 + 2 * 18, "SP04S034", 8);
	told(&dev, BLOCK, 158 << 8 | 26, reply(0xfa, 0, p, n));
	assert_string_equal(settings_find(&dev.settings, "battery_model")->text, "LFP-280");
	assert_string_equal(settings_find(&dev.settings, "unique_id")->text, "0102030405060708090a0b0c");
	assert_string_equal(settings_find(&dev.settings, "hardware_name")->text, "SP04S034");
	device_free(&dev);
}

static void another_part_of_block_fa_is_no_answer(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	char error[128];
	uint8_t p[96];
	size_t n = block(p, 40, 16);

	(void)unused;
	assert_int_equal(play(&dev, BLOCK, 0 << 8 | 16, RX(reply(0xfa, 0, p, n)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, BLOCK, 40 << 8 | 15, RX(reply(0xfa, 0, p, n)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, BLOCK, 40 << 8 | 16, RX(reply(0xfa, 0, p, n - 2)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: length of block FA");
	assert_int_equal(dev.settings.count, 0);
	device_free(&dev);
}

static unsigned wanted_rows(const struct device *dev)
{
	unsigned n = 0;

	for (unsigned r = 0; r < dev->protocol->poll_count; r++) {
		const struct poll *row = &dev->protocol->polls[r];

		n += row->code == BLOCK && (!row->wanted || row->wanted(dev));
	}
	return n;
}

static void further_blocks_are_asked_for_once_the_first_was_answered(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	uint8_t p[96];
	size_t n = block(p, 0, 40);

	(void)unused;
	assert_int_equal(wanted_rows(&dev), 1);
	told(&dev, BLOCK, 0 << 8 | 40, reply(0xfa, 0, p, n));
	assert_int_equal(wanted_rows(&dev), 5);
	device_free(&dev);
	dev = fresh_device("jbd-uart", 0, ADDRESSED);
	assert_int_equal(wanted_rows(&dev), 0);
	device_free(&dev);
}

/* ---- detection's judgement ---- */

static void a_battery_is_plausible_when_its_cells_add_up(void **unused)
{
	struct basic b = pack_16s();
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	const char *why = NULL;

	(void)unused;
	told(&dev, CELLS, 0, cells_reply(16, 0));
	assert_false(dev.protocol->plausible(&dev, &why)); /* 04 alone is not enough */
	assert_non_null(why);
	device_free(&dev);
	dev = told_basic(&b);
	assert_false(dev.protocol->plausible(&dev, &why)); /* nor is 03 */
	told(&dev, CELLS, 0, cells_reply(16, 0));	   /* 51.336 V */
	assert_true(dev.protocol->plausible(&dev, &why));
	b.centi_V = 5420;
	told(&dev, BASIC, 0, basic_reply(&b));
	assert_false(dev.protocol->plausible(&dev, &why));
	b.centi_V = 0; /* on a bench */
	told(&dev, BASIC, 0, basic_reply(&b));
	assert_true(dev.protocol->plausible(&dev, &why));
	device_free(&dev);
}

/* ---- commands ---- */

/* A board that the tests play. */
struct jbd {
	struct basic basic;
	uint8_t hold;		/* of E1: bit 0 charge, bit 1 discharge */
	uint8_t tripped;	/* MOS that a protection holds off, likewise */
	uint16_t functions;	/* 2D */
	bool factory;		/* in factory mode */
	bool mos_wants_factory; /* E1 only there */
	bool wants_password, password_given;
	bool wrong_password;   /* even that one */
	bool only_fb;	       /* no E1 */
	bool no_control;       /* no 0A */
	bool ineffective;      /* acknowledges and does nothing */
	bool mute_after_write; /* reads stay unanswered once something was written */
	bool estimates_full;
	bool written;
	unsigned loses_leave; /* swallows so many of them */
	unsigned enters, leaves, passwords;
};

enum { DONE = 0, UNKNOWN_REGISTER = 0x80, NOT_NOW = 0x81, BAD_PASSWORD = 0x83 };

static uint8_t jbd_hold(struct jbd *b, uint8_t hold)
{
	if (!b->ineffective)
		b->hold = hold;
	b->basic.fet = (uint8_t)(3 & ~(b->hold | b->tripped));
	b->basic.protection = (uint16_t)((b->basic.protection & 0x0fff) | (b->hold ? 0x1000 : 0));
	return DONE;
}

static uint8_t jbd_write(struct jbd *b, uint8_t reg, uint16_t value)
{
	if (reg == 0x06) {
		b->passwords++;
		b->password_given = !b->wrong_password;
		return b->wrong_password ? BAD_PASSWORD : DONE;
	}
	if (b->wants_password && !b->password_given && reg != 0x01)
		return NOT_NOW;
	switch (reg) {
	case 0x00:
		assert_int_equal(value, 0x5678);
		b->enters++;
		b->factory = true;
		return DONE;
	case 0x01:
		assert_int_equal(value, 0); /* 28 28 would clear the counters */
		b->leaves++;
		b->factory = false;
		return DONE;
	case 0x0a:
		assert_int_equal(value, 0x0100);
		if (b->no_control)
			return UNKNOWN_REGISTER;
		b->basic.soc = b->estimates_full ? 100 : 62;
		return DONE;
	case 0x2d:
		if (!b->factory)
			return NOT_NOW;
		if (!b->ineffective)
			b->functions = value;
		return DONE;
	case 0xe0:
		if (!b->factory)
			return NOT_NOW;
		if (!b->ineffective)
			b->basic.remaining = value;
		return DONE;
	case 0xe1:
		if (b->only_fb)
			return UNKNOWN_REGISTER;
		return b->mos_wants_factory && !b->factory ? NOT_NOW : jbd_hold(b, (uint8_t)value);
	case 0xfb:
		if (!b->only_fb)
			return UNKNOWN_REGISTER;
		return jbd_hold(
			b, (uint8_t)(value & 1 ? b->hold | (value >> 8 ? 1 : 2) : b->hold & ~(value >> 8 ? 1 : 2)));
	default:
		fail();
		return UNKNOWN_REGISTER;
	}
}

static size_t jbd(void *ctx, struct bytes request, uint8_t *rx)
{
	struct jbd *b = ctx;
	uint8_t reg = u8_at(request, 2), p[96];

	if (u8_at(request, 1) == 0x5a) {
		if (reg == 0x01 && b->loses_leave) {
			b->loses_leave--;
			return 0;
		}
		b->written = true;
		return fill(rx, reg, jbd_write(b, reg, u16be_at(request, 4)), NULL, 0);
	}
	if (b->mute_after_write && b->written)
		return 0;
	if (reg == 0x03)
		return fill(rx, 0x03, 0, p, basic_payload(&b->basic, p));
	assert_int_equal(reg, 0x2d);
	if (!b->factory)
		return fill(rx, reg, NOT_NOW, NULL, 0);
	put_u16be(p, b->functions);
	return fill(rx, reg, 0, p, 2);
}

static struct jbd normal(void)
{
	return (struct jbd){.basic = pack_16s(), .functions = 0x0006};
}

static struct act command_to(struct device *dev, struct jbd *b, enum command_kind kind, double value, bool experimental)
{
	struct command c = {.kind = kind, .value = value, .experimental = experimental};
	struct act a = act(dev, &c, jbd, b);

	assert_false(b->factory); /* left, whatever happened */
	return a;
}

static struct act command(struct jbd *b, enum command_kind kind, double value)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	struct act a = command_to(&dev, b, kind, value, false);

	device_free(&dev);
	return a;
}

static struct act experiment(struct jbd *b, enum command_kind kind, double value)
{
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);
	struct act a = command_to(&dev, b, kind, value, true);

	device_free(&dev);
	return a;
}

static void charge_off_and_on_are_sent_as_the_vendors_app_does(void **unused)
{
	struct jbd b = normal();
	struct act a = command(&b, COMMAND_CHARGE, 0);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "charge MOS reads back off");
	assert_string_equal(a.writes, "dd5ae1020001ff1c77 dd5a01020000fffd77");
	a = command(&b, COMMAND_CHARGE, 1);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.writes, "dd5ae1020000ff1d77 dd5a01020000fffd77");
	assert_int_equal(b.enters, 0);
}

static void the_other_switch_keeps_its_state(void **unused)
{
	struct jbd b = normal();
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);

	(void)unused;
	assert_int_equal(command_to(&dev, &b, COMMAND_CHARGE, 0, false).outcome.result, COMMAND_DONE);
	assert_int_equal(command_to(&dev, &b, COMMAND_DISCHARGE, 0, false).outcome.result, COMMAND_DONE);
	assert_int_equal(b.hold, 3);
	assert_int_equal(command_to(&dev, &b, COMMAND_CHARGE, 1, false).outcome.result, COMMAND_DONE);
	assert_int_equal(b.hold, 2);
	device_free(&dev);
}

static void a_switch_that_somebody_else_has_locked_stays_locked(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	jbd_hold(&b, 1);
	assert_int_equal(command(&b, COMMAND_DISCHARGE, 0).outcome.result, COMMAND_DONE);
	assert_int_equal(b.hold, 3);
}

static void a_lock_that_somebody_else_has_changed_is_not_guessed_from_ours(void **unused)
{
	struct jbd b = normal();
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);

	(void)unused;
	assert_int_equal(command_to(&dev, &b, COMMAND_CHARGE, 0, false).outcome.result, COMMAND_DONE);
	jbd_hold(&b, 0); /* released by the app */
	told(&dev, BASIC, 0, basic_reply(&b.basic));
	jbd_hold(&b, 2); /* and the other one locked */
	assert_int_equal(command_to(&dev, &b, COMMAND_CHARGE, 0, false).outcome.result, COMMAND_DONE);
	assert_int_equal(b.hold, 3);
	device_free(&dev);
}

static void a_switch_that_a_protection_opened_is_not_locked_along(void **unused)
{
	struct jbd b = normal();
	struct device dev = fresh_device("jbd-uart", 0, STANDARD);

	(void)unused;
	/* no lock at all: only what is asked for is held */
	b.tripped = 1;
	jbd_hold(&b, 0);
	assert_int_equal(command_to(&dev, &b, COMMAND_DISCHARGE, 0, false).outcome.result, COMMAND_DONE);
	assert_int_equal(b.hold, 2);
	/* a lock of our own, and a protection since: we know which is which */
	assert_int_equal(command_to(&dev, &b, COMMAND_DISCHARGE, 1, false).outcome.result, COMMAND_DONE);
	assert_int_equal(b.hold, 0);
	device_free(&dev);
}

static void a_protection_that_holds_the_mos_is_named_so(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.tripped = 1;
	b.basic.protection = 1;
	jbd_hold(&b, 0);
	struct act a = command(&b, COMMAND_CHARGE, 1);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say,
			    "released, but the charge MOS stays off: a protection holds it (see Alarms)");
}

static void a_mos_that_does_not_follow_is_not_confirmed(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.ineffective = true;
	struct act a = command(&b, COMMAND_DISCHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the discharge MOS reads back on");
	assert_in_range(a.waited_ms, 1000, 2000);
	b = normal();
	jbd_hold(&b, 1);
	b.ineffective = true;
	a = command(&b, COMMAND_CHARGE, 1);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the charge MOS reads back off");
}

static void a_mos_that_is_off_by_itself_is_not_switched_off(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.ineffective = true;
	b.tripped = 1;
	jbd_hold(&b, 0);
	struct act a = command(&b, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "the charge MOS reads back off, but not locked: it may come on again");
}

static void factory_mode_is_entered_when_the_board_asks_for_it(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.mos_wants_factory = true;
	struct act a = command(&b, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.writes, "dd5ae1020001ff1c77 dd5a00025678ff3077 dd5ae1020001ff1c77 dd5a01020000fffd77");
	assert_int_equal(b.passwords, 0);
}

static void the_empty_password_is_tried_once(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.wants_password = true;
	struct act a = command(&b, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(b.passwords, 1);
	assert_string_equal(a.writes, "dd5ae1020001ff1c77 dd5a00025678ff3077 dd5a060706000000000000ffed77 "
				      "dd5a00025678ff3077 dd5ae1020001ff1c77 dd5a01020000fffd77");
	b = normal();
	b.wants_password = b.wrong_password = true;
	a = command(&b, COMMAND_DISCHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_int_equal(b.passwords, 1);
	assert_int_equal(b.hold, 0);
	assert_int_equal(b.leaves, 1);
	a = command(&b, COMMAND_BALANCE, 0);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_int_equal(b.passwords, 2);
	assert_int_equal(b.functions, 6);
}

static void newer_firmware_takes_fb_instead(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.only_fb = true;
	struct act a = command(&b, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.writes, "dd5ae1020001ff1c77 dd5afb020101ff0177 dd5a01020000fffd77");
	a = command(&b, COMMAND_DISCHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(b.hold, 3);
	a = command(&b, COMMAND_CHARGE, 1);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(b.hold, 2);
}

static void a_leave_that_is_lost_is_sent_again(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.loses_leave = 3;
	struct act a = command(&b, COMMAND_BALANCE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(b.leaves, b.enters);
}

static void nothing_is_sent_to_a_board_that_does_not_tell_its_state(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.mute_after_write = b.written = true;
	struct act a = command(&b, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.writes, "");
	b.written = false;
	a = command(&b, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the board does not answer the read-back");
}

static void balancing_changes_its_bit_alone(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.functions = 0xf3cf;
	struct act a = command(&b, COMMAND_BALANCE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "balancing reads back off");
	assert_int_equal(b.functions, 0xf3cb);
	a = command(&b, COMMAND_BALANCE, 1);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(b.functions, 0xf3cf);
	assert_int_equal(b.leaves, b.enters);
	b = normal();
	a = command(&b, COMMAND_BALANCE, 0);
	assert_string_equal(a.writes, "dd5a00025678ff3077 dd5a2d020002ffcf77 dd5a01020000fffd77 "
				      "dd5a00025678ff3077 dd5a01020000fffd77");
}

static void a_balance_bit_that_stays_is_not_confirmed(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.ineffective = true;
	struct act a = command(&b, COMMAND_BALANCE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the balance bit does not read back off");
}

static void a_board_that_does_not_show_its_functions_is_not_changed(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.mute_after_write = true;
	struct act a = command(&b, COMMAND_BALANCE, 0);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.outcome.say, "no answer; nothing was changed");
	assert_int_equal(b.functions, 6);
}

static void full_is_estimated_from_full_cells(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.estimates_full = true;
	struct act a = command(&b, COMMAND_SOC, 100);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "SoC reads back 100 %");
	assert_string_equal(a.writes, "dd5a0a020100fff377");
	b.estimates_full = false;
	a = command(&b, COMMAND_SOC, 100);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "the board estimated 62 % from its cell voltages: 100 % needs full cells");
	assert_in_range(a.waited_ms, 1000, 2000);
	b.no_control = true;
	a = command(&b, COMMAND_SOC, 100);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.outcome.say, "no such register or command (status 80)");
	b = normal();
	b.mute_after_write = true;
	a = command(&b, COMMAND_SOC, 100);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the board does not answer the read-back");
}

static void another_soc_needs_the_unproven_register(void **unused)
{
	struct jbd b = normal();
	struct act a = command(&b, COMMAND_SOC, 80);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_int_equal(a.requests, 0);
	a = experiment(&b, COMMAND_SOC, 80);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "remaining capacity reads back 80 Ah, SoC 50 %");
	assert_int_equal(b.basic.remaining, 8000);
	assert_int_equal(b.leaves, b.enters);
}

static void the_unproven_register_is_written_in_the_boards_units(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.basic.fet = 0x83;
	assert_int_equal(experiment(&b, COMMAND_SOC, 30).outcome.result, COMMAND_DONE);
	assert_int_equal(b.basic.remaining, 3000); /* 300 of 1000 Ah, in 0.1 Ah */
}

static void full_by_experiment_is_estimated_first(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.estimates_full = true;
	struct act a = experiment(&b, COMMAND_SOC, 100);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(b.enters, 0);
	b.estimates_full = false;
	a = experiment(&b, COMMAND_SOC, 100);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(b.basic.remaining, 10000);
	b = normal();
	b.no_control = true;
	a = experiment(&b, COMMAND_SOC, 100);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(b.basic.remaining, 10000);
}

static void a_remaining_capacity_that_does_not_move_is_not_confirmed(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.ineffective = true;
	struct act a = experiment(&b, COMMAND_SOC, 80);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the remaining capacity reads back 50 Ah");
	b = normal();
	struct device dev = told_basic(&b.basic);

	b.mute_after_write = b.written = true; /* says nothing any more */
	a = command_to(&dev, &b, COMMAND_SOC, 80, true);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.writes, "");
	b.written = false;
	a = command_to(&dev, &b, COMMAND_SOC, 80, true);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the board does not answer the read-back");
	device_free(&dev);
}

static void the_longest_way_to_a_soc_ends(void **unused)
{
	struct jbd b = normal();

	(void)unused;
	b.wants_password = true;
	b.ineffective = true;
	b.loses_leave = 2;
	struct act a = experiment(&b, COMMAND_SOC, 100);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the remaining capacity reads back 50 Ah");
	assert_in_range(a.steps, 20, MAX_STEPS);
}

static void commands_go_to_the_address_of_an_addressed_board(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 5, ADDRESSED);

	(void)unused;
	assert_string_equal(request_hex(&dev, WRITE | 0xe1, 2), "dd055ae1020002febc77");
	device_free(&dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_those_of_the_sheet),
		cmocka_unit_test(only_commands_are_marked_as_writes),
		cmocka_unit_test(recorded_requests_are_recognised),
		cmocka_unit_test(what_is_no_request_is_not_recognised),
		cmocka_unit_test(no_password_is_kept),
		cmocka_unit_test(a_wrong_checksum_is_dropped),
		cmocka_unit_test(a_wrong_end_byte_is_dropped),
		cmocka_unit_test(a_reply_to_another_register_is_no_answer),
		cmocka_unit_test(a_late_reply_is_passed_over_and_the_right_one_taken),
		cmocka_unit_test(noise_before_between_and_after_is_no_matter),
		cmocka_unit_test(a_dd_inside_the_data_or_the_noise_is_no_matter),
		cmocka_unit_test(a_frame_cut_short_is_no_answer),
		cmocka_unit_test(pieces_of_a_frame_may_come_50_ms_apart),
		cmocka_unit_test(bytes_repeated_behind_the_end_are_no_matter),
		cmocka_unit_test(a_length_above_96_is_no_frame),
		cmocka_unit_test(every_refusal_says_why),
		cmocka_unit_test(a_refusal_with_a_wrong_checksum_is_still_a_refusal),
		cmocka_unit_test(the_echo_of_an_adapter_is_no_reply),
		cmocka_unit_test(an_acknowledgement_is_no_reading_and_a_reading_no_acknowledgement),
		cmocka_unit_test(the_addressed_dialect_answers_for_its_own_address_alone),
		cmocka_unit_test(register_03_is_decoded),
		cmocka_unit_test(no_date_is_no_date),
		cmocka_unit_test(every_bit_of_the_fet_byte_is_told),
		cmocka_unit_test(bit_7_of_the_fet_byte_means_tenths),
		cmocka_unit_test(tails_of_every_length_give_what_lies_in_them),
		cmocka_unit_test(a_learned_capacity_of_0_is_not_given),
		cmocka_unit_test(without_sensors_there_are_no_temperatures),
		cmocka_unit_test(a_single_sensor_is_in_the_battery_and_0_kelvin_is_none),
		cmocka_unit_test(what_can_not_be_is_not_believed),
		cmocka_unit_test(the_addressed_dialect_has_its_temperatures_elsewhere),
		cmocka_unit_test(balancing_bits_begin_with_cell_1),
		cmocka_unit_test(balancing_is_held_over_the_pauses_between_odd_and_even_cells),
		cmocka_unit_test(every_protection_bit_alone_means_what_the_sheet_says),
		cmocka_unit_test(every_warning_bit_alone_means_what_the_sheet_says),
		cmocka_unit_test(a_warning_never_lowers_a_protection),
		cmocka_unit_test(the_alarms_it_raises_are_those_it_announces),
		cmocka_unit_test(one_word_more_than_cells_is_left_out),
		cmocka_unit_test(a_cell_that_is_counted_but_not_there_is_left_out),
		cmocka_unit_test(a_cell_with_its_wire_off_stays_a_cell),
		cmocka_unit_test(an_impossible_number_of_cells_is_not_believed),
		cmocka_unit_test(names_are_cut_and_cleaned),
		cmocka_unit_test(counters_are_told_with_and_without_the_restarts),
		cmocka_unit_test(resistances_that_are_all_0_are_not_implemented),
		cmocka_unit_test(every_register_and_every_parameter_has_its_name_and_unit),
		cmocka_unit_test(delays_share_their_registers),
		cmocka_unit_test(what_is_no_number_is_told_as_text),
		cmocka_unit_test(large_units_change_some_words_alone),
		cmocka_unit_test(large_units_change_the_capacities_of_register_03),
		cmocka_unit_test(the_function_bits_are_switches),
		cmocka_unit_test(texts_of_registers_carry_their_length),
		cmocka_unit_test(block_fa_holds_the_same_settings),
		cmocka_unit_test(block_fa_holds_texts),
		cmocka_unit_test(another_part_of_block_fa_is_no_answer),
		cmocka_unit_test(further_blocks_are_asked_for_once_the_first_was_answered),
		cmocka_unit_test(a_battery_is_plausible_when_its_cells_add_up),
		cmocka_unit_test(charge_off_and_on_are_sent_as_the_vendors_app_does),
		cmocka_unit_test(the_other_switch_keeps_its_state),
		cmocka_unit_test(a_switch_that_somebody_else_has_locked_stays_locked),
		cmocka_unit_test(a_lock_that_somebody_else_has_changed_is_not_guessed_from_ours),
		cmocka_unit_test(a_switch_that_a_protection_opened_is_not_locked_along),
		cmocka_unit_test(a_protection_that_holds_the_mos_is_named_so),
		cmocka_unit_test(a_mos_that_does_not_follow_is_not_confirmed),
		cmocka_unit_test(a_mos_that_is_off_by_itself_is_not_switched_off),
		cmocka_unit_test(factory_mode_is_entered_when_the_board_asks_for_it),
		cmocka_unit_test(the_empty_password_is_tried_once),
		cmocka_unit_test(newer_firmware_takes_fb_instead),
		cmocka_unit_test(a_leave_that_is_lost_is_sent_again),
		cmocka_unit_test(nothing_is_sent_to_a_board_that_does_not_tell_its_state),
		cmocka_unit_test(balancing_changes_its_bit_alone),
		cmocka_unit_test(a_balance_bit_that_stays_is_not_confirmed),
		cmocka_unit_test(a_board_that_does_not_show_its_functions_is_not_changed),
		cmocka_unit_test(full_is_estimated_from_full_cells),
		cmocka_unit_test(another_soc_needs_the_unproven_register),
		cmocka_unit_test(the_unproven_register_is_written_in_the_boards_units),
		cmocka_unit_test(full_by_experiment_is_estimated_first),
		cmocka_unit_test(a_remaining_capacity_that_does_not_move_is_not_confirmed),
		cmocka_unit_test(the_longest_way_to_a_soc_ends),
		cmocka_unit_test(commands_go_to_the_address_of_an_addressed_board),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
