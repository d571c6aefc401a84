/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Renogy smart lithium batteries on RS485: Modbus RTU, function 03, registers 5000..5223, sheet renogy. They take no
 * orders that an installer would give: nothing is ever written. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/modbus_rtu.h"
#include "protocols/table.h"

extern const struct protocol renogy_protocol;

/* All factory-new batteries answer F7, and one of them FF: who is found there has no neighbours. */
enum dialect { NUMBERED, LONE };

/* A read's code is its first register, its arg how many (0: the usual number). */
enum blocks { CELLS = 5000, PACK = 5035, STATUS = 5100, IDENTITY = 5110, SETTINGS = 5200, END = 5228 };

/* Code of a write that captures hold; none is sent from here. */
#define WRITE 0x8000

enum {
	REG_ADDRESS = 5223,
	FACTORY_ADDRESS = 0xf7,
	UNIVERSAL_ADDRESS = 0xff,
	FIRST_ADDRESS = 0x21,
	USUAL_ADDRESS = 0x30,
	LAST_ADDRESS = 0x49,
	PLACES = 16,	     /* of cells and of sensors */
	IDENTITY_WHOLE = 32, /* registers, the manufacturer's name among them, */
	IDENTITY_SHORT = 22, /* which part of the models does not have */
	MAY_CHARGE = 1 << 7, /* of register 5109 */
	MAY_DISCHARGE = 1 << 6,
};

struct state {
	bool identified;
	uint8_t identity_asked; /* times */
	bool permits_known;
	uint8_t permits;	      /* MAY_ bits of 5109 */
	bool no_charge, no_discharge; /* a limit of 0 forbids it as well */
};

/* ---- requests ---- */

/* How many registers polls ask for. */
static const struct usual {
	uint16_t code, count;
} usual[] = {{CELLS, 34}, {PACK, 18}, {STATUS, 10}, {IDENTITY, IDENTITY_WHOLE}, {SETTINGS, 24}};

static uint16_t usual_count(uint16_t code)
{
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (usual[i].code == code)
			return usual[i].count;
	return 0;
}

/* What a battery does not have may be met with silence: the identity is asked for by turns. */
static uint16_t count_of(struct device *dev, uint16_t code)
{
	struct state *s = dev->state;

	return code == IDENTITY && s->identity_asked++ % 2 ? IDENTITY_SHORT : usual_count(code);
}

static bool renogy_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	uint16_t count = arg ? arg : count_of(dev, code);

	if (!count || code < CELLS || code >= END)
		return false;
	request_start(out, dev->protocol, dev->address, dev->dialect, code, arg);
	modbus_build_read(out, MODBUS_READ_HOLDING, code, count);
	return true;
}

/* 0: as polls ask. */
static uint16_t arg_of(uint16_t code, uint16_t count)
{
	return count == usual_count(code) || (code == IDENTITY && count == IDENTITY_SHORT) ? 0 : count;
}

static uint8_t dialect_of(uint8_t address)
{
	return address == FACTORY_ADDRESS || address == UNIVERSAL_ADDRESS ? LONE : NUMBERED;
}

static bool renogy_parse_request(struct bytes tx, struct request *out)
{
	uint8_t address = u8_at(tx, 0), function = u8_at(tx, 1);
	uint16_t reg = u16be_at(tx, 2), second = u16be_at(tx, 4);

	if (tx.n != (size_t)modbus_request_length(tx) || !modbus_crc_fits(tx) || !address)
		return false;
	if (function == MODBUS_READ_HOLDING && reg >= CELLS && reg < END && second && second <= 125)
		request_start(out, &renogy_protocol, address, dialect_of(address), reg, arg_of(reg, second));
	else if (function == MODBUS_WRITE_REGISTER && reg == REG_ADDRESS)
		request_start(out, &renogy_protocol, address, dialect_of(address), WRITE | reg, second);
	else
		return false;
	out->writes = out->echo_is_reply = function == MODBUS_WRITE_REGISTER;
	request_put(out, tx);
	return true;
}

