// SPDX-License-Identifier: GPL-2.0-or-later
/* Console, tests, faults, memory, page tables, the second processor. */
#include "lib.h"

#define COM1		0x3f8
#define DEBUG_EXIT	0xf4
#define TRAMPOLINE	0x8000UL
#define LAPIC		0xfee00000UL
#define STACK_SIZE	0x10000UL
/* Of the time stamp counter, some ten seconds */
#define PATIENCE	(10 * GIGA)
/* From the bottom of a stack: where faults at CPL 3 start to push, and where CPL 3 itself does */
#define STACK_FAULT	0x4000UL
#define STACK_USER	0x6000UL

extern const struct test tests_start[], tests_end[];
extern char stacks[], image_end[], trampoline[], trampoline_end[], trampoline_cr3[], exception_stubs[];
extern u64 gdt[], multiboot_info;
extern u8 gdt_pointer[];

void user_enter(void (*fn)(void *), void *arg, u64 stack);

/* Console */

static void put(char c)
{
	while (!(inb(COM1 + 5) & 0x20))
		pause();
	outb(COM1, c);
}

static void put_number(u64 value, unsigned int base)
{
	char digits[20];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		put(digits[--n]);
}

/* %s, %d and %u, %x with 0x before it; with or without l */
static void vprint(const char *fmt, va_list args)
{
	for (; *fmt; fmt++) {
		bool l = false;
		u64 value;

		if (*fmt != '%') {
			put(*fmt);
			continue;
		}
		if (*++fmt == 'l') {
			l = true;
			fmt++;
		}
		if (*fmt == 's') {
			for (const char *s = va_arg(args, const char *); *s; s++)
				put(*s);
			continue;
		}
		value = l ? va_arg(args, u64) : va_arg(args, u32);
		if (*fmt == 'd' && !l && (int)value < 0) {
			put('-');
			value = -(int)value;
		}
		if (*fmt == 'x') {
			put('0');
			put('x');
		}
		put_number(value, *fmt == 'x' ? 16 : 10);
	}
}

void print(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vprint(fmt, args);
	va_end(args);
}

/* Tests */

static const struct test *current;
static struct context next_test;
static u32 failed;

void fail(const char *fmt, ...)
{
	va_list args;

	print("not ok %s: ", current->name);
	va_start(args, fmt);
	vprint(fmt, args);
	va_end(args);
	print("\n");
	failed++;
	context_jump(&next_test);
}

void skip_test(const char *why)
{
	print("skip %s: %s\n", current->name, why);
	context_jump(&next_test);
}

void expect_eq(int line, const char *what, u64 got, u64 want)
{
	if (got != want)
		fail("line %d: %s is %lx, not %lx", line, what, got, want);
}

void expect_ne(int line, const char *what, u64 got, u64 other)
{
	if (got == other)
		fail("line %d: %s is %lx", line, what, got);
}

void expect_true(int line, const char *what, bool cond)
{
	if (!cond)
		fail("line %d: not so: %s", line, what);
}

void expect_no_fault(int line, const char *what, struct fault f)
{
	if (f.vector != NONE)
		fail("line %d: %s: exception %d, error code %lx, cr2 %lx, rip %lx", line, what, f.vector, f.error,
		     f.cr2, f.rip);
}

struct fault expect_fault(int line, const char *what, struct fault f, int vector, u64 error)
{
	if (f.vector == NONE)
		fail("line %d: %s: no exception, not %d", line, what, vector);
	if (f.vector != vector || (error != -1UL && f.error != error))
		fail("line %d: %s: exception %d, error code %lx, cr2 %lx, rip %lx, not %d, error code %lx", line, what,
		     f.vector, f.error, f.cr2, f.rip, vector, error);
	return f;
}

/* Faults */

