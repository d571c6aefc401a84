/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Electrical and temperature values (section 4): what the reading says, corrected and counted. */
#include "limits/state.h"

#include <string.h>

/* 4.3 */
#define SENSOR_MIN (-20.0)
#define SENSOR_MAX 100.0

/* ---- current, power ---- */

/* What has flowed since the last good poll, with the current and power of that poll. */
static void accumulate(struct limits_state *s)
{
	double dt = since(s, s->good_t);
	double q = s->out.current * dt / 3600, e = s->out.power * dt / 3600;

	if (q < 0) {
		s->sum.ah_out -= q;
		s->sum.ah_out_run -= q;
	}
	if (e > 0)
		s->sum.wh_in += e;
	else if (e < 0)
		s->sum.wh_out -= e;
}

static bool same_list(const struct number_list *a, const struct number_list *b)
{
	return a->n == b->n && !memcmp(a->v, b->v, a->n * sizeof(a->v[0]));
}

static double corrected_current(const struct config *c, const struct limits_input *in)
{
	const struct number_list *reported = &c->current_reported_by_bms, *measured = &c->current_measured_by_user;

	if (known(in->ext_current))
		return round_to(in->ext_current, 3);
	if (!known(in->current) || same_list(reported, measured))
		return in->current;
	return round_to(curve_linear(in->current, reported, measured, 1), 3);
}

void measure_current(struct limits_state *s, const struct config *c, const struct limits_input *in)
{
	double current = corrected_current(c, in);

	accumulate(s);
	if (known(current) && in->discharge_fet == OFF)
		current = fmax(0, current);
	if (known(current) && in->charge_fet == OFF)
		current = fmin(0, current);
	s->out.voltage = in->voltage;
	s->out.current = current;
	s->out.power = in->voltage * current;
}

/* ---- cells ---- */

static bool plausible(const struct config *c, double cell)
{
	return known(cell) && cell <= 2 * c->max_cell_voltage;
}

/* Number of cells that are given singly; those that are not known count too. */
static unsigned single_cells(const struct limits_input *in)
{
	return in->single_cells ? in->cells : 0;
}

void measure_cells(struct limits_state *s, const struct config *c, const struct limits_input *in)
{
	struct limits_output *out = &s->out;
	unsigned n = single_cells(in), good = 0;
	double sum = 0;

	out->cell_min = out->cell_max = NAN;
	out->cell_min_no = out->cell_max_no = 0;
	for (unsigned i = 0; i < n; i++) {
		double v = in->cell[i];

		if (!plausible(c, v))
			continue;
		good++;
		sum += v;
		if (!out->cell_min_no || v < out->cell_min) {
			out->cell_min = v;
			out->cell_min_no = (int)i + 1;
		}
		if (!out->cell_max_no || v > out->cell_max) {
			out->cell_max = v;
			out->cell_max_no = (int)i + 1;
		}
	}
	if (plausible(c, in->cell_lo))
		out->cell_min = in->cell_lo;
	if (plausible(c, in->cell_hi))
		out->cell_max = in->cell_hi;
	out->cell_sum = good ? round_to(sum, 2) : NAN;
	out->cell_diff = round_to(out->cell_max - out->cell_min, 3);
	s->vsum = round_to(n && good == n ? sum : known(in->voltage) ? in->voltage : good ? sum : NAN, 6);
}

double cells_over(const struct config *c, const struct limits_input *in, double cell_max, double allowed)
{
	unsigned n = single_cells(in), good = 0;
	double over = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!plausible(c, in->cell[i]))
			continue;
		good++;
		over += fmax(0, in->cell[i] - allowed);
	}
	return round_to(good ? over : fmax(0, cell_max - allowed), 6);
}

/* ---- temperatures ---- */

static double adjusted(double raw, const struct number_list *adjust)
{
	return round_to(clamp(raw, SENSOR_MIN, SENSOR_MAX), 1) * adjust->v[1] + adjust->v[0];
}

void measure_temperatures(struct limits_state *s, const struct config *c, const struct limits_input *in)
{
	const struct number_list *source = &c->temperature_source_battery;
	struct limits_output *out = &s->out;
	bool chosen[LIMITS_MAX_SENSORS] = {false};
	double sum = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < source->n; i++)
		chosen[(unsigned)source->v[i] - 1] = true;
	out->temp = out->temp_min = out->temp_max = NAN;
	out->temp_min_no = out->temp_max_no = 0;
	for (unsigned i = 0; i < LIMITS_MAX_SENSORS; i++) {
		double t = known(in->temp[i]) ? adjusted(in->temp[i], &c->temperature_adjust[i]) : NAN;

		out->temp_sensor[i] = t;
		if (!chosen[i] || !known(t))
			continue;
		n++;
		sum += t;
		if (!out->temp_min_no || t < out->temp_min) {
			out->temp_min = t;
			out->temp_min_no = (int)i + 1;
		}
		if (!out->temp_max_no || t >= out->temp_max) {
			out->temp_max = t;
			out->temp_max_no = (int)i + 1;
		}
	}
	if (n)
		out->temp = round_to(sum / n, 1);
	out->temp_mos = known(in->temp_mos) ? adjusted(in->temp_mos, &c->temperature_mos_adjust) : NAN;
}

/* ---- midpoint ---- */

static double sum_of(const double *v, unsigned n)
{
	double sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += v[i];
	return sum;
}

/* 4.4. An unknown cell makes the sums NAN, and so both outputs. */
void measure_midpoint(struct limits_state *s, const struct config *c, const struct limits_input *in)
{
	unsigned n = single_cells(in), half = n / 2;

	s->out.mid = s->out.mid_dev = NAN;
	if (!c->midpoint_enable || n < 4)
		return;
	double a = sum_of(in->cell, half), b = sum_of(in->cell + n - half, half), x = n % 2 ? in->cell[half] / 2 : 0;

	if (a + b == 0)
		return;
	s->out.mid = fabs(a + x);
	s->out.mid_dev = fabs((b - a) / (b + a) * 100);
	if (!known(s->out.mid))
		s->out.mid_dev = NAN;
}
