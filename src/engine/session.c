/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/listen.h"
#include "protocols/procedure.h"

enum {
	LOST_AFTER = 3,		 /* failed polls in a row */
	LOST_RETRY_MS = 5000,	 /* a silent pack on a shared cable must not cost the others much */
	OPTIONAL_MISSES = 2,	 /* silences after which an optional row is not asked again */
	COMMAND_TRIES = 2,	 /* a write is repeated at most once (sheet modbus-rtu 7) */
	SCAN_AGAIN_MS = 5000,	 /* one absent address is asked so often once all have been */
	SCAN_BURST = 4,		 /* until then: so many between two cycles, even where polls are due */
	MISSED_AGAIN_MS = 60000, /* an optional row that stayed silent is asked again so much later */
	SLACK_MAX_MS = 2000,	 /* how far a slow device may stretch the first timeout */
	UNHEARD_MS = 10000,	 /* a bus master's cycle is several seconds long */
	FOREIGN_REQUESTS = 2,	 /* within UNHEARD_MS; one alone may be damage or a late echo */
	HEAR_ALL_MS = 10000,	 /* two whole cycles of it: each battery was heard, even if a frame was lost */
};

enum work { WORK_NONE, WORK_POLL, WORK_COMMAND, WORK_SCAN };

struct session {
	const struct protocol *protocol;
	struct line line;
	bool listening;
	uint32_t poll_ms;
	const uint8_t *addresses;
	unsigned address_count;
	struct session_io io;
	struct line_stats *stats;

	struct session_pack *pack[SESSION_MAX_PACKS];
	unsigned pack_count;
	struct device first; /* until session_start() */
	uint64_t started_ms;
	uint64_t heard_ms; /* the last answer of any pack */

	/* the request in flight */
	struct exchange x;
	enum work work;
	unsigned at;  /* pack */
	unsigned row; /* of WORK_POLL */
	unsigned tries;
	uint64_t free_ms;  /* no request before */
	bool quieting;	   /* waiting out a late reply until free_ms */
	uint32_t slack_ms; /* added to first_ms: this device has been seen to be slow */

	/* the pack whose cycle is under way; SESSION_MAX_PACKS: none */
	unsigned cycling;

	struct {
		bool active;
		unsigned pack;
		struct command command;
		struct procedure procedure;
		struct next next;
		bool step_open; /* next is to be carried out */
		uint64_t wait_end;
	} command;

	/* looking for further packs */
	struct device scan_dev;
	unsigned scan_next; /* address */
	bool scanned_all;
	uint64_t scan_due, scan_last;
	unsigned scan_burst; /* addresses asked since the last cycle */

	bool streams;	      /* packs speak by themselves */
	struct listen others; /* of those, who is not known yet */
	uint64_t keep_alive_at;

	/* listening; also what is heard between one's own exchanges */
	void *listen;
	unsigned foreign_requests;
	uint64_t foreign_ms; /* the last one */
	uint64_t heard_byte_ms;
	size_t hear_n;
	uint8_t hear[EXCHANGE_INBOX];
};

/* Does somebody else ask on this line? */
static bool other_master(const struct session *s)
{
	return s->foreign_requests >= FOREIGN_REQUESTS;
}

/* ---- packs ---- */

/* Nobody can keep a pack from speaking; commands must know of it all the same. */
static bool unwanted(const struct session *s, uint8_t address)
{
	for (unsigned i = 0; i < s->address_count; i++)
		if (s->addresses[i] == address)
			return false;
	return s->streams && s->address_count && s->protocol->last_address;
}

static struct session_pack *add_pack(struct session *s, struct device dev, uint64_t now_ms)
{
	if (s->pack_count == SESSION_MAX_PACKS) {
		device_free(&dev);
		return NULL;
	}
	struct session_pack *p = calloc(1, sizeof(*p));
	if (!p) {
		device_free(&dev);
		return NULL;
	}
	p->dev = dev;
	p->index = s->pack_count;
	p->next_poll = now_ms;
	s->pack[s->pack_count++] = p;
	for (unsigned i = 0; i < s->pack_count; i++)
		s->pack[i]->dev.packs = (uint8_t)s->pack_count;
	if (s->streams) { /* what detection has heard ages from now on */
		stream_start(&p->stream, s->protocol, now_ms);
		stream_published(&p->stream);
	}
	p->unwanted = unwanted(s, p->dev.address);
	if (!p->unwanted)
		s->io.found(s->io.ctx, p, now_ms);
	return p;
}

