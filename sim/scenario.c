/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The keys that all kinds have, and how a port's text is read by it. */
#include "sim/scenario.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim/device.h"

enum on { EVERYWHERE, ON_A_BUS, SENSORS_VARY };

#define AT(member) offsetof(struct scenario, member)

static const struct {
	struct key key;
	enum on on;
} common[] = {
	{{"cells", KEY_INTEGER, AT(cells), 1, BATTERY_MAX_CELLS, "", NULL, NULL, "cells in series", 0}, EVERYWHERE},
	{{"capacity", KEY_NUMBER, AT(capacity), 1, 2000, "Ah", NULL, NULL, "capacity of the pack", 0}, EVERYWHERE},
	{{"soc", KEY_NUMBER, AT(soc), 0, 100, "%", "60", NULL, "state of charge at the start", 0}, EVERYWHERE},
	{{"soh", KEY_NUMBER, AT(soh), 10, 100, "%", "100", NULL, "what is left of the capacity", 0}, EVERYWHERE},
	{{"cycles", KEY_INTEGER, AT(cycles), 0, 20000, "", "37", NULL, "cycles at the start", 0}, EVERYWHERE},
	{{"chemistry", KEY_WORD, AT(chemistry), 0, 0, "", "lfp", "lfp|nmc", "what the cells are", 0}, EVERYWHERE},
	{{"current", KEY_CURRENT, AT(current), -2000, 2000, "A", "cycle", NULL,
	  "constant current, + charges; or cycle[:A]: charges and discharges by turns", 0},
	 EVERYWHERE},
	{{"imbalance", KEY_NUMBER, AT(imbalance), 0, 1000, "mV", "6", NULL,
	  "between the lowest and the highest cell at rest", 0},
	 EVERYWHERE},
	{{"weak", KEY_EVERY, AT(weak), 1, BATTERY_MAX_CELLS, "CELL[:PERCENT]", NULL, NULL,
	  "this cell has only so much of its capacity", 80},
	 EVERYWHERE},
	{{"temperature", KEY_NUMBER, AT(temperature), -40, 100, "degC", "22", NULL, "of the room and of the start", 0},
	 EVERYWHERE},
	{{"ntc", KEY_INTEGER, AT(ntc), 0, BATTERY_MAX_SENSORS, "", NULL, NULL, "temperature sensors", 0}, SENSORS_VARY},
	{{"heater", KEY_FLAG, AT(heater), 0, 0, "", "off", NULL,
	  "there is a heater, which keeps the cells above freezing", 0},
	 EVERYWHERE},
	{{"jitter", KEY_NUMBER, AT(jitter), 0, 100, "", "1", NULL, "how much the sensors flicker; 0 = not at all", 0},
	 EVERYWHERE},
	{{"alarm", KEY_ALARMS, AT(alarm), 0, 0, "NAME[+NAME...]", NULL, NULL,
	  "alarms that stand, with what they switch off", 0},
	 EVERYWHERE},
	{{"warning", KEY_ALARMS, AT(warning), 0, 0, "NAME[+NAME...]", NULL, NULL, "warnings that stand", 0},
	 EVERYWHERE},
	{{"charge", KEY_FLAG, AT(charge), 0, 0, "", "on", NULL, "charge switch at the start", 0}, EVERYWHERE},
	{{"discharge", KEY_FLAG, AT(discharge), 0, 0, "", "on", NULL, "discharge switch at the start", 0}, EVERYWHERE},
	{{"balance", KEY_FLAG, AT(balance), 0, 0, "", "on", NULL, "balancing switch at the start", 0}, EVERYWHERE},
	{{"model", KEY_TEXT, AT(model), 0, 0, "NAME", NULL, NULL, "model or name that the board tells", 0}, EVERYWHERE},
	{{"serial", KEY_TEXT, AT(serial), 0, 0, "TEXT", NULL, NULL, "serial number that the board tells", 0},
	 EVERYWHERE},
	{{"registers", KEY_PATH, AT(registers), 0, 0, "FILE", NULL, NULL, "answers reads from this dump", 0},
	 EVERYWHERE},

	{{"packs", KEY_INTEGER, AT(packs), 1, SCENARIO_PACKS, "", "1", NULL, "boards on the line", 0}, ON_A_BUS},
	{{"addresses", KEY_ADDRESSES, AT(address), 0, 255, "N[,N...]", NULL, NULL, "their addresses", 0}, ON_A_BUS},
	{{"address", KEY_ADDRESSES, AT(address), 0, 255, "N", NULL, NULL, "the same for one board", 0}, ON_A_BUS},
	{{"link", KEY_PATH, AT(link), 0, 0, "PATH", NULL, NULL, "symbolic link to the port", 0}, EVERYWHERE},
	{{"state", KEY_PATH, AT(state), 0, 0, "FILE", NULL, NULL, "keeps what was written to the boards, as JSON lines",
	  0},
	 EVERYWHERE},
	{{"baud", KEY_INTEGER, AT(baud), 1200, 1000000, "", NULL,
	  "1200|1800|2400|4800|9600|19200|38400|57600|115200|230400|460800|500000|576000|921600|1000000", "line speed",
	  0},
	 EVERYWHERE},
	{{"anyspeed", KEY_FLAG, AT(anyspeed), 0, 0, "", "off", NULL, "understands bytes at any line speed", 0},
	 EVERYWHERE},

	{{"silent", KEY_FLAG, AT(silent), 0, 0, "", "off", NULL, "never answers", 0}, EVERYWHERE},
	{{"deaf", KEY_INTEGER, AT(deaf), 0, 1000000, "", "0", NULL, "the first N requests are not answered", 0},
	 EVERYWHERE},
	{{"sleep", KEY_NUMBER, AT(sleep), 0.1, 1000000, "s", NULL, NULL, "falls asleep after so long", 0}, EVERYWHERE},
	{{"delay", KEY_INTEGER, AT(delay), 0, 60000, "ms", "0", NULL, "replies begin so much later", 0}, EVERYWHERE},
	{{"slow", KEY_NUMBER, AT(slow), 0.01, 1000, "", "1", NULL, "replies begin so many times later", 0}, EVERYWHERE},
	{{"late", KEY_EVERY, AT(late), 1, 1000000, "N[:MS]", NULL, NULL, "every Nth reply begins so late", 1500},
	 EVERYWHERE},
	{{"drop", KEY_INTEGER, AT(drop), 1, 1000000, "N", NULL, NULL, "every Nth frame is not sent", 0}, EVERYWHERE},
	{{"cut", KEY_EVERY, AT(cut), 1, 1000000, "N[:BYTES]", NULL, NULL,
	  "every Nth frame ends after so many bytes (half of it)", 0},
	 EVERYWHERE},
	{{"lose", KEY_INTEGER, AT(lose), 1, 1000000, "N", NULL, NULL, "every Nth frame lacks a byte in the middle", 0},
	 EVERYWHERE},
	{{"flip", KEY_INTEGER, AT(flip), 1, 1000000, "N", NULL, NULL, "every Nth frame has one wrong bit", 0},
	 EVERYWHERE},
	{{"badsum", KEY_INTEGER, AT(badsum), 1, 1000000, "N", NULL, NULL, "every Nth frame has a wrong checksum", 0},
	 EVERYWHERE},
	{{"foreign", KEY_INTEGER, AT(foreign), 1, 1000000, "N", NULL, NULL,
	  "every Nth reply is one to somebody else: another address, or another request", 0},
	 EVERYWHERE},
	{{"noise", KEY_NUMBER, AT(noise), 0, 1000000, "", "0", NULL,
	  "garbage around frames: below 1 with this probability, else around every Nth", 0},
	 EVERYWHERE},
	{{"garbage", KEY_GARBAGE, AT(garbage), 0, 0, "HEX", NULL, NULL, "what the noise is", 0}, EVERYWHERE},
	{{"echo", KEY_FLAG, AT(echo), 0, 0, "", "off", NULL, "the adapter returns what is sent", 0}, EVERYWHERE},
	{{"chunk", KEY_EVERY, AT(chunk), 1, 1000, "BYTES[:MS]", NULL, NULL, "replies pause so long after so many bytes",
	  20},
	 EVERYWHERE},
	{{"crosstalk", KEY_FLAG, AT(crosstalk), 0, 0, "", "off", NULL,
	  "another board answers a request that comes within 60 ms of the last reply", 0},
	 ON_A_BUS},
	{{"stuck", KEY_WORD, AT(stuck), 0, 0, "", "no", "no|charge|discharge|both",
	  "MOS that do not follow their switch", 0},
	 EVERYWHERE},
	{{"unplug", KEY_NUMBER, AT(unplug), 0, 1000000, "s", NULL, NULL, "the port vanishes after so long", 0},
	 EVERYWHERE},
	{{"replug", KEY_NUMBER, AT(replug), 0, 1000000, "s", NULL, NULL, "and is there again so much later; needs link",
	  0},
	 EVERYWHERE},
};

