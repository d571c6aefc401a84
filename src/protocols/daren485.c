/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Daren DR-1363 boards on RS485 and their relatives (Tian Power, Basen, SacredSun, Revov): '~' ... CR frames with
 * VER 22 and CID1 4A, sheet daren485. What the replies say is in daren_layout.c. */
#include <math.h>
#include <string.h>

#include "protocols/ascii_1363.h"
#include "protocols/daren_layout.h"
#include "protocols/procedure.h"
#include "protocols/table.h"

extern const struct protocol daren485_protocol;

/* A request's code is its CID2; of module writes there is a code of its own. */
enum cid2 {
	CMD_CONTROL = 0x45,
	CMD_CLOCK = 0x4d,
	CMD_VERSION = 0x4f,
	CMD_ITEM = 0x50,
	CMD_PARAMETERS = 0x80,
	CMD_COUNTERS = 0x83,
	CMD_SET_REMAINING = 0x2b0,
};

/* What 45 may carry. The checksum does not see swapped digits: these constants and nothing else (sheet 7). */
enum control {
	CHARGE_ON = 0x00,
	CHARGE_OFF = 0x05,
	DISCHARGE_ON = 0xf0,
	DISCHARGE_OFF = 0x06,
	STATIC_BALANCE_ON = 0x37,
	STATIC_BALANCE_OFF = 0x38,
};

enum { CID1 = 0x4a, READ = 0x01, WRITE = 0x02, ALL = 0xff, ITEM_STATIC_BALANCE = 0x12, FUNCTION_REMAINING = 0x01 };

struct state {
	struct daren_state layout;
	bool item_told; /* the reply to 50 has come: item */
	uint16_t item;
};

/* ---- requests: sheet 3 ---- */

static bool is_control(uint16_t code)
{
	switch (code) {
	case CHARGE_ON:
	case CHARGE_OFF:
	case DISCHARGE_ON:
	case DISCHARGE_OFF:
	case STATIC_BALANCE_ON:
	case STATIC_BALANCE_OFF:
		return true;
	default:
		return false;
	}
}

/* INFO of a request into info (room for 8). -1: there is no such request. */
static int info_of(const struct device *dev, uint16_t code, uint16_t arg, uint8_t *info)
{
	uint8_t low = (uint8_t)arg;

	info[0] = dev->address;
	switch (code) {
	case DAREN_DEVICE:
	case DAREN_SYSTEM:
	case CMD_PARAMETERS:
		return 1;
	case DAREN_MANUFACTURER:
	case CMD_VERSION:
	case CMD_CLOCK:
		return 0;
	case CMD_COUNTERS:
		info[1] = READ;
		return 2;
	case CMD_ITEM:
		info[1] = low;
		return 2;
	case CMD_CONTROL:
		info[1] = low;
		return is_control(arg) ? 2 : -1;
	case DAREN_MODULE:
		memcpy(info + 1, (uint8_t[]){READ, low, ALL, 0}, 4);
		return 5;
	case CMD_SET_REMAINING:
		memcpy(info + 1, (uint8_t[]){WRITE, DAREN_CAPACITY, FUNCTION_REMAINING, 2}, 4);
		put_u16be(info + 5, arg);
		return 7;
	default:
		return -1;
	}
}

/* arg: of 45 the control code, of 50 the item, of B0 the module, of its write 0.01 Ah; else 0. */
static bool daren_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	struct state *s = dev->state;
	uint8_t info[8];
	int n = info_of(dev, code, arg, info);

	if (n < 0 || dev->address < 1 || dev->address > DAREN_MAX_ADDRESS)
		return false;
	if (code == CMD_ITEM)
		s->item_told = false;
	request_start(out, dev->protocol, dev->address, 0, code, arg);
	ascii_1363_build(out, ASCII_1363_SOI, DAREN_VER, CID1, (uint8_t)code, (struct bytes){info, (size_t)n});
	out->writes = code == CMD_CONTROL || code == CMD_SET_REMAINING;
	return true;
}

