/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An EG4-LL board (Zetara) on RS485: Modbus registers of a pack, or of a whole bank, sheet eg4-ll. */
#include <math.h>
#include <string.h>

#include "sim/modbus.h"
#include "sim/random.h"

enum {
	CELLS_AT = 2,
	CELL_PLACES = 16,
	SENSORS_AT = 33,
	SENSOR_PLACES = 6,
	CONFIG_AT = 45,
	IDENTITY_AT = 105,
	SHORT_END = 128, /* of the 12 V boards' map */
	END = 136,
	BANK_CELLS_AT = 113,
	BANK_END = 129, /* beyond it, silence */
	NO_SENSOR = 0xc8,
	REST_MS = 100, /* after a reply, in which requests are not heard */
};

struct eg4_ll_options {
	bool master;
	uint32_t zeros;
	double cold;
};

_Static_assert(sizeof(struct eg4_ll_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct eg4_ll_options, member)

static const struct key eg4_ll_keys[] = {
	{"master", KEY_FLAG, AT(master), 0, 0, "", "off", NULL, "the board at address 1 speaks for the bank", 0},
	{"zeros", KEY_INTEGER, AT(zeros), 1, 1000000, "N", NULL, NULL, "every Nth reply has nothing but zeros in it",
	 0},
	{"cold", KEY_NUMBER, AT(cold), 0, 1000000, "s", "0", NULL, "does not answer for so long after the start", 0},
};

struct eg4_ll_board {
	uint16_t config[END]; /* 45..104 and 128..135, as written */
	usec started;
	uint64_t random;
	unsigned replies;
};

/* The registers as they are now; there: the board, or the dump in its place, has this one. */
struct map {
	uint16_t value[END];
	bool there[END];
};

/* Registers 26 (from bit 0), 27 (16) and 28 (32). */
static const struct alarm_bit eg4_ll_alarms[] = {
	{NULL, HIGH_VOLTAGE, WARNING, 0},
	{NULL, HIGH_CELL_VOLTAGE, WARNING, 1},
	{NULL, LOW_VOLTAGE, WARNING, 2},
	{NULL, LOW_CELL_VOLTAGE, WARNING, 3},
	{NULL, HIGH_CHARGE_CURRENT, WARNING, 4},
	{NULL, HIGH_DISCHARGE_CURRENT, WARNING, 5},
	{"abnormal_ambient_temperature", NO_ALARM, WARNING, 6},
	{NULL, HIGH_INTERNAL_TEMPERATURE, WARNING, 7},
	{NULL, HIGH_CHARGE_TEMPERATURE, WARNING, 8},
	{NULL, HIGH_TEMPERATURE, WARNING, 9},
	{NULL, LOW_CHARGE_TEMPERATURE, WARNING, 10},
	{NULL, LOW_TEMPERATURE, WARNING, 11},
	{NULL, LOW_SOC, WARNING, 12},
	{"float_stopped", NO_ALARM, WARNING, 13},
	{NULL, HIGH_VOLTAGE, ALARM, 16},
	{NULL, HIGH_CELL_VOLTAGE, ALARM, 17},
	{NULL, LOW_VOLTAGE, ALARM, 18},
	{NULL, LOW_CELL_VOLTAGE, ALARM, 19},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, 20},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, 21},
	{"abnormal_ambient_temperature", NO_ALARM, ALARM, 22},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, 23},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, 24},
	{NULL, HIGH_TEMPERATURE, ALARM, 25},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, 26},
	{NULL, LOW_TEMPERATURE, ALARM, 27},
	{NULL, LOW_SOC, ALARM, 28},
	{NULL, SHORT_CIRCUIT, ALARM, 29},
	{"voltage_sensor_error", NO_ALARM, ALARM, 32},
	{NULL, INTERNAL_FAILURE, ALARM, 32},
	{"temperature_sensor_error", NO_ALARM, ALARM, 33},
	{"current_sensor_error", NO_ALARM, ALARM, 34},
	{NULL, CELL_IMBALANCE, ALARM, 36},
};

