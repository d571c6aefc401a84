/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Serial ports: libserialport lists, opens and closes them; ptys and what else libserialport refuses
 * go through a small termios back end. Each port is held alone: TIOCEXCL, flock and the lock file
 * that serial programs on Debian use.
 */
#ifndef LINKS_SERIAL_H
#define LINKS_SERIAL_H

#include "links/link.h"

/*
 * Opens path (a device, a pty, or a symbolic link to one). On failure returns NULL, *error is a
 * positive errno (ENOENT: not there, EACCES: no permission, EBUSY: another program has it, ENOTTY: not
 * a serial port) and why says for people what is wrong and what to do ("/dev/ttyUSB0 is used by minicom
 * (pid 812)"; "no permission: add yourself to the group dialout").
 */
struct link *serial_open(uv_loop_t *loop, const char *path, const struct line *line, struct link_events events,
			 int *error, char *why, size_t size);

#define SERIAL_TEXT 96

struct serial_port {
	char path[SERIAL_TEXT];
	char description[SERIAL_TEXT]; /* "FT232R USB UART"; "" = none */
	char manufacturer[SERIAL_TEXT];
	char usb_serial[SERIAL_TEXT];  /* "" unless USB with a serial number */
	int usb_vid, usb_pid;          /* -1 unless USB */
};

/* The machine's serial ports, ptys excepted. Returns how many, at most max; the real total may be more. */
unsigned serial_list(struct serial_port *out, unsigned max);

/* Calls changed (from the loop) when a device file in /dev comes or goes, a moment later so that udev is
 * through with it. NULL: not possible here (*error says why); ports are then looked for by the clock. */
struct serial_watch;
struct serial_watch *serial_watch_new(uv_loop_t *loop, void (*changed)(void *ctx), void *ctx, int *error);
void serial_watch_free(struct serial_watch *w);

#endif
