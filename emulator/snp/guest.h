/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest: a program that does one thing at a time, as a page that it shares
 * with its VMM tells it, and writes there what came of it. So the rules stand
 * in the VMM's tests, one after the other.
 */
#ifndef GUEST_H
#define GUEST_H

/* unistd.h has another function of this name. */
#define pause cpu_pause
#include "../tests/crypto.h"
#undef pause

/*
 * Guest physical memory, and where the guest sees it
 *
 *   image      as linked      private
 *   tables     2 MiB          private; 8 pages
 *   others     64 KiB on      private; what the launch fills in other ways
 *   commands   3 MiB          shared: one page per vCPU
 *   GHCBs      64 KiB on      shared: one page per vCPU
 *   exchange   64 KiB on      shared
 *   test pages 4 to 6 MiB     private; the same pages, shared, from 6 MiB
 *   a large    8 MiB          private, by a 2 MiB entry; shared from 10 MiB by
 *   page                      another; from 12 MiB private by 4 KiB entries
 *   bulk       64 to 128 MiB  private, by 2 MiB entries
 */
#define G_IMAGE		0x100000UL
#define G_TABLES	0x200000UL
#define G_SECRETS	0x210000UL
#define G_CPUID_PAGE	0x211000UL
#define G_ZERO		0x212000UL
#define G_UNMEASURED	0x213000UL
#define G_COMMANDS	0x300000UL
#define G_GHCBS		0x310000UL
#define G_EXCHANGE	0x320000UL
#define G_SHARED_END	0x340000UL
#define G_TEST		0x400000UL
#define G_TEST_SHARED	0x600000UL
#define G_LARGE		0x800000UL
#define G_LARGE_SHARED	0xa00000UL
#define G_LARGE_BY_4K	0xc00000UL
#define G_BULK		0x4000000UL
#define G_BULK_SIZE	0x4000000UL
#define G_END		(G_BULK + G_BULK_SIZE)

/* Where no memory is */
#define G_DEVICE	0x10000000UL

#define VCPUS		2

/* The guest writes to this port when it waits for a command. */
#define PORT_DONE	0xd0

enum op {
	G_NOTHING,
	G_READ,			/* (address) */
	G_WRITE,		/* (address, value) */
	G_ADD_LOCKED,		/* (address, value) */
	G_COPY,			/* (to, from, bytes) */
	G_FILL_WORDS,		/* (to, bytes): each word with its own address */
	G_CHECK_WORDS,		/* (from, bytes): how many are not like that */
	G_PVALIDATE,		/* (address, size, validate): EAX */
	G_PVALIDATE_ALL,	/* (from, bytes): each page of 4 KiB; how many were not validated now */
	G_RMPADJUST,		/* (address, size, attributes): EAX */
	G_CPUID,		/* (leaf): EAX, more: EBX, ECX, EDX */
	G_RDMSR,		/* (number) */
	G_IN,			/* (port) */
	G_GHCB_MSR,		/* (value): for a VMGEXIT; the value after it */
	G_VMGEXIT,		/* (what is not said to be valid): command.ghcb and .buffer, to the GHCB and back */
	G_SPIN,			/* (address): counts there, with locked accesses, until command.stop; how far */
};

/* Which fields of a GHCB are said to be valid */
#define V_RAX		BIT(0)
#define V_RBX		BIT(1)
#define V_RCX		BIT(2)
#define V_RDX		BIT(3)
#define V_CODE		BIT(4)
#define V_INFO1		BIT(5)
#define V_INFO2		BIT(6)
#define V_SCRATCH	BIT(7)

#define BUFFER_SIZE	0x7f0

struct command {
	u64 op, arg[3];
	u64 value, more[3], flags;
	u64 vector, error, cr2;
	/* Counts the commands done */
	u64 done;
	/* The word that G_SPIN looks at */
	u64 stop;
	struct { u64 code, info1, info2, scratch, rax, rbx, rcx, rdx, usage; } ghcb;
	u8 reserved[0x800 - 23 * 8];
	/* The GHCB's shared buffer */
	u8 buffer[BUFFER_SIZE];
};

/* GHCB specification (56421), section 2.6 */
struct PACKED ghcb {
	u8 reserved1[0xcb], cpl, reserved2[0x1f8 - 0xcc];
	u64 rax;
	u8 reserved3[0x308 - 0x200];
	u64 rcx, rdx, rbx;
	u8 reserved4[0x390 - 0x320];
	u64 code, info1, info2, scratch;
	u8 reserved5[0x3f0 - 0x3b0];
	u64 valid[2];
	u8 reserved6[0x800 - 0x400];
	u8 buffer[BUFFER_SIZE];
	u8 reserved7[10];
	u16 version;
	u32 usage;
};
_Static_assert(offsetof(struct command, buffer) == 0x800, "command");
_Static_assert(sizeof(struct ghcb) == 0x1000, "ghcb");

#endif
