/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The frames of an open CAN interface, in and out, its state, and the end of it. */
#include "config.h"

#include "links/can.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/can.h>
#include <linux/can/error.h>
#include <linux/can/raw.h>

#include "links/can_control.h"

enum {
	TURN = 64,		/* frames in a turn of the loop: a full bus must not hold up the others */
	QUEUE = 64,		/* frames that wait for an interface that takes none */
	RETRY_MS = 5,		/* a few frames' time; a CAN socket does not tell when there is room again */
	SEND_FOR_MS = 1000,	/* then a frame is given up */
	TICK_MS = 1000,		/* between two looks at the controller */
	BUS_OFF_MS = 1000,	/* the controller is left alone so long before it is restarted */
	SILENT_TICKS = 2,	/* without a good frame: nothing gets through */
	DROP_TURNS = 16,	/* of what is thrown away in one go */
	RECEIVE_ROOM = 1 << 20, /* bytes in the kernel: a full bus for a tenth of a second at least */
	HANDLES = 3,
};

/* Bits of a frame beside its data, the pause after it included; a tenth is stuffed on top, about. */
enum { STANDARD_BITS = 47, EXTENDED_BITS = 67 };
static const double stuffing = 1.1;

struct waiting {
	struct can_frame frame;
	uint64_t since_ms;
};

struct can {
	struct link link; /* first: what others know of it */
	uv_poll_t poll;
	uv_timer_t retry, tick;
	unsigned open_handles;
	bool ended; /* closed or gone: no callback any more */
	int fd;
	unsigned index;
	char name[CAN_NAME_SIZE];

	unsigned queued;
	struct waiting queue[QUEUE];

	/* Only where the link may set the bit rate. */
	bool may_set;
	bool careful; /* at a new rate the interface listens only, until it is known to be the right one */
	uint64_t errors_before;

	struct can_controller controller;
	struct can_status status;
	uint64_t off_since_ms; /* while bus-off */
	bool restart_refused;
	struct can_traffic traffic; /* at the last tick */
	bool has_traffic;
	uint64_t traffic_ms;
	uint64_t frames_before, errors_ticked, lost_before; /* at the last tick */
	unsigned silent_ticks;				    /* that no good frame has come */
	bool losing;
	bool not_acknowledged; /* the errors since the last good frame are of this kind: no other node hears us */
	uint64_t standard_seen, extended_seen;
};

static struct can *can_of(struct link *link)
{
	return (struct can *)link;
}

/* ---- the end ---- */

static void end(struct can *c)
{
	c->ended = true;
	c->queued = 0;
	uv_poll_stop(&c->poll);
	uv_timer_stop(&c->retry);
	uv_timer_stop(&c->tick);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->status.state = CAN_BUS_STOPPED;
}

static void fail(struct can *c, int error, const char *say)
{
	end(c);
	c->link.events.gone(c->link.events.ctx, error, say);
}

/* The socket has failed. One that was down for a moment only goes on. */
static void fail_unless_up(struct can *c)
{
	char say[CAN_SAY_SIZE + CAN_NAME_SIZE];

	if (can_interface_index(c->name) != c->index) {
		snprintf(say, sizeof(say), "%s was unplugged", c->name);
		fail(c, ENODEV, say);
	} else if (can_interface_ready(c->name, say, sizeof(say)) < 0) {
		fail(c, ENETDOWN, say);
	}
}

/* ---- the state ---- */

static void set_state(struct can *c, enum can_bus_state state)
{
	if (state == c->status.state)
		return;
	if (state == CAN_BUS_OFF) {
		c->status.bus_offs++;
		c->off_since_ms = uv_now(c->tick.loop);
		c->restart_refused = false;
	} else if (c->status.state == CAN_BUS_OFF) {
		c->status.restarts++;
	}
	c->status.state = state;
}

