/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Valence U-BMS, which speaks by itself on CAN and tells of modules of four cells: sheet ubms-can. It closes its
 * contactor only while a master tells it to, which bmscope does where UBMS_CAN_MASTER says so.
 */
#include <math.h>
#include <string.h>

#include "protocols/can.h"
#include "protocols/procedure.h"
#include "protocols/table.h"

extern const struct protocol ubms_can_protocol;

/* Kinds of frames. arg: the module of CELLS, of the others which frame of their kind. */
enum code {
	VERSION,
	NAME,
	STATE,
	CURRENT,
	CHARGE,
	EXTREMES,
	CELLS,
	CURRENTS,
	TEMPERATURES,
	BOARDS,
	SOCS,
	BALANCE,
	MASTER
};

enum {
	MODULES = 12,	  /* of four cells each: a reading holds no more */
	FIRST_CELLS = 3,  /* in a module's first frame; the others are in its second */
	MODULE_CELLS = 4, /* the usual number */
	MOST_CELLS = 6,
	PER_FRAME = 3,	    /* modules in frames of 16-bit values */
	PER_LONG_FRAME = 7, /* in those of bytes */
	CELLS_ID = 0x350,
	LAST_CELLS_ID = CELLS_ID + 2 * MODULES - 1,
	MASTER_ID = 0x440,
	MASTER_SIZE = 4,
	HIGHEST_MV = 5000, /* of a cell */
	MANY_MODULES = 64, /* more than any of them has */
	ENOUGH = 2,
	CONTRADICTIONS = 3,
	COMPARED_A = 20,    /* from this current on, those of modules tell how many are in series */
	MASTER_STATES = 36, /* state frames in 20 s, after which a silent master counts for nothing */
	SETTLE_STATES = 18, /* in 10 s: a command may come before it is told to drive */
};

enum mode { STANDBY, CHARGING, DRIVE, NO_MODE };

struct state {
	uint8_t states, extremes; /* credible frames in a row, up to ENOUGH */
	uint8_t mode;		  /* as it says */
	bool told;		  /* since the last command */
	bool equalizing;
	uint8_t modules;	/* that it hears; 0: not all that it should */
	uint8_t contradictions; /* how often in a row currents have contradicted modules_in_series */
	uint8_t master_states;	/* state frames until another master is forgotten; 0: there is none */
	uint8_t settled;	/* state frames heard, up to SETTLE_STATES */
	bool commanded;
	uint8_t wanted_mode;	/* what the master tells it, once commanded */
	uint16_t halves, cells; /* bit per module: its first frame is here; it has told its cells */
	uint16_t half[MODULES][FIRST_CELLS], mV[MODULES][MOST_CELLS];
	uint8_t module_cells; /* 0: not known yet */
	char name[12];
};

/* Frames of one kind have consecutive identifiers. */
static const struct kind_of_frame {
	uint16_t id, last;
	uint8_t code, size;
	bool marked; /* begins with 01 */
} kinds[] = {
	{0x180, 0x180, VERSION, 8, false}, {0x184, 0x184, NAME, 8, false},
	{0x0c0, 0x0c0, STATE, 8, false},   {0x0c1, 0x0c1, CURRENT, 8, false},
	{0x0c2, 0x0c2, CHARGE, 4, false},  {0x0c4, 0x0c4, EXTREMES, 8, false},
	{0x46a, 0x46d, CURRENTS, 4, true}, {0x76a, 0x76d, TEMPERATURES, 4, true},
	{0x67a, 0x67d, BOARDS, 4, true},   {0x06a, 0x06b, SOCS, 2, true},
	{0x26a, 0x26b, BALANCE, 2, true},  {MASTER_ID, MASTER_ID, MASTER, 2, false},
};

/* Cells: others use these identifiers for something else. */
static bool tells_cells(const struct can_message *m)
{
	struct bytes data = {m->data, m->n};

	for (unsigned off = 2; off + 2 <= m->n; off += 2)
		if (u16be_at(data, off) > HIGHEST_MV)
			return false;
	return m->n >= (m->id & 1 ? 4 : 2 + 2 * FIRST_CELLS) && m->n % 2 == 0 && m->data[0] == 1 && m->data[1] == 0;
}

