/* SPDX-License-Identifier: GPL-3.0-or-later */
/* JBD UP16S rack packs, sheet jbd-up16s: the one that is wired answers for its slaves; also the bus between them. */
#include "config.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "protocols/checksum.h"
#include "sim/device.h"
#include "sim/modbus.h"

enum function { READ = 0x78, WRITE = 0x79, INDIVIDUAL = 0x45 };
enum { HEAD = 8, CRC = 2, DATA_MAX = 512, SERIAL = 30, MASTER = 1, LAST_PACK = 16 };
enum { PROTECTION_WORDS = 104, NO_CURRENT = 300000, INDIVIDUAL_MS = 270, CHATTER_MS = 500 };
enum { FULL_FAULT = 25, FULL_WARNING = 18, WARNINGS = 32 }; /* bits; the warnings stand above the faults */

enum block {
	STATUS = 0x1000,
	PROTECTION = 0x1800,
	IDENTITY = 0x1c00,
	CAPACITY = 0x2000,
	TOTALS = 0x2006,
	WIFI = 0x2400,
	CLOCK = 0x2800,
	PRODUCT = 0x2810,
	DEBUG_BLOCK = 0x2900,
	MOS_CONTROL = 0x2902,
};

enum mos_write { MOS_TAKEN, MOS_IGNORED, MOS_SWAPPED };

struct up16s_options {
	bool uart, short45, glitch, links;
	int mos; /* enum mos_write */
	uint32_t fw, off;
};

