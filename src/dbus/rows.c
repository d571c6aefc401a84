/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dbus/rows.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/options.h"

enum { OUTCOME_MS = 60000 /* so long a command's end is shown */ };

static const struct value unknown = {.kind = VALUE_INVALID};

static struct value count_of(int64_t n)
{
	return (struct value){.kind = VALUE_COUNT, .count = n};
}

static struct value tri_of(enum tri t)
{
	return t == UNKNOWN ? unknown : count_of(t == ON);
}

static struct value text_or_unknown(const char *text)
{
	return value_text(text[0] ? text : NULL);
}

static const char *reading_text(const struct view *v, enum text t)
{
	return v->snapshot->reading.text[t];
}

/* ---- identity: 4.1 ---- */

static const char *port_leaf(const struct snapshot *s)
{
	const char *slash = strrchr(s->port, '/');

	return slash ? slash + 1 : s->port;
}

static struct value get_process_name(struct view *v)
{
	return value_text(v->tree->identity.process_name);
}

static struct value get_process_version(struct view *v)
{
	return value_text(v->tree->identity.process_version);
}

static struct value get_connection(struct view *v)
{
	static const char *const links[] = {
		[LINK_SERIAL] = "Serial", [LINK_CAN] = "CAN",	[LINK_BLE] = "Bluetooth LE",
		[LINK_SPI] = "SPI",	  [LINK_MQTT] = "MQTT",
	};
	const struct snapshot *s = v->snapshot;
	char address[8] = "";

	if (s->addressed)
		snprintf(address, sizeof(address), "__0x%02x", s->address);
	snprintf(v->scratch, sizeof(v->scratch), "%s %s%s", links[s->protocol->link], s->port, address);
	return value_text(v->scratch);
}

static struct value get_instance(struct view *v)
{
	return count_of(v->tree->identity.device_instance);
}

static struct value get_product_id(struct view *v)
{
	return count_of(v->tree->identity.product_id);
}

/* The battery's own name; a battery without one gets the name that such batteries have always had. */
static struct value get_product_name(struct view *v)
{
	const struct snapshot *s = v->snapshot;
	char identifier[PACK_NAME];

	if (reading_text(v, T_MODEL)[0])
		return value_text(reading_text(v, T_MODEL));
	snprintf(identifier, sizeof(identifier), "%s", s->identifier);
	for (char *c = identifier; *c; c++)
		if (*c == ' ')
			*c = '_';
	snprintf(v->scratch, sizeof(v->scratch), "SerialBattery %s @ %s (%s)", identifier, port_leaf(s),
		 s->protocol->manufacturer);
	return value_text(v->scratch);
}

static struct value get_custom_name(struct view *v)
{
	return value_text(v->tree->identity.custom_name);
}

static struct value get_firmware(struct view *v)
{
	const char *own = reading_text(v, T_FIRMWARE_VERSION);

	return value_text(own[0] ? own : v->tree->identity.process_version);
}

/* Of a BMS that tells one version only, that is the one. */
static struct value get_hardware(struct view *v)
{
	const char *own = reading_text(v, T_HARDWARE_VERSION);

	return text_or_unknown(own[0] ? own : reading_text(v, T_FIRMWARE_VERSION));
}

static struct value get_manufacturer(struct view *v)
{
	return value_text(v->snapshot->protocol->manufacturer);
}

static struct value get_serial(struct view *v)
{
	snprintf(v->scratch, sizeof(v->scratch), "%s", v->snapshot->identifier);
	for (char *c = v->scratch; *c; c++)
		if (!isalnum((unsigned char)*c))
			*c = '_';
	return value_text(v->scratch);
}

/* The text that the owner may write into the BMS; protocols call it by different names. */
static struct value get_device_name(struct view *v)
{
	static const char *const names[] = {"device_name", "user_data", "pack_name"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct setting *p = settings_find(&v->snapshot->settings, names[i]);

		if (p && p->kind == SETTING_TEXT && p->text[0])
			return value_text(p->text);
	}
	return unknown;
}

/* ---- state: 4.2 ---- */

static bool any_permission(const struct view *v)
{
	return v->limits->ccl.io || v->limits->dcl.io;
}

static struct value get_state(struct view *v)
{
	return count_of(v->limits->state);
}

static struct value get_mode(struct view *v)
{
	enum { MODE_ON = 3, MODE_OFF = 4, MODE_STANDBY = 0xfc };

	if (v->limits->state == 14)
		return count_of(MODE_OFF);
	return count_of(v->limits->state && !any_permission(v) ? MODE_STANDBY : MODE_ON);
}

