/* SPDX-License-Identifier: GPL-3.0-or-later */
/* daly-uart on frames constructed from its sheet. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "act.h"
#include "play.h"

enum { HOST_40, HOST_80 };

/* ---- frames ---- */

static void fill(uint8_t f[13], uint8_t address, uint8_t cmd, const uint8_t data[8])
{
	f[0] = 0xa5;
	f[1] = address;
	f[2] = cmd;
	f[3] = 8;
	memcpy(f + 4, data, 8);
	f[12] = 0;
	for (int i = 0; i < 12; i++)
		f[12] = (uint8_t)(f[12] + f[i]);
}

/* A frame in hex; the last 32 stay valid. */
static const char *frame_of(uint8_t address, uint8_t cmd, const uint8_t data[8])
{
	static char hex[32][27];
	static unsigned next;
	uint8_t f[13];

	next = (next + 1) % 32;
	fill(f, address, cmd, data);
	bytes_hex((struct bytes){f, 13}, hex[next], sizeof(hex[next]));
	return hex[next];
}

#define BYTES(...)	((const uint8_t[8]){__VA_ARGS__})
#define REPLY(cmd, ...) frame_of(1, cmd, BYTES(__VA_ARGS__))

/* Frame k of 95: the cells 3k-2 .. 3k with 3.2 V plus their number in mV. Junk in byte 7. */
static const char *cells_frame(unsigned k)
{
	unsigned mv = 3200 + 3 * (k - 1) + 1;

	return REPLY(0x95, (uint8_t)k, (uint8_t)(mv >> 8), (uint8_t)mv, (uint8_t)((mv + 1) >> 8), (uint8_t)(mv + 1),
		     (uint8_t)((mv + 2) >> 8), (uint8_t)(mv + 2), 0xa5);
}

static void told(struct device *dev, uint16_t code, const char *reply)
{
	assert_int_equal(play(dev, code, 0, RX(reply), NULL), EXCHANGE_ANSWERED);
}

static struct device board_of(unsigned cells, unsigned sensors)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	told(&dev, 0x94, REPLY(0x94, (uint8_t)cells, (uint8_t)sensors, 0, 0, 0, 0, 0, 0));
	return dev;
}

static void cell_frames(struct exchange *x, unsigned from, unsigned to)
{
	uint8_t buf[13];

	for (unsigned k = from; k <= to; k++) {
		bytes_from_hex(cells_frame(k), buf, sizeof(buf));
		exchange_receive(x, (struct bytes){buf, 13}, 80 + 14 * k);
	}
}

/* An exchange of 95 in time: frames 1..n one after the other from 80 ms on; still waiting afterwards? */
static bool waits_after(struct device *dev, unsigned n)
{
	static struct exchange x;
	static struct line_stats stats;
	struct request request;

	assert_true(dev->protocol->encode(dev, 0x95, 0, &request));
	exchange_begin(&x, dev, &request, &stats, 0, 0);
	cell_frames(&x, 1, n);
	bool waits = x.state == EXCHANGE_WAITING;
	exchange_tick(&x, 80 + 14 * n + 99);
	assert_int_equal(x.state, waits ? EXCHANGE_WAITING : EXCHANGE_ANSWERED);
	exchange_tick(&x, 80 + 14 * n + 100);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	return waits;
}

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	assert_string_equal(request_hex(&dev, 0x90, 0), "a540900800000000000000007d");
	assert_string_equal(request_hex(&dev, 0x94, 0), "a5409408000000000000000081");
	assert_string_equal(request_hex(&dev, 0xda, 1), "a540da080100000000000000c8");
	assert_string_equal(request_hex(&dev, 0xda, 0), "a540da080000000000000000c7");
	assert_string_equal(request_hex(&dev, 0xd9, 1), "a540d9080100000000000000c7");
	assert_string_equal(request_hex(&dev, 0xd9, 0), "a540d9080000000000000000c6");
	dev.address = 2;
	assert_string_equal(request_hex(&dev, 0x90, 0), "a541900800000000000000007e");
	dev.address = 16;
	assert_string_equal(request_hex(&dev, 0x90, 0), "a54f900800000000000000008c");
	dev.address = 1;
	dev.dialect = HOST_80;
	assert_string_equal(request_hex(&dev, 0x90, 0), "a58090080000000000000000bd");
	device_free(&dev);
}

static void there_is_no_request_to_a_board_beyond_16_or_to_another_board_through_host_80(void **unused)
{
	struct device dev = fresh_device("daly-uart", 0, HOST_40);
	struct request request;

	(void)unused;
	assert_false(dev.protocol->encode(&dev, 0x90, 0, &request));
	dev.address = 17;
	assert_false(dev.protocol->encode(&dev, 0x90, 0, &request));
	dev.address = 2;
	dev.dialect = HOST_80;
	assert_false(dev.protocol->encode(&dev, 0x90, 0, &request));
	device_free(&dev);
}

static void only_commands_are_marked_as_writes(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	struct request request;
	const struct protocol *p = dev.protocol;

	(void)unused;
	for (unsigned r = 0; r < p->poll_count; r++) {
		assert_true(p->encode(&dev, p->polls[r].code, p->polls[r].arg, &request));
		assert_false(request.writes);
	}
	for (unsigned i = 0; i < 3; i++) {
		static const uint16_t code[] = {0x21, 0xd9, 0xda};

		assert_true(p->encode(&dev, code[i], 1, &request));
		assert_true(request.writes);
	}
	device_free(&dev);
}

static bool parse(const char *hex, struct request *out)
{
	uint8_t buf[64];
	int n = bytes_from_hex(hex, buf, sizeof(buf));

	return protocol_by_id("daly-uart")->parse_request((struct bytes){buf, (size_t)n}, out);
}

static void recorded_requests_are_recognised_whatever_fills_their_unused_bytes(void **unused)
{
	struct request request;

	(void)unused;
	assert_true(parse(frame_of(0x4f, 0x95, BYTES(0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa)), &request));
	assert_int_equal(request.code, 0x95);
	assert_int_equal(request.address, 16);
	assert_int_equal(request.dialect, HOST_40);
	assert_int_equal(request.arg, 0);
	assert_int_equal(request.n, 13);
	assert_false(request.writes);
	assert_true(parse(frame_of(0x80, 0x90, BYTES(0)), &request));
	assert_int_equal(request.address, 1);
	assert_int_equal(request.dialect, HOST_80);
	assert_true(parse(frame_of(0x40, 0x21, BYTES(22, 12, 13, 21, 29, 39, 0x01, 0x2c)), &request));
	assert_int_equal(request.arg, 300);
	assert_true(request.writes);
	assert_true(parse(frame_of(0x40, 0x19, BYTES(0)), &request)); /* a settings write of another program */
	assert_true(request.writes);
}

static void what_is_no_request_is_not_recognised(void **unused)
{
	struct request request;

	(void)unused;
	assert_false(parse(REPLY(0x90, 0), &request));		       /* a reply */
	assert_false(parse(frame_of(0x3f, 0x90, BYTES(0)), &request)); /* board 0 */
	assert_false(parse(frame_of(0x50, 0x90, BYTES(0)), &request)); /* board 17 */
	assert_false(parse("a540900800000000000000007e", &request));   /* checksum */
	assert_false(parse("a5409007000000000000000000", &request));   /* length byte */
	assert_false(parse("a5409008000000000000000000", &request));
	assert_false(parse("a54090080000000000000000", &request));     /* too short */
	assert_false(parse("a540900800000000000000007d00", &request)); /* too long */
	assert_false(parse("dda50300fffd77", &request));
}

/* ---- frames that are no answer ---- */

static void the_reply_of_the_sheet_is_decoded(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	told(&dev, 0x90, "a501900802100000753001f4ea");
	assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 52.8);
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == 0);
	assert_true(reading_get(&dev.reading, Q_SOC_PCT) == 50);
	assert_true(reading_get(&dev.reading, Q_ADDRESS) == 1);
	device_free(&dev);
}

static void a_wrong_sum_is_dropped(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0x90, 0, RX("a501900802100000753001f4eb"), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: checksum");
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

static void another_length_byte_is_no_frame(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	assert_int_equal(play(&dev, 0x90, 0, RX("a501900902100000753001f4eb"), NULL), EXCHANGE_FAILED);
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

static void another_board_or_another_command_is_no_answer(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0x90, 0, RX(frame_of(2, 0x90, BYTES(2, 0x10, 0, 0, 0x75, 0x30, 1, 0xf4))), error),
			 EXCHANGE_FAILED);
	assert_string_equal(error, "no reply; 1 frame came that answers something else");
	assert_int_equal(play(&dev, 0x90, 0, RX(REPLY(0x91, 0x0e, 0xc8, 5, 0x0e, 0x9c, 9)), NULL), EXCHANGE_FAILED);
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

static void a_late_reply_is_passed_over_and_the_right_one_taken(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	assert_int_equal(
		play(&dev, 0x90, 0,
		     RX(REPLY(0x93, 1, 1, 1, 9, 0, 0, 0xc5, 0x44), REPLY(0x90, 2, 0x10, 0, 0, 0x75, 0x30, 1, 0xf4)),
		     NULL),
		EXCHANGE_ANSWERED);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), UNKNOWN);
	assert_true(reading_get(&dev.reading, Q_VOLTAGE_V) == 52.8);
	device_free(&dev);
}

