/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dbus/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

enum { HIGHEST_INSTANCE = 65535 /* in a file; new ones are the lowest that are free */ };

struct kept {
	uv_loop_t *loop;
	char *path; /* NULL: not kept */
	struct kept_battery *battery;
	unsigned count;
	bool dirty;
	struct kept_write *write; /* under way */
	bool closing;
	int error; /* of the last write: told when it changes */
	struct say say;
};

/* One write, in a thread of libuv's pool: waiting for the disk is not the loop's business. */
struct kept_write {
	uv_work_t work;
	struct kept *kept;
	char *path, *text;
	int error;
};

/* ---- the file ---- */

static int make_parents(const char *path)
{
	char part[512];

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return -ENAMETOOLONG;
	for (char *p = strchr(part + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = 0;
		if (mkdir(part, 0755) && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return 0;
}

static int write_fd(int fd, const char *text)
{
	size_t n = strlen(text);

	while (n) {
		ssize_t done = write(fd, text, n);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			text += done;
			n -= (size_t)done;
		}
	}
	return fsync(fd) ? -errno : 0;
}

/* Whoever reads the file finds the old text or the new one, whenever the power fails. */
static int replace_file(const char *path, const char *text)
{
	char fresh[520];
	int error = make_parents(path);

	if (error)
		return error;
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	error = write_fd(fd, text);
	if (close(fd) && !error)
		error = -errno;
	if (!error && rename(fresh, path))
		error = -errno;
	if (error)
		unlink(fresh);
	return error;
}

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

/* ---- writing beside the loop ---- */

static void start_write(struct kept *k);

static void free_kept(struct kept *k)
{
	free(k->path);
	free(k->battery);
	free(k);
}

static void do_write(uv_work_t *work)
{
	struct kept_write *w = work->data;

	w->error = replace_file(w->path, w->text);
}

static void note_error(struct kept *k, int error)
{
	if (error && error != k->error)
		say_log(&k->say, LOG_ERROR, "cannot write %s: %s", k->path, strerror(-error));
	k->error = error;
}

static void write_now(struct kept *k)
{
	char *text = k->path && k->dirty ? to_text(k) : NULL;

	if (text)
		note_error(k, replace_file(k->path, text));
	free(text);
}

static void written(uv_work_t *work, int status)
{
	struct kept_write *w = work->data;
	struct kept *k = w->kept;

	(void)status;
	note_error(k, w->error);
	k->write = NULL;
	free(w->path);
	free(w->text);
	free(w);
	if (k->closing) {
		write_now(k);
		free_kept(k);
	} else if (k->dirty) {
		start_write(k);
	}
}

static void start_write(struct kept *k)
{
	struct kept_write *w;

	k->dirty = true;
	if (!k->path || k->write)
		return;
	w = calloc(1, sizeof(*w));
	if (!w)
		return;
	w->kept = k;
	w->work.data = w;
	w->path = strdup(k->path);
	w->text = to_text(k);
	if (!w->path || !w->text || uv_queue_work(k->loop, &w->work, do_write, written)) {
		free(w->path);
		free(w->text);
		free(w);
		return;
	}
	k->write = w;
	k->dirty = false;
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
	size_t n = dir ? strlen(dir) + sizeof("/dbus.json") : 0;

	if (!k)
		return NULL;
	k->loop = loop;
	k->say = say;
	if (!dir)
		return k;
	k->path = malloc(n);
	if (!k->path) {
		free(k);
		return NULL;
	}
	snprintf(k->path, n, "%s/dbus.json", dir);
	load(k);
	return k;
}

void kept_close(struct kept *k)
{
	if (!k)
		return;
	k->closing = true;
	if (k->write) {
		k->say.log = NULL; /* who would hear it may be gone by then */
		return;		   /* written() goes on */
	}
	write_now(k);
	free_kept(k);
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
		start_write(k);
	return b;
}

void kept_rename(struct kept *k, const char *identifier, const char *custom_name)
{
	struct kept_battery *b = find(k, identifier);

	if (!b || !strcmp(b->custom_name, custom_name))
		return;
	snprintf(b->custom_name, sizeof(b->custom_name), "%s", custom_name);
	start_write(k);
}