static unsigned alarm_level(const struct view *v, enum alarm a)
{
	return v->snapshot->reading.alarms.level[a];
}

static struct value get_device_state(struct view *v)
{
	unsigned hot = alarm_level(v, ALARM_HIGH_TEMPERATURE);
	unsigned hot_charge = alarm_level(v, ALARM_HIGH_CHARGE_TEMPERATURE);

	if (!v->limits->online_known)
		return unknown;
	if (alarm_level(v, ALARM_INTERNAL_FAILURE) == ALARM_RAISED)
		return count_of(0x103);
	if (hot == ALARM_RAISED || hot_charge == ALARM_RAISED)
		return count_of(0x101);
	if (hot == ALARM_WARNING || hot_charge == ALARM_WARNING)
		return count_of(0x102);
	if (alarm_level(v, ALARM_LOW_VOLTAGE) == ALARM_RAISED)
		return count_of(0x105);
	return count_of(any_permission(v) ? 0x100 : 0x104);
}

static struct value get_link(struct view *v)
{
	const struct tree *t = v->tree;

	if (!t->outcome[0] || v->now_ms >= t->outcome_ms + OUTCOME_MS)
		return value_text(t->link.text);
	snprintf(v->scratch, sizeof(v->scratch), "%s | %s", t->link.text, t->outcome);
	return value_text(v->scratch);
}

static struct value get_modules(struct view *v)
{
	bool online = !v->limits->online_known || v->limits->online;

	return count_of(online == v->row->arg);
}

static struct value get_charge_allowed(struct view *v)
{
	return count_of(v->limits->ccl.io == v->row->arg);
}

static struct value get_discharge_allowed(struct view *v)
{
	return count_of(v->limits->dcl.io == v->row->arg);
}

static struct value get_flag(struct view *v)
{
	return tri_of(reading_flag(&v->snapshot->reading, (enum flag)v->row->arg));
}

static struct value get_balancing(struct view *v)
{
	return count_of(reading_flag(&v->snapshot->reading, F_BALANCING_ACTIVE) == ON);
}

/* ---- measurements: 4.3 ---- */

static struct value get_quantity(struct view *v)
{
	return value_number(reading_get(&v->snapshot->reading, (enum quantity)v->row->arg));
}

static struct value get_bms_consumed(struct view *v)
{
	const struct reading *r = &v->snapshot->reading;

	return value_number(reading_get(r, Q_CAPACITY_REMAINING_AH) - reading_get(r, Q_CAPACITY_FULL_AH));
}

static struct value get_time_to_soc(struct view *v)
{
	const struct limits_output *o = v->limits;
	unsigned i = 0;

	while (i < o->points && o->tts_point[i] != v->tree->shape.point[v->n - 1])
		i++;
	if (i == o->points || isnan(o->tts[i]))
		return unknown;
	limits_time_text(v->config->time_to_soc_value_type, o->tts[i], v->scratch, sizeof(v->scratch));
	return value_text(v->scratch);
}

static struct value get_sensor(struct view *v)
{
	return value_number(v->limits->temp_sensor[v->n - 1]);
}

static struct value get_sensor_name(struct view *v)
{
	return value_text(v->config->temperature_name[v->n - 1]);
}

static struct value name_of_sensor(const struct view *v, int no)
{
	return no < 1 || no > CONFIG_TEMPERATURES ? unknown : value_text(v->config->temperature_name[no - 1]);
}

static struct value get_min_sensor(struct view *v)
{
	return name_of_sensor(v, v->limits->temp_min_no);
}

static struct value get_max_sensor(struct view *v)
{
	return name_of_sensor(v, v->limits->temp_max_no);
}

/* "C11". A BMS that tells only its extremes may tell their numbers too. */
static struct value cell_id(struct view *v, int no, enum quantity reported)
{
	const struct reading *r = &v->snapshot->reading;
	double from_bms = reading_get(r, reported);

	if (no < 1 && !r->cell_V.count && from_bms >= 1 && from_bms <= UINT8_MAX)
		no = (int)from_bms;
	if (no < 1)
		return unknown;
	snprintf(v->scratch, sizeof(v->scratch), "C%d", no);
	return value_text(v->scratch);
}

static struct value get_min_cell(struct view *v)
{
	return cell_id(v, v->limits->cell_min_no, Q_CELL_MIN_NO);
}

static struct value get_max_cell(struct view *v)
{
	return cell_id(v, v->limits->cell_max_no, Q_CELL_MAX_NO);
}

