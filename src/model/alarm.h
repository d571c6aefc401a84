/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Alarms of a pack: the field's common names, and names of a protocol's own for what is left over. */
#ifndef MODEL_ALARM_H
#define MODEL_ALARM_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_OWN_ALARMS 32

#define ALARM_NAMES(X)                                                   \
	X(HIGH_VOLTAGE, "high_voltage")                                  \
	X(LOW_VOLTAGE, "low_voltage")                                    \
	X(HIGH_CELL_VOLTAGE, "high_cell_voltage")                        \
	X(LOW_CELL_VOLTAGE, "low_cell_voltage")                          \
	X(LOW_SOC, "low_soc")                                            \
	X(HIGH_CHARGE_CURRENT, "high_charge_current")                    \
	X(HIGH_DISCHARGE_CURRENT, "high_discharge_current")              \
	X(CELL_IMBALANCE, "cell_imbalance")                              \
	X(INTERNAL_FAILURE, "internal_failure")                          \
	X(HIGH_CHARGE_TEMPERATURE, "high_charge_temperature")            \
	X(LOW_CHARGE_TEMPERATURE, "low_charge_temperature")              \
	X(HIGH_TEMPERATURE, "high_temperature")                          \
	X(LOW_TEMPERATURE, "low_temperature")                            \
	X(HIGH_INTERNAL_TEMPERATURE, "high_internal_temperature")        \
	X(FUSE_BLOWN, "fuse_blown")                                      \
	X(SHORT_CIRCUIT, "short_circuit")                                \
	X(BMS_CABLE, "bms_cable")

#define ALARM_ENUM(id, name) ALARM_##id,
enum alarm { ALARM_NAMES(ALARM_ENUM) ALARM_COUNT };
#undef ALARM_ENUM

enum alarm_level { ALARM_OK, ALARM_WARNING, ALARM_RAISED };

/* An alarm under a name of the protocol's own. */
struct own_alarm {
	const char *name; /* static */
	enum alarm_level level;
};

/* All zero bytes = the BMS has not reported alarms. */
struct alarms {
	bool known;                 /* the BMS reports alarms; what is not raised is OK */
	uint8_t level[ALARM_COUNT]; /* enum alarm_level */
	unsigned own_count;
	struct own_alarm own[MAX_OWN_ALARMS];
};

const char *alarm_name(enum alarm a);
/* ALARM_COUNT when no common alarm has this name. */
enum alarm alarm_by_name(const char *name);
const char *alarm_level_name(enum alarm_level level); /* "ok", "warning", "alarm" */

/* Raises a to level; never lowers it. Marks alarms as known. */
void alarm_raise(struct alarms *alarms, enum alarm a, enum alarm_level level);
/* The same for a protocol's own name (static string). Beyond MAX_OWN_ALARMS it raises
 * internal_failure instead, so that nothing raised is lost. */
void alarm_raise_own(struct alarms *alarms, const char *name, enum alarm_level level);
/* Known, and nothing raised. */
void alarms_clear(struct alarms *alarms);
unsigned alarms_raised(const struct alarms *alarms);

#endif
