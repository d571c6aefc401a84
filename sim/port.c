/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config.h"

#include "sim/port.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "sim/port_can.h"
#include "sim/random.h"

/* ---- line speed ---- */

static const struct {
	speed_t code;
	uint32_t baud;
} speeds[] = {
	{B1200, 1200},	   {B1800, 1800},     {B2400, 2400},	 {B4800, 4800},	    {B9600, 9600},
	{B19200, 19200},   {B38400, 38400},   {B57600, 57600},	 {B115200, 115200}, {B230400, 230400},
	{B460800, 460800}, {B500000, 500000}, {B576000, 576000}, {B921600, 921600}, {B1000000, 1000000},
};

/* What the host has set; 0 = none of the usual speeds. */
static uint32_t host_baud(const struct port *p)
{
	struct termios t;

	if (tcgetattr(p->master, &t))
		return 0;
	for (size_t i = 0; i < sizeof(speeds) / sizeof(speeds[0]); i++)
		if (speeds[i].code == cfgetospeed(&t))
			return speeds[i].baud;
	return 0;
}

/* Raw, and at the board's own speed until the host sets another. */
static bool set_line(int fd, uint32_t baud)
{
	struct termios t;

	if (tcgetattr(fd, &t))
		return false;
	cfmakeraw(&t);
	t.c_cflag |= CLOCAL | CREAD;
	for (size_t i = 0; i < sizeof(speeds) / sizeof(speeds[0]); i++)
		if (speeds[i].baud == baud)
			cfsetspeed(&t, speeds[i].code);
	return !tcsetattr(fd, TCSANOW, &t);
}

static bool same_speed(const struct port *p)
{
	return p->listener >= 0 || p->bus.scenario.kind->can || p->bus.scenario.anyspeed || host_baud(p) == p->bus.scenario.baud;
}

/* ---- a socket in the pty's place ---- */

static const char *socket_path(const struct port *p)
{
	return p->pty + strlen(p->bus.scenario.kind->socket);
}

/* At the link's path, or one of its own. */
static void choose_path(struct port *p)
{
	const struct scenario *s = &p->bus.scenario;
	const char *tmp = getenv("TMPDIR");

	if (*s->link)
		snprintf(p->pty, sizeof(p->pty), "%s%s", s->kind->socket, s->link);
	else
		snprintf(p->pty, sizeof(p->pty), "%s%s/bmscope-sim.%ld.%04x.sock", s->kind->socket, tmp ? tmp : "/tmp",
			 (long)getpid(), (unsigned)(random_next(&p->random) & 0xffff));
}

static bool listen_at(struct port *p)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct stat st;

	choose_path(p);
	if (strlen(socket_path(p)) >= sizeof(at.sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(at.sun_path, socket_path(p), strlen(socket_path(p)));
	if (!lstat(at.sun_path, &st) && S_ISSOCK(st.st_mode))
		unlink(at.sun_path); /* left over */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 1)) {
		close(fd);
		return false;
	}
	p->master = p->listener = fd;
	return true;
}

/* A host comes; the next one waits until it has left. */
static void host_comes(struct port *p)
{
	int fd = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		p->master = fd;
}

static void host_leaves(struct port *p, usec now)
{
	close(p->master);
	p->master = p->listener;
	bus_hang_up(&p->bus, now);
}

/* ---- plug ---- */

static void unplug(struct port *p, usec now)
{
	char at[64];
	ssize_t n = p->linked ? readlink(p->bus.scenario.link, at, sizeof(at)) : -1;

	/* Somebody else may have put theirs there meanwhile. */
	if (n > 0 && (size_t)n == strlen(p->pty) && !memcmp(at, p->pty, (size_t)n))
		unlink(p->bus.scenario.link);
	p->linked = false;
	if (p->watch >= 0)
		inotify_rm_watch(p->notify, p->watch);
	p->watch = -1;
	if (p->slave >= 0)
		close(p->slave);
	if (p->master >= 0 && p->master != p->listener)
		close(p->master);
	if (p->listener >= 0) {
		close(p->listener);
		unlink(socket_path(p));
	}
	p->slave = p->master = p->listener = -1;
	p->opens = 0;
	bus_hang_up(&p->bus, now);
}

static bool make_link(struct port *p)
{
	struct stat st;

	if (!*p->bus.scenario.link)
		return true;
	if (!lstat(p->bus.scenario.link, &st)) {
		if (!S_ISLNK(st.st_mode)) {
			errno = EEXIST;
			return false;
		}
		unlink(p->bus.scenario.link);
	}
	p->linked = !symlink(p->pty, p->bus.scenario.link);
	return p->linked;
}

