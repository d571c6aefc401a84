/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What was recorded on a CAN bus, with protocols of the test's own:
 *	loud   speaks by itself: 1ff voltage (centivolts), 2ff SoC, 3ff temperature, for 500 ms; ff is the pack
 *	shy    says a voltage as 4ff, the second language of others
 *	asked  answers: 5ff voltage in two parts, 6ff SoC; 7ff it says by itself
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/follow_bus.h"
#include "protocols/can.h"

enum { VOLTAGE = 1, SOC, TEMPERATURE };
enum { LOUD = 0x000, SHY = 0x300, ASKED = 0x400 };

/* ---- the protocols ---- */

static const struct protocol loud, shy, asked;

static enum heard overhear_from(const struct protocol *p, uint32_t base, unsigned kinds, struct bytes frame,
				struct request *as)
{
	struct can_message m;

	if (!can_read(frame, &m) || m.id < base + 0x100 || m.id >= base + 0x100 * (kinds + 1) || !m.n)
		return HEARD_NOTHING;
	request_start(as, p, (uint8_t)m.id, 0, (uint16_t)((m.id - base) >> 8), 0);
	return HEARD_ANSWER;
}

static enum heard overhear_loud(void *listen, struct bytes frame, struct request *as)
{
	(void)listen;
	return overhear_from(&loud, LOUD, 3, frame, as);
}

static enum heard overhear_shy(void *listen, struct bytes frame, struct request *as)
{
	(void)listen;
	return overhear_from(&shy, SHY, 1, frame, as);
}

static enum heard overhear_asked(void *listen, struct bytes frame, struct request *as)
{
	enum heard heard = overhear_from(&asked, ASKED, 3, frame, as);

	(void)listen;
	if (heard == HEARD_ANSWER && as->code == TEMPERATURE)
		as->dialect = 1;
	return heard;
}

static enum verdict take(struct device *dev, const struct request *as, struct bytes frame, const char **why)
{
	struct bytes data = can_data(frame);

	*why = "too short";
	if (as->code == SOC) {
		reading_set(&dev->reading, Q_SOC_PCT, u8_at(data, 0));
		return FRAME_ANSWER;
	}
	if (data.n < 2)
		return FRAME_BAD;
	reading_set(&dev->reading, as->code == VOLTAGE ? Q_VOLTAGE_V : Q_TEMP_MOS_C, u16be_at(data, 0) / 100.0);
	return FRAME_ANSWER;
}

/* The voltage's high byte comes first, then its low one. */
static enum verdict take_asked(struct device *dev, const struct request *as, struct bytes frame, const char **why)
{
	uint8_t *high = dev->state;
	struct bytes data = can_data(frame);

	if (as->code != VOLTAGE)
		return take(dev, as, frame, why);
	if (!frame.n || data.n < 2)
		return FRAME_BAD;
	if (u8_at(data, 0) == 0) {
		*high = u8_at(data, 1);
		return FRAME_PART;
	}
	reading_set(&dev->reading, Q_VOLTAGE_V, (*high << 8 | u8_at(data, 1)) / 100.0);
	return FRAME_ANSWER;
}

static bool plausible(const struct device *dev, const char **why)
{
	double v = reading_get(&dev->reading, Q_VOLTAGE_V);

	*why = "no such voltage";
	return v > 40 && v < 60;
}

static void forget(struct device *dev, uint16_t code, uint16_t arg)
{
	assert_int_equal(code, TEMPERATURE);
	assert_int_equal(arg, 0);
	reading_set(&dev->reading, Q_TEMP_MOS_C, NAN);
}

static bool parse_asked(struct bytes tx, struct request *out)
{
	struct can_message m;

	if (!can_read(tx, &m) || m.n || m.id <= ASKED + 0x100 || m.id >= ASKED + 0x300)
		return false;
	request_start(out, &asked, (uint8_t)m.id, 0, (uint16_t)((m.id - ASKED) >> 8), 0);
	return true;
}

static const struct poll rows[] = {
	{VOLTAGE, 0, EVERY_POLL, true, NULL},
	{SOC, 0, EVERY_POLL, true, NULL},
	{TEMPERATURE, 0, 500, false, NULL},
};
static const struct poll asked_rows[] = {{VOLTAGE, 0, EVERY_POLL, true, NULL}, {SOC, 0, 500, true, NULL}};