static bool identify(const struct can_message *m, uint16_t *code, uint16_t *arg)
{
	if (m->id >= CELLS_ID && m->id <= LAST_CELLS_ID) {
		*code = CELLS;
		*arg = (uint16_t)((m->id - CELLS_ID) / 2);
		return tells_cells(m);
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (m->id < kinds[i].id || m->id > kinds[i].last)
			continue;
		*code = kinds[i].code;
		*arg = (uint16_t)(m->id - kinds[i].id);
		if (*code == VERSION && memcmp(m->data + 5, "CO3", 3) != 0)
			return false;
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
	"module_9_current_A", "module_10_current_A", "module_11_current_A", "module_12_current_A",
};
static const char *const board_names[MODULES] = {
	"module_1_pcb_C", "module_2_pcb_C", "module_3_pcb_C", "module_4_pcb_C",	 "module_5_pcb_C",  "module_6_pcb_C",
	"module_7_pcb_C", "module_8_pcb_C", "module_9_pcb_C", "module_10_pcb_C", "module_11_pcb_C", "module_12_pcb_C",
};
static const char *const soc_names[MODULES] = {
	"module_1_soc_pct", "module_2_soc_pct",	 "module_3_soc_pct",  "module_4_soc_pct",
	"module_5_soc_pct", "module_6_soc_pct",	 "module_7_soc_pct",  "module_8_soc_pct",
	"module_9_soc_pct", "module_10_soc_pct", "module_11_soc_pct", "module_12_soc_pct",
};

static unsigned cells_per_module(const struct state *s)
{
	return s->module_cells ? s->module_cells : MODULE_CELLS;
}

/* The modules that it hears can't be so many strings of so many modules. */
static bool modules_contradict(const struct device *dev)
{
	const struct state *s = dev->state;
	unsigned series = dev->options.modules_in_series, strings = dev->options.strings;

	return series && s->modules && (s->modules % series || (strings && s->modules != series * strings));
}

static double sum_of_cells(const struct series *cells, unsigned first, unsigned n)
{
	double sum = 0;

	for (unsigned i = first; i < first + n; i++)
		sum += series_knows(cells, i) ? cells->value[i] : NAN;
	return sum;
}

/*
 * All cells, module by module; how many are in series, which only the configuration knows; and the voltage, which is
 * that of any string. Limits are made of these, so there are none where the configuration can't be true.
 */
static void tell_cells(struct device *dev)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;
	unsigned per_module = cells_per_module(s), n = dev->options.modules_in_series * per_module;
	double V = NAN;

	r->cell_V = (struct series){.reported = false};
	reading_forget(r, Q_CELL_COUNT);
	reading_forget(r, Q_VOLTAGE_V);
	if (modules_contradict(dev))
		return;
	for (unsigned m = 0; m < MODULES; m++)
		for (unsigned i = 0; s->cells >> m & 1 && i < per_module; i++)
			series_set(&r->cell_V, m * per_module + i, s->mV[m][i] / 1000.0);
	if (!n)
		return;
	for (unsigned first = 0; isnan(V) && first + n <= MAX_CELLS; first += n)
		V = sum_of_cells(&r->cell_V, first, n);
	reading_set(r, Q_CELL_COUNT, n);
	reading_set(r, Q_VOLTAGE_V, round(V * 1000) / 1000);
}

/* Modules of more cells than was thought lie at other places of the reading. */
static void set_module_cells(struct device *dev, unsigned n)
{
	struct state *s = dev->state;

	if (cells_per_module(s) != n) {
		dev->reading.balancing_known = false;
		dev->reading.balancing = 0;
		s->cells = 0;
	}
	s->module_cells = (uint8_t)n;
}

/* The first three cells come in one frame, the others in the next. */
static enum verdict take_cells(struct device *dev, unsigned module, bool second, struct bytes data)
{
	struct state *s = dev->state;
	uint16_t bit = (uint16_t)(1u << module);
	unsigned others = (unsigned)data.n / 2 - 1;

	if (!second) {
		for (unsigned i = 0; i < FIRST_CELLS; i++)
			s->half[module][i] = u16be_at(data, 2 + 2 * i);
		s->halves |= bit;
		return FRAME_PART;
	}
	if (!(s->halves & bit))
		return FRAME_FOREIGN;
	set_module_cells(dev, FIRST_CELLS + others);
	memcpy(s->mV[module], s->half[module], sizeof(s->half[module]));
	for (unsigned i = 0; i < others; i++)
		s->mV[module][FIRST_CELLS + i] = u16be_at(data, 2 + 2 * i);
	s->halves &= (uint16_t)~bit;
	s->cells |= bit;
	tell_cells(dev);
	return FRAME_ANSWER;
}

