/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How hard a pack may be charged and discharged: CVL, CCL, DCL, and with them state of charge,
 * averages, times and history. Pure arithmetic over (state, config, input, dt): no clock, file, bus or
 * log. Numbers of sections are those of the engine specification (doc/limits.md).
 *
 * "Step" and "linear" are two runs of limits_step() side by side, each with a state of its own.
 * NAN means: not known, not set.
 */
#ifndef LIMITS_LIMITS_H
#define LIMITS_LIMITS_H

#include "config/config.h"
#include "model/reading.h"

#define LIMITS_MAX_POINTS 20  /* TIME_TO_SOC_POINTS, V25 */
#define LIMITS_MAX_SENSORS 4
#define CHARGE_FLAGS 5 /* of enum charge_flag */

enum limits_mode { LIMITS_LINEAR = 1, LIMITS_STEP = 2 }; /* values of CHARGE_MODE */

/* 13.1 */
enum charge_phase {
	CHARGE_PHASE_NONE,
	CHARGE_BULK,
	CHARGE_ABSORPTION,
	CHARGE_FLOAT_TRANSITION,
	CHARGE_FLOAT,
	CHARGE_FIXED,
	CHARGE_ERROR,
};

enum charge_flag {
	CHARGE_OVP = 1,
	CHARGE_OVP_RAMP = 2,
	CHARGE_SOC_RESET = 4,
	CHARGE_BALANCING = 8,
	CHARGE_HEATING = 16,
};

/* 13.2: which rule binds a current limit; a set, several may bind at once. */
enum limit_reason {
	REASON_CONFIG = 1,
	REASON_BMS_LIMIT = 2,
	REASON_CELL = 4,
	REASON_TEMP = 8,
	REASON_MOSFET = 16,
	REASON_SOC = 32,
	REASON_BMS_FET = 64,
	REASON_DISCONNECT = 128,
};
#define REASON_COUNT 8

/* Numbers of the ESS settings on a Victron system (11.2). */
struct ess_settings {
	bool known;
	int hub4_mode, battery_life_state;
	double minimum_soc_limit, soc_limit; /* NAN: not known */
};

/* One poll (2.1). */
struct limits_input {
	bool ok; /* a complete, plausible reading; else every other field is ignored */
	unsigned cells; /* in series */
	bool single_cells;
	double cell[MAX_CELLS];
	double cell_lo, cell_hi; /* as reported by the BMS itself */
	bool balancing;
	double voltage, current, soc, capacity, remaining;
	double temp[LIMITS_MAX_SENSORS], temp_mos;
	enum tri charge_fet, discharge_fet, balance_fet, heating;
	double bms_ccl, bms_dcl, bms_cvl, bms_dvl;
	bool alarms_known;
	uint8_t alarm[ALARM_COUNT]; /* enum alarm_level */
	double ext_current, ext_soc;
	double bms_cycles;
	struct ess_settings ess;
};

/* The candidates of a current limit (8.1), for those who want to see why; NAN: gives no limit. */
struct limit_candidates {
	double config, bms_limit, cell, temp, mosfet, soc, bms_fet;
};

struct current_limit {
	double limit;     /* A; NAN before the first reading */
	unsigned why;     /* set of enum limit_reason */
	bool wait;        /* held back until a recovery is due */
	double wait_left; /* s; NAN unless wait and counting */
	double target;    /* what the candidates of this poll ask for */
	struct limit_candidates candidate;
	bool allow;       /* limit != 0 */
	bool io;          /* allow and the BMS's switch */
};

struct limits_history {
	double deepest, last, average, total;             /* Ah, positive */
	double cycles, full_discharges, syncs;
	double vmin, vmax, cell_min, cell_max;            /* V */
	double temp_min, temp_max;                        /* degC */
	double since_full;                                /* s */
	double low_voltage_alarms, high_voltage_alarms;
	double energy_out, energy_in;                     /* kWh */
};

