// SPDX-License-Identifier: GPL-2.0
/*
 * gmemvm: shows what a guest's private memory is, one numbered step a line, each
 * with what was expected and what was seen. The first step that sees something else
 * ends the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/kvm_para.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine.h"

#define EXIT_STEP	1	/* a step failed */
#define EXIT_USAGE	2	/* the command line is wrong */
#define EXIT_MACHINE	3	/* this machine cannot run the demo */

#define MIN_MEMORY	MIB(16)

/* Each vCPU thread has a run of pages of its own, and every n-th page of another. */
#define THREAD_PAGES	16
#define THREAD_ROUNDS	4
#define OWN_BASE	(RAM_BASE + MIB(8))
#define MIXED_BASE	(OWN_BASE + MAX_VCPUS * THREAD_PAGES * PAGE_SIZE)

/* What pages are filled with, see pattern(). */
enum { ZERO, PRIVATE, GUEST, HOST };

static int step_nr;
static bool step_open;

void die(const char *fmt, ...)
{
	va_list args;

	printf(step_open ? " FAILED\ndemo: step %d failed: " :
			   "demo: failed after step %d: ", step_nr);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	exit(EXIT_STEP);
}

static void step(const char *what)
{
	printf("%2d. %s:", ++step_nr, what);
	fflush(stdout);
	step_open = true;
}

static void result(const char *expected, const char *seen)
{
	printf(" expected %s, seen %s:", expected, seen);
	if (strcmp(expected, seen))
		die("expected %s, seen %s", expected, seen);
	printf(" ok\n");
	step_open = false;
}

/* Text that is good until the eighth next call. For the main thread. */
static const char *text(const char *fmt, ...)
{
	static char buffer[8][128];
	static unsigned int next;
	char *s = buffer[next++ % 8];
	va_list args;

	va_start(args, fmt);
	vsnprintf(s, sizeof(buffer[0]), fmt, args);
	va_end(args);
	return s;
}

static const char *page_count(__u64 n)
{
	return text("%llu pages", n);
}

static const char *error(int err)
{
	return !err ? "success" : strerrorname_np(err) ?: text("error %d", err);
}

/* The outcome of a system call. */
static const char *outcome(long ret)
{
	return error(ret < 0 ? errno : 0);
}

/* A hypercall's result is an error of KVM's numbering, negative. */
static const char *hc_outcome(__u64 ret)
{
	return error(-(int)ret);
}

static __u64 guest_fill(struct vcpu *vcpu, __u64 gpa, __u64 n, __u64 seed)
{
	return vcpu_call(vcpu, CMD_FILL, gpa, n, seed);
}

static __u64 guest_match(struct vcpu *vcpu, __u64 gpa, __u64 n, __u64 seed)
{
	return vcpu_call(vcpu, CMD_MATCH, gpa, n, seed);
}

static __u64 guest_map(struct vcpu *vcpu, __u64 gpa, __u64 n, bool private)
{
	return vcpu_call(vcpu, CMD_MAP, gpa, n,
			 private ? KVM_MAP_GPA_RANGE_ENCRYPTED :
				   KVM_MAP_GPA_RANGE_DECRYPTED);
}

static void host_fill(struct vm *vm, __u64 gpa, __u64 n, __u64 seed)
{
	fill_pages(vm_hva(vm, gpa), gpa, n, seed);
}

static __u64 host_match(struct vm *vm, __u64 gpa, __u64 n, __u64 seed)
{
	return match_pages(vm_hva(vm, gpa), gpa, n, seed);
}

/*
 * The same by way of /proc/self/mem, where the kernel looks the page up as it does
 * for a debugger, and does not mind the protection of the mapping.
 */
static __u64 debugger_match(struct vm *vm, __u64 gpa, __u64 n, __u64 seed)
{
	__u64 buffer[PAGE_WORDS], good = 0;
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("/proc/self/mem: %s", strerror(errno));
	for (; n; n--, gpa += PAGE_SIZE) {
		if (pread(fd, buffer, PAGE_SIZE,
			  (unsigned long)vm_hva(vm, gpa)) != PAGE_SIZE)
			die("/proc/self/mem: %s", strerror(errno));
		good += match_pages(buffer, gpa, 1, seed);
	}
	close(fd);
	return good;
}

