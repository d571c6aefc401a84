/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The accesses of an SPI bus, a few in each turn of the loop; and the same over a socket to a simulated chip. */
#include "config.h"

#include "links/spi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/spi/spidev.h>

enum {
	ACCESS = 4,
	TURN = 8,     /* accesses in a turn of the loop: about a millisecond at 500 kHz */
	QUEUE = 2048, /* bytes: several of the longest requests */
};

/* ---- the bus ---- */

struct spi {
	struct link link; /* first: what others know of it */
	uv_idle_t turn;	  /* active while something is queued */
	bool ended;	  /* closed or failed: no callback any more */
	int fd;
	uint32_t hz;
	char path[108];
	size_t queued;
	uint8_t queue[QUEUE];
};

static struct spi *spi_of(struct link *link)
{
	return (struct spi *)link;
}

static void spi_end(struct spi *s)
{
	s->ended = true;
	s->queued = 0;
	uv_idle_stop(&s->turn);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static void spi_fail(struct spi *s, int error)
{
	char say[sizeof(s->path) + 64];

	snprintf(say, sizeof(say), "%s: %s", s->path, strerror(error));
	spi_end(s);
	s->link.events.gone(s->link.events.ctx, error, say);
}

/* 0 or a positive errno. */
static int transfer(struct spi *s, const uint8_t *tx, uint8_t *rx)
{
	struct spi_ioc_transfer t = {
		.tx_buf = (uintptr_t)tx,
		.rx_buf = (uintptr_t)rx,
		.len = ACCESS,
		.speed_hz = s->hz,
		.bits_per_word = 8,
	};

	if (ioctl(s->fd, SPI_IOC_MESSAGE(1), &t) < 0)
		return errno;
	return 0;
}

static void on_turn(uv_idle_t *turn)
{
	struct spi *s = turn->data;
	uint8_t rx[TURN * ACCESS];
	size_t n = 0;
	int error = 0;

	while (n < sizeof(rx) && n < s->queued && !error) {
		error = transfer(s, s->queue + n, rx + n);
		n += ACCESS;
	}
	if (error) {
		spi_fail(s, error);
		return;
	}
	s->queued -= n;
	memmove(s->queue, s->queue + n, s->queued);
	if (!s->queued)
		uv_idle_stop(turn);
	s->link.events.received(s->link.events.ctx, (struct bytes){rx, n});
}

static int spi_send(struct link *link, struct bytes b)
{
	struct spi *s = spi_of(link);

	if (s->ended)
		return -ENODEV;
	if (b.n % ACCESS)
		return -EINVAL;
	if (b.n > sizeof(s->queue) - s->queued)
		return -ENOBUFS;
	if (!b.n)
		return 0;
	memcpy(s->queue + s->queued, b.p, b.n);
	s->queued += b.n;
	return uv_idle_start(&s->turn, on_turn);
}

static int spi_set_line(struct link *link, const struct line *line)
{
	struct spi *s = spi_of(link);

	if (s->ended)
		return -ENODEV;
	s->queued = 0;
	uv_idle_stop(&s->turn);
	s->hz = line->baud;
	return 0;
}

static void free_spi(uv_handle_t *handle)
{
	free(handle->data);
}

static void spi_close(struct link *link)
{
	struct spi *s = spi_of(link);

	spi_end(s);
	uv_close((uv_handle_t *)&s->turn, free_spi);
}

static const struct link_ops spi_ops = {spi_set_line, spi_send, spi_close};

/* 0 or a positive errno, then why says what is wrong. */
static int open_device(struct spi *s, char *why, size_t size)
{
	uint8_t mode = SPI_MODE_0, bits = 8;

	s->fd = open(s->path, O_RDWR | O_CLOEXEC);
	if (s->fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		snprintf(why, size, "%s is not there: is SPI enabled on this machine?", s->path);
		return ENOENT;
	}
	if (s->fd < 0 && errno == EACCES) {
		snprintf(why, size, "no permission to use %s: its group (ls -l %s) must be yours", s->path, s->path);
		return EACCES;
	}
	if (s->fd < 0) {
		int error = errno;

		snprintf(why, size, "%s: %s", s->path, strerror(error));
		return error;
	}
	if (flock(s->fd, LOCK_EX | LOCK_NB)) {
		snprintf(why, size, "%s is used by another program", s->path);
		return EBUSY;
	}
	if (ioctl(s->fd, SPI_IOC_WR_MODE, &mode) < 0 || ioctl(s->fd, SPI_IOC_WR_BITS_PER_WORD, &bits) < 0 ||
	    ioctl(s->fd, SPI_IOC_WR_MAX_SPEED_HZ, &s->hz) < 0) {
		snprintf(why, size, "%s is no SPI device: %s", s->path, strerror(errno));
		return ENOTTY;
	}
	return 0;
}

static struct link *device_open(uv_loop_t *loop, const char *path, const struct line *line, struct link_events events,
				int *error, char *why, size_t size)
{
	struct spi *s = calloc(1, sizeof(*s));

	if (!s) {
		*error = ENOMEM;
		snprintf(why, size, "%s: %s", path, strerror(ENOMEM));
		return NULL;
	}
	s->link = (struct link){&spi_ops, events};
	s->hz = line->baud;
	snprintf(s->path, sizeof(s->path), "%s", path);
	*error = open_device(s, why, size);
	if (*error) {
		if (s->fd >= 0)
			close(s->fd);
		free(s);
		return NULL;
	}
	uv_idle_init(loop, &s->turn);
	s->turn.data = s;
	return &s->link;
}

/* ---- a simulated chip on a socket ---- */

struct simulated {
	struct link link; /* first */
	uv_pipe_t pipe;
	bool ended;
	char path[108];
	char in[512];
};

struct sending {
	uv_write_t write;
	char bytes[];
};

static struct simulated *simulated_of(struct link *link)
{
	return (struct simulated *)link;
}

static void simulated_end(struct simulated *s)
{
	s->ended = true;
	uv_read_stop((uv_stream_t *)&s->pipe);
}

static void offer_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	struct simulated *s = handle->data;

	(void)suggested;
	*out = uv_buf_init(s->in, sizeof(s->in));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct simulated *s = stream->data;
	char say[sizeof(s->path) + 64];

	if (n > 0)
		s->link.events.received(s->link.events.ctx, (struct bytes){(const uint8_t *)buf->base, (size_t)n});
	if (n >= 0)
		return;
	snprintf(say, sizeof(say), "%s was closed by its other side", s->path);
	simulated_end(s);
	s->link.events.gone(s->link.events.ctx, EIO, say);
}

