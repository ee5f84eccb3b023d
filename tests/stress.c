// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stress guest_memfd and memory attributes
 *
 * vCPUs of a software-protected VM read and write memory while threads of the
 * host convert it, punch holes, allocate, delete and create memslots, close
 * files and make new ones, and change the mappings behind shared memory; while
 * forked children inherit the files; and while other such VMs come and go, some
 * of them killed as they run.
 *
 * All data are verified.  The memory is four zones, neighbours in guest physical
 * memory, each with rules of its own:
 *
 * "owned", one with anonymous memory as its shared backing and one with a memfd.
 *	A vCPU or thread owns a page before it writes to it, converts it or
 *	discards what is in it, and notes in a model what is there then, private
 *	and shared.  So a read by an owner has to find exactly that.  Others only
 *	read; if nobody owned the page meanwhile, they have to find exactly that,
 *	too.  They make page faults race with whatever the owner does, and what is
 *	mapped wrongly then is found by who reads the page next.  Memslots come
 *	and go without regard to owners, cut at arbitrary pages: nothing may be
 *	lost by that.
 *
 * "watched".  Each vCPU writes to its own line of each page whenever it likes.
 *	One thread converts, and looks at the shared memory of pages that are
 *	private: what it has put there must stay, and no vCPU may see it.
 *
 * "free".  All of this without any rule, files being closed included, but that
 *	the first pages stay shared and the last ones private.  In between a
 *	vCPU finds zero, what it wrote at this very place, or what the host did.
 *	In the first pages it finds the last value it wrote there, and in the
 *	last ones what it wrote there or zero, and nothing of the host's.
 *
 * A thread that takes pages from the kernel, fills them and later finds them
 * unchanged tells of pages that were freed while somebody could still reach them.
 *
 * Any failure is a defect of the kernel's: a write that was lost, memory seen by
 * the wrong side, an exit that had no reason, an ioctl that should not have
 * failed, or a task that hangs.  The n-th operation that a thread or a vCPU
 * attempts depends on the seed, the thread and n and on nothing else; when it
 * happens, and what it meets then, is up to the machine.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"

#include "stress-guest.h"
#include "stress-host.h"

#define VM_TYPE		KVM_X86_SW_PROTECTED_VM

/* Exits */

static bool changed_since_entry(unsigned int zone, unsigned int before, unsigned int now)
{
	return zone == FREE || before & 1 || before != now;
}

static unsigned int zone_of_gpa(u64 gpa, unsigned int *page)
{
	if (gpa < BASE_GPA || gpa >= BASE_GPA + NR_ZONES * ZONE_SIZE)
		fail("an exit for gpa 0x%lx, which nobody touched", gpa);

	*page = (gpa - BASE_GPA) % ZONE_SIZE / PAGE_SIZE;
	return (gpa - BASE_GPA) / ZONE_SIZE;
}

static bool owns(unsigned int zone, unsigned int page)
{
	return zone < NR_OWNED && shared->page[zone][page].owner == self->number + 1;
}

/* There was no memslot, or no file, or the shared memory was protected. */
static void handle_memory_fault(struct kvm_run *run)
{
	u64 gpa = run->memory_fault.gpa, flags = run->memory_fault.flags;
	bool private = flags & KVM_MEMORY_EXIT_FLAG_PRIVATE, changed;
	unsigned int page, zone = zone_of_gpa(gpa, &page);
	struct zone *z = &zones[zone];

	did(MEMORY_FAULTS, 1);
	if (gpa % PAGE_SIZE || run->memory_fault.size != PAGE_SIZE ||
	    flags & ~KVM_MEMORY_EXIT_FLAG_PRIVATE)
		fail("memory fault with gpa 0x%lx, size 0x%llx, flags 0x%lx", gpa,
		     run->memory_fault.size, flags);

	if (private)
		changed = changed_since_entry(zone, self->slots_seq[zone], load(&z->slots_seq));
	else
		changed = changed_since_entry(zone, self->protection_seq[zone],
					      load(&z->protection_seq));
	if (!changed)
		fail("memory fault, %s, zone %u page %u: its memory was there all the time",
		     private ? "private" : "shared", zone, page);
	if (owns(zone, page) && shared->page[zone][page].private != private)
		fail("memory fault, %s, zone %u page %u: it is not so",
		     private ? "private" : "shared", zone, page);
	if (private ? in_shared_strip(zone, page) : in_private_strip(zone, page))
		fail("memory fault, %s, zone %u page %u: it is never so",
		     private ? "private" : "shared", zone, page);

	self->retries++;
	nap(self->retries % 8 ? 0 : 100);
	if (zone == FREE && self->retries % 16 == 0)
		repair_free_zone();
	else if (zone == FREE && private && self->retries % 4 == 0 && !in_private_strip(zone, page))
		set_attributes(FREE, (struct range) { page, 1 }, false);
}

