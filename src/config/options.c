/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The one table of options (limits.md 16.4): what a config.ini may say, what it means when it says
 * nothing, and the sentence that explains it in the default file and the manual page.
 */
#include "config/options.h"

#include <stddef.h>
#include <string.h>

#include "config/value.h"

#define STORE(m)                                                                                                       \
	_Generic(((struct config *)NULL)->m,    \
		bool: STORE_BOOL,               \
		int: STORE_INT,                 \
		double: STORE_DOUBLE,           \
		char *: STORE_TEXT,             \
		struct number_list: STORE_LIST)

/* Name, type, member of struct config, default. */
#define OPTION(NAME, TYPE, m, INITIAL)                                                                                 \
	.name = NAME, .type = OPTION_##TYPE, .initial = INITIAL, .offset = offsetof(struct config, m),                 \
	.store = STORE(m), .size = sizeof(((struct config *)NULL)->m)
#define RANGE(LO, HI, UNIT) .lo = LO, .hi = HI, .unit = UNIT
#define ABOVE(LO, HI, UNIT) RANGE(LO, HI, UNIT), .above = true
#define EMPTY(VALUE, MEANS) .empty = VALUE, .empty_means = MEANS

#define NOT_PERCENT "it is a fraction (0.015 = 1.5 %), not percent"