static const struct protocol loud = {.id = "loud",
				     .link = LINK_CAN,
				     .streams = 1,
				     .polls = rows,
				     .poll_count = 3,
				     .find_frame = can_find_frame,
				     .overhear = overhear_loud,
				     .take = take,
				     .plausible = plausible,
				     .forget = forget};
static const struct protocol shy = {.id = "shy",
				    .link = LINK_CAN,
				    .streams = 1,
				    .yields = 1,
				    .polls = rows,
				    .poll_count = 1,
				    .find_frame = can_find_frame,
				    .overhear = overhear_shy,
				    .take = take,
				    .plausible = plausible};
static const struct protocol asked = {.id = "asked",
				      .link = LINK_CAN,
				      .streams = 2,
				      .state_size = 1,
				      .polls = asked_rows,
				      .poll_count = 2,
				      .find_frame = can_find_frame,
				      .overhear = overhear_asked,
				      .take = take_asked,
				      .plausible = plausible,
				      .parse_request = parse_asked};
static const struct protocol serial = {.id = "serial", .link = LINK_SERIAL};
static const struct protocol *const all[] = {&serial, &loud, &shy, &asked, NULL};

/* ---- the bus ---- */

static struct follow_bus bus;
static int owner;
static struct {
	unsigned readings, gone;
	unsigned of[16]; /* by address */
	const struct protocol *protocol;
	uint64_t ms;
	struct reading reading;
} seen;

static void on_cycle(void *ctx, struct follow_device *d, uint64_t now_ms)
{
	assert_ptr_equal(ctx, &bus);
	seen.readings++;
	seen.of[d->dev.address & 15]++;
	seen.protocol = d->dev.protocol;
	seen.ms = now_ms;
	seen.reading = d->dev.reading;
	d->owner = &owner;
}

static void on_gone(void *ctx, struct follow_device *d)
{
	assert_ptr_equal(ctx, &bus);
	assert_ptr_equal(d->owner, &owner);
	assert_ptr_equal(d->dev.protocol, &shy);
	seen.gone++;
}

static int start(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	assert_true(follow_bus_init(&bus, all, NULL));
	assert_int_equal(bus.count, 3);
	bus.cycle = on_cycle;
	bus.gone = on_gone;
	bus.ctx = &bus;
	return 0;
}

static int end(void **state)
{
	(void)state;
	follow_bus_free(&bus);
	return 0;
}

static void hear(uint64_t ms, uint32_t id, unsigned n, uint8_t a, uint8_t b)
{
	const struct can_message m = {.id = id, .n = (uint8_t)n, .data = {a, b}};
	uint8_t frame[CAN_BYTES];

	can_write(&m, frame);
	follow_bus_hears(&bus, (struct bytes){frame, sizeof(frame)}, ms);
}

static void hear_voltage(uint64_t ms, uint32_t base, uint8_t pack, unsigned centivolts)
{
	hear(ms, base + 0x100 + pack, 2, (uint8_t)(centivolts >> 8), (uint8_t)centivolts);
}

static void hear_soc(uint64_t ms, uint32_t base, uint8_t pack, uint8_t pct)
{
	hear(ms, base + 0x200 + pack, 1, pct, 0);
}

static void hear_temperature(uint64_t ms, uint8_t pack, unsigned centi)
{
	hear(ms, LOUD + 0x300 + pack, 2, (uint8_t)(centi >> 8), (uint8_t)centi);
}

static void hear_all(uint64_t ms, uint8_t pack)
{
	hear_voltage(ms, LOUD, pack, 5000);
	hear_soc(ms, LOUD, pack, 50);
}

/* ---- tests ---- */

static void stream_is_shown_when_all_of_it_has_come_twice(void **state)
{
	(void)state;
	hear_all(0, 1);
	assert_int_equal(seen.readings, 0);
	hear_voltage(100, LOUD, 1, 5010);
	hear_voltage(200, LOUD, 1, 5020);
	assert_int_equal(seen.readings, 0);
	hear_soc(300, LOUD, 1, 51);
	assert_int_equal(seen.readings, 1);
	assert_int_equal(seen.ms, 300);
	assert_float_equal(reading_get(&seen.reading, Q_VOLTAGE_V), 50.20, 1e-9);
	assert_float_equal(reading_get(&seen.reading, Q_SOC_PCT), 51, 1e-9);
}

