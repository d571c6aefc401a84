/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A serial device that this program alone has: found, locked, opened through libserialport (or without
 * it where it refuses, as with ptys), and its line set. Carrying bytes is serial.c's part.
 */
#ifndef LINKS_SERIAL_DEVICE_H
#define LINKS_SERIAL_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "links/serial_lock.h"
#include "model/line.h"

struct sp_port;

struct serial_device {
	int fd;		      /* non-blocking, closed on exec; -1: closed */
	struct sp_port *port; /* NULL: libserialport has refused it */
	bool pty;
	bool ours; /* locked and opened: nobody else is disturbed any more */
	char lock[SERIAL_LOCK_PATH];
};

/*
 * Opens path and sets its line. 0 or -errno, then why says what is wrong and what to do: see serial_open().
 * Nothing about the device is changed before it is sure that nobody else has it.
 */
int serial_device_open(struct serial_device *d, const char *path, const struct line *line, char *why, size_t size);

/* Raw, no flow control, as line says; drops what waits in both directions. 0 or -errno (-EINVAL: this device
 * cannot do that). */
int serial_device_set_line(struct serial_device *d, const struct line *line);

/* False when the device has gone. What an empty read() alone does not tell. */
bool serial_device_there(const struct serial_device *d);

/*
 * What was not sent yet is dropped. Never waits; where the driver would, the descriptor stays open for up to
 * half a minute longer. Does nothing when it is closed.
 */
void serial_device_close(struct serial_device *d);

#endif
