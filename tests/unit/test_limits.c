/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The limits on the worked examples of the engine specification (17), on its rules, and on rubbish. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits/limits.h"

#define NEAR 2e-6

#define assert_near(value, expected)                                                                                   \
	do {                                                                                                           \
		double v_ = (value), e_ = (expected);                                                                  \
		if (!(fabs(v_ - e_) <= NEAR))                                                                          \
			fail_msg("line %d: " #value " is %.9g, expected %.9g", __LINE__, v_, e_);                      \
	} while (0)
#define assert_unknown(value) assert_true(isnan(value))

/* A pack under test: its clock, what it reports, and what came of it. */
struct bench {
	struct config c;
	struct limits_state *s;
	struct limits_input in;
	struct limits_output out;
	double t; /* of the last poll; NAN before the first */
};

static void set(struct bench *b, const char *option, const char *value)
{
	char why[CONFIG_MAX_PROBLEM];

	if (!config_set(&b->c, option, value, why, sizeof(why)))
		fail_msg("%s", why);
}

static void all_cells(struct bench *b, double v)
{
	for (unsigned i = 0; i < b->in.cells; i++)
		b->in.cell[i] = v;
	b->in.voltage = v * b->in.cells;
}

static struct bench fresh(unsigned cells, double cell)
{
	struct bench b = {.t = NAN};

	config_defaults(&b.c);
	b.s = limits_state_new();
	assert_non_null(b.s);
	limits_input_clear(&b.in);
	b.in.ok = true;
	b.in.cells = cells;
	b.in.single_cells = true;
	b.in.current = 10;
	b.in.soc = 50;
	b.in.capacity = 100;
	b.in.temp[0] = 22;
	b.in.charge_fet = b.in.discharge_fet = ON;
	b.in.alarms_known = true;
	all_cells(&b, cell);
	return b;
}

static void done(struct bench *b)
{
	limits_state_free(b->s);
}

static void poll_at(struct bench *b, double t)
{
	limits_step(b->s, &b->c, &b->in, isnan(b->t) ? 0 : t - b->t, &b->out);
	b->t = t;
}

/* One poll a second, up to and with t. */
static void poll_until(struct bench *b, double t)
{
	while (isnan(b->t) || b->t < t)
		poll_at(b, isnan(b->t) ? 0 : b->t + 1);
}

/* ---- 17.1 curves ---- */

static void only_curve(struct bench *b, const char *enable_charge, const char *enable_discharge)
{
	static const char *const all[] = {"CCCM_CV_ENABLE",  "DCCM_CV_ENABLE",	     "CCCM_T_ENABLE",
					  "DCCM_T_ENABLE",   "CCCM_T_MOSFET_ENABLE", "DCCM_T_MOSFET_ENABLE",
					  "CCCM_SOC_ENABLE", "DCCM_SOC_ENABLE"};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		set(b, all[i], !strcmp(all[i], enable_charge) || !strcmp(all[i], enable_discharge) ? "True" : "False");
}

static void curves_give_the_currents_of_the_examples(void **unused)
{
	static const struct {
		const char *charge, *discharge;
		double cell, t1, t2, mos;
		int mode;
		double ccl, dcl;
	} rows[] = {
		{"CCCM_CV_ENABLE", "DCCM_CV_ENABLE", 3.410, 22, 22, 30, LIMITS_LINEAR, 8.5, 60},
		{"CCCM_CV_ENABLE", "DCCM_CV_ENABLE", 3.410, 22, 22, 30, LIMITS_STEP, 12.5, 60},
		{"CCCM_CV_ENABLE", "DCCM_CV_ENABLE", 3.050, 22, 22, 30, LIMITS_LINEAR, 50, 9},
		{"CCCM_CV_ENABLE", "DCCM_CV_ENABLE", 3.050, 22, 22, 30, LIMITS_STEP, 50, 15},
		{"CCCM_T_ENABLE", "DCCM_T_ENABLE", 3.3, 3, 22, 30, LIMITS_LINEAR, 16.667, 24},
		{"CCCM_T_ENABLE", "DCCM_T_ENABLE", 3.3, 3, 22, 30, LIMITS_STEP, 12.5, 30},
		{"CCCM_T_ENABLE", "DCCM_T_ENABLE", 3.3, 47, 22, 30, LIMITS_LINEAR, 20, 24},
		{"CCCM_T_ENABLE", "DCCM_T_ENABLE", 3.3, 47, 22, 30, LIMITS_STEP, 25, 15},
		{"CCCM_T_MOSFET_ENABLE", "DCCM_T_MOSFET_ENABLE", 3.3, 22, 22, 76, LIMITS_LINEAR, 27.5, 33},
		{"CCCM_T_MOSFET_ENABLE", "DCCM_T_MOSFET_ENABLE", 3.3, 22, 22, 76, LIMITS_STEP, 50, 60},
	};

	(void)unused;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bench b = fresh(16, rows[i].cell);

		only_curve(&b, rows[i].charge, rows[i].discharge);
		b.c.charge_mode = rows[i].mode;
		b.in.temp[0] = rows[i].t1;
		b.in.temp[1] = rows[i].t2;
		b.in.temp_mos = rows[i].mos;
		poll_at(&b, 0);
		assert_near(b.out.ccl.limit, rows[i].ccl);
		assert_near(b.out.dcl.limit, rows[i].dcl);
		done(&b);
	}
}

static void a_falling_list_is_the_rising_one_reversed(void **unused)
{
	struct bench falling = fresh(4, 3.3), rising = fresh(4, 3.3);

	(void)unused;
	set(&rising, "CELL_VOLTAGES_WHILE_CHARGING", "3.375, 3.400, 3.425, 3.450, 3.500");
	set(&rising, "MAX_CHARGE_CURRENT_CV_FRACTION", "1.000, 0.250, 0.050, 0.005, 0.000");
	for (double v = 3.35; v < 3.52; v += 0.0005)
		for (int mode = LIMITS_LINEAR; mode <= LIMITS_STEP; mode++)
			assert_near(limits_curve_at(&falling.c, mode, CURVE_CELL, true, v),
				    limits_curve_at(&rising.c, mode, CURVE_CELL, true, v));
	done(&falling);
	done(&rising);
}

static void the_step_curve_takes_the_value_of_a_point_that_is_hit_exactly(void **unused)
{
	struct bench b = fresh(4, 3.3);

	(void)unused;
	assert_near(limits_curve_at(&b.c, LIMITS_STEP, CURVE_CELL, true, 3.425), 2.5); /* lower: this point */
	assert_near(limits_curve_at(&b.c, LIMITS_STEP, CURVE_CELL, false, 3.000), 15); /* upper: the next */
	assert_near(limits_curve_at(&b.c, LIMITS_STEP, CURVE_SOC, true, 90), 10);      /* upper */
	assert_near(limits_curve_at(&b.c, LIMITS_LINEAR, CURVE_CELL, true, 3.425), 2.5);
	done(&b);
}

/* ---- 17.2, 17.3 charge voltage ---- */

