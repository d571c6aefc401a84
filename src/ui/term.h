/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The terminal: what it can, what goes to it without ever blocking, and how it is left: clean on every
 * way out, a crash included.
 */
#ifndef UI_TERM_H
#define UI_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curses.h>
#include <uv.h>

#include "ui/glyphs.h"

#define TERM_LEAST_WIDTH  60
#define TERM_LEAST_HEIGHT 16

/* What a piece of text is; without colour bold, reverse and dim must do. */
enum style {
	STYLE_NORMAL,
	STYLE_LABEL, /* what stands beside values */
	STYLE_STRONG,
	STYLE_TITLE, /* the topmost line */
	STYLE_TAB,   /* the current screen */
	STYLE_KEY,   /* a key in the footer */
	STYLE_RULE,
	STYLE_GOOD,
	STYLE_WARNING,
	STYLE_BAD,
	STYLE_HIGH, /* the highest cell */
	STYLE_LOW,  /* the lowest */
	STYLE_BALANCE,
	STYLE_BAR,
	STYLE_IN_FORCE, /* curves */
	STYLE_OTHER,
	STYLE_WHAT_IF,
	STYLE_SENT,
	STYLE_RECEIVED,
	STYLE_COUNT
};

struct terminal {
	enum glyphs glyphs;
	bool colour;
	attr_t attributes[STYLE_COUNT];
	int width, height;
	WINDOW *keys;  /* reads the keys; never shown */
	uint64_t sent; /* bytes, since the start */
	/* the terminal's own */
	SCREEN *screen;
	FILE *to;      /* where ncurses writes */
	int memory;    /* ... while a picture is made: a file in memory */
	int tty;       /* the terminal, opened anew so that it can be set not to block; -1: not possible */
	int spare;     /* the terminal as standard output has it */
	char *pending; /* what the terminal has not taken yet */
	size_t pending_n, pending_at, pending_room;
	bool waiting; /* for the terminal to take more */
	uv_poll_t writable;
	bool writable_open;
	bool hidden_cursor;
};

/* Takes the terminal over. False: why says what is wrong. */
bool term_start(struct terminal *t, uv_loop_t *loop, char *why, size_t size);
/* Gives it back as it was. Handles are closed; the loop must run once more. */
void term_end(struct terminal *t);

/* Where standard error led before it was taken away from the screen; a crash gives it back. -1: nowhere. */
void term_rescue_errors(int errors);

/* Has everything been taken by the terminal, so that it makes sense to show more? */
bool term_ready(const struct terminal *t);
/* Sends what has changed in the picture (doupdate()); never waits. */
void term_show(struct terminal *t);
/* The size has changed (SIGWINCH), or the picture was damaged: the next one is sent whole. */
void term_resize(struct terminal *t);
/* Ctrl-Z: back to the shell, and what is to be done when the program goes on. */
void term_suspend(struct terminal *t);
void term_resume(struct terminal *t);

#endif
