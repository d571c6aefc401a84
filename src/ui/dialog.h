/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A box over the screen: a few lines of text and a choice. There is one at a time. */
#ifndef UI_DIALOG_H
#define UI_DIALOG_H

#include <panel.h>

#include "ui/canvas.h"

#define DIALOG_LINES	 10
#define DIALOG_CHOICES	 10
#define DIALOG_CANCELLED (-1)

struct ui;

struct dialog_choice {
	char key; /* that chooses it at once; 0: none */
	bool enabled;
	char text[40], note[100]; /* note: beside it; of a choice that is not enabled: why */
};

struct dialog {
	bool open;
	char title[60];
	unsigned lines;
	struct {
		enum style style;
		char text[700];
	} line[DIALOG_LINES];
	bool buttons; /* choices side by side */
	unsigned choices, selected;
	struct dialog_choice choice[DIALOG_CHOICES];
	/* The number of the choice, or DIALOG_CANCELLED. The dialog is closed by then. */
	void (*chosen)(struct ui *ui, int choice);
	WINDOW *window;
	PANEL *panel;
};

/* An empty dialog; another one that was open is gone without an answer. */
void dialog_open(struct dialog *d, const char *title, void (*chosen)(struct ui *ui, int choice));
__attribute__((format(printf, 3, 4))) void dialog_line(struct dialog *d, enum style style, const char *format, ...);
struct dialog_choice *dialog_choice(struct dialog *d, char key, const char *text);
void dialog_close(struct dialog *d);

void dialog_draw(struct dialog *d, const struct terminal *t);
/* Every key belongs to an open dialog. */
void dialog_key(struct dialog *d, struct ui *ui, int key);

#endif
