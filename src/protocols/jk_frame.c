/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/jk_frame.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/checksum.h"
#include "protocols/table.h"

enum { JK_CELLS = 32, ABSENT_SENSOR = -2000 };

enum status_offsets {
	OFF_CELLS = 6,
	OFF_CELL_MASK = 70,
	OFF_HIGHEST = 78,
	OFF_LOWEST = 79,
	OFF_RESISTANCES = 80,
	OFF_TEMP_MOS = 144,
	OFF_T1 = 162,
	OFF_T2 = 164,
	OFF_ALARMS = 166,
	OFF_BALANCE_STATE = 172,
	OFF_SOC = 173,
	OFF_SOH = 190,
	OFF_CHARGE_MOS = 198,
	OFF_DISCHARGE_MOS = 199,
	OFF_SENSOR_MASK = 214,
	OFF_HEATER = 215,
	OFF_T3 = 254,
	OFF_T4 = 256,
	OFF_T5 = 258,
	OFF_CHARGE_STAGE = 280,
};

enum settings_offsets { OFF_CALIBRATION = 142, OFF_ADDRESS = 270, OFF_CONTROL_BITS = 282 };
enum about_offsets { OFF_MODEL = 6, OFF_DEVICE_NAME = 46, OFF_SERIAL = 86, TEXT_SIZE = 16 };

enum charge_stage { STAGE_FLOAT = 2 };

/* ---- framing: sheet jk-pb 3.1 ---- */

int jk_find_frame(struct bytes in, bool quiet, const char **why)
{
	static const uint8_t head[] = {0x55, 0xaa, 0xeb, 0x90};

	for (size_t i = 0; i < sizeof(head) && i < in.n; i++)
		if (in.p[i] != head[i])
			return -1;
	/* 05 and 06 are logs, which only Bluetooth knows. */
	if (bytes_has(in, 4, 1) && (jk_frame_type(in) < 1 || jk_frame_type(in) > 6))
		return -1;
	if (!bytes_has(in, 0, JK_FRAME_SIZE)) {
		if (quiet && in.n > sizeof(head))
			*why = "frame cut short";
		return quiet ? -1 : 0;
	}
	if (sum8(bytes_sub(in, 0, JK_FRAME_SIZE - 1)) != u8_at(in, JK_FRAME_SIZE - 1)) {
		*why = "checksum";
		return -1;
	}
	return JK_FRAME_SIZE;
}

/* Major number of the firmware, "15.41": 15; 0 when it is not known. */
static int firmware(const struct device *dev)
{
	return atoi(dev->reading.text[T_FIRMWARE_VERSION]);
}

/* ---- status, type 02: sheet 5.1 ---- */

static const struct number_row status_rows[] = {
	{150, RAW_U32LE, 1000, 0, Q_VOLTAGE_V},
	{158, RAW_S32LE, 1000, 0, Q_CURRENT_A},
	{170, RAW_S16LE, 1000, 0, Q_BALANCE_CURRENT_A},
	{OFF_SOC, RAW_U8, 1, 0, Q_SOC_PCT},
	{174, RAW_S32LE, 1000, 0, Q_CAPACITY_REMAINING_AH},
	{178, RAW_U32LE, 1000, 0, Q_CAPACITY_FULL_AH},
	{182, RAW_U32LE, 1, 0, Q_CYCLES},
	{186, RAW_U32LE, 1000, 0, Q_TOTAL_CHARGE_AH},
	{194, RAW_U32LE, 1, 0, Q_UPTIME_S},
};

