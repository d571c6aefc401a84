/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/json.h"

void text_number(double v, int decimals, const char *unit, char *out, size_t size)
{
	if (isnan(v))
		snprintf(out, size, "--");
	else
		snprintf(out, size, "%.*f%s%s", decimals, v, *unit ? " " : "", unit);
}

/* v as numbers of this quantity are written; one of a few static buffers, so that several fit in one call. */
static const char *as(enum quantity q, double v)
{
	static char buffer[8][24];
	static unsigned next;
	char *out = buffer[next++ % 8];
	const struct quantity_def *def = quantity_def(q);

	text_number(v, def->decimals, def->unit, out, sizeof(buffer[0]));
	return out;
}

static const char *shown(const struct reading *r, enum quantity q)
{
	return as(q, reading_get(r, q));
}

static const char *counted(const struct snapshot *s, enum quantity q)
{
	return as(q, snapshot_number(s, q));
}

static const char *on_off(enum tri t)
{
	return t == ON ? "on" : t == OFF ? "off" : "--";
}

static const char *state_text(const struct snapshot *s)
{
	static const char *const text[] = {"starting", "online", "stale", "lost"};

	return text[s->state];
}

static void print_cells(FILE *to, const struct reading *r)
{
	if (!r->cell_V.count)
		return;
	fprintf(to, "  cells      min #%.0f %s  max #%.0f %s  spread %.0f mV\n", reading_get(r, Q_CELL_MIN_NO),
		shown(r, Q_CELL_MIN_V), reading_get(r, Q_CELL_MAX_NO), shown(r, Q_CELL_MAX_V),
		(reading_get(r, Q_CELL_MAX_V) - reading_get(r, Q_CELL_MIN_V)) * 1000);
	for (unsigned i = 0; i < r->cell_V.count; i++) {
		if (i % 8 == 0)
			fprintf(to, "    %2u", i + 1);
		if (series_knows(&r->cell_V, i))
			fprintf(to, "  %.3f%c", r->cell_V.value[i], r->balancing >> i & 1 ? '*' : ' ');
		else
			fprintf(to, "     --  ");
		if (i % 8 == 7 || i + 1 == r->cell_V.count)
			fputc('\n', to);
	}
}

static void print_temperatures(FILE *to, const struct reading *r)
{
	if (!r->temperatures.count && !reading_knows(r, Q_TEMP_MOS_C))
		return;
	fputs("  sensors   ", to);
	for (unsigned i = 0; i < r->temperatures.count; i++) {
		if (series_knows(&r->temperatures, i))
			fprintf(to, " T%u %.1f", i + 1, r->temperatures.value[i]);
		else
			fprintf(to, " T%u --", i + 1);
	}
	fprintf(to, "  MOS %s\n", shown(r, Q_TEMP_MOS_C));
}

static void print_alarms(FILE *to, const struct alarms *a)
{
	if (!a->known) {
		fputs("  alarms     not reported\n", to);
		return;
	}
	fputs("  alarms    ", to);
	if (!alarms_raised(a))
		fputs(" none", to);
	for (unsigned i = 0; i < ALARM_COUNT; i++)
		if (a->level[i])
			fprintf(to, " %s (%s)", alarm_name((enum alarm)i),
				alarm_level_name((enum alarm_level)a->level[i]));
	for (unsigned i = 0; i < a->own_count; i++)
		fprintf(to, " %s (%s)", a->own[i].name, alarm_level_name(a->own[i].level));
	fputc('\n', to);
}

static void print_limits(FILE *to, const struct snapshot *s)
{
	const struct limits_output *o[] = {&s->linear, &s->step};
	char cvl[24], ccl[24], dcl[24], why[80];

	for (int i = 0; i < 2; i++) {
		bool in_force = o[i] == snapshot_limits(s);

		text_number(o[i]->cvl, 2, "V", cvl, sizeof(cvl));
		text_number(o[i]->ccl.limit, 1, "A", ccl, sizeof(ccl));
		text_number(o[i]->dcl.limit, 1, "A", dcl, sizeof(dcl));
		limit_reason_text(&o[i]->ccl, true, why, sizeof(why));
		fprintf(to, "  %-7s%s  CVL %s %s  CCL %s (%s)", i ? "step" : "linear",
			in_force ? "in force" : "        ", cvl, charge_phase_name(o[i]->phase), ccl, why);
		limit_reason_text(&o[i]->dcl, false, why, sizeof(why));
		fprintf(to, "  DCL %s (%s)\n", dcl, why);
	}
}

