/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Valence U-BMS, which speaks by itself on CAN and tells of modules of four cells: sheet ubms-can. It closes its
 * contactor only while a master tells it to, which bmscope does where UBMS_CAN_MASTER says so.
 */
#include <math.h>

#include "protocols/can.h"
#include "protocols/procedure.h"
#include "protocols/table.h"

extern const struct protocol ubms_can_protocol;

/* Kinds of frames. arg of CELLS and FOURTH: the module, of the others which frame of their kind. */
enum code {
	VERSION,
	STATE,
	CURRENT,
	CHARGE,
	EXTREMES,
	CELLS,
	FOURTH,
	CURRENTS,
	TEMPERATURES,
	BOARDS,
	SOCS,
	BALANCE,
	MASTER
};

enum {
	MODULES = 11,
	MODULE_CELLS = 4,
	PER_FRAME = 3,	     /* modules in frames of 16-bit values */
	PER_LONG_FRAME = 7,  /* in those of bytes */
	BALANCE_IDLE = 0x0f, /* a bit is 0 while its cell balances */
	MASTER_ID = 0x440,
	MASTER_SIZE = 4,
	ENOUGH = 2,
};

enum mode { STANDBY, CHARGING, DRIVE, NO_MODE };

struct state {
	uint8_t states, extremes; /* credible frames in a row, up to ENOUGH */
	uint16_t cells, fourths;  /* bit per module */
	uint8_t mode;		  /* as it says */
	bool equalizing;
	uint8_t wanted_mode; /* what the master tells it; NO_MODE until somebody has said */
	bool wanted;
};

/* Frames of one kind have consecutive identifiers. */
static const struct kind_of_frame {
	uint16_t id, last;
	uint8_t code, size;
	bool marked; /* begins with 01 */
} kinds[] = {
	{0x180, 0x180, VERSION, 5, false},     {0x0c0, 0x0c0, STATE, 8, false},	   {0x0c1, 0x0c1, CURRENT, 8, false},
	{0x0c2, 0x0c2, CHARGE, 4, false},      {0x0c4, 0x0c4, EXTREMES, 8, false}, {0x46a, 0x46d, CURRENTS, 4, true},
	{0x76a, 0x76d, TEMPERATURES, 4, true}, {0x67a, 0x67d, BOARDS, 4, true},	   {0x06a, 0x06b, SOCS, 2, true},
	{0x26a, 0x26b, BALANCE, 2, true},
};

enum { FIRST_CELLS_ID = 0x350, LAST_CELLS_ID = FIRST_CELLS_ID + 2 * MODULES - 1 };

static bool identify(const struct can_message *m, uint16_t *code, uint16_t *arg)
{
	bool cells = m->id >= FIRST_CELLS_ID && m->id <= LAST_CELLS_ID;

	if (cells) {
		*code = m->id & 1 ? FOURTH : CELLS;
		*arg = (uint16_t)((m->id - FIRST_CELLS_ID) / 2);
		return m->n >= 4 && m->data[0] == 1 && m->data[1] == 0;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (m->id < kinds[i].id || m->id > kinds[i].last)
			continue;
		*code = kinds[i].code;
		*arg = (uint16_t)(m->id - kinds[i].id);
		return m->n >= kinds[i].size && (!kinds[i].marked || m->data[0] == 1);
	}
	return false;
}

static enum heard ubms_overhear(void *listen, struct bytes frame, struct request *as)
{
	struct can_message m;
	uint16_t code, arg;

	(void)listen;
	if (!can_read(frame, &m) || !identify(&m, &code, &arg))
		return HEARD_NOTHING;
	request_start(as, &ubms_can_protocol, 0, 0, code, arg);
	return HEARD_ANSWER;
}

/* ---- what modules say: section 5.2 ---- */

