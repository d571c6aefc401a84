/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/shell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "console/settle.h"
#include "console/text.h"

#ifdef HAVE_LIBEDIT
#include <editline/readline.h>
#endif

enum { MAX_WORDS = 4, LINE_ROOM = 1024, CLOCK_MS = 50, WAIT_SWEEPS = 2 };

struct shell {
	uv_loop_t *loop;
	struct engine *engine;
	uv_poll_t input;
	uv_signal_t interrupt;
	uv_timer_t clock;
	bool terminal, polled, prompting, over;
	int status;
	size_t n;
	char line[LINE_ROOM];
	/* waiting for the end of a command, or for a yes */
	bool running, waiting, asking;
	unsigned asked_pack;
	bool experimental; /* commands that were never proven may be asked for */
	struct command asked;
};

/* libedit's callback has no context. */
static struct shell *shell;

static void show_prompt(struct shell *s);

/* ---- commands ---- */

static void fail(struct shell *s)
{
	if (!s->terminal)
		s->status = 1;
}

static const struct snapshot *choose_pack(struct shell *s, const char *number)
{
	unsigned n = engine_packs(s->engine);
	char *end;

	if (!number) {
		if (n == 1)
			return engine_pack(s->engine, 0);
		printf(n ? "which battery? 1..%u, see `packs`\n" : "no battery yet\n", n);
		return NULL;
	}
	unsigned long i = strtoul(number, &end, 10);
	if (*end || i < 1 || i > n) {
		printf("there is no battery \"%s\"; `packs` lists them\n", number);
		return NULL;
	}
	return engine_pack(s->engine, (unsigned)i - 1);
}

static bool do_help(struct shell *s, char **word);

static bool do_packs(struct shell *s, char **word)
{
	(void)word;
	for (unsigned i = 0; i < engine_packs(s->engine); i++) {
		printf("%2u ", i + 1);
		text_pack_line(stdout, engine_pack(s->engine, i));
	}
	if (!engine_packs(s->engine))
		puts("no battery yet; `ports` shows what is being tried");
	return true;
}

static bool do_ports(struct shell *s, char **word)
{
	struct port_view p;

	(void)word;
	for (unsigned i = 0; engine_port(s->engine, i, &p); i++) {
		if (p.packs)
			printf("%s: %s, %u batter%s\n", p.name, p.protocol->id, p.packs, p.packs == 1 ? "y" : "ies");
		else
			text_port_trouble(stdout, &p);
	}
	return true;
}

static bool do_read(struct shell *s, char **word)
{
	const struct snapshot *pack = choose_pack(s, word[1]);

	if (pack)
		text_pack(stdout, pack);
	return pack != NULL;
}

static bool do_json(struct shell *s, char **word)
{
	const struct snapshot *pack = choose_pack(s, word[1]);

	if (!pack)
		return false;
	json_t *j = snapshot_to_json(pack);
	char *text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(10));

	puts(text ? text : "{}");
	free(text);
	json_decref(j);
	return true;
}

static void on_outcome(void *ctx, unsigned pack, const struct command *c, const struct command_outcome *o)
{
	struct shell *s = ctx;
	char text[64];

	(void)pack;
	command_text(c, text, sizeof(text));
	printf("%s: %s: %s\n", text, command_result_name(o->result), o->say);
	if (o->result != COMMAND_DONE)
		fail(s);
	s->running = false;
	show_prompt(s);
}

static bool carry_out(struct shell *s)
{
	s->asking = false;
	s->running = !engine_command(s->engine, s->asked_pack, &s->asked, on_outcome, s);
	if (!s->running)
		puts("this battery has gone");
	return s->running;
}

