/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The options of config.ini: names, types, defaults and ranges stand in one table (options.c); the
 * parser, the validator, the default file, the man page and `bmscope config` come from it. Option
 * names are those of dbus-serialbattery, so that an existing file loads unchanged; the member of
 * struct config is the option's name in lower case.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_MAX_LIST	    32
#define CONFIG_MAX_TEXT	    256
#define CONFIG_TEMPERATURES 4
#define CONFIG_OPTIONS	    122
#define CONFIG_MAX_PROBLEM  1024

/* The file that every face reads when none is named. */
#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define CONFIG_PATH SYSCONFDIR "/bmscope/config.ini"

struct number_list {
	unsigned n;
	double v[CONFIG_MAX_LIST];
};

struct config {
	/* general */
	char logging[16];
	double poll_interval; /* s; NAN = the protocol's own */
	char bms_type[CONFIG_MAX_TEXT];
	char excluded_devices[CONFIG_MAX_TEXT];
	struct number_list battery_addresses;
	char bluetooth_bms[CONFIG_MAX_TEXT];
	bool bluetooth_use_polling, bluetooth_force_reset_ble_stack, bluetooth_use_usb;
	char can_port[CONFIG_MAX_TEXT];
	bool serial_starter_enabled;

	/* limits: limits.md 16.4 */
	double max_battery_charge_current, max_battery_discharge_current;		       /* A */
	double min_cell_voltage, max_cell_voltage, float_cell_voltage, soc_reset_cell_voltage; /* V */
	double soc_reset_after_days;							       /* NAN = off */
	bool soc_calculation;
	struct number_list current_reported_by_bms, current_measured_by_user;
	bool block_on_disconnect;
	int block_on_disconnect_timeout_minutes;
	double block_on_disconnect_voltage_min, block_on_disconnect_voltage_max;
	bool bms_cable_alarm;
	char external_sensor_dbus_device[CONFIG_MAX_TEXT];
	char external_sensor_dbus_path_current[CONFIG_MAX_TEXT];
	char external_sensor_dbus_path_soc[CONFIG_MAX_TEXT];
	int charge_mode; /* 1 linear, 2 step */
	int cvl_recalculation_every, cvl_recalculation_on_max_percentage_change;
	int cvl_recovery_hold_sec;
	double cvl_recovery_rate_v_per_sec;
	bool cvcm_enable;
	int switch_to_float_wait_for_sec;
	double switch_to_float_cell_voltage_diff, switch_to_float_cell_voltage_deviation;
	int switch_to_bulk_soc_threshold;
	double switch_to_bulk_cell_voltage_diff;
	int cvl_controller_mode;
	double cvl_icontroller_factor;
	bool cccm_cv_enable, dccm_cv_enable;
	struct number_list cell_voltages_while_charging, max_charge_current_cv_fraction;
	struct number_list cell_voltages_while_discharging, max_discharge_current_cv_fraction;
	bool cccm_t_enable, dccm_t_enable;
	struct number_list temperatures_while_charging, max_charge_current_t_fraction;
	struct number_list temperatures_while_discharging, max_discharge_current_t_fraction;
	bool cccm_t_mosfet_enable, dccm_t_mosfet_enable;
	struct number_list mosfet_temperatures_while_charging, max_charge_current_t_mosfet_fraction;
	struct number_list mosfet_temperatures_while_discharging, max_discharge_current_t_mosfet_fraction;
	bool cccm_soc_enable, dccm_soc_enable;
	struct number_list soc_while_charging, max_charge_current_soc_fraction;
	struct number_list soc_while_discharging, max_discharge_current_soc_fraction;
	double charge_current_recovery_threshold_percent, discharge_current_recovery_threshold_percent;
	int ccl_recovery_hold_sec;
	double ccl_recovery_rate_a_per_sec;
	int dcl_recovery_hold_sec;
	double dcl_recovery_rate_a_per_sec;
	bool time_to_go_enable;
	struct number_list time_to_soc_points;
	int time_to_soc_value_type, time_to_soc_recalculate_every;
	bool time_to_soc_inc_from;
	bool history_enable;
	bool midpoint_enable;
	struct number_list temperature_source_battery;
	char temperature_name[CONFIG_TEMPERATURES][33];		    /* TEMPERATURE_1_NAME .. */
	struct number_list temperature_adjust[CONFIG_TEMPERATURES]; /* offset, slope */
	struct number_list temperature_mos_adjust;
	double voltage_drop;
	bool use_bms_dvcc_values;
	double soc_low_warning, soc_low_alarm;