/*
 * Modules in series carry the same current: the sum over all of them is the pack's, that many times. (A sensor that has
 * failed contradicts as well: this is told, and changes nothing.)
 */
static void compare_currents(struct device *dev)
{
	struct state *s = dev->state;
	double pack = reading_get(&dev->reading, Q_CURRENT_A), sum = 0;

	for (unsigned m = 0; m < s->modules && m < MODULES; m++)
		sum += reading_detail(&dev->reading, current_names[m]);
	double times = sum / pack, series = round(times);

	if (!(fabs(pack) >= COMPARED_A) || isnan(times) || !s->modules)
		return;
	if (fabs(times - series) > 0.2 || series < 1 || series == dev->options.modules_in_series)
		s->contradictions = 0;
	else if (s->contradictions < CONTRADICTIONS)
		s->contradictions++;
}

static void take_words(struct device *dev, uint16_t code, unsigned nth, struct bytes data)
{
	const struct state *s = dev->state;
	double sign = code == CURRENTS && dev->options.invert_current ? -1 : 1;

	for (unsigned i = 0; i < PER_FRAME && bytes_has(data, 2 + 2 * i, 2); i++) {
		unsigned module = nth * PER_FRAME + i;
		double value = sign * (int16_t)u16be_at(data, 2 + 2 * i) / 100.0;

		if (code == TEMPERATURES)
			series_set(&dev->reading.temperatures, module, value);
		else
			reading_set_detail(&dev->reading, (code == CURRENTS ? current_names : board_names)[module],
					   value);
	}
	if (code == CURRENTS && s->modules <= (nth + 1) * PER_FRAME)
		compare_currents(dev);
}

/* A bit is 0 while its cell balances. */
static void take_balance(struct device *dev, unsigned module, uint8_t idle)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;
	unsigned n = cells_per_module(s), first = module * n;

	if (first + n > MAX_CELLS)
		return;
	uint64_t cells = ((UINT64_C(1) << n) - 1) << first;

	r->balancing_known = true;
	r->balancing = (r->balancing & ~cells) | (~((uint64_t)idle << first) & cells);
}

static void take_bytes(struct device *dev, uint16_t code, unsigned nth, struct bytes data)
{
	for (unsigned i = 0; i < PER_LONG_FRAME && bytes_has(data, 1 + i, 1); i++) {
		unsigned module = nth * PER_LONG_FRAME + i;
		uint8_t byte = u8_at(data, 1 + i);

		if (module >= MODULES)
			return;
		if (code == SOCS)
			reading_set_detail(&dev->reading, soc_names[module], byte * 100 / 256.0);
		else
			take_balance(dev, module, byte);
	}
}

/* Each module has a name in two halves; the first one's is shown. */
static void take_name(struct device *dev, struct bytes data)
{
	enum { FIRST_MODULE = 1, HALF = 6 };
	struct state *s = dev->state;
	unsigned line = u8_at(data, 1);
	char text[sizeof(s->name) + 1] = {0};

	if (u8_at(data, 0) != FIRST_MODULE || line < 1 || line > sizeof(s->name) / HALF)
		return;
	memcpy(s->name + (line - 1) * HALF, data.p + 2, HALF);
	for (size_t i = 0; i < sizeof(s->name) && s->name[i] >= ' ' && s->name[i] <= '~'; i++)
		text[i] = s->name[i];
	if (strlen(text) >= HALF)
		reading_set_text(&dev->reading, T_MODEL, text);
}

/* ---- what the BMS says: sections 5.1 and 6 ---- */

/* Levels: 1 a warning, 2 and 3 an alarm. */
static void raise(struct alarms *a, enum alarm alarm, unsigned level)
{
	if (level)
		alarm_raise(a, alarm, level == 1 ? ALARM_WARNING : ALARM_RAISED);
}

enum { MISSING = 1, TOO_MANY = 2 }; /* modules: bits of bytes 2 and 3 */

