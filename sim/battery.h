/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A battery with its BMS, protocols left aside: cells that charge, discharge, drift apart and warm up,
 * protections that open switches, a balancer, counters. Pure: no I/O, no clock; time comes as an argument.
 */
#ifndef SIM_BATTERY_H
#define SIM_BATTERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BATTERY_MAX_CELLS = 48, BATTERY_MAX_SENSORS = 16 };

enum chemistry { LFP, NMC };
enum balancer { BALANCER_BLEEDS, BALANCER_MOVES }; /* passive: resistors; active: from the highest cell to the lowest */

enum battery_alarm {
	HIGH_VOLTAGE,
	LOW_VOLTAGE,
	HIGH_CELL_VOLTAGE,
	LOW_CELL_VOLTAGE,
	LOW_SOC,
	HIGH_CHARGE_CURRENT,
	HIGH_DISCHARGE_CURRENT,
	CELL_IMBALANCE,
	INTERNAL_FAILURE,
	HIGH_CHARGE_TEMPERATURE,
	LOW_CHARGE_TEMPERATURE,
	HIGH_TEMPERATURE,
	LOW_TEMPERATURE,
	HIGH_INTERNAL_TEMPERATURE,
	FUSE_BLOWN,
	SHORT_CIRCUIT,
	BMS_CABLE,
	BATTERY_ALARMS, /* how many */
	NO_ALARM = -1,
};

enum battery_alarm_level { QUIET, WARNING, ALARM };

/* "high_voltage" ... */
const char *battery_alarm_name(enum battery_alarm alarm);

/* What an installer can set. V, A, Ah, degC, %, s. */
struct battery_settings {
	double cell_ov, cell_ov_release, cell_uv, cell_uv_release;
	double pack_ov, pack_ov_release, pack_uv, pack_uv_release;
	double charge_oc, discharge_oc; /* both positive */
	double oc_delay, oc_release;	/* s until it trips, s until it tries again */
	double charge_ot, charge_ot_release, charge_ut, charge_ut_release;
	double discharge_ot, discharge_ot_release, discharge_ut, discharge_ut_release;
	double mos_ot, mos_ot_release;
	double cell_difference, cell_difference_release;
	double low_soc, low_soc_release;
	double balance_start, balance_window, balance_current;
	double cell_full, cell_empty; /* cell voltage that means 100 % and 0 % */
	double design_Ah;
	bool charge_switch, discharge_switch, balance_switch;
	bool balance_only_charging;
};

/* What a battery starts as. */
struct battery_start {
	enum chemistry chemistry;
	enum balancer balancer;
	unsigned cells;	  /* 1..BATTERY_MAX_CELLS */
	unsigned sensors; /* 0..BATTERY_MAX_SENSORS */
	double capacity_Ah, soc_pct, soh_pct, temperature_C;
	double imbalance_mV; /* between the lowest and the highest cell at rest */
	unsigned weak_cell;  /* from 1; 0 = none */
	double weak_pct;     /* what is left of its capacity */
	unsigned cycles;
	bool cycling;	    /* charges and discharges by turns, with current_A; else current_A all the time */
	double current_A;   /* + = charging */
	double jitter;	    /* how much the sensors flicker: 0 = not at all, 1 = as usual */
	bool heater;	    /* there is one */
	unsigned forced[3]; /* bit mask of enum battery_alarm per enum battery_alarm_level */
	uint64_t seed;
};

struct battery_cell {
	double capacity_Ah, charge_Ah, resistance_ohm, leak_A;
	double V;	  /* at its terminals */
	double balance_A; /* what the balancer puts in (+) or takes out (-) */
};

/* A protection's memory. */
struct battery_guard {
	double pending_s; /* how long beyond its threshold */
	double tripped_s; /* how long tripped */
	bool tripped;
	bool warned;
};

enum battery_phase { CHARGING, RESTING_FULL, DISCHARGING, RESTING_EMPTY };

/* Balancing by hand, as a production line does it. */
enum balance_manual { BALANCE_AUTO, BALANCE_ODD, BALANCE_EVEN, BALANCE_OFF };

struct battery {
	struct battery_start start;
	struct battery_settings settings;
	struct battery_cell cell[BATTERY_MAX_CELLS];
	double time_s; /* since the start */
	double current_A;
	double temperature_C, mos_C;
	double remaining_Ah, full_Ah; /* what the BMS believes */
	double charged_Ah, discharged_Ah;
	double idle_s; /* time without current */
	enum battery_phase phase;
	unsigned balance_turn;	   /* the balancer does one thing, then the other */
	double balance_turn_since; /* time_s */
	enum balance_manual balance_manual;
	struct battery_guard guard[BATTERY_ALARMS];
	unsigned trips[BATTERY_ALARMS]; /* how often each protection tripped */
	bool charge_mos, discharge_mos, heater_on;
	unsigned stuck; /* BLOCKS_ bits: MOS that do not follow their switch */
};

/* The switches that a protection opens. */
enum { BLOCKS_CHARGE = 1, BLOCKS_DISCHARGE = 2 };

/* What the BMS measures: whole numbers that fit each other (the pack's voltage is the sum of the cells). */
struct battery_sample {
	unsigned cells, sensors;
	uint16_t cell_mV[BATTERY_MAX_CELLS];
	bool balancing[BATTERY_MAX_CELLS];
	bool balancing_any;
	int balance_mA;		  /* + into a cell, - out of it */
	unsigned highest, lowest; /* indices */
	uint32_t pack_mV;
	int32_t current_mA;
	int16_t sensor_dC[BATTERY_MAX_SENSORS]; /* 0.1 degC */
	int16_t mos_dC, ambient_dC;
	uint32_t remaining_mAh, full_mAh, design_mAh;
	unsigned soc_permille;
	unsigned cycles;
	uint32_t charged_Ah, discharged_Ah, uptime_s;
};

void battery_init(struct battery *b, const struct battery_start *start);
/* Lets seconds pass, in steps of at most 1 s (coarser when it is more than an hour). */
void battery_run(struct battery *b, double seconds);
void battery_measure(const struct battery *b, struct battery_sample *out);
enum battery_alarm_level battery_alarm(const struct battery *b, enum battery_alarm alarm);

/* To be called after the settings were changed: switches follow at once. */
void battery_apply_settings(struct battery *b);
/* What the BMS believes from now on; the cells stay as they are. */
void battery_set_soc(struct battery *b, double pct);
void battery_set_remaining(struct battery *b, double Ah);
/* The SoC that the cells' voltage stands for. */
void battery_soc_from_voltage(struct battery *b);
/* Forgets tripped protections; what still holds trips again. */
void battery_clear_protections(struct battery *b);

/* Cell voltage at rest over the state of charge (0..1, a little beyond is allowed), and back. */
double chemistry_ocv(enum chemistry chemistry, double soc);
double chemistry_soc(enum chemistry chemistry, double V);

#endif
