// SPDX-License-Identifier: GPL-2.0-or-later
/* PVALIDATE in an SNP guest, and what its pages do before. APM volume 3; volume 2, 15.36.6. */
#include "vm.h"

#define NOT_VALIDATED	0x404

static struct vp *snp(void)
{
	return vm_start(SNP);
}

/* Each test has a test page of its own */
static u64 next_gpa(void)
{
	static u64 gpa = G_TEST;

	gpa += PAGE;
	return gpa;
}

/* A page of the guest's, not yet validated; its GPA and where the guest sees it */
static u64 fresh(void)
{
	struct vp *vp = snp();
	u64 gpa = next_gpa();

	vm_give(vp->vm, gpa);
	return gpa;
}

TEST("pvalidate.ud_in_host")
{
	snp_enable();
	FAULTS(asm volatile(".byte 0xf2, 0x0f, 0x01, 0xff" :: "a"(0), "c"(0), "d"(1) : "memory", "cc"), UD, 0);
}
TEST("pvalidate.start_of_guest") { snp(); }
TEST("pvalidate.before.read") { u64 p = fresh(); EQ(GUEST_FAULTS(run1(snp(), G_READ, p), VC, NOT_VALIDATED).cr2, p); }
TEST("pvalidate.before.write") { u64 p = fresh(); GUEST_FAULTS(run2(snp(), G_WRITE, p, 1), VC, NOT_VALIDATED); }
TEST("pvalidate.before.fetch") { u64 p = fresh(); GUEST_FAULTS(run1(snp(), G_CALL, p), VC, NOT_VALIDATED); }
TEST("pvalidate.ok")
{
	u64 gpa = fresh();
	struct result r = PVALIDATE(snp(), gpa, 0, 1);

	OK(done(__LINE__, "PVALIDATE", r));
	EQ(r.carry, 0);
	EQ(rmp(vm_spa(snp()->vm, gpa)).validated, 1);
	DO(snp(), G_WRITE, gpa, 0x1234, 0);
	EQ(DO(snp(), G_READ, gpa, 0, 0), 0x1234);
}
TEST("pvalidate.flags") { struct result r = PVALIDATE(snp(), fresh(), 0, 1); TRUE(r.flags & BIT(6)); }
TEST("pvalidate.again_changes_nothing")
{
	u64 gpa = fresh();
	struct result r;

	OK(DO(snp(), G_PVALIDATE, gpa, 0, 1));
	r = PVALIDATE(snp(), gpa, 0, 1);
	OK(r.value);
	EQ(r.carry, 1);
}
TEST("pvalidate.rescind_of_fresh_changes_nothing")
{
	struct result r = PVALIDATE(snp(), fresh(), 0, 0);

	OK(r.value);
	EQ(r.carry, 1);
}
TEST("pvalidate.rescind")
{
	u64 gpa = fresh();
	struct result r;

	OK(DO(snp(), G_PVALIDATE, gpa, 0, 1));
	DO(snp(), G_WRITE, gpa, 1, 0);
	r = PVALIDATE(snp(), gpa, 0, 0);
	OK(r.value);
	EQ(r.carry, 0);
	EQ(rmp(vm_spa(snp()->vm, gpa)).validated, 0);
	GUEST_FAULTS(run1(snp(), G_READ, gpa), VC, NOT_VALIDATED);
}
/* The guest's own TLB forgets the page, too: nobody leaves the guest meanwhile. */
TEST("pvalidate.rescind_is_seen_at_once")
{
	u64 gpa = fresh();

	OK(DO(snp(), G_PVALIDATE, gpa, 0, 1));
	DO(snp(), G_WRITE, gpa, 1, 0);
	GUEST_FAULTS(run1(snp(), G_RESCIND, gpa), VC, NOT_VALIDATED);
	EQ(rmp(vm_spa(snp()->vm, gpa)).validated, 0);
}
/*
 * A page that is validated anew is VMPL 0's alone, and no VMSA. The APM says so
 * of RMPUPDATE; that it holds when the guest itself takes validation back and
 * gives it again is this emulator's reading.
 */
