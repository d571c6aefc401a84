/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/bus.h"

#include <stdlib.h>
#include <string.h>

#include "sim/random.h"

enum { HOST_BUFFER = 4096, PORTION_US = 3000, BITS_PER_BYTE = 10, CROSSTALK_GAP_US = 60000, BACKLOG_MAX = 256 };

/* What n bytes need on the line, rounded up: it must never be faster than it is. */
static usec wire_us(const struct bus *bus, size_t n)
{
	return (usec)(((uint64_t)n * BITS_PER_BYTE * 1000000 + bus->scenario.baud - 1) / bus->scenario.baud);
}

/* Every nth of a count that begins with 1. */
static bool nth(uint32_t every, unsigned count)
{
	return every && count % every == 0;
}

/* ---- start and end ---- */

static void forget_outgoing(struct bus *bus)
{
	while (bus->first) {
		struct transmission *t = bus->first;

		bus->first = t->next;
		free(t);
	}
}

bool bus_init(struct bus *bus, const struct scenario *s, uint64_t seed, double speed, usec now, char *why, size_t size)
{
	unsigned boards = s->addresses ? s->addresses : 1;

	memset(bus, 0, sizeof(*bus));
	bus->scenario = *s;
	bus->random = random_stir(seed ^ 0xb05);
	bus->free_at = bus->heard_until = now;
	if (*s->registers) {
		bus->registers = registers_load(s->registers, why, size);
		if (!bus->registers)
			return false;
	}
	bool mastered = s->kind->mastered && s->kind->mastered(s);

	boards += mastered;
	while (bus->boards < boards) {
		struct device *d = &bus->board[bus->boards];

		if (!device_init(d, &bus->scenario, bus->boards, bus->registers, seed, speed, now)) {
			snprintf(why, size, "out of memory");
			bus_free(bus);
			return false;
		}
		bus->boards++;
	}
	if (mastered)
		bus->board[bus->boards - 1].speak_at = now;
	return true;
}

void bus_free(struct bus *bus)
{
	forget_outgoing(bus);
	for (unsigned i = 0; i < bus->boards; i++)
		device_free(&bus->board[i]);
	bus->boards = 0;
	registers_free(bus->registers);
	bus->registers = NULL;
}

/* ---- what goes out ---- */

/* Bytes on the way to the host while they are put together. */
struct outgoing {
	struct transmission *t;
	size_t room;
	usec pauses;
};

static bool outgoing_start(struct outgoing *o, usec start, size_t room)
{
	o->t = malloc(sizeof(*o->t) + room * sizeof(o->t->e[0]));
	if (!o->t)
		return false;
	o->t->next = NULL;
	o->t->start = start;
	o->t->began = -1;
	o->t->n = o->t->sent = 0;
	o->room = room;
	o->pauses = 0;
	return true;
}

static void outgoing_add(const struct bus *bus, struct outgoing *o, struct bytes b)
{
	const struct every *chunk = &bus->scenario.chunk;

	for (size_t i = 0; i < b.n && o->t->n < o->room; i++) {
		size_t n = o->t->n++;

		if (chunk->nth && n && n % chunk->nth == 0)
			o->pauses += chunk->arg * MS;
		o->t->e[n].at = o->pauses + wire_us(bus, n + 1);
		o->t->e[n].byte = b.p[i];
	}
}

/* Puts it among those that wait, by time. */
static void outgoing_send(struct bus *bus, struct outgoing *o)
{
	struct transmission **at = &bus->first;
	unsigned waiting = 0;

	while (*at && ((*at)->began >= 0 || (*at)->start <= o->t->start)) {
		at = &(*at)->next;
		waiting++;
	}
	if (!o->t->n || waiting > BACKLOG_MAX) {
		free(o->t);
		return;
	}
	o->t->next = *at;
	*at = o->t;
}

static void send_bytes(struct bus *bus, struct bytes b, usec start)
{
	struct outgoing o;

	if (!outgoing_start(&o, start, b.n))
		return;
	outgoing_add(bus, &o, b);
	outgoing_send(bus, &o);
}

void bus_hang_up(struct bus *bus, usec now)
{
	forget_outgoing(bus);
	bus->heard_n = 0;
	bus->heard_until = bus->heard_until < now ? bus->heard_until : now;
	bus->free_at = bus->free_at < now ? bus->free_at : now;
}

/* When the first transmission begins, or began. */
static usec beginning(const struct bus *bus)
{
	const struct transmission *t = bus->first;

	if (t->began >= 0)
		return t->began;
	return t->start > bus->free_at ? t->start : bus->free_at;
}

size_t bus_take(struct bus *bus, usec now, uint8_t *out, size_t size)
{
	size_t n = 0;

	while (bus->first && n < size) {
		struct transmission *t = bus->first;
		usec began = beginning(bus);

		if (began + t->e[t->sent].at > now)
			break;
		t->began = began;
		out[n++] = t->e[t->sent++].byte;
		bus->free_at = began + t->e[t->sent - 1].at;
		if (t->sent == t->n) {
			bus->first = t->next;
			free(t);
		}
	}
	return n;
}

