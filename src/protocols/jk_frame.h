/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The 300-byte frames 55 AA EB 90 of JK boards, layout "32S": status, settings, about. The RS485 port (sheet
 * jk-pb 5, 6, 8) and Bluetooth carry the same ones; how they are asked for is the protocol's business.
 */
#ifndef PROTOCOLS_JK_FRAME_H
#define PROTOCOLS_JK_FRAME_H

#include "protocols/protocol.h"

enum { JK_FRAME_SIZE = 300, JK_FRAME_PAYLOAD = 6 };

enum jk_frame_type { JK_SETTINGS = 1, JK_STATUS = 2, JK_ABOUT = 3 };

/* What must be kept from one frame to the next: it goes into the protocol's own state. */
struct jk_frame_state {
	bool status_known, settings_known;
	uint32_t alarm_bits;
	uint8_t charge_stage;
};

/* As protocol.find_frame() for a frame that begins at in; 300 when it is whole and its sum fits. */
int jk_find_frame(struct bytes in, bool quiet, const char **why);

static inline uint8_t jk_frame_type(struct bytes frame)
{
	return u8_at(frame, 4);
}

/*
 * Takes a frame that jk_find_frame() found into dev->reading and dev->settings: FRAME_ANSWER; or FRAME_BAD when its
 * content can't be (the sum is 8 bits wide only). Passwords are never taken.
 */
enum verdict jk_take_frame(struct device *dev, struct jk_frame_state *s, struct bytes frame, const char **why);

/* The address that a settings frame holds (DIP switches, or the app's "device address"). */
uint32_t jk_frame_address(struct bytes settings);

/*
 * Takes the identity that registers from 1400 on hold: payload is the about frame from offset 6 on, or the first part
 * of it. False: it is not a JK board's.
 */
bool jk_take_identity(struct device *dev, struct bytes payload);

/* What a protocol that decodes with these functions can report. */
#define JK_FRAME_QUANTITIES                                                                                            \
	(JK_Q(VOLTAGE_V) | JK_Q(CURRENT_A) | JK_Q(SOC_PCT) | JK_Q(SOH_PCT) | JK_Q(CAPACITY_FULL_AH) |                  \
	 JK_Q(CAPACITY_DESIGN_AH) | JK_Q(CAPACITY_REMAINING_AH) | JK_Q(CYCLES) | JK_Q(TOTAL_CHARGE_AH) |               \
	 JK_Q(UPTIME_S) | JK_Q(CELL_COUNT) | JK_Q(TEMP_MOS_C) | JK_Q(BALANCE_CURRENT_A) | JK_Q(BMS_CCL_A) |            \
	 JK_Q(BMS_DCL_A) | JK_Q(BMS_CVL_V) | JK_Q(BMS_DVL_V))
#define JK_Q(q) (UINT64_C(1) << Q_##q)
#define JK_FRAME_FLAGS                                                                                                 \
	(1u << F_BALANCING_ACTIVE | 1u << F_CHARGE_MOS | 1u << F_DISCHARGE_MOS | 1u << F_BALANCE_ENABLED |             \
	 1u << F_HEATER_ON | 1u << F_CHARGE_ALLOWED | 1u << F_DISCHARGE_ALLOWED)
#define JK_FRAME_ALARMS                                                                                                \
	(1u << ALARM_HIGH_VOLTAGE | 1u << ALARM_LOW_VOLTAGE | 1u << ALARM_HIGH_CELL_VOLTAGE |                          \
	 1u << ALARM_LOW_CELL_VOLTAGE | 1u << ALARM_HIGH_CHARGE_CURRENT | 1u << ALARM_HIGH_DISCHARGE_CURRENT |         \
	 1u << ALARM_INTERNAL_FAILURE | 1u << ALARM_HIGH_CHARGE_TEMPERATURE | 1u << ALARM_LOW_CHARGE_TEMPERATURE |     \
	 1u << ALARM_HIGH_TEMPERATURE | 1u << ALARM_LOW_TEMPERATURE | 1u << ALARM_HIGH_INTERNAL_TEMPERATURE |          \
	 1u << ALARM_SHORT_CIRCUIT)

#endif
