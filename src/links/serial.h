/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Serial ports: libserialport lists, opens and closes them; ptys and what else libserialport refuses
 * are opened without it. Each port is held alone: by flock, by the lock file that serial programs on
 * Debian use, and, unless it is a pty, by TIOCEXCL.
 */
#ifndef LINKS_SERIAL_H
#define LINKS_SERIAL_H

#include "links/link.h"

/*
 * Opens path (a device, a pty, or a symbolic link to one). On failure returns NULL, *error is a
 * positive errno (ENOENT: not there, ENXIO: no hardware, EACCES: no permission, EBUSY: another program has
 * it, ENOTTY: not a serial port, EINVAL: cannot be set to this line) and why says for people what is wrong
 * and what to do ("/dev/ttyUSB0 is used by minicom (pid 812)"; "no permission to use /dev/ttyUSB0: add
 * yourself to the group dialout: ...").
 *
 * When the device goes, it is closed and unlocked before the event gone is told: EIO, "/dev/ttyUSB0 was
 * unplugged". From then on send and set_line give -ENODEV.
 */
struct link *serial_open(uv_loop_t *loop, const char *path, const struct line *line, struct link_events events,
			 int *error, char *why, size_t size);

#define SERIAL_TEXT 96

struct serial_port {
	char path[SERIAL_TEXT];
	char description[SERIAL_TEXT]; /* "FT232R USB UART"; "" = none */
	char manufacturer[SERIAL_TEXT];
	char usb_serial[SERIAL_TEXT]; /* "" unless USB with a serial number */
	int usb_vid, usb_pid;	      /* -1 unless USB */
};

/* The machine's serial ports, ptys excepted, ttyUSB2 before ttyUSB10; the texts are printable ASCII. Returns
 * how many, at most max; the real total may be more. */
unsigned serial_list(struct serial_port *out, unsigned max);

/* Calls changed (from the loop) when a file in /dev that can be a serial port, or a name in /dev/serial/by-id,
 * comes, goes or gets other permissions: once for all that happens within 300 ms, so that udev is through
 * with it. NULL: not possible here (*error, a positive errno, says why); ports are then looked for by the
 * clock. */
struct serial_watch;
struct serial_watch *serial_watch_new(uv_loop_t *loop, void (*changed)(void *ctx), void *ctx, int *error);
void serial_watch_free(struct serial_watch *w);

#endif
