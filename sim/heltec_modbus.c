/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A Heltec or YY-BCU board on RS485: 260 registers whose bytes lie little-endian, sheet heltec-modbus. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "sim/device.h"
#include "sim/modbus.h"

enum { REGISTERS = 260, IMAGE = 2 * REGISTERS, REG_SOC = 120, READ_MAX = 125 };
enum { SUMMARY = 2 * 1, STATUS = 2 * 80, SETTINGS = 2 * 160 }; /* where the sheet's blocks begin */
enum { PLACES = 25, SENSORS = 5, NO_TIME = 0xffff };

/* Nobody has seen a write on a wire: it may work, be refused, or be acknowledged without effect. */
enum writes { WRITES_WORK, WRITES_REFUSED, WRITES_IGNORED };

struct heltec_options {
	int writes;
	bool unsigned_family;
};

_Static_assert(sizeof(struct heltec_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct heltec_options, member)

static const struct key heltec_keys[] = {
	{"writes", KEY_WORD, AT(writes), 0, 0, "", "work", "work|refused|ignored", "what becomes of a write", 0},
	{"nosig", KEY_FLAG, AT(unsigned_family), 0, 0, "", "off", NULL,
	 "another family of boards: no SBDM in the summary", 0},
};

static const struct heltec_options *options(const struct device *d)
{
	return (const void *)d->scenario->own;
}

struct heltec_board {
	uint8_t soh_pct;
};

/* The u32 at status 152. */
static const struct alarm_bit heltec_alarms[] = {
	{NULL, HIGH_CELL_VOLTAGE, ALARM, 0},
	{NULL, LOW_CELL_VOLTAGE, ALARM, 1},
	{"cell_uv_cutoff", NO_ALARM, ALARM, 2},
	{NULL, HIGH_VOLTAGE, ALARM, 3},
	{NULL, LOW_VOLTAGE, ALARM, 4},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, 5},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, 6},
	{"hardware_overcurrent", NO_ALARM, ALARM, 7},
	{NULL, SHORT_CIRCUIT, ALARM, 8},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, 9},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, 10},
	{NULL, HIGH_TEMPERATURE, ALARM, 11},
	{NULL, LOW_TEMPERATURE, ALARM, 12},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, 13},
	{NULL, LOW_SOC, WARNING, 14},
	{"battery_full", NO_ALARM, WARNING, 15},
	{"battery_empty", NO_ALARM, WARNING, 16},
	{"hardware_high_voltage", NO_ALARM, ALARM, 17},
	{"hardware_low_voltage", NO_ALARM, ALARM, 18},
	{NULL, INTERNAL_FAILURE, ALARM, 25},
	{"memory_fault", NO_ALARM, ALARM, 26},
	{"voltage_sensor_fault", NO_ALARM, ALARM, 27},
	{"temp_sensor_fault", NO_ALARM, ALARM, 28},
	{"current_sensor_fault", NO_ALARM, ALARM, 29},
	{"discharge_output_fault", NO_ALARM, ALARM, 30},
	{"charge_output_fault", NO_ALARM, ALARM, 31},
};

/* What the registers hold. there: the board, or the dump in its place, has this byte. */
struct image {
	uint8_t p[IMAGE];
	bool there[IMAGE];
};

static void heltec_start(struct device *d)
{
	struct heltec_board *board = d->board;

	board->soh_pct = (uint8_t)lround(d->scenario->soh);
}

static void put8(struct image *img, unsigned at, unsigned v)
{
	img->p[at] = (uint8_t)v;
}

static void put16(struct image *img, unsigned at, double v)
{
	uint16_t raw = v < 0 ? (uint16_t)fit_s16(v) : fit_u16(v);

	put_u16le(img->p + at, raw);
}

static void put32(struct image *img, unsigned at, uint32_t v)
{
	put_u16le(img->p + at, (uint16_t)v);
	put_u16le(img->p + at + 2, (uint16_t)(v >> 16));
}

static void put_text(struct image *img, unsigned at, unsigned size, const char *text)
{
	memcpy(img->p + at, text, strnlen(text, size));
}

static uint8_t degrees(double C)
{
	return (uint8_t)(fmin(fmax(lround(C), -39), 125) + 40);
}

/* ---- summary: sheet 5 ---- */