enum { COMMON = sizeof(common) / sizeof(common[0]) };

static bool has_common(const struct kind *kind, enum on on)
{
	return on == EVERYWHERE || (on == ON_A_BUS ? kind->addressed : !kind->sensors_fixed);
}

/* The ith key of this kind; NULL after the last. Where its value goes: *base. */
static const struct key *key_at(struct scenario *s, unsigned i, void **base)
{
	for (unsigned j = 0; j < COMMON; j++) {
		*base = s;
		if (has_common(s->kind, common[j].on) && i-- == 0)
			return &common[j].key;
	}
	*base = s->own;
	return i < s->kind->n_keys ? &s->kind->keys[i] : NULL;
}

static const struct key *key_find(struct scenario *s, const char *name, void **base)
{
	const struct key *k;

	for (unsigned i = 0; (k = key_at(s, i, base)); i++)
		if (!strcmp(k->name, name))
			return k;
	return NULL;
}

/* ---- complaints ---- */

struct complaint {
	char *text;
	size_t size;
	const struct scenario *scenario;
};

__attribute__((format(printf, 2, 3))) static bool complain(const struct complaint *c, const char *format, ...)
{
	va_list args;
	int n = snprintf(c->text, c->size, "%s: ", c->scenario->kind->id);

	va_start(args, format);
	if (n >= 0 && (size_t)n < c->size)
		vsnprintf(c->text + n, c->size - (size_t)n, format, args);
	va_end(args);
	return false;
}

