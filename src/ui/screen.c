/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The loop of the screen: keys, signals, when to draw. */
#include "ui/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ui/commands.h"
#include "ui/ui.h"

enum { DRAW_MS = 100, CLOCK_MS = 1000, KEYS_AT_ONCE = 200 };

static const struct screen *const screens[SCREENS] = {
	&packs_screen, &cells_screen, &limits_screen, &alarms_screen, &settings_screen, &traffic_screen, &log_screen,
};

/* ---- for everybody ---- */

void ui_say(struct ui *ui, enum style style, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ui->message, sizeof(ui->message), format, args);
	va_end(args);
	ui->message_style = style;
	ui->message_ms = uv_now(ui->loop);
	ui->dirty = true;
}

void ui_quit(struct ui *ui, int exit_code)
{
	ui->exit_code = exit_code;
	ui->ended = true;
	uv_stop(ui->loop);
}

void ui_show_screen(struct ui *ui, enum screen_id id)
{
	ui->screen = id;
	ui->helping = false;
}

bool list_key(struct list *l, int key, int page)
{
	int rows = page > 1 ? page - 1 : 1;

	switch (key) {
	case KEY_UP:
	case 'k':
		l->move--;
		break;
	case KEY_DOWN:
	case 'j':
		l->move++;
		break;
	case KEY_PPAGE:
		l->move -= rows;
		break;
	case KEY_NPAGE:
	case ' ':
		l->move += rows;
		break;
	case KEY_HOME:
		l->move = LIST_TO_START;
		break;
	case KEY_END:
		l->move = LIST_TO_END;
		break;
	default:
		return false;
	}
	/* Whoever moves up wants to stay there; at the end following begins again. */
	l->follow = false;
	return true;
}

/* ---- drawing ---- */

static void draw_small(const struct ui *ui, const struct canvas *c)
{
	put(c, 0, 0, ui->term.width, STYLE_STRONG, "The terminal is %dx%d.", ui->term.width, ui->term.height);
	put(c, 1, 0, ui->term.width, STYLE_NORMAL, "bmscope needs %dx%d.", TERM_LEAST_WIDTH, TERM_LEAST_HEIGHT);
	put(c, 2, 0, ui->term.width, STYLE_NORMAL, "Make it larger; q quits.");
}

static bool is_small(const struct ui *ui)
{
	return ui->term.width < TERM_LEAST_WIDTH || ui->term.height < TERM_LEAST_HEIGHT;
}

static void draw(struct ui *ui)
{
	struct canvas c = {.window = stdscr, .term = &ui->term};

	werase(stdscr);
	if (is_small(ui)) {
		if (ui->dialog.panel)
			hide_panel(ui->dialog.panel);
		draw_small(ui, &c);
	} else {
		frame_draw(ui, &c, screens);
		if (ui->helping)
			help_draw(ui, &c, frame_body(ui));
		else
			screens[ui->screen]->draw(ui, &c, frame_body(ui));
		if (ui->dialog.open) {
			dialog_draw(&ui->dialog, &ui->term);
			if (ui->dialog.panel)
				show_panel(ui->dialog.panel);
		}
	}
	wnoutrefresh(stdscr);
	update_panels();
	term_show(&ui->term);
}

static void on_redraw(uv_timer_t *timer);

/* Draws soon: at once when the last picture is old enough and has arrived. */
static void draw_when_due(struct ui *ui)
{
	uint64_t now = uv_now(ui->loop), due = ui->drawn_ms + DRAW_MS;

	if (!ui->dirty || uv_is_active((uv_handle_t *)&ui->redraw))
		return;
	if (now >= due && term_ready(&ui->term)) {
		ui->dirty = false;
		ui->drawn_ms = now;
		draw(ui);
		return;
	}
	uv_timer_start(&ui->redraw, on_redraw, now < due ? due - now : DRAW_MS, 0);
}

static void on_redraw(uv_timer_t *timer)
{
	draw_when_due(timer->data);
}

/* Once per turn of the loop, after everything that came: many readings make one picture. */
static void on_turn(uv_prepare_t *turn)
{
	struct ui *ui = turn->data;

	ui->dirty = ui->dirty || ui->view.changed;
	ui->view.changed = false;
	draw_when_due(ui);
}

/* ---- keys ---- */

static void open_find(struct ui *ui)
{
	if (screens[ui->screen]->lists && !ui->helping)
		prompt_open(ui, PROMPT_FIND, ui->filter[ui->screen]);
	else
		ui_say(ui, STYLE_NORMAL, "there is no list to look through on this screen");
}

