/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What may have been meant by a name that no option has. Only this room includes it. */
#ifndef CONFIG_SUGGEST_H
#define CONFIG_SUGGEST_H

#include <stddef.h>

/* A sentence for V01: "renamed to X", "did you mean X?"; "" when nothing is near. */
void suggest_option(const char *name, char *say, size_t size);

#endif
