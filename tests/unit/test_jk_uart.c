/* SPDX-License-Identifier: GPL-3.0-or-later */
/* jk-uart on frames constructed from its sheet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "act.h"
#include "engine/detect.h"
#include "play.h"
#include "vline.h"

enum { READ_ALL = 0x0600, READ = 0x0300, WRITE_CHARGE = 0x02ab };

#define READ_ALL_ASK                                                                                                   \
	"4e570013000000000603000000000000"                                                                             \
	"680000"                                                                                                       \
	"0129"

/* ---- frames, built as the sheet has them ---- */

struct body {
	uint8_t p[700];
	size_t n;
};

static void add(struct body *b, const void *p, size_t n)
{
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

/* A tag and its value in size bytes, high byte first. */
static void tag(struct body *b, uint8_t t, unsigned size, uint32_t value)
{
	b->p[b->n++] = t;
	while (size--)
		b->p[b->n++] = (uint8_t)(value >> 8 * size);
}

static void text(struct body *b, uint8_t t, unsigned size, const char *s)
{
	b->p[b->n++] = t;
	memset(b->p + b->n, 0, size);
	memcpy(b->p + b->n, s, strlen(s) < size ? strlen(s) : size);
	b->n += size;
}

static void cells(struct body *b, const uint16_t *mV, uint8_t n)
{
	b->p[b->n++] = 0x79;
	b->p[b->n++] = (uint8_t)(3 * n);
	for (uint8_t i = 0; i < n; i++) {
		b->p[b->n++] = (uint8_t)(i + 1);
		b->p[b->n++] = (uint8_t)(mV[i] >> 8);
		b->p[b->n++] = (uint8_t)mV[i];
	}
}

/* A frame around the body; returns its length. */
static size_t frame(uint8_t *out, uint8_t command, uint8_t source, uint8_t transport, const struct body *b)
{
	size_t n = 0;
	unsigned sum = 0;

	memset(out, 0, 11);
	out[0] = 0x4e;
	out[1] = 0x57;
	out[2] = (uint8_t)((b->n + 18) >> 8);
	out[3] = (uint8_t)(b->n + 18);
	out[8] = command;
	out[9] = source;
	out[10] = transport;
	memcpy(out + 11, b->p, b->n);
	n = 11 + b->n;
	memset(out + n, 0, 9);
	out[n + 4] = 0x68;
	n += 9;
	for (size_t i = 0; i < n; i++)
		sum += out[i];
	out[n - 2] = (uint8_t)(sum >> 8);
	out[n - 1] = (uint8_t)sum;
	return n;
}

static const char *hex_of(const uint8_t *p, size_t n)
{
	static char hex[8][2100];
	static unsigned turn;
	char *out = hex[turn++ % 8];

	bytes_hex((struct bytes){p, n}, out, sizeof(hex[0]));
	return out;
}

static const char *reply(const struct body *b)
{
	uint8_t f[720];

	return hex_of(f, frame(f, 6, 0, 1, b));
}

/* What the board of these tests is like; a test changes what it is about. */
static struct board {
	uint16_t mos, box, battery; /* as on the wire */
	uint16_t current;
	uint8_t soc;
	uint16_t cycles, alarms, status;
	uint8_t balance, charge, discharge;
	uint32_t design, actual;
	const char *date, *firmware, *id;
	int version; /* of the protocol; -1: an old board, whose list ends after B7 */
	/* faults */
	bool asleep, password_needed, variant_only, deaf, silent_ack, hold;
	bool password_seen;
	unsigned passwords, writes, reads;
} board;

static void start_board(void)
{
	board = (struct board){
		.mos = 31,
		.box = 22,
		.battery = 24,
		.current = 0x8753, /* +18.75 A */
		.soc = 81,
		.cycles = 117,
		.status = 3,
		.balance = 1,
		.charge = 1,
		.discharge = 1,
		.design = 280,
		.actual = 271,
		.date = "2305",
		.firmware = "11.XW_S11.26___",
		.id = "Input UserdaJK_B2A20S20P",
		.version = 1,
	};
}

static const uint16_t four[] = {3320, 3321, 3319, 3330};

static struct body list(void)
{
	struct body b = {.n = 0};

	cells(&b, four, 4);
	tag(&b, 0x80, 2, board.mos);
	tag(&b, 0x81, 2, board.box);
	tag(&b, 0x82, 2, board.battery);
	tag(&b, 0x83, 2, 1329);
	tag(&b, 0x84, 2, board.current);
	tag(&b, 0x85, 1, board.soc);
	tag(&b, 0x86, 1, 2);
	tag(&b, 0x87, 2, board.cycles);
	tag(&b, 0x89, 4, 26910);
	tag(&b, 0x8a, 2, 4);
	tag(&b, 0x8b, 2, board.alarms);
	tag(&b, 0x8c, 2, board.status);
	tag(&b, 0x90, 2, 3650);
	tag(&b, 0x97, 2, 120);
	tag(&b, 0x99, 2, 80);
	tag(&b, 0x9d, 1, board.balance);
	tag(&b, 0xa5, 2, 0xffec);
	tag(&b, 0xa9, 1, 4);
	tag(&b, 0xaa, 4, board.design);
	tag(&b, 0xab, 1, board.charge);
	tag(&b, 0xac, 1, board.discharge);
	text(&b, 0xb2, 10, "s3cr3t");
	tag(&b, 0xb3, 1, 0);
	text(&b, 0xb4, 8, "Garage");
	text(&b, 0xb5, 4, board.date);
	tag(&b, 0xb6, 4, 4321);
	text(&b, 0xb7, 15, board.firmware);
	if (board.version < 0)
		return b;
	tag(&b, 0xb8, 1, 0);
	tag(&b, 0xb9, 4, board.actual);
	text(&b, 0xba, 24, board.id);
	tag(&b, 0xc0, 1, (uint32_t)board.version);
	return b;
}

static struct device dev;
static char error[128];

static int set_up(void **unused)
{
	(void)unused;
	start_board();
	dev = fresh_device("jk-uart", 0, 0);
	error[0] = 0;
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	device_free(&dev);
	return 0;
}

/* The board is read once. */
static const struct reading *read_board(void)
{
	struct body b = list();

	assert_int_equal(play(&dev, READ_ALL, 0, RX(reply(&b)), error), EXCHANGE_ANSWERED);
	return &dev.reading;
}

static double get(enum quantity q)
{
	return reading_get(&dev.reading, q);
}

static double setting(const char *name)
{
	return settings_number(&dev.settings, name);
}

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	(void)unused;
	assert_string_equal(request_hex(&dev, READ_ALL, 0), READ_ALL_ASK);
	assert_string_equal(request_hex(&dev, 0x0500, 0), "4e570014000000000502000000000000006800000128");
	assert_string_equal(request_hex(&dev, WRITE_CHARGE, 1), "4e57001400000000020200ab0100000000680000"
								"01d1");
	assert_string_equal(request_hex(&dev, 0x02ac, 0), "4e57001400000000020200ac0000000000680000"
							  "01d1");
	assert_string_equal(request_hex(&dev, 0x82ab, 1), "4e57001400000000020302ab0100000000680000"
							  "01d4");
	assert_string_equal(request_hex(&dev, 0x82ac, 0), "4e57001400000000020302ac0000000000680000"
							  "01d4");
}

