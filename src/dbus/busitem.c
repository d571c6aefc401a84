/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dbus/busitem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values on the wire: contract 1.2 ---- */

/* Text from a wire or a file may be anything; libdbus ends the process over what is no UTF-8. */
static bool append_text(DBusMessageIter *to, const char *text)
{
	if (dbus_validate_utf8(text, NULL))
		return dbus_message_iter_append_basic(to, DBUS_TYPE_STRING, &text);
	size_t size = strlen(text) + 1;
	char *clean = malloc(size);

	if (!clean)
		return false;
	utf8_clean(text, clean, size);
	bool ok = dbus_message_iter_append_basic(to, DBUS_TYPE_STRING, &clean);
	free(clean);
	return ok;
}

static bool append_text_variant(DBusMessageIter *to, const char *text)
{
	DBusMessageIter in;

	return dbus_message_iter_open_container(to, DBUS_TYPE_VARIANT, "s", &in) && append_text(&in, text) &&
	       dbus_message_iter_close_container(to, &in);
}

/* A variant of an array without an element: "ai" is the invalid value, "au" a list that is empty. */
static bool append_empty(DBusMessageIter *to, const char *signature)
{
	DBusMessageIter in, none;

	return dbus_message_iter_open_container(to, DBUS_TYPE_VARIANT, signature, &in) &&
	       dbus_message_iter_open_container(&in, DBUS_TYPE_ARRAY, signature + 1, &none) &&
	       dbus_message_iter_close_container(&in, &none) && dbus_message_iter_close_container(to, &in);
}

static bool append_basic_variant(DBusMessageIter *to, int type, const void *value)
{
	const char signature[2] = {(char)type, 0};
	DBusMessageIter in;

	return dbus_message_iter_open_container(to, DBUS_TYPE_VARIANT, signature, &in) &&
	       dbus_message_iter_append_basic(&in, type, value) && dbus_message_iter_close_container(to, &in);
}

static bool append_count(DBusMessageIter *to, int64_t count)
{
	dbus_int32_t narrow = (dbus_int32_t)count;
	dbus_int64_t wide = count;

	if (count == narrow)
		return append_basic_variant(to, DBUS_TYPE_INT32, &narrow);
	return append_basic_variant(to, DBUS_TYPE_INT64, &wide);
}

static bool append_elements(DBusMessageIter *array, const struct value *v)
{
	const char *words = v->text;
	char word[CONFIG_MAX_TEXT];

	if (v->kind == VALUE_WORDS) {
		while (words_next(&words, word, sizeof(word)))
			if (!append_text_variant(array, word))
				return false;
		return true;
	}
	for (unsigned i = 0; i < v->list->n; i++) {
		double number = v->list->v[i];

		if (!(v->kind == VALUE_COUNTS ? append_count(array, (int64_t)number)
					      : append_basic_variant(array, DBUS_TYPE_DOUBLE, &number)))
			return false;
	}
	return true;
}

static bool append_list(DBusMessageIter *to, const struct value *v)
{
	const char *words = v->kind == VALUE_WORDS ? v->text : "";
	char word[CONFIG_MAX_TEXT];
	DBusMessageIter in, array;

	if (v->kind == VALUE_WORDS ? !words_next(&words, word, sizeof(word)) : !v->list->n)
		return append_empty(to, "au");
	return dbus_message_iter_open_container(to, DBUS_TYPE_VARIANT, "av", &in) &&
	       dbus_message_iter_open_container(&in, DBUS_TYPE_ARRAY, "v", &array) && append_elements(&array, v) &&
	       dbus_message_iter_close_container(&in, &array) && dbus_message_iter_close_container(to, &in);
}

