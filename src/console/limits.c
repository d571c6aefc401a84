/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <config.h> /* POSIX */

#include "console/limits.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/json.h"

#define WRITE_EVERY 15.0 /* s: the state on disk is at most so old (limits.md 14) */
#define NOISE	    1e-6 /* s: of differences between times */

/* A sequence file on its way through the limits. */
struct sequence {
	const char *name;
	FILE *file;
	char *text; /* the line */
	size_t size;
	unsigned line;
	struct config config;
	struct limits_state *state;
	struct limits_input in;	     /* what the lines so far say */
	double ext_current, ext_soc; /* of the external sensor, present or not */
	bool ext_present;
	bool bms_counts_cycles;
	int mode;   /* instead of CHARGE_MODE; 0 = as configured */
	bool begun; /* t and saved are valid */
	double t;
	struct limits_saved saved;
	double saved_t;
};

__attribute__((format(printf, 2, 3))) static bool complain(const struct sequence *q, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:", q->name);
	if (q->line)
		fprintf(stderr, "%u:", q->line);
	fputc(' ', stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return false;
}

/* The next line that is not blank, as an object. NULL at the end, or after a complaint (*bad). */
static json_t *next_object(struct sequence *q, bool *bad)
{
	ssize_t n;
	json_error_t e;

	*bad = false;
	while ((n = getline(&q->text, &q->size, q->file)) >= 0) {
		q->line++;
		if (!q->text[strspn(q->text, " \t\r\n")])
			continue;
		json_t *object = json_loadb(q->text, (size_t)n, 0, &e);

		if (json_is_object(object))
			return object;
		*bad = true;
		if (object)
			complain(q, "not a JSON object");
		else
			complain(q, "%s", e.text);
		json_decref(object);
		return NULL;
	}
	if (ferror(q->file)) {
		*bad = true;
		complain(q, "cannot be read: %s", strerror(errno));
	}
	return NULL;
}

/* ---- the first line ---- */

static double number_or_nan(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	return json_is_number(v) ? json_number_value(v) : NAN;
}

static bool take_config(struct sequence *q, json_t *options)
{
	struct config_report report = {0};
	char why[CONFIG_MAX_PROBLEM];
	const char *name;
	json_t *value;
	bool ok = true;

	json_object_foreach (options, name, value) {
		if (!json_is_string(value))
			return complain(q, "%s: the value must be text", name);
		if (!config_set(&q->config, name, json_string_value(value), why, sizeof(why)))
			ok = complain(q, "%s", why);
	}
	config_check(&q->config, &report);
	if (q->mode)
		q->config.charge_mode = q->mode;
	if (report.errors) {
		snprintf(report.file, sizeof(report.file), "%s", q->name);
		config_report_print(&report, stderr);
		ok = false;
	}
	config_report_free(&report);
	return ok;
}

static void take_initial_state(struct sequence *q, const json_t *init)
{
	struct limits_saved saved;

	if (!json_is_object(init))
		return;
	limits_save(q->state, &q->config, &saved);
	saved.allow_max = !json_is_false(json_object_get(init, "allow_max"));
	saved.absorption_s = number_or_nan(init, "absorption_s");
	saved.soc = number_or_nan(init, "soc");
	saved.soc_reset_age_s = number_or_nan(init, "soc_reset_age_s");
	limits_restore(q->state, &saved, 0);
}

static bool take_header(struct sequence *q, const json_t *header)
{
	json_int_t cells = json_integer_value(json_object_get(header, "cells"));
	const json_t *supplied = json_object_get(header, "bms_history");
	size_t i;
	json_t *name;

	if (cells < 1 || cells > MAX_CELLS)
		return complain(q, "\"cells\" must be 1 to %d", MAX_CELLS);
	if (!take_config(q, json_object_get(header, "config")))
		return false;
	q->in.cells = (unsigned)cells;
	q->in.single_cells = !json_is_false(json_object_get(header, "single_cells"));
	json_array_foreach (supplied, i, name) {
		if (json_is_string(name) && !strcmp(json_string_value(name), "cycles"))
			q->bms_counts_cycles = true;
	}
	take_initial_state(q, json_object_get(header, "init"));
	return true;
}

/* ---- one step's inputs ---- */

static enum tri tri_of(const json_t *v)
{
	return json_is_true(v) ? ON : json_is_false(v) ? OFF : UNKNOWN;
}

/* Fills n places from a list; what is not there or no number becomes NAN. */
static void take_list(double *to, unsigned n, const json_t *list)
{
	for (unsigned i = 0; i < n; i++) {
		const json_t *v = json_array_get(list, i);

		to[i] = json_is_number(v) ? json_number_value(v) : NAN;
	}
}

static void take_alarms(struct limits_input *in, json_t *levels)
{
	const char *name;
	json_t *level;

	in->alarms_known = json_is_object(levels);
	memset(in->alarm, 0, sizeof(in->alarm));
	json_object_foreach (levels, name, level) {
		enum alarm a = alarm_by_name(name);
		json_int_t l = json_integer_value(level);

		if (a != ALARM_COUNT)
			in->alarm[a] = l <= 0 ? ALARM_OK : l == 1 ? ALARM_WARNING : ALARM_RAISED;
	}
}

static void take_ess(struct ess_settings *ess, const json_t *v)
{
	*ess = (struct ess_settings){
		.known = json_is_object(v),
		.hub4_mode = (int)json_integer_value(json_object_get(v, "hub4")),
		.battery_life_state = (int)json_integer_value(json_object_get(v, "state")),
		.minimum_soc_limit = number_or_nan(v, "minsoc"),
		.soc_limit = number_or_nan(v, "soclimit"),
	};
}

static bool take_number(struct sequence *q, const char *key, const json_t *v)
{
	const struct {
		const char *key;
		double *to;
	} numbers[] = {
		{"cmin", &q->in.cell_lo},   {"cmax", &q->in.cell_hi},  {"v", &q->in.voltage},
		{"i", &q->in.current},	    {"soc", &q->in.soc},       {"cap", &q->in.capacity},
		{"rem", &q->in.remaining},  {"tmos", &q->in.temp_mos}, {"bccl", &q->in.bms_ccl},
		{"bdcl", &q->in.bms_dcl},   {"bcvl", &q->in.bms_cvl},  {"bdvl", &q->in.bms_dvl},
		{"ext_i", &q->ext_current}, {"ext_soc", &q->ext_soc},  {"cycles", &q->in.bms_cycles},
	};

	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (strcmp(numbers[i].key, key) != 0)
			continue;
		*numbers[i].to = json_is_number(v) ? json_number_value(v) : NAN;
		return true;
	}
	return false;
}

