/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a person can ask of a battery, and how that ends. */
#ifndef MODEL_COMMAND_H
#define MODEL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

enum command_kind {
	COMMAND_SOC,       /* value: 0..100 % */
	COMMAND_CHARGE,    /* value: 1 on, 0 off */
	COMMAND_DISCHARGE, /* " ; off may cut the supply of this computer */
	COMMAND_BALANCE,   /* " */
	COMMAND_KINDS
};

struct command {
	enum command_kind kind;
	double value;
	bool experimental; /* the person allowed what a sheet calls unproven */
};

enum command_result {
	COMMAND_DONE,        /* acknowledged and read back */
	COMMAND_REFUSED,     /* the device, the protocol or --read-only said no; nothing was changed */
	COMMAND_UNCONFIRMED, /* sent, but the state read back is not what was asked for */
};

#define COMMAND_SAY 160

struct command_outcome {
	enum command_result result;
	char say[COMMAND_SAY]; /* for people: why, or what was read back */
};

const char *command_name(enum command_kind kind);            /* "soc", "charge", ... */
const char *command_result_name(enum command_result result); /* "done", "refused", "not confirmed" */

/*
 * Reads "soc 95", "charge off" from two words. Returns false and says in why what is wrong and what
 * would be right.
 */
bool command_parse(struct command *c, const char *what, const char *value, char *why, size_t size);
/* "charge off", "soc 95" */
void command_text(const struct command *c, char *out, size_t size);

#endif
