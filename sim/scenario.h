/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What was asked of one simulated port: the value of each key of `--port KIND,key=value...`. */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct kind;

enum { SCENARIO_TEXT = 64, SCENARIO_PATH = 256, SCENARIO_PACKS = 16, SCENARIO_ALARMS = 8, SCENARIO_OWN = 96 };

/* An optional "every Nth" with a second number. */
struct every {
	uint32_t nth; /* 0 = never */
	uint32_t arg;
};

struct alarm_list {
	char name[SCENARIO_ALARMS][32];
	unsigned n;
};

enum key_type {
	KEY_FLAG,      /* bool */
	KEY_INTEGER,   /* uint32_t */
	KEY_NUMBER,    /* double */
	KEY_EVERY,     /* struct every: N or N:M */
	KEY_WORD,      /* int: place in choices */
	KEY_TEXT,      /* char[SCENARIO_TEXT] */
	KEY_PATH,      /* char[SCENARIO_PATH] */
	KEY_DIGITS,    /* char[8]: six digits */
	KEY_CURRENT,   /* cycling and current */
	KEY_ALARMS,    /* struct alarm_list */
	KEY_ADDRESSES, /* address[] */
	KEY_BYTE,      /* int32_t: one byte in hex */
	KEY_GARBAGE,   /* garbage[] in hex */
};

/* A key of `--port KIND,key=value` and where its value goes. */
struct key {
	const char *name;
	enum key_type type;
	size_t member;	 /* offset in struct scenario; of a kind's own key: in its own struct */
	double min, max; /* EVERY: of N */
	const char *unit;
	const char *usual;   /* the default, written as a value; NULL = none */
	const char *choices; /* a|b|c: WORD; an INTEGER that must be one of these */
	const char *help;
	uint32_t arg; /* EVERY: M when it is not given */
};

struct scenario {
	const struct kind *kind;

	/* the battery */
	uint32_t cells, ntc, cycles;
	double capacity, soc, soh, temperature, imbalance, jitter, current;
	bool cycling;	   /* current=cycle */
	struct every weak; /* nth = the cell from 1, arg = percent */
	int chemistry;	   /* enum chemistry */
	bool heater, balance, charge, discharge;
	struct alarm_list alarm, warning;
	char model[SCENARIO_TEXT], serial[SCENARIO_TEXT], registers[SCENARIO_PATH];

	/* the bus */
	uint32_t packs;
	uint8_t address[SCENARIO_PACKS];
	unsigned addresses;
	char link[SCENARIO_PATH], state[SCENARIO_PATH];
	uint32_t baud;
	bool anyspeed;

	/* what goes wrong on the way */
	bool silent, echo;
	uint32_t deaf, delay;
	double slow, noise, sleep, unplug, replug;
	struct every cut, late, chunk;
	uint32_t badsum, drop, lose, flip, foreign;
	uint8_t garbage[32];
	unsigned garbage_n;
	int stuck; /* enum stuck */
	bool crosstalk;

	_Alignas(8) uint8_t own[SCENARIO_OWN]; /* what the kind's own keys say, as its struct kind.keys lays it out */
};

enum stuck { STUCK_NONE, STUCK_CHARGE, STUCK_DISCHARGE, STUCK_BOTH };

/*
 * Reads "KIND[,key=value...]". false: why says which key is wrong and what is allowed.
 */
bool scenario_parse(struct scenario *s, const char *text, char *why, size_t size);

/* All kinds and all keys with their ranges, defaults and meaning. */
void scenario_list(FILE *out);

#endif
