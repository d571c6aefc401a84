/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The line in which things are typed: commands, what to look for, a file's name. And what they do. */
#ifndef UI_COMMAND_LINE_H
#define UI_COMMAND_LINE_H

#include "ui/widgets.h"

#define PROMPT_HISTORY 20

struct ui;

enum prompt_kind { PROMPT_NONE, PROMPT_COMMAND, PROMPT_FIND, PROMPT_RECORD, PROMPT_SOC };

struct prompt {
	enum prompt_kind kind;
	struct line_edit edit;
	char history[PROMPT_HISTORY][EDIT_ROOM]; /* of commands, newest first */
	unsigned history_count, history_at;	 /* at: 0 = the line itself */
};

void prompt_open(struct ui *ui, enum prompt_kind kind, const char *text);
/* What stands before the text: ":", "find: ". */
const char *prompt_label(enum prompt_kind kind);
/* key is a code point, or with code set a KEY_ of curses. */
void prompt_key(struct ui *ui, int key, bool code);
/* Carries out what was typed after ':'. */
void command_line_run(struct ui *ui, const char *line);

/* 'r': starts or ends a recording. */
void record_toggle(struct ui *ui);

#endif
