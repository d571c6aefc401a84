/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/command_line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "ui/commands.h"
#include "ui/ui.h"

enum { MAX_WORDS = 4 };

/* ---- recording ---- */

static void start_recording(struct ui *ui, const char *path)
{
	int error = engine_record(ui->engine, path);

	if (error)
		ui_say(ui, STYLE_BAD, "%s: %s", path, engine_record_why(error));
	else
		ui_say(ui, STYLE_GOOD, "recording to %s; r ends it", path);
}

static void on_overwrite(struct ui *ui, int choice)
{
	if (choice == 1)
		start_recording(ui, ui->record_path);
	else
		ui_say(ui, STYLE_NORMAL, "not recording");
}

static void record_to(struct ui *ui, const char *path)
{
	if (engine_recording(ui->engine)) {
		ui_say(ui, STYLE_WARNING, "a recording is running already; r ends it");
		return;
	}
	if (access(path, F_OK)) {
		start_recording(ui, path);
		return;
	}
	snprintf(ui->record_path, sizeof(ui->record_path), "%s", path);
	dialog_open(&ui->dialog, "This file exists", on_overwrite);
	dialog_line(&ui->dialog, STYLE_NORMAL, "%s", path);
	dialog_line(&ui->dialog, STYLE_NORMAL, "What it holds would be lost.");
	ui->dialog.buttons = true;
	dialog_choice(&ui->dialog, 'k', "Keep it");
	dialog_choice(&ui->dialog, 'o', "Overwrite");
}

static void stop_recording(struct ui *ui)
{
	bool was = engine_recording(ui->engine);

	engine_record_stop(ui->engine);
	ui_say(ui, STYLE_NORMAL, was ? "the recording has ended" : "there is no recording");
}

void record_toggle(struct ui *ui)
{
	char name[64];
	time_t now = time(NULL);
	struct tm tm;

	if (engine_recording(ui->engine)) {
		stop_recording(ui);
		return;
	}
	localtime_r(&now, &tm);
	strftime(name, sizeof(name), "bmscope-%Y%m%d-%H%M%S.jsonl", &tm);
	prompt_open(ui, PROMPT_RECORD, name);
}

/* ---- commands ---- */

static void do_set(struct ui *ui, char **word)
{
	struct command c;
	char why[200], *end;

	if (!word[1] || !command_parse(&c, word[1], word[2], why, sizeof(why))) {
		ui_say(ui, STYLE_BAD, "%s", word[1] ? why : "set what? As in: set charge off");
		return;
	}
	if (word[3]) {
		unsigned long n = strtoul(word[3], &end, 10);

		if (*end || n < 1 || n > ui->view.pack_count) {
			ui_say(ui, STYLE_BAD, "there is no battery \"%s\"; 1 to %u", word[3], ui->view.pack_count);
			return;
		}
		view_choose(&ui->view, (int)n - 1);
	}
	commands_ask(ui, &c);
}

static void do_pack(struct ui *ui, char **word)
{
	char *end;
	unsigned long n = word[1] ? strtoul(word[1], &end, 10) : 0;

	if (!word[1] || *end || n < 1 || n > ui->view.pack_count)
		ui_say(ui, STYLE_BAD, "which battery? 1 to %u", ui->view.pack_count);
	else
		view_choose(&ui->view, (int)n - 1);
}

static void do_record(struct ui *ui, char **word)
{
	if (!word[1])
		record_toggle(ui);
	else if (!strcmp(word[1], "stop"))
		stop_recording(ui);
	else
		record_to(ui, word[1]);
}

static void do_quit(struct ui *ui, char **word)
{
	(void)word;
	ui_quit(ui, 0);
}

static void do_help(struct ui *ui, char **word)
{
	(void)word;
	ui->helping = true;
	ui->help = (struct list){.move = LIST_TO_START};
}

static const struct {
	const char *name;
	enum screen_id screen; /* where run is NULL */
	void (*run)(struct ui *ui, char **word);
} commands[] = {
	{"packs", SCREEN_PACKS, NULL},	     {"ports", SCREEN_PACKS, NULL},
	{"read", SCREEN_CELLS, NULL},	     {"cells", SCREEN_CELLS, NULL},
	{"limits", SCREEN_LIMITS, NULL},     {"alarms", SCREEN_ALARMS, NULL},
	{"settings", SCREEN_SETTINGS, NULL}, {"traffic", SCREEN_TRAFFIC, NULL},
	{"log", SCREEN_LOG, NULL},	     {"set", SCREENS, do_set},
	{"pack", SCREENS, do_pack},	     {"record", SCREENS, do_record},
	{"quit", SCREENS, do_quit},	     {"q", SCREENS, do_quit},
	{"help", SCREENS, do_help},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

void command_line_run(struct ui *ui, const char *line)
{
	char copy[EDIT_ROOM], *word[MAX_WORDS + 1] = {NULL}, *save = NULL;
	unsigned n = 0;
	size_t i = 0;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w && n < MAX_WORDS; w = strtok_r(NULL, " ", &save))
		word[n++] = w;
	if (!n)
		return;
	while (i < COMMANDS && strcasecmp(commands[i].name, word[0]) != 0)
		i++;
	if (i == COMMANDS)
		ui_say(ui, STYLE_BAD, "there is no command \"%s\": set, record, pack, packs .. log, help, quit",
		       word[0]);
	else if (commands[i].run)
		commands[i].run(ui, word);
	else
		ui_show_screen(ui, commands[i].screen);
}