static struct value get_cell(struct view *v)
{
	const struct series *cells = &v->snapshot->reading.cell_V;

	if (!series_knows(cells, v->n - 1) || cells->value[v->n - 1] > 2 * v->config->max_cell_voltage)
		return unknown;
	return value_number(cells->value[v->n - 1]);
}

static struct value get_cell_balances(struct view *v)
{
	return count_of(v->snapshot->reading.balancing >> (v->n - 1) & 1);
}

/* ---- limits: 4.4 ---- */

/* An unknown limit would be no limit at all to the consumers: until it is known, nothing may flow. */
static struct value current_or_nothing(double limit)
{
	return value_number(isfinite(limit) ? limit : 0);
}

static struct value get_ccl(struct view *v)
{
	return current_or_nothing(v->limits->ccl.limit);
}

static struct value get_dcl(struct view *v)
{
	return current_or_nothing(v->limits->dcl.limit);
}

static struct value get_max_cell_voltage(struct view *v)
{
	return value_number(v->limits->v_max / reading_get(&v->snapshot->reading, Q_CELL_COUNT));
}

static struct value get_charge_mode(struct view *v)
{
	char phase[128];

	if (v->limits->phase == CHARGE_PHASE_NONE)
		return unknown;
	charge_mode_text(v->limits, phase, sizeof(phase));
	snprintf(v->scratch, sizeof(v->scratch), "%s%s", phase, charge_mode_suffix(v->limits, v->snapshot->mode));
	return value_text(v->scratch);
}

static struct value limitation(struct view *v, const struct current_limit *limit, bool charging)
{
	if (!limit->why)
		return unknown;
	limit_reason_text(limit, charging, v->scratch, sizeof(v->scratch));
	return value_text(v->scratch);
}

static struct value get_charge_limitation(struct view *v)
{
	return limitation(v, &v->limits->ccl, true);
}

static struct value get_discharge_limitation(struct view *v)
{
	return limitation(v, &v->limits->dcl, false);
}

/* ---- the debug texts of 4.4: why the charge voltage is what it is ---- */

static bool debug_wanted(const struct view *v)
{
	return v->config->gui_parameters_show_additional_info || !strcmp(v->config->logging, "DEBUG");
}

/* A number for people; "--" when it is not known. */
static const char *shown(double v, int decimals, char out[24])
{
	if (isfinite(v))
		snprintf(out, 24, "%.*f", decimals, v);
	else
		snprintf(out, 24, "--");
	return out;
}

static struct value get_debug(struct view *v)
{
	const struct limits_output *o = v->limits;
	char ctl[24], max[24], lo[24], hi[24], sum[24];

	if (!debug_wanted(v))
		return value_text("");
	snprintf(
		v->scratch, sizeof(v->scratch),
		"charge voltage %s V of at most %s V; cells %s to %s V, sum %s V; full voltage %s; reset of the SoC %s",
		shown(o->cvl_ctl, 2, ctl), shown(o->v_max, 2, max), shown(o->cell_min, 3, lo),
		shown(o->cell_max, 3, hi), shown(o->cell_sum, 2, sum), o->allow_max ? "allowed" : "reached before",
		o->soc_reset ? "due" : "not due");
	return value_text(v->scratch);
}

static struct value get_debug_float(struct view *v)
{
	const struct limits_output *o = v->limits;
	const struct config *c = v->config;
	char sum[24], max[24], diff[24];

	if (!debug_wanted(v))
		return value_text("");
	snprintf(v->scratch, sizeof(v->scratch),
		 "float after %d s at %s V (sum %s V) with cells %.3f V apart at most (%s V)",
		 c->switch_to_float_wait_for_sec, shown(o->v_max, 2, max), shown(o->cell_sum, 2, sum),
		 c->switch_to_float_cell_voltage_diff, shown(o->cell_diff, 3, diff));
	return value_text(v->scratch);
}

static struct value get_debug_bulk(struct view *v)
{
	const struct limits_output *o = v->limits;
	const struct config *c = v->config;
	char soc[24], diff[24];

	if (!debug_wanted(v))
		return value_text("");
	snprintf(v->scratch, sizeof(v->scratch), "bulk below a SoC of %d %% (%s %%) or with cells %.3f V apart (%s V)",
		 c->switch_to_bulk_soc_threshold, shown(o->soc, 1, soc), c->switch_to_bulk_cell_voltage_diff,
		 shown(o->cell_diff, 3, diff));
	return value_text(v->scratch);
}

