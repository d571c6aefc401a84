/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What every face stands on: ports, packs, commands and the record of what went over the lines. One
 * thread, one libuv loop. Faces get snapshots and events and say what they want with commands; they
 * know nothing of frames.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <uv.h>

#include "config/config.h"
#include "engine/detect.h"
#include "limits/limits.h"
#include "model/command.h"
#include "model/reading.h"
#include "model/say.h"
#include "model/setting.h"
#include "protocols/protocol.h"

#define PORT_NAME 96
#define PACK_NAME 64

struct engine_options {
	const struct configuration *configuration; /* kept, not copied */
	const struct protocol *const *protocols;   /* to try; NULL-terminated; NULL = all */
	const uint8_t *addresses;                  /* with address_count > 0: only these */
	unsigned address_count;
	double poll_s;        /* NAN: the configuration's, else the protocol's */
	bool read_only;       /* every command is refused */
	bool may_master;      /* where a battery wants a master (UBMS_CAN_MASTER), this face may be it */
	bool can_up;          /* CAN interfaces may be brought up, and their bit rate tried out */
	const char *state_dir; /* journal and state; NULL = the usual place */
	bool keep_state;       /* limits survive a restart: for faces that stay */
};

enum pack_state {
	PACK_STARTING, /* found, but no whole reading yet */
	PACK_ONLINE,
	PACK_STALE,    /* polls fail, the values are old */
	PACK_LOST,     /* no answer for 10 s; or its port has gone */
};

/* All there is to know of a pack at one moment. Valid until the callback that showed it returns, or
 * until the loop turns; copy what is kept longer. */
struct snapshot {
	unsigned id;                  /* stable while the engine lives */
	uint64_t seq;                 /* counts the changes of this pack */
	enum pack_state state;
	const struct protocol *protocol;
	char port[PORT_NAME];         /* "/dev/ttyUSB0" */
	uint8_t address;
	bool addressed;               /* address means something */
	bool identified;              /* identity has been read as far as it can be */
	char name[PACK_NAME];         /* for people: model, else the protocol's manufacturer */
	char identifier[PACK_NAME];   /* unique among all packs: serial number, or what stands for it */
	struct reading reading;       /* of the last good poll, derived values included */
	struct settings settings;
	struct limits_output linear, step;
	enum limits_mode mode;        /* which of the two is in force */
	uint64_t reading_ms;          /* monotonic time of that reading; 0: none yet */
	double reading_wall;          /* and of the wall clock, epoch s */
	unsigned failures;            /* polls failed since */
	uint64_t errors;              /* polls failed in all */
	uint64_t polls;               /* polls that were good */
	uint64_t poll_ms;             /* how long the last one took */
	char error[128];              /* of the last failed poll */
	bool listening;               /* the bus has another master: no commands */
};

static inline const struct limits_output *snapshot_limits(const struct snapshot *s)
{
	return s->mode == LIMITS_STEP ? &s->step : &s->linear;
}

/*
 * A number as it counts: current and power corrected or measured by another service, the SoC counted where the
 * configuration wants that; other quantities, and before the first reading, as the BMS says.
 */
double snapshot_number(const struct snapshot *s, enum quantity q);

enum port_state {
	PORT_ABSENT,    /* not there (any more) */
	PORT_REFUSED,   /* there, but it can't be opened: error */
	PORT_DETECTING,
	PORT_RUNNING,
	PORT_REPLAYING,
	PORT_ENDED,     /* the recording is over */
};

struct port_view {
	unsigned id; /* stable while the engine lives */
	char name[PORT_NAME];
	char description[PORT_NAME];
	enum port_state state;
	int error_code;        /* positive errno of REFUSED */
	char error[192];       /* of REFUSED and ABSENT, for people */
	enum link_kind link;
	struct line line;   /* of CAN only baud, the bit rate; 0 = not known */
	char bus[96];	    /* of CAN: state of the controller, load, error counters, for people; "" elsewhere */
	char trouble[128];  /* what is wrong with a link that is open, and what to do; "" = nothing */
	const struct protocol *protocol; /* of RUNNING; else the one last spoken, or NULL */
	unsigned packs;
	bool searching; /* for further batteries on the cable, for the first time */
	bool listening;
	struct line_stats stats;
	struct detect_progress progress; /* of DETECTING */
	unsigned sweeps;                 /* completed without success */
	double detected_s;               /* from opening to the protocol's name; NAN: not yet */
	unsigned attempt_count;
	const struct attempt *attempt;   /* valid until the loop turns */
};

enum traffic_kind { TRAFFIC_SENT, TRAFFIC_RECEIVED, TRAFFIC_NOTE };

