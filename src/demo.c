/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "demo.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The batteries of the demo: one of each family, two racks on one cable, one with a weak cell. */
static const char *const sim_arguments[] = {
	"bmscope-sim",
	"--port", "jk-pb,packs=2,cells=16,capacity=280,soc=81,imbalance=26,current=cycle",
	"--port", "jbd,cells=16,capacity=100,soc=64,imbalance=12,current=-14",
	"--port", "jk-uart,cells=14,capacity=100,soc=35,imbalance=18,current=22",
	"--port", "daly,cells=8,capacity=200,soc=92,imbalance=9,current=31",
	NULL,
};

enum { DEMO_PORTS = 4, START_MS = 5000 };

static void run_child(int out)
{
	char self[4096], path[4128];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	/* Ctrl-C is for the screen; the simulator is told by its parent. */
	setpgid(0, 0);
	dup2(out, STDOUT_FILENO);
	if (n > 0) {
		self[n] = 0;
		char *slash = strrchr(self, '/');

		if (slash)
			*slash = 0;
		snprintf(path, sizeof(path), "%s/bmscope-sim", self);
		execv(path, (char *const *)sim_arguments);
	}
	execvp("bmscope-sim", (char *const *)sim_arguments);
	_exit(127);
}

/* Takes the paths out of what the simulator has printed so far. */
static void take_lines(struct demo *d, char *text)
{
	d->count = 0;
	for (char *line = text, *end; (end = strchr(line, '\n')) && d->count < DEMO_MAX_PORTS; line = end + 1) {
		size_t n = strcspn(line, " \t\n");

		snprintf(d->port[d->count++], sizeof(d->port[0]), "%.*s", (int)n, line);
	}
}

static bool read_ports(struct demo *d, int in)
{
	char text[2048];
	size_t n = 0;
	struct pollfd p = {.fd = in, .events = POLLIN};

	while (d->count < DEMO_PORTS && n + 1 < sizeof(text)) {
		if (poll(&p, 1, START_MS) <= 0)
			return false;
		ssize_t got = read(in, text + n, sizeof(text) - 1 - n);
		if (got <= 0)
			return false;
		n += (size_t)got;
		text[n] = 0;
		take_lines(d, text);
	}
	return d->count == DEMO_PORTS;
}

int demo_start(struct demo *d)
{
	int pipe_fd[2];

	*d = (struct demo){.pid = -1};
	if (pipe(pipe_fd)) {
		fprintf(stderr, "bmscope: %s\n", strerror(errno));
		return 3;
	}
	d->pid = fork();
	if (d->pid == 0) {
		close(pipe_fd[0]);
		run_child(pipe_fd[1]);
	}
	close(pipe_fd[1]);
	bool ok = d->pid > 0 && read_ports(d, pipe_fd[0]);
	close(pipe_fd[0]);
	if (ok)
		return 0;
	demo_end(d);
	fputs("bmscope: the simulated batteries (bmscope-sim) cannot be started\n", stderr);
	return 3;
}

void demo_end(struct demo *d)
{
	if (d->pid <= 0)
		return;
	kill(d->pid, SIGTERM);
	waitpid(d->pid, NULL, 0);
	d->pid = -1;
}
