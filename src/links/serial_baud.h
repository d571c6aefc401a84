/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Line speeds that termios has no name for. */
#ifndef LINKS_SERIAL_BAUD_H
#define LINKS_SERIAL_BAUD_H

#include <stdint.h>

/* Sets any speed (bit/s, both directions) and leaves the rest of the line as it is. 0 or -errno. */
int serial_set_baud(int fd, uint32_t baud);

#endif
