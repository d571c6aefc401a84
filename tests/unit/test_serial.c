/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Serial ports on ptys: bytes, the line, the end, and who may have a port. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "links/serial.h"
#include "links/serial_lock.h"
#include "sp_interposer.h"

enum { PATIENCE_MS = 20000, LOTS = 300000 };

static const struct line line_8n1 = {9600, 8, 'N', 1};

struct fixture {
	uv_loop_t loop;
	uv_timer_t patience;
	bool impatient;
	int master;
	char pty[64];
	char folder[64]; /* the test's own */
	struct link *link;
	bool close_on_receive, close_on_gone;
	uint8_t *got;
	size_t got_n;
	unsigned calls, gone;
	int gone_error;
	char said[512];
	unsigned descriptors; /* that were open before */
	int error;	      /* of the last open */
	char why[512];
};

/* ---- the owner of a link ---- */

static void close_link(struct fixture *f)
{
	if (f->link)
		link_close(f->link);
	f->link = NULL;
}

static void on_received(void *ctx, struct bytes b)
{
	struct fixture *f = ctx;

	assert_true(b.n > 0 && f->got_n + b.n <= LOTS);
	memcpy(f->got + f->got_n, b.p, b.n);
	f->got_n += b.n;
	f->calls++;
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

static struct link *open_at(struct fixture *f, const char *path, const struct line *line)
{
	struct link_events events = {on_received, on_gone, f};

	f->error = 0;
	f->why[0] = 0;
	return serial_open(&f->loop, path, line, events, &f->error, f->why, sizeof(f->why));
}

static void open_link(struct fixture *f)
{
	f->link = open_at(f, f->pty, &line_8n1);
	if (!f->link)
		fail_msg("%s", f->why);
}

static void assert_refused(struct fixture *f, const char *path, int error, const char *word)
{
	assert_null(open_at(f, path, &line_8n1));
	assert_int_equal(f->error, error);
	if (!strstr(f->why, path) || !strstr(f->why, word))
		fail_msg("\"%s\" does not name %s and \"%s\"", f->why, path, word);
}

/* ---- time ---- */

static void on_patience(uv_timer_t *timer)
{
	((struct fixture *)timer->data)->impatient = true;
}

/* Runs the loop until done(f); gives up, and fails, when that takes far too long. */
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
	f->impatient = false;
	uv_timer_start(&f->patience, on_patience, ms, 0);
	while (!f->impatient)
		uv_run(&f->loop, UV_RUN_ONCE);
}

static bool is_gone(struct fixture *f)
{
	return f->gone > 0;
}

static bool has_received(struct fixture *f)
{
	return f->calls > 0;
}

static bool has_256(struct fixture *f)
{
	return f->got_n >= 256;
}

/* ---- set-up ---- */

static char *lock_file(struct fixture *f)
{
	static char path[128];

	snprintf(path, sizeof(path), SERIAL_LOCK_DIR "/LCK..pts:%s", strrchr(f->pty, '/') + 1);
	return path;
}

static void skip_without_lock_files(void)
{
	if (access(SERIAL_LOCK_DIR, W_OK))
		skip();
}

static void make_pty(struct fixture *f)
{
	f->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	assert_true(f->master >= 0 && !grantpt(f->master) && !unlockpt(f->master));
	assert_int_equal(ptsname_r(f->master, f->pty, sizeof(f->pty)), 0);
	/* A test beside this one may have had a pty of that number a moment ago. */
	for (int i = 0; i < 1000 && !access(lock_file(f), F_OK); i++)
		usleep(1000);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->got = malloc(LOTS);
	assert_non_null(f->got);
	uv_loop_init(&f->loop);
	uv_timer_init(&f->loop, &f->patience);
	f->patience.data = f;
	make_pty(f);
	snprintf(f->folder, sizeof(f->folder), "/tmp/test_serial.XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	*state = f;
	return 0;
}

/* Nothing of a link may be left: neither in the loop nor in the file system. */
static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];

	interposer_root(NULL);
	interposer_modem_lines(false);
	interposer_stuck(false);
	close_link(f);
	if (f->master >= 0)
		close(f->master);
	uv_close((uv_handle_t *)&f->patience, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	snprintf(command, sizeof(command), "rm -rf %s", f->folder);
	assert_int_equal(system(command), 0);
	free(f->got);
	free(f);
	return 0;
}

static const char *in_folder(struct fixture *f, const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", f->folder, name);
	return path;
}

static void make_path(struct fixture *f, const char *path)
{
	char command[512];

	snprintf(command, sizeof(command), "mkdir -p '%s/%s'", f->folder, path);
	assert_int_equal(system(command), 0);
}