TEST("pvalidate.resets_permissions")
{
	u64 gpa = fresh();
	struct result r;

	OK(DO(snp(), G_PVALIDATE, gpa, 0, 1));
	OK(DO(snp(), G_RMPADJUST, gpa, 0, BIT(16) | 0xf00 | 1));
	r = run(snp(), G_RMPQUERY, gpa, 1, 0);
	OK(done(__LINE__, "RMPQUERY", r));
	EQ(r.more[0], BIT(16) | 0xf00 | 1);
	OK(DO(snp(), G_PVALIDATE, gpa, 0, 0));
	OK(DO(snp(), G_PVALIDATE, gpa, 0, 1));
	r = run(snp(), G_RMPQUERY, gpa, 1, 0);
	OK(done(__LINE__, "RMPQUERY", r));
	EQ(r.more[0], 1);
}
/* RMPUPDATE takes back what the guest said of the page: it sees that it was moved. */
TEST("pvalidate.rmpupdate_clears")
{
	u64 gpa = fresh(), pa = vm_spa(snp()->vm, gpa);

	OK(DO(snp(), G_PVALIDATE, gpa, 0, 1));
	OK(rmpupdate(pa, GUEST(snp()->vm->asid, gpa)));
	EQ(rmp(pa).validated, 0);
	GUEST_FAULTS(run1(snp(), G_READ, gpa), VC, NOT_VALIDATED);
}
TEST("pvalidate.other_page_behind_gpa")
{
	u64 gpa = fresh();

	OK(DO(snp(), G_PVALIDATE, gpa, 0, 1));
	DO(snp(), G_WRITE, gpa, 1, 0);
	vm_give(snp()->vm, gpa);
	GUEST_FAULTS(run1(snp(), G_READ, gpa), VC, NOT_VALIDATED);
}
/*
 * FAIL_INPUT is for 2 MiB pages that are not aligned. Of one of 4 KiB, the APM
 * names no alignment, and any address in it names the page.
 */
