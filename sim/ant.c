/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An ANT board on UART, sheet ant: the protocol of 2021 with its 7E A1 frames, and the 140 bytes of the older
 * boards, which the newer ones answer as well. */
#include <math.h>
#include <string.h>

#include "protocols/checksum.h"
#include "sim/device.h"

enum function {
	STATUS = 0x01,
	READ = 0x02,
	ID = 0x04,
	WRITE = 0x22,
	PASSWORD = 0x23,
	CONTROL = 0x51,
	LEGACY_READ = 0x5a,
	LEGACY_WRITE = 0xa5,
	LEGACY_BLUETOOTH = 0xdb,
};

enum control {
	DO_DISCHARGE_OFF = 0x01,
	DO_DISCHARGE_ON = 0x03,
	DO_CHARGE_OFF = 0x04,
	DO_CHARGE_ON = 0x06,
	DO_SAVE = 0x07,
	DO_RESTART = 0x09,
	DO_BALANCE_ON = 0x0d,
	DO_BALANCE_OFF = 0x0e,
};

enum { MODEL_2021, MODEL_LEGACY };
enum { MOS_WAITS = 0x00, MOS_ON = 0x01, MOS_IDLE = 0x0e, MOS_BY_HAND = 0x0f };
enum { BALANCER_DIFFERENCE = 2, BALANCER_HOT = 3, BALANCER_MANUAL = 4 };
enum { CHARGE_CODES = 0, DISCHARGE_CODES = 32, BALANCER_CODES = 56 }; /* places in the alarm bits */
enum { PERMISSION_NONE = 1, PERMISSION_ALL = 5, REFUSED = 3 };
enum { INFO = 0x26c, REMAINING = 0xa6, REGISTERS = 0x28c, PAGE_MAX = 0x80 };
enum { LEGACY_WORDS = 128, LEGACY_SIZE = 140, LEGACY_REQUEST = 6, CELL_PLACES = 32, SENSOR_PLACES = 4 };
enum { ABSENT = -40, SWITCH_MS = 300 };
enum word {
	WORD_FULL = 31,
	WORD_REMAINING = 33,
	WORD_TOTAL = 35,
	SWITCH_DISCHARGE = 0xf9,
	SWITCH_CHARGE = 0xfa,
	BALANCE = 0xfc,
	REBOOT = 0xfe,
	APPLY = 0xff,
};

struct ant_options {
	int dialect; /* MODEL_ */
	bool password, nocapacity, dropfirst;
	double lag;
};

_Static_assert(sizeof(struct ant_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct ant_options, member)

static const struct key ant_keys[] = {
	{"dialect", KEY_WORD, AT(dialect), 0, 0, "", "2021", "2021|legacy",
	 "2021: both protocols are answered; legacy: an older board", 0},
	{"password", KEY_FLAG, AT(password), 0, 0, "", "off", NULL, "switching and writing want the password first", 0},
	{"nocapacity", KEY_FLAG, AT(nocapacity), 0, 0, "", "off", NULL, "the status has 0 for the full capacity", 0},
	{"dropfirst", KEY_FLAG, AT(dropfirst), 0, 0, "", "off", NULL, "the first read of parameters is not answered",
	 0},
	{"lag", KEY_NUMBER, AT(lag), 0, 60, "s", "5", NULL, "until the charge MOS follows being switched on", 0},
};

static const struct ant_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

struct ant_board {
	uint8_t permission;
	bool read_once; /* parameters have been asked for */
	bool balance_by_hand;
	uint8_t image[REGISTERS];	/* parameters of 2021 by address */
	uint16_t word[LEGACY_WORDS];	/* legacy parameters by number */
	uint16_t pending[LEGACY_WORDS]; /* written, not yet applied */
	bool is_pending[LEGACY_WORDS];
	uint8_t pressed[256]; /* switches written, not yet applied: 1 + value */
};

/* The code that says why a MOS is off is the alarm. Where several hold, the lowest one shows. */
static const struct alarm_bit ant_alarms[] = {
	{NULL, HIGH_CELL_VOLTAGE, ALARM, CHARGE_CODES + 0x02},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, CHARGE_CODES + 0x03},
	{NULL, HIGH_VOLTAGE, ALARM, CHARGE_CODES + 0x05},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, CHARGE_CODES + 0x06},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, CHARGE_CODES + 0x07},
	{NULL, INTERNAL_FAILURE, ALARM, CHARGE_CODES + 0x09},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, CHARGE_CODES + 0x11},
	{NULL, CELL_IMBALANCE, ALARM, CHARGE_CODES + 0x12},
	{NULL, LOW_CELL_VOLTAGE, ALARM, DISCHARGE_CODES + 0x02},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, DISCHARGE_CODES + 0x03},
	{NULL, LOW_VOLTAGE, ALARM, DISCHARGE_CODES + 0x05},
	{NULL, HIGH_TEMPERATURE, ALARM, DISCHARGE_CODES + 0x06},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, DISCHARGE_CODES + 0x07},
	{NULL, INTERNAL_FAILURE, ALARM, DISCHARGE_CODES + 0x09},
	{NULL, SHORT_CIRCUIT, ALARM, DISCHARGE_CODES + 0x0c},
	{NULL, LOW_TEMPERATURE, ALARM, DISCHARGE_CODES + 0x11},
	{NULL, CELL_IMBALANCE, ALARM, DISCHARGE_CODES + 0x12},
	{NULL, HIGH_INTERNAL_TEMPERATURE, WARNING, BALANCER_CODES + BALANCER_HOT},
};

