/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Limit curves (section 7): a current over a cell voltage, a temperature or the SoC. */
#include "limits/state.h"

/* Which end of an interval the step function takes, on the ascending list. */
enum side { LOWER, UPPER };

struct curve {
	bool enabled;
	const struct number_list *x, *fraction;
	double max;
	enum side side;
};

static struct curve curve_of(const struct config *c, enum limits_curve curve, bool charging)
{
	double charge = c->max_battery_charge_current, discharge = c->max_battery_discharge_current;

	switch (curve) {
	case CURVE_CELL:
		if (charging)
			return (struct curve){c->cccm_cv_enable, &c->cell_voltages_while_charging,
					      &c->max_charge_current_cv_fraction, charge, LOWER};
		return (struct curve){c->dccm_cv_enable, &c->cell_voltages_while_discharging,
				      &c->max_discharge_current_cv_fraction, discharge, UPPER};
	case CURVE_TEMP:
		if (charging)
			return (struct curve){c->cccm_t_enable, &c->temperatures_while_charging,
					      &c->max_charge_current_t_fraction, charge, LOWER};
		return (struct curve){c->dccm_t_enable, &c->temperatures_while_discharging,
				      &c->max_discharge_current_t_fraction, discharge, UPPER};
	case CURVE_MOSFET:
		if (charging)
			return (struct curve){c->cccm_t_mosfet_enable, &c->mosfet_temperatures_while_charging,
					      &c->max_charge_current_t_mosfet_fraction, charge, LOWER};
		return (struct curve){c->dccm_t_mosfet_enable, &c->mosfet_temperatures_while_discharging,
				      &c->max_discharge_current_t_mosfet_fraction, discharge, LOWER};
	case CURVE_SOC:
	case CURVE_COUNT:
		break;
	}
	if (charging)
		return (struct curve){c->cccm_soc_enable, &c->soc_while_charging, &c->max_charge_current_soc_fraction,
				      charge, UPPER};
	return (struct curve){c->dccm_soc_enable, &c->soc_while_discharging, &c->max_discharge_current_soc_fraction,
			      discharge, UPPER};
}

/* Lists as the validator lets them pass: ascending or descending, equally long. */
struct points {
	const struct number_list *x, *y;
	double scale; /* of y */
};

/* The k-th point of the ascending list. */
static unsigned place(const struct points *p, unsigned k)
{
	return p->x->v[0] > p->x->v[p->x->n - 1] ? p->x->n - 1 - k : k;
}

static double x_at(const struct points *p, unsigned k)
{
	return p->x->v[place(p, k)];
}

static double y_at(const struct points *p, unsigned k)
{
	return p->y->v[place(p, k)] * p->scale;
}

/* Index of the first point above v; 0 and n: v is at or beyond an end. */
static unsigned interval(const struct points *p, double v)
{
	unsigned i = 1, last = p->x->n - 1;

	if (v <= x_at(p, 0))
		return 0;
	if (v >= x_at(p, last))
		return last + 1;
	while (x_at(p, i) <= v)
		i++;
	return i;
}

/* 7.1; section 1: the terms in this order. */
static double linear(const struct points *p, double v)
{
	unsigned i = interval(p, v);

	if (i == 0)
		return y_at(p, 0);
	if (i == p->x->n)
		return y_at(p, i - 1);
	double before = y_at(p, i - 1), after = y_at(p, i);
	double y = after + (v - x_at(p, i)) / (x_at(p, i - 1) - x_at(p, i)) * (before - after);

	return clamp(y, fmin(before, after), fmax(before, after));
}

/* 7.2 */
static double step(const struct points *p, double v, enum side side)
{
	unsigned i = interval(p, v);

	if (i == 0)
		return y_at(p, 0);
	return y_at(p, i == p->x->n || side == LOWER ? i - 1 : i);
}

double curve_linear(double v, const struct number_list *x, const struct number_list *y, double scale)
{
	return linear(&(struct points){x, y, scale}, v);
}

bool limits_curve_enabled(const struct config *c, enum limits_curve curve, bool charging)
{
	return curve_of(c, curve, charging).enabled;
}

void limits_curve_range(const struct config *c, enum limits_curve curve, bool charging, double *lo, double *hi)
{
	struct curve k = curve_of(c, curve, charging);
	struct points p = {k.x, k.fraction, k.max};

	*lo = x_at(&p, 0);
	*hi = x_at(&p, p.x->n - 1);
}

double limits_curve_at(const struct config *c, enum limits_mode mode, enum limits_curve curve, bool charging, double x)
{
	struct curve k = curve_of(c, curve, charging);
	struct points p = {k.x, k.fraction, k.max};

	if (!known(x))
		return NAN;
	return mode == LIMITS_STEP ? step(&p, x, k.side) : linear(&p, x);
}