static void one_cell_too_high_lowers_the_voltage_holds_and_ramps(void **unused)
{
	struct bench b = fresh(16, 3.4);

	(void)unused;
	poll_until(&b, 4);
	assert_near(b.out.cvl_ctl, 55.2);
	assert_int_equal(b.out.flags, 0);
	b.in.cell[4] = 3.5;
	poll_until(&b, 5);
	assert_near(b.out.cvl_ctl, 54.45);
	assert_int_equal(b.out.flags, CHARGE_OVP);
	poll_until(&b, 7);
	b.in.cell[4] = 3.44;
	poll_until(&b, 66);
	assert_near(b.out.cvl_ctl, 54.45);
	assert_int_equal(b.out.flags, CHARGE_OVP);
	poll_until(&b, 67);
	assert_near(b.out.cvl_ctl, 54.45);
	assert_int_equal(b.out.flags, CHARGE_OVP_RAMP);
	poll_until(&b, 68);
	assert_near(b.out.cvl_ctl, 54.451);
	poll_until(&b, 100);
	assert_near(b.out.cvl_ctl, 54.483);
	assert_near(b.out.cvl, 54.48);
	poll_until(&b, 817);
	assert_near(b.out.cvl_ctl, 55.2);
	assert_int_equal(b.out.flags, CHARGE_OVP_RAMP);
	poll_until(&b, 818);
	assert_int_equal(b.out.flags, 0);
	assert_int_equal(b.out.phase, CHARGE_BULK);
	done(&b);
}

static void alternate(struct bench *b)
{
	for (unsigned i = 0; i < b->in.cells; i++)
		b->in.cell[i] = i % 2 ? 3.4525 : 3.4485;
}

static void a_full_charge_goes_through_absorption_to_float_and_back_to_bulk(void **unused)
{
	struct bench b = fresh(16, 3.44);

	(void)unused;
	set(&b, "CVL_CONTROLLER_MODE", "0");
	poll_until(&b, 9);
	assert_int_equal(b.out.phase, CHARGE_BULK);
	alternate(&b);
	b.in.soc = 99;
	poll_until(&b, 10);
	assert_int_equal(b.out.phase, CHARGE_ABSORPTION);
	poll_until(&b, 910);
	assert_int_equal(b.out.phase, CHARGE_ABSORPTION);
	assert_false(b.out.full_event);
	poll_until(&b, 911);
	assert_int_equal(b.out.phase, CHARGE_FLOAT_TRANSITION);
	assert_true(b.out.full_event);
	assert_near(b.out.cvl_ctl, 55.2);
	poll_until(&b, 912);
	assert_false(b.out.full_event);
	assert_near(b.out.cvl_ctl, 55.199);
	poll_until(&b, 1000);
	assert_near(b.out.cvl_ctl, 55.111);
	poll_until(&b, 2110);
	assert_near(b.out.cvl_ctl, 54.001);
	assert_int_equal(b.out.phase, CHARGE_FLOAT_TRANSITION);
	poll_until(&b, 2111);
	assert_near(b.out.cvl_ctl, 54.0);
	assert_int_equal(b.out.phase, CHARGE_FLOAT);
	all_cells(&b, 3.33);
	poll_until(&b, 2299);
	assert_int_equal(b.out.phase, CHARGE_FLOAT);
	b.in.soc = 79.9;
	poll_until(&b, 2300);
	assert_int_equal(b.out.phase, CHARGE_BULK);
	assert_near(b.out.cvl_ctl, 55.2);
	assert_near(b.out.history.syncs, 1);
	assert_near(b.out.history.since_full, 2300 - 911);
	done(&b);
}

static void a_poll_without_cells_is_an_error_that_leaves_no_trace(void **unused)
{
	struct bench b = fresh(16, 3.33);

	(void)unused;
	set(&b, "CVL_CONTROLLER_MODE", "0");
	set(&b, "SWITCH_TO_FLOAT_WAIT_FOR_SEC", "5");
	alternate(&b);
	b.in.soc = 99;
	poll_until(&b, 1300); /* the cells stay high: float */
	assert_int_equal(b.out.phase, CHARGE_FLOAT);
	for (unsigned i = 0; i < 16; i++)
		b.in.cell[i] = NAN;
	poll_until(&b, 1301);
	assert_int_equal(b.out.phase, CHARGE_ERROR);
	assert_near(b.out.cvl, 54);
	alternate(&b);
	poll_until(&b, 1302);
	assert_int_equal(b.out.phase, CHARGE_FLOAT);
	assert_false(b.out.full_event);
	assert_near(b.out.history.syncs, 1);
	done(&b);
}

static void sums_that_mean_the_target_start_absorption_for_every_number_of_cells(void **unused)
{
	(void)unused;
	for (unsigned n = 1; n <= 32; n++) {
		struct bench b = fresh(n, 3.45);

		poll_at(&b, 0);
		assert_int_equal(b.out.phase, CHARGE_ABSORPTION);
		assert_near(b.out.v_max, round(3.45 * n * 100) / 100);
		assert_int_equal(b.out.cell_min_no, 1);
		assert_int_equal(b.out.cell_max_no, 1);
		done(&b);
	}
}

static void a_difference_that_means_the_threshold_starts_the_timer(void **unused)
{
	struct bench b = fresh(16, 3.45);

	(void)unused;
	b.in.cell[2] = 3.455;
	b.in.cell[9] = 3.445;
	poll_at(&b, 0);
	assert_int_equal(b.out.phase, CHARGE_ABSORPTION);
	assert_near(b.out.cell_diff, 0.01);
	done(&b);
}

static void the_bms_voltage_is_used_only_on_demand(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	b.in.bms_cvl = 56.8;
	b.in.bms_dvl = 44.8;
	poll_at(&b, 0);
	assert_near(b.out.v_max, 55.2);
	assert_near(b.out.v_min, 46.4);
	set(&b, "USE_BMS_DVCC_VALUES", "True");
	poll_at(&b, 1);
	assert_near(b.out.v_max, 56.8);
	assert_near(b.out.v_min, 44.8);
	assert_near(b.out.cvl, 56.8);
	done(&b);
}

static void a_bms_voltage_with_binary_noise_is_no_overvoltage(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	set(&b, "USE_BMS_DVCC_VALUES", "True");
	b.in.bms_cvl = (double)55.1f;
	poll_at(&b, 0);
	assert_int_equal(b.out.flags, 0);
	assert_near(b.out.cvl, 55.1);
	done(&b);
}

static void both_modes_give_the_same_voltage(void **unused)
{
	struct bench a = fresh(16, 3.4), b = fresh(16, 3.4);

	(void)unused;
	b.c.charge_mode = LIMITS_STEP;
	for (int t = 0; t < 3000; t++) {
		a.in.cell[3] = b.in.cell[3] = 3.40 + 0.001 * (t % 97);
		poll_at(&a, t);
		poll_at(&b, t);
		assert_true(a.out.cvl_ctl == b.out.cvl_ctl && a.out.phase == b.out.phase && a.out.flags == b.out.flags);
	}
	done(&a);
	done(&b);
}