/* ---- framing: sheet 3 ---- */

static bool is_read(uint8_t function)
{
	return function == STATUS || function == READ || function == ID;
}

static int find_2021(struct bytes in)
{
	size_t n;

	if (bytes_has(in, 1, 1) && u8_at(in, 1) != 0xa1)
		return -1;
	if (!bytes_has(in, 0, 6))
		return 0;
	n = 10u + (is_read(u8_at(in, 2)) ? 0 : u8_at(in, 5));
	if (!bytes_has(in, 0, n))
		return 0;
	if (crc16_modbus(bytes_sub(in, 1, n - 5)) != u16le_at(in, n - 4) || u16be_at(in, n - 2) != 0xaa55)
		return -1;
	return (int)n;
}

static int ant_find_request(const struct scenario *s, struct bytes in)
{
	uint8_t header = u8_at(in, 0);

	if (header == 0x7e && options(s)->dialect == MODEL_2021)
		return find_2021(in);
	/* An older board hears DB only from its Bluetooth module. */
	if (header != LEGACY_READ && header != LEGACY_WRITE &&
	    !(header == LEGACY_BLUETOOTH && options(s)->dialect == MODEL_2021))
		return -1;
	if (bytes_has(in, 1, 1) && u8_at(in, 1) != header)
		return -1;
	if (!bytes_has(in, 0, LEGACY_REQUEST))
		return 0;
	return sum8(bytes_sub(in, 2, 3)) == u8_at(in, 5) ? LEGACY_REQUEST : -1;
}

static void frame_add_u16le(struct frame *f, unsigned v)
{
	frame_add_u8(f, v & 0xff);
	frame_add_u8(f, v >> 8 & 0xff);
}

static void frame_add_u32le(struct frame *f, uint32_t v)
{
	frame_add_u16le(f, v & 0xffff);
	frame_add_u16le(f, v >> 16);
}

/* Replies to reads and writes of parameters have six bytes of rubbish before their end. */
static void send_2021(struct reply *out, uint8_t function, uint16_t address, struct bytes data)
{
	static const uint8_t stray_read[] = {0xff, 0x0b, 0x00, 0x00, 0x41, 0xf2};
	static const uint8_t stray_write[] = {0xff, 0x0a, 0x00, 0x00, 0x10, 0x32};
	struct frame *f = reply_frame(out);

	frame_add(f, "\x7e\xa1", 2);
	frame_add_u8(f, function);
	frame_add_u16le(f, address);
	frame_add_u8(f, (unsigned)data.n);
	frame_add(f, data.p, data.n);
	f->sum_at = f->n;
	frame_add_u16le(f, crc16_modbus(bytes_sub(frame_bytes(f), 1, f->n)));
	if (function == READ + 0x10)
		frame_add(f, stray_read, sizeof(stray_read));
	else if (function == WRITE + 0x20)
		frame_add(f, stray_write, sizeof(stray_write));
	frame_add(f, "\xaa\x55", 2);
}