static void leave_help_or_filter(struct ui *ui)
{
	if (ui->helping)
		ui->helping = false;
	else
		ui->filter[ui->screen][0] = 0;
}

static void on_really_quit(struct ui *ui, int choice)
{
	if (choice == 1)
		ui_quit(ui, 0);
}

static void ask_to_quit(struct ui *ui)
{
	if (!ui->order) {
		ui_quit(ui, 0);
		return;
	}
	dialog_open(&ui->dialog, "A command is still running", on_really_quit);
	dialog_line(&ui->dialog, STYLE_NORMAL, "Who leaves now does not learn whether the battery did it.");
	ui->dialog.buttons = true;
	dialog_choice(&ui->dialog, 's', "Stay");
	dialog_choice(&ui->dialog, 'q', "Quit");
}

/* Keys that mean the same on every screen. */
static bool global_key(struct ui *ui, int key)
{
	int place = (int)view_chosen_place(&ui->view);

	if (key >= '1' && key < '1' + SCREENS) {
		ui_show_screen(ui, (enum screen_id)(key - '1'));
		return true;
	}
	switch (key) {
	case '\t':
		ui_show_screen(ui, (enum screen_id)((ui->screen + 1) % SCREENS));
		return true;
	case KEY_BTAB:
		ui_show_screen(ui, (enum screen_id)((ui->screen + SCREENS - 1) % SCREENS));
		return true;
	case '[':
		view_choose(&ui->view, place - 1);
		return true;
	case ']':
		view_choose(&ui->view, place + 1);
		return true;
	case '?':
	case KEY_F(1):
		ui->helping = !ui->helping;
		ui->help = (struct list){.move = LIST_TO_START};
		return true;
	case ':':
		prompt_open(ui, PROMPT_COMMAND, "");
		return true;
	case '/':
		open_find(ui);
		return true;
	case 'c':
		commands_menu(ui);
		return true;
	case 'r':
		record_toggle(ui);
		return true;
	case 'q':
		ask_to_quit(ui);
		return true;
	case 27:
		leave_help_or_filter(ui);
		return true;
	case 12: /* Ctrl-L */
		term_resize(&ui->term);
		return true;
	default:
		return false;
	}
}

static void take_key(struct ui *ui, int key, bool code)
{
	/* Letters beyond ASCII are for texts only: their numbers are also those of function keys. */
	if ((code && key == KEY_RESIZE) || (!code && key > 127 && !ui->prompt.kind))
		return;
	ui->dirty = true;
	if (is_small(ui) && (ui->dialog.open || ui->prompt.kind || key != 'q'))
		return; /* nobody answers a question that he can't see */
	if (ui->dialog.open)
		dialog_key(&ui->dialog, ui, key);
	else if (ui->prompt.kind)
		prompt_key(ui, key, code);
	else if (ui->helping && list_key(&ui->help, key, frame_body(ui).height))
		return;
	else if (ui->helping || !screens[ui->screen]->key(ui, key))
		global_key(ui, key);
}

/* The terminal is gone: nothing to read, and it never will be. */
static bool input_ended(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	int waiting = 0;

	if (poll(&p, 1, 0) != 1)
		return false;
	if (p.revents & (POLLHUP | POLLERR | POLLNVAL))
		return true;
	return !ioctl(STDIN_FILENO, FIONREAD, &waiting) && waiting == 0;
}

static void on_input(uv_poll_t *poll_handle, int status, int events)
{
	struct ui *ui = poll_handle->data;
	int taken = 0, result;
	wint_t key;

	(void)events;
	while (!ui->ended && taken < KEYS_AT_ONCE && (result = wget_wch(ui->term.keys, &key)) != ERR) {
		take_key(ui, (int)key, result == KEY_CODE_YES);
		taken++;
	}
	if (status < 0 || (!taken && !ui->ended && input_ended()))
		ui_quit(ui, 0);
	/* A person who types is not to wait for the next picture. */
	ui->drawn_ms = 0;
	uv_timer_stop(&ui->redraw);
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *handle, int number);

/* The signal's own effect is wanted: it stops us only where there is a shell that can wake us again. */
static void suspend(struct ui *ui, uv_signal_t *handle)
{
	term_suspend(&ui->term);
	uv_signal_stop(handle);
	raise(SIGTSTP);
	uv_signal_start(handle, on_signal, SIGTSTP);
	term_resume(&ui->term);
	ui->dirty = true;
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct ui *ui = handle->data;

	switch (number) {
	case SIGWINCH:
		term_resize(&ui->term);
		ui->dirty = true;
		break;
	case SIGCONT: /* stopped by somebody else, who may have changed the terminal */
		term_resume(&ui->term);
		ui->dirty = true;
		break;
	case SIGTSTP:
		suspend(ui, handle);
		break;
	default: /* INT, TERM, HUP */
		ui_quit(ui, 128 + number);
	}
}

