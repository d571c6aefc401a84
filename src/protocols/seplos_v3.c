/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Seplos BMS 3.0 (XZH-ElecTech) on RS485: Modbus RTU with functions 01 and 04, sheet seplos-v3. A single pack has
 * address 0 and is asked; in a bank pack 1 is the bus master, and is only listened to. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/modbus_rtu.h"
#include "protocols/procedure.h"
#include "protocols/table.h"

extern const struct protocol seplos_v3_protocol;

/* A pack at address 0 is alone on its cable. */
enum dialect { SINGLE, BANK };

/* A read's code is the register or coil where it starts, its arg how many (0: the whole block). */
enum blocks {
	PIA = 0x1000, /* pack */
	PIB = 0x1100, /* cells and temperatures */
	PIC = 0x1200, /* alarms, states, balancing; coils */
	SPA = 0x1300, /* parameters */
	SFA = 0x1400, /* which functions are enabled; coils */
	SCA = 0x1500, /* clock */
	VIA = 0x1700, /* who it is */
	PCT = 0x1800, /* the inverter's protocol */
	EIA = 0x2000, /* the bank, and of a single pack what PIA lacks */
	EIB = 0x2100,
	EIC = 0x2200,
};

/* A write's code; its arg is the value, of the coils whether balancing is on. */
#define WRITE 0x8000

enum registers {
	REG_DISCHARGE_OFF = 0x1510,
	REG_CHARGE_OFF = 0x1511,
	REG_CHARGE_ON = 0x1515,
	REG_REMAINING = 0x135a,
};
enum { FORCE_OFF = 0x55aa, FORCE_ON = 0xaa55, RELEASE = 0x0000 };

enum {
	FIRST_PACK = 1,
	LAST_PACK = 16,
	LAST_BMS = 0x7f,
	ADDRESS_ECU = 0xc0,
	ADDRESS_DISPLAY = 0xe0, /* serves the parameters on Bluetooth */
	V3_CELLS = 16,
	V3_SENSORS = 4,
	ABSENT = 2731, /* 0.0 degC: a sensor that is not there */
	PIA_BYTES_MIN = 32,
	PIA_SHORT = 0x11, /* registers that part of the firmware has */
	SFA_BYTES = 10,
	SFA_BALANCE_BYTE = 7,
};

static const struct block {
	uint16_t start;
	uint8_t function;
	uint8_t count; /* registers or coils */
} blocks[] = {
	{PIA, MODBUS_READ_INPUT, 0x12}, {PIB, MODBUS_READ_INPUT, 0x1a}, {PIC, MODBUS_READ_COILS, 0x90},
	{SPA, MODBUS_READ_INPUT, 0x6a}, {SFA, MODBUS_READ_COILS, 0x50}, {SCA, MODBUS_READ_INPUT, 4},
	{VIA, MODBUS_READ_INPUT, 0x33}, {PCT, MODBUS_READ_INPUT, 0x24}, {EIA, MODBUS_READ_INPUT, 0x1a},
	{EIB, MODBUS_READ_INPUT, 0x16}, {EIC, MODBUS_READ_COILS, 0x50},
};

enum { BLOCKS = sizeof(blocks) / sizeof(blocks[0]) };

struct state {
	uint8_t pia_count;	  /* registers that this firmware has; 0: not known yet */
	bool pack_told;		  /* PIA has come: the bank's numbers are the coarser ones */
	uint16_t highest, lowest; /* of PIA, in mV */
	uint8_t cells, sensors;	  /* of the parameters; 0: not told */
	bool sfa_told;
	uint8_t sfa[SFA_BYTES];
};

/* The block in which a read starts; NULL: none. Only of the parameters a part is read. */
static const struct block *block_of(uint8_t function, uint16_t start)
{
	for (const struct block *b = blocks; b < blocks + BLOCKS; b++)
		if (b->function == function &&
		    (start == b->start || (b->start == SPA && start > SPA && start < SPA + b->count)))
			return b;
	return NULL;
}

static const struct block *block_at(uint16_t start)
{
	const struct block *b = block_of(MODBUS_READ_INPUT, start);

	return b ? b : block_of(MODBUS_READ_COILS, start);
}

/* ---- requests ---- */

static bool is_write(uint16_t reg)
{
	return reg == REG_DISCHARGE_OFF || reg == REG_CHARGE_OFF || reg == REG_CHARGE_ON || reg == REG_REMAINING;
}

/* All coils are written, as they were read but for one: balancing. */
static bool encode_functions(const struct device *dev, bool balance, struct request *out)
{
	const struct state *s = dev->state;
	uint8_t bits[SFA_BYTES];

	if (!s->sfa_told)
		return false;
	memcpy(bits, s->sfa, sizeof(bits));
	bits[SFA_BALANCE_BYTE] = (uint8_t)((bits[SFA_BALANCE_BYTE] & ~1u) | balance);
	modbus_build_write_coils(out, SFA, 8 * SFA_BYTES, (struct bytes){bits, sizeof(bits)});
	return true;
}

static uint16_t count_of(const struct device *dev, const struct block *b, uint16_t code, uint16_t arg)
{
	const struct state *s = dev->state;

	if (arg)
		return arg;
	if (code == PIA && s->pia_count)
		return s->pia_count;
	return (uint16_t)(b->count - (code - b->start));
}

static bool seplos_v3_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	const struct block *b = block_at(code);
	uint8_t value[2];

	request_start(out, dev->protocol, dev->address, dev->dialect, code, arg);
	if (b) {
		modbus_build_read(out, b->function, code, count_of(dev, b, code, arg));
		return true;
	}
	if (code == (WRITE | SFA))
		return encode_functions(dev, arg, out);
	if (!(code & WRITE) || !is_write(code & ~WRITE))
		return false;
	put_u16be(value, arg);
	modbus_build_write_block(out, code & ~WRITE, (struct bytes){value, sizeof(value)});
	return true;
}

static bool is_address(uint8_t address)
{
	return address <= LAST_BMS || address == ADDRESS_ECU || address == ADDRESS_DISPLAY;
}

/* Code and arg of a request that is ours. */
static bool recognise(struct bytes tx, uint16_t *code, uint16_t *arg)
{
	uint8_t function = u8_at(tx, 1);
	uint16_t start = u16be_at(tx, 2), count = u16be_at(tx, 4);
	const struct block *b = block_of(function, start);

	*code = start;
	if (b) {
		bool usual = start == b->start && (count == b->count || (start == PIA && count == PIA_SHORT));

		*arg = usual ? 0 : count; /* 0: as polls ask */
		return true;
	}
	*code = WRITE | start;
	*arg = u16be_at(tx, 7);
	if (function == MODBUS_WRITE_REGISTERS && is_write(start) && count == 1)
		return true;
	*arg = u8_at(tx, 7 + SFA_BALANCE_BYTE) & 1;
	return function == MODBUS_WRITE_COILS && start == SFA && count == 8 * SFA_BYTES;
}

static bool seplos_v3_parse_request(struct bytes tx, struct request *out)
{
	uint8_t address = u8_at(tx, 0);
	uint16_t code, arg;

	if (tx.n != (size_t)modbus_request_length(tx) || !modbus_crc_fits(tx) || !is_address(address) ||
	    !recognise(tx, &code, &arg))
		return false;
	request_start(out, &seplos_v3_protocol, address, address ? BANK : SINGLE, code, arg);
	out->writes = code & WRITE;
	request_put(out, tx);
	return true;
}

/* ---- framing: a bus on which others speak, sheet 9 ---- */