static void put_identity(const struct device *d, struct image *img)
{
	uint8_t serial[8] = {0x59, 0x11, 0x01, 0x01, 0x63, 0x96, 0xf5, (uint8_t)(0xd2 + d->address)}, given[8];
	char name[16];

	if (bytes_from_hex(d->scenario->serial, given, sizeof(given)) == (int)sizeof(given))
		memcpy(serial, given, sizeof(serial));
	put16(img, SUMMARY + 0, 101);
	memcpy(img->p + SUMMARY + 2, serial, sizeof(serial));
	put_text(img, SUMMARY + 12, 26, device_text(d->scenario->model, "YY-BCU12-MOS-17S100A"));
	put_text(img, SUMMARY + 38, 36, "YY-BCU12-MOS-17S100A-SIM");
	put16(img, SUMMARY + 74, 101);
	put16(img, SUMMARY + 76, 2022);
	put8(img, SUMMARY + 78, 12);
	put8(img, SUMMARY + 79, 5);
	snprintf(name, sizeof(name), "YY-Sim-%04u", d->address);
	put_text(img, SUMMARY + 80, 12, name);
	put_text(img, SUMMARY + 92, 4, "8888");
	put8(img, SUMMARY + 103, d->battery.start.sensors);
	put8(img, SUMMARY + 104, 1);
	put8(img, SUMMARY + 105, 1);
	put8(img, SUMMARY + 111, d->kind->max_cells);
	put16(img, SUMMARY + 112, 100);
	put8(img, SUMMARY + 114, 3);
	put8(img, SUMMARY + 116, 0xff);
	put8(img, SUMMARY + 117, 7);
	put8(img, SUMMARY + 122, 104);
	put8(img, SUMMARY + 123, 133);
	if (!options(d)->unsigned_family)
		put_text(img, SUMMARY + 124, 4, "SBDM");
	memcpy(img->p + SUMMARY + 128, (const uint8_t[]){23, 3, 14, 17, 47, 20}, 6);
}

static void put_live(const struct device *d, struct image *img, const struct battery_sample *m)
{
	put32(img, SUMMARY + 136, 30000000 + m->uptime_s);
	put32(img, SUMMARY + 140, m->uptime_s);
	put16(img, SUMMARY + 144, 7);
	put8(img, SUMMARY + 148, m->cells);
	put8(img, SUMMARY + 149, d->battery.start.chemistry == LFP);
	put32(img, SUMMARY + 150, m->pack_mV);
	put32(img, SUMMARY + 154, (uint32_t) - (int32_t)lround(m->current_mA / 10.0));
}

/* ---- status ---- */

static void put_temperatures(struct image *img, const struct battery_sample *m)
{
	unsigned hottest = 0, coldest = 0;

	put8(img, STATUS + 64, degrees(m->mos_dC / 10.0));
	put8(img, STATUS + 65, degrees(m->ambient_dC / 10.0));
	if (!m->sensors)
		return;
	for (unsigned i = 0; i < m->sensors; i++) {
		put8(img, STATUS + 66 + i, degrees(m->sensor_dC[i] / 10.0));
		hottest = m->sensor_dC[i] > m->sensor_dC[hottest] ? i : hottest;
		coldest = m->sensor_dC[i] < m->sensor_dC[coldest] ? i : coldest;
	}
	uint8_t high = degrees(m->sensor_dC[hottest] / 10.0), low = degrees(m->sensor_dC[coldest] / 10.0);

	put8(img, STATUS + 71, high);
	put8(img, STATUS + 72, low);
	put8(img, STATUS + 73, (unsigned)(high - low));
	put8(img, STATUS + 74, coldest);
	put8(img, STATUS + 75, hottest);
}

static double minutes(double mAh, double mA)
{
	return mA > 0 ? fmin(60 * mAh / mA, NO_TIME - 1) : NO_TIME;
}

static void put_charge(const struct device *d, struct image *img, const struct battery_sample *m)
{
	const struct heltec_board *board = d->board;
	double left_mAh = (double)m->full_mAh - m->remaining_mAh;

	put16(img, STATUS + 76, m->design_mAh / 100.0);
	put16(img, STATUS + 78, m->full_mAh / 100.0);
	put8(img, STATUS + 80, (unsigned)lround(m->soc_permille / 10.0));
	put8(img, STATUS + 81, board->soh_pct);
	put32(img, STATUS + 82, (uint32_t)(m->remaining_mAh / 1000.0 * m->pack_mV / 1000 / 100));
	put16(img, STATUS + 86, minutes(left_mAh, m->current_mA));
	put16(img, STATUS + 88, minutes(m->remaining_mAh, -m->current_mA));
	put8(img, STATUS + 95, m->cycles);
	put16(img, STATUS + 98, 52);
	put16(img, STATUS + 100, -438);
}

