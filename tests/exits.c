// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an exit of an ordinary VM costs
 *
 * Prints the TSC ticks that one exit of each kind takes: those that KVM handles
 * itself, one that goes to userspace, and page faults.  On a machine whose TSC
 * counts instructions these are instructions, and do not depend on what else
 * runs, but for the timer's ticks, of which the median of several runs is free
 * enough to compare two kernels.
 */
#include <stdio.h>
#include <stdlib.h>

#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"

#define RUNS		9
#define EXITS		2000
#define PORT		0x80

#define FAULT_SLOT	10
#define FAULT_GPA	0x100000000ull
#define FAULT_SIZE	(EXITS * PAGE_SIZE)

enum kind { CPUID, MSR, HYPERCALL, PIO, FAULT, REFAULT, NR_KINDS };

static const char * const name[NR_KINDS] = {
	[CPUID]		= "cpuid",
	[MSR]		= "rdmsr",
	[HYPERCALL]	= "hypercall",
	[PIO]		= "port to userspace",
	[FAULT]		= "fault, new page",
	[REFAULT]	= "fault, page there",
};

static void guest_exits(enum kind kind)
{
	u32 eax, ebx, ecx, edx;
	unsigned int i;

	for (i = 0; i < EXITS; i++) {
		switch (kind) {
		case CPUID:
			cpuid(0, &eax, &ebx, &ecx, &edx);
			break;
		case MSR:
			rdmsr(MSR_IA32_APICBASE);
			break;
		case HYPERCALL:
			/* No such hypercall: KVM says so and that is all. */
			kvm_hypercall(~0ull, 0, 0, 0, 0);
			break;
		case PIO:
			asm volatile("outb %%al, %0" : : "Nd" ((u16)PORT), "a" (0));
			break;
		default:
			WRITE_ONCE(*(u8 *)(FAULT_GPA + i * PAGE_SIZE), 1);
		}
	}
}

static void guest_code(void)
{
	enum kind kind;

	asm volatile("sti");

	for (kind = 0; kind < NR_KINDS; kind++) {
		GUEST_SYNC(kind);
		guest_exits(kind);
	}
	GUEST_DONE();
}

/* Run to the next ucall; other exits are the ones that are measured. */
static u64 next_ucall(struct kvm_vcpu *vcpu, struct ucall *uc)
{
	u64 start = rdtsc();

	for (;;) {
		vcpu_run(vcpu);
		ASSERT_EQ(vcpu->run->exit_reason, KVM_EXIT_IO);
		if (vcpu->run->io.port != PORT)
			break;
	}

	start = rdtsc() - start;
	get_ucall(vcpu, uc);
	return start;
}

static void one_run(u64 *ticks)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;
	enum kind kind;
	void *mem;

	vm = vm_create_with_one_vcpu(&vcpu, guest_code);
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, FAULT_GPA, FAULT_SLOT, EXITS, 0);
	virt_map(vm, FAULT_GPA, FAULT_GPA, EXITS);

	next_ucall(vcpu, &uc);
	for (kind = 0; kind < NR_KINDS; kind++) {
		TEST_ASSERT(uc.cmd == UCALL_SYNC && uc.args[1] == kind,
			    "The guest is at %lu of %lu", uc.cmd, uc.args[1]);

		/* Drops KVM's mappings, keeps the pages. */
		if (kind == REFAULT) {
			mem = addr_gpa2hva(vm, FAULT_GPA);
			TEST_ASSERT(!mprotect(mem, FAULT_SIZE, PROT_NONE) &&
				    !mprotect(mem, FAULT_SIZE, PROT_READ | PROT_WRITE),
				    "mprotect() failed");
		}

		ticks[kind] = next_ucall(vcpu, &uc);
	}
	ASSERT_EQ(uc.cmd, UCALL_DONE);

	kvm_vm_free(vm);
}

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char *argv[])
{
	u64 ticks[RUNS][NR_KINDS], of_kind[RUNS];
	enum kind kind;
	unsigned int i;

	for (i = 0; i < RUNS; i++)
		one_run(ticks[i]);

	for (kind = 0; kind < NR_KINDS; kind++) {
		for (i = 0; i < RUNS; i++)
			of_kind[i] = ticks[i][kind];
		qsort(of_kind, RUNS, sizeof(of_kind[0]), compare);
		printf("exit: %s: %.1f ticks\n", name[kind], (double)of_kind[RUNS / 2] / EXITS);
	}
	return 0;
}
