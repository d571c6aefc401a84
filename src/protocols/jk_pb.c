/* SPDX-License-Identifier: GPL-3.0-or-later */
/* JK "PB" inverter boards (and others whose UART protocol is 001) on RS485, sheet jk-pb: trigger requests that are
 * answered by a 300-byte frame and an acknowledgement, and Modbus for writes and single reads. */
#include "protocols/jk_frame.h"
#include "protocols/jk_switch.h"
#include "protocols/modbus_rtu.h"
#include "protocols/procedure.h"

extern const struct protocol jk_pb_protocol;

/* A frame that was overheard has no acknowledgement that must fit a request of ours. */
enum dialect { ASKED, OVERHEARD };

/* Codes of requests: the register that is written; of reads READ and the number of words, arg is the register. */
#define READ	      0x0300
#define IS_READ(code) (((code)&0xff00) == READ)

enum registers {
	REG_ABOUT = 0x161c,
	REG_SETTINGS = 0x161e,
	REG_STATUS = 0x1620,
	REG_CHARGE = 0x1070,
	REG_DISCHARGE = 0x1074,
	REG_BALANCE = 0x1078,
	REG_MODEL = 0x1400,
};

enum { FIRST_ADDRESS = 1, LAST_ADDRESS = 15, MODEL_WORDS = 8 };

/* Lengths of the trigger protocol's parts. Between frame and acknowledgement stand 0..2 stray bytes. */
enum { TRIGGER = 11, ACK = 8, ACK_STRAY = 2 };

static bool is_trigger(uint16_t code)
{
	return code == REG_STATUS || code == REG_SETTINGS || code == REG_ABOUT;
}

static enum jk_frame_type type_of(uint16_t trigger)
{
	return trigger == REG_STATUS ? JK_STATUS : trigger == REG_SETTINGS ? JK_SETTINGS : JK_ABOUT;
}

/* 0: no request brings this type. */
static uint16_t trigger_of(uint8_t type)
{
	return type == JK_STATUS ? REG_STATUS : type == JK_SETTINGS ? REG_SETTINGS : type == JK_ABOUT ? REG_ABOUT : 0;
}

/* ---- framing: sheet 3.1 ---- */

static bool is_ack(struct bytes b)
{
	return b.n == ACK && u8_at(b, 1) == MODBUS_WRITE_REGISTERS && is_trigger(u16be_at(b, 2)) &&
	       u16be_at(b, 4) == 1 && modbus_crc_fits(b);
}

/* The acknowledgement behind a frame; empty when there is none. */
static struct bytes ack_of(struct bytes frame)
{
	return bytes_sub(frame, frame.n > JK_FRAME_SIZE ? frame.n - ACK : frame.n, ACK);
}

/* A frame together with its acknowledgement; a frame alone where no acknowledgement follows. */
static int find_answer(struct bytes in, bool quiet, const char **why)
{
	int n = jk_find_frame(in, quiet, why);

	if (n <= 0)
		return n;
	for (size_t stray = 0; stray <= ACK_STRAY; stray++)
		if (is_ack(bytes_sub(in, JK_FRAME_SIZE + stray, ACK)))
			return (int)(JK_FRAME_SIZE + stray + ACK);
	return quiet || bytes_has(in, JK_FRAME_SIZE, ACK_STRAY + ACK) ? n : 0;
}

/*
 * Somebody else's request for a frame, or an acknowledgement that stands alone. They begin alike; what may become
 * one is waited for.
 */
static int find_trigger(struct bytes in, bool quiet)
{
	static const uint8_t tail[] = {0x00, 0x01, 0x02, 0x00, 0x00};

	if (u8_at(in, 0) < FIRST_ADDRESS || u8_at(in, 0) > LAST_ADDRESS ||
	    (in.n > 1 && u8_at(in, 1) != MODBUS_WRITE_REGISTERS) || (in.n > 3 && !is_trigger(u16be_at(in, 2))))
		return -1;
	if (is_ack(bytes_sub(in, 0, ACK)))
		return ACK;
	if (in.n < TRIGGER)
		return quiet ? -1 : 0;
	if (bytes_equal(bytes_sub(in, 4, sizeof(tail)), (struct bytes){tail, sizeof(tail)}) &&
	    modbus_crc_fits(bytes_sub(in, 0, TRIGGER)))
		return TRIGGER;
	return -1;
}

