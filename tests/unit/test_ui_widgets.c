/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the screens draw with, without a terminal. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ui/trend.h"
#include "ui/widgets.h"

/* ---- what may reach a terminal ---- */

static const char *fit(const char *text, int width, enum glyphs glyphs)
{
	static char out[256];
	int used = glyphs_fit(text, width, glyphs, out, sizeof(out));

	assert_true(used <= width);
	assert_int_equal(used, glyphs_width(out, glyphs));
	return out;
}

static void control_characters_never_reach_a_terminal(void **unused)
{
	(void)unused;
	assert_string_equal(fit("JK\033[2Jx\r\n\x7f", 40, GLYPHS_FULL), "JK?[2Jx???");
	assert_string_equal(fit("\xc2\x9b"
				"31m",
				40, GLYPHS_FULL),
			    "?31m"); /* CSI as one character */
	assert_string_equal(fit("JK\033[2J", 40, GLYPHS_ASCII), "JK?[2J");
}

static void broken_utf8_is_shown_byte_by_byte_as_unknown(void **unused)
{
	(void)unused;
	assert_string_equal(fit("a\xe2\x96", 40, GLYPHS_FULL), "a??");
	assert_string_equal(fit("\xff\xfe"
				"b",
				40, GLYPHS_FULL),
			    "??b");
	assert_string_equal(fit("\xc0\xaf", 40, GLYPHS_FULL), "??");	  /* overlong */
	assert_string_equal(fit("\xed\xa0\x80", 40, GLYPHS_FULL), "???"); /* half of a surrogate pair */
}

static void marks_that_stand_on_nothing_are_dropped(void **unused)
{
	(void)unused;
	assert_string_equal(fit("a\u0301\u202e"
				"b",
				40, GLYPHS_FULL),
			    "ab");
}

static void wide_characters_take_two_columns(void **unused)
{
	(void)unused;
	assert_int_equal(glyphs_width("电池", GLYPHS_FULL), 4);
	assert_string_equal(fit("电池组", 5, GLYPHS_FULL), "电池…");
	assert_string_equal(fit("电池组", 4, GLYPHS_FULL), "电…");
}

static void a_text_that_is_too_long_says_so(void **unused)
{
	(void)unused;
	assert_string_equal(fit("battery", 7, GLYPHS_FULL), "battery");
	assert_string_equal(fit("battery", 6, GLYPHS_FULL), "batte…");
	assert_string_equal(fit("battery", 6, GLYPHS_ASCII), "batte~");
	assert_string_equal(fit("battery", 1, GLYPHS_ASCII), "~");
	assert_string_equal(fit("battery", 0, GLYPHS_ASCII), "");
}

static void without_utf8_only_ascii_is_left(void **unused)
{
	(void)unused;
	assert_string_equal(fit("▕██▌ ▏▲ 24.5 °C → 0.089 Ω …", 60, GLYPHS_ASCII), "|### |^ 24.5 C -> 0.089 ohm ~");
	assert_string_equal(fit("Zelle größer", 60, GLYPHS_ASCII), "Zelle gr??er");
	assert_string_equal(fit("⣿", 60, GLYPHS_ASCII), "?");
}

static void a_small_output_buffer_is_never_overrun(void **unused)
{
	char out[16];

	(void)unused;
	for (size_t size = 1; size <= sizeof(out); size++) {
		memset(out, 'X', sizeof(out));
		glyphs_fit("▲▼▲▼▲▼▲▼", 8, GLYPHS_FULL, out, size);
		assert_true(strlen(out) < size);
		for (size_t i = size; i < sizeof(out); i++)
			assert_int_equal(out[i], 'X');
	}
}

/* ---- numbers ---- */

static void an_unknown_number_is_two_dashes(void **unused)
{
	char out[32];

	(void)unused;
	number_text(NAN, 2, "V", out, sizeof(out));
	assert_string_equal(out, "--");
	signed_text(INFINITY, 2, "V", out, sizeof(out));
	assert_string_equal(out, "--");
}

