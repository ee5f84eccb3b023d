// SPDX-License-Identifier: GPL-2.0-only
/*
 * Coverage-guided fuzzing of guest_memfd, memory attributes and what stands on
 * them.
 *
 * A program is a list of calls: ioctls of KVM, system calls on guest_memfd, and
 * short pieces of guest code.  Programs are made by changing others, and those
 * that reach kernel code in a new way (KCOV: pairs of branches, by the call that
 * made them) are kept to be changed further.  Any call can also
 *
 *   race   it is repeated by a second thread while the others are made
 *   fail   the n-th allocation in it fails, where the kernel can inject faults
 *
 * A failure is any of these:
 *
 *   - the kernel's log has a warning, or a report of KASAN or lockdep;
 *   - the program is without a race, and something is not as the model has it.
 *     The model is a second implementation of the ABI's rules: it says of each
 *     call whether it must succeed and, if not, with which errnos it may fail;
 *     how a guest's access ends, which memory it gets and what is in there; and
 *     what fdinfo and fstat() say of each file.  A call that fails and changes
 *     something shows there, too;
 *   - a program does not end.
 *
 * The program is then made as small as it can be and still fail, and printed in
 * the form that --replay reads.
 *
 *   --seed N       of the random numbers (default 1)
 *   --seconds N    how long (default 60)
 *   --corpus FILE  programs to begin with, if FILE exists; those kept are
 *                  written to it
 *   --replay FILE  run the programs in FILE once and say what each call returns
 *   --trace        print each program before it is run, for machines that crash
 *   --blind        do without KCOV: programs are changed at random
 *
 * Exit status: 0 if nothing failed, 1 if something did, 2 for bad arguments, and
 * 4 if the kernel lacks KCOV or the interfaces.
 */
#include <ctype.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/falloc.h>
#include <linux/kcov.h>
#include <linux/magic.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"

#define KSFT_SKIP	4

#define MAX_CALLS	16
#define MAX_ARGS	8
#define MAX_CORPUS	1024
#define NR_VMS		2
#define NR_FILES	4
#define NR_THREADS	2

/* A program that takes longer hangs. */
#define HANG_SECONDS	30

/* How long a guest may run that may have lost its code and runs in circles. */
#define INTERRUPT_NSEC	100000000

#define HUGE_SIZE	0x200000ull

/* What userspace_addr of a memslot may name: nothing that the fuzzer needs. */
#define ARENA		0x200000000ull
#define ARENA_SIZE	0x800000ull
#define UNMAPPED	0x100000000000ull
#define TASK_END	0x800000000000ull

/*
 * Guest code and page tables are in a slot of their own, the same in each VM:
 * nothing of it changes, unless the guest writes there, which run() avoids.
 */
#define BOOT_ARENA	0x240000000ull
#define BOOT_GPA	0xc0000000ull
#define BOOT_SIZE	0x10000ull
#define BOOT_SLOT	15
#define BOOT_PML4	0x0
#define BOOT_PDPT	0x1000
#define BOOT_PD		0x2000
#define BOOT_CODE	0xa000
#define GUEST_GIB	8ull
#define PORT_DONE	0x10
#define MAX_SWEEP	32

#define EFER_LONG_MODE	0x500

enum guest_op {
	GUEST_READ,
	GUEST_WRITE,
	GUEST_HYPERCALL,
	NR_GUEST_OPS,
};

/*
 * Says the last value that it read, or wrote, or what the hypercall returned.  It
 * is copied to where the guest runs it, so that it must not refer to anything.
 * Interrupts are on, for Bochs can miss one of the host's while they are off.
 */
static noinline void __aligned(4096)
guest_code(u64 gpa, u64 op, u64 pages, u64 value, u64 intel)
{
	u32 result = KVM_HC_MAP_GPA_RANGE;

	asm volatile("sti");

	if (op == GUEST_HYPERCALL) {
		if (intel)
			asm volatile("vmcall" : "+a"(result) :
				     "b"(gpa), "c"(pages), "d"(value), "S"(0ull) : "memory");
		else
			asm volatile("vmmcall" : "+a"(result) :
				     "b"(gpa), "c"(pages), "d"(value), "S"(0ull) : "memory");
		pages = 0;
	}

	for (; pages; pages--, gpa += PAGE_SIZE) {
		if (op == GUEST_WRITE)
			WRITE_ONCE(*(u32 *)gpa, value);
		result = op == GUEST_WRITE ? value : READ_ONCE(*(u32 *)gpa);
	}

	asm volatile("out %%eax, %%dx; hlt" : : "a"(result), "d"(PORT_DONE));
	__builtin_unreachable();
}

/* Programs */

struct call {
	u8 kind;
	bool race;
	u8 fail;
	u64 arg[MAX_ARGS];
};

struct program {
	int nr;
	struct call call[MAX_CALLS];
};

/* The model */

/* Disjoint ranges of pages, in no order.  Once there are too many it is void. */
#define MAX_RANGES	96
struct ranges {
	int nr;
	bool lost;
	struct { u64 start, end; } r[MAX_RANGES];
};

#define MAX_VALUES	96
struct file_model {
	int vm;
	int opens;
	u64 size;
	/* What must be allocated, and all that may: a fault can bring a huge page. */
	struct ranges resident, possible;
	/* What guests wrote; all else is zero. */
	int nr_values;
	bool values_lost;
	struct { u64 offset; u32 value; } values[MAX_VALUES];
};

/* Each call makes one at most, and the first run() of a VM another. */
#define MAX_SLOTS	(MAX_CALLS + 1)
struct slot_model {
	u32 id, flags;
	u64 gpa, size, uaddr, offset;
	/* -1 when it has none, or when that was closed */
	int file;
};

struct vm_model {
	bool protected;
	bool hypercalls;
	int nr_slots;
	struct slot_model slots[MAX_SLOTS];
	struct ranges private;
};

/* More are not made by a program: each call makes one at most. */
static struct vm_model vm_models[MAX_CALLS];
static struct file_model file_models[MAX_CALLS];
static int nr_vm_models, nr_file_models;

/* The program that is being run */
struct vcpu_fd {
	int fd;
	struct kvm_run *run;
};

static struct {
	/* Indices into the models; they are kept up in programs without races. */
	int vm_model[NR_VMS], file_model[NR_FILES];
	int vm[NR_VMS], file[NR_FILES];
	struct vcpu_fd vcpu[NR_VMS][NR_THREADS];
	int path_fd[MAX_CALLS];
	int nr_path_fds;
	bool checked;
	bool stop, hung;
	pthread_mutex_t lock;

	const struct program *program;
	bool failed;
	char failure[512];
} now;

struct thread {
	int id, tid;
	pthread_t pthread;
	sem_t begin, end;
	int kcov_fd, fail_fd;
	timer_t timer;
	u64 *kcov;
	const struct call *call;
	/* A fault was injected into the call. */
	bool injected;
	int features;
};

static struct thread threads[NR_THREADS];
static int kvm_fd, memfd, null_fd, kmsg_fd, proc_fd;
static int kcov_size = 1 << 15;
static int vcpu_mmap_size;
static int max_phys_bits = 52;
static struct kvm_cpuid2 *cpuid_table;
static bool verbose, trace, blind;
static u64 executions, races, injections;

/* Random numbers */

static u64 rng;

static u64 rnd64(void)
{
	/* xorshift64* */
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return rng * 0x2545f4914f6cdd1dull;
}

static unsigned int rnd(unsigned int n)
{
	return (rnd64() >> 32) % n;
}

static bool one_in(unsigned int n)
{
	return !rnd(n);
}

#define PICK(array) ({								\
	const typeof(array) *__array = &(array);				\
										\
	(*__array)[rnd(ARRAY_SIZE(*__array))];					\
})

static void write_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		fprintf(stderr, "fuzz: cannot write to %s\n", name);
	close(fd);
}

/* Failures */

static void print_program(FILE *f, const struct program *program);

/* Only the first of a run counts: what comes after may follow from it. */
static void __printf(1, 2) complain(const char *fmt, ...)
{
	va_list args;

	pthread_mutex_lock(&now.lock);
	if (!now.failed) {
		now.failed = true;
		va_start(args, fmt);
		vsnprintf(now.failure, sizeof(now.failure), fmt, args);
		va_end(args);
	}
	pthread_mutex_unlock(&now.lock);
}

static const char *call_name(const struct call *call);

/* What the model says of a call: success, or any of some errnos. */
struct expect {
	bool fails;
	int nr;
	int errnos[8];
};

static bool is_expected(const struct expect *expect, int err)
{
	int i;

	for (i = 0; i < expect->nr; i++)
		if (expect->errnos[i] == err)
			return true;

	return false;
}

static void may_fail(struct expect *expect, int err)
{
	if (!is_expected(expect, err))
		expect->errnos[expect->nr++] = err;
}

static void must_fail_if(struct expect *expect, bool condition, int err)
{
	if (condition) {
		expect->fails = true;
		may_fail(expect, err);
	}
}

/* Returns whether the call has succeeded. */
static bool judge(struct thread *t, const struct expect *expect, long ret, int err)
{
	bool injected = t->injected && (err == ENOMEM || err == EFAULT || err == ENFILE);

	if (verbose && !t->call->race)
		printf("\t-> %ld%s%s%s\n", ret, ret < 0 ? " " : "", ret < 0 ? strerror(err) : "",
		       t->injected ? " (fault injected)" : "");

	if (!now.checked)
		return ret >= 0;

	if (ret >= 0) {
		if (expect->fails)
			complain("%s() succeeded, and must fail with errno %d",
				 call_name(t->call), expect->errnos[0]);
	} else if (!injected && !is_expected(expect, err)) {
		complain("%s() failed with errno %d (%s), which the model does not expect",
			 call_name(t->call), err, strerror(err));
	}

	return ret >= 0;
}

/* The n-th allocation from here on fails, in this thread. */
static void inject_begin(struct thread *t)
{
	char n[8];

	t->injected = false;
	if (t->call->fail && t->fail_fd >= 0) {
		snprintf(n, sizeof(n), "%u", t->call->fail);
		if (pwrite(t->fail_fd, n, strlen(n), 0) < 0)
			complain("cannot write to fail-nth, errno %d", errno);
	}
}

static void inject_end(struct thread *t)
{
	char n[8] = "";

	if (!t->call->fail || t->fail_fd < 0)
		return;

	/* What is left of it counts no more. */
	if (pread(t->fail_fd, n, sizeof(n) - 1, 0) > 0)
		t->injected = !atoi(n);
	if (pwrite(t->fail_fd, "0", 1, 0) < 0)
		complain("cannot write to fail-nth, errno %d", errno);
	injections += t->injected;
}

/* A system call that may have a fault injected; errno is left in @err. */
#define ATTEMPT(t, err, expr) ({						\
	struct thread *__t = (t);						\
	long __ret;								\
										\
	inject_begin(__t);							\
	__ret = (long)(expr);							\
	(err) = __ret < 0 ? errno : 0;						\
	inject_end(__t);							\
	__ret;									\
})

/*
 * From then on, a signal interrupts the thread again and again: the first may
 * come before the system call that is meant.
 */
static void interrupt_after(struct thread *t, long nsec)
{
	struct itimerspec when = {
		.it_value.tv_nsec = nsec,
		.it_interval.tv_nsec = nsec ? INTERRUPT_NSEC : 0,
	};

	timer_settime(t->timer, 0, &when, NULL);
}

/* Ranges */

static void ranges_append(struct ranges *ranges, u64 start, u64 end)
{
	if (start >= end)
		return;

	if (ranges->nr == MAX_RANGES) {
		ranges->lost = true;
		return;
	}

	ranges->r[ranges->nr].start = start;
	ranges->r[ranges->nr++].end = end;
}

static void ranges_remove(struct ranges *ranges, u64 start, u64 end)
{
	int i, nr = ranges->nr;
	u64 s, e;

	for (i = 0; i < nr; ) {
		s = ranges->r[i].start;
		e = ranges->r[i].end;
		if (e <= start || s >= end) {
			i++;
			continue;
		}

		/* What the last one holds comes here, and is looked at next. */
		ranges->r[i] = ranges->r[--nr];
		ranges->r[nr] = ranges->r[--ranges->nr];
		ranges_append(ranges, s, min(e, start));
		ranges_append(ranges, max(s, end), e);
	}
}

/* Neighbours are merged. */
static void ranges_add(struct ranges *ranges, u64 start, u64 end)
{
	int i;

	ranges_remove(ranges, start, end);
	for (i = 0; i < ranges->nr; ) {
		if (ranges->r[i].end != start && ranges->r[i].start != end) {
			i++;
			continue;
		}
		start = min(start, ranges->r[i].start);
		end = max(end, ranges->r[i].end);
		ranges->r[i] = ranges->r[--ranges->nr];
	}
	ranges_append(ranges, start, end);
}

