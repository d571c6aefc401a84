/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The '~' ... CR frames on the examples and rules of sheet ascii-1363. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocols/ascii_1363.h"

enum { VER = 0x20, CID1 = 0x46, HEAD = 13, SUM = 4, LONGEST = 4113 };

static struct bytes of_text(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

/* The sheet's checksum, by its own words. */
static unsigned sum_of(const char *characters, size_t n)
{
	unsigned sum = 0;

	while (n--)
		sum += (uint8_t)*characters++;
	return (65536 - sum % 65536) % 65536;
}

/* A frame by hand: head as given ("20014600E002"), then INFO; CHKSUM and CR are added. */
static const char *frame(const char *head, const char *info)
{
	static char room[4][LONGEST + 8];
	static unsigned next;
	char *f = room[next = (next + 1) % 4];
	size_t n = (size_t)snprintf(f, sizeof(room[0]), "~%s%s", head, info);

	snprintf(f + n, sizeof(room[0]) - n, "%04X\r", sum_of(f + 1, n - 1));
	return f;
}

static int find(const char *text, bool quiet)
{
	const char *why = NULL;

	return ascii_1363_find(NULL, of_text(text), quiet, &why);
}

/* What a whole frame is rejected for; NULL: it is not, or it is noise. */
static const char *rejected(struct bytes in)
{
	struct request pending = {.n = 0};
	const char *why = NULL;
	int n = ascii_1363_find(&pending, in, true, &why);

	assert_true(n < 0);
	return why;
}

static struct request asked(uint8_t adr, uint8_t cid2, const char *info_hex)
{
	struct request r = {.address = adr};
	uint8_t info[32];
	int n = bytes_from_hex(info_hex, info, sizeof(info));

	ascii_1363_build(&r, '~', VER, CID1, cid2, (struct bytes){info, (size_t)n});
	return r;
}

static const char *sent(const struct request *r)
{
	static char text[MAX_REQUEST + 1];

	memcpy(text, r->tx, r->n);
	text[r->n] = 0;
	return text;
}

static enum verdict judged(const struct request *pending, const char *text, bool trusted, const char **why)
{
	struct ascii_1363 f;

	*why = NULL;
	return ascii_1363_judge(pending, of_text(text), trusted, &f, why);
}

/* ---- building ---- */

static void length_words_are_those_of_the_sheet(void **state)
{
	static const struct {
		uint16_t lenid, length;
	} table[] = {
		{0x000, 0x0000}, {0x002, 0xe002}, {0x004, 0xc004}, {0x006, 0xa006}, {0x008, 0x8008}, {0x00a, 0x600a},
		{0x00c, 0x400c}, {0x010, 0xf010}, {0x012, 0xd012}, {0x014, 0xb014}, {0x01a, 0x501a}, {0x028, 0x6028},
		{0x040, 0xc040}, {0x04c, 0x004c}, {0x04e, 0xe04e}, {0x050, 0xb050}, {0x060, 0xa060}, {0x062, 0x8062},
		{0x076, 0x3076}, {0x07a, 0xf07a}, {0x07c, 0xd07c}, {0x082, 0x6082}, {0x08e, 0xa08e}, {0x092, 0x5092},
		{0x096, 0x1096}, {0x0a4, 0x20a4}, {0x0c6, 0xe0c6}, {0x0ca, 0xa0ca}, {0x0ee, 0x40ee}, {0x0f0, 0x10f0},
		{0x128, 0x5128}, {0x142, 0x9142}, {0x152, 0x8152}, {0x1dc, 0x61dc},
	};
	static char zeros[0x1dc + 1];

	(void)state;
	memset(zeros, '0', sizeof(zeros) - 1);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char head[16], wrong[16];
		const char *info = zeros + sizeof(zeros) - 1 - table[i].lenid;
		struct ascii_1363 f;

		snprintf(head, sizeof(head), "20014600%04X", table[i].length);
		assert_true(ascii_1363_open(of_text(frame(head, info)), &f));
		assert_false(f.length_wrong);
		assert_int_equal(2 * f.n, table[i].lenid);
		for (unsigned top = 0; top < 16; top++) {
			if (top == table[i].length >> 12)
				continue;
			snprintf(wrong, sizeof(wrong), "20014600%X%03X", top, table[i].lenid);
			assert_true(ascii_1363_open(of_text(frame(wrong, info)), &f));
			assert_true(f.length_wrong);
		}
	}
}

