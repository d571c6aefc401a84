/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The JSON dialect of felicity: framing by braces, and the keys of the sheet. One battery is told of, the one that
 * the module sits in: where it gives a value both for the stack and for its own battery, the latter counts. */
#include "protocols/felicity_json.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/table.h"

#define UNREAD_V 0.5 /* a cell below is an open sense wire */

enum {
	COMM_VER = 1,
	CELL_PLACES = 16,
	SENSOR_PLACES = 8,
	NOTHING = 65535,	/* of any number */
	NOTHING_UNSIGNED = -1,	/* also */
	NOTHING_SIGNED = 32767, /* also */
	FIRST_MS = 2000,
	GAP_MS = 300, /* notifications come every 20 ms at best */
};

/* ---- requests ---- */

static const struct {
	uint16_t code;
	const char *text;
} requests[] = {
	{FELICITY_JSON_REAL, "wifilocalMonitor:get dev real infor"},
	{FELICITY_JSON_BASIC, "wifilocalMonitor:get dev basice infor"},
	{FELICITY_JSON_DATE, "wifilocalMonitor:get Date"},
};

enum { REQUESTS = sizeof(requests) / sizeof(requests[0]) };

static struct bytes text_bytes(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void build(const struct protocol *p, unsigned i, uint16_t arg, struct request *out)
{
	request_start(out, p, 0, FELICITY_JSON, requests[i].code, arg);
	request_put(out, text_bytes(requests[i].text));
	out->first_ms = FIRST_MS;
	out->gap_ms = GAP_MS;
}

bool felicity_json_encode(const struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	for (unsigned i = 0; i < REQUESTS; i++) {
		if (requests[i].code != code)
			continue;
		build(dev->protocol, i, arg, out);
		return true;
	}
	return false;
}

bool felicity_json_parse_request(const struct protocol *p, struct bytes tx, struct request *out)
{
	for (unsigned i = 0; i < REQUESTS; i++) {
		if (!bytes_equal(tx, text_bytes(requests[i].text)))
			continue;
		build(p, i, 0, out);
		return true;
	}
	return false;
}

/* ---- framing ---- */

static size_t next_brace(struct bytes in, size_t from)
{
	return bytes_find(in, text_bytes("{"), from);
}

/* Length of the object that in starts with; 0: it does not end in there. */
static size_t object_length(struct bytes in)
{
	size_t depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = in.p[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && c == '{')
			depth++;
		else if (!in_string && c == '}' && !--depth)
			return i + 1;
	}
	return 0;
}

int felicity_json_find_frame(struct bytes in, bool quiet, const char **why)
{
	if (in.p[0] != '{')
		return -(int)next_brace(bytes_sub(in, 0, MAX_FRAME), 0);
	size_t n = object_length(bytes_sub(in, 0, MAX_FRAME));

	if (n)
		return (int)n;
	if (!quiet && in.n < MAX_FRAME)
		return 0;
	/* A whole reply may stand behind the beginning of one that was broken off. */
	*why = in.n < MAX_FRAME ? "the reply is cut short" : "longer than any reply";
	return -(int)next_brace(bytes_sub(in, 0, MAX_FRAME), 1);
}

/* ---- values ---- */

/* A number of the reply: list[key][row][column]. A row of another number of columns is none: a piece of the reply got
 * lost. 0: any number, one for each battery. */
struct place {
	const char *key;
	uint8_t row, column, columns;
	bool is_signed;
	json_int_t highest;
};

struct value_row {
	struct place place;
	double divisor;
	enum quantity quantity;
};

/* Of two rows with the same quantity the later counts where it is told: the voltage at the terminals before the one
 * that the battery measures inside, the battery's own limits before those of the stack. */
