// SPDX-License-Identifier: GPL-2.0
/*
 * The rules of a VM with guest_memfd, as this file keeps them:
 *
 * - The VM's type decides at creation whether it can have private memory.
 * - A slot gets its guest_memfd when it is made, and keeps it. Pages with the
 *   private attribute come from there, all others from the slot's mapping.
 * - Attributes only say which of the two it is. They move no data and free no
 *   memory, so a conversion is two steps: first the attribute, which unmaps the old
 *   page from the guest, then the old page is freed. The other order would let the
 *   guest fault a fresh page in at the old place.
 * - A conversion carries no data over, the guest finds zeroes. What it wants to keep
 *   it copies by itself.
 * - KVM_RUN that fails with EFAULT and KVM_EXIT_MEMORY_FAULT is no failure, but the
 *   question what to do about an address. The vCPU repeats the access when it runs
 *   again.
 */
#include <asm/processor-flags.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_para.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"

#define PTE_TABLE	0x03	/* present, writable */
#define PTE_2M		0xe3	/* present, writable, accessed, dirty, large */

#define MAX_CPUID	256

#define ioctl_or_die(fd, request, arg) \
	do_ioctl(fd, request, (unsigned long)(arg), #request)

static int do_ioctl(int fd, unsigned long request, unsigned long arg,
		    const char *name)
{
	int ret = ioctl(fd, request, arg);

	if (ret < 0)
		die("%s: %s", name, strerror(errno));
	return ret;
}

__u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

int vm_create(struct vm *vm, int kvm, unsigned long type)
{
	struct kvm_enable_cap hypercalls = {
		.cap = KVM_CAP_EXIT_HYPERCALL,
		.args[0] = 1 << KVM_HC_MAP_GPA_RANGE,
	};

	memset(vm, 0, sizeof(*vm));
	vm->kvm = kvm;
	vm->gmem = -1;
	vm->fd = ioctl(kvm, KVM_CREATE_VM, type);
	if (vm->fd < 0)
		return errno;
	ioctl_or_die(vm->fd, KVM_ENABLE_CAP, &hypercalls);
	return 0;
}

int vm_cap(struct vm *vm, int cap)
{
	return ioctl_or_die(vm->fd, KVM_CHECK_EXTENSION, cap);
}

void vm_create_gmem(struct vm *vm, __u64 size)
{
	struct kvm_create_guest_memfd gmem = { .size = size };

	vm->gmem = ioctl_or_die(vm->fd, KVM_CREATE_GUEST_MEMFD, &gmem);
}

static void map_region(struct region *region, const char *name, __u64 gpa,
		       __u64 size, int prot)
{
	region->name = name;
	region->gpa = gpa;
	region->size = size;
	region->gmem = -1;
	region->hva = mmap(NULL, size, prot,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (region->hva == MAP_FAILED)
		die("mmap of %llu KiB for %s: %s", size >> 10, name,
		    strerror(errno));
}

/* A slot of shared memory only, in the way of every VMM since long ago. */
void vm_add_region(struct vm *vm, int slot, const char *name, __u64 gpa,
		   __u64 size, int prot)
{
	struct region *region = &vm->region[slot];
	struct kvm_userspace_memory_region arg = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
	};

	map_region(region, name, gpa, size, prot);
	arg.userspace_addr = (unsigned long)region->hva;
	ioctl_or_die(vm->fd, KVM_SET_USER_MEMORY_REGION, &arg);
}

/* A slot with both kinds of memory; the private one is the guest_memfd at @offset. */
void vm_bind_region(struct vm *vm, int slot, const char *name, __u64 gpa,
		    __u64 size, int prot, __u64 offset)
{
	struct region *region = &vm->region[slot];
	struct kvm_userspace_memory_region2 arg = {
		.slot = slot,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.guest_memfd = vm->gmem,
		.guest_memfd_offset = offset,
	};

	map_region(region, name, gpa, size, prot);
	region->gmem = vm->gmem;
	region->offset = offset;
	arg.userspace_addr = (unsigned long)region->hva;
	ioctl_or_die(vm->fd, KVM_SET_USER_MEMORY_REGION2, &arg);
}

int vm_set_attributes(struct vm *vm, __u64 gpa, __u64 size, __u64 attributes)
{
	struct kvm_memory_attributes arg = {
		.address = gpa,
		.size = size,
		.attributes = attributes,
	};
	int ret;

	do {
		ret = ioctl(vm->fd, KVM_SET_MEMORY_ATTRIBUTES, &arg);
	} while (ret < 0 && errno == EINTR);

	return ret < 0 ? errno : 0;
}

void vm_punch(struct vm *vm, const struct region *region, __u64 gpa, __u64 size)
{
	int ret;

	do {
		ret = fallocate(vm->gmem,
				FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				region->offset + (gpa - region->gpa), size);
	} while (ret < 0 && errno == EINTR);

	if (ret < 0)
		die("punching a hole at gpa 0x%llx, size 0x%llx: %s", gpa, size,
		    strerror(errno));
}

/* The region that holds all of the range, or NULL. */
static struct region *vm_region(struct vm *vm, __u64 gpa, __u64 size)
{
	struct region *region;

	for (region = vm->region; region < vm->region + NR_REGIONS; region++) {
		if (gpa >= region->gpa && gpa - region->gpa < region->size &&
		    size <= region->size - (gpa - region->gpa))
			return region;
	}
	return NULL;
}

__u64 *vm_hva(struct vm *vm, __u64 gpa)
{
	struct region *region = vm_region(vm, gpa, 1);

	if (!region)
		die("no memory at gpa 0x%llx", gpa);
	return region->hva + (gpa - region->gpa);
}

/*
 * Converts a range of one region. Different vCPUs may convert different ranges at
 * the same time; a guest whose vCPUs convert the same one has no reason to complain
 * about either outcome.
 */
static void vcpu_convert(struct vcpu *vcpu, struct region *region, __u64 gpa,
			 __u64 size, bool private)
{
	struct stats *stats = &vcpu->stats;
	__u64 ns = now_ns();
	int err;

	err = vm_set_attributes(vcpu->vm, gpa, size,
				private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0);
	if (err)
		die("KVM_SET_MEMORY_ATTRIBUTES: %s", strerror(err));

	if (private) {
		if (madvise(region->hva + (gpa - region->gpa), size,
			    MADV_DONTNEED))
			die("MADV_DONTNEED: %s", strerror(errno));
		stats->to_private++;
		stats->to_private_pages += size / PAGE_SIZE;
	} else {
		if (region->gmem >= 0)
			vm_punch(vcpu->vm, region, gpa, size);
		stats->to_shared++;
		stats->to_shared_pages += size / PAGE_SIZE;
	}

	ns = now_ns() - ns;
	stats->convert_ns += ns;
	if (ns > stats->convert_max_ns)
		stats->convert_max_ns = ns;
}

/*
 * The guest asks for a range to be private or shared. It is free to ask nonsense,
 * and gets an error for it.
 */
static __u64 vcpu_map_gpa_range(struct vcpu *vcpu, const __u64 *args)
{
	struct region *region = NULL;	/* only RAM changes at request */
	__u64 gpa = args[0], pages = args[1], attrs = args[2];

	if (vcpu->vm->gmem < 0) {
		vcpu->stats.refused++;
		return -KVM_EOPNOTSUPP;
	}

	/* KVM refuses what is unaligned or empty, but leaves the upper bound to us. */
	if (pages <= MAX_MEMORY / PAGE_SIZE)
		region = vm_region(vcpu->vm, gpa, pages * PAGE_SIZE);
	if (region != &vcpu->vm->region[RAM]) {
		vcpu->stats.refused++;
		return -KVM_EINVAL;
	}

	vcpu_convert(vcpu, region, gpa, pages * PAGE_SIZE,
		     attrs & KVM_MAP_GPA_RANGE_ENCRYPTED);
	return 0;
}

/*
 * The guest has touched memory of a kind that its slot cannot give. There are two
 * places where that is in order, and the answer is a conversion that the guest has
 * not asked for:
 *
 * - A shared access to the hotplug region, whose mapping is PROT_NONE so that no
 *   memory is spent in vain: a first touch. The page becomes private.
 * - A private access to the buffer, which has no guest_memfd. All of guest memory is
 *   made private at the start, as a guest expects of it, and a buffer for a device
 *   becomes shared when it is used.
 */
static void vcpu_memory_fault(struct vcpu *vcpu)
{
	__u64 flags = vcpu->run->memory_fault.flags;
	__u64 gpa = vcpu->run->memory_fault.gpa;
	__u64 size = vcpu->run->memory_fault.size;
	struct region *region = vm_region(vcpu->vm, gpa, size);
	bool private = flags & KVM_MEMORY_EXIT_FLAG_PRIVATE;

	if (flags & ~KVM_MEMORY_EXIT_FLAG_PRIVATE)
		die("memory fault with unknown flags 0x%llx", flags);

	if (private)
		vcpu->stats.exit_fault_private++;
	else
		vcpu->stats.exit_fault_shared++;

	if (region == &vcpu->vm->region[HOTPLUG] && !private)
		vcpu_convert(vcpu, region, gpa, size, true);
	else if (region == &vcpu->vm->region[BUFFER] && private)
		vcpu_convert(vcpu, region, gpa, size, false);
	else
		die("vCPU %d: %s access to gpa 0x%llx, size 0x%llx (%s) cannot be had",
		    vcpu->id, private ? "private" : "shared", gpa, size,
		    region ? region->name : "no region");
}

[[gnu::noreturn]]
static void die_of_exit(struct vcpu *vcpu)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	ioctl_or_die(vcpu->fd, KVM_GET_REGS, &regs);
	ioctl_or_die(vcpu->fd, KVM_GET_SREGS, &sregs);
	die("vCPU %d: unexpected exit %u at rip 0x%llx, cr2 0x%llx", vcpu->id,
	    vcpu->run->exit_reason, regs.rip, sregs.cr2);
}