	/* D-Bus */
	bool publish_config_values, publish_battery_data_as_json;
	int battery_cell_data_format;
	bool use_port_as_unique_id;
	bool gui_parameters_show_additional_info, gui_install_customizations, telemetry;

	/* protocols */
	double battery_capacity;
	bool auto_reset_soc;
	bool up16s_require_direct_connection;
	int invert_current_measurement; /* 1 or -1 */
	int greenmeter_address, lipro_start_address, lipro_end_address, lipro_cell_count;
	int ubms_can_module_series, ubms_can_module_parallel;
	bool ubms_can_master;
	char mqtt_topic[CONFIG_MAX_TEXT], mqtt_broker_address[CONFIG_MAX_TEXT];
	int mqtt_broker_port;
	bool mqtt_tls_enabled;
	char mqtt_tls_path_to_ca[CONFIG_MAX_TEXT];
	bool mqtt_tls_insecure;
	char mqtt_username[CONFIG_MAX_TEXT], mqtt_password[CONFIG_MAX_TEXT];
	bool bms_capture_raw_data;
	int bms_capture_raw_data_max_size_mb, bms_capture_raw_data_backup_count;
};

enum config_severity { CONFIG_INFO, CONFIG_WARNING, CONFIG_ERROR };

struct config_problem {
	enum config_severity severity;
	int line;		       /* 0: of no particular line */
	char text[CONFIG_MAX_PROBLEM]; /* OPTION: what is wrong (got "VALUE"); what is allowed */
};

/* Everything that is wrong with one file, in the order of its lines. */
struct config_report {
	char file[CONFIG_MAX_TEXT];
	struct config_problem *problem;
	unsigned count;
	unsigned errors;  /* of all, also of those that found no room in the list */
	unsigned dropped; /* problems beyond the first thousand, or for want of memory */
};

void config_report_free(struct config_report *r);
/* One line per problem: FILE:LINE: error|warning|info: TEXT */
void config_report_print(const struct config_report *r, FILE *to);

/* The defaults of the table. */
void config_defaults(struct config *c);
/*
 * Reads the file at path over the defaults and checks it whole. Returns 0, or -1 when report holds
 * an error (c is then not to be used); warnings are applied as limits.md 16.3 says and reported. It
 * knows one configuration for all packs: sections for single ones are an error here.
 * The caller frees the report either way.
 */
int config_load(struct config *c, const char *path, struct config_report *report);
/* Sets one option from text, as a line of the file would. False: why says what is wrong ("OPTION: ..."). */
bool config_set(struct config *c, const char *name, const char *value, char *why, size_t size);
/* Checks what depends on several options and mends what 16.3 says; adds to report (line 0). */
void config_check(struct config *c, struct config_report *report);
/* The file with all options, their defaults and help: data/config.default.ini. */
void config_print_default(FILE *to);
/* The manual page bmscope.ini(5). */
void config_print_manual(FILE *to);

/*
 * A file with sections: what stands in [protocol:ID], [port:NAME] and [pack:SERIAL] goes over [DEFAULT]
 * for the packs that they fit; where several fit, in this order, so that the pack's own has the last word.
 */
struct configuration;

/* Names that only others know, for the rules that need them; a NULL member is not checked. */
struct config_names {
	bool (*bms_type)(const char *name); /* V30: an element of BMS_TYPE */
	bool (*protocol)(const char *id);   /* of [protocol:ID] */
	const char *bms_types;		    /* all of them, for the message */
};

/* Where the value of an option comes from. */
struct config_origin {
	unsigned line;	     /* of the file; 0 = the default */
	const char *section; /* "DEFAULT", "pack:1234"; lives as long as the configuration */
	bool mended;	     /* not what the line says: a rule of 16.3 has changed it */
};

/*
 * As config_load(), with sections: every combination of them that can come together is checked. NULL
 * when report holds an error or there is no memory. path NULL: the defaults alone. names may be NULL.
 */
struct configuration *configuration_load(const char *path, const struct config_names *names,
					 struct config_report *report);
void configuration_free(struct configuration *conf);
/*
 * The configuration of one pack: the port's name with or without "/dev/", the serial number, the
 * protocol's id; NULL = not known (yet). origin: NULL, or CONFIG_OPTIONS places in the order of
 * option_at(). False: no section fits, c is what [DEFAULT] says.
 */
bool configuration_for(const struct configuration *conf, const char *port, const char *serial, const char *protocol,
		       struct config *c, struct config_origin *origin);
/* The names of the sections beyond [DEFAULT], from 0; NULL after the last. */
const char *configuration_section(const struct configuration *conf, unsigned i);

#endif
