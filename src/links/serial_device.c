/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config.h"

#include "links/serial_device.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include <libserialport.h>

#include "links/serial_baud.h"
#include "model/bytes.h"

/* ---- the line ---- */

static const struct {
	uint32_t baud;
	speed_t speed;
} speeds[] = {
	{1200, B1200},	     {1800, B1800},	  {2400, B2400},     {4800, B4800},	{9600, B9600},
	{19200, B19200},     {38400, B38400},	  {57600, B57600},   {115200, B115200}, {230400, B230400},
	{460800, B460800},   {500000, B500000},	  {576000, B576000}, {921600, B921600}, {1000000, B1000000},
	{1500000, B1500000}, {2000000, B2000000},
};

/* B0 when termios has no name for this speed. */
static speed_t speed_of(uint32_t baud)
{
	for (size_t i = 0; i < sizeof(speeds) / sizeof(speeds[0]); i++)
		if (speeds[i].baud == baud)
			return speeds[i].speed;
	return B0;
}

static tcflag_t character_flags(const struct line *line)
{
	tcflag_t flags = line->data_bits == 7 ? CS7 : CS8;

	if (line->parity != 'N')
		flags |= PARENB;
	if (line->parity == 'O')
		flags |= PARODD;
	if (line->stop_bits == 2)
		flags |= CSTOPB;
	return flags;
}

static bool line_valid(const struct line *line)
{
	return line->baud && (line->data_bits == 7 || line->data_bits == 8) && line->parity &&
	       strchr("NEO", line->parity) && (line->stop_bits == 1 || line->stop_bits == 2);
}

int serial_device_set_line(struct serial_device *d, const struct line *line)
{
	const tcflag_t character = CSIZE | PARENB | PARODD | CSTOPB;
	struct termios t;

	if (!line_valid(line))
		return -EINVAL;
	tcflag_t wanted = character_flags(line);
	speed_t speed = speed_of(line->baud);

	if (tcgetattr(d->fd, &t))
		return -errno;
	cfmakeraw(&t);
	/* A byte with wrong parity is dropped; a break is no byte. */
	t.c_iflag &= ~(tcflag_t)(IXON | IXOFF | IXANY);
	t.c_iflag |= IGNBRK | IGNPAR | (line->parity == 'N' ? 0 : INPCK);
	/* HUPCL off: an adapter that is powered or steered by DTR and RTS keeps them after us. */
	t.c_cflag &= ~(tcflag_t)(character | CMSPAR | CRTSCTS | HUPCL);
	t.c_cflag |= wanted | CREAD | CLOCAL;
	t.c_cc[VMIN] = t.c_cc[VTIME] = 0;
	if (speed != B0)
		cfsetspeed(&t, speed);
	if (tcsetattr(d->fd, TCSANOW, &t))
		return -errno;
	int error = speed == B0 ? serial_set_baud(d->fd, line->baud) : 0;
	if (error)
		return error;
	tcflush(d->fd, TCIOFLUSH);
	/* It succeeds when any of it could be set. Parity and stop bits mean nothing on a pty. */
	if (tcgetattr(d->fd, &t))
		return -errno;
	return (t.c_cflag ^ wanted) & (d->pty ? (tcflag_t)CSIZE : character) ? -EINVAL : 0;
}

/* ---- what to tell people ---- */

static void say_used(const char *path, long pid, char *why, size_t size)
{
	char comm_path[48], text[64], name[64];

	if (pid <= 0) {
		snprintf(why, size, "%s is used by another program", path);
		return;
	}
	snprintf(comm_path, sizeof(comm_path), "/proc/%ld/comm", pid);
	int fd = open(comm_path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text));

	if (fd >= 0)
		close(fd);
	if (!bytes_text((struct bytes){(const uint8_t *)text, n > 0 ? (size_t)n : 0}, name, sizeof(name)))
		snprintf(name, sizeof(name), "another program");
	snprintf(why, size, "%s is used by %s (pid %ld)", path, name, pid);
}

static bool is_member(const struct group *group, const char *user)
{
	for (char **m = group->gr_mem; *m; m++)
		if (!strcmp(*m, user))
			return true;
	return false;
}

