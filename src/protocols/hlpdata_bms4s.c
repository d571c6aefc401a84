/* SPDX-License-Identifier: GPL-3.0-or-later */
/* HLP Data BMS4S, sheet hlpdata-bms4s: commands of two letters, answered by lines of text without a checksum. The exact
 * blanks and line ends are not on record, so the parser bears with much, but believes no number that may be cut. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/protocol.h"

extern const struct protocol hlpdata_bms4s_protocol;

/* An old firmware knows `p` but not `m1` (sheet 5.4). */
enum dialect { MEASURES, PRINTS };

enum { CELLS = 4, FIXED_FIELDS = 13, MAX_FIELDS = FIXED_FIELDS + MAX_TEMPERATURES, MAX_LINE = 512 };

/* ---- requests: sheet 5 ---- */

enum code { VERSION, SETTINGS, MEASURED, EVENTS };

/* By code and dialect. A log of 50 lines is nearly 5 s long; settings come in one go of about 0.8 s. */
static const struct command_row {
	const char *text[2];
	uint16_t first_ms, gap_ms;
} commands[] = {
	/* The first \n ends what the unit has heard of requests that were not for it. */
	[VERSION] = {{"\npv\n", "\npv\n"}, 600, 100},
	[SETTINGS] = {{"ps\n", "ps\n"}, 2000, 250},
	[MEASURED] = {{"m1\n", "p\n"}, 600, 100},
	[EVENTS] = {{"pe\n", "pe\n"}, 4000, 250},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* What the lines of a reply in several lines have told so far, and what outlives it. */
struct hlp_state {
	bool size_told;	   /* this reply: BatterySize */
	uint8_t others;	   /* this reply: settings without a meaning of ours */
	uint8_t events;	   /* this reply */
	bool cables_heard; /* this reply */
	bool cables_bad;   /* by the last event log */
};

static struct bytes text_bytes(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void start_request(uint16_t code, uint8_t dialect, struct request *out)
{
	request_start(out, &hlpdata_bms4s_protocol, 0, dialect, code, 0);
	out->first_ms = commands[code].first_ms;
	out->gap_ms = commands[code].gap_ms;
}

static bool hlp_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	struct hlp_state *s = dev->state;

	(void)arg;
	if (code >= COMMANDS || dev->dialect > PRINTS)
		return false;
	start_request(code, dev->dialect, out);
	request_put(out, text_bytes(commands[code].text[dev->dialect]));
	*s = (struct hlp_state){.cables_bad = s->cables_bad};
	return true;
}

static struct bytes without_line_ends(struct bytes b)
{
	while (b.n && (b.p[0] == '\n' || b.p[0] == '\r'))
		b = bytes_sub(b, 1, b.n);
	while (b.n && (b.p[b.n - 1] == '\n' || b.p[b.n - 1] == '\r'))
		b.n--;
	return b;
}

static bool hlp_parse_request(struct bytes tx, struct request *out)
{
	if (!tx.n || tx.p[tx.n - 1] != '\n')
		return false;
	for (unsigned i = 0; i < 2 * COMMANDS; i++) {
		uint8_t dialect = (uint8_t)(i % 2);
		struct bytes text = text_bytes(commands[i / 2].text[dialect]);

		if (!bytes_equal(without_line_ends(tx), without_line_ends(text)))
			continue;
		start_request((uint16_t)(i / 2), dialect, out);
		request_put(out, tx);
		return true;
	}
	return false;
}

/* ---- framing: a frame is a line; sheet 3 ---- */

static bool is_end(uint8_t c)
{
	return c == '\n' || c == '\r';
}

static bool is_text(uint8_t c)
{
	return (c >= ' ' && c <= '~') || c == '\t';
}

static int hlp_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	bool sound = true;
	size_t n = 0;

	(void)pending;
	if (!is_text(in.p[0]))
		return -1; /* an empty line, or noise before one */
	for (; n < in.n && !is_end(in.p[n]); n++)
		sound = sound && is_text(in.p[n]);
	bool ended = n < in.n;
	if (n > MAX_LINE)
		return -(int)n;
	if (!ended && !quiet)
		return 0;
	n += ended;
	if (sound)
		return (int)n;
	*why = "a line with bytes that are no text";
	return -(int)n;
}

/* Ended by a line end, not by silence alone. */
static bool is_whole(struct bytes line)
{
	return line.n && is_end(line.p[line.n - 1]);
}

