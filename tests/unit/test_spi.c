/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The SPI link: a bus whose transfers this file plays in the kernel's place, and a simulated chip on a socket. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/spi/spidev.h>

#include <cmocka.h>

#include "links/spi.h"

static const struct line at_500k = {500000, 8, 'N', 1};

/* ---- the kernel's part ---- */

/* What the bus was told and asked. */
static struct {
	bool is_spi;
	uint8_t mode, bits;
	uint32_t max_hz, hz;
	unsigned transfers, fail_at; /* 0: never */
	bool sizes_fit;
	uint8_t sent[4096];
} bus;

static int transfer(const struct spi_ioc_transfer *t)
{
	const uint8_t *tx = (const uint8_t *)(uintptr_t)t->tx_buf;
	uint8_t *rx = (uint8_t *)(uintptr_t)t->rx_buf;

	bus.sizes_fit = bus.sizes_fit && t->len == 4 && t->bits_per_word == 8;
	bus.hz = t->speed_hz;
	if (++bus.transfers == bus.fail_at) {
		errno = EREMOTEIO;
		return -1;
	}
	memcpy(bus.sent + 4 * (bus.transfers - 1), tx, 4);
	for (int i = 0; i < 4; i++)
		rx[i] = (uint8_t)~tx[i];
	return 4;
}

/* Takes libc's place in this program. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list args;

	(void)fd;
	va_start(args, request);
	void *arg = va_arg(args, void *);
	va_end(args);
	if (!bus.is_spi) {
		errno = ENOTTY;
		return -1;
	}
	if (request == SPI_IOC_MESSAGE(1))
		return transfer(arg);
	if (request == SPI_IOC_WR_MODE)
		bus.mode = *(uint8_t *)arg;
	else if (request == SPI_IOC_WR_BITS_PER_WORD)
		bus.bits = *(uint8_t *)arg;
	else if (request == SPI_IOC_WR_MAX_SPEED_HZ)
		bus.max_hz = *(uint32_t *)arg;
	return 0;
}

/* ---- the owner's part ---- */

static uv_loop_t loop;
static struct link *spi;
static char directory[64], path[96], name[128];
static int error;
static char why[256];

static struct {
	uint8_t bytes[4096];
	size_t n;
	unsigned calls, gone;
	int error;
	char say[160];
	bool close_on_receive;
} got;

static void close_link(void)
{
	if (spi)
		link_close(spi);
	spi = NULL;
}

static void on_received(void *ctx, struct bytes b)
{
	assert_ptr_equal(ctx, &got);
	assert_true(got.n + b.n <= sizeof(got.bytes));
	memcpy(got.bytes + got.n, b.p, b.n);
	got.n += b.n;
	got.calls++;
	if (got.close_on_receive)
		close_link();
}

static void on_gone(void *ctx, int code, const char *say)
{
	assert_ptr_equal(ctx, &got);
	got.gone++;
	got.error = code;
	snprintf(got.say, sizeof(got.say), "%s", say);
}

static bool open_as(const char *prefix)
{
	struct link_events events = {on_received, on_gone, &got};

	snprintf(name, sizeof(name), "%s%s", prefix, path);
	spi = spi_open(&loop, name, &at_500k, events, &error, why, sizeof(why));
	return spi != NULL;
}

static int set_up(void **unused)
{
	(void)unused;
	memset(&bus, 0, sizeof(bus));
	memset(&got, 0, sizeof(got));
	bus.is_spi = bus.sizes_fit = true;
	error = 0;
	why[0] = 0;
	snprintf(directory, sizeof(directory), "/tmp/test_spi.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/spidev0.0", directory);
	return uv_loop_init(&loop);
}

static int tear_down(void **unused)
{
	(void)unused;
	close_link();
	uv_run(&loop, UV_RUN_DEFAULT);
	unlink(path);
	rmdir(directory);
	return uv_loop_close(&loop);
}

static void make_device(void)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fclose(f);
}

static void open_device(void)
{
	make_device();
	assert_true(open_as("spi:"));
}

static struct bytes accesses(unsigned n)
{
	static uint8_t bytes[2400];

	for (unsigned i = 0; i < 4 * n; i++)
		bytes[i] = (uint8_t)(i * 7);
	return (struct bytes){bytes, (size_t)4 * n};
}