void text_pack(FILE *to, const struct snapshot *s)
{
	const struct reading *r = &s->reading;

	fprintf(to, "%s  %s", s->name, s->port);
	if (s->addressed)
		fprintf(to, " address %u", s->address);
	fprintf(to, "  %s", s->protocol->id);
	if (reading_knows(r, Q_CELL_COUNT))
		fprintf(to, "  %.0fS", reading_get(r, Q_CELL_COUNT));
	if (reading_knows(r, Q_CAPACITY_FULL_AH))
		fprintf(to, " %s", shown(r, Q_CAPACITY_FULL_AH));
	fprintf(to, "  %s\n", state_text(s));
	for (unsigned t = T_SERIAL_NUMBER; t < TEXT_COUNT; t++)
		if (r->text[t][0])
			fprintf(to, "  %s %s\n", text_name((enum text)t), r->text[t]);
	fprintf(to, "  pack       %s  %s  %s  SoC %s  SoH %s\n", shown(r, Q_VOLTAGE_V), counted(s, Q_CURRENT_A),
		counted(s, Q_POWER_W), counted(s, Q_SOC_PCT), shown(r, Q_SOH_PCT));
	fprintf(to, "  capacity   %s left of %s  cycles %s\n", shown(r, Q_CAPACITY_REMAINING_AH),
		shown(r, Q_CAPACITY_FULL_AH), shown(r, Q_CYCLES));
	fprintf(to, "  switches   charge %s  discharge %s  balance %s%s\n", on_off(reading_flag(r, F_CHARGE_MOS)),
		on_off(reading_flag(r, F_DISCHARGE_MOS)), on_off(reading_flag(r, F_BALANCE_ENABLED)),
		reading_flag(r, F_BALANCING_ACTIVE) == ON ? "  balancing now (*)" : "");
	print_cells(to, r);
	print_temperatures(to, r);
	print_alarms(to, &r->alarms);
	if (s->reading_ms)
		print_limits(to, s);
	if (s->error[0])
		fprintf(to, "  last poll  %s\n", s->error);
}

void text_pack_line(FILE *to, const struct snapshot *s)
{
	const struct reading *r = &s->reading;
	const struct limits_output *o = snapshot_limits(s);
	char cvl[24], ccl[24], dcl[24], spread[24];

	text_number(o->cvl, 2, "V", cvl, sizeof(cvl));
	text_number(o->ccl.limit, 1, "A", ccl, sizeof(ccl));
	text_number(o->dcl.limit, 1, "A", dcl, sizeof(dcl));
	text_number((reading_get(r, Q_CELL_MAX_V) - reading_get(r, Q_CELL_MIN_V)) * 1000, 0, "mV", spread,
		    sizeof(spread));
	fprintf(to, "%-16.16s %-8s %9s %10s  SoC %7s  spread %6s  CVL %s CCL %s DCL %s\n", s->name, state_text(s),
		shown(r, Q_VOLTAGE_V), counted(s, Q_CURRENT_A), counted(s, Q_SOC_PCT), spread, cvl, ccl, dcl);
}

/* ---- JSON ---- */

static void set_number(json_t *o, const char *key, double v)
{
	if (isfinite(v))
		json_object_set_new(o, key, json_from_number(v));
}

static json_t *reasons(const struct current_limit *l)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < REASON_COUNT; i++)
		if (l->why >> i & 1)
			json_array_append_new(a, json_string(limit_reason_name((enum limit_reason)(1u << i))));
	return a;
}

static json_t *reason_text(const struct current_limit *l, bool charging)
{
	char text[160];

	limit_reason_text(l, charging, text, sizeof(text));
	return json_string(text);
}

json_t *limits_output_to_json(const struct limits_output *out)
{
	json_t *o = json_object();
	char mode[96];

	charge_mode_text(out, mode, sizeof(mode));
	set_number(o, "soc_pct", out->soc);
	set_number(o, "current_A", out->current);
	set_number(o, "cvl_V", out->cvl);
	json_object_set_new(o, "phase", json_string(charge_phase_name(out->phase)));
	json_object_set_new(o, "cvl_text", json_string(mode));
	set_number(o, "ccl_A", out->ccl.limit);
	json_object_set_new(o, "ccl_why", reasons(&out->ccl));
	json_object_set_new(o, "ccl_text", reason_text(&out->ccl, true));
	set_number(o, "dcl_A", out->dcl.limit);
	json_object_set_new(o, "dcl_why", reasons(&out->dcl));
	json_object_set_new(o, "dcl_text", reason_text(&out->dcl, false));
	json_object_set_new(o, "charge_allowed", json_boolean(out->ccl.io));
	json_object_set_new(o, "discharge_allowed", json_boolean(out->dcl.io));
	set_number(o, "time_to_go_s", out->ttg);
	return o;
}

