/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dbus/kept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "engine/durable.h"

enum { HIGHEST_INSTANCE = 65535 /* in a file; new ones are the lowest that are free */ };

struct kept {
	char path[512];
	struct durable *file; /* NULL: not kept */
	struct kept_battery *battery;
	unsigned count;
	struct say say;
};

static char *to_text(const struct kept *k)
{
	json_t *batteries = json_object();

	for (unsigned i = 0; i < k->count; i++) {
		const struct kept_battery *b = &k->battery[i];
		char name[CUSTOM_NAME_SIZE], identifier[PACK_NAME];

		utf8_clean(b->identifier, identifier, sizeof(identifier));
		utf8_clean(b->custom_name, name, sizeof(name));
		json_object_set_new(batteries, identifier,
				    json_pack("{s:i, s:s}", "instance", b->instance, "custom_name", name));
	}
	json_t *root = json_pack("{s:o}", "batteries", batteries);
	char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
	json_decref(root);
	return text;
}

static void note_failure(void *ctx, const char *path, int error)
{
	const struct kept *k = ctx;

	say_log(&k->say, LOG_ERROR, "cannot write %s: %s", path, strerror(error));
}

static void keep(struct kept *k)
{
	if (k->file)
		durable_write(k->file, to_text(k));
}

/* ---- reading ---- */

static struct kept_battery *find(const struct kept *k, const char *identifier)
{
	for (unsigned i = 0; i < k->count; i++)
		if (!strcmp(k->battery[i].identifier, identifier))
			return &k->battery[i];
	return NULL;
}

static bool instance_taken(const struct kept *k, int instance)
{
	for (unsigned i = 0; i < k->count; i++)
		if (k->battery[i].instance == instance)
			return true;
	return false;
}

static struct kept_battery *add(struct kept *k, const char *identifier, int instance)
{
	struct kept_battery *grown = realloc(k->battery, (k->count + 1) * sizeof(*grown));

	if (!grown)
		return NULL;
	k->battery = grown;
	struct kept_battery *b = &k->battery[k->count++];
	memset(b, 0, sizeof(*b));
	snprintf(b->identifier, sizeof(b->identifier), "%s", identifier);
	b->instance = instance;
	return b;
}

/* What stands in the file but can't be so (two batteries of one instance) is left out. */
static void take(struct kept *k, json_t *batteries)
{
	const char *identifier;
	json_t *value;

	json_object_foreach (batteries, identifier, value) {
		json_int_t instance = json_integer_value(json_object_get(value, "instance"));
		const char *name = json_string_value(json_object_get(value, "custom_name"));

		if (instance < 1 || instance > HIGHEST_INSTANCE || instance_taken(k, (int)instance) ||
		    strlen(identifier) >= PACK_NAME)
			continue;
		struct kept_battery *b = add(k, identifier, (int)instance);
		if (b && name)
			utf8_clean(name, b->custom_name, sizeof(b->custom_name));
	}
}

static void put_aside(const struct kept *k, const char *problem)
{
	char bad[520];

	snprintf(bad, sizeof(bad), "%s.bad", k->path);
	if (rename(k->path, bad))
		say_log(&k->say, LOG_ERROR, "%s: %s", k->path, problem);
	else
		say_log(&k->say, LOG_ERROR, "%s: %s; put aside as %s", k->path, problem, bad);
}

static void load(struct kept *k)
{
	json_error_t error;
	json_t *root;

	if (access(k->path, F_OK) && errno == ENOENT)
		return;
	root = json_load_file(k->path, 0, &error);
	json_t *batteries = json_object_get(root, "batteries");
	if (!root)
		put_aside(k, error.text);
	else if (!json_is_object(batteries))
		put_aside(k, "no batteries in it");
	else
		take(k, batteries);
	json_decref(root);
}

struct kept *kept_open(uv_loop_t *loop, const char *dir, struct say say)
{
	struct kept *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->say = say;
	if (!dir)
		return k;
	snprintf(k->path, sizeof(k->path), "%s/dbus.json", dir);
	k->file = durable_new(loop, k->path, note_failure, k);
	if (!k->file) {
		free(k);
		return NULL;
	}
	load(k);
	return k;
}

void kept_close(struct kept *k)
{
	if (!k)
		return;
	durable_close(k->file);
	free(k->battery);
	free(k);
}

const struct kept_battery *kept_battery(struct kept *k, const char *identifier)
{
	struct kept_battery *b = find(k, identifier);
	int instance = 1;

	if (b)
		return b;
	while (instance_taken(k, instance))
		instance++;
	b = add(k, identifier, instance);
	if (b)
		keep(k);
	return b;
}

void kept_rename(struct kept *k, const char *identifier, const char *custom_name)
{
	struct kept_battery *b = find(k, identifier);

	if (!b || !strcmp(b->custom_name, custom_name))
		return;
	snprintf(b->custom_name, sizeof(b->custom_name), "%s", custom_name);
	keep(k);
}
