/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/daly_payload.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/daly_common.h"
#include "protocols/procedure.h"
#include "protocols/table.h"

enum {
	DALY_MAX_CELLS = 48,
	DALY_MAX_SENSORS = 16,
	CELLS_PER_PART = 3,
	FROZEN_POLLS = 30,
};

enum bms_state { IDLE, CHARGING, DISCHARGING };

/* ---- requests ---- */

bool daly_is_write(uint16_t code)
{
	return code < 0x40 || code == DALY_CMD_SET_DISCHARGE || code == DALY_CMD_SET_CHARGE;
}

/* The frame that sets the SoC sets the clock as well: always the true time (sheet 7). */
static void put_clock_and_soc(uint8_t *data, const struct wall_time *t, uint16_t tenth_pct)
{
	data[0] = (uint8_t)(t->year - 2000);
	data[1] = (uint8_t)t->month;
	data[2] = (uint8_t)t->day;
	data[3] = (uint8_t)t->hour;
	data[4] = (uint8_t)t->minute;
	data[5] = (uint8_t)t->second;
	put_u16be(data + 6, tenth_pct);
}

void daly_put_data(const struct device *dev, uint16_t code, uint16_t arg, uint8_t data[DALY_DATA_SIZE])
{
	const struct daly_payload_state *s = dev->state;

	memset(data, 0, DALY_DATA_SIZE);
	if (code == DALY_CMD_SET_CLOCK_AND_SOC)
		put_clock_and_soc(data, &s->now, arg);
	else
		data[0] = (uint8_t)arg;
}

uint16_t daly_data_arg(uint16_t code, struct bytes data)
{
	if (code == DALY_CMD_SET_CHARGE || code == DALY_CMD_SET_DISCHARGE)
		return u8_at(data, 0);
	return code == DALY_CMD_SET_CLOCK_AND_SOC ? u16be_at(data, 6) : 0;
}

/* ---- replies of one frame that are a fixed layout: sheet 5. Bytes that no row names are left over from
 * the reply before or junk. ---- */

static const struct number_row pack_numbers[] = {
	{0, RAW_U16BE, 10, 0, Q_VOLTAGE_V},
	{6, RAW_U16BE, 10, 0, Q_SOC_PCT},
};

static const struct number_row cell_range_numbers[] = {
	{0, RAW_U16BE, 1000, 0, Q_CELL_MAX_V},
	{2, RAW_U8, 1, 0, Q_CELL_MAX_NO},
	{3, RAW_U16BE, 1000, 0, Q_CELL_MIN_V},
	{5, RAW_U8, 1, 0, Q_CELL_MIN_NO},
};

static const struct number_row temp_range_numbers[] = {
	{0, RAW_U8, 1, -40, Q_TEMP_MAX_C},
	{1, RAW_U8, 1, 0, Q_TEMP_MAX_NO},
	{2, RAW_U8, 1, -40, Q_TEMP_MIN_C},
	{3, RAW_U8, 1, 0, Q_TEMP_MIN_NO},
};

static const struct number_row mos_numbers[] = {{4, RAW_U32BE, 1000, 0, Q_CAPACITY_REMAINING_AH}};

static const struct detail_row mos_details[] = {
	{0, RAW_U8, 1, 0, "state"},
	{3, RAW_U8, 1, 0, "heartbeat"},
};

static const struct number_row status_numbers[] = {
	{0, RAW_U8, 1, 0, Q_CELL_COUNT},
	{5, RAW_U16BE, 1, 0, Q_CYCLES},
};

static const struct detail_row status_details[] = {
	{1, RAW_U8, 1, 0, "temp_sensor_count"},
	{2, RAW_U8, 1, 0, "charger_connected"},
	{3, RAW_U8, 1, 0, "load_connected"},
	{4, RAW_U8, 1, 0, "dio_bits"}, /* bits 0-3 DI1-DI4, 4-7 DO1-DO4 */
};

static const struct detail_row alarm_details[] = {{7, RAW_U8, 1, 0, "fault_code"}};

