/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Batteries that speak by themselves on CAN, through sessions and detection in simulated time: when a reading is out,
 * what a hole or a silence makes of it, what is sent to them, and that noise is never a battery. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/listen.h"
#include "engine/session.h"
#include "play.h"

/* ---- a bus in simulated time ---- */

static struct {
	struct session *session;
	struct line_stats stats;
	uint64_t now_ms;
	unsigned readings, misses, founds, sent;
	unsigned readings_of[SESSION_MAX_PACKS];
	uint64_t missed_ms, reading_ms; /* when it was last so */
	char last_sent[CAN_TEXT_SIZE];
	unsigned commands;
	struct command_outcome outcome;
	struct reading reading;
	double lowest_V[SESSION_MAX_PACKS], highest_V[SESSION_MAX_PACKS];
} bus;

static void on_send(void *ctx, const struct request *request)
{
	struct can_message m;

	(void)ctx;
	assert_true(can_read((struct bytes){request->tx, request->n}, &m));
	can_text(&m, bus.last_sent);
	bus.sent++;
}

static void on_found(void *ctx, struct session_pack *p, uint64_t now)
{
	(void)ctx;
	(void)p;
	(void)now;
	bus.founds++;
}

static void on_reading(void *ctx, struct session_pack *p, uint64_t now)
{
	double V = reading_get(&p->dev.reading, Q_VOLTAGE_V);

	(void)ctx;
	bus.readings++;
	bus.reading_ms = now;
	bus.reading = p->dev.reading;
	if (!bus.readings_of[p->index]++)
		bus.lowest_V[p->index] = bus.highest_V[p->index] = V;
	bus.lowest_V[p->index] = fmin(V, bus.lowest_V[p->index]);
	bus.highest_V[p->index] = fmax(V, bus.highest_V[p->index]);
}

static void on_missed(void *ctx, struct session_pack *p, uint64_t now)
{
	(void)ctx;
	(void)p;
	if (!bus.misses++)
		bus.missed_ms = now;
}

static void on_command(void *ctx, struct session_pack *p, const struct command *c, const struct command_outcome *o,
		       uint64_t now)
{
	(void)ctx;
	(void)p;
	(void)c;
	(void)now;
	bus.commands++;
	bus.outcome = *o;
}

static struct bytes frame_of(const char *text, uint8_t b[CAN_BYTES])
{
	struct can_message m;

	assert_true(can_parse(text, &m));
	can_write(&m, b);
	return (struct bytes){b, CAN_BYTES};
}

static void carry(const char *text)
{
	uint8_t b[CAN_BYTES];

	session_receive(bus.session, frame_of(text, b), bus.now_ms);
	session_tick(bus.session, bus.now_ms);
}

static void pass(uint64_t ms)
{
	uint64_t until = bus.now_ms + ms;

	while (session_deadline(bus.session) <= until) {
		if (session_deadline(bus.session) > bus.now_ms)
			bus.now_ms = session_deadline(bus.session);
		session_tick(bus.session, bus.now_ms);
		if (session_deadline(bus.session) <= bus.now_ms)
			break;
	}
	bus.now_ms = until;
	session_tick(bus.session, bus.now_ms);
}

/* What detection makes of these frames (NULL ends them), told over and over. */
static struct device detected(const struct protocol *p, const char *const *frames,
			      const struct protocol_options *options)
{
	struct device found = {.protocol = NULL};
	struct listen l;

	listen_init(&l, p, options);
	for (unsigned round = 0; round < 4 && !found.protocol; round++)
		for (unsigned i = 0; frames[i] && !found.protocol; i++) {
			uint8_t b[CAN_BYTES];
			struct request as;

			if (p->overhear(NULL, frame_of(frames[i], b), &as) == HEARD_ANSWER)
				listen_hears(&l, &as, (struct bytes){b, CAN_BYTES}, bus.now_ms + round, &found);
		}
	listen_free(&l);
	assert_non_null(found.protocol);
	return found;
}