static void send_word(struct reply *out, uint8_t word, uint16_t value)
{
	struct frame *f = reply_frame(out);

	frame_add_u8(f, LEGACY_READ);
	frame_add_u8(f, LEGACY_READ);
	frame_add_u8(f, word);
	frame_add_u16be(f, value);
	f->sum_at = f->n;
	frame_add_u8(f, sum8(bytes_sub(frame_bytes(f), 2, 3)));
}

/* ---- what the board is doing ---- */

static unsigned code_of(const struct device *d, unsigned place, bool mos, bool set, bool wanted)
{
	uint64_t bits = device_alarm_bits(d) >> place;

	if (!set && !mos)
		return wanted ? MOS_WAITS : MOS_BY_HAND;
	for (unsigned code = 0; code < 0x15; code++)
		if (bits >> code & 1)
			return code;
	return mos ? MOS_ON : MOS_IDLE;
}

static unsigned charge_code(const struct device *d)
{
	return code_of(d, CHARGE_CODES, d->battery.charge_mos, d->battery.settings.charge_switch,
		       device_charge_wanted(d));
}

static unsigned discharge_code(const struct device *d)
{
	return code_of(d, DISCHARGE_CODES, d->battery.discharge_mos, d->battery.settings.discharge_switch,
		       device_discharge_wanted(d));
}

/* By hand, all but the lowest cells are bled. */
static uint32_t balancing(const struct device *d, const struct battery_sample *m)
{
	const struct ant_board *board = d->board;
	uint32_t bits = 0;

	for (unsigned i = 0; i < m->cells && i < CELL_PLACES; i++)
		if (board->balance_by_hand ? m->cell_mV[i] > m->cell_mV[m->lowest] : m->balancing[i])
			bits |= (uint32_t)1 << i;
	return bits;
}

static unsigned balancer_code(const struct device *d, const struct battery_sample *m)
{
	const struct ant_board *board = d->board;

	if (device_alarm_bits(d) >> (BALANCER_CODES + BALANCER_HOT) & 1)
		return BALANCER_HOT;
	return board->balance_by_hand ? BALANCER_MANUAL : m->balancing_any ? BALANCER_DIFFERENCE : 0;
}

static uint32_t micro(double Ah)
{
	return (uint32_t)llround(fmin(fmax(Ah * 1e6, 0), UINT32_MAX));
}

static uint32_t milli(double Ah)
{
	return (uint32_t)llround(fmin(fmax(Ah * 1e3, 0), UINT32_MAX));
}

static uint32_t full_uAh(const struct device *d)
{
	return options(d->scenario)->nocapacity ? 0 : micro(d->battery.full_Ah);
}

static double throughput(const struct device *d)
{
	return (d->battery.charged_Ah + d->battery.discharged_Ah) / 2;
}

/* + = discharge, as the board counts. */
static int32_t tenths(const struct battery_sample *m)
{
	return (int32_t)lround(-m->current_mA / 100.0);
}

static int32_t watts(const struct battery_sample *m)
{
	return (int32_t)lround(-m->current_mA / 1000.0 * m->pack_mV / 1000.0);
}

static int celsius(int dC)
{
	return (int)lround(dC / 10.0);
}

static unsigned mean_mV(const struct battery_sample *m)
{
	return (m->pack_mV + m->cells / 2) / m->cells;
}

static unsigned gate(unsigned code)
{
	return code == MOS_ON ? 109 : 1;
}

/* ---- the status of 2021: sheet 5.2 ---- */

static void add_head(const struct device *d, const struct battery_sample *m, struct frame *f)
{
	const struct ant_board *board = d->board;
	unsigned charge = charge_code(d), discharge = discharge_code(d);
	uint32_t protection = (uint32_t)(charge == 0x02) << 1 | (uint32_t)(discharge == MOS_BY_HAND) << 17 |
			      (uint32_t)(charge == MOS_BY_HAND) << 21;
	uint32_t state = (uint32_t)(balancing(d, m) != 0) << 21 | (uint32_t)(charge == MOS_ON) << 23 |
			 (uint32_t)(discharge == MOS_ON) << 24;

	frame_add_u8(f, board->permission);
	frame_add_u8(f, m->current_mA > 100 ? 2 : m->current_mA < -100 ? 3 : 1);
	frame_add_u8(f, m->sensors);
	frame_add_u8(f, m->cells);
	frame_add_u32le(f, protection);
	frame_add_u32le(f, 0);
	frame_add_u32le(f, state);
	frame_add_u32le(f, 0);
	frame_add_u32le(f, 0);
	frame_add_u32le(f, 0);
}

