/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the screens and the frame around them share. */
#ifndef UI_UI_H
#define UI_UI_H

#include "ui/canvas.h"
#include "ui/capture.h"
#include "ui/command_line.h"
#include "ui/dialog.h"
#include "ui/screen.h"
#include "ui/view.h"

enum screen_id {
	SCREEN_PACKS,
	SCREEN_CELLS,
	SCREEN_LIMITS,
	SCREEN_ALARMS,
	SCREEN_SETTINGS,
	SCREEN_TRAFFIC,
	SCREEN_LOG,
	SCREENS
};

struct screen {
	const char *title;
	const char *keys;        /* for the footer: "s sort  t trend" */
	const char *const *help; /* lines "KEY\twhat it does"; NULL ends them */
	bool lists;              /* '/' looks for something here */
	void (*draw)(struct ui *ui, const struct canvas *c, struct area a);
	bool (*key)(struct ui *ui, int key); /* false: not one of its keys */
};

extern const struct screen packs_screen, cells_screen, limits_screen, alarms_screen, settings_screen, traffic_screen,
	log_screen;

struct packs_state {
	unsigned on_port; /* id of the selected port; 0: the chosen pack is selected */
	bool attempts_shown; /* of that port */
	struct list attempts;
};

enum cells_show { CELLS_BARS, CELLS_DEVIATION, CELLS_TREND };

struct cells_state {
	enum cells_show show;
	bool by_voltage;
};

struct limits_state_view {
	enum limits_curve curve;
	bool discharging;
	double moved[CURVE_COUNT]; /* what-if: how far from what is measured, in the curve's unit; 0: not at all */
};

struct traffic_state {
	struct list list;
	unsigned port; /* only this one; 0: all */
	bool text;     /* bytes as characters */
	bool wrap;
	uint64_t paused_at; /* number of the last row shown; 0: not paused */
};

struct log_state {
	struct list list;
	enum log_level level; /* the least important that is shown */
};

#define MENU_COMMANDS 7 /* three switches, both ways, and the SoC */

struct ui {
	uv_loop_t *loop;
	struct engine *engine;
	const struct screen_options *options;
	struct terminal term;
	struct capture capture;
	struct view view;
	enum screen_id screen;
	bool helping; /* the help covers the screen */
	struct dialog dialog;
	struct prompt prompt;
	char filter[SCREENS][EDIT_ROOM];
	struct order *order; /* the command that is being carried out; NULL: none */
	struct command menu[MENU_COMMANDS]; /* behind the lines of the menu */
	struct command asked; /* that the open dialog is about */
	unsigned asked_pack;
	char record_path[EDIT_ROOM];
	char message[220]; /* what was last said to the person */
	enum style message_style;
	uint64_t message_ms;
	bool dirty;
	uint64_t drawn_ms;
	int exit_code;
	bool ended;

	struct plot plot; /* being drawn */
	struct packs_state packs;
	struct cells_state cells;
	struct limits_state_view limits;
	struct list alarms, settings, help;
	struct traffic_state traffic;
	struct log_state log;

	uv_poll_t input;
	uv_timer_t redraw, clock;
	uv_prepare_t turn;
	uv_signal_t signals[6];
	bool input_open;
};

/* Says something in the line above the footer; it stays for a while. */
__attribute__((format(printf, 3, 4))) void ui_say(struct ui *ui, enum style style, const char *format, ...);
void ui_quit(struct ui *ui, int exit_code);
void ui_show_screen(struct ui *ui, enum screen_id id);
/* Keys that move through a list; false: not one of them. page: lines of a page. */
bool list_key(struct list *l, int key, int page);

/* The chosen pack's values; NULL: no pack yet. */
static inline const struct snapshot *ui_pack(const struct ui *ui)
{
	const struct pack_view *p = view_chosen(&ui->view);

	return p ? &p->snap : NULL;
}

/* "HH:MM:SS" of the wall clock. */
void clock_text(double wall, char *out, size_t size);
/* Are these values old? Then how old, "12 s" (""). */
bool values_old(const struct ui *ui, const struct snapshot *s, char *age, size_t size);

/* The rules that bind a limit, in short: "cell+temp, held". */
void limit_codes(const struct current_limit *l, char *out, size_t size);
/* What is left in the pack: as reported, else as counted by the limits; NAN: neither. */
double remaining_Ah(const struct snapshot *s);

/* What is being asked on a port that is searched. */
/* " 115200", " 250k" on CAN; "" while it is not known. */
void port_rate(const struct port_view *p, char *out, size_t size);
void port_progress(const struct port_view *p, char *out, size_t size);
/* A pack that does not answer: since when, why, and what is being done about it. */
void pack_trouble(const struct ui *ui, const struct pack_view *p, char *out, size_t size);

/* help.c */
void help_draw(struct ui *ui, const struct canvas *c, struct area a);

/* frame.c: the lines around every screen */
void frame_draw(struct ui *ui, const struct canvas *c, const struct screen *const *screens);
struct area frame_body(const struct ui *ui);

#endif