/* What a key takes, for people. */
static void allowed(const struct key *k, char *out, size_t size)
{
	const char *blank = *k->unit ? " " : "";

	if (k->choices) {
		snprintf(out, size, "%s%s%s", k->choices, blank, k->unit);
		return;
	}
	switch (k->type) {
	case KEY_FLAG:
		snprintf(out, size, "on|off");
		break;
	case KEY_INTEGER:
	case KEY_NUMBER:
		snprintf(out, size, "%.10g..%.10g%s%s", k->min, k->max, blank, k->unit);
		break;
	case KEY_EVERY:
		snprintf(out, size, "%s, %.10g..%.10g", k->unit, k->min, k->max);
		break;
	case KEY_CURRENT:
		snprintf(out, size, "%g..%g A|cycle|cycle:A", k->min, k->max);
		break;
	case KEY_BYTE:
		snprintf(out, size, "00..FF");
		break;
	case KEY_GARBAGE:
		snprintf(out, size, "1..%d bytes in hex", (int)sizeof(((struct scenario *)NULL)->garbage));
		break;
	default:
		snprintf(out, size, "%s", k->unit);
	}
}

static bool not_allowed(const struct complaint *c, const struct key *k, const char *value)
{
	char range[160];

	allowed(k, range, sizeof(range));
	return complain(c, "%s=%s: allowed is %s", k->name, value, range);
}

/* ---- values ---- */

static bool read_number(const char *text, double min, double max, double *out)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !isfinite(v) || v < min || v > max)
		return false;
	*out = v;
	return true;
}

static bool read_whole(const char *text, double min, double max, uint32_t *out)
{
	double v;

	if (!read_number(text, min, max, &v) || floor(v) != v)
		return false;
	*out = (uint32_t)v;
	return true;
}

static bool read_flag(const char *text, bool *out)
{
	static const char *const yes[] = {"on", "yes", "1", "true"}, *const no[] = {"off", "no", "0", "false"};

	for (unsigned i = 0; i < 4; i++) {
		if (!strcmp(text, yes[i]))
			return *out = true;
		if (!strcmp(text, no[i])) {
			*out = false;
			return true;
		}
	}
	return false;
}

