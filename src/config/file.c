/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reads a config.ini (limits.md 16.1). inih takes the lines apart; it is fed one line at a time, so that
 * the number of the line is known when it hands over a name. The value is taken from the line itself:
 * inih would cut it at " ;" and at the end of its own buffer.
 */
#include <config.h> /* POSIX */

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/internal.h"
#include "config/suggest.h"
#include "config/value.h"

#define MAX_LINE 4096
#define MAX_FILE ((size_t)256 * 1024) /* a full file with all its comments has 40 KiB */

struct source {
	FILE *file;
	size_t read; /* bytes so far */
	unsigned line;
	char text[MAX_LINE]; /* the line, without blanks at its ends */
	bool pending;	     /* inih was given text and has found no name in it yet */
	bool begun;	     /* the first line that says something is behind us */
	struct configuration *conf;
	unsigned section; /* index; conf->count: one that does not exist */
	bool sections;
	const struct config_names *names;
	struct config_report *report;
	struct config scratch; /* where values are tried out */
};

/* ---- lines ---- */

static char *trim(char *text)
{
	size_t n;

	text += strspn(text, " \t\r\n\f\v");
	n = strlen(text);
	while (n && strchr(" \t\r\n\f\v", text[n - 1]))
		n--;
	text[n] = 0;
	return text;
}

/* The next byte of a text file; one that has no end is given up. */
static int next_byte(struct source *s)
{
	if (s->read == MAX_FILE) {
		report_add(s->report, CONFIG_ERROR, s->line, "the file has more than %zu KiB; it is no configuration",
			   MAX_FILE / 1024);
		s->read++;
	}
	if (s->read > MAX_FILE)
		return EOF;
	s->read++;
	return fgetc(s->file);
}

/* Reads one line into s->text, blanks removed. False: the file is at its end. */
static bool next_line(struct source *s)
{
	size_t n = 0;
	bool whole = true, zero = false;
	int c = next_byte(s);

	if (c == EOF)
		return false;
	s->line++;
	for (; c != EOF && c != '\n'; c = next_byte(s)) {
		zero = zero || !c;
		if (n + 1 < MAX_LINE)
			s->text[n++] = (char)c;
		else
			whole = false;
	}
	s->text[n] = 0;
	if (zero || !whole) {
		report_add(s->report, CONFIG_ERROR, s->line, "%s",
			   zero ? "the line has a byte 0; this is no text file" : "the line is too long");
		s->text[0] = 0;
	}
	char *text = s->text;

	if (s->line == 1 && !strncmp(text, "\xef\xbb\xbf", 3))
		text += 3;
	text = trim(text);
	memmove(s->text, text, strlen(text) + 1);
	return true;
}

/* ---- sections ---- */

static const struct {
	const char *prefix;
	enum section_kind kind;
} section_kinds[] = {{"protocol:", SECTION_PROTOCOL}, {"port:", SECTION_PORT}, {"pack:", SECTION_PACK}};

/* The section of this name, made if it is new; conf->count: no memory. */
static unsigned section_named(struct configuration *conf, enum section_kind kind, const char *name)
{
	for (unsigned i = 0; i < conf->count; i++)
		if (!strcmp(conf->section[i].name, name))
			return i;
	struct section *more = realloc(conf->section, (conf->count + 1) * sizeof(*more));

	if (!more)
		return conf->count;
	conf->section = more;
	struct section *s = &more[conf->count];

	*s = (struct section){.kind = kind, .name = strdup(name)};
	if (!s->name)
		return conf->count;
	s->key = strchr(s->name, ':') ? strchr(s->name, ':') + 1 : "";
	return conf->count++;
}

/* "pack:1234" -> its section; conf->count: this is none. */
static unsigned override_section(struct source *s, const char *name)
{
	for (unsigned i = 0; s->sections && i < sizeof(section_kinds) / sizeof(section_kinds[0]); i++) {
		size_t n = strlen(section_kinds[i].prefix);

		if (strncmp(name, section_kinds[i].prefix, n) != 0 || !name[n])
			continue;
		if (section_kinds[i].kind == SECTION_PROTOCOL && s->names && s->names->protocol &&
		    !s->names->protocol(name + n))
			report_add(s->report, CONFIG_ERROR, s->line, "[%s]: no protocol has this name", name);
		return section_named(s->conf, section_kinds[i].kind, name);
	}
	return s->conf->count;
}

static void wrong_section(struct source *s)
{
	char shown[80];

	value_shown(s->text, shown, sizeof(shown));
	if (!strncasecmp(s->text, "[DEFAULT]", 9)) {
		report_add(s->report, CONFIG_ERROR, s->line,
			   "[DEFAULT]: wrongly written (got \"%s\"); allowed: exactly \"[DEFAULT]\"", shown);
		s->section = 0;
		return;
	}
	report_add(s->report, CONFIG_ERROR, s->line, "unknown section (got \"%s\"); allowed: \"[DEFAULT]\"%s", shown,
		   s->sections ? ", \"[protocol:ID]\", \"[port:NAME]\", \"[pack:SERIAL]\"" : "");
	s->section = s->conf->count;
}

