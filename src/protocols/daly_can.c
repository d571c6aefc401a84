/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Daly Smart BMS on CAN: 29-bit identifiers 18 | command | to | from, sheet daly-can. What they say is
 * daly_payload.h's. Several boards on one bus, each with its number. */
#include <math.h>
#include <string.h>

#include "protocols/can.h"
#include "protocols/daly_payload.h"
#include "protocols/procedure.h"

extern const struct protocol daly_can_protocol;

enum {
	HOST = 0x40,
	SET_SOC_ALONE = 0x161e,	 /* its identifier begins so; leaves the clock as it is */
	SET_SOC_ALONE_MS = 50,	 /* nobody has seen it answered */
	VEHICLE_IDS = 32,	 /* remembered of what may be a vehicle's */
	VEHICLE_STRANGERS = 256, /* in a row: none of them is repeated, so it was no vehicle */
	DOUBT_POLLS = 300,	 /* so long two boards on one number are told after they showed */
};

#define PREFIX	     UINT32_C(0x18000000)
#define SOC_ALONE_ID UINT32_C(0x161e0080)
#define KINDS	     (CAN_EXTENDED | CAN_REMOTE | CAN_ERROR)

/* Vehicles and motorhomes: J1939 FExx, and all broadcasts of the page that RV-C and NMEA 2000 use. */
#define J1939_ID   UINT32_C(0x00fe0000)
#define J1939_MASK UINT32_C(0x03ff0000)
#define PAGE1_ID   UINT32_C(0x01f00000)
#define PAGE1_MASK UINT32_C(0x03f00000)

/* The last two different things that a number on the bus has said of what a board never changes. */
struct constant {
	uint32_t last, before; /* 0: nothing */
};

struct state {
	struct daly_payload_state payload;
	struct constant counts, code;
	uint16_t doubt; /* polls left in which two boards on one number are told */
};

struct listen {
	uint32_t id[VEHICLE_IDS];
	uint8_t next;
	bool vehicle;
	uint16_t strangers; /* identifiers in a row that were not heard before */
};

/* ---- identifiers: sheet 2 ---- */

static uint32_t reply_id(uint16_t code, uint8_t address)
{
	return CAN_EXTENDED | PREFIX | (uint32_t)code << 16 | HOST << 8 | address;
}

static uint32_t request_id(uint16_t code, uint8_t address)
{
	if (code == SET_SOC_ALONE)
		return CAN_EXTENDED | SOC_ALONE_ID | (uint32_t)address << 8;
	return CAN_EXTENDED | PREFIX | (uint32_t)code << 16 | (uint32_t)address << 8 | HOST;
}

static bool is_board(uint8_t address)
{
	return address >= 1 && address <= DALY_MAX_BOARD;
}

static bool is_read(uint16_t code)
{
	return (code >= DALY_CMD_CAPACITY && code <= DALY_CMD_HARDWARE) ||
	       (code >= DALY_CMD_PACK && code <= DALY_CMD_ALARMS) || code == DALY_CMD_FAILURES;
}

static bool is_command(uint16_t code)
{
	return code == DALY_CMD_SET_CLOCK_AND_SOC || code == DALY_CMD_SET_DISCHARGE || code == DALY_CMD_SET_CHARGE;
}

/* ---- requests ---- */

/* arg: of the MOS switches 1 on, 0 off; of 21 and 161E the SoC in 0.1 %; else 0. */
static bool daly_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	struct can_message m = {.id = request_id(code, dev->address), .n = DALY_DATA_SIZE};
	bool alone = code == SET_SOC_ALONE;

	if (!is_board(dev->address))
		return false;
	if (alone)
		put_u16be(m.data, arg);
	else
		daly_put_data(dev, code, arg, m.data);
	request_start(out, dev->protocol, dev->address, 0, code, arg);
	can_put(out, &m);
	out->writes = alone || daly_is_write(code);
	out->no_reply = alone;
	if (alone)
		out->first_ms = SET_SOC_ALONE_MS;
	return true;
}

