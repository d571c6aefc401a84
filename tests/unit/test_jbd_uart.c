/* SPDX-License-Identifier: GPL-3.0-or-later */
/* jbd-uart on frames constructed from its sheet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "play.h"


static void a_wrong_checksum_is_dropped(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, 0);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0xa504, 0, RX("dd0400080f450f3d0f370f3dfec577"), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: checksum");
	assert_false(dev.reading.cell_V.reported);
	device_free(&dev);
}

static void a_reply_to_another_register_is_no_answer(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, 0);

	(void)unused;
	assert_int_equal(play(&dev, 0xa503, 0, RX("dd0400080f450f3d0f370f3dfec677"), NULL), EXCHANGE_FAILED);
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	device_free(&dev);
}

static void noise_before_between_and_after_is_no_matter(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, 0);

	(void)unused;
	assert_int_equal(play(&dev, 0xa504, 0, RX("ffdd04", "00080f450f3d0f", "370f3dfec677ff"), NULL),
			 EXCHANGE_ANSWERED);
	assert_int_equal(dev.reading.cell_V.count, 4);
	assert_true(dev.reading.cell_V.value[0] == 3.909);
	device_free(&dev);
}

static void a_refusal_with_a_wrong_checksum_is_still_a_refusal(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, 0);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0xa524, 0, RX("dd2481001234 77"), error), EXCHANGE_REFUSED);
	device_free(&dev);
}

static void the_echo_of_an_adapter_is_no_reply(void **unused)
{
	struct device dev = fresh_device("jbd-uart", 0, 0);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0xa503, 0, RX("dda50300fffd77"), error), EXCHANGE_FAILED);
	assert_string_equal(error, "no reply, only our own bytes came back");
	device_free(&dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrong_checksum_is_dropped),
		cmocka_unit_test(a_reply_to_another_register_is_no_answer),
		cmocka_unit_test(noise_before_between_and_after_is_no_matter),
		cmocka_unit_test(a_refusal_with_a_wrong_checksum_is_still_a_refusal),
		cmocka_unit_test(the_echo_of_an_adapter_is_no_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
