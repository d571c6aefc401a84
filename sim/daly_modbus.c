/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A newer Daly board on RS485 or UART: Modbus frames, one of two register maps, sheet daly-modbus-ble. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "sim/device.h"
#include "sim/modbus.h"

enum map { MAP_D2, MAP_P81 };
enum { D2_ADDRESS = 0xd2, P81_ASKED = 0x80, P81_ANSWERS = 0x50 };
enum { REGISTERS = 0x200, D2_END = 0xf0, COUNT_MAX = 0x52, LIVE_SHORT = 0x3e, EXTRA = 0x3e, EXTRA_COUNT = 9 };
enum { NO_CURRENT = 30000, NOT_THERE = 0xffff, SETTINGS_MS = 300 };
enum { D2_ALARMS = 0x3a, D2_SETTINGS = 0x80, P81_SETTINGS = 0x100 };

struct daly_modbus_options {
	int map; /* enum map */
	bool lives, extra, balancer;
};

_Static_assert(sizeof(struct daly_modbus_options) <= SCENARIO_OWN, "room for its own keys");
#define AT(member) offsetof(struct daly_modbus_options, member)

static const struct key daly_modbus_keys[] = {
	{"map", KEY_WORD, AT(map), 0, 0, "", "d2", "d2|p81", "which registers it has, and how it is addressed", 0},
	{"long", KEY_FLAG, AT(lives), 0, 0, "", "on", NULL, "d2: 80 live registers can be read at once", 0},
	{"extra", KEY_FLAG, AT(extra), 0, 0, "", "on", NULL, "d2: registers 3E to 46 can be read by themselves", 0},
	{"balancer", KEY_FLAG, AT(balancer), 0, 0, "", "off", NULL, "d2: an active balancer, which knows no SoC", 0},
};

static const struct daly_modbus_options *options(const struct scenario *s)
{
	return (const void *)s->own;
}

static bool is_d2(const struct device *d)
{
	return options(d->scenario)->map == MAP_D2;
}

static const char *alone(const struct scenario *s)
{
	return options(s)->map == MAP_D2 ? "map=p81" : NULL;
}

struct daly_modbus_board {
	uint16_t reg[REGISTERS]; /* as they are being read */
};

/* Bit 8 * n + b: bit b of byte n from register 3A on; from 56 on those that only p81 has. */
#define BIT(byte, bit) (uint8_t)(8 * (byte) + (bit))
enum { PARALLEL_FAULT = 56, THERMAL_RUNAWAY, HEATER_FAULT, LOW_SOH };

