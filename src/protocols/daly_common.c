/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/daly_common.h"

#include <math.h>

#include "protocols/table.h"

static const struct alarm_row alarm_rows[] = {
	{0, ALARM_WARNING, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{1, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{2, ALARM_WARNING, ALARM_LOW_CELL_VOLTAGE, NULL},
	{3, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{4, ALARM_WARNING, ALARM_HIGH_VOLTAGE, NULL},
	{5, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{6, ALARM_WARNING, ALARM_LOW_VOLTAGE, NULL},
	{7, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{8, ALARM_WARNING, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{9, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{10, ALARM_WARNING, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{11, ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{12, ALARM_WARNING, ALARM_HIGH_TEMPERATURE, NULL},
	{13, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{14, ALARM_WARNING, ALARM_LOW_TEMPERATURE, NULL},
	{15, ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{16, ALARM_WARNING, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{17, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{18, ALARM_WARNING, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{19, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{20, ALARM_WARNING, ALARM_COUNT, "high_soc"},
	{21, ALARM_RAISED, ALARM_COUNT, "high_soc"},
	{22, ALARM_WARNING, ALARM_LOW_SOC, NULL},
	{23, ALARM_RAISED, ALARM_LOW_SOC, NULL},
	{24, ALARM_WARNING, ALARM_CELL_IMBALANCE, NULL},
	{25, ALARM_RAISED, ALARM_CELL_IMBALANCE, NULL},
	{26, ALARM_WARNING, ALARM_COUNT, "temperature_difference"},
	{27, ALARM_RAISED, ALARM_COUNT, "temperature_difference"},
	{32, ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{33, ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{34, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "charge_mos_sensor_fault"},
	{35, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "discharge_mos_sensor_fault"},
	{36, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "charge_mos_stuck_fault"},
	{37, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "discharge_mos_stuck_fault"},
	{38, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "charge_mos_open_fault"},
	{39, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "discharge_mos_open_fault"},
	{40, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "afe_fault"},
	{41, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "voltage_sampling_fault"},
	{42, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "temperature_sensor_fault"},
	{43, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "eeprom_fault"},
	{44, ALARM_WARNING, ALARM_INTERNAL_FAILURE, "rtc_fault"},
	{45, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "precharge_fault"},
	{46, ALARM_WARNING, ALARM_INTERNAL_FAILURE, "vehicle_comm_fault"},
	{47, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "internal_comm_fault"},
	{48, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "current_sensor_fault"},
	{49, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "pack_voltage_sensor_fault"},
	{50, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{50, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{51, ALARM_RAISED, ALARM_COUNT, "low_voltage_charge_forbidden"},
};

#define CHARGE_CURRENT_BITS    (UINT64_C(3) << 16)
#define DISCHARGE_CURRENT_BITS (UINT64_C(3) << 18)

void daly_take_alarms(struct alarms *a, uint64_t word, bool invert)
{
	if (invert)
		word = (word & ~(CHARGE_CURRENT_BITS | DISCHARGE_CURRENT_BITS)) | (word & CHARGE_CURRENT_BITS) << 2 |
		       (word & DISCHARGE_CURRENT_BITS) >> 2;
	alarms_clear(a);
	table_alarms(ROWS(alarm_rows), word, a);
}

enum { CHARGING = 1, DISCHARGING = 2, SEEMS_INVERTED_POLLS = 3 };

#define SURE_A 2 /* below that the state may lag */

void daly_compare_direction(struct reading *r, uint8_t *contradictions)
{
	double current = reading_get(r, Q_CURRENT_A), state = reading_detail(r, "state");

	if (!(fabs(current) >= SURE_A) || (state != CHARGING && state != DISCHARGING))
		return;
	if ((current > 0) == (state == CHARGING))
		*contradictions = 0;
	else if (*contradictions < SEEMS_INVERTED_POLLS)
		++*contradictions;
	reading_set_detail(r, "current_seems_inverted", *contradictions == SEEMS_INVERTED_POLLS ? 1 : NAN);
}