/* ---- the line ---- */

const char *prompt_label(enum prompt_kind kind)
{
	static const char *const label[] = {
		[PROMPT_NONE] = "",
		[PROMPT_COMMAND] = ":",
		[PROMPT_FIND] = "find: ",
		[PROMPT_RECORD] = "record to: ",
		[PROMPT_SOC] = "new state of charge in %: ",
	};

	return label[kind];
}

void prompt_open(struct ui *ui, enum prompt_kind kind, const char *text)
{
	ui->prompt.kind = kind;
	ui->prompt.history_at = 0;
	edit_start(&ui->prompt.edit, text);
}

static void remember(struct prompt *p)
{
	if (!p->edit.text[0] || (p->history_count && !strcmp(p->history[0], p->edit.text)))
		return;
	if (p->history_count < PROMPT_HISTORY)
		p->history_count++;
	memmove(p->history[1], p->history[0], (p->history_count - 1) * sizeof(p->history[0]));
	memcpy(p->history[0], p->edit.text, sizeof(p->history[0]));
}

static void recall(struct prompt *p, int direction)
{
	unsigned at = p->history_at;

	if (p->kind != PROMPT_COMMAND || (direction < 0 && !at) || (direction > 0 && at == p->history_count))
		return;
	p->history_at = direction > 0 ? at + 1 : at - 1;
	edit_start(&p->edit, p->history_at ? p->history[p->history_at - 1] : "");
}

static void set_soc(struct ui *ui, const char *value)
{
	struct command c;
	char why[200];

	if (command_parse(&c, "soc", value, why, sizeof(why)))
		commands_ask(ui, &c);
	else
		ui_say(ui, STYLE_BAD, "%s", why);
}

static void accept_line(struct ui *ui)
{
	struct prompt *p = &ui->prompt;
	enum prompt_kind kind = p->kind;

	p->kind = PROMPT_NONE;
	if (kind == PROMPT_COMMAND) {
		remember(p);
		command_line_run(ui, p->edit.text);
	} else if (kind == PROMPT_RECORD && p->edit.text[0]) {
		record_to(ui, p->edit.text);
	} else if (kind == PROMPT_SOC) {
		set_soc(ui, p->edit.text);
	}
}

static void cancel_line(struct ui *ui)
{
	if (ui->prompt.kind == PROMPT_FIND)
		ui->filter[ui->screen][0] = 0;
	ui->prompt.kind = PROMPT_NONE;
}

/* Keys that move or delete; false: not one of them. */
static bool edit_key(struct line_edit *e, int key)
{
	switch (key) {
	case KEY_LEFT:
		edit_left(e);
		return true;
	case KEY_RIGHT:
		edit_right(e);
		return true;
	case KEY_HOME:
		e->at = 0;
		return true;
	case KEY_END:
		e->at = strlen(e->text);
		return true;
	case KEY_DC:
		edit_delete(e);
		return true;
	case KEY_BACKSPACE:
	case 127:
	case 8:
		edit_backspace(e);
		return true;
	case 21: /* Ctrl-U */
		edit_start(e, "");
		return true;
	default:
		return false;
	}
}

void prompt_key(struct ui *ui, int key, bool code)
{
	struct prompt *p = &ui->prompt;

	if (key == '\r' || key == '\n' || (code && key == KEY_ENTER)) {
		accept_line(ui);
		return;
	}
	if (key == 27) {
		cancel_line(ui);
		return;
	}
	if (code && (key == KEY_UP || key == KEY_DOWN))
		recall(p, key == KEY_UP ? 1 : -1);
	else if (!((code || key < 128) && edit_key(&p->edit, key)) && !code)
		edit_insert(&p->edit, (uint32_t)key);
	/* What is looked for shows while it is typed. */
	if (p->kind == PROMPT_FIND)
		snprintf(ui->filter[ui->screen], sizeof(ui->filter[0]), "%s", p->edit.text);
}