static void requests_are_built_as_the_sheet_works_them_out(void **state)
{
	struct request r = asked(0x00, 0x42, "00");

	(void)state;
	assert_string_equal(sent(&r), "~20004642E00200FD37\r");
	r = (struct request){.address = 1};
	ascii_1363_build(&r, '~', 0x25, 0x46, 0x90, (struct bytes){NULL, 0});
	assert_string_equal(sent(&r), "~250146900000FDA5\r");
	r = (struct request){.address = 1};
	ascii_1363_build(&r, '>', 0x22, 0x42, 0x42, (struct bytes){NULL, 0});
	assert_string_equal(sent(&r), ">220142420000FDAF\r");
}

/* 1203400356ABCEFE sums to 038E. Its LENGTH does not fit, the rest of the frame does. */
static void the_checksum_exercise_of_the_standard_comes_out(void **state)
{
	struct ascii_1363 f;

	(void)state;
	assert_string_equal(frame("1203400356AB", "CEFE"), "~1203400356ABCEFEFC72\r");
	assert_true(ascii_1363_open(of_text("~1203400356ABCEFEFC72\r"), &f));
	assert_true(f.length_wrong);
	assert_non_null(rejected(of_text("~1203400456ABCEFEFC72\r")));
}

/* ---- finding ---- */

static void a_frame_is_found_whole_and_taken_apart(void **state)
{
	struct ascii_1363 f;
	const char *text = frame("25034600A006", "01ABFF");

	(void)state;
	assert_int_equal(find(text, false), (int)strlen(text));
	assert_true(ascii_1363_open(of_text(text), &f));
	assert_int_equal(f.ver, 0x25);
	assert_int_equal(f.adr, 3);
	assert_int_equal(f.cid1, 0x46);
	assert_int_equal(f.code, 0);
	assert_int_equal(f.n, 3);
	assert_memory_equal(f.info, "\x01\xab\xff", 3);
}

static void lower_case_is_read_and_summed_as_it_came(void **state)
{
	char text[] = "~20014600e0021fxxxx\r";
	struct ascii_1363 f;

	(void)state;
	snprintf(text + 15, 6, "%04x\r", sum_of(text + 1, 14));
	assert_true(ascii_1363_open(of_text(text), &f));
	assert_int_equal(f.info[0], 0x1f);
}

static void a_frame_with_any_single_wrong_bit_is_rejected(void **state)
{
	const char *const hand[] = {
		frame("20014600E002", "1F"),
		frame("2501460050A0", ""),
		frame("20FF46040000", ""),
		"~20004642E00200FD37\r",
	};
	static const char long_info[] =
		"00100CC70CC80CC70CC70CC70CC50CC60CC70CC70CC60CC70CC60CC60CC70CC60CC7060B9B0B990B990B990BB30BBC";
	char head[16];
	const struct request pending = asked(1, 0x42, "01");

	(void)state;
	snprintf(head, sizeof(head), "20014600%04X", 0xd05e);
	for (unsigned i = 0; i < 5; i++) {
		char room[200];
		const char *whole = i < 4 ? hand[i] : frame(head, long_info);
		size_t n = strlen(whole);

		for (size_t at = 0; at < n; at++) {
			for (unsigned bit = 0; bit < 8; bit++) {
				struct ascii_1363 f;
				const char *why = NULL;

				memcpy(room, whole, n);
				room[at] = (char)(room[at] ^ 1 << bit);
				struct bytes damaged = {(const uint8_t *)room, n};
				/* '~' and '>' are a bit apart: both begin frames, only one begins a reply. */
				if (at == 0 && room[0] == '>')
					assert_int_equal(ascii_1363_judge(&pending, damaged, true, &f, &why),
							 FRAME_FOREIGN);
				else
					assert_true(ascii_1363_find(NULL, damaged, true, &why) < 0);
			}
		}
	}
}

