// SPDX-License-Identifier: GPL-2.0-or-later
/* Strict mode and what the processor does. APM volume 2, 15.36.10 for what is forbidden. */
#include "strict.h"
#include "vm.h"

static u64 guest_page(void)
{
	u64 pa = alloc_page();

	snp_enable();
	OK(rmpupdate(pa, GUEST(1, 0x1000)));
	return pa;
}

/* What is allowed, or has nothing to do with the RMP, is as in any other mode. */
TEST("strict.host.writes_own_page") { snp_enable(); RUNS(wr8(alloc_page(), 1)); }
TEST("strict.host.reads_guest_page") { u64 pa = guest_page(); RUNS((void)rd8(pa)); }
TEST("strict.host.writes_page_given_back")
{
	u64 pa = guest_page();

	OK(rmpupdate(pa, HYPERVISOR));
	RUNS(wr8(pa, 1));
}
TEST("strict.host.instructions_that_fail")
{
	EQ(rmpupdate(rmp_limit(), GUEST(1, 0)), FAIL_INPUT);
	EQ(psmash(alloc_large()), FAIL_BADADDR);
}
/* The page tables' own verdict comes first, and is a fault like any other. */
TEST("strict.host.not_present") { FAULTS(wr8(window(guest_page(), 0, 0), 1), PF, PF_W); }
/* What a guest does wrong is its hypervisor's business. */
TEST("strict.guest.faults")
{
	struct vp *vp = vm_start(SNP);
	u64 gpa = G_TEST;
	struct result r;

	vm_share(vp->vm, gpa);
	r = run2(vp, G_WRITE, gpa, 1);
	EQ(r.exit, EXIT_NPF);
	TRUE(r.info1 & PF_RMP);
	vm_give(vp->vm, gpa + PAGE);
	GUEST_FAULTS(run1(vp, G_READ, gpa + PAGE), VC, 0x404);
}
TEST("strict.host.writes_guest_page")
{
	u64 pa = guest_page();

	ENDS(wr8(pa, 1), "strict: host writes %lx: assigned", pa);
}