static void make_file(struct fixture *f, const char *path, const char *text)
{
	FILE *out = fopen(in_folder(f, path), "w");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static void make_symlink(struct fixture *f, const char *target, const char *path)
{
	assert_int_equal(symlink(target, in_folder(f, path)), 0);
}

/* libserialport takes the pty for a serial port on the board. */
static void make_pty_known(struct fixture *f)
{
	char path[64];

	make_path(f, "sys/class/tty/pts");
	snprintf(path, sizeof(path), "sys/class/tty/pts/%s", strrchr(f->pty, '/') + 1);
	make_symlink(f, "../../../devices/platform/board/tty/port", path);
	interposer_root(f->folder);
}

static struct termios terminal(struct fixture *f)
{
	struct termios t;

	assert_int_equal(tcgetattr(f->master, &t), 0);
	return t;
}

/* The pty as a careless last user leaves it. */
static void leave_flow_control_on(struct fixture *f)
{
	struct termios t = terminal(f);

	t.c_iflag |= IXON | IXOFF | IXANY | ICRNL | ISTRIP;
	t.c_oflag |= OPOST | ONLCR;
	t.c_lflag |= ICANON | ECHO | ISIG;
	t.c_cflag |= CRTSCTS | HUPCL | CSTOPB;
	t.c_cflag &= ~(tcflag_t)CLOCAL;
	assert_int_equal(tcsetattr(f->master, TCSANOW, &t), 0);
}

static void every_byte(uint8_t all[256])
{
	for (unsigned i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
}

static void master_write(struct fixture *f, const void *p, size_t n)
{
	assert_int_equal(write(f->master, p, n), n);
}

/* What the link has sent by now. */
static size_t master_read(struct fixture *f, uint8_t *out, size_t size)
{
	ssize_t n = read(f->master, out, size);

	return n > 0 ? (size_t)n : 0;
}

/* ---- bytes ---- */

static void assert_all_bytes_pass(struct fixture *f)
{
	uint8_t all[256], back[300];
	size_t n = 0;

	every_byte(all);
	master_write(f, all, sizeof(all));
	run_until(f, has_256);
	assert_int_equal(f->got_n, 256);
	assert_memory_equal(f->got, all, 256);

	assert_int_equal(link_send(f->link, (struct bytes){all, 256}), 0);
	for (int i = 0; i < 1000 && n < 256; i++) {
		n += master_read(f, back + n, sizeof(back) - n);
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(n, 256);
	assert_memory_equal(back, all, 256);
	/* Nothing is echoed. */
	assert_int_equal(f->got_n, 256);
	assert_int_equal(master_read(f, back, sizeof(back)), 0);
}

static void bytes_of_every_value_pass_unchanged_both_ways(void **state)
{
	struct fixture *f = *state;

	leave_flow_control_on(f);
	open_link(f);
	assert_all_bytes_pass(f);
}

static void a_long_stream_arrives_whole(void **state)
{
	struct fixture *f = *state;
	uint8_t out[1000];
	size_t written = 0;

	open_link(f);
	while (f->got_n < 100000) {
		for (size_t i = 0; i < sizeof(out); i++)
			out[i] = (uint8_t)((written + i) % 251);
		ssize_t n = write(f->master, out, sizeof(out));
		written += n > 0 ? (size_t)n : 0;
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	for (size_t i = 0; i < f->got_n; i++)
		assert_int_equal(f->got[i], i % 251);
}

/* Sends until the port takes nothing more. Returns how many bytes it has taken; byte i is i % 251. */
static size_t send_until_full(struct fixture *f)
{
	uint8_t out[320];
	size_t sent = 0;

	for (;;) {
		for (size_t i = 0; i < sizeof(out); i++)
			out[i] = (uint8_t)((sent + i) % 251);
		int error = link_send(f->link, (struct bytes){out, sizeof(out)});
		if (error) {
			assert_int_equal(error, -ENOBUFS);
			return sent;
		}
		sent += sizeof(out);
		assert_true(sent < LOTS);
	}
}

static void a_port_that_takes_nothing_says_so_and_loses_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t *in = malloc(LOTS);
	size_t n = 0;

	open_link(f);
	size_t sent = send_until_full(f);
	assert_int_equal(link_send(f->link, (struct bytes){in, 4000}), -ENOBUFS);
	for (int i = 0; i < 100000 && n < sent; i++) {
		n += master_read(f, in + n, LOTS - n);
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(n, sent);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(in[i], i % 251);
	free(in);
	/* And it takes requests again. */
	assert_int_equal(link_send(f->link, (struct bytes){(const uint8_t *)"again", 5}), 0);
}

static void what_exceeds_the_queue_is_refused_whole(void **state)
{
	struct fixture *f = *state;
	static const uint8_t much[5000];
	uint8_t in[16];

	open_link(f);
	assert_int_equal(link_send(f->link, (struct bytes){much, sizeof(much)}), -ENOBUFS);
	assert_int_equal(master_read(f, in, sizeof(in)), 0);
	assert_int_equal(link_send(f->link, (struct bytes){NULL, 0}), 0);
}

/* ---- the line ---- */

static void assert_raw(struct fixture *f, tcflag_t character, uint32_t baud)
{
	struct termios t = terminal(f);

	assert_int_equal(t.c_iflag & (IXON | IXOFF | IXANY | ICRNL | INLCR | IGNCR | ISTRIP), 0);
	assert_int_equal(t.c_oflag & OPOST, 0);
	assert_int_equal(t.c_lflag & (ICANON | ECHO | ISIG | IEXTEN), 0);
	assert_int_equal(t.c_cflag & (CRTSCTS | HUPCL), 0);
	assert_int_equal(t.c_cflag & (CREAD | CLOCAL), CREAD | CLOCAL);
	assert_int_equal(t.c_cflag & (CSIZE | CSTOPB), character);
	assert_int_equal(t.c_cc[VMIN], 0);
	assert_int_equal(t.c_cc[VTIME], 0);
	assert_int_equal(terminal_baud(f->master), baud);
}

static void the_line_is_raw_whatever_the_last_user_left(void **state)
{
	struct fixture *f = *state;
	const struct line two_stop_bits = {115200, 8, 'N', 2};

	leave_flow_control_on(f);
	open_link(f);
	assert_raw(f, CS8, 9600);
	assert_int_equal(link_set_line(f->link, &two_stop_bits), 0);
	assert_raw(f, CS8 | CSTOPB, 115200);
}

static void a_speed_without_a_name_is_set_as_well(void **state)
{
	struct fixture *f = *state;
	const struct line odd = {250000, 8, 'N', 1};

	open_link(f);
	assert_int_equal(link_set_line(f->link, &odd), 0);
	assert_raw(f, CS8, 250000);
	assert_int_equal(link_set_line(f->link, &line_8n1), 0);
	assert_raw(f, CS8, 9600);
}

static void a_line_that_cannot_be_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct line bad[] = {{9600, 7, 'E', 1}, {9600, 9, 'N', 1}, {9600, 8, 'X', 1},
				   {9600, 8, 0, 1},   {9600, 8, 'N', 3}, {0, 8, 'N', 1}};

	/* A pty has 8 data bits. */
	assert_null(open_at(f, f->pty, &bad[0]));
	assert_int_equal(f->error, EINVAL);
	assert_non_null(strstr(f->why, f->pty));
	assert_non_null(strstr(f->why, "9600 baud 7E1"));
	open_link(f);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(link_set_line(f->link, &bad[i]), -EINVAL);
	assert_int_equal(link_set_line(f->link, &line_8n1), 0);
	assert_all_bytes_pass(f);
}

static void setting_the_line_drops_what_was_not_delivered(void **state)
{
	struct fixture *f = *state;

	open_link(f);
	master_write(f, "old", 3);
	assert_int_equal(link_set_line(f->link, &line_8n1), 0);
	master_write(f, "new", 3);
	run_until(f, has_received);
	assert_int_equal(f->got_n, 3);
	assert_memory_equal(f->got, "new", 3);
}

static void setting_the_line_drops_what_was_not_sent(void **state)
{
	struct fixture *f = *state;
	static const uint8_t much[4000];

	open_link(f);
	send_until_full(f);
	assert_int_equal(link_send(f->link, (struct bytes){much, sizeof(much)}), -ENOBUFS);
	assert_int_equal(link_set_line(f->link, &line_8n1), 0);
	assert_int_equal(link_send(f->link, (struct bytes){much, sizeof(much)}), 0);
}

/* ---- the end ---- */

static void assert_gone_once(struct fixture *f)
{
	close(f->master);
	f->master = -1;
	run_until(f, is_gone);
	for (int i = 0; i < 20; i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->gone, 1);
	assert_int_equal(f->gone_error, EIO);
	assert_non_null(strstr(f->said, f->pty));
}

static void a_far_side_that_closes_ends_the_link_once(void **state)
{
	struct fixture *f = *state;

	open_link(f);
	assert_gone_once(f);
	/* The owner may take its time to close. */
	assert_int_equal(link_send(f->link, (struct bytes){(const uint8_t *)"x", 1}), -ENODEV);
	assert_int_equal(link_set_line(f->link, &line_8n1), -ENODEV);
	assert_int_not_equal(access(lock_file(f), F_OK), 0);
	close_link(f);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->gone, 1);
}

static void the_end_may_be_answered_by_closing(void **state)
{
	struct fixture *f = *state;

	open_link(f);
	f->close_on_gone = true;
	assert_gone_once(f);
	assert_null(f->link);
}

static void sending_into_the_end_is_found_out_by_the_loop(void **state)
{
	struct fixture *f = *state;

	open_link(f);
	close(f->master);
	f->master = -1;
	/* No callback comes from inside a call. */
	link_send(f->link, (struct bytes){(const uint8_t *)"x", 1});
	assert_int_equal(f->gone, 0);
	run_until(f, is_gone);
	assert_int_equal(f->gone, 1);
}

static void an_end_while_bytes_wait_ends_the_link_once(void **state)
{
	struct fixture *f = *state;

	open_link(f);
	send_until_full(f);
	assert_gone_once(f);
}

static void a_link_may_be_closed_from_inside_its_callback(void **state)
{
	struct fixture *f = *state;
	static uint8_t much[3000];

	open_link(f);
	f->close_on_receive = true;
	master_write(f, much, sizeof(much));
	run_until(f, has_received);
	master_write(f, much, 10);
	for (int i = 0; i < 20; i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_null(f->link);
	assert_int_equal(f->calls, 1);
	assert_int_equal(f->gone, 0);
}

static void no_callback_comes_after_closing(void **state)
{
	struct fixture *f = *state;

	open_link(f);
	master_write(f, "late", 4);
	close_link(f);
	close(f->master);
	f->master = -1;
	for (int i = 0; i < 20; i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->calls, 0);
	assert_int_equal(f->gone, 0);
}

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

static bool has_let_go(struct fixture *f)
{
	return count_descriptors() == f->descriptors;
}

/* As with an adapter whose far end has died: the kernel would keep us for half a minute. */
static void closing_does_not_wait_for_output_that_nobody_takes(void **state)
{
	struct fixture *f = *state;

	make_pty_known(f);
	for (int with_library = 0; with_library < 2; with_library++) {
		interposer_modem_lines(with_library);
		uv_run(&f->loop, UV_RUN_NOWAIT);
		f->descriptors = count_descriptors();
		open_link(f);
		interposer_stuck(true);
		close_link(f);
		uv_run(&f->loop, UV_RUN_NOWAIT);
		assert_false(has_let_go(f));
		interposer_stuck(false);
		/* Nothing in the loop tells the end of it. */
		for (int i = 0; i < PATIENCE_MS && !has_let_go(f); i++)
			usleep(1000);
		assert_true(has_let_go(f));
	}
}

static void a_hundred_openings_leave_nothing_open(void **state)
{
	struct fixture *f = *state;

	make_pty_known(f);
	open_link(f);
	close_link(f);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	unsigned before = count_descriptors();
	for (int i = 0; i < 100; i++) {
		/* With the library and without it; with bytes under way. */
		interposer_modem_lines(i % 2);
		open_link(f);
		send_until_full(f);
		assert_refused(f, f->pty, EBUSY, "used by");
		close_link(f);
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(count_descriptors(), before);
	assert_int_not_equal(access(lock_file(f), F_OK), 0);
}

static void assert_closed_on_exec(struct fixture *f)
{
	int left_open = 0;
	bool before[256];

	for (int fd = 0; fd < 256; fd++)
		before[fd] = fcntl(fd, F_GETFD) >= 0;
	open_link(f);
	for (int fd = 0; fd < 256; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (!before[fd] && flags >= 0 && !(flags & FD_CLOEXEC))
			left_open++;
	}
	assert_int_equal(left_open, 0);
}

static void programs_that_are_started_do_not_inherit_the_port(void **state)
{
	assert_closed_on_exec(*state);
}

/* ---- who has a port ---- */

static void own_name(char *out, size_t size)
{
	FILE *f = fopen("/proc/self/comm", "r");

	assert_non_null(f);
	assert_non_null(fgets(out, (int)size, f));
	out[strcspn(out, "\n")] = 0;
	fclose(f);
}

static void a_second_opening_is_refused_and_names_the_holder(void **state)
{
	struct fixture *f = *state;
	char name[32], holder[80];
	const char *other_way = in_folder(f, "by-id-adapter");

	own_name(name, sizeof(name));
	snprintf(holder, sizeof(holder), "is used by %s (pid %d)", name, (int)getpid());
	assert_int_equal(symlink(f->pty, other_way), 0);
	open_link(f);
	assert_refused(f, f->pty, EBUSY, holder);
	assert_refused(f, other_way, EBUSY, holder);
	/* The one that has it is not disturbed. */
	assert_all_bytes_pass(f);
	close_link(f);
	f->link = open_at(f, other_way, &line_8n1);
	assert_non_null(f->link);
	assert_refused(f, f->pty, EBUSY, holder);
}

/* A process that lives until it is told; the pipe's end that ends it in *leash. */
static pid_t start_other(struct fixture *f, bool locks, int *leash)
{
	int to_child[2], from_child[2];
	char byte;

	assert_int_equal(pipe(to_child) | pipe(from_child), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		int fd = locks ? open(f->pty, O_RDWR | O_NOCTTY) : 0;

		close(to_child[1]);
		if (locks && flock(fd, LOCK_EX))
			_exit(1);
		if (write(from_child[1], "", 1) == 1)
			_exit((int)read(to_child[0], &byte, 1));
		_exit(1);
	}
	close(to_child[0]);
	close(from_child[1]);
	assert_int_equal(read(from_child[0], &byte, 1), 1);
	close(from_child[0]);
	*leash = to_child[1];
	return pid;
}

static void end_other(pid_t pid, int leash)
{
	int status;

	close(leash);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_program_that_has_only_locked_the_device_is_named_too(void **state)
{
	struct fixture *f = *state;
	char holder[32];
	int leash;
	pid_t other = start_other(f, true, &leash);

	snprintf(holder, sizeof(holder), "(pid %d)", (int)other);
	assert_refused(f, f->pty, EBUSY, holder);
	end_other(other, leash);
	open_link(f);
}

static void write_lock(struct fixture *f, const char *text)
{
	FILE *out = fopen(lock_file(f), "w");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static void make_old(const char *path)
{
	struct timespec times[2] = {{.tv_sec = time(NULL) - 60}, {.tv_sec = time(NULL) - 60}};

	assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void read_lock(struct fixture *f, char text[64])
{
	int fd = open(lock_file(f), O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, 63);

	assert_true(n >= 0);
	text[n] = 0;
	close(fd);
}

static void assert_lock_is_ours(struct fixture *f)
{
	char expected[16], text[64];

	snprintf(expected, sizeof(expected), "%10d\n", (int)getpid());
	read_lock(f, text);
	assert_string_equal(text, expected);
}

static void the_lock_file_lives_as_long_as_the_link(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	skip_without_lock_files();
	open_link(f);
	assert_lock_is_ours(f);
	assert_int_equal(stat(lock_file(f), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_int_equal(st.st_nlink, 1);
	close_link(f);
	assert_int_not_equal(access(lock_file(f), F_OK), 0);
}

static void the_lock_of_a_living_program_is_heeded(void **state)
{
	struct fixture *f = *state;
	char text[64], holder[32];
	int leash;

	skip_without_lock_files();
	pid_t other = start_other(f, false, &leash);
	snprintf(text, sizeof(text), "%10d minicom root\n", (int)other);
	snprintf(holder, sizeof(holder), "(pid %d)", (int)other);
	write_lock(f, text);
	leave_flow_control_on(f);
	struct termios before = terminal(f);
	assert_refused(f, f->pty, EBUSY, holder);
	/* Its line and its lock are as they were; the device was not even opened, or its far side would see the end. */
	char byte;
	assert_int_equal(read(f->master, &byte, 1), -1);
	assert_int_equal(errno, EAGAIN);
	struct termios after = terminal(f);
	assert_memory_equal(&before.c_iflag, &after.c_iflag, 4 * sizeof(tcflag_t));
	assert_int_equal(access(lock_file(f), F_OK), 0);
	end_other(other, leash);
	/* And now it is a dead program's. */
	open_link(f);
	assert_lock_is_ours(f);
}

static void a_leftover_with_our_own_pid_is_taken_over(void **state)
{
	struct fixture *f = *state;
	char text[64];

	skip_without_lock_files();
	snprintf(text, sizeof(text), "%10d\n", (int)getpid());
	write_lock(f, text);
	open_link(f);
	assert_lock_is_ours(f);
}

static void a_lock_without_a_pid_counts_for_some_seconds(void **state)
{
	struct fixture *f = *state;
	const char *const nothing[] = {"", "minicom", "-1\n", "0", "99999999999999999999"};

	skip_without_lock_files();
	for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
		write_lock(f, nothing[i]);
		assert_refused(f, f->pty, EBUSY, lock_file(f));
		make_old(lock_file(f));
		open_link(f);
		assert_lock_is_ours(f);
		close_link(f);
	}
}

static void a_lock_that_is_a_link_leads_nowhere(void **state)
{
	struct fixture *f = *state;
	const char *target = in_folder(f, "target");

	skip_without_lock_files();
	assert_int_equal(symlink(target, lock_file(f)), 0);
	assert_refused(f, f->pty, EBUSY, lock_file(f));
	assert_int_not_equal(access(target, F_OK), 0);
	/* Nor is what stands in its target believed. */
	make_file(f, "target", "stale");
	make_old(target);
	assert_refused(f, f->pty, EBUSY, lock_file(f));
	assert_int_equal(unlink(lock_file(f)), 0);
	open_link(f);
}

static void a_lock_that_another_took_over_is_left_to_it(void **state)
{
	struct fixture *f = *state;
	char text[64];

	skip_without_lock_files();
	open_link(f);
	write_lock(f, "         1\n");
	close_link(f);
	read_lock(f, text);
	assert_string_equal(text, "         1\n");
	assert_int_equal(unlink(lock_file(f)), 0);
}

static void where_no_lock_file_can_be_made_it_goes_without(void **state)
{
	struct fixture *f = *state;
	char lock[SERIAL_LOCK_PATH] = "?";
	long holder;

	assert_int_equal(serial_lock_take(in_folder(f, "absent"), f->pty, lock, &holder), 0);
	assert_string_equal(lock, "");
	serial_lock_drop(lock);
}

static void lock_files_are_named_as_others_name_them(void **state)
{
	struct fixture *f = *state;
	char lock[SERIAL_LOCK_PATH], expected[SERIAL_LOCK_PATH];
	static const struct {
		const char *device, *name;
	} names[] = {
		{"/dev/ttyUSB0", "LCK..ttyUSB0"},
		{"/dev/pts/3", "LCK..pts:3"},
		{"/srv/jail/dev/ttyS1", "LCK..ttyS1"},
	};
	long holder;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(serial_lock_take(f->folder, names[i].device, lock, &holder), 0);
		snprintf(expected, sizeof(expected), "%s/%s", f->folder, names[i].name);
		assert_string_equal(lock, expected);
		assert_int_equal(access(lock, F_OK), 0);
		serial_lock_drop(lock);
		assert_int_not_equal(access(lock, F_OK), 0);
	}
}

/* ---- what is no port ---- */

static void what_is_not_there_is_said_so(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "/dev/ttyUSB-none", ENOENT, "is not there");
	assert_refused(f, "/dev/serial/by-id/none", ENOENT, "is not there");
	assert_refused(f, "/etc/passwd/none", ENOTDIR, "is not there");
	assert_int_equal(symlink("/dev/ttyUSB-none", in_folder(f, "dangling")), 0);
	assert_refused(f, in_folder(f, "dangling"), ENOENT, "is not there");
	assert_int_equal(symlink("circle", in_folder(f, "circle")), 0);
	assert_refused(f, in_folder(f, "circle"), ELOOP, ":");
}

static void what_is_no_serial_port_is_said_so(void **state)
{
	struct fixture *f = *state;
	int fd = open(in_folder(f, "file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_refused(f, in_folder(f, "file"), ENOTTY, "is no serial port but a file");
	assert_refused(f, f->folder, ENOTTY, "is no serial port but a directory");
	/* Opening a pipe would wait for its other end. */
	assert_int_equal(mkfifo(in_folder(f, "pipe"), 0600), 0);
	assert_refused(f, in_folder(f, "pipe"), ENOTTY, "is no serial port but a pipe");
	assert_refused(f, "/dev/null", ENOTTY, "is no serial port");
	assert_refused(f, "/dev/ptmx", ENOTTY, "is no serial port");
}

static void the_terminal_of_the_program_itself_is_refused(void **state)
{
	struct fixture *f = *state;
	int was = dup(STDIN_FILENO), slave = open(f->pty, O_RDWR | O_NOCTTY);

	assert_true(was >= 0 && slave >= 0);
	dup2(slave, STDIN_FILENO);
	close(slave);
	assert_refused(f, f->pty, ENOTTY, "a terminal for people");
	dup2(was, STDIN_FILENO);
	close(was);
	open_link(f);
}

/* Opens the pty as a user without rights; what it is told comes back in f. */
static void open_as_nobody(struct fixture *f)
{
	int back[2];

	assert_int_equal(pipe(back), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (setgroups(0, NULL) || setgid(65534) || setuid(65534) || open_at(f, f->pty, &line_8n1))
			_exit(1);
		_exit(write(back[1], f->why, sizeof(f->why)) == sizeof(f->why) ? f->error : 1);
	}
	close(back[1]);
	assert_int_equal(read(back[0], f->why, sizeof(f->why)), sizeof(f->why));
	close(back[0]);
	assert_int_equal(waitpid(pid, &f->error, 0), pid);
	f->error = WEXITSTATUS(f->error);
}

static void missing_permission_names_the_group_to_join(void **state)
{
	struct fixture *f = *state;
	const struct group *group = getgrnam("dialout");

	if (geteuid() || !group)
		skip();
	assert_int_equal(chown(f->pty, 0, group->gr_gid) | chmod(f->pty, 0660), 0);
	open_as_nobody(f);
	assert_int_equal(f->error, EACCES);
	assert_non_null(strstr(f->why, f->pty));
	assert_non_null(strstr(f->why, "usermod -aG dialout nobody"));

	/* No group helps here. */
	assert_int_equal(chmod(f->pty, 0600), 0);
	open_as_nobody(f);
	assert_int_equal(f->error, EACCES);
	assert_non_null(strstr(f->why, "only its owner"));
	assert_null(strstr(f->why, "usermod"));
}

/* ---- libserialport ---- */

static void a_port_that_the_library_knows_is_opened_by_it(void **state)
{
	struct fixture *f = *state;
	unsigned requests;

	make_pty_known(f);
	interposer_modem_lines(true);
	leave_flow_control_on(f);
	open_link(f);
	/* Only the library cares for these; they stay as the driver has set them. */
	assert_int_equal(interposer_modem(&requests), TIOCM_DTR | TIOCM_RTS);
	assert_true(requests > 0);
	assert_raw(f, CS8, 9600);
	assert_all_bytes_pass(f);
	assert_refused(f, f->pty, EBUSY, "used by");
	assert_gone_once(f);
}

static void a_port_that_the_library_has_opened_is_not_inherited(void **state)
{
	struct fixture *f = *state;

	make_pty_known(f);
	interposer_modem_lines(true);
	assert_closed_on_exec(f);
	close_link(f);
	assert_int_not_equal(access(lock_file(f), F_OK), 0);
}

static void a_port_without_modem_lines_is_opened_without_the_library(void **state)
{
	struct fixture *f = *state;

	make_pty_known(f);
	open_link(f);
	assert_all_bytes_pass(f);
	assert_refused(f, f->pty, EBUSY, "used by");
}

/* ---- the list ---- */

static void make_usb_adapter(struct fixture *f, const char *name, const char *product, const char *serial)
{
	char path[160], target[160];

	snprintf(path, sizeof(path), "sys/devices/usb1/%s/if0/%s/tty/%s", name, name, name);
	make_path(f, path);
	snprintf(target, sizeof(target), "../../devices/usb1/%s/if0/%s/tty/%s", name, name, name);
	snprintf(path, sizeof(path), "sys/class/tty/%s", name);
	make_symlink(f, target, path);
	snprintf(target, sizeof(target), "../../../%s", name);
	snprintf(path, sizeof(path), "sys/devices/usb1/%s/if0/%s/tty/%s/device", name, name, name);
	make_symlink(f, target, path);
	const struct {
		const char *file, *text;
	} says[] = {{"busnum", "1\n"},	  {"devnum", "7\n"},	      {"idVendor", "0403\n"}, {"idProduct", "6001\n"},
		    {"product", product}, {"manufacturer", "FTDI\n"}, {"serial", serial}};
	for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		snprintf(path, sizeof(path), "sys/devices/usb1/%s/%s", name, says[i].file);
		if (says[i].text)
			make_file(f, path, says[i].text);
	}
}

static void make_port(struct fixture *f, const char *name, const char *below)
{
	char path[160], target[160];

	snprintf(path, sizeof(path), "sys/devices/%s/tty/%s", below, name);
	make_path(f, path);
	snprintf(target, sizeof(target), "../../devices/%s/tty/%s", below, name);
	snprintf(path, sizeof(path), "sys/class/tty/%s", name);
	make_symlink(f, target, path);
}

static void ports_are_listed_in_the_order_people_count(void **state)
{
	struct fixture *f = *state;
	struct serial_port list[8];

	make_path(f, "sys/class/tty");
	interposer_root(f->folder);
	assert_int_equal(serial_list(list, 8), 0);
	make_usb_adapter(f, "ttyUSB10", "FT232R USB UART\n", "A50285BI\n");
	make_usb_adapter(f, "ttyUSB2", "bad\033[31m\xff name\n", NULL);
	make_port(f, "ttyAMA0", "platform/soc");
	make_port(f, "tty7", "virtual");
	assert_int_equal(serial_list(list, 8), 3);
	assert_string_equal(list[0].path, "/dev/ttyAMA0");
	assert_string_equal(list[1].path, "/dev/ttyUSB2");
	assert_string_equal(list[2].path, "/dev/ttyUSB10");

	assert_int_equal(list[0].usb_vid, -1);
	assert_int_equal(list[0].usb_pid, -1);
	assert_string_equal(list[0].description, "");
	assert_string_equal(list[0].usb_serial, "");

	/* What would upset a terminal is left out. */
	assert_string_equal(list[1].description, "bad[31m name");
	assert_string_equal(list[1].usb_serial, "");

	assert_int_equal(list[2].usb_vid, 0x0403);
	assert_int_equal(list[2].usb_pid, 0x6001);
	assert_string_equal(list[2].description, "FT232R USB UART");
	assert_string_equal(list[2].manufacturer, "FTDI");
	assert_string_equal(list[2].usb_serial, "A50285BI");

	/* The first ones when there is no room for all. */
	assert_int_equal(serial_list(list, 2), 2);
	assert_string_equal(list[1].path, "/dev/ttyUSB2");
}

static void a_machine_that_tells_nothing_has_no_ports(void **state)
{
	struct fixture *f = *state;
	struct serial_port list[1];

	interposer_root(f->folder);
	assert_int_equal(serial_list(list, 1), 0);
}

/* ---- the watch ---- */

static void on_changed(void *ctx)
{
	((struct fixture *)ctx)->calls++;
}

static struct serial_watch *watch_folder(struct fixture *f)
{
	int error = 0;

	make_path(f, "dev");
	interposer_root(f->folder);
	struct serial_watch *w = serial_watch_new(&f->loop, on_changed, f, &error);
	assert_non_null(w);
	return w;
}

/* One adapter, and udev's part of it. */
static void plug(struct fixture *f)
{
	make_file(f, "dev/ttyUSB0", "");
	assert_int_equal(chmod(in_folder(f, "dev/ttyUSB0"), 0660), 0);
	make_path(f, "dev/serial/by-id");
	make_symlink(f, "../../ttyUSB0", "dev/serial/by-id/usb-adapter");
}

static void what_comes_and_goes_is_told_once_each(void **state)
{
	struct fixture *f = *state;
	struct serial_watch *w = watch_folder(f);

	plug(f);
	assert_int_equal(f->calls, 0);
	run_until(f, has_received);
	assert_int_equal(f->calls, 1);

	f->calls = 0;
	assert_int_equal(unlink(in_folder(f, "dev/ttyUSB0")), 0);
	run_until(f, has_received);
	assert_int_equal(f->calls, 1);
	serial_watch_free(w);
}

static void what_is_no_port_is_no_news(void **state)
{
	struct fixture *f = *state;
	struct serial_watch *w = watch_folder(f);

	make_file(f, "dev/sda1", "");
	make_file(f, "dev/tty7", "");
	make_file(f, "dev/tty", "");
	make_file(f, "dev/hidraw0", "");
	run_for(f, 500);
	assert_int_equal(f->calls, 0);
	/* It was awake. */
	make_file(f, "dev/ttyACM0", "");
	run_until(f, has_received);
	serial_watch_free(w);
}

static void permission_that_comes_late_is_news(void **state)
{
	struct fixture *f = *state;

	make_path(f, "dev");
	make_file(f, "dev/ttyUSB0", "");
	struct serial_watch *w = watch_folder(f);

	assert_int_equal(chmod(in_folder(f, "dev/ttyUSB0"), 0660), 0);
	run_until(f, has_received);
	serial_watch_free(w);
}

/* The last adapter goes, and its folder of names; then one comes with a new folder. */
static void names_are_watched_in_a_new_folder_too(void **state)
{
	struct fixture *f = *state;
	struct serial_watch *w = watch_folder(f);

	for (int i = 0; i < 3; i++) {
		f->calls = 0;
		plug(f);
		run_until(f, has_received);
		f->calls = 0;
		assert_int_equal(unlink(in_folder(f, "dev/serial/by-id/usb-adapter")), 0);
		run_until(f, has_received);
		f->calls = 0;
		assert_int_equal(rmdir(in_folder(f, "dev/serial/by-id")), 0);
		assert_int_equal(rmdir(in_folder(f, "dev/serial")), 0);
		assert_int_equal(unlink(in_folder(f, "dev/ttyUSB0")), 0);
		run_until(f, has_received);
	}
	serial_watch_free(w);
}

static void restless(uv_timer_t *timer)
{
	const char *path = in_folder(timer->data, "dev/ttyUSB0");

	if (unlink(path))
		make_file(timer->data, "dev/ttyUSB0", "");
}

static void a_device_that_keeps_coming_and_going_puts_nothing_off(void **state)
{
	struct fixture *f = *state;
	struct serial_watch *w = watch_folder(f);
	uv_timer_t timer;

	uv_timer_init(&f->loop, &timer);
	timer.data = f;
	uv_timer_start(&timer, restless, 0, 20);
	run_until(f, has_received);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	serial_watch_free(w);
}

static bool has_left;

static void leave(void *ctx)
{
	struct serial_watch **w = ctx;

	serial_watch_free(*w);
	has_left = true;
}

static bool left(struct fixture *f)
{
	(void)f;
	return has_left;
}

static void a_watch_may_be_freed_from_inside_its_callback(void **state)
{
	struct fixture *f = *state;
	struct serial_watch *w;
	int error;

	make_path(f, "dev");
	interposer_root(f->folder);
	has_left = false;
	w = serial_watch_new(&f->loop, leave, &w, &error);
	assert_non_null(w);
	plug(f);
	run_until(f, left);
}

static void a_watch_that_cannot_be_is_told(void **state)
{
	struct fixture *f = *state;
	int error = 0;

	interposer_root(f->folder);
	assert_null(serial_watch_new(&f->loop, on_changed, f, &error));
	assert_int_equal(error, ENOENT);
	serial_watch_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_of_every_value_pass_unchanged_both_ways),
		TEST(a_long_stream_arrives_whole),
		TEST(a_port_that_takes_nothing_says_so_and_loses_nothing),
		TEST(what_exceeds_the_queue_is_refused_whole),
		TEST(the_line_is_raw_whatever_the_last_user_left),
		TEST(a_speed_without_a_name_is_set_as_well),
		TEST(a_line_that_cannot_be_is_refused),
		TEST(setting_the_line_drops_what_was_not_delivered),
		TEST(setting_the_line_drops_what_was_not_sent),
		TEST(a_far_side_that_closes_ends_the_link_once),
		TEST(the_end_may_be_answered_by_closing),
		TEST(sending_into_the_end_is_found_out_by_the_loop),
		TEST(an_end_while_bytes_wait_ends_the_link_once),
		TEST(a_link_may_be_closed_from_inside_its_callback),
		TEST(no_callback_comes_after_closing),
		TEST(closing_does_not_wait_for_output_that_nobody_takes),
		TEST(a_hundred_openings_leave_nothing_open),
		TEST(programs_that_are_started_do_not_inherit_the_port),
		TEST(a_second_opening_is_refused_and_names_the_holder),
		TEST(a_program_that_has_only_locked_the_device_is_named_too),
		TEST(the_lock_file_lives_as_long_as_the_link),
		TEST(the_lock_of_a_living_program_is_heeded),
		TEST(a_leftover_with_our_own_pid_is_taken_over),
		TEST(a_lock_without_a_pid_counts_for_some_seconds),
		TEST(a_lock_that_is_a_link_leads_nowhere),
		TEST(a_lock_that_another_took_over_is_left_to_it),
		TEST(where_no_lock_file_can_be_made_it_goes_without),
		TEST(lock_files_are_named_as_others_name_them),
		TEST(what_is_not_there_is_said_so),
		TEST(what_is_no_serial_port_is_said_so),
		TEST(the_terminal_of_the_program_itself_is_refused),
		TEST(missing_permission_names_the_group_to_join),
		TEST(a_port_that_the_library_knows_is_opened_by_it),
		TEST(a_port_that_the_library_has_opened_is_not_inherited),
		TEST(a_port_without_modem_lines_is_opened_without_the_library),
		TEST(ports_are_listed_in_the_order_people_count),
		TEST(a_machine_that_tells_nothing_has_no_ports),
		TEST(what_comes_and_goes_is_told_once_each),
		TEST(what_is_no_port_is_no_news),
		TEST(permission_that_comes_late_is_news),
		TEST(names_are_watched_in_a_new_folder_too),
		TEST(a_device_that_keeps_coming_and_going_puts_nothing_off),
		TEST(a_watch_may_be_freed_from_inside_its_callback),
		TEST(a_watch_that_cannot_be_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
