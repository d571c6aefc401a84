/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What goes on over a port: a protocol is looked for, then spoken. A serial line carries one talk, since whoever is
 * there speaks one protocol; on a CAN bus each protocol has a talk of its own, all at the same time.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/internal.h"

enum {
	GIVE_UP_MS = 10000, /* a line on which every pack is silent is looked at afresh */
	YIELD_MS = 6000,    /* so long after the opening other protocols have had their say */
};

static uint64_t now_of(const struct talk *talk)
{
	return engine_now_ms(talk->port->engine);
}

/* ---- the session's news ---- */

static void session_found(void *ctx, struct session_pack *sp, uint64_t now_ms)
{
	struct talk *talk = ctx;
	struct port *port = talk->port;
	const struct protocol *protocol = sp->dev.protocol;
	bool addressed = protocol->last_address && !(protocol->point_to_point >> sp->dev.dialect & 1);
	struct pack *p = pack_found(port, sp, protocol, sp->dev.address, addressed,
				    talk->session && session_listening(talk->session));

	(void)now_ms;
	if (!p)
		engine_log(port->engine, LOG_ERROR, "%s: too many batteries, this one is not shown", port->name);
	engine_show_port(port->engine, port);
}

static void session_reading(void *ctx, struct session_pack *sp, uint64_t now_ms)
{
	struct talk *talk = ctx;
	struct pack *p = pack_of(talk->port->engine, sp);

	(void)now_ms;
	if (p)
		pack_reading(p, &sp->dev, sp->identified, sp->poll_ms);
}

static void session_missed(void *ctx, struct session_pack *sp, uint64_t now_ms)
{
	struct talk *talk = ctx;
	struct pack *p = pack_of(talk->port->engine, sp);

	(void)now_ms;
	if (p)
		pack_missed(p, sp->failures, sp->error);
}

static void session_command_done(void *ctx, struct session_pack *sp, const struct command *command,
				 const struct command_outcome *outcome, uint64_t now_ms)
{
	struct talk *talk = ctx;
	struct pack *p = pack_of(talk->port->engine, sp);

	(void)command;
	(void)now_ms;
	if (p)
		command_done(p, outcome);
}

/* ---- carrying ---- */

static void talk_send(void *ctx, const struct request *request)
{
	port_send(((struct talk *)ctx)->port, request);
}

static void talk_set_line(void *ctx, const struct line *line)
{
	struct port *port = ((struct talk *)ctx)->port;

	if (port_link(port) != LINK_CAN) /* its bit rate is everybody's */
		port_set_line(port, line);
}

/* ---- looking for a protocol ---- */

static void keep_attempts(struct talk *talk)
{
	const struct attempt *a;
	unsigned n = detect_attempts(talk->detect, &a);

	free(talk->attempt);
	talk->attempt = n ? malloc(n * sizeof(*a)) : NULL;
	talk->attempt_count = talk->attempt ? n : 0;
	if (talk->attempt)
		memcpy(talk->attempt, a, n * sizeof(*a));
}

static void end_detection(struct talk *talk)
{
	if (!talk->detect)
		return;
	keep_attempts(talk);
	detect_free(talk->detect);
	talk->detect = NULL;
}

struct protocol_options options_of(const struct engine *e)
{
	const struct config *c = &e->config;

	return (struct protocol_options){
		.invert_current = c->invert_current_measurement < 0,
		.battery_capacity_Ah = c->battery_capacity,
		.modules_in_series = (uint8_t)c->ubms_can_module_series,
		.strings = (uint8_t)c->ubms_can_module_parallel,
		.master = c->ubms_can_master && e->options.may_master && !e->options.read_only,
	};
}

bool talk_start(struct talk *talk)
{
	struct port *port = talk->port;
	struct engine *e = port->engine;
	struct detect_io io = {talk_send, talk_set_line, talk};
	struct protocol_options options = options_of(e);

	talk->detect = detect_new(talk->protocols, &port->known, e->options.addresses, e->options.address_count,
				  &options, io, &port->stats);
	if (!talk->detect) {
		engine_log(e, LOG_ERROR, "%s: out of memory", port->name);
		return false;
	}
	if (e->options.protocols != protocols_all())
		detect_insist(talk->detect);
	if (port->bus_spoke)
		detect_bus_spoke(talk->detect);
	detect_start(talk->detect, now_of(talk));
	return true;
}

/* ---- speaking it ---- */

static void end_session(struct talk *talk, const char *why)
{
	if (!talk->session)
		return;
	for (unsigned i = 0; i < session_packs(talk->session); i++) {
		struct pack *p = pack_of(talk->port->engine, session_pack(talk->session, i));

		if (p)
			pack_detached(p, why);
	}
	session_free(talk->session);
	talk->session = NULL;
	talk->yields = talk->listening = false;
}

void talk_end(struct talk *talk, const char *why)
{
	end_detection(talk);
	end_session(talk, why);
}

void talk_free(struct talk *talk)
{
	free(talk->attempt);
	talk->attempt = NULL;
	talk->attempt_count = 0;
}