static const struct number_row total_numbers[] = {
	{0, RAW_U32BE, 1, 0, Q_TOTAL_CHARGE_AH},
	{4, RAW_U32BE, 1, 0, Q_TOTAL_DISCHARGE_AH},
};

static const struct setting_row capacity_settings[] = {
	{0, RAW_U32BE, 1000, 0, "capacity_design_Ah", SETTING_NUMBER},
	{4, RAW_U32BE, 1000, 0, "nominal_cell_V", SETTING_NUMBER},
};

static const struct setting_row type_settings[] = {
	{5, RAW_U16BE, 1, 0, "sleep_time_s", SETTING_NUMBER}}; /* FFFF: never */

/* Level 1 warns, level 2 opens the MOS. */
static const struct setting_row cell_settings[] = {
	{0, RAW_U16BE, 1000, 0, "cell_high_warning_V", SETTING_NUMBER},
	{2, RAW_U16BE, 1000, 0, "cell_ovp_V", SETTING_NUMBER},
	{4, RAW_U16BE, 1000, 0, "cell_low_warning_V", SETTING_NUMBER},
	{6, RAW_U16BE, 1000, 0, "cell_uvp_V", SETTING_NUMBER},
};

static const struct setting_row pack_settings[] = {
	{0, RAW_U16BE, 10, 0, "pack_high_warning_V", SETTING_NUMBER},
	{2, RAW_U16BE, 10, 0, "pack_ovp_V", SETTING_NUMBER},
	{4, RAW_U16BE, 10, 0, "pack_low_warning_V", SETTING_NUMBER},
	{6, RAW_U16BE, 10, 0, "pack_uvp_V", SETTING_NUMBER},
};

/* Which is charge and which discharge is not certain: as they stand, with their sign. */
static const struct setting_row current_settings[] = {
	{0, RAW_U16BE, 10, -30000, "current_threshold_1_A", SETTING_NUMBER},
	{2, RAW_U16BE, 10, -30000, "current_threshold_2_A", SETTING_NUMBER},
	{4, RAW_U16BE, 10, -30000, "current_threshold_3_A", SETTING_NUMBER},
	{6, RAW_U16BE, 10, -30000, "current_threshold_4_A", SETTING_NUMBER},
};

static const struct setting_row balance_settings[] = {
	{0, RAW_U16BE, 1000, 0, "balance_start_V", SETTING_NUMBER},
	{2, RAW_U16BE, 1000, 0, "balance_trigger_V", SETTING_NUMBER},
};

static const struct setting_row short_circuit_settings[] = {
	{0, RAW_U16BE, 1, 0, "short_circuit_A", SETTING_NUMBER},
	{2, RAW_U16BE, 1000, 0, "shunt_mOhm", SETTING_NUMBER},
};

#define NONE NULL, 0

static const struct layout {
	uint8_t code;
	const struct number_row *numbers;
	size_t number_count;
	const struct detail_row *details;
	size_t detail_count;
	const struct setting_row *settings;
	size_t setting_count;
} layouts[] = {
	{DALY_CMD_PACK, ROWS(pack_numbers), NONE, NONE},
	{DALY_CMD_CELL_RANGE, ROWS(cell_range_numbers), NONE, NONE},
	{DALY_CMD_TEMP_RANGE, ROWS(temp_range_numbers), NONE, NONE},
	{DALY_CMD_MOS, ROWS(mos_numbers), ROWS(mos_details), NONE},
	{DALY_CMD_STATUS, ROWS(status_numbers), ROWS(status_details), NONE},
	{DALY_CMD_ALARMS, NONE, ROWS(alarm_details), NONE},
	{DALY_CMD_CAPACITY, NONE, NONE, ROWS(capacity_settings)},
	{DALY_CMD_TOTALS, ROWS(total_numbers), NONE, NONE},
	{DALY_CMD_TYPE, NONE, NONE, ROWS(type_settings)},
	{DALY_CMD_CELL_THRESHOLDS, NONE, NONE, ROWS(cell_settings)},
	{DALY_CMD_PACK_THRESHOLDS, NONE, NONE, ROWS(pack_settings)},
	{DALY_CMD_CURRENT_THRESHOLDS, NONE, NONE, ROWS(current_settings)},
	{DALY_CMD_BALANCE_THRESHOLDS, NONE, NONE, ROWS(balance_settings)},
	{DALY_CMD_SHORT_CIRCUIT, NONE, NONE, ROWS(short_circuit_settings)},
};

