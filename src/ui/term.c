/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ncurses writes with plain write(2) and would stop the whole program at a terminal that takes nothing
 * (a stalled SSH connection). So while a picture is made, the descriptor it writes to is a file in
 * memory; what lies there then goes to the terminal through a descriptor of our own that does not
 * block. As long as something is pending no new picture is made: a slow terminal sees fewer of them.
 */
#include "ui/term.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

enum { ESCAPE_MS = 25, GIVE_UP_MS = 1000, SIGNAL_STACK = 65536 };

/* ---- the way out that a signal handler can take ---- */

static const int fatal_signals[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
#define FATAL_SIGNALS (sizeof(fatal_signals) / sizeof(fatal_signals[0]))

/* Everything that a handler needs, made ready before it can run. */
static struct {
	volatile sig_atomic_t active;
	int terminal, errors; /* descriptors; errors: the former standard error, or -1 */
	struct termios shell;
	char reset[256];
	size_t reset_n;
	struct sigaction before[FATAL_SIGNALS];
	void *stack;
} rescue;

/* Appends a capability of the terminal without its padding ("$<5>"). */
static void add_reset(const char *name)
{
	const char *s = tigetstr(name);

	if (!s || s == (char *)-1)
		return;
	while (*s && rescue.reset_n < sizeof(rescue.reset)) {
		if (s[0] == '$' && s[1] == '<') {
			const char *end = strchr(s, '>');

			if (end) {
				s = end + 1;
				continue;
			}
		}
		rescue.reset[rescue.reset_n++] = *s++;
	}
}

static void rescue_terminal(void)
{
	size_t done = 0;

	if (!rescue.active)
		return;
	rescue.active = 0;
	while (done < rescue.reset_n) {
		ssize_t n = write(rescue.terminal, rescue.reset + done, rescue.reset_n - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	tcsetattr(rescue.terminal, TCSANOW, &rescue.shell);
	if (rescue.errors >= 0)
		dup2(rescue.errors, STDERR_FILENO);
}

static void on_fatal_signal(int number)
{
	rescue_terminal();
	for (size_t i = 0; i < FATAL_SIGNALS; i++)
		if (fatal_signals[i] == number)
			sigaction(number, &rescue.before[i], NULL);
	raise(number);
}

static void prepare_rescue(int terminal)
{
	static bool at_exit;
	struct sigaction action = {.sa_handler = on_fatal_signal, .sa_flags = SA_ONSTACK};
	stack_t stack = {.ss_size = SIGNAL_STACK}, present;

	rescue.terminal = terminal;
	rescue.reset_n = 0;
	rescue.reset[rescue.reset_n++] = 0x18; /* CAN: ends what may have been cut in the middle */
	add_reset("sgr0");
	add_reset("rmkx");
	add_reset("cnorm");
	add_reset("rmcup");
	rescue.active = 1;
	if (!at_exit)
		at_exit = !atexit(rescue_terminal);
	/* A stack overflow needs another stack to be handled on. */
	if (!sigaltstack(NULL, &present) && (present.ss_flags & SS_DISABLE) && (rescue.stack = malloc(SIGNAL_STACK))) {
		stack.ss_sp = rescue.stack;
		sigaltstack(&stack, NULL);
	}
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < FATAL_SIGNALS; i++)
		sigaction(fatal_signals[i], &action, &rescue.before[i]);
}

static void end_rescue(void)
{
	stack_t none = {.ss_flags = SS_DISABLE};

	for (size_t i = 0; i < FATAL_SIGNALS; i++)
		sigaction(fatal_signals[i], &rescue.before[i], NULL);
	rescue.active = 0;
	if (rescue.stack)
		sigaltstack(&none, NULL);
	free(rescue.stack);
	rescue.stack = NULL;
}

void term_rescue_errors(int errors)
{
	rescue.errors = errors;
}

/* ---- what the terminal can ---- */

static enum glyphs choose_glyphs(void)
{
	const char *term = getenv("TERM");

	if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0 || !term)
		return GLYPHS_ASCII;
	/* Terminals of the time before UTF-8, whatever the locale says. */
	if (!strncmp(term, "vt", 2) || !strncmp(term, "ansi", 4) || !strncmp(term, "cons25", 6))
		return GLYPHS_ASCII;
	return !strcmp(term, "linux") ? GLYPHS_SIMPLE : GLYPHS_FULL;
}

static bool choose_colour(void)
{
	const char *no = getenv("NO_COLOR");

	if ((no && *no) || !has_colors() || start_color() == ERR)
		return false;
	use_default_colors();
	return true;
}

struct look {
	short foreground, background; /* -1: the terminal's own */
	attr_t with;		      /* besides the colour */
	attr_t without;		      /* where there is none */
};

static const struct look looks[STYLE_COUNT] = {
	[STYLE_NORMAL] = {-1, -1, A_NORMAL, A_NORMAL},
	[STYLE_LABEL] = {COLOR_CYAN, -1, A_NORMAL, A_NORMAL},
	[STYLE_STRONG] = {-1, -1, A_BOLD, A_BOLD},
	[STYLE_TITLE] = {COLOR_WHITE, COLOR_BLUE, A_BOLD, A_REVERSE},
	[STYLE_TAB] = {-1, -1, A_BOLD | A_REVERSE, A_BOLD | A_REVERSE},
	[STYLE_KEY] = {COLOR_YELLOW, -1, A_BOLD, A_BOLD},
	[STYLE_RULE] = {COLOR_BLUE, -1, A_NORMAL, A_NORMAL},
	[STYLE_GOOD] = {COLOR_GREEN, -1, A_NORMAL, A_NORMAL},
	[STYLE_WARNING] = {COLOR_YELLOW, -1, A_BOLD, A_BOLD},
	[STYLE_BAD] = {COLOR_RED, -1, A_BOLD, A_REVERSE},
	[STYLE_HIGH] = {COLOR_YELLOW, -1, A_BOLD, A_BOLD},
	[STYLE_LOW] = {COLOR_MAGENTA, -1, A_BOLD, A_BOLD},
	[STYLE_BALANCE] = {COLOR_CYAN, -1, A_BOLD, A_BOLD},
	[STYLE_BAR] = {COLOR_GREEN, -1, A_NORMAL, A_NORMAL},
	[STYLE_IN_FORCE] = {COLOR_GREEN, -1, A_BOLD, A_BOLD},
	[STYLE_OTHER] = {COLOR_CYAN, -1, A_NORMAL, A_NORMAL},
	[STYLE_WHAT_IF] = {COLOR_MAGENTA, -1, A_BOLD, A_BOLD | A_UNDERLINE},
	[STYLE_SENT] = {COLOR_YELLOW, -1, A_NORMAL, A_NORMAL},
	[STYLE_RECEIVED] = {-1, -1, A_NORMAL, A_NORMAL},
};

static void choose_looks(struct terminal *t)
{
	for (int i = 0; i < STYLE_COUNT; i++) {
		const struct look *l = &looks[i];

		t->attributes[i] = t->colour ? l->with : l->without;
		if (t->colour && (l->foreground >= 0 || l->background >= 0) &&
		    init_pair((short)(i + 1), l->foreground, l->background) == OK)
			t->attributes[i] |= (attr_t)COLOR_PAIR(i + 1);
	}
}

/* ---- carrying bytes ---- */

static void on_writable(uv_poll_t *handle, int status, int events);

/* Writes what is pending as far as the terminal takes it. */
static void pump(struct terminal *t)
{
	while (t->pending_at < t->pending_n) {
		ssize_t n = write(t->tty, t->pending + t->pending_at, t->pending_n - t->pending_at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			/* Any error but "later": the terminal has gone, and a signal will tell. */
			t->waiting = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
			if (!t->waiting)
				t->pending_at = t->pending_n;
			break;
		}
		t->pending_at += (size_t)n;
	}
	if (t->pending_at == t->pending_n) {
		t->pending_at = t->pending_n = 0;
		t->waiting = false;
	}
	if (t->waiting)
		uv_poll_start(&t->writable, UV_WRITABLE, on_writable);
	else if (uv_is_active((uv_handle_t *)&t->writable))
		uv_poll_stop(&t->writable);
}

static void on_writable(uv_poll_t *handle, int status, int events)
{
	(void)status;
	(void)events;
	pump(handle->data);
}

bool term_ready(const struct terminal *t)
{
	struct pollfd p = {.fd = t->spare, .events = POLLOUT};

	if (t->tty >= 0)
		return !t->waiting;
	/* Without a descriptor of our own: only when the terminal takes something. */
	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

/* Moves what ncurses has written from the file in memory to the pending bytes. */
static void collect(struct terminal *t)
{
	off_t size = lseek(t->memory, 0, SEEK_END);

	if (size <= 0)
		return;
	if (t->pending_room < t->pending_n + (size_t)size) {
		size_t room = t->pending_n + (size_t)size + 4096;
		char *more = realloc(t->pending, room);

		if (!more)
			return;
		t->pending = more;
		t->pending_room = room;
	}
	ssize_t n = pread(t->memory, t->pending + t->pending_n, (size_t)size, 0);
	if (n > 0) {
		t->pending_n += (size_t)n;
		t->sent += (uint64_t)n;
	}
	if (ftruncate(t->memory, 0) || lseek(t->memory, 0, SEEK_SET))
		return;
}

void term_show(struct terminal *t)
{
	int fd = fileno(t->to);

	if (!t->hidden_cursor) { /* at a place where it does not disturb */
		leaveok(stdscr, FALSE);
		wmove(stdscr, t->height - 1, t->width - 1);
		wnoutrefresh(stdscr);
	}
	if (t->tty < 0 || t->memory < 0 || dup2(t->memory, fd) < 0) {
		doupdate();
		return;
	}
	doupdate();
	dup2(t->spare, fd);
	collect(t);
	pump(t);
}

/* ---- start, end, sizes ---- */

static void take_size(struct terminal *t)
{
	struct winsize size;

	if (!ioctl(t->spare, TIOCGWINSZ, &size) && size.ws_row > 0 && size.ws_col > 0)
		resizeterm(size.ws_row, size.ws_col);
	getmaxyx(stdscr, t->height, t->width);
}

void term_resize(struct terminal *t)
{
	take_size(t);
	clearok(curscr, TRUE);
}

static void open_descriptors(struct terminal *t, uv_loop_t *loop)
{
	char name[64];

	t->memory = memfd_create("bmscope-screen", MFD_CLOEXEC);
	t->tty = -1;
	if (t->memory >= 0 && !ttyname_r(t->spare, name, sizeof(name)))
		t->tty = open(name, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (t->tty < 0)
		return;
	t->writable.data = t;
	t->writable_open = !uv_poll_init(loop, &t->writable, t->tty);
	if (!t->writable_open) {
		close(t->tty);
		t->tty = -1;
	}
}

static void set_modes(struct terminal *t)
{
	cbreak();
	noecho();
	nonl();
	set_escdelay(ESCAPE_MS);
	typeahead(-1);
	t->hidden_cursor = curs_set(0) != ERR;
	leaveok(stdscr, TRUE);
	/* Keys are read through a pad: reading from a window would refresh it. */
	t->keys = newpad(1, 1);
	if (t->keys) {
		keypad(t->keys, TRUE);
		nodelay(t->keys, TRUE);
	}
}

bool term_start(struct terminal *t, uv_loop_t *loop, char *why, size_t size)
{
	const char *name = getenv("TERM");

	memset(t, 0, sizeof(*t));
	t->memory = t->tty = t->spare = -1;
	rescue.errors = -1;
	setlocale(LC_ALL, "");
	setlocale(LC_NUMERIC, "C");
	t->spare = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	t->to = fd < 0 ? NULL : fdopen(fd, "w");
	if (t->spare < 0 || !t->to || tcgetattr(t->spare, &rescue.shell)) {
		snprintf(why, size, "standard output is no terminal");
		term_end(t);
		return false;
	}
	t->screen = newterm(NULL, t->to, stdin);
	if (!t->screen) {
		snprintf(why, size, "the terminal type \"%s\" is not known here; try TERM=vt100", name ? name : "");
		term_end(t);
		return false;
	}
	t->glyphs = choose_glyphs();
	t->colour = choose_colour();
	choose_looks(t);
	prepare_rescue(t->spare);
	set_modes(t);
	open_descriptors(t, loop);
	take_size(t);
	return true;
}

/* Waits, but not for ever, until the terminal has taken what is pending. False: it does not. */
static bool drain(struct terminal *t)
{
	struct pollfd p = {.fd = t->spare, .events = POLLOUT};

	while (t->waiting) {
		if (poll(&p, 1, GIVE_UP_MS) != 1 || !(p.revents & POLLOUT))
			return false;
		pump(t);
	}
	return poll(&p, 1, GIVE_UP_MS) == 1 && (p.revents & POLLOUT);
}

/* Back to the shell's settings. Where the terminal takes nothing, at least those. */
static void leave(struct terminal *t)
{
	if (drain(t))
		endwin();
	tcsetattr(t->spare, TCSANOW, &rescue.shell);
}

void term_suspend(struct terminal *t)
{
	leave(t);
	rescue.active = 0;
}

void term_resume(struct terminal *t)
{
	rescue.active = 1;
	take_size(t);
	reset_prog_mode();
	refresh(); /* straight to the terminal */
	clearok(curscr, TRUE);
}

void term_end(struct terminal *t)
{
	if (t->screen) {
		leave(t);
		end_rescue();
		if (t->keys)
			delwin(t->keys);
		delscreen(t->screen);
	}
	if (t->writable_open)
		uv_close((uv_handle_t *)&t->writable, NULL);
	if (t->tty >= 0)
		close(t->tty);
	if (t->memory >= 0)
		close(t->memory);
	if (t->to)
		fclose(t->to);
	if (t->spare >= 0)
		close(t->spare);
	free(t->pending);
}
