/* SPDX-License-Identifier: GPL-3.0-or-later */
/* daren485 on frames constructed from its sheet. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "act.h"
#include "ascii_frame.h"
#include "play.h"

enum { DEVICE = 0x42, CONTROL = 0x45, SYSTEM = 0x47, VERSION = 0x4f, ITEM = 0x50, MANUFACTURER = 0x51 };
enum { PARAMETERS = 0x80, COUNTERS = 0x83, MODULE = 0xb0, SET_REMAINING = 0x2b0 };

/* ---- frames ---- */

struct info {
	size_t n;
	uint8_t p[256];
};

static void put8(struct info *i, unsigned v)
{
	i->p[i->n++] = (uint8_t)v;
}

static void put16(struct info *i, unsigned v)
{
	put8(i, v >> 8 & 0xff);
	put8(i, v & 0xff);
}

static void put_text(struct info *i, const char *text, size_t size)
{
	for (size_t k = 0; k < size; k++)
		put8(i, k < strlen(text) ? (uint8_t)text[k] : ' ');
}

/* The characters of a frame; head: VER ADR CID1 RTN in hex. */
static size_t characters(const char *head, const struct info *info, char *out)
{
	uint8_t h[4];

	assert_int_equal(bytes_from_hex(head, h, sizeof(h)), 4);
	return ascii_frame((struct ascii_head){h[0], h[1], h[2], h[3]}, info->p, info->n, out);
}

/* The same in hex; the last eight stay valid. */
static const char *frame(const char *head, const struct info *info)
{
	char text[ASCII_FRAME_TEXT];

	characters(head, info, text);
	return text_hex(text);
}

/* What a pack measures. */
struct pack {
	unsigned cells, sensors;
	uint16_t mV[40];
	int16_t dC[16], ambient, average, mos;
	int current;
	unsigned soc, voltage, soh, full, remaining, cycles;
	uint16_t status[4]; /* voltage, current, temperature, warning */
	uint16_t fet, cell_words[8], balancing[2], io;
	uint8_t machine;
	bool short_form;
};

static struct pack pack_of(unsigned cells, unsigned sensors)
{
	struct pack p = {.cells = cells,
			 .sensors = sensors,
			 .ambient = 270,
			 .average = 260,
			 .mos = -35,
			 .current = -1540,
			 .soc = 6700,
			 .soh = 80,
			 .full = 8000,
			 .remaining = 5360,
			 .cycles = 204,
			 .fet = 0x0023};

	for (unsigned i = 0; i < cells; i++) {
		p.mV[i] = (uint16_t)(3300 + i);
		p.voltage += p.mV[i];
	}
	p.voltage /= 10;
	for (unsigned i = 0; i < sensors; i++)
		p.dC[i] = (int16_t)(250 + i);
	return p;
}

static struct info device_info(const struct pack *p)
{
	struct info i = {.n = 0};

	put8(&i, 0);
	put16(&i, p->soc);
	put16(&i, p->voltage);
	put8(&i, p->cells);
	for (unsigned c = 0; c < p->cells; c++)
		put16(&i, p->mV[c]);
	put16(&i, (uint16_t)p->ambient);
	put16(&i, (uint16_t)p->average);
	put16(&i, (uint16_t)p->mos);
	put8(&i, p->sensors);
	for (unsigned t = 0; t < p->sensors; t++)
		put16(&i, (uint16_t)p->dC[t]);
	put16(&i, (unsigned)p->current & 0xffff);
	put16(&i, 0x0d0d);
	put16(&i, p->soh);
	put8(&i, 1);
	put16(&i, p->full);
	put16(&i, p->remaining);
	put16(&i, p->cycles);
	for (unsigned w = 0; w < 4; w++)
		put16(&i, p->status[w]);
	put16(&i, p->fet);
	for (unsigned w = 0; w < 4; w++)
		put16(&i, p->cell_words[w]);
	put16(&i, p->balancing[0]);
	if (p->short_form)
		return i;
	put16(&i, p->balancing[1]);
	for (unsigned w = 4; w < 8; w++)
		put16(&i, p->cell_words[w]);
	put8(&i, p->machine);
	put16(&i, p->io);
	return i;
}

static struct info manufacturer_info(size_t n)
{
	struct info i = {.n = 0};

	put_text(&i, "T1_G", 10);
	put_text(&i, "HUANY04", 10);
	put_text(&i, "16S100A", 10);
	memcpy(i.p + i.n, (uint8_t[]){1, 0, 2, 2, 21, 0x48, 0x43}, 7);
	i.n = n;
	return i;
}

static struct info system_info(unsigned upper, unsigned lower)
{
	struct info i = {.n = 0};
	static const uint16_t words[] = {3650, 2500, 0, 0, 12000, 3650, 2500, 16, 9000, 8000, 1440, 1};

	put8(&i, 0);
	for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++)
		put16(&i, w == 2 ? upper : w == 3 ? lower : words[w]);
	for (unsigned k = 0; k < 20; k++)
		put8(&i, 0xff);
	put_text(&i, "DJM2205180061", 20);
	return i;
}

static struct info module_info(unsigned module)
{
	struct info i = {.n = 6, .p = {0xb0, 1, 1, (uint8_t)module, 0xff, 0}};

	if (module == 4) {
		put16(&i, 9965);
		put16(&i, 10292);
		put16(&i, 10000);
		put16(&i, 1);
		put16(&i, 237);
		put16(&i, 0);
		put16(&i, 153);
		put16(&i, 129);
		put16(&i, 80);
		return i;
	}
	put_text(&i, "JD2M02150860 1", 30);
	put_text(&i, "PID", 30);
	put_text(&i, "", 30);
	put8(&i, 24);
	put8(&i, 8);
	put8(&i, 4);
	put_text(&i, "Daren", 20);
	return i;
}

static enum exchange_state tell(struct device *dev, uint16_t code, uint16_t arg, const struct info *info, char *error)
{
	return play(dev, code, arg, RX(frame("22014A00", info)), error);
}

static void told(struct device *dev, uint16_t code, uint16_t arg, struct info info)
{
	char error[128];

	if (tell(dev, code, arg, &info, error) != EXCHANGE_ANSWERED)
		fail_msg("%s", error);
}

static struct device daren(void)
{
	return fresh_device("daren485", 1, 0);
}

static struct device measured(struct pack p)
{
	struct device dev = daren();

