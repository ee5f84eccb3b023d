// SPDX-License-Identifier: GPL-2.0-or-later
/* SNP guests: each access and the reverse map table. APM volume 2, 15.36.9 and 15.36.10; 15.36.2 for VMRUN. */
#include "vm.h"

#define GHCB_MSR	0xc0010130
#define SEV_STATUS	0xc0010131
#define NOT_VALIDATED	0x404

static struct vp *snp(void) { return vm_start(SNP); }

static u64 next_gpa(void)
{
	static u64 gpa = G_TEST;

	gpa += PAGE;
	return gpa;
}
#define SHARED(gpa)	((gpa) - G_TEST + G_TEST_SHARED)

TEST("guest.snp.runs") { snp(); }
TEST("guest.snp.status_msr") { EQ(DO(snp(), G_RDMSR, SEV_STATUS, 0, 0) & 7, 7); }
/* These are intercepted whatever the VMCB says: 15.36.12 */
TEST("guest.snp.vc.cpuid") { GUEST_FAULTS(run0(snp(), G_CPUID), VC, 0x72); }
TEST("guest.snp.vc.in") { GUEST_FAULTS(run1(snp(), G_IN, 0x80), VC, 0x7b); }
TEST("guest.snp.vc.out") { GUEST_FAULTS(run2(snp(), G_OUT, 0x80, 0), VC, 0x7b); }
/* The table is the host's: a guest has no such instructions. */
TEST("guest.snp.ud.rmpupdate")
{
	u64 pa = alloc_page();

	GUEST_FAULTS(run2(snp(), G_RMPUPDATE, pa, G_EXCHANGE), UD, 0);
	GUEST_FAULTS(run2(vm_start(PLAIN), G_RMPUPDATE, pa, G_EXCHANGE), UD, 0);
}
TEST("guest.snp.ud.psmash")
{
	u64 pa = alloc_large();

	GUEST_FAULTS(run1(snp(), G_PSMASH, pa), UD, 0);
	GUEST_FAULTS(run1(vm_start(PLAIN), G_PSMASH, pa), UD, 0);
}
TEST("guest.snp.vmgexit_ghcb_msr")
{
	struct vmcb_control *c = &snp()->cpu.vmcb->control;

	EXITS(run1(snp(), G_GHCB, 0x004), EXIT_VMGEXIT, -1UL);
	EQ(c->ghcb, 0x004);
	c->ghcb = 0x1122334455667001;
	EQ(done(__LINE__, "the GHCB MSR after VMGEXIT", resume(snp())), 0x1122334455667001);
}

