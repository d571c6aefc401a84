/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The checksums that more than one protocol uses. */
#ifndef PROTOCOLS_CHECKSUM_H
#define PROTOCOLS_CHECKSUM_H

#include "model/bytes.h"

/* Plain sum of the bytes, low 8 or 16 bits. */
uint8_t sum8(struct bytes b);
uint16_t sum16(struct bytes b);
/* CRC-16/MODBUS: start FFFF, polynomial A001 reflected. On the wire low byte first (sheet modbus-rtu 3). */
uint16_t crc16_modbus(struct bytes b);

#endif
