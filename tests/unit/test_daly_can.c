/* SPDX-License-Identifier: GPL-3.0-or-later */
/* daly-can on frames constructed from its sheet. What the eight data bytes mean is tested with daly-uart, which shares
 * their decoding; here: identifiers, several frames under one of them, boards that mix, and whom not to ask. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "act.h"
#include "model/can.h"
#include "play.h"
#include "protocols/procedure.h"

/* ---- frames ---- */

/* A frame as candump writes it, in the hex of its bytes; the last 32 stay valid. */
static const char *can(const char *text)
{
	static char hex[32][2 * CAN_BYTES + 1];
	static unsigned next;
	struct can_message m;
	uint8_t b[CAN_BYTES];

	next = (next + 1) % 32;
	assert_true(can_parse(text, &m));
	can_write(&m, b);
	bytes_hex((struct bytes){b, sizeof(b)}, hex[next], sizeof(hex[next]));
	return hex[next];
}

/* What is sent, as candump writes it. */
static const char *sent(struct device *dev, uint16_t code, uint16_t arg)
{
	static char text[CAN_TEXT_SIZE];
	struct request request;
	struct can_message m;

	assert_true(dev->protocol->encode(dev, code, arg, &request));
	assert_true(can_read((struct bytes){request.tx, request.n}, &m));
	can_text(&m, text);
	return text;
}

static struct device board(void)
{
	return fresh_device("daly-can", 1, 0);
}

static void told(struct device *dev, uint16_t code, const char *reply)
{
	assert_int_equal(play(dev, code, 0, RX(can(reply)), NULL), EXCHANGE_ANSWERED);
}

static struct device board_of_8(void)
{
	struct device dev = board();

	told(&dev, 0x94, "18944001#0802000000000040");
	return dev;
}

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	struct device dev = board();

	(void)unused;
	assert_string_equal(sent(&dev, 0x90, 0), "18900140#0000000000000000");
	assert_string_equal(sent(&dev, 0x94, 0), "18940140#0000000000000000");
	assert_string_equal(sent(&dev, 0x161e, 750), "161E0180#02EE000000000000");
	assert_string_equal(sent(&dev, 0xda, 1), "18DA0140#0100000000000000");
	assert_string_equal(sent(&dev, 0xda, 0), "18DA0140#0000000000000000");
	assert_string_equal(sent(&dev, 0xd9, 1), "18D90140#0100000000000000");
	dev.address = 16;
	assert_string_equal(sent(&dev, 0x95, 0), "18951040#0000000000000000");
	assert_string_equal(sent(&dev, 0x161e, 1000), "161E1080#03E8000000000000");
	device_free(&dev);
}

static void there_is_no_request_to_a_board_beyond_1_to_16(void **unused)
{
	struct device dev = fresh_device("daly-can", 0, 0);
	struct request request;

	(void)unused;
	assert_false(dev.protocol->encode(&dev, 0x90, 0, &request));
	dev.address = 17;
	assert_false(dev.protocol->encode(&dev, 0x90, 0, &request));
	device_free(&dev);
}

static void only_commands_are_marked_as_writes(void **unused)
{
	static const uint16_t writes[] = {0x21, 0xd9, 0xda, 0x161e};
	struct device dev = board();
	const struct protocol *p = dev.protocol;
	struct request request;

	(void)unused;
	for (unsigned r = 0; r < p->poll_count; r++) {
		assert_true(p->encode(&dev, p->polls[r].code, p->polls[r].arg, &request));
		assert_false(request.writes);
		assert_false(request.no_reply);
	}
	for (unsigned i = 0; i < p->probe_count; i++) {
		assert_true(p->encode(&dev, p->probes[i].code, p->probes[i].arg, &request));
		assert_false(request.writes);
	}
	for (unsigned i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		assert_true(p->encode(&dev, writes[i], 1, &request));
		assert_true(request.writes);
		assert_int_equal(request.no_reply, writes[i] == 0x161e);
	}
	device_free(&dev);
}

