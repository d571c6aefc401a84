/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/detect.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/listen.h"
#include "model/wire.h"
#include "model/wire.h"

enum {
	BUSY_GAP_MS = 25,  /* silence that ends a burst of bytes */
	PART_GAP_MS = 60,  /* the same inside what may be the answer: some pause between pieces */
	BUSY_MAX_MS = 400, /* a line that never falls silent is not waited for longer */
	IN_VAIN = 16,	   /* windows full of bytes that were no frames: this is noise */
	DEAF_MS = 100,	   /* after an answer: eg4-ll hears nothing so long */
	REST_MS = 2000,	   /* after the first patient sweep; doubles up to */
	REST_MAX_MS = 10000,
	LISTEN_MS = 6000, /* a bus master's cycle is about 4.4 s (sheet jk-pb 9) */
	LISTEN_ANSWERS = 2,
	LISTEN_LEAST_MS = 1500, /* on CAN, before anything is asked */
	NEVER_MS = 60000, /* detection closes the windows itself */
	NEAR = 3,	  /* addresses so far from the usual one are asked before patience is tried */
	COMMON = 4,	  /* so many protocols have nine of ten batteries */
	RAREST = 2,	  /* the last pass of probes */
};

struct candidate {
	const struct protocol *protocol;
	const struct line *lines;
	struct device dev;
	struct exchange x;
	const char *refused; /* why, in this window; NULL: it has not */
	unsigned frames;     /* whole frames in this sweep that were no answer */
	bool heard;	     /* listened to in this sweep, without success */
	void *listen;
	size_t hear_n;
	uint8_t hear[EXCHANGE_INBOX];
};

struct step {
	uint8_t candidate, row, line;
	uint8_t address;
	bool patient;
};

enum phase { PHASE_RESTING, PHASE_PROBING, PHASE_CONFIRMING, PHASE_LISTENING, PHASE_FOUND };

struct detect {
	struct detect_io io;
	struct line_stats *stats;  /* of the port */
	struct line_stats scratch; /* what the candidates count is of no interest to people */
	struct protocol_options options;
	struct detect_hint hint;
	const uint8_t *addresses;
	unsigned address_count;
	struct candidate *candidate;
	unsigned candidate_count;

	struct step *plan;
	unsigned plan_count, plan_room, at;
	unsigned sweep;
	uint64_t started_ms;

	enum phase phase;
	struct candidate *asked; /* whose window is open, who is confirmed or listened to */
	struct line line;	 /* as set now; baud 0: not set */
	bool window_open;
	uint64_t sent_ms, window_end, busy_end, last_byte_ms, free_ms, rest_end;
	size_t received; /* in this window */
	char tx[48];
	uint8_t sample[16];
	unsigned confirm_at, confirm_try;
	unsigned heard_answers;
	unsigned in_vain; /* windows in which bytes came and no frame, since the last frame */
	bool spoke;	  /* somebody, before this sweep */
	bool listening;

	bool can, bus_spoke, insist;
	struct listen streams; /* CAN: who speaks by himself */

	struct attempt attempt[DETECT_MAX_ATTEMPTS];
	unsigned attempt_count;
};

/* ---- candidates ---- */

/* A bus has the bit rate that it has. */
static const struct line *lines_of(const struct protocol *p)
{
	static const struct line as_it_is[] = {{250000, 8, 'N', 1}, {0}};

	return p->link == LINK_CAN ? as_it_is : p->lines;
}

static void reset_device(struct detect *d, struct candidate *c, uint8_t address, uint8_t dialect)
{
	void *state = c->dev.state;

	if (state)
		memset(state, 0, c->protocol->state_size);
	c->dev = (struct device){
		.protocol = c->protocol, .address = address, .dialect = dialect, .options = d->options, .state = state};
}

static bool speaks_on(const struct candidate *c, const struct line *line)
{
	for (const struct line *l = c->lines; l && l->baud; l++)
		if (line_equal(l, line))
			return true;
	return false;
}

