// SPDX-License-Identifier: GPL-2.0-or-later
#include "crypto.h"
#include "vm.h"

extern u8 guest_start[], guest_end[], guest_stacks[];
void guest_main(struct command *c);

#define GUEST_STACK(vmpl)	((u64)guest_stacks + ((vmpl) + 1) * 0x2000 - 8)
#define NPT_FLAGS		PTE_RWU

static void must(const char *what, u32 result)
{
	if (result)
		fail("%s: %x", what, result);
}

/* Nested page tables */

static u64 *npt_entry(struct vm *vm, u64 gpa, int level)
{
	u64 *table = (u64 *)vm->npt;

	for (int l = 3; l > level; l--) {
		u64 *e = table + (gpa >> (12 + 9 * l) & 511);

		if (!(*e & PTE_P) || *e & PTE_LARGE)
			*e = alloc_page() | NPT_FLAGS;
		table = (u64 *)(*e & PTE_ADDR);
	}
	return table + (gpa >> (12 + 9 * level) & 511);
}

void vm_map(struct vm *vm, u64 gpa, u64 pa, int level)
{
	*npt_entry(vm, gpa, level) = pa | NPT_FLAGS | (level ? PTE_LARGE : 0);
	for (u64 i = 0; i < (level ? 512 : 1); i++)
		vm->spa[gpa / PAGE + i] = pa + i * PAGE;
}

void vm_unmap(struct vm *vm, u64 gpa)
{
	*npt_entry(vm, gpa, 0) = 0;
}

void vm_protect(struct vm *vm, u64 gpa, u64 flags)
{
	*npt_entry(vm, gpa, 0) = vm_spa(vm, gpa) | flags;
}

u64 vm_spa(struct vm *vm, u64 gpa)
{
	return vm->spa[gpa / PAGE];
}

/* Pages */

u64 vm_give(struct vm *vm, u64 gpa)
{
	u64 pa = alloc_page();

	if (vm->kind == SNP)
		must("RMPUPDATE to the guest", rmpupdate(pa, GUEST(vm->asid, gpa)));
	vm_map(vm, gpa, pa, 0);
	return pa;
}

u64 vm_give_large(struct vm *vm, u64 gpa)
{
	u64 pa = alloc_large();

	if (vm->kind == SNP)
		must("RMPUPDATE of 2 MiB to the guest", rmpupdate(pa, GUEST_2M(vm->asid, gpa)));
	vm_map(vm, gpa, pa, 1);
	return pa;
}

u64 vm_private(struct vp *vp, u64 gpa)
{
	u64 pa = vm_give(vp->vm, gpa);

	if (vp->vm->kind == SNP)
		must("PVALIDATE", done(0, "PVALIDATE", PVALIDATE(vp, gpa, 0, 1)));
	return pa;
}

u64 vm_share(struct vm *vm, u64 gpa)
{
	u64 pa = alloc_page();

	vm_map(vm, gpa, pa, 0);
	return pa;
}

/* Launch */

struct vm *vm_new(enum kind kind)
{
	static u32 next_sev, next_es = 1;
	struct vm *vm = (struct vm *)alloc_large();
	u32 first_sev = cpuid(0x8000001f).edx;

	if (kind == SNP)
		psp_snp_init();
	if (kind == SEV || kind == SEV_ES)
		psp_sev_init();
	svm_enable_both();
	vm->kind = kind;
	vm->npt = alloc_page();
	vm->asid = kind == SEV ? first_sev + next_sev++ : kind == PLAIN ? cpuid(0x8000001f).ecx + 1 : next_es++;
	return vm;
}

void vm_launch_start(struct vm *vm, u64 policy)
{
	if (vm->kind == SNP) {
		struct snp_address create = { firmware_page() };
		struct snp_launch_start start = { .gctx = create.address, .policy = policy };
		struct snp_activate activate = { .gctx = create.address, .asid = vm->asid };

		vm->gctx = create.address;
		must("SNP_GCTX_CREATE", psp_command(SNP_GCTX_CREATE, &create, sizeof(create)));
		must("SNP_LAUNCH_START", psp_command(SNP_LAUNCH_START, &start, sizeof(start)));
		must("SNP_ACTIVATE", psp_command(SNP_ACTIVATE, &activate, sizeof(activate)));
	} else if (vm->kind != PLAIN) {
		struct sev_start start = { .policy = vm->kind == SEV_ES ? 4 : 0 };
		struct sev_activate activate = { .asid = vm->asid };

		must("LAUNCH_START", psp_command(SEV_LAUNCH_START, &start, sizeof(start)));
		activate.handle = vm->handle = start.handle;
		must("ACTIVATE", psp_command(SEV_ACTIVATE, &activate, sizeof(activate)));
	}
}

