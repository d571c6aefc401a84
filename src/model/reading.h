/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What one pack reports at one moment. A value that the BMS did not report is unknown: a reading that
 * is all zero bytes knows nothing, and no accessor turns an unknown into 0.
 * Units: V, A (positive = into the battery), Ah, W, degC, %, ohm, s. Cells and sensors count from 0
 * here, from 1 on screens and buses.
 */
#ifndef MODEL_READING_H
#define MODEL_READING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/alarm.h"

#define MAX_CELLS 48        /* the longest string any sheet knows: daly-uart, 48 cells */
#define MAX_TEMPERATURES 16 /* daly-uart 94: up to 16 sensors */
#define MAX_TEXT 40         /* longest identity text: daly battery code, 35 characters */
#define MAX_DETAILS 48

/* Every number of a reading: enumerator, name everywhere outside, unit, decimals to show people. */
#define READING_QUANTITIES(X)                                       \
	X(ADDRESS, "address", "", 0)                                \
	X(PACK_COUNT, "pack_count", "", 0)                          \
	X(VOLTAGE_V, "voltage_V", "V", 2)                           \
	X(CURRENT_A, "current_A", "A", 2)                           \
	X(POWER_W, "power_W", "W", 0)                               \
	X(SOC_PCT, "soc_pct", "%", 1)                               \
	X(SOH_PCT, "soh_pct", "%", 1)                               \
	X(CAPACITY_FULL_AH, "capacity_full_Ah", "Ah", 2)            \
	X(CAPACITY_DESIGN_AH, "capacity_design_Ah", "Ah", 2)        \
	X(CAPACITY_REMAINING_AH, "capacity_remaining_Ah", "Ah", 2)  \
	X(CYCLES, "cycles", "", 0)                                  \
	X(TOTAL_CHARGE_AH, "total_charge_Ah", "Ah", 0)              \
	X(TOTAL_DISCHARGE_AH, "total_discharge_Ah", "Ah", 0)        \
	X(UPTIME_S, "uptime_s", "s", 0)                             \
	X(CELL_COUNT, "cell_count", "", 0)                          \
	X(CELL_MIN_V, "cell_min_V", "V", 3)                         \
	X(CELL_MAX_V, "cell_max_V", "V", 3)                         \
	X(CELL_MIN_NO, "cell_min_no", "", 0)                        \
	X(CELL_MAX_NO, "cell_max_no", "", 0)                        \
	X(TEMP_MIN_C, "temp_min_C", "°C", 1)                        \
	X(TEMP_MAX_C, "temp_max_C", "°C", 1)                        \
	X(TEMP_MIN_NO, "temp_min_no", "", 0)                        \
	X(TEMP_MAX_NO, "temp_max_no", "", 0)                        \
	X(TEMP_MOS_C, "temp_mos_C", "°C", 1)                        \
	X(TEMP_AMBIENT_C, "temp_ambient_C", "°C", 1)                \
	X(TEMP_BALANCER_C, "temp_balancer_C", "°C", 1)              \
	X(BALANCE_CURRENT_A, "balance_current_A", "A", 2)           \
	X(BMS_CCL_A, "bms_ccl_A", "A", 1)                           \
	X(BMS_DCL_A, "bms_dcl_A", "A", 1)                           \
	X(BMS_CVL_V, "bms_cvl_V", "V", 2)                           \
	X(BMS_DVL_V, "bms_dvl_V", "V", 2)

#define READING_FLAGS(X)                       \
	X(BALANCING_ACTIVE, "balancing_active")   \
	X(CHARGE_MOS, "charge_mos")               \
	X(DISCHARGE_MOS, "discharge_mos")         \
	X(BALANCE_ENABLED, "balance_enabled")     \
	X(HEATER_ON, "heater_on")                 \
	X(CHARGE_ALLOWED, "charge_allowed")       \
	X(DISCHARGE_ALLOWED, "discharge_allowed")

