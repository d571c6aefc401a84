/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The CAN link on a kernel that has CAN (tests/uml-run brings one): on vcan against can-utils, on an slcan adapter
 * whose other side is this file, and with a controller played here for what neither can be made to do.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <linux/can.h>
#include <linux/sockios.h>
#include <linux/tty.h>
#include <net/if.h>

#include <libsocketcan.h>

#include "links/can.h"

enum { PATIENCE_MS = 20000, LOTS = 1 << 20, TURN_BYTES = 64 * CAN_BYTES };

/* ---- the kernel's part ---- */

static int no_socket; /* the errno with which AF_CAN is refused; 0 = it is not */

/* Takes libc's place in this program. */
int socket(int domain, int type, int protocol)
{
	if (domain == AF_CAN && no_socket) {
		errno = no_socket;
		return -1;
	}
	return (int)syscall(SYS_socket, domain, type, protocol);
}

/* The controller of an interface that has none. */
static struct {
	bool there;
	int state;
	uint32_t bitrate, restart_ms;
	uint16_t tx_errors, rx_errors;
	bool restartable;
	unsigned restarts;
} played;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int can_get_state(const char *name, int *state)
{
	if (!played.there)
		return REAL(can_get_state)(name, state);
	*state = played.state;
	return 0;
}

int can_get_bittiming(const char *name, struct can_bittiming *timing)
{
	if (!played.there)
		return REAL(can_get_bittiming)(name, timing);
	*timing = (struct can_bittiming){.bitrate = played.bitrate};
	return 0;
}

int can_get_restart_ms(const char *name, uint32_t *ms)
{
	if (!played.there)
		return REAL(can_get_restart_ms)(name, ms);
	*ms = played.restart_ms;
	return 0;
}

int can_get_berr_counter(const char *name, struct can_berr_counter *errors)
{
	if (!played.there)
		return REAL(can_get_berr_counter)(name, errors);
	*errors = (struct can_berr_counter){played.tx_errors, played.rx_errors};
	return 0;
}

int can_do_restart(const char *name)
{
	if (!played.there)
		return REAL(can_do_restart)(name);
	played.restarts++;
	if (!played.restartable)
		return -1;
	played.state = CAN_STATE_ERROR_ACTIVE;
	return 0;
}

/* ---- the owner of a link ---- */

struct fixture {
	uv_loop_t loop;
	uv_timer_t patience;
	bool impatient;
	struct link *link;
	bool close_on_receive, close_on_gone;
	uint8_t *got;
	size_t got_n, largest;
	unsigned gone;
	int gone_error;
	char said[512];
	int error; /* of the last open */
	char why[512];
	struct can_status status;
	unsigned descriptors; /* that were open before */
	uint64_t wanted;      /* frames */

	/* The other side of an slcan adapter. */
	int master, slave;
	char adapter[IFNAMSIZ];
	uv_thread_t listener;
	uv_mutex_t lock; /* of the rest */
	bool stop, deaf;
	char heard[LOTS];
	size_t heard_n;
};

static void close_link(struct fixture *f)
{
	if (f->link)
		link_close(f->link);
	f->link = NULL;
}

static void on_received(void *ctx, struct bytes b)
{
	struct fixture *f = ctx;

	assert_true(b.n > 0 && b.n % CAN_BYTES == 0 && f->got_n + b.n <= LOTS);
	memcpy(f->got + f->got_n, b.p, b.n);
	f->got_n += b.n;
	f->largest = b.n > f->largest ? b.n : f->largest;
	if (f->close_on_receive)
		close_link(f);
}

static void on_gone(void *ctx, int error, const char *say)
{
	struct fixture *f = ctx;

	f->gone++;
	f->gone_error = error;
	snprintf(f->said, sizeof(f->said), "%s", say);
	if (f->close_on_gone)
		close_link(f);
}

static const struct line any_line = {250000, 8, 'N', 1};

static struct link *open_at(struct fixture *f, const char *name)
{
	f->error = 0;
	f->why[0] = 0;
	return can_open(&f->loop, name, &any_line, (struct link_events){on_received, on_gone, f}, &f->error, f->why,
			sizeof(f->why));
}

static void open_link(struct fixture *f, const char *name)
{
	f->link = open_at(f, name);
	if (!f->link)
		fail_msg("%s", f->why);
}

static void assert_says(const char *text, const char *word)
{
	if (!strstr(text, word))
		fail_msg("\"%s\" does not say \"%s\"", text, word);
}

static void assert_refused(struct fixture *f, const char *name, int error, const char *word)
{
	assert_null(open_at(f, name));
	assert_says(f->why, word);
	assert_int_equal(f->error, error);
}

static const struct can_status *status(struct fixture *f)
{
	can_status(f->link, &f->status);
	return &f->status;
}

/* ---- time ---- */

static void on_patience(uv_timer_t *timer)
{
	((struct fixture *)timer->data)->impatient = true;
}

/* Runs the loop until done(f); fails when that takes far too long. */
static void run_until(struct fixture *f, bool (*done)(struct fixture *f))
{
	f->impatient = false;
	uv_timer_start(&f->patience, on_patience, PATIENCE_MS, 0);
	while (!done(f) && !f->impatient)
		uv_run(&f->loop, UV_RUN_ONCE);
	uv_timer_stop(&f->patience);
	assert_false(f->impatient);
}