static bool take_switch(struct sequence *q, const char *key, const json_t *v)
{
	const struct {
		const char *key;
		enum tri *to;
	} switches[] = {
		{"cfet", &q->in.charge_fet},
		{"dfet", &q->in.discharge_fet},
		{"bfet", &q->in.balance_fet},
		{"heat", &q->in.heating},
	};

	for (unsigned i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		if (strcmp(switches[i].key, key) != 0)
			continue;
		*switches[i].to = tri_of(v);
		return true;
	}
	return false;
}

/* Other keys (a jump of the wall clock, commands) change no input. */
static void take_input(struct sequence *q, const char *key, json_t *v)
{
	if (take_number(q, key, v) || take_switch(q, key, v))
		return;
	if (!strcmp(key, "ok"))
		q->in.ok = !json_is_false(v);
	else if (!strcmp(key, "ext"))
		q->ext_present = json_is_true(v);
	else if (!strcmp(key, "cells"))
		take_list(q->in.cell, q->in.cells, v);
	else if (!strcmp(key, "t"))
		take_list(q->in.temp, LIMITS_MAX_SENSORS, v);
	else if (!strcmp(key, "bal"))
		q->in.balancing = json_array_size(v) > 0;
	else if (!strcmp(key, "alarm"))
		take_alarms(&q->in, v);
	else if (!strcmp(key, "ess"))
		take_ess(&q->in.ess, v);
}

/* What the step sees of all that: the sensor counts only where the configuration names its paths. */
static struct limits_input input_of(const struct sequence *q)
{
	struct limits_input in = q->in;
	const struct config *c = &q->config;
	bool sensor = q->ext_present && c->external_sensor_dbus_device[0];

	in.ext_current = sensor && c->external_sensor_dbus_path_current[0] ? q->ext_current : NAN;
	in.ext_soc = sensor && c->external_sensor_dbus_path_soc[0] ? q->ext_soc : NAN;
	if (!q->bms_counts_cycles)
		in.bms_cycles = NAN;
	return in;
}

/* ---- commands ---- */

/* The process was killed after the line before and begins anew with what it wrote last. */
static bool restart(struct sequence *q, double t)
{
	struct limits_state *fresh = limits_state_new();

	if (!fresh)
		return complain(q, "out of memory");
	limits_state_free(q->state);
	q->state = fresh;
	if (q->begun)
		limits_restore(fresh, &q->saved, t - q->saved_t);
	q->begun = false;
	return true;
}

