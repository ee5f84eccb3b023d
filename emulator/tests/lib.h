/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the test kernels stand on: a processor in long mode, and how a test says what must be. */
#ifndef LIB_H
#define LIB_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define PAGE		4096UL
#define LARGE		(2UL << 20)
#define GIGA		(1UL << 30)
#define BIT(n)		(1UL << (n))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define PACKED		__attribute__((packed))

/*
 * Tests
 *
 * TEST("group.rule") { ... } runs in the order of the file. The first
 * expectation that does not hold ends it; so does a fault that it did not
 * expect. What a test allocates is not given back: no page is used twice.
 */
struct test {
	const char *name;
	void (*run)(void);
};

#define TEST(name)	TEST_1(name, __LINE__)
#define TEST_1(name, line) TEST_2(name, line)
#define TEST_2(name, line)						\
	static void test_##line(void);					\
	static const struct test entry_##line				\
		__attribute__((used, section("tests"))) = { name, test_##line }; \
	static void test_##line(void)

/* got must be want */
#define EQ(got, want)	expect_eq(__LINE__, #got, (u64)(got), (u64)(want))
#define NE(got, other)	expect_ne(__LINE__, #got, (u64)(got), (u64)(other))
#define OK(got)		EQ(got, 0)
#define TRUE(cond)	expect_true(__LINE__, #cond, (cond))
#define SKIP(why)	skip_test(why)

/* The statement must raise this exception; an error code of -1 is any. */
#define FAULTS(stmt, vector, error)					\
	expect_fault(__LINE__, #stmt, CATCH(stmt), vector, error)
#define RUNS(stmt)	expect_no_fault(__LINE__, #stmt, CATCH(stmt))

void expect_eq(int line, const char *what, u64 got, u64 want);
void expect_ne(int line, const char *what, u64 got, u64 other);
void expect_true(int line, const char *what, bool cond);
__attribute__((noreturn)) void skip_test(const char *why);
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *fmt, ...);
__attribute__((format(printf, 1, 2))) void print(const char *fmt, ...);

/*
 * Faults
 *
 * CATCH(statement) runs it and says which exception it raised. Variables that
 * the statement changes and that are read later must be volatile.
 */
enum { DE = 0, DB = 1, BP = 3, UD = 6, DF = 8, GP = 13, PF = 14, MC = 18, VC = 29, NONE = -1, USER_DONE = 0x80 };

#define PF_P		BIT(0)
#define PF_W		BIT(1)
#define PF_U		BIT(2)
#define PF_RSVD		BIT(3)
#define PF_I		BIT(4)
#define PF_RMP		BIT(31)

struct context {
	u64 rip, rsp, rbx, rbp, r12, r13, r14, r15;
};

struct fault {
	int vector;
	u64 error, cr2, rip;
};

int context_save(struct context *c) __attribute__((returns_twice));
void context_jump(struct context *c) __attribute__((noreturn));

struct cpu {
	struct context *catcher;
	struct fault fault;
	u32 number;
};

/* Each processor's stack is 64 KiB, aligned; its struct cpu lies at the bottom. */
static inline struct cpu *this_cpu(void)
{
	u64 rsp;

	asm("mov %%rsp, %0" : "=r"(rsp));
	return (struct cpu *)(rsp & ~0xffffUL);
}

#define CATCH(stmt) ({							\
	struct context here_;						\
	struct context *outer_ = this_cpu()->catcher;			\
	this_cpu()->fault.vector = NONE;				\
	this_cpu()->catcher = &here_;					\
	if (!context_save(&here_)) {					\
		stmt;							\
	}								\
	this_cpu()->catcher = outer_;					\
	this_cpu()->fault;						\
})

struct fault expect_fault(int line, const char *what, struct fault f, int vector, u64 error);
void expect_no_fault(int line, const char *what, struct fault f);

/* Runs fn at CPL 3, in this address space. It must touch nothing but its argument. */
void user_call(void (*fn)(void *), void *arg);

/* Memory: pages, and 2 MiB of pages, that nobody else has; 4K pages are mapped one to one. */
u64 alloc_page(void);
u64 alloc_large(void);
bool is_ram(u64 pa);
u64 ram_end(void);

/*
 * Page tables: level 0 is a page of 4 KiB, 1 of 2 MiB, 2 of 1 GiB. RAM is
 * mapped one to one by 4 KiB pages, the rest below 4 GiB by 2 MiB pages.
 */
#define PTE_P		BIT(0)
#define PTE_W		BIT(1)
#define PTE_U		BIT(2)
#define PTE_CD		BIT(4)
#define PTE_LARGE	BIT(7)
#define PTE_C		BIT(51)
#define PTE_RWU		(PTE_P | PTE_W | PTE_U)
#define PTE_ADDR	0x0007fffffffff000UL

void map(u64 va, u64 pa, int level, u64 flags);
/* A mapping of the page around pa with that size; the answer is where pa is seen. */
volatile u8 *window(u64 pa, int level, u64 flags);
/* The 2 MiB from va are mapped by this table of ours. */
void map_table(u64 va, u64 table, u64 flags);
void flush_tlb(void);
u64 page_tables(void);

/* PCI: bus, device and function in one number, as the requests of devices have them */
#define NO_FUNCTION	~0U
u32 pci_find(u16 vendor, u16 device);
u32 pci_read(u32 function, u32 offset);
/* Lets it answer, and access memory by itself; where a memory BAR is */
u64 pci_enable(u32 function, u32 bar);

/* The second processor runs fn(arg); ap_wait() until it is done. */
void ap_run(void (*fn)(void *), void *arg);
void ap_wait(void);
bool ap_done(void);

static inline void outb(u16 port, u8 value) { asm volatile("outb %0, %1" :: "a"(value), "Nd"(port)); }
static inline void outl(u16 port, u32 value) { asm volatile("outl %0, %1" :: "a"(value), "Nd"(port)); }
static inline u8 inb(u16 port) { u8 v; asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u32 inl(u16 port) { u32 v; asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline void pause(void) { asm volatile("pause" ::: "memory"); }

static inline u64 rdtsc(void) { u32 lo, hi; asm volatile("rdtsc" : "=a"(lo), "=d"(hi)); return lo | (u64)hi << 32; }

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return lo | (u64)hi << 32;
}

static inline void wrmsr(u32 msr, u64 value)
{
	asm volatile("wrmsr" :: "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

struct regs {
	u32 eax, ebx, ecx, edx;
};

static inline struct regs cpuid_part(u32 leaf, u32 part)
{
	struct regs r;

	asm volatile("cpuid"
		     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(part));
	return r;
}

static inline struct regs cpuid(u32 leaf)
{
	return cpuid_part(leaf, 0);
}

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* Are n bytes all this one? */
bool all_bytes(const volatile void *p, u8 byte, size_t n);

#define rd8(p)		(*(volatile u8 *)(p))
#define rd32(p)		(*(volatile u32 *)(p))
#define rd64(p)		(*(volatile u64 *)(p))
#define wr8(p, v)	(*(volatile u8 *)(p) = (v))
#define wr32(p, v)	(*(volatile u32 *)(p) = (v))
#define wr64(p, v)	(*(volatile u64 *)(p) = (v))

#endif