static void run_for(struct fixture *f, uint64_t ms)
{
	uv_update_time(&f->loop);
	f->impatient = false;
	uv_timer_start(&f->patience, on_patience, ms, 0);
	while (!f->impatient)
		uv_run(&f->loop, UV_RUN_ONCE);
}

static bool is_gone(struct fixture *f)
{
	return f->gone > 0;
}

static bool has_wanted(struct fixture *f)
{
	return f->got_n >= f->wanted * CAN_BYTES;
}

static void run_until_received(struct fixture *f, unsigned frames)
{
	f->wanted = frames;
	run_until(f, has_wanted);
}

static bool all_accounted_for(struct fixture *f)
{
	const struct can_status *s = status(f);

	return s->frames_in + s->lost >= f->wanted;
}

static bool is_bus_off(struct fixture *f)
{
	return status(f)->state == CAN_BUS_OFF;
}

static bool is_active(struct fixture *f)
{
	return status(f)->state == CAN_BUS_ACTIVE;
}

static bool is_passive(struct fixture *f)
{
	return status(f)->state == CAN_BUS_PASSIVE;
}

static bool says_something(struct fixture *f)
{
	return status(f)->say[0];
}

static bool is_hopeless(struct fixture *f)
{
	return strstr(status(f)->say, "no good frame");
}

static bool is_unheard(struct fixture *f)
{
	return strstr(status(f)->say, "nobody hears");
}

static bool has_many_errors(struct fixture *f)
{
	return strstr(status(f)->say, "many errors");
}

static bool knows_load(struct fixture *f)
{
	return status(f)->load > 0;
}

static bool has_given_up(struct fixture *f)
{
	return status(f)->unsent > 0;
}

static bool was_restarted(struct fixture *f)
{
	(void)f;
	return played.restarts > 0;
}

/* ---- the others on the bus ---- */