/* In this sweep or an earlier one: whole frames, whatever they said. */
static bool anybody_spoke(const struct detect *d)
{
	if (d->spoke || d->bus_spoke)
		return true;
	for (unsigned i = 0; i < d->candidate_count; i++)
		if (d->candidate[i].frames || d->candidate[i].heard)
			return true;
	return false;
}

/* ---- the plan of a sweep ---- */

static bool plan_add(struct detect *d, struct step s)
{
	if (d->plan_count == d->plan_room) {
		unsigned room = d->plan_room ? 2 * d->plan_room : 32;
		struct step *plan = realloc(d->plan, room * sizeof(*plan));

		if (!plan)
			return false;
		d->plan = plan;
		d->plan_room = room;
	}
	d->plan[d->plan_count++] = s;
	return true;
}

static void plan_step(struct detect *d, struct step s, unsigned address)
{
	s.address = (uint8_t)address;
	plan_add(d, s);
}

/* One row at its usual address, or at those that the user has given. */
static void plan_usual(struct detect *d, struct step s, const struct probe *p)
{
	if (!d->address_count || !p->last_address) {
		plan_step(d, s, p->address);
		return;
	}
	for (unsigned i = 0; i < d->address_count; i++)
		plan_step(d, s, d->addresses[i]);
}

/* Which questions, how, and where. */
struct selection {
	uint8_t first_pass, last_pass; /* rows of these passes */
	bool usual_line, other_lines;  /* the protocol's first line; its others */
	bool patient;
	unsigned nth; /* of the row's addresses; 0 = the usual one */
	enum { ALL, COMMON_ONES, OTHER_ONES } who;
};

static void plan_rows(struct detect *d, struct step s, const struct protocol *p, const struct selection *wanted)
{
	for (unsigned r = 0; r < p->probe_count; r++) {
		const struct probe *row = &p->probes[r];

		if (row->pass < wanted->first_pass || row->pass > wanted->last_pass)
			continue;
		s.row = (uint8_t)r;
		if (!wanted->nth)
			plan_usual(d, s, row);
		else if (!d->address_count && row->address + wanted->nth <= row->last_address)
			plan_step(d, s, row->address + wanted->nth);
	}
}

/* All protocols on one line. */
static void plan_line(struct detect *d, const struct line *line, const struct selection *wanted)
{
	for (unsigned c = 0; c < d->candidate_count; c++) {
		const struct protocol *p = d->candidate[c].protocol;
		struct step s = {.candidate = (uint8_t)c, .patient = wanted->patient};

		if (wanted->who != ALL && (c < COMMON) != (wanted->who == COMMON_ONES))
			continue;
		for (unsigned l = 0; d->candidate[c].lines[l].baud; l++) {
			s.line = (uint8_t)l;
			if ((l ? wanted->other_lines : wanted->usual_line) &&
			    line_equal(&d->candidate[c].lines[l], line))
				plan_rows(d, s, p, wanted);
		}
	}
}

/* Lines in the order of the most common protocol on them, so that the speed changes rarely. */
static void plan(struct detect *d, struct selection wanted)
{
	struct line done[32];
	unsigned n = 0;

	for (unsigned c = 0; c < d->candidate_count; c++) {
		const struct line *l = d->candidate[c].lines;

		for (; l->baud; l++) {
			unsigned i = 0;

			while (i < n && !line_equal(&done[i], l))
				i++;
			if (i < n || n == sizeof(done) / sizeof(done[0]))
				continue;
			done[n++] = *l;
			plan_line(d, l, &wanted);
		}
	}
}

/* Addresses that lie so far from the usual ones; low ones are the likely ones, of all protocols. */
static void plan_addresses(struct detect *d, struct selection wanted, unsigned from, unsigned to)
{
	wanted.last_pass = RAREST;
	wanted.usual_line = true;
	for (wanted.nth = from; wanted.nth <= to; wanted.nth++)
		plan(d, wanted);
}