static const struct alarm_bit daly_modbus_alarms[] = {
	{NULL, HIGH_CELL_VOLTAGE, WARNING, BIT(0, 0)},
	{NULL, HIGH_CELL_VOLTAGE, ALARM, BIT(0, 1)},
	{NULL, LOW_CELL_VOLTAGE, WARNING, BIT(0, 2)},
	{NULL, LOW_CELL_VOLTAGE, ALARM, BIT(0, 3)},
	{NULL, HIGH_VOLTAGE, WARNING, BIT(0, 4)},
	{NULL, HIGH_VOLTAGE, ALARM, BIT(0, 5)},
	{NULL, LOW_VOLTAGE, WARNING, BIT(0, 6)},
	{NULL, LOW_VOLTAGE, ALARM, BIT(0, 7)},
	{NULL, HIGH_CHARGE_TEMPERATURE, WARNING, BIT(1, 0)},
	{NULL, HIGH_CHARGE_TEMPERATURE, ALARM, BIT(1, 1)},
	{NULL, LOW_CHARGE_TEMPERATURE, WARNING, BIT(1, 2)},
	{NULL, LOW_CHARGE_TEMPERATURE, ALARM, BIT(1, 3)},
	{NULL, HIGH_TEMPERATURE, WARNING, BIT(1, 4)},
	{NULL, HIGH_TEMPERATURE, ALARM, BIT(1, 5)},
	{NULL, LOW_TEMPERATURE, WARNING, BIT(1, 6)},
	{NULL, LOW_TEMPERATURE, ALARM, BIT(1, 7)},
	{NULL, HIGH_CHARGE_CURRENT, WARNING, BIT(2, 0)},
	{NULL, HIGH_CHARGE_CURRENT, ALARM, BIT(2, 1)},
	{NULL, HIGH_DISCHARGE_CURRENT, WARNING, BIT(2, 2)},
	{NULL, HIGH_DISCHARGE_CURRENT, ALARM, BIT(2, 3)},
	{NULL, LOW_SOC, WARNING, BIT(2, 6)},
	{NULL, LOW_SOC, ALARM, BIT(2, 7)},
	{NULL, CELL_IMBALANCE, WARNING, BIT(3, 0)},
	{NULL, CELL_IMBALANCE, ALARM, BIT(3, 1)},
	{"temperature_difference", NO_ALARM, WARNING, BIT(3, 2)},
	{"temperature_difference", NO_ALARM, ALARM, BIT(3, 3)},
	{NULL, HIGH_INTERNAL_TEMPERATURE, ALARM, BIT(4, 0)},
	{"charge_mos_sensor_fault", NO_ALARM, ALARM, BIT(4, 2)},
	{"discharge_mos_sensor_fault", NO_ALARM, ALARM, BIT(4, 3)},
	{NULL, INTERNAL_FAILURE, ALARM, BIT(5, 0)},
	{"afe_fault", NO_ALARM, ALARM, BIT(5, 0)},
	{"voltage_sampling_fault", NO_ALARM, ALARM, BIT(5, 1)},
	{"temperature_sensor_fault", NO_ALARM, ALARM, BIT(5, 2)},
	{"eeprom_fault", NO_ALARM, ALARM, BIT(5, 3)},
	{"precharge_fault", NO_ALARM, ALARM, BIT(5, 5)},
	{"current_sensor_fault", NO_ALARM, ALARM, BIT(6, 0)},
	{"pack_voltage_sensor_fault", NO_ALARM, ALARM, BIT(6, 1)},
	{NULL, SHORT_CIRCUIT, ALARM, BIT(6, 2)},
	{"mos_off_by_switch", NO_ALARM, WARNING, BIT(6, 4)},
	{"parallel_fault", NO_ALARM, ALARM, PARALLEL_FAULT},
	{"thermal_runaway", NO_ALARM, ALARM, THERMAL_RUNAWAY},
	{"heater_fault", NO_ALARM, ALARM, HEATER_FAULT},
	{"low_soh", NO_ALARM, WARNING, LOW_SOH},
};

/* What the bits above are in the other map: a value at a place of a register; levels are 1 and 2. */
static const struct {
	uint8_t bit, reg, shift, value;
} p81_bits[] = {
	{BIT(0, 0), 0x6d, 8, 1},  {BIT(0, 1), 0x6d, 8, 2},	 {BIT(0, 2), 0x6d, 11, 1},
	{BIT(0, 3), 0x6d, 11, 2}, {BIT(3, 0), 0x6d, 0, 1},	 {BIT(3, 1), 0x6d, 0, 2},
	{BIT(1, 0), 0x6d, 3, 1},  {BIT(1, 1), 0x6d, 3, 2},	 {BIT(1, 2), 0x6e, 8, 1},
	{BIT(1, 3), 0x6e, 8, 2},  {BIT(1, 4), 0x6e, 11, 1},	 {BIT(1, 5), 0x6e, 11, 2},
	{BIT(4, 0), 0x6e, 14, 1}, {BIT(4, 2), 0x6e, 15, 1},	 {BIT(1, 6), 0x6e, 0, 1},
	{BIT(1, 7), 0x6e, 0, 2},  {BIT(3, 2), 0x6e, 3, 1},	 {BIT(3, 3), 0x6e, 3, 2},
	{BIT(4, 3), 0x6e, 7, 1},  {BIT(0, 4), 0x6f, 8, 1},	 {BIT(0, 5), 0x6f, 8, 2},
	{BIT(0, 6), 0x6f, 11, 1}, {BIT(0, 7), 0x6f, 11, 2},	 {BIT(6, 2), 0x6f, 14, 1},
	{BIT(2, 0), 0x6f, 0, 1},  {BIT(2, 1), 0x6f, 0, 2},	 {BIT(2, 2), 0x6f, 3, 1},
	{BIT(2, 3), 0x6f, 3, 2},  {BIT(2, 6), 0x70, 8, 1},	 {BIT(2, 7), 0x70, 8, 2},
	{LOW_SOH, 0x70, 11, 1},	  {PARALLEL_FAULT, 0x70, 15, 1}, {THERMAL_RUNAWAY, 0x70, 3, 1},
	{BIT(5, 0), 0x72, 0, 1},  {BIT(5, 1), 0x72, 3, 1},	 {BIT(6, 1), 0x72, 5, 1},
	{BIT(6, 0), 0x72, 6, 1},  {BIT(5, 2), 0x72, 7, 1},	 {BIT(5, 3), 0x73, 9, 1},
	{BIT(5, 5), 0x73, 15, 1}, {HEATER_FAULT, 0x73, 7, 1},	 {BIT(6, 4), 0x73, 2, 1},
};