static void look_at_controller(struct can *c)
{
	struct can_controller *k = &c->controller;

	/* What never had one is not asked again. */
	if (k->state == CAN_BUS_UNKNOWN)
		return;
	can_controller_read(c->name, k);
	if (k->state == CAN_BUS_UNKNOWN)
		return;
	set_state(c, k->state);
	c->status.bitrate = k->bitrate;
	c->status.listen_only = k->listen_only;
	if (k->has_errors) {
		c->status.has_errors = true;
		c->status.tx_errors = k->tx_errors;
		c->status.rx_errors = k->rx_errors;
		/* Missing acknowledgements count in one direction only, and never lead to bus-off. */
		if (k->state == CAN_BUS_PASSIVE)
			c->not_acknowledged = !k->rx_errors;
	}
}

/* The controller's part of an error frame (the kernel's can/error.h). */
static void note_controller_error(struct can *c, uint8_t bits)
{
	if (bits & (CAN_ERR_CRTL_RX_PASSIVE | CAN_ERR_CRTL_TX_PASSIVE)) {
		c->not_acknowledged = !(bits & CAN_ERR_CRTL_RX_PASSIVE);
		set_state(c, CAN_BUS_PASSIVE);
	} else if (bits & (CAN_ERR_CRTL_RX_WARNING | CAN_ERR_CRTL_TX_WARNING)) {
		set_state(c, CAN_BUS_WARNING);
	} else if (bits & CAN_ERR_CRTL_ACTIVE) {
		set_state(c, CAN_BUS_ACTIVE);
	}
}

static void note_error(struct can *c, const struct can_frame *f)
{
	c->status.error_frames++;
	if (f->can_id & CAN_ERR_ACK)
		c->not_acknowledged = true;
	else if (f->can_id & CAN_ERR_PROT)
		c->not_acknowledged = f->data[3] == CAN_ERR_PROT_LOC_ACK;
	if (f->can_id & CAN_ERR_CRTL)
		note_controller_error(c, f->data[1]);
	if (f->can_id & CAN_ERR_CNT) {
		c->status.has_errors = true;
		c->status.tx_errors = f->data[6];
		c->status.rx_errors = f->data[7];
	}
	if (f->can_id & CAN_ERR_RESTARTED)
		set_state(c, CAN_BUS_ACTIVE);
	if (f->can_id & CAN_ERR_BUSOFF)
		set_state(c, CAN_BUS_OFF);
}

static void note_good(struct can *c, const struct can_frame *f)
{
	c->status.frames_in++;
	c->not_acknowledged = false;
	*(f->can_id & CAN_EFF_FLAG ? &c->extended_seen : &c->standard_seen) += 1;
	/* Who hears others takes part; where there is a controller it says so itself. */
	if (c->status.state == CAN_BUS_OFF && c->controller.state == CAN_BUS_UNKNOWN)
		set_state(c, CAN_BUS_ACTIVE);
}

/* ---- once a second ---- */

/* The interface's own counters: filters keep most frames from us. Which of those were long is guessed from ours. */
static double load(const struct can *c, const struct can_traffic *now, uint64_t ms)
{
	uint64_t seen = c->standard_seen + c->extended_seen;
	double extended = seen ? (double)c->extended_seen / (double)seen : 0;
	double bits = (double)(now->frames - c->traffic.frames) *
			      (STANDARD_BITS + extended * (EXTENDED_BITS - STANDARD_BITS)) +
		      8 * (double)(now->bytes - c->traffic.bytes);

	return fmin(bits * stuffing * 1000 / ((double)ms * c->status.bitrate), 1);
}

static void look_at_traffic(struct can *c)
{
	uint64_t now_ms = uv_now(c->tick.loop), ms = now_ms - c->traffic_ms;
	uint64_t errors = c->status.error_frames - c->errors_ticked;
	struct can_traffic now = {0};
	bool has = can_traffic_read(c->name, &now);
	/* Older drivers count error frames as received. */
	bool good = c->status.frames_in != c->frames_before ||
		    (has && c->has_traffic && now.received - c->traffic.received > errors);

	c->status.load = has && c->has_traffic && c->status.bitrate && ms ? load(c, &now, ms) : NAN;
	c->silent_ticks = good ? 0 : c->silent_ticks + 1;
	c->losing = c->status.lost != c->lost_before;
	c->has_traffic = has;
	c->traffic = now;
	c->traffic_ms = now_ms;
	c->frames_before = c->status.frames_in;
	c->errors_ticked = c->status.error_frames;
	c->lost_before = c->status.lost;
}

