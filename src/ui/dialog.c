/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/dialog.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WIDEST = 74, MARGIN = 2, NOTE_X = 20 };

void dialog_open(struct dialog *d, const char *title, void (*chosen)(struct ui *ui, int choice))
{
	dialog_close(d);
	*d = (struct dialog){.open = true, .chosen = chosen};
	snprintf(d->title, sizeof(d->title), "%s", title);
}

void dialog_line(struct dialog *d, enum style style, const char *format, ...)
{
	va_list args;

	if (d->lines == DIALOG_LINES)
		return;
	va_start(args, format);
	vsnprintf(d->line[d->lines].text, sizeof(d->line[0].text), format, args);
	va_end(args);
	d->line[d->lines++].style = style;
}

struct dialog_choice *dialog_choice(struct dialog *d, char key, const char *text)
{
	struct dialog_choice *c = &d->choice[d->choices < DIALOG_CHOICES ? d->choices++ : DIALOG_CHOICES - 1];

	*c = (struct dialog_choice){.key = key, .enabled = true};
	snprintf(c->text, sizeof(c->text), "%s", text);
	return c;
}

void dialog_close(struct dialog *d)
{
	if (d->panel)
		del_panel(d->panel);
	if (d->window)
		delwin(d->window);
	d->panel = NULL;
	d->window = NULL;
	d->open = false;
}

/* ---- drawing ---- */

/* Draws the text lines from y on, or (c NULL) only counts the rows that they take. */
static int text_rows(const struct dialog *d, const struct canvas *c, enum glyphs glyphs, int y, int width, int most)
{
	int rows = 0;

	for (unsigned i = 0; i < d->lines; i++) {
		const char *text = d->line[i].text, *next = text;

		do {
			size_t n = wrap_line(text, width, glyphs, &next);

			if (c && rows < most)
				put(c, y + rows, 1 + MARGIN, width, d->line[i].style, "%.*s", (int)n, text);
			rows++;
			text = next;
		} while (*text);
	}
	return rows;
}

/* Draws what stands beside a choice, on as many rows as it needs; c NULL: only counts them. */
static int note_rows(const struct dialog_choice *choice, const struct canvas *c, enum glyphs glyphs, int y, int width)
{
	char text[sizeof(choice->note) + 16];
	const char *at = text, *next;
	int rows = 0;

	snprintf(text, sizeof(text), choice->enabled ? "%s" : "not possible: %s", choice->note);
	do {
		size_t n = wrap_line(at, width - NOTE_X, glyphs, &next);

		if (c)
			put(c, y + rows, 1 + MARGIN + NOTE_X, width - NOTE_X, STYLE_NORMAL, "%.*s", (int)n, at);
		rows++;
		at = next;
	} while (*at);
	return rows;
}

static int choice_rows(const struct dialog *d, enum glyphs glyphs, int width)
{
	int rows = 0;

	if (d->buttons)
		return d->choices > 0;
	for (unsigned i = 0; i < d->choices; i++)
		rows += note_rows(&d->choice[i], NULL, glyphs, 0, width);
	return rows;
}

static void draw_buttons(const struct dialog *d, struct canvas *c, int y, int width)
{
	int x = 1 + MARGIN;

	for (unsigned i = 0; i < d->choices; i++) {
		enum style style = i == d->selected ? STYLE_TAB : STYLE_NORMAL;

		x += put(c, y, x, width + 1 + MARGIN - x, style, i == d->selected ? "[ %s ]" : "  %s  ",
			 d->choice[i].text) +
		     2;
	}
}

static void draw_list(const struct dialog *d, struct canvas *c, int y, int width)
{
	for (unsigned i = 0; i < d->choices; i++) {
		const struct dialog_choice *choice = &d->choice[i];
		int rows = note_rows(choice, NULL, c->term->glyphs, 0, width);

		c->extra = i == d->selected ? A_REVERSE : 0;
		for (int row = 0; c->extra && row < rows; row++)
			put_blank(c, y + row, 1, width + 2 * MARGIN, STYLE_NORMAL);
		put(c, y, 1, 1, STYLE_STRONG, i == d->selected ? "▶" : " ");
		put(c, y, 1 + MARGIN, NOTE_X - 1, choice->enabled ? STYLE_STRONG : STYLE_NORMAL, "%s", choice->text);
		y += note_rows(choice, c, c->term->glyphs, y, width);
	}
	c->extra = 0;
}