/* There was no memslot: what a vCPU would do with shared memory is done for it. */
static void handle_mmio(struct kvm_run *run)
{
	unsigned int page, zone = zone_of_gpa(run->mmio.phys_addr, &page);
	struct zone *z = &zones[zone];
	u64 *place, v;

	did(MMIOS, 1);
	if (run->mmio.len != 8 || run->mmio.phys_addr % 8)
		fail("MMIO with gpa 0x%llx, length %u", run->mmio.phys_addr, run->mmio.len);
	if (!changed_since_entry(zone, self->slots_seq[zone], load(&z->slots_seq)))
		fail("MMIO, zone %u page %u: its memory was there all the time", zone, page);
	if (in_private_strip(zone, page) ||
	    (owns(zone, page) && shared->page[zone][page].private))
		fail("MMIO, zone %u page %u, which is private", zone, page);
	if (zone < NR_OWNED && run->mmio.is_write && !owns(zone, page))
		fail("MMIO, zone %u page %u: a write by who does not own it", zone, page);

	place = host_place(zone, page, run->mmio.phys_addr % PAGE_SIZE);
	if (run->mmio.is_write) {
		memcpy(&v, run->mmio.data, sizeof(v));
		WRITE_ONCE(*place, v);
	} else {
		v = READ_ONCE(*place);
		memcpy(run->mmio.data, &v, sizeof(v));
	}
}

static void handle_hypercall(struct kvm_run *run)
{
	u64 npages = run->hypercall.args[1], attrs = run->hypercall.args[2];
	struct range range = { .nr = npages };
	unsigned int zone = zone_of_gpa(run->hypercall.args[0], &range.first), page;

	did(HYPERCALLS, 1);
	if (run->hypercall.nr != KVM_HC_MAP_GPA_RANGE || run->hypercall.args[0] % PAGE_SIZE ||
	    !npages || npages > ZONE_PAGES - range.first)
		fail("hypercall %llu for gpa 0x%llx, %lu pages", run->hypercall.nr,
		     run->hypercall.args[0], npages);
	for (page = range.first; page < range.first + range.nr; page++)
		if (zone < NR_OWNED ? !owns(zone, page) :
				      in_shared_strip(zone, page) || in_private_strip(zone, page))
			fail("hypercall for zone %u page %u, which is not the vCPU's", zone, page);

	set_attributes(zone, range, attrs & KVM_MAP_GPA_RANGE_ENCRYPTED);
	run->hypercall.ret = 0;
}

/* Returns false when the guest is done. */
static bool handle_ucall(struct kvm_vcpu *vcpu)
{
	struct range range;
	struct ucall uc;

	switch (get_ucall(vcpu, &uc)) {
	case UCALL_DONE:
		return false;
	case UCALL_SYNC:
		range = (struct range) { uc.args[1], uc.args[2] };
		if (uc.args[3])
			punch(uc.args[0], range);
		else
			discard_shared(uc.args[0], range);
		return true;
	case UCALL_ABORT:
		/* The guest is the same program, its text at the same place. */
		fail_value((const char *)uc.args[0], uc.args[1], uc.args[2], uc.args[3],
			   uc.args[4], uc.args[5]);
	default:
		fail("exit reason %u (%s)", vcpu->run->exit_reason,
		     exit_reason_str(vcpu->run->exit_reason));
	}
}