static void take_alarms(struct reading *r, struct bytes data)
{
	struct alarms *a = &r->alarms;
	unsigned mode = u8_at(data, 1), one = u8_at(data, 2), errors = u8_at(data, 3), two = u8_at(data, 4);

	alarms_clear(a);
	raise(a, ALARM_INTERNAL_FAILURE, one & MISSING || errors ? 2 : 0);
	raise(a, ALARM_HIGH_TEMPERATURE, one >> 1 & 3);
	raise(a, ALARM_LOW_SOC, one >> 3 & 1);
	raise(a, ALARM_LOW_CELL_VOLTAGE, one >> 4 & 1 ? 2 : 0);
	raise(a, ALARM_HIGH_CELL_VOLTAGE, one >> 5 & 1 ? 2 : 0);
	raise(a, ALARM_HIGH_DISCHARGE_CURRENT, two & 3);
	raise(a, ALARM_HIGH_INTERNAL_TEMPERATURE, two >> 3 & 3);
	raise(a, ALARM_LOW_TEMPERATURE, mode >> 5 & 3);
}

/* What is wrong on this side of the cable. */
static void own_alarms(struct device *dev)
{
	const struct state *s = dev->state;
	const struct protocol_options *o = &dev->options;

	if (modules_contradict(dev) || (o->modules_in_series && s->contradictions == CONTRADICTIONS))
		alarm_raise_own(&dev->reading.alarms, "module_configuration", ALARM_WARNING);
	if (o->master && s->master_states)
		alarm_raise_own(&dev->reading.alarms, "other_master", ALARM_WARNING);
}

static void count(uint8_t *n, bool credible)
{
	*n = !credible ? 0 : *n < ENOUGH ? (uint8_t)(*n + 1) : ENOUGH;
}

static void forget_charge(struct reading *r)
{
	reading_set_detail(r, "charge_complete", NAN);
	reading_set_detail(r, "charge_voltage_raw", NAN);
}

static void take_mode(struct device *dev, uint8_t bits)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;

	if (s->mode != (bits & 3))
		reading_forget(r, Q_BMS_CCL_A); /* each mode has its own */
	s->mode = bits & 3;
	s->told = true;
	s->equalizing = s->mode == CHARGING && (bits & 0x18) == 0x18;
	reading_set_flag(r, F_CHARGE_ALLOWED, s->mode == CHARGING || s->mode == DRIVE);
	reading_set_flag(r, F_DISCHARGE_ALLOWED, s->mode == DRIVE);
	reading_set_detail(r, "mode", s->mode);
	if (s->mode != CHARGING)
		forget_charge(r);
}

static void take_soc(struct device *dev, double soc)
{
	double full = dev->options.battery_capacity_Ah;

	reading_set(&dev->reading, Q_SOC_PCT, soc);
	if (!(full > 0))
		return;
	reading_set(&dev->reading, Q_CAPACITY_FULL_AH, full);
	reading_set(&dev->reading, Q_CAPACITY_REMAINING_AH, full * soc / 100);
}

static enum verdict take_state(struct device *dev, struct bytes data, const char **why)
{
	struct state *s = dev->state;
	struct reading *r = &dev->reading;
	unsigned soc = u8_at(data, 0), modules = u8_at(data, 5), balancing = u8_at(data, 6);
	bool all = !(u8_at(data, 2) & MISSING) && !(u8_at(data, 3) & TOO_MANY);

	count(&s->states,
	      soc <= 100 && (u8_at(data, 1) & 3) != NO_MODE && modules <= MANY_MODULES && balancing <= modules);
	if (soc > 100) {
		*why = "a state of charge above 100 %";
		return FRAME_BAD;
	}
	if (s->master_states && !--s->master_states)
		reading_set_detail(r, "master_mode", NAN);
	s->settled += s->settled < SETTLE_STATES;
	s->modules = (uint8_t)(all ? modules : 0);
	take_mode(dev, u8_at(data, 1));
	take_soc(dev, soc);
	reading_set_flag(r, F_BALANCING_ACTIVE, balancing > 0);
	reading_set_detail(r, "modules_communicating", modules);
	reading_set_detail(r, "modules_balancing", balancing);
	reading_set_detail(r, "internal_errors", u8_at(data, 3));
	reading_set_detail(r, "shutdown_reason", u8_at(data, 7));
	take_alarms(r, data);
	own_alarms(dev);
	tell_cells(dev);
	return FRAME_ANSWER;
}

