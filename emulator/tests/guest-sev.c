// SPDX-License-Identifier: GPL-2.0-or-later
/* SEV and SEV-ES guests: what exits, what raises #VC, what the host can see. APM volume 2, 15.34 and 15.35. */
#include "vm.h"

#define GHCB_MSR	0xc0010130
#define SEV_STATUS	0xc0010131

static struct vp *sev(void) { return vm_start(SEV); }
static struct vp *es(void) { return vm_start(SEV_ES); }

/* Runs the command with an intercept that the host has only meanwhile */
static struct result with(struct vp *vp, int intercept, enum op op, u64 a, u64 b)
{
	struct result r;

	if (vp->busy)
		give_up(vp);
	set_intercept(&vp->cpu, intercept, true);
	r = run(vp, op, a, b, 0);
	set_intercept(&vp->cpu, intercept, false);
	return r;
}

/* An ordinary guest first: the library itself */
TEST("guest.plain.runs") { EQ(DO(vm_start(PLAIN), G_READ_CR0, 0, 0, 0) >> 31, 1); }
TEST("guest.plain.npf")
{
	NPF(run1(vm_start(PLAIN), G_READ, G_TEST + 8 * PAGE), G_TEST + 8 * PAGE, PF_U | NPF_FINAL);
}

TEST("guest.sev.runs") { sev(); }
TEST("guest.sev.status_msr") { EQ(DO(sev(), G_RDMSR, SEV_STATUS, 0, 0), 1); }
TEST("guest.sev.private_and_shared")
{
	vm_private(sev(), G_TEST);
	DO(sev(), G_WRITE, G_TEST, 0x1234, 0);
	EQ(DO(sev(), G_READ, G_TEST, 0, 0), 0x1234);
}
TEST("guest.sev.npf_address_has_no_c_bit")
{
	NPF(run1(sev(), G_READ, G_TEST + 8 * PAGE), G_TEST + 8 * PAGE, PF_U | NPF_FINAL | NPF_ENC);
}
/* Intercepts are as ever: no #VC */
TEST("guest.sev.cpuid_intercepted")
{
	EXITS(with(sev(), INTERCEPT_CPUID, G_CPUID, 0, 0), EXIT_CPUID, -1UL);
}
TEST("guest.sev.state_is_visible")
{
	struct vmcb_save *s = (struct vmcb_save *)&sev()->cpu.vmcb->save;

	DO(sev(), G_NOTHING, 0, 0, 0);
	EQ(s->cr3, G_TABLES | PTE_C);
}

/* The bytes of the instruction, as the guest sees them, for who emulates MMIO. APM volume 2, 15.8.4 */
static struct vmcb_control *npf_of_data(struct vp *vp)
{
	struct vmcb_control *c = &vp->cpu.vmcb->control;

	memset((void *)&c->bytes_fetched, 0xee, 1 + sizeof(c->bytes));
	NPF(run1(vp, G_READ, G_TEST + 13 * PAGE), G_TEST + 13 * PAGE,
	    PF_U | NPF_FINAL | (vp->vm->kind == PLAIN ? 0 : NPF_ENC));
	return c;
}
static void bytes_are_the_programs(struct vp *vp)
{
	struct vmcb_control *c = npf_of_data(vp);
	u64 rip = ((struct vmcb_save *)&vp->cpu.vmcb->save)->rip;

	/* The guest has the program where the host has what it was launched from. */
	EQ(c->bytes_fetched, sizeof(c->bytes));
	OK(memcmp((void *)c->bytes, (void *)rip, sizeof(c->bytes)));
}
TEST("guest.plain.npf_has_instruction") { bytes_are_the_programs(vm_start(PLAIN)); }
TEST("guest.sev.npf_has_instruction") { bytes_are_the_programs(sev()); }
TEST("guest.es.npf_keeps_instruction") { EQ(npf_of_data(es())->bytes_fetched, 0); }

