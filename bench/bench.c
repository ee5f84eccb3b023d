// SPDX-License-Identifier: GPL-2.0-only
/*
 * What private memory costs: attributes, faults, conversions, holes
 *
 * Prints a line for each thing that is measured:
 *
 *	bench: NAME: VALUE UNIT
 *
 * One binary runs on any kernel with the ABI of Linux 6.8, so that two of them can
 * be compared.  The value of a measurement that is repeated is the least.  What
 * would take longer than the budget, judged by a smaller size, is left out, and
 * so is what the kernel does not have.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"

#define VM_TYPE		KVM_X86_SW_PROTECTED_VM

#define KiB		1024ull
#define MiB		(1024 * KiB)
#define GiB		(1024 * MiB)
#define TiB		(1024 * GiB)
#define HUGE		(2 * MiB)

#define SLOT		10
#define GPA		(4 * GiB)
#define SIZE		(512 * MiB)

#define RUNS		3
#define MAX_VCPUS	4

static double budget = 20;

static struct kvm_vm *vm;
static struct kvm_vcpu *vcpus[MAX_VCPUS];
static int fd;

/* What each vCPU is to touch next */
static struct touch {
	u64 start, end, step;
} touch[MAX_VCPUS];

static void guest_code(unsigned int id)
{
	u64 gpa;

	for (;;) {
		GUEST_SYNC(0);
		for (gpa = touch[id].start; gpa < touch[id].end; gpa += touch[id].step)
			WRITE_ONCE(*(u8 *)gpa, 1);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void result(const char *name, double value, const char *unit)
{
	printf("bench: %s: %.6f %s\n", name, value, unit);
	fflush(stdout);
}

static long slab_kb(void)
{
	char line[128];
	long kb = 0;
	FILE *f = fopen("/proc/meminfo", "r");

	TEST_ASSERT(f, "no /proc/meminfo");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Slab: %ld kB", &kb) == 1)
			break;
	}
	fclose(f);
	return kb;
}

static double set(u64 gpa, u64 size, bool private)
{
	double start = now();

	vm_set_memory_attributes(vm, gpa, size, private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0);
	return now() - start;
}

static void bench_attributes(void)
{
	static const struct {
		const char *name;
		u64 size;
	} sizes[] = {
		{ "1 GiB", GiB }, { "16 GiB", 16 * GiB }, { "256 GiB", 256 * GiB },
		{ "1 TiB", TiB }, { "16 TiB", 16 * TiB },
	};
	double time, per_byte = 0;
	char name[64];
	unsigned int i;
	long slab;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (per_byte * sizes[i].size > budget)
			continue;

		vm = vm_create_barebones_of_type(VM_TYPE);
		slab = slab_kb();
		time = set(0, sizes[i].size, true);
		slab = slab_kb() - slab;

		snprintf(name, sizeof(name), "set %s private", sizes[i].name);
		result(name, time, "s");
		snprintf(name, sizeof(name), "slab for %s private", sizes[i].name);
		result(name, max(slab, 0l), "kB");
		per_byte = time / sizes[i].size;

		snprintf(name, sizeof(name), "set %s shared", sizes[i].name);
		result(name, set(0, sizes[i].size, false), "s");
		kvm_vm_free(vm);
	}
}

static void bench_alternate(void)
{
	const unsigned int nr = 32768;
	double start, time = 1e9;
	unsigned int run, i;
	long slab = 0, before;

	for (run = 0; run < RUNS; run++) {
		vm = vm_create_barebones_of_type(VM_TYPE);
		before = slab_kb();
		start = now();
		for (i = 0; i < nr; i++)
			vm_mem_set_private(vm, i * 2 * PAGE_SIZE, PAGE_SIZE);
		time = min(time, now() - start);
		/* The later runs find memory that those before have left. */
		slab = max(slab, slab_kb() - before);
		kvm_vm_free(vm);
	}

	result("set 32768 alternate pages", time, "s");
	result("slab for 32768 alternate pages", slab, "kB");
}

/* A VM with a window of SIZE at GPA; the guest maps it by huge pages of its own. */
static void create_vm(unsigned int nr_vcpus, bool private, enum vm_mem_backing_src_type src)
{
	unsigned int i;

	vm = __vm_create_with_vcpus(VM_MODE_DEFAULT, VM_TYPE, nr_vcpus, 1024, guest_code, vcpus);
	fd = vm_create_guest_memfd(vm, SIZE);
	vm_mem_region_add_guest_memfd(vm, src, GPA, SLOT, SIZE / PAGE_SIZE, fd, 0);
	virt_map_level(vm, GPA, GPA, SIZE, PG_LEVEL_2M);
	if (private)
		vm_mem_set_private(vm, GPA, SIZE);

	for (i = 0; i < nr_vcpus; i++) {
		vcpu_args_set(vcpus[i], 1, i);
		vcpu_run(vcpus[i]);
	}
}

static void free_vm(void)
{
	close(fd);
	kvm_vm_free(vm);
}

static void *run_vcpu(void *vcpu)
{
	vcpu_run(vcpu);
	return NULL;
}

/* Touches the window from all vCPUs, each its share of it. */
static double touch_all(unsigned int nr_vcpus, u64 step)
{
	pthread_t threads[MAX_VCPUS];
	double start;
	unsigned int i;

	for (i = 0; i < nr_vcpus; i++)
		touch[i] = (struct touch) {
			GPA + i * SIZE / nr_vcpus, GPA + (i + 1) * SIZE / nr_vcpus, step
		};
	sync_global_to_guest(vm, touch);

	start = now();
	if (nr_vcpus == 1) {
		run_vcpu(vcpus[0]);
		return now() - start;
	}

	for (i = 0; i < nr_vcpus; i++)
		pthread_create(&threads[i], NULL, run_vcpu, vcpus[i]);
	for (i = 0; i < nr_vcpus; i++)
		pthread_join(threads[i], NULL);
	return now() - start;
}

