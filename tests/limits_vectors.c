/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs every recorded scenario of limits through `bmscope limits` and compares every field of every step
 * with what is expected: the newest outputs of the file so far, overlaid with the line's `want`.
 *
 * Environment: BMSCOPE_SHARED, the directory that holds vectors/limits; BMSCOPE, the program (./bmscope).
 * Arguments: single files instead of all. Without the vectors the test is skipped (77), but fails where
 * CI or BENCH_REQUIRED is 1.
 */
#include <config.h> /* POSIX */

#include <errno.h>
#include <glob.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#define SKIPPED	       77
#define SHOWN_PER_FILE 10
#define ABSOLUTE       2e-6 /* tolerance of the vectors' README */
#define RELATIVE       1e-9

/* A file and the lines that the program prints for it. */
struct scenario {
	const char *path;
	FILE *file, *output;
	pid_t pid;
	char *text;
	size_t size;
	json_t *expected; /* the outputs so far */
	unsigned long steps, fields, wrong;
};

/* ---- running the program ---- */

static const char *program(void)
{
	const char *p = getenv("BMSCOPE");

	return p && *p ? p : "./bmscope";
}

static bool start_program(struct scenario *s)
{
	int pipe_ends[2];

	if (pipe(pipe_ends))
		return false;
	s->pid = fork();
	if (!s->pid) {
		dup2(pipe_ends[1], STDOUT_FILENO);
		close(pipe_ends[0]);
		close(pipe_ends[1]);
		execl(program(), program(), "limits", s->path, (char *)NULL);
		fprintf(stderr, "%s: %s\n", program(), strerror(errno));
		_exit(127);
	}
	close(pipe_ends[1]);
	s->output = fdopen(pipe_ends[0], "r");
	return s->pid > 0 && s->output;
}

/* True: it ended with exit code 0. */
static bool end_program(struct scenario *s)
{
	int status = 0;

	if (s->output)
		fclose(s->output);
	return s->pid > 0 && waitpid(s->pid, &status, 0) == s->pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- comparing ---- */

static json_t *next_object(struct scenario *s, FILE *from)
{
	ssize_t n = getline(&s->text, &s->size, from);

	return n < 0 ? NULL : json_loadb(s->text, (size_t)n, 0, NULL);
}

static bool contains(const json_t *list, const json_t *element)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_equal(json_array_get(list, i), element))
			return true;
	return false;
}

static bool same_set(const json_t *a, const json_t *b)
{
	for (size_t i = 0; i < json_array_size(a); i++)
		if (!contains(b, json_array_get(a, i)))
			return false;
	return json_is_array(b) && json_array_size(a) == json_array_size(b);
}

static bool same_value(const char *key, const json_t *expected, const json_t *got)
{
	if (json_is_number(expected) && json_is_number(got)) {
		double e = json_number_value(expected);

		return fabs(json_number_value(got) - e) <= ABSOLUTE + RELATIVE * fabs(e);
	}
	if (!strcmp(key, "flags") && json_is_array(expected))
		return same_set(expected, got);
	return json_equal(expected, got);
}

static void show_difference(struct scenario *s, double t, const char *key, const json_t *expected, const json_t *got)
{
	char *e = json_dumps(expected, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
	char *g = got ? json_dumps(got, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12)) : NULL;

	if (++s->wrong <= SHOWN_PER_FILE)
		printf("%s: t=%.10g %s: expected %s, got %s\n", s->path, t, key, e ? e : "?", g ? g : "nothing");
	free(e);
	free(g);
}

static void compare_fields(struct scenario *s, double t, json_t *expected, const json_t *got)
{
	const char *key;
	json_t *value;

	json_object_foreach (expected, key, value) {
		const json_t *other = json_object_get(got, key);

		s->fields++;
		if (!other || !same_value(key, value, other))
			show_difference(s, t, key, value, other);
	}
}

static void compare_step(struct scenario *s, const json_t *step, const json_t *printed)
{
	double t = json_number_value(json_object_get(step, "t"));
	json_t *want = json_object_get(step, "want"), *expected;

	json_object_update(s->expected, json_object_get(step, "out"));
	expected = json_copy(s->expected);
	if (want)
		json_object_update(expected, want);
	s->steps++;
	compare_fields(s, t, expected, json_object_get(printed, "out"));
	if (json_number_value(json_object_get(printed, "t")) != t)
		show_difference(s, t, "t", json_object_get(step, "t"), json_object_get(printed, "t"));
	json_decref(expected);
}

static void complain(struct scenario *s, const char *what)
{
	printf("%s: %s\n", s->path, what);
	s->wrong++;
}

static void compare_file(struct scenario *s)
{
	json_t *header = next_object(s, s->file), *step;
	json_int_t promised = json_integer_value(json_object_get(header, "steps"));

	while ((step = next_object(s, s->file))) {
		json_t *printed = next_object(s, s->output);

		if (printed)
			compare_step(s, step, printed);
		else
			complain(s, "the program printed too few lines, or no JSON");
		json_decref(step);
		json_decref(printed);
		if (!printed)
			break;
	}
	if (!header || s->steps != (unsigned long)promised)
		complain(s, "not as many steps as the first line promises");
	if (getline(&s->text, &s->size, s->output) >= 0)
		complain(s, "the program printed too many lines");
	json_decref(header);
}

static struct scenario run_scenario(const char *path)
{
	struct scenario s = {.path = path, .file = fopen(path, "r"), .expected = json_object()};

	if (!s.file)
		complain(&s, strerror(errno));
	else if (start_program(&s))
		compare_file(&s);
	else
		complain(&s, "the program can't be started");
	if (!end_program(&s))
		complain(&s, "the program failed");
	if (s.file)
		fclose(s.file);
	free(s.text);
	json_decref(s.expected);
	return s;
}

/* ---- all files ---- */

static bool is_one(const char *name)
{
	const char *v = getenv(name);

	return v && !strcmp(v, "1");
}

static int no_vectors(const char *pattern)
{
	bool required = is_one("CI") || is_one("BENCH_REQUIRED");

	printf("limits-vectors: no file fits %s: NOTHING WAS COMPARED. Set BMSCOPE_SHARED to the directory that holds "
	       "vectors/limits.\n",
	       pattern);
	return required ? EXIT_FAILURE : SKIPPED;
}

int main(int argc, char **argv)
{
	const char *shared = getenv("BMSCOPE_SHARED"), *source = getenv("srcdir");
	unsigned long steps = 0, fields = 0, wrong = 0, bad_files = 0;
	char pattern[4096];
	glob_t files = {0};

	if (shared && *shared)
		snprintf(pattern, sizeof(pattern), "%s/vectors/limits/*.jsonl", shared);
	else
		snprintf(pattern, sizeof(pattern), "%s/../shared/vectors/limits/*.jsonl", source ? source : ".");
	if (argc < 2 && glob(pattern, 0, NULL, &files))
		return no_vectors(pattern);
	size_t count = argc < 2 ? files.gl_pathc : (size_t)argc - 1;
	char **paths = argc < 2 ? files.gl_pathv : argv + 1;

	for (size_t i = 0; i < count; i++) {
		struct scenario s = run_scenario(paths[i]);

		steps += s.steps;
		fields += s.fields;
		wrong += s.wrong;
		bad_files += s.wrong > 0;
		if (s.wrong > SHOWN_PER_FILE)
			printf("%s: %lu differences in all\n", s.path, s.wrong);
	}
	globfree(&files);
	printf("limits-vectors: %zu files, %lu steps, %lu values compared; %lu differences in %lu files\n", count,
	       steps, fields, wrong, bad_files);
	return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