/* ---- time ---- */

static void on_clock(uv_timer_t *timer)
{
	struct ui *ui = timer->data;
	char line[512];

	while (capture_line(&ui->capture, line, sizeof(line)))
		view_log(&ui->view, LOG_WARNING, (double)time(NULL), line);
	view_look_at_ports(&ui->view);
	ui->dirty = true;
}

/* ---- life ---- */

static bool open_handles(struct ui *ui)
{
	static const int numbers[] = {SIGWINCH, SIGTSTP, SIGCONT, SIGINT, SIGTERM, SIGHUP};
	_Static_assert(sizeof(numbers) / sizeof(numbers[0]) == sizeof(ui->signals) / sizeof(ui->signals[0]),
		       "a handle each");

	uv_timer_init(ui->loop, &ui->redraw);
	uv_timer_init(ui->loop, &ui->clock);
	uv_prepare_init(ui->loop, &ui->turn);
	ui->redraw.data = ui->clock.data = ui->turn.data = ui->input.data = ui;
	uv_timer_start(&ui->clock, on_clock, CLOCK_MS, CLOCK_MS);
	uv_prepare_start(&ui->turn, on_turn);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		uv_signal_init(ui->loop, &ui->signals[i]);
		ui->signals[i].data = ui;
		uv_signal_start(&ui->signals[i], on_signal, numbers[i]);
	}
	/* libuv makes the descriptor non-blocking, and with it what the shell has: not needed for polling. */
	int flags = fcntl(STDIN_FILENO, F_GETFL);
	ui->input_open = !uv_poll_init(ui->loop, &ui->input, STDIN_FILENO);
	if (!ui->input_open)
		return false;
	fcntl(STDIN_FILENO, F_SETFL, flags);
	uv_poll_start(&ui->input, UV_READABLE, on_input);
	return true;
}

static void close_handles(struct ui *ui)
{
	uv_close((uv_handle_t *)&ui->redraw, NULL);
	uv_close((uv_handle_t *)&ui->clock, NULL);
	uv_close((uv_handle_t *)&ui->turn, NULL);
	for (size_t i = 0; i < sizeof(ui->signals) / sizeof(ui->signals[0]); i++)
		uv_close((uv_handle_t *)&ui->signals[i], NULL);
	if (ui->input_open)
		uv_close((uv_handle_t *)&ui->input, NULL);
}

/* Shows everything until the end. Returns the exit code; *say: what was written to standard error is
 * to be seen. */
static int run(struct ui *ui, bool *say)
{
	if (!open_handles(ui)) {
		fprintf(stderr, "bmscope: standard input is no terminal\n");
		*say = true;
		return 2;
	}
	draw(ui);
	int status = ui->options->open ? ui->options->open(ui->options->ctx) : 0;
	if (status) {
		*say = true;
		return status;
	}
	view_look_at_ports(&ui->view);
	while (!ui->ended && uv_run(ui->loop, UV_RUN_DEFAULT) && !ui->ended)
		;
	return ui->exit_code;
}

static int start_and_run(struct ui *ui)
{
	char why[160];
	bool say = false;

	if (!term_start(&ui->term, ui->loop, why, sizeof(why))) {
		fprintf(stderr, "bmscope: %s\n", why);
		return 2;
	}
	capture_start(&ui->capture);
	term_rescue_errors(ui->capture.before);
	int status = run(ui, &say);
	commands_forget(ui);
	dialog_close(&ui->dialog);
	close_handles(ui);
	term_end(&ui->term);
	capture_end(&ui->capture, say);
	uv_run(ui->loop, UV_RUN_NOWAIT);
	return status;
}

int screen_run(uv_loop_t *loop, struct engine *e, const struct screen_options *o)
{
	struct ui *ui = calloc(1, sizeof(*ui));
	int status = 3;

	if (ui && view_start(&ui->view, e)) {
		ui->loop = loop;
		ui->engine = e;
		ui->options = o;
		ui->traffic.list.follow = ui->log.list.follow = true;
		ui->log.level = LOG_INFO;
		status = start_and_run(ui);
		view_end(&ui->view);
	} else {
		fprintf(stderr, "bmscope: out of memory\n");
	}
	free(ui);
	return status;
}