/* Programs send 01 or the address as group: it is not looked at. */
static bool daren_parse_request(struct bytes tx, struct request *out)
{
	struct device as = {.protocol = &daren485_protocol};
	struct ascii_1363 f;
	uint16_t code, arg = 0;
	uint8_t info[8];

	if (u8_at(tx, 0) != ASCII_1363_SOI || !ascii_1363_open(tx, &f) || f.length_wrong || f.ver != DAREN_VER ||
	    f.cid1 != CID1 || f.adr < 1 || f.adr > DAREN_MAX_ADDRESS)
		return false;
	code = f.code;
	if (code == DAREN_MODULE && f.info[1] == WRITE) {
		code = CMD_SET_REMAINING;
		arg = u16be_at(ascii_1363_info(&f), 5);
	} else if (code == DAREN_MODULE) {
		arg = f.info[2];
	} else if (code == CMD_CONTROL || code == CMD_ITEM) {
		arg = f.info[1];
	}
	as.address = f.n ? f.info[0] : f.adr;
	int n = info_of(&as, code, arg, info);
	if (n < 0 || (size_t)n != f.n || memcmp(info, f.info, f.n) != 0)
		return false;
	request_start(out, &daren485_protocol, f.adr, 0, code, arg);
	request_put(out, tx);
	out->writes = code == CMD_CONTROL || code == CMD_SET_REMAINING;
	return true;
}

/* ---- 80 parameters: sheet 8. Word numbers; delays are in ms or s, which is not known ---- */

#define ONE(word, type, divisor, name)                                                                                 \
	{                                                                                                              \
		2 * (word), type, divisor, 0, name, SETTING_NUMBER                                                     \
	}
#define THREE(word, type, divisor, name, unit, release)                                                                \
	ONE(word, type, divisor, name unit), ONE((word) + 1, RAW_U16BE, 1, name "_delay_raw"),                         \
		ONE((word) + 2, type, divisor, release)
#define CELL(word, name, release)    THREE(word, RAW_U16BE, 1000, name, "_V", release)
#define PACK(word, name, release)    THREE(word, RAW_U16BE, 100, name, "_V", release)
#define AMPS(word, name, release)    THREE(word, RAW_U16BE, 10, name, "_A", release)
#define CELSIUS(word, name, release) THREE(word, RAW_S16BE, 10, name, "_C", release)

static const struct setting_row parameter_settings[] = {
	CELL(0, "cell_ovp", "cell_ovpr_V"),
	CELL(3, "cell_uvp", "cell_uvpr_V"),
	CELL(6, "cell_difference_protection", "cell_difference_release_V"),
	PACK(9, "pack_ovp", "pack_ovpr_V"),
	PACK(12, "pack_uvp", "pack_uvpr_V"),
	AMPS(15, "charge_ocp", "charge_ocpr_A"),
	AMPS(18, "charge_ocp2", "charge_ocp2r_A"),
	AMPS(21, "discharge_ocp", "discharge_ocpr_A"),
	AMPS(24, "discharge_ocp2", "discharge_ocp2r_A"),
	CELSIUS(27, "charge_otp", "charge_otpr_C"),
	CELSIUS(30, "charge_utp", "charge_utpr_C"),
	CELSIUS(33, "discharge_otp", "discharge_otpr_C"),
	CELSIUS(36, "discharge_utp", "discharge_utpr_C"),
	CELSIUS(39, "mos_otp", "mos_otpr_C"),
	CELSIUS(42, "ambient_otp", "ambient_otpr_C"),
	CELSIUS(45, "ambient_utp", "ambient_utpr_C"),
	CELL(48, "cell_high_warning", "cell_high_warning_release_V"),
	CELL(51, "cell_low_warning", "cell_low_warning_release_V"),
	CELL(54, "cell_difference_warning", "cell_difference_warning_release_V"),
	PACK(57, "pack_high_warning", "pack_high_warning_release_V"),
	PACK(60, "pack_low_warning", "pack_low_warning_release_V"),
	AMPS(63, "charge_current_warning", "charge_current_warning_release_A"),
	AMPS(66, "charge_current_warning2", "charge_current_warning2_release_A"),
	AMPS(69, "discharge_current_warning", "discharge_current_warning_release_A"),
	AMPS(72, "discharge_current_warning2", "discharge_current_warning2_release_A"),
	CELSIUS(75, "charge_high_warning", "charge_high_warning_release_C"),
	CELSIUS(78, "charge_low_warning", "charge_low_warning_release_C"),
	CELSIUS(81, "discharge_high_warning", "discharge_high_warning_release_C"),
	CELSIUS(84, "discharge_low_warning", "discharge_low_warning_release_C"),
	CELSIUS(87, "mos_high_warning", "mos_high_warning_release_C"),
	CELSIUS(90, "ambient_high_warning", "ambient_high_warning_release_C"),
	CELSIUS(93, "ambient_low_warning", "ambient_low_warning_release_C"),
	ONE(96, RAW_U16BE, 1000, "cell_sleep_V"),
	ONE(97, RAW_U16BE, 1, "cell_sleep_delay_raw"),
	ONE(98, RAW_S16BE, 1, "balance_high_temperature_raw"),
	ONE(99, RAW_S16BE, 1, "balance_low_temperature_raw"),
	ONE(100, RAW_U16BE, 1000, "balance_start_V"),
	ONE(101, RAW_U16BE, 1000, "balance_trigger_V"),
	ONE(102, RAW_U16BE, 1, "low_soc_warning_pct"),
	ONE(103, RAW_U16BE, 1, "low_soc_warning_release_pct"),
	ONE(104, RAW_U16BE, 1, "constant_voltage_raw"), /* these two only on newer firmware */
	ONE(105, RAW_U16BE, 1, "constant_current_raw"),
};