static void take_layout(struct device *dev, uint8_t code, struct bytes data)
{
	for (const struct layout *l = layouts; l < layouts + sizeof(layouts) / sizeof(layouts[0]); l++) {
		if (l->code != code)
			continue;
		table_numbers(l->numbers, l->number_count, data, &dev->reading);
		table_details(l->details, l->detail_count, data, &dev->reading);
		table_settings(l->settings, l->setting_count, data, &dev->settings);
	}
}

/* The first n data bytes as one number, byte 0 lowest. */
static uint64_t bits_of(struct bytes data, size_t n)
{
	uint64_t word = 0;

	for (size_t i = 0; i < n; i++)
		word |= (uint64_t)u8_at(data, i) << (8 * i);
	return word;
}

/* ---- what a table can't say ---- */

static unsigned cell_count(const struct device *dev)
{
	return reading_knows(&dev->reading, Q_CELL_COUNT) ? (unsigned)dev->reading.number[Q_CELL_COUNT] : 0;
}

static void take_current(struct device *dev, struct bytes data)
{
	int into = 30000 - u16be_at(data, 4); /* 0.1 A */
	double gathered = u16be_at(data, 2) / 10.0;

	reading_set(&dev->reading, Q_CURRENT_A, (dev->options.invert_current ? -into : into) / 10.0);
	/* Most boards leave the second voltage 0. */
	reading_set_detail(&dev->reading, "gathered_voltage_V", gathered > 0 ? gathered : NAN);
}

/* A counter that stands still over many polls: the board hangs and repeats old values. */
static void watch_heartbeat(struct device *dev, uint8_t heartbeat)
{
	struct daly_payload_state *s = dev->state;

	if (!s->heartbeat_known || s->heartbeat != heartbeat)
		s->frozen = 0;
	else if (s->frozen < FROZEN_POLLS)
		s->frozen++;
	s->heartbeat_known = true;
	s->heartbeat = heartbeat;
	reading_set_detail(&dev->reading, "heartbeat_frozen", s->frozen == FROZEN_POLLS ? 1 : NAN);
}

static void take_mos(struct device *dev, struct bytes data)
{
	struct reading *r = &dev->reading;

	reading_set_flag(r, F_CHARGE_MOS, u8_at(data, 1));
	reading_set_flag(r, F_DISCHARGE_MOS, u8_at(data, 2));
	reading_set_flag(r, F_CHARGE_ALLOWED, u8_at(data, 1));
	reading_set_flag(r, F_DISCHARGE_ALLOWED, u8_at(data, 2));
	watch_heartbeat(dev, u8_at(data, 3));
	daly_compare_direction(&dev->reading, &((struct daly_payload_state *)dev->state)->contradictions);
}

static void forget_temp_range(struct reading *r)
{
	static const enum quantity range[] = {Q_TEMP_MAX_C, Q_TEMP_MAX_NO, Q_TEMP_MIN_C, Q_TEMP_MIN_NO};

	for (size_t i = 0; i < sizeof(range) / sizeof(range[0]); i++)
		reading_forget(r, range[i]);
}

static void take_status(struct device *dev, struct bytes data)
{
	struct daly_payload_state *s = dev->state;

	s->sensors = u8_at(data, 1);
	s->sensors_known = true;
	if (s->sensors)
		return;
	series_start(&dev->reading.temperatures, 0);
	forget_temp_range(&dev->reading);
}

static void take_balancing(struct device *dev, struct bytes data)
{
	struct reading *r = &dev->reading;

	r->balancing = bits_of(data, 6);
	if (cell_count(dev))
		r->balancing &= (UINT64_C(1) << cell_count(dev)) - 1;
	r->balancing_known = true;
	reading_set_flag(r, F_BALANCING_ACTIVE, r->balancing != 0);
}

