/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a simulated device is: a board with a battery behind it, and what a protocol makes of the two. */
#ifndef SIM_DEVICE_H
#define SIM_DEVICE_H

#include <stdio.h>

#include "model/bytes.h"
#include "sim/battery.h"
#include "sim/registers.h"
#include "sim/scenario.h"

/* Microseconds of a monotonic clock. */
typedef int64_t usec;
#define MS     ((usec)1000)
#define SECOND ((usec)1000000)

enum { FRAME_MAX = 4120, FRAMES_MAX = 20 };

struct frame {
	uint8_t p[FRAME_MAX];
	uint16_t n;
	uint16_t sum_at; /* a byte of its checksum */
};

/* What a device sends at one go. */
struct reply {
	struct frame frame[FRAMES_MAX];
	unsigned n;
	usec delay; /* after the request's last byte; -1 = as usual for this kind */
	bool heard; /* a request of a bus master: the other boards hear it as well */
};

/* A bit of a protocol's alarm words and what raises it. */
struct alarm_bit {
	const char *own_name; /* the protocol's own; NULL: that of the alarm */
	enum battery_alarm alarm;
	enum battery_alarm_level level; /* raised from this level on */
	uint8_t bit;
};

struct device {
	const struct kind *kind;
	const struct scenario *scenario; /* borrowed */
	struct battery battery;
	uint8_t address;      /* it answers with */
	uint8_t hears;	      /* it is asked by; the same unless something is wrong on the bus */
	double speed;	      /* battery seconds per second */
	usec now;	      /* until when the battery has lived */
	usec heard;	      /* the last request */
	usec deaf_until;      /* restarting */
	uint64_t forced_bits; /* of the protocol's alarm bits, from the scenario */
	bool foreign;	      /* answers something else than it is asked (protocols without address) */
	usec speak_at;	      /* when it will speak by itself; INT64_MAX = never */
	unsigned writes;      /* requests that would change a real board's state */
	usec settle_at;	      /* when the MOS follow their switches; 0 = they do */
	bool charge_wanted, discharge_wanted;
	const struct registers *registers; /* borrowed; NULL = from the battery */
	void *board;			   /* the protocol's own state */
};

struct kind {
	const char *id, *alias, *about;
	uint32_t baud;
	const char *socket; /* it is reached by a unix socket whose path bears this prefix; NULL: by a pty */
	bool can;	    /* it hangs on the CAN interface that `link` names; baud is the bit rate, a request and each frame
			     * of a reply are CAN_BYTES (model/can.h) */
	bool streams;	    /* every board speaks by itself, not only a bus master */
	uint16_t delay_min_ms, delay_max_ms; /* until a reply begins */
	usec gap;			     /* silence after which a request begins anew */
	unsigned max_cells, max_sensors, cells, sensors, capacity;
	enum balancer balancer;
	bool sensors_fixed; /* the board has `sensors` of them, always */
	bool addressed;
	/* What `packs` and `addresses` need, when this port has but one board without address. NULL: always a bus. */
	const char *(*alone)(const struct scenario *s);
	/* Whether one more board is there, the bus master; it is the last of the port's. NULL: never. */
	bool (*mastered)(const struct scenario *s);
	uint8_t address_min, address_max, address_first;
	const struct alarm_bit *alarms;
	unsigned n_alarms;
	const struct key *keys; /* of its own; their values lie in scenario.own */
	unsigned n_keys;
	bool loops_back_asleep;	 /* asleep, the line returns what it gets */
	const char *garbage_hex; /* the noise that is usual on such a line */
	size_t board_size;

	/* Fills d->board; the battery is ready. */
	void (*start)(struct device *d);
	/* A request at the first byte of in: its length when complete and sound, 0 = more bytes are needed,
	 * -1 = none begins here. */
	int (*find_request)(const struct scenario *s, struct bytes in);
	/* d's answer to a request that find_request() let pass. No frame in out: silence. */
	void (*answer)(struct device *d, struct bytes request, struct reply *out);
	/* Speaks unasked (a bus master; every board of a kind that streams); NULL: it never does. Returns when to call
	 * again. */
	usec (*speak)(struct device *d, struct reply *out);
	/* ,"key":value ... of what an installer can change, beyond the switches; NULL: nothing. */
	void (*tell)(const struct device *d, FILE *out);
};

extern const struct kind ant_kind, daly_kind, daly_modbus_kind, daren485_kind, ecs_kind, eg4_lifepower_kind, eg4_ll_kind,
	felicity_kind, heltec_modbus_kind, hlpdata_kind, jbd_can_kind, jbd_kind, jbd_up16s_kind, jk_can_kind, jk_pb_kind, jk_uart_kind, ks48100_kind,
	mnb_kind, pace_kind, pylontech_kind, renogy_kind, rv_c_can_kind, seplos_v2_kind, seplos_v3_kind, sinowealth_kind, ubms_can_kind;
/* On CAN. */
extern const struct kind daly_can_kind;
/* sim/foreign.c: what is no BMS. */
extern const struct kind meter_kind, modem_kind, nmea_kind, noise_kind, vedirect_kind;

/* sim/foreign_can.c: the same on CAN. */
extern const struct kind inverter_can_kind, nmea2000_can_kind, pylontech_can_kind;

/* By id or alias; NULL: not known. */
const struct kind *kind_find(const char *name);
/* NULL after the last. */
const struct kind *kind_at(unsigned i);

/* false: out of memory. index: which pack of the port, from 0. */
bool device_init(struct device *d, const struct scenario *s, unsigned index, const struct registers *registers,
		 uint64_t seed, double speed, usec now);
void device_free(struct device *d);

/* Lets the battery live until now. */
void device_run(struct device *d, usec now);
/* Asleep: see the key `sleep`. */
bool device_asleep(const struct device *d);

/* Sets the wanted state of the charge and discharge switches; the MOS follow after a delay. */
void device_switch(struct device *d, bool charge, bool discharge, usec delay);
/* The switches as they were last wanted. */
bool device_charge_wanted(const struct device *d);
bool device_discharge_wanted(const struct device *d);

/* The protocol's alarm bits now, bit n of the table's `bit` n (0..63). */
uint64_t device_alarm_bits(const struct device *d);
/* Text of the scenario, or what this kind of device has otherwise. */
const char *device_text(const char *wanted, const char *usual);

/* A new empty frame of the reply; never NULL while n < FRAMES_MAX (the last is used again beyond). */
struct frame *reply_frame(struct reply *out);
void frame_add(struct frame *f, const void *p, size_t n);
void frame_add_u8(struct frame *f, unsigned v);
void frame_add_u16be(struct frame *f, unsigned v);
void frame_add_u32be(struct frame *f, uint32_t v);
struct bytes frame_bytes(const struct frame *f);

/* Cuts v to what fits. */
uint16_t fit_u16(double v);
int16_t fit_s16(double v);

#endif