static void zero_has_no_sign(void **unused)
{
	char out[32];

	(void)unused;
	signed_text(-0.04, 1, "A", out, sizeof(out));
	assert_string_equal(out, "0.0 A");
	signed_text(0.04, 1, "A", out, sizeof(out));
	assert_string_equal(out, "0.0 A");
	signed_text(0.06, 1, "A", out, sizeof(out));
	assert_string_equal(out, "+0.1 A");
	number_text(-0.2, 0, "", out, sizeof(out));
	assert_string_equal(out, "0");
}

static void ages_and_amounts_are_short(void **unused)
{
	char out[32];

	(void)unused;
	age_text(59999, out, sizeof(out));
	assert_string_equal(out, "59 s");
	age_text(60000, out, sizeof(out));
	assert_string_equal(out, "1 min");
	age_text(3600000 * 25ull, out, sizeof(out));
	assert_string_equal(out, "1 d 1 h");
	bytes_amount_text(999, out, sizeof(out));
	assert_string_equal(out, "999 B");
	bytes_amount_text(45100, out, sizeof(out));
	assert_string_equal(out, "45.1 kB");
}

static void a_setting_is_named_and_its_unit_split_off(void **unused)
{
	char name[40], unit[8];

	(void)unused;
	name_and_unit("cell_ovp_V", name, sizeof(name), unit, sizeof(unit));
	assert_string_equal(name, "cell ovp");
	assert_string_equal(unit, "V");
	name_and_unit("charge_switch", name, sizeof(name), unit, sizeof(unit));
	assert_string_equal(name, "charge switch");
	assert_string_equal(unit, "");
	name_and_unit("V", name, sizeof(name), unit, sizeof(unit));
	assert_string_equal(name, "V");
	name_and_unit("a_very_long_name_of_a_setting_that_has_no_end_V", name, 8, unit, sizeof(unit));
	assert_string_equal(name, "a very ");
}

/* ---- bars ---- */

static void a_bar_always_takes_its_width(void **unused)
{
	char out[256];

	(void)unused;
	for (int width = 0; width <= 40; width++) {
		for (double f = -0.5; f <= 1.5; f += 0.01) {
			bar_text(f, width, out, sizeof(out));
			assert_int_equal(glyphs_width(out, GLYPHS_FULL), width);
			bar_from_middle(2 * f - 1, width, out, sizeof(out));
			assert_int_equal(glyphs_width(out, GLYPHS_FULL), width);
		}
		bar_text(NAN, width, out, sizeof(out));
		assert_int_equal(glyphs_width(out, GLYPHS_FULL), width);
	}
}

static void a_bar_shows_eighths_and_never_hides_what_is_not_zero(void **unused)
{
	char out[64];

	(void)unused;
	bar_text(0, 4, out, sizeof(out));
	assert_string_equal(out, "    ");
	bar_text(0.001, 4, out, sizeof(out));
	assert_string_equal(out, "▎   ");
	bar_text(0.5, 4, out, sizeof(out));
	assert_string_equal(out, "██  ");
	bar_text(19.0 / 32, 4, out, sizeof(out));
	assert_string_equal(out, "██▍ ");
	bar_text(1, 4, out, sizeof(out));
	assert_string_equal(out, "████");
}

static void a_bar_from_the_middle_goes_both_ways(void **unused)
{
	char out[64];

	(void)unused;
	bar_from_middle(0, 6, out, sizeof(out));
	assert_string_equal(out, "      ");
	bar_from_middle(1, 6, out, sizeof(out));
	assert_string_equal(out, "   ███");
	bar_from_middle(-0.5, 6, out, sizeof(out));
	assert_string_equal(out, " ▐█   ");
}