/* Only the pack at this address is asked for; NULL: all of them. */
static void start_at(const char *protocol, const char *const *frames, const struct protocol_options *options,
		     uint32_t poll_ms, const uint8_t *address)
{
	const struct protocol *p = protocol_by_id(protocol);
	struct session_io io = {on_send, on_found, on_reading, on_missed, on_command, NULL};

	memset(&bus, 0, sizeof(bus));
	bus.now_ms = 1000;
	bus.session = session_new(detected(p, frames, options), &p->lines[0], false, poll_ms, address, address != NULL,
				  io, &bus.stats);
	assert_non_null(bus.session);
	session_start(bus.session, bus.now_ms);
	assert_true(session_streams(bus.session));
}

static void start(const char *protocol, const char *const *frames, const struct protocol_options *options,
		  uint32_t poll_ms)
{
	start_at(protocol, frames, options, poll_ms, NULL);
}

#define FRAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- jk-can: a board of 8 cells, 27.2 V ---- */

#define JK_STATUS   "2F4#10019D1050000000"
#define JK_EXTREMES "4F4#480D01480D020000"
#define JK_CELLS_1  "18E028F4#480D480D480D480D"
#define JK_CELLS_2  "18E128F4#480D480D480D480D"

static void start_jk(uint32_t poll_ms)
{
	start("jk-can", FRAMES(JK_STATUS, JK_EXTREMES, JK_CELLS_1, JK_CELLS_2), NULL, poll_ms);
}

/* So many rounds of a second: status and extremes ten times, cells once; the second four may be lost. */
static void jk_speaks(unsigned rounds, bool second_four)
{
	for (unsigned i = 0; i < rounds * 10; i++) {
		carry(JK_STATUS);
		carry(JK_EXTREMES);
		if (i % 10 == 2)
			carry(JK_CELLS_1);
		if (i % 10 == 3 && second_four)
			carry(JK_CELLS_2);
		pass(100);
	}
}

static void a_reading_is_out_once_an_interval_and_not_with_every_frame(void **unused)
{
	(void)unused;
	start_jk(2000);
	unsigned first = bus.readings;
	jk_speaks(20, true);
	assert_in_range(bus.readings - first, 9, 11);
	assert_true(reading_get(&bus.reading, Q_VOLTAGE_V) == 27.2);
	assert_int_equal(bus.misses, 0);
	assert_int_equal(bus.sent, 0);
	session_free(bus.session);
}

static void who_reads_rarely_misses_nobody_who_speaks(void **unused)
{
	(void)unused;
	start_jk(10000);
	unsigned first = bus.readings;
	jk_speaks(60, true);
	assert_int_equal(bus.misses, 0);
	assert_in_range(bus.readings - first, 5, 6);
	pass(20000);
	assert_true(bus.misses > 0);
	session_free(bus.session);
}

static void a_cycle_with_a_lost_cell_frame_is_no_reading(void **unused)
{
	(void)unused;
	start_jk(500);
	jk_speaks(3, true);
	unsigned before = bus.readings;
	jk_speaks(1, false);
	assert_int_equal(bus.readings, before);
	jk_speaks(3, true);
	assert_true(bus.readings >= before + 3);
	assert_int_equal(bus.reading.cell_V.count, 8);
	session_free(bus.session);
}

static void cells_that_are_gone_for_good_are_unknown_and_the_others_go_on(void **unused)
{
	(void)unused;
	start_jk(500);
	jk_speaks(3, true);
	jk_speaks(10, false);
	assert_true(series_knows(&bus.reading.cell_V, 3));
	assert_false(series_knows(&bus.reading.cell_V, 4));
	assert_true(reading_get(&bus.reading, Q_VOLTAGE_V) == 27.2); /* of the status frame */
	assert_true(bus.now_ms - bus.reading_ms < 1500);
	session_free(bus.session);
}

static void a_pack_that_falls_silent_is_missed_in_its_time_and_comes_back(void **unused)
{
	const uint32_t unheard_ms = protocol_by_id("jk-can")->timing.unheard_ms;

	(void)unused;
	start_jk(500);
	jk_speaks(3, true);
	assert_int_equal(bus.misses, 0);
	uint64_t last = bus.reading_ms;
	pass(60000);
	assert_in_range(bus.missed_ms - last, unheard_ms, unheard_ms + 600);
	assert_true(session_pack(bus.session, 0)->lost);
	assert_true(session_silent_since(bus.session) > 0);
	unsigned before = bus.readings;
	jk_speaks(5, true);
	assert_true(bus.readings > before);
	assert_false(session_pack(bus.session, 0)->lost);
	assert_int_equal(session_silent_since(bus.session), 0);
	session_free(bus.session);
}

