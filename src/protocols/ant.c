/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ANT BMS on a serial line, sheet ant. Two dialects: that of 2021 and later (frames 7E A1, CRC), and the older one
 * with its 140-byte status, which newer boards still answer. Only reads belong to detection. */
#include <math.h>
#include <string.h>

#include "protocols/checksum.h"
#include "protocols/plausible.h"
#include "protocols/procedure.h"
#include "protocols/protocol.h"
#include "protocols/table.h"

extern const struct protocol ant_protocol;

enum dialect { SINCE_2021, LEGACY };

/*
 * A request's code. Of 2021: the function, its arg the address. Legacy: READ_WORD with the parameter's number as
 * arg; WRITE_WORD | number with the value as arg. The status has one code in both.
 */
enum code {
	STATUS = 0x01,
	READ = 0x02,
	READ_ID = 0x04,
	WRITE = 0x22,
	AUTHENTICATE = 0x23,
	CONTROL = 0x51,
	READ_WORD = 0x5a,
	CONFIRM = 0x100,   /* what detection asks second */
	NEXT_WORD = 0x101, /* the legacy parameter whose turn it is */
	WRITE_WORD = 0xa500,
};

enum address {
	ADDR_INFO = 0x026c,
	ADDR_PASSWORD = 0x016a,
	ADDR_REMAINING = 0x00a6,
	SAVE = 0x07,
	DISCHARGE_OFF = 0x01,
	DISCHARGE_ON = 0x03,
	CHARGE_OFF = 0x04,
	CHARGE_ON = 0x06,
	BALANCE_ON = 0x0d,
	BALANCE_OFF = 0x0e,
};

enum word {
	WORD_CELLS = 24,
	WORD_FULL_LOW = 31,
	WORD_REMAINING_LOW = 33,
	WORD_CYCLED_HIGH = 36,
	WORD_RESISTANCE = 51, /* of cell 1 */
	WORD_SWITCH_DISCHARGE = 0xf9,
	WORD_SWITCH_CHARGE = 0xfa,
	WORD_BALANCE = 0xfc,
	WORD_APPLY = 0xff,
};

enum {
	ANT_MAX_CELLS = 32,
	MAX_SENSORS = 6,
	HEAD = 6,      /* of a 2021 frame, before its data */
	MAX_STRAY = 8, /* bytes between CRC and end mark: 6 were seen */
	LEGACY_STATUS = 140,
	LEGACY_SUM = 138,
	LEGACY_WORD = 6,
	STATUS_WANTED = 0xbe,
	INFO_SIZE = 32,
	ID_SIZE = 12,
	CELLS_AT = 34,
	RESISTANCES = 24,
	PERMITTED = 5, /* permission level that may switch */
	NOT_FITTED = -40,
	ZERO_GAP_MS = 200, /* an answer begins within 100 ms */
	MOS_ON = 0x01,
	MOS_WAITS = 0x00, /* off, or on its way to on */
	MOS_OFF = 0x0f,	  /* by hand */
	BALANCES = 0x04,
};

struct state {
	uint16_t low[3]; /* low words of the legacy parameters 31, 33, 35 */
	bool low_known[3];
	double full_Ah;	   /* of parameters 31 and 32; 0: not known */
	uint8_t next_word; /* index of what NEXT_WORD reads; all have been once: swept */
	bool swept;
	bool zero_word;		/* a request has come back: a value of 0, or an echo */
	bool echoes;		/* on this line requests do come back */
	uint32_t remaining_uAh; /* that WRITE writes */
};

/* ---- framing: sheet 3 ---- */

static const uint8_t new_mark[] = {0x7e, 0xa1}, status_mark[] = {0xaa, 0x55, 0xaa, 0xff}, word_mark[] = {0x5a, 0x5a},
		     end_mark[] = {0xaa, 0x55};

#define MARK(m) ((struct bytes){(m), sizeof(m)})

/* Bytes in front of the mark, or of what may be its beginning at the end of in. */
static size_t before_mark(struct bytes in, struct bytes mark)
{
	for (size_t i = 0; i < in.n; i++) {
		struct bytes rest = bytes_sub(in, i, mark.n);

		if (bytes_equal(rest, bytes_sub(mark, 0, rest.n)))
			return i;
	}
	return in.n;
}

static bool is_read(uint8_t function)
{
	return function == STATUS || function == READ || function == READ_ID;
}

/* In a read the length is that of the reply. */
static size_t data_size(struct bytes frame)
{
	return is_read(u8_at(frame, 2)) ? 0 : u8_at(frame, 5);
}

static int find_new(struct bytes in, bool quiet, const char **why)
{
	size_t crc = HEAD + data_size(in);

	if (bytes_has(in, 0, HEAD) && bytes_has(in, crc, 2)) {
		struct bytes behind = bytes_sub(in, crc + 2, MAX_STRAY + sizeof(end_mark));

		if (crc16_modbus(bytes_sub(in, 1, crc - 1)) != u16le_at(in, crc)) {
			*why = "checksum";
			return -1;
		}
		size_t stray = bytes_find(behind, MARK(end_mark), 0);
		if (stray < behind.n)
			return (int)(crc + 2 + stray + sizeof(end_mark));
		if (behind.n == MAX_STRAY + sizeof(end_mark)) {
			*why = "no end mark";
			return -1;
		}
	}
	if (!quiet)
		return 0;
	*why = "frame cut short";
	return -1;
}

static int find_status(struct bytes in, bool quiet, const char **why)
{
	if (in.n < LEGACY_STATUS) {
		if (!quiet)
			return 0;
		*why = "frame cut short";
		return -1;
	}
	if (sum16(bytes_sub(in, sizeof(status_mark), LEGACY_SUM - sizeof(status_mark))) == u16be_at(in, LEGACY_SUM))
		return LEGACY_STATUS;
	*why = "checksum";
	return -1;
}

static int find_word(struct bytes in, bool quiet, const char **why)
{
	if (in.n < LEGACY_WORD)
		return quiet ? -1 : 0;
	if (sum8(bytes_sub(in, 2, 3)) == u8_at(in, 5))
		return LEGACY_WORD;
	*why = "checksum";
	return -1;
}

typedef int (*find_fn)(struct bytes in, bool quiet, const char **why);

static find_fn frame_of(const struct request *pending, uint8_t first, struct bytes *mark)
{
	if (pending ? pending->dialect == SINCE_2021 : first == new_mark[0]) {
		*mark = MARK(new_mark);
		return find_new;
	}
	if (pending ? pending->code == STATUS : first == status_mark[0]) {
		*mark = MARK(status_mark);
		return find_status;
	}
	*mark = MARK(word_mark);
	return find_word;
}

static int ant_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	struct bytes mark;
	find_fn find = frame_of(pending, u8_at(in, 0), &mark);
	size_t noise = before_mark(in, mark);

	if (noise)
		return -(int)noise;
	if (in.n < mark.n)
		return quiet ? -(int)in.n : 0;
	return find(in, quiet, why);
}

/* ---- requests of 2021 ---- */

/* The parameter pages: sheet 8.1. */
static const struct page {
	uint16_t address;
	uint8_t size;
} pages[] = {
	{0x0000, 0x38}, {0x0038, 0x2c}, {0x0064, 0x24},		{0x0088, 0x26},
	{0x00c4, 0x02}, {0x017a, 0x06}, {ADDR_INFO, INFO_SIZE}, {ADDR_REMAINING, 4},
};

/* How much is read at this address; 0: nothing. */
static uint8_t wanted_size(uint16_t code, uint16_t address)
{
	if (code == STATUS)
		return address ? 0 : STATUS_WANTED;
	if (code == READ_ID)
		return address ? 0 : ID_SIZE;
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (pages[i].address == address)
			return pages[i].size;
	return 0;
}

/* The only factory password whose acceptance was recorded (sheet 7.1). */
static const char password[] = "123456789abc";

static size_t put_data(const struct device *dev, uint16_t code, uint16_t arg, uint8_t *data)
{
	const struct state *s = dev->state;

	if (code == AUTHENTICATE) {
		memcpy(data, password, sizeof(password) - 1);
		return sizeof(password) - 1;
	}
	if (code == WRITE && arg == ADDR_REMAINING) {
		put_u16le(data, (uint16_t)s->remaining_uAh);
		put_u16le(data + 2, (uint16_t)(s->remaining_uAh >> 16));
		return 4;
	}
	return 0;
}

