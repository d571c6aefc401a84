/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The simulated batteries and boards. Expected bytes are those printed in the sheets or worked out by hand. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocols/checksum.h"
#include "sim/bus.h"
#include "sim/random.h"

/* ---- a line without a pty ---- */

struct bench {
	struct bus bus;
	usec now;
	usec first, last; /* when the first and the last byte of the last reply came, after the request began */
	size_t n;
	uint8_t got[8192];
	char hex[2 * 8192 + 1];
};

static struct bench *line(const char *port, double speed)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct scenario s;
	char why[1536];

	assert_non_null(b);
	b->now = 1000 * SECOND;
	if (!scenario_parse(&s, port, why, sizeof(why)) || !bus_init(&b->bus, &s, 1, speed, b->now, why, sizeof(why)))
		fail_msg("%s", why);
	return b;
}

/* A battery that stands still, without flicker. */
static struct bench *still(const char *port)
{
	char text[512];

	snprintf(text, sizeof(text), "%s,jitter=0", port);
	return line(text, 0);
}

static void line_free(struct bench *b)
{
	bus_free(&b->bus);
	free(b);
}

/* What comes within so many ms, millisecond by millisecond. */
static const char *listen_ms(struct bench *b, unsigned ms)
{
	usec began = b->now;

	b->n = 0;
	b->first = b->last = -1;
	for (unsigned i = 0; i < ms; i++) {
		b->now += MS;
		bus_run(&b->bus, b->now);
		size_t n = bus_take(&b->bus, b->now, b->got + b->n, sizeof(b->got) - b->n);

		if (n && b->first < 0)
			b->first = b->now - began;
		if (n)
			b->last = b->now - began;
		b->n += n;
	}
	bytes_hex((struct bytes){b->got, b->n}, b->hex, sizeof(b->hex));
	return b->hex;
}

static void say(struct bench *b, const char *request)
{
	uint8_t bytes[512];
	int n = bytes_from_hex(request, bytes, sizeof(bytes));

	assert_true(n > 0);
	bus_receive(&b->bus, (struct bytes){bytes, (size_t)n}, b->now);
}

static const char *ask(struct bench *b, const char *request)
{
	say(b, request);
	return listen_ms(b, 600);
}

static struct bytes got(const struct bench *b)
{
	return (struct bytes){b->got, b->n};
}

/* A request of Daly: host, command, eight bytes; the sum is added. */
static const char *ask_daly(struct bench *b, const char *head, const char *data)
{
	uint8_t bytes[13];
	char text[64];

	snprintf(text, sizeof(text), "a5%s08%s", head, data);
	assert_int_equal(bytes_from_hex(text, bytes, sizeof(bytes)), 12);
	bytes[12] = sum8((struct bytes){bytes, 12});
	bus_receive(&b->bus, (struct bytes){bytes, 13}, b->now);
	return listen_ms(b, 600);
}
#define EMPTY "0000000000000000"

/* A request of Modbus; the CRC is added. */
static const char *ask_modbus(struct bench *b, const char *request)
{
	uint8_t bytes[300];
	int n = bytes_from_hex(request, bytes, sizeof(bytes) - 2);

	assert_true(n > 0);
	put_u16le(bytes + n, crc16_modbus((struct bytes){bytes, (size_t)n}));
	bus_receive(&b->bus, (struct bytes){bytes, (size_t)n + 2}, b->now);
	return listen_ms(b, 600);
}

/* A file that lives as long as the test: lines of a register dump. */
static const char *dump(const char *lines)
{
	static char path[64];
	FILE *f;

	snprintf(path, sizeof(path), P_tmpdir "/test-sim-%ld", (long)getpid());
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(lines, f) >= 0);
	assert_int_equal(fclose(f), 0);
	return path;
}

static struct bench *line_with_dump(const char *port, const char *lines)
{
	char text[256];
	struct bench *b;

	snprintf(text, sizeof(text), "%s,registers=%s", port, dump(lines));
	b = still(text);
	unlink(dump(""));
	return b;
}

/* ---- the battery ---- */

static struct battery_start usual_start(void)
{
	return (struct battery_start){
		.chemistry = LFP,
		.balancer = BALANCER_BLEEDS,
		.cells = 16,
		.sensors = 2,
		.capacity_Ah = 100,
		.soc_pct = 60,
		.soh_pct = 100,
		.temperature_C = 20,
		.imbalance_mV = 6,
		.jitter = 1,
		.seed = 7,
	};
}

static void assert_sample_fits_itself(const struct battery *b)
{
	struct battery_sample m;
	uint32_t sum = 0;

	battery_measure(b, &m);
	for (unsigned i = 0; i < m.cells; i++) {
		sum += m.cell_mV[i];
		assert_true(m.cell_mV[i] <= m.cell_mV[m.highest] && m.cell_mV[i] >= m.cell_mV[m.lowest]);
		assert_in_range(m.cell_mV[i], 1500, 4500);
	}
	assert_int_equal(sum, m.pack_mV);
	assert_true(m.remaining_mAh <= m.full_mAh);
	assert_in_range(m.soc_permille * (uint64_t)m.full_mAh, 1000 * (uint64_t)m.remaining_mAh - m.full_mAh,
			1000 * (uint64_t)m.remaining_mAh + m.full_mAh);
	for (unsigned i = 0; i < m.sensors; i++)
		assert_true(m.sensor_dC[i] > 100 && m.sensor_dC[i] < 600);
	assert_true(b->charge_mos || m.current_mA <= 0);
	assert_true(b->discharge_mos || m.current_mA >= 0);
}

static void cycle_for_a_day(enum chemistry chemistry, enum balancer balancer)
{
	struct battery_start start = usual_start();
	double lowest = 100, highest = 0;
	struct battery b;

	start.chemistry = chemistry;
	start.balancer = balancer;
	start.cycling = true;
	start.current_A = 30;
	start.weak_cell = 3;
	start.weak_pct = 90;
	battery_init(&b, &start);
	for (unsigned i = 0; i < 24 * 360; i++) {
		battery_run(&b, 10);
		assert_sample_fits_itself(&b);
		double soc = 100 * b.remaining_Ah / b.full_Ah;

		lowest = soc < lowest ? soc : lowest;
		highest = soc > highest ? soc : highest;
	}
	assert_true(highest > 95);
	assert_true(lowest < 30);
	assert_true(b.time_s > 86399.9 && b.time_s < 86400.1);
	assert_true(b.temperature_C > 20 && b.mos_C > 20);
}

static void a_day_of_cycling_stays_consistent(void **unused)
{
	(void)unused;
	cycle_for_a_day(LFP, BALANCER_BLEEDS);
	cycle_for_a_day(NMC, BALANCER_MOVES);
}

static void what_flows_is_what_is_counted(void **unused)
{
	struct battery_start start = usual_start();
	struct battery b;

	(void)unused;
	start.current_A = -20;
	battery_init(&b, &start);
	battery_run(&b, 3600);
	assert_true(b.remaining_Ah > 39.99 && b.remaining_Ah < 40.01);
	assert_true(b.discharged_Ah > 19.99 && b.discharged_Ah < 20.01);
	assert_true(b.charged_Ah == 60);
}

static void a_stubborn_charger_is_cut_off_and_let_in_again(void **unused)
{
	struct battery_start start = usual_start();
	struct battery b;

	(void)unused;
	start.soc_pct = 97;
	start.current_A = 20;
	battery_init(&b, &start);
	battery_run(&b, 3600);
	assert_false(b.charge_mos);
	assert_true(b.discharge_mos);
	assert_true(b.current_A == 0);
	assert_int_equal(battery_alarm(&b, HIGH_CELL_VOLTAGE), ALARM);
	assert_true(b.trips[HIGH_CELL_VOLTAGE] >= 1);
	assert_true(b.remaining_Ah > 0.99 * b.full_Ah);
	b.start.current_A = -20;
	battery_run(&b, 1800);
	assert_int_equal(battery_alarm(&b, HIGH_CELL_VOLTAGE), QUIET);
	assert_true(b.charge_mos);
	assert_true(b.current_A == -20);
}