static struct session_pack *pack_at(struct session *s, uint8_t address)
{
	for (unsigned i = 0; i < s->pack_count; i++)
		if (s->pack[i]->dev.address == address)
			return s->pack[i];
	return NULL;
}

/* After a loss it may be another device: everything is asked anew, and nothing but the identity, which is
 * compared when it has been read again, is kept. */
static void start_anew(struct session_pack *p)
{
	struct reading fresh = {0};

	memcpy(fresh.text, p->dev.reading.text, sizeof(fresh.text));
	p->dev.reading = fresh;
	memset(&p->dev.settings, 0, sizeof(p->dev.settings));
	if (p->dev.state)
		memset(p->dev.state, 0, p->dev.protocol->state_size);
	memset(p->row, 0, sizeof(p->row));
	memset(&p->stream, 0, sizeof(p->stream));
}

static void note_good(struct session *s, struct session_pack *p, uint64_t now_ms)
{
	p->failures = 0;
	p->lost = false;
	p->error[0] = 0;
	p->good_ms = now_ms;
	p->poll_ms = now_ms - p->cycle_start;
	if (!p->unwanted)
		s->io.reading(s->io.ctx, p, now_ms);
}

static void note_missed(struct session *s, struct session_pack *p, const char *error, uint64_t now_ms)
{
	snprintf(p->error, sizeof(p->error), "%s", error);
	p->failures++;
	if (p->failures >= LOST_AFTER && !p->lost) {
		p->lost = true;
		p->identified = false;
		start_anew(p);
	}
	if (p->lost)
		p->next_poll = now_ms + LOST_RETRY_MS;
	if (!p->unwanted)
		s->io.missed(s->io.ctx, p, now_ms);
}

static int earliest_poll(const struct session *s)
{
	int best = -1;

	for (unsigned i = 0; i < s->pack_count; i++)
		if (best < 0 || s->pack[i]->next_poll < s->pack[best]->next_poll)
			best = (int)i;
	return best;
}

/* ---- sending ---- */

static void send_request(struct session *s, struct device *dev, struct request *request, uint64_t now_ms)
{
	uint32_t wire_ms = line_wire_ms(&s->line, request->n);

	if (!request->no_reply)
		request->first_ms = (uint16_t)(request->first_ms + s->slack_ms);
	exchange_begin(&s->x, dev, request, s->stats, now_ms, wire_ms);
	s->quieting = false;
	s->io.send(s->io.ctx, request);
}

/* ---- poll cycles ---- */

static bool row_due(const struct session_pack *p, unsigned row, uint64_t now_ms)
{
	const struct poll *poll = &p->dev.protocol->polls[row];

	return !p->row[row].unsupported && now_ms >= p->row[row].due && (!poll->wanted || poll->wanted(&p->dev));
}

static bool identified(const struct session_pack *p)
{
	const struct protocol *protocol = p->dev.protocol;

	for (unsigned r = 0; r < protocol->poll_count; r++)
		if (protocol->polls[r].every_ms == ONCE && p->row[r].misses < OPTIONAL_MISSES &&
		    row_due(p, r, UINT64_MAX - 1))
			return false;
	return true;
}

static void start_cycle(struct session *s, unsigned pack, uint64_t now_ms)
{
	struct session_pack *p = s->pack[pack];

	s->scan_burst = 0;
	s->cycling = pack;
	p->cycle_start = now_ms;
	p->optional_asked = p->optional_failed = false;
	p->published = false;
	for (unsigned r = 0; r < s->protocol->poll_count; r++)
		p->row[r].in_cycle = row_due(p, r, now_ms);
	/* From the time it was due, not from now, or the interval would grow by every delay. */
	p->next_poll += s->poll_ms;
	if (p->next_poll <= now_ms)
		p->next_poll = now_ms + s->poll_ms / 4;
}

static bool required_left(const struct session_pack *p)
{
	const struct protocol *protocol = p->dev.protocol;

	for (unsigned r = 0; r < protocol->poll_count; r++)
		if (p->row[r].in_cycle && protocol->polls[r].required)
			return true;
	return false;
}

static void end_cycle(struct session *s, uint64_t now_ms)
{
	struct session_pack *p = s->pack[s->cycling];
	bool was = p->identified;

	s->cycling = SESSION_MAX_PACKS;
	p->identified = identified(p);
	if (p->identified && !was)
		s->io.reading(s->io.ctx, p, now_ms);
}