static void enter_section(struct source *s)
{
	size_t n = strlen(s->text);

	if (!strcmp(s->text, "[DEFAULT]")) {
		s->section = 0;
		return;
	}
	s->section = s->conf->count;
	if (s->text[n - 1] == ']') {
		char name[MAX_LINE];

		snprintf(name, sizeof(name), "%.*s", (int)(n - 2), s->text + 1);
		s->section = override_section(s, trim(name));
	}
	if (s->section == s->conf->count)
		wrong_section(s);
}

/* ---- options ---- */

static const struct assignment *assignment_of(const struct section *s, const struct option *o)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->assignment[i].option == o)
			return &s->assignment[i];
	return NULL;
}

static void assign(struct source *s, const struct option *o, const char *value)
{
	struct section *section = &s->conf->section[s->section];
	struct assignment *more = realloc(section->assignment, (section->count + 1) * sizeof(*more));
	char *copy = strdup(value);

	if (more)
		section->assignment = more;
	if (!more || !copy) {
		free(copy);
		report_add(s->report, CONFIG_ERROR, s->line, "out of memory");
		return;
	}
	more[section->count++] = (struct assignment){o, copy, s->line};
}

static void unknown_option(struct source *s, const char *name)
{
	char say[200], shown[80];

	suggest_option(name, say, sizeof(say));
	report_add(s->report, CONFIG_ERROR, s->line, "%s: unknown option%s%s", value_shown(name, shown, sizeof(shown)),
		   say[0] ? "; " : "", say);
}

/* What is wrong with the value alone. True: it can be taken. */
static bool try_value(struct source *s, const struct option *o, const char *value)
{
	char why[CONFIG_MAX_TEXT * 2], shown[64];

	if (value_has_comment(o, value)) {
		report_add(s->report, CONFIG_ERROR, s->line,
			   "%s: comment behind the value (got \"%s\"); allowed: comments on lines of their own, "
			   "beginning with ; or #",
			   o->name, value_shown(value, shown, sizeof(shown)));
		return false;
	}
	enum value_result result = value_set(o, value, &s->scratch, why, sizeof(why));

	if (result != VALUE_TAKEN)
		report_add(s->report, result == VALUE_MENDED ? CONFIG_WARNING : CONFIG_ERROR, s->line, "%s: %s",
			   o->name, why);
	return result != VALUE_REFUSED;
}

static void take_option(struct source *s, const char *name, const char *value)
{
	const struct option *o = option_by_name(name);

	if (!o) {
		unknown_option(s, name);
		return;
	}
	if (!try_value(s, o, value) || s->section == s->conf->count)
		return;
	const struct assignment *before = assignment_of(&s->conf->section[s->section], o);

	if (before)
		report_add(s->report, CONFIG_ERROR, s->line,
			   "%s: given twice, in line %u and in line %u; allowed: once", o->name, before->line, s->line);
	else if (o->global && s->section)
		report_add(s->report, CONFIG_ERROR, s->line,
			   "%s: concerns the whole program; allowed: only in [DEFAULT]", o->name);
	else
		assign(s, o, value);
}

/* ---- inih ---- */

/* Called by inih for the line that it has just been given. */
static int take_line(void *user, const char *section, const char *name, const char *value)
{
	struct source *s = user;
	char *own_value = strpbrk(s->text, "=:");

	(void)section;
	(void)value;
	if (!*name)
		return 1;
	s->pending = false;
	take_option(s, name, trim(own_value + 1));
	return 1;
}

static void complain_if_pending(struct source *s)
{
	char shown[64];

	if (s->pending)
		report_add(s->report, CONFIG_ERROR, s->line, "not understood (got \"%s\"); allowed: NAME = value",
			   value_shown(s->text, shown, sizeof(shown)));
	s->pending = false;
}

static void expect_default_first(struct source *s)
{
	if (!s->begun && strncasecmp(s->text, "[DEFAULT]", 9) != 0)
		report_add(s->report, CONFIG_ERROR, s->line,
			   "[DEFAULT] is missing; allowed: it must stand before everything but comments");
	s->begun = true;
}

/* Gives inih the lines with an option in them, and an empty one for each of the others. */
static char *feed_line(char *to, int size, void *stream)
{
	struct source *s = stream;

	complain_if_pending(s);
	if (!next_line(s))
		return NULL;
	snprintf(to, (size_t)size, "\n");
	if (!s->text[0] || s->text[0] == ';' || s->text[0] == '#')
		return to;
	expect_default_first(s);
	if (s->text[0] == '[') {
		enter_section(s);
		return to;
	}
	s->pending = true;
	/* Short of its buffer, so that no inih looks for the rest of a long line. */
	snprintf(to, (size_t)size, "%.*s\n", size / 2, s->text);
	return to;
}

void file_read(struct configuration *conf, const char *path, bool sections, const struct config_names *names,
	       struct config_report *report)
{
	struct source s = {.conf = conf, .sections = sections, .names = names, .report = report};

	config_defaults(&s.scratch);
	s.file = fopen(path, "r");
	if (s.file) {
		if (ini_parse_stream(feed_line, &s, take_line, &s) == -2)
			report_add(report, CONFIG_ERROR, 0, "out of memory");
		complain_if_pending(&s);
	}
	if (!s.file || ferror(s.file))
		report_add(report, CONFIG_ERROR, 0, "cannot be read: %s", strerror(errno));
	else if (!s.begun)
		report_add(report, CONFIG_ERROR, s.line, "[DEFAULT] is missing; the file says nothing");
	if (s.file)
		fclose(s.file);
}
