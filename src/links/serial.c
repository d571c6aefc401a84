/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The bytes of an open serial port, in and out, and the end of it when it is unplugged. */
#include "config.h"

#include "links/serial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "links/serial_device.h"

enum {
	QUEUE = 4096, /* bytes that wait for a port that takes none: a dozen requests */
	READ_CHUNK = 1024,
	READ_TURNS = 4, /* chunks in a turn of the loop: a babbling port must not hold up the others */
};

struct serial {
	struct link link; /* first: what others know of it */
	struct serial_device device;
	uv_poll_t poll;
	bool ended;	/* closed or gone: no callback any more */
	char path[256]; /* as the user has named it */
	size_t queued;
	uint8_t queue[QUEUE];
};

static struct serial *serial_of(struct link *link)
{
	return (struct serial *)link;
}

/* ---- the end ---- */

static void end(struct serial *s)
{
	s->ended = true;
	s->queued = 0;
	uv_poll_stop(&s->poll);
	serial_device_close(&s->device);
}

/* The device is let go before anybody hears of it: while it is open, its name stays taken, and an adapter
 * that is plugged in again would get another one. */
static void fail(struct serial *s, int error)
{
	char say[sizeof(s->path) + 64];

	if (error != EIO && error != ENXIO && error != ENODEV)
		snprintf(say, sizeof(say), "%s: %s", s->path, strerror(error));
	else if (s->device.pty)
		snprintf(say, sizeof(say), "%s was closed by its other side", s->path);
	else
		snprintf(say, sizeof(say), "%s was unplugged", s->path);
	end(s);
	s->link.events.gone(s->link.events.ctx, error, say);
}

/* ---- bytes ---- */

static void on_ready(uv_poll_t *poll, int status, int events);

/* Fails only when the descriptor is bad, which a send or the next turn finds out as well. */
static void watch(struct serial *s)
{
	uv_poll_start(&s->poll, UV_READABLE | UV_DISCONNECT | (s->queued ? UV_WRITABLE : 0), on_ready);
}

static void receive(struct serial *s)
{
	uint8_t in[READ_CHUNK];

	for (int turn = 0; turn < READ_TURNS && !s->ended; turn++) {
		ssize_t n = read(s->device.fd, in, sizeof(in));

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			fail(s, errno);
		else if (n == 0 && !serial_device_there(&s->device))
			fail(s, EIO);
		else if (n > 0)
			s->link.events.received(s->link.events.ctx, (struct bytes){in, (size_t)n});
		if (n < (ssize_t)sizeof(in))
			return;
	}
}

/* Bytes that the port has taken, or -errno; one that can take none now is no error. */
static ssize_t write_some(struct serial *s, struct bytes b)
{
	ssize_t n = write(s->device.fd, b.p, b.n);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return n;
}

static void send_queued(struct serial *s)
{
	ssize_t n = write_some(s, (struct bytes){s->queue, s->queued});

	if (n < 0) {
		fail(s, (int)-n);
		return;
	}
	s->queued -= (size_t)n;
	memmove(s->queue, s->queue + n, s->queued);
	if (!s->queued)
		watch(s);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct serial *s = poll->data;

	/* Whatever the matter is, what came before the end is still to be read. */
	if (status < 0 || events & (UV_READABLE | UV_DISCONNECT))
		receive(s);
	if (!s->ended && (status < 0 || events & UV_DISCONNECT))
		fail(s, EIO);
	if (!s->ended && s->queued && events & UV_WRITABLE)
		send_queued(s);
}

static int serial_send(struct link *link, struct bytes b)
{
	struct serial *s = serial_of(link);
	ssize_t n = 0;

	if (s->ended)
		return -ENODEV;
	if (b.n > sizeof(s->queue) - s->queued)
		return -ENOBUFS;
	if (!b.n)
		return 0;
	if (!s->queued)
		n = write_some(s, b);
	/* The loop will see the same, and say so in its own time. */
	if (n < 0)
		n = 0;
	if ((size_t)n == b.n)
		return 0;
	memcpy(s->queue + s->queued, b.p + n, b.n - (size_t)n);
	s->queued += b.n - (size_t)n;
	watch(s);
	return 0;
}

static int serial_set_line(struct link *link, const struct line *line)
{
	struct serial *s = serial_of(link);

	if (s->ended)
		return -ENODEV;
	s->queued = 0;
	watch(s);
	return serial_device_set_line(&s->device, line);
}

/* ---- opening and closing ---- */

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void serial_close(struct link *link)
{
	struct serial *s = serial_of(link);

	end(s);
	uv_close((uv_handle_t *)&s->poll, on_closed);
}

static const struct link_ops serial_ops = {serial_set_line, serial_send, serial_close};

struct link *serial_open(uv_loop_t *loop, const char *path, const struct line *line, struct link_events events,
			 int *error, char *why, size_t size)
{
	struct serial *s = calloc(1, sizeof(*s));

	if (!s) {
		*error = ENOMEM;
		snprintf(why, size, "%s: %s", path, strerror(ENOMEM));
		return NULL;
	}
	s->link = (struct link){&serial_ops, events};
	s->poll.data = s;
	snprintf(s->path, sizeof(s->path), "%s", path);
	*error = -serial_device_open(&s->device, path, line, why, size);
	if (*error)
		goto no_device;
	*error = -uv_poll_init(loop, &s->poll, s->device.fd);
	if (*error) {
		snprintf(why, size, "%s cannot be watched: %s", path, strerror(*error));
		serial_device_close(&s->device);
		goto no_device;
	}
	watch(s);
	return &s->link;

no_device:
	free(s);
	return NULL;
}