static void nothing_else_can_be_written(void **unused)
{
	static const uint8_t switches[] = {0xab, 0xac, 0x9d};
	struct request r;

	(void)unused;
	for (unsigned t = 0; t < 256; t++) {
		bool may = memchr(switches, (int)t, sizeof(switches)) != NULL;

		assert_true(dev.protocol->encode(&dev, (uint16_t)(0x0200 | t), 0, &r) == may);
		assert_true(dev.protocol->encode(&dev, (uint16_t)(0x8200 | t), 0, &r) == may);
		if (may)
			assert_true(r.writes);
	}
	for (unsigned command = 0; command < 128; command++)
		if (command != 2 && command != 3 && command != 5 && command != 6)
			assert_false(dev.protocol->encode(&dev, (uint16_t)(command << 8), 0, &r));
	assert_true(dev.protocol->encode(&dev, READ_ALL, 0, &r));
	assert_false(r.writes);
}

static void requests_are_recognised_from_their_bytes(void **unused)
{
	static const uint16_t code[] = {READ_ALL, READ, 0x0500, 0x02ab, 0x02ac, 0x82ab, 0x829d};

	(void)unused;
	for (size_t i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
		struct request r, again;

		assert_true(dev.protocol->encode(&dev, code[i], 1, &r));
		assert_true(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
		assert_int_equal(again.code, code[i]);
		assert_memory_equal(again.tx, r.tx, r.n);
		assert_int_equal(again.no_reply, r.no_reply);
		assert_int_equal(again.writes, r.writes);
		r.tx[r.n - 1] ^= 1;
		assert_false(dev.protocol->parse_request((struct bytes){r.tx, r.n}, &again));
	}
}

/* ---- values ---- */

static void every_field_of_the_list_is_told(void **unused)
{
	const struct reading *r = read_board();

	(void)unused;
	assert_int_equal(r->cell_V.count, 4);
	assert_true(r->cell_V.value[3] == 3.330);
	assert_true(get(Q_CELL_COUNT) == 4);
	assert_true(get(Q_TEMP_MOS_C) == 31);
	assert_int_equal(r->temperatures.count, 2);
	assert_true(r->temperatures.value[0] == 22 && r->temperatures.value[1] == 24);
	assert_true(get(Q_VOLTAGE_V) == 13.29);
	assert_true(get(Q_CURRENT_A) == 18.75);
	assert_true(get(Q_SOC_PCT) == 81);
	assert_true(get(Q_CYCLES) == 117);
	assert_true(get(Q_TOTAL_CHARGE_AH) == 26910);
	assert_true(get(Q_UPTIME_S) == 4321 * 60);
	assert_true(get(Q_CAPACITY_DESIGN_AH) == 280);
	assert_true(get(Q_CAPACITY_FULL_AH) == 271);
	assert_true(get(Q_BMS_CCL_A) == 80);
	assert_true(get(Q_BMS_DCL_A) == 120);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_BALANCING_ACTIVE), OFF);
	assert_int_equal(reading_flag(r, F_BALANCE_ENABLED), ON);
	assert_int_equal(reading_flag(r, F_CHARGE_ALLOWED), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_ALLOWED), ON);
	assert_true(r->alarms.known);
	assert_int_equal(alarms_raised(&r->alarms), 0);
	assert_string_equal(r->text[T_HARDWARE_VERSION], "11.XW");
	assert_string_equal(r->text[T_FIRMWARE_VERSION], "11.26");
	assert_string_equal(r->text[T_MODEL], "JK_B2A20S20P");
	assert_string_equal(r->text[T_PRODUCTION_DATE], "2305");
	assert_true(setting("cell_ovp_V") == 3.65);
	assert_true(setting("charge_utp_C") == -20);
	assert_true(setting("charge_switch") == 1);
	assert_string_equal(settings_find(&dev.settings, "user_data")->text, "Garage");
}