static int jk_pb_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	/* A frame is one whatever is pending: nothing in it is to be taken for a Modbus reply. */
	if (in.p[0] == 0x55)
		return find_answer(in, quiet, why);
	if (!pending)
		return find_trigger(in, quiet);
	/* An acknowledgement without its frame answers nothing, and is not waited for. */
	if (is_trigger(pending->code) && in.n > 1 && u8_at(in, 1) == MODBUS_WRITE_REGISTERS)
		return -1;
	return modbus_find_reply(pending, in, quiet, why);
}

/* ---- requests ---- */

static bool jk_pb_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	uint8_t value[4];

	request_start(out, dev->protocol, dev->address, ASKED, code, arg);
	if (IS_READ(code)) {
		modbus_build_read(out, MODBUS_READ_HOLDING, arg, code & 0xff);
		return true;
	}
	if (is_trigger(code)) {
		put_u16be(value, 0);
		modbus_build_write_block(out, code, (struct bytes){value, 2});
		out->writes = false; /* a 0 to these registers asks for a frame */
		return true;
	}
	if (code != REG_CHARGE && code != REG_DISCHARGE && code != REG_BALANCE)
		return false;
	put_u32be(value, arg);
	modbus_build_write_block(out, code, (struct bytes){value, sizeof(value)});
	return true;
}

/*
 * Registers that may be read: the byte offset of a field in its frame, less 6, plus the area's base. The status area
 * ends where nobody reads JK boards, but another make of the same function and address is read.
 */
static bool readable(uint16_t reg)
{
	return (reg >= 0x1000 && reg < 0x1120) || (reg >= 0x1200 && reg < 0x1300) || (reg >= REG_MODEL && reg < 0x1500);
}

static bool jk_pb_parse_request(struct bytes tx, struct request *out)
{
	uint8_t function = u8_at(tx, 1);
	uint16_t reg = u16be_at(tx, 2), words = u16be_at(tx, 4);
	bool settings = reg >= 0x1000 && reg < 0x1120;

	if (tx.n != (size_t)modbus_request_length(tx) || !modbus_crc_fits(tx) || u8_at(tx, 0) < FIRST_ADDRESS ||
	    u8_at(tx, 0) > LAST_ADDRESS)
		return false;
	if (function == MODBUS_READ_HOLDING && readable(reg) && words && words <= 125)
		request_start(out, &jk_pb_protocol, tx.p[0], ASKED, (uint16_t)(READ | words), reg);
	else if (function == MODBUS_WRITE_REGISTERS && (is_trigger(reg) || settings))
		request_start(out, &jk_pb_protocol, tx.p[0], ASKED, reg, is_trigger(reg) ? 0 : u16be_at(tx, tx.n - 4));
	else
		return false;
	out->writes = function == MODBUS_WRITE_REGISTERS && settings;
	request_put(out, tx);
	return true;
}

/* ---- replies ---- */

static enum verdict take_answer(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct bytes ack = ack_of(frame);

	/* The frame itself does not say whose it is. */
	if (pending->dialect == ASKED && ack.n != ACK) {
		*why = "no acknowledgement behind the frame: it could be any board's";
		return FRAME_BAD;
	}
	if (pending->dialect == ASKED && (u8_at(ack, 0) != pending->address || u16be_at(ack, 2) != pending->code))
		return FRAME_FOREIGN;
	if (jk_frame_type(frame) != type_of(pending->code)) {
		*why = "a frame of another type than asked for";
		return FRAME_BAD;
	}
	enum verdict verdict = jk_take_frame(dev, dev->state, bytes_sub(frame, 0, JK_FRAME_SIZE), why);

	if (verdict == FRAME_ANSWER)
		reading_set(&dev->reading, Q_ADDRESS, pending->address);
	return verdict;
}