static void a_close_spread_does_not_fill_the_scale(void **unused)
{
	struct scale s = scale_with_floor(3.321, 3.323, 0.020);

	(void)unused;
	assert_float_equal(scale_fraction(s, 3.321), 0.45, 1e-6);
	assert_float_equal(scale_fraction(s, 3.323), 0.55, 1e-6);
	s = scale_with_floor(3.300, 3.340, 0.020);
	assert_float_equal(scale_fraction(s, 3.300), 0, 1e-6);
	assert_float_equal(scale_fraction(s, 3.340), 1, 1e-6);
}

/* ---- plots ---- */

static void a_spark_rises_from_the_left_to_the_right(void **unused)
{
	const float v[] = {0, 1, 2, 3, 4, 5, 6, 7};
	char out[64];

	(void)unused;
	spark_text(v, 8, (struct scale){0, 7}, 8, out, sizeof(out));
	assert_string_equal(out, "▁▂▃▄▅▆▇█");
	spark_text(v, 8, (struct scale){0, 7}, 10, out, sizeof(out));
	assert_string_equal(out, "  ▁▂▃▄▅▆▇█"); /* the newest is at the right edge */
	spark_text(v, 8, (struct scale){0, 7}, 4, out, sizeof(out));
	assert_string_equal(out, "▂▄▆█"); /* two values to a column */
	spark_text(v, 0, (struct scale){0, 7}, 3, out, sizeof(out));
	assert_string_equal(out, "   ");
}

static void what_is_unknown_leaves_a_gap_in_a_spark(void **unused)
{
	const float v[] = {0, NAN, 7};
	char out[64];

	(void)unused;
	spark_text(v, 3, (struct scale){0, 7}, 3, out, sizeof(out));
	assert_string_equal(out, "▁ █");
}

static void a_slope_is_that_of_the_known_values(void **unused)
{
	const float v[] = {1, 3, NAN, 7, 9};

	(void)unused;
	assert_float_equal(slope_of(v, 5, 4), 2, 1e-9);
	assert_true(isnan(slope_of(v, 5, 5))); /* not enough known */
	assert_true(isnan(slope_of(v, 1, 1)));
}

static const char *character(const struct plot *p, int x, int y)
{
	static char out[8];
	int layer;

	plot_character(p, x, y, out, &layer);
	return out;
}

static void a_line_in_braille_has_eight_dots_to_a_character(void **unused)
{
	struct plot *p = malloc(sizeof(*p));

	(void)unused;
	plot_start(p, 2, 1, GLYPHS_FULL);
	assert_int_equal(plot_dots_across(p), 4);
	assert_int_equal(plot_dots_down(p), 4);
	plot_line(p, 0, 0, 0, 3, 3);
	assert_string_equal(character(p, 0, 0), "⡠");
	assert_string_equal(character(p, 1, 0), "⠊");
	free(p);
}

static void without_braille_a_plot_is_made_of_stars(void **unused)
{
	struct plot *p = malloc(sizeof(*p));
	const double v[] = {0, 0, 2, 2};

	(void)unused;
	plot_start(p, 4, 3, GLYPHS_ASCII);
	plot_values(p, 0, v, 4, (struct scale){0, 2}, false);
	assert_string_equal(character(p, 0, 2), "*");
	assert_string_equal(character(p, 3, 0), "*");
	assert_string_equal(character(p, 0, 0), " ");
	free(p);
}

static void dots_outside_a_plot_are_left_out(void **unused)
{
	struct plot *p = malloc(sizeof(*p));
	struct plot *empty = malloc(sizeof(*p));

	(void)unused;
	plot_start(p, 10, 5, GLYPHS_FULL);
	plot_start(empty, 10, 5, GLYPHS_FULL);
	plot_line(p, 0, -50, -50, -1, -1);
	plot_line(p, 1, 20, 0, 90, 90);
	assert_memory_equal(p->dots, empty->dots, sizeof(p->dots));
	plot_start(p, 100000, -3, GLYPHS_FULL);
	assert_int_equal(p->width, PLOT_MAX_WIDTH);
	assert_int_equal(p->height, 0);
	free(p);
	free(empty);
}

