/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pylontech low-voltage packs on RS485: '~' frames of version 20, sheet pylontech. A pack is called by its place on
 * the link cable, from 2, and by its group. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/ascii_1363.h"
#include "protocols/plausible.h"
#include "protocols/protocol.h"
#include "protocols/table.h"

extern const struct protocol pylontech_protocol;

enum { VERSION = 0x20, OLD_VERSION = 0x21, CLASS = 0x46 };

/* A request's code is its CID2. */
enum commands {
	ANALOG = 0x42,
	ALARMS = 0x44,
	PARAMETERS = 0x47,
	MAKER = 0x51,
	SYSTEM_ANALOG = 0x61,
	SYSTEM_ALARMS = 0x62,
	SYSTEM_LIMITS = 0x63,
	LIMITS = 0x92,
	SERIAL = 0x93,
	SOFTWARE = 0x96,
};

enum { ALL_PACKS = 0xff, MASTER = 0x02, LAST_PACK = 0x0d, GROUPS = 8, GROUP_STEP = 0x10, MAX_PACKS = 12 };

enum { PYLON_MAX_CELLS = 24, PYLON_MAX_SENSORS = 16, IGNORED_TAIL = 20 };

enum { ITEMS_SHORT = 2, ITEMS_LONG = 4 }; /* user items: capacities in 16 bits, or in 24 behind them */

struct state {
	bool no_limits; /* it does not know 92 */
	bool no_serial; /* it does not know 93 */
};

static const char *const wrong_length = "length of the reply";

/* ---- requests ---- */

/* A device's dialect is the number of its group. */
static uint8_t adr_of(const struct device *dev)
{
	return (uint8_t)(dev->address + dev->dialect * GROUP_STEP);
}

static bool asks_by_address(uint16_t code)
{
	return code == ANALOG || code == ALARMS || code == LIMITS || code == SERIAL || code == SOFTWARE;
}

static bool is_known(uint16_t code)
{
	return asks_by_address(code) || code == PARAMETERS || code == MAKER || code == SYSTEM_ANALOG ||
	       code == SYSTEM_ALARMS || code == SYSTEM_LIMITS;
}

static bool pylontech_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	uint8_t adr = adr_of(dev);

	request_start(out, dev->protocol, dev->address, dev->dialect, code, arg);
	if (!is_known(code))
		return false;
	out->address = adr;
	ascii_1363_build(out, ASCII_1363_SOI, VERSION, CLASS, (uint8_t)code,
			 (struct bytes){&adr, asks_by_address(code) ? 1 : 0});
	out->address = dev->address;
	return true;
}

static bool pylontech_parse_request(struct bytes tx, struct request *out)
{
	struct ascii_1363 f;

	if (tx.n > MAX_REQUEST || u8_at(tx, 0) != ASCII_1363_SOI || !ascii_1363_open(tx, &f) || f.length_wrong)
		return false;
	if (f.ver != VERSION || f.cid1 != CLASS || !is_known(f.code) || f.n > 1)
		return false;
	uint8_t place = f.adr % GROUP_STEP, group = f.adr / GROUP_STEP;
	if (place < MASTER || place > LAST_PACK || group >= GROUPS)
		return false;
	if (asks_by_address(f.code) && (f.n != 1 || (f.info[0] != f.adr && f.info[0] != ALL_PACKS)))
		return false;
	request_start(out, &pylontech_protocol, place, group, f.code, 0);
	request_put(out, tx);
	return true;
}

/* Whether a request asks for all packs of the group; adr: of whom. */
static bool asks_for_all(const struct request *pending, uint8_t *adr)
{
	struct ascii_1363 asked;

	if (!ascii_1363_open((struct bytes){pending->tx, pending->n}, &asked))
		return false;
	*adr = asked.adr;
	return asked.n && asked.info[0] == ALL_PACKS;
}

/* ---- 42: sheet 5.1 ---- */

/* Counted from the current. */
static const struct number_row analog_rows[] = {
	{0, RAW_S16BE, 10, 0, Q_CURRENT_A},
	{2, RAW_U16BE, 1000, 0, Q_VOLTAGE_V},
	{9, RAW_U16BE, 1, 0, Q_CYCLES},
};

enum { REMAINING_16 = 4, ITEMS = 6, FULL_16 = 7, REMAINING_24 = 11, FULL_24 = 14, SIZE_SHORT = 11, SIZE_LONG = 17 };

static double celsius(uint16_t raw)
{
	return (raw - 2731) / 10.0;
}

