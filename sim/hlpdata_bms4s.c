/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An HLP Data BMS4S: commands of two letters, answers in text, sheet hlpdata-bms4s. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim/device.h"

enum { CELLS = 4, EVENTS = 50, LINE = 128 };
enum beep { BEEP_COLD = 2, BEEP_HOT = 3, BEEP_LOW = 4, BEEP_HIGH = 5, BEEP_CABLES = 20 };

struct event {
	const char *code;
	double cell_V[CELLS], current_A;
};

struct hlp_board {
	double balance_V, difference_V, absorption_V, unbalance_Ah;
	unsigned high_seen, low_seen; /* trips that are in the log */
	struct event event[EVENTS];   /* the latest ones, oldest first */
	unsigned events;
};

struct hlp_options {
	bool repeat, comma, old, opposite;
};

_Static_assert(sizeof(struct hlp_options) <= SCENARIO_OWN, "room for its own keys");

#define AT(member) offsetof(struct hlp_options, member)
static const struct key hlp_keys[] = {
	{"repeat", KEY_FLAG, AT(repeat), 0, 0, "", "off", NULL, "the unit repeats the command before its answer", 0},
	{"comma", KEY_FLAG, AT(comma), 0, 0, "", "off", NULL, "settings have a decimal comma", 0},
	{"old", KEY_FLAG, AT(old), 0, 0, "", "off", NULL, "a firmware that knows p, but not m1", 0},
	{"opposite", KEY_FLAG, AT(opposite), 0, 0, "", "off", NULL, "fields 6 and 7 say off, not allowed", 0},
};

static const struct hlp_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

/* The bit is the beep code: sheet 6. */
static const struct alarm_bit hlp_alarms[] = {
	{"beep_1", NO_ALARM, WARNING, 1},
	{NULL, LOW_CHARGE_TEMPERATURE, WARNING, BEEP_COLD},
	{NULL, HIGH_CHARGE_TEMPERATURE, WARNING, BEEP_HOT},
	{NULL, LOW_VOLTAGE, ALARM, BEEP_LOW},
	{NULL, LOW_CELL_VOLTAGE, ALARM, BEEP_LOW},
	{NULL, HIGH_VOLTAGE, ALARM, BEEP_HIGH},
	{NULL, HIGH_CELL_VOLTAGE, ALARM, BEEP_HIGH},
	{"beep_6", NO_ALARM, WARNING, 6},
	{NULL, INTERNAL_FAILURE, ALARM, BEEP_CABLES},
};

/* ---- settings: sheet 5.2 ---- */

static const struct setting {
	const char *name, *code, *unit, *text;
	int decimals;
	bool in_battery; /* where the value lies: battery.settings, else the board */
	size_t member;
} settings[] = {
	{"BatterySize", "bs", "Ah", "size of the battery", 0, true, offsetof(struct battery_settings, design_Ah)},
	{"VoltHigh", "vh", "V", "a cell this high ends the charge", 3, true,
	 offsetof(struct battery_settings, cell_ov)},
	{"VoltLow", "vl", "V", "a cell this low takes the load off", 3, true,
	 offsetof(struct battery_settings, cell_uv)},
	{"VoltBalance", "vb", "V", "balancing starts above", 3, false, offsetof(struct hlp_board, balance_V)},
	{"VoltDifference", "vd", "V", "the cells may differ so much", 3, false,
	 offsetof(struct hlp_board, difference_V)},
	{"VoltAbsorbtion", "va", "V", "a cell in the absorption phase", 3, false,
	 offsetof(struct hlp_board, absorption_V)},
	{"BalanceInit", "bi", "Ah", "unbalance that starts balancing", 2, false,
	 offsetof(struct hlp_board, unbalance_Ah)},
};

enum { SETTINGS = sizeof(settings) / sizeof(settings[0]) };

static double *setting_at(struct device *d, const struct setting *s)
{
	return (double *)((char *)(s->in_battery ? (void *)&d->battery.settings : d->board) + s->member);
}

/* The outputs come back 0.1 V on the good side: sheet 12. */
static void apply_settings(struct device *d)
{
	struct battery_settings *s = &d->battery.settings;

	s->cell_ov_release = s->cell_ov - 0.1;
	s->cell_uv_release = s->cell_uv + 0.1;
	battery_apply_settings(&d->battery);
}

