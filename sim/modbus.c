/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/modbus.h"

#include "protocols/checksum.h"

enum { RTU_MAX = 256 };

static bool crc_fits(struct bytes in)
{
	return in.n >= 4 && crc16_modbus(bytes_sub(in, 0, in.n - 2)) == u16le_at(in, in.n - 2);
}

/* A frame ends by silence: what does not fit is left alone until then. */
int rtu_find_request(const struct scenario *s, struct bytes in)
{
	(void)s;
	size_t n = in.n;

	switch (u8_at(in, 1)) {
	case RTU_READ_COILS:
	case RTU_READ_DISCRETE:
	case RTU_READ_HOLDING:
	case RTU_READ_INPUT:
	case RTU_WRITE_COIL:
	case RTU_WRITE_REGISTER:
		n = 8;
		break;
	case RTU_WRITE_COILS:
	case RTU_WRITE_REGISTERS:
		n = bytes_has(in, 6, 1) ? 9 + (size_t)u8_at(in, 6) : 9;
		break;
	default: /* nobody knows its length */
		break;
	}
	return in.n == n && n <= RTU_MAX && crc_fits(in) ? (int)n : 0;
}

bool rtu_open(struct bytes request, struct rtu_request *out)
{
	*out = (struct rtu_request){
		.address = u8_at(request, 0),
		.function = u8_at(request, 1),
		.start = u16be_at(request, 2),
		.count = u16be_at(request, 4),
	};
	switch (out->function) {
	case RTU_WRITE_COIL:
	case RTU_WRITE_REGISTER:
		out->count = 1;
		out->values = bytes_sub(request, 4, 2);
		return true;
	case RTU_WRITE_COILS:
		out->values = bytes_sub(request, 7, u8_at(request, 6));
		return out->values.n == (out->count + 7u) / 8;
	case RTU_WRITE_REGISTERS:
		out->values = bytes_sub(request, 7, u8_at(request, 6));
		return out->values.n == 2u * out->count;
	default:
		return true;
	}
}

void rtu_end(struct frame *f)
{
	uint16_t crc = crc16_modbus(frame_bytes(f));

	f->sum_at = f->n;
	frame_add_u8(f, crc & 0xff);
	frame_add_u8(f, crc >> 8);
}

static void begin(struct frame *f, const struct rtu_request *r, unsigned function)
{
	frame_add_u8(f, r->address);
	frame_add_u8(f, function);
}

void rtu_answer(struct frame *f, const struct rtu_request *r, struct bytes values)
{
	begin(f, r, r->function);
	frame_add_u8(f, (unsigned)values.n);
	frame_add(f, values.p, values.n);
	rtu_end(f);
}

void rtu_acknowledge(struct frame *f, const struct rtu_request *r)
{
	begin(f, r, r->function);
	frame_add_u16be(f, r->start);
	if (r->function == RTU_WRITE_COIL || r->function == RTU_WRITE_REGISTER)
		frame_add(f, r->values.p, r->values.n);
	else
		frame_add_u16be(f, r->count);
	rtu_end(f);
}

void rtu_refuse(struct frame *f, const struct rtu_request *r, enum rtu_exception why)
{
	begin(f, r, r->function | 0x80u);
	frame_add_u8(f, why);
	rtu_end(f);
}
