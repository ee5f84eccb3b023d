/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the host's threads of stress.c do to the VM's memory
 *
 * An operation, a function whose name ends in _op, draws all that it decides from
 * its rng, before it looks at the state of things, or without regard to it.
 */
#ifndef STRESS_HOST_H
#define STRESS_HOST_H

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "stress-guest.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

enum count {
	HOST_READS, HOST_WRITES, CONVERSIONS, PUNCHES, ALLOCATIONS, DISCARDS, REMAPS, BINDS,
	UNBINDS, CLOSES, FORKS, VICTIMS, KILLS, CHURNED, MEMORY_FAULTS, MMIOS, HYPERCALLS,
	PRE_FAULTS,
	NR_COUNTS
};

static const char * const count_names[NR_COUNTS] = {
	[HOST_READS]	= "host reads",
	[HOST_WRITES]	= "host writes",
	[CONVERSIONS]	= "conversions",
	[PUNCHES]	= "punches",
	[ALLOCATIONS]	= "allocations",
	[DISCARDS]	= "shared discards",
	[REMAPS]	= "shared remaps",
	[BINDS]		= "binds",
	[UNBINDS]	= "unbinds",
	[CLOSES]	= "closes",
	[FORKS]		= "forks",
	[VICTIMS]	= "short-lived VMs",
	[KILLS]		= "kills",
	[CHURNED]	= "pages churned",
	[MEMORY_FAULTS]	= "memory-fault exits",
	[MMIOS]		= "MMIO exits",
	[PRE_FAULTS]	= "pages pre-faulted",
	[HYPERCALLS]	= "hypercalls",
};

struct zone {
	u64 gpa;
	/* What memslots map, and where the host looks: two mappings of a memfd. */
	char *hva, *mem;
	int memfd;
	/* Of the free zone, under lock.  An owner of pages can rely on it. */
	pthread_mutex_t lock;
	int gmem;
	unsigned int offset;
	/* Odd while memslots, or protections of what they map, are being changed. */
	unsigned int slots_seq, protection_seq;
	unsigned int nr_slots;
};

struct actor {
	const char *name;
	void (*op)(struct rng *r);
	/* Microseconds between operations, at most; longer on a slow machine? */
	unsigned int pause;
	bool is_heavy;
	/* Also has its part in a VM that is to be short-lived */
	bool in_victims;
	unsigned int number;
	u64 ops;
	const char *doing;
	pthread_t thread;
	bool done;
	struct kvm_vcpu *vcpu;
	/* Before KVM_RUN */
	unsigned int slots_seq[NR_ZONES], protection_seq[NR_ZONES];
	unsigned int retries;
	/* For who looks out for hangs */
	u64 seen;
	time_t since;
};

static u64 seed;
static unsigned int nr_vcpus = 4, slowness = 1, hang_limit = 60;
static struct kvm_vm *vm;
static struct kvm_vcpu *vcpus[MAX_VCPUS];
static struct state *shared;
static struct zone zones[NR_ZONES];
static unsigned long counts[NR_COUNTS];
static bool stopping, failed, finished;
/* In a short-lived VM: which one, and the seed of all. */
static u64 victim, root_seed;
static __thread struct actor *self;

static void did(enum count what, unsigned long n)
{
	__atomic_add_fetch(&counts[what], n, __ATOMIC_RELAXED);
}

static void print_seed(void)
{
	if (victim)
		fprintf(stderr, "stress: in short-lived VM %lu\n", victim);
	fprintf(stderr, "stress: seed %lu\n", root_seed);
}

/* The first to fail has the word; nothing goes on after it. */
static void __noreturn __printf(1, 2) fail(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	while (__atomic_exchange_n(&failed, true, __ATOMIC_SEQ_CST))
		pause();

	fflush(stdout);
	fprintf(stderr, "stress: FAILED");
	if (self)
		fprintf(stderr, ": %s, operation %lu (%s)", self->name,
			self->vcpu ? shared->rounds[self->number] : self->ops, self->doing);
	fputs(": ", stderr);
	errno = err;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("\n", stderr);
	print_seed();
	_exit(1);
}

