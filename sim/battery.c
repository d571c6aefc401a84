/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/battery.h"

#include <math.h>
#include <string.h>

#include "sim/random.h"

/* ---- chemistry ---- */

struct ocv_point {
	double soc, V;
};

/* At rest, 25 degC. The ends go on steeply: overcharge and deep discharge. */
static const struct ocv_point lfp[] = {
	{-0.05, 1.80}, {0.00, 2.50},  {0.02, 2.85},  {0.05, 3.05},  {0.10, 3.18},  {0.20, 3.235}, {0.30, 3.265},
	{0.40, 3.285}, {0.50, 3.296}, {0.60, 3.308}, {0.70, 3.324}, {0.80, 3.333}, {0.90, 3.342}, {0.95, 3.350},
	{0.98, 3.372}, {0.99, 3.400}, {1.00, 3.450}, {1.01, 3.55},  {1.05, 3.95},
};
static const struct ocv_point nmc[] = {
	{-0.05, 2.20}, {0.00, 3.00}, {0.05, 3.38}, {0.10, 3.48}, {0.20, 3.57}, {0.30, 3.62}, {0.40, 3.66},
	{0.50, 3.72},  {0.60, 3.80}, {0.70, 3.89}, {0.80, 3.98}, {0.90, 4.07}, {1.00, 4.17}, {1.05, 4.40},
};

static const struct ocv_point *curve_of(enum chemistry chemistry, size_t *n)
{
	*n = chemistry == NMC ? sizeof(nmc) / sizeof(nmc[0]) : sizeof(lfp) / sizeof(lfp[0]);
	return chemistry == NMC ? nmc : lfp;
}

double chemistry_ocv(enum chemistry chemistry, double soc)
{
	size_t n, i = 1;
	const struct ocv_point *p = curve_of(chemistry, &n);

	while (i + 1 < n && p[i].soc < soc)
		i++;
	return p[i - 1].V + (soc - p[i - 1].soc) / (p[i].soc - p[i - 1].soc) * (p[i].V - p[i - 1].V);
}

double chemistry_soc(enum chemistry chemistry, double V)
{
	size_t n, i = 1;
	const struct ocv_point *p = curve_of(chemistry, &n);

	while (i + 1 < n && p[i].V < V)
		i++;
	return p[i - 1].soc + (V - p[i - 1].V) / (p[i].V - p[i - 1].V) * (p[i].soc - p[i - 1].soc);
}

struct cell_limits {
	double ov, ov_release, uv, uv_release, balance_start, full, empty;
};

static const struct cell_limits cell_limits[] = {
	[LFP] = {3.65, 3.45, 2.50, 2.90, 3.40, 3.50, 2.60},
	[NMC] = {4.25, 4.15, 2.80, 3.20, 4.00, 4.18, 3.00},
};

static void set_cell_limits(struct battery_settings *s, const struct cell_limits *l, unsigned cells)
{
	s->cell_ov = l->ov;
	s->cell_ov_release = l->ov_release;
	s->cell_uv = l->uv;
	s->cell_uv_release = l->uv_release;
	s->pack_ov = l->ov * cells;
	s->pack_ov_release = l->ov_release * cells;
	s->pack_uv = l->uv * cells;
	s->pack_uv_release = l->uv_release * cells;
	s->balance_start = l->balance_start;
	s->cell_full = l->full;
	s->cell_empty = l->empty;
}

static struct battery_settings default_settings(const struct battery_start *s)
{
	struct battery_settings out = {
		.charge_ot = 55,
		.charge_ot_release = 50,
		.charge_ut = 0,
		.charge_ut_release = 5,
		.discharge_ot = 65,
		.discharge_ot_release = 60,
		.discharge_ut = -20,
		.discharge_ut_release = -10,
		.mos_ot = 90,
		.mos_ot_release = 70,
		.oc_delay = 5,
		.oc_release = 30,
		.cell_difference = 0.3,
		.cell_difference_release = 0.2,
		.low_soc = 10,
		.low_soc_release = 15,
		.balance_window = 0.010,
		.design_Ah = s->capacity_Ah,
		.charge_switch = true,
		.discharge_switch = true,
		.balance_switch = true,
	};

