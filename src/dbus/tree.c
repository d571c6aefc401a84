/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dbus/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/options.h"
#include "dbus/rows.h"

enum { PATH_SIZE = 96 /* of the longest path */ };

/* ---- making it ---- */

static unsigned repeats(const struct tree_shape *shape, const struct row *row)
{
	if (row->exists && !row->exists(shape, row->arg))
		return 0;
	switch (row->repeat) {
	case REPEAT_CELLS:
		return shape->cells;
	case REPEAT_SENSORS:
		return TREE_SENSORS;
	case REPEAT_POINTS:
		return shape->points;
	case REPEAT_OPTIONS:
		return CONFIG_OPTIONS;
	case REPEAT_ONCE:
		break;
	}
	return 1;
}

static char *path_of(const struct tree_shape *shape, const struct row *row, unsigned n)
{
	char path[PATH_SIZE];

	if (row->repeat == REPEAT_ONCE)
		return strdup(row->path);
	if (row->repeat == REPEAT_OPTIONS)
		snprintf(path, sizeof(path), row->path, option_at(n - 1)->name);
	else
		snprintf(path, sizeof(path), row->path,
			 row->repeat == REPEAT_POINTS ? (unsigned)shape->point[n - 1] : n);
	return strdup(path);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->path, ((const struct item *)b)->path);
}

static bool fill(struct tree *t)
{
	unsigned count = 0;

	for (unsigned r = 0; r < tree_row_count; r++)
		count += repeats(&t->shape, &tree_rows[r]);
	t->item = calloc(count, sizeof(*t->item));
	if (!t->item)
		return false;
	for (unsigned r = 0; r < tree_row_count; r++) {
		for (unsigned n = 1; n <= repeats(&t->shape, &tree_rows[r]); n++) {
			struct item *item = &t->item[t->count];

			if (tree_rows[r].repeat == REPEAT_OPTIONS && option_at(n - 1)->secret)
				continue;
			item->row = &tree_rows[r];
			item->n = n;
			item->path = path_of(&t->shape, &tree_rows[r], n);
			if (!item->path)
				return false;
			t->count++;
		}
	}
	qsort(t->item, t->count, sizeof(*t->item), by_path);
	return true;
}

struct tree *tree_new(const struct tree_identity *identity, const struct snapshot *s, const struct config *config,
		      uint64_t now_ms)
{
	struct tree *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->identity = *identity;
	t->soc_value = 100;
	shape_of(&t->shape, identity, s, config);
	if (!fill(t)) {
		tree_free(t);
		return NULL;
	}
	tree_update(t, s, config, now_ms);
	tree_sent(t);
	return t;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < t->count; i++) {
		free(t->item[i].own);
		free(t->item[i].path);
	}
	free(t->item);
	free(t);
}

bool tree_fits(const struct tree *t, const struct snapshot *s, const struct config *config)
{
	struct tree_shape shape;

	shape_of(&shape, &t->identity, s, config);
	return !memcmp(&shape, &t->shape, sizeof(shape));
}

/* ---- values ---- */

static double limits_number(const struct view *v, size_t offset)
{
	double number;

	memcpy(&number, (const char *)v->limits + offset, sizeof(number));
	return number;
}

static struct value fresh(struct view *v, const struct item *item)
{
	const struct row *row = item->row;

	switch (row->source) {
	case SOURCE_FUNCTION:
	case SOURCE_OWN:
		v->row = row;
		v->n = item->n;
		return row->get(v);
	case SOURCE_LIMITS:
		return value_number(limits_number(v, row->offset));
	case SOURCE_NEGATIVE:
		return value_number(-limits_number(v, row->offset));
	case SOURCE_CONSTANT:
		return (struct value){.kind = VALUE_COUNT, .count = row->arg};
	case SOURCE_NONE:
	case SOURCE_TREE:
		break;
	}
	return (struct value){.kind = VALUE_INVALID};
}

static bool borrows(const struct value *v)
{
	return v->kind == VALUE_TEXT || v->kind == VALUE_WORDS || v->kind == VALUE_NUMBERS || v->kind == VALUE_COUNTS;
}

