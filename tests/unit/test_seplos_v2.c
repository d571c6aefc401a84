/* SPDX-License-Identifier: GPL-3.0-or-later */
/* seplos-v2 on frames constructed from its sheet. */
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

enum { SEPLOS, BOQIANG, ANSWERS_AS_0 };
enum { TELEMETRY = 0x42, SIGNALS = 0x44, PARAMETERS = 0x47, CLOCK = 0x4d, VERSION = 0x4f, VENDOR = 0x51, WRITE = 0xa1 };

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

static const char *empty(const char *head)
{
	return frame(head, &(struct info){.n = 0});
}

/* What a pack measures. */
struct pack {
	unsigned cells, sensors;
	uint16_t mV[24], raw[8]; /* raw temperatures */
	int current;
	unsigned voltage, remaining, items, full, soc, design, cycles, soh, port;
};

static struct pack pack_of(unsigned cells, unsigned sensors)
{
	struct pack p = {.cells = cells,
			 .sensors = sensors,
			 .current = -676,
			 .remaining = 13390,
			 .items = 10,
			 .full = 17000,
			 .soc = 787,
			 .design = 18000,
			 .cycles = 70,
			 .soh = 1000,
			 .port = 5279};

	for (unsigned i = 0; i < cells; i++) {
		p.mV[i] = (uint16_t)(3300 + i);
		p.voltage += p.mV[i];
	}
	p.voltage /= 10;
	for (unsigned i = 0; i < sensors; i++)
		p.raw[i] = (uint16_t)(2731 + 250 + i);
	return p;
}

static struct info telemetry(const struct pack *p)
{
	struct info i = {.n = 0};

	put8(&i, 0);
	put8(&i, 1);
	put8(&i, p->cells);
	for (unsigned c = 0; c < p->cells; c++)
		put16(&i, p->mV[c]);
	put8(&i, p->sensors);
	for (unsigned t = 0; t < p->sensors; t++)
		put16(&i, p->raw[t]);
	put16(&i, (unsigned)p->current & 0xffff);
	put16(&i, p->voltage);
	put16(&i, p->remaining);
	put8(&i, p->items);
	put16(&i, p->full);
	if (p->items == 2) {
		put16(&i, p->cycles);
		return i;
	}
	put16(&i, p->soc);
	put16(&i, p->design);
	put16(&i, p->cycles);
	put16(&i, p->soh);
	put16(&i, p->port);
	for (unsigned r = 0; r < 4; r++)
		put16(&i, 0xfff2); /* reserved, not zero on newer boards */
	return i;
}

struct signals {
	unsigned cells, sensors;
	uint8_t cell[24], sensor[8], event[8]; /* event[0] is event 1 */
	uint8_t switches, current, voltage, state;
	uint16_t balancing, wires;
};

static struct info signals_info(const struct signals *s)
{
	struct info i = {.n = 0};

	put8(&i, 0);
	put8(&i, 0);
	put8(&i, s->cells);
	for (unsigned c = 0; c < s->cells; c++)
		put8(&i, s->cell[c]);
	put8(&i, s->sensors);
	for (unsigned t = 0; t < s->sensors; t++)
		put8(&i, s->sensor[t]);
	put8(&i, s->current);
	put8(&i, s->voltage);
	put8(&i, 20);
	for (unsigned e = 0; e < 6; e++)
		put8(&i, s->event[e]);
	put8(&i, s->switches);
	put8(&i, s->balancing & 0xff);
	put8(&i, s->balancing >> 8);
	put8(&i, s->state);
	put8(&i, s->wires & 0xff);
	put8(&i, s->wires >> 8);
	put8(&i, s->event[6]);
	put8(&i, s->event[7]);
	for (unsigned r = 0; r < 5; r++)
		put8(&i, 0);
	put8(&i, s->state);
	return i;
}

static struct info vendor_info(const char *model, unsigned major, unsigned minor, const char *text)
{
	struct info i = {.n = 0};
	char padded[32];

	snprintf(padded, sizeof(padded), "%-10s", model);
	memcpy(i.p, padded, 10);
	i.n = 10;
	put8(&i, major);
	put8(&i, minor);
	snprintf(padded, sizeof(padded), "%-20s", text);
	memcpy(i.p + i.n, padded, 20);
	i.n += 20;
	return i;
}

/* Words count up from 3000 mV, bytes from 1; the SoC preset is 50 Ah. */
static struct info block(void)
{
	struct info i = {.n = 0};

	put8(&i, 1);
	put8(&i, 60);
	for (unsigned w = 0; w < 59; w++)
		put16(&i, 3000 + w);
	put16(&i, 5000);
	put8(&i, 27);
	for (unsigned b = 0; b < 27; b++)
		put8(&i, b == 5 ? 16 : b + 1);
	put8(&i, 8);
	for (unsigned m = 0; m < 8; m++)
		put8(&i, m == 6 ? 0x01 : m == 7 ? 0x80 : 0xff);
	memcpy(i.p + i.n, "1101-ZA11 ", 10);
	i.n += 10;
	return i;
}

static enum exchange_state tell(struct device *dev, uint16_t code, const struct info *info, char *error)
{
	return play(dev, code, 0, RX(frame("20004600", info)), error);
}

static void told(struct device *dev, uint16_t code, struct info info)
{
	char error[128];

	if (tell(dev, code, &info, error) != EXCHANGE_ANSWERED)
		fail_msg("%s", error);
}

static struct device seplos(void)
{
	return fresh_device("seplos-v2", 0, SEPLOS);
}

static double told_number(struct pack p, enum quantity q)
{
	struct device dev = seplos();

	told(&dev, TELEMETRY, telemetry(&p));
	double v = reading_get(&dev.reading, q);
	device_free(&dev);
	return v;
}

/* The alarms of 44 with one bit of one event (from 1) set. */
static struct device signalled(struct signals s)
{
	struct device dev = seplos();

	s.cells = 16;
	s.sensors = 6;
	told(&dev, SIGNALS, signals_info(&s));
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
	struct device dev = seplos();

	(void)unused;
	assert_string_equal(ascii(request_hex(&dev, TELEMETRY, 0)), "~20004642E00200FD37\r");
	assert_string_equal(ascii(request_hex(&dev, SIGNALS, 0)), "~20004644E00200FD35\r");
	assert_string_equal(ascii(request_hex(&dev, PARAMETERS, 0)), "~200046470000FDA9\r");
	assert_string_equal(ascii(request_hex(&dev, VENDOR, 0)), "~200046510000FDAE\r");
	assert_string_equal(ascii(request_hex(&dev, VERSION, 0)), "~2000464F0000FD9A\r");
	dev.address = 10;
	assert_string_equal(ascii(request_hex(&dev, TELEMETRY, 0)), "~200A4642E0020AFD15\r");
	dev.address = 15;
	assert_string_equal(ascii(request_hex(&dev, SIGNALS, 0)), "~200F4644E0020FFD09\r");
	dev.address = 0;
	dev.dialect = BOQIANG;
	assert_string_equal(ascii(request_hex(&dev, TELEMETRY, 0)), "~26004642E00200FD31\r");
	device_free(&dev);
}