static void the_echo_of_a_sleeping_board_is_no_answer(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0x90, 0, RX(request_hex(&dev, 0x90, 0)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "no reply, only our own bytes came back");
	/* with a glitch in front it is not our own bytes any more, and still no answer */
	assert_int_equal(play(&dev, 0x90, 0, RX("ff", request_hex(&dev, 0x90, 0)), NULL), EXCHANGE_FAILED);
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

static void an_echo_in_front_of_the_reply_is_no_matter(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	assert_int_equal(play(&dev, 0x90, 0, RX(request_hex(&dev, 0x90, 0), "a501900802100000753001f4ea"), NULL),
			 EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void noise_cuts_and_glue_are_no_matter(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	assert_int_equal(play(&dev, 0x90, 0, RX("ffffa5", "a50190", "0802100000", "753001f4eaff"), NULL),
			 EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, 0x90, 0, RX("a501910808c8050e9c0901f4bca501900802100000753001f4ea"), NULL),
			 EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, 0x90, 0,
			      RX("a5", "01", "90", "08", "02", "10", "00", "00", "75", "30", "01", "f4", "ea"), NULL),
			 EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void a_frame_cut_short_is_no_answer(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0x90, 0, RX("a501900802100000753001f4"), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: frame cut short");
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

static void an_a5_inside_a_broken_frame_does_not_hide_the_next_one(void **unused)
{
	struct device dev = board_of(16, 1);

	(void)unused;
	assert_int_equal(play(&dev, 0x97, 0, RX("a50197080000a5a50000a5a500", REPLY(0x97, 5)), NULL),
			 EXCHANGE_ANSWERED);
	assert_true(dev.reading.balancing == 5);
	device_free(&dev);
}

static void an_a5_inside_the_data_is_data(void **unused)
{
	struct device dev = board_of(48, 1);

	(void)unused;
	told(&dev, 0x97, REPLY(0x97, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5));
	assert_true(dev.reading.balancing == UINT64_C(0xa5a5a5a5a5a5));
	device_free(&dev);
}

/* ---- 90 to 94 ---- */

static void below_30000_is_charging(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	told(&dev, 0x90, REPLY(0x90, 0x02, 0x10, 0, 0, 0x74, 0x31, 0x03, 0xe8)); /* 29745 */
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == 25.5);
	told(&dev, 0x90, REPLY(0x90, 0x02, 0x10, 0, 0, 0x75, 0x6f, 0x03, 0xe8)); /* 30063 */
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == -6.3);
	device_free(&dev);
}

static void an_inverted_board_is_turned_round_with_its_current_alarms(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	const struct alarms *a = &dev.reading.alarms;

	(void)unused;
	dev.options.invert_current = true;
	told(&dev, 0x90, REPLY(0x90, 0x02, 0x10, 0, 0, 0x75, 0x6f, 0x03, 0xe8));
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == 6.3);
	told(&dev, 0x90, REPLY(0x90, 0x02, 0x10, 0, 0, 0x75, 0x30, 0x03, 0xe8));
	assert_false(signbit(reading_get(&dev.reading, Q_CURRENT_A)));
	told(&dev, 0x98, REPLY(0x98, 0, 0, 0x02));
	assert_int_equal(a->level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_RAISED);
	assert_int_equal(a->level[ALARM_HIGH_CHARGE_CURRENT], ALARM_OK);
	told(&dev, 0x98, REPLY(0x98, 0, 0, 0x04));
	assert_int_equal(a->level[ALARM_HIGH_CHARGE_CURRENT], ALARM_WARNING);
	assert_int_equal(a->level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_OK);
	/* the neighbours stay where they are */
	told(&dev, 0x98, REPLY(0x98, 0, 0x80, 0x80, 0x01));
	assert_int_equal(a->level[ALARM_LOW_TEMPERATURE], ALARM_RAISED);
	assert_int_equal(a->level[ALARM_LOW_SOC], ALARM_RAISED);
	assert_int_equal(a->level[ALARM_CELL_IMBALANCE], ALARM_WARNING);
	assert_int_equal(alarms_raised(a), 3);
	device_free(&dev);
}

static void the_second_voltage_is_only_there_where_a_board_fills_it(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	told(&dev, 0x90, REPLY(0x90, 0x01, 0x01, 0x01, 0x00, 0x75, 0x30, 0x01, 0x46));
	assert_true(reading_detail(&dev.reading, "gathered_voltage_V") == 25.6);
	told(&dev, 0x90, REPLY(0x90, 0x01, 0x01, 0, 0, 0x75, 0x30, 0x01, 0x46));
	assert_true(isnan(reading_detail(&dev.reading, "gathered_voltage_V")));
	device_free(&dev);
}

static void a_soc_above_100_is_not_believed(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0x90, 0, RX(REPLY(0x90, 0x02, 0x10, 0, 0, 0x75, 0x30, 0x03, 0xe9)), error),
			 EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: SoC above 100 %");
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

static void bytes_left_over_from_the_reply_before_mean_nothing(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	told(&dev, 0x91, REPLY(0x91, 0x0d, 0x00, 0x0f, 0x0c, 0xfe, 0x01, 0xff, 0xff));
	told(&dev, 0x92, REPLY(0x92, 0x37, 0x02, 0x23, 0x01, 0xfe, 0x01, 0xff, 0xff));
	assert_true(reading_get(&dev.reading, Q_CELL_MAX_V) == 3.328);
	assert_true(reading_get(&dev.reading, Q_CELL_MAX_NO) == 15);
	assert_true(reading_get(&dev.reading, Q_CELL_MIN_V) == 3.326);
	assert_true(reading_get(&dev.reading, Q_CELL_MIN_NO) == 1);
	assert_true(reading_get(&dev.reading, Q_TEMP_MAX_C) == 15);
	assert_true(reading_get(&dev.reading, Q_TEMP_MAX_NO) == 2);
	assert_true(reading_get(&dev.reading, Q_TEMP_MIN_C) == -5);
	assert_true(reading_get(&dev.reading, Q_TEMP_MIN_NO) == 1);
	device_free(&dev);
}

static void switches_state_and_remaining_capacity_come_from_93(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	const struct reading *r = &dev.reading;

	(void)unused;
	told(&dev, 0x93, REPLY(0x93, 2, 1, 0, 120, 0x00, 0x03, 0xcb, 0x40));
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_CHARGE_ALLOWED), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), OFF);
	assert_int_equal(reading_flag(r, F_DISCHARGE_ALLOWED), OFF);
	assert_true(reading_get(r, Q_CAPACITY_REMAINING_AH) == 248.64);
	assert_true(reading_detail(r, "state") == 2);
	assert_true(reading_detail(r, "heartbeat") == 120);
	assert_false(reading_knows(r, Q_CAPACITY_FULL_AH));
	device_free(&dev);
}

static void a_heartbeat_that_stands_still_for_30_polls_is_told(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	for (int poll = 0; poll < 30; poll++) {
		told(&dev, 0x93, REPLY(0x93, 0, 1, 1, 7));
		assert_true(isnan(reading_detail(&dev.reading, "heartbeat_frozen")));
	}
	told(&dev, 0x93, REPLY(0x93, 0, 1, 1, 7));
	assert_true(reading_detail(&dev.reading, "heartbeat_frozen") == 1);
	told(&dev, 0x93, REPLY(0x93, 0, 1, 1, 8));
	assert_true(isnan(reading_detail(&dev.reading, "heartbeat_frozen")));
	device_free(&dev);
}

/* One poll: current in 0.1 A (+ charging as a right board counts), state of 93. True: the hint is there. */
static bool seems_inverted(struct device *dev, int tenth_A, uint8_t state)
{
	uint16_t raw = (uint16_t)(30000 - tenth_A);

	told(dev, 0x90, REPLY(0x90, 0x02, 0x10, 0, 0, (uint8_t)(raw >> 8), (uint8_t)raw, 0x01, 0xf4));
	told(dev, 0x93, REPLY(0x93, state, 1, 1, 7));
	return reading_detail(&dev->reading, "current_seems_inverted") == 1;
}

static void three_polls_in_which_current_and_state_disagree_give_a_hint(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	assert_false(seems_inverted(&dev, 20, 2));
	assert_false(seems_inverted(&dev, 19, 2));  /* too small to say anything */
	assert_false(seems_inverted(&dev, 500, 0)); /* idle says nothing */
	assert_false(seems_inverted(&dev, -20, 1));
	assert_true(seems_inverted(&dev, 20, 2));
	assert_true(seems_inverted(&dev, 0, 0));
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == 0); /* a hint, nothing is turned round */
	assert_false(seems_inverted(&dev, 20, 1));
	assert_false(seems_inverted(&dev, 20, 2));
	assert_false(seems_inverted(&dev, 20, 2));
	assert_true(seems_inverted(&dev, 20, 2));
	assert_true(seems_inverted(&dev, 20, 2));
	device_free(&dev);
}