static bool do_set(struct shell *s, char **word)
{
	const struct snapshot *pack;
	char why[200], hex[2 * MAX_REQUEST + 1];
	const char *against;

	if (!word[1] || !command_parse(&s->asked, word[1], word[2], why, sizeof(why))) {
		printf("%s\n", word[1] ? why : "set what? As in `set charge off`");
		return false;
	}
	pack = choose_pack(s, word[3]);
	if (!pack)
		return false;
	s->asked.experimental = s->experimental;
	if (!engine_can(s->engine, pack->id, &s->asked, &against)) {
		printf("refused: %s\n", against);
		return false;
	}
	s->asked_pack = pack->id;
	engine_command_preview(s->engine, pack->id, &s->asked, hex, sizeof(hex));
	printf("%s on %s (%s)%s%s\n", word[1], pack->name, pack->port, hex[0] ? ", will send " : "", hex);
	if (s->asked.kind == COMMAND_DISCHARGE && s->asked.value == 0)
		puts("This cuts off everything behind the BMS, perhaps this computer too.");
	s->asking = true;
	return true;
}

static bool do_record(struct shell *s, char **word)
{
	if (!word[1] || !strcmp(word[1], "stop")) {
		engine_record_stop(s->engine);
		puts("not recording");
		return true;
	}
	int error = engine_record(s->engine, word[1]);
	if (error)
		printf("%s: %s\n", word[1], engine_record_why(error));
	else
		printf("recording to %s; `record stop` ends it\n", word[1]);
	return !error;
}

static bool do_wait(struct shell *s, char **word)
{
	(void)word;
	s->waiting = s->running = true;
	return true;
}

static bool do_quit(struct shell *s, char **word)
{
	(void)word;
	s->over = true;
	uv_stop(s->loop);
	return true;
}

static const struct {
	const char *name;
	bool (*run)(struct shell *s, char **word);
	const char *help;
} commands[] = {
	{"help", do_help, "this list"},
	{"packs", do_packs, "the batteries, one line each"},
	{"ports", do_ports, "the ports and what came of them"},
	{"read", do_read, "[N]  all there is to know of a battery"},
	{"json", do_json, "[N]  the same for programs"},
	{"set", do_set, "WHAT VALUE [N]  soc 0..100, charge|discharge|balance on|off"},
	{"wait", do_wait, "until every port has been looked at (for scripts)"},
	{"record", do_record, "FILE|stop  keep every byte"},
	{"quit", do_quit, ""},
};

static bool do_help(struct shell *s, char **word)
{
	(void)s;
	(void)word;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		printf("  %-7s %s\n", commands[i].name, commands[i].help);
	return true;
}

static void run_line(struct shell *s, char *line)
{
	char *word[MAX_WORDS + 1] = {NULL};
	char *save = NULL;
	unsigned n = 0;

	for (char *w = strtok_r(line, " \t\r", &save); w && n < MAX_WORDS; w = strtok_r(NULL, " \t\r", &save))
		word[n++] = w;
	if (s->asking) {
		if (n && (word[0][0] == 'y' || word[0][0] == 'Y')) {
			if (!carry_out(s))
				fail(s);
		} else {
			s->asking = false;
			puts("not done");
		}
	} else if (n && word[0][0] != '#') {
		size_t i = 0;

		while (i < sizeof(commands) / sizeof(commands[0]) && strcmp(commands[i].name, word[0]) != 0)
			i++;
		if (i == sizeof(commands) / sizeof(commands[0])) {
			printf("there is no command \"%s\"; `help` lists them\n", word[0]);
			fail(s);
		} else if (!commands[i].run(s, word)) {
			fail(s);
		}
	}
	fflush(stdout);
}

/* ---- input ---- */

static const char *prompt_text(const struct shell *s)
{
	return s->asking ? "Do it? [y/N] " : "bmscope> ";
}

#ifdef HAVE_LIBEDIT
static char *complete_name(const char *text, int state)
{
	static size_t next;

	if (!state)
		next = 0;
	while (next < sizeof(commands) / sizeof(commands[0])) {
		const char *name = commands[next++].name;

		if (!strncmp(name, text, strlen(text)))
			return strdup(name);
	}
	return NULL;
}

static char **complete(const char *text, int start, int end)
{
	(void)end;
	return start ? NULL : rl_completion_matches(text, complete_name);
}

static void on_edited_line(char *line)
{
	if (!line) {
		putchar('\n');
		do_quit(shell, NULL);
		return;
	}
	rl_callback_handler_remove();
	shell->prompting = false;
	if (*line && !shell->asking)
		add_history(line);
	run_line(shell, line);
	free(line);
	show_prompt(shell);
}

