// SPDX-License-Identifier: GPL-2.0-or-later
/* The program that runs in an SNP guest of KVM's. Each vCPU has a stack, a page of commands, and a GHCB. */
#include "guest.h"

#define GHCB_MSR	0xc0010130
#define STACK_SIZE	0x2000UL

int guest_context_save(struct context *c) __attribute__((returns_twice));
void guest_context_jump(struct context *c) __attribute__((noreturn));
extern u8 guest_exception_stubs[];

struct frame {
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

/* At the bottom of each stack */
struct bottom {
	struct context *catcher;
	struct command *command;
};

__attribute__((used, aligned(STACK_SIZE))) u8 guest_stacks[VCPUS][STACK_SIZE];
static u64 gdt[] = { 0, 0x00af9a000000ffff, 0x00cf92000000ffff };
static u8 idt[32][16] __attribute__((aligned(16)));

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

static void vmgexit(void)
{
	asm volatile(".byte 0xf3, 0x0f, 0x01, 0xd9" ::: "memory");
}

/* The MSR protocol: a request in the MSR, and the answer there */
static u64 ghcb_msr(u64 value)
{
	wrmsr(GHCB_MSR, value);
	vmgexit();
	return rdmsr(GHCB_MSR);
}

static struct ghcb *ghcb_of(struct command *c)
{
	return (struct ghcb *)((u64)c - G_COMMANDS + G_GHCBS);
}

static void clear(void *p, size_t n)
{
	asm volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(0) : "memory");
}

static void copy(void *to, const void *from, size_t n)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) :: "memory");
}

static void ghcb_exit(struct command *c, u64 not_valid)
{
	static const u16 offsets[] = { 0x1f8, 0x318, 0x308, 0x310, 0x390, 0x398, 0x3a0, 0x3a8 };
	volatile struct ghcb *g = ghcb_of(c);
	u64 valid[2] = { 0, 0 };

	clear((void *)g, PAGE);
	for (u64 i = 0; i < ARRAY_SIZE(offsets); i++)
		if (!(not_valid & BIT(i)))
			valid[offsets[i] / 8 / 64] |= BIT(offsets[i] / 8 % 64);
	g->rax = c->ghcb.rax;
	g->rbx = c->ghcb.rbx;
	g->rcx = c->ghcb.rcx;
	g->rdx = c->ghcb.rdx;
	g->code = c->ghcb.code;
	g->info1 = c->ghcb.info1;
	g->info2 = c->ghcb.info2;
	g->scratch = c->ghcb.scratch;
	g->valid[0] = valid[0];
	g->valid[1] = valid[1];
	g->version = 2;
	g->usage = c->ghcb.usage;
	copy((void *)g->buffer, c->buffer, BUFFER_SIZE);
	wrmsr(GHCB_MSR, (u64)g);
	vmgexit();
	c->ghcb.rax = g->rax;
	c->ghcb.rbx = g->rbx;
	c->ghcb.rcx = g->rcx;
	c->ghcb.rdx = g->rdx;
	c->ghcb.info1 = g->info1;
	c->ghcb.info2 = g->info2;
	copy(c->buffer, (void *)g->buffer, BUFFER_SIZE);
}

/* An OUT to the VMM's port, by the GHCB */
static void tell_host(struct command *c)
{
	volatile struct ghcb *g = ghcb_of(c);

	clear((void *)g, PAGE);
	g->code = 0x7b;
	g->info1 = PORT_DONE << 16 | BIT(4);
	g->valid[0] = BIT(0x1f8 / 8);
	g->valid[1] = BIT(0x390 / 8 - 64) | BIT(0x398 / 8 - 64) | BIT(0x3a0 / 8 - 64);
	g->version = 2;
	wrmsr(GHCB_MSR, (u64)g);
	vmgexit();
}