static void what_the_protocol_says_it_can_report_is_what_it_reports(void **unused)
{
	const struct reading *r = read_board();
	uint32_t flags = 0;

	(void)unused;
	for (unsigned f = 0; f < FLAG_COUNT; f++)
		if (reading_flag(r, (enum flag)f) != UNKNOWN)
			flags |= 1u << f;
	assert_true(r->known == dev.protocol->quantities);
	assert_true(flags == dev.protocol->flags);
}

static void the_password_is_nowhere(void **unused)
{
	const struct reading *r = read_board();

	(void)unused;
	for (unsigned i = 0; i < TEXT_COUNT; i++)
		assert_null(strstr(r->text[i], "s3cr3t"));
	for (unsigned i = 0; i < dev.settings.count; i++)
		assert_null(strstr(dev.settings.setting[i].text, "s3cr3t"));
}

static void temperatures_above_100_are_below_zero(void **unused)
{
	static const struct {
		uint16_t raw;
		double C;
	} row[] = {{0, 0}, {99, 99}, {100, 100}, {101, -1}, {140, -40}};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		board.battery = row[i].raw;
		assert_true(read_board()->temperatures.value[1] == row[i].C);
	}
	board.mos = board.battery = 0xffff;
	read_board();
	assert_false(reading_knows(&dev.reading, Q_TEMP_MOS_C));
	assert_int_equal(dev.reading.temperatures.count, 1);
	board.box = 0xffff;
	board.battery = 105;
	read_board();
	assert_int_equal(dev.reading.temperatures.count, 2);
	assert_false(series_knows(&dev.reading.temperatures, 0));
	assert_true(dev.reading.temperatures.value[1] == -5);
}

static void the_current_is_decoded_by_the_version_that_ends_the_list(void **unused)
{
	static const struct {
		int version;
		uint16_t raw;
		double A;
	} row[] = {
		{1, 0x80d0, 2.08},   {1, 0x0045, -0.69}, {1, 0x81c5, 4.53},  {1, 0, 0},	       {1, 0x8000, 0},
		{1, 0xffff, 327.67}, {0, 10000, 0},	 {0, 11000, -10.00}, {0, 9000, 10.00}, {-1, 11000, -10.00},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		board.version = row[i].version;
		board.current = row[i].raw;
		read_board();
		assert_true(get(Q_CURRENT_A) == row[i].A);
	}
}

static void a_board_of_protocol_0_ends_its_list_early(void **unused)
{
	const struct reading *r;

	(void)unused;
	board.version = -1;
	board.current = 10000;
	board.firmware = "NW_1_0_0_200428";
	r = read_board();
	assert_true(get(Q_CAPACITY_FULL_AH) == 280); /* no B9: the configured one */
	assert_string_equal(r->text[T_FIRMWARE_VERSION], "NW_1_0_0_200428");
	assert_string_equal(r->text[T_HARDWARE_VERSION], "");
	assert_string_equal(r->text[T_MODEL], "");
	assert_true(reading_detail(r, "protocol_version") == 0);
}

static void a_capacity_of_0_is_no_capacity(void **unused)
{
	(void)unused;
	board.actual = 0;
	read_board();
	assert_true(get(Q_CAPACITY_FULL_AH) == 280);
	board.design = 0;
	read_board();
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_FULL_AH));
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_DESIGN_AH));
}