__attribute__((format(printf, 1, 2))) static void sh(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static void assert_received(struct fixture *f, const char *expected)
{
	char text[4096];

	can_run_text((struct bytes){f->got, f->got_n}, text, sizeof(text));
	assert_string_equal(text, expected);
	f->got_n = 0;
}

static int send_texts(struct fixture *f, const char *const *texts)
{
	uint8_t run[64 * CAN_BYTES];
	size_t n = 0;

	for (; *texts; texts++, n += CAN_BYTES) {
		struct can_message m;

		assert_true(can_parse(*texts, &m));
		can_write(&m, run + n);
	}
	return link_send(f->link, (struct bytes){run, n});
}

static int send_text(struct fixture *f, const char *text)
{
	return send_texts(f, (const char *const[]){text, NULL});
}

/* Another program's socket. */
static int other_socket(const char *name)
{
	struct sockaddr_can at = {.can_family = AF_CAN, .can_ifindex = (int)if_nametoindex(name)};
	int fd = socket(AF_CAN, SOCK_RAW | SOCK_CLOEXEC, CAN_RAW);

	assert_true(fd >= 0 && !bind(fd, (struct sockaddr *)&at, sizeof(at)));
	return fd;
}

static void send_many(const char *name, unsigned n)
{
	int fd = other_socket(name);

	for (unsigned i = 0; i < n; i++) {
		struct can_frame frame = {.can_id = i & 0x7ff, .can_dlc = 8};

		assert_int_equal(write(fd, &frame, sizeof(frame)), sizeof(frame));
	}
	close(fd);
}

/* ---- an adapter with a bit rate: slcan, whose other side speaks text ---- */

/* A thread, since the kernel waits for the other side to read while it sets a bit rate. */
static void listen_to_adapter(void *arg)
{
	struct fixture *f = arg;
	struct pollfd ready = {f->master, POLLIN, 0};
	bool stop = false;

	while (!stop) {
		int events = poll(&ready, 1, 10);

		uv_mutex_lock(&f->lock);
		ssize_t n = events > 0 && !f->deaf
				    ? read(f->master, f->heard + f->heard_n, sizeof(f->heard) - 1 - f->heard_n)
				    : 0;
		f->heard_n += n > 0 ? (size_t)n : 0;
		f->heard[f->heard_n] = 0;
		stop = f->stop;
		uv_mutex_unlock(&f->lock);
		if (events > 0 && n <= 0)
			usleep(1000);
	}
}

static void set_deaf(struct fixture *f, bool deaf)
{
	uv_mutex_lock(&f->lock);
	f->deaf = deaf;
	uv_mutex_unlock(&f->lock);
}

static void plug(struct fixture *f)
{
	struct termios raw;
	int discipline = N_SLCAN;

	f->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	assert_true(f->master >= 0 && !grantpt(f->master) && !unlockpt(f->master));
	f->slave = open(ptsname(f->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(f->slave >= 0);
	tcgetattr(f->slave, &raw);
	cfmakeraw(&raw);
	tcsetattr(f->slave, TCSANOW, &raw);
	assert_int_equal(ioctl(f->slave, TIOCSETD, &discipline), 0);
	assert_int_equal(ioctl(f->slave, SIOCGIFNAME, f->adapter), 0);
	f->stop = f->deaf = false;
	assert_int_equal(uv_thread_create(&f->listener, listen_to_adapter, f), 0);
}

static void forget_heard(struct fixture *f)
{
	uv_mutex_lock(&f->lock);
	f->heard_n = 0;
	f->heard[0] = 0;
	uv_mutex_unlock(&f->lock);
}

/* The interface is still told good-bye while somebody listens, or it waits a second for that. */
static void put_away(struct fixture *f)
{
	if (f->slave >= 0)
		close(f->slave);
	f->slave = -1;
	if (f->master < 0)
		return;
	uv_mutex_lock(&f->lock);
	f->stop = true;
	uv_mutex_unlock(&f->lock);
	uv_thread_join(&f->listener);
	close(f->master);
	f->master = -1;
	forget_heard(f);
}

/* The cable is pulled. */
static void unplug(struct fixture *f)
{
	int slave = f->slave;

	f->slave = -1;
	put_away(f);
	close(slave);
}

/* Was the adapter told this since the last forget_heard()? */
static bool heard(struct fixture *f, const char *text)
{
	uv_mutex_lock(&f->lock);
	bool yes = f->heard_n && strstr(f->heard, text);
	uv_mutex_unlock(&f->lock);
	return yes;
}

static void run_until_heard(struct fixture *f, const char *text)
{
	for (int i = 0; i < 1000 && !heard(f, text); i++)
		run_for(f, 10);
	assert_says(f->heard, text);
}

/* Everything that was on its way is in by then. */
static void assert_heard_nothing(struct fixture *f)
{
	run_for(f, 100);
	uv_mutex_lock(&f->lock);
	size_t n = f->heard_n;
	uv_mutex_unlock(&f->lock);
	assert_int_equal(n, 0);
}

static void tell(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->master, text, strlen(text)), strlen(text));
}

/* ---- set up and tear down ---- */

static unsigned count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->got = malloc(LOTS);
	assert_non_null(f->got);
	f->master = f->slave = -1;
	uv_mutex_init(&f->lock);
	f->descriptors = count_descriptors();
	no_socket = 0;
	memset(&played, 0, sizeof(played));
	uv_loop_init(&f->loop);
	uv_timer_init(&f->loop, &f->patience);
	f->patience.data = f;
	*state = f;
	sh("ip link set vcan0 up");
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	close_link(f);
	uv_close((uv_handle_t *)&f->patience, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	put_away(f);
	assert_int_equal(count_descriptors(), f->descriptors);
	uv_mutex_destroy(&f->lock);
	free(f->got);
	free(f);
	return 0;
}

/* ---- frames ---- */

static void frames_of_another_program_arrive(void **state)
{
	struct fixture *f = *state;

	open_link(f, "vcan0");
	sh("cansend vcan0 123#0102; cansend vcan0 18900140#1122334455667788; cansend vcan0 7FF#; cansend vcan0 456#R");
	run_until_received(f, 4);
	assert_received(f, "123#0102 18900140#1122334455667788 7FF# 456#R");
	assert_int_equal(status(f)->frames_in, 4);
	assert_int_equal(status(f)->lost, 0);
	assert_string_equal(status(f)->say, "");
}

static void another_program_sees_what_is_sent(void **state)
{
	struct fixture *f = *state;
	FILE *dump = popen("exec candump -L -n 4 vcan0 2>&1", "r");
	char line[128], seen[256] = "";

	open_link(f, "can:vcan0");
	/* candump needs a moment to be there; what it has not seen is sent again. */
	struct pollfd ready = {fileno(dump), POLLIN, 0};
	do
		assert_int_equal(send_text(f, "100#"), 0);
	while (poll(&ready, 1, 100) == 0);
	assert_int_equal(send_texts(f, (const char *const[]){"123#0102", "18900140#1122334455667788", "456#R", NULL}),
			 0);
	while (fgets(line, sizeof(line), dump)) {
		char *text = strrchr(line, ' ');

		line[strcspn(line, "\n")] = 0;
		if (text && strcmp(text, " 100#"))
			strcat(seen, text);
	}
	pclose(dump);
	/* Those at the end may be missing when it saw more of the first kind. */
	assert_true(seen[0] && !strncmp(seen, " 123#0102 18900140#1122334455667788 456#R", strlen(seen)));
	assert_true(status(f)->frames_out >= 4);
}

static void own_frames_do_not_come_back(void **state)
{
	struct fixture *f = *state;

	open_link(f, "vcan0");
	assert_int_equal(send_text(f, "123#01"), 0);
	sh("cansend vcan0 124#02");
	run_until_received(f, 1);
	assert_received(f, "124#02");
}

static void what_is_no_frame_is_not_sent(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[CAN_BYTES] = {0, 0, 1, 0, 9};

	open_link(f, "vcan0");
	assert_int_equal(link_send(f->link, (struct bytes){frame, CAN_BYTES - 1}), -EINVAL);
	assert_int_equal(link_send(f->link, (struct bytes){frame, CAN_BYTES}), -EINVAL);
	assert_int_equal(send_text(f, "20000040#0000000000000000"), -EINVAL);
	assert_int_equal(send_texts(f, (const char *const[]){"123#01", "20000040#00", NULL}), -EINVAL);
	assert_int_equal(link_send(f->link, (struct bytes){frame, 0}), 0);
	assert_int_equal(status(f)->frames_out, 0);
}

static void a_turn_takes_so_many_frames_only(void **state)
{
	struct fixture *f = *state;

	open_link(f, "vcan0");
	send_many("vcan0", 150);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->got_n, TURN_BYTES);
	run_until_received(f, 150);
	assert_int_equal(f->largest, TURN_BYTES);
	for (unsigned i = 0; i < 150; i++)
		assert_int_equal(u32be_at((struct bytes){f->got, f->got_n}, i * CAN_BYTES), i);
}

