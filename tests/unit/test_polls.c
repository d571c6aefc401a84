/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How Daly and JBD boards are found and polled, on a line in simulated time. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/detect.h"
#include "engine/session.h"
#include "vline.h"

static const struct line at_9600 = {9600, 8, 'N', 1};

static struct vline line;
static struct line_stats stats;

/* What the session told. */
static struct {
	unsigned readings, misses, founds;
	uint64_t first_ms, identified_ms;
	struct reading first, last;
} seen;

/* ---- boards ---- */

/* A Daly of 16 cells with 3 sensors. */
static struct {
	uint32_t delay_ms;
	uint8_t boards; /* on the cable, from 1 */
	bool only_host_80;
	bool asleep;	 /* echoes */
	bool all_frames; /* 95 always has 16 */
	bool no_96, no_settings;
	unsigned corrupt_every; /* one frame of 95 in every so many replies; 0: never */
	uint8_t heartbeat;
	unsigned asked[256];
} daly;

static void daly_frame(uint8_t *f, uint8_t board, uint8_t cmd, const uint8_t data[8])
{
	memcpy(f, ((const uint8_t[]){0xa5, board, cmd, 8}), 4);
	memcpy(f + 4, data, 8);
	f[12] = 0;
	for (int i = 0; i < 12; i++)
		f[12] = (uint8_t)(f[12] + f[i]);
}

static size_t daly_cells(uint8_t *rx, uint8_t board)
{
	unsigned frames = daly.all_frames ? 16 : 6;

	for (unsigned k = 0; k < frames; k++) {
		uint8_t data[8] = {(uint8_t)(k + 1)};

		for (unsigned i = 0; i < 3 && 3 * k + i < 16; i++)
			put_u16be(data + 1 + 2 * i, 3300);
		data[7] = 0xa5;
		daly_frame(rx + 13 * k, board, 0x95, data);
	}
	if (daly.corrupt_every && daly.asked[0x95] % daly.corrupt_every == 0)
		rx[13 * 2 + 5] ^= 0x40;
	return 13 * frames;
}

static size_t daly_answer(uint8_t *rx, uint8_t board, uint8_t cmd)
{
	uint8_t data[8] = {0};
	unsigned frames = 1;

	switch (cmd) {
	case 0x90:
		memcpy(data, ((const uint8_t[]){0x02, 0x10, 0, 0, 0x75, 0x30, 0x01, 0xf4}), 8);
		break;
	case 0x92:
		memcpy(data, ((const uint8_t[]){66, 1, 60, 2}), 4);
		break;
	case 0x93:
		memcpy(data, ((const uint8_t[]){0, 1, 1, daly.heartbeat++, 0, 0, 0x4e, 0x20}), 8);
		break;
	case 0x94:
		data[0] = 16;
		data[1] = 3;
		break;
	case 0x95:
		return daly_cells(rx, board);
	case 0x96:
		if (daly.no_96)
			return 0;
		memcpy(data, ((const uint8_t[]){1, 66, 60, 65}), 4);
		break;
	case 0x57:
		frames = 5;
		break;
	case 0x62:
	case 0x63:
		frames = 2;
		break;
	default:
		if (daly.no_settings && cmd >= 0x59 && cmd <= 0x63)
			return 0;
	}
	for (unsigned k = 0; k < frames; k++) {
		if (frames > 1)
			memcpy(data, ((const uint8_t[]){(uint8_t)(k + 1), 'A', 'B', 'C', 'D', 'E', 'F', 'G'}), 8);
		daly_frame(rx + 13 * k, board, cmd, data);
	}
	return 13 * frames;
}

static void on_daly(void *ctx, struct vline *v, struct bytes r)
{
	uint8_t rx[16 * 13], host = u8_at(r, 1), cmd = u8_at(r, 2);
	uint8_t board = host == 0x80 ? 1 : (uint8_t)(host - 0x3f);

	(void)ctx;
	if (r.n != 13 || u8_at(r, 0) != 0xa5)
		return;
	if (daly.asleep) {
		vline_reply_bytes(v, r, 2);
		return;
	}
	if (board < 1 || board > daly.boards || daly.only_host_80 != (host == 0x80))
		return;
	daly.asked[cmd]++;
	vline_reply_bytes(v, (struct bytes){rx, daly_answer(rx, board, cmd)}, daly.delay_ms);
}

