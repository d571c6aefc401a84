/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dbus/service.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dbus/busitem.h"

enum {
	CALL_MS = 25000,       /* the bus itself answers at once or not at all */
	CLAIM_FIRST_MS = 1000, /* a name that is taken is asked for again, */
	CLAIM_LAST_MS = 30000, /* less and less often */
	MAX_QUESTIONS = 8,     /* who wrote that? under way at a time */
	MAX_WRITES = 20,       /* that do something, in a second; more are refused */
};

/* What was asked of one switch and not yet begun. */
struct wish {
	bool wanted;
	double value;
};

struct service {
	const struct service_host *host;
	unsigned pack;
	char identifier[PACK_NAME];
	char *name;
	struct tree *tree;
	struct bus *bus;
	bool claimed;
	uv_timer_t *retry;
	unsigned claims; /* that failed in a row */
	struct wish wish[COMMAND_KINDS];
	struct ticket *running;		   /* the command under way */
	enum tri commanded[COMMAND_KINDS]; /* what a client's command last made true */
	unsigned questions;
	bool writing;	    /* a client's write is being carried out */
	uint64_t window_ms; /* start of the second in which writes are counted */
	unsigned writes;
};

/* Outlives the service that bought it: a command's end comes whenever it comes. */
struct ticket {
	struct service *service;
};

static uint64_t now_of(const struct service *v)
{
	return v->host->now_ms(v->host->ctx);
}

/* ---- telling ---- */

static bool send_and_release(struct service *v, DBusMessage *m)
{
	bool sent = m && bus_send(v->bus, m);

	if (m)
		dbus_message_unref(m);
	return sent;
}

static void announce_each(struct service *v)
{
	for (unsigned i = 0; i < v->tree->count; i++)
		if (v->tree->item[i].changed && !send_and_release(v, busitem_properties_changed(&v->tree->item[i])))
			return;
	tree_sent(v->tree);
}

/* What can't be sent now stays marked as changed and goes out later. */
static void announce(struct service *v)
{
	if (!v->claimed || !v->tree->changes || !bus_ready(v->bus))
		return;
	if (v->host->properties_changed)
		announce_each(v);
	else if (send_and_release(v, busitem_items_changed(v->tree)))
		tree_sent(v->tree);
}

/* ---- the name ---- */

static void claim(struct service *v);

static void on_retry(uv_timer_t *timer)
{
	claim(timer->data);
}

static void claim_later(struct service *v)
{
	uint64_t ms = CLAIM_FIRST_MS;

	for (unsigned i = 0; i < v->claims && ms < CLAIM_LAST_MS; i++)
		ms *= 2;
	v->claims++;
	uv_timer_start(v->retry, on_retry, ms < CLAIM_LAST_MS ? ms : CLAIM_LAST_MS, 0);
}

static void on_claimed(void *ctx, DBusMessage *reply)
{
	struct service *v = ctx;
	const struct say *say = &v->host->say;
	dbus_uint32_t result = 0;
	DBusError error;

	dbus_error_init(&error);
	if (dbus_set_error_from_message(&error, reply) ||
	    !dbus_message_get_args(reply, &error, DBUS_TYPE_UINT32, &result, DBUS_TYPE_INVALID)) {
		if (!v->claims)
			say_log(say, LOG_ERROR, "D-Bus: the bus refuses the name %s: %s; trying again", v->name,
				error.message);
		dbus_error_free(&error);
		claim_later(v);
	} else if (result == DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER || result == DBUS_REQUEST_NAME_REPLY_ALREADY_OWNER) {
		say_log(say, LOG_INFO, "D-Bus: published as %s, device instance %d", v->name,
			v->tree->identity.device_instance);
		v->claimed = true;
		v->claims = 0;
		tree_sent(v->tree); /* whoever hears of the name asks for everything */
	} else {
		if (!v->claims)
			say_log(say, LOG_WARNING, "D-Bus: the name %s is taken by another program; trying again",
				v->name);
		claim_later(v);
	}
}

static DBusMessage *to_the_bus(const char *method)
{
	return dbus_message_new_method_call(DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, method);
}