_Static_assert(sizeof(struct up16s_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct up16s_options, member)

static const struct key up16s_keys[] = {
	{"uart", KEY_FLAG, AT(uart), 0, 0, "", "off", NULL, "the radio stick's port, where slaves answer everything",
	 0},
	{"fw", KEY_INTEGER, AT(fw), 10, 12, "", "12", NULL, "firmware; below 12 no part of a block can be read", 0},
	{"short45", KEY_FLAG, AT(short45), 0, 0, "", "off", NULL, "the individual status is cut short, as older ones",
	 0},
	{"glitch", KEY_FLAG, AT(glitch), 0, 0, "", "off", NULL, "reading block 2000 makes the next DCL 0", 0},
	{"mos", KEY_WORD, AT(mos), 0, 0, "", "taken", "taken|ignored|swapped", "what a write of the MOS word does", 0},
	{"off", KEY_INTEGER, AT(off), 0, LAST_PACK, "", "0", NULL, "address of a pack that has been switched off", 0},
	{"links", KEY_FLAG, AT(links), 0, 0, "", "off", NULL, "the bus between the packs, where their master asks", 0},
};

static const struct up16s_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

static bool mastered(const struct scenario *s)
{
	return options(s)->links;
}

struct up16s_board {
	bool wired;	 /* this one is at the cable's end; it answers for the others */
	bool asks;	 /* the master on the bus between the packs */
	bool dcl_glitch; /* the next status says 0 */
	uint8_t own_address, asked;
	uint16_t protection[PROTECTION_WORDS];
};

/* Bits 0..31: fault word; 32..63: alarm word. */
static const struct alarm_bit up16s_alarms[] = {
	{NULL, HIGH_CELL_VOLTAGE, ALARM, 0},
	{NULL, LOW_CELL_VOLTAGE, ALARM, 1},
	{NULL, HIGH_VOLTAGE, ALARM, 2},
	{NULL, LOW_VOLTAGE, ALARM, 3},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, 4},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, 6},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, 8},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, 9},
	{NULL, HIGH_TEMPERATURE, ALARM, 10},
	{NULL, LOW_TEMPERATURE, ALARM, 11},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, 12},
	{"high_ambient_temperature", NO_ALARM, ALARM, 13},
	{"low_ambient_temperature", NO_ALARM, ALARM, 14},
	{NULL, CELL_IMBALANCE, ALARM, 15},
	{"temperature_difference", NO_ALARM, ALARM, 16},
	{NULL, LOW_SOC, ALARM, 17},
	{NULL, SHORT_CIRCUIT, ALARM, 18},
	{"cell_wire_fault", NO_ALARM, ALARM, 19},
	{"temperature_sensor_fault", NO_ALARM, ALARM, 20},
	{"charge_mos_fault", NO_ALARM, ALARM, 21},
	{"discharge_mos_fault", NO_ALARM, ALARM, 22},
	{"current_limiter_fault", NO_ALARM, ALARM, 23},
	{"aerosol", NO_ALARM, ALARM, 24},
	{NULL, INTERNAL_FAILURE, ALARM, 26},
	{"afe_fault", NO_ALARM, ALARM, 26},
	{"reverse_polarity", NO_ALARM, ALARM, 27},
	{NULL, HIGH_CELL_VOLTAGE, WARNING, WARNINGS + 0},
	{NULL, LOW_CELL_VOLTAGE, WARNING, WARNINGS + 1},
	{NULL, HIGH_VOLTAGE, WARNING, WARNINGS + 2},
	{NULL, LOW_VOLTAGE, WARNING, WARNINGS + 3},
	{NULL, HIGH_CHARGE_CURRENT, WARNING, WARNINGS + 4},
	{NULL, HIGH_DISCHARGE_CURRENT, WARNING, WARNINGS + 5},
	{NULL, HIGH_CHARGE_TEMPERATURE, WARNING, WARNINGS + 6},
	{NULL, LOW_CHARGE_TEMPERATURE, WARNING, WARNINGS + 7},
	{NULL, HIGH_TEMPERATURE, WARNING, WARNINGS + 8},
	{NULL, LOW_TEMPERATURE, WARNING, WARNINGS + 9},
	{NULL, HIGH_INTERNAL_TEMPERATURE, WARNING, WARNINGS + 10},
	{"high_ambient_temperature", NO_ALARM, WARNING, WARNINGS + 11},
	{"low_ambient_temperature", NO_ALARM, WARNING, WARNINGS + 12},
	{NULL, CELL_IMBALANCE, WARNING, WARNINGS + 13},
	{"temperature_difference", NO_ALARM, WARNING, WARNINGS + 14},
	{NULL, LOW_SOC, WARNING, WARNINGS + 15},
	{"eeprom_fault", NO_ALARM, WARNING, WARNINGS + 16},
	{"rtc_fault", NO_ALARM, WARNING, WARNINGS + 17},
};

/* ---- thresholds: sheet 8 ---- */

static const uint16_t usual_protection[PROTECTION_WORDS] = {
	3600, 3400, 3000, 3650, 3400, 3000, 2700, 2900, 3000, 2500, 3000, 3000, 5760, 5440, 3000, 5840, 5440, 3000,
	4200, 4800, 1000, 4000, 4800, 3000, 1050, 1000, 2000, 1200, 2000, 600,	10,   1300, 500,  600,	1050, 1000,
	2000, 1200, 2000, 60,	10,   1400, 200,  60,	1050, 1000, 3000, 1150, 1000, 3000, 550,  600,	1000, 500,
	550,  1000, 1050, 1000, 1000, 1150, 1000, 1000, 350,  400,  1000, 300,	350,  1000, 1450, 1300, 1000, 1550,
	1350, 1000, 1100, 1000, 3000, 1150, 1100, 3000, 350,  400,  3000, 300,	350,  3000, 80,	  80,	3000, 80,
	80,   3000, 600,  500,	8000, 800,  500,  8000, 10,   15,   2000, 3,	5,    2000,
};

#define OF(member) offsetof(struct battery_settings, member)