static void start_daly(void)
{
	memset(&daly, 0, sizeof(daly));
	daly.delay_ms = 65;
	daly.boards = 1;
}

/* A JBD of 4 cells that says nothing to what it does not know. */
static unsigned jbd_asked[256];

static void on_jbd(void *ctx, struct vline *v, struct bytes r)
{
	(void)ctx;
	if (u8_at(r, 0) != 0xdd || u8_at(r, 1) != 0xa5)
		return;
	jbd_asked[u8_at(r, 2)]++;
	if (u8_at(r, 2) == 0x03)
		vline_reply(v, "dd03001905300000138827100003000000000000000020320304010ba5fdd377", 65);
	if (u8_at(r, 2) == 0x04)
		vline_reply(v, "dd0400080cf80cf80cf80cf8fbe877", 65);
	if (u8_at(r, 2) == 0x05)
		vline_reply(v, "dd05000454455354febc77", 65);
}

/* ---- detection ---- */

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

static void fresh_line(vline_device device)
{
	memset(&line, 0, sizeof(line));
	memset(&stats, 0, sizeof(stats));
	line.now_ms = 1;
	line.line = line.device_line = at_9600;
	line.connected = true;
	line.device = device;
}

static bool turn(uint64_t at, uint64_t until_ms)
{
	if (vline_next(&line) < at)
		at = vline_next(&line);
	if (at > until_ms) {
		line.now_ms = until_ms;
		return false;
	}
	if (at > line.now_ms)
		line.now_ms = at;
	return true;
}

/* The device that is found, its protocol NULL when none is. */
static struct device detect(vline_device board, const uint8_t *addresses, unsigned count, uint64_t until_ms)
{
	struct detect_io io = {send_on_line, set_line, NULL};
	struct device dev = {.protocol = NULL};
	struct vline_event e;
	bool listening;

	fresh_line(board);
	struct detect *d = detect_new(protocols_all(), NULL, addresses, count, NULL, io, &stats);

	assert_non_null(d);
	detect_start(d, line.now_ms);
	while (detect_state(d) != DETECT_FOUND && turn(detect_deadline(d), until_ms)) {
		while (vline_take(&line, &e))
			detect_receive(d, (struct bytes){e.bytes, e.n}, line.now_ms);
		detect_tick(d, line.now_ms);
	}
	if (detect_state(d) == DETECT_FOUND)
		dev = detect_take(d, &listening);
	detect_free(d);
	return dev;
}

static void a_daly_is_found_within_600_ms_of_line_time(void **unused)
{
	(void)unused;
	start_daly();
	daly.delay_ms = 80; /* the longest of the sheet */
	struct device dev = detect(on_daly, NULL, 0, 60000);
	assert_non_null(dev.protocol);
	assert_string_equal(dev.protocol->id, "daly-uart");
	assert_int_equal(dev.address, 1);
	assert_int_equal(dev.dialect, 0);
	assert_in_range(line.now_ms, 0, 600);
	device_free(&dev);
}

static void a_daly_that_takes_its_time_is_found_at_its_own_address(void **unused)
{
	(void)unused;
	start_daly();
	daly.delay_ms = 180;
	struct device dev = detect(on_daly, NULL, 0, 10000);
	assert_non_null(dev.protocol);
	assert_string_equal(dev.protocol->id, "daly-uart");
	assert_int_equal(dev.dialect, 0);
	assert_in_range(line.now_ms, 0, 2500);
	device_free(&dev);
}

static void a_daly_that_only_the_dongles_address_reaches_is_found(void **unused)
{
	(void)unused;
	start_daly();
	daly.only_host_80 = true;
	struct device dev = detect(on_daly, NULL, 0, 10000);
	assert_non_null(dev.protocol);
	assert_int_equal(dev.dialect, 1);
	device_free(&dev);
}