static bool ranges_overlap(const struct ranges *ranges, u64 start, u64 end)
{
	int i;

	for (i = 0; i < ranges->nr; i++)
		if (ranges->r[i].start < end && ranges->r[i].end > start)
			return true;

	return false;
}

static bool ranges_contain(const struct ranges *ranges, u64 start, u64 end)
{
	int i;

	/* Neighbours have been merged. */
	for (i = 0; i < ranges->nr; i++)
		if (ranges->r[i].start <= start && ranges->r[i].end >= end)
			return true;

	return false;
}

static u64 ranges_pages(const struct ranges *ranges)
{
	u64 pages = 0;
	int i;

	for (i = 0; i < ranges->nr; i++)
		pages += ranges->r[i].end - ranges->r[i].start;

	return pages;
}

/* What the model has of VMs and files */

static struct vm_model *vm_model(int vm)
{
	return &vm_models[now.vm_model[vm]];
}

static struct file_model *file_model(int file)
{
	return &file_models[now.file_model[file]];
}

static struct slot_model *find_slot(struct vm_model *vm, u32 id)
{
	int i;

	for (i = 0; i < vm->nr_slots; i++)
		if (vm->slots[i].id == id)
			return &vm->slots[i];

	return NULL;
}

static bool slot_overlaps(const struct slot_model *slot, u64 gpa, u64 size)
{
	return slot->gpa < gpa + size && slot->gpa + slot->size > gpa;
}

static struct slot_model *find_slot_at(struct vm_model *vm, u64 gpa)
{
	int i;

	for (i = 0; i < vm->nr_slots; i++)
		if (!(vm->slots[i].id >> 16) && slot_overlaps(&vm->slots[i], gpa, 1))
			return &vm->slots[i];

	return NULL;
}

static bool is_bound(int file, u64 offset, u64 size)
{
	struct slot_model *slot;
	int v, i;

	for (v = 0; v < nr_vm_models; v++)
		for (i = 0; i < vm_models[v].nr_slots; i++) {
			slot = &vm_models[v].slots[i];
			if (slot->file == file && slot->offset < offset + size &&
			    slot->offset + slot->size > offset)
				return true;
		}

	return false;
}

static void file_model_close(int file)
{
	int v, i;

	if (--file_models[file].opens)
		return;

	for (v = 0; v < nr_vm_models; v++)
		for (i = 0; i < vm_models[v].nr_slots; i++)
			if (vm_models[v].slots[i].file == file)
				vm_models[v].slots[i].file = -1;
}

static void file_model_write(struct file_model *file, u64 offset, u32 value)
{
	int i;

	for (i = 0; i < file->nr_values; i++)
		if (file->values[i].offset == offset)
			break;

	if (i == MAX_VALUES) {
		file->values_lost = true;
		return;
	}

	file->nr_values = max(file->nr_values, i + 1);
	file->values[i].offset = offset;
	file->values[i].value = value;
}

static u32 file_model_read(struct file_model *file, u64 offset)
{
	int i;

	for (i = 0; i < file->nr_values; i++)
		if (file->values[i].offset == offset)
			return file->values[i].value;

	return 0;
}

static void file_model_allocate(struct file_model *file, u64 offset, u64 len)
{
	ranges_add(&file->resident, offset >> PAGE_SHIFT, (offset + len) >> PAGE_SHIFT);
	ranges_add(&file->possible, offset >> PAGE_SHIFT, (offset + len) >> PAGE_SHIFT);
}

/*
 * A guest's access to a page: if none of the huge page around it is there, all of it
 * is private, and the memslot has all of it, aligned as it is in the file, then all
 * of it may come.
 */
static void file_model_touch(struct file_model *file, const struct vm_model *vm,
			     const struct slot_model *slot, u64 offset)
{
	u64 huge = offset & ~(HUGE_SIZE - 1);
	u64 gfn = (huge - slot->offset + slot->gpa) >> PAGE_SHIFT;
	u64 index = huge >> PAGE_SHIFT, nr = HUGE_SIZE >> PAGE_SHIFT;

	if (huge >= slot->offset && huge + HUGE_SIZE <= slot->offset + slot->size &&
	    !((slot->gpa - slot->offset) % HUGE_SIZE) &&
	    !ranges_overlap(&file->resident, index, index + nr) &&
	    ranges_contain(&vm->private, gfn, gfn + nr))
		ranges_add(&file->possible, index, index + nr);

	file_model_allocate(file, offset & PAGE_MASK, PAGE_SIZE);
}

static bool resident_is_known(const struct file_model *file)
{
	return !file->resident.lost && !file->possible.lost;
}

static void file_model_punch(struct file_model *file, u64 offset, u64 len)
{
	int i;

	ranges_remove(&file->resident, offset >> PAGE_SHIFT, (offset + len) >> PAGE_SHIFT);
	ranges_remove(&file->possible, offset >> PAGE_SHIFT, (offset + len) >> PAGE_SHIFT);

	for (i = 0; i < file->nr_values; )
		if (file->values[i].offset - offset < len)
			file->values[i] = file->values[--file->nr_values];
		else
			i++;
}

/* File descriptors by selector */

static int vm_fd(u64 vm)
{
	return now.vm[vm % NR_VMS];
}

static int any_fd(u64 selector)
{
	switch (selector % 10) {
	case 0 ... 3:
		return now.file[selector % 10];
	case 4 ... 5:
		return now.vm[selector % 10 - 4];
	case 6:
		return kvm_fd;
	case 7:
		return memfd;
	case 8:
		return null_fd;
	default:
		return -1;
	}
}

/* Each descriptor is closed once, whatever thread does it. */
static int take_fd(int *fd)
{
	return __atomic_exchange_n(fd, -1, __ATOMIC_SEQ_CST);
}

/* Put a new descriptor in a free place, or close it. */
static bool keep_fd(int *place, int fd)
{
	int none = -1;

	if (__atomic_compare_exchange_n(place, &none, fd, false, __ATOMIC_SEQ_CST,
					__ATOMIC_SEQ_CST))
		return true;

	close(fd);
	return false;
}

/* The calls: VMs */

static void call_create_vm(struct thread *t, const u64 *arg)
{
	int vm = arg[0] % NR_VMS, ret, err;
	struct expect expect = {};

	if (now.vm[vm] >= 0)
		return;

	must_fail_if(&expect, arg[1] > KVM_X86_SW_PROTECTED_VM, EINVAL);

	ret = ATTEMPT(t, err, ioctl(kvm_fd, KVM_CREATE_VM, arg[1]));
	if (!judge(t, &expect, ret, err) || !keep_fd(&now.vm[vm], ret) || !now.checked)
		return;

	now.vm_model[vm] = nr_vm_models;
	memset(&vm_models[nr_vm_models], 0, sizeof(vm_models[0]));
	vm_models[nr_vm_models++].protected = arg[1] == KVM_X86_SW_PROTECTED_VM;
}

static void close_vcpu(struct vcpu_fd *vcpu)
{
	int fd = take_fd(&vcpu->fd);

	if (fd >= 0) {
		munmap(vcpu->run, vcpu_mmap_size);
		close(fd);
	}
}

/* In a race, a vCPU may be in use; it is closed at the end. */
static void call_close_vm(struct thread *t, const u64 *arg)
{
	int vm = arg[0] % NR_VMS, fd = take_fd(&now.vm[vm]);

	if (fd < 0)
		return;

	if (now.checked)
		close_vcpu(&now.vcpu[vm][t->id]);
	close(fd);
}

static int expected_extension(u64 cap, bool system, struct vm_model *vm)
{
	bool private = system || vm->protected;

	switch (cap) {
	case KVM_CAP_USER_MEMORY2:
	case KVM_CAP_MEMORY_FAULT_INFO:
		return 1;
	case KVM_CAP_MEMORY_ATTRIBUTES:
		return private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
	case KVM_CAP_GUEST_MEMFD:
		return private;
	case KVM_CAP_VM_TYPES:
		return 1 << KVM_X86_DEFAULT_VM | 1 << KVM_X86_SW_PROTECTED_VM;
	case KVM_CAP_MULTI_ADDRESS_SPACE:
		return system || !vm->protected ? 2 : 1;
	default:
		return -1;
	}
}

static void call_check_extension(struct thread *t, const u64 *arg)
{
	int vm = arg[0] % (NR_VMS + 1), ret, err, want;
	bool system = vm == NR_VMS;
	int fd = system ? kvm_fd : now.vm[vm];
	struct expect expect = {};

	if (fd < 0)
		return;

	ret = ATTEMPT(t, err, ioctl(fd, KVM_CHECK_EXTENSION, arg[1]));
	if (!judge(t, &expect, ret, err) || !now.checked)
		return;

	want = expected_extension(arg[1], system, system ? NULL : vm_model(vm));
	if (want >= 0 && ret != want)
		complain("capability %lu of the %s is %d, not %d", arg[1],
			 system ? "system" : "VM", ret, want);
}

static void call_enable_cap(struct thread *t, const u64 *arg)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_EXIT_HYPERCALL,
		.flags = arg[2],
		.args[0] = arg[1],
	};
	struct expect expect = {};
	int ret, err;

	if (vm_fd(arg[0]) < 0)
		return;

	must_fail_if(&expect, cap.flags, EINVAL);
	must_fail_if(&expect, arg[1] & ~(1ull << KVM_HC_MAP_GPA_RANGE), EINVAL);

	ret = ATTEMPT(t, err, ioctl(vm_fd(arg[0]), KVM_ENABLE_CAP, &cap));
	if (judge(t, &expect, ret, err) && now.checked)
		vm_model(arg[0] % NR_VMS)->hypercalls = arg[1];
}

/* The calls: memslots */

static void expect_region_flags(struct expect *expect, struct vm_model *vm, bool old_ioctl,
				const struct kvm_userspace_memory_region2 *region)
{
	u32 valid = KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY;

	if (!old_ioctl && (region->flags & KVM_MEM_GUEST_MEMFD))
		valid = vm->protected ? KVM_MEM_GUEST_MEMFD : 0;

	must_fail_if(expect, region->flags & ~valid, EINVAL);
}

static void expect_region_fields(struct expect *expect, struct vm_model *vm,
				 const struct kvm_userspace_memory_region2 *region)
{
	u64 gpa = region->guest_phys_addr, size = region->memory_size;
	u64 uaddr = region->userspace_addr, offset = region->guest_memfd_offset;
	/* What KVM has for itself, and what a memslot can count */
	u32 nr_ids = SHRT_MAX - 3;
	u64 max_pages = (1ull << 31) - 1;

	must_fail_if(expect, (gpa | size | uaddr) & ~PAGE_MASK, EINVAL);
	must_fail_if(expect, size > TASK_END || uaddr > TASK_END - PAGE_SIZE - size, EINVAL);
	must_fail_if(expect, (u16)region->slot >= nr_ids, EINVAL);
	must_fail_if(expect, region->slot >> 16 >= (vm->protected ? 1 : 2), EINVAL);
	must_fail_if(expect, gpa + size < gpa, EINVAL);
	must_fail_if(expect, size >> PAGE_SHIFT > max_pages, EINVAL);

	if (region->flags & KVM_MEM_GUEST_MEMFD)
		must_fail_if(expect, offset & ~PAGE_MASK || offset + size < offset, EINVAL);
}

static void expect_region_placed(struct expect *expect, struct vm_model *vm,
				 const struct kvm_userspace_memory_region2 *region)
{
	u64 gpa = region->guest_phys_addr, size = region->memory_size;
	struct slot_model *slot;
	int i;

	for (i = 0; i < vm->nr_slots; i++) {
		slot = &vm->slots[i];
		if (slot->id != region->slot && slot->id >> 16 == region->slot >> 16)
			must_fail_if(expect, slot_overlaps(slot, gpa, size), EEXIST);
	}

	must_fail_if(expect, (gpa + size - 1) >> max_phys_bits, EINVAL);

	/* KVM keeps arrays for large ones. */
	if (size > 1ull << 30)
		may_fail(expect, ENOMEM);
}

/* A selector of a file, or -1 with what is wrong with it in @expect. */
static int expect_region_file(struct expect *expect, int vm, u64 selector,
			      const struct kvm_userspace_memory_region2 *region)
{
	u64 offset = region->guest_memfd_offset, size = region->memory_size;
	int i = selector % 10, file;

	if (any_fd(selector) < 0) {
		must_fail_if(expect, true, EBADF);
		return -1;
	}

	if (i >= NR_FILES) {
		must_fail_if(expect, true, EINVAL);
		return -1;
	}

	file = now.file_model[i];
	must_fail_if(expect, file_models[file].vm != now.vm_model[vm], EINVAL);
	must_fail_if(expect, size > file_models[file].size, EINVAL);
	must_fail_if(expect, offset > file_models[file].size - size, EINVAL);
	must_fail_if(expect, is_bound(file, offset, size), EINVAL);
	return file;
}

