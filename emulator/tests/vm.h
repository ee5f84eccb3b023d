/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SEV, SEV-ES and SNP guests that run the program of guest.h. */
#ifndef VM_H
#define VM_H

#include "guest.h"
#include "psp.h"
#include "svm.h"

enum kind { PLAIN, SEV, SEV_ES, SNP };

struct vm {
	enum kind kind;
	u32 asid, handle;
	u64 gctx, npt;
	/* An SNP guest's launch measurement, as the launched pages should make it */
	u8 digest[48];
	/* Where GPAs from 0 to 16 MiB are; 0 where nothing is */
	u64 spa[4096];
};

/* One of its processors */
struct vp {
	struct vm *vm;
	struct vcpu cpu;
	u32 vmpl;
	u64 vmsa;
	/* It stands in the middle of a command. */
	bool busy;
	/* The page that it shares with the host */
	volatile struct command *command;
};

/* What a command led to */
struct result {
	/* 0 when it was done; else what the guest stopped with on its way */
	u64 exit, info1, info2;
	u64 value, more[2], flags;
	/* The exception it raised in the guest; NONE if it did not */
	u64 vector, error, cr2;
	bool carry;
};

/* A launched guest with one processor at VMPL 0, which waits for commands; it is not used up. */
struct vp *vm_start(enum kind kind);
/* The same in steps */
struct vm *vm_new(enum kind kind);
void vm_launch_start(struct vm *vm, u64 policy);
u32 vm_launch_page(struct vm *vm, u64 gpa, u64 pa, int type);
struct vp *vm_launch_finish(struct vm *vm);

/* Where NPT has a GPA: level 0 or 1; 0 for nowhere */
void vm_map(struct vm *vm, u64 gpa, u64 pa, int level);
void vm_unmap(struct vm *vm, u64 gpa);
void vm_protect(struct vm *vm, u64 gpa, u64 flags);
u64 vm_spa(struct vm *vm, u64 gpa);

/* A page of the guest's at this GPA, by RMPUPDATE and in NPT; to be validated. The answer is where it is. */
u64 vm_give(struct vm *vm, u64 gpa);
u64 vm_give_large(struct vm *vm, u64 gpa);
/* The same, and the guest validates it */
u64 vm_private(struct vp *vp, u64 gpa);
/* A page of the host's at this GPA */
u64 vm_share(struct vm *vm, u64 gpa);

/* Another processor, at a VMPL; the guest at VMPL 0 makes its VMSA of a page at this GPA. */
struct vp *vp_new(struct vp *vmpl0, u32 vmpl, u64 gpa);

/* Runs until the next exit; the exit code */
u64 vp_run(struct vp *vp);
/* Does one command; one that it had not ended, it gives up. */
struct result run(struct vp *vp, enum op op, u64 a, u64 b, u64 c);
/* Goes on with a command that had exited */
struct result resume(struct vp *vp);
/* Makes the guest give up a command that had exited: it gets this exception. */
struct result inject(struct vp *vp, int vector, bool has_error, u32 error);
void give_up(struct vp *vp);

#define run0(vp, op)		run(vp, op, 0, 0, 0)
#define run1(vp, op, a)		run(vp, op, a, 0, 0)
#define run2(vp, op, a, b)	run(vp, op, a, b, 0)

/* The command must be done, with no exception; its value */
u64 done(int line, const char *what, struct result r);
#define DO(vp, op, a, b, c)	done(__LINE__, #op "(" #a ", " #b ", " #c ")", run(vp, op, a, b, c))
#define PVALIDATE(vp, va, large, yes)	run(vp, G_PVALIDATE, va, large, yes)

/* It must raise this exception in the guest */
struct result guest_fault(int line, const char *what, struct result r, u64 vector, u64 error);
#define GUEST_FAULTS(r, vector, error)	guest_fault(__LINE__, #r, r, vector, error)
/* It must exit with this code, and EXITINFO1 */
struct result exits(int line, const char *what, struct result r, u64 code, u64 info1);
#define EXITS(r, code, info1)	exits(__LINE__, #r, r, code, info1)
/* A nested page fault at this GPA, with these bits above the ones of every access by a guest */
#define NPF(r, gpa, info1)	npf(__LINE__, #r, r, gpa, info1)
void npf(int line, const char *what, struct result r, u64 gpa, u64 info1);
#define NPF_READ	(PF_P | PF_U | NPF_FINAL)
#define NPF_WRITE	(NPF_READ | PF_W)
#define NPF_FETCH	(NPF_READ | PF_I)

#endif
