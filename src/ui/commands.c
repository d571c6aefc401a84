/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/commands.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/ui.h"

/* A command on its way; it may end after the screen. */
struct order {
	struct ui *ui; /* NULL: the screen has ended */
};

struct switch_row {
	enum command_kind kind;
	enum flag flag;
	const char *name;
};

static const struct switch_row switches[] = {
	{COMMAND_CHARGE, F_CHARGE_MOS, "Charging"},
	{COMMAND_DISCHARGE, F_DISCHARGE_MOS, "Discharging"},
	{COMMAND_BALANCE, F_BALANCE_ENABLED, "Balancing"},
};
#define SWITCHES (sizeof(switches) / sizeof(switches[0]))
_Static_assert(MENU_COMMANDS >= 2 * SWITCHES + 1, "every switch both ways, and the SoC");

/* ---- how it ended ---- */

static void on_outcome_read(struct ui *ui, int choice)
{
	(void)ui;
	(void)choice;
}

static void on_done(void *ctx, unsigned pack, const struct command *c, const struct command_outcome *o)
{
	static const enum style styles[] = {
		[COMMAND_DONE] = STYLE_GOOD, [COMMAND_REFUSED] = STYLE_BAD, [COMMAND_UNCONFIRMED] = STYLE_BAD};
	struct order *order = ctx;
	struct ui *ui = order->ui;
	char text[64];

	(void)pack;
	free(order);
	if (!ui)
		return;
	ui->order = NULL;
	command_text(c, text, sizeof(text));
	ui_say(ui, styles[o->result], "%s: %s: %s", text, command_result_name(o->result), o->say);
	dialog_open(&ui->dialog, text, on_outcome_read);
	dialog_line(&ui->dialog, styles[o->result], "%s", command_result_name(o->result));
	dialog_line(&ui->dialog, STYLE_NORMAL, "%s", o->say);
	ui->dialog.buttons = true;
	dialog_choice(&ui->dialog, 'o', "OK");
}

void commands_forget(struct ui *ui)
{
	if (ui->order)
		ui->order->ui = NULL;
	ui->order = NULL;
}

/* ---- doing it ---- */

static void carry_out(struct ui *ui)
{
	struct order *order = malloc(sizeof(*order));
	char text[64];
	int error = order ? 0 : -ENOMEM;

	command_text(&ui->asked, text, sizeof(text));
	if (order) {
		order->ui = ui;
		ui->order = order;
		error = engine_command(ui->engine, ui->asked_pack, &ui->asked, on_done, order);
	}
	if (error) {
		free(order);
		ui->order = NULL;
		ui_say(ui, STYLE_BAD, "%s: %s", text, error == -ENOENT ? "this battery has gone" : strerror(-error));
		return;
	}
	dialog_open(&ui->dialog, text, on_outcome_read);
	dialog_line(&ui->dialog, STYLE_NORMAL, "Sent. Waiting for the answer, then the state is read back ...");
	ui_say(ui, STYLE_STRONG, "%s: sent, waiting for the answer and the state read back", text);
}

static void on_confirmed(struct ui *ui, int choice)
{
	char text[64];

	if (choice == 1) {
		carry_out(ui);
		return;
	}
	command_text(&ui->asked, text, sizeof(text));
	ui_say(ui, STYLE_NORMAL, "%s: not done", text);
}

static void question_text(const struct command *c, char *out, size_t size)
{
	if (c->kind == COMMAND_SOC) {
		snprintf(out, size, "Set the state of charge to %.10g %%?", c->value);
		return;
	}
	for (size_t i = 0; i < SWITCHES; i++)
		if (switches[i].kind == c->kind)
			snprintf(out, size, "Switch %c%s %s?", switches[i].name[0] | 0x20, switches[i].name + 1,
				 c->value != 0 ? "on" : "off");
}

static void warn(struct dialog *d, const struct snapshot *s, const struct command *c)
{
	if (c->kind == COMMAND_DISCHARGE && c->value == 0)
		dialog_line(d, STYLE_BAD,
			    "This cuts off everything that lives from this battery, perhaps this computer too. "
			    "It may then take a charger or the button on the battery to wake it.");
	if (c->kind == COMMAND_SOC)
		dialog_line(d, STYLE_NORMAL,
			    "Whoever steers by the SoC (an inverter, a time-to-go) follows the new value.");
	if (s->protocol->experimental >> c->kind & 1)
		dialog_line(d, STYLE_BAD, "This command was never proven on hardware of this kind.");
}