	set_cell_limits(&out, &cell_limits[s->chemistry], s->cells);
	out.charge_oc = fmin(200, fmax(20, 5 * round(0.7 * s->capacity_Ah / 5)));
	out.discharge_oc = fmin(250, fmax(30, 5 * round(s->capacity_Ah / 5)));
	out.balance_current = s->balancer == BALANCER_BLEEDS ? 0.1 : 2.0;
	return out;
}

/* ---- the start ---- */

/* A number in -1..1 that stays the same for this battery. */
static double trait(const struct battery *b, unsigned what, unsigned which)
{
	return 2 * random_unit(random_stir(b->start.seed ^ random_stir((uint64_t)what << 32 | which))) - 1;
}

enum traits { TRAIT_CAPACITY = 1, TRAIT_RESISTANCE, TRAIT_LEAK, TRAIT_OFFSET, TRAIT_SENSOR, TRAIT_LOAD, TRAIT_ENDS };

/* How far cell i lies from the middle at rest, as a part of the spread: -0.5..0.5, both ends taken. */
static double place_in_spread(const struct battery *b, unsigned i)
{
	unsigned n = b->start.cells;
	unsigned low =
		b->start.weak_cell ? b->start.weak_cell - 1 : (unsigned)((trait(b, TRAIT_ENDS, 0) + 1) / 2 * n) % n;
	unsigned high = n > 1 ? (low + 1 + (unsigned)((trait(b, TRAIT_ENDS, 1) + 1) / 2 * (n - 1)) % (n - 1)) % n : low;

	if (n == 1)
		return 0;
	return i == low ? -0.5 : i == high ? 0.5 : 0.4 * trait(b, TRAIT_OFFSET, i);
}

static void cell_init(struct battery *b, unsigned i)
{
	struct battery_cell *c = &b->cell[i];
	const struct battery_start *s = &b->start;
	double middle = chemistry_ocv(s->chemistry, s->soc_pct / 100);

	c->capacity_Ah = b->full_Ah * (1 + 0.01 * trait(b, TRAIT_CAPACITY, i));
	/* 0.2 mohm at 280 Ah, 0.6 mohm at 100 Ah */
	c->resistance_ohm = 0.06 / s->capacity_Ah * (1 + 0.1 * trait(b, TRAIT_RESISTANCE, i));
	/* 1..3 % a month */
	c->leak_A = s->capacity_Ah * (0.02 + 0.01 * trait(b, TRAIT_LEAK, i)) / (30 * 24);
	if (i + 1 == s->weak_cell) {
		c->capacity_Ah *= s->weak_pct / 100;
		c->resistance_ohm *= 200 / (100 + s->weak_pct);
	}
	c->V = middle + place_in_spread(b, i) * s->imbalance_mV / 1000;
	c->charge_Ah = c->capacity_Ah * chemistry_soc(s->chemistry, c->V);
}

static void update_switches(struct battery *b);
static void update_voltages(struct battery *b);
static void update_guards(struct battery *b, double dt);
static void update_balancing(struct battery *b);
static double wanted_current(const struct battery *b);
static double passed_current(const struct battery *b, double wanted);

void battery_init(struct battery *b, const struct battery_start *start)
{
	memset(b, 0, sizeof(*b));
	b->start = *start;
	b->settings = default_settings(start);
	b->full_Ah = start->capacity_Ah * start->soh_pct / 100;
	b->remaining_Ah = b->full_Ah * start->soc_pct / 100;
	b->discharged_Ah = b->full_Ah * start->cycles;
	b->charged_Ah = b->discharged_Ah + b->remaining_Ah;
	b->temperature_C = start->temperature_C;
	b->mos_C = start->temperature_C + 3;
	b->phase = start->soc_pct < 80 ? CHARGING : DISCHARGING;
	for (unsigned i = 0; i < start->cells; i++)
		cell_init(b, i);
	update_guards(b, 60); /* it has been so for a while */
	update_switches(b);
	b->current_A = passed_current(b, wanted_current(b));
	update_voltages(b);
	update_balancing(b);
}

