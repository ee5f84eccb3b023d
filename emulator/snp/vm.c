// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A VM's memory is one slot with guest_memfd. All of it is private but where the
 * commands and the GHCBs are, and what the guest asks to have shared.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_para.h>
#include <linux/psp-sev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"

#define PTE_FLAGS	(PTE_P | PTE_W)

extern const u8 guest_image[], guest_image_end[];

static int kvm = -1, firmware = -1;

static int must(const char *what, int ret)
{
	if (ret < 0)
		fail("%s: %s", what, strerror(errno));
	return ret;
}

static int must_open(const char *path)
{
	return must(path, open(path, O_RDWR | O_CLOEXEC));
}

static u64 c_bit(void)
{
	return BIT(cpuid(0x8000001f).ebx & 0x3f);
}

int sev(struct vm *vm, u32 command, void *data, u32 *firmware_error)
{
	struct kvm_sev_cmd cmd = { .id = command, .data = (u64)data, .sev_fd = firmware };
	int ret = ioctl(vm->fd, KVM_MEMORY_ENCRYPT_OP, &cmd) < 0 ? errno : 0;

	if (firmware_error)
		*firmware_error = cmd.error;
	return ret;
}

struct vm *vm_create(void)
{
	struct kvm_enable_cap hypercalls = { .cap = KVM_CAP_EXIT_HYPERCALL, .args[0] = 1 << KVM_HC_MAP_GPA_RANGE };
	struct kvm_enable_cap irqchip = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = 24 };
	struct vm *vm = calloc(1, sizeof(*vm));

	if (kvm < 0) {
		kvm = must_open("/dev/kvm");
		firmware = must_open("/dev/sev");
	}
	vm->gmem = -1;
	vm->fd = must("KVM_CREATE_VM", ioctl(kvm, KVM_CREATE_VM, KVM_X86_SNP_VM));
	must("KVM_CAP_EXIT_HYPERCALL", ioctl(vm->fd, KVM_ENABLE_CAP, &hypercalls));
	must("KVM_CAP_SPLIT_IRQCHIP", ioctl(vm->fd, KVM_ENABLE_CAP, &irqchip));
	return vm;
}

int vm_init(struct vm *vm)
{
	struct kvm_sev_init init = { .ghcb_version = 2 };

	return sev(vm, KVM_SEV_INIT2, &init, NULL);
}

int vm_attributes(struct vm *vm, u64 gpa, u64 size, u64 attributes)
{
	struct kvm_memory_attributes a = { .address = gpa, .size = size, .attributes = attributes };
	int ret;

	do
		ret = ioctl(vm->fd, KVM_SET_MEMORY_ATTRIBUTES, &a) < 0 ? errno : 0;
	while (ret == EINTR);
	return ret;
}

void vm_convert(struct vm *vm, u64 gpa, u64 size, bool private)
{
	errno = vm_attributes(vm, gpa, size, private ? PRIVATE : 0);
	must("KVM_SET_MEMORY_ATTRIBUTES", errno ? -1 : 0);
	if (private)
		must("MADV_DONTNEED", madvise(vm->shared + gpa, size, MADV_DONTNEED));
	else
		must("punching a hole", fallocate(vm->gmem, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, gpa, size));
}

void vm_memory(struct vm *vm)
{
	struct kvm_create_guest_memfd memfd = { .size = G_END };
	struct kvm_userspace_memory_region2 slot = {
		.flags = KVM_MEM_GUEST_MEMFD,
		.memory_size = G_END,
	};

	vm->gmem = must("KVM_CREATE_GUEST_MEMFD", ioctl(vm->fd, KVM_CREATE_GUEST_MEMFD, &memfd));
	vm->shared = mmap(NULL, G_END, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must("mmap", vm->shared == MAP_FAILED ? -1 : 0);
	slot.userspace_addr = (u64)vm->shared;
	slot.guest_memfd = vm->gmem;
	must("KVM_SET_USER_MEMORY_REGION2", ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &slot));
	errno = vm_attributes(vm, 0, G_COMMANDS, PRIVATE);
	if (!errno)
		errno = vm_attributes(vm, G_SHARED_END, G_END - G_SHARED_END, PRIVATE);
	must("KVM_SET_MEMORY_ATTRIBUTES", errno ? -1 : 0);
}

