/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A Pylontech pack on RS485: '~' frames of version 20, the master tells of its whole group, sheet pylontech. */
#include <math.h>
#include <string.h>

#include "sim/ascii.h"
#include "sim/random.h"

enum {
	VERSION = 0x20,
	CLASS = 0x46,
	ALL_PACKS = 0xff,
	MASTER = 0x02,
	GROUP_STEP = 0x10,
	MAX_MODULES = 12,
	UNREAD = 0x11, /* data flag: switch and alarm changes that 44 has not told yet */
	SERIAL = 16,
	MANAGED_S = 10, /* how long limits from outside hold */
	OFF_S = 3600,
};

enum rtn {
	DONE = 0x00,
	WRONG_VERSION = 0x01,
	UNKNOWN = 0x04,
	BAD_FORMAT = 0x05,
	WRONG_ADDRESS = 0x90,
	WRONG_CLASS = 0xe1
};

enum command {
	ANALOG = 0x42,
	ALARMS = 0x44,
	PARAMETERS = 0x47,
	PROTOCOL_VERSION = 0x4f,
	MAKER = 0x51,
	SYSTEM_ANALOG = 0x61,
	SYSTEM_ALARMS = 0x62,
	SYSTEM_LIMITS = 0x63,
	LIMITS = 0x92,
	SERIAL_NUMBER = 0x93,
	SET_LIMITS = 0x94,
	TURN_OFF = 0x95,
	SOFTWARE = 0x96,
};

enum items { ITEMS_BY_CAPACITY, ITEMS_2, ITEMS_4 };

struct pylontech_options {
	int items;
	int32_t ver;
	uint32_t group;
	bool limits, system, mos44, rtn90, serial93;
};

_Static_assert(sizeof(struct pylontech_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct pylontech_options, member)

static const struct key pylontech_keys[] = {
	{"items", KEY_WORD, AT(items), 0, 0, "", "auto", "auto|2|4", "capacities in 16 bits (2) or 24 (4)", 0},
	{"group", KEY_INTEGER, AT(group), 0, 7, "", "0", NULL, "addresses are 10h times this higher on the wire", 0},
	{"ver", KEY_BYTE, AT(ver), 0, 255, "HEX", "20", NULL, "version in replies", 0},
	{"limits", KEY_FLAG, AT(limits), 0, 0, "", "on", NULL, "the pack knows command 92", 0},
	{"serial93", KEY_FLAG, AT(serial93), 0, 0, "", "on", NULL, "the pack knows command 93", 0},
	{"system", KEY_FLAG, AT(system), 0, 0, "", "on", NULL, "the pack knows the system commands 61 to 63", 0},
	{"mos44", KEY_FLAG, AT(mos44), 0, 0, "", "off", NULL, "one more temperature in command 44", 0},
	{"rtn90", KEY_FLAG, AT(rtn90), 0, 0, "", "off", NULL, "the master refuses addresses that no pack has", 0},
};

struct pylontech_board {
	struct battery module[MAX_MODULES - 1]; /* the others of its group, as the master knows them */
	usec managed_until;
	uint16_t managed[4]; /* as command 94 wrote them */
};

/* Status 1; above it what only the bytes of cells (8), of temperatures (9) and status 4 (10) tell. */
enum { CELL_HIGH_BIT = 8, COLD_BIT = 9, FAULT_BIT = 10 };

static const struct alarm_bit pylontech_alarms[] = {
	{NULL, HIGH_VOLTAGE, ALARM, 0},
	{NULL, LOW_CELL_VOLTAGE, ALARM, 1},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, 2},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, 4},
	{NULL, HIGH_TEMPERATURE, ALARM, 5},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, 6},
	{NULL, LOW_VOLTAGE, ALARM, 7},
	{NULL, HIGH_CELL_VOLTAGE, ALARM, CELL_HIGH_BIT},
	{NULL, LOW_TEMPERATURE, ALARM, COLD_BIT},
	{NULL, INTERNAL_FAILURE, ALARM, FAULT_BIT},
};

static const struct pylontech_options *options(const struct device *d)
{
	return (const void *)d->scenario->own;
}

/* ---- the group ---- */