static bool read_word(const char *text, const char *choices, int *out)
{
	size_t n = strlen(text);

	for (int i = 0;; i++) {
		size_t have = strcspn(choices, "|");

		if (have == n && !strncmp(choices, text, n)) {
			*out = i;
			return true;
		}
		if (!choices[have])
			return false;
		choices += have + 1;
	}
}

static bool read_every(const struct key *k, const char *text, struct every *out)
{
	char first[32];
	size_t n = strcspn(text, ":");
	uint32_t arg = k->arg;

	if (n >= sizeof(first))
		return false;
	memcpy(first, text, n);
	first[n] = 0;
	if (text[n] && !read_whole(text + n + 1, 1, 1000000, &arg))
		return false;
	if (!read_whole(first, k->min, k->max, &out->nth))
		return false;
	out->arg = arg;
	return true;
}

static bool read_current(const struct key *k, const char *text, struct scenario *s)
{
	s->cycling = !strncmp(text, "cycle", 5);
	if (!s->cycling)
		return read_number(text, k->min, k->max, &s->current);
	if (!text[5]) {
		s->current = 0; /* a quarter of the capacity, once that is known */
		return true;
	}
	return text[5] == ':' && read_number(text + 6, 0.1, k->max, &s->current);
}

static bool add_address(struct scenario *s, uint32_t address)
{
	if (s->addresses == SCENARIO_PACKS)
		return false;
	for (unsigned i = 0; i < s->addresses; i++)
		if (s->address[i] == address)
			return false;
	s->address[s->addresses++] = (uint8_t)address;
	return true;
}

/* "1,2,5-7", added to what was given before. */
static bool read_addresses(const struct key *k, const char *text, struct scenario *s)
{
	do {
		size_t n = strcspn(text, ",+");
		char part[16], *dash;
		uint32_t first, last;

		if (n >= sizeof(part))
			return false;
		memcpy(part, text, n);
		part[n] = 0;
		dash = strchr(part, '-');
		if (dash)
			*dash = 0;
		if (!read_whole(part, k->min, k->max, &first))
			return false;
		last = first;
		if (dash && !read_whole(dash + 1, first, k->max, &last))
			return false;
		for (uint32_t a = first; a <= last; a++)
			if (!add_address(s, a))
				return false;
		text += n;
	} while (*text++);
	return true;
}

static bool read_alarms(const char *text, struct alarm_list *out)
{
	do {
		size_t n = strcspn(text, "+");

		if (!n || n >= sizeof(out->name[0]) || out->n == SCENARIO_ALARMS)
			return false;
		memcpy(out->name[out->n], text, n);
		out->name[out->n++][n] = 0;
		text += n;
	} while (*text++);
	return true;
}

static bool read_text(const char *text, char *out, size_t size)
{
	size_t n = strlen(text);

	if (!n || n >= size)
		return false;
	memcpy(out, text, n + 1);
	return true;
}

static bool read_hex(const char *text, uint8_t *out, size_t size, unsigned *n)
{
	int got = bytes_from_hex(text, out, size);

	*n = got > 0 ? (unsigned)got : 0;
	return got > 0;
}

static bool read_byte(const char *text, int32_t *out)
{
	uint8_t byte;
	unsigned n;

	if (!read_hex(text, &byte, 1, &n))
		return false;
	*out = byte;
	return true;
}

static bool read_value(const struct key *k, const char *text, struct scenario *s, void *base)
{
	void *member = (char *)base + k->member;
	int place;

	switch (k->type) {
	case KEY_FLAG:
		return read_flag(text, member);
	case KEY_INTEGER:
		return (!k->choices || read_word(text, k->choices, &place)) && read_whole(text, k->min, k->max, member);
	case KEY_NUMBER:
		return read_number(text, k->min, k->max, member);
	case KEY_EVERY:
		return read_every(k, text, member);
	case KEY_WORD:
		return read_word(text, k->choices, member);
	case KEY_TEXT:
		return read_text(text, member, SCENARIO_TEXT);
	case KEY_PATH:
		return read_text(text, member, SCENARIO_PATH);
	case KEY_DIGITS:
		return strlen(text) == 6 && strspn(text, "0123456789") == 6 && read_text(text, member, 8);
	case KEY_CURRENT:
		return read_current(k, text, s);
	case KEY_ALARMS:
		return read_alarms(text, member);
	case KEY_ADDRESSES:
		return read_addresses(k, text, s);
	case KEY_BYTE:
		return read_byte(text, member);
	case KEY_GARBAGE:
		return read_hex(text, s->garbage, sizeof(s->garbage), &s->garbage_n);
	}
	return false;
}