static const struct value_row value_rows[] = {
	{{"BattList", 0, 0, 0, false, 200000}, 1000, Q_VOLTAGE_V},
	{{"Batt", 0, 0, 1, false, 200000}, 1000, Q_VOLTAGE_V},
	{{"BatsocList", 0, 0, 3, false, 10000}, 100, Q_SOC_PCT},
	{{"BatsocList", 0, 1, 3, false, 1000}, 10, Q_SOH_PCT},
	{{"BatsocList", 0, 2, 3, false, 5000000}, 1000, Q_CAPACITY_FULL_AH},
	{{"LVolCur", 0, 0, 2, false, 2000}, 10, Q_BMS_CVL_V},
	{{"LVolCur", 0, 1, 2, false, 2000}, 10, Q_BMS_DVL_V},
	{{"LVolCur", 1, 0, 2, false, NOTHING}, 10, Q_BMS_CCL_A},
	{{"LVolCur", 1, 1, 2, false, NOTHING}, 10, Q_BMS_DCL_A},
	{{"BLVolCu", 0, 0, 2, false, 2000}, 10, Q_BMS_CVL_V},
	{{"BLVolCu", 0, 1, 2, false, 2000}, 10, Q_BMS_DVL_V},
	{{"BLVolCu", 1, 0, 2, false, NOTHING}, 10, Q_BMS_CCL_A},
	{{"BLVolCu", 1, 1, 2, false, NOTHING}, 10, Q_BMS_DCL_A},
};

/* Numbers that stand under a key by themselves. The meaning of their bits is not known. */
static const struct {
	const char *key, *detail;
} word_rows[] = {
	{"Estate", "state_bits"},  {"Bstate", "battery_state_bits"},  {"Bfault", "fault_bits"},
	{"Bwarn", "warning_bits"}, {"BBfault", "battery_fault_bits"}, {"BBwarn", "battery_warning_bits"},
};

static bool wrong(const char **why, const char *what)
{
	*why = what;
	return false;
}

/* The number in *v, NAN where none is told. False: it is something else than a number of this range. */
static bool take_number(const json_t *j, bool is_signed, json_int_t highest, double *v, const char **why)
{
	*v = NAN;
	if (!j || json_is_null(j))
		return true;
	if (!json_is_integer(j))
		return wrong(why, "something else where a whole number belongs");
	json_int_t n = json_integer_value(j);

	if (n == NOTHING || n == (is_signed ? NOTHING_SIGNED : NOTHING_UNSIGNED))
		return true;
	if (n > highest || n < (is_signed ? -highest : 0))
		return wrong(why, "a number that no battery has");
	*v = (double)n;
	return true;
}

/* The list that is an element of list, NULL where there is none. */
static bool take_list(const json_t *j, const json_t **out, const char **why)
{
	*out = NULL;
	if (!j || json_is_null(j))
		return true;
	if (!json_is_array(j))
		return wrong(why, "something else where a list belongs");
	*out = j;
	return true;
}

/* The row that holds this place, NULL where it is not told: it is missing, or a single null. */
static bool take_row(const json_t *reply, const struct place *at, const json_t **out, const char **why)
{
	const json_t *rows;

	if (!take_list(json_object_get(reply, at->key), &rows, why) ||
	    !take_list(json_array_get(rows, at->row), out, why))
		return false;
	if (json_array_size(*out) == 1 && json_is_null(json_array_get(*out, 0)))
		*out = NULL;
	if (*out && at->columns && json_array_size(*out) != at->columns)
		return wrong(why, "a list of the wrong length");
	return true;
}

static bool take_place(const json_t *reply, const struct place *at, double *v, const char **why)
{
	const json_t *row;

	return take_row(reply, at, &row, why) &&
	       take_number(json_array_get(row, at->column), at->is_signed, at->highest, v, why);
}

static bool take_values(const json_t *reply, struct reading *r, const char **why)
{
	double v;

	for (size_t i = 0; i < sizeof(value_rows) / sizeof(value_rows[0]); i++)
		reading_forget(r, value_rows[i].quantity);
	for (size_t i = 0; i < sizeof(value_rows) / sizeof(value_rows[0]); i++) {
		if (!take_place(reply, &value_rows[i].place, &v, why))
			return false;
		if (isfinite(v))
			reading_set(r, value_rows[i].quantity, v / value_rows[i].divisor);
	}
	reading_set(r, Q_CAPACITY_REMAINING_AH, reading_get(r, Q_CAPACITY_FULL_AH) * reading_get(r, Q_SOC_PCT) / 100);
	return true;
}

