/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ECS GreenMeter with LiPro cell modules on RS485, sheet ecs: Modbus RTU, reads only. The meter and the modules, each
 * at an address of its own, are one battery. */
#include <math.h>

#include "protocols/modbus_rtu.h"
#include "protocols/table.h"

extern const struct protocol ecs_protocol;

/* A request's code: of the meter its first register, but READ_ID, whose arg 1 asks for the model alone. */
enum requests {
	READ_LIMITS = 30,
	READ_CAPACITY = 46,
	READ_TEMPERATURES = 102,
	READ_VOLTAGE = 108,
	READ_CURRENT = 114,
	READ_STATES = 128, /* the SoC, what may flow */
	READ_ID = 0x100,
	READ_CELL,   /* arg: which, from 0 */
	READ_MODULE, /* the model of this cell's module */
	LOOK,	     /* at a cell that is silent, or at what the modules are */
};

enum { REG_ID = 0, REG_STATE = 130, REG_CELL = 100, REG_CELL_TEMPERATURE = 101, REG_BALANCING = 102 };

enum {
	METER_ADDRESS = 1,
	LAST_ADDRESS = 16,
	HIGHEST_ADDRESS = 247,
	ECS_MAX_CELLS = 24, /* as many as a poll cycle has rows for */
	TRIES = 3,
	SEARCH_SILENCES = 2,
	BALANCING_PCT = 50, /* an effort above it is balancing */
};

/* What may be asked as a block or, where a device does not like that, in parts. */
enum slots { SLOT_ID = ECS_MAX_CELLS, SLOT_STATES, SLOTS };

/* The two kinds of devices that make up a battery. Whether they answer a block is not known for certain (sheet 3):
 * where none ever was answered and a part is, parts are what is asked for. */
enum kinds { METER, MODULES, KINDS };

struct state {
	bool meter; /* it has told its model, and it is one */
	bool blocks[KINDS], parts[KINDS];
	uint8_t asked[SLOTS]; /* in a row without an answer */
	uint8_t cycle, look;  /* whose turn it is */
	uint32_t known;	      /* bit per cell that has answered once */
	uint32_t silent;      /* that does not answer any more, or never has */
	uint8_t search_silences;
	bool complete;	      /* the cells that are known make up the voltage */
	uint8_t short_cycles; /* in a row in which, after all, they did not */
	uint8_t chain;	      /* cells by the voltage, where some do not answer; 0: not told */
	uint8_t guess, votes; /* the same of this cycle, and cycles in a row that agree */
};

static bool bit(uint32_t set, unsigned i)
{
	return set >> i & 1;
}

/* ---- which cells there are ---- */

/* What the meter measures beyond the cells that are known; NAN while it has not told. */
static double missing_voltage(const struct reading *r)
{
	double missing = reading_get(r, Q_VOLTAGE_V);

	for (unsigned i = 0; i < r->cell_V.count; i++)
		if (series_knows(&r->cell_V, i))
			missing -= r->cell_V.value[i];
	return missing;
}

/* As much as half a cell: no error of measurement. */
static bool lacks_a_cell(const struct reading *r)
{
	double missing = missing_voltage(r), voltage = reading_get(r, Q_VOLTAGE_V);

	return missing * r->cell_V.count > (voltage - missing) / 2;
}

static bool search_is_over(const struct state *s)
{
	return s->complete || s->search_silences >= SEARCH_SILENCES;
}

/* Is it asked in every cycle? Until the end of the chain is known, so are those that have not answered yet. */
static bool wants_cell(const struct device *dev, unsigned cell)
{
	const struct state *s = dev->state;

	return !bit(s->silent, cell) && (bit(s->known, cell) || !search_is_over(s));
}

/*
 * Nobody tells how many modules there are; but when the cells found so far make up the meter's voltage, no further
 * address need be asked to find out that it is silent.
 */
static bool beyond_the_end(struct device *dev, unsigned cell)
{
	struct state *s = dev->state;
	double voltage = reading_get(&dev->reading, Q_VOLTAGE_V);

	if (bit(s->known, cell))
		return false;
	if (s->known && missing_voltage(&dev->reading) <= 0.5 + 0.005 * voltage)
		s->complete = true;
	return search_is_over(s);
}