static void an_empty_battery_gives_no_more(void **unused)
{
	struct battery_start start = usual_start();
	struct battery b;

	(void)unused;
	start.soc_pct = 5;
	start.current_A = -20;
	battery_init(&b, &start);
	assert_int_equal(battery_alarm(&b, LOW_SOC), ALARM);
	battery_run(&b, 3600);
	assert_int_equal(battery_alarm(&b, LOW_CELL_VOLTAGE), ALARM);
	assert_false(b.discharge_mos);
	assert_true(b.charge_mos);
	assert_true(b.current_A == 0 && b.remaining_Ah == 0);
}

static void too_much_current_trips_after_its_delay_and_is_tried_again(void **unused)
{
	struct battery_start start = usual_start();
	struct battery b;

	(void)unused;
	start.current_A = -150;
	battery_init(&b, &start);
	assert_true(b.settings.discharge_oc == 100);
	battery_run(&b, 3);
	assert_true(b.discharge_mos);
	battery_run(&b, 5);
	assert_int_equal(battery_alarm(&b, HIGH_DISCHARGE_CURRENT), ALARM);
	assert_false(b.discharge_mos);
	battery_run(&b, 30);
	assert_true(b.discharge_mos);
}

static void cold_forbids_charging_and_a_heater_helps(void **unused)
{
	struct battery_start start = usual_start();
	struct battery b;

	(void)unused;
	start.temperature_C = -4;
	start.current_A = 10;
	battery_init(&b, &start);
	assert_int_equal(battery_alarm(&b, LOW_CHARGE_TEMPERATURE), ALARM);
	assert_false(b.charge_mos);
	assert_true(b.discharge_mos && b.current_A == 0);
	start.heater = true;
	battery_init(&b, &start);
	battery_run(&b, 4 * 3600);
	assert_int_equal(battery_alarm(&b, LOW_CHARGE_TEMPERATURE), QUIET);
	assert_true(b.current_A == 10);
}

static double spread(const struct battery *b)
{
	double low = b->cell[0].V, high = low;

	for (unsigned i = 1; i < b->start.cells; i++) {
		low = b->cell[i].V < low ? b->cell[i].V : low;
		high = b->cell[i].V > high ? b->cell[i].V : high;
	}
	return high - low;
}

static void both_balancers_bring_the_cells_together(void **unused)
{
	struct battery_start start = usual_start();
	struct battery b;

	(void)unused;
	for (unsigned i = 0; i < 2; i++) {
		start.balancer = i ? BALANCER_MOVES : BALANCER_BLEEDS;
		start.soc_pct = 99.5;
		start.imbalance_mV = 60;
		battery_init(&b, &start);
		double before = spread(&b);

		assert_true(before > 0.0599 && before < 0.0601);
		battery_run(&b, 24 * 3600);
		assert_true(spread(&b) < 0.7 * before);
		b.settings.balance_switch = false;
		battery_run(&b, 1);
		for (unsigned c = 0; c < 16; c++)
			assert_true(b.cell[c].balance_A == 0);
	}
}

static void neighbours_never_bleed_at_the_same_time(void **unused)
{
	struct battery_start start = usual_start();
	unsigned seen = 0;
	struct battery b;

	(void)unused;
	start.soc_pct = 99.5;
	start.imbalance_mV = 60;
	battery_init(&b, &start);
	for (unsigned s = 0; s < 20; s++) {
		battery_run(&b, 1);
		for (unsigned c = 0; c < 16; c++) {
			seen += b.cell[c].balance_A != 0;
			assert_true(!c || b.cell[c].balance_A == 0 || b.cell[c - 1].balance_A == 0);
		}
	}
	assert_true(seen > 20);
}

static void the_seed_decides(void **unused)
{
	struct battery_start start = usual_start();
	struct battery a, b;
	struct battery_sample ma, mb;

	(void)unused;
	start.cycling = true;
	start.current_A = 25;
	battery_init(&a, &start);
	battery_init(&b, &start);
	battery_run(&a, 5000);
	battery_run(&b, 5000);
	battery_measure(&a, &ma);
	battery_measure(&b, &mb);
	assert_memory_equal(&ma, &mb, sizeof(ma));
	start.seed++;
	battery_init(&b, &start);
	battery_run(&b, 5000);
	battery_measure(&b, &mb);
	assert_memory_not_equal(ma.cell_mV, mb.cell_mV, sizeof(ma.cell_mV));
}

static void a_written_soc_moves_the_counter_and_not_the_cells(void **unused)
{
	struct battery_start start = usual_start();
	struct battery b;

	(void)unused;
	battery_init(&b, &start);
	double V = b.cell[4].V;

	battery_set_soc(&b, 90);
	assert_true(b.remaining_Ah == 90 && b.cell[4].V == V);
	battery_set_remaining(&b, 500);
	assert_true(b.remaining_Ah == b.full_Ah);
	battery_soc_from_voltage(&b);
	assert_true(b.remaining_Ah > 55 && b.remaining_Ah < 65);
}

static void voltage_and_charge_convert_both_ways(void **unused)
{
	(void)unused;
	for (int c = LFP; c <= NMC; c++) {
		for (double soc = -0.02; soc < 1.03; soc += 0.01) {
			double V = chemistry_ocv((enum chemistry)c, soc), back = chemistry_soc((enum chemistry)c, V);

			assert_true(back > soc - 1e-6 && back < soc + 1e-6);
			assert_true(chemistry_ocv((enum chemistry)c, soc + 0.001) > V);
		}
	}
}

/* ---- JBD ---- */

static void jbd_says_what_its_dump_says(void **unused)
{
	struct bench *b =
		line_with_dump("jbd", "# a real board\n"
				      "03 0618 0000 01F2 01F4 0000 2C7C 0000 0000 0000 80 64 03 04 03 0B8B 0B8A 0B84\n"
				      "04 0F45 0F3D 0F37 0F3D\n"
				      "AA 0000 0000 0000 007A 0002 0000 0000 0000 0000 0000 0000 0001 # counters\n");

	(void)unused;
	assert_string_equal(ask(b, "dda50300fffd77"),
			    "dd03001d0618000001f201f400002c7c00000000000080640304030b8b0b8a0b84fa8d77");
	assert_string_equal(ask(b, "dda50400fffc77"), "dd0400080f450f3d0f370f3dfec677");
	assert_string_equal(ask(b, "dda5aa00ff5677"), "ddaa0018000000000000007a00020000000000000000000000000001ff6b77");
	assert_string_equal(ask(b, "dda50500fffb77"), "dd058000ff8077");
	line_free(b);
}

static void jbd_tells_its_battery(void **unused)
{
	struct bench *b = still("jbd,cells=4,capacity=100,soc=50,current=-14,temperature=20,imbalance=0,cycles=7");

	(void)unused;
	/* -14 A over 0.6 mohm: the cells show 8 or 9 mV less than the 3.296 V at rest */
	ask(b, "dda50400fffc77");
	assert_int_equal(u16be_at(got(b), 0), 0xdd04);
	assert_int_equal(b->n, 15);
	unsigned sum = 0;
	for (unsigned i = 0; i < 4; i++) {
		assert_in_range(u16be_at(got(b), 4 + 2 * i), 3287, 3289);
		sum += u16be_at(got(b), 4 + 2 * i);
	}
	ask(b, "dda50300fffd77");
	assert_int_equal(b->n, 23 + 6 + 9 + 7);
	assert_in_range(10 * u16be_at(got(b), 4), sum - 5, sum + 5);
	/* -1400; 50.00 of 100.00 Ah; 7 cycles; 2023-06-15; nothing balances; no protection; 2.4; 50 %; both MOS on */
	assert_string_equal(b->hex + 12, strstr(b->hex, "fa88138827100007"));
	assert_non_null(strstr(b->hex, "fa88"
				       "1388"
				       "2710"
				       "0007"
				       "2ecf"
				       "00000000"
				       "0000"
				       "24"
				       "32"
				       "03"
				       "04"
				       "03"
				       "0b91" /* 23.0: the MOS lies 3 K above the cells */));
	line_free(b);
}

