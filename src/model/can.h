/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A CAN frame, and how it travels through code that carries bytes: CAN_BYTES of them, always, so that a run of
 * frames needs no marks. People and files see ID#DATA, as candump writes it.
 */
#ifndef MODEL_CAN_H
#define MODEL_CAN_H

#include "model/bytes.h"

#define CAN_BYTES 13	/* identifier with its flags (big-endian), length, eight bytes of data */
#define CAN_TEXT_SIZE 26 /* 8 + '#' + 16, terminated */

/* Flags of an identifier, where the kernel has them. */
#define CAN_EXTENDED UINT32_C(0x80000000) /* 29 bits */
#define CAN_REMOTE   UINT32_C(0x40000000)
#define CAN_ERROR    UINT32_C(0x20000000) /* not from the bus: the controller tells of an error */

struct can_message {
	uint32_t id; /* with its flags */
	uint8_t n;   /* bytes of data, at most 8 */
	uint8_t data[8];
};

/* A set of identifiers: those whose (id & mask) is this id & mask, flags included. (The kernel's name is taken.) */
struct can_ids {
	uint32_t id, mask; /* mask 0 ends a list */
};

/* Is id in one of the sets? */
bool can_ids_have(const struct can_ids *list, uint32_t id);

/* False: b is not one whole frame. Data beyond the length is 0. */
bool can_read(struct bytes b, struct can_message *out);
void can_write(const struct can_message *m, uint8_t out[CAN_BYTES]);
/* The data of a frame of CAN_BYTES; borrowed from it. */
struct bytes can_data(struct bytes frame);

/* "18900140#0102": 3 digits are a standard identifier, 8 an extended one; "123#R" a remote frame. False: it is none. */
bool can_parse(const char *text, struct can_message *out);
void can_text(const struct can_message *m, char out[CAN_TEXT_SIZE]);
/* A run of frames, separated by blanks; cut short with ".." when it does not fit. size > 0. */
void can_run_text(struct bytes run, char *out, size_t size);

#endif