/* ---- the registers: sheet 5. A reply may begin and end anywhere among them. ---- */

#define AT(reg) (2 * ((reg)-CELLS))

static const struct number_row numbers[] = {
	{AT(5043), RAW_U16BE, 10, 0, Q_VOLTAGE_V},
	{AT(5044), RAW_U32BE, 1000, 0, Q_CAPACITY_REMAINING_AH},
	{AT(5046), RAW_U32BE, 1000, 0, Q_CAPACITY_FULL_AH},
	{AT(5048), RAW_U16BE, 1, 0, Q_CYCLES},
	{AT(5049), RAW_U16BE, 10, 0, Q_BMS_CVL_V},
	{AT(5050), RAW_U16BE, 10, 0, Q_BMS_DVL_V},
	{AT(5051), RAW_U16BE, 100, 0, Q_BMS_CCL_A},
	{AT(5052), RAW_S16BE, -100, 0, Q_BMS_DCL_A}, /* negative: out of the battery */
};

/* Healthy batteries show all kinds of codes in 5100..5105: to look at, not to raise alarms (sheet 5). */
static const struct detail_row details[] = {
	{AT(5100), RAW_U32BE, 1, 0, "cell_voltage_codes"},
	{AT(5102), RAW_U32BE, 1, 0, "cell_temperature_codes"},
	{AT(5104), RAW_U32BE, 1, 0, "other_sensor_codes"},
	{AT(5108), RAW_U16BE, 1, 0, "cell_error_bits"},
};

static const struct text_row texts[] = {
	{AT(5110), 16, T_SERIAL_NUMBER},
	{AT(5122), 16, T_MODEL},
	{AT(5130), 4, T_FIRMWARE_VERSION},
	{AT(5132), 20, T_MANUFACTURER},
};

static const struct version_row {
	uint16_t off, n;
	const char *name;
} versions[] = {
	{AT(5118), 2, "manufacturer_version"},
	{AT(5119), 4, "main_line_version"},
	{AT(5121), 2, "communication_version"},
};

static const struct setting_row settings[] = {
	{AT(5200), RAW_U16BE, 10, 0, "cell_ovp_V", SETTING_NUMBER},
	{AT(5201), RAW_U16BE, 10, 0, "cell_high_warning_V", SETTING_NUMBER},
	{AT(5202), RAW_U16BE, 10, 0, "cell_low_warning_V", SETTING_NUMBER},
	{AT(5203), RAW_U16BE, 10, 0, "cell_uvp_V", SETTING_NUMBER},
	{AT(5204), RAW_S16BE, 10, 0, "charge_otp_C", SETTING_NUMBER},
	{AT(5205), RAW_S16BE, 10, 0, "charge_high_warning_C", SETTING_NUMBER},
	{AT(5206), RAW_S16BE, 10, 0, "charge_low_warning_C", SETTING_NUMBER},
	{AT(5207), RAW_S16BE, 10, 0, "charge_utp_C", SETTING_NUMBER},
	{AT(5208), RAW_U16BE, 100, 0, "charge_ocp2_A", SETTING_NUMBER},
	{AT(5209), RAW_U16BE, 100, 0, "charge_ocp_A", SETTING_NUMBER},
	{AT(5210), RAW_U16BE, 100, 0, "charge_high_warning_A", SETTING_NUMBER},
	{AT(5211), RAW_U16BE, 10, 0, "pack_ovp_V", SETTING_NUMBER},
	{AT(5212), RAW_U16BE, 10, 0, "pack_high_warning_V", SETTING_NUMBER},
	{AT(5213), RAW_U16BE, 10, 0, "pack_low_warning_V", SETTING_NUMBER},
	{AT(5214), RAW_U16BE, 10, 0, "pack_uvp_V", SETTING_NUMBER},
	{AT(5215), RAW_S16BE, 10, 0, "discharge_otp_C", SETTING_NUMBER},
	{AT(5216), RAW_S16BE, 10, 0, "discharge_high_warning_C", SETTING_NUMBER},
	{AT(5217), RAW_S16BE, 10, 0, "discharge_low_warning_C", SETTING_NUMBER},
	{AT(5218), RAW_S16BE, 10, 0, "discharge_utp_C", SETTING_NUMBER},
	{AT(5219), RAW_S16BE, 100, 0, "discharge_ocp2_A", SETTING_NUMBER},
	{AT(5220), RAW_S16BE, 100, 0, "discharge_ocp_A", SETTING_NUMBER},
	{AT(5221), RAW_S16BE, 100, 0, "discharge_high_warning_A", SETTING_NUMBER},
	{AT(5223), RAW_U16BE, 1, 0, "device_address", SETTING_NUMBER},
};

