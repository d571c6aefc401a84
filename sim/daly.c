/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A Daly Smart BMS on UART or RS485: 13-byte frames A5, sheet daly-uart. */
#include <math.h>
#include <string.h>

#include "protocols/checksum.h"
#include "sim/device.h"

enum { FRAME = 13, DATA = 8, CELLS_PER_FRAME = 3, SENSORS_PER_FRAME = 7, TEXT_PER_FRAME = 7 };
enum { HOST_FIRST_BOARD = 0x40, HOST_BLUETOOTH = 0x80, ALL_CELL_FRAMES = 16, ALL_SENSOR_FRAMES = 3 };
enum { NO_CURRENT = 30000, GROUP_FIRST = 0x50, GROUPS = 0x11, WRITE_OFFSET = 0x40, JUNK = 0x40 };

enum command {
	RESTART = 0x00,
	SET_SOC = 0x21,
	CAPACITY = 0x50,
	BOARDS = 0x51,
	TOTALS = 0x52,
	TYPE = 0x53,
	FIRMWARE_INDEX = 0x54,
	BATTERY_CODE = 0x57,
	CELL_LIMITS = 0x59,
	PACK_LIMITS = 0x5a,
	CURRENT_LIMITS = 0x5b,
	BALANCING = 0x5f,
	SHORT_CIRCUIT_LIMIT = 0x60,
	CLOCK = 0x61,
	SOFTWARE = 0x62,
	HARDWARE = 0x63,
	BASIC = 0x90,
	CELL_RANGE = 0x91,
	SENSOR_RANGE = 0x92,
	STATE = 0x93,
	COUNTS = 0x94,
	CELLS = 0x95,
	SENSORS = 0x96,
	BALANCE_BITS = 0x97,
	ALARMS = 0x98,
	FAILURES = 0xd8,
	DISCHARGE_SWITCH = 0xd9,
	CHARGE_SWITCH = 0xda,
};

struct daly_options {
	bool frames16, host80, inverted, noack, gathered;
};