static void claim(struct service *v)
{
	const dbus_uint32_t flags = DBUS_NAME_FLAG_DO_NOT_QUEUE;
	const char *name = v->name;
	DBusMessage *m = to_the_bus("RequestName");
	bool sent = m &&
		    dbus_message_append_args(m, DBUS_TYPE_STRING, &name, DBUS_TYPE_UINT32, &flags, DBUS_TYPE_INVALID) &&
		    bus_call(v->bus, m, CALL_MS, on_claimed, v, NULL);

	if (m)
		dbus_message_unref(m);
	if (!sent)
		claim_later(v);
}

static void give_up_name(struct service *v)
{
	const char *name = v->name;
	DBusMessage *m = to_the_bus("ReleaseName");

	v->claimed = false;
	if (m && dbus_message_append_args(m, DBUS_TYPE_STRING, &name, DBUS_TYPE_INVALID)) {
		dbus_message_set_no_reply(m, TRUE);
		bus_send(v->bus, m);
	}
	if (m)
		dbus_message_unref(m);
}

static void on_up(void *ctx)
{
	struct service *v = ctx;

	v->claims = 0;
	claim(v);
}

static void on_down(void *ctx)
{
	struct service *v = ctx;

	v->claimed = false;
	uv_timer_stop(v->retry);
}

/* ---- commands ---- */

static void start_wish(struct service *v);

static const enum command_kind kind_of_write[] = {
	[WRITE_CHARGE_OFF] = COMMAND_CHARGE,
	[WRITE_DISCHARGE_OFF] = COMMAND_DISCHARGE,
	[WRITE_BALANCE_OFF] = COMMAND_BALANCE,
};

/* A switch shows what was asked until that has ended; then what the BMS reports. */
static void settle(struct service *v, const struct command *c, enum command_result result)
{
	enum tri state = c->value != 0 ? ON : OFF;

	if (c->kind == COMMAND_SOC)
		return;
	if (result == COMMAND_DONE) {
		v->commanded[c->kind] = state;
		tree_set_reported(v->tree, c->kind, state, now_of(v));
	}
	if (!v->wish[c->kind].wanted)
		tree_set_asked(v->tree, c->kind, UNKNOWN, now_of(v));
}

static void show_outcome(struct service *v, const struct command *c, const struct command_outcome *o)
{
	char command[48], text[COMMAND_SAY + 96];

	command_text(c, command, sizeof(command));
	snprintf(text, sizeof(text), "%s: %s%s%s", command, command_result_name(o->result), o->say[0] ? ": " : "",
		 o->say);
	tree_set_outcome(v->tree, text, now_of(v));
}

static void on_command_done(void *ctx, unsigned pack, const struct command *c, const struct command_outcome *o)
{
	struct ticket *ticket = ctx;
	struct service *v = ticket->service;

	(void)pack;
	free(ticket);
	if (!v)
		return;
	v->running = NULL;
	settle(v, c, o->result);
	show_outcome(v, c, o);
	announce(v);
	start_wish(v);
}

static void start_command(struct service *v, const struct command *c)
{
	struct ticket *ticket = malloc(sizeof(*ticket));
	struct command_outcome failed = {.result = COMMAND_REFUSED, .say = "the battery is not there"};

	if (ticket) {
		ticket->service = v;
		v->running = ticket;
		if (!v->host->command(v->host->ctx, v->pack, c, on_command_done, ticket))
			return;
		v->running = NULL;
		free(ticket);
	}
	settle(v, c, failed.result);
	show_outcome(v, c, &failed);
	announce(v);
}

/* One command at a time; of each switch only the last wish counts. */
static void start_wish(struct service *v)
{
	for (unsigned k = 0; k < COMMAND_KINDS && !v->running; k++) {
		struct command c = {.kind = (enum command_kind)k,
				    .value = v->wish[k].value,
				    .experimental = v->tree->identity.experimental};

		if (!v->wish[k].wanted)
			continue;
		v->wish[k].wanted = false;
		start_command(v, &c);
	}
}

static int ask_for(struct service *v, enum command_kind kind, double value)
{
	struct command c = {.kind = kind, .value = value, .experimental = v->tree->identity.experimental};
	const char *why = NULL;
	char text[64];

	/* While one of ours is running, the next one waits for it. */
	if (!v->running && !v->host->can(v->host->ctx, v->pack, &c, &why)) {
		command_text(&c, text, sizeof(text));
		say_log(&v->host->say, LOG_WARNING, "%s: %s refused: %s", v->name, text, why);
		return SET_REFUSED;
	}
	v->wish[kind] = (struct wish){true, value};
	if (kind != COMMAND_SOC)
		tree_set_asked(v->tree, kind, value != 0 ? ON : OFF, now_of(v));
	start_wish(v);
	return SET_DONE;
}

