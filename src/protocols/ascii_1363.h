/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The '~' ... CR frames of the YD/T 1363 family as a pure codec, sheet ascii-1363: everything between the
 * start and CR is hex digits. What INFO means is the business of the protocols that use it.
 */
#ifndef PROTOCOLS_ASCII_1363_H
#define PROTOCOLS_ASCII_1363_H

#include "protocols/protocol.h"

enum { ASCII_1363_SOI = '~', ASCII_1363_SOI_KS48100 = '>', ASCII_1363_MAX_INFO = 0xfff / 2 };

struct ascii_1363 {
	uint8_t ver, adr, cid1;
	uint8_t code;	   /* CID2 of a request, RTN of a reply */
	bool length_wrong; /* LENGTH does not tell how long INFO is; CHKSUM fits all the same (sheet 6) */
	uint16_t n;
	uint8_t info[ASCII_1363_MAX_INFO];
};

/* Builds the whole request for out->address. */
void ascii_1363_build(struct request *out, char soi, uint8_t ver, uint8_t cid1, uint8_t cid2, struct bytes info);

/*
 * As protocol.find_frame(): a frame whose CHKSUM fits, of requests and replies alike. LENGTH must fit too, or
 * (length_wrong) be wrong in a frame that is otherwise whole; ascii_1363_judge() refuses those unless told not to.
 */
int ascii_1363_find(const struct request *pending, struct bytes in, bool quiet, const char **why);

/* Takes apart a frame that ascii_1363_find() found, or the bytes of a request. False: it is none. */
bool ascii_1363_open(struct bytes frame, struct ascii_1363 *out);

/*
 * What a frame is to the request that was pending. FRAME_ANSWER: RTN 00 from its address, VER and CID1; out holds
 * INFO, whose length is for the caller to check: a reply does not say which command it answers (sheet 7).
 * FRAME_REFUSED: another RTN, *why says which. trusted: a wrong LENGTH field is forgiven; only for devices
 * that are known already.
 */
enum verdict ascii_1363_judge(const struct request *pending, struct bytes frame, bool trusted, struct ascii_1363 *out,
			      const char **why);

/* INFO of out as bytes. */
static inline struct bytes ascii_1363_info(const struct ascii_1363 *f)
{
	return (struct bytes){f->info, f->n};
}

#endif