/* ---- lists ---- */

static void rows_of_one(struct list_row *row, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		row[i] = (struct list_row){i + 1, 1};
}

static void a_list_that_follows_shows_its_end(void **unused)
{
	struct list_row row[100];
	struct list l = {.follow = true};

	(void)unused;
	rows_of_one(row, 100);
	assert_int_equal(list_first(&l, row, 50, 10), 40);
	assert_int_equal(list_first(&l, row, 100, 10), 90);
	assert_true(l.follow);
}

static void a_list_that_was_moved_stays_where_it_is_while_it_grows(void **unused)
{
	struct list_row row[100];
	struct list l = {.follow = true};

	(void)unused;
	rows_of_one(row, 100);
	list_first(&l, row, 50, 10);
	l.follow = false;
	l.move = -5;
	assert_int_equal(list_first(&l, row, 50, 10), 35);
	assert_int_equal(list_first(&l, row, 100, 10), 35);
	l.move = LIST_TO_END;
	assert_int_equal(list_first(&l, row, 100, 10), 90);
	assert_true(l.follow); /* at the end again */
	l.follow = false;
	l.move = LIST_TO_START;
	assert_int_equal(list_first(&l, row, 100, 10), 0);
}

static void a_list_keeps_its_place_when_old_rows_go(void **unused)
{
	struct list_row row[100];
	struct list l = {.top = 50};

	(void)unused;
	rows_of_one(row, 100);
	assert_int_equal(list_first(&l, row, 100, 10), 49);
	/* The first thirty have gone: number 50 is still on top. */
	assert_int_equal(list_first(&l, row + 30, 70, 10), 19);
	/* It has gone itself: the oldest there is. */
	assert_int_equal(list_first(&l, row + 60, 40, 10), 0);
}

static void the_last_page_is_filled_also_with_a_part_of_a_tall_row(void **unused)
{
	const struct list_row row[] = {{1, 1}, {2, 8}, {3, 1}, {4, 2}};
	struct list l = {.follow = true};

	(void)unused;
	assert_int_equal(list_first(&l, row, 4, 5), 1);
	assert_int_equal(l.skip, 6); /* two of its eight lines are seen */
	assert_int_equal(list_first(&l, row, 2, 5), 1);
	assert_int_equal(l.skip, 0); /* taller than the window: from its beginning */
}

static void an_empty_list_is_no_trouble(void **unused)
{
	struct list l = {.follow = true, .move = LIST_TO_END};

	(void)unused;
	assert_int_equal(list_first(&l, NULL, 0, 10), 0);
}

/* ---- grid, typing, wrapping ---- */

static void cells_are_laid_out_in_columns_of_equal_height(void **unused)
{
	static const struct {
		int n, columns, rows;
	} expected[] = {{4, 1, 4}, {8, 1, 8}, {14, 2, 7}, {16, 2, 8}, {24, 2, 12}, {32, 3, 11}, {48, 4, 12}};

	(void)unused;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		struct grid g = grid_layout(expected[i].n, 17, 2, 79, 13);

		assert_int_equal(g.columns, expected[i].columns);
		assert_int_equal(g.rows, expected[i].rows);
		assert_true(g.columns * (g.width + 2) - 2 <= 79);
		assert_true(g.width >= 17);
	}
}

static void a_grid_exists_in_every_window(void **unused)
{
	(void)unused;
	for (int width = -1; width < 100; width += 7) {
		for (int height = -1; height < 30; height += 3) {
			struct grid g = grid_layout(48, 17, 2, width, height);

			assert_true(g.columns >= 1 && g.rows >= 1 && g.columns * g.rows >= 48);
		}
	}
}