/* Private accesses */
TEST("guest.snp.private.valid_page")
{
	u64 gpa = next_gpa();

	vm_private(snp(), gpa);
	DO(snp(), G_WRITE, gpa, 0x1234, 0);
	EQ(DO(snp(), G_READ, gpa, 0, 0), 0x1234);
	EQ(DO(snp(), G_ADD_LOCKED, gpa, 1, 0), 0);
	EQ(DO(snp(), G_READ, gpa, 0, 0), 0x1235);
}
TEST("guest.snp.private.not_validated")
{
	u64 gpa = next_gpa();

	vm_give(snp()->vm, gpa);
	EQ(GUEST_FAULTS(run1(snp(), G_READ, gpa + 0x123), VC, NOT_VALIDATED).cr2, gpa + 0x123);
}
TEST("guest.snp.private.not_mapped")
{
	u64 gpa = next_gpa();

	NPF(run1(snp(), G_READ, gpa), gpa, PF_U | NPF_FINAL | NPF_ENC);
	vm_give(snp()->vm, gpa);
	GUEST_FAULTS(resume(snp()), VC, NOT_VALIDATED);
}
TEST("guest.snp.private.hypervisor_page_read")
{
	u64 gpa = next_gpa();

	vm_share(snp()->vm, gpa);
	NPF(run1(snp(), G_READ, gpa), gpa, NPF_READ | PF_RMP | NPF_ENC);
}
TEST("guest.snp.private.hypervisor_page_write")
{
	u64 gpa = next_gpa(), pa = vm_share(snp()->vm, gpa);

	NPF(run2(snp(), G_WRITE, gpa, 1), gpa, NPF_WRITE | PF_RMP | NPF_ENC);
	TRUE(all_bytes((void *)pa, 0, PAGE));
}
TEST("guest.snp.private.hypervisor_page_fetch")
{
	u64 gpa = next_gpa();

	vm_share(snp()->vm, gpa);
	NPF(run1(snp(), G_CALL, gpa), gpa, NPF_FETCH | PF_RMP | NPF_ENC);
}
TEST("guest.snp.private.resumes_when_given")
{
	u64 gpa = next_gpa(), pa = vm_share(snp()->vm, gpa);

	NPF(run2(snp(), G_WRITE, gpa, 1), gpa, NPF_WRITE | PF_RMP | NPF_ENC);
	OK(rmpupdate(pa, GUEST(snp()->vm->asid, gpa)));
	GUEST_FAULTS(resume(snp()), VC, NOT_VALIDATED);
}
TEST("guest.snp.private.page_of_other_asid")
{
	u64 gpa = next_gpa(), pa = vm_share(snp()->vm, gpa);

	OK(rmpupdate(pa, GUEST(snp()->vm->asid + 1, gpa)));
	NPF(run1(snp(), G_READ, gpa), gpa, NPF_READ | PF_RMP | NPF_ENC);
}
TEST("guest.snp.private.page_of_other_gpa")
{
	u64 gpa = next_gpa(), other = next_gpa(), pa = vm_private(snp(), gpa);

	DO(snp(), G_WRITE, gpa, 0x77, 0);
	vm_map(snp()->vm, other, pa, 0);
	NPF(run1(snp(), G_READ, other), other, NPF_READ | PF_RMP | NPF_ENC);
	EQ(DO(snp(), G_READ, gpa, 0, 0), 0x77);
}
TEST("guest.snp.private.two_pages_swapped")
{
	u64 gpa = next_gpa(), other = next_gpa();
	u64 p = vm_private(snp(), gpa), q = vm_private(snp(), other);

	vm_map(snp()->vm, gpa, q, 0);
	vm_map(snp()->vm, other, p, 0);
	NPF(run1(snp(), G_READ, gpa), gpa, NPF_READ | PF_RMP | NPF_ENC);
	NPF(run1(snp(), G_READ, other), other, NPF_READ | PF_RMP | NPF_ENC);
}
TEST("guest.snp.private.immutable")
{
	u64 gpa = next_gpa(), pa = vm_share(snp()->vm, gpa);

	OK(rmpupdate(pa, STATE(.assigned = 1, .immutable = 1, .asid = snp()->vm->asid, .gpa = gpa)));
	NPF(run1(snp(), G_READ, gpa), gpa, NPF_READ | PF_RMP | NPF_ENC);
}
TEST("guest.snp.private.firmware_page")
{
	u64 gpa = next_gpa(), pa = vm_share(snp()->vm, gpa);

	OK(rmpupdate(pa, FIRMWARE));
	NPF(run1(snp(), G_READ, gpa), gpa, NPF_READ | PF_RMP | NPF_ENC);
}
TEST("guest.snp.private.write_protected_in_npt")
{
	u64 gpa = next_gpa();

	vm_private(snp(), gpa);
	vm_protect(snp()->vm, gpa, PTE_P | PTE_U);
	DO(snp(), G_READ, gpa, 0, 0);
	NPF(run2(snp(), G_WRITE, gpa, 1), gpa, NPF_WRITE | NPF_ENC);
}
TEST("guest.snp.private.beyond_table")
{
	u64 gpa = next_gpa();

	vm_map(snp()->vm, gpa, 0xfed00000, 0);
	NPF(run1(snp(), G_READ, gpa), gpa, NPF_READ | PF_RMP | NPF_ENC);
}
TEST("guest.snp.private.at_cpl_3")
{
	u64 gpa = next_gpa();

	vm_private(snp(), gpa);
	/* Its own #UD comes after a read that went well */
	GUEST_FAULTS(run1(snp(), G_USER_READ, gpa), UD, 0);
	OK(DO(snp(), G_PVALIDATE, gpa, 0, 0));
	GUEST_FAULTS(run1(snp(), G_USER_READ, gpa), VC, NOT_VALIDATED);
}

