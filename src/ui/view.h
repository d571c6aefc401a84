/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the screens show: kept from what the engine told, so that it can be drawn at any time. */
#ifndef UI_VIEW_H
#define UI_VIEW_H

#include "engine/engine.h"
#include "ui/trend.h"

#define VIEW_TRAFFIC_ROWS  2000
#define VIEW_TRAFFIC_BYTES 512 /* of one row; longer ones are cut */
#define VIEW_LOG_ROWS	   2000
#define VIEW_ALARM_ROWS	   500
#define VIEW_MERGE_MS	   40 /* bytes that come within are one row: adapters deliver in pieces */

struct pack_view {
	struct snapshot snap;
	struct trend trend;
	uint64_t state_ms;     /* since when it is in this state */
	uint64_t reading_seen; /* reading_ms of the last one that went into the trend */
	uint64_t interval_ms;  /* between the last two readings; 0: there were no two yet */
};

struct port_row {
	struct port_view view; /* attempt is NULL here */
	bool attempted;
	struct attempt last; /* what came back last */
	size_t received;     /* bytes, in all attempts that are remembered */
};

struct traffic_row {
	uint64_t number;		/* from 1, without gaps */
	uint64_t ms, last_ms, since_ms; /* first byte, last byte, from the row before on this port */
	double wall;
	unsigned port;
	enum link_kind link; /* on CAN a row is one frame */
	enum traffic_kind kind;
	bool first; /* there is no row before it on this port */
	size_t n;   /* bytes in all; beyond VIEW_TRAFFIC_BYTES they are only counted */
	uint8_t bytes[VIEW_TRAFFIC_BYTES];
	char note[120];
};

struct log_row {
	uint64_t number;
	enum log_level level;
	double wall;
	char *text;
};

/* From raised to cleared. */
struct alarm_row {
	uint64_t number;
	unsigned pack;
	char pack_name[PACK_NAME];
	const char *name; /* static */
	enum alarm_level level;
	double raised, cleared; /* wall clock, s; cleared 0: still there */
};

struct view {
	struct engine *engine;
	struct observer observer;
	bool changed; /* something is to be drawn anew */

	struct pack_view **pack; /* in order of appearance */
	unsigned pack_count;
	unsigned chosen; /* id of the pack that the screens show; 0: none yet */

	struct port_row *port;
	unsigned port_count;

	/* Rings: row number x lies at x % ROWS; the newest has the number traffic_last. */
	struct traffic_row *traffic;
	uint64_t traffic_last;
	struct log_row log[VIEW_LOG_ROWS];
	uint64_t log_last;
	struct alarm_row alarm[VIEW_ALARM_ROWS];
	uint64_t alarm_last;
};

/* Watches the engine from now on. False: no memory. */
bool view_start(struct view *v, struct engine *e);
void view_end(struct view *v);
/* Looks at all ports: nobody tells when only their counters change. */
void view_look_at_ports(struct view *v);

/* NULL: there is none yet. */
struct pack_view *view_chosen(const struct view *v);
/* Its place among the packs, from 0. */
unsigned view_chosen_place(const struct view *v);
/* Chooses the pack at this place; one beyond the ends goes to the other end. */
void view_choose(struct view *v, int place);
/* NULL: no such port. */
const struct port_row *view_port(const struct view *v, unsigned id);
const struct port_row *view_port_named(const struct view *v, const char *name);
unsigned view_chosen_alarms(const struct view *v, enum alarm_level *worst);
/* A line for the log that does not come from the engine. */
void view_log(struct view *v, enum log_level level, double wall, const char *text);

/* The level of an alarm as it is to be shown: what the BMS says, and what follows from its silence. */
enum alarm_level view_alarm_level(const struct snapshot *s, enum alarm a);

#endif