static void restart_after_bus_off(struct can *c)
{
	if (c->status.state != CAN_BUS_OFF || c->controller.restart_ms || c->restart_refused ||
	    uv_now(c->tick.loop) - c->off_since_ms < BUS_OFF_MS)
		return;
	if (can_controller_restart(c->name))
		look_at_controller(c);
	else
		c->restart_refused = true;
}

static void on_tick(uv_timer_t *timer)
{
	struct can *c = timer->data;

	look_at_controller(c);
	look_at_traffic(c);
	restart_after_bus_off(c);
}

/* ---- what to say of it ---- */

/* Errors is all that was heard since the rate was set. */
static bool at_wrong_rate(const struct can *c)
{
	return c->careful && c->status.error_frames != c->errors_before;
}

static void say_bus_off(const struct can *c, char *out, size_t size)
{
	if (c->controller.restart_ms)
		snprintf(out, size, "bus-off: wrong bit rate, or a bad cable; the kernel tries again");
	else if (c->restart_refused)
		snprintf(out, size, "bus-off: check bit rate and cable, then `ip link set %s type can restart`",
			 c->name);
	else
		snprintf(out, size, "bus-off: wrong bit rate, or a bad cable; tried again each second");
}

static void say_silent(const struct can *c, char *out, size_t size)
{
	if (c->not_acknowledged)
		snprintf(out, size,
			 "nobody hears what is sent: is the battery connected, switched on, at this bit rate?");
	else if (c->status.bitrate)
		snprintf(out, size,
			 "only errors, no good frame: wrong bit rate (now %u), no other node, or a bad cable",
			 c->status.bitrate);
	else
		snprintf(out, size, "only errors, no good frame: wrong bit rate, no other node, or a bad cable");
}

static void say(const struct can *c, char *out, size_t size)
{
	enum can_bus_state state = c->status.state;

	out[0] = 0;
	if (c->ended)
		snprintf(out, size, "%s is down", c->name);
	else if (state == CAN_BUS_STOPPED)
		snprintf(out, size, "stopped: `ip link set %s down`, then `up`", c->name);
	else if (state == CAN_BUS_OFF)
		say_bus_off(c, out, size);
	else if (at_wrong_rate(c))
		snprintf(out, size, "only errors at %u bit/s: the wrong bit rate, so nothing is sent",
			 c->status.bitrate);
	else if (state == CAN_BUS_PASSIVE && c->silent_ticks >= SILENT_TICKS)
		say_silent(c, out, size);
	else if (state == CAN_BUS_PASSIVE || state == CAN_BUS_WARNING)
		snprintf(out, size, "many errors on the bus: check the cable, and 120 ohm at both ends");
	else if (c->losing)
		snprintf(out, size, "frames are lost: this machine does not keep up with the bus");
	else if (c->status.listen_only && !c->careful)
		snprintf(out, size, "listen-only: nothing can be asked; `ip link set %s type can listen-only off`",
			 c->name);
}

void can_status(struct link *link, struct can_status *out)
{
	const struct can *c = can_of(link);

	*out = c->status;
	say(c, out->say, sizeof(out->say));
}

/* ---- receiving ---- */

static void on_ready(uv_poll_t *poll, int status, int events);

/* Fails only when the descriptor is bad, which the next turn finds out as well. */
static void watch(struct can *c)
{
	uv_poll_start(&c->poll, UV_READABLE, on_ready);
}

/* Room for what recvmmsg brings: frames, and how many were lost before each. */
struct batch {
	struct can_frame frames[TURN];
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(uint32_t))];
	} lost[TURN];
	struct iovec places[TURN];
	struct mmsghdr messages[TURN];
};