static bool append_value(DBusMessageIter *to, const struct value *v)
{
	switch (v->kind) {
	case VALUE_NUMBER:
		return append_basic_variant(to, DBUS_TYPE_DOUBLE, &v->number);
	case VALUE_COUNT:
		return append_count(to, v->count);
	case VALUE_TEXT:
		return append_text_variant(to, v->text);
	case VALUE_FLAG:
		return append_basic_variant(to, DBUS_TYPE_BOOLEAN, &(dbus_bool_t){v->count != 0});
	case VALUE_NUMBERS:
	case VALUE_COUNTS:
	case VALUE_WORDS:
		return append_list(to, v);
	case VALUE_INVALID:
		break;
	}
	return append_empty(to, "ai");
}

static bool append_value_of(DBusMessageIter *to, const struct item *item)
{
	return append_value(to, &item->value);
}

static bool append_text_of(DBusMessageIter *to, const struct item *item)
{
	char text[VALUE_TEXT_MAX];

	return append_text_variant(to, item_show(item, text));
}

/* ---- dictionaries ---- */

static bool append_entry(DBusMessageIter *dict, const char *key, bool (*append)(DBusMessageIter *, const struct item *),
			 const struct item *item)
{
	DBusMessageIter entry;

	return dbus_message_iter_open_container(dict, DBUS_TYPE_DICT_ENTRY, NULL, &entry) &&
	       dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &key) && append(&entry, item) &&
	       dbus_message_iter_close_container(dict, &entry);
}

static bool append_bound(DBusMessageIter *dict, const char *key, int64_t bound)
{
	DBusMessageIter entry;

	return dbus_message_iter_open_container(dict, DBUS_TYPE_DICT_ENTRY, NULL, &entry) &&
	       dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &key) && append_count(&entry, bound) &&
	       dbus_message_iter_close_container(dict, &entry);
}

/* a{sv}: Value, Text, and Min, Max, Default where there are any. */
static bool append_properties(DBusMessageIter *to, const struct item *item)
{
	int64_t min, max, start;
	DBusMessageIter dict;

	if (!dbus_message_iter_open_container(to, DBUS_TYPE_ARRAY, "{sv}", &dict) ||
	    !append_entry(&dict, "Value", append_value_of, item) || !append_entry(&dict, "Text", append_text_of, item))
		return false;
	if (item_range(item, &min, &max, &start) &&
	    (!append_bound(&dict, "Min", min) || !append_bound(&dict, "Max", max) ||
	     !append_bound(&dict, "Default", start)))
		return false;
	return dbus_message_iter_close_container(to, &dict);
}

/* a{sa{sv}} of all items, or of those that changed. */
static bool append_items(DBusMessageIter *to, const struct tree *t, bool changed)
{
	DBusMessageIter dict;

	if (!dbus_message_iter_open_container(to, DBUS_TYPE_ARRAY, "{sa{sv}}", &dict))
		return false;
	for (unsigned i = 0; i < t->count; i++)
		if ((!changed || t->item[i].changed) &&
		    !append_entry(&dict, t->item[i].path, append_properties, &t->item[i]))
			return false;
	return dbus_message_iter_close_container(to, &dict);
}

static DBusMessage *whole(DBusMessage *m, bool ok)
{
	if (m && !ok) {
		dbus_message_unref(m);
		return NULL;
	}
	return m;
}

DBusMessage *busitem_items_changed(const struct tree *t)
{
	DBusMessage *m = dbus_message_new_signal("/", BUSITEM_INTERFACE, "ItemsChanged");
	DBusMessageIter to;

	if (!m)
		return NULL;
	dbus_message_iter_init_append(m, &to);
	return whole(m, append_items(&to, t, true));
}

DBusMessage *busitem_properties_changed(const struct item *item)
{
	DBusMessage *m = dbus_message_new_signal(item->path, BUSITEM_INTERFACE, "PropertiesChanged");
	DBusMessageIter to;

	if (!m)
		return NULL;
	dbus_message_iter_init_append(m, &to);
	return whole(m, append_properties(&to, item));
}

/* ---- what a client writes ---- */