TEST("guest.es.runs") { es(); }
TEST("guest.es.status_msr") { EQ(DO(es(), G_RDMSR, SEV_STATUS, 0, 0), 3); }
TEST("guest.es.status_msr_never_exits")
{
	memset((void *)(es()->cpu.vmcb->control.msrpm), 0xff, 2 * PAGE);
	struct result r = with(es(), INTERCEPT_MSR, G_RDMSR, SEV_STATUS, 0);

	memset((void *)(es()->cpu.vmcb->control.msrpm), 0, 2 * PAGE);
	EQ(done(__LINE__, "RDMSR", r), 3);
}
TEST("guest.es.private_memory")
{
	vm_private(es(), G_TEST);
	DO(es(), G_WRITE, G_TEST, 0x1234, 0);
	EQ(DO(es(), G_READ, G_TEST, 0, 0), 0x1234);
}
TEST("guest.es.faults_of_its_own")
{
	GUEST_FAULTS(run0(es(), G_UD2), UD, 0);
	GUEST_FAULTS(run0(es(), G_DIVIDE), DE, 0);
	EQ(GUEST_FAULTS(run1(es(), G_READ, 1UL << 40), PF, 0).cr2, 1UL << 40);
}

/* Intercepted, these raise #VC with the exit's code; the host does not see them. */
TEST("guest.es.vc.cpuid") { GUEST_FAULTS(with(es(), INTERCEPT_CPUID, G_CPUID, 0, 0), VC, 0x72); }
TEST("guest.es.vc.rdtsc") { GUEST_FAULTS(with(es(), INTERCEPT(3, 14), G_RDTSC, 0, 0), VC, 0x6e); }
TEST("guest.es.vc.rdpmc") { GUEST_FAULTS(with(es(), INTERCEPT(3, 15), G_RDPMC, 0, 0), VC, 0x6f); }
TEST("guest.es.vc.invd") { GUEST_FAULTS(with(es(), INTERCEPT(3, 22), G_INVD, 0, 0), VC, 0x76); }
TEST("guest.es.vc.wbinvd") { GUEST_FAULTS(with(es(), INTERCEPT_WBINVD, G_WBINVD, 0, 0), VC, 0x89); }
TEST("guest.es.vc.monitor") { GUEST_FAULTS(with(es(), INTERCEPT(4, 10), G_MONITOR, 0, 0), VC, 0x8a); }
TEST("guest.es.vc.mwait") { GUEST_FAULTS(with(es(), INTERCEPT(4, 11), G_MWAIT, 0, 0), VC, 0x8b); }
TEST("guest.es.vc.vmmcall") { GUEST_FAULTS(run0(es(), G_VMMCALL), VC, 0x81); }
TEST("guest.es.vc.dr7_read") { GUEST_FAULTS(with(es(), INTERCEPT(1, 7), G_READ_DR7, 0, 0), VC, 0x27); }
TEST("guest.es.vc.dr7_write") { GUEST_FAULTS(with(es(), INTERCEPT(1, 16 + 7), G_WRITE_DR7, 0x400, 0), VC, 0x37); }
TEST("guest.es.vc.msr")
{
	struct result r;

	memset((void *)(es()->cpu.vmcb->control.msrpm), 0xff, 2 * PAGE);
	r = with(es(), INTERCEPT_MSR, G_RDMSR, 0x277, 0);
	memset((void *)(es()->cpu.vmcb->control.msrpm), 0, 2 * PAGE);
	GUEST_FAULTS(r, VC, 0x7c);
}
TEST("guest.es.vc.ioio")
{
	struct result r;

	memset((void *)(es()->cpu.vmcb->control.iopm), 0xff, 3 * PAGE);
	r = with(es(), INTERCEPT_IOIO, G_IN, 0x80, 0);
	memset((void *)(es()->cpu.vmcb->control.iopm), 0, 3 * PAGE);
	GUEST_FAULTS(r, VC, 0x7b);
}
/* Nested page faults that tell of MMIO, by a reserved bit in the tables, are #VC, too. */
TEST("guest.es.vc.npf_with_reserved_bit")
{
	vm_private(es(), G_TEST + 9 * PAGE);
	vm_protect(es()->vm, G_TEST + 9 * PAGE, PTE_RWU | BIT(50));
	GUEST_FAULTS(run1(es(), G_READ, G_TEST + 9 * PAGE), VC, 0x400);
}
TEST("guest.es.not_intercepted_runs")
{
	DO(es(), G_CPUID, 0, 0, 0);
	DO(es(), G_RDTSC, 0, 0, 0);
	DO(es(), G_WBINVD, 0, 0, 0);
}