/* What answered here before, as it was asked then. A question that may do harm elsewhere keeps its place. */
static void plan_hint(struct detect *d)
{
	const struct protocol *p = d->candidate_count ? d->candidate[0].protocol : NULL;

	if (!p || p != d->hint.protocol || d->address_count)
		return;
	const struct line *lines = d->candidate[0].lines;

	for (unsigned l = 0; lines[l].baud; l++)
		for (unsigned r = 0; r < p->probe_count && line_equal(&lines[l], &d->hint.line); r++) {
			const struct probe *row = &p->probes[r];
			unsigned last = row->last_address ? row->last_address : row->address;
			struct step s = {
				.row = (uint8_t)r, .line = (uint8_t)l, .address = d->hint.address, .patient = true};

			if (row->dialect == d->hint.dialect && !row->only_when_silent &&
			    d->hint.address >= row->address && d->hint.address <= last) {
				plan_add(d, s);
				return;
			}
		}
}

/* From the likely to the unlikely. */
static void plan_sweep(struct detect *d)
{
	bool again = d->sweep > DETECT_QUICK + 1;

	d->spoke = anybody_spoke(d);
	d->plan_count = 0;
	d->at = 0;
	for (unsigned i = 0; i < d->candidate_count; i++) {
		d->candidate[i].frames = 0;
		d->candidate[i].heard = false;
	}
	if (d->sweep == DETECT_QUICK) {
		plan_hint(d);
		plan(d, (struct selection){0, 0, .usual_line = true});
		plan(d, (struct selection){1, 1, .usual_line = true});
		return;
	}
	if (d->candidate_count <= COMMON) /* their slowness costs little */
		plan(d, (struct selection){0, RAREST - 1, .usual_line = true, .patient = true});
	plan_addresses(d, (struct selection){.who = COMMON_ONES, .other_lines = again}, 1, UINT8_MAX);
	plan_addresses(d, (struct selection){.who = OTHER_ONES, .other_lines = again}, 1, NEAR);
	plan(d, (struct selection){RAREST, RAREST, .usual_line = true, .patient = true});
	plan(d, (struct selection){0, RAREST, .other_lines = true, .patient = again});
	if (d->candidate_count > COMMON)
		plan(d, (struct selection){0, RAREST - 1, .usual_line = true, .patient = true});
	plan_addresses(d, (struct selection){.who = OTHER_ONES, .other_lines = again}, NEAR + 1, UINT8_MAX);
}

/* ---- reporting ---- */

__attribute__((format(printf, 3, 4))) static void note_attempt(struct detect *d, uint64_t now_ms, const char *say, ...)
{
	va_list args;

	if (d->attempt_count == DETECT_MAX_ATTEMPTS) {
		memmove(d->attempt, d->attempt + 1, sizeof(d->attempt) - sizeof(d->attempt[0]));
		d->attempt_count--;
	}
	struct attempt *a = &d->attempt[d->attempt_count++];

	*a = (struct attempt){
		.protocol = d->asked->protocol,
		.line = d->line,
		.address = d->asked->dev.address,
		.sweep = d->sweep,
		.ms = (uint32_t)(now_ms - d->sent_ms),
		.received = d->received,
	};
	memcpy(a->tx, d->tx, sizeof(a->tx));
	va_start(args, say);
	vsnprintf(a->say, sizeof(a->say), say, args);
	va_end(args);
}

static bool is_text(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((p[i] < ' ' || p[i] > '~') && p[i] != '\r' && p[i] != '\n' && p[i] != '\t')
			return false;
	return n > 0;
}

static void note_silence(struct detect *d, uint64_t now_ms)
{
	const struct exchange *x = &d->asked->x;
	size_t n = d->received < sizeof(d->sample) ? d->received : sizeof(d->sample);
	char text[2 * sizeof(d->sample) + 3];

	if (is_text(d->sample, n))
		bytes_text((struct bytes){d->sample, n}, text, sizeof(text));
	else
		wire_text(d->asked->protocol->link, (struct bytes){d->sample, n}, text, sizeof(text));
	if (d->asked->refused)
		note_attempt(d, now_ms, "answers, but refuses: %s", d->asked->refused);
	else if (x->why)
		note_attempt(d, now_ms, "rejected: %s", x->why);
	else if (x->echoed && !x->received)
		note_attempt(d, now_ms, "only our own bytes came back (adapter with echo, or a sleeping BMS)");
	else if (d->received)
		note_attempt(d, now_ms, "%zu bytes, none of this protocol: %s%s", d->received, text,
			     n < d->received ? ".." : "");
	else
		note_attempt(d, now_ms, "silence");
}

