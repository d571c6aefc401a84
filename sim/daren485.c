/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Boards of the Daren family on RS485: DR-1363 and the like (sheet daren485), and KS48100 (sheet ks48100), whose
 * frames begin with '>'. */
#include <math.h>
#include <string.h>

#include "sim/ascii.h"

enum { VER = 0x22, CLASS_DAREN = 0x4a, CLASS_KS = 0x42, GROUP_USUAL = 1, READ = 1, WRITE = 2 };
enum { MANUFACTURING = 3, CAPACITY = 4, PARAMETERS_N = 106, STATIC_BALANCE = 0x12 };

enum cid2 {
	DEVICE = 0x42,
	CONTROL = 0x45,
	SYSTEM = 0x47,
	VERSION = 0x4f,
	ITEM = 0x50,
	MANUFACTURER = 0x51,
	PARAMETERS = 0x80,
	COUNTERS = 0x83,
	MODULE = 0xb0,
};

enum rtn {
	OK = 0x00,
	WRONG_VERSION = 0x01,
	UNKNOWN_COMMAND = 0x04,
	WRONG_FORMAT = 0x05,
	WRONG_DATA = 0x06,
	WRONG_CLASS = 0xe1,
	NO_PERMISSION = 0xe4,
};

struct daren_options {
	bool sx2, strict, tilde;
	int writes; /* enum writes */
};

enum writes { WORK, REFUSED, IGNORED };

