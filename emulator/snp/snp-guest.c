// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * SNP guests through KVM: what the processor, the firmware and KVM together must
 * make of them. The guest does as it is told, see guest.h; what it is told stands
 * here, so that each test reads from top to bottom.
 *
 * KVM's side is in Documentation/virt/kvm/api.rst and x86/amd-memory-encryption.rst;
 * what the guest and its VMM say to each other is the GHCB specification (56421).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_para.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm.h"

enum {
	EXIT_CPUID = 0x72, EXIT_IOIO = 0x7b, EXIT_MSR = 0x7c, EXIT_NOT_VALIDATED = 0x404,
	EXIT_MMIO_READ = 0x80000001, EXIT_MMIO_WRITE = 0x80000002, EXIT_PSC = 0x80000010,
	EXIT_GUEST_REQUEST = 0x80000011, EXIT_EXTENDED_REQUEST = 0x80000012, EXIT_AP_CREATION = 0x80000013,
	EXIT_FEATURES = 0x8000fffd, EXIT_TERMINATE = 0x8000fffe,
};

/* What KVM says of a GHCB that it does not take: SW_EXITINFO1 is 2, and SW_EXITINFO2 one of these. */
enum { NOT_REGISTERED = 1, INVALID_USAGE, INVALID_SCRATCH, MISSING_INPUT, INVALID_INPUT, INVALID_EVENT };

/* PVALIDATE, RMPADJUST */
enum { FAIL_INPUT = 1, FAIL_SIZEMISMATCH = 6 };

#define SIZE_4K		0
#define SIZE_2M		1
#define SHARE		2UL
#define UNSHARE		1UL

static struct vm *common;
static int generation;		/* counts the VMs that it was */
static u64 next;

/* The VM of the tests that need none of their own */
static struct vm *vm(void)
{
	if (spoiled && common) {
		vm_destroy(common);
		common = NULL;
	}
	spoiled = false;
	if (!common) {
		common = vm_new(2);
		generation++;
		/* A VMSA must not be at the start of 2 MiB. */
		next = G_TEST + PAGE;
	}
	return common;
}

static struct vp *vp(void) { return &vm()->vp[0]; }

/* A private page of the guest's that nobody has used. It is not validated. */
static u64 new_page(void)
{
	vm();
	if (next == G_TEST_SHARED)
		fail("no more test pages");
	next += PAGE;
	return next - PAGE;
}

/* Where the guest sees that page without the C-bit */
static u64 plain(u64 page) { return page - G_TEST + G_TEST_SHARED; }

static struct result run3(struct vp *vp, enum op op, const u64 arg[3])
{
	return run(vp, op, arg[0], arg[1], arg[2]);
}

/* The commands to a vCPU, which must be done without an exception */
static u64 done(int line, const char *what, struct result r)
{
	if (r.exit != DONE)
		fail("line %d: %s: exit %lx", line, what, r.exit);
	if (r.vector != (u64)NONE)
		fail("line %d: %s: exception %lx, error code %lx, cr2 %lx in the guest", line, what, r.vector, r.error,
		     r.cr2);
	return r.value;
}

static void faults(int line, const char *what, struct result r, u64 vector, u64 error)
{
	if (r.exit != DONE)
		fail("line %d: %s: exit %lx", line, what, r.exit);
	if (r.vector != vector || r.error != error)
		fail("line %d: %s: exception %lx, error code %lx, cr2 %lx in the guest", line, what, r.vector, r.error,
		     r.cr2);
}

#define RUN(vp, op, ...)	run3(vp, op, (u64[3]){ __VA_ARGS__ })
#define DO(op, ...)		done(__LINE__, #op, RUN(vp(), op, __VA_ARGS__))
#define VC_ON(code, op, ...)	faults(__LINE__, #op, RUN(vp(), op, __VA_ARGS__), VC, code)

/* PVALIDATE: its result in EAX, CF apart */
#define VALIDATE(address, size, on, cf) ({				\
	struct result r_ = RUN(vp(), G_PVALIDATE, address, size, on);	\
	u64 eax_ = done(__LINE__, "PVALIDATE", r_);			\
	if (!eax_)							\
		EQ(r_.carry, cf);					\
	eax_;								\
})

static u64 validated_page(void)
{
	u64 page = new_page();

	OK(VALIDATE(page, SIZE_4K, 1, false));
	return page;
}

/* A VMGEXIT by the GHCB; the registers are in the command's, and so is the answer. */
static struct result ghcb_exit(struct vp *vp, u64 code, u64 info1, u64 info2, u64 not_valid)
{
	volatile struct command *m = vp->command;

	m->ghcb.code = code;
	m->ghcb.info1 = info1;
	m->ghcb.info2 = info2;
	m->ghcb.scratch = G_GHCBS + vp->id * PAGE + 0x800;
	return run(vp, G_VMGEXIT, not_valid, 0, 0);
}

#define GHCB(code, info1, info2)	done(__LINE__, "VMGEXIT", ghcb_exit(vp(), code, info1, info2, 0))

/* The answer of the last one */
static void answer(int line, u64 info1, u64 info2)
{
	volatile struct command *m = vp()->command;

	if (m->ghcb.info1 != info1 || m->ghcb.info2 != info2)
		fail("line %d: the GHCB has %lx, %lx, not %lx, %lx", line, m->ghcb.info1, m->ghcb.info2, info1, info2);
}

#define ANSWER(info1, info2)	answer(__LINE__, info1, info2)
#define MSR(value)		DO(G_GHCB_MSR, value)

/* Steps of a launch, up to its start */

static struct vm *prepared(void)
{
	struct vm *v = vm_create();

	OK(vm_init(v));
	vm_memory(v);
	OK(vm_vcpu(v));
	return v;
}

static struct vm *started(void)
{
	struct vm *v = prepared();

	OK(vm_start(v, POLICY, NULL));
	return v;
}

static u8 contents[2 * PAGE] __attribute__((aligned(PAGE)));

/* Launch */

