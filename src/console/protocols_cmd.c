/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/protocols_cmd.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/json.h"
#include "protocols/protocol.h"

/* ---- the rows of the matrix ---- */

/* A feature is there when the protocol has one of these bits. */
struct feature {
	const char *name;
	uint64_t quantities;
	uint32_t flags;
	unsigned series;
	int command; /* -1: none */
};

#define Q(id) ((uint64_t)1 << Q_##id)
#define F(id) (1u << F_##id)

static const struct feature features[] = {
	{"voltage", Q(VOLTAGE_V), 0, 0, -1},
	{"current, power", Q(CURRENT_A), 0, 0, -1},
	{"state of charge", Q(SOC_PCT), 0, 0, -1},
	{"state of health", Q(SOH_PCT), 0, 0, -1},
	{"battery temperatures", Q(TEMP_MIN_C), 0, SERIES_TEMPERATURES, -1},
	{"MOSFET temperature", Q(TEMP_MOS_C), 0, 0, -1},
	{"ambient temperature", Q(TEMP_AMBIENT_C), 0, 0, -1},
	{"installed capacity", Q(CAPACITY_FULL_AH) | Q(CAPACITY_DESIGN_AH), 0, 0, -1},
	{"remaining capacity", Q(CAPACITY_REMAINING_AH), 0, 0, -1},
	{"cycles", Q(CYCLES), 0, 0, -1},
	{"lowest, highest cell", Q(CELL_MIN_V), 0, SERIES_CELLS, -1},
	{"single cells", 0, 0, SERIES_CELLS, -1},
	{"cell resistances", 0, 0, SERIES_RESISTANCES, -1},
	{"balancing", 0, F(BALANCING_ACTIVE), SERIES_BALANCING, -1},
	{"balancing cell by cell", 0, 0, SERIES_BALANCING, -1},
	{"charge, discharge MOS", 0, F(CHARGE_MOS) | F(DISCHARGE_MOS), 0, -1},
	{"charge, discharge allowed", 0, F(CHARGE_ALLOWED) | F(DISCHARGE_ALLOWED), 0, -1},
	{"limits of the BMS", Q(BMS_CCL_A) | Q(BMS_DCL_A) | Q(BMS_CVL_V), 0, 0, -1},
	{"set the SoC", 0, 0, 0, COMMAND_SOC},
	{"disable charging", 0, 0, 0, COMMAND_CHARGE},
	{"disable discharging", 0, 0, 0, COMMAND_DISCHARGE},
	{"disable balancing", 0, 0, 0, COMMAND_BALANCE},
};

static const char *mark(const struct feature *f, const struct protocol *p)
{
	if (f->command >= 0) {
		if (p->experimental >> f->command & 1)
			return "(✓)";
		return p->commands >> f->command & 1 ? "✓" : "";
	}
	return (f->quantities & p->quantities) || (f->flags & p->flags) || (f->series & p->series) ? "✓" : "";
}

static unsigned bits(uint32_t set)
{
	unsigned n = 0;

	for (; set; set &= set - 1)
		n++;
	return n;
}

/* ---- markdown ---- */

static void addresses_text(const struct protocol *p, char *out, size_t size)
{
	out[0] = 0;
	if (p->last_address)
		snprintf(out, size, "%u..%u", p->first_address, p->last_address);
}

static void print_list(void)
{
	char addresses[16];

	puts("| protocol | for | several packs on a cable | decodes bytes of real devices |\n|---|---|---|---|");
	for (unsigned i = 0; protocols_all()[i]; i++) {
		const struct protocol *p = protocols_all()[i];

		addresses_text(p, addresses, sizeof(addresses));
		printf("| `%s` | %s | %s | %s |\n", p->id, p->title, addresses,
		       p->untested ? "**untested on hardware**" : "yes");
	}
}

static void print_matrix(void)
{
	printf("| |");
	for (unsigned i = 0; protocols_all()[i]; i++)
		printf(" %s |", protocols_all()[i]->id);
	printf("\n|---|");
	for (unsigned i = 0; protocols_all()[i]; i++)
		printf(":-:|");
	putchar('\n');
	for (unsigned f = 0; f < sizeof(features) / sizeof(features[0]); f++) {
		printf("| %s |", features[f].name);
		for (unsigned i = 0; protocols_all()[i]; i++)
			printf(" %s |", mark(&features[f], protocols_all()[i]));
		putchar('\n');
	}
	printf("| alarms, kinds of |");
	for (unsigned i = 0; protocols_all()[i]; i++)
		printf(" %u |", bits(protocols_all()[i]->alarms));
	putchar('\n');
}

/* ---- JSON ---- */

static json_t *reports(const struct protocol *p)
{
	static const char *const series[] = {"cell_V", "temperatures", "cell_balancing", "cell_resistance_ohm"};
	json_t *a = json_array();

	for (unsigned q = 0; q < QUANTITY_COUNT; q++)
		if (p->quantities >> q & 1)
			json_array_append_new(a, json_string(quantity_def((enum quantity)q)->name));
	for (unsigned f = 0; f < FLAG_COUNT; f++)
		if (p->flags >> f & 1)
			json_array_append_new(a, json_string(flag_name((enum flag)f)));
	for (unsigned s = 0; s < 4; s++)
		if (p->series >> s & 1)
			json_array_append_new(a, json_string(series[s]));
	return a;
}

static json_t *alarms(const struct protocol *p)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < ALARM_COUNT; i++)
		if (p->alarms >> i & 1)
			json_array_append_new(a, json_string(alarm_name((enum alarm)i)));
	return a;
}

static json_t *commands(const struct protocol *p)
{
	json_t *o = json_object();

	for (unsigned c = 0; c < COMMAND_KINDS; c++)
		if (p->commands >> c & 1)
			json_object_set_new(o, command_name((enum command_kind)c),
					    json_string(p->experimental >> c & 1 ? "experimental" : "yes"));
	return o;
}

static void print_json(const struct protocol *p)
{
	json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:b,s:o,s:o,s:o}", "id", p->id, "title", p->title, "link",
			      link_kind_name(p->link), "manufacturer", p->manufacturer, "untested", p->untested,
			      "reports", reports(p), "alarms", alarms(p), "commands", commands(p));

	if (p->last_address)
		json_object_set_new(o, "addresses", json_pack("[i,i]", p->first_address, p->last_address));
	char *line = json_line(o);
	puts(line ? line : "{}");
	free(line);
	json_decref(o);
}

/* ---- text ---- */

static void print_text(const struct protocol *p)
{
	const char *separator = "";

	printf("%-14s %s", p->id, p->title);
	if (p->commands)
		printf("; sets ");
	for (unsigned c = 0; c < COMMAND_KINDS; c++)
		if (p->commands >> c & 1) {
			printf("%s%s%s", separator, command_name((enum command_kind)c),
			       p->experimental >> c & 1 ? " (experimental)" : "");
			separator = ", ";
		}
	printf("%s\n", p->untested ? "; untested on hardware" : "");
}

int protocols_command(bool json, bool markdown)
{
	if (markdown) {
		print_list();
		putchar('\n');
		print_matrix();
		return 0;
	}
	for (unsigned i = 0; protocols_all()[i]; i++) {
		if (json)
			print_json(protocols_all()[i]);
		else
			print_text(protocols_all()[i]);
	}
	return 0;
}