/* The selftests' library calls exit() when it fails. */
static void at_exit(void)
{
	if (finished)
		return;
	print_seed();
	_exit(1);
}

static const char *describe(char *buf, size_t size, u64 v)
{
	const char *side;

	switch (v >> 56) {
	case SHARED:
		side = "written to shared memory";
		break;
	case PRIVATE:
		side = "written to private memory";
		break;
	case GUEST:
		side = "written by the guest";
		break;
	case HOST:
		side = "written by the host";
		break;
	case SECRET:
		side = "the host's secret";
		break;
	default:
		snprintf(buf, size, "0x%lx%s", v, v ? " (no value of this test's)" : "");
		return buf;
	}
	snprintf(buf, size, "0x%lx (%s, zone %u page %u word or vCPU %u, number %u)", v, side,
		 (unsigned int)(v >> 52 & 0xf), (unsigned int)(v >> 40 & 0xfff),
		 (unsigned int)(v >> 32 & 0xff), (u32)v);
	return buf;
}

static void __noreturn
fail_value(const char *what, unsigned int zone, unsigned int page, unsigned int who,
	   u64 expected, u64 found)
{
	char a[160], b[160];

	fail("%s: zone %u page %u (gpa 0x%llx) word or vCPU %u\n  expected %s\n  found    %s",
	     what, zone, page, BASE_GPA + zone * ZONE_SIZE + page * PAGE_SIZE, who,
	     describe(a, sizeof(a), expected), describe(b, sizeof(b), found));
}

static u64 *host_place(unsigned int zone, unsigned int page, unsigned int offset)
{
	return (u64 *)(zones[zone].mem + page * PAGE_SIZE + offset);
}

static void nap(unsigned int microseconds)
{
	if (microseconds)
		usleep(microseconds);
	else
		sched_yield();
}

/* Steps that several kinds of threads take */

static void set_attributes(unsigned int zone, struct range range, bool private)
{
	if (__vm_set_memory_attributes(vm, zones[zone].gpa + range.first * PAGE_SIZE,
				       range.nr * PAGE_SIZE,
				       private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0))
		fail("zone %u: cannot convert %u pages from page %u on: %m", zone, range.nr,
		     range.first);
	did(CONVERSIONS, 1);
}

static void gmem_fallocate(int fd, unsigned int offset, struct range range, bool punch)
{
	int mode = FALLOC_FL_KEEP_SIZE | (punch ? FALLOC_FL_PUNCH_HOLE : 0);

	if (fallocate(fd, mode, (offset + range.first) * PAGE_SIZE, range.nr * PAGE_SIZE))
		fail("cannot %s %u pages from page %u on, offset %u: %m",
		     punch ? "punch" : "allocate", range.nr, range.first, offset);
	did(punch ? PUNCHES : ALLOCATIONS, 1);
}

static void punch(unsigned int zone, struct range range)
{
	gmem_fallocate(zones[zone].gmem, zones[zone].offset, range, true);
}

/* Shared memory turns to zeroes. */
static void discard_shared(unsigned int zone, struct range range)
{
	struct zone *z = &zones[zone];
	int ret;

	if (z->memfd < 0)
		ret = madvise(z->hva + range.first * PAGE_SIZE, range.nr * PAGE_SIZE,
			      MADV_DONTNEED);
	else
		ret = fallocate(z->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				range.first * PAGE_SIZE, range.nr * PAGE_SIZE);
	if (ret)
		fail("zone %u: cannot discard shared memory: %m", zone);
	did(DISCARDS, 1);
}

