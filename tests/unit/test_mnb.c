/* SPDX-License-Identifier: GPL-3.0-or-later */
/* mnb against a chip of this file's own: registers behind 4-byte accesses, made from the sheet. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "act.h"
#include "engine/detect.h"
#include "engine/session.h"
#include "play.h"

enum { VERSION, IDENTITY, SET_UP, CLEAR, SCAN, READY, MEASURE, BALANCE_STATE, BALANCE_OFF, BALANCE_TIMERS, BALANCE_ON };
enum {
	STATUS1 = 0x02,
	STATUS2 = 0x03,
	FMEA1 = 0x05,
	CURRENT = 0x47,
	CELL = 0x48,
	BLOCK = 0x55,
	DIE = 0x57,
	AUX = 0x59,
	SCANCTRL = 0x66,
	SWITCHES = 0x6f,
	TIMER = 0x71,
	BALCTRL = 0x80
};

/* ---- the chip ---- */

static struct chip {
	uint16_t reg[256];
	unsigned writes[256]; /* to each register */
	bool never_ready, forgets_limits, forgets_timers, no_balancing, deaf, balance_stays;
	int bad_crc_at, rejected_at; /* access of a batch; -1: none */
} chip;

/* The remainder of v, of so many bits, three zeros behind it, divided by 1011. */
static unsigned crc3(uint32_t v, unsigned bits)
{
	v <<= 3;
	for (int i = (int)bits + 2; i >= 3; i--)
		if (v >> i & 1)
			v ^= 0x0bu << (i - 3);
	return v & 7;
}

static void set_cell(unsigned i, double V)
{
	chip.reg[CELL + i] = (uint16_t)(lround(V / 0.000305) << 2);
}

/* The block carries the amplifier's input as well. */
static void add_up(void)
{
	double sum = (chip.reg[CURRENT] >> 2) * 0.000305;

	for (unsigned i = 0; i < 8; i++)
		sum += (chip.reg[CELL + i] >> 2) * 0.000305;
	chip.reg[BLOCK] = (uint16_t)(lround(sum / 0.003967) << 2);
}

static void start_chip(void)
{
	static const uint16_t first_example[] = {0xa91c, 0xa928, 0xa900, 0xa910, 0xa938, 0xa8f4, 0xa910, 0xa91c};
	static const uint16_t sensors[] = {0x7ad8, 0x79a0, 0x7d54, 0x7c14, 0x786c, 0x7fdc};

	memset(&chip, 0, sizeof(chip));
	chip.bad_crc_at = chip.rejected_at = -1;
	chip.reg[0] = 0x8537;
	chip.reg[STATUS1] = 0x4000;
	memcpy(chip.reg + CELL, first_example, sizeof(first_example));
	memcpy(chip.reg + AUX, sensors, sizeof(sensors));
	chip.reg[CURRENT] = 0x63a4;
	chip.reg[BLOCK] = 0x6fa8;
	chip.reg[0x56] = 0x548b;
	chip.reg[DIE] = 0x68f8;
	chip.reg[0x8c] = 0x00c0;
	chip.reg[0x8d] = 0xffee;
}

static void write_register(uint8_t reg, uint16_t value)
{
	chip.writes[reg]++;
	if (reg >= STATUS1 && reg <= 6)
		chip.reg[reg] &= value;
	else if (reg == BALCTRL && value)
		chip.reg[reg] = value | (chip.no_balancing ? 0 : 0x4000);
	else if (reg == BALCTRL)
		chip.reg[reg] = chip.balance_stays ? chip.reg[reg] : 0;
	else if (!(chip.forgets_limits && reg == 0x22) && !(chip.forgets_timers && reg == TIMER + 4))
		chip.reg[reg] = value;
}

static uint16_t read_register(uint8_t reg)
{
	return reg == SCANCTRL && !chip.never_ready ? chip.reg[reg] | 0xa000 : chip.reg[reg];
}

static void answer_access(const uint8_t tx[4], uint8_t rx[4], int i)
{
	uint32_t bits = (uint32_t)tx[0] << 24 | (uint32_t)tx[1] << 16 | (uint32_t)tx[2] << 8 | tx[3];
	uint16_t data = (uint16_t)(bits >> 4), value = 0;
	uint8_t reg = (uint8_t)(bits >> 23);
	bool read = bits >> 31;

	assert_int_equal(bits >> 20 & 7, crc3(bits >> 23, 9));
	assert_int_equal(bits >> 3 & 1, read);
	assert_int_equal(bits & 7, crc3(data, 16));
	if (read)
		value = read_register(reg);
	else
		write_register(reg, data);
	uint32_t out = (uint32_t)value << 4 | (i == chip.rejected_at ? 0 : 8) | crc3(value, 16);
	if (i == chip.bad_crc_at)
		out ^= 0x100;
	for (int k = 0; k < 4; k++)
		rx[k] = (uint8_t)(out >> (24 - 8 * k));
}