static const char *const current_names[MODULES] = {
	"module_1_current_A", "module_2_current_A",  "module_3_current_A",  "module_4_current_A",
	"module_5_current_A", "module_6_current_A",  "module_7_current_A",  "module_8_current_A",
	"module_9_current_A", "module_10_current_A", "module_11_current_A",
};
static const char *const soc_names[MODULES] = {
	"module_1_soc_pct", "module_2_soc_pct",	 "module_3_soc_pct",  "module_4_soc_pct",
	"module_5_soc_pct", "module_6_soc_pct",	 "module_7_soc_pct",  "module_8_soc_pct",
	"module_9_soc_pct", "module_10_soc_pct", "module_11_soc_pct",
};

static int16_t s16be(struct bytes data, size_t off)
{
	return (int16_t)u16be_at(data, off);
}

/* The pack's voltage is the sum over one string; how many modules that are, only the configuration knows. */
static void tell_voltage(struct device *dev)
{
	unsigned cells = dev->options.modules_in_series * MODULE_CELLS;
	double sum = 0;

	for (unsigned i = 0; i < cells; i++)
		sum += series_knows(&dev->reading.cell_V, i) ? dev->reading.cell_V.value[i] : NAN;
	reading_forget(&dev->reading, Q_VOLTAGE_V);
	if (cells)
		reading_set(&dev->reading, Q_CELL_COUNT, cells);
	if (cells && !isnan(sum))
		reading_set(&dev->reading, Q_VOLTAGE_V, round(sum * 1000) / 1000);
}

static void take_cells(struct device *dev, uint16_t code, uint16_t module, struct bytes data)
{
	struct state *s = dev->state;
	unsigned first = (unsigned)module * MODULE_CELLS + (code == FOURTH ? MODULE_CELLS - 1 : 0);
	unsigned n = code == FOURTH ? 1 : MODULE_CELLS - 1;

	for (unsigned i = 0; i < n && bytes_has(data, 2 + 2 * i, 2); i++)
		series_set(&dev->reading.cell_V, first + i, u16be_at(data, 2 + 2 * i) / 1000.0);
	if (code == FOURTH)
		s->fourths |= (uint16_t)(1u << module);
	else
		s->cells |= (uint16_t)(1u << module);
	tell_voltage(dev);
}

static void take_words(struct device *dev, uint16_t code, uint16_t nth, struct bytes data)
{
	for (unsigned i = 0; i < PER_FRAME && bytes_has(data, 2 + 2 * i, 2); i++) {
		unsigned module = nth * PER_FRAME + i;
		double value = s16be(data, 2 + 2 * i) / 100.0;

		if (module >= MODULES)
			return;
		if (code == TEMPERATURES)
			series_set(&dev->reading.temperatures, module, value);
		else if (code == CURRENTS)
			reading_set_detail(&dev->reading, current_names[module], value);
	}
}

static void take_bytes(struct device *dev, uint16_t code, uint16_t nth, struct bytes data)
{
	struct reading *r = &dev->reading;

	for (unsigned i = 0; i < PER_LONG_FRAME && bytes_has(data, 1 + i, 1); i++) {
		unsigned module = nth * PER_LONG_FRAME + i;
		uint8_t byte = u8_at(data, 1 + i);

		if (module >= MODULES)
			return;
		if (code == SOCS) {
			reading_set_detail(r, soc_names[module], byte * 100 / 256.0);
			continue;
		}
		uint64_t cells = UINT64_C(0xf) << module * MODULE_CELLS;
		uint64_t active = (uint64_t)(~byte & BALANCE_IDLE) << module * MODULE_CELLS;

		r->balancing_known = true;
		r->balancing = (r->balancing & ~cells) | active;
	}
}

/* ---- what the BMS says: sections 5.1 and 6 ---- */

/* Levels: 1 a warning, 2 and 3 an alarm. */
static void raise(struct alarms *a, enum alarm alarm, unsigned level)
{
	if (level)
		alarm_raise(a, alarm, level == 1 ? ALARM_WARNING : ALARM_RAISED);
}

