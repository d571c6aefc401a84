/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bmscope-sim: what was asked for on the command line, and the loop that serves the ports. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "sim/port.h"
#include "sim/random.h"

enum exit_code { EXIT_OK, EXIT_FAILED, EXIT_USAGE };

struct simulator {
	struct port **port;
	struct scenario *scenario;
	unsigned ports;
	struct pollfd *poll;
	int notify;
	const char *links; /* directory, or NULL */
	double speed, seconds;
	uint64_t seed;
};

static volatile sig_atomic_t stop_wanted, state_wanted;

static void on_signal(int number)
{
	if (number == SIGUSR1)
		state_wanted = 1;
	else
		stop_wanted = 1;
}

static usec clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (usec)t.tv_sec * SECOND + t.tv_nsec / 1000;
}

/* ---- arguments ---- */

static const char help[] = "Usage: bmscope-sim [--port KIND[,KEY=VALUE...]]... [options]\n"
			   "Simulates battery management systems, each behind a pty whose path it prints\n"
			   "(those on CAN: on the interface that their key `link` names).\n"
			   "\n"
			   "  --port KIND[,KEY=VALUE...]  one more port; without any: one of each serial kind\n"
			   "  --link DIR                  makes a symbolic link to each port in DIR\n"
			   "  --speed X                   batteries live X times as fast (1; 0 = they stand still)\n"
			   "  --seed N                    another number, other cells, delays and noise (1)\n"
			   "  --seconds N                 ends after so long\n"
			   "  --list                      shows all kinds and keys\n"
			   "  --help, --version\n";

static bool add_port(struct simulator *sim, const char *text)
{
	struct scenario *more = realloc(sim->scenario, (sim->ports + 1) * sizeof(*more));
	char why[1536];

	if (!more) {
		fprintf(stderr, "bmscope-sim: out of memory\n");
		return false;
	}
	sim->scenario = more;
	if (!scenario_parse(&more[sim->ports], text, why, sizeof(why))) {
		fprintf(stderr, "bmscope-sim: --port %s\n  %s\n", text, why);
		return false;
	}
	sim->ports++;
	return true;
}

static bool read_option(const char *name, const char *text, double min, double max, double *out)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !isfinite(v) || v < min || v > max) {
		fprintf(stderr, "bmscope-sim: --%s %s: allowed is %g..%g\n", name, text, min, max);
		return false;
	}
	*out = v;
	return true;
}

enum option_code { OPT_PORT = 256, OPT_LINK, OPT_SPEED, OPT_SEED, OPT_SECONDS, OPT_LIST, OPT_HELP, OPT_VERSION };