/* ---- asking ---- */

static void send_request(struct detect *d, struct request *request, uint32_t window_ms, uint64_t now_ms)
{
	uint32_t wire_ms = line_wire_ms(&d->line, request->n);

	exchange_begin(&d->asked->x, &d->asked->dev, request, &d->scratch, now_ms, wire_ms);
	d->sent_ms = now_ms;
	d->window_end = now_ms + wire_ms + window_ms;
	d->busy_end = d->window_end + BUSY_MAX_MS;
	d->free_ms = now_ms + wire_ms + d->asked->protocol->timing.pause_ms;
	d->received = 0;
	d->window_open = true;
	wire_text(d->asked->protocol->link, (struct bytes){request->tx, request->n}, d->tx, sizeof(d->tx));
	d->stats->bytes_out += request->n;
	d->stats->requests++;
	d->io.send(d->io.ctx, request);
}

static void set_line(struct detect *d, const struct line *line)
{
	if (line_equal(&d->line, line))
		return;
	d->line = *line;
	d->io.set_line(d->io.ctx, line);
	for (unsigned i = 0; i < d->candidate_count; i++) {
		d->candidate[i].x.state = EXCHANGE_IDLE;
		d->candidate[i].hear_n = 0;
	}
}

/* Two requests of one protocol keep its pause; another protocol need not care about a silent one. Who has answered
 * anything may be deaf for a while. */
static bool must_pause(const struct detect *d, const struct candidate *next, uint64_t now_ms)
{
	return now_ms < d->free_ms && (d->asked == next || (d->asked && d->asked->x.frames));
}

static void next_sweep(struct detect *d, uint64_t now_ms)
{
	uint64_t rest = 0;

	if (d->sweep > DETECT_QUICK) {
		unsigned doublings = d->sweep - 1 < 8 ? d->sweep - 1 : 8;

		rest = (uint64_t)REST_MS << doublings;
		if (rest > REST_MAX_MS)
			rest = REST_MAX_MS;
	}
	d->sweep++;
	d->asked = NULL;
	d->phase = PHASE_RESTING;
	d->rest_end = now_ms + rest;
}

static void probe_next(struct detect *d, uint64_t now_ms)
{
	while (d->at < d->plan_count) {
		const struct step *s = &d->plan[d->at];
		struct candidate *c = &d->candidate[s->candidate];
		const struct probe *row = &c->protocol->probes[s->row];
		struct request request;

		if (row->only_when_silent && anybody_spoke(d)) {
			d->at++;
			continue;
		}
		if (must_pause(d, c, now_ms))
			return;
		d->at++;
		reset_device(d, c, s->address, row->dialect);
		c->refused = NULL;
		set_line(d, &c->lines[s->line]);
		if (!c->protocol->encode(&c->dev, row->code, row->arg, &request))
			continue;
		d->asked = c;
		d->phase = PHASE_PROBING;
		uint32_t window = s->patient ? request.first_ms : row->window_ms;
		request.first_ms = NEVER_MS;
		send_request(d, &request, window, now_ms);
		return;
	}
	next_sweep(d, now_ms);
}

static void confirm_next(struct detect *d, uint64_t now_ms)
{
	struct candidate *c = d->asked;
	struct request request;

	if (d->confirm_at < c->protocol->confirm_count) {
		if (now_ms < d->free_ms)
			return;
		if (c->protocol->encode(&c->dev, c->protocol->confirm[d->confirm_at], 0, &request)) {
			send_request(d, &request, request.first_ms, now_ms);
			return;
		}
	}
	const char *why = "it is no such device";

	d->window_open = false;
	if (c->protocol->plausible(&c->dev, &why)) {
		note_attempt(d, now_ms, "confirmed");
		d->phase = PHASE_FOUND;
		return;
	}
	note_attempt(d, now_ms, "answers, but %s", why);
	c->frames++;
	d->phase = PHASE_PROBING;
	probe_next(d, now_ms);
}