static int receive_batch(int fd, struct batch *b)
{
	for (unsigned i = 0; i < TURN; i++) {
		b->places[i] = (struct iovec){&b->frames[i], sizeof(b->frames[i])};
		b->messages[i].msg_hdr = (struct msghdr){
			.msg_iov = &b->places[i],
			.msg_iovlen = 1,
			.msg_control = &b->lost[i],
			.msg_controllen = sizeof(b->lost[i]),
		};
	}
	return recvmmsg(fd, b->messages, TURN, MSG_DONTWAIT, NULL);
}

/* The kernel counts since the socket was opened, in 32 bits. */
static void note_lost(struct can *c, struct msghdr *message)
{
	uint32_t total;

	for (struct cmsghdr *m = CMSG_FIRSTHDR(message); m; m = CMSG_NXTHDR(message, m)) {
		if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SO_RXQ_OVFL)
			continue;
		memcpy(&total, CMSG_DATA(m), sizeof(total));
		c->status.lost += total - (uint32_t)c->status.lost;
	}
}

/* Appends the frame's bytes to out unless it tells of an error; how many. */
static size_t take_frame(struct can *c, const struct can_frame *f, uint8_t *out)
{
	struct can_message m = {.id = f->can_id, .n = f->can_dlc};

	if (f->can_id & CAN_ERR_FLAG) {
		note_error(c, f);
		return 0;
	}
	if (f->can_dlc > sizeof(m.data))
		return 0;
	note_good(c, f);
	if (!(f->can_id & CAN_RTR_FLAG))
		memcpy(m.data, f->data, m.n);
	can_write(&m, out);
	return CAN_BYTES;
}

static void end_care(struct can *c);

static void receive(struct can *c)
{
	uint8_t run[TURN * CAN_BYTES];
	struct batch b;
	size_t n = 0;
	int got = receive_batch(c->fd, &b);

	if (got < 0 && errno != EAGAIN && errno != EINTR) {
		fail_unless_up(c);
		return;
	}
	for (int i = 0; i < got; i++) {
		note_lost(c, &b.messages[i].msg_hdr);
		if (b.messages[i].msg_len == sizeof(b.frames[i]))
			n += take_frame(c, &b.frames[i], run + n);
	}
	if (!n)
		return;
	if (c->careful)
		end_care(c);
	c->link.events.received(c->link.events.ctx, (struct bytes){run, n});
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct can *c = poll->data;

	(void)events;
	receive(c);
	/* An error ends the watching, were it only that the interface was down for a moment. */
	if (status < 0 && !c->ended)
		watch(c);
}

/* What was received and not yet delivered. */
static void drop_received(struct can *c)
{
	struct batch b;

	for (int turn = 0; turn < DROP_TURNS; turn++)
		if (receive_batch(c->fd, &b) < TURN)
			return;
}

/* ---- sending ---- */

static void on_retry(uv_timer_t *timer);

/* Sends what waits, the eldest first. 0, or -errno when the first one can never be sent. */
static int send_queued(struct can *c)
{
	unsigned n = 0;
	int error = 0;

	while (n < c->queued) {
		if (write(c->fd, &c->queue[n].frame, sizeof(c->queue[n].frame)) < 0) {
			error = -errno;
			break;
		}
		c->status.frames_out++;
		n++;
	}
	c->queued -= n;
	memmove(c->queue, c->queue + n, c->queued * sizeof(c->queue[0]));
	if (!error)
		return 0;
	if (error == -ENOBUFS || error == -EAGAIN || error == -EINTR) {
		uv_timer_start(&c->retry, on_retry, RETRY_MS, 0);
		return 0;
	}
	c->queued = 0;
	return error;
}

static void on_retry(uv_timer_t *timer)
{
	struct can *c = timer->data;
	uint64_t now = uv_now(timer->loop);
	unsigned old = 0;

	while (old < c->queued && now - c->queue[old].since_ms >= SEND_FOR_MS)
		old++;
	c->queued -= old;
	c->status.unsent += old;
	memmove(c->queue, c->queue + old, c->queued * sizeof(c->queue[0]));
	/* The socket tells what else is the matter. */
	send_queued(c);
}