/* The first vCPU starts in the program. The others wait for the guest to create them. */
static void start_state(struct vp *vp)
{
	struct kvm_segment data = {
		.limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1,
	};
	struct kvm_segment code = {
		.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1,
	};
	struct kvm_mp_state halted = { KVM_MP_STATE_HALTED };
	struct vmsa v;
	struct kvm_sregs s;
	struct kvm_regs r = { .rflags = 2 };

	must("KVM_GET_SREGS", ioctl(vp->fd, KVM_GET_SREGS, &s));
	if (vp->id) {
		/* What KVM gave is not quite what it has: segments are accessed there. */
		must("KVM_SET_SREGS", ioctl(vp->fd, KVM_SET_SREGS, &s));
		must("KVM_SET_MP_STATE", ioctl(vp->fd, KVM_SET_MP_STATE, &halted));
		return;
	}
	make_vmsa(&v, vp->id);
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = v.cr0;
	s.cr3 = v.cr3;
	s.cr4 = v.cr4;
	s.efer = v.efer & ~BIT(12);
	must("KVM_SET_SREGS", ioctl(vp->fd, KVM_SET_SREGS, &s));
	r.rip = v.rip;
	r.rsp = v.rsp;
	r.rdi = v.rdi;
	must("KVM_SET_REGS", ioctl(vp->fd, KVM_SET_REGS, &r));
}

int vm_vcpu(struct vm *vm)
{
	struct vp *vp = &vm->vp[vm->vcpus];
	struct kvm_cpuid2 *c;
	int size;

	vp->vm = vm;
	vp->id = vm->vcpus;
	vp->fd = ioctl(vm->fd, KVM_CREATE_VCPU, vp->id);
	if (vp->fd < 0)
		return errno;
	size = must("KVM_GET_VCPU_MMAP_SIZE", ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	vp->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vp->fd, 0);
	must("mmap of a vCPU", vp->run == MAP_FAILED ? -1 : 0);
	vp->command = shared(vm, G_COMMANDS + vp->id * PAGE);
	c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));
	c->nent = 256;
	must("KVM_GET_SUPPORTED_CPUID", ioctl(kvm, KVM_GET_SUPPORTED_CPUID, c));
	must("KVM_SET_CPUID2", ioctl(vp->fd, KVM_SET_CPUID2, c));
	free(c);
	start_state(vp);
	vm->vcpus++;
	return 0;
}

int vm_start(struct vm *vm, u64 policy, u32 *firmware_error)
{
	struct kvm_sev_snp_launch_start start = { .policy = policy };

	return sev(vm, KVM_SEV_SNP_LAUNCH_START, &start, firmware_error);
}

/*
 * SEV-SNP Firmware ABI, 8.17.2: each page adds the hash of what was before, of
 * what it holds, its type and its place. For pages that are not measured, or
 * that firmware fills, zeros stand.
 */
static void measure(struct vm *vm, u64 gpa, const void *contents, int type)
{
	struct PACKED {
		u8 before[48], contents[48];
		u16 length;
		u8 type, imi, vmpl3, vmpl2, vmpl1, reserved;
		u64 gpa;
	} info = { .length = sizeof(info), .type = type, .gpa = gpa };

	memcpy(info.before, vm->digest, sizeof(info.before));
	if (contents)
		sha384(contents, PAGE, info.contents);
	sha384(&info, sizeof(info), vm->digest);
}