/* Words that are thresholds of the battery. */
static const struct {
	uint8_t word;
	uint16_t factor, zero;
	size_t member;
} thresholds[] = {
	{3, 1000, 0, OF(cell_ov)},	    {4, 1000, 0, OF(cell_ov_release)},
	{9, 1000, 0, OF(cell_uv)},	    {10, 1000, 0, OF(cell_uv_release)},
	{15, 100, 0, OF(pack_ov)},	    {16, 100, 0, OF(pack_ov_release)},
	{21, 100, 0, OF(pack_uv)},	    {22, 100, 0, OF(pack_uv_release)},
	{27, 10, 0, OF(charge_oc)},	    {37, 10, 0, OF(discharge_oc)},
	{47, 10, 500, OF(charge_ot)},	    {48, 10, 500, OF(charge_ot_release)},
	{53, 10, 500, OF(charge_ut)},	    {54, 10, 500, OF(charge_ut_release)},
	{59, 10, 500, OF(discharge_ot)},    {60, 10, 500, OF(discharge_ot_release)},
	{65, 10, 500, OF(discharge_ut)},    {66, 10, 500, OF(discharge_ut_release)},
	{71, 10, 500, OF(mos_ot)},	    {72, 10, 500, OF(mos_ot_release)},
	{95, 1000, 0, OF(cell_difference)}, {96, 1000, 0, OF(cell_difference_release)},
	{101, 1, 0, OF(low_soc)},	    {102, 1, 0, OF(low_soc_release)},
};

static void up16s_start(struct device *d)
{
	struct up16s_board *board = d->board;

	board->own_address = d->address;
	board->wired = d->address == d->scenario->address[0];
	board->asks = !d->address;
	board->asked = MASTER;
	if (board->asks) /* it is not asked itself */
		d->hears = 0xff;
	memcpy(board->protection, usual_protection, sizeof(usual_protection));
	for (size_t i = 0; i < sizeof(thresholds) / sizeof(thresholds[0]); i++) {
		double v;

		memcpy(&v, (const char *)&d->battery.settings + thresholds[i].member, sizeof(v));
		board->protection[thresholds[i].word] = fit_u16(v * thresholds[i].factor + thresholds[i].zero);
	}
}

/* ---- framing: sheet 3 ---- */

static int up16s_find_request(const struct scenario *s, struct bytes in)
{
	uint8_t function = u8_at(in, 1);
	size_t n = HEAD + (size_t)u16be_at(in, 6) + CRC;

	(void)s;
	if (in.n > 1 && function != READ && function != WRITE && function != INDIVIDUAL)
		return -1;
	if (!bytes_has(in, 0, HEAD))
		return 0;
	if (n > HEAD + DATA_MAX + CRC)
		return -1;
	if (!bytes_has(in, 0, n))
		return 0;
	return crc16_modbus(bytes_sub(in, 0, n - CRC)) == u16le_at(in, n - CRC) ? (int)n : -1;
}

static void send_reply(const struct device *d, struct reply *out, struct bytes request, struct bytes data)
{
	struct frame *f = reply_frame(out);

	frame_add_u8(f, d->address);
	frame_add(f, request.p + 1, 5); /* function, start and end are repeated */
	frame_add_u16be(f, (unsigned)data.n);
	frame_add(f, data.p, data.n);
	rtu_end(f);
}

/* ---- what the pack measures ---- */

static unsigned degrees(int16_t dC)
{
	return (unsigned)(dC + 500);
}

static unsigned kelvin(int16_t dC)
{
	return (unsigned)(dC + 2731);
}

static void extreme_sensors(const struct battery_sample *m, unsigned *high, unsigned *low)
{
	*high = *low = 0;
	for (unsigned i = 1; i < m->sensors; i++) {
		if (m->sensor_dC[i] > m->sensor_dC[*high])
			*high = i;
		if (m->sensor_dC[i] < m->sensor_dC[*low])
			*low = i;
	}
}