/* The installed capacity is all that this board knows of a full one. */
static void take_capacity(struct device *dev, struct bytes data)
{
	double full = u32be_at(data, 0) / 1000.0;

	if (full <= 0)
		return;
	reading_set(&dev->reading, Q_CAPACITY_DESIGN_AH, full);
	reading_set(&dev->reading, Q_CAPACITY_FULL_AH, full);
}

static void take_boards(struct device *dev, struct bytes data)
{
	static const char *const cells[] = {"board1_cells", "board2_cells", "board3_cells"};
	static const char *const sensors[] = {"board1_sensors", "board2_sensors", "board3_sensors"};
	unsigned boards = u8_at(data, 0);

	settings_set_number(&dev->settings, "boards", boards);
	for (unsigned i = 0; i < boards && i < 3; i++) {
		settings_set_number(&dev->settings, cells[i], u8_at(data, 1 + i));
		settings_set_number(&dev->settings, sensors[i], u8_at(data, 4 + i));
	}
}

/* Year from 2000, month, day; "" when that is no date. */
static void date_text(struct bytes at, char out[16])
{
	unsigned year = u8_at(at, 0), month = u8_at(at, 1), day = u8_at(at, 2);

	out[0] = 0;
	if (year <= 99 && month >= 1 && month <= 12 && day >= 1 && day <= 31)
		snprintf(out, 16, "%04u-%02u-%02u", 2000 + year, month, day);
}

static void take_type(struct device *dev, struct bytes data)
{
	char text[16];

	bytes_hex(bytes_sub(data, 0, 2), text, sizeof(text));
	settings_set_text(&dev->settings, "battery_type_and_mode", text); /* which is which is not certain */
	date_text(bytes_sub(data, 2, 3), text);
	reading_set_text(&dev->reading, T_PRODUCTION_DATE, text);
}

static void take_clock(struct device *dev, struct bytes data)
{
	char date[16], text[MAX_SETTING_TEXT];

	date_text(data, date);
	if (!date[0] || u8_at(data, 3) > 23 || u8_at(data, 4) > 59 || u8_at(data, 5) > 59)
		return;
	snprintf(text, sizeof(text), "%s %02u:%02u:%02u", date, u8_at(data, 3), u8_at(data, 4), u8_at(data, 5));
	settings_set_text(&dev->settings, "clock", text);
}

/* What is known to be there, but not what it means. */
static void take_hex(struct device *dev, const char *name, struct bytes data)
{
	char text[2 * DALY_DATA_SIZE + 1];

	bytes_hex(data, text, sizeof(text));
	settings_set_text(&dev->settings, name, text);
}

static void take_firmware_index(struct device *dev, struct bytes data)
{
	char text[DALY_DATA_SIZE + 1];

	bytes_text(data, text, sizeof(text));
	settings_set_text(&dev->settings, "firmware_index", text);
}

static bool believable(uint8_t code, struct bytes data, const char **why)
{
	if (code == DALY_CMD_PACK && u16be_at(data, 6) > 1000)
		*why = "SoC above 100 %";
	else if (code == DALY_CMD_STATUS && (u8_at(data, 0) < 1 || u8_at(data, 0) > DALY_MAX_CELLS))
		*why = "cell count outside 1..48";
	else if (code == DALY_CMD_STATUS && u8_at(data, 1) > DALY_MAX_SENSORS)
		*why = "more than 16 temperature sensors";
	else
		return true;
	return false;
}

