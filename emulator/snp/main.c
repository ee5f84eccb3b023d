// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs the tests, or those whose names begin with an argument. A line for each,
 * "ok NAME" or "not ok NAME: what"; the exit status says whether one failed.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vm.h"

/* How long one test may take */
#define SECONDS 240

extern const struct test __start_tests[], __stop_tests[];
static const struct test *now;
static jmp_buf out;
static bool failed;
bool spoiled;
static pid_t own;

void print(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	fflush(stdout);
}

void fail(const char *fmt, ...)
{
	va_list args;

	printf("not ok %s: ", now->name);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	print("\n");
	/* From a child, or another thread, there is no way back to main(). */
	if (gettid() != own)
		_exit(1);
	failed = spoiled = true;
	longjmp(out, 1);
}

void expect_eq(int line, const char *what, u64 got, u64 want)
{
	if (got != want)
		fail("line %d: %s is %lx, not %lx", line, what, got, want);
}

void expect_ne(int line, const char *what, u64 got, u64 other)
{
	if (got == other)
		fail("line %d: %s is %lx", line, what, got);
}

void expect_true(int line, const char *what, bool cond)
{
	if (!cond)
		fail("line %d: not so: %s", line, what);
}

bool all_bytes(const volatile void *p, u8 byte, size_t n)
{
	const volatile u8 *b = p;

	while (n && *b == byte)
		b++, n--;
	return !n;
}

static void hangs(int signal)
{
	(void)signal;
	print("not ok %s: does not end\n", now->name);
	_exit(1);
}

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strncmp(name, argv[i], strlen(argv[i])))
			return true;
	return argc == 1;
}

int main(int argc, char **argv)
{
	int count[2] = { 0 };

	own = gettid();
	signal(SIGALRM, hangs);
	for (now = __start_tests; now < __stop_tests; now++) {
		if (!wanted(now->name, argc, argv))
			continue;
		alarm(SECONDS);
		failed = false;
		if (!setjmp(out))
			now->run();
		if (!failed)
			print("ok %s\n", now->name);
		count[failed]++;
	}
	alarm(0);
	print("end: %d passed, %d failed\n", count[0], count[1]);
	return count[1] || !count[0];
}