/* Controls that this program knows; no other may leave it. */
static bool may_control(uint16_t command)
{
	return command == DISCHARGE_OFF || command == DISCHARGE_ON || command == CHARGE_OFF || command == CHARGE_ON ||
	       command == BALANCE_ON || command == BALANCE_OFF || command == SAVE;
}

static bool encode_new(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	uint8_t tx[HEAD + 16 + 4] = {new_mark[0], new_mark[1], (uint8_t)code};
	size_t n = put_data(dev, code, arg, tx + HEAD);

	put_u16le(tx + 3, arg);
	tx[5] = (uint8_t)n;
	if (code <= UINT8_MAX && is_read((uint8_t)code)) {
		tx[5] = wanted_size(code, arg);
		if (!tx[5])
			return false;
	} else if (code != CONTROL ? !n : !may_control(arg)) {
		return false;
	}
	put_u16le(tx + HEAD + n, crc16_modbus((struct bytes){tx + 1, HEAD + n - 1}));
	memcpy(tx + HEAD + n + 2, end_mark, sizeof(end_mark));
	request_start(out, dev->protocol, dev->address, SINCE_2021, code, arg);
	request_put(out, (struct bytes){tx, HEAD + n + 4});
	out->writes = !is_read((uint8_t)code);
	return true;
}

/* ---- legacy requests ---- */

/* Parameters: sheet 8.2. 31 to 36 are 32-bit values in two words, see take_half(). */
static const struct setting_row word_rows[] = {
	{1, RAW_U16BE, 1000, 0, "cell_high_warning_V", SETTING_NUMBER},
	{2, RAW_U16BE, 1000, 0, "cell_low_warning_V", SETTING_NUMBER},
	{3, RAW_U16BE, 1000, 0, "cell_ovp_V", SETTING_NUMBER},
	{4, RAW_U16BE, 1000, 0, "cell_uvp_V", SETTING_NUMBER},
	{5, RAW_U16BE, 1000, 0, "cell_ovpr_V", SETTING_NUMBER},
	{6, RAW_U16BE, 1000, 0, "cell_uvpr_V", SETTING_NUMBER},
	{7, RAW_U16BE, 10, 0, "pack_ovp_V", SETTING_NUMBER},
	{8, RAW_U16BE, 10, 0, "pack_uvp_V", SETTING_NUMBER},
	{9, RAW_U16BE, 10, 0, "charge_ocp_A", SETTING_NUMBER},
	{10, RAW_U16BE, 1, 0, "charge_ocp_delay_s", SETTING_NUMBER},
	{11, RAW_U16BE, 10, 0, "discharge_ocp_A", SETTING_NUMBER},
	{12, RAW_U16BE, 1, 0, "discharge_ocp_delay_s", SETTING_NUMBER},
	{13, RAW_U16BE, 1000, 0, "balance_limit_V", SETTING_NUMBER},
	{14, RAW_U16BE, 1000, 0, "balance_start_V", SETTING_NUMBER},
	{15, RAW_U16BE, 1000, 0, "balance_trigger_V", SETTING_NUMBER},
	{16, RAW_U16BE, 100, 0, "balance_current_max_A", SETTING_NUMBER},
	{17, RAW_U16BE, 1000, 0, "reference_V", SETTING_NUMBER},
	{18, RAW_U16BE, 10, 0, "current_range_A", SETTING_NUMBER},
	{19, RAW_U16BE, 1, 0, "start_current_A", SETTING_NUMBER},
	{20, RAW_U16BE, 1, 0, "short_circuit_A", SETTING_NUMBER},
	{21, RAW_U16BE, 1, 0, "scp_delay_us", SETTING_NUMBER},
	{22, RAW_U16BE, 1, 0, "sleep_wait_s", SETTING_NUMBER},
	{23, RAW_U16BE, 1, 0, "voltage_factor", SETTING_NUMBER},
	{WORD_CELLS, RAW_U16BE, 1, 0, "cell_count", SETTING_NUMBER},
	{25, RAW_S16BE, 1, 0, "charge_otp_C", SETTING_NUMBER},
	{26, RAW_S16BE, 1, 0, "charge_otpr_C", SETTING_NUMBER},
	{27, RAW_S16BE, 1, 0, "discharge_otp_C", SETTING_NUMBER},
	{28, RAW_S16BE, 1, 0, "discharge_otpr_C", SETTING_NUMBER},
	{29, RAW_S16BE, 1, 0, "mos_otp_C", SETTING_NUMBER},
	{30, RAW_S16BE, 1, 0, "mos_otpr_C", SETTING_NUMBER},
	{37, RAW_S16BE, 1, 0, "charge_utp_C", SETTING_NUMBER},
	{38, RAW_S16BE, 1, 0, "charge_utpr_C", SETTING_NUMBER},
	{39, RAW_S16BE, 1, 0, "discharge_utp_C", SETTING_NUMBER},
	{40, RAW_S16BE, 1, 0, "discharge_utpr_C", SETTING_NUMBER},
	{41, RAW_U16BE, 1, 0, "tyre_length_mm", SETTING_NUMBER},
	{42, RAW_U16BE, 1, 0, "pulses", SETTING_NUMBER},
};

static const struct setting_row double_rows[] = {
	{31, RAW_U32BE, 1e6, 0, "capacity_design_Ah", SETTING_NUMBER},
	{33, RAW_U32BE, 1e6, 0, "capacity_remaining_Ah", SETTING_NUMBER},
	{35, RAW_U32BE, 1000, 0, "capacity_cycle_Ah", SETTING_NUMBER},
};

enum {
	WORDS = sizeof(word_rows) / sizeof(word_rows[0]),
	DOUBLES = sizeof(double_rows) / sizeof(double_rows[0]),
};

/* The i-th parameter of the sweep: the words, the halves of the double words, then a resistance per cell. */
static uint16_t swept_word(unsigned i)
{
	if (i < WORDS)
		return word_rows[i].off;
	if (i < WORDS + 2 * DOUBLES)
		return (uint16_t)(WORD_FULL_LOW + i - WORDS);
	return (uint16_t)(WORD_RESISTANCE + i - WORDS - 2 * DOUBLES);
}

static unsigned swept_words(const struct device *dev)
{
	double cells = reading_get(&dev->reading, Q_CELL_COUNT);
	unsigned n = cells > 0 ? (unsigned)cells : 0;

	return WORDS + 2 * DOUBLES + (n < RESISTANCES ? n : RESISTANCES);
}

/* Goes on whether the last one was answered or not: a parameter that is not there must not stop the others. */
static uint16_t take_turn(struct device *dev)
{
	struct state *s = dev->state;
	uint16_t word;

	if (s->next_word >= swept_words(dev))
		s->next_word = 0;
	word = swept_word(s->next_word++);
	if (s->next_word >= swept_words(dev))
		s->swept = true;
	return word;
}

static bool may_write_word(uint8_t word)
{
	return word == WORD_SWITCH_CHARGE || word == WORD_SWITCH_DISCHARGE || word == WORD_BALANCE ||
	       word == WORD_APPLY || word == WORD_REMAINING_LOW || word == WORD_REMAINING_LOW + 1;
}

/* A parameter that is 0 looks like its request: so that it is no echo with the answer still to come, it is given the
 * time of one. */
static void expect_word(struct request *out)
{
	if (out->code != READ_WORD)
		return;
	out->echo_is_reply = true;
	out->gap_ms = ZERO_GAP_MS;
}

static bool encode_legacy(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	uint8_t tx[LEGACY_WORD] = {0x5a, 0x5a, (uint8_t)arg};
	struct state *s = dev->state;
	bool writes = (code & 0xff00) == WRITE_WORD;

	if (writes) {
		if (!may_write_word((uint8_t)code))
			return false;
		tx[0] = tx[1] = 0xa5;
		tx[2] = (uint8_t)code;
		put_u16be(tx + 3, arg);
	} else if (code == STATUS) {
		tx[4] = 1;
	} else if (code != READ_WORD || !arg || arg > UINT8_MAX) {
		return false;
	}
	tx[5] = sum8((struct bytes){tx + 2, 3});
	s->zero_word = false;
	request_start(out, dev->protocol, dev->address, LEGACY, code, arg);
	request_put(out, (struct bytes){tx, sizeof(tx)});
	out->writes = writes;
	expect_word(out);
	return true;
}