/* ADR that it is asked by. */
static uint8_t called(const struct device *d)
{
	return (uint8_t)(d->hears + GROUP_STEP * options(d)->group);
}

static bool is_master(const struct device *d)
{
	return d->hears == MASTER;
}

static unsigned modules(const struct device *d)
{
	unsigned n = d->scenario->addresses;

	return !is_master(d) || n < 1 ? 1 : n > MAX_MODULES ? MAX_MODULES : n;
}

static void pylontech_start(struct device *d)
{
	struct pylontech_board *board = d->board;

	for (unsigned i = 0; i < MAX_MODULES - 1; i++) {
		struct battery_start start = d->battery.start;

		start.soc_pct = fmax(0, start.soc_pct - 0.9 * (i + 1));
		start.seed = random_stir(start.seed + i + 1);
		battery_init(&board->module[i], &start);
	}
}

static const struct battery *module_of(struct device *d, unsigned i)
{
	struct pylontech_board *board = d->board;

	if (!i)
		return &d->battery;
	struct battery *b = &board->module[i - 1];

	if (d->battery.time_s > b->time_s)
		battery_run(b, d->battery.time_s - b->time_s);
	return b;
}

/* ---- live values: sheet 5.1, 5.2 ---- */

static unsigned kelvin(int dC)
{
	return (unsigned)(2731 + dC);
}

static bool wide_capacities(const struct device *d, const struct battery_sample *m)
{
	return options(d)->items == ITEMS_4 || (options(d)->items == ITEMS_BY_CAPACITY && m->design_mAh > 65000);
}

static void add_u24be(struct frame *f, uint32_t v)
{
	frame_add_u8(f, v >> 16);
	frame_add_u16be(f, v & 0xffff);
}

static void add_analog(struct device *d, unsigned i, struct frame *f)
{
	struct battery_sample m;

	battery_measure(module_of(d, i), &m);
	bool wide = wide_capacities(d, &m);

	frame_add_u8(f, m.cells);
	for (unsigned c = 0; c < m.cells; c++)
		frame_add_u16be(f, m.cell_mV[c]);
	frame_add_u8(f, m.sensors + 1);
	frame_add_u16be(f, kelvin(m.mos_dC));
	for (unsigned s = 0; s < m.sensors; s++)
		frame_add_u16be(f, kelvin(m.sensor_dC[s]));
	frame_add_u16be(f, (uint16_t)fit_s16(m.current_mA / 100.0));
	frame_add_u16be(f, fit_u16(m.pack_mV));
	frame_add_u16be(f, wide ? 0xffff : fit_u16(m.remaining_mAh));
	frame_add_u8(f, wide ? 4 : 2);
	frame_add_u16be(f, wide ? 0xffff : fit_u16(m.full_mAh));
	frame_add_u16be(f, m.cycles);
	if (!wide)
		return;
	add_u24be(f, m.remaining_mAh);
	add_u24be(f, m.full_mAh);
}

static void add_cell_states(const struct battery *b, const struct battery_sample *m, uint64_t bits, struct frame *f)
{
	frame_add_u8(f, m->cells);
	for (unsigned c = 0; c < m->cells; c++) {
		bool high =
			m->cell_mV[c] > 1000 * b->settings.cell_ov || (bits >> CELL_HIGH_BIT & 1 && c == m->highest);
		bool low = m->cell_mV[c] < 1000 * b->settings.cell_uv;

		frame_add_u8(f, high ? 2 : low ? 1 : 0);
	}
}