/* Another talk of the port has found who speaks a language of his own. */
static bool another_speaks(const struct talk *talk)
{
	const struct port *port = talk->port;

	for (unsigned i = 0; i < port->talk_count; i++)
		if (&port->talk[i] != talk && port->talk[i].session && !port->talk[i].yields)
			return true;
	return false;
}

/* What other talks have taken for batteries of their own was this one, in its second language. */
static void make_yield(struct talk *talk)
{
	struct port *port = talk->port;

	for (unsigned i = 0; i < port->talk_count; i++) {
		struct talk *other = &port->talk[i];

		if (other == talk || !other->session || !other->yields)
			continue;
		engine_log(port->engine, LOG_INFO, "%s: %s is given up for %s, which tells more", port->name,
			   other->protocol->id, talk->protocol->id);
		for (unsigned k = 0; k < session_packs(other->session); k++)
			pack_gone_for_good(pack_of(port->engine, session_pack(other->session, k)));
		end_session(other, "");
		talk_start(other);
	}
}

static void start_session(struct talk *talk)
{
	struct port *port = talk->port;
	struct engine *e = port->engine;
	struct session_io io = {talk_send, session_found, session_reading, session_missed, session_command_done, talk};
	bool listening;
	struct device dev = detect_take(talk->detect, &listening);

	end_detection(talk);
	talk->protocol = dev.protocol;
	talk->yields = dev.protocol->yields >> dev.dialect & 1;
	port_found(port, &dev);
	talk->session = session_new(dev, &port->line, listening, engine_poll_ms(e), e->options.addresses,
				    e->options.address_count, io, &port->stats);
	if (!talk->session) {
		device_free(&dev);
		engine_log(e, LOG_ERROR, "%s: out of memory", port->name);
		return;
	}
	if (!talk->yields)
		make_yield(talk);
	session_start(talk->session, now_of(talk));
	engine_show_port(e, port);
}

static bool found(const struct talk *talk)
{
	enum detect_state state = talk->detect ? detect_state(talk->detect) : DETECT_RUNNING;

	if (state != DETECT_FOUND || !detect_yields(talk->detect))
		return state == DETECT_FOUND;
	return now_of(talk) >= talk->port->opened_ms + YIELD_MS && !another_speaks(talk);
}

bool talk_searches(const struct talk *talk)
{
	bool held = talk->detect && detect_state(talk->detect) == DETECT_FOUND && another_speaks(talk);

	return talk->detect && !held && !detect_sweeps(talk->detect);
}

/* Packs that have fallen silent for good are not waited for for ever: who is there now? */
static void give_up(struct talk *talk, uint64_t now)
{
	uint64_t silent = session_silent_since(talk->session);
	bool unasked = session_listening(talk->session) || session_streams(talk->session);

	if (!silent || now <= silent + (unasked ? 2 : 1) * GIVE_UP_MS)
		return;
	end_session(talk, unasked ? "nothing heard on this bus; the line is searched anew"
				  : "no answer; the line is searched anew");
	talk_start(talk);
}

void talk_advance(struct talk *talk)
{
	if (found(talk))
		start_session(talk);
	bool listening = talk->session && session_listening(talk->session);
	if (listening && !talk->listening) {
		engine_log(talk->port->engine, LOG_INFO, "%s: the bus has another master, bmscope only listens",
			   talk->port->name);
		packs_listen(talk->port);
	}
	talk->listening = listening;
	if (talk->session)
		give_up(talk, now_of(talk));
}

/* ---- bytes and time ---- */

/* Of a run of CAN frames those that this protocol wants to see. */
static struct bytes wanted_frames(const struct talk *talk, struct bytes run, uint8_t *out)
{
	size_t n = 0;

	for (; run.n >= CAN_BYTES; run = bytes_sub(run, CAN_BYTES, run.n)) {
		if (!can_ids_have(talk->protocols[0]->hears, u32be_at(run, 0)))
			continue;
		memcpy(out + n, run.p, CAN_BYTES);
		n += CAN_BYTES;
	}
	return (struct bytes){out, n};
}

void talk_receive(struct talk *talk, struct bytes b)
{
	uint8_t wanted[PORT_RUN * CAN_BYTES];
	bool can = port_link(talk->port) == LINK_CAN;

	while (b.n) {
		struct bytes part = can ? bytes_sub(b, 0, sizeof(wanted)) : b;

		b = bytes_sub(b, part.n, b.n);
		if (can && talk->detect)
			detect_bus_spoke(talk->detect);
		if (can)
			part = wanted_frames(talk, part, wanted);
		if (part.n && talk->detect)
			detect_receive(talk->detect, part, now_of(talk));
		else if (part.n && talk->session)
			session_receive(talk->session, part, now_of(talk));
	}
}

void talk_tick(struct talk *talk)
{
	if (talk->detect)
		detect_tick(talk->detect, now_of(talk));
	else if (talk->session)
		session_tick(talk->session, now_of(talk));
}

uint64_t talk_deadline(const struct talk *talk)
{
	if (talk->detect && detect_state(talk->detect) == DETECT_FOUND) /* it waits for others */
		return now_of(talk) + 1000;
	if (talk->detect)
		return detect_deadline(talk->detect);
	return talk->session ? session_deadline(talk->session) : UINT64_MAX;
}