/* What is mapped for the memslots goes and comes back; the memory stays. */
static void remap_shared(struct rng *r, unsigned int zone)
{
	static const int lesser[] = { PROT_NONE, PROT_READ };
	struct range range = draw_range(r, 0, ZONE_PAGES);
	unsigned int kind = draw(r, 3), pause = draw(r, 200);
	struct zone *z = &zones[zone];
	void *hva = z->hva + range.first * PAGE_SIZE;
	size_t size = range.nr * PAGE_SIZE;
	int ret = 0;

	self->doing = "remap shared memory";
	if (z->memfd < 0) {
		/* Succeeds or not as it likes. */
		madvise(z->hva + draw(r, ZONE_SIZE / HUGE_SIZE) * HUGE_SIZE, HUGE_SIZE,
			MADV_COLLAPSE);
	} else if (kind == 2) {
		ret = madvise(hva, size, MADV_DONTNEED);
	} else {
		__atomic_add_fetch(&z->protection_seq, 1, __ATOMIC_SEQ_CST);
		ret = mprotect(hva, size, lesser[kind]);
		nap(pause);
		ret |= mprotect(hva, size, PROT_READ | PROT_WRITE);
		__atomic_add_fetch(&z->protection_seq, 1, __ATOMIC_SEQ_CST);
	}
	if (ret)
		fail("zone %u: cannot change the mapping: %m", zone);
	did(REMAPS, 1);
}

static int set_slot(unsigned int zone, unsigned int i, struct range range, int gmem,
		    unsigned int offset)
{
	struct zone *z = &zones[zone];
	struct kvm_userspace_memory_region2 region = {
		.slot = SLOT(zone, i),
		.flags = gmem < 0 ? 0 : KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = z->gpa + range.first * PAGE_SIZE,
		.memory_size = range.nr * PAGE_SIZE,
		.userspace_addr = (uintptr_t)z->hva + range.first * PAGE_SIZE,
		.guest_memfd = gmem < 0 ? 0 : gmem,
		.guest_memfd_offset = gmem < 0 ? 0 : (offset + range.first) * PAGE_SIZE,
	};
	int ret = __vm_set_user_memory_region2(vm, &region);

	if (!ret)
		did(range.nr ? BINDS : UNBINDS, 1);
	return ret;
}

static int make_gmem(unsigned int pages)
{
	int fd = __vm_create_guest_memfd(vm, pages * PAGE_SIZE, 0);

	if (fd < 0)
		fail("cannot create a guest_memfd: %m");
	return fd;
}

static void close_gmem(int fd)
{
	if (close(fd))
		fail("cannot close a guest_memfd: %m");
	did(CLOSES, 1);
}

/* The owned zones */

static void own(unsigned int zone, struct range range)
{
	unsigned int page, tries;

	/* In this order, by those who wait: vCPUs do not. */
	for (page = range.first; page < range.first + range.nr; page++)
		for (tries = 0; !try_own(&shared->page[zone][page], self->number + 1); tries++)
			nap(tries < 10 ? 0 : 50);
}

static void disown_range(unsigned int zone, struct range range)
{
	unsigned int page;

	for (page = range.first; page < range.first + range.nr; page++)
		disown(&shared->page[zone][page]);
}

static void verify_shared(unsigned int zone, unsigned int page)
{
	struct page_model *p = &shared->page[zone][page];
	unsigned int word;
	u64 v, want;

	for (word = 0; word < WORDS; word++) {
		want = owned_value(p, 0, zone, page, word);
		v = READ_ONCE(*host_place(zone, page, word_offset(word)));
		if (v != want)
			fail_value(p->private ? "shared memory of a private page" :
						"shared memory of a shared page",
				   zone, page, word, want, v);
	}
}

static void write_shared(unsigned int zone, unsigned int page)
{
	struct page_model *p = &shared->page[zone][page];
	unsigned int word;

	p->content[0] = ++p->generation;
	for (word = 0; word < WORDS; word++)
		WRITE_ONCE(*host_place(zone, page, word_offset(word)),
			   owned_value(p, 0, zone, page, word));
}

