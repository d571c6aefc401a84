/* SPDX-License-Identifier: GPL-3.0-or-later */
/* JK boards on their serial ("GPS") port: frames 4E 57 that carry a list of tags and values, sheet jk-uart. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "protocols/checksum.h"
#include "protocols/jk_switch.h"
#include "protocols/procedure.h"
#include "protocols/protocol.h"
#include "protocols/table.h"

extern const struct protocol jk_uart_protocol;

/* A request's code: the command byte, and of writes the tag. */
#define CODE(command, tag) ((uint16_t)((command) << 8 | (tag)))
#define CODE_COMMAND(code) ((uint8_t)((code) >> 8 & 0x7f))
#define CODE_TAG(code)	   ((uint8_t)(code))
/* The other form of a write, which some boards want (sheet 7). */
#define VARIANT 0x8000

enum commands { WRITE = 0x02, READ = 0x03, PASSWORD = 0x05, READ_ALL = 0x06 };
enum sources { SOURCE_GPS = 2, SOURCE_PC = 3 };
enum transports { TRANSPORT_REQUEST = 0, TRANSPORT_UNASKED = 2 };

/* A frame around its n bytes of body: 11 bytes before, 9 behind. The length in it leaves out 4E 57. */
enum { HEAD = 11, TAIL = 9, OVERHEAD = HEAD + TAIL, LENGTH_MIN = 0x12, LENGTH_MAX = 1022 };
enum { COMMAND_AT = 8, TRANSPORT_AT = 10, JK_MAX_CELLS = 32, CELL_SIZE = 3 };

enum tags {
	TAG_CELLS = 0x79,
	TAG_TEMP_MOS = 0x80,
	TAG_TEMP_BOX = 0x81,
	TAG_TEMP_BATTERY = 0x82,
	TAG_CURRENT = 0x84,
	TAG_SOC = 0x85,
	TAG_CYCLES = 0x87,
	TAG_CELL_COUNT = 0x8a,
	TAG_ALARMS = 0x8b,
	TAG_STATUS = 0x8c,
	TAG_DISCHARGE_MAX = 0x97,
	TAG_CHARGE_MAX = 0x99,
	TAG_BALANCE = 0x9d,
	TAG_CAPACITY_DESIGN = 0xaa,
	TAG_CHARGE = 0xab,
	TAG_DISCHARGE = 0xac,
	TAG_USER_DATA = 0xb4,
	TAG_DATE = 0xb5,
	TAG_RUNTIME = 0xb6,
	TAG_FIRMWARE = 0xb7,
	TAG_CAPACITY_ACTUAL = 0xb9,
	TAG_ID = 0xba,
	TAG_PROTOCOL_VERSION = 0xc0,
};

struct state {
	bool version_known;
	uint8_t version;     /* tag C0 */
	bool count_reported; /* tag 8A was there */
	bool cycled;	     /* cycles above 0 have been seen */
	unsigned cut_lists;  /* replies of which not everything could be read */
};

/* ---- framing: sheet 3 ---- */

static int jk_uart_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	size_t length = u16be_at(in, 2), n = length + 2;

	(void)pending;
	if (in.p[0] != 0x4e || (in.n > 1 && in.p[1] != 0x57))
		return -1;
	if (bytes_has(in, 2, 2) && (length < LENGTH_MIN || length > LENGTH_MAX))
		return -1;
	if (!bytes_has(in, 2, 2) || !bytes_has(in, 0, n)) {
		if (quiet && in.n > 2)
			*why = "frame cut short";
		return quiet ? -1 : 0;
	}
	if (u8_at(in, n - 5) != 0x68)
		*why = "end mark is not 68";
	else if (sum16(bytes_sub(in, 0, n - 4)) != u16be_at(in, n - 2))
		*why = "checksum";
	else
		return (int)n;
	return -1;
}

static struct bytes body_of(struct bytes frame)
{
	return bytes_sub(frame, HEAD, frame.n < OVERHEAD ? 0 : frame.n - OVERHEAD);
}

/* ---- requests ---- */

static void build(struct request *out, uint8_t source, uint8_t transport, const uint8_t *body, size_t n)
{
	uint8_t head[HEAD] = {0x4e, 0x57};
	uint8_t tail[TAIL] = {0, 0, 0, 0, 0x68};

	put_u16be(head + 2, (uint16_t)(n + OVERHEAD - 2));
	head[COMMAND_AT] = CODE_COMMAND(out->code);
	head[COMMAND_AT + 1] = source;
	head[TRANSPORT_AT] = transport;
	out->n = 0;
	request_put(out, (struct bytes){head, HEAD});
	request_put(out, (struct bytes){body, n});
	request_put(out, (struct bytes){tail, TAIL - 2});
	put_u16be(tail, sum16((struct bytes){out->tx, out->n}));
	request_put(out, (struct bytes){tail, 2});
}