/* ---- values: sheet 5 ---- */

static uint16_t temperature(int16_t dC)
{
	return fit_u16(dC / 10.0 + 40);
}

static uint16_t current(const struct battery_sample *m)
{
	return fit_u16(NO_CURRENT + m->current_mA / 100.0);
}

static uint16_t power(const struct battery_sample *m)
{
	return fit_u16(fabs((double)m->pack_mV * m->current_mA) / 1e6);
}

static uint16_t flow(const struct battery_sample *m)
{
	return m->current_mA > 100 ? 1 : m->current_mA < -100 ? 2 : 0;
}

static uint16_t mean_mV(const struct battery_sample *m)
{
	return (uint16_t)((m->pack_mV + m->cells / 2) / m->cells);
}

static uint16_t balance_word(const struct battery_sample *m, unsigned from)
{
	unsigned word = 0;

	for (unsigned i = 0; i < 16 && from + i < m->cells; i++)
		word |= (m->balancing[from + i] ? 1u : 0) << i;
	return (uint16_t)word;
}

static void extreme_sensors(const struct battery_sample *m, unsigned *high, unsigned *low)
{
	*high = *low = 0;
	for (unsigned i = 1; i < m->sensors; i++) {
		if (m->sensor_dC[i] > m->sensor_dC[*high])
			*high = i;
		if (m->sensor_dC[i] < m->sensor_dC[*low])
			*low = i;
	}
}

static void put_text(uint16_t *reg, const char *text, size_t registers)
{
	size_t n = strnlen(text, 2 * registers);

	for (size_t i = 0; i < n; i++)
		reg[i / 2] = (uint16_t)(reg[i / 2] | (uint8_t)text[i] << (i % 2 ? 0 : 8));
}

static void put_u32(uint16_t *reg, uint32_t v)
{
	reg[0] = (uint16_t)(v >> 16);
	reg[1] = (uint16_t)v;
}

/* ---- D2: sheet 5.1, 5.2, 8 ---- */

static void d2_live(const struct device *d, const struct battery_sample *m, uint16_t *reg)
{
	uint64_t bits = device_alarm_bits(d);
	unsigned high, low;

	extreme_sensors(m, &high, &low);
	for (unsigned i = 0; i < m->cells && i < 32; i++)
		reg[i] = m->cell_mV[i];
	for (unsigned i = 0; i < m->sensors; i++)
		reg[0x20 + i] = temperature(m->sensor_dC[i]);
	reg[0x28] = fit_u16(m->pack_mV / 100.0);
	reg[0x29] = current(m);
	reg[0x2a] = (uint16_t)m->soc_permille;
	reg[0x2b] = m->cell_mV[m->highest];
	reg[0x2c] = m->cell_mV[m->lowest];
	reg[0x2d] = m->sensors ? temperature(m->sensor_dC[high]) : 0;
	reg[0x2e] = m->sensors ? temperature(m->sensor_dC[low]) : 0;
	reg[0x2f] = flow(m);
	reg[0x30] = fit_u16(m->remaining_mAh / 100.0);
	reg[0x31] = (uint16_t)(m->cells < 32 ? m->cells : 32);
	reg[0x32] = (uint16_t)m->sensors;
	reg[0x33] = (uint16_t)m->cycles;
	reg[0x34] = m->balancing_any;
	reg[0x35] = d->battery.charge_mos;
	reg[0x36] = d->battery.discharge_mos;
	reg[0x37] = mean_mV(m);
	reg[0x38] = (uint16_t)(m->cell_mV[m->highest] - m->cell_mV[m->lowest]);
	reg[0x39] = power(m);
	for (unsigned i = 0; i < 4; i++)
		reg[D2_ALARMS + i] =
			(uint16_t)((bits >> (16 * i) & 0xff) << 8 | (i < 3 ? bits >> (16 * i + 8) & 0xff : 0));
	reg[0x3e] = balance_word(m, 0);
	reg[0x3f] = balance_word(m, 16);
	reg[0x40] = fit_u16(NO_CURRENT + m->balance_mA);
	reg[0x42] = temperature(m->mos_dC);
	reg[0x43] = temperature(m->ambient_dC);
}