static void fail_cycle(struct session *s, const char *error, uint64_t now_ms)
{
	struct session_pack *p = s->pack[s->cycling];

	s->cycling = SESSION_MAX_PACKS;
	note_missed(s, p, error, now_ms);
}

/* Optional rows give way to a poll that is due, but one a cycle has its turn. */
static bool optional_has_time(const struct session *s, const struct session_pack *p, uint64_t now_ms)
{
	int next = earliest_poll(s);

	if (p->optional_failed)
		return false;
	return !p->optional_asked || next < 0 || s->pack[next]->next_poll > now_ms;
}

/* Required rows first, then what tells who it is, then the rest. */
static int rank(const struct poll *row)
{
	return row->required ? 0 : row->every_ms == ONCE ? 1 : 2;
}

/* The row of the cycle that is asked next; -1: none is left. */
static int next_row(const struct session *s, const struct session_pack *p)
{
	const struct poll *polls = s->protocol->polls;
	int best = -1;

	for (unsigned r = 0; r < s->protocol->poll_count; r++)
		if (p->row[r].in_cycle && (best < 0 || rank(&polls[r]) < rank(&polls[best])))
			best = (int)r;
	return best;
}

/* Asks the next row of the cycle under way. False: the cycle is over. */
static bool send_row(struct session *s, uint64_t now_ms)
{
	struct session_pack *p = s->pack[s->cycling];
	struct request request;
	int r;

	while ((r = next_row(s, p)) >= 0) {
		const struct poll *row = &s->protocol->polls[r];

		if (!row->required && !optional_has_time(s, p, now_ms))
			break;
		if (!s->protocol->encode(&p->dev, row->code, row->arg, &request)) {
			p->row[r].in_cycle = false;
			p->row[r].unsupported = true;
			continue;
		}
		p->optional_asked = !row->required;
		s->work = WORK_POLL;
		s->at = s->cycling;
		s->row = (unsigned)r;
		send_request(s, &p->dev, &request, now_ms);
		return true;
	}
	end_cycle(s, now_ms);
	return false;
}

static void row_answered(struct session *s, uint64_t now_ms)
{
	struct session_pack *p = s->pack[s->at];
	const struct poll *row = &s->protocol->polls[s->row];

	s->tries = 0;
	p->row[s->row].in_cycle = false;
	p->row[s->row].misses = 0;
	p->row[s->row].due = row->every_ms == ONCE ? UINT64_MAX : p->cycle_start + row->every_ms;
	if (!p->published && !required_left(p)) {
		p->published = true;
		note_good(s, p, now_ms);
	}
}

static void optional_not_answered(struct session *s, struct session_pack *p, bool refused, uint64_t now_ms)
{
	p->row[s->row].in_cycle = false;
	p->row[s->row].unsupported = refused;
	p->optional_failed = !refused;
	if (p->row[s->row].misses < UINT8_MAX)
		p->row[s->row].misses++;
	p->row[s->row].due =
		now_ms + (p->row[s->row].misses < OPTIONAL_MISSES ? s->poll_ms
								  : (uint64_t)MISSED_AGAIN_MS * p->row[s->row].misses);
}

static void row_not_answered(struct session *s, const char *error, bool refused, uint64_t now_ms)
{
	struct session_pack *p = s->pack[s->at];
	bool required = s->protocol->polls[s->row].required;
	unsigned tries = p->lost || !required ? 1 : s->protocol->timing.tries;

	if (!refused && ++s->tries < tries)
		return; /* the row is still in the cycle: asked again */
	s->tries = 0;
	if (required)
		fail_cycle(s, error, now_ms);
	else
		optional_not_answered(s, p, refused, now_ms);
}

/* ---- commands ---- */

int session_command(struct session *s, unsigned pack, const struct command *command, const struct wall_time *now)
{
	if (s->listening || other_master(s))
		return -EPERM;
	if (s->command.active || pack >= s->pack_count)
		return -EBUSY;
	memset(&s->command, 0, sizeof(s->command));
	s->command.active = true;
	s->command.pack = pack;
	s->command.command = *command;
	s->command.procedure.command = &s->command.command;
	s->command.procedure.now = *now;
	return 0;
}

static void command_ended(struct session *s, uint64_t now_ms)
{
	struct session_pack *p = s->pack[s->command.pack];

	s->command.active = false;
	/* What the command changed shows in the next cycle: now, with everything that is asked rarely. */
	for (unsigned r = 0; r < s->protocol->poll_count; r++)
		if (s->protocol->polls[r].every_ms != ONCE)
			p->row[r].due = 0;
	p->next_poll = now_ms;
	s->io.command_done(s->io.ctx, p, &s->command.command, &s->command.next.outcome, now_ms);
}