static void count_question(struct state *s, unsigned cell)
{
	if (s->asked[cell] == TRIES || ++s->asked[cell] < TRIES)
		return;
	s->silent |= UINT32_C(1) << cell; /* unless this last question is answered */
	if (!bit(s->known, cell))
		s->search_silences++;
}

static void cell_answered(struct state *s, unsigned cell)
{
	if (!bit(s->known, cell) && bit(s->silent, cell))
		s->search_silences--;
	s->known |= UINT32_C(1) << cell;
	s->silent &= ~(UINT32_C(1) << cell);
}

static unsigned count_bits(uint32_t set)
{
	unsigned n = 0;

	for (; set; set &= set - 1)
		n++;
	return n;
}

/* How many cells there are by the voltage; those that do not answer are taken for as high as the others. */
static unsigned cells_by_voltage(const struct device *dev)
{
	const struct state *s = dev->state;
	double missing = missing_voltage(&dev->reading), voltage = reading_get(&dev->reading, Q_VOLTAGE_V);
	unsigned answering = count_bits(s->known & ~s->silent);

	if (!answering || !(missing > 0) || !(voltage > missing))
		return answering;
	double cells = answering * voltage / (voltage - missing);

	return cells < MAX_CELLS ? (unsigned)lrint(cells) : MAX_CELLS;
}

/* The load may change between the meter and its cells, so that one cycle tells nothing: three have to agree. */
static void count_cells(struct device *dev)
{
	struct state *s = dev->state;
	unsigned cells = cells_by_voltage(dev);

	s->votes = cells == s->guess ? s->votes + (s->votes < TRIES) : 1;
	s->guess = (uint8_t)cells;
	if (s->votes == TRIES)
		s->chain = s->guess;
}

/* For the same reason the search may have ended too early. */
static void check_complete(struct device *dev)
{
	struct state *s = dev->state;

	s->short_cycles = !(s->known & s->silent) && lacks_a_cell(&dev->reading) ? s->short_cycles + 1 : 0;
	if (s->short_cycles < TRIES)
		return;
	s->short_cycles = 0;
	s->complete = false;
}

/* Looks back at the cycle before. */
static void begin_cycle(struct device *dev)
{
	struct state *s = dev->state;
	bool all = bit(s->known, ECS_MAX_CELLS - 1);

	s->cycle++;
	if (s->complete && !all)
		check_complete(dev);
	else if (search_is_over(s) || all)
		count_cells(dev);
}

/* ---- requests: sheet 3 ---- */

/* Parts are tried where a block was not answered twice, unless one ever was. */
static bool in_parts(const struct state *s, enum kinds kind, unsigned slot)
{
	return !s->blocks[kind] && (s->parts[kind] || s->asked[slot] >= TRIES - 1);
}

static void build(struct request *out, uint8_t address, uint16_t reg, uint16_t count)
{
	uint8_t battery = out->address;

	out->address = address;
	modbus_build_read(out, MODBUS_READ_HOLDING, reg, count);
	out->address = battery;
}

/* The parts of a cell take turns, the voltage comes twice as often. */
static void build_cell(const struct state *s, uint8_t address, unsigned cell, struct request *out)
{
	static const uint16_t parts[] = {REG_CELL, REG_CELL_TEMPERATURE, REG_CELL, REG_BALANCING};
	bool rest = s->parts[MODULES] && bit(s->known, cell);

	if (in_parts(s, MODULES, cell))
		build(out, address, parts[rest ? s->cycle % 4 : 0], 1);
	else
		build(out, address, REG_CELL, 3);
}

/* A cycle that has begun has a row for each cell there might be: where there is none, the first is asked again. */
static bool encode_cell(struct device *dev, unsigned cell, struct request *out)
{
	struct state *s = dev->state;

	if (cell >= ECS_MAX_CELLS)
		return false;
	if (beyond_the_end(dev, cell) || dev->address + 1u + cell > HIGHEST_ADDRESS)
		cell = 0;
	request_start(out, dev->protocol, dev->address, 0, READ_CELL, (uint16_t)cell);
	build_cell(s, (uint8_t)(dev->address + 1 + cell), cell, out);
	count_question(s, cell);
	return true;
}