/* ---- words of a line ---- */

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static struct bytes skip_blanks(struct bytes b)
{
	while (b.n && (b.p[0] == ' ' || b.p[0] == '\t'))
		b = bytes_sub(b, 1, b.n);
	return b;
}

/*
 * Takes a decimal number off the front of *in, with a point or a comma in it. False: there is none. Not strtod(),
 * which would heed the user's locale.
 */
static bool take_number(struct bytes *in, double *out)
{
	enum { MAX_DIGITS = 15 }; /* exact in a double */
	struct bytes b = skip_blanks(*in);
	bool negative = u8_at(b, 0) == '-', fraction = false;
	unsigned digits = 0;
	double divisor = 1;
	int64_t value = 0;
	size_t at = negative || u8_at(b, 0) == '+';

	for (; at < b.n && digits < MAX_DIGITS; at++) {
		if (is_digit(b.p[at])) {
			value = 10 * value + (b.p[at] - '0');
			divisor *= fraction ? 10 : 1;
			digits++;
		} else if (!fraction && digits && (b.p[at] == '.' || b.p[at] == ',') && is_digit(u8_at(b, at + 1))) {
			fraction = true;
		} else {
			break;
		}
	}
	if (!digits)
		return false;
	*out = (double)(negative ? -value : value) / divisor;
	*in = bytes_sub(b, at, b.n);
	return true;
}

/* The field is one number and nothing else. */
static bool number_of(struct bytes field, double *out)
{
	return take_number(&field, out) && !skip_blanks(field).n;
}

static bool whole_number_of(struct bytes field, double min, double max, double *out)
{
	for (size_t i = 0; i < field.n; i++)
		if (field.p[i] == '.')
			return false;
	return number_of(field, out) && *out >= min && *out <= max;
}

static bool holds(struct bytes b, const char *text)
{
	return bytes_find(b, text_bytes(text), 0) < b.n;
}

/* What follows the first occurrence of text; empty when it is not there. */
static struct bytes behind(struct bytes b, const char *text)
{
	return bytes_sub(b, bytes_find(b, text_bytes(text), 0) + strlen(text), b.n);
}

static unsigned split_at_commas(struct bytes b, struct bytes *field, unsigned max)
{
	unsigned n = 0;

	while (n < max) {
		size_t comma = bytes_find(b, text_bytes(","), 0);

		field[n++] = bytes_sub(b, 0, comma);
		if (comma == b.n)
			break;
		b = bytes_sub(b, comma + 1, b.n);
	}
	return n;
}

/* ---- pv: sheet 5.1 ---- */

static enum verdict take_version(struct device *dev, struct bytes line)
{
	static const char name[] = "BMS4S";
	char text[MAX_TEXT];
	size_t at = bytes_find(line, text_bytes(name), 0);

	if (at == line.n || line.n < 12)
		return FRAME_FOREIGN;
	reading_set_text(&dev->reading, T_MODEL, name);
	bytes_text(bytes_sub(line, at, line.n), text, sizeof(text));
	reading_set_text(&dev->reading, T_HARDWARE_VERSION, text);
	bytes_text(behind(line, name), text, sizeof(text));
	reading_set_text(&dev->reading, T_FIRMWARE_VERSION, text);
	return FRAME_ANSWER;
}

/* ---- ps: sheet 5.2 ---- */

static const struct known_setting {
	const char *line, *name;
} known_settings[] = {
	{"BatterySize", "battery_size_Ah"},
	{"VoltHigh", "cell_ovp_V"},
	{"VoltLow", "cell_uvp_V"},
	{"VoltBalance", "balance_start_V"},
	{"VoltDifference", "cell_difference_V"},
	{"VoltAbsorbtion", "absorption_V"}, /* the unit spells it so */
	{"BalanceInit", "balance_init_Ah"},
};

/* Names for lines that the sheet gives no meaning: shown as they stand. */
static const char *const other_settings[] = {
	"other_1",  "other_2",	"other_3",  "other_4",	"other_5",  "other_6",	"other_7",
	"other_8",  "other_9",	"other_10", "other_11", "other_12", "other_13", "other_14",
	"other_15", "other_16", "other_17", "other_18", "other_19", "other_20",
};
#define OTHERS (sizeof(other_settings) / sizeof(other_settings[0]))

static const char *setting_name(struct bytes name)
{
	for (size_t i = 0; i < sizeof(known_settings) / sizeof(known_settings[0]); i++)
		if (bytes_equal(name, text_bytes(known_settings[i].line)))
			return known_settings[i].name;
	return NULL;
}