/* What came back is what the bus makes of these bytes. */
static void answered(struct bytes sent)
{
	assert_int_equal(got.n, sent.n);
	for (size_t i = 0; i < sent.n; i++)
		assert_int_equal(got.bytes[i], (uint8_t)~sent.p[i]);
}

/* ---- the bus ---- */

static void device_is_opened_in_mode_0_with_8_bits(void **unused)
{
	(void)unused;
	bus.mode = 0xff;
	open_device();
	assert_int_equal(bus.mode, 0);
	assert_int_equal(bus.bits, 8);
	assert_int_equal(bus.max_hz, 500000);
	assert_int_equal(bus.transfers, 0);
}

static void device_that_is_not_there_is_absent(void **unused)
{
	(void)unused;
	assert_false(open_as("spi:"));
	assert_int_equal(error, ENOENT);
	assert_non_null(strstr(why, path));
}

static void device_that_is_no_spi_is_refused(void **unused)
{
	(void)unused;
	make_device();
	bus.is_spi = false;
	assert_false(open_as("spi:"));
	assert_int_equal(error, ENOTTY);
	assert_non_null(strstr(why, path));
}

static void device_that_another_program_has_is_refused(void **unused)
{
	(void)unused;
	make_device();
	FILE *other = fopen(path, "r+");
	assert_int_equal(flock(fileno(other), LOCK_EX), 0);
	assert_false(open_as("spi:"));
	assert_int_equal(error, EBUSY);
	assert_non_null(strstr(why, path));
	fclose(other);
	assert_true(open_as("spi:"));
}

static void name_that_is_too_long_is_refused(void **unused)
{
	(void)unused;
	memset(path, 'x', sizeof(path) - 1);
	assert_false(open_as("spi:/0123456789/0123456789"));
	assert_int_equal(error, ENAMETOOLONG);
}