/* Pages that the guest_memfd holds, by its fdinfo. */
static __u64 gmem_resident(struct vm *vm)
{
	char line[128];
	__u64 resident;
	bool found = false;
	FILE *f;

	f = fopen(text("/proc/self/fdinfo/%d", vm->gmem), "r");
	if (!f)
		die("fdinfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), f))
		found |= sscanf(line, "gmem-resident: %llu", &resident) == 1;
	fclose(f);
	if (!found)
		die("fdinfo has no line gmem-resident");
	return resident / PAGE_SIZE;
}

static void print_fdinfo(struct vm *vm)
{
	char line[128];
	FILE *f = fopen(text("/proc/self/fdinfo/%d", vm->gmem), "r");

	if (!f)
		die("fdinfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "gmem-", 5))
			printf("      %s", line);
	}
	fclose(f);
}

/* What the host's file operations can do with the guest_memfd: next to nothing. */
static void demo_file(struct vm *vm, __u64 size)
{
	struct stat st;
	char byte = 0;
	void *map;

	step("size of the guest_memfd, by fstat()");
	if (fstat(vm->gmem, &st))
		die("fstat: %s", strerror(errno));
	result(text("%llu KiB", size >> 10),
	       text("%llu KiB", (__u64)st.st_size >> 10));

	step("host maps the guest_memfd");
	map = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		   vm->gmem, 0);
	result("ENODEV", outcome(map == MAP_FAILED ? -1 : 0));

	step("host reads the guest_memfd");
	result("EINVAL", outcome(read(vm->gmem, &byte, 1)));

	step("host writes to the guest_memfd");
	result("EINVAL", outcome(write(vm->gmem, &byte, 1)));

	step("host changes the size of the guest_memfd");
	result("EINVAL", outcome(ftruncate(vm->gmem, size / 2)));
}

/* All of RAM private: the guest has it, the host sees nothing and reaches nothing. */
static void demo_private(struct vm *vm, struct vcpu *vcpu, __u64 n)
{
	step("guest fills all of its RAM, which is private");
	result(page_count(n), page_count(guest_fill(vcpu, RAM_BASE, n, PRIVATE)));

	step("guest reads back what it wrote");
	result(page_count(n), page_count(guest_match(vcpu, RAM_BASE, n, PRIVATE)));

	step("memory in the guest_memfd, by fdinfo");
	result(page_count(n), page_count(gmem_resident(vm)));
	print_fdinfo(vm);

	step("host reads the same addresses, finds the guest's data in");
	result(page_count(0), page_count(host_match(vm, RAM_BASE, n, PRIVATE)));

	step("host reads the same addresses, finds zeroes in");
	result(page_count(n), page_count(host_match(vm, RAM_BASE, n, ZERO)));

	step("as a debugger would, by /proc/self/mem, finds zeroes in");
	result(page_count(n), page_count(debugger_match(vm, RAM_BASE, n, ZERO)));

	step("host writes over the same addresses, guest still reads its own in");
	host_fill(vm, RAM_BASE, n, HOST);
	result(page_count(n), page_count(guest_match(vcpu, RAM_BASE, n, PRIVATE)));
}