static const struct eg4_ll_options *options(const struct device *d)
{
	return (const void *)d->scenario->own;
}

static bool is_12V(const struct device *d)
{
	return d->battery.start.cells <= 4;
}

static bool is_master(const struct device *d)
{
	return options(d)->master && d->hears == 1;
}

/* ---- configuration: sheet 8 ---- */

/* Registers that mean something to the battery: value = wire / factor - less. */
static const struct {
	uint8_t reg;
	double factor, less;
	size_t member;
} applied[] = {
#define OF(member) offsetof(struct battery_settings, member)
	{56, 1000, 0, OF(balance_start)}, {57, 1000, 0, OF(balance_window)},
	{62, 1000, 0, OF(cell_uv)},	  {63, 1000, 0, OF(cell_uv_release)},
	{65, 100, 0, OF(pack_uv)},	  {66, 100, 0, OF(pack_uv_release)},
	{68, 1000, 0, OF(cell_ov)},	  {69, 1000, 0, OF(cell_ov_release)},
	{71, 100, 0, OF(pack_ov)},	  {72, 100, 0, OF(pack_ov_release)},
	{80, 100, 0, OF(charge_oc)},	  {81, 100, 0, OF(discharge_oc)},
	{91, 1, 50, OF(charge_ut)},	  {92, 1, 50, OF(charge_ut_release)},
	{94, 1, 50, OF(charge_ot)},	  {95, 1, 50, OF(charge_ot_release)},
	{97, 1, 50, OF(discharge_ut)},	  {98, 1, 50, OF(discharge_ut_release)},
	{100, 1, 50, OF(discharge_ot)},	  {101, 1, 50, OF(discharge_ot_release)},
	{103, 1, 50, OF(mos_ot)},	  {104, 1, 50, OF(mos_ot_release)},
};

enum { APPLIED = sizeof(applied) / sizeof(applied[0]) };

static double *member_of(struct device *d, unsigned i)
{
	return (double *)((char *)&d->battery.settings + applied[i].member);
}