/* ---- what is now ---- */

struct extremes {
	unsigned highest, lowest;
	double max, min, sum;
};

static struct extremes extremes_of(const struct battery *b)
{
	struct extremes e = {0, 0, b->cell[0].V, b->cell[0].V, 0};

	for (unsigned i = 0; i < b->start.cells; i++) {
		double V = b->cell[i].V;

		e.sum += V;
		if (V > e.max)
			e.max = V, e.highest = i;
		if (V < e.min)
			e.min = V, e.lowest = i;
	}
	return e;
}

static double cell_ocv(const struct battery *b, unsigned i)
{
	return chemistry_ocv(b->start.chemistry, b->cell[i].charge_Ah / b->cell[i].capacity_Ah);
}

static void update_voltages(struct battery *b)
{
	for (unsigned i = 0; i < b->start.cells; i++)
		b->cell[i].V = fmax(0, cell_ocv(b, i) + b->current_A * b->cell[i].resistance_ohm);
}

static double soc_of(const struct battery *b)
{
	return b->full_Ah > 0 ? 100 * b->remaining_Ah / b->full_Ah : 0;
}

/* ---- protections ---- */

enum quantity {
	MAX_CELL,
	MIN_CELL,
	PACK_VOLTAGE,
	CHARGE_CURRENT,
	DISCHARGE_CURRENT,
	CELL_TEMPERATURE,
	MOS_TEMPERATURE,
	SPREAD,
	SOC
};

struct guard_rule {
	enum battery_alarm alarm;
	enum quantity quantity;
	bool above;		   /* trips above its threshold, else below */
	size_t threshold, release; /* members of the settings */
	double warn_margin;	   /* the warning comes that much earlier */
	double delay_s;		   /* 0: settings.oc_delay, and released by time */
	unsigned blocks;
};

#define OF(member) offsetof(struct battery_settings, member)

static const struct guard_rule rules[] = {
	{HIGH_CELL_VOLTAGE, MAX_CELL, true, OF(cell_ov), OF(cell_ov_release), 0.05, 2, BLOCKS_CHARGE},
	{LOW_CELL_VOLTAGE, MIN_CELL, false, OF(cell_uv), OF(cell_uv_release), 0.20, 2, BLOCKS_DISCHARGE},
	{HIGH_VOLTAGE, PACK_VOLTAGE, true, OF(pack_ov), OF(pack_ov_release), 0.05, 2, BLOCKS_CHARGE},
	{LOW_VOLTAGE, PACK_VOLTAGE, false, OF(pack_uv), OF(pack_uv_release), 0.20, 2, BLOCKS_DISCHARGE},
	{HIGH_CHARGE_CURRENT, CHARGE_CURRENT, true, OF(charge_oc), OF(charge_oc), 3, 0, BLOCKS_CHARGE},
	{HIGH_DISCHARGE_CURRENT, DISCHARGE_CURRENT, true, OF(discharge_oc), OF(discharge_oc), 3, 0, BLOCKS_DISCHARGE},
	{HIGH_CHARGE_TEMPERATURE, CELL_TEMPERATURE, true, OF(charge_ot), OF(charge_ot_release), 5, 2, BLOCKS_CHARGE},
	{LOW_CHARGE_TEMPERATURE, CELL_TEMPERATURE, false, OF(charge_ut), OF(charge_ut_release), 3, 2, BLOCKS_CHARGE},
	{HIGH_TEMPERATURE, CELL_TEMPERATURE, true, OF(discharge_ot), OF(discharge_ot_release), 5, 2, BLOCKS_DISCHARGE},
	{LOW_TEMPERATURE, CELL_TEMPERATURE, false, OF(discharge_ut), OF(discharge_ut_release), 5, 2, BLOCKS_DISCHARGE},
	{HIGH_INTERNAL_TEMPERATURE, MOS_TEMPERATURE, true, OF(mos_ot), OF(mos_ot_release), 10, 2,
	 BLOCKS_CHARGE | BLOCKS_DISCHARGE},
	{CELL_IMBALANCE, SPREAD, true, OF(cell_difference), OF(cell_difference_release), 0.1, 5, 0},
	{LOW_SOC, SOC, false, OF(low_soc), OF(low_soc_release), 10, 0.5, 0},
	/* Never measured here, only forced. */
	{INTERNAL_FAILURE, SPREAD, true, 0, 0, 0, INFINITY, BLOCKS_CHARGE | BLOCKS_DISCHARGE},
	{SHORT_CIRCUIT, SPREAD, true, 0, 0, 0, INFINITY, BLOCKS_DISCHARGE},
	{FUSE_BLOWN, SPREAD, true, 0, 0, 0, INFINITY, BLOCKS_CHARGE | BLOCKS_DISCHARGE},
	{BMS_CABLE, SPREAD, true, 0, 0, 0, INFINITY, 0},
};

