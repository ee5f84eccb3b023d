/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An SNP guest on the raw KVM ABI, and its vCPUs. */
#ifndef VM_H
#define VM_H

#include <linux/kvm.h>

#include "guest.h"

#ifndef KVM_CREATE_GUEST_MEMFD
#error "linux/kvm.h lacks KVM_CREATE_GUEST_MEMFD, see the Makefile for UAPI_HEADERS"
#endif

/* SMT is allowed; bit 17 must be set */
#define POLICY		0x30000UL
#define PRIVATE		KVM_MEMORY_ATTRIBUTE_PRIVATE

/* What the firmware may answer */
enum { POLICY_FAILURE = 7, INVALID_GUEST_STATE = 2, INVALID_PARAM = 22 };

/* What the page of CPUID values holds. SEV-SNP Firmware ABI, 8.17.2.6 */
struct PACKED cpuid_page {
	u32 count, reserved1;
	u64 reserved2;
	struct PACKED {
		u32 leaf, subleaf;
		u64 xcr0, xss;
		u32 eax, ebx, ecx, edx;
		u64 reserved;
	} entry[64];
	u8 reserved3[PAGE - 16 - 64 * 48];
};
_Static_assert(sizeof(struct cpuid_page) == PAGE, "cpuid_page");

/* APM vol. 2, appendix B, table B-4 */
struct PACKED segment { u16 selector, attributes; u32 limit; u64 base; };
struct PACKED vmsa {
	struct segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u8 reserved1[0xca - 0xa0], vmpl, cpl, reserved2[4];
	u64 efer;
	u8 reserved3[0x148 - 0xd8];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u8 reserved4[0x1d8 - 0x180];
	u64 rsp, reserved5[3], rax;
	u8 reserved6[0x268 - 0x200];
	u64 pat;
	u8 reserved7[0x308 - 0x270];
	u64 rcx, rdx, rbx, reserved8, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
	u8 reserved9[0x3b0 - 0x380];
	u64 sev_features;
	u8 reserved10[0x3e8 - 0x3b8];
	u64 xcr0;
	u8 reserved11[0x408 - 0x3f0];
	u32 mxcsr;
	u16 ftw, fsw, fcw;
	u8 reserved12[0x1000 - 0x412];
};
_Static_assert(offsetof(struct vmsa, rsp) == 0x1d8 && offsetof(struct vmsa, sev_features) == 0x3b0 &&
	       sizeof(struct vmsa) == PAGE, "vmsa");

/* A test has failed: who knows in what state its VM is. */
extern bool spoiled;

struct vm;

struct vp {
	struct vm *vm;
	int fd, id;
	struct kvm_run *run;
	volatile struct command *command;
};

struct vm {
	int fd, gmem;
	u8 *shared;		/* guest memory that is not private */
	struct vp vp[VCPUS];
	int vcpus;
	u8 digest[48];		/* the launch measurement */
	struct cpuid_page cpuid;
	/* What the guest asked for last, and how many times */
	int requests;
	u64 gpa, pages, attributes;
	/* The answer to it */
	bool refuse;
};

/*
 * Steps of a launch. Those that a test wants to see fail answer with errno, 0 for
 * none; the others do not return then.
 */
int sev(struct vm *vm, u32 command, void *data, u32 *firmware_error);
struct vm *vm_create(void);
int vm_init(struct vm *vm);
void vm_memory(struct vm *vm);
int vm_vcpu(struct vm *vm);
int vm_start(struct vm *vm, u64 policy, u32 *firmware_error);
int vm_update(struct vm *vm, u64 gpa, const void *contents, u64 size, int type, u32 *firmware_error);
void vm_load(struct vm *vm);
int vm_finish(struct vm *vm);
void vm_destroy(struct vm *vm);

/* All of them, up to where the guest waits for its first command */
struct vm *vm_new(int vcpus);

/* The memory that the guest and its VMM share */
static inline void *shared(struct vm *vm, u64 gpa) { return vm->shared + gpa; }

int vm_attributes(struct vm *vm, u64 gpa, u64 size, u64 attributes);
/* What a VMM does when the guest asks: attributes first, then the old page is given up. */
void vm_convert(struct vm *vm, u64 gpa, u64 size, bool private);

/* A VMSA that starts the guest's program on the stack and the commands of this vCPU */
void make_vmsa(struct vmsa *v, int id);

/*
 * Runs. Requests of the guest for page state changes are done on the way. The
 * exit is DONE when the guest has done the command, else KVM's exit reason, or
 * FAILED + errno.
 */
#define DONE		0x1000
#define FAILED		0x2000

struct result {
	u64 exit;
	u64 value, more[3], flags;
	bool carry;
	u64 vector, error, cr2;		/* the exception, NONE for none */
};

struct result run(struct vp *vp, enum op op, u64 a, u64 b, u64 c);
/* The vCPU goes on where it was */
struct result resume(struct vp *vp);
/* For another thread: what run() begins, and what it ends with */
void begin(struct vp *vp, enum op op, u64 a, u64 b, u64 c);
/* To where a new vCPU waits for its first command */
u64 first_run(struct vp *vp);

#endif