static void add_alarms(struct device *d, unsigned i, struct frame *f)
{
	const struct battery *b = module_of(d, i);
	uint64_t bits = i ? 0 : device_alarm_bits(d);
	struct battery_sample m;

	battery_measure(b, &m);
	unsigned sensors = m.sensors + 1 + options(d)->mos44;

	add_cell_states(b, &m, bits, f);
	frame_add_u8(f, sensors);
	for (unsigned s = 0; s < sensors; s++)
		frame_add_u8(f, s == 1 && bits >> COLD_BIT & 1);
	frame_add_u8(f, bits >> 2 & 1 ? 2 : 0);
	frame_add_u8(f, bits & 1 ? 2 : bits >> 7 & 1 ? 1 : 0);
	frame_add_u8(f, bits >> 4 & 1 ? 2 : 0);
	frame_add_u8(f, (unsigned)bits);
	frame_add_u8(f, (b->charge_mos ? 2u : 0) | (b->discharge_mos ? 4u : 0) | 8);
	frame_add_u8(f, (m.current_mA > 100 ? 0x80u : 0) | (m.current_mA < -100 ? 0x40u : 0) |
				(b->heater_on ? 0x20u : 0) | (m.soc_permille >= 1000 ? 8u : 0));
	frame_add_u8(f, bits >> FAULT_BIT & 1);
	frame_add_u8(f, 0);
}

static enum rtn add_modules(struct device *d, const struct ascii_request *r, struct frame *info)
{
	bool all = r->info[0] == ALL_PACKS;

	if (r->n != 1)
		return BAD_FORMAT;
	if (all && !is_master(d))
		return WRONG_ADDRESS;
	frame_add_u8(info, UNREAD);
	frame_add_u8(info, all ? modules(d) : r->info[0]);
	for (unsigned i = 0; i < (all ? modules(d) : 1); i++) {
		if (r->cid2 == ANALOG)
			add_analog(d, i, info);
		else
			add_alarms(d, i, info);
	}
	return DONE;
}

/* ---- limits: sheet 5.3, 5.4 ---- */

static void add_limits(const struct device *d, bool negative, struct frame *f)
{
	const struct pylontech_board *board = d->board;
	const struct battery *b = &d->battery;
	unsigned cells = b->start.cells;
	struct battery_sample m;

	battery_measure(b, &m);
	bool charge = b->charge_mos && m.soc_permille < 1000, discharge = b->discharge_mos;

	if (d->now < board->managed_until) {
		for (unsigned i = 0; i < 4; i++)
			frame_add_u16be(f, board->managed[i]);
	} else {
		double dcl = discharge ? fmin(500 * b->settings.design_Ah / 100, 3000) : 0;

		frame_add_u16be(f, fit_u16(3550.0 * cells));
		frame_add_u16be(f, fit_u16(2950.0 * cells));
		frame_add_u16be(f, charge ? fit_u16(5 * b->settings.design_Ah) : 0);
		frame_add_u16be(f, (uint16_t)fit_s16(negative ? -dcl : dcl));
	}
	bool lowest = m.soc_permille < 90, low = !lowest && m.soc_permille < 130;

	frame_add_u8(f, (charge ? 0x80u : 0) | (discharge ? 0x40u : 0) | (lowest ? 0x20u : 0) | (low ? 0x10u : 0));
}

static void add_parameters(const struct device *d, struct frame *f)
{
	const struct battery_settings *s = &d->battery.settings;

	frame_add_u8(f, UNREAD);
	frame_add_u16be(f, fit_u16(1000 * s->cell_ov));
	frame_add_u16be(f, fit_u16(1000 * s->cell_uv + 150));
	frame_add_u16be(f, fit_u16(1000 * s->cell_uv));
	frame_add_u16be(f, kelvin((int)lround(10 * s->charge_ot)));
	frame_add_u16be(f, kelvin((int)lround(10 * s->charge_ut)));
	frame_add_u16be(f, fit_u16(10 * s->charge_oc));
	frame_add_u16be(f, fit_u16(1000 * s->pack_ov));
	frame_add_u16be(f, fit_u16(1000 * s->pack_uv + 2000));
	frame_add_u16be(f, fit_u16(1000 * s->pack_uv));
	frame_add_u16be(f, kelvin((int)lround(10 * s->discharge_ot)));
	frame_add_u16be(f, kelvin((int)lround(10 * s->discharge_ut)));
	frame_add_u16be(f, (uint16_t)fit_s16(-10 * s->discharge_oc));
}

/* ---- the system: sheet 5.6 ---- */

static void add_temperatures(struct frame *f, int average, int max, int min)
{
	frame_add_u16be(f, kelvin(average));
	frame_add_u16be(f, kelvin(max));
	frame_add_u16be(f, MASTER);
	frame_add_u16be(f, kelvin(min));
	frame_add_u16be(f, MASTER);
}