	told(&dev, DEVICE, 0, device_info(&p));
	return dev;
}

static const char *ascii(const char *hex)
{
	static char text[600];
	int n = bytes_from_hex(hex, (uint8_t *)text, sizeof(text) - 1);

	assert_true(n >= 0);
	text[n] = 0;
	return text;
}

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	struct device dev = daren();

	(void)unused;
	assert_string_equal(ascii(request_hex(&dev, DEVICE, 0)), "~22014A42E00201FD28\r");
	assert_string_equal(ascii(request_hex(&dev, SYSTEM, 0)), "~22014A47E00201FD23\r");
	assert_string_equal(ascii(request_hex(&dev, VERSION, 0)), "~22014A4F0000FD8C\r");
	assert_string_equal(ascii(request_hex(&dev, MANUFACTURER, 0)), "~22014A510000FDA0\r");
	assert_string_equal(ascii(request_hex(&dev, COUNTERS, 0)), "~22014A83C0040101FCC2\r");
	assert_string_equal(ascii(request_hex(&dev, MODULE, 3)), "~22014AB0600A010103FF00FB6C\r");
	assert_string_equal(ascii(request_hex(&dev, MODULE, 4)), "~22014AB0600A010104FF00FB6B\r");
	assert_string_equal(ascii(request_hex(&dev, PARAMETERS, 0)), "~22014A80E00201FD26\r");
	assert_string_equal(ascii(request_hex(&dev, ITEM, 4)), "~22014A50C0040104FCC5\r");
	assert_string_equal(ascii(request_hex(&dev, CONTROL, 0x05)), "~22014A45C0040105FCC0\r");
	assert_string_equal(ascii(request_hex(&dev, CONTROL, 0x00)), "~22014A45C0040100FCC5\r");
	assert_string_equal(ascii(request_hex(&dev, CONTROL, 0x06)), "~22014A45C0040106FCBF\r");
	assert_string_equal(ascii(request_hex(&dev, CONTROL, 0xf0)), "~22014A45C00401F0FCAF\r");
	assert_string_equal(ascii(request_hex(&dev, SET_REMAINING, 5000)), "~22014AB0200E01020401021388FABF\r");
	dev.address = 15;
	assert_string_equal(ascii(request_hex(&dev, DEVICE, 0)), "~220F4A42E0020FFCFE\r");
	device_free(&dev);
}

static void nothing_but_the_harmless_control_codes_exists(void **unused)
{
	static const uint8_t allowed[] = {0x00, 0x05, 0xf0, 0x06, 0x37, 0x38};
	struct device dev = daren();
	struct request request;

	(void)unused;
	for (unsigned code = 0; code < 0x400; code++) {
		bool is_allowed = code < 0x100 && memchr(allowed, (int)code, sizeof(allowed));

		assert_int_equal(dev.protocol->encode(&dev, CONTROL, (uint16_t)code, &request), is_allowed);
	}
	device_free(&dev);
}

static void addresses_are_1_to_15(void **unused)
{
	struct device dev = daren();
	struct request request;

	(void)unused;
	for (unsigned a = 0; a < 256; a++) {
		dev.address = (uint8_t)a;
		assert_int_equal(dev.protocol->encode(&dev, DEVICE, 0, &request), a >= 1 && a <= 15);
	}
	device_free(&dev);
}

static void only_commands_are_marked_as_writes(void **unused)
{
	struct device dev = daren();
	const struct protocol *p = dev.protocol;
	struct request request;

	(void)unused;
	for (unsigned r = 0; r < p->poll_count; r++) {
		assert_true(p->encode(&dev, p->polls[r].code, p->polls[r].arg, &request));
		assert_false(request.writes);
	}
	assert_true(p->encode(&dev, CONTROL, 0x05, &request));
	assert_true(request.writes);
	assert_true(p->encode(&dev, SET_REMAINING, 1, &request));
	assert_true(request.writes);
	device_free(&dev);
}

static bool parse(const char *text, struct request *out)
{
	return protocol_by_id("daren485")->parse_request((struct bytes){(const uint8_t *)text, strlen(text)}, out);
}

static void recorded_requests_are_recognised_in_both_styles(void **unused)
{
	struct request request;

	(void)unused;
	assert_true(parse("~22024A42E00202FD26\r", &request));
	assert_int_equal(request.address, 2);
	assert_true(parse("~22024A42E00201FD27\r", &request)); /* other programs always say 01 */
	assert_int_equal(request.address, 2);
	assert_true(parse("~22014AB0600A010104FF00FB6B\r", &request));
	assert_int_equal(request.code, MODULE);
	assert_int_equal(request.arg, 4);
	assert_false(request.writes);
	assert_true(parse("~22014AB0200E01020401021388FABF\r", &request));
	assert_int_equal(request.code, SET_REMAINING);
	assert_int_equal(request.arg, 5000);
	assert_true(request.writes);
	assert_true(parse("~22014A45C0040105FCC0\r", &request));
	assert_int_equal(request.arg, 0x05);
	assert_true(request.writes);
}

static void what_is_no_request_is_not_recognised(void **unused)
{
	struct request request;

	(void)unused;
	assert_false(parse("~22014A42E00201FD29\r", &request)); /* checksum */
	assert_false(parse(">220142420000FDAF\r", &request));	/* KS48100 */
	assert_false(parse(">22014AB0600A010104FF00FB6B\r", &request));
	assert_false(parse("~20014A420000FDA2\r", &request));	  /* EG4 */
	assert_false(parse("~20004642E00200FD37\r", &request));	  /* Seplos */
	assert_false(parse("~22014A45C004010FFCAF\r", &request)); /* restore defaults: same checksum as F0 */
	assert_false(parse("", &request));
}

/* ---- frames that are no answer ---- */