static void a_given_address_is_the_only_one_that_is_asked(void **unused)
{
	static const uint8_t addresses[] = {2};

	(void)unused;
	start_daly();
	assert_null(detect(on_daly, addresses, 1, 10000).protocol);
	daly.boards = 2;
	struct device dev = detect(on_daly, addresses, 1, 10000);
	assert_non_null(dev.protocol);
	assert_int_equal(dev.address, 2);
	device_free(&dev);
}

static void a_sleeping_daly_that_echoes_is_not_taken_for_one(void **unused)
{
	(void)unused;
	start_daly();
	daly.asleep = true;
	assert_null(detect(on_daly, NULL, 0, 20000).protocol);
}

/* ---- polls ---- */

static void on_found(void *ctx, struct session_pack *p, uint64_t now)
{
	(void)ctx;
	(void)p;
	(void)now;
	seen.founds++;
}

static void on_reading(void *ctx, struct session_pack *p, uint64_t now)
{
	(void)ctx;
	if (!seen.readings++) {
		seen.first = p->dev.reading;
		seen.first_ms = now;
	}
	if (p->identified && !seen.identified_ms)
		seen.identified_ms = now;
	seen.last = p->dev.reading;
}

static void on_missed(void *ctx, struct session_pack *p, uint64_t now)
{
	(void)ctx;
	(void)p;
	(void)now;
	seen.misses++;
}

static void run(struct session *s, uint64_t ms)
{
	uint64_t until = line.now_ms + ms;
	struct vline_event e;

	while (turn(session_deadline(s), until)) {
		while (vline_take(&line, &e))
			session_receive(s, (struct bytes){e.bytes, e.n}, line.now_ms);
		session_tick(s, line.now_ms);
		line.log[0] = 0;
	}
}

/* As detection hands a board over. */
static struct session *start(vline_device board)
{
	struct session_io io = {send_on_line, on_found, on_reading, on_missed, NULL, NULL};
	struct device dev = detect(board, NULL, 0, 60000);

	assert_non_null(dev.protocol);
	memset(&seen, 0, sizeof(seen));
	memset(&stats, 0, sizeof(stats));
	memset(jbd_asked, 0, sizeof(jbd_asked));
	memset(daly.asked, 0, sizeof(daly.asked));
	line.now_ms = 1;
	struct session *s = session_new(dev, &at_9600, false, 1000, NULL, 0, io, &stats);
	assert_non_null(s);
	session_start(s, line.now_ms);
	return s;
}

static void the_first_reading_of_a_daly_is_whole_and_comes_fast(void **unused)
{
	start_daly();
	struct session *s = start(on_daly);

	(void)unused;
	run(s, 5000);
	const struct reading *r = &seen.first;
	assert_in_range(seen.first_ms, 1, 1000);
	assert_true(reading_knows(r, Q_VOLTAGE_V) && reading_knows(r, Q_SOC_PCT) && reading_knows(r, Q_CELL_COUNT));
	assert_int_equal(r->cell_V.count, 16);
	assert_true(r->alarms.known);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	assert_true(reading_get(r, Q_TEMP_MAX_C) == 26);
	assert_true(reading_get(r, Q_TEMP_MIN_C) == 20);
	session_free(s);
}

static void a_daly_is_read_every_second_as_far_as_the_wire_allows(void **unused)
{
	start_daly();
	struct session *s = start(on_daly);

	(void)unused;
	run(s, 120000);
	assert_int_equal(seen.misses, 0);
	assert_int_equal(stats.foreign_frames + stats.late_frames + stats.bad_frames, 0);
	assert_in_range(seen.readings, 112, 122);
	/* what changes slowly is asked in turn, what never changes once */
	assert_in_range(daly.asked[0x96], 30, 45);
	assert_in_range(daly.asked[0x97], 45, 65);
	assert_in_range(daly.asked[0x94], 8, 14);
	assert_in_range(daly.asked[0x92], 1, 4); /* until 96 has answered */
	assert_int_equal(daly.asked[0x50], 1);
	assert_int_equal(daly.asked[0x57], 1);
	assert_int_equal(daly.asked[0x59], 1);
	assert_in_range(seen.identified_ms, 1, 8000); /* other boards are looked for meanwhile */
	assert_string_equal(seen.last.text[T_SERIAL_NUMBER], "ABCDEFGABCDEFGABCDEFGABCDEFGABCDEFG");
	assert_int_equal(seen.last.temperatures.count, 3);
	assert_true(seen.last.balancing_known);
	session_free(s);
}