static bool take_command(struct sequence *q, const json_t *cmd, double t)
{
	double soc = number_or_nan(cmd, "soc_to"), group = number_or_nan(cmd, "hist_clear");

	if (json_is_string(cmd) && !strcmp(json_string_value(cmd), "restart"))
		return restart(q, t);
	if (!isnan(soc) && q->config.soc_calculation)
		limits_set_soc(q->state, soc);
	if (group >= 1 && group <= 7)
		limits_clear_history(q->state, &q->config, (int)group);
	return true;
}

/* ---- output ---- */

static void put(json_t *o, const char *key, double v)
{
	json_object_set_new(o, key, isfinite(v) ? json_from_number(v) : json_null());
}

/* A number of a cell or sensor, 0 = none. */
static void put_place(json_t *o, const char *key, int no)
{
	json_object_set_new(o, key, no ? json_integer(no) : json_null());
}

static void put_bool(json_t *o, const char *key, bool v)
{
	json_object_set_new(o, key, json_boolean(v));
}

static void put_values(json_t *o, const struct limits_output *out)
{
	put(o, "voltage", out->voltage);
	put(o, "current", out->current);
	put(o, "power", out->power);
	put(o, "soc", out->soc);
	put(o, "cell_min", out->cell_min);
	put(o, "cell_max", out->cell_max);
	put_place(o, "cell_min_no", out->cell_min_no);
	put_place(o, "cell_max_no", out->cell_max_no);
	put(o, "cell_sum", isnan(out->cell_sum) ? 0 : out->cell_sum); /* of no cells: the form has no null here */
	put(o, "cell_diff", out->cell_diff);
	put(o, "temp", out->temp);
	put(o, "temp_min", out->temp_min);
	put(o, "temp_max", out->temp_max);
	put_place(o, "temp_min_no", out->temp_min_no);
	put_place(o, "temp_max_no", out->temp_max_no);
	put(o, "temp_mos", out->temp_mos);
	put(o, "current_avg", out->current_avg);
	put(o, "capacity_remaining", out->capacity_remaining);
	put(o, "capacity_consumed", out->capacity_consumed);
}

static void put_voltage_limit(json_t *o, const struct limits_output *out)
{
	json_t *flags = json_array();

	put(o, "v_max", out->v_max);
	put(o, "v_min", out->v_min);
	put(o, "cvl_ctl", out->cvl_ctl);
	put(o, "cvl", out->cvl);
	json_object_set_new(o, "phase",
			    out->phase == CHARGE_PHASE_NONE ? json_null() : json_string(charge_phase_name(out->phase)));
	for (unsigned i = 0; i < CHARGE_FLAGS; i++)
		if (out->flags >> i & 1)
			json_array_append_new(flags, json_string(charge_flag_name((enum charge_flag)(1u << i))));
	json_object_set_new(o, "flags", flags);
}

/* side: "ccl" or "dcl". */
static void put_current_limit(json_t *o, const char *side, const struct current_limit *l)
{
	char key[16];
	json_t *why = json_array();

	put(o, side, l->limit);
	for (unsigned i = 0; i < REASON_COUNT; i++)
		if (l->why >> i & 1)
			json_array_append_new(why, json_string(limit_reason_name((enum limit_reason)(1u << i))));
	snprintf(key, sizeof(key), "%s_why", side);
	json_object_set_new(o, key, why);
	snprintf(key, sizeof(key), "%s_wait", side);
	put_bool(o, key, l->wait);
}

static void put_state(json_t *o, const struct limits_output *out)
{
	put_bool(o, "allow_charge", out->ccl.allow);
	put_bool(o, "allow_discharge", out->dcl.allow);
	put_bool(o, "io_charge", out->ccl.io);
	put_bool(o, "io_discharge", out->dcl.io);
	put(o, "state", out->state);
	json_object_set_new(o, "online", out->online_known ? json_boolean(out->online) : json_null());
	put_bool(o, "blocked", out->blocked);
	put(o, "cable", out->cable);
	put(o, "alarm_hv", out->alarm_hv < 0 ? NAN : out->alarm_hv);
	put(o, "alarm_hcv", out->alarm_hcv < 0 ? NAN : out->alarm_hcv);
	put(o, "ttg", out->ttg);
	put_bool(o, "full_event", out->full_event);
	put_bool(o, "soc_reset", out->soc_reset);
	put_bool(o, "allow_max", out->allow_max);
}

static void put_times_to_soc(json_t *o, const struct limits_output *out, int type)
{
	char key[16], text[64];

	for (unsigned i = 0; i < out->points; i++) {
		snprintf(key, sizeof(key), "tts_%d", out->tts_point[i]);
		limits_time_text(type, out->tts[i], text, sizeof(text));
		json_object_set_new(o, key, isnan(out->tts[i]) ? json_null() : json_string(text));
	}
}

