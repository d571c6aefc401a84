/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a file to the configuration of the program, or of one pack. */
#include <config.h> /* POSIX */

#include "config/config.h"

#include <stdlib.h>
#include <string.h>

#include "config/internal.h"
#include "config/suggest.h"
#include "config/value.h"

/* ---- one configuration ---- */

void config_defaults(struct config *c)
{
	char why[CONFIG_MAX_PROBLEM];

	memset(c, 0, sizeof(*c));
	for (unsigned i = 0; i < CONFIG_OPTIONS; i++)
		value_set(option_at(i), option_at(i)->initial, c, why, sizeof(why));
}

bool config_set(struct config *c, const char *name, const char *value, char *why, size_t size)
{
	const struct option *o = option_by_name(name);
	char say[CONFIG_MAX_TEXT * 2], shown[64];

	if (!o) {
		suggest_option(name, say, sizeof(say));
		snprintf(why, size, "%s: unknown option%s%s", value_shown(name, shown, sizeof(shown)),
			 say[0] ? "; " : "", say);
		return false;
	}
	if (value_set(o, value, c, say, sizeof(say)) != VALUE_REFUSED)
		return true;
	snprintf(why, size, "%s: %s", name, say);
	return false;
}

/* ---- sections ---- */

static const char *without_dev(const char *port)
{
	return strncmp(port, "/dev/", 5) ? port : port + 5;
}

/* port, serial, protocol: of the pack, NULL = not known. */
static bool section_fits(const struct section *s, const char *port, const char *serial, const char *protocol)
{
	switch (s->kind) {
	case SECTION_DEFAULT:
		return true;
	case SECTION_PROTOCOL:
		return protocol && !strcmp(protocol, s->key);
	case SECTION_PORT:
		return port && !strcmp(without_dev(port), without_dev(s->key));
	case SECTION_PACK:
		return serial && !strcmp(serial, s->key);
	}
	return false;
}

static void apply_section(const struct section *s, struct config *c, struct config_origin *origin)
{
	char why[CONFIG_MAX_PROBLEM];

	for (unsigned i = 0; i < s->count; i++) {
		const struct assignment *a = &s->assignment[i];

		value_set(a->option, a->value, c, why, sizeof(why));
		if (origin)
			origin[option_index(a->option)] = (struct config_origin){.line = a->line, .section = s->name};
	}
}

/* What the sections say, in the order of enum section_kind, before check_config(). */
static bool apply_sections(const struct configuration *conf, const char *port, const char *serial, const char *protocol,
			   struct config *c, struct config_origin *origin)
{
	bool special = false;

	config_defaults(c);
	for (unsigned i = 0; origin && i < CONFIG_OPTIONS; i++)
		origin[i] = (struct config_origin){.section = "DEFAULT"};
	for (int kind = SECTION_DEFAULT; kind <= SECTION_PACK; kind++)
		for (unsigned i = 0; i < conf->count; i++) {
			const struct section *s = &conf->section[i];

			if ((int)s->kind != kind || !section_fits(s, port, serial, protocol))
				continue;
			apply_section(s, c, origin);
			special = special || kind != SECTION_DEFAULT;
		}
	return special;
}

bool configuration_for(const struct configuration *conf, const char *port, const char *serial, const char *protocol,
		       struct config *c, struct config_origin *origin)
{
	struct config_report report = {0};
	bool special = apply_sections(conf, port, serial, protocol, c, origin);
	struct config said = *c;

	check_config(c, origin, NULL, &report);
	config_report_free(&report);
	for (unsigned i = 0; origin && i < CONFIG_OPTIONS; i++) {
		const struct option *o = option_at(i);

		origin[i].mended = memcmp((char *)c + o->offset, (char *)&said + o->offset, o->size) != 0;
	}
	return special;
}

/* ---- loading ---- */

static unsigned count_of(const struct configuration *conf, enum section_kind kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < conf->count; i++)
		n += conf->section[i].kind == kind;
	return n;
}

/* The key of the i-th section of this kind, from 1; NULL for 0: none of them. */
static const char *key_of(const struct configuration *conf, enum section_kind kind, unsigned i)
{
	for (unsigned s = 0; i && s < conf->count; s++)
		if (conf->section[s].kind == kind && !--i)
			return conf->section[s].key;
	return NULL;
}

static void check_combination(const struct configuration *conf, const char *port, const char *serial,
			      const char *protocol, const struct config_names *names, struct config_report *report)
{
	struct config_origin origin[CONFIG_OPTIONS];
	struct config c;

	apply_sections(conf, port, serial, protocol, &c, origin);
	check_config(&c, origin, names, report);
}

/* Every combination of one section of each kind or none, [DEFAULT] alone first. */
static void check_combinations(const struct configuration *conf, const struct config_names *names,
			       struct config_report *report)
{
	for (unsigned i = 0; i <= count_of(conf, SECTION_PROTOCOL); i++)
		for (unsigned j = 0; j <= count_of(conf, SECTION_PORT); j++)
			for (unsigned k = 0; k <= count_of(conf, SECTION_PACK); k++)
				check_combination(conf, key_of(conf, SECTION_PORT, j), key_of(conf, SECTION_PACK, k),
						  key_of(conf, SECTION_PROTOCOL, i), names, report);
}

/* NULL: no memory. */
static struct configuration *configuration_new(void)
{
	struct configuration *conf = calloc(1, sizeof(*conf));
	struct section *base = calloc(1, sizeof(*base));
	char *name = strdup("DEFAULT");

	if (!conf || !base || !name) {
		free(conf);
		free(base);
		free(name);
		return NULL;
	}
	*base = (struct section){.kind = SECTION_DEFAULT, .name = name, .key = ""};
	*conf = (struct configuration){.section = base, .count = 1};
	return conf;
}

void configuration_free(struct configuration *conf)
{
	for (unsigned i = 0; conf && i < conf->count; i++) {
		struct section *s = &conf->section[i];

		for (unsigned j = 0; j < s->count; j++)
			free(s->assignment[j].value);
		free(s->assignment);
		free(s->name);
	}
	if (conf)
		free(conf->section);
	free(conf);
}

static struct configuration *load(const char *path, bool sections, const struct config_names *names,
				  struct config_report *report)
{
	struct configuration *conf = configuration_new();

	memset(report, 0, sizeof(*report));
	if (!conf) {
		report_add(report, CONFIG_ERROR, 0, "out of memory");
		return NULL;
	}
	if (path) {
		snprintf(report->file, sizeof(report->file), "%s", path);
		file_read(conf, path, sections, names, report);
	}
	check_combinations(conf, names, report);
	report_sort(report);
	if (!report->errors)
		return conf;
	configuration_free(conf);
	return NULL;
}

struct configuration *configuration_load(const char *path, const struct config_names *names,
					 struct config_report *report)
{
	return load(path, true, names, report);
}

int config_load(struct config *c, const char *path, struct config_report *report)
{
	struct configuration *conf = load(path, false, NULL, report);

	if (!conf)
		return -1;
	configuration_for(conf, NULL, NULL, NULL, c, NULL);
	configuration_free(conf);
	return 0;
}

const char *configuration_section(const struct configuration *conf, unsigned i)
{
	return i + 1 < conf->count ? conf->section[i + 1].name : NULL;
}