static void start_confirming(struct detect *d, struct candidate *c, uint64_t now_ms)
{
	d->asked = c;
	note_attempt(d, now_ms, "answers");
	d->phase = PHASE_CONFIRMING;
	d->window_open = false;
	d->confirm_at = d->confirm_try = 0;
	c->hear_n = 0;
	d->free_ms = now_ms + c->protocol->timing.pause_ms;
	confirm_next(d, now_ms);
}

/* ---- listening to somebody else's exchanges ---- */

static void heard_answer(struct detect *d, struct candidate *c, const struct request *as, struct bytes frame,
			 uint64_t now_ms)
{
	const char *why = NULL;

	if (c->dev.address != as->address || !d->heard_answers)
		reset_device(d, c, as->address, as->dialect);
	if (c->protocol->take(&c->dev, as, frame, &why) != FRAME_ANSWER)
		return;
	d->heard_answers++;
	if (d->heard_answers >= LISTEN_ANSWERS && c->protocol->plausible(&c->dev, &why)) {
		note_attempt(d, now_ms, "overheard: this bus has a master, bmscope only listens");
		d->listening = true;
		d->phase = PHASE_FOUND;
	}
}

static void hear(struct detect *d, struct candidate *c, bool quiet, uint64_t now_ms)
{
	while (c->hear_n && d->phase != PHASE_FOUND) {
		struct bytes in = {c->hear, c->hear_n};
		struct request as;
		const char *why = NULL;
		int n = c->protocol->find_frame(NULL, in, quiet, &why);

		if (n == 0)
			return;
		enum heard heard = HEARD_NOTHING;
		if (n > 0)
			heard = c->protocol->overhear(c->listen, bytes_sub(in, 0, (size_t)n), &as);
		if (heard != HEARD_NOTHING && d->phase == PHASE_PROBING && !c->heard) {
			d->asked = c;
			d->phase = PHASE_LISTENING;
			d->heard_answers = 0;
			d->window_end = now_ms + LISTEN_MS;
		}
		if (heard == HEARD_ANSWER && d->phase == PHASE_LISTENING && d->asked == c)
			heard_answer(d, c, &as, bytes_sub(in, 0, (size_t)n), now_ms);
		size_t size = (size_t)(n < 0 ? -n : n);
		if (size > c->hear_n)
			size = c->hear_n;
		c->hear_n -= size;
		memmove(c->hear, c->hear + size, c->hear_n);
	}
}

static void listen_to(struct detect *d, struct candidate *c, struct bytes b, uint64_t now_ms)
{
	if (!c->protocol->overhear)
		return;
	if (b.n > sizeof(c->hear) - c->hear_n)
		c->hear_n = 0;
	b = bytes_sub(b, 0, sizeof(c->hear));
	memcpy(c->hear + c->hear_n, b.p, b.n);
	c->hear_n += b.n;
	/* While its own answer may be coming, that is not somebody else's. */
	if (!(d->window_open && d->asked == c && d->phase == PHASE_PROBING))
		hear(d, c, false, now_ms);
}

/* ---- the machine ---- */

/* How long a silence after the last byte is waited for; not at all where bytes never become a frame. */
static uint32_t busy_gap(const struct detect *d)
{
	if (d->in_vain >= IN_VAIN)
		return 0;
	return d->asked->x.in_n ? PART_GAP_MS : BUSY_GAP_MS;
}

static void close_window(struct detect *d, uint64_t now_ms)
{
	struct candidate *c = d->asked;

	note_silence(d, now_ms);
	d->in_vain = c->x.frames ? 0 : d->in_vain + (d->received > 0);
	d->window_open = false;
	if (c->x.frames && d->free_ms < d->last_byte_ms + DEAF_MS)
		d->free_ms = d->last_byte_ms + DEAF_MS;
	if (c->protocol->overhear && !d->can)
		hear(d, c, false, now_ms);
	if (d->phase == PHASE_PROBING)
		probe_next(d, now_ms);
}