/* An option in force; one that is not set is unknown. */
static struct value get_option(struct view *v)
{
	const struct option *o = option_at(v->n - 1);
	const void *member = (const char *)v->config + o->offset;
	bool counts = o->type == OPTION_INTEGERS || o->type == OPTION_ADDRESSES;

	switch (o->store) {
	case STORE_BOOL:
		return (struct value){.kind = VALUE_FLAG, .count = *(const bool *)member};
	case STORE_INT:
		return count_of(*(const int *)member);
	case STORE_DOUBLE:
		return o->type == OPTION_INT ? value_count(*(const double *)member)
					     : value_number(*(const double *)member);
	case STORE_TEXT:
		return (struct value){.kind = o->type == OPTION_WORDS ? VALUE_WORDS : VALUE_TEXT, .text = member};
	case STORE_LIST:
		break;
	}
	return (struct value){.kind = counts ? VALUE_COUNTS : VALUE_NUMBERS, .list = member};
}

/* The names under which protocols report that the BMS asks to be charged. */
static const char *const charge_requests[] = {"charge_request", "charge_immediately", "force_charge"};

static double charge_request(const struct reading *r)
{
	double asked = NAN;

	for (size_t i = 0; i < sizeof(charge_requests) / sizeof(charge_requests[0]); i++) {
		double d = reading_detail(r, charge_requests[i]);

		if (isfinite(d) && (!isfinite(asked) || d != 0))
			asked = d != 0;
	}
	return asked;
}

static struct value get_charge_request(struct view *v)
{
	return value_count(charge_request(&v->snapshot->reading));
}

/* ---- alarms: 4.5 ---- */

/* A protocol that doesn't list its alarms may report any. */
static bool reports_alarm(const struct view *v, enum alarm a)
{
	uint32_t listed = v->snapshot->protocol->alarms;

	return v->snapshot->reading.alarms.known && (!listed || listed >> a & 1);
}

static struct value get_alarm(struct view *v)
{
	enum alarm a = (enum alarm)v->row->arg;

	return reports_alarm(v, a) ? count_of(alarm_level(v, a)) : unknown;
}

/* Held down around a SoC reset: limits.md 10.2. */
static struct value get_high_voltage(struct view *v)
{
	int level = v->row->arg == ALARM_HIGH_VOLTAGE ? v->limits->alarm_hv : v->limits->alarm_hcv;

	return reports_alarm(v, (enum alarm)v->row->arg) && level >= 0 ? count_of(level) : unknown;
}

/* limits.md 10.1: made here for a BMS that has no such flag; dropped when its SoC is not the one shown. */
static struct value get_low_soc(struct view *v)
{
	double soc = reading_get(&v->snapshot->reading, Q_SOC_PCT);

	if (v->config->soc_calculation)
		return unknown;
	if (v->snapshot->protocol->alarms >> ALARM_LOW_SOC & 1)
		return get_alarm(v);
	if (isnan(soc))
		return unknown;
	return count_of(soc < v->config->soc_low_alarm	   ? ALARM_RAISED
			: soc < v->config->soc_low_warning ? ALARM_WARNING
							   : ALARM_OK);
}

static struct value get_cable(struct view *v)
{
	int reported = (int)alarm_level(v, ALARM_BMS_CABLE);

	return count_of(reported > v->limits->cable ? reported : v->limits->cable);
}

/* ---- history: 4.6 ---- */

/* In whole minutes, so that it does not change with every poll. */
static struct value get_since_full(struct view *v)
{
	return value_count(floor(v->limits->history.since_full / 60) * 60);
}

static struct value get_can_be_cleared(struct view *v)
{
	return count_of(v->tree->identity.can_clear_history);
}

/* ---- settings: 4.7 ---- */

/* What was asked for, until it is known how that ended; then what the BMS reports. */
static struct value get_switch_off(struct view *v)
{
	enum tri asked = v->tree->asked[v->row->arg];

	return count_of((asked != UNKNOWN ? asked : v->tree->reported[v->row->arg]) == OFF);
}

static struct value get_soc_value(struct view *v)
{
	return count_of(v->tree->soc_value);
}

/* ---- which rows there are ---- */

static bool if_radio(const struct tree_shape *shape, int arg)
{
	(void)arg;
	return shape->radio;
}

static bool if_own_soc(const struct tree_shape *shape, int arg)
{
	(void)arg;
	return shape->own_soc;
}