/* The unit does not tell it: sheet 5.3. */
static void note_remaining(struct reading *r)
{
	double full = reading_get(r, Q_CAPACITY_FULL_AH), soc = reading_get(r, Q_SOC_PCT);

	reading_set(r, Q_CAPACITY_REMAINING_AH, soc * full / 100); /* unknown while one of them is */
}

/* What follows from the settings; the limits are told per cell. */
static void note_setting(struct device *dev, const char *name, double value)
{
	struct hlp_state *s = dev->state;

	settings_set_number(&dev->settings, name, value);
	if (!strcmp(name, "battery_size_Ah")) {
		s->size_told = true;
		reading_set(&dev->reading, Q_CAPACITY_FULL_AH, value);
		note_remaining(&dev->reading);
	} else if (!strcmp(name, "cell_ovp_V")) {
		reading_set(&dev->reading, Q_BMS_CVL_V, CELLS * value);
	} else if (!strcmp(name, "cell_uvp_V")) {
		reading_set(&dev->reading, Q_BMS_DVL_V, CELLS * value);
	}
}

static void note_other_setting(struct device *dev, struct bytes line)
{
	struct hlp_state *s = dev->state;
	char text[MAX_SETTING_TEXT];

	if (s->others == OTHERS)
		return;
	bytes_text(bytes_sub(line, 0, bytes_find(line, text_bytes(":"), 0)), text, sizeof(text));
	settings_set_text(&dev->settings, other_settings[s->others++], text);
}

/* "Name= value unit: explanation" */
static enum verdict take_setting(struct device *dev, struct bytes line)
{
	size_t equals = bytes_find(line, text_bytes("="), 0);
	struct bytes name = skip_blanks(bytes_sub(line, 0, equals)), rest = bytes_sub(line, equals + 1, line.n);
	double value;

	while (name.n && name.p[name.n - 1] == ' ')
		name.n--;
	if (!name.n || equals == line.n || !is_whole(line))
		return FRAME_FOREIGN;
	if (!setting_name(name))
		note_other_setting(dev, line);
	else if (take_number(&rest, &value))
		note_setting(dev, setting_name(name), value);
	else
		return FRAME_FOREIGN;
	return FRAME_PART;
}

/* ---- m1 and p: sheet 5.3, 5.4 ---- */

/* What both tell. */
struct measured {
	double cell_V[CELLS], voltage_V, current_A, soc_pct;
};

static bool cells_fit(const struct measured *m)
{
	for (unsigned i = 0; i < CELLS; i++)
		if (m->cell_V[i] < 0.5 || m->cell_V[i] > 5)
			return false;
	return true;
}

static void take_measured(struct device *dev, const struct measured *m)
{
	const struct hlp_state *s = dev->state;
	struct reading *r = &dev->reading;

	series_start(&r->cell_V, CELLS);
	for (unsigned i = 0; i < CELLS; i++)
		series_set(&r->cell_V, i, m->cell_V[i]);
	reading_set(r, Q_VOLTAGE_V, m->voltage_V);
	reading_set(r, Q_CURRENT_A, m->current_A);
	reading_set(r, Q_SOC_PCT, m->soc_pct);
	note_remaining(r);
	if (s->cables_heard || s->cables_bad)
		alarm_raise(&r->alarms, ALARM_INTERNAL_FAILURE, ALARM_RAISED);
}