static size_t answer(void *unused, struct bytes request, uint8_t *rx)
{
	(void)unused;
	if (chip.deaf)
		return 0;
	for (size_t i = 0; i < request.n / 4; i++)
		answer_access(request.p + 4 * i, rx + 4 * i, (int)i);
	return request.n;
}

/* ---- the host ---- */

static struct device dev;
static char error[128];

static int set_up(void **unused)
{
	(void)unused;
	start_chip();
	dev = fresh_device("mnb", 0, 0);
	error[0] = 0;
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	device_free(&dev);
	return 0;
}

static enum exchange_state ask(uint16_t code)
{
	uint8_t tx[MAX_REQUEST], rx[MAX_REQUEST];
	char hex[2 * MAX_REQUEST + 1];
	int n = bytes_from_hex(request_hex(&dev, code, 0), tx, sizeof(tx));

	bytes_hex((struct bytes){rx, answer(NULL, (struct bytes){tx, (size_t)n}, rx)}, hex, sizeof(hex));
	return play(&dev, code, 0, RX(hex), error);
}

static const struct reading *measured(void)
{
	assert_int_equal(ask(SET_UP), EXCHANGE_ANSWERED);
	assert_int_equal(ask(MEASURE), EXCHANGE_ANSWERED);
	return &dev.reading;
}

static bool wanted(uint16_t code)
{
	for (unsigned i = 0; i < dev.protocol->poll_count; i++)
		if (dev.protocol->polls[i].code == code)
			return !dev.protocol->polls[i].wanted || dev.protocol->polls[i].wanted(&dev);
	return false;
}

static void nothing_was_measured(void)
{
	assert_false(reading_knows(&dev.reading, Q_VOLTAGE_V));
	assert_int_equal(dev.reading.cell_V.count, 0);
	assert_false(dev.reading.alarms.known);
}

/* ---- requests ---- */

static void requests_are_those_of_the_sheet(void **unused)
{
	(void)unused;
	assert_string_equal(request_hex(&dev, VERSION, 0), "80600008");
	assert_string_equal(request_hex(&dev, SCAN, 0), "3370e212");
	assert_string_equal(request_hex(&dev, READY, 0), "b3100008");
	assert_string_equal(request_hex(&dev, CLEAR, 0), "0160000001d000000270000002c0000003100000");
	assert_non_null(strstr(request_hex(&dev, MEASURE, 0), "41e000133371e286a4700008a4c00008"));
}

/* The accesses that the sheet's set-up has, balancer and scan left out; then the limits are read. */
static void set_up_is_that_of_the_sheet_without_the_balancer(void **unused)
{
	static const char writes[] = "00b00000"
				     "01600000"
				     "01d00000"
				     "02700000"
				     "02c00000"
				     "03100000"
				     "0a600026"
				     "0ad00047"
				     "0b000000"
				     "0c429997"
				     "0cf3faf5"
				     "0d241fe5"
				     "0d941fe5"
				     "0e3000f7"
				     "0e8000f7"
				     "2fa00013"
				     "31048002"
				     "31b03034"
				     "32141ff6"
				     "32a803f2"
				     "35e00013"
				     "0feb5dc7"
				     "102bafc0"
				     "10999b03"
				     "11494903"
				     "11f05145"
				     "14772045"
				     "14c73004"
				     "1515c5c2"
				     "15a5b607"
				     "18385841"
				     "18893787"
				     "19563140"
				     "19e59b41";

	(void)unused;
	assert_memory_equal(request_hex(&dev, SET_UP, 0), writes, strlen(writes));
	assert_int_equal(ask(SET_UP), EXCHANGE_ANSWERED);
	for (unsigned reg = SWITCHES; reg <= BALCTRL; reg++)
		assert_int_equal(chip.writes[reg], 0);
}

static void detection_only_reads(void **unused)
{
	struct request request;

	(void)unused;
	for (unsigned i = 0; i <= dev.protocol->confirm_count; i++) {
		uint16_t code = i ? dev.protocol->confirm[i - 1] : dev.protocol->probes[0].code;

		assert_int_equal(dev.protocol->probe_count, 1);
		assert_true(dev.protocol->encode(&dev, code, 0, &request));
		for (size_t k = 0; k < request.n; k += 4)
			assert_true(request.tx[k] & 0x80);
	}
}

