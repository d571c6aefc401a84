/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A Daly Smart BMS on CAN, sheet daly-can: asked and answering in 29-bit frames, and on request the broadcast in 11-bit
 * Victron style that some firmware sends beside them (sheet jbd-can, dialect A). */
#include <math.h>
#include <string.h>

#include "model/can.h"
#include "sim/daly_board.h"

enum { HOST = 0x40, SOC_BY_NONE = 0, SOC_BY_161E = 1, SOC_BY_21 = 2 };

#define PREFIX	     UINT32_C(0x18000000)
#define SOC_ALONE_ID UINT32_C(0x161e0080)

struct daly_can_options {
	bool broadcast, twin, inverted, gathered, leftovers, noack;
	int soc;
};

_Static_assert(sizeof(struct daly_can_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct daly_can_options, member)

static const struct key daly_can_keys[] = {
	{"broadcast", KEY_FLAG, AT(broadcast), 0, 0, "", "off", NULL,
	 "the first board also broadcasts in Victron's style", 0},
	{"twin", KEY_FLAG, AT(twin), 0, 0, "", "off", NULL, "all packs bear the number of the first", 0},
	{"socby", KEY_WORD, AT(soc), 0, 0, "", "both", "none|161e|21|both", "which frames set the SoC", 0},
	{"noack", KEY_FLAG, AT(noack), 0, 0, "", "off", NULL, "writes are done, but not answered", 0},
	{"leftovers", KEY_FLAG, AT(leftovers), 0, 0, "", "off", NULL, "unused bytes repeat the reply before", 0},
	{"inverted", KEY_FLAG, AT(inverted), 0, 0, "", "off", NULL, "the current has the other sign", 0},
	{"gathered", KEY_FLAG, AT(gathered), 0, 0, "", "off", NULL, "the second voltage of command 90 is filled", 0},
};

static const struct daly_can_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

static void can_start(struct device *d)
{
	daly_board_start(d); /* as who it really is */
	if (options(d->scenario)->twin)
		d->address = d->hears = d->scenario->address[0];
}

static void send_frame(struct reply *out, uint32_t id, const void *data, size_t n)
{
	struct can_message m = {.id = id, .n = (uint8_t)n};
	uint8_t b[CAN_BYTES];

	memcpy(m.data, data, n);
	can_write(&m, b);
	frame_add(reply_frame(out), b, sizeof(b));
}

/* ---- asked: sheet daly-can 2, 3, 7 ---- */

static int can_find_request(const struct scenario *s, struct bytes in)
{
	struct can_message m;

	(void)s;
	if (!bytes_has(in, 0, CAN_BYTES))
		return 0;
	if (!can_read(bytes_sub(in, 0, CAN_BYTES), &m) || m.n != DALY_DATA)
		return -CAN_BYTES;
	bool asked = (m.id & 0xff0000ffu) == (CAN_EXTENDED | PREFIX | HOST);
	bool soc = (m.id & 0xffff00ffu) == (CAN_EXTENDED | SOC_ALONE_ID);
	return asked || soc ? CAN_BYTES : -CAN_BYTES;
}

static void can_send(struct device *d, struct reply *out, uint8_t command, const uint8_t data[DALY_DATA])
{
	send_frame(out, CAN_EXTENDED | PREFIX | (uint32_t)command << 16 | HOST << 8 | d->address, data, DALY_DATA);
}

/* Settings and restart can't be written here, as far as is known. */
static bool can_answers(const struct device *d, uint8_t command)
{
	if (command == DALY_SET_SOC)
		return options(d->scenario)->soc & SOC_BY_21;
	return command >= DALY_CAPACITY;
}

static void can_answer(struct device *d, struct bytes request, struct reply *out)
{
	const struct daly_can_options *o = options(d->scenario);
	struct daly_manner manner = {
		.inverted = o->inverted,
		.gathered = o->gathered,
		.leftovers = o->leftovers,
		.least_cell_frames = 1,
		.least_sensor_frames = 1,
		.send = can_send,
	};
	struct bytes data = can_data(request);
	struct can_message m;

	if (!can_read(request, &m) || (m.id >> 8 & 0xff) != d->hears || device_asleep(d))
		return;
	uint8_t command = (uint8_t)(m.id >> 16);
	if ((m.id & 0xffff00ffu) == (CAN_EXTENDED | SOC_ALONE_ID)) {
		if (o->soc & SOC_BY_161E) {
			daly_board_set_soc(d, u16be_at(data, 0));
			d->writes++;
		}
	} else if (can_answers(d, command) && daly_board_answer(d, command, data, &manner, out) && o->noack) {
		out->n = 0;
	}
}

/* ---- unasked: sheet jbd-can 5.1, 6 ---- */

static void send_four(struct reply *out, uint32_t id, double a, double b, double c, double d)
{
	uint8_t data[8];

	put_u16le(data, (uint16_t)lround(a));
	put_u16le(data + 2, (uint16_t)lround(b));
	put_u16le(data + 4, (uint16_t)lround(c));
	put_u16le(data + 6, (uint16_t)lround(d));
	send_frame(out, id, data, sizeof(data));
}

/* Bit pairs: 01 raised, 10 not. Alarms in bytes 0-3, warnings in bytes 4-7. */
static void send_pairs(const struct device *d, struct reply *out)
{
	static const enum battery_alarm pairs[] = {
		NO_ALARM,
		HIGH_CELL_VOLTAGE,
		LOW_CELL_VOLTAGE,
		HIGH_TEMPERATURE,
		LOW_TEMPERATURE,
		HIGH_CHARGE_TEMPERATURE,
		LOW_CHARGE_TEMPERATURE,
		HIGH_DISCHARGE_CURRENT,
		HIGH_CHARGE_CURRENT,
		NO_ALARM,
		SHORT_CIRCUIT,
		INTERNAL_FAILURE,
		CELL_IMBALANCE,
	};
	uint8_t data[8] = {0};

	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		enum battery_alarm_level level = pairs[i] == NO_ALARM ? QUIET : battery_alarm(&d->battery, pairs[i]);

		data[i / 4] |= (uint8_t)((level == ALARM ? 1 : 2) << 2 * (i % 4));
		data[4 + i / 4] |= (uint8_t)((level == WARNING ? 1 : 2) << 2 * (i % 4));
	}
	send_frame(out, 0x35a, data, sizeof(data));
}