void commands_ask(struct ui *ui, const struct command *c)
{
	const struct snapshot *s = ui_pack(ui);
	char question[80], hex[2 * MAX_REQUEST + 1];
	const char *why;

	if (!s) {
		ui_say(ui, STYLE_BAD, "there is no battery yet");
		return;
	}
	ui->asked = *c;
	ui->asked.experimental = ui->options->experimental;
	ui->asked_pack = s->id;
	if (!engine_can(ui->engine, s->id, &ui->asked, &why)) {
		ui_say(ui, STYLE_BAD, "not possible: %s", why);
		return;
	}
	question_text(c, question, sizeof(question));
	dialog_open(&ui->dialog, question, on_confirmed);
	dialog_line(&ui->dialog, STYLE_STRONG, "%s  %s  %s", s->name, s->port, s->protocol->id);
	warn(&ui->dialog, s, c);
	engine_command_preview(ui->engine, s->id, &ui->asked, hex, sizeof(hex));
	if (hex[0])
		dialog_line(&ui->dialog, STYLE_NORMAL, "Will be sent: %s", hex);
	dialog_line(&ui->dialog, STYLE_NORMAL,
		    "Then the state is read back; what was changed is written to the journal.");
	ui->dialog.buttons = true;
	dialog_choice(&ui->dialog, 'n', "No");
	dialog_choice(&ui->dialog, 'y', "Yes");
}

/* ---- the menu ---- */

/* The command behind each line of the menu; kind COMMAND_SOC: its value is asked for. */
static unsigned menu_commands(const struct reading *r, struct command out[MENU_COMMANDS])
{
	unsigned n = 0;

	for (size_t i = 0; i < SWITCHES; i++) {
		enum tri now = reading_flag(r, switches[i].flag);

		if (now != OFF)
			out[n++] = (struct command){.kind = switches[i].kind, .value = 0};
		if (now != ON)
			out[n++] = (struct command){.kind = switches[i].kind, .value = 1};
	}
	out[n++] = (struct command){.kind = COMMAND_SOC};
	return n;
}

static void on_menu(struct ui *ui, int choice)
{
	if (choice == DIALOG_CANCELLED)
		return;
	if (ui->menu[choice].kind == COMMAND_SOC)
		prompt_open(ui, PROMPT_SOC, "");
	else
		commands_ask(ui, &ui->menu[choice]);
}

static void describe(struct dialog_choice *line, const struct snapshot *s, const struct command *c)
{
	static const char *const word[] = {[UNKNOWN] = "not reported", [OFF] = "off", [ON] = "on"};
	char soc[24];

	if (c->kind == COMMAND_SOC) {
		number_text(snapshot_number(s, Q_SOC_PCT), 1, "%", soc, sizeof(soc));
		snprintf(line->note, sizeof(line->note), "now %s", soc);
		return;
	}
	for (size_t i = 0; i < SWITCHES; i++)
		if (switches[i].kind == c->kind)
			snprintf(line->note, sizeof(line->note), "now %s",
				 word[reading_flag(&s->reading, switches[i].flag)]);
}

void commands_menu(struct ui *ui)
{
	const struct snapshot *s = ui_pack(ui);
	struct command *c = ui->menu;
	char title[PACK_NAME + 20], text[40];

	if (!s) {
		ui_say(ui, STYLE_NORMAL, "there is no battery yet");
		return;
	}
	snprintf(title, sizeof(title), "Tell %s", s->name);
	dialog_open(&ui->dialog, title, on_menu);
	unsigned n = menu_commands(&s->reading, c);
	for (unsigned i = 0; i < n; i++) {
		const char *why;

		c[i].experimental = ui->options->experimental;
		if (c[i].kind == COMMAND_SOC)
			snprintf(text, sizeof(text), "State of charge ...");
		else
			for (size_t k = 0; k < SWITCHES; k++)
				if (switches[k].kind == c[i].kind)
					snprintf(text, sizeof(text), "%s %s", switches[k].name,
						 c[i].value != 0 ? "on" : "off");
		struct dialog_choice *line = dialog_choice(&ui->dialog, 0, text);
		line->enabled = engine_can(ui->engine, s->id, &c[i], &why);
		if (line->enabled)
			describe(line, s, &c[i]);
		else
			snprintf(line->note, sizeof(line->note), "%s", why);
	}
}