/* A password is never answered; the board wants 100 ms before the next frame. */
static void expect_nothing(struct request *out)
{
	out->no_reply = true;
	out->first_ms = 150;
}

static bool jk_uart_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	uint8_t tag = CODE_TAG(code);
	uint8_t body[2] = {tag, (uint8_t)arg};

	request_start(out, dev->protocol, dev->address, dev->dialect, code, arg);
	switch (CODE_COMMAND(code)) {
	case READ_ALL:
	case READ:
		body[0] = 0;
		build(out, SOURCE_PC, TRANSPORT_REQUEST, body, 1);
		return true;
	case PASSWORD:
		body[0] = body[1] = 0; /* what it says is not checked, only that it came */
		build(out, SOURCE_GPS, TRANSPORT_REQUEST, body, 2);
		expect_nothing(out);
		return true;
	case WRITE:
		if (tag != TAG_CHARGE && tag != TAG_DISCHARGE && tag != TAG_BALANCE)
			return false;
		if (code & VARIANT)
			build(out, SOURCE_PC, TRANSPORT_UNASKED, body, 2);
		else
			build(out, SOURCE_GPS, TRANSPORT_REQUEST, body, 2);
		out->writes = true;
		return true;
	default:
		return false;
	}
}

static bool jk_uart_parse_request(struct bytes tx, struct request *out)
{
	uint8_t command = u8_at(tx, COMMAND_AT);
	struct bytes body = body_of(tx);
	const char *why = NULL;

	if (!tx.n || tx.n > MAX_REQUEST || jk_uart_find_frame(NULL, tx, true, &why) != (int)tx.n)
		return false;
	if ((command == READ_ALL || command == READ) && body.n == 1 && !body.p[0]) {
		request_start(out, &jk_uart_protocol, 0, 0, CODE(command, 0), 0);
	} else if (command == PASSWORD) {
		request_start(out, &jk_uart_protocol, 0, 0, CODE(command, 0), 0);
		expect_nothing(out);
	} else if (command == WRITE && body.n >= 2) {
		request_start(out, &jk_uart_protocol, 0, 0, CODE(command, body.p[0]), u8_at(body, body.n - 1));
		if (u8_at(tx, TRANSPORT_AT) == TRANSPORT_UNASKED)
			out->code |= VARIANT;
		out->writes = true;
	} else {
		return false;
	}
	request_put(out, tx);
	return true;
}

/* ---- the list: sheet 5 ---- */

/* What becomes of a tag's value. */
enum use {
	IGNORED, /* dealt with apart, or not at all: the password of tag B2 */
	QUANTITY,
	SETTING,
	SWITCH,
	DETAIL,
	TEXT, /* of the owner: among the settings */
};