enum { PARAMETERS_OLD = 2 * 104, PARAMETERS_NEW = 2 * 106 };

static enum verdict take_parameters(struct device *dev, struct bytes info, const char **why)
{
	if (info.n != PARAMETERS_OLD && info.n != PARAMETERS_NEW) {
		*why = "a parameter block of another length";
		return FRAME_BAD;
	}
	table_settings(ROWS(parameter_settings), info, &dev->settings);
	return FRAME_ANSWER;
}

/* ---- 83, 4D, 4F, 50 ---- */

static const struct detail_row counters[] = {
	{2, RAW_U16BE, 1, 0, "count_overcharge"},
	{4, RAW_U16BE, 1, 0, "count_overdischarge"},
	{6, RAW_U16BE, 1, 0, "count_overcurrent"},
	{8, RAW_U16BE, 1, 0, "count_temperature"},
	{10, RAW_U16BE, 1, 0, "count_short_circuit"},
	{12, RAW_U16BE, 1, 0, "count_mos_high_temperature"},
	{14, RAW_U16BE, 1, 0, "count_ambient_high_temperature"},
	{16, RAW_U16BE, 1, 0, "count_ambient_low_temperature"},
};

enum { COUNTERS_MIN = 18 };

static enum verdict take_counters(struct device *dev, struct bytes info, const char **why)
{
	if (info.n < COUNTERS_MIN || u8_at(info, 0) != CMD_COUNTERS) {
		*why = "no counters";
		return FRAME_BAD;
	}
	table_details(ROWS(counters), info, &dev->reading);
	return FRAME_ANSWER;
}

static enum verdict take_item(struct device *dev, struct bytes info, const char **why)
{
	struct state *s = dev->state;

	if (info.n != 3) {
		*why = "length of the state that was asked for";
		return FRAME_BAD;
	}
	s->item_told = true;
	s->item = u16be_at(info, 1);
	return FRAME_ANSWER;
}

static enum verdict take_version(struct device *dev, struct bytes info, const char **why)
{
	if (info.n != 1) {
		*why = "no protocol version";
		return FRAME_BAD;
	}
	settings_set_number(&dev->settings, "protocol_version", u8_at(info, 0));
	return FRAME_ANSWER;
}

/* ---- verdicts ---- */