/*
 * SEV-SNP Firmware ABI, 8.17.2: each page adds the hash of what was before, of
 * what it holds, its type and its place. Pages that firmware fills hold zeros.
 */
static void measure(struct vm *vm, u64 gpa, u64 pa, int type)
{
	struct PACKED {
		u8 before[48], contents[48];
		u16 length;
		u8 type, imi, vmpl3, vmpl2, vmpl1, reserved;
		u64 gpa;
	} info = { .length = sizeof(info), .type = type, .gpa = gpa };

	memcpy(info.before, vm->digest, sizeof(info.before));
	if (type == PAGE_NORMAL || type == PAGE_VMSA)
		sha384((void *)pa, PAGE, info.contents);
	sha384(&info, sizeof(info), vm->digest);
}

u32 vm_launch_page(struct vm *vm, u64 gpa, u64 pa, int type)
{
	if (type != PAGE_VMSA)
		vm_map(vm, gpa, pa, 0);
	if (vm->kind == SNP) {
		struct snp_launch_update update = { .gctx = vm->gctx, .type = type, .address = pa };

		must("RMPUPDATE to pre-guest", rmpupdate(pa, STATE(.assigned = 1, .immutable = 1, .asid = vm->asid,
								   .gpa = gpa)));
		measure(vm, gpa, pa, type);
		return psp_command(SNP_LAUNCH_UPDATE, &update, sizeof(update));
	} else if (vm->kind != PLAIN) {
		struct sev_update update = { .handle = vm->handle, .address = pa, .length = PAGE };

		return psp_sev_update(type == PAGE_VMSA ? SEV_LAUNCH_UPDATE_VMSA : SEV_LAUNCH_UPDATE_DATA, &update);
	}
	return 0;
}

/* The guest's page tables, as guest.h has them */
static void launch_tables(struct vm *vm)
{
	u64 c = vm->kind == PLAIN ? 0 : PTE_C;
	u64 at[8], private = PTE_RWU | c;

	for (int i = 0; i < 8; i++)
		at[i] = alloc_page();
#define SET(table, index, value)	wr64(at[table] + 8 * (index), value)
	SET(0, 0, (G_TABLES + 1 * PAGE) | private);
	SET(1, 0, (G_TABLES + 2 * PAGE) | private);
	for (u64 i = 0; i < 4; i++)
		SET(2, i, (G_TABLES + (3 + i) * PAGE) | private);
	SET(2, 4, G_LARGE | private | PTE_LARGE);
	SET(2, 5, G_LARGE | PTE_RWU | PTE_LARGE);
	SET(2, 6, (G_TABLES + 7 * PAGE) | private);
	SET(2, 7, G_TABLE_PAGE | private);
	for (u64 i = 0; i < 512; i++) {
		u64 low = i * PAGE, second = G_TABLES + i * PAGE;

		SET(3, i, low | private);
		SET(4, i, second | (second >= G_COMMANDS ? PTE_RWU : private));
		SET(5, i, (G_TEST + i * PAGE) | private);
		SET(6, i, (G_TEST + i * PAGE) | PTE_RWU);
		SET(7, i, (G_LARGE + i * PAGE) | private);
	}
#undef SET
	for (int i = 0; i < 8; i++)
		must("LAUNCH_UPDATE of a page table", vm_launch_page(vm, G_TABLES + i * PAGE, at[i], PAGE_NORMAL));
}

static void init_state(struct vm *vm, struct vmcb_save *s, u32 vmpl)
{
	long_mode(s, G_TABLES | (vm->kind == PLAIN ? 0 : PTE_C), (u64)guest_main, GUEST_STACK(vmpl));
	s->rdi = G_COMMANDS + vmpl * PAGE;
	s->vmpl = vmpl;
	s->sev_features = vm->kind == SNP ? SEV_FEATURE_SNP : 0;
}

