/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Values: from the text of a file to numbers and back. Numbers are those of the C locale everywhere. */
#include <config.h> /* POSIX */

#include "config/value.h"

#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SHOWN 64 /* bytes of a value that a message repeats */

/* Of TEMPERATURE_x_ADJUST, limits.md 16.4. */
#define MAX_OFFSET 100.0
#define MAX_SLOPE  10.0

/* ---- the C locale ---- */

static locale_t enter_c_locale(locale_t *c)
{
	*c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
	return *c ? uselocale(*c) : (locale_t)0;
}

static void leave_c_locale(locale_t c, locale_t old)
{
	if (!c)
		return;
	uselocale(old);
	freelocale(c);
}

/* ---- messages ---- */

const char *value_shown(const char *text, char *shown, size_t size)
{
	size_t n = strlen(text), room = size - 1;

	if (n > room) {
		n = room - 3;
		while (n && ((unsigned char)text[n] & 0xc0) == 0x80) /* not into the middle of a character */
			n--;
	}
	for (size_t i = 0; i < n; i++)
		shown[i] = iscntrl((unsigned char)text[i]) ? '?' : text[i];
	snprintf(shown + n, size - n, "%s", text[n] ? "..." : "");
	return shown;
}

struct complaint {
	const struct option *option;
	const char *text; /* the whole value */
	char *why;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static enum value_result refuse(const struct complaint *to, const char *format,
								      ...)
{
	char wrong[160], shown[SHOWN], allowed[200];
	const struct option *o = to->option;
	va_list args;

	va_start(args, format);
	vsnprintf(wrong, sizeof(wrong), format, args);
	va_end(args);
	option_allowed(o, allowed, sizeof(allowed));
	if (o->secret)
		snprintf(to->why, to->size, "%s; allowed: %s", wrong, allowed);
	else
		snprintf(to->why, to->size, "%s (got \"%s\"); allowed: %s%s%s", wrong,
			 value_shown(to->text, shown, sizeof(shown)), allowed, o->note ? "; " : "",
			 o->note ? o->note : "");
	return VALUE_REFUSED;
}

/* ---- one number ---- */

static bool to_double(const char *text, double *v)
{
	locale_t c, old = enter_c_locale(&c);
	char *end;

	*v = strtod(text, &end);
	leave_c_locale(c, old);
	return end != text && !*end && isfinite(*v);
}

static bool to_integer(const char *text, double *v)
{
	const char *digits = text + (*text == '+' || *text == '-');

	if (!*digits || strspn(digits, "0123456789") != strlen(digits))
		return false;
	return to_double(text, v);
}

static bool to_byte(const char *text, double *v)
{
	const char *digits = !strncasecmp(text, "0x", 2) ? text + 2 : text;

	if (!*digits || strlen(digits) > 8 || strspn(digits, "0123456789abcdefABCDEF") != strlen(digits))
		return false;
	*v = (double)strtoul(digits, NULL, 16);
	return true;
}

static bool in_range(const struct option *o, double v)
{
	return o->lo == o->hi || (v <= o->hi && (o->above ? v > o->lo : v >= o->lo));
}

/* Is v one of "1 linear, 2 step"? */
static bool among_choices(const char *choices, double v)
{
	for (const char *p = choices; p; p = strchr(p, ','), p = p ? p + 1 : NULL)
		if (strtol(p, NULL, 10) == (long)v)
			return true;
	return false;
}

static const char *kind_of_number(const struct option *o)
{
	return o->type == OPTION_INT || o->type == OPTION_INTEGERS ? "an integer"
	       : o->type == OPTION_ADDRESSES			   ? "a hexadecimal number"
								   : "a number";
}

static bool to_number(const struct option *o, const char *text, double *v)
{
	switch (o->type) {
	case OPTION_INT:
	case OPTION_INTEGERS:
		return to_integer(text, v);
	case OPTION_ADDRESSES:
		return to_byte(text, v);
	default:
		return to_double(text, v);
	}
}

/* ---- storing ---- */

static void *member(const struct option *o, struct config *c)
{
	return (char *)c + o->offset;
}

static void store_number(const struct option *o, struct config *c, double v)
{
	if (o->store == STORE_INT)
		*(int *)member(o, c) = (int)v;
	else
		*(double *)member(o, c) = v;
}

/* ---- whole values ---- */

static enum value_result set_bool(const struct complaint *to, struct config *c)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(to->text, words[i]) != 0)
			continue;
		*(bool *)member(to->option, c) = i & 1;
		return VALUE_TAKEN;
	}
	return refuse(to, "neither true nor false");
}

