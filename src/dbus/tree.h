/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A battery as a tree of paths: from a snapshot to what stands on every path of the D-Bus contract
 * (dbus.md section 4). Pure: no bus, no clock; what it takes from the world comes as arguments. The
 * tree remembers what it showed last, so that only what changed is sent.
 */
#ifndef BMSCOPE_DBUS_TREE_H
#define BMSCOPE_DBUS_TREE_H

#include "dbus/link_text.h"
#include "dbus/value.h"
#include "engine/engine.h"

#define CUSTOM_NAME_SIZE   128
#define TREE_SENSORS	   4
#define DEFAULT_PRODUCT_ID 0xBA77 /* the number that GUI pages for single cells hang on */

/* What a write to a path does; anything else is not writable (contract, section 5). */
enum item_write {
	WRITE_NOTHING,
	WRITE_CUSTOM_NAME,
	WRITE_CHARGE_OFF,
	WRITE_DISCHARGE_OFF,
	WRITE_BALANCE_OFF,
	WRITE_SOC_VALUE,
	WRITE_SOC_APPLY,
	WRITE_HISTORY_CLEAR,
};

struct row;

struct item {
	const struct row *row;
	char *path;
	unsigned n;   /* of a row that repeats: which cell, sensor or point, from 1 */
	bool changed; /* since tree_sent() */
	struct value value;
	void *own;  /* what value.text or value.list points to */
	double raw; /* a number before it was rounded */
};

/* What neither the battery nor the configuration says. */
struct tree_identity {
	const char *process_name, *process_version; /* kept, not copied */
	int product_id;
	int device_instance;
	char custom_name[CUSTOM_NAME_SIZE];
	bool experimental; /* unproven commands are offered too */
	bool can_clear_history;
};

/* Which paths there are. Two trees of equal shape have the same paths. */
struct tree_shape {
	unsigned cells;
	int cell_format; /* BATTERY_CELL_DATA_FORMAT */
	unsigned points;
	int point[LIMITS_MAX_POINTS];
	bool command[COMMAND_KINDS];
	bool own_soc; /* SoC is counted or comes from another sensor: the BMS's stands beside it */
	bool radio;   /* anybody near can send on this link */
	bool asks_for_charge;
	bool config; /* the options in force are published */
};

struct tree {
	struct tree_identity identity;
	struct tree_shape shape;
	struct item *item; /* sorted by path */
	unsigned count;
	unsigned changes;  /* items that changed since tree_sent() */
	uint64_t revision; /* counts every change */
	struct link_text link;
	bool json;			  /* /JsonData is wanted */
	enum tri asked[COMMAND_KINDS];	  /* what a switch was told and has not answered yet */
	enum tri reported[COMMAND_KINDS]; /* what the BMS reports */
	int soc_value;			  /* /Settings/ResetSocTo, % */
	char outcome[COMMAND_SAY + 96];	  /* of the last command; "": none to show */
	uint64_t outcome_ms;
};

/* All paths of this battery with the values of this snapshot. NULL: no memory. */
struct tree *tree_new(const struct tree_identity *identity, const struct snapshot *s, const struct config *config,
		      uint64_t now_ms);
void tree_free(struct tree *t);

/* False: battery or configuration want other paths than this tree has. */
bool tree_fits(const struct tree *t, const struct snapshot *s, const struct config *config);
/* Takes over a snapshot; item.changed marks what is different now. */
void tree_update(struct tree *t, const struct snapshot *s, const struct config *config, uint64_t now_ms);

/* What was changed here rather than in the battery; each shows at once. */
void tree_set_custom_name(struct tree *t, const char *name, uint64_t now_ms);
void tree_set_soc_value(struct tree *t, int pct, uint64_t now_ms);
/* A switch was asked for (ON, OFF); UNKNOWN: the request is over, what the BMS reports counts. */
void tree_set_asked(struct tree *t, enum command_kind kind, enum tri asked, uint64_t now_ms);
/* A command's read-back told this, before the next reading does. */
void tree_set_reported(struct tree *t, enum command_kind kind, enum tri reported, uint64_t now_ms);
/* How a command ended; shown for a minute behind the state of the link. */
void tree_set_outcome(struct tree *t, const char *text, uint64_t now_ms);

/* Everything that changed has been told. */
void tree_sent(struct tree *t);

/* NULL: no such path. */
const struct item *tree_find(const struct tree *t, const char *path);
/* The items below a path ("/": all): how many, and the first of them. */
unsigned tree_group(const struct tree *t, const char *path, const struct item **first);

/* The item's value as text; out is used for numbers. */
const char *item_show(const struct item *item, char out[VALUE_TEXT_MAX]);
enum item_write item_write(const struct item *item);
/* The bounds of a writable number; false: it has none. */
bool item_range(const struct item *item, int64_t *min, int64_t *max, int64_t *start);

/* All items but /Settings and /JsonData as nested JSON; unknown and empty is null. The caller frees
 * it; NULL: no memory. */
char *tree_json(const struct tree *t);

#endif
