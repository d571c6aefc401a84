/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The older line of Daly boards: requests and replies of eight data bytes under a command byte, the same in A5 frames
 * and on CAN (sheets daly-uart 5 to 8, daly-can). What carries them is the protocols' own.
 */
#ifndef PROTOCOLS_DALY_PAYLOAD_H
#define PROTOCOLS_DALY_PAYLOAD_H

#include "protocols/protocol.h"

/* A request's code is the command byte. Writes lie below 40, the two MOS switches aside. */
enum daly_command_byte {
	DALY_CMD_SET_CLOCK_AND_SOC = 0x21,
	DALY_CMD_CAPACITY = 0x50,
	DALY_CMD_BOARDS = 0x51,
	DALY_CMD_TOTALS = 0x52,
	DALY_CMD_TYPE = 0x53,
	DALY_CMD_FIRMWARE_INDEX = 0x54,
	DALY_CMD_BATTERY_CODE = 0x57,
	DALY_CMD_CELL_THRESHOLDS = 0x59,
	DALY_CMD_PACK_THRESHOLDS = 0x5a,
	DALY_CMD_CURRENT_THRESHOLDS = 0x5b,
	DALY_CMD_TEMPERATURE_THRESHOLDS = 0x5c,
	DALY_CMD_SOC_THRESHOLDS = 0x5d,
	DALY_CMD_DIFFERENCE_THRESHOLDS = 0x5e,
	DALY_CMD_BALANCE_THRESHOLDS = 0x5f,
	DALY_CMD_SHORT_CIRCUIT = 0x60,
	DALY_CMD_CLOCK = 0x61,
	DALY_CMD_FIRMWARE = 0x62,
	DALY_CMD_HARDWARE = 0x63,
	DALY_CMD_PACK = 0x90,
	DALY_CMD_CELL_RANGE = 0x91,
	DALY_CMD_TEMP_RANGE = 0x92,
	DALY_CMD_MOS = 0x93,
	DALY_CMD_STATUS = 0x94,
	DALY_CMD_CELLS = 0x95,
	DALY_CMD_TEMPERATURES = 0x96,
	DALY_CMD_BALANCING = 0x97,
	DALY_CMD_ALARMS = 0x98,
	DALY_CMD_FAILURES = 0xd8,
	DALY_CMD_SET_DISCHARGE = 0xd9,
	DALY_CMD_SET_CHARGE = 0xda,
};

enum {
	DALY_DATA_SIZE = 8,
	DALY_MAX_BOARD = 16,
	DALY_MAX_PARTS = 16, /* frames of one reply */
	DALY_PART_SIZE = 7,  /* data bytes of each behind its index */
};

/* Some boards send as many frames as the cells need, some all 16 (sheet daly-uart 3). Only silence tells; two replies
 * in a row that ended alike settle it. */
struct daly_habit {
	uint8_t last;  /* frames of the last reply that silence ended */
	uint8_t known; /* frames of every reply; 0: not known yet */
};

/* What device.state begins with. */
struct daly_payload_state {
	uint16_t code;	/* the command whose frames are being collected */
	uint16_t got;	/* bit i: frame i + 1 is there, from this reply or from one that lacked others */
	uint16_t fresh; /* those of this reply */
	uint8_t part[DALY_MAX_PARTS * DALY_PART_SIZE];
	struct daly_habit cells, temperatures;
	bool sensors_known;
	uint8_t sensors;	/* of 94 */
	uint8_t contradictions; /* polls in a row in which the sign of the current and the state did not agree */
	bool heartbeat_known;
	uint8_t heartbeat, frozen; /* frozen: polls in which it has not moved */
	struct wall_time now;	   /* for the clock that goes with the SoC */
};

/* ---- requests ---- */

bool daly_is_write(uint16_t code);
/* The data of a request into data, all of it. arg: of the MOS switches 1 on, 0 off; of 21 the SoC in 0.1 %; else 0. */
void daly_put_data(const struct device *dev, uint16_t code, uint16_t arg, uint8_t data[DALY_DATA_SIZE]);
/* arg of a recorded request. */
uint16_t daly_data_arg(uint16_t code, struct bytes data);

