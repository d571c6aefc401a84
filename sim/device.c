/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/random.h"

/* clang-format off: one a line */
static const struct kind *const kinds[] = {
	&jbd_kind,
	&jk_uart_kind,
	&jk_pb_kind,
	&daly_kind,
	&seplos_v2_kind,
	&pylontech_kind,
	&pace_kind,
	&ant_kind,
	&daly_modbus_kind,
	&jbd_up16s_kind,
	&seplos_v3_kind,
	&eg4_lifepower_kind,
	&eg4_ll_kind,
	&heltec_modbus_kind,
	&renogy_kind,
	&felicity_kind,
	&daren485_kind,
	&sinowealth_kind,
	&ks48100_kind,
	&ecs_kind,
	&hlpdata_kind,
	&mnb_kind,
	&jk_can_kind,
	&daly_can_kind,
	&jbd_can_kind,
	&rv_c_can_kind,
	&ubms_can_kind,
	&nmea_kind,
	&vedirect_kind,
	&modem_kind,
	&meter_kind,
	&noise_kind,
	&pylontech_can_kind,
	&inverter_can_kind,
	&nmea2000_can_kind,
};
/* clang-format on */

static const char *const alarm_names[BATTERY_ALARMS] = {
	[HIGH_VOLTAGE] = "high_voltage",
	[LOW_VOLTAGE] = "low_voltage",
	[HIGH_CELL_VOLTAGE] = "high_cell_voltage",
	[LOW_CELL_VOLTAGE] = "low_cell_voltage",
	[LOW_SOC] = "low_soc",
	[HIGH_CHARGE_CURRENT] = "high_charge_current",
	[HIGH_DISCHARGE_CURRENT] = "high_discharge_current",
	[CELL_IMBALANCE] = "cell_imbalance",
	[INTERNAL_FAILURE] = "internal_failure",
	[HIGH_CHARGE_TEMPERATURE] = "high_charge_temperature",
	[LOW_CHARGE_TEMPERATURE] = "low_charge_temperature",
	[HIGH_TEMPERATURE] = "high_temperature",
	[LOW_TEMPERATURE] = "low_temperature",
	[HIGH_INTERNAL_TEMPERATURE] = "high_internal_temperature",
	[FUSE_BLOWN] = "fuse_blown",
	[SHORT_CIRCUIT] = "short_circuit",
	[BMS_CABLE] = "bms_cable",
};

const char *battery_alarm_name(enum battery_alarm alarm)
{
	return alarm_names[alarm];
}

const struct kind *kind_at(unsigned i)
{
	return i < sizeof(kinds) / sizeof(kinds[0]) ? kinds[i] : NULL;
}

const struct kind *kind_find(const char *name)
{
	for (unsigned i = 0; kind_at(i); i++)
		if (!strcmp(kinds[i]->id, name) || !strcmp(kinds[i]->alias, name))
			return kinds[i];
	return NULL;
}

/* ---- a device ---- */

/* An alarm that the battery knows stands in the battery, another one only in the protocol's bits. */
static void force(struct device *d, struct battery_start *start, const struct alarm_list *list, enum battery_alarm_level level)
{
	for (unsigned i = 0; i < list->n; i++) {
		for (unsigned j = 0; j < d->kind->n_alarms; j++) {
			const struct alarm_bit *a = &d->kind->alarms[j];

			if (a->level != level ||
			    strcmp(a->own_name ? a->own_name : alarm_names[a->alarm], list->name[i]))
				continue;
			if (a->own_name)
				d->forced_bits |= (uint64_t)1 << a->bit;
			else
				start->forced[level] |= 1u << a->alarm;
			break;
		}
	}
}

/* Packs of one bank are alike, not the same. */
static struct battery_start start_of(struct device *d, const struct scenario *s, unsigned index, uint64_t seed)
{
	struct battery_start start = {
		.chemistry = (enum chemistry)s->chemistry,
		.balancer = d->kind->balancer,
		.cells = s->cells,
		.sensors = s->ntc,
		.capacity_Ah = s->capacity,
		.soc_pct = fmax(0, s->soc - 0.9 * index),
		.soh_pct = s->soh,
		.temperature_C = s->temperature + 0.3 * index,
		.imbalance_mV = s->imbalance,
		.weak_cell = s->weak.nth,
		.weak_pct = s->weak.arg,
		.cycles = s->cycles,
		.cycling = s->cycling,
		.current_A = s->current,
		.jitter = s->jitter,
		.heater = s->heater,
		.seed = random_stir(seed + index),
	};

	force(d, &start, &s->alarm, ALARM);
	force(d, &start, &s->warning, WARNING);
	return start;
}