/* Page tables are read with the same rules; the error code says that it was one. */
TEST("guest.snp.table.hypervisor_page")
{
	struct result r;

	vm_share(snp()->vm, G_TABLE_PAGE);
	r = run1(snp(), G_READ, G_OWN_TABLE);
	EQ(r.exit, EXIT_NPF);
	EQ(r.info1 & (PF_P | PF_RMP | NPF_ENC | NPF_TABLE | NPF_FINAL), PF_P | PF_RMP | NPF_ENC | NPF_TABLE);
	EQ(r.info2 & -PAGE, G_TABLE_PAGE);
}
TEST("guest.snp.table.not_validated")
{
	vm_give(snp()->vm, G_TABLE_PAGE);
	GUEST_FAULTS(run1(snp(), G_READ, G_OWN_TABLE), VC, NOT_VALIDATED);
}
TEST("guest.snp.table.valid_page")
{
	u64 gpa = next_gpa();

	vm_private(snp(), G_TABLE_PAGE);
	vm_private(snp(), gpa);
	DO(snp(), G_FILL, G_TABLE_PAGE, 0, PAGE);
	DO(snp(), G_WRITE, G_TABLE_PAGE, gpa | PTE_RWU | PTE_C, 0);
	DO(snp(), G_WRITE, gpa, 0x4321, 0);
	EQ(DO(snp(), G_READ, G_OWN_TABLE, 0, 0), 0x4321);
}

/* Shared accesses */
TEST("guest.snp.shared.hypervisor_page")
{
	u64 gpa = next_gpa(), pa = vm_share(snp()->vm, gpa);

	DO(snp(), G_WRITE, SHARED(gpa), 0x1234, 0);
	EQ(rd64(pa), 0x1234);
	wr64(pa, 0x4321);
	EQ(DO(snp(), G_READ, SHARED(gpa), 0, 0), 0x4321);
}
TEST("guest.snp.shared.not_mapped")
{
	u64 gpa = next_gpa();

	NPF(run1(snp(), G_READ, SHARED(gpa)), gpa, PF_U | NPF_FINAL);
}
TEST("guest.snp.shared.own_private_page_write")
{
	u64 gpa = next_gpa();

	vm_private(snp(), gpa);
	DO(snp(), G_WRITE, gpa, 5, 0);
	NPF(run2(snp(), G_WRITE, SHARED(gpa), 1), gpa, NPF_WRITE | PF_RMP);
	EQ(DO(snp(), G_READ, gpa, 0, 0), 5);
}
TEST("guest.snp.shared.firmware_page_write")
{
	u64 gpa = next_gpa(), pa = vm_share(snp()->vm, gpa);

	OK(rmpupdate(pa, FIRMWARE));
	NPF(run2(snp(), G_WRITE, SHARED(gpa), 1), gpa, NPF_WRITE | PF_RMP);
}
TEST("guest.snp.shared.conversion")
{
	u64 gpa = next_gpa(), pa = vm_private(snp(), gpa);

	DO(snp(), G_WRITE, gpa, 0x1111, 0);
	OK(DO(snp(), G_PVALIDATE, gpa, 0, 0));
	OK(rmpupdate(pa, HYPERVISOR));
	DO(snp(), G_WRITE, SHARED(gpa), 0x2222, 0);
	EQ(rd64(pa), 0x2222);
	OK(rmpupdate(pa, GUEST(snp()->vm->asid, gpa)));
	OK(DO(snp(), G_PVALIDATE, gpa, 0, 1));
	DO(snp(), G_WRITE, gpa, 0x3333, 0);
	EQ(DO(snp(), G_READ, gpa, 0, 0), 0x3333);
	NE(rd64(pa), 0x3333);
}