static double punch_all(void)
{
	double start = now();

	TEST_ASSERT(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE),
		    "fallocate() failed, errno %d", errno);
	return now() - start;
}

static double allocate_all(void)
{
	double start = now();

	TEST_ASSERT(!fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, SIZE), "errno %d", errno);
	return now() - start;
}

static void bench_touch(void)
{
	double touch_4k = 1e9, touch_2m = 1e9, punch = 1e9, allocate = 1e9, convert = 1e9;
	double shared = 1e9, shared_2m = 1e9;
	unsigned int run;
	void *hva;

	create_vm(1, true, VM_MEM_SRC_ANONYMOUS_THP);
	for (run = 0; run < RUNS; run++) {
		touch_4k = min(touch_4k, touch_all(1, PAGE_SIZE));
		convert = min(convert, set(GPA, SIZE, false));
		set(GPA, SIZE, true);
		touch_all(1, PAGE_SIZE);
		punch = min(punch, punch_all());
		touch_2m = min(touch_2m, touch_all(1, HUGE));
		punch_all();
		allocate = min(allocate, allocate_all());
		punch_all();
	}

	result("first touch of 512 MiB private, 4 KiB steps", touch_4k, "s");
	result("first touch of 512 MiB private, 2 MiB steps", touch_2m, "s");
	result("convert 512 MiB, touched", convert, "s");
	result("punch 512 MiB, touched", punch, "s");
	result("fallocate 512 MiB", allocate, "s");

	set(GPA, SIZE, false);
	hva = addr_gpa2hva(vm, GPA);
	for (run = 0; run < RUNS; run++) {
		shared = min(shared, touch_all(1, PAGE_SIZE));
		TEST_ASSERT(!madvise(hva, SIZE, MADV_DONTNEED), "errno %d", errno);
		shared_2m = min(shared_2m, touch_all(1, HUGE));
		TEST_ASSERT(!madvise(hva, SIZE, MADV_DONTNEED), "errno %d", errno);
	}
	free_vm();

	result("first touch of 512 MiB shared THP, 4 KiB steps", shared, "s");
	result("first touch of 512 MiB shared THP, 2 MiB steps", shared_2m, "s");
}

/* Private to shared and back, of memory that is mapped the first time. */
static void bench_round_trips(u64 size, unsigned int nr, const char *name)
{
	double start, time = 1e9;
	unsigned int run, i;

	create_vm(1, true, VM_MEM_SRC_ANONYMOUS_THP);
	for (run = 0; run < RUNS; run++) {
		touch_all(1, PAGE_SIZE);
		start = now();
		for (i = 0; i < nr; i++) {
			set(GPA + i * size, size, false);
			set(GPA + i * size, size, true);
		}
		time = min(time, now() - start);
	}
	free_vm();
	result(name, time, "s");
}

static void bench_pre_fault(void)
{
	struct kvm_pre_fault_memory range;
	double start, time = 1e9;
	unsigned int run;

	if (!kvm_has_cap(KVM_CAP_PRE_FAULT_MEMORY))
		return;

	create_vm(1, true, VM_MEM_SRC_ANONYMOUS_THP);
	for (run = 0; run < RUNS; run++) {
		range = (struct kvm_pre_fault_memory) { .gpa = GPA, .size = SIZE };
		start = now();
		while (range.size)
			TEST_ASSERT(!__vcpu_ioctl(vcpus[0], KVM_PRE_FAULT_MEMORY, &range),
				    "errno %d", errno);
		time = min(time, now() - start);
		punch_all();
	}
	free_vm();
	result("pre-fault 512 MiB private", time, "s");
}

static void bench_throughput(unsigned int nr_vcpus)
{
	double time = 1e9;
	unsigned int run;
	char name[64];

	create_vm(nr_vcpus, true, VM_MEM_SRC_ANONYMOUS_THP);
	for (run = 0; run < RUNS; run++) {
		time = min(time, touch_all(nr_vcpus, PAGE_SIZE));
		punch_all();
	}
	free_vm();

	snprintf(name, sizeof(name), "memory that %u vCPU%s first touch%s", nr_vcpus,
		 nr_vcpus > 1 ? "s" : "", nr_vcpus > 1 ? "" : "es");
	result(name, SIZE / MiB / time, "MiB/s");
}

int main(int argc, char *argv[])
{
	unsigned int nr;
	int opt;

	while ((opt = getopt(argc, argv, "hb:")) != -1) {
		switch (opt) {
		case 'b':
			budget = atof(optarg);
			break;
		default:
			printf("usage: %s [-h] [-b seconds that one measurement may take]\n",
			       argv[0]);
			return opt == 'h' ? 0 : 1;
		}
	}

	TEST_REQUIRE(kvm_check_cap(KVM_CAP_VM_TYPES) & BIT(VM_TYPE));

	bench_attributes();
	bench_alternate();
	bench_touch();
	bench_round_trips(4 * KiB, 256, "256 round trips of 4 KiB");
	bench_round_trips(2 * MiB, 128, "128 round trips of 2 MiB");
	bench_pre_fault();
	for (nr = 1; nr <= MAX_VCPUS; nr *= 2)
		bench_throughput(nr);
	return 0;
}
