/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which protocols there are, in the order of how common they are in the field: JK has about 68 % of
 * all installed systems, JBD 13 %, Daly 12 %. */
#include "protocols/protocol.h"

#include <string.h>

extern const struct protocol jk_uart_protocol;
extern const struct protocol jk_pb_protocol;
extern const struct protocol jbd_uart_protocol;
extern const struct protocol daly_uart_protocol;

static const struct protocol *const all[] = {
	&jk_uart_protocol,
	&jk_pb_protocol,
	&jbd_uart_protocol,
	&daly_uart_protocol,
	NULL,
};

const struct protocol *const *protocols_all(void)
{
	return all;
}

const struct protocol *protocol_by_id(const char *id)
{
	for (unsigned i = 0; all[i]; i++)
		if (!strcmp(all[i]->id, id))
			return all[i];
	return NULL;
}