/* Code and page tables are private, whatever their C-bit says. */
TEST("guest.snp.shared.fetch_of_hypervisor_page")
{
	u64 gpa = next_gpa(), pa = vm_share(snp()->vm, gpa);

	memset((void *)pa, 0xc3, 16);
	NPF(run1(snp(), G_CALL, SHARED(gpa)), gpa, NPF_FETCH | PF_RMP | NPF_ENC);
}
/* Also where a read has just been. */
TEST("guest.snp.shared.fetch_after_read")
{
	u64 gpa = next_gpa(), pa = vm_share(snp()->vm, gpa);

	memset((void *)pa, 0xc3, 16);
	NPF(run1(snp(), G_READ_CALL, SHARED(gpa)), gpa, NPF_FETCH | PF_RMP | NPF_ENC);
}
TEST("guest.snp.shared.write_after_read_of_private_page")
{
	u64 gpa = next_gpa(), pa = vm_share(snp()->vm, gpa);

	/* All page tables know it as dirty: what keeps a write from it is the entry alone. */
	DO(snp(), G_WRITE, SHARED(gpa), 0, 0);
	OK(rmpupdate(pa, GUEST(snp()->vm->asid, gpa)));
	NPF(run2(snp(), G_READ_WRITE, SHARED(gpa), 1), gpa, NPF_WRITE | PF_RMP);
	EQ(rd64(pa), 0);
}
TEST("guest.snp.shared.fetch_of_private_page")
{
	u64 gpa = next_gpa();

	vm_private(snp(), gpa);
	DO(snp(), G_FILL, gpa, 0xc3, 16);
	DO(snp(), G_CALL, SHARED(gpa), 0, 0);
}

/* Sizes: the nested page tables' and the entry's must go together. */
TEST("guest.snp.size.2m_both")
{
	vm_give_large(snp()->vm, G_LARGE);
	OK(DO(snp(), G_PVALIDATE, G_LARGE, 1, 1));
	DO(snp(), G_WRITE, G_LARGE + 77 * PAGE, 0x77, 0);
	EQ(DO(snp(), G_READ, G_LARGE_BY_4K + 77 * PAGE, 0, 0), 0x77);
}
TEST("guest.snp.size.entry_larger_than_mapping")
{
	u64 pa = vm_give_large(snp()->vm, G_LARGE);
	struct result r;

	OK(DO(snp(), G_PVALIDATE, G_LARGE, 1, 1));
	vm_map(snp()->vm, G_LARGE + 5 * PAGE, pa + 5 * PAGE, 0);
	r = run1(snp(), G_READ, G_LARGE + 5 * PAGE);
	EQ(r.exit, EXIT_NPF);
	EQ(r.info1 & (PF_P | PF_RMP | NPF_ENC | NPF_FINAL), PF_P | PF_RMP | NPF_ENC | NPF_FINAL);
	EQ(r.info2 & -PAGE, G_LARGE + 5 * PAGE);
	OK(psmash(pa));
	done(__LINE__, "the read after PSMASH", resume(snp()));
}
/* What is wrong with the size comes before what is wrong with the validation. */
TEST("guest.snp.size.before_validation")
{
	u64 pa = vm_give_large(snp()->vm, G_LARGE);

	vm_map(snp()->vm, G_LARGE + 5 * PAGE, pa + 5 * PAGE, 0);
	NPF(run1(snp(), G_READ, G_LARGE + 5 * PAGE), G_LARGE + 5 * PAGE, NPF_READ | PF_RMP | NPF_ENC);
}
TEST("guest.snp.size.mapping_larger_than_entry")
{
	u64 pa = vm_give_large(snp()->vm, G_LARGE);
	struct result r;

	OK(DO(snp(), G_PVALIDATE, G_LARGE, 1, 1));
	DO(snp(), G_WRITE, G_LARGE + 5 * PAGE, 0x55, 0);
	OK(psmash(pa));
	r = run1(snp(), G_READ, G_LARGE + 5 * PAGE);
	EQ(r.exit, EXIT_NPF);
	EQ(r.info1 & (PF_P | PF_RMP | NPF_ENC | NPF_FINAL), PF_P | PF_RMP | NPF_ENC | NPF_FINAL);
	for (u64 i = 0; i < 512; i++)
		vm_map(snp()->vm, G_LARGE + i * PAGE, pa + i * PAGE, 0);
	EQ(done(__LINE__, "the read with small mappings", resume(snp())), 0x55);
}
TEST("guest.snp.size.shared_2m_with_private_page_in_it")
{
	u64 pa = alloc_large();

	vm_map(snp()->vm, G_LARGE, pa, 1);
	DO(snp(), G_WRITE, G_LARGE_SHARED, 1, 0);
	OK(rmpupdate(pa + 9 * PAGE, GUEST(snp()->vm->asid, G_LARGE + 9 * PAGE)));
	NPF(run2(snp(), G_WRITE, G_LARGE_SHARED, 2), G_LARGE, NPF_WRITE | PF_RMP);
}