static void add_counters(const struct device *d, const struct battery_sample *m, struct frame *f)
{
	frame_add_u32le(f, full_uAh(d));
	frame_add_u32le(f, micro(d->battery.remaining_Ah));
	frame_add_u32le(f, milli(throughput(d)));
	frame_add_u32le(f, (uint32_t)watts(m));
	frame_add_u32le(f, m->uptime_s);
	frame_add_u32le(f, balancing(d, m));
	frame_add_u16le(f, m->cell_mV[m->highest]);
	frame_add_u16le(f, m->highest + 1);
	frame_add_u16le(f, m->cell_mV[m->lowest]);
	frame_add_u16le(f, m->lowest + 1);
	frame_add_u16le(f, (unsigned)(m->cell_mV[m->highest] - m->cell_mV[m->lowest]));
	frame_add_u16le(f, mean_mV(m));
	frame_add_u16le(f, 0);
	frame_add_u16le(f, gate(discharge_code(d)));
	frame_add_u16le(f, gate(charge_code(d)));
	frame_add_u16le(f, 687);
	frame_add_u16le(f, d->battery.start.chemistry == LFP ? 0xfaf2 : 0xfaf1);
	frame_add_u32le(f, milli(d->battery.discharged_Ah));
	frame_add_u32le(f, milli(d->battery.charged_Ah));
	frame_add_u32le(f, m->uptime_s / 3);
	frame_add_u32le(f, m->uptime_s / 2);
}

static void send_status(struct device *d, struct reply *out)
{
	struct battery_sample m;
	struct frame f = {.n = 0};

	battery_measure(&d->battery, &m);
	add_head(d, &m, &f);
	for (unsigned i = 0; i < m.cells; i++)
		frame_add_u16le(&f, m.cell_mV[i]);
	for (unsigned i = 0; i < m.sensors; i++)
		frame_add_u16le(&f, (unsigned)celsius(m.sensor_dC[i]));
	frame_add_u16le(&f, (unsigned)celsius(m.mos_dC));
	frame_add_u16le(&f, (unsigned)celsius(m.mos_dC) + 1);
	frame_add_u16le(&f, fit_u16(m.pack_mV / 10.0));
	frame_add_u16le(&f, (unsigned)tenths(&m));
	frame_add_u16le(&f, (m.soc_permille + 5) / 10);
	frame_add_u16le(&f, (unsigned)lround(d->battery.start.soh_pct));
	frame_add_u8(&f, discharge_code(d));
	frame_add_u8(&f, charge_code(d));
	frame_add_u8(&f, balancer_code(d, &m));
	frame_add_u8(&f, 0);
	add_counters(d, &m, &f);
	send_2021(out, STATUS + 0x10, 0, frame_bytes(&f));
}

/* ---- the legacy status: sheet 5.1 ---- */

static void seal_legacy(struct frame *f)
{
	f->sum_at = f->n;
	frame_add_u16be(f, sum16(bytes_sub(frame_bytes(f), 4, f->n)));
}

static void add_legacy_cells(const struct battery_sample *m, struct frame *f)
{
	frame_add_u16be(f, fit_u16(m->pack_mV / 100.0));
	for (unsigned i = 0; i < CELL_PLACES; i++)
		frame_add_u16be(f, i < m->cells ? m->cell_mV[i] : 0);
}

