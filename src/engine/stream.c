/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/stream.h"

static unsigned row_count(const struct protocol *protocol)
{
	return protocol->poll_count < STREAM_MAX_ROWS ? protocol->poll_count : STREAM_MAX_ROWS;
}

bool stream_speaks(const struct protocol *protocol, uint8_t dialect)
{
	return protocol->streams >> dialect & 1;
}

bool stream_said(const struct device *dev, const struct request *as)
{
	return dev->address == as->address &&
	       stream_speaks(dev->protocol, dev->dialect) == stream_speaks(dev->protocol, as->dialect);
}

int stream_row(const struct protocol *protocol, const struct request *as)
{
	for (unsigned r = 0; r < row_count(protocol); r++)
		if (protocol->polls[r].code == as->code && protocol->polls[r].arg == as->arg)
			return (int)r;
	return -1;
}

/* What holds until something else is said does not age. */
static bool ages(const struct poll *row)
{
	return row->every_ms != EVERY_POLL && row->every_ms != ONCE;
}

void stream_heard(struct stream *s, const struct protocol *protocol, int row, uint64_t now_ms)
{
	if (row < 0 || (unsigned)row >= row_count(protocol))
		return;
	s->heard |= UINT32_C(1) << row;
	if (!ages(&protocol->polls[row]))
		return;
	s->ageing |= UINT32_C(1) << row;
	s->last_ms[row] = now_ms;
}

bool stream_complete(const struct stream *s, const struct device *dev)
{
	for (unsigned r = 0; r < row_count(dev->protocol); r++) {
		const struct poll *row = &dev->protocol->polls[r];

		if (row->required && (!row->wanted || row->wanted(dev)) && !(s->heard >> r & 1))
			return false;
	}
	return s->heard != 0;
}

void stream_start(struct stream *s, const struct protocol *protocol, uint64_t now_ms)
{
	for (unsigned r = 0; r < row_count(protocol); r++)
		stream_heard(s, protocol, (int)r, now_ms);
}

void stream_published(struct stream *s)
{
	s->heard = 0;
}

bool stream_age(struct stream *s, struct device *dev, uint64_t now_ms)
{
	bool forgot = false;

	if (!stream_speaks(dev->protocol, dev->dialect))
		return false;
	for (unsigned r = 0; r < row_count(dev->protocol); r++) {
		const struct poll *row = &dev->protocol->polls[r];

		if (!(s->ageing >> r & 1) || now_ms < s->last_ms[r] + row->every_ms)
			continue;
		s->ageing &= ~(UINT32_C(1) << r);
		s->heard &= ~(UINT32_C(1) << r); /* a reading that needs it waits for it */
		if (dev->protocol->forget)
			dev->protocol->forget(dev, row->code, row->arg);
		forgot = true;
	}
	return forgot;
}

uint64_t stream_deadline(const struct stream *s, const struct protocol *protocol)
{
	uint64_t deadline = UINT64_MAX;

	for (unsigned r = 0; r < row_count(protocol); r++) {
		uint64_t due = s->last_ms[r] + protocol->polls[r].every_ms;

		if (s->ageing >> r & 1 && due < deadline)
			deadline = due;
	}
	return deadline;
}