static void jbd_stays_silent_where_a_board_does(void **unused)
{
	struct bench *b = still("jbd");

	(void)unused;
	assert_string_equal(ask(b, "dda50300fffc77"), "");
	assert_string_equal(ask(b, "dda50300fffd78"), "");
	assert_string_equal(ask(b, "dd00a50300ff5877"), "");
	assert_string_equal(ask(b, "dda500020000fffe77"), "");
	assert_string_not_equal(ask(b, "dda50300fffd77"), "");
	assert_string_equal(ask(b, "dda55000ffb077"), "dd508000ff8077");
	line_free(b);
}

static void jbd_settings_need_factory_mode(void **unused)
{
	struct bench *b = still("jbd");

	(void)unused;
	assert_string_equal(ask(b, "dda52400ffdc77"), "dd248100ff7f77");
	assert_string_equal(ask(b, "dd5a00025678ff3077"), "dd000000000077");
	assert_string_equal(ask(b, "dda52400ffdc77"), "dd2400020e42ffae77");
	assert_string_equal(ask(b, "dd5a24020e10ffbc77"), "dd240000000077");
	assert_string_equal(ask(b, "dda52400ffdc77"), "dd2400020e10ffe077");
	assert_true(b->bus.board[0].battery.settings.cell_ov > 3.5999 &&
		    b->bus.board[0].battery.settings.cell_ov < 3.6001);
	assert_string_equal(ask(b, "dd5a01020000fffd77"), "dd010000000077");
	assert_string_equal(ask(b, "dd5a24020e10ffbc77"), "dd248100ff7f77");
	assert_int_equal(b->bus.board[0].writes, 4);
	line_free(b);
}

static void jbd_parameter_block_holds_the_same_settings(void **unused)
{
	struct bench *b = still("jbd");

	(void)unused;
	ask(b, "dd5a00025678ff3077");
	assert_string_equal(ask(b, "dd5a11020fa0ff3e77"), "dd110000000077");
	assert_string_equal(ask(b, "dd5a12021036ffa677"), "dd120000000077");
	assert_string_equal(ask(b, "dda5fa03000102ff0077"), "ddfa00070001020fa01036ff0177");
	assert_string_equal(ask(b, "dda5fa0300ff02fe0277"), "ddfa8000ff8077");
	/* the model's text and the delays of register 3E, written through the block, read as registers */
	assert_string_equal(ask(b, "dd5afa0700480203414242fded77"), "ddfa0000000077");
	assert_string_equal(ask(b, "dda5a100ff5f77"), "dda1000403414242ff3477");
	assert_string_equal(ask(b, "dd5afa0700340200090014feac77"), "ddfa0000000077");
	assert_string_equal(ask(b, "dda53e00ffc277"), "dd3e00020914ffe177");
	line_free(b);
}

static uint8_t fet(struct bench *b)
{
	ask(b, "dda50300fffd77");
	return u8_at(got(b), 4 + 20);
}

static uint16_t protection(struct bench *b)
{
	ask(b, "dda50300fffd77");
	return u16be_at(got(b), 4 + 16);
}

static void jbd_switches_follow_e1(void **unused)
{
	struct bench *b = still("jbd");

	(void)unused;
	assert_int_equal(fet(b), 3);
	assert_string_equal(ask(b, "dd5ae1020001ff1c77"), "dde10000000077");
	assert_int_equal(fet(b), 2);
	assert_int_equal(protection(b), 0x1000);
	ask(b, "dd5ae1020003ff1a77");
	assert_int_equal(fet(b), 0);
	ask(b, "dd5ae1020000ff1d77");
	assert_int_equal(fet(b), 3);
	assert_int_equal(protection(b), 0);
	assert_string_equal(ask(b, "dd5afb020101ff0177"), "ddfb0000000077");
	assert_int_equal(fet(b), 2);
	line_free(b);
}

static void jbd_old_and_new_boards_know_one_switch_command(void **unused)
{
	struct bench *b = still("jbd,mos=fb");

	(void)unused;
	assert_string_equal(ask(b, "dd5ae1020001ff1c77"), "dde18000ff8077");
	assert_string_equal(ask(b, "dd5afb020101ff0177"), "ddfb0000000077");
	assert_int_equal(fet(b), 2);
	line_free(b);
	b = still("jbd,mos=e1,stuck=charge");
	assert_string_equal(ask(b, "dd5afb020101ff0177"), "ddfb8000ff8077");
	assert_string_equal(ask(b, "dd5ae1020003ff1a77"), "dde10000000077");
	assert_int_equal(fet(b), 1);
	line_free(b);
}

static void jbd_password_opens_the_board(void **unused)
{
	struct bench *b = still("jbd,password=765828,form=values");

	(void)unused;
	assert_string_equal(ask(b, "dd5ae1020001ff1c77"), "dde18100ff7f77");
	assert_string_equal(ask(b, "dd5a060706000000000000ffed77"), "dd068300ff7d77");
	assert_string_equal(ask(b, "dd5a060706070605080208ffc977"), "dd060000000077");
	assert_string_equal(ask(b, "dd5ae1020001ff1c77"), "dde10000000077");
	line_free(b);
	b = still("jbd");
	assert_string_equal(ask(b, "dd5a060706000000000000ffed77"), "dd060000000077");
	line_free(b);
}

static void jbd_soc_can_be_written_and_estimated(void **unused)
{
	struct bench *b = still("jbd,soc=60,imbalance=0,current=0");

	(void)unused;
	ask(b, "dd5a00025678ff3077");
	/* 30.00 Ah */
	assert_string_equal(ask(b, "dd5ae0020bb8fe5b77"), "dde00000000077");
	ask(b, "dda50300fffd77");
	assert_int_equal(u16be_at(got(b), 4 + 4), 3000);
	assert_int_equal(u8_at(got(b), 4 + 19), 30);
	assert_string_equal(ask(b, "dd5a0a020100fff377"), "dd0a0000000077");
	ask(b, "dda50300fffd77");
	assert_in_range(u8_at(got(b), 4 + 19), 59, 61);
	line_free(b);
	b = still("jbd,e0=ignored,no0a");
	ask(b, "dd5a00025678ff3077");
	assert_string_equal(ask(b, "dd5ae0020bb8fe5b77"), "dde00000000077");
	assert_true(b->bus.board[0].battery.remaining_Ah == 60);
	assert_string_equal(ask(b, "dd5a0a020100fff377"), "dd0a8000ff8077");
	line_free(b);
}

static void jbd_addressed_dialect_hears_its_address_alone(void **unused)
{
	struct bench *b = still("jbd,dialect=addressed,addresses=0,3,cells=16,ntc=4");

	(void)unused;
	ask(b, "dd00a50300ff5877");
	assert_int_equal(b->n, 8 + 37);
	assert_int_equal(u32be_at(got(b), 0), 0xdd000300);
	assert_int_equal(u8_at(got(b), 5 + 28), 4);
	/* the sum covers everything between DD and itself */
	assert_int_equal(u16be_at(got(b), b->n - 3), (uint16_t)-sum16(bytes_sub(got(b), 1, b->n - 4)));
	assert_string_equal(ask(b, "dd00a50500ff5677"), "dd0005000432383041ff1c77");
	assert_string_equal(ask(b, "dd03a50500ff5377"), "dd0305000432383041ff1977");
	assert_string_equal(ask(b, "dd04a50500ff5277"), "");
	assert_string_equal(ask(b, "dda50300fffd77"), "");
	line_free(b);
}

static void jbd_asleep_takes_the_first_request_to_wake_up(void **unused)
{
	struct bench *b = still("jbd,sleep=30");

	(void)unused;
	assert_string_not_equal(ask(b, "dda50300fffd77"), "");
	b->now += 31 * SECOND;
	assert_string_equal(ask(b, "dda50300fffd77"), "");
	assert_string_not_equal(ask(b, "dda50300fffd77"), "");
	line_free(b);
}

static void jbd_tail_and_trailing_bytes(void **unused)
{
	static const struct {
		const char *port;
		size_t n;
	} of[] = {{"jbd,tail=0", 0}, {"jbd,tail=7", 7}, {"jbd,tail=9", 9}, {"jbd,tail=16", 16}};
	struct bench *b;

	(void)unused;
	for (unsigned i = 0; i < 4; i++) {
		b = still(of[i].port);
		ask(b, "dda50300fffd77");
		assert_int_equal(b->n, 23 + 6 + of[i].n + 7);
		assert_int_equal(u8_at(got(b), 3), 23 + 6 + of[i].n);
		line_free(b);
	}
	b = still("jbd,ntc=0,tail=0,trailing=4");
	ask(b, "dda50300fffd77");
	assert_int_equal(b->n, 23 + 7 + 4);
	assert_int_equal(u8_at(got(b), 4 + 22), 0);
	assert_int_equal(u8_at(got(b), 23 + 6), 0x77);
	line_free(b);
}