static enum verdict take_single(struct device *dev, uint8_t code, struct bytes data, const char **why)
{
	if (!believable(code, data, why))
		return FRAME_BAD;
	take_layout(dev, code, data);
	switch (code) {
	case DALY_CMD_PACK:
		take_current(dev, data);
		break;
	case DALY_CMD_MOS:
		take_mos(dev, data);
		break;
	case DALY_CMD_STATUS:
		take_status(dev, data);
		break;
	case DALY_CMD_BALANCING:
		take_balancing(dev, data);
		break;
	case DALY_CMD_ALARMS:
		daly_take_alarms(&dev->reading.alarms, bits_of(data, 7), dev->options.invert_current);
		break;
	case DALY_CMD_CAPACITY:
		take_capacity(dev, data);
		break;
	case DALY_CMD_BOARDS:
		take_boards(dev, data);
		break;
	case DALY_CMD_TYPE:
		take_type(dev, data);
		break;
	case DALY_CMD_FIRMWARE_INDEX:
		take_firmware_index(dev, data);
		break;
	case DALY_CMD_TEMPERATURE_THRESHOLDS:
		take_hex(dev, "temperature_thresholds_raw", data);
		break;
	case DALY_CMD_SOC_THRESHOLDS:
		take_hex(dev, "soc_thresholds_raw", data);
		break;
	case DALY_CMD_DIFFERENCE_THRESHOLDS:
		take_hex(dev, "difference_thresholds_raw", data);
		break;
	case DALY_CMD_CLOCK:
		take_clock(dev, data);
		break;
	case DALY_CMD_FAILURES:
		take_hex(dev, "failures_raw", data);
		break;
	}
	return FRAME_ANSWER;
}

/* ---- replies of several frames: 95, 96 and the texts ---- */

unsigned daly_most_parts(uint16_t code)
{
	switch (code) {
	case DALY_CMD_BATTERY_CODE:
		return 5;
	case DALY_CMD_CELLS:
	case DALY_CMD_TEMPERATURES:
	case DALY_CMD_FIRMWARE:
	case DALY_CMD_HARDWARE:
		return DALY_MAX_PARTS;
	default:
		return 0;
	}
}

static struct daly_habit *habit_of(struct daly_payload_state *s, uint16_t code)
{
	return code == DALY_CMD_CELLS ? &s->cells : code == DALY_CMD_TEMPERATURES ? &s->temperatures : NULL;
}

/* The frames that hold something; 0: not known. */
static unsigned needed_parts(const struct device *dev, uint16_t code)
{
	const struct daly_payload_state *s = dev->state;

	if (code == DALY_CMD_CELLS)
		return (cell_count(dev) + CELLS_PER_PART - 1) / CELLS_PER_PART;
	if (code == DALY_CMD_TEMPERATURES && s->sensors_known)
		return (s->sensors + DALY_PART_SIZE - 1u) / DALY_PART_SIZE;
	return 0;
}

static bool has_parts(const struct daly_payload_state *s, unsigned n)
{
	unsigned all = (1u << n) - 1;

	return (s->got & all) == all;
}

static unsigned highest_part(const struct daly_payload_state *s)
{
	unsigned n = 0;

	while (n < DALY_MAX_PARTS && s->got >> n)
		n++;
	return n;
}

/* 91 and 92 are asked apart from the values that they sum up. What these do not bear out is of another
 * moment: dropped. */
static void check_extreme(struct reading *r, const struct series *s, enum quantity value, enum quantity number,
			  int sign)
{
	double extreme = reading_get(r, value), no = reading_get(r, number);
	bool holds =
		no >= 1 && no <= s->count && series_knows(s, (unsigned)no - 1) && s->value[(unsigned)no - 1] == extreme;

	for (unsigned i = 0; i < s->count; i++)
		if (series_knows(s, i) && sign * s->value[i] > sign * extreme)
			holds = false;
	if (holds)
		return;
	reading_forget(r, value);
	reading_forget(r, number);
}

static double cell_voltage(const struct daly_payload_state *s, unsigned cell)
{
	struct bytes parts = {s->part, sizeof(s->part)};

	return u16be_at(parts, DALY_PART_SIZE * (cell / CELLS_PER_PART) + 2 * (cell % CELLS_PER_PART)) / 1000.0;
}

static bool finish_cells(struct device *dev, unsigned parts, const char **why)
{
	const struct daly_payload_state *s = dev->state;
	struct reading *r = &dev->reading;
	unsigned cells = cell_count(dev);

	/* While 94 has not told how many there are: the empty places at the end are none. */
	if (!cells)
		for (cells = CELLS_PER_PART * parts; cells && cell_voltage(s, cells - 1) <= 0;)
			cells--;
	if (!cells) {
		*why = "no cell in the reply";
		return false;
	}
	series_start(&r->cell_V, cells);
	for (unsigned i = 0; i < cells; i++)
		series_set(&r->cell_V, i, cell_voltage(s, i));
	check_extreme(r, &r->cell_V, Q_CELL_MAX_V, Q_CELL_MAX_NO, 1);
	check_extreme(r, &r->cell_V, Q_CELL_MIN_V, Q_CELL_MIN_NO, -1);
	return true;
}