static void send_legacy_status(struct device *d, struct reply *out)
{
	struct battery_sample m;
	struct frame *f = reply_frame(out);

	battery_measure(&d->battery, &m);
	frame_add(f, "\xaa\x55\xaa\xff", 4);
	add_legacy_cells(&m, f);
	frame_add_u32be(f, (uint32_t)tenths(&m));
	frame_add_u8(f, (m.soc_permille + 5) / 10);
	frame_add_u32be(f, full_uAh(d));
	frame_add_u32be(f, micro(d->battery.remaining_Ah));
	frame_add_u32be(f, milli(throughput(d)));
	frame_add_u32be(f, m.uptime_s);
	frame_add_u16be(f, (unsigned)celsius(m.mos_dC));
	frame_add_u16be(f, (unsigned)celsius(m.mos_dC) + 1);
	for (unsigned i = 0; i < SENSOR_PLACES; i++)
		frame_add_u16be(f, (unsigned)(i < m.sensors ? celsius(m.sensor_dC[i]) : ABSENT));
	frame_add_u8(f, charge_code(d));
	frame_add_u8(f, discharge_code(d));
	frame_add_u8(f, balancer_code(d, &m));
	frame_add_u16be(f, 1000);
	frame_add_u16be(f, 23);
	frame_add_u8(f, 0);
	frame_add_u32be(f, (uint32_t)watts(&m));
	frame_add_u8(f, m.highest + 1);
	frame_add_u16be(f, m.cell_mV[m.highest]);
	frame_add_u8(f, m.lowest + 1);
	frame_add_u16be(f, m.cell_mV[m.lowest]);
	frame_add_u16be(f, mean_mV(&m));
	frame_add_u8(f, m.cells);
	frame_add_u16be(f, 0);
	frame_add_u16be(f, gate(discharge_code(d)));
	frame_add_u16be(f, gate(charge_code(d)));
	frame_add_u16be(f, 684);
	frame_add_u32be(f, balancing(d, &m));
	frame_add_u16be(f, m.current_mA < 0 ? 0x8000 : 0);
	seal_legacy(f);
}

/* ---- parameters: sheet 8 ---- */

/* Where a parameter lies in either list, and the battery's value behind it. */
struct parameter {
	uint16_t address; /* 2021 */
	uint8_t word;	  /* legacy; 0: not there */
	double factor;
	size_t member; /* in struct battery_settings */
};

#define IN(member) offsetof(struct battery_settings, member)

static const struct parameter parameters[] = {
	{0x00, 3, 1000, IN(cell_ov)},
	{0x02, 5, 1000, IN(cell_ov_release)},
	{0x08, 7, 10, IN(pack_ov)},
	{0x0a, 0, 10, IN(pack_ov_release)},
	{0x0c, 4, 1000, IN(cell_uv)},
	{0x0e, 6, 1000, IN(cell_uv_release)},
	{0x14, 8, 10, IN(pack_uv)},
	{0x16, 0, 10, IN(pack_uv_release)},
	{0x18, 0, 1000, IN(cell_difference)},
	{0x1a, 0, 1000, IN(cell_difference_release)},
	{0x38, 25, 1, IN(charge_ot)},
	{0x3a, 26, 1, IN(charge_ot_release)},
	{0x3c, 27, 1, IN(discharge_ot)},
	{0x3e, 28, 1, IN(discharge_ot_release)},
	{0x40, 29, 1, IN(mos_ot)},
	{0x42, 30, 1, IN(mos_ot_release)},
	{0x44, 37, 1, IN(charge_ut)},
	{0x46, 38, 1, IN(charge_ut_release)},
	{0x48, 39, 1, IN(discharge_ut)},
	{0x4a, 40, 1, IN(discharge_ut_release)},
	{0x68, 9, 10, IN(charge_oc)},
	{0x6a, 10, 1, IN(oc_delay)},
	{0x6c, 11, 10, IN(discharge_oc)},
	{0x6e, 12, 1, IN(oc_delay)},
	{0x84, 0, 1, IN(low_soc)},
	{0x8e, 14, 1000, IN(balance_start)},
	{0x90, 15, 1000, IN(balance_window)},
};

static double *value_of(struct device *d, const struct parameter *p)
{
	return (double *)((char *)&d->battery.settings + p->member);
}

static void put_u32le(uint8_t *p, uint32_t v)
{
	put_u16le(p, (uint16_t)v);
	put_u16le(p + 2, (uint16_t)(v >> 16));
}

static void put_double_word(uint16_t *word, uint32_t v)
{
	word[0] = (uint16_t)v;
	word[1] = (uint16_t)(v >> 16);
}

/* Parameters that live with the battery. */
static void refresh_parameters(struct device *d)
{
	struct ant_board *board = d->board;

	put_u32le(board->image + 0xa2, micro(d->battery.settings.design_Ah));
	put_u32le(board->image + REMAINING, micro(d->battery.remaining_Ah));
	put_u32le(board->image + 0xaa, milli(throughput(d)));
	put_double_word(board->word + WORD_FULL, micro(d->battery.full_Ah));
	put_double_word(board->word + WORD_REMAINING, micro(d->battery.remaining_Ah));
	put_double_word(board->word + WORD_TOTAL, milli(throughput(d)));
}

