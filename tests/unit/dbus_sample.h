/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For D-Bus tests: a battery as the engine would show it, written down by hand. */
#ifndef TESTS_DBUS_SAMPLE_H
#define TESTS_DBUS_SAMPLE_H

#include "engine/engine.h"

/* A protocol that takes charge, discharge, balance and SoC, and reports a few alarms. */
extern const struct protocol sample_protocol;

/* 4 cells, two sensors, everything well: identified, its first reading just come at 1000 ms. */
void sample_battery(struct snapshot *s, const char *port, const char *identifier);
/* Limits of which nothing is known. */
void sample_unknown_limits(struct limits_output *o);
/* A good poll a second later. */
void sample_polled(struct snapshot *s);

#endif