static void on_written(uv_write_t *write, int status)
{
	(void)status; /* a socket that fails ends the reading as well */
	free(write);
}

static int simulated_send(struct link *link, struct bytes b)
{
	struct simulated *s = simulated_of(link);

	if (s->ended)
		return -ENODEV;
	if (b.n % ACCESS)
		return -EINVAL;
	struct sending *out = malloc(sizeof(*out) + b.n);
	if (!out)
		return -ENOMEM;
	if (b.n)
		memcpy(out->bytes, b.p, b.n);
	uv_buf_t buf = uv_buf_init(out->bytes, (unsigned)b.n);
	int error = uv_write(&out->write, (uv_stream_t *)&s->pipe, &buf, 1, on_written);
	if (error)
		free(out);
	return error;
}

static int simulated_set_line(struct link *link, const struct line *line)
{
	(void)line; /* a socket has no clock */
	return simulated_of(link)->ended ? -ENODEV : 0;
}

static void free_simulated(uv_handle_t *handle)
{
	free(handle->data);
}

static void simulated_close(struct link *link)
{
	struct simulated *s = simulated_of(link);

	simulated_end(s);
	uv_close((uv_handle_t *)&s->pipe, free_simulated);
}

static const struct link_ops simulated_ops = {simulated_set_line, simulated_send, simulated_close};

/* A unix socket is connected to at once, or not at all. -errno when it is not. */
static int connect_to(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	if (!connect(fd, (struct sockaddr *)&at, sizeof(at)))
		return fd;
	int error = errno;
	close(fd);
	return -error;
}

static struct link *simulated_open(uv_loop_t *loop, const char *path, struct link_events events, int *error, char *why,
				   size_t size)
{
	struct simulated *s = calloc(1, sizeof(*s));
	int fd = s ? connect_to(path) : -ENOMEM;

	if (fd < 0) {
		/* A socket that nobody listens on is as good as none. */
		*error = fd == -ECONNREFUSED ? ENOENT : -fd;
		snprintf(why, size, "%s: %s", path, strerror(-fd));
		free(s);
		return NULL;
	}
	s->link = (struct link){&simulated_ops, events};
	snprintf(s->path, sizeof(s->path), "%s", path);
	uv_pipe_init(loop, &s->pipe, 0);
	s->pipe.data = s;
	uv_pipe_open(&s->pipe, fd);
	uv_read_start((uv_stream_t *)&s->pipe, offer_room, on_read);
	return &s->link;
}

/* ---- by name ---- */

struct link *spi_open(uv_loop_t *loop, const char *name, const struct line *line, struct link_events events, int *error,
		      char *why, size_t size)
{
	size_t device = strlen(SPI_DEVICE), simulated = strlen(SPI_SIMULATED);

	if (strlen(name) >= sizeof(((struct spi *)NULL)->path)) {
		*error = ENAMETOOLONG;
		snprintf(why, size, "%s: %s", name, strerror(ENAMETOOLONG));
		return NULL;
	}
	if (!strncmp(name, SPI_SIMULATED, simulated))
		return simulated_open(loop, name + simulated, events, error, why, size);
	return device_open(loop, name + (strncmp(name, SPI_DEVICE, device) ? 0 : device), line, events, error, why,
			   size);
}