static void a_wrong_checksum_is_dropped(void **unused)
{
	struct device dev = daren();
	struct pack p = pack_of(16, 4);
	struct info info = device_info(&p);
	char hex[1200], error[128];

	(void)unused;
	snprintf(hex, sizeof(hex), "%s", frame("22014A00", &info));
	hex[101] = hex[101] == '1' ? '2' : '1';
	assert_int_equal(play(&dev, DEVICE, 0, RX(hex), error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: checksum");
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

static void another_pack_version_class_or_start_is_no_answer(void **unused)
{
	static const char *const head[] = {"22024A00", "20014A00", "22014200", "22014600"};
	struct device dev = daren();
	struct pack p = pack_of(16, 4);
	struct info info = device_info(&p);
	char hex[1200];

	(void)unused;
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		assert_int_equal(play(&dev, DEVICE, 0, RX(frame(head[i], &info)), NULL), EXCHANGE_FAILED);
	snprintf(hex, sizeof(hex), "3e%s", frame("22014A00", &info) + 2);
	assert_int_equal(play(&dev, DEVICE, 0, RX(hex), NULL), EXCHANGE_FAILED);
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

static void a_return_code_is_a_refusal(void **unused)
{
	struct device dev = daren();
	struct info info = {.n = 0};
	char error[128];

	(void)unused;
	assert_int_equal(play(&dev, DEVICE, 0, RX(frame("22014A06", &info)), error), EXCHANGE_REFUSED);
	assert_string_equal(error, "value not allowed (return code 06)");
	device_free(&dev);
}

static void noise_cuts_glue_and_echo_are_no_matter(void **unused)
{
	struct device dev = daren();
	struct pack p = pack_of(16, 4);
	struct info info = device_info(&p);
	char hex[4000], echo[100];

	(void)unused;
	snprintf(echo, sizeof(echo), "%s", request_hex(&dev, DEVICE, 0));
	snprintf(hex, sizeof(hex), "00ff7e3232%s0d0a", frame("22014A00", &info));
	assert_int_equal(play(&dev, DEVICE, 0, RX(hex), NULL), EXCHANGE_ANSWERED);
	snprintf(hex, sizeof(hex), "%s%s", frame("22024A00", &info), frame("22014A00", &info));
	assert_int_equal(play(&dev, DEVICE, 0, RX(hex), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, DEVICE, 0, RX("00", echo, frame("22014A00", &info)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, DEVICE, 0, RX(echo), NULL), EXCHANGE_FAILED);
	snprintf(hex, sizeof(hex), "%.200s", frame("22014A00", &info));
	assert_int_equal(play(&dev, DEVICE, 0, RX(hex), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, DEVICE, 0, RX(hex, frame("22014A00", &info) + 200), NULL), EXCHANGE_ANSWERED);
	device_free(&dev);
}

static void counts_and_length_must_fit(void **unused)
{
	struct device dev = daren();
	struct pack p = pack_of(16, 4);
	struct info info = device_info(&p);

	(void)unused;
	info.p[5] = 40;
	assert_int_equal(tell(&dev, DEVICE, 0, &info, NULL), EXCHANGE_FAILED);
	info.p[5] = 0;
	assert_int_equal(tell(&dev, DEVICE, 0, &info, NULL), EXCHANGE_FAILED);
	info = device_info(&p);
	info.p[12 + 32] = 9;
	assert_int_equal(tell(&dev, DEVICE, 0, &info, NULL), EXCHANGE_FAILED);
	info = device_info(&p);
	info.n = 13 + 2 * 20 + 22; /* the FET word is cut off */
	assert_int_equal(tell(&dev, DEVICE, 0, &info, NULL), EXCHANGE_FAILED);
	info = device_info(&p);
	info.n++;
	assert_int_equal(tell(&dev, DEVICE, 0, &info, NULL), EXCHANGE_FAILED);
	info.n = 0;
	assert_int_equal(tell(&dev, DEVICE, 0, &info, NULL), EXCHANGE_FAILED);
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

static void one_reply_is_not_taken_for_another(void **unused)
{
	struct device dev = daren();
	struct pack p = pack_of(16, 4);
	struct info d = device_info(&p), m = manufacturer_info(35), s = system_info(65, 0), b = module_info(4);

	(void)unused;
	assert_int_equal(tell(&dev, DEVICE, 0, &m, NULL), EXCHANGE_FAILED);
	assert_int_equal(tell(&dev, DEVICE, 0, &s, NULL), EXCHANGE_FAILED);
	assert_int_equal(tell(&dev, MANUFACTURER, 0, &d, NULL), EXCHANGE_FAILED);
	assert_int_equal(tell(&dev, SYSTEM, 0, &d, NULL), EXCHANGE_FAILED);
	assert_int_equal(tell(&dev, MODULE, 3, &b, NULL), EXCHANGE_FAILED);
	assert_int_equal(tell(&dev, MODULE, 4, &d, NULL), EXCHANGE_FAILED);
	assert_int_equal(tell(&dev, PARAMETERS, 0, &d, NULL), EXCHANGE_FAILED);
	assert_int_equal(tell(&dev, COUNTERS, 0, &d, NULL), EXCHANGE_FAILED);
	assert_int_equal(tell(&dev, ITEM, 4, &d, NULL), EXCHANGE_FAILED);
	assert_int_equal(tell(&dev, VERSION, 0, &d, NULL), EXCHANGE_FAILED);
	assert_int_equal(dev.reading.known, 0);
	assert_int_equal(dev.settings.count, 0);
	device_free(&dev);
}

/* ---- 42 ---- */

static void every_field_of_42_is_taken(void **unused)
{
	struct pack p = pack_of(16, 4);
	const struct reading *r;

	(void)unused;
	p.machine = 4;
	p.io = 0x4001;
	struct device dev = measured(p);
	r = &dev.reading;
	assert_true(reading_get(r, Q_ADDRESS) == 1);
	assert_true(reading_get(r, Q_SOC_PCT) == 67);
	assert_true(reading_get(r, Q_VOLTAGE_V) == 52.92);
	assert_true(reading_get(r, Q_CURRENT_A) == -15.4);
	assert_true(reading_get(r, Q_SOH_PCT) == 80);
	assert_true(reading_get(r, Q_CAPACITY_FULL_AH) == 80);
	assert_true(reading_get(r, Q_CAPACITY_REMAINING_AH) == 53.6);
	assert_true(reading_get(r, Q_CYCLES) == 204);
	assert_true(reading_get(r, Q_TEMP_AMBIENT_C) == 27);
	assert_true(reading_get(r, Q_TEMP_MOS_C) == -3.5);
	assert_true(reading_detail(r, "temp_pack_avg_C") == 26);
	assert_true(reading_detail(r, "internal_resistance_raw") == 0x0d0d);
	assert_true(reading_detail(r, "machine_state") == 4);
	assert_true(reading_detail(r, "io_bits") == 0x4001);
	assert_true(reading_detail(r, "fet_bits") == 0x23);
	assert_true(reading_detail(r, "current_limited") == 0);
	assert_int_equal(r->cell_V.count, 16);
	assert_true(r->cell_V.value[15] == 3.315);
	assert_int_equal(r->temperatures.count, 4);
	assert_true(r->temperatures.value[3] == 25.3);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_HEATER_ON), OFF);
	device_free(&dev);
}

static void the_extremes_of_every_size_are_decoded(void **unused)
{
	struct pack p = pack_of(32, 8);
	struct device dev;

	(void)unused;
	p.current = -32768;
	p.balancing[0] = 0x0081;
	p.balancing[1] = 0x8000;
	dev = measured(p);
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == -327.68);
	assert_int_equal(dev.reading.cell_V.count, 32);
	assert_int_equal(dev.reading.balancing, 0x80000081);
	device_free(&dev);
	p = pack_of(1, 0);
	p.current = 32767;
	dev = measured(p);
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == 327.67);
	assert_true(dev.reading.temperatures.reported);
	assert_int_equal(dev.reading.temperatures.count, 0);
	assert_int_equal(reading_flag(&dev.reading, F_BALANCING_ACTIVE), OFF);
	device_free(&dev);
}

static void the_short_form_ends_behind_the_balancing_word(void **unused)
{
	struct pack p = pack_of(16, 2);
	struct device dev;

	(void)unused;
	p.short_form = true;
	p.balancing[0] = 0x0001;
	dev = measured(p);
	assert_int_equal(dev.reading.balancing, 1);
	assert_true(isnan(reading_detail(&dev.reading, "machine_state")));
	assert_true(isnan(reading_detail(&dev.reading, "io_bits")));
	device_free(&dev);
}

static void a_frame_in_between_tells_what_it_has(void **unused)
{
	struct device dev = daren();
	struct pack p = pack_of(16, 4);
	struct info info = device_info(&p);

	(void)unused;
	info.n = 13 + 2 * 20 + 23;
	told(&dev, DEVICE, 0, info);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), ON);
	assert_false(dev.reading.balancing_known);
	device_free(&dev);
}

