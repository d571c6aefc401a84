/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const kind_names[COMMAND_KINDS] = {"soc", "charge", "discharge", "balance"};

const char *command_name(enum command_kind kind)
{
	return kind_names[kind];
}

const char *command_result_name(enum command_result result)
{
	static const char *const result_names[] = {"done", "refused", "not confirmed"};

	return result_names[result];
}

static bool parse_switch(const char *value, double *out)
{
	static const char *const on[] = {"on", "1", "true", "yes"};
	static const char *const off[] = {"off", "0", "false", "no"};

	for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); i++) {
		if (!strcasecmp(value, on[i]) || !strcasecmp(value, off[i])) {
			*out = !strcasecmp(value, on[i]);
			return true;
		}
	}
	return false;
}

bool command_parse(struct command *c, const char *what, const char *value, char *why, size_t size)
{
	unsigned k = 0;

	while (k < COMMAND_KINDS && strcasecmp(what, kind_names[k]) != 0)
		k++;
	if (k == COMMAND_KINDS) {
		snprintf(why, size, "cannot set \"%s\"; possible: soc 0..100, charge on|off, discharge on|off, balance on|off",
			 what);
		return false;
	}
	*c = (struct command){.kind = (enum command_kind)k};
	if (!value || !*value) {
		snprintf(why, size, "\"%s\" needs a value: %s", what, k == COMMAND_SOC ? "0..100 (percent)" : "on or off");
		return false;
	}
	if (c->kind != COMMAND_SOC) {
		if (parse_switch(value, &c->value))
			return true;
		snprintf(why, size, "\"%s\" is neither on nor off", value);
		return false;
	}
	char *end;
	c->value = strtod(value, &end);
	if (end != value && *end == '%')
		end++;
	if (end == value || *end || !isfinite(c->value) || c->value < 0 || c->value > 100) {
		snprintf(why, size, "\"%s\" is no state of charge; possible: 0..100 (percent)", value);
		return false;
	}
	return true;
}

void command_text(const struct command *c, char *out, size_t size)
{
	if (c->kind == COMMAND_SOC)
		snprintf(out, size, "soc %.10g", c->value);
	else
		snprintf(out, size, "%s %s", kind_names[c->kind], c->value != 0 ? "on" : "off");
}
