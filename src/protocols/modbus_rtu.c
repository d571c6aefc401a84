/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/modbus_rtu.h"

#include <assert.h>

#include "protocols/checksum.h"

static bool is_read(uint8_t function)
{
	return function >= MODBUS_READ_COILS && function <= MODBUS_READ_INPUT;
}

/* ---- requests: sheet 3 ---- */

static void put_crc(struct request *out)
{
	uint8_t crc[2];

	put_u16le(crc, crc16_modbus((struct bytes){out->tx, out->n}));
	request_put(out, (struct bytes){crc, 2});
}

/* Address, function and two words, which every request begins with. */
static void put_head(struct request *out, uint8_t function, uint16_t first, uint16_t second)
{
	uint8_t head[6] = {out->address, function};

	put_u16be(head + 2, first);
	put_u16be(head + 4, second);
	out->n = 0;
	request_put(out, (struct bytes){head, sizeof(head)});
}

void modbus_build_read(struct request *out, uint8_t function, uint16_t start, uint16_t count)
{
	put_head(out, function, start, count);
	put_crc(out);
}

void modbus_build_write(struct request *out, uint16_t reg, uint16_t value)
{
	out->writes = true;
	out->echo_is_reply = true;
	put_head(out, MODBUS_WRITE_REGISTER, reg, value);
	put_crc(out);
}

void modbus_build_write_block(struct request *out, uint16_t start, struct bytes values)
{
	uint8_t n = (uint8_t)values.n;

	assert(values.n >= 2 && values.n <= 2 * MODBUS_MAX_WRITE && values.n % 2 == 0);
	out->writes = true;
	put_head(out, MODBUS_WRITE_REGISTERS, start, n / 2);
	request_put(out, (struct bytes){&n, 1});
	request_put(out, values);
	put_crc(out);
}

void modbus_build_write_coils(struct request *out, uint16_t start, uint16_t count, struct bytes bits)
{
	uint8_t n = (uint8_t)bits.n;

	assert(count >= 1 && count <= MODBUS_MAX_WRITE_COILS && bits.n == (count + 7u) / 8);
	out->writes = true;
	put_head(out, MODBUS_WRITE_COILS, start, count);
	request_put(out, (struct bytes){&n, 1});
	request_put(out, bits);
	put_crc(out);
}

/* ---- lengths: sheet 3 ---- */

int modbus_request_length(struct bytes head)
{
	if (!bytes_has(head, 1, 1))
		return 0;
	switch (u8_at(head, 1)) {
	case MODBUS_READ_COILS:
	case MODBUS_READ_DISCRETE:
	case MODBUS_READ_HOLDING:
	case MODBUS_READ_INPUT:
	case MODBUS_WRITE_COIL:
	case MODBUS_WRITE_REGISTER:
		return 8;
	case MODBUS_WRITE_COILS:
	case MODBUS_WRITE_REGISTERS:
		return bytes_has(head, 6, 1) ? 9 + u8_at(head, 6) : 0;
	default:
		return -1;
	}
}

int modbus_reply_length(struct bytes head)
{
	uint8_t function = u8_at(head, 1);

	if (!bytes_has(head, 1, 1))
		return 0;
	if (function & MODBUS_EXCEPTION)
		return 5;
	if (is_read(function))
		return bytes_has(head, 2, 1) ? 5 + u8_at(head, 2) : 0;
	if (function == MODBUS_WRITE_COIL || function == MODBUS_WRITE_REGISTER || function == MODBUS_WRITE_COILS ||
	    function == MODBUS_WRITE_REGISTERS)
		return 8;
	return -1;
}

bool modbus_crc_fits(struct bytes frame)
{
	return frame.n >= 4 && crc16_modbus(bytes_sub(frame, 0, frame.n - 2)) == u16le_at(frame, frame.n - 2);
}

/* ---- replies ---- */

/* Could this be the beginning of the reply to pending? One byte alone may be. */
static bool head_fits(const struct request *pending, struct bytes in)
{
	if (!pending)
		return true;
	return u8_at(in, 0) == pending->tx[0] &&
	       (in.n < 2 || (u8_at(in, 1) & ~MODBUS_EXCEPTION) == (pending->tx[1] & ~MODBUS_EXCEPTION));
}

int modbus_find_reply(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	int n = modbus_reply_length(in);
	bool ours = head_fits(pending, in);

	if (n > 0 && bytes_has(in, 0, (size_t)n)) {
		if (modbus_crc_fits(bytes_sub(in, 0, (size_t)n)))
			return n;
		if (pending && ours)
			*why = "checksum";
		return -1;
	}
	if (n < 0 || !ours)
		return -1;
	if (!quiet)
		return 0;
	if (pending && n > 0)
		*why = "frame cut short";
	return -1;
}

enum verdict modbus_judge(struct bytes request, struct bytes frame, struct bytes *values, const char **why)
{
	uint8_t function = u8_at(request, 1);

	if (frame.n < 5 || u8_at(frame, 0) != u8_at(request, 0))
		return FRAME_FOREIGN;
	if (u8_at(frame, 1) == (function | MODBUS_EXCEPTION)) {
		*why = modbus_exception_text(u8_at(frame, 2));
		return FRAME_REFUSED;
	}
	if (u8_at(frame, 1) != function)
		return FRAME_FOREIGN;
	if (is_read(function)) {
		*values = bytes_sub(frame, 3, u8_at(frame, 2));
		return FRAME_ANSWER;
	}
	/* Of 05 and 06 the whole request comes back, of 0F and 10 where it begins and how much it was. */
	return bytes_equal(bytes_sub(frame, 2, 4), bytes_sub(request, 2, 4)) ? FRAME_ANSWER : FRAME_FOREIGN;
}

size_t modbus_read_bytes(struct bytes request)
{
	uint8_t function = u8_at(request, 1);
	size_t count = u16be_at(request, 4);

	if (!is_read(function))
		return 0;
	return function <= MODBUS_READ_DISCRETE ? (count + 7) / 8 : 2 * count;
}

/* Sheet 6. */
const char *modbus_exception_text(uint8_t code)
{
	switch (code) {
	case 0x01:
		return "illegal function (exception 01)";
	case 0x02:
		return "illegal register address (exception 02)";
	case 0x03:
		return "illegal value (exception 03)";
	case 0x04:
		return "device failure (exception 04)";
	case 0x05:
		return "accepted, but still working on it (exception 05)";
	case 0x06:
		return "busy (exception 06)";
	case 0x08:
		return "memory parity error (exception 08)";
	case 0x0a:
		return "gateway path unavailable (exception 0A)";
	case 0x0b:
		return "gateway target does not answer (exception 0B)";
	case 0x81:
		return "no history (exception 81)";
	default:
		return "an exception code that is in no sheet";
	}
}