int vm_update(struct vm *vm, u64 gpa, const void *contents, u64 size, int type, u32 *firmware_error)
{
	struct kvm_sev_snp_launch_update update = {
		.gfn_start = gpa / PAGE, .uaddr = (u64)contents, .len = size, .type = type,
	};
	int ret;

	/* KVM may stop on its way, and says how far it came. */
	do
		ret = sev(vm, KVM_SEV_SNP_LAUNCH_UPDATE, &update, firmware_error);
	while (ret == EINTR || ret == EAGAIN || (!ret && update.len));
	for (u64 at = 0; !ret && at < size; at += PAGE)
		measure(vm, gpa + at, type == KVM_SEV_SNP_PAGE_TYPE_NORMAL ? (const u8 *)contents + at : NULL, type);
	return ret;
}

static void must_update(const char *what, struct vm *vm, u64 gpa, const void *contents, u64 size, int type)
{
	u32 error;
	int ret = vm_update(vm, gpa, contents, size, type, &error);

	if (ret)
		fail("LAUNCH_UPDATE of %s: %s, firmware's error %x", what, strerror(ret), error);
}

/* The guest's page tables, as guest.h has them */
static void load_tables(struct vm *vm)
{
	static u64 t[8][512] __attribute__((aligned(PAGE)));
	u64 private = PTE_FLAGS | c_bit();

	memset(t, 0, sizeof(t));
	t[0][0] = (G_TABLES + 1 * PAGE) | private;
	t[1][0] = (G_TABLES + 2 * PAGE) | private;
	for (u64 i = 0; i < 4; i++)
		t[2][i] = (G_TABLES + (3 + i) * PAGE) | private;
	t[2][4] = G_LARGE | private | PTE_LARGE;
	t[2][5] = G_LARGE | PTE_FLAGS | PTE_LARGE;
	t[2][6] = (G_TABLES + 7 * PAGE) | private;
	for (u64 gpa = G_BULK; gpa < G_END; gpa += LARGE)
		t[2][gpa / LARGE] = gpa | private | PTE_LARGE;
	for (u64 i = 0; i < 512; i++) {
		u64 low = i * PAGE, second = G_TABLES + i * PAGE;

		t[3][i] = low | private;
		t[4][i] = second | (second >= G_COMMANDS ? PTE_FLAGS : private);
		t[5][i] = (G_TEST + i * PAGE) | private;
		t[6][i] = (G_TEST + i * PAGE) | PTE_FLAGS;
		t[7][i] = (G_LARGE + i * PAGE) | private;
	}
	must_update("the page tables", vm, G_TABLES, t, sizeof(t), KVM_SEV_SNP_PAGE_TYPE_NORMAL);
}

static void add_cpuid(struct cpuid_page *p, u32 leaf, u32 subleaf)
{
	typeof(p->entry[0]) *e = &p->entry[p->count++];
	u32 a, b, c, d;

	asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(leaf), "c"(subleaf));
	e->leaf = leaf;
	e->subleaf = subleaf;
	e->eax = a;
	e->ebx = b;
	e->ecx = c;
	e->edx = d;
}

void vm_load(struct vm *vm)
{
	static const u32 leaves[] = { 0, 1, 7, 0x80000000, 0x80000001, 0x80000008, 0x8000001f };
	u8 page[PAGE] __attribute__((aligned(PAGE)));

	must_update("the program", vm, G_IMAGE, guest_image, guest_image_end - guest_image,
		    KVM_SEV_SNP_PAGE_TYPE_NORMAL);
	load_tables(vm);
	must_update("the secrets", vm, G_SECRETS, page, PAGE, KVM_SEV_SNP_PAGE_TYPE_SECRETS);
	for (u64 i = 0; i < ARRAY_SIZE(leaves); i++)
		add_cpuid(&vm->cpuid, leaves[i], 0);
	must_update("the CPUID page", vm, G_CPUID_PAGE, &vm->cpuid, PAGE, KVM_SEV_SNP_PAGE_TYPE_CPUID);
	must_update("a page of zeros", vm, G_ZERO, NULL, PAGE, KVM_SEV_SNP_PAGE_TYPE_ZERO);
	memset(page, 0x77, PAGE);
	must_update("an unmeasured page", vm, G_UNMEASURED, page, PAGE, KVM_SEV_SNP_PAGE_TYPE_UNMEASURED);
}

