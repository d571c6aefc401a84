/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config.h"

#include "sim/port_can.h"

#include <errno.h>
#include <linux/can.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "model/can.h"

int port_can_open(const char *interface, char *why, size_t size)
{
	struct sockaddr_can at = {.can_family = AF_CAN};
	int fd = socket(AF_CAN, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, CAN_RAW);

	if (fd < 0) {
		snprintf(why, size, "no CAN in this kernel: %s", strerror(errno));
		return -1;
	}
	at.can_ifindex = (int)if_nametoindex(interface);
	if (at.can_ifindex && !bind(fd, (struct sockaddr *)&at, sizeof(at)))
		return fd;
	snprintf(why, size, "%s: %s", interface, strerror(errno));
	close(fd);
	return -1;
}

ssize_t port_can_receive(int fd, uint8_t *in, size_t size)
{
	struct can_frame f;
	struct can_message m = {0};

	if (size < CAN_BYTES) {
		errno = EMSGSIZE;
		return -1;
	}
	if (read(fd, &f, sizeof(f)) != sizeof(f))
		return -1;
	m.id = f.can_id;
	m.n = f.can_dlc;
	memcpy(m.data, f.data, sizeof(m.data));
	can_write(&m, in);
	return CAN_BYTES;
}

void port_can_send(int fd, const uint8_t *frame)
{
	struct can_frame f = {0};
	struct can_message m;

	if (!can_read((struct bytes){frame, CAN_BYTES}, &m))
		return;
	f.can_id = m.id;
	f.can_dlc = m.n;
	memcpy(f.data, m.data, sizeof(m.data));
	(void)!write(fd, &f, sizeof(f));
}