static void at_the_end_once_is_enough(void **state)
{
	(void)state;
	hear_all(0, 1);
	hear_voltage(0, LOUD, 2, 5000); /* its SoC never comes */
	assert_int_equal(seen.readings, 0);
	follow_bus_flush(&bus, 10);
	assert_int_equal(seen.readings, 1);
	assert_int_equal(seen.of[1], 1);
}

static void stream_shows_one_reading_a_second(void **state)
{
	(void)state;
	for (uint64_t ms = 0; ms <= 5100; ms += 100)
		hear_all(ms, 1);
	/* at 100, 1100, .. 5100 */
	assert_int_equal(seen.readings, 6);
	assert_int_equal(seen.ms, 5100);
}

static void reading_waits_for_all_that_it_needs(void **state)
{
	(void)state;
	hear_all(0, 1);
	hear_all(100, 1);
	assert_int_equal(seen.readings, 1);
	for (uint64_t ms = 200; ms < 9000; ms += 100)
		hear_voltage(ms, LOUD, 1, 5000);
	assert_int_equal(seen.readings, 1);
	hear_soc(9000, LOUD, 1, 40);
	assert_int_equal(seen.readings, 2);
}

static void what_is_not_repeated_is_forgotten(void **state)
{
	(void)state;
	hear_temperature(0, 1, 2500);
	hear_all(0, 1);
	hear_all(100, 1);
	assert_float_equal(reading_get(&seen.reading, Q_TEMP_MOS_C), 25, 1e-9);
	hear_temperature(1000, 1, 2600);
	hear_all(1499, 1);
	assert_int_equal(seen.readings, 2);
	assert_float_equal(reading_get(&seen.reading, Q_TEMP_MOS_C), 26, 1e-9);
	hear_all(2600, 1);
	assert_int_equal(seen.readings, 3);
	assert_false(reading_knows(&seen.reading, Q_TEMP_MOS_C));
}

static void what_was_told_before_it_was_believed_is_forgotten_too(void **state)
{
	(void)state;
	hear_temperature(0, 1, 2500);
	hear_all(0, 1);
	hear_all(100, 1);
	assert_true(reading_knows(&seen.reading, Q_TEMP_MOS_C));
	hear_all(1200, 1);
	assert_int_equal(seen.readings, 2);
	assert_false(reading_knows(&seen.reading, Q_TEMP_MOS_C));
}

static void what_makes_no_sense_is_not_shown(void **state)
{
	(void)state;
	for (uint64_t ms = 0; ms < 5000; ms += 100) {
		hear_voltage(ms, LOUD, 1, 9000);
		hear_soc(ms, LOUD, 1, 50);
	}
	follow_bus_flush(&bus, 5000);
	assert_int_equal(seen.readings, 0);
}

static void packs_on_a_bus_are_told_apart(void **state)
{
	(void)state;
	for (uint64_t ms = 0; ms < 500; ms += 100)
		for (uint8_t pack = 1; pack <= 4; pack++)
			hear_all(ms, pack);
	assert_int_equal(seen.readings, 4);
	for (uint8_t pack = 1; pack <= 4; pack++)
		assert_int_equal(seen.of[pack], 1);
}

static void battery_is_found_among_noise(void **state)
{
	uint32_t x = 1;

	(void)state;
	for (uint64_t ms = 0; ms < 20000; ms++) {
		x = x * 1664525 + 1013904223;
		uint32_t id = x >> 21;
		if ((id & 0xff) == 1) /* not by the battery's name */
			continue;
		hear(ms, id, 2, 255, (uint8_t)(x >> 13)); /* what would be a voltage is never plausible */
		if (ms % 100 == 0)
			hear_all(ms, 1);
	}
	follow_bus_flush(&bus, 20000);
	assert_int_equal(seen.readings, seen.of[1]);
	assert_in_range(seen.readings, 18, 20);
}

static void second_language_alone_is_shown_after_a_while(void **state)
{
	(void)state;
	for (uint64_t ms = 0; ms < 5900; ms += 100)
		hear_voltage(ms, SHY, 1, 5000);
	assert_int_equal(seen.readings, 0);
	for (uint64_t ms = 5900; ms < 8000; ms += 100)
		hear_voltage(ms, SHY, 1, 5000);
	assert_int_equal(seen.readings, 2);
	assert_ptr_equal(seen.protocol, &shy);
}