_Static_assert(sizeof(struct daren_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct daren_options, member)

static const struct key daren_keys[] = {
	{"sx2", KEY_FLAG, AT(sx2), 0, 0, "", "off", NULL, "Revov SX2: short frame, whole percent, two sensors", 0},
	{"strict", KEY_FLAG, AT(strict), 0, 0, "", "off", NULL, "silent when the group is not its own", 0},
	{"writes", KEY_WORD, AT(writes), 0, 0, "", "work", "work|refused|ignored", "what becomes of a write", 0},
};

static const struct key ks48100_keys[] = {
	{"tilde", KEY_FLAG, AT(tilde), 0, 0, "", "off", NULL, "replies begin with ~ instead of >", 0},
};

static const struct daren_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

struct daren_board {
	bool static_balance;
	unsigned destroyed; /* codes that wipe parameters, counters or history */
};

/* Four status words of request 42: voltage, current, temperature, warning. */
enum { VOLTAGE, CURRENT, TEMPERATURE, WARN };
#define BIT(word, bit) (uint8_t)(16 * (word) + (bit))

static const struct alarm_bit daren_alarms[] = {
	{NULL, HIGH_CELL_VOLTAGE, ALARM, BIT(VOLTAGE, 0)},
	{NULL, LOW_CELL_VOLTAGE, ALARM, BIT(VOLTAGE, 1)},
	{NULL, HIGH_VOLTAGE, ALARM, BIT(VOLTAGE, 2)},
	{NULL, LOW_VOLTAGE, ALARM, BIT(VOLTAGE, 3)},
	{NULL, HIGH_CELL_VOLTAGE, WARNING, BIT(VOLTAGE, 4)},
	{NULL, LOW_CELL_VOLTAGE, WARNING, BIT(VOLTAGE, 5)},
	{NULL, HIGH_VOLTAGE, WARNING, BIT(VOLTAGE, 6)},
	{NULL, LOW_VOLTAGE, WARNING, BIT(VOLTAGE, 7)},
	{NULL, CELL_IMBALANCE, WARNING, BIT(VOLTAGE, 8)},
	{"overvoltage_ten_times", NO_ALARM, ALARM, BIT(VOLTAGE, 9)},
	{"undervoltage_ten_times", NO_ALARM, ALARM, BIT(VOLTAGE, 10)},
	{"temperature_difference", NO_ALARM, WARNING, BIT(VOLTAGE, 11)},
	{"cell_failed", NO_ALARM, ALARM, BIT(VOLTAGE, 12)},
	{NULL, FUSE_BLOWN, ALARM, BIT(VOLTAGE, 13)},
	{NULL, CELL_IMBALANCE, ALARM, BIT(VOLTAGE, 14)},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, BIT(CURRENT, 2)},
	{NULL, SHORT_CIRCUIT, ALARM, BIT(CURRENT, 3)},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, BIT(CURRENT, 4)},
	{NULL, HIGH_CHARGE_CURRENT, WARNING, BIT(CURRENT, 6)},
	{NULL, HIGH_DISCHARGE_CURRENT, WARNING, BIT(CURRENT, 7)},
	{"overcurrent_ten_times", NO_ALARM, ALARM, BIT(CURRENT, 8)},
	{"output_reverse_polarity", NO_ALARM, ALARM, BIT(CURRENT, 9)},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, BIT(TEMPERATURE, 0)},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, BIT(TEMPERATURE, 1)},
	{NULL, HIGH_TEMPERATURE, ALARM, BIT(TEMPERATURE, 2)},
	{NULL, LOW_TEMPERATURE, ALARM, BIT(TEMPERATURE, 3)},
	{"ambient_high_temperature", NO_ALARM, ALARM, BIT(TEMPERATURE, 4)},
	{"ambient_low_temperature", NO_ALARM, ALARM, BIT(TEMPERATURE, 5)},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, BIT(TEMPERATURE, 6)},
	{"mos_low_temperature", NO_ALARM, ALARM, BIT(TEMPERATURE, 7)},
	{NULL, HIGH_CHARGE_TEMPERATURE, WARNING, BIT(TEMPERATURE, 8)},
	{NULL, LOW_CHARGE_TEMPERATURE, WARNING, BIT(TEMPERATURE, 9)},
	{NULL, HIGH_TEMPERATURE, WARNING, BIT(TEMPERATURE, 10)},
	{NULL, LOW_TEMPERATURE, WARNING, BIT(TEMPERATURE, 11)},
	{"ambient_high_temperature", NO_ALARM, WARNING, BIT(TEMPERATURE, 12)},
	{"ambient_low_temperature", NO_ALARM, WARNING, BIT(TEMPERATURE, 13)},
	{NULL, HIGH_INTERNAL_TEMPERATURE, WARNING, BIT(TEMPERATURE, 14)},
	{"mos_low_temperature", NO_ALARM, WARNING, BIT(TEMPERATURE, 15)},
	{"charge_fet_failure", NO_ALARM, ALARM, BIT(WARN, 1)},
	{"sd_card_fault", NO_ALARM, ALARM, BIT(WARN, 2)},
	{"spi_fault", NO_ALARM, ALARM, BIT(WARN, 3)},
	{"eeprom_fault", NO_ALARM, ALARM, BIT(WARN, 4)},
	{NULL, LOW_SOC, WARNING, BIT(WARN, 7)},
	{"heater_film_fault", NO_ALARM, WARNING, BIT(WARN, 9)},
	{"limiter_board_fault", NO_ALARM, ALARM, BIT(WARN, 10)},
	{NULL, INTERNAL_FAILURE, ALARM, BIT(WARN, 11)},
	{"sampling_fault", NO_ALARM, ALARM, BIT(WARN, 11)},
	{"cell_fault", NO_ALARM, ALARM, BIT(WARN, 12)},
	{"temperature_sensor_fault", NO_ALARM, ALARM, BIT(WARN, 13)},
	{"charge_mos_fault", NO_ALARM, ALARM, BIT(WARN, 14)},
	{"discharge_mos_fault", NO_ALARM, ALARM, BIT(WARN, 15)},
};

static bool is_ks(const struct device *d)
{
	return d->kind == &ks48100_kind;
}

static void daren_start(struct device *d)
{
	struct daren_board *board = d->board;

	board->static_balance = d->battery.settings.balance_switch;
}

/* ---- 42: sheet daren485 5.1 ---- */

/* Charging and discharging are states beside the alarms; LED and buzzer are enabled. */
static uint64_t status_words(const struct device *d, const struct battery_sample *m)
{
	uint64_t words = device_alarm_bits(d);

	if (m->current_mA > 100)
		words |= (uint64_t)1 << BIT(CURRENT, 0);
	if (m->current_mA < -100)
		words |= (uint64_t)1 << BIT(CURRENT, 1);
	return words | (uint64_t)3 << BIT(WARN, 5);
}

/* The 10 A limiter is configured, though it does nothing. */
static unsigned fet_word(const struct device *d)
{
	return (unsigned)d->battery.charge_mos | (unsigned)d->battery.discharge_mos << 1 | 0x20 |
	       (unsigned)d->battery.heater_on << 6 | (battery_alarm(&d->battery, LOW_SOC) == ALARM ? 0x8000u : 0);
}