static void finish_temperatures(struct device *dev, unsigned parts)
{
	const struct daly_payload_state *s = dev->state;
	struct reading *r = &dev->reading;
	const uint8_t *raw = s->part;
	unsigned sensors = s->sensors;

	if (!s->sensors_known) {
		sensors = DALY_PART_SIZE * parts < DALY_MAX_SENSORS ? DALY_PART_SIZE * parts : DALY_MAX_SENSORS;
		while (sensors && !raw[sensors - 1])
			sensors--;
	}
	series_start(&r->temperatures, sensors);
	for (unsigned i = 0; i < sensors; i++)
		series_set(&r->temperatures, i, raw[i] ? raw[i] - 40 : NAN);
	check_extreme(r, &r->temperatures, Q_TEMP_MAX_C, Q_TEMP_MAX_NO, 1);
	check_extreme(r, &r->temperatures, Q_TEMP_MIN_C, Q_TEMP_MIN_NO, -1);
}

static void finish_text(struct device *dev, uint16_t code, unsigned parts)
{
	const struct daly_payload_state *s = dev->state;
	char text[MAX_TEXT];

	bytes_text((struct bytes){s->part, (size_t)DALY_PART_SIZE * parts}, text, sizeof(text));
	reading_set_text(&dev->reading,
			 code == DALY_CMD_BATTERY_CODE ? T_SERIAL_NUMBER
			 : code == DALY_CMD_FIRMWARE   ? T_FIRMWARE_VERSION
						       : T_HARDWARE_VERSION,
			 text);
}

static enum verdict finish_parts(struct device *dev, uint16_t code, unsigned parts, const char **why)
{
	struct daly_payload_state *s = dev->state;

	s->got = s->fresh = 0;
	if (code == DALY_CMD_CELLS) {
		if (!finish_cells(dev, parts, why))
			return FRAME_BAD;
	} else if (code == DALY_CMD_TEMPERATURES) {
		finish_temperatures(dev, parts);
	} else {
		finish_text(dev, code, parts);
	}
	return FRAME_ANSWER;
}

static enum verdict take_part(struct device *dev, uint16_t code, struct bytes data, bool exact, const char **why)
{
	struct daly_payload_state *s = dev->state;
	const struct daly_habit *habit = habit_of(s, code);
	unsigned index = u8_at(data, 0), needed = needed_parts(dev, code), last = daly_most_parts(code);

	if (index < 1 || index > daly_most_parts(code)) {
		*why = "frame index out of range";
		return FRAME_BAD;
	}
	memcpy(s->part + (size_t)DALY_PART_SIZE * (index - 1), data.p + 1, DALY_PART_SIZE);
	s->got |= (uint16_t)(1u << (index - 1));
	s->fresh |= (uint16_t)(1u << (index - 1));
	if (exact && needed)
		last = needed;
	else if (habit && habit->known && habit->known >= needed)
		last = habit->known;
	/* Whatever is there already, what is still to come is waited for. */
	return has_parts(s, last) && s->fresh >> (last - 1) ? finish_parts(dev, code, last, why) : FRAME_PART;
}

/* The line has fallen silent: is everything there? */
static enum verdict end_parts(struct device *dev, uint16_t code, const char **why)
{
	struct daly_payload_state *s = dev->state;
	struct daly_habit *habit = habit_of(s, code);
	unsigned parts = highest_part(s), needed = needed_parts(dev, code);

	if (!parts || !has_parts(s, needed ? needed : parts)) {
		s->fresh = 0;
		*why = "a frame of the reply is missing";
		return FRAME_BAD;
	}
	if (habit) {
		habit->known = habit->last == parts ? (uint8_t)parts : 0;
		habit->last = (uint8_t)parts;
	}
	return finish_parts(dev, code, parts, why);
}