/* Looks at how the candidates' exchanges stand after bytes or time. */
static void review(struct detect *d, uint64_t now_ms)
{
	for (unsigned i = 0; i < d->candidate_count && d->phase == PHASE_PROBING; i++) {
		struct candidate *c = &d->candidate[i];

		if (c->x.state == EXCHANGE_ANSWERED) {
			c->x.state = EXCHANGE_IDLE;
			start_confirming(d, c, now_ms);
			return;
		}
		if (c->x.state != EXCHANGE_REFUSED)
			continue;
		/* A refusal may be a late one, to another protocol's question: the window stays open. */
		c->x.state = EXCHANGE_WAITING;
		c->refused = c->x.why ? c->x.why : "no reason given";
		c->frames++;
	}
}

static void review_confirmation(struct detect *d, uint64_t now_ms)
{
	struct candidate *c = d->asked;

	if (c->x.state == EXCHANGE_WAITING || !d->window_open)
		return;
	d->window_open = false;
	d->free_ms = now_ms + c->protocol->timing.pause_ms;
	if (c->x.state == EXCHANGE_ANSWERED) {
		d->confirm_at++;
		d->confirm_try = 0;
	} else if (++d->confirm_try >= c->protocol->timing.tries) {
		note_attempt(d, now_ms, "answered once, but not when asked more: %s",
			     c->x.state == EXCHANGE_REFUSED && c->x.why ? c->x.why : c->x.error);
		c->frames++;
		d->phase = PHASE_PROBING;
		probe_next(d, now_ms);
		return;
	}
	confirm_next(d, now_ms);
}

/* ---- a CAN bus ---- */

/* On a bus nobody asks before he has listened. */
static uint32_t listen_ms(const struct detect *d)
{
	uint32_t ms = d->can ? d->candidate[0].protocol->timing.listen_ms : 0;

	return d->can && ms < LISTEN_LEAST_MS ? LISTEN_LEAST_MS : ms;
}

static bool may_ask(const struct detect *d)
{
	const struct candidate *c = &d->candidate[0];

	if (!d->can)
		return true;
	return c->protocol->probe_count &&
	       (d->insist || !c->protocol->may_ask || c->protocol->may_ask(c->listen, !d->bus_spoke));
}

/* Did somebody say this by himself, and does it make him known? */
static bool makes_known(struct detect *d, struct bytes frame, uint64_t now_ms)
{
	struct candidate *c = &d->candidate[0];
	struct request as;
	struct device dev;

	if (!c->protocol->overhear || c->protocol->overhear(c->listen, frame, &as) != HEARD_ANSWER)
		return false;
	if (!(c->protocol->streams >> as.dialect & 1) || !listen_hears(&d->streams, &as, frame, now_ms, &dev))
		return false;
	device_free(&c->dev);
	c->dev = dev;
	d->asked = c;
	d->sent_ms = d->started_ms;
	d->tx[0] = 0;
	note_attempt(d, now_ms, "speaks by itself");
	d->window_open = false;
	d->phase = PHASE_FOUND;
	return true;
}

static void take_bytes(struct detect *d, struct bytes b, uint64_t now_ms);

static void take_frames(struct detect *d, struct bytes run, uint64_t now_ms)
{
	for (; run.n && d->phase != PHASE_FOUND; run = bytes_sub(run, CAN_BYTES, run.n)) {
		struct bytes frame = bytes_sub(run, 0, CAN_BYTES);

		if (!makes_known(d, frame, now_ms) && d->phase != PHASE_RESTING)
			take_bytes(d, frame, now_ms);
	}
}

void detect_insist(struct detect *d)
{
	d->insist = true;
}

void detect_bus_spoke(struct detect *d)
{
	d->bus_spoke = true;
}

bool detect_yields(const struct detect *d)
{
	return d->phase == PHASE_FOUND && d->asked->protocol->yields >> d->asked->dev.dialect & 1;
}

/* ---- bytes and time ---- */