static void d2_thresholds(const struct device *d, uint16_t *reg)
{
	const struct battery_settings *s = &d->battery.settings;
	const double t[] = {s->charge_ot - 5,	 s->charge_ot,	  s->charge_ut + 5,    s->charge_ut,
			    s->discharge_ot - 5, s->discharge_ot, s->discharge_ut + 5, s->discharge_ut};

	reg[0x8b] = fit_u16(1000 * s->cell_ov - 50);
	reg[0x8c] = fit_u16(1000 * s->cell_ov);
	reg[0x8d] = fit_u16(1000 * s->cell_uv + 200);
	reg[0x8e] = fit_u16(1000 * s->cell_uv);
	reg[0x8f] = fit_u16(10 * s->pack_ov - 5);
	reg[0x90] = fit_u16(10 * s->pack_ov);
	reg[0x91] = fit_u16(10 * s->pack_uv + 20);
	reg[0x92] = fit_u16(10 * s->pack_uv);
	reg[0x93] = fit_u16(NO_CURRENT - 9 * s->charge_oc);
	reg[0x94] = fit_u16(NO_CURRENT - 10 * s->charge_oc);
	reg[0x95] = fit_u16(NO_CURRENT + 9 * s->discharge_oc);
	reg[0x96] = fit_u16(NO_CURRENT + 10 * s->discharge_oc);
	for (unsigned i = 0; i < 8; i++)
		reg[0x97 + i] = fit_u16(t[i] + 40);
	reg[0x9f] = fit_u16(500 * s->cell_difference);
	reg[0xa0] = fit_u16(1000 * s->cell_difference);
	reg[0xa1] = 10;
	reg[0xa2] = 15;
	reg[0xa3] = fit_u16(1000 * s->balance_start);
	reg[0xa4] = fit_u16(1000 * s->balance_window);
}

static void d2_rest(const struct device *d, const struct battery_sample *m, uint16_t *reg)
{
	bool balancer = options(d->scenario)->balancer;

	for (unsigned i = 0x50; i < D2_SETTINGS; i++)
		reg[i] = NOT_THERE;
	reg[0x80] = fit_u16(10 * d->battery.settings.design_Ah);
	reg[0x81] = d->battery.start.chemistry == NMC ? 3700 : 3200;
	reg[0x82] = 1;
	reg[0x83] = (uint16_t)m->cells;
	reg[0x86] = (uint16_t)m->sensors;
	reg[0x89] = d->battery.start.chemistry == NMC;
	reg[0x8a] = NOT_THERE;
	d2_thresholds(d, reg);
	reg[0xa5] = device_charge_wanted(d);
	reg[0xa6] = device_discharge_wanted(d);
	reg[0xa7] = (uint16_t)m->soc_permille;
	reg[0xa8] = fit_u16(d->battery.settings.mos_ot + 40);
	put_text(reg + 0xa9, balancer ? "B002_111132_03" : "30_250101_011T", 8);
	put_text(reg + 0xb1, device_text(d->scenario->model, balancer ? "E303-032DG-SMB" : "DL-R32U-E01"), 8);
	put_text(reg + 0xc9, "123456", 3);
	reg[0xcc] = 25 << 8 | 3;
	reg[0xcd] = 18 << 8;
	reg[0xce] = 16;
	reg[0xcf] = d->battery.settings.balance_switch;
	reg[0xd0] = 10;
	reg[0xd4] = 26 << 8 | 6;
	reg[0xd5] = 2 << 8 | 15;
	reg[0xd6] = (uint16_t)(4 << 8 | m->uptime_s % 60);
	for (unsigned i = 0xdf; i < 0xea; i++)
		reg[i] = NOT_THERE;
	if (balancer)
		reg[0x2a] = reg[0x30] = reg[0x35] = reg[0x36] = reg[0xa5] = reg[0xa6] = 0;
}

/* ---- P81: sheet 5.3, 8 ---- */