struct frame {
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

__attribute__((used)) void fault_handler(struct frame *frame);

void fault_handler(struct frame *frame)
{
	struct cpu *cpu = this_cpu();
	struct fault f = { frame->vector, frame->error, 0, frame->rip };

	asm volatile("mov %%cr2, %0" : "=r"(f.cr2));
	cpu->fault = f;
	if (cpu->catcher)
		context_jump(cpu->catcher);
	if (cpu->number == 0 && current)
		fail("exception %d, error code %lx, cr2 %lx, rip %lx", f.vector, f.error, f.cr2, f.rip);
	print("not ok cpu%u: exception %d, error code %lx, cr2 %lx, rip %lx\n", cpu->number, f.vector, f.error, f.cr2,
	      f.rip);
	outb(DEBUG_EXIT, 2);
	for (;;)
		pause();
}

static struct PACKED idt_entry {
	u16 offset_low, selector;
	u8 ist, type;
	u16 offset_mid;
	u32 offset_high, reserved;
} idt[256];

static struct PACKED tss {
	u32 reserved;
	u64 rsp0;
	u8 rest[92];
} tss[2];

static void init_cpu(u32 number)
{
	struct PACKED { u16 limit; u64 base; } idtr = { sizeof(idt) - 1, (u64)idt };
	u64 base = (u64)&tss[number], stack = (u64)stacks + number * STACK_SIZE;
	u64 *d = gdt + 5 + 2 * number;

	this_cpu()->number = number;
	tss[number].rsp0 = stack + STACK_FAULT;
	d[0] = (sizeof(struct tss) - 1) | (base & 0xffffff) << 16 | 0x89UL << 40 | (base >> 24 & 0xff) << 56;
	d[1] = base >> 32;
	asm volatile("lgdt %0; lidt %1; ltr %w2" :: "m"(*gdt_pointer), "m"(idtr), "r"((5 + 2 * number) * 8));
}

static void init_idt(void)
{
	for (int i = 0; i < 256; i++) {
		u64 stub = (u64)exception_stubs + 16 * i;

		/* Interrupt gates; int 0x80 is CPL 3's way home */
		idt[i] = (struct idt_entry){
			.offset_low = stub, .offset_mid = stub >> 16, .offset_high = stub >> 32,
			.selector = 8, .type = i == USER_DONE ? 0xee : 0x8e,
		};
	}
}

struct user_args {
	void (*fn)(void *);
	void *arg;
};

static void user_start(void *p)
{
	struct user_args *a = p;

	a->fn(a->arg);
	asm volatile("int $0x80");
}

void user_call(void (*fn)(void *), void *arg)
{
	static struct user_args args;
	struct cpu *cpu = this_cpu();
	struct fault f;

	args = (struct user_args){ fn, arg };
	f = CATCH(user_enter(user_start, &args, (u64)cpu + STACK_USER - 8));
	if (f.vector == USER_DONE) {
		cpu->fault.vector = NONE;
		return;
	}
	cpu->fault = f;
	if (cpu->catcher)
		context_jump(cpu->catcher);
	expect_no_fault(0, "code at CPL 3", f);
}

/* Memory */

struct PACKED mb_info {
	u32 flags, mem[2], device, cmdline, mods[2], syms[4], mmap_length, mmap;
};

struct PACKED mb_range {
	u32 size;
	u64 base, length;
	u32 type;
};

/* RAM above the image: pages from below, 2 MiB pieces from above */
static struct { u64 start, end; } ram[8];
static u64 low, high;
static int ranges;

static void init_memory(void)
{
	struct mb_info *info = (void *)multiboot_info;
	u64 at = info->mmap, end = at + info->mmap_length, best = 0;

	while (at < end) {
		struct mb_range *r = (void *)at;
		u64 from = (r->base + PAGE - 1) & -PAGE, to = (r->base + r->length) & -PAGE;

		at += r->size + 4;
		if (r->type != 1 || from >= to || ranges == ARRAY_SIZE(ram))
			continue;
		ram[ranges].start = from;
		ram[ranges++].end = to;
		if (from >= 4 * GIGA || to - from < best)
			continue;
		best = to - from;
		low = from > (u64)image_end ? from : (u64)image_end;
		high = to & -LARGE;
	}
}

bool is_ram(u64 pa)
{
	for (int i = 0; i < ranges; i++)
		if (pa >= ram[i].start && pa < ram[i].end)
			return true;
	return false;
}

u64 ram_end(void)
{
	u64 end = 0;

	for (int i = 0; i < ranges; i++)
		if (ram[i].end > end)
			end = ram[i].end;
	return end;
}

static u64 alloc_any(u64 size)
{
	u64 pa = size == PAGE ? low : high - size;

	if (low + size > high) {
		print("not ok memory: none left\n");
		outb(DEBUG_EXIT, 2);
	}
	if (size == PAGE)
		low += size;
	else
		high -= size;
	memset((void *)pa, 0, size);
	return pa;
}

u64 alloc_page(void)
{
	return alloc_any(PAGE);
}

u64 alloc_large(void)
{
	return alloc_any(LARGE);
}

/* Page tables */

static u64 *root;

static u64 *entry_of(u64 va, int level)
{
	u64 *table = root;

	for (int l = 3; l > level; l--) {
		u64 *e = table + (va >> (12 + 9 * l) & 511);

		if (!(*e & PTE_P))
			*e = alloc_page() | PTE_RWU;
		table = (u64 *)(*e & PTE_ADDR);
	}
	return table + (va >> (12 + 9 * level) & 511);
}

void map(u64 va, u64 pa, int level, u64 flags)
{
	*entry_of(va, level) = pa | flags | (level ? PTE_LARGE : 0);
	asm volatile("invlpg (%0)" :: "r"(va) : "memory");
}

void map_table(u64 va, u64 table, u64 flags)
{
	*entry_of(va, 1) = table | flags;
	flush_tlb();
}

volatile u8 *window(u64 pa, int level, u64 flags)
{
	static u64 next = 1UL << 39;
	u64 size = PAGE << (9 * level), va = next;

	next += GIGA;
	map(va, pa & -size, level, flags);
	return (volatile u8 *)(va + (pa & (size - 1)));
}

void flush_tlb(void)
{
	asm volatile("mov %0, %%cr3" :: "r"(root) : "memory");
}

u64 page_tables(void)
{
	return (u64)root;
}

static void init_page_tables(void)
{
	u64 end = (ram_end() < 4 * GIGA ? ram_end() : 3 * GIGA) + LARGE - 1;

	root = (u64 *)alloc_page();
	for (u64 pa = 0; pa < 4 * GIGA; pa += LARGE) {
		if (pa >= (end & -LARGE)) {
			*entry_of(pa, 1) = pa | PTE_RWU | PTE_CD | PTE_LARGE;
			continue;
		}
		for (u64 page = pa; page < pa + LARGE; page += PAGE)
			*entry_of(page, 0) = page | PTE_RWU;
	}
	flush_tlb();
}

/* PCI */

#define PCI_ADDRESS	0xcf8
#define PCI_DATA	0xcfc
#define PCI_COMMAND	0x04
#define PCI_BARS	0x10

u32 pci_read(u32 function, u32 offset)
{
	outl(PCI_ADDRESS, 0x80000000 | function << 8 | offset);
	return inl(PCI_DATA);
}

u32 pci_find(u16 vendor, u16 device)
{
	for (u32 f = 0; f < 0x10000; f++) {
		u32 id = pci_read(f, 0);

		if (id == (vendor | (u32)device << 16))
			return f;
		if (!(f & 7) && id == ~0U)
			f |= 7;
	}
	return NO_FUNCTION;
}

u64 pci_enable(u32 function, u32 bar)
{
	u32 offset = PCI_BARS + 4 * bar;
	u64 base = pci_read(function, offset);

	if ((base & 6) == 4)
		base |= (u64)pci_read(function, offset + 4) << 32;
	base &= ~0xfUL;
	if (!base || base >= 4 * GIGA)
		fail("BAR %u of function %x is at %lx", bar, function, base);
	/* Memory, bus master; not what is in the status beside it, where ones clear */
	outl(PCI_DATA, (pci_read(function, PCI_COMMAND) & 0xffff) | 6);
	return base;
}

/* The second processor */

static void (*volatile ap_fn)(void *);
static void *volatile ap_arg;
static volatile bool ap_up;

__attribute__((used)) void ap_main(void);

void ap_main(void)
{
	init_cpu(1);
	ap_up = true;
	for (;;) {
		void (*fn)(void *) = ap_fn;

		if (fn) {
			fn(ap_arg);
			__atomic_thread_fence(__ATOMIC_SEQ_CST);
			ap_fn = NULL;
		}
		pause();
	}
}

static void start_ap(void)
{
	memcpy((void *)TRAMPOLINE, trampoline, trampoline_end - trampoline);
	wr32(TRAMPOLINE + (trampoline_cr3 - trampoline), (u32)(u64)root);
	/* INIT, then twice STARTUP, to all but this one */
	wr32(LAPIC + 0x300, 0xc4500);
	for (int i = 0; i < 100000; i++)
		pause();
	wr32(LAPIC + 0x300, 0xc4600 | TRAMPOLINE >> 12);
	for (u64 start = rdtsc(); !ap_up; pause())
		if (rdtsc() - start > PATIENCE) {
			print("not ok cpu1: did not start\n");
			outb(DEBUG_EXIT, 2);
		}
}

bool ap_done(void)
{
	return !ap_fn;
}

void ap_wait(void)
{
	u64 start = rdtsc();

	while (!ap_done()) {
		if (rdtsc() - start > PATIENCE)
			fail("the second processor does not come back");
		pause();
	}
}

void ap_run(void (*fn)(void *), void *arg)
{
	ap_wait();
	ap_arg = arg;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	ap_fn = fn;
}

/* C's own */

void *memcpy(void *to, const void *from, size_t n)
{
	void *start = to;

	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) :: "memory");
	return start;
}

void *memset(void *to, int c, size_t n)
{
	void *start = to;

	asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return start;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

bool all_bytes(const volatile void *p, u8 byte, size_t n)
{
	const volatile u8 *b = p;

	while (n--)
		if (*b++ != byte)
			return false;
	return true;
}

__attribute__((used, noreturn)) void main(void);

void main(void)
{
	static const struct test *volatile t;
	u64 count = tests_end - tests_start;

	init_idt();
	init_cpu(0);
	init_memory();
	init_page_tables();
	/* No interrupts from the old controllers */
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	start_ap();
	print("1..%lu\n", count);
	for (t = tests_start; t < tests_end; t++) {
		current = t;
		this_cpu()->catcher = NULL;
		if (context_save(&next_test))
			continue;
		print("# %s\n", t->name);
		t->run();
		print("ok %s\n", t->name);
	}
	print("end\n");
	/* An emulator with this port ends with twice the value, plus one */
	outb(DEBUG_EXIT, failed ? 1 : 0);
	for (;;)
		pause();
}