static void the_hint_judges_the_current_as_it_is_shown(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	dev.options.invert_current = true;
	for (int poll = 0; poll < 4; poll++)
		assert_false(seems_inverted(&dev, 300, 2));
	device_free(&dev);
}

static void counts_and_contacts_come_from_94(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	const struct reading *r = &dev.reading;

	(void)unused;
	told(&dev, 0x94, REPLY(0x94, 16, 3, 1, 0, 0x25, 0x01, 0x2c, 0xaa));
	assert_true(reading_get(r, Q_CELL_COUNT) == 16);
	assert_true(reading_get(r, Q_CYCLES) == 300);
	assert_true(reading_detail(r, "temp_sensor_count") == 3);
	assert_true(reading_detail(r, "charger_connected") == 1);
	assert_true(reading_detail(r, "load_connected") == 0);
	assert_true(reading_detail(r, "dio_bits") == 0x25);
	told(&dev, 0x94, REPLY(0x94, 16, 3, 0, 1));
	assert_true(reading_detail(r, "charger_connected") == 0);
	assert_true(reading_detail(r, "load_connected") == 1);
	device_free(&dev);
}

/* What a reply of all 01 tells, by number: quantities, flags, details, settings. */
static void every_reply_tells_its_own_fields_alone(void **unused)
{
	static const struct {
		uint8_t code;
		unsigned quantities, flags, details, settings;
	} tells[] = {
		{0x90, 3, 0, 1, 0}, {0x91, 4, 0, 0, 0}, {0x92, 4, 0, 0, 0}, {0x93, 1, 4, 2, 0}, {0x94, 2, 0, 4, 0},
		{0x97, 0, 1, 0, 0}, {0x98, 0, 0, 1, 0}, {0x50, 2, 0, 0, 2}, {0x51, 0, 0, 0, 3}, {0x52, 2, 0, 0, 0},
		{0x53, 0, 0, 0, 2}, {0x54, 0, 0, 0, 1}, {0x59, 0, 0, 0, 4}, {0x5a, 0, 0, 0, 4}, {0x5b, 0, 0, 0, 4},
		{0x5c, 0, 0, 0, 1}, {0x5d, 0, 0, 0, 1}, {0x5e, 0, 0, 0, 1}, {0x5f, 0, 0, 0, 2}, {0x60, 0, 0, 0, 2},
		{0x61, 0, 0, 0, 1}, {0xd8, 0, 0, 0, 1},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(tells) / sizeof(tells[0]); i++) {
		struct device dev = fresh_device("daly-uart", 1, HOST_40);
		unsigned quantities = 0, flags = 0;

		told(&dev, tells[i].code, REPLY(tells[i].code, 1, 1, 1, 1, 1, 1, 1, 1));
		for (unsigned q = 0; q < QUANTITY_COUNT; q++)
			quantities += reading_knows(&dev.reading, (enum quantity)q);
		for (unsigned f = 0; f < FLAG_COUNT; f++)
			flags += dev.reading.flag[f] != UNKNOWN;
		assert_int_equal(quantities, tells[i].quantities + 1); /* and the address */
		assert_int_equal(flags, tells[i].flags);
		assert_int_equal(dev.reading.detail_count, tells[i].details);
		assert_int_equal(dev.settings.count, tells[i].settings);
		assert_int_equal(dev.reading.alarms.known, tells[i].code == 0x98);
		assert_int_equal(dev.reading.balancing_known, tells[i].code == 0x97);
		assert_false(dev.reading.temperatures.reported);
		device_free(&dev);
	}
}

static void impossible_counts_are_not_believed(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	assert_int_equal(play(&dev, 0x94, 0, RX(REPLY(0x94, 0, 1)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, 0x94, 0, RX(REPLY(0x94, 49, 1)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, 0x94, 0, RX(REPLY(0x94, 16, 17)), NULL), EXCHANGE_FAILED);
	assert_int_equal(dev.reading.known, 0);
	assert_int_equal(dev.reading.detail_count, 0);
	told(&dev, 0x94, REPLY(0x94, 48, 16));
	device_free(&dev);
}

/* ---- several frames ---- */

static void sixteen_cells_come_in_six_frames(void **unused)
{
	struct device dev = board_of(16, 1);

	(void)unused;
	assert_int_equal(
		play(&dev, 0x95, 0,
		     RX(cells_frame(1), cells_frame(2), cells_frame(3), cells_frame(4), cells_frame(5), cells_frame(6)),
		     NULL),
		EXCHANGE_ANSWERED);
	assert_int_equal(dev.reading.cell_V.count, 16);
	for (unsigned i = 0; i < 16; i++)
		assert_true(dev.reading.cell_V.value[i] == (3201 + i) / 1000.0);
	told(&dev, 0x94, REPLY(0x94, 3, 1)); /* another board in its place */
	assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(1)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(dev.reading.cell_V.count, 3);
	device_free(&dev);
}

static void forty_eight_cells_come_in_sixteen_frames_and_end_at_once(void **unused)
{
	struct device dev = board_of(48, 1);

	(void)unused;
	assert_false(waits_after(&dev, 16));
	assert_int_equal(dev.reading.cell_V.count, 48);
	assert_true(dev.reading.cell_V.value[47] == 3.248);
	device_free(&dev);
}

static void after_two_replies_it_is_known_that_no_further_frames_come(void **unused)
{
	struct device dev = board_of(16, 1);

	(void)unused;
	assert_true(waits_after(&dev, 6));
	assert_true(waits_after(&dev, 6));
	assert_false(waits_after(&dev, 6));
	assert_false(waits_after(&dev, 6));
	device_free(&dev);
}

static void a_board_that_sends_one_frame_too_many_is_heard_out(void **unused)
{
	struct device dev = board_of(13, 1);

	(void)unused;
	assert_true(waits_after(&dev, 6));
	assert_true(waits_after(&dev, 6));
	static struct exchange x;
	static struct line_stats stats;
	struct request request;

	assert_true(dev.protocol->encode(&dev, 0x95, 0, &request));
	exchange_begin(&x, &dev, &request, &stats, 0, 0);
	cell_frames(&x, 1, 5); /* all 13 cells */
	assert_int_equal(x.state, EXCHANGE_WAITING);
	cell_frames(&x, 6, 6);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	assert_int_equal(dev.reading.cell_V.count, 13);
	device_free(&dev);
}

static void one_odd_reply_does_not_teach_a_wrong_number(void **unused)
{
	struct device dev = board_of(13, 1);

	(void)unused;
	assert_true(waits_after(&dev, 5)); /* the sixth was lost */
	assert_true(waits_after(&dev, 6));
	assert_true(waits_after(&dev, 6));
	assert_false(waits_after(&dev, 6));
	assert_true(waits_after(&dev, 5)); /* lost again: it is learnt anew */
	assert_true(waits_after(&dev, 6));
	device_free(&dev);
}

static void a_board_that_always_sends_sixteen_frames_is_waited_for(void **unused)
{
	struct device dev = board_of(16, 1);

	(void)unused;
	assert_false(waits_after(&dev, 16));
	assert_int_equal(dev.reading.cell_V.count, 16); /* what lies beyond is none */
	assert_false(waits_after(&dev, 16));
	device_free(&dev);
}

static void frames_may_come_in_any_order_and_twice(void **unused)
{
	struct device dev = board_of(9, 1);

	(void)unused;
	assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(3), cells_frame(1), cells_frame(3), cells_frame(2)), NULL),
			 EXCHANGE_ANSWERED);
	for (unsigned i = 0; i < 9; i++)
		assert_true(dev.reading.cell_V.value[i] == (3201 + i) / 1000.0);
	device_free(&dev);
}

static void a_missing_frame_leaves_the_cells_as_they_were(void **unused)
{
	struct device dev = board_of(9, 1);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(1), cells_frame(2), cells_frame(3)), NULL),
			 EXCHANGE_ANSWERED);
	struct series before = dev.reading.cell_V;

	assert_int_equal(play(&dev, 0x95, 0, RX(REPLY(0x95, 1, 0x0d, 0x00), cells_frame(3)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: a frame of the reply is missing");
	assert_memory_equal(&before, &dev.reading.cell_V, sizeof(before));
	/* nor does the missing one complete it when something else was asked in between */
	told(&dev, 0x94, REPLY(0x94, 9, 1));
	assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(2)), NULL), EXCHANGE_FAILED);
	assert_memory_equal(&before, &dev.reading.cell_V, sizeof(before));
	device_free(&dev);
}

