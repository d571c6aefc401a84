/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * CAN interfaces of the kernel (SocketCAN). The bytes of such a link are frames of CAN_BYTES (model/can.h), one or
 * several at a time. What the kernel tells of the controller (state, bit rate, error counters) comes through
 * libsocketcan.
 *
 * Nothing here waits for the bus. can_open(), can_up(), link_set_line() and, once a second by a timer, every open link
 * ask the kernel over netlink, which takes well below a millisecond; setting a bit rate takes as long as the driver
 * takes, with a USB adapter tens of milliseconds (an slcan adapter that does not answer: seconds).
 */
#ifndef LINKS_CAN_H
#define LINKS_CAN_H

#include "links/link.h"
#include "model/can.h"

#define CAN_PREFIX "can:" /* may stand before an interface's name */

#define CAN_NAME_SIZE	     16
#define CAN_DESCRIPTION_SIZE 96
#define CAN_SAY_SIZE	     128

/*
 * Opens the interface called name ("can0", "can:can0"), which must be up. line is of no importance: the bit rate is
 * the interface's. On failure returns NULL, *error is a positive errno and why says for people what is wrong and what
 * to do. ENODEV: no such interface; EINVAL: it is none for CAN; ENETDOWN: it is down; EPERM: no permission;
 * EAFNOSUPPORT: no CAN in this kernel, or in this bmscope.
 *
 * When the interface goes down (ENETDOWN) or away (ENODEV), the event gone is told. link_send() takes whole frames;
 * what the interface cannot take now is tried again for a second, then dropped: an old question confuses, an old
 * command does harm. -ENOBUFS: too many wait already. Other -errno: not sent.
 */
struct link *can_open(uv_loop_t *loop, const char *name, const struct line *line, struct link_events events, int *error,
		      char *why, size_t size);

/* Only frames in one of the n sets are received from now on; n = 0, or more sets than the kernel takes: all. 0 or
 * -errno. */
int can_set_filters(struct link *link, const struct can_ids *ids, unsigned n);

/*
 * With true, link_set_line() sets the bit rate of an interface that has one; else it changes nothing. Where the driver
 * can, the interface then listens only, until a good frame came (this is the right rate) or somebody sends while the
 * bus has shown no error: with the wrong rate every frame of the others would be destroyed. While only errors were
 * seen, link_send() gives -EBUSY. An interface that is found listening only is treated alike.
 */
void can_allow_bitrate(struct link *link, bool allow);

/* What the controller thinks of the bus. */
enum can_bus_state {
	CAN_BUS_UNKNOWN, /* there is none: vcan */
	CAN_BUS_ACTIVE,	 /* all is well */
	CAN_BUS_WARNING, /* many errors: a counter is above 95 */
	CAN_BUS_PASSIVE, /* above 127 */
	CAN_BUS_OFF,	 /* above 255: it takes no part any more */
	CAN_BUS_STOPPED, /* down, or asleep */
};

struct can_status {
	enum can_bus_state state;
	uint32_t bitrate; /* bit/s; 0 = not known (normal on vcan) */
	bool listen_only;
	bool has_errors; /* are the next two known? */
	uint16_t tx_errors, rx_errors;
	double load; /* 0..1, of the last second, stuffed bits estimated; NAN = not known */
	/* Since the link was opened: */
	uint64_t frames_in, frames_out; /* of this link */
	uint64_t error_frames;		/* told by the controller */
	uint64_t lost;			/* received, but not fetched in time */
	uint64_t unsent;		/* given up after a second */
	uint32_t bus_offs, restarts;
	char say[CAN_SAY_SIZE]; /* what is wrong and what to do; "" = nothing */
};

/* As it is now (error frames) and was within the last second (the rest). Cheap: asks nobody. */
void can_status(struct link *link, struct can_status *out);

/* "error-active", as ip(8) writes it; "unknown". */
const char *can_bus_state_text(enum can_bus_state state);

/*
 * Brings the interface up with this bit rate (bit/s), if it has one; down first when it is up with another. Without
 * bit rate (vcan), or with 0, it is only brought up. listen_only where the driver can (can_status tells whether it
 * did), and only when it was down or had another rate: nobody's working interface is made a listener. 0, or -errno and
 * why says what is wrong and what to do.
 */
int can_up(const char *name, uint32_t bitrate, bool listen_only, char *why, size_t size);

struct can_interface {
	char name[CAN_NAME_SIZE];
	char description[CAN_DESCRIPTION_SIZE]; /* of the adapter and its driver, printable ASCII; "" = none */
	bool up;
};

/* The machine's CAN interfaces, can2 before can10. Returns how many, at most max; the real total may be more. */
unsigned can_list(struct can_interface *out, unsigned max);

#endif