_Static_assert(sizeof(struct daly_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct daly_options, member)

static const struct key daly_keys[] = {
	{"frames16", KEY_FLAG, AT(frames16), 0, 0, "", "off", NULL, "cells always come in 16 frames", 0},
	{"host80", KEY_FLAG, AT(host80), 0, 0, "", "on", NULL, "board 1 also answers host address 80", 0},
	{"inverted", KEY_FLAG, AT(inverted), 0, 0, "", "off", NULL, "the current has the other sign", 0},
	{"noack", KEY_FLAG, AT(noack), 0, 0, "", "off", NULL, "a SoC write is done, but not answered", 0},
	{"gathered", KEY_FLAG, AT(gathered), 0, 0, "", "off", NULL, "the second voltage of command 90 is filled", 0},
};

static const struct daly_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

struct daly_board {
	uint8_t last[DATA];	     /* of the last reply: what is not filled goes out again */
	uint8_t group[GROUPS][DATA]; /* settings as written, from command 50 on */
	uint8_t clock[6];
	uint8_t heartbeat;
};

/* Command 98: byte * 8 + bit. */
#define BIT(byte, bit) (uint8_t)(8 * (byte) + (bit))

static const struct alarm_bit daly_alarms[] = {
	{NULL, HIGH_CELL_VOLTAGE, WARNING, BIT(0, 0)},
	{NULL, HIGH_CELL_VOLTAGE, ALARM, BIT(0, 1)},
	{NULL, LOW_CELL_VOLTAGE, WARNING, BIT(0, 2)},
	{NULL, LOW_CELL_VOLTAGE, ALARM, BIT(0, 3)},
	{NULL, HIGH_VOLTAGE, WARNING, BIT(0, 4)},
	{NULL, HIGH_VOLTAGE, ALARM, BIT(0, 5)},
	{NULL, LOW_VOLTAGE, WARNING, BIT(0, 6)},
	{NULL, LOW_VOLTAGE, ALARM, BIT(0, 7)},
	{NULL, HIGH_CHARGE_TEMPERATURE, WARNING, BIT(1, 0)},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, BIT(1, 1)},
	{NULL, LOW_CHARGE_TEMPERATURE, WARNING, BIT(1, 2)},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, BIT(1, 3)},
	{NULL, HIGH_TEMPERATURE, WARNING, BIT(1, 4)},
	{NULL, HIGH_TEMPERATURE, ALARM, BIT(1, 5)},
	{NULL, LOW_TEMPERATURE, WARNING, BIT(1, 6)},
	{NULL, LOW_TEMPERATURE, ALARM, BIT(1, 7)},
	{NULL, HIGH_CHARGE_CURRENT, WARNING, BIT(2, 0)},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, BIT(2, 1)},
	{NULL, HIGH_DISCHARGE_CURRENT, WARNING, BIT(2, 2)},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, BIT(2, 3)},
	{"high_soc", NO_ALARM, WARNING, BIT(2, 4)},
	{"high_soc", NO_ALARM, ALARM, BIT(2, 5)},
	{NULL, LOW_SOC, WARNING, BIT(2, 6)},
	{NULL, LOW_SOC, ALARM, BIT(2, 7)},
	{NULL, CELL_IMBALANCE, WARNING, BIT(3, 0)},
	{NULL, CELL_IMBALANCE, ALARM, BIT(3, 1)},
	{"temperature_difference", NO_ALARM, WARNING, BIT(3, 2)},
	{"temperature_difference", NO_ALARM, ALARM, BIT(3, 3)},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, BIT(4, 0)},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, BIT(4, 1)},
	{"charge_mos_sensor_fault", NO_ALARM, ALARM, BIT(4, 2)},
	{"discharge_mos_sensor_fault", NO_ALARM, ALARM, BIT(4, 3)},
	{"charge_mos_stuck_fault", NO_ALARM, ALARM, BIT(4, 4)},
	{"discharge_mos_stuck_fault", NO_ALARM, ALARM, BIT(4, 5)},
	{"charge_mos_open_fault", NO_ALARM, ALARM, BIT(4, 6)},
	{"discharge_mos_open_fault", NO_ALARM, ALARM, BIT(4, 7)},
	{NULL, INTERNAL_FAILURE, ALARM, BIT(5, 0)},
	{"afe_fault", NO_ALARM, ALARM, BIT(5, 0)},
	{"voltage_sampling_fault", NO_ALARM, ALARM, BIT(5, 1)},
	{"temperature_sensor_fault", NO_ALARM, ALARM, BIT(5, 2)},
	{"eeprom_fault", NO_ALARM, ALARM, BIT(5, 3)},
	{"rtc_fault", NO_ALARM, WARNING, BIT(5, 4)},
	{"precharge_fault", NO_ALARM, ALARM, BIT(5, 5)},
	{"vehicle_comm_fault", NO_ALARM, WARNING, BIT(5, 6)},
	{"internal_comm_fault", NO_ALARM, ALARM, BIT(5, 7)},
	{"current_sensor_fault", NO_ALARM, ALARM, BIT(6, 0)},
	{"pack_voltage_sensor_fault", NO_ALARM, ALARM, BIT(6, 1)},
	{NULL, SHORT_CIRCUIT, ALARM, BIT(6, 2)},
	{"low_voltage_charge_forbidden", NO_ALARM, ALARM, BIT(6, 3)},
};

/* ---- framing: sheet 3 ---- */

static int daly_find_request(const struct scenario *s, struct bytes in)
{
	(void)s;
	if (u8_at(in, 0) != 0xa5)
		return -1;
	if (!bytes_has(in, 0, FRAME))
		return 0;
	return u8_at(in, 3) == DATA && sum8(bytes_sub(in, 0, FRAME - 1)) == u8_at(in, FRAME - 1) ? FRAME : -1;
}