static void owner_step(struct rng *r, unsigned int zone, struct range range)
{
	static const char * const names[] = {
		"convert", "convert", "punch", "allocate", "discard", "write", "read"
	};
	unsigned int kind = draw(r, ARRAY_SIZE(names)), page;
	struct page_model *p = shared->page[zone];
	bool private = draw(r, 2);

	self->doing = names[kind];
	switch (kind) {
	case 0:
	case 1:
		set_attributes(zone, range, private);
		break;
	case 2:
		punch(zone, range);
		break;
	case 3:
		gmem_fallocate(zones[zone].gmem, zones[zone].offset, range, false);
		break;
	case 4:
		discard_shared(zone, range);
		break;
	case 5:
		did(HOST_WRITES, range.nr);
		break;
	case 6:
		did(HOST_READS, range.nr);
		break;
	}

	for (page = range.first; page < range.first + range.nr; page++) {
		if (kind <= 1)
			p[page].private = private;
		else if (kind == 2)
			p[page].content[1] = 0;
		else if (kind == 4)
			p[page].content[0] = 0;
		else if (kind == 5)
			write_shared(zone, page);
		else if (kind == 6)
			verify_shared(zone, page);
	}
}

static void owner_op(struct rng *r)
{
	unsigned int zone = draw(r, NR_OWNED), steps = 1 + draw(r, 4);
	struct range range = draw_range(r, 0, ZONE_PAGES);

	self->doing = "own";
	own(zone, range);
	while (steps--)
		owner_step(r, zone, draw_part(r, range));
	disown_range(zone, range);
}

static void delete_slots(unsigned int zone)
{
	unsigned int i;

	for (i = 0; i < zones[zone].nr_slots; i++)
		if (set_slot(zone, i, (struct range) {}, -1, 0))
			fail("zone %u: cannot delete a memslot: %m", zone);
}

/* All of the zone, cut into memslots at some pages or other. */
static void create_slots(struct rng *r, unsigned int zone)
{
	unsigned int first = 0, left = 1 + draw(r, MAX_SLOTS), i;
	struct zone *z = &zones[zone];
	struct range range;

	z->nr_slots = left;
	for (i = 0; left; i++, left--) {
		range.first = first;
		range.nr = ZONE_PAGES - first;
		if (left > 1)
			range.nr = 1 + draw(r, range.nr - left + 1);
		if (set_slot(zone, i, range, z->gmem, z->offset))
			fail("zone %u: cannot bind %u pages from page %u on, offset %u: %m", zone,
			     range.nr, range.first, z->offset);
		first += range.nr;
	}
}

static void make_file(struct rng *r, unsigned int zone)
{
	/* Half of the time there can be huge pages. */
	zones[zone].offset = draw(r, 2) ? draw(r, 600) : draw(r, 2) * HUGE_SIZE / PAGE_SIZE;
	zones[zone].gmem = make_gmem(zones[zone].offset + ZONE_PAGES + draw(r, 2));
}

/* Another file, in which there is nothing yet. */
static void renew_file(struct rng *r, unsigned int zone)
{
	const struct range all = { 0, ZONE_PAGES };
	struct zone *z = &zones[zone];
	unsigned int order = draw(r, 3), page, pause = draw(r, 300);
	int old = z->gmem;

	self->doing = "own a zone";
	own(zone, all);
	self->doing = "renew a file";
	__atomic_add_fetch(&z->slots_seq, 1, __ATOMIC_SEQ_CST);

	if (order == 0)
		close_gmem(old);
	nap(pause);
	delete_slots(zone);
	if (order == 1)
		close_gmem(old);
	make_file(r, zone);
	create_slots(r, zone);
	if (order == 2)
		close_gmem(old);

	__atomic_add_fetch(&z->slots_seq, 1, __ATOMIC_SEQ_CST);
	for (page = 0; page < ZONE_PAGES; page++)
		shared->page[zone][page].content[1] = 0;
	disown_range(zone, all);
}

static void rebind(struct rng *r, unsigned int zone)
{
	unsigned int pause = draw(r, 300);
	struct zone *z = &zones[zone];

	self->doing = "rebind";
	__atomic_add_fetch(&z->slots_seq, 1, __ATOMIC_SEQ_CST);
	delete_slots(zone);
	nap(pause);
	create_slots(r, zone);
	__atomic_add_fetch(&z->slots_seq, 1, __ATOMIC_SEQ_CST);
}

