/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rules of limits.md 16.3 that look at several options together. A warning mends the value as it says. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "config/internal.h"
#include "config/value.h"

#define MAX_TIME_POINTS 20

struct check {
	struct config *c;
	const struct config_origin *origin;
	const struct config_names *names;
	struct config_report *report;
};

/* ---- saying it ---- */

static const struct config_origin *origin_of(const struct check *k, const char *name)
{
	const struct option *o = name ? option_by_name(name) : NULL;

	return o && k->origin ? &k->origin[option_index(o)] : NULL;
}

/*
 * The line to point at: that of the option itself, but where the other one comes from a later section
 * (or the option is not in the file at all) that of the other.
 */
static unsigned line_of(const struct check *k, const char *name, const char *other)
{
	const struct config_origin *a = origin_of(k, name), *b = origin_of(k, other);

	if (!a || !b || !b->line)
		return a ? a->line : 0;
	if (!a->line || (strcmp(a->section, b->section) != 0 && b->line > a->line))
		return b->line;
	return a->line;
}

__attribute__((format(printf, 5, 6))) static void say(const struct check *k, enum config_severity severity,
						      const char *name, const char *other, const char *format, ...)
{
	char text[CONFIG_MAX_PROBLEM - 64];
	struct config_problem p = {.severity = severity, .line = (int)line_of(k, name, other)};
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(p.text, sizeof(p.text), "%s: %s", name, text);
	report_add_once(k->report, &p);
}

/* A number as people write it: always with a point. */
static const char *number(double v, char text[32])
{
	char *comma;

	snprintf(text, 32, "%.10g", v);
	comma = strchr(text, ',');
	if (comma)
		*comma = '.';
	return text;
}

/* Warns that the value of name is above (below) that of other, and uses the latter. */
static void use_other(const struct check *k, double *value, const char *name, double limit, const char *other,
		      const char *relation)
{
	char got[32], used[32];

	say(k, CONFIG_WARNING, name, other, "%s %s (got \"%s\"); %s is used", relation, other, number(*value, got),
	    number(limit, used));
	*value = limit;
}

/* ---- voltages ---- */

static void check_voltages(const struct check *k)
{
	struct config *c = k->c;
	char got[32], allowed[32];

	if (!(c->min_cell_voltage < c->max_cell_voltage)) { /* V05 */
		say(k, CONFIG_ERROR, "MIN_CELL_VOLTAGE", "MAX_CELL_VOLTAGE",
		    "not below MAX_CELL_VOLTAGE (got \"%s\"); allowed: below %s", number(c->min_cell_voltage, got),
		    number(c->max_cell_voltage, allowed));
		return;
	}
	if (c->float_cell_voltage > c->max_cell_voltage) /* V06 */
		use_other(k, &c->float_cell_voltage, "FLOAT_CELL_VOLTAGE", c->max_cell_voltage, "MAX_CELL_VOLTAGE",
			  "above");
	if (c->float_cell_voltage < c->min_cell_voltage)
		use_other(k, &c->float_cell_voltage, "FLOAT_CELL_VOLTAGE", c->min_cell_voltage, "MIN_CELL_VOLTAGE",
			  "below");
	if (isfinite(c->soc_reset_after_days) && c->soc_reset_cell_voltage < c->max_cell_voltage) /* V07 */
		use_other(k, &c->soc_reset_cell_voltage, "SOC_RESET_CELL_VOLTAGE", c->max_cell_voltage,
			  "MAX_CELL_VOLTAGE", "below");
	if (isfinite(c->soc_reset_after_days) && !c->cvcm_enable) /* V09 */
		say(k, CONFIG_WARNING, "SOC_RESET_AFTER_DAYS", "CVCM_ENABLE", "ignored because CVCM_ENABLE is False");
}

static void check_disconnect(const struct check *k)
{
	static const char lo[] = "BLOCK_ON_DISCONNECT_VOLTAGE_MIN", hi[] = "BLOCK_ON_DISCONNECT_VOLTAGE_MAX";
	struct config *c = k->c;
	char got[32], allowed[32];

	if (c->block_on_disconnect)
		return;
	if (c->block_on_disconnect_voltage_min < c->min_cell_voltage) /* V10 */
		use_other(k, &c->block_on_disconnect_voltage_min, lo, c->min_cell_voltage, "MIN_CELL_VOLTAGE", "below");
	if (c->block_on_disconnect_voltage_max > c->max_cell_voltage)
		use_other(k, &c->block_on_disconnect_voltage_max, hi, c->max_cell_voltage, "MAX_CELL_VOLTAGE", "above");
	if (c->block_on_disconnect_voltage_min < c->block_on_disconnect_voltage_max)
		return;
	const char *other = c->block_on_disconnect_voltage_max == c->max_cell_voltage ? "MAX_CELL_VOLTAGE" : hi;

	say(k, CONFIG_WARNING, lo, other,
	    "not below %s (got \"%s\"); allowed: below %s; BLOCK_ON_DISCONNECT = True is used", hi,
	    number(c->block_on_disconnect_voltage_min, got),
	    number(c->block_on_disconnect_voltage_max, allowed)); /* V11 */
	c->block_on_disconnect = true;
}

