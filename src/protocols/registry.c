/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which protocols there are, in the order of how common they are in the field: JK has about 68 % of
 * all installed systems, JBD 13 %, Daly 12 %. */
#include "protocols/protocol.h"

#include <string.h>

extern const struct protocol jk_uart_protocol;
extern const struct protocol jk_pb_protocol;
extern const struct protocol jbd_uart_protocol;
extern const struct protocol daly_uart_protocol;
extern const struct protocol seplos_v2_protocol;
extern const struct protocol pylontech_protocol;
extern const struct protocol pace_protocol;
extern const struct protocol ant_protocol;
extern const struct protocol daly_modbus_protocol;
extern const struct protocol jbd_up16s_protocol;
extern const struct protocol seplos_v3_protocol;
extern const struct protocol eg4_lifepower_protocol;
extern const struct protocol eg4_ll_protocol;
extern const struct protocol heltec_modbus_protocol;
extern const struct protocol renogy_protocol;
extern const struct protocol felicity_protocol;
extern const struct protocol ecs_protocol;
extern const struct protocol daren485_protocol;
extern const struct protocol sinowealth_protocol;
extern const struct protocol ks48100_protocol;
extern const struct protocol hlpdata_bms4s_protocol;
extern const struct protocol mnb_protocol;
extern const struct protocol jk_can_protocol;
extern const struct protocol daly_can_protocol;
extern const struct protocol jbd_can_protocol;
extern const struct protocol rv_c_can_protocol;
extern const struct protocol ubms_can_protocol;

static const struct protocol *const all[] = {
	&jk_uart_protocol,
	&jk_pb_protocol,
	&jbd_uart_protocol,
	&daly_uart_protocol,
	&seplos_v2_protocol,
	&pylontech_protocol,
	&pace_protocol,
	&ant_protocol,
	&daly_modbus_protocol,
	&jbd_up16s_protocol,
	&seplos_v3_protocol,
	&eg4_lifepower_protocol,
	&eg4_ll_protocol,
	&heltec_modbus_protocol,
	&renogy_protocol,
	&felicity_protocol,
	&daren485_protocol,
	&sinowealth_protocol,
	&ks48100_protocol,
	&ecs_protocol,
	&hlpdata_bms4s_protocol,
	&mnb_protocol,
	&jk_can_protocol,
	&daly_can_protocol,
	&jbd_can_protocol,
	&rv_c_can_protocol,
	&ubms_can_protocol,
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
