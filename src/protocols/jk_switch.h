/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How JK boards' switches are told apart from what the MOS do, whatever link they hang on. */
#ifndef PROTOCOLS_JK_SWITCH_H
#define PROTOCOLS_JK_SWITCH_H

#include "protocols/protocol.h"

enum jk_switched {
	JK_SWITCHED,	 /* the switch reads as wanted, and its MOS does so too */
	JK_MOS_DIFFERS,	 /* the switch reads as wanted, the MOS does not (yet) */
	JK_NOT_SWITCHED, /* the switch reads otherwise, or is not known */
};

/*
 * Compares settings "charge_switch", "discharge_switch", "balance_enabled" and the MOS flags as last read with
 * what the command wants. Not for COMMAND_SOC.
 */
enum jk_switched jk_switched(const struct device *dev, const struct command *c);

/* Ends the command by what was read back. */
void jk_switch_end(const struct device *dev, const struct command *c, struct next *next);

#endif