static const struct option options[] = {
	{"port", required_argument, NULL, OPT_PORT},
	{"link", required_argument, NULL, OPT_LINK},
	{"speed", required_argument, NULL, OPT_SPEED},
	{"seed", required_argument, NULL, OPT_SEED},
	{"seconds", required_argument, NULL, OPT_SECONDS},
	{"list", no_argument, NULL, OPT_LIST},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

/* -1: go on; else the program's exit code. */
static int set_option(struct simulator *sim, int code)
{
	double v;

	switch (code) {
	case OPT_PORT:
		return add_port(sim, optarg) ? -1 : EXIT_USAGE;
	case OPT_LINK:
		sim->links = optarg;
		return -1;
	case OPT_SPEED:
		return read_option("speed", optarg, 0, 100000, &sim->speed) ? -1 : EXIT_USAGE;
	case OPT_SECONDS:
		return read_option("seconds", optarg, 0, 1e9, &sim->seconds) ? -1 : EXIT_USAGE;
	case OPT_SEED:
		if (!read_option("seed", optarg, 0, 1e15, &v))
			return EXIT_USAGE;
		sim->seed = (uint64_t)v;
		return -1;
	case OPT_LIST:
		scenario_list(stdout);
		return EXIT_OK;
	case OPT_HELP:
		fputs(help, stdout);
		return EXIT_OK;
	case OPT_VERSION:
		puts("bmscope-sim " PACKAGE_VERSION);
		return EXIT_OK;
	default:
		fputs("Try 'bmscope-sim --help'.\n", stderr);
		return EXIT_USAGE;
	}
}

static int read_arguments(struct simulator *sim, int argc, char **argv)
{
	int code, result = -1;

	while (result < 0 && (code = getopt_long(argc, argv, "", options, NULL)) != -1)
		result = set_option(sim, code);
	if (result >= 0)
		return result;
	if (optind < argc) {
		fprintf(stderr, "bmscope-sim: what is '%s'? A port is given with --port\n", argv[optind]);
		return EXIT_USAGE;
	}
	for (unsigned i = 0; !sim->ports || (i && kind_at(i)); i++)
		if (!kind_at(i)->can && !add_port(sim, kind_at(i)->id))
			return EXIT_USAGE;
	return -1;
}

/* ---- ports ---- */

/* Links in the directory for those that have none: DIR/protocol, DIR/protocol-2 ... */
static void name_links(struct simulator *sim)
{
	for (unsigned k = 0; sim->links && kind_at(k); k++) {
		unsigned number = 0;

		for (unsigned i = 0; i < sim->ports; i++) {
			struct scenario *s = &sim->scenario[i];

			if (s->kind != kind_at(k) || *s->link)
				continue;
			if (++number == 1)
				snprintf(s->link, sizeof(s->link), "%s/%s", sim->links, s->kind->id);
			else
				snprintf(s->link, sizeof(s->link), "%s/%s-%u", sim->links, s->kind->id, number);
		}
	}
}

static bool open_ports(struct simulator *sim, usec now)
{
	unsigned wanted = sim->ports;
	char why[1536];

	sim->port = calloc(wanted, sizeof(struct port *));
	sim->poll = calloc(wanted + 1, sizeof(*sim->poll));
	for (sim->ports = 0; sim->port && sim->poll && sim->ports < wanted; sim->ports++) {
		unsigned i = sim->ports;
		struct port *p = malloc(sizeof(*p));

		if (!p || !port_open(p, &sim->scenario[i], sim->notify, random_stir(sim->seed + i), sim->speed, now,
				     why, sizeof(why))) {
			fprintf(stderr, "bmscope-sim: port %u: %s\n", i + 1, p ? why : "out of memory");
			free(p);
			return false;
		}
		sim->port[i] = p;
	}
	return sim->ports == wanted;
}

static void print_ports(const struct simulator *sim)
{
	for (unsigned i = 0; i < sim->ports; i++) {
		const struct bus *bus = &sim->port[i]->bus;

		printf("%s\t%s\t", port_path(sim->port[i]), bus->scenario.kind->id);
		if (!bus->scenario.addresses)
			printf("-");
		for (unsigned b = 0; bus->scenario.addresses && b < bus->boards; b++)
			printf("%s%u", b ? "," : "", bus->board[b].address);
		printf("\n");
	}
	fflush(stdout);
}

/* Writes the state file of a port; a reader never meets half of it. */
static void write_state(struct port *p, usec now)
{
	const char *path = p->bus.scenario.state;
	char temporary[SCENARIO_PATH + 8];

	if (!*path)
		return;
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	FILE *f = fopen(temporary, "we");
	if (f)
		bus_tell(&p->bus, now, port_path(p), f);
	if (!f || fclose(f) || rename(temporary, path))
		fprintf(stderr, "bmscope-sim: %s: %s\n", path, strerror(errno));
}

/* All state files anew; what has none goes to standard error. */
static void write_states(struct simulator *sim, usec now)
{
	for (unsigned i = 0; i < sim->ports; i++) {
		if (*sim->port[i]->bus.scenario.state)
			write_state(sim->port[i], now);
		else
			bus_tell(&sim->port[i]->bus, now, port_path(sim->port[i]), stderr);
	}
}

/* ---- the loop ---- */

static void read_notify(struct simulator *sim, usec now)
{
	union {
		struct inotify_event event;
		char bytes[4096];
	} buffer;
	ssize_t n;

	while (sim->notify >= 0 && (n = read(sim->notify, buffer.bytes, sizeof(buffer))) > 0) {
		struct inotify_event e;

		for (size_t at = 0; at + sizeof(e) <= (size_t)n; at += sizeof(e) + e.len) {
			memcpy(&e, buffer.bytes + at, sizeof(e));
			for (unsigned i = 0; i < sim->ports; i++)
				if (sim->port[i]->watch == e.wd && e.mask & (IN_OPEN | IN_CLOSE))
					port_opened(sim->port[i], e.mask & IN_OPEN ? 1 : -1, now);
		}
	}
}

/* Waits until a byte comes, a signal, or the time `until`. */
static void wait_until(struct simulator *sim, usec until, const sigset_t *signals)
{
	usec now = clock_now(), left = until - now;
	struct timespec t = {0, 0};

	for (unsigned i = 0; i < sim->ports; i++) {
		bool takes = port_takes(sim->port[i], now);

		sim->poll[i] = (struct pollfd){.fd = takes ? sim->port[i]->master : -1, .events = POLLIN};
	}
	sim->poll[sim->ports] = (struct pollfd){.fd = sim->notify, .events = POLLIN};
	if (left > 0) {
		t.tv_sec = (time_t)(left / SECOND);
		t.tv_nsec = (long)(left % SECOND) * 1000;
	}
	if (ppoll(sim->poll, sim->ports + 1, until == INT64_MAX ? NULL : &t, signals) < 0)
		for (unsigned i = 0; i <= sim->ports; i++)
			sim->poll[i].revents = 0;
}

/* One turn: false when a port can't go on. */
static bool serve(struct simulator *sim)
{
	usec now = clock_now();
	char why[1536];

	read_notify(sim, now);
	if (state_wanted) {
		state_wanted = 0;
		write_states(sim, now);
	}
	for (unsigned i = 0; i < sim->ports; i++) {
		struct port *p = sim->port[i];

		if (sim->poll[i].revents) {
			port_read(p, now);
			if (bus_changed(&p->bus))
				write_state(p, now);
		}
		if (!port_run(p, now, why, sizeof(why))) {
			fprintf(stderr, "bmscope-sim: port %u: %s\n", i + 1, why);
			return false;
		}
	}
	return true;
}

static int run(struct simulator *sim, const sigset_t *signals)
{
	usec start = clock_now();
	usec end = sim->seconds >= 0 ? start + (usec)(sim->seconds * (double)SECOND) : INT64_MAX;

	name_links(sim);
	if (!open_ports(sim, start))
		return EXIT_FAILED;
	for (unsigned i = 0; i < sim->ports; i++)
		write_state(sim->port[i], start);
	print_ports(sim);
	for (usec now = start; !stop_wanted && now < end; now = clock_now()) {
		usec next = end;

		for (unsigned i = 0; i < sim->ports; i++)
			if (port_next(sim->port[i], now) < next)
				next = port_next(sim->port[i], now);
		wait_until(sim, next, signals);
		if (!serve(sim))
			return EXIT_FAILED;
	}
	return EXIT_OK;
}

static sigset_t catch_signals(void)
{
	static const int caught[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t block, before;

	sigemptyset(&action.sa_mask);
	sigemptyset(&block);
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++) {
		sigaction(caught[i], &action, NULL);
		sigaddset(&block, caught[i]);
	}
	signal(SIGPIPE, SIG_IGN);
	/* They come only while it waits. */
	sigprocmask(SIG_BLOCK, &block, &before);
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigdelset(&before, caught[i]);
	return before;
}

static void close_all(struct simulator *sim)
{
	for (unsigned i = 0; sim->port && i < sim->ports; i++) {
		port_close(sim->port[i]);
		free(sim->port[i]);
	}
	if (sim->notify >= 0)
		close(sim->notify);
	free(sim->port);
	free(sim->poll);
	free(sim->scenario);
}

int main(int argc, char **argv)
{
	struct simulator sim = {.speed = 1, .seconds = -1, .seed = 1, .notify = -1};
	int result = read_arguments(&sim, argc, argv);

	if (result < 0) {
		sigset_t signals = catch_signals();

		sim.notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		result = run(&sim, &signals);
	} else {
		sim.ports = 0;
	}
	close_all(&sim);
	return result;
}