static void hlp_start(struct device *d)
{
	struct hlp_board *board = d->board;

	d->battery.settings.cell_ov = 3.6;
	d->battery.settings.cell_uv = 3.0;
	*board = (struct hlp_board){
		.balance_V = 3.5,
		.difference_V = 0.05,
		.absorption_V = 3.5,
		.unbalance_Ah = d->battery.settings.design_Ah * 0.005,
	};
	apply_settings(d);
}

/* ---- the event log: sheet 5.5 ---- */

static void log_event(struct device *d, const char *code)
{
	struct hlp_board *board = d->board;
	struct battery_sample m;

	if (board->events == EVENTS)
		memmove(board->event, board->event + 1, --board->events * sizeof(board->event[0]));
	struct event *e = &board->event[board->events++];

	battery_measure(&d->battery, &m);
	e->code = code;
	for (unsigned i = 0; i < CELLS; i++)
		e->cell_V[i] = i < m.cells ? m.cell_mV[i] / 1000.0 : 0;
	e->current_A = m.current_mA / 1000.0;
}

/* What has tripped since the last request. */
static void log_trips(struct device *d)
{
	struct hlp_board *board = d->board;

	if (board->high_seen != d->battery.trips[HIGH_CELL_VOLTAGE])
		log_event(d, "HVE");
	if (board->low_seen != d->battery.trips[LOW_CELL_VOLTAGE])
		log_event(d, "LVE");
	board->high_seen = d->battery.trips[HIGH_CELL_VOLTAGE];
	board->low_seen = d->battery.trips[LOW_CELL_VOLTAGE];
}

/* ---- answers ---- */

__attribute__((format(printf, 2, 3))) static void say(struct frame *f, const char *format, ...)
{
	char text[LINE];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	frame_add(f, text, n < LINE ? (size_t)n : LINE - 1u);
}

static void say_settings(struct device *d, struct frame *f)
{
	say(f, "Settings of this unit\r\n");
	for (unsigned i = 0; i < SETTINGS; i++) {
		const struct setting *s = &settings[i];
		char value[24];

		snprintf(value, sizeof(value), "%.*f", s->decimals, *setting_at(d, s));
		if (options(d->scenario)->comma && strchr(value, '.'))
			*strchr(value, '.') = ',';
		say(f, "%s= %s %s:   %s, set by %s\r\n", s->name, value, s->unit, s->text, s->code);
	}
	/* A real one has more lines, 700 characters in all. */
	for (unsigned i = 1; i <= 8; i++)
		say(f, "Spare%u= %u -:   a line that means nothing to a host\r\n", i, 10 * i);
}

static unsigned beep_of(uint64_t bits)
{
	static const uint8_t order[] = {BEEP_HIGH, BEEP_LOW, BEEP_HOT, BEEP_COLD, 6, 1};

	for (unsigned i = 0; i < sizeof(order); i++)
		if (bits >> order[i] & 1)
			return order[i];
	return 0;
}

static void say_measured(struct device *d, const struct battery_sample *m, struct frame *f)
{
	bool sense = !options(d->scenario)->opposite;
	uint64_t bits = device_alarm_bits(d);

	if (bits >> BEEP_CABLES & 1)
		say(f, "bad voltage sense cables!\r\n");
	say(f, "m1 ");
	for (unsigned i = 0; i < CELLS; i++)
		say(f, "%.3f,", i < m->cells ? m->cell_mV[i] / 1000.0 : 0);
	say(f, "%.3f,%u,%u,%u,", m->current_mA / 1000.0, (m->soc_permille + 5) / 10, d->battery.charge_mos == sense,
	    d->battery.discharge_mos == sense);
	say(f, "12.700,%u,0,%u,0", (m->soc_permille + 5) / 10, beep_of(bits));
	for (unsigned i = 0; i < m->sensors; i++)
		say(f, ",b%u %.0f", i + 1, m->sensor_dC[i] / 10.0);
	say(f, ",e1 %.0f\r\n", m->ambient_dC / 10.0);
}

static void say_print(const struct battery_sample *m, struct frame *f)
{
	say(f, "U=");
	for (unsigned i = 0; i < CELLS; i++)
		say(f, "%.3f ", i < m->cells ? m->cell_mV[i] / 1000.0 : 0);
	say(f, "%.3f I=%.3f SoC=%u\r\n", m->pack_mV / 1000.0, m->current_mA / 1000.0, (m->soc_permille + 5) / 10);
}