static double soc(unsigned raw, unsigned remaining, unsigned full)
{
	struct pack p = pack_of(16, 2);

	p.soc = raw;
	p.remaining = remaining;
	p.full = full;
	struct device dev = measured(p);
	double v = reading_get(&dev.reading, Q_SOC_PCT);
	device_free(&dev);
	return v;
}

static void whole_percents_are_told_from_hundredths(void **unused)
{
	(void)unused;
	assert_true(soc(100, 10507, 10507) == 100);
	assert_true(soc(50, 5000, 10000) == 50);
	assert_true(soc(50, 50, 10000) == 0.5);
	assert_true(soc(100, 99, 10000) == 1);
	assert_true(soc(0, 0, 10000) == 0);
	assert_true(soc(0, 5000, 10000) == 0);
	assert_true(soc(10000, 10000, 10000) == 100);
	assert_true(soc(80, 0, 0) == 0.8);
}

static void a_soc_above_100_is_not_believed(void **unused)
{
	struct device dev = daren();
	struct pack p = pack_of(16, 4);
	struct info info;
	char error[128];

	(void)unused;
	p.soc = 10001;
	info = device_info(&p);
	assert_int_equal(tell(&dev, DEVICE, 0, &info, error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: SoC above 100 %");
	device_free(&dev);
}

/* ---- alarms ---- */

enum { V, C, T, W, FET, IO };

static const struct {
	uint8_t word, bit;
	enum alarm alarm;
	enum alarm_level level;
	const char *own;
} bits[] = {
	{V, 0, ALARM_HIGH_CELL_VOLTAGE, ALARM_RAISED, NULL},
	{V, 1, ALARM_LOW_CELL_VOLTAGE, ALARM_RAISED, NULL},
	{V, 2, ALARM_HIGH_VOLTAGE, ALARM_RAISED, NULL},
	{V, 3, ALARM_LOW_VOLTAGE, ALARM_RAISED, NULL},
	{V, 4, ALARM_HIGH_CELL_VOLTAGE, ALARM_WARNING, NULL},
	{V, 5, ALARM_LOW_CELL_VOLTAGE, ALARM_WARNING, NULL},
	{V, 6, ALARM_HIGH_VOLTAGE, ALARM_WARNING, NULL},
	{V, 7, ALARM_LOW_VOLTAGE, ALARM_WARNING, NULL},
	{V, 8, ALARM_CELL_IMBALANCE, ALARM_WARNING, NULL},
	{V, 9, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "overvoltage_ten_times"},
	{V, 10, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "undervoltage_ten_times"},
	{V, 11, ALARM_COUNT, ALARM_WARNING, "temperature_difference"},
	{V, 12, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "cell_failed"},
	{V, 13, ALARM_FUSE_BLOWN, ALARM_RAISED, NULL},
	{V, 14, ALARM_CELL_IMBALANCE, ALARM_RAISED, NULL},
	{C, 2, ALARM_HIGH_CHARGE_CURRENT, ALARM_RAISED, NULL},
	{C, 3, ALARM_SHORT_CIRCUIT, ALARM_RAISED, NULL},
	{C, 4, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_RAISED, NULL},
	{C, 5, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_RAISED, NULL},
	{C, 6, ALARM_HIGH_CHARGE_CURRENT, ALARM_WARNING, NULL},
	{C, 7, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_WARNING, NULL},
	{C, 8, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "overcurrent_ten_times"},
	{C, 9, ALARM_COUNT, ALARM_RAISED, "output_reverse_polarity"},
	{T, 0, ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_RAISED, NULL},
	{T, 1, ALARM_LOW_CHARGE_TEMPERATURE, ALARM_RAISED, NULL},
	{T, 2, ALARM_HIGH_TEMPERATURE, ALARM_RAISED, NULL},
	{T, 3, ALARM_LOW_TEMPERATURE, ALARM_RAISED, NULL},
	{T, 4, ALARM_HIGH_TEMPERATURE, ALARM_RAISED, "ambient_high_temperature"},
	{T, 5, ALARM_LOW_TEMPERATURE, ALARM_RAISED, "ambient_low_temperature"},
	{T, 6, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_RAISED, NULL},
	{T, 7, ALARM_COUNT, ALARM_RAISED, "mos_low_temperature"},
	{T, 8, ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_WARNING, NULL},
	{T, 9, ALARM_LOW_CHARGE_TEMPERATURE, ALARM_WARNING, NULL},
	{T, 10, ALARM_HIGH_TEMPERATURE, ALARM_WARNING, NULL},
	{T, 11, ALARM_LOW_TEMPERATURE, ALARM_WARNING, NULL},
	{T, 12, ALARM_HIGH_TEMPERATURE, ALARM_WARNING, "ambient_high_temperature"},
	{T, 13, ALARM_LOW_TEMPERATURE, ALARM_WARNING, "ambient_low_temperature"},
	{T, 14, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_WARNING, NULL},
	{T, 15, ALARM_COUNT, ALARM_WARNING, "mos_low_temperature"},
	{W, 0, ALARM_CELL_IMBALANCE, ALARM_WARNING, NULL},
	{W, 1, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "charge_fet_failure"},
	{W, 2, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "sd_card_fault"},
	{W, 3, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "spi_fault"},
	{W, 4, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "eeprom_fault"},
	{W, 7, ALARM_LOW_SOC, ALARM_WARNING, NULL},
	{W, 8, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_RAISED, NULL},
	{W, 9, ALARM_INTERNAL_FAILURE, ALARM_WARNING, "heater_film_fault"},
	{W, 10, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "limiter_board_fault"},
	{W, 11, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "sampling_fault"},
	{W, 12, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "cell_fault"},
	{W, 13, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "temperature_sensor_fault"},
	{W, 14, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "charge_mos_fault"},
	{W, 15, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "discharge_mos_fault"},
	{FET, 2, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "fet_failure"},
	{FET, 3, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "fet_failure"},
	{FET, 13, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "afe_fault"},
	{FET, 14, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "afe_pin_fault"},
	{FET, 15, ALARM_LOW_SOC, ALARM_RAISED, NULL},
	{IO, 4, ALARM_COUNT, ALARM_RAISED, "discharge_locked"},
	{IO, 5, ALARM_COUNT, ALARM_RAISED, "anti_theft_locked"},
	{IO, 6, ALARM_COUNT, ALARM_RAISED, "charge_locked"},
	{IO, 12, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "crystal_fault"},
	{IO, 13, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "eeprom_fault"},
};

static struct device with_bit(unsigned word, unsigned bit)
{
	struct pack p = pack_of(16, 4);

	if (word == FET)
		p.fet = (uint16_t)(p.fet | 1u << bit);
	else if (word == IO)
		p.io = (uint16_t)(1u << bit);
	else
		p.status[word] = (uint16_t)(1u << bit);
	return measured(p);
}

static void every_alarm_bit_alone_means_what_the_sheet_says(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		struct device dev = with_bit(bits[i].word, bits[i].bit);
		const struct alarms *a = &dev.reading.alarms;
		unsigned more = bits[i].word == C && bits[i].bit == 3;

		assert_int_equal(alarms_raised(a), (bits[i].alarm != ALARM_COUNT) + (bits[i].own != NULL) + more);
		if (bits[i].alarm != ALARM_COUNT)
			assert_int_equal(a->level[bits[i].alarm], bits[i].level);
		if (bits[i].own) {
			assert_string_equal(a->own[0].name, bits[i].own);
			assert_int_equal(a->own[0].level, bits[i].level);
		}
		if (more)
			assert_int_equal(a->level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_RAISED);
		device_free(&dev);
	}
}

static void bits_that_are_states_or_settings_raise_nothing(void **unused)
{
	static const uint8_t state[][2] = {{V, 15},  {C, 0},   {C, 1},	  {C, 10},   {C, 11},	{C, 12},  {C, 13},
					   {C, 14},  {W, 5},   {W, 6},	  {FET, 4},  {FET, 5},	{FET, 6}, {FET, 7},
					   {FET, 8}, {FET, 9}, {FET, 10}, {FET, 11}, {FET, 12}, {IO, 0},  {IO, 14}};

	(void)unused;
	for (size_t i = 0; i < sizeof(state) / sizeof(state[0]); i++) {
		struct device dev = with_bit(state[i][0], state[i][1]);

		assert_true(dev.reading.alarms.known);
		assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
		device_free(&dev);
	}
}

static void all_bits_at_once_are_those_that_are_announced(void **unused)
{
	struct pack p = pack_of(16, 4);
	struct device dev;

	(void)unused;
	memset(p.status, 0xff, sizeof(p.status));
	p.fet = p.io = 0xffff;
	dev = measured(p);
	for (unsigned i = 0; i < ALARM_COUNT; i++)
		assert_int_equal(dev.reading.alarms.level[i] != ALARM_OK, dev.protocol->alarms >> i & 1);
	assert_true(dev.reading.alarms.own_count < MAX_OWN_ALARMS);
	assert_int_equal(reading_flag(&dev.reading, F_HEATER_ON), ON);
	assert_true(reading_detail(&dev.reading, "current_limited") == 1);
	assert_true(reading_detail(&dev.reading, "sleeping") == 1);
	device_free(&dev);
}

static void permissions_follow_the_protections(void **unused)
{
	static const uint8_t charge[][2] = {{V, 0}, {V, 2}, {C, 2}, {T, 0}, {T, 1}};
	static const uint8_t discharge[][2] = {{V, 1}, {V, 3}, {C, 3}, {C, 4}, {C, 5}, {T, 2}, {T, 3}};
	struct pack off = pack_of(16, 4);

	(void)unused;
	for (unsigned word = V; word <= W; word++) {
		for (unsigned bit = 0; bit < 16; bit++) {
			struct device dev = with_bit(word, bit);
			bool stops[2] = {false, false};

			for (size_t i = 0; i < sizeof(charge) / sizeof(charge[0]); i++)
				stops[0] |= charge[i][0] == word && charge[i][1] == bit;
			for (size_t i = 0; i < sizeof(discharge) / sizeof(discharge[0]); i++)
				stops[1] |= discharge[i][0] == word && discharge[i][1] == bit;
			assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), stops[0] ? OFF : ON);
			assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), stops[1] ? OFF : ON);
			device_free(&dev);
		}
	}
	off.fet = 0x0021; /* discharge MOS open */
	struct device dev = measured(off);
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_MOS), ON);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_MOS), OFF);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), OFF);
	device_free(&dev);
}