static void a_line_is_typed_and_mended_by_whole_characters(void **unused)
{
	struct line_edit e;

	(void)unused;
	edit_start(&e, "aé");
	edit_insert(&e, 'b');
	assert_string_equal(e.text, "aéb");
	edit_left(&e);
	edit_backspace(&e);
	assert_string_equal(e.text, "ab");
	edit_insert(&e, 0x754c);
	assert_string_equal(e.text, "a界b");
	edit_delete(&e);
	assert_string_equal(e.text, "a界");
	edit_insert(&e, 27); /* a control character is not text */
	assert_string_equal(e.text, "a界");
	e.at = 0;
	edit_left(&e);
	edit_backspace(&e);
	assert_string_equal(e.text, "a界");
}

static void a_line_that_is_full_takes_no_more(void **unused)
{
	struct line_edit e;

	(void)unused;
	edit_start(&e, "");
	for (int i = 0; i < 1000; i++)
		edit_insert(&e, 0x20ac);
	assert_true(strlen(e.text) < EDIT_ROOM);
	assert_int_equal(strlen(e.text) % 3, 0);
}

static void long_texts_break_at_blanks(void **unused)
{
	const char *text = "swap A and B\non RS485", *next;

	(void)unused;
	assert_int_equal(wrap_line(text, 8, GLYPHS_FULL, &next), 6); /* "swap A" */
	assert_string_equal(next, "and B\non RS485");
	assert_int_equal(wrap_line(next, 8, GLYPHS_FULL, &next), 5); /* "and B" */
	assert_string_equal(next, "on RS485");
	assert_int_equal(wrap_line(next, 8, GLYPHS_FULL, &next), 8);
	assert_string_equal(next, "");
}

static void a_word_longer_than_the_line_is_cut_and_nothing_is_lost(void **unused)
{
	const char *text = "dda50300fffd77", *next = text;
	size_t seen = 0;

	(void)unused;
	while (*next)
		seen += wrap_line(next, 5, GLYPHS_FULL, &next);
	assert_int_equal(seen, strlen(text));
	wrap_line("x", 0, GLYPHS_FULL, &next); /* gets on even where there is no room */
	assert_string_equal(next, "");
}

static void text_is_found_whatever_its_case(void **unused)
{
	(void)unused;
	assert_true(text_has("Cell OVP", "ovp"));
	assert_true(text_has("anything", ""));
	assert_true(text_has("", ""));
	assert_false(text_has("Cell OVP", "uvp"));
	assert_false(text_has("ov", "ovp"));
}

/* ---- trends ---- */

static struct reading two_cells(double lo, double hi)
{
	struct reading r = {0};

	series_start(&r.cell_V, 2);
	series_set(&r.cell_V, 0, lo);
	series_set(&r.cell_V, 1, hi);
	reading_derive(&r);
	return r;
}

static void a_trend_keeps_the_mean_of_each_step(void **unused)
{
	struct trend t = {0};
	struct reading r;
	float v[4];

	(void)unused;
	r = two_cells(3.300, 3.310);
	trend_add(&t, &r, 1000);
	r = two_cells(3.300, 3.320);
	trend_add(&t, &r, 2000);
	r = two_cells(3.300, 3.340);
	trend_add(&t, &r, 2 * TREND_STEP_MS);
	assert_int_equal(trend_last(&t, TREND_SPREAD_mV, 4, v), 3);
	assert_float_equal(v[0], 15, 0.01);
	assert_true(isnan(v[1])); /* nothing came in this step */
	assert_float_equal(v[2], 40, 0.01);
	assert_int_equal(trend_last(&t, TREND_CELL + 1, 1, v), 1);
	assert_float_equal(v[0], 20, 0.01);
	trend_free(&t);
}

static void a_growing_spread_is_seen_per_minute(void **unused)
{
	struct trend t = {0};
	struct reading r;

	(void)unused;
	for (unsigned i = 0; i < 300; i++) {
		if (i == TREND_NEED / 2)
			assert_true(isnan(trend_per_minute(&t, TREND_SPREAD_mV))); /* too early to tell */
		r = two_cells(3.300, 3.310 + i * 0.0001);
		trend_add(&t, &r, i * TREND_STEP_MS);
	}
	assert_float_equal(trend_per_minute(&t, TREND_SPREAD_mV), 2.0, 0.01);
	trend_free(&t);
}