/* Bit n: cell n + 1 is beyond V. */
static uint32_t cells_beyond(const struct battery_sample *m, double V, bool above)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < m->cells; i++)
		if (above ? m->cell_mV[i] > 1000 * V : m->cell_mV[i] < 1000 * V)
			bits |= (uint32_t)1 << i;
	return bits;
}

static void add_cell_words(const struct device *d, const struct battery_sample *m, bool short_form, struct frame *f)
{
	const struct battery_settings *s = &d->battery.settings;
	uint32_t words[4] = {
		cells_beyond(m, s->cell_ov, true),
		cells_beyond(m, s->cell_uv, false),
		cells_beyond(m, s->cell_ov - 0.1, true),
		cells_beyond(m, s->cell_uv + 0.2, false),
	};
	uint32_t balancing = 0;

	for (unsigned i = 0; i < m->cells; i++)
		balancing |= (uint32_t)m->balancing[i] << i;
	for (unsigned i = 0; i < 4; i++)
		frame_add_u16be(f, words[i] & 0xffff);
	frame_add_u16be(f, balancing & 0xffff);
	if (short_form)
		return;
	frame_add_u16be(f, balancing >> 16);
	for (unsigned i = 0; i < 4; i++)
		frame_add_u16be(f, words[i] >> 16);
}

static void add_temperatures(const struct battery_sample *m, unsigned sensors, struct frame *f)
{
	int sum = 0;

	for (unsigned i = 0; i < sensors; i++)
		sum += m->sensor_dC[i];
	frame_add_u16be(f, (uint16_t)m->ambient_dC);
	frame_add_u16be(f, sensors ? (uint16_t)(sum / (int)sensors) : 0);
	frame_add_u16be(f, (uint16_t)m->mos_dC);
	frame_add_u8(f, sensors);
	for (unsigned i = 0; i < sensors; i++)
		frame_add_u16be(f, (uint16_t)m->sensor_dC[i]);
}

static void device_information(const struct device *d, struct frame *f)
{
	bool sx2 = options(d->scenario)->sx2;
	struct battery_sample m;
	uint64_t words;

	battery_measure(&d->battery, &m);
	words = status_words(d, &m);
	frame_add_u8(f, 0);
	frame_add_u16be(f, sx2 ? (m.soc_permille + 5) / 10 : 10 * m.soc_permille);
	frame_add_u16be(f, fit_u16(m.pack_mV / 10.0));
	frame_add_u8(f, m.cells);
	for (unsigned i = 0; i < m.cells; i++)
		frame_add_u16be(f, m.cell_mV[i]);
	add_temperatures(&m, sx2 && m.sensors > 2 ? 2 : m.sensors, f);
	frame_add_u16be(f, (uint16_t)fit_s16(m.current_mA / 10.0));
	frame_add_u16be(f, sx2 ? 0x0d0d : 0);
	frame_add_u16be(f, (unsigned)lround(d->battery.start.soh_pct));
	frame_add_u8(f, sx2 ? 0x0d : 1);
	frame_add_u16be(f, fit_u16(m.full_mAh / 10.0));
	frame_add_u16be(f, fit_u16(m.remaining_mAh / 10.0));
	frame_add_u16be(f, m.cycles);
	for (unsigned i = 0; i < 4; i++)
		frame_add_u16be(f, words >> 16 * i & 0xffff);
	frame_add_u16be(f, fet_word(d));
	add_cell_words(d, &m, sx2, f);
	if (sx2)
		return;
	frame_add_u8(f, m.current_mA < -100 ? 3 : m.current_mA > 100 ? 4 : 2);
	frame_add_u16be(f, m.current_mA > 100);
}

/* ---- the other replies ---- */

static void add_padded(struct frame *f, const char *text, size_t size, uint8_t padding)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < size; i++)
		frame_add_u8(f, i < n ? (uint8_t)text[i] : padding);
}

static void system_parameters(const struct device *d, struct frame *f)
{
	const struct battery_settings *s = &d->battery.settings;

	frame_add_u8(f, 0);
	frame_add_u16be(f, fit_u16(1000 * s->cell_ov));
	frame_add_u16be(f, fit_u16(1000 * s->cell_uv));
	frame_add_u16be(f, (uint16_t)fit_s16(s->discharge_ot + 50)); /* older firmware: 50 higher */
	frame_add_u16be(f, (uint16_t)fit_s16(s->charge_ut + 45));
	frame_add_u16be(f, fit_u16(100 * s->charge_oc));
	frame_add_u16be(f, fit_u16(1000 * s->cell_ov));
	frame_add_u16be(f, fit_u16(1000 * s->cell_uv));
	frame_add_u16be(f, d->battery.start.cells);
	frame_add_u16be(f, fit_u16(100 * s->charge_oc));
	frame_add_u16be(f, fit_u16(100 * s->design_Ah));
	frame_add_u16be(f, 1440);
	frame_add_u16be(f, 0);
	add_padded(f, "", 20, 0xff);
	add_padded(f, "DJM2205180061", 20, ' ');
}

