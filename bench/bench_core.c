/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Costs that need no port: exchanges per second of each decoder, nanoseconds of a limits step. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "engine/exchange.h"
#include "limits/limits.h"

enum { MEASURE_MS = 500 };

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- decoders: every exchange of a capture file, over and over ---- */

struct played {
	struct request request;
	size_t n;
	uint8_t rx[2048];
};

static size_t load(const struct protocol *p, const char *path, struct played *out, size_t max)
{
	char *text = NULL;
	size_t room = 0, n = 0, i, k;
	json_t *exchange, *rx;
	FILE *f = fopen(path, "r");

	while (f && getline(&text, &room, f) > 0) {
		json_t *line = json_loads(text, 0, NULL);

		json_array_foreach(json_object_get(line, "exchanges"), i, exchange)
		{
			const char *tx = json_string_value(json_object_get(exchange, "tx"));
			uint8_t buf[MAX_REQUEST];
			int got = tx ? bytes_from_hex(tx, buf, sizeof(buf)) : -1;

			if (n == max || got < 0 || !p->parse_request((struct bytes){buf, (size_t)got}, &out[n].request))
				continue;
			out[n].n = 0;
			json_array_foreach(json_object_get(exchange, "rx"), k, rx)
			{
				got = bytes_from_hex(json_string_value(rx), out[n].rx + out[n].n, sizeof(out[n].rx) - out[n].n);
				out[n].n += got > 0 ? (size_t)got : 0;
			}
			n += out[n].n > 0;
		}
		json_decref(line);
	}
	free(text);
	if (f)
		fclose(f);
	return n;
}

static void bench_decoder(const struct protocol *p, const char *captures)
{
	static struct played played[400];
	static struct exchange x;
	struct line_stats stats = {0};
	struct device dev;
	char path[512];
	unsigned long rounds = 0;

	snprintf(path, sizeof(path), "%s/%s.jsonl", captures, p->id);
	size_t n = load(p, path, played, sizeof(played) / sizeof(played[0]));
	if (!n) { /* one sheet for both links */
		snprintf(path, sizeof(path), "%s/%s-ble.jsonl", captures, p->id);
		n = load(p, path, played, sizeof(played) / sizeof(played[0]));
	}
	if (!n || !device_init(&dev, p, 0, 0, NULL)) {
		printf("decoder %-14s no captures\n", p->id);
		return;
	}
	double start = now_s();
	while (now_s() < start + MEASURE_MS / 1000.0) {
		for (size_t i = 0; i < n; i++) {
			dev.address = played[i].request.address;
			dev.dialect = played[i].request.dialect;
			exchange_begin(&x, &dev, &played[i].request, &stats, 0, 0);
			exchange_receive(&x, (struct bytes){played[i].rx, played[i].n}, 1);
			exchange_finish(&x, 100000);
		}
		rounds += n;
	}
	double took = now_s() - start;
	printf("decoder %-14s %9.0f exchanges/s  %6.2f us each\n", p->id, (double)rounds / took, took / (double)rounds * 1e6);
	device_free(&dev);
}

/* ---- limits ---- */

static void bench_limits(unsigned cells)
{
	static struct config config;
	struct limits_state *state = limits_state_new();
	struct limits_output out;
	struct limits_input in;
	unsigned long steps = 0;

	config_defaults(&config);
	limits_input_clear(&in);
	in.ok = in.single_cells = true;
	in.cells = cells;
	in.current = 20;
	in.soc = 80;
	in.capacity = 280;
	in.temp[0] = in.temp[1] = 24;
	double start = now_s();
	while (state && now_s() < start + MEASURE_MS / 1000.0) {
		for (int turn = 0; turn < 1000; turn++, steps++) {
			in.voltage = 0;
			for (unsigned i = 0; i < cells; i++) {
				in.cell[i] = 3.40 + 0.001 * (double)((steps + i) % 40);
				in.voltage += in.cell[i];
			}
			limits_step(state, &config, &in, 1, &out);
		}
	}
	printf("limits step, %2u cells    %6.0f ns\n", cells, (now_s() - start) / (double)steps * 1e9);
	limits_state_free(state);
}

int main(int argc, char **argv)
{
	const char *captures = argc > 1 ? argv[1] : "../shared/captures";

	for (unsigned i = 0; protocols_all()[i]; i++)
		bench_decoder(protocols_all()[i], captures);
	bench_limits(16);
	bench_limits(48);
	return 0;
}
