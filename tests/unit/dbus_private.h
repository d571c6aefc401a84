/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For D-Bus tests: a bus of the test's own, and a client on it that lets the loop under test go on. */
#ifndef TESTS_DBUS_PRIVATE_H
#define TESTS_DBUS_PRIVATE_H

#include <dbus/dbus.h>
#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

struct private_bus {
	char dir[64];
	char address[128];
	pid_t pid; /* 0: not running */
};

/* A dbus-daemon in a directory of its own. False: there is none on this machine. */
bool private_bus_start(struct private_bus *b);
/* Kills it; a start afterwards has the same address. */
void private_bus_stop(struct private_bus *b);
void private_bus_remove(struct private_bus *b);

enum { MAX_SIGNALS = 64 };

/* A signal of a battery, as it came. */
struct heard_signal {
	DBusMessage *m;
	unsigned paths; /* in ItemsChanged */
};

struct client {
	uv_loop_t *loop; /* of what is tested */
	DBusConnection *c;
	struct heard_signal signal[MAX_SIGNALS];
	unsigned signals;
	unsigned appeared; /* NameOwnerChanged: names of batteries that came */
	unsigned disappeared;
	unsigned answers; /* to calls that nobody waits for */
	void (*on_appear)(struct client *client, const char *name);
};

void client_open(struct client *client, uv_loop_t *loop, const struct private_bus *b);
void client_close(struct client *client);
void client_forget_signals(struct client *client);

/* Runs loop and client for a moment. */
void client_pump(struct client *client);
/* The same until done(ctx); the test fails when that takes unreasonably long. */
void client_pump_until(struct client *client, bool (*done)(void *ctx), void *ctx);
/* The same for so many turns. */
void client_pump_turns(struct client *client, unsigned turns);

/*
 * Calls a method and waits for what comes back, an error too. interface may be NULL. The message is
 * built with append (may be NULL).
 */
DBusMessage *client_call(struct client *client, const char *name, const char *path, const char *interface,
			 const char *method, void (*append)(DBusMessageIter *to, const void *ctx), const void *ctx);

/* SetValue with a variant of one basic value; the answer, or -1000 when an error came. */
int client_set(struct client *client, const char *name, const char *path, int type, const void *value);
int client_set_int(struct client *client, const char *name, const char *path, int value);
/* GetText of a leaf; static buffer; an error's name when there is one. */
const char *client_text(struct client *client, const char *name, const char *path);
/* Signature of the reply's only argument; of what is in it when that is a variant: "v:d". Static. */
const char *client_signature(DBusMessage *reply);
/* Has ItemsChanged m this path? */
bool signal_has(DBusMessage *m, const char *path);

#endif