static void send_reply(struct device *d, struct reply *out, uint8_t command, const uint8_t data[DATA])
{
	struct daly_board *board = d->board;
	struct frame *f = reply_frame(out);

	frame_add_u8(f, 0xa5);
	frame_add_u8(f, d->address);
	frame_add_u8(f, command);
	frame_add_u8(f, DATA);
	frame_add(f, data, DATA);
	f->sum_at = f->n;
	frame_add_u8(f, sum8(frame_bytes(f)));
	memcpy(board->last, data, DATA);
}

static void send_text(struct device *d, struct reply *out, uint8_t command, const char *text, unsigned frames)
{
	size_t n = strlen(text);

	for (unsigned k = 0; k < frames; k++) {
		uint8_t data[DATA] = {(uint8_t)(k + 1)};
		size_t from = k * TEXT_PER_FRAME;

		for (size_t i = 0; i < TEXT_PER_FRAME && from + i < n; i++)
			data[1 + i] = (uint8_t)text[from + i];
		send_reply(d, out, command, data);
	}
}

/* ---- settings groups ---- */

static uint8_t *group_of(struct device *d, uint8_t command)
{
	struct daly_board *board = d->board;

	return command >= GROUP_FIRST && command < GROUP_FIRST + GROUPS ? board->group[command - GROUP_FIRST] : NULL;
}

static void put_four(uint8_t *group, double a, double b, double c, double d)
{
	put_u16be(group, fit_u16(a));
	put_u16be(group + 2, fit_u16(b));
	put_u16be(group + 4, fit_u16(c));
	put_u16be(group + 6, fit_u16(d));
}

static void daly_start(struct device *d)
{
	static const uint8_t type[DATA] = {1, 1, 23, 6, 15, 0xff, 0xff, 0};
	const struct battery_settings *s = &d->battery.settings;
	unsigned cells = d->battery.start.cells;
	uint8_t *boards = group_of(d, BOARDS);

	put_u32be(group_of(d, CAPACITY), (uint32_t)lround(s->design_Ah * 1000));
	put_u32be(group_of(d, CAPACITY) + 4, d->battery.start.chemistry == NMC ? 3700 : 3200);
	boards[0] = 1;
	boards[1] = (uint8_t)cells;
	boards[4] = (uint8_t)d->battery.start.sensors;
	memcpy(group_of(d, TYPE), type, DATA);
	memcpy(group_of(d, FIRMWARE_INDEX), "20220810", DATA);
	put_four(group_of(d, CELL_LIMITS), 1000 * s->cell_ov - 50, 1000 * s->cell_ov, 1000 * s->cell_uv + 200,
		 1000 * s->cell_uv);
	put_four(group_of(d, PACK_LIMITS), 10 * s->pack_ov - 0.5 * cells, 10 * s->pack_ov,
		 10 * s->pack_uv + 2.0 * cells, 10 * s->pack_uv);
	put_four(group_of(d, CURRENT_LIMITS), NO_CURRENT + 10 * s->discharge_oc - 30, NO_CURRENT + 10 * s->discharge_oc,
		 NO_CURRENT - 10 * s->charge_oc + 30, NO_CURRENT - 10 * s->charge_oc);
	put_four(group_of(d, BALANCING), 1000 * s->balance_start, 1000 * s->balance_window, 0, 0);
	put_four(group_of(d, SHORT_CIRCUIT_LIMIT), 2 * s->discharge_oc + 200, 333, 0, 0);
}