static void a_repetition_brings_what_was_missing(void **unused)
{
	static struct exchange x;
	static struct line_stats stats;
	struct device dev = board_of(9, 1);
	struct request request;

	(void)unused;
	for (int reply = 0; reply < 2; reply++)
		assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(1), cells_frame(2), cells_frame(3)), NULL),
				 EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, 0x95, 0, RX(REPLY(0x95, 1, 0x0d, 0x00), cells_frame(3)), NULL), EXCHANGE_FAILED);
	/* the same request again: its frames are waited for to the last, and the newer ones count */
	assert_true(dev.protocol->encode(&dev, 0x95, 0, &request));
	exchange_begin(&x, &dev, &request, &stats, 0, 0);
	cell_frames(&x, 1, 2);
	assert_int_equal(x.state, EXCHANGE_WAITING);
	cell_frames(&x, 3, 3);
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	assert_true(dev.reading.cell_V.value[0] == 3.201);
	/* and when that lacks another one, both together are whole */
	assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(1), cells_frame(3)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(2), cells_frame(3)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(2), cells_frame(3)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(1)), NULL), EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void a_corrupt_frame_in_the_middle_fails_the_reply(void **unused)
{
	struct device dev = board_of(9, 1);

	(void)unused;
	assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(1), "a5019508020c840c850c860000", cells_frame(3)), NULL),
			 EXCHANGE_FAILED);
	assert_false(dev.reading.cell_V.reported);
	device_free(&dev);
}

static void a_corrupt_frame_that_holds_no_cell_is_no_matter(void **unused)
{
	struct device dev = board_of(6, 1);

	(void)unused;
	assert_int_equal(play(&dev, 0x95, 0,
			      RX(cells_frame(1), cells_frame(2), "a501950803000000000000ff00", cells_frame(4)), NULL),
			 EXCHANGE_ANSWERED);
	assert_int_equal(dev.reading.cell_V.count, 6);
	device_free(&dev);
}

