/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A Daly board of the older line, whatever its eight data bytes travel in: A5 frames (sheet daly-uart) or CAN (sheet
 * daly-can).
 */
#ifndef SIM_DALY_BOARD_H
#define SIM_DALY_BOARD_H

#include "sim/device.h"

enum { DALY_DATA = 8, DALY_GROUPS = 0x11, DALY_ALARM_COUNT = 49 };

enum daly_command {
	DALY_RESTART = 0x00,
	DALY_SET_SOC = 0x21,
	DALY_CAPACITY = 0x50,
	DALY_BOARDS = 0x51,
	DALY_TOTALS = 0x52,
	DALY_TYPE = 0x53,
	DALY_FIRMWARE_INDEX = 0x54,
	DALY_BATTERY_CODE = 0x57,
	DALY_CELL_LIMITS = 0x59,
	DALY_PACK_LIMITS = 0x5a,
	DALY_CURRENT_LIMITS = 0x5b,
	DALY_BALANCING = 0x5f,
	DALY_SHORT_CIRCUIT_LIMIT = 0x60,
	DALY_CLOCK = 0x61,
	DALY_SOFTWARE = 0x62,
	DALY_HARDWARE = 0x63,
	DALY_BASIC = 0x90,
	DALY_CELL_RANGE = 0x91,
	DALY_SENSOR_RANGE = 0x92,
	DALY_STATE = 0x93,
	DALY_COUNTS = 0x94,
	DALY_CELLS = 0x95,
	DALY_SENSORS = 0x96,
	DALY_BALANCE_BITS = 0x97,
	DALY_ALARMS = 0x98,
	DALY_FAILURES = 0xd8,
	DALY_DISCHARGE_SWITCH = 0xd9,
	DALY_CHARGE_SWITCH = 0xda,
};

/* What struct device's board begins with. */
struct daly_board {
	uint8_t last[DALY_DATA];	       /* of the last reply */
	uint8_t group[DALY_GROUPS][DALY_DATA]; /* settings as written, from command 50 on */
	uint8_t clock[6];
	uint8_t heartbeat;
	uint8_t number; /* that makes its battery code another one than its neighbours' */
};

/* In what boards differ. */
struct daly_manner {
	bool inverted;	/* the current has the other sign */
	bool gathered;	/* the second voltage of command 90 is filled */
	bool leftovers; /* bytes that mean nothing are those of the reply before; else FF */
	unsigned least_cell_frames, least_sensor_frames;
	void (*send)(struct device *d, struct reply *out, uint8_t command, const uint8_t data[DALY_DATA]);
};

/* Command 98: byte * 8 + bit. */
extern const struct alarm_bit daly_alarms[DALY_ALARM_COUNT];

/* As struct kind has them. */
void daly_board_start(struct device *d);
void daly_board_tell(const struct device *d, FILE *out);

/* The answer to a request with these data; silence when there is none. True: it was a write. */
bool daly_board_answer(struct device *d, uint8_t command, struct bytes data, const struct daly_manner *manner,
		       struct reply *out);
/* More than 1000: nothing happens. */
void daly_board_set_soc(struct device *d, unsigned permille);

#endif
