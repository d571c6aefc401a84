/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Decimal rounding as the engine specification means it (section 1). */
#ifndef LIMITS_ROUND_H
#define LIMITS_ROUND_H

#define ROUND_MAX_DECIMALS 9

/*
 * x to so many decimals (0 to ROUND_MAX_DECIMALS): nearest, ties to even, judged on the exact binary
 * value, and then the double next to that decimal number: what strtod() makes of printf("%.*f"). Never
 * -0. What is not finite stays, and so does what is too large to have all these decimals in a double
 * (from 4.5e15 without, 4.5e9 with six decimals).
 */
double round_to(double x, int decimals);

#endif