static void an_inverted_shunt_is_turned_round_with_its_alarms(void **unused)
{
	static const uint8_t pair[][2] = {{2, 4}, {4, 2}, {5, 2}, {6, 7}, {7, 6}};
	struct pack p = pack_of(16, 4);

	(void)unused;
	for (size_t i = 0; i < sizeof(pair) / sizeof(pair[0]); i++) {
		struct device inverted = daren(), plain;

		p.status[C] = (uint16_t)(1u << pair[i][0]);
		inverted.options.invert_current = true;
		told(&inverted, DEVICE, 0, device_info(&p));
		p.status[C] = (uint16_t)(1u << pair[i][1]);
		plain = measured(p);
		assert_true(reading_get(&inverted.reading, Q_CURRENT_A) == 15.4);
		assert_memory_equal(inverted.reading.alarms.level, plain.reading.alarms.level, ALARM_COUNT);
		device_free(&inverted);
		device_free(&plain);
	}
}

static void cells_in_trouble_are_named_in_details(void **unused)
{
	struct pack p = pack_of(24, 4);
	struct device dev;

	(void)unused;
	p.cell_words[0] = 0x8001;
	p.cell_words[4] = 0x0002;
	p.cell_words[3] = 0x0004;
	dev = measured(p);
	assert_true(reading_detail(&dev.reading, "cells_ovp_bits") == 0x28001);
	assert_true(reading_detail(&dev.reading, "cells_low_bits") == 4);
	assert_true(isnan(reading_detail(&dev.reading, "cells_uvp_bits")));
	device_free(&dev);
}