static unsigned stuck_of(const struct scenario *s)
{
	switch (s->stuck) {
	case STUCK_CHARGE:
		return BLOCKS_CHARGE;
	case STUCK_DISCHARGE:
		return BLOCKS_DISCHARGE;
	case STUCK_BOTH:
		return BLOCKS_CHARGE | BLOCKS_DISCHARGE;
	default:
		return 0;
	}
}

bool device_init(struct device *d, const struct scenario *s, unsigned index, const struct registers *registers,
		 uint64_t seed, double speed, usec now)
{
	*d = (struct device){
		.kind = s->kind,
		.scenario = s,
		.speed = speed,
		.now = now,
		.heard = now,
		.deaf_until = now,
		.speak_at = s->kind->streams ? now : INT64_MAX,
		.registers = registers,
		.address = index < s->addresses ? s->address[index] : 0,
	};
	d->hears = d->address;
	struct battery_start start = start_of(d, s, index, seed);

	d->board = calloc(1, s->kind->board_size);
	if (!d->board)
		return false;
	battery_init(&d->battery, &start);
	d->battery.settings.charge_switch = d->charge_wanted = s->charge;
	d->battery.settings.discharge_switch = d->discharge_wanted = s->discharge;
	d->battery.settings.balance_switch = s->balance;
	battery_apply_settings(&d->battery);
	d->battery.stuck = stuck_of(s);
	s->kind->start(d);
	return true;
}

void device_free(struct device *d)
{
	free(d->board);
	d->board = NULL;
}

static void live(struct device *d, usec until)
{
	if (until > d->now)
		battery_run(&d->battery, d->speed * (double)(until - d->now) / 1e6);
	d->now = until > d->now ? until : d->now;
}

void device_run(struct device *d, usec now)
{
	if (d->settle_at && d->settle_at <= now) {
		live(d, d->settle_at);
		d->settle_at = 0;
		d->battery.settings.charge_switch = d->charge_wanted;
		d->battery.settings.discharge_switch = d->discharge_wanted;
		battery_apply_settings(&d->battery);
	}
	live(d, now);
}

bool device_asleep(const struct device *d)
{
	return d->scenario->sleep > 0 && d->battery.idle_s >= d->scenario->sleep;
}

void device_switch(struct device *d, bool charge, bool discharge, usec delay)
{
	d->charge_wanted = charge;
	d->discharge_wanted = discharge;
	d->settle_at = d->now + delay;
	device_run(d, d->now);
}

bool device_charge_wanted(const struct device *d)
{
	return d->charge_wanted;
}

bool device_discharge_wanted(const struct device *d)
{
	return d->discharge_wanted;
}

uint64_t device_alarm_bits(const struct device *d)
{
	uint64_t bits = d->forced_bits;

	for (unsigned i = 0; i < d->kind->n_alarms; i++) {
		const struct alarm_bit *a = &d->kind->alarms[i];

		if (!a->own_name && battery_alarm(&d->battery, a->alarm) >= a->level)
			bits |= (uint64_t)1 << a->bit;
	}
	return bits;
}

const char *device_text(const char *wanted, const char *usual)
{
	return *wanted ? wanted : usual;
}

/* ---- frames ---- */

struct frame *reply_frame(struct reply *out)
{
	struct frame *f = &out->frame[out->n < FRAMES_MAX ? out->n++ : FRAMES_MAX - 1];

	f->n = 0;
	f->sum_at = 0;
	return f;
}

void frame_add(struct frame *f, const void *p, size_t n)
{
	if (n > (size_t)(FRAME_MAX - f->n))
		n = (size_t)(FRAME_MAX - f->n);
	if (n)
		memcpy(f->p + f->n, p, n);
	f->n = (uint16_t)(f->n + n);
}

void frame_add_u8(struct frame *f, unsigned v)
{
	uint8_t byte = (uint8_t)v;

	frame_add(f, &byte, 1);
}

void frame_add_u16be(struct frame *f, unsigned v)
{
	uint8_t two[2];

	put_u16be(two, (uint16_t)v);
	frame_add(f, two, 2);
}

void frame_add_u32be(struct frame *f, uint32_t v)
{
	uint8_t four[4];

	put_u32be(four, v);
	frame_add(f, four, 4);
}

struct bytes frame_bytes(const struct frame *f)
{
	return (struct bytes){f->p, f->n};
}

uint16_t fit_u16(double v)
{
	return (uint16_t)lround(fmin(fmax(v, 0), 65535));
}

int16_t fit_s16(double v)
{
	return (int16_t)lround(fmin(fmax(v, -32768), 32767));
}