static unsigned packs(const struct device *d)
{
	const struct up16s_board *board = d->board;
	unsigned n = 1;

	for (unsigned i = 0; board->wired && i < d->scenario->addresses; i++)
		n += d->scenario->address[i] != board->own_address &&
		     d->scenario->address[i] != options(d->scenario)->off;
	return n;
}

/* Of those that answer: bit 0 is address 1. */
static unsigned online(const struct device *d)
{
	const struct up16s_board *board = d->board;
	unsigned mask = 1u << (board->own_address - 1);

	for (unsigned i = 0; board->wired && i < d->scenario->addresses; i++)
		if (d->scenario->address[i] != options(d->scenario)->off)
			mask |= 1u << (d->scenario->address[i] - 1);
	return mask;
}

/* 0.1 A. One C, and nothing through a MOS that is open. */
static unsigned own_ccl(const struct device *d)
{
	return d->battery.charge_mos ? fit_u16(10 * d->battery.settings.design_Ah) : 0;
}

static unsigned own_dcl(const struct device *d)
{
	return d->battery.discharge_mos ? fit_u16(10 * d->battery.settings.design_Ah) : 0;
}

static unsigned mos_word(const struct device *d)
{
	return (d->battery.discharge_mos ? 1u : 0) | (d->battery.charge_mos ? 2u : 0) | (d->battery.heater_on ? 8u : 0);
}

static unsigned flow(const struct battery_sample *m)
{
	return m->current_mA > 100 ? 1 : m->current_mA < -100 ? 2 : 0;
}

static unsigned centi_pct(const struct device *d, const struct battery_sample *m)
{
	const struct up16s_board *board = d->board;
	unsigned v = 10 * m->soc_permille;

	return board->wired ? v : v / 100 * 100; /* a slave's comes in whole percent */
}

static void add_text(struct frame *f, const char *text, size_t room)
{
	char padded[SERIAL] = {0};

	memcpy(padded, text, strnlen(text, room));
	frame_add(f, padded, room);
}

static const char *serial_of(const struct device *d)
{
	return device_text(d->scenario->serial, "JBD48100000");
}

static unsigned mean_mV(const struct battery_sample *m)
{
	return (m->pack_mV + m->cells / 2) / m->cells;
}

static unsigned mean_dC(const struct battery_sample *m)
{
	int sum = 0;

	for (unsigned i = 0; i < m->sensors; i++)
		sum += m->sensor_dC[i];
	return m->sensors ? degrees((int16_t)(sum / (int)m->sensors)) : 0;
}

/* ---- the status: sheet 5.1 ---- */

static void add_flow(const struct device *d, const struct battery_sample *m, struct frame *f)
{
	const struct up16s_board *board = d->board;
	unsigned pack_cV = fit_u16(m->pack_mV / 10.0);

	frame_add_u16be(f, pack_cV);
	frame_add_u16be(f, board->wired ? 0 : pack_cV);
	frame_add_u32be(f, (uint32_t)lround(NO_CURRENT + m->current_mA / 10.0));
	frame_add_u16be(f, centi_pct(d, m));
	frame_add_u16be(f, fit_u16(m->remaining_mAh / 10.0));
	frame_add_u16be(f, fit_u16(m->full_mAh / 10.0));
	frame_add_u16be(f, fit_u16(m->design_mAh / 10.0));
	frame_add_u16be(f, degrees(m->mos_dC));
	frame_add_u16be(f, degrees(m->ambient_dC));
	frame_add_u16be(f, flow(m));
	frame_add_u16be(f, (unsigned)lround(d->scenario->soh));
}

static void add_alarms(const struct device *d, struct frame *f)
{
	uint64_t bits = device_alarm_bits(d);

	if (d->battery.phase == RESTING_FULL)
		bits |= (uint64_t)1 << FULL_FAULT | (uint64_t)1 << (WARNINGS + FULL_WARNING);
	frame_add_u32be(f, (uint32_t)bits);
	frame_add_u32be(f, (uint32_t)(bits >> WARNINGS));
}