TEST("launch.init_after_vcpu")
{
	struct vm *v = vm_create();
	int vcpu = ioctl(v->fd, KVM_CREATE_VCPU, 0);

	TRUE(vcpu >= 0);
	EQ(vm_init(v), EINVAL);
	close(vcpu);
	vm_destroy(v);
}
TEST("launch.start_before_init")
{
	struct vm *v = vm_create();

	EQ(vm_start(v, POLICY, NULL), ENOTTY);
	vm_destroy(v);
}
TEST("launch.init_twice")
{
	struct vm *v = prepared();

	EQ(vm_init(v), EPERM);
	vm_destroy(v);
}
TEST("launch.update_before_start")
{
	struct vm *v = prepared();

	EQ(vm_update(v, G_TEST, contents, PAGE, KVM_SEV_SNP_PAGE_TYPE_NORMAL, NULL), EINVAL);
	vm_destroy(v);
}
TEST("launch.finish_before_start") { struct vm *v = prepared(); EQ(vm_finish(v), EINVAL); vm_destroy(v); }
TEST("launch.start_twice") { struct vm *v = started(); EQ(vm_start(v, POLICY, NULL), EINVAL); vm_destroy(v); }
TEST("launch.policy_reserved_bit")
{
	struct vm *v = prepared();

	EQ(vm_start(v, POLICY | BIT(40), NULL), EINVAL);
	vm_destroy(v);
}
TEST("launch.policy_without_bit_17")
{
	struct vm *v = prepared();

	EQ(vm_start(v, BIT(16), NULL), EINVAL);
	vm_destroy(v);
}
/* The firmware says no, not KVM: the version of its interface that is asked for is too new */
TEST("launch.policy_newer_firmware")
{
	struct vm *v = prepared();
	u32 error;

	EQ(vm_start(v, POLICY | 0xff00, &error), EIO);
	EQ(error, POLICY_FAILURE);
	vm_destroy(v);
}
TEST("launch.update_shared_page")
{
	struct vm *v = started();

	EQ(vm_update(v, G_COMMANDS, contents, PAGE, KVM_SEV_SNP_PAGE_TYPE_NORMAL, NULL), EIO);
	vm_destroy(v);
}
TEST("launch.update_page_twice")
{
	struct vm *v = started();

	OK(vm_update(v, G_TEST, contents, PAGE, KVM_SEV_SNP_PAGE_TYPE_NORMAL, NULL));
	EQ(vm_update(v, G_TEST, contents, PAGE, KVM_SEV_SNP_PAGE_TYPE_NORMAL, NULL), EIO);
	vm_destroy(v);
}
TEST("launch.update_unknown_type")
{
	struct vm *v = started();

	/* 2 is a VMSA's, which KVM makes by itself */
	EQ(vm_update(v, G_TEST, contents, PAGE, 2, NULL), EINVAL);
	vm_destroy(v);
}
/* A feature that the processor does not have: the firmware refuses, and says what would be right */
TEST("launch.cpuid_lie")
{
	struct vm *v = started();
	struct cpuid_page *p = (struct cpuid_page *)contents;
	struct regs own = cpuid(0x8000001f);
	u32 error;

	memset(p, 0, sizeof(*p));
	p->count = 1;
	p->entry[0].leaf = 0x8000001f;
	p->entry[0].eax = ~0U;
	p->entry[0].ebx = own.ebx;
	EQ(vm_update(v, G_TEST, p, PAGE, KVM_SEV_SNP_PAGE_TYPE_CPUID, &error), EIO);
	EQ(error, INVALID_PARAM);
	EQ(p->entry[0].eax, own.eax);
	/* The corrected page is taken */
	OK(vm_update(v, G_TEST, p, PAGE, KVM_SEV_SNP_PAGE_TYPE_CPUID, &error));
	vm_destroy(v);
}
TEST("launch.run_before_finish")
{
	struct vm *v = started();

	vm_load(v);
	NE(first_run(&v->vp[0]), DONE);
	vm_destroy(v);
}
TEST("launch.update_after_finish")
{
	u32 error;

	EQ(vm_update(vm(), new_page(), contents, PAGE, KVM_SEV_SNP_PAGE_TYPE_NORMAL, &error), EIO);
	EQ(error, INVALID_GUEST_STATE);
}
TEST("launch.start_after_finish") { EQ(vm_start(vm(), POLICY, NULL), EINVAL); }

/* What the guest finds */

TEST("guest.sev_status") { EQ(DO(G_RDMSR, 0xc0010131), 7); }
TEST("guest.zero_page")
{
	for (u64 at = 0; at < PAGE; at += 8)
		OK(DO(G_READ, G_ZERO + at));
}
TEST("guest.unmeasured_page") { EQ(DO(G_READ, G_UNMEASURED + 8), 0x7777777777777777); }
TEST("guest.launched_pages_are_validated")
{
	OK(VALIDATE(G_ZERO, SIZE_4K, 1, true));
	OK(VALIDATE(G_UNMEASURED, SIZE_4K, 1, true));
	OK(VALIDATE(G_SECRETS, SIZE_4K, 1, true));
	OK(VALIDATE(G_CPUID_PAGE, SIZE_4K, 1, true));
}
TEST("guest.cpuid_page")
{
	DO(G_COPY, G_EXCHANGE, G_CPUID_PAGE, PAGE);
	TRUE(vm()->cpuid.count > 0);
	TRUE(!memcmp(shared(vm(), G_EXCHANGE), &vm()->cpuid, PAGE));
}
TEST("guest.cpuid_raises_vc") { VC_ON(EXIT_CPUID, G_CPUID, 0); }
TEST("guest.in_raises_vc") { VC_ON(EXIT_IOIO, G_IN, 0x80); }
TEST("guest.registers_are_hidden")
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	EQ(ioctl(vp()->fd, KVM_GET_REGS, &regs), -1UL);
	EQ(errno, EINVAL);
	EQ(ioctl(vp()->fd, KVM_SET_REGS, &regs), -1UL);
	EQ(errno, EINVAL);
	EQ(ioctl(vp()->fd, KVM_GET_SREGS, &sregs), -1UL);
	EQ(errno, EINVAL);
}
TEST("guest.memory_cannot_be_mapped")
{
	TRUE(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, vm()->gmem, G_ZERO) == MAP_FAILED);
	EQ(errno, ENODEV);
	EQ(pread(vm()->gmem, contents, 8, G_ZERO), -1UL);
}
TEST("guest.private_data")
{
	u64 page = validated_page();

	DO(G_WRITE, page, 0x1122334455667788);
	EQ(DO(G_READ, page), 0x1122334455667788);
	/* The VMM's memory at this address is another */
	TRUE(all_bytes(shared(vm(), page), 0, PAGE));
	memset(shared(vm(), page), 0xff, PAGE);
	EQ(DO(G_READ, page), 0x1122334455667788);
}