/*
 * Positive = into the battery. -1 in the list of batteries is a current of -0.1 A as well as "no battery": the
 * voltage beside it tells.
 */
static bool take_current(const json_t *reply, struct reading *r, const char **why)
{
	static const struct place stack = {"Batt", 1, 0, 1, true, NOTHING_SIGNED},
				  battery_V = {"BattList", 0, 0, 0, false, 200000},
				  battery = {"BattList", 1, 0, 0, true, NOTHING_SIGNED};
	double voltage, mine, all;

	if (!take_place(reply, &battery_V, &voltage, why) || !take_place(reply, &battery, &mine, why) ||
	    !take_place(reply, &stack, &all, why))
		return false;
	reading_set(r, Q_CURRENT_A, (isfinite(voltage) && isfinite(mine) ? mine : all) / 10);
	reading_set_detail(r, "stack_current_A", all / 10);
	reading_set_detail(r, "pack_voltage_V", voltage / 1000);
	return true;
}

static bool take_series(const json_t *reply, const struct place *first, double divisor, struct series *s,
			const char **why)
{
	const json_t *row;
	double v;

	memset(s, 0, sizeof(*s));
	if (!take_row(reply, first, &row, why))
		return false;
	if (!row)
		return true;
	series_start(s, 0);
	for (unsigned i = 0; i < first->columns; i++) {
		if (!take_number(json_array_get(row, i), first->is_signed, first->highest, &v, why))
			return false;
		if (isfinite(v))
			series_set(s, i, v / divisor);
	}
	return true;
}

/* The reply has no checksum: where a piece of it got lost, two numbers may have run into one. A load that comes between
 * the two measurements makes far less than 10 %. */
static bool voltages_fit(const struct reading *r)
{
	double sum = 0, voltage = reading_get(r, Q_VOLTAGE_V);
	unsigned read = 0;

	for (unsigned i = 0; i < r->cell_V.count; i++) {
		if (!series_knows(&r->cell_V, i) || r->cell_V.value[i] < UNREAD_V)
			continue;
		sum += r->cell_V.value[i];
		read++;
	}
	return !read || !isfinite(voltage) || fabs(sum / read * r->cell_V.count - voltage) <= 0.1 * voltage;
}

static bool take_cells(const json_t *reply, struct reading *r, const char **why)
{
	static const struct place cells = {"BatcelList", 0, 0, CELL_PLACES, false, 5000};
	static const struct place sensors = {"BtemList", 0, 0, SENSOR_PLACES, true, 2000};

	if (!take_series(reply, &cells, 1000, &r->cell_V, why) ||
	    !take_series(reply, &sensors, 10, &r->temperatures, why))
		return false;
	reading_set(r, Q_CELL_COUNT, r->cell_V.count ? r->cell_V.count : NAN);
	if (!voltages_fit(r))
		return wrong(why, "its cells do not add up to its voltage");
	return true;
}

/* A fault whose meaning nobody knows is one all the same. */
static void raise_word(struct reading *r, const char *key, const char *name, enum alarm_level level)
{
	if (reading_detail(r, key) > 0)
		alarm_raise_own(&r->alarms, name, level);
}

static bool take_words(const json_t *reply, struct reading *r, const char **why)
{
	double v;

	for (size_t i = 0; i < sizeof(word_rows) / sizeof(word_rows[0]); i++) {
		if (!take_number(json_object_get(reply, word_rows[i].key), false, UINT32_MAX, &v, why))
			return false;
		reading_set_detail(r, word_rows[i].detail, v);
	}
	memset(&r->alarms, 0, sizeof(r->alarms));
	if (isfinite(reading_detail(r, "fault_bits")) && isfinite(reading_detail(r, "warning_bits")))
		alarms_clear(&r->alarms);
	raise_word(r, "fault_bits", "unknown_fault", ALARM_RAISED);
	raise_word(r, "battery_fault_bits", "unknown_fault", ALARM_RAISED);
	raise_word(r, "warning_bits", "unknown_warning", ALARM_WARNING);
	raise_word(r, "battery_warning_bits", "unknown_warning", ALARM_WARNING);
	return true;
}

