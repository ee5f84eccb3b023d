// SPDX-License-Identifier: GPL-2.0-or-later
#include "svm.h"

void svm_enable(void)
{
	if (rdmsr(EFER) & EFER_SVME)
		return;
	wrmsr(EFER, rdmsr(EFER) | EFER_SVME);
	wrmsr(VM_HSAVE_PA, alloc_page());
}

static void enable(void *unused)
{
	(void)unused;
	svm_enable();
}

void svm_enable_both(void)
{
	svm_enable();
	ap_run(enable, NULL);
	ap_wait();
}

void set_intercept(struct vcpu *v, int number, bool on)
{
	u32 bit = BIT(number % 32), others = v->vmcb->control.intercept[number / 32] & ~bit;

	v->vmcb->control.intercept[number / 32] = others | (on ? bit : 0);
}

void long_mode(struct vmcb_save *s, u64 cr3, u64 rip, u64 rsp)
{
	struct vmcb_segment data = { 0x10, 0xc93, 0xffffffff, 0 };

	s->es = s->ss = s->ds = s->fs = s->gs = data;
	s->cs = (struct vmcb_segment){ 0x08, 0xa9b, 0xffffffff, 0 };
	s->tr = (struct vmcb_segment){ 0, 0x8b, 0xffff, 0 };
	s->ldtr = (struct vmcb_segment){ 0, 0x82, 0xffff, 0 };
	s->gdtr.limit = s->idtr.limit = 0xffff;
	s->efer = EFER_SVME | EFER_LME | EFER_LMA;
	s->cr4 = BIT(5);
	s->cr3 = cr3;
	s->cr0 = 0x80000033;
	s->dr7 = 0x400;
	s->dr6 = 0xffff0ff0;
	s->rflags = 2;
	s->rip = rip;
	s->rsp = rsp;
	s->pat = 0x0007040600070406;
	s->xcr0 = 1;
	s->mxcsr = 0x1f80;
	s->fcw = 0x37f;
}

void plain_guest(struct vcpu *v, void (*fn)(void))
{
	memset(v, 0, sizeof(*v));
	v->vmcb = (struct vmcb *)alloc_page();
	v->vmcb->control.asid = cpuid(0x8000001f).ecx + 1;
	set_intercept(v, INTERCEPT_VMRUN, true);
	set_intercept(v, INTERCEPT_VMMCALL, true);
	set_intercept(v, INTERCEPT_SHUTDOWN, true);
	v->vmcb->control.nested = NESTED_NP;
	v->vmcb->control.nested_cr3 = page_tables();
	long_mode((struct vmcb_save *)&v->vmcb->save, page_tables(), (u64)fn, alloc_page() + PAGE - 8);
}

u64 svm_run(struct vcpu *v)
{
	static u64 host[2];
	u64 *state = &host[this_cpu()->number], rdi, rsi;

	if (!*state)
		*state = alloc_page();
	/*
	 * The exit restores RAX and RSP; everything else may hold what the
	 * guest left, or come from the host's save area.
	 */
	asm volatile(
		"push %%rbp; push %%rbx; push %%r12; push %%r13; push %%r14; push %%r15\n\t"
		"push %%rdi; push %%rsi\n\t"
		"mov %%rsi, %%rax; vmsave %%rax\n\t"
		"mov (%%rdi), %%rax; push %%rax\n\t"
		"vmload %%rax\n\t"
		"mov 0x08(%%rdi), %%rbx; mov 0x10(%%rdi), %%rcx; mov 0x18(%%rdi), %%rdx; mov 0x20(%%rdi), %%rsi\n\t"
		"mov 0x30(%%rdi), %%rbp; mov 0x38(%%rdi), %%r8; mov 0x40(%%rdi), %%r9; mov 0x48(%%rdi), %%r10\n\t"
		"mov 0x50(%%rdi), %%r11; mov 0x58(%%rdi), %%r12; mov 0x60(%%rdi), %%r13; mov 0x68(%%rdi), %%r14\n\t"
		"mov 0x70(%%rdi), %%r15; mov 0x28(%%rdi), %%rdi\n\t"
		"clgi\n\t"
		"vmrun %%rax\n\t"
		"push %%rdi\n\t"
		"mov 0x08(%%rsp), %%rax; vmsave %%rax\n\t"
		"mov 0x10(%%rsp), %%rax; vmload %%rax\n\t"
		"stgi\n\t"
		"mov 0x18(%%rsp), %%rdi\n\t"
		"mov %%rbx, 0x08(%%rdi); mov %%rcx, 0x10(%%rdi); mov %%rdx, 0x18(%%rdi); mov %%rsi, 0x20(%%rdi)\n\t"
		"mov %%rbp, 0x30(%%rdi); mov %%r8, 0x38(%%rdi); mov %%r9, 0x40(%%rdi); mov %%r10, 0x48(%%rdi)\n\t"
		"mov %%r11, 0x50(%%rdi); mov %%r12, 0x58(%%rdi); mov %%r13, 0x60(%%rdi); mov %%r14, 0x68(%%rdi)\n\t"
		"mov %%r15, 0x70(%%rdi); pop %%rax; mov %%rax, 0x28(%%rdi)\n\t"
		"add $0x18, %%rsp\n\t"
		"pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbx; pop %%rbp"
		: "=D"(rdi), "=S"(rsi) : "0"(v), "1"(*state) : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
	return v->vmcb->control.exit_code;
}