static const struct tag {
	uint8_t tag, size;
	enum use use;
	enum raw_type type;
	double divisor;
	const char *name;
	enum quantity quantity;
} tags[] = {
	{TAG_TEMP_MOS, 2, IGNORED, RAW_U16BE, 1, NULL, 0},
	{TAG_TEMP_BOX, 2, IGNORED, RAW_U16BE, 1, NULL, 0},
	{TAG_TEMP_BATTERY, 2, IGNORED, RAW_U16BE, 1, NULL, 0},
	{0x83, 2, QUANTITY, RAW_U16BE, 100, NULL, Q_VOLTAGE_V},
	{TAG_CURRENT, 2, IGNORED, RAW_U16BE, 1, NULL, 0},
	{TAG_SOC, 1, QUANTITY, RAW_U8, 1, NULL, Q_SOC_PCT},
	{0x86, 1, DETAIL, RAW_U8, 1, "ntc_count", 0},
	{TAG_CYCLES, 2, QUANTITY, RAW_U16BE, 1, NULL, Q_CYCLES},
	{0x89, 4, QUANTITY, RAW_U32BE, 1, NULL, Q_TOTAL_CHARGE_AH},
	{TAG_CELL_COUNT, 2, IGNORED, RAW_U16BE, 1, NULL, 0},
	{TAG_ALARMS, 2, DETAIL, RAW_U16BE, 1, "alarm_bits", 0},
	{TAG_STATUS, 2, DETAIL, RAW_U16BE, 1, "status_bits", 0},
	{0x8e, 2, SETTING, RAW_U16BE, 100, "pack_ovp_V", 0},
	{0x8f, 2, SETTING, RAW_U16BE, 100, "pack_uvp_V", 0},
	{0x90, 2, SETTING, RAW_U16BE, 1000, "cell_ovp_V", 0},
	{0x91, 2, SETTING, RAW_U16BE, 1000, "cell_ovpr_V", 0},
	{0x92, 2, SETTING, RAW_U16BE, 1, "cell_ovp_delay_s", 0},
	{0x93, 2, SETTING, RAW_U16BE, 1000, "cell_uvp_V", 0},
	{0x94, 2, SETTING, RAW_U16BE, 1000, "cell_uvpr_V", 0},
	{0x95, 2, SETTING, RAW_U16BE, 1, "cell_uvp_delay_s", 0},
	{0x96, 2, SETTING, RAW_U16BE, 1000, "cell_diff_protect_V", 0},
	{TAG_DISCHARGE_MAX, 2, SETTING, RAW_U16BE, 1, "discharge_current_max_A", 0},
	{0x98, 2, SETTING, RAW_U16BE, 1, "discharge_ocp_delay_s", 0},
	{TAG_CHARGE_MAX, 2, SETTING, RAW_U16BE, 1, "charge_current_max_A", 0},
	{0x9a, 2, SETTING, RAW_U16BE, 1, "charge_ocp_delay_s", 0},
	{0x9b, 2, SETTING, RAW_U16BE, 1000, "balance_start_V", 0},
	{0x9c, 2, SETTING, RAW_U16BE, 1000, "balance_trigger_V", 0},
	{TAG_BALANCE, 1, SWITCH, RAW_U8, 1, "balance_enabled", 0},
	{0x9e, 2, SETTING, RAW_U16BE, 1, "mos_otp_C", 0},
	{0x9f, 2, SETTING, RAW_U16BE, 1, "mos_otpr_C", 0},
	{0xa0, 2, SETTING, RAW_U16BE, 1, "box_otp_C", 0},
	{0xa1, 2, SETTING, RAW_U16BE, 1, "box_otpr_C", 0},
	{0xa2, 2, SETTING, RAW_U16BE, 1, "temp_diff_protect_C", 0},
	{0xa3, 2, SETTING, RAW_U16BE, 1, "charge_otp_C", 0},
	{0xa4, 2, SETTING, RAW_U16BE, 1, "discharge_otp_C", 0},
	{0xa5, 2, SETTING, RAW_S16BE, 1, "charge_utp_C", 0},
	{0xa6, 2, SETTING, RAW_S16BE, 1, "charge_utpr_C", 0},
	{0xa7, 2, SETTING, RAW_S16BE, 1, "discharge_utp_C", 0},
	{0xa8, 2, SETTING, RAW_S16BE, 1, "discharge_utpr_C", 0},
	{0xa9, 1, SETTING, RAW_U8, 1, "cell_count", 0},
	{TAG_CAPACITY_DESIGN, 4, SETTING, RAW_U32BE, 1, "capacity_design_Ah", 0},
	{TAG_CHARGE, 1, SWITCH, RAW_U8, 1, "charge_switch", 0},
	{TAG_DISCHARGE, 1, SWITCH, RAW_U8, 1, "discharge_switch", 0},
	{0xad, 2, SETTING, RAW_U16BE, 1, "shunt_calibration_mA", 0},
	{0xae, 1, SETTING, RAW_U8, 1, "board_address", 0},
	{0xaf, 1, SETTING, RAW_U8, 1, "battery_type", 0},
	{0xb0, 2, SETTING, RAW_U16BE, 1, "sleep_wait_s", 0},
	{0xb1, 1, SETTING, RAW_U8, 1, "low_soc_pct", 0},
	{0xb2, 10, IGNORED, RAW_U8, 1, NULL, 0},
	{0xb3, 1, SWITCH, RAW_U8, 1, "special_charger", 0},
	{TAG_USER_DATA, 8, TEXT, RAW_U8, 1, "user_data", 0},
	{TAG_DATE, 4, IGNORED, RAW_U8, 1, NULL, 0},
	{TAG_RUNTIME, 4, IGNORED, RAW_U32BE, 1, NULL, 0},
	{TAG_FIRMWARE, 15, IGNORED, RAW_U8, 1, NULL, 0},
	{0xb8, 1, DETAIL, RAW_U8, 1, "current_calibration_running", 0},
	{TAG_CAPACITY_ACTUAL, 4, IGNORED, RAW_U32BE, 1, NULL, 0},
	{TAG_ID, 24, TEXT, RAW_U8, 1, "user_data_long", 0},
	{0xbb, 1, IGNORED, RAW_U8, 1, NULL, 0},
	{0xbc, 1, IGNORED, RAW_U8, 1, NULL, 0},
	{0xbd, 1, IGNORED, RAW_U8, 1, NULL, 0},
	{0xbe, 2, SETTING, RAW_U16BE, 1000, "gps_off_cell_V", 0},
	{0xbf, 2, SETTING, RAW_U16BE, 1000, "gps_on_cell_V", 0},
	{TAG_PROTOCOL_VERSION, 1, IGNORED, RAW_U8, 1, NULL, 0},
};

