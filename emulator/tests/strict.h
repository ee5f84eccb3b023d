/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What strict mode ends, and what it does not. The emulator starts these
 * kernels with snp-strict=on, and the last test of each does what must end the
 * machine: the emulator's own words, and that it has gone, are for "run" to
 * check. That is why there is one such test for each kernel.
 */
#ifndef STRICT_H
#define STRICT_H

#include "snp.h"

/* The statement must end the machine, with this in the report. */
#define ENDS(stmt, fmt, ...) do {					\
	print("ends " fmt "\n", __VA_ARGS__);				\
	stmt;								\
	print("ends not\n");						\
	fail("line %d: the machine goes on: %s", __LINE__, #stmt);	\
} while (0)

#endif