/* Validation */

TEST("page.not_validated")
{
	u64 page = new_page();

	VC_ON(EXIT_NOT_VALIDATED, G_READ, page);
	VC_ON(EXIT_NOT_VALIDATED, G_WRITE, page, 1);
}
TEST("page.validated_twice") { u64 page = validated_page(); OK(VALIDATE(page, SIZE_4K, 1, true)); }
TEST("page.rescinded")
{
	u64 page = validated_page();

	OK(VALIDATE(page, SIZE_4K, 0, false));
	VC_ON(EXIT_NOT_VALIDATED, G_READ, page);
	OK(VALIDATE(page, SIZE_4K, 0, true));
}
/* KVM has only pages of 4 KiB from guest_memfd */
TEST("page.validate_2m_of_4k")
{
	DO(G_NOTHING);
	EQ(VALIDATE(G_LARGE, SIZE_2M, 1, false), FAIL_SIZEMISMATCH);
	VC_ON(EXIT_NOT_VALIDATED, G_READ, G_LARGE);
}
TEST("page.validate_2m_unaligned") { EQ(VALIDATE(G_LARGE + PAGE, SIZE_2M, 1, false), FAIL_INPUT); }
TEST("page.validate_4k_by_2m_mapping")
{
	OK(VALIDATE(G_LARGE + 5 * PAGE, SIZE_4K, 1, false));
	DO(G_WRITE, G_LARGE + 5 * PAGE, 5);
	EQ(DO(G_READ, G_LARGE_BY_4K + 5 * PAGE), 5);
	VC_ON(EXIT_NOT_VALIDATED, G_READ, G_LARGE + 6 * PAGE);
	OK(VALIDATE(G_LARGE_BY_4K + 5 * PAGE, SIZE_4K, 1, true));
}

/* Page state changes */

/* The last request that the VMM heard, of which there were so many */
static void asked(int line, int requests, u64 gpa, u64 pages, u64 attributes)
{
	struct vm *v = vm();

	if (v->requests != requests || v->gpa != gpa || v->pages != pages || v->attributes != attributes)
		fail("line %d: %d requests, the last for %lx, %lx pages, attributes %lx", line, v->requests, v->gpa,
		     v->pages, v->attributes);
	v->requests = 0;
}

#define ASKED(n, gpa, pages, attributes)	asked(__LINE__, n, gpa, pages, attributes)
#define PSC_MSR(page, to)			MSR((page) | (to) << 52 | 0x14)
#define PSC_ENTRY(page, to, size)		((page) | (to) << 52 | (u64)(size) << 56)

static void psc(const u64 *entries, int n)
{
	u8 *buffer = (u8 *)vp()->command->buffer;
	u16 head[4] = { 0, n - 1 };

	memcpy(buffer, head, 8);
	memcpy(buffer + 8, entries, 8 * n);
	vm()->requests = 0;
	GHCB(EXIT_PSC, 0, 0);
}

#define PSC(...) psc((u64[]){ __VA_ARGS__ }, sizeof((u64[]){ __VA_ARGS__ }) / 8)

TEST("psc.msr")
{
	u64 page = validated_page(), *seen = shared(vm(), page);

	DO(G_WRITE, page, 0x1234567812345678);
	OK(VALIDATE(page, SIZE_4K, 0, false));
	vm()->requests = 0;
	EQ(PSC_MSR(page, SHARE), 0x15);
	ASKED(1, page, 1, KVM_MAP_GPA_RANGE_DECRYPTED);
	/* Nothing goes along */
	OK(DO(G_READ, plain(page)));
	DO(G_WRITE, plain(page) + 16, 0xabcd);
	EQ(seen[2], 0xabcd);
	seen[3] = 0xdcba;
	EQ(DO(G_READ, plain(page) + 24), 0xdcba);

	EQ(PSC_MSR(page, UNSHARE), 0x15);
	ASKED(1, page, 1, KVM_MAP_GPA_RANGE_ENCRYPTED);
	VC_ON(EXIT_NOT_VALIDATED, G_READ, page);
	OK(VALIDATE(page, SIZE_4K, 1, false));
	NE(DO(G_READ, page + 16), 0xabcd);
	DO(G_WRITE, page + 16, 0x4321);
	OK(seen[2]);
}
TEST("psc.msr_unknown_operation") { u64 page = new_page(); EQ(PSC_MSR(page, 3UL), BIT(63) | 0x15); }
TEST("psc.msr_refused")
{
	u64 page = new_page();

	vm()->refuse = true;
	EQ(PSC_MSR(page, SHARE), BIT(63) | 0x15);
	vm()->refuse = false;
}
/* KVM asks at once for what lies together. */
TEST("psc.ghcb")
{
	u64 a = new_page(), b = new_page(), c = new_page(), other = (new_page(), new_page());

	PSC(PSC_ENTRY(a, SHARE, 0), PSC_ENTRY(b, SHARE, 0), PSC_ENTRY(c, SHARE, 0));
	ANSWER(0, 0);
	ASKED(1, a, 3, KVM_MAP_GPA_RANGE_DECRYPTED);
	DO(G_WRITE, plain(b), 0xb);
	EQ(*(u64 *)shared(vm(), b), 0xb);
	PSC(PSC_ENTRY(a, UNSHARE, 0), PSC_ENTRY(b, UNSHARE, 0), PSC_ENTRY(other, SHARE, 0));
	ANSWER(0, 0);
	ASKED(2, other, 1, KVM_MAP_GPA_RANGE_DECRYPTED);
	OK(VALIDATE(b, SIZE_4K, 1, false));
	NE(DO(G_READ, b), 0xb);
	DO(G_WRITE, plain(c), 0xc);
	EQ(*(u64 *)shared(vm(), c), 0xc);
}
TEST("psc.ghcb_2m")
{
	u64 *last = shared(vm(), G_LARGE + LARGE - 8);

	PSC(PSC_ENTRY(G_LARGE, SHARE, 1));
	ANSWER(0, 0);
	ASKED(1, G_LARGE, 512, KVM_MAP_GPA_RANGE_DECRYPTED | KVM_MAP_GPA_RANGE_PAGE_SZ_2M);
	DO(G_WRITE, G_LARGE_SHARED + LARGE - 8, 0x2222);
	EQ(*last, 0x2222);
	PSC(PSC_ENTRY(G_LARGE, UNSHARE, 1));
	ANSWER(0, 0);
	ASKED(1, G_LARGE, 512, KVM_MAP_GPA_RANGE_ENCRYPTED | KVM_MAP_GPA_RANGE_PAGE_SZ_2M);
	OK(VALIDATE(G_LARGE + LARGE - PAGE, SIZE_4K, 1, false));
	NE(DO(G_READ, G_LARGE + LARGE - 8), 0x2222);
}
TEST("psc.ghcb_2m_unaligned")
{
	PSC(PSC_ENTRY(G_LARGE + PAGE, SHARE, 1));
	ANSWER(0, BIT(32) | 2);
	EQ(vm()->requests, 0);
}
TEST("psc.ghcb_too_many")
{
	u8 *buffer = (u8 *)vp()->command->buffer;
	u16 head[4] = { 0, 253 };

	memcpy(buffer, head, 8);
	GHCB(EXIT_PSC, 0, 0);
	ANSWER(0, BIT(32) | 1);
}
TEST("psc.ghcb_refused")
{
	u64 page = new_page();

	vm()->refuse = true;
	PSC(PSC_ENTRY(page, SHARE, 0));
	vm()->refuse = false;
	ANSWER(0, 0x100UL << 32);
}