enum { TAGS = sizeof(tags) / sizeof(tags[0]) };

/* Where the values of a reply stand: empty where a tag is not in it. */
struct list {
	struct bytes cells;	  /* of tag 79, without its count */
	struct bytes value[TAGS]; /* of tags[i] */
	bool cut;		  /* behind an unknown tag nothing can be read: its width is not known */
};

static int tag_index(uint8_t tag)
{
	for (int i = 0; i < TAGS; i++)
		if (tags[i].tag == tag)
			return i;
	return -1;
}

static struct bytes value_of(const struct list *l, uint8_t tag)
{
	return l->value[tag_index(tag)];
}

/* False: it does not begin with a list of cells. */
static bool read_list(struct bytes body, struct list *l)
{
	size_t at = 2u + u8_at(body, 1);

	memset(l, 0, sizeof(*l));
	if (u8_at(body, 0) != TAG_CELLS || !bytes_has(body, 0, at))
		return false;
	l->cells = bytes_sub(body, 2, at - 2);
	while (at < body.n) {
		int i = tag_index(body.p[at]);

		if (i < 0 || !bytes_has(body, at + 1, tags[i].size)) {
			l->cut = true;
			break;
		}
		l->value[i] = bytes_sub(body, at + 1, tags[i].size);
		at += 1u + tags[i].size;
	}
	return true;
}

static bool list_believable(const struct list *l, const char **why)
{
	struct bytes count = value_of(l, TAG_CELL_COUNT), soc = value_of(l, TAG_SOC);
	size_t cells = l->cells.n / CELL_SIZE;

	*why = NULL;
	if (l->cells.n % CELL_SIZE || cells < 1 || cells > JK_MAX_CELLS)
		*why = "length of the cell list";
	else if (count.n && (u16be_at(count, 0) < 1 || u16be_at(count, 0) > JK_MAX_CELLS))
		*why = "cell count outside 1..32";
	else if (u8_at(soc, 0) > 100)
		*why = "SoC above 100 %";
	for (size_t i = 0; i < cells && !*why; i++)
		if (u8_at(l->cells, CELL_SIZE * i) < 1 || u8_at(l->cells, CELL_SIZE * i) > JK_MAX_CELLS)
			*why = "cell number outside 1..32";
	return !*why;
}

static void take_tag(const struct tag *t, struct bytes value, struct reading *r, struct settings *s)
{
	double number = raw_at(value, 0, t->type) / t->divisor;
	char text[MAX_SETTING_TEXT];

	if (!value.n)
		return;
	switch (t->use) {
	case QUANTITY:
		reading_set(r, t->quantity, number);
		break;
	case SETTING:
		settings_set_number(s, t->name, number);
		break;
	case SWITCH:
		settings_set_switch(s, t->name, number != 0);
		break;
	case DETAIL:
		reading_set_detail(r, t->name, number);
		break;
	case TEXT:
		bytes_text(value, text, sizeof(text));
		settings_set_text(s, t->name, text);
		break;
	case IGNORED:
		break;
	}
}

/* ---- values that a table can't say ---- */

/* 0..100 are degrees, above that minus (raw - 100); NAN where there is none. What lies beyond 200 is no temperature. */
static double celsius(struct bytes value)
{
	uint16_t raw = u16be_at(value, 0);

	if (!value.n || raw > 200)
		return NAN;
	return raw <= 100 ? raw : 100 - raw;
}