static void jbd_forced_alarms_show_and_switch(void **unused)
{
	struct bench *b = still("jbd,alarm=high_cell_voltage+charge_mos_fault,warning=low_soc,tail=9,ntc=0");

	(void)unused;
	assert_int_equal(fet(b), 2);
	assert_int_equal(protection(b), 0x2001);
	/* the word in the tail: the warning, and the one that the alarm implies */
	assert_int_equal(u16be_at(got(b), 4 + 23 + 1), 0x0801);
	line_free(b);
}

static void jbd_counters_are_cleared_by_the_saving_exit(void **unused)
{
	struct bench *b = line("jbd,soc=5,current=-20", 1);

	(void)unused;
	b->now += 3600 * SECOND;
	ask(b, "dda5aa00ff5677");
	assert_int_equal(b->n, 24 + 7);
	assert_true(u16be_at(got(b), 4 + 8) >= 1); /* cell under-voltage */
	ask(b, "dd5a00025678ff3077");
	assert_string_equal(ask(b, "dd5a01022828ffad77"), "dd010000000077");
	assert_string_equal(ask(b, "dda5aa00ff5677"), "ddaa0018000000000000000000000000000000000000000000000000ffe877");
	line_free(b);
}

static void jbd_cells_may_carry_the_start_byte(void **unused)
{
	struct bench *b = still("jbd,dd");

	(void)unused;
	ask(b, "dda50400fffc77");
	assert_string_equal(b->hex, "dd0400080cdd0cdd0cdd0cddfc5477");
	line_free(b);
}

/* ---- JK, serial ---- */

#define JK_READ_ALL   "4e5700130000000006030000000000006800000129"
#define JK_CHARGE_OFF "4e57001400000000020200ab000000000068000001d0"

static void jk_password(struct bench *b)
{
	assert_string_equal(ask(b, "4e570014000000000502000000000000006800000128"), "");
}

/* The value byte behind this tag; the list is long enough that a tag is looked for with its neighbour. */
static uint8_t jk_switches(struct bench *b)
{
	const char *at;

	ask(b, JK_READ_ALL);
	at = strstr(b->hex, "ab0"); /* AB xx AC xx AD */
	while (at && (strncmp(at + 4, "ac0", 3) || strncmp(at + 8, "ad", 2)))
		at = strstr(at + 1, "ab0");
	assert_non_null(at);
	return (uint8_t)((at[3] == '1' ? 1 : 0) | (at[7] == '1' ? 2 : 0));
}

static void jk_uart_frame_is_whole(void **unused)
{
	struct bench *b = still("jk-uart,cells=16,current=-10,imbalance=0,soc=50,capacity=280,temperature=-7");

	(void)unused;
	ask(b, JK_READ_ALL);
	assert_int_equal(b->n, u16be_at(got(b), 2) + 2u);
	assert_int_equal(b->n, 291);
	assert_int_equal(u16be_at(got(b), 0), 0x4e57);
	assert_int_equal(u8_at(got(b), 8), 6);
	assert_int_equal(u16be_at(got(b), 9), 0x0001);
	assert_int_equal(u8_at(got(b), b->n - 5), 0x68);
	assert_int_equal(u16be_at(got(b), b->n - 2), sum16(bytes_sub(got(b), 0, b->n - 4)));
	assert_int_equal(u16be_at(got(b), 11), 0x7930);
	/* MOS -4, sensors -7: 100 and the degrees; -10.00 A with protocol 1 = 03E8 */
	assert_non_null(strstr(b->hex, "800068"
				       "81006b"
				       "82006b"
				       "83"));
	assert_non_null(strstr(b->hex, "8403e8"
				       "8532"
				       "8602"));
	line_free(b);
}

static void jk_uart_says_what_its_dump_says(void **unused)
{
	struct bench *b = line_with_dump("jk-uart", "79 06 01 0EED 02 0EFA\n83 05F4\n8A 0002\nC0 01\n");

	(void)unused;
	/* by hand: L = 18 + 16 = 0022; the sum of all bytes up to 68 */
	assert_string_equal(ask(b, JK_READ_ALL),
			    "4e570022000000000600017906010eed020efa8305f48a0002c001000000006800000684");
	assert_string_equal(ask(b, "4e57001300000000030300830000000068000001a9"),
			    "4e570015000000000300018305f40000000068000002a2");
	line_free(b);
}

static void jk_uart_wrong_requests_are_not_answered(void **unused)
{
	struct bench *b = still("jk-uart");

	(void)unused;
	assert_string_equal(ask(b, "4e570013000000000603000000000000680000012a"), "");
	assert_string_equal(ask(b, "4e5700130000000006030000000000006900000129"), "");
	assert_string_equal(ask(b, "4e570011000000000603000000000000680000"), "");
	assert_string_not_equal(ask(b, JK_READ_ALL), "");
	line_free(b);
}

static void jk_uart_write_needs_the_password_before_it(void **unused)
{
	struct bench *b = line("jk-uart,current=0", 1);

	(void)unused;
	assert_int_equal(jk_switches(b), 3);
	assert_string_equal(ask(b, JK_CHARGE_OFF), "4e57001300000000020001ab0000000068000001ce");
	assert_int_equal(jk_switches(b), 3);
	jk_password(b);
	assert_string_equal(ask(b, JK_CHARGE_OFF), "4e57001300000000020001ab0000000068000001ce");
	assert_int_equal(jk_switches(b), 2);
	assert_non_null(strstr(b->hex, "8c0002"));
	/* used up */
	assert_string_equal(ask(b, "4e57001400000000020200ab010000000068000001d1"),
			    "4e57001300000000020001ab0000000068000001ce");
	assert_int_equal(jk_switches(b), 2);
	/* the form that needs none */
	assert_string_equal(ask(b, "4e57001400000000020302ab010000000068000001d4"),
			    "4e57001300000000020001ab0000000068000001ce");
	assert_int_equal(jk_switches(b), 3);
	line_free(b);
}

static void jk_uart_field_behaviours_can_be_chosen(void **unused)
{
	struct bench *b = still("jk-uart,needpassword=off");

	(void)unused;
	ask(b, JK_CHARGE_OFF);
	assert_int_equal(jk_switches(b), 2);
	line_free(b);
	b = still("jk-uart,variant=off");
	ask(b, "4e57001400000000020302ac000000000068000001d4");
	assert_int_equal(jk_switches(b), 3);
	line_free(b);
	b = still("jk-uart,protocol=0,current=-10");
	ask(b, JK_READ_ALL);
	assert_non_null(strstr(b->hex, "842af8")); /* 11000 */
	assert_string_equal(b->hex + b->n * 2 - 18 - 30, strstr(b->hex, "4e575f315f305f305f323030343238"));
	line_free(b);
	b = still("jk-uart,boot=16");
	ask(b, JK_READ_ALL);
	assert_non_null(strstr(b->hex, "85008602870000"));
	b->now += 16 * SECOND;
	ask(b, JK_READ_ALL);
	assert_non_null(strstr(b->hex, "853c8602870025"));
	line_free(b);
}

/* ---- JK, inverter boards ---- */

#define PB_STATUS "011016200001020000d6f1"