static void manufacturer(const struct device *d, struct frame *f)
{
	add_padded(f, is_ks(d) ? "Ho20-T1" : "DR-JC03", 10, ' ');
	add_padded(f, is_ks(d) ? "SNS01" : "STD08", 10, ' ');
	add_padded(f, device_text(d->scenario->model, "16S100A"), 10, ' ');
	if (is_ks(d)) {
		frame_add(f, (const uint8_t[]){2, 2, 1}, 3);
		return;
	}
	frame_add(f, (const uint8_t[]){1, 0, 2, 1, 1}, 5);
}

static void triple(struct frame *f, double protection, double delay, double release)
{
	frame_add_u16be(f, (uint16_t)fit_s16(protection));
	frame_add_u16be(f, (uint16_t)fit_s16(delay));
	frame_add_u16be(f, (uint16_t)fit_s16(release));
}

static void parameters(const struct device *d, struct frame *f)
{
	const struct battery_settings *s = &d->battery.settings;
	size_t end = f->n + 2u * PARAMETERS_N;

	for (unsigned warning = 0; warning < 2; warning++) { /* protections, then warnings */
		double step = warning;

		triple(f, 1000 * (s->cell_ov - 0.1 * step), 1, 1000 * s->cell_ov_release);
		triple(f, 1000 * (s->cell_uv + 0.2 * step), 1, 1000 * s->cell_uv_release);
		triple(f, 1000 * s->cell_difference, 2, 1000 * s->cell_difference_release);
		triple(f, 100 * s->pack_ov, 1, 100 * s->pack_ov_release);
		triple(f, 100 * s->pack_uv, 1, 100 * s->pack_uv_release);
		for (unsigned i = 0; i < 2; i++)
			triple(f, 10 * (s->charge_oc - 5 * step), 2, 10 * s->charge_oc);
		for (unsigned i = 0; i < 2; i++)
			triple(f, 10 * (s->discharge_oc - 5 * step), 2, 10 * s->discharge_oc);
		triple(f, 10 * (s->charge_ot - 5 * step), 2, 10 * s->charge_ot_release);
		triple(f, 10 * (s->charge_ut + 2 * step), 2, 10 * s->charge_ut_release);
		triple(f, 10 * (s->discharge_ot - 5 * step), 2, 10 * s->discharge_ot_release);
		triple(f, 10 * (s->discharge_ut + 2 * step), 2, 10 * s->discharge_ut_release);
		triple(f, 10 * (s->mos_ot - 5 * step), 2, 10 * s->mos_ot_release);
		triple(f, 700, 2, 650);
		triple(f, -200, 2, -100);
	}
	frame_add_u16be(f, 3150);
	frame_add_u16be(f, 1440);
	frame_add_u16be(f, 500);
	frame_add_u16be(f, 0);
	frame_add_u16be(f, fit_u16(1000 * s->balance_start));
	frame_add_u16be(f, fit_u16(1000 * s->balance_window));
	frame_add_u16be(f, fit_u16(s->low_soc));
	frame_add_u16be(f, fit_u16(s->low_soc_release));
	while (f->n < end)
		frame_add_u16be(f, 0);
}

static void counters(const struct device *d, struct frame *f)
{
	static const enum battery_alarm counted[] = {HIGH_CELL_VOLTAGE, LOW_CELL_VOLTAGE, HIGH_DISCHARGE_CURRENT,
						     HIGH_TEMPERATURE,	SHORT_CIRCUIT,	  HIGH_INTERNAL_TEMPERATURE};

	frame_add_u8(f, COUNTERS);
	frame_add_u8(f, 1);
	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
		frame_add_u16be(f, d->battery.trips[counted[i]]);
	for (unsigned i = 0; i < 6; i++)
		frame_add_u16be(f, 0);
}