static void slots_op(struct rng *r)
{
	unsigned int zone = draw(r, NR_OWNED), kind = draw(r, 8);

	if (kind == 0)
		renew_file(r, zone);
	else if (kind < 4)
		rebind(r, zone);
	else
		remap_shared(r, draw(r, 4) ? zone : WATCHED);
}

/* The zones of lines */

static void write_lines(unsigned int zone, struct range range, u64 side)
{
	unsigned int page, i;

	for (page = range.first; page < range.first + range.nr; page++)
		for (i = 0; i < nr_vcpus; i++)
			WRITE_ONCE(*host_place(zone, page, i * LINE),
				   value(side, zone, page, i, self->ops));
	did(HOST_WRITES, range.nr);
}

static bool line_ok(unsigned int zone, unsigned int page, unsigned int i, u64 v)
{
	if (!v)
		return true;
	if (in_shared_strip(zone, page))
		return is_of_place(v, SHARED, zone, page, i);

	/* Of the private strip, the guest has no shared memory. */
	return is_of_place(v, HOST, zone, page, i) ||
	       (!in_private_strip(zone, page) && is_of_place(v, GUEST, zone, page, i));
}

static void verify_lines(unsigned int zone, struct range range)
{
	unsigned int page, i;
	u64 v;

	for (page = range.first; page < range.first + range.nr; page++)
		for (i = 0; i < nr_vcpus; i++) {
			v = READ_ONCE(*host_place(zone, page, i * LINE));
			if (!line_ok(zone, page, i, v))
				fail_value("the shared memory of a line", zone, page, i,
					   value(in_shared_strip(zone, page) ? SHARED : HOST,
						 zone, page, i, 0), v);
		}
	did(HOST_READS, range.nr);
}

static void verify_secret(struct range range)
{
	unsigned int page, i;
	u64 v, want;

	for (page = range.first; page < range.first + range.nr; page++)
		for (i = 0; i < nr_vcpus; i++) {
			want = value(SECRET, WATCHED, page, i, self->ops);
			v = READ_ONCE(*host_place(WATCHED, page, i * LINE));
			if (v != want)
				fail_value("shared memory of a page that is private and watched",
					   WATCHED, page, i, want, v);
		}
	did(HOST_READS, range.nr);
}

/*
 * Once a conversion to private has returned, no vCPU may get at the shared
 * memory, and once that back to shared is to begin, there is nothing secret.
 */
static void watcher_op(struct rng *r)
{
	struct range range = draw_range(r, 0, ZONE_PAGES);
	unsigned int looks = 1 + draw(r, 4), pause = draw(r, 200);
	bool free_private = draw(r, 4);

	self->doing = "watch";
	verify_lines(WATCHED, range);
	set_attributes(WATCHED, range, true);
	write_lines(WATCHED, range, SECRET);
	while (looks--) {
		nap(pause);
		verify_secret(range);
		gmem_fallocate(zones[WATCHED].gmem, zones[WATCHED].offset, draw_part(r, range),
			       draw(r, 2));
	}
	write_lines(WATCHED, range, HOST);
	set_attributes(WATCHED, range, false);
	if (free_private)
		punch(WATCHED, range);
}

/* Without regard to others: they may have deleted the slot or created one. */
static void set_free_slot(unsigned int i, struct range range, int gmem)
{
	if (set_slot(FREE, i, range, gmem, 0) && errno != EINVAL && errno != EEXIST)
		fail("zone %u: setting a memslot of %u pages from page %u on: %m", FREE, range.nr,
		     range.first);
}

/* Somebody else may close the file any time, and its number be of another. */
static int dup_free_gmem(void)
{
	struct zone *z = &zones[FREE];
	int fd;

	pthread_mutex_lock(&z->lock);
	fd = z->gmem < 0 ? -1 : dup(z->gmem);
	pthread_mutex_unlock(&z->lock);
	return fd;
}

static void replace_free_gmem(int fd)
{
	struct zone *z = &zones[FREE];
	int old;

	pthread_mutex_lock(&z->lock);
	old = z->gmem;
	z->gmem = fd;
	pthread_mutex_unlock(&z->lock);

	if (old >= 0)
		close_gmem(old);
}