/* ---- identity, settings, modules ---- */

static void manufacturer_information_comes_in_two_lengths(void **unused)
{
	(void)unused;
	for (size_t n = 35; n <= 37; n += 2) {
		struct device dev = daren();

		told(&dev, MANUFACTURER, 0, manufacturer_info(n));
		assert_string_equal(dev.reading.text[T_HARDWARE_VERSION], "T1_G");
		assert_string_equal(dev.reading.text[T_MODEL], "16S100A");
		assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "1.0.2");
		assert_string_equal(settings_find(&dev.settings, "product_code")->text, "HUANY04");
		assert_string_equal(settings_find(&dev.settings, "boot_version")->text, "2.21");
		device_free(&dev);
	}
	struct device dev = daren();
	struct info info = manufacturer_info(36);
	assert_int_equal(tell(&dev, MANUFACTURER, 0, &info, NULL), EXCHANGE_FAILED);
	info = manufacturer_info(35);
	info.p[15] = 0x80;
	assert_int_equal(tell(&dev, MANUFACTURER, 0, &info, NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

static void system_parameters_are_settings(void **unused)
{
	struct device dev = daren();
	const struct settings *s = &dev.settings;

	(void)unused;
	told(&dev, SYSTEM, 0, system_info(115, 45));
	assert_true(settings_number(s, "cell_upper_V") == 3.65);
	assert_true(settings_number(s, "pack_lower_per_cell_V") == 2.5);
	assert_true(settings_number(s, "charge_current_upper_A") == 120);
	assert_true(settings_number(s, "temperature_upper_C") == 65);
	assert_true(settings_number(s, "temperature_lower_C") == -5);
	assert_true(settings_number(s, "balance_mode") == 1);
	assert_string_equal(settings_find(s, "bms_barcode")->text, "DJM2205180061");
	assert_null(settings_find(s, "product_barcode"));
	assert_true(reading_get(&dev.reading, Q_BMS_CCL_A) == 90);
	assert_false(reading_knows(&dev.reading, Q_BMS_DCL_A));
	assert_false(reading_knows(&dev.reading, Q_BMS_CVL_V));
	assert_true(reading_get(&dev.reading, Q_CELL_COUNT) == 16);
	told(&dev, SYSTEM, 0, system_info(65, 0xfffb));
	assert_true(settings_number(s, "temperature_upper_C") == 65);
	assert_true(settings_number(s, "temperature_lower_C") == -5);
	device_free(&dev);
}

static void the_capacity_module_is_the_better_source_of_the_design_capacity(void **unused)
{
	struct device dev = daren();

	(void)unused;
	told(&dev, SYSTEM, 0, system_info(65, 0));
	assert_true(reading_get(&dev.reading, Q_CAPACITY_DESIGN_AH) == 80);
	told(&dev, MODULE, 4, module_info(4));
	assert_true(reading_get(&dev.reading, Q_CAPACITY_DESIGN_AH) == 100);
	assert_true(reading_get(&dev.reading, Q_TOTAL_CHARGE_AH) == 65536 + 237);
	assert_true(reading_get(&dev.reading, Q_TOTAL_DISCHARGE_AH) == 153);
	assert_true(reading_detail(&dev.reading, "total_charge_energy_raw") == 129);
	told(&dev, SYSTEM, 0, system_info(65, 0));
	assert_true(reading_get(&dev.reading, Q_CAPACITY_DESIGN_AH) == 100);
	device_free(&dev);
}

static void the_manufacturing_module_is_the_name_plate(void **unused)
{
	struct device dev = daren();
	struct info info = module_info(3);

	(void)unused;
	told(&dev, MODULE, 3, info);
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "JD2M02150860 1");
	assert_string_equal(dev.reading.text[T_MANUFACTURER], "Daren");
	assert_string_equal(dev.reading.text[T_PRODUCTION_DATE], "2024-08-04");
	assert_string_equal(settings_find(&dev.settings, "product_id")->text, "PID");
	device_free(&dev);
	dev = daren();
	memset(info.p + 6 + 30, 0xff, info.n - 36);
	told(&dev, MODULE, 3, info);
	assert_string_equal(dev.reading.text[T_PRODUCTION_DATE], "");
	assert_string_equal(dev.reading.text[T_MANUFACTURER], "");
	device_free(&dev);
}

static void parameters_come_with_and_without_the_last_two(void **unused)
{
	(void)unused;
	for (unsigned words = 104; words <= 106; words++) {
		struct device dev = daren();
		struct info info = {.n = 0};

		for (unsigned w = 0; w < words; w++)
			put16(&info, w == 30 ? 0xff9c : 1000 + w);
		if (words == 105) {
			assert_int_equal(tell(&dev, PARAMETERS, 0, &info, NULL), EXCHANGE_FAILED);
		} else {
			told(&dev, PARAMETERS, 0, info);
			assert_true(settings_number(&dev.settings, "cell_ovp_V") == 1);
			assert_true(settings_number(&dev.settings, "cell_ovp_delay_raw") == 1001);
			assert_true(settings_number(&dev.settings, "cell_ovpr_V") == 1.002);
			assert_true(settings_number(&dev.settings, "pack_ovp_V") == 10.09);
			assert_true(settings_number(&dev.settings, "charge_utp_C") == -10);
			assert_true(settings_number(&dev.settings, "balance_start_V") == 1.1);
			assert_true(settings_number(&dev.settings, "low_soc_warning_release_pct") == 1103);
			assert_int_equal(settings_find(&dev.settings, "constant_current_raw") != NULL, words == 106);
			told(&dev, SYSTEM, 0, system_info(65, 0));
			assert_true(dev.settings.count < MAX_SETTINGS);
		}
		device_free(&dev);
	}
}

static void counters_items_and_version_are_taken(void **unused)
{
	struct device dev = daren();
	struct info info = {.n = 2, .p = {0x83, 1}};

	(void)unused;
	for (unsigned w = 0; w < 12; w++)
		put16(&info, w + 1);
	told(&dev, COUNTERS, 0, info);
	assert_true(reading_detail(&dev.reading, "count_overcharge") == 1);
	assert_true(reading_detail(&dev.reading, "count_ambient_low_temperature") == 8);
	told(&dev, VERSION, 0, (struct info){.n = 1, .p = {200}});
	assert_true(settings_number(&dev.settings, "protocol_version") == 200);
	told(&dev, ITEM, 4, (struct info){.n = 3, .p = {1, 0, 1}});
	device_free(&dev);
}

/* ---- is it one? ---- */

static bool plausible(const struct pack *p, const char **why)
{
	struct device dev = daren();

	told(&dev, MANUFACTURER, 0, manufacturer_info(35));
	told(&dev, DEVICE, 0, device_info(p));
	bool yes = dev.protocol->plausible(&dev, why);
	device_free(&dev);
	return yes;
}

static void a_battery_is_plausible_and_nonsense_is_not(void **unused)
{
	struct device dev = measured(pack_of(16, 4));
	struct pack p = pack_of(16, 4);
	const char *why = "";

	(void)unused;
	assert_false(dev.protocol->plausible(&dev, &why));
	device_free(&dev);
	assert_true(plausible(&p, &why));
	p.short_form = true;
	assert_true(plausible(&p, &why));
	p.voltage = p.voltage * 103 / 100;
	assert_false(plausible(&p, &why));
	p = pack_of(16, 4);
	p.dC[0] = 1201;
	assert_false(plausible(&p, &why));
	p = pack_of(16, 4);
	p.full = 0;
	assert_false(plausible(&p, &why));
	p = pack_of(3, 4);
	assert_false(plausible(&p, &why));
	p = pack_of(16, 4);
	memset(p.mV, 0, sizeof(p.mV));
	p.voltage = 0;
	assert_false(plausible(&p, &why));
	p = pack_of(16, 4);
	p.mV[5] = 0; /* one wire off */
	assert_true(plausible(&p, &why));
}

/* ---- commands ---- */

struct board {
	struct pack pack;
	uint8_t rtn;	/* to writes */
	bool ignores;	/* acknowledges, does nothing */
	bool mute;	/* does it, but does not answer */
	bool dead;	/* after the write it says nothing more */
	bool flickers;	/* the MOS shows as wanted every other time */
	unsigned slow;	/* replies to 42 until a switch has moved */
	unsigned asked; /* replies to 42 since the write */
	uint16_t fet;	/* what it shall become */
	unsigned item;
	unsigned writes;
};

static void take_write(struct board *b, uint8_t code, const uint8_t *info)
{
	b->writes++;
	b->asked = 0;
	if (b->rtn || b->ignores)
		return;
	if (code == MODULE) {
		b->pack.remaining = (unsigned)info[5] << 8 | info[6];
		return;
	}
	switch (info[1]) {
	case 0x00:
		b->fet |= 1;
		break;
	case 0x05:
		b->fet &= 0xfffe;
		break;
	case 0xf0:
		b->fet |= 2;
		break;
	case 0x06:
		b->fet &= 0xfffd;
		break;
	case 0x37:
	case 0x38:
		b->item = info[1] == 0x37;
		break;
	}
}

static struct info answer_info(struct board *b, uint8_t code)
{
	struct info info = module_info(4);

	switch (code) {
	case DEVICE:
		if (b->asked >= b->slow)
			b->pack.fet = b->fet;
		if (b->flickers && b->asked % 2)
			b->pack.fet = 0x23;
		b->asked++;
		return device_info(&b->pack);
	case ITEM:
		return (struct info){.n = 3, .p = {1, 0, (uint8_t)b->item}};
	default: /* module 4 */
		info.p[6] = (uint8_t)(b->pack.remaining >> 8);
		info.p[7] = (uint8_t)b->pack.remaining;
		info.p[8] = (uint8_t)(b->pack.full >> 8);
		info.p[9] = (uint8_t)b->pack.full;
		return info;
	}
}

static size_t answer(void *ctx, struct bytes request, uint8_t *rx)
{
	struct board *b = ctx;
	struct info info = {.n = 0};
	struct ascii_head head;
	uint8_t in[16];
	size_t n = ascii_frame_open(request.p, request.n, &head, in, sizeof(in));
	bool write = head.code == CONTROL || (head.code == MODULE && n == 7);

	if (b->dead && b->writes)
		return 0;
	if (write)
		take_write(b, head.code, in);
	else
		info = answer_info(b, head.code);
	if (write && (b->mute || b->dead))
		return 0;
	head.code = write ? b->rtn : 0;
	return ascii_frame(head, info.p, info.n, (char *)rx);
}

static struct board normal(void)
{
	struct board b = {.pack = pack_of(16, 4), .fet = 0x23, .item = 1};

	b.pack.current = 0;
	return b;
}

static struct act command(struct board *b, enum command_kind kind, double value)
{
	struct device dev = daren();
	struct command c = {.kind = kind, .value = value, .experimental = true};
	struct act a = act(&dev, &c, answer, b);

	device_free(&dev);
	return a;
}

static void switches_are_sent_and_read_back_twice(void **unused)
{
	static const struct {
		enum command_kind kind;
		double value;
		const char *write, *say;
	} all[] = {
		{COMMAND_CHARGE, 0, "~22014A45C0040105FCC0\r", "charge MOS reads back off"},
		{COMMAND_CHARGE, 1, "~22014A45C0040100FCC5\r", "charge MOS reads back on"},
		{COMMAND_DISCHARGE, 0, "~22014A45C0040106FCBF\r", "discharge MOS reads back off"},
		{COMMAND_DISCHARGE, 1, "~22014A45C00401F0FCAF\r", "discharge MOS reads back on"},
	};
	struct board b = normal();

	(void)unused;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct act a = command(&b, all[i].kind, all[i].value);

		assert_int_equal(a.outcome.result, COMMAND_DONE);
		assert_string_equal(a.outcome.say, all[i].say);
		assert_string_equal(ascii(a.writes), all[i].write);
		assert_int_equal(a.requests, 3);
	}
}