enum { RULES = sizeof(rules) / sizeof(rules[0]) };

static double quantity_of(const struct battery *b, enum quantity q, const struct extremes *e)
{
	switch (q) {
	case MAX_CELL:
		return e->max;
	case MIN_CELL:
		return e->min;
	case PACK_VOLTAGE:
		return e->sum;
	case CHARGE_CURRENT:
		return b->current_A;
	case DISCHARGE_CURRENT:
		return -b->current_A;
	case CELL_TEMPERATURE:
		return b->temperature_C;
	case MOS_TEMPERATURE:
		return b->mos_C;
	case SPREAD:
		return e->max - e->min;
	case SOC:
		return soc_of(b);
	}
	return 0;
}

static double setting_of(const struct battery *b, size_t member)
{
	double v;

	memcpy(&v, (const char *)&b->settings + member, sizeof(v));
	return v;
}

static bool beyond(double value, double threshold, bool above)
{
	return above ? value > threshold : value < threshold;
}

static void guard_update(struct battery *b, const struct guard_rule *r, double value, double dt)
{
	struct battery_guard *g = &b->guard[r->alarm];
	double threshold = setting_of(b, r->threshold);
	double margin = r->quantity == PACK_VOLTAGE ? r->warn_margin * b->start.cells : r->warn_margin;
	bool by_time = r->delay_s <= 0;

	g->warned = beyond(value, r->above ? threshold - margin : threshold + margin, r->above);
	if (g->tripped) {
		g->tripped_s += dt;
		if (by_time ? g->tripped_s >= b->settings.oc_release
			    : !beyond(value, setting_of(b, r->release), r->above))
			*g = (struct battery_guard){.warned = g->warned};
		return;
	}
	g->pending_s = beyond(value, threshold, r->above) ? g->pending_s + dt : 0;
	if (g->pending_s >= (by_time ? b->settings.oc_delay : r->delay_s)) {
		*g = (struct battery_guard){.tripped = true, .warned = g->warned};
		b->trips[r->alarm]++;
	}
}

static void update_guards(struct battery *b, double dt)
{
	struct extremes e = extremes_of(b);

	for (unsigned i = 0; i < RULES; i++)
		if (!isinf(rules[i].delay_s))
			guard_update(b, &rules[i], quantity_of(b, rules[i].quantity, &e), dt);
}

enum battery_alarm_level battery_alarm(const struct battery *b, enum battery_alarm alarm)
{
	unsigned bit = 1u << alarm;

	if (b->guard[alarm].tripped || (b->start.forced[ALARM] & bit))
		return ALARM;
	return b->guard[alarm].warned || (b->start.forced[WARNING] & bit) ? WARNING : QUIET;
}

