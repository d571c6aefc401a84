/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * JK boards on CAN, which speak by themselves: sheet jk-can. V1 tells status, extremes and alarms in standard frames;
 * V2 adds extended ones with cells, capacity, faults and switches.
 */
#include <math.h>
#include <string.h>

#include "protocols/can.h"
#include "protocols/plausible.h"
#include "protocols/procedure.h"
#include "protocols/table.h"

extern const struct protocol jk_can_protocol;

enum dialect { V1, V2 };

/* Rows of the stream; what a row is called in requests. arg of CELLS: which four. */
enum code {
	STATUS,
	EXTREMES,
	TEMPERATURES,
	LEVELS,
	CAPACITY,
	SENSORS,
	FAULTS,
	RUNTIME,
	SWITCHES,
	CHARGER,
	CELLS,
	CONTROL
};

enum {
	LAST_ADDRESS = 15,
	CELLS_PER_FRAME = 4,
	CELL_FRAMES = 7,
	MOST_CELLS = 32, /* that a board can number */
	MAX_BOARD_CELLS = 25,
	SENSOR_PLACES = 5,
	MOS_SENSOR = 2, /* counted from 0 */
	NO_SENSOR = 0xff,
	SURE_ROUNDS = 30, /* 3 s: then a board without extended frames is a V1, sheet 4 */
	ENOUGH = 2,	  /* frames of a kind that make a board credible */
	CONTROL_SIZE = 8,
};

#define WRAP_AH	   6553.6 /* where 16 bits of 0.1 Ah begin anew */
#define CONTROL_ID (CAN_EXTENDED | UINT32_C(0x18f0f428))
#define CELLS_ID   (CAN_EXTENDED | UINT32_C(0x18e028f4))
#define CELLS_STEP UINT32_C(0x00010000)

/* Identifiers of address 0; every address adds itself. */
static const struct kind_of_frame {
	uint32_t id;
	uint8_t code, last_address, size; /* size: the least that says something; boards may leave out unused bytes */
} kinds[] = {
	{0x2f4, STATUS, LAST_ADDRESS, 5},
	{0x4f4, EXTREMES, LAST_ADDRESS, 6},
	{0x5f4, TEMPERATURES, LAST_ADDRESS, 4},
	{0x7f4, LEVELS, 11, 4}, /* the standard range ends there */
	{CAN_EXTENDED | 0x18f128f4, CAPACITY, LAST_ADDRESS, 4},
	{CAN_EXTENDED | 0x18f228f4, SENSORS, LAST_ADDRESS, 2},
	{CAN_EXTENDED | 0x18f328f4, FAULTS, LAST_ADDRESS, 3},
	{CAN_EXTENDED | 0x18f428f4, RUNTIME, LAST_ADDRESS, 4},
	{CAN_EXTENDED | 0x18f528f4, SWITCHES, LAST_ADDRESS, 1},
	{CAN_EXTENDED | 0x1806e5f4, CHARGER, LAST_ADDRESS, 5},
};

struct state {
	uint8_t statuses, extremes; /* credible frames in a row, up to ENOUGH */
	uint8_t cell_frames;	    /* bit per frame of four cells that this board sends */
	uint8_t rounds;		    /* frames of extremes, ten a second: the clock of identification */
	bool cells_repeat;	    /* one of them has come again: it has sent all that it has */
	uint8_t switch_frames;	    /* how many have come; it wraps */
	uint32_t levels;	    /* of 7F4: two bits each */
	uint32_t faults;	    /* of 18F328F4 */
	bool levels_known, faults_known;
	bool tells_faults; /* it has sent 18F328F4 */
	double rough_V;	   /* of the status frame: steps of 0.1 V */
};

/* ---- which frame it is ---- */

