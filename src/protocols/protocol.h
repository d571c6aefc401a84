/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The contract between a protocol and everything else. A protocol is one file that fills one
 * `const struct protocol`: data and pure functions. It never opens, reads, writes, sleeps, logs or
 * asks what time it is; the engine carries its bytes and keeps its time. doc/adding-a-protocol.md
 * walks through one.
 */
#ifndef PROTOCOLS_PROTOCOL_H
#define PROTOCOLS_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/bytes.h"
#include "model/can.h"
#include "model/command.h"
#include "model/line.h"
#include "model/reading.h"
#include "model/setting.h"

#define MAX_REQUEST 360 /* longest request of any sheet: seplos-v2 A1, 356 characters */
#define MAX_FRAME 4113  /* longest reply that a recogniser may ask to be collected (sheet ascii-1363 1) */
#define MAX_CONFIRM 3

/* What the configuration tells protocols. All zero bytes = nothing said. */
struct protocol_options {
	bool invert_current; /* INVERT_CURRENT_MEASUREMENT = -1 */
	double battery_capacity_Ah;
	uint8_t modules_in_series, strings; /* ubms-can: UBMS_CAN_MODULE_SERIES, _PARALLEL; 0 = not told */
	bool master; /* of a battery whose master may be the host (ubms-can): UBMS_CAN_MASTER */
};

/* One pack as its protocol sees it: what it has told so far. The engine owns it. */
struct device {
	const struct protocol *protocol;
	uint8_t address; /* as the protocol counts; 0 where it has none */
	uint8_t dialect; /* which variant of the protocol this device speaks; the protocol's own number */
	struct reading reading;
	struct settings settings;
	struct protocol_options options;
	uint8_t packs; /* how many the engine knows on this line, this one included; 0: nobody has counted */
	void *state; /* protocol->state_size bytes of the protocol's own, zeroed at the start */
};

/* Something to send, and what to expect. */
struct request {
	uint16_t code; /* the protocol's own number for this kind of request */
	uint16_t arg;
	uint8_t address;
	uint8_t dialect;
	uint16_t n;
	uint8_t tx[MAX_REQUEST];
	uint16_t first_ms; /* from the end of sending to the first byte of the reply */
	uint16_t gap_ms;   /* silence inside a reply after which nothing more is expected */
	bool no_reply;     /* silence is normal: first_ms is a pause, and whatever comes is dropped */
	bool echo_is_reply; /* the reply may be equal to the request (Modbus 05/06) */
	bool writes;        /* it may change something in the device; never sent by polls and detection */
};

/* What a frame is to the request that was pending when it came. */
enum verdict {
	FRAME_FOREIGN, /* no answer to this request: other address, other register, an echo */
	FRAME_PART,    /* part of the answer, taken; more must come */
	FRAME_ANSWER,  /* the answer is complete and taken */
	FRAME_REFUSED, /* the device said no; *why says how */
	FRAME_BAD,     /* it should be the answer, but can't be believed; *why says what */
};

/* What a frame that nobody here asked for tells. */
enum heard {
	HEARD_NOTHING,
	HEARD_MASTER, /* somebody else asks on this line: do not transmit */
	HEARD_ANSWER, /* what a device said, by itself or to its master: as is the request it answers */
};

enum {
	EVERY_POLL = 0, /* of a stream: what it says holds until it says something else */
	ONCE = UINT32_MAX, /* when the device was found, and again after it was lost */
};

/*
 * One row of the poll cycle. Of a device that streams, one kind of frame: required ones must have been heard since
 * the last reading before there is another, and what a row said is forgotten every_ms after it was said.
 */
struct poll {
	uint16_t code, arg;
	uint32_t every_ms;
	bool required; /* no reading without it */
	bool (*wanted)(const struct device *dev); /* NULL = always */
};

/* One question that detection asks. */
struct probe {
	uint16_t code, arg;
	uint8_t address, last_address; /* the first is asked in the quick sweep, the others in patient ones */
	uint8_t dialect;
	uint8_t pass;       /* 0 quick, 1 second half of the quick sweep, 2 patient sweeps only */
	uint16_t window_ms; /* how long the quick sweep waits for a first byte; patient ones use first_ms */
	bool only_when_silent; /* not read-only for a foreign device: sent only where nothing has spoken */
};

