// SPDX-License-Identifier: GPL-2.0-or-later
/* What the host may do to memory. APM volume 2, 15.36.10: the hypervisor's rows of the RMP checks. */
#include "snp.h"

#define RMP_WRITE	(PF_P | PF_W | PF_RMP)

/* A page that belongs to a guest */
static u64 guest_page(void)
{
	u64 p = alloc_page();

	snp_enable();
	OK(rmpupdate(p, GUEST(1, 0x1000)));
	return p;
}

/* 2 MiB of which one page belongs to a guest */
static u64 mixed(u64 offset)
{
	u64 p = alloc_large();

	snp_enable();
	OK(rmpupdate(p + offset, GUEST(1, offset)));
	return p;
}

static void user_write(void *p) { wr8(p, 1); }
static void user_read(void *p) { (void)rd8(p); }

TEST("host.write.hypervisor_page") { snp_enable(); RUNS(wr64(alloc_page(), 1)); }
TEST("host.write.guest_page")
{
	u64 p = guest_page();

	EQ(FAULTS(wr64(p + 0x123, 1), PF, RMP_WRITE).cr2, p + 0x123);
	EQ(rd64(p + 0x123), 0);
}
TEST("host.write.firmware_page")
{
	u64 p = alloc_page();

	OK(rmpupdate(p, FIRMWARE));
	FAULTS(wr8(p, 1), PF, RMP_WRITE);
}
/* Assigned to nobody, as pages are that firmware gives back */
TEST("host.write.reclaim_page")
{
	u64 p = alloc_page();

	OK(rmpupdate(p, STATE(.assigned = 1)));
	FAULTS(wr8(p, 1), PF, RMP_WRITE);
}
TEST("host.write.given_back")
{
	u64 p = guest_page();

	FAULTS(wr8(p, 1), PF, RMP_WRITE);
	OK(rmpupdate(p, HYPERVISOR));
	RUNS(wr8(p, 1));
	EQ(rd8(p), 1);
}
TEST("host.write.first_byte_and_last")
{
	u64 p = guest_page();

	FAULTS(wr8(p, 1), PF, RMP_WRITE);
	FAULTS(wr8(p + PAGE - 1, 1), PF, RMP_WRITE);
}
TEST("host.write.pages_around")
{
	u64 p = mixed(8 * PAGE);

	RUNS(wr8(p + 8 * PAGE - 1, 1));
	RUNS(wr8(p + 9 * PAGE, 1));
}
TEST("host.write.across_into_guest_page")
{
	u64 p = mixed(8 * PAGE) + 8 * PAGE;

	EQ(FAULTS(wr64(p - 4, -1UL), PF, RMP_WRITE).cr2, p);
	EQ(rd32(p - 4), 0);
}
TEST("host.write.at_cpl_3")
{
	u64 p = guest_page();

	EQ(FAULTS(user_call(user_write, (void *)p), PF, RMP_WRITE | PF_U).cr2, p);
}
/* The page tables' own verdict comes first */
TEST("host.write.read_only_at_cpl_3")
{
	volatile u8 *w = window(guest_page(), 0, PTE_P | PTE_U);

	FAULTS(user_call(user_write, (void *)w), PF, PF_P | PF_W | PF_U);
}
TEST("host.write.not_present")
{
	volatile u8 *w = window(guest_page(), 0, 0);

	FAULTS(wr8(w, 1), PF, PF_W);
}
TEST("host.write.locked")
{
	u64 p = guest_page();

	FAULTS(asm volatile("lock incq (%0)" :: "r"(p) : "memory"), PF, RMP_WRITE);
	FAULTS(asm volatile("xchg %%al, (%0)" :: "r"(p) : "memory", "rax"), PF, RMP_WRITE);
}
TEST("host.write.string")
{
	u64 p = mixed(8 * PAGE) + 8 * PAGE;

	/* What comes before the page is written */
	EQ(FAULTS(memset((void *)(p - 16), 0x77, 32), PF, RMP_WRITE).cr2, p);
	TRUE(all_bytes((void *)(p - 16), 0x77, 16));
	TRUE(all_bytes((void *)p, 0, 16));
}
TEST("host.read.guest_page") { u64 p = guest_page(); RUNS((void)rd64(p)); }
TEST("host.read.firmware_page")
{
	u64 p = alloc_page();

	OK(rmpupdate(p, FIRMWARE));
	RUNS((void)rd64(p));
}
TEST("host.read.at_cpl_3") { u64 p = guest_page(); RUNS(user_call(user_read, (void *)p)); }
TEST("host.read.2m_mapping")
{
	u64 p = mixed(0);
	volatile u8 *w = window(p, 1, PTE_RWU);

	RUNS((void)rd8(w));
	RUNS((void)rd8(w + LARGE - 1));
}
TEST("host.exec.guest_page")
{
	u64 p = alloc_page();

	wr8(p, 0xc3);
	OK(rmpupdate(p, GUEST(1, 0x1000)));
	RUNS(((void (*)(void))p)());
}
TEST("host.read_then_write")
{
	u64 p = guest_page();

	(void)rd8(p);
	FAULTS(wr8(p, 1), PF, RMP_WRITE);
	RUNS((void)rd8(p));
}