static enum verdict take_current(struct device *dev, struct bytes data)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;
	double current = u16le_at(data, 1) - 32768.0;

	reading_set(r, Q_CURRENT_A, dev->options.invert_current ? -current : current);
	reading_set(r, Q_BMS_DCL_A, u16le_at(data, 3) / 10.0);
	/* Two programs read this in 0.1 A and in 0.2 A; the smaller is the safe one. Drive mode only. */
	if (s->mode == DRIVE)
		reading_set(r, Q_BMS_CCL_A, (u8_at(data, 5) | u8_at(data, 7) << 8) / 10.0);
	return FRAME_ANSWER;
}

/* Charge mode only; the limit counts while equalizing. */
static enum verdict take_charge(struct device *dev, struct bytes data)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;

	if (s->mode != CHARGING)
		return FRAME_ANSWER;
	reading_set_detail(r, "charge_complete", u8_at(data, 3) >> 2 & 1);
	reading_set_detail(r, "charge_voltage_raw", u16le_at(data, 1)); /* nobody knows its unit */
	if (s->equalizing)
		reading_set(r, Q_BMS_CCL_A, u8_at(data, 0));
	else
		reading_forget(r, Q_BMS_CCL_A);
	return FRAME_ANSWER;
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

static enum verdict take_extremes(struct device *dev, struct bytes data, const char **why)
{
	struct state *s = dev->state;
	unsigned highest = u16le_at(data, 4), lowest = u16le_at(data, 6);

	count(&s->extremes, lowest >= 1500 && highest <= 4500 && lowest <= highest);
	if (lowest > highest || highest > HIGHEST_MV) {
		*why = "cell extremes that can't be";
		return FRAME_BAD;
	}
	table_numbers(ROWS(extreme_rows), data, &dev->reading);
	return FRAME_ANSWER;
}

static void set_version(struct reading *r, enum text text, uint8_t v)
{
	char digits[] = {(char)('0' + v / 100), (char)('0' + v / 10 % 10), (char)('0' + v % 10), 0};

	reading_set_text(r, text, v >= 100 ? digits : v >= 10 ? digits + 1 : digits + 2);
}

static void take_version(struct reading *r, struct bytes data)
{
	set_version(r, T_FIRMWARE_VERSION, u8_at(data, 0));
	set_version(r, T_HARDWARE_VERSION, u8_at(data, 4));
	table_details(ROWS(version_details), data, r);
}

static void take_master(struct device *dev, uint8_t mode)
{
	struct state *s = dev->state;

	s->master_states = MASTER_STATES;
	reading_set_detail(&dev->reading, "master_mode", mode);
}

static enum verdict ubms_take(struct device *dev, const struct request *as, struct bytes frame, const char **why)
{
	struct bytes data;
	struct can_message m;
	uint16_t code, arg;

	if (!can_read(frame, &m) || !identify(&m, &code, &arg) || code != as->code || arg != as->arg)
		return FRAME_FOREIGN;
	data = can_data(frame);
	switch (code) {
	case STATE:
		return take_state(dev, data, why);
	case CURRENT:
		return take_current(dev, data);
	case CHARGE:
		return take_charge(dev, data);
	case EXTREMES:
		return take_extremes(dev, data, why);
	case CELLS:
		return take_cells(dev, arg, m.id & 1, data);
	case VERSION:
		take_version(&dev->reading, data);
		break;
	case NAME:
		take_name(dev, data);
		break;
	case MASTER:
		take_master(dev, m.data[1]);
		break;
	case SOCS:
	case BALANCE:
		take_bytes(dev, code, arg, data);
		break;
	default:
		take_words(dev, code, arg, data);
		break;
	}
	return FRAME_ANSWER;
}

/* ---- what was not repeated ---- */

static void forget_places(struct series *s, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n && i < s->count; i++)
		s->known &= ~(UINT64_C(1) << i);
	if (!s->known)
		*s = (struct series){.reported = false};
}

static void forget_details(struct reading *r, const char *const *names, unsigned first, unsigned n)
{
	for (unsigned m = first; m < first + n && m < MODULES; m++)
		reading_set_detail(r, names[m], NAN);
}

static void forget_cells(struct device *dev, unsigned module)
{
	struct state *s = dev->state;

	s->halves &= (uint16_t) ~(1u << module);
	s->cells &= (uint16_t) ~(1u << module);
	tell_cells(dev);
}