static void second_language_alone_is_shown_at_the_end(void **state)
{
	(void)state;
	hear_voltage(0, SHY, 1, 5000);
	hear_voltage(100, SHY, 1, 5000);
	follow_bus_flush(&bus, 200);
	assert_int_equal(seen.readings, 1);
	assert_ptr_equal(seen.protocol, &shy);
}

static void second_language_beside_the_first_is_not_shown(void **state)
{
	(void)state;
	for (uint64_t ms = 0; ms < 9000; ms += 100) {
		hear_voltage(ms, SHY, 1, 5000);
		hear_all(ms, 1);
	}
	follow_bus_flush(&bus, 9000);
	assert_ptr_equal(seen.protocol, &loud);
	assert_int_equal(seen.readings, 9);
	assert_int_equal(seen.gone, 0);
}

static void second_language_is_given_up_when_the_first_is_heard_late(void **state)
{
	(void)state;
	for (uint64_t ms = 0; ms < 8000; ms += 100)
		hear_voltage(ms, SHY, 1, 5000);
	assert_true(seen.readings > 0);
	assert_int_equal(seen.gone, 0);
	hear_all(8000, 1);
	hear_all(8100, 1);
	assert_int_equal(seen.gone, 1);
	unsigned readings = seen.readings;
	for (uint64_t ms = 8200; ms < 12000; ms += 100)
		hear_voltage(ms, SHY, 1, 5000);
	follow_bus_flush(&bus, 12000);
	assert_int_equal(seen.readings, readings);
	assert_int_equal(seen.gone, 1);
}

static void answers_to_somebody_make_a_reading_with_their_cycle(void **state)
{
	(void)state;
	hear(0, ASKED + 0x101, 0, 0, 0); /* all is asked first */
	hear(0, ASKED + 0x201, 0, 0, 0);
	hear(10, ASKED + 0x101, 2, 0, 5000 >> 8);
	hear_all(11, 1); /* somebody else */
	hear(12, ASKED + 0x201, 1, 70, 0);
	assert_int_equal(seen.readings, 0);
	hear(13, ASKED + 0x101, 2, 1, 5000 & 255);
	assert_int_equal(seen.readings, 1);
	assert_ptr_equal(seen.protocol, &asked);
	assert_float_equal(reading_get(&seen.reading, Q_VOLTAGE_V), 50, 1e-9);
	assert_float_equal(reading_get(&seen.reading, Q_SOC_PCT), 70, 1e-9);
	/* The next cycle may come soon, or late: nothing is forgotten that is asked rarely. */
	hear(300, ASKED + 0x201, 1, 71, 0);
	hear(300, ASKED + 0x101, 2, 0, 5000 >> 8);
	hear(300, ASKED + 0x101, 2, 1, 5000 & 255);
	assert_int_equal(seen.readings, 2);
}

static void what_speaks_at_the_same_address_is_another_device(void **state)
{
	(void)state;
	hear(0, ASKED + 0x301, 2, 9, 9);
	hear(10, ASKED + 0x101, 2, 0, 5000 >> 8);
	hear(11, ASKED + 0x101, 2, 1, 5000 & 255);
	hear(12, ASKED + 0x201, 1, 70, 0);
	assert_int_equal(seen.readings, 1);
	assert_false(reading_knows(&seen.reading, Q_TEMP_MOS_C));
}

static void several_protocols_on_one_bus_are_all_shown(void **state)
{
	(void)state;
	for (uint64_t ms = 0; ms < 1000; ms += 500) {
		hear_all(ms, 3);
		hear(ms, ASKED + 0x104, 2, 0, 5000 >> 8);
		hear(ms, ASKED + 0x104, 2, 1, 5000 & 255);
		hear(ms, ASKED + 0x204, 1, 70, 0);
	}
	assert_int_equal(seen.of[3], 1);
	assert_int_equal(seen.of[4], 2);
}

static void what_was_heard_is_told_where_no_battery_is(void **state)
{
	char said[160];

	(void)state;
	hear(0, 0x7ff, 0, 0, 0);
	follow_bus_flush(&bus, 1);
	follow_bus_regret(&bus, said, sizeof(said));
	assert_string_equal(said, "no battery is recognised in these frames");
	hear_voltage(2, LOUD, 1, 5000);
	follow_bus_flush(&bus, 3);
	follow_bus_regret(&bus, said, sizeof(said));
	assert_non_null(strstr(said, "1 frame may be loud"));
	assert_int_equal(seen.readings, 0);
}