/* A kernel with a part of the series only may not. */
static bool can_pre_fault;

/* Has memory mapped that may be about to go, or never was there. */
static void pre_fault(struct rng *r)
{
	struct kvm_pre_fault_memory range = {
		.gpa = BASE_GPA + draw(r, NR_ZONES * ZONE_PAGES) * PAGE_SIZE,
		.size = (1 + draw(r, 64)) * PAGE_SIZE,
	};
	u64 first = range.gpa;

	if (__vcpu_ioctl(self->vcpu, KVM_PRE_FAULT_MEMORY, &range) &&
	    errno != ENOENT && errno != EFAULT && errno != EINTR)
		fail("KVM_PRE_FAULT_MEMORY of gpa 0x%lx failed: %m", first);

	did(PRE_FAULTS, (range.gpa - first) / PAGE_SIZE);
}

static void *vcpu_thread(void *arg)
{
	struct kvm_run *run;
	unsigned int zone;
	bool more = true;
	struct rng r;
	u64 runs;

	self = arg;
	run = self->vcpu->run;
	for (runs = 0; more; runs++) {
		r = rng_of_op(seed, 2000 + self->number, runs);
		if (!draw(&r, 16) && can_pre_fault) {
			self->doing = "KVM_PRE_FAULT_MEMORY";
			pre_fault(&r);
		}

		for (zone = 0; zone < NR_ZONES; zone++) {
			self->slots_seq[zone] = load(&zones[zone].slots_seq);
			self->protection_seq[zone] = load(&zones[zone].protection_seq);
		}

		self->doing = "KVM_RUN";
		run->exit_reason = -1u;
		if (__vcpu_run(self->vcpu)) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			if (errno != EFAULT || run->exit_reason != KVM_EXIT_MEMORY_FAULT)
				fail("KVM_RUN failed: %m, exit reason %u (%s)", run->exit_reason,
				     exit_reason_str(run->exit_reason));
			self->doing = "a memory fault";
			handle_memory_fault(run);
		} else if (run->exit_reason == KVM_EXIT_MMIO) {
			self->doing = "MMIO";
			handle_mmio(run);
		} else if (run->exit_reason == KVM_EXIT_HYPERCALL) {
			self->doing = "a hypercall";
			handle_hypercall(run);
		} else {
			self->doing = "a request";
			more = handle_ucall(self->vcpu);
		}
	}

	WRITE_ONCE(self->done, true);
	return NULL;
}

/* Other processes, and the VM's life */

static void forks_op(struct rng *r);
static void kills_op(struct rng *r);

static struct actor threads[] = {
	{ .name = "owner 1", .op = owner_op, .pause = 300, .in_victims = true },
	{ .name = "owner 2", .op = owner_op, .pause = 3000 },
	{ .name = "watcher", .op = watcher_op, .pause = 300, .in_victims = true },
	{ .name = "free 1", .op = free_op, .pause = 300, .in_victims = true },
	{ .name = "free 2", .op = free_op, .pause = 3000 },
	{ .name = "slots", .op = slots_op, .pause = 5000, .in_victims = true, .is_heavy = true },
	{ .name = "churn", .op = churn_op, .pause = 1000 },
	{ .name = "forks", .op = forks_op, .pause = 200000, .is_heavy = true },
	{ .name = "kills", .op = kills_op, .pause = 500000, .is_heavy = true },
};

static struct actor vcpu_actors[MAX_VCPUS];
static char vcpu_names[MAX_VCPUS][16];

static void *host_thread(void *arg)
{
	self = arg;
	while (!READ_ONCE(stopping)) {
		struct rng r = rng_of_op(seed, self->number, self->ops);

		self->op(&r);
		WRITE_ONCE(self->ops, self->ops + 1);
		self->doing = "sleep";
		nap(draw(&r, self->pause) * (self->is_heavy ? slowness : 1));
	}

	WRITE_ONCE(self->done, true);
	return NULL;
}

static bool is_used(struct actor *a)
{
	return !victim || a->in_victims;
}