static bool frame_from(struct bytes b, struct can_frame *f)
{
	struct can_message m;

	if (!can_read(b, &m) || m.id & CAN_ERROR)
		return false;
	*f = (struct can_frame){.can_id = m.id, .can_dlc = m.n};
	memcpy(f->data, m.data, sizeof(m.data));
	return true;
}

static int link_can_send(struct link *link, struct bytes b)
{
	struct can *c = can_of(link);
	size_t n = b.n / CAN_BYTES;
	bool waiting = c->queued;

	if (c->ended)
		return -ENODEV;
	if (b.n % CAN_BYTES)
		return -EINVAL;
	if (n > QUEUE - c->queued)
		return -ENOBUFS;
	if (at_wrong_rate(c))
		return -EBUSY;
	/* The loop's time may be that of before a long call, and a frame's second over at once. */
	uv_update_time(c->retry.loop);
	for (size_t i = 0; i < n; i++) {
		struct waiting *w = &c->queue[c->queued + i];

		if (!frame_from(bytes_sub(b, i * CAN_BYTES, CAN_BYTES), &w->frame))
			return -EINVAL;
		w->since_ms = uv_now(c->retry.loop);
	}
	if (n && c->careful)
		end_care(c);
	c->queued += (unsigned)n;
	return waiting || !n ? 0 : send_queued(c);
}

/* ---- the bit rate ---- */

static int change_rate(struct can *c, uint32_t bitrate, bool listen_only)
{
	char why[CAN_SAY_SIZE];
	int pending, error = can_up(c->name, bitrate, listen_only, why, sizeof(why));
	socklen_t size = sizeof(pending);

	/* That it was down was us; if it still is, the next turn shall find out. */
	if (!error)
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &pending, &size);
	watch(c);
	look_at_controller(c);
	return error;
}

/* The rate is right, or nobody is there who could be disturbed. */
static void end_care(struct can *c)
{
	c->careful = false;
	change_rate(c, c->status.bitrate, false);
}

static void be_careful(struct can *c, bool careful)
{
	c->careful = careful;
	c->errors_before = c->status.error_frames;
}

static int link_can_set_line(struct link *link, const struct line *line)
{
	struct can *c = can_of(link);

	if (c->ended)
		return -ENODEV;
	if (!c->may_set || !line->baud || c->controller.state == CAN_BUS_UNKNOWN ||
	    can_rate_is(c->controller.bitrate, line->baud))
		return 0;
	c->queued = 0;
	int error = change_rate(c, line->baud, true);
	drop_received(c);
	be_careful(c, c->status.listen_only);
	return error;
}

void can_allow_bitrate(struct link *link, bool allow)
{
	struct can *c = can_of(link);

	c->may_set = allow;
	be_careful(c, allow && c->status.listen_only);
}

/* ---- filters ---- */

/* For the kernel the mark of error frames in a filter means something else. */
static struct can_filter kernel_filter(const struct can_ids *ids)
{
	return (struct can_filter){ids->id & ~CAN_ERROR, ids->mask & ~CAN_ERROR};
}

int can_set_filters(struct link *link, const struct can_ids *ids, unsigned n)
{
	static const struct can_filter all;
	struct can_filter filters[CAN_RAW_FILTER_MAX];
	struct can *c = can_of(link);
	const struct can_filter *set = filters;

	if (c->ended)
		return -ENODEV;
	for (unsigned i = 0; i < n && i < CAN_RAW_FILTER_MAX; i++)
		filters[i] = kernel_filter(&ids[i]);
	if (!n || n > CAN_RAW_FILTER_MAX) {
		set = &all;
		n = 1;
	}
	return setsockopt(c->fd, SOL_CAN_RAW, CAN_RAW_FILTER, set, (socklen_t)(n * sizeof(*set))) ? -errno : 0;
}