static void a_slow_switch_is_waited_for(void **unused)
{
	struct board b = normal();

	(void)unused;
	b.slow = 4;
	struct act a = command(&b, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_int_equal(a.requests, 1 + 4 + 2);
}

static void a_switch_that_does_not_stay_is_not_confirmed(void **unused)
{
	struct board b = normal();
	struct act a;

	(void)unused;
	b.flickers = true; /* never as wanted twice in a row */
	a = command(&b, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	b = normal();
	b.ignores = true;
	a = command(&b, COMMAND_DISCHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "acknowledged, but the discharge MOS does not stay off");
	b = normal();
	b.dead = true;
	a = command(&b, COMMAND_DISCHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the board does not answer the read-back");
}

static void a_refusal_is_one_and_silence_is_not(void **unused)
{
	struct board b = normal();
	struct act a;

	(void)unused;
	b.rtn = 0xe4;
	for (int kind = 0; kind < COMMAND_KINDS; kind++) {
		a = command(&b, (enum command_kind)kind, 0);
		assert_int_equal(a.outcome.result, COMMAND_REFUSED);
		assert_string_equal(a.outcome.say, "no permission (return code E4)");
	}
	b = normal();
	b.mute = true;
	a = command(&b, COMMAND_CHARGE, 0);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "not acknowledged, but the charge MOS reads back off");
}

static void static_balancing_is_read_back_by_its_item(void **unused)
{
	struct board b = normal();
	struct act a = command(&b, COMMAND_BALANCE, 0);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "static balancing reads back off");
	b = normal();
	b.ignores = true;
	a = command(&b, COMMAND_BALANCE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	b = normal();
	b.dead = true;
	a = command(&b, COMMAND_BALANCE, 0);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the state can't be read back: no answer");
}

static void the_soc_is_a_remaining_capacity_and_is_only_set_at_rest(void **unused)
{
	struct board b = normal();
	struct act a = command(&b, COMMAND_SOC, 62.5);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "remaining capacity reads back 50 Ah");
	assert_int_equal(b.writes, 1);
	assert_int_equal(b.pack.remaining, 5000);
	b = normal();
	b.ignores = true;
	a = command(&b, COMMAND_SOC, 62.5);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the remaining capacity reads back 53.6 Ah");
	b = normal();
	b.pack.current = -101;
	a = command(&b, COMMAND_SOC, 62.5);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.outcome.say, "only at rest: -1.01 A flow");
	assert_int_equal(b.writes, 0);
	b = normal();
	b.dead = true;
	a = command(&b, COMMAND_SOC, 62.5);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
}

