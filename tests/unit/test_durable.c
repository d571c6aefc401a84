/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is kept on disk is the old text or the new one, whatever happens while it is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/durable.h"

enum { LONG = 300000 };

static char folder[] = "/tmp/bmscope-durable.XXXXXX";
static char path[64];

static int make_folder(void **unused)
{
	(void)unused;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/kept", folder);
	return 0;
}

static int remove_folder(void **unused)
{
	char command[96];

	(void)unused;
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

/* A text of n equal letters: one that is torn or mixed is not of one letter, or not of its length. */
static char *letters(char letter, size_t n)
{
	char *text = malloc(n + 1);

	assert_non_null(text);
	memset(text, letter, n);
	text[n] = 0;
	return text;
}

static char *content(size_t *n)
{
	FILE *f = fopen(path, "r");
	char *text = malloc(LONG + 1);

	assert_non_null(f);
	assert_non_null(text);
	*n = fread(text, 1, LONG, f);
	text[*n] = 0;
	fclose(f);
	return text;
}

static void assert_content(const char *expected)
{
	size_t n;
	char *text = content(&n);

	assert_int_equal(n, strlen(expected));
	assert_memory_equal(text, expected, n);
	free(text);
}

static void assert_no_leftover(void)
{
	char fresh[80];

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	assert_int_not_equal(access(fresh, F_OK), 0);
}

/* A file that may not grow further takes a part and refuses the rest, as a full disk does. */
static void limit_files(rlim_t size)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_disk_that_fills_up_leaves_the_old_text(void **unused)
{
	char *big = letters('b', LONG);

	(void)unused;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(durable_replace(path, "old"), 0);
	for (rlim_t room = 0; room < LONG; room += LONG / 7) {
		limit_files(room);
		int error = durable_replace(path, big);
		limit_files(RLIM_INFINITY);
		assert_int_equal(error, EFBIG);
		assert_content("old");
		assert_no_leftover();
	}
	assert_int_equal(durable_replace(path, big), 0);
	assert_content(big);
	free(big);
}

static void a_folder_that_can_not_be_written_leaves_the_old_text(void **unused)
{
	char blocked[80];

	(void)unused;
	assert_int_equal(durable_replace(path, "old"), 0);
	snprintf(blocked, sizeof(blocked), "%s.new", path);
	assert_int_equal(mkdir(blocked, 0755), 0); /* not even root writes into a folder */
	assert_int_equal(durable_replace(path, "new"), EISDIR);
	assert_content("old");
	rmdir(blocked);
}

/* Writes A's and B's of two lengths by turns until it is killed. */
static void write_for_ever(void)
{
	char *a = letters('a', LONG), *b = letters('b', LONG / 2);

	for (;;) {
		durable_replace(path, a);
		durable_replace(path, b);
	}
}

static void killed_at_any_moment_it_is_whole(void **unused)
{
	(void)unused;
	assert_int_equal(durable_replace(path, "a"), 0);
	for (int i = 0; i < 60; i++) {
		pid_t child = fork();

		assert_true(child >= 0);
		if (!child) {
			write_for_ever();
			_exit(1);
		}
		usleep((useconds_t)(997 * i % 20000));
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		size_t n;
		char *text = content(&n);
		assert_true(n == 1 || n == LONG || n == LONG / 2);
		assert_int_equal(strspn(text, (char[]){text[0], 0}), n);
		assert_int_equal(text[0], n == LONG / 2 ? 'b' : 'a');
		free(text);
	}
	/* What a killed writer left behind is in nobody's way. */
	assert_int_equal(durable_replace(path, "after"), 0);
	assert_content("after");
	assert_no_leftover();
}

struct failure {
	unsigned told;
	int error;
};

static void note(void *ctx, const char *where, int error)
{
	struct failure *f = ctx;

	assert_string_equal(where, path);
	f->told++;
	f->error = error;
}

static void write_and_wait(uv_loop_t *loop, struct durable *d, const char *text)
{
	durable_write(d, strdup(text));
	uv_run(loop, UV_RUN_DEFAULT);
}

static void a_failure_is_told_once_until_it_is_over(void **unused)
{
	struct failure f = {0};
	char blocked[80];
	uv_loop_t loop;

	(void)unused;
	uv_loop_init(&loop);
	struct durable *d = durable_new(&loop, path, note, &f);
	snprintf(blocked, sizeof(blocked), "%s.new", path);
	mkdir(blocked, 0755);
	for (int i = 0; i < 3; i++)
		write_and_wait(&loop, d, "never");
	assert_int_equal(f.told, 1);
	assert_int_equal(f.error, EISDIR);
	rmdir(blocked);
	write_and_wait(&loop, d, "again");
	assert_content("again");
	assert_int_equal(f.told, 1);
	mkdir(blocked, 0755);
	write_and_wait(&loop, d, "never");
	assert_int_equal(f.told, 2);
	rmdir(blocked);
	durable_close(d);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
}

static void what_waits_at_the_end_is_written(void **unused)
{
	uv_loop_t loop;

	(void)unused;
	uv_loop_init(&loop);
	struct durable *d = durable_new(&loop, path, NULL, NULL);
	durable_write(d, strdup("first"));
	durable_write(d, strdup("second"));
	durable_write(d, strdup("last"));
	durable_close(d);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_content("last");
	uv_loop_close(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disk_that_fills_up_leaves_the_old_text),
		cmocka_unit_test(a_folder_that_can_not_be_written_leaves_the_old_text),
		cmocka_unit_test(killed_at_any_moment_it_is_whole),
		cmocka_unit_test(a_failure_is_told_once_until_it_is_over),
		cmocka_unit_test(what_waits_at_the_end_is_written),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