#define READING_TEXTS(X)                        \
	X(PROTOCOL, "protocol")                    \
	X(MODEL, "model")                          \
	X(MANUFACTURER, "manufacturer")            \
	X(SERIAL_NUMBER, "serial_number")          \
	X(HARDWARE_VERSION, "hardware_version")    \
	X(FIRMWARE_VERSION, "firmware_version")    \
	X(PRODUCTION_DATE, "production_date")

#define READING_ENUM_Q(id, name, unit, decimals) Q_##id,
#define READING_ENUM_F(id, name) F_##id,
#define READING_ENUM_T(id, name) T_##id,
enum quantity { READING_QUANTITIES(READING_ENUM_Q) QUANTITY_COUNT };
enum flag { READING_FLAGS(READING_ENUM_F) FLAG_COUNT };
enum text { READING_TEXTS(READING_ENUM_T) TEXT_COUNT };
#undef READING_ENUM_Q
#undef READING_ENUM_F
#undef READING_ENUM_T

/* A switch or state as reported. */
enum tri { UNKNOWN, OFF, ON };

/* A row of values of which some may be unknown: cells, resistances, temperature sensors. */
struct series {
	bool reported;  /* false: the BMS tells nothing of this; true with count 0: it has none */
	unsigned count; /* places, known or not */
	uint64_t known; /* bit i: value[i] was reported */
	double value[MAX_CELLS];
};

/* A further value that a protocol reports under a name of its own ("heartbeat", "fault_code"). */
struct detail {
	const char *name; /* static */
	double value;
};

struct reading {
	uint64_t known;   /* bit per quantity */
	uint64_t derived; /* bit per quantity: known, but computed by reading_derive(), not reported */
	double number[QUANTITY_COUNT];
	uint8_t flag[FLAG_COUNT]; /* enum tri */
	char text[TEXT_COUNT][MAX_TEXT];
	struct series cell_V;
	struct series cell_resistance_ohm;
	struct series temperatures;
	bool balancing_known; /* cell_balancing was reported */
	uint64_t balancing;   /* bit i: cell i balances */
	struct alarms alarms;
	unsigned detail_count;
	struct detail detail[MAX_DETAILS];
};

struct quantity_def {
	const char *name;
	const char *unit;
	int decimals;
};
const struct quantity_def *quantity_def(enum quantity q);
const char *flag_name(enum flag f);
const char *text_name(enum text t);

/* A value that is no finite number stays unknown. */
void reading_set(struct reading *r, enum quantity q, double value);
void reading_forget(struct reading *r, enum quantity q);
bool reading_knows(const struct reading *r, enum quantity q);
bool reading_reported(const struct reading *r, enum quantity q); /* known and not derived */
/* The value, NAN when unknown. */
double reading_get(const struct reading *r, enum quantity q);

void reading_set_flag(struct reading *r, enum flag f, bool on);
enum tri reading_flag(const struct reading *r, enum flag f);

/* Copies text, cut to MAX_TEXT-1 bytes; "" means unknown. */
void reading_set_text(struct reading *r, enum text t, const char *text);

/* name: static. A value that is no finite number removes the detail. */
void reading_set_detail(struct reading *r, const char *name, double value);
/* The value, NAN when there is none of that name. */
double reading_detail(const struct reading *r, const char *name);

/* Reported, with count places (at most MAX_CELLS) of which none is known yet. */
void series_start(struct series *s, unsigned count);
/* Marks as reported and grows as needed. Places beyond MAX_CELLS are ignored; a value that is no
 * finite number leaves the place unknown. */
void series_set(struct series *s, unsigned place, double value);
bool series_knows(const struct series *s, unsigned place);

/*
 * Adds what follows from what was reported and was not reported itself: power, cell count, lowest
 * and highest cell (when all cells are known; a cell of 0 V is an open sense wire and does not
 * count), lowest and highest temperature, balancing_active. For the copy that is shown: what a
 * protocol decodes into stays as reported.
 */
void reading_derive(struct reading *r);

/*
 * True when the electrical values can be those of a battery; *why names the first that can't.
 * Bounds of limits.md 2.1: capacity 0..5000 Ah, current +-1000 A, voltage 0..100 V (here 0..200 V:
 * 48 cells), SoC 0..100 %.
 */
bool reading_plausible(const struct reading *r, const char **why);

#endif
