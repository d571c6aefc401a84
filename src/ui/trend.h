/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The last hour of a pack in steps of three seconds: what trends and their plots are made of. */
#ifndef UI_TREND_H
#define UI_TREND_H

#include "model/reading.h"

#define TREND_STEP_MS 3000
#define TREND_STEPS   1200 /* an hour */
#define TREND_TEN_MIN 200  /* steps */
#define TREND_NEED    20   /* steps: a minute, before a slope is worth showing */

enum trend_row { TREND_SPREAD_mV, TREND_MEAN_V, TREND_CELL };
#define TREND_ROWS (TREND_CELL + MAX_CELLS) /* cells from TREND_CELL on: mV above their mean */

struct trend {
	uint64_t step; /* number of the newest step, in which readings are still averaged; 0: nothing yet */
	unsigned n;    /* steps kept, that one included */
	unsigned readings[TREND_ROWS]; /* in the newest step */
	double sum[TREND_ROWS];
	float *value[TREND_ROWS]; /* rings of TREND_STEPS, allocated when first needed */
};

void trend_add(struct trend *t, const struct reading *r, uint64_t ms);
void trend_free(struct trend *t);
/* The last values of a row, oldest first, NAN where nothing is known; at most max. Returns how many. */
unsigned trend_last(const struct trend *t, unsigned row, unsigned max, float *out);
/* Rise per minute over the last ten minutes; NAN: not enough known yet. */
double trend_per_minute(const struct trend *t, unsigned row);

#endif