/* Conversion at the guest's request. */
static void demo_hypercall(struct vm *vm, struct vcpu *vcpu, __u64 total)
{
	/* Begins and ends amid 2 MiB blocks, to have ragged ends of huge pages. */
	__u64 gpa = RAM_BASE + MIB(2) - 4 * PAGE_SIZE;
	__u64 n = MIB(2) / PAGE_SIZE + 8;
	__u64 end = gpa + n * PAGE_SIZE;

	/*
	 * demo_private() has left data in the shared pages. They belong to nobody as
	 * long as the range is private, but the guest would find them now.
	 */
	if (madvise(vm_hva(vm, RAM_BASE), total * PAGE_SIZE, MADV_DONTNEED))
		die("MADV_DONTNEED: %s", strerror(errno));

	step(text("guest asks for %llu pages at 0x%llx to be shared", n, gpa));
	result("success", hc_outcome(guest_map(vcpu, gpa, n, false)));

	step("guest finds zeroes there, not its old data, in");
	result(page_count(n), page_count(guest_match(vcpu, gpa, n, ZERO)));

	step("their private pages are freed, fdinfo has");
	result(page_count(total - n), page_count(gmem_resident(vm)));

	step("guest writes to the shared range, host reads it in");
	guest_fill(vcpu, gpa, n, GUEST);
	result(page_count(n), page_count(host_match(vm, gpa, n, GUEST)));

	step("host writes to the shared range, guest reads it in");
	host_fill(vm, gpa, n, HOST);
	result(page_count(n), page_count(guest_match(vcpu, gpa, n, HOST)));

	step("guest moves 4 pages to private memory and back, host reads them in");
	vcpu_call(vcpu, CMD_COPY, end, 4, gpa);
	guest_fill(vcpu, gpa, 4, ZERO);
	vcpu_call(vcpu, CMD_COPY, gpa, 4, end);
	result(page_count(4), page_count(host_match(vm, gpa, 4, HOST)));

	step("guest asks for the range to be private again");
	result("success", hc_outcome(guest_map(vcpu, gpa, n, true)));

	step("guest finds zeroes there, not the shared data, in");
	result(page_count(n), page_count(guest_match(vcpu, gpa, n, ZERO)));

	step("guest fills it again, host finds zeroes in");
	guest_fill(vcpu, gpa, n + 4, PRIVATE);
	result(page_count(n), page_count(host_match(vm, gpa, n, ZERO)));

	step("all of RAM has the guest's data, the rest untouched by it all, in");
	result(page_count(total), page_count(guest_match(vcpu, RAM_BASE, total, PRIVATE)));

	step("guest asks for memory that is not there to be shared");
	result("EINVAL", hc_outcome(guest_map(vcpu, RAM_BASE,
					      1ULL << 52, false)));

	step("guest asks for an unaligned range to be shared");
	result("EINVAL", hc_outcome(guest_map(vcpu, RAM_BASE + 8, 1, false)));
}

/* Conversion by the VMM's decision, when the guest touches a page. */
static void demo_fault(struct vm *vm, struct vcpu *vcpu)
{
	__u64 hotplug = vm->region[HOTPLUG].gpa, buffer = vm->region[BUFFER].gpa;
	struct stats *stats = &vcpu->stats;

	step("guest uses 4 pages of hotplug memory, KVM exits for a shared access");
	guest_fill(vcpu, hotplug, 4, PRIVATE);
	result("4 times", text("%llu times", stats->exit_fault_shared));

	step("they became private: guest reads its data, host zeroes in");
	result("4 and 4 pages",
	       text("%llu and %llu pages",
		    guest_match(vcpu, hotplug, 4, PRIVATE),
		    debugger_match(vm, hotplug, 4, ZERO)));

	step("guest uses 4 pages of the buffer, KVM exits for a private access");
	guest_fill(vcpu, buffer, 4, GUEST);
	result("4 times", text("%llu times", stats->exit_fault_private));

	step("they became shared: host reads the guest's data in");
	result(page_count(4), page_count(host_match(vm, buffer, 4, GUEST)));
}

struct worker {
	pthread_t thread;
	struct vcpu *vcpu;
	__u64 good;
};

/*
 * One range through all of its states, or for a VM without private memory the part
 * of it that there is. Counts the pages that were as they should be.
 */
static __u64 exercise(struct vcpu *vcpu, __u64 gpa, __u64 n)
{
	struct vm *vm = vcpu->vm;
	__u64 good = 0;

	if (vm->gmem >= 0) {
		good += guest_match(vcpu, gpa, n, PRIVATE);
		good += host_match(vm, gpa, n, ZERO);
		if (guest_map(vcpu, gpa, n, false))
			return good;
		good += guest_match(vcpu, gpa, n, ZERO);
	}

	guest_fill(vcpu, gpa, n, GUEST);
	good += host_match(vm, gpa, n, GUEST);
	host_fill(vm, gpa, n, HOST);
	good += guest_match(vcpu, gpa, n, HOST);

	if (vm->gmem >= 0) {
		if (guest_map(vcpu, gpa, n, true))
			return good;
		good += guest_match(vcpu, gpa, n, ZERO);
	}
	guest_fill(vcpu, gpa, n, PRIVATE);
	return good;
}