static void take_cells(const struct list *l, struct reading *r)
{
	unsigned cells = (unsigned)l->cells.n / CELL_SIZE;

	series_start(&r->cell_V, 0);
	for (unsigned i = 0; i < cells; i++)
		series_set(&r->cell_V, u8_at(l->cells, CELL_SIZE * i) - 1u,
			   u16be_at(l->cells, CELL_SIZE * i + 1) / 1000.0);
	reading_set(r, Q_CELL_COUNT, cells);
}

static void take_temperatures(const struct list *l, struct reading *r)
{
	double box = celsius(value_of(l, TAG_TEMP_BOX)), battery = celsius(value_of(l, TAG_TEMP_BATTERY));

	reading_set(r, Q_TEMP_MOS_C, celsius(value_of(l, TAG_TEMP_MOS)));
	series_start(&r->temperatures, 0);
	if (!isnan(box))
		series_set(&r->temperatures, 0, box);
	if (!isnan(battery))
		series_set(&r->temperatures, 1, battery);
}

/*
 * The format depends on the protocol version, which ends the list; an old board has none. Where the list could not be
 * read to its end, the version told earlier counts, and without one the current is unknown.
 */
static void take_current(const struct list *l, struct state *s, struct reading *r)
{
	struct bytes current = value_of(l, TAG_CURRENT), version = value_of(l, TAG_PROTOCOL_VERSION);
	uint16_t raw = u16be_at(current, 0);

	if (version.n || !l->cut) {
		s->version = u8_at(version, 0);
		s->version_known = true;
	}
	if (!s->version_known)
		return;
	reading_set_detail(r, "protocol_version", s->version);
	if (!current.n)
		return;
	if (s->version)
		reading_set(r, Q_CURRENT_A, (raw & 0x8000 ? raw & 0x7fff : -(raw & 0x7fff)) / 100.0);
	else
		reading_set(r, Q_CURRENT_A, (10000 - raw) / 100.0);
}

static void take_capacity(const struct list *l, struct reading *r)
{
	uint32_t design = u32be_at(value_of(l, TAG_CAPACITY_DESIGN), 0);
	uint32_t actual = u32be_at(value_of(l, TAG_CAPACITY_ACTUAL), 0);

	/* 0 is what firmware sends that does not know it. */
	if (design)
		reading_set(r, Q_CAPACITY_DESIGN_AH, design);
	if (actual || design)
		reading_set(r, Q_CAPACITY_FULL_AH, actual ? actual : design);
}

static void take_number(struct reading *r, enum quantity q, struct bytes value, enum raw_type type, double factor)
{
	if (value.n)
		reading_set(r, q, raw_at(value, 0, type) * factor);
}

static void take_flag(struct reading *r, enum flag f, struct bytes value, unsigned mask)
{
	unsigned raw = value.n == 2 ? u16be_at(value, 0) : u8_at(value, 0);

	if (value.n)
		reading_set_flag(r, f, raw & mask);
}

static void take_switches(const struct list *l, struct reading *r)
{
	struct bytes status = value_of(l, TAG_STATUS);

	/* Bit 3 says nothing reliable (sheet 10). */
	take_flag(r, F_CHARGE_MOS, status, 1);
	take_flag(r, F_DISCHARGE_MOS, status, 2);
	take_flag(r, F_BALANCING_ACTIVE, status, 4);
	take_flag(r, F_BALANCE_ENABLED, value_of(l, TAG_BALANCE), 0xff);
	take_flag(r, F_CHARGE_ALLOWED, value_of(l, TAG_CHARGE), 0xff);
	take_flag(r, F_DISCHARGE_ALLOWED, value_of(l, TAG_DISCHARGE), 0xff);
}

