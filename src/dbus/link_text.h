/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the link to a battery does, in words: "Connected", "Lost for: 20s | ..." (limits.md 13.3). */
#ifndef BMSCOPE_DBUS_LINK_TEXT_H
#define BMSCOPE_DBUS_LINK_TEXT_H

#include "engine/engine.h"

/* All zero bytes at the start. */
struct link_text {
	bool started;
	uint64_t errors_clean; /* snapshot.errors when all was well */
	uint64_t errors_seen;
	uint64_t first_error_ms, last_error_ms;
	uint64_t shown_ms;
	int shown;
	char text[160];
};

/* Follows the battery; changes text at once when things turn, else every 10 s at most. */
void link_text_update(struct link_text *link, const struct snapshot *s, const struct config *config, uint64_t now_ms);

#endif