/* What the guest did not ask for */

static void memory_fault(int line, struct result r, u64 gpa, u64 flags)
{
	struct kvm_run *k = vp()->run;

	if (r.exit != KVM_EXIT_MEMORY_FAULT)
		fail("line %d: exit %lx", line, r.exit);
	if (k->memory_fault.gpa != gpa || k->memory_fault.size != PAGE || k->memory_fault.flags != flags)
		fail("line %d: memory fault at %llx, size %llx, flags %llx", line, k->memory_fault.gpa,
		     k->memory_fault.size, k->memory_fault.flags);
}

#define MEMORY_FAULT(r, gpa, flags)	memory_fault(__LINE__, r, gpa, flags)

TEST("fault.shared_access_to_private")
{
	u64 page = new_page();

	MEMORY_FAULT(RUN(vp(), G_WRITE, plain(page), 0x99), page, 0);
	vm_convert(vm(), page, PAGE, false);
	done(__LINE__, "the access", resume(vp()));
	EQ(*(u64 *)shared(vm(), page), 0x99);
}
TEST("fault.private_access_to_shared")
{
	u64 page = new_page();

	vm_convert(vm(), page, PAGE, false);
	MEMORY_FAULT(RUN(vp(), G_READ, page), page, KVM_MEMORY_EXIT_FLAG_PRIVATE);
	vm_convert(vm(), page, PAGE, true);
	faults(__LINE__, "the access", resume(vp()), VC, EXIT_NOT_VALIDATED);
}
/* The VMM takes a page away and gives another: the guest must not take that for its own. */
TEST("fault.replaced_page")
{
	u64 page = validated_page();

	DO(G_WRITE, page, 0x55);
	vm_convert(vm(), page, PAGE, false);
	vm_convert(vm(), page, PAGE, true);
	VC_ON(EXIT_NOT_VALIDATED, G_READ, page);
	OK(VALIDATE(page, SIZE_4K, 1, false));
	NE(DO(G_READ, page), 0x55);
}
TEST("fault.validate_shared_page")
{
	u64 page = new_page();

	vm_convert(vm(), page, PAGE, false);
	MEMORY_FAULT(RUN(vp(), G_PVALIDATE, page, SIZE_4K, 1), page, KVM_MEMORY_EXIT_FLAG_PRIVATE);
	vm_convert(vm(), page, PAGE, true);
	OK(done(__LINE__, "PVALIDATE", resume(vp())));
}

/* The MSR protocol */

TEST("msr.sev_information") { EQ(MSR(2), 2UL << 48 | 1UL << 32 | (u64)(cpuid(0x8000001f).ebx & 0x3f) << 24 | 1); }
TEST("msr.cpuid")
{
	EQ(MSR(1UL << 30 | 4) >> 32, cpuid(0).ebx);
	EQ(MSR(2UL << 30 | 4) >> 32, cpuid(0).ecx);
	EQ(MSR(0x8000001fUL << 32 | 1UL << 30 | 4) >> 32 & 0x3f, cpuid(0x8000001f).ebx & 0x3f);
}
/* SNP, and AP creation */
TEST("msr.features") { EQ(MSR(0x80), 3UL << 12 | 0x81); }
TEST("msr.preferred_ghcb") { EQ(MSR(0x10), ~0xfffUL | 0x11); }
TEST("msr.unknown") { EQ(MSR(0xabcde0f0UL), 0xabcde0f0UL); }

/* The GHCB */

