/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Codes and texts of what the limits say (section 13), and times in words (11.3). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "limits/state.h"

__attribute__((format(printf, 3, 4))) static void append(char *text, size_t size, const char *format, ...)
{
	size_t n = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + n, size - n, format, args);
	va_end(args);
}

static const struct {
	const char *code, *text;
} phases[] = {
	[CHARGE_PHASE_NONE] = {"none", ""},
	[CHARGE_BULK] = {"bulk", "Bulk"},
	[CHARGE_ABSORPTION] = {"absorption", "Absorption"},
	[CHARGE_FLOAT_TRANSITION] = {"float_transition", "Float Transition"},
	[CHARGE_FLOAT] = {"float", "Float"},
	[CHARGE_FIXED] = {"fixed", "Keep always max voltage"},
	[CHARGE_ERROR] = {"error", "Error, please check the logs!"},
};

/* In the order in which they are appended. */
static const struct {
	enum charge_flag flag;
	const char *code, *text;
} flags[CHARGE_FLAGS] = {
	{CHARGE_OVP, "ovp", " (Cell OVP)"},
	{CHARGE_OVP_RAMP, "ovp_ramp", " (Cell OVP*)"},
	{CHARGE_SOC_RESET, "soc_reset", " & SoC Reset"},
	{CHARGE_BALANCING, "balancing", " + Balancing"},
	{CHARGE_HEATING, "heating", " + Heating"},
};

/* In the order of the bits of enum limit_reason. */
static const struct {
	const char *code, *charge, *discharge;
} reason_texts[REASON_COUNT] = {
	{"config", "Max Battery Charge Current", "Max Battery Discharge Current"},
	{"bms_limit", "BMS Settings", "BMS Settings"},
	{"cell", "Cell Voltage", "Cell Voltage"},
	{"temp", "Temp", "Temp"},
	{"mosfet", "MOSFET", "MOSFET"},
	{"soc", "SoC", "SoC"},
	{"bms_fet", "BMS", "BMS"},
	{"disconnect", "Disconnected", "Disconnected"},
};

const char *charge_phase_name(enum charge_phase p)
{
	return phases[p].code;
}

const char *charge_flag_name(enum charge_flag f)
{
	for (unsigned i = 0; i < CHARGE_FLAGS; i++)
		if (flags[i].flag == f)
			return flags[i].code;
	return "";
}

const char *limit_reason_name(enum limit_reason r)
{
	for (unsigned i = 0; i < REASON_COUNT; i++)
		if (r == 1u << i)
			return reason_texts[i].code;
	return "";
}

void charge_mode_text(const struct limits_output *out, char *text, size_t size)
{
	snprintf(text, size, "%s", phases[out->phase].text);
	for (unsigned i = 0; i < CHARGE_FLAGS; i++)
		if (out->flags & flags[i].flag)
			append(text, size, "%s", flags[i].text);
}

const char *charge_mode_suffix(const struct limits_output *out, enum limits_mode mode)
{
	if (out->phase == CHARGE_PHASE_NONE || out->phase == CHARGE_FIXED || out->phase == CHARGE_ERROR)
		return "";
	return mode == LIMITS_STEP ? " \u2502 Step Mode" : " \u2502 Linear Mode";
}

void limit_reason_text(const struct current_limit *l, bool charging, char *text, size_t size)
{
	const char *separator = "";

	text[0] = 0;
	for (unsigned i = 0; i < REASON_COUNT; i++) {
		if (!(l->why >> i & 1))
			continue;
		append(text, size, "%s%s", separator, charging ? reason_texts[i].charge : reason_texts[i].discharge);
		separator = ", ";
	}
	if (l->wait)
		append(text, size, " *");
}

void limits_duration_text(double seconds, char *text, size_t size)
{
	static const struct {
		int64_t seconds;
		char letter;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	int64_t left = (int64_t)fabs(seconds);
	unsigned largest = 0;

	snprintf(text, size, "%s", left && seconds < 0 ? "-" : "");
	while (largest < 3 && left < units[largest].seconds)
		largest++;
	for (unsigned i = largest; i < 4 && i < largest + 2; i++) {
		int64_t n = left / units[i].seconds;

		left %= units[i].seconds;
		if (n || largest == 3)
			append(text, size, "%s%lld%c", i > largest ? " " : "", (long long)n, units[i].letter);
	}
}

void limits_time_text(int type, double seconds, char *text, size_t size)
{
	char duration[48];

	limits_duration_text(seconds, duration, sizeof(duration));
	if (type == 2)
		snprintf(text, size, "%s", duration);
	else if (type == 3)
		snprintf(text, size, "%.0f [%s]", seconds, duration);
	else
		snprintf(text, size, "%.0f", seconds);
}