#define CHECKS_PRIVATE	6
#define CHECKS_SHARED	2

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct vcpu *vcpu = worker->vcpu;
	int round, i;

	for (round = 0; round < THREAD_ROUNDS; round++) {
		worker->good += exercise(vcpu, OWN_BASE + vcpu->id *
					 THREAD_PAGES * PAGE_SIZE, THREAD_PAGES);
		for (i = 0; i < THREAD_PAGES; i++)
			worker->good += exercise(vcpu, MIXED_BASE + PAGE_SIZE *
						 (i * vcpu->vm->nr_vcpus +
						  vcpu->id), 1);
	}
	return NULL;
}

/* All vCPUs at once, each on its own pages, but neighbours of the others'. */
static void demo_threads(struct vm *vm)
{
	int checks = vm->gmem >= 0 ? CHECKS_PRIVATE : CHECKS_SHARED;
	struct worker workers[MAX_VCPUS] = {};
	__u64 good = 0;
	int i, err;

	step(text("%d vCPUs at once, %d rounds, own and interleaved pages, right were",
		  vm->nr_vcpus, THREAD_ROUNDS));
	for (i = 0; i < vm->nr_vcpus; i++) {
		workers[i].vcpu = &vm->vcpu[i];
		err = pthread_create(&workers[i].thread, NULL, worker_main,
				     &workers[i]);
		if (err)
			die("thread of vCPU %d: %s", i, strerror(err));
	}
	for (i = 0; i < vm->nr_vcpus; i++) {
		pthread_join(workers[i].thread, NULL);
		good += workers[i].good;
	}
	result(page_count((__u64)vm->nr_vcpus * THREAD_ROUNDS * 2 * THREAD_PAGES *
		     checks), page_count(good));
}

/* The host may not read private memory, but may take it away. */
static void demo_reset(struct vm *vm, struct vcpu *vcpu, __u64 n)
{
	step("after all of this, all of RAM has the guest's data in");
	result(page_count(n), page_count(guest_match(vcpu, RAM_BASE, n, PRIVATE)));

	step("host punches RAM out of the guest_memfd, of the hotplug memory there are");
	vm_punch(vm, &vm->region[RAM], RAM_BASE, n * PAGE_SIZE);
	result(page_count(4), page_count(gmem_resident(vm)));

	step("guest finds zeroes in all of RAM, in");
	result(page_count(n), page_count(guest_match(vcpu, RAM_BASE, n, ZERO)));
}

static void demo_hello(struct vcpu *vcpu)
{
	step("guest starts, in a mode of");
	result("64 bits", text("%llu bits", vcpu_call(vcpu, CMD_HELLO, 0, 0, 0)));
}

static void demo_sw_protected(struct vm *vm, __u64 memory, int nr_vcpus)
{
	__u64 end = RAM_BASE + memory, n = memory / PAGE_SIZE;

	step("KVM_CAP_MEMORY_ATTRIBUTES of the VM");
	result(text("0x%llx", KVM_MEMORY_ATTRIBUTE_PRIVATE),
	       text("0x%x", vm_cap(vm, KVM_CAP_MEMORY_ATTRIBUTES)));

	vm_create_gmem(vm, memory + HOTPLUG_SIZE);
	demo_file(vm, memory + HOTPLUG_SIZE);

	vm_bind_region(vm, RAM, "RAM", RAM_BASE, memory, PROT_READ | PROT_WRITE, 0);
	vm_bind_region(vm, HOTPLUG, "hotplug", end, HOTPLUG_SIZE, PROT_NONE, memory);
	vm_add_region(vm, BUFFER, "buffer", end + HOTPLUG_SIZE, BUFFER_SIZE,
		      PROT_READ | PROT_WRITE);

	step("VMM makes RAM private");
	result("success",
	       error(vm_set_attributes(vm, RAM_BASE, memory,
				       KVM_MEMORY_ATTRIBUTE_PRIVATE)));
	step("VMM makes the buffer private");
	result("success",
	       error(vm_set_attributes(vm, vm->region[BUFFER].gpa, BUFFER_SIZE,
				       KVM_MEMORY_ATTRIBUTE_PRIVATE)));

	vm_load_guest(vm);
	vm_create_vcpus(vm, nr_vcpus);
	demo_hello(vm->vcpu);
	demo_private(vm, vm->vcpu, n);
	demo_hypercall(vm, vm->vcpu, n);
	demo_fault(vm, vm->vcpu);
	demo_threads(vm);
	demo_reset(vm, vm->vcpu, n);
}