static double number_of(DBusMessageIter *from, int type)
{
	DBusBasicValue v;

	dbus_message_iter_get_basic(from, &v);
	switch (type) {
	case DBUS_TYPE_BYTE:
		return v.byt;
	case DBUS_TYPE_BOOLEAN:
		return v.bool_val;
	case DBUS_TYPE_INT16:
		return v.i16;
	case DBUS_TYPE_UINT16:
		return v.u16;
	case DBUS_TYPE_INT32:
		return v.i32;
	case DBUS_TYPE_UINT32:
		return v.u32;
	case DBUS_TYPE_INT64:
		return (double)v.i64;
	case DBUS_TYPE_UINT64:
		return (double)v.u64;
	case DBUS_TYPE_DOUBLE:
		return v.dbl;
	default:
		return NAN;
	}
}

static void read_number(struct written *w, double number)
{
	bool whole_number = fabs(number) < 1e15 && number == rint(number);
	struct value v = whole_number ? value_count(number) : value_number(number);

	if (v.kind == VALUE_INVALID)
		return; /* NAN, infinity */
	w->kind = WRITTEN_NUMBER;
	w->number = number;
	w->text = value_show(&v, FORM_PLAIN, w->digits);
}

/* Unwraps variants; libdbus lets none in that is wrapped too deep. */
static void read_written(DBusMessageIter *from, struct written *w)
{
	DBusMessageIter at = *from;
	int type;

	w->kind = WRITTEN_OTHER;
	w->text = "";
	while ((type = dbus_message_iter_get_arg_type(&at)) == DBUS_TYPE_VARIANT) {
		DBusMessageIter in;

		dbus_message_iter_recurse(&at, &in);
		at = in;
	}
	if (type == DBUS_TYPE_ARRAY) {
		if (!dbus_message_iter_get_element_count(&at))
			w->kind = WRITTEN_INVALID;
	} else if (type == DBUS_TYPE_STRING) {
		w->kind = WRITTEN_TEXT;
		dbus_message_iter_get_basic(&at, &w->text);
	} else if (dbus_type_is_basic(type) && type != DBUS_TYPE_UNIX_FD) {
		read_number(w, number_of(&at, type));
	}
}

/* ---- what others say ---- */

DBusMessage *busitem_get_value(const char *service, const char *path)
{
	if (!dbus_validate_bus_name(service, NULL) || !dbus_validate_path(path, NULL))
		return NULL;
	return dbus_message_new_method_call(service, path, BUSITEM_INTERFACE, "GetValue");
}

double busitem_number(DBusMessage *reply)
{
	struct written w = {.kind = WRITTEN_OTHER};
	DBusMessageIter from;

	if (dbus_message_get_type(reply) == DBUS_MESSAGE_TYPE_METHOD_RETURN && dbus_message_iter_init(reply, &from))
		read_written(&from, &w);
	return w.kind == WRITTEN_NUMBER ? w.number : NAN;
}

/* ---- calls ---- */

static DBusMessage *refuse(DBusMessage *call, const char *error, const char *text)
{
	return dbus_message_new_error(call, error, text);
}

static DBusMessage *unknown_method(DBusMessage *call)
{
	return refuse(call, DBUS_ERROR_UNKNOWN_METHOD, "no such method on this object");
}

static DBusMessage *set_value(const struct item *item, DBusMessage *call, const struct busitem_owner *owner)
{
	struct written w;
	DBusMessageIter from;

	if (!dbus_message_iter_init(call, &from))
		return refuse(call, DBUS_ERROR_INVALID_ARGS, "SetValue takes one value");
	DBusMessageIter more = from;
	if (dbus_message_iter_next(&more))
		return refuse(call, DBUS_ERROR_INVALID_ARGS, "SetValue takes one value");
	read_written(&from, &w);
	/* The owner announces what has changed before this reply is sent. */
	dbus_int32_t answer = owner->set(owner->ctx, item, &w, dbus_message_get_sender(call));
	DBusMessage *reply = dbus_message_new_method_return(call);
	return whole(reply, reply && dbus_message_append_args(reply, DBUS_TYPE_INT32, &answer, DBUS_TYPE_INVALID));
}

/* ---- questions ---- */