static bool identify(uint32_t id, struct request *as)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (id < kinds[i].id || id - kinds[i].id > kinds[i].last_address)
			continue;
		request_start(as, &jk_can_protocol, (uint8_t)(id - kinds[i].id), id & CAN_EXTENDED ? V2 : V1,
			      kinds[i].code, 0);
		return true;
	}
	for (uint16_t k = 0; k < CELL_FRAMES; k++) {
		uint32_t base = CELLS_ID + k * CELLS_STEP;

		if (id < base || id - base > LAST_ADDRESS)
			continue;
		request_start(as, &jk_can_protocol, (uint8_t)(id - base), V2, CELLS, k);
		return true;
	}
	return false;
}

static size_t least_size(uint16_t code)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].code == code)
			return kinds[i].size;
	return 2; /* one cell */
}

static enum heard jk_overhear(void *listen, struct bytes frame, struct request *as)
{
	struct can_message m;

	(void)listen;
	return can_read(frame, &m) && identify(m.id, as) ? HEARD_ANSWER : HEARD_NOTHING;
}

/* ---- alarms: sheet 6 ---- */

/* In the order of the two-bit levels of 7F4. */
static const struct alarm_row level_rows[] = {
	{0, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{1, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{2, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{3, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{4, ALARM_RAISED, ALARM_CELL_IMBALANCE, NULL},
	{5, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{6, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{7, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{8, ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{9, ALARM_RAISED, ALARM_COUNT, "temp_difference"},
	{10, ALARM_RAISED, ALARM_LOW_SOC, NULL},
	{11, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "insulation_low"},
	{12, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "hvil_fault"},
	{13, ALARM_WARNING, ALARM_COUNT, "external_comm_fault"},
	{14, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
};

enum { LEVEL_HOT = 7, LEVEL_COLD = 8, LEVEL_EXTERNAL = 13, LEVELS_COUNT = 15, GENERAL = 3 };

static const struct alarm_row fault_rows[] = {
	{0, ALARM_WARNING, ALARM_COUNT, "wire_resistance"},
	{1, ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{2, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "cell_count_mismatch"},
	{3, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "current_sensor_fault"},
	{4, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{5, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{6, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{7, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{7, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{8, ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{9, ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{10, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "coprocessor_comm_fault"},
	{11, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{12, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{13, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{14, ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{14, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{15, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{16, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "charge_mos_fault"},
	{17, ALARM_RAISED, ALARM_INTERNAL_FAILURE, "discharge_mos_fault"},
};

static void raise_level(const struct device *dev, struct alarms *a, unsigned i, unsigned level)
{
	const struct alarm_row *row = &level_rows[i];
	/* 1 is the worst, 3 the mildest */
	enum alarm_level how = level == GENERAL || i == LEVEL_EXTERNAL ? ALARM_WARNING : ALARM_RAISED;
	bool charging = reading_get(&dev->reading, Q_CURRENT_A) > 0;

	if (row->alarm != ALARM_COUNT)
		alarm_raise(a, row->alarm, how);
	if (row->name)
		alarm_raise_own(a, row->name, how);
	if (i == LEVEL_HOT && charging)
		alarm_raise(a, ALARM_HIGH_CHARGE_TEMPERATURE, how);
	if (i == LEVEL_COLD && charging)
		alarm_raise(a, ALARM_LOW_CHARGE_TEMPERATURE, how);
}

/*
 * Two frames tell of alarms; the worse of what they say counts. 7F4 is only sent while there is an alarm, so its
 * absence says that there is none; that of 18F328F4 from a board that has it says nothing.
 */
static void tell_alarms(struct device *dev)
{
	const struct state *s = dev->state;
	struct alarms *a = &dev->reading.alarms;

	alarms_clear(a);
	a->known = s->levels_known || s->faults_known || !s->tells_faults;
	for (unsigned i = 0; s->levels_known && i < LEVELS_COUNT; i++)
		if (s->levels >> 2 * i & 3)
			raise_level(dev, a, i, s->levels >> 2 * i & 3);
	if (s->faults_known)
		table_alarms(ROWS(fault_rows), s->faults, a);
}

/* ---- what the frames say: sheet 5 ---- */

static const struct number_row extreme_rows[] = {
	{0, RAW_U16LE, 1000, 0, Q_CELL_MAX_V},
	{2, RAW_U8, 1, 0, Q_CELL_MAX_NO},
	{3, RAW_U16LE, 1000, 0, Q_CELL_MIN_V},
	{5, RAW_U8, 1, 0, Q_CELL_MIN_NO},
};
static const struct number_row temperature_rows[] = {
	{0, RAW_U8, 1, -50, Q_TEMP_MAX_C},
	{1, RAW_U8, 1, 0, Q_TEMP_MAX_NO},
	{2, RAW_U8, 1, -50, Q_TEMP_MIN_C},
	{3, RAW_U8, 1, 0, Q_TEMP_MIN_NO},
};
static const struct detail_row average_rows[] = {{4, RAW_U8, 1, -50, "temp_avg_C"}};
static const struct number_row capacity_rows[] = {
	{0, RAW_U16LE, 10, 0, Q_CAPACITY_REMAINING_AH},
	{2, RAW_U16LE, 10, 0, Q_CAPACITY_FULL_AH},
	{6, RAW_U16LE, 1, 0, Q_CYCLES},
};
static const struct detail_row throughput_rows[] = {{4, RAW_U16LE, 10, 0, "cycle_capacity_raw_Ah"}};
static const struct number_row runtime_rows[] = {
	{0, RAW_U32LE, 1, 0, Q_UPTIME_S},
	{6, RAW_U8, 1, 0, Q_SOH_PCT},
};
static const struct detail_row heater_rows[] = {{4, RAW_U16LE, 1000, 0, "heater_current_A"}};
static const struct number_row charger_rows[] = {
	{0, RAW_U16BE, 10, 0, Q_BMS_CVL_V},
	{2, RAW_U16BE, 10, 0, Q_BMS_CCL_A},
};
static const struct detail_row discharge_time_rows[] = {{6, RAW_U16LE, 1, 0, "discharge_time_h"}};

static void count(uint8_t *n, bool credible)
{
	*n = !credible ? 0 : *n < ENOUGH ? (uint8_t)(*n + 1) : ENOUGH;
}

static bool credible_status(double V, double A)
{
	return V >= 5 && V <= 150 && A >= -400 && A <= 1000;
}

static bool credible_extremes(const struct reading *r)
{
	double highest = reading_get(r, Q_CELL_MAX_V), lowest = reading_get(r, Q_CELL_MIN_V);

	return lowest >= 0.5 && highest <= 5 && lowest <= highest && reading_get(r, Q_CELL_MAX_NO) <= MOST_CELLS &&
	       reading_get(r, Q_CELL_MIN_NO) <= MOST_CELLS;
}

/* The sum of the cells is finer than the status frame's 0.1 V, while all cells are known. */
static void tell_voltage(struct device *dev)
{
	const struct state *s = dev->state;
	const struct series *cells = &dev->reading.cell_V;
	double sum = 0;

	for (unsigned i = 0; i < cells->count; i++)
		sum += series_knows(cells, i) ? cells->value[i] : NAN;
	if (cells->count && fabs(sum - s->rough_V) <= 0.1)
		reading_set(&dev->reading, Q_VOLTAGE_V, round(sum * 1000) / 1000);
	else
		reading_set(&dev->reading, Q_VOLTAGE_V, s->rough_V);
}

static void take_status(struct device *dev, struct bytes data)
{
	struct state *s = dev->state;
	double current = (u16le_at(data, 2) - 4000) / 10.0;

	s->rough_V = u16le_at(data, 0) / 10.0;
	count(&s->statuses, credible_status(s->rough_V, current));
	tell_voltage(dev);
	reading_set(&dev->reading, Q_CURRENT_A, dev->options.invert_current ? -current : current);
	reading_set(&dev->reading, Q_SOC_PCT, u8_at(data, 4));
	if (dev->dialect == V1)
		table_details(ROWS(discharge_time_rows), data, &dev->reading);
}

/* Numbers count from 1: there is no cell 0 and no sensor 0. */
static void forget_number_0(struct reading *r, enum quantity q)
{
	if (reading_get(r, q) == 0)
		reading_forget(r, q);
}

static void take_extremes(struct device *dev, struct bytes data)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;

	table_numbers(ROWS(extreme_rows), data, r);
	count(&s->extremes, credible_extremes(r));
	s->rounds += s->rounds < SURE_ROUNDS;
	forget_number_0(r, Q_CELL_MAX_NO);
	forget_number_0(r, Q_CELL_MIN_NO);
	if (dev->dialect == V1 && !reading_knows(r, Q_CELL_COUNT))
		reading_set(r, Q_CELL_COUNT, cells_by_extremes(r));
}

static void take_temperatures(struct reading *r, struct bytes data)
{
	table_numbers(ROWS(temperature_rows), data, r);
	table_details(ROWS(average_rows), data, r);
	forget_number_0(r, Q_TEMP_MAX_NO);
	forget_number_0(r, Q_TEMP_MIN_NO);
	if (u8_at(data, 0) == NO_SENSOR)
		reading_forget(r, Q_TEMP_MAX_C);
	if (u8_at(data, 2) == NO_SENSOR)
		reading_forget(r, Q_TEMP_MIN_C);
	if (u8_at(data, 4) == NO_SENSOR)
		reading_set_detail(r, "temp_avg_C", NAN);
}

/* The counter of ampere-hours is too short for a life: it counts only where the cycles say that it has not wrapped. */
static void take_capacity(struct reading *r, struct bytes data)
{
	double charged = u16le_at(data, 4) / 10.0;

	table_numbers(ROWS(capacity_rows), data, r);
	table_details(ROWS(throughput_rows), data, r);
	if (bytes_has(data, 6, 2) && (u16le_at(data, 6) + 1.0) * (u16le_at(data, 2) / 10.0) < WRAP_AH)
		reading_set(r, Q_TOTAL_CHARGE_AH, charged);
	else
		reading_forget(r, Q_TOTAL_CHARGE_AH);
}

static double sensor_C(struct bytes data, unsigned i)
{
	bool there = u8_at(data, 0) >> i & 1 && bytes_has(data, 1 + i, 1) && u8_at(data, 1 + i) != NO_SENSOR;

	return there ? u8_at(data, 1 + i) - 50.0 : NAN;
}

/* Sensors 1, 2, 4, 5 in this order; those that the board does not have leave no place at the end. */
static void take_sensors(struct reading *r, struct bytes data)
{
	unsigned place = 0;

	series_start(&r->temperatures, 0);
	for (unsigned i = 0; i < SENSOR_PLACES; i++) {
		if (i == MOS_SENSOR)
			continue;
		if (!isnan(sensor_C(data, i)))
			series_set(&r->temperatures, place, sensor_C(data, i));
		place++;
	}
	reading_forget(r, Q_TEMP_MOS_C);
	reading_set(r, Q_TEMP_MOS_C, sensor_C(data, MOS_SENSOR));
}

static void take_switches(struct reading *r, uint8_t bits)
{
	reading_set_flag(r, F_CHARGE_MOS, bits & 1);
	reading_set_flag(r, F_DISCHARGE_MOS, bits >> 1 & 1);
	reading_set_flag(r, F_BALANCING_ACTIVE, bits >> 2 & 1);
	reading_set_flag(r, F_HEATER_ON, bits >> 3 & 1);
	reading_set_detail(r, "charger_plugged", bits >> 4 & 1);
	reading_set_detail(r, "acc_on", bits >> 5 & 1);
}

/* A cell of 0 behind the last one that has a voltage is none; before it, its wire is open. */
static void take_cells(struct device *dev, uint16_t nth, struct bytes data)
{
	struct state *s = dev->state;
	struct series *cells = &dev->reading.cell_V;

	for (unsigned i = 0; i < CELLS_PER_FRAME && bytes_has(data, 2 * i, 2); i++) {
		unsigned place = (unsigned)nth * CELLS_PER_FRAME + i;
		uint16_t mV = u16le_at(data, 2 * i);

		if (place < MAX_BOARD_CELLS && (mV || place < cells->count))
			series_set(cells, place, mV / 1000.0);
	}
	s->cells_repeat |= s->cell_frames >> nth & 1;
	s->cell_frames |= (uint8_t)(1u << nth);
	tell_voltage(dev);
}

static void take_charger(struct reading *r, struct bytes data)
{
	table_numbers(ROWS(charger_rows), data, r);
	reading_set_flag(r, F_CHARGE_ALLOWED, !u8_at(data, 4));
	if (bytes_has(data, 5, 1))
		reading_set_detail(r, "charge_mode", u8_at(data, 5));
}

static void take_data(struct device *dev, const struct request *as, struct bytes data)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;

	switch (as->code) {
	case STATUS:
		take_status(dev, data);
		break;
	case EXTREMES:
		take_extremes(dev, data);
		break;
	case TEMPERATURES:
		take_temperatures(r, data);
		break;
	case LEVELS:
		s->levels = u32le_at(data, 0);
		s->levels_known = true;
		break;
	case CAPACITY:
		take_capacity(r, data);
		break;
	case SENSORS:
		take_sensors(r, data);
		break;
	case FAULTS:
		s->faults = u16le_at(data, 0) | (uint32_t)u8_at(data, 2) << 16;
		s->faults_known = s->tells_faults = true;
		break;
	case RUNTIME:
		table_numbers(ROWS(runtime_rows), data, r);
		table_details(ROWS(heater_rows), data, r);
		break;
	case SWITCHES:
		take_switches(r, u8_at(data, 0));
		s->switch_frames++;
		break;
	case CHARGER:
		take_charger(r, data);
		break;
	case CELLS:
		take_cells(dev, as->arg, data);
		break;
	default:
		break;
	}
	tell_alarms(dev);
}

static enum verdict jk_take(struct device *dev, const struct request *as, struct bytes frame, const char **why)
{
	struct bytes data = can_data(frame);
	struct request own;
	struct can_message m;

	if (!can_read(frame, &m) || !identify(m.id, &own) || own.code != as->code || own.arg != as->arg ||
	    own.address != as->address)
		return FRAME_FOREIGN;
	if (data.n < least_size(as->code)) {
		*why = "a frame is too short";
		return FRAME_BAD;
	}
	if (as->code == STATUS && u8_at(data, 4) > 100) {
		*why = "SoC above 100 %";
		return FRAME_BAD;
	}
	if (own.dialect == V2) {
		dev->dialect = V2;
		reading_set_detail(&dev->reading, "discharge_time_h", NAN); /* of V1 only, as the estimate */
		reading_forget(&dev->reading, Q_CELL_COUNT);
	}
	reading_set(&dev->reading, Q_ADDRESS, dev->address);
	take_data(dev, as, data);
	return FRAME_ANSWER;
}

/* ---- what was not repeated ---- */

static void forget_numbers(struct reading *r, const struct number_row *row, size_t n)
{
	for (size_t i = 0; i < n; i++)
		reading_forget(r, row[i].quantity);
}

static void forget_cells(struct device *dev, uint16_t nth)
{
	struct state *s = dev->state;

	for (unsigned i = 0; i < CELLS_PER_FRAME; i++)
		if (nth * CELLS_PER_FRAME + i < dev->reading.cell_V.count)
			series_set(&dev->reading.cell_V, nth * CELLS_PER_FRAME + i, NAN);
	s->cell_frames &= (uint8_t) ~(1u << nth);
	s->cells_repeat = s->cells_repeat && s->cell_frames;
}

static void forget_switches(struct reading *r)
{
	static const enum flag flags[] = {F_CHARGE_MOS, F_DISCHARGE_MOS, F_BALANCING_ACTIVE, F_HEATER_ON};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		r->flag[flags[i]] = UNKNOWN;
	reading_set_detail(r, "charger_plugged", NAN);
	reading_set_detail(r, "acc_on", NAN);
}

static void jk_forget(struct device *dev, uint16_t code, uint16_t arg)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;

	switch (code) {
	case EXTREMES:
		forget_numbers(r, ROWS(extreme_rows));
		break;
	case TEMPERATURES:
		forget_numbers(r, ROWS(temperature_rows));
		reading_set_detail(r, "temp_avg_C", NAN);
		break;
	case LEVELS: /* then there is no alarm any more */
		s->levels_known = false;
		break;
	case CAPACITY:
		forget_numbers(r, ROWS(capacity_rows));
		reading_forget(r, Q_TOTAL_CHARGE_AH);
		reading_set_detail(r, "cycle_capacity_raw_Ah", NAN);
		break;
	case SENSORS:
		r->temperatures = (struct series){.reported = false};
		reading_forget(r, Q_TEMP_MOS_C);
		break;
	case FAULTS:
		s->faults_known = false;
		break;
	case RUNTIME:
		forget_numbers(r, ROWS(runtime_rows));
		reading_set_detail(r, "heater_current_A", NAN);
		break;
	case SWITCHES:
		forget_switches(r);
		break;
	case CHARGER: /* no charger is plugged any more */
		forget_numbers(r, ROWS(charger_rows));
		r->flag[F_CHARGE_ALLOWED] = UNKNOWN;
		reading_set_detail(r, "charge_mode", NAN);
		break;
	case CELLS:
		forget_cells(dev, arg);
		break;
	default:
		break;
	}
	tell_alarms(dev);
}

/* ---- identification: sheet 4 ---- */

/* There is a number of cells that makes up the voltage; 2 % of it and a step may be off. */
static bool cells_fit(double V, double lowest, double highest)
{
	double slack = 0.1 + V * 0.02;
	double fewest = ceil((V - slack) / highest), most = floor((V + slack) / lowest);

	return fewest <= most && fewest <= MOST_CELLS && most >= 1;
}

static bool jk_plausible(const struct device *dev, const char **why)
{
	const struct state *s = dev->state;
	const struct reading *r = &dev->reading;

	if (s->statuses < ENOUGH || s->extremes < ENOUGH)
		*why = "status and cell extremes have not come twice, each credible";
	else if (!s->cells_repeat && s->rounds < SURE_ROUNDS)
		*why = "it may still have more to tell";
	else if (!cells_fit(s->rough_V, reading_get(r, Q_CELL_MIN_V), reading_get(r, Q_CELL_MAX_V)))
		*why = "the cells do not make up the voltage";
	else
		return true;
	return false;
}

/* ---- control: sheet 7 ---- */

enum { MASK_AT = 0, SWITCH_AT = 1, READ_BACK_MS = 500, READ_BACKS = 4 };
enum { CHARGE, DISCHARGE, BALANCE }; /* in the order of the mask's bits */

static bool jk_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	struct can_message m = {.id = CONTROL_ID, .n = CONTROL_SIZE};
	unsigned which = arg >> 1;

	if (code != CONTROL || dev->address || which > BALANCE)
		return false;
	m.data[MASK_AT] = (uint8_t)(1u << which);
	m.data[SWITCH_AT + which] = arg & 1;
	request_start(out, &jk_can_protocol, dev->address, dev->dialect, code, arg);
	can_put(out, &m);
	out->writes = true;
	out->no_reply = true;
	return true;
}

static bool jk_parse_request(struct bytes tx, struct request *out)
{
	struct can_message m;

	if (!can_read(tx, &m) || m.id != CONTROL_ID || m.n != CONTROL_SIZE)
		return false;
	request_start(out, &jk_can_protocol, 0, V2, CONTROL, 0);
	request_put(out, tx);
	out->writes = true;
	out->no_reply = true;
	return true;
}

static unsigned switch_of(enum command_kind kind)
{
	return kind == COMMAND_CHARGE ? CHARGE : kind == COMMAND_DISCHARGE ? DISCHARGE : BALANCE;
}

/* Has the board told since `before` that this MOS is as it is wanted? */
static bool reads_back(const struct device *dev, unsigned which, bool want, uint32_t before)
{
	static const enum flag states[] = {F_CHARGE_MOS, F_DISCHARGE_MOS};
	const struct state *s = dev->state;

	return which != BALANCE && s->switch_frames != before &&
	       reading_flag(&dev->reading, states[which]) == (want ? ON : OFF);
}

static void jk_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	enum { BEFORE, SEEN }; /* notes */
	unsigned which = switch_of(p->command->kind);
	bool want = p->command->value != 0;
	const char *what = which ? "discharge" : "charge", *word = want ? "on" : "off";

	if (dev->dialect == V1) {
		step_end(next, COMMAND_REFUSED, "a board that speaks V1 takes no commands");
		return;
	}
	if (dev->address || dev->packs > 1) {
		step_end(next, COMMAND_REFUSED, "how one of several boards on a bus is told is not known");
		return;
	}
	if (step_is_new(p))
		p->memo[BEFORE] = ((const struct state *)dev->state)->switch_frames;
	if (!step_ask(dev, p, next, CONTROL, (uint16_t)(which << 1 | want)))
		return;
	for (unsigned i = 0; i < READ_BACKS && !p->memo[SEEN]; i++) {
		if (!step_wait(p, next, READ_BACK_MS))
			return;
		p->memo[SEEN] = step_is_new(p) && reads_back(dev, which, want, p->memo[BEFORE]);
	}
	if (which == BALANCE)
		step_end(next, COMMAND_UNCONFIRMED, "sent; on CAN a board does not tell how its balance switch stands");
	else if (p->memo[SEEN])
		step_end(next, COMMAND_DONE, "the %s MOS reads back %s", what, word);
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the %s MOS does not read back %s", what, word);
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{250000, 8, 'N', 1}, {500000, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Jkbms_Can", NULL};

#define STANDARD_MASK (CAN_EXTENDED | CAN_REMOTE | CAN_ERROR | UINT32_C(0x7e0))
#define EXTENDED_MASK (CAN_EXTENDED | CAN_REMOTE | CAN_ERROR | UINT32_C(0x1ff8fe00))

static const struct can_ids hears[] = {
	{0x2e0, STANDARD_MASK},
	{0x300, STANDARD_MASK},
	{0x4e0, STANDARD_MASK},
	{0x500, STANDARD_MASK},
	{0x5e0, STANDARD_MASK},
	{0x600, STANDARD_MASK},
	{0x7e0, STANDARD_MASK},
	{CAN_EXTENDED | 0x18f02800, EXTENDED_MASK},
	{CAN_EXTENDED | 0x18e02800, EXTENDED_MASK},
	{CAN_EXTENDED | 0x1806e400, CAN_EXTENDED | CAN_REMOTE | CAN_ERROR | UINT32_C(0x1ffffc00)},
	{0, 0},
};

/*
 * A board that has told these cells tells them again before there is another reading. In its first round a reading
 * also waits for those that the voltage says are there: nobody shall see half of a battery.
 */
static bool sends(const struct device *dev, unsigned nth)
{
	const struct state *s = dev->state;
	double at_least = s->rough_V / reading_get(&dev->reading, Q_CELL_MAX_V) - 0.5;

	if (s->cell_frames >> nth & 1)
		return true;
	return s->cell_frames && !s->cells_repeat && at_least > nth * CELLS_PER_FRAME;
}

#define SENDS(k)                                                                                                       \
	static bool sends_##k(const struct device *dev)                                                                \
	{                                                                                                              \
		return sends(dev, k);                                                                                  \
	}
SENDS(0)
SENDS(1)
SENDS(2)
SENDS(3)
SENDS(4)
SENDS(5)
SENDS(6)

/* Five times the period of the sheet, and a second at least. The status frame is what unheard_ms is about. */
static const struct poll polls[] = {
	{STATUS, 0, EVERY_POLL, true, NULL}, {EXTREMES, 0, 1000, true, NULL},  {TEMPERATURES, 0, 2500, false, NULL},
	{LEVELS, 0, 1000, false, NULL},	     {CAPACITY, 0, 1000, false, NULL}, {SENSORS, 0, 2500, false, NULL},
	{FAULTS, 0, 1000, false, NULL},	     {RUNTIME, 0, 2500, false, NULL},  {SWITCHES, 0, 2500, false, NULL},
	{CHARGER, 0, 2500, false, NULL},     {CELLS, 0, 5000, true, sends_0},  {CELLS, 1, 5000, true, sends_1},
	{CELLS, 2, 5000, true, sends_2},     {CELLS, 3, 5000, true, sends_3},  {CELLS, 4, 5000, true, sends_4},
	{CELLS, 5, 5000, true, sends_5},     {CELLS, 6, 5000, true, sends_6},
};

#define QUANTITY(q) (UINT64_C(1) << Q_##q)
#define FLAG(f)	    (UINT32_C(1) << F_##f)
#define ALARM(a)    (UINT32_C(1) << ALARM_##a)

const struct protocol jk_can_protocol = {
	.id = "jk-can",
	.title = "JK, Jikong (CAN)",
	.manufacturer = "JKBMS",
	.bms_types = bms_types,
	.link = LINK_CAN,
	.lines = lines,
	.hears = hears,
	.timing = {.first_ms = 50, .gap_ms = 10, .tries = 1, .poll_ms = 500, .listen_ms = 4000, .unheard_ms = 2000},
	.quantities = QUANTITY(VOLTAGE_V) | QUANTITY(CURRENT_A) | QUANTITY(SOC_PCT) | QUANTITY(SOH_PCT) |
		      QUANTITY(CAPACITY_FULL_AH) | QUANTITY(CAPACITY_REMAINING_AH) | QUANTITY(CYCLES) |
		      QUANTITY(TOTAL_CHARGE_AH) | QUANTITY(UPTIME_S) | QUANTITY(CELL_COUNT) | QUANTITY(CELL_MIN_V) |
		      QUANTITY(CELL_MAX_V) | QUANTITY(CELL_MIN_NO) | QUANTITY(CELL_MAX_NO) | QUANTITY(TEMP_MIN_C) |
		      QUANTITY(TEMP_MAX_C) | QUANTITY(TEMP_MIN_NO) | QUANTITY(TEMP_MAX_NO) | QUANTITY(TEMP_MOS_C) |
		      QUANTITY(BMS_CCL_A) | QUANTITY(BMS_CVL_V) | QUANTITY(ADDRESS),
	.series = SERIES_CELLS | SERIES_TEMPERATURES,
	.flags = FLAG(CHARGE_MOS) | FLAG(DISCHARGE_MOS) | FLAG(BALANCING_ACTIVE) | FLAG(HEATER_ON) |
		 FLAG(CHARGE_ALLOWED),
	.alarms = ALARM(HIGH_VOLTAGE) | ALARM(LOW_VOLTAGE) | ALARM(HIGH_CELL_VOLTAGE) | ALARM(LOW_CELL_VOLTAGE) |
		  ALARM(LOW_SOC) | ALARM(HIGH_CHARGE_CURRENT) | ALARM(HIGH_DISCHARGE_CURRENT) | ALARM(CELL_IMBALANCE) |
		  ALARM(INTERNAL_FAILURE) | ALARM(HIGH_CHARGE_TEMPERATURE) | ALARM(LOW_CHARGE_TEMPERATURE) |
		  ALARM(HIGH_TEMPERATURE) | ALARM(LOW_TEMPERATURE) | ALARM(HIGH_INTERNAL_TEMPERATURE) |
		  ALARM(SHORT_CIRCUIT),
	.commands = 1u << COMMAND_CHARGE | 1u << COMMAND_DISCHARGE | 1u << COMMAND_BALANCE,
	.experimental = 1u << COMMAND_CHARGE | 1u << COMMAND_DISCHARGE | 1u << COMMAND_BALANCE,
	.first_address = 0,
	.last_address = LAST_ADDRESS,
	.streams = 1u << V1 | 1u << V2,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.encode = jk_encode,
	.find_frame = can_find_frame,
	.take = jk_take,
	.plausible = jk_plausible,
	.parse_request = jk_parse_request,
	.overhear = jk_overhear,
	.forget = jk_forget,
	.proceed = jk_proceed,
};