/* A bit of one register, shown as 0 or 1. */
static const struct bit_row {
	uint16_t off;
	uint8_t bit;
	const char *name;
} bits[] = {
	{AT(5106), 3, "on_battery_power"},
	{AT(5107), 15, "charge_current_flows"},
	{AT(5107), 14, "discharge_current_flows"},
	{AT(5107), 11, "fully_charged"},
	{AT(5107), 9, "status_2_bit_9"}, /* set at 36 A of discharge; not documented */
	{AT(5107), 8, "buzzer"},
	{AT(5109), 5, "charge_immediately"},
	{AT(5109), 4, "charge_immediately_2"},
	{AT(5109), 3, "full_charge_request"},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* The offset of a row in a reply that begins skip bytes into the registers; false: it lies before. */
static bool shift(uint16_t *off, size_t skip)
{
	if (*off < skip)
		return false;
	*off = (uint16_t)(*off - skip);
	return true;
}

/* The whole of register reg; false: not in this reply. */
static bool in_reply(uint16_t start, struct bytes values, uint16_t reg)
{
	return reg >= start && bytes_has(values, 2u * (reg - start), 2);
}

static uint16_t value_of(uint16_t start, struct bytes values, uint16_t reg)
{
	return u16be_at(values, 2u * (reg - start));
}

static void take_settings(struct settings *s, size_t skip, struct bytes values)
{
	char text[8];

	for (size_t i = 0; i < COUNT(settings); i++) {
		struct setting_row row = settings[i];

		if (shift(&row.off, skip))
			table_settings(&row, 1, values, s);
	}
	for (size_t i = 0; i < COUNT(versions); i++) {
		struct version_row row = versions[i];

		if (!shift(&row.off, skip) || !bytes_has(values, row.off, row.n))
			continue;
		bytes_text(bytes_sub(values, row.off, row.n), text, sizeof(text));
		settings_set_text(s, row.name, text);
	}
}

static void take_rows(struct reading *r, size_t skip, struct bytes values)
{
	for (size_t i = 0; i < COUNT(numbers); i++) {
		struct number_row row = numbers[i];

		if (shift(&row.off, skip))
			table_numbers(&row, 1, values, r);
	}
	for (size_t i = 0; i < COUNT(details); i++) {
		struct detail_row row = details[i];

		if (shift(&row.off, skip))
			table_details(&row, 1, values, r);
	}
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct text_row row = texts[i];

		if (shift(&row.off, skip))
			table_texts(&row, 1, values, r);
	}
	for (size_t i = 0; i < COUNT(bits); i++) {
		struct bit_row row = bits[i];

		if (shift(&row.off, skip) && bytes_has(values, row.off, 2))
			reading_set_detail(r, row.name, u16be_at(values, row.off) >> row.bit & 1);
	}
}

/* ---- what a table can't say ---- */

/* Cells in steps of 0.1 V; of both rows only the first so many places are real. */
static void take_cells(struct reading *r, struct bytes values)
{
	unsigned cells = u16be_at(values, 0), sensors = u16be_at(values, AT(5017));

	reading_set(r, Q_CELL_COUNT, cells);
	series_start(&r->cell_V, cells);
	for (unsigned i = 0; i < cells; i++)
		series_set(&r->cell_V, i, u16be_at(values, AT(5001) + 2 * i) / 10.0);
	series_start(&r->temperatures, sensors);
	for (unsigned i = 0; i < sensors; i++)
		series_set(&r->temperatures, i, (int16_t)u16be_at(values, AT(5018) + 2 * i) / 10.0);
}