static void expect_region_change(struct expect *expect, struct vm_model *vm,
				 const struct slot_model *old,
				 const struct kvm_userspace_memory_region2 *region)
{
	must_fail_if(expect, (region->flags | old->flags) & KVM_MEM_GUEST_MEMFD, EINVAL);
	must_fail_if(expect, region->userspace_addr != old->uaddr, EINVAL);
	must_fail_if(expect, region->memory_size != old->size, EINVAL);
	must_fail_if(expect, (region->flags ^ old->flags) & KVM_MEM_READONLY, EINVAL);

	if (region->guest_phys_addr != old->gpa)
		expect_region_placed(expect, vm, region);
}

/* Returns the model of the file to be bound, or -1. */
static int expect_region(struct expect *expect, int vm_nr, bool old_ioctl, u64 selector,
			 const struct kvm_userspace_memory_region2 *region)
{
	struct vm_model *vm = vm_model(vm_nr);
	struct slot_model *old = find_slot(vm, region->slot);
	int file = -1;

	expect_region_flags(expect, vm, old_ioctl, region);
	expect_region_fields(expect, vm, region);

	if (!region->memory_size) {
		must_fail_if(expect, !old, EINVAL);
	} else if (old) {
		expect_region_change(expect, vm, old, region);
	} else {
		expect_region_placed(expect, vm, region);
		if (region->flags & KVM_MEM_GUEST_MEMFD)
			file = expect_region_file(expect, vm_nr, selector, region);
	}

	return file;
}

static void model_region(struct vm_model *vm, const struct kvm_userspace_memory_region2 *region,
			 int file)
{
	struct slot_model *slot = find_slot(vm, region->slot);

	if (!region->memory_size) {
		*slot = vm->slots[--vm->nr_slots];
		return;
	}

	if (!slot)
		slot = &vm->slots[vm->nr_slots++];

	*slot = (struct slot_model) {
		.id = region->slot,
		.flags = region->flags,
		.gpa = region->guest_phys_addr,
		.size = region->memory_size,
		.uaddr = region->userspace_addr,
		.offset = region->guest_memfd_offset,
		.file = file,
	};
}

static void set_region(struct thread *t, int vm, bool old_ioctl, u64 selector,
		       struct kvm_userspace_memory_region2 *region)
{
	unsigned long request = old_ioctl ? KVM_SET_USER_MEMORY_REGION :
					    KVM_SET_USER_MEMORY_REGION2;
	struct expect expect = {};
	int ret, err, file = -1;

	if (now.checked)
		file = expect_region(&expect, vm, old_ioctl, selector, region);

	ret = ATTEMPT(t, err, ioctl(now.vm[vm], request, region));
	if (judge(t, &expect, ret, err) && now.checked && !now.failed)
		model_region(vm_model(vm), region, file);
}

/* Keep a guest away from the fuzzer's own memory. */
static u64 harmless_uaddr(u64 uaddr)
{
	if (uaddr >= TASK_END)
		return uaddr;
	if (uaddr < ARENA || uaddr > ARENA + ARENA_SIZE)
		return UNMAPPED | (uaddr & ~PAGE_MASK);
	return uaddr;
}

static void prepare_region(struct kvm_userspace_memory_region2 *region, const u64 *arg)
{
	memset(region, 0, sizeof(*region));
	region->slot = arg[1];
	region->flags = arg[2];
	region->guest_phys_addr = arg[3];
	region->memory_size = arg[4];
	region->userspace_addr = harmless_uaddr(arg[5]);

	/* The bitmap of a large slot takes seconds to clear. */
	if (region->memory_size > 1ull << 30)
		region->flags &= ~KVM_MEM_LOG_DIRTY_PAGES;
}

static void call_set_region(struct thread *t, const u64 *arg)
{
	struct kvm_userspace_memory_region2 region;

	if (vm_fd(arg[0]) < 0)
		return;

	prepare_region(&region, arg);
	set_region(t, arg[0] % NR_VMS, true, 0, &region);
}

static void call_set_region2(struct thread *t, const u64 *arg)
{
	struct kvm_userspace_memory_region2 region;

	if (vm_fd(arg[0]) < 0)
		return;

	prepare_region(&region, arg);
	region.guest_memfd = any_fd(arg[6]);
	region.guest_memfd_offset = arg[7];

	/* Nobody looks at the padding. */
	memset(region.pad2, arg[7] >> PAGE_SHIFT, sizeof(region.pad2));
	set_region(t, arg[0] % NR_VMS, false, arg[6], &region);
}

static void call_get_dirty_log(struct thread *t, const u64 *arg)
{
	static char bitmap[NR_THREADS][(1ull << 30) / 4096 / 8];
	struct kvm_dirty_log log = { .slot = arg[1], .dirty_bitmap = bitmap[t->id] };
	struct expect expect = {};
	struct slot_model *slot;
	int ret, err;

	if (vm_fd(arg[0]) < 0)
		return;

	if (now.checked) {
		slot = find_slot(vm_model(arg[0] % NR_VMS), arg[1]);
		must_fail_if(&expect, !slot || !(slot->flags & KVM_MEM_LOG_DIRTY_PAGES), ENOENT);
		must_fail_if(&expect, (u32)arg[1] >> 16 >= 2, EINVAL);
		must_fail_if(&expect, (u16)arg[1] >= SHRT_MAX - 3, EINVAL);
	}

	ret = ATTEMPT(t, err, ioctl(vm_fd(arg[0]), KVM_GET_DIRTY_LOG, &log));
	judge(t, &expect, ret, err);
}

/* The calls: attributes */

static void set_attributes(struct thread *t, int vm, struct kvm_memory_attributes *attrs)
{
	u64 start = attrs->address >> PAGE_SHIFT;
	u64 end = start + (attrs->size >> PAGE_SHIFT);
	struct expect expect = {};
	u64 supported = 0;
	int ret, err;

	if (now.checked && vm_model(vm)->protected)
		supported = KVM_MEMORY_ATTRIBUTE_PRIVATE;

	must_fail_if(&expect, attrs->flags, EINVAL);
	must_fail_if(&expect, attrs->attributes & ~supported, EINVAL);
	must_fail_if(&expect, !attrs->size, EINVAL);
	must_fail_if(&expect, attrs->address + attrs->size < attrs->address, EINVAL);
	must_fail_if(&expect, (attrs->address | attrs->size) & ~PAGE_MASK, EINVAL);

	ret = ATTEMPT(t, err, ioctl(now.vm[vm], KVM_SET_MEMORY_ATTRIBUTES, attrs));
	if (!judge(t, &expect, ret, err) || !now.checked)
		return;

	if (attrs->attributes)
		ranges_add(&vm_model(vm)->private, start, end);
	else
		ranges_remove(&vm_model(vm)->private, start, end);
}

static void call_set_attributes(struct thread *t, const u64 *arg)
{
	struct kvm_memory_attributes attrs = {
		.address = arg[1],
		.size = arg[2],
		.attributes = arg[3],
		.flags = arg[4],
	};

	if (vm_fd(arg[0]) >= 0)
		set_attributes(t, arg[0] % NR_VMS, &attrs);
}

/* Many entries, so that the tree they are in grows and shrinks. */
static void call_stripe_attributes(struct thread *t, const u64 *arg)
{
	struct kvm_memory_attributes attrs = {
		.size = (1 + arg[2] % 4) * PAGE_SIZE,
		.attributes = arg[4] ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};
	unsigned int i;

	if (vm_fd(arg[0]) < 0 || (now.checked && !vm_model(arg[0] % NR_VMS)->protected))
		return;

	for (i = 0; i < arg[3] % 64 && !now.failed; i++) {
		attrs.address = (arg[1] & PAGE_MASK) + 2 * i * attrs.size;
		set_attributes(t, arg[0] % NR_VMS, &attrs);
	}
}

/* The calls: files */

static void call_create_file(struct thread *t, const u64 *arg)
{
	struct kvm_create_guest_memfd args = { .size = arg[2], .flags = arg[3] };
	int file = arg[0] % NR_FILES, vm = arg[1] % NR_VMS, ret, err;
	struct expect expect = {};

	if (now.file[file] >= 0 || now.vm[vm] < 0)
		return;

	/* Nobody looks at what is reserved. */
	memset(args.reserved, arg[2] >> PAGE_SHIFT, sizeof(args.reserved));

	must_fail_if(&expect, args.flags, EINVAL);
	must_fail_if(&expect, (s64)args.size <= 0 || args.size & ~PAGE_MASK, EINVAL);

	ret = ATTEMPT(t, err, ioctl(now.vm[vm], KVM_CREATE_GUEST_MEMFD, &args));
	if (!judge(t, &expect, ret, err) || !keep_fd(&now.file[file], ret) || !now.checked)
		return;

	now.file_model[file] = nr_file_models;
	memset(&file_models[nr_file_models], 0, sizeof(file_models[0]));
	file_models[nr_file_models].vm = now.vm_model[vm];
	file_models[nr_file_models].opens = 1;
	file_models[nr_file_models++].size = args.size;
}

static void call_close_file(struct thread *t, const u64 *arg)
{
	int file = arg[0] % NR_FILES, fd = take_fd(&now.file[file]);

	if (fd < 0)
		return;

	close(fd);
	if (now.checked)
		file_model_close(now.file_model[file]);
}

static void call_dup_file(struct thread *t, const u64 *arg)
{
	int from = arg[0] % NR_FILES, to = arg[1] % NR_FILES, fd;

	if (now.file[from] < 0 || now.file[to] >= 0)
		return;

	fd = dup(now.file[from]);
	if (fd >= 0 && keep_fd(&now.file[to], fd) && now.checked) {
		now.file_model[to] = now.file_model[from];
		file_model(to)->opens++;
	}
}

#define MODE_KEEP	FALLOC_FL_KEEP_SIZE
#define MODE_PUNCH	(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)

static void expect_fallocate(struct expect *expect, struct file_model *file, int mode,
			     u64 offset, u64 len)
{
	bool known = !(mode & ~MODE_PUNCH);

	must_fail_if(expect, (s64)offset < 0 || (s64)len <= 0, EINVAL);
	must_fail_if(expect, (s64)(offset + len) < 0, EFBIG);
	must_fail_if(expect, mode != MODE_KEEP && mode != MODE_PUNCH, EOPNOTSUPP);
	/* Combinations of modes that no file has */
	must_fail_if(expect, !known, EINVAL);
	must_fail_if(expect, (offset | len) & ~PAGE_MASK, EINVAL);
	must_fail_if(expect, mode == MODE_KEEP && offset + len > file->size, EINVAL);
}

/* More than this is more than what the machine has, or takes too long. */
static bool is_too_much(int mode, u64 offset, u64 len)
{
	return !(mode & FALLOC_FL_PUNCH_HOLE) && len > 2 * HUGE_SIZE &&
	       (s64)(offset + len) > 0;
}

static void call_fallocate(struct thread *t, const u64 *arg)
{
	int fd = now.file[arg[0] % NR_FILES], mode = arg[1], ret, err;
	u64 offset = arg[2], len = arg[3];
	struct expect expect = {};
	struct file_model *file;

	if (fd < 0 || is_too_much(mode, offset, len))
		return;

	file = file_model(arg[0] % NR_FILES);
	if (now.checked)
		expect_fallocate(&expect, file, mode, offset, len);

	ret = ATTEMPT(t, err, fallocate(fd, mode, offset, len));
	if (!judge(t, &expect, ret, err)) {
		/* Some may have been allocated. */
		if (now.checked && t->injected)
			file->resident.lost = true;
		return;
	}

	if (!now.checked)
		return;

	if (mode & FALLOC_FL_PUNCH_HOLE)
		file_model_punch(file, offset, len);
	else
		file_model_allocate(file, offset, len);
}

/* A timer's signal ends an allocation, and leaves a hole punch alone. */
static void call_fallocate_interrupted(struct thread *t, const u64 *arg)
{
	int fd = now.file[arg[0] % NR_FILES], mode = arg[1], ret, err;
	u64 offset = arg[2], len = arg[3] & (16 * HUGE_SIZE - 1);
	struct expect expect = {};
	struct file_model *file;

	if (fd < 0)
		return;

	file = file_model(arg[0] % NR_FILES);
	if (now.checked) {
		expect_fallocate(&expect, file, mode, offset, len);
		if (!(mode & FALLOC_FL_PUNCH_HOLE))
			may_fail(&expect, EINTR);
		file->resident.lost = true;
	}

	interrupt_after(t, 1000 + arg[4] % 20000000);
	ret = ATTEMPT(t, err, fallocate(fd, mode, offset, len));
	interrupt_after(t, 0);

	if (judge(t, &expect, ret, err) && now.checked && (mode & FALLOC_FL_PUNCH_HOLE))
		file_model_punch(file, offset, len);
}

/* What the file refuses, and what it says of itself */