/* What was written takes effect where it means something to the battery. */
static void apply_group(struct device *d, uint8_t command)
{
	struct battery_settings *s = &d->battery.settings;
	struct bytes g = {group_of(d, command), DATA};

	switch (command) {
	case CAPACITY:
		s->design_Ah = u32be_at(g, 0) / 1000.0;
		break;
	case CELL_LIMITS:
		s->cell_ov = u16be_at(g, 2) / 1000.0;
		s->cell_uv = u16be_at(g, 6) / 1000.0;
		break;
	case PACK_LIMITS:
		s->pack_ov = u16be_at(g, 2) / 10.0;
		s->pack_uv = u16be_at(g, 6) / 10.0;
		break;
	case CURRENT_LIMITS:
		s->discharge_oc = fabs(u16be_at(g, 2) - (double)NO_CURRENT) / 10;
		s->charge_oc = fabs(u16be_at(g, 6) - (double)NO_CURRENT) / 10;
		break;
	case BALANCING:
		s->balance_start = u16be_at(g, 0) / 1000.0;
		s->balance_window = u16be_at(g, 2) / 1000.0;
		break;
	default:
		return;
	}
	battery_apply_settings(&d->battery);
}

/* ---- live values: sheet 5 ---- */

static void basic(const struct device *d, const struct battery_sample *m, uint8_t *data)
{
	double dA = m->current_mA / 100.0;

	put_u16be(data, fit_u16(m->pack_mV / 100.0));
	put_u16be(data + 2, options(d->scenario)->gathered ? fit_u16(m->pack_mV / 100.0) : 0);
	put_u16be(data + 4, fit_u16(options(d->scenario)->inverted ? NO_CURRENT + dA : NO_CURRENT - dA));
	put_u16be(data + 6, (uint16_t)m->soc_permille);
}

static void cell_range(const struct battery_sample *m, uint8_t *data)
{
	put_u16be(data, m->cell_mV[m->highest]);
	data[2] = (uint8_t)(m->highest + 1);
	put_u16be(data + 3, m->cell_mV[m->lowest]);
	data[5] = (uint8_t)(m->lowest + 1);
}

static uint8_t temperature(int16_t dC)
{
	return (uint8_t)lround(fmin(fmax(dC / 10.0 + 40, 0), 255));
}

static void sensor_range(const struct battery_sample *m, uint8_t *data)
{
	unsigned high = 0, low = 0;

	for (unsigned i = 1; i < m->sensors; i++) {
		if (m->sensor_dC[i] > m->sensor_dC[high])
			high = i;
		if (m->sensor_dC[i] < m->sensor_dC[low])
			low = i;
	}
	data[0] = m->sensors ? temperature(m->sensor_dC[high]) : 0;
	data[1] = (uint8_t)(m->sensors ? high + 1 : 0);
	data[2] = m->sensors ? temperature(m->sensor_dC[low]) : 0;
	data[3] = (uint8_t)(m->sensors ? low + 1 : 0);
}

static void state(struct device *d, const struct battery_sample *m, uint8_t *data)
{
	struct daly_board *board = d->board;

	data[0] = m->current_mA > 100 ? 1 : m->current_mA < -100 ? 2 : 0;
	data[1] = d->battery.charge_mos;
	data[2] = d->battery.discharge_mos;
	data[3] = board->heartbeat++;
	put_u32be(data + 4, m->remaining_mAh);
}

static void counts(const struct battery_sample *m, uint8_t *data)
{
	data[0] = (uint8_t)m->cells;
	data[1] = (uint8_t)m->sensors;
	data[2] = m->current_mA > 100;
	data[3] = m->current_mA < -100;
	data[4] = 0x02;
	put_u16be(data + 5, (uint16_t)m->cycles);
}

static void send_cells(struct device *d, const struct battery_sample *m, bool all, struct reply *out)
{
	unsigned frames = all ? ALL_CELL_FRAMES : (m->cells + CELLS_PER_FRAME - 1) / CELLS_PER_FRAME;

	for (unsigned k = 0; k < frames; k++) {
		uint8_t data[DATA] = {(uint8_t)(k + 1)};

		for (unsigned i = 0; i < CELLS_PER_FRAME; i++)
			if (CELLS_PER_FRAME * k + i < m->cells)
				put_u16be(data + 1 + 2 * i, m->cell_mV[CELLS_PER_FRAME * k + i]);
		data[7] = JUNK;
		send_reply(d, out, CELLS, data);
	}
}

