/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ks48100 on frames constructed from its sheet: what it asks and whose answers it takes. What the layouts it shares
 * with daren485 mean is tested there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ascii_frame.h"
#include "play.h"

enum { DEVICE = 0x42, CONTROL = 0x45, SYSTEM = 0x47, MANUFACTURER = 0x51, PARAMETERS = 0x80, MODULE = 0xb0 };

static const struct ascii_head ok = {0x22, 1, 0x42, 0}, ok_module = {0x22, 1, 0x4a, 0};

struct info {
	size_t n;
	uint8_t p[160];
};

static void put16(struct info *i, unsigned v)
{
	i->p[i->n++] = (uint8_t)(v >> 8);
	i->p[i->n++] = (uint8_t)v;
}

static void put_text(struct info *i, const char *text, size_t size)
{
	memset(i->p + i->n, ' ', size);
	memcpy(i->p + i->n, text, strlen(text));
	i->n += size;
}

/* 16 cells of 3.31 V, four sensors, -15.4 A, 81.23 of 100 Ah, both MOS on. */
static struct info device_info(void)
{
	struct info i = {.n = 1};

	put16(&i, 8123);
	put16(&i, 5296);
	i.p[i.n++] = 16;
	for (unsigned c = 0; c < 16; c++)
		put16(&i, 3310);
	for (unsigned t = 0; t < 3; t++)
		put16(&i, 235);
	i.p[i.n++] = 4;
	for (unsigned t = 0; t < 4; t++)
		put16(&i, 240);
	put16(&i, 0x10000 - 1540);
	put16(&i, 0);
	put16(&i, 100);
	i.p[i.n++] = 1;
	put16(&i, 10000);
	put16(&i, 8123);
	put16(&i, 41);
	for (unsigned w = 0; w < 4; w++)
		put16(&i, 0);
	put16(&i, 0x23);
	i.n += 23;
	return i;
}

static struct info manufacturer_info(void)
{
	struct info i = {.n = 0};

	put_text(&i, "Ho20-T1", 10);
	put_text(&i, "SNS01", 10);
	put_text(&i, "16S100A", 10);
	memcpy(i.p + i.n, (uint8_t[]){2, 2, 1}, 3);
	i.n += 3;
	return i;
}

static const char *reply(struct ascii_head head, struct info info)
{
	return ascii_frame_hex(head, info.p, info.n);
}

static struct device ks(void)
{
	return fresh_device("ks48100", 1, 0);
}

static const char *ascii(const char *hex)
{
	static char text[128];
	int n = bytes_from_hex(hex, (uint8_t *)text, sizeof(text) - 1);

	assert_true(n >= 0);
	text[n] = 0;
	return text;
}

static void requests_are_those_of_the_sheet(void **unused)
{
	struct device dev = ks();

	(void)unused;
	assert_string_equal(ascii(request_hex(&dev, DEVICE, 0)), ">220142420000FDAF\r");
	assert_string_equal(ascii(request_hex(&dev, SYSTEM, 0)), ">22014247E00201FD32\r");
	assert_string_equal(ascii(request_hex(&dev, MANUFACTURER, 0)), ">220142510000FDAF\r");
	assert_string_equal(ascii(request_hex(&dev, MODULE, 3)), ">22014AB0600A010103FF56FB61\r");
	assert_string_equal(ascii(request_hex(&dev, MODULE, 4)), ">22014AB0600A010104FF00FB6B\r");
	device_free(&dev);
}

static void there_is_no_other_request_and_none_that_writes(void **unused)
{
	struct device dev = ks();
	const struct protocol *p = dev.protocol;
	struct request request;

	(void)unused;
	assert_false(p->encode(&dev, CONTROL, 0x05, &request));
	assert_false(p->encode(&dev, PARAMETERS, 0, &request));
	assert_false(p->encode(&dev, MODULE, 5, &request));
	for (unsigned r = 0; r < p->poll_count; r++) {
		assert_true(p->encode(&dev, p->polls[r].code, p->polls[r].arg, &request));
		assert_false(request.writes);
		assert_true(request.first_ms >= 1000); /* the board is slow */
	}
	assert_int_equal(p->commands, 0);
	for (unsigned a = 0; a < 256; a++) {
		dev.address = (uint8_t)a;
		assert_int_equal(p->encode(&dev, DEVICE, 0, &request), a >= 1 && a <= 15);
	}
	device_free(&dev);
}

static bool parse(const char *id, const char *text)
{
	struct request request;

	return protocol_by_id(id)->parse_request((struct bytes){(const uint8_t *)text, strlen(text)}, &request);
}

