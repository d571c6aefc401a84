/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the protocols on CAN share: one frame is one message (model/can.h has its bytes). */
#ifndef PROTOCOLS_CAN_H
#define PROTOCOLS_CAN_H

#include "protocols/protocol.h"

/* As protocol.find_frame(): a data frame. Remote and error frames are noise. */
int can_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why);

/* Makes m the bytes of a request that request_start() has begun. */
void can_put(struct request *out, const struct can_message *m);

#endif