/* ---- 17.4, 17.5 current ---- */

static void a_current_limit_comes_back_after_hold_and_ramp(void **unused)
{
	static const struct {
		double t, temp, target, ccl;
		unsigned why;
		bool wait;
	} rows[] = {
		{0, 22, 50, 50, REASON_CONFIG, false},	  {3, 0, 0, 0, REASON_TEMP, false},
		{10, 0.1, 0.625, 0, REASON_TEMP, true},	  {15, 2, 12.5, 0, REASON_TEMP, true},
		{44, 2, 12.5, 0, REASON_TEMP, true},	  {45, 2, 12.5, 0, REASON_TEMP, false},
		{46, 2, 12.5, 5, REASON_TEMP, false},	  {48, 2, 12.5, 12.5, REASON_TEMP, false},
		{60, 22, 50, 12.5, REASON_CONFIG, true},  {90, 22, 50, 12.5, REASON_CONFIG, false},
		{91, 22, 50, 17.5, REASON_CONFIG, false}, {98, 22, 50, 50, REASON_CONFIG, false},
	};
	struct bench b = fresh(16, 3.3);

	(void)unused;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		poll_until(&b, rows[i].t - 1);
		b.in.temp[0] = rows[i].temp;
		poll_at(&b, rows[i].t);
		assert_near(b.out.ccl.target, rows[i].target);
		assert_near(b.out.ccl.limit, rows[i].ccl);
		assert_int_equal(b.out.ccl.why, rows[i].why);
		assert_int_equal(b.out.ccl.wait, rows[i].wait);
		assert_int_equal(b.out.ccl.allow, rows[i].ccl != 0);
	}
	done(&b);
}

static void the_time_until_a_recovery_is_told(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	b.in.temp[0] = 0;
	poll_at(&b, 0);
	assert_unknown(b.out.ccl.wait_left);
	b.in.temp[0] = 22;
	poll_at(&b, 1);
	assert_near(b.out.ccl.wait_left, 30);
	poll_at(&b, 11);
	assert_near(b.out.ccl.wait_left, 20);
	poll_at(&b, 31);
	assert_unknown(b.out.ccl.wait_left);
	done(&b);
}

static void small_reductions_wait_for_the_interval_large_ones_do_not(void **unused)
{
	struct bench b = fresh(16, 3.4);

	(void)unused;
	set(&b, "MAX_CELL_VOLTAGE", "3.55");
	for (int t = 0; t <= 70; t++) {
		b.in.cell[0] = t >= 70 ? 3.42 : 3.4 + 0.0001 * (t < 60 ? t : 60);
		poll_at(&b, t);
		if (t == 30)
			assert_near(b.out.ccl.target, 11.3);
		if (t < 60)
			assert_near(b.out.ccl.limit, 12.5);
		else if (t < 70)
			assert_near(b.out.ccl.limit, 10.1);
	}
	assert_near(b.out.ccl.limit, 4.5);
	done(&b);
}

static void every_rule_that_binds_is_named(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	b.in.temp[0] = 2;
	b.in.bms_ccl = 12.5;
	poll_at(&b, 0);
	assert_int_equal(b.out.ccl.why, REASON_BMS_LIMIT); /* a curve equal to it is not named */
	b.in.bms_ccl = 40;
	b.in.cell[0] = 3.4; /* 12.5 A, too */
	poll_at(&b, 100);
	assert_int_equal(b.out.ccl.why, REASON_CELL | REASON_TEMP);
	assert_near(b.out.ccl.candidate.bms_limit, 40);
	assert_near(b.out.ccl.candidate.cell, 12.5);
	assert_unknown(b.out.ccl.candidate.soc);
	b.in.charge_fet = OFF;
	poll_at(&b, 101);
	assert_int_equal(b.out.ccl.why, REASON_BMS_FET);
	assert_near(b.out.ccl.limit, 0);
	assert_false(b.out.ccl.io);
	assert_true(b.out.dcl.io);
	done(&b);
}

static void a_bms_limit_above_the_configured_one_changes_nothing(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	b.in.bms_ccl = 80;
	b.in.bms_dcl = -3;
	poll_at(&b, 0);
	assert_near(b.out.ccl.limit, 50);
	assert_int_equal(b.out.ccl.why, REASON_CONFIG);
	assert_near(b.out.dcl.limit, 0); /* negative counts as 0 */
	assert_int_equal(b.out.dcl.why, REASON_BMS_LIMIT);
	done(&b);
}

static void an_unknown_switch_permits(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	b.in.charge_fet = b.in.discharge_fet = UNKNOWN;
	poll_at(&b, 0);
	assert_true(b.out.ccl.io && b.out.dcl.io);
	assert_int_equal(b.out.state, 9);
	b.in.charge_fet = b.in.discharge_fet = OFF;
	poll_at(&b, 1);
	assert_int_equal(b.out.state, 14);
	assert_near(b.out.current, 0);
	done(&b);
}

static void a_lowered_maximum_holds_at_once(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	poll_until(&b, 5);
	set(&b, "MAX_BATTERY_CHARGE_CURRENT", "45");
	poll_until(&b, 6);
	assert_near(b.out.ccl.limit, 45);
	done(&b);
}

/* ---- 17.6 state of charge ---- */

static void charge_is_counted_from_the_soc_of_the_bms(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	set(&b, "SOC_CALCULATION", "True");
	poll_until(&b, 0);
	assert_near(b.out.soc, 50);
	poll_until(&b, 1);
	assert_near(b.out.soc, 50.003);
	poll_until(&b, 36);
	assert_near(b.out.soc, 50.1);
	assert_near(b.out.capacity_consumed, -49.9);
	done(&b);
}

static void setting_the_soc_starts_the_count_there(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	set(&b, "SOC_CALCULATION", "True");
	poll_until(&b, 5);
	limits_set_soc(b.s, 130);
	poll_until(&b, 6);
	assert_near(b.out.soc, 100);
	limits_set_soc(b.s, NAN);
	limits_set_soc(b.s, 12.5);
	poll_until(&b, 7);
	assert_near(b.out.soc, 12.5);
	done(&b);
}

static void a_cell_that_stays_empty_under_load_empties_the_pack(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	set(&b, "SOC_CALCULATION", "True");
	b.in.current = -10;
	poll_until(&b, 10);
	b.in.cell[3] = 2.85; /* a short dip */
	poll_until(&b, 11);
	b.in.cell[3] = 3.0;
	poll_until(&b, 5000);
	assert_true(b.out.soc > 30);
	b.in.cell[3] = 2.85;
	poll_until(&b, 5061);
	assert_true(b.out.soc > 30);
	poll_until(&b, 5062); /* more than 60 s */
	assert_near(b.out.soc, 0);
	done(&b);
}