static void an_index_outside_1_to_16_is_not_believed(void **unused)
{
	struct device dev = board_of(3, 1);
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, 0x95, 0, RX(REPLY(0x95, 0, 0x0c, 0x80)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: frame index out of range");
	assert_int_equal(play(&dev, 0x95, 0, RX(REPLY(0x95, 17, 0x0c, 0x80)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, 0x95, 0, RX(REPLY(0x95, 0xff, 0x0c, 0x80)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, 0x57, 0, RX(REPLY(0x57, 6, 'A')), NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

static void without_94_the_empty_places_at_the_end_are_no_cells(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(1), REPLY(0x95, 2, 0x0c, 0x84), REPLY(0x95, 3)), NULL),
			 EXCHANGE_ANSWERED);
	assert_int_equal(dev.reading.cell_V.count, 4);
	char error[128];

	assert_int_equal(play(&dev, 0x95, 0, RX(REPLY(0x95, 1), REPLY(0x95, 2)), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: no cell in the reply");
	assert_int_equal(dev.reading.cell_V.count, 4);
	assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(1), cells_frame(3)), NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

static void frames_of_another_reply_are_not_mixed_in(void **unused)
{
	struct device dev = board_of(6, 9);

	(void)unused;
	assert_int_equal(
		play(&dev, 0x96, 0, RX(cells_frame(1), REPLY(0x96, 1, 65), cells_frame(2), REPLY(0x96, 2, 66)), NULL),
		EXCHANGE_ANSWERED);
	assert_false(dev.reading.cell_V.reported);
	assert_true(dev.reading.temperatures.value[0] == 25);
	device_free(&dev);
}

static void without_94_the_empty_places_at_the_end_are_no_sensors(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	const struct series *t = &dev.reading.temperatures;

	(void)unused;
	assert_int_equal(play(&dev, 0x96, 0, RX(REPLY(0x96, 1, 60, 0, 61), REPLY(0x96, 2)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(t->count, 3);
	assert_false(series_knows(t, 1));
	assert_true(t->value[2] == 21);
	assert_int_equal(play(&dev, 0x96, 0, RX(REPLY(0x96, 1), REPLY(0x96, 2)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(t->count, 0);
	device_free(&dev);
}

static void only_the_sensors_of_94_are_real_and_0_is_an_absent_one(void **unused)
{
	struct device dev = board_of(16, 9);
	const struct series *t = &dev.reading.temperatures;

	(void)unused;
	assert_int_equal(play(&dev, 0x96, 0,
			      RX(REPLY(0x96, 1, 60, 0, 35, 40, 41, 42, 43), REPLY(0x96, 2, 80, 255, 90, 91)), NULL),
			 EXCHANGE_ANSWERED);
	assert_int_equal(t->count, 9);
	assert_true(t->value[0] == 20);
	assert_false(series_knows(t, 1));
	assert_true(t->value[2] == -5);
	assert_true(t->value[7] == 40);
	assert_true(t->value[8] == 215);
	/* the second frame is needed */
	assert_int_equal(play(&dev, 0x96, 0, RX(REPLY(0x96, 1, 60)), NULL), EXCHANGE_FAILED);
	assert_int_equal(t->count, 9);
	told(&dev, 0x94, REPLY(0x94, 16, 7)); /* it is not for seven */
	assert_int_equal(play(&dev, 0x96, 0, RX(REPLY(0x96, 1, 60)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(t->count, 7);
	told(&dev, 0x94, REPLY(0x94, 16, 8));
	assert_int_equal(play(&dev, 0x96, 0, RX(REPLY(0x96, 1, 60)), NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

static void the_number_of_temperature_frames_is_learnt_too(void **unused)
{
	static struct exchange x;
	static struct line_stats stats;
	struct device dev = board_of(16, 1);
	struct request request;
	uint8_t buf[13];

	(void)unused;
	for (int reply = 0; reply < 2; reply++)
		assert_int_equal(play(&dev, 0x96, 0, RX(REPLY(0x96, 1, 60), REPLY(0x96, 2)), NULL), EXCHANGE_ANSWERED);
	assert_true(dev.protocol->encode(&dev, 0x96, 0, &request));
	exchange_begin(&x, &dev, &request, &stats, 0, 0);
	for (uint8_t k = 1; k <= 2; k++) {
		assert_int_equal(x.state, EXCHANGE_WAITING);
		fill(buf, 1, 0x96, BYTES(k, 60));
		exchange_receive(&x, (struct bytes){buf, 13}, k);
	}
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void recorded_replies_are_put_together_as_live_ones(void **unused)
{
	struct device dev = board_of(9, 1);
	static const char ask_cells[] = "a5409508000000000000000082", ask_alarms[] = "a5409808000000000000000085";

	(void)unused;
	assert_int_equal(play_tx(&dev, ask_cells, RX(cells_frame(1), cells_frame(2)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play_tx(&dev, ask_cells, RX(cells_frame(2), cells_frame(3)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play_tx(&dev, ask_cells, RX(cells_frame(1), cells_frame(2)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play_tx(&dev, ask_alarms, RX(REPLY(0x98, 0)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play_tx(&dev, ask_cells, RX(cells_frame(2), cells_frame(3)), NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

static void a_board_without_sensors_has_no_temperatures_and_is_not_asked_for_them(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	const struct protocol *p = dev.protocol;

	(void)unused;
	for (unsigned r = 0; r < p->poll_count; r++)
		if (p->polls[r].code == 0x92 || p->polls[r].code == 0x96)
			assert_true(p->polls[r].wanted(&dev)); /* while nobody knows */
	told(&dev, 0x92, REPLY(0x92, 60, 1, 60, 1));
	told(&dev, 0x94, REPLY(0x94, 16, 0));
	assert_false(reading_knows(&dev.reading, Q_TEMP_MAX_C));
	assert_false(reading_knows(&dev.reading, Q_TEMP_MIN_NO));
	assert_true(dev.reading.temperatures.reported);
	assert_int_equal(dev.reading.temperatures.count, 0);
	for (unsigned r = 0; r < p->poll_count; r++)
		if (p->polls[r].code == 0x92 || p->polls[r].code == 0x96)
			assert_false(p->polls[r].wanted(&dev));
	device_free(&dev);
}

static void extremes_that_the_cells_do_not_bear_out_are_dropped(void **unused)
{
	struct device dev = board_of(3, 1);
	struct reading *r = &dev.reading;

	(void)unused;
	told(&dev, 0x91, REPLY(0x91, 0x0c, 0x83, 3, 0x0c, 0x81, 1)); /* as in the cells below */
	assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(1)), NULL), EXCHANGE_ANSWERED);
	assert_true(reading_get(r, Q_CELL_MAX_V) == 3.203);
	assert_true(reading_get(r, Q_CELL_MIN_NO) == 1);
	told(&dev, 0x91, REPLY(0x91, 0x0c, 0xff, 3, 0x0c, 0x81, 2)); /* another voltage, another cell */
	assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(1)), NULL), EXCHANGE_ANSWERED);
	assert_false(reading_knows(r, Q_CELL_MAX_V));
	assert_false(reading_knows(r, Q_CELL_MAX_NO));
	assert_false(reading_knows(r, Q_CELL_MIN_V));
	told(&dev, 0x91, REPLY(0x91, 0x0c, 0x82, 2, 0x0c, 0x82, 2)); /* another cell is beyond */
	told(&dev, 0x92, REPLY(0x92, 60, 99, 60, 0));		     /* no such sensor */
	assert_int_equal(play(&dev, 0x95, 0, RX(cells_frame(1)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, 0x96, 0, RX(REPLY(0x96, 1, 60)), NULL), EXCHANGE_ANSWERED);
	assert_false(reading_knows(r, Q_TEMP_MAX_C));
	assert_false(reading_knows(r, Q_TEMP_MIN_C));
	reading_derive(r);
	assert_true(reading_get(r, Q_CELL_MAX_V) == 3.203);
	assert_true(reading_get(r, Q_CELL_MIN_V) == 3.201);
	assert_true(reading_get(r, Q_TEMP_MAX_NO) == 1);
	device_free(&dev);
}

static void texts_are_put_together_from_their_frames(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	const struct reading *r = &dev.reading;

	(void)unused;
	assert_int_equal(play(&dev, 0x57, 0,
			      RX(REPLY(0x57, 1, 'A', 'B', 'C', 'D', 'E', 'F', 'G'),
				 REPLY(0x57, 2, '1', '2', '3', '4', '5', '6', '7'),
				 REPLY(0x57, 3, 'H', 'I', 'J', 'K', 'L', 'M', 'N'),
				 REPLY(0x57, 4, '8', '9', '0', '1', '2', '3', '4'),
				 REPLY(0x57, 5, 'O', 'P', 'Q', 'R', 'S', 'T', 'U')),
			      NULL),
			 EXCHANGE_ANSWERED);
	assert_string_equal(r->text[T_SERIAL_NUMBER], "ABCDEFG1234567HIJKLMN8901234OPQRSTU");
	assert_int_equal(play(&dev, 0x62, 0,
			      RX(REPLY(0x62, 1, '1', '0', '1', '0', '_', 'V', '2'), REPLY(0x62, 2, '.', '3', 0xff)),
			      NULL),
			 EXCHANGE_ANSWERED);
	assert_string_equal(r->text[T_FIRMWARE_VERSION], "1010_V2.3");
	assert_int_equal(play(&dev, 0x63, 0, RX(REPLY(0x63, 1, 'D', 'L', '-', 'B', 'M', 'S', '-')), NULL),
			 EXCHANGE_ANSWERED);
	assert_string_equal(r->text[T_HARDWARE_VERSION], "DL-BMS-");
	/* the first frame of two, or the second of three, is lost */
	assert_int_equal(play(&dev, 0x63, 0, RX(REPLY(0x63, 2, 'R', '3', '2')), NULL), EXCHANGE_FAILED);
	told(&dev, 0x98, REPLY(0x98, 0));
	assert_int_equal(play(&dev, 0x63, 0, RX(REPLY(0x63, 1, 'R', '3', '2'), REPLY(0x63, 3, '-')), NULL),
			 EXCHANGE_FAILED);
	assert_string_equal(r->text[T_HARDWARE_VERSION], "DL-BMS-");
	device_free(&dev);
}

static void the_five_frames_of_the_battery_code_end_at_once(void **unused)
{
	static struct exchange x;
	static struct line_stats stats;
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	struct request request;
	uint8_t buf[13];

	(void)unused;
	assert_true(dev.protocol->encode(&dev, 0x57, 0, &request));
	exchange_begin(&x, &dev, &request, &stats, 0, 0);
	for (uint8_t k = 1; k <= 5; k++) {
		assert_int_equal(x.state, EXCHANGE_WAITING);
		fill(buf, 1, 0x57, BYTES(k, 'x'));
		exchange_receive(&x, (struct bytes){buf, 13}, k);
	}
	assert_int_equal(x.state, EXCHANGE_ANSWERED);
	device_free(&dev);
}

/* ---- 97, 98 ---- */

static void balancing_bits_begin_with_cell_1(void **unused)
{
	struct device dev = board_of(48, 1);

	(void)unused;
	told(&dev, 0x97, REPLY(0x97, 0x01, 0, 0, 0, 0, 0x80, 0xff, 0xff));
	assert_true(dev.reading.balancing == (UINT64_C(1) | UINT64_C(1) << 47));
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), ON);
	told(&dev, 0x97, REPLY(0x97, 0));
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), OFF);
	device_free(&dev);
}

static void balancing_bits_beyond_the_last_cell_mean_nothing(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	told(&dev, 0x97, REPLY(0x97, 0, 0, 0, 0, 0, 0, 0xff, 0xff)); /* there are 48 bits */
	assert_true(dev.reading.balancing == 0);
	told(&dev, 0x94, REPLY(0x94, 12, 1));
	told(&dev, 0x97, REPLY(0x97, 0, 0xf0));
	assert_true(dev.reading.balancing == 0);
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), OFF);
	device_free(&dev);
}

struct bit_meaning {
	uint8_t byte, bit;
	const char *name, *level;
	const char *name2; /* raised beside it */
};

static const struct bit_meaning meanings[] = {
	{0, 0, "high_cell_voltage", "warning", NULL},
	{0, 1, "high_cell_voltage", "alarm", NULL},
	{0, 2, "low_cell_voltage", "warning", NULL},
	{0, 3, "low_cell_voltage", "alarm", NULL},
	{0, 4, "high_voltage", "warning", NULL},
	{0, 5, "high_voltage", "alarm", NULL},
	{0, 6, "low_voltage", "warning", NULL},
	{0, 7, "low_voltage", "alarm", NULL},
	{1, 0, "high_charge_temperature", "warning", NULL},
	{1, 1, "high_charge_temperature", "alarm", NULL},
	{1, 2, "low_charge_temperature", "warning", NULL},
	{1, 3, "low_charge_temperature", "alarm", NULL},
	{1, 4, "high_temperature", "warning", NULL},
	{1, 5, "high_temperature", "alarm", NULL},
	{1, 6, "low_temperature", "warning", NULL},
	{1, 7, "low_temperature", "alarm", NULL},
	{2, 0, "high_charge_current", "warning", NULL},
	{2, 1, "high_charge_current", "alarm", NULL},
	{2, 2, "high_discharge_current", "warning", NULL},
	{2, 3, "high_discharge_current", "alarm", NULL},
	{2, 4, "high_soc", "warning", NULL},
	{2, 5, "high_soc", "alarm", NULL},
	{2, 6, "low_soc", "warning", NULL},
	{2, 7, "low_soc", "alarm", NULL},
	{3, 0, "cell_imbalance", "warning", NULL},
	{3, 1, "cell_imbalance", "alarm", NULL},
	{3, 2, "temperature_difference", "warning", NULL},
	{3, 3, "temperature_difference", "alarm", NULL},
	{4, 0, "high_internal_temperature", "alarm", NULL},
	{4, 1, "high_internal_temperature", "alarm", NULL},
	{4, 2, "internal_failure", "alarm", "charge_mos_sensor_fault"},
	{4, 3, "internal_failure", "alarm", "discharge_mos_sensor_fault"},
	{4, 4, "internal_failure", "alarm", "charge_mos_stuck_fault"},
	{4, 5, "internal_failure", "alarm", "discharge_mos_stuck_fault"},
	{4, 6, "internal_failure", "alarm", "charge_mos_open_fault"},
	{4, 7, "internal_failure", "alarm", "discharge_mos_open_fault"},
	{5, 0, "internal_failure", "alarm", "afe_fault"},
	{5, 1, "internal_failure", "alarm", "voltage_sampling_fault"},
	{5, 2, "internal_failure", "alarm", "temperature_sensor_fault"},
	{5, 3, "internal_failure", "alarm", "eeprom_fault"},
	{5, 4, "internal_failure", "warning", "rtc_fault"},
	{5, 5, "internal_failure", "alarm", "precharge_fault"},
	{5, 6, "internal_failure", "warning", "vehicle_comm_fault"},
	{5, 7, "internal_failure", "alarm", "internal_comm_fault"},
	{6, 0, "internal_failure", "alarm", "current_sensor_fault"},
	{6, 1, "internal_failure", "alarm", "pack_voltage_sensor_fault"},
	{6, 2, "short_circuit", "alarm", "high_discharge_current"},
	{6, 3, "low_voltage_charge_forbidden", "alarm", NULL},
};

static const char *level_of(const struct alarms *a, const char *name)
{
	enum alarm known = alarm_by_name(name);

	if (known != ALARM_COUNT)
		return alarm_level_name((enum alarm_level)a->level[known]);
	for (unsigned i = 0; i < a->own_count; i++)
		if (!strcmp(a->own[i].name, name))
			return alarm_level_name(a->own[i].level);
	return "ok";
}

static void every_alarm_bit_alone_means_what_the_sheet_says(void **unused)
{
	struct device dev = board_of(16, 1);
	const struct alarms *a = &dev.reading.alarms;
	uint64_t seen = 0;

	(void)unused;
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		const struct bit_meaning *m = &meanings[i];
		uint8_t data[8] = {0};

		data[m->byte] = (uint8_t)(1u << m->bit);
		seen |= UINT64_C(1) << (8 * m->byte + m->bit);
		told(&dev, 0x98, frame_of(1, 0x98, data));
		assert_string_equal(level_of(a, m->name), m->level);
		if (m->name2)
			assert_string_equal(level_of(a, m->name2), m->level);
		assert_int_equal(alarms_raised(a), m->name2 ? 2 : 1);
	}
	for (unsigned bit = 0; bit < 56; bit++) { /* the rest is reserved */
		uint8_t data[8] = {0};

		data[bit / 8] = (uint8_t)(1u << bit % 8);
		told(&dev, 0x98, frame_of(1, 0x98, data));
		assert_int_equal(alarms_raised(a) == 0, !(seen >> bit & 1));
		assert_true(a->known);
	}
	device_free(&dev);
}

static void all_alarm_bits_at_once_are_all_told(void **unused)
{
	struct device dev = board_of(16, 1);
	const struct alarms *a = &dev.reading.alarms;

	(void)unused;
	told(&dev, 0x98, REPLY(0x98, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		assert_string_not_equal(level_of(a, meanings[i].name), "ok");
		if (meanings[i].name2)
			assert_string_not_equal(level_of(a, meanings[i].name2), "ok");
	}
	assert_string_equal(level_of(a, "high_cell_voltage"), "alarm"); /* the level 2 bit wins */
	assert_true(reading_detail(&dev.reading, "fault_code") == 255);
	told(&dev, 0x98, REPLY(0x98, 0));
	assert_int_equal(alarms_raised(a), 0);
	assert_true(reading_detail(&dev.reading, "fault_code") == 0);
	device_free(&dev);
}

static void the_alarms_it_raises_are_those_it_announces(void **unused)
{
	struct device dev = board_of(16, 1);

	(void)unused;
	told(&dev, 0x98, REPLY(0x98, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
	for (unsigned i = 0; i < ALARM_COUNT; i++)
		assert_int_equal(dev.reading.alarms.level[i] != ALARM_OK, dev.protocol->alarms >> i & 1);
	device_free(&dev);
}

/* ---- 50 to 63, D8 ---- */

static void identity_and_capacity(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	const struct reading *r = &dev.reading;

	(void)unused;
	told(&dev, 0x50, REPLY(0x50, 0x00, 0x04, 0x45, 0xc0, 0x00, 0x00, 0x0c, 0x80));
	assert_true(reading_get(r, Q_CAPACITY_DESIGN_AH) == 280);
	assert_true(reading_get(r, Q_CAPACITY_FULL_AH) == 280);
	assert_true(settings_number(&dev.settings, "nominal_cell_V") == 3.2);
	assert_true(settings_number(&dev.settings, "capacity_design_Ah") == 280);
	told(&dev, 0x52, REPLY(0x52, 0, 0, 0x30, 0x39, 0, 1, 0, 0));
	assert_true(reading_get(r, Q_TOTAL_CHARGE_AH) == 12345);
	assert_true(reading_get(r, Q_TOTAL_DISCHARGE_AH) == 65536);
	told(&dev, 0x53, REPLY(0x53, 1, 1, 21, 4, 30, 0xff, 0xff));
	assert_string_equal(r->text[T_PRODUCTION_DATE], "2021-04-30");
	assert_true(settings_number(&dev.settings, "sleep_time_s") == 65535);
	assert_string_equal(settings_find(&dev.settings, "battery_type_and_mode")->text, "0101");
	told(&dev, 0x53, REPLY(0x53, 1, 1, 21, 13, 30, 0x0e, 0x10));
	assert_string_equal(r->text[T_PRODUCTION_DATE], "");
	told(&dev, 0x54, REPLY(0x54, '2', '0', '2', '2', '0', '8', '1', '0'));
	assert_string_equal(settings_find(&dev.settings, "firmware_index")->text, "20220810");
	told(&dev, 0x51, REPLY(0x51, 2, 16, 8, 0, 4, 2, 0));
	assert_true(settings_number(&dev.settings, "boards") == 2);
	assert_true(settings_number(&dev.settings, "board2_cells") == 8);
	assert_true(settings_number(&dev.settings, "board2_sensors") == 2);
	assert_null(settings_find(&dev.settings, "board3_cells"));
	told(&dev, 0x51, REPLY(0x51, 255, 16, 8, 4, 4, 2, 1, 0xff)); /* told are three at the most */
	assert_true(settings_number(&dev.settings, "board3_sensors") == 1);
	assert_int_equal(dev.settings.count, 2 + 2 + 1 + 7);
	device_free(&dev);
}

static const char *date_of(uint8_t year, uint8_t month, uint8_t day)
{
	static char text[MAX_TEXT];
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	told(&dev, 0x53, REPLY(0x53, 1, 1, year, month, day));
	strcpy(text, dev.reading.text[T_PRODUCTION_DATE]);
	device_free(&dev);
	return text;
}

static void only_what_is_a_date_is_shown_as_one(void **unused)
{
	(void)unused;
	assert_string_equal(date_of(99, 12, 31), "2099-12-31");
	assert_string_equal(date_of(0, 1, 1), "2000-01-01");
	assert_string_equal(date_of(100, 12, 31), "");
	assert_string_equal(date_of(22, 0, 31), "");
	assert_string_equal(date_of(22, 13, 31), "");
	assert_string_equal(date_of(22, 12, 0), "");
	assert_string_equal(date_of(22, 12, 32), "");
}

static void an_installed_capacity_of_0_is_unknown(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	told(&dev, 0x50, REPLY(0x50, 0));
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_FULL_AH));
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_DESIGN_AH));
	device_free(&dev);
}

static void thresholds_are_settings(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	const struct settings *s = &dev.settings;

	(void)unused;
	told(&dev, 0x59, REPLY(0x59, 0x0d, 0xde, 0x0e, 0x42, 0x0b, 0x54, 0x09, 0xc4)); /* 3550 3650 2900 2500 */
	assert_true(settings_number(s, "cell_high_warning_V") == 3.55);
	assert_true(settings_number(s, "cell_ovp_V") == 3.65);
	assert_true(settings_number(s, "cell_low_warning_V") == 2.9);
	assert_true(settings_number(s, "cell_uvp_V") == 2.5);
	told(&dev, 0x5a, REPLY(0x5a, 0x02, 0x38, 0x02, 0x48, 0x01, 0xd0, 0x01, 0x90)); /* 568 584 464 400 */
	assert_true(settings_number(s, "pack_high_warning_V") == 56.8);
	assert_true(settings_number(s, "pack_ovp_V") == 58.4);
	assert_true(settings_number(s, "pack_low_warning_V") == 46.4);
	assert_true(settings_number(s, "pack_uvp_V") == 40);
	told(&dev, 0x5b, REPLY(0x5b, 0x79, 0x18, 0x7b, 0x0c, 0x71, 0x48, 0x6f, 0x54)); /* 31000 31500 29000 28500 */
	assert_true(settings_number(s, "current_threshold_1_A") == 100);
	assert_true(settings_number(s, "current_threshold_2_A") == 150);
	assert_true(settings_number(s, "current_threshold_3_A") == -100);
	assert_true(settings_number(s, "current_threshold_4_A") == -150);
	told(&dev, 0x5f, REPLY(0x5f, 0x0d, 0x48, 0x00, 0x14));
	assert_true(settings_number(s, "balance_start_V") == 3.4);
	assert_true(settings_number(s, "balance_trigger_V") == 0.02);
	told(&dev, 0x60, REPLY(0x60, 0x01, 0x2c, 0x01, 0x4d));
	assert_true(settings_number(s, "short_circuit_A") == 300);
	assert_true(settings_number(s, "shunt_mOhm") == 0.333);
	told(&dev, 0x61, REPLY(0x61, 22, 12, 13, 21, 29, 39, 1, 0x2c));
	assert_string_equal(settings_find(s, "clock")->text, "2022-12-13 21:29:39");
	device_free(&dev);
}

static void thresholds_of_unknown_layout_are_shown_as_they_are(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	told(&dev, 0x5c, REPLY(0x5c, 1, 2, 3, 4, 5, 6, 7, 8));
	told(&dev, 0x5d, REPLY(0x5d, 0xff));
	told(&dev, 0x5e, REPLY(0x5e, 0xa5));
	told(&dev, 0xd8, REPLY(0xd8, 0));
	assert_string_equal(settings_find(&dev.settings, "temperature_thresholds_raw")->text, "0102030405060708");
	assert_string_equal(settings_find(&dev.settings, "soc_thresholds_raw")->text, "ff00000000000000");
	assert_string_equal(settings_find(&dev.settings, "difference_thresholds_raw")->text, "a500000000000000");
	assert_string_equal(settings_find(&dev.settings, "failures_raw")->text, "0000000000000000");
	device_free(&dev);
}

static void a_clock_that_is_none_is_not_shown(void **unused)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);

	(void)unused;
	told(&dev, 0x61, REPLY(0x61, 0));
	told(&dev, 0x61, REPLY(0x61, 22, 12, 13, 24, 0, 0));
	told(&dev, 0x61, REPLY(0x61, 22, 12, 13, 0, 60, 0));
	told(&dev, 0x61, REPLY(0x61, 22, 12, 13, 0, 0, 60));
	assert_null(settings_find(&dev.settings, "clock"));
	told(&dev, 0x61, REPLY(0x61, 22, 12, 13, 23, 59, 59));
	assert_string_equal(settings_find(&dev.settings, "clock")->text, "2022-12-13 23:59:59");
	device_free(&dev);
}

/* ---- detection's judgement ---- */

static bool plausible(uint16_t tenth_V, uint8_t cells, uint8_t charger, uint8_t load, uint8_t state)
{
	struct device dev = fresh_device("daly-uart", 1, HOST_40);
	const char *why = NULL;

	told(&dev, 0x94, REPLY(0x94, cells, 1, charger, load));
	assert_false(dev.protocol->plausible(&dev, &why)); /* one reply is not enough */
	assert_non_null(why);
	told(&dev, 0x90, REPLY(0x90, (uint8_t)(tenth_V >> 8), (uint8_t)tenth_V, 0, 0, 0x75, 0x30, 0, 0));
	told(&dev, 0x93, REPLY(0x93, state, 1, 1));
	bool is = dev.protocol->plausible(&dev, &why);

	device_free(&dev);
	return is;
}

static void a_battery_is_plausible_and_nonsense_is_not(void **unused)
{
	(void)unused;
	assert_true(plausible(528, 16, 0, 0, 0));
	assert_true(plausible(240, 16, 1, 1, 2));
	assert_false(plausible(2160, 48, 1, 1, 1)); /* 216 V */
	assert_true(plausible(1500, 48, 1, 1, 1));
	assert_false(plausible(239, 16, 0, 0, 0)); /* below 1.5 V a cell */
	assert_true(plausible(720, 16, 0, 0, 0));
	assert_false(plausible(721, 16, 0, 0, 0)); /* above 4.5 V a cell */
	assert_false(plausible(0, 16, 0, 0, 0));
	assert_false(plausible(528, 16, 2, 0, 0)); /* no switch */
	assert_false(plausible(528, 16, 0, 2, 0));
	assert_false(plausible(528, 16, 0, 0, 3)); /* no state */
}

/* ---- commands ---- */

/* A board that the tests play. */
struct daly {
	uint8_t charge, discharge; /* the MOS */
	uint16_t soc;		   /* 0.1 % */
	uint8_t alarms[7];
	bool held_off;	/* a protection keeps the MOS off */
	bool stuck;	/* acknowledges and does nothing */
	bool opposite;	/* acknowledges the opposite */
	bool mute;	/* does not acknowledge writes */
	bool dead;	/* answers no read */
	unsigned loses; /* swallows so many writes first */
	unsigned slow;	/* so many read-backs show the old state */
	uint8_t pending_charge, pending_discharge;
	uint16_t pending_soc;
	uint8_t clock[6];
};

static void settle_board(struct daly *b)
{
	if (b->slow) {
		b->slow--;
		return;
	}
	b->charge = b->pending_charge;
	b->discharge = b->pending_discharge;
	b->soc = b->pending_soc;
}

static size_t daly(void *ctx, struct bytes request, uint8_t *rx)
{
	struct daly *b = ctx;
	uint8_t cmd = u8_at(request, 2), data[8] = {0};
	bool write = cmd == 0x21 || cmd == 0xd9 || cmd == 0xda;

	assert_int_equal(request.n, 13);
	if (write && b->loses) {
		b->loses--;
		return 0;
	}
	if (write && !b->stuck && !b->opposite) {
		if (cmd == 0xda)
			b->pending_charge = !b->held_off && u8_at(request, 4);
		else if (cmd == 0xd9)
			b->pending_discharge = !b->held_off && u8_at(request, 4);
		else
			b->pending_soc = u16be_at(request, 10);
		if (cmd == 0x21)
			memcpy(b->clock, request.p + 4, 6);
	}
	if (write ? b->mute : b->dead)
		return 0;
	if (!write)
		settle_board(b);
	switch (cmd) {
	case 0x90:
		put_u16be(data, 528);
		put_u16be(data + 4, 30000);
		put_u16be(data + 6, b->soc);
		break;
	case 0x93:
		data[1] = b->charge;
		data[2] = b->discharge;
		put_u32be(data + 4, b->soc * 280u);
		break;
	case 0x98:
		memcpy(data, b->alarms, sizeof(b->alarms));
		break;
	case 0xd9:
	case 0xda:
		data[0] = b->opposite ? !u8_at(request, 4) : u8_at(request, 4);
		memset(data + 1, 0x0d, 7); /* junk */
		break;
	}
	fill(rx, 1, cmd, data);
	return 13;
}

static struct daly normal(void)
{
	return (struct daly){.charge = 1,
			     .discharge = 1,
			     .soc = 950,
			     .pending_charge = 1,
			     .pending_discharge = 1,
			     .pending_soc = 950};
}

static struct act command(struct daly *b, enum command_kind kind, double value)
{
	struct device dev = board_of(16, 1);
	struct command c = {.kind = kind, .value = value};
	struct act a = act(&dev, &c, daly, b);

	device_free(&dev);
	return a;
}

static void charge_off_is_sent_and_read_back(void **unused)
{
	struct daly b = normal();
	struct act a = command(&b, COMMAND_CHARGE, 0);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "charge MOS reads back off");
	assert_string_equal(a.writes, "a540da080000000000000000c7");
	assert_string_equal(a.last, "a5409308000000000000000080");
	assert_int_equal(b.charge, 0);
	assert_int_equal(b.discharge, 1);
}

static void discharge_on_is_sent_and_read_back_though_the_board_takes_its_time(void **unused)
{
	struct daly b = normal();

	(void)unused;
	b.discharge = b.pending_discharge = 0;
	b.slow = 3;
	struct act a = command(&b, COMMAND_DISCHARGE, 1);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "discharge MOS reads back on");
	assert_string_equal(a.writes, "a540d9080100000000000000c7");
	assert_int_equal(a.requests, 5);
}

static void a_lost_write_is_sent_again(void **unused)
{
	struct daly b = normal();

	(void)unused;
	b.loses = 1;
	struct act a = command(&b, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.writes, "a540da080000000000000000c7 a540da080000000000000000c7");
}

static void without_acknowledgement_the_read_back_decides(void **unused)
{
	struct daly b = normal();

	(void)unused;
	b.mute = true;
	struct act a = command(&b, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "not acknowledged, but the charge MOS reads back off");
	b.mute = b.stuck = true;
	a = command(&b, COMMAND_CHARGE, 1);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "no acknowledgement, and the charge MOS stays off");
}

static void a_board_that_acknowledges_the_opposite_has_refused(void **unused)
{
	struct daly b = normal();

	(void)unused;
	b.opposite = true;
	struct act a = command(&b, COMMAND_DISCHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.outcome.say, "the board acknowledges the opposite");
	assert_int_equal(b.discharge, 1);
}

static void a_switch_that_does_not_follow_is_not_confirmed(void **unused)
{
	struct daly b = normal();

	(void)unused;
	b.stuck = true;
	struct act a = command(&b, COMMAND_DISCHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "acknowledged, but the discharge MOS reads back on");
	assert_in_range(a.waited_ms, 1500, 2500); /* two seconds are what a board may take */
}

static void a_mos_that_a_protection_holds_off_is_named_so(void **unused)
{
	struct daly b = normal();

	(void)unused;
	b.charge = b.pending_charge = 0;
	b.held_off = true;
	b.alarms[0] = 0x02; /* cell voltage high, level 2 */
	struct act a = command(&b, COMMAND_CHARGE, 1);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say,
			    "acknowledged, but the charge MOS stays off: a protection holds it (see Alarms)");
	b.alarms[0] = 0x01; /* a warning holds nothing */
	a = command(&b, COMMAND_CHARGE, 1);
	assert_string_equal(a.outcome.say, "acknowledged, but the charge MOS reads back off");
	b.alarms[0] = 0;
	b.alarms[6] = 0x08; /* too low to be charged at all */
	a = command(&b, COMMAND_CHARGE, 1);
	assert_non_null(strstr(a.outcome.say, "a protection holds it"));
	b.alarms[6] = 0;
	b.alarms[2] = 0x10; /* a warning with a name of its own */
	a = command(&b, COMMAND_CHARGE, 1);
	assert_string_equal(a.outcome.say, "acknowledged, but the charge MOS reads back off");
}

static void a_board_that_says_nothing_more_is_not_confirmed(void **unused)
{
	struct daly b = normal();

	(void)unused;
	b.dead = true;
	struct act a = command(&b, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the board does not answer the read-back");
	a = command(&b, COMMAND_SOC, 50);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the board does not answer the read-back");
}

static void the_soc_is_set_together_with_the_true_time(void **unused)
{
	struct daly b = normal();
	struct act a = command(&b, COMMAND_SOC, 30);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.writes, "a5402108160c0d151d27012cc3");
	assert_string_equal(a.outcome.say, "SoC reads back 30 %, remaining capacity 84 Ah");
	assert_memory_equal(b.clock, ((uint8_t[]){22, 12, 13, 21, 29, 39}), 6);
	assert_int_equal(b.soc, 300);
}

static void the_soc_keeps_its_decimal(void **unused)
{
	struct daly b = normal();
	struct act a = command(&b, COMMAND_SOC, 99.7);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(b.soc, 997);
}

static void the_soc_write_needs_no_acknowledgement(void **unused)
{
	struct daly b = normal();

	(void)unused;
	b.mute = true;
	b.slow = 4;
	struct act a = command(&b, COMMAND_SOC, 30);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "SoC reads back 30 %, remaining capacity 84 Ah");
}

static void a_soc_that_does_not_move_is_not_confirmed(void **unused)
{
	struct daly b = normal();

	(void)unused;
	b.stuck = true;
	struct act a = command(&b, COMMAND_SOC, 30);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the SoC reads back 95 %");
	assert_in_range(a.waited_ms, 2000, 3000);
}

static void acknowledgements_of_a_recording_are_judged_by_what_was_sent(void **unused)
{
	struct device dev = board_of(16, 1);

	(void)unused;
	assert_int_equal(play_tx(&dev, "a540d9080100000000000000c7", RX(REPLY(0xd9, 1, 13, 19)), NULL),
			 EXCHANGE_ANSWERED);
	assert_int_equal(play_tx(&dev, "a540d9080100000000000000c7", RX(REPLY(0xd9, 0, 13, 19)), NULL),
			 EXCHANGE_REFUSED);
	assert_int_equal(play_tx(&dev, "a540da080000000000000000c7", RX(REPLY(0xda, 0, 13, 19)), NULL),
			 EXCHANGE_ANSWERED);
	assert_int_equal(play_tx(&dev, "a540da080000000000000000c7", RX(REPLY(0xda, 1, 13, 19)), NULL),
			 EXCHANGE_REFUSED);
	/* no reply to a SoC write is known: any will do */
	assert_int_equal(play_tx(&dev, "a5402108160c0d151d27012cc3", RX(REPLY(0x21, 0)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play_tx(&dev, "a5402108160c0d151d27012cc3", RX(REPLY(0x21, 1)), NULL), EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void a_computer_without_the_time_does_not_set_the_boards_clock(void **unused)
{
	struct device dev = board_of(16, 1);
	struct command c = {.kind = COMMAND_SOC, .value = 50};
	struct procedure p = {.command = &c, .now = {1970, 1, 1, 0, 0, 5}};
	struct next next;

	(void)unused;
	dev.protocol->proceed(&dev, &p, &next);
	assert_int_equal(next.what, NEXT_END);
	assert_int_equal(next.outcome.result, COMMAND_REFUSED);
	device_free(&dev);
}

static void balancing_is_no_command_of_this_line(void **unused)
{
	const struct protocol *p = protocol_by_id("daly-uart");
	struct daly b = normal();
	struct act a = command(&b, COMMAND_BALANCE, 0);

	(void)unused;
	assert_int_equal(p->commands, 1 << COMMAND_SOC | 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE);
	assert_int_equal(p->experimental, 0);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_int_equal(a.requests, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_those_of_the_sheet),
		cmocka_unit_test(there_is_no_request_to_a_board_beyond_16_or_to_another_board_through_host_80),
		cmocka_unit_test(only_commands_are_marked_as_writes),
		cmocka_unit_test(recorded_requests_are_recognised_whatever_fills_their_unused_bytes),
		cmocka_unit_test(what_is_no_request_is_not_recognised),
		cmocka_unit_test(the_reply_of_the_sheet_is_decoded),
		cmocka_unit_test(a_wrong_sum_is_dropped),
		cmocka_unit_test(another_length_byte_is_no_frame),
		cmocka_unit_test(another_board_or_another_command_is_no_answer),
		cmocka_unit_test(a_late_reply_is_passed_over_and_the_right_one_taken),
		cmocka_unit_test(the_echo_of_a_sleeping_board_is_no_answer),
		cmocka_unit_test(an_echo_in_front_of_the_reply_is_no_matter),
		cmocka_unit_test(noise_cuts_and_glue_are_no_matter),
		cmocka_unit_test(a_frame_cut_short_is_no_answer),
		cmocka_unit_test(an_a5_inside_a_broken_frame_does_not_hide_the_next_one),
		cmocka_unit_test(an_a5_inside_the_data_is_data),
		cmocka_unit_test(below_30000_is_charging),
		cmocka_unit_test(an_inverted_board_is_turned_round_with_its_current_alarms),
		cmocka_unit_test(the_second_voltage_is_only_there_where_a_board_fills_it),
		cmocka_unit_test(a_soc_above_100_is_not_believed),
		cmocka_unit_test(bytes_left_over_from_the_reply_before_mean_nothing),
		cmocka_unit_test(switches_state_and_remaining_capacity_come_from_93),
		cmocka_unit_test(a_heartbeat_that_stands_still_for_30_polls_is_told),
		cmocka_unit_test(three_polls_in_which_current_and_state_disagree_give_a_hint),
		cmocka_unit_test(the_hint_judges_the_current_as_it_is_shown),
		cmocka_unit_test(counts_and_contacts_come_from_94),
		cmocka_unit_test(every_reply_tells_its_own_fields_alone),
		cmocka_unit_test(impossible_counts_are_not_believed),
		cmocka_unit_test(sixteen_cells_come_in_six_frames),
		cmocka_unit_test(forty_eight_cells_come_in_sixteen_frames_and_end_at_once),
		cmocka_unit_test(after_two_replies_it_is_known_that_no_further_frames_come),
		cmocka_unit_test(a_board_that_sends_one_frame_too_many_is_heard_out),
		cmocka_unit_test(one_odd_reply_does_not_teach_a_wrong_number),
		cmocka_unit_test(a_board_that_always_sends_sixteen_frames_is_waited_for),
		cmocka_unit_test(frames_may_come_in_any_order_and_twice),
		cmocka_unit_test(a_missing_frame_leaves_the_cells_as_they_were),
		cmocka_unit_test(a_repetition_brings_what_was_missing),
		cmocka_unit_test(a_corrupt_frame_in_the_middle_fails_the_reply),
		cmocka_unit_test(a_corrupt_frame_that_holds_no_cell_is_no_matter),
		cmocka_unit_test(an_index_outside_1_to_16_is_not_believed),
		cmocka_unit_test(without_94_the_empty_places_at_the_end_are_no_cells),
		cmocka_unit_test(frames_of_another_reply_are_not_mixed_in),
		cmocka_unit_test(without_94_the_empty_places_at_the_end_are_no_sensors),
		cmocka_unit_test(only_the_sensors_of_94_are_real_and_0_is_an_absent_one),
		cmocka_unit_test(the_number_of_temperature_frames_is_learnt_too),
		cmocka_unit_test(recorded_replies_are_put_together_as_live_ones),
		cmocka_unit_test(a_board_without_sensors_has_no_temperatures_and_is_not_asked_for_them),
		cmocka_unit_test(extremes_that_the_cells_do_not_bear_out_are_dropped),
		cmocka_unit_test(texts_are_put_together_from_their_frames),
		cmocka_unit_test(the_five_frames_of_the_battery_code_end_at_once),
		cmocka_unit_test(balancing_bits_begin_with_cell_1),
		cmocka_unit_test(balancing_bits_beyond_the_last_cell_mean_nothing),
		cmocka_unit_test(every_alarm_bit_alone_means_what_the_sheet_says),
		cmocka_unit_test(all_alarm_bits_at_once_are_all_told),
		cmocka_unit_test(the_alarms_it_raises_are_those_it_announces),
		cmocka_unit_test(identity_and_capacity),
		cmocka_unit_test(only_what_is_a_date_is_shown_as_one),
		cmocka_unit_test(an_installed_capacity_of_0_is_unknown),
		cmocka_unit_test(thresholds_are_settings),
		cmocka_unit_test(thresholds_of_unknown_layout_are_shown_as_they_are),
		cmocka_unit_test(a_clock_that_is_none_is_not_shown),
		cmocka_unit_test(a_battery_is_plausible_and_nonsense_is_not),
		cmocka_unit_test(charge_off_is_sent_and_read_back),
		cmocka_unit_test(discharge_on_is_sent_and_read_back_though_the_board_takes_its_time),
		cmocka_unit_test(a_lost_write_is_sent_again),
		cmocka_unit_test(without_acknowledgement_the_read_back_decides),
		cmocka_unit_test(a_board_that_acknowledges_the_opposite_has_refused),
		cmocka_unit_test(a_switch_that_does_not_follow_is_not_confirmed),
		cmocka_unit_test(a_mos_that_a_protection_holds_off_is_named_so),
		cmocka_unit_test(a_board_that_says_nothing_more_is_not_confirmed),
		cmocka_unit_test(the_soc_is_set_together_with_the_true_time),
		cmocka_unit_test(the_soc_keeps_its_decimal),
		cmocka_unit_test(the_soc_write_needs_no_acknowledgement),
		cmocka_unit_test(a_soc_that_does_not_move_is_not_confirmed),
		cmocka_unit_test(acknowledgements_of_a_recording_are_judged_by_what_was_sent),
		cmocka_unit_test(a_computer_without_the_time_does_not_set_the_boards_clock),
		cmocka_unit_test(balancing_is_no_command_of_this_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
