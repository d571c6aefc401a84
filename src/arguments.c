/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "arguments.h"

#include <getopt.h>
#include <math.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "config.h"

static const char usage_text[] =
	"usage: bmscope [OPTION]... [PORT]...        the screen\n"
	"       bmscope --daemon [OPTION]... [PORT]...  headless, on D-Bus\n"
	"       bmscope COMMAND [OPTION]... [ARGUMENT]...\n"
	"\n"
	"Without PORT every serial port of this machine is looked at. An SPI bus is spi:/dev/spidev0.0.\n"
	"\n"
	"commands\n"
	"  scan                     what hangs on which port, and how that was found out\n"
	"  read                     one reading of every battery (--json, --watch)\n"
	"  set WHAT VALUE           soc 0..100, charge on|off, discharge on|off, balance on|off\n"
	"  record FILE              keep every byte with its time; --replay FILE looks at it again\n"
	"  decode FILE|-            readings from captured bytes, no port needed (--check)\n"
	"  limits FILE|-            charge limits from a sequence of readings, no port needed\n"
	"  config check|show|default\n"
	"  protocols                what is known, and what each can report and do (--json, --markdown)\n"
	"  shell                    a line console\n"
	"  demo                     the screen on simulated batteries\n"
	"\n"
	"options\n"
	"  -c, --config FILE        configuration (default: /etc/bmscope/config.ini, if it is there)\n"
	"  -p, --port PORT          a port (also without this option); may be repeated\n"
	"      --protocol NAME      try only these protocols, comma separated\n"
	"      --address LIST       only these addresses: 1,3,0x10 or 1-4\n"
	"      --poll SECONDS       how often a battery is asked\n"
	"      --replay FILE        a recording in place of a port; --speed N, 0 = at once\n"
	"      --read-only          refuse every command\n"
	"      --experimental       allow commands that were never proven on hardware\n"
	"      --can-up             bring CAN interfaces up and find their bit rate (needs root)\n"
	"      --yes                do not ask before a command\n"
	"      --json               machine-readable output\n"
	"      --watch              go on, one output a poll; --count N, --seconds N end it\n"
	"      --quick              scan: only the first, quick sweep\n"
	"      --bus BUS            daemon: system, session or a D-Bus address\n"
	"      --session            the same as --bus session\n"
	"      --state-dir DIR      where journal and state are kept\n"
	"  -v, --verbose            say more on standard error\n"
	"  -h, --help   -V, --version\n"
	"\n"
	"exit codes: 0 done, 1 nothing found or not confirmed, 2 usage or configuration, 3 the port failed\n";

enum {
	OPT_PROTOCOL = 256,
	OPT_ADDRESS,
	OPT_POLL,
	OPT_REPLAY,
	OPT_SPEED,
	OPT_READ_ONLY,
	OPT_EXPERIMENTAL,
	OPT_CAN_UP,
	OPT_YES,
	OPT_JSON,
	OPT_WATCH,
	OPT_COUNT,
	OPT_SECONDS,
	OPT_QUICK,
	OPT_BUS,
	OPT_SESSION,
	OPT_STATE_DIR,
	OPT_DAEMON,
	OPT_CHECK,
	OPT_MODE,
	OPT_MARKDOWN,
};

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"port", required_argument, NULL, 'p'},
	{"protocol", required_argument, NULL, OPT_PROTOCOL},
	{"address", required_argument, NULL, OPT_ADDRESS},
	{"poll", required_argument, NULL, OPT_POLL},
	{"replay", required_argument, NULL, OPT_REPLAY},
	{"speed", required_argument, NULL, OPT_SPEED},
	{"read-only", no_argument, NULL, OPT_READ_ONLY},
	{"experimental", no_argument, NULL, OPT_EXPERIMENTAL},
	{"can-up", no_argument, NULL, OPT_CAN_UP},
	{"yes", no_argument, NULL, OPT_YES},
	{"json", no_argument, NULL, OPT_JSON},
	{"watch", no_argument, NULL, OPT_WATCH},
	{"count", required_argument, NULL, OPT_COUNT},
	{"seconds", required_argument, NULL, OPT_SECONDS},
	{"quick", no_argument, NULL, OPT_QUICK},
	{"bus", required_argument, NULL, OPT_BUS},
	{"session", no_argument, NULL, OPT_SESSION},
	{"state-dir", required_argument, NULL, OPT_STATE_DIR},
	{"daemon", no_argument, NULL, OPT_DAEMON},
	{"check", no_argument, NULL, OPT_CHECK},
	{"markdown", no_argument, NULL, OPT_MARKDOWN},
	{"mode", required_argument, NULL, OPT_MODE},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static const struct command_word {
	const char *name;
	enum face face;
	unsigned min_words, max_words;
	const char *needs;
	bool ports_follow; /* further arguments are ports */
} command_words[] = {
	{"scan", FACE_SCAN, 0, 0, "", true},
	{"read", FACE_READ, 0, 0, "", true},
	{"set", FACE_SET, 1, 2, "WHAT and VALUE, as in \"set charge off\"", true},
	{"record", FACE_RECORD, 1, 1, "the file to write", true},
	{"decode", FACE_DECODE, 1, 1, "a file of captured bytes, or - for standard input", false},
	{"limits", FACE_LIMITS, 1, 1, "a file of readings, or - for standard input", false},
	{"config", FACE_CONFIG, 1, 2, "check, show or default", false},
	{"protocols", FACE_PROTOCOLS, 0, 0, "", false},
	{"shell", FACE_SHELL, 0, 0, "", true},
	{"demo", FACE_DEMO, 0, 0, "", false},
};

