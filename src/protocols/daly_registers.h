/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Newer Daly boards: Modbus reads and single writes, in one of two register maps, sheet daly-modbus-ble. What it
 * shares on a wire and through Bluetooth: requests, replies, commands. A protocol adds its line and its probes.
 */
#ifndef PROTOCOLS_DALY_REGISTERS_H
#define PROTOCOLS_DALY_REGISTERS_H

#include "protocols/protocol.h"

/* The dialects: D2 has no board numbers (device.address is 0); P81 asks board n at 80 + n, it answers with 50 + n. */
enum daly_map { DALY_D2, DALY_P81 };

enum { DALY_FIRST_BOARD = 1, DALY_LAST_BOARD = 16 };

/* Codes of requests that a protocol names itself. */
enum daly_request {
	DALY_LIVE = 1, /* the first question: cells, voltage, current, SoC */
	DALY_CONFIRM,  /* another one, which every board of this map answers */
};

/* Members of struct protocol as they are here; parse_request needs the protocol that asks. */
bool daly_map_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out);
int daly_map_find_frame(const struct request *pending, struct bytes in, bool quiet, const char **why);
enum verdict daly_map_take(struct device *dev, const struct request *pending, struct bytes frame, const char **why);
bool daly_map_plausible(const struct device *dev, const char **why);
bool daly_map_parse_request(const struct protocol *p, struct bytes tx, struct request *out);
void daly_map_proceed(struct device *dev, struct procedure *p, struct next *next);

extern const struct poll daly_polls[];
enum { DALY_POLLS = 13 };

struct daly_state {
	bool long_live;	    /* it answers the live block of 80 registers */
	uint8_t long_asked; /* how often that was tried */
	bool extra_known;   /* it answers registers 3E..46 by themselves */
	uint8_t extra_asked;
	uint8_t balance_mode; /* register 34 */
	uint8_t contradictions;
};

#define DALY_Q(id) (UINT64_C(1) << Q_##id)
#define DALY_QUANTITIES                                                                                                \
	(DALY_Q(ADDRESS) | DALY_Q(VOLTAGE_V) | DALY_Q(CURRENT_A) | DALY_Q(POWER_W) | DALY_Q(SOC_PCT) |                 \
	 DALY_Q(SOH_PCT) | DALY_Q(CAPACITY_FULL_AH) | DALY_Q(CAPACITY_DESIGN_AH) | DALY_Q(CAPACITY_REMAINING_AH) |     \
	 DALY_Q(CYCLES) | DALY_Q(TOTAL_CHARGE_AH) | DALY_Q(TOTAL_DISCHARGE_AH) | DALY_Q(UPTIME_S) |                    \
	 DALY_Q(CELL_COUNT) | DALY_Q(CELL_MIN_V) | DALY_Q(CELL_MAX_V) | DALY_Q(CELL_MIN_NO) | DALY_Q(CELL_MAX_NO) |    \
	 DALY_Q(TEMP_MIN_C) | DALY_Q(TEMP_MAX_C) | DALY_Q(TEMP_MIN_NO) | DALY_Q(TEMP_MAX_NO) | DALY_Q(TEMP_MOS_C) |    \
	 DALY_Q(BALANCE_CURRENT_A))

#define DALY_F(id) (1u << F_##id)
#define DALY_FLAGS                                                                                                     \
	(DALY_F(BALANCING_ACTIVE) | DALY_F(CHARGE_MOS) | DALY_F(DISCHARGE_MOS) | DALY_F(BALANCE_ENABLED) |             \
	 DALY_F(HEATER_ON))

#define DALY_A(id) (1u << ALARM_##id)
#define DALY_ALARMS                                                                                                    \
	(DALY_A(HIGH_VOLTAGE) | DALY_A(LOW_VOLTAGE) | DALY_A(HIGH_CELL_VOLTAGE) | DALY_A(LOW_CELL_VOLTAGE) |           \
	 DALY_A(LOW_SOC) | DALY_A(HIGH_CHARGE_CURRENT) | DALY_A(HIGH_DISCHARGE_CURRENT) | DALY_A(CELL_IMBALANCE) |     \
	 DALY_A(INTERNAL_FAILURE) | DALY_A(HIGH_CHARGE_TEMPERATURE) | DALY_A(LOW_CHARGE_TEMPERATURE) |                 \
	 DALY_A(HIGH_TEMPERATURE) | DALY_A(LOW_TEMPERATURE) | DALY_A(HIGH_INTERNAL_TEMPERATURE) |                      \
	 DALY_A(SHORT_CIRCUIT))

#define DALY_COMMANDS (1 << COMMAND_SOC | 1 << COMMAND_CHARGE | 1 << COMMAND_DISCHARGE | 1 << COMMAND_BALANCE)

#endif