static void add_system(const struct device *d, struct frame *f)
{
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	frame_add_u16be(f, fit_u16(m.pack_mV));
	frame_add_u16be(f, (uint16_t)fit_s16(m.current_mA / 10.0 * modules(d)));
	frame_add_u8(f, m.soc_permille / 10);
	frame_add_u16be(f, m.cycles);
	frame_add_u16be(f, m.cycles);
	frame_add_u8(f, (unsigned)lround(d->battery.start.soh_pct));
	frame_add_u8(f, (unsigned)lround(d->battery.start.soh_pct));
	frame_add_u16be(f, m.cell_mV[m.highest]);
	frame_add_u16be(f, 0x100 * MASTER + m.highest + 1);
	frame_add_u16be(f, m.cell_mV[m.lowest]);
	frame_add_u16be(f, 0x100 * MASTER + m.lowest + 1);
	add_temperatures(f, m.sensor_dC[0], m.sensor_dC[0], m.sensor_dC[0]);
	add_temperatures(f, m.mos_dC, m.mos_dC, m.mos_dC);
	add_temperatures(f, m.mos_dC, m.mos_dC, m.mos_dC);
}

static enum rtn answer_system(struct device *d, uint8_t cid2, struct frame *info)
{
	if (!options(d)->system || !is_master(d))
		return UNKNOWN;
	if (cid2 == SYSTEM_ANALOG)
		add_system(d, info);
	else if (cid2 == SYSTEM_LIMITS)
		add_limits(d, false, info);
	else
		frame_add_u32be(info, 0);
	return DONE;
}

/* ---- identity ---- */

static void add_text(struct frame *f, const char *text, size_t size)
{
	size_t n = strlen(text) < size ? strlen(text) : size;

	frame_add(f, text, n);
	for (; n < size; n++)
		frame_add_u8(f, 0);
}

static void add_serial(const struct device *d, struct frame *f)
{
	char usual[SERIAL + 1];

	snprintf(usual, sizeof(usual), "K1909148100%05u", (unsigned)d->address);
	frame_add_u8(f, called(d));
	add_text(f, device_text(d->scenario->serial, usual), SERIAL);
}

static void add_maker(const struct device *d, struct frame *f)
{
	add_text(f, device_text(d->scenario->model, "US3000"), 10);
	frame_add_u8(f, 2);
	frame_add_u8(f, 4);
	add_text(f, "Pylon", 20);
}

static void add_software(const struct device *d, struct frame *f)
{
	static const uint8_t version[] = {1, 3, 2, 4, 0};

	frame_add_u8(f, called(d));
	frame_add(f, version, sizeof(version));
}

/* ---- what an inverter writes: sheet 7 ---- */

static enum rtn manage(struct device *d, const struct ascii_request *r, struct frame *info)
{
	struct pylontech_board *board = d->board;

	d->writes++;
	if (r->n != 9)
		return BAD_FORMAT;
	for (unsigned i = 0; i < 4; i++)
		board->managed[i] = u16be_at((struct bytes){r->info, r->n}, 1 + 2 * (size_t)i);
	board->managed_until = d->now + MANAGED_S * SECOND;
	frame_add_u8(info, called(d));
	return DONE;
}

static enum rtn turn_off(struct device *d)
{
	d->writes++;
	d->deaf_until = d->now + OFF_S * SECOND;
	return DONE;
}

/* ---- answering ---- */

static enum rtn answer_addressed(struct device *d, const struct ascii_request *r, struct frame *info)
{
	if (!r->n)
		return BAD_FORMAT;
	if (r->info[0] != called(d))
		return WRONG_ADDRESS;
	switch (r->cid2) {
	case LIMITS:
		if (!options(d)->limits)
			return UNKNOWN;
		frame_add_u8(info, called(d));
		add_limits(d, true, info);
		return DONE;
	case SERIAL_NUMBER:
		if (!options(d)->serial93)
			return UNKNOWN;
		add_serial(d, info);
		return DONE;
	case SOFTWARE:
		add_software(d, info);
		return DONE;
	case SET_LIMITS:
		return manage(d, r, info);
	default:
		return turn_off(d);
	}
}