/* ---- values ---- */

__attribute__((format(printf, 1, 2))) static int bad(const char *format, ...)
{
	va_list args;

	fputs("bmscope: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("\nTry `bmscope --help`.\n", stderr);
	return 2;
}

static bool parse_number(const char *text, double lo, double hi, double *out)
{
	char *end;

	*out = strtod(text, &end);
	return end != text && !*end && isfinite(*out) && *out >= lo && *out <= hi;
}

static bool parse_address(const char **text, unsigned long *out)
{
	char *end;

	if (**text < '0' || **text > '9')
		return false;
	*out = strtoul(*text, &end, 0);
	if (end == *text || *out > 255)
		return false;
	*text = end;
	return true;
}

/* "1,3,0x10" or "1-4" */
static bool parse_addresses(struct arguments *a, const char *text)
{
	while (*text) {
		unsigned long first, last;

		if (!parse_address(&text, &first))
			return false;
		last = first;
		if (*text == '-') {
			text++;
			if (!parse_address(&text, &last) || last < first)
				return false;
		}
		for (unsigned long i = first; i <= last && a->address_count < sizeof(a->address); i++)
			a->address[a->address_count++] = (uint8_t)i;
		if (*text == ',')
			text++;
		else if (*text)
			return false;
	}
	return a->address_count > 0;
}

static bool selects(const struct protocol *p, const char *name)
{
	if (!strcasecmp(p->id, name))
		return true;
	for (const char *const *type = p->bms_types; type && *type; type++)
		if (!strcasecmp(*type, name))
			return true;
	return false;
}

bool arguments_protocols(struct arguments *a, const char *list, char *why, size_t size)
{
	char copy[512];
	char *save = NULL;
	unsigned n = 0;

	while (a->protocol[n])
		n++;
	snprintf(copy, sizeof(copy), "%s", list);
	for (char *name = strtok_r(copy, ", ", &save); name; name = strtok_r(NULL, ", ", &save)) {
		bool any = false;

		for (unsigned i = 0; protocols_all()[i]; i++) {
			if (!selects(protocols_all()[i], name))
				continue;
			any = true;
			if (n < MAX_ARGUMENT_PROTOCOLS)
				a->protocol[n++] = protocols_all()[i];
		}
		if (any)
			continue;
		int length = snprintf(why, size, "no protocol is called \"%s\"; known:", name);
		for (unsigned i = 0; protocols_all()[i] && length > 0 && (size_t)length < size; i++)
			length += snprintf(why + length, size - (size_t)length, " %s", protocols_all()[i]->id);
		return false;
	}
	return true;
}

/* ---- options and words ---- */

static int take_option(struct arguments *a, int option, const char *value)
{
	char why[512];
	double number;

	switch (option) {
	case 'c':
		a->config = value;
		return 0;
	case 'p':
		if (a->port_count == MAX_ARGUMENT_PORTS)
			return bad("more than %d ports", MAX_ARGUMENT_PORTS);
		a->port[a->port_count++] = value;
		return 0;
	case OPT_PROTOCOL:
		return arguments_protocols(a, value, why, sizeof(why)) ? 0 : bad("--protocol: %s", why);
	case OPT_ADDRESS:
		return parse_addresses(a, value) ? 0 : bad("--address: \"%s\" is no list such as 1,3,0x10 or 1-4", value);
	case OPT_POLL:
		return parse_number(value, 0.1, 3600, &a->poll_s)
			       ? 0
			       : bad("--poll: \"%s\" is no number of seconds from 0.1 to 3600", value);
	case OPT_SECONDS:
		return parse_number(value, 0, 1e9, &a->seconds) ? 0 : bad("--seconds: \"%s\" is no number", value);
	case OPT_SPEED:
		return parse_number(value, 0, 1000, &a->replay_speed)
			       ? 0
			       : bad("--speed: \"%s\" is no number from 0 (at once) to 1000", value);
	case OPT_COUNT:
		if (!parse_number(value, 1, 1e9, &number) || number != floor(number))
			return bad("--count: \"%s\" is no whole number from 1", value);
		a->count = (unsigned)number;
		return 0;
	case OPT_REPLAY:
		a->replay = value;
		return 0;
	case OPT_BUS:
		a->bus = value;
		return 0;
	case OPT_STATE_DIR:
		a->state_dir = value;
		return 0;
	case OPT_MODE:
		a->mode = value;
		return strcmp(value, "step") && strcmp(value, "linear") ? bad("--mode: \"%s\" is neither step nor linear", value)
									: 0;
	default:
		return 0;
	}
}

static void take_switch(struct arguments *a, int option)
{
	switch (option) {
	case OPT_READ_ONLY:
		a->read_only = true;
		break;
	case OPT_EXPERIMENTAL:
		a->experimental = true;
		break;
	case OPT_CAN_UP:
		a->can_up = true;
		break;
	case OPT_YES:
		a->yes = true;
		break;
	case OPT_JSON:
		a->json = true;
		break;
	case OPT_WATCH:
		a->watch = true;
		break;
	case OPT_QUICK:
		a->quick = true;
		break;
	case OPT_MARKDOWN:
		a->markdown = true;
		break;
	case OPT_CHECK:
		a->check = true;
		break;
	case OPT_DAEMON:
		a->face = FACE_DAEMON;
		break;
	case OPT_SESSION:
		a->bus = "session";
		break;
	case 'v':
		a->verbose = true;
		break;
	default:
		break;
	}
}

static const struct command_word *find_command(const char *word)
{
	for (size_t i = 0; i < sizeof(command_words) / sizeof(command_words[0]); i++)
		if (!strcmp(command_words[i].name, word))
			return &command_words[i];
	return NULL;
}

static bool looks_like_port(const char *word)
{
	char path[256];

	snprintf(path, sizeof(path), "/dev/%s", word);
	return strpbrk(word, "/:") || !access(path, F_OK) || !strncmp(word, "tty", 3) || !strncmp(word, "can", 3) ||
	       if_nametoindex(word);
}

static int take_words(struct arguments *a, int n, char **word)
{
	const struct command_word *c = n ? find_command(word[0]) : NULL;
	unsigned max = c ? c->max_words : 0;

	if (c && a->face == FACE_DAEMON)
		return bad("--daemon and \"%s\" exclude each other", c->name);
	if (c)
		a->face = c->face;
	for (int i = c != NULL; i < n; i++) {
		if (a->word_count < max) {
			a->word[a->word_count++] = word[i];
			continue;
		}
		if (c && !c->ports_follow)
			return bad("\"%s\" takes no argument \"%s\"", c->name, word[i]);
		/* A word that is no path and no device is more likely a mistyped command than a port. */
		if (!c && !looks_like_port(word[i]))
			return bad("\"%s\" is neither a command nor a port", word[i]);
		int error = take_option(a, 'p', word[i]);
		if (error)
			return error;
	}
	if (c && a->word_count < c->min_words)
		return bad("\"%s\" needs %s", c->name, c->needs);
	return 0;
}

int arguments_parse(int argc, char **argv, struct arguments *a)
{
	int option, error;

	*a = (struct arguments){.replay_speed = 1, .poll_s = NAN, .seconds = NAN};
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":c:p:vhV", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			fputs(usage_text, stdout);
			return 0;
		case 'V':
			puts("bmscope " PACKAGE_VERSION);
			return 0;
		case ':':
			return bad("%s needs a value", argv[optind - 1]);
		case '?':
			if (optopt && optopt < 256)
				return bad("there is no option -%c", optopt);
			return bad("there is no option %s", argv[optind - 1]);
		default:
			error = take_option(a, option, optarg);
			if (error)
				return error;
			take_switch(a, option);
		}
	}
	error = take_words(a, argc - optind, argv + optind);
	return error ? error : -1;
}