static void sixteen_frames_where_six_would_do_never_meet_the_next_request(void **unused)
{
	start_daly();
	daly.all_frames = true;
	struct session *s = start(on_daly);

	(void)unused;
	run(s, 60000);
	assert_int_equal(seen.misses, 0);
	assert_int_equal(stats.foreign_frames + stats.late_frames + stats.bad_frames, 0);
	assert_in_range(seen.readings, 50, 62);
	assert_int_equal(seen.last.cell_V.count, 16);
	session_free(s);
}

static void corrupt_cell_frames_cost_a_repetition_and_no_reading(void **unused)
{
	start_daly();
	daly.corrupt_every = 5;
	struct session *s = start(on_daly);

	(void)unused;
	run(s, 60000);
	assert_int_equal(seen.misses, 0);
	assert_in_range(seen.readings, 48, 60);
	assert_true(stats.bad_frames > 5);
	for (unsigned i = 0; i < 16; i++)
		assert_true(seen.last.cell_V.value[i] == 3.3);
	session_free(s);
}

static void a_daly_without_96_is_still_asked_for_its_temperature_range(void **unused)
{
	start_daly();
	daly.no_96 = daly.no_settings = true;
	struct session *s = start(on_daly);

	(void)unused;
	run(s, 60000);
	assert_int_equal(seen.misses, 0);
	assert_true(seen.readings > 40);
	assert_in_range(daly.asked[0x92], 20, 60);
	assert_in_range(daly.asked[0x96], 2, 5);
	assert_true(seen.identified_ms > 0);
	session_free(s);
}

static void two_dalys_on_a_cable_are_both_read(void **unused)
{
	start_daly();
	daly.boards = 2;
	struct session *s = start(on_daly);

	(void)unused;
	run(s, 60000);
	assert_int_equal(seen.founds, 2);
	assert_int_equal(session_packs(s), 2);
	assert_int_equal(session_pack(s, 1)->dev.address, 2);
	assert_int_equal(session_pack(s, 1)->dev.reading.cell_V.count, 16);
	assert_int_equal(seen.misses, 0);
	session_free(s);
}

static void a_jbd_that_knows_no_parameter_block_is_identified_all_the_same(void **unused)
{
	struct session *s = start(on_jbd);

	(void)unused;
	run(s, 60000);
	assert_in_range(seen.first_ms, 1, 400);
	assert_in_range(seen.identified_ms, 1, 10000);
	assert_int_equal(seen.misses, 0);
	assert_true(seen.readings > 50);
	assert_in_range(jbd_asked[0xfa], 1, 3);
	assert_string_equal(seen.last.text[T_MODEL], "TEST");
	session_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_daly_is_found_within_600_ms_of_line_time),
		cmocka_unit_test(a_daly_that_takes_its_time_is_found_at_its_own_address),
		cmocka_unit_test(a_daly_that_only_the_dongles_address_reaches_is_found),
		cmocka_unit_test(a_given_address_is_the_only_one_that_is_asked),
		cmocka_unit_test(a_sleeping_daly_that_echoes_is_not_taken_for_one),
		cmocka_unit_test(the_first_reading_of_a_daly_is_whole_and_comes_fast),
		cmocka_unit_test(a_daly_is_read_every_second_as_far_as_the_wire_allows),
		cmocka_unit_test(sixteen_frames_where_six_would_do_never_meet_the_next_request),
		cmocka_unit_test(corrupt_cell_frames_cost_a_repetition_and_no_reading),
		cmocka_unit_test(a_daly_without_96_is_still_asked_for_its_temperature_range),
		cmocka_unit_test(two_dalys_on_a_cable_are_both_read),
		cmocka_unit_test(a_jbd_that_knows_no_parameter_block_is_identified_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
