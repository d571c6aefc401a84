/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ubms-can on frames constructed from its sheet: values, alarms bit by bit, modules that are lost or can't be what the
 * configuration says, what is forgotten when, what is no such battery, and the master's part. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "act.h"
#include "engine/listen.h"
#include "model/can.h"
#include "play.h"

#define NEAR 1e-9

enum code { VERSION, NAME, STATE, CURRENT, CHARGE, EXTREMES, CELLS, CURRENTS, TEMPERATURES, BOARDS, SOCS, BALANCE, MASTER };
enum mode { STANDBY, CHARGING, DRIVE };

/* 53 %, drive, 8 modules. */
#define IN_DRIVE   "0C0#350A000000080000"
#define IN_STANDBY "0C0#3508000000080000"
#define IN_CHARGE  "0C0#3509000000080000"
#define MINUS_40_A "0C1#0DD87FA705B60E04"
#define EXTREME_MV "0C4#3B39403BFB0CF40C" /* 3323 and 3316 mV */
#define MODULE_1A  "350#01000CF40CF80CFA"
#define MODULE_1B  "351#01000CF6"

static const struct protocol *ubms(void)
{
	return protocol_by_id("ubms-can");
}

/* ---- frames ---- */

static struct bytes frame(const char *text)
{
	static uint8_t b[CAN_BYTES];
	struct can_message m;

	assert_true(can_parse(text, &m));
	can_write(&m, b);
	return (struct bytes){b, sizeof(b)};
}

static enum heard heard(const char *text, struct request *as)
{
	return ubms()->overhear(NULL, frame(text), as);
}

/* What becomes of the frame when dev's bus carries it. */
static enum verdict told(struct device *dev, const char *text)
{
	struct request as;
	const char *why = NULL;
	enum verdict verdict;

	if (heard(text, &as) != HEARD_ANSWER)
		return FRAME_FOREIGN;
	verdict = ubms()->take(dev, &as, frame(text), &why);
	assert_int_equal(verdict == FRAME_BAD, why != NULL);
	return verdict;
}

#define TOLD(dev, text)	   assert_int_equal(told(dev, text), FRAME_ANSWER)
#define PART(dev, text)	   assert_int_equal(told(dev, text), FRAME_PART)
#define IGNORED(dev, text) assert_int_equal(told(dev, text), FRAME_FOREIGN)
#define BAD(dev, text)	   assert_int_equal(told(dev, text), FRAME_BAD)

/* Module 1 is the first; all its cells have so many mV. */
static void tell_module(struct device *dev, unsigned module, unsigned mV)
{
	char text[CAN_TEXT_SIZE];

	snprintf(text, sizeof(text), "%03X#0100%04X%04X%04X", 0x350 + 2 * (module - 1), mV, mV, mV);
	PART(dev, text);
	snprintf(text, sizeof(text), "%03X#0100%04X", 0x351 + 2 * (module - 1), mV);
	TOLD(dev, text);
}

static struct device battery(void)
{
	return fresh_device("ubms-can", 0, 0);
}

/* modules in series; strings 0: not told */
static struct device battery_of(unsigned series, unsigned strings)
{
	struct device dev = battery();

	dev.options.modules_in_series = (uint8_t)series;
	dev.options.strings = (uint8_t)strings;
	return dev;
}

static double get(const struct device *dev, enum quantity q)
{
	return reading_get(&dev->reading, q);
}

static double detail(const struct device *dev, const char *name)
{
	return reading_detail(&dev->reading, name);
}

static double cell(const struct device *dev, unsigned i)
{
	return series_knows(&dev->reading.cell_V, i) ? dev->reading.cell_V.value[i] : NAN;
}

#define IS(a, b)   assert_double_equal(a, b, NEAR)
#define UNKNOWN_(a) assert_true(isnan(a))

/* ---- which frames are its own ---- */

static void frames_are_known_by_their_identifiers(void **unused)
{
	static const struct {
		const char *text;
		enum code code;
		unsigned arg;
	} cases[] = {
		{"180#9C0A260122434F33", VERSION, 0}, {"184#0101436572697A61", NAME, 0}, {IN_DRIVE, STATE, 0},
		{MINUS_40_A, CURRENT, 0}, {"0C2#0520010400", CHARGE, 0}, {EXTREME_MV, EXTREMES, 0},
		{MODULE_1A, CELLS, 0}, {MODULE_1B, CELLS, 0}, {"366#01000CF40CF80CFA", CELLS, 11},
		{"367#01000CF4", CELLS, 11}, {"46D#01000001", CURRENTS, 3}, {"76C#01000001", TEMPERATURES, 2},
		{"67B#01000001", BOARDS, 1}, {"06B#0191", SOCS, 1}, {"26B#013F", BALANCE, 1},
		{"440#00020000", MASTER, 0},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct request as;

		assert_int_equal(heard(cases[i].text, &as), HEARD_ANSWER);
		assert_int_equal(as.code, cases[i].code);
		assert_int_equal(as.arg, cases[i].arg);
		assert_true(can_ids_have(ubms()->hears, u32be_at(frame(cases[i].text), 0)));
	}
}

static void what_others_send_under_its_numbers_is_not_its_own(void **unused)
{
	static const char *const texts[] = {
		"000000C0#350A000000080000", "000000C4#3B39403BFB0CF40C", "00000350#01000CF40CF80CFA", /* 29 bits */
		"0C0#R", "0C0#350A0000000800", "0C4#3B39403BFB0CF4", /* asked for; too short */
		"180#9C0A260122434F34", "180#9C0A26012243", /* not CO3 */
		"351#1402E402E402BD01", "351#0100E402", "355#0100640000000000", "355#01006400", /* of other batteries */
		"350#00000CF40CF80CFA", "350#01010CF40CF80CFA", "350#01000CF40CF8", "351#01000C", "351#01000CF40C",
		"46A#02000001", "06A#0091", "26A#003F", "46E#01000001", "305#0000000000000000", "35E#50594C4F4E202020",
		"368#01000CF40CF80CFA", "16A#0100000000000000", "188#0101FFFF7EFE070D",
	};
	struct request as;

	(void)unused;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(heard(texts[i], &as), HEARD_NOTHING);
	assert_false(can_ids_have(ubms()->hears, CAN_EXTENDED | 0x0c0));
	assert_false(can_ids_have(ubms()->hears, CAN_REMOTE | 0x0c0));
}

static void a_frame_is_only_taken_for_what_it_is(void **unused)
{
	struct device dev = battery();
	struct request as;
	const char *why = NULL;

	(void)unused;
	assert_int_equal(heard(IN_DRIVE, &as), HEARD_ANSWER);
	assert_int_equal(ubms()->take(&dev, &as, frame(MINUS_40_A), &why), FRAME_FOREIGN);
	assert_int_equal(ubms()->take(&dev, &as, (struct bytes){NULL, 0}, &why), FRAME_FOREIGN);
	UNKNOWN_(get(&dev, Q_CURRENT_A));
	device_free(&dev);
}

/* ---- the BMS ---- */

static void versions_and_the_modules_name_are_its_identity(void **unused)
{
	struct device dev = battery();

	(void)unused;
	TOLD(&dev, "180#9C0A260122434F33");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "156");
	assert_string_equal(dev.reading.text[T_HARDWARE_VERSION], "34");
	IS(detail(&dev, "customer_revision"), 10);
	IS(detail(&dev, "boot_loader"), 38);
	IS(detail(&dev, "bms_type"), 1);
	TOLD(&dev, "180#050A2601004F4F33" + 0 * IGNORED_UNUSED);
	device_free(&dev);
}
