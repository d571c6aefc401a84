/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of this room share; nobody else includes it. */
#ifndef ENGINE_INTERNAL_H
#define ENGINE_INTERNAL_H

#include "engine/engine.h"
#include "engine/session.h"
#include "links/link.h"

#define MAX_PORTS     128
#define MAX_PACKS     256
#define MAX_PROTOCOLS 64 /* of one link */
#define PORT_RUN      64 /* CAN frames that are looked at at a time */

struct port;
struct replay;
struct recorder;
struct remembered;

/* One battery as the faces see it; it outlives the session that talks to it. */
struct pack {
	struct engine *engine;
	struct port *port;         /* where it was seen last */
	struct session_pack *sp;   /* NULL while nothing talks to it */
	struct snapshot snap;
	struct limits_state *linear, *step;
	struct config *config;     /* of its own; NULL: the engine's */
	bool stepped;              /* limits have had their first poll */
	uint64_t step_ms;          /* of the last limits step */
	uint64_t seen_ms;          /* of the last good reading, or when it was found */
	struct {
		bool active;
		struct command command;
		void (*done)(void *ctx, unsigned pack, const struct command *c, const struct command_outcome *o);
		void *ctx;
		struct reading before;
	} command;
};

/* A protocol is looked for (detect), then spoken (session): talk.c. */
struct talk {
	struct port *port;
	const struct protocol **protocols; /* to look for, NULL-terminated; in the port's list */
	struct detect *detect;
	struct session *session;
	const struct protocol *protocol; /* last spoken */
	bool yields;			 /* what is spoken may be the second language of a battery found elsewhere */
	bool listening;			 /* the session does not transmit; known to people and packs */
	struct attempt *attempt;	 /* of the detection that ended, owned */
	unsigned attempt_count;
};

struct port {
	struct engine *engine;
	unsigned id;
	char name[PORT_NAME];        /* as given, or as first listed */
	char path[PORT_NAME];        /* where it is now */
	char description[PORT_NAME];
	char usb_serial[PORT_NAME];
	bool automatic;
	enum port_state state;
	int error_code;
	char error[192];
	struct line line;
	struct link *link;
	const struct protocol *protocols[2 * MAX_PROTOCOLS]; /* of its talks; each list ends with NULL */
	struct talk *talk; /* talk_count of them; of a CAN bus one for each protocol */
	unsigned talk_count;
	struct replay *replay; /* not owned; its bytes come from a recording */
	const struct protocol *protocol; /* last spoken */
	struct detect_hint known;        /* what answered here last; from disk when nothing has yet */
	struct line_stats stats;
	uint64_t opened_ms, retry_ms;
	unsigned rate;	  /* CAN: which bit rate of its protocols is tried */
	unsigned rounds;  /* CAN: how often all of them have been */
	bool bus_spoke;	  /* CAN: anything at all was heard since the opening */
	bool filtered;	  /* CAN: only frames that some protocol wants are received */
	char trouble[128]; /* of the open link, as it was logged last */
	uint64_t shown_ms; /* last progress shown */
	double detected_s;
	uv_timer_t *timer; /* its own allocation: freed when the loop has closed it */
};

/* A refusal that is to be delivered from the loop. */
struct deferred {
	unsigned pack;
	struct command command;
	struct command_outcome outcome;
	void (*done)(void *ctx, unsigned pack, const struct command *c, const struct command_outcome *o);
	void *ctx;
	struct deferred *next;
};

struct engine {
	uv_loop_t *loop;
	struct engine_options options;
	struct config config; /* what [DEFAULT] says */
	uint64_t start_ns;
	uint64_t next_seq;
	unsigned next_pack_id, next_port_id;
	struct port *port[MAX_PORTS];
	unsigned port_count;
	struct pack *pack[MAX_PACKS];
	unsigned pack_count;
	struct observer *observers;
	struct recorder *recorder;
	struct remembered *remembered; /* NULL: nothing is kept over a restart */
	struct replay *replay; /* all of them, linked */
	struct deferred *deferred;
	struct sensor *sensors;
	struct serial_watch *watch;
	bool all_ports;
	uv_timer_t *tick, *defer_timer;
	char state_dir[256];
};

double wall_now(void);

