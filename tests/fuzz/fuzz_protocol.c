/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzzes one protocol (its id in BMSCOPE_FUZZ_PROTOCOL; the first one without): requests with replies,
 * frames past their checksums, foreign frames, recorded requests, commands. The input is a small program:
 * an operation, an argument, the length of its bytes, the bytes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/exchange.h"
#include "model/json.h"
#include "protocols/procedure.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct protocol *protocol;
static struct line_stats stats;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *id = getenv("BMSCOPE_FUZZ_PROTOCOL");

	(void)argc;
	(void)argv;
	protocol = id ? protocol_by_id(id) : protocols_all()[0];
	if (!protocol) {
		fprintf(stderr, "no protocol %s\n", id);
		exit(2);
	}
	return 0;
}

static void demand(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "%s: contract broken: %s\n", protocol->id, what);
	abort();
}

static bool choose_request(struct device *dev, uint8_t choice, struct request *out)
{
	unsigned n = protocol->poll_count + protocol->probe_count;
	unsigned i = choice % (n ? n : 1);

	if (i < protocol->poll_count)
		return protocol->encode(dev, protocol->polls[i].code, protocol->polls[i].arg, out);
	i -= protocol->poll_count;
	dev->dialect = protocol->probes[i].dialect;
	return protocol->encode(dev, protocol->probes[i].code, protocol->probes[i].arg, out);
}

static void converse(struct device *dev, uint8_t choice, struct bytes b)
{
	static struct exchange x;
	struct request request;

	if (!choose_request(dev, choice, &request))
		return;
	exchange_begin(&x, dev, &request, &stats, 0, 0);
	exchange_receive(&x, bytes_sub(b, 0, b.n / 2), 1);
	exchange_receive(&x, bytes_sub(b, b.n / 2, b.n), 2);
	exchange_finish(&x, 100000);
	demand(x.state != EXCHANGE_WAITING, "an exchange that never ends");
}

/* As if length and checksum had fitted. */
static void take(struct device *dev, uint8_t choice, struct bytes b)
{
	struct request request;
	const char *why = NULL;

	if (choose_request(dev, choice, &request))
		protocol->take(dev, &request, b, &why);
}

static void overhear(struct device *dev, void *listen, struct bytes b)
{
	while (b.n) {
		const char *why = NULL;
		struct request as;
		int n = protocol->find_frame(NULL, b, b.n < 8, &why);

		demand(n <= (int)b.n, "a frame longer than its bytes");
		if (n == 0)
			return;
		struct bytes frame = bytes_sub(b, 0, (size_t)(n > 0 ? n : 0));
		if (n > 0 && protocol->overhear && protocol->overhear(listen, frame, &as) == HEARD_ANSWER)
			protocol->take(dev, &as, frame, &why);
		b = bytes_sub(b, (size_t)(n > 0 ? n : -n), b.n);
	}
}

static void command(struct device *dev, uint8_t choice, struct bytes b)
{
	struct command c = {.kind = (enum command_kind)(choice % COMMAND_KINDS), .value = choice >> 2 & 1,
			    .experimental = choice & 128};
	struct procedure p = {.command = &c};
	struct next next;

	if (!protocol->proceed || !(protocol->commands >> c.kind & 1))
		return;
	for (size_t step = 0;; step++) {
		demand(step <= MAX_STEPS, "a command without end");
		memset(&next, 0, sizeof(next));
		procedure_next(dev, &p, &next);
		if (next.what == NEXT_END)
			return;
		uint8_t how = u8_at(b, step);
		if (next.what == NEXT_WAIT)
			procedure_waited(&p);
		else
			procedure_answered(&p, (enum step_result)(how % 3), how % 3 == STEP_REFUSED ? "refused" : NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = {data, size};
	struct device dev;
	void *listen = calloc(1, protocol->listen_size + 1);
	const char *why = NULL;

	if (!listen || !device_init(&dev, protocol, u8_at(in, 0), 0, NULL))
		abort();
	in = bytes_sub(in, 1, in.n);
	while (in.n > 3) {
		struct request request;
		struct bytes b = bytes_sub(in, 4, u16le_at(in, 2) % 640);
		uint8_t choice = u8_at(in, 1);

		switch (u8_at(in, 0) % 5) {
		case 0:
			converse(&dev, choice, b);
			break;
		case 1:
			take(&dev, choice, b);
			break;
		case 2:
			overhear(&dev, listen, b);
			break;
		case 3:
			protocol->parse_request(b, &request);
			break;
		case 4:
			command(&dev, choice, b);
			break;
		}
		in = bytes_sub(in, 4 + b.n, in.n);
	}
	protocol->plausible(&dev, &why);
	reading_derive(&dev.reading);
	json_t *r = reading_to_json(&dev.reading), *s = settings_to_json(&dev.settings);
	free(json_line(r));
	free(json_line(s));
	json_decref(r);
	json_decref(s);
	device_free(&dev);
	free(listen);
	return 0;
}
