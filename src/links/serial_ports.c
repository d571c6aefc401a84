/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which serial ports there are, and the news that one has come or gone. */
#include "config.h"

#include "links/serial.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <libserialport.h>

/* ---- listing ---- */

/* What an adapter says of itself may be anything. */
static void copy(char out[SERIAL_TEXT], const char *text)
{
	out[0] = 0;
	if (text)
		bytes_text((struct bytes){(const uint8_t *)text, strlen(text)}, out, SERIAL_TEXT);
}

static void describe(struct serial_port *out, const struct sp_port *port)
{
	memset(out, 0, sizeof(*out));
	out->usb_vid = out->usb_pid = -1;
	copy(out->path, sp_get_port_name(port));
	/* Where there is nothing to say, the library repeats the name. */
	copy(out->description, sp_get_port_description(port));
	if (out->description[0] && strstr(out->path, out->description))
		out->description[0] = 0;
	if (sp_get_port_transport(port) != SP_TRANSPORT_USB)
		return;
	if (sp_get_port_usb_product(port))
		copy(out->description, sp_get_port_usb_product(port));
	copy(out->manufacturer, sp_get_port_usb_manufacturer(port));
	copy(out->usb_serial, sp_get_port_usb_serial(port));
	if (sp_get_port_usb_vid_pid(port, &out->usb_vid, &out->usb_pid) != SP_OK)
		out->usb_vid = out->usb_pid = -1;
}

/* ttyUSB2 before ttyUSB10. */
static int by_name(const void *a, const void *b)
{
	return strverscmp(sp_get_port_name(*(struct sp_port *const *)a), sp_get_port_name(*(struct sp_port *const *)b));
}

unsigned serial_list(struct serial_port *out, unsigned max)
{
	struct sp_port **list;
	unsigned total = 0, n;

	if (sp_list_ports(&list) != SP_OK)
		return 0;
	while (list[total])
		total++;
	qsort(list, total, sizeof(*list), by_name);
	for (n = 0; n < total && n < max; n++)
		describe(&out[n], list[n]);
	sp_free_port_list(list);
	return n;
}

/* ---- watching ---- */

enum { SETTLE_MS = 300 }; /* an adapter brings several events, and udev's part takes a moment */

struct serial_watch {
	uv_fs_event_t dev, by_id;
	uv_timer_t settle;
	void (*changed)(void *ctx);
	void *ctx;
	unsigned open_handles;
};

/* Terminals that no cable leads to: tty, tty0..63. */
static bool is_screen(const char *name)
{
	return !strncmp(name, "tty", 3) && strspn(name + 3, "0123456789") == strlen(name + 3);
}

static bool may_be_serial(const char *name)
{
	static const char *const beginnings[] = {"tty", "rfcomm", "serial"};

	for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
		if (!strncmp(name, beginnings[i], strlen(beginnings[i])))
			return !is_screen(name);
	return false;
}

static void on_event(uv_fs_event_t *event, const char *name, int events, int status);

/* The folder comes with the first adapter and goes with the last: each time it may be another one. */
static void watch_by_id(struct serial_watch *w)
{
	uv_fs_event_stop(&w->by_id);
	uv_fs_event_start(&w->by_id, on_event, "/dev/serial/by-id", 0);
}

static void on_settled(uv_timer_t *timer)
{
	struct serial_watch *w = timer->data;

	watch_by_id(w);
	w->changed(w->ctx);
}

/* Whatever happened: a change of owner or mode is udev that gives us the permission. */
static void on_event(uv_fs_event_t *event, const char *name, int events, int status)
{
	struct serial_watch *w = event->data;

	(void)events;
	if (status < 0 || (event == &w->dev && !(name && may_be_serial(name))))
		return;
	/* From the first event on: a device that keeps coming and going must not put it off for ever. */
	if (!uv_is_active((uv_handle_t *)&w->settle))
		uv_timer_start(&w->settle, on_settled, SETTLE_MS, 0);
}

struct serial_watch *serial_watch_new(uv_loop_t *loop, void (*changed)(void *ctx), void *ctx, int *error)
{
	struct serial_watch *w = calloc(1, sizeof(*w));

	*error = ENOMEM;
	if (!w)
		return NULL;
	w->changed = changed;
	w->ctx = ctx;
	w->dev.data = w->by_id.data = w->settle.data = w;
	uv_fs_event_init(loop, &w->dev);
	uv_fs_event_init(loop, &w->by_id);
	uv_timer_init(loop, &w->settle);
	w->open_handles = 3;
	*error = -uv_fs_event_start(&w->dev, on_event, "/dev", 0);
	if (*error) {
		serial_watch_free(w);
		return NULL;
	}
	watch_by_id(w);
	return w;
}

static void on_closed(uv_handle_t *handle)
{
	struct serial_watch *w = handle->data;

	if (!--w->open_handles)
		free(w);
}

void serial_watch_free(struct serial_watch *w)
{
	if (!w)
		return;
	uv_close((uv_handle_t *)&w->dev, on_closed);
	uv_close((uv_handle_t *)&w->by_id, on_closed);
	uv_close((uv_handle_t *)&w->settle, on_closed);
}
