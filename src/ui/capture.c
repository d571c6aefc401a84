/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/capture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void capture_start(struct capture *c)
{
	*c = (struct capture){.before = -1, .memory = -1};
	if (!isatty(STDERR_FILENO))
		return;
	c->memory = memfd_create("bmscope-errors", MFD_CLOEXEC);
	if (c->memory < 0)
		return;
	fcntl(c->memory, F_SETFL, O_APPEND);
	c->before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (c->before >= 0 && dup2(c->memory, STDERR_FILENO) < 0) {
		close(c->before);
		c->before = -1;
	}
}

bool capture_line(struct capture *c, char *out, size_t size)
{
	ssize_t n = c->before < 0 ? 0 : pread(c->memory, out, size - 1, c->taken);

	if (n <= 0)
		return false;
	out[n] = 0;
	size_t length = strcspn(out, "\n");
	c->taken += (off_t)length + (out[length] == '\n');
	out[length] = 0;
	return true;
}

void capture_end(struct capture *c, bool say)
{
	char part[1024];
	ssize_t n;

	if (c->before >= 0) {
		dup2(c->before, STDERR_FILENO);
		close(c->before);
		for (off_t at = 0; say && (n = pread(c->memory, part, sizeof(part), at)) > 0; at += n)
			if (write(STDERR_FILENO, part, (size_t)n) < 0)
				break;
	}
	if (c->memory >= 0)
		close(c->memory);
	*c = (struct capture){.before = -1, .memory = -1};
}
