/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dbus/value.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct value value_number(double v)
{
	if (!isfinite(v))
		return (struct value){.kind = VALUE_INVALID};
	return (struct value){.kind = VALUE_NUMBER, .number = v == 0 ? 0 : v};
}

struct value value_count(double v)
{
	if (!(fabs(v) < 9e15))
		return (struct value){.kind = VALUE_INVALID};
	return (struct value){.kind = VALUE_COUNT, .count = (int64_t)v};
}

struct value value_text(const char *text)
{
	return (struct value){.kind = text ? VALUE_TEXT : VALUE_INVALID, .text = text};
}

bool value_equal(const struct value *a, const struct value *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case VALUE_INVALID:
		return true;
	case VALUE_NUMBER:
		return a->number == b->number;
	case VALUE_COUNT:
	case VALUE_FLAG:
		return a->count == b->count;
	case VALUE_TEXT:
	case VALUE_WORDS:
		return !strcmp(a->text, b->text);
	case VALUE_NUMBERS:
	case VALUE_COUNTS:
		return a->list->n == b->list->n && !memcmp(a->list->v, b->list->v, a->list->n * sizeof(a->list->v[0]));
	}
	return false;
}

double value_round(double v, int decimals)
{
	char text[VALUE_TEXT_MAX];

	snprintf(text, sizeof(text), "%.*f", decimals, v);
	return strtod(text, NULL);
}

/* The fewest digits that read back to v, with a decimal point and without an exponent. */
static void show_shortest(double v, char out[VALUE_TEXT_MAX])
{
	char digits[32];
	int n = 1;

	do {
		snprintf(digits, sizeof(digits), "%.*e", n - 1, v);
	} while (strtod(digits, NULL) != v && ++n < 18);
	const char *e = strchr(digits, 'e');
	int exponent = e ? atoi(e + 1) : 0;
	int decimals = n - 1 - exponent;
	snprintf(out, VALUE_TEXT_MAX, "%.*f", decimals > 1 ? decimals : 1, v);
}

bool words_next(const char **words, char *out, size_t size)
{
	for (;;) {
		const char *start = *words + strspn(*words, ", ");
		size_t n = strcspn(start, ",");

		*words = start + n;
		while (n && start[n - 1] == ' ')
			n--;
		if (!n)
			return false;
		if (n < size) {
			memcpy(out, start, n);
			out[n] = 0;
			return true;
		}
	}
}

static void show_number(double v, enum text_form form, char out[VALUE_TEXT_MAX])
{
	static const struct {
		int decimals;
		const char *unit;
	} forms[] = {
		[FORM_V2] = {2, "V"},	[FORM_V3] = {3, "V"},	[FORM_A2] = {2, "A"}, [FORM_W0] = {0, "W"},
		[FORM_AH2] = {2, "Ah"}, [FORM_AH0] = {0, "Ah"}, [FORM_P1] = {1, "%"},
	};

	if (form == FORM_PLAIN || form == FORM_HEX)
		show_shortest(v, out);
	else
		snprintf(out, VALUE_TEXT_MAX, "%.*f%s", forms[form].decimals, v, forms[form].unit);
}

static void show_list(const struct value *v, char out[VALUE_TEXT_MAX])
{
	char number[VALUE_TEXT_MAX];
	size_t n = 0;

	out[n++] = '[';
	for (unsigned i = 0; i < v->list->n; i++) {
		struct value one = v->kind == VALUE_COUNTS ? value_count(v->list->v[i]) : value_number(v->list->v[i]);
		const char *text = value_show(&one, FORM_PLAIN, number);

		if (n + strlen(text) + 4 > VALUE_TEXT_MAX)
			break;
		n += (size_t)sprintf(out + n, "%s%s", i ? ", " : "", text);
	}
	out[n++] = ']';
	out[n] = 0;
}

static void show_words(const char *words, char out[VALUE_TEXT_MAX])
{
	char word[CONFIG_MAX_TEXT];
	size_t n = 0;

	out[n++] = '[';
	while (words_next(&words, word, sizeof(word)) && n + strlen(word) + 6 < VALUE_TEXT_MAX)
		n += (size_t)sprintf(out + n, "%s'%s'", n > 1 ? ", " : "", word);
	out[n++] = ']';
	out[n] = 0;
}

const char *value_show(const struct value *v, enum text_form form, char out[VALUE_TEXT_MAX])
{
	switch (v->kind) {
	case VALUE_NUMBER:
		show_number(v->number, form, out);
		return out;
	case VALUE_COUNT:
		if (form == FORM_HEX)
			snprintf(out, VALUE_TEXT_MAX, "0x%" PRIX64, (uint64_t)v->count);
		else
			snprintf(out, VALUE_TEXT_MAX, "%" PRId64, v->count);
		return out;
	case VALUE_FLAG:
		return v->count ? "True" : "False";
	case VALUE_TEXT:
		return v->text;
	case VALUE_NUMBERS:
	case VALUE_COUNTS:
		show_list(v, out);
		return out;
	case VALUE_WORDS:
		show_words(v->text, out);
		return out;
	case VALUE_INVALID:
		break;
	}
	return VALUE_UNKNOWN;
}

/* Bytes of the well-formed sequence at s (RFC 3629); 0: there is none. */
static size_t utf8_sequence(const unsigned char *s)
{
	static const struct {
		unsigned char first, last, low, high; /* of the first byte; of the second */
		size_t n;
	} forms[] = {
		{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
		{0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	if (s[0] < 0x80)
		return 1;
	for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
		if (s[0] < forms[f].first || s[0] > forms[f].last || s[1] < forms[f].low || s[1] > forms[f].high)
			continue;
		for (size_t i = 2; i < forms[f].n; i++)
			if ((s[i] & 0xc0) != 0x80)
				return 0;
		return forms[f].n;
	}
	return 0;
}

void utf8_clean(const char *text, char *out, size_t size)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n = 0;

	while (*s) {
		size_t length = utf8_sequence(s);
		size_t room = length ? length : 1;

		if (n + room >= size)
			break;
		if (length)
			memcpy(out + n, s, length);
		else
			out[n] = '?';
		n += room;
		s += room;
	}
	out[n] = 0;
}