/* ---- the whole text ---- */

static void set_usual(struct scenario *s, const struct kind *kind)
{
	const struct key *k;
	void *base;

	memset(s, 0, sizeof(*s));
	s->kind = kind;
	s->cells = kind->cells;
	s->ntc = kind->sensors;
	s->capacity = kind->capacity;
	s->baud = kind->baud;
	s->sleep = s->unplug = s->replug = -1;
	for (unsigned i = 0; (k = key_at(s, i, &base)); i++)
		if (k->usual)
			read_value(k, k->usual, s, base);
}

static bool unknown_key(struct scenario *s, const struct complaint *c, const char *name)
{
	const struct key *k;
	void *base;
	char known[1024] = "";

	for (unsigned i = 0; (k = key_at(s, i, &base)); i++) {
		size_t n = strlen(known);

		snprintf(known + n, sizeof(known) - n, " %s", k->name);
	}
	return complain(c, "no key '%s' here; there are%s", name, known);
}

static bool set_key(struct scenario *s, char *text, const struct complaint *c)
{
	char *value = strchr(text, '=');

	if (value)
		*value++ = 0;
	void *base;
	const struct key *k = key_find(s, text, &base);
	if (!k)
		return unknown_key(s, c, text);
	if (!value && k->type != KEY_FLAG)
		return not_allowed(c, k, "");
	if (!read_value(k, value ? value : "on", s, base))
		return not_allowed(c, k, value);
	return true;
}

/* The length of the first item of "key=value,key=value": a list of numbers goes on behind its commas. */
static size_t item_length(const char *text)
{
	size_t n = strcspn(text, ",");

	while (text[n]) {
		size_t next = strcspn(text + n + 1, ",");

		if (!next || strspn(text + n + 1, "0123456789-") != next)
			break;
		n += 1 + next;
	}
	return n;
}

static bool check_alarms(const struct scenario *s, const struct alarm_list *list, const char *key,
			 enum battery_alarm_level level, const struct complaint *c)
{
	char known[1024] = "";

	for (unsigned i = 0; i < list->n; i++) {
		bool found = false;

		for (unsigned j = 0; j < s->kind->n_alarms; j++) {
			const struct alarm_bit *a = &s->kind->alarms[j];
			const char *name = a->own_name ? a->own_name : battery_alarm_name(a->alarm);
			size_t n = strlen(known);

			if (a->level != level)
				continue;
			found = found || !strcmp(name, list->name[i]);
			if (n < strlen(name) || strcmp(known + n - strlen(name), name)) /* some have two bits */
				snprintf(known + n, sizeof(known) - n, " %s", name);
		}
		if (!found)
			return complain(c, "%s=%s: allowed is%s", key, list->name[i], known);
	}
	return true;
}

static bool check_addresses(struct scenario *s, const struct complaint *c)
{
	const char *alone = s->kind->alone ? s->kind->alone(s) : NULL;

	if (alone && (s->addresses || s->packs > 1))
		return complain(c, "packs and addresses need %s", alone);
	if (alone || !s->kind->addressed)
		return true;
	if (!s->addresses)
		for (unsigned i = 0; i < s->packs; i++)
			add_address(s, s->kind->address_first + i);
	else if (s->packs > 1 && s->packs != s->addresses)
		return complain(c, "packs=%u, but %u addresses", (unsigned)s->packs, s->addresses);
	s->packs = s->addresses;
	for (unsigned i = 0; i < s->addresses; i++)
		if (s->address[i] < s->kind->address_min || s->address[i] > s->kind->address_max)
			return complain(c, "address %u: allowed is %u..%u", s->address[i], s->kind->address_min,
					s->kind->address_max);
	return true;
}

