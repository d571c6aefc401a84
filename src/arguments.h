/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command line: which face, and the options that mean the same everywhere. */
#ifndef ARGUMENTS_H
#define ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "protocols/protocol.h"

#define MAX_ARGUMENT_PORTS 64
#define MAX_ARGUMENT_WORDS 8
#define MAX_ARGUMENT_PROTOCOLS 64

enum face {
	FACE_SCREEN,
	FACE_DAEMON,
	FACE_SCAN,
	FACE_READ,
	FACE_SET,
	FACE_RECORD,
	FACE_DECODE,
	FACE_LIMITS,
	FACE_CONFIG,
	FACE_PROTOCOLS,
	FACE_SHELL,
	FACE_DEMO,
};

struct arguments {
	enum face face;
	const char *config; /* NULL: the usual place, if it is there */
	bool verbose, yes, json, watch, check, read_only, experimental, can_up, quick, markdown;
	const char *replay;
	double replay_speed;  /* 1 = as it was, 0 = at once */
	double poll_s;        /* NAN = not given */
	double seconds;       /* end after so long; NAN = not given */
	unsigned count;       /* end after so many readings; 0 = not given */
	const char *bus;      /* "system", "session", an address; NULL = not given */
	const char *state_dir;
	const char *mode;     /* of `limits`; NULL = not given */
	uint8_t address[256];
	unsigned address_count;
	const struct protocol *protocol[MAX_ARGUMENT_PROTOCOLS + 1]; /* NULL-terminated; [0] NULL = all */
	const char *port[MAX_ARGUMENT_PORTS];
	unsigned port_count;
	const char *word[MAX_ARGUMENT_WORDS]; /* what follows the command */
	unsigned word_count;
};

/*
 * Reads the command line. Returns -1 when it is to be carried out; else the exit code: help and version
 * have been printed (0), or what is wrong has (2).
 */
int arguments_parse(int argc, char **argv, struct arguments *a);

/* Adds the protocols that a list of names ("jk-pb, Daly") selects: ids and BMS_TYPE names. False: why. */
bool arguments_protocols(struct arguments *a, const char *list, char *why, size_t size);

#endif
