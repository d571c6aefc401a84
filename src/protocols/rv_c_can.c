/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Batteries that speak RV-C, the CAN network of motorhomes: sheet rv-c-can. Messages are known by their DGN, never by
 * who sends them: source addresses are claimed anew after every start. Listened to only.
 */
#include <math.h>

#include "protocols/can.h"
#include "protocols/table.h"

extern const struct protocol rv_c_can_protocol;

/* Rows of the stream: DC_SOURCE_STATUS_n and a few others. */
enum code {
	S1 = 1,
	S2 = 2,
	S3 = 3,
	S4 = 4,
	S5 = 5,
	S6 = 6,
	S11 = 11,
	DISCONNECT = 100,
	SUB_PACK = 200, /* BATTERY_STATUS_n is SUB_PACK + n */
};

enum {
	BATTERY_PRIORITY = 120, /* of devices on one DC bus the one that knows the battery itself */
	SUB_PACK_PRIORITY = 1,
	FIRST_INSTANCE = 1,
	LAST_INSTANCE = 250,
	SIZE = 8,
	SUB_PACK_DGN = 0x1fe96, /* less n */
	SUB_PACKS = 11,
	CURRENT_ZERO = 2000000000,
	DO_NOT_CHARGE = 1,
};

static const struct dgn {
	uint32_t dgn;
	uint8_t code;
} dgns[] = {
	{0x1fffd, S1}, {0x1fffc, S2}, {0x1fffb, S3},  {0x1fec9, S4},
	{0x1fec8, S5}, {0x1fec7, S6}, {0x1fea5, S11}, {0x1fed0, DISCONNECT},
};

struct state {
	uint8_t priority;   /* of the device that is believed; 0: none yet */
	uint8_t battery;    /* of BATTERY_STATUS: whose values are taken */
	uint8_t sources[3]; /* who has sent S1 and S2 last (by code) */
	uint8_t charge_state;
	bool fine_voltage;     /* S5 tells it */
	uint32_t sub_packs[8]; /* bit per battery instance heard */
};

/* ---- which message it is ---- */

static bool identify(const struct can_message *m, uint16_t *code)
{
	uint32_t dgn = m->id >> 8 & 0x1ffff;

	if (!(m->id & CAN_EXTENDED) || m->n != SIZE)
		return false;
	for (size_t i = 0; i < sizeof(dgns) / sizeof(dgns[0]); i++) {
		if (dgns[i].dgn != dgn)
			continue;
		*code = dgns[i].code;
		return true;
	}
	*code = (uint16_t)(SUB_PACK + SUB_PACK_DGN - dgn);
	return dgn < SUB_PACK_DGN && dgn >= SUB_PACK_DGN - SUB_PACKS;
}

static enum heard rvc_overhear(void *listen, struct bytes frame, struct request *as)
{
	struct can_message m;
	uint16_t code;

	(void)listen;
	if (!can_read(frame, &m) || !identify(&m, &code))
		return HEARD_NOTHING;
	/* A sub-pack belongs to the DC bus that its second byte names. */
	uint8_t instance = m.data[code > SUB_PACK ? 1 : 0];
	if (instance < FIRST_INSTANCE || instance > LAST_INSTANCE)
		return HEARD_NOTHING;
	request_start(as, &rv_c_can_protocol, instance, 0, code, 0);
	return HEARD_ANSWER;
}

/* ---- values that say that there is none ---- */

static double u8_known(struct bytes data, size_t off)
{
	return u8_at(data, off) >= 0xfd ? NAN : (double)u8_at(data, off);
}

static double u16_known(struct bytes data, size_t off)
{
	return u16le_at(data, off) >= 0xfffd ? NAN : (double)u16le_at(data, off);
}

static double u32_known(struct bytes data, size_t off)
{
	return u32le_at(data, off) >= 0xfffffffd ? (double)NAN : (double)u32le_at(data, off); /* NAN alone is a float */
}

/* Two bits: 00 no, 01 yes; the others say nothing. */
static void set_flag(struct reading *r, enum flag f, unsigned bits)
{
	if (bits & 2)
		r->flag[f] = UNKNOWN;
	else
		reading_set_flag(r, f, bits & 1);
}

static void set(struct reading *r, enum quantity q, double value)
{
	if (isnan(value))
		reading_forget(r, q);
	else
		reading_set(r, q, value);
}

/* ---- alarms: section 6 ---- */

