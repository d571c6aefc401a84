/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An imbalanced battery is charged and discharged by equipment that does what the limits tell it, second by
 * second, in both modes: its own protections must never have to act. With a file name, the log of it as CSV.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits/limits.h"
#include "sim/battery.h"

enum {
	CELLS = 16,
	CAPACITY_AH = 100,
	CHARGER_A = 50,
	LOAD_A = 60,
	FLOAT_S = 1800,
	LONGEST_S = 200000,
	LOG_EVERY_S = 30
};

struct plant {
	struct battery battery;
	struct limits_state *limits;
	struct limits_output out;
	struct config config;
	double t;
	FILE *log;
	double highest, lowest;		    /* cell voltage ever */
	double most_charge, most_discharge; /* A ever allowed */
	bool full_event;
};

static unsigned failures;

static void check(bool true_so, const char *mode, const char *what, double value)
{
	if (true_so)
		return;
	printf("FAIL: %s mode: %s (%g)\n", mode, what, value);
	failures++;
}

/* What the engine would be told: the BMS's own numbers. */
static void poll_battery(struct plant *p, struct limits_input *in, struct battery_sample *m)
{
	battery_measure(&p->battery, m);
	limits_input_clear(in);
	in->ok = in->single_cells = in->alarms_known = true;
	in->cells = m->cells;
	for (unsigned i = 0; i < m->cells; i++)
		in->cell[i] = m->cell_mV[i] / 1000.0;
	in->voltage = m->pack_mV / 1000.0;
	in->current = m->current_mA / 1000.0;
	in->soc = m->soc_permille / 10.0;
	in->capacity = m->full_mAh / 1000.0;
	in->remaining = m->remaining_mAh / 1000.0;
	in->temp[0] = m->sensor_dC[0] / 10.0;
	in->temp_mos = m->mos_dC / 10.0;
	in->charge_fet = p->battery.charge_mos ? ON : OFF;
	in->discharge_fet = p->battery.discharge_mos ? ON : OFF;
	in->balancing = m->balancing_any;
}

static void note(struct plant *p, const struct battery_sample *m)
{
	double low = m->cell_mV[m->lowest] / 1000.0, high = m->cell_mV[m->highest] / 1000.0;

	p->highest = fmax(p->highest, high);
	p->lowest = fmin(p->lowest, low);
	p->most_charge = fmax(p->most_charge, p->out.ccl.limit);
	p->most_discharge = fmax(p->most_discharge, p->out.dcl.limit);
	p->full_event = p->full_event || p->out.full_event;
	if (p->log && fmod(p->t, LOG_EVERY_S) == 0)
		fprintf(p->log, "%.0f,%.1f,%.3f,%.3f,%.2f,%.1f,%.2f,%.2f,%.2f,%s\n", p->t, m->soc_permille / 10.0, low,
			high, m->pack_mV / 1000.0, m->current_mA / 1000.0, p->out.cvl, p->out.ccl.limit,
			p->out.dcl.limit, charge_phase_name(p->out.phase));
}

/* A second of life with this current, and the poll at its end. */
static void second(struct plant *p, double current_A)
{
	struct battery_sample m;
	struct limits_input in;

	p->battery.start.current_A = current_A;
	battery_run(&p->battery, 1);
	p->t++;
	poll_battery(p, &in, &m);
	limits_step(p->limits, &p->config, &in, 1, &p->out);
	note(p, &m);
}

/* A charger that holds CVL and CCL. */
static double charger_A(const struct plant *p)
{
	double rest = 0, ohm = 0;

	for (unsigned i = 0; i < CELLS; i++) {
		const struct battery_cell *c = &p->battery.cell[i];

		rest += c->V - p->battery.current_A * c->resistance_ohm;
		ohm += c->resistance_ohm;
	}
	return fmax(0, fmin(fmin(p->out.ccl.limit, CHARGER_A), (p->out.cvl - rest) / ohm));
}

static void charge(struct plant *p, const char *mode)
{
	unsigned floating = 0;

	for (int s = 0; s < LONGEST_S && floating < FLOAT_S; s++) {
		second(p, charger_A(p));
		floating += p->out.phase == CHARGE_FLOAT;
	}
	check(floating >= FLOAT_S, mode, "float is reached; after s", p->t);
	check(p->full_event, mode, "full is told once", p->full_event);
}

static void discharge(struct plant *p, const char *mode)
{
	for (int s = 0; s < LONGEST_S && p->out.dcl.limit > 0.5; s++)
		second(p, -fmin(p->out.dcl.limit, LOAD_A));
	check(p->out.dcl.limit <= 0.5, mode, "the discharge comes to its end; DCL", p->out.dcl.limit);
	check(p->out.soc < 25, mode, "most of the charge is used; SoC", p->out.soc);
}

static void cycle(enum limits_mode mode, FILE *log)
{
	const char *name = mode == LIMITS_STEP ? "step" : "linear";
	struct battery_start start = {
		.chemistry = LFP,
		.balancer = BALANCER_MOVES,
		.cells = CELLS,
		.sensors = 2,
		.capacity_Ah = CAPACITY_AH,
		.soc_pct = 20,
		.soh_pct = 100,
		.temperature_C = 22,
		.imbalance_mV = 20,
		.weak_cell = 7,
		.weak_pct = 96,
		.jitter = 1,
		.seed = 42,
	};
	struct plant p = {.limits = limits_state_new(), .log = log, .lowest = INFINITY};
	unsigned trips = 0;

	if (!p.limits)
		abort();
	battery_init(&p.battery, &start);
	config_defaults(&p.config);
	p.battery.settings.balance_current = 2;
	p.battery.settings.balance_window = 0.003; /* with a coarser one the target of all cells is never reached */
	p.config.charge_mode = mode;
	p.config.voltage_drop = 0.05; /* in the cable, made up for */
	p.config.max_battery_charge_current = CHARGER_A;
	p.config.max_battery_discharge_current = LOAD_A;
	second(&p, 0);
	charge(&p, name);
	double charged = p.t;
	discharge(&p, name);
	for (int i = 0; i < BATTERY_ALARMS; i++)
		if (i != LOW_SOC && i != CELL_IMBALANCE) /* these warn, and protect nothing */
			trips += p.battery.trips[i];
	check(!trips, name, "no protection of the BMS had to act; trips", trips);
	check(p.most_charge <= CHARGER_A, name, "CCL is never above the maximum", p.most_charge);
	check(p.most_discharge <= LOAD_A, name, "DCL is never above the maximum", p.most_discharge);
	printf("%s mode: full after %.0f min, empty after %.0f min more; cells between %.3f and %.3f V, %u "
	       "protections\n",
	       name, charged / 60, (p.t - charged) / 60, p.lowest, p.highest, trips);
	limits_state_free(p.limits);
}

int main(int argc, char **argv)
{
	FILE *log = argc > 1 ? fopen(argv[1], "w") : NULL;

	if (argc > 1 && !log) {
		perror(argv[1]);
		return 2;
	}
	if (log)
		fputs("t_s,soc_pct,cell_min_V,cell_max_V,voltage_V,current_A,cvl_V,ccl_A,dcl_A,phase\n", log);
	cycle(LIMITS_LINEAR, log);
	cycle(LIMITS_STEP, log);
	if (log)
		fclose(log);
	return failures > 0;
}