static void what_is_not_fetched_in_time_is_counted(void **state)
{
	struct fixture *f = *state;

	open_link(f, "vcan0");
	send_many("vcan0", 4000);
	run_until_received(f, 1);
	run_for(f, 100);
	/* The kernel tells with the next frame. */
	send_many("vcan0", 1);
	f->wanted = 4001;
	run_until(f, all_accounted_for);
	assert_true(status(f)->lost > 0);
	assert_int_equal(status(f)->frames_in + status(f)->lost, 4001);
	assert_int_equal(status(f)->frames_in, f->got_n / CAN_BYTES);
	run_until(f, says_something);
	assert_says(status(f)->say, "lost");
}

static void a_full_bus_is_received_to_the_last_frame(void **state)
{
	struct fixture *f = *state;

	open_link(f, "vcan0");
	sh("cangen vcan0 -g 1 -n 1000 -I i -L 8 &");
	run_until_received(f, 1000);
	assert_int_equal(status(f)->lost, 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(u32be_at((struct bytes){f->got, f->got_n}, i * CAN_BYTES), i);
}

static void a_flood_is_received_or_counted(void **state)
{
	struct fixture *f = *state;

	open_link(f, "vcan0");
	sh("(cangen vcan0 -g 0 -n 8000 -e -L 8; cansend vcan0 123#) &");
	f->wanted = 8001;
	run_until(f, all_accounted_for);
	assert_int_equal(status(f)->frames_in + status(f)->lost, 8001);
}

static void a_link_may_be_closed_while_it_delivers(void **state)
{
	struct fixture *f = *state;

	open_link(f, "vcan0");
	f->close_on_receive = true;
	send_many("vcan0", 100);
	run_until_received(f, 1);
	assert_null(f->link);
	run_for(f, 50);
	assert_int_equal(f->got_n, TURN_BYTES);
}

/* ---- filters ---- */

#define KINDS (CAN_EXTENDED | CAN_REMOTE | CAN_ERROR)

static void only_wanted_frames_are_received(void **state)
{
	struct fixture *f = *state;
	const struct can_ids ids[] = {{0x100, KINDS | 0x7f0}, {CAN_EXTENDED | 0x18900000, KINDS | 0x1fff0000}};

	open_link(f, "vcan0");
	assert_int_equal(can_set_filters(f->link, ids, 2), 0);
	sh("for t in 123#01 105#02 105#R 00000105#03 18904001#04 18914001#05 10F#06; do cansend vcan0 $t; done");
	run_until_received(f, 3);
	assert_received(f, "105#02 18904001#04 10F#06");
	sh("cansend vcan0 20000040#0000000000000000; cansend vcan0 101#");
	run_until_received(f, 1);
	assert_received(f, "101#");
	assert_int_equal(status(f)->error_frames, 1);
}

static void without_filters_everything_is_received(void **state)
{
	struct fixture *f = *state;
	const struct can_ids one = {0x100, KINDS | 0x7ff};
	static struct can_ids many[600];

	for (unsigned i = 0; i < 600; i++)
		many[i] = (struct can_ids){0x100 + i, KINDS | 0x7ff};
	open_link(f, "vcan0");
	assert_int_equal(can_set_filters(f->link, &one, 1), 0);
	assert_int_equal(can_set_filters(f->link, NULL, 0), 0);
	sh("cansend vcan0 7FF#");
	run_until_received(f, 1);
	assert_received(f, "7FF#");
	assert_int_equal(can_set_filters(f->link, many, 600), 0);
	sh("cansend vcan0 00000001#");
	run_until_received(f, 1);
	assert_received(f, "00000001#");
}

/* ---- what can be wrong ---- */

static void a_port_that_cannot_be_opened_says_what_to_do(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "can7", ENODEV, "there is no interface can7; for CAN this machine has vcan0, vcan1");
	assert_refused(f, "can:can7", ENODEV, "there is no interface can7");
	assert_refused(f, "can:/dev/ttyUSB0", ENODEV, "serial port");
	assert_refused(f, "ttyUSB0", ENODEV, "serial port");
	assert_refused(f, "a-name-that-is-longer-than-any", ENODEV, "there is no interface");
	assert_refused(f, "", ENODEV, "there is no interface");
	assert_refused(f, "lo", EINVAL, "not one for CAN");
	sh("ip link set vcan0 down");
	assert_refused(f, "vcan0", ENETDOWN, "`ip link set vcan0 up`");
	no_socket = EAFNOSUPPORT;
	assert_refused(f, "can0", EAFNOSUPPORT, "no CAN in this kernel");
	no_socket = EPERM;
	assert_refused(f, "vcan0", EPERM, "no permission");
}