static void send_number(struct reply *out, uint32_t id, unsigned number)
{
	char text[16];

	snprintf(text, sizeof(text), "ID:01.%02u", number);
	send_frame(out, id, text, 8);
}

static void send_broadcast(const struct device *d, struct reply *out)
{
	const struct battery_settings *s = &d->battery.settings;
	struct battery_sample m;
	unsigned cold = 0, warm = 0;

	battery_measure(&d->battery, &m);
	for (unsigned i = 1; i < m.sensors; i++) {
		cold = m.sensor_dC[i] < m.sensor_dC[cold] ? i : cold;
		warm = m.sensor_dC[i] > m.sensor_dC[warm] ? i : warm;
	}
	double coldest = m.sensors ? m.sensor_dC[cold] / 10.0 : m.ambient_dC / 10.0;
	double warmest = m.sensors ? m.sensor_dC[warm] / 10.0 : m.ambient_dC / 10.0;

	send_four(out, 0x351, 10 * s->pack_ov, 10 * s->charge_oc, 10 * s->discharge_oc, 10 * s->pack_uv);
	send_four(out, 0x355, m.soc_permille / 10.0, d->battery.start.soh_pct, 10.0 * m.soc_permille, 0);
	send_four(out, 0x356, m.pack_mV / 10.0, m.current_mA / 100.0, 10 * warmest, 0);
	send_pairs(d, out);
	send_frame(out, 0x35e, "DALY\0\0\0", 8);
	send_frame(out, 0x370, "DALY-BMS", 8);
	send_frame(out, 0x371, "\0\0\0\0\0\0\0", 8);
	send_four(out, 0x373, m.cell_mV[m.lowest], m.cell_mV[m.highest], coldest + 273, warmest + 273);
	send_number(out, 0x374, m.lowest + 1);
	send_number(out, 0x375, m.highest + 1);
	send_number(out, 0x376, cold + 1);
	send_number(out, 0x377, warm + 1);
	send_four(out, 0x379, m.full_mAh / 1000.0, 0, 0, 0);
}

static usec can_speak(struct device *d, struct reply *out)
{
	const struct daly_board *board = d->board;

	if (!options(d->scenario)->broadcast || board->number != d->scenario->address[0])
		return INT64_MAX;
	send_broadcast(d, out);
	return d->now + SECOND;
}

const struct kind daly_can_kind = {
	.id = "daly-can",
	.alias = "daly-can",
	.about = "Daly Smart BMS on CAN",
	.baud = 250000,
	.can = true,
	.streams = true,
	.delay_min_ms = 2,
	.delay_max_ms = 20,
	.gap = SECOND,
	.max_cells = 48,
	.max_sensors = 16,
	.cells = 16,
	.sensors = 2,
	.capacity = 230,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.address_min = 1,
	.address_max = 16,
	.address_first = 1,
	.alarms = daly_alarms,
	.n_alarms = DALY_ALARM_COUNT,
	.keys = daly_can_keys,
	.n_keys = sizeof(daly_can_keys) / sizeof(daly_can_keys[0]),
	.garbage_hex = "FF",
	.board_size = sizeof(struct daly_board),
	.start = can_start,
	.find_request = can_find_request,
	.answer = can_answer,
	.speak = can_speak,
	.tell = daly_board_tell,
};