static void say_no_permission(const char *path, char *why, size_t size)
{
	struct stat st;
	const struct passwd *user = getpwuid(geteuid());
	const char *name = user ? user->pw_name : "NAME";

	if (stat(path, &st)) {
		snprintf(why, size, "no permission to look at %s", path);
		return;
	}
	const struct group *group = getgrgid(st.st_gid);
	if (!group || !st.st_gid || (st.st_mode & 060) != 060)
		snprintf(why, size, "no permission to use %s: only its owner may (ls -l %s)", path, path);
	else if (user && is_member(group, name))
		snprintf(why, size,
			 "no permission to use %s: you are in its group %s, but this session does not know yet: log in "
			 "again",
			 path, group->gr_name);
	else
		snprintf(why, size,
			 "no permission to use %s: add yourself to the group %s: sudo usermod -aG %s %s, then log in "
			 "again",
			 path, group->gr_name, group->gr_name, name);
}

/* Says what error means for path; returns -error. */
static int refused(int error, const char *path, char *why, size_t size)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
	case ENODEV:
		snprintf(why, size, "%s is not there: is the adapter plugged in?", path);
		break;
	case ENXIO:
		snprintf(why, size, "%s has no hardware behind it", path);
		break;
	case EIO:
		snprintf(why, size, "%s gives no answer: was the adapter pulled out just now?", path);
		return -ENXIO;
	case EACCES:
		say_no_permission(path, why, size);
		break;
	case EPERM:
		snprintf(why, size,
			 "the system keeps %s from this program (a container or service without that device?)", path);
		break;
	case EBUSY:
		say_used(path, 0, why, size);
		break;
	case ENOTTY:
		snprintf(why, size, "%s is no serial port", path);
		break;
	default:
		snprintf(why, size, "%s: %s", path, strerror(error));
	}
	return -error;
}

/* ---- finding ---- */

static const char *kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a file";
	case S_IFDIR:
		return "a directory";
	case S_IFSOCK:
		return "a socket";
	case S_IFIFO:
		return "a pipe";
	default:
		return "a disk";
	}
}

static bool is_pty(dev_t dev)
{
	return major(dev) >= 136 && major(dev) <= 143;
}

/* A screen with its keyboard, or the console: terminals that carry a person, not a battery. */
static bool is_console(dev_t dev)
{
	return (major(dev) == 4 && minor(dev) < 64) || (major(dev) == 5 && minor(dev) <= 2);
}

/* The terminal in which this program shows itself. */
static bool is_own_terminal(dev_t dev)
{
	struct stat st;

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (isatty(fd) && !fstat(fd, &st) && st.st_rdev == dev)
			return true;
	return false;
}

/* Where path leads to, when that can be a serial port. */
static int find_device(const char *path, char real[PATH_MAX], dev_t *dev, char *why, size_t size)
{
	struct stat st;

	if (!realpath(path, real) || stat(real, &st))
		return refused(errno, path, why, size);
	*dev = st.st_rdev;
	if (!S_ISCHR(st.st_mode)) {
		snprintf(why, size, "%s is no serial port but %s", path, kind_of(st.st_mode));
		return -ENOTTY;
	}
	if (is_console(st.st_rdev) || is_own_terminal(st.st_rdev)) {
		snprintf(why, size, "%s is no serial port but a terminal for people", path);
		return -ENOTTY;
	}
	return 0;
}

/* ---- having it alone ---- */

/* The pid in /proc/locks of who has this file by flock; 0 = not told. */
static long flock_holder(int fd)
{
	struct stat st;
	char text[160];
	long found = 0, pid;
	unsigned maj, min;
	unsigned long long inode;
	FILE *f = fopen("/proc/locks", "re");

	if (!f || fstat(fd, &st)) {
		if (f)
			fclose(f);
		return 0;
	}
	while (!found && fgets(text, sizeof(text), f))
		if (sscanf(text, "%*d: FLOCK %*s %*s %ld %x:%x:%llu", &pid, &maj, &min, &inode) == 4 &&
		    makedev(maj, min) == st.st_dev && inode == st.st_ino)
			found = pid;
	fclose(f);
	return found;
}