static void encode_states(struct state *s, struct request *out)
{
	bool rest = s->parts[METER] && s->cycle % 2;

	if (in_parts(s, METER, SLOT_STATES))
		build(out, out->address, rest ? REG_STATE : READ_STATES, 2);
	else
		build(out, out->address, READ_STATES, 4);
	if (s->asked[SLOT_STATES] < TRIES)
		s->asked[SLOT_STATES]++;
}

static void encode_id(struct device *dev, struct request *out)
{
	struct state *s = dev->state;

	if (!out->arg && !s->asked[SLOT_ID])
		begin_cycle(dev);
	build(out, out->address, REG_ID, out->arg || in_parts(s, METER, SLOT_ID) ? 1 : 4);
	if (s->asked[SLOT_ID] < TRIES)
		s->asked[SLOT_ID]++;
}

/* At a known cell that is silent, each in its turn; where none is, at what the modules are. */
static bool encode_look(struct device *dev, struct request *out)
{
	struct state *s = dev->state;

	for (unsigned i = 0; i < ECS_MAX_CELLS; i++) {
		unsigned cell = s->look = (uint8_t)((s->look + 1) % ECS_MAX_CELLS);

		if (!bit(s->known & s->silent, cell))
			continue;
		s->asked[cell] = 0;
		return encode_cell(dev, cell, out);
	}
	out->code = READ_MODULE;
	build(out, (uint8_t)(dev->address + 1), REG_ID, 1);
	return true;
}

static bool ecs_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	if (dev->address < METER_ADDRESS || dev->address >= HIGHEST_ADDRESS)
		return false;
	request_start(out, dev->protocol, dev->address, 0, code, arg);
	switch (code) {
	case READ_ID:
		encode_id(dev, out);
		return true;
	case READ_STATES:
		encode_states(dev->state, out);
		return true;
	case READ_LIMITS:
	case READ_CAPACITY:
	case READ_TEMPERATURES:
	case READ_VOLTAGE:
	case READ_CURRENT:
		build(out, dev->address, code, 2);
		return true;
	case READ_CELL:
		return encode_cell(dev, arg, out);
	case READ_MODULE:
		build(out, (uint8_t)(dev->address + 1 + arg), REG_ID, 1);
		return arg < ECS_MAX_CELLS && dev->address + 1u + arg <= HIGHEST_ADDRESS;
	case LOOK:
		return encode_look(dev, out);
	default:
		return false;
	}
}

/* Requests to modules are taken as those of the battery whose meter has the usual address. */
static const struct {
	uint16_t reg, count, code;
	bool cell;
} known_requests[] = {
	{REG_ID, 4, READ_ID, false},
	{REG_ID, 1, READ_MODULE, true},
	{REG_CELL, 3, READ_CELL, true},
	{REG_CELL, 1, READ_CELL, true},
	{REG_CELL_TEMPERATURE, 1, READ_CELL, true},
	{REG_BALANCING, 1, READ_CELL, true},
	{READ_LIMITS, 2, READ_LIMITS, false},
	{READ_CAPACITY, 2, READ_CAPACITY, false},
	{READ_TEMPERATURES, 2, READ_TEMPERATURES, false},
	{READ_VOLTAGE, 2, READ_VOLTAGE, false},
	{READ_CURRENT, 2, READ_CURRENT, false},
	{READ_STATES, 4, READ_STATES, false},
	{READ_STATES, 2, READ_STATES, false},
	{REG_STATE, 2, READ_STATES, false},
};

