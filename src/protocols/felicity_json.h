/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What Felicity batteries say through Bluetooth, sheet felicity, end of 5: a request is plain text without an end,
 * its reply one JSON object that comes in pieces. There are no addresses, and no checksum.
 */
#ifndef PROTOCOLS_FELICITY_JSON_H
#define PROTOCOLS_FELICITY_JSON_H

#include "protocols/protocol.h"

enum felicity_dialect { FELICITY_MODBUS, FELICITY_JSON };

/* Codes of requests; none is a register of the other dialect. */
enum felicity_json_code {
	FELICITY_JSON_REAL = 1,
	FELICITY_JSON_BASIC,
	FELICITY_JSON_DATE,
};

/* As the functions of struct protocol with the same names, for the JSON dialect. */
bool felicity_json_encode(const struct device *dev, uint16_t code, uint16_t arg, struct request *out);
bool felicity_json_parse_request(const struct protocol *p, struct bytes tx, struct request *out);
int felicity_json_find_frame(struct bytes in, bool quiet, const char **why);
enum verdict felicity_json_take(struct device *dev, uint16_t code, struct bytes frame, const char **why);

#endif
