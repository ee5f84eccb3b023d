// SPDX-License-Identifier: GPL-2.0-or-later
#include "snp.h"

u64 rmp_flags;

u64 rmp_base(void)
{
	return rdmsr(RMP_BASE);
}

u64 rmp_end(void)
{
	return rdmsr(RMP_END);
}

u64 rmp_limit(void)
{
	return (rmp_end() + 1 - rmp_base() - RMP_BOOKKEEPING) / sizeof(struct rmp_entry) * PAGE;
}

volatile struct rmp_entry *rmp_address(u64 pa)
{
	return (volatile struct rmp_entry *)(rmp_base() + RMP_BOOKKEEPING) + pa / PAGE;
}

struct rmp_entry rmp(u64 pa)
{
	return *rmp_address(pa);
}

static void enable_on_cpu(void *unused)
{
	(void)unused;
	wrmsr(SYSCFG, rdmsr(SYSCFG) | SYSCFG_MFDM);
	wrmsr(SYSCFG, rdmsr(SYSCFG) | SYSCFG_SNP_EN | SYSCFG_VMPL_EN);
}

void snp_enable(void)
{
	if (rdmsr(SYSCFG) & SYSCFG_SNP_EN)
		return;
	memset((void *)rmp_base(), 0, rmp_end() + 1 - rmp_base());
	asm volatile("wbinvd" ::: "memory");
	ap_run(enable_on_cpu, NULL);
	ap_wait();
	enable_on_cpu(NULL);
}

u32 rmpupdate_at(u64 pa, const struct rmp_state *state)
{
	u64 rax = pa;

	asm volatile(".byte 0xf2, 0x0f, 0x01, 0xfe\n\tpushf\n\tpop %1"
		     : "+a"(rax), "=r"(rmp_flags) : "c"(state) : "memory", "cc");
	return rax;
}

u32 rmpupdate(u64 pa, struct rmp_state state)
{
	return rmpupdate_at(pa, &state);
}

u32 psmash(u64 pa)
{
	u64 rax = pa;

	asm volatile(".byte 0xf3, 0x0f, 0x01, 0xff\n\tpushf\n\tpop %1"
		     : "+a"(rax), "=r"(rmp_flags) :: "memory", "cc");
	return rax;
}

u32 rmpread(u64 pa, struct rmp_state *state)
{
	u64 rax = pa;

	asm volatile(".byte 0xf2, 0x0f, 0x01, 0xfd\n\tpushf\n\tpop %1"
		     : "+a"(rax), "=r"(rmp_flags) : "c"(state) : "memory", "cc");
	return rax;
}

bool has_rmpread(void)
{
	return cpuid(0x8000001f).eax & BIT(21);
}