static void poll_cycle_leaves_the_balancer_alone(void **unused)
{
	struct request request;

	(void)unused;
	for (unsigned i = 0; i < dev.protocol->poll_count; i++) {
		assert_true(dev.protocol->encode(&dev, dev.protocol->polls[i].code, 0, &request));
		assert_false(request.writes);
		assert_int_equal(ask(dev.protocol->polls[i].code), EXCHANGE_ANSWERED);
	}
	for (unsigned reg = SWITCHES; reg <= BALCTRL; reg++)
		assert_int_equal(chip.writes[reg], 0);
}

static void what_touches_the_balancer_is_a_write(void **unused)
{
	static const uint16_t codes[] = {BALANCE_OFF, BALANCE_TIMERS, BALANCE_ON};
	struct request request;

	(void)unused;
	measured();
	for (unsigned i = 0; i < 3; i++) {
		assert_true(dev.protocol->encode(&dev, codes[i], 1, &request));
		assert_true(request.writes);
	}
	assert_false(dev.protocol->encode(&dev, BALANCE_ON + 1, 0, &request));
}

static void recorded_batches_are_recognised(void **unused)
{
	struct request request, again;

	(void)unused;
	for (uint16_t code = VERSION; code <= BALANCE_OFF; code++) {
		assert_true(dev.protocol->encode(&dev, code, 0, &request));
		assert_true(dev.protocol->parse_request((struct bytes){request.tx, request.n}, &again));
		assert_int_equal(again.code, code);
		assert_int_equal(again.n, request.n);
		assert_int_equal(again.writes, request.writes);
	}
}