static void say_events(const struct hlp_board *board, struct frame *f)
{
	for (unsigned i = 0; i < board->events; i++) {
		const struct event *e = &board->event[i];
		double sum = 0;

		say(f, "%s ,", e->code);
		for (unsigned k = 0; k < CELLS; k++) {
			say(f, " %.3f ,", e->cell_V[k]);
			sum += e->cell_V[k];
		}
		say(f, " %.3f , %.3f ,\r\n", sum, e->current_A);
	}
}

/* The key of a dump is the command, as two characters. */
static void say_dump(const struct device *d, const char *command, struct frame *f)
{
	uint16_t key = (uint16_t)(command[1] ? command[0] << 8 | command[1] : command[0]);
	struct bytes text;

	for (unsigned nth = 0; (text = registers_get(d->registers, key, 0, nth)).p; nth++)
		frame_add(f, text.p, text.n);
}

static void say_answer(struct device *d, const char *command, struct frame *f)
{
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	if (d->registers)
		say_dump(d, command, f);
	else if (!strcmp(command, "pv"))
		say(f, "%s\r\n", device_text(d->scenario->model, "BMS4S ver 4.2.89"));
	else if (!strcmp(command, "ps"))
		say_settings(d, f);
	else if (!strcmp(command, "m1") && !options(d->scenario)->old)
		say_measured(d, &m, f);
	else if (!strcmp(command, "p"))
		say_print(&m, f);
	else if (!strcmp(command, "pe"))
		say_events(d->board, f);
}

/* ---- requests ---- */

/* A line, whatever is in it: what others have sent before stands at its beginning. */
static int hlp_find_request(const struct scenario *s, struct bytes in)
{
	const uint8_t *end = memchr(in.p, '\n', in.n);

	(void)s;
	return end ? (int)(end - in.p) + 1 : 0;
}

/* "xx=value", and what clears the logs: not answered. */
static bool take_write(struct device *d, const char *line)
{
	struct hlp_board *board = d->board;

	if (!strcmp(line, "ce"))
		board->events = 0;
	else if (strncmp(line, "cm", 2) && (strlen(line) < 3 || line[2] != '='))
		return false;
	for (unsigned i = 0; i < SETTINGS; i++)
		if (line[2] == '=' && !strncmp(line, settings[i].code, 2))
			*setting_at(d, &settings[i]) = strtod(line + 3, NULL);
	apply_settings(d);
	d->writes++;
	return true;
}

static void hlp_answer(struct device *d, struct bytes request, struct reply *out)
{
	static const char *const known[] = {"pv", "ps", "m1", "p", "pe"};
	char line[LINE];
	size_t n = request.n - 1; /* the line end */
	struct frame *f;

	if (n && request.p[n - 1] == '\r')
		n--;
	if (n >= sizeof(line))
		return;
	memcpy(line, request.p, n);
	line[n] = 0;
	log_trips(d);
	if (take_write(d, line))
		return;
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(line, known[i]))
			continue;
		f = reply_frame(out);
		if (options(d->scenario)->repeat)
			say(f, "%s\r\n", line);
		say_answer(d, d->foreign ? known[(i + 1) % 3] : line, f);
		f->sum_at = f->n; /* there is none */
		if (!f->n)
			out->n = 0;
	}
}

static void hlp_tell(const struct device *d, FILE *out)
{
	const struct hlp_board *board = d->board;
	const struct battery_settings *s = &d->battery.settings;

	fprintf(out, ",\"size\":%.0f,\"high\":%.3f,\"low\":%.3f,\"events\":%u", s->design_Ah, s->cell_ov, s->cell_uv,
		board->events);
}

const struct kind hlpdata_kind = {
	.id = "hlpdata-bms4s",
	.alias = "hlpdata",
	.about = "HLP Data BMS4S, lines of text",
	.baud = 9600,
	.delay_min_ms = 30,
	.delay_max_ms = 80,
	.gap = 3600 * SECOND, /* half a line waits for its end */
	.max_cells = CELLS,
	.max_sensors = 3,
	.cells = CELLS,
	.sensors = 2,
	.capacity = 180,
	.balancer = BALANCER_BLEEDS,
	.alarms = hlp_alarms,
	.n_alarms = sizeof(hlp_alarms) / sizeof(hlp_alarms[0]),
	.keys = hlp_keys,
	.n_keys = sizeof(hlp_keys) / sizeof(hlp_keys[0]),
	.garbage_hex = "FF",
	.board_size = sizeof(struct hlp_board),
	.start = hlp_start,
	.find_request = hlp_find_request,
	.answer = hlp_answer,
	.tell = hlp_tell,
};