static void a_cell_of_0_V_is_kept(void **unused)
{
	static const uint16_t mV[] = {0, 3300, 3301};
	struct body b = {.n = 0};

	(void)unused;
	cells(&b, mV, 3);
	tag(&b, 0x8a, 2, 3);
	assert_int_equal(play(&dev, READ_ALL, 0, RX(reply(&b)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(dev.reading.cell_V.count, 3);
	assert_true(series_knows(&dev.reading.cell_V, 0));
	assert_true(dev.reading.cell_V.value[0] == 0);
	reading_derive(&dev.reading);
	assert_true(get(Q_CELL_MIN_V) == 3.3);
}

static void what_a_list_leaves_out_is_unknown(void **unused)
{
	struct body b = {.n = 0};

	(void)unused;
	read_board();
	cells(&b, four, 4);
	tag(&b, 0x83, 2, 1329);
	assert_int_equal(play(&dev, READ_ALL, 0, RX(reply(&b)), NULL), EXCHANGE_ANSWERED);
	assert_true(get(Q_VOLTAGE_V) == 13.29);
	assert_false(reading_knows(&dev.reading, Q_SOC_PCT));
	assert_false(reading_knows(&dev.reading, Q_BMS_CCL_A));
	assert_false(dev.reading.alarms.known);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), UNKNOWN);
	assert_string_equal(dev.reading.text[T_MODEL], "JK_B2A20S20P"); /* who it is, it has said before */
}

static void an_unknown_tag_ends_the_list_and_is_counted(void **unused)
{
	struct body b = {.n = 0};

	(void)unused;
	cells(&b, four, 4);
	tag(&b, 0x83, 2, 1329);
	tag(&b, 0x84, 2, 0x8753);
	tag(&b, 0xd7, 2, 1);
	tag(&b, 0x85, 1, 50);
	tag(&b, 0xc0, 1, 1);
	assert_int_equal(play(&dev, READ_ALL, 0, RX(reply(&b)), NULL), EXCHANGE_ANSWERED);
	assert_true(get(Q_VOLTAGE_V) == 13.29);
	assert_false(reading_knows(&dev.reading, Q_SOC_PCT));
	assert_true(reading_detail(&dev.reading, "incomplete_replies") == 1);
	/* The version stands behind: how the current is meant is not known. */
	assert_false(reading_knows(&dev.reading, Q_CURRENT_A));
	read_board();
	assert_int_equal(play(&dev, READ_ALL, 0, RX(reply(&b)), NULL), EXCHANGE_ANSWERED);
	assert_true(get(Q_CURRENT_A) == 18.75);
	assert_true(reading_detail(&dev.reading, "incomplete_replies") == 2);
}

static void a_value_that_the_body_cuts_off_is_not_read(void **unused)
{
	struct body b = {.n = 0};

	(void)unused;
	cells(&b, four, 4);
	tag(&b, 0x83, 2, 1329);
	tag(&b, 0xaa, 3, 0x000102);
	assert_int_equal(play(&dev, READ_ALL, 0, RX(reply(&b)), NULL), EXCHANGE_ANSWERED);
	assert_true(get(Q_VOLTAGE_V) == 13.29);
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_DESIGN_AH));
	assert_true(reading_detail(&dev.reading, "incomplete_replies") == 1);
}

static void command_03_brings_the_same_list(void **unused)
{
	struct body b = list();
	uint8_t f[720];

	(void)unused;
	assert_int_equal(play_tx(&dev, "4e5700130000000003030000000000006800000126",
				 RX(hex_of(f, frame(f, 3, 0, 1, &b))), error),
			 EXCHANGE_ANSWERED);
	assert_true(get(Q_SOC_PCT) == 81);
}

static void a_board_may_write_another_source_and_transport(void **unused)
{
	struct body b = list();
	uint8_t f[720];

	(void)unused;
	assert_int_equal(play(&dev, READ_ALL, 0, RX(hex_of(f, frame(f, 6, 3, 0, &b))), error), EXCHANGE_ANSWERED);
}

/* ---- identity ---- */

static void versions_are_parted_and_stripped(void **unused)
{
	(void)unused;
	board.firmware = "H6.X__S6.1.3S__";
	read_board();
	assert_string_equal(dev.reading.text[T_HARDWARE_VERSION], "H6.X");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "6.1.3S");
}

static void an_id_that_is_no_model_is_the_serial_number(void **unused)
{
	(void)unused;
	board.id = "BD6A20S10P 230-0001";
	read_board();
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "BD6A20S10P_230-0001");
	assert_string_equal(dev.reading.text[T_MODEL], "");
}

static void the_texts_of_the_factory_are_no_serial_number(void **unused)
{
	static const char *const id[] = {"Input UserdaJK_B1A20S15P", "BT3072020120000200521001", "Input Userda",
					 "Garage      JK_B1A20S15P"};

	(void)unused;
	for (size_t i = 0; i < sizeof(id) / sizeof(id[0]); i++) {
		board.id = id[i];
		read_board();
		assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "");
	}
}

static void a_date_of_garbage_is_no_date(void **unused)
{
	(void)unused;
	board.date = "\xff\x01"
		     "2a";
	read_board();
	assert_string_equal(dev.reading.text[T_PRODUCTION_DATE], "");
}

static void the_zeros_after_a_start_are_not_believed_of_a_board_that_had_cycles(void **unused)
{
	(void)unused;
	board.soc = 0;
	board.cycles = 0;
	read_board();
	assert_true(get(Q_SOC_PCT) == 0 && get(Q_CYCLES) == 0); /* at first sight it may be so */
	board.soc = 81;
	board.cycles = 117;
	read_board();
	board.soc = 0;
	board.cycles = 0;
	read_board();
	assert_false(reading_knows(&dev.reading, Q_SOC_PCT));
	assert_false(reading_knows(&dev.reading, Q_CYCLES));
	board.cycles = 117;
	read_board();
	assert_true(get(Q_SOC_PCT) == 0);
}

/* ---- alarms ---- */