static uint32_t u24be_at(struct bytes b, size_t off)
{
	return (uint32_t)u8_at(b, off) << 16 | u16be_at(b, off + 1);
}

/* What follows the temperatures, as long as its user items say; empty: this is no module. */
static struct bytes behind_sensors(struct bytes module, unsigned *cells, unsigned *sensors)
{
	size_t at;

	*cells = u8_at(module, 0);
	*sensors = u8_at(module, 1 + 2 * (size_t)*cells);
	at = 2 + 2 * (size_t)*cells + 2 * (size_t)*sensors;
	unsigned items = u8_at(module, at + ITEMS);
	size_t size = items == ITEMS_SHORT ? SIZE_SHORT : SIZE_LONG;

	if (!*cells || *cells > PYLON_MAX_CELLS || !*sensors || *sensors > PYLON_MAX_SENSORS ||
	    (items != ITEMS_SHORT && items != ITEMS_LONG) || !bytes_has(module, at, size))
		return bytes_sub(module, 0, 0);
	return bytes_sub(module, at, size);
}

/* Steps over modules of any size to the wanted one (from 0). */
static bool find_module(struct bytes modules, unsigned count, unsigned wanted, struct bytes *out)
{
	unsigned cells, sensors;

	for (unsigned i = 0; i < count; i++) {
		struct bytes fixed = behind_sensors(modules, &cells, &sensors);

		if (!fixed.n)
			return false;
		if (i == wanted)
			*out = modules;
		modules = bytes_sub(modules, (size_t)(fixed.p - modules.p) + fixed.n, modules.n);
	}
	return wanted < count && modules.n < IGNORED_TAIL;
}

/* All bits set: no value. */
static double capacity(uint32_t raw, unsigned bits)
{
	return raw == (UINT32_C(1) << bits) - 1 ? NAN : raw / 1000.0;
}

static void take_capacity(struct reading *r, struct bytes fixed)
{
	bool wide = u8_at(fixed, ITEMS) == ITEMS_LONG;
	double remaining =
		wide ? capacity(u24be_at(fixed, REMAINING_24), 24) : capacity(u16be_at(fixed, REMAINING_16), 16);
	double full = wide ? capacity(u24be_at(fixed, FULL_24), 24) : capacity(u16be_at(fixed, FULL_16), 16);

	reading_set(r, Q_CAPACITY_REMAINING_AH, remaining);
	reading_set(r, Q_CAPACITY_FULL_AH, full);
	reading_set(r, Q_SOC_PCT, full > 0 ? round(1000 * remaining / full) / 10 : NAN);
}

static void take_module(struct reading *r, struct bytes module)
{
	unsigned cells, sensors;
	struct bytes fixed = behind_sensors(module, &cells, &sensors);
	size_t sensors_at = 2 + 2 * (size_t)cells;

	reading_set(r, Q_CELL_COUNT, cells);
	series_start(&r->cell_V, cells);
	for (unsigned i = 0; i < cells; i++)
		series_set(&r->cell_V, i, (int16_t)u16be_at(module, 1 + 2 * (size_t)i) / 1000.0);
	series_start(&r->temperatures, sensors);
	for (unsigned i = 0; i < sensors; i++)
		series_set(&r->temperatures, i, celsius(u16be_at(module, sensors_at + 2 * (size_t)i)));
	reading_set(r, Q_TEMP_MOS_C, r->temperatures.value[0]); /* the board's own */
	table_numbers(ROWS(analog_rows), fixed, r);
	take_capacity(r, fixed);
}

/* Of which modules a reply to 42 or 44 is, and which of them is wanted. */
struct asked {
	bool all, of_another;
	unsigned count, wanted;
};

/* The second byte is the number of modules where all were asked, else the address (sheet 5.1). */
static struct asked asked_by(const struct device *dev, const struct request *pending, struct bytes info)
{
	uint8_t adr = 0;
	struct asked a = {.all = asks_for_all(pending, &adr), .count = 1};

	if (a.all)
		a.count = u8_at(info, 1);
	else
		a.of_another = info.n > 1 && u8_at(info, 1) != adr;
	a.wanted = adr_of(dev) - (unsigned)adr;
	return a;
}

static enum verdict take_analog(struct device *dev, const struct request *pending, struct bytes info, const char **why)
{
	struct asked asked = asked_by(dev, pending, info);
	struct bytes module;

	if (asked.of_another)
		return FRAME_FOREIGN;
	if (asked.count > MAX_PACKS || !find_module(bytes_sub(info, 2, info.n), asked.count, asked.wanted, &module)) {
		*why = wrong_length;
		return FRAME_BAD;
	}
	take_module(&dev->reading, module);
	if (asked.all)
		reading_set(&dev->reading, Q_PACK_COUNT, asked.count);
	return FRAME_ANSWER;
}

