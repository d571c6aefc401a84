/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/daly_board.h"

#include <math.h>
#include <string.h>

enum { CELLS_PER_FRAME = 3, SENSORS_PER_FRAME = 7, TEXT_PER_FRAME = 7 };
enum { NO_CURRENT = 30000, GROUP_FIRST = 0x50, WRITE_OFFSET = 0x40, JUNK = 0x40 };

#define BIT(byte, bit) (uint8_t)(8 * (byte) + (bit))

const struct alarm_bit daly_alarms[DALY_ALARM_COUNT] = {
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

/* ---- replies ---- */

static void reply_with(struct device *d, const struct daly_manner *manner, struct reply *out, uint8_t command,
		       const uint8_t data[DALY_DATA])
{
	struct daly_board *board = d->board;

	manner->send(d, out, command, data);
	memcpy(board->last, data, DALY_DATA);
}

/* What lies in the bytes of a reply that mean nothing. */
static void prefill(const struct device *d, const struct daly_manner *manner, uint8_t data[DALY_DATA])
{
	const struct daly_board *board = d->board;

	if (manner->leftovers)
		memcpy(data, board->last, DALY_DATA);
	else
		memset(data, 0xff, DALY_DATA);
}

static void send_text(struct device *d, const struct daly_manner *manner, struct reply *out, uint8_t command,
		      const char *text, unsigned frames)
{
	size_t n = strlen(text);

	for (unsigned k = 0; k < frames; k++) {
		uint8_t data[DALY_DATA] = {(uint8_t)(k + 1)};
		size_t from = k * TEXT_PER_FRAME;

		for (size_t i = 0; i < TEXT_PER_FRAME && from + i < n; i++)
			data[1 + i] = (uint8_t)text[from + i];
		reply_with(d, manner, out, command, data);
	}
}

/* ---- settings groups ---- */

static uint8_t *group_of(struct device *d, uint8_t command)
{
	struct daly_board *board = d->board;

	return command >= GROUP_FIRST && command < GROUP_FIRST + DALY_GROUPS ? board->group[command - GROUP_FIRST]
									     : NULL;
}

static void put_four(uint8_t *group, double a, double b, double c, double d)
{
	put_u16be(group, fit_u16(a));
	put_u16be(group + 2, fit_u16(b));
	put_u16be(group + 4, fit_u16(c));
	put_u16be(group + 6, fit_u16(d));
}

void daly_board_start(struct device *d)
{
	static const uint8_t type[DALY_DATA] = {1, 1, 23, 6, 15, 0xff, 0xff, 0};
	const struct battery_settings *s = &d->battery.settings;
	unsigned cells = d->battery.start.cells;
	uint8_t *boards = group_of(d, DALY_BOARDS);
	struct daly_board *board = d->board;

	board->number = d->address;
	put_u32be(group_of(d, DALY_CAPACITY), (uint32_t)lround(s->design_Ah * 1000));
	put_u32be(group_of(d, DALY_CAPACITY) + 4, d->battery.start.chemistry == NMC ? 3700 : 3200);
	boards[0] = 1;
	boards[1] = (uint8_t)cells;
	boards[4] = (uint8_t)d->battery.start.sensors;
	memcpy(group_of(d, DALY_TYPE), type, DALY_DATA);
	memcpy(group_of(d, DALY_FIRMWARE_INDEX), "20220810", DALY_DATA);
	put_four(group_of(d, DALY_CELL_LIMITS), 1000 * s->cell_ov - 50, 1000 * s->cell_ov, 1000 * s->cell_uv + 200,
		 1000 * s->cell_uv);
	put_four(group_of(d, DALY_PACK_LIMITS), 10 * s->pack_ov - 0.5 * cells, 10 * s->pack_ov,
		 10 * s->pack_uv + 2.0 * cells, 10 * s->pack_uv);
	put_four(group_of(d, DALY_CURRENT_LIMITS), NO_CURRENT + 10 * s->discharge_oc - 30,
		 NO_CURRENT + 10 * s->discharge_oc, NO_CURRENT - 10 * s->charge_oc + 30,
		 NO_CURRENT - 10 * s->charge_oc);
	put_four(group_of(d, DALY_BALANCING), 1000 * s->balance_start, 1000 * s->balance_window, 0, 0);
	put_four(group_of(d, DALY_SHORT_CIRCUIT_LIMIT), 2 * s->discharge_oc + 200, 333, 0, 0);
}

/* What was written takes effect where it means something to the battery. */
static void apply_group(struct device *d, uint8_t command)
{
	struct battery_settings *s = &d->battery.settings;
	struct bytes g = {group_of(d, command), DALY_DATA};

	switch (command) {
	case DALY_CAPACITY:
		s->design_Ah = u32be_at(g, 0) / 1000.0;
		break;
	case DALY_CELL_LIMITS:
		s->cell_ov = u16be_at(g, 2) / 1000.0;
		s->cell_uv = u16be_at(g, 6) / 1000.0;
		break;
	case DALY_PACK_LIMITS:
		s->pack_ov = u16be_at(g, 2) / 10.0;
		s->pack_uv = u16be_at(g, 6) / 10.0;
		break;
	case DALY_CURRENT_LIMITS:
		s->discharge_oc = fabs(u16be_at(g, 2) - (double)NO_CURRENT) / 10;
		s->charge_oc = fabs(u16be_at(g, 6) - (double)NO_CURRENT) / 10;
		break;
	case DALY_BALANCING:
		s->balance_start = u16be_at(g, 0) / 1000.0;
		s->balance_window = u16be_at(g, 2) / 1000.0;
		break;
	default:
		return;
	}
	battery_apply_settings(&d->battery);
}

/* ---- live values: sheet 5 ---- */

static void basic(const struct battery_sample *m, const struct daly_manner *manner, uint8_t *data)
{
	double dA = m->current_mA / 100.0;

	put_u16be(data, fit_u16(m->pack_mV / 100.0));
	put_u16be(data + 2, manner->gathered ? fit_u16(m->pack_mV / 100.0) : 0);
	put_u16be(data + 4, fit_u16(manner->inverted ? NO_CURRENT + dA : NO_CURRENT - dA));
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

static unsigned frames_for(unsigned values, unsigned each, unsigned least)
{
	unsigned needed = (values + each - 1) / each;

	return needed > least ? needed : least;
}

static void send_cells(struct device *d, const struct battery_sample *m, const struct daly_manner *manner,
		       struct reply *out)
{
	unsigned frames = frames_for(m->cells, CELLS_PER_FRAME, manner->least_cell_frames);

	for (unsigned k = 0; k < frames; k++) {
		uint8_t data[DALY_DATA] = {(uint8_t)(k + 1)};

		for (unsigned i = 0; i < CELLS_PER_FRAME; i++)
			if (CELLS_PER_FRAME * k + i < m->cells)
				put_u16be(data + 1 + 2 * i, m->cell_mV[CELLS_PER_FRAME * k + i]);
		data[7] = JUNK;
		reply_with(d, manner, out, DALY_CELLS, data);
	}
}

static void send_sensors(struct device *d, const struct battery_sample *m, const struct daly_manner *manner,
			 struct reply *out)
{
	unsigned frames = frames_for(m->sensors, SENSORS_PER_FRAME, manner->least_sensor_frames);

	for (unsigned k = 0; k < frames; k++) {
		uint8_t data[DALY_DATA] = {(uint8_t)(k + 1)};

		for (unsigned i = 0; i < SENSORS_PER_FRAME; i++)
			if (SENSORS_PER_FRAME * k + i < m->sensors)
				data[1 + i] = temperature(m->sensor_dC[SENSORS_PER_FRAME * k + i]);
		reply_with(d, manner, out, DALY_SENSORS, data);
	}
}

static void send_live(struct device *d, uint8_t command, const struct daly_manner *manner, struct reply *out)
{
	struct battery_sample m;
	uint8_t data[DALY_DATA];
	uint64_t bits = device_alarm_bits(d);

	battery_measure(&d->battery, &m);
	prefill(d, manner, data);
	switch (command) {
	case DALY_BASIC:
		basic(&m, manner, data);
		break;
	case DALY_CELL_RANGE:
		cell_range(&m, data);
		break;
	case DALY_SENSOR_RANGE:
		sensor_range(&m, data);
		break;
	case DALY_STATE:
		state(d, &m, data);
		break;
	case DALY_COUNTS:
		counts(&m, data);
		data[7] = manner->leftovers ? data[7] : JUNK;
		break;
	case DALY_CELLS:
		send_cells(d, &m, manner, out);
		return;
	case DALY_SENSORS:
		send_sensors(d, &m, manner, out);
		return;
	case DALY_BALANCE_BITS:
		memset(data, 0, DALY_DATA);
		for (unsigned i = 0; i < m.cells; i++)
			if (m.balancing[i])
				data[i / 8] = (uint8_t)(data[i / 8] | 1u << i % 8);
		break;
	default: /* DALY_ALARMS */
		for (unsigned i = 0; i < DALY_DATA; i++)
			data[i] = (uint8_t)(bits >> 8 * i);
		break;
	}
	reply_with(d, manner, out, command, data);
}

static void send_constant(struct device *d, uint8_t command, const struct daly_manner *manner, struct reply *out)
{
	struct daly_board *board = d->board;
	char code[48];
	uint8_t data[DALY_DATA] = {0};

	switch (command) {
	case DALY_TOTALS:
		put_u32be(data, (uint32_t)d->battery.charged_Ah);
		put_u32be(data + 4, (uint32_t)d->battery.discharged_Ah);
		break;
	case DALY_BATTERY_CODE:
		snprintf(code, sizeof(code), "BT%020u%04u", 72020120u, (unsigned)board->number);
		send_text(d, manner, out, command, device_text(d->scenario->serial, code), 5);
		return;
	case DALY_SOFTWARE:
		send_text(d, manner, out, command, "12_220810_020T", 2);
		return;
	case DALY_HARDWARE:
		send_text(d, manner, out, command, device_text(d->scenario->model, "DL-BMS-R32-01E"), 2);
		return;
	case DALY_CLOCK:
		memcpy(data, board->clock, sizeof(board->clock));
		put_u16be(data + 6, (uint16_t)lround(10 * 100 * d->battery.remaining_Ah / d->battery.full_Ah));
		break;
	case DALY_FAILURES:
		break;
	default:
		if (!group_of(d, command) || command == 0x55 || command == 0x56 || command == 0x58)
			return;
		memcpy(data, group_of(d, command), DALY_DATA);
	}
	reply_with(d, manner, out, command, data);
}

static void send_dump(struct device *d, uint8_t command, const struct daly_manner *manner, struct reply *out)
{
	struct bytes lines;

	for (unsigned nth = 0; (lines = registers_get(d->registers, command, d->address, nth)).p; nth++) {
		for (size_t i = 0; i < lines.n; i += DALY_DATA) {
			uint8_t data[DALY_DATA] = {0};
			struct bytes part = bytes_sub(lines, i, DALY_DATA);

			memcpy(data, part.p, part.n);
			reply_with(d, manner, out, command, data);
		}
	}
}

/* ---- writing: sheet 7 ---- */

static void acknowledge(struct device *d, uint8_t command, uint8_t first, const struct daly_manner *manner,
			struct reply *out)
{
	uint8_t data[DALY_DATA];

	prefill(d, manner, data);
	data[0] = first;
	reply_with(d, manner, out, command, data);
}

void daly_board_set_soc(struct device *d, unsigned permille)
{
	if (permille <= 1000)
		battery_set_soc(&d->battery, permille / 10.0);
}

static void set_soc(struct device *d, struct bytes data, const struct daly_manner *manner, struct reply *out)
{
	struct daly_board *board = d->board;

	memcpy(board->clock, data.p, sizeof(board->clock));
	daly_board_set_soc(d, u16be_at(data, 6));
	acknowledge(d, DALY_SET_SOC, 1, manner, out);
}

static void set_switch(struct device *d, uint8_t command, bool on, const struct daly_manner *manner, struct reply *out)
{
	if (command == DALY_CHARGE_SWITCH)
		device_switch(d, on, device_discharge_wanted(d), 300 * MS);
	else
		device_switch(d, device_charge_wanted(d), on, 300 * MS);
	acknowledge(d, command, on, manner, out);
}

/* true: the request was a write. */
static bool answer_write(struct device *d, uint8_t command, struct bytes data, const struct daly_manner *manner,
			 struct reply *out)
{
	uint8_t *group = command >= 0x10 && command <= 0x20 ? group_of(d, (uint8_t)(command + WRITE_OFFSET)) : NULL;

	if (command == DALY_SET_SOC) {
		set_soc(d, data, manner, out);
	} else if (command == DALY_CHARGE_SWITCH || command == DALY_DISCHARGE_SWITCH) {
		set_switch(d, command, u8_at(data, 0) == 1, manner, out);
	} else if (command == DALY_RESTART) {
		d->deaf_until = d->now + 2 * SECOND;
	} else if (group) {
		memcpy(group, data.p, DALY_DATA);
		apply_group(d, (uint8_t)(command + WRITE_OFFSET));
		reply_with(d, manner, out, command, group);
	} else {
		return false;
	}
	d->writes++;
	return true;
}

bool daly_board_answer(struct device *d, uint8_t command, struct bytes data, const struct daly_manner *manner,
		       struct reply *out)
{
	if (answer_write(d, command, data, manner, out))
		return true;
	if (d->registers)
		send_dump(d, command, manner, out);
	else if (command >= DALY_BASIC && command <= DALY_ALARMS)
		send_live(d, command, manner, out);
	else
		send_constant(d, command, manner, out);
	return false;
}

void daly_board_tell(const struct device *d, FILE *out)
{
	const struct daly_board *board = d->board;

	fprintf(out, ",\"groups\":\"");
	for (unsigned i = 0; i < DALY_GROUPS; i++)
		for (unsigned j = 0; j < DALY_DATA; j++)
			fprintf(out, "%02x", board->group[i][j]);
	fprintf(out, "\",\"clock\":\"");
	for (unsigned i = 0; i < sizeof(board->clock); i++)
		fprintf(out, "%02x", board->clock[i]);
	fprintf(out, "\"");
}