static void an_interface_that_goes_down_is_gone_and_comes_back(void **state)
{
	struct fixture *f = *state;

	open_link(f, "vcan0");
	sh("ip link set vcan0 down");
	run_until(f, is_gone);
	assert_int_equal(f->gone_error, ENETDOWN);
	assert_says(f->said, "vcan0 is down: `ip link set vcan0 up`");
	assert_int_equal(send_text(f, "123#"), -ENODEV);
	assert_int_equal(link_set_line(f->link, &any_line), -ENODEV);
	assert_int_equal(can_set_filters(f->link, NULL, 0), -ENODEV);
	assert_int_equal(status(f)->state, CAN_BUS_STOPPED);
	close_link(f);
	sh("ip link set vcan0 up");
	open_link(f, "vcan0");
	sh("cansend vcan0 123#01");
	run_until_received(f, 1);
	assert_int_equal(f->gone, 1);
}

static void an_interface_that_was_down_for_a_moment_goes_on(void **state)
{
	struct fixture *f = *state;

	open_link(f, "vcan0");
	sh("ip link set vcan0 down; ip link set vcan0 up; cansend vcan0 123#01");
	run_until_received(f, 1);
	assert_int_equal(send_text(f, "124#"), 0);
	assert_int_equal(f->gone, 0);
}

static void an_interface_that_is_deleted_is_unplugged(void **state)
{
	struct fixture *f = *state;

	sh("ip link add vcan7 type vcan; ip link set vcan7 up");
	open_link(f, "vcan7");
	f->close_on_gone = true;
	sh("ip link del vcan7");
	run_until(f, is_gone);
	assert_int_equal(f->gone_error, ENODEV);
	assert_string_equal(f->said, "vcan7 was unplugged");
	assert_refused(f, "vcan7", ENODEV, "there is no interface vcan7");
	sh("ip link add vcan7 type vcan; ip link set vcan7 up");
	open_link(f, "vcan7");
	/* Deleted and made anew between two looks: it is another one. */
	f->gone = 0;
	sh("ip link del vcan7; ip link add vcan7 type vcan; ip link set vcan7 up");
	run_until(f, is_gone);
	assert_int_equal(f->gone_error, ENODEV);
	sh("ip link del vcan7");
}

/* ---- the state ---- */

static void error_frames_tell_the_state(void **state)
{
	struct fixture *f = *state;

	open_link(f, "vcan0");
	assert_int_equal(status(f)->state, CAN_BUS_UNKNOWN);
	assert_int_equal(status(f)->bitrate, 0);
	assert_true(isnan(status(f)->load));
	assert_false(status(f)->has_errors);
	/* controller, tx warning, with counters */
	sh("cansend vcan0 20000204#0008000000006003; cansend vcan0 123#01");
	run_until_received(f, 1);
	assert_received(f, "123#01");
	assert_int_equal(status(f)->state, CAN_BUS_WARNING);
	assert_true(status(f)->has_errors);
	assert_int_equal(status(f)->tx_errors, 0x60);
	assert_int_equal(status(f)->rx_errors, 3);
	assert_says(status(f)->say, "120 ohm");
	/* rx passive */
	sh("cansend vcan0 20000004#0010000000000000");
	run_until(f, is_passive);
	sh("cansend vcan0 20000040#0000000000000000");
	run_until(f, is_bus_off);
	assert_int_equal(status(f)->bus_offs, 1);
	assert_says(status(f)->say, "bus-off");
	/* restarted */
	sh("cansend vcan0 20000100#0000000000000000");
	run_until(f, is_active);
	assert_int_equal(status(f)->restarts, 1);
	assert_int_equal(status(f)->error_frames, 4);
	assert_string_equal(status(f)->say, "");
	assert_int_equal(f->got_n, 0);
	assert_int_equal(status(f)->frames_in, 1);
}

static void errors_without_a_good_frame_are_the_wrong_bit_rate(void **state)
{
	struct fixture *f = *state;

	open_link(f, "vcan0");
	sh("cansend vcan0 20000004#0010000000000000");
	run_until(f, is_hopeless);
	assert_says(status(f)->say, "wrong bit rate");
	/* tx passive alone: nobody acknowledges */
	sh("cansend vcan0 20000004#0020000000000000; cansend vcan0 20000040#0000000000000000");
	run_until(f, is_bus_off);
	sh("cansend vcan0 20000004#0020000000000000");
	run_until(f, is_unheard);
	sh("cansend vcan0 123#01");
	run_until_received(f, 1);
	run_until(f, has_many_errors);
}

static void play_controller(int state)
{
	played.there = true;
	played.state = state;
	played.bitrate = 250000;
}

static void the_controller_is_looked_at(void **state)
{
	struct fixture *f = *state;

	play_controller(CAN_STATE_ERROR_ACTIVE);
	open_link(f, "vcan0");
	assert_int_equal(status(f)->state, CAN_BUS_ACTIVE);
	assert_int_equal(status(f)->bitrate, 250000);
	assert_true(status(f)->has_errors);
	played.state = CAN_STATE_ERROR_PASSIVE;
	played.tx_errors = 128;
	run_until(f, is_passive);
	assert_int_equal(status(f)->tx_errors, 128);
	assert_int_equal(status(f)->rx_errors, 0);
	played.state = CAN_STATE_BUS_OFF;
	run_until(f, is_bus_off);
}