static void add_extremes(const struct battery_sample *m, struct frame *f)
{
	unsigned high, low;

	extreme_sensors(m, &high, &low);
	frame_add_u16be(f, m->highest + 1);
	frame_add_u16be(f, m->cell_mV[m->highest]);
	frame_add_u16be(f, m->lowest + 1);
	frame_add_u16be(f, m->cell_mV[m->lowest]);
	frame_add_u16be(f, mean_mV(m));
	frame_add_u16be(f, high + 1);
	frame_add_u16be(f, degrees(m->sensor_dC[high]));
	frame_add_u16be(f, low + 1);
	frame_add_u16be(f, degrees(m->sensor_dC[low]));
	frame_add_u16be(f, mean_dC(m));
}

/* The one that is wired tells the limits of all. */
static void add_limits(struct device *d, struct frame *f)
{
	struct up16s_board *board = d->board;

	frame_add_u16be(f, fit_u16(10 * d->battery.settings.pack_ov));
	frame_add_u16be(f, fit_u16((double)own_ccl(d) * packs(d)));
	frame_add_u16be(f, fit_u16(10 * d->battery.settings.pack_uv));
	frame_add_u16be(f, board->dcl_glitch ? 0 : fit_u16((double)own_dcl(d) * packs(d)));
	board->dcl_glitch = false;
}

static void add_trailer(const struct device *d, const struct battery_sample *m, struct frame *f)
{
	static const uint8_t rest[8] = {0x00, 0x35, 0xaa, 0x60};
	const struct up16s_board *board = d->board;
	unsigned balancing = 0, fw = options(d->scenario)->fw;

	for (unsigned i = 0; i < m->cells && i < 16; i++)
		balancing |= (m->balancing[i] ? 1u : 0) << i;
	frame_add_u16be(f, 0);
	frame_add_u16be(f, balancing);
	frame_add_u8(f, board->wired ? fw : 0);
	frame_add_u8(f, 4);
	add_text(f, serial_of(d), SERIAL);
	frame_add_u16be(f, packs(d));
	frame_add_u16be(f, online(d));
	if (board->wired)
		frame_add(f, rest, fw == 12 ? 8 : 6);
}

static void status(struct device *d, struct frame *f)
{
	const struct up16s_board *board = d->board;
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	add_flow(d, &m, f);
	add_alarms(d, f);
	frame_add_u16be(f, mos_word(d));
	frame_add_u16be(f, board->wired ? 4 : 0);
	frame_add_u16be(f, m.cycles);
	add_extremes(&m, f);
	add_limits(d, f);
	frame_add_u16be(f, m.cells);
	for (unsigned i = 0; i < m.cells; i++)
		frame_add_u16be(f, m.cell_mV[i]);
	frame_add_u16be(f, m.sensors);
	for (unsigned i = 0; i < m.sensors; i++)
		frame_add_u16be(f, degrees(m.sensor_dC[i]));
	add_trailer(d, &m, f);
}

/* ---- the individual status: sheet 5.2 ---- */

static void add_swapped_serial(const struct device *d, struct frame *f)
{
	const char *serial = serial_of(d);
	uint8_t text[SERIAL] = {0};

	for (size_t i = 0; i < strnlen(serial, SERIAL); i++)
		text[i ^ 1] = (uint8_t)serial[i];
	frame_add(f, text, SERIAL);
}