/* The rows of values that a protocol may report: bits of protocol.series. */
enum series_bit {
	SERIES_CELLS = 1,        /* cell_V */
	SERIES_TEMPERATURES = 2, /* temperatures */
	SERIES_BALANCING = 4,    /* cell_balancing */
	SERIES_RESISTANCES = 8,  /* cell_resistance_ohm */
};

/*
 * Bluetooth LE: how a device is known in the air, and where its bytes go. UUIDs in lower case; four digits stand for one
 * on the Bluetooth base.
 */
struct ble_profile {
	const char *service; /* NULL ends a list */
	const char *notify, *write; /* characteristics; where both are the same UUID, properties choose */
	const char *const *names; /* advertised ones, with * and ?; NULL-terminated; NULL = names say nothing */
	const uint16_t *companies; /* advertised manufacturer identifiers */
	unsigned company_count;
	bool must_be_named; /* the service alone says nothing: a name or a manufacturer must fit */
	const char *unlock; /* characteristic that is written once notifications are on; NULL = none */
	const char *unlock_text;
	const char *name; /* characteristic that holds the device's name; NULL = none */
};

struct timing {
	uint16_t first_ms; /* default of request.first_ms */
	uint16_t gap_ms;   /* default of request.gap_ms */
	uint16_t pause_ms; /* rest of the line between a reply and the next request */
	uint16_t late_ms;  /* after a reply that did not come: how long it is waited for, to drop it */
	uint16_t scan_ms;  /* first_ms when looking for further packs on the cable */
	uint8_t tries;
	uint32_t poll_ms;  /* shortest sensible poll interval */
	uint16_t listen_ms; /* streams: in so long each of the required rows comes twice */
	uint16_t unheard_ms; /* streams: a pack whose required rows do not come for so long is missed */
};

struct wall_time {
	int year, month, day, hour, minute, second; /* local time, month and day from 1 */
};

#define MAX_STEPS 24

enum step_result { STEP_ANSWERED, STEP_REFUSED, STEP_SILENT };

/*
 * A command in progress: several requests, each chosen from how the ones before ended. The engine
 * calls protocol->proceed() after every step; it runs from its top each time, and the steps that were
 * taken before return at once with their result (procedure.h).
 */
struct procedure {
	const struct command *command;
	struct wall_time now; /* when the command was given */
	unsigned taken;       /* steps behind us */
	struct {
		enum step_result result;
		const char *why; /* of STEP_REFUSED: what the device said */
	} step[MAX_STEPS];
	unsigned at;      /* how far this run has come */
	uint32_t memo[4]; /* the protocol's own notes; 0 at the start */
};

/* What proceed() wants to happen next. */
struct next {
	enum { NEXT_SEND, NEXT_WAIT, NEXT_END } what;
	struct request request;         /* NEXT_SEND */
	uint32_t wait_ms;               /* NEXT_WAIT */
	struct command_outcome outcome; /* NEXT_END */
};

struct protocol {
	const char *id;           /* "jbd-uart": the name of its sheet */
	const char *title;        /* for people: "JBD, LLT Power, Xiaoxiang, Overkill Solar" */
	const char *manufacturer; /* the name that D-Bus consumers know: "LLT/JBD" */
	const char *const *bms_types; /* names that select it in BMS_TYPE; NULL-terminated */
	bool untested; /* on hardware: no record of a real device was ever decoded; faces say so */
	enum link_kind link;
	bool also_ble; /* its frames travel through Bluetooth LE as they are, too */
	const struct line *lines; /* baud 0 ends them; the first is the usual one. NULL for BLE and MQTT;
				   * of SPI baud is the clock in Hz, of CAN the bit rate */
	const struct ble_profile *ble; /* BLE, and what also travels that way; NULL = not by BLE */
	const struct can_ids *hears; /* CAN: all that find_frame and overhear want to see */
	struct timing timing;

	/* What it can do; faces and the feature matrix look here. */
	uint64_t quantities;  /* bit per enum quantity that it may report */
	uint8_t series;       /* set of enum series_bit */
	uint32_t flags;       /* bit per enum flag */
	uint32_t alarms;      /* bit per enum alarm */
	uint32_t commands;    /* bit per enum command_kind */
	uint32_t experimental; /* of those: only with command.experimental */
	bool limits_on_demand; /* bms_ccl_A, bms_dcl_A count only with USE_BMS_DVCC_VALUES */
	bool first_sensor_is_mos; /* temperatures[0] repeats temp_mos_C where that is known */

