/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "play.h"

#include <stdio.h>
#include <stdlib.h>

static struct exchange exchange;
static struct line_stats stats;

static void fail(const char *say)
{
	fprintf(stderr, "test is wrong: %s\n", say);
	abort();
}

struct device fresh_device(const char *protocol, uint8_t address, uint8_t dialect)
{
	struct device dev = {0};
	const struct protocol *p = protocol_by_id(protocol);

	if (!p || !device_init(&dev, p, address, dialect, NULL))
		fail(protocol);
	return dev;
}

static enum exchange_state run(struct device *dev, const struct request *request, const char *const *rx, char *error)
{
	uint8_t buf[EXCHANGE_INBOX];
	uint64_t now = 1000;

	exchange_begin(&exchange, dev, request, &stats, now, 0);
	for (; *rx; rx++) {
		int n = bytes_from_hex(*rx, buf, sizeof(buf));

		if (n < 0)
			fail(*rx);
		exchange_receive(&exchange, (struct bytes){buf, (size_t)n}, ++now);
	}
	exchange_finish(&exchange, now + 10000);
	if (error)
		snprintf(error, 128, "%s", exchange.state == EXCHANGE_REFUSED && exchange.why ? exchange.why
											      : exchange.error);
	return exchange.state;
}

enum exchange_state play(struct device *dev, uint16_t code, uint16_t arg, const char *const *rx, char *error)
{
	struct request request;

	if (!dev->protocol->encode(dev, code, arg, &request))
		fail("no such request");
	return run(dev, &request, rx, error);
}

enum exchange_state play_tx(struct device *dev, const char *tx, const char *const *rx, char *error)
{
	struct request request;
	uint8_t buf[MAX_REQUEST];
	int n = bytes_from_hex(tx, buf, sizeof(buf));

	if (n < 0 || !dev->protocol->parse_request((struct bytes){buf, (size_t)n}, &request))
		fail(tx);
	return run(dev, &request, rx, error);
}

const char *request_hex(struct device *dev, uint16_t code, uint16_t arg)
{
	static char hex[2 * MAX_REQUEST + 1];
	struct request request;

	if (!dev->protocol->encode(dev, code, arg, &request))
		fail("no such request");
	bytes_hex((struct bytes){request.tx, request.n}, hex, sizeof(hex));
	return hex;
}
