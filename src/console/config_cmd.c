/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <config.h> /* POSIX */

#include "console/config_cmd.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "config/options.h"
#include "protocols/protocol.h"

#define NAMES_SIZE 900 /* of the list of BMS types; a problem's text has room for it */

/* ---- names of protocols ---- */

static bool is_bms_type_of(const struct protocol *p, const char *name)
{
	if (!strcasecmp(p->id, name))
		return true;
	for (const char *const *type = p->bms_types; type && *type; type++)
		if (!strcasecmp(*type, name))
			return true;
	return false;
}

static bool is_bms_type(const char *name)
{
	for (const struct protocol *const *p = protocols_all(); *p; p++)
		if (is_bms_type_of(*p, name))
			return true;
	return false;
}

static bool is_protocol(const char *id)
{
	for (const struct protocol *const *p = protocols_all(); *p; p++)
		if (!strcmp((*p)->id, id))
			return true;
	return false;
}

void config_known_names(struct config_names *names, char *list, size_t size)
{
	size_t n = 0;

	list[0] = 0;
	for (const struct protocol *const *p = protocols_all(); *p && n < size; p++)
		n += (size_t)snprintf(list + n, size - n, "%s%s", n ? ", " : "", (*p)->id);
	*names = (struct config_names){.bms_type = is_bms_type, .protocol = is_protocol, .bms_types = list};
}

/* ---- check ---- */

static int check(const char *path)
{
	struct config_report report;
	struct config_names names;
	char list[NAMES_SIZE];

	if (!path) {
		printf("There is no %s; the defaults are in force.\n", CONFIG_PATH);
		return 0;
	}
	config_known_names(&names, list, sizeof(list));
	struct configuration *conf = configuration_load(path, &names, &report);

	config_report_print(&report, stdout);
	if (report.errors)
		printf("%s: %u error%s; it can't be used\n", path, report.errors, report.errors == 1 ? "" : "s");
	else
		printf("%s: no errors\n", path);
	config_report_free(&report);
	configuration_free(conf);
	return conf ? 0 : 2;
}

/* ---- show ---- */

static void print_origin(const struct config_origin *origin)
{
	if (origin->line)
		printf("line %u", origin->line);
	else
		printf("default");
	puts(origin->mended ? ", corrected" : "");
}

/* The options that come from this section; NULL: all. */
static void print_options(const struct config *c, const struct config_origin *origin, const char *section)
{
	char text[CONFIG_MAX_TEXT * 2];

	for (unsigned i = 0; i < CONFIG_OPTIONS; i++) {
		const struct option *o = option_at(i);

		if (section && (!origin[i].line || strcmp(origin[i].section, section) != 0))
			continue;
		option_text(o, c, text, sizeof(text));
		if (o->secret && text[0])
			snprintf(text, sizeof(text), "(not shown)");
		printf("%-45s %-35s ", o->name, text);
		print_origin(&origin[i]);
	}
}

/* What a section changes for the packs that it fits. */
static void print_section(const struct configuration *conf, const char *name)
{
	struct config_origin origin[CONFIG_OPTIONS];
	struct config c;
	const char *key = strchr(name, ':') + 1;

	configuration_for(conf, strncmp(name, "port:", 5) ? NULL : key, strncmp(name, "pack:", 5) ? NULL : key,
			  strncmp(name, "protocol:", 9) ? NULL : key, &c, origin);
	printf("\n[%s]\n", name);
	print_options(&c, origin, name);
}

static int show(const char *path)
{
	struct config_origin origin[CONFIG_OPTIONS];
	struct config_report report;
	struct config_names names;
	struct config c;
	char list[NAMES_SIZE];
	const char *section;

	config_known_names(&names, list, sizeof(list));
	struct configuration *conf = configuration_load(path, &names, &report);

	config_report_print(&report, stderr);
	config_report_free(&report);
	if (!conf)
		return 2;
	if (path)
		printf("%s\n\n", path);
	else
		printf("There is no %s; the defaults are in force.\n\n", CONFIG_PATH);
	configuration_for(conf, NULL, NULL, NULL, &c, origin);
	print_options(&c, origin, NULL);
	for (unsigned i = 0; (section = configuration_section(conf, i)); i++)
		print_section(conf, section);
	configuration_free(conf);
	return 0;
}

int config_command(const char *what, const char *path)
{
	if (!path && !access(CONFIG_PATH, F_OK))
		path = CONFIG_PATH;
	if (!strcmp(what, "check"))
		return check(path);
	if (!strcmp(what, "show"))
		return show(path);
	if (!strcmp(what, "default")) {
		config_print_default(stdout);
		return 0;
	}
	if (!strcmp(what, "man")) {
		config_print_manual(stdout);
		return 0;
	}
	fprintf(stderr, "bmscope config: \"%s\" is none of check, show, default, man\n", what);
	return 2;
}