static void put_text(uint8_t *at, const char *text)
{
	size_t n = strlen(text);

	memset(at, 0, 16);
	memcpy(at, text, n < 16 ? n : 16);
}

/* Warnings a little before the protections, and what has no meaning to the battery. */
static void put_further_parameters(struct device *d)
{
	static const uint8_t unused[] = {0x1c, 0x1e, 0x34, 0x36, 0x4c, 0x4e};
	const struct battery_settings *s = &d->battery.settings;
	struct ant_board *board = d->board;
	uint8_t *image = board->image;

	for (size_t i = 0; i < sizeof(unused) / sizeof(unused[0]); i++)
		put_u16le(image + unused[i], 0xffff);
	put_u16le(image + 0x04, fit_u16(1000 * s->cell_ov + 150));
	put_u16le(image + 0x06, fit_u16(1000 * s->cell_ov + 50));
	put_u16le(image + 0x10, fit_u16(1000 * s->cell_uv - 100));
	put_u16le(image + 0x12, fit_u16(1000 * s->cell_uv_release));
	put_u16le(image + 0x20, fit_u16(1000 * s->cell_ov - 50));
	put_u16le(image + 0x24, fit_u16(10 * s->pack_ov - 20));
	put_u16le(image + 0x28, fit_u16(1000 * s->cell_uv + 100));
	put_u16le(image + 0x70, fit_u16(15 * s->discharge_oc));
	put_u16le(image + 0x72, 100);
	put_u16le(image + 0x74, fit_u16(3 * s->discharge_oc));
	put_u16le(image + 0x76, 250);
	put_u16le(image + 0x94, fit_u16(1000 * s->balance_current));
	put_u16le(image + 0x9a, (uint16_t)d->battery.start.cells);
	board->word[1] = u16le_at((struct bytes){image, REGISTERS}, 0x20);
	board->word[2] = u16le_at((struct bytes){image, REGISTERS}, 0x28);
	board->word[24] = (uint16_t)d->battery.start.cells;
	board->word[16] = fit_u16(100 * s->balance_current);
	board->word[22] = 600;
	board->word[41] = 2050;
	for (unsigned i = 0; i < 24; i++)
		board->word[51 + i] = i < d->battery.start.cells ? (uint16_t)(3 + i % 3) : 0;
}

static void ant_start(struct device *d)
{
	struct ant_board *board = d->board;

	board->permission = options(d->scenario)->password ? PERMISSION_NONE : PERMISSION_ALL;
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		const struct parameter *p = &parameters[i];
		uint16_t raw = (uint16_t)fit_s16(*value_of(d, p) * p->factor);

		put_u16le(board->image + p->address, raw);
		if (p->word)
			board->word[p->word] = raw;
	}
	put_further_parameters(d);
	put_text(board->image + INFO, device_text(d->scenario->model, "16ZM"));
	put_text(board->image + INFO + 16, "16ZMUB00-211026A");
}

static void take_parameter(struct device *d, const struct parameter *p, uint16_t raw)
{
	*value_of(d, p) = (int16_t)raw / p->factor;
	battery_apply_settings(&d->battery);
}

/* ---- requests of 2021 ---- */

static void send_registers(struct device *d, uint16_t address, uint8_t n, struct reply *out)
{
	struct ant_board *board = d->board;
	bool first = !board->read_once;

	board->read_once = true;
	if (first && options(d->scenario)->dropfirst)
		return;
	if (!n || n > PAGE_MAX || address + n > REGISTERS)
		return;
	refresh_parameters(d);
	send_2021(out, READ + 0x10, address, (struct bytes){board->image + address, n});
}

static void send_id(struct device *d, struct reply *out)
{
	const char *text = device_text(d->scenario->serial, "A21N16000042");
	uint8_t id[12] = {0};

	memcpy(id, text, strnlen(text, sizeof(id)));
	send_2021(out, ID + 0x10, 0, (struct bytes){id, sizeof(id)});
}