static void individual(const struct device *d, struct frame *f)
{
	static const uint8_t none[14] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t zeros[5];
	unsigned high, low, moves;
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	extreme_sensors(&m, &high, &low);
	moves = flow(&m);
	frame_add_u16be(f, m.cells);
	for (unsigned i = 0; i < m.cells; i++)
		frame_add_u16be(f, m.cell_mV[i]);
	frame_add_u16be(f, m.cell_mV[m.highest]);
	frame_add_u16be(f, m.cell_mV[m.lowest]);
	frame_add_u16be(f, fit_u16(m.pack_mV / 10.0));
	frame_add_u32be(f, (uint32_t)lround(m.current_mA / 10.0));
	frame_add_u16be(f, kelvin(m.sensor_dC[high]));
	frame_add_u16be(f, kelvin(m.sensor_dC[low]));
	frame_add_u16be(f, fit_u16(m.full_mAh / 10.0));
	frame_add_u16be(f, fit_u16(m.remaining_mAh / 10.0));
	frame_add_u16be(f, m.cycles);
	frame_add_u16be(f, m.soc_permille / 10);
	frame_add_u16be(f, (unsigned)lround(d->scenario->soh));
	frame_add_u32be(f, 0);
	frame_add_u16be(f, (mos_word(d) & 3) | (moves == 2 ? 4u : 0) | (moves == 1 ? 8u : 0));
	frame_add_u16be(f, 0);
	if (options(d->scenario)->short45) {
		frame_add(f, none, sizeof(none));
		frame_add(f, zeros, sizeof(zeros));
		return;
	}
	add_swapped_serial(d, f);
	frame_add_u16be(f, own_ccl(d));
	frame_add_u16be(f, own_dcl(d));
	frame_add_u16be(f, 8);
	frame_add_u16be(f, kelvin(m.mos_dC));
	frame_add_u16be(f, kelvin(m.ambient_dC));
	frame_add_u8(f, m.sensors);
	frame_add_u8(f, 4);
	for (unsigned i = 0; i < m.sensors; i++)
		frame_add_u16be(f, kelvin(m.sensor_dC[i]));
}

/* ---- other blocks: sheet 5.3..5.7 ---- */

/* SoC to discharged Ah: what can be read by itself. */
static void totals(const struct device *d, struct frame *f)
{
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	frame_add_u16be(f, centi_pct(d, &m));
	frame_add_u16be(f, (unsigned)lround(d->scenario->soh));
	frame_add_u16be(f, m.cycles);
	frame_add_u16be(f, 150);
	frame_add_u16be(f, 80);
	frame_add_u32be(f, (uint32_t)lround(10 * d->battery.charged_Ah));
	frame_add_u32be(f, (uint32_t)lround(10 * d->battery.discharged_Ah));
}

static void capacity(struct device *d, struct frame *f)
{
	static const uint16_t curve[] = {30, 3100, 20, 3200, 30, 3450, 80, 3550, 90};
	struct up16s_board *board = d->board;
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	frame_add_u16be(f, fit_u16(m.design_mAh / 10.0));
	frame_add_u16be(f, fit_u16(m.full_mAh / 10.0));
	frame_add_u16be(f, fit_u16(m.remaining_mAh / 10.0));
	totals(d, f);
	for (size_t i = 0; i < sizeof(curve) / sizeof(curve[0]); i++)
		frame_add_u16be(f, curve[i]);
	frame_add_u16be(f, fit_u16(10 * d->battery.settings.pack_ov));
	frame_add_u16be(f, own_ccl(d));
	frame_add_u16be(f, fit_u16(10 * d->battery.settings.pack_uv));
	frame_add_u16be(f, own_dcl(d));
	frame_add_u16be(f, m.cells);
	frame_add_u16be(f, 0x0d20);
	frame_add_u16be(f, m.sensors);
	frame_add_u32be(f, 0x05f2007d);
	frame_add_u32be(f, 0x00010000);
	board->dcl_glitch = options(d->scenario)->glitch;
}