/* Sheet 6. A beep that it does not explain keeps its number. */
static const struct beep_row {
	uint8_t code;
	enum alarm_level level;
	enum alarm alarm;
	const char *name;
} beeps[] = {
	{1, ALARM_WARNING, ALARM_COUNT, "beep_1"},
	{2, ALARM_WARNING, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{3, ALARM_WARNING, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{4, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{5, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{6, ALARM_WARNING, ALARM_COUNT, "beep_6"},
	{7, ALARM_WARNING, ALARM_COUNT, "beep_7"},
	{8, ALARM_WARNING, ALARM_COUNT, "beep_8"},
	{9, ALARM_WARNING, ALARM_COUNT, "beep_9"},
};

static void take_beep(struct device *dev, double code)
{
	struct alarms *a = &dev->reading.alarms;
	bool explained = code == 0;

	reading_set_detail(&dev->reading, "beep", code);
	for (size_t i = 0; i < sizeof(beeps) / sizeof(beeps[0]); i++) {
		if (beeps[i].code != code)
			continue;
		explained = true;
		if (beeps[i].name)
			alarm_raise_own(a, beeps[i].name, beeps[i].level);
		else
			alarm_raise(a, beeps[i].alarm, beeps[i].level);
	}
	if (!explained)
		alarm_raise_own(a, "beep_above_9", ALARM_WARNING);
}

/* Sensors: "name value", where a name with b means the battery. */
static void take_sensors(struct device *dev, const struct bytes *field, unsigned n)
{
	static const char *const others[] = {"other_sensor_1", "other_sensor_2", "other_sensor_3"};
	struct series *battery = &dev->reading.temperatures;
	unsigned other = 0;

	series_start(battery, 0);
	for (unsigned i = 0; i < n; i++) {
		struct bytes sensor = skip_blanks(field[i]), value = sensor;
		bool of_battery = u8_at(sensor, 0) == 'b';
		double number;

		while (value.n && value.p[0] != ' ' && value.p[0] != '\t')
			value = bytes_sub(value, 1, value.n);
		bool told = take_number(&value, &number);
		if (of_battery)
			series_set(battery, battery->count, told ? number : NAN);
		else if (told && other < sizeof(others) / sizeof(others[0]))
			reading_set_detail(&dev->reading, others[other++], number);
	}
}

/* The fields behind the last "m1" that enough of them follow, or of a line whose "m1" went off as our echo. */
static unsigned m1_fields(struct bytes line, struct bytes field[MAX_FIELDS])
{
	struct bytes mark = text_bytes("m1"), at = line;
	unsigned n = 0;

	if (bytes_find(line, mark, 0) == line.n)
		n = split_at_commas(line, field, MAX_FIELDS);
	while (bytes_find(at, mark, 0) < at.n) {
		struct bytes further[MAX_FIELDS];
		at = behind(at, "m1");
		unsigned count = split_at_commas(at, further, MAX_FIELDS);

		if (count < FIXED_FIELDS && n >= FIXED_FIELDS)
			break;
		n = count;
		memcpy(field, further, sizeof(further));
	}
	return n;
}

/* From one digit before the first point on: something may stand before it. */
static struct bytes first_voltage(struct bytes field)
{
	size_t point = bytes_find(field, text_bytes("."), 0);

	return point && point < field.n ? bytes_sub(field, point - 1, field.n) : (struct bytes){NULL, 0};
}

static const char *parse_m1(const struct bytes *field, struct measured *m, double flag[2])
{
	m->voltage_V = 0;
	for (unsigned i = 0; i < CELLS; i++) {
		if (!number_of(i ? field[i] : first_voltage(field[0]), &m->cell_V[i]))
			return "a cell voltage that is no number";
		m->voltage_V += m->cell_V[i];
	}
	if (!cells_fit(m))
		return "a cell voltage that cannot be";
	if (!number_of(field[4], &m->current_A))
		return "a current that is no number";
	if (!whole_number_of(field[5], 0, 100, &m->soc_pct))
		return "a SoC that is none";
	if (!whole_number_of(field[6], 0, 1, &flag[0]) || !whole_number_of(field[7], 0, 1, &flag[1]))
		return "a switch that is neither 0 nor 1";
	return NULL;
}

/* Fields of which no more than their names is known. */
static void take_details(struct device *dev, const struct bytes *field)
{
	static const struct {
		unsigned at;
		const char *name;
	} rows[] = {{8, "aux_voltage_V"}, {9, "socnow"}, {10, "adj"}, {12, "led"}};
	double value;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (number_of(field[rows[i].at], &value))
			reading_set_detail(&dev->reading, rows[i].name, value);
}

static enum verdict take_m1(struct device *dev, struct bytes line, const char **why)
{
	struct reading *r = &dev->reading;
	struct bytes field[MAX_FIELDS];
	struct measured m;
	double flag[2], beep;
	bool whole = is_whole(line);

	if (!holds(line, ","))
		return FRAME_FOREIGN; /* an echo */
	if (whole)
		line.n--;
	unsigned n = m1_fields(line, field);
	n -= n && !whole; /* the last one may be cut */
	if (n < FIXED_FIELDS) {
		*why = "fewer than 13 fields";
		return FRAME_BAD;
	}
	*why = parse_m1(field, &m, flag);
	if (!*why && !whole_number_of(field[11], 0, 255, &beep))
		*why = "a beep code that is no number";
	if (*why)
		return FRAME_BAD;
	r->detail_count = 0;
	alarms_clear(&r->alarms);
	take_measured(dev, &m);
	reading_set_flag(r, F_CHARGE_ALLOWED, flag[0] != 0);
	reading_set_flag(r, F_CHARGE_MOS, flag[0] != 0);
	reading_set_flag(r, F_DISCHARGE_ALLOWED, flag[1] != 0);
	reading_set_flag(r, F_DISCHARGE_MOS, flag[1] != 0);
	take_details(dev, field);
	take_beep(dev, beep);
	take_sensors(dev, field + FIXED_FIELDS, n - FIXED_FIELDS);
	return FRAME_ANSWER;
}

/* "U=3.283 3.283 3.283 3.284 13.133 I=0.000 SoC=41": what a cut would spoil stands last, so the line must be whole. */
static enum verdict take_print(struct device *dev, struct bytes line, const char **why)
{
	struct bytes voltages = behind(line, "U="), current = behind(line, "I="), soc = behind(line, "SoC=");
	struct measured m;
	double sum = 0;
	bool told = true;

	if (!holds(line, "U="))
		return FRAME_FOREIGN;
	for (unsigned i = 0; i < CELLS && told; i++) {
		told = take_number(&voltages, &m.cell_V[i]);
		sum += told ? m.cell_V[i] : 0;
	}
	told = told && take_number(&voltages, &m.voltage_V) && take_number(&current, &m.current_A);
	if (!is_whole(line) || !told || !take_number(&soc, &m.soc_pct)) {
		*why = "a cut line";
		return FRAME_BAD;
	}
	if (!cells_fit(&m) || m.soc_pct < 0 || m.soc_pct > 100 || m.voltage_V - sum > 0.01 ||
	    sum - m.voltage_V > 0.01) {
		*why = "voltages that do not add up";
		return FRAME_BAD;
	}
	dev->reading.alarms = (struct alarms){.known = false}; /* it tells of none */
	take_measured(dev, &m);
	return FRAME_ANSWER;
}

/* ---- pe: sheet 5.5 ---- */

/* Name of an event, and of the Ah charged into each cell that some have. */
#define EVENT(n)                                                                                                       \
	{                                                                                                              \
		"event_" #n, "event_" #n "_cell_Ah"                                                                    \
	}
static const char *const event_names[][2] = {
	EVENT(1),  EVENT(2),  EVENT(3),	 EVENT(4),  EVENT(5),  EVENT(6),  EVENT(7),  EVENT(8),	EVENT(9),  EVENT(10),
	EVENT(11), EVENT(12), EVENT(13), EVENT(14), EVENT(15), EVENT(16), EVENT(17), EVENT(18), EVENT(19), EVENT(20),
	EVENT(21), EVENT(22), EVENT(23), EVENT(24), EVENT(25), EVENT(26), EVENT(27), EVENT(28), EVENT(29), EVENT(30),
	EVENT(31), EVENT(32), EVENT(33), EVENT(34), EVENT(35), EVENT(36), EVENT(37), EVENT(38), EVENT(39), EVENT(40),
	EVENT(41), EVENT(42), EVENT(43), EVENT(44), EVENT(45), EVENT(46), EVENT(47), EVENT(48), EVENT(49), EVENT(50),
};
#define MAX_EVENTS (sizeof(event_names) / sizeof(event_names[0]))

/* "CODE , v1 , v2 , v3 , v4 , total , current ," and perhaps four charges. */
static enum verdict take_event(struct device *dev, struct bytes line)
{
	enum { CODE, CELL, CURRENT = 6, CHARGE, WITH_CHARGE = 11, FIELDS };
	struct hlp_state *s = dev->state;
	struct bytes field[FIELDS];
	char code[4], text[MAX_SETTING_TEXT];
	double v[FIELDS] = {0};
	unsigned n = split_at_commas(line, field, FIELDS), numbers = 1;

	while (numbers < n && numbers < WITH_CHARGE && number_of(field[numbers], &v[numbers]))
		numbers++;
	if (!is_whole(line) || numbers <= CURRENT || bytes_text(field[CODE], code, sizeof(code)) != 3 ||
	    s->events == MAX_EVENTS)
		return FRAME_FOREIGN;
	snprintf(text, sizeof(text), "%s %.3f %.3f %.3f %.3f %.3f A", code, v[CELL], v[CELL + 1], v[CELL + 2],
		 v[CELL + 3], v[CURRENT]);
	settings_set_text(&dev->settings, event_names[s->events][0], text);
	if (numbers == WITH_CHARGE) {
		snprintf(text, sizeof(text), "%.3f %.3f %.3f %.3f", v[CHARGE], v[CHARGE + 1], v[CHARGE + 2],
			 v[CHARGE + 3]);
		settings_set_text(&dev->settings, event_names[s->events][1], text);
	}
	s->events++;
	return FRAME_PART;
}

/* ---- a reply as a whole ---- */

static bool is_told(const struct device *dev, const char *name)
{
	return settings_find(&dev->settings, name) != NULL;
}

/* A log that was cleared is shorter than it was. */
static void forget_older_events(struct device *dev)
{
	const struct hlp_state *s = dev->state;

	for (unsigned i = s->events; i < MAX_EVENTS; i++)
		for (unsigned k = 0; k < 2; k++)
			if (is_told(dev, event_names[i][k]))
				settings_set_text(&dev->settings, event_names[i][k], "");
}

/* The line has fallen silent after some lines. */
static enum verdict end_reply(struct device *dev, uint16_t code, const char **why)
{
	struct hlp_state *s = dev->state;

	if (code == SETTINGS && !s->size_told) {
		*why = "settings without a BatterySize";
		return FRAME_BAD;
	}
	if (code == EVENTS) {
		forget_older_events(dev);
		s->cables_bad = s->cables_heard;
	}
	return code == SETTINGS || code == EVENTS ? FRAME_ANSWER : FRAME_FOREIGN;
}

static enum verdict hlp_take(struct device *dev, const struct request *pending, struct bytes line, const char **why)
{
	struct hlp_state *s = dev->state;

	if (!line.n)
		return end_reply(dev, pending->code, why);
	if (holds(line, "bad voltage sense cables")) {
		s->cables_heard = true;
		return FRAME_PART;
	}
	switch (pending->code) {
	case VERSION:
		return take_version(dev, line);
	case SETTINGS:
		return take_setting(dev, line);
	case EVENTS:
		return take_event(dev, line);
	default:
		return pending->dialect == PRINTS ? take_print(dev, line, why) : take_m1(dev, line, why);
	}
}

static bool hlp_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;

	if (!r->text[T_MODEL][0] || r->cell_V.count != CELLS) {
		*why = "it has told no version and no cells";
		return false;
	}
	return reading_plausible(r, why);
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"HLPdataBMS4S", NULL};

static const struct poll polls[] = {
	{MEASURED, 0, EVERY_POLL, true, NULL},
	{SETTINGS, 0, 300000, true, NULL},
	{VERSION, 0, ONCE, false, NULL},
	{EVENTS, 0, 600000, false, NULL},
};

static const struct probe probes[] = {
	{VERSION, 0, 0, 0, MEASURES, 1, 150, false},
	{VERSION, 0, 0, 0, PRINTS, 2, 150, false},
};

#define Q(id) (UINT64_C(1) << Q_##id)

const struct protocol hlpdata_bms4s_protocol = {
	.id = "hlpdata-bms4s",
	.title = "HLP Data BMS4S",
	.manufacturer = "HLPdata",
	.bms_types = bms_types,
	.untested = true,
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 600, .gap_ms = 100, .pause_ms = 100, .late_ms = 600, .tries = 3, .poll_ms = 1000},
	.series = SERIES_CELLS | SERIES_TEMPERATURES,
	.quantities = Q(VOLTAGE_V) | Q(CURRENT_A) | Q(SOC_PCT) | Q(CAPACITY_FULL_AH) | Q(CAPACITY_REMAINING_AH) |
		      Q(BMS_CVL_V) | Q(BMS_DVL_V),
	.flags = 1u << F_CHARGE_MOS | 1u << F_DISCHARGE_MOS | 1u << F_CHARGE_ALLOWED | 1u << F_DISCHARGE_ALLOWED,
	.alarms = 1u << ALARM_LOW_CHARGE_TEMPERATURE | 1u << ALARM_HIGH_CHARGE_TEMPERATURE | 1u << ALARM_LOW_VOLTAGE |
		  1u << ALARM_HIGH_VOLTAGE | 1u << ALARM_INTERNAL_FAILURE,
	.state_size = sizeof(struct hlp_state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {MEASURED}, /* the settings take a second, and no reading goes without them */
	.confirm_count = 1,
	.encode = hlp_encode,
	.find_frame = hlp_find_frame,
	.take = hlp_take,
	.plausible = hlp_plausible,
	.parse_request = hlp_parse_request,
};