static void write_registers(struct device *d, uint16_t address, struct bytes data, struct reply *out)
{
	struct ant_board *board = d->board;

	if (!data.n || address + data.n > REGISTERS)
		return;
	if (board->permission < PERMISSION_ALL) {
		static const uint8_t no[] = {REFUSED, 0};

		send_2021(out, WRITE + 0x20, address, (struct bytes){no, sizeof(no)});
		return;
	}
	memcpy(board->image + address, data.p, data.n);
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
		if (parameters[i].address >= address && bytes_has(data, parameters[i].address - address, 2u))
			take_parameter(d, &parameters[i], u16le_at(data, parameters[i].address - address));
	if (address == REMAINING && data.n == 4)
		battery_set_remaining(&d->battery, u32le_at(data, 0) / 1e6);
	d->writes++;
	send_2021(out, WRITE + 0x20, address, data);
}

static void check_password(struct device *d, uint16_t address, struct bytes data, struct reply *out)
{
	struct ant_board *board = d->board;
	static const char full[] = "123456789abc", switching[] = "12345678";

	if (bytes_equal(data, (struct bytes){(const uint8_t *)full, sizeof(full) - 1}) ||
	    bytes_equal(data, (struct bytes){(const uint8_t *)switching, sizeof(switching) - 1}))
		board->permission = PERMISSION_ALL;
	const uint8_t level[] = {board->permission, 0};

	send_2021(out, PASSWORD + 0x20, address, (struct bytes){level, sizeof(level)});
}

static void balance(struct device *d, bool on)
{
	struct ant_board *board = d->board;

	board->balance_by_hand = on;
	d->battery.settings.balance_switch = on;
	battery_apply_settings(&d->battery);
}

/* The charge MOS passes through "waits" before it is on. */
static void switch_mos(struct device *d, bool charge, bool on)
{
	usec delay = charge && on ? (usec)(options(d->scenario)->lag * (double)SECOND) : SWITCH_MS * MS;

	if (charge)
		device_switch(d, on, device_discharge_wanted(d), delay);
	else
		device_switch(d, device_charge_wanted(d), on, delay);
}

/* false: there is no such command. */
static bool obey(struct device *d, uint16_t command)
{
	switch (command) {
	case DO_DISCHARGE_OFF:
	case DO_DISCHARGE_ON:
		switch_mos(d, false, command == DO_DISCHARGE_ON);
		return true;
	case DO_CHARGE_OFF:
	case DO_CHARGE_ON:
		switch_mos(d, true, command == DO_CHARGE_ON);
		return true;
	case DO_BALANCE_ON:
	case DO_BALANCE_OFF:
		balance(d, command == DO_BALANCE_ON);
		return true;
	case DO_RESTART:
		d->deaf_until = d->now + 2 * SECOND;
		return true;
	case DO_SAVE:
		return true;
	default:
		return false;
	}
}

static void control(struct device *d, uint16_t command, struct reply *out)
{
	const struct ant_board *board = d->board;
	uint8_t result[] = {REFUSED, 0};

	if (board->permission >= PERMISSION_ALL && obey(d, command)) {
		d->writes++;
		result[0] = 1;
	}
	send_2021(out, CONTROL + 0x10, command, (struct bytes){result, sizeof(result)});
}

/* A dump's key: function and address, a digit and three. */
static bool send_dumped(struct device *d, uint8_t function, uint16_t address, struct reply *out)
{
	struct bytes data = registers_get(d->registers, (uint16_t)(function << 12 | (address & 0xfff)), d->address, 0);

	if (data.p)
		send_2021(out, (uint8_t)(function + 0x10), address, data);
	return data.p != NULL;
}

static void answer_2021(struct device *d, struct bytes request, struct reply *out)
{
	uint8_t function = u8_at(request, 2), n = u8_at(request, 5);
	uint16_t address = u16le_at(request, 3);

	if (is_read(function) && d->registers) {
		send_dumped(d, function, address, out);
		return;
	}
	/* Something that nobody has asked for. */
	if (d->foreign) {
		send_id(d, out);
		return;
	}
	switch (function) {
	case STATUS:
		send_status(d, out);
		break;
	case READ:
		send_registers(d, address, n, out);
		break;
	case ID:
		send_id(d, out);
		break;
	case WRITE:
		write_registers(d, address, bytes_sub(request, 6, n), out);
		break;
	case PASSWORD:
		check_password(d, address, bytes_sub(request, 6, n), out);
		break;
	case CONTROL:
		control(d, address, out);
		break;
	}
}

/* ---- legacy requests ---- */