/* ---- replies ---- */

/* The frames that a reply to this command may have at most; 0: it is one frame without an index. */
unsigned daly_most_parts(uint16_t code);
/*
 * As protocol.take() for the data of a reply frame to this request; no data: the line has fallen silent. exact: no
 * more frames come than the cells or sensors of 94 need; else how many come is learnt.
 */
enum verdict daly_take_data(struct device *dev, const struct request *pending, struct bytes data, bool exact,
			    const char **why);
/* As protocol.plausible(): sheet daly-uart 4. */
bool daly_plausible(const struct device *dev, const char **why);

/* For rows of polls. */
bool daly_cells_unknown(const struct device *dev);
bool daly_temperatures_unknown(const struct device *dev);
bool daly_has_sensors(const struct device *dev);

/* ---- commands ---- */

/* As protocol.proceed(). */
void daly_proceed(struct device *dev, struct procedure *p, struct next *next);
/* A SoC write has gone out: does 90 show it within so many read-backs? True: next holds what comes now, return;
 * false: it does not. *seen: a memo that nothing else uses. */
bool daly_soc_reads_back(struct device *dev, struct procedure *p, struct next *next, uint32_t wait_ms, unsigned times,
			 uint32_t *seen);
/* It does not: says so. */
void daly_soc_unconfirmed(struct device *dev, const struct procedure *p, struct next *next);
/* 21 sets the board's clock together with the SoC: does this computer know the time? */
bool daly_knows_time(const struct procedure *p);

/* ---- what these replies can tell: members of struct protocol ---- */

#define DALY_Q(id) (UINT64_C(1) << Q_##id)
#define DALY_QUANTITIES                                                                                                \
	(DALY_Q(ADDRESS) | DALY_Q(VOLTAGE_V) | DALY_Q(CURRENT_A) | DALY_Q(SOC_PCT) | DALY_Q(CAPACITY_FULL_AH) |        \
	 DALY_Q(CAPACITY_DESIGN_AH) | DALY_Q(CAPACITY_REMAINING_AH) | DALY_Q(CYCLES) | DALY_Q(TOTAL_CHARGE_AH) |       \
	 DALY_Q(TOTAL_DISCHARGE_AH) | DALY_Q(CELL_COUNT) | DALY_Q(CELL_MIN_V) | DALY_Q(CELL_MAX_V) |                   \
	 DALY_Q(CELL_MIN_NO) | DALY_Q(CELL_MAX_NO) | DALY_Q(TEMP_MIN_C) | DALY_Q(TEMP_MAX_C) | DALY_Q(TEMP_MIN_NO) |   \
	 DALY_Q(TEMP_MAX_NO))

#define DALY_SERIES (SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING)

#define DALY_FLAGS                                                                                                     \
	(1u << F_BALANCING_ACTIVE | 1u << F_CHARGE_MOS | 1u << F_DISCHARGE_MOS | 1u << F_CHARGE_ALLOWED |              \
	 1u << F_DISCHARGE_ALLOWED)

#define DALY_A(id) (1u << ALARM_##id)
#define DALY_ALARMS                                                                                                    \
	(DALY_A(HIGH_VOLTAGE) | DALY_A(LOW_VOLTAGE) | DALY_A(HIGH_CELL_VOLTAGE) | DALY_A(LOW_CELL_VOLTAGE) |           \
	 DALY_A(LOW_SOC) | DALY_A(HIGH_CHARGE_CURRENT) | DALY_A(HIGH_DISCHARGE_CURRENT) | DALY_A(CELL_IMBALANCE) |     \
	 DALY_A(INTERNAL_FAILURE) | DALY_A(HIGH_CHARGE_TEMPERATURE) | DALY_A(LOW_CHARGE_TEMPERATURE) |                 \
	 DALY_A(HIGH_TEMPERATURE) | DALY_A(LOW_TEMPERATURE) | DALY_A(HIGH_INTERNAL_TEMPERATURE) |                      \
	 DALY_A(SHORT_CIRCUIT))

#define DALY_COMMANDS (1u << COMMAND_SOC | 1u << COMMAND_CHARGE | 1u << COMMAND_DISCHARGE)

#endif