/* size is that of text; "" where none is told. */
static bool take_text(const json_t *j, char *text, size_t size, const char **why)
{
	text[0] = 0;
	if (!j || json_is_null(j))
		return true;
	if (!json_is_string(j))
		return wrong(why, "something else where a text belongs");
	bytes_text(text_bytes(json_string_value(j)), text, size);
	return true;
}

/* Fourteen digits, year first. */
static bool take_clock(const json_t *reply, char out[MAX_SETTING_TEXT], const char **why)
{
	char text[MAX_TEXT];
	const char *t = text;

	out[0] = 0;
	if (!take_text(json_object_get(reply, "dateTime"), text, sizeof(text), why))
		return false;
	if (strlen(t) == 14 && strspn(t, "0123456789") == 14)
		snprintf(out, MAX_SETTING_TEXT, "%.4s-%.2s-%.2s %.2s:%.2s:%.2s", t, t + 4, t + 6, t + 8, t + 10,
			 t + 12);
	return true;
}

static bool take_serial(const json_t *reply, struct reading *r, const char **why)
{
	char text[MAX_TEXT];

	if (!take_text(json_object_get(reply, "DevSN"), text, sizeof(text), why))
		return false;
	if (text[0])
		reading_set_text(r, T_SERIAL_NUMBER, text);
	return true;
}

/* ---- replies ---- */

static bool take_real(const json_t *reply, struct reading *r, const char **why)
{
	return take_values(reply, r, why) && take_current(reply, r, why) && take_cells(reply, r, why) &&
	       take_words(reply, r, why) && take_serial(reply, r, why);
}

static bool take_basic(const json_t *reply, struct reading *r, const char **why)
{
	char text[16] = "";
	double version;

	if (!take_number(json_object_get(reply, "M1SwVer"), false, NOTHING, &version, why))
		return false;
	if (isfinite(version))
		snprintf(text, sizeof(text), "%.0f", version);
	reading_set_text(r, T_FIRMWARE_VERSION, text);
	return take_serial(reply, r, why);
}

/* The first reply that has one of these keys is that of this request. */
static const struct {
	const char *key;
	uint16_t code;
} marks[] = {
	{"Batt", FELICITY_JSON_REAL},	    {"BattList", FELICITY_JSON_REAL}, {"BatsocList", FELICITY_JSON_REAL},
	{"BatcelList", FELICITY_JSON_REAL}, {"M1SwVer", FELICITY_JSON_BASIC}, {"dateTime", FELICITY_JSON_DATE},
};

/* 0: the reply to none of our requests. */
static uint16_t code_of(const json_t *reply)
{
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (json_object_get(reply, marks[i].key))
			return marks[i].code;
	return 0;
}

static enum verdict take_reply(struct device *dev, uint16_t code, const json_t *reply, const char **why)
{
	struct reading r = dev->reading;
	const json_t *version = json_object_get(reply, "CommVer");
	char clock[MAX_SETTING_TEXT] = "";
	bool good = true;

	if (!json_is_integer(version) || json_integer_value(version) != COMM_VER) {
		*why = "CommVer is not 1";
		return FRAME_BAD;
	}
	if (code_of(reply) != code)
		return FRAME_FOREIGN;
	if (code == FELICITY_JSON_REAL)
		good = take_real(reply, &r, why);
	else if (code == FELICITY_JSON_BASIC)
		good = take_basic(reply, &r, why);
	else
		good = take_clock(reply, clock, why);
	if (!good)
		return FRAME_BAD;
	dev->reading = r;
	if (clock[0])
		settings_set_text(&dev->settings, "clock", clock);
	return FRAME_ANSWER;
}

enum verdict felicity_json_take(struct device *dev, uint16_t code, struct bytes frame, const char **why)
{
	json_error_t error;
	json_t *reply = json_loadb((const char *)frame.p, frame.n, JSON_REJECT_DUPLICATES, &error);
	enum verdict verdict = FRAME_BAD;

	if (reply)
		verdict = take_reply(dev, code, reply, why);
	else
		*why = "not JSON";
	json_decref(reply);
	return verdict;
}