static struct segment as_vmsa(const struct kvm_segment *s)
{
	return (struct segment){
		s->selector, s->type | s->s << 4 | s->dpl << 5 | s->present << 7 | s->avl << 8 | s->l << 9 |
		s->db << 10 | s->g << 11, s->limit, s->base,
	};
}

/* What has a value in each VMSA that KVM makes, and in ours */
static void common_state(struct vmsa *v)
{
	v->dr7 = 0x400;
	v->dr6 = 0xffff0ff0;
	v->pat = 0x0007040600070406;
	v->sev_features = 1;
	v->xcr0 = 1;
	v->mxcsr = 0x1f80;
	v->fcw = 0x37f;
}

void make_vmsa(struct vmsa *v, int id)
{
	const u64 *head = (const u64 *)guest_image;
	struct segment data = { 16, 0xc93, 0xffffffff, 0 };

	memset(v, 0, sizeof(*v));
	common_state(v);
	v->es = v->ss = v->ds = v->fs = v->gs = data;
	v->cs = (struct segment){ 8, 0xa9b, 0xffffffff, 0 };
	v->tr = (struct segment){ 0, 0x8b, 0xffff, 0 };
	v->ldtr = (struct segment){ 0, 0x82, 0xffff, 0 };
	v->efer = 0x1500;
	v->cr4 = BIT(5);
	v->cr3 = G_TABLES | c_bit();
	v->cr0 = 0x80000033;
	v->rflags = 2;
	v->rip = head[0];
	/* As after a call */
	v->rsp = head[1] + (id + 1) * 0x2000 - 8;
	v->rdi = G_COMMANDS + id * PAGE;
}

/* The VMSA that KVM makes of a vCPU's state. It keeps SVME and MCE set, CD and NW clear. */
static void measure_vcpu(struct vp *vp)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct vmsa v = { 0 };

	must("KVM_GET_SREGS", ioctl(vp->fd, KVM_GET_SREGS, &s));
	must("KVM_GET_REGS", ioctl(vp->fd, KVM_GET_REGS, &r));
	common_state(&v);
	v.es = as_vmsa(&s.es);
	v.cs = as_vmsa(&s.cs);
	v.ss = as_vmsa(&s.ss);
	v.ds = as_vmsa(&s.ds);
	v.fs = as_vmsa(&s.fs);
	v.gs = as_vmsa(&s.gs);
	v.ldtr = as_vmsa(&s.ldt);
	v.tr = as_vmsa(&s.tr);
	v.gdtr = (struct segment){ 0, 0, s.gdt.limit, s.gdt.base };
	v.idtr = (struct segment){ 0, 0, s.idt.limit, s.idt.base };
	v.efer = s.efer | BIT(12);
	v.cr4 = s.cr4 | BIT(6);
	v.cr3 = s.cr3;
	v.cr0 = s.cr0 & ~(BIT(30) | BIT(29));
	v.rflags = r.rflags;
	v.rip = r.rip;
	v.rsp = r.rsp;
	v.rax = r.rax; v.rbx = r.rbx; v.rcx = r.rcx; v.rdx = r.rdx;
	v.rbp = r.rbp; v.rsi = r.rsi; v.rdi = r.rdi;
	v.r8 = r.r8; v.r9 = r.r9; v.r10 = r.r10; v.r11 = r.r11;
	v.r12 = r.r12; v.r13 = r.r13; v.r14 = r.r14; v.r15 = r.r15;
	measure(vp->vm, 0xfffffffff000, &v, 2);
}

