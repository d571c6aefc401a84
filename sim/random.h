/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Chance that can be repeated: every number follows from a seed. */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include <stdint.h>

/* A well stirred number out of x: the finaliser of the splitmix64 generator. */
static inline uint64_t random_stir(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* The next number of the sequence that *state stands for. */
static inline uint64_t random_next(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15u;
	return random_stir(*state);
}

/* The next whole number in low..high, both included. */
static inline uint32_t random_between(uint64_t *state, uint32_t low, uint32_t high)
{
	return low + (uint32_t)(random_next(state) % ((uint64_t)high - low + 1));
}

/* x as a number in 0..1, 1 excluded. */
static inline double random_unit(uint64_t x)
{
	return (double)(x >> 11) * 0x1p-53;
}

#endif
