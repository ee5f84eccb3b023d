// SPDX-License-Identifier: GPL-2.0-or-later
/* RMPADJUST, RMPQUERY and what a VMPL may do. APM volume 3; volume 2, 15.36.7 and 15.36.8. */
#include "vm.h"

#define R	1
#define W	2
#define UX	4
#define SX	8
#define ATTR(vmpl, perms)	((u64)(vmpl) | (perms) << 8)
#define VMSA	BIT(16)

static struct vp *snp(void)
{
	return vm_start(SNP);
}

static u64 next_gpa(void)
{
	static u64 gpa = G_TEST;

	gpa += PAGE;
	return gpa;
}

/* A validated page; its GPA */
static u64 valid(void)
{
	u64 gpa = next_gpa();

	vm_private(snp(), gpa);
	return gpa;
}

/* The processor at VMPL 1, once VMPL 0 has let it at the program and the tables */
static struct vp *lower(void)
{
	static struct vp *vp;
	extern u8 guest_start[], guest_end[];

	if (!vp) {
		for (u64 p = (u64)guest_start; p < (u64)guest_end; p += PAGE)
			OK(DO(snp(), G_RMPADJUST, p, 0, ATTR(1, R | W | UX | SX)));
		for (u64 i = 0; i < 8; i++)
			OK(DO(snp(), G_RMPADJUST, G_TABLES + i * PAGE, 0, ATTR(1, R | W)));
		vp = vp_new(snp(), 1, G_TEST);
	}
	return vp;
}

