/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtual machine on the raw KVM ABI: its memory, its vCPUs, and the conversions
 * between private and shared that its guest asks for.
 */
#ifndef GMEMVM_MACHINE_H
#define GMEMVM_MACHINE_H

#include <linux/kvm.h>
#include <stdbool.h>

#include "guest.h"

#ifndef KVM_CREATE_GUEST_MEMFD
#error "linux/kvm.h lacks KVM_CREATE_GUEST_MEMFD, see the Makefile for UAPI_HEADERS"
#endif

#define MAX_VCPUS	64
#define MAX_MEMORY	GIB(64)

/*
 * A memslot. Its shared pages are those of an anonymous mapping at @hva; its
 * private ones, if @gmem is not -1, those of the guest_memfd from @offset on. KVM
 * picks one or the other, page by page, by the private attribute.
 */
struct region {
	const char *name;
	__u64 gpa;
	__u64 size;
	void *hva;
	int gmem;
	__u64 offset;
};

enum { BOOT, RAM, HOTPLUG, BUFFER, NR_REGIONS };

struct vm {
	int kvm;
	int fd;
	int gmem;		/* -1: the VM has no private memory */
	bool has_gmem;		/* this kernel's KVM knows guest_memfd */
	int nr_vcpus;
	struct region region[NR_REGIONS];
	struct vcpu *vcpu;
};

/* Counted per vCPU and by the thread that runs it, hence without atomics. */
struct stats {
	__u64 exit_io;
	__u64 exit_hypercall;
	__u64 exit_fault_private;
	__u64 exit_fault_shared;
	__u64 to_private;
	__u64 to_private_pages;
	__u64 to_shared;
	__u64 to_shared_pages;
	__u64 refused;
	__u64 convert_ns;
	__u64 convert_max_ns;
};

struct vcpu {
	struct vm *vm;
	int id;
	int fd;
	struct kvm_run *run;
	struct mailbox *mb;
	struct stats stats;
};

/* The guest program, linked to run at BOOT_IMAGE. */
extern const char guest_image[], guest_image_end[];

/* Says which step failed and why, and exits with 1. */
[[gnu::noreturn, gnu::format(printf, 1, 2)]]
void die(const char *fmt, ...);

__u64 now_ns(void);

/* 0 or an errno. */
int vm_create(struct vm *vm, int kvm, unsigned long type);

/* These die on any error: it would be a bug of the kernel or of the VMM. */
int vm_cap(struct vm *vm, int cap);
void vm_create_gmem(struct vm *vm, __u64 size);
void vm_add_region(struct vm *vm, int slot, const char *name, __u64 gpa,
		   __u64 size, int prot);
void vm_bind_region(struct vm *vm, int slot, const char *name, __u64 gpa,
		    __u64 size, int prot, __u64 offset);
void vm_load_guest(struct vm *vm);
void vm_create_vcpus(struct vm *vm, int nr);

/* 0 or an errno. */
int vm_set_attributes(struct vm *vm, __u64 gpa, __u64 size, __u64 attributes);

/* Frees private pages; what the guest finds there next is zero. */
void vm_punch(struct vm *vm, const struct region *region, __u64 gpa, __u64 size);

/* The host's view of a guest address: its shared page. */
__u64 *vm_hva(struct vm *vm, __u64 gpa);

/* Has the guest execute a command and returns its result. */
__u64 vcpu_call(struct vcpu *vcpu, enum guest_cmd cmd, __u64 gpa, __u64 pages,
		__u64 arg);

#endif