/* ---- opening and closing ---- */

static void on_closed(uv_handle_t *handle)
{
	struct can *c = handle->data;

	if (--c->open_handles == 0)
		free(c);
}

static void link_can_close(struct link *link)
{
	struct can *c = can_of(link);

	end(c);
	uv_close((uv_handle_t *)&c->poll, on_closed);
	uv_close((uv_handle_t *)&c->retry, on_closed);
	uv_close((uv_handle_t *)&c->tick, on_closed);
}

static const struct link_ops can_ops = {link_can_set_line, link_can_send, link_can_close};

/* -errno; why says what is wrong. */
static int refuse_socket(const char *name, int error, char *why, size_t size)
{
	if (error == EAFNOSUPPORT || error == EPROTONOSUPPORT) {
		snprintf(why, size, "%s: no CAN in this kernel: `modprobe can_raw`, or a kernel that has it", name);
		return -EAFNOSUPPORT;
	}
	if (error == EPERM || error == EACCES) {
		snprintf(why, size, "%s: no permission to use CAN: this system allows it to no ordinary program", name);
		return -EPERM;
	}
	snprintf(why, size, "%s: %s", name, strerror(error));
	return -error;
}

static void prepare_socket(int fd)
{
	const can_err_mask_t errors = CAN_ERR_MASK;
	const int on = 1, room = RECEIVE_ROOM;

	setsockopt(fd, SOL_CAN_RAW, CAN_RAW_ERR_FILTER, &errors, sizeof(errors));
	setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
	/* Beyond the system's limit where that is allowed. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
}

/* 0 or -errno, then why says what is wrong. */
static int open_socket(struct can *c, const char *name, char *why, size_t size)
{
	struct sockaddr_can at = {.can_family = AF_CAN};
	/* What no kernel could have is said first. */
	bool a_name = strlen(name) < sizeof(c->name) && !strchr(name, '/');
	int fd = a_name ? socket(AF_CAN, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, CAN_RAW) : -1;

	if (fd < 0 && a_name)
		return refuse_socket(name, errno, why, size);
	at.can_ifindex = can_interface_ready(name, why, size);
	if (at.can_ifindex < 0)
		goto close_it;
	prepare_socket(fd);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at))) {
		at.can_ifindex = refuse_socket(name, errno, why, size);
		goto close_it;
	}
	c->fd = fd;
	c->index = (unsigned)at.can_ifindex;
	snprintf(c->name, sizeof(c->name), "%s", name);
	return 0;

close_it:
	if (fd >= 0)
		close(fd);
	return at.can_ifindex;
}

static void start(struct can *c)
{
	c->poll.data = c->retry.data = c->tick.data = c;
	c->open_handles = HANDLES;
	c->status.load = NAN;
	c->controller.state = CAN_BUS_STOPPED; /* until asked */
	look_at_controller(c);
	look_at_traffic(c);
	watch(c);
	uv_timer_start(&c->tick, on_tick, TICK_MS, TICK_MS);
}

struct link *can_open(uv_loop_t *loop, const char *name, const struct line *line, struct link_events events, int *error,
		      char *why, size_t size)
{
	struct can *c = calloc(1, sizeof(*c));

	(void)line;
	name = can_interface_name(name);
	if (!c) {
		*error = ENOMEM;
		snprintf(why, size, "%s: %s", name, strerror(ENOMEM));
		return NULL;
	}
	c->link = (struct link){&can_ops, events};
	*error = -open_socket(c, name, why, size);
	if (*error)
		goto no_socket;
	*error = -uv_poll_init(loop, &c->poll, c->fd);
	if (*error) {
		snprintf(why, size, "%s cannot be watched: %s", name, strerror(*error));
		close(c->fd);
		goto no_socket;
	}
	uv_timer_init(loop, &c->retry);
	uv_timer_init(loop, &c->tick);
	start(c);
	return &c->link;

no_socket:
	free(c);
	return NULL;
}