static enum verdict take_info(struct device *dev, const struct request *pending, struct bytes info, const char **why)
{
	switch (pending->code) {
	case DAREN_DEVICE:
		return daren_take_device(dev, info, why);
	case DAREN_SYSTEM:
		return daren_take_system(dev, info, why);
	case DAREN_MANUFACTURER:
		return daren_take_manufacturer(dev, info, "%u.%u.%u", why);
	case DAREN_MODULE:
		return daren_take_module(dev, pending->arg, info, why);
	case CMD_PARAMETERS:
		return take_parameters(dev, info, why);
	case CMD_COUNTERS:
		return take_counters(dev, info, why);
	case CMD_ITEM:
		return take_item(dev, info, why);
	case CMD_VERSION:
		return take_version(dev, info, why);
	default: /* what a write is acknowledged with was never seen; RTN 00 is enough */
		return FRAME_ANSWER;
	}
}

static enum verdict daren_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct ascii_1363 f;
	enum verdict verdict;

	if (u8_at(frame, 0) != ASCII_1363_SOI)
		return FRAME_FOREIGN;
	verdict = ascii_1363_judge(pending, frame, false, &f, why);
	if (verdict == FRAME_ANSWER)
		verdict = take_info(dev, pending, ascii_1363_info(&f), why);
	if (verdict == FRAME_ANSWER)
		reading_set(&dev->reading, Q_ADDRESS, pending->address);
	return verdict;
}

/* ---- commands: sheet 7 ---- */

enum { READ_BACKS = 9, READ_BACK_WAIT_MS = 500, CONFIRMATIONS = 2 };

/* The MOS must read back as wanted twice in a row. memo[0]: how often it has, in a row; memo[1]: in how many
 * read-backs that was counted. */