static void neither_takes_the_requests_of_its_relative_for_its_own(void **unused)
{
	static const char *const own[] = {">220142420000FDAF\r", ">22014247E00201FD32\r", ">220142510000FDAF\r",
					  ">22014AB0600A010103FF56FB61\r", ">22014AB0600A010104FF00FB6B\r"};
	static const char *const foreign[] = {"~22014A42E00201FD28\r",
					      "~22014A510000FDA0\r",
					      "~22014AB0600A010104FF00FB6B\r",
					      "~20004642E00200FD37\r",
					      ">220142420000FDAE\r",
					      ">220142420000FDAF",
					      ""};

	(void)unused;
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		assert_true(parse("ks48100", own[i]));
		assert_false(parse("daren485", own[i]));
		assert_false(parse("seplos-v2", own[i]));
	}
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		assert_false(parse("ks48100", foreign[i]));
}

static void replies_may_begin_with_either_character(void **unused)
{
	struct device dev = ks();
	const char *tilde = reply(ok, device_info());
	char hex[600];

	(void)unused;
	snprintf(hex, sizeof(hex), "3e%s", tilde + 2);
	assert_int_equal(play(&dev, DEVICE, 0, RX(tilde), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, DEVICE, 0, RX("ff3e", hex), NULL), EXCHANGE_ANSWERED);
	assert_true(reading_get(&dev.reading, Q_SOC_PCT) == 81.23);
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == -15.4);
	assert_true(reading_get(&dev.reading, Q_ADDRESS) == 1);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_MOS), ON);
	device_free(&dev);
}

static void the_device_class_must_be_that_of_the_request(void **unused)
{
	struct device dev = ks();
	struct ascii_head other = {0x22, 2, 0x42, 0}, refusal = {0x22, 1, 0x42, 0x04};

	(void)unused;
	assert_int_equal(play(&dev, DEVICE, 0, RX(reply(ok_module, device_info())), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, DEVICE, 0, RX(reply(other, device_info())), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, DEVICE, 0, RX(reply(refusal, (struct info){.n = 0})), NULL), EXCHANGE_REFUSED);
	assert_int_equal(play(&dev, DEVICE, 0, RX(reply(ok, manufacturer_info())), NULL), EXCHANGE_FAILED);
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

static void a_daren_does_not_take_its_replies(void **unused)
{
	struct device daren = fresh_device("daren485", 1, 0);
	char hex[600];

	(void)unused;
	assert_int_equal(play(&daren, DEVICE, 0, RX(reply(ok, device_info())), NULL), EXCHANGE_FAILED);
	snprintf(hex, sizeof(hex), "3e%s", reply(ok_module, device_info()) + 2);
	assert_int_equal(play(&daren, DEVICE, 0, RX(hex), NULL), EXCHANGE_FAILED);
	assert_int_equal(daren.reading.known, 0);
	device_free(&daren);
}

static void identity_comes_from_51_and_b0(void **unused)
{
	struct device dev = ks();
	struct info info = {.n = 6, .p = {0xb0, 1, 1, 3, 0xff, 0x56}};

	(void)unused;
	put_text(&info, "CER2408-04", 30);
	memset(info.p + info.n, 0xff, 83);
	info.n += 83;
	assert_int_equal(play(&dev, MANUFACTURER, 0, RX(reply(ok, manufacturer_info())), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, MODULE, 3, RX(reply(ok_module, info)), NULL), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "02.02.01");
	assert_string_equal(dev.reading.text[T_HARDWARE_VERSION], "Ho20-T1");
	assert_string_equal(dev.reading.text[T_MODEL], "16S100A");
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "CER2408-04");
	assert_string_equal(dev.reading.text[T_MANUFACTURER], "");
	device_free(&dev);
}

static void both_answers_make_it_plausible(void **unused)
{
	struct device dev = ks();
	const char *why = "";

	(void)unused;
	assert_int_equal(play(&dev, MANUFACTURER, 0, RX(reply(ok, manufacturer_info())), NULL), EXCHANGE_ANSWERED);
	assert_false(dev.protocol->plausible(&dev, &why));
	assert_int_equal(play(&dev, DEVICE, 0, RX(reply(ok, device_info())), NULL), EXCHANGE_ANSWERED);
	assert_true(dev.protocol->plausible(&dev, &why));
	assert_true(dev.protocol->untested);
	device_free(&dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_those_of_the_sheet),
		cmocka_unit_test(there_is_no_other_request_and_none_that_writes),
		cmocka_unit_test(neither_takes_the_requests_of_its_relative_for_its_own),
		cmocka_unit_test(replies_may_begin_with_either_character),
		cmocka_unit_test(the_device_class_must_be_that_of_the_request),
		cmocka_unit_test(a_daren_does_not_take_its_replies),
		cmocka_unit_test(identity_comes_from_51_and_b0),
		cmocka_unit_test(both_answers_make_it_plausible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