/* Runs the vCPU until its guest has done what is in the mailbox. */
static void vcpu_run(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	for (;;) {
		if (ioctl(vcpu->fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EFAULT ||
			    run->exit_reason != KVM_EXIT_MEMORY_FAULT)
				die("vCPU %d: KVM_RUN: %s, exit reason %u",
				    vcpu->id, strerror(errno), run->exit_reason);
			vcpu_memory_fault(vcpu);
			continue;
		}

		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			if (run->io.port != PORT_DONE)
				die_of_exit(vcpu);
			vcpu->stats.exit_io++;
			return;
		case KVM_EXIT_HYPERCALL:
			if (run->hypercall.nr != KVM_HC_MAP_GPA_RANGE)
				die_of_exit(vcpu);
			vcpu->stats.exit_hypercall++;
			run->hypercall.ret =
				vcpu_map_gpa_range(vcpu, run->hypercall.args);
			break;
		default:
			die_of_exit(vcpu);
		}
	}
}

__u64 vcpu_call(struct vcpu *vcpu, enum guest_cmd cmd, __u64 gpa, __u64 pages,
		__u64 arg)
{
	*vcpu->mb = (struct mailbox) {
		.cmd = cmd,
		.gpa = gpa,
		.pages = pages,
		.arg = arg,
	};
	vcpu_run(vcpu);
	return vcpu->mb->result;
}