/* Carries on with the command. True: a request went out. */
static bool run_command(struct session *s, uint64_t now_ms)
{
	struct session_pack *p = s->pack[s->command.pack];
	struct next *next = &s->command.next;

	for (;;) {
		if (!s->command.step_open) {
			procedure_next(&p->dev, &s->command.procedure, next);
			s->command.step_open = true;
			s->command.wait_end = now_ms + next->wait_ms;
			s->tries = 0;
		}
		if (next->what == NEXT_END) {
			command_ended(s, now_ms);
			return false;
		}
		if (next->what == NEXT_SEND) {
			struct request request = next->request;

			s->work = WORK_COMMAND;
			s->at = s->command.pack;
			send_request(s, &p->dev, &request, now_ms);
			return true;
		}
		if (now_ms < s->command.wait_end)
			return false;
		s->command.step_open = false;
		procedure_waited(&s->command.procedure);
	}
}

static void command_answered(struct session *s)
{
	enum step_result result = s->x.state == EXCHANGE_ANSWERED  ? STEP_ANSWERED
				  : s->x.state == EXCHANGE_REFUSED ? STEP_REFUSED
								   : STEP_SILENT;

	if (result == STEP_SILENT && ++s->tries < COMMAND_TRIES)
		return; /* the step stays open: sent again */
	s->command.step_open = false;
	procedure_answered(&s->command.procedure, result, s->x.why);
}

static bool command_waits(const struct session *s, uint64_t now_ms)
{
	return s->command.step_open && s->command.next.what == NEXT_WAIT && now_ms < s->command.wait_end;
}

/* ---- further packs on the cable ---- */

static bool scans(const struct session *s)
{
	return s->protocol->last_address && !s->listening && !s->streams && s->pack_count && s->pack_count < SESSION_MAX_PACKS &&
	       !(s->protocol->point_to_point >> s->pack[0]->dev.dialect & 1);
}

static bool scan_is_due(const struct session *s, uint64_t now_ms)
{
	return scans(s) && now_ms >= s->scan_due;
}

/* On a cable that is never idle, scanning still gets its turn. */
static bool scan_has_its_turn(const struct session *s, uint64_t now_ms)
{
	if (s->scanned_all)
		return now_ms > s->scan_last + SCAN_AGAIN_MS;
	return s->pack[0]->good_ms && s->scan_burst < SCAN_BURST;
}

static uint8_t scan_address(const struct session *s, unsigned i)
{
	return s->address_count ? s->addresses[i] : (uint8_t)(s->protocol->first_address + i);
}

static unsigned scan_count(const struct session *s)
{
	return s->address_count ? s->address_count : s->protocol->last_address - s->protocol->first_address + 1u;
}

static bool send_scan(struct session *s, uint64_t now_ms)
{
	struct request request;
	unsigned n = scan_count(s);

	for (unsigned tried = 0; tried < n; tried++) {
		uint8_t address = scan_address(s, s->scan_next);

		if (++s->scan_next >= n) {
			s->scan_next = 0;
			s->scanned_all = true;
		}
		if (pack_at(s, address))
			continue;
		void *state = s->scan_dev.state;
		const struct device *model = &s->pack[0]->dev;

		if (state)
			memset(state, 0, s->protocol->state_size);
		s->scan_dev = (struct device){.protocol = s->protocol,
					      .address = address,
					      .dialect = model->dialect,
					      .options = model->options,
					      .state = state};
		if (!s->protocol->encode(&s->scan_dev, s->protocol->polls[0].code, s->protocol->polls[0].arg, &request))
			continue;
		request.first_ms = s->protocol->timing.scan_ms;
		s->work = WORK_SCAN;
		s->scan_last = now_ms;
		s->scan_burst++;
		send_request(s, &s->scan_dev, &request, now_ms);
		return true;
	}
	s->scan_due = now_ms + SCAN_AGAIN_MS; /* every address has its pack */
	return false;
}

static void scan_answered(struct session *s, uint64_t now_ms)
{
	const char *why = NULL;

	s->scan_due = s->scanned_all ? now_ms + SCAN_AGAIN_MS : now_ms;
	if (s->x.state != EXCHANGE_ANSWERED || !reading_plausible(&s->scan_dev.reading, &why))
		return;
	struct device dev = s->scan_dev;

	if (!device_init(&s->scan_dev, s->protocol, 0, dev.dialect, &dev.options)) {
		s->scan_dev = dev;
		return;
	}
	add_pack(s, dev, now_ms);
}