static const struct pair {
	uint8_t byte, shift;
	enum alarm_level level;
	enum alarm alarm;
} pairs[] = {
	{2, 0, ALARM_WARNING, ALARM_HIGH_VOLTAGE},
	{2, 2, ALARM_RAISED, ALARM_HIGH_VOLTAGE},
	{2, 4, ALARM_WARNING, ALARM_LOW_VOLTAGE},
	{2, 6, ALARM_RAISED, ALARM_LOW_VOLTAGE},
	{3, 0, ALARM_WARNING, ALARM_LOW_SOC},
	{3, 2, ALARM_RAISED, ALARM_LOW_SOC},
	{3, 4, ALARM_WARNING, ALARM_LOW_TEMPERATURE},
	{3, 6, ALARM_RAISED, ALARM_LOW_TEMPERATURE},
	{4, 0, ALARM_WARNING, ALARM_HIGH_TEMPERATURE},
	{4, 2, ALARM_RAISED, ALARM_HIGH_TEMPERATURE},
	/* which direction is not told */
	{4, 4, ALARM_WARNING, ALARM_HIGH_DISCHARGE_CURRENT},
	{4, 4, ALARM_WARNING, ALARM_HIGH_CHARGE_CURRENT},
	{4, 6, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT},
	{4, 6, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT},
};

static void take_alarms(struct reading *r, struct bytes data)
{
	alarms_clear(&r->alarms);
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if ((u8_at(data, pairs[i].byte) >> pairs[i].shift & 3) == 1)
			alarm_raise(&r->alarms, pairs[i].alarm, pairs[i].level);
}

/* ---- values: section 5 ---- */

/* Charging is allowed when its switch is on and the battery does not ask for none. */
static void tell_allowed(struct device *dev)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;
	bool refuses = s->charge_state == DO_NOT_CHARGE || reading_get(r, Q_BMS_CCL_A) == 0;

	r->flag[F_DISCHARGE_ALLOWED] = r->flag[F_DISCHARGE_MOS];
	r->flag[F_CHARGE_ALLOWED] = r->flag[F_CHARGE_MOS] == ON && refuses ? OFF : r->flag[F_CHARGE_MOS];
}

static void take_voltage_and_current(struct device *dev, struct bytes data)
{
	const struct state *s = dev->state;
	double raw = u32_known(data, 4), current = (CURRENT_ZERO - raw) / 1000;

	if (!s->fine_voltage)
		set(&dev->reading, Q_VOLTAGE_V, u16_known(data, 2) / 20);
	if (raw != 0) /* 0 is what voltmeters fill in */
		set(&dev->reading, Q_CURRENT_A, dev->options.invert_current ? -current : current);
}

static void take_fine_voltage(struct device *dev, struct bytes data)
{
	struct state *s = dev->state;
	double V = u32_known(data, 2) / 1000;

	s->fine_voltage = !isnan(V);
	if (s->fine_voltage)
		reading_set(&dev->reading, Q_VOLTAGE_V, V);
}

static void take_temperature_and_soc(struct reading *r, struct bytes data)
{
	double C = u16_known(data, 2) / 32 - 273;

	r->temperatures = (struct series){.reported = false};
	if (!isnan(C))
		series_set(&r->temperatures, 0, C);
	set(r, Q_SOC_PCT, u8_known(data, 4) / 2);
	reading_set_detail(r, "time_remaining_min", u16_known(data, 5));
}

static void take_charge_wish(struct device *dev, struct bytes data)
{
	struct state *s = dev->state;
	double state = u8_known(data, 2);

	s->charge_state = isnan(state) ? 0 : (uint8_t)state;
	reading_set_detail(&dev->reading, "charge_state", state);
	set(&dev->reading, Q_BMS_CVL_V, u16_known(data, 3) / 20);
	set(&dev->reading, Q_BMS_CCL_A, u16_known(data, 5) / 20 - 1600);
	reading_set_detail(&dev->reading, "battery_type", (u8_at(data, 7) & 15) == 15 ? NAN : u8_at(data, 7) & 15);
}

static void take_switches(struct reading *r, struct bytes data)
{
	unsigned bits = u8_at(data, 2);

	set_flag(r, F_DISCHARGE_MOS, bits & 3);
	set_flag(r, F_CHARGE_MOS, bits >> 2 & 3);
	reading_set_detail(r, "charge_detected", bits >> 5 & 1 ? NAN : bits >> 4 & 1);
	set(r, Q_CAPACITY_FULL_AH, u16_known(data, 3));
	set(r, Q_POWER_W, u16_known(data, 5));
}