static void bus_off_is_left_by_a_restart(void **state)
{
	struct fixture *f = *state;

	play_controller(CAN_STATE_ERROR_ACTIVE);
	played.restartable = true;
	open_link(f, "vcan0");
	played.state = CAN_STATE_BUS_OFF;
	sh("cansend vcan0 20000040#0000000000000000");
	run_until(f, is_bus_off);
	assert_int_equal(played.restarts, 0);
	run_until(f, is_active);
	assert_int_equal(played.restarts, 1);
	assert_int_equal(status(f)->bus_offs, 1);
	assert_int_equal(status(f)->restarts, 1);
	assert_string_equal(status(f)->say, "");
}

static void a_restart_that_is_not_possible_is_not_repeated_but_explained(void **state)
{
	struct fixture *f = *state;

	play_controller(CAN_STATE_BUS_OFF);
	open_link(f, "vcan0");
	run_until(f, was_restarted);
	run_for(f, 1500);
	assert_int_equal(played.restarts, 1);
	assert_int_equal(status(f)->bus_offs, 1);
	assert_says(status(f)->say, "`ip link set vcan0 type can restart`");
}

static void the_kernels_own_restart_is_waited_for(void **state)
{
	struct fixture *f = *state;

	play_controller(CAN_STATE_BUS_OFF);
	played.restart_ms = 100;
	played.restartable = true;
	open_link(f, "vcan0");
	run_for(f, 2300);
	assert_int_equal(played.restarts, 0);
	assert_says(status(f)->say, "kernel tries again");
}

static void nothing_is_written_to_the_terminal(void **state)
{
	struct fixture *f = *state;
	int kept = dup(STDERR_FILENO), file = open("/run", O_TMPFILE | O_RDWR, 0600);
	char why[256];

	dup2(file, STDERR_FILENO);
	open_link(f, "vcan0");
	run_for(f, 1500);
	can_up("vcan9", 250000, false, why, sizeof(why));
	can_up("vcan0", 250000, true, why, sizeof(why));
	off_t written = lseek(file, 0, SEEK_END);
	dup2(kept, STDERR_FILENO);
	close(kept);
	close(file);
	assert_int_equal(written, 0);
}

/* ---- interfaces ---- */

static void interfaces_for_can_are_listed(void **state)
{
	struct can_interface list[8];

	(void)state;
	sh("ip link add vcan10 type vcan; ip link add vcan2 type vcan");
	assert_int_equal(can_list(list, 8), 4);
	assert_string_equal(list[0].name, "vcan0");
	assert_string_equal(list[2].name, "vcan2");
	assert_string_equal(list[3].name, "vcan10");
	assert_true(list[0].up);
	assert_false(list[2].up);
	assert_int_equal(can_list(list, 1), 1);
	sh("ip link del vcan10; ip link del vcan2");
}

static void an_interface_without_bit_rate_is_only_brought_up(void **state)
{
	struct fixture *f = *state;
	char why[256] = "";

	sh("ip link set vcan0 down");
	assert_int_equal(can_up("can:vcan0", 500000, false, why, sizeof(why)), 0);
	open_link(f, "vcan0");
	assert_int_equal(can_up("vcan0", 250000, false, why, sizeof(why)), 0);
	run_for(f, 20);
	assert_int_equal(f->gone, 0);
	assert_int_equal(can_up("can7", 250000, false, why, sizeof(why)), -ENODEV);
	assert_says(why, "there is no interface can7");
	assert_int_equal(can_up("lo", 250000, false, why, sizeof(why)), -EINVAL);
}

static void bringing_up_without_permission_says_so(void **state)
{
	char why[256] = "";

	(void)state;
	sh("ip link set vcan0 down");
	assert_int_equal(seteuid(65534), 0);
	int error = can_up("vcan0", 250000, false, why, sizeof(why));
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(error, -EPERM);
	assert_says(why, "no permission to bring up vcan0");
}

/* ---- an adapter with a bit rate ---- */

static void open_adapter(struct fixture *f)
{
	char why[256];

	plug(f);
	assert_refused(f, f->adapter, ENETDOWN, "up type can bitrate 250000`, or start bmscope with --can-up");
	if (can_up(f->adapter, 250000, false, why, sizeof(why)))
		fail_msg("%s", why);
	run_until_heard(f, "S5\rO\r");
	forget_heard(f);
	open_link(f, f->adapter);
}

static void an_adapter_carries_frames_at_its_bit_rate(void **state)
{
	struct fixture *f = *state;

	open_adapter(f);
	assert_int_equal(status(f)->state, CAN_BUS_ACTIVE);
	assert_int_equal(status(f)->bitrate, 250000);
	tell(f, "t1232AABB\rT1890014081122334455667788\r");
	run_until_received(f, 2);
	assert_received(f, "123#AABB 18900140#1122334455667788");
	assert_int_equal(send_text(f, "18100140#0102"), 0);
	run_until_heard(f, "T1810014020102\r");
	for (int i = 0; i < 20; i++)
		tell(f, "t1238AABBCCDDEEFF0011\r");
	run_until(f, knows_load);
	assert_true(status(f)->load < 0.1);
}