/* Sheet 6. */
static const struct alarm_row alarm_rows[] = {
	{0, ALARM_WARNING, ALARM_LOW_SOC, NULL},
	{1, ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{2, ALARM_RAISED, ALARM_HIGH_VOLTAGE, NULL},
	{3, ALARM_RAISED, ALARM_LOW_VOLTAGE, NULL},
	{4, ALARM_RAISED, ALARM_HIGH_TEMPERATURE, NULL},
	{5, ALARM_RAISED, ALARM_HIGH_CHARGE_CURRENT, NULL},
	{6, ALARM_RAISED, ALARM_HIGH_DISCHARGE_CURRENT, NULL},
	{7, ALARM_RAISED, ALARM_CELL_IMBALANCE, NULL},
	{8, ALARM_RAISED, ALARM_HIGH_INTERNAL_TEMPERATURE, NULL},
	{9, ALARM_RAISED, ALARM_LOW_TEMPERATURE, NULL},
	{10, ALARM_RAISED, ALARM_HIGH_CELL_VOLTAGE, NULL},
	{11, ALARM_RAISED, ALARM_LOW_CELL_VOLTAGE, NULL},
	{12, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
	{13, ALARM_RAISED, ALARM_INTERNAL_FAILURE, NULL},
};

enum { BIT_BATTERY_HOT = 4, BIT_BATTERY_COLD = 9 };

static void take_alarms(const struct list *l, struct reading *r)
{
	struct bytes value = value_of(l, TAG_ALARMS);
	unsigned bits = u16be_at(value, 0);
	double current = reading_get(r, Q_CURRENT_A);

	if (!value.n)
		return;
	table_alarms(ROWS(alarm_rows), bits, &r->alarms);
	if ((bits >> BIT_BATTERY_HOT & 1) && current > 0)
		alarm_raise(&r->alarms, ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_RAISED);
	/* Unless it is being discharged, so also where the current is unknown. */
	if ((bits >> BIT_BATTERY_COLD & 1) && !(current < 0))
		alarm_raise(&r->alarms, ALARM_LOW_CHARGE_TEMPERATURE, ALARM_RAISED);
}

/* ---- identity ---- */

static void trim_underscores(char *s)
{
	size_t n = strlen(s);

	while (n && s[n - 1] == '_')
		s[--n] = 0;
}

/* "11.XW_S11.26___": hardware, _S, firmware, filled up with _. Old: "NW_1_0_0_200428", firmware alone. */
static void take_versions(struct bytes value, struct reading *r)
{
	char text[16];

	if (!value.n)
		return;
	bytes_text(value, text, sizeof(text));
	trim_underscores(text);
	char *mark = strstr(text, "_S");
	if (mark) {
		*mark = 0;
		trim_underscores(text);
		reading_set_text(r, T_HARDWARE_VERSION, text);
	}
	reading_set_text(r, T_FIRMWARE_VERSION, mark ? mark + 2 : text);
}

static void take_date(struct bytes value, struct reading *r)
{
	char text[8];

	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] < '0' || value.p[i] > '9')
			return; /* some boards hold garbage */
	bytes_text(value, text, sizeof(text));
	reading_set_text(r, T_PRODUCTION_DATE, text);
}

/* One word, as it is used in names: each run of blanks and 0 bytes becomes "_". */
static void one_word(struct bytes value, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < value.n && n + 2 < size; i++) {
		bool printable = value.p[i] > 0x20 && value.p[i] < 0x7f;

		if (!printable)
			continue;
		if (n && (value.p[i - 1] == ' ' || value.p[i - 1] == 0))
			out[n++] = '_';
		out[n++] = (char)value.p[i];
	}
	out[n] = 0;
}

/*
 * Either 12 characters of the owner's and the model's 12, or an id of 24 characters. The texts of the factory, which
 * many boards share, tell no board from another.
 */
static void take_id(struct bytes value, struct reading *r)
{
	static const char factory_user[] = "Input Userda", factory_id[] = "BT3072020120000200521001";
	struct bytes tail = bytes_sub(value, 12, 12);
	char text[MAX_TEXT];

	if (!value.n)
		return;
	bool model = u8_at(tail, 0) == 'J' && u8_at(tail, 1) == 'K';
	if (model) {
		bytes_text(tail, text, sizeof(text));
		reading_set_text(r, T_MODEL, text);
	}
	bool shared = !memcmp(value.p, factory_id, sizeof(factory_id) - 1) ||
		      !memcmp(value.p, factory_user, sizeof(factory_user) - 1);
	one_word(value, text, sizeof(text));
	reading_set_text(r, T_SERIAL_NUMBER, model || shared ? "" : text);
}

/* ---- replies ---- */

/*
 * For about 16 s after its start a board says 0 for SoC and cycles. Where it once had cycles, that gives it away: then
 * both are unknown. At first sight a 0 is taken for what it says.
 */
static void doubt_start(struct state *s, struct reading *r)
{
	bool zero = reading_get(r, Q_SOC_PCT) == 0 && reading_get(r, Q_CYCLES) == 0;

	if (zero && s->cycled) {
		reading_forget(r, Q_SOC_PCT);
		reading_forget(r, Q_CYCLES);
	}
	s->cycled = s->cycled || reading_get(r, Q_CYCLES) > 0;
}

