/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/plausible.h"

#include <math.h>

#define UNREAD_V    0.5
#define HIGHEST_V   5.0
#define TOLERANCE   0.02
#define WITH_UNREAD 0.05

bool cells_make_up_voltage(const struct reading *r)
{
	const struct series *s = &r->cell_V;
	double sum = 0, voltage = reading_get(r, Q_VOLTAGE_V);
	unsigned read = 0, unread = 0;

	for (unsigned i = 0; i < s->count; i++) {
		if (!series_knows(s, i))
			continue;
		if (s->value[i] > HIGHEST_V)
			return false;
		if (s->value[i] < UNREAD_V) {
			unread++;
			continue;
		}
		sum += s->value[i];
		read++;
	}
	if (!read || unread > read)
		return false;
	return fabs(sum / read * (read + unread) - voltage) <= (unread ? WITH_UNREAD : TOLERANCE) * voltage;
}

bool temperatures_within(const struct reading *r, double lowest, double highest)
{
	const struct series *s = &r->temperatures;

	for (unsigned i = 0; i < s->count; i++)
		if (series_knows(s, i) && (s->value[i] < lowest || s->value[i] > highest))
			return false;
	return true;
}

double cells_by_extremes(const struct reading *r)
{
	double highest = reading_get(r, Q_CELL_MAX_V), lowest = reading_get(r, Q_CELL_MIN_V);
	double cells = round(reading_get(r, Q_VOLTAGE_V) / ((highest + lowest) / 2));

	return lowest > 0.5 && highest - lowest < 0.05 && cells >= 1 && cells <= MAX_CELLS ? cells : NAN;
}