static unsigned blocked_by_alarms(const struct battery *b)
{
	unsigned blocked = 0;

	for (unsigned i = 0; i < RULES; i++)
		if (battery_alarm(b, rules[i].alarm) == ALARM)
			blocked |= rules[i].blocks;
	return blocked;
}

static void update_switches(struct battery *b)
{
	unsigned blocked = blocked_by_alarms(b);

	if (!(b->stuck & BLOCKS_CHARGE))
		b->charge_mos = b->settings.charge_switch && !(blocked & BLOCKS_CHARGE);
	else
		b->charge_mos = !(blocked & BLOCKS_CHARGE);
	if (!(b->stuck & BLOCKS_DISCHARGE))
		b->discharge_mos = b->settings.discharge_switch && !(blocked & BLOCKS_DISCHARGE);
	else
		b->discharge_mos = !(blocked & BLOCKS_DISCHARGE);
}

void battery_apply_settings(struct battery *b)
{
	update_switches(b);
	b->current_A = passed_current(b, b->current_A);
	update_voltages(b);
	update_balancing(b);
}

void battery_clear_protections(struct battery *b)
{
	for (unsigned i = 0; i < BATTERY_ALARMS; i++)
		b->guard[i] = (struct battery_guard){.warned = b->guard[i].warned};
	battery_apply_settings(b);
}

/* ---- the current ---- */

enum { PAUSE_S = 600 }; /* between charging and discharging */

static double passed_current(const struct battery *b, double wanted)
{
	if ((wanted > 0 && !b->charge_mos) || (wanted < 0 && !b->discharge_mos))
		return 0;
	return wanted;
}

/* What a charger may give that holds the highest cell at "full". */
static double tapered(const struct battery *b, double A)
{
	for (unsigned i = 0; i < b->start.cells; i++)
		A = fmin(A, (b->settings.cell_full - cell_ocv(b, i)) / b->cell[i].resistance_ohm);
	return fmax(0, A);
}

static double wanted_current(const struct battery *b)
{
	double A = b->start.current_A;

	if (!b->start.cycling)
		return A;
	if (b->phase == CHARGING)
		return tapered(b, A);
	if (b->phase == DISCHARGING) /* the load changes every half minute */
		return -A * (1 + 0.2 * trait(b, TRAIT_LOAD, (unsigned)(b->time_s / 30)));
	return 0;
}

static void update_phase(struct battery *b)
{
	struct extremes e = extremes_of(b);

	if (b->phase == CHARGING && b->charge_mos && b->current_A < 0.02 * b->start.capacity_Ah)
		b->phase = RESTING_FULL;
	else if (b->phase == DISCHARGING && (soc_of(b) < 15 || e.min < b->settings.cell_empty))
		b->phase = RESTING_EMPTY;
	else if (b->idle_s >= PAUSE_S)
		b->phase = b->phase == CHARGING || b->phase == RESTING_FULL ? DISCHARGING : CHARGING;
	else
		return;
	b->idle_s = 0;
}

/* ---- balancing ---- */

static bool balancing_allowed(const struct battery *b)
{
	return b->balance_manual == BALANCE_AUTO && b->settings.balance_switch &&
	       (!b->settings.balance_only_charging || b->current_A > 0);
}

static void bleed(struct battery *b, const struct extremes *e)
{
	bool odd = b->balance_turn % 2 == 0; /* neighbours never at the same time: cells 1, 3, 5 ... first */

	for (unsigned i = 0; i < b->start.cells; i++) {
		bool turn = (i % 2 == 0) == odd;
		bool by_hand = (b->balance_manual == BALANCE_ODD && i % 2 == 0) ||
			       (b->balance_manual == BALANCE_EVEN && i % 2 == 1);
		bool too_high =
			b->cell[i].V > b->settings.balance_start && b->cell[i].V > e->min + b->settings.balance_window;

		if (by_hand || (balancing_allowed(b) && turn && too_high))
			b->cell[i].balance_A = -b->settings.balance_current;
	}
}