/* Which request is m? */
static bool identify_request(const struct can_message *m, uint16_t *code, uint8_t *address)
{
	*code = m->id >> 16 & 0xff;
	*address = (uint8_t)(m->id >> 8);
	if (m->n != DALY_DATA_SIZE || !is_board(*address))
		return false;
	if (m->id == request_id(SET_SOC_ALONE, *address)) {
		*code = SET_SOC_ALONE;
		return true;
	}
	return m->id == request_id(*code, *address) && (is_read(*code) || is_command(*code));
}

static bool daly_parse_request(struct bytes tx, struct request *out)
{
	struct bytes data = can_data(tx);
	struct can_message m;
	uint16_t code;
	uint8_t address;

	if (!can_read(tx, &m) || !identify_request(&m, &code, &address))
		return false;
	bool alone = code == SET_SOC_ALONE;
	request_start(out, &daly_can_protocol, address, 0, code, alone ? u16be_at(data, 0) : daly_data_arg(code, data));
	out->writes = alone || daly_is_write(code);
	out->no_reply = alone;
	request_put(out, tx);
	return true;
}

/* ---- two boards on one number: sheet 10 ---- */

/* True: it has come back to what it said before. Something new alone may be a board in another's place. */
static bool came_back(struct constant *c, uint32_t now)
{
	bool back = now == c->before;

	if (now == c->last)
		return false;
	c->before = c->last;
	c->last = now;
	return back;
}

static uint32_t digest(const char *text)
{
	uint32_t h = 2166136261u;

	while (*text)
		h = (h ^ (uint8_t)*text++) * 16777619u;
	return h | 1;
}

static void doubt(struct device *dev, bool certain)
{
	struct state *s = dev->state;

	if (certain)
		s->doubt = DOUBT_POLLS;
	else if (s->doubt)
		s->doubt--;
	reading_set_detail(&dev->reading, "number_used_twice", s->doubt ? 1 : NAN);
}

static void watch_constants(struct device *dev, uint16_t code, struct bytes data)
{
	struct state *s = dev->state;

	if (code == DALY_CMD_STATUS)
		doubt(dev, came_back(&s->counts, 0x10000u | u16be_at(data, 0)));
	else if (code == DALY_CMD_BATTERY_CODE && came_back(&s->code, digest(dev->reading.text[T_SERIAL_NUMBER])))
		doubt(dev, true);
}

/* Another frame with this index has just come, and it said something else. Of the battery code that is a proof; of what
 * changes all the time it may be the answer to another host, while nothing else speaks for two boards. */
static bool contradicts(const struct state *s, uint16_t code, struct bytes data)
{
	unsigned index = u8_at(data, 0);

	return daly_most_parts(code) && (code == DALY_CMD_BATTERY_CODE || s->doubt) && s->payload.code == code &&
	       index >= 1 && index <= DALY_MAX_PARTS && s->payload.fresh >> (index - 1) & 1 &&
	       memcmp(s->payload.part + (size_t)DALY_PART_SIZE * (index - 1), data.p + 1, DALY_PART_SIZE) != 0;
}

/* ---- replies ---- */

static const char two_boards[] = "two boards answer to this number";

static enum verdict end_of_reply(struct device *dev, const struct request *pending, const char **why)
{
	const struct state *s = dev->state;
	enum verdict verdict = daly_take_data(dev, pending, (struct bytes){NULL, 0}, true, why);

	if (verdict == FRAME_BAD && s->doubt)
		*why = two_boards;
	return verdict;
}