static void eg4_ll_start(struct device *d)
{
	/* register, value: what the battery does not know */
	static const uint16_t usual[][2] = {
		{45, 0x6711}, {46, 0x178c}, {47, 0x0008}, {48, 0x1100}, {58, 10},   {61, 2500}, {64, 4650},
		{67, 3600},   {70, 5760},   {73, 555},	  {74, 500},	{76, 5},    {77, 5},	{78, 180},
		{79, 60},     {82, 30000},  {83, 22500},  {84, 30000},	{85, 10},   {86, 3},	{87, 10},
		{88, 3},      {90, 53},	    {93, 110},	  {96, 35},	{99, 115},  {102, 140}, {128, 50},
		{129, 53},    {130, 30},    {131, 25},	  {132, 35},	{133, 120}, {134, 130}, {135, 110},
	};
	struct eg4_ll_board *board = d->board;

	for (unsigned i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		board->config[usual[i][0]] = usual[i][1];
	for (unsigned i = 0; i < APPLIED; i++)
		board->config[applied[i].reg] = fit_u16((*member_of(d, i) + applied[i].less) * applied[i].factor);
	board->started = d->now;
	board->random = d->battery.start.seed;
}

static bool write_registers(struct device *d, const struct rtu_request *r)
{
	struct eg4_ll_board *board = d->board;

	d->writes++;
	if (r->start < CONFIG_AT || r->start + r->count > IDENTITY_AT || is_master(d))
		return false;
	for (unsigned i = 0; i < r->count; i++)
		board->config[r->start + i] = u16be_at(r->values, 2 * i);
	for (unsigned i = 0; i < APPLIED; i++)
		if (applied[i].reg >= r->start && applied[i].reg < r->start + r->count)
			*member_of(d, i) = board->config[applied[i].reg] / applied[i].factor - applied[i].less;
	battery_apply_settings(&d->battery);
	return true;
}

/* ---- the map of a pack: sheet 5 ---- */

static void put(struct map *map, unsigned reg, unsigned value)
{
	map->value[reg] = (uint16_t)value;
	map->there[reg] = true;
}

static void put_u32(struct map *map, unsigned reg, double value)
{
	uint32_t v = (uint32_t)fmin(value, UINT32_MAX);

	put(map, reg, v >> 16);
	put(map, reg + 1, v & 0xffff);
}

static void put_text(struct map *map, unsigned reg, unsigned words, const char *text)
{
	size_t n = strlen(text);

	for (unsigned i = 0; i < words; i++)
		put(map, reg + i,
		    (2 * i < n ? (unsigned)(uint8_t)text[2 * i] << 8 : 0) |
			    (2 * i + 1 < n ? (uint8_t)text[2 * i + 1] : 0));
}

static int degrees(int dC)
{
	return (int)lround(dC / 10.0);
}

static void put_temperatures(struct map *map, const struct battery_sample *m)
{
	uint8_t sensor[SENSOR_PLACES];
	int sum = 0, highest = m->sensors ? m->sensor_dC[0] : 0;

	memset(sensor, NO_SENSOR, sizeof(sensor));
	for (unsigned i = 0; i < m->sensors; i++) {
		sensor[i] = (uint8_t)degrees(m->sensor_dC[i]);
		sum += m->sensor_dC[i];
		highest = m->sensor_dC[i] > highest ? m->sensor_dC[i] : highest;
	}
	put(map, 18, (unsigned)degrees(m->mos_dC));
	put(map, 19, (unsigned)degrees(m->sensors ? sum / (int)m->sensors : 0));
	put(map, 20, (unsigned)degrees(highest));
	for (unsigned i = 0; i < SENSOR_PLACES; i += 2)
		put(map, SENSORS_AT + i / 2, (unsigned)sensor[i] << 8 | sensor[i + 1]);
}

static void put_state(struct map *map, const struct device *d, const struct battery_sample *m)
{
	uint64_t bits = device_alarm_bits(d);
	unsigned state = bits >> 16 & 0xffff ? 4 : m->current_mA > 100 ? 1 : m->current_mA < -100 ? 2 : 0;

	put(map, 25, state | (d->battery.heater_on ? 0x8000u : 0));
	put(map, 26, bits & 0xffff);
	put(map, 27, bits >> 16 & 0xffff);
	put(map, 28, bits >> 32 & 0xffff);
}

static void put_pack(struct map *map, const struct device *d, const struct battery_sample *m)
{
	double tenths = is_12V(d) ? 10 : 1;
	unsigned balancing = 0;

	put(map, 0, (m->pack_mV + 5) / 10);
	put(map, 1, (uint16_t)fit_s16(m->current_mA * (is_12V(d) ? 0.01 : 0.1)));
	for (unsigned i = 0; i < CELL_PLACES; i++) {
		put(map, CELLS_AT + i, i < m->cells ? m->cell_mV[i] : 0);
		balancing |= i < m->cells && m->balancing[i] ? 1u << i : 0;
	}
	put_temperatures(map, m);
	put(map, 21, fit_u16(m->remaining_mAh / 1000.0 * tenths));
	put(map, 22, d->battery.charge_mos ? fit_u16(m->design_mAh / 2000.0 * tenths) : 0);
	put(map, 23, fit_u16(d->scenario->soh));
	put(map, 24, fit_u16(m->soc_permille / 10.0));
	put_state(map, d, m);
	put_u32(map, 29, m->cycles);
	put_u32(map, 31, m->full_mAh * 3600.0);
	put(map, 36, m->cells);
	put(map, 37, fit_u16(m->design_mAh / 100.0));
	put(map, 38, balancing);
}

static void put_identity(struct map *map, const struct device *d)
{
	char serial[24], model[24];

	snprintf(serial, sizeof(serial), "ZT2209%010u", 7100u + d->address);
	snprintf(model, sizeof(model), "ZTR-%uS200A", d->battery.start.cells);
	put_text(map, IDENTITY_AT, 12, device_text(d->scenario->model, model));
	put_text(map, 117, 3, "S02T11");
	put_text(map, 120, 8, device_text(d->scenario->serial, serial));
}

static void put_whole_pack(struct map *map, const struct device *d, const struct battery_sample *m)
{
	const struct eg4_ll_board *board = d->board;
	unsigned end = is_12V(d) ? SHORT_END : END;

	for (unsigned i = 0; i < end; i++)
		put(map, i, i >= CONFIG_AT ? board->config[i] : 0);
	put_pack(map, d, m);
	put_identity(map, d);
}

/* ---- the map of a bank: sheet 9; of packs that are all like this one ---- */

/* Which bit of register 20 each bit of the protections (register 27, from 16) becomes. */
static unsigned bank_bits(uint64_t bits)
{
	static const uint16_t becomes[16] = {0x2000, 0x1000, 0x2000, 0x0008, 0x0020, 0x0010, 0x0040, 0x0080,
					     0x0400, 0x0800, 0x0100, 0x0200, 0,	     0x0001, 0,	     0};
	unsigned out = 0;

	for (unsigned i = 0; i < 16; i++)
		out |= bits >> i & 1 ? becomes[i] : 0u;
	return out;
}

static void put_bank(struct map *map, const struct device *d, const struct battery_sample *m)
{
	double packs = d->scenario->addresses;
	unsigned state = m->current_mA > 100 ? 1 : m->current_mA < -100 ? 2 : 0;
	uint64_t bits = device_alarm_bits(d);

	for (unsigned i = 0; i < BANK_END; i++)
		put(map, i, 0);
	put(map, 19, state | (d->battery.discharge_mos ? 0x20u : 0) | (d->battery.charge_mos ? 0x40u : 0));
	put(map, 20, bank_bits(bits >> 16) | (d->battery.heater_on ? 0x8000u : 0));
	put(map, 21, fit_u16(m->soc_permille / 10.0));
	put(map, 22, (m->pack_mV + 5) / 10);
	put(map, 23, (uint16_t)fit_s16(m->current_mA * packs / 10));
	put(map, 24, (unsigned)degrees(m->sensors ? m->sensor_dC[0] : m->mos_dC));
	put(map, 25, 30000);
	put(map, 26, (unsigned)lround(m->remaining_mAh * packs / 10) & 0xffff);
	put(map, 27, (unsigned)lround(m->full_mAh * packs / 10) & 0xffff);
	put(map, 28, 0x020b);
	put(map, 30, m->cycles);
	put(map, 32, fit_u16(d->scenario->soh));
	put(map, 33, fit_u16(m->design_mAh / 50.0));
	put(map, 34, bank_bits(bits));
	put(map, 35, 30000);
	put(map, 37, m->cell_mV[m->highest]);
	put(map, 38, m->cell_mV[m->lowest]);
	put(map, 39, m->highest);
	put(map, 40, m->lowest);
	put(map, 41, m->cells);
	for (unsigned i = 0; i < CELL_PLACES; i++)
		put(map, BANK_CELLS_AT + i, i < m->cells ? m->cell_mV[i] : 0);
}

static void put_dump(struct map *map, const struct device *d)
{
	struct bytes value;
	uint16_t key;

	for (unsigned i = 0; registers_at(d->registers, i, d->address, &key, &value); i++)
		for (size_t k = 0; k + 1 < value.n; k += 2)
			if (key + k / 2 < END)
				put(map, (unsigned)(key + k / 2), u16be_at(value, k));
}

static void fill(struct map *map, const struct device *d)
{
	struct battery_sample m;

	memset(map, 0, sizeof(*map));
	if (d->registers) {
		put_dump(map, d);
		return;
	}
	battery_measure(&d->battery, &m);
	if (is_master(d))
		put_bank(map, d, &m);
	else
		put_whole_pack(map, d, &m);
}

/* ---- requests ---- */

static void answer_read(struct device *d, const struct rtu_request *r, struct reply *out)
{
	struct eg4_ll_board *board = d->board;
	uint32_t zeros = options(d)->zeros;
	uint8_t values[2 * END];
	struct map map;
	size_t n = 0;

	fill(&map, d);
	if (is_master(d) && r->start + r->count > BANK_END)
		return;
	/* What lies behind the end of the map is left out. */
	for (unsigned i = 0; i < r->count && r->start + i < END && map.there[r->start + i]; i++, n += 2)
		put_u16be(values + n, map.value[r->start + i]);
	if (!r->count || r->count > 125) {
		rtu_refuse(reply_frame(out), r, RTU_BAD_VALUE);
	} else if (!n) {
		rtu_refuse(reply_frame(out), r, RTU_BAD_ADDRESS);
	} else {
		if (zeros && ++board->replies % zeros == 0)
			memset(values, 0, n);
		rtu_answer(reply_frame(out), r, (struct bytes){values, n});
	}
}

/* A board that has just answered is not listening yet. */
static void rest(struct device *d, struct reply *out)
{
	struct eg4_ll_board *board = d->board;
	double delay = random_between(&board->random, d->kind->delay_min_ms, d->kind->delay_max_ms);

	if (!out->n)
		return;
	out->delay = (usec)delay * MS;
	delay = delay * d->scenario->slow + d->scenario->delay + out->frame[0].n * 10000.0 / d->scenario->baud;
	d->deaf_until = d->now + (usec)((delay + REST_MS) * (double)MS);
}

static void eg4_ll_answer(struct device *d, struct bytes request, struct reply *out)
{
	const struct eg4_ll_board *board = d->board;
	struct rtu_request r;

	if (device_asleep(d) || u8_at(request, 0) != d->hears || !rtu_open(request, &r) ||
	    d->now < board->started + (usec)(options(d)->cold * (double)SECOND))
		return;
	r.address = d->address;
	if (r.function == RTU_READ_HOLDING)
		answer_read(d, &r, out);
	else if (r.function != RTU_WRITE_REGISTER && r.function != RTU_WRITE_REGISTERS)
		rtu_refuse(reply_frame(out), &r, RTU_BAD_FUNCTION);
	else if (write_registers(d, &r))
		rtu_acknowledge(reply_frame(out), &r);
	else
		rtu_refuse(reply_frame(out), &r, RTU_BAD_ADDRESS);
	rest(d, out);
}

static void eg4_ll_tell(const struct device *d, FILE *out)
{
	const struct eg4_ll_board *board = d->board;

	fprintf(out, ",\"config\":\"");
	for (unsigned i = CONFIG_AT; i < IDENTITY_AT; i++)
		fprintf(out, "%04x", board->config[i]);
	fprintf(out, "\"");
}

const struct kind eg4_ll_kind = {
	.id = "eg4-ll",
	.alias = "eg4",
	.about = "EG4-LL and other Zetara boards, Modbus RTU",
	.baud = 9600,
	.delay_min_ms = 30,
	.delay_max_ms = 100,
	.gap = 4 * MS,
	.max_cells = CELL_PLACES,
	.max_sensors = SENSOR_PLACES,
	.cells = 16,
	.sensors = 4,
	.capacity = 280,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.address_min = 1,
	.address_max = 64,
	.address_first = 1,
	.alarms = eg4_ll_alarms,
	.n_alarms = sizeof(eg4_ll_alarms) / sizeof(eg4_ll_alarms[0]),
	.keys = eg4_ll_keys,
	.n_keys = sizeof(eg4_ll_keys) / sizeof(eg4_ll_keys[0]),
	.garbage_hex = "00FF",
	.board_size = sizeof(struct eg4_ll_board),
	.start = eg4_ll_start,
	.find_request = rtu_find_request,
	.answer = eg4_ll_answer,
	.tell = eg4_ll_tell,
};