/* Sensors beyond their number show what they like; the board's shows 0 where there is none. */
static void take_other_temperatures(struct reading *r, uint16_t start, struct bytes values)
{
	if (start != PACK || !bytes_has(values, 0, 14))
		return;
	double board = (int16_t)u16be_at(values, 0) / 10.0;
	double ambient[2], heater[2];

	for (unsigned i = 0; i < 2; i++) {
		ambient[i] = i < u16be_at(values, 2) ? (int16_t)u16be_at(values, 4 + 2 * i) / 10.0 : NAN;
		heater[i] = i < u16be_at(values, 8) ? (int16_t)u16be_at(values, 10 + 2 * i) / 10.0 : NAN;
	}
	reading_set_detail(r, "temp_board_C", board != 0 ? board : NAN);
	reading_set(r, Q_TEMP_AMBIENT_C, ambient[0]);
	reading_set_detail(r, "temp_ambient_2_C", ambient[1]);
	reading_set_detail(r, "temp_heater_1_C", heater[0]);
	reading_set_detail(r, "temp_heater_2_C", heater[1]);
}

static bool starts_with(const char *text, const char *start)
{
	return !strncmp(text, start, strlen(start));
}

/* Two families of the "Pro" models count in 0.1 A. */
static void take_current(struct reading *r, uint16_t start, struct bytes values)
{
	const char *model = r->text[T_MODEL];
	bool tenths = starts_with(model, "RNGRBP") || starts_with(model, "RNGC");

	if (in_reply(start, values, 5042))
		reading_set(r, Q_CURRENT_A, (int16_t)value_of(start, values, 5042) / (tenths ? 10.0 : 100.0));
}

/* There is no register for the SoC. */
static void take_soc(struct reading *r, uint16_t start, struct bytes values)
{
	if (!in_reply(start, values, 5044) || !in_reply(start, values, 5047))
		return;
	double soc = 100 * reading_get(r, Q_CAPACITY_REMAINING_AH) / reading_get(r, Q_CAPACITY_FULL_AH);

	reading_set(r, Q_SOC_PCT, fmin(round(100 * soc) / 100, 100));
	if (!(reading_get(r, Q_CAPACITY_FULL_AH) > 0))
		reading_forget(r, Q_SOC_PCT);
}

static void take_permits(struct device *dev, uint16_t start, struct bytes values)
{
	struct state *s = dev->state;

	if (in_reply(start, values, 5109)) {
		s->permits_known = true;
		s->permits = (uint8_t)value_of(start, values, 5109);
	}
	if (in_reply(start, values, 5051))
		s->no_charge = value_of(start, values, 5051) == 0;
	if (in_reply(start, values, 5052))
		s->no_discharge = value_of(start, values, 5052) == 0;
	if (s->permits_known || s->no_charge)
		reading_set_flag(&dev->reading, F_CHARGE_ALLOWED, (s->permits & MAY_CHARGE) && !s->no_charge);
	if (s->permits_known || s->no_discharge)
		reading_set_flag(&dev->reading, F_DISCHARGE_ALLOWED, (s->permits & MAY_DISCHARGE) && !s->no_discharge);
}

/* ---- status and alarms: sheet 6. Registers 5106 and 5107 as one number ---- */

#define STATUS_1(bit) (16 + (bit))
#define STATUS_2(bit) (bit)

