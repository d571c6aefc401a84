/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the user asked for -> which face; nothing else. */
#include "console/decode.h"

#include <stdio.h>
#include <string.h>

#include "protocols/protocol.h"

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "decode"))
		return decode_file(argv[argc - 1], NULL, argc > 3 && !strcmp(argv[2], "--check"));
	fprintf(stderr, "usage: bmscope decode [--check] FILE\n");
	return 2;
}