static void each_alarm_bit_means_what_the_sheet_says(void **unused)
{
	static const struct {
		enum alarm alarm;
		enum alarm_level level;
	} row[16] = {
		{ALARM_LOW_SOC, ALARM_WARNING},
		{ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_RAISED},
		{ALARM_HIGH_VOLTAGE, ALARM_RAISED},
		{ALARM_LOW_VOLTAGE, ALARM_RAISED},
		{ALARM_HIGH_TEMPERATURE, ALARM_RAISED},
		{ALARM_HIGH_CHARGE_CURRENT, ALARM_RAISED},
		{ALARM_HIGH_DISCHARGE_CURRENT, ALARM_RAISED},
		{ALARM_CELL_IMBALANCE, ALARM_RAISED},
		{ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_RAISED},
		{ALARM_LOW_TEMPERATURE, ALARM_RAISED},
		{ALARM_HIGH_CELL_VOLTAGE, ALARM_RAISED},
		{ALARM_LOW_CELL_VOLTAGE, ALARM_RAISED},
		{ALARM_INTERNAL_FAILURE, ALARM_RAISED},
		{ALARM_INTERNAL_FAILURE, ALARM_RAISED},
		{ALARM_COUNT, ALARM_OK},
		{ALARM_COUNT, ALARM_OK},
	};

	(void)unused;
	board.current = 0x0045; /* discharge: the charge temperatures are not meant */
	for (unsigned bit = 0; bit < 16; bit++) {
		board.alarms = (uint16_t)(1u << bit);
		const struct alarms *a = &read_board()->alarms;

		assert_true(a->known);
		assert_int_equal(alarms_raised(a), row[bit].level != ALARM_OK);
		if (row[bit].level != ALARM_OK) {
			assert_int_equal(a->level[row[bit].alarm], row[bit].level);
			assert_true(dev.protocol->alarms >> row[bit].alarm & 1);
		}
		assert_true(reading_detail(&dev.reading, "alarm_bits") == 1u << bit);
	}
}

static void temperature_alarms_also_mean_charging_while_it_charges(void **unused)
{
	static const struct {
		uint16_t current;
		bool hot, cold;
	} row[] = {{0x80d0, true, true}, {0, false, true}, {0x0045, false, false}};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		board.current = row[i].current;
		board.alarms = 1 << 4 | 1 << 9;
		const struct alarms *a = &read_board()->alarms;

		assert_int_equal(a->level[ALARM_HIGH_TEMPERATURE], ALARM_RAISED);
		assert_int_equal(a->level[ALARM_LOW_TEMPERATURE], ALARM_RAISED);
		assert_int_equal(a->level[ALARM_HIGH_CHARGE_TEMPERATURE] == ALARM_RAISED, row[i].hot);
		assert_int_equal(a->level[ALARM_LOW_CHARGE_TEMPERATURE] == ALARM_RAISED, row[i].cold);
	}
	board.alarms = 0;
	assert_int_equal(alarms_raised(&read_board()->alarms), 0);
}

/* ---- what must not be believed ---- */

static void nothing_was_taken(void)
{
	struct reading nothing = {0};

	assert_memory_equal(&dev.reading, &nothing, sizeof(nothing));
	assert_int_equal(dev.settings.count, 0);
}

