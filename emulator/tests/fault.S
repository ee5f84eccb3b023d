/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How faults are caught. Assembled twice: for the host, and for what runs as its guest. */

#ifdef GUEST
#define NAME(name) guest_##name
#else
#define NAME(name) name
#endif

#define DATA		0x10

	.text
/* int context_save(struct context *): 0, and 1 when context_jump comes back */
	.globl NAME(context_save)
NAME(context_save):
	mov (%rsp), %rax
	mov %rax, 0(%rdi)
	lea 8(%rsp), %rax
	mov %rax, 8(%rdi)
	mov %rbx, 16(%rdi)
	mov %rbp, 24(%rdi)
	mov %r12, 32(%rdi)
	mov %r13, 40(%rdi)
	mov %r14, 48(%rdi)
	mov %r15, 56(%rdi)
	xor %eax, %eax
	ret

	.globl NAME(context_jump)
NAME(context_jump):
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov 8(%rdi), %rsp
	mov 16(%rdi), %rbx
	mov 24(%rdi), %rbp
	mov 32(%rdi), %r12
	mov 40(%rdi), %r13
	mov 48(%rdi), %r14
	mov 56(%rdi), %r15
	push $2
	popf
	mov $1, %eax
	jmp *0(%rdi)

/* One stub per vector; where the processor pushes no error code, a zero stands for it. */
	.macro stub vector
	.balign 16
	.if !((\vector == 8) || ((\vector >= 10) && (\vector <= 14)) || (\vector == 17) || (\vector == 21) || (\vector == 29) || (\vector == 30))
	push $0
	.endif
	push $\vector
	jmp exception
	.endm

	.altmacro
	.balign 16
	.globl NAME(exception_stubs)
NAME(exception_stubs):
	.set number, 0
	.rept 256
	stub %number
	.set number, number + 1
	.endr
	.noaltmacro

/* Stack: vector, error code, rip, cs, rflags, rsp, ss. Never returns: handler jumps. */
exception:
	cld
	mov %rsp, %rdi
	and $~0xf, %rsp
	call NAME(fault_handler)
	ud2

	.section .note.GNU-stack, "", @progbits
