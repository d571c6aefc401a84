/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What Daly boards have in common, whatever frames they speak. */
#ifndef PROTOCOLS_DALY_COMMON_H
#define PROTOCOLS_DALY_COMMON_H

#include "model/reading.h"

/*
 * The alarm bits as boards with A5 frames and those of the D2 map have them (sheets daly-uart 6, daly-modbus-ble
 * 6.1): bit 8 * n + b is bit b of byte n. Clears what was raised and raises what word says. invert: what counts as
 * charging to the board is discharging here, and the other way round.
 */
void daly_take_alarms(struct alarms *a, uint64_t word, bool invert);

/*
 * Part of the firmware counts the current the other way round. Compares it with the detail "state" (1 charging, 2
 * discharging) and sets the detail "current_seems_inverted" when they have disagreed three times in a row;
 * *contradictions counts that, 0 at the start. It does not guess which is right.
 */
void daly_compare_direction(struct reading *r, uint8_t *contradictions);

#endif
