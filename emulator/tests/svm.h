/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual machines. APM volume 2, chapter 15 and appendix B. */
#ifndef SVM_H
#define SVM_H

#include "lib.h"

#define EFER			0xc0000080
#define EFER_LME		BIT(8)
#define EFER_LMA		BIT(10)
#define EFER_SVME		BIT(12)
#define VM_HSAVE_PA		0xc0010117

struct PACKED vmcb_segment {
	u16 selector, attrib;
	u32 limit;
	u64 base;
};

struct PACKED vmcb_control {
	u32 intercept[6];
	u8 reserved1[0x40 - 0x18];
	u64 iopm, msrpm, tsc_offset;
	u32 asid;
	u8 tlb_control, reserved2[3];
	u64 vintr, interrupt_shadow;
	u64 exit_code, exit_info1, exit_info2, exit_int_info;
	u64 nested, avic_apic_bar, ghcb;
	u64 event_inject, nested_cr3, lbr;
	u64 clean, next_rip;
	u8 bytes_fetched, bytes[15];
	u64 avic[4], reserved3, vmsa;
	u8 reserved4[0x400 - 0x110];
};

#define NESTED_NP		BIT(0)
#define NESTED_SEV		BIT(1)
#define NESTED_SEV_ES		BIT(2)

/* Word and bit of an intercept, as the VMCB numbers them */
#define INTERCEPT(word, bit)	((word) * 32 + (bit))
enum {
	INTERCEPT_VC = INTERCEPT(2, 29),
	INTERCEPT_CPUID = INTERCEPT(3, 18),
	INTERCEPT_HLT = INTERCEPT(3, 24),
	INTERCEPT_IOIO = INTERCEPT(3, 27),
	INTERCEPT_MSR = INTERCEPT(3, 28),
	INTERCEPT_SHUTDOWN = INTERCEPT(3, 31),
	INTERCEPT_VMRUN = INTERCEPT(4, 0),
	INTERCEPT_VMMCALL = INTERCEPT(4, 1),
	INTERCEPT_WBINVD = INTERCEPT(4, 9),
};

enum {
	EXIT_CR0_WRITE = 0x10,
	EXIT_EXCEPTION = 0x40,
	EXIT_INTR = 0x60,
	EXIT_CPUID = 0x72,
	EXIT_HLT = 0x78,
	EXIT_IOIO = 0x7b,
	EXIT_MSR = 0x7c,
	EXIT_SHUTDOWN = 0x7f,
	EXIT_VMMCALL = 0x81,
	EXIT_WBINVD = 0x89,
	EXIT_NPF = 0x400,
	EXIT_VMGEXIT = 0x403,
};
#define EXIT_INVALID		0xffffffffffffffffUL
#define EXIT_BUSY		0xfffffffffffffffeUL

/* EXITINFO1 of a nested page fault, above what #PF has */
#define NPF_FINAL		BIT(32)
#define NPF_TABLE		BIT(33)
#define NPF_ENC			BIT(34)
#define NPF_SIZEM		BIT(35)
#define NPF_VMPL		BIT(36)

/* The save area of the VMCB, and the VMSA, which goes on where it ends */
struct PACKED vmcb_save {
	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u64 ssp_pl[4], u_cet;
	u8 reserved1[2], vmpl, cpl, reserved2[4];
	u64 efer;
	u8 reserved3[0x140 - 0xd8];
	u64 xss, cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u64 dr[4], dr_mask[4];
	u8 reserved4[24];
	u64 rsp, s_cet, ssp, isst;
	u64 rax, star, lstar, cstar, sfmask, kernel_gs, sysenter[3], cr2;
	u8 reserved5[0x268 - 0x248];
	u64 pat, debugctl, branch[4];
	u8 reserved6[0x2e8 - 0x298];
	u32 pkru, tsc_aux;
	u8 reserved7[0x308 - 0x2f0];
	u64 rcx, rdx, rbx, reserved8, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
	u8 reserved9[16];
	u64 exit_info1, exit_info2, exit_int_info, next_rip, sev_features, vintr, exit_code;
	u64 virtual_tom, tlb_id, pcpu_id, event_inject, xcr0;
	u8 reserved10[16];
	u64 x87_dp;
	u32 mxcsr;
	u16 ftw, fsw, fcw, fop, fds, fcs;
	u64 fip;
	u8 x87[80], xmm[256], ymm[256];
	u8 reserved11[0x1000 - 0x670];
};

#define SEV_FEATURE_SNP		BIT(0)

struct PACKED vmcb {
	struct vmcb_control control;
	struct vmcb_save save;
};

_Static_assert(offsetof(struct vmcb_control, exit_code) == 0x70, "VMCB");
_Static_assert(offsetof(struct vmcb_control, nested) == 0x90, "VMCB");
_Static_assert(offsetof(struct vmcb_control, next_rip) == 0xc8, "VMCB");
_Static_assert(offsetof(struct vmcb_control, vmsa) == 0x108, "VMCB");
_Static_assert(offsetof(struct vmcb_save, efer) == 0xd0, "VMSA");
_Static_assert(offsetof(struct vmcb_save, cr4) == 0x148, "VMSA");
_Static_assert(offsetof(struct vmcb_save, rsp) == 0x1d8, "VMSA");
_Static_assert(offsetof(struct vmcb_save, pat) == 0x268, "VMSA");
_Static_assert(offsetof(struct vmcb_save, rcx) == 0x308, "VMSA");
_Static_assert(offsetof(struct vmcb_save, sev_features) == 0x3b0, "VMSA");
_Static_assert(offsetof(struct vmcb_save, x87_dp) == 0x400, "VMSA");
_Static_assert(sizeof(struct vmcb_save) == 4096, "VMSA");

struct vcpu {
	struct vmcb *vmcb;
	/* What the VMCB does not hold. A guest with an encrypted state keeps it for itself. */
	u64 rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
};

/* SVM on this processor, with a page for the host's state */
void svm_enable(void);
void svm_enable_both(void);
void set_intercept(struct vcpu *v, int number, bool on);

/* VMRUN; the answer is the exit code */
u64 svm_run(struct vcpu *v);

/* State of 64-bit mode at CPL 0, with page tables at cr3 */
void long_mode(struct vmcb_save *s, u64 cr3, u64 rip, u64 rsp);

/* An ordinary guest that runs fn here, where it is, in a copy of nobody's memory. */
void plain_guest(struct vcpu *v, void (*fn)(void));

#endif