static enum verdict daly_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct state *s = dev->state;
	struct bytes data = can_data(frame);
	struct can_message m;

	if (!frame.n)
		return end_of_reply(dev, pending, why);
	if (pending->code > UINT8_MAX || !can_read(frame, &m) || m.n != DALY_DATA_SIZE ||
	    m.id != reply_id(pending->code, pending->address))
		return FRAME_FOREIGN;
	if (contradicts(s, pending->code, data)) {
		s->payload.got = s->payload.fresh = 0;
		s->doubt = DOUBT_POLLS; /* told with the next 94 */
		*why = two_boards;
		return FRAME_BAD;
	}
	enum verdict verdict = daly_take_data(dev, pending, data, true, why);
	if (verdict == FRAME_ANSWER)
		watch_constants(dev, pending->code, data);
	return verdict;
}

/* ---- what comes unasked ---- */

/* The traffic of a vehicle says the same identifiers again and again; noise does not. */
static void note_vehicle(struct listen *l, uint32_t id)
{
	for (unsigned i = 0; i < VEHICLE_IDS; i++) {
		if (l->id[i] != id)
			continue;
		l->vehicle = true;
		l->strangers = 0;
		return;
	}
	l->id[l->next] = id;
	l->next = (l->next + 1) % VEHICLE_IDS;
	if (l->strangers < VEHICLE_STRANGERS)
		l->strangers++;
	else
		l->vehicle = false;
}

static const struct can_ids vehicles[] = {
	{CAN_EXTENDED | J1939_ID, KINDS | J1939_MASK},
	{CAN_EXTENDED | PAGE1_ID, KINDS | PAGE1_MASK},
	{0, 0},
};

/* Another host may ask on this bus, from 40 as well. */
static enum heard daly_overhear(void *listen, struct bytes frame, struct request *as)
{
	struct can_message m;

	if (!can_read(frame, &m))
		return HEARD_NOTHING;
	if (can_ids_have(vehicles, m.id))
		note_vehicle(listen, m.id);
	uint16_t code = m.id >> 16 & 0xff;
	uint8_t address = (uint8_t)m.id;
	if (m.n != DALY_DATA_SIZE || !is_board(address) || !is_read(code) || m.id != reply_id(code, address))
		return HEARD_NOTHING;
	request_start(as, &daly_can_protocol, address, 0, code, 0);
	return HEARD_ANSWER;
}

/* A request looks like a message of a vehicle's network to its node 1: none of ours to send there (sheet 4). */
static bool daly_may_ask(const void *listen, bool silent)
{
	const struct listen *l = listen;

	(void)silent;
	return !l->vehicle;
}

/* ---- commands: sheet 7; nobody has shown one of them on CAN ---- */

enum { READ_BACK_MS = 600, READ_BACKS = 5 };

/* Two ways; what 90 says afterwards decides. The second is the serial line's and sets the clock, too. */
static void proceed_soc(struct device *dev, struct procedure *p, struct next *next)
{
	struct state *s = dev->state;
	uint16_t tenth_pct = (uint16_t)lround(10 * p->command->value);

	if (!step_ask(dev, p, next, SET_SOC_ALONE, tenth_pct))
		return;
	if (daly_soc_reads_back(dev, p, next, READ_BACK_MS, READ_BACKS, &p->memo[0]))
		return;
	if (daly_knows_time(p)) {
		s->payload.now = p->now;
		if (!step_ask(dev, p, next, DALY_CMD_SET_CLOCK_AND_SOC, tenth_pct))
			return;
		if (daly_soc_reads_back(dev, p, next, READ_BACK_MS, READ_BACKS, &p->memo[1]))
			return;
	}
	daly_soc_unconfirmed(dev, p, next);
}