static void jk_pb_trigger_brings_frame_and_acknowledgement(void **unused)
{
	struct bench *b = still("jk-pb,current=-10,imbalance=0,soc=50");

	(void)unused;
	ask(b, PB_STATUS);
	assert_int_equal(b->n, 308);
	assert_int_equal(u32be_at(got(b), 0), 0x55aaeb90);
	assert_int_equal(u16be_at(got(b), 4), 0x0200);
	assert_int_equal(u8_at(got(b), 299), sum8(bytes_sub(got(b), 0, 299)));
	assert_string_equal(b->hex + 600, "011016200001044b");
	assert_int_equal(u32le_at(got(b), 70), 0xffff);
	assert_int_equal((int32_t)u32le_at(got(b), 158), -10000);
	assert_int_equal(u8_at(got(b), 173), 50);
	assert_int_equal(u32le_at(got(b), 174), 157000);
	assert_int_equal(u32le_at(got(b), 178), 314000);
	uint32_t sum = 0;
	for (unsigned i = 0; i < 16; i++)
		sum += u16le_at(got(b), 6 + 2 * i);
	assert_int_equal(u32le_at(got(b), 150), sum);
	assert_int_equal(u16le_at(got(b), 74), (sum + 8) / 16);
	ask(b, "0110161e0001020000d22f");
	assert_int_equal(u16be_at(got(b), 4), 0x0100);
	assert_int_equal(u32le_at(got(b), 18), 3650);
	assert_int_equal(u32le_at(got(b), 270), 1);
	assert_string_equal(b->hex + 600, "0110161e00016587");
	ask(b, "0110161c0001020000d3cd");
	assert_int_equal(u16be_at(got(b), 4), 0x0300);
	assert_memory_equal(b->got + 6, "JK_PB2A16S20P", 14);
	assert_string_equal(b->hex + 600, "0110161c0001c447");
	assert_int_equal(b->bus.board[0].writes, 0);
	line_free(b);
}

static void jk_pb_modbus_reads_big_endian(void **unused)
{
	struct bench *b = line_with_dump("jk-pb", "02 8E0D 900D 8F0D 8F0D 8E0D 8E0D 8E0D 8E0D\n");

	(void)unused;
	assert_string_equal(ask(b, "01031200000ac0b5"), "0103140d8e0d900d8f0d8f0d8e0d8e0d8e0d8e00000000d50a");
	/* the dump holds no settings */
	assert_string_equal(ask_modbus(b, "010310700002"), "018302c0f1");
	line_free(b);
	b = still("jk-pb");
	/* charge switch: 32 bits; then two bytes that share a register: heat start 0, heat stop 10 */
	assert_string_equal(ask_modbus(b, "010310700002"), "010304000000013bf3");
	ask_modbus(b, "010311160001");
	assert_int_equal(u32be_at(got(b), 1), 0x0302000a);
	line_free(b);
}

static void jk_pb_refuses_as_modbus_does(void **unused)
{
	struct bench *b = still("jk-pb,addresses=1,3");

	(void)unused;
	assert_string_equal(ask_modbus(b, "010412000001"), "01840182c0");
	assert_string_equal(ask_modbus(b, "010312010001"), "018302c0f1");
	assert_string_equal(ask_modbus(b, "010320000001"), "018302c0f1");
	assert_string_equal(ask_modbus(b, "010312000080"), "0183030131");
	assert_string_equal(ask_modbus(b, "0110107000020400000002"), "0190030c01");
	assert_string_equal(ask_modbus(b, "0110100c00020400000bb8"), "0190030c01");
	assert_string_equal(ask_modbus(b, "01101200000204000000ff"), "019002cdc1");
	assert_string_equal(ask(b, "011016200001020000d6f0"), "");
	assert_string_equal(ask(b, "021016200001020000c2a1"), "");
	/* two requests without a pause between them are one bad frame */
	assert_string_equal(ask(b, "ff011016200001020000d6f1"), "");
	assert_string_not_equal(ask(b, PB_STATUS), "");
	line_free(b);
	b = still("jk-pb,refuse");
	assert_string_equal(ask(b, "0110107000020400000001f88b"), "0190030c01");
	assert_int_equal(b->bus.board[0].writes, 1);
	line_free(b);
}

static void jk_pb_switches_show_at_once_and_act_half_a_second_later(void **unused)
{
	struct bench *b = still("jk-pb");

	(void)unused;
	say(b, "0110107000020400000000394b");
	assert_string_equal(listen_ms(b, 60), "01101070000244d3");
	ask_modbus(b, "010310700002");
	assert_int_equal(u32be_at(got(b), 3), 0);
	b->now += 300 * MS;
	ask(b, PB_STATUS);
	assert_int_equal(u16be_at(got(b), 198), 0x0001);
	assert_string_equal(ask(b, "011010740002040000000038b8"), "0110107400020512");
	say(b, PB_STATUS);
	listen_ms(b, 90);
	assert_int_equal(u16be_at(got(b), 198), 0x0000);
	assert_string_equal(ask(b, "011010780002040000000038ed"), "011010780002c511");
	assert_false(b->bus.board[0].battery.settings.balance_switch);
	assert_string_equal(ask_modbus(b, "011011140001020210"), "01101114000144f1");
	assert_int_equal(b->bus.board[0].writes, 4);
	line_free(b);
}

static void jk_pb_packs_answer_by_address(void **unused)
{
	struct bench *b = still("jk-pb,addresses=1,3,pad=both,stray=4,byte5=05");

	(void)unused;
	ask(b, "031016200001020000cf91");
	assert_int_equal(b->n, 4 + 310);
	assert_string_equal(b->hex + 2 * (4 + 300), "0003101620000105a900");
	assert_int_equal(u32be_at(got(b), 0), 0x00010200);
	assert_int_equal(u16be_at(got(b), 8), 0x0205);
	line_free(b);
}

static void jk_pb_cold_bus_reads_only_after_a_write(void **unused)
{
	struct bench *b = still("jk-pb,cold03");

	(void)unused;
	b->now += 10 * SECOND;
	assert_string_equal(ask(b, "01031200000ac0b5"), "");
	ask(b, PB_STATUS);
	assert_string_not_equal(ask(b, "01031200000ac0b5"), "");
	b->now += 3 * SECOND;
	assert_string_equal(ask(b, "01031200000ac0b5"), "");
	line_free(b);
}

static void jk_pb_crosstalk_brings_the_wrong_board(void **unused)
{
	struct bench *b = still("jk-pb,packs=2,crosstalk");

	(void)unused;
	say(b, PB_STATUS);
	listen_ms(b, 90);
	assert_string_equal(b->hex + 600, "011016200001044b");
	say(b, PB_STATUS);
	listen_ms(b, 300);
	assert_string_equal(b->hex + 600, "0210162000010478");
	assert_string_equal(ask(b, PB_STATUS) + 600, "011016200001044b");
	line_free(b);
}

static unsigned count(struct bytes in, const char *hex)
{
	uint8_t pattern[32];
	int n = bytes_from_hex(hex, pattern, sizeof(pattern));
	struct bytes needle = {pattern, n > 0 ? (size_t)n : 0};
	unsigned found = 0;

	for (size_t at = bytes_find(in, needle, 0); at < in.n; at = bytes_find(in, needle, at + 1))
		found++;
	return found;
}

static void jk_pb_master_runs_its_cycle(void **unused)
{
	struct bench *b = still("jk-pb,addresses=2,5,master");

	(void)unused;
	listen_ms(b, 4399);
	/* its own two frames, and two of each board that it finds */
	assert_int_equal(count(got(b), "55aaeb90"), 6);
	for (unsigned address = 1; address <= 15; address++) {
		char request[32];

		snprintf(request, sizeof(request), "%02x10162000010200", address);
		assert_int_equal(count(got(b), request), 1);
		snprintf(request, sizeof(request), "%02x10161e00010200", address);
		assert_int_equal(count(got(b), request), 1);
	}
	assert_int_equal(count(got(b), "011016200001044b"), 0);
	assert_int_equal(count(got(b), "0210162000010478"), 1);
	assert_int_equal(count(got(b), "161c"), 0);
	line_free(b);
}

/* ---- Daly ---- */

static void daly_says_what_its_dump_says(void **unused)
{
	struct bench *b = line_with_dump("daly", "90 0210 0000 7530 01F4\n"
						 "94 0E 01 00 00 02 0000 20\n"
						 "95 01 0EC0 0EC2 0EC7 20\n"
						 "95 02 0EC8 0EC8 0EC6 20\n");

	(void)unused;
	assert_string_equal(ask(b, "a540900800000000000000007d"), "a501900802100000753001f4ea");
	assert_string_equal(ask(b, "a5409408000000000000000081"), "a50194080e0100000200002073");
	assert_string_equal(ask(b, "a5409508000000000000000082"),
			    "a5019508010ec00ec20ec720d7a5019508020ec80ec80ec620e5");
	assert_string_equal(ask(b, "a5409808000000000000000085"), "");
	line_free(b);
}