static void draw_frame(const struct dialog *d, const struct canvas *c, int height, int width)
{
	put_rule(c, 0, 0, width);
	put_rule(c, height - 1, 0, width);
	for (int y = 1; y < height - 1; y++) {
		put(c, y, 0, 1, STYLE_RULE, "│");
		put(c, y, width - 1, 1, STYLE_RULE, "│");
	}
	put(c, 0, 0, 1, STYLE_RULE, "┌");
	put(c, 0, width - 1, 1, STYLE_RULE, "┐");
	put(c, height - 1, 0, 1, STYLE_RULE, "└");
	put(c, height - 1, width - 1, 1, STYLE_RULE, "┘");
	put(c, 0, MARGIN, width - 2 * MARGIN, STYLE_STRONG, " %s ", d->title);
}

/* The window at its place; made anew when the size does not fit any more. */
static bool place_window(struct dialog *d, const struct terminal *t, int height, int width)
{
	int has_height = 0, has_width = 0, y = (t->height - height) / 2, x = (t->width - width) / 2, at_y = 0, at_x = 0;

	if (d->window) {
		getmaxyx(d->window, has_height, has_width);
		getbegyx(d->window, at_y, at_x);
	}
	if (has_height != height || has_width != width || at_y != y || at_x != x) {
		struct dialog keep = *d;

		dialog_close(d);
		*d = keep;
		d->window = newwin(height, width, y, x);
		d->panel = d->window ? new_panel(d->window) : NULL;
	}
	return d->panel != NULL;
}

void dialog_draw(struct dialog *d, const struct terminal *t)
{
	int width = (t->width < WIDEST + 2 ? t->width : WIDEST + 2) - 2, inner = width - 2 - 2 * MARGIN;
	int texts = text_rows(d, NULL, t->glyphs, 0, inner, 0);
	int height = 2 + texts + (texts && d->choices) + choice_rows(d, t->glyphs, inner);

	if (height > t->height) {
		texts -= height - t->height;
		height = t->height;
	}
	if (!place_window(d, t, height, width))
		return;
	struct canvas c = {.window = d->window, .term = t};
	werase(d->window);
	draw_frame(d, &c, height, width);
	text_rows(d, &c, t->glyphs, 1, inner, texts);
	int y = 1 + texts + (texts > 0 && d->choices);
	if (d->buttons)
		draw_buttons(d, &c, y, inner);
	else
		draw_list(d, &c, y, inner);
}

/* ---- keys ---- */

static void answer(struct dialog *d, struct ui *ui, int choice)
{
	void (*chosen)(struct ui *, int) = d->chosen;

	if (choice >= 0 && !d->choice[choice].enabled)
		return;
	dialog_close(d);
	if (chosen)
		chosen(ui, choice);
}

void dialog_key(struct dialog *d, struct ui *ui, int key)
{
	for (unsigned i = 0; i < d->choices; i++) {
		if (d->choice[i].key && key < 128 && tolower(key) == d->choice[i].key) {
			answer(d, ui, (int)i);
			return;
		}
	}
	switch (key) {
	case KEY_UP:
	case KEY_LEFT:
	case KEY_BTAB:
		d->selected = d->choices ? (d->selected + d->choices - 1) % d->choices : 0;
		return;
	case KEY_DOWN:
	case KEY_RIGHT:
	case '\t':
		d->selected = d->choices ? (d->selected + 1) % d->choices : 0;
		return;
	case '\r':
	case '\n':
	case KEY_ENTER:
		answer(d, ui, d->choices ? (int)d->selected : DIALOG_CANCELLED);
		return;
	case 27:
	case 'q':
		answer(d, ui, DIALOG_CANCELLED);
		return;
	default:
		return;
	}
}