/* ---- what clients write: contract section 5 ---- */

static bool is_whole(const struct written *w, double min, double max)
{
	return w->kind == WRITTEN_NUMBER && w->number == rint(w->number) && w->number >= min && w->number <= max;
}

/* Turning off what is already off sends nothing, unless it was not a client that turned it off: then
 * it is the BMS that holds it off, and it is to stay off when the BMS would turn it on again. */
static int set_switch(struct service *v, const struct item *item, const struct written *w)
{
	enum command_kind kind = kind_of_write[item_write(item)];
	bool off = w->number != 0;

	if (!is_whole(w, 0, 1))
		return SET_REFUSED;
	if (off == (item->value.count != 0) && (!off || v->tree->asked[kind] == OFF || v->commanded[kind] == OFF))
		return SET_DONE;
	return ask_for(v, kind, off ? 0 : 1);
}

static int set_custom_name(struct service *v, const struct written *w)
{
	if ((w->kind != WRITTEN_TEXT && w->kind != WRITTEN_NUMBER) || strlen(w->text) >= CUSTOM_NAME_SIZE)
		return SET_REFUSED;
	tree_set_custom_name(v->tree, w->text, now_of(v));
	v->host->rename(v->host->ctx, v->identifier, w->text);
	return SET_DONE;
}

static int clear_history(struct service *v, const struct written *w)
{
	enum { FIRST_GROUP = 1, LAST_GROUP = 7 };

	if (w->kind != WRITTEN_NUMBER || !v->host->clear_history)
		return SET_REFUSED;
	if (is_whole(w, FIRST_GROUP, LAST_GROUP))
		v->host->clear_history(v->host->ctx, v->pack, (int)w->number);
	return SET_DONE;
}

static int carry_out(struct service *v, const struct item *item, const struct written *w)
{
	switch (item_write(item)) {
	case WRITE_CUSTOM_NAME:
		return set_custom_name(v, w);
	case WRITE_CHARGE_OFF:
	case WRITE_DISCHARGE_OFF:
	case WRITE_BALANCE_OFF:
		return set_switch(v, item, w);
	case WRITE_SOC_VALUE:
		if (!is_whole(w, 0, 100))
			return SET_REFUSED;
		tree_set_soc_value(v->tree, (int)w->number, now_of(v));
		return SET_DONE;
	case WRITE_SOC_APPLY:
		if (w->kind != WRITTEN_NUMBER)
			return SET_REFUSED;
		return w->number == 0 ? SET_DONE : ask_for(v, COMMAND_SOC, v->tree->soc_value);
	case WRITE_HISTORY_CLEAR:
		return clear_history(v, w);
	case WRITE_NOTHING:
		break;
	}
	return SET_NOT_WRITABLE;
}

/* ---- who wrote that ---- */

struct question {
	struct service *service;
	char *path, *value, *sender;
};

static void free_question(void *ctx)
{
	struct question *q = ctx;

	q->service->questions--;
	free(q->path);
	free(q->value);
	free(q->sender);
	free(q);
}

static void on_pid(void *ctx, DBusMessage *reply)
{
	const struct question *q = ctx;
	const struct say *say = &q->service->host->say;
	dbus_uint32_t pid;

	if (dbus_message_get_args(reply, NULL, DBUS_TYPE_UINT32, &pid, DBUS_TYPE_INVALID))
		say_log(say, LOG_INFO, "%s: %s = %s written by %s (pid %u)", q->service->name, q->path, q->value,
			q->sender, (unsigned)pid);
	else
		say_log(say, LOG_INFO, "%s: %s = %s written by %s", q->service->name, q->path, q->value, q->sender);
}

