/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What JBD boards say in the same way on every link: sheet jbd-uart. */
#ifndef PROTOCOLS_JBD_COMMON_H
#define PROTOCOLS_JBD_COMMON_H

#include "model/alarm.h"

#define JBD_DATE_SIZE 16

/* The protections that are active, section 6; what is not is cleared. */
void jbd_protections(uint16_t bits, struct alarms *a);
/* NAN: there is no such sensor. */
double jbd_celsius(uint16_t tenth_kelvin);
/* "2022-03-28"; "" when there is no such day. */
void jbd_date_text(uint16_t raw, char out[JBD_DATE_SIZE]);

#endif