static bool parse(const char *text, struct request *out)
{
	struct can_message m;
	uint8_t b[CAN_BYTES];

	assert_true(can_parse(text, &m));
	can_write(&m, b);
	return protocol_by_id("daly-can")->parse_request((struct bytes){b, sizeof(b)}, out);
}

static void recorded_requests_are_recognised(void **unused)
{
	struct request request;

	(void)unused;
	assert_true(parse("18950A40#AAAAAAAAAAAAAAAA", &request));
	assert_int_equal(request.code, 0x95);
	assert_int_equal(request.address, 10);
	assert_int_equal(request.arg, 0);
	assert_false(request.writes);
	assert_true(parse("161E0380#02EE000000000000", &request));
	assert_int_equal(request.code, 0x161e);
	assert_int_equal(request.address, 3);
	assert_int_equal(request.arg, 750);
	assert_true(request.writes);
	assert_true(request.no_reply);
	assert_true(parse("18D90140#0100000000000000", &request));
	assert_int_equal(request.arg, 1);
	assert_true(request.writes);
	assert_true(parse("18210140#160C0D151D27012C", &request));
	assert_int_equal(request.arg, 300);
	assert_true(request.writes);
}

static void what_is_no_request_is_not_recognised(void **unused)
{
	struct request request;

	(void)unused;
	assert_false(parse("18904001#0000000000000000", &request)); /* a reply */
	assert_false(parse("18900040#0000000000000000", &request)); /* board 0 */
	assert_false(parse("18901140#0000000000000000", &request)); /* board 17 */
	assert_false(parse("18900141#0000000000000000", &request)); /* another host */
	assert_false(parse("18900140#00000000000000", &request));   /* seven bytes */
	assert_false(parse("18FE0140#0000000000000000", &request)); /* J1939 */
	assert_false(parse("0C900140#0000000000000000", &request)); /* another priority */
	assert_false(parse("161E0180#02EE", &request));
	assert_false(parse("161E0081#02EE000000000000", &request));
	assert_false(parse("140#0000000000000000", &request));
	assert_false(protocol_by_id("daly-can")->parse_request((struct bytes){(const uint8_t *)"\x98", 1}, &request));
}

/* ---- replies ---- */

static void the_reply_of_the_sheet_is_decoded(void **unused)
{
	struct device dev = board();

	(void)unused;
	told(&dev, 0x90, "18904001#01070000753002BC");
	assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 26.3);
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == 0);
	assert_true(reading_get(&dev.reading, Q_SOC_PCT) == 70);
	assert_true(reading_get(&dev.reading, Q_ADDRESS) == 1);
	told(&dev, 0x93, "18934001#0001014500022858");
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_MOS), ON);
	assert_true(reading_get(&dev.reading, Q_CAPACITY_REMAINING_AH) == 141.4);
	device_free(&dev);
}

static void what_is_not_the_answer_is_passed_over(void **unused)
{
	static const char *const others[] = {
		"18904002#02100000753001F4", /* another board */
		"18914001#02100000753001F4", /* another command */
		"18900140#02100000753001F4", /* a request */
		"18904101#02100000753001F4", /* to another host */
		"1C904001#02100000753001F4", /* another priority */
		"18904001#02100000753001",   /* short */
		"18904001#",
		"001#02100000753001F4",
		"18904001#R",
		"20000004#0000000000000000", /* the controller tells of an error */
	};
	struct device dev = board();
	char error[128];

	(void)unused;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_int_equal(play(&dev, 0x90, 0, RX(can(others[i])), error), EXCHANGE_FAILED);
		assert_null(strstr(error, "rejected"));
		assert_int_equal(dev.reading.known, 0);
		/* and the answer behind it is taken */
		assert_int_equal(play(&dev, 0x90, 0, RX(can(others[i]), can("18904001#01070000753002BC")), NULL),
				 EXCHANGE_ANSWERED);
		assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 26.3);
		device_free(&dev);
		dev = board();
	}
	device_free(&dev);
}