static DBusMessage *reply_with(DBusMessage *call, const struct value *v)
{
	DBusMessage *reply = dbus_message_new_method_return(call);
	DBusMessageIter to;

	if (!reply)
		return NULL;
	dbus_message_iter_init_append(reply, &to);
	return whole(reply, append_value(&to, v));
}

static DBusMessage *reply_text(DBusMessage *call, const char *text)
{
	DBusMessage *reply = dbus_message_new_method_return(call);
	DBusMessageIter to;

	if (!reply)
		return NULL;
	dbus_message_iter_init_append(reply, &to);
	return whole(reply, append_text(&to, text));
}

static DBusMessage *reply_bound(DBusMessage *call, const struct item *item, const char *member)
{
	struct value v = {.kind = VALUE_INVALID};
	int64_t min, max, start;

	if (item_range(item, &min, &max, &start)) {
		v.kind = VALUE_COUNT;
		v.count = !strcmp(member, "GetMin") ? min : !strcmp(member, "GetMax") ? max : start;
	}
	return reply_with(call, &v);
}

static DBusMessage *answer_leaf(const struct item *item, DBusMessage *call, const char *member,
				const struct busitem_owner *owner)
{
	char text[VALUE_TEXT_MAX];

	if (!strcmp(member, "GetValue"))
		return reply_with(call, &item->value);
	if (!strcmp(member, "GetText"))
		return reply_text(call, item_show(item, text));
	if (!strcmp(member, "SetValue"))
		return set_value(item, call, owner);
	if (!strcmp(member, "GetDescription"))
		return reply_text(call, "");
	if (!strcmp(member, "GetMin") || !strcmp(member, "GetMax") || !strcmp(member, "GetDefault"))
		return reply_bound(call, item, member);
	return unknown_method(call);
}

/* A variant of a{sv} or a{ss} whose keys are the paths below the group. */
static bool append_group(DBusMessageIter *to, const struct item *first, unsigned n, size_t prefix, bool text)
{
	DBusMessageIter in, dict;

	if (!dbus_message_iter_open_container(to, DBUS_TYPE_VARIANT, text ? "a{ss}" : "a{sv}", &in) ||
	    !dbus_message_iter_open_container(&in, DBUS_TYPE_ARRAY, text ? "{ss}" : "{sv}", &dict))
		return false;
	for (unsigned i = 0; i < n; i++) {
		const char *key = first[i].path + prefix;
		char shown[VALUE_TEXT_MAX];
		DBusMessageIter entry;

		if (!dbus_message_iter_open_container(&dict, DBUS_TYPE_DICT_ENTRY, NULL, &entry) ||
		    !dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &key) ||
		    !(text ? append_text(&entry, item_show(&first[i], shown))
			   : append_value(&entry, &first[i].value)) ||
		    !dbus_message_iter_close_container(&dict, &entry))
			return false;
	}
	return dbus_message_iter_close_container(&in, &dict) && dbus_message_iter_close_container(to, &in);
}

static DBusMessage *answer_group(const struct tree *t, const struct item *first, unsigned n, DBusMessage *call,
				 const char *member)
{
	const char *path = dbus_message_get_path(call);
	bool root = !strcmp(path, "/");
	bool items = root && !strcmp(member, "GetItems");
	bool text = !strcmp(member, "GetText");
	DBusMessageIter to;

	if (!items && !text && strcmp(member, "GetValue") != 0)
		return unknown_method(call);
	DBusMessage *reply = dbus_message_new_method_return(call);
	if (!reply)
		return NULL;
	dbus_message_iter_init_append(reply, &to);
	if (items)
		return whole(reply, append_items(&to, t, false));
	return whole(reply, append_group(&to, first, n, root ? 1 : strlen(path) + 1, text));
}

/* ---- introspection ---- */