struct traffic {
	uint64_t ms;      /* monotonic, since the engine began */
	double wall;      /* epoch s */
	unsigned port;
	const char *port_name;
	enum link_kind link; /* on CAN the bytes are whole frames (model/can.h) */
	enum traffic_kind kind;
	struct bytes bytes;
	const char *note; /* of NOTE: what happened on the port */
};

/* Who wants to know. Every member but ctx may be NULL. Called from the loop only. */
struct observer {
	void (*pack)(void *ctx, const struct snapshot *s);      /* new, or changed */
	void (*pack_gone)(void *ctx, const struct snapshot *s); /* for good: another took its place */
	void (*port)(void *ctx, const struct port_view *p);     /* state or progress changed */
	void (*traffic)(void *ctx, const struct traffic *t);
	void (*log)(void *ctx, enum log_level level, double wall, const char *text);
	void *ctx;
	struct observer *next; /* the engine's */
};

struct engine;

/* NULL: no memory. loop must outlive it. */
struct engine *engine_new(uv_loop_t *loop, const struct engine_options *options);
/* Closes every port and ends what is still going on: each command's done() comes from here at the latest.
 * The loop must run once more afterwards so that handles are freed. */
void engine_free(struct engine *e);

/* Where journal and state are kept; need not exist yet. */
const char *engine_state_dir(const struct engine *e);

/* observer is kept, not copied, until engine_unobserve(). */
void engine_observe(struct engine *e, struct observer *observer);
void engine_unobserve(struct engine *e, struct observer *observer);

/* A port by name; it need not exist yet. Returns its id, or -errno. */
int engine_add_port(struct engine *e, const char *name);
/* All serial ports of the machine and its CAN interfaces (those of CAN_PORT, if that names any), now and whenever one
 * is plugged in, but for config's EXCLUDED_DEVICES. Returns how many there are now. */
unsigned engine_add_all_ports(struct engine *e);
/* A recording in place of a port. speed 1 = as it was, 0 = at once. 0 or -errno with why. */
int engine_add_replay(struct engine *e, const char *path, double speed, char *why, size_t size);
/* New options (SIGHUP): they hold from the next poll on. The old ones are not used any more. */
void engine_reconfigure(struct engine *e, const struct configuration *configuration);
/* What holds for this pack: [DEFAULT] and the sections that fit it. NULL: no such pack. */
const struct config *engine_pack_config(const struct engine *e, unsigned pack);

unsigned engine_ports(const struct engine *e);
/* False when there is no such port. */
bool engine_port(const struct engine *e, unsigned i, struct port_view *out);
unsigned engine_packs(const struct engine *e);
const struct snapshot *engine_pack(const struct engine *e, unsigned i); /* in order of appearance */
const struct snapshot *engine_pack_by_id(const struct engine *e, unsigned id);

uint64_t engine_now_ms(const struct engine *e); /* the clock of snapshot.reading_ms and traffic.ms */

/* Can this pack be told to do that? *why says what speaks against it. With SOC_CALCULATION the SoC is the
 * engine's own and can always be set. */
bool engine_can(const struct engine *e, unsigned pack, const struct command *c, const char **why);
/* What will be sent, in hex or as a CAN frame, for the person who is asked: first request of the command. */
void engine_command_preview(const struct engine *e, unsigned pack, const struct command *c, char *out, size_t size);
/*
 * Does it: sent, acknowledged, read back, journaled. done comes exactly once, from the loop, also
 * when the command is refused at once. 0, or -errno when there is no such pack.
 */
int engine_command(struct engine *e, unsigned pack, const struct command *c,
		   void (*done)(void *ctx, unsigned pack, const struct command *c, const struct command_outcome *o),
		   void *ctx);

/* Clears a group of history values (limits.md 12.5). False: no such pack. */
bool engine_clear_history(struct engine *e, unsigned pack, int group);

/* What path of another D-Bus service says now (EXTERNAL_SENSOR_*): A or %; NAN: nothing. It counts for 10 s. */
void engine_tell_sensor(struct engine *e, const char *service, const char *path, double value);

/* Writes all traffic from now on to path until engine_record_stop(). A name that ends in .log gets candump's format,
 * which holds CAN frames only. 0 or -errno. */
int engine_record(struct engine *e, const char *path);
/* Once the ports are there: can the recording that was begun hold anything of them? 0 or -errno. */
int engine_record_check(const struct engine *e);
/* What such an error means, for people. */
const char *engine_record_why(int error);
void engine_record_stop(struct engine *e);
bool engine_recording(const struct engine *e);

__attribute__((format(printf, 3, 4))) void engine_log(struct engine *e, enum log_level level, const char *format, ...);

#endif