TEST("ghcb.cpuid")
{
	volatile struct command *m = vp()->command;

	m->ghcb.rax = 0x80000000;
	m->ghcb.rcx = 0;
	GHCB(EXIT_CPUID, 0, 0);
	EQ(m->ghcb.rbx, cpuid(0x80000000).ebx);
	EQ(m->ghcb.rcx, cpuid(0x80000000).ecx);
	EQ(m->ghcb.rdx, cpuid(0x80000000).edx);
	NE(m->ghcb.rbx, 0);
}
TEST("ghcb.features") { GHCB(EXIT_FEATURES, 0, 0); ANSWER(0, 3); }
TEST("ghcb.port_out")
{
	static const u32 flags[] = { BIT(4), BIT(5), BIT(6) };
	struct kvm_run *k = vp()->run;

	for (u32 i = 0; i < 3; i++) {
		vp()->command->ghcb.rax = 0xa1b2c3d4;
		EQ(ghcb_exit(vp(), EXIT_IOIO, 0x1234 << 16 | flags[i], 0, 0).exit, KVM_EXIT_IO);
		EQ(k->io.port, 0x1234);
		EQ(k->io.direction, KVM_EXIT_IO_OUT);
		EQ(k->io.size, 1 << i);
		EQ(k->io.count, 1);
		OK(memcmp((u8 *)k + k->io.data_offset, (u32[]){ 0xa1b2c3d4 }, 1 << i));
		done(__LINE__, "OUT", resume(vp()));
	}
}
TEST("ghcb.port_in")
{
	struct kvm_run *k = vp()->run;

	EQ(ghcb_exit(vp(), EXIT_IOIO, 0x1234 << 16 | BIT(6) | 1, 0, 0).exit, KVM_EXIT_IO);
	EQ(k->io.direction, KVM_EXIT_IO_IN);
	*(u32 *)((u8 *)k + k->io.data_offset) = 0x600df00d;
	done(__LINE__, "IN", resume(vp()));
	EQ(vp()->command->ghcb.rax, 0x600df00d);
}
TEST("ghcb.port_string")
{
	struct kvm_run *k = vp()->run;

	memcpy((u8 *)vp()->command->buffer, "confidential", 12);
	EQ(ghcb_exit(vp(), EXIT_IOIO, 0x1234 << 16 | BIT(9) | BIT(4) | BIT(3) | BIT(2), 12, 0).exit, KVM_EXIT_IO);
	EQ(k->io.count, 12);
	OK(memcmp((u8 *)k + k->io.data_offset, "confidential", 12));
	done(__LINE__, "OUTS", resume(vp()));
}
TEST("ghcb.mmio_write")
{
	struct kvm_run *k = vp()->run;

	memcpy((u8 *)vp()->command->buffer, "\1\2\3\4\5\6\7\10", 8);
	EQ(ghcb_exit(vp(), EXIT_MMIO_WRITE, G_DEVICE + 8, 8, 0).exit, KVM_EXIT_MMIO);
	EQ(k->mmio.phys_addr, G_DEVICE + 8);
	EQ(k->mmio.len, 8);
	EQ(k->mmio.is_write, 1);
	OK(memcmp(k->mmio.data, "\1\2\3\4\5\6\7\10", 8));
	done(__LINE__, "the write", resume(vp()));
	ANSWER(0, 0);
}
TEST("ghcb.mmio_read")
{
	struct kvm_run *k = vp()->run;

	memset((u8 *)vp()->command->buffer, 0, 8);
	EQ(ghcb_exit(vp(), EXIT_MMIO_READ, G_DEVICE, 4, 0).exit, KVM_EXIT_MMIO);
	EQ(k->mmio.is_write, 0);
	EQ(k->mmio.len, 4);
	memcpy(k->mmio.data, "read", 4);
	done(__LINE__, "the read", resume(vp()));
	OK(memcmp((u8 *)vp()->command->buffer, "read\0\0\0\0", 8));
}
TEST("ghcb.msr_read")
{
	volatile struct command *m = vp()->command;

	/* The APIC's base; this is the first processor */
	m->ghcb.rcx = 0x1b;
	GHCB(EXIT_MSR, 0, 0);
	ANSWER(0, 0);
	EQ(m->ghcb.rax, 0xfee00900);
}
TEST("ghcb.msr_unknown")
{
	vp()->command->ghcb.rcx = 0x12345678;
	GHCB(EXIT_MSR, 0, 0);
	/* #GP, in the form of EVENTINJ; the upper half belongs to an error code, of which there is none */
	EQ(vp()->command->ghcb.info1, 1);
	EQ((u32)vp()->command->ghcb.info2, 0x8000030d);
}
TEST("ghcb.missing_input")
{
	done(__LINE__, "VMGEXIT", ghcb_exit(vp(), EXIT_CPUID, 0, 0, V_RCX));
	ANSWER(2, MISSING_INPUT);
	done(__LINE__, "VMGEXIT", ghcb_exit(vp(), EXIT_FEATURES, 0, 0, V_INFO2));
	ANSWER(2, MISSING_INPUT);
	/* XCR0 belongs to this leaf */
	vp()->command->ghcb.rax = 0xd;
	GHCB(EXIT_CPUID, 0, 0);
	ANSWER(2, MISSING_INPUT);
}
TEST("ghcb.unknown_event") { GHCB(0x8000f000, 0, 0); ANSWER(2, INVALID_EVENT); }
TEST("ghcb.unknown_usage")
{
	vp()->command->ghcb.usage = 1;
	GHCB(EXIT_FEATURES, 0, 0);
	vp()->command->ghcb.usage = 0;
	ANSWER(2, INVALID_USAGE);
}
TEST("ghcb.scratch_outside")
{
	volatile struct command *m = vp()->command;

	m->ghcb.code = EXIT_MMIO_WRITE;
	m->ghcb.info1 = G_DEVICE;
	m->ghcb.info2 = 8;
	m->ghcb.scratch = G_EXCHANGE;
	DO(G_VMGEXIT, 0);
	ANSWER(2, INVALID_SCRATCH);
}
TEST("ghcb.not_registered")
{
	struct vm *v = vm_new(1);

	EQ(run(&v->vp[0], G_GHCB_MSR, G_EXCHANGE, 0, 0).exit, FAILED + EINVAL);
	vm_destroy(v);
}

static void terminated(int line, struct vm *v, struct result r, u64 data)
{
	struct kvm_run *k = v->vp[0].run;

	if (r.exit != KVM_EXIT_SYSTEM_EVENT)
		fail("line %d: exit %lx", line, r.exit);
	if (k->system_event.type != KVM_SYSTEM_EVENT_SEV_TERM || k->system_event.ndata != 1 ||
	    k->system_event.data[0] != data)
		fail("line %d: event %x, data %llx", line, k->system_event.type, k->system_event.data[0]);
	vm_destroy(v);
}

