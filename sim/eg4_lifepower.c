/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An EG4 LifePower4, Basen or Revov board: binary frames 7E or 7C ... 0D, or '~' frames of class 4A, sheet
 * eg4-lifepower. */
#include <math.h>
#include <string.h>

#include "sim/ascii.h"

enum { HEAD = 4, END = 0x0d, STATUS_BYTES = 10, NO_CURRENT = 30000, KELVIN = 2731, CLOCK_SIZE = 7, TEXT = 46 };
enum { ASCII_VERSION = 0x20, ASCII_CLASS = 0x4a, BATTERY_SENSORS = 4, HIGH_CELL_MV = 3600 };

enum command {
	INFO = 0x01,
	VERSION = 0x33,
	HARDWARE = 0x42,
	PARAMETERS = 0x43,
	HEATER = 0xe3,
	HEAT_START = 0xf1,
	SET_HEAT_START = 0xf2,
	HEAT_STOP = 0xf3,
	SET_HEAT_STOP = 0xf4,
};
enum cid2 { ANALOG = 0x42, EVENTS = 0x44, SET_CLOCK = 0x4e, CLOCK = 0x4d, BOARD_TEXT = 0x51 };
enum status { DONE = 0, BAD_VERSION = 1, BAD_SUM = 2, UNKNOWN = 4, BAD_FORMAT = 5, BAD_VALUE = 6, BAD_CLASS = 0xe1 };

enum talk { TALK_7E, TALK_7C, TALK_MIXED, TALK_ASCII };
enum firmware { LIFEPOWER, BASEN, REVOV };

struct lifepower_options {
	int start, firmware; /* enum talk, enum firmware */
	bool complain;
};