static void take_bytes(struct detect *d, struct bytes b, uint64_t now_ms)
{
	d->stats->bytes_in += b.n;
	d->last_byte_ms = now_ms;
	for (size_t i = 0; i < b.n && d->received + i < sizeof(d->sample); i++)
		d->sample[d->received + i] = b.p[i];
	d->received += b.n;
	if (d->phase == PHASE_CONFIRMING) {
		exchange_receive(&d->asked->x, b, now_ms);
		review_confirmation(d, now_ms);
		return;
	}
	for (unsigned i = 0; i < d->candidate_count; i++)
		if (d->candidate[i].x.state == EXCHANGE_WAITING)
			exchange_receive(&d->candidate[i].x, b, now_ms);
	review(d, now_ms);
	for (unsigned i = 0; i < d->candidate_count; i++)
		if (!d->can &&
		    (d->phase == PHASE_PROBING || d->phase == PHASE_LISTENING || d->phase == PHASE_RESTING) &&
		    speaks_on(&d->candidate[i], &d->line))
			listen_to(d, &d->candidate[i], b, now_ms);
}

void detect_receive(struct detect *d, struct bytes b, uint64_t now_ms)
{
	if (d->phase == PHASE_FOUND)
		return;
	if (d->can)
		take_frames(d, b, now_ms);
	else
		take_bytes(d, b, now_ms);
}

void detect_tick(struct detect *d, uint64_t now_ms)
{
	switch (d->phase) {
	case PHASE_FOUND:
		return;
	case PHASE_RESTING:
		if (now_ms < d->rest_end)
			return;
		if (!may_ask(d)) { /* then it goes on listening */
			d->sweep++;
			d->rest_end = now_ms + listen_ms(d);
			return;
		}
		plan_sweep(d);
		probe_next(d, now_ms);
		return;
	case PHASE_CONFIRMING:
		if (!d->window_open) {
			confirm_next(d, now_ms);
			return;
		}
		exchange_tick(&d->asked->x, now_ms);
		review_confirmation(d, now_ms);
		return;
	case PHASE_LISTENING:
		if (d->asked->hear_n && now_ms >= d->last_byte_ms + BUSY_GAP_MS)
			hear(d, d->asked, true, now_ms);
		if (d->phase == PHASE_FOUND || now_ms < d->window_end)
			return;
		note_attempt(d, now_ms, "another master speaks here, but no device answers it");
		d->asked->heard = true;
		d->phase = PHASE_PROBING;
		probe_next(d, now_ms);
		return;
	case PHASE_PROBING:
		break;
	}
	for (unsigned i = 0; i < d->candidate_count; i++)
		exchange_tick(&d->candidate[i].x, now_ms);
	review(d, now_ms);
	if (d->phase != PHASE_PROBING)
		return;
	bool busy = !d->can && d->received && now_ms < d->last_byte_ms + busy_gap(d) && now_ms < d->busy_end;

	if (!d->window_open)
		probe_next(d, now_ms);
	else if (now_ms >= d->window_end && !busy)
		close_window(d, now_ms);
}

static uint64_t probing_deadline(const struct detect *d)
{
	uint64_t deadline = UINT64_MAX;

	if (!d->window_open)
		return d->free_ms;
	for (unsigned i = 0; i < d->candidate_count; i++) {
		uint64_t x = exchange_deadline(&d->candidate[i].x);

		if (x < deadline)
			deadline = x;
	}
	uint64_t window = d->window_end;
	if (!d->can && d->received && d->last_byte_ms + busy_gap(d) > window)
		window = d->last_byte_ms + busy_gap(d);
	if (window > d->busy_end)
		window = d->busy_end;
	return window < deadline ? window : deadline;
}

uint64_t detect_deadline(const struct detect *d)
{
	switch (d->phase) {
	case PHASE_RESTING:
		return d->rest_end;
	case PHASE_PROBING:
		return probing_deadline(d);
	case PHASE_CONFIRMING:
		return d->window_open ? exchange_deadline(&d->asked->x) : d->free_ms;
	case PHASE_LISTENING:
		return d->asked->hear_n && d->last_byte_ms + BUSY_GAP_MS < d->window_end ? d->last_byte_ms + BUSY_GAP_MS
											 : d->window_end;
	case PHASE_FOUND:
		break;
	}
	return UINT64_MAX;
}