static void *map_zone(int memfd)
{
	char *mem = mmap(NULL, ZONE_SIZE + HUGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		fail("no memory: %m");

	mem = align_ptr_up(mem, HUGE_SIZE);
	if (memfd < 0)
		madvise(mem, ZONE_SIZE, MADV_HUGEPAGE);
	else if (mmap(mem, ZONE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		      memfd, 0) == MAP_FAILED)
		fail("cannot map a memfd: %m");
	return mem;
}

static void set_up_zone(unsigned int zone)
{
	struct rng r = rng_of_op(seed, 1000, zone);
	struct zone *z = &zones[zone];

	memset(z, 0, sizeof(*z));
	pthread_mutex_init(&z->lock, NULL);
	z->gpa = BASE_GPA + zone * ZONE_SIZE;
	z->memfd = -1;
	if (zone == OWNED_MEMFD || zone == FREE)
		z->memfd = kvm_memfd_alloc(ZONE_SIZE, false);
	z->hva = map_zone(z->memfd);
	z->mem = z->memfd < 0 ? z->hva : map_zone(z->memfd);

	if (zone == FREE) {
		z->gmem = -1;
		repair_free_zone();
		set_attributes(FREE, (struct range) { ZONE_PAGES - STRIP, STRIP }, true);
	} else {
		make_file(&r, zone);
		create_slots(&r, zone);
	}
}

static void set_up(void)
{
	unsigned int zone;

	vm = __vm_create_with_vcpus(VM_MODE_DEFAULT, VM_TYPE, nr_vcpus, NR_ZONES * ZONE_PAGES,
				    guest_code, vcpus);
	vm_enable_cap(vm, KVM_CAP_EXIT_HYPERCALL, BIT(KVM_HC_MAP_GPA_RANGE));
	virt_map(vm, BASE_GPA, BASE_GPA, NR_ZONES * ZONE_PAGES);

	shared = addr_gva2hva(vm, (vm_vaddr_t)&state);
	if (addr_gva2hva(vm, (vm_vaddr_t)(&state + 1) - 1) != (char *)(shared + 1) - 1)
		fail("the guest's data are not in one piece");

	for (zone = 0; zone < NR_ZONES; zone++)
		set_up_zone(zone);
}

static void start(struct actor *a, unsigned int number, void *(*fn)(void *))
{
	a->number = number;
	a->ops = 0;
	a->seen = 0;
	a->done = false;
	a->doing = "nothing yet";
	a->since = time(NULL);
	if (pthread_create(&a->thread, NULL, fn, a))
		fail("cannot create a thread");
}

static void start_all(void)
{
	unsigned int i;

	for (i = 0; i < nr_vcpus; i++) {
		snprintf(vcpu_names[i], sizeof(vcpu_names[i]), "vCPU %u", i);
		vcpu_actors[i].name = vcpu_names[i];
		vcpu_actors[i].vcpu = vcpus[i];
		vcpu_args_set(vcpus[i], 3, (u64)i, seed, (u64)nr_vcpus);
		start(&vcpu_actors[i], i, vcpu_thread);
	}
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		if (is_used(&threads[i]))
			start(&threads[i], MAX_VCPUS + i, host_thread);
}

static bool is_stuck(struct actor *a)
{
	u64 ops = a->vcpu ? READ_ONCE(shared->rounds[a->number]) : READ_ONCE(a->ops);
	time_t now = time(NULL);

	if (ops != a->seen || READ_ONCE(a->done)) {
		a->seen = ops;
		a->since = now;
	}
	return now - a->since > hang_limit * slowness;
}

static void look_for_hangs(void)
{
	unsigned int i, stuck = 0;

	for (i = 0; i < nr_vcpus + ARRAY_SIZE(threads); i++) {
		struct actor *a = i < nr_vcpus ? &vcpu_actors[i] : &threads[i - nr_vcpus];

		if (!is_used(a) || !is_stuck(a))
			continue;
		fprintf(stderr, "stress: %s is stuck after %lu operations, at: %s\n", a->name,
			a->seen, a->doing);
		stuck++;
	}
	if (stuck)
		fail("%u stuck for %u seconds", stuck, hang_limit * slowness);
}

static void join(struct actor *a)
{
	while (!READ_ONCE(a->done)) {
		look_for_hangs();
		usleep(20000);
	}
	pthread_join(a->thread, NULL);
}

static void stop_all(u64 how)
{
	unsigned int i;

	WRITE_ONCE(stopping, true);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		if (is_used(&threads[i]))
			join(&threads[i]);

	/* No vCPU shall wait for what nobody creates anymore. */
	repair_free_zone();
	WRITE_ONCE(shared->stop, how);
	for (i = 0; i < nr_vcpus; i++)
		join(&vcpu_actors[i]);
}

static void tear_down(bool files_first)
{
	unsigned int zone;

	if (!files_first)
		kvm_vm_free(vm);
	for (zone = 0; zone < NR_ZONES; zone++)
		close(zones[zone].gmem);
	if (files_first)
		kvm_vm_free(vm);
}

/* It is not this process' VM, but it may free the file's memory, and keep it. */
static void __noreturn be_child(struct rng *r, int gmem)
{
	struct range range = draw_range(r, 0, ZONE_PAGES);
	bool punch_it = draw(r, 2), close_it = draw(r, 2);
	unsigned int pause = draw(r, 30000);

	self->doing = "in a child";
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!__vm_set_memory_attributes(vm, BASE_GPA, PAGE_SIZE, 0) || errno != EIO)
		fail("a child set attributes, or did not get EIO: %m");
	if (gmem >= 0) {
		gmem_fallocate(gmem, 0, range, punch_it);
		if (close_it)
			close(gmem);
	}
	usleep(pause);
	_exit(0);
}

