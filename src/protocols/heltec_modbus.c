/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Heltec smart BMS and other boards of the YY-BCU family on RS485, sheet heltec-modbus: Modbus RTU whose registers hold
 * little-endian bytes. All registers together are one row of bytes; a read shows a part of it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/modbus_rtu.h"
#include "protocols/procedure.h"
#include "protocols/table.h"

extern const struct protocol heltec_modbus_protocol;

/* A request's code is the first register of a read, arg how many there are (0: as in reads[]); or WRITE_SOC. */
enum registers {
	REG_ADDRESS = 0, /* read through address 0: who is there? */
	REG_SUMMARY = 1, /* up to the Bluetooth name; behind that stands the PIN, which is never asked for */
	REG_HARDWARE = 49,
	REG_PROFILE = 63, /* the signature, and what follows up to the current */
	REG_STATUS = 80,
	REG_SOC = 120,
	REG_SETTINGS = 160,
};

enum {
	WRITE_SOC = 0x0600 | REG_SOC, /* arg: SoC << 8 | SoH */
	FIRST_ADDRESS = 1,
	LAST_ADDRESS = 8, /* what is looked for without being told */
	HIGHEST_ADDRESS = 247,
	MAX_YY_CELLS = 24,
	CELL_PLACES = 25,
	SENSOR_PLACES = 5,
};

/* Places in the row of bytes, from the offsets in the sheet's blocks. */
#define SUMMARY(off)  (2 * REG_SUMMARY + (off))
#define STATUS(off)   (2 * REG_STATUS + (off))
#define SETTINGS(off) (2 * REG_SETTINGS + (off))

struct state {
	bool signature; /* it has shown that it is of this family */
	bool full_told; /* the status has told how much it holds; the settings need not be believed */
};

/* What one reply shows of the row of bytes. */
struct view {
	size_t first;
	struct bytes b;
};

static bool shows(const struct view *v, size_t off, size_t n)
{
	return off >= v->first && bytes_has(v->b, off - v->first, n);
}

/* Only of what is shown. */
static struct bytes part(const struct view *v, size_t off, size_t n)
{
	return bytes_sub(v->b, off - v->first, n);
}

static double number(const struct view *v, size_t off, enum raw_type type)
{
	return raw_at(v->b, off - v->first, type);
}

/* ---- requests: sheet 3; single registers: sheet 8 ---- */

static const struct read {
	uint16_t start, count;
} reads[] = {
	{REG_ADDRESS, 1},
	{REG_PROFILE, 4},
	{REG_STATUS, 80},
	{REG_SETTINGS, 81},
	{REG_SOC, 1},
	{REG_SUMMARY, 46},
	{REG_HARDWARE, 14},
	/* What recordings hold beside what we ask ourselves. */
	{REG_SUMMARY, 79},
	{REG_PROFILE, 17},
	{2, 4},
	{7, 13},
	{41, 6},
	{75, 1},
	{76, 2},
	{78, 2},
	{112, 1},
	{113, 1},
	{118, 1},
	{119, 1},
	{118, 2},
	{126, 1},
	{152, 1},
	{152, 2},
	{156, 1},
	{156, 2},
	{169, 1},
	{172, 1},
	{191, 1},
	{194, 1},
	{240, 20},
};

enum { LIVE_COUNT = 17, HARDWARE_COUNT = 14, READS = sizeof(reads) / sizeof(reads[0]) };

/* count 0: the first read of this register. NULL: no such read. */
static const struct read *find_read(uint16_t start, uint16_t count)
{
	for (const struct read *r = reads; r < reads + READS; r++)
		if (r->start == start && (!count || r->count == count))
			return r;
	return NULL;
}

static bool heltec_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	/* Address 0 is everybody's: for the question who is there, and nothing else. */
	if (dev->address > HIGHEST_ADDRESS || (!dev->address && code != REG_ADDRESS))
		return false;
	request_start(out, dev->protocol, dev->address, 0, code, arg);
	if (code == WRITE_SOC) {
		modbus_build_write(out, REG_SOC, arg);
		return true;
	}
	const struct read *r = find_read(code, arg);

	if (!r)
		return false;
	modbus_build_read(out, MODBUS_READ_HOLDING, r->start, r->count);
	return true;
}

static bool heltec_parse_request(struct bytes tx, struct request *out)
{
	uint8_t address = u8_at(tx, 0), function = u8_at(tx, 1);
	uint16_t reg = u16be_at(tx, 2), second = u16be_at(tx, 4);

	if (tx.n != 8 || !modbus_crc_fits(tx) || address > HIGHEST_ADDRESS || (!address != (reg == REG_ADDRESS)))
		return false;
	if (function == MODBUS_READ_HOLDING && second && find_read(reg, second)) {
		request_start(out, &heltec_modbus_protocol, address, 0, reg, second);
	} else if (function == MODBUS_WRITE_REGISTER && reg == REG_SOC) {
		request_start(out, &heltec_modbus_protocol, address, 0, WRITE_SOC, second);
		out->writes = out->echo_is_reply = true;
	} else {
		return false;
	}
	request_put(out, tx);
	return true;
}