enum file_op {
	OP_MMAP, OP_READ, OP_WRITE, OP_PREAD, OP_PWRITE, OP_SEEK, OP_TRUNCATE, OP_CHMOD,
	OP_SENDFILE, OP_VM_IOCTL, NR_FILE_OPS,
};

static long do_file_op(int fd, enum file_op op, u64 a, u64 b)
{
	char buffer[64] = "";
	off_t offset = 0;

	switch (op) {
	case OP_MMAP:
		return (long)mmap(NULL, a & PAGE_MASK ?: PAGE_SIZE, b % 8, MAP_SHARED, fd,
				  b & PAGE_MASK);
	case OP_READ:
		return read(fd, buffer, sizeof(buffer));
	case OP_WRITE:
		return write(fd, buffer, sizeof(buffer));
	case OP_PREAD:
		return pread(fd, buffer, sizeof(buffer), (s64)a < 0 ? 0 : a);
	case OP_PWRITE:
		return pwrite(fd, buffer, sizeof(buffer), (s64)a < 0 ? 0 : a);
	case OP_SEEK:
		return lseek(fd, a, b % 5);
	case OP_TRUNCATE:
		return ftruncate(fd, a);
	case OP_CHMOD:
		return fchmod(fd, a & 0777);
	case OP_SENDFILE:
		return b & 1 ? sendfile(fd, memfd, &offset, PAGE_SIZE) :
			       sendfile(null_fd, fd, NULL, PAGE_SIZE);
	default:
		return ioctl(fd, KVM_CHECK_EXTENSION, a);
	}
}

static void call_file_op(struct thread *t, const u64 *arg)
{
	static const int errnos[NR_FILE_OPS][5] = {
		[OP_MMAP]	= { ENODEV, EPERM, EINVAL, ENOMEM, EOVERFLOW },
		[OP_READ]	= { EINVAL },
		[OP_WRITE]	= { EINVAL },
		[OP_PREAD]	= { ESPIPE },
		[OP_PWRITE]	= { ESPIPE },
		[OP_SEEK]	= { ESPIPE },
		[OP_TRUNCATE]	= { EINVAL },
		[OP_CHMOD]	= { EINVAL },
		[OP_SENDFILE]	= { EINVAL },
		[OP_VM_IOCTL]	= { ENOTTY },
	};
	int fd = now.file[arg[0] % NR_FILES], op = arg[1] % NR_FILE_OPS, i, ret, err;
	struct expect expect = { .fails = true };

	if (fd < 0)
		return;

	for (i = 0; i < 5 && errnos[op][i]; i++)
		may_fail(&expect, errnos[op][i]);

	ret = ATTEMPT(t, err, do_file_op(fd, op, arg[2], arg[3]));
	judge(t, &expect, ret, err);
}

/* With O_PATH one gets a descriptor that keeps the inode but not the file. */
static void call_reopen(struct thread *t, const u64 *arg)
{
	int from = now.file[arg[0] % NR_FILES], flags = arg[1], fd, err, i;
	struct expect expect = {};
	char name[24];

	if (from < 0)
		return;

	snprintf(name, sizeof(name), "self/fd/%d", from);
	must_fail_if(&expect, !(flags & O_PATH), ENXIO);
	if (flags & O_TRUNC)
		may_fail(&expect, EINVAL);

	fd = ATTEMPT(t, err, openat(proc_fd, name, flags & (O_PATH | O_TRUNC | O_RDWR)));
	if (!judge(t, &expect, fd, err))
		return;

	i = __atomic_fetch_add(&now.nr_path_fds, 1, __ATOMIC_SEQ_CST);
	if (i < MAX_CALLS)
		now.path_fd[i] = fd;
	else
		close(fd);
}

static void check_resident(const char *who, struct file_model *file, u64 bytes)
{
	u64 least = ranges_pages(&file->resident) * PAGE_SIZE;
	u64 most = ranges_pages(&file->possible) * PAGE_SIZE;

	if (resident_is_known(file) && (bytes < least || bytes > most))
		complain("%s says %#lx bytes are allocated, the model %#lx to %#lx", who, bytes,
			 least, most);
}

static void check_stat(int fd, struct file_model *file)
{
	struct statfs sfs;
	struct stat st;

	if (fstat(fd, &st) || fstatfs(fd, &sfs)) {
		complain("fstat() or fstatfs() failed with errno %d", errno);
		return;
	}

	if (!now.checked)
		return;

	if (sfs.f_type != GUEST_MEMFD_MAGIC)
		complain("fstatfs() says type %#lx", (long)sfs.f_type);
	if (st.st_size != (off_t)file->size)
		complain("fstat() says size %#lx, the model %#lx", st.st_size, file->size);
	check_resident("fstat()", file, st.st_blocks * 512ul);
}

/* The lines of fdinfo that are ours, as they must be */
static void expected_fdinfo(int index, char *text, size_t size)
{
	struct file_model *file = &file_models[index];
	struct vm_model *vm = &vm_models[file->vm];
	struct slot_model *slot, *next;
	u64 from = 0;
	size_t n;
	int i;

	n = snprintf(text, size, "gmem-size:\t%lu\n", file->size);

	/* In the order of the offsets */
	do {
		next = NULL;
		for (i = 0; i < vm->nr_slots; i++) {
			slot = &vm->slots[i];
			if (slot->file == index && slot->offset >= from &&
			    (!next || slot->offset < next->offset))
				next = slot;
		}
		if (next) {
			n += snprintf(text + n, size - n,
				      "gmem-bound:\tslot %u:%u gfn 0x%lx-0x%lx offset 0x%lx\n",
				      next->id >> 16, (u16)next->id, next->gpa >> PAGE_SHIFT,
				      (next->gpa + next->size) >> PAGE_SHIFT, next->offset);
			from = next->offset + 1;
		}
	} while (next);
}

/* Takes out the number of which the model knows only bounds. */
static void take_resident(struct file_model *file, char *text)
{
	static const char key[] = "gmem-resident:";
	char *line = strstr(text, key), *end = line ? strchr(line, '\n') : NULL;

	if (!end) {
		complain("fdinfo does not say how much is allocated");
		return;
	}

	check_resident("fdinfo", file, strtoull(line + strlen(key), NULL, 0));
	memmove(line, end + 1, strlen(end + 1) + 1);
}

static bool read_fdinfo(int fd, char *text, size_t size)
{
	char name[32];
	ssize_t n;
	int info;

	snprintf(name, sizeof(name), "self/fdinfo/%d", fd);
	info = openat(proc_fd, name, O_RDONLY);
	if (info < 0)
		return false;

	n = read(info, text, size - 1);
	text[max(n, 0l)] = 0;
	close(info);
	return n > 0;
}

static void check_fdinfo(int fd, int index)
{
	char is[2048], want[2048], *lines;

	if (!read_fdinfo(fd, is, sizeof(is))) {
		if (now.checked)
			complain("cannot read fdinfo, errno %d", errno);
		return;
	}

	lines = strstr(is, "gmem-size:");
	if (!now.checked)
		return;

	if (!lines) {
		complain("fdinfo says nothing of guest_memfd");
		return;
	}

	expected_fdinfo(index, want, sizeof(want));
	take_resident(&file_models[index], lines);
	if (strcmp(lines, want))
		complain("fdinfo says\n%sand the model\n%s", lines, want);
}

static void check_file(int file)
{
	if (now.file[file] >= 0) {
		check_stat(now.file[file], file_model(file));
		check_fdinfo(now.file[file], now.file_model[file]);
	}
}

static void call_inspect(struct thread *t, const u64 *arg)
{
	check_file(arg[0] % NR_FILES);
}

static void call_madvise(struct thread *t, const u64 *arg)
{
	u64 offset = arg[0] & (ARENA_SIZE - 1) & PAGE_MASK;
	u64 len = min(arg[1] & PAGE_MASK, ARENA_SIZE - offset);

	madvise((void *)(ARENA + offset), len, arg[2]);
}

/* The calls: vCPUs */

static bool set_up_vcpu(struct vcpu_fd *vcpu)
{
	struct kvm_segment code = {
		.type = 11, .present = 1, .s = 1, .l = 1, .g = 1, .limit = -1u, .selector = 8,
	};
	struct kvm_segment data = {
		.type = 3, .present = 1, .s = 1, .db = 1, .g = 1, .limit = -1u, .selector = 16,
	};
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid_table) || ioctl(vcpu->fd, KVM_GET_SREGS, &sregs))
		return false;

	sregs.cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_PG;
	sregs.cr3 = BOOT_GPA + BOOT_PML4;
	sregs.cr4 = X86_CR4_PAE;
	sregs.efer = EFER_LONG_MODE;
	sregs.cs = code;
	sregs.ds = data;
	sregs.es = data;
	sregs.fs = data;
	sregs.gs = data;
	sregs.ss = data;
	return !ioctl(vcpu->fd, KVM_SET_SREGS, &sregs);
}

static bool create_vcpu(struct thread *t, int vm)
{
	struct vcpu_fd *vcpu = &now.vcpu[vm][t->id];
	int fd = ioctl(now.vm[vm], KVM_CREATE_VCPU, t->id);

	if (fd < 0)
		return false;

	vcpu->run = mmap(NULL, vcpu_mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	vcpu->fd = fd;
	if (vcpu->run != MAP_FAILED && set_up_vcpu(vcpu))
		return true;

	if (vcpu->run != MAP_FAILED)
		munmap(vcpu->run, vcpu_mmap_size);
	vcpu->fd = -1;
	close(fd);
	return false;
}

/* The first time that the VM's guest is to run */
static bool prepare_vcpu(struct thread *t, int vm)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = BOOT_SLOT,
		.guest_phys_addr = BOOT_GPA,
		.memory_size = BOOT_SIZE,
		.userspace_addr = BOOT_ARENA,
	};
	struct call quiet = *t->call;
	const struct call *call = t->call;
	bool ok = now.vcpu[vm][t->id].fd >= 0;

	if (ok)
		return true;

	/* A fault to be injected is meant for KVM_RUN. */
	quiet.fail = 0;
	t->call = &quiet;

	pthread_mutex_lock(&now.lock);
	if (now.checked) {
		pthread_mutex_unlock(&now.lock);
		set_region(t, vm, true, 0, &region);
		pthread_mutex_lock(&now.lock);
	} else {
		ioctl(now.vm[vm], KVM_SET_USER_MEMORY_REGION, &region);
	}
	ok = create_vcpu(t, vm);
	pthread_mutex_unlock(&now.lock);

	t->call = call;
	if (!ok && now.checked)
		complain("cannot make a vCPU, errno %d", errno);
	return ok;
}

static bool can_boot(struct vm_model *vm)
{
	struct slot_model *slot = find_slot(vm, BOOT_SLOT);

	return slot && slot->gpa == BOOT_GPA && slot->uaddr == BOOT_ARENA &&
	       slot->size == BOOT_SIZE &&
	       !ranges_overlap(&vm->private, BOOT_GPA >> PAGE_SHIFT,
			       (BOOT_GPA + BOOT_SIZE) >> PAGE_SHIFT);
}

enum outcome {
	/* Where KVM_RUN stops */
	STOP_MMIO, STOP_SHARED_FAULT, STOP_PRIVATE_FAULT,
	/* Where it goes on */
	ACCESS_SHARED, ACCESS_PRIVATE,
};

static bool is_in_arena(u64 uaddr)
{
	return uaddr - ARENA < ARENA_SIZE || uaddr - BOOT_ARENA < BOOT_SIZE;
}

static enum outcome access_outcome(struct vm_model *vm, u64 gpa, bool write,
				   struct slot_model **slotp)
{
	struct slot_model *slot = *slotp = find_slot_at(vm, gpa);

	if (ranges_overlap(&vm->private, gpa >> PAGE_SHIFT, (gpa >> PAGE_SHIFT) + 1))
		return slot && slot->file >= 0 ? ACCESS_PRIVATE : STOP_PRIVATE_FAULT;

	if (!slot || (write && (slot->flags & KVM_MEM_READONLY)))
		return STOP_MMIO;

	return is_in_arena(slot->uaddr + (gpa - slot->gpa)) ? ACCESS_SHARED :
							      STOP_SHARED_FAULT;
}

/* What the guest's last access must have given, and where it stopped */
struct forecast {
	enum outcome outcome;
	u64 gpa;
	u32 value;
	bool value_known;
	/* The memslot's shared memory there, and what it must hold then */
	u32 *shared, shared_value;
};

static void forecast_shared(struct forecast *f, struct slot_model *slot, bool write, u32 value)
{
	u64 uaddr = slot->uaddr + (f->gpa - slot->gpa);

	f->shared = is_in_arena(uaddr) ? (u32 *)uaddr : NULL;
	if (!f->shared)
		return;

	f->shared_value = READ_ONCE(*f->shared);
	if (f->outcome == ACCESS_SHARED && write)
		f->shared_value = value;

	f->value_known = true;
	f->value = f->shared_value;
}