static void nothing_of_what_was_said_before_a_silence_is_shown_after_it(void **unused)
{
	(void)unused;
	start_jk(500);
	carry("18F428F4#80510100000063"); /* health 99 % */
	jk_speaks(2, true);
	assert_true(reading_get(&bus.reading, Q_SOH_PCT) == 99);
	pass(60000);
	jk_speaks(3, true);
	assert_false(reading_knows(&bus.reading, Q_SOH_PCT));
	session_free(bus.session);
}

static void a_pack_at_another_address_is_not_told_of_but_speaks_against_commands(void **unused)
{
	static const uint8_t address = 0;
	const struct command off = {.kind = COMMAND_CHARGE, .value = 0, .experimental = true};
	const struct wall_time now = {2026, 5, 1, 12, 0, 0};

	(void)unused;
	start_at("jk-can", FRAMES(JK_STATUS, JK_EXTREMES, JK_CELLS_1, JK_CELLS_2), NULL, 1000, &address);
	for (unsigned i = 0; i < 40; i++) {
		jk_speaks(1, true);
		carry("2F6#8500A00F64000000");
		carry("4F6#000D01000D040000");
	}
	assert_int_equal(session_packs(bus.session), 2);
	assert_int_equal(session_wanted(bus.session), 1);
	assert_int_equal(bus.founds, 1);
	assert_int_equal(bus.readings_of[1], 0);
	assert_int_equal(session_command(bus.session, 0, &off, &now), 0);
	jk_speaks(1, true);
	assert_int_equal(bus.commands, 1);
	assert_int_equal(bus.outcome.result, COMMAND_REFUSED);
	assert_int_equal(bus.sent, 0);
	session_free(bus.session);
}

static void packs_that_speak_at_once_do_not_mix(void **unused)
{
	(void)unused;
	start_jk(500);
	for (unsigned i = 0; i < 100; i++) {
		carry(JK_STATUS);
		carry("2F5#8600A00F64000000"); /* 13.4 V */
		carry("4F5#160D01160D020000");
		carry(JK_EXTREMES);
		if (i % 10 == 2) {
			carry(JK_CELLS_1);
			carry("18E028F5#160D160D160D160D");
			carry(JK_CELLS_2);
		}
		pass(100);
	}
	assert_int_equal(session_packs(bus.session), 2);
	assert_int_equal(bus.founds, 2);
	assert_true(bus.readings_of[0] > 5 && bus.readings_of[1] > 5);
	assert_true(bus.lowest_V[0] == 27.2 && bus.highest_V[0] == 27.2);
	assert_true(bus.lowest_V[1] >= 13.3 && bus.highest_V[1] <= 13.5);
	assert_int_equal(session_pack(bus.session, 0)->dev.packs, 2);
	session_free(bus.session);
}

/* ---- rv-c-can ---- */

#define RVC_S1 "19FFFD8D#01780A0120013577"
#define RVC_S2 "19FFFC8D#01783C25AEF40001"
#define RVC_S4 "19FEC98D#0178072001709403"

static void rvc_speaks(unsigned seconds)
{
	for (unsigned i = 0; i < seconds * 2; i++) {
		carry(RVC_S1);
		carry(RVC_S2);
		pass(500);
	}
}

static void a_battery_that_no_longer_asks_for_a_current_gets_none(void **unused)
{
	(void)unused;
	start("rv-c-can", FRAMES(RVC_S1, RVC_S4, RVC_S2), NULL, 1000);
	carry(RVC_S4);
	rvc_speaks(58);
	assert_true(reading_get(&bus.reading, Q_BMS_CCL_A) == 300);
	rvc_speaks(5);
	assert_true(reading_get(&bus.reading, Q_BMS_CCL_A) == 0);
	assert_int_equal(reading_flag(&bus.reading, F_CHARGE_ALLOWED), OFF);
	assert_true(reading_get(&bus.reading, Q_VOLTAGE_V) == 13.3);
	assert_int_equal(bus.sent, 0);
	session_free(bus.session);
}