/*
 * Only the model is read so, by detection. Another Modbus device at this address answers too: that it does so, and
 * must not be sent a trigger, is what FRAME_REFUSED tells.
 */
static enum verdict take_read(struct device *dev, const struct request *pending, struct bytes values, const char **why)
{
	if (!values.n || values.n % 2) {
		*why = "length of a read";
		return FRAME_BAD;
	}
	if (pending->arg != REG_MODEL)
		return FRAME_ANSWER;
	if (!jk_take_identity(dev, values)) {
		*why = "a Modbus device, but no JK board";
		return FRAME_REFUSED;
	}
	reading_set(&dev->reading, Q_ADDRESS, pending->address);
	return FRAME_ANSWER;
}

static enum verdict jk_pb_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct bytes values = {NULL, 0};

	if (u8_at(frame, 0) == 0x55)
		return is_trigger(pending->code) ? take_answer(dev, pending, frame, why) : FRAME_FOREIGN;
	if (pending->dialect != ASKED)
		return FRAME_FOREIGN;
	enum verdict verdict = modbus_judge((struct bytes){pending->tx, pending->n}, frame, &values, why);

	if (verdict == FRAME_REFUSED && u8_at(frame, 2) == 4)
		*why = "the board found our checksum wrong (exception 04)";
	if (verdict != FRAME_ANSWER)
		return verdict;
	if (IS_READ(pending->code))
		return take_read(dev, pending, values, why);
	/* Of a trigger, the frame is the answer, not its acknowledgement alone. */
	return is_trigger(pending->code) ? FRAME_FOREIGN : FRAME_ANSWER;
}

static bool jk_pb_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;

	if (!reading_knows(r, Q_VOLTAGE_V) || !r->cell_V.count) {
		*why = "it has sent no status";
		return false;
	}
	return reading_plausible(r, why);
}

/* ---- a bus that has a master: sheet 9 ---- */

struct listen {
	bool master;	 /* somebody asks here for status or settings */
	uint16_t acked;	 /* bit per address that has answered with an acknowledgement */
	uint8_t address; /* of the request directly before; 0: none */
	uint16_t code;	 /* " */
};

/* Whose frame it is that no acknowledgement follows: the master sends its own ones so, and they may stand behind a
 * request to an address where nobody is. -1: can't be told. */
static int address_without_ack(const struct listen *l, struct bytes frame, uint16_t code)
{
	uint32_t told = code == REG_SETTINGS ? jk_frame_address(frame) : 0;

	if (told >= FIRST_ADDRESS && told <= LAST_ADDRESS)
		return (int)told;
	/* A board that is there was asked: its acknowledgement may have been lost. */
	if (l->address && l->code == code && (l->acked >> l->address & 1))
		return -1;
	return 0;
}

static enum heard hear_request(struct listen *l, struct bytes request)
{
	l->address = u8_at(request, 0);
	l->code = u16be_at(request, 2);
	/* No master asks boards who they are; that is the echo of our own probe. */
	if (l->code == REG_ABOUT)
		return HEARD_NOTHING;
	l->master = true;
	return HEARD_MASTER;
}

static enum heard jk_pb_overhear(void *listen, struct bytes frame, struct request *as)
{
	struct listen *l = listen;
	uint16_t code = trigger_of(jk_frame_type(frame));
	struct bytes ack = ack_of(frame);
	int address;

	if (frame.n == TRIGGER)
		return hear_request(l, frame);
	if (frame.n < JK_FRAME_SIZE) { /* an acknowledgement alone */
		l->address = 0;
		return HEARD_NOTHING;
	}
	if (ack.n == ACK && u16be_at(ack, 2) == code && u8_at(ack, 0) <= LAST_ADDRESS) {
		address = u8_at(ack, 0);
		l->acked |= (uint16_t)(1u << address);
	} else {
		address = ack.n == ACK ? -1 : address_without_ack(l, frame, code);
	}
	l->address = 0;
	if (address < 0 || !code || (code == REG_ABOUT && !l->master))
		return HEARD_NOTHING;
	request_start(as, &jk_pb_protocol, (uint8_t)address, OVERHEARD, code, 0);
	return HEARD_ANSWER;
}