static void forecast_private(struct forecast *f, struct vm_model *vm,
			     struct slot_model *slot, bool write, u32 value)
{
	struct file_model *file = &file_models[slot->file];
	u64 offset = slot->offset + (f->gpa - slot->gpa);

	file_model_touch(file, vm, slot, offset);
	if (write)
		file_model_write(file, offset, value);

	f->value_known = !file->values_lost;
	f->value = file_model_read(file, offset);
}

/*
 * Goes through the guest's accesses and does them to the model.  Shared memory
 * is its own model: it is looked at before and after.
 */
static struct forecast forecast_accesses(struct vm_model *vm, const u64 *arg)
{
	struct forecast f = { .gpa = arg[2] };
	bool write = arg[1] == GUEST_WRITE;
	struct slot_model *slot;
	u64 i;

	for (i = 0; i < arg[3]; i++) {
		f.gpa = arg[2] + i * PAGE_SIZE;
		f.outcome = access_outcome(vm, f.gpa, write, &slot);
		if (f.outcome < ACCESS_SHARED)
			break;

		forecast_shared(&f, slot, write, arg[4]);
		if (f.outcome == ACCESS_PRIVATE)
			forecast_private(&f, vm, slot, write, arg[4]);
	}

	return f;
}

/* @want is what the model has. */
static void complain_of_run(const struct kvm_run *run, int ret, int err, const char *want,
			    u64 gpa)
{
	char fault[96] = "";

	if (run->exit_reason == KVM_EXIT_MEMORY_FAULT)
		snprintf(fault, sizeof(fault), " (flags %#llx gpa %#llx size %#llx)",
			 run->memory_fault.flags, run->memory_fault.gpa,
			 run->memory_fault.size);
	complain("KVM_RUN returned %d, errno %d, exit %u%s; the model has %s at gpa %#lx",
		 ret, err, run->exit_reason, fault, want, gpa);
}

static void check_memory_fault(struct kvm_run *run, int ret, int err, struct forecast *f)
{
	bool private = f->outcome == STOP_PRIVATE_FAULT;
	u64 flags = private ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0;

	if (ret != -1 || err != EFAULT || run->exit_reason != KVM_EXIT_MEMORY_FAULT ||
	    run->memory_fault.flags != flags ||
	    run->memory_fault.gpa != (f->gpa & PAGE_MASK) ||
	    run->memory_fault.size != PAGE_SIZE)
		complain_of_run(run, ret, err, private ? "a private fault" : "a shared fault",
				f->gpa);
}

static void check_mmio(struct kvm_run *run, int ret, int err, struct forecast *f, bool write)
{
	if (ret || run->exit_reason != KVM_EXIT_MMIO || run->mmio.phys_addr != f->gpa ||
	    run->mmio.is_write != write)
		complain_of_run(run, ret, err, "MMIO", f->gpa);
}

static u32 done_value(struct kvm_run *run)
{
	return *(u32 *)((char *)run + run->io.data_offset);
}

static void check_done(struct kvm_run *run, int ret, int err, struct forecast *f)
{
	u32 value;

	if (ret || run->exit_reason != KVM_EXIT_IO || run->io.port != PORT_DONE) {
		complain_of_run(run, ret, err, "the guest go on after the access", f->gpa);
		return;
	}

	value = done_value(run);
	if (f->value_known && value != f->value)
		complain("the guest has %#x at %#lx, the model %#x", value, f->gpa, f->value);
}

static void check_access(struct kvm_run *run, int ret, int err, struct forecast *f,
			 const u64 *arg)
{
	switch (f->outcome) {
	case STOP_MMIO:
		check_mmio(run, ret, err, f, arg[1] == GUEST_WRITE);
		return;
	case STOP_SHARED_FAULT:
	case STOP_PRIVATE_FAULT:
		check_memory_fault(run, ret, err, f);
		return;
	default:
		check_done(run, ret, err, f);
	}

	/*
	 * A write must be where userspace sees it if it is shared, and not if it
	 * is private.  Pages of a longer one may have shared memory in common.
	 */
	if (!now.failed && f->shared && arg[3] == 1 &&
	    READ_ONCE(*f->shared) != f->shared_value)
		complain("after the guest's access to %#lx its shared memory is %#x, not %#x",
			 f->gpa, *f->shared, f->shared_value);
}

static void check_hypercall(struct kvm_run *run, int ret, int err, struct vm_model *vm,
			    const u64 *arg)
{
	u64 gfn = arg[2] >> PAGE_SHIFT;
	int want = 0;

	if (!vm->hypercalls)
		want = -KVM_ENOSYS;
	else if (arg[2] & ~PAGE_MASK || !arg[3] || gfn + arg[3] <= gfn)
		want = -KVM_EINVAL;

	if (!want) {
		if (ret || run->exit_reason != KVM_EXIT_HYPERCALL ||
		    run->hypercall.nr != KVM_HC_MAP_GPA_RANGE ||
		    run->hypercall.args[0] != arg[2] || run->hypercall.args[1] != arg[3] ||
		    run->hypercall.args[2] != arg[4] || run->hypercall.ret)
			complain_of_run(run, ret, err, "a hypercall", arg[2]);
	} else if (ret || run->exit_reason != KVM_EXIT_IO || (int)done_value(run) != want) {
		complain_of_run(run, ret, err, "a hypercall refused", arg[2]);
	}
}

/* What an exit left to be done is done before the registers are set anew. */
static void complete_exit(struct vcpu_fd *vcpu)
{
	vcpu->run->immediate_exit = 1;
	ioctl(vcpu->fd, KVM_RUN, 0);
	vcpu->run->immediate_exit = 0;
}

static void normalize_run(u64 *to, const u64 *from)
{
	memcpy(to, from, MAX_ARGS * sizeof(*to));
	to[1] %= NR_GUEST_OPS;
	if (to[1] == GUEST_HYPERCALL)
		return;

	/* An access that does not straddle pages, in what the guest has mapped */
	to[2] = to[2] % (GUEST_GIB << 30) & ~7ull;
	to[3] = 1 + to[3] % MAX_SWEEP;
	to[4] = (u32)to[4];
	if (to[2] < BOOT_GPA + BOOT_SIZE && to[2] + to[3] * PAGE_SIZE > BOOT_GPA)
		to[2] = 0;
	if (to[2] + to[3] * PAGE_SIZE > GUEST_GIB << 30)
		to[2] -= MAX_SWEEP * PAGE_SIZE;
}

static void forget_resident_pages(void)
{
	int i;

	for (i = 0; i < nr_file_models; i++) {
		file_models[i].resident.lost = true;
		file_models[i].values_lost = true;
	}
}

/* run(vm, operation, gpa, pages, value) */
static void call_run(struct thread *t, const u64 *raw)
{
	int vm = raw[0] % NR_VMS, ret, err;
	struct vcpu_fd *vcpu = &now.vcpu[vm][t->id];
	u64 arg[MAX_ARGS];
	struct kvm_regs regs = { .rflags = 2 };
	struct forecast f = {};
	bool predicted;

	normalize_run(arg, raw);
	if (now.vm[vm] < 0 || !prepare_vcpu(t, vm) || now.failed)
		return;

	/* guest_code()'s arguments, and a stack as after a call of it */
	regs.rip = BOOT_GPA + BOOT_CODE;
	regs.rsp = BOOT_GPA + BOOT_SIZE - 8;
	regs.rdi = arg[2];
	regs.rsi = arg[1];
	regs.rdx = arg[3];
	regs.rcx = arg[4];
	regs.r8 = is_intel_cpu();
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs))
		return;

	predicted = now.checked && can_boot(vm_model(vm)) && !vm_model(vm)->private.lost;
	if (predicted && arg[1] != GUEST_HYPERCALL)
		f = forecast_accesses(vm_model(vm), arg);
	else if (now.checked)
		forget_resident_pages();

	/* Whether what an earlier exit said is taken for this one's */
	memset(&vcpu->run->memory_fault, 0xff, sizeof(vcpu->run->memory_fault));

	if (!predicted)
		interrupt_after(t, INTERRUPT_NSEC);
	ret = ATTEMPT(t, err, ioctl(vcpu->fd, KVM_RUN, 0));
	interrupt_after(t, 0);
	if (verbose && !t->call->race)
		printf("\t-> %d, errno %d, exit %u%s\n", ret, err, vcpu->run->exit_reason,
		       t->injected ? " (fault injected)" : "");

	if (t->injected && ret < 0)
		forget_resident_pages();
	else if (predicted && arg[1] == GUEST_HYPERCALL)
		check_hypercall(vcpu->run, ret, err, vm_model(vm), arg);
	else if (predicted)
		check_access(vcpu->run, ret, err, &f, arg);

	complete_exit(vcpu);
}

static bool is_bad_range(const struct kvm_pre_fault_memory *range)
{
	return range->flags || !range->size || range->gpa + range->size <= range->gpa ||
	       (range->gpa | range->size) & ~PAGE_MASK;
}

static void expect_pre_fault(struct expect *expect, struct vm_model *vm,
			     const struct kvm_pre_fault_memory *range)
{
	struct slot_model *slot;
	enum outcome outcome;

	must_fail_if(expect, is_bad_range(range), EINVAL);
	if (is_bad_range(range))
		return;

	if (vm->private.lost) {
		may_fail(expect, ENOENT);
		may_fail(expect, EFAULT);
		return;
	}

	/* It is as if the first page were read; if that works, so does the call. */
	outcome = access_outcome(vm, range->gpa, false, &slot);
	must_fail_if(expect, !slot, ENOENT);
	must_fail_if(expect, slot && outcome < ACCESS_SHARED, EFAULT);
}

static void call_pre_fault(struct thread *t, const u64 *arg)
{
	struct kvm_pre_fault_memory range = {
		.gpa = arg[1], .size = arg[2], .flags = arg[3],
	};
	const struct kvm_pre_fault_memory before = range;
	int vm = arg[0] % NR_VMS, ret, err;
	struct expect expect = {};
	u64 done;

	if (now.vm[vm] < 0 || !prepare_vcpu(t, vm) || now.failed)
		return;

	if (now.checked) {
		expect_pre_fault(&expect, vm_model(vm), &range);
		forget_resident_pages();
	}

	ret = ATTEMPT(t, err, ioctl(now.vcpu[vm][t->id].fd, KVM_PRE_FAULT_MEMORY, &range));
	judge(t, &expect, ret, err);

	done = range.gpa - before.gpa;
	if (done + range.size != before.size || done & ~PAGE_MASK || done > before.size ||
	    !done == !ret)
		complain("pre-faulting %#llx, %#llx bytes, returned %d and left %#llx, %#llx",
			 before.gpa, before.size, ret, range.gpa, range.size);
}

static void probe_page(struct thread *t, int vm, u64 page)
{
	const u64 arg[MAX_ARGS] = { vm, GUEST_READ, page << PAGE_SHIFT };

	if (page < (GUEST_GIB << 30) >> PAGE_SHIFT && !now.failed)
		call_run(t, arg);
}

/* The guest touches the pages on both sides of where private memory ends. */
static void probe_ends(struct thread *t, int vm)
{
	struct ranges private;
	int i;

	if (!now.checked || now.vm[vm] < 0)
		return;

	private = vm_model(vm)->private;
	for (i = 0; i < min(private.nr, 8) && !now.failed; i++) {
		probe_page(t, vm, private.r[i].start - 1);
		probe_page(t, vm, private.r[i].start);
		probe_page(t, vm, private.r[i].end - 1);
		probe_page(t, vm, private.r[i].end);
	}
}

static void call_probe(struct thread *t, const u64 *arg)
{
	probe_ends(t, arg[0] % NR_VMS);
}

/*
 * The table of calls.  An argument is described by a letter, which says what
 * values are likely to be of interest: see random_value().
 */
struct call_desc {
	const char *name;
	const char *args;
	int weight;
	void (*fn)(struct thread *t, const u64 *arg);
};

static const struct call_desc calls[] = {
	{ "create_vm",			"VT",		3,  call_create_vm },
	{ "close_vm",			"V",		1,  call_close_vm },
	{ "check_extension",		"XC",		1,  call_check_extension },
	{ "enable_hypercall_exit",	"VHP",		2,  call_enable_cap },
	{ "set_region",			"VSRGZU",	4,  call_set_region },
	{ "set_region2",		"VSRGZUFO",	12, call_set_region2 },
	{ "get_dirty_log",		"VS",		1,  call_get_dirty_log },
	{ "set_attributes",		"VGZAP",	12, call_set_attributes },
	{ "stripe_attributes",		"VGNNP",	3,  call_stripe_attributes },
	{ "create_file",		"MVZP",		4,  call_create_file },
	{ "close_file",			"M",		3,  call_close_file },
	{ "dup_file",			"MM",		1,  call_dup_file },
	{ "fallocate",			"MLOZ",		12, call_fallocate },
	{ "fallocate_interrupted",	"MLOZN",	1,  call_fallocate_interrupted },
	{ "file_op",			"MQZO",		4,  call_file_op },
	{ "reopen",			"MD",		1,  call_reopen },
	{ "inspect",			"M",		3,  call_inspect },
	{ "probe",			"V",		2,  call_probe },
	{ "madvise",			"OZE",		2,  call_madvise },
	{ "run",			"VKGNW",	16, call_run },
	{ "pre_fault",			"VGZP",		6,  call_pre_fault },
};