static void check_float_and_bulk(const struct check *k)
{
	struct config *c = k->c;

	if (!c->switch_to_bulk_soc_threshold && c->switch_to_bulk_cell_voltage_diff >= 0.101) /* V20 */
		say(k, CONFIG_WARNING, "SWITCH_TO_BULK_SOC_THRESHOLD", "SWITCH_TO_BULK_CELL_VOLTAGE_DIFF",
		    "0, and SWITCH_TO_BULK_CELL_VOLTAGE_DIFF is 0.101 V or more: a pack in float hardly ever goes back "
		    "to bulk");
	if (c->cvl_controller_mode == 2 && c->switch_to_float_cell_voltage_diff >= 1) /* V21 */
		say(k, CONFIG_WARNING, "CVL_CONTROLLER_MODE", "SWITCH_TO_FLOAT_CELL_VOLTAGE_DIFF",
		    "2 takes its set point from SWITCH_TO_FLOAT_CELL_VOLTAGE_DIFF, which is off; 0.010 V is used "
		    "there");
	if (c->cvcm_enable || !(c->soc_calculation || c->auto_reset_soc)) /* V29 */
		return;
	say(k, CONFIG_WARNING, c->soc_calculation ? "SOC_CALCULATION" : "AUTO_RESET_SOC", "CVCM_ENABLE",
	    "without CVCM_ENABLE a pack never counts as full, so the SoC is never set to 100 %%");
}

/* ---- SoC, sensors ---- */

static void check_external_sensor(const struct check *k)
{
	static const char device[] = "EXTERNAL_SENSOR_DBUS_DEVICE", current[] = "EXTERNAL_SENSOR_DBUS_PATH_CURRENT",
			  soc[] = "EXTERNAL_SENSOR_DBUS_PATH_SOC";
	const struct config *c = k->c;
	bool has_current = c->external_sensor_dbus_path_current[0], has_soc = c->external_sensor_dbus_path_soc[0];

	if (c->soc_calculation && has_soc) /* V12 */
		say(k, CONFIG_ERROR, soc, "SOC_CALCULATION",
		    "together with SOC_CALCULATION = True; allowed: only one of them");
	if (!c->external_sensor_dbus_device[0] && (has_current || has_soc)) /* V13 */
		say(k, CONFIG_ERROR, has_current ? current : soc, NULL, "given without %s", device);
	if (c->external_sensor_dbus_device[0] && !has_current && !has_soc)
		say(k, CONFIG_WARNING, device, NULL, "given without a path, so it has no effect; see %s, %s", current,
		    soc);
}

static void check_low_soc(const struct check *k)
{
	char got[32], allowed[32];

	if (k->c->soc_low_alarm > k->c->soc_low_warning) /* V27 */
		say(k, CONFIG_WARNING, "SOC_LOW_ALARM", "SOC_LOW_WARNING",
		    "above SOC_LOW_WARNING (got \"%s\", the warning is at %s): the alarm comes before the warning",
		    number(k->c->soc_low_alarm, got), number(k->c->soc_low_warning, allowed));
}

/* Removes what stands in the list twice; true if something did. */
static bool drop_duplicates(struct number_list *l)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < l->n; i++) {
		unsigned j = 0;

		while (j < kept && l->v[j] != l->v[i])
			j++;
		if (j == kept)
			l->v[kept++] = l->v[i];
	}
	bool dropped = kept < l->n;

	l->n = kept;
	return dropped;
}

