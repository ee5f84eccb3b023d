// SPDX-License-Identifier: GPL-2.0-or-later
/* What firmware leaves, and what locks. APM volume 2, 15.34.3, 15.36.2 and 15.36.4. */
#include "snp.h"

/* Writes a register; a fault is as good as being ignored. */
static u64 after_write(u32 msr, u64 value)
{
	CATCH(wrmsr(msr, value));
	return rdmsr(msr);
}

TEST("msr.syscfg.mem_enc_at_boot") { TRUE(rdmsr(SYSCFG) & SYSCFG_MEM_ENC); }
TEST("msr.syscfg.snp_off_at_boot") { EQ(rdmsr(SYSCFG) & (SYSCFG_SNP_EN | SYSCFG_VMPL_EN), 0); }
TEST("msr.hwcr.smm_locked") { TRUE(rdmsr(HWCR) & HWCR_SMMLOCK); }
TEST("msr.hwcr.smm_lock_stays") { TRUE(after_write(HWCR, rdmsr(HWCR) & ~HWCR_SMMLOCK) & HWCR_SMMLOCK); }
TEST("msr.rmp.set_by_firmware") { NE(rmp_base(), 0); TRUE(rmp_end() > rmp_base()); }
TEST("msr.rmp.aligned") { EQ(rmp_base() & 0x1fff, 0); EQ((rmp_end() + 1) & 0x1fff, 0); }
TEST("msr.rmp.covers_ram") { TRUE(rmp_limit() >= ram_end()); }
TEST("msr.rmp.covers_itself") { TRUE(rmp_limit() > rmp_end()); }
TEST("msr.rmp.not_in_memory_map")
{
	for (u64 pa = rmp_base() & -PAGE; pa <= rmp_end(); pa += PAGE)
		EQ(is_ram(pa), false);
}
TEST("msr.rmp.same_on_both")
{
	static u64 there[3];

	void ask(void *unused)
	{
		(void)unused;
		there[0] = rdmsr(RMP_BASE);
		there[1] = rdmsr(RMP_END);
		there[2] = rdmsr(SYSCFG);
	}
	ap_run(ask, NULL);
	ap_wait();
	EQ(there[0], rmp_base());
	EQ(there[1], rmp_end());
	EQ(there[2], rdmsr(SYSCFG));
}
/* Before SNP_EN the table is memory like any other */
TEST("msr.rmp.memory_before_enable")
{
	u64 p = rmp_end() + 1 - PAGE;

	RUNS(wr64(p, 0x1122334455667788));
	EQ(rd64(p), 0x1122334455667788);
}
TEST("msr.rmp.writable_before_enable")
{
	u64 base = rmp_base();

	RUNS(wrmsr(RMP_BASE, base + 0x100000));
	EQ(rmp_base(), base + 0x100000);
	RUNS(wrmsr(RMP_BASE, base));
	EQ(rmp_base(), base);
}
TEST("msr.sev_status.host_is_0") { EQ(rdmsr(SEV_STATUS), 0); }
TEST("msr.sev_status.cannot_be_written") { FAULTS(wrmsr(SEV_STATUS, 0), GP, 0); }
TEST("msr.syscfg.mem_enc_stays_before_enable")
{
	TRUE(after_write(SYSCFG, rdmsr(SYSCFG) & ~SYSCFG_MEM_ENC) & SYSCFG_MEM_ENC);
}
TEST("msr.ghcb.not_in_host") { FAULTS(rdmsr(GHCB_MSR), GP, 0); FAULTS(wrmsr(GHCB_MSR, 0), GP, 0); }
TEST("msr.vm_page_flush.writable") { RUNS(wrmsr(VM_PAGE_FLUSH, alloc_page() | 1)); }

TEST("msr.syscfg.enable")
{
	snp_enable();
	EQ(rdmsr(SYSCFG) & (SYSCFG_SNP_EN | SYSCFG_VMPL_EN | SYSCFG_MFDM), SYSCFG_SNP_EN | SYSCFG_VMPL_EN | SYSCFG_MFDM);
}
/* Writes to SYSCFG are ignored from then on; others of its kind raise #GP. */
TEST("msr.syscfg.writes_are_ignored") { RUNS(wrmsr(SYSCFG, 0)); TRUE(rdmsr(SYSCFG) & SYSCFG_SNP_EN); }
TEST("msr.locked.fixed_mtrr") { FAULTS(wrmsr(0x250, rdmsr(0x250)), GP, 0); }
TEST("msr.locked.iorr") { FAULTS(wrmsr(0xc0010016, 0), GP, 0); }
TEST("msr.locked.top_mem") { FAULTS(wrmsr(0xc001001a, rdmsr(0xc001001a)), GP, 0); }
TEST("msr.locked.top_mem2") { FAULTS(wrmsr(0xc001001d, rdmsr(0xc001001d)), GP, 0); }
TEST("msr.syscfg.snp_en_stays") { TRUE(after_write(SYSCFG, rdmsr(SYSCFG) & ~SYSCFG_SNP_EN) & SYSCFG_SNP_EN); }
TEST("msr.syscfg.vmpl_en_stays") { TRUE(after_write(SYSCFG, rdmsr(SYSCFG) & ~SYSCFG_VMPL_EN) & SYSCFG_VMPL_EN); }
TEST("msr.syscfg.mem_enc_stays") { TRUE(after_write(SYSCFG, rdmsr(SYSCFG) & ~SYSCFG_MEM_ENC) & SYSCFG_MEM_ENC); }
TEST("msr.rmp.base_stays") { u64 old = rmp_base(); EQ(after_write(RMP_BASE, old + 0x100000), old); }
TEST("msr.rmp.end_stays") { u64 old = rmp_end(); EQ(after_write(RMP_END, old + 0x100000), old); }
TEST("msr.syscfg.same_on_both_after")
{
	static u64 there;

	void ask(void *unused)
	{
		(void)unused;
		there = rdmsr(SYSCFG);
	}
	ap_run(ask, NULL);
	ap_wait();
	EQ(there, rdmsr(SYSCFG));
}

/* Not an exit, as of a VMRUN that fails */
TEST("msr.cr3.reserved_bits")
{
	FAULTS(asm volatile("mov %0, %%cr3" :: "r"(page_tables() | BIT(60)) : "memory"), GP, 0);
}
TEST("msr.cr4.reserved_bits")
{
	u64 cr4;

	asm volatile("mov %%cr4, %0" : "=r"(cr4));
	FAULTS(asm volatile("mov %0, %%cr4" :: "r"(cr4 | BIT(30)) : "memory"), GP, 0);
}