TEST("rmpadjust.ud_in_host")
{
	snp_enable();
	FAULTS(asm volatile(".byte 0xf3, 0x0f, 0x01, 0xfe" :: "a"(0), "c"(0), "d"(0) : "memory", "cc"), UD, 0);
}
TEST("rmpquery.ud_in_host")
{
	FAULTS(asm volatile(".byte 0xf3, 0x0f, 0x01, 0xfd" :: "a"(0), "c"(0), "d"(0) : "memory", "cc"), UD, 0);
}
TEST("rmpadjust.ok") { OK(DO(snp(), G_RMPADJUST, valid(), 0, ATTR(1, R | W))); }
TEST("rmpadjust.flags") { TRUE(run(snp(), G_RMPADJUST, valid(), 0, ATTR(1, R)).flags & BIT(6)); }
TEST("rmpquery.permission.own_vmpl") { EQ(DO(snp(), G_RMPQUERY, valid(), 0, 0), FAIL_PERMISSION); }
TEST("rmpquery.others_have_none")
{
	u64 gpa = valid();

	for (u64 vmpl = 1; vmpl < 4; vmpl++) {
		struct result r = run(snp(), G_RMPQUERY, gpa, vmpl, 0);

		OK(done(__LINE__, "RMPQUERY", r));
		EQ(r.more[0] >> 8 & 0xff, 0);
		EQ(r.more[0] & VMSA, 0);
		EQ(r.more[1] & 1, 0);
	}
}
TEST("rmpquery.shows_what_rmpadjust_set")
{
	u64 gpa = valid();

	for (u64 perms = 0; perms < 16; perms++) {
		/* Whoever may write or execute may read */
		if (perms && !(perms & R))
			continue;
		OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(2, perms)));
		EQ(run(snp(), G_RMPQUERY, gpa, 2, 0).more[0] >> 8 & 0xff, perms);
		EQ(run(snp(), G_RMPQUERY, gpa, 1, 0).more[0] >> 8 & 0xff, 0);
		EQ(run(snp(), G_RMPQUERY, gpa, 3, 0).more[0] >> 8 & 0xff, 0);
	}
}
TEST("rmpquery.2m")
{
	struct result r;

	vm_give_large(snp()->vm, G_LARGE);
	OK(DO(snp(), G_PVALIDATE, G_LARGE, 1, 1));
	r = run(snp(), G_RMPQUERY, G_LARGE, 1, 0);
	OK(done(__LINE__, "RMPQUERY", r));
	EQ(r.more[1] & 1, 1);
}
TEST("rmpadjust.vmsa")
{
	u64 gpa = valid();

	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, 0) | VMSA));
	EQ(rmp(vm_spa(snp()->vm, gpa)).vmsa, 1);
	TRUE(run(snp(), G_RMPQUERY, gpa, 1, 0).more[0] & VMSA);
	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, 0)));
	EQ(rmp(vm_spa(snp()->vm, gpa)).vmsa, 0);
}
/* As with PVALIDATE, any address in a page of 4 KiB names it. */
TEST("rmpadjust.address_inside_page")
{
	u64 gpa = valid();

	OK(DO(snp(), G_RMPADJUST, gpa + 0x123, 0, ATTR(1, R | W)));
	EQ(run(snp(), G_RMPQUERY, gpa, 1, 0).more[0] >> 8 & 0xff, R | W);
	OK(DO(snp(), G_RMPADJUST, gpa + PAGE - 1, 0, ATTR(1, R)));
	EQ(run(snp(), G_RMPQUERY, gpa, 1, 0).more[0] >> 8 & 0xff, R);
}
TEST("rmpadjust.address_at_end_of_page")
{
	u64 gpa = valid(), next = valid();

	EQ(next, gpa + PAGE);
	OK(DO(snp(), G_RMPADJUST, gpa + PAGE - 1, 0, ATTR(1, R)));
	EQ(run(snp(), G_RMPQUERY, next, 1, 0).more[0] >> 8 & 0xff, 0);
}
TEST("rmpquery.address_inside_page")
{
	u64 gpa = valid();

	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R)));
	EQ(run(snp(), G_RMPQUERY, gpa + 0xfff, 1, 0).more[0] >> 8 & 0xff, R);
}
TEST("rmpadjust.input.size")
{
	vm_give_large(snp()->vm, G_LARGE);
	OK(DO(snp(), G_PVALIDATE, G_LARGE, 1, 1));
	EQ(DO(snp(), G_RMPADJUST, G_LARGE, 2, ATTR(1, R)), FAIL_INPUT);
}
TEST("rmpadjust.input.reserved_attribute")
{
	EQ(DO(snp(), G_RMPADJUST, valid(), 0, ATTR(1, R) | BIT(17)), FAIL_INPUT);
}
TEST("rmpadjust.input.reserved_permission")
{
	EQ(DO(snp(), G_RMPADJUST, valid(), 0, ATTR(1, R | 0x10)), FAIL_INPUT);
}
TEST("rmpadjust.input.vmsa_of_2m")
{
	vm_give_large(snp()->vm, G_LARGE);
	OK(DO(snp(), G_PVALIDATE, G_LARGE, 1, 1));
	EQ(DO(snp(), G_RMPADJUST, G_LARGE, 1, ATTR(1, 0) | VMSA), FAIL_INPUT);
}
TEST("rmpquery.input.vmpl_4") { EQ(DO(snp(), G_RMPQUERY, valid(), 4, 0), FAIL_INPUT); }
TEST("rmpquery.input.reserved") { EQ(DO(snp(), G_RMPQUERY, valid(), 0x100 | 1, 0), FAIL_INPUT); }
TEST("rmpadjust.input.vmpl_4") { EQ(DO(snp(), G_RMPADJUST, valid(), 0, ATTR(4, R)), FAIL_INPUT); }
TEST("rmpadjust.input.2m_not_aligned")
{
	vm_give_large(snp()->vm, G_LARGE);
	OK(DO(snp(), G_PVALIDATE, G_LARGE, 1, 1));
	EQ(DO(snp(), G_RMPADJUST, G_LARGE + PAGE, 1, ATTR(1, R)), FAIL_INPUT);
}
TEST("rmpadjust.permission.own_vmpl") { EQ(DO(snp(), G_RMPADJUST, valid(), 0, ATTR(0, R)), FAIL_PERMISSION); }
TEST("rmpadjust.2m")
{
	vm_give_large(snp()->vm, G_LARGE);
	OK(DO(snp(), G_PVALIDATE, G_LARGE, 1, 1));
	OK(DO(snp(), G_RMPADJUST, G_LARGE, 1, ATTR(1, R)));
}
TEST("rmpadjust.sizemismatch.2m_of_4k_entries")
{
	u64 pa = alloc_large();

	for (u64 i = 0; i < 512; i++) {
		OK(rmpupdate(pa + i * PAGE, GUEST(snp()->vm->asid, G_LARGE + i * PAGE)));
		vm_map(snp()->vm, G_LARGE + i * PAGE, pa + i * PAGE, 0);
	}
	OK(DO(snp(), G_PVALIDATE, G_LARGE_BY_4K, 0, 1));
	EQ(DO(snp(), G_RMPADJUST, G_LARGE, 1, ATTR(1, R)), FAIL_SIZEMISMATCH);
	vm_map(snp()->vm, G_LARGE, pa, 1);
	EQ(DO(snp(), G_RMPADJUST, G_LARGE, 1, ATTR(1, R)), FAIL_SIZEMISMATCH);
}
TEST("rmpadjust.2m_is_for_all_of_it")
{
	vm_give_large(snp()->vm, G_LARGE);
	OK(DO(snp(), G_PVALIDATE, G_LARGE, 1, 1));
	OK(DO(snp(), G_RMPADJUST, G_LARGE, 1, ATTR(1, R)));
	EQ(run(snp(), G_RMPQUERY, G_LARGE + 300 * PAGE, 1, 0).more[0] >> 8 & 0xff, R);
	EQ(run(snp(), G_RMPQUERY, G_LARGE + LARGE - PAGE, 1, 0).more[0] >> 8 & 0xff, R);
}
/* What a processor may load its state from not even VMPL 0 writes, from then on. */
TEST("rmpadjust.vmsa_is_not_writable")
{
	u64 gpa = valid();

	NPF(run2(snp(), G_MAKE_VMSA, gpa, ATTR(1, 0) | VMSA), gpa,
	    NPF_WRITE | PF_RMP | NPF_ENC | NPF_VMPL);
	EQ(rmp(vm_spa(snp()->vm, gpa)).vmsa, 1);
	EQ(DO(snp(), G_READ_BYTE, gpa, 0, 0), 1);
}
TEST("rmpadjust.4k_of_2m_entry")
{
	u64 pa = vm_give_large(snp()->vm, G_LARGE);
	struct result r;

	OK(DO(snp(), G_PVALIDATE, G_LARGE, 1, 1));
	r = run(snp(), G_RMPADJUST, G_LARGE_BY_4K + 5 * PAGE, 0, ATTR(1, R));
	EQ(r.exit, EXIT_NPF);
	EQ(r.info1 & (PF_RMP | NPF_SIZEM), PF_RMP | NPF_SIZEM);
	OK(psmash(pa));
	for (u64 i = 0; i < 512; i++)
		vm_map(snp()->vm, G_LARGE + i * PAGE, pa + i * PAGE, 0);
	OK(done(__LINE__, "RMPADJUST after PSMASH", resume(snp())));
}
TEST("rmpadjust.not_validated")
{
	u64 gpa = next_gpa();

	vm_give(snp()->vm, gpa);
	GUEST_FAULTS(run(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R)), VC, 0x404);
}
TEST("rmpadjust.npf.hypervisor_page")
{
	u64 gpa = next_gpa();
	struct result r;

	vm_share(snp()->vm, gpa);
	r = run(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R));
	EQ(r.exit, EXIT_NPF);
	EQ(r.info1 & (PF_RMP | NPF_ENC), PF_RMP | NPF_ENC);
}
TEST("rmpadjust.pf.guest_page_table") { GUEST_FAULTS(run(snp(), G_RMPADJUST, 1UL << 40, 0, ATTR(1, R)), PF, -1UL); }

