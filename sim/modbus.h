/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Modbus RTU as a slave speaks it: requests taken apart, replies put together, sheet modbus-rtu 3. */
#ifndef SIM_MODBUS_H
#define SIM_MODBUS_H

#include "sim/device.h"

enum rtu_function {
	RTU_READ_COILS = 0x01,
	RTU_READ_DISCRETE = 0x02,
	RTU_READ_HOLDING = 0x03,
	RTU_READ_INPUT = 0x04,
	RTU_WRITE_COIL = 0x05,
	RTU_WRITE_REGISTER = 0x06,
	RTU_WRITE_COILS = 0x0f,
	RTU_WRITE_REGISTERS = 0x10,
};
enum rtu_exception { RTU_BAD_FUNCTION = 1, RTU_BAD_ADDRESS = 2, RTU_BAD_VALUE = 3, RTU_FAILURE = 4 };

struct rtu_request {
	uint8_t address, function;
	uint16_t start;
	uint16_t count;	     /* registers or bits; 1 for functions 05 and 06 */
	struct bytes values; /* of a write, as they came; borrowed from the request */
};

/* For kind.find_request: a whole frame whose CRC fits, whatever its function. */
int rtu_find_request(const struct scenario *s, struct bytes in);
/* Takes apart what rtu_find_request() found. false: a write whose byte count does not fit its count. */
bool rtu_open(struct bytes request, struct rtu_request *out);

/* Replies; the CRC is part of them, f is the reply's next frame. */
void rtu_answer(struct frame *f, const struct rtu_request *r, struct bytes values);
void rtu_acknowledge(struct frame *f, const struct rtu_request *r);
void rtu_refuse(struct frame *f, const struct rtu_request *r, enum rtu_exception why);
/* Ends a frame made by hand. */
void rtu_end(struct frame *f);

#endif
