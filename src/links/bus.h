/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * D-Bus connections on a libuv loop, none of which ever waits. A hub knows where the bus is and lets
 * its connections in one after the other: so a bus that hangs keeps one of them waiting and the loop
 * never, and after the bus has gone there is one attempt at a time, less and less often.
 */
#ifndef LINKS_BUS_H
#define LINKS_BUS_H

#include <stdbool.h>

#include <dbus/dbus.h>
#include <uv.h>

#include "model/say.h"

/* What may lie unsent on a connection whose bus doesn't read; beyond it nothing new is sent or answered. */
#define BUS_OUTGOING_MAX (128 * 1024)

struct bus_hub;
struct bus;

/*
 * "system", "session", an address as D-Bus writes it, or NULL: the session bus when the environment
 * names one, else the system bus. Copies the address to out; false: there is none, why says it.
 */
bool bus_address(const char *which, char *out, size_t size, char *why, size_t why_size);

/* Connecting to a unix: address does not wait; for a tcp: address libdbus may. NULL: no memory. */
struct bus_hub *bus_hub_new(uv_loop_t *loop, const char *address, struct say say);
/* After all its connections have been freed; the loop must run once more so that handles are freed. */
void bus_hub_free(struct bus_hub *hub);

/* What happens on a connection; called from the loop. None of these may free it; each may be NULL. */
struct bus_events {
	void (*up)(void *ctx);	 /* messages can be sent; again after every loss */
	void (*down)(void *ctx); /* the connection is lost; another one is being made */
	/* A method call to one of our objects. The reply (NULL: none) is sent and released. */
	DBusMessage *(*call)(void *ctx, DBusMessage *call);
	void *ctx;
};

/* A private connection; it is made as soon as there is a bus, and made anew. NULL: no memory. */
struct bus *bus_new(struct bus_hub *hub, struct bus_events events);
void bus_free(struct bus *b);

/* There is a connection, and what was sent on it gets read. */
bool bus_ready(const struct bus *b);
/* Queues a message and returns; false: not ready, or no memory. The caller keeps its reference. */
bool bus_send(struct bus *b, DBusMessage *m);
/*
 * The same for a method call. reply comes once from the loop, with an error message when none came in
 * timeout_ms; it does not come when the connection is lost before (events.down) or freed. False:
 * nothing was sent. Unless false, ctx_free (may be NULL) releases ctx in every case.
 */
bool bus_call(struct bus *b, DBusMessage *m, int timeout_ms, void (*reply)(void *ctx, DBusMessage *reply), void *ctx,
	      void (*ctx_free)(void *ctx));

#endif
