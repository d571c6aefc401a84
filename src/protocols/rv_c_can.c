/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Batteries that speak RV-C, the CAN network of motorhomes: sheet rv-c-can. Messages are known by their DGN, never by
 * who sends them: source addresses are claimed anew after every start. Listened to only.
 */
#include <math.h>

#include "protocols/can.h"
#include "protocols/plausible.h"
#include "protocols/table.h"

extern const struct protocol rv_c_can_protocol;

/* Rows of the stream: DC_SOURCE_STATUS_n and a few others. arg of SUB_PACK: which one. */
enum code {
	S1 = 1,
	S2 = 2,
	S3 = 3,
	S4 = 4,
	S5 = 5,
	S6 = 6,
	S11 = 11,
	DISCONNECT = 100,
	SUB_PACK = 200, /* any BATTERY_STATUS_n */
};

enum {
	BATTERY_PRIORITY = 120, /* of devices on one DC bus the one that knows the battery itself */
	SUB_PACK_PRIORITY = 1,
	FIRST_INSTANCE = 1,
	LAST_INSTANCE = 250,
	SIZE = 8,
	SUB_PACK_DGN = 0x1fe96, /* less n */
	SUB_PACK_DGNS = 11,
	COUNTED_PACKS = 16,
	TAKES_OVER = 4, /* S1 of another source, while the known one is silent */
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
	uint8_t priority;	/* of the device that is believed; 0: none yet */
	uint8_t source;		/* its address on the network */
	uint8_t told;		/* bit per code: S1, S2 from this address */
	uint8_t rival, rivalry; /* another address of the same priority, and how often it has spoken alone */
	uint8_t battery;	/* of BATTERY_STATUS: whose values are taken */
	uint8_t charge_state;
	bool fine_voltage;		 /* S5 tells it */
	uint32_t packs_once, packs_seen; /* bit per sub-pack: heard, heard again */
};

/* ---- which message it is ---- */

#define ID_FLAGS (CAN_EXTENDED | CAN_REMOTE | CAN_ERROR)

static uint32_t dgn_of(const struct can_message *m)
{
	return m->id >> 8 & 0x3ffff; /* with the bit that RV-C leaves 0 */
}

/* n of BATTERY_STATUS_n; 0: it is none. */
static uint16_t sub_pack_code(const struct can_message *m)
{
	uint32_t n = SUB_PACK_DGN - dgn_of(m);

	return n >= 1 && n <= SUB_PACK_DGNS ? (uint16_t)n : 0;
}

static uint16_t code_of(const struct can_message *m)
{
	for (size_t i = 0; i < sizeof(dgns) / sizeof(dgns[0]); i++)
		if (dgns[i].dgn == dgn_of(m))
			return dgns[i].code;
	return sub_pack_code(m) ? SUB_PACK : 0;
}

static bool identify(struct bytes frame, struct can_message *m, struct request *as)
{
	if (!can_read(frame, m) || (m->id & ID_FLAGS) != CAN_EXTENDED || m->n != SIZE)
		return false;
	uint16_t code = code_of(m);
	/* A sub-pack belongs to the DC bus that its second byte names. */
	uint8_t instance = m->data[code == SUB_PACK ? 1 : 0];

	if (!code || instance < FIRST_INSTANCE || instance > LAST_INSTANCE)
		return false;
	if (code <= S11 && (!m->data[1] || m->data[1] > BATTERY_PRIORITY)) /* there is no such device */
		return false;
	request_start(as, &rv_c_can_protocol, instance, 0, code, code == SUB_PACK ? m->data[0] : 0);
	return true;
}

static enum heard rvc_overhear(void *listen, struct bytes frame, struct request *as)
{
	struct can_message m;