static void p81_first(const struct battery_sample *m, uint16_t *reg)
{
	for (unsigned i = 0; i < m->cells; i++)
		reg[i] = m->cell_mV[i];
	for (unsigned i = 0; i < 8; i++)
		reg[0x30 + i] = i < m->sensors ? temperature(m->sensor_dC[i]) : 0xff;
	reg[0x38] = fit_u16(m->pack_mV / 100.0);
	reg[0x39] = current(m);
	reg[0x3a] = (uint16_t)m->soc_permille;
	reg[0x3b] = m->uptime_s % 256;
	reg[0x3c] = (uint16_t)m->cells;
	reg[0x3d] = (uint16_t)m->sensors;
	reg[0x3e] = m->cell_mV[m->highest];
	reg[0x3f] = (uint16_t)(m->highest + 1);
	reg[0x40] = m->cell_mV[m->lowest];
	reg[0x41] = (uint16_t)(m->lowest + 1);
	reg[0x42] = (uint16_t)(m->cell_mV[m->highest] - m->cell_mV[m->lowest]);
}

static void p81_alarm_words(const struct device *d, uint16_t *reg)
{
	uint64_t bits = device_alarm_bits(d);

	for (size_t i = 0; i < sizeof(p81_bits) / sizeof(p81_bits[0]); i++)
		if (bits >> p81_bits[i].bit & 1) {
			uint16_t *r = &reg[p81_bits[i].reg];

			if (p81_bits[i].value == 2) /* in place of level 1 */
				*r = (uint16_t)(*r & ~(1u << p81_bits[i].shift));
			*r = (uint16_t)(*r | (unsigned)p81_bits[i].value << p81_bits[i].shift);
		}
	reg[0x70] |= 1 << 7;
}

static void p81_second(const struct device *d, const struct battery_sample *m, uint16_t *reg)
{
	unsigned high, low;

	extreme_sensors(m, &high, &low);
	reg[0x43] = m->sensors ? temperature(m->sensor_dC[high]) : 0;
	reg[0x44] = (uint16_t)(m->sensors ? high + 1 : 0);
	reg[0x45] = m->sensors ? temperature(m->sensor_dC[low]) : 0;
	reg[0x46] = (uint16_t)(m->sensors ? low + 1 : 0);
	reg[0x47] = (uint16_t)(reg[0x43] - reg[0x45]);
	reg[0x48] = flow(m);
	reg[0x4b] = fit_u16(m->remaining_mAh / 100.0);
	reg[0x4c] = (uint16_t)m->cycles;
	reg[0x4d] = m->balancing_any ? 1 : 7;
	reg[0x4e] = m->balancing_any ? fit_u16(NO_CURRENT + m->balance_mA) : 0;
	for (unsigned i = 0; i < 3; i++)
		reg[0x4f + i] = balance_word(m, 16 * i);
	reg[0x52] = d->battery.charge_mos;
	reg[0x53] = d->battery.discharge_mos;
	reg[0x55] = d->battery.heater_on;
	reg[0x57] = mean_mV(m);
	reg[0x58] = power(m);
	reg[0x5a] = temperature(m->mos_dC);
	reg[0x5b] = temperature(m->ambient_dC);
	reg[0x61] = 26 << 8 | 6;
	reg[0x62] = 2 << 8 | 15;
	reg[0x63] = (uint16_t)(4 << 8 | m->uptime_s % 60);
	reg[0x6a] = current(m);
	reg[0x6c] = (uint16_t)m->soc_permille;
	p81_alarm_words(d, reg);
	for (unsigned i = 0x74; i < 0x80; i++)
		reg[i] = NOT_THERE;
}

/* Warning, protection, release, delay. */
static void put_four(uint16_t *reg, double warning, double protection, double release, unsigned delay_ms)
{
	reg[0] = fit_u16(warning);
	reg[1] = fit_u16(protection);
	reg[2] = fit_u16(release);
	reg[3] = (uint16_t)delay_ms;
}