static void identity(const struct device *d, struct frame *f)
{
	static const uint16_t bms_date[] = {2025, 4, 17}, date[] = {2025, 3, 18};
	static const uint16_t sleep[] = {0, 3150, 1440, 1, 0, 0, 0, 5};
	const struct up16s_board *board = d->board;
	char bms[SERIAL + 1];

	frame_add_u32be(f, 0);
	frame_add_u16be(f, fit_u16(1000 * d->battery.settings.balance_start));
	frame_add_u16be(f, fit_u16(1000 * d->battery.settings.balance_window));
	frame_add_u16be(f, 500);
	frame_add_u16be(f, 600);
	frame_add_u16be(f, fit_u16(100 * d->battery.settings.cell_full * d->battery.start.cells));
	frame_add_u16be(f, 1500);
	snprintf(bms, sizeof(bms), "UP16S0190001235250322%05u", 330u + board->own_address);
	add_text(f, bms, SERIAL);
	for (unsigned i = 0; i < 3; i++)
		frame_add_u16be(f, bms_date[i]);
	add_text(f, serial_of(d), SERIAL);
	for (unsigned i = 0; i < 3; i++)
		frame_add_u16be(f, date[i]);
	add_text(f, device_text(d->scenario->model, "ECO-LFP48100-3U-024EDD"), SERIAL);
	for (unsigned i = 0; i < 8; i++)
		frame_add_u16be(f, sleep[i]);
}

static void product(const struct device *d, struct frame *f)
{
	frame_add_u16be(f, 33);
	frame_add_u16be(f, 3);
	frame_add_u16be(f, options(d->scenario)->fw);
	frame_add_u16be(f, 1);
	frame_add_u16be(f, 7);
	frame_add_u16be(f, 0x24);
	add_text(f, "UP16S015.16S200A", 16);
	add_text(f, "JBD", 16);
}

static void clock_words(const struct device *d, struct frame *f)
{
	time_t t = 1780765604 + (time_t)d->battery.time_s; /* 2026-06-06 17:06:44 */
	struct tm tm;

	gmtime_r(&t, &tm);
	frame_add_u16be(f, (unsigned)tm.tm_year + 1900);
	frame_add_u16be(f, (unsigned)tm.tm_mon + 1);
	frame_add_u16be(f, (unsigned)tm.tm_mday);
	frame_add_u16be(f, (unsigned)tm.tm_hour);
	frame_add_u16be(f, (unsigned)tm.tm_min);
	frame_add_u16be(f, (unsigned)tm.tm_sec);
}

/* false: there is no such block. */
static bool read_block(struct device *d, uint16_t start, struct frame *f)
{
	static const uint8_t zeros[14];
	const struct up16s_board *board = d->board;

	switch (start) {
	case STATUS:
		status(d, f);
		return true;
	case PROTECTION:
		for (unsigned i = 0; i < PROTECTION_WORDS; i++)
			frame_add_u16be(f, board->protection[i]);
		return true;
	case IDENTITY:
		identity(d, f);
		return true;
	case CAPACITY:
		capacity(d, f);
		return true;
	case TOTALS:
		totals(d, f);
		return options(d->scenario)->fw >= 12;
	case CLOCK:
		clock_words(d, f);
		return true;
	case PRODUCT:
		product(d, f);
		return true;
	case WIFI:
	case DEBUG_BLOCK:
		frame_add(f, zeros, sizeof(zeros));
		return true;
	default:
		return false;
	}
}

/* ---- writing: sheet 7 ---- */

static void write_mos(struct device *d, uint16_t word)
{
	bool charge = word & 2, discharge = word & 1;

	if (options(d->scenario)->mos == MOS_SWAPPED)
		device_switch(d, discharge, charge, 200 * MS);
	else if (options(d->scenario)->mos == MOS_TAKEN)
		device_switch(d, charge, discharge, 200 * MS);
}

/* false: silence. */
static bool write_word(struct device *d, struct bytes request)
{
	static const uint8_t key[] = {0x11, 'J', 'B', 'D'};
	struct bytes data = bytes_sub(request, HEAD, u16be_at(request, 6));
	uint16_t start = u16be_at(request, 2), end = u16be_at(request, 4), word = u16be_at(data, sizeof(key));

	if (data.n != sizeof(key) + 2 || end != start + 2 || memcmp(data.p, key, sizeof(key)) != 0)
		return false;
	if (start == TOTALS && word <= 10000)
		battery_set_soc(&d->battery, word / 100.0);
	else if (start == MOS_CONTROL)
		write_mos(d, word);
	else
		return false;
	d->writes++;
	return true;
}

