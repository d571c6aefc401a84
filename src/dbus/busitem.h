/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A tree of paths as com.victronenergy.BusItem objects: method calls answered, changes announced. */
#ifndef BMSCOPE_DBUS_BUSITEM_H
#define BMSCOPE_DBUS_BUSITEM_H

#include <dbus/dbus.h>

#include "dbus/tree.h"

#define BUSITEM_INTERFACE "com.victronenergy.BusItem"

/* What SetValue answers. */
enum { SET_DONE = 0, SET_NOT_WRITABLE = 1, SET_REFUSED = 2 };

enum written_kind {
	WRITTEN_INVALID, /* the invalid value: an empty array */
	WRITTEN_NUMBER,
	WRITTEN_TEXT,
	WRITTEN_OTHER, /* of no use on any path */
};

/* What a client writes, whatever type it came in. */
struct written {
	enum written_kind kind;
	double number;
	const char *text; /* valid UTF-8; of a NUMBER: in decimal */
	char digits[VALUE_TEXT_MAX];
};

struct busitem_owner {
	/* A client writes item; the answer of SetValue. sender may be NULL. */
	int (*set)(void *ctx, const struct item *item, const struct written *w, const char *sender);
	void *ctx;
};

/* The reply to a method call on one of t's objects. NULL: no memory. */
DBusMessage *busitem_answer(const struct tree *t, DBusMessage *call, const struct busitem_owner *owner);

/* One ItemsChanged with every item that changed since tree_sent(). NULL: no memory. */
DBusMessage *busitem_items_changed(const struct tree *t);
/* One PropertiesChanged of one item. */
DBusMessage *busitem_properties_changed(const struct item *item);

/* The question what path of service says. NULL: no memory, or these can't be names on a bus. */
DBusMessage *busitem_get_value(const char *service, const char *path);
/* The number in the answer; NAN: an error, the invalid value, no number. */
double busitem_number(DBusMessage *reply);

#endif
