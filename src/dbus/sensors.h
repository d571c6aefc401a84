/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Values that another D-Bus service measures in a battery's place (EXTERNAL_SENSOR_*): asked for every
 * second while the configuration of a battery names one, and told to the engine.
 */
#ifndef BMSCOPE_DBUS_SENSORS_H
#define BMSCOPE_DBUS_SENSORS_H

#include "engine/engine.h"

struct sensors;

/* which: as publisher_options.bus; connected to when the first sensor is needed. NULL: no memory. */
struct sensors *sensors_new(uv_loop_t *loop, struct engine *e, const char *which);
/* Before engine_free(); the loop must run once more. */
void sensors_close(struct sensors *s);

#endif