/* The board numbers cells from 0 here, and these numbers lag the cell voltages by a measurement. */
static const struct detail_row status_details[] = {
	{74, RAW_U16LE, 1000, 0, "cell_avg_V"},
	{76, RAW_U16LE, 1000, 0, "cell_delta_V"},
	{OFF_HIGHEST, RAW_U8, 1, 0, "max_cell_index0"},
	{OFF_LOWEST, RAW_U8, 1, 0, "min_cell_index0"},
	{146, RAW_U32LE, 1, 0, "wire_resistance_bits"},
	{154, RAW_U32LE, 1000, 0, "power_W_unsigned"},
	{OFF_ALARMS, RAW_U32LE, 1, 0, "alarm_bits"},
	{OFF_BALANCE_STATE, RAW_U8, 1, 0, "balance_state"},
	{191, RAW_U8, 1, 0, "precharge_active"},
	{192, RAW_U16LE, 1, 0, "user_alarm_bits"},
	{200, RAW_U16LE, 1, 0, "user_alarm2_bits"},
	{202, RAW_U16LE, 1, 0, "discharge_ocp_release_s"},
	{204, RAW_U16LE, 1, 0, "discharge_scp_release_s"},
	{206, RAW_U16LE, 1, 0, "charge_ocp_release_s"},
	{208, RAW_U16LE, 1, 0, "charge_scp_release_s"},
	{210, RAW_U16LE, 1, 0, "uvp_release_s"},
	{212, RAW_U16LE, 1, 0, "ovp_release_s"},
	{OFF_SENSOR_MASK, RAW_U8, 1, 0, "sensor_mask"},
	{218, RAW_U16LE, 1, 0, "emergency_s"},
	{222, RAW_U16LE, 1000, 0, "charge_sensor_V"},
	{224, RAW_U16LE, 1000, 0, "discharge_sensor_V"},
	{230, RAW_U16LE, 1, 0, "charge_pwm_pct"},
	{232, RAW_U16LE, 1, 0, "discharge_pwm_pct"},
	{234, RAW_U16LE, 100, 0, "voltage2_V"},
	{236, RAW_S16LE, 1000, 0, "heater_current_A"},
	{239, RAW_U8, 1, 0, "acc_input"},
	{240, RAW_U8, 1, 0, "special_charger_seen"},
	{241, RAW_U8, 1, 0, "startup_flag"},
	{245, RAW_U8, 1, 0, "charger_plugged"},
	{246, RAW_U32LE, 10, 0, "system_ticks_s"},
	{250, RAW_U32LE, 10, 0, "brownout_ticks_s"},
	{262, RAW_U32LE, 1, 0, "rtc_since_2020_s"},
	{270, RAW_U32LE, 1, 0, "smart_sleep_countdown_s"},
	{274, RAW_U8, 1, 0, "pcl_on"},
};

/* Firmware 15 and newer; what stands there on older boards means nothing. */
static const struct detail_row status_details_15[] = {
	{266, RAW_U32LE, 1, 0, "log_records"},		{275, RAW_U8, 1, 0, "battery_type"},
	{278, RAW_U16LE, 1, 0, "charge_status_time_s"}, {OFF_CHARGE_STAGE, RAW_U8, 1, 0, "charge_status"},
	{281, RAW_U8, 1, 0, "dry_contact_bits"},
};

_Static_assert(sizeof(status_details) / sizeof(status_details[0]) +
			       sizeof(status_details_15) / sizeof(status_details_15[0]) <=
		       MAX_DETAILS,
	       "every detail finds its place");

/* Calibration belongs to the settings, wherever it stands. */
static const struct setting_row status_settings[] = {
	{220, RAW_U16LE, 1, 0, "discharge_current_correction", SETTING_NUMBER},
	{226, RAW_F32LE, 1, 0, "voltage_correction", SETTING_NUMBER},
	{260, RAW_U16LE, 1, 0, "charge_current_correction", SETTING_NUMBER},
};

enum alarm_bit {
	BIT_MOS_HOT = 1,
	BIT_CELL_HIGH = 4,
	BIT_PACK_HIGH = 5,
	BIT_CHARGE_CURRENT = 6,
	BIT_CHARGE_SHORT = 7,
	BIT_CHARGE_HOT = 8,
	BIT_CHARGE_COLD = 9,
	BIT_CELL_LOW = 11,
	BIT_PACK_LOW = 12,
	BIT_DISCHARGE_CURRENT = 13,
	BIT_DISCHARGE_SHORT = 14,
	BIT_DISCHARGE_HOT = 15,
	BIT_CHARGE_MOS = 16,
	BIT_DISCHARGE_MOS = 17,
	BIT_SHORT_RELEASE = 24,
	BIT_DISCHARGE_CURRENT2 = 25,
	BIT_DISCHARGE_CURRENT3 = 26,
	BIT_DISCHARGE_COLD = 27,
};