static void ubms_forget(struct device *dev, uint16_t code, uint16_t arg)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;

	switch (code) {
	case CELLS:
		forget_cells(dev, arg);
		break;
	case CHARGE:
		forget_charge(r);
		if (s->mode == CHARGING)
			reading_forget(r, Q_BMS_CCL_A);
		break;
	case CURRENTS:
		forget_details(r, current_names, arg * PER_FRAME, PER_FRAME);
		break;
	case BOARDS:
		forget_details(r, board_names, arg * PER_FRAME, PER_FRAME);
		break;
	case TEMPERATURES:
		forget_places(&r->temperatures, arg * PER_FRAME, PER_FRAME);
		break;
	case SOCS:
		forget_details(r, soc_names, arg * PER_LONG_FRAME, PER_LONG_FRAME);
		break;
	case BALANCE: /* a row of which a part is unknown can't be told */
		r->balancing_known = false;
		r->balancing = 0;
		break;
	default:
		break;
	}
}

/* ---- identification: section 4 ---- */

static bool ubms_plausible(const struct device *dev, const char **why)
{
	const struct state *s = dev->state;
	/* They come at other times than the cells. */
	double highest = reading_get(&dev->reading, Q_CELL_MAX_V) * 1000 + 50;
	double lowest = reading_get(&dev->reading, Q_CELL_MIN_V) * 1000 - 50;

	if (s->states < ENOUGH || s->extremes < ENOUGH) {
		*why = "state and cell extremes have not come twice, each credible";
		return false;
	}
	if (!(s->cells & 1)) {
		*why = "the first module does not tell its cells";
		return false;
	}
	for (unsigned i = 0; i < s->module_cells; i++) {
		if (s->mV[0][i] >= lowest && s->mV[0][i] <= highest)
			continue;
		*why = "the cells of the first module lie outside the extremes";
		return false;
	}
	return true;
}

/* ---- the master: section 7 ---- */

/* What it is told now: the mode that is wanted, drive until a command says; between charge and drive standby. */
static uint8_t told_mode(const struct state *s)
{
	uint8_t wanted = s->commanded ? s->wanted_mode : (uint8_t)DRIVE;
	bool direct = (s->mode == CHARGING && wanted == DRIVE) || (s->mode == DRIVE && wanted == CHARGING);

	return direct ? (uint8_t)STANDBY : wanted;
}

/* arg: 0 the keep-alive; else a command for mode arg - 1, with which the keep-alive goes on. */
static bool ubms_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	struct state *s = dev->state;

	if (code != MASTER || arg > DRIVE + 1 || !dev->options.master || s->master_states)
		return false;
	/* Nobody's command must come after the contactor has closed by itself; what is in drive is kept there. */
	if (!arg && !s->commanded && s->mode != DRIVE && s->settled < SETTLE_STATES)
		return false;
	if (arg) {
		s->commanded = true;
		s->told = false;
		s->wanted_mode = (uint8_t)(arg - 1);
	}
	struct can_message m = {.id = MASTER_ID, .n = MASTER_SIZE, .data = {0, told_mode(s)}};

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

/* True when it was told and has had its time; *followed: after which read-back it was in that mode, 0 never. */
static bool change_mode(struct device *dev, struct procedure *p, struct next *next, enum mode mode, uint32_t *followed)
{
	const struct state *s = dev->state;

	if (!step_ask(dev, p, next, MASTER, (uint16_t)(mode + 1)))
		return false;
	for (unsigned i = 1; i <= READ_BACKS; i++) {
		if (!step_wait(p, next, READ_BACK_MS))
			return false;
		if (step_is_new(p) && s->told && s->mode == mode)
			*followed = i;
		if (*followed == i)
			return true;
	}
	return true;
}