static void frames_cut_or_nonsense_are_dropped(void **state)
{
	uint8_t junk[5 * CAN_BYTES - 4];

	(void)state;
	memset(junk, 0xff, sizeof(junk));
	follow_bus_hears(&bus, (struct bytes){junk, sizeof(junk)}, 0);
	follow_bus_hears(&bus, (struct bytes){NULL, 0}, 0);
	/* What is left of it is too short to be told from the start of a frame. */
	memset(junk, 0, sizeof(junk));
	follow_bus_hears(&bus, (struct bytes){junk, CAN_BYTES - (sizeof(junk) % CAN_BYTES)}, 0);
	follow_bus_flush(&bus, 1);
	assert_int_equal(seen.readings, 0);
}

/* ---- a conversation picked out of a bus: captures ---- */

static void follow_text(struct follow *f, bool sent, uint32_t id, unsigned n, uint8_t a, uint8_t b)
{
	const struct can_message m = {.id = id, .n = (uint8_t)n, .data = {a, b}};
	uint8_t frame[CAN_BYTES];

	can_write(&m, frame);
	(sent ? follow_sent : follow_received)(f, (struct bytes){frame, sizeof(frame)}, 0);
}

static void capture_needs_no_whole_cycle(void **state)
{
	static struct follow f;

	(void)state;
	assert_true(follow_init(&f, &asked, NULL));
	follow_text(&f, true, ASKED + 0x201, 0, 0, 0);
	follow_text(&f, false, ASKED + 0x201, 1, 55, 0);
	follow_end(&f, 0);
	follow_flush(&f, 0);
	assert_int_equal(f.known_requests, 1);
	assert_int_equal(f.answered, 1);
	assert_int_equal(f.not_answered, 0);
	assert_int_equal(f.device_count, 1);
	assert_true(f.device[0].told);
	assert_float_equal(reading_get(&f.device[0].dev.reading, Q_SOC_PCT), 55, 1e-9);
	follow_free(&f);
}

static void capture_without_answer_is_one(void **state)
{
	static struct follow f;

	(void)state;
	assert_true(follow_init(&f, &asked, NULL));
	follow_text(&f, true, ASKED + 0x101, 0, 0, 0);
	follow_text(&f, false, ASKED + 0x101, 2, 0, 19);
	follow_end(&f, 0);
	assert_int_equal(f.answered, 0);
	assert_int_equal(f.not_answered, 1);
	assert_true(f.error[0]);
	follow_text(&f, true, 0x7ff, 0, 0, 0);
	follow_end(&f, 0);
	assert_int_equal(f.unknown_requests, 1);
	assert_int_equal(f.not_answered, 1);
	follow_free(&f);
}

int main(void)
{
#define BUS_TEST(name) cmocka_unit_test_setup_teardown(name, start, end)
	const struct CMUnitTest tests[] = {
		BUS_TEST(stream_is_shown_when_all_of_it_has_come_twice),
		BUS_TEST(at_the_end_once_is_enough),
		BUS_TEST(stream_shows_one_reading_a_second),
		BUS_TEST(reading_waits_for_all_that_it_needs),
		BUS_TEST(what_is_not_repeated_is_forgotten),
		BUS_TEST(what_was_told_before_it_was_believed_is_forgotten_too),
		BUS_TEST(what_makes_no_sense_is_not_shown),
		BUS_TEST(packs_on_a_bus_are_told_apart),
		BUS_TEST(battery_is_found_among_noise),
		BUS_TEST(second_language_alone_is_shown_after_a_while),
		BUS_TEST(second_language_alone_is_shown_at_the_end),
		BUS_TEST(second_language_beside_the_first_is_not_shown),
		BUS_TEST(second_language_is_given_up_when_the_first_is_heard_late),
		BUS_TEST(answers_to_somebody_make_a_reading_with_their_cycle),
		BUS_TEST(what_speaks_at_the_same_address_is_another_device),
		BUS_TEST(several_protocols_on_one_bus_are_all_shown),
		BUS_TEST(what_was_heard_is_told_where_no_battery_is),
		BUS_TEST(frames_cut_or_nonsense_are_dropped),
		cmocka_unit_test(capture_needs_no_whole_cycle),
		cmocka_unit_test(capture_without_answer_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