/* The next bytes come in portions of a few ms, as an adapter hands them on. */
static usec next_portion(const struct bus *bus)
{
	const struct transmission *t = bus->first;
	usec first = beginning(bus) + t->e[t->sent].at, last = first;

	for (size_t i = t->sent + 1; i < t->n && beginning(bus) + t->e[i].at <= first + PORTION_US; i++)
		last = beginning(bus) + t->e[i].at;
	return last;
}

usec bus_next(const struct bus *bus)
{
	usec next = INT64_MAX;

	for (unsigned i = 0; i < bus->boards; i++)
		if (bus->board[i].speak_at < next)
			next = bus->board[i].speak_at;
	if (bus->first && next_portion(bus) < next)
		next = next_portion(bus);
	return next;
}

/* ---- what goes wrong on the way ---- */

static bool noisy(struct bus *bus)
{
	double noise = bus->scenario.noise;

	if (noise >= 1)
		return nth((uint32_t)noise, bus->frames);
	return noise > 0 && random_unit(random_next(&bus->random)) < noise;
}

static void add_noise(struct bus *bus, struct outgoing *o)
{
	uint8_t usual[32];
	struct bytes noise = {bus->scenario.garbage, bus->scenario.garbage_n};

	if (!noise.n) {
		int n = bytes_from_hex(bus->scenario.kind->garbage_hex, usual, sizeof(usual));

		noise = (struct bytes){usual, n > 0 ? (size_t)n : 0};
	}
	outgoing_add(bus, o, noise);
}