static void take_alarms(struct reading *r, struct bytes data)
{
	struct alarms *a = &r->alarms;
	unsigned mode = u8_at(data, 1), one = u8_at(data, 2), errors = u8_at(data, 3), two = u8_at(data, 4);

	alarms_clear(a);
	raise(a, ALARM_INTERNAL_FAILURE, one & 1 || errors ? 2 : 0);
	raise(a, ALARM_HIGH_TEMPERATURE, one >> 1 & 3);
	raise(a, ALARM_LOW_SOC, one >> 3 & 1);
	raise(a, ALARM_LOW_CELL_VOLTAGE, one >> 4 & 1 ? 2 : 0);
	raise(a, ALARM_HIGH_CELL_VOLTAGE, one >> 5 & 1 ? 2 : 0);
	raise(a, ALARM_HIGH_DISCHARGE_CURRENT, two & 3);
	raise(a, ALARM_HIGH_INTERNAL_TEMPERATURE, two >> 3 & 3);
	raise(a, ALARM_LOW_TEMPERATURE, mode >> 5 & 3);
}

static void count(uint8_t *n, bool credible)
{
	*n = !credible ? 0 : *n < ENOUGH ? (uint8_t)(*n + 1) : ENOUGH;
}

static void take_state(struct device *dev, struct bytes data)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;
	uint8_t bits = u8_at(data, 1);

	s->mode = bits & 3;
	s->equalizing = s->mode == CHARGING && (bits & 0x18) == 0x18;
	count(&s->states,
	      u8_at(data, 0) <= 100 && s->mode != NO_MODE && u8_at(data, 5) <= MODULES && u8_at(data, 6) <= MODULES);
	reading_set(r, Q_SOC_PCT, u8_at(data, 0));
	reading_set_flag(r, F_CHARGE_ALLOWED, s->mode == CHARGING || s->mode == DRIVE);
	reading_set_flag(r, F_DISCHARGE_ALLOWED, s->mode == DRIVE);
	reading_set_flag(r, F_BALANCING_ACTIVE, u8_at(data, 6) > 0);
	reading_set_detail(r, "mode", s->mode);
	reading_set_detail(r, "modules_communicating", u8_at(data, 5));
	reading_set_detail(r, "modules_balancing", u8_at(data, 6));
	reading_set_detail(r, "shutdown_reason", u8_at(data, 7));
	take_alarms(r, data);
}

static void take_current(struct device *dev, struct bytes data)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;
	double current = u16le_at(data, 1) - 32768.0;

	reading_set(r, Q_CURRENT_A, dev->options.invert_current ? -current : current);
	reading_set(r, Q_BMS_DCL_A, u16le_at(data, 3) / 10.0);
	/* Two programs read this in 0.1 A and in 0.2 A; the smaller is the safe one. Drive mode only. */
	if (s->mode == DRIVE)
		reading_set(r, Q_BMS_CCL_A, (u8_at(data, 5) | u8_at(data, 7) << 8) / 10.0);
}

static void take_charge(struct device *dev, struct bytes data)
{
	const struct state *s = dev->state;

	reading_set_detail(&dev->reading, "charge_complete", u8_at(data, 3) >> 2 & 1);
	if (s->mode != CHARGING)
		return;
	if (s->equalizing)
		reading_set(&dev->reading, Q_BMS_CCL_A, u8_at(data, 0));
	else
		reading_forget(&dev->reading, Q_BMS_CCL_A);
}

static const struct number_row extreme_rows[] = {
	{0, RAW_U8, 1, -40, Q_TEMP_MAX_C},     {1, RAW_U8, 1, -40, Q_TEMP_MIN_C},     {3, RAW_U8, 1, -40, Q_TEMP_MOS_C},
	{4, RAW_U16LE, 1000, 0, Q_CELL_MAX_V}, {6, RAW_U16LE, 1000, 0, Q_CELL_MIN_V},
};
static const struct detail_row version_details[] = {
	{1, RAW_U8, 1, 0, "customer_revision"},
	{2, RAW_U8, 1, 0, "boot_loader"},
	{3, RAW_U8, 1, 0, "bms_type"},
};