static enum value_result set_number(const struct complaint *to, struct config *c)
{
	const struct option *o = to->option;
	double v;

	if (!*to->text) { /* an empty value that leaves a number unset */
		store_number(o, c, NAN);
		return VALUE_TAKEN;
	}
	if (!to_number(o, to->text, &v))
		return refuse(to, "not %s", kind_of_number(o));
	if (o->raise && v < o->lo) {
		store_number(o, c, o->lo);
		refuse(to, "too small, %g is used", o->lo);
		return VALUE_MENDED;
	}
	if (!in_range(o, v) || (o->choices && !among_choices(o->choices, v)))
		return refuse(to, "out of range");
	store_number(o, c, v);
	return VALUE_TAKEN;
}

bool value_next_word(const char **at, char *element, size_t size)
{
	while (**at) {
		const char *begin = *at + strspn(*at, " \t");
		size_t n = strcspn(begin, ",");

		*at = begin + n + (begin[n] == ',');
		while (n && isspace((unsigned char)begin[n - 1]))
			n--;
		if (!n)
			continue;
		if (n < size)
			snprintf(element, size, "%.*s", (int)n, begin);
		else
			snprintf(element, size, "%.*s...", (int)size - 4, begin);
		return true;
	}
	return false;
}

static enum value_result set_list(const struct complaint *to, struct config *c)
{
	const struct option *o = to->option;
	struct number_list list = {0};
	const char *at = to->text;
	char element[64], shown[SHOWN];
	unsigned given = 0;

	while (value_next_word(&at, element, sizeof(element))) {
		double v;

		given++;
		if (!to_number(o, element, &v))
			return refuse(to, "element %u, \"%s\", is not %s", given,
				      value_shown(element, shown, sizeof(shown)), kind_of_number(o));
		if (!in_range(o, v))
			return refuse(to, "element %u, \"%s\", is out of range", given,
				      value_shown(element, shown, sizeof(shown)));
		if (list.n < CONFIG_MAX_LIST)
			list.v[list.n++] = v;
		else if (o->type != OPTION_INTEGERS) /* of those, check.c drops what is too much */
			return refuse(to, "more than %d elements", CONFIG_MAX_LIST);
	}
	if (!list.n && !o->empty)
		return refuse(to, "no elements");
	*(struct number_list *)member(o, c) = list;
	return VALUE_TAKEN;
}

static enum value_result set_adjust(const struct complaint *to, struct config *c)
{
	struct number_list list = {0};
	const char *at = to->text;
	char element[64], shown[SHOWN];

	while (value_next_word(&at, element, sizeof(element))) {
		if (list.n == 2)
			return refuse(to, "more than two numbers");
		if (!to_double(element, &list.v[list.n]))
			return refuse(to, "\"%s\" is not a number", value_shown(element, shown, sizeof(shown)));
		list.n++;
	}
	if (list.n != 2)
		return refuse(to, "not two numbers");
	if (fabs(list.v[0]) > MAX_OFFSET)
		return refuse(to, "offset out of range");
	if (list.v[1] == 0)
		return refuse(to, "slope 0");
	if (fabs(list.v[1]) > MAX_SLOPE)
		return refuse(to, "slope out of range");
	*(struct number_list *)member(to->option, c) = list;
	return VALUE_TAKEN;
}

static enum value_result set_choice(const struct complaint *to, struct config *c)
{
	const char *at = to->option->choices;
	char word[32];

	while (value_next_word(&at, word, sizeof(word))) {
		if (strcasecmp(word, to->text) != 0)
			continue;
		snprintf(member(to->option, c), to->option->size, "%s", word);
		return VALUE_TAKEN;
	}
	return refuse(to, "not one of the words allowed");
}

/* Length and lowest code of what a first byte announces. */
static const struct {
	unsigned char from, to;
	unsigned more; /* bytes that follow */
	uint32_t bits, least;
} utf8_forms[] = {
	{0x00, 0x7f, 0, 0x7f, 0},
	{0xc2, 0xdf, 1, 0x1f, 0x80},
	{0xe0, 0xef, 2, 0x0f, 0x800},
	{0xf0, 0xf4, 3, 0x07, 0x10000},
};