static bool ant_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	bool legacy = dev->dialect == LEGACY;

	if (code == CONFIRM) {
		code = legacy ? READ_WORD : READ;
		arg = legacy ? WORD_CELLS : ADDR_INFO;
	} else if (code == NEXT_WORD && legacy) {
		code = READ_WORD;
		arg = take_turn(dev);
	}
	return legacy ? encode_legacy(dev, code, arg, out) : encode_new(dev, code, arg, out);
}

static bool parse_new(struct bytes tx, struct request *out)
{
	size_t crc = HEAD + data_size(tx);
	uint8_t function = u8_at(tx, 2);

	if (tx.n != crc + 4 || crc16_modbus(bytes_sub(tx, 1, crc - 1)) != u16le_at(tx, crc) ||
	    !bytes_equal(bytes_sub(tx, crc + 2, 2), MARK(end_mark)))
		return false;
	if (!is_read(function) && function != WRITE && function != AUTHENTICATE && function != CONTROL)
		return false;
	request_start(out, &ant_protocol, 0, SINCE_2021, function, u16le_at(tx, 3));
	out->writes = !is_read(function);
	request_put(out, tx);
	return true;
}

/* The header DB is that of a Bluetooth module in front of the board. */
static bool parse_legacy(struct bytes tx, struct request *out)
{
	uint8_t header = u8_at(tx, 0), word = u8_at(tx, 2);

	if (tx.n != LEGACY_WORD || u8_at(tx, 1) != header || sum8(bytes_sub(tx, 2, 3)) != u8_at(tx, 5))
		return false;
	if (header == 0xa5)
		request_start(out, &ant_protocol, 0, LEGACY, (uint16_t)(WRITE_WORD | word), u16be_at(tx, 3));
	else if (header == 0x5a || header == 0xdb)
		request_start(out, &ant_protocol, 0, LEGACY, word ? READ_WORD : STATUS, word);
	else
		return false;
	out->writes = header == 0xa5;
	expect_word(out);
	request_put(out, tx);
	return true;
}

static bool ant_parse_request(struct bytes tx, struct request *out)
{
	return u8_at(tx, 0) == new_mark[0] && u8_at(tx, 1) == new_mark[1] ? parse_new(tx, out) : parse_legacy(tx, out);
}

/* ---- what the MOS and the balancer are doing, and why: sheet 6 ---- */

#define NO ALARM_COUNT

struct mos_code {
	const char *says;
	enum alarm alarm, also; /* NO: none */
};

static const struct mos_code charge_codes[] = {
	{"off", NO, NO},
	{"on", NO, NO},
	{"cell over voltage", ALARM_HIGH_CELL_VOLTAGE, NO},
	{"over current", ALARM_HIGH_CHARGE_CURRENT, NO},
	{"battery full", NO, NO},
	{"pack over voltage", ALARM_HIGH_VOLTAGE, NO},
	{"battery too hot", ALARM_HIGH_CHARGE_TEMPERATURE, NO},
	{"MOS too hot", ALARM_HIGH_INTERNAL_TEMPERATURE, NO},
	{"abnormal current", ALARM_INTERNAL_FAILURE, NO},
	{"a balance wire is off", ALARM_INTERNAL_FAILURE, NO},
	{"board too hot", ALARM_HIGH_INTERNAL_TEMPERATURE, NO},
	{"reserved", NO, NO},
	{"switching on failed", ALARM_INTERNAL_FAILURE, NO},
	{"discharge MOS abnormal", ALARM_INTERNAL_FAILURE, NO},
	{"waiting", NO, NO},
	{"switched off by hand", NO, NO},
	{"cell over voltage, level 2", ALARM_HIGH_CELL_VOLTAGE, NO},
	{"battery too cold", ALARM_LOW_CHARGE_TEMPERATURE, NO},
	{"cell difference too large", ALARM_CELL_IMBALANCE, NO},
	{"reserved", NO, NO},
	{"self test failed", ALARM_INTERNAL_FAILURE, NO},
};

static const struct mos_code discharge_codes[] = {
	{"off", NO, NO},
	{"on", NO, NO},
	{"cell under voltage", ALARM_LOW_CELL_VOLTAGE, NO},
	{"over current", ALARM_HIGH_DISCHARGE_CURRENT, NO},
	{"over current, level 2", ALARM_HIGH_DISCHARGE_CURRENT, NO},
	{"pack under voltage", ALARM_LOW_VOLTAGE, NO},
	{"battery too hot", ALARM_HIGH_TEMPERATURE, NO},
	{"MOS too hot", ALARM_HIGH_INTERNAL_TEMPERATURE, NO},
	{"abnormal current", ALARM_INTERNAL_FAILURE, NO},
	{"a balance wire is off", ALARM_INTERNAL_FAILURE, NO},
	{"board too hot", ALARM_HIGH_INTERNAL_TEMPERATURE, NO},
	{"charge MOS is on", NO, NO},
	{"short circuit", ALARM_SHORT_CIRCUIT, ALARM_HIGH_DISCHARGE_CURRENT},
	{"discharge MOS abnormal", ALARM_INTERNAL_FAILURE, NO},
	{"switching on failed", ALARM_INTERNAL_FAILURE, NO},
	{"switched off by hand", NO, NO},
	{"cell under voltage, level 2", ALARM_LOW_CELL_VOLTAGE, NO},
	{"battery too cold", ALARM_LOW_TEMPERATURE, NO},
	{"cell difference too large", ALARM_CELL_IMBALANCE, NO},
	{"self test failed", ALARM_INTERNAL_FAILURE, NO},
};

/* NULL: a code that the sheet does not have. */
static const struct mos_code *charge_code(unsigned code)
{
	return code < sizeof(charge_codes) / sizeof(charge_codes[0]) ? &charge_codes[code] : NULL;
}

static const struct mos_code *discharge_code(unsigned code)
{
	return code < sizeof(discharge_codes) / sizeof(discharge_codes[0]) ? &discharge_codes[code] : NULL;
}

