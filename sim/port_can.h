/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A CAN interface of this machine as a descriptor that carries runs of CAN_BYTES. */
#ifndef SIM_PORT_CAN_H
#define SIM_PORT_CAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A socket on the interface; -1: why says what is wrong. */
int port_can_open(const char *interface, char *why, size_t size);
/* One frame into in: CAN_BYTES, or -1 with errno. */
ssize_t port_can_receive(int fd, uint8_t *in, size_t size);
/* frame: CAN_BYTES. What the interface does not take is lost, as when nobody acknowledges it. */
void port_can_send(int fd, const uint8_t *frame);

#endif