/* What an ordinary VM cannot do, and that its host sees and reaches all. */
static void demo_default(struct vm *vm, __u64 memory, int nr_vcpus)
{
	const char *refusal = vm->has_gmem ? "EINVAL" : "ENOTTY";
	struct kvm_userspace_memory_region2 region2 = {
		.slot = RAM,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = RAM_BASE,
		.memory_size = memory,
	};
	__u64 n = memory / PAGE_SIZE;

	step("KVM_CAP_MEMORY_ATTRIBUTES of the VM");
	result("0x0", text("0x%x", vm_cap(vm, KVM_CAP_MEMORY_ATTRIBUTES)));

	step("KVM_CAP_GUEST_MEMFD of the VM");
	result("0", text("%d", vm_cap(vm, KVM_CAP_GUEST_MEMFD)));

	step("VMM makes memory private");
	result(refusal, error(vm_set_attributes(vm, RAM_BASE, memory,
						KVM_MEMORY_ATTRIBUTE_PRIVATE)));

	step("VMM makes a slot with KVM_MEM_GUEST_MEMFD");
	result(refusal, outcome(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2,
				      &region2)));

	vm_add_region(vm, RAM, "RAM", RAM_BASE, memory, PROT_READ | PROT_WRITE);
	vm_load_guest(vm);
	vm_create_vcpus(vm, nr_vcpus);
	demo_hello(vm->vcpu);

	step("guest fills all of its RAM");
	result(page_count(n), page_count(guest_fill(vm->vcpu, RAM_BASE, n, PRIVATE)));

	step("host reads the guest's data in");
	result(page_count(n), page_count(host_match(vm, RAM_BASE, n, PRIVATE)));

	step("guest asks for its RAM to be private");
	result("EOPNOTSUPP", hc_outcome(guest_map(vm->vcpu, RAM_BASE, n, true)));

	step("host writes over guest memory, guest reads the host's data in");
	host_fill(vm, RAM_BASE, n, HOST);
	result(page_count(n), page_count(guest_match(vm->vcpu, RAM_BASE, n, HOST)));

	demo_threads(vm);
	printf("An ordinary VM has no private memory: its host reads and writes all of it.\n");
}

static void print_stats(struct vm *vm, __u64 ns)
{
	struct stats sum = {};
	__u64 conversions;
	int i;

	for (i = 0; i < vm->nr_vcpus; i++) {
		struct stats *s = &vm->vcpu[i].stats;

		sum.exit_io += s->exit_io;
		sum.exit_hypercall += s->exit_hypercall;
		sum.exit_fault_private += s->exit_fault_private;
		sum.exit_fault_shared += s->exit_fault_shared;
		sum.to_private += s->to_private;
		sum.to_private_pages += s->to_private_pages;
		sum.to_shared += s->to_shared;
		sum.to_shared_pages += s->to_shared_pages;
		sum.refused += s->refused;
		sum.convert_ns += s->convert_ns;
		if (s->convert_max_ns > sum.convert_max_ns)
			sum.convert_max_ns = s->convert_max_ns;
	}
	conversions = sum.to_private + sum.to_shared;

	printf("exits: %llu I/O, %llu hypercall (%llu refused)\n", sum.exit_io,
	       sum.exit_hypercall, sum.refused);
	printf("memory-fault exits: %llu for a private access, %llu for a shared one\n",
	       sum.exit_fault_private, sum.exit_fault_shared);
	printf("conversions: %llu to private (%llu pages), %llu to shared (%llu pages)\n",
	       sum.to_private, sum.to_private_pages, sum.to_shared,
	       sum.to_shared_pages);
	printf("time: %llu ms in all, a conversion %llu us on average, %llu us at most\n",
	       ns / 1000000, conversions ? sum.convert_ns / conversions / 1000 : 0,
	       sum.convert_max_ns / 1000);
}