static bool ecs_parse_request(struct bytes tx, struct request *out)
{
	unsigned address = u8_at(tx, 0), cell = address - METER_ADDRESS - 1;

	if (tx.n != 8 || !modbus_crc_fits(tx) || u8_at(tx, 1) != MODBUS_READ_HOLDING || address < METER_ADDRESS ||
	    address > HIGHEST_ADDRESS)
		return false;
	for (size_t i = 0; i < sizeof(known_requests) / sizeof(known_requests[0]); i++) {
		uint16_t code = known_requests[i].code;

		if (known_requests[i].reg != u16be_at(tx, 2) || known_requests[i].count != u16be_at(tx, 4))
			continue;
		if (code == READ_MODULE && address == METER_ADDRESS)
			request_start(out, &ecs_protocol, METER_ADDRESS, 0, READ_ID, 1);
		else if (!known_requests[i].cell)
			request_start(out, &ecs_protocol, (uint8_t)address, 0, code, 0);
		else if (cell < ECS_MAX_CELLS)
			request_start(out, &ecs_protocol, METER_ADDRESS, 0, code, (uint16_t)cell);
		else
			return false;
		/* Who asks for a module wants to know whether there is one: silence is an answer. */
		out->no_reply = out->code == READ_MODULE;
		request_put(out, tx);
		return true;
	}
	return false;
}

/* ---- the meter: sheet 5 ---- */

/* Numbers of 32 bits come low word first. */
static uint32_t long_at(struct bytes values, size_t off)
{
	return u16be_at(values, off) | (uint32_t)u16be_at(values, off + 2) << 16;
}

/* Positive is charging. */
static const struct {
	uint16_t code;
	enum quantity quantity;
} long_rows[] = {
	{READ_CAPACITY, Q_CAPACITY_FULL_AH},
	{READ_VOLTAGE, Q_VOLTAGE_V},
	{READ_CURRENT, Q_CURRENT_A},
};

static const struct number_row limit_rows[] = {{2, RAW_S16BE, 1, 0, Q_BMS_CCL_A}};

static void take_thousandths(struct device *dev, uint16_t code, struct bytes values)
{
	for (size_t i = 0; i < sizeof(long_rows) / sizeof(long_rows[0]); i++)
		if (long_rows[i].code == code)
			reading_set(&dev->reading, long_rows[i].quantity, (int32_t)long_at(values, 0) / 1000.0);
	if (!(reading_get(&dev->reading, Q_CAPACITY_FULL_AH) > 0))
		reading_forget(&dev->reading, Q_CAPACITY_FULL_AH);
}

/* The one for discharging comes with either sign. */
static void take_limits(struct device *dev, struct bytes values)
{
	table_numbers(ROWS(limit_rows), values, &dev->reading);
	reading_set(&dev->reading, Q_BMS_DCL_A, fabs(raw_at(values, 0, RAW_S16BE)));
}

static void take_temperatures(struct device *dev, struct bytes values)
{
	series_start(&dev->reading.temperatures, 2);
	for (unsigned i = 0; i < 2; i++)
		series_set(&dev->reading.temperatures, i, raw_at(values, 2 * i, RAW_S16BE) / 100);
}

static enum verdict take_id(struct device *dev, struct bytes values, const char **why)
{
	static const char *const models[] = {"GreenMeter 500A", "GreenMeter 250A", "GreenMeter 125A"};
	unsigned model = u16be_at(values, 0) - 500u;
	struct state *s = dev->state;

	if (model >= sizeof(models) / sizeof(models[0])) {
		*why = "a Modbus device, but no GreenMeter";
		return FRAME_REFUSED;
	}
	s->meter = true;
	reading_set_text(&dev->reading, T_MODEL, models[model]);
	if (values.n >= 8) /* number or date */
		settings_set_number(&dev->settings, "production", long_at(values, 4));
	return FRAME_ANSWER;
}

/* Some meters fill the high word with ones instead of zeros. */
static bool take_soc(struct device *dev, struct bytes values, const char **why)
{
	uint32_t raw = long_at(values, 0);
	double soc = (raw >> 16 == 0xffff ? raw & 0xffff : raw) / 1000.0;

	if (soc > 105) {
		*why = "SoC above 100 %";
		return false;
	}
	reading_set(&dev->reading, Q_SOC_PCT, fmin(soc, 100));
	return true;
}

/* ---- what may flow, and alarms: sheet 6. By the code of the state ---- */

enum { STATE_CODES = 7 };

struct state_alarm {
	enum alarm_level level;
	enum alarm alarm;
};