static void a_full_pack_counts_from_100(void **unused)
{
	struct bench b = fresh(16, 3.45);

	(void)unused;
	set(&b, "SOC_CALCULATION", "True");
	set(&b, "SWITCH_TO_FLOAT_WAIT_FOR_SEC", "5");
	while (!b.out.full_event)
		poll_until(&b, isnan(b.t) ? 0 : b.t + 1);
	assert_true(b.out.soc < 51);
	poll_until(&b, b.t + 1);
	assert_near(b.out.soc, 100);
	done(&b);
}

static void without_a_current_the_counted_soc_stays(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	set(&b, "SOC_CALCULATION", "True");
	poll_until(&b, 36);
	b.in.current = NAN;
	poll_until(&b, 50);
	assert_near(b.out.soc, 50.1);
	assert_unknown(b.out.current);
	assert_unknown(b.out.current_avg);
	done(&b);
}

static void an_external_sensor_goes_before_the_bms(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	b.in.ext_current = -3.14159;
	b.in.ext_soc = 77.77777;
	poll_at(&b, 0);
	assert_near(b.out.current, -3.142);
	assert_near(b.out.soc, 77.778);
	b.in.ext_current = b.in.ext_soc = NAN;
	poll_at(&b, 1);
	assert_near(b.out.current, 10);
	assert_near(b.out.soc, 50);
	done(&b);
}

static void the_current_is_corrected_by_the_users_list(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	set(&b, "CURRENT_REPORTED_BY_BMS", "-300, 0, 300");
	set(&b, "CURRENT_MEASURED_BY_USER", "-290, 0.5, 310");
	poll_at(&b, 0);
	assert_near(b.out.current, 10.817); /* 0.5 + 10/300 * 309.5 */
	b.in.current = -400;
	poll_at(&b, 1);
	assert_near(b.out.current, -290);
	done(&b);
}

/* ---- 4 values ---- */

static void an_implausible_cell_is_as_good_as_none(void **unused)
{
	struct bench b = fresh(8, 3.3);

	(void)unused;
	b.in.cell[5] = 65.535;
	poll_at(&b, 0);
	assert_near(b.out.cell_max, 3.3);
	assert_int_equal(b.out.phase, CHARGE_BULK);
	assert_near(b.out.ccl.limit, 50);
	done(&b);
}

static void sensors_are_limited_adjusted_and_chosen(void **unused)
{
	struct bench b = fresh(4, 3.3);

	(void)unused;
	set(&b, "TEMPERATURE_SOURCE_BATTERY", "1, 3");
	set(&b, "TEMPERATURE_1_ADJUST", "1.5, 1.1");
	b.in.temp[0] = 20.04;
	b.in.temp[1] = -5;
	b.in.temp[2] = 200;
	poll_at(&b, 0);
	assert_near(b.out.temp_min, 23.5); /* 20.0 * 1.1 + 1.5 */
	assert_near(b.out.temp_max, 100);
	assert_near(b.out.temp, 61.8); /* 61.75 */
	assert_int_equal(b.out.temp_min_no, 1);
	assert_int_equal(b.out.temp_max_no, 3);
	assert_near(b.out.temp_sensor[1], -5);
	assert_unknown(b.out.temp_sensor[3]);
	for (int t = 1; t < 10; t++)
		poll_at(&b, t);
	assert_near(b.out.temp_min, 23.5); /* not adjusted again */
	done(&b);
}

static void the_lower_sensor_wins_a_tie_for_coldest_the_higher_for_warmest(void **unused)
{
	struct bench b = fresh(4, 3.3);

	(void)unused;
	b.in.temp[1] = b.in.temp[0] = b.in.temp[3] = 20;
	poll_at(&b, 0);
	assert_int_equal(b.out.temp_min_no, 1);
	assert_int_equal(b.out.temp_max_no, 4);
	done(&b);
}

static void the_midpoint_of_an_odd_string_halves_the_middle_cell(void **unused)
{
	struct bench b = fresh(5, 3.3);

	(void)unused;
	set(&b, "MIDPOINT_ENABLE", "True");
	b.in.cell[4] = 3.4;
	poll_at(&b, 0);
	assert_near(b.out.mid, 3.3 * 2.5);
	assert_near(b.out.mid_dev, 0.1 / 13.3 * 100);
	b.in.cell[2] = NAN;
	poll_at(&b, 1);
	assert_unknown(b.out.mid);
	assert_unknown(b.out.mid_dev);
	done(&b);
}

/* ---- 17.7 times ---- */

static void times_follow_the_average_current(void **unused)
{
	struct bench b = fresh(16, 3.3);
	char text[64];

	(void)unused;
	set(&b, "TIME_TO_SOC_POINTS", "50, 20, 80");
	b.in.capacity = 280;
	b.in.current = -20;
	b.in.soc = 60;
	poll_at(&b, 0);
	assert_near(b.out.ttg, 20160);
	assert_int_equal(b.out.points, 3);
	limits_time_text(3, b.out.tts[0], text, sizeof(text));
	assert_string_equal(text, "5040 [1h 24m]");
	limits_time_text(3, b.out.tts[1], text, sizeof(text));
	assert_string_equal(text, "20160 [5h 36m]");
	assert_unknown(b.out.tts[2]);
	set(&b, "TIME_TO_SOC_INC_FROM", "True");
	poll_at(&b, 60);
	limits_time_text(3, b.out.tts[2], text, sizeof(text));
	assert_string_equal(text, "-10080 [-2h 48m]");
	done(&b);
}

static void a_discharge_ends_where_the_ess_system_says(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	b.in.current = -10;
	b.in.soc = 60;
	b.in.ess = (struct ess_settings){
		.known = true, .hub4_mode = 1, .battery_life_state = 10, .minimum_soc_limit = 30.9, .soc_limit = 45};
	poll_at(&b, 0);
	assert_near(b.out.ttg, (60 - 30) * 360);
	b.in.ess.battery_life_state = 3;
	poll_at(&b, 60);
	assert_near(b.out.ttg, (60 - 45) * 360);
	b.in.ess.battery_life_state = 9;
	poll_at(&b, 120);
	assert_near(b.out.ttg, (60 - 20) * 360);
	done(&b);
}

static void durations_keep_the_two_largest_units(void **unused)
{
	static const struct {
		double s;
		const char *text;
	} rows[] = {{5400, "1h 30m"}, {7200, "2h"},  {90061, "1d 1h"}, {59, "59s"},	{60, "1m"},	   {0, "0s"},
		    {86400, "1d"},    {86459, "1d"}, {3601, "1h"},     {-61, "-1m 1s"}, {-90000, "-1d 1h"}};
	char text[64];

	(void)unused;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		limits_duration_text(rows[i].s, text, sizeof(text));
		assert_string_equal(text, rows[i].text);
	}
	limits_time_text(1, -10080, text, sizeof(text));
	assert_string_equal(text, "-10080");
}

static void the_average_covers_300_seconds_whatever_the_poll_period(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	b.in.current = 100;
	poll_at(&b, 0);
	b.in.current = 10;
	for (double t = 60; t < 300; t += 60)
		poll_at(&b, t);
	assert_near(b.out.current_avg, (100 + 4 * 10) / 5.0);
	poll_at(&b, 300); /* the first is now 300 s old */
	assert_near(b.out.current_avg, 10);
	done(&b);
}