	(void)listen;
	return identify(frame, &m, as) ? HEARD_ANSWER : HEARD_NOTHING;
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
static double two_bits(struct bytes data, size_t off, unsigned shift)
{
	unsigned bits = u8_at(data, off) >> shift & 3;

	return bits & 2 ? (double)NAN : bits;
}

static void set_flag(struct reading *r, enum flag f, double value)
{
	if (isnan(value))
		r->flag[f] = UNKNOWN;
	else
		reading_set_flag(r, f, value != 0);
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

/* Charging is allowed when its switch is on, and never while the battery wants none. */
static void tell_allowed(struct device *dev)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;
	bool refuses = s->charge_state == DO_NOT_CHARGE || reading_get(r, Q_BMS_CCL_A) == 0;

	r->flag[F_DISCHARGE_ALLOWED] = r->flag[F_DISCHARGE_MOS];
	r->flag[F_CHARGE_ALLOWED] = refuses ? OFF : r->flag[F_CHARGE_MOS];
}

static void take_voltage_and_current(struct device *dev, struct bytes data)
{
	const struct state *s = dev->state;
	double raw = u32_known(data, 4);
	double current = raw == 0 ? (double)NAN : (CURRENT_ZERO - raw) / 1000; /* 0 is what voltmeters fill in */

	if (!s->fine_voltage)
		set(&dev->reading, Q_VOLTAGE_V, u16_known(data, 2) / 20);
	set(&dev->reading, Q_CURRENT_A, dev->options.invert_current ? -current : current);
}

static void take_fine_voltage(struct device *dev, struct bytes data)
{
	struct state *s = dev->state;
	double V = u32_known(data, 2) / 1000;

	s->fine_voltage = !isnan(V);
	if (s->fine_voltage)
		reading_set(&dev->reading, Q_VOLTAGE_V, V);
	reading_set_detail(&dev->reading, "voltage_slope_V_s", (u16_known(data, 6) - 32000) / 1000);
}

static void take_temperature_and_soc(struct reading *r, struct bytes data)
{
	double C = u16_known(data, 2) / 32 - 273;

	r->temperatures = (struct series){.reported = false};
	if (!isnan(C))
		series_set(&r->temperatures, 0, C);
	set(r, Q_SOC_PCT, u8_known(data, 4) / 2);
	reading_set_detail(r, "time_remaining_min", u16_known(data, 5));
	reading_set_detail(r, "time_is_to_full", two_bits(data, 7, 0));
}

static void take_charge_wish(struct device *dev, struct bytes data)
{
	struct state *s = dev->state;
	double state = u8_known(data, 2), A = u16_known(data, 5) / 20 - 1600;

	s->charge_state = isnan(state) ? 0 : (uint8_t)state;
	reading_set_detail(&dev->reading, "charge_state", state);
	set(&dev->reading, Q_BMS_CVL_V, u16_known(data, 3) / 20);
	set(&dev->reading, Q_BMS_CCL_A, A < 0 ? (double)NAN : A); /* a charge below 0 is no wish */
	reading_set_detail(&dev->reading, "battery_type", (u8_at(data, 7) & 15) == 15 ? NAN : u8_at(data, 7) & 15);
}

static void take_switches(struct reading *r, struct bytes data)
{
	set_flag(r, F_DISCHARGE_MOS, two_bits(data, 2, 0));
	set_flag(r, F_CHARGE_MOS, two_bits(data, 2, 2));
	reading_set_detail(r, "charge_detected", two_bits(data, 2, 4));
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
		reading_set_detail(r, "ripple_V", u16_known(data, 6) / 1000);
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
		reading_set_detail(r, "contactor_closed", two_bits(data, 1, 0));
		break;
	default:
		break;
	}
	tell_allowed(dev);
}

/* ---- whom to believe ---- */

/* The highest priority that has been heard is believed. True: this is it. */
static bool outranks(struct device *dev, uint8_t priority, uint8_t source)
{
	struct state *s = dev->state;

	if (priority > s->priority) {
		dev->reading = (struct reading){0};
		s->priority = priority;
		s->source = source;
		s->told = s->rivalry = s->charge_state = 0;
		s->fine_voltage = false;
	}
	return priority == s->priority;
}

/*
 * Two devices of the same priority are not to be mixed: the first is followed as long as it speaks. It may come back
 * under another address.
 */
static bool is_known_source(struct state *s, uint16_t code, uint8_t source)
{
	if (source == s->source) {
		s->rivalry = 0;
		return true;
	}
	if (code != S1)
		return false;
	s->rivalry = source == s->rival ? (uint8_t)(s->rivalry + 1) : 1;
	s->rival = source;
	if (s->rivalry < TAKES_OVER)
		return false;
	s->source = source;
	s->told = s->rivalry = 0;
	s->fine_voltage = false;
	return true;
}

/* Of sub-packs that were heard more than once. */
static void tell_pack_count(struct device *dev)
{
	const struct state *s = dev->state;
	unsigned n = 0;

	for (unsigned i = 0; i < COUNTED_PACKS; i++)
		n += s->packs_seen >> i & 1;
	set(&dev->reading, Q_PACK_COUNT, n ? (double)n : (double)NAN);
}

static void count_pack(struct state *s, uint16_t battery)
{
	if (battery < 1 || battery > COUNTED_PACKS)
		return;
	uint32_t bit = UINT32_C(1) << (battery - 1);

	s->packs_seen |= s->packs_once & bit;
	s->packs_once |= bit;
}

static enum verdict take_sub_pack(struct device *dev, uint16_t battery, uint16_t code, struct bytes data)
{
	struct state *s = dev->state;