static const struct state_alarm over_voltage[STATE_CODES] = {
	{ALARM_OK, ALARM_COUNT},
	{ALARM_RAISED, ALARM_HIGH_VOLTAGE},
	{ALARM_WARNING, ALARM_HIGH_CHARGE_CURRENT},
	{ALARM_WARNING, ALARM_HIGH_CHARGE_TEMPERATURE},
	{ALARM_WARNING, ALARM_HIGH_CHARGE_TEMPERATURE},
	{ALARM_WARNING, ALARM_LOW_CHARGE_TEMPERATURE},
	{ALARM_WARNING, ALARM_LOW_CHARGE_TEMPERATURE},
};

static const struct state_alarm under_voltage[STATE_CODES] = {
	{ALARM_OK, ALARM_COUNT},
	{ALARM_RAISED, ALARM_LOW_VOLTAGE},
	{ALARM_WARNING, ALARM_HIGH_DISCHARGE_CURRENT},
	{ALARM_WARNING, ALARM_HIGH_TEMPERATURE},
	{ALARM_WARNING, ALARM_HIGH_TEMPERATURE},
	{ALARM_WARNING, ALARM_LOW_TEMPERATURE},
	{ALARM_WARNING, ALARM_LOW_TEMPERATURE},
};

static void take_state(struct device *dev, uint16_t code, const struct state_alarm *alarms, enum flag allowed,
		       const char *detail)
{
	reading_set_flag(&dev->reading, allowed, code == 0);
	reading_set_detail(&dev->reading, detail, (int16_t)code);
	if (code && code < STATE_CODES)
		alarm_raise(&dev->reading.alarms, alarms[code].alarm, alarms[code].level);
	else if (code)
		alarm_raise_own(&dev->reading.alarms, "unknown_state", ALARM_WARNING);
}

/* Of cells that do not answer nothing is known but that they are there; it is a fault (sheet 6). */
static void note_lost_cells(struct device *dev)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;
	unsigned lost = 0, first = 0;

	if (s->chain > r->cell_V.count)
		series_set(&r->cell_V, s->chain - 1u, NAN);
	if (r->cell_V.count)
		reading_set(r, Q_CELL_COUNT, r->cell_V.count);
	for (unsigned i = r->cell_V.count < ECS_MAX_CELLS ? r->cell_V.count : ECS_MAX_CELLS; i-- > 0;) {
		if (!bit(s->silent, i))
			continue;
		series_set(&r->cell_V, i, NAN);
		r->balancing &= ~(UINT64_C(1) << i);
		lost++;
		first = i;
	}
	if (lost)
		alarm_raise(&r->alarms, ALARM_INTERNAL_FAILURE, ALARM_WARNING);
	reading_set_detail(r, "silent_cells", lost ? lost : NAN);
	reading_set_detail(r, "first_silent_cell", lost ? first + 1 : NAN);
}

static enum verdict take_states(struct device *dev, uint16_t reg, struct bytes values, const char **why)
{
	if (reg == READ_STATES && !take_soc(dev, values, why))
		return FRAME_BAD;
	struct bytes states = bytes_sub(values, reg == READ_STATES ? 4 : 0, 4);

	if (!states.n)
		return FRAME_ANSWER;
	alarms_clear(&dev->reading.alarms);
	take_state(dev, u16be_at(states, 0), over_voltage, F_CHARGE_ALLOWED, "over_voltage_state");
	take_state(dev, u16be_at(states, 2), under_voltage, F_DISCHARGE_ALLOWED, "under_voltage_state");
	note_lost_cells(dev);
	return FRAME_ANSWER;
}

/* ---- the cells ---- */

/* clang-format off */
#define CELLS(X) \
	X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) \
	X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24)
/* clang-format on */

#define TEMPERATURE_NAME(no) "cell_" #no "_temp_C",
static const char *const temperature_names[ECS_MAX_CELLS] = {CELLS(TEMPERATURE_NAME)};