/* ---- 17.8 silence ---- */

static void an_outage_goes_offline_then_blocks_and_ends_with_the_first_good_poll(void **unused)
{
	struct bench b = fresh(16, 3.30);

	(void)unused;
	set(&b, "BLOCK_ON_DISCONNECT_VOLTAGE_MIN", "3.31");
	poll_until(&b, 4);
	b.in.ok = false;
	poll_until(&b, 14);
	assert_true(b.out.online && !b.out.blocked);
	assert_near(b.out.voltage, 52.8);
	poll_until(&b, 15);
	assert_false(b.out.online);
	assert_unknown(b.out.voltage);
	assert_unknown(b.out.current_avg);
	assert_near(b.out.ccl.limit, 50);
	poll_until(&b, 64);
	assert_false(b.out.blocked);
	poll_until(&b, 65);
	assert_true(b.out.blocked);
	assert_int_equal(b.out.cable, 2);
	assert_near(b.out.ccl.limit, 0);
	assert_near(b.out.dcl.limit, 0);
	assert_int_equal(b.out.ccl.why, REASON_DISCONNECT);
	assert_false(b.out.ccl.io || b.out.dcl.io || b.out.ccl.allow || b.out.dcl.allow);
	assert_int_equal(b.out.state, 14);
	assert_near(b.out.cvl, 55.2);
	assert_near(b.out.soc, 50);
	poll_until(&b, 79);
	b.in.ok = true;
	poll_until(&b, 80);
	assert_true(b.out.online && !b.out.blocked);
	assert_near(b.out.ccl.limit, 50); /* at once */
	assert_int_equal(b.out.state, 9);
	poll_until(&b, 139);
	assert_int_equal(b.out.cable, 2);
	poll_until(&b, 140);
	assert_int_equal(b.out.cable, 0);
	done(&b);
}

static void cells_in_the_middle_allow_the_long_outage(void **unused)
{
	struct bench b = fresh(16, 3.30);

	(void)unused;
	poll_until(&b, 4);
	b.in.ok = false;
	poll_until(&b, 4 + 30 * 60);
	assert_false(b.out.blocked);
	assert_int_equal(b.out.cable, 1);
	poll_until(&b, 5 + 30 * 60);
	assert_true(b.out.blocked);
	done(&b);
}

static void blocking_on_disconnect_acts_when_the_connection_counts_as_lost(void **unused)
{
	struct bench b = fresh(16, 3.30);

	(void)unused;
	set(&b, "BLOCK_ON_DISCONNECT", "True");
	poll_until(&b, 4);
	b.in.ok = false;
	poll_until(&b, 14);
	assert_false(b.out.blocked);
	poll_until(&b, 15);
	assert_true(b.out.blocked);
	done(&b);
}

static void single_failed_polls_never_add_up(void **unused)
{
	struct bench b = fresh(16, 3.30);

	(void)unused;
	for (int t = 0; t < 3600; t++) {
		b.in.ok = t % 10 < 8; /* two in a row, again and again */
		poll_at(&b, t);
		assert_true(b.out.online && !b.out.blocked);
	}
	done(&b);
}

/* ---- 10, 12, 14 ---- */

static void high_voltage_alarms_are_hidden_while_the_reset_voltage_is_sought(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	b.in.alarm[ALARM_HIGH_CELL_VOLTAGE] = ALARM_RAISED;
	poll_at(&b, 0);
	assert_int_equal(b.out.alarm_hcv, 2);
	set(&b, "SOC_RESET_AFTER_DAYS", "10");
	poll_at(&b, 1);
	assert_true(b.out.soc_reset);
	assert_true(b.out.alarms_suppressed);
	assert_int_equal(b.out.alarm_hcv, 0);
	assert_near(b.out.v_max, 58.4);
	assert_true(b.out.flags & CHARGE_SOC_RESET);
	b.in.alarms_known = false;
	poll_at(&b, 2);
	assert_int_equal(b.out.alarm_hcv, -1);
	done(&b);
}

static void the_history_keeps_what_happens_between_its_ticks(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	poll_until(&b, 10);
	b.in.cell[7] = 3.0;
	b.in.alarm[ALARM_LOW_CELL_VOLTAGE] = ALARM_WARNING;
	poll_until(&b, 11);
	b.in.cell[7] = 3.3;
	b.in.alarm[ALARM_LOW_CELL_VOLTAGE] = ALARM_OK;
	poll_until(&b, 59);
	assert_near(b.out.history.cell_min, 3.3);
	poll_until(&b, 60);
	assert_near(b.out.history.cell_min, 3.0);
	assert_near(b.out.history.low_voltage_alarms, 1);
	assert_near(b.out.history.energy_in, 10 * 52.8 * 60 / 3600 / 1000);
	assert_near(b.out.history.total, 0);
	assert_unknown(b.out.history.average);
	done(&b);
}

static void clearing_a_group_of_the_history_leaves_the_others(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	b.in.current = -36;
	poll_until(&b, 120);
	assert_near(b.out.history.total, 36 * 120 / 3600.0);
	b.in.cell[7] = 3.0;
	poll_until(&b, 180);
	b.in.cell[7] = 3.3;
	poll_until(&b, 190);
	limits_clear_history(b.s, &b.c, 3);
	poll_until(&b, 191);
	assert_near(b.out.history.cell_min, 3.3);
	assert_near(b.out.history.total, 36 * 180 / 3600.0 + 0.1);
	limits_clear_history(b.s, &b.c, 8); /* no such group */
	limits_clear_history(b.s, &b.c, 1);
	poll_until(&b, 192);
	assert_near(b.out.history.total, 0);
	assert_unknown(b.out.history.syncs);
	done(&b);
}

static void what_is_saved_comes_back(void **unused)
{
	struct bench b = fresh(16, 3.45), c;
	struct limits_saved saved;

	(void)unused;
	set(&b, "SOC_CALCULATION", "True");
	poll_until(&b, 100);
	assert_int_equal(b.out.phase, CHARGE_ABSORPTION);
	limits_save(b.s, &b.c, &saved);
	assert_near(saved.absorption_s, 100);
	assert_near(saved.soc, 50.278);
	assert_unknown(saved.soc_reset_age_s);

	c = fresh(16, 3.45);
	c.c = b.c;
	limits_restore(c.s, &saved, 60);
	c.in.soc = 3;
	poll_until(&c, 0);
	assert_near(c.out.soc, 50.278);
	assert_near(c.out.history.cell_max, 3.45);
	poll_until(&c, 800); /* 900 s of absorption in all, the pause not counted */
	assert_int_equal(c.out.phase, CHARGE_ABSORPTION);
	poll_until(&c, 801);
	assert_true(c.out.full_event);
	done(&b);
	done(&c);
}

