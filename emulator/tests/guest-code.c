// SPDX-License-Identifier: GPL-2.0-or-later
/* What runs as a guest. It is copied, page by page, to where it runs, and uses nothing outside. */
#include "guest.h"

#define GHCB_MSR	0xc0010130
#define STACK_SIZE	0x2000UL

int guest_context_save(struct context *c) __attribute__((returns_twice));
void guest_context_jump(struct context *c) __attribute__((noreturn));
extern u8 guest_exception_stubs[];

struct frame {
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

/* At the bottom of each VMPL's stack */
struct bottom {
	struct context *catcher;
	struct command *command;
};

__attribute__((used, aligned(0x2000))) u8 guest_stacks[4][STACK_SIZE];
static u64 gdt[] = {
	0, 0x00af9a000000ffff, 0x00cf92000000ffff, 0x00cff2000000ffff, 0x00affa000000ffff, 0, 0,
};
static u8 idt[32][16] __attribute__((aligned(16)));
static u8 tss[104];
static u8 user_stack[512] __attribute__((aligned(16)));

static struct bottom *bottom(void)
{
	u64 rsp;

	asm("mov %%rsp, %0" : "=r"(rsp));
	return (struct bottom *)(rsp & -STACK_SIZE);
}

__attribute__((used)) void guest_fault_handler(struct frame *frame)
{
	struct bottom *b = bottom();
	u64 cr2;

	asm volatile("mov %%cr2, %0" : "=r"(cr2));
	b->command->vector = frame->vector;
	b->command->error = frame->error;
	b->command->cr2 = cr2;
	guest_context_jump(b->catcher);
}

static void tell_host(void)
{
	/* VMGEXIT; for a guest without encrypted state, VMMCALL */
	asm volatile(".byte 0xf3, 0x0f, 0x01, 0xd9" ::: "memory");
}

static void init(void)
{
	struct PACKED { u16 limit; u64 base; } gdtr = { sizeof(gdt) - 1, (u64)gdt }, idtr = { sizeof(idt) - 1, (u64)idt };
	u64 base = (u64)tss, stack = (u64)bottom() + STACK_SIZE / 2;

	gdt[5] = 103 | (base & 0xffffff) << 16 | 0x89UL << 40 | (base >> 24 & 0xff) << 56;
	gdt[6] = base >> 32;
	for (int i = 0; i < 8; i++)
		tss[4 + i] = stack >> (8 * i);
	for (int i = 0; i < 32; i++) {
		u64 at = (u64)(guest_exception_stubs + 16 * i);

		*(u64 *)idt[i] = (at & 0xffff) | 8UL << 16 | 0x8eUL << 40 | (at >> 16 & 0xffff) << 48;
		*(u64 *)(idt[i] + 8) = at >> 32;
	}
	asm volatile("lgdt %0; lidt %1" :: "m"(gdtr), "m"(idtr));
	asm volatile("ltr %w0" :: "r"(5 * 8));
}

static void user_read(u64 address)
{
	/* Whatever becomes of the access, it ends in an exception: the #UD after it means success. */
	asm volatile(
		"pushq $0x1b; pushq %1; pushq $2; pushq $0x23; pushq $1f; iretq\n"
		"1:	movb (%0), %%al; ud2"
		:: "D"(address), "r"((u64)(user_stack + sizeof(user_stack))) : "rax", "memory");
}

static void spin(struct command *c, volatile u64 *at)
{
	volatile u64 *stop = &c->stop, *counter = &c->counter;

	for (u64 i = 1; !*stop; i++) {
		*at = i;
		*counter = i;
	}
}

#define SNP_INSN(bytes, ...)	asm volatile(".byte " bytes "\n\tpushf\n\tpop %0" __VA_ARGS__ : "memory", "cc")

static void perform(struct command *c)
{
	u64 a = c->arg[0], b = c->arg[1], d = c->arg[2], value = 0;
	u32 eax, ebx, ecx, edx;

	switch (c->op) {
	case G_READ: value = rd64(a); break;
	case G_READ_BYTE: value = rd8(a); break;
	case G_WRITE: wr64(a, b); break;
	case G_ADD_LOCKED: asm volatile("lock addq %1, (%0)" :: "r"(a), "r"(b) : "memory"); break;
	case G_CALL: value = ((u64 (*)(void))a)(); break;
	case G_COPY: asm volatile("rep movsb" : "+D"(a), "+S"(b), "+c"(d) :: "memory"); break;
	case G_FILL: asm volatile("rep stosb" : "+D"(a), "+c"(d) : "a"(b) : "memory"); break;
	case G_PVALIDATE:
		SNP_INSN("0xf2, 0x0f, 0x01, 0xff", : "=r"(c->flags), "+a"(a) : "c"(b), "d"(d));
		value = a;
		break;
	case G_RMPADJUST:
		SNP_INSN("0xf3, 0x0f, 0x01, 0xfe", : "=r"(c->flags), "+a"(a) : "c"(b), "d"(d));
		value = a;
		break;
	case G_RMPQUERY:
		d = b;
		SNP_INSN("0xf3, 0x0f, 0x01, 0xfd", : "=r"(c->flags), "+a"(a), "+c"(b), "+d"(d) :);
		value = a;
		c->more[0] = d;
		c->more[1] = b;
		break;
	case G_READ_WRITE:
		rd64(a);
		wr64(a, b);
		break;
	case G_READ_CALL:
		rd64(a);
		((void (*)(void))a)();
		break;
	case G_RMPUPDATE:
		SNP_INSN("0xf2, 0x0f, 0x01, 0xfe", : "=r"(c->flags), "+a"(a) : "c"(b));
		break;
	case G_PSMASH:
		SNP_INSN("0xf3, 0x0f, 0x01, 0xff", : "=r"(c->flags), "+a"(a) :);
		break;
	/* No exit, which might flush a TLB, is between the two accesses. */
	case G_RESCIND:
		rd8(a);
		d = a;
		SNP_INSN("0xf2, 0x0f, 0x01, 0xff", : "=r"(c->flags), "+a"(d) : "c"(0), "d"(0));
		value = rd8(a);
		break;
	case G_MAKE_VMSA:
		wr8(a, 1);
		d = a;
		SNP_INSN("0xf3, 0x0f, 0x01, 0xfe", : "=r"(c->flags), "+a"(d) : "c"(0), "d"(b));
		wr8(a, 2);
		value = d;
		break;
	case G_CPUID:
		asm volatile("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "a"(a), "c"(0));
		value = eax;
		c->more[0] = ebx;
		c->more[1] = ecx;
		break;
	case G_RDMSR: value = rdmsr(a); break;
	case G_WRMSR: wrmsr(a, b); break;
	case G_IN: value = inb(a); break;
	case G_OUT: outb(a, b); break;
	case G_HLT: asm volatile("hlt"); break;
	case G_WBINVD: asm volatile("wbinvd"); break;
	case G_INVD: asm volatile("invd"); break;
	case G_VMMCALL: asm volatile("vmmcall"); break;
	case G_RDTSC: value = rdtsc(); break;
	case G_UD2: asm volatile("ud2"); break;
	case G_RDPMC: asm volatile("rdpmc" : "=a"(eax), "=d"(edx) : "c"(0)); break;
	case G_MONITOR: asm volatile("monitor" :: "a"(c), "c"(0), "d"(0)); break;
	case G_MWAIT: asm volatile("mwait" :: "a"(0), "c"(0)); break;
	case G_DIVIDE: asm volatile("divl %0" :: "r"(0), "a"(1), "d"(0)); break;
	case G_INT3: asm volatile("int3"); break;
	case G_WRITE_DR7: asm volatile("mov %0, %%dr7" :: "r"(a)); break;
	case G_READ_DR7: asm volatile("mov %%dr7, %0" : "=r"(value)); break;
	case G_READ_CR0: asm volatile("mov %%cr0, %0" : "=r"(value)); break;
	case G_INVLPG: asm volatile("invlpg (%0)" :: "r"(a) : "memory"); break;
	case G_GHCB:
		wrmsr(GHCB_MSR, a);
		tell_host();
		value = rdmsr(GHCB_MSR);
		break;
	case G_SPIN: spin(c, (volatile u64 *)a); break;
	case G_USER_READ: user_read(a); break;
	}
	c->value = value;
}

__attribute__((used, noreturn)) void guest_main(struct command *c);

void guest_main(struct command *c)
{
	struct context here;

	bottom()->catcher = &here;
	bottom()->command = c;
	init();
	for (;;) {
		tell_host();
		c->vector = -1UL;
		if (!guest_context_save(&here))
			perform(c);
		c->done++;
	}
}
