/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Daly Smart BMS on a serial line: 13-byte frames that begin with A5, sheet daly-uart. What they say is
 * daly_payload.h's. Two dialects of the request: host addresses 40..4F, one per board, and 80, the Bluetooth
 * dongle's, which means board 1. */
#include <string.h>

#include "protocols/checksum.h"
#include "protocols/daly_payload.h"

extern const struct protocol daly_uart_protocol;

enum dialect { HOST_40, HOST_80 };

enum {
	FRAME_SIZE = 13,
	DATA_AT = 4,
	HOST_FIRST = 0x3f, /* + board number */
	HOST_DONGLE = 0x80,
};

/* ---- framing: sheet 3 ---- */

static int daly_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why)
{
	const uint8_t *start = memchr(in.p, 0xa5, in.n);

	(void)pending;
	if (start != in.p)
		return start ? -(int)(start - in.p) : -(int)in.n;
	if (bytes_has(in, 3, 1) && u8_at(in, 3) != DALY_DATA_SIZE)
		return -1;
	if (!bytes_has(in, 0, FRAME_SIZE)) {
		if (!quiet)
			return 0;
		*why = "frame cut short";
		return -1;
	}
	if (sum8(bytes_sub(in, 0, FRAME_SIZE - 1)) != u8_at(in, FRAME_SIZE - 1)) {
		*why = "checksum";
		return -1;
	}
	return FRAME_SIZE;
}

/* ---- requests ---- */

/* arg: of the MOS switches 1 on, 0 off; of 21 the SoC in 0.1 %; else 0. */
static bool daly_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	uint8_t tx[FRAME_SIZE] = {0xa5, (uint8_t)(HOST_FIRST + dev->address), (uint8_t)code, DALY_DATA_SIZE};

	if (dev->address < 1 || dev->address > DALY_MAX_BOARD)
		return false;
	if (dev->dialect == HOST_80) {
		if (dev->address != 1)
			return false;
		tx[1] = HOST_DONGLE;
	}
	daly_put_data(dev, code, arg, tx + DATA_AT);
	tx[FRAME_SIZE - 1] = sum8((struct bytes){tx, FRAME_SIZE - 1});
	request_start(out, dev->protocol, dev->address, dev->dialect, code, arg);
	request_put(out, (struct bytes){tx, FRAME_SIZE});
	out->writes = daly_is_write(code);
	return true;
}

static bool daly_parse_request(struct bytes tx, struct request *out)
{
	uint8_t host = u8_at(tx, 1), code = u8_at(tx, 2);
	bool dongle = host == HOST_DONGLE;

	if (tx.n != FRAME_SIZE || u8_at(tx, 0) != 0xa5 || u8_at(tx, 3) != DALY_DATA_SIZE)
		return false;
	if (!dongle && (host <= HOST_FIRST || host > HOST_FIRST + DALY_MAX_BOARD))
		return false;
	if (sum8(bytes_sub(tx, 0, FRAME_SIZE - 1)) != u8_at(tx, FRAME_SIZE - 1))
		return false;
	request_start(out, &daly_uart_protocol, dongle ? 1 : (uint8_t)(host - HOST_FIRST), dongle ? HOST_80 : HOST_40,
		      code, 0);
	out->arg = daly_data_arg(code, bytes_sub(tx, DATA_AT, DALY_DATA_SIZE));
	out->writes = daly_is_write(code);
	request_put(out, tx);
	return true;
}

static enum verdict daly_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why)
{
	/* A board's own number is below 20; what is above is a request that comes back (sheet 2). */
	if (frame.n &&
	    (frame.n != FRAME_SIZE || u8_at(frame, 1) != pending->address || u8_at(frame, 2) != pending->code))
		return FRAME_FOREIGN;
	return daly_take_data(dev, pending, bytes_sub(frame, DATA_AT, DALY_DATA_SIZE), false, why);
}

/* ---- what the engine needs to know ---- */