static void set_version(struct reading *r, enum text text, uint8_t v)
{
	char digits[] = {(char)('0' + v / 100), (char)('0' + v / 10 % 10), (char)('0' + v % 10), 0};

	reading_set_text(r, text, v >= 100 ? digits : v >= 10 ? digits + 1 : digits + 2);
}

static void take_extremes(struct device *dev, struct bytes data)
{
	struct state *s = dev->state;
	const struct reading *r = &dev->reading;

	table_numbers(ROWS(extreme_rows), data, &dev->reading);
	double highest = reading_get(r, Q_CELL_MAX_V), lowest = reading_get(r, Q_CELL_MIN_V);
	count(&s->extremes, lowest >= 1.5 && highest <= 4.5 && lowest <= highest);
}

static enum verdict ubms_take(struct device *dev, const struct request *as, struct bytes frame, const char **why)
{
	struct bytes data = can_data(frame);
	struct can_message m;
	uint16_t code, arg;

	(void)why;
	if (!can_read(frame, &m) || !identify(&m, &code, &arg) || code != as->code || arg != as->arg)
		return FRAME_FOREIGN;
	switch (code) {
	case VERSION:
		set_version(&dev->reading, T_FIRMWARE_VERSION, u8_at(data, 0));
		set_version(&dev->reading, T_HARDWARE_VERSION, u8_at(data, 4));
		table_details(ROWS(version_details), data, &dev->reading);
		break;
	case STATE:
		take_state(dev, data);
		break;
	case CURRENT:
		take_current(dev, data);
		break;
	case CHARGE:
		take_charge(dev, data);
		break;
	case EXTREMES:
		take_extremes(dev, data);
		break;
	case CELLS:
	case FOURTH:
		take_cells(dev, code, arg, data);
		break;
	case CURRENTS:
	case TEMPERATURES:
	case BOARDS:
		take_words(dev, code, arg, data);
		break;
	default:
		take_bytes(dev, code, arg, data);
		break;
	}
	if (dev->options.battery_capacity_Ah > 0)
		reading_set(&dev->reading, Q_CAPACITY_FULL_AH, dev->options.battery_capacity_Ah);
	return FRAME_ANSWER;
}

/* ---- what was not repeated ---- */

static void forget_cells(struct device *dev, uint16_t code, uint16_t module)
{
	struct state *s = dev->state;
	unsigned first = (unsigned)module * MODULE_CELLS + (code == FOURTH ? MODULE_CELLS - 1 : 0);
	unsigned n = code == FOURTH ? 1 : MODULE_CELLS - 1;

	for (unsigned i = 0; i < n; i++)
		if (first + i < dev->reading.cell_V.count)
			series_set(&dev->reading.cell_V, first + i, NAN);
	if (code == FOURTH)
		s->fourths &= (uint16_t) ~(1u << module);
	else
		s->cells &= (uint16_t) ~(1u << module);
	tell_voltage(dev);
}

static void forget_names(struct reading *r, const char *const *names)
{
	for (unsigned i = 0; i < MODULES; i++)
		reading_set_detail(r, names[i], NAN);
}

static void ubms_forget(struct device *dev, uint16_t code, uint16_t arg)
{
	struct reading *r = &dev->reading;

	switch (code) {
	case CELLS:
	case FOURTH:
		forget_cells(dev, code, arg);
		break;
	case CURRENTS:
		forget_names(r, current_names);
		break;
	case TEMPERATURES:
		r->temperatures = (struct series){.reported = false};
		break;
	case SOCS:
		forget_names(r, soc_names);
		break;
	case BALANCE:
		r->balancing_known = false;
		break;
	case CHARGE:
		reading_set_detail(r, "charge_complete", NAN);
		break;
	default:
		break;
	}
}

/* ---- identification: section 4 ---- */

