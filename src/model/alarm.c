/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/alarm.h"

#include <string.h>

#define ALARM_NAME(id, name) name,
static const char *const names[ALARM_COUNT] = {ALARM_NAMES(ALARM_NAME)};
#undef ALARM_NAME

const char *alarm_name(enum alarm a)
{
	return a < ALARM_COUNT ? names[a] : "";
}

enum alarm alarm_by_name(const char *name)
{
	for (unsigned a = 0; a < ALARM_COUNT; a++)
		if (!strcmp(names[a], name))
			return (enum alarm)a;
	return ALARM_COUNT;
}

const char *alarm_level_name(enum alarm_level level)
{
	static const char *const level_names[] = {"ok", "warning", "alarm"};

	return level_names[level];
}

void alarm_raise(struct alarms *alarms, enum alarm a, enum alarm_level level)
{
	alarms->known = true;
	if (alarms->level[a] < level)
		alarms->level[a] = (uint8_t)level;
}

void alarm_raise_own(struct alarms *alarms, const char *name, enum alarm_level level)
{
	alarms->known = true;
	for (unsigned i = 0; i < alarms->own_count; i++) {
		if (strcmp(alarms->own[i].name, name) != 0)
			continue;
		if (alarms->own[i].level < level)
			alarms->own[i].level = level;
		return;
	}
	if (alarms->own_count == MAX_OWN_ALARMS) {
		alarm_raise(alarms, ALARM_INTERNAL_FAILURE, level);
		return;
	}
	alarms->own[alarms->own_count++] = (struct own_alarm){name, level};
}

void alarms_clear(struct alarms *alarms)
{
	memset(alarms, 0, sizeof(*alarms));
	alarms->known = true;
}

unsigned alarms_raised(const struct alarms *alarms)
{
	unsigned n = alarms->own_count;

	for (unsigned a = 0; a < ALARM_COUNT; a++)
		n += alarms->level[a] != ALARM_OK;
	return n;
}