/* ---- 44: sheet 5.2, 6 ---- */

enum {
	STATUS_FIXED = 8,
	CHARGE_CURRENT = 0,
	MODULE_VOLTAGE,
	DISCHARGE_CURRENT,
	STATUS_1,
	STATUS_2,
	STATUS_3,
	STATUS_4,
	STATUS_5
};

enum element_states { ELEMENT_OK = 0, ELEMENT_LOW = 1, ELEMENT_HIGH = 2, ELEMENT_OTHER = 0xf0 };

static const struct alarm_row status_1_rows[] = {
	{7, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},	    {6, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{5, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},    {4, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{2, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL}, {1, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{0, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
};

enum { VOLTAGE_HIGH_BITS = 0x01, VOLTAGE_LOW_BITS = 0x82, TEMPERATURE_HIGH_BITS = 0x60 }; /* of status 1 */

static const struct detail_row status_details[] = {
	{STATUS_1, RAW_U8, 1, 0, "status_1_bits"}, {STATUS_2, RAW_U8, 1, 0, "status_2_bits"},
	{STATUS_3, RAW_U8, 1, 0, "status_3_bits"}, {STATUS_4, RAW_U8, 1, 0, "status_4_bits"},
	{STATUS_5, RAW_U8, 1, 0, "status_5_bits"},
};

/* The number, from 1, of the first that is so; 0: none is. */
static unsigned first_that_is(enum element_states what, struct bytes states)
{
	for (size_t i = 0; i < states.n; i++)
		if (states.p[i] == what)
			return (unsigned)i + 1;
	return 0;
}

static bool states_possible(struct bytes states)
{
	for (size_t i = 0; i < states.n; i++)
		if (states.p[i] > ELEMENT_HIGH && states.p[i] != ELEMENT_OTHER)
			return false;
	return true;
}

/*
 * What the bytes of single cells and sensors say is raised where status 1, the pack's own verdict, has no word of
 * it: a cell above its limit in a module that is said to be above its own is one event.
 */
static void raise_elements(struct alarms *a, struct bytes cells, struct bytes sensors, uint8_t status_1)
{
	if (first_that_is(ELEMENT_LOW, cells) && !(status_1 & VOLTAGE_LOW_BITS))
		alarm_raise(a, ALARM_LOW_CELL_VOLTAGE, ALARM_RAISED);
	if (first_that_is(ELEMENT_HIGH, cells) && !(status_1 & VOLTAGE_HIGH_BITS))
		alarm_raise(a, ALARM_HIGH_CELL_VOLTAGE, ALARM_RAISED);
	if (first_that_is(ELEMENT_LOW, sensors))
		alarm_raise(a, ALARM_LOW_TEMPERATURE, ALARM_RAISED);
	if (first_that_is(ELEMENT_HIGH, sensors) && !(status_1 & TEMPERATURE_HIGH_BITS))
		alarm_raise(a, ALARM_HIGH_TEMPERATURE, ALARM_RAISED);
}

/* Of status 4 and 5, bit n is cell n + 1: its voltage is beyond what can be (sheet 6). */
static void take_faulty_cells(struct reading *r, struct bytes fixed)
{
	unsigned faulty = u8_at(fixed, STATUS_4) | (unsigned)u8_at(fixed, STATUS_5) << 8, cell = 0;

	while (cell < 16 && !(faulty >> cell & 1))
		cell++;
	reading_set_detail(r, "faulty_cell_no", faulty ? cell + 1 : 0);
	if (faulty && !(u8_at(fixed, STATUS_1) & (VOLTAGE_HIGH_BITS | VOLTAGE_LOW_BITS)))
		alarm_raise(&r->alarms, ALARM_INTERNAL_FAILURE, ALARM_RAISED);
}

static void take_alarms(struct reading *r, struct bytes cells, struct bytes sensors, struct bytes fixed)
{
	struct alarms *a = &r->alarms;

	alarms_clear(a);
	table_alarms(ROWS(status_1_rows), u8_at(fixed, STATUS_1), a);
	if (u8_at(fixed, CHARGE_CURRENT) == ELEMENT_HIGH)
		alarm_raise(a, ALARM_HIGH_CHARGE_CURRENT, ALARM_RAISED);
	if (u8_at(fixed, DISCHARGE_CURRENT) == ELEMENT_HIGH)
		alarm_raise(a, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_RAISED);
	if (u8_at(fixed, MODULE_VOLTAGE) == ELEMENT_LOW)
		alarm_raise(a, ALARM_LOW_VOLTAGE, ALARM_RAISED);
	if (u8_at(fixed, MODULE_VOLTAGE) == ELEMENT_HIGH)
		alarm_raise(a, ALARM_HIGH_VOLTAGE, ALARM_RAISED);
	raise_elements(a, cells, sensors, u8_at(fixed, STATUS_1));
	take_faulty_cells(r, fixed);
	reading_set_detail(r, "cell_below_limit_no", first_that_is(ELEMENT_LOW, cells));
	reading_set_detail(r, "cell_above_limit_no", first_that_is(ELEMENT_HIGH, cells));
	reading_set_detail(r, "sensor_below_limit_no", first_that_is(ELEMENT_LOW, sensors));
	reading_set_detail(r, "sensor_above_limit_no", first_that_is(ELEMENT_HIGH, sensors));
}

static void take_states(struct reading *r, struct bytes fixed)
{
	uint8_t status_2 = u8_at(fixed, STATUS_2), status_3 = u8_at(fixed, STATUS_3);

	reading_set_flag(r, F_CHARGE_MOS, status_2 & 1 << 1);
	reading_set_flag(r, F_DISCHARGE_MOS, status_2 & 1 << 2);
	reading_set_flag(r, F_HEATER_ON, status_3 & 1 << 5);
	table_details(ROWS(status_details), fixed, r);
	reading_set_detail(r, "precharge_mos", status_2 & 1);
	reading_set_detail(r, "pack_powers_itself", status_2 >> 3 & 1);
	reading_set_detail(r, "charging", status_3 >> 7);
	reading_set_detail(r, "discharging", status_3 >> 6 & 1);
	reading_set_detail(r, "fully_charged", status_3 >> 3 & 1);
	reading_set_detail(r, "buzzer_on", status_3 & 1);
}

/* One module of 44. */
struct alarm_module {
	struct bytes cells, sensors, fixed;
};

static bool open_alarm_module(struct bytes module, struct alarm_module *out)
{
	size_t m = u8_at(module, 0), n = u8_at(module, 1 + m);

	if (!m || m > PYLON_MAX_CELLS || n > PYLON_MAX_SENSORS || !bytes_has(module, 0, 2 + m + n + STATUS_FIXED))
		return false;
	out->cells = bytes_sub(module, 1, m);
	out->sensors = bytes_sub(module, 2 + m, n);
	out->fixed = bytes_sub(module, 2 + m + n, STATUS_FIXED);
	return states_possible(out->cells) && states_possible(out->sensors);
}

static bool find_alarm_module(struct bytes modules, unsigned count, unsigned wanted, struct alarm_module *out)
{
	struct alarm_module at;

	for (unsigned i = 0; i < count; i++) {
		if (!open_alarm_module(modules, &at))
			return false;
		if (i == wanted)
			*out = at;
		modules = bytes_sub(modules, 2 + at.cells.n + at.sensors.n + at.fixed.n, modules.n);
	}
	return wanted < count && modules.n < IGNORED_TAIL;
}

static enum verdict take_alarm_info(struct device *dev, const struct request *pending, struct bytes info,
				    const char **why)
{
	struct reading *r = &dev->reading;
	struct alarm_module module = {.cells = {NULL, 0}};
	struct asked asked = asked_by(dev, pending, info);

	if (asked.of_another)
		return FRAME_FOREIGN;
	if (asked.count > MAX_PACKS ||
	    !find_alarm_module(bytes_sub(info, 2, info.n), asked.count, asked.wanted, &module)) {
		*why = wrong_length;
		return FRAME_BAD;
	}
	if (reading_knows(r, Q_CELL_COUNT) && r->number[Q_CELL_COUNT] != (double)module.cells.n) {
		*why = "the alarms are of another number of cells";
		return FRAME_BAD;
	}
	reading_set(r, Q_CELL_COUNT, (double)module.cells.n);
	take_alarms(r, module.cells, module.sensors, module.fixed);
	take_states(r, module.fixed);
	return FRAME_ANSWER;
}

/* ---- 92, 63: sheet 5.4 ---- */

enum { LIMITS_SIZE = 9 };

/* The discharge limit is negative in 92, positive in 63. */
static bool take_limits(struct reading *r, struct bytes limits, const char **why)
{
	double cvl = u16be_at(limits, 0) / 1000.0, dvl = u16be_at(limits, 2) / 1000.0;
	double ccl = (int16_t)u16be_at(limits, 4) / 10.0, dcl = fabs((int16_t)u16be_at(limits, 6) / 10.0);
	uint8_t status = u8_at(limits, 8);

	if (limits.n != LIMITS_SIZE || ccl < 0) {
		*why = limits.n == LIMITS_SIZE ? "limits that can't be" : wrong_length;
		return false;
	}
	reading_forget(r, Q_BMS_CVL_V);
	reading_forget(r, Q_BMS_DVL_V);
	if (cvl > dvl) { /* else they do not fit 16 bits (sheet 5.6) */
		reading_set(r, Q_BMS_CVL_V, cvl);
		reading_set(r, Q_BMS_DVL_V, dvl);
	}
	reading_set(r, Q_BMS_CCL_A, ccl);
	reading_set(r, Q_BMS_DCL_A, dcl);
	reading_set_flag(r, F_CHARGE_ALLOWED, status & 1 << 7);
	reading_set_flag(r, F_DISCHARGE_ALLOWED, status & 1 << 6);
	reading_set_detail(r, "charge_immediately", status >> 5 & 1);
	reading_set_detail(r, "charge_immediately_2", status >> 4 & 1);
	reading_set_detail(r, "full_charge_request", status >> 3 & 1);
	return true;
}

static enum verdict take_own_limits(struct device *dev, uint8_t adr, struct bytes info, const char **why)
{
	if (info.n && u8_at(info, 0) != adr)
		return FRAME_FOREIGN;
	return take_limits(&dev->reading, bytes_sub(info, 1, info.n), why) ? FRAME_ANSWER : FRAME_BAD;
}

/* ---- 47: sheet 5.3. The discharge limit is told negative ---- */

static const struct setting_row parameter_rows[] = {
	{1, RAW_U16BE, 1000, 0, "cell_ovp_V", SETTING_NUMBER},
	{3, RAW_U16BE, 1000, 0, "cell_uv_warn_V", SETTING_NUMBER},
	{5, RAW_U16BE, 1000, 0, "cell_uvp_V", SETTING_NUMBER},
	{7, RAW_U16BE, 10, -2731, "charge_otp_C", SETTING_NUMBER},
	{9, RAW_U16BE, 10, -2731, "charge_utp_C", SETTING_NUMBER},
	{11, RAW_S16BE, 10, 0, "charge_ocp_A", SETTING_NUMBER},
	{13, RAW_U16BE, 1000, 0, "pack_ovp_V", SETTING_NUMBER},
	{15, RAW_U16BE, 1000, 0, "pack_uv_warn_V", SETTING_NUMBER},
	{17, RAW_U16BE, 1000, 0, "pack_uvp_V", SETTING_NUMBER},
	{19, RAW_U16BE, 10, -2731, "discharge_otp_C", SETTING_NUMBER},
	{21, RAW_U16BE, 10, -2731, "discharge_utp_C", SETTING_NUMBER},
	{23, RAW_S16BE, -10, 0, "discharge_ocp_A", SETTING_NUMBER},
};

enum { PARAMETERS_SIZE = 25 };

/* ---- who it is: sheet 5.5 ---- */

enum { SERIAL_SIZE = 16, DEVICE_NAME = 10, MAKER_SIZE = 32, SOFTWARE_SIZE = 5 };

static bool printable(struct bytes text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] && !isprint(text.p[i]))
			return false;
	return true;
}

static enum verdict take_serial(struct device *dev, uint8_t adr, struct bytes info, const char **why)
{
	char text[MAX_TEXT];

	if (info.n && u8_at(info, 0) != adr)
		return FRAME_FOREIGN;
	if (info.n != 1 + SERIAL_SIZE || !printable(bytes_sub(info, 1, SERIAL_SIZE))) {
		*why = "no serial number";
		return FRAME_BAD;
	}
	bytes_text(bytes_sub(info, 1, SERIAL_SIZE), text, sizeof(text));
	reading_set_text(&dev->reading, T_SERIAL_NUMBER, text);
	return FRAME_ANSWER;
}

static enum verdict take_maker(struct device *dev, struct bytes info, const char **why)
{
	char text[MAX_TEXT];

	if (info.n != MAKER_SIZE || !printable(bytes_sub(info, 0, DEVICE_NAME)) ||
	    !printable(bytes_sub(info, DEVICE_NAME + 2, MAKER_SIZE))) {
		*why = "no manufacturer information";
		return FRAME_BAD;
	}
	bytes_text(bytes_sub(info, 0, DEVICE_NAME), text, sizeof(text));
	reading_set_text(&dev->reading, T_MODEL, text);
	bytes_text(bytes_sub(info, DEVICE_NAME + 2, MAKER_SIZE), text, sizeof(text));
	reading_set_text(&dev->reading, T_MANUFACTURER, text);
	snprintf(text, sizeof(text), "%u.%u", u8_at(info, DEVICE_NAME), u8_at(info, DEVICE_NAME + 1));
	if (!dev->reading.text[T_FIRMWARE_VERSION][0]) /* 96 tells more */
		reading_set_text(&dev->reading, T_FIRMWARE_VERSION, text);
	return FRAME_ANSWER;
}

static enum verdict take_software(struct device *dev, uint8_t adr, struct bytes info, const char **why)
{
	char text[MAX_TEXT];

	if (info.n && u8_at(info, 0) != adr)
		return FRAME_FOREIGN;
	if (info.n != 1 + SOFTWARE_SIZE) {
		*why = wrong_length;
		return FRAME_BAD;
	}
	snprintf(text, sizeof(text), "%u.%u", u8_at(info, 1), u8_at(info, 2));
	settings_set_text(&dev->settings, "manufacturer_version", text);
	snprintf(text, sizeof(text), "%u.%u.%u", u8_at(info, 3), u8_at(info, 4), u8_at(info, 5));
	reading_set_text(&dev->reading, T_FIRMWARE_VERSION, text);
	return FRAME_ANSWER;
}

/* ---- 61, 62: sheet 5.6, of the whole system ---- */

static const struct number_row system_rows[] = {
	{0, RAW_U16BE, 1000, 0, Q_VOLTAGE_V},
	{2, RAW_S16BE, 100, 0, Q_CURRENT_A},
	{4, RAW_U8, 1, 0, Q_SOC_PCT},
};

/* An id has the module in its high byte, the cell or sensor in its low one. */
static const struct detail_row system_details[] = {
	{0, RAW_U16BE, 1000, 0, "system_voltage_V"},
	{2, RAW_S16BE, 100, 0, "system_current_A"},
	{4, RAW_U8, 1, 0, "system_soc_pct"},
	{5, RAW_U16BE, 1, 0, "system_cycles_average"},
	{7, RAW_U16BE, 1, 0, "system_cycles_max"},
	{9, RAW_U8, 1, 0, "system_soh_average_pct"},
	{10, RAW_U8, 1, 0, "system_soh_min_pct"},
	{11, RAW_U16BE, 1000, 0, "system_cell_max_V"},
	{13, RAW_U16BE, 1, 0, "system_cell_max_id"},
	{15, RAW_U16BE, 1000, 0, "system_cell_min_V"},
	{17, RAW_U16BE, 1, 0, "system_cell_min_id"},
	{19, RAW_U16BE, 10, -2731, "system_cell_temp_average_C"},
	{21, RAW_U16BE, 10, -2731, "system_cell_temp_max_C"},
	{23, RAW_U16BE, 1, 0, "system_cell_temp_max_id"},
	{25, RAW_U16BE, 10, -2731, "system_cell_temp_min_C"},
	{27, RAW_U16BE, 1, 0, "system_cell_temp_min_id"},
	{29, RAW_U16BE, 10, -2731, "system_mos_temp_average_C"},
	{31, RAW_U16BE, 10, -2731, "system_mos_temp_max_C"},
	{35, RAW_U16BE, 10, -2731, "system_mos_temp_min_C"},
	{39, RAW_U16BE, 10, -2731, "system_bms_temp_average_C"},
	{41, RAW_U16BE, 10, -2731, "system_bms_temp_max_C"},
	{45, RAW_U16BE, 10, -2731, "system_bms_temp_min_C"},
};

static const struct detail_row system_alarm_details[] = {
	{0, RAW_U8, 1, 0, "system_alarm_1_bits"},
	{1, RAW_U8, 1, 0, "system_alarm_2_bits"},
	{2, RAW_U8, 1, 0, "system_protection_1_bits"},
	{3, RAW_U8, 1, 0, "system_protection_2_bits"},
};

enum { SYSTEM_SIZE = 49, SYSTEM_ALARMS_SIZE = 4 };

/* Values of the system are not those of a pack whose own are known. */
static enum verdict take_system(struct device *dev, struct bytes info, const char **why)
{
	struct reading *r = &dev->reading;

	if (info.n != SYSTEM_SIZE || u8_at(info, 4) > 100) {
		*why = wrong_length;
		return FRAME_BAD;
	}
	table_details(ROWS(system_details), info, r);
	if (!r->cell_V.reported)
		table_numbers(ROWS(system_rows), info, r);
	return FRAME_ANSWER;
}

/* ---- taking a reply ---- */

enum { UNKNOWN_COMMAND = 0x04 };

static enum verdict take_table(struct device *dev, uint16_t code, struct bytes info, const char **why)
{
	size_t size = code == PARAMETERS ? PARAMETERS_SIZE : SYSTEM_ALARMS_SIZE;

	if (info.n != size) {
		*why = wrong_length;
		return FRAME_BAD;
	}
	if (code == PARAMETERS)
		table_settings(ROWS(parameter_rows), info, &dev->settings);
	else
		table_details(ROWS(system_alarm_details), info, &dev->reading);
	return FRAME_ANSWER;
}

static enum verdict take_info(struct device *dev, const struct request *pending, struct bytes info, const char **why)
{
	uint8_t adr = adr_of(dev);

	switch (pending->code) {
	case ANALOG:
		return take_analog(dev, pending, info, why);
	case ALARMS:
		return take_alarm_info(dev, pending, info, why);
	case LIMITS:
		return take_own_limits(dev, adr, info, why);
	case SYSTEM_LIMITS:
		return take_limits(&dev->reading, info, why) ? FRAME_ANSWER : FRAME_BAD;
	case SERIAL:
		return take_serial(dev, adr, info, why);
	case SOFTWARE:
		return take_software(dev, adr, info, why);
	case MAKER:
		return take_maker(dev, info, why);
	case SYSTEM_ANALOG:
		return take_system(dev, info, why);
	default:
		return take_table(dev, pending->code, info, why);
	}
}

/* Some firmware answers in version 21. */
static bool is_old_version(const struct request *pending, struct bytes frame, struct ascii_1363 *f)
{
	uint8_t adr = 0;

	(void)asks_for_all(pending, &adr);
	return frame.n && u8_at(frame, 0) == ASCII_1363_SOI && f->ver == OLD_VERSION && f->adr == adr &&
	       f->cid1 == CLASS && !f->code && !f->length_wrong;
}

/* That a pack does not know a command is something that it tells (captured: 92). */
static bool is_unknown_to_it(struct state *s, uint16_t code, const struct ascii_1363 *f)
{
	if (f->code != UNKNOWN_COMMAND || f->cid1 != CLASS || (f->ver != VERSION && f->ver != OLD_VERSION))
		return false;
	if (code == LIMITS)
		s->no_limits = true;
	if (code == SERIAL)
		s->no_serial = true;
	return code == LIMITS || code == SERIAL;
}

static enum verdict pylontech_take(struct device *dev, const struct request *pending, struct bytes frame,
				   const char **why)
{
	struct ascii_1363 f = {.n = 0};
	enum verdict verdict = ascii_1363_judge(pending, frame, false, &f, why);

	if (verdict == FRAME_FOREIGN && is_old_version(pending, frame, &f))
		verdict = FRAME_ANSWER;
	if (verdict == FRAME_REFUSED && is_unknown_to_it(dev->state, pending->code, &f))
		return FRAME_ANSWER;
	if (verdict != FRAME_ANSWER)
		return verdict;
	verdict = take_info(dev, pending, ascii_1363_info(&f), why);
	if (verdict == FRAME_ANSWER)
		reading_set(&dev->reading, Q_ADDRESS, adr_of(dev));
	return verdict;
}

static bool pylontech_further(const struct request *pending, struct bytes frame, unsigned nth, struct request *as)
{
	struct ascii_1363 f;
	uint8_t adr;

	if ((pending->code != ANALOG && pending->code != ALARMS) || !asks_for_all(pending, &adr) ||
	    !ascii_1363_open(frame, &f) || f.n < 2 || f.info[1] > MAX_PACKS || nth >= f.info[1] ||
	    pending->address + nth > LAST_PACK)
		return false;
	*as = *pending;
	as->address = (uint8_t)(pending->address + nth);
	return true;
}

/* ---- detection: sheet 4, ascii-1363 8 ---- */

static bool limits_plausible(const struct reading *r)
{
	double cvl = reading_get(r, Q_BMS_CVL_V), dvl = reading_get(r, Q_BMS_DVL_V);

	return cvl >= 20 && cvl <= 64 && dvl < cvl;
}

/* Seplos speaks the same frames: it knows neither 92 nor 93. */
static bool pylontech_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;

	if (!r->cell_V.count || !reading_knows(r, Q_VOLTAGE_V)) {
		*why = "the cells have not been told";
		return false;
	}
	if (!reading_knows(r, Q_BMS_CCL_A) && !r->text[T_SERIAL_NUMBER][0]) {
		*why = "it tells neither its limits nor its serial number, as a Pylontech does";
		return false;
	}
	if (reading_knows(r, Q_BMS_CCL_A) && !limits_plausible(r)) {
		*why = "its charge voltage limit is outside 20..64 V";
		return false;
	}
	if (!cells_make_up_voltage(r) || !temperatures_within(r, -60, 120)) {
		*why = "cells, pack voltage and temperatures do not fit each other";
		return false;
	}
	return reading_plausible(r, why);
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{115200, 8, 'N', 1}, {9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Pylontech", NULL};

static bool knows_limits(const struct device *dev)
{
	return !((const struct state *)dev->state)->no_limits;
}

static bool is_master(const struct device *dev)
{
	return dev->address == MASTER;
}

static bool master_without_limits(const struct device *dev)
{
	return is_master(dev) && !knows_limits(dev);
}

static bool has_serial(const struct device *dev)
{
	return !((const struct state *)dev->state)->no_serial;
}

static const struct poll polls[] = {
	{ANALOG, 0, EVERY_POLL, true, NULL},
	{ALARMS, 0, EVERY_POLL, true, NULL},
	{LIMITS, 0, EVERY_POLL, true, knows_limits},
	{SYSTEM_LIMITS, 0, EVERY_POLL, false, master_without_limits},
	{SERIAL, 0, ONCE, false, has_serial},
	{SOFTWARE, 0, ONCE, false, NULL},
	{MAKER, 0, ONCE, false, NULL},
	{SYSTEM_ANALOG, 0, 60000, false, is_master},
	{SYSTEM_ALARMS, 0, 60000, false, is_master},
	{PARAMETERS, 0, 600000, false, NULL},
};

/* The master of group m is at 02 + 10h * m; packs without their switches set are group 0. */
#define GROUP_MASTER(m)                                                                                                \
	{                                                                                                              \
		ANALOG, 0, MASTER, 0, m, 2, 50, false                                                                  \
	}

static const struct probe probes[] = {
	{ANALOG, 0, MASTER, LAST_PACK, 0, 0, 50, false},
	GROUP_MASTER(1),
	GROUP_MASTER(2),
	GROUP_MASTER(3),
	GROUP_MASTER(4),
	GROUP_MASTER(5),
	GROUP_MASTER(6),
	GROUP_MASTER(7),
};

#define Q(id)	     (UINT64_C(1) << Q_##id)
#define F(id)	     (1u << F_##id)
#define A(id)	     (1u << ALARM_##id)
#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

const struct protocol pylontech_protocol = {
	.id = "pylontech",
	.title = "Pylontech US2000, US3000, US5000, UP2500, Force L (RS485)",
	.manufacturer = "Pylontech",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 300,
		   .gap_ms = 100,
		   .pause_ms = 50,
		   .late_ms = 600,
		   .scan_ms = 150,
		   .tries = 3,
		   .poll_ms = 1000},
	.quantities = Q(ADDRESS) | Q(PACK_COUNT) | Q(VOLTAGE_V) | Q(CURRENT_A) | Q(SOC_PCT) | Q(CAPACITY_FULL_AH) |
		      Q(CAPACITY_REMAINING_AH) | Q(CYCLES) | Q(CELL_COUNT) | Q(TEMP_MOS_C) | Q(BMS_CVL_V) |
		      Q(BMS_DVL_V) | Q(BMS_CCL_A) | Q(BMS_DCL_A),
	.series = SERIES_CELLS | SERIES_TEMPERATURES,
	.flags = F(CHARGE_MOS) | F(DISCHARGE_MOS) | F(HEATER_ON) | F(CHARGE_ALLOWED) | F(DISCHARGE_ALLOWED),
	.alarms = A(HIGH_VOLTAGE) | A(LOW_VOLTAGE) | A(HIGH_CELL_VOLTAGE) | A(LOW_CELL_VOLTAGE) |
		  A(HIGH_CHARGE_CURRENT) | A(HIGH_DISCHARGE_CURRENT) | A(INTERNAL_FAILURE) |
		  A(HIGH_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) | A(LOW_TEMPERATURE),
	.first_sensor_is_mos = true,
	.first_address = MASTER,
	.last_address = LAST_PACK,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = COUNT(polls),
	.probes = probes,
	.probe_count = COUNT(probes),
	.confirm = {SERIAL, LIMITS},
	.confirm_count = 2,
	.encode = pylontech_encode,
	.find_frame = ascii_1363_find,
	.take = pylontech_take,
	.plausible = pylontech_plausible,
	.parse_request = pylontech_parse_request,
	.further = pylontech_further,
};