/* The blocks that a master asks packs for. */
static bool is_polled(uint16_t start)
{
	return start == PIA || start == PIB || start == PIC;
}

static bool is_pack(uint8_t address)
{
	return address >= FIRST_PACK && address <= LAST_PACK;
}

/* Whole request of a master? */
static bool is_master_request(struct bytes b)
{
	const struct block *block = block_of(u8_at(b, 1), u16be_at(b, 2));
	uint16_t count = u16be_at(b, 4);

	return b.n == 8 && block && is_polled(block->start) && is_pack(u8_at(b, 0)) && modbus_crc_fits(b) &&
	       (count == block->count || (block->start == PIA && count == PIA_SHORT));
}

/* A reply does not say of which block it is; function and length do. 0: of none that packs are polled for. */
static uint16_t block_of_reply(uint8_t function, uint8_t bytes)
{
	if (function == MODBUS_READ_COILS)
		return bytes == 0x12 ? PIC : 0;
	if (function != MODBUS_READ_INPUT)
		return 0;
	return bytes == 0x34 ? PIB : bytes == 0x24 || bytes == 2 * PIA_SHORT ? PIA : 0;
}

/* Request or reply, whichever fits. The third byte of a request is the high byte of its start. */
static int find_overheard(struct bytes in, bool quiet, const char **why)
{
	uint8_t function = u8_at(in, 1), third = u8_at(in, 2);
	bool may_be_request =
		function == MODBUS_READ_COILS ? third == PIC >> 8 : third == PIA >> 8 || third == PIB >> 8;
	bool may_be_reply = block_of_reply(function, third);
	size_t n = 5u + third;

	if (!is_pack(u8_at(in, 0)) || (in.n > 1 && function != MODBUS_READ_COILS && function != MODBUS_READ_INPUT) ||
	    (in.n > 2 && !may_be_request && !may_be_reply))
		return -1;
	if (is_master_request(bytes_sub(in, 0, 8)))
		return 8;
	if (in.n < 3 || (may_be_request && in.n < 8) || (may_be_reply && in.n < n))
		return quiet ? -1 : 0;
	if (may_be_reply && modbus_crc_fits(bytes_sub(in, 0, n)))
		return (int)n;
	*why = "checksum";
	return -1;
}

static int seplos_v3_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	return pending ? modbus_find_reply(pending, in, quiet, why) : find_overheard(in, quiet, why);
}

/* ---- PIA and PIB: sheet 5 ---- */

#define AT(block, reg) (2 * ((reg) - (block)))
#define KELVIN	       10, -ABSENT