static const struct alarm_row alarm_rows[] = {
	{STATUS_1(15), ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{STATUS_1(14), ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{STATUS_1(13), ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{STATUS_1(12), ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{STATUS_1(11), ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{STATUS_1(10), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{STATUS_1(9), ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{STATUS_1(8), ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{STATUS_1(7), ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{STATUS_1(6), ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{STATUS_1(5), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{STATUS_1(4), ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{STATUS_1(0), ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{STATUS_1(0), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{STATUS_2(7), ALARM_WARNING, ALARM_HIGH_TEMPERATURE, NULL},
	{STATUS_2(6), ALARM_WARNING, ALARM_LOW_TEMPERATURE, NULL},
	{STATUS_2(5), ALARM_WARNING, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{STATUS_2(4), ALARM_WARNING, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{STATUS_2(3), ALARM_WARNING, ALARM_HIGH_VOLTAGE, NULL},
	{STATUS_2(2), ALARM_WARNING, ALARM_LOW_VOLTAGE, NULL},
	{STATUS_2(1), ALARM_WARNING, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{STATUS_2(0), ALARM_WARNING, ALARM_LOW_CELL_VOLTAGE, NULL},
};

static void take_status(struct reading *r, uint16_t start, struct bytes values)
{
	if (!in_reply(start, values, 5106) || !in_reply(start, values, 5107))
		return;
	uint32_t word = u32be_at(values, 2u * (5106 - start));

	alarms_clear(&r->alarms);
	table_alarms(ROWS(alarm_rows), word, &r->alarms);
	if (in_reply(start, values, 5108) && value_of(start, values, 5108)) {
		alarm_raise_own(&r->alarms, "cell_voltage_error", ALARM_RAISED);
		alarm_raise(&r->alarms, ALARM_INTERNAL_FAILURE, ALARM_RAISED);
	}
	reading_set_flag(r, F_DISCHARGE_MOS, word >> STATUS_1(2) & 1);
	reading_set_flag(r, F_CHARGE_MOS, word >> STATUS_1(1) & 1);
	reading_set_flag(r, F_HEATER_ON, word >> STATUS_2(13) & 1);
}

/* ---- replies ---- */

static bool believable(uint16_t start, struct bytes values, const char **why)
{
	if (start != CELLS)
		return true;
	unsigned cells = u16be_at(values, 0), sensors = u16be_at(values, AT(5017));

	if (values.n < 2 * 34u)
		*why = "cells without their sensors";
	else if (cells < 1 || cells > PLACES)
		*why = "cell count outside 1..16";
	else if (sensors > PLACES)
		*why = "more than 16 temperature sensors";
	else
		return true;
	return false;
}

static enum verdict renogy_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct bytes asked = {pending->tx, pending->n}, values = {NULL, 0};
	struct reading *r = &dev->reading;
	struct state *s = dev->state;
	uint16_t start = pending->code;
	enum verdict verdict = modbus_judge(asked, frame, &values, why);

	if (verdict != FRAME_ANSWER || (start & WRITE))
		return verdict;
	if (values.n != modbus_read_bytes(asked)) {
		*why = "length of the reply";
		return FRAME_BAD;
	}
	if (!believable(start, values, why))
		return FRAME_BAD;
	if (start == CELLS)
		take_cells(r, values);
	take_rows(r, AT(start), values);
	take_settings(&dev->settings, AT(start), values);
	take_other_temperatures(r, start, values);
	take_current(r, start, values);
	take_soc(r, start, values);
	take_permits(dev, start, values);
	take_status(r, start, values);
	if (start == IDENTITY)
		s->identified = true;
	reading_set(r, Q_ADDRESS, pending->address);
	return FRAME_ANSWER;
}

/* Sheet 4: the registers alone are no proof, the texts are. */
static bool renogy_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;
	const char *model = r->text[T_MODEL];
	double sum = 0;

	for (unsigned i = 0; i < r->cell_V.count; i++) {
		if (r->cell_V.value[i] < 1.5 || r->cell_V.value[i] > 4.5) {
			*why = "a cell outside 1.5..4.5 V";
			return false;
		}
		sum += r->cell_V.value[i];
	}
	if (!r->cell_V.count || !reading_knows(r, Q_VOLTAGE_V))
		*why = "5000 and 5035 have not both been answered";
	else if (fabs(sum - reading_get(r, Q_VOLTAGE_V)) > 0.1 * (r->cell_V.count + 1)) /* of 0.1 V steps */
		*why = "the sum of the cells is not the pack voltage";
	else if (!starts_with(r->text[T_MANUFACTURER], "RENOGY") && !starts_with(model, "RBT") &&
		 !starts_with(model, "RNG"))
		*why = "neither manufacturer nor model is Renogy's";
	else
		return reading_plausible(r, why);
	return false;
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Renogy", NULL};

/* The model tells the unit of the current, so it is asked for before it. */
static bool not_identified(const struct device *dev)
{
	const struct state *s = dev->state;

	return !s->identified;
}

static const struct poll polls[] = {
	{CELLS, 0, EVERY_POLL, true, NULL},	   {STATUS, 0, EVERY_POLL, true, NULL},
	{IDENTITY, 0, ONCE, true, not_identified}, {PACK, 0, EVERY_POLL, true, NULL},
	{SETTINGS, 0, ONCE, false, NULL},	   {SETTINGS, 0, 300000, false, NULL},
};

/* Where batteries were seen, most likely first. Not the universal address: it would hide all but one of a bank. */
static const struct probe probes[] = {
	{CELLS, 0, FACTORY_ADDRESS, 0, LONE, 0, 140, false},
	{CELLS, 0, USUAL_ADDRESS, 0x3f, NUMBERED, 1, 140, false},
	{CELLS, 0, FIRST_ADDRESS, 0x23, NUMBERED, 2, 140, false},
	{CELLS, 0, 0x48, LAST_ADDRESS, NUMBERED, 2, 140, false},
	{CELLS, 0, 0x01, FIRST_ADDRESS - 1, NUMBERED, 2, 140, false},
};

#define Q(id) (UINT64_C(1) << Q_##id)
#define F(id) (1u << F_##id)
#define A(id) (1u << ALARM_##id)

const struct protocol renogy_protocol = {
	.id = "renogy",
	.title = "Renogy smart lithium batteries (Modbus)",
	.manufacturer = "Renogy",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.also_ble = true,
	.lines = lines,
	.timing = {.first_ms = 500,
		   .gap_ms = 50,
		   .pause_ms = 50,
		   .late_ms = 500,
		   .scan_ms = 150,
		   .tries = 3,
		   .poll_ms = 1000},
	.series = SERIES_CELLS | SERIES_TEMPERATURES,
	.quantities = Q(ADDRESS) | Q(VOLTAGE_V) | Q(CURRENT_A) | Q(SOC_PCT) | Q(CAPACITY_FULL_AH) |
		      Q(CAPACITY_REMAINING_AH) | Q(CYCLES) | Q(CELL_COUNT) | Q(TEMP_AMBIENT_C) | Q(BMS_CCL_A) |
		      Q(BMS_DCL_A) | Q(BMS_CVL_V) | Q(BMS_DVL_V),
	.flags = F(CHARGE_MOS) | F(DISCHARGE_MOS) | F(HEATER_ON) | F(CHARGE_ALLOWED) | F(DISCHARGE_ALLOWED),
	.alarms = A(HIGH_VOLTAGE) | A(LOW_VOLTAGE) | A(HIGH_CELL_VOLTAGE) | A(LOW_CELL_VOLTAGE) |
		  A(HIGH_CHARGE_CURRENT) | A(HIGH_DISCHARGE_CURRENT) | A(INTERNAL_FAILURE) |
		  A(HIGH_CHARGE_TEMPERATURE) | A(LOW_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) | A(LOW_TEMPERATURE) |
		  A(SHORT_CIRCUIT),
	.first_address = FIRST_ADDRESS,
	.last_address = LAST_ADDRESS,
	.point_to_point = 1 << LONE,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {IDENTITY, PACK},
	.confirm_count = 2,
	.encode = renogy_encode,
	.find_frame = modbus_find_reply,
	.take = renogy_take,
	.plausible = renogy_plausible,
	.parse_request = renogy_parse_request,
};