static void there_is_no_request_beyond_address_15_and_no_write_without_a_block(void **unused)
{
	struct device dev = fresh_device("seplos-v2", 16, SEPLOS);
	struct request request;

	(void)unused;
	assert_false(dev.protocol->encode(&dev, TELEMETRY, 0, &request));
	dev.address = 0;
	assert_false(dev.protocol->encode(&dev, WRITE, 0, &request));
	told(&dev, PARAMETERS, block());
	assert_true(dev.protocol->encode(&dev, WRITE, 0, &request));
	dev.dialect = BOQIANG;
	assert_false(dev.protocol->encode(&dev, WRITE, 0, &request));
	device_free(&dev);
}

static void only_the_parameter_block_is_marked_as_a_write(void **unused)
{
	struct device dev = seplos();
	const struct protocol *p = dev.protocol;
	struct request request;

	(void)unused;
	told(&dev, PARAMETERS, block());
	for (unsigned r = 0; r < p->poll_count; r++) {
		assert_true(p->encode(&dev, p->polls[r].code, p->polls[r].arg, &request));
		assert_false(request.writes);
	}
	assert_true(p->encode(&dev, WRITE, 1, &request));
	assert_true(request.writes);
	device_free(&dev);
}

static bool parse(const char *text, struct request *out)
{
	return protocol_by_id("seplos-v2")->parse_request((struct bytes){(const uint8_t *)text, strlen(text)}, out);
}

static void recorded_requests_are_recognised_with_whatever_group(void **unused)
{
	struct request request;

	(void)unused;
	assert_true(parse("~20004642E00201FD36\r", &request));
	assert_int_equal(request.code, TELEMETRY);
	assert_int_equal(request.address, 0);
	assert_int_equal(request.dialect, SEPLOS);
	assert_false(request.writes);
	assert_true(parse("~26004642E00201FD30\r", &request));
	assert_int_equal(request.dialect, BOQIANG);
	assert_true(parse("~20004647E00200FD32\r", &request));
	assert_true(parse("~200046470000FDA9\r", &request));
}

static void what_is_no_request_is_not_recognised(void **unused)
{
	struct request request;

	(void)unused;
	assert_false(parse("~20004642E00200FD38\r", &request)); /* checksum */
	assert_false(parse("~20004642E00200FD37", &request));	/* cut */
	assert_false(parse(">20004642E00200FD37\r", &request)); /* another start */
	assert_false(parse("~25014642E00201FD30\r", &request)); /* Pace */
	assert_false(parse("~22014A42E00201FD28\r", &request)); /* Daren */
	assert_false(parse("~20024692E00202FD2E\r", &request)); /* Pylontech */
	assert_false(parse("~200246610000FDAB\r", &request));	/* Pylontech */
	assert_false(parse("", &request));
}

/* ---- frames that are no answer ---- */

static enum exchange_state heard(const char *rx, char *error)
{
	struct device dev = seplos();
	enum exchange_state state = play(&dev, TELEMETRY, 0, RX(rx), error);

	if (state != EXCHANGE_ANSWERED)
		assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
	return state;
}

