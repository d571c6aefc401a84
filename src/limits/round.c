/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "limits/round.h"

#include <math.h>

static const double power_of_ten[ROUND_MAX_DECIMALS + 1] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};

#define ALL_INTEGERS 4503599627370496.0 /* 2^52: from here on doubles have no fraction */

/*
 * x times the power of ten is not exact, but what the product lost is: fma() gives it. It can only
 * matter when the product seems to lie exactly between two integers, for else it lies further from the
 * middle than the loss is large. The quotient of two integers that are both exact is then the nearest
 * double there is.
 */
double round_to(double x, int decimals)
{
	double p = power_of_ten[decimals], a = fabs(x), scaled = a * p;

	if (!(scaled < ALL_INTEGERS))
		return x;
	double below = floor(scaled), beyond_middle = scaled - below - 0.5;

	if (beyond_middle == 0)
		beyond_middle = fma(a, p, -scaled);
	if (beyond_middle > 0 || (beyond_middle == 0 && fmod(below, 2) != 0))
		below += 1;
	return copysign(below / p, below != 0 ? x : 1);
}
