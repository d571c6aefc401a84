/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Newer Daly boards on RS485 and UART: Modbus frames of one of two register maps, sheet daly-modbus-ble. */
#include "protocols/daly_registers.h"

extern const struct protocol daly_modbus_protocol;

static bool parse_request(struct bytes tx, struct request *out)
{
	return daly_map_parse_request(&daly_modbus_protocol, tx, out);
}

static const struct line lines[] = {{9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {NULL};

/* Reads of slaves 210 and 129: harmless to anybody (sheet 4). */
static const struct probe probes[] = {
	{DALY_LIVE, 0, 0, 0, DALY_D2, 0, 150, false},
	{DALY_LIVE, 0, DALY_FIRST_BOARD, DALY_LAST_BOARD, DALY_P81, 1, 150, false},
};

const struct protocol daly_modbus_protocol = {
	.id = "daly-modbus",
	.title = "Daly since 2022 (H, K, M, S series, 100Balance, ESS boards, active balancers), Modbus frames",
	.manufacturer = "Daly",
	.bms_types = bms_types,
	.link = LINK_SERIAL,
	.also_ble = true,
	.lines = lines,
	.timing = {.first_ms = 1000,
		   .gap_ms = 100,
		   .pause_ms = 50,
		   .late_ms = 400,
		   .scan_ms = 300,
		   .tries = 3,
		   .poll_ms = 1000},
	.series = SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING,
	.quantities = DALY_QUANTITIES,
	.flags = DALY_FLAGS,
	.alarms = DALY_ALARMS,
	.commands = DALY_COMMANDS,
	.first_address = DALY_FIRST_BOARD,
	.last_address = DALY_LAST_BOARD,
	.point_to_point = 1 << DALY_D2,
	.state_size = sizeof(struct daly_state),
	.polls = daly_polls,
	.poll_count = DALY_POLLS,
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {DALY_CONFIRM},
	.confirm_count = 1,
	.encode = daly_map_encode,
	.find_frame = daly_map_find_frame,
	.take = daly_map_take,
	.plausible = daly_map_plausible,
	.parse_request = parse_request,
	.proceed = daly_map_proceed,
};
