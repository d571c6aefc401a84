/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What other services measure in a battery's place (EXTERNAL_SENSOR_*). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/internal.h"

enum { STALE_MS = 10000 }; /* limits.md 2.1 */

struct sensor {
	char service[CONFIG_MAX_TEXT], path[CONFIG_MAX_TEXT];
	double value;
	uint64_t ms;
	struct sensor *next;
};

static struct sensor *find(const struct engine *e, const char *service, const char *path)
{
	struct sensor *s = e->sensors;

	while (s && (strcmp(s->service, service) != 0 || strcmp(s->path, path) != 0))
		s = s->next;
	return s;
}

void engine_tell_sensor(struct engine *e, const char *service, const char *path, double value)
{
	struct sensor *s = find(e, service, path);

	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s || strlen(service) >= sizeof(s->service) || strlen(path) >= sizeof(s->path)) {
			free(s);
			return;
		}
		strcpy(s->service, service);
		strcpy(s->path, path);
		s->next = e->sensors;
		e->sensors = s;
	}
	s->value = value;
	s->ms = engine_now_ms(e);
}

double sensor_value(const struct engine *e, const char *service, const char *path)
{
	const struct sensor *s = *service && *path ? find(e, service, path) : NULL;

	return s && engine_now_ms(e) <= s->ms + STALE_MS ? s->value : NAN;
}

void sensors_free(struct engine *e)
{
	while (e->sensors) {
		struct sensor *s = e->sensors;

		e->sensors = s->next;
		free(s);
	}
}
