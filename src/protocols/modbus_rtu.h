/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Modbus RTU frames as a pure codec, sheet modbus-rtu: requests are built, replies are found in a byte
 * stream and judged. What the registers mean is the business of the protocols that use it.
 */
#ifndef PROTOCOLS_MODBUS_RTU_H
#define PROTOCOLS_MODBUS_RTU_H

#include "protocols/protocol.h"

enum modbus_function {
	MODBUS_READ_COILS = 0x01,
	MODBUS_READ_DISCRETE = 0x02,
	MODBUS_READ_HOLDING = 0x03,
	MODBUS_READ_INPUT = 0x04,
	MODBUS_WRITE_COIL = 0x05,
	MODBUS_WRITE_REGISTER = 0x06,
	MODBUS_WRITE_COILS = 0x0f,
	MODBUS_WRITE_REGISTERS = 0x10,
	MODBUS_EXCEPTION = 0x80, /* is added to the function that was refused */
};

enum { MODBUS_MAX_WRITE = 123 };	/* registers */
enum { MODBUS_MAX_WRITE_COILS = 1968 }; /* bits */

/*
 * Build a whole request for out->address: function 01..04, 06, 10, 0F. Registers count from start; of 01, 02 and 0F
 * count is bits. values: an even number of bytes, at most 2 * MODBUS_MAX_WRITE; bits: as many bytes as count needs,
 * the first coil lowest (both asserted). The writes mark the request as one that changes something, 06 also as one
 * whose reply equals the request.
 */
void modbus_build_read(struct request *out, uint8_t function, uint16_t start, uint16_t count);
void modbus_build_write(struct request *out, uint16_t reg, uint16_t value);
void modbus_build_write_block(struct request *out, uint16_t start, struct bytes values);
void modbus_build_write_coils(struct request *out, uint16_t start, uint16_t count, struct bytes bits);

/*
 * Length of the whole request or reply whose beginning is head, CRC included; 0: more bytes are needed to
 * tell; -1: no such function.
 */
int modbus_request_length(struct bytes head);
int modbus_reply_length(struct bytes head);
/* The last two bytes are the CRC of all before them. */
bool modbus_crc_fits(struct bytes frame);

/*
 * As protocol.find_frame(): waits for a reply whose address and function are those of pending (of anybody, when
 * pending is NULL). The reply of another address is found when it is already there whole; else it is noise.
 */
int modbus_find_reply(const struct request *pending, struct bytes in, bool quiet, const char **why);

/*
 * What a frame with a good CRC is to a request. FRAME_ANSWER: of a read, *values are its bytes (as many as the
 * reply says: whoever insists compares with modbus_read_bytes()); of a write, it acknowledges this very one.
 * FRAME_REFUSED: an exception, *why says which. Else FRAME_FOREIGN.
 */
enum verdict modbus_judge(struct bytes request, struct bytes frame, struct bytes *values, const char **why);

/* Bytes of values that a read request asks for; 0 for a request of another kind. */
size_t modbus_read_bytes(struct bytes request);

/* "illegal function (exception 01)"; static. */
const char *modbus_exception_text(uint8_t code);

#endif