static void a_long_or_backward_pause_ends_the_absorption_timer(void **unused)
{
	const double pauses[] = {301, -5, NAN};

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		struct bench b = fresh(16, 3.45);
		struct limits_saved saved;

		limits_save(b.s, &b.c, &saved);
		saved.absorption_s = 899;
		saved.soc_reset_age_s = 1000;
		saved.history.since_full = 50;
		limits_restore(b.s, &saved, pauses[i]);
		poll_until(&b, 5);
		assert_int_equal(b.out.phase, CHARGE_ABSORPTION); /* begun anew */
		limits_save(b.s, &b.c, &saved);
		assert_near(saved.absorption_s, 5);
		assert_near(saved.soc_reset_age_s, 1005 + (i ? 0 : 301));
		assert_near(b.out.history.since_full, 55 + (i ? 0 : 301));
		done(&b);
	}
}

static void what_the_bms_counts_itself_is_not_saved(void **unused)
{
	struct bench b = fresh(16, 3.3);
	struct limits_saved saved;

	(void)unused;
	b.in.bms_cycles = 7;
	poll_until(&b, 1);
	assert_near(b.out.history.cycles, 7);
	assert_near(b.out.history.total, 700);
	assert_near(b.out.history.average, 100);
	limits_save(b.s, &b.c, &saved);
	assert_unknown(saved.history.cycles);
	assert_unknown(saved.soc); /* it is not counted here */
	done(&b);
}

/* ---- 13 texts ---- */

static void texts_are_those_that_existing_screens_know(void **unused)
{
	struct limits_output out = {.phase = CHARGE_ABSORPTION,
				    .flags = CHARGE_OVP_RAMP | CHARGE_SOC_RESET | CHARGE_BALANCING};
	struct current_limit l = {.why = REASON_CELL | REASON_TEMP, .wait = true};
	char text[80];

	(void)unused;
	charge_mode_text(&out, text, sizeof(text));
	assert_string_equal(text, "Absorption (Cell OVP*) & SoC Reset + Balancing");
	assert_string_equal(charge_mode_suffix(&out, LIMITS_LINEAR), " \u2502 Linear Mode");
	out.phase = CHARGE_FIXED;
	assert_string_equal(charge_mode_suffix(&out, LIMITS_STEP), "");
	limit_reason_text(&l, true, text, sizeof(text));
	assert_string_equal(text, "Cell Voltage, Temp *");
	l = (struct current_limit){.why = REASON_CONFIG};
	limit_reason_text(&l, false, text, sizeof(text));
	assert_string_equal(text, "Max Battery Discharge Current");
	limit_reason_text(&l, false, text, 8);
	assert_string_equal(text, "Max Bat");
	assert_string_equal(charge_phase_name(CHARGE_FLOAT_TRANSITION), "float_transition");
	assert_string_equal(limit_reason_name(REASON_BMS_FET), "bms_fet");
	assert_string_equal(charge_flag_name(CHARGE_HEATING), "heating");
}

/* ---- 2.1 readings ---- */

static void a_reading_becomes_an_input(void **unused)
{
	struct reading r = {0};
	struct limits_input in;

	(void)unused;
	series_start(&r.cell_V, 4);
	for (unsigned i = 0; i < 4; i++)
		if (i != 2)
			series_set(&r.cell_V, i, 3.3 + 0.01 * i);
	series_set(&r.temperatures, 0, 40);
	series_set(&r.temperatures, 2, 21);
	reading_set(&r, Q_VOLTAGE_V, 13.2);
	reading_set_flag(&r, F_DISCHARGE_ALLOWED, false);
	reading_set_flag(&r, F_CHARGE_MOS, true);
	reading_set_flag(&r, F_CHARGE_ALLOWED, false);
	reading_derive(&r);
	limits_input_from_reading(&in, &r, true);
	assert_true(in.ok && in.single_cells);
	assert_int_equal(in.cells, 4);
	assert_unknown(in.cell[2]);
	assert_near(in.cell[3], 3.33);
	assert_unknown(in.cell_lo); /* derived, not reported */
	assert_unknown(in.temp[0]);
	assert_near(in.temp[1], 21);
	assert_unknown(in.soc);
	assert_int_equal(in.charge_fet, ON);	 /* the switch itself */
	assert_int_equal(in.discharge_fet, OFF); /* no switch reported: the permission */
	assert_false(in.alarms_known);
	reading_set(&r, Q_CELL_MIN_V, 3.2);
	limits_input_from_reading(&in, &r, false);
	assert_near(in.cell_lo, 3.2);
	assert_near(in.temp[0], 40);
}

/* ---- properties ---- */

static uint64_t seed;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static double between(double lo, double hi)
{
	return lo + (hi - lo) * (double)(next_random() >> 11) / 9007199254740992.0;
}

/* Mostly a value of this range; sometimes none, and sometimes something absurd. */
static double some(double lo, double hi)
{
	static const double absurd[] = {NAN, INFINITY, -INFINITY, 0, -1, 1e300, -1e300, 65.535};

	switch (next_random() % 20) {
	case 0:
		return NAN;
	case 1:
		return absurd[next_random() % 8];
	default:
		return between(lo, hi);
	}
}

static void strings_side_by_side_are_not_cells_in_series(void **unused)
{
	struct reading r = {0};
	struct limits_input in;

	(void)unused;
	for (unsigned i = 0; i < 8; i++)
		series_set(&r.cell_V, i, 3.3);
	limits_input_from_reading(&in, &r, false);
	assert_int_equal(in.cells, 8);
	reading_set(&r, Q_CELL_COUNT, 4);
	limits_input_from_reading(&in, &r, false);
	assert_int_equal(in.cells, 4);
}

static void scramble(struct limits_input *in)
{
	in->ok = next_random() % 8 != 0;
	in->single_cells = next_random() % 16 != 0;
	for (unsigned i = 0; i < in->cells && i < MAX_CELLS; i++)
		in->cell[i] = some(2.7, 3.6);
	in->cell_lo = some(2.7, 3.6);
	in->cell_hi = some(2.7, 3.6);
	in->voltage = some(40, 60);
	in->current = some(-100, 100);
	in->soc = some(0, 100);
	in->capacity = some(50, 300);
	in->remaining = some(0, 300);
	for (unsigned i = 0; i < LIMITS_MAX_SENSORS; i++)
		in->temp[i] = some(-30, 70);
	in->temp_mos = some(-30, 100);
	in->bms_ccl = some(0, 200);
	in->bms_dcl = some(0, 200);
	in->bms_cvl = some(50, 58);
	in->bms_dvl = some(40, 48);
	in->ext_current = some(-100, 100);
	in->ext_soc = some(0, 100);
	in->bms_cycles = some(0, 5000);
	in->charge_fet = (enum tri)(next_random() % 3);
	in->discharge_fet = (enum tri)(next_random() % 3);
	in->heating = (enum tri)(next_random() % 3);
	in->balancing = next_random() % 2;
	in->alarms_known = next_random() % 2;
	for (unsigned i = 0; i < ALARM_COUNT; i++)
		in->alarm[i] = (uint8_t)(next_random() % 3);
}

