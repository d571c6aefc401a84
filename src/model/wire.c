/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/wire.h"

#include <string.h>

void wire_text(enum link_kind link, struct bytes b, char *out, size_t size)
{
	if (link == LINK_CAN)
		can_run_text(b, out, size);
	else
		bytes_hex(b, out, size);
}

bool wire_is_can(const char *text)
{
	return strchr(text, '#') != NULL;
}

int wire_parse(const char *text, uint8_t *out, size_t size)
{
	struct can_message m;

	if (!wire_is_can(text))
		return bytes_from_hex(text, out, size);
	if (size < CAN_BYTES || !can_parse(text, &m))
		return -1;
	can_write(&m, out);
	return CAN_BYTES;
}