static enum verdict take_cell(struct device *dev, unsigned cell, uint16_t reg, struct bytes values, const char **why)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;
	uint16_t mV = u16be_at(values, 0);
	struct bytes temperature = bytes_sub(values, reg == REG_CELL ? 2 : 0, reg == REG_BALANCING ? 0 : 2);
	struct bytes balancing = bytes_sub(values, reg == REG_CELL ? 4 : 0, reg == REG_CELL_TEMPERATURE ? 0 : 2);

	if (reg == REG_CELL && mV > 6000) {
		*why = "a cell voltage above 6 V";
		return FRAME_BAD;
	}
	if (reg == REG_CELL)
		series_set(&r->cell_V, cell, mV / 1000.0);
	if (temperature.n)
		reading_set_detail(r, temperature_names[cell], raw_at(temperature, 0, RAW_S16BE) / 100);
	if (balancing.n) {
		r->balancing &= ~(UINT64_C(1) << cell);
		r->balancing |= (uint64_t)(u16be_at(balancing, 0) > BALANCING_PCT) << cell;
		r->balancing_known = true;
	}
	cell_answered(s, cell);
	if (r->cell_V.count)
		reading_set(r, Q_CELL_COUNT, r->cell_V.count);
	return FRAME_ANSWER;
}

static enum verdict take_module(struct device *dev, struct bytes values, const char **why)
{
	static const char *const models[] = {"LiPro1-x", "LiPro1-x active", "LiPro1-x v2", "LiPro1-x active v2",
					     "LiPro1-x v3"};
	unsigned model = u16be_at(values, 0) - 100u;

	if (model >= sizeof(models) / sizeof(models[0])) {
		*why = "a Modbus device, but no LiPro module";
		return FRAME_BAD;
	}
	settings_set_text(&dev->settings, "cell_modules", models[model]);
	return FRAME_ANSWER;
}

/* ---- replies ---- */

/* Which count of unanswered questions a request belongs to; SLOTS: none. */
static unsigned slot_of(const struct request *pending)
{
	return pending->code == READ_CELL     ? pending->arg
	       : pending->code == READ_ID     ? SLOT_ID
	       : pending->code == READ_STATES ? SLOT_STATES
					      : SLOTS;
}

/* Registers of the block that is asked first. */
static uint16_t block_count(uint16_t code)
{
	return code == READ_CELL ? 3 : 4;
}

static void note_answered(struct state *s, const struct request *pending, uint16_t count)
{
	unsigned slot = slot_of(pending);
	enum kinds kind = pending->code == READ_CELL ? MODULES : METER;

	if (slot == SLOTS)
		return;
	if (count == block_count(pending->code))
		s->blocks[kind] = true;
	else if (s->asked[slot] >= TRIES)
		s->parts[kind] = true;
	s->asked[slot] = 0;
}

/* A block that is refused is asked for in parts: the exchange goes on as if nothing had come. */
static enum verdict take_refusal(struct state *s, const struct request *pending, uint16_t count)
{
	unsigned slot = slot_of(pending);

	if (slot < SLOTS && count == block_count(pending->code)) {
		s->asked[slot] = TRIES - 1;
		return FRAME_BAD;
	}
	return pending->code == READ_CELL || pending->code == READ_MODULE ? FRAME_BAD : FRAME_REFUSED;
}

static enum verdict take_values(struct device *dev, const struct request *pending, uint16_t reg, struct bytes values,
				const char **why)
{
	switch (pending->code) {
	case READ_ID:
		return take_id(dev, values, why);
	case READ_STATES:
		return take_states(dev, reg, values, why);
	case READ_CELL:
		return take_cell(dev, pending->arg, reg, values, why);
	case READ_MODULE:
		return take_module(dev, values, why);
	case READ_LIMITS:
		take_limits(dev, values);
		break;
	case READ_TEMPERATURES:
		take_temperatures(dev, values);
		break;
	default:
		take_thousandths(dev, pending->code, values);
		break;
	}
	return FRAME_ANSWER;
}

static enum verdict ecs_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct bytes request = {pending->tx, pending->n}, values = {NULL, 0};
	uint16_t reg = u16be_at(request, 2), count = u16be_at(request, 4);
	enum verdict verdict = modbus_judge(request, frame, &values, why);

	if (verdict == FRAME_REFUSED)
		return take_refusal(dev->state, pending, count);
	if (verdict != FRAME_ANSWER)
		return verdict;
	if (values.n != modbus_read_bytes(request)) {
		*why = "not as many bytes as were asked for";
		return FRAME_BAD;
	}
	verdict = take_values(dev, pending, reg, values, why);
	if (verdict != FRAME_ANSWER)
		return verdict;
	note_answered(dev->state, pending, count);
	if (pending->code != READ_CELL && pending->code != READ_MODULE)
		reading_set(&dev->reading, Q_ADDRESS, pending->address);
	return FRAME_ANSWER;
}

