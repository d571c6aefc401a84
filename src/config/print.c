/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of options as a file to start from, and as a manual page. */
#include <ctype.h>
#include <string.h>

#include "config/options.h"

#define FILE_WIDTH 100

/* Writes text as comment lines of the file. */
static void print_comment(FILE *to, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (!column || column + 1 + n > FILE_WIDTH) {
			fprintf(to, "%s; ", column ? "\n" : "");
			column = 2;
		} else {
			fputc(' ', to);
			column++;
		}
		fwrite(text, 1, n, to);
		column += n;
		text += n + (text[n] == ' ');
	}
	fputc('\n', to);
}

/* "number 0.5 to 5, V; empty: never" */
static void describe(const struct option *o, char *text, size_t size)
{
	char allowed[200];

	option_allowed(o, allowed, sizeof(allowed));
	if (o->empty) { /* said better here */
		char *nothing = strstr(allowed, ", or nothing");

		if (nothing)
			*nothing = 0;
	}
	snprintf(text, size, "%c%s%s%s%s%s%s", toupper((unsigned char)allowed[0]), allowed + 1, o->unit ? " " : "",
		 o->unit ? o->unit : "", o->empty ? "; empty: " : "", o->empty ? o->empty_means : "",
		 o->used & USED_NOBODY ? "; accepted, without effect in bmscope" : "");
}

void config_print_default(FILE *to)
{
	char text[400];

	print_comment(
		to,
		"Configuration of bmscope: every option with its default. Only what differs needs to be kept. A "
		"comment "
		"stands on a line of its own, never behind a value. `bmscope config check` says what is wrong with a "
		"file, bmscope.ini(5) explains sections for single packs.");
	fputs("\n[DEFAULT]\n", to);
	for (unsigned i = 0; i < CONFIG_OPTIONS; i++) {
		const struct option *o = option_at(i);

		if (o->heading)
			fprintf(to, "\n; ---- %s ----\n", o->heading);
		fputc('\n', to);
		print_comment(to, o->help);
		describe(o, text, sizeof(text));
		print_comment(to, text);
		fprintf(to, "%s =%s%s\n", o->name, o->initial[0] ? " " : "", o->initial);
	}
}

/* ---- manual page ---- */

/* Text for roff: hyphens that may be copied, no accidental requests. */
static void print_roff(FILE *to, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", to);
	for (; *text; text++)
		if (*text == '-')
			fputs("\\-", to);
		else if (*text == '\\')
			fputs("\\e", to);
		else
			fputc(*text, to);
	fputc('\n', to);
}

static const char manual_head[] =
	".\\\" Written by `bmscope config man`; the text of the options is that of the program.\n"
	".TH BMSCOPE.INI 5 2026-11-24 bmscope \"File formats\"\n"
	".SH NAME\n"
	"bmscope.ini \\- configuration of bmscope\n"
	".SH SYNOPSIS\n"
	".I /etc/bmscope/config.ini,\n"
	"or the file that\n"
	".B bmscope \\-c\n"
	"names\n"
	".SH DESCRIPTION\n"
	"A file of lines\n"
	".IR NAME \" = \" value\n"
	"in the section\n"
	".BR [DEFAULT] ,\n"
	"which must begin it. Option names are those of dbus\\-serialbattery, whose config.ini can be used\n"
	"unchanged. What is not given has its default.\n"
	".PP\n"
	"A line that begins with ; or # is a comment. There are no comments behind a value, no continued lines\n"
	"and no substitutions; a % means itself. Blanks around names and values do not matter. The text is UTF\\-8.\n"
	".PP\n"
	"A switch is\n"
	".BR True \" or \" False ,\n"
	"also yes or no, on or off, 1 or 0. Numbers have a decimal point, whatever the language of the system.\n"
	"The elements of a list are separated by commas.\n"
	".PP\n"
	"A file with an error is refused as a whole, with the line and what would be right;\n"
	".B bmscope config check\n"
	"does that without starting anything,\n"
	".B bmscope config show\n"
	"prints what is in force and where it comes from, and\n"
	".B bmscope config default\n"
	"prints a file of all defaults.\n"
	".SH SINGLE PACKS\n"
	"Further sections go over\n"
	".B [DEFAULT]\n"
	"for some packs only:\n"
	".BI [protocol: ID ]\n"
	"for those that speak a protocol,\n"
	".BI [port: NAME ]\n"
	"for those on a port, and\n"
	".BI [pack: SERIAL ]\n"
	"for the one with this serial number. Where several fit, the later of these three wins. Options marked\n"
	".I whole program\n"
	"below are not allowed there.\n"
	".SH OPTIONS\n";

static const char manual_foot[] = ".SH FILES\n"
				  ".I /etc/bmscope/config.ini\n"
				  ".SH SEE ALSO\n"
				  ".BR bmscope (1)\n";

void config_print_manual(FILE *to)
{
	char text[400];

	fputs(manual_head, to);
	for (unsigned i = 0; i < CONFIG_OPTIONS; i++) {
		const struct option *o = option_at(i);

		if (o->heading)
			fprintf(to, ".SS \"%s\"\n", o->heading);
		fprintf(to, ".TP\n.BR %s \" = ", o->name);
		fprintf(to, "%s\"\n", o->initial);
		print_roff(to, o->help);
		describe(o, text, sizeof(text));
		if (o->global)
			strncat(text, "; whole program", sizeof(text) - strlen(text) - 1);
		strncat(text, ".", sizeof(text) - strlen(text) - 1);
		fputs(".br\n", to);
		print_roff(to, text);
	}
	fputs(manual_foot, to);
}