TEST("host.2m_mapping.all_hypervisor")
{
	volatile u8 *w = window(alloc_large(), 1, PTE_RWU);

	RUNS(wr8(w, 1));
	RUNS(wr8(w + LARGE - 1, 1));
}
TEST("host.2m_mapping.guest_page_in_it")
{
	u64 p = mixed(8 * PAGE);
	volatile u8 *w = window(p, 1, PTE_RWU);

	FAULTS(wr8(w + 8 * PAGE, 1), PF, RMP_WRITE);
	FAULTS(wr8(w, 1), PF, RMP_WRITE);
	FAULTS(wr8(w + LARGE - 1, 1), PF, RMP_WRITE);
	/* The same bytes through small mappings */
	RUNS(wr8(p, 1));
	RUNS(wr8(p + LARGE - 1, 1));
}
TEST("host.2m_mapping.first_page")
{
	volatile u8 *w = window(mixed(0), 1, PTE_RWU);

	FAULTS(wr8(w + LARGE - 1, 1), PF, RMP_WRITE);
}
TEST("host.2m_mapping.last_page")
{
	volatile u8 *w = window(mixed(LARGE - PAGE), 1, PTE_RWU);

	FAULTS(wr8(w, 1), PF, RMP_WRITE);
}
TEST("host.2m_mapping.guest_page_just_outside")
{
	u64 high = alloc_large(), p = alloc_large(), low = alloc_large();
	volatile u8 *w = window(p, 1, PTE_RWU);

	OK(rmpupdate(low + LARGE - PAGE, GUEST(1, 0x1000)));
	OK(rmpupdate(high, GUEST(1, 0x2000)));
	RUNS(wr8(w, 1));
	RUNS(wr8(w + LARGE - 1, 1));
}
TEST("host.2m_mapping.large_entry")
{
	u64 p = alloc_large();
	volatile u8 *w = window(p, 1, PTE_RWU);

	OK(rmpupdate(p, GUEST_2M(1, 0)));
	FAULTS(wr8(w, 1), PF, RMP_WRITE);
	FAULTS(wr8(w + LARGE - 1, 1), PF, RMP_WRITE);
}
TEST("host.2m_mapping.given_back")
{
	u64 p = mixed(8 * PAGE);
	volatile u8 *w = window(p, 1, PTE_RWU);

	FAULTS(wr8(w, 1), PF, RMP_WRITE);
	OK(rmpupdate(p + 8 * PAGE, HYPERVISOR));
	RUNS(wr8(w, 1));
	RUNS(wr8(w + 8 * PAGE, 1));
}
TEST("host.2m_mapping.at_cpl_3")
{
	volatile u8 *w = window(mixed(8 * PAGE), 1, PTE_RWU);

	FAULTS(user_call(user_write, (void *)w), PF, RMP_WRITE | PF_U);
}
/* A large entry's pages through small mappings: each belongs to the guest */
TEST("host.4k_mapping.large_entry")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, GUEST_2M(1, 0)));
	FAULTS(wr8(p, 1), PF, RMP_WRITE);
	FAULTS(wr8(p + 7 * PAGE, 1), PF, RMP_WRITE);
	FAULTS(wr8(p + LARGE - 1, 1), PF, RMP_WRITE);
	RUNS(wr8(p - 1, 1));
}
TEST("host.1g_mapping.guest_page_near")
{
	u64 p = mixed(8 * PAGE);
	volatile u8 *w = window(p, 2, PTE_RWU);

	FAULTS(wr8(w, 1), PF, RMP_WRITE);
	FAULTS(wr8(w + 8 * PAGE, 1), PF, RMP_WRITE);
	FAULTS(wr8(w + LARGE - 1, 1), PF, RMP_WRITE);
	RUNS(wr8(p, 1));
}

/* A mapping of 1 GiB is used 2 MiB at a time: 15.36.10 */
TEST("host.1g_mapping.guest_page_in_other_2m")
{
	u64 p = alloc_large();
	volatile u8 *w = window(p, 2, PTE_RWU);

	mixed(8 * PAGE);
	RUNS(wr8(w, 1));
	RUNS(wr8(w + LARGE - 1, 1));
}

