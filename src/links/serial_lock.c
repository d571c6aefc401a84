/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config.h"

#include "links/serial_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	UNFINISHED_S = 10, /* so long may somebody take between making a lock file and writing the pid */
	TRIES = 3,	   /* others may make and remove theirs meanwhile */
};

enum state { FREE, STALE, HELD };

/* As lockdev names them: /dev/ttyUSB0 is LCK..ttyUSB0, /dev/pts/3 is LCK..pts:3. */
static bool lock_name(const char *dir, const char *device, char lock[SERIAL_LOCK_PATH])
{
	static const char dev[] = "/dev/";
	const char *name = device;

	if (!strncmp(device, dev, strlen(dev)))
		name += strlen(dev);
	else if (strrchr(device, '/'))
		name = strrchr(device, '/') + 1;
	int n = snprintf(lock, SERIAL_LOCK_PATH, "%s/LCK..%s", dir, name);
	if (n < 0 || n >= SERIAL_LOCK_PATH)
		return false;
	for (char *c = lock + strlen(dir) + 1; *c; c++)
		if (*c == '/')
			*c = ':';
	return true;
}

static bool alive(long pid)
{
	return !kill((pid_t)pid, 0) || errno != ESRCH;
}

/* *pid: what the file says, 0 when it says nothing. The directory is everybody's to write in: neither a
 * link nor a pipe of that name may lead us on. */
static enum state lock_state(const char *lock, long *pid)
{
	char text[32];
	struct stat st;
	int fd = open(lock, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	*pid = 0;
	if (fd < 0)
		return errno == ENOENT ? FREE : HELD;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	bool known = !fstat(fd, &st);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	*pid = strtol(text, NULL, 10);
	if (*pid > 0 && *pid == (int)*pid)
		return alive(*pid) ? HELD : STALE;
	*pid = 0;
	return known && llabs((long long)time(NULL) - st.st_mtime) > UNFINISHED_S ? STALE : HELD;
}

/* With our pid in it from the first moment: written under another name, then linked. 0 or an errno. */
static int make_lock(const char *dir, const char *lock)
{
	char made[SERIAL_LOCK_PATH], text[16];
	int n = snprintf(made, sizeof(made), "%s/LTMP..XXXXXX", dir);

	if (n < 0 || n >= (int)sizeof(made))
		return ENAMETOOLONG;
	int fd = mkostemp(made, O_CLOEXEC);
	if (fd < 0)
		return errno;
	n = snprintf(text, sizeof(text), "%10ld\n", (long)getpid());
	int error = 0;
	if (fchmod(fd, 0644))
		error = errno;
	else if (write(fd, text, (size_t)n) != n)
		error = ENOSPC;
	else if (link(made, lock))
		error = errno;
	close(fd);
	unlink(made);
	return error;
}

int serial_lock_take(const char *dir, const char *device, char lock[SERIAL_LOCK_PATH], long *holder)
{
	*holder = 0;
	for (int i = 0; i < TRIES && lock_name(dir, device, lock); i++) {
		enum state state = lock_state(lock, holder);

		if (state == HELD && *holder != (long)getpid())
			return -EBUSY;
		/* Somebody else's leftover stays where we may not remove it. */
		if (state != FREE && unlink(lock) && errno != ENOENT)
			break;
		int error = make_lock(dir, lock);
		if (!error)
			return 0;
		if (error != EEXIST)
			break;
		if (i == TRIES - 1)
			return -EBUSY;
	}
	lock[0] = 0;
	return 0;
}

void serial_lock_drop(const char *lock)
{
	long pid;

	if (lock[0] && lock_state(lock, &pid) == HELD && pid == (long)getpid())
		unlink(lock);
}

long serial_lock_holder(const char *dir, const char *device)
{
	char lock[SERIAL_LOCK_PATH];
	long pid;

	return lock_name(dir, device, lock) && lock_state(lock, &pid) == HELD ? pid : 0;
}