static enum verdict take_list(struct device *dev, struct bytes body, const char **why)
{
	struct state *s = dev->state;
	struct reading r = {0};
	struct list l;

	if (!read_list(body, &l))
		return FRAME_FOREIGN; /* an echo, an acknowledgement */
	if (!list_believable(&l, why))
		return FRAME_BAD;
	/* Every reply tells everything anew, but who it is stays. */
	memcpy(r.text, dev->reading.text, sizeof(r.text));
	for (int i = 0; i < TAGS; i++)
		take_tag(&tags[i], l.value[i], &r, &dev->settings);
	take_cells(&l, &r);
	take_temperatures(&l, &r);
	take_current(&l, s, &r);
	take_capacity(&l, &r);
	take_switches(&l, &r);
	take_alarms(&l, &r);
	take_number(&r, Q_BMS_DCL_A, value_of(&l, TAG_DISCHARGE_MAX), RAW_U16BE, 1);
	take_number(&r, Q_BMS_CCL_A, value_of(&l, TAG_CHARGE_MAX), RAW_U16BE, 1);
	take_number(&r, Q_UPTIME_S, value_of(&l, TAG_RUNTIME), RAW_U32BE, 60);
	take_versions(value_of(&l, TAG_FIRMWARE), &r);
	take_date(value_of(&l, TAG_DATE), &r);
	take_id(value_of(&l, TAG_ID), &r);
	doubt_start(s, &r);
	s->count_reported = value_of(&l, TAG_CELL_COUNT).n > 0;
	if (l.cut)
		s->cut_lists++;
	if (s->cut_lists)
		reading_set_detail(&r, "incomplete_replies", s->cut_lists);
	dev->reading = r;
	return FRAME_ANSWER;
}

static enum verdict jk_uart_take(struct device *dev, const struct request *pending, struct bytes frame,
				 const char **why)
{
	struct bytes body = body_of(frame);

	if (!frame.n || u8_at(frame, COMMAND_AT) != CODE_COMMAND(pending->code))
		return FRAME_FOREIGN;
	switch (CODE_COMMAND(pending->code)) {
	case READ_ALL:
	case READ:
		/* Whether it is a reply shows in what it holds: source and transport differ among boards. */
		return take_list(dev, body, why);
	case WRITE:
		/* The acknowledgement names the tag; the request itself, come back, also holds the value. */
		return body.n == 1 && body.p[0] == CODE_TAG(pending->code) ? FRAME_ANSWER : FRAME_FOREIGN;
	default:
		return FRAME_FOREIGN;
	}
}

static bool jk_uart_plausible(const struct device *dev, const char **why)
{
	const struct state *s = dev->state;

	if (!reading_knows(&dev->reading, Q_VOLTAGE_V) || !s->count_reported) {
		*why = "voltage or cell count is missing";
		return false;
	}
	return reading_plausible(&dev->reading, why);
}

/* ---- commands: sheet 7 ---- */

enum { ATTEMPTS = 3, READ_BACK_WAIT_MS = 1000, MOS_TRIES = 3 };

/* Password, write, and what the board says of it a second later. False: return. */
static bool attempt(struct device *dev, struct procedure *p, struct next *next, uint8_t tag, bool variant)
{
	uint16_t code = CODE(WRITE, tag) | (variant ? VARIANT : 0);

	if (!variant && !step_ask(dev, p, next, CODE(PASSWORD, 0), 0))
		return false;
	/* That no acknowledgement came may be its loss; what counts is read back. */
	return step_ask(dev, p, next, code, p->command->value != 0) && step_wait(p, next, READ_BACK_WAIT_MS) &&
	       step_ask(dev, p, next, CODE(READ_ALL, 0), 0);
}

/*
 * Charge and discharge: the usual form, the other one when that had no effect, the usual one once more. The MOS may
 * take a moment to follow. memo[0]: the attempt that switched.
 */
static void proceed_switch(struct device *dev, struct procedure *p, struct next *next)
{
	uint8_t tag = p->command->kind == COMMAND_CHARGE ? TAG_CHARGE : TAG_DISCHARGE;

	for (unsigned i = 1; i <= ATTEMPTS; i++) {
		if (!attempt(dev, p, next, tag, i == 2))
			return;
		bool answered = step_result(p) == STEP_ANSWERED;

		if (step_is_new(p) && answered && jk_switched(dev, p->command) != JK_NOT_SWITCHED)
			p->memo[0] = i;
		if (p->memo[0] == i)
			break;
		if (i == ATTEMPTS && !answered) {
			step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
			return;
		}
	}
	for (int i = 1; i < MOS_TRIES && jk_switched(dev, p->command) == JK_MOS_DIFFERS; i++)
		if (!step_wait(p, next, READ_BACK_WAIT_MS) || !step_ask(dev, p, next, CODE(READ_ALL, 0), 0))
			return;
	jk_switch_end(dev, p->command, next);
}