static void a_trend_survives_a_long_silence_and_a_clock_that_begins_anew(void **unused)
{
	struct trend t = {0};
	struct reading r = two_cells(3.300, 3.310);
	float v[TREND_STEPS];

	(void)unused;
	trend_add(&t, &r, 1000);
	trend_add(&t, &r, 1000ull * 86400 * 365);
	assert_int_equal(trend_last(&t, TREND_SPREAD_mV, TREND_STEPS, v), TREND_STEPS);
	assert_true(isnan(v[0]));
	assert_float_equal(v[TREND_STEPS - 1], 10, 0.01);
	trend_add(&t, &r, 5000);
	assert_int_equal(trend_last(&t, TREND_SPREAD_mV, TREND_STEPS, v), 1);
	trend_free(&t);
}

static int utf8_locale(void **unused)
{
	(void)unused;
	return setlocale(LC_CTYPE, "C.UTF-8") ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_characters_never_reach_a_terminal),
		cmocka_unit_test(broken_utf8_is_shown_byte_by_byte_as_unknown),
		cmocka_unit_test(marks_that_stand_on_nothing_are_dropped),
		cmocka_unit_test(wide_characters_take_two_columns),
		cmocka_unit_test(a_text_that_is_too_long_says_so),
		cmocka_unit_test(without_utf8_only_ascii_is_left),
		cmocka_unit_test(a_small_output_buffer_is_never_overrun),
		cmocka_unit_test(an_unknown_number_is_two_dashes),
		cmocka_unit_test(zero_has_no_sign),
		cmocka_unit_test(ages_and_amounts_are_short),
		cmocka_unit_test(a_setting_is_named_and_its_unit_split_off),
		cmocka_unit_test(a_bar_always_takes_its_width),
		cmocka_unit_test(a_bar_shows_eighths_and_never_hides_what_is_not_zero),
		cmocka_unit_test(a_bar_from_the_middle_goes_both_ways),
		cmocka_unit_test(a_close_spread_does_not_fill_the_scale),
		cmocka_unit_test(a_spark_rises_from_the_left_to_the_right),
		cmocka_unit_test(what_is_unknown_leaves_a_gap_in_a_spark),
		cmocka_unit_test(a_slope_is_that_of_the_known_values),
		cmocka_unit_test(a_line_in_braille_has_eight_dots_to_a_character),
		cmocka_unit_test(without_braille_a_plot_is_made_of_stars),
		cmocka_unit_test(dots_outside_a_plot_are_left_out),
		cmocka_unit_test(a_list_that_follows_shows_its_end),
		cmocka_unit_test(a_list_that_was_moved_stays_where_it_is_while_it_grows),
		cmocka_unit_test(a_list_keeps_its_place_when_old_rows_go),
		cmocka_unit_test(the_last_page_is_filled_also_with_a_part_of_a_tall_row),
		cmocka_unit_test(an_empty_list_is_no_trouble),
		cmocka_unit_test(cells_are_laid_out_in_columns_of_equal_height),
		cmocka_unit_test(a_grid_exists_in_every_window),
		cmocka_unit_test(a_line_is_typed_and_mended_by_whole_characters),
		cmocka_unit_test(a_line_that_is_full_takes_no_more),
		cmocka_unit_test(long_texts_break_at_blanks),
		cmocka_unit_test(a_word_longer_than_the_line_is_cut_and_nothing_is_lost),
		cmocka_unit_test(text_is_found_whatever_its_case),
		cmocka_unit_test(a_trend_keeps_the_mean_of_each_step),
		cmocka_unit_test(a_growing_spread_is_seen_per_minute),
		cmocka_unit_test(a_trend_survives_a_long_silence_and_a_clock_that_begins_anew),
	};

	return cmocka_run_group_tests(tests, utf8_locale, NULL);
}
