/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a reading to what limits_step() takes (2.1). */
#include "limits/limits.h"

#include <math.h>
#include <string.h>

void limits_input_clear(struct limits_input *in)
{
	*in = (struct limits_input){
		.cell_lo = NAN,
		.cell_hi = NAN,
		.voltage = NAN,
		.current = NAN,
		.soc = NAN,
		.capacity = NAN,
		.remaining = NAN,
		.temp_mos = NAN,
		.bms_ccl = NAN,
		.bms_dcl = NAN,
		.bms_cvl = NAN,
		.bms_dvl = NAN,
		.ext_current = NAN,
		.ext_soc = NAN,
		.bms_cycles = NAN,
		.ess = {.minimum_soc_limit = NAN, .soc_limit = NAN},
	};
	for (unsigned i = 0; i < MAX_CELLS; i++)
		in->cell[i] = NAN;
	for (unsigned i = 0; i < LIMITS_MAX_SENSORS; i++)
		in->temp[i] = NAN;
}

/* Only what the BMS itself reports: derived extremes would hide which cell was implausible. */
static double reported(const struct reading *r, enum quantity q)
{
	return reading_reported(r, q) ? reading_get(r, q) : NAN;
}

/* The switch; where a BMS does not report it, whether it permits. */
static enum tri switch_or_permission(const struct reading *r, enum flag mos, enum flag allowed)
{
	return reading_flag(r, mos) != UNKNOWN ? reading_flag(r, mos) : reading_flag(r, allowed);
}

static void take_cells(struct limits_input *in, const struct reading *r)
{
	double count = reading_get(r, Q_CELL_COUNT);

	in->cells = r->cell_V.count;
	if (!in->cells && count > 0)
		in->cells = count < MAX_CELLS ? (unsigned)count : MAX_CELLS;
	else if (count >= 1 && count < in->cells) /* several strings side by side: the cells of the first come first */
		in->cells = (unsigned)count;
	in->single_cells = r->cell_V.count > 0;
	for (unsigned i = 0; i < r->cell_V.count; i++)
		if (series_knows(&r->cell_V, i))
			in->cell[i] = r->cell_V.value[i];
	in->cell_lo = reported(r, Q_CELL_MIN_V);
	in->cell_hi = reported(r, Q_CELL_MAX_V);
	in->balancing = r->balancing || reading_flag(r, F_BALANCING_ACTIVE) == ON;
}

static void take_temperatures(struct limits_input *in, const struct reading *r, bool first_sensor_is_mos)
{
	for (unsigned i = 0; i < LIMITS_MAX_SENSORS; i++)
		if (series_knows(&r->temperatures, i + first_sensor_is_mos))
			in->temp[i] = r->temperatures.value[i + first_sensor_is_mos];
	in->temp_mos = reading_get(r, Q_TEMP_MOS_C);
}

void limits_input_from_reading(struct limits_input *in, const struct reading *r, bool first_sensor_is_mos)
{
	limits_input_clear(in);
	in->ok = true;
	take_cells(in, r);
	take_temperatures(in, r, first_sensor_is_mos);
	in->voltage = reading_get(r, Q_VOLTAGE_V);
	in->current = reading_get(r, Q_CURRENT_A);
	in->soc = reading_get(r, Q_SOC_PCT);
	in->capacity = reading_get(r, Q_CAPACITY_FULL_AH);
	in->remaining = reading_get(r, Q_CAPACITY_REMAINING_AH);
	in->charge_fet = switch_or_permission(r, F_CHARGE_MOS, F_CHARGE_ALLOWED);
	in->discharge_fet = switch_or_permission(r, F_DISCHARGE_MOS, F_DISCHARGE_ALLOWED);
	in->balance_fet = reading_flag(r, F_BALANCE_ENABLED);
	in->heating = reading_flag(r, F_HEATER_ON);
	in->bms_ccl = reading_get(r, Q_BMS_CCL_A);
	in->bms_dcl = reading_get(r, Q_BMS_DCL_A);
	in->bms_cvl = reading_get(r, Q_BMS_CVL_V);
	in->bms_dvl = reading_get(r, Q_BMS_DVL_V);
	in->bms_cycles = reading_get(r, Q_CYCLES);
	in->alarms_known = r->alarms.known;
	memcpy(in->alarm, r->alarms.level, sizeof(in->alarm));
}