/* ---- the machine ---- */

static void finished(struct session *s, uint64_t now_ms)
{
	bool failed = s->x.state == EXCHANGE_FAILED;
	enum work work = s->work;

	s->work = WORK_NONE;
	s->free_ms = now_ms + s->protocol->timing.pause_ms;
	if (!failed)
		s->heard_ms = now_ms;
	/* A reply that is only late must not meet the next request. */
	if (failed && work != WORK_SCAN) {
		s->free_ms = now_ms + s->protocol->timing.late_ms;
		s->quieting = true;
	}
	switch (work) {
	case WORK_POLL:
		if (s->x.state == EXCHANGE_ANSWERED)
			row_answered(s, now_ms);
		else
			row_not_answered(s, failed ? s->x.error : s->x.why ? s->x.why : "refused", !failed, now_ms);
		break;
	case WORK_COMMAND:
		command_answered(s);
		break;
	case WORK_SCAN:
		scan_answered(s, now_ms);
		break;
	case WORK_NONE:
		break;
	}
}

/* Chooses what to do on a free line. True: a request went out. */
static bool work_on(struct session *s, uint64_t now_ms)
{
	/* A command comes first, but a cycle that has begun is finished before it. */
	if (s->command.active && s->cycling == SESSION_MAX_PACKS && run_command(s, now_ms))
		return true;
	if (s->command.active && s->cycling == SESSION_MAX_PACKS)
		return false; /* it waits for its time; a poll between its steps could undo what it knows */
	if (s->cycling != SESSION_MAX_PACKS) {
		if (send_row(s, now_ms))
			return true;
		return work_on(s, now_ms);
	}
	if (scan_is_due(s, now_ms) && scan_has_its_turn(s, now_ms) && send_scan(s, now_ms))
		return true;
	int next = earliest_poll(s);
	if (next >= 0 && s->pack[next]->next_poll <= now_ms) {
		start_cycle(s, (unsigned)next, now_ms);
		s->tries = 0;
		return send_row(s, now_ms);
	}
	if (!scan_is_due(s, now_ms))
		return false;
	uint32_t cost = s->protocol->timing.scan_ms + s->protocol->timing.pause_ms;
	if (next < 0 || s->pack[next]->next_poll > now_ms + cost)
		return send_scan(s, now_ms);
	s->scan_due = s->pack[next]->next_poll + 1;
	return false;
}

/* What somebody has said to his master, or by itself. */
/* Another master asks in an order of its own: a cycle is whole when every required row has been heard. */
static bool heard_all(const struct session *s, struct session_pack *p, uint16_t code)
{
	bool all = true;

	for (unsigned r = 0; r < s->protocol->poll_count; r++) {
		const struct poll *row = &s->protocol->polls[r];

		if (row->code == code)
			p->heard |= UINT64_C(1) << r;
		if (row->required && (!row->wanted || row->wanted(&p->dev)))
			all = all && p->heard >> r & 1;
	}
	return all;
}

static void heard_answer(struct session *s, const struct request *as, struct bytes frame, uint64_t now_ms)
{
	struct session_pack *p = pack_at(s, as->address);
	struct device dev;
	const char *why = NULL;

	if (!p && device_init(&dev, s->protocol, as->address, as->dialect, &s->pack[0]->dev.options))
		p = add_pack(s, dev, now_ms);
	if (!p || s->protocol->take(&p->dev, as, frame, &why) != FRAME_ANSWER)
		return;
	s->stats->answers++;
	s->heard_ms = now_ms;
	p->identified = true;
	if (!heard_all(s, p, as->code))
		return;
	p->heard = 0;
	p->cycle_start = now_ms;
	note_good(s, p, now_ms);
}

/* An adapter may return what was sent. */
static bool is_own(const struct session *s, struct bytes frame)
{
	return frame.n == s->x.request.n && memcmp(frame.p, s->x.request.tx, frame.n) == 0;
}

static void foreign_request(struct session *s, uint64_t now_ms)
{
	if (now_ms > s->foreign_ms + UNHEARD_MS)
		s->foreign_requests = 0;
	s->foreign_requests++;
	s->foreign_ms = now_ms;
}