/* What a guest's processor remembers ends with RMPUPDATE, whichever of the host's runs it. */
static void run_vp(void *vp) { vp_run(vp); }

/* On the second processor: writes there until the host tells it, or something else, to stop */
static void start_spinning(struct vp *vp, u64 va)
{
	volatile struct command *m = vp->command;

	*m = (struct command){ .op = G_SPIN, .arg = { va }, .done = m->done };
	ap_run(run_vp, vp);
	while (m->counter < 100 && !ap_done())
		pause();
}
/* Its next write ends it; if that does not, the test is not to hang for it. */
static void must_have_exited(struct vp *vp)
{
	for (u64 start = rdtsc(); !ap_done() && rdtsc() - start < 10 * GIGA;)
		pause();
	vp->command->stop = 1;
	ap_wait();
	vp->busy = true;
}

TEST("guest.snp.tlb.page_taken_from_running_guest")
{
	struct vp *vp = snp();
	u64 gpa = next_gpa(), pa = vm_private(vp, gpa), first;
	u32 r;

	DO(vp, G_WRITE, gpa, 0, 0);
	start_spinning(vp, gpa);
	r = rmpupdate(pa, HYPERVISOR);
	first = rd64(pa);
	must_have_exited(vp);
	OK(r);
	EQ(rd64(pa), first);
	EQ(vp->cpu.vmcb->control.exit_code, EXIT_NPF);
	EQ(vp->cpu.vmcb->control.exit_info1, NPF_WRITE | PF_RMP | NPF_ENC);
	EQ(vp->cpu.vmcb->control.exit_info2, gpa);
}
TEST("guest.snp.tlb.without_flush_by_host")
{
	u64 gpa = next_gpa(), pa = vm_private(snp(), gpa);

	snp()->cpu.vmcb->control.tlb_control = 0;
	for (int i = 0; i < 20; i++) {
		DO(snp(), G_WRITE, gpa, i, 0);
		OK(rmpupdate(pa, HYPERVISOR));
		NPF(run2(snp(), G_WRITE, gpa, 0xff), gpa, NPF_WRITE | PF_RMP | NPF_ENC);
		OK(rmpupdate(pa, GUEST(snp()->vm->asid, gpa)));
		OK(DO(snp(), G_PVALIDATE, gpa, 0, 1));
	}
	snp()->cpu.vmcb->control.tlb_control = 1;
}

/* So with PSMASH: a mapping of 2 MiB is too large for the entries that there are now. */
TEST("guest.snp.tlb.page_smashed_under_running_guest")
{
	struct vp *vp = snp();
	u64 pa = vm_give_large(vp->vm, G_LARGE);
	u32 r;

	OK(DO(vp, G_PVALIDATE, G_LARGE, 1, 1));
	DO(vp, G_WRITE, G_LARGE, 0, 0);
	start_spinning(vp, G_LARGE + 0x100);
	r = psmash(pa);
	must_have_exited(vp);
	OK(r);
	EQ(vp->cpu.vmcb->control.exit_code, EXIT_NPF);
	TRUE(vp->cpu.vmcb->control.exit_info1 & PF_RMP);
}

/* Pages in use by the processor */
TEST("guest.snp.inuse.vmsa_of_running_guest")
{
	struct vp *vp = snp();
	u64 gpa = next_gpa();
	volatile struct command *m = vp->command;
	u32 vmsa, vmcb;

	vm_private(vp, gpa);
	*m = (struct command){ .op = G_SPIN, .arg = { gpa }, .done = m->done };
	ap_run(run_vp, vp);
	while (m->counter < 10 && !ap_done())
		pause();
	vmsa = rmpupdate(vp->vmsa, HYPERVISOR);
	vmcb = rmpupdate((u64)vp->cpu.vmcb, GUEST(1, 0));
	m->stop = 1;
	ap_wait();
	EQ(vp->cpu.vmcb->control.exit_code, EXIT_VMGEXIT);
	EQ(vmsa, FAIL_INUSE);
	EQ(vmcb, FAIL_INUSE);
}
/* One VMSA runs on one processor */
TEST("guest.snp.inuse.vmrun_of_running_guest")
{
	struct vp *vp = snp();
	struct vcpu second = { .vmcb = (struct vmcb *)alloc_page() };
	u64 gpa = next_gpa(), exit;
	volatile struct command *m = vp->command;

	memcpy(second.vmcb, vp->cpu.vmcb, PAGE);
	vm_private(vp, gpa);
	*m = (struct command){ .op = G_SPIN, .arg = { gpa }, .done = m->done };
	ap_run(run_vp, vp);
	while (m->counter < 10 && !ap_done())
		pause();
	exit = svm_run(&second);
	m->stop = 1;
	ap_wait();
	EQ(exit, EXIT_INVALID);
	EQ(vp->cpu.vmcb->control.exit_code, EXIT_VMGEXIT);
}