TEST("terminate.msr")
{
	struct vm *v = vm_new(1);

	terminated(__LINE__, v, run(&v->vp[0], G_GHCB_MSR, 0x123100, 0, 0), 0x123100);
}
TEST("terminate.ghcb")
{
	struct vm *v = vm_new(1);

	terminated(__LINE__, v, ghcb_exit(&v->vp[0], EXIT_TERMINATE, 0x12, 0, 0), G_GHCBS);
}

/* More than one vCPU: the guest makes the VMSA of the second. */

#define CREATE		1UL
#define DESTROY		2UL
#define APIC_ID(id)	((u64)(id) << 32)
#define VMSA		(BIT(16) | 1)

static u64 ap_vmsa;

static void create(u64 info1, u64 gpa)
{
	vp()->command->ghcb.rax = 1;
	GHCB(EXIT_AP_CREATION, info1, gpa);
}

static u64 new_vmsa(void)
{
	u64 page = validated_page();

	make_vmsa(shared(vm(), G_EXCHANGE), 1);
	DO(G_COPY, page, G_EXCHANGE, PAGE);
	OK(DO(G_RMPADJUST, page, SIZE_4K, VMSA));
	return page;
}

static struct vp *ap(void)
{
	static int of;

	vm();
	if (of != generation || !ap_vmsa) {
		ap_vmsa = new_vmsa();
		create(CREATE | APIC_ID(1), ap_vmsa);
		ANSWER(0, 0);
		EQ(first_run(&vm()->vp[1]), DONE);
		of = generation;
	}
	return &vm()->vp[1];
}

TEST("ap.create_unknown_cpu") { create(CREATE | APIC_ID(7), new_vmsa()); ANSWER(2, INVALID_INPUT); }
TEST("ap.create_unaligned") { create(CREATE | APIC_ID(1), new_vmsa() + 8); ANSWER(2, INVALID_INPUT); }
/* Erratum: a VMSA at the start of 2 MiB is not safe. */
TEST("ap.create_at_2m") { vm(); create(CREATE | APIC_ID(1), G_LARGE); ANSWER(2, INVALID_INPUT); }
/* VMRUN takes no page for a VMSA that the guest has not made one */
TEST("ap.create_without_vmsa")
{
	create(CREATE | APIC_ID(1), validated_page());
	ANSWER(0, 0);
	EQ(first_run(&vm()->vp[1]), KVM_EXIT_FAIL_ENTRY);
	/* VMEXIT_INVALID */
	EQ((u32)vm()->vp[1].run->fail_entry.hardware_entry_failure_reason, (u32)-1);
}
TEST("ap.create")
{
	EQ(done(__LINE__, "a read", RUN(ap(), G_READ, G_UNMEASURED)), 0x7777777777777777);
	EQ(done(__LINE__, "SEV_STATUS", RUN(ap(), G_RDMSR, 0xc0010131)), 7);
}
TEST("ap.one_memory")
{
	u64 page = validated_page();

	DO(G_WRITE, page, 77);
	EQ(done(__LINE__, "a read", RUN(ap(), G_READ, page)), 77);
	done(__LINE__, "a write", RUN(ap(), G_WRITE, page, 78));
	EQ(DO(G_READ, page), 78);
}

static void *run_thread(void *arg)
{
	static struct result results[VCPUS];
	struct vp *vp = arg;

	results[vp->id] = resume(vp);
	return &results[vp->id];
}

TEST("ap.at_the_same_time")
{
	u64 page = validated_page(), sum = 0;
	struct vp *vps[VCPUS] = { vp(), ap() };
	struct result *r[VCPUS];
	pthread_t thread[VCPUS];

	DO(G_WRITE, page, 0);
	for (int i = 0; i < VCPUS; i++) {
		begin(vps[i], G_SPIN, page, 0, 0);
		OK(pthread_create(&thread[i], NULL, run_thread, vps[i]));
	}
	usleep(500000);
	for (int i = 0; i < VCPUS; i++)
		vps[i]->command->stop = 1;
	for (int i = 0; i < VCPUS; i++)
		pthread_join(thread[i], (void **)&r[i]);
	for (int i = 0; i < VCPUS; i++) {
		NE(done(__LINE__, "the count", *r[i]), 0);
		sum += r[i]->value;
	}
	EQ(DO(G_READ, page), sum);
}

/* The second vCPU is at work in a page while the VMM does something with it. */
static struct result meanwhile(u64 page, void (*what)(u64 page))
{
	struct vp *second = ap();
	struct result *r;
	pthread_t thread;

	begin(second, G_SPIN, page, 0, 0);
	OK(pthread_create(&thread, NULL, run_thread, second));
	usleep(200000);
	what(page);
	pthread_join(thread, (void **)&r);
	return *r;
}

static void share(u64 page) { vm_convert(vm(), page, PAGE, false); }
static void discard(u64 page)
{
	OK(fallocate(vm()->gmem, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page, PAGE));
}

TEST("ap.page_converted_meanwhile")
{
	u64 page = validated_page();
	struct kvm_run *k = ap()->run;

	EQ(meanwhile(page, share).exit, KVM_EXIT_MEMORY_FAULT);
	EQ(k->memory_fault.gpa, page);
	EQ(k->memory_fault.flags, KVM_MEMORY_EXIT_FLAG_PRIVATE);
	vm_convert(vm(), page, PAGE, true);
	faults(__LINE__, "the access", resume(ap()), VC, EXIT_NOT_VALIDATED);
}
TEST("ap.page_discarded_meanwhile")
{
	u64 page = validated_page();

	faults(__LINE__, "the access", meanwhile(page, discard), VC, EXIT_NOT_VALIDATED);
	/* For the other one it is gone, too. */
	VC_ON(EXIT_NOT_VALIDATED, G_READ, page);
}
TEST("ap.destroy")
{
	ap();
	create(DESTROY | APIC_ID(1), 0);
	ANSWER(0, 0);
	/* It is the guest's page again */
	OK(DO(G_RMPADJUST, ap_vmsa, SIZE_4K, 1));
	DO(G_WRITE, ap_vmsa, 1);
	ap_vmsa = 0;
}