/* What v borrows, for keeps. NULL: it borrows nothing, or no memory. */
static void *copy_of(const struct value *v)
{
	bool list = v->kind == VALUE_NUMBERS || v->kind == VALUE_COUNTS;
	struct number_list *copy;

	if (!borrows(v))
		return NULL;
	if (!list)
		return strdup(v->text);
	copy = malloc(sizeof(*copy));
	if (copy)
		*copy = *v->list;
	return copy;
}

/* Texts and lists are copied; without memory for that the path is unknown. */
static void store(struct tree *t, struct item *item, struct value value)
{
	if (value_equal(&item->value, &value))
		return;
	void *copy = copy_of(&value);
	if (copy && value.kind != VALUE_NUMBERS && value.kind != VALUE_COUNTS)
		value.text = copy;
	else if (copy)
		value.list = copy;
	else if (borrows(&value))
		value.kind = VALUE_INVALID;
	free(item->own);
	item->own = copy;
	item->value = value;
	t->revision++;
	t->changes += !item->changed;
	item->changed = true;
}

static void refresh(struct tree *t, struct view *v, struct item *item)
{
	struct value value = fresh(v, item);

	if (value.kind == VALUE_NUMBER && item->row->sig == 'i') {
		value = value_count(value.number);
	} else if (value.kind == VALUE_NUMBER) {
		/* Rounding is dear; what is the same before it is the same after it. */
		if (item->value.kind == VALUE_NUMBER && item->raw == value.number)
			return;
		item->raw = value.number;
		if (item->row->decimals != EXACT)
			value = value_number(value_round(value.number, item->row->decimals));
	}
	store(t, item, value);
}

static int path_to_item(const void *path, const void *item)
{
	return strcmp(path, ((const struct item *)item)->path);
}

static struct item *find(const struct tree *t, const char *path)
{
	return bsearch(path, t->item, t->count, sizeof(*t->item), path_to_item);
}

static void refresh_json(struct tree *t, bool wanted)
{
	struct item *item = find(t, "/JsonData");
	char *json = wanted ? tree_json(t) : NULL;

	store(t, item, value_text(json));
	free(json);
}

static void note_reported(struct tree *t, const struct reading *r)
{
	t->reported[COMMAND_CHARGE] = reading_flag(r, F_CHARGE_MOS);
	t->reported[COMMAND_DISCHARGE] = reading_flag(r, F_DISCHARGE_MOS);
	t->reported[COMMAND_BALANCE] = reading_flag(r, F_BALANCE_ENABLED);
}

void tree_update(struct tree *t, const struct snapshot *s, const struct config *config, uint64_t now_ms)
{
	struct view v = {.tree = t, .snapshot = s, .limits = snapshot_limits(s), .config = config, .now_ms = now_ms};
	uint64_t before = t->revision;
	bool had_json = t->json;

	t->json = config->publish_battery_data_as_json;
	note_reported(t, &s->reading);
	link_text_update(&t->link, s, config, now_ms);
	for (unsigned i = 0; i < t->count; i++)
		if (t->item[i].row->source != SOURCE_TREE)
			refresh(t, &v, &t->item[i]);
	if (t->json != had_json || (t->json && t->revision != before))
		refresh_json(t, t->json);
}

/* The rows that change between snapshots. */
static void update_own(struct tree *t, uint64_t now_ms)
{
	struct view v = {.tree = t, .now_ms = now_ms};
	uint64_t before = t->revision;

	for (unsigned i = 0; i < t->count; i++)
		if (t->item[i].row->source == SOURCE_OWN)
			refresh(t, &v, &t->item[i]);
	if (t->revision != before && t->json)
		refresh_json(t, true);
}

void tree_set_custom_name(struct tree *t, const char *name, uint64_t now_ms)
{
	snprintf(t->identity.custom_name, sizeof(t->identity.custom_name), "%s", name);
	update_own(t, now_ms);
}

void tree_set_soc_value(struct tree *t, int pct, uint64_t now_ms)
{
	t->soc_value = pct;
	update_own(t, now_ms);
}

void tree_set_asked(struct tree *t, enum command_kind kind, enum tri asked, uint64_t now_ms)
{
	t->asked[kind] = asked;
	update_own(t, now_ms);
}

void tree_set_reported(struct tree *t, enum command_kind kind, enum tri reported, uint64_t now_ms)
{
	t->reported[kind] = reported;
	update_own(t, now_ms);
}

