/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Options that had another name in older versions (limits.md 16.5), and names that are only misspelt. */
#include <config.h> /* POSIX */

#include "config/suggest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/options.h"

#define MAX_NAME 64 /* longer than the longest name and two letters */
#define NEAR	 2  /* edit distance, V01 */

struct rename {
	const char *old;
	const char *now;  /* NULL: it has no successor */
	const char *hint; /* NULL: the value stays as it is */
};

static const char as_list[] = "now a list, with the fractions in the second one";

static const struct rename renames[] = {
	{"SOC_RESET_VOLTAGE", "SOC_RESET_CELL_VOLTAGE", NULL},
	{"BULK_CELL_VOLTAGE", "SOC_RESET_CELL_VOLTAGE", NULL},
	{"BULK_AFTER_DAYS", "SOC_RESET_AFTER_DAYS", NULL},
	{"MAX_VOLTAGE_TIME_SEC", "SWITCH_TO_FLOAT_WAIT_FOR_SEC", NULL},
	{"CELL_VOLTAGE_DIFF_KEEP_MAX_VOLTAGE_UNTIL", "SWITCH_TO_FLOAT_CELL_VOLTAGE_DIFF", NULL},
	{"CELL_VOLTAGE_DIFF_KEEP_MAX_VOLTAGE_TIME_RESTART", "SWITCH_TO_FLOAT_CELL_VOLTAGE_DEVIATION",
	 "now counted from SWITCH_TO_FLOAT_CELL_VOLTAGE_DIFF"},
	{"CELL_VOLTAGE_DIFF_TO_RESET_VOLTAGE_LIMIT", "SWITCH_TO_BULK_CELL_VOLTAGE_DIFF", NULL},
	{"SOC_LEVEL_TO_RESET_VOLTAGE_LIMIT", "SWITCH_TO_BULK_SOC_THRESHOLD", NULL},
	{"LINEAR_LIMITATION_ENABLE", "CHARGE_MODE", "True is now 1, False is 2"},
	{"LINEAR_RECALCULATION_EVERY", "CVL_RECALCULATION_EVERY", NULL},
	{"LINEAR_RECALCULATION_ON_PERC_CHANGE", "CVL_RECALCULATION_ON_MAX_PERCENTAGE_CHANGE", NULL},
	{"CVL_ICONTROLLER_MODE", "CVL_CONTROLLER_MODE", "True is now 2, False is 1"},
	{"MODBUS_ADDRESSES", "BATTERY_ADDRESSES", NULL},
	{"HELTEC_MODBUS_ADDR", "BATTERY_ADDRESSES", NULL},
	{"SEPLOS_USE_BMS_VALUES", "USE_BMS_DVCC_VALUES", NULL},
	{"SOC_CALC_CURRENT_REPORTED_BY_BMS", "CURRENT_REPORTED_BY_BMS", NULL},
	{"SOC_CALC_CURRENT_MEASURED_BY_USER", "CURRENT_MEASURED_BY_USER", NULL},
	{"EXTERNAL_CURRENT_SENSOR_DBUS_DEVICE", "EXTERNAL_SENSOR_DBUS_DEVICE", NULL},
	{"EXTERNAL_CURRENT_SENSOR_DBUS_PATH", "EXTERNAL_SENSOR_DBUS_PATH_CURRENT", NULL},
	{"TEMP_BATTERY", "TEMPERATURE_SOURCE_BATTERY", "now a list of sensors"},
	{"TEMP_1_NAME", "TEMPERATURE_1_NAME", NULL},
	{"TEMP_2_NAME", "TEMPERATURE_2_NAME", NULL},
	{"TEMP_3_NAME", "TEMPERATURE_3_NAME", NULL},
	{"TEMP_4_NAME", "TEMPERATURE_4_NAME", NULL},
	{"TEMPERATURE_LIMITS_WHILE_CHARGING", "TEMPERATURES_WHILE_CHARGING", NULL},
	{"TEMPERATURE_LIMITS_WHILE_DISCHARGING", "TEMPERATURES_WHILE_DISCHARGING", NULL},
	{"CC_SOC_LIMIT1", "SOC_WHILE_CHARGING and MAX_CHARGE_CURRENT_SOC_FRACTION", as_list},
	{"CC_SOC_LIMIT2", "SOC_WHILE_CHARGING and MAX_CHARGE_CURRENT_SOC_FRACTION", as_list},
	{"CC_SOC_LIMIT3", "SOC_WHILE_CHARGING and MAX_CHARGE_CURRENT_SOC_FRACTION", as_list},
	{"CC_CURRENT_LIMIT1_FRACTION", "SOC_WHILE_CHARGING and MAX_CHARGE_CURRENT_SOC_FRACTION", as_list},
	{"CC_CURRENT_LIMIT2_FRACTION", "SOC_WHILE_CHARGING and MAX_CHARGE_CURRENT_SOC_FRACTION", as_list},
	{"CC_CURRENT_LIMIT3_FRACTION", "SOC_WHILE_CHARGING and MAX_CHARGE_CURRENT_SOC_FRACTION", as_list},
	{"DC_SOC_LIMIT1", "SOC_WHILE_DISCHARGING and MAX_DISCHARGE_CURRENT_SOC_FRACTION", as_list},
	{"DC_SOC_LIMIT2", "SOC_WHILE_DISCHARGING and MAX_DISCHARGE_CURRENT_SOC_FRACTION", as_list},
	{"DC_SOC_LIMIT3", "SOC_WHILE_DISCHARGING and MAX_DISCHARGE_CURRENT_SOC_FRACTION", as_list},
	{"DC_CURRENT_LIMIT1_FRACTION", "SOC_WHILE_DISCHARGING and MAX_DISCHARGE_CURRENT_SOC_FRACTION", as_list},
	{"DC_CURRENT_LIMIT2_FRACTION", "SOC_WHILE_DISCHARGING and MAX_DISCHARGE_CURRENT_SOC_FRACTION", as_list},
	{"DC_CURRENT_LIMIT3_FRACTION", "SOC_WHILE_DISCHARGING and MAX_DISCHARGE_CURRENT_SOC_FRACTION", as_list},
	{"TIME_TO_SOC_LOOP_CYCLES", "TIME_TO_SOC_RECALCULATE_EVERY", "now in seconds"},
	{"SOC_RESET_CURRENT", NULL, NULL},
	{"SOC_RESET_TIME", NULL, NULL},
	{"SOC_CALC_INIT_VALUE", NULL, NULL},
	{"SOC_CALC_RESET_VALUE_ON_RESTART", NULL, NULL},
};

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Letters to insert, drop or change, whatever their case. Both shorter than MAX_NAME. */
static unsigned edit_distance(const char *a, const char *b)
{
	unsigned row[MAX_NAME + 1], n = (unsigned)strlen(b);

	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 0; a[i]; i++) {
		unsigned diagonal = row[0];

		row[0] = i + 1;
		for (unsigned j = 0; j < n; j++) {
			unsigned above = row[j + 1];
			bool same = toupper((unsigned char)a[i]) == toupper((unsigned char)b[j]);

			row[j + 1] = least(above + 1, row[j] + 1, diagonal + !same);
			diagonal = above;
		}
	}
	return row[n];
}

static const struct rename *rename_of(const char *name)
{
	for (unsigned i = 0; i < sizeof(renames) / sizeof(renames[0]); i++)
		if (!strcasecmp(renames[i].old, name))
			return &renames[i];
	return NULL;
}

void suggest_option(const char *name, char *say, size_t size)
{
	const struct rename *r = rename_of(name);
	const char *nearest = NULL;
	unsigned best = NEAR + 1;

	say[0] = 0;
	if (r && r->now) {
		snprintf(say, size, "it is now %s%s%s%s", r->now, r->hint ? " (" : "", r->hint ? r->hint : "",
			 r->hint ? ")" : "");
		return;
	}
	if (r) {
		snprintf(say, size, "it was given up and has no successor; remove the line");
		return;
	}
	if (strlen(name) >= MAX_NAME)
		return;
	for (unsigned i = 0; i < CONFIG_OPTIONS; i++) {
		unsigned d = edit_distance(name, option_at(i)->name);

		if (d >= best)
			continue;
		best = d;
		nearest = option_at(i)->name;
	}
	if (nearest)
		snprintf(say, size, "did you mean %s?", nearest);
}