/* A CAN controller lets no damaged frame through. */
static bool check_can(const struct scenario *s, const struct complaint *c)
{
	if (!s->kind->can)
		return true;
	if (s->echo || s->noise > 0 || s->garbage_n || s->cut.nth || s->chunk.nth || s->badsum || s->lose || s->flip)
		return complain(c, "echo, noise, garbage, cut, chunk, badsum, lose, flip: not on CAN");
	if (!*s->link || strchr(s->link, '/'))
		return complain(c, "link: a CAN interface is needed, as in link=vcan0");
	return true;
}

static bool check(struct scenario *s, const struct complaint *c)
{
	if (s->cells > s->kind->max_cells)
		return complain(c, "cells=%u: allowed is 1..%u", (unsigned)s->cells, s->kind->max_cells);
	if (s->ntc > s->kind->max_sensors)
		return complain(c, "ntc=%u: allowed is 0..%u", (unsigned)s->ntc, s->kind->max_sensors);
	if (s->weak.nth > s->cells)
		return complain(c, "weak=%u: there are %u cells", (unsigned)s->weak.nth, (unsigned)s->cells);
	if (s->weak.nth && s->weak.arg > 100)
		return complain(c, "weak=%u:%u: allowed is 1..100 %%", (unsigned)s->weak.nth, (unsigned)s->weak.arg);
	if (s->noise >= 1 && floor(s->noise) != s->noise)
		return complain(c, "noise=%g: allowed is a probability below 1 or a whole number", s->noise);
	if (s->replug >= 0 && s->unplug < 0)
		return complain(c, "replug: needs unplug");
	if (s->cycling && s->current <= 0)
		s->current = fmin(s->capacity / 4, 120); /* what any board here passes */
	return check_can(s, c) && check_addresses(s, c) && check_alarms(s, &s->alarm, "alarm", ALARM, c) &&
	       check_alarms(s, &s->warning, "warning", WARNING, c);
}

bool scenario_parse(struct scenario *s, const char *text, char *why, size_t size)
{
	char item[SCENARIO_PATH + 64];
	size_t n = strcspn(text, ",");
	struct complaint c = {why, size, s};

	snprintf(item, sizeof(item), "%.*s", (int)n, text);
	const struct kind *kind = kind_find(item);
	if (!kind) {
		size_t used = (size_t)snprintf(why, size, "no protocol '%.40s'; there are", item);

		for (unsigned i = 0; kind_at(i) && used < size; i++)
			used += (size_t)snprintf(why + used, size - used, " %s", kind_at(i)->id);
		return false;
	}
	set_usual(s, kind);
	for (text += n; *text; text += n) {
		n = item_length(++text);
		if (n >= sizeof(item))
			return complain(&c, "'%.20s...' is too long", text);
		memcpy(item, text, n);
		item[n] = 0;
		if (!set_key(s, item, &c))
			return false;
	}
	return check(s, &c);
}

static void list_key(const struct key *k, FILE *out)
{
	char range[160];

	allowed(k, range, sizeof(range));
	fprintf(out, "  %-12s %-28s %-9s", k->name, range, k->usual ? k->usual : "-");
}

void scenario_list(FILE *out)
{
	for (unsigned i = 0; kind_at(i); i++) {
		const struct kind *k = kind_at(i);

		fprintf(out, "%s%s%s\t%u %s\t%s\n", k->id, strcmp(k->id, k->alias) ? " or " : "",
			strcmp(k->id, k->alias) ? k->alias : "", (unsigned)k->baud, k->can ? "bit/s" : "baud",
			k->about);
	}
	for (unsigned i = 0; i < COMMON; i++) {
		list_key(&common[i].key, out);
		if (common[i].on == ON_A_BUS)
			fprintf(out, "[kinds with addresses] ");
		else if (common[i].on == SENSORS_VARY)
			fprintf(out, "[where their number varies] ");
		fprintf(out, "%s\n", common[i].key.help);
	}
	for (unsigned i = 0; kind_at(i); i++) {
		for (unsigned j = 0; j < kind_at(i)->n_keys; j++) {
			list_key(&kind_at(i)->keys[j], out);
			fprintf(out, "[%s] %s\n", kind_at(i)->alias, kind_at(i)->keys[j].help);
		}
	}
}