static void watch_mos(struct device *dev, struct procedure *p, struct next *next, enum step_result sent)
{
	bool charge = p->command->kind == COMMAND_CHARGE, want_on = p->command->value != 0;
	const char *name = charge ? "charge" : "discharge";

	for (unsigned i = 1; i <= READ_BACKS; i++) {
		if (!step_wait(p, next, READ_BACK_WAIT_MS) || !step_ask(dev, p, next, DAREN_DEVICE, 0))
			return;
		if (p->memo[1] < i) {
			bool on = reading_flag(&dev->reading, charge ? F_CHARGE_MOS : F_DISCHARGE_MOS) == ON;

			p->memo[0] = step_result(p) == STEP_ANSWERED && on == want_on ? p->memo[0] + 1 : 0;
			p->memo[1] = i;
		}
		if (p->memo[1] == i && p->memo[0] == CONFIRMATIONS) {
			step_end(next, COMMAND_DONE, "%s%s MOS reads back %s",
				 sent == STEP_ANSWERED ? "" : "not acknowledged, but the ", name,
				 want_on ? "on" : "off");
			return;
		}
	}
	if (step_result(p) != STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
	else
		step_end(next, COMMAND_UNCONFIRMED, "%s, but the %s MOS does not stay %s",
			 sent == STEP_ANSWERED ? "acknowledged" : "not acknowledged", name, want_on ? "on" : "off");
}

static void proceed_mos(struct device *dev, struct procedure *p, struct next *next)
{
	bool on = p->command->value != 0;
	uint16_t code = p->command->kind == COMMAND_CHARGE ? (on ? CHARGE_ON : CHARGE_OFF)
							   : (on ? DISCHARGE_ON : DISCHARGE_OFF);

	if (!step_ask(dev, p, next, CMD_CONTROL, code))
		return;
	if (step_result(p) == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return;
	}
	watch_mos(dev, p, next, step_result(p));
}

/* How 50 tells on from off is not certain: 1 and 0 are expected. */
static void proceed_balance(struct device *dev, struct procedure *p, struct next *next)
{
	const struct state *s = dev->state;
	bool on = p->command->value != 0;

	if (!step_ask(dev, p, next, CMD_CONTROL, on ? STATIC_BALANCE_ON : STATIC_BALANCE_OFF))
		return;
	if (step_result(p) == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return;
	}
	if (!step_wait(p, next, READ_BACK_WAIT_MS) || !step_ask(dev, p, next, CMD_ITEM, ITEM_STATIC_BALANCE))
		return;
	if (step_result(p) != STEP_ANSWERED || !s->item_told)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the state can't be read back: %s", step_why(p));
	else if (s->item == on)
		step_end(next, COMMAND_DONE, "static balancing reads back %s", on ? "on" : "off");
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the state of static balancing reads back %u", s->item);
}

/* memo[0]: the remaining capacity to write, in 0.01 Ah. */
static void proceed_soc(struct device *dev, struct procedure *p, struct next *next)
{
	const struct reading *r = &dev->reading;
	static const struct {
		uint16_t code, arg;
	} before[] = {{DAREN_DEVICE, 0}, {DAREN_MODULE, DAREN_CAPACITY}};

	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		if (!step_ask(dev, p, next, before[i].code, before[i].arg))
			return;
		if (step_result(p) != STEP_ANSWERED) {
			step_end(next, COMMAND_REFUSED, "nothing was written: request %02X: %s", before[i].code,
				 step_why(p));
			return;
		}
	}
	if (step_is_new(p)) {
		if (!(fabs(reading_get(r, Q_CURRENT_A)) <= 1)) {
			step_end(next, COMMAND_REFUSED, "only at rest: %g A flow", reading_get(r, Q_CURRENT_A));
			return;
		}
		p->memo[0] = (uint32_t)lround(p->command->value * reading_get(r, Q_CAPACITY_FULL_AH));
	}
	if (!step_ask(dev, p, next, CMD_SET_REMAINING, (uint16_t)p->memo[0]))
		return;
	if (step_result(p) == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return;
	}
	if (!step_wait(p, next, READ_BACK_WAIT_MS) || !step_ask(dev, p, next, DAREN_MODULE, DAREN_CAPACITY))
		return;
	double got = reading_get(r, Q_CAPACITY_REMAINING_AH);
	if (step_result(p) != STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the capacity can't be read back: %s", step_why(p));
	else if (lround(100 * got) == (long)p->memo[0])
		step_end(next, COMMAND_DONE, "remaining capacity reads back %g Ah", got);
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the remaining capacity reads back %g Ah", got);
}

static void daren_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	if (p->command->kind == COMMAND_SOC)
		proceed_soc(dev, p, next);
	else if (p->command->kind == COMMAND_BALANCE)
		proceed_balance(dev, p, next);
	else
		proceed_mos(dev, p, next);
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{19200, 8, 'N', 1}, {9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Daren485", NULL};

static const struct poll polls[] = {
	{DAREN_DEVICE, 0, EVERY_POLL, true, NULL},
	{DAREN_MANUFACTURER, 0, ONCE, false, NULL},
	{DAREN_MODULE, DAREN_MANUFACTURING, ONCE, false, NULL},
	{DAREN_MODULE, DAREN_CAPACITY, 61000, false, NULL},
	{DAREN_SYSTEM, 0, 301000, false, NULL},
	{CMD_COUNTERS, 0, 302000, false, NULL},
	{CMD_PARAMETERS, 0, 303000, false, NULL},
};

/* 51 has the shortest reply. */
static const struct probe probes[] = {{DAREN_MANUFACTURER, 0, 1, DAREN_MAX_ADDRESS, 0, 0, 150, false}};

#define ALL_COMMANDS (1 << COMMAND_SOC | 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE | 1 << COMMAND_BALANCE)

const struct protocol daren485_protocol = {
	.id = "daren485",
	.title = "Daren DR-1363, Tian Power, Basen, SacredSun, Revov",
	.manufacturer = "Daren",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 600,
		   .gap_ms = 200,
		   .pause_ms = 100,
		   .late_ms = 500,
		   .scan_ms = 300,
		   .tries = 3,
		   .poll_ms = 1000},
	.quantities = DAREN_QUANTITIES,
	.series = DAREN_SERIES,
	.flags = DAREN_FLAGS,
	.alarms = DAREN_ALARMS,
	.commands = ALL_COMMANDS,
	.experimental = ALL_COMMANDS, /* whether a board takes them outside of factory mode is not known */
	.first_address = 1,
	.last_address = DAREN_MAX_ADDRESS,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {DAREN_DEVICE},
	.confirm_count = 1,
	.encode = daren_encode,
	.find_frame = ascii_1363_find,
	.take = daren_take,
	.plausible = daren_plausible,
	.parse_request = daren_parse_request,
	.proceed = daren_proceed,
};