/* What firmware gives at launch, RMPADJUST need not give again. */
TEST("vmpl.permissions_of_launch")
{
	struct vm *vm = vm_new(SNP);
	struct snp_launch_update update = { .type = PAGE_UNMEASURED, .vmpl1 = R | W, .vmpl3 = R };
	struct vp *vp;

	vm_launch_start(vm, POLICY);
	update.gctx = vm->gctx;
	update.address = alloc_page();
	OK(rmpupdate(update.address, STATE(.assigned = 1, .immutable = 1, .asid = vm->asid,
					   .gpa = G_TEST)));
	OK(psp_command(SNP_LAUNCH_UPDATE, &update, sizeof(update)));
	vm_map(vm, G_TEST, update.address, 0);
	vp = vm_launch_finish(vm);
	EQ(vp_run(vp), EXIT_VMGEXIT);
	EQ(run(vp, G_RMPQUERY, G_TEST, 1, 0).more[0] >> 8 & 0xff, R | W);
	EQ(run(vp, G_RMPQUERY, G_TEST, 2, 0).more[0] >> 8 & 0xff, 0);
	EQ(run(vp, G_RMPQUERY, G_TEST, 3, 0).more[0] >> 8 & 0xff, R);
}
TEST("vmpl.runs_at_1") { lower(); }
TEST("vmpl.read_denied")
{
	u64 gpa = valid();

	NPF(run1(lower(), G_READ, gpa), gpa, NPF_READ | PF_RMP | NPF_ENC | NPF_VMPL);
}
TEST("vmpl.read_allowed")
{
	u64 gpa = valid();

	DO(snp(), G_WRITE, gpa, 0x77, 0);
	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R)));
	EQ(DO(lower(), G_READ, gpa, 0, 0), 0x77);
}
TEST("vmpl.write_denied")
{
	u64 gpa = valid();

	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R)));
	NPF(run2(lower(), G_WRITE, gpa, 1), gpa, NPF_WRITE | PF_RMP | NPF_ENC | NPF_VMPL);
	EQ(DO(snp(), G_READ, gpa, 0, 0) == 1, 0);
}
/* What a read has brought into the TLB is for reading, though the tables say dirty. */
TEST("vmpl.write_denied_after_read")
{
	u64 gpa = valid();

	DO(snp(), G_WRITE, gpa, 0, 0);
	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R)));
	NPF(run2(lower(), G_READ_WRITE, gpa, 1), gpa, NPF_WRITE | PF_RMP | NPF_ENC | NPF_VMPL);
}
TEST("vmpl.fetch_denied_after_read")
{
	u64 gpa = valid();

	DO(snp(), G_FILL, gpa, 0xc3, 16);
	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R | W)));
	NPF(run1(lower(), G_READ_CALL, gpa), gpa, NPF_FETCH | PF_RMP | NPF_ENC | NPF_VMPL);
}
TEST("vmpl.write_allowed")
{
	u64 gpa = valid();

	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R | W)));
	DO(lower(), G_WRITE, gpa, 0x55, 0);
	EQ(DO(snp(), G_READ, gpa, 0, 0), 0x55);
}
TEST("vmpl.fetch_denied")
{
	u64 gpa = valid();

	DO(snp(), G_FILL, gpa, 0xc3, 16);
	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R | W)));
	NPF(run1(lower(), G_CALL, gpa), gpa, NPF_FETCH | PF_RMP | NPF_ENC | NPF_VMPL);
}
TEST("vmpl.fetch_denied_by_user_only")
{
	u64 gpa = valid();

	DO(snp(), G_FILL, gpa, 0xc3, 16);
	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R | UX)));
	NPF(run1(lower(), G_CALL, gpa), gpa, NPF_FETCH | PF_RMP | NPF_ENC | NPF_VMPL);
}
TEST("vmpl.fetch_allowed")
{
	u64 gpa = valid();

	DO(snp(), G_FILL, gpa, 0xc3, 16);
	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R | SX)));
	DO(lower(), G_CALL, gpa, 0, 0);
}
/* Permissions that are taken away are gone at once, also those that were used before. */
TEST("vmpl.permission_taken_away")
{
	u64 gpa = valid();

	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R | W)));
	DO(lower(), G_WRITE, gpa, 1, 0);
	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R)));
	NPF(run2(lower(), G_WRITE, gpa, 2), gpa, NPF_WRITE | PF_RMP | NPF_ENC | NPF_VMPL);
}
TEST("vmpl.resumes_after_permission")
{
	u64 gpa = valid();

	NPF(run2(lower(), G_WRITE, gpa, 3), gpa, NPF_WRITE | PF_RMP | NPF_ENC | NPF_VMPL);
	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R | W)));
	done(__LINE__, "the write, again", resume(lower()));
	EQ(DO(snp(), G_READ, gpa, 0, 0), 3);
}
TEST("vmpl.rmpadjust.permission_of_higher") { EQ(DO(lower(), G_RMPADJUST, valid(), 0, ATTR(0, R)), FAIL_PERMISSION); }
TEST("vmpl.rmpadjust.permission_of_own") { EQ(DO(lower(), G_RMPADJUST, valid(), 0, ATTR(1, R)), FAIL_PERMISSION); }
TEST("vmpl.rmpadjust.more_than_own")
{
	u64 gpa = valid();

	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R)));
	EQ(DO(lower(), G_RMPADJUST, gpa, 0, ATTR(2, R | W)), FAIL_PERMISSION);
	OK(DO(lower(), G_RMPADJUST, gpa, 0, ATTR(2, R)));
}
TEST("vmpl.rmpadjust.vmsa_only_by_vmpl0")
{
	u64 gpa = valid();

	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R | W)));
	run(lower(), G_RMPADJUST, gpa, 0, ATTR(2, R) | VMSA);
	EQ(rmp(vm_spa(snp()->vm, gpa)).vmsa, 0);
}
TEST("vmpl.rmpadjust.vmsa_stays")
{
	u64 gpa = valid();

	OK(DO(snp(), G_RMPADJUST, gpa, 0, ATTR(1, R) | VMSA));
	OK(DO(lower(), G_RMPADJUST, gpa, 0, ATTR(2, R)));
	EQ(rmp(vm_spa(snp()->vm, gpa)).vmsa, 1);
}
/* Validating is for VMPL 0 alone. */
TEST("vmpl.pvalidate")
{
	u64 gpa = next_gpa();

	vm_give(snp()->vm, gpa);
	GUEST_FAULTS(run(lower(), G_PVALIDATE, gpa, 0, 1), GP, 0);
	EQ(rmp(vm_spa(snp()->vm, gpa)).validated, 0);
}
TEST("vmpl.rmpquery.permission_of_own")
{
	EQ(DO(lower(), G_RMPQUERY, valid(), 1, 0), FAIL_PERMISSION);
}
/* While a processor runs, its VMSA stays what it is. */
static void run_lower(void *vp) { vp_run(vp); }
TEST("vmpl.rmpadjust.inuse")
{
	struct vp *vp = lower();
	u64 spinning = valid(), gpa = G_TEST;
	volatile struct command *m = vp->command;
	struct result r;

	EQ(vm_spa(vp->vm, gpa), vp->vmsa);
	OK(DO(snp(), G_RMPADJUST, spinning, 0, ATTR(1, R | W)));
	DO(vp, G_NOTHING, 0, 0, 0);
	*m = (struct command){ .op = G_SPIN, .arg = { spinning }, .done = m->done };
	ap_run(run_lower, vp);
	while (m->counter < 10 && !ap_done())
		pause();
	r = run(snp(), G_RMPADJUST, gpa, 0, ATTR(1, 0));
	m->stop = 1;
	ap_wait();
	EQ(vp->cpu.vmcb->control.exit_code, EXIT_VMGEXIT);
	EQ(done(__LINE__, "RMPADJUST", r), FAIL_INUSE);
	EQ(rmp(vp->vmsa).vmsa, 1);
}
TEST("vmpl.shared_pages_need_no_permission")
{
	u64 gpa = next_gpa(), pa = vm_share(snp()->vm, gpa);

	wr64(pa, 0x4242);
	EQ(DO(lower(), G_READ, gpa - G_TEST + G_TEST_SHARED, 0, 0), 0x4242);
}