static const char *call_name(const struct call *call)
{
	return calls[call->kind].name;
}

/* Text */

static void print_call(FILE *f, const struct call *call)
{
	const struct call_desc *desc = &calls[call->kind];
	int i;

	fprintf(f, "%s%s(", call->race ? "race " : "", desc->name);
	for (i = 0; desc->args[i]; i++)
		fprintf(f, call->arg[i] < 10 ? "%s%lu" : "%s%#lx", i ? ", " : "", call->arg[i]);
	fprintf(f, ");");
	if (call->fail)
		fprintf(f, " fail %u", call->fail);
	fprintf(f, "\n");
}

static void print_program(FILE *f, const struct program *program)
{
	int i;

	for (i = 0; i < program->nr; i++)
		print_call(f, &program->call[i]);
	fprintf(f, "\n");
}

static bool parse_call(struct call *call, const char *line)
{
	size_t len;
	unsigned int kind;
	char *end;
	int i;

	memset(call, 0, sizeof(*call));
	if (!strncmp(line, "race ", 5)) {
		call->race = true;
		line += 5;
	}

	len = strcspn(line, "(");
	for (kind = 0; kind < ARRAY_SIZE(calls); kind++)
		if (strlen(calls[kind].name) == len && !strncmp(calls[kind].name, line, len))
			break;
	if (kind == ARRAY_SIZE(calls) || line[len] != '(')
		return false;

	call->kind = kind;
	line += len;
	for (i = 0; calls[kind].args[i]; i++) {
		call->arg[i] = strtoull(line + 1, &end, 0);
		if (end == line + 1 || *end != (calls[kind].args[i + 1] ? ',' : ')'))
			return false;
		line = end;
	}

	line = strstr(line, " fail ");
	if (line)
		call->fail = atoi(line + 6);
	return true;
}

/* Reads up to an empty line; false at the end. */
static bool read_program(FILE *f, struct program *program)
{
	char line[256], *text;

	program->nr = 0;
	while (fgets(line, sizeof(line), f)) {
		text = line + strspn(line, " \t");
		if (*text == '#')
			continue;
		if (!isalpha(*text)) {
			if (program->nr)
				return true;
			continue;
		}
		if (program->nr == MAX_CALLS || !parse_call(&program->call[program->nr++], text)) {
			fprintf(stderr, "fuzz: cannot read '%s'\n", strtok(line, "\n"));
			exit(2);
		}
	}

	return program->nr;
}

/* Values */

static u64 near(u64 value)
{
	static const s64 deltas[] = {
		0, 0, 0, 0, 0x1000, -0x1000, 0x2000, 1, -1, 0x200000, -0x200000, 0x200, 0x800,
	};

	return value + PICK(deltas);
}

/* Mostly whole pages in a small window, so that calls are about the same ones */
static u64 random_place(void)
{
	static const u64 bases[] = {
		0, 0, 0, HUGE_SIZE, HUGE_SIZE, 2 * HUGE_SIZE, 1ull << 30, 1ull << 32,
	};
	static const u64 odd[] = {
		BOOT_GPA, 0xfee00000, 0xfffbc000, 1ull << 39, 1ull << 40, 1ull << 52, 1ull << 63,
		-1ull, 1ull << 31, 1ull << 43, 1ull << 51, (1ull << 63) - 0x1000,
	};

	if (one_in(8))
		return near(PICK(odd));
	if (one_in(3))
		return near(PICK(bases));
	return PICK(bases) + rnd(512) * PAGE_SIZE;
}

static u64 random_size(void)
{
	static const u64 sizes[] = {
		HUGE_SIZE, HUGE_SIZE, 2 * HUGE_SIZE, 2 * HUGE_SIZE, 4 * HUGE_SIZE, 1ull << 30,
	};
	static const u64 odd[] = {
		0, 1, 1ull << 32, 1ull << 40, 1ull << 43, 1ull << 52, 1ull << 63, -1ull,
		(1ull << 63) - 0x1000, -0x1000ull, (1ull << 31) - 1,
	};

	if (one_in(8))
		return near(PICK(odd));
	if (one_in(3))
		return near(PICK(sizes));
	if (one_in(2))
		return PICK(sizes);
	return (1 + rnd(one_in(2) ? 8 : 512)) * PAGE_SIZE;
}

static u64 random_bits(void)
{
	return one_in(16) ? rnd64() : 1ull << rnd(64);
}

static u64 random_slot(void)
{
	static const u64 odd[] = {
		BOOT_SLOT, SHRT_MAX - 4, SHRT_MAX - 3, SHRT_MAX, 0xffff, 0x10000, 0x10001,
		0x20000, -1u,
	};

	return one_in(12) ? PICK(odd) : rnd(5);
}

static u64 random_uaddr(void)
{
	static const u64 odd[] = {
		UNMAPPED, UNMAPPED + 1, TASK_END - PAGE_SIZE, TASK_END, 1ull << 63, -0x1000ull,
		-1ull, ARENA + ARENA_SIZE - PAGE_SIZE, ARENA + ARENA_SIZE, ARENA + 1,
	};

	return one_in(12) ? PICK(odd) : ARENA + rnd(4) * HUGE_SIZE;
}

static u64 random_mode(void)
{
	static const int modes[] = {
		MODE_KEEP, MODE_KEEP, MODE_KEEP, MODE_PUNCH, MODE_PUNCH, MODE_PUNCH, MODE_PUNCH,
	};
	static const int odd[] = {
		0, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_COLLAPSE_RANGE,
		FALLOC_FL_INSERT_RANGE, FALLOC_FL_UNSHARE_RANGE, FALLOC_FL_NO_HIDE_STALE,
		MODE_PUNCH | FALLOC_FL_ZERO_RANGE, MODE_KEEP | FALLOC_FL_ZERO_RANGE,
		MODE_KEEP | FALLOC_FL_UNSHARE_RANGE, -1,
	};

	return (unsigned int)(one_in(10) ? PICK(odd) : PICK(modes));
}

static u64 random_value(char type)
{
	static const u64 caps[] = {
		KVM_CAP_USER_MEMORY2, KVM_CAP_MEMORY_FAULT_INFO, KVM_CAP_MEMORY_ATTRIBUTES,
		KVM_CAP_GUEST_MEMFD, KVM_CAP_VM_TYPES, KVM_CAP_MULTI_ADDRESS_SPACE,
	};
	static const u64 types[] = { 1, 1, 1, 1, 1, 1, 0, 0, 2, 5, 31, 1ull << 32, -1ull };
	static const u64 flags[] = {
		KVM_MEM_GUEST_MEMFD, KVM_MEM_GUEST_MEMFD, KVM_MEM_GUEST_MEMFD, 0, 0,
		KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY,
		KVM_MEM_GUEST_MEMFD | KVM_MEM_READONLY,
		KVM_MEM_GUEST_MEMFD | KVM_MEM_LOG_DIRTY_PAGES,
	};
	static const u64 advice[] = {
		MADV_DONTNEED, MADV_HUGEPAGE, MADV_NOHUGEPAGE, 20 /* COLD */, 21 /* PAGEOUT */,
		25 /* COLLAPSE */,
	};
	static const u64 opens[] = { O_PATH, O_RDWR, O_RDONLY, O_RDWR | O_TRUNC };

	switch (type) {
	case 'V':
		return one_in(5);
	case 'X':
		return rnd(NR_VMS + 1);
	case 'T':
		return PICK(types);
	case 'C':
		return PICK(caps);
	case 'H':
		return one_in(4) ? random_bits() : 1 << KVM_HC_MAP_GPA_RANGE;
	case 'P':
		return one_in(12) ? random_bits() : 0;
	case 'S':
		return random_slot();
	case 'R':
		return one_in(20) ? (u32)random_bits() : PICK(flags);
	case 'G':
		return random_place();
	case 'O':
		return one_in(2) ? 0 : random_place();
	case 'Z':
		return random_size();
	case 'U':
		return random_uaddr();
	case 'F':
		return one_in(6) ? rnd(10) : rnd(2);
	case 'M':
		return one_in(3) ? rnd(NR_FILES) : 0;
	case 'A':
		return one_in(16) ? random_bits() : KVM_MEMORY_ATTRIBUTE_PRIVATE * rnd(2);
	case 'L':
		return random_mode();
	case 'N':
		return one_in(3) ? rnd(4) : rnd(1 << rnd(24));
	case 'Q':
		return rnd(NR_FILE_OPS);
	case 'K':
		return one_in(6) ? GUEST_HYPERCALL : rnd(2);
	case 'W':
		return rnd64();
	case 'E':
		return PICK(advice);
	case 'D':
		return PICK(opens);
	default:
		return 0;
	}
}

/* Mutations */

static int random_kind(void)
{
	int total = 0, n;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++)
		total += calls[i].weight;

	n = rnd(total);
	for (i = 0; n >= calls[i].weight; i++)
		n -= calls[i].weight;

	return i;
}

/* A value of another call, so that they are about the same thing */
static bool borrow_value(const struct program *program, char type, u64 *value)
{
	const struct call *call;
	const char *args;
	int i, tries;

	for (tries = 0; program->nr && tries < 4; tries++) {
		call = &program->call[rnd(program->nr)];
		args = calls[call->kind].args;
		i = rnd(strlen(args));
		if (args[i] == type || (type == 'O' && args[i] == 'G')) {
			*value = one_in(4) ? near(call->arg[i]) : call->arg[i];
			return true;
		}
	}

	return false;
}

static bool is_place(char type)
{
	return strchr("GOZSU", type);
}

static void random_arg(const struct program *program, struct call *call, int i)
{
	char type = calls[call->kind].args[i];

	if (is_place(type) && !one_in(3) && borrow_value(program, type, &call->arg[i]))
		return;

	call->arg[i] = random_value(type);
}

static void random_call(const struct program *program, struct call *call)
{
	int i;

	memset(call, 0, sizeof(*call));
	call->kind = random_kind();
	for (i = 0; calls[call->kind].args[i]; i++)
		random_arg(program, call, i);
}

static void insert_call(struct program *program, int at, const struct call *call)
{
	if (program->nr == MAX_CALLS)
		return;

	memmove(&program->call[at + 1], &program->call[at],
		(program->nr++ - at) * sizeof(*call));
	program->call[at] = *call;
}

static void remove_call(struct program *program, int at)
{
	memmove(&program->call[at], &program->call[at + 1],
		(--program->nr - at) * sizeof(program->call[0]));
}

static void mutate_arg(struct program *program)
{
	struct call *call = &program->call[rnd(program->nr)];
	int i = rnd(strlen(calls[call->kind].args));

	if (one_in(3))
		call->arg[i] = near(call->arg[i]);
	else
		random_arg(program, call, i);
}

static void splice_calls(struct program *program, const struct program *other)
{
	int i, at = rnd(program->nr + 1);

	for (i = rnd(other->nr); i < other->nr; i++)
		insert_call(program, at++, &other->call[i]);
}

static void mutate(struct program *program, const struct program *other)
{
	struct call call;
	int at;

	if (!program->nr || one_in(4)) {
		random_call(program, &call);
		insert_call(program, rnd(program->nr + 1), &call);
		return;
	}

	at = rnd(program->nr);
	switch (rnd(18)) {
	case 0 ... 1:
		remove_call(program, at);
		break;
	case 2:
		call = program->call[at];
		insert_call(program, rnd(program->nr + 1), &call);
		break;
	case 3:
		call = program->call[at];
		program->call[at] = program->call[program->nr - 1];
		program->call[program->nr - 1] = call;
		break;
	case 4 ... 5:
		splice_calls(program, other);
		break;
	case 6:
		program->call[at].race ^= 1;
		break;
	case 7 ... 8:
		program->call[at].fail = one_in(4) ? 0 : 1 + rnd(one_in(2) ? 6 : 40);
		break;
	default:
		mutate_arg(program);
	}
}

/* A second thread that does calls like those of the program, over and over */
static void add_races(struct program *program)
{
	int i, nr = 1 + rnd(4);
	struct call call;

	for (i = 0; i < nr; i++) {
		if (program->nr && one_in(2))
			call = program->call[rnd(program->nr)];
		else
			random_call(program, &call);
		call.race = true;
		call.fail = 0;
		insert_call(program, program->nr, &call);
	}
}

static void drop_races(struct program *program)
{
	int i;

	for (i = 0; i < program->nr; i++)
		program->call[i].race = false;
}