/* Length of the character at p; 0: it is not UTF-8. */
static unsigned utf8_length(const unsigned char *p)
{
	for (unsigned f = 0; f < sizeof(utf8_forms) / sizeof(utf8_forms[0]); f++) {
		uint32_t code = *p & utf8_forms[f].bits;

		if (*p < utf8_forms[f].from || *p > utf8_forms[f].to)
			continue;
		for (unsigned i = 1; i <= utf8_forms[f].more; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (p[i] & 0x3f);
		}
		bool surrogate = code >= 0xd800 && code < 0xe000;

		return code < utf8_forms[f].least || code > 0x10ffff || surrogate ? 0 : utf8_forms[f].more + 1;
	}
	return 0;
}

/* D-Bus takes nothing else. */
static bool is_utf8(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p) {
		unsigned n = utf8_length(p);

		if (!n)
			return false;
		p += n;
	}
	return true;
}

static enum value_result set_text(const struct complaint *to, struct config *c)
{
	const struct option *o = to->option;
	const char *wrong = o->wrong && *to->text ? o->wrong(to->text) : NULL;

	if (strlen(to->text) >= o->size)
		return refuse(to, "longer than %zu bytes", o->size - 1);
	if (!is_utf8(to->text))
		return refuse(to, "not UTF-8");
	if (wrong)
		return refuse(to, "%s", wrong);
	snprintf(member(o, c), o->size, "%s", to->text);
	return VALUE_TAKEN;
}

static enum value_result set_trimmed(const struct complaint *to, struct config *c)
{
	switch (to->option->type) {
	case OPTION_BOOL:
		return set_bool(to, c);
	case OPTION_INT:
	case OPTION_FLOAT:
		return set_number(to, c);
	case OPTION_CHOICE:
		return set_choice(to, c);
	case OPTION_INTEGERS:
	case OPTION_NUMBERS:
	case OPTION_ADDRESSES:
		return set_list(to, c);
	case OPTION_ADJUST:
		return set_adjust(to, c);
	case OPTION_TEXT:
	case OPTION_WORDS:
		break;
	}
	return set_text(to, c);
}

enum value_result value_set(const struct option *o, const char *text, struct config *c, char *why, size_t size)
{
	struct complaint to = {o, text, why, size};
	enum value_result result;
	char *trimmed;

	text += strspn(text, " \t\r\n");
	size_t n = strlen(text);

	while (n && isspace((unsigned char)text[n - 1]))
		n--;
	if (!n && !o->empty) {
		to.text = "";
		return refuse(&to, "empty");
	}
	trimmed = n ? strndup(text, n) : strdup(o->empty);
	if (!trimmed) {
		snprintf(why, size, "out of memory");
		return VALUE_REFUSED;
	}
	to.text = trimmed;
	result = set_trimmed(&to, c);
	free(trimmed);
	return result;
}

/* A user name or a password may hold any character, a name of a sensor may hold a #. */
bool value_has_comment(const struct option *o, const char *text)
{
	bool free_text = o->type == OPTION_TEXT && !o->wrong;

	if (o->secret || !strcmp(o->name, "MQTT_USERNAME"))
		return false;
	for (const char *p = text; *p; p++)
		if ((*p == ';' || (*p == '#' && !free_text)) && (p == text || isspace((unsigned char)p[-1])))
			return true;
	return false;
}

/* ---- back to text ---- */

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void append(char *text, size_t size, const char *format, ...)
{
	size_t n = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + n, size - n, format, args);
	va_end(args);
}

static void list_text(const struct option *o, const struct number_list *l, char *text, size_t size)
{
	text[0] = 0;
	for (unsigned i = 0; i < l->n; i++) {
		append(text, size, "%s", i ? ", " : "");
		if (o->type == OPTION_ADDRESSES)
			append(text, size, "0x%02x", (unsigned)l->v[i]);
		else
			append(text, size, "%.15g", l->v[i]);
	}
}

void option_text(const struct option *o, const struct config *c, char *text, size_t size)
{
	const void *m = (const char *)c + o->offset;
	locale_t c_locale, old = enter_c_locale(&c_locale);

	switch (o->store) {
	case STORE_BOOL:
		snprintf(text, size, "%s", *(const bool *)m ? "True" : "False");
		break;
	case STORE_INT:
		snprintf(text, size, "%d", *(const int *)m);
		break;
	case STORE_DOUBLE:
		text[0] = 0;
		if (isfinite(*(const double *)m))
			snprintf(text, size, "%.15g", *(const double *)m);
		break;
	case STORE_TEXT:
		snprintf(text, size, "%s", (const char *)m);
		break;
	case STORE_LIST:
		list_text(o, m, text, size);
		break;
	}
	leave_c_locale(c_locale, old);
}

