/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Do the values of a reading fit each other? What more than one protocol.plausible() asks. */
#ifndef PROTOCOLS_PLAUSIBLE_H
#define PROTOCOLS_PLAUSIBLE_H

#include "model/reading.h"

/*
 * The cells make up the pack's voltage within 2 %, none above 5 V. For cells below 0.5 V, whose wire is off, the
 * mean of the others stands in (then within 5 %); more than half of all must be read. Cells that are unknown
 * are not there.
 */
bool cells_make_up_voltage(const struct reading *r);

/* Every battery sensor that is known lies in lowest..highest degC. */
bool temperatures_within(const struct reading *r, double lowest, double highest);

/*
 * Cells in series by voltage and extremes, of a BMS that does not tell: while highest and lowest lie less than 50 mV
 * apart, the number is certain. NAN: not known so.
 */
double cells_by_extremes(const struct reading *r);

#endif