static void daly_repeats_bytes_of_the_last_reply(void **unused)
{
	struct bench *b = still("daly,cells=8,capacity=100,soc=50,current=-12,imbalance=0,temperature=20");
	uint8_t tail[4];

	(void)unused;
	/* 8 cells of 3.296 V less 12 A over 0.6 mohm: 26.3 V; 30120; 500 */
	assert_string_equal(ask(b, "a540900800000000000000007d"), "a50190080107000075a801f458");
	ask(b, "a540910800000000000000007e");
	assert_int_equal(u16be_at(got(b), 4 + 6), 0x01f4);
	memcpy(tail, b->got + 8, 4);
	ask(b, "a540920800000000000000007f");
	assert_int_equal(u8_at(got(b), 4), 60);
	assert_memory_equal(b->got + 8, tail, 4);
	line_free(b);
}

static void daly_frames_of_cells(void **unused)
{
	struct bench *b = still("daly,cells=16");

	(void)unused;
	ask_daly(b, "4095", EMPTY);
	assert_int_equal(b->n, 6 * 13);
	ask_daly(b, "8095", EMPTY);
	assert_int_equal(b->n, 16 * 13);
	for (unsigned k = 0; k < 16; k++) {
		struct bytes f = bytes_sub(got(b), 13 * k, 13);

		assert_int_equal(u32be_at(f, 0), 0xa5019508);
		assert_int_equal(u8_at(f, 4), k + 1);
		assert_int_equal(u8_at(f, 12), sum8(bytes_sub(f, 0, 12)));
		assert_true(k < 5 ? u16be_at(f, 9) > 3000 : u16be_at(f, 9) == 0);
	}
	line_free(b);
	b = still("daly,cells=48,frames16,host80=off");
	ask_daly(b, "4095", EMPTY);
	assert_int_equal(b->n, 16 * 13);
	assert_string_equal(ask_daly(b, "8090", EMPTY), "");
	line_free(b);
}

static void daly_boards_answer_by_number(void **unused)
{
	struct bench *b = still("daly,addresses=1,2,16");

	(void)unused;
	ask_daly(b, "4190", EMPTY);
	assert_int_equal(u32be_at(got(b), 0), 0xa5029008);
	ask_daly(b, "4f90", EMPTY);
	assert_int_equal(u32be_at(got(b), 0), 0xa5109008);
	assert_string_equal(ask_daly(b, "4290", EMPTY), "");
	assert_string_equal(ask(b, "a540900800000000000000007e"), "");
	assert_string_equal(ask_daly(b, "4099", EMPTY), "");
	ask_daly(b, "8090", EMPTY);
	assert_int_equal(u32be_at(got(b), 0), 0xa5019008);
	line_free(b);
}

static void daly_commands_act(void **unused)
{
	struct bench *b = still("daly,current=0");

	(void)unused;
	ask(b, "a540da080000000000000000c7");
	assert_int_equal(u32be_at(got(b), 0), 0xa501da08);
	assert_int_equal(u8_at(got(b), 4), 0);
	ask_daly(b, "4093", EMPTY);
	assert_int_equal(u16be_at(got(b), 5), 0x0001);
	uint8_t heartbeat = u8_at(got(b), 7);
	ask(b, "a540da080100000000000000c8");
	ask_daly(b, "4093", EMPTY);
	assert_int_equal(u16be_at(got(b), 5), 0x0101);
	assert_int_equal(u8_at(got(b), 7), heartbeat + 1);
	/* 2022-12-13 21:29:39, 30.0 % */
	ask(b, "a5402108160c0d151d27012cc3");
	assert_int_equal(u32be_at(got(b), 0), 0xa5012108);
	assert_int_equal(u8_at(got(b), 4), 1);
	ask_daly(b, "4090", EMPTY);
	assert_int_equal(u16be_at(got(b), 10), 300);
	ask_daly(b, "4061", EMPTY);
	assert_memory_equal(b->got + 4, "\x16\x0c\x0d\x15\x1d\x27\x01\x2c", 8);
	ask_daly(b, "4019", "0e100e4207d0076c");
	ask_daly(b, "4059", EMPTY);
	assert_memory_equal(b->got + 4, "\x0e\x10\x0e\x42\x07\xd0\x07\x6c", 8);
	assert_int_equal(b->bus.board[0].writes, 4);
	line_free(b);
	b = still("daly,noack,inverted,current=-12,soc=50");
	assert_string_equal(ask(b, "a5402108160c0d151d27012cc3"), "");
	ask_daly(b, "4090", EMPTY);
	assert_int_equal(u16be_at(got(b), 10), 300);
	assert_int_equal(u16be_at(got(b), 8), 30000 - 120);
	line_free(b);
}

static void daly_asleep_returns_what_it_gets(void **unused)
{
	struct bench *b = line("daly,current=0,sleep=10", 1);

	(void)unused;
	assert_int_equal(u8_at((ask_daly(b, "4090", EMPTY), got(b)), 1), 1);
	b->now += 10 * SECOND;
	assert_string_equal(ask(b, "a540900800000000000000007d"), "a540900800000000000000007d");
	assert_true(b->last < 13 * 1100 + 6000);
	line_free(b);
}

/* ---- the line ---- */

static void no_byte_comes_before_the_line_can_carry_it(void **unused)
{
	static const struct {
		const char *port, *request;
		unsigned baud, ms; /* the shortest reply time */
	} of[] = {
		{"jbd", "dda50300fffd77", 9600, 40},
		{"jk-uart", JK_READ_ALL, 115200, 3},
		{"jk-pb", PB_STATUS, 115200, 35},
		{"daly", "a5409508000000000000000082", 9600, 50},
	};

	(void)unused;
	for (unsigned i = 0; i < 4; i++) {
		struct bench *b = still(of[i].port);
		usec began = b->now, bit10 = 10 * SECOND / of[i].baud;
		usec start = began + (usec)strlen(of[i].request) / 2 * bit10 + of[i].ms * MS;
		size_t n = 0;
		uint8_t byte;

		say(b, of[i].request);
		while (b->now < began + 500 * MS) {
			b->now += 50;
			while (bus_take(&b->bus, b->now, &byte, 1))
				assert_true(b->now >= start + (usec)++n * bit10);
		}
		assert_true(n > 10);
		line_free(b);
	}
}

static void every_nth_fault_hits_every_nth_frame(void **unused)
{
	struct bench *b = still("jbd,badsum=3");
	char good[64];

	(void)unused;
	snprintf(good, sizeof(good), "%s", ask(b, "dda50400fffc77"));
	assert_string_equal(ask(b, "dda50400fffc77"), good);
	ask(b, "dda50400fffc77");
	assert_int_equal(strlen(b->hex), strlen(good));
	assert_string_not_equal(b->hex, good);
	assert_string_equal(ask(b, "dda50400fffc77"), good);
	line_free(b);

	b = still("jbd,cut=2:5,drop=3");
	assert_int_equal(strlen(ask(b, "dda50400fffc77")), 30);
	assert_int_equal(strlen(ask(b, "dda50400fffc77")), 10);
	assert_int_equal(strlen(ask(b, "dda50400fffc77")), 0);
	line_free(b);

	b = still("daly,cells=9,lose=2");
	ask_daly(b, "4095", EMPTY);
	assert_int_equal(b->n, 13 + 12 + 13);
	line_free(b);

	b = still("jbd,flip=1");
	ask(b, "dda50400fffc77");
	assert_int_equal(strlen(b->hex), strlen(good));
	assert_string_not_equal(b->hex, good);
	line_free(b);

	b = still("jbd,noise=2,garbage=0102");
	assert_string_equal(ask(b, "dda50400fffc77"), good);
	ask(b, "dda50400fffc77");
	assert_int_equal(strlen(b->hex), strlen(good) + 8);
	assert_memory_equal(b->hex, "0102dd04", 8);
	line_free(b);

	b = still("jbd,deaf=2");
	assert_string_equal(ask(b, "dda50400fffc77"), "");
	assert_string_equal(ask(b, "dda50400fffc77"), "");
	assert_string_equal(ask(b, "dda50400fffc77"), good);
	line_free(b);
}