static void range_text(const struct option *o, const char *what, char *text, size_t size)
{
	locale_t c, old = enter_c_locale(&c);

	if (o->choices)
		snprintf(text, size, "%s", o->choices);
	else if (o->type == OPTION_ADDRESSES)
		snprintf(text, size, "%s 0x%02x to 0x%02x", what, (unsigned)o->lo, (unsigned)o->hi);
	else if (o->above)
		snprintf(text, size, "%s above %g, up to %g", what, o->lo, o->hi);
	else
		snprintf(text, size, "%s %g to %g", what, o->lo, o->hi);
	leave_c_locale(c, old);
}

void option_allowed(const struct option *o, char *text, size_t size)
{
	switch (o->type) {
	case OPTION_BOOL:
		snprintf(text, size, "True or False");
		break;
	case OPTION_INT:
		range_text(o, "integer", text, size);
		break;
	case OPTION_FLOAT:
		range_text(o, "number", text, size);
		break;
	case OPTION_CHOICE:
		snprintf(text, size, "%s", o->choices);
		break;
	case OPTION_INTEGERS:
		range_text(o, "integers separated by commas, each", text, size);
		break;
	case OPTION_NUMBERS:
		range_text(o, "numbers separated by commas, each", text, size);
		break;
	case OPTION_ADDRESSES:
		range_text(o, "addresses separated by commas, each", text, size);
		break;
	case OPTION_ADJUST:
		snprintf(text, size, "offset, slope: %g to %g degC, %g to %g and not 0", -MAX_OFFSET, MAX_OFFSET,
			 -MAX_SLOPE, MAX_SLOPE);
		break;
	case OPTION_TEXT:
		snprintf(text, size, "text of up to %zu bytes", o->size - 1);
		break;
	case OPTION_WORDS:
		snprintf(text, size, "words separated by commas, up to %zu bytes", o->size - 1);
		break;
	}
	if (o->empty)
		append(text, size, ", or nothing");
}

const char *option_type_name(const struct option *o)
{
	static const char *const names[] = {
		[OPTION_BOOL] = "boolean",
		[OPTION_INT] = "integer",
		[OPTION_FLOAT] = "number",
		[OPTION_CHOICE] = "word",
		[OPTION_TEXT] = "text",
		[OPTION_WORDS] = "list of words",
		[OPTION_INTEGERS] = "list of integers",
		[OPTION_NUMBERS] = "list of numbers",
		[OPTION_ADDRESSES] = "list of addresses",
		[OPTION_ADJUST] = "offset, slope",
	};

	return names[o->type];
}

/* ---- texts of a certain form ---- */

static bool only(const char *text, const char *further)
{
	for (; *text; text++)
		if (!isascii((unsigned char)*text) || !(isalnum((unsigned char)*text) || strchr(further, *text)))
			return false;
	return true;
}

static bool is_mac(const char *text)
{
	for (unsigned i = 0; i < 17; i++)
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
			return false;
	return !text[17];
}

const char *wrong_bluetooth(const char *text)
{
	char element[CONFIG_MAX_TEXT];

	while (value_next_word(&text, element, sizeof(element))) {
		char *mac = element + strcspn(element, " \t");

		mac += strspn(mac, " \t");
		if (!is_mac(mac))
			return "not a type and an address such as C8:47:8C:00:00:00";
	}
	return NULL;
}

const char *wrong_interfaces(const char *text)
{
	char element[CONFIG_MAX_TEXT];

	while (value_next_word(&text, element, sizeof(element)))
		if (strlen(element) > 15 || !only(element, "_-.:@"))
			return "not names of interfaces";
	return NULL;
}

const char *wrong_bus_name(const char *text)
{
	if (!strchr(text, '.') || text[0] == '.' || strstr(text, "..") || text[strlen(text) - 1] == '.' ||
	    !only(text, "_-.") || isdigit((unsigned char)text[0]))
		return "not the name of a D-Bus service";
	return NULL;
}

const char *wrong_object_path(const char *text)
{
	if (text[0] != '/')
		return "does not start with /";
	if (!text[1] || strstr(text, "//") || text[strlen(text) - 1] == '/' || !only(text, "/_"))
		return "not a D-Bus path";
	return NULL;
}

const char *wrong_host(const char *text)
{
	return only(text, "-._:%[]") ? NULL : "neither a host name nor an address";
}

const char *wrong_file(const char *text)
{
	return text[0] == '/' ? NULL : "not an absolute path";
}