/* ---- verdicts ---- */

static enum verdict take_acknowledgement(const struct request *pending, struct bytes data, const char **why)
{
	bool of_switch = pending->code == DALY_CMD_SET_CHARGE || pending->code == DALY_CMD_SET_DISCHARGE;

	if (!of_switch || u8_at(data, 0) == pending->arg)
		return FRAME_ANSWER;
	*why = "the board acknowledges the opposite";
	return FRAME_REFUSED;
}

enum verdict daly_take_data(struct device *dev, const struct request *pending, struct bytes data, bool exact,
			    const char **why)
{
	struct daly_payload_state *s = dev->state;
	bool silence = !data.n;
	enum verdict verdict;

	if (silence && !daly_most_parts(pending->code))
		return FRAME_FOREIGN;
	/* What an incomplete reply has brought is kept for its repetition, and for nothing else. */
	if (s->code != pending->code)
		s->got = s->fresh = 0;
	s->code = pending->code;
	if (daly_is_write(pending->code))
		return take_acknowledgement(pending, data, why);
	if (silence)
		verdict = end_parts(dev, pending->code, why);
	else if (daly_most_parts(pending->code))
		verdict = take_part(dev, pending->code, data, exact, why);
	else
		verdict = take_single(dev, (uint8_t)pending->code, data, why);
	if (verdict == FRAME_ANSWER)
		reading_set(&dev->reading, Q_ADDRESS, pending->address);
	return verdict;
}

/* Sheet 4. */
bool daly_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;
	double per_cell = reading_get(r, Q_VOLTAGE_V) / reading_get(r, Q_CELL_COUNT);

	if (!reading_knows(r, Q_VOLTAGE_V) || !reading_knows(r, Q_CELL_COUNT))
		*why = "90 and 94 have not both been answered";
	else if (per_cell < 1.5 || per_cell > 4.5)
		*why = "pack voltage outside 1.5..4.5 V per cell";
	else if (reading_detail(r, "charger_connected") > 1 || reading_detail(r, "load_connected") > 1)
		*why = "94 bytes 2 and 3 are no switches";
	else if (reading_detail(r, "state") > DISCHARGING)
		*why = "93 state outside 0..2";
	else
		return reading_plausible(r, why);
	return false;
}

/* ---- commands: sheet 7 ---- */

enum { READ_BACK_WAIT_MS = 400, MOS_READ_BACKS = 5, SOC_READ_BACKS = 6, CLOCK_SET_YEAR = 2020 };

static bool protection_acts(const struct reading *r)
{
	for (unsigned a = 0; a < ALARM_COUNT; a++)
		if (r->alarms.level[a] == ALARM_RAISED)
			return true;
	for (unsigned i = 0; i < r->alarms.own_count; i++)
		if (r->alarms.own[i].level == ALARM_RAISED)
			return true;
	return false;
}

/* The switch does not read back as wanted. */
static void end_switch(struct device *dev, struct procedure *p, struct next *next, enum step_result sent,
		       const char *why)
{
	const char *name = p->command->kind == COMMAND_CHARGE ? "charge" : "discharge";
	bool want_on = p->command->value != 0;

	if (step_result(p) != STEP_ANSWERED) {
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
		return;
	}
	if (!step_ask(dev, p, next, DALY_CMD_ALARMS, 0))
		return;
	if (sent == STEP_REFUSED)
		step_end(next, COMMAND_REFUSED, "%s", why);
	else if (sent == STEP_SILENT)
		step_end(next, COMMAND_UNCONFIRMED, "no acknowledgement, and the %s MOS stays %s", name,
			 want_on ? "off" : "on");
	else if (want_on && protection_acts(&dev->reading))
		step_end(next, COMMAND_UNCONFIRMED,
			 "acknowledged, but the %s MOS stays off: a protection holds it (see Alarms)", name);
	else
		step_end(next, COMMAND_UNCONFIRMED, "acknowledged, but the %s MOS reads back %s", name,
			 want_on ? "off" : "on");
}

