/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/can.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_AT = 0, LENGTH_AT = 4, DATA_AT = 5, STANDARD_DIGITS = 3, EXTENDED_DIGITS = 8 };

bool can_ids_have(const struct can_ids *list, uint32_t id)
{
	for (const struct can_ids *s = list; s && s->mask; s++)
		if ((id & s->mask) == (s->id & s->mask))
			return true;
	return false;
}

bool can_read(struct bytes b, struct can_message *out)
{
	if (b.n != CAN_BYTES || u8_at(b, LENGTH_AT) > sizeof(out->data))
		return false;
	*out = (struct can_message){.id = u32be_at(b, ID_AT), .n = u8_at(b, LENGTH_AT)};
	memcpy(out->data, b.p + DATA_AT, out->n);
	return true;
}

void can_write(const struct can_message *m, uint8_t out[CAN_BYTES])
{
	uint8_t n = m->n < sizeof(m->data) ? m->n : sizeof(m->data);

	memset(out, 0, CAN_BYTES);
	put_u32be(out + ID_AT, m->id);
	out[LENGTH_AT] = n;
	memcpy(out + DATA_AT, m->data, n);
}

struct bytes can_data(struct bytes frame)
{
	return bytes_sub(frame, DATA_AT, u8_at(frame, LENGTH_AT));
}

static bool parse_id(const char *text, size_t digits, uint32_t *id)
{
	for (size_t i = 0; i < digits; i++)
		if (!isxdigit((unsigned char)text[i]))
			return false;
	*id = (uint32_t)strtoul(text, NULL, 16);
	if (digits == STANDARD_DIGITS)
		return *id <= 0x7ff;
	/* candump writes error frames with their flag */
	if (digits != EXTENDED_DIGITS || *id & (CAN_EXTENDED | CAN_REMOTE))
		return false;
	if (!(*id & CAN_ERROR))
		*id |= CAN_EXTENDED;
	return true;
}

bool can_parse(const char *text, struct can_message *out)
{
	size_t digits = strcspn(text, "#");
	uint32_t id;

	if (!text[digits] || !parse_id(text, digits, &id))
		return false;
	*out = (struct can_message){.id = id};
	text += digits + 1;
	if (*text == 'R') {
		out->id |= CAN_REMOTE;
		out->n = isdigit((unsigned char)text[1]) ? (uint8_t)(text[1] - '0') : 0;
		return out->n <= sizeof(out->data) && !text[1 + (text[1] != 0)];
	}
	int n = bytes_from_hex(text, out->data, sizeof(out->data));
	out->n = n < 0 ? 0 : (uint8_t)n;
	return n >= 0;
}

void can_text(const struct can_message *m, char out[CAN_TEXT_SIZE])
{
	uint32_t id = m->id & ~(CAN_EXTENDED | CAN_REMOTE);
	int n = snprintf(out, CAN_TEXT_SIZE, m->id & (CAN_EXTENDED | CAN_ERROR) ? "%08X#" : "%03X#", (unsigned)id);

	if (m->id & CAN_REMOTE) {
		snprintf(out + n, (size_t)(CAN_TEXT_SIZE - n), "R%.0u", m->n);
		return;
	}
	for (unsigned i = 0; i < m->n && i < sizeof(m->data); i++)
		n += snprintf(out + n, (size_t)(CAN_TEXT_SIZE - n), "%02X", m->data[i]);
}

void can_run_text(struct bytes run, char *out, size_t size)
{
	size_t at = 0;

	out[0] = 0;
	for (; run.n; run = bytes_sub(run, CAN_BYTES, run.n)) {
		struct can_message m;
		char text[CAN_TEXT_SIZE];

		if (!can_read(bytes_sub(run, 0, CAN_BYTES), &m))
			return;
		can_text(&m, text);
		size_t n = strlen(text);
		if (at + n + 4 > size) { /* a blank, the mark, the end */
			snprintf(out + at, size - at, "..");
			return;
		}
		at += (size_t)snprintf(out + at, size - at, "%s%s", at ? " " : "", text);
	}
}