/* ---- life ---- */

struct detect *detect_new(const struct protocol *const *protocols, const struct detect_hint *hint,
			  const uint8_t *addresses, unsigned address_count, const struct protocol_options *options,
			  struct detect_io io, struct line_stats *stats)
{
	struct detect *d = calloc(1, sizeof(*d));
	unsigned n = 0;

	if (!d)
		return NULL;
	while (protocols[n])
		n++;
	d->candidate = calloc(n ? n : 1, sizeof(*d->candidate));
	if (!d->candidate) {
		free(d);
		return NULL;
	}
	d->io = io;
	d->stats = stats;
	d->addresses = addresses;
	d->address_count = address_count;
	if (options)
		d->options = *options;
	if (hint)
		d->hint = *hint;
	d->can = protocols[0] && protocols[0]->link == LINK_CAN;
	if (d->can)
		listen_init(&d->streams, protocols[0], options);
	for (int pass = 0; pass < 2; pass++) { /* the remembered one comes first */
		for (unsigned i = 0; i < n; i++) {
			if ((protocols[i] == d->hint.protocol) != (pass == 0))
				continue;
			if (protocols[i]->link != protocols[0]->link)
				continue; /* a line is of one kind */
			struct candidate *c = &d->candidate[d->candidate_count++];

			c->protocol = protocols[i];
			c->lines = lines_of(protocols[i]);
			c->listen = c->protocol->listen_size ? calloc(1, c->protocol->listen_size) : NULL;
			if (!device_init(&c->dev, c->protocol, 0, 0, options) ||
			    (c->protocol->listen_size && !c->listen)) {
				detect_free(d);
				return NULL;
			}
		}
	}
	return d;
}

void detect_free(struct detect *d)
{
	if (!d)
		return;
	for (unsigned i = 0; i < d->candidate_count; i++) {
		device_free(&d->candidate[i].dev);
		free(d->candidate[i].listen);
	}
	listen_free(&d->streams);
	free(d->candidate);
	free(d->plan);
	free(d);
}

void detect_start(struct detect *d, uint64_t now_ms)
{
	d->started_ms = now_ms;
	d->sweep = DETECT_QUICK;
	d->phase = PHASE_RESTING;
	d->rest_end = now_ms + listen_ms(d);
	detect_tick(d, now_ms);
}

enum detect_state detect_state(const struct detect *d)
{
	return d->phase == PHASE_FOUND ? DETECT_FOUND : DETECT_RUNNING;
}

struct device detect_take(struct detect *d, bool *listening)
{
	struct device dev = d->asked->dev;

	d->asked->dev.state = NULL;
	*listening = d->listening;
	return dev;
}

struct detect_progress detect_progress(const struct detect *d, uint64_t now_ms)
{
	struct detect_progress p = {
		.sweep = d->sweep,
		.step = d->at,
		.steps = d->plan_count,
		.confirming = d->phase == PHASE_CONFIRMING,
		.started_ms = d->started_ms,
	};

	if (d->asked && d->phase != PHASE_RESTING) {
		p.protocol = d->asked->protocol;
		p.address = d->asked->dev.address;
	}
	if (d->phase == PHASE_PROBING && d->window_end > now_ms)
		p.sweep_left_ms = (uint32_t)(d->window_end - now_ms);
	for (unsigned i = d->at; i < d->plan_count; i++) {
		const struct protocol *q = d->candidate[d->plan[i].candidate].protocol;

		p.sweep_left_ms += d->plan[i].patient ? q->timing.first_ms : q->probes[d->plan[i].row].window_ms;
	}
	return p;
}

unsigned detect_sweeps(const struct detect *d)
{
	return d->sweep;
}

unsigned detect_attempts(const struct detect *d, const struct attempt **out)
{
	*out = d->attempt;
	return d->attempt_count;
}