/* To address 0 the board answers with its own. */
static int heltec_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	return modbus_find_reply(pending && pending->tx[0] ? pending : NULL, in, quiet, why);
}

/* ---- what is a fixed layout: sheet 5 and 8 ---- */

static const struct number_row number_rows[] = {
	{SUMMARY(140), RAW_U32LE, 1, 0, Q_UPTIME_S},	{SUMMARY(150), RAW_S32LE, 1000, 0, Q_VOLTAGE_V},
	{STATUS(80), RAW_U8, 1, 0, Q_SOC_PCT},		{STATUS(81), RAW_U8, 1, 0, Q_SOH_PCT},
	{STATUS(95), RAW_U8, 1, 0, Q_CYCLES},		{SETTINGS(62), RAW_U16LE, 100, 0, Q_BMS_CCL_A},
	{SETTINGS(68), RAW_U16LE, 100, 0, Q_BMS_DCL_A},
};

static const struct detail_row detail_rows[] = {
	{SUMMARY(136), RAW_U32LE, 1, 0, "second_counter"},     {SUMMARY(144), RAW_U16LE, 1, 0, "reset_count"},
	{STATUS(0), RAW_S16LE, 1, 0, "power_unsigned_W"}, /* its sign would be that of a state that lags by a second */
	{STATUS(73), RAW_U8, 1, 0, "temp_difference_C"},       {STATUS(90), RAW_U16LE, 1, 0, "learning_counter"},
	{STATUS(92), RAW_U16LE, 10, 0, "learned_capacity_Ah"}, {STATUS(94), RAW_U8, 1, 0, "learning_state"},
	{STATUS(96), RAW_U16LE, 1, 0, "accumulated_raw"},      {STATUS(98), RAW_U8, 1, 0, "charge_current_request_raw"},
	{STATUS(144), RAW_U32LE, 1, 0, "run_state_1_bits"},    {STATUS(148), RAW_U32LE, 1, 0, "run_state_2_bits"},
	{STATUS(152), RAW_U32LE, 1, 0, "alarm_bits"},
};

