/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fixed layouts as data: the rows of a sheet's table, and the loops that apply them. A row that
 * reaches beyond the end of the frame is left out: its field stays unknown.
 * value = (raw + add) / divisor
 */
#ifndef PROTOCOLS_TABLE_H
#define PROTOCOLS_TABLE_H

#include "model/bytes.h"
#include "model/reading.h"
#include "model/setting.h"

struct number_row {
	uint16_t off;
	enum raw_type type;
	double divisor, add;
	enum quantity quantity;
};

struct detail_row {
	uint16_t off;
	enum raw_type type;
	double divisor, add;
	const char *name;
};

struct setting_row {
	uint16_t off;
	enum raw_type type;
	double divisor, add;
	const char *name;
	enum setting_kind kind; /* SETTING_NUMBER or SETTING_SWITCH */
};

struct text_row {
	uint16_t off, n;
	enum text text;
};

/* One bit of an alarm word. name NULL: the common alarm; else a name of the protocol's own, raised
 * beside the common one unless that is ALARM_COUNT. Level ALARM_OK: not an alarm, skipped. */
struct alarm_row {
	uint8_t bit;
	enum alarm_level level;
	enum alarm alarm;
	const char *name;
};

#define ROWS(table) (table), sizeof(table) / sizeof((table)[0])

void table_numbers(const struct number_row *row, size_t n, struct bytes frame, struct reading *r);
void table_details(const struct detail_row *row, size_t n, struct bytes frame, struct reading *r);
void table_settings(const struct setting_row *row, size_t n, struct bytes frame, struct settings *s);
void table_texts(const struct text_row *row, size_t n, struct bytes frame, struct reading *r);
/* Raises what the set bits of word mean; marks alarms as known. */
void table_alarms(const struct alarm_row *row, size_t n, uint64_t word, struct alarms *a);

#endif