/* VMRUN */
static u64 run_with_vmsa(u64 vmsa)
{
	struct vcpu v = { .vmcb = (struct vmcb *)alloc_page() };

	memcpy(v.vmcb, snp()->cpu.vmcb, PAGE);
	v.vmcb->control.vmsa = vmsa;
	v.vmcb->control.event_inject = 0;
	return svm_run(&v);
}
/* A page of the guest's with the state of a processor in it, but no VMSA yet */
static u64 state_page(u64 gpa, u64 features)
{
	struct vp *vp = snp();
	struct vmcb_save *s = (struct vmcb_save *)vm_spa(vp->vm, G_EXCHANGE);
	u64 pa = vm_private(vp, gpa);

	memset(s, 0, PAGE);
	long_mode(s, G_TABLES | PTE_C, G_COMMANDS, G_COMMANDS);
	s->sev_features = features;
	DO(vp, G_COPY, gpa, G_EXCHANGE, PAGE);
	return pa;
}
TEST("guest.snp.vmrun.vmsa_is_a_guest_page")
{
	EQ(run_with_vmsa(state_page(next_gpa(), SEV_FEATURE_SNP)), EXIT_INVALID);
}
TEST("guest.snp.vmrun.vmsa_of_other_asid")
{
	struct vcpu v = { .vmcb = (struct vmcb *)alloc_page() };

	memcpy(v.vmcb, snp()->cpu.vmcb, PAGE);
	v.vmcb->control.asid++;
	EQ(svm_run(&v), EXIT_INVALID);
}
TEST("guest.snp.vmrun.vmsa_taken_back")
{
	/* Another processor's, made by the guest and then unmade */
	u64 gpa = next_gpa(), pa = state_page(gpa, SEV_FEATURE_SNP);

	OK(DO(snp(), G_RMPADJUST, gpa, 0, BIT(16) | 1));
	OK(DO(snp(), G_RMPADJUST, gpa, 0, 1));
	EQ(run_with_vmsa(pa), EXIT_INVALID);
}
/* A VMSA of the guest's own making that asks for something */
static u64 run_with_features(u64 features)
{
	u64 gpa = next_gpa(), pa = state_page(gpa, features);

	OK(DO(snp(), G_RMPADJUST, gpa, 0, BIT(16) | 1));
	return run_with_vmsa(pa);
}
TEST("guest.snp.vmrun.features")
{
	/* Vouches for the state of the others: it gets as far as its first instruction. */
	EQ(run_with_features(SEV_FEATURE_SNP), EXIT_NPF);
	for (u64 bit = 1; bit < 64; bit++)
		if (bit < 16 || bit == 63)
			EQ(run_with_features(SEV_FEATURE_SNP | BIT(bit)), EXIT_INVALID);
}
TEST("guest.snp.vmrun.vmsa_without_snp_feature") { EQ(run_with_features(0), EXIT_INVALID); }
/* Without its key, that is after DECOMMISSION, a guest does not run. */
TEST("guest.snp.vmrun.decommissioned")
{
	struct vm *vm = vm_new(SNP);
	struct snp_address a;
	struct vp *vp;

	vm_launch_start(vm, POLICY);
	vp = vm_launch_finish(vm);
	EQ(vp_run(vp), EXIT_VMGEXIT);
	a.address = vm->gctx;
	OK(psp_command(SNP_DECOMMISSION, &a, sizeof(a)));
	EQ(vp_run(vp), EXIT_INVALID);
}
TEST("guest.snp.vmrun.vmcb_is_a_guest_page")
{
	struct vcpu v = { .vmcb = (struct vmcb *)alloc_page() };

	memcpy(v.vmcb, snp()->cpu.vmcb, PAGE);
	v.vmcb->control.exit_code = 0x1234;
	OK(rmpupdate((u64)v.vmcb, GUEST(1, 0)));
	FAULTS(svm_run(&v), GP, 0);
	/* It was VMRUN that did not want it, and not what comes after an exit. */
	EQ(v.vmcb->control.exit_code, 0x1234);
}
/* The page was the host's when the register was set. */
TEST("guest.snp.vmrun.hsave_is_a_guest_page")
{
	u64 old, pa = alloc_page();
	struct vp *vp = snp();
	u64 exit_code = vp->cpu.vmcb->control.exit_code = 0x1234;

	old = rdmsr(VM_HSAVE_PA);
	wrmsr(VM_HSAVE_PA, pa);
	OK(rmpupdate(pa, GUEST(1, 0)));
	CATCH(svm_run(&vp->cpu));
	EQ(this_cpu()->fault.vector, GP);
	wrmsr(VM_HSAVE_PA, old);
	EQ(vp->cpu.vmcb->control.exit_code, exit_code);
	TRUE(all_bytes((void *)pa, 0, PAGE));
}
TEST("guest.snp.vmrun.immutable_vmsa")
{
	u64 pa = alloc_page();

	OK(rmpupdate(pa, STATE(.assigned = 1, .immutable = 1, .asid = snp()->vm->asid, .gpa = 0x1000)));
	EQ(run_with_vmsa(pa), EXIT_INVALID);
}
TEST("guest.snp.hsave.guest_page")
{
	u64 old = rdmsr(VM_HSAVE_PA), pa = alloc_page();

	snp();
	OK(rmpupdate(pa, GUEST(1, 0)));
	FAULTS(wrmsr(VM_HSAVE_PA, pa), GP, 0);
	EQ(rdmsr(VM_HSAVE_PA), old);
}
TEST("guest.snp.vmsave.guest_page")
{
	u64 pa = alloc_page();

	snp();
	OK(rmpupdate(pa, GUEST(1, 0)));
	FAULTS(asm volatile("vmsave %%rax" :: "a"(pa) : "memory"), GP, 0);
	TRUE(all_bytes((void *)pa, 0, PAGE));
}
/* Guests that are not SNP-active write to the hypervisor's pages only, too. */
TEST("guest.plain.write_to_guest_page")
{
	struct vp *vp = vm_start(PLAIN);
	u64 gpa = next_gpa(), pa = vm_share(vp->vm, gpa);

	DO(vp, G_WRITE, gpa, 1, 0);
	OK(rmpupdate(pa, GUEST(1, 0)));
	NPF(run2(vp, G_WRITE, gpa, 2), gpa, NPF_WRITE | PF_RMP);
	EQ(rd64(pa), 1);
	EQ(DO(vp, G_READ, gpa, 0, 0), 1);
}
TEST("guest.plain.write_by_2m_mapping")
{
	struct vp *vp = vm_start(PLAIN);
	u64 pa = alloc_large();

	vm_map(vp->vm, G_LARGE, pa, 1);
	DO(vp, G_WRITE, G_LARGE, 1, 0);
	OK(rmpupdate(pa + 9 * PAGE, GUEST(1, 0)));
	NPF(run2(vp, G_WRITE, G_LARGE, 2), G_LARGE, NPF_WRITE | PF_RMP);
}
TEST("guest.es.vmsa_is_a_guest_page")
{
	struct vp *vp = (psp_snp_init(), vm_start(SEV_ES));
	u64 old = vp->vmsa, pa = alloc_page();

	OK(rmpupdate(pa, GUEST(vp->vm->asid, 0)));
	vp->cpu.vmcb->control.vmsa = pa;
	EQ(svm_run(&vp->cpu), EXIT_INVALID);
	vp->cpu.vmcb->control.vmsa = old;
	DO(vp, G_NOTHING, 0, 0, 0);
}
TEST("guest.snp.injection")
{
	u64 gpa = next_gpa();

	EXITS(run1(snp(), G_READ, gpa), EXIT_NPF, -1UL);
	GUEST_FAULTS(inject(snp(), GP, true, 0x1234), GP, 0x1234);
}