static void a_torn_frame_waits_for_more_and_is_dropped_in_silence(void **state)
{
	const char *whole = frame("20014600A006", "01ABFF");
	char part[40];

	(void)state;
	for (size_t n = 1; n < strlen(whole); n++) {
		memcpy(part, whole, n);
		part[n] = 0;
		assert_int_equal(find(part, false), 0);
		assert_int_equal(find(part, true), -1);
	}
	assert_string_equal(rejected(bytes_sub(of_text(whole), 0, HEAD + 3)), "frame cut short");
	assert_null(rejected(bytes_sub(of_text(whole), 0, HEAD - 1)));
}

static void noise_and_a_second_start_are_skipped(void **state)
{
	(void)state;
	assert_int_equal(find("x~20004642E00200FD37\r", false), -1);
	assert_int_equal(find("\r", false), -1);
	assert_int_equal(find("~2000~20004642E00200FD37\r", false), -1);
	assert_int_equal(find("~20004642E0G2", false), -1);
	assert_int_equal(find("~\r", false), -1);
	assert_int_equal(find("$GPGGA,123519,4807.038,N*47\r\n", false), -1);
}

static void two_glued_frames_are_found_one_by_one(void **state)
{
	char both[80];
	const char *one = frame("20014600E002", "1F");

	(void)state;
	snprintf(both, sizeof(both), "%s%s", one, frame("20024600E002", "2F"));
	assert_int_equal(find(both, false), (int)strlen(one));
	assert_int_equal(find(both + strlen(one), false), (int)strlen(one));
}

static void a_wrong_checksum_or_length_is_said(void **state)
{
	(void)state;
	assert_string_equal(rejected(of_text("~20004642E00200FD38\r")), "checksum");
	assert_string_equal(rejected(of_text("~20004642D00200FD37\r")), "length");
	assert_string_equal(rejected(of_text("~20004642E002000FD37\r")), "length");
	assert_string_equal(rejected(of_text("~20004642FD37\r")), "length");
	assert_string_equal(rejected(of_text("~20004642E00200fD37\r")), "upper and lower case mixed");
}

static void the_longest_frame_is_found_and_one_character_more_is_dropped(void **state)
{
	static char text[LONGEST + 8];
	char head[16];

	(void)state;
	/* LENID counts characters of whole bytes: FFE is the longest, the room is for FFF. */
	memset(text, '0', 0xffe);
	text[0xffe] = 0;
	snprintf(head, sizeof(head), "20014600%04X", 0x4ffe);
	assert_int_equal(find(frame(head, text), false), LONGEST - 1);
	text[0] = '~';
	memset(text + 1, '0', LONGEST);
	text[LONGEST - 1] = 0;
	assert_int_equal(find(text, false), 0); /* 4112 characters: the last place is for CR */
	text[LONGEST - 1] = '0';
	text[LONGEST] = 0;
	assert_int_equal(find(text, false), -1);
}

/* ---- judging ---- */

static void the_reply_of_the_asked_pack_is_the_answer(void **state)
{
	struct request r = asked(1, 0x42, "01");
	const char *why;

	(void)state;
	assert_int_equal(judged(&r, frame("20014600E002", "1F"), false, &why), FRAME_ANSWER);
}

static void replies_of_others_are_foreign(void **state)
{
	struct request r = asked(1, 0x42, "01");
	const char *why;

	(void)state;
	assert_int_equal(judged(&r, frame("20024600E002", "1F"), true, &why), FRAME_FOREIGN); /* ADR */
	assert_int_equal(judged(&r, frame("25014600E002", "1F"), true, &why), FRAME_FOREIGN); /* VER */
	assert_int_equal(judged(&r, frame("20014A00E002", "1F"), true, &why), FRAME_FOREIGN); /* CID1 */
	assert_int_equal(judged(&r, frame("20024604E002", "1F"), true, &why), FRAME_FOREIGN); /* a refusal of another */
	assert_int_equal(judged(&r, "", true, &why), FRAME_FOREIGN);
	assert_null(why);
}