static void replies_come_from_the_loop_not_from_the_call(void **unused)
{
	(void)unused;
	open_device();
	assert_int_equal(link_send(spi, accesses(3)), 0);
	assert_int_equal(bus.transfers, 0);
	assert_int_equal(got.calls, 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(bus.transfers, 3);
	assert_true(bus.sizes_fit);
	assert_int_equal(bus.hz, 500000);
	assert_memory_equal(bus.sent, accesses(3).p, 12);
	answered(accesses(3));
}

static void long_request_is_spread_over_turns_of_the_loop(void **unused)
{
	(void)unused;
	open_device();
	assert_int_equal(link_send(spi, accesses(80)), 0);
	uv_run(&loop, UV_RUN_ONCE);
	assert_true(bus.transfers > 0 && bus.transfers <= 8);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(bus.transfers, 80);
	assert_true(got.calls >= 10);
	answered(accesses(80));
}

static void requests_keep_their_order(void **unused)
{
	struct bytes all = accesses(20);

	(void)unused;
	open_device();
	assert_int_equal(link_send(spi, bytes_sub(all, 0, 40)), 0);
	uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(link_send(spi, bytes_sub(all, 40, 40)), 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	answered(all);
}

static void line_sets_the_clock(void **unused)
{
	struct line slow = {100000, 8, 'N', 1};

	(void)unused;
	open_device();
	assert_int_equal(link_set_line(spi, &slow), 0);
	assert_int_equal(link_send(spi, accesses(1)), 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(bus.hz, 100000);
}

static void half_an_access_is_not_sent(void **unused)
{
	(void)unused;
	open_device();
	assert_int_equal(link_send(spi, bytes_sub(accesses(2), 0, 6)), -EINVAL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(bus.transfers, 0);
}

static void more_than_the_queue_holds_is_not_taken(void **unused)
{
	(void)unused;
	open_device();
	assert_int_equal(link_send(spi, accesses(600)), -ENOBUFS);
	assert_int_equal(link_send(spi, accesses(500)), 0);
	assert_int_equal(link_send(spi, accesses(100)), -ENOBUFS);
	uv_run(&loop, UV_RUN_DEFAULT);
	answered(accesses(500));
}

static void bus_that_fails_is_told_once_by_its_name(void **unused)
{
	(void)unused;
	open_device();
	bus.fail_at = 2;
	assert_int_equal(link_send(spi, accesses(3)), 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(got.gone, 1);
	assert_int_equal(got.error, EREMOTEIO);
	assert_non_null(strstr(got.say, path));
	assert_int_equal(got.n, 0);
	assert_int_equal(link_send(spi, accesses(1)), -ENODEV);
	assert_int_equal(link_set_line(spi, &at_500k), -ENODEV);
}

static void link_may_be_closed_while_it_tells(void **unused)
{
	(void)unused;
	open_device();
	got.close_on_receive = true;
	assert_int_equal(link_send(spi, accesses(80)), 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(got.calls, 1);
	assert_int_equal(got.gone, 0);
}

static void nothing_comes_after_closing(void **unused)
{
	(void)unused;
	open_device();
	assert_int_equal(link_send(spi, accesses(3)), 0);
	close_link();
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(bus.transfers, 0);
	assert_int_equal(got.calls, 0);
}

/* ---- a simulated chip ---- */

static int listener, chip;

static void listen_here(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 1), 0);
}

static void open_simulated(void)
{
	listen_here();
	assert_true(open_as("spisim:"));
	chip = accept(listener, NULL, NULL);
	assert_true(chip >= 0);
	close(listener);
}

static void run_until(const size_t *n, size_t want)
{
	for (int i = 0; i < 1000 && *n < want && !got.gone; i++)
		uv_run(&loop, UV_RUN_ONCE);
}

static void simulated_chip_gets_4_bytes_and_gives_4(void **unused)
{
	uint8_t at_chip[8];

	(void)unused;
	open_simulated();
	assert_int_equal(link_send(spi, accesses(2)), 0);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(recv(chip, at_chip, sizeof(at_chip), MSG_WAITALL), 8);
	assert_memory_equal(at_chip, accesses(2).p, 8);
	assert_int_equal(got.calls, 0);
	assert_int_equal(write(chip, "\0\1\2\3\4\5\6\7", 8), 8);
	run_until(&got.n, 8);
	assert_memory_equal(got.bytes, "\0\1\2\3\4\5\6\7", 8);
	assert_int_equal(link_send(spi, bytes_sub(accesses(2), 0, 6)), -EINVAL);
	assert_int_equal(link_set_line(spi, &at_500k), 0);
	close(chip);
}

static void simulated_chip_that_leaves_is_told_once_by_its_name(void **unused)
{
	(void)unused;
	open_simulated();
	close(chip);
	run_until(&got.n, 1);
	assert_int_equal(got.gone, 1);
	assert_int_equal(got.error, EIO);
	assert_non_null(strstr(got.say, path));
	assert_int_equal(link_send(spi, accesses(1)), -ENODEV);
	assert_int_equal(link_set_line(spi, &at_500k), -ENODEV);
}

static void simulated_chip_that_is_not_there_is_absent(void **unused)
{
	(void)unused;
	assert_false(open_as("spisim:"));
	assert_int_equal(error, ENOENT);
	assert_non_null(strstr(why, path));
	listen_here();
	close(listener);
	assert_false(open_as("spisim:"));
	assert_int_equal(error, ENOENT);
}

static void what_is_on_its_way_when_it_is_closed_is_let_go(void **unused)
{
	(void)unused;
	open_simulated();
	for (int i = 0; i < 500; i++)
		assert_int_equal(link_send(spi, accesses(500)), 0);
	close_link();
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(got.gone, 0);
	close(chip);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(device_is_opened_in_mode_0_with_8_bits),
		T(device_that_is_not_there_is_absent),
		T(device_that_is_no_spi_is_refused),
		T(device_that_another_program_has_is_refused),
		T(name_that_is_too_long_is_refused),
		T(replies_come_from_the_loop_not_from_the_call),
		T(long_request_is_spread_over_turns_of_the_loop),
		T(requests_keep_their_order),
		T(line_sets_the_clock),
		T(half_an_access_is_not_sent),
		T(more_than_the_queue_holds_is_not_taken),
		T(bus_that_fails_is_told_once_by_its_name),
		T(link_may_be_closed_while_it_tells),
		T(nothing_comes_after_closing),
		T(simulated_chip_gets_4_bytes_and_gives_4),
		T(simulated_chip_that_leaves_is_told_once_by_its_name),
		T(simulated_chip_that_is_not_there_is_absent),
		T(what_is_on_its_way_when_it_is_closed_is_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