static void take_data(struct device *dev, uint16_t code, struct bytes data)
{
	struct reading *r = &dev->reading;

	switch (code) {
	case S1:
		take_voltage_and_current(dev, data);
		break;
	case S2:
		take_temperature_and_soc(r, data);
		break;
	case S3:
		set(r, Q_SOH_PCT, u8_known(data, 2) / 2);
		set(r, Q_CAPACITY_REMAINING_AH, u16_known(data, 3));
		reading_set_detail(r, "relative_capacity_pct", u8_known(data, 5) / 2);
		break;
	case S4:
		take_charge_wish(dev, data);
		break;
	case S5:
		take_fine_voltage(dev, data);
		break;
	case S6:
		take_alarms(r, data);
		break;
	case S11:
		take_switches(r, data);
		break;
	case DISCONNECT:
		reading_set_detail(r, "contactor_closed", u8_at(data, 1) >> 1 & 1 ? NAN : u8_at(data, 1) & 1);
		break;
	default:
		break;
	}
	tell_allowed(dev);
}

/* The highest priority that has been heard is believed. True: this is it. */
static bool outranks(struct device *dev, uint8_t priority)
{
	struct state *s = dev->state;

	if (priority > s->priority) {
		dev->reading = (struct reading){0};
		*s = (struct state){.priority = priority};
	}
	return priority == s->priority;
}

static enum verdict take_sub_pack(struct device *dev, uint16_t code, struct bytes data)
{
	struct state *s = dev->state;
	uint8_t battery = u8_at(data, 0);
	unsigned packs = 0;

	s->sub_packs[battery / 32] |= UINT32_C(1) << battery % 32;
	for (unsigned i = 0; i < 256; i++)
		packs += s->sub_packs[i / 32] >> i % 32 & 1;
	if (s->priority > SUB_PACK_PRIORITY) {
		reading_set(&dev->reading, Q_PACK_COUNT, packs);
		return FRAME_ANSWER;
	}
	/* No device speaks for all of them: the first one is shown. */
	if (s->priority && s->battery != battery)
		return FRAME_FOREIGN;
	s->priority = SUB_PACK_PRIORITY;
	s->battery = battery;
	take_data(dev, code - SUB_PACK, data);
	return FRAME_ANSWER;
}

static enum verdict rvc_take(struct device *dev, const struct request *as, struct bytes frame, const char **why)
{
	struct bytes data = can_data(frame);
	struct state *s = dev->state;
	struct can_message m;
	uint16_t code;

	(void)why;
	if (!can_read(frame, &m) || !identify(&m, &code) || code != as->code ||
	    u8_at(data, code > SUB_PACK ? 1 : 0) != dev->address)
		return FRAME_FOREIGN;
	if (code > SUB_PACK)
		return take_sub_pack(dev, code, data);
	if (code == DISCONNECT) {
		take_data(dev, code, data);
		return FRAME_ANSWER;
	}
	if (!outranks(dev, u8_at(data, 1)))
		return FRAME_FOREIGN;
	if (code <= S2)
		s->sources[code] = (uint8_t)m.id;
	reading_set(&dev->reading, Q_ADDRESS, dev->address);
	take_data(dev, code, data);
	return FRAME_ANSWER;
}

/* ---- what was not repeated: section 2 ---- */

static void forget_all(struct reading *r, const enum quantity *q, size_t n)
{
	for (size_t i = 0; i < n; i++)
		reading_forget(r, q[i]);
}

static void rvc_forget(struct device *dev, uint16_t code, uint16_t arg)
{
	static const enum quantity by_s11[] = {Q_CAPACITY_FULL_AH, Q_POWER_W};
	static const enum quantity by_s3[] = {Q_SOH_PCT, Q_CAPACITY_REMAINING_AH};
	struct state *s = dev->state;
	struct reading *r = &dev->reading;

	(void)arg;
	switch (code) {
	case S2:
		r->temperatures = (struct series){.reported = false};
		reading_forget(r, Q_SOC_PCT);
		reading_set_detail(r, "time_remaining_min", NAN);
		break;
	case S3:
		forget_all(r, by_s3, 2);
		reading_set_detail(r, "relative_capacity_pct", NAN);
		break;
	case S4: /* who has asked for a current, and asks no more, gets none */
		reading_forget(r, Q_BMS_CVL_V);
		reading_set(r, Q_BMS_CCL_A, 0);
		s->charge_state = 0;
		reading_set_detail(r, "charge_state", NAN);
		break;
	case S5:
		s->fine_voltage = false;
		break;
	case S6:
		r->alarms = (struct alarms){.known = false};
		break;
	case S11:
		forget_all(r, by_s11, 2);
		r->flag[F_CHARGE_MOS] = r->flag[F_DISCHARGE_MOS] = UNKNOWN;
		reading_set_detail(r, "charge_detected", NAN);
		break;
	case DISCONNECT:
		reading_set_detail(r, "contactor_closed", NAN);
		break;
	default:
		break;
	}
	tell_allowed(dev);
}