TEST("pvalidate.address_inside_page")
{
	u64 gpa = fresh();
	struct result r = PVALIDATE(snp(), gpa + 0x123, 0, 1);

	OK(done(__LINE__, "PVALIDATE", r));
	EQ(r.carry, 0);
	EQ(rmp(vm_spa(snp()->vm, gpa)).validated, 1);
	DO(snp(), G_WRITE, gpa, 1, 0);
	OK(DO(snp(), G_PVALIDATE, gpa + PAGE - 1, 0, 0));
	EQ(rmp(vm_spa(snp()->vm, gpa)).validated, 0);
}
/* Its neighbour is another page, even if an access there would touch both. */
TEST("pvalidate.address_at_end_of_page")
{
	u64 gpa = fresh(), next = fresh();

	EQ(next, gpa + PAGE);
	OK(DO(snp(), G_PVALIDATE, gpa + PAGE - 1, 0, 1));
	EQ(rmp(vm_spa(snp()->vm, gpa)).validated, 1);
	EQ(rmp(vm_spa(snp()->vm, next)).validated, 0);
}
TEST("pvalidate.input.2m_not_aligned")
{
	struct result r;

	vm_give_large(snp()->vm, G_LARGE);
	r = PVALIDATE(snp(), G_LARGE + PAGE, 1, 1);
	EQ(r.value, FAIL_INPUT);
	EQ(r.flags & BIT(6), 0);
}
TEST("pvalidate.input.size")
{
	u64 pa = vm_give_large(snp()->vm, G_LARGE);

	EQ(DO(snp(), G_PVALIDATE, G_LARGE, 2, 1), FAIL_INPUT);
	EQ(DO(snp(), G_PVALIDATE, fresh(), 2, 1), FAIL_INPUT);
	EQ(rmp(pa).validated, 0);
}
TEST("pvalidate.2m")
{
	u64 pa = vm_give_large(snp()->vm, G_LARGE);
	struct result r = PVALIDATE(snp(), G_LARGE, 1, 1);

	OK(r.value);
	EQ(r.carry, 0);
	for (u64 i = 0; i < 512; i++)
		EQ(rmp(pa + i * PAGE).validated, 1);
	DO(snp(), G_WRITE, G_LARGE, 7, 0);
	DO(snp(), G_WRITE, G_LARGE + LARGE - 8, 7, 0);
	EQ(PVALIDATE(snp(), G_LARGE, 1, 1).carry, 1);
	OK(PVALIDATE(snp(), G_LARGE, 1, 0).value);
	GUEST_FAULTS(run1(snp(), G_READ, G_LARGE + LARGE - 8), VC, NOT_VALIDATED);
}
/* The host must smash the page: the guest cannot have a part of it validated. */
TEST("pvalidate.4k_of_2m_entry")
{
	u64 pa = vm_give_large(snp()->vm, G_LARGE);
	struct result r = PVALIDATE(snp(), G_LARGE_BY_4K + 5 * PAGE, 0, 1);

	EQ(r.exit, EXIT_NPF);
	EQ(r.info1 & (PF_RMP | NPF_SIZEM | NPF_ENC), PF_RMP | NPF_SIZEM | NPF_ENC);
	EQ(r.info2 & -PAGE, G_LARGE + 5 * PAGE);
	OK(psmash(pa));
	for (u64 i = 0; i < 512; i++)
		vm_map(snp()->vm, G_LARGE + i * PAGE, pa + i * PAGE, 0);
	r = resume(snp());
	OK(done(__LINE__, "PVALIDATE after PSMASH", r));
	EQ(r.carry, 0);
	EQ(rmp(pa + 5 * PAGE).validated, 1);
	EQ(rmp(pa + 4 * PAGE).validated, 0);
	EQ(rmp(pa + 6 * PAGE).validated, 0);
}
TEST("pvalidate.psmash_keeps_validated")
{
	u64 pa = vm_give_large(snp()->vm, G_LARGE);

	OK(DO(snp(), G_PVALIDATE, G_LARGE, 1, 1));
	DO(snp(), G_WRITE, G_LARGE + 9 * PAGE, 0x99, 0);
	OK(psmash(pa));
	for (u64 i = 0; i < 512; i++) {
		EQ(rmp(pa + i * PAGE).validated, 1);
		vm_map(snp()->vm, G_LARGE + i * PAGE, pa + i * PAGE, 0);
	}
	EQ(DO(snp(), G_READ, G_LARGE_BY_4K + 9 * PAGE, 0, 0), 0x99);
}
TEST("pvalidate.sizemismatch.2m_of_4k_entries")
{
	u64 pa = alloc_large();

	for (u64 i = 0; i < 512; i++) {
		OK(rmpupdate(pa + i * PAGE, GUEST(snp()->vm->asid, G_LARGE + i * PAGE)));
		vm_map(snp()->vm, G_LARGE + i * PAGE, pa + i * PAGE, 0);
	}
	EQ(DO(snp(), G_PVALIDATE, G_LARGE, 1, 1), FAIL_SIZEMISMATCH);
	EQ(rmp(pa).validated, 0);
}
/* The same, but the host maps them in one piece */
TEST("pvalidate.sizemismatch.4k_entries_mapped_by_2m")
{
	u64 pa = alloc_large();

	for (u64 i = 0; i < 512; i++)
		OK(rmpupdate(pa + i * PAGE, GUEST(snp()->vm->asid, G_LARGE + i * PAGE)));
	vm_map(snp()->vm, G_LARGE, pa, 1);
	EQ(DO(snp(), G_PVALIDATE, G_LARGE, 1, 1), FAIL_SIZEMISMATCH);
	EQ(rmp(pa).validated, 0);
}
/* And the other way round */
TEST("pvalidate.sizemismatch.2m_entry_mapped_by_4k")
{
	u64 pa = vm_give_large(snp()->vm, G_LARGE);

	for (u64 i = 0; i < 512; i++)
		vm_map(snp()->vm, G_LARGE + i * PAGE, pa + i * PAGE, 0);
	EQ(DO(snp(), G_PVALIDATE, G_LARGE, 1, 1), FAIL_SIZEMISMATCH);
	EQ(rmp(pa).validated, 0);
}
/* A page that is not this guest's is the host's affair */
TEST("pvalidate.npf.hypervisor_page")
{
	u64 gpa = next_gpa();
	struct result r;

	vm_share(snp()->vm, gpa);
	r = PVALIDATE(snp(), gpa, 0, 1);
	EQ(r.exit, EXIT_NPF);
	EQ(r.info1 & (PF_RMP | NPF_ENC), PF_RMP | NPF_ENC);
	EQ(r.info2 & -PAGE, gpa);
}
/* Nor may it validate what is another's, or elsewhere, or still the firmware's */
static void not_its_own(struct rmp_state state)
{
	u64 gpa = next_gpa(), pa = alloc_page();
	struct result r;

	snp();
	if (state.gpa == 0)
		state.gpa = gpa;
	OK(rmpupdate(pa, state));
	vm_map(snp()->vm, gpa, pa, 0);
	r = PVALIDATE(snp(), gpa, 0, 1);
	EQ(r.exit, EXIT_NPF);
	EQ(r.info1 & (PF_RMP | NPF_ENC), PF_RMP | NPF_ENC);
	EQ(r.info2 & -PAGE, gpa);
	EQ(rmp(pa).validated, 0);
}
TEST("pvalidate.npf.page_of_other_asid") { not_its_own(GUEST(snp()->vm->asid + 1, 0)); }
TEST("pvalidate.npf.page_of_other_gpa") { not_its_own(GUEST(snp()->vm->asid, G_TEST_SHARED)); }
TEST("pvalidate.npf.immutable")
{
	not_its_own(STATE(.assigned = 1, .immutable = 1, .asid = snp()->vm->asid));
}
TEST("pvalidate.npf.not_mapped")
{
	u64 gpa = next_gpa();
	struct result r = PVALIDATE(snp(), gpa, 0, 1);

	EQ(r.exit, EXIT_NPF);
	EQ(r.info1 & (PF_RMP | PF_P), 0);
	EQ(r.info2 & -PAGE, gpa);
}
TEST("pvalidate.pf.guest_page_table") { GUEST_FAULTS(run(snp(), G_PVALIDATE, 1UL << 40, 0, 1), PF, -1UL); }