static void module_data(const struct device *d, unsigned module, struct frame *f)
{
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	frame_add(f, (const uint8_t[]){MODULE, GROUP_USUAL, READ, (uint8_t)module, 0xff, 0}, 6);
	if (module == MANUFACTURING) {
		add_padded(f, device_text(d->scenario->serial, is_ks(d) ? "CER2408-04" : "JD2M02150860"), 30, ' ');
		add_padded(f, "", 60, 0xff);
		frame_add(f, (const uint8_t[]){24, 8, 4}, 3);
		add_padded(f, "Daren", 20, ' ');
		return;
	}
	frame_add_u16be(f, fit_u16(m.remaining_mAh / 10.0));
	frame_add_u16be(f, fit_u16(m.full_mAh / 10.0));
	frame_add_u16be(f, fit_u16(m.design_mAh / 10.0));
	frame_add_u32be(f, m.charged_Ah);
	frame_add_u32be(f, m.discharged_Ah);
	frame_add_u16be(f, fit_u16(m.charged_Ah * 0.53));
	frame_add_u16be(f, fit_u16(m.discharged_Ah * 0.51));
}

static void item(const struct device *d, const struct ascii_request *r, struct frame *f)
{
	const struct daren_board *board = d->board;
	bool on = r->info[1] == 0x04   ? d->battery.charge_mos
		  : r->info[1] == 0x05 ? d->battery.discharge_mos
				       : r->info[1] == STATIC_BALANCE && board->static_balance;

	frame_add_u8(f, r->info[0]);
	frame_add_u16be(f, on);
}

/* ---- writes: sheet daren485 7 ---- */

static enum rtn control(struct device *d, uint8_t code)
{
	struct daren_board *board = d->board;
	bool charge = device_charge_wanted(d), discharge = device_discharge_wanted(d);

	switch (code) {
	case 0x00:
	case 0x05:
		device_switch(d, code == 0x00, discharge, 400 * MS);
		return OK;
	case 0xf0:
	case 0x06:
		device_switch(d, charge, code == 0xf0, 400 * MS);
		return OK;
	case 0x37:
	case 0x38:
		board->static_balance = d->battery.settings.balance_switch = code == 0x37;
		battery_apply_settings(&d->battery);
		return OK;
	case 0x0c:
	case 0x0d:
		d->deaf_until = d->now + 3 * SECOND;
		return OK;
	case 0x0e:
	case 0x0f:
	case 0x10:
	case 0x11:
	case 0x12:
		board->destroyed++;
		return OK;
	default:
		return WRONG_DATA;
	}
}

static enum rtn write_something(struct device *d, const struct ascii_request *r)
{
	struct bytes info = {r->info, r->n};

	d->writes++;
	if (options(d->scenario)->writes == REFUSED)
		return NO_PERMISSION;
	if (options(d->scenario)->writes == IGNORED)
		return OK;
	if (r->cid2 == CONTROL)
		return control(d, r->info[1]);
	if (r->info[2] != CAPACITY || r->info[3] != 1 || r->info[4] != 2 || r->n != 7)
		return WRONG_FORMAT;
	battery_set_remaining(&d->battery, u16be_at(info, 5) / 100.0);
	return OK;
}

/* ---- requests ---- */

static bool is_write(const struct ascii_request *r)
{
	return r->cid2 == CONTROL || (r->cid2 == MODULE && r->n > 1 && r->info[1] == WRITE);
}

/* Bytes of INFO; -1: this board does not know the command. */
static int info_size(const struct device *d, const struct ascii_request *r)
{
	switch (r->cid2) {
	case DEVICE:
		return is_ks(d) ? 0 : 1;
	case SYSTEM:
		return 1;
	case MANUFACTURER:
		return 0;
	case MODULE:
		return is_write(r) && !is_ks(d) ? 7 : 5;
	case VERSION:
		return is_ks(d) ? -1 : 0;
	case PARAMETERS:
		return is_ks(d) ? -1 : 1;
	case CONTROL:
	case ITEM:
	case COUNTERS:
		return is_ks(d) ? -1 : 2;
	default:
		return -1;
	}
}

static enum rtn check(const struct device *d, const struct ascii_request *r)
{
	int n = info_size(d, r);

	if (r->ver != VER)
		return WRONG_VERSION;
	if (r->cid1 != (is_ks(d) && r->cid2 != MODULE ? CLASS_KS : CLASS_DAREN))
		return WRONG_CLASS;
	if (n < 0)
		return UNKNOWN_COMMAND;
	if (n != r->n)
		return WRONG_FORMAT;
	return n && r->info[0] != d->hears && r->info[0] != GROUP_USUAL ? WRONG_DATA : OK;
}