	/* Packs on one cable, found beside the first: addresses first..last; none when last is 0. */
	uint8_t first_address, last_address;
	uint32_t point_to_point; /* bit per dialect that has no addresses all the same */

	/* Devices that speak by themselves: a bit per dialect. They are not polled; overhear() tells what they say. */
	uint32_t streams;
	/* Dialects that batteries speak beside their own language: given up where another protocol is found on the port. */
	uint32_t yields;
	/* What a host must send all the time: encode()'s code and the interval; 0 = nothing. encode() says false while it
	 * need not be sent. */
	uint16_t keep_alive;
	uint32_t keep_alive_ms;

	size_t state_size;  /* of device.state */
	size_t listen_size; /* of what overhear() keeps */

	const struct poll *polls;
	unsigned poll_count;
	const struct probe *probes;
	unsigned probe_count;
	/* Codes asked after a probe was answered, before the protocol is declared. */
	uint16_t confirm[MAX_CONFIRM];
	unsigned confirm_count;

	/*
	 * Fills out with the request of this code. May start afresh what collects its reply in
	 * dev->state. False: this device has no such request.
	 */
	bool (*encode)(struct device *dev, uint16_t code, uint16_t arg, struct request *out);

	/*
	 * Is there a frame at the start of in?  > 0: a whole frame of so many bytes whose length and
	 * checksum fit; 0: perhaps, more bytes are needed; < 0: drop so many bytes, *why says what was
	 * wrong with them (NULL: noise). pending is the request in flight, or NULL. quiet: the line has
	 * fallen silent, nothing more will come. in.n > 0, and never asks for more than MAX_FRAME.
	 */
	int (*find_frame)(const struct request *pending, struct bytes in, bool quiet, const char **why);

	/*
	 * Judges a frame that find_frame() found against the pending request and takes what it says
	 * into dev->reading, dev->settings. An empty frame means that the line fell silent after
	 * FRAME_PART: answer or not? A frame that is not taken leaves dev as it was.
	 */
	enum verdict (*take)(struct device *dev, const struct request *pending, struct bytes frame, const char **why);

	/* After probe and confirm: is this really such a device? *why says what speaks against it. */
	bool (*plausible)(const struct device *dev, const char **why);

	/* Recognises the bytes of a request (of a capture, a recording): fills code, arg, address,
	 * dialect, tx and times. False: not one of ours. */
	bool (*parse_request)(struct bytes tx, struct request *out);

	/*
	 * A frame (found with pending NULL) that nobody here asked for: who said it, and to which request
	 * it would be the answer. listen is listen_size bytes, zeroed at the start. NULL for protocols
	 * whose devices only speak when asked and have no other master.
	 */
	enum heard (*overhear)(void *listen, struct bytes frame, struct request *as);

	/* CAN: after what overhear() has noted in listen, may detection ask here? silent: nothing at all was heard on
	 * this bus. NULL: it may. */
	bool (*may_ask)(const void *listen, bool silent);

	/* Streams: the row of this code and arg was not heard for its every_ms: what it said is unknown again. */
	void (*forget)(struct device *dev, uint16_t code, uint16_t arg);

	/*
	 * Of an answer that tells of several packs: the request for the nth further one (from 1), to which the same
	 * frame is the answer as well. False: there is none. NULL: replies tell of one pack. A session asks each
	 * pack; recordings and captures of other programs hold such replies.
	 */
	bool (*further)(const struct request *pending, struct bytes frame, unsigned nth, struct request *as);

	/* Says in next what the command's next step is. NULL when commands is 0. */
	void (*proceed)(struct device *dev, struct procedure *p, struct next *next);
};

/* Prepares out as an empty request with the protocol's default times. */
void request_start(struct request *out, const struct protocol *p, uint8_t address, uint8_t dialect, uint16_t code,
		   uint16_t arg);
/* Appends to out->tx; what does not fit in MAX_REQUEST is a mistake in the protocol (asserted). */
void request_put(struct request *out, struct bytes b);

/* dev for a new pack; allocates its state. False: no memory. */
bool device_init(struct device *dev, const struct protocol *p, uint8_t address, uint8_t dialect,
		 const struct protocol_options *options);
void device_free(struct device *dev);

/* "serial", "can", "ble", "spi", "mqtt" */
const char *link_kind_name(enum link_kind kind);

/* All protocols, most common in the field first; NULL ends the list. */
const struct protocol *const *protocols_all(void);
/* NULL: no such id. */
const struct protocol *protocol_by_id(const char *id);

#endif