static void an_adapter_that_is_unplugged_is_gone_and_comes_back(void **state)
{
	struct fixture *f = *state;

	open_adapter(f);
	f->close_on_gone = true;
	unplug(f);
	run_until(f, is_gone);
	assert_int_equal(f->gone_error, ENODEV);
	assert_says(f->said, "was unplugged");
	open_adapter(f);
	tell(f, "t1230\r");
	run_until_received(f, 1);
}

static void an_adapter_has_its_bit_rate_changed_where_that_is_wanted(void **state)
{
	struct fixture *f = *state;
	char why[256] = "";

	plug(f);
	assert_int_equal(can_up(f->adapter, 0, false, why, sizeof(why)), -EINVAL);
	assert_says(why, "no bit rate yet");
	assert_int_equal(can_up(f->adapter, 250000, false, why, sizeof(why)), 0);
	run_until_heard(f, "S5\rO\r");
	forget_heard(f);
	assert_int_equal(can_up(f->adapter, 500000, false, why, sizeof(why)), 0);
	run_until_heard(f, "S6\rO\r");
	forget_heard(f);
	assert_int_equal(can_up(f->adapter, 500000, false, why, sizeof(why)), 0);
	assert_heard_nothing(f);
	assert_int_equal(can_up(f->adapter, 12345, false, why, sizeof(why)), -EOPNOTSUPP);
	assert_says(why, "12345");
	/* As it was. */
	open_link(f, f->adapter);
	assert_int_equal(status(f)->bitrate, 500000);
}

static void a_link_changes_no_bit_rate_unless_allowed(void **state)
{
	struct fixture *f = *state;
	const struct line other = {500000, 8, 'N', 1};

	open_adapter(f);
	assert_int_equal(link_set_line(f->link, &other), 0);
	assert_heard_nothing(f);
	assert_int_equal(status(f)->bitrate, 250000);
}

static void a_new_bit_rate_is_listened_to_first(void **state)
{
	struct fixture *f = *state;
	const struct line other = {500000, 8, 'N', 1};

	open_adapter(f);
	can_allow_bitrate(f->link, true);
	assert_int_equal(link_set_line(f->link, &other), 0);
	run_until_heard(f, "S6\rL\r");
	forget_heard(f);
	assert_int_equal(status(f)->bitrate, 500000);
	assert_true(status(f)->listen_only);
	assert_string_equal(status(f)->say, "");
	/* A good frame: this is it. */
	tell(f, "t1231AA\r");
	run_until_received(f, 1);
	assert_received(f, "123#AA");
	run_until_heard(f, "O\r");
	assert_false(status(f)->listen_only);
	assert_int_equal(send_text(f, "124#"), 0);
	run_until_heard(f, "t1240\r");
	tell(f, "t1231BB\r");
	run_until_received(f, 1);
	assert_int_equal(f->gone, 0);
}

static void a_bit_rate_that_the_adapter_refuses_changes_nothing(void **state)
{
	struct fixture *f = *state;
	const struct line odd = {12345, 8, 'N', 1};

	open_adapter(f);
	can_allow_bitrate(f->link, true);
	assert_int_equal(link_set_line(f->link, &odd), -EOPNOTSUPP);
	run_until_heard(f, "O\r");
	tell(f, "t1231AA\r");
	run_until_received(f, 1);
	assert_int_equal(status(f)->bitrate, 250000);
	assert_int_equal(f->gone, 0);
}

static void a_quiet_bus_is_asked_at_a_new_bit_rate(void **state)
{
	struct fixture *f = *state;
	const struct line other = {500000, 8, 'N', 1};

	open_adapter(f);
	can_allow_bitrate(f->link, true);
	assert_int_equal(link_set_line(f->link, &other), 0);
	run_until_heard(f, "S6\rL\r");
	assert_int_equal(send_text(f, "124#"), 0);
	run_until_heard(f, "O\rt1240\r");
}

/* As --can-up leaves it. */
static void an_interface_that_listens_only_is_freed_where_allowed(void **state)
{
	struct fixture *f = *state;
	char why[256];

	plug(f);
	assert_int_equal(can_up(f->adapter, 250000, true, why, sizeof(why)), 0);
	run_until_heard(f, "S5\rL\r");
	forget_heard(f);
	open_link(f, f->adapter);
	assert_true(status(f)->listen_only);
	assert_says(status(f)->say, "listen-only off");
	can_allow_bitrate(f->link, true);
	assert_string_equal(status(f)->say, "");
	assert_int_equal(send_text(f, "124#"), 0);
	run_until_heard(f, "O\rt1240\r");
	/* But it is not made a listener again. */
	forget_heard(f);
	assert_int_equal(can_up(f->adapter, 250000, true, why, sizeof(why)), 0);
	assert_heard_nothing(f);
	assert_false(status(f)->listen_only);
}

static void a_bus_that_runs_at_another_bit_rate_is_not_disturbed(void **state)
{
	struct fixture *f = *state;
	const struct line other = {500000, 8, 'N', 1};

	open_adapter(f);
	can_allow_bitrate(f->link, true);
	assert_int_equal(link_set_line(f->link, &other), 0);
	run_until_heard(f, "S6\rL\r");
	forget_heard(f);
	sh("cansend %s 20000008#0000040A00000000", f->adapter);
	run_for(f, 50);
	assert_int_equal(status(f)->error_frames, 1);
	assert_int_equal(send_text(f, "124#"), -EBUSY);
	assert_says(status(f)->say, "only errors at 500000 bit/s");
	assert_heard_nothing(f);
}