	count_pack(s, battery);
	if (s->priority > SUB_PACK_PRIORITY) {
		tell_pack_count(dev);
		return FRAME_ANSWER;
	}
	/* No device speaks for all of them: the first one is shown. */
	if (s->priority && s->battery != battery)
		return FRAME_FOREIGN;
	s->priority = SUB_PACK_PRIORITY;
	s->battery = (uint8_t)battery;
	take_data(dev, code, data);
	return FRAME_ANSWER;
}

static enum verdict rvc_take(struct device *dev, const struct request *as, struct bytes frame, const char **why)
{
	struct bytes data = can_data(frame);
	struct state *s = dev->state;
	struct request own;
	struct can_message m;

	(void)why;
	if (!identify(frame, &m, &own) || own.code != as->code || own.arg != as->arg || own.address != dev->address)
		return FRAME_FOREIGN;
	if (own.code == SUB_PACK)
		return take_sub_pack(dev, own.arg, sub_pack_code(&m), data);
	if (own.code != DISCONNECT) { /* which has no priority */
		if (!outranks(dev, u8_at(data, 1), (uint8_t)m.id) || !is_known_source(s, own.code, (uint8_t)m.id))
			return FRAME_FOREIGN;
		if (own.code <= S2)
			s->told |= (uint8_t)(1u << own.code);
		reading_set(&dev->reading, Q_ADDRESS, dev->address);
	}
	take_data(dev, own.code, data);
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

	switch (code) {
	case S2:
		r->temperatures = (struct series){.reported = false};
		reading_forget(r, Q_SOC_PCT);
		reading_set_detail(r, "time_remaining_min", NAN);
		reading_set_detail(r, "time_is_to_full", NAN);
		break;
	case S3:
		forget_all(r, by_s3, 2);
		reading_set_detail(r, "relative_capacity_pct", NAN);
		reading_set_detail(r, "ripple_V", NAN);
		break;
	case S4: /* who has asked for a current, and asks no more, gets none */
		reading_forget(r, Q_BMS_CVL_V);
		if (reading_knows(r, Q_BMS_CCL_A))
			reading_set(r, Q_BMS_CCL_A, 0);
		s->charge_state = 0;
		reading_set_detail(r, "charge_state", NAN);
		reading_set_detail(r, "battery_type", NAN);
		break;
	case S5: /* S1 goes on telling the voltage */
		s->fine_voltage = false;
		reading_set_detail(r, "voltage_slope_V_s", NAN);
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
	case SUB_PACK:
		s->packs_once &= ~(UINT32_C(1) << (arg - 1));
		s->packs_seen &= s->packs_once;
		tell_pack_count(dev);
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
	const struct reading *r = &dev->reading;
	double V = reading_get(r, Q_VOLTAGE_V), soc = reading_get(r, Q_SOC_PCT);

	if (s->priority != BATTERY_PRIORITY)
		*why = "another device tells of this DC bus, not its battery";
	else if (s->told != (1u << S1 | 1u << S2))
		*why = "voltage and state of charge come from two devices";
	else if (!(V >= 2 && V <= 100))
		*why = "the voltage can't be";
	else if (!(soc >= 0 && soc <= 100))
		*why = "there is no state of charge";
	else if (!temperatures_within(r, -60, 150))
		*why = "the temperature can't be";
	else
		return reading_plausible(r, why);
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
		CAN_EXTENDED | (uint32_t)(dgn) << 8, ID_FLAGS | UINT32_C(0x03ffff00)                                   \
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
	{CAN_EXTENDED | UINT32_C(0x01fe8000), ID_FLAGS | UINT32_C(0x03ffe000)},
	{0, 0},
};

#define PACK(n)                                                                                                        \
	{                                                                                                              \
		SUB_PACK, n, 30000, false, NULL                                                                        \
	}

/* clang-format off */
static const struct poll polls[] = {
	{S1, 0, EVERY_POLL, true, NULL},
	{S2, 0, 10000, true, NULL},
	{S3, 0, 10000, false, NULL},
	{S4, 0, 60000, false, NULL},
	{S5, 0, 2000, false, NULL}, /* soon: S1 waits for its turn */
	{S6, 0, 20000, false, NULL},
	{S11, 0, 10000, false, NULL},
	{DISCONNECT, 0, 60000, false, NULL},
	PACK(1), PACK(2), PACK(3), PACK(4), PACK(5), PACK(6), PACK(7), PACK(8),
	PACK(9), PACK(10), PACK(11), PACK(12), PACK(13), PACK(14), PACK(15), PACK(16),
};
/* clang-format on */

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