static void apply_words(struct device *d)
{
	struct ant_board *board = d->board;

	for (unsigned i = 0; i < LEGACY_WORDS; i++)
		if (board->is_pending[i])
			board->word[i] = board->pending[i];
	if (board->is_pending[WORD_REMAINING] || board->is_pending[WORD_REMAINING + 1])
		battery_set_remaining(&d->battery,
				      ((uint32_t)board->word[WORD_REMAINING + 1] << 16 | board->word[WORD_REMAINING]) /
					      1e6);
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
		if (parameters[i].word && board->is_pending[parameters[i].word])
			take_parameter(d, &parameters[i], board->word[parameters[i].word]);
	memset(board->is_pending, 0, sizeof(board->is_pending));
	if (board->pressed[SWITCH_CHARGE])
		switch_mos(d, true, board->pressed[SWITCH_CHARGE] > 1);
	if (board->pressed[SWITCH_DISCHARGE])
		switch_mos(d, false, board->pressed[SWITCH_DISCHARGE] > 1);
	if (board->pressed[BALANCE])
		balance(d, !board->balance_by_hand); /* a button: once more stops it */
	if (board->pressed[REBOOT])
		d->deaf_until = d->now + 2 * SECOND;
	memset(board->pressed, 0, sizeof(board->pressed));
}

static void write_legacy(struct device *d, uint8_t word, uint16_t value, struct reply *out)
{
	struct ant_board *board = d->board;

	if (word == APPLY) {
		apply_words(d);
	} else if (word < LEGACY_WORDS) {
		refresh_parameters(d);
		board->pending[word] = value;
		board->is_pending[word] = true;
	} else {
		board->pressed[word] = value ? 2 : 1;
	}
	d->writes++;
	send_word(out, word, value);
}

static void send_legacy_dump(struct device *d, uint8_t word, struct reply *out)
{
	struct bytes data = registers_get(d->registers, (uint16_t)(LEGACY_READ << 8 | word), d->address, 0);

	if (!data.p)
		return;
	if (word) {
		send_word(out, word, u16be_at(data, 0));
		return;
	}
	struct frame *f = reply_frame(out);

	frame_add(f, "\xaa\x55\xaa\xff", 4);
	frame_add(f, data.p, data.n);
	seal_legacy(f);
}

static void answer_legacy(struct device *d, struct bytes request, struct reply *out)
{
	struct ant_board *board = d->board;
	uint8_t word = u8_at(request, 2);

	if (u8_at(request, 0) == LEGACY_WRITE) {
		write_legacy(d, word, u16be_at(request, 3), out);
	} else if (d->registers) {
		send_legacy_dump(d, word, out);
	} else if (d->foreign) {
		send_word(out, (uint8_t)(word + 1), 1);
	} else if (!word) {
		send_legacy_status(d, out);
	} else if (word < LEGACY_WORDS) {
		refresh_parameters(d);
		send_word(out, word, board->word[word]);
	}
}

static void ant_answer(struct device *d, struct bytes request, struct reply *out)
{
	if (u8_at(request, 0) == 0x7e)
		answer_2021(d, request, out);
	else
		answer_legacy(d, request, out);
}

static void ant_tell(const struct device *d, FILE *out)
{
	const struct ant_board *board = d->board;

	fprintf(out, ",\"permission\":%u,\"charge_code\":%u,\"discharge_code\":%u,\"balance_by_hand\":%s",
		board->permission, charge_code(d), discharge_code(d), board->balance_by_hand ? "true" : "false");
}

const struct kind ant_kind = {
	.id = "ant",
	.alias = "ant-bms",
	.about = "ANT BMS, 2021 and later, and older",
	.baud = 19200,
	.delay_min_ms = 20,
	.delay_max_ms = 100,
	.gap = 50 * MS,
	.max_cells = CELL_PLACES,
	.max_sensors = SENSOR_PLACES,
	.cells = 16,
	.sensors = 2,
	.capacity = 280,
	.balancer = BALANCER_BLEEDS,
	.alarms = ant_alarms,
	.n_alarms = sizeof(ant_alarms) / sizeof(ant_alarms[0]),
	.keys = ant_keys,
	.n_keys = sizeof(ant_keys) / sizeof(ant_keys[0]),
	.garbage_hex = "FF",
	.board_size = sizeof(struct ant_board),
	.start = ant_start,
	.find_request = ant_find_request,
	.answer = ant_answer,
	.tell = ant_tell,
};