int vm_finish(struct vm *vm)
{
	struct kvm_sev_snp_launch_finish finish = { .host_data = { 0x5a, 0x5a } };

	for (int i = 0; i < vm->vcpus; i++)
		measure_vcpu(&vm->vp[i]);
	return sev(vm, KVM_SEV_SNP_LAUNCH_FINISH, &finish, NULL);
}

struct vm *vm_new(int vcpus)
{
	struct vm *vm = vm_create();
	u64 exit;

	must("KVM_SEV_INIT2", -(errno = vm_init(vm)));
	vm_memory(vm);
	for (int i = 0; i < vcpus; i++)
		must("KVM_CREATE_VCPU", -(errno = vm_vcpu(vm)));
	must("SNP_LAUNCH_START", -(errno = vm_start(vm, POLICY, NULL)));
	vm_load(vm);
	must("SNP_LAUNCH_FINISH", -(errno = vm_finish(vm)));
	exit = first_run(&vm->vp[0]);
	if (exit != DONE)
		fail("the guest does not start: exit %lx", exit);
	return vm;
}

void vm_destroy(struct vm *vm)
{
	long size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	for (int i = 0; i < vm->vcpus; i++) {
		munmap(vm->vp[i].run, size);
		close(vm->vp[i].fd);
	}
	if (vm->gmem >= 0) {
		close(vm->gmem);
		munmap(vm->shared, G_END);
	}
	close(vm->fd);
	free(vm);
}

/* The guest asks for a page state change. What is noted of it is for tests with one vCPU at work. */
static void map_gpa_range(struct vm *vm, struct kvm_run *r)
{
	u64 gpa = r->hypercall.args[0], pages = r->hypercall.args[1], attributes = r->hypercall.args[2];

	vm->requests++;
	vm->gpa = gpa;
	vm->pages = pages;
	vm->attributes = attributes;
	r->hypercall.ret = 0;
	if (vm->refuse)
		r->hypercall.ret = -KVM_EPERM;
	else
		vm_convert(vm, gpa, pages * PAGE, attributes & KVM_MAP_GPA_RANGE_ENCRYPTED);
}

static u64 vcpu_run(struct vp *vp)
{
	struct kvm_run *r = vp->run;

	for (;;) {
		if (ioctl(vp->fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			if (errno == EFAULT && r->exit_reason == KVM_EXIT_MEMORY_FAULT)
				return KVM_EXIT_MEMORY_FAULT;
			return FAILED + errno;
		}
		if (r->exit_reason == KVM_EXIT_HYPERCALL && r->hypercall.nr == KVM_HC_MAP_GPA_RANGE)
			map_gpa_range(vp->vm, r);
		else if (r->exit_reason == KVM_EXIT_IO && r->io.port == PORT_DONE)
			return DONE;
		else
			return r->exit_reason;
	}
}

struct result resume(struct vp *vp)
{
	volatile struct command *m = vp->command;
	u64 before = m->done;
	struct result r = { .exit = vcpu_run(vp), .vector = NONE };

	if (r.exit == DONE) {
		if (m->done != before + 1)
			fail("the guest has not done what it says it has");
		r.value = m->value;
		for (int i = 0; i < 3; i++)
			r.more[i] = m->more[i];
		r.flags = m->flags;
		r.carry = m->flags & 1;
		r.vector = m->vector;
		r.error = m->error;
		r.cr2 = m->cr2;
	}
	return r;
}

void begin(struct vp *vp, enum op op, u64 a, u64 b, u64 c)
{
	volatile struct command *m = vp->command;

	m->stop = 0;
	m->op = op;
	m->arg[0] = a;
	m->arg[1] = b;
	m->arg[2] = c;
}

struct result run(struct vp *vp, enum op op, u64 a, u64 b, u64 c)
{
	begin(vp, op, a, b, c);
	return resume(vp);
}

u64 first_run(struct vp *vp)
{
	return vcpu_run(vp);
}