/* ---- when the interface takes nothing ---- */

/* How many frames were taken until there was no room; each has its number. */
static unsigned send_until_full(struct fixture *f)
{
	for (unsigned i = 0; i < 30000; i++) {
		struct can_message m = {.id = CAN_EXTENDED | i, .n = 8};
		uint8_t frame[CAN_BYTES];

		can_write(&m, frame);
		int error = link_send(f->link, (struct bytes){frame, CAN_BYTES});
		if (error) {
			assert_int_equal(error, -ENOBUFS);
			return i;
		}
	}
	fail_msg("it is never full");
	return 0;
}

/* In the right order, from the first on; how many. */
static unsigned count_heard(struct fixture *f)
{
	unsigned n = 0, number;

	uv_mutex_lock(&f->lock);
	for (const char *at = f->heard; (at = strchr(at, 'T')) && strchr(at, '\r'); at++, n++) {
		assert_int_equal(sscanf(at, "T%8x", &number), 1);
		assert_int_equal(number, n);
	}
	uv_mutex_unlock(&f->lock);
	return n;
}

static void frames_wait_until_the_interface_takes_them(void **state)
{
	struct fixture *f = *state;

	open_adapter(f);
	set_deaf(f, true);
	unsigned n = send_until_full(f);
	assert_true(n > 64);
	set_deaf(f, false);
	for (int i = 0; i < 500 && count_heard(f) < n; i++)
		run_for(f, 10);
	assert_int_equal(count_heard(f), n);
	assert_int_equal(status(f)->frames_out, n);
	assert_int_equal(status(f)->unsent, 0);
}

static void frames_that_waited_too_long_are_never_sent(void **state)
{
	struct fixture *f = *state;

	open_adapter(f);
	set_deaf(f, true);
	unsigned n = send_until_full(f);
	run_until(f, has_given_up);
	run_for(f, 200);
	uint64_t unsent = status(f)->unsent;
	assert_int_equal(status(f)->frames_out + unsent, n);
	set_deaf(f, false);
	run_until_heard(f, "T00000000");
	/* There is room again for what is new, and for that only. */
	assert_int_equal(send_text(f, "123#"), 0);
	run_until_heard(f, "t1230\r");
	assert_int_equal(count_heard(f), n - unsent);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(frames_of_another_program_arrive),
		TEST(another_program_sees_what_is_sent),
		TEST(own_frames_do_not_come_back),
		TEST(what_is_no_frame_is_not_sent),
		TEST(a_turn_takes_so_many_frames_only),
		TEST(what_is_not_fetched_in_time_is_counted),
		TEST(a_full_bus_is_received_to_the_last_frame),
		TEST(a_flood_is_received_or_counted),
		TEST(a_link_may_be_closed_while_it_delivers),
		TEST(only_wanted_frames_are_received),
		TEST(without_filters_everything_is_received),
		TEST(a_port_that_cannot_be_opened_says_what_to_do),
		TEST(an_interface_that_goes_down_is_gone_and_comes_back),
		TEST(an_interface_that_was_down_for_a_moment_goes_on),
		TEST(an_interface_that_is_deleted_is_unplugged),
		TEST(error_frames_tell_the_state),
		TEST(errors_without_a_good_frame_are_the_wrong_bit_rate),
		TEST(the_controller_is_looked_at),
		TEST(bus_off_is_left_by_a_restart),
		TEST(a_restart_that_is_not_possible_is_not_repeated_but_explained),
		TEST(the_kernels_own_restart_is_waited_for),
		TEST(nothing_is_written_to_the_terminal),
		TEST(interfaces_for_can_are_listed),
		TEST(an_interface_without_bit_rate_is_only_brought_up),
		TEST(bringing_up_without_permission_says_so),
		TEST(an_adapter_carries_frames_at_its_bit_rate),
		TEST(an_adapter_that_is_unplugged_is_gone_and_comes_back),
		TEST(an_adapter_has_its_bit_rate_changed_where_that_is_wanted),
		TEST(a_link_changes_no_bit_rate_unless_allowed),
		TEST(a_new_bit_rate_is_listened_to_first),
		TEST(a_bit_rate_that_the_adapter_refuses_changes_nothing),
		TEST(a_quiet_bus_is_asked_at_a_new_bit_rate),
		TEST(an_interface_that_listens_only_is_freed_where_allowed),
		TEST(a_bus_that_runs_at_another_bit_rate_is_not_disturbed),
		TEST(frames_wait_until_the_interface_takes_them),
		TEST(frames_that_waited_too_long_are_never_sent),
	};
	int fd = socket(AF_CAN, SOCK_RAW, CAN_RAW);

	if (fd < 0) {
		fprintf(stderr, "no CAN in this kernel: tests/uml-run brings one that has it\n");
		return 1;
	}
	close(fd);
	/* libuv keeps descriptors of its own from the first loop on. */
	uv_loop_t first;
	uv_loop_init(&first);
	uv_loop_close(&first);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