/* Two frames even for one sensor, three when all are sent. */
static void send_sensors(struct device *d, const struct battery_sample *m, bool all, struct reply *out)
{
	unsigned frames = all || m->sensors > 2 * SENSORS_PER_FRAME ? ALL_SENSOR_FRAMES : 2;

	for (unsigned k = 0; k < frames; k++) {
		uint8_t data[DATA] = {(uint8_t)(k + 1)};

		for (unsigned i = 0; i < SENSORS_PER_FRAME; i++)
			if (SENSORS_PER_FRAME * k + i < m->sensors)
				data[1 + i] = temperature(m->sensor_dC[SENSORS_PER_FRAME * k + i]);
		send_reply(d, out, SENSORS, data);
	}
}

static void send_live(struct device *d, uint8_t command, bool all, struct reply *out)
{
	const struct daly_board *board = d->board;
	struct battery_sample m;
	uint8_t data[DATA];
	uint64_t bits = device_alarm_bits(d);

	battery_measure(&d->battery, &m);
	memcpy(data, board->last, DATA);
	switch (command) {
	case BASIC:
		basic(d, &m, data);
		break;
	case CELL_RANGE:
		cell_range(&m, data);
		break;
	case SENSOR_RANGE:
		sensor_range(&m, data);
		break;
	case STATE:
		state(d, &m, data);
		break;
	case COUNTS:
		counts(&m, data);
		break;
	case CELLS:
		send_cells(d, &m, all || options(d->scenario)->frames16, out);
		return;
	case SENSORS:
		send_sensors(d, &m, all, out);
		return;
	case BALANCE_BITS:
		memset(data, 0, DATA);
		for (unsigned i = 0; i < m.cells; i++)
			if (m.balancing[i])
				data[i / 8] = (uint8_t)(data[i / 8] | 1u << i % 8);
		break;
	default: /* ALARMS */
		for (unsigned i = 0; i < DATA; i++)
			data[i] = (uint8_t)(bits >> 8 * i);
		break;
	}
	send_reply(d, out, command, data);
}

static void send_constant(struct device *d, uint8_t command, struct reply *out)
{
	struct daly_board *board = d->board;
	char code[48];
	uint8_t data[DATA] = {0};

	switch (command) {
	case TOTALS:
		put_u32be(data, (uint32_t)d->battery.charged_Ah);
		put_u32be(data + 4, (uint32_t)d->battery.discharged_Ah);
		break;
	case BATTERY_CODE:
		snprintf(code, sizeof(code), "BT%020u%04u", 72020120u, (unsigned)d->address);
		send_text(d, out, command, device_text(d->scenario->serial, code), 5);
		return;
	case SOFTWARE:
		send_text(d, out, command, "12_220810_020T", 2);
		return;
	case HARDWARE:
		send_text(d, out, command, device_text(d->scenario->model, "DL-BMS-R32-01E"), 2);
		return;
	case CLOCK:
		memcpy(data, board->clock, sizeof(board->clock));
		put_u16be(data + 6, (uint16_t)lround(10 * 100 * d->battery.remaining_Ah / d->battery.full_Ah));
		break;
	case FAILURES:
		break;
	default:
		if (!group_of(d, command) || command == 0x55 || command == 0x56 || command == 0x58)
			return;
		memcpy(data, group_of(d, command), DATA);
	}
	send_reply(d, out, command, data);
}

static void send_dump(struct device *d, uint8_t command, struct reply *out)
{
	struct bytes lines;

	for (unsigned nth = 0; (lines = registers_get(d->registers, command, d->address, nth)).p; nth++) {
		for (size_t i = 0; i < lines.n; i += DATA) {
			uint8_t data[DATA] = {0};
			struct bytes part = bytes_sub(lines, i, DATA);

			memcpy(data, part.p, part.n);
			send_reply(d, out, command, data);
		}
	}
}

