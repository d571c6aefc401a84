/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/registers.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINES = 1024, MAX_VALUE = 512, ANY_ADDRESS = -1 };

struct entry {
	uint16_t key;
	int16_t address;
	uint16_t n;
	uint8_t value[MAX_VALUE];
};

struct registers {
	unsigned n;
	struct entry *entry;
};

/* "KEY[@ADDRESS] HEX"; NULL: it is one, else what is wrong with it. */
static const char *read_entry(char *line, struct entry *out)
{
	char *end;
	unsigned long key = strtoul(line, &end, 16), address;

	if (end == line || key > 0xffff)
		return "no key in hex, 0..FFFF";
	*out = (struct entry){.key = (uint16_t)key, .address = ANY_ADDRESS};
	if (*end == '@') {
		line = end + 1;
		address = strtoul(line, &end, 10);
		if (end == line || address > 255)
			return "no address 0..255 behind the @";
		out->address = (int16_t)address;
	}
	if (!isspace((unsigned char)*end))
		return "no blank behind the key";
	for (char *c = end; *c; c++)
		if (isspace((unsigned char)*c))
			*c = ' ';
	int n = bytes_from_hex(end, out->value, MAX_VALUE);
	if (n < 0)
		return "not whole bytes in hex, or more than 512";
	out->n = (uint16_t)n;
	return NULL;
}

static const char *add_line(struct registers *r, char *line)
{
	line[strcspn(line, "#")] = 0;
	while (isspace((unsigned char)*line))
		line++;
	if (!*line)
		return NULL;
	if (r->n == MAX_LINES)
		return "too many lines";
	struct entry *more = realloc(r->entry, (r->n + 1) * sizeof(*more));
	if (!more)
		return "out of memory";
	r->entry = more;
	const char *wrong = read_entry(line, &more[r->n]);
	if (!wrong)
		r->n++;
	return wrong;
}

struct registers *registers_load(const char *path, char *why, size_t size)
{
	struct registers *r = calloc(1, sizeof(*r));
	FILE *f = fopen(path, "re");
	char line[4 * MAX_VALUE];
	const char *wrong = NULL;
	unsigned number = 0;

	if (!f || !r) {
		snprintf(why, size, "%s: %s", path, strerror(errno));
		wrong = why;
	}
	while (!wrong && fgets(line, sizeof(line), f)) {
		number++;
		wrong = strchr(line, '\n') || feof(f) ? add_line(r, line) : "too long";
		if (wrong)
			snprintf(why, size, "%s: line %u: %s", path, number, wrong);
	}
	if (f)
		fclose(f);
	if (wrong) {
		registers_free(r);
		return NULL;
	}
	return r;
}

void registers_free(struct registers *r)
{
	if (r)
		free(r->entry);
	free(r);
}

static bool holds_for(const struct entry *e, uint8_t address)
{
	return e->address == ANY_ADDRESS || e->address == address;
}

struct bytes registers_get(const struct registers *r, uint16_t key, uint8_t address, unsigned nth)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->entry[i].key == key && holds_for(&r->entry[i], address) && !nth--)
			return (struct bytes){r->entry[i].value, r->entry[i].n};
	return (struct bytes){NULL, 0};
}

bool registers_at(const struct registers *r, unsigned i, uint8_t address, uint16_t *key, struct bytes *value)
{
	unsigned seen = 0;

	for (unsigned j = 0; j < r->n; j++) {
		if (!holds_for(&r->entry[j], address) || seen++ < i)
			continue;
		*key = r->entry[j].key;
		*value = (struct bytes){r->entry[j].value, r->entry[j].n};
		return true;
	}
	return false;
}
