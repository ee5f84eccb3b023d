/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of the tests: a program that does one thing at a time, as a page
 * that it shares with the host tells it, and writes there what came of it. So
 * the rules stand in the host's tests, one after the other.
 */
#ifndef GUEST_H
#define GUEST_H

#include "lib.h"

/*
 * Guest physical memory, and where the guest sees it
 *
 *   image      as linked   private
 *   tables     2 MiB       private
 *   secrets    64 KiB on   private; what the firmware tells an SNP guest
 *   commands   3 MiB       shared: one page per VMPL
 *   test pages 4 to 6 MiB  private; the same pages, shared, from 6 MiB
 *   a large    8 MiB       private, by a 2 MiB entry; shared from 10 MiB by
 *   page                   another; from 12 MiB private by 4 KiB entries
 *
 * The table for the addresses from 14 MiB is the last of the test pages.
 */
#define G_TABLES	0x200000UL
#define G_SECRETS	0x210000UL
#define G_COMMANDS	0x300000UL
#define G_EXCHANGE	0x304000UL
#define G_TEST		0x400000UL
#define G_TEST_SHARED	0x600000UL
#define G_LARGE		0x800000UL
#define G_LARGE_SHARED	0xa00000UL
#define G_LARGE_BY_4K	0xc00000UL
#define G_OWN_TABLE	0xe00000UL
#define G_TABLE_PAGE	(G_TEST + 511 * PAGE)

enum op {
	G_NOTHING,
	G_READ,			/* (address) */
	G_READ_BYTE,		/* (address) */
	G_WRITE,		/* (address, value) */
	G_ADD_LOCKED,		/* (address, value) */
	G_CALL,			/* (address): a function there */
	G_COPY,			/* (to, from, bytes) */
	G_FILL,			/* (to, byte, bytes) */
	G_PVALIDATE,		/* (address, size, validate): EAX */
	G_RMPADJUST,		/* (address, size, attributes): EAX */
	G_RMPQUERY,		/* (address, VMPL): EAX, more: RDX, RCX */
	G_READ_WRITE,		/* (address, value): one after the other, without an exit */
	G_READ_CALL,		/* (address) */
	G_RMPUPDATE,		/* (address, of the new state) */
	G_PSMASH,		/* (address) */
	G_RESCIND,		/* (address): a read, PVALIDATE to not validated, a read */
	G_MAKE_VMSA,		/* (address, attributes): a write, RMPADJUST, a write */
	G_CPUID,		/* (leaf): EAX, more: EBX, ECX */
	G_RDMSR,		/* (number) */
	G_WRMSR,		/* (number, value) */
	G_IN,			/* (port) */
	G_OUT,			/* (port, value) */
	G_HLT, G_WBINVD, G_INVD, G_VMMCALL, G_RDTSC, G_UD2, G_RDPMC, G_MONITOR, G_MWAIT,
	G_DIVIDE,		/* by zero */
	G_INT3,
	G_WRITE_DR7,		/* (value) */
	G_READ_DR7,
	G_READ_CR0,
	G_INVLPG,		/* (address) */
	G_GHCB,			/* (value): of the GHCB MSR, for a VMGEXIT; the value after it */
	G_SPIN,			/* (address): writes there, counting, until there is something else than it wrote */
	G_USER_READ,		/* (address): at CPL 3 */
};

struct command {
	u64 op, arg[3];
	u64 value, more[2], flags;
	u64 vector, error, cr2;
	/* Counts the commands done */
	u64 done;
	/* The word that G_SPIN looks at, and its counter */
	u64 stop, counter;
};

#endif