/* ---- writing: sheet 7 ---- */

static void acknowledge(struct device *d, uint8_t command, uint8_t first, struct reply *out)
{
	const struct daly_board *board = d->board;
	uint8_t data[DATA];

	memcpy(data, board->last, DATA);
	data[0] = first;
	send_reply(d, out, command, data);
}

static void set_soc(struct device *d, struct bytes data, struct reply *out)
{
	struct daly_board *board = d->board;
	uint16_t permille = u16be_at(data, 6);

	memcpy(board->clock, data.p, sizeof(board->clock));
	if (permille <= 1000)
		battery_set_soc(&d->battery, permille / 10.0);
	if (!options(d->scenario)->noack)
		acknowledge(d, SET_SOC, 1, out);
}

static void set_switch(struct device *d, uint8_t command, bool on, struct reply *out)
{
	if (command == CHARGE_SWITCH)
		device_switch(d, on, device_discharge_wanted(d), 300 * MS);
	else
		device_switch(d, device_charge_wanted(d), on, 300 * MS);
	acknowledge(d, command, on, out);
}

/* true: the request was a write. */
static bool answer_write(struct device *d, uint8_t command, struct bytes data, struct reply *out)
{
	uint8_t *group = command >= 0x10 && command <= 0x20 ? group_of(d, (uint8_t)(command + WRITE_OFFSET)) : NULL;

	if (command == SET_SOC) {
		set_soc(d, data, out);
	} else if (command == CHARGE_SWITCH || command == DISCHARGE_SWITCH) {
		set_switch(d, command, u8_at(data, 0) == 1, out);
	} else if (command == RESTART) {
		d->deaf_until = d->now + 2 * SECOND;
	} else if (group) {
		memcpy(group, data.p, DATA);
		apply_group(d, (uint8_t)(command + WRITE_OFFSET));
		send_reply(d, out, command, group);
	} else {
		return false;
	}
	d->writes++;
	return true;
}

static void daly_answer(struct device *d, struct bytes request, struct reply *out)
{
	uint8_t host = u8_at(request, 1), command = u8_at(request, 2);
	bool bluetooth = host == HOST_BLUETOOTH && options(d->scenario)->host80 && d->hears == 1;

	if (!bluetooth && host != HOST_FIRST_BOARD - 1 + d->hears)
		return;
	if (answer_write(d, command, bytes_sub(request, 4, DATA), out))
		return;
	if (d->registers)
		send_dump(d, command, out);
	else if (command >= BASIC && command <= ALARMS)
		send_live(d, command, bluetooth, out);
	else
		send_constant(d, command, out);
}

static void daly_tell(const struct device *d, FILE *out)
{
	const struct daly_board *board = d->board;

	fprintf(out, ",\"groups\":\"");
	for (unsigned i = 0; i < GROUPS; i++)
		for (unsigned j = 0; j < DATA; j++)
			fprintf(out, "%02x", board->group[i][j]);
	fprintf(out, "\",\"clock\":\"");
	for (unsigned i = 0; i < sizeof(board->clock); i++)
		fprintf(out, "%02x", board->clock[i]);
	fprintf(out, "\"");
}

const struct kind daly_kind = {
	.id = "daly-uart",
	.alias = "daly",
	.about = "Daly Smart BMS, frames A5",
	.baud = 9600,
	.delay_min_ms = 50,
	.delay_max_ms = 80,
	.gap = 50 * MS,
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
	.n_alarms = sizeof(daly_alarms) / sizeof(daly_alarms[0]),
	.keys = daly_keys,
	.n_keys = sizeof(daly_keys) / sizeof(daly_keys[0]),
	.loops_back_asleep = true,
	.garbage_hex = "FF",
	.board_size = sizeof(struct daly_board),
	.start = daly_start,
	.find_request = daly_find_request,
	.answer = daly_answer,
	.tell = daly_tell,
};
