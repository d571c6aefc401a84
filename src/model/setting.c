/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/setting.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The place of name, a new one at the end if needed; NULL when full. */
static struct setting *place(struct settings *s, const char *name)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!strcmp(s->setting[i].name, name))
			return &s->setting[i];
	if (s->count == MAX_SETTINGS)
		return NULL;
	s->setting[s->count].name = name;
	return &s->setting[s->count++];
}

void settings_set_number(struct settings *s, const char *name, double value)
{
	struct setting *p = isfinite(value) ? place(s, name) : NULL;

	if (!p)
		return;
	p->kind = SETTING_NUMBER;
	p->number = value;
}

void settings_set_switch(struct settings *s, const char *name, bool on)
{
	struct setting *p = place(s, name);

	if (!p)
		return;
	p->kind = SETTING_SWITCH;
	p->number = on;
}

void settings_set_text(struct settings *s, const char *name, const char *text)
{
	struct setting *p = place(s, name);

	if (!p)
		return;
	p->kind = SETTING_TEXT;
	snprintf(p->text, sizeof(p->text), "%s", text);
}

const struct setting *settings_find(const struct settings *s, const char *name)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!strcmp(s->setting[i].name, name))
			return &s->setting[i];
	return NULL;
}

double settings_number(const struct settings *s, const char *name)
{
	const struct setting *p = settings_find(s, name);

	return p && p->kind != SETTING_TEXT ? p->number : NAN;
}