static void frames_may_arrive_in_pieces_and_several_at_once(void **unused)
{
	struct device dev = board();
	char run[4 * CAN_BYTES + 1];

	(void)unused;
	snprintf(run, sizeof(run), "%s%s", can("18944001#0802000000000040"), can("18904001#01070000753002BC"));
	assert_int_equal(play(&dev, 0x90, 0, RX(run), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, 0x90, 0, RX("989040010801", "0700007530", "02bc"), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, 0x90, 0, RX("9890400108010700007530"), NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

static void an_unbelievable_reply_is_rejected(void **unused)
{
	struct device dev = board();
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0x90, 0, RX(can("18904001#01070000753003E9")), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: SoC above 100 %");
	assert_int_equal(play(&dev, 0x94, 0, RX(can("18944001#3102000000000040")), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, 0x94, 0, RX(can("18944001#0811000000000040")), NULL), EXCHANGE_FAILED);
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

/* ---- several frames under one identifier ---- */

#define CELLS_1 "18954001#010CE00CDF0CDF00"
#define CELLS_2 "18954001#020CDE0CE00CDF00"
#define CELLS_3 "18954001#030CDE0CE00CDF00"

static void cells_are_told_apart_by_byte_0(void **unused)
{
	static const double want[] = {3.296, 3.295, 3.295, 3.294, 3.296, 3.295, 3.294, 3.296};
	struct device dev = board_of_8();

	(void)unused;
	assert_int_equal(play(&dev, 0x95, 0, RX(can(CELLS_1), can(CELLS_2), can(CELLS_3)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(dev.reading.cell_V.count, 8); /* the ninth place is none */
	for (unsigned i = 0; i < 8; i++)
		assert_true(dev.reading.cell_V.value[i] == want[i]);
	device_free(&dev);
}

static void the_last_cell_ends_the_reply_at_once(void **unused)
{
	static const char *const parts[] = {CELLS_2, CELLS_1, CELLS_3};
	static struct exchange x;
	static struct line_stats stats;
	struct device dev = board_of_8();
	struct request request;
	struct can_message m;
	uint8_t b[CAN_BYTES];

	(void)unused;
	assert_true(dev.protocol->encode(&dev, 0x95, 0, &request));
	exchange_begin(&x, &dev, &request, &stats, 0, 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(x.state, EXCHANGE_WAITING);
		assert_true(can_parse(parts[i], &m));
		can_write(&m, b);
		exchange_receive(&x, (struct bytes){b, sizeof(b)}, 5 + i);
	}
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void a_hole_in_the_cells_is_no_reading(void **unused)
{
	struct device dev = board_of_8();
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0x95, 0, RX(can(CELLS_1), can(CELLS_3)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: a frame of the reply is missing");
	assert_false(dev.reading.cell_V.reported);
	device_free(&dev);
}

static void other_packs_in_between_do_not_mix_in(void **unused)
{
	struct device dev = board_of_8();

	(void)unused;
	assert_int_equal(play(&dev, 0x95, 0,
			      RX(can(CELLS_1), can("18954002#020FA00FA00FA000"), can(CELLS_2),
				 can("18904001#01070000753002BC"), can("18954002#030FA00FA00FA000"), can(CELLS_3)),
			      NULL),
			 EXCHANGE_ANSWERED);
	for (unsigned i = 0; i < 8; i++)
		assert_true(dev.reading.cell_V.value[i] < 3.3);
	device_free(&dev);
}

static void temperatures_come_in_as_many_frames_as_there_are_sensors(void **unused)
{
	struct device dev = board();

	(void)unused;
	told(&dev, 0x94, "18944001#1009000000000000");
	assert_int_equal(play(&dev, 0x96, 0, RX(can("18964001#013C003D3E3F4041")), NULL), EXCHANGE_FAILED);
	assert_int_equal(
		play(&dev, 0x96, 0, RX(can("18964001#013C003D3E3F4041"), can("18964001#0242430000000000")), NULL),
		EXCHANGE_ANSWERED);
	assert_int_equal(dev.reading.temperatures.count, 9);
	assert_true(dev.reading.temperatures.value[0] == 20);
	assert_false(series_knows(&dev.reading.temperatures, 1));
	assert_true(dev.reading.temperatures.value[8] == 27);
	told(&dev, 0x94, "18944001#1001000000000000");
	told(&dev, 0x96, "18964001#013C003D3E3F4041");
	assert_int_equal(dev.reading.temperatures.count, 1);
	device_free(&dev);
}

static void texts_end_with_silence(void **unused)
{
	struct device dev = board();

	(void)unused;
	assert_int_equal(
		play(&dev, 0x63, 0, RX(can("18634001#01444C2D424D532D"), can("18634001#025233322D303145")), NULL),
		EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_HARDWARE_VERSION], "DL-BMS-R32-01E");
	device_free(&dev);
}

/* ---- two boards on one number ---- */

static bool doubted(const struct device *dev)
{
	return reading_detail(&dev->reading, "number_used_twice") == 1;
}

static void counts_that_go_back_and_forth_are_two_boards(void **unused)
{
	struct device dev = board_of_8();

	(void)unused;
	told(&dev, 0x94, "18944001#1002000000000040"); /* another board in its place */
	assert_false(doubted(&dev));
	told(&dev, 0x94, "18944001#1002000000000040");
	assert_false(doubted(&dev));
	told(&dev, 0x94, "18944001#0802000000000040");
	assert_true(doubted(&dev));
	for (int poll = 1; poll < 300; poll++) { /* it is told for a while */
		told(&dev, 0x94, "18944001#0802010000000140");
		assert_true(doubted(&dev));
	}
	told(&dev, 0x94, "18944001#0802000000000040");
	assert_false(doubted(&dev));
	device_free(&dev);
}

#define CODE(k, text) can("18574001#0" #k text)
#define CODE_REST                                                                                                      \
	CODE(2, "30303030303030"), CODE(3, "30303030303030"), CODE(4, "30303030303030"), CODE(5, "30303030303030")

static void battery_codes_that_go_back_and_forth_are_two_boards(void **unused)
{
	struct device dev = board_of_8();

	(void)unused;
	assert_int_equal(play(&dev, 0x57, 0, RX(CODE(1, "41414141414141"), CODE_REST), NULL), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "AAAAAAA0000000000000000000000000000");
	assert_int_equal(play(&dev, 0x57, 0, RX(CODE(1, "42424242424242"), CODE_REST), NULL), EXCHANGE_ANSWERED);
	assert_false(doubted(&dev));
	assert_int_equal(play(&dev, 0x57, 0, RX(CODE(1, "41414141414141"), CODE_REST), NULL), EXCHANGE_ANSWERED);
	assert_true(doubted(&dev));
	device_free(&dev);
}

static void a_code_mixed_of_two_boards_is_none(void **unused)
{
	struct device dev = board_of_8();
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0x57, 0,
			      RX(CODE(1, "41414141414141"), CODE(1, "42424242424242"), CODE(2, "41414141414141"),
				 CODE(2, "42424242424242"), CODE(3, "30303030303030"), CODE(4, "30303030303030"),
				 CODE(5, "30303030303030")),
			      error),
			 EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: two boards answer to this number");
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "");
	told(&dev, 0x94, "18944001#0802000000000040");
	assert_true(doubted(&dev));
	/* and from now on cells that mix are none, either */
	assert_int_equal(play(&dev, 0x95, 0,
			      RX(can(CELLS_1), can("18954001#010FA00FA00FA000"), can(CELLS_2),
				 can("18954001#020FA00FA00FA000"), can(CELLS_3)),
			      error),
			 EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: two boards answer to this number");
	assert_false(dev.reading.cell_V.reported);
	device_free(&dev);
}

static void answers_to_another_host_are_no_second_board(void **unused)
{
	struct device dev = board_of_8();

	(void)unused;
	assert_int_equal(play(&dev, 0x57, 0, RX(CODE(1, "41414141414141"), CODE(1, "41414141414141"), CODE_REST), NULL),
			 EXCHANGE_ANSWERED);
	/* a moment later, a millivolt more */
	assert_int_equal(play(&dev, 0x95, 0,
			      RX(can(CELLS_1), can("18954001#010CE10CDF0CDF00"), can(CELLS_2), can(CELLS_3)), NULL),
			 EXCHANGE_ANSWERED);
	assert_true(dev.reading.cell_V.value[0] == 3.297);
	told(&dev, 0x94, "18944001#0802000000000040");
	assert_false(doubted(&dev));
	device_free(&dev);
}

/* ---- what comes unasked ---- */

struct ears {
	_Alignas(8) uint8_t listen[4096];
};

static enum heard hear(struct ears *e, const char *text, struct request *as)
{
	const struct protocol *p = protocol_by_id("daly-can");
	struct can_message m;
	uint8_t b[CAN_BYTES];

	assert_true(p->listen_size <= sizeof(e->listen));
	assert_true(can_parse(text, &m));
	can_write(&m, b);
	return p->overhear(e->listen, (struct bytes){b, sizeof(b)}, as);
}

static bool may_ask(const struct ears *e)
{
	return protocol_by_id("daly-can")->may_ask(e->listen, false);
}

static void replies_to_another_host_tell_who_is_there(void **unused)
{
	static struct ears e;
	struct request as;

	(void)unused;
	assert_int_equal(hear(&e, "18904003#0214000074CC01BF", &as), HEARD_ANSWER);
	assert_int_equal(as.code, 0x90);
	assert_int_equal(as.address, 3);
	assert_int_equal(as.dialect, 0);
	assert_int_equal(hear(&e, "18904010#0214000074CC01BF", &as), HEARD_ANSWER);
	assert_int_equal(as.address, 16);
	assert_true(may_ask(&e));
}

static void other_frames_tell_nothing(void **unused)
{
	static const char *const others[] = {
		"18900340#0000000000000000", /* the other host's request */
		"18904000#0214000074CC01BF", "18904011#0214000074CC01BF", "18904003#0214000074CC01",
		"18D94001#0100000000000000", /* an acknowledgement holds no value */
		"18FE4001#0214000074CC01BF", "18F04001#0214000074CC01BF", "0C904003#0214000074CC01BF",
		"356#C51483FFD0000C00",	     "18F128F4#EE0AF00A7B240300",
	};
	static struct ears e;
	struct request as;

	(void)unused;
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
			if (strncmp(others[i], "18FE", 4))
				assert_int_equal(hear(&e, others[i], &as), HEARD_NOTHING);
	assert_true(may_ask(&e));
	assert_int_equal(hear(&e, "18FE4001#0214000074CC01BF", &as), HEARD_NOTHING);
}

static void overheard_replies_are_put_together(void **unused)
{
	static const char *const frames[] = {"18944001#0802000000000040", CELLS_1, "18954002#010FA00FA00FA000", CELLS_2,
					     CELLS_3};
	struct device dev = board();
	static struct ears e;
	enum verdict verdict = FRAME_FOREIGN;

	(void)unused;
	for (unsigned i = 0; i < 5; i++) {
		struct can_message m;
		struct request as;
		uint8_t b[CAN_BYTES];
		const char *why = NULL;

		assert_int_equal(hear(&e, frames[i], &as), HEARD_ANSWER);
		can_parse(frames[i], &m);
		can_write(&m, b);
		if (as.address == 1)
			verdict = dev.protocol->take(&dev, &as, (struct bytes){b, sizeof(b)}, &why);
	}
	assert_int_equal(verdict, FRAME_ANSWER);
	assert_int_equal(dev.reading.cell_V.count, 8);
	device_free(&dev);
}

/* Does it ask where these are heard again and again? */
static bool asks_among(const char *const *frames)
{
	struct ears e = {{0}};
	struct request as;

	for (int round = 0; round < 2; round++)
		for (const char *const *f = frames; *f; f++)
			assert_int_equal(hear(&e, *f, &as), HEARD_NOTHING);
	return may_ask(&e);
}

static void nobody_is_asked_on_a_vehicles_bus(void **unused)
{
	(void)unused;
	assert_false(asks_among(RX("18FEF100#FFFFFFFFFFFFFFFF")));				/* J1939 */
	assert_false(asks_among(RX("18FEEE00#FFFFFFFFFFFFFFFF", "18FEF117#FFFFFFFFFFFFFFFF"))); /* J1939 */
	assert_false(asks_among(RX("19FFFD80#0101FFFFFFFFFFFF")));				/* RV-C */
	assert_false(asks_among(RX("19F21423#00FFFFFFFFFFFFFF")));				/* NMEA 2000 */
	assert_false(asks_among(RX("09F80103#FFFFFFFFFFFFFFFF")));
	assert_true(asks_among(RX("351#4002D007D007C001", "355#3D006400CF170000", "305#0000000000000000")));
	assert_true(asks_among(RX("2F4#8500A00F64000000", "18F128F4#EE0AF00A7B240300", "18E028F4#AD0EAB0EA30EA60E")));
	assert_true(asks_among(RX("0FE#0000000000000000", "1FFE0000#R")));
}

/* n identifiers of a vehicle's kind that are all different. */
static void hear_noise(struct ears *e, unsigned n, unsigned *seed)
{
	struct request as;

	while (n--) {
		char text[CAN_TEXT_SIZE];

		snprintf(text, sizeof(text), "19F%05X#0000000000000000", ++*seed & 0xfffffu);
		hear(e, text, &as);
	}
}

static void noise_is_no_vehicle(void **unused)
{
	static struct ears e;
	struct request as;
	unsigned seed = 0;

	(void)unused;
	hear_noise(&e, 5000, &seed);
	assert_true(may_ask(&e));
	/* and when chance repeats an identifier, that is forgotten again */
	hear(&e, "18FEF100#00", &as);
	hear(&e, "18FEF100#00", &as);
	assert_false(may_ask(&e));
	hear_noise(&e, 200, &seed);
	assert_false(may_ask(&e));
	hear_noise(&e, 100, &seed);
	assert_true(may_ask(&e));
}

static void a_vehicle_among_noise_is_heard(void **unused)
{
	static struct ears e;
	struct request as;
	unsigned seed = 0;

	(void)unused;
	for (int i = 0; i < 100; i++) {
		hear_noise(&e, 20, &seed);
		hear(&e, "18FEF100#00", &as);
	}
	assert_false(may_ask(&e));
}

static void all_that_it_judges_is_heard(void **unused)
{
	static const char *const wanted[] = {"18904001#00", "18D84010#00", "18634003#00", "18FEF100#00",
					     "0CFE6CEE#00", "19FFFD80#00", "19F21423#00", "09F80103#00"};
	static const char *const unwanted[] = {"18900140#00", "18904021#00", "351#00",	   "18F128F4#00",
					       "18904001#R",  "20000004#00", "18EAFF00#00"};
	const struct can_ids *hears = protocol_by_id("daly-can")->hears;
	struct can_message m;

	(void)unused;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		assert_true(can_parse(wanted[i], &m));
		assert_true(can_ids_have(hears, m.id));
	}
	for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++) {
		assert_true(can_parse(unwanted[i], &m));
		assert_false(can_ids_have(hears, m.id));
	}
}

/* ---- detection's judgement ---- */

static bool plausible(const char *status, const char *pack)
{
	struct device dev = board();
	const char *why = NULL;

	told(&dev, 0x94, status);
	assert_false(dev.protocol->plausible(&dev, &why)); /* one reply is not enough */
	assert_non_null(why);
	told(&dev, 0x90, pack);
	bool is = dev.protocol->plausible(&dev, &why);

	device_free(&dev);
	return is;
}

static void a_battery_is_plausible_and_nonsense_is_not(void **unused)
{
	(void)unused;
	assert_true(plausible("18944001#0802000000000040", "18904001#01070000753002BC"));
	assert_false(plausible("18944001#1002000000000040", "18904001#00EF0000753002BC")); /* 23.9 V, 16 cells */
	assert_false(plausible("18944001#0402000000000040", "18904001#01070000753002BC")); /* 26.3 V, 4 cells */
	assert_false(plausible("18944001#0802020000000040", "18904001#01070000753002BC")); /* no switch */
	assert_false(plausible("18944001#0802000000000040", "18904001#0000000000000000"));
}

/* ---- commands ---- */

/* A board that the tests play: which ways to set its SoC and which switches work. */
struct daly {
	bool alone_works, clock_works, switches_work, dead;
	uint16_t soc;
	uint8_t charge, discharge;
	uint8_t clock[6];
};

static size_t answer(const struct can_message *asked, const uint8_t data[8], uint8_t *rx)
{
	struct can_message m = {.id = (asked->id & 0xffff0000u) | 0x4000u | (asked->id >> 8 & 0xff), .n = 8};

	memcpy(m.data, data, 8);
	can_write(&m, rx);
	return CAN_BYTES;
}

static size_t daly(void *ctx, struct bytes request, uint8_t *rx)
{
	struct daly *b = ctx;
	struct can_message m;
	uint8_t data[8] = {0};

	assert_true(can_read(request, &m));
	assert_int_equal(m.n, 8);
	if (m.id == (CAN_EXTENDED | 0x161e0180u) && b->alone_works)
		b->soc = u16be_at(can_data(request), 0);
	switch (b->dead ? 0 : m.id & 0x1fffffffu) {
	case 0x18210140:
		if (b->clock_works) {
			b->soc = u16be_at(can_data(request), 6);
			memcpy(b->clock, m.data, 6);
		}
		return 0;
	case 0x18da0140:
		if (b->switches_work)
			b->charge = m.data[0];
		return 0;
	case 0x18d90140:
		if (b->switches_work)
			b->discharge = m.data[0];
		return answer(&m, m.data, rx);
	case 0x18900140:
		put_u16be(data, 263);
		put_u16be(data + 4, 30000);
		put_u16be(data + 6, b->soc);
		return answer(&m, data, rx);
	case 0x18930140:
		data[1] = b->charge;
		data[2] = b->discharge;
		put_u32be(data + 4, b->soc * 200u);
		return answer(&m, data, rx);
	case 0x18980140:
		return answer(&m, data, rx);
	}
	return 0;
}

static struct act command(struct daly *b, enum command_kind kind, double value)
{
	struct device dev = board_of_8();
	struct command c = {.kind = kind, .value = value, .experimental = true};
	struct act a;

	b->soc = 700;
	b->charge = b->discharge = 1;
	a = act(&dev, &c, daly, b);
	device_free(&dev);
	return a;
}

static void the_soc_alone_is_tried_first_and_read_back(void **unused)
{
	struct daly b = {.alone_works = true};
	struct act a = command(&b, COMMAND_SOC, 75);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "SoC reads back 75 %, remaining capacity 150 Ah");
	assert_string_equal(a.writes, can("161E0180#02EE000000000000"));
	assert_memory_equal(b.clock, ((uint8_t[6]){0}), 6);
}

static void the_serial_lines_way_is_tried_when_that_does_nothing(void **unused)
{
	struct daly b = {.clock_works = true};
	struct act a = command(&b, COMMAND_SOC, 30);
	char writes[8 * CAN_BYTES];

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "SoC reads back 30 %, remaining capacity 60 Ah");
	snprintf(writes, sizeof(writes), "%s %s %s", can("161E0180#012C000000000000"), can("18210140#160C0D151D27012C"),
		 can("18210140#160C0D151D27012C")); /* it is not acknowledged: sent again */
	assert_string_equal(a.writes, writes);
	assert_memory_equal(b.clock, ((uint8_t[]){22, 12, 13, 21, 29, 39}), 6);
}

static void a_soc_that_does_not_move_is_not_confirmed(void **unused)
{
	struct daly b = {.dead = false};
	struct act a = command(&b, COMMAND_SOC, 30);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the SoC reads back 70 %");
	assert_in_range(a.waited_ms, 6000, 7000); /* 3 s for each way */
	b.dead = true;
	a = command(&b, COMMAND_SOC, 30);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the board does not answer the read-back");
}

static void a_computer_without_the_time_leaves_the_boards_clock_alone(void **unused)
{
	struct device dev = board_of_8();
	struct command c = {.kind = COMMAND_SOC, .value = 50, .experimental = true};
	struct procedure p = {.command = &c, .now = {1970, 1, 1, 0, 0, 5}};
	struct next next = {.what = NEXT_WAIT};
	struct can_message m;

	(void)unused;
	told(&dev, 0x90, "18904001#01070000753002BC");
	for (procedure_next(&dev, &p, &next); next.what != NEXT_END; procedure_next(&dev, &p, &next)) {
		if (next.what == NEXT_WAIT) {
			procedure_waited(&p);
			continue;
		}
		assert_true(can_read((struct bytes){next.request.tx, next.request.n}, &m));
		assert_int_not_equal(m.id >> 16 & 0xff, 0x21);
		procedure_answered(&p, STEP_ANSWERED, NULL);
	}
	assert_int_equal(next.outcome.result, COMMAND_UNCONFIRMED);
	device_free(&dev);
}

static void switches_are_read_back(void **unused)
{
	struct daly b = {.switches_work = true};
	struct act a = command(&b, COMMAND_CHARGE, 0);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "not acknowledged, but the charge MOS reads back off");
	assert_int_equal(b.charge, 0);
	a = command(&b, COMMAND_DISCHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "discharge MOS reads back off");
	assert_string_equal(a.writes, can("18D90140#0000000000000000"));
	b.switches_work = false;
	a = command(&b, COMMAND_DISCHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "acknowledged, but the discharge MOS reads back on");
}

static void every_command_is_experimental_and_balancing_is_none(void **unused)
{
	const struct protocol *p = protocol_by_id("daly-can");
	struct daly b = {.switches_work = true};
	struct act a = command(&b, COMMAND_BALANCE, 0);

	(void)unused;
	assert_int_equal(p->commands, 1 << COMMAND_SOC | 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE);
	assert_int_equal(p->experimental, p->commands);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_int_equal(a.requests, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_those_of_the_sheet),
		cmocka_unit_test(there_is_no_request_to_a_board_beyond_1_to_16),
		cmocka_unit_test(only_commands_are_marked_as_writes),
		cmocka_unit_test(recorded_requests_are_recognised),
		cmocka_unit_test(what_is_no_request_is_not_recognised),
		cmocka_unit_test(the_reply_of_the_sheet_is_decoded),
		cmocka_unit_test(what_is_not_the_answer_is_passed_over),
		cmocka_unit_test(frames_may_arrive_in_pieces_and_several_at_once),
		cmocka_unit_test(an_unbelievable_reply_is_rejected),
		cmocka_unit_test(cells_are_told_apart_by_byte_0),
		cmocka_unit_test(the_last_cell_ends_the_reply_at_once),
		cmocka_unit_test(a_hole_in_the_cells_is_no_reading),
		cmocka_unit_test(other_packs_in_between_do_not_mix_in),
		cmocka_unit_test(temperatures_come_in_as_many_frames_as_there_are_sensors),
		cmocka_unit_test(texts_end_with_silence),
		cmocka_unit_test(counts_that_go_back_and_forth_are_two_boards),
		cmocka_unit_test(battery_codes_that_go_back_and_forth_are_two_boards),
		cmocka_unit_test(a_code_mixed_of_two_boards_is_none),
		cmocka_unit_test(answers_to_another_host_are_no_second_board),
		cmocka_unit_test(replies_to_another_host_tell_who_is_there),
		cmocka_unit_test(other_frames_tell_nothing),
		cmocka_unit_test(overheard_replies_are_put_together),
		cmocka_unit_test(nobody_is_asked_on_a_vehicles_bus),
		cmocka_unit_test(noise_is_no_vehicle),
		cmocka_unit_test(a_vehicle_among_noise_is_heard),
		cmocka_unit_test(all_that_it_judges_is_heard),
		cmocka_unit_test(a_battery_is_plausible_and_nonsense_is_not),
		cmocka_unit_test(the_soc_alone_is_tried_first_and_read_back),
		cmocka_unit_test(the_serial_lines_way_is_tried_when_that_does_nothing),
		cmocka_unit_test(a_soc_that_does_not_move_is_not_confirmed),
		cmocka_unit_test(a_computer_without_the_time_leaves_the_boards_clock_alone),
		cmocka_unit_test(switches_are_read_back),
		cmocka_unit_test(every_command_is_experimental_and_balancing_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