static void forks_op(struct rng *r)
{
	struct zone *z = &zones[FREE];
	int status, gmem;
	pid_t pid;

	self->doing = "fork";
	pthread_mutex_lock(&z->lock);
	gmem = z->gmem;
	pid = fork();
	pthread_mutex_unlock(&z->lock);
	if (pid < 0)
		fail("cannot fork: %m");
	if (!pid)
		be_child(r, gmem);

	self->doing = "wait for a child";
	if (waitpid(pid, &status, 0) != pid || status)
		fail("a child ended with status 0x%x", status);
	did(FORKS, 1);
}

/* A process of its own, with all of this on a smaller scale. */
static void __noreturn be_victim(struct rng *r, u64 number, bool killed)
{
	unsigned int run = draw(r, 100000) * slowness, end = draw(r, 3);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	victim = number;
	seed = mix(seed + number);
	nr_vcpus = 2;
	self = NULL;
	memset(&counts, 0, sizeof(counts));

	set_up();
	start_all();
	if (killed)
		pause();
	usleep(run);
	/* With vCPUs in the guest, or in good order. */
	if (end) {
		stop_all(STOP);
		tear_down(end == 1);
	}
	_exit(0);
}

static void kills_op(struct rng *r)
{
	/* The first is always killed, that there is one in each run. */
	bool kill_it = !self->ops || draw(r, 3);
	unsigned int delay = draw(r, 300000) * slowness;
	int status = -1;
	pid_t pid;

	self->doing = "run a short-lived VM";
	pid = fork();
	if (pid < 0)
		fail("cannot fork: %m");
	if (!pid)
		be_victim(r, self->ops + 1, kill_it);

	if (kill_it) {
		usleep(delay);
		self->doing = "kill a short-lived VM";
		kill(pid, SIGKILL);
	}
	if (waitpid(pid, &status, 0) != pid ||
	    (status && !(kill_it && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)))
		fail("short-lived VM %lu ended with status 0x%x", self->ops + 1, status);
	did(VICTIMS, 1);
	if (WIFSIGNALED(status))
		did(KILLS, 1);
}

/* Something of each kind but exits, which a lucky run does not have */
static bool is_complete(void)
{
	unsigned int i;

	for (i = 0; i < nr_vcpus; i++)
		if (!READ_ONCE(shared->rounds[i]))
			return false;
	for (i = 0; i < NR_COUNTS; i++)
		if (i != MEMORY_FAULTS && i != MMIOS && (i != PRE_FAULTS || can_pre_fault) &&
		    !READ_ONCE(counts[i]))
			return false;
	return true;
}