static void expect_sane_limit(const struct current_limit *l, double max)
{
	assert_true(l->limit >= 0 && l->limit <= max);
	assert_true(l->target >= 0 && l->target <= max);
	assert_int_equal(l->allow, l->limit != 0);
	assert_true(!l->io || l->allow);
	assert_true(l->why != 0);
	assert_true(isnan(l->wait_left) || (l->wait && l->wait_left >= 0));
}

static void expect_sane(const struct limits_output *o, const struct config *c)
{
	expect_sane_limit(&o->ccl, c->max_battery_charge_current);
	expect_sane_limit(&o->dcl, c->max_battery_discharge_current);
	assert_true(isfinite(o->cvl) && isfinite(o->cvl_ctl) && isfinite(o->v_max) && isfinite(o->v_min));
	assert_true(o->cvl_ctl <= fmax(o->v_max, c->max_cell_voltage * MAX_CELLS));
	assert_true(o->phase != CHARGE_PHASE_NONE && o->phase <= CHARGE_ERROR);
	assert_true(o->state == 9 || o->state == 14);
	assert_true(o->online_known);
	assert_false(isinf(o->voltage) || isinf(o->current) || isinf(o->soc) || isinf(o->current_avg));
	assert_true(o->cable >= 0 && o->cable <= 2);
	assert_true(o->alarm_hv >= -1 && o->alarm_hv <= 2);
	assert_true(!o->blocked || (!o->ccl.io && !o->dcl.io && o->ccl.limit == 0 && o->dcl.limit == 0));
	if (o->alarms_suppressed)
		assert_true(o->alarm_hv <= 0 && o->alarm_hcv <= 0);
}

static void random_config(struct config *c)
{
	c->charge_mode = 1 + (int)(next_random() % 2);
	c->cvl_controller_mode = (int)(next_random() % 4);
	c->soc_calculation = next_random() % 2;
	c->cccm_soc_enable = c->dccm_soc_enable = next_random() % 2;
	c->soc_reset_after_days = next_random() % 2 ? NAN : 1;
	c->use_bms_dvcc_values = next_random() % 2;
	c->midpoint_enable = c->block_on_disconnect = c->time_to_soc_inc_from = next_random() % 2;
	c->cvcm_enable = next_random() % 8 != 0;
	c->switch_to_float_wait_for_sec = (int)(next_random() % 100);
	c->ccl_recovery_hold_sec = (int)(next_random() % 20);
	c->ccl_recovery_rate_a_per_sec = next_random() % 2 ? 0 : 3.3;
}

static void rubbish_never_gives_rubbish(void **unused)
{
	static const double steps[] = {0, 0.1, 0.7, 1, 1, 1, 5, 60, 3600, -1, NAN, INFINITY};

	(void)unused;
	seed = 20240229;
	for (unsigned run = 0; run < 150; run++) {
		struct bench b = fresh(1 + run % MAX_CELLS, 3.3);

		random_config(&b.c);
		poll_at(&b, 0); /* a first good reading */
		expect_sane(&b.out, &b.c);
		for (int i = 0; i < 400; i++) {
			double dt = steps[next_random() % (sizeof(steps) / sizeof(steps[0]))];

			scramble(&b.in);
			limits_step(b.s, &b.c, &b.in, dt, &b.out);
			expect_sane(&b.out, &b.c);
		}
		done(&b);
	}
}

static void more_cells_than_there_is_room_for_are_cut(void **unused)
{
	struct bench b = fresh(MAX_CELLS, 3.3);

	(void)unused;
	b.in.cells = 4000;
	poll_at(&b, 0);
	assert_near(b.out.v_max, 3.45 * MAX_CELLS);
	done(&b);
}

static void without_a_number_of_cells_there_is_no_voltage_limit(void **unused)
{
	struct bench b = fresh(0, 0);

	(void)unused;
	b.in.single_cells = false;
	b.in.voltage = 52;
	poll_at(&b, 0);
	assert_int_equal(b.out.phase, CHARGE_ERROR);
	assert_unknown(b.out.cvl);
	assert_unknown(b.out.v_max);
	done(&b);
}

static void nothing_is_known_before_the_first_reading(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	b.in.ok = false;
	poll_at(&b, 0);
	assert_unknown(b.out.cvl);
	assert_unknown(b.out.ccl.limit);
	assert_unknown(b.out.voltage);
	assert_unknown(b.out.history.total);
	assert_false(b.out.online_known);
	assert_int_equal(b.out.state, 0);
	assert_false(b.out.ccl.io || b.out.dcl.io);
	done(&b);
}

/* The limit of a fresh pack, so that no hold or ramp is in the way. */
static double fresh_limit(enum limits_mode mode, bool charging, double cell, double temp, double mos, double soc)
{
	struct bench b = fresh(8, cell);

	set(&b, "CCCM_SOC_ENABLE", "True");
	set(&b, "DCCM_SOC_ENABLE", "True");
	b.c.charge_mode = mode;
	b.in.temp[0] = temp;
	b.in.temp_mos = mos;
	b.in.soc = soc;
	poll_at(&b, 0);
	done(&b);
	return charging ? b.out.ccl.limit : b.out.dcl.limit;
}

static void limits_move_one_way_with_the_input_that_binds(void **unused)
{
	(void)unused;
	for (int mode = LIMITS_LINEAR; mode <= LIMITS_STEP; mode++)
		for (int i = 0; i < 400; i++) {
			double a = i / 400.0, b = (i + 1) / 400.0;

#define LIMIT(charging, cell, temp, mos, soc) fresh_limit((enum limits_mode)mode, charging, cell, temp, mos, soc)
			assert_true(LIMIT(true, 3.3 + 0.3 * b, 22, 30, 50) <= LIMIT(true, 3.3 + 0.3 * a, 22, 30, 50));
			assert_true(LIMIT(false, 2.7 + 0.6 * b, 22, 30, 50) >= LIMIT(false, 2.7 + 0.6 * a, 22, 30, 50));
			assert_true(LIMIT(true, 3.3, 30 * b - 5, 30, 50) >= LIMIT(true, 3.3, 30 * a - 5, 30, 50));
			assert_true(LIMIT(true, 3.3, 30 + 30 * b, 30, 50) <= LIMIT(true, 3.3, 30 + 30 * a, 30, 50));
			assert_true(LIMIT(false, 3.3, 22, 60 + 35 * b, 50) <= LIMIT(false, 3.3, 22, 60 + 35 * a, 50));
			assert_true(LIMIT(true, 3.3, 22, 30, 80 + 20 * b) <= LIMIT(true, 3.3, 22, 30, 80 + 20 * a));
			assert_true(LIMIT(false, 3.3, 22, 30, 25 * b) >= LIMIT(false, 3.3, 22, 30, 25 * a));
#undef LIMIT
		}
}