static const char leaf_interface[] =
	"  <method name=\"GetValue\"><arg direction=\"out\" type=\"v\"/></method>\n"
	"  <method name=\"GetText\"><arg direction=\"out\" type=\"s\"/></method>\n"
	"  <method name=\"SetValue\"><arg direction=\"in\" type=\"v\" name=\"value\"/>"
	"<arg direction=\"out\" type=\"i\"/></method>\n"
	"  <method name=\"GetMin\"><arg direction=\"out\" type=\"v\"/></method>\n"
	"  <method name=\"GetMax\"><arg direction=\"out\" type=\"v\"/></method>\n"
	"  <method name=\"GetDefault\"><arg direction=\"out\" type=\"v\"/></method>\n"
	"  <method name=\"GetDescription\">"
	"<arg direction=\"in\" type=\"s\" name=\"language\"/>"
	"<arg direction=\"in\" type=\"i\" name=\"length\"/>"
	"<arg direction=\"out\" type=\"s\"/></method>\n"
	"  <signal name=\"PropertiesChanged\"><arg type=\"a{sv}\" name=\"changes\"/></signal>\n";

static const char group_interface[] = "  <method name=\"GetValue\"><arg direction=\"out\" type=\"v\"/></method>\n"
				      "  <method name=\"GetText\"><arg direction=\"out\" type=\"v\"/></method>\n";

static const char root_interface[] =
	"  <method name=\"GetItems\"><arg direction=\"out\" type=\"a{sa{sv}}\"/></method>\n"
	"  <signal name=\"ItemsChanged\"><arg type=\"a{sa{sv}}\" name=\"changes\"/></signal>\n";

/* The names right below the group, each once: equal ones lie side by side. */
static void introspect_children(FILE *f, const struct item *first, unsigned n, size_t prefix)
{
	const char *last = "";
	size_t last_n = 0;

	for (unsigned i = 0; i < n; i++) {
		const char *name = first[i].path + prefix;
		size_t length = strcspn(name, "/");

		if (length == last_n && !strncmp(name, last, length))
			continue;
		fprintf(f, " <node name=\"%.*s\"/>\n", (int)length, name);
		last = name;
		last_n = length;
	}
}

static DBusMessage *introspect(DBusMessage *call, const struct item *item, const struct item *first, unsigned n)
{
	const char *path = dbus_message_get_path(call);
	bool root = !strcmp(path, "/");
	char *xml = NULL;
	size_t size;
	FILE *f = open_memstream(&xml, &size);
	DBusMessage *reply = NULL;

	if (!f)
		return NULL;
	fprintf(f, "%s<node>\n <interface name=\"" BUSITEM_INTERFACE "\">\n%s%s </interface>\n",
		DBUS_INTROSPECT_1_0_XML_DOCTYPE_DECL_NODE, item ? leaf_interface : group_interface,
		root ? root_interface : "");
	fputs(" <interface name=\"" DBUS_INTERFACE_INTROSPECTABLE "\">\n"
	      "  <method name=\"Introspect\"><arg direction=\"out\" type=\"s\"/></method>\n </interface>\n",
	      f);
	introspect_children(f, first, n, root ? 1 : strlen(path) + 1);
	fputs("</node>\n", f);
	if (!fclose(f))
		reply = reply_text(call, xml);
	free(xml);
	return reply;
}

DBusMessage *busitem_answer(const struct tree *t, DBusMessage *call, const struct busitem_owner *owner)
{
	const char *path = dbus_message_get_path(call);
	const char *interface = dbus_message_get_interface(call); /* NULL: whichever has that method */
	const char *member = dbus_message_get_member(call);
	const struct item *item = tree_find(t, path), *first;
	unsigned n = tree_group(t, path, &first);

	if (!item && !n)
		return refuse(call, DBUS_ERROR_UNKNOWN_OBJECT, "no such path");
	if ((!interface || !strcmp(interface, DBUS_INTERFACE_INTROSPECTABLE)) && !strcmp(member, "Introspect"))
		return introspect(call, item, first, n);
	if (interface && strcmp(interface, BUSITEM_INTERFACE) != 0)
		return unknown_method(call);
	return item ? answer_leaf(item, call, member, owner) : answer_group(t, first, n, call, member);
}