/* Coverage */

#define NR_FEATURES	0x100000
#define NR_PCS		0x10000
static u8 features[NR_FEATURES];
static u64 pcs[NR_PCS];
static int nr_features, nr_pcs;
static pthread_mutex_t coverage_lock = PTHREAD_MUTEX_INITIALIZER;

static u64 hash64(u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

static void note_pc(u64 pc)
{
	unsigned int i = hash64(pc) % NR_PCS;

	while (pcs[i] && pcs[i] != pc)
		i = (i + 1) % NR_PCS;

	if (!pcs[i] && nr_pcs < NR_PCS / 2) {
		pcs[i] = pc;
		nr_pcs++;
	}
}

static void coverage_begin(struct thread *t)
{
	if (t->kcov)
		__atomic_store_n(&t->kcov[0], 0, __ATOMIC_RELAXED);
}

/* A feature is a branch after another, in a certain call. */
static void coverage_end(struct thread *t)
{
	u64 i, n, prev = t->call->kind + 1, feature;

	if (!t->kcov)
		return;

	n = __atomic_load_n(&t->kcov[0], __ATOMIC_RELAXED);
	pthread_mutex_lock(&coverage_lock);
	for (i = 1; i <= n; i++) {
		feature = hash64(t->kcov[i] ^ prev << 32 ^ (u64)t->call->kind << 56) %
			  NR_FEATURES;
		if (!features[feature]) {
			features[feature] = 1;
			nr_features++;
			t->features++;
			note_pc(t->kcov[i]);
		}
		prev = t->kcov[i];
	}
	pthread_mutex_unlock(&coverage_lock);
}

static bool coverage_open(struct thread *t)
{
	t->kcov_fd = open("/sys/kernel/debug/kcov", O_RDWR);
	if (t->kcov_fd < 0)
		return false;

	TEST_ASSERT(!ioctl(t->kcov_fd, KCOV_INIT_TRACE, kcov_size), "KCOV_INIT_TRACE: errno %d",
		    errno);
	t->kcov = mmap(NULL, kcov_size * sizeof(*t->kcov), PROT_READ | PROT_WRITE, MAP_SHARED,
		       t->kcov_fd, 0);
	TEST_ASSERT(t->kcov != MAP_FAILED, "mmap() of KCOV's buffer: errno %d", errno);
	return true;
}

/* Called by the thread itself */
static void thread_begin(struct thread *t)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };

	if (t->kcov)
		TEST_ASSERT(!ioctl(t->kcov_fd, KCOV_ENABLE, KCOV_TRACE_PC),
			    "KCOV_ENABLE: errno %d", errno);
	t->tid = syscall(SYS_gettid);
	event._sigev_un._tid = t->tid;
	TEST_ASSERT(!timer_create(CLOCK_MONOTONIC, &event, &t->timer), "timer_create() failed");
	t->fail_fd = open("/proc/thread-self/fail-nth", O_RDWR);
}

/* Running */

static void do_call(struct thread *t, const struct call *call)
{
	t->call = call;
	t->injected = false;
	if (verbose && !call->race) {
		print_call(stdout, call);
		fflush(stdout);
	}

	coverage_begin(t);
	calls[call->kind].fn(t, call->arg);
	coverage_end(t);
}

static void do_calls(struct thread *t, bool race)
{
	const struct program *program = now.program;
	int i;

	for (i = 0; i < program->nr && !READ_ONCE(now.failed) && !READ_ONCE(now.hung); i++) {
		if (program->call[i].race != race)
			continue;

		do_call(t, &program->call[i]);
	}
}

static void *race_thread(void *arg)
{
	struct thread *t = arg;

	thread_begin(t);
	for (;;) {
		sem_wait(&t->begin);
		do
			do_calls(t, true);
		while (!READ_ONCE(now.stop) && !READ_ONCE(now.hung));
		sem_post(&t->end);
	}

	return NULL;
}

/* Where in the kernel the threads are */
static void print_stacks(void)
{
	static char name[64], stack[4096];
	ssize_t n;
	int i, fd;

	for (i = 0; i < NR_THREADS; i++) {
		snprintf(name, sizeof(name), "self/task/%d/stack", threads[i].tid);
		fd = openat(proc_fd, name, O_RDONLY);
		n = fd < 0 ? 0 : read(fd, stack, sizeof(stack));
		printf("fuzz: hangs: thread %d: %s\n%.*s", i,
		       threads[i].call ? call_name(threads[i].call) : "-", (int)n, stack);
		if (fd >= 0)
			close(fd);
	}
	fflush(stdout);
}

static void on_alarm(int sig)
{
	if (!READ_ONCE(now.hung))
		print_stacks();
	WRITE_ONCE(now.hung, true);
	WRITE_ONCE(now.stop, true);
	if (pthread_self() == threads[0].pthread)
		pthread_kill(threads[1].pthread, SIGUSR1);
	else
		pthread_kill(threads[0].pthread, SIGUSR1);
	alarm(1);
}

static void on_signal(int sig)
{
}

static bool has_race(const struct program *program)
{
	int i;

	for (i = 0; i < program->nr; i++)
		if (program->call[i].race)
			return true;

	return false;
}

/* What a program without a race has left */
static void check_state(void)
{
	static const struct call probe;
	int i;

	threads[0].call = &probe;
	for (i = 0; i < NR_VMS; i++)
		if (now.vcpu[i][0].fd >= 0)
			probe_ends(&threads[0], i);
	for (i = 0; i < NR_FILES && !now.failed; i++)
		check_file(i);
}

static void set_up_run(const struct program *program)
{
	int i, j;

	for (i = 0; i < NR_VMS; i++) {
		now.vm[i] = -1;
		for (j = 0; j < NR_THREADS; j++)
			now.vcpu[i][j].fd = -1;
	}
	for (i = 0; i < NR_FILES; i++)
		now.file[i] = -1;

	nr_vm_models = 0;
	nr_file_models = 0;
	now.nr_path_fds = 0;
	now.program = program;
	now.checked = !has_race(program);
	now.stop = false;
	now.hung = false;
	now.failed = false;
	madvise((void *)ARENA, ARENA_SIZE, MADV_DONTNEED);
}

static void tear_down_run(void)
{
	int i, j, fd;

	for (i = 0; i < NR_FILES; i++)
		if (now.file[i] >= 0)
			close(now.file[i]);
	for (i = 0; i < NR_VMS; i++) {
		for (j = 0; j < NR_THREADS; j++)
			close_vcpu(&now.vcpu[i][j]);
		fd = take_fd(&now.vm[i]);
		if (fd >= 0)
			close(fd);
	}
	for (i = 0; i < min(now.nr_path_fds, MAX_CALLS); i++)
		close(now.path_fd[i]);
}