/* ---- jbd-can: the life sign ---- */

static void jbd_speaks(unsigned seconds, bool inverter)
{
	for (unsigned i = 0; i < seconds; i++) {
		carry("355#3D006400CF170000");
		carry("356#C51483FFD0000C00");
		carry("373#F50C030D25012701");
		if (inverter)
			carry("305#0000000000000000");
		pass(1000);
	}
}

static void the_life_sign_pauses_while_an_inverter_gives_its_own(void **unused)
{
	(void)unused;
	start("jbd-can", FRAMES("355#3D006400CF170000", "356#C51483FFD0000C00", "373#F50C030D25012701"), NULL, 1000);
	jbd_speaks(10, false);
	assert_in_range(bus.sent, 9, 12);
	assert_string_equal(bus.last_sent, "305#0000000000000000");
	jbd_speaks(1, true);
	unsigned before = bus.sent;
	jbd_speaks(20, true);
	assert_int_equal(bus.sent, before);
	jbd_speaks(15, false);
	assert_in_range(bus.sent - before, 9, 12);
	assert_true(bus.readings > 40);
	session_free(bus.session);
}

/* ---- ubms-can: the master ---- */

#define UBMS_STATE "0C0#350A000000020000"

static void start_ubms(bool master)
{
	const struct protocol_options options = {.modules_in_series = 2, .strings = 1, .master = master};

	start("ubms-can",
	      FRAMES("350#01000CF40CF80CFA", "351#01000CF6", "352#01000CF40CF80CFA", "353#01000CF6",
		     "0C4#3B39403BFB0CF40C", "0C1#0DD87FA705B60E04", UBMS_STATE),
	      &options, 1000);
}

static void ubms_speaks(unsigned rounds, bool another_master)
{
	for (unsigned i = 0; i < rounds; i++) {
		carry("350#01000CF40CF80CFA");
		carry("351#01000CF6");
		carry("352#01000CF40CF80CFA");
		carry("353#01000CF6");
		carry("0C4#3B39403BFB0CF40C");
		carry("0C1#0DD87FA705B60E04");
		carry(UBMS_STATE);
		if (another_master)
			carry("440#00020000");
		pass(570);
	}
}

static void only_a_master_sends(void **unused)
{
	(void)unused;
	start_ubms(false);
	ubms_speaks(50, false);
	assert_int_equal(bus.sent, 0);
	assert_true(bus.readings > 20);
	assert_float_equal(reading_get(&bus.reading, Q_VOLTAGE_V), 26.552, 1e-6);
	session_free(bus.session);
}

static void a_master_sends_every_second_and_yields_to_another(void **unused)
{
	(void)unused;
	start_ubms(true);
	ubms_speaks(50, false); /* 28.5 s */
	assert_in_range(bus.sent, 28, 30);
	assert_string_equal(bus.last_sent, "440#00020000");
	ubms_speaks(1, true);
	unsigned before = bus.sent;
	ubms_speaks(50, true);
	assert_int_equal(bus.sent, before);
	ubms_speaks(35, false); /* not for 20 s */
	assert_int_equal(bus.sent, before);
	ubms_speaks(10, false);
	assert_in_range(bus.sent - before, 4, 6);
	session_free(bus.session);
}

/* ---- noise ---- */

enum { NOISE_FRAMES = 200000, FRAMES_PER_MS = 4 /* more than a bus of 500 kbit/s carries */ };

static uint32_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 32);
}

/* An identifier that the protocol lets through. */
static uint32_t own_id(const struct protocol *p, uint64_t *random)
{
	unsigned n = 0;

	while (p->hears[n].mask)
		n++;
	const struct can_ids *one = &p->hears[next_random(random) % n];
	uint32_t all = one->id & CAN_EXTENDED ? UINT32_C(0x1fffffff) : UINT32_C(0x7ff);

	return (one->id & one->mask) | (next_random(random) & all & ~one->mask);
}

static uint32_t any_id(const struct protocol *p, uint64_t *random)
{
	(void)p;
	return next_random(random) & 1 ? CAN_EXTENDED | (next_random(random) >> 3) : next_random(random) >> 21;
}