static void move(struct battery *b, const struct extremes *e)
{
	if (!balancing_allowed(b) || e->max <= b->settings.balance_start ||
	    e->max - e->min <= b->settings.balance_window)
		return;
	/* Takes from the highest for a while, then gives to the lowest. */
	if (b->balance_turn % 2 == 0)
		b->cell[e->highest].balance_A = -b->settings.balance_current;
	else
		b->cell[e->lowest].balance_A = b->settings.balance_current;
}

static void update_balancing(struct battery *b)
{
	struct extremes e = extremes_of(b);
	double turn_s = b->start.balancer == BALANCER_BLEEDS ? 1 : 5;

	if (b->time_s - b->balance_turn_since >= turn_s) {
		b->balance_turn++;
		b->balance_turn_since = b->time_s;
	}
	for (unsigned i = 0; i < b->start.cells; i++)
		b->cell[i].balance_A = 0;
	if (b->start.balancer == BALANCER_BLEEDS)
		bleed(b, &e);
	else
		move(b, &e);
}

/* ---- time ---- */

static void flow(struct battery *b, double dt)
{
	double hours = dt / 3600, Ah = b->current_A * hours;

	for (unsigned i = 0; i < b->start.cells; i++) {
		struct battery_cell *c = &b->cell[i];

		c->charge_Ah += (b->current_A + c->balance_A - c->leak_A) * hours;
		c->charge_Ah = fmin(fmax(c->charge_Ah, -0.05 * c->capacity_Ah), 1.05 * c->capacity_Ah);
	}
	b->remaining_Ah = fmin(fmax(b->remaining_Ah + Ah, 0), b->full_Ah);
	b->charged_Ah += fmax(Ah, 0);
	b->discharged_Ah += fmax(-Ah, 0);
	b->idle_s = fabs(b->current_A) < 0.05 ? b->idle_s + dt : 0;
}

/* The counter is put right at both ends, as a BMS does it. */
static void correct_counter(struct battery *b)
{
	struct extremes e = extremes_of(b);

	if (e.max >= b->settings.cell_full - 0.002 && b->current_A >= 0 && b->current_A < 0.05 * b->start.capacity_Ah)
		b->remaining_Ah = b->full_Ah;
	if (b->guard[LOW_CELL_VOLTAGE].tripped && b->current_A <= 0)
		b->remaining_Ah = 0;
}

/* Cells: 20 J/K and Ah, two hours to cool; MOS: 25 K at 1 C, a minute and a half. */
static void warm(struct battery *b, double dt)
{
	double I = b->current_A, rated = fmax(b->start.capacity_Ah, 20);
	double heat_W = I * I * 0.06 / b->start.capacity_Ah + (b->heater_on ? 0.05 * b->start.capacity_Ah : 0);
	double heat_J_per_K = 20 * b->start.capacity_Ah, tau_s = 7200, mos_tau_s = 90;
	double settled = b->start.temperature_C + heat_W * tau_s / heat_J_per_K;
	double mos_settled = b->temperature_C + 3 + 25 * (I / rated) * (I / rated);

	b->temperature_C += (settled - b->temperature_C) * (1 - exp(-dt / tau_s));
	b->mos_C += (mos_settled - b->mos_C) * (1 - exp(-dt / mos_tau_s));
	if (b->start.heater && b->temperature_C < b->settings.charge_ut_release)
		b->heater_on = true;
	else if (b->temperature_C > b->settings.charge_ut_release + 5)
		b->heater_on = false;
}

static void step(struct battery *b, double dt)
{
	flow(b, dt);
	b->time_s += dt;
	warm(b, dt);
	update_voltages(b);
	update_guards(b, dt);
	correct_counter(b);
	update_switches(b);
	if (b->start.cycling)
		update_phase(b);
	b->current_A = passed_current(b, wanted_current(b));
	update_voltages(b);
	update_balancing(b);
}