static const char usage[] =
	"Usage: gmemvm [--type default|sw-protected] [--memory SIZE] [--vcpus N]\n"
	"\n"
	"Runs a guest whose memory is private to it, and shows step by step what the\n"
	"guest and the host can do with it.\n"
	"\n"
	"  --type TYPE    sw-protected (default): a VM with private memory\n"
	"                 default: an ordinary VM, to see what it cannot do\n"
	"  --memory SIZE  memory of the guest, 16M to 64G in steps of 2M, with a suffix\n"
	"                 of K, M or G (default: 64M)\n"
	"  --vcpus N      1 to 64 (default: 2)\n"
	"  --help         this text\n"
	"\n"
	"Exit status: 0 all steps passed, 1 one failed, 2 wrong usage, 3 this machine's\n"
	"KVM cannot run a VM of the type.\n";

[[gnu::noreturn, gnu::format(printf, 2, 3)]]
static void quit(int status, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "gmemvm: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(status);
}

static __u64 parse_number(const char *option, const char *s, char **end)
{
	__u64 n;

	if (*s < '0' || *s > '9')
		quit(EXIT_USAGE, "%s: '%s' is no number", option, s);
	errno = 0;
	n = strtoull(s, end, 10);
	if (errno)
		quit(EXIT_USAGE, "%s: '%s' is out of range", option, s);
	return n;
}

static __u64 parse_memory(const char *s)
{
	char *end;
	__u64 n = parse_number("--memory", s, &end);
	int shift;

	shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
	if (!shift || end[1])
		quit(EXIT_USAGE, "--memory: '%s' needs one suffix of K, M or G", s);
	if (n > MAX_MEMORY >> shift || n << shift < MIN_MEMORY)
		quit(EXIT_USAGE, "--memory: '%s' is not from 16M to 64G", s);
	n <<= shift;
	if (n % MIB(2))
		quit(EXIT_USAGE, "--memory: '%s' is no multiple of 2M", s);
	return n;
}

static int parse_vcpus(const char *s)
{
	char *end;
	__u64 n = parse_number("--vcpus", s, &end);

	if (*end || !n || n > MAX_VCPUS)
		quit(EXIT_USAGE, "--vcpus: '%s' is not from 1 to %d", s, MAX_VCPUS);
	return n;
}

static unsigned long parse_type(const char *s)
{
	if (!strcmp(s, "default"))
		return KVM_X86_DEFAULT_VM;
	if (!strcmp(s, "sw-protected"))
		return KVM_X86_SW_PROTECTED_VM;
	quit(EXIT_USAGE, "--type: '%s' is neither default nor sw-protected", s);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "type", required_argument, NULL, 't' },
		{ "memory", required_argument, NULL, 'm' },
		{ "vcpus", required_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	unsigned long type = KVM_X86_SW_PROTECTED_VM;
	__u64 memory = MIB(64), start;
	int option, kvm, types, nr_vcpus = 2;
	struct vm vm;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 't':
			type = parse_type(optarg);
			break;
		case 'm':
			memory = parse_memory(optarg);
			break;
		case 'v':
			nr_vcpus = parse_vcpus(optarg);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			return EXIT_USAGE;	/* getopt has said why */
		}
	}
	if (optind < argc)
		quit(EXIT_USAGE, "'%s': no arguments but options are taken", argv[optind]);

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		quit(EXIT_MACHINE, "/dev/kvm: %s", strerror(errno));

	types = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES);
	if (type == KVM_X86_SW_PROTECTED_VM && !(types & 1 << type))
		quit(EXIT_MACHINE,
		     "KVM has no VMs of type sw-protected (KVM_CAP_VM_TYPES is 0x%x): it needs CONFIG_KVM_SW_PROTECTED_VM and two-dimensional paging",
		     types);

	start = now_ns();
	step(text("VMM creates a VM of type %s, for %llu MiB and %d vCPUs",
		  type == KVM_X86_DEFAULT_VM ? "default" : "sw-protected",
		  memory >> 20, nr_vcpus));
	result("success", error(vm_create(&vm, kvm, type)));

	vm.has_gmem = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY2) > 0;
	vm_add_region(&vm, BOOT, "boot", 0, BOOT_SIZE, PROT_READ | PROT_WRITE);
	if (type == KVM_X86_SW_PROTECTED_VM)
		demo_sw_protected(&vm, memory, nr_vcpus);
	else
		demo_default(&vm, memory, nr_vcpus);

	print_stats(&vm, now_ns() - start);
	printf("demo: all %d steps passed\n", step_nr);
	return 0;
}