static const struct line lines[] = {{9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"Daly", NULL};

/*
 * The required rows but 94 and 92 fill half a second of every poll; the others come now and then, and
 * rarely two in the same poll. 91 and 92 only stand in for 95 and 96: what these tell needs no summary
 * of another moment.
 */
static const struct poll polls[] = {
	{DALY_CMD_PACK, 0, EVERY_POLL, true, NULL},
	{DALY_CMD_STATUS, 0, 11000, true, NULL},
	{DALY_CMD_MOS, 0, EVERY_POLL, true, NULL},
	{DALY_CMD_CELLS, 0, EVERY_POLL, true, NULL},
	{DALY_CMD_ALARMS, 0, EVERY_POLL, true, NULL},
	{DALY_CMD_TEMP_RANGE, 0, 2000, true, daly_temperatures_unknown},
	{DALY_CMD_TEMPERATURES, 0, 3000, false, daly_has_sensors},
	{DALY_CMD_BALANCING, 0, 2000, false, NULL},
	{DALY_CMD_CAPACITY, 0, ONCE, false, NULL},
	{DALY_CMD_BATTERY_CODE, 0, ONCE, false, NULL},
	{DALY_CMD_FIRMWARE, 0, ONCE, false, NULL},
	{DALY_CMD_HARDWARE, 0, ONCE, false, NULL},
	{DALY_CMD_TYPE, 0, ONCE, false, NULL},
	{DALY_CMD_BOARDS, 0, ONCE, false, NULL},
	{DALY_CMD_TOTALS, 0, 61000, false, NULL},
	{DALY_CMD_CELL_THRESHOLDS, 0, 300000, false, NULL},
	{DALY_CMD_PACK_THRESHOLDS, 0, 301000, false, NULL},
	{DALY_CMD_CURRENT_THRESHOLDS, 0, 302000, false, NULL},
	{DALY_CMD_BALANCE_THRESHOLDS, 0, 303000, false, NULL},
	{DALY_CMD_SHORT_CIRCUIT, 0, 304000, false, NULL},
	{DALY_CMD_TEMPERATURE_THRESHOLDS, 0, 305000, false, NULL},
	{DALY_CMD_SOC_THRESHOLDS, 0, 306000, false, NULL},
	{DALY_CMD_DIFFERENCE_THRESHOLDS, 0, 307000, false, NULL},
	{DALY_CMD_CELL_RANGE, 0, 2000, false, daly_cells_unknown},
};

static const struct probe probes[] = {
	{DALY_CMD_STATUS, 0, 1, DALY_MAX_BOARD, HOST_40, 0, 100, false},
	/* Not behind the other one: a slow answer to 40 would pass for one to 80. */
	{DALY_CMD_STATUS, 0, 1, 1, HOST_80, 1, 100, false},
	{DALY_CMD_STATUS, 0, 1, 1, HOST_40, 1, 200, false},
};

const struct protocol daly_uart_protocol = {
	.id = "daly-uart",
	.title = "Daly Smart BMS (A5 frames), MGod, 100Balance",
	.manufacturer = "Daly",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 300,
		   .gap_ms = 100,
		   .pause_ms = 20,
		   .late_ms = 300,
		   .scan_ms = 150,
		   .tries = 3,
		   .poll_ms = 1000},
	.quantities = DALY_QUANTITIES,
	.series = DALY_SERIES,
	.flags = DALY_FLAGS,
	.alarms = DALY_ALARMS,
	.commands = DALY_COMMANDS,
	.first_address = 1,
	.last_address = DALY_MAX_BOARD,
	.point_to_point = 1 << HOST_80,
	.state_size = sizeof(struct daly_payload_state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {DALY_CMD_PACK}, /* 93 as well would cost 100 ms of everybody's start; the first poll asks it */
	.confirm_count = 1,
	.encode = daly_encode,
	.find_frame = daly_find_frame,
	.take = daly_take,
	.plausible = daly_plausible,
	.parse_request = daly_parse_request,
	.proceed = daly_proceed,
};