json_t *snapshot_to_json(const struct snapshot *s)
{
	json_t *o = reading_to_json(&s->reading);
	json_t *limits = json_object();

	json_object_set_new(o, "port", json_string(s->port));
	json_object_set_new(o, "name", json_string(s->name));
	json_object_set_new(o, "identifier", json_string(s->identifier));
	json_object_set_new(o, "state", json_string(state_text(s)));
	if (!reading_knows(&s->reading, Q_ADDRESS) && s->addressed)
		json_object_set_new(o, "address", json_integer(s->address));
	if (!s->reading.text[T_PROTOCOL][0])
		json_object_set_new(o, "protocol", json_string(s->protocol->id));
	if (s->protocol->untested)
		json_object_set_new(o, "untested_on_hardware", json_true());
	if (s->reading_ms) {
		json_object_set_new(o, "time", json_real(s->reading_wall));
		json_object_set_new(limits, "mode", json_string(s->mode == LIMITS_STEP ? "step" : "linear"));
		json_object_set_new(limits, "linear", limits_output_to_json(&s->linear));
		json_object_set_new(limits, "step", limits_output_to_json(&s->step));
		json_object_set(o, "limits", limits);
	}
	json_decref(limits);
	if (s->settings.count)
		json_object_set_new(o, "settings", settings_to_json(&s->settings));
	if (s->error[0])
		json_object_set_new(o, "error", json_string(s->error));
	return o;
}

/* ---- ports ---- */

/* The same question to perhaps another address, with the same outcome; which bytes came is no difference. */
static bool same_outcome(const struct attempt *a, const struct attempt *b)
{
	size_t n = strcspn(a->say, ":");

	return a->protocol == b->protocol && a->line.baud == b->line.baud && n == strcspn(b->say, ":") &&
	       !strncmp(a->say, b->say, n);
}

/* "1-4,7": the addresses of all attempts that ended as attempt i did. */
static void text_addresses(const struct port_view *p, unsigned i, char *out, size_t size)
{
	bool asked[256] = {false};
	size_t n = 0;

	out[0] = 0;
	for (unsigned k = i; k < p->attempt_count; k++)
		if (same_outcome(&p->attempt[i], &p->attempt[k]))
			asked[p->attempt[k].address] = true;
	for (unsigned a = 0; a < 256 && n < size; a++) {
		unsigned last = a;

		while (asked[a] && last < 255 && asked[last + 1])
			last++;
		if (last > a)
			n += (size_t)snprintf(out + n, size - n, "%s%u-%u", n ? "," : "", a, last);
		else if (asked[a])
			n += (size_t)snprintf(out + n, size - n, "%s%u", n ? "," : "", a);
		a = last;
	}
}

static const char *silence_advice(const struct port_view *p, bool received)
{
	if (p->trouble[0])
		return p->trouble;
	if (received || (p->link == LINK_CAN && p->stats.bytes_in))
		return "Something talks on this line, but no BMS that bmscope knows. Is it another device?";
	if (p->link == LINK_CAN)
		return "No frame of a BMS was heard. Check: is it awake? Swap CAN-H and CAN-L; 120 ohm at both ends; is\n"
		       "  its CAN protocol switched on, and the bit rate the interface's (--can-up tries both)?";
	return "Nothing came back. Check: is the BMS awake (charger, button)? Swap A and B on RS485,\n"
	       "  RX and TX on a TTL port. Is the right socket used, and its protocol switched on in the BMS?";
}

void text_port_trouble(FILE *to, const struct port_view *p)
{
	size_t received = 0;

	if (p->state == PORT_ABSENT || p->state == PORT_REFUSED) {
		if (p->error[0]) /* names the port */
			fprintf(to, "%s\n", p->error);
		else
			fprintf(to, "%s is not there\n", p->name);
		return;
	}
	fprintf(to, "%s: no BMS was recognised\n", p->name);
	for (unsigned i = 0; i < p->attempt_count; i++) {
		const struct attempt *a = &p->attempt[i];
		bool told = false;
		char addresses[64];

		received += a->received;
		for (unsigned k = 0; k < i && !told; k++)
			told = same_outcome(a, &p->attempt[k]);
		if (told)
			continue;
		text_addresses(p, i, addresses, sizeof(addresses));
		fprintf(to, "  %-13s ", a->protocol->id);
		if (p->link != LINK_CAN)
			fprintf(to, "%6u baud  ", a->line.baud);
		fprintf(to, "address %-5s sent %-26.26s %s\n", addresses, a->tx, a->say);
	}
	fprintf(to, "  %s\n", silence_advice(p, received > 0));
}
