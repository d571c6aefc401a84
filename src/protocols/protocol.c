/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/protocol.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const char *link_kind_name(enum link_kind kind)
{
	static const char *const name[] = {
		[LINK_SERIAL] = "serial", [LINK_CAN] = "can", [LINK_BLE] = "ble", [LINK_SPI] = "spi", [LINK_MQTT] = "mqtt",
	};

	return name[kind];
}

void request_start(struct request *out, const struct protocol *p, uint8_t address, uint8_t dialect, uint16_t code,
		   uint16_t arg)
{
	*out = (struct request){
		.code = code,
		.arg = arg,
		.address = address,
		.dialect = dialect,
		.first_ms = p->timing.first_ms,
		.gap_ms = p->timing.gap_ms,
	};
}

void request_put(struct request *out, struct bytes b)
{
	assert(b.n <= sizeof(out->tx) - out->n);
	memcpy(out->tx + out->n, b.p, b.n);
	out->n = (uint16_t)(out->n + b.n);
}

bool device_init(struct device *dev, const struct protocol *p, uint8_t address, uint8_t dialect,
		 const struct protocol_options *options)
{
	*dev = (struct device){.protocol = p, .address = address, .dialect = dialect};
	if (options)
		dev->options = *options;
	if (!p->state_size)
		return true;
	dev->state = calloc(1, p->state_size);
	return dev->state != NULL;
}

void device_free(struct device *dev)
{
	free(dev->state);
	dev->state = NULL;
}
