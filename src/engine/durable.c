/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = 512 };

struct durable {
	uv_loop_t *loop;
	uv_work_t work;
	void (*failed)(void *ctx, const char *path, int error);
	void *ctx;
	int error;     /* of the last write; the thread's while working */
	int told;      /* the error that failed() was called with last */
	bool working;  /* writing is being written */
	bool closing;
	char *writing; /* the thread's while working */
	char *waiting; /* comes next */
	char path[PATH_ROOM];
};

/* ---- the file ---- */

int durable_make_folders(const char *path)
{
	char part[PATH_ROOM];

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return ENAMETOOLONG;
	for (char *p = *part ? strchr(part + 1, '/') : NULL; p; p = strchr(p + 1, '/')) {
		*p = 0;
		if (mkdir(part, 0755) && errno != EEXIST)
			return errno;
		*p = '/';
	}
	return 0;
}

static int write_all(int fd, const char *text)
{
	size_t n = strlen(text);

	while (n) {
		ssize_t done = write(fd, text, n);

		if (done < 0 && errno != EINTR)
			return errno;
		if (done > 0) {
			text += done;
			n -= (size_t)done;
		}
	}
	return fsync(fd) ? errno : 0;
}

int durable_replace(const char *path, const char *text)
{
	char fresh[PATH_ROOM + 8];
	int error = durable_make_folders(path);

	if (error)
		return error;
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return errno;
	error = write_all(fd, text);
	if (close(fd) && !error)
		error = errno;
	if (!error && rename(fresh, path))
		error = errno;
	if (error)
		unlink(fresh);
	return error;
}

/* ---- beside the loop ---- */

static void start(struct durable *d);

static void do_write(uv_work_t *work)
{
	struct durable *d = work->data;

	d->error = durable_replace(d->path, d->writing);
}

static void free_durable(struct durable *d)
{
	if (d->waiting)
		durable_replace(d->path, d->waiting);
	free(d->waiting);
	free(d);
}

static void written(uv_work_t *work, int status)
{
	struct durable *d = work->data;

	(void)status;
	d->working = false;
	free(d->writing);
	d->writing = NULL;
	if (d->closing) {
		free_durable(d);
		return;
	}
	if (d->error && d->error != d->told && d->failed)
		d->failed(d->ctx, d->path, d->error);
	d->told = d->error;
	start(d);
}

static void start(struct durable *d)
{
	if (d->working || !d->waiting)
		return;
	d->writing = d->waiting;
	d->waiting = NULL;
	if (uv_queue_work(d->loop, &d->work, do_write, written)) {
		d->waiting = d->writing;
		d->writing = NULL;
		return;
	}
	d->working = true;
}

struct durable *durable_new(uv_loop_t *loop, const char *path, void (*failed)(void *ctx, const char *path, int error),
			    void *ctx)
{
	struct durable *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->loop = loop;
	d->work.data = d;
	d->failed = failed;
	d->ctx = ctx;
	snprintf(d->path, sizeof(d->path), "%s", path);
	return d;
}

void durable_write(struct durable *d, char *text)
{
	if (!text)
		return;
	free(d->waiting);
	d->waiting = text;
	start(d);
}

void durable_close(struct durable *d)
{
	if (!d)
		return;
	d->closing = true;
	if (!d->working)
		free_durable(d);
}