static const struct setting_row setting_rows[] = {
	{SUMMARY(0), RAW_U16LE, 1, 0, "protocol_version", SETTING_NUMBER},
	{SUMMARY(102), RAW_U8, 1, 0, "switch_type", SETTING_NUMBER},
	{SUMMARY(103), RAW_U8, 1, 0, "temp_sensor_count", SETTING_NUMBER},
	{SUMMARY(104), RAW_U8, 1, 0, "mos_sensor_count", SETTING_NUMBER},
	{SUMMARY(105), RAW_U8, 1, 0, "balancer_sensor_count", SETTING_NUMBER},
	{SUMMARY(111), RAW_U8, 1, 0, "max_cells", SETTING_NUMBER},
	{SUMMARY(112), RAW_U16LE, 1, 0, "max_current_A", SETTING_NUMBER},
	{SUMMARY(114), RAW_U8, 1, 0, "rs485_protocol", SETTING_NUMBER},
	{SUMMARY(115), RAW_U8, 1, 0, "rs485_baud_code", SETTING_NUMBER},
	{SUMMARY(116), RAW_U8, 1, 0, "can_protocol", SETTING_NUMBER},
	{SUMMARY(117), RAW_U8, 1, 0, "can_baud_code", SETTING_NUMBER},
	{STATUS(52), RAW_U16LE, 1000, 0, "cell_valid_low_V", SETTING_NUMBER},
	{STATUS(54), RAW_U16LE, 1000, 0, "cell_valid_high_V", SETTING_NUMBER},
	{STATUS(100), RAW_S16LE, 1, 0, "shunt_gain", SETTING_NUMBER},
	{STATUS(102), RAW_S16LE, 1, 0, "shunt_offset", SETTING_NUMBER},
	{STATUS(122), RAW_U16LE, 1000, 0, "balance_start_V", SETTING_NUMBER},
	{STATUS(124), RAW_U16LE, 1000, 0, "balance_trigger_V", SETTING_NUMBER},
	{STATUS(126), RAW_U16LE, 1, 0, "balance_delta_raw", SETTING_NUMBER},
	{STATUS(140), RAW_U8, 1, 0, "wake_up_config", SETTING_NUMBER},
	{STATUS(141), RAW_U8, 1, 0, "panel_config", SETTING_NUMBER},
	{STATUS(142), RAW_U8, 1, 0, "system_config", SETTING_NUMBER},
	{SETTINGS(0), RAW_U8, 1, 0, "beeper", SETTING_SWITCH},
	{SETTINGS(1), RAW_U8, 1, 0, "relay", SETTING_SWITCH},
	{SETTINGS(14), RAW_U16LE, 1000, 0, "register_167_V", SETTING_NUMBER}, /* meaning not known */
	{SETTINGS(18), RAW_U16LE, 1000, 0, "cell_ovp_V", SETTING_NUMBER},
	{SETTINGS(20), RAW_U16LE, 1000, 0, "cell_ovpr_V", SETTING_NUMBER},
	{SETTINGS(22), RAW_U8, 1, 0, "cell_ovp_delay_s", SETTING_NUMBER},
	{SETTINGS(23), RAW_U8, 1, 0, "cell_ovpr_s", SETTING_NUMBER},
	{SETTINGS(24), RAW_U16LE, 1000, 0, "cell_uvp_V", SETTING_NUMBER},
	{SETTINGS(26), RAW_U16LE, 1000, 0, "cell_uvpr_V", SETTING_NUMBER},
	{SETTINGS(28), RAW_U8, 1, 0, "cell_uvp_delay_s", SETTING_NUMBER},
	{SETTINGS(29), RAW_U8, 1, 0, "cell_uvpr_s", SETTING_NUMBER},
	{SETTINGS(30), RAW_U16LE, 1000, 0, "cell_sleep_V", SETTING_NUMBER},
	{SETTINGS(36), RAW_U16LE, 100, 0, "pack_ovp_V", SETTING_NUMBER},
	{SETTINGS(38), RAW_U16LE, 100, 0, "pack_ovpr_V", SETTING_NUMBER},
	{SETTINGS(42), RAW_U16LE, 100, 0, "pack_uvp_V", SETTING_NUMBER},
	{SETTINGS(44), RAW_U16LE, 100, 0, "pack_uvpr_V", SETTING_NUMBER},
	{SETTINGS(48), RAW_U16LE, 100, 0, "pack_full_V", SETTING_NUMBER},
	{SETTINGS(54), RAW_U16LE, 100, 0, "register_187_V", SETTING_NUMBER}, /* meaning not known */
	{SETTINGS(62), RAW_U16LE, 100, 0, "charge_ocp_A", SETTING_NUMBER},
	{SETTINGS(64), RAW_U8, 1, 0, "charge_ocp_delay_s", SETTING_NUMBER},
	{SETTINGS(65), RAW_U8, 1, 0, "charge_ocpr_s", SETTING_NUMBER},
	{SETTINGS(68), RAW_U16LE, 100, 0, "discharge_ocp_A", SETTING_NUMBER},
	{SETTINGS(70), RAW_U16LE, 1, 0, "discharge_ocp_2_A", SETTING_NUMBER},
	{SETTINGS(80), RAW_U8, 1, -40, "charge_otp_C", SETTING_NUMBER},
	{SETTINGS(81), RAW_U8, 1, -40, "charge_otpr_C", SETTING_NUMBER},
	{SETTINGS(82), RAW_U8, 1, -40, "charge_utp_C", SETTING_NUMBER},
	{SETTINGS(83), RAW_U8, 1, -40, "charge_utpr_C", SETTING_NUMBER},
	{SETTINGS(84), RAW_U8, 1, -40, "discharge_otp_C", SETTING_NUMBER},
	{SETTINGS(85), RAW_U8, 1, -40, "discharge_otpr_C", SETTING_NUMBER},
	{SETTINGS(86), RAW_U8, 1, -40, "discharge_utp_C", SETTING_NUMBER},
	{SETTINGS(87), RAW_U8, 1, -40, "discharge_utpr_C", SETTING_NUMBER},
	{SETTINGS(88), RAW_U8, 1, -40, "mos_otp_C", SETTING_NUMBER},
	{SETTINGS(89), RAW_U8, 1, -40, "mos_otpr_C", SETTING_NUMBER},
	{SETTINGS(92), RAW_U8, 1, 0, "short_circuit_1_raw", SETTING_NUMBER},
	{SETTINGS(93), RAW_U8, 1, 0, "short_circuit_2_raw", SETTING_NUMBER},
	{SETTINGS(114), RAW_U16LE, 10, 0, "capacity_design_Ah", SETTING_NUMBER},
	{SETTINGS(116), RAW_U16LE, 10, 0, "capacity_full_Ah", SETTING_NUMBER},
	{SETTINGS(140), RAW_U16LE, 1, 0, "idle_sleep_raw", SETTING_NUMBER},
	{SETTINGS(142), RAW_U16LE, 1, 0, "auto_sleep_raw", SETTING_NUMBER},
};

/* Texts that are no part of the identity. */
static const struct {
	uint16_t off, n;
	const char *name;
} text_settings[] = {
	{SUMMARY(38), 36, "product_name"},
	{SUMMARY(80), 12, "bluetooth_name"},
	{SETTINGS(94), 8, "pack_serial"},
};

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