static bool ubms_plausible(const struct device *dev, const char **why)
{
	const struct state *s = dev->state;
	const struct reading *r = &dev->reading;
	double highest = reading_get(r, Q_CELL_MAX_V) + 0.05, lowest = reading_get(r, Q_CELL_MIN_V) - 0.05;

	if (s->states < ENOUGH || s->extremes < ENOUGH) {
		*why = "state and cell extremes have not come twice, each credible";
		return false;
	}
	if (!(s->cells & 1)) {
		*why = "no module tells its cells";
		return false;
	}
	for (unsigned i = 0; i < MODULE_CELLS - 1; i++) {
		if (r->cell_V.value[i] >= lowest && r->cell_V.value[i] <= highest)
			continue;
		*why = "the cells of the first module lie outside the extremes";
		return false;
	}
	return true;
}

/* ---- the master: section 7 ---- */

static bool ubms_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	struct state *s = dev->state;

	if (code != MASTER || !dev->options.master)
		return false;
	if (arg) { /* a command: mode + 1; the keep-alive goes on with it */
		s->wanted = true;
		s->wanted_mode = (uint8_t)(arg - 1);
	}
	struct can_message m = {
		.id = MASTER_ID, .n = MASTER_SIZE, .data = {0, s->wanted ? s->wanted_mode : (uint8_t)DRIVE}};

	request_start(out, &ubms_can_protocol, 0, 0, code, arg);
	can_put(out, &m);
	out->writes = true;
	out->no_reply = true;
	return true;
}

static bool ubms_parse_request(struct bytes tx, struct request *out)
{
	struct can_message m;

	if (!can_read(tx, &m) || m.id != MASTER_ID || m.n < 2 || m.data[1] > DRIVE)
		return false;
	request_start(out, &ubms_can_protocol, 0, 0, MASTER, (uint16_t)(m.data[1] + 1));
	request_put(out, tx);
	out->writes = true;
	out->no_reply = true;
	return true;
}

enum { READ_BACK_MS = 600, READ_BACKS = 5 };

