/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/candump.h"

#include <inttypes.h>
#include <string.h>

#include "model/can.h"

#define DIGITS "0123456789"

enum {
	INTERFACE_MAX = 15, /* characters; the kernel has no longer names */
	SECONDS_MAX = 11,   /* digits */
	FRACTION_MAX = 9,
	DATA_DIGITS = 16,
};

struct word {
	const char *at;
	size_t n;
};

static struct word next_word(const char **line)
{
	struct word w;

	*line += strspn(*line, " \t\r\n");
	w.at = *line;
	w.n = strcspn(*line, " \t\r\n");
	*line += w.n;
	return w;
}

/* Decimal digits; a locale has no say in it. */
static double number(const char *digits, size_t n)
{
	double v = 0;

	for (size_t i = 0; i < n; i++)
		v = v * 10 + (digits[i] - '0');
	return v;
}

static bool read_time(struct word w, double *t)
{
	const char *p = w.at;
	double scale = 1;

	if (!w.n || *p++ != '(')
		return false;
	size_t seconds = strspn(p, DIGITS);
	if (!seconds || seconds > SECONDS_MAX || p[seconds] != '.')
		return false;
	size_t fraction = strspn(p + seconds + 1, DIGITS);
	if (!fraction || fraction > FRACTION_MAX || w.n != seconds + fraction + 3 || w.at[w.n - 1] != ')')
		return false;
	for (size_t i = 0; i < fraction; i++)
		scale *= 10;
	*t = number(p, seconds) + number(p + seconds + 1, fraction) / scale;
	return true;
}

bool candump_is(const char *line)
{
	double t;

	return read_time(next_word(&line), &t);
}

static bool read_interface(struct word w, struct record *out)
{
	if (!w.n || w.n > INTERFACE_MAX)
		return false;
	for (size_t i = 0; i < w.n; i++)
		if (w.at[i] <= ' ' || w.at[i] > '~' || w.at[i] == '#')
			return false;
	memcpy(out->port, w.at, w.n);
	out->port[w.n] = 0;
	return true;
}

/* Only the classic frames are of interest. */
static bool other_kind(struct word w)
{
	const char *mark = memchr(w.at, '#', w.n);
	bool flexible = mark && mark + 1 < w.at + w.n && mark[1] == '#';

	return flexible || memchr(w.at, ':', w.n);
}

static int read_frame(struct word w, struct record *out)
{
	char text[CAN_TEXT_SIZE + 2];
	struct can_message m;

	if (w.n >= sizeof(text))
		return -1;
	memcpy(text, w.at, w.n);
	text[w.n] = 0;
	/* "_9" to "_F": a length that some controllers send beyond the eight bytes there are. */
	char *mark = strchr(text, '_');
	if (mark && mark - text > DATA_DIGITS && mark[1] && !mark[2])
		*mark = 0;
	if (!can_parse(text, &m))
		return -1;
	can_write(&m, out->bytes);
	out->n = CAN_BYTES;
	return m.id & CAN_ERROR ? 0 : 1;
}

int candump_parse(const char *line, struct record *out, char *why, size_t size)
{
	*out->text = 0;
	out->protocol = NULL;
	out->can = true;
	out->kind = RECORD_RECEIVED;
	if (!read_time(next_word(&line), &out->t)) {
		snprintf(why, size, "it must begin with a time, (seconds.fraction)");
		return -1;
	}
	if (!read_interface(next_word(&line), out)) {
		snprintf(why, size, "after the time the name of an interface is missing");
		return -1;
	}
	struct word frame = next_word(&line), direction = next_word(&line);
	if (other_kind(frame))
		return 0;
	int got = read_frame(frame, out);
	if (got < 0) {
		snprintf(why, size, "after the interface there is no CAN frame (ID#DATA)");
		return -1;
	}
	if (direction.n && (direction.n != 1 || !strchr("RT", *direction.at) || next_word(&line).n)) {
		snprintf(why, size, "after the frame there may only be R or T");
		return -1;
	}
	if (direction.n && *direction.at == 'T')
		out->kind = RECORD_SENT;
	return got;
}

int candump_write(FILE *file, uint64_t epoch_us, const char *interface, struct bytes b, bool sent)
{
	char text[CAN_TEXT_SIZE];
	struct can_message m;

	if (!can_read(b, &m))
		return 0;
	can_text(&m, text);
	return fprintf(file, "(%010" PRIu64 ".%06" PRIu64 ") %s %s %c\n", epoch_us / 1000000, epoch_us % 1000000,
		       interface, text, sent ? 'T' : 'R');
}