static void a_foreign_reply_is_sound_and_for_somebody_else(void **unused)
{
	struct bench *b = still("jk-pb,foreign=2");

	(void)unused;
	assert_string_equal(ask(b, PB_STATUS) + 600, "011016200001044b");
	assert_string_equal(ask(b, PB_STATUS) + 600, "0210162000010478");
	assert_string_equal(ask(b, PB_STATUS) + 600, "011016200001044b");
	line_free(b);
	b = still("jbd,foreign=1");
	assert_memory_equal(ask(b, "dda50300fffd77"), "dd0400", 6);
	line_free(b);
	b = still("jk-uart,foreign=1");
	assert_string_equal(ask(b, JK_READ_ALL), "4e57001300000000020001ab0000000068000001ce");
	line_free(b);
	b = still("daly,foreign=1");
	ask_daly(b, "4090", EMPTY);
	assert_int_equal(u8_at(got(b), 1), 2);
	line_free(b);
}

static void a_late_reply_does_not_hold_up_the_next(void **unused)
{
	struct bench *b = still("jbd,late=2:900");

	(void)unused;
	ask(b, "dda50400fffc77");
	assert_string_equal(ask(b, "dda50500fffb77"), "");
	say(b, "dda5aa00ff5677");
	assert_memory_equal(listen_ms(b, 200), "ddaa00", 6);
	assert_memory_equal(listen_ms(b, 600), "dd0500", 6);
	line_free(b);
}

static void delays_and_pauses_are_kept(void **unused)
{
	struct bench *b = still("daly,delay=200");

	(void)unused;
	ask_daly(b, "4090", EMPTY);
	assert_true(b->first >= 263 * MS && b->first <= 296 * MS);
	line_free(b);
	b = still("daly,slow=4");
	ask_daly(b, "4090", EMPTY);
	assert_true(b->first >= 213 * MS && b->first <= 336 * MS);
	line_free(b);
	b = still("daly,chunk=3:20");
	ask_daly(b, "4090", EMPTY);
	assert_true(b->last - b->first >= 4 * 20 * MS + 12 * MS);
	line_free(b);
}

static void an_echo_is_what_was_sent_when_it_was_sent(void **unused)
{
	struct bench *b = still("jbd,echo,silent");

	(void)unused;
	assert_string_equal(ask(b, "dda50400fffc77"), "dda50400fffc77");
	assert_true(b->first <= 2 * MS && b->last >= 7 * MS && b->last <= 9 * MS);
	line_free(b);
}

static void half_a_request_is_forgotten_after_a_pause(void **unused)
{
	struct bench *b = still("jbd");

	(void)unused;
	say(b, "dda5");
	b->now += 20 * MS;
	assert_string_not_equal(ask(b, "0300fffd77"), "");
	say(b, "dda5");
	b->now += 80 * MS;
	assert_string_equal(ask(b, "0300fffd77"), "");
	line_free(b);
}

static void bytes_at_another_speed_are_noise(void **unused)
{
	static const uint8_t request[] = {0xdd, 0xa5, 0x03, 0x00, 0xff, 0xfd, 0x77};
	struct bench *b = still("jbd");

	(void)unused;
	bus_garbled(&b->bus, (struct bytes){request, sizeof(request)}, b->now);
	assert_string_equal(listen_ms(b, 500), "");
	assert_string_not_equal(ask(b, "dda50300fffd77"), "");
	line_free(b);
}

static void what_the_line_cannot_carry_yet_waits_at_the_host(void **unused)
{
	static const uint8_t flood[5000];
	struct bench *b = still("jbd");

	(void)unused;
	assert_true(bus_takes_more(&b->bus) <= b->now);
	bus_receive(&b->bus, (struct bytes){flood, sizeof(flood)}, b->now);
	/* 904 bytes beyond the host's buffer of 4096, a bit more than 1 ms each */
	assert_true(bus_takes_more(&b->bus) > b->now + 900 * MS && bus_takes_more(&b->bus) < b->now + 960 * MS);
	/* whoever comes after a hang-up finds the line free */
	bus_hang_up(&b->bus, b->now);
	assert_true(bus_takes_more(&b->bus) <= b->now);
	assert_string_not_equal(ask(b, "dda50300fffd77"), "");
	line_free(b);
}

static void the_state_tells_what_was_written(void **unused)
{
	struct bench *b = still("daly,addresses=1,2");
	char before[4096] = "", after[4096] = "";
	FILE *f;

	(void)unused;
	f = fmemopen(before, sizeof(before), "w");
	bus_tell(&b->bus, b->now, "/dev/\"x\"", f);
	fclose(f);
	ask_daly(b, "4090", EMPTY);
	ask_daly(b, "4059", EMPTY);
	f = fmemopen(after, sizeof(after), "w");
	bus_tell(&b->bus, b->now, "/dev/\"x\"", f);
	fclose(f);
	assert_string_equal(before, after);
	assert_false(bus_changed(&b->bus));
	assert_non_null(strstr(before,
			       "{\"path\":\"/dev/\\\"x\\\"\",\"protocol\":\"daly-uart\",\"address\":2,\"writes\":0,"
			       "\"charge\":true,"));
	ask_daly(b, "41da", EMPTY);
	assert_true(bus_changed(&b->bus));
	assert_false(bus_changed(&b->bus));
	line_free(b);
}

/* Requests with their checksums right lead deeper in than noise does: any byte of a good one is changed,
 * and the sums are made new half of the time. */
static void mutate(const char *port, uint8_t *p, size_t n, uint64_t *random)
{
	p[random_between(random, 0, (uint32_t)n - 1)] = (uint8_t)random_next(random);
	if (random_next(random) & 1)
		return;
	if (!strncmp(port, "daly", 4)) {
		p[12] = sum8((struct bytes){p, 12});
	} else if (!strncmp(port, "jk-pb", 5)) {
		put_u16le(p + n - 2, crc16_modbus((struct bytes){p, n - 2}));
	} else if (!strncmp(port, "jk-uart", 7)) {
		put_u16be(p + n - 2, sum16((struct bytes){p, n - 4}));
	} else {
		size_t from = strstr(port, "addressed") ? 1 : 2;

		put_u16be(p + n - 3, (uint16_t)-sum16((struct bytes){p + from, n - 3 - from}));
	}
}

static void no_bytes_whatever_break_a_board(void **unused)
{
	static const struct {
		const char *port;
		const char *request[6];
	} of[] = {
		{"jbd,noise=0.3,cut=3",
		 {"dda50300fffd77", "dd5a00025678ff3077", "dda5fa03000102ff0077", "dd5a060706000000000000ffed77",
		  "dd5a10022710ffb777", "dd5aa0030241420077"}},
		{"jbd,dialect=addressed,addresses=0,3,lose=2", {"dd00a50300ff5877", "dd00a50500ff5677"}},
		{"jk-uart,flip=2,noise=2",
		 {JK_READ_ALL, JK_CHARGE_OFF, "4e570014000000000502000000000000006800000128"}},
		{"jk-pb,packs=3,crosstalk,foreign=3,stray=11,pad=both",
		 {PB_STATUS, "01031200000ac0b5", "0110107000020400000001f88b",
		  "01101070000408000000010000000100000000"}},
		{"jk-pb,master,chunk=9", {PB_STATUS, "01031200000ac0b5"}},
		{"daly,packs=2,late=3,echo",
		 {"a540900800000000000000007d", "a5409508000000000000000082", "a5402108160c0d151d27012cc3",
		  "a5401908000000000000000006"}},
	};
	uint64_t random = 99;

	(void)unused;
	for (unsigned i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		struct bench *b = line(of[i].port, 60);
		unsigned kinds = 0;

		while (kinds < 6 && of[i].request[kinds])
			kinds++;
		for (unsigned round = 0; round < 1500; round++) {
			uint8_t bytes[600];
			size_t n = random_between(&random, 1, sizeof(bytes));

			for (size_t k = 0; k < n; k++)
				bytes[k] = (uint8_t)random_next(&random);
			if (round % 8) {
				n = (size_t)bytes_from_hex(of[i].request[random_next(&random) % kinds], bytes,
							   sizeof(bytes));
				mutate(of[i].port, bytes, n, &random);
			}
			bus_receive(&b->bus, (struct bytes){bytes, n}, b->now);
			listen_ms(b, random_between(&random, 1, 300));
		}
		struct battery_sample m;

		battery_measure(&b->bus.board[0].battery, &m);
		assert_true(m.remaining_mAh <= m.full_mAh);
		line_free(b);
	}
}

