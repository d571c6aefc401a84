/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/trend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/widgets.h"

static float *place(struct trend *t, unsigned row)
{
	if (!t->value[row]) {
		t->value[row] = malloc(TREND_STEPS * sizeof(float));
		for (unsigned i = 0; t->value[row] && i < TREND_STEPS; i++)
			t->value[row][i] = NAN;
	}
	return t->value[row] ? &t->value[row][t->step % TREND_STEPS] : NULL;
}

/* From one step to a later one; those between are unknown. */
static void advance(struct trend *t, uint64_t step)
{
	uint64_t passed = step - t->step;

	if (!t->step || step < t->step) { /* the first one, or the clock of a recording began anew */
		passed = TREND_STEPS;
		t->n = 0;
	}
	for (uint64_t s = passed < TREND_STEPS ? t->step + 1 : step - TREND_STEPS + 1; s <= step; s++)
		for (unsigned row = 0; row < TREND_ROWS; row++)
			if (t->value[row])
				t->value[row][s % TREND_STEPS] = NAN;
	t->n = t->n && t->n + passed < TREND_STEPS ? t->n + (unsigned)passed : t->n ? TREND_STEPS : 1;
	t->step = step;
	memset(t->readings, 0, sizeof(t->readings));
	memset(t->sum, 0, sizeof(t->sum));
}

static void take(struct trend *t, unsigned row, double v)
{
	float *at = isnan(v) ? NULL : place(t, row);

	if (!at)
		return;
	t->sum[row] += v;
	*at = (float)(t->sum[row] / ++t->readings[row]);
}

static double mean_cell(const struct reading *r)
{
	double sum = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < r->cell_V.count; i++) {
		if (series_knows(&r->cell_V, i) && r->cell_V.value[i] > 0) {
			sum += r->cell_V.value[i];
			n++;
		}
	}
	return n ? sum / n : NAN;
}

void trend_add(struct trend *t, const struct reading *r, uint64_t ms)
{
	uint64_t step = ms / TREND_STEP_MS + TREND_STEPS; /* so that there are that many before the first */
	double mean = mean_cell(r);

	if (step != t->step)
		advance(t, step);
	take(t, TREND_SPREAD_mV, (reading_get(r, Q_CELL_MAX_V) - reading_get(r, Q_CELL_MIN_V)) * 1000);
	take(t, TREND_MEAN_V, mean);
	for (unsigned i = 0; i < r->cell_V.count; i++)
		if (series_knows(&r->cell_V, i))
			take(t, TREND_CELL + i, (r->cell_V.value[i] - mean) * 1000);
}

void trend_free(struct trend *t)
{
	for (unsigned row = 0; row < TREND_ROWS; row++)
		free(t->value[row]);
}

unsigned trend_last(const struct trend *t, unsigned row, unsigned max, float *out)
{
	unsigned n = t->n < max ? t->n : max;

	for (unsigned i = 0; i < n; i++)
		out[i] = t->value[row] ? t->value[row][(t->step - n + 1 + i) % TREND_STEPS] : NAN;
	return n;
}

double trend_per_minute(const struct trend *t, unsigned row)
{
	float v[TREND_TEN_MIN];
	unsigned n = trend_last(t, row, TREND_TEN_MIN, v);

	return slope_of(v, n, TREND_NEED) * (60000.0 / TREND_STEP_MS);
}
