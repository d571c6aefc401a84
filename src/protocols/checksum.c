/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/checksum.h"

uint8_t sum8(struct bytes b)
{
	return (uint8_t)sum16(b);
}

uint16_t sum16(struct bytes b)
{
	uint16_t sum = 0;

	for (size_t i = 0; i < b.n; i++)
		sum = (uint16_t)(sum + b.p[i]);
	return sum;
}

uint16_t crc16_modbus(struct bytes b)
{
	uint16_t crc = 0xffff;

	for (size_t i = 0; i < b.n; i++) {
		crc ^= b.p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1);
	}
	return crc;
}