/* Conversions without end, from processor to processor */

#define ROUNDS		200
#define PAGES_EACH	16

struct worker {
	struct vp *vp;
	u64 base;
	unsigned int seed;
	int round;
	u64 last[PAGES_EACH];
	const char *wrong;
	struct result r;
	u64 seen;
};

static void move(struct worker *w)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(rand_r(&w->seed) % sysconf(_SC_NPROCESSORS_ONLN), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* Is the command done, with this value? */
static bool gives(struct worker *w, u64 value, enum op op, u64 a, u64 b, u64 c)
{
	w->r = run(w->vp, op, a, b, c);
	return w->r.exit == DONE && w->r.vector == (u64)NONE && w->r.value == value;
}

/* A page, private with what was written there in the last round, is shared and private again. */
static const char *convert_round(struct worker *w)
{
	int i = rand_r(&w->seed) % PAGES_EACH;
	u64 page = w->base + i * PAGE, mark = (u64)w->round << 33 | (u64)w->vp->id << 32 | page;
	volatile u64 *seen = shared(w->vp->vm, page);
	u64 *before = &w->last[i];

	if (!*before && !gives(w, 0, G_PVALIDATE, page, SIZE_4K, 1))
		return "first PVALIDATE";
	if (*before && !gives(w, *before, G_READ, page + 8, 0, 0))
		return "private data is lost";
	if (!gives(w, 0, G_PVALIDATE, page, SIZE_4K, 0))
		return "PVALIDATE off";
	if (!gives(w, 0x15, G_GHCB_MSR, page | SHARE << 52 | 0x14, 0, 0))
		return "request to share";
	if (!gives(w, 0, G_WRITE, plain(page) + 8, ~mark, 0))
		return "shared write";
	w->seen = seen[1];
	if (w->seen != ~mark)
		return "the guest's shared data is not seen";
	seen[1] = mark + 1;
	if (!gives(w, mark + 1, G_READ, plain(page) + 8, 0, 0))
		return "the VMM's shared data is not seen";
	if (!gives(w, 0x15, G_GHCB_MSR, page | UNSHARE << 52 | 0x14, 0, 0))
		return "request for a private page";
	if (!gives(w, 0, G_PVALIDATE, page, SIZE_4K, 1))
		return "PVALIDATE on";
	if (!gives(w, 0, G_WRITE, page + 8, mark, 0))
		return "private write";
	*before = mark;
	w->seen = seen[1];
	return w->seen ? "private data is seen" : NULL;
}

static void *convert(void *arg)
{
	struct worker *w = arg;

	for (w->round = 0; w->round < ROUNDS && !w->wrong; w->round++) {
		if (!(w->round % 4))
			move(w);
		w->wrong = convert_round(w);
	}
	return NULL;
}

TEST("stress.conversions")
{
	struct worker w[VCPUS] = { { .vp = vp(), .seed = 1 }, { .vp = ap(), .seed = 2 } };
	pthread_t thread[VCPUS];

	for (int i = 0; i < VCPUS; i++) {
		w[i].base = new_page();
		next += (PAGES_EACH - 1) * PAGE;
	}
	TRUE(next <= G_TEST_SHARED);
	for (int i = 0; i < VCPUS; i++)
		OK(pthread_create(&thread[i], NULL, convert, &w[i]));
	for (int i = 0; i < VCPUS; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < VCPUS; i++)
		if (w[i].wrong)
			fail("vCPU %d, round %d: %s; exit %lx, value %lx, exception %lx, error code %lx; seen: %lx", i,
			     w[i].round, w[i].wrong, w[i].r.exit, w[i].r.value, w[i].r.vector, w[i].r.error, w[i].seen);
}
/* Two guests on one processor, with their pages at the same addresses */
TEST("stress.two_guests")
{
	struct vm *v[2] = { vm(), vm_new(1) };
	u64 page = validated_page();
	cpu_set_t all, one;

	OK(done(__LINE__, "PVALIDATE", run(&v[1]->vp[0], G_PVALIDATE, page, SIZE_4K, 1)));
	OK(sched_getaffinity(0, sizeof(all), &all));
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	OK(sched_setaffinity(0, sizeof(one), &one));
	for (u64 i = 0; i < 400; i++) {
		struct vp *p = &v[i % 2]->vp[0];

		if (i >= 2)
			EQ(done(__LINE__, "a read", run(p, G_READ, page, 0, 0)), i - 2);
		done(__LINE__, "a write", run(p, G_WRITE, page, i, 0));
	}
	OK(sched_setaffinity(0, sizeof(all), &all));
	vm_destroy(v[1]);
}

/* Messages to the firmware. SEV-SNP Firmware ABI, chapter 7; only what follows from ALGO on is authenticated. */

struct PACKED message {
	u8 tag[32];
	u64 sequence, reserved1;
	u8 algorithm, header_version;
	u16 header_size;
	u8 type, version;
	u16 size;
	u32 reserved2;
	u8 key, reserved3[35];
	u8 payload[4000];
};

struct PACKED report {
	u32 status, size, reserved[6];
	u32 version, guest_svn;
	u64 policy;
	u8 family_id[16], image_id[16];
	u32 vmpl, signature_algorithm;
	u64 current_tcb, platform_info;
	u32 flags, reserved1;
	u8 data[64], measurement[48], host_data[32];
};

#define REQUEST		(G_EXCHANGE + PAGE)
#define RESPONSE	(G_EXCHANGE + 2 * PAGE)

static u64 sequence;

/* Only the guest sees the key of VMPL 0's messages: so it shows it here. It goes on counting where we were. */
static const u8 *key(void)
{
	static int of;

	vm();
	if (of != generation) {
		DO(G_COPY, G_EXCHANGE + 3 * PAGE, G_SECRETS, PAGE);
		of = generation;
		sequence = 0;
	}
	return (u8 *)shared(vm(), G_EXCHANGE + 3 * PAGE) + 0x20;
}

static struct message *new_request(u8 fill)
{
	struct message *m = shared(vm(), REQUEST);
	u8 payload[96] = { 0 }, iv[12] = { 0 };

	key();
	memset(payload, fill, 64);
	memset(m, 0, sizeof(*m));
	m->sequence = sequence + 1;
	m->algorithm = 1;
	m->header_version = 1;
	m->header_size = 0x60;
	m->type = 5;
	m->version = 1;
	m->size = sizeof(payload);
	memcpy(iv, &m->sequence, 8);
	aes_gcm(key(), iv, &m->algorithm, 0x30, payload, m->payload, m->size, false, m->tag);
	return m;
}

static const struct report *get_report(u8 fill)
{
	static u8 payload[4000];
	struct message *m = shared(vm(), RESPONSE);
	u8 iv[12] = { 0 }, tag[16];

	new_request(fill);
	GHCB(EXIT_GUEST_REQUEST, REQUEST, RESPONSE);
	ANSWER(0, 0);
	sequence += 2;
	EQ(m->type, 6);
	EQ(m->sequence, sequence);
	TRUE(m->size <= sizeof(payload) && m->size >= sizeof(struct report));
	memcpy(iv, &m->sequence, 8);
	aes_gcm(key(), iv, &m->algorithm, 0x30, m->payload, payload, m->size, true, tag);
	OK(memcmp(tag, m->tag, 16));
	return (const struct report *)payload;
}

TEST("attest.keys") { TRUE(!all_bytes(key(), 0, 32)); NE(memcmp(key(), key() + 32, 32), 0); }
TEST("attest.report")
{
	const struct report *r = get_report(0xa5);

	OK(r->status);
	EQ(r->policy, POLICY);
	OK(r->vmpl);
	TRUE(all_bytes(r->data, 0xa5, 64));
	EQ(r->host_data[0], 0x5a);
	EQ(r->host_data[2], 0);
}
/* The hash of all that vm_load() and KVM launched: pages, their types and places, and both VMSAs */
TEST("attest.measurement") { OK(memcmp(get_report(0)->measurement, vm()->digest, 48)); }
TEST("attest.changed_message")
{
	struct message *m = new_request(1);

	m->payload[0] ^= 1;
	GHCB(EXIT_GUEST_REQUEST, REQUEST, RESPONSE);
	/* BAD_MEASUREMENT */
	ANSWER(0, 11);
}
TEST("attest.same_page_twice") { new_request(1); GHCB(EXIT_GUEST_REQUEST, REQUEST, REQUEST); ANSWER(2, MISSING_INPUT); }
/* The firmware's certificates go with it. KVM has none to give: the table is empty. */
TEST("attest.extended_request")
{
	volatile struct command *m = vp()->command;
	u8 *table = shared(vm(), G_EXCHANGE + 4 * PAGE);

	memset(table, 0xff, PAGE);
	new_request(2);
	m->ghcb.rax = G_EXCHANGE + 4 * PAGE;
	m->ghcb.rbx = 1;
	GHCB(EXIT_EXTENDED_REQUEST, REQUEST, RESPONSE);
	ANSWER(0, 0);
	sequence += 2;
	TRUE(all_bytes(table, 0, 24));
	EQ(((struct message *)shared(vm(), RESPONSE))->type, 6);
}
TEST("attest.after_errors") { TRUE(all_bytes(get_report(0x3c)->data, 0x3c, 64)); }

/* Much memory, and where it goes */

#define BULK	(8UL << 20)

static void use_bulk(struct vm *v)
{
	EQ(done(__LINE__, "PVALIDATE", run(&v->vp[0], G_PVALIDATE_ALL, G_BULK, BULK, 0)), 0);
	done(__LINE__, "writes", run(&v->vp[0], G_FILL_WORDS, G_BULK, BULK, 0));
	EQ(done(__LINE__, "reads", run(&v->vp[0], G_CHECK_WORDS, G_BULK, BULK, 0)), 0);
}

static u64 free_kib(void)
{
	char line[128];
	unsigned long kib = 0;
	FILE *f = fopen("/proc/meminfo", "r");

	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "MemFree: %lu kB", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

/* Writes to most of what is free: what is still a guest's, the processor would not let us. */
static void use_host_memory(void)
{
	u64 size = (free_kib() << 10) / 8 * 7 & -LARGE;
	u8 *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	TRUE(p != MAP_FAILED);
	for (u64 at = 0; at < size; at += PAGE)
		p[at] = 1;
	munmap(p, size);
}

TEST("memory.bulk") { struct vm *v = vm_new(1); use_bulk(v); vm_destroy(v); }
/* Several times, for the kernel keeps some of what is given back apart from what it counts as free. */
TEST("memory.comes_back")
{
	u64 before = 0, after;

	for (int i = 0; i <= 8; i++) {
		struct vm *v = vm_new(1);

		use_bulk(v);
		vm_destroy(v);
		after = free_kib();
		if (!i)
			before = after;
	}
	if (after + (8 * BULK >> 11) < before)
		fail("%lu KiB were free before, %lu after", before, after);
}
/* Whoever runs the guest is killed. */
TEST("memory.comes_back_from_the_killed")
{
	int status, ready[2];
	pid_t child;
	char c;

	OK(pipe(ready));
	child = fork();
	TRUE(child >= 0);
	if (!child) {
		struct vm *v = vm_new(1);

		use_bulk(v);
		if (write(ready[1], "r", 1) == 1)
			run(&v->vp[0], G_SPIN, G_BULK, 0, 0);
		_exit(1);
	}
	close(ready[1]);
	EQ(read(ready[0], &c, 1), 1);
	close(ready[0]);
	usleep(200000);
	kill(child, SIGKILL);
	EQ(waitpid(child, &status, 0), child);
	TRUE(WIFSIGNALED(status));
	use_host_memory();
}
/* The common VM is there all the time */
TEST("memory.of_others_stays") { EQ(DO(G_READ, G_UNMEASURED), 0x7777777777777777); vm_destroy(common); common = NULL; }