/* Page tables that map every region at its own address, and the guest program. */
void vm_load_guest(struct vm *vm)
{
	void *boot = vm->region[BOOT].hva;
	__u64 *pml4 = boot + BOOT_PML4;
	__u64 *pdpt = boot + BOOT_PDPT;
	__u64 next = BOOT_PD, gpa;
	struct region *region;

	pml4[0] = BOOT_PDPT | PTE_TABLE;
	for (region = vm->region; region < vm->region + NR_REGIONS; region++) {
		for (gpa = region->gpa; gpa < region->gpa + region->size;
		     gpa += MIB(2)) {
			__u64 *pdpte = &pdpt[gpa / GIB(1)];
			__u64 *pd;

			if (!*pdpte) {
				*pdpte = next | PTE_TABLE;
				next += PAGE_SIZE;
			}
			pd = boot + (*pdpte & ~(PAGE_SIZE - 1));
			pd[gpa % GIB(1) / MIB(2)] = gpa | PTE_2M;
		}
	}
	memcpy(boot + BOOT_IMAGE, guest_image, guest_image_end - guest_image);
}

static void vcpu_set_long_mode(struct vcpu *vcpu)
{
	struct kvm_segment data = {
		.limit = 0xffffffff, .selector = 16, .type = 3,
		.present = 1, .db = 1, .s = 1, .g = 1,
	};
	struct kvm_segment code = {
		.limit = 0xffffffff, .selector = 8, .type = 11,
		.present = 1, .s = 1, .l = 1, .g = 1,
	};
	struct kvm_sregs sregs;

	ioctl_or_die(vcpu->fd, KVM_GET_SREGS, &sregs);
	sregs.cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP |
		    X86_CR0_PG;
	sregs.cr3 = BOOT_PML4;
	sregs.cr4 = X86_CR4_PAE;
	sregs.efer = EFER_LME | EFER_LMA;
	sregs.cs = code;
	sregs.ds = data;
	sregs.es = data;
	sregs.fs = data;
	sregs.gs = data;
	sregs.ss = data;
	ioctl_or_die(vcpu->fd, KVM_SET_SREGS, &sregs);
}

static void vcpu_create(struct vcpu *vcpu, struct vm *vm, int id,
			struct kvm_cpuid2 *cpuid)
{
	__u64 page = BOOT_VCPU + id * PAGE_SIZE;
	struct kvm_regs regs = {
		.rip = BOOT_IMAGE,
		.rdi = page,
		/* As after a call: the ABI wants the return address' alignment. */
		.rsp = page + PAGE_SIZE - 8,
		.rflags = X86_EFLAGS_FIXED,
	};
	int size = ioctl_or_die(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->mb = (void *)vm_hva(vm, page);
	vcpu->fd = ioctl_or_die(vm->fd, KVM_CREATE_VCPU, id);
	vcpu->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		die("mmap of a vCPU: %s", strerror(errno));

	ioctl_or_die(vcpu->fd, KVM_SET_CPUID2, cpuid);
	vcpu_set_long_mode(vcpu);
	ioctl_or_die(vcpu->fd, KVM_SET_REGS, &regs);
}

void vm_create_vcpus(struct vm *vm, int nr)
{
	struct kvm_cpuid2 *cpuid;
	int id;

	cpuid = calloc(1, sizeof(*cpuid) + MAX_CPUID * sizeof(cpuid->entries[0]));
	vm->vcpu = calloc(nr, sizeof(*vm->vcpu));
	if (!cpuid || !vm->vcpu)
		die("out of memory");

	cpuid->nent = MAX_CPUID;
	ioctl_or_die(vm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
	for (id = 0; id < nr; id++)
		vcpu_create(&vm->vcpu[id], vm, id, cpuid);
	vm->nr_vcpus = nr;
	free(cpuid);
}
