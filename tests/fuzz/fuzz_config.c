/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzzes the configuration file. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[64];
	static struct config c;
	struct config_report report = {0};

	if (fd < 0) {
		FILE *f = tmpfile();

		if (!f)
			abort();
		fd = fileno(f);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	if (config_load(&c, path, &report) < 0 && !report.errors)
		abort(); /* refused without a reason */
	config_report_free(&report);
	return 0;
}
