/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/reading.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BIT(n) (UINT64_C(1) << (n))

#define QUANTITY_ROW(id, name, unit, decimals) {name, unit, decimals},
static const struct quantity_def quantities[QUANTITY_COUNT] = {READING_QUANTITIES(QUANTITY_ROW)};
#undef QUANTITY_ROW
#define NAME_ROW(id, name) name,
static const char *const flag_names[FLAG_COUNT] = {READING_FLAGS(NAME_ROW)};
static const char *const text_names[TEXT_COUNT] = {READING_TEXTS(NAME_ROW)};
#undef NAME_ROW

_Static_assert(QUANTITY_COUNT <= 64 && MAX_CELLS <= 64, "presence bits are 64 wide");
_Static_assert(MAX_TEMPERATURES <= MAX_CELLS, "a series holds MAX_CELLS places");

const struct quantity_def *quantity_def(enum quantity q)
{
	return &quantities[q];
}

const char *flag_name(enum flag f)
{
	return flag_names[f];
}

const char *text_name(enum text t)
{
	return text_names[t];
}

void reading_set(struct reading *r, enum quantity q, double value)
{
	if (!isfinite(value)) {
		reading_forget(r, q);
		return;
	}
	r->number[q] = value;
	r->known |= BIT(q);
	r->derived &= ~BIT(q);
}

void reading_forget(struct reading *r, enum quantity q)
{
	r->known &= ~BIT(q);
	r->derived &= ~BIT(q);
	r->number[q] = 0;
}

bool reading_knows(const struct reading *r, enum quantity q)
{
	return r->known & BIT(q);
}

bool reading_reported(const struct reading *r, enum quantity q)
{
	return r->known & ~r->derived & BIT(q);
}

double reading_get(const struct reading *r, enum quantity q)
{
	return reading_knows(r, q) ? r->number[q] : NAN;
}

void reading_set_flag(struct reading *r, enum flag f, bool on)
{
	r->flag[f] = on ? ON : OFF;
}

enum tri reading_flag(const struct reading *r, enum flag f)
{
	return (enum tri)r->flag[f];
}

void reading_set_text(struct reading *r, enum text t, const char *text)
{
	snprintf(r->text[t], sizeof(r->text[t]), "%s", text);
}

void reading_set_detail(struct reading *r, const char *name, double value)
{
	unsigned i = 0;

	while (i < r->detail_count && strcmp(r->detail[i].name, name) != 0)
		i++;
	if (isfinite(value)) {
		if (i == MAX_DETAILS)
			return;
		r->detail[i] = (struct detail){name, value};
		if (i == r->detail_count)
			r->detail_count++;
	} else if (i < r->detail_count) {
		r->detail_count--;
		memmove(&r->detail[i], &r->detail[i + 1], (r->detail_count - i) * sizeof(r->detail[0]));
	}
}

double reading_detail(const struct reading *r, const char *name)
{
	for (unsigned i = 0; i < r->detail_count; i++)
		if (!strcmp(r->detail[i].name, name))
			return r->detail[i].value;
	return NAN;
}

void series_start(struct series *s, unsigned count)
{
	memset(s, 0, sizeof(*s));
	s->reported = true;
	s->count = count < MAX_CELLS ? count : MAX_CELLS;
}

void series_set(struct series *s, unsigned place, double value)
{
	if (place >= MAX_CELLS)
		return;
	s->reported = true;
	if (s->count <= place)
		s->count = place + 1;
	if (isfinite(value)) {
		s->value[place] = value;
		s->known |= BIT(place);
	} else {
		s->value[place] = 0;
		s->known &= ~BIT(place);
	}
}

bool series_knows(const struct series *s, unsigned place)
{
	return place < s->count && (s->known & BIT(place));
}

static void derive(struct reading *r, enum quantity q, double value)
{
	if (reading_knows(r, q) || !isfinite(value))
		return;
	reading_set(r, q, value);
	r->derived |= BIT(q);
}

/* Lowest and highest of s with their numbers, as four derived quantities. */
static void derive_extremes(struct reading *r, const struct series *s, bool zero_counts, enum quantity min,
			    enum quantity max, enum quantity min_no, enum quantity max_no)
{
	int lo = -1, hi = -1;

	for (unsigned i = 0; i < s->count; i++) {
		if (!series_knows(s, i) || (s->value[i] == 0 && !zero_counts))
			continue;
		if (lo < 0 || s->value[i] < s->value[lo])
			lo = (int)i;
		if (hi < 0 || s->value[i] > s->value[hi])
			hi = (int)i;
	}
	if (lo < 0)
		return;
	/* A number without its voltage, or the other way round, would mix two moments. */
	if (!reading_knows(r, min) && !reading_knows(r, min_no)) {
		derive(r, min, s->value[lo]);
		derive(r, min_no, lo + 1);
	}
	if (!reading_knows(r, max) && !reading_knows(r, max_no)) {
		derive(r, max, s->value[hi]);
		derive(r, max_no, hi + 1);
	}
}

static bool series_complete(const struct series *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!series_knows(s, i))
			return false;
	return s->count > 0;
}

void reading_derive(struct reading *r)
{
	derive(r, Q_POWER_W, reading_get(r, Q_VOLTAGE_V) * reading_get(r, Q_CURRENT_A));
	if (r->cell_V.count)
		derive(r, Q_CELL_COUNT, r->cell_V.count);
	if (series_complete(&r->cell_V))
		derive_extremes(r, &r->cell_V, false, Q_CELL_MIN_V, Q_CELL_MAX_V, Q_CELL_MIN_NO, Q_CELL_MAX_NO);
	derive_extremes(r, &r->temperatures, true, Q_TEMP_MIN_C, Q_TEMP_MAX_C, Q_TEMP_MIN_NO, Q_TEMP_MAX_NO);
	if (r->balancing_known && r->flag[F_BALANCING_ACTIVE] == UNKNOWN)
		reading_set_flag(r, F_BALANCING_ACTIVE, r->balancing != 0);
}

static bool outside(const struct reading *r, enum quantity q, double lo, double hi)
{
	double v = reading_get(r, q);

	return v < lo || v > hi; /* NAN: neither */
}

bool reading_plausible(const struct reading *r, const char **why)
{
	static const struct {
		enum quantity q;
		double lo, hi;
		const char *why;
	} bound[] = {
		{Q_VOLTAGE_V, 0, 200, "pack voltage outside 0..200 V"},
		{Q_CURRENT_A, -1000, 1000, "current outside +-1000 A"},
		{Q_SOC_PCT, 0, 100, "SoC outside 0..100 %"},
		{Q_CAPACITY_FULL_AH, 0, 5000, "capacity outside 0..5000 Ah"},
		{Q_CELL_COUNT, 1, MAX_CELLS, "cell count outside 1..48"},
	};

	for (size_t i = 0; i < sizeof(bound) / sizeof(bound[0]); i++) {
		if (outside(r, bound[i].q, bound[i].lo, bound[i].hi)) {
			*why = bound[i].why;
			return false;
		}
	}
	return true;
}