/* A dump's key is CID2, of modules B003 and B004. */
static enum rtn from_dump(const struct device *d, const struct ascii_request *r, struct frame *info)
{
	uint16_t key = r->cid2 == MODULE ? (uint16_t)(MODULE << 8 | r->info[2]) : r->cid2;
	struct bytes dump = registers_get(d->registers, key, d->address, 0);

	frame_add(info, dump.p, dump.n);
	return dump.p ? OK : UNKNOWN_COMMAND;
}

static enum rtn carry_out(struct device *d, const struct ascii_request *r, struct frame *info)
{
	enum rtn rtn = check(d, r);

	if (rtn != OK)
		return rtn;
	if (is_write(r))
		return write_something(d, r);
	if (d->registers)
		return from_dump(d, r, info);
	switch (r->cid2) {
	case DEVICE:
		device_information(d, info);
		return OK;
	case SYSTEM:
		system_parameters(d, info);
		return OK;
	case MANUFACTURER:
		manufacturer(d, info);
		return OK;
	case VERSION:
		frame_add_u8(info, 200);
		return OK;
	case PARAMETERS:
		parameters(d, info);
		return OK;
	case COUNTERS:
		counters(d, info);
		return OK;
	case ITEM:
		item(d, r, info);
		return OK;
	default: /* MODULE */
		if (r->info[2] != MANUFACTURING && r->info[2] != CAPACITY)
			return WRONG_DATA;
		module_data(d, r->info[2], info);
		return OK;
	}
}

static void daren_answer(struct device *d, struct bytes request, struct reply *out)
{
	struct frame info = {.n = 0};
	struct ascii_request r;
	enum rtn rtn;

	ascii_open(request, &r);
	if (r.soi != (is_ks(d) ? '>' : '~') || r.adr != d->hears)
		return;
	rtn = carry_out(d, &r, &info);
	if (rtn == WRONG_DATA && options(d->scenario)->strict)
		return;
	if (is_ks(d) && r.cid2 == DEVICE)
		out->delay = 1500 * MS;
	if (options(d->scenario)->tilde)
		r.soi = '~';
	r.ver = VER;
	ascii_answer(reply_frame(out), &r, d->address, (uint8_t)rtn, frame_bytes(&info));
}

static void daren_tell(const struct device *d, FILE *out)
{
	const struct daren_board *board = d->board;

	fprintf(out, ",\"static_balance\":%s,\"destroyed\":%u", board->static_balance ? "true" : "false",
		board->destroyed);
}

const struct kind daren485_kind = {
	.id = "daren485",
	.alias = "daren",
	.about = "Daren DR-1363 boards on RS485",
	.baud = 19200,
	.delay_min_ms = 80,
	.delay_max_ms = 120,
	.gap = 200 * MS,
	.max_cells = 32,
	.max_sensors = 8,
	.cells = 16,
	.sensors = 4,
	.capacity = 100,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.address_min = 1,
	.address_max = 15,
	.address_first = 1,
	.alarms = daren_alarms,
	.n_alarms = sizeof(daren_alarms) / sizeof(daren_alarms[0]),
	.keys = daren_keys,
	.n_keys = sizeof(daren_keys) / sizeof(daren_keys[0]),
	.garbage_hex = "FF7E32",
	.board_size = sizeof(struct daren_board),
	.start = daren_start,
	.find_request = ascii_find_request,
	.answer = daren_answer,
	.tell = daren_tell,
};

const struct kind ks48100_kind = {
	.id = "ks48100",
	.alias = "ks",
	.about = "KS48100, SNS01 boards on RS485",
	.baud = 9600,
	.delay_min_ms = 300,
	.delay_max_ms = 700,
	.gap = 200 * MS,
	.max_cells = 32,
	.max_sensors = 8,
	.cells = 16,
	.sensors = 4,
	.capacity = 100,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.address_min = 1,
	.address_max = 15,
	.address_first = 1,
	.alarms = daren_alarms,
	.n_alarms = sizeof(daren_alarms) / sizeof(daren_alarms[0]),
	.keys = ks48100_keys,
	.n_keys = sizeof(ks48100_keys) / sizeof(ks48100_keys[0]),
	.garbage_hex = "FF7E32",
	.board_size = sizeof(struct daren_board),
	.start = daren_start,
	.find_request = ascii_find_request,
	.answer = daren_answer,
	.tell = daren_tell,
};