/* The tables count from the beginning of the row of bytes, the functions that apply them from that of a reply. */
static void take_tables(struct device *dev, const struct view *v)
{
	for (size_t i = 0; i < LENGTH(number_rows); i++) {
		struct number_row row = number_rows[i];

		if (!shows(v, row.off, raw_size(row.type)))
			continue;
		row.off = (uint16_t)(row.off - v->first);
		table_numbers(&row, 1, v->b, &dev->reading);
	}
	for (size_t i = 0; i < LENGTH(detail_rows); i++) {
		struct detail_row row = detail_rows[i];

		if (!shows(v, row.off, raw_size(row.type)))
			continue;
		row.off = (uint16_t)(row.off - v->first);
		table_details(&row, 1, v->b, &dev->reading);
	}
	for (size_t i = 0; i < LENGTH(setting_rows); i++) {
		struct setting_row row = setting_rows[i];

		if (!shows(v, row.off, raw_size(row.type)))
			continue;
		row.off = (uint16_t)(row.off - v->first);
		table_settings(&row, 1, v->b, &dev->settings);
	}
}

/* ---- alarms: sheet 6 ---- */

static const struct alarm_row alarm_rows[] = {
	{0, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{1, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{2, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, "cell_uv_cutoff"},
	{3, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{4, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{5, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{6, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{7, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL}, /* found by the hardware */
	{8, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{8, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{9, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{10, ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{11, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{12, ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{13, ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	/* It comes at 45 % under load while all MOS stay on: by voltage, and no more than a warning. */
	{14, ALARM_WARNING, ALARM_LOW_SOC, NULL},
	{17, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL}, /* found by the hardware, as is 18 */
	{18, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{25, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{26, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{27, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{28, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{29, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{30, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{31, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
};

/* States that are no alarm, and which part it is that an internal failure speaks of: shown while set. */
static const struct {
	uint8_t bit;
	const char *name;
} alarm_details[] = {
	{15, "battery_full"},	      {16, "battery_empty"},	      {25, "afe_fault"},
	{26, "memory_fault"},	      {27, "voltage_sensor_fault"},   {28, "temp_sensor_fault"},
	{29, "current_sensor_fault"}, {30, "discharge_output_fault"}, {31, "charge_output_fault"},
};

static void take_alarms(struct device *dev, const struct view *v)
{
	if (!shows(v, STATUS(152), 4))
		return;
	uint32_t word = u32le_at(part(v, STATUS(152), 4), 0);

	alarms_clear(&dev->reading.alarms);
	table_alarms(ROWS(alarm_rows), word, &dev->reading.alarms);
	for (size_t i = 0; i < LENGTH(alarm_details); i++)
		reading_set_detail(&dev->reading, alarm_details[i].name, word >> alarm_details[i].bit & 1 ? 1 : NAN);
}

/* ---- what a table can't say: the summary ---- */

static void put_text_setting(struct device *dev, const char *name, struct bytes b)
{
	char text[MAX_SETTING_TEXT];

	if (bytes_text(b, text, sizeof(text)))
		settings_set_text(&dev->settings, name, text);
}

/* In hundredths: 133 is version 1.33. */
static void version_text(int hundredths, char out[16])
{
	snprintf(out, 16, "%d.%02d", hundredths / 100, hundredths % 100);
}

/* Which of the two bytes is the month is not proven: the first, unless it can't be. */
static void take_date(struct device *dev, struct bytes b)
{
	unsigned year = u16le_at(b, 0), month = u8_at(b, 2), day = u8_at(b, 3);
	char text[16];

	if (month > 12 && day <= 12) {
		month = day;
		day = u8_at(b, 2);
	}
	if (year < 2000 || year > 2199 || month < 1 || month > 12 || day < 1 || day > 31)
		return;
	snprintf(text, sizeof(text), "%04u-%02u-%02u", year, month, day);
	reading_set_text(&dev->reading, T_PRODUCTION_DATE, text);
}

static void take_identity(struct device *dev, const struct view *v)
{
	struct reading *r = &dev->reading;
	char text[MAX_TEXT];

	if (shows(v, SUMMARY(2), 8)) {
		bytes_hex(part(v, SUMMARY(2), 8), text, sizeof(text));
		reading_set_text(r, T_SERIAL_NUMBER, text);
	}
	if (shows(v, SUMMARY(12), 26)) {
		bytes_text(part(v, SUMMARY(12), 26), text, sizeof(text));
		reading_set_text(r, T_MODEL, text);
	}
	if (shows(v, SUMMARY(74), 2) && number(v, SUMMARY(74), RAW_S16LE) > 0) {
		version_text((int)number(v, SUMMARY(74), RAW_S16LE), text);
		reading_set_text(r, T_HARDWARE_VERSION, text);
	}
	if (shows(v, SUMMARY(76), 4))
		take_date(dev, part(v, SUMMARY(76), 4));
	for (size_t i = 0; i < LENGTH(text_settings); i++)
		if (shows(v, text_settings[i].off, text_settings[i].n))
			put_text_setting(dev, text_settings[i].name, part(v, text_settings[i].off, text_settings[i].n));
}

static void take_firmware(struct device *dev, const struct view *v)
{
	char text[MAX_SETTING_TEXT];

	if (shows(v, SUMMARY(122), 2)) {
		struct bytes b = part(v, SUMMARY(122), 2);

		version_text(u8_at(b, 0), text);
		settings_set_text(&dev->settings, "boot_version", text);
		version_text(u8_at(b, 1), text);
		reading_set_text(&dev->reading, T_FIRMWARE_VERSION, text);
	}
	if (shows(v, SUMMARY(128), 6)) {
		struct bytes b = part(v, SUMMARY(128), 6);

		snprintf(text, sizeof(text), "20%02u-%02u-%02u %02u:%02u:%02u", u8_at(b, 0), u8_at(b, 1), u8_at(b, 2),
			 u8_at(b, 3), u8_at(b, 4), u8_at(b, 5));
		settings_set_text(&dev->settings, "firmware_build", text);
	}
}

/* Cell count, chemistry and current, which the wire counts as positive when it flows out of the battery. */
static void take_live(struct device *dev, const struct view *v)
{
	static const char *const chemistry[] = {"NMC", "LFP", "LTO", "sodium"};
	unsigned kind;

	if (shows(v, SUMMARY(148), 2)) {
		reading_set(&dev->reading, Q_CELL_COUNT, number(v, SUMMARY(148), RAW_U8));
		kind = u8_at(part(v, SUMMARY(149), 1), 0);
		settings_set_number(&dev->settings, "chemistry_code", kind);
		if (kind < LENGTH(chemistry))
			settings_set_text(&dev->settings, "chemistry", chemistry[kind]);
	}
	if (shows(v, SUMMARY(154), 4))
		reading_set(&dev->reading, Q_CURRENT_A, (0 - number(v, SUMMARY(154), RAW_S32LE)) / 100);
}

/* ---- the status ---- */

static bool is_cell(unsigned mV)
{
	return mV && mV != 20 && mV != 35 && mV != 36 && mV <= 5000;
}

/* As many places as the summary tells; before it has, up to the last one that holds a cell. */
static void take_cells(struct device *dev, const struct view *v)
{
	struct reading *r = &dev->reading;

	if (!shows(v, STATUS(2), 2 * CELL_PLACES))
		return;
	struct bytes b = part(v, STATUS(2), 2 * CELL_PLACES);
	unsigned count = 0;

	if (reading_knows(r, Q_CELL_COUNT))
		count = (unsigned)reading_get(r, Q_CELL_COUNT);
	else
		for (unsigned i = 0; i < CELL_PLACES; i++)
			if (is_cell(u16le_at(b, 2 * i)))
				count = i + 1;
	series_start(&r->cell_V, count);
	for (unsigned i = 0; i < count && i < CELL_PLACES; i++)
		if (is_cell(u16le_at(b, 2 * i)))
			series_set(&r->cell_V, i, u16le_at(b, 2 * i) / 1000.0);
}

/* Voltage and number of the highest or lowest cell; nothing where the number names no cell. */
static void take_extreme(struct reading *r, unsigned place, enum quantity voltage, enum quantity no)
{
	reading_forget(r, voltage);
	reading_forget(r, no);
	if (!series_knows(&r->cell_V, place))
		return;
	reading_set(r, voltage, r->cell_V.value[place]);
	reading_set(r, no, place + 1);
}

/* A place without sensor reads 0 or 166. */
static double temperature(uint8_t raw)
{
	return raw && raw != 166 ? raw - 40.0 : NAN;
}

static void take_temperature(struct reading *r, enum quantity q, uint8_t raw)
{
	reading_forget(r, q);
	reading_set(r, q, temperature(raw));
}

/* The byte order within a register is that of the wire: sensor 1 is the first. */
static void take_temperatures(struct device *dev, const struct view *v)
{
	struct reading *r = &dev->reading;

	if (shows(v, STATUS(64), 2)) {
		struct bytes b = part(v, STATUS(64), 2);

		take_temperature(r, Q_TEMP_MOS_C, u8_at(b, 0));
		take_temperature(r, Q_TEMP_BALANCER_C, u8_at(b, 1));
	}
	if (!shows(v, STATUS(66), 10))
		return;
	struct bytes b = part(v, STATUS(66), 10);

	series_start(&r->temperatures, 0);
	for (unsigned i = 0; i < SENSOR_PLACES; i++)
		if (isfinite(temperature(u8_at(b, i))))
			series_set(&r->temperatures, i, temperature(u8_at(b, i)));
	take_temperature(r, Q_TEMP_MAX_C, u8_at(b, 5));
	take_temperature(r, Q_TEMP_MIN_C, u8_at(b, 6));
	reading_forget(r, Q_TEMP_MIN_NO);
	reading_forget(r, Q_TEMP_MAX_NO);
	if (series_knows(&r->temperatures, u8_at(b, 8)))
		reading_set(r, Q_TEMP_MIN_NO, u8_at(b, 8) + 1);
	if (series_knows(&r->temperatures, u8_at(b, 9)))
		reading_set(r, Q_TEMP_MAX_NO, u8_at(b, 9) + 1);
}

/* 0 Ah is none. */
static void take_capacity(struct reading *r, enum quantity q, double Ah)
{
	reading_forget(r, q);
	if (Ah > 0)
		reading_set(r, q, Ah);
}

/* What is left is not told: from the SoC, which has whole per cent, so to 0.01 Ah and not upwards. */
static void take_remaining(struct reading *r, unsigned soc_pct, unsigned full_dAh)
{
	reading_forget(r, Q_CAPACITY_REMAINING_AH);
	if (full_dAh)
		reading_set(r, Q_CAPACITY_REMAINING_AH, (soc_pct * full_dAh + 4) / 10 / 100.0);
}

static void take_charge(struct device *dev, const struct view *v)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;

	if (!shows(v, STATUS(76), 14))
		return;
	struct bytes b = part(v, STATUS(76), 14);
	uint16_t to_full = u16le_at(b, 10), to_empty = u16le_at(b, 12);

	take_capacity(r, Q_CAPACITY_DESIGN_AH, u16le_at(b, 0) / 10.0);
	take_capacity(r, Q_CAPACITY_FULL_AH, u16le_at(b, 2) / 10.0);
	take_remaining(r, u8_at(b, 4), u16le_at(b, 2));
	s->full_told = true;
	reading_set_detail(r, "remaining_energy_Wh", u32le_at(b, 6) * 100.0);
	reading_set_detail(r, "time_to_full_min", to_full != 0xffff ? to_full : NAN);
	reading_set_detail(r, "time_to_empty_min", to_empty != 0xffff ? to_empty : NAN);
}

static void take_balancing(struct device *dev, const struct view *v)
{
	struct reading *r = &dev->reading;

	if (!shows(v, STATUS(118), 4))
		return;
	r->balancing = u32le_at(part(v, STATUS(118), 4), 0);
	if (r->cell_V.reported)
		r->balancing &= (UINT64_C(1) << r->cell_V.count) - 1;
	r->balancing_known = true;
	reading_set_flag(r, F_BALANCING_ACTIVE, r->balancing != 0);
}

static void take_run_state(struct device *dev, const struct view *v)
{
	struct reading *r = &dev->reading;

	if (!shows(v, STATUS(144), 4))
		return;
	uint32_t word = u32le_at(part(v, STATUS(144), 4), 0);
	bool discharge = word & 1, charge = word >> 1 & 1;

	reading_set_flag(r, F_DISCHARGE_MOS, discharge);
	reading_set_flag(r, F_CHARGE_MOS, charge);
	reading_set_flag(r, F_CHARGE_ALLOWED, charge && !(word >> 28 & 1));
	reading_set_flag(r, F_DISCHARGE_ALLOWED, discharge && !(word >> 29 & 1));
	reading_set_detail(r, "precharge_mos", word >> 2 & 1);
	reading_set_detail(r, "state", word >> 26 & 3); /* 0 idle, 1 charging, 2 discharging */
}

/* ---- the settings ---- */

static void take_settings_capacity(struct device *dev, const struct view *v)
{
	const struct state *s = dev->state;

	if (s->full_told || !shows(v, SETTINGS(114), 4))
		return;
	take_capacity(&dev->reading, Q_CAPACITY_DESIGN_AH, number(v, SETTINGS(114), RAW_U16LE) / 10);
	take_capacity(&dev->reading, Q_CAPACITY_FULL_AH, number(v, SETTINGS(116), RAW_U16LE) / 10);
}

/* ---- replies ---- */

static bool has_signature(const struct view *v)
{
	static const uint8_t signature[] = {'S', 'B', 'D', 'M'};

	return bytes_equal(part(v, SUMMARY(124), sizeof(signature)), (struct bytes){signature, sizeof(signature)});
}

/* Values that no board of this family has: the frame is not to be believed. */
static bool believable(const struct view *v, const char **why)
{
	if (shows(v, SUMMARY(148), 1) &&
	    (number(v, SUMMARY(148), RAW_U8) < 1 || number(v, SUMMARY(148), RAW_U8) > MAX_YY_CELLS))
		*why = "cell count outside 1..24";
	else if (shows(v, STATUS(80), 1) && number(v, STATUS(80), RAW_U8) > 100)
		*why = "SoC above 100 %";
	else
		return true;
	return false;
}

static enum verdict take_view(struct device *dev, const struct view *v, const char **why)
{
	struct state *s = dev->state;

	if (shows(v, SUMMARY(124), 4)) {
		if (!has_signature(v)) {
			*why = "a Modbus device, but no YY board";
			return FRAME_REFUSED;
		}
		s->signature = true;
	}
	if (!believable(v, why))
		return FRAME_BAD;
	take_tables(dev, v);
	take_identity(dev, v);
	take_firmware(dev, v);
	take_live(dev, v);
	take_cells(dev, v);
	if (shows(v, STATUS(2), 2 * CELL_PLACES + 12)) {
		take_extreme(&dev->reading, u8_at(part(v, STATUS(62), 1), 0), Q_CELL_MAX_V, Q_CELL_MAX_NO);
		take_extreme(&dev->reading, u8_at(part(v, STATUS(63), 1), 0), Q_CELL_MIN_V, Q_CELL_MIN_NO);
	}
	take_temperatures(dev, v);
	take_charge(dev, v);
	take_balancing(dev, v);
	take_run_state(dev, v);
	take_alarms(dev, v);
	take_settings_capacity(dev, v);
	return FRAME_ANSWER;
}

/* The request as it had to be for this reply: one to address 0 is answered by whoever is there. */
static struct bytes request_of(const struct request *pending, struct bytes frame, uint8_t copy[8])
{
	memcpy(copy, pending->tx, 8);
	if (!copy[0])
		copy[0] = u8_at(frame, 0);
	return (struct bytes){copy, 8};
}

static enum verdict heltec_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct bytes values = {NULL, 0};
	uint8_t copy[8];
	struct bytes request = request_of(pending, frame, copy);
	enum verdict verdict = modbus_judge(request, frame, &values, why);

	/* An exception does not say what it refuses: while boards are looked for it may be the late answer to somebody
	 * else's question. No board of this family refuses this read, so it is waited for all the same. */
	if (verdict == FRAME_REFUSED && pending->code == REG_PROFILE)
		return FRAME_BAD;
	if (verdict != FRAME_ANSWER || pending->code == WRITE_SOC)
		return verdict;
	if (values.n != modbus_read_bytes(request)) {
		*why = "not as many bytes as were asked for";
		return FRAME_BAD;
	}
	const struct view v = {2u * pending->code, values};

	if (pending->code != REG_ADDRESS)
		verdict = take_view(dev, &v, why);
	if (verdict == FRAME_ANSWER)
		reading_set(&dev->reading, Q_ADDRESS, u8_at(frame, 0));
	return verdict;
}

/* ---- is it one? sheet 4 ---- */

/* Voltage and cells are read one after the other: a load that comes in between may change them by so much. */
static const double sum_tolerance = 0.1;

/* What all cells should have together, going by those that are known; NAN: too few are. */
static double expected_voltage(const struct reading *r)
{
	double sum = 0, count = reading_get(r, Q_CELL_COUNT);
	unsigned cells = 0;

	for (unsigned i = 0; i < r->cell_V.count; i++) {
		if (!series_knows(&r->cell_V, i))
			continue;
		sum += r->cell_V.value[i];
		cells++;
	}
	return cells && cells >= count / 2 ? sum / cells * count : NAN;
}

static bool heltec_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;
	const struct state *s = dev->state;
	double voltage = reading_get(r, Q_VOLTAGE_V), expected = expected_voltage(r);

	if (!s->signature)
		*why = "it does not carry the family's signature";
	else if (!(settings_number(&dev->settings, "chemistry_code") <= 3))
		*why = "no chemistry of this family";
	else if (!isfinite(expected))
		*why = "it has not shown half of its cells";
	else if (!(fabs(expected - voltage) <= sum_tolerance * voltage))
		*why = "its cells do not add up to its voltage";
	else
		return reading_plausible(r, why);
	return false;
}

/* ---- commands: sheet 7. A write of the SoC was never seen; nothing else is known at all ---- */

enum { READ_BACKS = 3, READ_BACK_WAIT_MS = 1000 };

/* The SoC shares its register with the SoH, which is to stay as it is. memo[0]: the value to write. */
static void proceed_soc(struct device *dev, struct procedure *p, struct next *next)
{
	unsigned want = (unsigned)lrint(p->command->value);
	bool told = false;

	if (!step_ask(dev, p, next, REG_SOC, 1))
		return;
	if (step_result(p) != STEP_ANSWERED || (step_is_new(p) && !reading_knows(&dev->reading, Q_SOH_PCT))) {
		step_end(next, COMMAND_REFUSED, "the board does not tell its present SoC and SoH; nothing was sent");
		return;
	}
	if (step_is_new(p))
		p->memo[0] = want << 8 | (uint32_t)reading_get(&dev->reading, Q_SOH_PCT);
	if (!step_ask(dev, p, next, WRITE_SOC, (uint16_t)p->memo[0]))
		return;
	if (step_result(p) == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return;
	}
	for (int i = 0; i < READ_BACKS; i++) {
		if (!step_wait(p, next, READ_BACK_WAIT_MS) || !step_ask(dev, p, next, REG_SOC, 1))
			return;
		told = told || step_result(p) == STEP_ANSWERED;
		if (step_result(p) == STEP_ANSWERED && reading_get(&dev->reading, Q_SOC_PCT) == want) {
			step_end(next, COMMAND_DONE, "SoC reads back %u %%", want);
			return;
		}
	}
	if (told)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the SoC reads back %g %%",
			 reading_get(&dev->reading, Q_SOC_PCT));
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
}

static void heltec_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	if (p->command->kind == COMMAND_SOC)
		proceed_soc(dev, p, next);
	else
		step_end(next, COMMAND_REFUSED, "no command for this is known on these boards");
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"HeltecModbus", NULL};

/* The limits are computed from the settings: without them a reading lacks what matters most. */
static const struct poll polls[] = {
	{REG_PROFILE, LIVE_COUNT, EVERY_POLL, true, NULL},
	{REG_STATUS, 80, EVERY_POLL, true, NULL},
	{REG_SETTINGS, 81, 60000, true, NULL},
	{REG_SUMMARY, 46, ONCE, false, NULL},
	{REG_HARDWARE, HARDWARE_COUNT, ONCE, false, NULL},
};

/* These boards take up to 0.4 s to answer: asked late, so that the quick ones need not wait for them; what comes later
 * than that is heard while the next protocol on this line is tried. */
static const struct probe probes[] = {
	{REG_PROFILE, LIVE_COUNT, FIRST_ADDRESS, LAST_ADDRESS, 0, 1, 300, false},
};

#define Q(id) (UINT64_C(1) << Q_##id)
#define F(id) (1u << F_##id)
#define A(id) (1u << ALARM_##id)

const struct protocol heltec_modbus_protocol = {
	.id = "heltec-modbus",
	.title = "Heltec smart BMS, YYBMS (YY-BCU) with Modbus",
	.manufacturer = "Heltec",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.also_ble = true,
	.lines = lines,
	.timing = {.first_ms = 1000,
		   .gap_ms = 60,
		   .pause_ms = 30,
		   .late_ms = 500,
		   .scan_ms = 450,
		   .tries = 4,
		   .poll_ms = 1000},
	.quantities = Q(ADDRESS) | Q(VOLTAGE_V) | Q(CURRENT_A) | Q(SOC_PCT) | Q(SOH_PCT) | Q(CAPACITY_FULL_AH) |
		      Q(CAPACITY_DESIGN_AH) | Q(CAPACITY_REMAINING_AH) | Q(CYCLES) | Q(UPTIME_S) | Q(CELL_COUNT) |
		      Q(CELL_MIN_V) | Q(CELL_MAX_V) | Q(CELL_MIN_NO) | Q(CELL_MAX_NO) | Q(TEMP_MIN_C) | Q(TEMP_MAX_C) |
		      Q(TEMP_MIN_NO) | Q(TEMP_MAX_NO) | Q(TEMP_MOS_C) | Q(TEMP_BALANCER_C) | Q(BMS_CCL_A) |
		      Q(BMS_DCL_A),
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING,
	.flags = F(BALANCING_ACTIVE) | F(CHARGE_MOS) | F(DISCHARGE_MOS) | F(CHARGE_ALLOWED) | F(DISCHARGE_ALLOWED),
	.alarms = A(HIGH_VOLTAGE) | A(LOW_VOLTAGE) | A(HIGH_CELL_VOLTAGE) | A(LOW_CELL_VOLTAGE) | A(LOW_SOC) |
		  A(HIGH_CHARGE_CURRENT) | A(HIGH_DISCHARGE_CURRENT) | A(INTERNAL_FAILURE) |
		  A(HIGH_CHARGE_TEMPERATURE) | A(LOW_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) | A(LOW_TEMPERATURE) |
		  A(HIGH_INTERNAL_TEMPERATURE) | A(SHORT_CIRCUIT),
	.commands = 1 << COMMAND_SOC,
	.experimental = 1 << COMMAND_SOC,
	.first_address = FIRST_ADDRESS,
	.last_address = LAST_ADDRESS,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {REG_STATUS},
	.confirm_count = 1,
	.encode = heltec_encode,
	.find_frame = heltec_find_frame,
	.take = heltec_take,
	.plausible = heltec_plausible,
	.parse_request = heltec_parse_request,
	.proceed = heltec_proceed,
};