static enum rtn answer_command(struct device *d, const struct ascii_request *r, struct frame *info)
{
	switch (r->cid2) {
	case ANALOG:
	case ALARMS:
		if (r->info[0] != called(d) && r->info[0] != ALL_PACKS)
			return WRONG_ADDRESS;
		return add_modules(d, r, info);
	case PARAMETERS:
		add_parameters(d, info);
		return DONE;
	case PROTOCOL_VERSION:
		return DONE;
	case MAKER:
		add_maker(d, info);
		return DONE;
	case SYSTEM_ANALOG:
	case SYSTEM_ALARMS:
	case SYSTEM_LIMITS:
		return answer_system(d, r->cid2, info);
	case LIMITS:
	case SERIAL_NUMBER:
	case SET_LIMITS:
	case TURN_OFF:
	case SOFTWARE:
		return answer_addressed(d, r, info);
	default:
		return UNKNOWN;
	}
}

/* Nobody else on this line has the address; the master knows that. */
static bool nobodys(const struct device *d, uint8_t adr)
{
	if (!options(d)->rtn90 || !is_master(d) || adr / GROUP_STEP != options(d)->group)
		return false;
	for (unsigned i = 0; i < d->scenario->addresses; i++)
		if (d->scenario->address[i] == adr % GROUP_STEP)
			return false;
	return true;
}

static enum rtn answer(struct device *d, const struct ascii_request *r, struct frame *info)
{
	if (r->adr != called(d))
		return WRONG_ADDRESS;
	if (r->ver != VERSION && r->cid2 != PROTOCOL_VERSION)
		return WRONG_VERSION;
	if (r->cid1 != CLASS)
		return WRONG_CLASS;
	if (!d->registers)
		return answer_command(d, r, info);
	struct bytes dump = registers_get(d->registers, r->cid2, d->address, 0);

	frame_add(info, dump.p, dump.n);
	return dump.p ? DONE : UNKNOWN;
}

static void pylontech_answer(struct device *d, struct bytes request, struct reply *out)
{
	struct ascii_request r;
	struct frame info = {.n = 0};

	ascii_open(request, &r);
	if (r.soi != '~' || (r.adr != called(d) && !nobodys(d, r.adr)))
		return;
	enum rtn rtn = answer(d, &r, &info);
	uint8_t adr = r.adr == called(d) ? (uint8_t)(d->address + GROUP_STEP * options(d)->group) : r.adr;

	if (rtn != DONE)
		info.n = 0;
	r.ver = (uint8_t)options(d)->ver;
	r.cid1 = CLASS;
	ascii_answer(reply_frame(out), &r, adr, (uint8_t)rtn, frame_bytes(&info));
}

static void pylontech_tell(const struct device *d, FILE *out)
{
	const struct pylontech_board *board = d->board;

	fprintf(out, ",\"managed\":%s", d->now < board->managed_until ? "true" : "false");
}

const struct kind pylontech_kind = {
	.id = "pylontech",
	.alias = "pylon",
	.about = "Pylontech US2000 .. US5000, '~' frames of version 20",
	.baud = 115200,
	.delay_min_ms = 4,
	.delay_max_ms = 30,
	.gap = 100 * MS,
	.max_cells = 16,
	.max_sensors = 4,
	.cells = 15,
	.sensors = 4,
	.capacity = 74,
	.balancer = BALANCER_BLEEDS,
	.sensors_fixed = true,
	.addressed = true,
	.address_min = 0x02,
	.address_max = 0x0d,
	.address_first = MASTER,
	.alarms = pylontech_alarms,
	.n_alarms = sizeof(pylontech_alarms) / sizeof(pylontech_alarms[0]),
	.keys = pylontech_keys,
	.n_keys = sizeof(pylontech_keys) / sizeof(pylontech_keys[0]),
	.garbage_hex = "007E3230FF",
	.board_size = sizeof(struct pylontech_board),
	.start = pylontech_start,
	.find_request = ascii_find_request,
	.answer = pylontech_answer,
	.tell = pylontech_tell,
};
