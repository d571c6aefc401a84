/* SPDX-License-Identifier: GPL-3.0-or-later */
/* round_to() against what the C library prints and reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "limits/round.h"

#define RANDOM_VALUES 300000 /* of each number of decimals */

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static double printed_and_read(double x, int decimals)
{
	char text[400];

	snprintf(text, sizeof(text), "%.*f", decimals, x);
	return strtod(text, NULL);
}

static void expect_same(double x, int decimals)
{
	double expected = printed_and_read(x, decimals), got = round_to(x, decimals);

	if (got != expected)
		fail_msg("%.17g to %d decimals: expected %.17g, got %.17g", x, decimals, expected, got);
}

static void random_values_round_as_printf_does(void **unused)
{
	uint64_t seed = 88172645463325252;

	(void)unused;
	for (int decimals = 0; decimals <= 6; decimals++)
		for (int i = 0; i < RANDOM_VALUES; i++) {
			uint64_t r = next_random(&seed);
			double fraction = (double)(int64_t)r / 9.3e18, scale = pow(10, (double)(r % 10) - 4);

			expect_same(fraction * scale, decimals);
		}
}

/* 0.5, 1.5, .. steps of the last decimal: exact ties, and decimals that lie beside one by half an ulp. */
static void ties_and_their_neighbours_round_as_printf_does(void **unused)
{
	(void)unused;
	for (int decimals = 0; decimals <= 6; decimals++)
		for (int k = 0; k < 100000; k++) {
			double tie = (2 * k + 1) / (2 * pow(10, decimals));

			expect_same(tie, decimals);
			expect_same(-tie, decimals);
			expect_same(nextafter(tie, 0), decimals);
			expect_same(nextafter(tie, INFINITY), decimals);
		}
}

static void binary_fractions_round_to_even_at_ties(void **unused)
{
	(void)unused;
	for (int decimals = 0; decimals <= 6; decimals++)
		for (int k = 0; k < 200000; k++)
			expect_same(k / 128.0, decimals);
	assert_true(round_to(7 * 3.375, 2) == 23.62);
	assert_true(round_to(1.115, 2) == 1.11);
	assert_true(round_to(0.125, 2) == 0.12);
	assert_true(round_to(0.375, 2) == 0.38);
	assert_true(round_to(2.5, 0) == 2);
}

static void what_is_no_number_stays(void **unused)
{
	(void)unused;
	assert_true(isnan(round_to(NAN, 3)));
	assert_true(round_to(INFINITY, 3) == INFINITY);
	assert_true(round_to(-INFINITY, 3) == -INFINITY);
}

static void zero_has_no_sign(void **unused)
{
	(void)unused;
	assert_false(signbit(round_to(-0.0001, 2)));
	assert_false(signbit(round_to(-0.0, 2)));
	assert_true(round_to(-0.006, 2) == -0.01);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_values_round_as_printf_does),
		cmocka_unit_test(ties_and_their_neighbours_round_as_printf_does),
		cmocka_unit_test(binary_fractions_round_to_even_at_ties),
		cmocka_unit_test(what_is_no_number_stays),
		cmocka_unit_test(zero_has_no_sign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
