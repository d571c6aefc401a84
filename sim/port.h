/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A bus behind a pty, a unix socket or a CAN interface: opening, line speed, who has it open, pulling the plug. */
#ifndef SIM_PORT_H
#define SIM_PORT_H

#include "model/can.h"
#include "sim/bus.h"

struct port {
	struct bus bus;
	int master, slave; /* -1 = unplugged; of a socket: the host's connection, or the listener while there is none */
	int listener;	   /* -1 = it is a pty */
	char pty[SCENARIO_PATH + 32]; /* where it is; of a socket: its prefix and path */
	bool linked;
	uint8_t out[CAN_BYTES]; /* of CAN: the frame that is on its way */
	size_t out_n;
	int notify, watch;	   /* inotify: who opens and closes the pty; -1 = not known */
	unsigned opens;		   /* by others */
	usec unplug_at, replug_at; /* INT64_MAX = never */
	uint64_t random;
};

/* notify: an inotify descriptor that the caller reads, or -1. false: why says what is wrong, and
 * nothing is left open. The port must stay where it is. */
bool port_open(struct port *p, const struct scenario *s, int notify, uint64_t seed, double speed, usec now, char *why,
	       size_t size);
void port_close(struct port *p);

/* Where it is to be found: the link, or the pty. */
const char *port_path(const struct port *p);

/* Takes what the host sent. */
void port_read(struct port *p, usec now);
/* Sends what is due; pulls the plug or puts it back when it is time. false: why says why it can't. */
bool port_run(struct port *p, usec now, char *why, size_t size);
/* When to call port_run() again after now; INT64_MAX = not before the host sends something. */
usec port_next(const struct port *p, usec now);
/* Whether what the host sends is taken now; else it waits in the host's buffer. */
bool port_takes(const struct port *p, usec now);
/* Somebody opened (1) or closed (-1) the pty. */
void port_opened(struct port *p, int change, usec now);

#endif
