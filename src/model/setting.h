/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parameters that a BMS keeps and tells: protection thresholds, switches, names. */
#ifndef MODEL_SETTING_H
#define MODEL_SETTING_H

#include <stdbool.h>

#define MAX_SETTINGS 160
#define MAX_SETTING_TEXT 40

enum setting_kind { SETTING_NUMBER, SETTING_SWITCH, SETTING_TEXT };

struct setting {
	const char *name; /* static; ends in the unit where there is one: "cell_ovp_V" */
	enum setting_kind kind;
	double number; /* SWITCH: 0 or 1 */
	char text[MAX_SETTING_TEXT];
};

/* All zero bytes = no setting is known. In the order in which they were first told. */
struct settings {
	unsigned count;
	struct setting setting[MAX_SETTINGS];
};

/* Each replaces what was known under this name; what does not fit is dropped. */
void settings_set_number(struct settings *s, const char *name, double value);
void settings_set_switch(struct settings *s, const char *name, bool on);
void settings_set_text(struct settings *s, const char *name, const char *text);
/* NULL when nothing is known under this name. */
const struct setting *settings_find(const struct settings *s, const char *name);
/* The number, NAN when unknown or a text. */
double settings_number(const struct settings *s, const char *name);

#endif
