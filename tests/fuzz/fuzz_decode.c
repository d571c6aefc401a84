/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzzes `bmscope decode`: one file, capture lines and records of a recording alike. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "console/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[64];

	if (fd < 0) {
		FILE *f = tmpfile();

		if (!f || !freopen("/dev/null", "w", stdout))
			abort();
		fd = fileno(f);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	decode_file(path, NULL, size & 1);
	return 0;
}