/* ---- identification: section 4 ---- */

static bool rvc_plausible(const struct device *dev, const char **why)
{
	const struct state *s = dev->state;
	double V = reading_get(&dev->reading, Q_VOLTAGE_V), soc = reading_get(&dev->reading, Q_SOC_PCT);

	if (s->priority != BATTERY_PRIORITY)
		*why = "another device tells of this DC bus, not its battery";
	else if (s->sources[S1] != s->sources[S2])
		*why = "voltage and state of charge come from two devices";
	else if (!(V >= 2 && V <= 100))
		*why = "the voltage can't be";
	else if (!(soc >= 0 && soc <= 100))
		*why = "there is no state of charge";
	else
		return true;
	return false;
}

/* Nothing is ever sent: a sender would have to claim an address. */
static bool rvc_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	(void)dev;
	(void)code;
	(void)arg;
	(void)out;
	return false;
}

static bool rvc_parse_request(struct bytes tx, struct request *out)
{
	(void)tx;
	(void)out;
	return false;
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{250000, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"RV_C_Can", NULL};

#define DGN(dgn)                                                                                                       \
	{                                                                                                              \
		CAN_EXTENDED | (uint32_t)(dgn) << 8, CAN_EXTENDED | CAN_REMOTE | CAN_ERROR | UINT32_C(0x01ffff00)      \
	}

static const struct can_ids hears[] = {
	DGN(0x1fffd),
	DGN(0x1fffc),
	DGN(0x1fffb),
	DGN(0x1fec9),
	DGN(0x1fec8),
	DGN(0x1fec7),
	DGN(0x1fea5),
	DGN(0x1fed0),
	/* BATTERY_STATUS_11 to _1: 1FE8B to 1FE95 */
	{CAN_EXTENDED | UINT32_C(0x01fe8000), CAN_EXTENDED | CAN_REMOTE | CAN_ERROR | UINT32_C(0x01ffe000)},
	{0, 0},
};

static const struct poll polls[] = {
	{S1, 0, EVERY_POLL, true, NULL}, {S2, 0, 10000, true, NULL},	      {S3, 0, 10000, false, NULL},
	{S4, 0, 60000, false, NULL},	 {S5, 0, 10000, false, NULL},	      {S6, 0, 20000, false, NULL},
	{S11, 0, 10000, false, NULL},	 {DISCONNECT, 0, 60000, false, NULL},
};

#define QUANTITY(q) (UINT64_C(1) << Q_##q)
#define FLAG(f)	    (UINT32_C(1) << F_##f)
#define ALARM(a)    (UINT32_C(1) << ALARM_##a)

const struct protocol rv_c_can_protocol = {
	.id = "rv-c-can",
	.title = "RV-C batteries (Renogy REGO, Lithionics and others)",
	.manufacturer = "RV-C",
	.bms_types = bms_types,
	.link = LINK_CAN,
	.lines = lines,
	.hears = hears,
	.timing = {.first_ms = 50, .gap_ms = 10, .tries = 1, .poll_ms = 500, .listen_ms = 4000, .unheard_ms = 10000},
	.quantities = QUANTITY(VOLTAGE_V) | QUANTITY(CURRENT_A) | QUANTITY(POWER_W) | QUANTITY(SOC_PCT) |
		      QUANTITY(SOH_PCT) | QUANTITY(CAPACITY_FULL_AH) | QUANTITY(CAPACITY_REMAINING_AH) |
		      QUANTITY(BMS_CVL_V) | QUANTITY(BMS_CCL_A) | QUANTITY(PACK_COUNT) | QUANTITY(ADDRESS),
	.series = SERIES_TEMPERATURES,
	.flags = FLAG(CHARGE_MOS) | FLAG(DISCHARGE_MOS) | FLAG(CHARGE_ALLOWED) | FLAG(DISCHARGE_ALLOWED),
	.alarms = ALARM(HIGH_VOLTAGE) | ALARM(LOW_VOLTAGE) | ALARM(LOW_SOC) | ALARM(HIGH_CHARGE_CURRENT) |
		  ALARM(HIGH_DISCHARGE_CURRENT) | ALARM(HIGH_TEMPERATURE) | ALARM(LOW_TEMPERATURE),
	.first_address = FIRST_INSTANCE,
	.last_address = LAST_INSTANCE,
	.streams = 1,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.encode = rvc_encode,
	.find_frame = can_find_frame,
	.take = rvc_take,
	.plausible = rvc_plausible,
	.parse_request = rvc_parse_request,
	.overhear = rvc_overhear,
	.forget = rvc_forget,
};