static void hear(struct session *s, bool quiet, uint64_t now_ms)
{
	while (s->hear_n) {
		struct bytes in = {s->hear, s->hear_n};
		struct request as;
		const char *why = NULL;
		int n = s->protocol->find_frame(NULL, in, quiet, &why);

		if (n == 0)
			return;
		if (n < 0 && why && s->listening)
			s->stats->bad_frames++;
		if (n > 0) {
			struct bytes frame = bytes_sub(in, 0, (size_t)n);
			enum heard heard = s->protocol->overhear(s->listen, frame, &as);

			if (heard == HEARD_ANSWER && s->listening)
				heard_answer(s, &as, frame, now_ms);
			else if (heard == HEARD_MASTER && !s->listening && !is_own(s, frame))
				foreign_request(s, now_ms);
		}
		size_t size = (size_t)(n < 0 ? -n : n);
		if (size > s->hear_n)
			size = s->hear_n;
		s->hear_n -= size;
		memmove(s->hear, s->hear + size, s->hear_n);
	}
}

static void overhear(struct session *s, struct bytes b, uint64_t now_ms)
{
	if (!s->listening && now_ms >= s->heard_byte_ms + s->protocol->timing.gap_ms)
		hear(s, true, now_ms);
	if (b.n > sizeof(s->hear) - s->hear_n)
		s->hear_n = 0;
	b = bytes_sub(b, 0, sizeof(s->hear));
	memcpy(s->hear + s->hear_n, b.p, b.n);
	s->hear_n += b.n;
	s->heard_byte_ms = now_ms;
	hear(s, false, now_ms);
}

/* From now on this session does not transmit. */
static void start_listening(struct session *s, uint64_t now_ms)
{
	s->listening = true;
	s->cycling = SESSION_MAX_PACKS;
	s->started_ms = now_ms; /* each pack has its time to be heard */
}

static uint32_t unheard_ms(const struct session *s)
{
	return s->streams && s->protocol->timing.unheard_ms ? s->protocol->timing.unheard_ms : UNHEARD_MS;
}

/* When not asking: a pack that has not been heard by then is missed. */
static uint64_t unheard_at(const struct session *s, const struct session_pack *p)
{
	uint64_t heard = p->good_ms > p->whole_ms ? p->good_ms : p->whole_ms;

	return (heard > s->started_ms ? heard : s->started_ms) + unheard_ms(s);
}

static void miss_unheard(struct session *s, uint64_t now_ms)
{
	char say[64];

	snprintf(say, sizeof(say), "not heard on this bus for %u s", unheard_ms(s) / 1000);
	for (unsigned i = 0; i < s->pack_count; i++) {
		struct session_pack *p = s->pack[i];

		if (now_ms < p->next_poll || now_ms < unheard_at(s, p))
			continue;
		p->next_poll = now_ms + s->poll_ms;
		note_missed(s, p, say, now_ms);
	}
}

/* ---- packs that speak by themselves ---- */

static struct session_pack *new_voice(struct session *s, const struct request *as, struct bytes frame, uint64_t now_ms)
{
	struct device dev;

	if (s->pack_count == SESSION_MAX_PACKS || !listen_hears(&s->others, as, frame, now_ms, &dev))
		return NULL;
	return add_pack(s, dev, now_ms);
}

/* A reading is due when all of it has come anew, but not more often than somebody wants it. */
static void publish_stream(struct session *s, struct session_pack *p, uint64_t now_ms)
{
	bool due = now_ms >= p->next_poll || p->failures;

	if (!stream_complete(&p->stream, &p->dev))
		return;
	p->whole_ms = now_ms;
	if (!due)
		return;
	stream_published(&p->stream);
	p->cycle_start = now_ms;
	p->next_poll = now_ms + s->poll_ms;
	p->identified = true;
	s->heard_ms = now_ms;
	note_good(s, p, now_ms);
}

static void hear_stream(struct session *s, struct bytes frame, uint64_t now_ms)
{
	struct request as;
	const char *why = NULL;

	if (s->protocol->overhear(s->listen, frame, &as) != HEARD_ANSWER || !(s->protocol->streams >> as.dialect & 1))
		return;
	struct session_pack *p = pack_at(s, as.address);

	if (!p) {
		new_voice(s, &as, frame, now_ms);
		return;
	}
	enum verdict verdict = s->protocol->take(&p->dev, &as, frame, &why);

	s->stats->bad_frames += verdict == FRAME_BAD;
	if (verdict != FRAME_ANSWER)
		return;
	s->stats->answers++;
	stream_heard(&p->stream, s->protocol, stream_row(s->protocol, &as), now_ms);
	publish_stream(s, p, now_ms);
}