static void an_echo_and_somebody_elses_request_are_foreign(void **state)
{
	struct request r = asked(1, 0x42, "01"), other = asked(1, 0x44, "FF"), late = asked(1, 0x92, "01");
	const char *why;

	(void)state;
	assert_int_equal(judged(&r, sent(&r), true, &why), FRAME_FOREIGN);
	assert_int_equal(judged(&late, sent(&late), true, &why), FRAME_FOREIGN);
	assert_int_equal(judged(&r, sent(&other), true, &why), FRAME_FOREIGN);
	assert_null(why);
}

static void every_return_code_is_a_refusal_that_says_why(void **state)
{
	static const uint8_t code[] = {1, 2, 3, 4, 5, 6, 7, 9, 0x90, 0x91, 0xe1, 0xe2, 0xe3, 0xe4};
	struct request r = asked(1, 0x42, "01");
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(code); i++) {
		char head[16], said[4];

		snprintf(head, sizeof(head), "200146%02X0000", code[i]);
		snprintf(said, sizeof(said), "%02X", code[i]);
		assert_int_equal(judged(&r, frame(head, ""), false, &why), FRAME_REFUSED);
		assert_non_null(strstr(why, said));
	}
	assert_int_equal(judged(&r, frame("200146AB0000", ""), false, &why), FRAME_REFUSED);
	assert_string_equal(why, "a return code that is in no sheet");
	/* Who does not know the version answers in his own. */
	assert_int_equal(judged(&r, frame("220146010000", ""), false, &why), FRAME_REFUSED);
}

static void a_wrong_length_field_is_forgiven_only_when_trusted(void **state)
{
	struct request r = asked(1, 0x42, "01");
	const char *why;

	(void)state;
	assert_int_equal(judged(&r, frame("20014600E002", "1F2F"), false, &why), FRAME_BAD);
	assert_string_equal(why, "length");
	assert_int_equal(judged(&r, frame("20014600E002", "1F2F"), true, &why), FRAME_ANSWER);
	assert_int_equal(judged(&r, frame("200146001002", "1F"), false, &why), FRAME_BAD); /* LCHKSUM */
}

static void what_starts_like_a_ks48100_request_answers_nothing_but_such_a_request(void **state)
{
	struct request tilde = asked(1, 0x42, "01"), angle = {.address = 1};
	char reply[40];
	const char *why;

	(void)state;
	ascii_1363_build(&angle, '>', VER, CID1, 0x42, (struct bytes){NULL, 0});
	snprintf(reply, sizeof(reply), "%s", frame("20014600E002", "1F"));
	assert_int_equal(judged(&angle, reply, false, &why), FRAME_ANSWER);
	reply[0] = '>';
	assert_int_equal(judged(&angle, reply, false, &why), FRAME_ANSWER);
	assert_int_equal(judged(&tilde, reply, false, &why), FRAME_FOREIGN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(length_words_are_those_of_the_sheet),
		cmocka_unit_test(requests_are_built_as_the_sheet_works_them_out),
		cmocka_unit_test(the_checksum_exercise_of_the_standard_comes_out),
		cmocka_unit_test(a_frame_is_found_whole_and_taken_apart),
		cmocka_unit_test(lower_case_is_read_and_summed_as_it_came),
		cmocka_unit_test(a_frame_with_any_single_wrong_bit_is_rejected),
		cmocka_unit_test(a_torn_frame_waits_for_more_and_is_dropped_in_silence),
		cmocka_unit_test(noise_and_a_second_start_are_skipped),
		cmocka_unit_test(two_glued_frames_are_found_one_by_one),
		cmocka_unit_test(a_wrong_checksum_or_length_is_said),
		cmocka_unit_test(the_longest_frame_is_found_and_one_character_more_is_dropped),
		cmocka_unit_test(the_reply_of_the_asked_pack_is_the_answer),
		cmocka_unit_test(replies_of_others_are_foreign),
		cmocka_unit_test(an_echo_and_somebody_elses_request_are_foreign),
		cmocka_unit_test(every_return_code_is_a_refusal_that_says_why),
		cmocka_unit_test(a_wrong_length_field_is_forgiven_only_when_trusted),
		cmocka_unit_test(what_starts_like_a_ks48100_request_answers_nothing_but_such_a_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
