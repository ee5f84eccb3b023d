/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the VMM and the program inside its guest agree on.
 *
 * Guest physical memory, all of it mapped one to one by the guest's page tables:
 *
 *   0 .. 2 MiB   boot: plain shared memory. Page tables, the guest program, and
 *                one page per vCPU with its mailbox (bottom) and stack (top).
 *   4 GiB ..     RAM, --memory bytes of it.
 *   then 2 MiB   hotplug: memory that the guest gets page by page, when it
 *                touches it.
 *   then 2 MiB   buffer: shared by nature, as a device's buffer is.
 *
 * The host cannot write to private memory, so everything that it must place in
 * the guest before the first instruction lies in the boot range; the guest fills
 * its private memory by itself.
 *
 * The VMM writes a command into a vCPU's mailbox and runs the vCPU. The guest does
 * it, stores the result and writes to PORT_DONE, which exits to the VMM. Only one
 * side runs at a time, so the mailbox needs no lock.
 */
#ifndef GMEMVM_GUEST_H
#define GMEMVM_GUEST_H

#include <linux/types.h>

#define KIB(n)			((__u64)(n) << 10)
#define MIB(n)			((__u64)(n) << 20)
#define GIB(n)			((__u64)(n) << 30)

#define PAGE_SIZE		KIB(4)
#define PAGE_WORDS		(PAGE_SIZE / sizeof(__u64))

#define BOOT_SIZE		MIB(2)
#define BOOT_PML4		0x1000
#define BOOT_PDPT		0x2000
#define BOOT_PD			0x3000	/* one page per GiB that is mapped */
#define BOOT_IMAGE		0x80000	/* guest.lds has this number too */
#define BOOT_VCPU		0x100000 /* one page per vCPU */

#define RAM_BASE		GIB(4)
#define HOTPLUG_SIZE		MIB(2)
#define BUFFER_SIZE		MIB(2)

#define MSR_EFER		0xc0000080
#define EFER_LME		0x100
#define EFER_LMA		0x400

#define PORT_DONE		0x40

enum guest_cmd {
	CMD_HELLO,	/* result: 64 if the guest runs 64-bit code */
	CMD_FILL,	/* gpa, pages, seed: write the seed's pattern */
	CMD_MATCH,	/* gpa, pages, seed: result is the number of pages with it */
	CMD_COPY,	/* gpa, pages, from: copy from another guest address */
	CMD_MAP,	/* gpa, pages, attrs: KVM_HC_MAP_GPA_RANGE, result is its */
};

struct mailbox {
	__u64 cmd;
	__u64 gpa;
	__u64 pages;
	__u64 arg;
	__u64 result;
};

/* Entered by every vCPU with its mailbox and a stack, and never left. */
[[gnu::noreturn]]
void guest_main(struct mailbox *mb);

/*
 * The word that belongs at a guest physical address under a seed. It depends on
 * the address, so a page that turns up in another's place is noticed, and is never
 * zero unless the seed is: seed 0 stands for a page that nobody has written.
 */
static inline __u64 pattern(__u64 gpa, __u64 seed)
{
	return seed ? ((gpa ^ seed << 48) * 0x9e3779b97f4a7c15ULL) | 1 : 0;
}

static inline void fill_pages(__u64 *mem, __u64 gpa, __u64 pages, __u64 seed)
{
	__u64 i;

	for (i = 0; i < pages * PAGE_WORDS; i++)
		mem[i] = pattern(gpa + i * sizeof(*mem), seed);
}

static inline __u64 match_pages(const __u64 *mem, __u64 gpa, __u64 pages,
				__u64 seed)
{
	__u64 page, i, good = 0;

	for (page = 0; page < pages; page++) {
		for (i = 0; i < PAGE_WORDS; i++, mem++, gpa += sizeof(*mem)) {
			if (*mem != pattern(gpa, seed))
				break;
		}
		good += i == PAGE_WORDS;
		mem += PAGE_WORDS - i;
		gpa += (PAGE_WORDS - i) * sizeof(*mem);
	}
	return good;
}

#endif
