/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A chip on an SPI bus, through Linux spidev: what is sent goes out in accesses of 4 bytes, the chip selected
 * during each (mode 0, 8 bits a word, highest bit first), and as many bytes come back. The baud of the line is the
 * clock in Hz. Or, in the chip's place, a program on a unix stream socket: 4 bytes in, 4 bytes out.
 */
#ifndef LINKS_SPI_H
#define LINKS_SPI_H

#include "links/link.h"

#define SPI_DEVICE    "spi:"	/* spi:/dev/spidev0.0 */
#define SPI_SIMULATED "spisim:" /* spisim:/path/of.sock */

/*
 * Opens the bus that name, one of the above, leads to. On failure returns NULL, *error is a positive errno
 * (ENOENT: not there, EACCES: no permission, EBUSY: another program has it, ENOTTY: no SPI device, ...) and why says
 * for people what is wrong and what to do.
 *
 * Sending: whole accesses only, else -EINVAL. A bus that fails is closed before the event gone is told; from then on
 * send and set_line give -ENODEV.
 */
struct link *spi_open(uv_loop_t *loop, const char *name, const struct line *line, struct link_events events, int *error,
		      char *why, size_t size);

#endif