static void put_history(json_t *o, const struct limits_history *h)
{
	put(o, "h_deepest", h->deepest);
	put(o, "h_last", h->last);
	put(o, "h_avg", h->average);
	put(o, "h_total", h->total);
	put(o, "h_cycles", h->cycles);
	put(o, "h_syncs", h->syncs);
	put(o, "h_full", h->full_discharges);
	put(o, "h_vmin", h->vmin);
	put(o, "h_vmax", h->vmax);
	put(o, "h_cmin", h->cell_min);
	put(o, "h_cmax", h->cell_max);
	put(o, "h_lowv", h->low_voltage_alarms);
	put(o, "h_highv", h->high_voltage_alarms);
	put(o, "h_tmin", h->temp_min);
	put(o, "h_tmax", h->temp_max);
	put(o, "h_ein", h->energy_in);
	put(o, "h_eout", h->energy_out);
	put(o, "h_since_full", h->since_full);
}

static bool print_step(struct sequence *q, double t, const struct limits_output *out)
{
	json_t *o = json_object();
	json_t *line = json_pack("{s:o, s:o}", "t", json_from_number(t), "out", o);
	char *text;

	put_values(o, out);
	put_voltage_limit(o, out);
	put_current_limit(o, "ccl", &out->ccl);
	put_current_limit(o, "dcl", &out->dcl);
	put_state(o, out);
	put_times_to_soc(o, out, q->config.time_to_soc_value_type);
	if (q->config.history_enable)
		put_history(o, &out->history);
	if (q->config.midpoint_enable) {
		put(o, "mid", out->mid);
		put(o, "mid_dev", out->mid_dev);
	}
	text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
	json_decref(line);
	if (!text)
		return complain(q, "out of memory");
	puts(text);
	free(text);
	return true;
}

/* ---- the file ---- */

static bool run_step(struct sequence *q, const json_t *step)
{
	json_t *in = json_object_get(step, "in"), *v;
	double t = number_or_nan(step, "t");
	struct limits_output out;
	const char *key;

	if (isnan(t) || (q->begun && t < q->t))
		return complain(q, "\"t\" must be a number, not below that of the line before");
	json_object_foreach (in, key, v) {
		take_input(q, key, v);
	}
	if (!take_command(q, json_object_get(in, "cmd"), t))
		return false;
	const struct limits_input now = input_of(q);

	limits_step(q->state, &q->config, &now, q->begun ? t - q->t : 0, &out);
	if (!q->begun || t - q->saved_t > WRITE_EVERY - NOISE) {
		limits_save(q->state, &q->config, &q->saved);
		q->saved_t = t;
	}
	q->begun = true;
	q->t = t;
	return print_step(q, t, &out);
}

static bool run_sequence(struct sequence *q)
{
	bool bad, ok;
	json_t *object = next_object(q, &bad);

	if (!object)
		return bad ? false : complain(q, "no lines");
	ok = take_header(q, object);
	json_decref(object);
	while (ok && (object = next_object(q, &bad))) {
		ok = run_step(q, object);
		json_decref(object);
	}
	return ok && !bad;
}

static bool start(struct sequence *q, const char *config_path)
{
	struct config_report report = {0};
	int status = 0;

	config_defaults(&q->config);
	if (config_path)
		status = config_load(&q->config, config_path, &report);
	if (status)
		config_report_print(&report, stderr);
	config_report_free(&report);
	q->state = limits_state_new();
	limits_input_clear(&q->in);
	q->in.ok = true;
	q->in.alarms_known = true; /* of a file that never mentions alarms: none is raised */
	q->in.charge_fet = q->in.discharge_fet = ON;
	q->ext_current = q->ext_soc = NAN;
	q->ext_present = true;
	if (!q->state)
		return complain(q, "out of memory");
	return !status;
}

int limits_file(const char *path, const char *config_path, int mode)
{
	bool standard_input = !strcmp(path, "-");
	struct sequence *q = calloc(1, sizeof(*q));
	bool ok;

	if (!q) {
		fputs("bmscope limits: out of memory\n", stderr);
		return 2;
	}
	q->mode = mode;
	q->name = standard_input ? "standard input" : path;
	q->file = standard_input ? stdin : fopen(path, "r");
	ok = q->file || complain(q, "%s", strerror(errno));
	ok = ok && start(q, config_path) && run_sequence(q);
	if (fflush(stdout))
		ok = complain(q, "the output can't be written: %s", strerror(errno));
	if (q->file && !standard_input)
		fclose(q->file);
	limits_state_free(q->state);
	free(q->text);
	free(q);
	return ok ? 0 : 2;
}