void battery_run(struct battery *b, double seconds)
{
	double longest = fmax(1, seconds / 3600);

	while (seconds > 0) {
		double dt = fmin(seconds, longest);

		step(b, dt);
		seconds -= dt;
	}
}

void battery_set_remaining(struct battery *b, double Ah)
{
	b->remaining_Ah = fmin(fmax(Ah, 0), b->full_Ah);
}

void battery_set_soc(struct battery *b, double pct)
{
	battery_set_remaining(b, b->full_Ah * pct / 100);
}

void battery_soc_from_voltage(struct battery *b)
{
	struct extremes e = extremes_of(b);
	double mean = e.sum / b->start.cells;

	battery_set_soc(b, e.max >= b->settings.cell_full ? 100 : 100 * chemistry_soc(b->start.chemistry, mean));
}

/* ---- measuring ---- */

enum channels { CHANNEL_CELL = 1, CHANNEL_CURRENT, CHANNEL_SENSOR, CHANNEL_MOS };

/* A sensor's flicker, -1..1 times jitter: another one every second, the same for whoever asks. */
static double flicker(const struct battery *b, unsigned channel, unsigned which)
{
	uint64_t tick = (uint64_t)b->time_s;

	return b->start.jitter *
	       (2 * random_unit(random_stir(b->start.seed + random_stir(tick * 64 + which) + channel)) - 1);
}

static void measure_cells(const struct battery *b, struct battery_sample *out)
{
	out->cells = b->start.cells;
	for (unsigned i = 0; i < out->cells; i++) {
		double mV = b->cell[i].V * 1000 + 0.6 * flicker(b, CHANNEL_CELL, i);

		out->cell_mV[i] = (uint16_t)lround(fmin(fmax(mV, 0), 65535));
		out->pack_mV += out->cell_mV[i];
		if (out->cell_mV[i] > out->cell_mV[out->highest])
			out->highest = i;
		if (out->cell_mV[i] < out->cell_mV[out->lowest])
			out->lowest = i;
		out->balancing[i] = b->cell[i].balance_A != 0;
		if (out->balancing[i]) {
			out->balancing_any = true;
			out->balance_mA = (int)lround(b->cell[i].balance_A * 1000);
		}
	}
}

static void measure_temperatures(const struct battery *b, struct battery_sample *out)
{
	out->sensors = b->start.sensors;
	for (unsigned i = 0; i < out->sensors; i++)
		out->sensor_dC[i] =
			(int16_t)lround(10 * b->temperature_C + 4 * trait(b, TRAIT_SENSOR, i) * b->start.jitter +
					flicker(b, CHANNEL_SENSOR, i));
	out->mos_dC = (int16_t)lround(10 * b->mos_C + flicker(b, CHANNEL_MOS, 0));
	out->ambient_dC = (int16_t)lround(10 * b->start.temperature_C);
}

void battery_measure(const struct battery *b, struct battery_sample *out)
{
	memset(out, 0, sizeof(*out));
	measure_cells(b, out);
	measure_temperatures(b, out);
	out->current_mA =
		(int32_t)lround(b->current_A * 1000 + (b->current_A != 0 ? 40 * flicker(b, CHANNEL_CURRENT, 0) : 0));
	out->remaining_mAh = (uint32_t)llround(b->remaining_Ah * 1000);
	out->full_mAh = (uint32_t)llround(b->full_Ah * 1000);
	out->design_mAh = (uint32_t)llround(b->settings.design_Ah * 1000);
	out->soc_permille = (unsigned)lround(fmin(fmax(10 * soc_of(b), 0), 1000));
	out->cycles = b->full_Ah > 0 ? (unsigned)(b->discharged_Ah / b->full_Ah + 1e-6) : 0;
	out->charged_Ah = (uint32_t)b->charged_Ah;
	out->discharged_Ah = (uint32_t)b->discharged_Ah;
	out->uptime_s = (uint32_t)b->time_s;
}