static void a_wrong_checksum_is_dropped(void **unused)
{
	struct pack p = pack_of(16, 6);
	struct info info = telemetry(&p);
	char hex[1200], error[128];

	(void)unused;
	snprintf(hex, sizeof(hex), "%s", frame("20004600", &info));
	hex[101] = hex[101] == '1' ? '2' : '1'; /* one digit of one cell */
	assert_int_equal(heard(hex, error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: checksum");
}

static void another_pack_or_class_is_no_answer(void **unused)
{
	struct pack p = pack_of(16, 6);
	struct info info = telemetry(&p);

	(void)unused;
	assert_int_equal(heard(frame("20004600", &info), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(heard(frame("20014600", &info), NULL), EXCHANGE_FAILED);
	assert_int_equal(heard(frame("25004600", &info), NULL), EXCHANGE_FAILED);
	assert_int_equal(heard(frame("26004600", &info), NULL), EXCHANGE_FAILED);
	assert_int_equal(heard(frame("20004A00", &info), NULL), EXCHANGE_FAILED);
}

static void a_return_code_is_a_refusal(void **unused)
{
	char error[128];

	(void)unused;
	assert_int_equal(heard(empty("20004604"), error), EXCHANGE_REFUSED);
	assert_string_equal(error, "command not known (return code 04)");
	assert_int_equal(heard(empty("20004601"), NULL), EXCHANGE_REFUSED);
}

static void noise_cuts_and_glue_are_no_matter(void **unused)
{
	struct device dev = seplos();
	struct pack p = pack_of(16, 6), other = pack_of(15, 6);
	struct info info = telemetry(&p), info2 = telemetry(&other);
	char hex[4000];

	(void)unused;
	snprintf(hex, sizeof(hex), "00ff7e3230%s0d0a", frame("20004600", &info));
	assert_int_equal(play(&dev, TELEMETRY, 0, RX(hex), NULL), EXCHANGE_ANSWERED);
	snprintf(hex, sizeof(hex), "%s%s", frame("20014600", &info2), frame("20004600", &info));
	assert_int_equal(play(&dev, TELEMETRY, 0, RX(hex), NULL), EXCHANGE_ANSWERED);
	assert_true(reading_get(&dev.reading, Q_CELL_COUNT) == 16);
	snprintf(hex, sizeof(hex), "%.200s", frame("20004600", &info));
	assert_int_equal(play(&dev, TELEMETRY, 0, RX(hex, frame("20004600", &info) + 200), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, TELEMETRY, 0, RX(hex), NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

static void the_echo_of_the_request_is_passed_over(void **unused)
{
	struct device dev = seplos();
	struct pack p = pack_of(16, 6);
	struct info info = telemetry(&p);
	char echo[100];

	(void)unused;
	snprintf(echo, sizeof(echo), "%s", request_hex(&dev, TELEMETRY, 0));
	assert_int_equal(play(&dev, TELEMETRY, 0, RX(echo, frame("20004600", &info)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, TELEMETRY, 0, RX("00", echo, frame("20004600", &info)), NULL), EXCHANGE_ANSWERED);
	assert_int_equal(play(&dev, TELEMETRY, 0, RX(echo), NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

static void a_frame_whose_length_does_not_fit_its_counts_is_not_believed(void **unused)
{
	struct device dev = seplos();
	struct pack p = pack_of(16, 6);
	struct info info = telemetry(&p);
	char error[128];

	(void)unused;
	info.n--;
	assert_int_equal(tell(&dev, TELEMETRY, &info, error), EXCHANGE_FAILED);
	assert_non_null(strstr(error, "length"));
	info.n += 2;
	assert_int_equal(tell(&dev, TELEMETRY, &info, NULL), EXCHANGE_FAILED);
	info = telemetry(&p);
	info.p[2] = 15;
	assert_int_equal(tell(&dev, TELEMETRY, &info, NULL), EXCHANGE_FAILED);
	info.p[2] = 255;
	assert_int_equal(tell(&dev, TELEMETRY, &info, NULL), EXCHANGE_FAILED);
	info.n = 0;
	assert_int_equal(tell(&dev, TELEMETRY, &info, NULL), EXCHANGE_FAILED);
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

static void the_reply_to_44_is_no_telemetry_nor_the_other_way_round(void **unused)
{
	struct device dev = seplos();
	struct pack p = pack_of(16, 6);
	struct signals s = {.cells = 16, .sensors = 6, .switches = 3};
	struct info t = telemetry(&p), g = signals_info(&s), v = vendor_info("1101-SP15", 2, 7, "");

	(void)unused;
	assert_int_equal(tell(&dev, TELEMETRY, &g, NULL), EXCHANGE_FAILED);
	assert_int_equal(tell(&dev, TELEMETRY, &v, NULL), EXCHANGE_FAILED);
	assert_int_equal(tell(&dev, SIGNALS, &t, NULL), EXCHANGE_FAILED);
	assert_int_equal(tell(&dev, SIGNALS, &v, NULL), EXCHANGE_FAILED);
	assert_int_equal(tell(&dev, VENDOR, &t, NULL), EXCHANGE_FAILED);
	assert_int_equal(tell(&dev, PARAMETERS, &t, NULL), EXCHANGE_FAILED);
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

static void a_pylontech_is_told_by_its_count_of_items(void **unused)
{
	struct device dev = seplos();
	struct pack p = pack_of(15, 5);
	struct info info;
	char error[128];

	(void)unused;
	p.items = 4;
	info = telemetry(&p);
	assert_int_equal(tell(&dev, TELEMETRY, &info, error), EXCHANGE_FAILED);
	assert_non_null(strstr(error, "another device of this family"));
	p.items = 2;
	info = telemetry(&p);
	assert_int_equal(tell(&dev, TELEMETRY, &info, NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

static void only_a_board_that_is_set_to_answer_as_0_may_do_so(void **unused)
{
	struct device dev = fresh_device("seplos-v2", 1, SEPLOS);
	struct pack p = pack_of(16, 6);
	struct info info = telemetry(&p);

	(void)unused;
	assert_int_equal(play(&dev, TELEMETRY, 0, RX(frame("20004600", &info)), NULL), EXCHANGE_FAILED);
	assert_int_equal(play(&dev, TELEMETRY, 0, RX(frame("20014600", &info)), NULL), EXCHANGE_ANSWERED);
	dev.dialect = ANSWERS_AS_0;
	assert_string_equal(ascii(request_hex(&dev, TELEMETRY, 0)), "~20014642E00201FD35\r");
	assert_int_equal(play(&dev, TELEMETRY, 0, RX(frame("20004600", &info)), NULL), EXCHANGE_ANSWERED);
	assert_true(reading_get(&dev.reading, Q_ADDRESS) == 1);
	assert_int_equal(play(&dev, TELEMETRY, 0, RX(frame("20014600", &info)), NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

static void not_to_know_92_is_the_answer_of_a_seplos(void **unused)
{
	struct device dev = seplos();
	struct info info = {.n = 10};

	(void)unused;
	assert_int_equal(play_tx(&dev, "7e323030303436393230303030464441390d", RX(empty("20004604")), NULL),
			 EXCHANGE_ANSWERED);
	assert_int_equal(play_tx(&dev, "7e323030303436393230303030464441390d", RX(empty("20004601")), NULL),
			 EXCHANGE_REFUSED);
	assert_int_equal(play_tx(&dev, "7e323030303436393230303030464441390d", RX(frame("20004600", &info)), NULL),
			 EXCHANGE_FAILED);
	device_free(&dev);
}

/* ---- telemetry ---- */

static void every_field_of_42_is_taken(void **unused)
{
	struct device dev = seplos();
	struct pack p = pack_of(16, 6);
	const struct reading *r = &dev.reading;

	(void)unused;
	told(&dev, TELEMETRY, telemetry(&p));
	assert_true(reading_get(r, Q_CURRENT_A) == -6.76);
	assert_true(reading_get(r, Q_VOLTAGE_V) == 52.92);
	assert_true(reading_get(r, Q_CAPACITY_REMAINING_AH) == 133.9);
	assert_true(reading_get(r, Q_CAPACITY_FULL_AH) == 170);
	assert_true(reading_get(r, Q_CAPACITY_DESIGN_AH) == 180);
	assert_true(reading_get(r, Q_SOC_PCT) == 78.7);
	assert_true(reading_get(r, Q_SOH_PCT) == 100);
	assert_true(reading_get(r, Q_CYCLES) == 70);
	assert_true(reading_detail(r, "port_voltage_V") == 52.79);
	assert_int_equal(r->cell_V.count, 16);
	assert_true(r->cell_V.value[0] == 3.3 && r->cell_V.value[15] == 3.315);
	assert_int_equal(r->temperatures.count, 4);
	assert_true(r->temperatures.value[3] == 25.3);
	assert_true(reading_get(r, Q_TEMP_AMBIENT_C) == 25.4);
	assert_true(reading_get(r, Q_TEMP_MOS_C) == 25.5);
	device_free(&dev);
}

static void the_extremes_of_every_size_are_decoded(void **unused)
{
	struct pack p = pack_of(24, 8);

	(void)unused;
	p.current = 32767;
	assert_true(told_number(p, Q_CURRENT_A) == 327.67);
	p.current = -32768;
	assert_true(told_number(p, Q_CURRENT_A) == -327.68);
	assert_true(told_number(p, Q_CELL_COUNT) == 24);
	p = pack_of(4, 1);
	p.full = p.remaining = 65535;
	assert_true(told_number(p, Q_CAPACITY_FULL_AH) == 655.35);
	assert_true(told_number(p, Q_CELL_COUNT) == 4);
}

static void a_pack_of_five_sensors_or_fewer_has_no_known_mos_sensor(void **unused)
{
	struct device dev = seplos();
	struct pack p = pack_of(16, 5);

	(void)unused;
	told(&dev, TELEMETRY, telemetry(&p));
	assert_int_equal(dev.reading.temperatures.count, 5);
	assert_false(reading_knows(&dev.reading, Q_TEMP_MOS_C));
	assert_false(reading_knows(&dev.reading, Q_TEMP_AMBIENT_C));
	device_free(&dev);
}

static void a_sensor_that_is_not_there_is_unknown(void **unused)
{
	struct device dev = seplos();
	struct pack p = pack_of(16, 6);

	(void)unused;
	told(&dev, TELEMETRY, telemetry(&p));
	p.raw[1] = 0;
	p.raw[4] = 0xffff;
	p.raw[5] = 2731 - 105;
	told(&dev, TELEMETRY, telemetry(&p));
	assert_false(series_knows(&dev.reading.temperatures, 1));
	assert_true(series_knows(&dev.reading.temperatures, 2));
	assert_false(reading_knows(&dev.reading, Q_TEMP_AMBIENT_C));
	assert_true(reading_get(&dev.reading, Q_TEMP_MOS_C) == -10.5);
	device_free(&dev);
}

static void a_soc_above_100_is_not_believed(void **unused)
{
	struct device dev = seplos();
	struct pack p = pack_of(16, 6);
	struct info info;
	char error[128];

	(void)unused;
	p.soc = 1001;
	info = telemetry(&p);
	assert_int_equal(tell(&dev, TELEMETRY, &info, error), EXCHANGE_FAILED);
	assert_string_equal(error, "reply rejected: SoC above 100 %");
	assert_int_equal(dev.reading.known, 0);
	device_free(&dev);
}

static void cells_that_are_not_fitted_are_left_out(void **unused)
{
	struct device dev = seplos();
	struct pack p = pack_of(16, 6);

	(void)unused;
	p.voltage -= (p.mV[14] + p.mV[15] + p.mV[2]) / 10u;
	p.mV[14] = p.mV[15] = p.mV[2] = 0;
	told(&dev, TELEMETRY, telemetry(&p));
	assert_int_equal(dev.reading.cell_V.count, 14);
	assert_true(reading_get(&dev.reading, Q_CELL_COUNT) == 14);
	assert_false(series_knows(&dev.reading.cell_V, 2));
	struct signals s = {.cells = 16, .sensors = 6, .switches = 3};
	told(&dev, SIGNALS, signals_info(&s));
	assert_true(reading_get(&dev.reading, Q_CELL_COUNT) == 14);
	device_free(&dev);
}

static void a_cell_whose_wire_is_off_is_still_a_cell(void **unused)
{
	struct device dev = seplos();
	struct pack p = pack_of(16, 6);

	(void)unused;
	p.mV[15] = 0;
	told(&dev, TELEMETRY, telemetry(&p));
	assert_int_equal(dev.reading.cell_V.count, 16);
	assert_true(series_knows(&dev.reading.cell_V, 15));
	assert_true(dev.reading.cell_V.value[15] == 0);
	device_free(&dev);
}

static void an_inverted_shunt_is_turned_round_with_its_alarms(void **unused)
{
	struct device dev = seplos();
	struct pack p = pack_of(16, 6);
	struct signals s = {.cells = 16, .sensors = 6, .event = {0, 0, 0, 0, 0x02}};

	(void)unused;
	dev.options.invert_current = true;
	told(&dev, TELEMETRY, telemetry(&p));
	told(&dev, SIGNALS, signals_info(&s));
	assert_true(reading_get(&dev.reading, Q_CURRENT_A) == 6.76);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_RAISED);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_CHARGE_CURRENT], ALARM_OK);
	device_free(&dev);
}

static void a_boqiang_has_no_soc_of_its_own(void **unused)
{
	struct device dev = fresh_device("seplos-v2", 0, BOQIANG);
	struct pack p = pack_of(16, 6);
	struct info info;

	(void)unused;
	p.items = 2;
	p.full = 20000;
	p.remaining = 5000;
	info = telemetry(&p);
	assert_int_equal(play(&dev, TELEMETRY, 0, RX(frame("26004600", &info)), NULL), EXCHANGE_ANSWERED);
	assert_true(reading_get(&dev.reading, Q_SOC_PCT) == 25);
	assert_true(reading_get(&dev.reading, Q_CYCLES) == 70);
	assert_false(reading_knows(&dev.reading, Q_SOH_PCT));
	assert_false(reading_knows(&dev.reading, Q_CAPACITY_DESIGN_AH));
	p.full = 0;
	info = telemetry(&p);
	assert_int_equal(play(&dev, TELEMETRY, 0, RX(frame("26004600", &info)), NULL), EXCHANGE_ANSWERED);
	assert_false(reading_knows(&dev.reading, Q_SOC_PCT));
	p.items = 10;
	info = telemetry(&p);
	assert_int_equal(play(&dev, TELEMETRY, 0, RX(frame("26004600", &info)), NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

/* ---- signals ---- */

static const struct {
	uint8_t event, bit;
	enum alarm alarm;
	enum alarm_level level;
	const char *own;
	enum alarm_level own_level;
} bits[] = {
	{1, 0, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "voltage_sensor_fault", ALARM_RAISED},
	{1, 1, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "temperature_sensor_fault", ALARM_RAISED},
	{1, 2, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "current_sensor_fault", ALARM_RAISED},
	{1, 3, ALARM_INTERNAL_FAILURE, ALARM_WARNING, "key_switch_fault", ALARM_WARNING},
	{1, 4, ALARM_CELL_IMBALANCE, ALARM_RAISED, NULL, ALARM_OK},
	{1, 5, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "charge_switch_fault", ALARM_RAISED},
	{1, 6, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "discharge_switch_fault", ALARM_RAISED},
	{1, 7, ALARM_INTERNAL_FAILURE, ALARM_WARNING, "current_limit_switch_fault", ALARM_WARNING},
	{2, 0, ALARM_HIGH_CELL_VOLTAGE, ALARM_WARNING, NULL, ALARM_OK},
	{2, 1, ALARM_HIGH_CELL_VOLTAGE, ALARM_RAISED, NULL, ALARM_OK},
	{2, 2, ALARM_LOW_CELL_VOLTAGE, ALARM_WARNING, NULL, ALARM_OK},
	{2, 3, ALARM_LOW_CELL_VOLTAGE, ALARM_RAISED, NULL, ALARM_OK},
	{2, 4, ALARM_HIGH_VOLTAGE, ALARM_WARNING, NULL, ALARM_OK},
	{2, 5, ALARM_HIGH_VOLTAGE, ALARM_RAISED, NULL, ALARM_OK},
	{2, 6, ALARM_LOW_VOLTAGE, ALARM_WARNING, NULL, ALARM_OK},
	{2, 7, ALARM_LOW_VOLTAGE, ALARM_RAISED, NULL, ALARM_OK},
	{3, 0, ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_WARNING, NULL, ALARM_OK},
	{3, 1, ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_RAISED, NULL, ALARM_OK},
	{3, 2, ALARM_LOW_CHARGE_TEMPERATURE, ALARM_WARNING, NULL, ALARM_OK},
	{3, 3, ALARM_LOW_CHARGE_TEMPERATURE, ALARM_RAISED, NULL, ALARM_OK},
	{3, 4, ALARM_HIGH_TEMPERATURE, ALARM_WARNING, NULL, ALARM_OK},
	{3, 5, ALARM_HIGH_TEMPERATURE, ALARM_RAISED, NULL, ALARM_OK},
	{3, 6, ALARM_LOW_TEMPERATURE, ALARM_WARNING, NULL, ALARM_OK},
	{3, 7, ALARM_LOW_TEMPERATURE, ALARM_RAISED, NULL, ALARM_OK},
	{4, 0, ALARM_HIGH_TEMPERATURE, ALARM_WARNING, "ambient_high_temperature", ALARM_WARNING},
	{4, 1, ALARM_HIGH_TEMPERATURE, ALARM_RAISED, "ambient_high_temperature", ALARM_RAISED},
	{4, 2, ALARM_LOW_TEMPERATURE, ALARM_WARNING, "ambient_low_temperature", ALARM_WARNING},
	{4, 3, ALARM_LOW_TEMPERATURE, ALARM_RAISED, "ambient_low_temperature", ALARM_RAISED},
	{4, 4, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_RAISED, NULL, ALARM_OK},
	{4, 5, ALARM_HIGH_INTERNAL_TEMPERATURE, ALARM_WARNING, NULL, ALARM_OK},
	{4, 7, ALARM_FUSE_BLOWN, ALARM_RAISED, NULL, ALARM_OK},
	{5, 0, ALARM_HIGH_CHARGE_CURRENT, ALARM_WARNING, NULL, ALARM_OK},
	{5, 1, ALARM_HIGH_CHARGE_CURRENT, ALARM_RAISED, NULL, ALARM_OK},
	{5, 2, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_WARNING, NULL, ALARM_OK},
	{5, 3, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_RAISED, NULL, ALARM_OK},
	{5, 4, ALARM_HIGH_DISCHARGE_CURRENT, ALARM_RAISED, NULL, ALARM_OK},
	{5, 5, ALARM_SHORT_CIRCUIT, ALARM_RAISED, NULL, ALARM_OK},
	{5, 6, ALARM_COUNT, ALARM_OK, "discharge_locked", ALARM_RAISED},
	{5, 7, ALARM_COUNT, ALARM_OK, "discharge_locked", ALARM_RAISED},
	{6, 0, ALARM_HIGH_VOLTAGE, ALARM_RAISED, NULL, ALARM_OK},
	{6, 2, ALARM_LOW_SOC, ALARM_WARNING, NULL, ALARM_OK},
	{6, 3, ALARM_LOW_SOC, ALARM_RAISED, NULL, ALARM_OK},
	{6, 4, ALARM_LOW_CELL_VOLTAGE, ALARM_RAISED, NULL, ALARM_OK},
	{6, 5, ALARM_COUNT, ALARM_OK, "output_reverse_polarity", ALARM_RAISED},
	{6, 6, ALARM_COUNT, ALARM_OK, "output_connection_fault", ALARM_RAISED},
	{8, 0, ALARM_INTERNAL_FAILURE, ALARM_RAISED, "eeprom_fault", ALARM_RAISED},
	{8, 1, ALARM_INTERNAL_FAILURE, ALARM_WARNING, "clock_fault", ALARM_WARNING},
	{8, 2, ALARM_COUNT, ALARM_OK, "calibration_missing", ALARM_WARNING},
	{8, 3, ALARM_COUNT, ALARM_OK, "calibration_missing", ALARM_WARNING},
	{8, 4, ALARM_COUNT, ALARM_OK, "calibration_missing", ALARM_WARNING},
};

static void every_alarm_bit_alone_means_what_the_sheet_says(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		struct signals s = {.switches = 3};

		s.event[bits[i].event - 1] = (uint8_t)(1u << bits[i].bit);
		struct device dev = signalled(s);
		const struct alarms *a = &dev.reading.alarms;
		bool two = (bits[i].event == 1 && bits[i].bit == 4) || (bits[i].event == 5 && bits[i].bit == 5);

		assert_int_equal(alarms_raised(a), (bits[i].alarm != ALARM_COUNT) + (bits[i].own != NULL) + two);
		if (bits[i].alarm != ALARM_COUNT)
			assert_int_equal(a->level[bits[i].alarm], bits[i].level);
		if (bits[i].own) {
			assert_string_equal(a->own[0].name, bits[i].own);
			assert_int_equal(a->own[0].level, bits[i].own_level);
		}
		device_free(&dev);
	}
}

static void two_bits_raise_a_second_alarm(void **unused)
{
	struct device dev = signalled((struct signals){.event = {0x10, 0, 0, 0, 0x20}});

	(void)unused;
	assert_int_equal(dev.reading.alarms.level[ALARM_INTERNAL_FAILURE], ALARM_WARNING);
	assert_int_equal(dev.reading.alarms.level[ALARM_HIGH_DISCHARGE_CURRENT], ALARM_RAISED);
	device_free(&dev);
}

static void bits_that_are_states_raise_nothing(void **unused)
{
	struct device dev = signalled((struct signals){.event = {0, 0, 0, 0x40, 0, 0x82, 0x30, 0xe0}});
	const struct reading *r = &dev.reading;

	(void)unused;
	assert_true(r->alarms.known);
	assert_int_equal(alarms_raised(&r->alarms), 0);
	assert_int_equal(reading_flag(r, F_HEATER_ON), ON);
	assert_true(reading_detail(r, "intermittent_recharge_waiting") == 1);
	assert_true(reading_detail(r, "automatic_charge_waiting") == 1);
	assert_true(reading_detail(r, "manual_charge_waiting") == 1);
	device_free(&dev);
}

static void all_bits_at_once_are_all_told(void **unused)
{
	struct device dev =
		signalled((struct signals){.event = {255, 255, 255, 255, 255, 255, 255, 255}, .wires = 0xffff});
	const struct alarms *a = &dev.reading.alarms;

	(void)unused;
	for (unsigned i = 0; i < ALARM_COUNT; i++)
		if (dev.protocol->alarms >> i & 1)
			assert_int_equal(a->level[i], ALARM_RAISED);
		else
			assert_int_equal(a->level[i], ALARM_OK);
	assert_true(a->own_count < MAX_OWN_ALARMS);
	device_free(&dev);
}

static void a_broken_wire_names_its_cell(void **unused)
{
	struct device dev = signalled((struct signals){.wires = 0x8001});
	const struct alarms *a = &dev.reading.alarms;

	(void)unused;
	assert_int_equal(a->level[ALARM_INTERNAL_FAILURE], ALARM_RAISED);
	assert_int_equal(a->own_count, 2);
	assert_string_equal(a->own[0].name, "cell_1_wire_broken");
	assert_string_equal(a->own[1].name, "cell_16_wire_broken");
	device_free(&dev);
}

static void switches_balancing_and_states_are_told(void **unused)
{
	struct device dev = signalled((struct signals){.switches = 0x0d,
						       .balancing = 0x8010,
						       .state = 0x10,
						       .current = 1,
						       .voltage = 2,
						       .cell = {[4] = 2, [5] = 1, [15] = 0xf0},
						       .sensor = {[5] = 2}});
	const struct reading *r = &dev.reading;

	(void)unused;
	assert_int_equal(reading_flag(r, F_DISCHARGE_MOS), ON);
	assert_int_equal(reading_flag(r, F_CHARGE_MOS), OFF);
	assert_int_equal(reading_flag(r, F_HEATER_ON), ON);
	assert_true(reading_detail(r, "current_limiter_on") == 1);
	assert_int_equal(r->balancing, 0x8010);
	assert_int_equal(reading_flag(r, F_BALANCING_ACTIVE), ON);
	assert_true(reading_detail(r, "cells_high_bits") == 1 << 4);
	assert_true(reading_detail(r, "cells_low_bits") == 1 << 5);
	assert_true(reading_detail(r, "cells_fault_bits") == 1 << 15);
	assert_true(reading_detail(r, "sensors_high_bits") == 1 << 5);
	assert_true(isnan(reading_detail(r, "sensors_low_bits")));
	assert_true(reading_detail(r, "mode_bits") == 0x10);
	assert_true(reading_detail(r, "current_alarm_code") == 1);
	assert_true(reading_detail(r, "voltage_alarm_code") == 2);
	device_free(&dev);
}

static void permissions_follow_the_protections(void **unused)
{
	static const uint8_t charge[][2] = {{2, 1}, {2, 5}, {3, 1}, {3, 3}, {5, 1}, {6, 0}, {6, 4}};
	static const uint8_t discharge[][2] = {{2, 3}, {2, 7}, {3, 5}, {3, 7}, {5, 3},
					       {5, 4}, {5, 5}, {5, 6}, {5, 7}, {6, 3}};

	(void)unused;
	for (unsigned event = 1; event <= 8; event++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			struct signals s = {.switches = 3};
			bool stops[2] = {false, false};

			s.event[event - 1] = (uint8_t)(1u << bit);
			for (size_t i = 0; i < sizeof(charge) / sizeof(charge[0]); i++)
				stops[0] |= charge[i][0] == event && charge[i][1] == bit;
			for (size_t i = 0; i < sizeof(discharge) / sizeof(discharge[0]); i++)
				stops[1] |= discharge[i][0] == event && discharge[i][1] == bit;
			struct device dev = signalled(s);
			assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), stops[0] ? OFF : ON);
			assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), stops[1] ? OFF : ON);
			device_free(&dev);
		}
	}
	struct device dev = signalled((struct signals){.switches = 0});
	assert_int_equal(reading_flag(&dev.reading, F_CHARGE_ALLOWED), OFF);
	assert_int_equal(reading_flag(&dev.reading, F_DISCHARGE_ALLOWED), OFF);
	device_free(&dev);
}

static void signals_of_another_length_are_not_believed(void **unused)
{
	struct device dev = seplos();
	struct signals s = {.cells = 8, .sensors = 6, .switches = 3};
	struct info info = signals_info(&s);

	(void)unused;
	told(&dev, SIGNALS, info);
	device_free(&dev);
	dev = seplos();
	info.n--;
	assert_int_equal(tell(&dev, SIGNALS, &info, NULL), EXCHANGE_FAILED);
	info = signals_info(&s);
	info.p[2] = 200;
	assert_int_equal(tell(&dev, SIGNALS, &info, NULL), EXCHANGE_FAILED);
	info = signals_info(&s);
	info.p[4 + 8 + 6 + 2] = 19;
	assert_int_equal(tell(&dev, SIGNALS, &info, NULL), EXCHANGE_FAILED);
	assert_false(dev.reading.alarms.known);
	device_free(&dev);
}

/* ---- identity, parameters ---- */

static void vendor_information_is_taken(void **unused)
{
	struct device dev = seplos();
	struct info info = vendor_info("1101-SP15", 16, 4, "CANProtocol:Sofar");

	(void)unused;
	told(&dev, VENDOR, info);
	assert_string_equal(dev.reading.text[T_MODEL], "1101-SP15");
	assert_string_equal(dev.reading.text[T_FIRMWARE_VERSION], "16.4");
	assert_string_equal(settings_find(&dev.settings, "can_protocol")->text, "CANProtocol:Sofar");
	info.p[0] = 0;
	assert_int_equal(tell(&dev, VENDOR, &info, NULL), EXCHANGE_FAILED);
	device_free(&dev);
	dev = fresh_device("seplos-v2", 0, BOQIANG);
	info = vendor_info("BMS07-LD43", 1, 8, "JS-Richpower Co.,Ltd");
	assert_int_equal(play(&dev, VENDOR, 0, RX(frame("26004600", &info)), NULL), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_MANUFACTURER], "JS-Richpower Co.,Ltd");
	device_free(&dev);
}

static void the_clock_is_shown_when_it_is_one(void **unused)
{
	struct device dev = seplos();
	struct info info = {.n = 7, .p = {0x07, 0xe8, 2, 29, 23, 59, 58}};

	(void)unused;
	told(&dev, CLOCK, info);
	assert_string_equal(settings_find(&dev.settings, "clock")->text, "2024-02-29 23:59:58");
	info.p[2] = 13;
	assert_int_equal(tell(&dev, CLOCK, &info, NULL), EXCHANGE_FAILED);
	info.p[2] = 12;
	info.n = 6;
	assert_int_equal(tell(&dev, CLOCK, &info, NULL), EXCHANGE_FAILED);
	device_free(&dev);
}

static void parameters_are_settings(void **unused)
{
	struct device dev = seplos();
	struct info info = block();
	const struct settings *s = &dev.settings;

	(void)unused;
	info.p[2 + 2 * 0x37] = 0xc1; /* -160 A */
	info.p[3 + 2 * 0x37] = 0x80;
	told(&dev, PARAMETERS, info);
	assert_true(settings_number(s, "cell_high_warning_V") == 3.0);
	assert_true(settings_number(s, "cell_ovp_V") == 3.004);
	assert_true(settings_number(s, "pack_ovp_V") == 30.14);
	assert_true(settings_number(s, "charge_otp_C") == (3000 + 0x18 - 2731) / 10.0);
	assert_true(settings_number(s, "charge_ocp_A") == 30.54);
	assert_true(settings_number(s, "discharge_ocp_A") == 160);
	assert_true(settings_number(s, "capacity_design_Ah") == 30.58);
	assert_true(settings_number(s, "soc_preset_Ah") == 50);
	assert_true(settings_number(s, "cells") == 16);
	assert_true(settings_number(s, "compensation_2_mOhm") == 2.7);
	assert_true(settings_number(s, "balance_charging") == 1);
	assert_true(settings_number(s, "balance_static") == 0);
	assert_true(settings_number(s, "single_charging_1C") == 1);
	assert_string_equal(settings_find(s, "function_mask")->text, "ffffffffffff0180");
	assert_int_equal(reading_flag(&dev.reading, F_BALANCE_ENABLED), ON);
	assert_string_equal(dev.reading.text[T_MODEL], "1101-ZA11");
	assert_true(s->count < MAX_SETTINGS);
	device_free(&dev);
}

static void a_block_of_another_layout_is_not_believed(void **unused)
{
	static const uint8_t at[] = {1, 122, 150};

	(void)unused;
	for (unsigned i = 0; i < 4; i++) {
		struct device dev = seplos();
		struct info info = block();

		if (i < 3)
			info.p[at[i]]++;
		else
			info.n--;
		assert_int_equal(tell(&dev, PARAMETERS, &info, NULL), EXCHANGE_FAILED);
		assert_int_equal(dev.settings.count, 0);
		device_free(&dev);
	}
}

/* ---- is it one? ---- */

static bool plausible(const struct pack *p, const char **why)
{
	struct device dev = seplos();

	told(&dev, TELEMETRY, telemetry(p));
	told(&dev, VENDOR, vendor_info("1101-SP15", 2, 7, ""));
	bool yes = dev.protocol->plausible(&dev, why);
	device_free(&dev);
	return yes;
}

static void a_battery_is_plausible_and_nonsense_is_not(void **unused)
{
	struct device dev = seplos();
	struct pack p = pack_of(16, 6);
	const char *why = "";

	(void)unused;
	assert_false(dev.protocol->plausible(&dev, &why));
	told(&dev, TELEMETRY, telemetry(&p));
	assert_false(dev.protocol->plausible(&dev, &why));
	device_free(&dev);
	assert_true(plausible(&p, &why));
	p.voltage = p.voltage * 103 / 100;
	assert_false(plausible(&p, &why));
	assert_string_equal(why, "the cells do not make up the pack's voltage");
	p = pack_of(16, 6);
	p.voltage *= 10; /* mV would be a Pylontech */
	assert_false(plausible(&p, &why));
	p = pack_of(16, 6);
	p.raw[0] = 2731 + 1201;
	assert_false(plausible(&p, &why));
	p = pack_of(16, 6);
	p.full = 0;
	assert_false(plausible(&p, &why));
	p = pack_of(16, 6);
	memset(p.mV, 0, sizeof(p.mV));
	p.voltage = 0;
	assert_false(plausible(&p, &why));
	p = pack_of(16, 6);
	p.mV[3] = 6000;
	assert_false(plausible(&p, &why));
}

static void a_pack_with_one_broken_wire_is_still_found(void **unused)
{
	struct pack p = pack_of(16, 6);
	const char *why = "";

	(void)unused;
	p.mV[7] = 0;
	assert_true(plausible(&p, &why));
	p.voltage -= 330; /* fifteen cells in a board for sixteen */
	assert_true(plausible(&p, &why));
}

/* ---- the SoC ---- */

struct board {
	struct pack pack;
	struct signals signals;
	struct info block;
	uint8_t rtn;	     /* to A1 */
	bool ignores;	     /* acknowledges A1, but keeps its block */
	bool mute;	     /* does A1, but does not answer it */
	bool stays;	     /* takes the block, the SoC does not follow */
	bool changes_others; /* takes more than was asked */
	bool dead;	     /* never answers 47 */
	unsigned slow;	     /* telemetry requests until the SoC follows */
	unsigned writes;
	unsigned pending;
};

static void take_write(struct board *b, const uint8_t *block)
{
	b->writes++;
	if (b->rtn || b->ignores)
		return;
	memcpy(b->block.p, block, b->block.n);
	b->block.p[0] = 1; /* a flag of the board's own */
	if (b->changes_others)
		b->block.p[10] ^= 1;
	if (!b->stays)
		b->pending = (unsigned)b->block.p[120] << 8 | b->block.p[121];
}

static void follow_preset(struct board *b)
{
	if (b->pending && b->slow) {
		b->slow--;
	} else if (b->pending) {
		b->pack.remaining = b->pending;
		b->pack.soc = 1000 * b->pending / b->pack.full;
	}
}

static size_t answer(void *ctx, struct bytes request, uint8_t *rx)
{
	struct board *b = ctx;
	struct info info = {.n = 0};
	struct ascii_head head;
	uint8_t in[200];

	ascii_frame_open(request.p, request.n, &head, in, sizeof(in));
	switch (head.code) {
	case TELEMETRY:
		follow_preset(b);
		info = telemetry(&b->pack);
		break;
	case SIGNALS:
		info = signals_info(&b->signals);
		break;
	case PARAMETERS:
		if (b->dead)
			return 0;
		info = b->block;
		break;
	case WRITE:
		take_write(b, in);
		if (b->mute)
			return 0;
		break;
	default:
		return 0;
	}
	head.code = head.code == WRITE ? b->rtn : 0;
	return ascii_frame(head, info.p, info.n, (char *)rx);
}

static struct board normal(void)
{
	return (struct board){
		.pack = pack_of(16, 6), .signals = {.cells = 16, .sensors = 6, .switches = 3}, .block = block()};
}

static struct act command(struct board *b, enum command_kind kind, double value)
{
	struct device dev = seplos();
	struct command c = {.kind = kind, .value = value, .experimental = true};
	struct act a = act(&dev, &c, answer, b);

	device_free(&dev);
	return a;
}

static void the_soc_goes_into_the_preset_of_the_block_and_nothing_else_changes(void **unused)
{
	struct board b = normal();
	struct info was = b.block;
	struct act a = command(&b, COMMAND_SOC, 50);

	(void)unused;
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.outcome.say, "SoC reads back 50 %, remaining capacity 85 Ah");
	assert_int_equal(b.writes, 1);
	put16((was.n = 120, &was), 8500);
	was.n = b.block.n;
	assert_memory_equal(b.block.p, was.p, was.n);
}

static void the_write_is_the_block_with_the_flag_cleared(void **unused)
{
	struct device dev = seplos();
	struct info info = block();
	char text[ASCII_FRAME_TEXT], wrote[600];

	(void)unused;
	told(&dev, PARAMETERS, info);
	info.p[0] = 0;
	info.p[120] = 8500 >> 8;
	info.p[121] = 8500 & 0xff;
	text[characters("200046A1", &info, text)] = 0;
	snprintf(wrote, sizeof(wrote), "%s", ascii(request_hex(&dev, WRITE, 8500)));
	assert_string_equal(wrote, text);
	assert_int_equal(strlen(wrote), 356);
	device_free(&dev);
}

static void a_slow_board_is_waited_for_but_not_for_ever(void **unused)
{
	struct board b = normal();
	struct act a;

	(void)unused;
	b.slow = 6;
	a = command(&b, COMMAND_SOC, 50);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	b = normal();
	b.stays = true;
	a = command(&b, COMMAND_SOC, 50);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "the preset was written, but the SoC still reads 78.7 %");
	assert_int_equal(a.waited_ms, 30000);
}

static void a_board_that_does_not_permit_it_has_refused(void **unused)
{
	struct board b = normal();
	struct act a;

	(void)unused;
	b.rtn = 0xe4;
	a = command(&b, COMMAND_SOC, 50);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.outcome.say, "no permission (return code E4)");
}

static void a_block_that_does_not_read_back_is_not_confirmed(void **unused)
{
	struct board b = normal();
	struct act a;

	(void)unused;
	b.ignores = true;
	a = command(&b, COMMAND_SOC, 50);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
	assert_string_equal(a.outcome.say, "sent, but the parameters do not read back as they were written");
	b = normal();
	b.changes_others = true;
	a = command(&b, COMMAND_SOC, 50);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
}

static void without_acknowledgement_the_read_back_decides(void **unused)
{
	struct board b = normal();
	struct act a;

	(void)unused;
	b.mute = true;
	a = command(&b, COMMAND_SOC, 50);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	b = normal();
	b.mute = b.ignores = true;
	a = command(&b, COMMAND_SOC, 50);
	assert_int_equal(a.outcome.result, COMMAND_UNCONFIRMED);
}

static void nothing_is_written_where_something_speaks_against_it(void **unused)
{
	struct board b[6];
	static const char *const say[] = {"nothing was written: request 47: no answer",
					  "the parameter block holds a cell voltage outside 1..5 V",
					  "the parameter block is for another number of cells",
					  "nothing is written while a protection acts (see Alarms)",
					  "nothing is written while a protection acts (see Alarms)",
					  "the parameter block holds a cell voltage outside 1..5 V"};

	(void)unused;
	for (unsigned i = 0; i < 6; i++)
		b[i] = normal();
	b[0].dead = true;
	b[1].block.p[2] = 0x20;
	b[2].block.p[123 + 5] = 15;
	b[3].signals.event[1] = 0x02;
	b[4].signals.wires = 1;
	b[5].block.p[2 + 2 * 9] = 0;
	for (unsigned i = 0; i < 6; i++) {
		struct act a = command(&b[i], COMMAND_SOC, 50);

		assert_int_equal(a.outcome.result, COMMAND_REFUSED);
		assert_string_equal(a.outcome.say, say[i]);
		assert_int_equal(b[i].writes, 0);
	}
	b[3] = normal();
	b[3].signals.event[1] = 0x01; /* a warning is no protection */
	assert_int_equal(command(&b[3], COMMAND_SOC, 50).outcome.result, COMMAND_DONE);
}

static void there_is_no_switch(void **unused)
{
	const struct protocol *p = protocol_by_id("seplos-v2");
	struct board b = normal();

	(void)unused;
	assert_int_equal(p->commands, 1 << COMMAND_SOC);
	assert_int_equal(p->experimental, 1 << COMMAND_SOC);
	for (int kind = COMMAND_CHARGE; kind < COMMAND_KINDS; kind++) {
		struct act a = command(&b, (enum command_kind)kind, 0);

		assert_int_equal(a.outcome.result, COMMAND_REFUSED);
		assert_int_equal(a.requests, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_those_of_the_sheet),
		cmocka_unit_test(there_is_no_request_beyond_address_15_and_no_write_without_a_block),
		cmocka_unit_test(only_the_parameter_block_is_marked_as_a_write),
		cmocka_unit_test(recorded_requests_are_recognised_with_whatever_group),
		cmocka_unit_test(what_is_no_request_is_not_recognised),
		cmocka_unit_test(a_wrong_checksum_is_dropped),
		cmocka_unit_test(another_pack_or_class_is_no_answer),
		cmocka_unit_test(a_return_code_is_a_refusal),
		cmocka_unit_test(noise_cuts_and_glue_are_no_matter),
		cmocka_unit_test(the_echo_of_the_request_is_passed_over),
		cmocka_unit_test(a_frame_whose_length_does_not_fit_its_counts_is_not_believed),
		cmocka_unit_test(the_reply_to_44_is_no_telemetry_nor_the_other_way_round),
		cmocka_unit_test(a_pylontech_is_told_by_its_count_of_items),
		cmocka_unit_test(only_a_board_that_is_set_to_answer_as_0_may_do_so),
		cmocka_unit_test(not_to_know_92_is_the_answer_of_a_seplos),
		cmocka_unit_test(every_field_of_42_is_taken),
		cmocka_unit_test(the_extremes_of_every_size_are_decoded),
		cmocka_unit_test(a_pack_of_five_sensors_or_fewer_has_no_known_mos_sensor),
		cmocka_unit_test(a_sensor_that_is_not_there_is_unknown),
		cmocka_unit_test(a_soc_above_100_is_not_believed),
		cmocka_unit_test(cells_that_are_not_fitted_are_left_out),
		cmocka_unit_test(a_cell_whose_wire_is_off_is_still_a_cell),
		cmocka_unit_test(an_inverted_shunt_is_turned_round_with_its_alarms),
		cmocka_unit_test(a_boqiang_has_no_soc_of_its_own),
		cmocka_unit_test(every_alarm_bit_alone_means_what_the_sheet_says),
		cmocka_unit_test(two_bits_raise_a_second_alarm),
		cmocka_unit_test(bits_that_are_states_raise_nothing),
		cmocka_unit_test(all_bits_at_once_are_all_told),
		cmocka_unit_test(a_broken_wire_names_its_cell),
		cmocka_unit_test(switches_balancing_and_states_are_told),
		cmocka_unit_test(permissions_follow_the_protections),
		cmocka_unit_test(signals_of_another_length_are_not_believed),
		cmocka_unit_test(vendor_information_is_taken),
		cmocka_unit_test(the_clock_is_shown_when_it_is_one),
		cmocka_unit_test(parameters_are_settings),
		cmocka_unit_test(a_block_of_another_layout_is_not_believed),
		cmocka_unit_test(a_battery_is_plausible_and_nonsense_is_not),
		cmocka_unit_test(a_pack_with_one_broken_wire_is_still_found),
		cmocka_unit_test(the_soc_goes_into_the_preset_of_the_block_and_nothing_else_changes),
		cmocka_unit_test(the_write_is_the_block_with_the_flag_cleared),
		cmocka_unit_test(a_slow_board_is_waited_for_but_not_for_ever),
		cmocka_unit_test(a_board_that_does_not_permit_it_has_refused),
		cmocka_unit_test(a_block_that_does_not_read_back_is_not_confirmed),
		cmocka_unit_test(without_acknowledgement_the_read_back_decides),
		cmocka_unit_test(nothing_is_written_where_something_speaks_against_it),
		cmocka_unit_test(there_is_no_switch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