void tree_set_outcome(struct tree *t, const char *text, uint64_t now_ms)
{
	snprintf(t->outcome, sizeof(t->outcome), "%s", text);
	t->outcome_ms = now_ms;
	update_own(t, now_ms);
}

void tree_sent(struct tree *t)
{
	for (unsigned i = 0; i < t->count; i++)
		t->item[i].changed = false;
	t->changes = 0;
}

/* ---- looking at it ---- */

const struct item *tree_find(const struct tree *t, const char *path)
{
	return find(t, path);
}

/* Path characters all sort behind '/', so what lies below a path lies side by side. */
static bool below(const char *path, const char *group, size_t n)
{
	return !strncmp(path, group, n) && path[n] == '/';
}

unsigned tree_group(const struct tree *t, const char *path, const struct item **first)
{
	size_t n = strcmp(path, "/") ? strlen(path) : 0;
	unsigned begin = 0, end = t->count;

	while (begin < end) {
		unsigned middle = begin + (end - begin) / 2;

		if (strncmp(t->item[middle].path, path, n) < 0 ||
		    (!strncmp(t->item[middle].path, path, n) && !t->item[middle].path[n]))
			begin = middle + 1;
		else
			end = middle;
	}
	for (end = begin; end < t->count && below(t->item[end].path, path, n); end++)
		;
	*first = &t->item[begin];
	return end - begin;
}

const char *item_show(const struct item *item, char out[VALUE_TEXT_MAX])
{
	return value_show(&item->value, item->row->form, out);
}

enum item_write item_write(const struct item *item)
{
	return item->row->write;
}

bool item_range(const struct item *item, int64_t *min, int64_t *max, int64_t *start)
{
	if (item->row->write != WRITE_SOC_VALUE)
		return false;
	*min = 0;
	*max = 100;
	*start = 100;
	return true;
}

/* ---- as JSON ---- */

static void json_text(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(f, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			fprintf(f, "\\u%04x", *s);
		else
			fputc(*s, f);
	}
	fputc('"', f);
}

static void json_words(FILE *f, const char *words)
{
	char word[CONFIG_MAX_TEXT];

	fputc('[', f);
	for (bool first = true; words_next(&words, word, sizeof(word)); first = false) {
		fputs(first ? "" : ",", f);
		json_text(f, word);
	}
	fputc(']', f);
}

static void json_value(FILE *f, const struct value *v)
{
	char text[VALUE_TEXT_MAX];

	if (v->kind == VALUE_INVALID || (v->kind == VALUE_TEXT && !v->text[0]))
		fputs("null", f);
	else if (v->kind == VALUE_TEXT)
		json_text(f, v->text);
	else if (v->kind == VALUE_FLAG)
		fputs(v->count ? "true" : "false", f);
	else if (v->kind == VALUE_WORDS)
		json_words(f, v->text);
	else
		fputs(value_show(v, FORM_PLAIN, text), f);
}

/* Leaves the objects that path is not in and enters those that it is in; returns the last part. */
static const char *json_enter(FILE *f, const char *path, char open[PATH_SIZE], bool *first)
{
	size_t same = 0;

	for (size_t i = 1; path[i] && path[i] == open[i]; i++)
		if (path[i] == '/')
			same = i;
	for (const char *p = open + same + 1; (p = strchr(p, '/')); p++) {
		fputc('}', f);
		*first = false;
	}
	snprintf(open, PATH_SIZE, "%s", path);
	const char *part = path + same + 1;
	for (const char *end; (end = strchr(part, '/')); part = end + 1) {
		fprintf(f, "%s\"%.*s\":{", *first ? "" : ",", (int)(end - part), part);
		*first = true;
	}
	return part;
}

char *tree_json(const struct tree *t)
{
	char *text = NULL;
	size_t size;
	char open[PATH_SIZE] = "/";
	bool first = true;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fputc('{', f);
	for (unsigned i = 0; i < t->count; i++) {
		const struct item *item = &t->item[i];

		if (item->row->source == SOURCE_TREE || below(item->path, "/Settings", strlen("/Settings")))
			continue;
		const char *part = json_enter(f, item->path, open, &first);
		fprintf(f, "%s\"%s\":", first ? "" : ",", part);
		json_value(f, &item->value);
		first = false;
	}
	json_enter(f, "/", open, &first);
	fputc('}', f);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
