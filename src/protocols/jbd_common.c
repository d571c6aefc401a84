/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/jbd_common.h"

#include <math.h>
#include <stdio.h>

#include "protocols/table.h"

static const struct alarm_row protection_rows[] = {
	{0, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{1, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{2, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{3, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{4, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{5, ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{6, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{7, ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{8, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{9, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{10, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{10, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{11, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{13, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "charge_mos_fault"},
	{14, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "discharge_mos_fault"},
};

void jbd_protections(uint16_t bits, struct alarms *a)
{
	alarms_clear(a);
	table_alarms(ROWS(protection_rows), bits, a);
}

/* A sensor that reads 0 K is none. */
double jbd_celsius(uint16_t tenth_kelvin)
{
	return tenth_kelvin ? (tenth_kelvin - 2731) / 10.0 : NAN;
}

/* day bits 0-4, month 5-8, year from 2000 9-15 */
void jbd_date_text(uint16_t raw, char out[JBD_DATE_SIZE])
{
	unsigned day = raw & 31, month = raw >> 5 & 15, year = 2000 + (raw >> 9);

	out[0] = 0;
	if (day && month && month <= 12)
		snprintf(out, JBD_DATE_SIZE, "%04u-%02u-%02u", year, month, day);
}