static const struct number_row pia_numbers[] = {
	{AT(PIA, 0x1000), RAW_U16BE, 100, 0, Q_VOLTAGE_V},
	{AT(PIA, 0x1001), RAW_S16BE, 100, 0, Q_CURRENT_A},
	{AT(PIA, 0x1002), RAW_U16BE, 100, 0, Q_CAPACITY_REMAINING_AH},
	{AT(PIA, 0x1003), RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
	{AT(PIA, 0x1004), RAW_U16BE, 0.1, 0, Q_TOTAL_DISCHARGE_AH},
	{AT(PIA, 0x1005), RAW_U16BE, 10, 0, Q_SOC_PCT},
	{AT(PIA, 0x1006), RAW_U16BE, 10, 0, Q_SOH_PCT},
	{AT(PIA, 0x1007), RAW_U16BE, 1, 0, Q_CYCLES},
	{AT(PIA, 0x100f), RAW_U16BE, 1, 0, Q_BMS_DCL_A},
	{AT(PIA, 0x1010), RAW_U16BE, 1, 0, Q_BMS_CCL_A},
};

static const struct detail_row pia_details[] = {
	{AT(PIA, 0x1008), RAW_U16BE, 1000, 0, "cell_average_V"},
	{AT(PIA, 0x1009), RAW_U16BE, KELVIN, "temp_average_C"},
	{AT(PIA, 0x1011), RAW_U16BE, 1, 0, "register_1011"}, /* not documented */
};

/* A true 0.0 degC can't be told from a sensor that is not there, unless the parameters have said how many are. */
static double cell_temperature(const struct device *dev, uint16_t raw, unsigned sensor)
{
	const struct state *s = dev->state;

	return raw == ABSENT && sensor >= s->sensors ? NAN : (raw - ABSENT) / 10.0;
}

/* Highest and lowest stand in for PIB, which tells each one, until it has come. */
static void take_extremes(struct device *dev, struct bytes values)
{
	struct reading *r = &dev->reading;
	struct state *s = dev->state;

	s->highest = u16be_at(values, AT(PIA, 0x100a));
	s->lowest = u16be_at(values, AT(PIA, 0x100b));
	if (!r->cell_V.count) {
		reading_set(r, Q_CELL_MAX_V, s->highest / 1000.0);
		reading_set(r, Q_CELL_MIN_V, s->lowest / 1000.0);
	}
	if (!r->temperatures.count) {
		reading_set(r, Q_TEMP_MAX_C, cell_temperature(dev, u16be_at(values, AT(PIA, 0x100c)), 0));
		reading_set(r, Q_TEMP_MIN_C, cell_temperature(dev, u16be_at(values, AT(PIA, 0x100d)), 0));
	}
}

static bool take_pia(struct device *dev, const struct request *pending, struct bytes values, const char **why)
{
	struct state *s = dev->state;

	if (u16be_at(values, AT(PIA, 0x1005)) > 1000) {
		*why = "SoC above 100 %";
		return false;
	}
	table_numbers(ROWS(pia_numbers), values, &dev->reading);
	table_details(ROWS(pia_details), values, &dev->reading);
	take_extremes(dev, values);
	s->pack_told = true;
	if (u16be_at((struct bytes){pending->tx, pending->n}, 4) == PIA_SHORT)
		s->pia_count = PIA_SHORT;
	return true;
}

/* Of what PIB tells one by one, no summary of another moment is kept. */
static void forget_extremes(struct reading *r)
{
	if (r->cell_V.count) {
		reading_forget(r, Q_CELL_MAX_V);
		reading_forget(r, Q_CELL_MIN_V);
	}
	if (r->temperatures.count) {
		reading_forget(r, Q_TEMP_MAX_C);
		reading_forget(r, Q_TEMP_MIN_C);
	}
}

/* Cells that are there: as many as the parameters say, else without the zeros at the end. */
static unsigned cells_of(const struct device *dev, struct bytes values)
{
	const struct state *s = dev->state;
	unsigned n = V3_CELLS;

	while (n && !u16be_at(values, 2 * (n - 1)))
		n--;
	return s->cells ? s->cells : n;
}

static bool take_pib(struct device *dev, struct bytes values, const char **why)
{
	struct reading *r = &dev->reading;
	unsigned cells = cells_of(dev, values);
	uint16_t ambient = u16be_at(values, AT(PIB, 0x1118)), mos = u16be_at(values, AT(PIB, 0x1119));

	for (unsigned i = 0; i < V3_CELLS; i++) {
		if (u16be_at(values, 2 * i) <= 5000)
			continue;
		*why = "a cell above 5 V";
		return false;
	}
	series_start(&r->cell_V, cells);
	for (unsigned i = 0; i < cells; i++)
		series_set(&r->cell_V, i, u16be_at(values, 2 * i) / 1000.0);
	reading_set(r, Q_CELL_COUNT, cells ? cells : NAN);
	series_start(&r->temperatures, 0);
	for (unsigned i = 0; i < V3_SENSORS; i++) {
		double v = cell_temperature(dev, u16be_at(values, AT(PIB, 0x1110) + 2 * i), i);

		if (!isnan(v))
			series_set(&r->temperatures, i, v);
	}
	forget_extremes(r);
	reading_set(r, Q_TEMP_AMBIENT_C, ambient == ABSENT ? NAN : (ambient - ABSENT) / 10.0);
	reading_set(r, Q_TEMP_MOS_C, mos == ABSENT ? NAN : (mos - ABSENT) / 10.0);
	return true;
}

/* ---- states and alarms, of a pack (PIC bytes 8..17) and of the bank (EIC): sheet 5 and 6 ---- */

enum table_byte { TB09, TB02, TB03, TB04, TB05, TB16, TB06, TB07, TB08, TB15 };

#define BIT(table, bit) (8 * (table) + (bit))

/* TB09 is the lowest byte and holds no alarm; TB15, the last, follows TB06 in the place of TB07. */
#define FAULT(bit) BIT(TB07, bit)

static const struct alarm_row alarm_rows[] = {
	{BIT(TB02, 0), ALARM_WARNING, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{BIT(TB02, 1), ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{BIT(TB02, 2), ALARM_WARNING, ALARM_LOW_CELL_VOLTAGE, NULL},
	{BIT(TB02, 3), ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{BIT(TB02, 4), ALARM_WARNING, ALARM_HIGH_VOLTAGE, NULL},
	{BIT(TB02, 5), ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{BIT(TB02, 6), ALARM_WARNING, ALARM_LOW_VOLTAGE, NULL},
	{BIT(TB02, 7), ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{BIT(TB03, 0), ALARM_WARNING, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{BIT(TB03, 1), ALARM_RAISED, ALARM_HIGH_CHARGE_TEMPERATURE, NULL},
	{BIT(TB03, 2), ALARM_WARNING, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{BIT(TB03, 3), ALARM_RAISED, ALARM_LOW_CHARGE_TEMPERATURE, NULL},
	{BIT(TB03, 4), ALARM_WARNING, ALARM_HIGH_TEMPERATURE, NULL},
	{BIT(TB03, 5), ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{BIT(TB03, 6), ALARM_WARNING, ALARM_LOW_TEMPERATURE, NULL},
	{BIT(TB03, 7), ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{BIT(TB04, 0), ALARM_WARNING, ALARM_COUNT, "high_ambient_temperature"},
	{BIT(TB04, 1), ALARM_RAISED, ALARM_COUNT, "high_ambient_temperature"},
	{BIT(TB04, 2), ALARM_WARNING, ALARM_COUNT, "low_ambient_temperature"},
	{BIT(TB04, 3), ALARM_RAISED, ALARM_COUNT, "low_ambient_temperature"},
	{BIT(TB04, 4), ALARM_WARNING, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{BIT(TB04, 5), ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{BIT(TB05, 0), ALARM_WARNING, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{BIT(TB05, 1), ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{BIT(TB05, 2), ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{BIT(TB05, 3), ALARM_WARNING, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{BIT(TB05, 4), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{BIT(TB05, 5), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{BIT(TB05, 6), ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{BIT(TB05, 6), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{BIT(TB16, 0), ALARM_RAISED, ALARM_SHORT_CIRCUIT, NULL},
	{BIT(TB16, 0), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{BIT(TB16, 2), ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{BIT(TB16, 3), ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{BIT(TB06, 2), ALARM_WARNING, ALARM_LOW_SOC, NULL},
	{BIT(TB06, 3), ALARM_RAISED, ALARM_LOW_SOC, NULL},
	{BIT(TB06, 4), ALARM_WARNING, ALARM_CELL_IMBALANCE, NULL},
	{FAULT(0), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "ntc_fault"},
	{FAULT(1), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "afe_fault"},
	{FAULT(2), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "charge_mos_fault"},
	{FAULT(3), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "discharge_mos_fault"},
	{FAULT(4), ALARM_RAISED, ALARM_CELL_IMBALANCE, NULL},
	{FAULT(5), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "wire_break"},
	{FAULT(6), ALARM_RAISED, ALARM_INTERNAL_FAILURE, "key_fault"},
	{FAULT(7), ALARM_RAISED, ALARM_COUNT, "aerosol"},
};

static const struct alarm_row battery_state_rows[] = {
	{0, ALARM_WARNING, ALARM_LOW_SOC, NULL},
	{5, ALARM_RAISED, ALARM_LOW_SOC, NULL},
};

static const struct state_bit {
	uint8_t byte, bit;
	const char *name;
} state_bits[] = {
	{TB09, 0, "state_discharging"},
	{TB09, 1, "state_charging"},
	{TB09, 2, "state_float"},
	{TB09, 3, "state_full"},
	{TB09, 4, "state_standby"},
	{TB09, 5, "state_off"},
	{TB04, 6, "heating"},
	{TB07, 2, "current_limiter_on"},
	{TB08, 1, "intermittent_charge"},
	{TB08, 2, "external_switch"},
	{TB08, 3, "standby_and_sleep"},
	{TB08, 4, "recording_history"},
	{TB08, 6, "active_current_limit"},
	{TB08, 7, "passive_current_limit"},
};

static void take_states(struct device *dev, struct bytes tables)
{
	struct reading *r = &dev->reading;
	uint8_t fet = u8_at(tables, TB07);
	uint64_t word = (uint64_t)u8_at(tables, TB15) << FAULT(0);

	for (unsigned i = TB02; i <= TB06; i++)
		word |= (uint64_t)u8_at(tables, i) << BIT(i, 0);
	alarms_clear(&r->alarms);
	table_alarms(ROWS(alarm_rows), word, &r->alarms);
	table_alarms(ROWS(battery_state_rows), u8_at(tables, TB08), &r->alarms);
	for (const struct state_bit *s = state_bits; s < state_bits + sizeof(state_bits) / sizeof(state_bits[0]); s++)
		reading_set_detail(r, s->name, u8_at(tables, s->byte) >> s->bit & 1);
	reading_set_flag(r, F_DISCHARGE_MOS, fet & 1);
	reading_set_flag(r, F_DISCHARGE_ALLOWED, fet & 1);
	reading_set_flag(r, F_CHARGE_MOS, fet & 2);
	reading_set_flag(r, F_CHARGE_ALLOWED, fet & 2);
	reading_set_flag(r, F_HEATER_ON, fet & 8);
}

/* Bit masks, cell 1 or sensor 1 lowest: which one it is that an alarm is about. */
static const struct detail_row pic_details[] = {
	{0, RAW_U16LE, 1, 0, "low_voltage_cells"},
	{2, RAW_U16LE, 1, 0, "high_voltage_cells"},
	{4, RAW_U8, 1, 0, "low_temperature_sensors"},
	{5, RAW_U8, 1, 0, "high_temperature_sensors"},
};

static void take_pic(struct device *dev, struct bytes values)
{
	struct reading *r = &dev->reading;

	if (!reading_knows(r, Q_CELL_COUNT)) /* so many have their bit */
		reading_set(r, Q_CELL_COUNT, V3_CELLS);
	table_details(ROWS(pic_details), values, r);
	r->balancing = u16le_at(values, 6) & ((UINT32_C(1) << (unsigned)reading_get(r, Q_CELL_COUNT)) - 1);
	r->balancing_known = true;
	reading_set_flag(r, F_BALANCING_ACTIVE, r->balancing != 0);
	take_states(dev, bytes_sub(values, 8, 10));
}

/* ---- the bank: EIA and EIB ---- */

enum { EIA_PAIRS = 10 }; /* 32-bit numbers at the start, low word first */

static const struct number_row eia_numbers[] = {
	{AT(EIA, 0x2000), RAW_U32BE, 100, 0, Q_VOLTAGE_V},
	{AT(EIA, 0x2002), RAW_S32BE, 10, 0, Q_CURRENT_A},
	{AT(EIA, 0x2004), RAW_U32BE, 100, 0, Q_CAPACITY_REMAINING_AH},
	{AT(EIA, 0x2006), RAW_U32BE, 100, 0, Q_CAPACITY_FULL_AH},
	{AT(EIA, 0x2008), RAW_U32BE, 0.1, 0, Q_TOTAL_DISCHARGE_AH},
	{AT(EIA, 0x2010), RAW_U32BE, 10, 0, Q_BMS_DCL_A},
	{AT(EIA, 0x2012), RAW_U32BE, 10, 0, Q_BMS_CCL_A},
	{AT(EIA, 0x2017), RAW_U16BE, 1, 0, Q_CYCLES},
	{AT(EIA, 0x2018), RAW_U16BE, 10, 0, Q_SOC_PCT},
	{AT(EIA, 0x2019), RAW_U16BE, 10, 0, Q_SOH_PCT},
};

/* What PIA lacks. */
static const struct number_row eia_own_numbers[] = {
	{AT(EIA, 0x200a), RAW_U32BE, 100, 0, Q_CAPACITY_DESIGN_AH},
	{AT(EIA, 0x2014), RAW_U16BE, 10, 0, Q_BMS_CVL_V},
	{AT(EIA, 0x2015), RAW_U16BE, 10, 0, Q_BMS_DVL_V},
	{AT(EIA, 0x2016), RAW_U16BE, 1, 0, Q_PACK_COUNT},
};

static const struct detail_row eia_details[] = {
	{AT(EIA, 0x200c), RAW_U32BE, 1, 0, "packs_online"}, /* bit masks */
	{AT(EIA, 0x200e), RAW_U32BE, 1, 0, "packs_in_protection"},
};

static bool take_eia(struct device *dev, struct bytes values, const char **why)
{
	const struct state *s = dev->state;
	uint8_t in_order[2 * 0x1a];
	struct bytes b = {in_order, sizeof(in_order)};

	if (u16be_at(values, AT(EIA, 0x2018)) > 1000) {
		*why = "SoC above 100 %";
		return false;
	}
	memcpy(in_order, values.p, sizeof(in_order));
	for (unsigned i = 0; i < EIA_PAIRS; i++) {
		memcpy(in_order + 4 * i, values.p + 4 * i + 2, 2);
		memcpy(in_order + 4 * i + 2, values.p + 4 * i, 2);
	}
	if (!s->pack_told)
		table_numbers(ROWS(eia_numbers), b, &dev->reading);
	table_numbers(ROWS(eia_own_numbers), b, &dev->reading);
	table_details(ROWS(eia_details), b, &dev->reading);
	return true;
}

/* Indices count from 0. */
static const struct number_row eib_numbers[] = {
	{AT(EIB, 0x2100), RAW_U16BE, 1000, 0, Q_CELL_MAX_V}, {AT(EIB, 0x2101), RAW_U16BE, 1000, 0, Q_CELL_MIN_V},
	{AT(EIB, 0x2102), RAW_U16BE, 1, 1, Q_CELL_MAX_NO},   {AT(EIB, 0x2103), RAW_U16BE, 1, 1, Q_CELL_MIN_NO},
	{AT(EIB, 0x210b), RAW_U16BE, 1, 1, Q_TEMP_MAX_NO},   {AT(EIB, 0x210c), RAW_U16BE, 1, 1, Q_TEMP_MIN_NO},
	{AT(EIB, 0x210f), RAW_U16BE, 1, 0, Q_CYCLES},	     {AT(EIB, 0x2110), RAW_U16BE, 10, 0, Q_SOH_PCT},
};

static const struct detail_row eib_details[] = {
	{AT(EIB, 0x2104), RAW_U16BE, 100, 0, "pack_max_V"},    {AT(EIB, 0x2105), RAW_U16BE, 100, 0, "pack_min_V"},
	{AT(EIB, 0x2106), RAW_U16BE, 1, 1, "pack_max_no"},     {AT(EIB, 0x2107), RAW_U16BE, 1, 1, "pack_min_no"},
	{AT(EIB, 0x210d), RAW_U16BE, 10, 0, "soc_max_pct"},    {AT(EIB, 0x210e), RAW_U16BE, 10, 0, "soc_min_pct"},
	{AT(EIB, 0x2114), RAW_U16BE, 1, 1, "temp_mos_max_no"}, {AT(EIB, 0x2115), RAW_U16BE, 1, 1, "temp_mos_min_no"},
};

/* 0.1 degC where captures show it, 0.1 K where the vendor's paper is right; no number is both. */
static double eib_temperature(struct bytes values, size_t off)
{
	int raw = (int16_t)u16be_at(values, off);

	return (raw > 2000 ? raw - ABSENT : raw) / 10.0;
}

static void take_eib(struct device *dev, struct bytes values)
{
	struct reading *r = &dev->reading;
	const struct state *s = dev->state;

	table_details(ROWS(eib_details), values, r);
	reading_set_detail(r, "temp_average_C", eib_temperature(values, AT(EIB, 0x210a)));
	reading_set_detail(r, "temp_mos_min_C", eib_temperature(values, AT(EIB, 0x2112)));
	reading_set_detail(r, "temp_mos_average_C", eib_temperature(values, AT(EIB, 0x2113)));
	if (s->pack_told)
		return;
	table_numbers(ROWS(eib_numbers), values, r);
	reading_set(r, Q_TEMP_MAX_C, eib_temperature(values, AT(EIB, 0x2108)));
	reading_set(r, Q_TEMP_MIN_C, eib_temperature(values, AT(EIB, 0x2109)));
	reading_set(r, Q_TEMP_MOS_C, eib_temperature(values, AT(EIB, 0x2111)));
}

/* ---- parameters: sheet 8 ---- */

#define P(reg, type, divisor, add, name)                                                                               \
	{                                                                                                              \
		AT(SPA, reg), RAW_##type##16BE, divisor, add, name, SETTING_NUMBER                                     \
	}
#define P_10MV(reg, name)   P(reg, U, 100, 0, name)
#define P_MV(reg, name)	    P(reg, U, 1000, 0, name)
#define P_A(reg, name)	    P(reg, S, 1, 0, name)
#define P_TENTH(reg, name)  P(reg, U, 10, 0, name)
#define P_CENTI(reg, name)  P(reg, U, 100, 0, name)
#define P_ONE(reg, name)    P(reg, U, 1, 0, name)
#define P_KELVIN(reg, name) P(reg, U, 10, -ABSENT, name)

static const struct setting_row spa_settings[] = {
	P_ONE(0x1300, "sensor_count"),
	P_ONE(0x1301, "cell_count"),
	P_10MV(0x1302, "pack_high_warning_release_V"),
	P_10MV(0x1303, "pack_high_warning_V"),
	P_10MV(0x1304, "pack_ovpr_V"),
	P_10MV(0x1305, "pack_ovp_V"),
	P_10MV(0x1306, "pack_low_warning_release_V"),
	P_10MV(0x1307, "pack_low_warning_V"),
	P_10MV(0x1308, "pack_uvpr_V"),
	P_10MV(0x1309, "pack_uvp_V"),
	P_MV(0x130a, "cell_high_warning_release_V"),
	P_MV(0x130b, "cell_high_warning_V"),
	P_MV(0x130c, "cell_ovpr_V"),
	P_MV(0x130d, "cell_ovp_V"),
	P_MV(0x130e, "cell_low_warning_release_V"),
	P_MV(0x130f, "cell_low_warning_V"),
	P_MV(0x1310, "cell_uvpr_V"),
	P_MV(0x1311, "cell_uvp_V"),
	P_MV(0x1312, "cell_low_fault_V"),
	P_MV(0x1313, "cell_difference_protection_V"),
	P_MV(0x1314, "cell_difference_release_V"),
	P_A(0x1315, "charge_high_warning_release_A"),
	P_A(0x1316, "charge_high_warning_A"),
	P_A(0x1317, "charge_ocp_A"),
	P_TENTH(0x1318, "charge_ocp_delay_s"),
	P_A(0x1319, "charge_ocp2_A"),
	P_MV(0x131a, "charge_ocp2_delay_s"),
	P_A(0x131b, "discharge_high_warning_release_A"),
	P_A(0x131c, "discharge_high_warning_A"),
	P_A(0x131d, "discharge_ocp_A"),
	P_TENTH(0x131e, "discharge_ocp_delay_s"),
	P_A(0x131f, "discharge_ocp2_A"),
	P_MV(0x1320, "discharge_ocp2_delay_s"),
	P_A(0x1321, "short_circuit_A"),
	P_ONE(0x1322, "short_circuit_delay_us"),
	P_TENTH(0x1323, "ocpr_delay_s"),
	P_ONE(0x1324, "ocp_lock_count"),
	P_TENTH(0x1325, "charge_limiter_switch_s"),
	P_A(0x1326, "charge_pulse_A"),
	P_TENTH(0x1327, "charge_pulse_s"),
	P_ONE(0x1328, "register_1328"), /* these three are not documented */
	P_ONE(0x1329, "register_1329"),
	P_ONE(0x132a, "register_132a"),
	P_TENTH(0x132b, "precharge_short_pct"),
	P_TENTH(0x132c, "precharge_stop_pct"),
	P_TENTH(0x132d, "precharge_fault_pct"),
	P_ONE(0x132e, "precharge_timeout_s"),
	P_KELVIN(0x132f, "charge_high_warning_release_C"),
	P_KELVIN(0x1330, "charge_high_warning_C"),
	P_KELVIN(0x1331, "charge_otpr_C"),
	P_KELVIN(0x1332, "charge_otp_C"),
	P_KELVIN(0x1333, "charge_low_warning_release_C"),
	P_KELVIN(0x1334, "charge_low_warning_C"),
	P_KELVIN(0x1335, "charge_utpr_C"),
	P_KELVIN(0x1336, "charge_utp_C"),
	P_KELVIN(0x1337, "discharge_high_warning_release_C"),
	P_KELVIN(0x1338, "discharge_high_warning_C"),
	P_KELVIN(0x1339, "discharge_otpr_C"),
	P_KELVIN(0x133a, "discharge_otp_C"),
	P_KELVIN(0x133b, "discharge_low_warning_release_C"),
	P_KELVIN(0x133c, "discharge_low_warning_C"),
	P_KELVIN(0x133d, "discharge_utpr_C"),
	P_KELVIN(0x133e, "discharge_utp_C"),
	P_KELVIN(0x133f, "ambient_high_warning_release_C"),
	P_KELVIN(0x1340, "ambient_high_warning_C"),
	P_KELVIN(0x1341, "ambient_otpr_C"),
	P_KELVIN(0x1342, "ambient_otp_C"),
	P_KELVIN(0x1343, "ambient_low_warning_release_C"),
	P_KELVIN(0x1344, "ambient_low_warning_C"),
	P_KELVIN(0x1345, "ambient_utpr_C"),
	P_KELVIN(0x1346, "ambient_utp_C"),
	P_KELVIN(0x1347, "mos_high_warning_release_C"),
	P_KELVIN(0x1348, "mos_high_warning_C"),
	P_KELVIN(0x1349, "mos_otpr_C"),
	P_KELVIN(0x134a, "mos_otp_C"),
	P_KELVIN(0x134b, "heat_stop_C"),
	P_KELVIN(0x134c, "heat_start_C"),
	P_KELVIN(0x134d, "balance_above_forbidden_C"),
	P_KELVIN(0x134e, "balance_below_forbidden_C"),
	P_ONE(0x134f, "static_balance_h"),
	P_MV(0x1350, "balance_start_V"),
	P_MV(0x1351, "balance_trigger_V"),
	P_MV(0x1352, "balance_stop_V"),
	P_TENTH(0x1353, "soc_full_release_pct"),
	P_TENTH(0x1354, "soc_low_warning_release_pct"),
	P_TENTH(0x1355, "soc_low_warning_pct"),
	P_TENTH(0x1356, "soc_low_release_pct"),
	P_TENTH(0x1357, "soc_low_protection_pct"),
	P_CENTI(0x1358, "capacity_design_Ah"),
	P_CENTI(0x1359, "capacity_full_Ah"),
	P_ONE(0x135b, "standby_to_sleep_h"),
	P_TENTH(0x135c, "focs_output_delay_s"),
	P_ONE(0x135d, "focs_split_min"),
	P_ONE(0x135e, "pcs_retries"),
	P_ONE(0x135f, "wire_1_cell"),
	P_ONE(0x1360, "wire_1_mOhm"),
	P_ONE(0x1361, "wire_2_cell"),
	P_ONE(0x1362, "wire_2_mOhm"),
	P_MV(0x1363, "cell_difference_warning_V"),
	P_MV(0x1364, "cell_difference_warning_release_V"),
	P_10MV(0x1365, "inverter_cvl_V"),
	P_A(0x1366, "inverter_ccl_A"),
	P_A(0x1367, "inverter_dcl_A"),
	P_ONE(0x1368, "register_1368"), /* these two are not documented */
	P_ONE(0x1369, "register_1369"),
};

/* Of these a reading is made as well, where no other block has told them. */
static const struct number_row spa_numbers[] = {
	{AT(SPA, 0x1358), RAW_U16BE, 100, 0, Q_CAPACITY_DESIGN_AH},
	{AT(SPA, 0x1359), RAW_U16BE, 100, 0, Q_CAPACITY_FULL_AH},
	{AT(SPA, 0x135a), RAW_U16BE, 100, 0, Q_CAPACITY_REMAINING_AH},
	{AT(SPA, 0x1365), RAW_U16BE, 100, 0, Q_BMS_CVL_V},
	{AT(SPA, 0x1366), RAW_U16BE, 1, 0, Q_BMS_CCL_A},
	{AT(SPA, 0x1367), RAW_S16BE, -1, 0, Q_BMS_DCL_A}, /* negative: out of the battery */
};

static bool take_counts(struct device *dev, struct bytes values, const char **why)
{
	struct state *s = dev->state;
	uint16_t sensors = u16be_at(values, AT(SPA, 0x1300)), cells = u16be_at(values, AT(SPA, 0x1301));

	if (sensors > V3_SENSORS || !cells || cells > V3_CELLS) {
		*why = "parameters with more than 4 sensors or 16 cells";
		return false;
	}
	s->sensors = (uint8_t)sensors;
	s->cells = (uint8_t)cells;
	reading_set(&dev->reading, Q_CELL_COUNT, cells);
	return true;
}

/* values: from register `start` on. */
static bool take_spa(struct device *dev, uint16_t start, struct bytes values, const char **why)
{
	size_t skip = AT(SPA, start);

	if (start == SPA && values.n >= 4 && !take_counts(dev, values, why))
		return false;
	for (size_t i = 0; i < sizeof(spa_settings) / sizeof(spa_settings[0]); i++) {
		struct setting_row row = spa_settings[i];

		row.off = (uint16_t)(row.off - skip);
		if (spa_settings[i].off >= skip)
			table_settings(&row, 1, values, &dev->settings);
	}
	for (size_t i = 0; i < sizeof(spa_numbers) / sizeof(spa_numbers[0]); i++) {
		struct number_row row = spa_numbers[i];

		row.off = (uint16_t)(row.off - skip);
		if (spa_numbers[i].off >= skip && !reading_knows(&dev->reading, row.quantity))
			table_numbers(&row, 1, values, &dev->reading);
	}
	return true;
}

/* ---- enabled functions, clock, identity, the inverter's protocol ---- */

static const struct state_bit function_bits[] = {
	{7, 0, "balancing"},
	{7, 1, "static_balancing"},
	{7, 2, "static_balancing_timeout"},
	{7, 3, "balancing_temperature_limit"},
	{8, 0, "buzzer"},
	{8, 1, "lcd"},
	{8, 2, "focs_manual"},
	{8, 3, "focs_auto"},
	{8, 4, "undervoltage_recovery"},
	{8, 5, "aerosol_test"},
	{8, 6, "aerosol_normally_closed"},
	{8, 7, "temperature_dependent_current"},
};

/* These are switches, no alarms: a set bit says that this protection is watched for (sheet 6). */
static void take_sfa(struct device *dev, struct bytes values)
{
	struct state *s = dev->state;
	char hex[2 * SFA_BYTES + 1];

	memcpy(s->sfa, values.p, SFA_BYTES);
	s->sfa_told = true;
	bytes_hex(values, hex, sizeof(hex));
	settings_set_text(&dev->settings, "enabled_functions", hex);
	for (size_t i = 0; i < sizeof(function_bits) / sizeof(function_bits[0]); i++)
		settings_set_switch(&dev->settings, function_bits[i].name,
				    u8_at(values, function_bits[i].byte) >> function_bits[i].bit & 1);
	reading_set_flag(&dev->reading, F_BALANCE_ENABLED, u8_at(values, SFA_BALANCE_BYTE) & 1);
}

static void take_sca(struct device *dev, struct bytes v)
{
	unsigned year = u16le_at(v, 0), month = u8_at(v, 2), day = u8_at(v, 3);
	unsigned hour = u8_at(v, 4), minute = u8_at(v, 5), second = u8_at(v, 6);
	char text[MAX_SETTING_TEXT];

	if (year < 2000 || year > 2099 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
	    second > 59)
		return;
	snprintf(text, sizeof(text), "%04u-%02u-%02u %02u:%02u:%02u", year, month, day, hour, minute, second);
	settings_set_text(&dev->settings, "clock", text);
}

static const struct text_row via_texts[] = {
	{AT(VIA, 0x1700), 20, T_MANUFACTURER},
	{AT(VIA, 0x170a), 20, T_MODEL},
	{AT(VIA, 0x1715), 30, T_SERIAL_NUMBER},
};

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static void take_via(struct device *dev, struct bytes values)
{
	char text[MAX_TEXT];
	uint8_t major = u8_at(values, AT(VIA, 0x1714)), minor = u8_at(values, AT(VIA, 0x1714) + 1);

	table_texts(ROWS(via_texts), values, &dev->reading);
	bytes_text(bytes_sub(values, AT(VIA, 0x1714), 2), text, sizeof(text));
	if (is_digit(major) && is_digit(minor))
		snprintf(text, sizeof(text), "%c.%c", major, minor);
	reading_set_text(&dev->reading, T_FIRMWARE_VERSION, text);
	bytes_text(bytes_sub(values, AT(VIA, 0x1724), 30), text, sizeof(text));
	if (text[0])
		settings_set_text(&dev->settings, "pack_serial_number", text);
}

static void take_pct(struct device *dev, struct bytes values)
{
	static const struct {
		uint8_t off, n;
		const char *name;
	} texts[] = {{AT(PCT, 0x1802), 32, "pcs_name"},
		     {AT(PCT, 0x1812), 32, "pcs_protocol_name"},
		     {AT(PCT, 0x1822), 2, "pcs_protocol_version"}};
	static const struct setting_row numbers[] = {
		{AT(PCT, 0x1800), RAW_U16BE, 1, 0, "pcs_protocol", SETTING_NUMBER},
		{AT(PCT, 0x1801), RAW_U16BE, 1, 0, "pcs_kbit_per_s", SETTING_NUMBER},
		{AT(PCT, 0x1823), RAW_U16BE, 1, 0, "pcs_switch", SETTING_NUMBER},
	};
	char text[MAX_SETTING_TEXT];

	table_settings(ROWS(numbers), values, &dev->settings);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		bytes_text(bytes_sub(values, texts[i].off, texts[i].n), text, sizeof(text));
		settings_set_text(&dev->settings, texts[i].name, text);
	}
}

/* ---- replies ---- */

/* As many bytes as were asked for, and but for the parameters a whole block; of PIA a few registers less. */
static bool length_fits(const struct request *pending, struct bytes values)
{
	const struct block *b = block_at(pending->code);
	size_t asked = modbus_read_bytes((struct bytes){pending->tx, pending->n});
	size_t whole = b->function == MODBUS_READ_COILS ? b->count / 8u : 2u * b->count;

	if (b->start == PIA)
		return values.n >= PIA_BYTES_MIN && values.n <= whole && values.n % 2 == 0;
	return values.n == asked && (b->start == SPA || asked == whole);
}

static bool take_block(struct device *dev, const struct request *pending, struct bytes values, const char **why)
{
	switch (pending->code) {
	case PIA:
		return take_pia(dev, pending, values, why);
	case PIB:
		return take_pib(dev, values, why);
	case PIC:
		take_pic(dev, values);
		break;
	case SFA:
		take_sfa(dev, values);
		break;
	case SCA:
		take_sca(dev, values);
		break;
	case VIA:
		take_via(dev, values);
		break;
	case PCT:
		take_pct(dev, values);
		break;
	case EIA:
		return take_eia(dev, values, why);
	case EIB:
		take_eib(dev, values);
		break;
	case EIC:
		take_states(dev, values);
		break;
	default:
		return take_spa(dev, pending->code, values, why);
	}
	return true;
}

/* What the pack has agreed to; what its FETs do then, PIC tells. */
static void take_acknowledgement(struct device *dev, const struct request *pending)
{
	if (pending->code == (WRITE | REG_DISCHARGE_OFF) && pending->arg == FORCE_OFF)
		reading_set_flag(&dev->reading, F_DISCHARGE_MOS, false);
	else if (pending->code == (WRITE | REG_CHARGE_OFF) && pending->arg == FORCE_OFF)
		reading_set_flag(&dev->reading, F_CHARGE_MOS, false);
	else if (pending->code == (WRITE | REG_CHARGE_ON) && pending->arg == FORCE_ON)
		reading_set_flag(&dev->reading, F_CHARGE_MOS, true);
}

static enum verdict seplos_v3_take(struct device *dev, const struct request *pending, struct bytes frame,
				   const char **why)
{
	struct bytes values = {NULL, 0};
	struct state *s = dev->state;
	enum verdict verdict = modbus_judge((struct bytes){pending->tx, pending->n}, frame, &values, why);

	if (verdict == FRAME_REFUSED && pending->code == PIA && u8_at(frame, 2) == 2)
		s->pia_count = PIA_SHORT; /* asked so from now on */
	if (verdict != FRAME_ANSWER)
		return verdict;
	if (pending->code & WRITE) {
		take_acknowledgement(dev, pending);
		return FRAME_ANSWER;
	}
	if (!length_fits(pending, values)) {
		*why = "length of the reply";
		return FRAME_BAD;
	}
	if (!take_block(dev, pending, values, why))
		return FRAME_BAD;
	reading_set(&dev->reading, Q_ADDRESS, pending->address);
	return FRAME_ANSWER;
}

/* PIA and PIB are of one moment: a foreign device that answers both with whatever numbers does not know this. */
static bool cells_agree(const struct device *dev)
{
	const struct series *cells = &dev->reading.cell_V;
	const struct state *s = dev->state;
	double lo = INFINITY, hi = 0;

	for (unsigned i = 0; i < cells->count; i++) {
		hi = fmax(hi, cells->value[i]);
		if (cells->value[i] > 0) /* 0: its wire is off */
			lo = fmin(lo, cells->value[i]);
	}
	return fabs(hi - s->highest / 1000.0) <= 0.2 && (!s->lowest || fabs(lo - s->lowest / 1000.0) <= 0.2);
}

/* Sheet 4. */
static bool seplos_v3_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;
	const struct state *s = dev->state;
	double average = reading_detail(r, "cell_average_V"), voltage = reading_get(r, Q_VOLTAGE_V);
	double warmth = reading_detail(r, "temp_average_C");

	if (!reading_knows(r, Q_VOLTAGE_V) || !r->cell_V.count)
		*why = "PIA and PIB have not both been answered";
	else if (voltage < 20 || voltage > 65)
		*why = "pack voltage outside 20..65 V";
	else if (fabs(average * r->cell_V.count - voltage) > 0.05 * voltage)
		*why = "the average cell times the number of cells is not the pack voltage";
	else if (s->lowest / 1000.0 > average || average > s->highest / 1000.0)
		*why = "the average cell is not between the lowest and the highest";
	else if (!cells_agree(dev))
		*why = "PIA and PIB tell of different cells";
	else if (warmth < -50 || warmth > 100)
		*why = "cell temperature outside -50..100 degC";
	else if (reading_get(r, Q_SOH_PCT) > 110)
		*why = "SoH above 110 %";
	else
		return reading_plausible(r, why);
	return false;
}

/* ---- a bus that has a master: sheet 9 ---- */

struct listen {
	bool master;	 /* somebody asks packs here */
	uint8_t address; /* of the request directly before; 0: none */
	uint16_t start;	 /* " */
};

/* The echo of a probe of our own is a request for PIA: only the others prove that there is a master. */
static enum heard hear_request(struct listen *l, struct bytes request)
{
	l->address = u8_at(request, 0);
	l->start = u16be_at(request, 2);
	if (l->start == PIA)
		return HEARD_NOTHING;
	l->master = true;
	return HEARD_MASTER;
}

/* The master, pack 1, sends its own data as replies that nobody asked for. */
static enum heard seplos_v3_overhear(void *listen, struct bytes frame, struct request *as)
{
	struct listen *l = listen;
	uint8_t address = u8_at(frame, 0);
	uint16_t start = block_of_reply(u8_at(frame, 1), u8_at(frame, 2));

	if (is_master_request(frame))
		return hear_request(l, frame);
	bool asked = l->address == address && l->start == start;

	l->address = 0;
	if (!start || !is_pack(address) || (!asked && !l->master))
		return HEARD_NOTHING;
	request_start(as, &seplos_v3_protocol, address, BANK, start, 0);
	modbus_build_read(as, block_at(start)->function, start, block_at(start)->count);
	return HEARD_ANSWER;
}

/* ---- commands: sheet 7, of the vendor's paper alone ---- */

enum { READ_BACKS = 5, READ_BACK_WAIT_MS = 1000 };

static bool protection_acts(const struct reading *r)
{
	for (unsigned a = 0; a < ALARM_COUNT; a++)
		if (r->alarms.level[a] == ALARM_RAISED)
			return true;
	return false;
}

/* The FET does not read back as wanted. */
static void end_fet(const struct device *dev, const struct procedure *p, struct next *next, enum step_result sent)
{
	const char *name = p->command->kind == COMMAND_CHARGE ? "charge" : "discharge";
	const char *is = p->command->value != 0 ? "off" : "on";

	if (step_result(p) != STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the pack does not answer the read-back");
	else if (sent != STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "no acknowledgement, and the %s FET stays %s", name, is);
	else if (p->command->value != 0 && protection_acts(&dev->reading))
		step_end(next, COMMAND_UNCONFIRMED,
			 "acknowledged, but the %s FET stays off: a protection holds it (see Alarms)", name);
	else
		step_end(next, COMMAND_UNCONFIRMED, "acknowledged, but the %s FET reads back %s", name, is);
}

static void proceed_fet(struct device *dev, struct procedure *p, struct next *next)
{
	/* The paper has no "discharge on": another value than "off" releases it. */
	static const struct {
		uint16_t reg, value;
	} orders[2][2] = {{{REG_DISCHARGE_OFF, FORCE_OFF}, {REG_DISCHARGE_OFF, RELEASE}},
			  {{REG_CHARGE_OFF, FORCE_OFF}, {REG_CHARGE_ON, FORCE_ON}}};
	bool charge = p->command->kind == COMMAND_CHARGE, want_on = p->command->value != 0;

	if (!step_ask(dev, p, next, WRITE | orders[charge][want_on].reg, orders[charge][want_on].value))
		return;
	enum step_result sent = step_result(p);
	if (sent == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return;
	}
	for (int i = 0; i < READ_BACKS; i++) {
		if (!step_wait(p, next, READ_BACK_WAIT_MS) || !step_ask(dev, p, next, PIC, 0))
			return;
		bool on = reading_flag(&dev->reading, charge ? F_CHARGE_MOS : F_DISCHARGE_MOS) == ON;
		if (step_result(p) == STEP_ANSWERED && on == want_on) {
			step_end(next, COMMAND_DONE, "%s%s FET reads back %s",
				 sent == STEP_ANSWERED ? "" : "not acknowledged, but the ",
				 charge ? "charge" : "discharge", on ? "on" : "off");
			return;
		}
	}
	end_fet(dev, p, next, sent);
}

enum { MEMO_RAW, MEMO_CURRENT, MEMO_GOOD }; /* MEMO_GOOD: which read-back showed the wanted value, from 1 */

static void end_soc(const struct device *dev, const struct procedure *p, struct next *next, bool done)
{
	const char *drifts = p->memo[MEMO_CURRENT] ? "; more than 5 A flowed: check it at rest" : "";
	double soc = reading_get(&dev->reading, Q_SOC_PCT);

	if (done)
		step_end(next, COMMAND_DONE, "SoC reads back %g %%, remaining capacity %g Ah%s", soc,
			 reading_get(&dev->reading, Q_CAPACITY_REMAINING_AH), drifts);
	else if (step_result(p) == STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the SoC reads back %g %%", soc);
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the pack does not answer the read-back");
}

/* The SoC follows from the remaining capacity. */
static void proceed_soc(struct device *dev, struct procedure *p, struct next *next)
{
	double want = p->command->value;

	if (!step_ask(dev, p, next, PIA, 0))
		return;
	double full = reading_get(&dev->reading, Q_CAPACITY_FULL_AH);
	if (step_is_new(p)) {
		if (step_result(p) != STEP_ANSWERED || !(full > 0)) {
			step_end(next, COMMAND_REFUSED, "the pack does not tell its capacity; nothing was sent");
			return;
		}
		p->memo[MEMO_RAW] = (uint32_t)lround(want * full); /* 0.01 Ah */
		p->memo[MEMO_CURRENT] = fabs(reading_get(&dev->reading, Q_CURRENT_A)) > 5;
	}
	if (!step_ask(dev, p, next, WRITE | REG_REMAINING, (uint16_t)p->memo[MEMO_RAW]))
		return;
	if (step_result(p) == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return;
	}
	for (unsigned i = 1; i <= READ_BACKS; i++) {
		if (!step_wait(p, next, READ_BACK_WAIT_MS) || !step_ask(dev, p, next, PIA, 0))
			return;
		if (step_is_new(p) && step_result(p) == STEP_ANSWERED &&
		    fabs(reading_get(&dev->reading, Q_SOC_PCT) - want) <= 0.5 &&
		    fabs(reading_get(&dev->reading, Q_CAPACITY_REMAINING_AH) - p->memo[MEMO_RAW] / 100.0) <= full / 200)
			p->memo[MEMO_GOOD] = i;
		if (p->memo[MEMO_GOOD] == i)
			break;
	}
	end_soc(dev, p, next, p->memo[MEMO_GOOD]);
}

static void proceed_balance(struct device *dev, struct procedure *p, struct next *next)
{
	bool want_on = p->command->value != 0;

	if (!step_ask(dev, p, next, SFA, 0))
		return;
	if (step_result(p) != STEP_ANSWERED) {
		step_end(next, COMMAND_REFUSED, "the pack does not tell its enabled functions; nothing was sent");
		return;
	}
	if (!step_ask(dev, p, next, WRITE | SFA, want_on))
		return;
	if (step_result(p) == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return;
	}
	if (!step_wait(p, next, READ_BACK_WAIT_MS) || !step_ask(dev, p, next, SFA, 0))
		return;
	if (step_result(p) != STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the pack does not answer the read-back");
	else if ((reading_flag(&dev->reading, F_BALANCE_ENABLED) == ON) == want_on)
		step_end(next, COMMAND_DONE, "balancing reads back %s", want_on ? "on" : "off");
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but balancing reads back %s", want_on ? "off" : "on");
}

static void seplos_v3_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	if (p->command->kind == COMMAND_SOC)
		proceed_soc(dev, p, next);
	else if (p->command->kind == COMMAND_BALANCE)
		proceed_balance(dev, p, next);
	else
		proceed_fet(dev, p, next);
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{19200, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Seplosv3", NULL};

static bool is_single(const struct device *dev)
{
	return dev->dialect == SINGLE;
}

/* Asked again only where the first time, with the identity, was answered. */
static bool bank_told(const struct device *dev)
{
	return is_single(dev) && reading_knows(&dev->reading, Q_PACK_COUNT);
}

static bool parameters_told(const struct device *dev)
{
	const struct state *s = dev->state;

	return s->cells;
}

static bool functions_told(const struct device *dev)
{
	const struct state *s = dev->state;

	return s->sfa_told;
}

static const struct poll polls[] = {
	{PIA, 0, EVERY_POLL, true, NULL},
	{PIB, 0, EVERY_POLL, true, NULL},
	{PIC, 0, EVERY_POLL, true, NULL},
	{VIA, 0, ONCE, false, NULL},
	{SPA, 0, ONCE, false, NULL},
	{SFA, 0, ONCE, false, NULL},
	{EIA, 0, ONCE, false, is_single},
	{PCT, 0, ONCE, false, NULL},
	{EIA, 0, 30000, false, bank_told},
	{SFA, 0, 61000, false, functions_told},
	{SPA, 0, 302000, false, parameters_told},
	{SCA, 0, 303000, false, NULL},
};

static const struct probe probes[] = {
	{PIA, 0, 0, 0, SINGLE, 0, 120, false},
	{PIA, 0, FIRST_PACK, LAST_PACK, BANK, 1, 120, false},
	{PIA, PIA_SHORT, 0, 0, SINGLE, 2, 120, false},
};

#define Q(id) (UINT64_C(1) << Q_##id)
#define F(id) (1u << F_##id)
#define A(id) (1u << ALARM_##id)

const struct protocol seplos_v3_protocol = {
	.id = "seplos-v3",
	.title = "Seplos BMS 3.0 (Modbus, XZH-ElecTech)",
	.manufacturer = "Seplos",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.also_ble = true,
	.lines = lines,
	.timing = {.first_ms = 500,
		   .gap_ms = 50,
		   .pause_ms = 100,
		   .late_ms = 500,
		   .scan_ms = 200,
		   .tries = 3,
		   .poll_ms = 1000},
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING,
	.quantities = Q(ADDRESS) | Q(PACK_COUNT) | Q(VOLTAGE_V) | Q(CURRENT_A) | Q(SOC_PCT) | Q(SOH_PCT) |
		      Q(CAPACITY_FULL_AH) | Q(CAPACITY_DESIGN_AH) | Q(CAPACITY_REMAINING_AH) | Q(CYCLES) |
		      Q(TOTAL_DISCHARGE_AH) | Q(CELL_COUNT) | Q(CELL_MIN_V) | Q(CELL_MAX_V) | Q(CELL_MIN_NO) |
		      Q(CELL_MAX_NO) | Q(TEMP_MIN_C) | Q(TEMP_MAX_C) | Q(TEMP_MIN_NO) | Q(TEMP_MAX_NO) | Q(TEMP_MOS_C) |
		      Q(TEMP_AMBIENT_C) | Q(BMS_CCL_A) | Q(BMS_DCL_A) | Q(BMS_CVL_V) | Q(BMS_DVL_V),
	.flags = F(BALANCING_ACTIVE) | F(CHARGE_MOS) | F(DISCHARGE_MOS) | F(BALANCE_ENABLED) | F(HEATER_ON) |
		 F(CHARGE_ALLOWED) | F(DISCHARGE_ALLOWED),
	.alarms = A(HIGH_VOLTAGE) | A(LOW_VOLTAGE) | A(HIGH_CELL_VOLTAGE) | A(LOW_CELL_VOLTAGE) | A(LOW_SOC) |
		  A(HIGH_CHARGE_CURRENT) | A(HIGH_DISCHARGE_CURRENT) | A(CELL_IMBALANCE) | A(INTERNAL_FAILURE) |
		  A(HIGH_CHARGE_TEMPERATURE) | A(LOW_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) | A(LOW_TEMPERATURE) |
		  A(HIGH_INTERNAL_TEMPERATURE) | A(SHORT_CIRCUIT),
	.commands = 1 << COMMAND_SOC | 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE | 1 << COMMAND_BALANCE,
	.experimental = 1 << COMMAND_SOC | 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE | 1 << COMMAND_BALANCE,
	.first_address = FIRST_PACK,
	.last_address = LAST_PACK,
	.point_to_point = 1 << SINGLE,
	.state_size = sizeof(struct state),
	.listen_size = sizeof(struct listen),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {PIB},
	.confirm_count = 1,
	.encode = seplos_v3_encode,
	.find_frame = seplos_v3_find_frame,
	.take = seplos_v3_take,
	.plausible = seplos_v3_plausible,
	.parse_request = seplos_v3_parse_request,
	.overhear = seplos_v3_overhear,
	.proceed = seplos_v3_proceed,
};