/* flock is the lock that counts (root gets past TIOCEXCL); the lock file is for programs that know no other. */
static int lock_device(struct serial_device *d, const char *path, const char *real, char *why, size_t size)
{
	int exclusive = 0;
	long holder = 0;

	if (flock(d->fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return refused(errno, path, why, size);
		say_used(path, flock_holder(d->fd), why, size);
		return -EBUSY;
	}
	if (serial_lock_take(SERIAL_LOCK_DIR, real, d->lock, &holder)) {
		if (holder)
			say_used(path, holder, why, size);
		else
			snprintf(why, size, "%s is locked by the file %s", path, d->lock);
		d->lock[0] = 0;
		return -EBUSY;
	}
	/* Any who has made a real port exclusive still has it open: the kernel forgets it with the last close. */
	if (!d->pty && !ioctl(d->fd, TIOCGEXCL, &exclusive) && exclusive)
		return refused(EBUSY, path, why, size);
	return 0;
}

/* ---- opening and closing ---- */

/*
 * Opens the device anew through the library, in place of d->fd. It knows no ptys, and refuses what has no
 * modem lines: then d->fd stays what it is. 0 or an errno.
 */
static int open_by_library(struct serial_device *d, const char *real)
{
	struct sp_port *port;
	enum sp_return result = sp_get_port_by_name(real, &port);

	if (result != SP_OK)
		return result == SP_ERR_MEM ? ENOMEM : 0;
	result = sp_open(port, SP_MODE_READ_WRITE);
	if (result != SP_OK) {
		int error = result == SP_ERR_FAIL ? sp_last_error_code() : 0;

		sp_free_port(port);
		return error == ENOTTY || error == EINVAL ? 0 : error ? error : EIO;
	}
	close(d->fd);
	d->port = port;
	sp_get_port_handle(port, &d->fd);
	if (fcntl(d->fd, F_SETFD, FD_CLOEXEC))
		return errno;
	/* The lock went with the descriptor. */
	if (flock(d->fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? EBUSY : errno;
	return 0;
}

static int open_locked(struct serial_device *d, const char *path, const struct line *line, char *why, size_t size)
{
	char real[PATH_MAX];
	dev_t dev;
	int error = find_device(path, real, &dev, why, size);

	if (error)
		return error;
	d->pty = is_pty(dev);
	/* Asked before opening, which may touch DTR and RTS. */
	long holder = serial_lock_holder(SERIAL_LOCK_DIR, real);
	if (holder && holder != (long)getpid()) {
		say_used(path, holder, why, size);
		return -EBUSY;
	}
	d->fd = open(real, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (d->fd < 0)
		return refused(errno, path, why, size);
	/* EIO: a node of the 8250 driver, without a chip. */
	if (!isatty(d->fd))
		return refused(errno == EIO ? ENXIO : ENOTTY, path, why, size);
	error = lock_device(d, path, real, why, size);
	if (error)
		return error;
	error = open_by_library(d, real);
	/* A pty would stay exclusive after a crash for as long as its other side lives, and nobody could come back. */
	if (!error && !d->pty && ioctl(d->fd, TIOCEXCL))
		error = errno;
	if (error)
		return refused(error, path, why, size);
	d->ours = true;
	error = serial_device_set_line(d, line);
	if (error == -EIO)
		return refused(EIO, path, why, size);
	if (error)
		snprintf(why, size, "%s cannot be set to %u baud %u%c%u: %s", path, line->baud, line->data_bits,
			 line->parity, line->stop_bits, strerror(-error));
	return error;
}

int serial_device_open(struct serial_device *d, const char *path, const struct line *line, char *why, size_t size)
{
	*d = (struct serial_device){.fd = -1};

	int error = open_locked(d, path, line, why, size);
	if (error)
		serial_device_close(d);
	return error;
}

bool serial_device_there(const struct serial_device *d)
{
	int waiting;

	return !ioctl(d->fd, TIOCINQ, &waiting);
}

/* Some drivers (USB modems, whose far end takes nothing) know no flush, and close() waits half a minute. */
static bool would_wait(const struct serial_device *d)
{
	int waiting;

	return d->ours && !ioctl(d->fd, TIOCOUTQ, &waiting) && waiting > 0;
}

static void close_now(struct serial_device *d)
{
	if (d->port) {
		sp_close(d->port);
		sp_free_port(d->port);
	} else {
		close(d->fd);
	}
}

static void *close_slowly(void *arg)
{
	struct serial_device *d = arg;

	close_now(d);
	free(d);
	return NULL;
}

/* Closes in a thread of its own, which nobody waits for: the end of the program ends it. False: not possible. */
static bool close_aside(const struct serial_device *d)
{
	struct serial_device *copy = malloc(sizeof(*copy));
	pthread_attr_t detached;
	pthread_t thread;
	sigset_t all, before;

	if (!copy)
		return false;
	*copy = *d;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	/* Signals are for the loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&thread, &detached, close_slowly, copy);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&detached);
	if (error)
		free(copy);
	return !error;
}

void serial_device_close(struct serial_device *d)
{
	if (d->fd < 0)
		return;
	if (d->ours) {
		tcflush(d->fd, TCIOFLUSH);
		ioctl(d->fd, TIOCNXCL);
	}
	serial_lock_drop(d->lock);
	if (!would_wait(d) || !close_aside(d))
		close_now(d);
	*d = (struct serial_device){.fd = -1};
}
