/* SPDX-License-Identifier: GPL-3.0-or-later */
/* KS48100 boards (SNS01 Ho20-T1): a member of the Daren family whose requests begin with '>', sheet ks48100. What
 * the replies say is in daren_layout.c. Nothing is known that could be written. */
#include <string.h>

#include "protocols/ascii_1363.h"
#include "protocols/daren_layout.h"

extern const struct protocol ks48100_protocol;

/* Which request has which CID1 and INFO: sheet 3. A request's code is its CID2; arg: of B0 the module. */
static const struct question {
	uint8_t cid2, arg, cid1;
	uint16_t first_ms;  /* the board is slow, and not the same for all */
	uint8_t n, info[5]; /* info[0] stands for the address */
} questions[] = {
	{DAREN_DEVICE, 0, 0x42, 4000, 0, {0}},
	{DAREN_SYSTEM, 0, 0x42, 1500, 1, {0}},
	{DAREN_MANUFACTURER, 0, 0x42, 2000, 0, {0}},
	{DAREN_MODULE, DAREN_MANUFACTURING, 0x4a, 2500, 5, {0, 1, DAREN_MANUFACTURING, 0xff, 0x56}},
	{DAREN_MODULE, DAREN_CAPACITY, 0x4a, 1500, 5, {0, 1, DAREN_CAPACITY, 0xff, 0}},
};

enum { QUESTIONS = sizeof(questions) / sizeof(questions[0]) };

static void prepare(struct request *out, const struct question *q, uint8_t address)
{
	request_start(out, &ks48100_protocol, address, 0, q->cid2, q->arg);
	out->first_ms = q->first_ms;
}

static bool ks48100_encode(struct device *dev, uint16_t code, uint16_t arg, struct request *out)
{
	uint8_t info[5];

	if (dev->address < 1 || dev->address > DAREN_MAX_ADDRESS)
		return false;
	for (const struct question *q = questions; q < questions + QUESTIONS; q++) {
		if (q->cid2 != code || q->arg != arg)
			continue;
		memcpy(info, q->info, sizeof(info));
		info[0] = dev->address;
		prepare(out, q, dev->address);
		ascii_1363_build(out, ASCII_1363_SOI_KS48100, DAREN_VER, q->cid1, q->cid2, (struct bytes){info, q->n});
		return true;
	}
	return false;
}

static bool ks48100_parse_request(struct bytes tx, struct request *out)
{
	struct ascii_1363 f;

	if (u8_at(tx, 0) != ASCII_1363_SOI_KS48100 || !ascii_1363_open(tx, &f) || f.length_wrong ||
	    f.ver != DAREN_VER || f.adr < 1 || f.adr > DAREN_MAX_ADDRESS)
		return false;
	for (const struct question *q = questions; q < questions + QUESTIONS; q++) {
		if (q->cid2 != f.code || q->cid1 != f.cid1 || q->n != f.n || (f.n > 1 && f.info[2] != q->arg))
			continue;
		prepare(out, q, f.adr);
		request_put(out, tx);
		return true;
	}
	return false;
}

/* Whether replies begin with '~' or '>' is not recorded: both will do. */
static enum verdict ks48100_take(struct device *dev, const struct request *pending, struct bytes frame,
				 const char **why)
{
	struct ascii_1363 f;
	enum verdict verdict = ascii_1363_judge(pending, frame, false, &f, why);
	struct bytes info = ascii_1363_info(&f);

	if (verdict != FRAME_ANSWER)
		return verdict;
	switch (pending->code) {
	case DAREN_DEVICE:
		verdict = daren_take_device(dev, info, why);
		break;
	case DAREN_SYSTEM:
		verdict = daren_take_system(dev, info, why);
		break;
	case DAREN_MANUFACTURER:
		verdict = daren_take_manufacturer(dev, info, "%02u.%02u.%02u", why);
		break;
	default:
		verdict = daren_take_module(dev, pending->arg, info, why);
		break;
	}
	if (verdict == FRAME_ANSWER)
		reading_set(&dev->reading, Q_ADDRESS, pending->address);
	return verdict;
}

static const struct line lines[] = {{9600, 8, 'N', 1}, {0}};
static const char *const bms_types[] = {"KS48100", NULL};

static const struct poll polls[] = {
	{DAREN_DEVICE, 0, EVERY_POLL, true, NULL},
	{DAREN_MANUFACTURER, 0, ONCE, false, NULL},
	{DAREN_MODULE, DAREN_MANUFACTURING, ONCE, false, NULL},
	{DAREN_MODULE, DAREN_CAPACITY, 61000, false, NULL},
	{DAREN_SYSTEM, 0, 301000, false, NULL},
};

/* No board of this kind answers as fast as a quick sweep asks; far addresses would cost everybody 20 s. */
enum { NEAR_ADDRESS = 4 };

static const struct probe probes[] = {
	{DAREN_MANUFACTURER, 0, 1, NEAR_ADDRESS, 0, 2, 1300, false}}; /* it is slow: sheet 2 */

const struct protocol ks48100_protocol = {
	.id = "ks48100",
	.title = "KS48100, SNS01 Ho20-T1 (PAPool, Bemory, CERRNSS)",
	.manufacturer = "KS48100",
	.bms_types = bms_types,
	.untested = true,
	.link = LINK_SERIAL,
	.lines = lines,
	.timing = {.first_ms = 4000,
		   .gap_ms = 200,
		   .pause_ms = 200,
		   .late_ms = 1500,
		   .scan_ms = 1700,
		   .tries = 2,
		   .poll_ms = 5000},
	.quantities = DAREN_QUANTITIES,
	.series = DAREN_SERIES,
	.flags = DAREN_FLAGS,
	.alarms = DAREN_ALARMS,
	.first_address = 1,
	.last_address = DAREN_MAX_ADDRESS,
	.state_size = sizeof(struct daren_state),
	.polls = polls,
	.poll_count = sizeof(polls) / sizeof(polls[0]),
	.probes = probes,
	.probe_count = sizeof(probes) / sizeof(probes[0]),
	.confirm = {DAREN_DEVICE},
	.confirm_count = 1,
	.encode = ks48100_encode,
	.find_frame = ascii_1363_find,
	.take = ks48100_take,
	.plausible = daren_plausible,
	.parse_request = ks48100_parse_request,
};
