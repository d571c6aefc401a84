/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/jk_switch.h"

#include <stdio.h>
#include <string.h>

#include "protocols/procedure.h"

static const struct jk_switch {
	const char *name, *setting;
	bool has_mos;
	enum flag mos;
} switches[COMMAND_KINDS] = {
	[COMMAND_CHARGE] = {"charge", "charge_switch", true, F_CHARGE_MOS},
	[COMMAND_DISCHARGE] = {"discharge", "discharge_switch", true, F_DISCHARGE_MOS},
	[COMMAND_BALANCE] = {"balance", "balance_enabled", false, FLAG_COUNT},
};

static const char *on_off(bool on)
{
	return on ? "on" : "off";
}

static const char *tri_text(enum tri t)
{
	return t == UNKNOWN ? "unknown" : on_off(t == ON);
}

enum jk_switched jk_switched(const struct device *dev, const struct command *c)
{
	const struct jk_switch *s = &switches[c->kind];
	bool want = c->value != 0;
	const struct setting *is = settings_find(&dev->settings, s->setting);

	if (!is || (is->number != 0) != want)
		return JK_NOT_SWITCHED;
	return !s->has_mos || reading_flag(&dev->reading, s->mos) == (want ? ON : OFF) ? JK_SWITCHED : JK_MOS_DIFFERS;
}

static void add(char *out, size_t size, const char *name)
{
	size_t n = strlen(out);

	snprintf(out + n, size - n, "%s%s", n ? ", " : "", name);
}

/* The names of what is raised; "" when nothing is. */
static void raised(const struct alarms *a, char *out, size_t size)
{
	out[0] = 0;
	for (int i = 0; i < ALARM_COUNT; i++)
		if (a->level[i] == ALARM_RAISED)
			add(out, size, alarm_name((enum alarm)i));
	for (unsigned i = 0; i < a->own_count; i++)
		if (a->own[i].level == ALARM_RAISED)
			add(out, size, a->own[i].name);
}

void jk_switch_end(const struct device *dev, const struct command *c, struct next *next)
{
	enum jk_switched switched = jk_switched(dev, c);
	const struct jk_switch *s = &switches[c->kind];
	const char *want = on_off(c->value != 0);
	char why[100];

	raised(&dev->reading.alarms, why, sizeof(why));
	if (switched == JK_SWITCHED)
		step_end(next, COMMAND_DONE, "the %s switch%s back %s", s->name,
			 s->has_mos ? " and its MOS read" : " reads", want);
	else if (switched == JK_NOT_SWITCHED)
		step_end(next, COMMAND_UNCONFIRMED, "sent, but the %s switch does not read back %s", s->name, want);
	else if (c->value != 0 && why[0])
		step_end(next, COMMAND_UNCONFIRMED, "the switch is on, but a protection holds the %s MOS off: %s",
			 s->name, why);
	else
		step_end(next, COMMAND_UNCONFIRMED, "the switch reads back %s, but the %s MOS reads %s", want, s->name,
			 tri_text(reading_flag(&dev->reading, s->mos)));
}