static void put_balancing(const struct device *d, struct image *img, const struct battery_sample *m)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < m->cells; i++)
		bits |= (uint32_t)m->balancing[i] << i;
	put32(img, STATUS + 118, bits);
	put16(img, STATUS + 122, d->battery.settings.balance_start * 1000);
	put16(img, STATUS + 124, d->battery.settings.balance_window * 1000);
	put16(img, STATUS + 126, 0x1004);
	put8(img, STATUS + 142, 0xe4);
	put8(img, STATUS + 143, 0x1d);
}

static uint32_t alarm_word(const struct device *d, const struct battery_sample *m)
{
	return (uint32_t)device_alarm_bits(d) | (m->soc_permille >= 1000 ? 1u << 15 : 0) |
	       (m->soc_permille == 0 ? 1u << 16 : 0);
}

/* runState1: bits 4 and 6 stand while the switches allow it, 22 always. */
static uint32_t run_state(const struct device *d, const struct battery_sample *m)
{
	const struct battery *b = &d->battery;
	bool charging = m->current_mA > 100, discharging = m->current_mA < -100;
	uint32_t word = (uint32_t)b->discharge_mos | (uint32_t)b->charge_mos << 1 | 1u << 22;

	word |= (uint32_t)device_discharge_wanted(d) << 4 | (uint32_t)device_charge_wanted(d) << 6;
	word |= charging ? 1u << 7 | 1u << 26 : discharging ? 1u << 9 | 2u << 26 : 1u << 8;
	word |= (uint32_t)(device_charge_wanted(d) && !b->charge_mos) << 28;
	word |= (uint32_t)(device_discharge_wanted(d) && !b->discharge_mos) << 29;
	if (alarm_word(d, m) >> 14 & 1)
		word |= 1u << 12 | 1u << 19;
	return word;
}

static void put_status(const struct device *d, struct image *img, const struct battery_sample *m)
{
	put16(img, STATUS + 0, fmin(fabs((double)m->pack_mV * m->current_mA) / 1e6, INT16_MAX));
	for (unsigned i = 0; i < m->cells && i < PLACES; i++)
		put16(img, STATUS + 2 + 2 * i, m->cell_mV[i]);
	put16(img, STATUS + 52, 1500);
	put16(img, STATUS + 54, 4500);
	put8(img, STATUS + 62, m->highest);
	put8(img, STATUS + 63, m->lowest);
	put_temperatures(img, m);
	put_charge(d, img, m);
	put_balancing(d, img, m);
	put32(img, STATUS + 144, run_state(d, m));
	put32(img, STATUS + 148, 1);
	put32(img, STATUS + 152, alarm_word(d, m));
}

/* ---- settings: sheet 8 ---- */

static void put_settings(const struct device *d, struct image *img)
{
	const struct battery_settings *s = &d->battery.settings;
	const struct {
		uint8_t at;
		double v;
	} word[] = {
		{14, 3200},
		{18, s->cell_ov * 1000},
		{20, s->cell_ov_release * 1000},
		{24, s->cell_uv * 1000},
		{26, s->cell_uv_release * 1000},
		{30, s->cell_uv * 1000},
		{36, s->pack_ov * 100},
		{38, s->pack_ov_release * 100},
		{42, s->pack_uv * 100},
		{44, s->pack_uv_release * 100},
		{48, s->cell_full * 100 * d->battery.start.cells},
		{54, s->balance_start * 100 * d->battery.start.cells},
		{62, s->charge_oc * 100},
		{68, s->discharge_oc * 100},
		{70, s->discharge_oc * 1.2},
		{114, s->design_Ah * 10},
		{116, d->battery.full_Ah * 10},
		{140, 60},
		{142, 10},
	};
	const struct {
		uint8_t at, v;
	} byte[] = {
		{22, 2},
		{23, 5},
		{28, 10},
		{29, 5},
		{64, (uint8_t)s->oc_delay},
		{65, (uint8_t)s->oc_release},
		{80, degrees(s->charge_ot)},
		{81, degrees(s->charge_ot_release)},
		{82, degrees(s->charge_ut)},
		{83, degrees(s->charge_ut_release)},
		{84, degrees(s->discharge_ot)},
		{85, degrees(s->discharge_ot_release)},
		{86, degrees(s->discharge_ut)},
		{87, degrees(s->discharge_ut_release)},
		{88, degrees(s->mos_ot)},
		{89, degrees(s->mos_ot_release)},
		{92, 30},
		{93, 3},
	};

	for (unsigned i = 0; i < sizeof(word) / sizeof(word[0]); i++)
		put16(img, SETTINGS + word[i].at, word[i].v);
	for (unsigned i = 0; i < sizeof(byte) / sizeof(byte[0]); i++)
		put8(img, SETTINGS + byte[i].at, byte[i].v);
	put_text(img, SETTINGS + 94, 8, "00000001");
}