static struct vp *vp_alloc(struct vm *vm, u32 vmpl)
{
	static u64 bitmaps;
	struct vp *vp = (struct vp *)alloc_page();
	struct vmcb_control *c;

	vp->vm = vm;
	vp->vmpl = vmpl;
	vp->command = (struct command *)vm_share(vm, G_COMMANDS + vmpl * PAGE);
	vp->cpu.vmcb = (struct vmcb *)alloc_page();
	c = &vp->cpu.vmcb->control;
	c->asid = vm->asid;
	c->nested = NESTED_NP | (vm->kind >= SEV ? NESTED_SEV : 0) | (vm->kind >= SEV_ES ? NESTED_SEV_ES : 0);
	c->nested_cr3 = vm->npt;
	c->tlb_control = 1;
	if (!bitmaps)
		bitmaps = alloc_large();
	c->iopm = bitmaps;
	c->msrpm = bitmaps + 4 * PAGE;
	set_intercept(&vp->cpu, INTERCEPT_VMRUN, true);
	set_intercept(&vp->cpu, INTERCEPT_VMMCALL, true);
	set_intercept(&vp->cpu, INTERCEPT_SHUTDOWN, true);
	return vp;
}

struct vp *vm_launch_finish(struct vm *vm)
{
	struct vp *vp;

	for (u64 gpa = (u64)guest_start; gpa < (u64)guest_end; gpa += PAGE) {
		u64 pa = alloc_page();

		memcpy((void *)pa, (void *)gpa, PAGE);
		must("LAUNCH_UPDATE of the program", vm_launch_page(vm, gpa, pa, PAGE_NORMAL));
	}
	launch_tables(vm);
	if (vm->kind == SNP)
		must("LAUNCH_UPDATE of the secrets", vm_launch_page(vm, G_SECRETS, alloc_page(), PAGE_SECRETS));
	vp = vp_alloc(vm, 0);
	for (u64 i = 0; i < 4; i++)
		vm_share(vm, G_EXCHANGE + i * PAGE);
	if (vm->kind >= SEV_ES) {
		vp->vmsa = alloc_page();
		init_state(vm, (struct vmcb_save *)vp->vmsa, 0);
		must("LAUNCH_UPDATE of the VMSA", vm_launch_page(vm, 0xfffffffff000, vp->vmsa, PAGE_VMSA));
		vp->cpu.vmcb->control.vmsa = vp->vmsa;
	} else {
		init_state(vm, (struct vmcb_save *)&vp->cpu.vmcb->save, 0);
		vp->cpu.rdi = G_COMMANDS;
	}
	if (vm->kind == SNP) {
		struct snp_launch_finish finish = { .gctx = vm->gctx };

		must("SNP_LAUNCH_FINISH", psp_command(SNP_LAUNCH_FINISH, &finish, sizeof(finish)));
	} else if (vm->kind != PLAIN) {
		struct sev_update measure = { .handle = vm->handle, .address = alloc_page(), .length = 64 };
		struct sev_handle finish = { vm->handle };

		must("LAUNCH_MEASURE", psp_sev_update(SEV_LAUNCH_MEASURE, &measure));
		must("LAUNCH_FINISH", psp_command(SEV_LAUNCH_FINISH, &finish, sizeof(finish)));
	}
	return vp;
}

/* To where it waits for its first command */
static void first_run(struct vp *vp)
{
	u64 exit = vp_run(vp);

	if (exit != EXIT_VMGEXIT && exit != EXIT_VMMCALL)
		fail("the guest's start: exit %lx, %lx, %lx", exit, vp->cpu.vmcb->control.exit_info1,
		     vp->cpu.vmcb->control.exit_info2);
}

struct vp *vm_start(enum kind kind)
{
	static struct vp *vps[4];

	if (!vps[kind]) {
		struct vm *vm = vm_new(kind);
		struct vp *vp;

		vm_launch_start(vm, POLICY);
		vp = vm_launch_finish(vm);
		first_run(vp);
		vps[kind] = vp;
	}
	return vps[kind];
}

struct vp *vp_new(struct vp *vmpl0, u32 vmpl, u64 gpa)
{
	struct vp *vp = vp_alloc(vmpl0->vm, vmpl);
	struct vmcb_save *s = (struct vmcb_save *)vm_spa(vmpl0->vm, G_EXCHANGE);