static void init(struct command *c)
{
	struct PACKED { u16 limit; u64 base; } gdtr = { sizeof(gdt) - 1, (u64)gdt };
	struct PACKED { u16 limit; u64 base; } idtr = { sizeof(idt) - 1, (u64)idt };

	for (int i = 0; i < 32; i++) {
		u64 at = (u64)(guest_exception_stubs + 16 * i);

		*(u64 *)idt[i] = (at & 0xffff) | 8UL << 16 | 0x8eUL << 40 | (at >> 16 & 0xffff) << 48;
		*(u64 *)(idt[i] + 8) = at >> 32;
	}
	asm volatile("lgdt %0; lidt %1" :: "m"(gdtr), "m"(idtr));
	/* KVM wants to hear of an SNP guest's GHCB before it is used. */
	if (ghcb_msr((u64)ghcb_of(c) | 0x12) != ((u64)ghcb_of(c) | 0x13))
		for (;;)
			ghcb_msr(0x100);
}

#define SNP_INSN(bytes, ...)	asm volatile(".byte " bytes "\n\tpushf\n\tpop %0" __VA_ARGS__ : "memory", "cc")

static u64 pvalidate(u64 address, u64 size, u64 validate, u64 *flags)
{
	SNP_INSN("0xf2, 0x0f, 0x01, 0xff", : "=r"(*flags), "+a"(address) : "c"(size), "d"(validate));
	return address & 0xffffffff;
}

static u64 pvalidate_all(u64 from, u64 bytes)
{
	u64 flags, failed = 0;

	for (u64 at = from; at < from + bytes; at += PAGE)
		failed += pvalidate(at, 0, 1, &flags) || (flags & 1);
	return failed;
}

static u64 spin(struct command *c, u64 at)
{
	volatile u64 *stop = &c->stop;
	u64 n;

	for (n = 0; !*stop; n++)
		asm volatile("lock incq (%0)" :: "r"(at) : "memory");
	return n;
}

static void perform(struct command *c)
{
	u64 a = c->arg[0], b = c->arg[1], d = c->arg[2], value = 0;
	u32 eax, ebx, ecx, edx;

	switch (c->op) {
	case G_READ: value = rd64(a); break;
	case G_WRITE: wr64(a, b); break;
	case G_ADD_LOCKED: asm volatile("lock addq %1, (%0)" :: "r"(a), "r"(b) : "memory"); break;
	case G_COPY: copy((void *)a, (void *)b, d); break;
	case G_FILL_WORDS:
		for (u64 at = a; at < a + b; at += 8)
			wr64(at, at);
		break;
	case G_CHECK_WORDS:
		for (u64 at = a; at < a + b; at += 8)
			value += rd64(at) != at;
		break;
	case G_PVALIDATE: value = pvalidate(a, b, d, &c->flags); break;
	case G_PVALIDATE_ALL: value = pvalidate_all(a, b); break;
	case G_RMPADJUST:
		SNP_INSN("0xf3, 0x0f, 0x01, 0xfe", : "=r"(c->flags), "+a"(a) : "c"(b), "d"(d));
		value = a & 0xffffffff;
		break;
	case G_CPUID:
		asm volatile("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "a"(a), "c"(0));
		value = eax;
		c->more[0] = ebx;
		c->more[1] = ecx;
		c->more[2] = edx;
		break;
	case G_RDMSR: value = rdmsr(a); break;
	case G_IN: value = inb(a); break;
	case G_GHCB_MSR: value = ghcb_msr(a); break;
	case G_VMGEXIT: ghcb_exit(c, a); break;
	case G_SPIN: value = spin(c, a); break;
	}
	c->value = value;
}

__attribute__((used, noreturn)) void guest_main(struct command *c);

void guest_main(struct command *c)
{
	struct context here;

	bottom()->catcher = &here;
	bottom()->command = c;
	init(c);
	for (;;) {
		tell_host(c);
		c->vector = -1UL;
		if (!guest_context_save(&here))
			perform(c);
		c->done++;
	}
}