static void a_wrong_checksum_is_dropped(void **unused)
{
	struct body b = list();
	uint8_t f[720];
	size_t n = frame(f, 6, 0, 1, &b);

	(void)unused;
	f[40] ^= 1;
	assert_int_equal(play(&dev, READ_ALL, 0, RX(hex_of(f, n)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: checksum");
	nothing_was_taken();
}

static void a_lost_byte_is_noticed(void **unused)
{
	struct body b = list();
	uint8_t f[720];
	size_t n = frame(f, 6, 0, 1, &b);

	(void)unused;
	memmove(f + 100, f + 101, n - 101);
	assert_int_equal(play(&dev, READ_ALL, 0, RX(hex_of(f, n - 1)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: frame cut short");
	nothing_was_taken();
}

static void a_missing_end_mark_is_noticed(void **unused)
{
	struct body b = list();
	uint8_t f[720];
	size_t n = frame(f, 6, 0, 1, &b);

	(void)unused;
	f[n - 5] = 0x67;
	f[n - 1]--;
	assert_int_equal(play(&dev, READ_ALL, 0, RX(hex_of(f, n)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: end mark is not 68");
}

static void an_impossible_length_is_not_waited_for(void **unused)
{
	static const uint8_t longest[] = {0x4e, 0x57, 0x04, 0x01}, shortest[] = {0x4e, 0x57, 0x00, 0x11};
	const char *why = NULL;

	(void)unused;
	assert_true(dev.protocol->find_frame(NULL, (struct bytes){longest, 4}, false, &why) < 0);
	assert_true(dev.protocol->find_frame(NULL, (struct bytes){shortest, 4}, false, &why) < 0);
}

static void a_reply_cut_at_any_byte_is_dropped(void **unused)
{
	struct body b = list();
	uint8_t f[720];
	size_t n = frame(f, 6, 0, 1, &b);

	(void)unused;
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(play(&dev, READ_ALL, 0, RX(hex_of(f, cut)), error), EXCHANGE_FAILED);
	nothing_was_taken();
}

static void noise_with_a_start_mark_in_it_is_passed_over(void **unused)
{
	struct body b = list();
	char noisy[2200];

	(void)unused;
	snprintf(noisy, sizeof(noisy),
		 "ff4e4e5700"
		 "4e57ffff"
		 "57004e5704%s00ff",
		 reply(&b));
	assert_int_equal(play(&dev, READ_ALL, 0, RX(noisy), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_SOC_PCT) == 81);
}

static void noise_that_promises_a_frame_only_delays_the_reply(void **unused)
{
	struct body b = list();
	char noisy[2200];

	(void)unused;
	/* 4E 57 01 40: 322 bytes are waited for, more than come; at the silence the true start is found. */
	snprintf(noisy, sizeof(noisy), "4e570140%s", reply(&b));
	assert_int_equal(play(&dev, READ_ALL, 0, RX(noisy), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_SOC_PCT) == 81);
}

static void text_may_hold_the_start_mark(void **unused)
{
	(void)unused;
	board.firmware = "NW_S11.26NW____";
	board.id = "NW\x01\x08NW";
	read_board();
	assert_true(get(Q_SOC_PCT) == 81);
}

static void of_two_replies_glued_together_the_first_answers(void **unused)
{
	struct body b = list();
	char both[2200];
	int n = snprintf(both, sizeof(both), "%s", reply(&b));

	(void)unused;
	board.soc = 12;
	b = list();
	snprintf(both + n, sizeof(both) - (size_t)n, "%s", reply(&b));
	assert_int_equal(play(&dev, READ_ALL, 0, RX(both), error), EXCHANGE_ANSWERED);
	assert_true(get(Q_SOC_PCT) == 81);
}

static void bytes_may_come_one_by_one(void **unused)
{
	struct body b = list();
	uint8_t f[720];
	size_t n = frame(f, 6, 0, 1, &b);
	const char *why = NULL;

	(void)unused;
	for (size_t i = 1; i < n; i++)
		assert_int_equal(dev.protocol->find_frame(NULL, (struct bytes){f, i}, false, &why), 0);
	assert_int_equal(dev.protocol->find_frame(NULL, (struct bytes){f, n}, false, &why), (int)n);
}

static void an_echo_before_the_reply_is_no_matter_and_alone_no_reply(void **unused)
{
	struct body b = list();
	char both[2200];

	(void)unused;
	assert_int_equal(play(&dev, READ_ALL, 0, RX(READ_ALL_ASK), error), EXCHANGE_FAILED);
	assert_string_equal(error, "no reply, only our own bytes came back");
	/* With a stray byte before, the echo is a frame like others. */
	assert_int_equal(play(&dev, READ_ALL, 0, RX("00" READ_ALL_ASK), error), EXCHANGE_FAILED);
	nothing_was_taken();
	snprintf(both, sizeof(both), "00%s%s", READ_ALL_ASK, reply(&b));
	assert_int_equal(play(&dev, READ_ALL, 0, RX(both), error), EXCHANGE_ANSWERED);
}

static void a_late_acknowledgement_is_no_reading(void **unused)
{
	(void)unused;
	assert_int_equal(play(&dev, READ_ALL, 0, RX("4e57001300000000020001ab0000000068000001ce"), error),
			 EXCHANGE_FAILED);
	nothing_was_taken();
}

static void a_late_reading_is_no_acknowledgement(void **unused)
{
	struct body b = list();

	(void)unused;
	assert_int_equal(play(&dev, WRITE_CHARGE, 0, RX(reply(&b)), error), EXCHANGE_FAILED);
	/* The acknowledgement of another switch, and the echo behind a stray byte. */
	assert_int_equal(play(&dev, WRITE_CHARGE, 0, RX("4e57001300000000020001ac0000000068000001cf"), error),
			 EXCHANGE_FAILED);
	assert_int_equal(play(&dev, WRITE_CHARGE, 1, RX("004e57001400000000020200ab010000000068000001d1"), error),
			 EXCHANGE_FAILED);
	assert_int_equal(play(&dev, WRITE_CHARGE, 1, RX("4e57001300000000020001ab0000000068000001ce"), error),
			 EXCHANGE_ANSWERED);
	nothing_was_taken();
}

static void lists_that_no_board_sends_are_refused(void **unused)
{
	struct body b = {.n = 0};

	(void)unused;
	tag(&b, 0x83, 2, 1329); /* no cells */
	assert_int_equal(play(&dev, READ_ALL, 0, RX(reply(&b)), error), EXCHANGE_FAILED);
	b.n = 0;
	add(&b, "\x79\x02\x01\x0c", 4); /* no whole cell */
	assert_int_equal(play(&dev, READ_ALL, 0, RX(reply(&b)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: length of the cell list");
	b.n = 0;
	add(&b, "\x79\x00", 2);
	assert_int_equal(play(&dev, READ_ALL, 0, RX(reply(&b)), error), EXCHANGE_FAILED);
	b.n = 0;
	add(&b, "\x79\x03\x00\x0c\xe4", 5); /* cell 0 */
	assert_int_equal(play(&dev, READ_ALL, 0, RX(reply(&b)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: cell number outside 1..32");
	b.n = 0;
	add(&b, "\x79\x60\x01\x0c\xe4", 5); /* a list longer than the body */
	assert_int_equal(play(&dev, READ_ALL, 0, RX(reply(&b)), error), EXCHANGE_FAILED);
	b.n = 0;
	cells(&b, four, 4);
	tag(&b, 0x8a, 2, 33);
	assert_int_equal(play(&dev, READ_ALL, 0, RX(reply(&b)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: cell count outside 1..32");
	b.n = 0;
	cells(&b, four, 4);
	tag(&b, 0x85, 1, 101);
	assert_int_equal(play(&dev, READ_ALL, 0, RX(reply(&b)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: SoC above 100 %");
	nothing_was_taken();
}

/* ---- commands ---- */

static size_t acknowledge(uint8_t *rx, uint8_t t)
{
	struct body b = {.p = {t}, .n = 1};

	return frame(rx, 2, 0, 1, &b);
}

static void switch_to(uint8_t t, uint8_t value)
{
	uint8_t *it = t == 0xab ? &board.charge : &board.discharge;
	unsigned mos = t == 0xab ? 1 : 2;

	*it = value;
	if (value && !board.hold)
		board.status |= (uint16_t)mos;
	else
		board.status &= (uint16_t)~mos;
}

static size_t on_request(void *ctx, struct bytes r, uint8_t *rx)
{
	uint8_t command = u8_at(r, 8), t = u8_at(r, 11);
	bool variant = u8_at(r, 10) == 2;
	struct body b;

	(void)ctx;
	switch (command) {
	case 6:
		board.reads++;
		b = list();
		return board.asleep ? 0 : frame(rx, 6, 0, 1, &b);
	case 5:
		board.passwords++;
		board.password_seen = true;
		return 0;
	case 2:
		board.writes++;
		if (!board.deaf && t != 0x9d &&
		    (board.variant_only ? variant : !board.password_needed || board.password_seen))
			switch_to(t, u8_at(r, 12));
		board.password_seen = false;
		return board.asleep || board.silent_ack ? 0 : acknowledge(rx, t);
	default:
		return 0;
	}
}

static struct act do_command(enum command_kind kind, double value)
{
	struct command c = {.kind = kind, .value = value, .experimental = true};

	return act(&dev, &c, on_request, NULL);
}

static void a_switch_is_written_after_the_password_and_read_back(void **unused)
{
	static const enum command_kind kind[] = {COMMAND_CHARGE, COMMAND_DISCHARGE};

	(void)unused;
	board.password_needed = true;
	for (size_t i = 0; i < 2; i++) {
		struct act off = do_command(kind[i], 0);

		assert_int_equal(off.outcome.result, COMMAND_DONE);
		assert_int_equal(board.writes, 1);
		assert_int_equal(board.passwords, 1);
		assert_true(off.waited_ms >= 1000);
		assert_int_equal(i ? board.discharge : board.charge, 0);
		assert_int_equal(do_command(kind[i], 1).outcome.result, COMMAND_DONE);
		assert_int_equal(board.status, 3);
		board.writes = board.passwords = 0;
	}
}

static void the_other_form_of_a_write_is_tried_when_the_first_had_no_effect(void **unused)
{
	struct act a;

	(void)unused;
	board.variant_only = true;
	a = do_command(COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.writes, "4e57001400000000020200ab000000000068000001d0 "
				      "4e57001400000000020302ab000000000068000001d3");
	assert_int_equal(board.charge, 0);
}

static void a_board_that_never_obeys_is_asked_three_times_and_reported(void **unused)
{
	struct act a;

	(void)unused;
	board.deaf = true;
	a = do_command(COMMAND_DISCHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_int_equal(board.writes, 3);
	assert_string_equal(a.outcome.say, "sent, but the discharge switch does not read back off");
}

static void a_switch_that_reads_back_is_done_though_its_acknowledgement_was_lost(void **unused)
{
	(void)unused;
	board.silent_ack = true;
	assert_int_equal(do_command(COMMAND_CHARGE, 0).outcome.result, COMMAND_DONE);
}

static void a_mos_that_a_protection_holds_off_is_named(void **unused)
{
	struct act a;

	(void)unused;
	board.charge = 0;
	board.status = 2;
	board.hold = true;
	board.alarms = 1 << 10;
	a = do_command(COMMAND_CHARGE, 1);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say,
			    "the switch is on, but a protection holds the charge MOS off: high_cell_voltage");
	assert_int_equal(board.writes, 1); /* not again and again */
	board.alarms = 0;
	a = do_command(COMMAND_CHARGE, 1);
	assert_string_equal(a.outcome.say, "the switch reads back on, but the charge MOS reads off");
}

static void a_silent_board_leaves_a_command_unconfirmed(void **unused)
{
	(void)unused;
	board.asleep = true;
	assert_int_equal(do_command(COMMAND_CHARGE, 0).outcome.result, COMMAND_UNCONFIRMED);
	assert_int_equal(do_command(COMMAND_BALANCE, 0).outcome.result, COMMAND_UNCONFIRMED);
}

static void the_balance_switch_is_tried_once_and_the_truth_told(void **unused)
{
	struct act a = do_command(COMMAND_BALANCE, 0);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_non_null(strstr(a.outcome.say, "not supported on this link"));
	assert_int_equal(board.writes, 1);
	assert_true(dev.protocol->experimental >> COMMAND_BALANCE & 1);
	assert_int_equal(do_command(COMMAND_BALANCE, 1).outcome.result, COMMAND_DONE); /* as it is already */
}

static void the_soc_cannot_be_set_here(void **unused)
{
	struct act a = do_command(COMMAND_SOC, 100);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_int_equal(a.requests, 0);
	assert_false(dev.protocol->commands >> COMMAND_SOC & 1);
}

/* ---- detection ---- */

static struct vline line;
static struct line_stats stats;
static unsigned damaged; /* so many replies still have a wrong bit */

static void on_line(void *ctx, struct vline *v, struct bytes request)
{
	uint8_t rx[MAX_FRAME];
	size_t n = u8_at(request, 0) == 0x4e ? on_request(NULL, request, rx) : 0;

	(void)ctx;
	if (n && damaged) {
		damaged--;
		rx[n / 2] ^= 1;
	}
	vline_reply_bytes(v, (struct bytes){rx, n}, 4);
}

static void send_on_line(void *ctx, const struct request *request)
{
	(void)ctx;
	vline_send(&line, (struct bytes){request->tx, request->n});
}

static void set_line(void *ctx, const struct line *l)
{
	(void)ctx;
	line.line = *l;
}

/* Detection on that line until the board is found; the time that took. */
static uint64_t detect(void)
{
	struct detect_io io = {send_on_line, set_line, NULL};
	struct vline_event e;
	bool listening;

	line = (struct vline){.now_ms = 1, .connected = true, .device = on_line, .device_line = {115200, 8, 'N', 1}};
	struct detect *d = detect_new(protocols_all(), NULL, NULL, 0, NULL, io, &stats);

	detect_start(d, line.now_ms);
	while (detect_state(d) != DETECT_FOUND && line.now_ms < 60000) {
		uint64_t at = detect_deadline(d) < vline_next(&line) ? detect_deadline(d) : vline_next(&line);

		line.now_ms = at > line.now_ms ? at : line.now_ms;
		while (vline_take(&line, &e))
			detect_receive(d, (struct bytes){e.bytes, e.n}, line.now_ms);
		detect_tick(d, line.now_ms);
	}
	assert_int_equal(detect_state(d), DETECT_FOUND);
	struct device found = detect_take(d, &listening);
	assert_string_equal(found.protocol->id, "jk-uart");
	assert_false(listening);
	device_free(&found);
	detect_free(d);
	return line.now_ms;
}

static void a_board_on_its_line_is_found_at_once(void **unused)
{
	(void)unused;
	assert_in_range(detect(), 1, 600); /* time of the line, not of a clock */
	assert_int_equal(board.writes, 0);
	assert_int_equal(board.passwords, 0);
}

static void a_damaged_first_reply_costs_no_second_sweep(void **unused)
{
	(void)unused;
	damaged = 1;
	assert_in_range(detect(), 1, 5000);
}

static void without_a_cell_count_it_is_no_such_board(void **unused)
{
	struct body b = {.n = 0};
	const char *why = NULL;

	(void)unused;
	cells(&b, four, 4);
	tag(&b, 0x83, 2, 1329);
	assert_int_equal(play(&dev, READ_ALL, 0, RX(reply(&b)), NULL), EXCHANGE_ANSWERED);
	assert_false(dev.protocol->plausible(&dev, &why));
	read_board();
	assert_true(dev.protocol->plausible(&dev, &why));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_are_those_of_the_sheet),
		TEST(nothing_else_can_be_written),
		TEST(requests_are_recognised_from_their_bytes),
		TEST(every_field_of_the_list_is_told),
		TEST(what_the_protocol_says_it_can_report_is_what_it_reports),
		TEST(the_password_is_nowhere),
		TEST(temperatures_above_100_are_below_zero),
		TEST(the_current_is_decoded_by_the_version_that_ends_the_list),
		TEST(a_board_of_protocol_0_ends_its_list_early),
		TEST(a_capacity_of_0_is_no_capacity),
		TEST(a_cell_of_0_V_is_kept),
		TEST(what_a_list_leaves_out_is_unknown),
		TEST(an_unknown_tag_ends_the_list_and_is_counted),
		TEST(a_value_that_the_body_cuts_off_is_not_read),
		TEST(command_03_brings_the_same_list),
		TEST(a_board_may_write_another_source_and_transport),
		TEST(versions_are_parted_and_stripped),
		TEST(an_id_that_is_no_model_is_the_serial_number),
		TEST(the_texts_of_the_factory_are_no_serial_number),
		TEST(a_date_of_garbage_is_no_date),
		TEST(the_zeros_after_a_start_are_not_believed_of_a_board_that_had_cycles),
		TEST(each_alarm_bit_means_what_the_sheet_says),
		TEST(temperature_alarms_also_mean_charging_while_it_charges),
		TEST(a_wrong_checksum_is_dropped),
		TEST(a_lost_byte_is_noticed),
		TEST(a_missing_end_mark_is_noticed),
		TEST(an_impossible_length_is_not_waited_for),
		TEST(a_reply_cut_at_any_byte_is_dropped),
		TEST(noise_with_a_start_mark_in_it_is_passed_over),
		TEST(noise_that_promises_a_frame_only_delays_the_reply),
		TEST(text_may_hold_the_start_mark),
		TEST(of_two_replies_glued_together_the_first_answers),
		TEST(bytes_may_come_one_by_one),
		TEST(an_echo_before_the_reply_is_no_matter_and_alone_no_reply),
		TEST(a_late_acknowledgement_is_no_reading),
		TEST(a_late_reading_is_no_acknowledgement),
		TEST(lists_that_no_board_sends_are_refused),
		TEST(a_switch_is_written_after_the_password_and_read_back),
		TEST(the_other_form_of_a_write_is_tried_when_the_first_had_no_effect),
		TEST(a_board_that_never_obeys_is_asked_three_times_and_reported),
		TEST(a_switch_that_reads_back_is_done_though_its_acknowledgement_was_lost),
		TEST(a_mos_that_a_protection_holds_off_is_named),
		TEST(a_silent_board_leaves_a_command_unconfirmed),
		TEST(the_balance_switch_is_tried_once_and_the_truth_told),
		TEST(the_soc_cannot_be_set_here),
		TEST(a_board_on_its_line_is_found_at_once),
		TEST(a_damaged_first_reply_costs_no_second_sweep),
		TEST(without_a_cell_count_it_is_no_such_board),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
