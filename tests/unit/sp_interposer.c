/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config.h"

#include "sp_interposer.h"

#include <asm/termbits.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Finds the function of that name that would have been called without us. POSIX has it as a data pointer,
 * from which C knows no cast. */
static void find_next(const char *name, void *function, size_t size)
{
	void *symbol = dlsym(RTLD_NEXT, name);

	memcpy(function, &symbol, size);
}

static const char *root;
static bool modem_lines;
static int modem;
static unsigned modem_requests;
static atomic_bool stuck_output;

void interposer_root(const char *folder)
{
	root = folder;
}

void interposer_modem_lines(bool present)
{
	modem_lines = present;
	/* So a driver leaves them when it opens. */
	modem = TIOCM_DTR | TIOCM_RTS;
	modem_requests = 0;
}

int interposer_modem(unsigned *requests)
{
	*requests = modem_requests;
	return modem;
}

void interposer_stuck(bool stuck)
{
	stuck_output = stuck;
}

uint32_t terminal_baud(int fd)
{
	struct termios2 t;

	return ioctl(fd, TCGETS2, &t) ? 0 : t.c_ospeed;
}

static const char *lead(const char *path, char out[PATH_MAX])
{
	if (!root || (strncmp(path, "/sys/class/tty", 14) != 0 && strcmp(path, "/dev") != 0 &&
		      strncmp(path, "/dev/serial", 11) != 0))
		return path;
	snprintf(out, PATH_MAX, "%s%s", root, path);
	return out;
}

/* ---- paths ---- */

int lstat(const char *restrict path, struct stat *restrict st)
{
	char to[PATH_MAX];
	int (*next)(const char *, struct stat *);

	find_next("lstat", &next, sizeof(next));
	return next(lead(path, to), st);
}

/* What programs call that were built against an older C library. */
int __lxstat(int version, const char *path, struct stat *st);
int __lxstat(int version, const char *path, struct stat *st)
{
	char to[PATH_MAX];
	int (*next)(int, const char *, struct stat *);

	find_next("__lxstat", &next, sizeof(next));
	return next(version, lead(path, to), st);
}

ssize_t readlink(const char *restrict path, char *restrict out, size_t size)
{
	char to[PATH_MAX];
	ssize_t (*next)(const char *, char *, size_t);

	find_next("readlink", &next, sizeof(next));
	return next(lead(path, to), out, size);
}

DIR *opendir(const char *path)
{
	char to[PATH_MAX];
	DIR *(*next)(const char *);

	find_next("opendir", &next, sizeof(next));
	return next(lead(path, to));
}

FILE *fopen(const char *restrict path, const char *restrict mode)
{
	char to[PATH_MAX];
	FILE *(*next)(const char *, const char *);

	find_next("fopen", &next, sizeof(next));
	return next(lead(path, to), mode);
}

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	char to[PATH_MAX];
	int (*next)(int, const char *, uint32_t);

	find_next("inotify_add_watch", &next, sizeof(next));
	return next(fd, lead(path, to), mask);
}

/* ---- terminals ---- */

static bool is_pty(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISCHR(st.st_mode) && major(st.st_rdev) >= 136 && major(st.st_rdev) <= 143;
}

static int modem_ioctl(unsigned long request, int *bits)
{
	modem_requests++;
	switch (request) {
	case TIOCMGET:
		*bits = modem;
		return 0;
	case TIOCMSET:
		modem = *bits;
		return 0;
	case TIOCMBIS:
		modem |= *bits;
		return 0;
	default:
		modem &= ~*bits;
		return 0;
	}
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	int (*next)(int, unsigned long, void *);

	find_next("ioctl", &next, sizeof(next));
	va_start(args, request);
	void *argument = va_arg(args, void *);
	va_end(args);
	bool asks_modem = request == TIOCMGET || request == TIOCMSET || request == TIOCMBIS || request == TIOCMBIC;
	if (asks_modem && modem_lines && is_pty(fd))
		return modem_ioctl(request, argument);
	if (request == TIOCOUTQ && stuck_output && is_pty(fd)) {
		*(int *)argument = 1;
		return 0;
	}
	return next(fd, request, argument);
}

int close(int fd)
{
	int (*next)(int);

	find_next("close", &next, sizeof(next));
	while (stuck_output && is_pty(fd))
		usleep(1000);
	return next(fd);
}