static void show_prompt(struct shell *s)
{
	if (!s->terminal || s->running || s->over || s->prompting)
		return;
	rl_callback_handler_install(prompt_text(s), on_edited_line);
	s->prompting = true;
}

static void end_terminal(struct shell *s)
{
	if (s->prompting)
		rl_callback_handler_remove();
}
#else
static void show_prompt(struct shell *s)
{
	if (!s->terminal || s->running || s->over)
		return;
	fputs(prompt_text(s), stdout);
	fflush(stdout);
}

static void end_terminal(struct shell *s)
{
	(void)s;
}
#endif

static void take_line(struct shell *s)
{
	char *end = memchr(s->line, '\n', s->n);
	size_t size = (size_t)(end - s->line) + 1;
	char line[LINE_ROOM];

	memcpy(line, s->line, size);
	line[size - 1] = 0;
	s->n -= size;
	memmove(s->line, s->line + size, s->n);
	run_line(s, line);
	show_prompt(s);
}

/* A line of a script waits until the command before it has ended. */
static void read_plain(struct shell *s)
{
	while (!s->running && !s->over && memchr(s->line, '\n', s->n))
		take_line(s);
	if (s->running || s->over)
		return;
	ssize_t got = read(STDIN_FILENO, s->line + s->n, sizeof(s->line) - 1 - s->n);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		if (s->n) { /* a last line without its end */
			s->line[s->n++] = '\n';
			take_line(s);
		}
		s->over = !s->running;
		if (s->over)
			uv_stop(s->loop);
		return;
	}
	s->n += (size_t)got;
	if (s->n == sizeof(s->line) - 1 && !memchr(s->line, '\n', s->n)) {
		puts("this line is too long");
		fail(s);
		s->n = 0;
	}
	while (!s->running && !s->over && memchr(s->line, '\n', s->n))
		take_line(s);
}

static void on_input(uv_poll_t *poll, int status, int events)
{
	struct shell *s = poll->data;

	(void)status;
	(void)events;
#ifdef HAVE_LIBEDIT
	if (s->terminal) {
		if (s->prompting)
			rl_callback_read_char();
		return;
	}
#endif
	read_plain(s);
}

static void on_interrupt(uv_signal_t *signal, int number)
{
	(void)number;
	do_quit(signal->data, NULL);
}

/* A regular file is always readable but cannot be polled: it is looked at by the clock, which also goes
 * on with the lines that waited for a command to end. */
static void on_clock(uv_timer_t *clock)
{
	struct shell *s = clock->data;

	if (s->waiting && settle(s->engine, WAIT_SWEEPS).pending == 0) {
		s->waiting = s->running = false;
		show_prompt(s);
	}
	if (!s->terminal && !s->running && (!s->polled || memchr(s->line, '\n', s->n)))
		read_plain(s);
}

int shell_run(uv_loop_t *loop, struct engine *e, bool experimental)
{
	struct shell s = {.loop = loop, .engine = e, .experimental = experimental, .terminal = isatty(STDIN_FILENO)};

	shell = &s;
	uv_timer_init(loop, &s.clock);
	uv_signal_init(loop, &s.interrupt);
	s.input.data = s.interrupt.data = s.clock.data = &s;
	uv_timer_start(&s.clock, on_clock, CLOCK_MS, CLOCK_MS);
	uv_signal_start(&s.interrupt, on_interrupt, SIGINT);
	s.polled = !uv_poll_init(loop, &s.input, STDIN_FILENO);
	if (s.polled)
		uv_poll_start(&s.input, UV_READABLE, on_input);
#ifdef HAVE_LIBEDIT
	if (s.terminal) {
		rl_initialize();
		rl_readline_name = "bmscope";
		rl_attempted_completion_function = complete;
	}
#endif
	show_prompt(&s);
	uv_run(loop, UV_RUN_DEFAULT);
	end_terminal(&s);
	if (s.polled)
		uv_close((uv_handle_t *)&s.input, NULL);
	uv_close((uv_handle_t *)&s.clock, NULL);
	uv_close((uv_handle_t *)&s.interrupt, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
	return s.status;
}