	memset(s, 0, PAGE);
	init_state(vmpl0->vm, s, vmpl);
	vp->vmsa = vm_private(vmpl0, gpa);
	done(0, "copy of the VMSA", run(vmpl0, G_COPY, gpa, G_EXCHANGE, PAGE));
	must("RMPADJUST to a VMSA", done(0, "RMPADJUST", run(vmpl0, G_RMPADJUST, gpa, 0, BIT(16) | vmpl)));
	vp->cpu.vmcb->control.vmsa = vp->vmsa;
	first_run(vp);
	return vp;
}

/* Commands */

u64 vp_run(struct vp *vp)
{
	struct vmcb *vmcb = vp->cpu.vmcb;
	u64 exit = svm_run(&vp->cpu);

	/* An instruction that is intercepted is not done yet. This one has four bytes. */
	if (exit == EXIT_VMMCALL && vp->vm->kind < SEV_ES) {
		struct vmcb_save *s = (struct vmcb_save *)&vmcb->save;

		s->rip += 4;
	}
	return exit;
}

static struct result result(struct vp *vp)
{
	struct vmcb_control *c = &vp->cpu.vmcb->control;
	volatile struct command *m = vp->command;
	u64 before = m->done, exit = vp_run(vp);
	struct result r = { .exit = exit, .info1 = c->exit_info1, .info2 = c->exit_info2, .vector = NONE };

	c->event_inject = 0;
	vp->busy = true;
	if (exit == (vp->vm->kind < SEV_ES ? EXIT_VMMCALL : EXIT_VMGEXIT) && m->done == before + 1) {
		r.exit = 0;
		vp->busy = false;
		r.value = m->value;
		r.more[0] = m->more[0];
		r.more[1] = m->more[1];
		r.flags = m->flags;
		r.carry = m->flags & 1;
		r.vector = m->vector;
		r.error = m->error;
		r.cr2 = m->cr2;
	}
	return r;
}

struct result run(struct vp *vp, enum op op, u64 a, u64 b, u64 c)
{
	volatile struct command *m = vp->command;

	if (vp->busy)
		give_up(vp);
	m->op = op;
	m->arg[0] = a;
	m->arg[1] = b;
	m->arg[2] = c;
	return result(vp);
}

struct result resume(struct vp *vp)
{
	return result(vp);
}

struct result inject(struct vp *vp, int vector, bool has_error, u32 error)
{
	vp->cpu.vmcb->control.event_inject = vector | 3 << 8 | (has_error ? BIT(11) : 0) | BIT(31) | (u64)error << 32;
	return result(vp);
}

void give_up(struct vp *vp)
{
	struct result r = inject(vp, GP, true, 0);

	if (r.exit || r.vector != GP)
		fail("the guest does not give up: exit %lx, %lx, %lx, vector %lx", r.exit, r.info1, r.info2, r.vector);
}

/* Expectations */

static void show(int line, const char *what, struct result r)
{
	if (r.exit)
		fail("line %d: %s: exit %lx, %lx, %lx", line, what, r.exit, r.info1, r.info2);
	if (r.vector != (u64)NONE)
		fail("line %d: %s: exception %lx, error code %lx, cr2 %lx in the guest", line, what, r.vector, r.error,
		     r.cr2);
	fail("line %d: %s: done, with value %lx", line, what, r.value);
}

u64 done(int line, const char *what, struct result r)
{
	if (r.exit || r.vector != (u64)NONE)
		show(line, what, r);
	return r.value;
}

struct result guest_fault(int line, const char *what, struct result r, u64 vector, u64 error)
{
	if (r.exit || r.vector != vector || (error != -1UL && r.error != error))
		show(line, what, r);
	return r;
}

struct result exits(int line, const char *what, struct result r, u64 code, u64 info1)
{
	if (r.exit != code || (info1 != -1UL && r.info1 != info1))
		show(line, what, r);
	return r;
}

void npf(int line, const char *what, struct result r, u64 gpa, u64 info1)
{
	exits(line, what, r, EXIT_NPF, info1);
	if (r.info2 != gpa)
		fail("line %d: %s: nested page fault at %lx, not %lx", line, what, r.info2, gpa);
}