static void damaged_accesses_are_no_requests(void **unused)
{
	struct request request;
	uint8_t tx[8] = {0xa4, 0x70, 0x00, 0x08, 0xa4, 0xc0, 0x00, 0x08};

	(void)unused;
	assert_true(dev.protocol->parse_request((struct bytes){tx, 8}, &request));
	assert_false(dev.protocol->parse_request((struct bytes){tx, 0}, &request));
	assert_false(dev.protocol->parse_request((struct bytes){tx, 6}, &request));
	for (unsigned bit = 0; bit < 64; bit++) {
		tx[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(dev.protocol->parse_request((struct bytes){tx, 8}, &request));
		tx[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* ---- replies ---- */

static void identity_is_version_and_number(void **unused)
{
	(void)unused;
	assert_int_equal(ask(IDENTITY), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_MODEL], "MAX17853");
	assert_string_equal(dev.reading.text[T_HARDWARE_VERSION], "silicon 7");
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "00C0FFEE");
	const char *why = NULL;
	assert_true(dev.protocol->plausible(&dev, &why));
}

static void number_that_was_never_burnt_in_stays_unknown(void **unused)
{
	(void)unused;
	chip.reg[0x8c] = chip.reg[0x8d] = 0;
	assert_int_equal(ask(IDENTITY), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "");
	chip.reg[0x8c] = chip.reg[0x8d] = 0xffff;
	assert_int_equal(ask(IDENTITY), EXCHANGE_ANSWERED);
	assert_string_equal(dev.reading.text[T_SERIAL_NUMBER], "");
}

static void another_chip_is_none_of_ours(void **unused)
{
	const char *why = NULL;

	(void)unused;
	chip.reg[0] = 0x8413;
	assert_int_equal(ask(VERSION), EXCHANGE_FAILED);
	assert_non_null(strstr(error, "0x853"));
	assert_false(dev.protocol->plausible(&dev, &why));
	assert_int_equal(play(&dev, VERSION, 0, RX("00000000"), error), EXCHANGE_FAILED);
	assert_non_null(strstr(error, "0x853"));
	assert_int_equal(play(&dev, VERSION, 0, RX("ffffffff"), error), EXCHANGE_FAILED);
	assert_non_null(strstr(error, "crc"));
	assert_int_equal(play(&dev, VERSION, 0, RX("80600008"), error), EXCHANGE_FAILED);
	assert_non_null(strstr(error, "own bytes"));
}

static void measurement_is_scaled_as_the_sheet_has_it(void **unused)
{
	static const double cells[] = {3.301015, 3.30193, 3.29888, 3.3001, 3.30315, 3.297965, 3.3001, 3.301015};
	static const double sensors[] = {24.001, 24.5, 22.999, 23.5, 24.997, 21.998};
	const struct reading *r = measured();

	(void)unused;
	assert_int_equal(r->cell_V.count, 8);
	for (unsigned i = 0; i < 8; i++)
		assert_true(fabs(r->cell_V.value[i] - cells[i]) < 1e-9);
	assert_true(fabs(reading_get(r, Q_VOLTAGE_V) - 26.404155) < 1e-9);
	assert_true(fabs(reading_get(r, Q_CURRENT_A) + 20.0006) < 1e-9);
	assert_int_equal(r->temperatures.count, 6);
	for (unsigned i = 0; i < 6; i++)
		assert_true(fabs(r->temperatures.value[i] - sensors[i]) < 1e-9);
	assert_true(fabs(reading_detail(r, "block_voltage_V") - 28.348182) < 1e-9);
	assert_true(fabs(reading_detail(r, "total_voltage_V") - 26.40446) < 1e-9);
	assert_true(fabs(reading_detail(r, "temp_ic_C") - 30.999) < 1e-9);
	assert_true(r->alarms.known);
	assert_int_equal(alarms_raised(&r->alarms), 0);
	assert_true(r->balancing_known);
	assert_int_equal(r->balancing, 0);
}

static void state_of_charge_is_left_to_the_host(void **unused)
{
	const struct reading *r = measured();

	(void)unused;
	assert_false(reading_knows(r, Q_SOC_PCT));
	assert_false(reading_knows(r, Q_CAPACITY_FULL_AH));
	dev.options.battery_capacity_Ah = 129.6;
	assert_true(reading_get(measured(), Q_CAPACITY_FULL_AH) == 129.6);
}

static void limits_that_were_read_back_are_shown(void **unused)
{
	(void)unused;
	measured();
	assert_true(fabs(settings_number(&dev.settings, "cell_ovp_V") - 3.65) < 0.001);
	assert_true(fabs(settings_number(&dev.settings, "cell_uvp_V") - 2.90) < 0.001);
	assert_true(fabs(settings_number(&dev.settings, "pack_ovp_V") - 29.2) < 0.01);
	assert_true(settings_number(&dev.settings, "cold_C") == 15);
	assert_true(settings_number(&dev.settings, "hot_C") == 40);
	assert_int_equal(dev.settings.count, 13);
}

static void wrong_checksum_of_any_register_spoils_the_measurement(void **unused)
{
	(void)unused;
	assert_int_equal(ask(SET_UP), EXCHANGE_ANSWERED);
	for (int i = 0; i < 36; i++) {
		if (i == 2 || i == 3) /* of a write nothing usable comes back */
			continue;
		chip.bad_crc_at = i;
		assert_int_equal(ask(MEASURE), EXCHANGE_FAILED);
		assert_non_null(strstr(error, "crc"));
		nothing_was_measured();
	}
}

static void access_that_was_not_accepted_spoils_the_measurement(void **unused)
{
	(void)unused;
	assert_int_equal(ask(SET_UP), EXCHANGE_ANSWERED);
	chip.rejected_at = 4;
	assert_int_equal(ask(MEASURE), EXCHANGE_FAILED);
	assert_non_null(strstr(error, "not accepted"));
	nothing_was_measured();
}

static void cut_transfer_is_no_measurement(void **unused)
{
	uint8_t tx[MAX_REQUEST], rx[MAX_REQUEST];
	char hex[2 * MAX_REQUEST + 1];

	(void)unused;
	int n = bytes_from_hex(request_hex(&dev, MEASURE, 0), tx, sizeof(tx));
	answer(NULL, (struct bytes){tx, (size_t)n}, rx);
	bytes_hex((struct bytes){rx, (size_t)n - 1}, hex, sizeof(hex));
	assert_int_equal(play(&dev, MEASURE, 0, RX(hex), error), EXCHANGE_FAILED);
	assert_non_null(strstr(error, "cut"));
	nothing_was_measured();
}

static void reply_may_come_in_pieces(void **unused)
{
	uint8_t tx[MAX_REQUEST], rx[MAX_REQUEST];
	char first[20], second[2 * MAX_REQUEST + 1];

	(void)unused;
	assert_int_equal(ask(SET_UP), EXCHANGE_ANSWERED);
	int n = bytes_from_hex(request_hex(&dev, MEASURE, 0), tx, sizeof(tx));
	answer(NULL, (struct bytes){tx, (size_t)n}, rx);
	bytes_hex((struct bytes){rx, 5}, first, sizeof(first));
	bytes_hex((struct bytes){rx + 5, (size_t)n - 5}, second, sizeof(second));
	assert_int_equal(play(&dev, MEASURE, 0, RX(first, second), error), EXCHANGE_ANSWERED);
	assert_int_equal(dev.reading.cell_V.count, 8);
}

static void zeros_of_a_broken_wire_are_no_measurement(void **unused)
{
	char zeros[2 * 36 * 4 + 1];

	(void)unused;
	memset(zeros, '0', sizeof(zeros) - 1);
	zeros[sizeof(zeros) - 1] = 0;
	assert_int_equal(play(&dev, MEASURE, 0, RX(zeros), error), EXCHANGE_FAILED);
	nothing_was_measured();
}

static void cells_that_do_not_add_up_to_the_block_are_not_believed(void **unused)
{
	(void)unused;
	assert_int_equal(ask(SET_UP), EXCHANGE_ANSWERED);
	set_cell(2, 4.6);
	assert_int_equal(ask(MEASURE), EXCHANGE_FAILED);
	assert_non_null(strstr(error, "add up"));
	nothing_was_measured();
	add_up();
	assert_int_equal(ask(MEASURE), EXCHANGE_ANSWERED);
}

static void open_and_shorted_thermistors_are_faults(void **unused)
{
	(void)unused;
	chip.reg[AUX + 1] = 16380 << 2;
	chip.reg[AUX + 4] = 100 << 2;
	const struct reading *r = measured();
	assert_false(series_knows(&r->temperatures, 1));
	assert_false(series_knows(&r->temperatures, 4));
	assert_true(series_knows(&r->temperatures, 0));
	assert_int_equal(alarms_raised(&r->alarms), 1);
	assert_string_equal(r->alarms.own[0].name, "temperature_sensor_fault");
	chip.reg[AUX + 1] = chip.reg[AUX + 4] = 0x7ad8;
	r = measured();
	assert_true(series_knows(&r->temperatures, 1));
	assert_int_equal(alarms_raised(&r->alarms), 0);
}

/* ---- the cycle ---- */

static void chip_is_set_up_once(void **unused)
{
	(void)unused;
	assert_true(wanted(SET_UP));
	assert_int_equal(ask(SET_UP), EXCHANGE_ANSWERED);
	assert_false(wanted(SET_UP));
}

static void limit_that_the_chip_does_not_keep_is_no_set_up(void **unused)
{
	(void)unused;
	chip.forgets_limits = true;
	assert_int_equal(ask(SET_UP), EXCHANGE_FAILED);
	assert_non_null(strstr(error, "not kept"));
	assert_true(wanted(SET_UP));
	assert_int_equal(dev.settings.count, 0);
}

static void scan_that_does_not_end_is_said(void **unused)
{
	(void)unused;
	assert_int_equal(ask(SCAN), EXCHANGE_ANSWERED);
	chip.never_ready = true;
	assert_int_equal(ask(READY), EXCHANGE_FAILED);
	assert_non_null(strstr(error, "scan"));
	chip.never_ready = false;
	assert_int_equal(ask(READY), EXCHANGE_ANSWERED);
}

static void chip_that_restarts_is_set_up_anew_and_nothing_of_it_is_believed(void **unused)
{
	(void)unused;
	measured();
	struct reading before = dev.reading;

	chip.reg[STATUS1] = 0x4000;
	memset(chip.reg + CELL, 0, 8 * sizeof(chip.reg[0]));
	assert_int_equal(ask(MEASURE), EXCHANGE_FAILED);
	assert_non_null(strstr(error, "restarted"));
	assert_memory_equal(&dev.reading, &before, sizeof(before));
	assert_true(wanted(SET_UP));
	for (unsigned i = 0; i < 8; i++)
		set_cell(i, 3.3);
	add_up();
	assert_string_equal(measured()->alarms.own[0].name, "afe_reset");
	assert_int_equal(alarms_raised(&measured()->alarms), 0);
}

static void flags_that_were_read_are_cleared_in_the_next_cycle(void **unused)
{
	(void)unused;
	measured();
	assert_false(wanted(CLEAR));
	chip.reg[STATUS1] = 0x1000;
	assert_int_equal(ask(MEASURE), EXCHANGE_ANSWERED);
	assert_true(wanted(CLEAR));
	assert_int_equal(ask(CLEAR), EXCHANGE_ANSWERED);
	assert_int_equal(chip.reg[STATUS1], 0);
	assert_int_equal(ask(MEASURE), EXCHANGE_ANSWERED);
	assert_int_equal(alarms_raised(&dev.reading.alarms), 0);
	assert_false(wanted(CLEAR));
}

/* A session with the chip at its other end; the reply comes after send has returned. */
static struct request sent;
static bool is_sent;
static unsigned readings, misses;

static void session_send(void *ctx, const struct request *request)
{
	(void)ctx;
	sent = *request;
	is_sent = true;
}

static void session_found(void *ctx, struct session_pack *p, uint64_t now)
{
	(void)ctx;
	(void)p;
	(void)now;
}

static void session_reading(void *ctx, struct session_pack *p, uint64_t now)
{
	session_found(ctx, p, now);
	readings++;
}

static void session_missed(void *ctx, struct session_pack *p, uint64_t now)
{
	session_found(ctx, p, now);
	misses++;
}

static void run_session(uint64_t for_ms)
{
	struct session_io io = {session_send, session_found, session_reading, session_missed, NULL, NULL};
	static struct line_stats stats;
	uint8_t rx[MAX_REQUEST];
	uint64_t now = 1;
	struct session *s =
		session_new(fresh_device("mnb", 0, 0), &dev.protocol->lines[0], false, 1000, NULL, 0, io, &stats);

	readings = misses = 0;
	is_sent = false;
	session_start(s, now);
	while (now < for_ms) {
		if (is_sent) {
			is_sent = false;
			size_t n = answer(NULL, (struct bytes){sent.tx, sent.n}, rx);

			session_receive(s, (struct bytes){rx, n}, ++now);
			continue;
		}
		now = session_deadline(s) > now ? session_deadline(s) : now + 1;
		session_tick(s, now);
	}
	session_free(s);
}

static void session_sets_up_then_measures_every_second(void **unused)
{
	(void)unused;
	run_session(5500);
	assert_int_equal(misses, 0);
	assert_true(readings >= 5);
	assert_int_equal(chip.writes[0x20], 1);
}

static void nothing_is_written_to_a_chip_that_is_not_the_right_one(void **unused)
{
	(void)unused;
	chip.reg[0] = 0x8413;
	run_session(20000);
	assert_int_equal(readings, 0);
	assert_true(misses > 0);
	for (unsigned reg = 0; reg < 256; reg++)
		assert_int_equal(chip.writes[reg], 0);
}

static bool version_was_asked;

static void detection_sends(void *ctx, const struct request *request)
{
	(void)ctx;
	if (request->n == 4 && request->tx[0] == 0x80 && request->tx[1] == 0x60)
		version_was_asked = true;
}

static void detection_sets(void *ctx, const struct line *l)
{
	(void)ctx;
	(void)l;
}

/* A silent port: two sweeps of questions. */
static void search(const struct protocol *const *protocols)
{
	struct detect_io io = {detection_sends, detection_sets, NULL};
	static struct line_stats stats;
	uint64_t now = 1;
	struct detect *d = detect_new(protocols, &(struct detect_hint){.protocol = dev.protocol}, NULL, 0, NULL, io, &stats);

	assert_non_null(d);
	version_was_asked = false;
	detect_start(d, now);
	while (detect_sweeps(d) < 3) {
		now = detect_deadline(d) > now ? detect_deadline(d) : now + 1;
		detect_tick(d, now);
	}
	detect_free(d);
}

static void it_is_searched_for_on_spi_but_never_on_a_serial_port(void **unused)
{
	const struct protocol *const alone[] = {dev.protocol, NULL};

	(void)unused;
	search(alone);
	assert_true(version_was_asked);
	search(protocols_all());
	assert_false(version_was_asked);
}

/* ---- alarms ---- */

static unsigned raised_by(uint8_t reg, uint16_t word)
{
	chip.reg[STATUS1] = chip.reg[STATUS2] = chip.reg[FMEA1] = 0;
	chip.reg[reg] = word;
	assert_int_equal(ask(MEASURE), EXCHANGE_ANSWERED);
	return alarms_raised(&dev.reading.alarms);
}

static void every_bit_of_status1_has_its_alarm(void **unused)
{
	static const struct {
		unsigned bit;
		enum alarm alarm, second;
	} rows[] = {
		{13, ALARM_CELL_IMBALANCE, ALARM_COUNT},
		{12, ALARM_HIGH_CELL_VOLTAGE, ALARM_COUNT},
		{11, ALARM_LOW_CELL_VOLTAGE, ALARM_COUNT},
		{10, ALARM_HIGH_VOLTAGE, ALARM_COUNT},
		{9, ALARM_LOW_VOLTAGE, ALARM_COUNT},
		{8, ALARM_LOW_CHARGE_TEMPERATURE, ALARM_LOW_TEMPERATURE},
		{7, ALARM_HIGH_CHARGE_TEMPERATURE, ALARM_HIGH_TEMPERATURE},
		{5, ALARM_INTERNAL_FAILURE, ALARM_COUNT},
		{4, ALARM_INTERNAL_FAILURE, ALARM_COUNT},
		{3, ALARM_INTERNAL_FAILURE, ALARM_COUNT},
		{2, ALARM_INTERNAL_FAILURE, ALARM_COUNT},
		{1, ALARM_INTERNAL_FAILURE, ALARM_COUNT},
		{0, ALARM_INTERNAL_FAILURE, ALARM_COUNT},
	};

	(void)unused;
	measured();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool two = rows[i].second != ALARM_COUNT;

		assert_int_equal(raised_by(STATUS1, (uint16_t)(1u << rows[i].bit)), two ? 2 : 1);
		assert_int_equal(dev.reading.alarms.level[rows[i].alarm], ALARM_RAISED);
		assert_true(!two || dev.reading.alarms.level[rows[i].second] == ALARM_RAISED);
		assert_true(dev.protocol->alarms >> rows[i].alarm & 1);
	}
	assert_int_equal(raised_by(STATUS1, 1 << 15), 0); /* a scan alert, of which the others tell more */
	assert_int_equal(raised_by(STATUS1, 1 << 6), 0);
}

static void every_fault_bit_is_an_internal_failure(void **unused)
{
	static const struct {
		uint8_t reg;
		uint16_t bits;
	} words[] = {{STATUS2, 0x0071}, {FMEA1, 0x007f}};

	(void)unused;
	measured();
	for (unsigned w = 0; w < 2; w++) {
		for (unsigned bit = 0; bit < 16; bit++) {
			unsigned raised = raised_by(words[w].reg, (uint16_t)(1u << bit));

			assert_int_equal(raised, words[w].bits >> bit & 1);
			assert_int_equal(dev.reading.alarms.level[ALARM_INTERNAL_FAILURE],
					 raised ? ALARM_RAISED : ALARM_OK);
		}
	}
}

static void hot_chip_is_a_warning(void **unused)
{
	(void)unused;
	chip.reg[DIE] = (uint16_t)(lround((71 + 273 - 8.3) * 0.0032 / 2.3077 * 16384) << 2);
	assert_int_equal(measured()->alarms.level[ALARM_HIGH_INTERNAL_TEMPERATURE], ALARM_WARNING);
	chip.reg[DIE] = (uint16_t)(lround((69 + 273 - 8.3) * 0.0032 / 2.3077 * 16384) << 2);
	assert_int_equal(measured()->alarms.level[ALARM_HIGH_INTERNAL_TEMPERATURE], ALARM_OK);
}

/* ---- the balancer ---- */

/* Cell 5 stands 60 mV above the lowest; two cells lie below 3.35 V. */
static void spread_cells(void)
{
	static const double cells[] = {3.34, 3.36, 3.36, 3.36, 3.40, 3.36, 3.34, 3.37};

	for (unsigned i = 0; i < 8; i++)
		set_cell(i, cells[i]);
	add_up();
	measured();
}

static struct act order(bool on)
{
	struct command command = {COMMAND_BALANCE, on, true};

	return act(&dev, &command, answer, NULL);
}

static void balancing_needs_the_persons_word_that_it_is_unproven(void **unused)
{
	(void)unused;
	assert_int_equal(dev.protocol->commands, 1 << COMMAND_BALANCE);
	assert_int_equal(dev.protocol->experimental, 1 << COMMAND_BALANCE);
}

static void balancing_starts_and_is_read_back(void **unused)
{
	(void)unused;
	spread_cells();
	struct act a = order(true);

	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_non_null(strstr(a.outcome.say, "6 cells"));
	assert_int_equal(chip.reg[TIMER], 0);
	assert_int_equal(chip.reg[TIMER + 1], 5);
	assert_int_equal(chip.reg[TIMER + 4], 15);
	assert_int_equal(chip.reg[TIMER + 6], 0);
	assert_int_equal(chip.reg[SWITCHES], 0x01fe);
	assert_int_equal(chip.reg[BALCTRL] & 0x3fff, 0x20f2);
	const struct reading *r = measured();
	assert_int_equal(r->balancing, 0xbe);
}

static void duty_follows_the_spread(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < 8; i++)
		set_cell(i, i == 3 ? 3.418 : 3.4);
	add_up();
	measured();
	assert_int_equal(order(true).outcome.result, COMMAND_DONE);
	assert_int_equal(chip.reg[BALCTRL] & 0x3fff, 0x2042); /* 500 x (18 - 10 mV) */
	assert_int_equal(measured()->balancing, 1 << 3);
}