/* ---- all registers together ---- */

/* A dump holds bytes by the register at which they begin; it has what it has and nothing else. */
static void image_of_dump(const struct device *d, struct image *img)
{
	struct bytes value;
	uint16_t key;

	for (unsigned i = 0; registers_at(d->registers, i, d->address, &key, &value); i++) {
		size_t at = 2u * key;

		for (size_t k = 0; k < value.n && at + k < IMAGE; k++) {
			img->p[at + k] = value.p[k];
			img->there[at + k] = true;
		}
	}
}

static void make_image(const struct device *d, struct image *img)
{
	struct battery_sample m;

	memset(img, 0, sizeof(*img));
	if (d->registers) {
		image_of_dump(d, img);
		return;
	}
	memset(img->there, true, sizeof(img->there));
	battery_measure(&d->battery, &m);
	put16(img, 0, d->address);
	put_identity(d, img);
	put_live(d, img, &m);
	put_status(d, img, &m);
	put_settings(d, img);
}

/* ---- requests ---- */

static bool all_there(const struct image *img, size_t at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!img->there[at + i])
			return false;
	return true;
}

static void answer_read(const struct device *d, const struct rtu_request *r, struct frame *f)
{
	struct image img;
	size_t at = 2u * r->start, n = 2u * r->count;

	make_image(d, &img);
	if (!r->count || r->count > READ_MAX)
		rtu_refuse(f, r, RTU_BAD_VALUE);
	else if (at + n > IMAGE || !all_there(&img, at, n))
		rtu_refuse(f, r, RTU_BAD_ADDRESS);
	else
		rtu_answer(f, r, (struct bytes){img.p + at, n});
}

static void answer_write(struct device *d, const struct rtu_request *r, struct frame *f)
{
	struct heltec_board *board = d->board;

	d->writes++;
	if (options(d)->writes == WRITES_REFUSED || r->start != REG_SOC || r->count != 1) {
		rtu_refuse(f, r, RTU_BAD_ADDRESS);
		return;
	}
	if (u8_at(r->values, 0) > 100 || u8_at(r->values, 1) > 100) {
		rtu_refuse(f, r, RTU_BAD_VALUE);
		return;
	}
	if (options(d)->writes == WRITES_WORK) {
		battery_set_soc(&d->battery, u8_at(r->values, 0));
		board->soh_pct = u8_at(r->values, 1);
	}
	rtu_acknowledge(f, r);
}

static void heltec_answer(struct device *d, struct bytes request, struct reply *out)
{
	struct rtu_request r;

	/* Who is asked by address 0 answers with its own, but takes no orders that way. */
	if (device_asleep(d) || !rtu_open(request, &r) ||
	    (r.address != d->hears && (r.address || r.function != RTU_READ_HOLDING)))
		return;
	r.address = d->address;
	if (r.function == RTU_READ_HOLDING)
		answer_read(d, &r, reply_frame(out));
	else if (r.function == RTU_WRITE_REGISTER || r.function == RTU_WRITE_REGISTERS)
		answer_write(d, &r, reply_frame(out));
	else
		rtu_refuse(reply_frame(out), &r, RTU_BAD_FUNCTION);
}

static void heltec_tell(const struct device *d, FILE *out)
{
	const struct heltec_board *board = d->board;

	fprintf(out, ",\"soh_pct\":%u", board->soh_pct);
}

const struct kind heltec_modbus_kind = {
	.id = "heltec-modbus",
	.alias = "heltec",
	.about = "Heltec smart BMS and YY-BCU boards, RS485 Modbus",
	.baud = 9600,
	.delay_min_ms = 50,
	.delay_max_ms = 400,
	.gap = 4 * MS,
	.max_cells = 24,
	.max_sensors = SENSORS,
	.cells = 17,
	.sensors = 2,
	.capacity = 100,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.address_min = 1,
	.address_max = 247,
	.address_first = 1,
	.alarms = heltec_alarms,
	.n_alarms = sizeof(heltec_alarms) / sizeof(heltec_alarms[0]),
	.keys = heltec_keys,
	.n_keys = sizeof(heltec_keys) / sizeof(heltec_keys[0]),
	.garbage_hex = "01A03F",
	.board_size = sizeof(struct heltec_board),
	.start = heltec_start,
	.find_request = rtu_find_request,
	.answer = heltec_answer,
	.tell = heltec_tell,
};