/* One of those without which there is no battery. */
static uint32_t required_id(const struct protocol *p, uint64_t *random)
{
	static const struct {
		const char *protocol;
		uint32_t ids[5];
	} rows[] = {
		{"jk-can", {0x2f4, 0x4f4, 0x2f4, 0x4f4, CAN_EXTENDED | 0x18e028f4}},
		{"jbd-can", {0x355, 0x356, 0x373, 0x351, 0x35e}},
		{"ubms-can", {0x0c0, 0x0c1, 0x0c4, 0x350, 0x351}},
		{"rv-c-can",
		 {CAN_EXTENDED | 0x19fffd8d, CAN_EXTENDED | 0x19fffc8d, CAN_EXTENDED | 0x19fffd8e,
		  CAN_EXTENDED | 0x19fffc8e, CAN_EXTENDED | 0x19fec98d}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(rows[i].protocol, p->id))
			return rows[i].ids[next_random(random) % 5];
	fail_msg("no identifiers of %s", p->id);
	return 0;
}

static void assert_noise_is_no_battery(const struct protocol *p,
				       uint32_t (*id)(const struct protocol *p, uint64_t *random), bool whole_frames)
{
	uint8_t listening[64] = {0};
	uint64_t random = 5;
	struct listen l;
	struct device found;

	assert_true(p->listen_size <= sizeof(listening));
	listen_init(&l, p, NULL);
	for (unsigned i = 0; i < NOISE_FRAMES; i++) {
		struct can_message m = {.id = id(p, &random),
					.n = whole_frames ? 8 : (uint8_t)(next_random(&random) % 9)};
		uint32_t data[2] = {next_random(&random), next_random(&random)};
		uint8_t b[CAN_BYTES];
		struct request as;

		memcpy(m.data, data, m.n);
		can_write(&m, b);
		if (p->overhear(listening, (struct bytes){b, CAN_BYTES}, &as) != HEARD_ANSWER)
			continue;
		if (listen_hears(&l, &as, (struct bytes){b, CAN_BYTES}, 1000 + i / FRAMES_PER_MS, &found))
			fail_msg("%s believes in frame %u", p->id, i);
	}
	listen_free(&l);
}

static const char *const streaming[] = {"jk-can", "jbd-can", "ubms-can", "rv-c-can"};
#define STREAMING (sizeof(streaming) / sizeof(streaming[0]))

static void random_frames_are_never_a_battery(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < STREAMING; i++)
		assert_noise_is_no_battery(protocol_by_id(streaming[i]), any_id, false);
}

static void random_data_under_their_own_identifiers_is_never_a_battery(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < STREAMING; i++)
		assert_noise_is_no_battery(protocol_by_id(streaming[i]), own_id, true);
}

static void random_data_in_the_frames_that_make_a_battery_is_none(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < STREAMING; i++) {
		assert_noise_is_no_battery(protocol_by_id(streaming[i]), required_id, true);
		assert_noise_is_no_battery(protocol_by_id(streaming[i]), required_id, false);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reading_is_out_once_an_interval_and_not_with_every_frame),
		cmocka_unit_test(who_reads_rarely_misses_nobody_who_speaks),
		cmocka_unit_test(a_cycle_with_a_lost_cell_frame_is_no_reading),
		cmocka_unit_test(cells_that_are_gone_for_good_are_unknown_and_the_others_go_on),
		cmocka_unit_test(a_pack_that_falls_silent_is_missed_in_its_time_and_comes_back),
		cmocka_unit_test(nothing_of_what_was_said_before_a_silence_is_shown_after_it),
		cmocka_unit_test(packs_that_speak_at_once_do_not_mix),
		cmocka_unit_test(a_pack_at_another_address_is_not_told_of_but_speaks_against_commands),
		cmocka_unit_test(a_battery_that_no_longer_asks_for_a_current_gets_none),
		cmocka_unit_test(the_life_sign_pauses_while_an_inverter_gives_its_own),
		cmocka_unit_test(only_a_master_sends),
		cmocka_unit_test(a_master_sends_every_second_and_yields_to_another),
		cmocka_unit_test(random_frames_are_never_a_battery),
		cmocka_unit_test(random_data_under_their_own_identifiers_is_never_a_battery),
		cmocka_unit_test(random_data_in_the_frames_that_make_a_battery_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