static void balancing_that_runs_is_left_alone(void **unused)
{
	(void)unused;
	spread_cells();
	chip.reg[BALCTRL] = 0x60f2;
	struct act a = order(true);
	assert_int_equal(a.outcome.result, COMMAND_DONE);
	assert_string_equal(a.writes, "");
}

static void run_that_is_over_is_ended_before_the_next(void **unused)
{
	(void)unused;
	spread_cells();
	chip.reg[BALCTRL] = 0xa0f2;
	assert_int_equal(order(true).outcome.result, COMMAND_DONE);
	assert_int_equal(chip.writes[BALCTRL], 2);
	assert_int_equal(chip.reg[BALCTRL] >> 14, 1);
}

static void equal_unknown_or_low_cells_are_not_balanced(void **unused)
{
	(void)unused;
	assert_int_equal(order(true).outcome.result, COMMAND_REFUSED);
	for (unsigned i = 0; i < 8; i++)
		set_cell(i, 3.4);
	add_up();
	measured();
	assert_int_equal(order(true).outcome.result, COMMAND_REFUSED);
	for (unsigned i = 0; i < 8; i++)
		set_cell(i, i ? 3.2 : 3.3);
	add_up();
	measured();
	struct act a = order(true);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.writes, "");
	for (unsigned reg = SWITCHES; reg <= BALCTRL; reg++)
		assert_int_equal(chip.writes[reg], 0);
}

