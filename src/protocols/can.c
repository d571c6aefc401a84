/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/can.h"

int can_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	struct can_message m;

	(void)pending;
	(void)why;
	if (in.n < CAN_BYTES)
		return quiet ? -(int)in.n : 0;
	/* A length that cannot be marks bytes that are no frames: one of them is dropped. */
	if (!can_read(bytes_sub(in, 0, CAN_BYTES), &m))
		return -1;
	return m.id & (CAN_REMOTE | CAN_ERROR) ? -CAN_BYTES : CAN_BYTES;
}

void can_put(struct request *out, const struct can_message *m)
{
	uint8_t b[CAN_BYTES];

	can_write(m, b);
	request_put(out, (struct bytes){b, sizeof(b)});
}