static void a_step_is_never_above_the_maximum_and_cautious_where_that_is_the_rule(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	for (unsigned curve = 0; curve < CURVE_COUNT; curve++)
		for (int charging = 0; charging <= 1; charging++) {
			double lo, hi;

			limits_curve_range(&b.c, curve, charging, &lo, &hi);
			for (int i = -20; i <= 1020; i++) {
				double x = lo + (hi - lo) * i / 1000;
				double step = limits_curve_at(&b.c, LIMITS_STEP, curve, charging, x);
				double linear = limits_curve_at(&b.c, LIMITS_LINEAR, curve, charging, x);
				double most =
					charging ? b.c.max_battery_charge_current : b.c.max_battery_discharge_current;

				assert_true(step >= 0 && step <= most && linear >= 0 && linear <= most);
				/* 7.2: charging is cautious where it is cold, discharging where it is hot. */
				if (curve == CURVE_TEMP && (charging ? x < 20 : x > 20))
					assert_true(step <= linear + NEAR);
			}
		}
	done(&b);
}

static void a_second_poll_in_the_same_instant_changes_nothing(void **unused)
{
	struct bench b = fresh(16, 3.3);
	struct limits_output first;

	(void)unused;
	set(&b, "SOC_CALCULATION", "True");
	for (int t = 0; t < 200; t++) {
		b.in.cell[1] = 3.3 + 0.001 * t;
		b.in.temp[0] = 10 - t / 15.0;
		poll_at(&b, t);
		first = b.out;
		poll_at(&b, t);
		assert_true(b.out.ccl.limit == first.ccl.limit && b.out.dcl.limit == first.dcl.limit);
		assert_true(b.out.cvl_ctl == first.cvl_ctl && b.out.soc == first.soc && b.out.phase == first.phase);
		assert_true(b.out.history.energy_in == first.history.energy_in);
	}
	done(&b);
}

static void a_late_poll_counts_the_whole_time(void **unused)
{
	struct bench b = fresh(16, 3.3);

	(void)unused;
	set(&b, "SOC_CALCULATION", "True");
	poll_at(&b, 0);
	poll_at(&b, 1800.5);
	assert_near(b.out.soc, 55.001); /* 10 A for half an hour */
	assert_near(b.out.history.energy_in, 10 * 52.8 * 1800.5 / 3600 / 1000);
	done(&b);
}

static void a_clock_that_stands_or_runs_backward_adds_no_time(void **unused)
{
	struct bench b = fresh(16, 3.3);
	const double steps[] = {0, -1, -1e9, NAN, INFINITY, -INFINITY};

	(void)unused;
	set(&b, "SOC_CALCULATION", "True");
	poll_until(&b, 36);
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		limits_step(b.s, &b.c, &b.in, steps[i], &b.out);
	assert_near(b.out.soc, 50.1);
	done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(curves_give_the_currents_of_the_examples),
		cmocka_unit_test(a_falling_list_is_the_rising_one_reversed),
		cmocka_unit_test(the_step_curve_takes_the_value_of_a_point_that_is_hit_exactly),
		cmocka_unit_test(one_cell_too_high_lowers_the_voltage_holds_and_ramps),
		cmocka_unit_test(a_full_charge_goes_through_absorption_to_float_and_back_to_bulk),
		cmocka_unit_test(a_poll_without_cells_is_an_error_that_leaves_no_trace),
		cmocka_unit_test(sums_that_mean_the_target_start_absorption_for_every_number_of_cells),
		cmocka_unit_test(a_difference_that_means_the_threshold_starts_the_timer),
		cmocka_unit_test(the_bms_voltage_is_used_only_on_demand),
		cmocka_unit_test(a_bms_voltage_with_binary_noise_is_no_overvoltage),
		cmocka_unit_test(both_modes_give_the_same_voltage),
		cmocka_unit_test(a_current_limit_comes_back_after_hold_and_ramp),
		cmocka_unit_test(the_time_until_a_recovery_is_told),
		cmocka_unit_test(small_reductions_wait_for_the_interval_large_ones_do_not),
		cmocka_unit_test(every_rule_that_binds_is_named),
		cmocka_unit_test(a_bms_limit_above_the_configured_one_changes_nothing),
		cmocka_unit_test(an_unknown_switch_permits),
		cmocka_unit_test(a_lowered_maximum_holds_at_once),
		cmocka_unit_test(charge_is_counted_from_the_soc_of_the_bms),
		cmocka_unit_test(setting_the_soc_starts_the_count_there),
		cmocka_unit_test(a_cell_that_stays_empty_under_load_empties_the_pack),
		cmocka_unit_test(a_full_pack_counts_from_100),
		cmocka_unit_test(without_a_current_the_counted_soc_stays),
		cmocka_unit_test(an_external_sensor_goes_before_the_bms),
		cmocka_unit_test(the_current_is_corrected_by_the_users_list),
		cmocka_unit_test(an_implausible_cell_is_as_good_as_none),
		cmocka_unit_test(sensors_are_limited_adjusted_and_chosen),
		cmocka_unit_test(the_lower_sensor_wins_a_tie_for_coldest_the_higher_for_warmest),
		cmocka_unit_test(the_midpoint_of_an_odd_string_halves_the_middle_cell),
		cmocka_unit_test(times_follow_the_average_current),
		cmocka_unit_test(a_discharge_ends_where_the_ess_system_says),
		cmocka_unit_test(durations_keep_the_two_largest_units),
		cmocka_unit_test(the_average_covers_300_seconds_whatever_the_poll_period),
		cmocka_unit_test(an_outage_goes_offline_then_blocks_and_ends_with_the_first_good_poll),
		cmocka_unit_test(cells_in_the_middle_allow_the_long_outage),
		cmocka_unit_test(blocking_on_disconnect_acts_when_the_connection_counts_as_lost),
		cmocka_unit_test(single_failed_polls_never_add_up),
		cmocka_unit_test(high_voltage_alarms_are_hidden_while_the_reset_voltage_is_sought),
		cmocka_unit_test(the_history_keeps_what_happens_between_its_ticks),
		cmocka_unit_test(clearing_a_group_of_the_history_leaves_the_others),
		cmocka_unit_test(what_is_saved_comes_back),
		cmocka_unit_test(a_long_or_backward_pause_ends_the_absorption_timer),
		cmocka_unit_test(what_the_bms_counts_itself_is_not_saved),
		cmocka_unit_test(texts_are_those_that_existing_screens_know),
		cmocka_unit_test(a_reading_becomes_an_input),
		cmocka_unit_test(rubbish_never_gives_rubbish),
		cmocka_unit_test(more_cells_than_there_is_room_for_are_cut),
		cmocka_unit_test(without_a_number_of_cells_there_is_no_voltage_limit),
		cmocka_unit_test(nothing_is_known_before_the_first_reading),
		cmocka_unit_test(limits_move_one_way_with_the_input_that_binds),
		cmocka_unit_test(a_step_is_never_above_the_maximum_and_cautious_where_that_is_the_rule),
		cmocka_unit_test(a_second_poll_in_the_same_instant_changes_nothing),
		cmocka_unit_test(a_late_poll_counts_the_whole_time),
		cmocka_unit_test(strings_side_by_side_are_not_cells_in_series),
		cmocka_unit_test(a_clock_that_stands_or_runs_backward_adds_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