/* ---- answering: sheet 2 ---- */

/* What the wired pack does not hand on stays unanswered. */
static bool reached(const struct device *d, uint8_t function, uint16_t start)
{
	const struct up16s_board *board = d->board;
	const struct up16s_options *o = options(d->scenario);

	if (board->own_address == o->off)
		return false;
	if (o->links)
		return function == INDIVIDUAL;
	if (board->wired || (function == READ && start == STATUS))
		return true;
	return o->uart && function != INDIVIDUAL;
}

static void send_dump(const struct device *d, struct bytes request, uint16_t key, struct reply *out)
{
	struct bytes value = registers_get(d->registers, key, d->address, 0);

	if (value.p)
		send_reply(d, out, request, value);
}

static void up16s_answer(struct device *d, struct bytes request, struct reply *out)
{
	uint8_t function = u8_at(request, 1);
	uint16_t start = u16be_at(request, 2);
	struct frame data = {.n = 0};

	if (u8_at(request, 0) != d->hears || !reached(d, function, start))
		return;
	if (function == WRITE) {
		if (write_word(d, request))
			send_reply(d, out, request, (struct bytes){NULL, 0});
		return;
	}
	if (request.n != HEAD + CRC)
		return;
	if (function == INDIVIDUAL)
		out->delay = INDIVIDUAL_MS * MS;
	if (d->registers)
		send_dump(d, request, function == INDIVIDUAL ? INDIVIDUAL : start, out);
	else if (function == INDIVIDUAL ? start == 0 : read_block(d, start, &data)) {
		if (function == INDIVIDUAL)
			individual(d, &data);
		send_reply(d, out, request, frame_bytes(&data));
	}
}

/* The master of the bus between the packs asks one after the other. */
static usec up16s_speak(struct device *d, struct reply *out)
{
	static const uint8_t rest[] = {INDIVIDUAL, 0x00, 0x00, 0x00, 0x54, 0x00, 0x00};
	struct up16s_board *board = d->board;
	struct frame *f = reply_frame(out);

	board->asked = board->asked < 15 ? (uint8_t)(board->asked + 1) : MASTER + 1;
	frame_add_u8(f, board->asked);
	frame_add(f, rest, sizeof(rest));
	rtu_end(f);
	out->heard = true;
	return d->now + CHATTER_MS * MS;
}

static void up16s_tell(const struct device *d, FILE *out)
{
	fprintf(out, ",\"mos_word\":%u", mos_word(d));
}

const struct kind jbd_up16s_kind = {
	.id = "jbd-up16s",
	.alias = "up16s",
	.about = "JBD UP16S rack packs behind their master",
	.baud = 9600,
	.delay_min_ms = 140,
	.delay_max_ms = 155,
	.gap = 50 * MS,
	.max_cells = 32,
	.max_sensors = 8,
	.cells = 16,
	.sensors = 4,
	.capacity = 100,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.mastered = mastered,
	.address_min = MASTER,
	.address_max = LAST_PACK,
	.address_first = MASTER,
	.alarms = up16s_alarms,
	.n_alarms = sizeof(up16s_alarms) / sizeof(up16s_alarms[0]),
	.keys = up16s_keys,
	.n_keys = sizeof(up16s_keys) / sizeof(up16s_keys[0]),
	.garbage_hex = "017800",
	.board_size = sizeof(struct up16s_board),
	.start = up16s_start,
	.find_request = up16s_find_request,
	.answer = up16s_answer,
	.speak = up16s_speak,
	.tell = up16s_tell,
};