/* To set the accessed or dirty bit is to write to the page table. */
#define PTE_A	BIT(5)
#define PTE_D	BIT(6)
static volatile u8 *through_table(u64 table, u64 target, u64 flags)
{
	static u64 va = 0x700000000000;

	va += GIGA;
	wr64(table, target | PTE_RWU | flags);
	map_table(va, table, PTE_RWU);
	return (volatile u8 *)va;
}
TEST("host.page_table.accessed_bit_in_guest_page")
{
	u64 table = alloc_page();
	volatile u8 *p = through_table(table, alloc_page(), 0);
	struct fault f;

	OK(rmpupdate(table, GUEST(1, 0x1000)));
	f = FAULTS((void)rd8(p), PF, -1UL);
	TRUE(f.error & PF_RMP);
	EQ(rd64(table) & PTE_A, 0);
}
TEST("host.page_table.nothing_to_set_in_guest_page")
{
	u64 table = alloc_page();
	volatile u8 *p = through_table(table, alloc_page(), PTE_A | PTE_D);

	OK(rmpupdate(table, GUEST(1, 0x1000)));
	RUNS((void)rd8(p));
	RUNS(wr8(p, 1));
}

/* Translations do not outlive a change of the table. */
TEST("host.tlb.same_cpu_4k")
{
	u64 p = alloc_page();

	for (int i = 0; i < 100; i++) {
		RUNS(wr8(p, i));
		OK(rmpupdate(p, GUEST(1, 0x1000)));
		FAULTS(wr8(p, 0xff), PF, RMP_WRITE);
		EQ(rd8(p), i);
		OK(rmpupdate(p, HYPERVISOR));
	}
}
TEST("host.tlb.same_cpu_2m")
{
	u64 p = alloc_large();
	volatile u8 *w = window(p, 1, PTE_RWU);

	for (u64 i = 0; i < 100; i++) {
		u64 victim = p + (i * 37 % 512) * PAGE;

		RUNS(wr8(w + i, i));
		OK(rmpupdate(victim, GUEST(1, 0x1000)));
		FAULTS(wr8(w + i, 0xff), PF, RMP_WRITE);
		EQ(rd8(p + i), i);
		OK(rmpupdate(victim, HYPERVISOR));
	}
}

static struct writer {
	volatile u64 *at;
	struct fault fault;
	volatile bool started;
} writer;

static void write_until_fault(void *unused)
{
	(void)unused;
	writer.fault = CATCH(for (u64 i = 1;; i++) { *writer.at = i; writer.started = true; });
}

/* The other processor writes to *at all the time; does a write come after the page is gone? */
static void race(volatile u64 *at, u64 see, u64 page, struct rmp_state taken, struct rmp_state back)
{
	for (int round = 0; round < 200; round++) {
		u64 first, later;

		writer = (struct writer){ .at = at };
		ap_run(write_until_fault, NULL);
		while (!writer.started)
			pause();
		for (int i = 0; i < round * 10; i++)
			pause();
		OK(rmpupdate(page, taken));
		first = rd64(see);
		for (int i = 0; i < 500; i++)
			pause();
		later = rd64(see);
		ap_wait();
		EQ(later, first);
		EQ(rd64(see), first);
		EQ(writer.fault.vector, PF);
		EQ(writer.fault.error, RMP_WRITE);
		OK(rmpupdate(page, back));
	}
}

TEST("host.tlb.other_cpu_4k")
{
	u64 p = alloc_page();

	race((volatile u64 *)p, p, p, GUEST(1, 0x1000), HYPERVISOR);
}
TEST("host.tlb.other_cpu_2m_mapping_4k_entry")
{
	u64 p = alloc_large();
	volatile u8 *w = window(p, 1, PTE_RWU);

	race((volatile u64 *)w, p, p + 9 * PAGE, GUEST(1, 0x1000), HYPERVISOR);
}
TEST("host.tlb.other_cpu_2m")
{
	u64 p = alloc_large();
	volatile u8 *w = window(p, 1, PTE_RWU) + LARGE - 8;

	race((volatile u64 *)w, p + LARGE - 8, p, GUEST_2M(1, 0), HYPERVISOR_2M);
}
TEST("host.tlb.other_cpu_4k_mapping_2m_entry")
{
	u64 p = alloc_large();

	race((volatile u64 *)(p + LARGE / 2), p + LARGE / 2, p, GUEST_2M(1, 0), HYPERVISOR_2M);
}
