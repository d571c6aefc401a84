/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Telling a battery to do something: what it can, what will be sent, the question, and how it ended. */
#ifndef UI_COMMANDS_H
#define UI_COMMANDS_H

#include "model/command.h"

struct ui;

/* 'c': all that the chosen pack can be told. */
void commands_menu(struct ui *ui);
/* Asks whether c is really to be done with the chosen pack, and does it after a yes. */
void commands_ask(struct ui *ui, const struct command *c);
/* The screen ends: a command that is still running has nobody to tell. */
void commands_forget(struct ui *ui);

#endif