static void spoil(struct bus *bus, struct frame *f)
{
	const struct scenario *s = &bus->scenario;

	if (nth(s->badsum, bus->frames) && f->sum_at < f->n)
		f->p[f->sum_at] ^= 0x5a;
	if (nth(s->flip, bus->frames)) {
		uint32_t bit = random_between(&bus->random, 0, 8u * f->n - 1);

		f->p[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	if (nth(s->lose, bus->frames)) {
		memmove(f->p + f->n / 2, f->p + f->n / 2 + 1, (size_t)(f->n - f->n / 2 - 1));
		f->n--;
	}
	if (nth(s->cut.nth, bus->frames)) {
		uint32_t end = s->cut.arg ? s->cut.arg : f->n / 2u;

		f->n = end < f->n ? (uint16_t)end : f->n;
	}
}

static void send_reply(struct bus *bus, struct reply *reply, usec start)
{
	struct outgoing o;
	size_t room = 0;

	for (unsigned i = 0; i < reply->n; i++)
		room += reply->frame[i].n + 2u * sizeof(bus->scenario.garbage);
	if (!reply->n || !outgoing_start(&o, start, room))
		return;
	for (unsigned i = 0; i < reply->n; i++) {
		struct frame *f = &reply->frame[i];

		bus->frames++;
		if (nth(bus->scenario.drop, bus->frames) || !f->n)
			continue;
		bool noise = noisy(bus);

		spoil(bus, f);
		if (noise)
			add_noise(bus, &o);
		outgoing_add(bus, &o, frame_bytes(f));
		if (noise)
			add_noise(bus, &o);
	}
	outgoing_send(bus, &o);
}

static usec reply_delay(struct bus *bus, const struct device *d, const struct reply *reply)
{
	const struct scenario *s = &bus->scenario;
	const struct kind *kind = d->kind;
	usec usual = reply->delay;

	if (usual < 0)
		usual = random_between(&bus->random, kind->delay_min_ms * 1000u, kind->delay_max_ms * 1000u);
	if (nth(s->late.nth, bus->replies))
		return s->late.arg * MS;
	return (usec)((double)usual * s->slow) + s->delay * MS;
}

/* ---- what comes in ---- */

static uint8_t foreign_address(const struct device *d)
{
	return (uint8_t)(d->address < d->kind->address_max ? d->address + 1 : d->kind->address_min);
}

/* Offers the request to d, which takes it for its own when it carries the address `hears`. */
static void ask(struct bus *bus, struct device *d, uint8_t hears, struct bytes request, usec when)
{
	struct reply reply = {.delay = -1};
	uint8_t own_address = d->address, own_hears = d->hears;
	bool foreign = nth(bus->scenario.foreign, bus->replies + 1), addressed = bus->scenario.addresses > 0;

	device_run(d, when);
	if (when < d->deaf_until)
		return;
	d->hears = hears;
	d->foreign = foreign && !addressed;
	if (foreign && addressed)
		d->address = foreign_address(d);
	d->kind->answer(d, request, &reply);
	d->address = own_address;
	d->hears = own_hears;
	d->heard = when;
	if (!reply.n)
		return;
	bus->replies++;
	send_reply(bus, &reply, when + reply_delay(bus, d, &reply));
}

/* Boards that take a request for their neighbour's: it came too soon after the last reply. */
static bool crossed(const struct bus *bus, struct bytes request, usec when)
{
	usec begin = when - wire_us(bus, request.n);

	return bus->scenario.crosstalk && bus->boards > 1 && bus->replies && begin - bus->free_at < CROSSTALK_GAP_US;
}

static void request_heard(struct bus *bus, struct bytes request, usec when)
{
	bool cross = crossed(bus, request, when);

	bus->requests++;
	if (bus->scenario.silent || bus->requests <= bus->scenario.deaf)
		return;
	for (unsigned i = 0; i < bus->boards; i++) {
		unsigned who = cross ? (i + 1) % bus->boards : i;

		ask(bus, &bus->board[who], bus->board[i].hears, request, when);
	}
}

static void drop_heard(struct bus *bus, size_t n)
{
	bus->heard_n -= n;
	memmove(bus->heard, bus->heard + n, bus->heard_n);
}

/* One more byte, whose last bit was through at `when`. */
static void hear(struct bus *bus, uint8_t byte, usec when)
{
	const struct kind *kind = bus->scenario.kind;

	if (bus->heard_n == BUS_HEARS)
		drop_heard(bus, BUS_HEARS / 2);
	bus->heard[bus->heard_n++] = byte;
	while (bus->heard_n) {
		int n = kind->find_request(&bus->scenario, (struct bytes){bus->heard, bus->heard_n});

		if (!n)
			return;
		if (n > 0) {
			uint8_t request[BUS_HEARS];

			memcpy(request, bus->heard, (size_t)n);
			drop_heard(bus, (size_t)n);
			request_heard(bus, (struct bytes){request, (size_t)n}, when);
		} else {
			drop_heard(bus, (size_t)-n < bus->heard_n ? (size_t)-n : bus->heard_n);
		}
	}
}

/* Takes the line for n bytes. Returns when the first begins. */
static usec occupy(struct bus *bus, size_t n, usec now)
{
	usec begin = now > bus->heard_until ? now : bus->heard_until;

	if (begin - bus->heard_until > bus->scenario.kind->gap)
		bus->heard_n = 0;
	bus->heard_until = begin + wire_us(bus, n);
	return begin;
}

usec bus_takes_more(const struct bus *bus)
{
	return bus->heard_until - wire_us(bus, HOST_BUFFER);
}

static bool all_asleep(struct bus *bus, usec now)
{
	for (unsigned i = 0; i < bus->boards; i++) {
		device_run(&bus->board[i], now);
		if (!device_asleep(&bus->board[i]))
			return false;
	}
	return true;
}

void bus_receive(struct bus *bus, struct bytes in, usec now)
{
	usec begin = occupy(bus, in.n, now);

	if (bus->scenario.echo)
		send_bytes(bus, in, begin);
	if (bus->scenario.kind->loops_back_asleep && !bus->scenario.silent && all_asleep(bus, now)) {
		send_bytes(bus, in, begin + random_between(&bus->random, 1000, 5000));
		return;
	}
	for (size_t i = 0; i < in.n; i++)
		hear(bus, in.p[i], begin + wire_us(bus, i + 1));
}

void bus_garbled(struct bus *bus, struct bytes in, usec now)
{
	usec begin = occupy(bus, in.n, now);

	bus->heard_n = 0;
	if (bus->scenario.echo)
		send_bytes(bus, in, begin);
}

/* ---- who speaks by himself ---- */

static void speak(struct bus *bus, struct device *d, usec now)
{
	struct reply reply = {.delay = 0};

	device_run(d, now);
	d->speak_at = d->kind->speak(d, &reply);
	if (d->kind->streams && (bus->scenario.silent || device_asleep(d)))
		return;
	struct bytes request = reply.n ? frame_bytes(&reply.frame[0]) : (struct bytes){NULL, 0};

	if (reply.heard)
		request_heard(bus, request, now + wire_us(bus, request.n));
	send_reply(bus, &reply, now);
}

void bus_run(struct bus *bus, usec now)
{
	for (unsigned i = 0; i < bus->boards; i++)
		while (bus->board[i].speak_at <= now)
			speak(bus, &bus->board[i], bus->board[i].speak_at);
}

/* ---- what was changed ---- */

bool bus_changed(struct bus *bus)
{
	unsigned writes = 0;

	for (unsigned i = 0; i < bus->boards; i++)
		writes += bus->board[i].writes;
	bool changed = writes != bus->writes_told;

	bus->writes_told = writes;
	return changed;
}

static const char *truth(bool b)
{
	return b ? "true" : "false";
}

static void tell_text(const char *text, FILE *out)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		if ((unsigned char)*text >= ' ')
			fputc(*text, out);
	}
	fputc('"', out);
}

void bus_tell(struct bus *bus, usec now, const char *path, FILE *out)
{
	for (unsigned i = 0; i < bus->boards; i++) {
		struct device *d = &bus->board[i];

		device_run(d, now);
		fprintf(out, "{\"path\":");
		tell_text(path, out);
		fprintf(out, ",\"protocol\":\"%s\",\"address\":%u,\"writes\":%u", d->kind->id, d->address, d->writes);
		fprintf(out, ",\"charge\":%s,\"discharge\":%s,\"balance\":%s", truth(device_charge_wanted(d)),
			truth(device_discharge_wanted(d)), truth(d->battery.settings.balance_switch));
		if (d->kind->tell)
			d->kind->tell(d, out);
		fprintf(out, "}\n");
	}
}