static void run_for(unsigned int seconds)
{
	time_t begin = time(NULL);

	while (time(NULL) - begin < seconds || !is_complete()) {
		look_for_hangs();
		if (time(NULL) - begin > seconds + hang_limit * slowness)
			fail("no operation of some kind in all the time");
		usleep(100000);
	}
}

/* In units of what a page fault takes on a machine that is none of the slowest */
static unsigned int measure_slowness(void)
{
	const unsigned int pages = 2048;
	struct timespec begin;
	unsigned int i;
	s64 ns;
	char *mem;

	mem = mmap(NULL, pages * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	if (mem == MAP_FAILED)
		fail("no memory: %m");
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (i = 0; i < pages; i++)
		WRITE_ONCE(mem[i * PAGE_SIZE], 1);
	ns = timespec_to_ns(timespec_elapsed(begin));
	munmap(mem, pages * PAGE_SIZE);

	return 1 + min(ns / pages / 3000, (s64)7);
}

static void report(void)
{
	u64 reads = 0, writes = 0;
	unsigned int i;

	for (i = 0; i < nr_vcpus; i++) {
		reads += shared->reads[i];
		writes += shared->writes[i];
	}
	printf("%-20s %12lu\n%-20s %12lu\n", "guest reads", reads, "guest writes", writes);
	for (i = 0; i < NR_COUNTS; i++)
		printf("%-20s %12lu\n", count_names[i], counts[i]);
}

static void help(FILE *to)
{
	fprintf(to,
		"usage: stress [--seed N] [--seconds N] [--vcpus N] [--hang N]\n"
		"\n"
		"Stress guest_memfd and memory attributes, and verify all data.\n"
		"\n"
		"  --seed N      what each thread attempts, in which order (default: the time);\n"
		"                how threads interleave does not depend on it\n"
		"  --seconds N   how long (default 20)\n"
		"  --vcpus N     vCPUs, up to %u (default 4)\n"
		"  --hang N      seconds without progress of a thread or vCPU that are a hang\n"
		"                (default 60); multiplied by how slow the machine turns out to be\n",
		MAX_VCPUS);
}

static unsigned long parse(const char *text, unsigned long least, unsigned long most)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 0);
	if (!*text || *end || errno || n < least || n > most) {
		fprintf(stderr, "stress: not a number from %lu to %lu: '%s'\n", least, most, text);
		exit(1);
	}
	return n;
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 't' },
		{ "vcpus", required_argument, NULL, 'n' },
		{ "hang", required_argument, NULL, 'w' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	unsigned int seconds = 20;
	int opt;

	seed = time(NULL);
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case 's':
			seed = parse(optarg, 0, -1ul);
			break;
		case 't':
			seconds = parse(optarg, 1, 1000000);
			break;
		case 'n':
			nr_vcpus = parse(optarg, 1, MAX_VCPUS);
			break;
		case 'w':
			hang_limit = parse(optarg, 1, 1000000);
			break;
		default:
			help(opt == 'h' ? stdout : stderr);
			exit(opt == 'h' ? 0 : 1);
		}
	}
	root_seed = seed;
	setvbuf(stdout, NULL, _IOLBF, 0);

	TEST_REQUIRE(kvm_check_cap(KVM_CAP_VM_TYPES) & BIT(VM_TYPE));
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_EXIT_HYPERCALL));
	can_pre_fault = kvm_has_cap(KVM_CAP_PRE_FAULT_MEMORY);

	atexit(at_exit);
	slowness = measure_slowness();
	printf("stress: seed %lu, %u vCPUs, %u seconds, slowness %u\n", seed, nr_vcpus, seconds,
	       slowness);

	set_up();
	start_all();
	run_for(seconds);
	stop_all(STOP_AND_VERIFY);
	report();
	tear_down(true);

	finished = true;
	return 0;
}