/*
 * Automatic exits. On processors that have SNP, EXITINFO1 tells of the C-bit
 * for every guest with a key.
 */
TEST("guest.es.ae.npf_shared")
{
	u64 gpa = G_TEST + 8 * PAGE;

	NPF(run1(es(), G_READ, gpa - G_TEST + G_TEST_SHARED), gpa, PF_U | NPF_FINAL);
}
TEST("guest.es.ae.npf")
{
	u64 gpa = G_TEST + 10 * PAGE;

	NPF(run1(es(), G_READ, gpa), gpa, PF_U | NPF_FINAL | NPF_ENC);
	vm_give(es()->vm, gpa);
	done(__LINE__, "the read, again", resume(es()));
}
TEST("guest.es.ae.npf_write")
{
	u64 gpa = G_TEST + 11 * PAGE;

	NPF(run2(es(), G_WRITE, gpa, 1), gpa, PF_U | PF_W | NPF_FINAL | NPF_ENC);
}
TEST("guest.es.ae.npf_write_protected")
{
	u64 gpa = G_TEST + 12 * PAGE;

	vm_private(es(), gpa);
	vm_protect(es()->vm, gpa, PTE_P | PTE_U);
	NPF(run2(es(), G_WRITE, gpa, 1), gpa, NPF_WRITE | NPF_ENC);
}
TEST("guest.es.ae.npf_in_page_table")
{
	NPF(run1(es(), G_READ, G_OWN_TABLE), G_TABLE_PAGE, PF_U | PF_W | NPF_TABLE | NPF_ENC);
}
TEST("guest.es.ae.hlt")
{
	EXITS(with(es(), INTERCEPT_HLT, G_HLT, 0, 0), EXIT_HLT, -1UL);
	/* It stands after the instruction */
	done(__LINE__, "on after HLT", resume(es()));
}
TEST("guest.es.ae.vmgexit_ghcb_msr")
{
	struct vmcb_control *c = &es()->cpu.vmcb->control;

	EXITS(run1(es(), G_GHCB, 0x004), EXIT_VMGEXIT, -1UL);
	EQ(c->ghcb, 0x004);
	c->ghcb = 0x1122334455667001;
	EQ(done(__LINE__, "the GHCB MSR after VMGEXIT", resume(es())), 0x1122334455667001);
}
TEST("guest.es.ghcb_msr_never_exits")
{
	struct result r;

	memset((void *)(es()->cpu.vmcb->control.msrpm), 0xff, 2 * PAGE);
	r = with(es(), INTERCEPT_MSR, G_WRMSR, GHCB_MSR, 0x7000);
	memset((void *)(es()->cpu.vmcb->control.msrpm), 0, 2 * PAGE);
	done(__LINE__, "WRMSR", r);
	EQ(es()->cpu.vmcb->control.ghcb, 0x7000);
}
/* What the host has of an exit is what the VMCB says: registers are not in it. */
TEST("guest.es.state_is_hidden")
{
	struct vcpu *v = &es()->cpu;
	struct vmcb_save *s = (struct vmcb_save *)&v->vmcb->save;

	s->rip = s->rsp = s->rax = s->cr3 = 0x77;
	EXITS(run2(es(), G_WRITE, G_TEST + 13 * PAGE, 0xdeadbeefdead), EXIT_NPF, -1UL);
	NE(s->rsp >> 13, (u64)G_TABLES >> 13);
	NE(s->cr3, G_TABLES | PTE_C);
	NE(s->rax, 0xdeadbeefdead);
	for (u64 *reg = &v->rbx; reg <= &v->r15; reg++) {
		NE(*reg, G_TEST + 13 * PAGE);
		NE(*reg, 0xdeadbeefdead);
	}
}
TEST("guest.es.hosts_registers_do_not_get_in")
{
	struct vcpu *v = &es()->cpu;

	DO(es(), G_NOTHING, 0, 0, 0);
	for (u64 *reg = &v->rbx; reg <= &v->r15; reg++)
		*reg = 0x6666666666666666;
	DO(es(), G_NOTHING, 0, 0, 0);
}
TEST("guest.es.exceptions_can_be_injected")
{
	struct result r;

	EXITS(run1(es(), G_READ, G_TEST + 14 * PAGE), EXIT_NPF, -1UL);
	r = inject(es(), GP, true, 0x5678);
	GUEST_FAULTS(r, GP, 0x5678);
}
static void not_injected(u64 event)
{
	struct vcpu *v = &es()->cpu;

	DO(es(), G_NOTHING, 0, 0, 0);
	v->vmcb->control.event_inject = event | BIT(31);
	EQ(svm_run(v), EXIT_INVALID);
	v->vmcb->control.event_inject = 0;
	DO(es(), G_NOTHING, 0, 0, 0);
}
TEST("guest.es.inject.no_software_interrupt") { not_injected(4 << 8 | 0x80); }
TEST("guest.es.inject.no_breakpoint") { not_injected(3 << 8 | 3); }
TEST("guest.es.inject.no_overflow") { not_injected(3 << 8 | 4); }
TEST("guest.es.vmsa_keeps_the_state_between_runs")
{
	vm_private(es(), G_TEST);
	for (u64 i = 0; i < 50; i++) {
		DO(es(), G_WRITE, G_TEST, i, 0);
		EQ(DO(es(), G_READ, G_TEST, 0, 0), i);
	}
}
TEST("guest.es.invalid_vmsa")
{
	struct vcpu *v = &es()->cpu;

	DO(es(), G_NOTHING, 0, 0, 0);
	v->vmcb->control.vmsa = es()->vmsa + 8;
	EQ(svm_run(v), EXIT_INVALID);
	v->vmcb->control.vmsa = es()->vmsa;
	DO(es(), G_NOTHING, 0, 0, 0);
}
TEST("guest.es.invalid_asid_0")
{
	struct vcpu *v = &es()->cpu;

	v->vmcb->control.asid = 0;
	EQ(svm_run(v), EXIT_INVALID);
	v->vmcb->control.asid = es()->vm->asid;
	DO(es(), G_NOTHING, 0, 0, 0);
}
/* The ASIDs from Fn8000_001F[EDX] on are for guests without encrypted state, those below for the others. */
TEST("guest.es.invalid_asid_of_sev")
{
	struct vcpu *v = &es()->cpu;

	v->vmcb->control.asid = cpuid(0x8000001f).edx;
	EQ(svm_run(v), EXIT_INVALID);
	v->vmcb->control.asid = es()->vm->asid;
	DO(es(), G_NOTHING, 0, 0, 0);
}
TEST("guest.sev.invalid_asid_of_es")
{
	struct vcpu *v = &sev()->cpu;

	v->vmcb->control.asid = 1;
	EQ(svm_run(v), EXIT_INVALID);
	v->vmcb->control.asid = sev()->vm->asid;
	DO(sev(), G_NOTHING, 0, 0, 0);
}

