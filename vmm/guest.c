// SPDX-License-Identifier: GPL-2.0
/*
 * The program inside the guest: freestanding, in 64-bit mode from its first
 * instruction, one copy for all vCPUs and no variables of its own but the stack.
 *
 * There is no interrupt descriptor table. A fault is a bug of this program or of
 * the kernel under test, becomes a triple fault, and the VMM reports it.
 */
#include <linux/kvm_para.h>

#include "guest.h"

static void tell_vmm(void)
{
	asm volatile("outb %%al, %0" : : "N"(PORT_DONE) : "memory");
}

/*
 * The instruction for a hypercall is the CPU vendor's: Intel's faults on AMD and
 * the other way round. KVM would patch the wrong one, but by writing to guest code,
 * which a guest with private memory cannot count on.
 */
static int cpu_is_amd(void)
{
	__u32 eax = 0, ebx, ecx, edx;

	asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));

	/* The last letters of AuthenticAMD and HygonGenuine. */
	return ecx == 0x444d4163 || ecx == 0x656e6975;
}

static __u64 hypercall(int amd, __u64 nr, __u64 a0, __u64 a1, __u64 a2)
{
	if (amd)
		asm volatile("vmmcall" : "+a"(nr) : "b"(a0), "c"(a1), "d"(a2) :
			     "memory");
	else
		asm volatile("vmcall" : "+a"(nr) : "b"(a0), "c"(a1), "d"(a2) :
			     "memory");
	return nr;
}

static void copy_pages(__u64 *to, const __u64 *from, __u64 pages)
{
	__u64 i;

	for (i = 0; i < pages * PAGE_WORDS; i++)
		to[i] = from[i];
}

/* What the CPU says of itself: is it in long mode? */
static __u64 code_bits(void)
{
	__u32 eax, edx;

	asm volatile("rdmsr" : "=a"(eax), "=d"(edx) : "c"(MSR_EFER));
	return eax & EFER_LMA ? 64 : 32;
}

static __u64 execute(const struct mailbox *mb, int amd)
{
	__u64 *mem = (__u64 *)mb->gpa;

	switch (mb->cmd) {
	case CMD_HELLO:
		return code_bits();
	case CMD_FILL:
		fill_pages(mem, mb->gpa, mb->pages, mb->arg);
		return mb->pages;
	case CMD_MATCH:
		return match_pages(mem, mb->gpa, mb->pages, mb->arg);
	case CMD_COPY:
		copy_pages(mem, (const __u64 *)mb->arg, mb->pages);
		return mb->pages;
	case CMD_MAP:
		return hypercall(amd, KVM_HC_MAP_GPA_RANGE, mb->gpa,
				 mb->pages, mb->arg);
	}
	return ~0ULL;
}

void guest_main(struct mailbox *mb)
{
	int amd = cpu_is_amd();

	for (;;) {
		mb->result = execute(mb, amd);
		tell_vmm();
	}
}