/* Off is standby, on is drive: there is no mode in which only one direction is open while nothing charges. */
static void ubms_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	const struct state *s = dev->state;
	enum { FROM_CHARGE, LEFT, DONE }; /* of memo */
	enum mode mode = p->command->value != 0 ? DRIVE : STANDBY;

	if (!dev->options.master) {
		step_end(next, COMMAND_REFUSED, "bmscope is not the master of this battery (UBMS_CAN_MASTER)");
		return;
	}
	if (s->master_states && !p->taken) {
		step_end(next, COMMAND_REFUSED, "another master speaks on this bus");
		return;
	}
	if (!p->taken)
		p->memo[FROM_CHARGE] = mode == DRIVE && s->mode == CHARGING;
	if (p->memo[FROM_CHARGE] && !change_mode(dev, p, next, STANDBY, &p->memo[LEFT]))
		return;
	if (p->memo[FROM_CHARGE] && !p->memo[LEFT]) {
		step_end(next, COMMAND_UNCONFIRMED, "it does not leave charge mode");
		return;
	}
	if (!change_mode(dev, p, next, mode, &p->memo[DONE]))
		return;
	if (!p->memo[DONE])
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
	{0x180, ONE_OF(1)}, {0x184, ONE_OF(1)}, {0x0c0, ONE_OF(8)},	{0x350, ONE_OF(16)},
	{0x360, ONE_OF(8)}, {0x468, ONE_OF(8)}, {0x768, ONE_OF(8)},	{0x678, ONE_OF(8)},
	{0x06a, ONE_OF(2)}, {0x26a, ONE_OF(2)}, {MASTER_ID, ONE_OF(1)}, {0, 0},
};

/* A module that has told its cells tells them again before there is another reading. */
#define TOLD(m)                                                                                                        \
	static bool told_##m(const struct device *dev)                                                                 \
	{                                                                                                              \
		return ((const struct state *)dev->state)->cells >> m & 1;                                             \
	}
TOLD(0)
TOLD(1)
TOLD(2)
TOLD(3)
TOLD(4)
TOLD(5)
TOLD(6)
TOLD(7)
TOLD(8)
TOLD(9)
TOLD(10)
TOLD(11)

/* Three rounds of twelve modules, and more of what is slower. */
enum { STALE_MS = 7000, SLOW_STALE_MS = 15000 };

static const struct poll polls[] = {
	{STATE, 0, EVERY_POLL, true, NULL},
	{CURRENT, 0, EVERY_POLL, true, NULL},
	{EXTREMES, 0, EVERY_POLL, true, NULL},
	{CHARGE, 0, STALE_MS, false, NULL},
	{CELLS, 0, STALE_MS, true, told_0},
	{CELLS, 1, STALE_MS, true, told_1},
	{CELLS, 2, STALE_MS, true, told_2},
	{CELLS, 3, STALE_MS, true, told_3},
	{CELLS, 4, STALE_MS, true, told_4},
	{CELLS, 5, STALE_MS, true, told_5},
	{CELLS, 6, STALE_MS, true, told_6},
	{CELLS, 7, STALE_MS, true, told_7},
	{CELLS, 8, STALE_MS, true, told_8},
	{CELLS, 9, STALE_MS, true, told_9},
	{CELLS, 10, STALE_MS, true, told_10},
	{CELLS, 11, STALE_MS, true, told_11},
	{CURRENTS, 0, SLOW_STALE_MS, false, NULL},
	{CURRENTS, 1, SLOW_STALE_MS, false, NULL},
	{CURRENTS, 2, SLOW_STALE_MS, false, NULL},
	{CURRENTS, 3, SLOW_STALE_MS, false, NULL},
	{TEMPERATURES, 0, SLOW_STALE_MS, false, NULL},
	{TEMPERATURES, 1, SLOW_STALE_MS, false, NULL},
	{TEMPERATURES, 2, SLOW_STALE_MS, false, NULL},
	{TEMPERATURES, 3, SLOW_STALE_MS, false, NULL},
	{BOARDS, 0, SLOW_STALE_MS, false, NULL},
	{BOARDS, 1, SLOW_STALE_MS, false, NULL},
	{BOARDS, 2, SLOW_STALE_MS, false, NULL},
	{BOARDS, 3, SLOW_STALE_MS, false, NULL},
	{SOCS, 0, SLOW_STALE_MS, false, NULL},
	{SOCS, 1, SLOW_STALE_MS, false, NULL},
	{BALANCE, 0, SLOW_STALE_MS, false, NULL},
	{BALANCE, 1, SLOW_STALE_MS, false, NULL},
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
		      QUANTITY(CAPACITY_REMAINING_AH) | QUANTITY(CELL_COUNT) | QUANTITY(CELL_MIN_V) |
		      QUANTITY(CELL_MAX_V) | QUANTITY(TEMP_MIN_C) | QUANTITY(TEMP_MAX_C) | QUANTITY(TEMP_MOS_C) |
		      QUANTITY(BMS_CCL_A) | QUANTITY(BMS_DCL_A),
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
