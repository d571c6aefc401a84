/* SPDX-License-Identifier: GPL-3.0-or-later */
/* In a file of its own: the kernel's termios2 and the C library's termios cannot be had side by side. */
#include "links/serial_baud.h"

#include <errno.h>

#include <asm/termbits.h>
#include <sys/ioctl.h>

int serial_set_baud(int fd, uint32_t baud)
{
	struct termios2 t;

	if (ioctl(fd, TCGETS2, &t))
		return -errno;
	t.c_cflag &= ~(tcflag_t)(CBAUD | CBAUD << IBSHIFT);
	t.c_cflag |= BOTHER | BOTHER << IBSHIFT;
	t.c_ispeed = t.c_ospeed = baud;
	return ioctl(fd, TCSETS2, &t) ? -errno : 0;
}
