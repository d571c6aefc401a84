/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A CAN interface by its name, beside its frames: is it there, is it up, what does its controller say. */
#ifndef LINKS_CAN_CONTROL_H
#define LINKS_CAN_CONTROL_H

#include "links/can.h"

/* A name as users write it, without the prefix. */
const char *can_interface_name(const char *name);

/* The index of a CAN interface that is up; or -errno, then why says what is wrong and what to do. */
int can_interface_ready(const char *name, char *why, size_t size);

/* 0 when there is none of this name. */
unsigned can_interface_index(const char *name);

bool can_interface_is_up(const char *name);

struct can_controller {
	enum can_bus_state state; /* CAN_BUS_UNKNOWN: there is no controller, and the rest is unknown as well */
	uint32_t bitrate;
	uint32_t restart_ms; /* the kernel restarts after bus-off by itself; 0 = it does not */
	bool listen_only, has_errors;
	uint16_t tx_errors, rx_errors;
};

void can_controller_read(const char *name, struct can_controller *out);

/* Within a hundredth: a controller divides its clock as near as it can. */
bool can_rate_is(uint32_t bitrate, uint32_t wanted);

/* Out of bus-off. False: no permission, or the driver cannot. */
bool can_controller_restart(const char *name);

/* What the interface has carried in both directions, whoever's it was. */
struct can_traffic {
	uint64_t received, frames, bytes;
};

bool can_traffic_read(const char *name, struct can_traffic *out);

#endif