/* Sheet 6. Bit 4 is dealt with apart. */
static const struct alarm_row alarm_rows[] = {
	{0, ALARM_WARNING, ALARM_COUNT, "wire_resistance"},
	{BIT_MOS_HOT, ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{2, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_count_mismatch"},
	{3, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "current_sensor_fault"},
	{BIT_PACK_HIGH, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{BIT_CHARGE_CURRENT, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{BIT_CHARGE_SHORT, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{BIT_CHARGE_SHORT, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{BIT_CHARGE_HOT, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{BIT_CHARGE_COLD, ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{10, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "coprocessor_comm_fault"},
	{BIT_CELL_LOW, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{BIT_PACK_LOW, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{BIT_DISCHARGE_CURRENT, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{BIT_DISCHARGE_SHORT, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{BIT_DISCHARGE_SHORT, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{BIT_DISCHARGE_HOT, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{BIT_CHARGE_MOS, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "charge_mos_fault"},
	{BIT_DISCHARGE_MOS, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "discharge_mos_fault"},
	{18, ALARM_WARNING, ALARM_COUNT, "gps_disconnected"},
	{19, ALARM_OK, ALARM_COUNT, "change_password_notice"},
	{20, ALARM_WARNING, ALARM_COUNT, "discharge_on_failed"},
	{21, ALARM_WARNING, ALARM_HIGH_TEMPERATURE, NULL},
	{22, ALARM_WARNING, ALARM_COUNT, "temp_sensor_fault"},
	{23, ALARM_WARNING, ALARM_COUNT, "pcl_module_fault"},
	{BIT_SHORT_RELEASE, ALARM_RAISED, ALARM_COUNT, "scp_release_failed"},
	{BIT_DISCHARGE_CURRENT2, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{BIT_DISCHARGE_CURRENT3, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{BIT_DISCHARGE_COLD, ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{28, ALARM_WARNING, ALARM_COUNT, "gps_remote_lock"},
};

/* Alarms that stop charging, or discharging. */
static const uint32_t blocks_charge = 1u << BIT_MOS_HOT | 1u << BIT_CELL_HIGH | 1u << BIT_PACK_HIGH |
				      1u << BIT_CHARGE_CURRENT | 1u << BIT_CHARGE_SHORT | 1u << BIT_CHARGE_HOT |
				      1u << BIT_CHARGE_COLD | 1u << BIT_CHARGE_MOS;
static const uint32_t blocks_discharge =
	1u << BIT_MOS_HOT | 1u << BIT_CELL_LOW | 1u << BIT_PACK_LOW | 1u << BIT_DISCHARGE_CURRENT |
	1u << BIT_DISCHARGE_SHORT | 1u << BIT_DISCHARGE_HOT | 1u << BIT_DISCHARGE_MOS | 1u << BIT_SHORT_RELEASE |
	1u << BIT_DISCHARGE_CURRENT2 | 1u << BIT_DISCHARGE_CURRENT3 | 1u << BIT_DISCHARGE_COLD;

static void take_alarms(struct jk_frame_state *s, struct bytes f, struct reading *r)
{
	s->alarm_bits = u32le_at(f, OFF_ALARMS);
	alarms_clear(&r->alarms);
	table_alarms(ROWS(alarm_rows), s->alarm_bits, &r->alarms);
	/*
	 * At the end of every charge a cell touches its limit; the app then says "fully charged". No alarm, as
	 * long as nothing is drawn: the charge MOS is off by then and the current 0.
	 */
	bool full = r->number[Q_CURRENT_A] >= 0 && u8_at(f, OFF_SOC) >= 95;

	if (s->alarm_bits >> BIT_CELL_HIGH & 1)
		alarm_raise(&r->alarms, ALARM_HIGH_CELL_VOLTAGE, full ? ALARM_WARNING : ALARM_RAISED);
}

static void take_cells(struct bytes f, struct reading *r)
{
	uint32_t mask = u32le_at(f, OFF_CELL_MASK);
	unsigned count = 0, places = 0;

	for (unsigned i = 0; i < JK_CELLS; i++) {
		if (!(mask >> i & 1))
			continue;
		count++;
		places = i + 1;
	}
	series_start(&r->cell_V, places);
	series_start(&r->cell_resistance_ohm, places);
	for (unsigned i = 0; i < places; i++) {
		if (!(mask >> i & 1))
			continue;
		series_set(&r->cell_V, i, u16le_at(f, OFF_CELLS + 2 * i) / 1000.0);
		series_set(&r->cell_resistance_ohm, i, u16le_at(f, OFF_RESISTANCES + 2 * i) / 1000.0);
	}
	reading_set(r, Q_CELL_COUNT, count);
}

/* The frame names no cell; that it is the lowest one while charge is put into a cell, and the highest one while it is
 * taken out, is inferred from the sign of the balance current (sheet 5.1). */
static void take_balancing(struct bytes f, struct reading *r)
{
	uint8_t state = u8_at(f, OFF_BALANCE_STATE);
	uint8_t cell = u8_at(f, state == 1 ? OFF_LOWEST : OFF_HIGHEST);

	reading_set_flag(r, F_BALANCING_ACTIVE, state != 0);
	r->balancing_known = true;
	r->balancing = (state == 1 || state == 2) && cell < JK_CELLS ? UINT64_C(1) << cell : 0;
}

/* NAN: no such sensor. bit: its place in the presence mask. */
static double celsius(struct bytes f, unsigned off, unsigned bit)
{
	double raw = raw_at(f, off, RAW_S16LE);

	return raw == ABSENT_SENSOR || !(u8_at(f, OFF_SENSOR_MASK) >> bit & 1) ? NAN : raw / 10;
}

/*
 * PB boards have the sensors T1, T2, T4, T5, and T3 repeats the MOS; other boards have no T4 and T5 and send 0.0 for
 * both. Where the model is not known (a bus that is only listened to), these zeros tell.
 */
static void take_temperatures(const struct device *dev, struct bytes f, struct reading *r)
{
	const char *model = dev->reading.text[T_MODEL];
	bool zeros = !u16le_at(f, OFF_T4) && !u16le_at(f, OFF_T5);
	bool pb = model[0] ? strstr(model, "PB") != NULL : !zeros;
	double sensor[4] = {celsius(f, OFF_T1, 1), celsius(f, OFF_T2, 2), NAN, NAN};

	if (!pb) {
		sensor[2] = celsius(f, OFF_T3, 3);
	} else if (!zeros) {
		sensor[2] = celsius(f, OFF_T4, 4);
		sensor[3] = celsius(f, OFF_T5, 5);
	}
	reading_set(r, Q_TEMP_MOS_C, celsius(f, OFF_TEMP_MOS, 0));
	series_start(&r->temperatures, 0);
	for (unsigned i = 0; i < 4; i++)
		if (!isnan(sensor[i]))
			series_set(&r->temperatures, i, sensor[i]);
}

static bool status_believable(struct bytes f, const char **why)
{
	uint32_t mask = u32le_at(f, OFF_CELL_MASK);

	if (!mask)
		*why = "no cell in the mask";
	else if (u8_at(f, OFF_SOC) > 100)
		*why = "SoC above 100 %";
	else
		*why = NULL;
	for (unsigned i = 0; i < JK_CELLS && !*why; i++)
		if ((mask >> i & 1) && u16le_at(f, OFF_CELLS + 2 * i) > 5000)
			*why = "a cell above 5 V";
	return !*why;
}

static void take_status(struct device *dev, struct jk_frame_state *s, struct bytes f)
{
	struct reading *r = &dev->reading;

	table_numbers(ROWS(status_rows), f, r);
	reading_set(r, Q_SOH_PCT, u8_at(f, OFF_SOH) ? u8_at(f, OFF_SOH) : NAN); /* 0 on old firmware */
	take_cells(f, r);
	take_balancing(f, r);
	take_temperatures(dev, f, r);
	take_alarms(s, f, r);
	reading_set_flag(r, F_CHARGE_MOS, u8_at(f, OFF_CHARGE_MOS));
	reading_set_flag(r, F_DISCHARGE_MOS, u8_at(f, OFF_DISCHARGE_MOS));
	reading_set_flag(r, F_HEATER_ON, u8_at(f, OFF_HEATER));
	table_details(ROWS(status_details), f, r);
	if (firmware(dev) >= 15)
		table_details(ROWS(status_details_15), f, r);
	table_settings(ROWS(status_settings), f, &dev->settings);
	s->charge_stage = u8_at(f, OFF_CHARGE_STAGE);
	s->status_known = true;
}

/* ---- settings, type 01: sheet 5.2, 8 ---- */

static const struct setting_row settings_rows[] = {
	{6, RAW_U32LE, 1000, 0, "smart_sleep_V", SETTING_NUMBER},
	{10, RAW_U32LE, 1000, 0, "cell_uvp_V", SETTING_NUMBER},
	{14, RAW_U32LE, 1000, 0, "cell_uvpr_V", SETTING_NUMBER},
	{18, RAW_U32LE, 1000, 0, "cell_ovp_V", SETTING_NUMBER},
	{22, RAW_U32LE, 1000, 0, "cell_ovpr_V", SETTING_NUMBER},
	{26, RAW_U32LE, 1000, 0, "balance_trigger_V", SETTING_NUMBER},
	{30, RAW_U32LE, 1000, 0, "soc100_V", SETTING_NUMBER},
	{34, RAW_U32LE, 1000, 0, "soc0_V", SETTING_NUMBER},
	{38, RAW_U32LE, 1000, 0, "cell_rcv_V", SETTING_NUMBER},
	{42, RAW_U32LE, 1000, 0, "cell_rfv_V", SETTING_NUMBER},
	{46, RAW_U32LE, 1000, 0, "power_off_V", SETTING_NUMBER},
	{50, RAW_U32LE, 1000, 0, "charge_current_max_A", SETTING_NUMBER},
	{54, RAW_U32LE, 1, 0, "charge_ocp_delay_s", SETTING_NUMBER},
	{58, RAW_U32LE, 1, 0, "charge_ocpr_s", SETTING_NUMBER},
	{62, RAW_U32LE, 1000, 0, "discharge_current_max_A", SETTING_NUMBER},
	{66, RAW_U32LE, 1, 0, "discharge_ocp_delay_s", SETTING_NUMBER},
	{70, RAW_U32LE, 1, 0, "discharge_ocpr_s", SETTING_NUMBER},
	{74, RAW_U32LE, 1, 0, "scpr_s", SETTING_NUMBER},
	{78, RAW_U32LE, 1000, 0, "balance_current_max_A", SETTING_NUMBER},
	{82, RAW_S32LE, 10, 0, "charge_otp_C", SETTING_NUMBER},
	{86, RAW_S32LE, 10, 0, "charge_otpr_C", SETTING_NUMBER},
	{90, RAW_S32LE, 10, 0, "discharge_otp_C", SETTING_NUMBER},
	{94, RAW_S32LE, 10, 0, "discharge_otpr_C", SETTING_NUMBER},
	{98, RAW_S32LE, 10, 0, "charge_utp_C", SETTING_NUMBER},
	{102, RAW_S32LE, 10, 0, "charge_utpr_C", SETTING_NUMBER},
	{106, RAW_S32LE, 10, 0, "mos_otp_C", SETTING_NUMBER},
	{110, RAW_S32LE, 10, 0, "mos_otpr_C", SETTING_NUMBER},
	{114, RAW_U32LE, 1, 0, "cell_count", SETTING_NUMBER},
	{118, RAW_U32LE, 1, 0, "charge_switch", SETTING_SWITCH},
	{122, RAW_U32LE, 1, 0, "discharge_switch", SETTING_SWITCH},
	{126, RAW_U32LE, 1, 0, "balance_enabled", SETTING_SWITCH},
	{130, RAW_U32LE, 1000, 0, "capacity_design_Ah", SETTING_NUMBER},
	{134, RAW_U32LE, 1, 0, "scp_delay_us", SETTING_NUMBER},
	{138, RAW_U32LE, 1000, 0, "balance_start_V", SETTING_NUMBER},
	{OFF_ADDRESS, RAW_U32LE, 1, 0, "dev_addr", SETTING_NUMBER},
	{274, RAW_U32LE, 1, 0, "precharge_s", SETTING_NUMBER},
	{278, RAW_U32LE, 1000, 0, "current_range_A", SETTING_NUMBER},
	{OFF_CONTROL_BITS, RAW_U16LE, 1, 0, "control_bits", SETTING_NUMBER},
	{284, RAW_S8, 1, 0, "heat_start_C", SETTING_NUMBER},
	{285, RAW_S8, 1, 0, "heat_stop_C", SETTING_NUMBER},
	{286, RAW_U8, 1, 0, "smart_sleep_h", SETTING_NUMBER},
};

/* Firmware 19. */
static const struct setting_row settings_rows_19[] = {
	{296, RAW_S8, 1, 0, "discharge_utp_C", SETTING_NUMBER},
	{297, RAW_S8, 1, 0, "discharge_utpr_C", SETTING_NUMBER},
};

static const char *const control_bit[16] = {
	"heating_enabled",   "ignore_temp_sensors", "gps_heartbeat",	   "shared_port_is_rs485",
	"display_always_on", "special_charger",	    "smart_sleep_enabled", "pcl_module_off",
	"timed_storage",     "charging_float_mode", "emergency_by_button", "dry_contact_intermittent",
	"discharge_ocp2",    "discharge_ocp3",	    "gps_lock_charge",	   "gps_lock_discharge",
};

#define WIRE(n) "wire_calibration_" #n "_mOhm"
static const char *const wire_calibration[JK_CELLS] = {
	WIRE(1),  WIRE(2),  WIRE(3),  WIRE(4),	WIRE(5),  WIRE(6),  WIRE(7),  WIRE(8),	WIRE(9),  WIRE(10), WIRE(11),
	WIRE(12), WIRE(13), WIRE(14), WIRE(15), WIRE(16), WIRE(17), WIRE(18), WIRE(19), WIRE(20), WIRE(21), WIRE(22),
	WIRE(23), WIRE(24), WIRE(25), WIRE(26), WIRE(27), WIRE(28), WIRE(29), WIRE(30), WIRE(31), WIRE(32),
};
#undef WIRE

static bool settings_believable(struct bytes f, const char **why)
{
	uint32_t uvp = u32le_at(f, 10), ovp = u32le_at(f, 18), cells = u32le_at(f, 114);

	if (cells < 1 || cells > JK_CELLS)
		*why = "cell count outside 1..32";
	else if (uvp < 500 || uvp > 5000 || ovp < 500 || ovp > 5000)
		*why = "cell voltage limits outside 0.5..5 V";
	else
		return true;
	return false;
}

static void take_settings(struct device *dev, struct jk_frame_state *s, struct bytes f)
{
	unsigned bits = u16le_at(f, OFF_CONTROL_BITS), cells = u32le_at(f, 114);

	table_settings(ROWS(settings_rows), f, &dev->settings);
	if (firmware(dev) >= 19)
		table_settings(ROWS(settings_rows_19), f, &dev->settings);
	for (unsigned i = 0; i < 16; i++)
		settings_set_switch(&dev->settings, control_bit[i], bits >> i & 1);
	for (unsigned i = 0; i < cells && i < JK_CELLS; i++)
		settings_set_number(&dev->settings, wire_calibration[i], u32le_at(f, OFF_CALIBRATION + 4 * i) / 1000.0);
	reading_set(&dev->reading, Q_CAPACITY_DESIGN_AH, u32le_at(f, 130) / 1000.0);
	reading_set_flag(&dev->reading, F_BALANCE_ENABLED, u32le_at(f, 126));
	s->settings_known = true;
}

uint32_t jk_frame_address(struct bytes settings)
{
	return u32le_at(settings, OFF_ADDRESS);
}

/* ---- about, type 03: sheet 5.3. The passwords at 62 and 118 are not among these rows ---- */

static const struct text_row about_texts[] = {
	{OFF_MODEL, TEXT_SIZE, T_MODEL},
	{22, 8, T_HARDWARE_VERSION},
	{30, 8, T_FIRMWARE_VERSION},
	{78, 8, T_PRODUCTION_DATE},
};

static const struct {
	uint16_t off, n;
	const char *name;
} about_setting_texts[] = {
	{OFF_DEVICE_NAME, TEXT_SIZE, "device_name"},
	{102, TEXT_SIZE, "user_data"},
	{134, TEXT_SIZE, "user_data2"},
	{190, 12, "hardware_option"},
};

static const struct setting_row about_settings[] = {
	{38, RAW_U32LE, 1, 0, "total_runtime_s", SETTING_NUMBER},
	{42, RAW_U32LE, 1, 0, "power_on_count", SETTING_NUMBER},
	{182, RAW_U16LE, 1, 0, "agency_id", SETTING_NUMBER},
	{184, RAW_U8, 1, 0, "uart1_protocol", SETTING_NUMBER},
	{185, RAW_U8, 1, 0, "can_protocol", SETTING_NUMBER},
	{186, RAW_U32LE, 1, 0, "uart1_protocols_bits", SETTING_NUMBER},
	{202, RAW_U32LE, 1, 0, "can_protocols_bits", SETTING_NUMBER},
	{218, RAW_U8, 1, 0, "uart2_protocol", SETTING_NUMBER},
	{219, RAW_U32LE, 1, 0, "uart2_protocols_bits", SETTING_NUMBER},
	{234, RAW_U8, 1, 0, "buzzer_trigger", SETTING_NUMBER},
	{235, RAW_U8, 1, 0, "dry1_trigger", SETTING_NUMBER},
	{236, RAW_U8, 1, 0, "dry2_trigger", SETTING_NUMBER},
	{237, RAW_U8, 1, 0, "uart_library_version", SETTING_NUMBER},
	{238, RAW_S32LE, 1, 0, "buzzer_trigger_value", SETTING_NUMBER},
	{242, RAW_S32LE, 1, 0, "buzzer_release_value", SETTING_NUMBER},
	{246, RAW_S32LE, 1, 0, "dry1_trigger_value", SETTING_NUMBER},
	{250, RAW_S32LE, 1, 0, "dry1_release_value", SETTING_NUMBER},
	{254, RAW_S32LE, 1, 0, "dry2_trigger_value", SETTING_NUMBER},
	{258, RAW_S32LE, 1, 0, "dry2_release_value", SETTING_NUMBER},
	{262, RAW_U32LE, 1, 0, "storage_period_s", SETTING_NUMBER},
	{266, RAW_U8, 10, 0, "rcv_time_h", SETTING_NUMBER},
	{267, RAW_U8, 10, 0, "rfv_time_h", SETTING_NUMBER},
	{268, RAW_U8, 1, 0, "can_library_version", SETTING_NUMBER},
	{269, RAW_U8, 1, 0, "emergency_min", SETTING_NUMBER},
	{270, RAW_U8, 1, 0, "uart3_protocol", SETTING_NUMBER},
	{298, RAW_U8, 1, 0, "protocol_version", SETTING_NUMBER},
};

static const struct setting_row about_settings_19[] = {
	{278, RAW_U8, 1, 0, "rebulk_soc_pct", SETTING_NUMBER},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
_Static_assert(COUNT(status_settings) + COUNT(settings_rows) + COUNT(settings_rows_19) + COUNT(control_bit) +
			       COUNT(wire_calibration) + COUNT(about_settings) + COUNT(about_settings_19) +
			       COUNT(about_setting_texts) <=
		       MAX_SETTINGS,
	       "every setting finds its place");

static bool all_digits(const char *s)
{
	if (!*s)
		return false;
	while (isdigit((unsigned char)*s))
		s++;
	return !*s;
}

/* The owner may have renamed the device; the factory name of PB boards is the serial number. */
static void take_serial(struct bytes f, struct reading *r)
{
	char text[MAX_TEXT];

	if (!bytes_has(f, OFF_SERIAL, TEXT_SIZE))
		return;
	bytes_text(bytes_sub(f, OFF_SERIAL, TEXT_SIZE), text, sizeof(text));
	if (!text[0]) {
		bytes_text(bytes_sub(f, OFF_DEVICE_NAME, TEXT_SIZE), text, sizeof(text));
		if (!all_digits(text))
			text[0] = 0;
	}
	reading_set_text(r, T_SERIAL_NUMBER, text);
}

static bool is_jk(struct bytes f)
{
	return u8_at(f, OFF_MODEL) == 'J' && u8_at(f, OFF_MODEL + 1) == 'K';
}

static void take_about(struct device *dev, struct bytes f)
{
	char text[MAX_SETTING_TEXT];

	table_texts(ROWS(about_texts), f, &dev->reading);
	take_serial(f, &dev->reading);
	for (size_t i = 0; i < COUNT(about_setting_texts); i++) {
		bytes_text(bytes_sub(f, about_setting_texts[i].off, about_setting_texts[i].n), text, sizeof(text));
		settings_set_text(&dev->settings, about_setting_texts[i].name, text);
	}
	table_settings(ROWS(about_settings), f, &dev->settings);
	if (firmware(dev) >= 19)
		table_settings(ROWS(about_settings_19), f, &dev->settings);
}

bool jk_take_identity(struct device *dev, struct bytes payload)
{
	uint8_t image[JK_FRAME_SIZE] = {0};
	size_t n = payload.n < sizeof(image) - JK_FRAME_PAYLOAD ? payload.n : sizeof(image) - JK_FRAME_PAYLOAD;

	if (n)
		memcpy(image + JK_FRAME_PAYLOAD, payload.p, n);
	struct bytes f = {image, JK_FRAME_PAYLOAD + n};

	if (!is_jk(f))
		return false;
	table_texts(ROWS(about_texts), f, &dev->reading);
	take_serial(f, &dev->reading);
	return true;
}

/* ---- what follows from status and settings together: sheet 5.2, "Limits" ---- */

static void limit(struct device *dev, enum quantity limit_A, enum flag allowed, const char *current_max,
		  const char *switch_name, enum flag mos, bool blocked)
{
	struct reading *r = &dev->reading;
	bool on = settings_number(&dev->settings, switch_name) != 0;
	/* A MOS that is off though its switch is on: a protection did that. */
	bool flows = on && !blocked && reading_flag(r, mos) == ON;

	reading_set_flag(r, allowed, on && !blocked);
	reading_set(r, limit_A, flows ? settings_number(&dev->settings, current_max) : 0);
}

static void take_limits(struct device *dev, const struct jk_frame_state *s)
{
	struct reading *r = &dev->reading;
	const struct settings *set = &dev->settings;

	if (!s->status_known || !s->settings_known)
		return;
	limit(dev, Q_BMS_CCL_A, F_CHARGE_ALLOWED, "charge_current_max_A", "charge_switch", F_CHARGE_MOS,
	      s->alarm_bits & blocks_charge);
	limit(dev, Q_BMS_DCL_A, F_DISCHARGE_ALLOWED, "discharge_current_max_A", "discharge_switch", F_DISCHARGE_MOS,
	      s->alarm_bits & blocks_discharge);

	double cells = reading_get(r, Q_CELL_COUNT);
	double request = settings_number(set, "cell_rcv_V"), floating = settings_number(set, "cell_rfv_V");

	/* 0: a board of the first Modbus version, which has no charge voltage request. */
	if (s->charge_stage == STAGE_FLOAT && floating > 0)
		request = request > 0 ? floating : 0;
	reading_set(r, Q_BMS_CVL_V, request > 0 ? cells * request : NAN);
	reading_set(r, Q_BMS_DVL_V, cells * settings_number(set, "cell_uvp_V"));
}

/* ---- all frames ---- */

enum verdict jk_take_frame(struct device *dev, struct jk_frame_state *s, struct bytes frame, const char **why)
{
	switch (jk_frame_type(frame)) {
	case JK_STATUS:
		if (!status_believable(frame, why))
			return FRAME_BAD;
		take_status(dev, s, frame);
		break;
	case JK_SETTINGS:
		if (!settings_believable(frame, why))
			return FRAME_BAD;
		take_settings(dev, s, frame);
		break;
	case JK_ABOUT:
		if (!is_jk(frame)) {
			*why = "the model does not begin with JK";
			return FRAME_BAD;
		}
		take_about(dev, frame);
		return FRAME_ANSWER;
	default:
		*why = "a frame of an unknown type";
		return FRAME_BAD;
	}
	take_limits(dev, s);
	return FRAME_ANSWER;
}