static bool if_voltages(const struct tree_shape *shape, int arg)
{
	(void)arg;
	return shape->cell_format > 0 && !(shape->cell_format & 2);
}

static bool if_volts(const struct tree_shape *shape, int arg)
{
	(void)arg;
	return shape->cell_format & 2;
}

static bool if_balances(const struct tree_shape *shape, int arg)
{
	(void)arg;
	return shape->cell_format & 1;
}

static bool if_command(const struct tree_shape *shape, int arg)
{
	return shape->command[arg];
}

static bool if_set_soc(const struct tree_shape *shape, int arg)
{
	(void)arg;
	return shape->command[COMMAND_SOC];
}

static bool if_settings(const struct tree_shape *shape, int arg)
{
	(void)arg;
	for (unsigned k = 0; k < COMMAND_KINDS; k++)
		if (shape->command[k])
			return true;
	return false;
}

static bool if_config(const struct tree_shape *shape, int arg)
{
	(void)arg;
	return shape->config;
}

static bool if_asks_for_charge(const struct tree_shape *shape, int arg)
{
	(void)arg;
	return shape->asks_for_charge;
}

static bool offers(const struct protocol *p, enum command_kind kind, bool experimental)
{
	return (p->commands >> kind & 1) && (experimental || !(p->experimental >> kind & 1));
}

static void shape_points(struct tree_shape *shape, const struct number_list *points)
{
	for (unsigned i = 0; i < points->n && shape->points < LIMITS_MAX_POINTS; i++) {
		int point = (int)points->v[i];
		unsigned j = 0;

		while (j < shape->points && shape->point[j] != point)
			j++;
		if (j == shape->points && point >= 0 && point <= 100)
			shape->point[shape->points++] = point;
	}
}

void shape_of(struct tree_shape *shape, const struct tree_identity *identity, const struct snapshot *s,
	      const struct config *config)
{
	double cells = reading_get(&s->reading, Q_CELL_COUNT);

	memset(shape, 0, sizeof(*shape));
	shape->cells = cells >= 1 && cells <= MAX_CELLS ? (unsigned)cells : s->reading.cell_V.count;
	shape->cell_format = config->battery_cell_data_format;
	shape_points(shape, &config->time_to_soc_points);
	for (unsigned k = 0; k < COMMAND_KINDS; k++)
		shape->command[k] = offers(s->protocol, (enum command_kind)k, identity->experimental);
	if (config->soc_calculation)
		shape->command[COMMAND_SOC] = true;
	shape->own_soc = config->soc_calculation ||
			 (config->external_sensor_dbus_device[0] && config->external_sensor_dbus_path_soc[0]);
	shape->config = config->publish_config_values;
	shape->radio = s->protocol->link == LINK_BLE;
	shape->asks_for_charge = isfinite(charge_request(&s->reading));
}

/* ---- the table ---- */

#define FROM_LIMITS(member) .source = SOURCE_LIMITS, .offset = offsetof(struct limits_output, member)
#define NEGATIVE(member)    .source = SOURCE_NEGATIVE, .offset = offsetof(struct limits_output, member)
#define QUANTITY(q)	    .get = get_quantity, .arg = (q)
#define CONSTANT(n)	    .source = SOURCE_CONSTANT, .arg = (n)
#define OWN(get_)	    .source = SOURCE_OWN, .get = (get_)
#define NOBODY		    .source = SOURCE_NONE

