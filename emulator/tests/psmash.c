// SPDX-License-Identifier: GPL-2.0-or-later
/* PSMASH: one entry of 2 MiB becomes 512. APM volume 3; volume 2, 15.36.11. */
#include "snp.h"

static void user_psmash(void *pa)
{
	psmash((u64)pa);
}

TEST("psmash.ud_before_enable") { FAULTS(psmash(alloc_large()), UD, 0); }
TEST("psmash.ud_outside_64_bit_mode")
{
	snp_enable();
	FAULTS(compat_call(compat_psmash), UD, 0);
}
TEST("psmash.gp_at_cpl_3")
{
	FAULTS(user_call(user_psmash, (void *)alloc_large()), GP, 0);
}
TEST("psmash.ok")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, GUEST_2M(5, 0x40000000)));
	OK(psmash(p));
	TRUE(rmp_flags & BIT(6));
	for (u64 i = 0; i < 512; i++) {
		struct rmp_entry e = rmp(p + i * PAGE);

		EQ(e.assigned, 1);
		EQ(e.large, 0);
		EQ(e.immutable, 0);
		EQ(e.gfn, 0x40000 + i);
		EQ(e.asid, 5);
		EQ(e.validated, 0);
		EQ(e.vmsa, 0);
	}
}
TEST("psmash.neighbours_unchanged")
{
	u64 high = alloc_large(), p = alloc_large(), low = alloc_large();

	OK(rmpupdate(low, GUEST_2M(5, 0x40000000)));
	OK(rmpupdate(p, GUEST_2M(5, 0x40200000)));
	OK(rmpupdate(high, GUEST_2M(5, 0x40400000)));
	OK(psmash(p));
	EQ(rmp(low).large, 1);
	EQ(rmp(high).large, 1);
}
TEST("psmash.then_4k_changes")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, GUEST_2M(5, 0x40000000)));
	OK(psmash(p));
	OK(rmpupdate(p + 3 * PAGE, HYPERVISOR));
	RUNS(wr64(p + 3 * PAGE, 1));
	FAULTS(wr64(p + 4 * PAGE, 1), PF, PF_P | PF_W | PF_RMP);
}
TEST("psmash.then_2m_overlaps")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, GUEST_2M(5, 0x40000000)));
	OK(psmash(p));
	EQ(rmpupdate(p, GUEST_2M(5, 0x40000000)), FAIL_OVERLAP);
}
TEST("psmash.input.not_aligned")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, GUEST_2M(5, 0x40000000)));
	EQ(psmash(p + PAGE), FAIL_INPUT);
	EQ(rmp_flags & BIT(6), 0);
	EQ(rmp(p).large, 1);
}
TEST("psmash.input.beyond_table") { EQ(psmash((rmp_limit() + LARGE - 1) & -LARGE), FAIL_INPUT); }
TEST("psmash.badaddr.small_entry")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, GUEST(5, 0x1000)));
	EQ(psmash(p), FAIL_BADADDR);
}
TEST("psmash.badaddr.hypervisor_page") { EQ(psmash(alloc_large()), FAIL_BADADDR); }
TEST("psmash.badaddr.twice")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, GUEST_2M(5, 0x40000000)));
	OK(psmash(p));
	EQ(psmash(p), FAIL_BADADDR);
}
/* A page that is no guest's: firmware has given it back, and RMPUPDATE is to be next. */
TEST("psmash.permission.no_asid")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, STATE(.assigned = 1, .large = 1)));
	EQ(psmash(p), FAIL_PERMISSION);
	EQ(rmp(p).large, 1);
}
TEST("psmash.permission.immutable")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, STATE(.assigned = 1, .immutable = 1, .large = 1, .asid = 1)));
	EQ(psmash(p), FAIL_PERMISSION);
	EQ(rmp(p).large, 1);
}
