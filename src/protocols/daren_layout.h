/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the replies of the Daren family (daren485, ks48100) say, sheet daren485 5 and 6. How they are asked for,
 * and by which frames, is the business of the two protocols.
 */
#ifndef PROTOCOLS_DAREN_LAYOUT_H
#define PROTOCOLS_DAREN_LAYOUT_H

#include "protocols/protocol.h"

enum {
	DAREN_VER = 0x22,
	DAREN_MAX_ADDRESS = 15,
};

/* CID2 of the requests that both know. */
enum daren_cid2 {
	DAREN_DEVICE = 0x42,
	DAREN_SYSTEM = 0x47,
	DAREN_MANUFACTURER = 0x51,
	DAREN_MODULE = 0xb0, /* arg: which */
};

enum daren_module { DAREN_MANUFACTURING = 3, DAREN_CAPACITY = 4 };

/* What both keep in device.state; must come first there. */
struct daren_state {
	bool regular;	  /* the last reply to 42 had one of the two known lengths */
	bool design_told; /* module 4 has told the design capacity; 47 may have another idea of it */
};

/* Each judges INFO and takes it into dev: FRAME_ANSWER, or FRAME_BAD with *why. */
enum verdict daren_take_device(struct device *dev, struct bytes info, const char **why);
enum verdict daren_take_system(struct device *dev, struct bytes info, const char **why);
/* version: printf format of the three numbers of the software version. */
enum verdict daren_take_manufacturer(struct device *dev, struct bytes info, const char *version, const char **why);
enum verdict daren_take_module(struct device *dev, unsigned module, struct bytes info, const char **why);

/* protocol.plausible() of both: 42 and 51 were answered and fit together. */
bool daren_plausible(const struct device *dev, const char **why);

/* What 42 to B0 can tell: protocol.quantities, series, flags, alarms. */
#define DAREN_QUANTITIES                                                                                               \
	(UINT64_C(1) << Q_ADDRESS | UINT64_C(1) << Q_VOLTAGE_V | UINT64_C(1) << Q_CURRENT_A |                          \
	 UINT64_C(1) << Q_SOC_PCT | UINT64_C(1) << Q_SOH_PCT | UINT64_C(1) << Q_CAPACITY_FULL_AH |                     \
	 UINT64_C(1) << Q_CAPACITY_DESIGN_AH | UINT64_C(1) << Q_CAPACITY_REMAINING_AH | UINT64_C(1) << Q_CYCLES |      \
	 UINT64_C(1) << Q_TOTAL_CHARGE_AH | UINT64_C(1) << Q_TOTAL_DISCHARGE_AH | UINT64_C(1) << Q_CELL_COUNT |        \
	 UINT64_C(1) << Q_TEMP_MOS_C | UINT64_C(1) << Q_TEMP_AMBIENT_C | UINT64_C(1) << Q_BMS_CCL_A)
#define DAREN_SERIES (SERIES_CELLS | SERIES_TEMPERATURES | SERIES_BALANCING)
#define DAREN_FLAGS                                                                                                    \
	(1u << F_BALANCING_ACTIVE | 1u << F_CHARGE_MOS | 1u << F_DISCHARGE_MOS | 1u << F_HEATER_ON |                   \
	 1u << F_CHARGE_ALLOWED | 1u << F_DISCHARGE_ALLOWED)
#define DAREN_ALARMS                                                                                                   \
	(1u << ALARM_HIGH_VOLTAGE | 1u << ALARM_LOW_VOLTAGE | 1u << ALARM_HIGH_CELL_VOLTAGE |                          \
	 1u << ALARM_LOW_CELL_VOLTAGE | 1u << ALARM_LOW_SOC | 1u << ALARM_HIGH_CHARGE_CURRENT |                        \
	 1u << ALARM_HIGH_DISCHARGE_CURRENT | 1u << ALARM_CELL_IMBALANCE | 1u << ALARM_INTERNAL_FAILURE |              \
	 1u << ALARM_HIGH_CHARGE_TEMPERATURE | 1u << ALARM_LOW_CHARGE_TEMPERATURE | 1u << ALARM_HIGH_TEMPERATURE |     \
	 1u << ALARM_LOW_TEMPERATURE | 1u << ALARM_HIGH_INTERNAL_TEMPERATURE | 1u << ALARM_FUSE_BLOWN |                \
	 1u << ALARM_SHORT_CIRCUIT)

#endif