static void all_commands_are_experimental(void **unused)
{
	const struct protocol *p = protocol_by_id("daren485");

	(void)unused;
	assert_int_equal(p->commands, (1 << COMMAND_KINDS) - 1);
	assert_int_equal(p->experimental, p->commands);
	assert_false(p->untested);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_those_of_the_sheet),
		cmocka_unit_test(nothing_but_the_harmless_control_codes_exists),
		cmocka_unit_test(addresses_are_1_to_15),
		cmocka_unit_test(only_commands_are_marked_as_writes),
		cmocka_unit_test(recorded_requests_are_recognised_in_both_styles),
		cmocka_unit_test(what_is_no_request_is_not_recognised),
		cmocka_unit_test(a_wrong_checksum_is_dropped),
		cmocka_unit_test(another_pack_version_class_or_start_is_no_answer),
		cmocka_unit_test(a_return_code_is_a_refusal),
		cmocka_unit_test(noise_cuts_glue_and_echo_are_no_matter),
		cmocka_unit_test(counts_and_length_must_fit),
		cmocka_unit_test(one_reply_is_not_taken_for_another),
		cmocka_unit_test(every_field_of_42_is_taken),
		cmocka_unit_test(the_extremes_of_every_size_are_decoded),
		cmocka_unit_test(the_short_form_ends_behind_the_balancing_word),
		cmocka_unit_test(a_frame_in_between_tells_what_it_has),
		cmocka_unit_test(whole_percents_are_told_from_hundredths),
		cmocka_unit_test(a_soc_above_100_is_not_believed),
		cmocka_unit_test(every_alarm_bit_alone_means_what_the_sheet_says),
		cmocka_unit_test(bits_that_are_states_or_settings_raise_nothing),
		cmocka_unit_test(all_bits_at_once_are_those_that_are_announced),
		cmocka_unit_test(permissions_follow_the_protections),
		cmocka_unit_test(an_inverted_shunt_is_turned_round_with_its_alarms),
		cmocka_unit_test(cells_in_trouble_are_named_in_details),
		cmocka_unit_test(manufacturer_information_comes_in_two_lengths),
		cmocka_unit_test(system_parameters_are_settings),
		cmocka_unit_test(the_capacity_module_is_the_better_source_of_the_design_capacity),
		cmocka_unit_test(the_manufacturing_module_is_the_name_plate),
		cmocka_unit_test(parameters_come_with_and_without_the_last_two),
		cmocka_unit_test(counters_items_and_version_are_taken),
		cmocka_unit_test(a_battery_is_plausible_and_nonsense_is_not),
		cmocka_unit_test(switches_are_sent_and_read_back_twice),
		cmocka_unit_test(a_slow_switch_is_waited_for),
		cmocka_unit_test(a_switch_that_does_not_stay_is_not_confirmed),
		cmocka_unit_test(a_refusal_is_one_and_silence_is_not),
		cmocka_unit_test(static_balancing_is_read_back_by_its_item),
		cmocka_unit_test(the_soc_is_a_remaining_capacity_and_is_only_set_at_rest),
		cmocka_unit_test(all_commands_are_experimental),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
