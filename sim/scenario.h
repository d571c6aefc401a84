/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What was asked of one simulated port: the value of each key of `--port KIND,key=value...`. */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct kind;

enum { SCENARIO_TEXT = 64, SCENARIO_PATH = 256, SCENARIO_PACKS = 16, SCENARIO_ALARMS = 8 };

/* An optional "every Nth" with a second number. */
struct every {
	uint32_t nth; /* 0 = never */
	uint32_t arg;
};

struct alarm_list {
	char name[SCENARIO_ALARMS][32];
	unsigned n;
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

	/* jbd-uart */
	int dialect; /* enum jbd_dialect */
	char password[8];
	int password_form;
	int mos;
	int remaining; /* what register E0 does */
	int tail;
	uint32_t trailing;
	bool no05, no0a, fa, badrefusal, dd;

	/* jk-uart */
	uint32_t protocol, boot;
	bool needpassword, variant;

	/* jk-pb */
	int pad;
	uint32_t stray;
	int32_t byte5;
	bool noabout, cold03, master, refuse, ackonly;

	/* daly-uart */
	bool frames16, host80, inverted, noack, gathered;
};

enum stuck { STUCK_NONE, STUCK_CHARGE, STUCK_DISCHARGE, STUCK_BOTH };
enum jbd_dialect { JBD_STANDARD, JBD_ADDRESSED };
enum jbd_password_form { PASSWORD_ANY, PASSWORD_ASCII, PASSWORD_VALUES };
enum jbd_mos { JBD_MOS_BOTH, JBD_MOS_E1, JBD_MOS_FB };
enum jbd_remaining { E0_WORKS, E0_IGNORED, E0_UNKNOWN };
enum jbd_tail { TAIL_0, TAIL_7, TAIL_9, TAIL_16 };
enum pb_pad { PAD_NONE, PAD_BEFORE, PAD_AFTER, PAD_BOTH };

/*
 * Reads "KIND[,key=value...]". false: why says which key is wrong and what is allowed.
 */
bool scenario_parse(struct scenario *s, const char *text, char *why, size_t size);

/* All kinds and all keys with their ranges, defaults and meaning. */
void scenario_list(FILE *out);

#endif