/* ---- commands: sheet 7 ---- */

enum { MOS_TRIES = 3, MOS_WAIT_MS = 1000 };

/* The switch must read back at once; the MOS follows within 1..2 s, which only a fresh status tells. */
static void proceed_switch(struct device *dev, struct procedure *p, struct next *next)
{
	static const uint16_t reg[COMMAND_KINDS] = {
		[COMMAND_CHARGE] = REG_CHARGE,
		[COMMAND_DISCHARGE] = REG_DISCHARGE,
		[COMMAND_BALANCE] = REG_BALANCE,
	};
	bool has_mos = p->command->kind != COMMAND_BALANCE;

	if (!step_ask(dev, p, next, reg[p->command->kind], p->command->value != 0))
		return;
	if (step_result(p) == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return;
	}
	if (!step_ask(dev, p, next, REG_SETTINGS, 0))
		return;
	bool told = step_result(p) == STEP_ANSWERED;

	if (told && has_mos && jk_switched(dev, p->command) != JK_NOT_SWITCHED) {
		told = false;
		for (int i = 0; i < MOS_TRIES && !(told && jk_switched(dev, p->command) != JK_MOS_DIFFERS); i++) {
			if (!step_wait(p, next, MOS_WAIT_MS) || !step_ask(dev, p, next, REG_STATUS, 0))
				return;
			told = told || step_result(p) == STEP_ANSWERED;
		}
	}
	if (told)
		jk_switch_end(dev, p->command, next);
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
}

static void jk_pb_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	if (p->command->kind == COMMAND_SOC)
		step_end(next, COMMAND_REFUSED, "this board has no register for the SoC on RS485");
	else
		proceed_switch(dev, p, next);
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{115200, 8, 'N', 1}, {9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Jkbms_pb", NULL};

/* The limits are computed from the settings: without them a reading lacks what matters most. */
static const struct poll polls[] = {
	{REG_STATUS, 0, EVERY_POLL, true, NULL},
	{REG_SETTINGS, 0, 30000, true, NULL},
	{REG_ABOUT, 0, ONCE, false, NULL},
};

/* On a cold bus half of the reads stay unanswered (sheet 3.2), so a second one; then the trigger, which to a foreign
 * Modbus device is a write of 0: only where nothing has spoken (sheet 4). */
static const struct probe probes[] = {
	{READ | MODEL_WORDS, REG_MODEL, FIRST_ADDRESS, LAST_ADDRESS, ASKED, 0, 80, false},
	{READ | MODEL_WORDS, REG_MODEL, FIRST_ADDRESS, FIRST_ADDRESS, ASKED, 1, 80, false},
	{REG_ABOUT, 0, FIRST_ADDRESS, LAST_ADDRESS, ASKED, 1, 120, true},
};

const struct protocol jk_pb_protocol = {
	.id = "jk-pb",
	.title = "JK (Jikong) PB inverter BMS on RS485, and other JK boards with UART protocol 001",
	.manufacturer = "JKBMS",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 500,
		   .gap_ms = 50,
		   .pause_ms = 120,
		   .late_ms = 600,
		   .scan_ms = 250,
		   .tries = 3,
		   .poll_ms = 200},
	.quantities = JK_FRAME_QUANTITIES | JK_Q(ADDRESS),
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING | SERIES_RESISTANCES,
	.flags = JK_FRAME_FLAGS,
	.alarms = JK_FRAME_ALARMS,
	.commands = 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE | 1 << COMMAND_BALANCE,
	.first_address = FIRST_ADDRESS,
	.last_address = LAST_ADDRESS,
	.state_size = sizeof(struct jk_frame_state),
	.listen_size = sizeof(struct listen),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {REG_STATUS},
	.confirm_count = 1,
	.encode = jk_pb_encode,
	.find_frame = jk_pb_find_frame,
	.take = jk_pb_take,
	.plausible = jk_pb_plausible,
	.parse_request = jk_pb_parse_request,
	.overhear = jk_pb_overhear,
	.proceed = jk_pb_proceed,
};