static void look_at_fdinfo(int fd)
{
	char path[64], text[512];
	unsigned long size = 0;
	char *line;
	ssize_t n;
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY);
	n = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
	if (n < 0)
		fail("cannot read %s: %m", path);
	close(info);
	text[n] = '\0';

	line = strstr(text, "gmem-size:");
	if (!line || sscanf(line, "gmem-size: %lu", &size) != 1 || size != ZONE_SIZE)
		fail("%s says\n%s", path, text);
}

static void repair_free_zone(void)
{
	const struct range all = { 0, ZONE_PAGES };
	unsigned int i;
	int fd = dup_free_gmem();

	if (fd < 0) {
		replace_free_gmem(make_gmem(ZONE_PAGES));
		fd = dup_free_gmem();
	}
	for (i = 0; i < MAX_SLOTS; i++)
		set_free_slot(i, (struct range) {}, -1);
	set_free_slot(0, all, fd);
	if (fd >= 0)
		close(fd);
}

static void free_file_op(struct rng *r, struct range range)
{
	unsigned int kind = draw(r, 8), i = draw(r, MAX_SLOTS);
	int fd = dup_free_gmem();

	if (kind < 2 && fd >= 0)
		gmem_fallocate(fd, 0, range, true);
	else if (kind == 2 && fd >= 0)
		gmem_fallocate(fd, 0, range, false);
	else if (kind == 3 && fd >= 0)
		look_at_fdinfo(fd);
	else if (kind == 4)
		replace_free_gmem(draw(r, 2) ? make_gmem(ZONE_PAGES) : -1);
	else if (kind == 5)
		set_free_slot(i, range, fd);
	else if (kind == 6)
		set_free_slot(i, (struct range) {}, -1);
	else
		repair_free_zone();

	if (fd >= 0)
		close(fd);
}

static void free_op(struct rng *r)
{
	struct range range = draw_range(r, 0, ZONE_PAGES);
	struct range middle = draw_range(r, STRIP, ZONE_PAGES - STRIP);
	struct range written = draw_range(r, STRIP, ZONE_PAGES);
	unsigned int kind = draw(r, 8);

	self->doing = "whatever";
	switch (kind) {
	case 0:
	case 1:
		set_attributes(FREE, middle, draw(r, 2));
		break;
	case 2:
		write_lines(FREE, written, HOST);
		break;
	case 3:
		verify_lines(FREE, range);
		break;
	case 4:
		if (draw(r, 2))
			discard_shared(FREE, middle);
		else
			remap_shared(r, FREE);
		break;
	default:
		free_file_op(r, range);
	}
}

/* Pages of nobody else's */

#define CHURN	0xc4c4c4c4c4c4c4c4ull

static void churn_op(struct rng *r)
{
	static struct { u64 *mem; size_t words; } kept[8];
	unsigned int i = draw(r, ARRAY_SIZE(kept)), pages = 1 + draw(r, 1u << draw(r, 8));
	bool huge = draw(r, 2);
	size_t word;
	char buf[160];

	self->doing = "churn";
	for (word = 0; word < kept[i].words; word++)
		if (READ_ONCE(kept[i].mem[word]) != CHURN)
			fail("memory of this process was written to, at %p\n  found %s",
			     &kept[i].mem[word],
			     describe(buf, sizeof(buf), kept[i].mem[word]));
	if (kept[i].mem)
		munmap(kept[i].mem, kept[i].words * 8);

	kept[i].words = pages * PAGE_SIZE / 8;
	kept[i].mem = mmap(NULL, pages * PAGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (kept[i].mem == MAP_FAILED)
		fail("no memory: %m");
	if (huge)
		madvise(kept[i].mem, pages * PAGE_SIZE, MADV_HUGEPAGE);
	for (word = 0; word < kept[i].words; word++)
		kept[i].mem[word] = CHURN;
	did(CHURNED, pages);
}

#endif /* STRESS_HOST_H */