static void check_sensors_and_points(const struct check *k)
{
	struct config *c = k->c;

	if (drop_duplicates(&c->temperature_source_battery)) /* V23 */
		say(k, CONFIG_WARNING, "TEMPERATURE_SOURCE_BATTERY", NULL, "a sensor is given twice; it counts once");
	if (drop_duplicates(&c->time_to_soc_points)) /* V25 */
		say(k, CONFIG_WARNING, "TIME_TO_SOC_POINTS", NULL, "a point is given twice; it is used once");
	if (c->time_to_soc_points.n > MAX_TIME_POINTS) {
		say(k, CONFIG_WARNING, "TIME_TO_SOC_POINTS", NULL, "more than %d points; the first %d are used",
		    MAX_TIME_POINTS, MAX_TIME_POINTS);
		c->time_to_soc_points.n = MAX_TIME_POINTS;
	}
}

/* ---- curves ---- */

struct curve {
	const char *points, *values, *enable;
	double stop; /* a point with value 0 on the wrong side of this stops the pack early; NAN = no such rule */
	const char *stop_option; /* the option that stop comes from */
};

static struct number_list *list(const struct check *k, const char *name)
{
	return (struct number_list *)((char *)k->c + option_by_name(name)->offset);
}

static bool enabled(const struct check *k, const char *name)
{
	return *(bool *)((char *)k->c + option_by_name(name)->offset);
}

/* Index of the first entry that breaks the order of the ones before; 0 = none does. */
static unsigned first_out_of_order(const struct number_list *l)
{
	for (unsigned i = 1; i < l->n; i++)
		if (l->v[1] > l->v[0] ? !(l->v[i] > l->v[i - 1]) : !(l->v[i] < l->v[i - 1]))
			return i;
	return 0;
}

/* V14, V15; V22 for the points of a correction. True: the lists can be used. */
static bool check_points(const struct check *k, const char *points, const char *values)
{
	const struct number_list *x = list(k, points), *y = list(k, values);
	unsigned bad = first_out_of_order(x);
	char entry[32];

	bool good = x->n == y->n && x->n >= 2 && !bad;

	if (x->n != y->n)
		say(k, CONFIG_ERROR, points, values, "%u entries, but %s has %u; allowed: as many", x->n, values, y->n);
	else if (x->n < 2)
		say(k, CONFIG_ERROR, points, values, "only one entry; allowed: at least 2");
	if (bad)
		say(k, CONFIG_ERROR, points, NULL,
		    "entry %u, \"%s\", breaks the order; allowed: each above the one before, or each below", bad + 1,
		    number(x->v[bad], entry));
	return good;
}

static bool differs_from_default(const struct check *k, const char *name)
{
	const struct option *o = option_by_name(name);
	struct config defaults;
	char why[CONFIG_MAX_PROBLEM];

	value_set(o, o->initial, &defaults, why, sizeof(why));
	const struct number_list *now = list(k, name),
				 *before = (const struct number_list *)((const char *)&defaults + o->offset);

	return now->n != before->n || memcmp(now->v, before->v, now->n * sizeof(now->v[0])) != 0;
}

/* V18 (charging: below), V19 (discharging: above). */
static void check_stop(const struct check *k, const struct curve *v, bool charging)
{
	const struct number_list *x = list(k, v->points), *y = list(k, v->values);
	const char *other = line_of(k, v->values, NULL) ? v->values : v->stop_option;
	char point[32], stop[32];

	for (unsigned i = 0; i < x->n; i++) {
		if (y->v[i] != 0 || !(charging ? x->v[i] < v->stop : x->v[i] > v->stop))
			continue;
		number(x->v[i], point);
		number(v->stop, stop);
		if (charging)
			say(k, CONFIG_WARNING, v->points, other,
			    "no current from %s V, but the cells shall reach %s V: charging stops before the pack is "
			    "full, "
			    "and it never goes to float",
			    point, stop);
		else
			say(k, CONFIG_WARNING, v->points, other,
			    "no current at %s V, but MIN_CELL_VOLTAGE is %s V: discharging stops early", point, stop);
		return;
	}
}

static void check_curve(const struct check *k, const struct curve *v, bool charging)
{
	if (!check_points(k, v->points, v->values))
		return;
	if (!enabled(k, v->enable)) {
		const char *changed = differs_from_default(k, v->points)   ? v->points
				      : differs_from_default(k, v->values) ? v->values
									   : NULL;

		if (changed) /* V31 */
			say(k, CONFIG_INFO, changed, NULL, "has no effect because %s is False", v->enable);
		return;
	}
	const struct number_list *y = list(k, v->values);
	bool full = false;

	for (unsigned i = 0; i < y->n; i++)
		full = full || y->v[i] == 1;
	if (!full) /* V17 */
		say(k, CONFIG_WARNING, v->values, NULL, "no entry is 1: the maximum current is never used");
	check_stop(k, v, charging);
}