/* Logs a write with the process that made it, once the bus has told which. */
static void log_write(struct service *v, const struct item *item, const struct written *w, const char *sender)
{
	struct question *q = v->questions < MAX_QUESTIONS && sender ? calloc(1, sizeof(*q)) : NULL;
	DBusMessage *m = q ? to_the_bus("GetConnectionUnixProcessID") : NULL;

	if (!q) {
		say_log(&v->host->say, LOG_INFO, "%s: %s = %s written", v->name, item->path, w->text);
		return;
	}
	q->service = v;
	v->questions++;
	q->path = strdup(item->path);
	q->value = strdup(w->text);
	q->sender = strdup(sender);
	if (!q->path || !q->value || !q->sender || !m ||
	    !dbus_message_append_args(m, DBUS_TYPE_STRING, &sender, DBUS_TYPE_INVALID) ||
	    !bus_call(v->bus, m, CALL_MS, on_pid, q, free_question))
		free_question(q);
	if (m)
		dbus_message_unref(m);
}

/* Nobody needs so many writes; a client that runs wild must not wear out disk, log and battery. */
static bool too_many(struct service *v)
{
	uint64_t now = now_of(v);

	if (now >= v->window_ms + 1000) {
		v->window_ms = now;
		v->writes = 0;
	}
	return v->writes >= MAX_WRITES;
}

static int on_set(void *ctx, const struct item *item, const struct written *w, const char *sender)
{
	struct service *v = ctx;
	enum item_write write = item_write(item);
	uint64_t before = v->tree->revision;

	if (write == WRITE_NOTHING || (v->host->read_only && write != WRITE_CUSTOM_NAME))
		return SET_NOT_WRITABLE;
	if (too_many(v))
		return SET_REFUSED;
	v->writing = true;
	int answer = carry_out(v, item, w);
	v->writing = false;
	bool acts = write == WRITE_SOC_APPLY || write == WRITE_HISTORY_CLEAR;
	bool did = acts || v->tree->revision != before;
	if (answer == SET_DONE && did)
		log_write(v, item, w, sender);
	v->writes += answer != SET_DONE || did;
	announce(v);
	return answer;
}

static DBusMessage *on_call(void *ctx, DBusMessage *call)
{
	struct service *v = ctx;
	struct busitem_owner owner = {on_set, v};

	return busitem_answer(v->tree, call, &owner);
}

/* ---- life ---- */

struct service *service_new(const struct service_host *host, const char *name, const struct tree_identity *identity,
			    const struct snapshot *s, const struct config *config)
{
	struct service *v = calloc(1, sizeof(*v));
	uv_timer_t *retry = malloc(sizeof(*retry));

	if (!v || !retry) {
		free(v);
		free(retry);
		return NULL;
	}
	uv_timer_init(host->loop, retry);
	retry->data = v;
	v->retry = retry;
	v->host = host;
	v->pack = s->id;
	snprintf(v->identifier, sizeof(v->identifier), "%s", s->identifier);
	v->name = strdup(name);
	v->tree = tree_new(identity, s, config, now_of(v));
	if (v->name && v->tree)
		v->bus = bus_new(host->hub, (struct bus_events){on_up, on_down, on_call, v});
	if (!v->bus) {
		service_free(v);
		return NULL;
	}
	return v;
}

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

void service_free(struct service *v)
{
	if (!v)
		return;
	if (v->running)
		v->running->service = NULL;
	bus_free(v->bus);
	uv_close((uv_handle_t *)v->retry, free_handle);
	tree_free(v->tree);
	free(v->name);
	free(v);
}

/* The battery has other paths now: consumers look for paths when a name appears, so it appears anew. */
static void publish_anew(struct service *v, const struct snapshot *s, const struct config *config)
{
	struct tree *fresh = tree_new(&v->tree->identity, s, config, now_of(v));
	bool was_claimed = v->claimed;

	if (!fresh)
		return;
	if (was_claimed)
		give_up_name(v);
	memcpy(fresh->asked, v->tree->asked, sizeof(fresh->asked));
	fresh->soc_value = v->tree->soc_value;
	tree_free(v->tree);
	v->tree = fresh;
	if (was_claimed)
		claim(v);
}

void service_update(struct service *v, const struct snapshot *s, const struct config *config)
{
	bool fits = tree_fits(v->tree, s, config);

	if (!fits && v->writing)
		return; /* the tree is being looked at; the next reading will do */
	if (!fits)
		publish_anew(v, s, config);
	tree_update(v->tree, s, config, now_of(v));
	announce(v);
}

unsigned service_pack(const struct service *v)
{
	return v->pack;
}

const char *service_name(const struct service *v)
{
	return v->name;
}

bool service_claimed(const struct service *v)
{
	return v->claimed;
}