/* clang-format off: one row, one line */
const struct row tree_rows[] = {
	/* 4.1 identity */
	{"/Mgmt/ProcessName", 's', .get = get_process_name},
	{"/Mgmt/ProcessVersion", 's', .get = get_process_version},
	{"/Mgmt/Connection", 's', .get = get_connection},
	{"/Mgmt/InsecureConnection", 'i', CONSTANT(1), .exists = if_radio},
	{"/DeviceInstance", 'i', .get = get_instance},
	{"/ProductId", 'i', FORM_HEX, .get = get_product_id},
	{"/ProductName", 's', .get = get_product_name},
	{"/CustomName", 's', OWN(get_custom_name), .write = WRITE_CUSTOM_NAME},
	{"/FirmwareVersion", 's', .get = get_firmware},
	{"/HardwareVersion", 's', .get = get_hardware},
	{"/Family", 's', .get = get_hardware},
	{"/Manufacturer", 's', .get = get_manufacturer},
	{"/Serial", 's', .get = get_serial},
	{"/DeviceName", 's', .get = get_device_name},
	{"/Connected", 'i', CONSTANT(1)},
	/* 4.2 state */
	{"/State", 'i', .get = get_state},
	{"/Mode", 'i', .get = get_mode},
	{"/DeviceState", 'i', .get = get_device_state},
	{"/ErrorCode", 'i', NOBODY},
	{"/ConnectionInformation", 's', OWN(get_link)},
	{"/System/NrOfModulesOnline", 'i', .get = get_modules, .arg = true},
	{"/System/NrOfModulesOffline", 'i', .get = get_modules, .arg = false},
	{"/System/NrOfModulesBlockingCharge", 'i', .get = get_charge_allowed, .arg = false},
	{"/System/NrOfModulesBlockingDischarge", 'i', .get = get_discharge_allowed, .arg = false},
	{"/System/NrOfCellsPerBattery", 'i', FORM_PLAIN, EXACT, QUANTITY(Q_CELL_COUNT)},
	{"/Io/AllowToCharge", 'i', .get = get_charge_allowed, .arg = true},
	{"/Io/AllowToDischarge", 'i', .get = get_discharge_allowed, .arg = true},
	{"/Io/AllowToBalance", 'i', .get = get_flag, .arg = F_BALANCE_ENABLED},
	{"/Io/AllowToHeat", 'i', NOBODY},
	{"/Balancing", 'i', .get = get_balancing},
	{"/Heating", 'i', .get = get_flag, .arg = F_HEATER_ON},
	/* 4.3 measurements */
	{"/Dc/0/Voltage", 'd', FORM_V2, 2, FROM_LIMITS(voltage)},
	{"/Dc/0/Current", 'd', FORM_A2, 2, FROM_LIMITS(current)},
	{"/Dc/0/Power", 'd', FORM_W0, 2, FROM_LIMITS(power)},
	{"/CurrentAvg", 'd', FORM_A2, 2, FROM_LIMITS(current_avg)},
	{"/Dc/0/Temperature", 'd', FORM_PLAIN, 1, FROM_LIMITS(temp)},
	{"/Dc/0/MidVoltage", 'd', FORM_V2, EXACT, FROM_LIMITS(mid)},
	{"/Dc/0/MidVoltageDeviation", 'd', FORM_P1, EXACT, FROM_LIMITS(mid_dev)},
	{"/Soc", 'd', FORM_PLAIN, 2, FROM_LIMITS(soc)},
	{"/Soh", 'd', FORM_PLAIN, 2, QUANTITY(Q_SOH_PCT)},
	{"/SocBms", 'd', FORM_PLAIN, EXACT, QUANTITY(Q_SOC_PCT), .exists = if_own_soc},
	{"/CapacityBms", 'd', FORM_AH2, EXACT, QUANTITY(Q_CAPACITY_REMAINING_AH), .exists = if_own_soc},
	{"/ConsumedAmphoursBms", 'd', FORM_AH0, EXACT, .get = get_bms_consumed, .exists = if_own_soc},
	{"/Capacity", 'd', FORM_AH2, EXACT, FROM_LIMITS(capacity_remaining)},
	{"/InstalledCapacity", 'd', FORM_AH0, EXACT, QUANTITY(Q_CAPACITY_FULL_AH)},
	{"/ConsumedAmphours", 'd', FORM_AH0, EXACT, FROM_LIMITS(capacity_consumed)},
	{"/TimeToGo", 'i', FORM_PLAIN, EXACT, FROM_LIMITS(ttg)},
	{"/TimeToSoC/%u", 's', .get = get_time_to_soc, .repeat = REPEAT_POINTS},
	{"/System/Temperature%u", 'd', FORM_PLAIN, 1, .get = get_sensor, .repeat = REPEAT_SENSORS},
	{"/System/Temperature%uName", 's', .get = get_sensor_name, .repeat = REPEAT_SENSORS},
	{"/System/MOSTemperature", 'd', FORM_PLAIN, EXACT, FROM_LIMITS(temp_mos)},
	{"/System/MinCellTemperature", 'd', FORM_PLAIN, EXACT, FROM_LIMITS(temp_min)},
	{"/System/MaxCellTemperature", 'd', FORM_PLAIN, EXACT, FROM_LIMITS(temp_max)},
	{"/System/MinTemperatureCellId", 's', .get = get_min_sensor},
	{"/System/MaxTemperatureCellId", 's', .get = get_max_sensor},
	{"/System/MinCellVoltage", 'd', FORM_V3, 3, FROM_LIMITS(cell_min)},
	{"/System/MaxCellVoltage", 'd', FORM_V3, 3, FROM_LIMITS(cell_max)},
	{"/System/MinVoltageCellId", 's', .get = get_min_cell},
	{"/System/MaxVoltageCellId", 's', .get = get_max_cell},
	{"/Voltages/Cell%u", 'd', FORM_V3, 3, .get = get_cell, .repeat = REPEAT_CELLS, .exists = if_voltages},
	{"/Voltages/Sum", 'd', FORM_V2, 2, FROM_LIMITS(cell_sum), .exists = if_voltages},
	{"/Voltages/Diff", 'd', FORM_V3, 3, FROM_LIMITS(cell_diff), .exists = if_voltages},
	{"/Cell/%u/Volts", 'd', FORM_V3, 3, .get = get_cell, .repeat = REPEAT_CELLS, .exists = if_volts},
	{"/Cell/Sum", 'd', FORM_V2, 2, FROM_LIMITS(cell_sum), .exists = if_volts},
	{"/Cell/Diff", 'd', FORM_V3, 3, FROM_LIMITS(cell_diff), .exists = if_volts},
	{"/Balances/Cell%u", 'i', .get = get_cell_balances, .repeat = REPEAT_CELLS, .exists = if_balances},
	/* 4.4 limits */
	{"/Info/MaxChargeVoltage", 'd', FORM_V2, 2, FROM_LIMITS(cvl)},
	{"/Info/MaxChargeCurrent", 'd', FORM_A2, 3, .get = get_ccl},
	{"/Info/MaxDischargeCurrent", 'd', FORM_A2, 3, .get = get_dcl},
	{"/Info/BatteryLowVoltage", 'd', FORM_PLAIN, 2, FROM_LIMITS(v_min)},
	{"/Info/MaxChargeCellVoltage", 'd', FORM_V2, 3, .get = get_max_cell_voltage},
	{"/Info/ChargeMode", 's', .get = get_charge_mode},
	{"/Info/ChargeLimitation", 's', .get = get_charge_limitation},
	{"/Info/DischargeLimitation", 's', .get = get_discharge_limitation},
	{"/Info/ChargeModeDebug", 's', .get = get_debug},
	{"/Info/ChargeModeDebugFloat", 's', .get = get_debug_float},
	{"/Info/ChargeModeDebugBulk", 's', .get = get_debug_bulk},
	{"/Info/HeatingCurrent", 'd', NOBODY},
	{"/Info/HeatingPower", 'd', NOBODY},
	{"/Info/HeatingTemperatureStart", 'd', NOBODY},
	{"/Info/HeatingTemperatureStop", 'd', NOBODY},
	{"/Info/ChargeRequest", 'i', .get = get_charge_request, .exists = if_asks_for_charge},
	{"/Info/Config/%s", 'v', FORM_PLAIN, EXACT, .get = get_option, .repeat = REPEAT_OPTIONS, .exists = if_config},
	/* 4.5 alarms */
	{"/Alarms/LowVoltage", 'i', .get = get_alarm, .arg = ALARM_LOW_VOLTAGE},
	{"/Alarms/HighVoltage", 'i', .get = get_high_voltage, .arg = ALARM_HIGH_VOLTAGE},
	{"/Alarms/LowCellVoltage", 'i', .get = get_alarm, .arg = ALARM_LOW_CELL_VOLTAGE},
	{"/Alarms/HighCellVoltage", 'i', .get = get_high_voltage, .arg = ALARM_HIGH_CELL_VOLTAGE},
	{"/Alarms/LowSoc", 'i', .get = get_low_soc, .arg = ALARM_LOW_SOC},
	{"/Alarms/StateOfHealth", 'i', NOBODY},
	{"/Alarms/HighChargeCurrent", 'i', .get = get_alarm, .arg = ALARM_HIGH_CHARGE_CURRENT},
	{"/Alarms/HighDischargeCurrent", 'i', .get = get_alarm, .arg = ALARM_HIGH_DISCHARGE_CURRENT},
	{"/Alarms/CellImbalance", 'i', .get = get_alarm, .arg = ALARM_CELL_IMBALANCE},
	{"/Alarms/InternalFailure", 'i', .get = get_alarm, .arg = ALARM_INTERNAL_FAILURE},
	{"/Alarms/HighChargeTemperature", 'i', .get = get_alarm, .arg = ALARM_HIGH_CHARGE_TEMPERATURE},
	{"/Alarms/LowChargeTemperature", 'i', .get = get_alarm, .arg = ALARM_LOW_CHARGE_TEMPERATURE},
	{"/Alarms/HighTemperature", 'i', .get = get_alarm, .arg = ALARM_HIGH_TEMPERATURE},
	{"/Alarms/LowTemperature", 'i', .get = get_alarm, .arg = ALARM_LOW_TEMPERATURE},
	{"/Alarms/HighInternalTemperature", 'i', .get = get_alarm, .arg = ALARM_HIGH_INTERNAL_TEMPERATURE},
	{"/Alarms/FuseBlown", 'i', .get = get_alarm, .arg = ALARM_FUSE_BLOWN},
	{"/Alarms/BmsCable", 'i', .get = get_cable},
	/* 4.6 history: Ah and kWh to 3 decimals; what was taken out is negative */
	{"/History/DeepestDischarge", 'd', FORM_PLAIN, 3, NEGATIVE(history.deepest)},
	{"/History/LastDischarge", 'd', FORM_PLAIN, 3, NEGATIVE(history.last)},
	{"/History/AverageDischarge", 'd', FORM_PLAIN, 3, NEGATIVE(history.average)},
	{"/History/TotalAhDrawn", 'd', FORM_PLAIN, 3, NEGATIVE(history.total)},
	{"/History/ChargeCycles", 'd', FORM_PLAIN, 3, FROM_LIMITS(history.cycles)},
	{"/History/FullDischarges", 'i', FORM_PLAIN, EXACT, FROM_LIMITS(history.full_discharges)},
	{"/History/AutomaticSyncs", 'i', FORM_PLAIN, EXACT, FROM_LIMITS(history.syncs)},
	{"/History/LowVoltageAlarms", 'i', FORM_PLAIN, EXACT, FROM_LIMITS(history.low_voltage_alarms)},
	{"/History/HighVoltageAlarms", 'i', FORM_PLAIN, EXACT, FROM_LIMITS(history.high_voltage_alarms)},
	{"/History/MinimumVoltage", 'd', FORM_PLAIN, 3, FROM_LIMITS(history.vmin)},
	{"/History/MaximumVoltage", 'd', FORM_PLAIN, 3, FROM_LIMITS(history.vmax)},
	{"/History/MinimumCellVoltage", 'd', FORM_PLAIN, 3, FROM_LIMITS(history.cell_min)},
	{"/History/MaximumCellVoltage", 'd', FORM_PLAIN, 3, FROM_LIMITS(history.cell_max)},
	{"/History/MinimumTemperature", 'd', FORM_PLAIN, 1, FROM_LIMITS(history.temp_min)},
	{"/History/MaximumTemperature", 'd', FORM_PLAIN, 1, FROM_LIMITS(history.temp_max)},
	{"/History/TimeSinceLastFullCharge", 'i', .get = get_since_full},
	{"/History/DischargedEnergy", 'd', FORM_PLAIN, 3, FROM_LIMITS(history.energy_out)},
	{"/History/ChargedEnergy", 'd', FORM_PLAIN, 3, FROM_LIMITS(history.energy_in)},
	{"/History/Clear", 'i', CONSTANT(0), .write = WRITE_HISTORY_CLEAR},
	{"/History/CanBeCleared", 'i', .get = get_can_be_cleared},
	/* 4.7 settings and the rest */
	{"/Settings/HasTemperature", 'i', CONSTANT(1)},
	{"/Settings/HasSettings", 'i', CONSTANT(1), .exists = if_settings},
	{"/Settings/ForceChargingOff", 'i', OWN(get_switch_off), .arg = COMMAND_CHARGE, .exists = if_command,
	 .write = WRITE_CHARGE_OFF},
	{"/Settings/ForceDischargingOff", 'i', OWN(get_switch_off), .arg = COMMAND_DISCHARGE, .exists = if_command,
	 .write = WRITE_DISCHARGE_OFF},
	{"/Settings/TurnBalancingOff", 'i', OWN(get_switch_off), .arg = COMMAND_BALANCE, .exists = if_command,
	 .write = WRITE_BALANCE_OFF},
	{"/Settings/ResetSocTo", 'i', OWN(get_soc_value), .arg = COMMAND_SOC, .exists = if_command,
	 .write = WRITE_SOC_VALUE},
	{"/Settings/ResetSocToApply", 'i', CONSTANT(0), .exists = if_set_soc, .write = WRITE_SOC_APPLY},
	{"/JsonData", 's', .source = SOURCE_TREE},
};
/* clang-format on */
const unsigned tree_row_count = sizeof(tree_rows) / sizeof(tree_rows[0]);