static void tick_stream(struct session *s, uint64_t now_ms)
{
	for (unsigned i = 0; i < s->pack_count; i++)
		stream_age(&s->pack[i]->stream, &s->pack[i]->dev, now_ms);
	miss_unheard(s, now_ms);
}

static uint64_t stream_due(const struct session *s)
{
	uint64_t deadline = UINT64_MAX;

	for (unsigned i = 0; i < s->pack_count; i++) {
		const struct session_pack *p = s->pack[i];
		uint64_t age = stream_deadline(&p->stream, s->protocol);
		uint64_t missed = unheard_at(s, p) > p->next_poll ? unheard_at(s, p) : p->next_poll;

		deadline = age < deadline ? age : deadline;
		deadline = missed < deadline ? missed : deadline;
	}
	return deadline;
}

/* ---- what must be said all the time ---- */

static void keep_alive(struct session *s, uint64_t now_ms)
{
	struct request request;

	if (!s->protocol->keep_alive_ms || now_ms < s->keep_alive_at || !s->pack_count)
		return;
	s->keep_alive_at += s->protocol->keep_alive_ms;
	if (s->keep_alive_at <= now_ms)
		s->keep_alive_at = now_ms + s->protocol->keep_alive_ms;
	if (s->protocol->encode(&s->pack[0]->dev, s->protocol->keep_alive, 0, &request))
		s->io.send(s->io.ctx, &request);
}

void session_receive(struct session *s, struct bytes b, uint64_t now_ms)
{
	if (s->listening) {
		s->stats->bytes_in += b.n;
		overhear(s, b, now_ms);
		return;
	}
	for (struct bytes rest = b; s->streams && rest.n; rest = bytes_sub(rest, CAN_BYTES, rest.n))
		hear_stream(s, bytes_sub(rest, 0, CAN_BYTES), now_ms);
	if (s->streams && s->work == WORK_NONE) {
		s->stats->bytes_in += b.n;
		return;
	}
	if (s->protocol->overhear && s->protocol->link != LINK_CAN)
		overhear(s, b, now_ms);
	if (s->work == WORK_NONE) {
		if (!s->x.dev) {
			s->stats->noise_bytes += b.n;
			return;
		}
		if (exchange_late(&s->x, b, now_ms) && s->quieting) {
			uint64_t took = now_ms - s->x.sent_ms;
			uint64_t slack = took + took / 2 - s->x.request.first_ms + s->slack_ms;

			/* It answers, only slower than its sheet says: wait longer from now on. */
			if (took > s->x.request.first_ms && slack > s->slack_ms)
				s->slack_ms = slack < SLACK_MAX_MS ? (uint32_t)slack : SLACK_MAX_MS;
		}
		/* The line must be silent before the next request. */
		if (s->free_ms < now_ms + s->protocol->timing.pause_ms)
			s->free_ms = now_ms + s->protocol->timing.pause_ms;
		return;
	}
	exchange_receive(&s->x, b, now_ms);
	if (s->x.state != EXCHANGE_WAITING) {
		finished(s, now_ms);
		session_tick(s, now_ms);
	}
}

void session_tick(struct session *s, uint64_t now_ms)
{
	if (s->listening) {
		if (s->hear_n && now_ms >= s->heard_byte_ms + s->protocol->timing.gap_ms)
			hear(s, true, now_ms);
		miss_unheard(s, now_ms);
		return;
	}
	keep_alive(s, now_ms);
	if (s->streams)
		tick_stream(s, now_ms);
	for (int turns = 0; turns < 8; turns++) {
		if (s->work != WORK_NONE) {
			exchange_tick(&s->x, now_ms);
			if (s->x.state == EXCHANGE_WAITING)
				return;
			finished(s, now_ms);
		}
		/* A command that has begun is brought to its end: its outcome must be known. */
		if (other_master(s) && !s->command.active) {
			start_listening(s, now_ms);
			return;
		}
		if (now_ms < s->free_ms || !(s->streams ? s->command.active && run_command(s, now_ms) : work_on(s, now_ms)))
			return;
	}
}