/* Firmware 11 acknowledges the balance switch and leaves it as it is; of others nothing is known. So: one trial. */
static void proceed_balance(struct device *dev, struct procedure *p, struct next *next)
{
	if (!attempt(dev, p, next, TAG_BALANCE, false))
		return;
	if (step_result(p) != STEP_ANSWERED)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the board does not answer the read-back");
	else if (jk_switched(dev, p->command) == JK_SWITCHED)
		jk_switch_end(dev, p->command, next);
	else
		step_end(next, COMMAND_UNCONFIRMED,
			 "not supported on this link: the board took the write and left its balance switch as it was");
}

static void jk_uart_proceed(struct device *dev, struct procedure *p, struct next *next)
{
	switch (p->command->kind) {
	case COMMAND_CHARGE:
	case COMMAND_DISCHARGE:
		proceed_switch(dev, p, next);
		return;
	case COMMAND_BALANCE:
		proceed_balance(dev, p, next);
		return;
	default:
		step_end(next, COMMAND_REFUSED,
			 "this board knows no command for the SoC on its serial port; Bluetooth has one");
	}
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{115200, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Jkbms", NULL};

static const struct poll polls[] = {
	{CODE(READ_ALL, 0), 0, EVERY_POLL, true, NULL},
};

/* A reply damaged on unshielded wires is common (sheet 10): asked once more in the same sweep. */
static const struct probe probes[] = {
	{CODE(READ_ALL, 0), 0, 0, 0, 0, 0, 60, false},
	{CODE(READ_ALL, 0), 0, 0, 0, 0, 1, 60, false},
};

#define Q(q) (UINT64_C(1) << Q_##q)
#define F(f) (1u << F_##f)
#define A(a) (1u << ALARM_##a)

const struct protocol jk_uart_protocol = {
	.id = "jk-uart",
	.title = "JK (Jikong) boards on the GPS port or its RS485 adapter",
	.manufacturer = "JKBMS",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 500, .gap_ms = 50, .pause_ms = 100, .late_ms = 500, .tries = 3, .poll_ms = 200},
	.quantities = Q(VOLTAGE_V) | Q(CURRENT_A) | Q(SOC_PCT) | Q(CAPACITY_FULL_AH) | Q(CAPACITY_DESIGN_AH) |
		      Q(CYCLES) | Q(TOTAL_CHARGE_AH) | Q(UPTIME_S) | Q(CELL_COUNT) | Q(TEMP_MOS_C) | Q(BMS_CCL_A) |
		      Q(BMS_DCL_A),
	.series = SERIES_CELLS | SERIES_TEMPERATURES,
	.flags = F(BALANCING_ACTIVE) | F(CHARGE_MOS) | F(DISCHARGE_MOS) | F(BALANCE_ENABLED) | F(CHARGE_ALLOWED) |
		 F(DISCHARGE_ALLOWED),
	.alarms = A(HIGH_VOLTAGE) | A(LOW_VOLTAGE) | A(HIGH_CELL_VOLTAGE) | A(LOW_CELL_VOLTAGE) | A(LOW_SOC) |
		  A(HIGH_CHARGE_CURRENT) | A(HIGH_DISCHARGE_CURRENT) | A(CELL_IMBALANCE) | A(INTERNAL_FAILURE) |
		  A(HIGH_CHARGE_TEMPERATURE) | A(LOW_CHARGE_TEMPERATURE) | A(HIGH_TEMPERATURE) | A(LOW_TEMPERATURE) |
		  A(HIGH_INTERNAL_TEMPERATURE),
	.commands = 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE | 1 << COMMAND_BALANCE,
	.experimental = 1 << COMMAND_BALANCE,
	.state_size = sizeof(struct state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {CODE(READ_ALL, 0)},
	.confirm_count = 1,
	.encode = jk_uart_encode,
	.find_frame = jk_uart_find_frame,
	.take = jk_uart_take,
	.plausible = jk_uart_plausible,
	.parse_request = jk_uart_parse_request,
	.proceed = jk_uart_proceed,
};