/*
 * Of two processors that enter one VMSA at the same moment, one is refused.
 * That one ends the other, which would not do so by itself.
 */
static struct vcpu twin;
static volatile u32 meet;

static u64 enter(struct vcpu *v, volatile struct command *m)
{
	u64 exit;

	for (__atomic_add_fetch(&meet, 1, __ATOMIC_SEQ_CST); meet < 2;)
		pause();
	exit = svm_run(v);
	if (exit == EXIT_INVALID)
		m->stop = 1;
	return exit;
}
static void enter_twin(void *m) { enter(&twin, m); }
TEST("guest.es.vmsa_is_entered_by_one")
{
	struct vp *vp = es();
	volatile struct command *m = vp->command;

	if (vp->busy)
		give_up(vp);
	vm_private(vp, G_TEST + 14 * PAGE);
	twin.vmcb = (struct vmcb *)alloc_page();
	for (int i = 0; i < 2000; i++) {
		u64 before = m->done, exit;

		memcpy(twin.vmcb, vp->cpu.vmcb, PAGE);
		*m = (struct command){ .op = G_SPIN, .arg = { G_TEST + 14 * PAGE }, .done = before };
		meet = 0;
		ap_run(enter_twin, (void *)m);
		exit = enter(&vp->cpu, m);
		ap_wait();
		EQ(m->done, before + 1);
		EQ((exit == EXIT_INVALID) + (twin.vmcb->control.exit_code == EXIT_INVALID), 1);
	}
}