static void proceed_switch(struct device *dev, struct procedure *p, struct next *next)
{
	bool charge = p->command->kind == COMMAND_CHARGE;
	bool want_on = p->command->value != 0;

	if (!step_ask(dev, p, next, charge ? DALY_CMD_SET_CHARGE : DALY_CMD_SET_DISCHARGE, want_on))
		return;
	enum step_result sent = step_result(p);
	const char *why = step_why(p);
	for (int i = 0; i < MOS_READ_BACKS; i++) {
		if (i && !step_wait(p, next, READ_BACK_WAIT_MS))
			return;
		if (!step_ask(dev, p, next, DALY_CMD_MOS, 0))
			return;
		bool on = reading_flag(&dev->reading, charge ? F_CHARGE_MOS : F_DISCHARGE_MOS) == ON;
		if (step_result(p) == STEP_ANSWERED && on == want_on) {
			step_end(next, COMMAND_DONE, "%s%s MOS reads back %s",
				 sent == STEP_ANSWERED ? "" : "not acknowledged, but the ",
				 charge ? "charge" : "discharge", on ? "on" : "off");
			return;
		}
	}
	end_switch(dev, p, next, sent, why);
}

bool daly_soc_reads_back(struct device *dev, struct procedure *p, struct next *next, uint32_t wait_ms, unsigned times,
			 uint32_t *seen)
{
	double want = p->command->value;

	for (unsigned i = 1; i <= times; i++) {
		if (!step_wait(p, next, wait_ms))
			return true;
		if (!step_ask(dev, p, next, DALY_CMD_PACK, 0))
			return true;
		double got = reading_get(&dev->reading, Q_SOC_PCT);
		if (step_is_new(p) && step_result(p) == STEP_ANSWERED && fabs(got - want) <= 0.5)
			*seen = i;
		if (*seen != i)
			continue;
		if (!step_ask(dev, p, next, DALY_CMD_MOS, 0))
			return true;
		step_end(next, COMMAND_DONE, "SoC reads back %g %%, remaining capacity %g Ah", got,
			 reading_get(&dev->reading, Q_CAPACITY_REMAINING_AH));
		return true;
	}
	return false;
}

void daly_soc_unconfirmed(struct device *dev, const struct procedure *p, struct next *next)
{
	if (step_result(p) == STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the SoC reads back %g %%",
			 reading_get(&dev->reading, Q_SOC_PCT));
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
}

bool daly_knows_time(const struct procedure *p)
{
	return p->now.year >= CLOCK_SET_YEAR && p->now.year < 2100;
}

/* No reply to 21 has ever been captured: what 90 says afterwards decides. */
static void proceed_soc(struct device *dev, struct procedure *p, struct next *next)
{
	struct daly_payload_state *s = dev->state;

	if (!daly_knows_time(p)) {
		step_end(next, COMMAND_REFUSED, "the same frame sets the board's clock, and this computer's says %d",
			 p->now.year);
		return;
	}
	s->now = p->now;
	if (!step_ask(dev, p, next, DALY_CMD_SET_CLOCK_AND_SOC, (uint16_t)lround(10 * p->command->value)))
		return;
	if (!daly_soc_reads_back(dev, p, next, READ_BACK_WAIT_MS, SOC_READ_BACKS, &p->memo[0]))
		daly_soc_unconfirmed(dev, p, next);
}

void daly_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	if (p->command->kind == COMMAND_SOC)
		proceed_soc(dev, p, next);
	else if (p->command->kind == COMMAND_CHARGE || p->command->kind == COMMAND_DISCHARGE)
		proceed_switch(dev, p, next);
	else
		step_end(next, COMMAND_REFUSED, "balancing can't be switched on this line");
}

/* ---- what may be asked ---- */

bool daly_cells_unknown(const struct device *dev)
{
	return !dev->reading.cell_V.reported;
}

bool daly_temperatures_unknown(const struct device *dev)
{
	return !dev->reading.temperatures.reported;
}

bool daly_has_sensors(const struct device *dev)
{
	const struct daly_payload_state *s = dev->state;

	return !s->sensors_known || s->sensors;
}