/* Off is standby, on is drive: there is no mode in which only one direction is open while nothing charges. */
static void ubms_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	const struct state *s = dev->state;
	enum mode mode = p->command->value != 0 ? DRIVE : STANDBY;

	if (!dev->options.master) {
		step_end(next, COMMAND_REFUSED, "bmscope is not the master of this bus (UBMS_CAN_MASTER)");
		return;
	}
	if (!step_ask(dev, p, next, MASTER, (uint16_t)(mode + 1)))
		return;
	for (unsigned i = 0; i < READ_BACKS && !p->memo[0]; i++) {
		if (!step_wait(p, next, READ_BACK_MS))
			return;
		if (step_is_new(p) && s->mode == mode)
			p->memo[0] = 1;
	}
	if (!p->memo[0])
		step_end(next, COMMAND_UNCONFIRMED, "sent, but it is not in %s mode after 3 s",
			 mode == DRIVE ? "drive" : "standby");
	else if (mode == DRIVE)
		step_end(next, COMMAND_DONE, "it is in drive mode: charging and discharging are on");
	else
		step_end(next, COMMAND_DONE, "it is in standby: charging and discharging are off");
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{250000, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Ubms_Can", NULL};

#define KIND_MASK (CAN_EXTENDED | CAN_REMOTE | CAN_ERROR)
#define ONE_OF(n) (KIND_MASK | (UINT32_C(0x7ff) & ~(UINT32_C(n) - 1)))

static const struct can_ids hears[] = {
	{0x180, ONE_OF(1)}, {0x0c0, ONE_OF(8)}, {0x350, ONE_OF(16)}, {0x360, ONE_OF(8)}, {0x468, ONE_OF(8)},
	{0x768, ONE_OF(8)}, {0x678, ONE_OF(8)}, {0x06a, ONE_OF(2)},  {0x26a, ONE_OF(2)}, {0, 0},
};

/* A module that has told its cells tells them again before there is another reading. */
#define MODULE(m)                                                                                                      \
	static bool cells_##m(const struct device *dev)                                                                \
	{                                                                                                              \
		return ((const struct state *)dev->state)->cells >> m & 1;                                             \
	}                                                                                                              \
	static bool fourth_##m(const struct device *dev)                                                               \
	{                                                                                                              \
		return ((const struct state *)dev->state)->fourths >> m & 1;                                           \
	}
MODULE(0)
MODULE(1)
MODULE(2)
MODULE(3)
MODULE(4)
MODULE(5)
MODULE(6)
MODULE(7)
MODULE(8)
MODULE(9)
MODULE(10)
#define ROWS_OF(m)                                                                                                     \
	{CELLS, m, 10000, true, cells_##m},                                                                            \
	{                                                                                                              \
		FOURTH, m, 10000, true, fourth_##m                                                                     \
	}

static const struct poll polls[] = {
	{STATE, 0, EVERY_POLL, true, NULL},
	{CURRENT, 0, EVERY_POLL, true, NULL},
	{EXTREMES, 0, EVERY_POLL, true, NULL},
	{CHARGE, 0, 10000, false, NULL},
	ROWS_OF(0),
	ROWS_OF(1),
	ROWS_OF(2),
	ROWS_OF(3),
	ROWS_OF(4),
	ROWS_OF(5),
	ROWS_OF(6),
	ROWS_OF(7),
	ROWS_OF(8),
	ROWS_OF(9),
	ROWS_OF(10),
	{CURRENTS, 0, 15000, false, NULL},
	{TEMPERATURES, 0, 15000, false, NULL},
	{SOCS, 0, 15000, false, NULL},
	{BALANCE, 0, 15000, false, NULL},
};

#define QUANTITY(q) (UINT64_C(1) << Q_##q)
#define FLAG(f)	    (UINT32_C(1) << F_##f)
#define ALARM(a)    (UINT32_C(1) << ALARM_##a)

const struct protocol ubms_can_protocol = {
	.id = "ubms-can",
	.title = "Valence U-BMS",
	.manufacturer = "Valence",
	.bms_types = bms_types,
	.link = LINK_CAN,
	.lines = lines,
	.hears = hears,
	.timing = {.first_ms = 50, .gap_ms = 10, .tries = 1, .poll_ms = 1000, .listen_ms = 5000, .unheard_ms = 10000},
	.quantities = QUANTITY(VOLTAGE_V) | QUANTITY(CURRENT_A) | QUANTITY(SOC_PCT) | QUANTITY(CAPACITY_FULL_AH) |
		      QUANTITY(CELL_COUNT) | QUANTITY(CELL_MIN_V) | QUANTITY(CELL_MAX_V) | QUANTITY(TEMP_MIN_C) |
		      QUANTITY(TEMP_MAX_C) | QUANTITY(TEMP_MOS_C) | QUANTITY(BMS_CCL_A) | QUANTITY(BMS_DCL_A),
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING,
	.flags = FLAG(BALANCING_ACTIVE) | FLAG(CHARGE_ALLOWED) | FLAG(DISCHARGE_ALLOWED),
	.alarms = ALARM(HIGH_CELL_VOLTAGE) | ALARM(LOW_CELL_VOLTAGE) | ALARM(LOW_SOC) | ALARM(HIGH_DISCHARGE_CURRENT) |
		  ALARM(INTERNAL_FAILURE) | ALARM(HIGH_TEMPERATURE) | ALARM(LOW_TEMPERATURE) |
		  ALARM(HIGH_INTERNAL_TEMPERATURE),
	.commands = 1u << COMMAND_CHARGE | 1u << COMMAND_DISCHARGE,
	.streams = 1,
	.keep_alive = MASTER,
	.keep_alive_ms = 1000,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.encode = ubms_encode,
	.find_frame = can_find_frame,
	.take = ubms_take,
	.plausible = ubms_plausible,
	.parse_request = ubms_parse_request,
	.overhear = ubms_overhear,
	.forget = ubms_forget,
	.proceed = ubms_proceed,
};