static bool open_pty(struct port *p)
{
	p->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (p->master < 0 || grantpt(p->master) || unlockpt(p->master) || ptsname_r(p->master, p->pty, sizeof(p->pty)))
		return false;
	/* Held open, so that the master does not report a hang-up whenever nobody else has it. */
	p->slave = open(p->pty, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	return p->slave >= 0 && set_line(p->slave, p->bus.scenario.baud);
}

static bool plug(struct port *p, usec now, char *why, size_t size)
{
	if (p->bus.scenario.kind->can) {
		snprintf(p->pty, sizeof(p->pty), "%s", p->bus.scenario.link);
		p->out_n = 0;
		p->master = port_can_open(p->pty, why, size);
		return p->master >= 0;
	}
	if (p->bus.scenario.kind->socket) {
		if (listen_at(p))
			return true;
		snprintf(why, size, "%s: %s", socket_path(p), strerror(errno));
		return false;
	}
	if (!open_pty(p)) {
		snprintf(why, size, "no pty: %s", strerror(errno));
		unplug(p, now);
		return false;
	}
	if (p->notify >= 0)
		p->watch = inotify_add_watch(p->notify, p->pty, IN_OPEN | IN_CLOSE);
	if (!make_link(p)) {
		snprintf(why, size, "%s: %s", p->bus.scenario.link, strerror(errno));
		unplug(p, now);
		return false;
	}
	return true;
}

bool port_open(struct port *p, const struct scenario *s, int notify, uint64_t seed, double speed, usec now, char *why,
	       size_t size)
{
	p->master = p->slave = p->listener = p->watch = -1;
	p->notify = notify;
	p->linked = false;
	p->opens = 0;
	p->random = random_stir(seed ^ 0x707);
	p->unplug_at = s->unplug >= 0 ? now + (usec)(s->unplug * (double)SECOND) : INT64_MAX;
	p->replug_at = INT64_MAX;
	if (s->replug >= 0 && !*s->link) {
		snprintf(why, size, "replug: needs a link, since the new pty has another name");
		return false;
	}
	if (!bus_init(&p->bus, s, seed, speed, now, why, size))
		return false;
	if (plug(p, now, why, size))
		return true;
	bus_free(&p->bus);
	return false;
}

void port_close(struct port *p)
{
	unplug(p, 0);
	bus_free(&p->bus);
}

const char *port_path(const struct port *p)
{
	const struct kind *kind = p->bus.scenario.kind;

	return *p->bus.scenario.link && !kind->socket && !kind->can ? p->bus.scenario.link : p->pty;
}

/* ---- traffic ---- */

void port_opened(struct port *p, int change, usec now)
{
	if (change > 0) {
		p->opens++;
		return;
	}
	if (p->opens && !--p->opens) {
		/* What a serial port forgets when its last user leaves: bytes, and that it was held alone. */
		bus_hang_up(&p->bus, now);
		tcflush(p->slave, TCIOFLUSH);
		ioctl(p->slave, TIOCNXCL);
	}
}

bool port_takes(const struct port *p, usec now)
{
	return p->master >= 0 && bus_takes_more(&p->bus) <= now;
}

static ssize_t take_in(struct port *p, uint8_t *in, size_t size)
{
	return p->bus.scenario.kind->can ? port_can_receive(p->master, in, size) : read(p->master, in, size);
}

/* Bytes become frames again when they are whole. */
static void put_out(struct port *p, const uint8_t *out, size_t n)
{
	if (!p->bus.scenario.kind->can) {
		/* A host that does not read loses bytes, as on a wire. */
		(void)!write(p->master, out, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		p->out[p->out_n++] = out[i];
		if (p->out_n < sizeof(p->out))
			continue;
		port_can_send(p->master, p->out);
		p->out_n = 0;
	}
}

void port_read(struct port *p, usec now)
{
	uint8_t in[512];
	ssize_t n = -1;

	if (p->master >= 0 && p->master == p->listener) {
		host_comes(p);
		return;
	}
	errno = EAGAIN;
	while (port_takes(p, now) && (n = take_in(p, in, sizeof(in))) > 0) {
		struct bytes got = {in, (size_t)n};

		if (same_speed(p))
			bus_receive(&p->bus, got, now);
		else
			bus_garbled(&p->bus, got, now);
		if ((size_t)n < sizeof(in) && !p->bus.scenario.kind->can)
			break;
	}
	if (p->listener >= 0 && (n == 0 || (n < 0 && errno != EAGAIN)))
		host_leaves(p, now);
}

/* What a host sees that listens at another speed: other bytes, fewer when it listens slower. */
static size_t garble(struct port *p, uint8_t *bytes, size_t n)
{
	uint32_t host = host_baud(p), board = p->bus.scenario.baud;

	if (host && host < board)
		n = (n * host + board - 1) / board;
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)random_next(&p->random);
	return n;
}

static void send_due(struct port *p, usec now)
{
	uint8_t out[512];
	size_t n;

	bus_run(&p->bus, now);
	while ((n = bus_take(&p->bus, now, out, sizeof(out)))) {
		bool listening = p->watch < 0 || p->opens;

		if (p->master < 0 || p->master == p->listener || !listening)
			continue;
		if (!same_speed(p))
			n = garble(p, out, n);
		put_out(p, out, n);
	}
}

bool port_run(struct port *p, usec now, char *why, size_t size)
{
	send_due(p, now);
	if (p->unplug_at <= now) {
		double replug = p->bus.scenario.replug;

		unplug(p, now);
		p->unplug_at = INT64_MAX;
		p->replug_at = replug >= 0 ? now + (usec)(replug * (double)SECOND) : INT64_MAX;
	}
	if (p->replug_at <= now) {
		p->replug_at = INT64_MAX;
		return plug(p, now, why, size);
	}
	return true;
}

usec port_next(const struct port *p, usec now)
{
	usec next = bus_next(&p->bus), more = bus_takes_more(&p->bus);

	if (p->master >= 0 && more > now)
		next = more < next ? more : next;
	next = p->unplug_at < next ? p->unplug_at : next;
	return p->replug_at < next ? p->replug_at : next;
}