/* Lines of the log that no correct run has */
static bool is_bad_line(const char *line)
{
	static const char *const bad[] = {
		"WARNING:", "BUG:", "Oops:", "KASAN:", "UBSAN", "ODEBUG", "INFO: ", "refcount_t:",
		"possible recursive", "possible circular", "suspicious RCU", "held lock freed",
		"blocked for more than", "soft lockup", "general protection fault", "bad page",
		"Bad page", "unable to handle", "corruption", "DEBUG_LOCKS_WARN_ON", "leaked",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (strstr(line, bad[i]))
			return true;

	return false;
}

static void check_log(void)
{
	char record[2048], *text;
	ssize_t n;

	for (;;) {
		n = read(kmsg_fd, record, sizeof(record) - 1);
		/* Some were overwritten: go on with what is there. */
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			return;

		record[n] = 0;
		text = strchr(record, ';');
		/* Facility 0 is the kernel. */
		if (text && atoi(record) < 8 && is_bad_line(text + 1))
			complain("the kernel's log says: %.*s", (int)strcspn(text + 1, "\n"),
				 text + 1);
	}
}

/* Returns how much was new. */
static int run_program(const struct program *program)
{
	bool race = has_race(program);

	if (trace) {
		print_program(stdout, program);
		fflush(stdout);
	}

	set_up_run(program);
	threads[0].features = 0;
	threads[1].features = 0;
	alarm(HANG_SECONDS);

	if (race)
		sem_post(&threads[1].begin);
	do_calls(&threads[0], false);
	WRITE_ONCE(now.stop, true);
	while (race && sem_wait(&threads[1].end))
		;

	if (now.checked)
		check_state();

	if (now.hung)
		complain("the program did not end within %d seconds", HANG_SECONDS);
	alarm(0);

	tear_down_run();
	check_log();

	executions++;
	races += race;
	return threads[0].features + threads[1].features;
}

/* Making a failing program small */

static bool still_fails(const struct program *program)
{
	int tries = has_race(program) ? 30 : 1;

	while (tries--) {
		/* Most warnings are printed once only. */
		write_file("/sys/kernel/debug/clear_warn_once", "1");
		run_program(program);
		if (now.failed)
			return true;
	}

	return false;
}

static bool simplify_calls(struct program *program)
{
	struct program smaller;
	bool better = false;
	int i;

	for (i = program->nr - 1; i >= 0; i--) {
		smaller = *program;
		remove_call(&smaller, i);
		if (still_fails(&smaller)) {
			*program = smaller;
			better = true;
		}
	}

	return better;
}

static bool try_arg(struct program *program, u64 *arg, u64 value)
{
	u64 old = *arg;

	if (old == value)
		return false;

	*arg = value;
	if (still_fails(program))
		return true;

	*arg = old;
	return false;
}

static void simplify_args(struct program *program)
{
	struct call *call;
	u64 *arg;
	int i, j;

	for (i = 0; i < program->nr; i++) {
		call = &program->call[i];
		if (call->fail) {
			struct program other = *program;

			other.call[i].fail = 0;
			if (still_fails(&other))
				call->fail = 0;
		}
		for (j = 0; calls[call->kind].args[j]; j++) {
			arg = &call->arg[j];
			if (!try_arg(program, arg, 0) && *arg > PAGE_SIZE)
				try_arg(program, arg, PAGE_SIZE);
		}
	}
}

static void report_failure(struct program program, u64 seed)
{
	char failure[sizeof(now.failure)];

	memcpy(failure, now.failure, sizeof(failure));
	printf("fuzz: FAILED (seed %lu, execution %lu): %s\n", seed, executions, failure);
	printf("fuzz: the program:\n");
	print_program(stdout, &program);
	fflush(stdout);

	if (!still_fails(&program)) {
		printf("fuzz: it does not fail when it is run again\n");
		return;
	}

	while (simplify_calls(&program))
		;
	simplify_args(&program);
	simplify_calls(&program);

	/* Its own message, which may differ */
	still_fails(&program);
	printf("fuzz: made small: %s\n", now.failed ? now.failure : "fails sometimes");
	print_program(stdout, &program);
	fflush(stdout);
}

/* The corpus */

static struct program corpus[MAX_CORPUS];
static int nr_corpus;

/* Programs that use things the way they are meant to be used */
static const char seeds[] =
	"create_vm(0, 1);\n"
	"create_file(0, 0, 0x400000, 0);\n"
	"set_region2(0, 0, 4, 0, 0x400000, 0x200000000, 0, 0);\n"
	"set_attributes(0, 0, 0x400000, 8, 0);\n"
	"run(0, 1, 0x1000, 3, 0x1234);\n"
	"run(0, 0, 0x1000, 0, 0);\n"
	"fallocate(0, 3, 0x1000, 0x1000);\n"
	"run(0, 0, 0x1000, 0, 0);\n"
	"set_attributes(0, 0, 0x200000, 0, 0);\n"
	"run(0, 1, 0x1000, 0, 0x55);\n"
	"inspect(0);\n"
	"\n"
	"create_vm(0, 1);\n"
	"create_file(0, 0, 0x800000, 0);\n"
	"fallocate(0, 1, 0, 0x10000);\n"
	"set_region2(0, 0, 4, 0x100000000, 0x200000, 0x200000000, 0, 0x200000);\n"
	"set_region2(0, 1, 4, 0x200000, 0x200000, 0x200200000, 0, 0);\n"
	"stripe_attributes(0, 0x200000, 0, 32, 1);\n"
	"run(0, 1, 0x200000, 4, 0x77);\n"
	"close_file(0);\n"
	"run(0, 0, 0x200000, 0, 0);\n"
	"set_region2(0, 1, 4, 0x200000, 0, 0x200200000, 0, 0);\n"
	"\n"
	"create_vm(0, 1);\n"
	"create_file(0, 0, 0x400000, 0);\n"
	"set_region2(0, 0, 4, 0, 0x400000, 0x200000000, 0, 0);\n"
	"set_attributes(0, 0, 0x400000, 8, 0);\n"
	"run(0, 1, 0x1000, 31, 0x1234);\n"
	"run(0, 1, 0x100000, 0, 0x1234); fail 1\n"
	"run(0, 0, 0x3000, 0, 0);\n"
	"\n"
	"create_vm(0, 1);\n"
	"create_vm(1, 0);\n"
	"create_file(0, 0, 0x200000, 0);\n"
	"create_file(1, 1, 0x200000, 0);\n"
	"set_region2(1, 0, 4, 0, 0x200000, 0x200000000, 1, 0);\n"
	"set_region(1, 0, 1, 0, 0x200000, 0x200000000);\n"
	"run(1, 1, 0x3000, 1, 0x99);\n"
	"get_dirty_log(1, 0);\n"
	"set_region2(0, 0, 4, 0, 0x200000, 0x200000000, 1, 0);\n"
	"dup_file(0, 2);\n"
	"close_vm(0);\n"
	"fallocate(2, 1, 0, 0x200000);\n"
	"\n"
	"create_vm(0, 1);\n"
	"create_file(0, 0, 0x100000000, 0); fail 1\n"
	"create_file(0, 0, 0x100000000, 0); fail 2\n"
	"create_file(0, 0, 0x100000000, 0); fail 5\n"
	"create_file(0, 0, 0x100000000, 0);\n"
	"set_attributes(0, 0, 0x400000, 8, 0); fail 1\n"
	"fallocate(0, 1, 0, 0x4000); fail 1\n"
	"fallocate(0, 1, 0x8000, 0x1000);\n"
	"fallocate(0, 1, 0xfffff000, 0x1000);\n"
	"fallocate(0, 3, 0, 0x100000000);\n"
	"file_op(0, 6, 0x1000, 0);\n"
	"inspect(0);\n"
	"\n"
	"create_vm(0, 1);\n"
	"enable_hypercall_exit(0, 0x1000, 0);\n"
	"run(0, 2, 0x200000, 2, 0x10);\n"
	"set_attributes(0, 0x200000, 0x2000, 8, 0);\n"
	"run(0, 0, 0x200000, 0, 0);\n"
	"set_attributes(0, 0, 0xfffffffffffff000, 8, 0);\n"
	"set_attributes(0, 0, 0xfffffffffffff000, 0, 0);\n"
	"run(0, 0, 0x200000, 0, 0);\n"
	"check_extension(0, 234);\n"
	"check_extension(2, 233);\n"
	"\n"
	"create_vm(0, 1);\n"
	"create_file(0, 0, 0x4000000, 0);\n"
	"file_op(0, 0, 0x1000, 3);\n"
	"reopen(0, 0x200000);\n"
	"fallocate_interrupted(0, 1, 0, 0x1000000, 1000000);\n"
	"fallocate_interrupted(0, 3, 0, 0x4000000, 1000);\n"
	"close_file(0);\n"
	"\n"
	"create_vm(0, 1);\n"
	"create_file(0, 0, 0x400000, 0);\n"
	"set_region2(0, 0, 4, 0, 0x400000, 0x200000000, 0, 0);\n"
	"set_attributes(0, 0, 0x400000, 8, 0);\n"
	"race run(0, 1, 0x1000, 30, 0x1234);\n"
	"race run(0, 0, 0x4000, 30, 0);\n"
	"fallocate(0, 3, 0, 0x400000);\n"
	"set_attributes(0, 0x3000, 0x2000, 0, 0);\n"
	"madvise(0, 0x400000, 4);\n"
	"set_attributes(0, 0x3000, 0x2000, 8, 0);\n"
	"fallocate(0, 3, 0x2000, 0x10000);\n"
	"set_region2(0, 0, 4, 0, 0, 0x200000000, 0, 0);\n"
	"set_region2(0, 0, 4, 0, 0x400000, 0x200000000, 0, 0);\n"
	"close_file(0);\n";

static void add_to_corpus(const struct program *program)
{
	if (nr_corpus < MAX_CORPUS)
		corpus[nr_corpus++] = *program;
	else
		corpus[rnd(MAX_CORPUS)] = *program;
}

static void load_corpus(FILE *f)
{
	struct program program;

	while (read_program(f, &program))
		add_to_corpus(&program);
	fclose(f);
}

static void save_corpus(const char *name)
{
	FILE *f = fopen(name, "w");
	int i;

	if (!f) {
		fprintf(stderr, "fuzz: cannot write %s\n", name);
		return;
	}

	for (i = 0; i < nr_corpus; i++)
		print_program(f, &corpus[i]);
	fclose(f);
}

/* Half of the time one of the newest, for there is most left to find there */
static const struct program *pick_program(void)
{
	if (nr_corpus > 16 && one_in(2))
		return &corpus[nr_corpus - 1 - rnd(16)];

	return &corpus[rnd(nr_corpus)];
}

static void next_program(struct program *program)
{
	int i, nr = 1 + rnd(1 << rnd(4));

	*program = *pick_program();
	for (i = 0; i < nr; i++)
		mutate(program, pick_program());

	/* Races are slower, and there is no model of them. */
	if (one_in(6))
		add_races(program);
	else if (!one_in(6))
		drop_races(program);
}

/* Stop at the third failure: what follows is likely to be the same. */
#define MAX_FAILURES	3

static int search(u64 seed, int seconds)
{
	struct timespec begin, t;
	struct program program;
	double elapsed = 0;
	int failures = 0, i = 0, new;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (elapsed < seconds && failures < MAX_FAILURES) {
		if (i < nr_corpus && i >= 0)
			program = corpus[i++];
		else
			next_program(&program);
		if (i == nr_corpus)
			i = -1;

		new = run_program(&program);
		if (now.failed) {
			failures++;
			report_failure(program, seed);
		} else if (i < 0 && (blind ? one_in(32) : new)) {
			add_to_corpus(&program);
		}

		clock_gettime(CLOCK_MONOTONIC, &t);
		elapsed = t.tv_sec - begin.tv_sec + (t.tv_nsec - begin.tv_nsec) / 1e9;
	}

	printf("fuzz: seed %lu: %lu executions in %.0f s, %.1f per second\n", seed, executions,
	       elapsed, executions / elapsed);
	printf("fuzz: %lu with a race, %lu faults injected\n", races, injections);
	printf("fuzz: %d programs kept, %d kernel PCs covered, %d features; %d failures\n",
	       nr_corpus, nr_pcs, nr_features, failures);
	return failures ? 1 : 0;
}

static int replay(const char *name)
{
	FILE *f = fopen(name, "r");
	struct program program;
	int failures = 0;

	if (!f) {
		fprintf(stderr, "fuzz: cannot read %s\n", name);
		return 2;
	}

	verbose = true;
	while (read_program(f, &program)) {
		if (has_race(&program))
			print_program(stdout, &program);
		run_program(&program);
		printf("fuzz: %s\n\n", now.failed ? now.failure : "ok");
		failures += now.failed;
	}

	fclose(f);
	return failures ? 1 : 0;
}

/* Setting up */

static void *map_arena(u64 at, u64 size)
{
	void *mem = mmap((void *)at, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	TEST_ASSERT(mem == (void *)at, "Cannot map memory at %#lx, errno %d", at, errno);
	return mem;
}

/* One to one, by 2 MiB pages, with the accessed and dirty bits set. */
static void make_boot_arena(void)
{
	char *boot = map_arena(BOOT_ARENA, BOOT_SIZE);
	u64 *table, i;

	table = (u64 *)(boot + BOOT_PML4);
	table[0] = (BOOT_GPA + BOOT_PDPT) | 0x23;

	table = (u64 *)(boot + BOOT_PDPT);
	for (i = 0; i < GUEST_GIB; i++)
		table[i] = (BOOT_GPA + BOOT_PD + i * PAGE_SIZE) | 0x23;

	table = (u64 *)(boot + BOOT_PD);
	for (i = 0; i < GUEST_GIB * 512; i++)
		table[i] = i * HUGE_SIZE | 0xe3;

	memcpy(boot + BOOT_CODE, guest_code, PAGE_SIZE);
}

/* Any allocation may fail, and without a word. */
static void set_up_faults(void)
{
	write_file("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	write_file("/sys/kernel/debug/failslab/verbose", "0");
	write_file("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N");
	write_file("/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N");
	write_file("/sys/kernel/debug/fail_page_alloc/min-order", "0");
	write_file("/sys/kernel/debug/fail_page_alloc/verbose", "0");
}

static void set_up_kvm(void)
{
	u32 eax, ebx, ecx, edx;

	kvm_fd = open_path_or_exit("/dev/kvm", O_RDWR);
	if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD) <= 0 ||
	    !(ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES) &
	      1 << KVM_X86_SW_PROTECTED_VM)) {
		printf("fuzz: the kernel has no software-protected VMs\n");
		exit(KSFT_SKIP);
	}

	/* KVM switches virtualization on for the first VM and off after the last. */
	TEST_ASSERT(ioctl(kvm_fd, KVM_CREATE_VM, 0) >= 0, "KVM_CREATE_VM: errno %d", errno);

	vcpu_mmap_size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	TEST_ASSERT(vcpu_mmap_size > 0, "KVM_GET_VCPU_MMAP_SIZE: errno %d", errno);

	cpuid_table = calloc(1, sizeof(*cpuid_table) + 256 * sizeof(cpuid_table->entries[0]));
	cpuid_table->nent = 256;
	TEST_ASSERT(!ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid_table),
		    "KVM_GET_SUPPORTED_CPUID: errno %d", errno);

	__cpuid(0x80000008, 0, &eax, &ebx, &ecx, &edx);
	max_phys_bits = eax & 0xff;
}

static void set_up(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	int i;

	set_up_kvm();
	map_arena(ARENA, ARENA_SIZE);
	make_boot_arena();
	set_up_faults();

	/* Making and unmaking VMs and memslots is mostly waiting for RCU. */
	write_file("/sys/kernel/rcu_expedited", "1");

	memfd = memfd_create("fuzz", 0);
	null_fd = open("/dev/null", O_RDWR);
	proc_fd = open("/proc", O_RDONLY | O_DIRECTORY);
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	TEST_ASSERT(memfd >= 0 && null_fd >= 0 && proc_fd >= 0 && kmsg_fd >= 0,
		    "Cannot open what is needed, errno %d", errno);
	TEST_ASSERT(!ftruncate(memfd, PAGE_SIZE), "ftruncate() failed");
	lseek(kmsg_fd, 0, SEEK_END);

	sigaction(SIGALRM, &action, NULL);
	action.sa_handler = on_signal;
	sigaction(SIGUSR1, &action, NULL);

	pthread_mutex_init(&now.lock, NULL);
	threads[0].pthread = pthread_self();
	for (i = 0; i < NR_THREADS; i++) {
		threads[i].id = i;
		sem_init(&threads[i].begin, 0, 0);
		sem_init(&threads[i].end, 0, 0);
		if (!blind && !coverage_open(&threads[i])) {
			printf("fuzz: no /sys/kernel/debug/kcov: no CONFIG_KCOV\n");
			exit(KSFT_SKIP);
		}
	}

	TEST_ASSERT(!pthread_create(&threads[1].pthread, NULL, race_thread, &threads[1]),
		    "pthread_create() failed");
	thread_begin(&threads[0]);
}

static void help(FILE *f)
{
	fprintf(f,
		"usage: fuzz [--seed N] [--seconds N] [--corpus FILE] [--replay FILE]\n"
		"            [--trace] [--blind]\n"
		"\n"
		"Fuzz guest_memfd and memory attributes, led by the kernel's coverage.\n"
		"\n"
		"  --seed N       of the random numbers (default 1)\n"
		"  --seconds N    how long (default 60)\n"
		"  --corpus FILE  programs to begin with, if FILE exists; those kept are\n"
		"                 written to it\n"
		"  --replay FILE  run the programs in FILE once, and say what each call returns\n"
		"  --trace        print each program before it is run, for machines that crash\n"
		"  --blind        do without KCOV: programs are changed at random\n");
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 't' },
		{ "corpus", required_argument, NULL, 'c' },
		{ "replay", required_argument, NULL, 'r' },
		{ "trace", no_argument, NULL, 'x' },
		{ "blind", no_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	const char *corpus_name = NULL, *replay_name = NULL;
	int option, seconds = 60, ret;
	u64 seed = 1;
	FILE *f;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 't':
			seconds = atoi(optarg);
			break;
		case 'c':
			corpus_name = optarg;
			break;
		case 'r':
			replay_name = optarg;
			break;
		case 'x':
			trace = true;
			break;
		case 'b':
			blind = true;
			break;
		case 'h':
			help(stdout);
			return 0;
		default:
			help(stderr);
			return 2;
		}
	}

	if (replay_name)
		blind = true;
	set_up();
	if (replay_name)
		return replay(replay_name);

	rng = hash64(seed) | 1;
	load_corpus(fmemopen((void *)seeds, strlen(seeds), "r"));
	f = corpus_name ? fopen(corpus_name, "r") : NULL;
	if (f)
		load_corpus(f);

	ret = search(seed, seconds);
	if (corpus_name)
		save_corpus(corpus_name);
	return ret;
}