/* engine.c */
void engine_traffic(struct engine *e, struct port *port, enum traffic_kind kind, struct bytes b, const char *note);
void engine_show_pack(struct engine *e, struct pack *p);
void engine_show_port(struct engine *e, struct port *p);
uint32_t engine_poll_ms(const struct engine *e);
/* The port of this name, or that leads to the same device; NULL if none. */
struct port *port_named(const struct engine *e, const char *name);
/* A timer of its own allocation; NULL: no memory. Closed and freed with timer_free(). */
uv_timer_t *timer_new(uv_loop_t *loop, void *data);
void timer_free(uv_timer_t *timer);

/* port.c */
struct port *port_new(struct engine *e, const char *name);
void port_free(struct port *port);
void port_open(struct port *port);
enum link_kind port_link(const struct port *port);
/* Something is due earlier than was thought. */
void port_wake(struct port *port);
void port_fill_view(const struct port *port, struct port_view *v);
/* Once a second: how the link is. */
void port_tick(struct port *port);
/* The machine's device files have changed. */
void port_devices_changed(struct port *port);

/* What the talks want carried. */
void port_send(struct port *port, const struct request *request);
void port_set_line(struct port *port, const struct line *line);
/* A talk has found who is there. */
void port_found(struct port *port, const struct device *dev);
/* The session that this pack of the port belongs to; NULL: none. */
struct session *port_session(const struct port *port, const struct session_pack *sp);

/* talk.c */
/* What the configuration tells protocols. */
struct protocol_options options_of(const struct engine *e);
/* Begins to look for the protocols. False: no memory (it is logged). */
bool talk_start(struct talk *talk);
/* The port is gone, or bmscope ends. */
void talk_end(struct talk *talk, const char *why);
void talk_free(struct talk *talk);
void talk_receive(struct talk *talk, struct bytes b);
void talk_tick(struct talk *talk);
uint64_t talk_deadline(const struct talk *talk);
/* It looks for its protocol, for the first time. */
bool talk_searches(const struct talk *talk);
/* After bytes or time: what follows from them. */
void talk_advance(struct talk *talk);

/* pack.c */
/* The pack for what a port has found: one that was there before, or a new one. NULL: too many. */
struct pack *pack_found(struct port *port, struct session_pack *sp, const struct protocol *protocol, uint8_t address,
			bool addressed, bool listening);
/* Another master has been heard on this port: its packs are only listened to from now on. */
void packs_listen(struct port *port);
void pack_reading(struct pack *p, const struct device *dev, bool identified, uint64_t poll_ms);
void pack_missed(struct pack *p, unsigned failures, const char *error);
/* Works out anew which sections of the configuration fit it. */
void pack_configure(struct pack *p);
/* Nothing talks to it any more. */
void pack_detached(struct pack *p, const char *why);
/* It never was a battery of its own. May be NULL. */
void pack_gone_for_good(struct pack *p);
/* Once a second: old values become stale, limits learn of polls that did not come. */
void pack_tick(struct pack *p);
void pack_free(struct pack *p);
struct pack *pack_of(struct engine *e, const struct session_pack *sp);
/* NULL: there is none. */
struct pack *pack_by_id(const struct engine *e, unsigned id);

/* command.c */
void command_done(struct pack *p, const struct command_outcome *outcome);
void deliver_deferred(uv_timer_t *timer);

/* recorder.c */
void recorder_write(struct recorder *r, const struct engine *e, const struct port *port, enum traffic_kind kind,
		    struct bytes b, const char *note);
void recorder_note_line(struct recorder *r, const struct engine *e, const struct port *port);
void recorder_note_protocol(struct recorder *r, const struct engine *e, const struct port *port);
void recorder_flush(struct engine *e);

/* remember.c */
/* NULL: no memory; then nothing is kept. */
struct remembered *remember_start(struct engine *e);
/* What was found on this adapter (or port, where adapters have no serial number), and what was found last time. */
void remember_port(struct remembered *r, const struct port *port);
void remember_port_hint(const struct remembered *r, struct port *port);
/* Limits of a pack that has just been identified: as they were before the restart, if they are known. */
bool remember_restore(struct remembered *r, struct pack *p);
void remember_tick(struct remembered *r, const struct engine *e);
void remember_end(struct remembered *r, const struct engine *e);

/* sensor.c */
/* NAN: service or path is empty, never told, has no value, or is older than 10 s. */
double sensor_value(const struct engine *e, const char *service, const char *path);
void sensors_free(struct engine *e);

/* replay.c */
void replay_free(struct replay *r);
/* What this port of the recording was; serial where that is not known. */
enum link_kind replay_link(const struct replay *r, const struct port *port);
/* The recording's clock, on the scale of engine_now_ms(). */
uint64_t replay_now_ms(const struct replay *r);

#endif