/* ---- is it one? sheet 4 ---- */

static bool ecs_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;
	const struct state *s = dev->state;

	if (!s->meter)
		*why = "it is no GreenMeter";
	else if (!(reading_get(r, Q_VOLTAGE_V) >= 2))
		*why = "pack voltage below 2 V";
	else if (!reading_knows(r, Q_SOC_PCT))
		*why = "it tells no SoC";
	else
		return reading_plausible(r, why);
	return false;
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{19200, 8, 'E', 1}, {0}};
static const char *const bms_types[] = {"Ecs", NULL};

#define WANTS_CELL(no)                                                                                                 \
	static bool wants_cell_##no(const struct device *dev)                                                          \
	{                                                                                                              \
		return wants_cell(dev, (no)-1);                                                                        \
	}
CELLS(WANTS_CELL)

static bool has_to_look(const struct device *dev)
{
	const struct state *s = dev->state;

	return (s->known & s->silent) || (s->known && !settings_find(&dev->settings, "cell_modules"));
}

#define CELL_ROW(no) {READ_CELL, (no)-1, EVERY_POLL, true, wants_cell_##no},

/* The meter's voltage comes before the cells: by it their end is found. */
/* clang-format off */
static const struct poll polls[] = {
	{READ_ID, 0, EVERY_POLL, true, NULL},
	{READ_VOLTAGE, 0, EVERY_POLL, true, NULL},
	{READ_CURRENT, 0, EVERY_POLL, true, NULL},
	{READ_STATES, 0, EVERY_POLL, true, NULL},
	{READ_LIMITS, 0, EVERY_POLL, true, NULL},
	{READ_TEMPERATURES, 0, EVERY_POLL, true, NULL},
	{READ_CAPACITY, 0, 60000, true, NULL},
	{LOOK, 0, 60000, false, has_to_look},
	CELLS(CELL_ROW)
};
/* clang-format on */

static const struct probe probes[] = {
	{READ_ID, 1, METER_ADDRESS, LAST_ADDRESS, 0, 0, 60, false},
};

#define Q(id) (UINT64_C(1) << Q_##id)
#define F(id) (1u << F_##id)
#define A(id) (1u << ALARM_##id)

const struct protocol ecs_protocol = {
	.id = "ecs",
	.title = "ECS GreenMeter with LiPro cell modules",
	.manufacturer = "ECS",
	.bms_types = bms_types,
	.untested = true,
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 200,
		   .gap_ms = 40,
		   .pause_ms = 10,
		   .late_ms = 150,
		   .scan_ms = 100,
		   .tries = TRIES,
		   .poll_ms = 500},
	.quantities = Q(ADDRESS) | Q(VOLTAGE_V) | Q(CURRENT_A) | Q(SOC_PCT) | Q(CAPACITY_FULL_AH) | Q(CELL_COUNT) |
		      Q(BMS_CCL_A) | Q(BMS_DCL_A),
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING,
	.flags = F(CHARGE_ALLOWED) | F(DISCHARGE_ALLOWED),
	.alarms = A(HIGH_VOLTAGE) | A(LOW_VOLTAGE) | A(HIGH_CHARGE_CURRENT) | A(HIGH_DISCHARGE_CURRENT) |
		  A(HIGH_CHARGE_TEMPERATURE) | A(LOW_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) | A(LOW_TEMPERATURE) |
		  A(INTERNAL_FAILURE),
	.first_address = METER_ADDRESS,
	.last_address = LAST_ADDRESS,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {READ_VOLTAGE, READ_STATES},
	.confirm_count = 2,
	.encode = ecs_encode,
	.find_frame = modbus_find_reply,
	.take = ecs_take,
	.plausible = ecs_plausible,
	.parse_request = ecs_parse_request,
};