/* When something is due that does not wait for the line. */
static uint64_t own_deadline(const struct session *s)
{
	uint64_t deadline = s->streams ? stream_due(s) : UINT64_MAX;

	return s->protocol->keep_alive_ms && s->keep_alive_at < deadline ? s->keep_alive_at : deadline;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t session_deadline(const struct session *s)
{
	uint64_t deadline = UINT64_MAX, own = own_deadline(s);
	int next = earliest_poll(s);

	if (s->work != WORK_NONE)
		return earlier(exchange_deadline(&s->x), own);
	if (s->streams && s->command.active)
		return earlier(command_waits(s, 0) ? s->command.wait_end : s->free_ms, own);
	if (s->streams)
		return own;
	if (next >= 0)
		deadline = s->pack[next]->next_poll;
	if (s->listening) {
		if (next >= 0 && unheard_at(s, s->pack[next]) > deadline)
			deadline = unheard_at(s, s->pack[next]);
		uint64_t quiet = s->heard_byte_ms + s->protocol->timing.gap_ms;
		return s->hear_n && quiet < deadline ? quiet : deadline;
	}
	if (s->cycling != SESSION_MAX_PACKS)
		deadline = s->free_ms;
	else if (s->command.active)
		deadline = command_waits(s, 0) ? s->command.wait_end : s->free_ms;
	else if (scans(s) && s->scan_due < deadline)
		deadline = s->scan_due;
	return earlier(deadline > s->free_ms ? deadline : s->free_ms, own);
}

struct session *session_new(struct device first, const struct line *line, bool listening, uint32_t poll_ms,
			    const uint8_t *addresses, unsigned address_count, struct session_io io,
			    struct line_stats *stats)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s || first.protocol->poll_count > SESSION_MAX_POLLS) {
		free(s);
		return NULL;
	}
	s->protocol = first.protocol;
	s->line = *line;
	s->listening = listening;
	s->poll_ms = poll_ms > first.protocol->timing.poll_ms ? poll_ms : first.protocol->timing.poll_ms;
	s->addresses = addresses;
	s->address_count = address_count;
	s->io = io;
	s->stats = stats;
	s->cycling = SESSION_MAX_PACKS;
	s->streams = s->protocol->streams >> first.dialect & 1;
	listen_init(&s->others, s->protocol, &first.options);
	if (s->protocol->listen_size)
		s->listen = calloc(1, s->protocol->listen_size);
	if ((s->protocol->listen_size && !s->listen) ||
	    !device_init(&s->scan_dev, s->protocol, 0, first.dialect, &first.options)) {
		free(s->listen);
		free(s);
		return NULL;
	}
	s->first = first;
	return s;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->pack_count; i++) {
		device_free(&s->pack[i]->dev);
		free(s->pack[i]);
	}
	device_free(&s->first);
	device_free(&s->scan_dev);
	listen_free(&s->others);
	free(s->listen);
	free(s);
}

void session_start(struct session *s, uint64_t now_ms)
{
	s->started_ms = s->heard_ms = now_ms;
	s->free_ms = now_ms + s->protocol->timing.pause_ms;
	s->scan_last = now_ms;
	struct session_pack *p = add_pack(s, s->first, now_ms);

	s->first.state = NULL;	 /* the pack has it now */
	s->keep_alive_at = now_ms;
	if (p && (s->listening || s->streams)) { /* what detection has heard is a reading */
		p->cycle_start = now_ms;
		p->identified = true;
		note_good(s, p, now_ms);
		p->next_poll = now_ms + s->poll_ms;
	}
	session_tick(s, now_ms);
}

unsigned session_packs(const struct session *s)
{
	return s->pack_count;
}

unsigned session_wanted(const struct session *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->pack_count; i++)
		n += !s->pack[i]->unwanted;
	return n;
}

struct session_pack *session_pack(struct session *s, unsigned i)
{
	return i < s->pack_count ? s->pack[i] : NULL;
}

bool session_streams(const struct session *s)
{
	return s->streams;
}

bool session_has(const struct session *s, const struct session_pack *pack)
{
	for (unsigned i = 0; i < s->pack_count; i++)
		if (s->pack[i] == pack)
			return true;
	return false;
}

bool session_listening(const struct session *s)
{
	return s->listening;
}

bool session_searching(const struct session *s, uint64_t now_ms)
{
	if (s->listening)
		return now_ms < s->started_ms + HEAR_ALL_MS;
	if (s->streams)
		return now_ms < s->started_ms + s->protocol->timing.listen_ms;
	return scans(s) && !s->scanned_all;
}

uint64_t session_silent_since(const struct session *s)
{
	for (unsigned i = 0; i < s->pack_count; i++)
		if (!s->pack[i]->lost)
			return 0;
	return s->heard_ms;
}