static void timer_that_is_not_kept_ends_the_order_before_a_switch_is_on(void **unused)
{
	(void)unused;
	spread_cells();
	chip.forgets_timers = true;
	assert_int_equal(order(true).outcome.result, COMMAND_UNCONFIRMED);
	assert_int_equal(chip.writes[SWITCHES], 0);
}

static void balancing_that_does_not_start_is_not_confirmed(void **unused)
{
	(void)unused;
	spread_cells();
	chip.no_balancing = true;
	assert_int_equal(order(true).outcome.result, COMMAND_UNCONFIRMED);
}

static void balancing_ends_and_is_read_back(void **unused)
{
	(void)unused;
	spread_cells();
	order(true);
	assert_int_equal(order(false).outcome.result, COMMAND_DONE);
	for (unsigned reg = SWITCHES; reg <= BALCTRL; reg++)
		assert_int_equal(chip.reg[reg], 0);
	assert_int_equal(measured()->balancing, 0);
}

static void balancing_that_does_not_end_is_not_confirmed(void **unused)
{
	(void)unused;
	spread_cells();
	order(true);
	chip.balance_stays = true;
	assert_int_equal(order(false).outcome.result, COMMAND_UNCONFIRMED);
}

static void silent_chip_confirms_nothing(void **unused)
{
	(void)unused;
	spread_cells();
	chip.deaf = true;
	struct act a = order(true);
	assert_int_equal(a.outcome.result, COMMAND_REFUSED);
	assert_string_equal(a.writes, "");
	assert_int_equal(order(false).outcome.result, COMMAND_UNCONFIRMED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(requests_are_those_of_the_sheet),
		T(set_up_is_that_of_the_sheet_without_the_balancer),
		T(detection_only_reads),
		T(poll_cycle_leaves_the_balancer_alone),
		T(what_touches_the_balancer_is_a_write),
		T(recorded_batches_are_recognised),
		T(damaged_accesses_are_no_requests),
		T(identity_is_version_and_number),
		T(number_that_was_never_burnt_in_stays_unknown),
		T(another_chip_is_none_of_ours),
		T(measurement_is_scaled_as_the_sheet_has_it),
		T(state_of_charge_is_left_to_the_host),
		T(limits_that_were_read_back_are_shown),
		T(wrong_checksum_of_any_register_spoils_the_measurement),
		T(access_that_was_not_accepted_spoils_the_measurement),
		T(cut_transfer_is_no_measurement),
		T(reply_may_come_in_pieces),
		T(zeros_of_a_broken_wire_are_no_measurement),
		T(cells_that_do_not_add_up_to_the_block_are_not_believed),
		T(open_and_shorted_thermistors_are_faults),
		T(chip_is_set_up_once),
		T(limit_that_the_chip_does_not_keep_is_no_set_up),
		T(scan_that_does_not_end_is_said),
		T(chip_that_restarts_is_set_up_anew_and_nothing_of_it_is_believed),
		T(flags_that_were_read_are_cleared_in_the_next_cycle),
		T(session_sets_up_then_measures_every_second),
		T(nothing_is_written_to_a_chip_that_is_not_the_right_one),
		T(it_is_searched_for_on_spi_but_never_on_a_serial_port),
		T(every_bit_of_status1_has_its_alarm),
		T(every_fault_bit_is_an_internal_failure),
		T(hot_chip_is_a_warning),
		T(balancing_needs_the_persons_word_that_it_is_unproven),
		T(balancing_starts_and_is_read_back),
		T(duty_follows_the_spread),
		T(balancing_that_runs_is_left_alone),
		T(run_that_is_over_is_ended_before_the_next),
		T(equal_unknown_or_low_cells_are_not_balanced),
		T(timer_that_is_not_kept_ends_the_order_before_a_switch_is_on),
		T(balancing_that_does_not_start_is_not_confirmed),
		T(balancing_ends_and_is_read_back),
		T(balancing_that_does_not_end_is_not_confirmed),
		T(silent_chip_confirms_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