/* ---- the command line's text ---- */

static void refused(const char *port, const char *because)
{
	struct scenario s;
	char why[1536];

	assert_false(scenario_parse(&s, port, why, sizeof(why)));
	if (!strstr(why, because))
		fail_msg("%s: said '%s', not '%s'", port, why, because);
}

static void mistakes_are_named_with_what_is_allowed(void **unused)
{
	(void)unused;
	refused("nosuchbms", "jbd-uart jk-uart jk-pb daly-uart");
	refused("jbd,soc=101", "soc=101: allowed is 0..100 %");
	refused("jbd,soc=half", "soc=half: allowed is 0..100 %");
	refused("jbd,cells=33", "cells=33: allowed is 1..32");
	refused("jbd,frames16", "no key 'frames16' here; there are cells capacity");
	refused("jbd,tail=8", "allowed is 0|7|9|16");
	refused("jbd,packs=2", "dialect=addressed");
	refused("jbd,dialect=addressed,address=16", "address 16: allowed is 0..15");
	refused("jbd,noise=2.5", "whole number");
	refused("jk-pb,alarm=low_soc", "alarm=low_soc: allowed is high_internal_temperature");
	refused("jk-pb,addresses=1,1", "allowed is N[,N...]");
	refused("daly,replug=2", "needs unplug");
	refused("daly,weak=17", "there are 16 cells");
	refused("daly,soc", "soc=: allowed is");
	refused("daly,garbage=1", "bytes in hex");
}

static void keys_are_understood(void **unused)
{
	struct scenario s;
	char why[1536];

	(void)unused;
	assert_true(scenario_parse(&s, "daly,addresses=1,2,5-7,soc=40,silent,echo=off,current=cycle:80,late=5:700", why,
				   sizeof(why)));
	assert_ptr_equal(s.kind, &daly_kind);
	assert_int_equal(s.addresses, 5);
	assert_int_equal(s.packs, 5);
	assert_int_equal(s.address[4], 7);
	assert_true(s.soc == 40 && s.silent && !s.echo && s.cycling && s.current == 80);
	assert_int_equal(s.late.nth, 5);
	assert_int_equal(s.late.arg, 700);
	assert_true(scenario_parse(&s, "jk-pb,address=1,address=4", why, sizeof(why)));
	assert_int_equal(s.addresses, 2);
	assert_true(scenario_parse(&s, "jk", why, sizeof(why)));
	assert_true(s.cycling && s.current == 70);
}

static void a_broken_dump_is_refused_with_its_line(void **unused)
{
	static const struct {
		const char *lines, *because;
	} of[] = {
		{"03 00\nxyz\n", "line 2: no key in hex"},
		{"03 0\n", "line 1: not whole bytes"},
		{"03@300 00\n", "line 1: no address"},
		{"03x 00\n", "line 1: no blank behind the key"},
	};
	char why[256];

	(void)unused;
	for (unsigned i = 0; i < 4; i++) {
		struct registers *r = registers_load(dump(of[i].lines), why, sizeof(why));

		assert_null(r);
		assert_non_null(strstr(why, of[i].because));
	}
	struct registers *r = registers_load(dump("03@2 0102\n03 03\n"), why, sizeof(why));
	assert_non_null(r);
	assert_int_equal(registers_get(r, 3, 1, 0).n, 1);
	assert_int_equal(registers_get(r, 3, 2, 0).n, 2);
	registers_free(r);
	unlink(dump(""));
	assert_null(registers_load("/nowhere/at/all", why, sizeof(why)));
	assert_non_null(strstr(why, "/nowhere/at/all"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_day_of_cycling_stays_consistent),
		cmocka_unit_test(what_flows_is_what_is_counted),
		cmocka_unit_test(a_stubborn_charger_is_cut_off_and_let_in_again),
		cmocka_unit_test(an_empty_battery_gives_no_more),
		cmocka_unit_test(too_much_current_trips_after_its_delay_and_is_tried_again),
		cmocka_unit_test(cold_forbids_charging_and_a_heater_helps),
		cmocka_unit_test(both_balancers_bring_the_cells_together),
		cmocka_unit_test(neighbours_never_bleed_at_the_same_time),
		cmocka_unit_test(the_seed_decides),
		cmocka_unit_test(a_written_soc_moves_the_counter_and_not_the_cells),
		cmocka_unit_test(voltage_and_charge_convert_both_ways),
		cmocka_unit_test(jbd_says_what_its_dump_says),
		cmocka_unit_test(jbd_tells_its_battery),
		cmocka_unit_test(jbd_stays_silent_where_a_board_does),
		cmocka_unit_test(jbd_settings_need_factory_mode),
		cmocka_unit_test(jbd_parameter_block_holds_the_same_settings),
		cmocka_unit_test(jbd_switches_follow_e1),
		cmocka_unit_test(jbd_old_and_new_boards_know_one_switch_command),
		cmocka_unit_test(jbd_password_opens_the_board),
		cmocka_unit_test(jbd_soc_can_be_written_and_estimated),
		cmocka_unit_test(jbd_addressed_dialect_hears_its_address_alone),
		cmocka_unit_test(jbd_asleep_takes_the_first_request_to_wake_up),
		cmocka_unit_test(jbd_tail_and_trailing_bytes),
		cmocka_unit_test(jbd_forced_alarms_show_and_switch),
		cmocka_unit_test(jbd_counters_are_cleared_by_the_saving_exit),
		cmocka_unit_test(jbd_cells_may_carry_the_start_byte),
		cmocka_unit_test(jk_uart_frame_is_whole),
		cmocka_unit_test(jk_uart_says_what_its_dump_says),
		cmocka_unit_test(jk_uart_wrong_requests_are_not_answered),
		cmocka_unit_test(jk_uart_write_needs_the_password_before_it),
		cmocka_unit_test(jk_uart_field_behaviours_can_be_chosen),
		cmocka_unit_test(jk_pb_trigger_brings_frame_and_acknowledgement),
		cmocka_unit_test(jk_pb_modbus_reads_big_endian),
		cmocka_unit_test(jk_pb_refuses_as_modbus_does),
		cmocka_unit_test(jk_pb_switches_show_at_once_and_act_half_a_second_later),
		cmocka_unit_test(jk_pb_packs_answer_by_address),
		cmocka_unit_test(jk_pb_cold_bus_reads_only_after_a_write),
		cmocka_unit_test(jk_pb_crosstalk_brings_the_wrong_board),
		cmocka_unit_test(jk_pb_master_runs_its_cycle),
		cmocka_unit_test(daly_says_what_its_dump_says),
		cmocka_unit_test(daly_repeats_bytes_of_the_last_reply),
		cmocka_unit_test(daly_frames_of_cells),
		cmocka_unit_test(daly_boards_answer_by_number),
		cmocka_unit_test(daly_commands_act),
		cmocka_unit_test(daly_asleep_returns_what_it_gets),
		cmocka_unit_test(no_byte_comes_before_the_line_can_carry_it),
		cmocka_unit_test(every_nth_fault_hits_every_nth_frame),
		cmocka_unit_test(a_foreign_reply_is_sound_and_for_somebody_else),
		cmocka_unit_test(a_late_reply_does_not_hold_up_the_next),
		cmocka_unit_test(delays_and_pauses_are_kept),
		cmocka_unit_test(an_echo_is_what_was_sent_when_it_was_sent),
		cmocka_unit_test(half_a_request_is_forgotten_after_a_pause),
		cmocka_unit_test(bytes_at_another_speed_are_noise),
		cmocka_unit_test(what_the_line_cannot_carry_yet_waits_at_the_host),
		cmocka_unit_test(the_state_tells_what_was_written),
		cmocka_unit_test(no_bytes_whatever_break_a_board),
		cmocka_unit_test(mistakes_are_named_with_what_is_allowed),
		cmocka_unit_test(keys_are_understood),
		cmocka_unit_test(a_broken_dump_is_refused_with_its_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