static void can_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	if (p->command->kind == COMMAND_SOC)
		proceed_soc(dev, p, next);
	else
		daly_proceed(dev, p, next);
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{250000, 8, 'N', 1}, {500000, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Daly_Can", NULL};

static const struct can_ids hears[] = {
	{CAN_EXTENDED | PREFIX | HOST << 8, KINDS | UINT32_C(0x1f00ffe0)},
	{CAN_EXTENDED | J1939_ID, KINDS | J1939_MASK},
	{CAN_EXTENDED | PAGE1_ID, KINDS | PAGE1_MASK},
	{0, 0},
};

static bool has_code(const struct device *dev)
{
	return dev->reading.text[T_SERIAL_NUMBER][0] != 0;
}

/* A frame takes half a millisecond here: what changes is asked every time. 91 and 92 only stand in for 95 and 96. */
static const struct poll polls[] = {
	{DALY_CMD_PACK, 0, EVERY_POLL, true, NULL},
	{DALY_CMD_STATUS, 0, EVERY_POLL, true, NULL},
	{DALY_CMD_MOS, 0, EVERY_POLL, true, NULL},
	{DALY_CMD_CELLS, 0, EVERY_POLL, true, NULL},
	{DALY_CMD_ALARMS, 0, EVERY_POLL, true, NULL},
	{DALY_CMD_TEMP_RANGE, 0, 2000, true, daly_temperatures_unknown},
	{DALY_CMD_TEMPERATURES, 0, 2000, false, daly_has_sensors},
	{DALY_CMD_BALANCING, 0, 2000, false, NULL},
	{DALY_CMD_CAPACITY, 0, ONCE, false, NULL},
	{DALY_CMD_BATTERY_CODE, 0, ONCE, false, NULL},
	{DALY_CMD_FIRMWARE, 0, ONCE, false, NULL},
	{DALY_CMD_HARDWARE, 0, ONCE, false, NULL},
	{DALY_CMD_TYPE, 0, ONCE, false, NULL},
	{DALY_CMD_BOARDS, 0, ONCE, false, NULL},
	{DALY_CMD_BATTERY_CODE, 0, 7000, false, has_code}, /* still the same board? */
	{DALY_CMD_TOTALS, 0, 61000, false, NULL},
	{DALY_CMD_CELL_THRESHOLDS, 0, 300000, false, NULL},
	{DALY_CMD_PACK_THRESHOLDS, 0, 301000, false, NULL},
	{DALY_CMD_CURRENT_THRESHOLDS, 0, 302000, false, NULL},
	{DALY_CMD_BALANCE_THRESHOLDS, 0, 303000, false, NULL},
	{DALY_CMD_SHORT_CIRCUIT, 0, 304000, false, NULL},
	{DALY_CMD_TEMPERATURE_THRESHOLDS, 0, 305000, false, NULL},
	{DALY_CMD_SOC_THRESHOLDS, 0, 306000, false, NULL},
	{DALY_CMD_DIFFERENCE_THRESHOLDS, 0, 307000, false, NULL},
	{DALY_CMD_CELL_RANGE, 0, 2000, false, daly_cells_unknown},
};

static const struct probe probes[] = {
	{DALY_CMD_STATUS, 0, 1, DALY_MAX_BOARD, 0, 0, 100, false},
};

const struct protocol daly_can_protocol = {
	.id = "daly-can",
	.title = "Daly Smart BMS on CAN (18xx frames)",
	.manufacturer = "Daly",
	.bms_types = bms_types,
	.link = LINK_CAN,
	.lines = lines,
	.hears = hears,
	.timing = {.first_ms = 300,
		   .gap_ms = 100,
		   .pause_ms = 10,
		   .late_ms = 300,
		   .scan_ms = 100,
		   .tries = 3,
		   .poll_ms = 1000},
	.quantities = DALY_QUANTITIES,
	.series = DALY_SERIES,
	.flags = DALY_FLAGS,
	.alarms = DALY_ALARMS,
	.commands = DALY_COMMANDS,
	.experimental = DALY_COMMANDS,
	.first_address = 1,
	.last_address = DALY_MAX_BOARD,
	.state_size = sizeof(struct state),
	.listen_size = sizeof(struct listen),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {DALY_CMD_PACK},
	.confirm_count = 1,
	.encode = daly_encode,
	.find_frame = can_find_frame,
	.take = daly_take,
	.plausible = daly_plausible,
	.parse_request = daly_parse_request,
	.overhear = daly_overhear,
	.may_ask = daly_may_ask,
	.proceed = can_proceed,
};