static const struct alarm_row balancer_rows[] = {
	{0x03, ALARM_WARNING, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{0x0a, ALARM_WARNING, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
};

static void raise_mos(struct device *dev, const struct mos_code *m)
{
	const enum alarm alarm[] = {m ? m->alarm : NO, m ? m->also : NO};

	for (unsigned i = 0; i < 2; i++) {
		enum alarm a = alarm[i];

		/* What counts as charging to the board is discharging here, and the other way round. */
		if (dev->options.invert_current && a == ALARM_HIGH_CHARGE_CURRENT)
			a = ALARM_HIGH_DISCHARGE_CURRENT;
		else if (dev->options.invert_current && a == ALARM_HIGH_DISCHARGE_CURRENT)
			a = ALARM_HIGH_CHARGE_CURRENT;
		if (a != NO)
			alarm_raise(&dev->reading.alarms, a, ALARM_RAISED);
	}
}

static void take_codes(struct device *dev, unsigned charge, unsigned discharge, unsigned balancer, uint32_t balancing)
{
	struct reading *r = &dev->reading;

	reading_set_flag(r, F_CHARGE_MOS, charge == MOS_ON);
	reading_set_flag(r, F_DISCHARGE_MOS, discharge == MOS_ON);
	reading_set_flag(r, F_CHARGE_ALLOWED, charge == MOS_ON);
	reading_set_flag(r, F_DISCHARGE_ALLOWED, discharge == MOS_ON);
	reading_set_flag(r, F_BALANCE_ENABLED, balancer != 0);
	reading_set_detail(r, "charge_mos_code", charge);
	reading_set_detail(r, "discharge_mos_code", discharge);
	reading_set_detail(r, "balancer_code", balancer);
	alarms_clear(&r->alarms);
	raise_mos(dev, charge_code(charge));
	raise_mos(dev, discharge_code(discharge));
	if (balancer < 64)
		table_alarms(ROWS(balancer_rows), UINT64_C(1) << balancer, &r->alarms);
	r->balancing = balancing & ((UINT64_C(1) << r->cell_V.count) - 1);
	r->balancing_known = true;
	reading_set_flag(r, F_BALANCING_ACTIVE, r->balancing != 0);
}

/* ---- what both states hold ---- */

/* Positive on the wire is out of the battery. */
static double into_battery(const struct device *dev, int32_t raw)
{
	return (double)(dev->options.invert_current ? raw : -(int64_t)raw);
}

static double temperature(int16_t raw)
{
	return raw > NOT_FITTED && raw <= 150 ? raw : NAN;
}

/* throughput is the mean of what went in and out. */
static void take_capacities(struct device *dev, uint32_t full_uAh, uint32_t remaining_uAh, uint32_t throughput_mAh)
{
	const struct state *s = dev->state;
	struct reading *r = &dev->reading;
	/* Some boards leave the full capacity 0 here; then it may be known from their parameters. */
	double full = full_uAh ? full_uAh / 1e6 : s->full_Ah;

	reading_set(r, Q_CAPACITY_FULL_AH, full > 0 ? full : NAN);
	reading_set(r, Q_CAPACITY_REMAINING_AH, remaining_uAh / 1e6);
	reading_set_detail(r, "throughput_Ah", throughput_mAh / 1000.0);
	reading_set(r, Q_CYCLES, full > 0 ? floor(throughput_mAh / 1000.0 / full) : NAN);
}

static bool believable(unsigned cells, unsigned soc, const char **why)
{
	if (cells < 1 || cells > ANT_MAX_CELLS)
		*why = "cell count outside 1..32";
	else if (soc > 100)
		*why = "SoC above 100 %";
	else
		return true;
	return false;
}

/* ---- the status of 2021: sheet 5.2 ---- */

static const struct detail_row head_details[] = {
	{6, RAW_U8, 1, 0, "permission"},
	{7, RAW_U8, 1, 0, "battery_status"},
	/* Few of these bits are understood: shown as they stand. */
	{10, RAW_U32LE, 1, 0, "protection_bits_low"},
	{14, RAW_U32LE, 1, 0, "protection_bits_high"},
	{18, RAW_U32LE, 1, 0, "state_bits_low"},
	{22, RAW_U32LE, 1, 0, "state_bits_high"},
};

/* From here on offsets count from behind the temperatures. */
static const struct number_row status_numbers[] = {
	{4, RAW_U16LE, 100, 0, Q_VOLTAGE_V},	     {8, RAW_U16LE, 1, 0, Q_SOC_PCT},
	{32, RAW_U32LE, 1, 0, Q_UPTIME_S},	     {40, RAW_U16LE, 1000, 0, Q_CELL_MAX_V},
	{42, RAW_U16LE, 1, 0, Q_CELL_MAX_NO},	     {44, RAW_U16LE, 1000, 0, Q_CELL_MIN_V},
	{46, RAW_U16LE, 1, 0, Q_CELL_MIN_NO},	     {62, RAW_U32LE, 1000, 0, Q_TOTAL_DISCHARGE_AH},
	{66, RAW_U32LE, 1000, 0, Q_TOTAL_CHARGE_AH},
};

static const struct detail_row status_details[] = {
	{48, RAW_U16LE, 1000, 0, "cell_delta_V"},	{50, RAW_U16LE, 1000, 0, "cell_avg_V"},
	{52, RAW_S16LE, 10, 0, "discharge_mos_drop_V"}, {54, RAW_U16LE, 10, 0, "discharge_mos_gate_V"},
	{56, RAW_U16LE, 10, 0, "charge_mos_gate_V"},	{58, RAW_U16LE, 1, 0, "current_zero"},
	{60, RAW_U16LE, 1, 0, "battery_type"},		{70, RAW_U32LE, 1, 0, "discharge_time_s"},
	{74, RAW_U32LE, 1, 0, "charge_time_s"},
};

enum { FIXED_DATA = 106, CELL_OVER_VOLTAGE_BIT = 1 };

static enum verdict take_new_status(struct device *dev, struct bytes frame, const char **why)
{
	struct reading *r = &dev->reading;
	unsigned sensors = u8_at(frame, 8), cells = u8_at(frame, 9);
	struct bytes tail = bytes_sub(frame, CELLS_AT + 2 * ((size_t)cells + sensors), frame.n);

	if (!believable(cells, u16le_at(tail, 8), why))
		return FRAME_BAD;
	if (sensors > MAX_SENSORS || u8_at(frame, 5) != FIXED_DATA + 2 * (cells + sensors)) {
		*why = "numbers of cells and sensors do not fit the length";
		return FRAME_BAD;
	}
	reading_set(r, Q_CELL_COUNT, cells);
	series_start(&r->cell_V, cells);
	for (unsigned i = 0; i < cells; i++)
		series_set(&r->cell_V, i, u16le_at(frame, CELLS_AT + 2 * i) / 1000.0);
	series_start(&r->temperatures, sensors);
	for (unsigned i = 0; i < sensors; i++)
		series_set(&r->temperatures, i, temperature((int16_t)u16le_at(frame, CELLS_AT + 2 * (cells + i))));
	table_numbers(ROWS(status_numbers), tail, r);
	table_details(ROWS(head_details), frame, r);
	table_details(ROWS(status_details), tail, r);
	reading_set(r, Q_TEMP_MOS_C, temperature((int16_t)u16le_at(tail, 0)));
	reading_set(r, Q_TEMP_BALANCER_C, temperature((int16_t)u16le_at(tail, 2)));
	reading_set(r, Q_CURRENT_A, into_battery(dev, (int16_t)u16le_at(tail, 6)) / 10);
	reading_set(r, Q_POWER_W, into_battery(dev, (int32_t)u32le_at(tail, 28)));
	reading_set(r, Q_SOH_PCT, u16le_at(tail, 10) <= 100 ? u16le_at(tail, 10) : NAN);
	take_capacities(dev, u32le_at(tail, 16), u32le_at(tail, 20), u32le_at(tail, 24));
	/* Discharge comes first here (sheet 5.2, proven under load). */
	take_codes(dev, u8_at(tail, 13), u8_at(tail, 12), u8_at(tail, 14), u32le_at(tail, 36));
	if (u32le_at(frame, 10) >> CELL_OVER_VOLTAGE_BIT & 1)
		alarm_raise(&r->alarms, ALARM_HIGH_CELL_VOLTAGE, ALARM_RAISED);
	return FRAME_ANSWER;
}

/* ---- the other replies of 2021 ---- */

static const struct text_row info_texts[] = {
	{0, 16, T_MODEL},
	{16, 16, T_FIRMWARE_VERSION},
};

static void take_id(struct device *dev, struct bytes data)
{
	char hex[2 * ID_SIZE + 1];
	unsigned same = 0;

	for (size_t i = 0; i < data.n; i++)
		same += u8_at(data, i) == 0 || u8_at(data, i) == 0xff;
	if (same == data.n)
		return; /* no id was ever given to this board */
	bytes_hex(data, hex, sizeof(hex));
	reading_set_text(&dev->reading, T_SERIAL_NUMBER, hex);
}

/* Addresses count bytes: sheet 8.1. */
static const struct setting_row parameter_rows[] = {
	{0x00, RAW_U16LE, 1000, 0, "cell_ovp_V", SETTING_NUMBER},
	{0x02, RAW_U16LE, 1000, 0, "cell_ovpr_V", SETTING_NUMBER},
	{0x04, RAW_U16LE, 1000, 0, "cell_ovp2_V", SETTING_NUMBER},
	{0x06, RAW_U16LE, 1000, 0, "cell_ovp2r_V", SETTING_NUMBER},
	{0x08, RAW_U16LE, 10, 0, "pack_ovp_V", SETTING_NUMBER},
	{0x0a, RAW_U16LE, 10, 0, "pack_ovpr_V", SETTING_NUMBER},
	{0x0c, RAW_U16LE, 1000, 0, "cell_uvp_V", SETTING_NUMBER},
	{0x0e, RAW_U16LE, 1000, 0, "cell_uvpr_V", SETTING_NUMBER},
	{0x10, RAW_U16LE, 1000, 0, "cell_uvp2_V", SETTING_NUMBER},
	{0x12, RAW_U16LE, 1000, 0, "cell_uvp2r_V", SETTING_NUMBER},
	{0x14, RAW_U16LE, 10, 0, "pack_uvp_V", SETTING_NUMBER},
	{0x16, RAW_U16LE, 10, 0, "pack_uvpr_V", SETTING_NUMBER},
	{0x18, RAW_U16LE, 1000, 0, "cell_diff_protect_V", SETTING_NUMBER},
	{0x1a, RAW_U16LE, 1000, 0, "cell_diff_release_V", SETTING_NUMBER},
	{0x20, RAW_U16LE, 1000, 0, "cell_high_warning_V", SETTING_NUMBER},
	{0x22, RAW_U16LE, 1000, 0, "cell_high_warning_release_V", SETTING_NUMBER},
	{0x24, RAW_U16LE, 10, 0, "pack_high_warning_V", SETTING_NUMBER},
	{0x26, RAW_U16LE, 10, 0, "pack_high_warning_release_V", SETTING_NUMBER},
	{0x28, RAW_U16LE, 1000, 0, "cell_low_warning_V", SETTING_NUMBER},
	{0x2a, RAW_U16LE, 1000, 0, "cell_low_warning_release_V", SETTING_NUMBER},
	{0x2c, RAW_U16LE, 10, 0, "pack_low_warning_V", SETTING_NUMBER},
	{0x2e, RAW_U16LE, 10, 0, "pack_low_warning_release_V", SETTING_NUMBER},
	{0x30, RAW_U16LE, 1000, 0, "cell_diff_warning_V", SETTING_NUMBER},
	{0x32, RAW_U16LE, 1000, 0, "cell_diff_warning_release_V", SETTING_NUMBER},
	{0x38, RAW_S16LE, 1, 0, "charge_otp_C", SETTING_NUMBER},
	{0x3a, RAW_S16LE, 1, 0, "charge_otpr_C", SETTING_NUMBER},
	{0x3c, RAW_S16LE, 1, 0, "discharge_otp_C", SETTING_NUMBER},
	{0x3e, RAW_S16LE, 1, 0, "discharge_otpr_C", SETTING_NUMBER},
	{0x40, RAW_S16LE, 1, 0, "mos_otp_C", SETTING_NUMBER},
	{0x42, RAW_S16LE, 1, 0, "mos_otpr_C", SETTING_NUMBER},
	{0x44, RAW_S16LE, 1, 0, "charge_utp_C", SETTING_NUMBER},
	{0x46, RAW_S16LE, 1, 0, "charge_utpr_C", SETTING_NUMBER},
	{0x48, RAW_S16LE, 1, 0, "discharge_utp_C", SETTING_NUMBER},
	{0x4a, RAW_S16LE, 1, 0, "discharge_utpr_C", SETTING_NUMBER},
	{0x50, RAW_S16LE, 1, 0, "charge_hot_warning_C", SETTING_NUMBER},
	{0x52, RAW_S16LE, 1, 0, "charge_hot_warning_release_C", SETTING_NUMBER},
	{0x54, RAW_S16LE, 1, 0, "discharge_hot_warning_C", SETTING_NUMBER},
	{0x56, RAW_S16LE, 1, 0, "discharge_hot_warning_release_C", SETTING_NUMBER},
	{0x58, RAW_S16LE, 1, 0, "mos_hot_warning_C", SETTING_NUMBER},
	{0x5a, RAW_S16LE, 1, 0, "mos_hot_warning_release_C", SETTING_NUMBER},
	{0x5c, RAW_S16LE, 1, 0, "charge_cold_warning_C", SETTING_NUMBER},
	{0x5e, RAW_S16LE, 1, 0, "charge_cold_warning_release_C", SETTING_NUMBER},
	{0x60, RAW_S16LE, 1, 0, "discharge_cold_warning_C", SETTING_NUMBER},
	{0x62, RAW_S16LE, 1, 0, "discharge_cold_warning_release_C", SETTING_NUMBER},
	{0x68, RAW_U16LE, 10, 0, "charge_ocp_A", SETTING_NUMBER},
	{0x6a, RAW_U16LE, 1, 0, "charge_ocp_delay_s", SETTING_NUMBER},
	{0x6c, RAW_U16LE, 10, 0, "discharge_ocp_A", SETTING_NUMBER},
	{0x6e, RAW_U16LE, 1, 0, "discharge_ocp_delay_s", SETTING_NUMBER},
	{0x70, RAW_U16LE, 10, 0, "discharge_ocp2_A", SETTING_NUMBER},
	{0x72, RAW_U16LE, 1, 0, "discharge_ocp2_delay_ms", SETTING_NUMBER},
	{0x74, RAW_U16LE, 1, 0, "short_circuit_A", SETTING_NUMBER},
	{0x76, RAW_U16LE, 1, 0, "scp_delay_us", SETTING_NUMBER},
	{0x7c, RAW_U16LE, 10, 0, "charge_current_warning_A", SETTING_NUMBER},
	{0x7e, RAW_U16LE, 10, 0, "charge_current_warning_release_A", SETTING_NUMBER},
	{0x80, RAW_U16LE, 10, 0, "discharge_current_warning_A", SETTING_NUMBER},
	{0x82, RAW_U16LE, 10, 0, "discharge_current_warning_release_A", SETTING_NUMBER},
	{0x84, RAW_U16LE, 1, 0, "low_soc_warning1_pct", SETTING_NUMBER},
	{0x86, RAW_U16LE, 1, 0, "low_soc_warning2_pct", SETTING_NUMBER},
	{0x8c, RAW_U16LE, 1000, 0, "balance_limit_V", SETTING_NUMBER},
	{0x8e, RAW_U16LE, 1000, 0, "balance_start_V", SETTING_NUMBER},
	{0x90, RAW_U16LE, 1000, 0, "balance_trigger_V", SETTING_NUMBER},
	{0x92, RAW_U16LE, 1000, 0, "balance_stop_V", SETTING_NUMBER},
	{0x94, RAW_U16LE, 1000, 0, "balance_current_max_A", SETTING_NUMBER},
	{0x96, RAW_U16LE, 10, 0, "balance_charge_current_A", SETTING_NUMBER},
	{0x98, RAW_U16LE, 1, 0, "cell_type", SETTING_NUMBER},
	{0x9a, RAW_U16LE, 1, 0, "cell_count", SETTING_NUMBER},
	{0x9c, RAW_U16LE, 1, 0, "cell_resistance_calibration_mOhm", SETTING_NUMBER},
	{0x9e, RAW_U16LE, 1000, 0, "power_off_V", SETTING_NUMBER},
	{0xa0, RAW_U16LE, 10, 0, "requested_charge_current_A", SETTING_NUMBER},
	{0xa2, RAW_U32LE, 1e6, 0, "capacity_design_Ah", SETTING_NUMBER},
	{ADDR_REMAINING, RAW_U32LE, 1e6, 0, "capacity_remaining_Ah", SETTING_NUMBER},
	{0xaa, RAW_U32LE, 1000, 0, "capacity_cycle_Ah", SETTING_NUMBER},
	{0xc4, RAW_U16LE, 1, 0, "soc_method", SETTING_NUMBER},
	{0x017a, RAW_U16LE, 1, 0, "tyre_length_mm", SETTING_NUMBER},
	{0x017c, RAW_U16LE, 1, 0, "pulses", SETTING_NUMBER},
	{0x017e, RAW_U16LE, 1, 0, "secondary_modules", SETTING_NUMBER},
};

/* What lies at address on; a place that reads FFFF is not used, except where that is -1 degree. */
static void take_parameters(struct device *dev, uint16_t address, struct bytes data)
{
	for (size_t i = 0; i < sizeof(parameter_rows) / sizeof(parameter_rows[0]); i++) {
		struct setting_row row = parameter_rows[i];

		if (row.off < address || (row.type == RAW_U16LE && u16le_at(data, row.off - address) == 0xffff))
			continue;
		row.off = (uint16_t)(row.off - address);
		table_settings(&row, 1, data, &dev->settings);
	}
}

/* The currents at which the board switches off: it has no others to ask for (sheet 8.1). */
static void take_current_limits(struct device *dev)
{
	double charge = settings_number(&dev->settings, "charge_ocp_A");
	double discharge = settings_number(&dev->settings, "discharge_ocp_A");

	reading_set(&dev->reading, Q_BMS_CCL_A, charge > 0 ? charge : NAN);
	reading_set(&dev->reading, Q_BMS_DCL_A, discharge > 0 ? discharge : NAN);
}

static enum verdict take_read(struct device *dev, const struct request *pending, struct bytes data, const char **why)
{
	if (data.n != u8_at((struct bytes){pending->tx, pending->n}, 5)) {
		*why = "another length than asked for";
		return FRAME_BAD;
	}
	if (pending->code == READ_ID) {
		take_id(dev, data);
	} else if (pending->arg == ADDR_INFO) {
		table_texts(ROWS(info_texts), data, &dev->reading);
	} else {
		take_parameters(dev, pending->arg, data);
		take_current_limits(dev);
	}
	return FRAME_ANSWER;
}

/* 61 and 43 carry what came of it, 42 what was written. */
static enum verdict take_acknowledgement(struct device *dev, const struct request *pending, struct bytes data,
					 const char **why)
{
	struct bytes sent = bytes_sub((struct bytes){pending->tx, pending->n}, HEAD, data.n);

	/* Of what other programs send it is not known what the others of these numbers mean. */
	if (pending->code == CONTROL && (u8_at(data, 0) == 1 || !may_control(pending->arg)))
		return FRAME_ANSWER;
	if (pending->code == WRITE && bytes_equal(sent, data)) {
		take_parameters(dev, pending->arg, data);
		return FRAME_ANSWER;
	}
	if (pending->code == AUTHENTICATE && u8_at(data, 0) >= PERMITTED) {
		reading_set_detail(&dev->reading, "permission", u8_at(data, 0));
		return FRAME_ANSWER;
	}
	*why = pending->code == AUTHENTICATE ? "the password is not the factory's"
	       : pending->code == WRITE	     ? "the board keeps another value"
	       : u8_at(data, 0) == 3	     ? "the board does not permit it (acknowledgement 3)"
					     : "the board does not acknowledge it";
	return FRAME_REFUSED;
}

static uint8_t reply_function(uint16_t code)
{
	return (uint8_t)(code + (code == WRITE || code == AUTHENTICATE ? 0x20 : 0x10));
}

static enum verdict take_new(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	struct bytes data = bytes_sub(frame, HEAD, data_size(frame));

	if (u8_at(frame, 0) != new_mark[0] || u8_at(frame, 2) != reply_function(pending->code) ||
	    u16le_at(frame, 3) != pending->arg)
		return FRAME_FOREIGN;
	if (pending->code == STATUS)
		return take_new_status(dev, frame, why);
	if (pending->writes)
		return take_acknowledgement(dev, pending, data, why);
	return take_read(dev, pending, data, why);
}

/* ---- the legacy status: sheet 5.1 ---- */

static const struct number_row legacy_numbers[] = {
	{4, RAW_U16BE, 10, 0, Q_VOLTAGE_V},	 {74, RAW_U8, 1, 0, Q_SOC_PCT},
	{87, RAW_U32BE, 1, 0, Q_UPTIME_S},	 {115, RAW_U8, 1, 0, Q_CELL_MAX_NO},
	{116, RAW_U16BE, 1000, 0, Q_CELL_MAX_V}, {118, RAW_U8, 1, 0, Q_CELL_MIN_NO},
	{119, RAW_U16BE, 1000, 0, Q_CELL_MIN_V}, {123, RAW_U8, 1, 0, Q_CELL_COUNT},
};

static const struct detail_row legacy_details[] = {
	{106, RAW_U16BE, 1, 0, "tyre_length_mm"},
	{108, RAW_U16BE, 1, 0, "pulses_per_week"},
	{110, RAW_U8, 1, 0, "relay"},
	{121, RAW_U16BE, 1000, 0, "cell_avg_V"},
	{124, RAW_S16BE, 10, 0, "discharge_mos_drop_V"},
	{126, RAW_U16BE, 10, 0, "discharge_mos_gate_V"},
	{128, RAW_U16BE, 10, 0, "charge_mos_gate_V"},
	{130, RAW_U16BE, 1, 0, "current_zero"},
	{136, RAW_U16BE, 1, 0, "log_word"},
};

enum { LEGACY_CELLS_AT = 6, LEGACY_SENSORS_AT = 95, LEGACY_SENSORS = 4 };

static enum verdict take_legacy_status(struct device *dev, struct bytes frame, const char **why)
{
	struct reading *r = &dev->reading;
	unsigned cells = u8_at(frame, 123);

	if (!believable(cells, u8_at(frame, 74), why))
		return FRAME_BAD;
	table_numbers(ROWS(legacy_numbers), frame, r);
	table_details(ROWS(legacy_details), frame, r);
	series_start(&r->cell_V, cells);
	for (unsigned i = 0; i < cells; i++)
		series_set(&r->cell_V, i, u16be_at(frame, LEGACY_CELLS_AT + 2 * i) / 1000.0);
	series_start(&r->temperatures, LEGACY_SENSORS);
	for (unsigned i = 0; i < LEGACY_SENSORS; i++)
		series_set(&r->temperatures, i, temperature((int16_t)u16be_at(frame, LEGACY_SENSORS_AT + 2 * i)));
	reading_set(r, Q_TEMP_MOS_C, temperature((int16_t)u16be_at(frame, 91)));
	reading_set(r, Q_TEMP_BALANCER_C, temperature((int16_t)u16be_at(frame, 93)));
	reading_set(r, Q_CURRENT_A, into_battery(dev, (int32_t)u32be_at(frame, 70)) / 10);
	reading_set(r, Q_POWER_W, into_battery(dev, (int32_t)u32be_at(frame, 111)));
	take_capacities(dev, u32be_at(frame, 75), u32be_at(frame, 79), u32be_at(frame, 83));
	take_codes(dev, u8_at(frame, 103), u8_at(frame, 104), u8_at(frame, 105), u32be_at(frame, 132));
	return FRAME_ANSWER;
}

/* ---- legacy parameters ---- */

/* The words 31 to 36: a value is there when its high word comes and its low word has come. */
static void take_half(struct device *dev, uint16_t word, uint16_t value)
{
	struct state *s = dev->state;
	unsigned i = (word - WORD_FULL_LOW) / 2u;
	struct setting_row row = double_rows[i];
	uint8_t whole[4];

	if (word == row.off) {
		s->low[i] = value;
		s->low_known[i] = true;
		return;
	}
	if (!s->low_known[i])
		return;
	put_u16be(whole, value);
	put_u16be(whole + 2, s->low[i]);
	row.off = 0;
	table_settings(&row, 1, (struct bytes){whole, sizeof(whole)}, &dev->settings);
	if (word != WORD_FULL_LOW + 1)
		return;
	s->full_Ah = u32be_at((struct bytes){whole, sizeof(whole)}, 0) / 1e6;
	if (!reading_knows(&dev->reading, Q_CAPACITY_FULL_AH) && s->full_Ah > 0)
		reading_set(&dev->reading, Q_CAPACITY_FULL_AH, s->full_Ah);
}

static void take_word(struct device *dev, uint16_t word, struct bytes value)
{
	unsigned cell = word - (unsigned)WORD_RESISTANCE;

	if (word >= WORD_FULL_LOW && word <= WORD_CYCLED_HIGH)
		take_half(dev, word, u16be_at(value, 0));
	else if (word >= WORD_RESISTANCE && cell < RESISTANCES) /* 0.1 mOhm; 0: not measured */
		series_set(&dev->reading.cell_resistance_ohm, cell,
			   u16be_at(value, 0) ? u16be_at(value, 0) / 10000.0 : NAN);
	for (unsigned i = 0; i < WORDS; i++) {
		struct setting_row row = word_rows[i];

		if (row.off != word)
			continue;
		row.off = 0;
		table_settings(&row, 1, value, &dev->settings);
	}
}

/* A parameter of 0 looks like our own request coming back. What else comes, or that nothing does, tells. */
static enum verdict take_legacy_word(struct device *dev, const struct request *pending, struct bytes frame,
				     const char **why)
{
	static const uint8_t zero[2];
	struct state *s = dev->state;
	struct bytes sent = {pending->tx, pending->n}, value = bytes_sub(frame, 3, 2);
	bool came_back = s->zero_word;

	if (!frame.n) {
		s->zero_word = false;
		value = (struct bytes){zero, sizeof(zero)};
		if (s->echoes) {
			*why = "only our own bytes came back";
			return FRAME_BAD;
		}
	} else if (frame.n != LEGACY_WORD || u8_at(frame, 0) != 0x5a || u8_at(frame, 2) != u8_at(sent, 2)) {
		return FRAME_FOREIGN;
	} else if (!pending->writes && bytes_equal(frame, sent) && !came_back) {
		s->zero_word = true;
		return FRAME_PART;
	}
	if (pending->writes) {
		if (bytes_equal(value, bytes_sub(sent, 3, 2)))
			return FRAME_ANSWER;
		*why = "the board keeps another value";
		return FRAME_REFUSED;
	}
	s->echoes = s->echoes || (frame.n && came_back);
	s->zero_word = false;
	if (pending->arg == WORD_CELLS && !u16be_at(value, 0)) {
		*why = "a board without cells";
		return FRAME_BAD;
	}
	take_word(dev, pending->arg, value);
	return FRAME_ANSWER;
}

static enum verdict ant_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	if (pending->dialect == SINCE_2021)
		return take_new(dev, pending, frame, why);
	if (pending->code != STATUS)
		return take_legacy_word(dev, pending, frame, why);
	if (frame.n != LEGACY_STATUS)
		return FRAME_FOREIGN;
	return take_legacy_status(dev, frame, why);
}

/* ---- detection: sheet 4 ---- */

static bool ant_plausible(const struct device *dev, const char **why)
{
	const struct reading *r = &dev->reading;

	if (!reading_knows(r, Q_VOLTAGE_V) || !r->cell_V.count)
		*why = "it has sent no status";
	else if (!cells_make_up_voltage(r))
		*why = "its cells do not add up to the pack voltage";
	else
		return reading_plausible(r, why);
	return false;
}

/* ---- commands: sheet 7 ---- */

enum {
	/* A MOS was seen to follow after 5.3 s, 10 s are allowed. Each wait is longer than the one before. */
	SWITCH_READ_BACKS = 9,
	SWITCH_WAIT_MS = 250,
	LEGACY_ATTEMPTS = 3, /* of two writes and so many read-backs: MAX_STEPS */
	LEGACY_READ_BACKS = 3,
	LEGACY_WAIT_MS = 950,
	SOC_READ_BACKS = 4,
	SOC_WAIT_MS = 500,
};

enum { MOS_NOT_TOLD = 0xff };

static unsigned mos_code(const struct device *dev, enum command_kind kind)
{
	double code = reading_detail(&dev->reading, kind == COMMAND_CHARGE ? "charge_mos_code" : "discharge_mos_code");

	return isnan(code) ? MOS_NOT_TOLD : (unsigned)code;
}

/* Neither on nor off by hand: the board holds it off for a reason of its own. */
static bool held(unsigned code)
{
	return code != MOS_ON && code != MOS_WAITS && code != MOS_OFF;
}

static bool is_as_wanted(const struct device *dev, const struct command *c)
{
	if (c->kind == COMMAND_BALANCE) {
		bool active = dev->reading.balancing != 0 || reading_detail(&dev->reading, "balancer_code") == BALANCES;

		return active == (c->value != 0);
	}
	unsigned code = mos_code(dev, c->kind);

	return c->value != 0 ? code == MOS_ON : code == MOS_OFF || code == MOS_WAITS;
}

static void end_as_wanted(const struct device *dev, const struct command *c, struct next *next)
{
	const char *state = c->value != 0 ? "on" : "off";

	if (c->kind == COMMAND_BALANCE)
		step_end(next, COMMAND_DONE, "balancing reads back %s (balancer code %g)", state,
			 reading_detail(&dev->reading, "balancer_code"));
	else
		step_end(next, COMMAND_DONE, "%s MOS reads back %s", command_name(c->kind), state);
}

static void end_not_as_wanted(const struct device *dev, const struct procedure *p, struct next *next)
{
	const struct command *c = p->command;

	if (step_result(p) != STEP_ANSWERED) {
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
		return;
	}
	if (c->kind == COMMAND_BALANCE) {
		step_end(next, COMMAND_UNCONFIRMED, "sent, but balancing reads back %s (balancer code %g)",
			 c->value != 0 ? "off" : "on", reading_detail(&dev->reading, "balancer_code"));
		return;
	}
	unsigned code = mos_code(dev, c->kind);
	const struct mos_code *m = c->kind == COMMAND_CHARGE ? charge_code(code) : discharge_code(code);

	step_end(next, COMMAND_UNCONFIRMED, "sent, but the board says of the %s MOS: %s (code %u)",
		 command_name(c->kind), m ? m->says : "unknown", code);
}

/* Reads the status until it is as wanted. 1: it is, and next says so; 0: all tries are over, or the board holds the
 * MOS off; -1: next is to be carried out. */
static int read_back(struct device *dev, struct procedure *p, struct next *next, unsigned tries, uint32_t wait_ms)
{
	for (unsigned i = 0; i < tries; i++) {
		if (!step_wait(p, next, wait_ms * (i + 1)) || !step_ask(dev, p, next, STATUS, 0))
			return -1;
		/* What an earlier round read is gone: only the latest one may judge. */
		if (!step_is_new(p) || step_result(p) != STEP_ANSWERED)
			continue;
		if (is_as_wanted(dev, p->command)) {
			end_as_wanted(dev, p->command, next);
			return 1;
		}
	}
	return 0;
}

/* Fresh status, then the password where the board demands one. False: next holds what is to be done, or the end. */
static bool gain_permission(struct device *dev, struct procedure *p, struct next *next)
{
	if (!step_ask(dev, p, next, STATUS, 0))
		return false;
	if (step_result(p) != STEP_ANSWERED) {
		step_end(next, COMMAND_REFUSED, "the board does not answer; nothing was sent");
		return false;
	}
	/* memo[0]: what to do about it, told by the first status alone; 1: nothing, 2: the password. */
	if (step_is_new(p))
		p->memo[0] = reading_detail(&dev->reading, "permission") >= PERMITTED ? 1 : 2;
	if (p->memo[0] == 1)
		return true;
	if (!step_ask(dev, p, next, AUTHENTICATE, ADDR_PASSWORD))
		return false;
	if (step_result(p) == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return false;
	}
	return true;
}

static void switch_new(struct device *dev, struct procedure *p, struct next *next)
{
	static const uint16_t control[COMMAND_KINDS][2] = {
		[COMMAND_CHARGE] = {CHARGE_OFF, CHARGE_ON},
		[COMMAND_DISCHARGE] = {DISCHARGE_OFF, DISCHARGE_ON},
		[COMMAND_BALANCE] = {BALANCE_OFF, BALANCE_ON},
	};

	if (!gain_permission(dev, p, next) ||
	    !step_ask(dev, p, next, CONTROL, control[p->command->kind][p->command->value != 0]))
		return;
	if (step_result(p) == STEP_REFUSED)
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
	else if (read_back(dev, p, next, SWITCH_READ_BACKS, SWITCH_WAIT_MS) == 0)
		end_not_as_wanted(dev, p, next);
}

/* Parameters and switches take effect with this. False: next holds what is to be done, or the end. */
static bool write_word(struct device *dev, struct procedure *p, struct next *next, uint8_t word, uint16_t value)
{
	if (!step_ask(dev, p, next, (uint16_t)(WRITE_WORD | word), value))
		return false;
	if (step_result(p) != STEP_REFUSED)
		return true;
	step_end(next, COMMAND_REFUSED, "%s", step_why(p));
	return false;
}

/* Switching is not fully reliable there: up to two repetitions, except of what the board refuses for a reason. */
static void switch_legacy(struct device *dev, struct procedure *p, struct next *next)
{
	bool charge = p->command->kind == COMMAND_CHARGE;

	for (unsigned i = 0; i < LEGACY_ATTEMPTS; i++) {
		if (!write_word(dev, p, next, charge ? WORD_SWITCH_CHARGE : WORD_SWITCH_DISCHARGE,
				p->command->value != 0) ||
		    !write_word(dev, p, next, WORD_APPLY, 0) ||
		    read_back(dev, p, next, LEGACY_READ_BACKS, LEGACY_WAIT_MS) != 0)
			return;
		if (step_is_new(p) && held(mos_code(dev, p->command->kind)))
			break;
	}
	end_not_as_wanted(dev, p, next);
}

/* The board knows a button, no switch: pressed once, and only where balancing does not run. */
static void balance_legacy(struct device *dev, struct procedure *p, struct next *next)
{
	if (p->command->value == 0) {
		step_end(next, COMMAND_REFUSED, "this board knows no way to stop balancing");
		return;
	}
	if (!step_ask(dev, p, next, STATUS, 0))
		return;
	if (step_result(p) != STEP_ANSWERED) {
		step_end(next, COMMAND_REFUSED, "the board does not answer; nothing was sent");
		return;
	}
	if (step_is_new(p) && is_as_wanted(dev, p->command)) {
		step_end(next, COMMAND_DONE, "it balances already");
		return;
	}
	if (write_word(dev, p, next, WORD_BALANCE, 0) && write_word(dev, p, next, WORD_APPLY, 0) &&
	    read_back(dev, p, next, LEGACY_READ_BACKS, LEGACY_WAIT_MS) == 0)
		end_not_as_wanted(dev, p, next);
}

/* Reads the register of the remaining capacity; it must be what the status says, or it is another one. */
static bool find_remaining(struct device *dev, struct procedure *p, struct next *next)
{
	bool legacy = dev->dialect == LEGACY;

	if (!step_ask(dev, p, next, legacy ? READ_WORD : READ, legacy ? WORD_REMAINING_LOW : ADDR_REMAINING))
		return false;
	bool answered = step_result(p) == STEP_ANSWERED;
	if (legacy) {
		if (!step_ask(dev, p, next, READ_WORD, WORD_REMAINING_LOW + 1))
			return false;
		answered = answered && step_result(p) == STEP_ANSWERED;
	}
	double told = reading_get(&dev->reading, Q_CAPACITY_REMAINING_AH);
	double kept = settings_number(&dev->settings, "capacity_remaining_Ah");

	if (step_is_new(p) && !(answered && fabs(kept - told) <= 0.01 * told)) {
		step_end(next, COMMAND_REFUSED,
			 "the register for the remaining capacity does not hold what the status says; nothing was "
			 "written");
		return false;
	}
	return true;
}

/* memo[1]: the remaining capacity to write, in microampere-hours. */
static bool write_remaining(struct device *dev, struct procedure *p, struct next *next)
{
	struct state *s = dev->state;

	if (dev->dialect == LEGACY)
		return write_word(dev, p, next, WORD_REMAINING_LOW, (uint16_t)p->memo[1]) &&
		       write_word(dev, p, next, WORD_REMAINING_LOW + 1, (uint16_t)(p->memo[1] >> 16)) &&
		       write_word(dev, p, next, WORD_APPLY, 0);
	s->remaining_uAh = p->memo[1];
	if (!step_ask(dev, p, next, WRITE, ADDR_REMAINING))
		return false;
	if (step_result(p) == STEP_REFUSED) {
		step_end(next, COMMAND_REFUSED, "%s", step_why(p));
		return false;
	}
	return step_ask(dev, p, next, CONTROL, SAVE);
}

static void proceed_soc(struct device *dev, struct procedure *p, struct next *next)
{
	const struct reading *r = &dev->reading;
	double full = reading_get(r, Q_CAPACITY_FULL_AH), want = p->command->value;

	if (dev->dialect == SINCE_2021 ? !gain_permission(dev, p, next) : !step_ask(dev, p, next, STATUS, 0))
		return;
	if (!(full > 0) || full > 4000) {
		step_end(next, COMMAND_REFUSED, "the board does not tell its capacity");
		return;
	}
	if (!find_remaining(dev, p, next))
		return;
	if (step_is_new(p))
		p->memo[1] = (uint32_t)lround(full * want * 1e4);
	if (!write_remaining(dev, p, next))
		return;
	for (unsigned i = 0; i < SOC_READ_BACKS; i++) {
		if (!step_wait(p, next, SOC_WAIT_MS) || !step_ask(dev, p, next, STATUS, 0))
			return;
		if (step_is_new(p) && step_result(p) == STEP_ANSWERED && fabs(reading_get(r, Q_SOC_PCT) - want) <= 1) {
			step_end(next, COMMAND_DONE, "SoC reads back %g %%, remaining capacity %g Ah",
				 reading_get(r, Q_SOC_PCT), reading_get(r, Q_CAPACITY_REMAINING_AH));
			return;
		}
	}
	if (step_result(p) == STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the SoC reads back %g %%", reading_get(r, Q_SOC_PCT));
	else
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
}

static void ant_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	if (p->command->kind == COMMAND_SOC)
		proceed_soc(dev, p, next);
	else if (dev->dialect == SINCE_2021)
		switch_new(dev, p, next);
	else if (p->command->kind == COMMAND_BALANCE)
		balance_legacy(dev, p, next);
	else
		switch_legacy(dev, p, next);
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{19200, 8, 'N', 1}, {9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"ANT", NULL};

static bool since_2021(const struct device *dev)
{
	return dev->dialect == SINCE_2021;
}

static bool is_legacy(const struct device *dev)
{
	return dev->dialect == LEGACY;
}

static bool legacy_unswept(const struct device *dev)
{
	const struct state *s = dev->state;

	return dev->dialect == LEGACY && !s->swept;
}

/* Legacy parameters come one by one: two with each poll until all are known, then one now and then. */
static const struct poll polls[] = {
	{STATUS, 0, EVERY_POLL, true, NULL},
	{READ, ADDR_INFO, ONCE, false, since_2021},
	{READ_ID, 0, ONCE, false, since_2021},
	{READ_WORD, WORD_FULL_LOW, ONCE, false, is_legacy},
	{READ_WORD, WORD_FULL_LOW + 1, ONCE, false, is_legacy},
	{READ, 0x0064, 300000, false, since_2021},
	{READ, 0x0000, 301000, false, since_2021},
	{READ, 0x0038, 302000, false, since_2021},
	{READ, 0x0088, 303000, false, since_2021},
	{READ, 0x00c4, 304000, false, since_2021},
	{READ, 0x017a, 305000, false, since_2021},
	{NEXT_WORD, 0, EVERY_POLL, false, legacy_unswept},
	{NEXT_WORD, 1, EVERY_POLL, false, legacy_unswept},
	{NEXT_WORD, 2, 5000, false, is_legacy},
};

/* A board of 2021 answers both: its own status is asked first, and tells more. */
static const struct probe probes[] = {
	{STATUS, 0, 0, 0, SINCE_2021, 0, 120, false},
	{STATUS, 0, 0, 0, LEGACY, 0, 120, false},
};

#define Q(id) (UINT64_C(1) << Q_##id)
#define F(id) (1u << F_##id)
#define A(id) (1u << ALARM_##id)

const struct protocol ant_protocol = {
	.id = "ant",
	.title = "ANT BMS (2021 and later, and the older 140-byte protocol)",
	.manufacturer = "ANT",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.also_ble = true,
	.lines = lines,
	.timing = {.first_ms = 300,
		   .gap_ms = 50,
		   .pause_ms = 50,
		   .late_ms = 300,
		   .scan_ms = 300,
		   .tries = 3,
		   .poll_ms = 250},
	.quantities = Q(VOLTAGE_V) | Q(CURRENT_A) | Q(POWER_W) | Q(SOC_PCT) | Q(SOH_PCT) | Q(CAPACITY_FULL_AH) |
		      Q(CAPACITY_REMAINING_AH) | Q(CYCLES) | Q(TOTAL_CHARGE_AH) | Q(TOTAL_DISCHARGE_AH) | Q(UPTIME_S) |
		      Q(CELL_COUNT) | Q(CELL_MIN_V) | Q(CELL_MAX_V) | Q(CELL_MIN_NO) | Q(CELL_MAX_NO) | Q(TEMP_MOS_C) |
		      Q(TEMP_BALANCER_C) | Q(BMS_CCL_A) | Q(BMS_DCL_A),
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING | SERIES_RESISTANCES,
	.flags = F(BALANCING_ACTIVE) | F(CHARGE_MOS) | F(DISCHARGE_MOS) | F(BALANCE_ENABLED) | F(CHARGE_ALLOWED) |
		 F(DISCHARGE_ALLOWED),
	.alarms = A(HIGH_VOLTAGE) | A(LOW_VOLTAGE) | A(HIGH_CELL_VOLTAGE) | A(LOW_CELL_VOLTAGE) |
		  A(HIGH_CHARGE_CURRENT) | A(HIGH_DISCHARGE_CURRENT) | A(CELL_IMBALANCE) | A(INTERNAL_FAILURE) |
		  A(HIGH_CHARGE_TEMPERATURE) | A(LOW_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) | A(LOW_TEMPERATURE) |
		  A(HIGH_INTERNAL_TEMPERATURE) | A(SHORT_CIRCUIT),
	.commands = 1 << COMMAND_SOC | 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE | 1 << COMMAND_BALANCE,
	.experimental = 1 << COMMAND_SOC,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {CONFIRM},
	.confirm_count = 1,
	.encode = ant_encode,
	.find_frame = ant_find_frame,
	.take = ant_take,
	.plausible = ant_plausible,
	.parse_request = ant_parse_request,
	.proceed = ant_proceed,
};