static const struct option options[] = {
	/* ---- program ---- */
	{
		OPTION("LOGGING", CHOICE, logging, "INFO"),
		.choices = "ERROR, WARNING, INFO, DEBUG",
		.used = USED_LOG,
		.global = true,
		.heading = "Log",
		.help = "The least serious kind of message that is still written to the log.",
	},

	/* ---- limits ---- */
	{
		OPTION("MAX_BATTERY_CHARGE_CURRENT", FLOAT, max_battery_charge_current, "50.0"),
		ABOVE(0, 1000, "A"),
		.used = USED_LIMITS,
		.heading = "Current",
		.help = "Highest charge current that is ever allowed. Every charge curve is a fraction of it.",
	},
	{
		OPTION("MAX_BATTERY_DISCHARGE_CURRENT", FLOAT, max_battery_discharge_current, "60.0"),
		ABOVE(0, 1000, "A"),
		.used = USED_LIMITS,
		.help = "Highest discharge current that is ever allowed. Every discharge curve is a fraction of it.",
	},
	{
		OPTION("MIN_CELL_VOLTAGE", FLOAT, min_cell_voltage, "2.900"),
		RANGE(0.5, 5, "V"),
		.used = USED_LIMITS,
		.heading = "Cell voltages",
		.help = "Voltage of an empty cell. Times the number of cells it is the lowest pack voltage; when "
			"SoC is counted here, a discharge that stays below it sets 0 %.",
	},
	{
		OPTION("MAX_CELL_VOLTAGE", FLOAT, max_cell_voltage, "3.450"),
		RANGE(0.5, 5, "V"),
		.used = USED_LIMITS,
		.help = "Voltage to which a cell is charged in bulk and absorption.",
	},
	{
		OPTION("FLOAT_CELL_VOLTAGE", FLOAT, float_cell_voltage, "3.375"),
		RANGE(0.5, 5, "V"),
		.used = USED_LIMITS,
		.help = "Voltage per cell at which a full pack is held.",
	},
	{
		OPTION("SOC_RESET_CELL_VOLTAGE", FLOAT, soc_reset_cell_voltage, "3.650"),
		RANGE(0.5, 5, "V"),
		.used = USED_LIMITS,
		.help = "Voltage per cell of the occasional higher charge that lets a BMS correct its SoC; used only "
			"with SOC_RESET_AFTER_DAYS. It must be at least the voltage at which the BMS sets 100 %.",
	},
	{
		OPTION("SOC_RESET_AFTER_DAYS", INT, soc_reset_after_days, ""),
		RANGE(1, 3650, "d"),
		EMPTY("", "never"),
		.used = USED_LIMITS,
		.help = "Charge to SOC_RESET_CELL_VOLTAGE when that was last done more than so many days ago. A pack "
			"of which it is not known begins with it.",
	},
	{
		OPTION("SOC_CALCULATION", BOOL, soc_calculation, "False"),
		.used = USED_LIMITS | USED_PROTOCOLS,
		.heading = "State of charge",
		.help = "Count the SoC here from current and time instead of taking the one of the BMS. It becomes "
			"100 % when the pack goes to float and 0 % when a cell stays empty under load.",
	},
	{
		OPTION("CURRENT_REPORTED_BY_BMS", NUMBERS, current_reported_by_bms, "-300, 300"),
		RANGE(-2000, 2000, "A"),
		.used = USED_LIMITS,
		.help = "Currents as the BMS reports them, for its correction; negative while discharging. Values in "
			"between are interpolated. Equal lists change nothing.",
	},
	{
		OPTION("CURRENT_MEASURED_BY_USER", NUMBERS, current_measured_by_user, "-300, 300"),
		RANGE(-2000, 2000, "A"),
		.used = USED_LIMITS,
		.help = "What a meter shows at the currents of CURRENT_REPORTED_BY_BMS, in the same order.",
	},

	/* ---- ports ---- */
	{
		OPTION("BLUETOOTH_BMS", WORDS, bluetooth_bms, ""),
		EMPTY("", "none"),
		.wrong = wrong_bluetooth,
		.used = USED_PROTOCOLS,
		.global = true,
		.heading = "Bluetooth",
		.help = "Bluetooth LE batteries: a type and an address each, as in \"Jkbms_Ble C8:47:8C:00:00:00\", "
			"separated by commas.",
	},
	{
		OPTION("BLUETOOTH_USE_POLLING", BOOL, bluetooth_use_polling, "True"),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "Ask Bluetooth batteries at every poll; otherwise wait for what they send by themselves.",
	},
	{
		OPTION("BLUETOOTH_FORCE_RESET_BLE_STACK", BOOL, bluetooth_force_reset_ble_stack, "False"),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "Power the Bluetooth adapter off and on when a battery can't be reached for long.",
	},
	{
		OPTION("BLUETOOTH_USE_USB", BOOL, bluetooth_use_usb, "False"),
		.used = USED_NOBODY,
		.global = true,
		.help = "A USB adapter is used instead of the built-in one.",
	},
	{
		OPTION("CAN_PORT", WORDS, can_port, ""),
		EMPTY("", "none"),
		.wrong = wrong_interfaces,
		.used = USED_PROTOCOLS,
		.global = true,
		.heading = "CAN, serial",
		.help = "CAN interfaces on which batteries are looked for, as in \"can0, can1\".",
	},
	{
		OPTION("SERIAL_STARTER_ENABLED", BOOL, serial_starter_enabled, "True"),
		.used = USED_NOBODY,
		.global = true,
		.help = "On a GX device the system hands out the serial ports.",
	},
	{
		OPTION("BATTERY_ADDRESSES", ADDRESSES, battery_addresses, ""),
		RANGE(0, 255, NULL),
		EMPTY("", "the protocol's own"),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "Addresses at which batteries on a shared cable are asked, hexadecimal, as in \"0x01, 0x02\".",
	},

	/* ---- silence ---- */
	{
		OPTION("BLOCK_ON_DISCONNECT", BOOL, block_on_disconnect, "False"),
		.used = USED_LIMITS,
		.heading = "When the BMS falls silent",
		.help = "Forbid charging and discharging as soon as the connection counts as lost (10 s). Otherwise "
			"the last limits stay for a time that depends on the cell voltages, see the next three.",
	},
	{
		OPTION("BLOCK_ON_DISCONNECT_TIMEOUT_MINUTES", INT, block_on_disconnect_timeout_minutes, "30"),
		RANGE(0, 1440, "min"),
		.used = USED_LIMITS,
		.help = "So long the last limits stay when all cells were within the two voltages below; otherwise "
			"1 minute.",
	},
	{
		OPTION("BLOCK_ON_DISCONNECT_VOLTAGE_MIN", FLOAT, block_on_disconnect_voltage_min, "3.225"),
		RANGE(0.5, 5, "V"),
		.used = USED_LIMITS,
		.help = "Every cell must have been above this for the long time to apply.",
	},
	{
		OPTION("BLOCK_ON_DISCONNECT_VOLTAGE_MAX", FLOAT, block_on_disconnect_voltage_max, "3.375"),
		RANGE(0.5, 5, "V"),
		.used = USED_LIMITS,
		.help = "Every cell must have been below this for the long time to apply.",
	},
	{
		OPTION("BMS_CABLE_ALARM", BOOL, bms_cable_alarm, "True"),
		.used = USED_LIMITS,
		.help = "Raise the BMS cable alarm when the connection is lost.",
	},

	/* ---- external sensor ---- */
	{
		OPTION("EXTERNAL_SENSOR_DBUS_DEVICE", TEXT, external_sensor_dbus_device, ""),
		EMPTY("", "none"),
		.wrong = wrong_bus_name,
		.used = USED_DBUS,
		.heading = "External sensor",
		.help = "D-Bus service of a shunt or another meter, as in \"com.victronenergy.battery.ttyS6\". At "
			"least one of the two paths must be given with it.",
	},
	{
		OPTION("EXTERNAL_SENSOR_DBUS_PATH_CURRENT", TEXT, external_sensor_dbus_path_current, ""),
		EMPTY("", "none"),
		.wrong = wrong_object_path,
		.used = USED_DBUS,
		.help = "Path of its current (A), as in \"/Dc/0/Current\"; used instead of the current of the BMS.",
	},
	{
		OPTION("EXTERNAL_SENSOR_DBUS_PATH_SOC", TEXT, external_sensor_dbus_path_soc, ""),
		EMPTY("", "none"),
		.wrong = wrong_object_path,
		.used = USED_DBUS,
		.help = "Path of its SoC (%), as in \"/Soc\"; used instead of the SoC of the BMS. Not together with "
			"SOC_CALCULATION.",
	},

	/* ---- how limits move ---- */
	{
		OPTION("CHARGE_MODE", INT, charge_mode, "1"),
		RANGE(1, 2, NULL),
		.choices = "1 linear, 2 step",
		.used = USED_LIMITS,
		.heading = "How limits move",
		.help = "Between two points of a curve the current follows the straight line (1), or it stays at the "
			"value of one of the two (2). Both are always computed and shown; this one is published.",
	},
	{
		OPTION("CVL_RECALCULATION_EVERY", INT, cvl_recalculation_every, "60"),
		RANGE(0, 3600, "s"),
		.used = USED_LIMITS,
		.help = "Small reductions of the charge and discharge current limits are published at most this "
			"often; 0 = in every poll. Despite its name it does not touch the voltage limit.",
	},
	{
		OPTION("CVL_RECALCULATION_ON_MAX_PERCENTAGE_CHANGE", INT, cvl_recalculation_on_max_percentage_change,
		       "33"),
		RANGE(0, 100, "%"),
		.used = USED_LIMITS,
		.help = "A reduction of a current limit by at least this share is published at once.",
	},
	{
		OPTION("CVL_RECOVERY_HOLD_SEC", INT, cvl_recovery_hold_sec, "60"),
		RANGE(0, 3600, "s"),
		.used = USED_LIMITS,
		.help = "So long the voltage limit stays low after a cell was above its voltage.",
	},
	{
		OPTION("CVL_RECOVERY_RATE_V_PER_SEC", FLOAT, cvl_recovery_rate_v_per_sec, "0.001"),
		RANGE(0, 10, "V/s"),
		.used = USED_LIMITS,
		.help = "How fast the voltage limit then rises again; 0 = at once.",
	},

	/* ---- voltage limit ---- */
	{
		OPTION("CVCM_ENABLE", BOOL, cvcm_enable, "True"),
		.used = USED_LIMITS,
		.heading = "Charge voltage",
		.help = "Manage the charge voltage: bulk, absorption, float. Off: it is always the maximum, and the "
			"pack never goes to float.",
	},
	{
		OPTION("SWITCH_TO_FLOAT_WAIT_FOR_SEC", INT, switch_to_float_wait_for_sec, "900"),
		RANGE(0, 86400, "s"),
		EMPTY("0", "0"),
		.used = USED_LIMITS,
		.help = "Time in absorption, with the cells close together, before the pack counts as full.",
	},
	{
		OPTION("SWITCH_TO_FLOAT_CELL_VOLTAGE_DIFF", FLOAT, switch_to_float_cell_voltage_diff, "0.010"),
		RANGE(0, 10, "V"),
		EMPTY("10", "10 (off)"),
		.used = USED_LIMITS,
		.help = "The absorption time begins when highest and lowest cell are no further apart than this.",
	},
	{
		OPTION("SWITCH_TO_FLOAT_CELL_VOLTAGE_DEVIATION", FLOAT, switch_to_float_cell_voltage_deviation,
		       "0.003"),
		RANGE(0, 10, "V"),
		EMPTY("0", "0"),
		.used = USED_LIMITS,
		.help = "The absorption time begins anew when they drift apart by more than this above the "
			"difference.",
	},
	{
		OPTION("SWITCH_TO_BULK_SOC_THRESHOLD", INT, switch_to_bulk_soc_threshold, "80"),
		RANGE(0, 100, "%"),
		EMPTY("0", "0 (off)"),
		.used = USED_LIMITS,
		.help = "From float back to bulk when the SoC falls below this.",
	},
	{
		OPTION("SWITCH_TO_BULK_CELL_VOLTAGE_DIFF", FLOAT, switch_to_bulk_cell_voltage_diff, "0.080"),
		RANGE(0, 10, "V"),
		EMPTY("10", "10 (off)"),
		.used = USED_LIMITS,
		.help = "From float back to bulk when the cells are at least this far apart.",
	},
	{
		OPTION("CVL_CONTROLLER_MODE", INT, cvl_controller_mode, "1"),
		RANGE(0, 3, NULL),
		.choices = "0 none, 1 penalty sum, 2 integrating, 3 clipped sum",
		.used = USED_LIMITS,
		.help = "What lowers the voltage limit when single cells run over their voltage: nothing (0); the "
			"excess, taken off the measured sum (1); an integral of the excess (2); the sum of the cells, "
			"each cut at its allowed voltage (3).",
	},
	{
		OPTION("CVL_ICONTROLLER_FACTOR", FLOAT, cvl_icontroller_factor, "0.2"),
		RANGE(0, 10, "V/(V s)"),
		.used = USED_LIMITS,
		.help = "Gain of controller 2: volts per second of pack voltage for each volt of a cell's excess.",
	},

	/* ---- curves ---- */
	{
		OPTION("CCCM_CV_ENABLE", BOOL, cccm_cv_enable, "True"),
		.used = USED_LIMITS,
		.heading = "Current limits over cell voltage",
		.help = "Lower the charge current by the highest cell.",
	},
	{
		OPTION("DCCM_CV_ENABLE", BOOL, dccm_cv_enable, "True"),
		.used = USED_LIMITS,
		.help = "Lower the discharge current by the lowest cell.",
	},
	{
		OPTION("CELL_VOLTAGES_WHILE_CHARGING", NUMBERS, cell_voltages_while_charging,
		       "3.500, 3.450, 3.425, 3.400, 3.375"),
		RANGE(0, 5, "V"),
		.used = USED_LIMITS,
		.help = "Points of the charge curve, rising or falling.",
	},
	{
		OPTION("MAX_CHARGE_CURRENT_CV_FRACTION", NUMBERS, max_charge_current_cv_fraction,
		       "0.000, 0.005, 0.050, 0.250, 1.000"),
		RANGE(0, 1, NULL),
		.used = USED_LIMITS,
		.help = "Fraction of MAX_BATTERY_CHARGE_CURRENT at each of them.",
	},
	{
		OPTION("CELL_VOLTAGES_WHILE_DISCHARGING", NUMBERS, cell_voltages_while_discharging,
		       "2.800, 2.900, 3.000, 3.100, 3.190"),
		RANGE(0, 5, "V"),
		.used = USED_LIMITS,
		.help = "Points of the discharge curve, rising or falling.",
	},
	{
		OPTION("MAX_DISCHARGE_CURRENT_CV_FRACTION", NUMBERS, max_discharge_current_cv_fraction,
		       "0.000, 0.005, 0.050, 0.250, 1.000"),
		RANGE(0, 1, NULL),
		.used = USED_LIMITS,
		.help = "Fraction of MAX_BATTERY_DISCHARGE_CURRENT at each of them. At 0 A many inverters raise an "
			"alarm of their own and stop; the default keeps a little until the last point.",
	},
	{
		OPTION("CCCM_T_ENABLE", BOOL, cccm_t_enable, "True"),
		.used = USED_LIMITS,
		.heading = "Current limits over temperature",
		.help = "Lower the charge current by the coldest and the warmest sensor.",
	},
	{
		OPTION("DCCM_T_ENABLE", BOOL, dccm_t_enable, "True"),
		.used = USED_LIMITS,
		.help = "Lower the discharge current by the coldest and the warmest sensor.",
	},
	{
		OPTION("TEMPERATURES_WHILE_CHARGING", NUMBERS, temperatures_while_charging,
		       "0, 2, 5, 10, 40, 45, 50, 55"),
		RANGE(-60, 150, "degC"),
		.used = USED_LIMITS,
		.help = "Points of the charge curve, rising or falling.",
	},
	{
		OPTION("MAX_CHARGE_CURRENT_T_FRACTION", NUMBERS, max_charge_current_t_fraction,
		       "0.00, 0.25, 0.50, 1.00, 1.00, 0.50, 0.25, 0.00"),
		RANGE(0, 1, NULL),
		.used = USED_LIMITS,
		.help = "Fraction of MAX_BATTERY_CHARGE_CURRENT at each of them.",
	},
	{
		OPTION("TEMPERATURES_WHILE_DISCHARGING", NUMBERS, temperatures_while_discharging,
		       "-10, 0, 5, 10, 40, 45, 50, 55"),
		RANGE(-60, 150, "degC"),
		.used = USED_LIMITS,
		.help = "Points of the discharge curve, rising or falling.",
	},
	{
		OPTION("MAX_DISCHARGE_CURRENT_T_FRACTION", NUMBERS, max_discharge_current_t_fraction,
		       "0.00, 0.25, 0.50, 1.00, 1.00, 0.50, 0.25, 0.00"),
		RANGE(0, 1, NULL),
		.used = USED_LIMITS,
		.help = "Fraction of MAX_BATTERY_DISCHARGE_CURRENT at each of them.",
	},
	{
		OPTION("CCCM_T_MOSFET_ENABLE", BOOL, cccm_t_mosfet_enable, "True"),
		.used = USED_LIMITS,
		.heading = "Current limits over MOSFET temperature",
		.help = "Lower the charge current when the BMS's own switches get hot.",
	},
	{
		OPTION("DCCM_T_MOSFET_ENABLE", BOOL, dccm_t_mosfet_enable, "True"),
		.used = USED_LIMITS,
		.help = "Lower the discharge current when the BMS's own switches get hot.",
	},
	{
		OPTION("MOSFET_TEMPERATURES_WHILE_CHARGING", NUMBERS, mosfet_temperatures_while_charging, "70, 80, 90"),
		RANGE(-60, 200, "degC"),
		.used = USED_LIMITS,
		.help = "Points of the charge curve, rising or falling.",
	},
	{
		OPTION("MAX_CHARGE_CURRENT_T_MOSFET_FRACTION", NUMBERS, max_charge_current_t_mosfet_fraction,
		       "1.00, 0.25, 0.00"),
		RANGE(0, 1, NULL),
		.used = USED_LIMITS,
		.help = "Fraction of MAX_BATTERY_CHARGE_CURRENT at each of them.",
	},
	{
		OPTION("MOSFET_TEMPERATURES_WHILE_DISCHARGING", NUMBERS, mosfet_temperatures_while_discharging,
		       "70, 80, 90"),
		RANGE(-60, 200, "degC"),
		.used = USED_LIMITS,
		.help = "Points of the discharge curve, rising or falling.",
	},
	{
		OPTION("MAX_DISCHARGE_CURRENT_T_MOSFET_FRACTION", NUMBERS, max_discharge_current_t_mosfet_fraction,
		       "1.00, 0.25, 0.00"),
		RANGE(0, 1, NULL),
		.used = USED_LIMITS,
		.help = "Fraction of MAX_BATTERY_DISCHARGE_CURRENT at each of them.",
	},
	{
		OPTION("CCCM_SOC_ENABLE", BOOL, cccm_soc_enable, "False"),
		.used = USED_LIMITS,
		.heading = "Current limits over SoC",
		.help = "Lower the charge current as the pack gets full.",
	},
	{
		OPTION("DCCM_SOC_ENABLE", BOOL, dccm_soc_enable, "False"),
		.used = USED_LIMITS,
		.help = "Lower the discharge current as the pack gets empty.",
	},
	{
		OPTION("SOC_WHILE_CHARGING", NUMBERS, soc_while_charging, "98, 95, 90, 85"),
		RANGE(0, 100, "%"),
		.used = USED_LIMITS,
		.help = "Points of the charge curve, rising or falling.",
	},
	{
		OPTION("MAX_CHARGE_CURRENT_SOC_FRACTION", NUMBERS, max_charge_current_soc_fraction,
		       "0.10, 0.20, 0.50, 1.00"),
		RANGE(0, 1, NULL),
		.used = USED_LIMITS,
		.help = "Fraction of MAX_BATTERY_CHARGE_CURRENT at each of them.",
	},
	{
		OPTION("SOC_WHILE_DISCHARGING", NUMBERS, soc_while_discharging, "5, 10, 15, 20"),
		RANGE(0, 100, "%"),
		.used = USED_LIMITS,
		.help = "Points of the discharge curve, rising or falling.",
	},
	{
		OPTION("MAX_DISCHARGE_CURRENT_SOC_FRACTION", NUMBERS, max_discharge_current_soc_fraction,
		       "0.10, 0.20, 0.50, 1.00"),
		RANGE(0, 1, NULL),
		.used = USED_LIMITS,
		.help = "Fraction of MAX_BATTERY_DISCHARGE_CURRENT at each of them.",
	},

	/* ---- recovery of current limits ---- */
	{
		OPTION("CHARGE_CURRENT_RECOVERY_THRESHOLD_PERCENT", FLOAT, charge_current_recovery_threshold_percent,
		       "0.015"),
		RANGE(0, 1, NULL),
		.note = NOT_PERCENT,
		.used = USED_LIMITS,
		.heading = "Recovery of current limits",
		.help = "A charge limit that was 0 stays 0 until this fraction (not percent) of "
			"MAX_BATTERY_CHARGE_CURRENT would be allowed.",
	},
	{
		OPTION("DISCHARGE_CURRENT_RECOVERY_THRESHOLD_PERCENT", FLOAT,
		       discharge_current_recovery_threshold_percent, "0.015"),
		RANGE(0, 1, NULL),
		.note = NOT_PERCENT,
		.used = USED_LIMITS,
		.help = "A discharge limit that was 0 stays 0 until this fraction (not percent) of "
			"MAX_BATTERY_DISCHARGE_CURRENT would be allowed.",
	},
	{
		OPTION("CCL_RECOVERY_HOLD_SEC", INT, ccl_recovery_hold_sec, "30"),
		RANGE(0, 3600, "s"),
		.used = USED_LIMITS,
		.help = "So long more charge current must be allowed before the limit begins to rise.",
	},
	{
		OPTION("CCL_RECOVERY_RATE_A_PER_SEC", FLOAT, ccl_recovery_rate_a_per_sec, "5"),
		RANGE(0, 1000, "A/s"),
		.used = USED_LIMITS,
		.help = "How fast it then rises; 0 = at once.",
	},
	{
		OPTION("DCL_RECOVERY_HOLD_SEC", INT, dcl_recovery_hold_sec, "30"),
		RANGE(0, 3600, "s"),
		.used = USED_LIMITS,
		.help = "So long more discharge current must be allowed before the limit begins to rise.",
	},
	{
		OPTION("DCL_RECOVERY_RATE_A_PER_SEC", FLOAT, dcl_recovery_rate_a_per_sec, "5"),
		RANGE(0, 1000, "A/s"),
		.used = USED_LIMITS,
		.help = "How fast it then rises; 0 = at once.",
	},

	/* ---- times, history ---- */
	{
		OPTION("TIME_TO_GO_ENABLE", BOOL, time_to_go_enable, "True"),
		.used = USED_LIMITS,
		.heading = "Times, history",
		.help = "Compute the time until full, or until SOC_LOW_WARNING or the limit set in the ESS system.",
	},
	{
		OPTION("TIME_TO_SOC_POINTS", INTEGERS, time_to_soc_points, ""),
		RANGE(0, 100, "%"),
		EMPTY("", "none"),
		.used = USED_LIMITS,
		.help = "Compute the time to each of these SoC values, at most 20.",
	},
	{
		OPTION("TIME_TO_SOC_VALUE_TYPE", INT, time_to_soc_value_type, "1"),
		RANGE(1, 3, NULL),
		.choices = "1 seconds, 2 duration, 3 both",
		.used = USED_LIMITS,
		.help = "How those times are written: \"5040\" (1), \"1h 24m\" (2), \"5040 [1h 24m]\" (3).",
	},
	{
		OPTION("TIME_TO_SOC_RECALCULATE_EVERY", INT, time_to_soc_recalculate_every, "60"),
		RANGE(5, 3600, "s"),
		.raise = true,
		.used = USED_LIMITS,
		.help = "Times are computed anew this often.",
	},
	{
		OPTION("TIME_TO_SOC_INC_FROM", BOOL, time_to_soc_inc_from, "False"),
		.used = USED_LIMITS,
		.help = "Show also points that lie behind, with a negative time.",
	},
	{
		OPTION("HISTORY_ENABLE", BOOL, history_enable, "True"),
		.used = USED_LIMITS,
		.help = "Keep extremes, totals and counts over the life of the pack.",
	},

	/* ---- protocols ---- */
	{
		OPTION("BMS_TYPE", WORDS, bms_type, ""),
		EMPTY("", "all are tried"),
		.used = USED_PROTOCOLS,
		.global = true,
		.heading = "Which BMS, how often",
		.help = "Try only these kinds of BMS, separated by commas; a scan gets shorter with it.",
	},
	{
		OPTION("EXCLUDED_DEVICES", WORDS, excluded_devices, ""),
		EMPTY("", "none"),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "Serial ports that are left alone, as in \"/dev/ttyUSB2, /dev/ttyUSB4\".",
	},
	{
		OPTION("POLL_INTERVAL", FLOAT, poll_interval, ""),
		RANGE(0.1, 60, "s"),
		EMPTY("", "the protocol's own, mostly 1"),
		.used = USED_PROTOCOLS | USED_DBUS,
		.global = true,
		.help = "Ask the BMS this often.",
	},

	/* ---- D-Bus ---- */
	{
		OPTION("PUBLISH_CONFIG_VALUES", BOOL, publish_config_values, "False"),
		.used = USED_DBUS,
		.global = true,
		.heading = "D-Bus",
		.help = "Publish every option in force under /Info/Config.",
	},
	{
		OPTION("PUBLISH_BATTERY_DATA_AS_JSON", BOOL, publish_battery_data_as_json, "False"),
		.used = USED_DBUS,
		.global = true,
		.help = "Publish each reading as one JSON text under /JsonData.",
	},
	{
		OPTION("BATTERY_CELL_DATA_FORMAT", INT, battery_cell_data_format, "1"),
		RANGE(0, 3, NULL),
		.choices = "0 none, 1 /Voltages/CellN, 2 /Cell/N/Volts, 3 both",
		.used = USED_DBUS,
		.global = true,
		.help = "Paths under which single cells are published.",
	},
	{
		OPTION("MIDPOINT_ENABLE", BOOL, midpoint_enable, "False"),
		.used = USED_LIMITS,
		.help = "Compute the voltage in the middle of the string and its deviation from half.",
	},

	/* ---- temperatures ---- */
	{
		OPTION("TEMPERATURE_SOURCE_BATTERY", INTEGERS, temperature_source_battery, "1, 2, 3, 4"),
		RANGE(1, 4, NULL),
		.used = USED_LIMITS,
		.heading = "Temperatures",
		.help = "Sensors that measure the battery; the others are shown but limit nothing.",
	},
	{
		OPTION("TEMPERATURE_1_NAME", TEXT, temperature_name[0], "Temp 1"),
		EMPTY("Temp 1", "Temp 1"),
		.used = USED_DBUS | USED_SCREEN,
		.help = "Name of sensor 1.",
	},
	{
		OPTION("TEMPERATURE_2_NAME", TEXT, temperature_name[1], "Temp 2"),
		EMPTY("Temp 2", "Temp 2"),
		.used = USED_DBUS | USED_SCREEN,
		.help = "Name of sensor 2.",
	},
	{
		OPTION("TEMPERATURE_3_NAME", TEXT, temperature_name[2], "Temp 3"),
		EMPTY("Temp 3", "Temp 3"),
		.used = USED_DBUS | USED_SCREEN,
		.help = "Name of sensor 3.",
	},
	{
		OPTION("TEMPERATURE_4_NAME", TEXT, temperature_name[3], "Temp 4"),
		EMPTY("Temp 4", "Temp 4"),
		.used = USED_DBUS | USED_SCREEN,
		.help = "Name of sensor 4.",
	},
	{
		OPTION("TEMPERATURE_1_ADJUST", ADJUST, temperature_adjust[0], "0, 1"),
		.used = USED_LIMITS,
		.help = "Correction of sensor 1: what it shows, times the slope, plus the offset.",
	},
	{
		OPTION("TEMPERATURE_2_ADJUST", ADJUST, temperature_adjust[1], "0, 1"),
		.used = USED_LIMITS,
		.help = "Correction of sensor 2.",
	},
	{
		OPTION("TEMPERATURE_3_ADJUST", ADJUST, temperature_adjust[2], "0, 1"),
		.used = USED_LIMITS,
		.help = "Correction of sensor 3.",
	},
	{
		OPTION("TEMPERATURE_4_ADJUST", ADJUST, temperature_adjust[3], "0, 1"),
		.used = USED_LIMITS,
		.help = "Correction of sensor 4.",
	},
	{
		OPTION("TEMPERATURE_MOS_ADJUST", ADJUST, temperature_mos_adjust, "0, 1"),
		.used = USED_LIMITS,
		.help = "Correction of the MOSFET sensor.",
	},

	/* ---- GUI and others ---- */
	{
		OPTION("GUI_PARAMETERS_SHOW_ADDITIONAL_INFO", BOOL, gui_parameters_show_additional_info, "False"),
		.used = USED_DBUS | USED_SCREEN,
		.global = true,
		.heading = "Appearance, identity",
		.help = "Publish and show also how the limits came about.",
	},
	{
		OPTION("GUI_INSTALL_CUSTOMIZATIONS", BOOL, gui_install_customizations, "True"),
		.used = USED_NOBODY,
		.global = true,
		.help = "Pages of its own in the GUI of the GX device.",
	},
	{
		OPTION("TELEMETRY", BOOL, telemetry, "True"),
		.used = USED_NOBODY,
		.global = true,
		.help = "Usage figures for the authors. bmscope never sends anything, whatever stands here.",
	},
	{
		OPTION("VOLTAGE_DROP", FLOAT, voltage_drop, "0.00"),
		RANGE(-5, 5, "V"),
		.used = USED_LIMITS,
		.help = "Added to the published voltage limit, for what is lost on the cables to the charger.",
	},
	{
		OPTION("USE_PORT_AS_UNIQUE_ID", BOOL, use_port_as_unique_id, "False"),
		.used = USED_DBUS,
		.global = true,
		.help = "Tell batteries apart by the port, for BMS that all report the same serial number.",
	},

	/* ---- single protocols ---- */
	{
		OPTION("BATTERY_CAPACITY", FLOAT, battery_capacity, "99"),
		ABOVE(0, 5000, "Ah"),
		.used = USED_PROTOCOLS,
		.heading = "Single kinds of BMS",
		.help = "Capacity of a pack whose BMS does not report it.",
	},
	{
		OPTION("AUTO_RESET_SOC", BOOL, auto_reset_soc, "True"),
		.used = USED_PROTOCOLS,
		.help = "Write 100 % into a BMS that can be told so when the pack was charged full.",
	},
	{
		OPTION("USE_BMS_DVCC_VALUES", BOOL, use_bms_dvcc_values, "False"),
		.used = USED_LIMITS | USED_PROTOCOLS,
		.help = "Use the voltage limits that the BMS asks for instead of the cell voltages above, and, for "
			"BMS that need it, also its current limits.",
	},
	{
		OPTION("SOC_LOW_WARNING", FLOAT, soc_low_warning, "20"),
		RANGE(0, 100, "%"),
		.used = USED_LIMITS,
		.help = "SoC of the low SoC warning, and the end of the time-to-go.",
	},
	{
		OPTION("SOC_LOW_ALARM", FLOAT, soc_low_alarm, "10"),
		RANGE(0, 100, "%"),
		.used = USED_LIMITS,
		.help = "SoC of the low SoC alarm.",
	},
	{
		OPTION("UP16S_REQUIRE_DIRECT_CONNECTION", BOOL, up16s_require_direct_connection, "False"),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "Take a JBD UP16S only when it is wired directly, not through a hub.",
	},
	{
		OPTION("INVERT_CURRENT_MEASUREMENT", INT, invert_current_measurement, "1"),
		RANGE(-1, 1, NULL),
		.choices = "1 as reported, -1 inverted",
		.used = USED_PROTOCOLS,
		.help = "A Daly whose current has the wrong sign: -1. Its two switches are exchanged with it.",
	},
	{
		OPTION("GREENMETER_ADDRESS", INT, greenmeter_address, "1"),
		RANGE(1, 247, NULL),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "ECS: Modbus address of the GreenMeter.",
	},
	{
		OPTION("LIPRO_START_ADDRESS", INT, lipro_start_address, "2"),
		RANGE(1, 247, NULL),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "ECS: Modbus address of the first LiPro.",
	},
	{
		OPTION("LIPRO_END_ADDRESS", INT, lipro_end_address, "4"),
		RANGE(1, 247, NULL),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "ECS: Modbus address of the last LiPro.",
	},
	{
		OPTION("LIPRO_CELL_COUNT", INT, lipro_cell_count, "15"),
		RANGE(3, 32, NULL),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "ECS: cells in series.",
	},
	{
		OPTION("UBMS_CAN_MODULE_SERIES", INT, ubms_can_module_series, "4"),
		RANGE(1, 16, NULL),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "Valence U-BMS: modules in series.",
	},
	{
		OPTION("UBMS_CAN_MODULE_PARALLEL", INT, ubms_can_module_parallel, "2"),
		RANGE(1, 16, NULL),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "Valence U-BMS: strings in parallel.",
	},
	{
		OPTION("UBMS_CAN_MASTER", BOOL, ubms_can_master, "False"),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "Valence U-BMS: bmscope is the master that keeps the contactor closed. It keeps the battery in drive "
			"mode, and asks for it 10 s after it has found it in another one. There must be no other master; "
			"20 s after bmscope has ended the contactor opens.",
	},

	/* ---- MQTT ---- */
	{
		OPTION("MQTT_TOPIC", WORDS, mqtt_topic, ""),
		EMPTY("", "none"),
		.used = USED_PROTOCOLS,
		.global = true,
		.heading = "MQTT batteries",
		.help = "Topics on which batteries publish their readings, separated by commas.",
	},
	{
		OPTION("MQTT_BROKER_ADDRESS", TEXT, mqtt_broker_address, "127.0.0.1"),
		.wrong = wrong_host,
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "Host name or address of the broker.",
	},
	{
		OPTION("MQTT_BROKER_PORT", INT, mqtt_broker_port, "1883"),
		RANGE(1, 65535, NULL),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "TCP port of the broker.",
	},
	{
		OPTION("MQTT_TLS_ENABLED", BOOL, mqtt_tls_enabled, "False"),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "Talk to the broker over TLS.",
	},
	{
		OPTION("MQTT_TLS_PATH_TO_CA", TEXT, mqtt_tls_path_to_ca, ""),
		EMPTY("", "the system's own"),
		.wrong = wrong_file,
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "File with the certificate that signed the broker's.",
	},
	{
		OPTION("MQTT_TLS_INSECURE", BOOL, mqtt_tls_insecure, "True"),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "Accept a certificate that was made out for another host name.",
	},
	{
		OPTION("MQTT_USERNAME", TEXT, mqtt_username, ""),
		EMPTY("", "no login"),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "User at the broker.",
	},
	{
		OPTION("MQTT_PASSWORD", TEXT, mqtt_password, ""),
		EMPTY("", "no login"),
		.used = USED_PROTOCOLS,
		.secret = true,
		.global = true,
		.help = "Password at the broker. It is never shown or published.",
	},

	/* ---- recording ---- */
	{
		OPTION("BMS_CAPTURE_RAW_DATA", BOOL, bms_capture_raw_data, "False"),
		.used = USED_PROTOCOLS,
		.global = true,
		.heading = "Recording",
		.help = "Keep a recording of every byte on every port, for a report of a fault.",
	},
	{
		OPTION("BMS_CAPTURE_RAW_DATA_MAX_SIZE_MB", INT, bms_capture_raw_data_max_size_mb, "5"),
		RANGE(1, 1024, "MB"),
		EMPTY("5", "5"),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "A file of it is closed, and the next one begun, when it has this size.",
	},
	{
		OPTION("BMS_CAPTURE_RAW_DATA_BACKUP_COUNT", INT, bms_capture_raw_data_backup_count, "3"),
		RANGE(0, 100, NULL),
		EMPTY("3", "3"),
		.used = USED_PROTOCOLS,
		.global = true,
		.help = "So many closed files are kept; older ones are deleted.",
	},
};

_Static_assert(sizeof(options) / sizeof(options[0]) == CONFIG_OPTIONS, "those that users have already, and our own");

const struct option *option_at(unsigned i)
{
	return &options[i];
}

unsigned option_index(const struct option *o)
{
	return (unsigned)(o - options);
}

const struct option *option_by_name(const char *name)
{
	for (unsigned i = 0; i < CONFIG_OPTIONS; i++)
		if (!strcmp(options[i].name, name))
			return &options[i];
	return NULL;
}