static void p81_thresholds(const struct device *d, uint16_t *reg)
{
	static const uint16_t currents[] = {28400, 28000, 1000, 27000, 1000, 31600, 32000, 1000, 33000, 1000};
	const struct battery_settings *s = &d->battery.settings;

	put_four(reg + 0x130, 1000 * s->cell_ov - 50, 1000 * s->cell_ov, 1000 * s->cell_ov_release, 5000);
	put_four(reg + 0x134, 1000 * s->cell_uv + 100, 1000 * s->cell_uv, 1000 * s->cell_uv_release, 5000);
	put_four(reg + 0x138, 10 * s->pack_ov - 10, 10 * s->pack_ov, 10 * s->pack_ov_release, 1000);
	put_four(reg + 0x13c, 10 * s->pack_uv + 16, 10 * s->pack_uv, 10 * s->pack_uv_release, 1000);
	memcpy(reg + 0x140, currents, sizeof(currents));
	put_four(reg + 0x14a, s->charge_ot + 35, s->charge_ot + 40, s->charge_ot_release + 40, 1000);
	put_four(reg + 0x14e, s->charge_ut + 45, s->charge_ut + 40, s->charge_ut_release + 40, 1000);
	put_four(reg + 0x152, s->discharge_ot + 35, s->discharge_ot + 40, s->discharge_ot_release + 40, 1000);
	put_four(reg + 0x156, s->discharge_ut + 45, s->discharge_ut + 40, s->discharge_ut_release + 40, 1000);
	put_four(reg + 0x15a, 900 * s->cell_difference, 1000 * s->cell_difference, 900 * s->cell_difference, 1000);
	put_four(reg + 0x15e, 10, 15, 12, 1000);
	put_four(reg + 0x166, s->mos_ot + 35, s->mos_ot + 40, s->mos_ot_release + 40, 1000);
	put_four(reg + 0x16a, 105, 110, 105, 1000);
}

static void p81_rest(const struct device *d, const struct battery_sample *m, uint16_t *reg)
{
	put_u32(reg + 0xa9, m->uptime_s);
	put_u32(reg + 0xab, m->uptime_s);
	reg[0x100] = d->address;
	reg[0x101] = (uint16_t)m->cells;
	reg[0x106] = (uint16_t)m->sensors;
	put_u32(reg + 0x109, m->design_mAh);
	put_u32(reg + 0x10b, m->full_mAh);
	put_u32(reg + 0x10d, (uint32_t)llround(1000 * d->battery.charged_Ah));
	put_u32(reg + 0x10f, (uint32_t)llround(1000 * d->battery.discharged_Ah));
	reg[0x114] = d->battery.start.chemistry == NMC ? 3700 : 3200;
	reg[0x117] = fit_u16(10 * d->scenario->soh);
	reg[0x11a] = fit_u16(1000 * d->battery.settings.balance_start);
	reg[0x11b] = fit_u16(1000 * d->battery.settings.balance_window);
	reg[0x121] = device_charge_wanted(d);
	reg[0x122] = device_discharge_wanted(d);
	memcpy(reg + 0x123, reg + 0x61, 3 * sizeof(*reg));
	put_text(reg + 0x126, "123456", 3);
	reg[0x129] = 26 << 8 | 3;
	reg[0x12a] = 26 << 8;
	p81_thresholds(d, reg);
	put_text(reg + 0x178, "41_260321_0323", 7);
	put_text(reg + 0x17f, device_text(d->scenario->model, "ESS-DL-BMS"), 7);
	put_text(reg + 0x186, "ESS41_0323", 7);
	put_text(reg + 0x18d, device_text(d->scenario->serial, "210LC210900005"), 14);
	put_text(reg + 0x19b, "    20260326", 7);
}

/* ---- reading ---- */

static void from_battery(struct device *d, uint16_t *reg)
{
	struct battery_sample m;

	battery_measure(&d->battery, &m);
	if (is_d2(d)) {
		d2_live(d, &m, reg);
		d2_rest(d, &m, reg);
	} else {
		p81_first(&m, reg);
		p81_second(d, &m, reg);
		p81_rest(d, &m, reg);
	}
}

/* false: no line of the dump has all of them. */
static bool from_dump(const struct device *d, const struct rtu_request *r, uint16_t *reg)
{
	struct bytes value;
	uint16_t key;

	for (unsigned i = 0; registers_at(d->registers, i, d->address, &key, &value); i++) {
		if (key > r->start || key + value.n / 2 < (size_t)r->start + r->count)
			continue;
		for (unsigned k = 0; k < r->count; k++)
			reg[r->start + k] = u16be_at(value, 2 * (size_t)(r->start - key + k));
		return true;
	}
	return false;
}

/* What firmware knows to read; the rest stays unanswered. */
static bool readable(const struct device *d, const struct rtu_request *r)
{
	const struct daly_modbus_options *o = options(d->scenario);
	unsigned end = r->start + r->count;

	if (!r->count || r->count > COUNT_MAX || end > (is_d2(d) ? D2_END : REGISTERS))
		return false;
	if (!is_d2(d))
		return true;
	if (r->start < EXTRA && end > LIVE_SHORT && !o->lives)
		return false;
	return r->start != EXTRA || r->count != EXTRA_COUNT || o->extra;
}

