/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From multiboot's 32-bit start, and a second processor's reset, to C. */

#define CODE64		0x08
#define DATA		0x10
#define CODE32		0x48
#define CR4_PAE		0x20
#define EFER		0xc0000080
#define EFER_LME	0x100
#define CR0_PE_PG	0x80000011
#define STACK_SIZE	0x10000
#define TRAMPOLINE	0x8000

	.section .multiboot, "a"
	.balign 4
	.long 0x1badb002, 3, -(0x1badb002 + 3)

	.text
	.code32
	.globl start
start:
	mov %ebx, multiboot_info
	lgdt gdt_pointer
	mov $boot_pml4, %eax
	mov %eax, %cr3
	mov %cr4, %eax
	or $CR4_PAE, %eax
	mov %eax, %cr4
	mov $EFER, %ecx
	rdmsr
	or $EFER_LME, %eax
	wrmsr
	mov $CR0_PE_PG, %eax
	mov %eax, %cr0
	ljmp $CODE64, $start64

	.code64
start64:
	mov $stacks + STACK_SIZE, %rsp
	call load_segments
	call main
	ud2

/* A second processor: real mode, at TRAMPOLINE. */
	.code16
	.globl trampoline, trampoline_end
trampoline:
	cli
	xor %ax, %ax
	mov %ax, %ds
	lgdtl TRAMPOLINE + (trampoline_gdt - trampoline)
	mov TRAMPOLINE + (trampoline_cr3 - trampoline), %eax
	mov %eax, %cr3
	mov %cr4, %eax
	or $CR4_PAE, %eax
	mov %eax, %cr4
	mov $EFER, %ecx
	rdmsr
	or $EFER_LME, %eax
	wrmsr
	mov $CR0_PE_PG, %eax
	mov %eax, %cr0
	ljmpl $CODE64, $ap64
	.balign 8
trampoline_gdt:
	.word gdt_end - gdt - 1
	.long gdt
	.globl trampoline_cr3
trampoline_cr3:
	.long 0
trampoline_end:

	.code64
ap64:
	mov $stacks + 2 * STACK_SIZE, %rsp
	call load_segments
	call ap_main
	ud2

load_segments:
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	ret

/* void user_enter(fn, arg, stack): fn at CPL 3; it comes back through a fault or int 0x80 */
	.globl user_enter
user_enter:
	push $0x18 | 3
	push %rdx
	push $2
	push $0x20 | 3
	push %rdi
	mov %rsi, %rdi
	iretq

/* void compat_call(fn): fn, 32-bit code that ends with a far return, outside 64-bit mode */
	.globl compat_call
compat_call:
	push $CODE32
	shl $32, %rdi
	push %rdi
	lcall *4(%rsp)
	add $16, %rsp
	ret

	.code32
	.globl compat_rmpupdate, compat_psmash
compat_rmpupdate:
	xor %eax, %eax
	mov $hypervisor_state, %ecx
	.byte 0xf2, 0x0f, 0x01, 0xfe
	lret
compat_psmash:
	xor %eax, %eax
	.byte 0xf3, 0x0f, 0x01, 0xff
	lret
	.code64

	.data
	.balign 8
	.globl gdt
gdt:
	.quad 0
	.quad 0x00af9a000000ffff	/* 08 code, 64 bits */
	.quad 0x00cf92000000ffff	/* 10 data */
	.quad 0x00cff2000000ffff	/* 18 data, CPL 3 */
	.quad 0x00affa000000ffff	/* 20 code, CPL 3 */
	.quad 0, 0			/* 28 TSS of CPU 0 */
	.quad 0, 0			/* 38 TSS of CPU 1 */
	.quad 0x00cf9a000000ffff	/* 48 code, 32 bits */
gdt_end:
	.globl gdt_pointer
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt
	.globl multiboot_info
multiboot_info:
	.quad 0

/* 4 GiB, one to one, until C makes its own. */
	.balign 4096
boot_pml4:
	.quad boot_pdpt + 3
	.fill 511, 8, 0
boot_pdpt:
	.quad boot_pd + 3, boot_pd + 0x1003, boot_pd + 0x2003, boot_pd + 0x3003
	.fill 508, 8, 0
boot_pd:
	.set page, 0
	.rept 2048
	.quad (page << 21) + 0x83
	.set page, page + 1
	.endr

/* RMPUPDATE's argument */
hypervisor_state:
	.fill 16, 1, 0

	.bss
	.balign STACK_SIZE
	.globl stacks
stacks:
	.fill 2 * STACK_SIZE, 1, 0

	.section .note.GNU-stack, "", @progbits