_Static_assert(sizeof(struct lifepower_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct lifepower_options, member)

static const struct key lifepower_keys[] = {
	{"start", KEY_WORD, AT(start), 0, 0, "", "7e", "7e|7c|mixed|ascii",
	 "start byte of requests and replies; mixed: asked by 7E, answers with 7C; ascii: '~' frames", 0},
	{"firmware", KEY_WORD, AT(firmware), 0, 0, "", "lifepower", "lifepower|basen|revov",
	 "without counters, with them, and with one group more", 0},
	{"complain", KEY_FLAG, AT(complain), 0, 0, "", "off", NULL, "a wrong checksum is answered with status 02", 0},
};

struct lifepower_board {
	int heat_start, heat_stop; /* degC */
	uint8_t heater;		   /* as last ordered: 1 on, 2 off, 0 nothing */
	uint8_t clock[CLOCK_SIZE];
};

/* number, own name, alarm, level; byte and bit of group 06 */
#define STATUS_BITS(X)                                                                                                 \
	X(0, NULL, LOW_CELL_VOLTAGE, ALARM, 3, 5)                                                                      \
	X(1, "sense_wire_broken", NO_ALARM, ALARM, 0, 4)                                                               \
	X(2, "charge_mos_fault", NO_ALARM, ALARM, 0, 5)                                                                \
	X(3, "discharge_mos_fault", NO_ALARM, ALARM, 0, 6)                                                             \
	X(4, NULL, INTERNAL_FAILURE, ALARM, 0, 7)                                                                      \
	X(5, "ntc_disconnected", NO_ALARM, ALARM, 1, 0)                                                                \
	X(6, "adc_fault", NO_ALARM, ALARM, 1, 1)                                                                       \
	X(7, "output_reverse_polarity", NO_ALARM, ALARM, 1, 2)                                                         \
	X(8, NULL, INTERNAL_FAILURE, WARNING, 1, 5)                                                                    \
	X(9, NULL, FUSE_BLOWN, ALARM, 1, 7)                                                                            \
	X(10, NULL, HIGH_TEMPERATURE, ALARM, 2, 0)                                                                     \
	X(11, NULL, LOW_TEMPERATURE, ALARM, 2, 1)                                                                      \
	X(12, NULL, SHORT_CIRCUIT, ALARM, 3, 2)                                                                        \
	X(13, NULL, HIGH_CHARGE_CURRENT, ALARM, 3, 3)                                                                  \
	X(14, NULL, HIGH_DISCHARGE_CURRENT, ALARM, 3, 3)                                                               \
	X(15, NULL, HIGH_VOLTAGE, ALARM, 3, 4)                                                                         \
	X(16, NULL, HIGH_CELL_VOLTAGE, ALARM, 3, 4)                                                                    \
	X(17, NULL, LOW_VOLTAGE, ALARM, 3, 5)                                                                          \
	X(18, NULL, HIGH_CHARGE_TEMPERATURE, ALARM, 3, 6)                                                              \
	X(19, NULL, LOW_CHARGE_TEMPERATURE, ALARM, 3, 7)                                                               \
	X(20, "ambient_low_temperature", NO_ALARM, ALARM, 4, 0)                                                        \
	X(21, "ambient_high_temperature", NO_ALARM, ALARM, 4, 1)                                                       \
	X(22, NULL, LOW_SOC, ALARM, 4, 4)                                                                              \
	X(23, NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, 5, 5)                                                            \
	X(24, "low_internal_temperature", NO_ALARM, ALARM, 5, 6)                                                       \
	X(25, "vibration", NO_ALARM, WARNING, 7, 1)                                                                    \
	X(26, "fire_suppression", NO_ALARM, ALARM, 7, 3)                                                               \
	X(27, "low_soh", NO_ALARM, WARNING, 7, 4)                                                                      \
	X(28, "temperature_difference", NO_ALARM, WARNING, 7, 6)                                                       \
	X(29, "system_lock", NO_ALARM, WARNING, 7, 7)                                                                  \
	X(30, "ambient_high_temperature", NO_ALARM, WARNING, 8, 0)                                                     \
	X(31, "ambient_low_temperature", NO_ALARM, WARNING, 8, 1)                                                      \
	X(32, NULL, HIGH_INTERNAL_TEMPERATURE, WARNING, 8, 2)                                                          \
	X(33, NULL, LOW_SOC, WARNING, 8, 3)                                                                            \
	X(34, NULL, CELL_IMBALANCE, WARNING, 8, 4)                                                                     \
	X(35, NULL, HIGH_TEMPERATURE, WARNING, 8, 5)                                                                   \
	X(36, NULL, LOW_TEMPERATURE, WARNING, 8, 6)                                                                    \
	X(37, NULL, HIGH_CELL_VOLTAGE, WARNING, 9, 0)                                                                  \
	X(38, NULL, LOW_CELL_VOLTAGE, WARNING, 9, 1)                                                                   \
	X(39, NULL, HIGH_VOLTAGE, WARNING, 9, 2)                                                                       \
	X(40, NULL, LOW_VOLTAGE, WARNING, 9, 3)                                                                        \
	X(41, NULL, HIGH_CHARGE_CURRENT, WARNING, 9, 4)                                                                \
	X(42, NULL, HIGH_DISCHARGE_CURRENT, WARNING, 9, 5)                                                             \
	X(43, NULL, HIGH_CHARGE_TEMPERATURE, WARNING, 9, 6)                                                            \
	X(44, NULL, LOW_CHARGE_TEMPERATURE, WARNING, 9, 7)

#define AS_ALARM(n, own, alarm, level, byte, bit) {own, alarm, level, n},
#define AS_PLACE(n, own, alarm, level, byte, bit) [n] = 8 * (byte) + (bit),

static const struct alarm_bit lifepower_alarms[] = {STATUS_BITS(AS_ALARM)};
static const uint8_t place[] = {STATUS_BITS(AS_PLACE)};

static const struct lifepower_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

static uint8_t sum_of(const uint8_t *p, size_t n)
{
	uint8_t all = 0, sum = 0;

	for (size_t i = 0; i < n; i++) {
		all ^= p[i];
		sum = (uint8_t)(sum + p[i]);
	}
	return all ^ sum;
}

/* ---- framing: sheet 3 ---- */

static int find_binary(const struct scenario *s, struct bytes in)
{
	uint8_t start = options(s)->start == TALK_7C ? 0x7c : 0x7e, command = u8_at(in, 2);
	/* Of this command, the length says what is asked for, and nothing follows. */
	size_t n = HEAD + (command == PARAMETERS ? 0 : u8_at(in, 3)) + 2u;

	if (u8_at(in, 0) != start || (in.n > 1 && u8_at(in, 1) > s->kind->address_max))
		return -1;
	if (in.n < HEAD || in.n < n)
		return 0;
	if (u8_at(in, n - 1) != END || (sum_of(in.p, n - 2) != u8_at(in, n - 2) && !options(s)->complain))
		return -1;
	return (int)n;
}

static int lifepower_find_request(const struct scenario *s, struct bytes in)
{
	return options(s)->start == TALK_ASCII ? ascii_find_request(s, in) : find_binary(s, in);
}

static void send(const struct device *d, struct reply *out, uint8_t command, const struct frame *data)
{
	int start = options(d->scenario)->start;
	struct frame *f = reply_frame(out);

	frame_add_u8(f, start == TALK_7E ? 0x7e : 0x7c);
	frame_add_u8(f, d->address);
	frame_add_u8(f, command);
	frame_add_u8(f, data->n);
	frame_add(f, data->p, data->n);
	f->sum_at = f->n;
	frame_add_u8(f, sum_of(f->p, f->n));
	frame_add_u8(f, END);
}

/* ---- command 01: sheet 5.1 ---- */

static void add_group(struct frame *f, uint8_t id, unsigned value)
{
	frame_add_u8(f, id);
	frame_add_u8(f, 1);
	frame_add_u16be(f, value);
}

static void add_counter(struct frame *f, uint8_t id, double value)
{
	frame_add_u8(f, id);
	frame_add_u8(f, 1);
	frame_add_u32be(f, (uint32_t)value);
}

static uint8_t degrees(int dC)
{
	return (uint8_t)lround(fmin(fmax(dC / 10.0 + 50, 0), 255));
}

static bool heater_is_on(const struct device *d)
{
	const struct lifepower_board *board = d->board;

	return board->heater ? board->heater == 1 : d->battery.heater_on;
}

static void add_status(struct frame *f, const struct device *d, const struct battery_sample *m)
{
	uint64_t bits = device_alarm_bits(d);
	uint8_t status[STATUS_BYTES] = {0};

	for (unsigned i = 0; i < sizeof(place); i++)
		if (bits >> i & 1)
			status[place[i] / 8] |= (uint8_t)(1u << place[i] % 8);
	status[2] |= (uint8_t)((d->battery.charge_mos ? 0 : 0x10) | (d->battery.discharge_mos ? 0 : 0x20));
	status[3] |= (uint8_t)(m->current_mA > 100 ? 1 : m->current_mA < -100 ? 2 : 0);
	status[5] |= (uint8_t)(heater_is_on(d) ? 0x10 : 0);
	frame_add_u8(f, 6);
	frame_add_u8(f, STATUS_BYTES / 2);
	frame_add(f, status, sizeof(status));
}

static void add_temperatures(struct frame *f, const struct device *d, const struct battery_sample *m)
{
	frame_add_u8(f, 5);
	frame_add_u8(f, m->sensors + 2);
	for (unsigned i = 0; i < m->sensors; i++)
		frame_add_u16be(f, degrees(m->sensor_dC[i]));
	frame_add_u8(f, options(d->scenario)->firmware == LIFEPOWER ? 0x80 : 0x40);
	frame_add_u8(f, degrees(m->mos_dC));
	frame_add_u8(f, 0x20);
	frame_add_u8(f, degrees(m->ambient_dC));
}

/* Time and energy are what charge and voltage make of each other at 20 A and 3.3 V. */
static void add_counters(struct frame *f, const struct device *d, const struct battery_sample *m)
{
	add_counter(f, 0x0b, m->charged_Ah);
	add_counter(f, 0x0c, m->discharged_Ah);
	add_counter(f, 0x0d, m->charged_Ah * 180.0);
	add_counter(f, 0x0e, m->discharged_Ah * 180.0);
	add_counter(f, 0x0f, m->charged_Ah * 3.3 * m->cells);
	add_counter(f, 0x10, m->discharged_Ah * 3.3 * m->cells);
	if (options(d->scenario)->firmware == REVOV)
		add_group(f, 0x11, 0);
}

static void add_info(struct frame *f, const struct device *d)
{
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	frame_add_u8(f, 1);
	frame_add_u8(f, m.cells);
	for (unsigned i = 0; i < m.cells; i++)
		frame_add_u16be(f, m.cell_mV[i] | (m.balancing[i] ? 0x8000u : 0) |
					   (m.cell_mV[i] > HIGH_CELL_MV ? 0x4000u : 0));
	add_group(f, 2, fit_u16(NO_CURRENT - m.current_mA / 10.0));
	add_group(f, 3, m.soc_permille * 10);
	add_group(f, 4, fit_u16(m.full_mAh / 10.0));
	add_temperatures(f, d, &m);
	add_status(f, d, &m);
	add_group(f, 7, m.cycles);
	add_group(f, 8, (m.pack_mV + 5) / 10);
	add_group(f, 9, fit_u16(d->scenario->soh * 100));
	add_group(f, 10, 0);
	if (options(d->scenario)->firmware != LIFEPOWER)
		add_counters(f, d, &m);
}

/* ---- the other commands: sheet 5.2 to 5.5 ---- */

static void add_version(struct frame *f, const struct device *d)
{
	static const char *const usual[] = {"QT-BD16S48V100", "HY-CW007-B200LT55", "TP-BD16S48V150"};
	char text[96];

	snprintf(text, sizeof(text), "%s-V3.1.29",
		 device_text(d->scenario->model, usual[options(d->scenario)->firmware]));
	frame_add(f, text, strlen(text));
}

static void add_hardware(struct frame *f, const struct device *d)
{
	char text[24];

	snprintf(text, sizeof(text), "LP%012u", 480000u + d->address);
	frame_add(f, device_text(d->scenario->serial, text), strlen(device_text(d->scenario->serial, text)));
	frame_add_u8(f, 0xff);
}

static void add_parameter(struct frame *f, uint8_t *index, double value)
{
	frame_add_u8(f, (*index)++);
	frame_add_u8(f, 2);
	frame_add_u16be(f, fit_u16(value));
}

/* Where it begins, how long after, where it ends. */
static void add_limit(struct frame *f, uint8_t *index, double start, double stop)
{
	add_parameter(f, index, start);
	add_parameter(f, index, 1000);
	add_parameter(f, index, stop);
}

static void add_protection(struct frame *f, const struct device *d)
{
	const struct battery_settings *s = &d->battery.settings;
	uint8_t i = 0;

	add_limit(f, &i, 1000 * s->cell_ov, 1000 * s->cell_ov_release);
	add_limit(f, &i, 1000 * s->cell_uv, 1000 * s->cell_uv_release);
	add_limit(f, &i, 100 * s->pack_ov, 100 * s->pack_ov_release);
	add_limit(f, &i, 100 * s->pack_uv, 100 * s->pack_uv_release);
	add_parameter(f, &i, 100 * s->pack_ov_release);
	add_parameter(f, &i, 50 * s->charge_oc);
	for (unsigned level = 0; level < 2; level++) {
		add_parameter(f, &i, 100 * s->charge_oc + 1000 * level);
		add_parameter(f, &i, level ? 100 : 1000);
		add_parameter(f, &i, 100 * s->discharge_oc + 1000 * level);
		add_parameter(f, &i, level ? 100 : 1000);
	}
	add_limit(f, &i, s->charge_ot + 50, s->charge_ot_release + 50);
	add_limit(f, &i, s->discharge_ot + 50, s->discharge_ot_release + 50);
	add_limit(f, &i, s->charge_ut + 50, s->charge_ut_release + 50);
	add_limit(f, &i, s->discharge_ut + 50, s->discharge_ut_release + 50);
	add_limit(f, &i, s->mos_ot + 50, s->mos_ot_release + 50);
	add_limit(f, &i, 120, 115);
	add_limit(f, &i, 25, 35);
	add_parameter(f, &i, 1000 * s->balance_start);
	add_parameter(f, &i, 1000 * s->balance_window);
	add_parameter(f, &i, 3100);
	add_parameter(f, &i, 300);
	add_parameter(f, &i, 24);
	add_parameter(f, &i, 48);
	add_parameter(f, &i, 1);
	add_parameter(f, &i, 5);
}

/* A little before the protection. */
static void add_warnings(struct frame *f, const struct device *d)
{
	const struct battery_settings *s = &d->battery.settings;
	uint8_t i = 0;

	add_limit(f, &i, 1000 * s->cell_ov - 50, 1000 * s->cell_ov_release);
	add_limit(f, &i, 1000 * s->cell_uv + 100, 1000 * s->cell_uv_release);
	add_limit(f, &i, 100 * s->pack_ov - 80, 100 * s->pack_ov_release);
	add_limit(f, &i, 100 * s->pack_uv + 160, 100 * s->pack_uv_release);
	add_limit(f, &i, 95 * s->charge_oc, 90 * s->charge_oc);
	add_limit(f, &i, 95 * s->discharge_oc, 90 * s->discharge_oc);
	add_limit(f, &i, s->charge_ot + 45, s->charge_ot_release + 50);
	add_limit(f, &i, s->charge_ut + 55, s->charge_ut_release + 50);
	add_limit(f, &i, s->discharge_ot + 45, s->discharge_ot_release + 50);
	add_limit(f, &i, s->discharge_ut + 55, s->discharge_ut_release + 50);
	add_limit(f, &i, s->mos_ot + 40, s->mos_ot_release + 50);
	add_parameter(f, &i, s->low_soc);
	add_parameter(f, &i, s->low_soc_release);
	add_parameter(f, &i, 1000 * s->cell_difference);
	add_parameter(f, &i, 1000 * s->cell_difference_release);
	add_limit(f, &i, 115, 110);
	add_limit(f, &i, 30, 35);
}

static enum status write_heating(struct device *d, uint8_t command, struct bytes data)
{
	struct lifepower_board *board = d->board;
	int value = u16be_at(data, 0) - 50;

	d->writes++;
	if (command == HEATER) {
		if (data.n != 1 || u8_at(data, 0) < 1 || u8_at(data, 0) > 2)
			return BAD_VALUE;
		board->heater = u8_at(data, 0);
		return DONE;
	}
	if (data.n != 2 || value < -20 || value > 40)
		return BAD_VALUE;
	*(command == SET_HEAT_START ? &board->heat_start : &board->heat_stop) = value;
	return DONE;
}

static void add_heating(struct frame *f, int value)
{
	frame_add_u8(f, 0);
	frame_add_u8(f, 2);
	frame_add_u16be(f, (unsigned)(value + 50));
}

/* The reply's data; DONE with none: of a write. */
static enum status binary_data(struct device *d, struct bytes request, struct frame *f)
{
	const struct lifepower_board *board = d->board;
	uint8_t command = u8_at(request, 2), length = u8_at(request, 3);

	switch (command) {
	case INFO:
		add_info(f, d);
		return DONE;
	case VERSION:
		add_version(f, d);
		return DONE;
	case HARDWARE:
		add_hardware(f, d);
		return DONE;
	case PARAMETERS:
		if (length)
			add_protection(f, d);
		else
			add_warnings(f, d);
		return DONE;
	case HEAT_START:
		add_heating(f, board->heat_start);
		return DONE;
	case HEAT_STOP:
		add_heating(f, board->heat_stop);
		return DONE;
	case HEATER:
	case SET_HEAT_START:
	case SET_HEAT_STOP:
		return write_heating(d, command, bytes_sub(request, HEAD, length));
	default:
		return UNKNOWN;
	}
}

static void answer_binary(struct device *d, struct bytes request, struct reply *out)
{
	uint8_t command = u8_at(request, 2);
	bool write = command == HEATER || command == SET_HEAT_START || command == SET_HEAT_STOP;
	struct frame data = {.n = 0};
	enum status status;

	if (u8_at(request, 1) != d->hears)
		return;
	if (sum_of(request.p, request.n - 2) != u8_at(request, request.n - 2)) {
		status = BAD_SUM;
	} else if (d->registers && !write) {
		/* The two lists of parameters differ in what stands where the length does. */
		uint16_t key = (uint16_t)(command | (command == PARAMETERS ? u8_at(request, 3) << 8 : 0));
		struct bytes dump = registers_get(d->registers, key, d->address, 0);

		status = dump.p ? DONE : UNKNOWN;
		frame_add(&data, dump.p, dump.n);
	} else {
		status = binary_data(d, request, &data);
	}
	if (!data.n)
		frame_add_u8(&data, status);
	send(d, out, command, &data);
}

/* ---- ASCII: sheet, appendix A ---- */

static unsigned kelvin(int dC)
{
	return (unsigned)(dC + KELVIN);
}

static void add_analog(struct frame *f, const struct device *d)
{
	struct battery_sample m;
	int highest, lowest;

	battery_measure(&d->battery, &m);
	highest = lowest = m.sensors ? m.sensor_dC[0] : m.ambient_dC;
	frame_add_u8(f, 0x10);
	frame_add_u8(f, 1);
	frame_add_u8(f, m.cells);
	for (unsigned i = 0; i < m.cells; i++)
		frame_add_u16be(f, m.cell_mV[i]);
	frame_add_u8(f, BATTERY_SENSORS);
	for (unsigned i = 0; i < BATTERY_SENSORS; i++) {
		int dC = i < m.sensors ? m.sensor_dC[i] : m.ambient_dC;

		highest = dC > highest ? dC : highest;
		lowest = dC < lowest ? dC : lowest;
		frame_add_u16be(f, kelvin(dC));
	}
	frame_add_u16be(f, kelvin(m.ambient_dC));
	frame_add_u16be(f, kelvin(m.mos_dC));
	frame_add_u16be(f, (uint16_t)fit_s16(m.current_mA / 10.0));
	frame_add_u16be(f, (m.pack_mV + 5) / 10);
	frame_add_u16be(f, fit_u16(m.remaining_mAh / 10.0));
	frame_add_u16be(f, fit_u16(m.full_mAh / 10.0));
	frame_add_u16be(f, m.cycles);
	frame_add_u8(f, 15);
	frame_add_u16be(f, fit_u16(m.soc_permille / 10.0));
	frame_add_u16be(f, fit_u16(d->scenario->soh));
	frame_add_u16be(f, m.cell_mV[m.highest]);
	frame_add_u16be(f, m.cell_mV[m.lowest]);
	frame_add_u16be(f, (unsigned)(m.cell_mV[m.highest] - m.cell_mV[m.lowest]));
	frame_add_u16be(f, kelvin(highest));
	frame_add_u16be(f, kelvin(lowest));
	frame_add_u32be(f, m.charged_Ah * 100);
	frame_add_u32be(f, m.discharged_Ah * 100);
	frame_add_u32be(f, (uint32_t)(m.charged_Ah * 3.3 * m.cells));
	frame_add_u32be(f, (uint32_t)(m.discharged_Ah * 3.3 * m.cells));
	frame_add_u32be(f, m.charged_Ah / 20);
	frame_add_u32be(f, m.discharged_Ah / 20);
	frame_add_u16be(f, m.cycles);
	frame_add_u16be(f, m.cycles);
}

/* Warning in one bit, protection in the next. */
static unsigned pair(const struct device *d, enum battery_alarm alarm, unsigned bit)
{
	enum battery_alarm_level level = battery_alarm(&d->battery, alarm);

	return (level >= WARNING ? 1u : 0) << bit | (level >= ALARM ? 2u : 0) << bit;
}

static void add_events(struct frame *f, const struct device *d)
{
	const struct battery *b = &d->battery;
	struct battery_sample m;
	uint32_t balancing = 0;

	battery_measure(b, &m);
	for (unsigned i = 0; i < m.cells; i++)
		balancing |= m.balancing[i] ? UINT32_C(1) << i : 0;
	frame_add_u8(f, 0x10);
	frame_add_u8(f, 1);
	frame_add_u8(f, m.cells);
	for (unsigned i = 0; i < m.cells; i++)
		frame_add_u8(f, 0);
	frame_add_u8(f, BATTERY_SENSORS);
	for (unsigned i = 0; i < BATTERY_SENSORS + 2 + 2; i++) /* sensors, current, voltage */
		frame_add_u8(f, 0);
	frame_add_u8(f, 9);
	frame_add_u8(f, (m.balancing_any ? 1u : 0) | (battery_alarm(b, CELL_IMBALANCE) >= WARNING ? 0x10u : 0) |
				(battery_alarm(b, INTERNAL_FAILURE) >= ALARM ? 0x20u : 0));
	frame_add_u8(f, pair(d, HIGH_CELL_VOLTAGE, 0) | pair(d, LOW_CELL_VOLTAGE, 2) | pair(d, HIGH_VOLTAGE, 4) |
				pair(d, LOW_VOLTAGE, 6));
	frame_add_u16be(f, pair(d, HIGH_CHARGE_TEMPERATURE, 0) | pair(d, LOW_CHARGE_TEMPERATURE, 2) |
				   pair(d, HIGH_TEMPERATURE, 4) | pair(d, LOW_TEMPERATURE, 6) |
				   (battery_alarm(b, HIGH_INTERNAL_TEMPERATURE) >= ALARM ? 0x1000u : 0));
	frame_add_u8(f, pair(d, HIGH_CHARGE_CURRENT, 0) | pair(d, HIGH_DISCHARGE_CURRENT, 2) |
				(battery_alarm(b, SHORT_CIRCUIT) >= ALARM ? 0x20u : 0));
	frame_add_u8(f, battery_alarm(b, LOW_SOC) >= WARNING);
	frame_add_u8(f, (b->discharge_mos ? 1u : 0) | (b->charge_mos ? 2u : 0) | (heater_is_on(d) ? 8u : 0));
	frame_add_u8(f, m.current_mA > 100 ? 2 : m.current_mA < -100 ? 1 : 8);
	frame_add_u32be(f, balancing);
	frame_add_u8(f, 0);
}

static void add_board_text(struct frame *f, const struct device *d)
{
	char text[TEXT + 1];

	snprintf(text, sizeof(text), "%-40.40s V1.07", device_text(d->scenario->model, "QT-YS00-16SV100A"));
	frame_add(f, text, TEXT);
}

static enum status ascii_data(struct device *d, const struct ascii_request *r, struct frame *f)
{
	struct lifepower_board *board = d->board;

	if (r->ver != ASCII_VERSION)
		return BAD_VERSION;
	if (r->cid1 != ASCII_CLASS)
		return BAD_CLASS;
	if (r->n != (r->cid2 == SET_CLOCK ? CLOCK_SIZE : 0))
		return BAD_FORMAT;
	switch (r->cid2) {
	case ANALOG:
		add_analog(f, d);
		return DONE;
	case EVENTS:
		add_events(f, d);
		return DONE;
	case BOARD_TEXT:
		add_board_text(f, d);
		return DONE;
	case CLOCK:
		frame_add(f, board->clock, CLOCK_SIZE);
		return DONE;
	case SET_CLOCK:
		d->writes++;
		memcpy(board->clock, r->info, CLOCK_SIZE);
		return DONE;
	default:
		return UNKNOWN;
	}
}

static void answer_ascii(struct device *d, struct bytes request, struct reply *out)
{
	struct frame data = {.n = 0};
	struct ascii_request r;
	enum status status;

	ascii_open(request, &r);
	if (r.adr != d->hears)
		return;
	if (d->registers) {
		struct bytes dump = registers_get(d->registers, r.cid2, d->address, 0);

		status = dump.p ? DONE : UNKNOWN;
		frame_add(&data, dump.p, dump.n);
	} else {
		status = ascii_data(d, &r, &data);
	}
	ascii_answer(reply_frame(out), &r, d->address, (uint8_t)status, frame_bytes(&data));
}

static void lifepower_answer(struct device *d, struct bytes request, struct reply *out)
{
	if (device_asleep(d))
		return;
	if (options(d->scenario)->start == TALK_ASCII)
		answer_ascii(d, request, out);
	else
		answer_binary(d, request, out);
}

static void lifepower_start(struct device *d)
{
	static const uint8_t clock[CLOCK_SIZE] = {0x07, 0xe8, 6, 1, 12, 0, 0};
	struct lifepower_board *board = d->board;

	board->heat_start = 5;
	board->heat_stop = 10;
	memcpy(board->clock, clock, CLOCK_SIZE);
}

static void lifepower_tell(const struct device *d, FILE *out)
{
	const struct lifepower_board *board = d->board;

	fprintf(out, ",\"heater\":%u,\"heat_C\":[%d,%d],\"clock\":\"", board->heater, board->heat_start,
		board->heat_stop);
	for (unsigned i = 0; i < CLOCK_SIZE; i++)
		fprintf(out, "%02x", board->clock[i]);
	fprintf(out, "\"");
}

const struct kind eg4_lifepower_kind = {
	.id = "eg4-lifepower",
	.alias = "lifepower",
	.about = "EG4 LifePower4, Basen, Revov: frames 7E, 7C or '~' of class 4A",
	.baud = 9600,
	.delay_min_ms = 100,
	.delay_max_ms = 300,
	.gap = 50 * MS,
	.max_cells = 24,
	.max_sensors = BATTERY_SENSORS,
	.cells = 16,
	.sensors = BATTERY_SENSORS,
	.capacity = 100,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.address_min = 0,
	.address_max = 15,
	.address_first = 1,
	.alarms = lifepower_alarms,
	.n_alarms = sizeof(lifepower_alarms) / sizeof(lifepower_alarms[0]),
	.keys = lifepower_keys,
	.n_keys = sizeof(lifepower_keys) / sizeof(lifepower_keys[0]),
	.garbage_hex = "007E1FFF",
	.board_size = sizeof(struct lifepower_board),
	.start = lifepower_start,
	.find_request = lifepower_find_request,
	.answer = lifepower_answer,
	.tell = lifepower_tell,
};