static void read_registers(struct device *d, const struct rtu_request *r, struct reply *out)
{
	struct daly_modbus_board *board = d->board;
	unsigned count = d->foreign ? 1 : r->count; /* a foreign reply: to another request */
	uint8_t values[2 * COUNT_MAX];

	if (!readable(d, r))
		return;
	memset(board->reg, 0, sizeof(board->reg));
	if (!d->registers)
		from_battery(d, board->reg);
	else if (!from_dump(d, r, board->reg))
		return;
	for (unsigned i = 0; i < count; i++)
		put_u16be(values + 2 * i, board->reg[r->start + i]);
	if (r->start >= (is_d2(d) ? D2_SETTINGS : P81_SETTINGS))
		out->delay = SETTINGS_MS * MS;
	rtu_answer(reply_frame(out), r, (struct bytes){values, 2 * count});
}

/* ---- writing: sheet 7 ---- */

/* false: this register can't be written. */
static bool write_d2(struct device *d, uint16_t reg, uint16_t value)
{
	switch (reg) {
	case 0x0c: /* answered, without effect */
	case 0x0d:
		return true;
	case 0xa5:
		device_switch(d, value, device_discharge_wanted(d), 500 * MS);
		return true;
	case 0xa6:
		device_switch(d, device_charge_wanted(d), value, 500 * MS);
		return true;
	case 0xa7:
		if (value <= 1000)
			battery_set_soc(&d->battery, value / 10.0);
		return true;
	case 0xcf:
		d->battery.settings.balance_switch = value;
		battery_apply_settings(&d->battery);
		return true;
	case 0xf0:
		d->deaf_until = d->now + 2 * SECOND;
		return true;
	default:
		return false;
	}
}

static bool write_p81(struct device *d, uint16_t reg, uint16_t value)
{
	if (reg == 0x121)
		device_switch(d, value, device_discharge_wanted(d), 500 * MS);
	else if (reg == 0x122)
		device_switch(d, device_charge_wanted(d), value, 500 * MS);
	else
		return false;
	return true;
}

static void write_register(struct device *d, const struct rtu_request *r, struct reply *out)
{
	uint16_t value = u16be_at(r->values, 0);

	if (!(is_d2(d) ? write_d2(d, r->start, value) : write_p81(d, r->start, value)))
		return;
	d->writes++;
	rtu_acknowledge(reply_frame(out), r);
}

static void daly_modbus_answer(struct device *d, struct bytes request, struct reply *out)
{
	struct rtu_request r;

	if (!rtu_open(request, &r) || r.address != (is_d2(d) ? D2_ADDRESS : P81_ASKED + d->hears))
		return;
	if (!is_d2(d))
		r.address = (uint8_t)(P81_ANSWERS + d->address);
	if (r.function == RTU_READ_HOLDING)
		read_registers(d, &r, out);
	else if (r.function == RTU_WRITE_REGISTER)
		write_register(d, &r, out);
}

/* An active balancer moves more than resistors burn. */
static void daly_modbus_start(struct device *d)
{
	if (options(d->scenario)->balancer)
		d->battery.settings.balance_current = 1;
}

const struct kind daly_modbus_kind = {
	.id = "daly-modbus",
	.alias = "daly2",
	.about = "Daly since 2022, Modbus frames",
	.baud = 9600,
	.delay_min_ms = 100,
	.delay_max_ms = 130,
	.gap = 20 * MS,
	.max_cells = 48,
	.max_sensors = 8,
	.cells = 16,
	.sensors = 4,
	.capacity = 280,
	.balancer = BALANCER_BLEEDS,
	.addressed = true,
	.alone = alone,
	.address_min = 1,
	.address_max = 16,
	.address_first = 1,
	.alarms = daly_modbus_alarms,
	.n_alarms = sizeof(daly_modbus_alarms) / sizeof(daly_modbus_alarms[0]),
	.keys = daly_modbus_keys,
	.n_keys = sizeof(daly_modbus_keys) / sizeof(daly_modbus_keys[0]),
	.garbage_hex = "D203",
	.board_size = sizeof(struct daly_modbus_board),
	.start = daly_modbus_start,
	.find_request = rtu_find_request,
	.answer = daly_modbus_answer,
};
