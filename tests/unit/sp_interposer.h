/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Stands between the test program and the C library, for libserialport and for our own code: paths below
 * /sys/class/tty and /dev/serial, and watches of /dev, lead into a folder of the test; and ptys may have
 * the modem lines that libserialport insists on. So its code runs on a pty, and lists adapters that are
 * not there.
 */
#ifndef SP_INTERPOSER_H
#define SP_INTERPOSER_H

#include <stdbool.h>
#include <stdint.h>

/* The folder that stands for / ; NULL: all is as the system has it. */
void interposer_root(const char *folder);

/* Whether ptys have modem lines from now on: one set for all, DTR and RTS on at first. */
void interposer_modem_lines(bool present);
/* The lines that are on (TIOCM_RTS, ...), and how often somebody has asked for or set them. */
int interposer_modem(unsigned *requests);

/* From now on ptys have output that nobody takes, and close() waits for it, until told otherwise. */
void interposer_stuck(bool stuck);

/* The speed of a terminal in bit/s, also when it has no name in termios. */
uint32_t terminal_baud(int fd);

#endif