static void check_curves(const struct check *k)
{
	const struct config *c = k->c;
	bool reset = isfinite(c->soc_reset_after_days) && c->cvcm_enable;
	const struct curve charge[] = {
		{"CELL_VOLTAGES_WHILE_CHARGING", "MAX_CHARGE_CURRENT_CV_FRACTION", "CCCM_CV_ENABLE",
		 reset ? c->soc_reset_cell_voltage : c->max_cell_voltage,
		 reset ? "SOC_RESET_AFTER_DAYS" : "MAX_CELL_VOLTAGE"},
		{"TEMPERATURES_WHILE_CHARGING", "MAX_CHARGE_CURRENT_T_FRACTION", "CCCM_T_ENABLE", NAN, NULL},
		{"MOSFET_TEMPERATURES_WHILE_CHARGING", "MAX_CHARGE_CURRENT_T_MOSFET_FRACTION", "CCCM_T_MOSFET_ENABLE",
		 NAN, NULL},
		{"SOC_WHILE_CHARGING", "MAX_CHARGE_CURRENT_SOC_FRACTION", "CCCM_SOC_ENABLE", NAN, NULL},
	};
	const struct curve discharge[] = {
		{"CELL_VOLTAGES_WHILE_DISCHARGING", "MAX_DISCHARGE_CURRENT_CV_FRACTION", "DCCM_CV_ENABLE",
		 c->min_cell_voltage, "MIN_CELL_VOLTAGE"},
		{"TEMPERATURES_WHILE_DISCHARGING", "MAX_DISCHARGE_CURRENT_T_FRACTION", "DCCM_T_ENABLE", NAN, NULL},
		{"MOSFET_TEMPERATURES_WHILE_DISCHARGING", "MAX_DISCHARGE_CURRENT_T_MOSFET_FRACTION",
		 "DCCM_T_MOSFET_ENABLE", NAN, NULL},
		{"SOC_WHILE_DISCHARGING", "MAX_DISCHARGE_CURRENT_SOC_FRACTION", "DCCM_SOC_ENABLE", NAN, NULL},
	};

	for (unsigned i = 0; i < sizeof(charge) / sizeof(charge[0]); i++) {
		check_curve(k, &charge[i], true);
		check_curve(k, &discharge[i], false);
	}
}

/* V22: what the user measured must not fall where what the BMS reports rises. */
static void check_correction(const struct check *k)
{
	static const char reported[] = "CURRENT_REPORTED_BY_BMS", measured[] = "CURRENT_MEASURED_BY_USER";
	const struct number_list *x = list(k, reported), *y = list(k, measured);
	char entry[32];

	if (!check_points(k, reported, measured))
		return;
	for (unsigned i = 1; i < y->n; i++) {
		if (x->v[1] > x->v[0] ? y->v[i] >= y->v[i - 1] : y->v[i] <= y->v[i - 1])
			continue;
		say(k, CONFIG_ERROR, measured, reported,
		    "entry %u, \"%s\", goes against the order of %s; allowed: higher where that is higher", i + 1,
		    number(y->v[i], entry), reported);
		return;
	}
}

/* ---- protocols ---- */

static void check_protocols(const struct check *k)
{
	const struct config *c = k->c;
	char name[CONFIG_MAX_TEXT];

	if (c->lipro_end_address < c->lipro_start_address)
		say(k, CONFIG_ERROR, "LIPRO_END_ADDRESS", "LIPRO_START_ADDRESS",
		    "below LIPRO_START_ADDRESS (got \"%d\"); allowed: %d to 247", c->lipro_end_address,
		    c->lipro_start_address);
	for (const char *at = c->bms_type; k->names && k->names->bms_type && value_next_word(&at, name, sizeof(name));)
		if (!k->names->bms_type(name)) /* V30 */
			say(k, CONFIG_ERROR, "BMS_TYPE", NULL, "unknown (got \"%s\"); allowed: %s", name,
			    k->names->bms_types ? k->names->bms_types : "the names of protocols");
}

void check_config(struct config *c, const struct config_origin *origin, const struct config_names *names,
		  struct config_report *report)
{
	const struct check k = {c, origin, names, report};

	check_voltages(&k);
	check_disconnect(&k);
	check_float_and_bulk(&k);
	check_external_sensor(&k);
	check_low_soc(&k);
	check_sensors_and_points(&k);
	check_curves(&k);
	check_correction(&k);
	check_protocols(&k);
}

void config_check(struct config *c, struct config_report *report)
{
	check_config(c, NULL, NULL, report);
}