struct limits_output {
	double voltage, current, power;
	double soc;
	double cell_min, cell_max, cell_sum, cell_diff;
	int cell_min_no, cell_max_no; /* from 1; 0 = none */
	double temp, temp_min, temp_max, temp_mos;
	int temp_min_no, temp_max_no; /* from 1; 0 = none */
	double temp_sensor[LIMITS_MAX_SENSORS]; /* limited and adjusted (4.3) */
	double current_avg;
	double capacity_remaining, capacity_consumed;
	double v_max, v_min;
	double cvl_ctl, cvl;
	enum charge_phase phase;
	unsigned flags; /* set of enum charge_flag */
	struct current_limit ccl, dcl;
	bool allow_max, soc_reset, full_event;
	int state; /* 0 starting, 9 running, 14 standby */
	bool online_known, online, blocked;
	int cable;
	int alarm_hv, alarm_hcv; /* published levels; -1 = not reported */
	double ttg;
	unsigned points;
	int tts_point[LIMITS_MAX_POINTS];
	double tts[LIMITS_MAX_POINTS]; /* s; NAN = none */
	double mid, mid_dev;
	struct limits_history history;
	bool alarms_suppressed; /* 10.2 is at work */
};

struct limits_state;

/* All timers at zero, nothing known. NULL: no memory. Freed with limits_state_free(). */
struct limits_state *limits_state_new(void);
void limits_state_free(struct limits_state *s);

/*
 * One poll, good or failed, dt seconds after the last one (0 at the first). config->charge_mode picks
 * the curve function (section 7).
 */
void limits_step(struct limits_state *s, const struct config *config, const struct limits_input *in, double dt,
		 struct limits_output *out);

/* Nothing known, a failed poll. */
void limits_input_clear(struct limits_input *in);

/* in from what a protocol reported; what the reading does not know is NAN. first_sensor_is_mos:
 * temperatures[0] repeats temp_mos_C and is left out. */
void limits_input_from_reading(struct limits_input *in, const struct reading *r, bool first_sensor_is_mos);

/* Commands, before the poll in which they arrive (5.5, 12.5). */
void limits_set_soc(struct limits_state *s, double pct);
void limits_clear_history(struct limits_state *s, const struct config *config, int group);

/*
 * What survives a restart (14). The caller keeps it on disk, with the wall-clock time of writing: at most
 * every 15 s, and at an orderly end.
 */
struct limits_saved {
	bool allow_max;
	double absorption_s;    /* that the absorption timer has run; NAN = it does not */
	double soc;             /* %; NAN unless SOC_CALCULATION */
	double soc_reset_age_s; /* since the SoC reset voltage was last reached; NAN = never */
	bool empty;             /* a full discharge has been counted, and the pack is still empty */
	struct limits_history history; /* without what the BMS counts itself */
};
void limits_save(const struct limits_state *s, const struct config *config, struct limits_saved *saved);
/* Into a new state, before its first poll; pause: seconds since it was saved, by the wall clock. A
 * negative one (the clock was set back) ages nothing and stops the absorption timer. */
void limits_restore(struct limits_state *s, const struct limits_saved *saved, double pause);

/* A curve of section 7 as numbers, for drawing: current at x; both functions, MAX and lists as configured. */
enum limits_curve { CURVE_CELL, CURVE_TEMP, CURVE_MOSFET, CURVE_SOC, CURVE_COUNT };
bool limits_curve_enabled(const struct config *c, enum limits_curve curve, bool charging);
/* x of the lists' ends. */
void limits_curve_range(const struct config *c, enum limits_curve curve, bool charging, double *lo, double *hi);
double limits_curve_at(const struct config *c, enum limits_mode mode, enum limits_curve curve, bool charging, double x);

const char *charge_phase_name(enum charge_phase p);   /* codes of 13.1: "bulk" .. */
const char *charge_flag_name(enum charge_flag f);      /* "ovp" .. */
const char *limit_reason_name(enum limit_reason r);    /* codes of 13.2: "config" .. */
/* "Absorption (Cell OVP) + Balancing" without the mode suffix; /Info/ChargeMode of 13.1. */
void charge_mode_text(const struct limits_output *out, char *text, size_t size);
/* What follows it: " \u2502 Linear Mode", or "" where no mode is named. */
const char *charge_mode_suffix(const struct limits_output *out, enum limits_mode mode);
/* "Cell Voltage, Temp *": /Info/ChargeLimitation, /Info/DischargeLimitation of 13.2. */
void limit_reason_text(const struct current_limit *l, bool charging, char *text, size_t size);
/* "1h 24m", "-2d 3h", "0s" (11.3). */
void limits_duration_text(double seconds, char *text, size_t size);
/* The same by TIME_TO_SOC_VALUE_TYPE: "5040", "1h 24m", "5040 [1h 24m]". */
void limits_time_text(int type, double seconds, char *text, size_t size);

#endif
