// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation that an operation on private memory makes is made to fail,
 * one after the other, and then all from one on.
 *
 * What must hold after each injected failure: the operation succeeded all the
 * same, to its full effect; or it failed with an error that its documentation
 * has, and nothing has changed that can be seen: the file's fdinfo, the file
 * descriptors in use, KVM's directories in debugfs, and which gfns are
 * private, as a guest sees it.  Then the same operation, left alone, succeeds.
 * An operation that begins no allocation at all, though it should, has not been
 * tested, which is a failure, too.
 *
 * What is left behind is looked for in the memory cgroup, whose page cache has
 * to be back where it was after each operation, and by kmemleak, if whoever runs
 * this has it scan afterwards.
 *
 * The ways to fail are
 *
 *   nth     the n-th call of the slab or the page allocator, or of what adds a
 *           folio to the page cache (fail-nth)
 *   pages   the page allocator, from the n-th page on
 *   slab    the slab allocator, from about the n-th byte on
 *   add     what adds a folio to the page cache, from the n-th on (fail_function)
 *
 * with n = 1, 2, 3 and so on until nothing fails, slab in steps that grow.  Where
 * each n takes a VM of its own, they grow for the others, too.
 *
 * Pages and slab are for what is tried a second time when it fails, as the page
 * cache does when it has no node.  Add is for what the allocators never tell of:
 * there are nodes and a memory cgroup between them and the page cache.
 *
 * fail_function has to be called by the function tracer.  Without, a breakpoint
 * calls it, where the current task is not known, and where 6.1 draws its random
 * numbers under a lock that an NMI must not take.
 */
#include <ctype.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"

#define VM_TYPE		KVM_X86_SW_PROTECTED_VM
#define PRIVATE		KVM_MEMORY_ATTRIBUTE_PRIVATE
#define GiB		BIT_ULL(30)

#define DEBUGFS		"/sys/kernel/debug/"
#define FAIL_SLAB	DEBUGFS "failslab/"
#define FAIL_PAGES	DEBUGFS "fail_page_alloc/"
#define FAIL_FUNCTION	DEBUGFS "fail_function/"
#define ADD_FOLIO	"__filemap_add_folio"
#define HUGE_SIZE	(2ul << 20)
#define CGROUP		"/sys/fs/cgroup/inject"
#define RCU_EXPEDITED	"/sys/kernel/rcu_expedited"

/* More failures than an operation can have. */
#define MANY		1000000l

/* The file, sparse: far offsets make for a page cache of many levels. */
#define FILE_SIZE	(64 * GiB)
#define FAR_OFFSET	(32 * GiB)
#define PROBE_OFFSET	(40 * GiB)
#define SPARE_OFFSET	(1 * GiB)

/* The window shows the attributes of its pages. */
#define NR_PAGES	384
#define WINDOW_SLOT	10
#define WINDOW_GPA	(4 * GiB)
#define WINDOW_SIZE	(NR_PAGES * PAGE_SIZE)
#define IN_SHARED	0x5a
#define IN_PRIVATE	0xa5

/* The probe is a page that comes and goes. */
#define PROBE_SLOT	11
#define PROBE_GPA	(6 * GiB)

/* Slots for the operations on slots. */
#define SPARE_SLOT	20
#define SPARE_GPA	(8 * GiB)
#define SPARE_SIZE	GiB

#define NR_ALLOCATE	8

/* How many vCPUs can be run for the first time */
#define MAX_VCPUS	512

/* The guest does one of these for each KVM_RUN of the host's. */
enum command {
	SWEEP,
	MARK,
	TOUCH,
	CONVERT,
};

static struct {
	u64 what, gpa, npages, attrs;
	u64 result;
} command;

static u8 seen[NR_PAGES];

enum how {
	NTH,
	PAGES,
	SLAB,
	ADD,
	NR_HOW,
};

static const char * const how_name[] = { "nth", "pages", "slab", "add" };

struct tally {
	unsigned int fired, enomem, efault, other, absorbed;
};

/* What must not change when an operation fails. */
struct snapshot {
	/* The lowest descriptor that is free: one that leaks is the lowest. */
	int free_fd;
	/* Of KVM's directory in debugfs, which has one for each VM. */
	unsigned int nr_vm_links;
	char fdinfo[16384];
};

struct world {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	int fd;
	u8 *window, *probe;

	/* What the attributes of the window are. */
	bool model[NR_PAGES];

	/* What the operation is about, and what came of it. */
	int watch_fd, fdinfo_fd, new_fd, dev_null;
	int first, end, permutation[NR_PAGES];
	bool private, saved[NR_PAGES];
	struct kvm_vm *other;
	struct kvm_vcpu *other_vcpu;
	u64 resident;
	enum how way;
	long n;
};

enum kind {
	MAY_FAIL,
	/* It may allocate, but does not need to. */
	NEVER_FAILS,
	/* An injection that fires is a failure: the reason is in the table. */
	ALLOCATES_NOTHING,
};

struct op {
	const char *name;
	enum kind kind;
	/* errno of an undisturbed run, and another one besides ENOMEM. */
	int want, or_errno;
	/* What it did before it failed stays. */
	bool partial;
	/* After the last round, what it did stays. */
	bool keep;
	/* Each round takes a VM of its own: past the first few, try some. */
	bool costly;
	/* Before each round. */
	void (*prepare)(struct world *w);
	/* System calls only, while injection is on.  Returns 0 or errno. */
	int (*run)(struct world *w);
	/* Asserts what a snapshot does not show. */
	void (*failed)(struct world *w, int error);
	void (*done)(struct world *w);
	void (*undo)(struct world *w);
};

/* Switches of fault injection that are used all the time, kept open */
enum {
	SLAB_SPACE,
	SLAB_TIMES,
	PAGES_SPACE,
	PAGES_TIMES,
	ADD_SPACE,
	ADD_TIMES,
	FAIL_NTH,
	MAKE_IT_FAIL,
	NR_KNOBS,
};

static const char * const knob_path[] = {
	FAIL_SLAB "space", FAIL_SLAB "times",
	FAIL_PAGES "space", FAIL_PAGES "times",
	FAIL_FUNCTION "space", FAIL_FUNCTION "times",
	"/proc/thread-self/fail-nth", "/proc/thread-self/make-it-fail",
};

static int kvm_fd, knob_fd[NR_KNOBS];

/* A way that never fired does not work on this kernel. */
static unsigned int fired_by[NR_HOW];
static const char *only = "";

static void guest_code(void)
{
	u8 *window = (u8 *)WINDOW_GPA;
	u64 *mem;
	int i;

	for (;;) {
		GUEST_SYNC(0);

		switch (READ_ONCE(command.what)) {
		case SWEEP:
			for (i = 0; i < NR_PAGES; i++)
				seen[i] = READ_ONCE(window[i * PAGE_SIZE]);
			break;
		case MARK:
			for (i = 0; i < NR_PAGES; i++)
				WRITE_ONCE(window[i * PAGE_SIZE], IN_PRIVATE);
			break;
		case TOUCH:
			mem = (u64 *)command.gpa;
			command.result = READ_ONCE(*mem);
			WRITE_ONCE(*mem, command.gpa);
			break;
		case CONVERT:
			command.result = kvm_hypercall(KVM_HC_MAP_GPA_RANGE, command.gpa,
						       command.npages, command.attrs, 0);
			break;
		}
	}
}

/* Files in /sys and /proc */

static void read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY);
	size_t len = 0;
	ssize_t n;

	TEST_ASSERT(fd >= 0, "Cannot open %s, errno %d", path, errno);
	while ((n = read(fd, buf + len, size - 1 - len)) > 0)
		len += n;
	TEST_ASSERT(!n && len < size - 1, "Cannot read %s, errno %d", path, errno);
	buf[len] = '\0';
	close(fd);
}

static int try_write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC), error = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) != strlen(text))
		error = errno;
	close(fd);
	return error;
}

static void write_text(const char *path, const char *text)
{
	int error = try_write_text(path, text);

	TEST_ASSERT(!error, "Cannot write '%s' to %s, errno %d", text, path, error);
}

/* Sets a number or switch, and makes sure that it is set. */
static void set_knob(const char *path, const char *value)
{
	char now[32];

	write_text(path, value);
	read_text(path, now, sizeof(now));
	now[strcspn(now, "\n")] = '\0';
	TEST_ASSERT(!strcmp(now, value), "%s says '%s' where '%s' was written", path, now, value);
}

/* The value of a line "key value" or "key: value" in a file. */
static u64 get_value(const char *path, const char *key)
{
	static char text[16384];
	size_t len = strlen(key);
	char *line;

	read_text(path, text, sizeof(text));
	for (line = text; line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (!strncmp(line, key, len) && !isalnum(line[len]) && line[len] != '_')
			return strtoull(line + len + 1, NULL, 0);
	}

	TEST_FAIL("No '%s' in %s", key, path);
}

static void fdinfo_path(char *path, size_t size, int fd)
{
	snprintf(path, size, "/proc/self/fdinfo/%d", fd);
}

static u64 resident_bytes(int fd)
{
	struct stat st;

	TEST_ASSERT(!fstat(fd, &st), "fstat() failed, errno %d", errno);
	return st.st_blocks * 512ul;
}

/* From now on a snapshot shows this file. */
static void watch(struct world *w, int fd)
{
	char path[64];

	if (w->fdinfo_fd >= 0)
		close(w->fdinfo_fd);
	w->watch_fd = fd;
	fdinfo_path(path, sizeof(path), fd);
	w->fdinfo_fd = open(path, O_RDONLY);
	TEST_ASSERT(w->fdinfo_fd >= 0, "Cannot open %s, errno %d", path, errno);
}

static void read_fdinfo(struct world *w, char *buf, size_t size)
{
	static const char key[] = "gmem-resident:";
	size_t len = 0;
	ssize_t n;
	char *line;

	while ((n = pread(w->fdinfo_fd, buf + len, size - 1 - len, len)) > 0)
		len += n;
	TEST_ASSERT(!n && len < size - 1, "Cannot read fdinfo, errno %d", errno);
	buf[len] = '\0';

	line = strstr(buf, key);
	TEST_ASSERT(line, "No '%s' in fdinfo:\n%s", key, buf);
	ASSERT_EQ(strtoull(line + strlen(key), NULL, 0), resident_bytes(w->watch_fd));
}

static void take_snapshot(struct world *w, struct snapshot *s)
{
	struct stat st;

	s->free_fd = dup(w->dev_null);
	TEST_ASSERT(s->free_fd >= 0, "dup() failed, errno %d", errno);
	close(s->free_fd);

	TEST_ASSERT(!stat(DEBUGFS "kvm", &st), "No directory of KVM in debugfs");
	s->nr_vm_links = st.st_nlink;

	s->fdinfo[0] = '\0';
	if (w->watch_fd >= 0)
		read_fdinfo(w, s->fdinfo, sizeof(s->fdinfo));
}

/* Injection */

static void knob(int nr, long value)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%ld", value);

	TEST_ASSERT(write(knob_fd[nr], text, len) == len, "Cannot write '%s' to %s",
		    text, knob_path[nr]);
}

/* A file of debugfs can be read only once after it is opened. */
static long read_knob(int nr)
{
	char text[32];

	read_text(knob_path[nr], text, sizeof(text));
	return atol(text);
}

/* To open anything now may be what fails. */
static long read_fail_nth(void)
{
	char text[32] = {};

	TEST_ASSERT(pread(knob_fd[FAIL_NTH], text, sizeof(text) - 1, 0) > 0,
		    "Cannot read fail-nth");
	return atol(text);
}

/* The attributes of fault injection that stay as they are. */
static void init_attr(const char *dir, const char *const knobs[][2])
{
	char path[96];

	for (; (*knobs)[0]; knobs++) {
		snprintf(path, sizeof(path), "%s%s", dir, (*knobs)[0]);
		set_knob(path, (*knobs)[1]);
	}
}

static void init_injection(void)
{
	static const char * const slab[][2] = {
		{ "times", "0" }, { "verbose", "0" }, { "interval", "1" },
		{ "task-filter", "Y" }, { "ignore-gfp-wait", "N" },
		{ "cache-filter", "N" }, { "probability", "100" }, {}
	};
	static const char * const pages[][2] = {
		{ "times", "0" }, { "verbose", "0" }, { "interval", "1" },
		{ "task-filter", "Y" }, { "ignore-gfp-wait", "N" },
		{ "ignore-gfp-highmem", "N" }, { "min-order", "0" },
		{ "probability", "100" }, {}
	};
	static const char * const function[][2] = {
		{ "times", "0" }, { "verbose", "0" }, { "interval", "1" },
		{ "task-filter", "Y" }, { "probability", "100" }, {}
	};
	char retval[32];
	int i;

	__TEST_REQUIRE(!access(FAIL_SLAB "probability", W_OK), "No CONFIG_FAILSLAB, or no debugfs");
	__TEST_REQUIRE(!access(FAIL_PAGES "probability", W_OK), "No CONFIG_FAIL_PAGE_ALLOC");
	__TEST_REQUIRE(!access(FAIL_FUNCTION "inject", W_OK), "No CONFIG_FAIL_FUNCTION");
	for (i = 0; i < NR_KNOBS; i++) {
		knob_fd[i] = open(knob_path[i], O_RDWR);
		__TEST_REQUIRE(knob_fd[i] >= 0, "No %s, errno %d", knob_path[i], errno);
	}

	init_attr(FAIL_SLAB, slab);
	init_attr(FAIL_PAGES, pages);

	init_attr(FAIL_FUNCTION, function);
	write_text(FAIL_FUNCTION "inject", ADD_FOLIO);
	snprintf(retval, sizeof(retval), "0x%lx", (long)-ENOMEM);
	write_text(FAIL_FUNCTION ADD_FOLIO "/retval", retval);

	/* A VM's life has many grace periods, and here are hundreds of VMs. */
	set_knob(RCU_EXPEDITED, "1");

	/* The program's own page faults are not to be what fails; the guests' are. */
	TEST_ASSERT(!mlockall(MCL_CURRENT), "mlockall() failed, errno %d", errno);
}

static void exit_injection(void)
{
	write_text(FAIL_FUNCTION "inject", "!" ADD_FOLIO);
	set_knob(FAIL_FUNCTION "probability", "0");
	set_knob(FAIL_SLAB "probability", "0");
	set_knob(FAIL_PAGES "probability", "0");
	set_knob(FAIL_SLAB "ignore-gfp-wait", "Y");
	set_knob(FAIL_PAGES "ignore-gfp-wait", "Y");
	set_knob(FAIL_PAGES "ignore-gfp-highmem", "Y");
	set_knob(FAIL_PAGES "min-order", "1");
	set_knob(RCU_EXPEDITED, "0");
}

static const struct {
	int space, times;
} knobs_of[] = {
	[PAGES] = { PAGES_SPACE, PAGES_TIMES },
	[SLAB] = { SLAB_SPACE, SLAB_TIMES },
	[ADD] = { ADD_SPACE, ADD_TIMES },
};

/* From here to disarm() the n-th thing that can fail does. */
static void arm(enum how way, long n)
{
	if (way == NTH) {
		knob(FAIL_NTH, n);
		return;
	}

	knob(knobs_of[way].space, n);
	knob(knobs_of[way].times, MANY);
	knob(MAKE_IT_FAIL, 1);
}

/* Returns whether anything failed. */
static bool disarm(enum how way)
{
	long left;

	if (way == NTH) {
		left = read_fail_nth();
		knob(FAIL_NTH, 0);
		return !left;
	}

	knob(MAKE_IT_FAIL, 0);
	left = read_knob(knobs_of[way].times);
	knob(knobs_of[way].times, 0);
	return left != MANY;
}

static long next(const struct op *op, enum how way, long n)
{
	if (way == SLAB)
		return n + max(64l, n / 4);
	if (op->costly && n >= 16)
		return n + n / 8;
	return n + 1;
}

static void count(struct tally *t, const struct op *op, int error)
{
	t->fired++;
	if (error == op->want)
		t->absorbed++;
	else if (error == ENOMEM)
		t->enomem++;
	else if (error == EFAULT)
		t->efault++;
	else
		t->other++;
}

static void check_failure(struct world *w, const struct op *op, int error,
			  const struct snapshot *before)
{
	static struct snapshot after;
	int again;

	TEST_ASSERT(op->kind == MAY_FAIL, "%s, %s %ld: failed, errno %d (%s)", op->name,
		    how_name[w->way], w->n, error, strerror(error));
	TEST_ASSERT(error == ENOMEM || (op->or_errno && error == op->or_errno),
		    "%s, %s %ld: failed with errno %d (%s)", op->name,
		    how_name[w->way], w->n, error, strerror(error));

	take_snapshot(w, &after);
	TEST_ASSERT(after.free_fd == before->free_fd,
		    "%s, %s %ld: file descriptor %d was free, now the first one is %d",
		    op->name, how_name[w->way], w->n, before->free_fd, after.free_fd);
	TEST_ASSERT(after.nr_vm_links == before->nr_vm_links,
		    "%s, %s %ld: %u links of KVM's debugfs directory became %u",
		    op->name, how_name[w->way], w->n, before->nr_vm_links, after.nr_vm_links);
	TEST_ASSERT(op->partial || !strcmp(after.fdinfo, before->fdinfo),
		    "%s, %s %ld: failed, but not without a trace:\n%s---\n%s", op->name,
		    how_name[w->way], w->n, before->fdinfo, after.fdinfo);
	if (op->failed)
		op->failed(w, error);

	again = op->run(w);
	TEST_ASSERT(again == op->want, "%s, %s %ld: errno %d when tried again, want %d",
		    op->name, how_name[w->way], w->n, again, op->want);
}

/* One run with one injection.  Returns whether it fired. */
static bool try(struct world *w, const struct op *op, struct tally *t)
{
	static struct snapshot before;
	bool fired;
	int error;

	if (op->prepare)
		op->prepare(w);
	take_snapshot(w, &before);

	arm(w->way, w->n);
	error = op->run(w);
	fired = disarm(w->way);

	if (fired)
		count(t, op, error);
	if (error != op->want) {
		TEST_ASSERT(fired, "%s, %s %ld: errno %d (%s), but nothing was injected",
			    op->name, how_name[w->way], w->n, error, strerror(error));
		check_failure(w, op, error, &before);
	}

	if (op->done)
		op->done(w);
	if (op->undo && (fired || !op->keep))
		op->undo(w);
	return fired;
}

/*
 * The kernel's debugging aids refill their pools at the expense of whoever comes
 * by, but not each time.
 */
static bool try_noalloc(struct world *w, const struct op *op, struct tally *t)
{
	int i;

	for (i = 0; i < 4; i++)
		if (!try(w, op, t))
			return false;

	TEST_FAIL("%s, %s %ld: allocates memory", op->name, how_name[w->way], w->n);
}

static void inject_how(struct world *w, const struct op *op, enum how way, struct tally *t)
{
	bool fired;

	w->way = way;
	for (w->n = 1;; w->n = next(op, way, w->n)) {
		fired = op->kind == ALLOCATES_NOTHING ? try_noalloc(w, op, t) : try(w, op, t);
		if (!fired)
			break;
	}
}

static u64 page_cache(void)
{
	return get_value(CGROUP "/memory.stat", "file");
}

/* Memory goes back when those who may still look at it have stopped. */
static void expect_page_cache(const char *name, u64 want)
{
	int i;

	for (i = 0; i < 50; i++) {
		if (page_cache() == want)
			return;
		usleep(100000);
	}

	TEST_FAIL("%s: page cache of %lu bytes before, %lu after", name, want, page_cache());
}

static void print_tally(const char *name, enum how way, const struct tally *t)
{
	printf("%-44s %-8s %6u %7u %7u %6u %9u\n", name, how_name[way], t->fired,
	       t->enomem, t->efault, t->other, t->absorbed);
}

static void inject(struct world *w, const struct op *op)
{
	u64 before = page_cache();
	struct tally tally[NR_HOW] = {};
	unsigned int fired = 0;
	enum how way;

	if (!strstr(op->name, only))
		return;

	for (way = NTH; way < NR_HOW; way++) {
		inject_how(w, op, way, &tally[way]);
		print_tally(op->name, way, &tally[way]);
		fired += tally[way].fired;
		fired_by[way] += tally[way].fired;
	}

	TEST_ASSERT(fired || op->kind != MAY_FAIL, "%s: no injection fired", op->name);
	if (!op->keep)
		expect_page_cache(op->name, before);
}

/* The guest */

static void *guest_addr(struct world *w, void *global)
{
	return addr_gva2hva(w->vm, (vm_vaddr_t)global);
}

#define guest_command(w)	((typeof(command) *)guest_addr(w, &command))

/* Returns 0 at an exit that is no error, or errno. */
static int run_vcpu(struct kvm_vcpu *vcpu)
{
	/* As an earlier exit may have left it: not to be found there by who only gets an errno. */
	vcpu->run->exit_reason = KVM_EXIT_MEMORY_FAULT;
	return __vcpu_run(vcpu) ? errno : 0;
}

static void expect_sync(struct kvm_vcpu *vcpu)
{
	struct ucall uc;

	TEST_ASSERT(get_ucall(vcpu, &uc) == UCALL_SYNC, "Want a sync, got exit reason %u (%s)",
		    vcpu->run->exit_reason, exit_reason_str(vcpu->run->exit_reason));
}

static void order(struct world *w, enum command what, u64 gpa)
{
	typeof(command) *c = guest_command(w);

	c->what = what;
	c->gpa = gpa;
	c->result = -1ull;
}

static void run_command(struct world *w, enum command what, u64 gpa)
{
	int error;

	order(w, what, gpa);
	error = run_vcpu(w->vcpu);
	TEST_ASSERT(!error, "KVM_RUN failed, errno %d (%s)", error, strerror(error));
	expect_sync(w->vcpu);
}

/* Attributes */

static int try_set(struct world *w, int first, int end, bool private)
{
	return __vm_set_memory_attributes(w->vm, WINDOW_GPA + first * PAGE_SIZE,
					  (end - first) * PAGE_SIZE,
					  private ? PRIVATE : 0) ? errno : 0;
}

static void set_model(struct world *w, int first, int end, bool private)
{
	while (first < end)
		w->model[first++] = private;
}

static void set(struct world *w, int first, int end, bool private)
{
	int error = try_set(w, first, end, private);

	TEST_ASSERT(!error, "KVM_SET_MEMORY_ATTRIBUTES failed, errno %d", error);
	set_model(w, first, end, private);
}

static void check_window(struct world *w)
{
	u8 *guest_seen = guest_addr(w, seen);
	int i;

	run_command(w, SWEEP, 0);
	for (i = 0; i < NR_PAGES; i++)
		TEST_ASSERT(guest_seen[i] == (w->model[i] ? IN_PRIVATE : IN_SHARED),
			    "%s %ld: page %d should be %s, the guest reads 0x%x",
			    how_name[w->way], w->n, i,
			    w->model[i] ? "private" : "shared", guest_seen[i]);
}

/* The tree's nodes then come from new pages more often. */
static void shrink_cache(const char *cache)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", cache);
	write_text(path, "1");
}

static void attrs_prepare(struct world *w)
{
	static u64 far = 1ul << 40;

	memcpy(w->saved, w->model, sizeof(w->saved));
	shrink_cache("kvm_memory_attributes");

	/* What KVM has in stock must not do: have it take something out. */
	vm_mem_set_private(w->vm, far, PAGE_SIZE);
	far += HUGE_SIZE;
}

static int attrs_run(struct world *w)
{
	return try_set(w, w->first, w->end, w->private);
}

static void attrs_failed(struct world *w, int error)
{
	check_window(w);
}

static void attrs_done(struct world *w)
{
	set_model(w, w->first, w->end, w->private);
	check_window(w);
}

static void restore(struct world *w, const bool *model)
{
	int first, end;

	set(w, 0, NR_PAGES, false);
	for (first = 0; first < NR_PAGES; first = end) {
		for (end = first + 1; end < NR_PAGES && model[end] == model[first]; )
			end++;
		if (model[first])
			set(w, first, end, true);
	}
}

static void attrs_undo(struct world *w)
{
	restore(w, w->saved);
	check_window(w);
}

/* In a large tree only a page changes at a time. */
static void attrs_undo_one(struct world *w)
{
	set(w, w->first, w->end, !w->private);
}

#define ATTRS_OP(_name, _undo, _keep) {	\
	.name = _name,			\
	.keep = _keep,			\
	.prepare = attrs_prepare,	\
	.run = attrs_run,		\
	.failed = attrs_failed,		\
	.done = attrs_done,		\
	.undo = _undo,			\
}

struct attrs_case {
	struct op op;
	/* Private ranges to begin with, and the one to set. */
	int before[3][2];
	int first, end;
	bool private;
};

static const struct attrs_case attrs_cases[] = {
	{
		.op = ATTRS_OP("attributes: empty tree", attrs_undo, false),
		.first = 100, .end = 200, .private = true,
	}, {
		.op = ATTRS_OP("attributes: split a range", attrs_undo, false),
		.before = { { 0, NR_PAGES } },
		.first = 200, .end = 201, .private = false,
	}, {
		.op = ATTRS_OP("attributes: merge with both neighbours", attrs_undo, false),
		.before = { { 0, 200 }, { 201, NR_PAGES } },
		.first = 200, .end = 201, .private = true,
	}, {
		.op = ATTRS_OP("attributes: end of one, start of another", attrs_undo, false),
		.before = { { 10, 100 }, { 150, 300 } },
		.first = 50, .end = 200, .private = false,
	}, {
		.op = ATTRS_OP("attributes: clear the tree", attrs_undo, false),
		.before = { { 10, 20 }, { 30, 40 }, { 50, 60 } },
		.first = 0, .end = NR_PAGES, .private = false,
	},
};

static void test_attributes(struct world *w)
{
	const struct attrs_case *c;
	int i, j;

	for (i = 0; i < ARRAY_SIZE(attrs_cases); i++) {
		c = &attrs_cases[i];
		set(w, 0, NR_PAGES, false);
		for (j = 0; j < ARRAY_SIZE(c->before); j++)
			if (c->before[j][1])
				set(w, c->before[j][0], c->before[j][1], true);
		w->first = c->first;
		w->end = c->end;
		w->private = c->private;
		inject(w, &c->op);
	}
}

/* Even pages of the window, in no order. */
static void permute(struct world *w)
{
	int i, j, tmp;

	for (i = 0; i < NR_PAGES / 2; i++)
		w->permutation[i] = 2 * i;
	for (i = NR_PAGES / 2 - 1; i > 0; i--) {
		j = random() % (i + 1);
		tmp = w->permutation[i];
		w->permutation[i] = w->permutation[j];
		w->permutation[j] = tmp;
	}
}

/*
 * A tree that grows to its full size page by page, or shrinks again.  At every
 * third step everything fails that can: what a step reserves depends on the
 * height of the tree, whatever it then does to its nodes.
 */
static void grow_or_shrink(struct world *w, const struct op *op, bool grow)
{
	struct tally tally[NR_HOW] = {};
	enum how way;
	int i;

	for (i = 0; i < NR_PAGES / 2; i++) {
		w->first = w->permutation[i];
		w->end = w->first + 1;
		w->private = grow;

		if (i % 3 || !strstr(op->name, only)) {
			set(w, w->first, w->end, grow);
			continue;
		}

		/* Mostly what finds the most, and in turns. */
		way = i % 12 == 9 ? PAGES : i % 12 == 6 ? SLAB : NTH;
		inject_how(w, op, way, &tally[way]);
	}
	check_window(w);

	if (!strstr(op->name, only))
		return;
	for (way = NTH; way < NR_HOW; way++)
		print_tally(op->name, way, &tally[way]);
	TEST_ASSERT(tally[NTH].enomem && tally[SLAB].enomem, "%s: it never failed", op->name);
}

static void test_deep_attributes(struct world *w)
{
	static const struct op grow = ATTRS_OP("attributes: a tree that grows",
					       attrs_undo_one, true);
	static const struct op shrink = ATTRS_OP("attributes: a tree that shrinks",
						 attrs_undo_one, true);
	static const struct op wipe = ATTRS_OP("attributes: one range over a deep tree",
					       attrs_undo, false);

	set(w, 0, NR_PAGES, false);
	permute(w);
	grow_or_shrink(w, &grow, true);

	w->first = 1;
	w->end = NR_PAGES - 1;
	w->private = true;
	inject(w, &wipe);

	grow_or_shrink(w, &shrink, false);
	set(w, 0, NR_PAGES, false);
}

/* KVM_CREATE_VM */

static int create_vm_run(struct world *w)
{
	w->new_fd = ioctl(kvm_fd, KVM_CREATE_VM, VM_TYPE);
	return w->new_fd < 0 ? errno : 0;
}

static void create_vm_done(struct world *w)
{
	ASSERT_EQ(ioctl(w->new_fd, KVM_CHECK_EXTENSION, KVM_CAP_MEMORY_ATTRIBUTES),
		  (int)PRIVATE);
}

static void close_new(struct world *w)
{
	close(w->new_fd);
}

/* KVM_CREATE_GUEST_MEMFD */

static int create_file_run(struct world *w)
{
	w->new_fd = __vm_create_guest_memfd(w->vm, PAGE_SIZE, 0);
	return w->new_fd < 0 ? errno : 0;
}

static void create_file_done(struct world *w)
{
	ASSERT_EQ(resident_bytes(w->new_fd), 0ul);
}

/* fallocate() */

static int allocate_run(struct world *w)
{
	return fallocate(w->fd, FALLOC_FL_KEEP_SIZE, FAR_OFFSET,
			 NR_ALLOCATE * PAGE_SIZE) ? errno : 0;
}

static int punch(struct world *w, u64 offset, u64 size)
{
	return fallocate(w->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset,
			 size) ? errno : 0;
}

static int punch_run(struct world *w)
{
	return punch(w, FAR_OFFSET, NR_ALLOCATE * PAGE_SIZE);
}

static void allocate_prepare(struct world *w)
{
	w->resident = resident_bytes(w->fd);
	shrink_cache("radix_tree_node");
}

/* It gets as far as it can. */
static void allocate_failed(struct world *w, int error)
{
	u64 now = resident_bytes(w->fd);

	TEST_ASSERT(now >= w->resident && now < w->resident + NR_ALLOCATE * PAGE_SIZE,
		    "fallocate() failed, and %lu bytes became %lu", w->resident, now);
}

static void allocate_done(struct world *w)
{
	ASSERT_EQ(resident_bytes(w->fd), w->resident + NR_ALLOCATE * PAGE_SIZE);
}

static void allocate_undo(struct world *w)
{
	ASSERT_EQ(punch_run(w), 0);
	ASSERT_EQ(resident_bytes(w->fd), w->resident);
}

static void punch_prepare(struct world *w)
{
	w->resident = resident_bytes(w->fd);
	ASSERT_EQ(allocate_run(w), 0);
}

static void punch_done(struct world *w)
{
	ASSERT_EQ(resident_bytes(w->fd), w->resident);
}

/* A hole that takes a part of a huge page splits it, or leaves it as it is. */
#define HOLE_OFFSET	(7 * PAGE_SIZE)

static void split_prepare(struct world *w)
{
	w->new_fd = vm_create_guest_memfd(w->vm, HUGE_SIZE);
	ASSERT_EQ(fallocate(w->new_fd, FALLOC_FL_KEEP_SIZE, 0, HUGE_SIZE), 0);
	shrink_cache("radix_tree_node");
}

static int split_run(struct world *w)
{
	return fallocate(w->new_fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, HOLE_OFFSET,
			 PAGE_SIZE) ? errno : 0;
}

static void split_failed(struct world *w, int error)
{
	ASSERT_EQ(resident_bytes(w->new_fd), HUGE_SIZE);
}

static void split_done(struct world *w)
{
	ASSERT_EQ(resident_bytes(w->new_fd), HUGE_SIZE - PAGE_SIZE);
}

/* KVM_SET_USER_MEMORY_REGION2 */

static int set_region(struct world *w, int slot, u64 gpa, u64 size, void *hva,
		      int fd, u64 offset)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = slot,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
		.guest_memfd = fd,
		.guest_memfd_offset = offset,
	};

	return __vm_set_user_memory_region2(w->vm, &region) ? errno : 0;
}

static bool is_bound(struct world *w, int slot)
{
	static struct snapshot now;
	char want[32];

	take_snapshot(w, &now);
	snprintf(want, sizeof(want), "slot 0:%d gfn", slot);
	return strstr(now.fdinfo, want);
}

static int bind_run(struct world *w)
{
	return set_region(w, SPARE_SLOT, SPARE_GPA, SPARE_SIZE, w->window, w->fd,
			  SPARE_OFFSET);
}

static int unbind(struct world *w, int slot)
{
	return set_region(w, slot, 0, 0, NULL, -1, 0);
}

static void bind_failed(struct world *w, int error)
{
	ASSERT_EQ(unbind(w, SPARE_SLOT), EINVAL);
}

static void bind_done(struct world *w)
{
	TEST_ASSERT(is_bound(w, SPARE_SLOT), "The slot is not bound");
}

static void bind_undo(struct world *w)
{
	ASSERT_EQ(unbind(w, SPARE_SLOT), 0);
}

/* A part of the file that the window is bound to already. */
static int overlap_run(struct world *w)
{
	return set_region(w, SPARE_SLOT, SPARE_GPA, SPARE_SIZE, w->window, w->fd, 0);
}

static int create_window(struct world *w)
{
	return set_region(w, WINDOW_SLOT, WINDOW_GPA, WINDOW_SIZE, w->window, w->fd, 0);
}

static int delete_run(struct world *w)
{
	return unbind(w, WINDOW_SLOT);
}

static void delete_failed(struct world *w, int error)
{
	check_window(w);
}

static void delete_done(struct world *w)
{
	TEST_ASSERT(!is_bound(w, WINDOW_SLOT), "A slot that was deleted is bound");
}

static void delete_undo(struct world *w)
{
	ASSERT_EQ(create_window(w), 0);
	check_window(w);
}

static int move_run(struct world *w)
{
	return set_region(w, WINDOW_SLOT, SPARE_GPA, WINDOW_SIZE, w->window, w->fd, 0);
}

static int change_flags_run(struct world *w)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = WINDOW_SLOT,
		.guest_phys_addr = WINDOW_GPA,
		.memory_size = WINDOW_SIZE,
		.userspace_addr = (uintptr_t)w->window,
	};

	return __vm_set_user_memory_region2(w->vm, &region) ? errno : 0;
}

static void window_stays(struct world *w)
{
	TEST_ASSERT(is_bound(w, WINDOW_SLOT), "The window's slot is not bound anymore");
}

/* KVM_RUN */

static int touch_run(struct world *w)
{
	return run_vcpu(w->vcpu);
}

/* Page tables come first; of memory for them nothing but the errno speaks. */
static void expect_fault(struct kvm_vcpu *vcpu, int error, u64 flags, int fault_errno)
{
	struct kvm_run *run = vcpu->run;

	if (run->exit_reason == KVM_EXIT_UNKNOWN) {
		ASSERT_EQ(error, ENOMEM);
		return;
	}

	TEST_ASSERT(run->exit_reason == KVM_EXIT_MEMORY_FAULT,
		    "KVM_RUN failed, errno %d (%s), exit reason %u (%s)", error,
		    strerror(error), run->exit_reason, exit_reason_str(run->exit_reason));
	ASSERT_EQ(error, fault_errno);
	ASSERT_EQ(run->memory_fault.flags, flags);
	ASSERT_EQ(run->memory_fault.size, PAGE_SIZE);
}

static void touch_private_prepare(struct world *w)
{
	vm_mem_set_private(w->vm, PROBE_GPA, PAGE_SIZE);
	ASSERT_EQ(punch(w, PROBE_OFFSET, PAGE_SIZE), 0);
	shrink_cache("radix_tree_node");
	w->resident = resident_bytes(w->fd);
	order(w, TOUCH, PROBE_GPA);
}

static void touch_private_failed(struct world *w, int error)
{
	expect_fault(w->vcpu, error, KVM_MEMORY_EXIT_FLAG_PRIVATE, ENOMEM);
	if (w->vcpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT)
		ASSERT_EQ(w->vcpu->run->memory_fault.gpa, PROBE_GPA);
}

static void touch_private_done(struct world *w)
{
	expect_sync(w->vcpu);
	ASSERT_EQ(guest_command(w)->result, 0ul);
	ASSERT_EQ(resident_bytes(w->fd), w->resident + PAGE_SIZE);

	/* It is the page that the guest wrote to that stays. */
	run_command(w, TOUCH, PROBE_GPA);
	ASSERT_EQ(guest_command(w)->result, PROBE_GPA);
}

static void touch_private_undo(struct world *w)
{
	ASSERT_EQ(punch(w, PROBE_OFFSET, PAGE_SIZE), 0);
	vm_mem_set_shared(w->vm, PROBE_GPA, PAGE_SIZE);
}

static void touch_allocated_prepare(struct world *w)
{
	touch_private_prepare(w);
	ASSERT_EQ(fallocate(w->fd, FALLOC_FL_KEEP_SIZE, PROBE_OFFSET, PAGE_SIZE), 0);
}

static void touch_shared_prepare(struct world *w)
{
	TEST_ASSERT(!madvise(w->probe, PAGE_SIZE, MADV_DONTNEED), "errno %d", errno);
	w->resident = resident_bytes(w->fd);
	order(w, TOUCH, PROBE_GPA);
}

static void touch_shared_failed(struct world *w, int error)
{
	expect_fault(w->vcpu, error, 0, EFAULT);
	if (w->vcpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT)
		ASSERT_EQ(w->vcpu->run->memory_fault.gpa, PROBE_GPA);
}

static void touch_shared_done(struct world *w)
{
	expect_sync(w->vcpu);
	ASSERT_EQ(guest_command(w)->result, 0ul);
	ASSERT_EQ(*(u64 *)w->probe, PROBE_GPA);
	ASSERT_EQ(resident_bytes(w->fd), w->resident);
}

/* KVM_PRE_FAULT_MEMORY */

static void pre_fault_prepare(struct world *w)
{
	vm_mem_set_private(w->vm, PROBE_GPA, PAGE_SIZE);
	ASSERT_EQ(punch(w, PROBE_OFFSET, PAGE_SIZE), 0);
	shrink_cache("radix_tree_node");
	w->resident = resident_bytes(w->fd);
}

static int pre_fault_run(struct world *w)
{
	struct kvm_pre_fault_memory range = { .gpa = PROBE_GPA, .size = PAGE_SIZE };

	return __vcpu_ioctl(w->vcpu, KVM_PRE_FAULT_MEMORY, &range) ? errno : 0;
}

static void pre_fault_done(struct world *w)
{
	ASSERT_EQ(resident_bytes(w->fd), w->resident + PAGE_SIZE);

	/* The guest finds what it would have found without. */
	run_command(w, TOUCH, PROBE_GPA);
	ASSERT_EQ(guest_command(w)->result, 0ul);
}

static void punch_mapped_prepare(struct world *w)
{
	touch_private_prepare(w);
	run_command(w, TOUCH, PROBE_GPA);
}

static int punch_mapped_run(struct world *w)
{
	return punch(w, PROBE_OFFSET, PAGE_SIZE);
}

/* The guest asks, the host converts and frees what is left over. */
static void hypercall_prepare(struct world *w)
{
	typeof(command) *c = guest_command(w);

	attrs_prepare(w);
	order(w, CONVERT, WINDOW_GPA + w->first * PAGE_SIZE);
	c->npages = w->end - w->first;
	c->attrs = w->private ? KVM_MAP_GPA_RANGE_ENCRYPTED : KVM_MAP_GPA_RANGE_DECRYPTED;
}

static int hypercall_run(struct world *w)
{
	struct kvm_run *run = w->vcpu->run;
	int error, run_error;

	error = run_vcpu(w->vcpu);
	if (error)
		return error;

	TEST_ASSERT(run->exit_reason == KVM_EXIT_HYPERCALL, "Want a hypercall, got %u (%s)",
		    run->exit_reason, exit_reason_str(run->exit_reason));
	error = __vm_set_memory_attributes(w->vm, run->hypercall.args[0],
					   run->hypercall.args[1] * PAGE_SIZE,
					   w->private ? PRIVATE : 0) ? errno : 0;
	run->hypercall.ret = -error;

	run_error = run_vcpu(w->vcpu);
	TEST_ASSERT(!run_error, "KVM_RUN failed after a hypercall, errno %d", run_error);
	return error;
}

static void hypercall_failed(struct world *w, int error)
{
	expect_sync(w->vcpu);
	ASSERT_EQ(guest_command(w)->result, (u64)-error);
	check_window(w);
	hypercall_prepare(w);
}

static void hypercall_done(struct world *w)
{
	expect_sync(w->vcpu);
	ASSERT_EQ(guest_command(w)->result, 0ul);
	attrs_done(w);
}

/* Maps what run_vcpu() writes to: this page fault is not to be what fails. */
static void touch_run_page(struct kvm_vcpu *vcpu)
{
	WRITE_ONCE(vcpu->run->exit_reason, KVM_EXIT_UNKNOWN);
}

/* A VM of its own, about to run for the first time */

static void other_prepare(struct world *w)
{
	int fd;

	w->other = __vm_create_with_vcpus(VM_MODE_DEFAULT, VM_TYPE, 1, 16, guest_code,
					  &w->other_vcpu);
	virt_map(w->other, PROBE_GPA, PROBE_GPA, 1);
	fd = vm_create_guest_memfd(w->other, FILE_SIZE);
	vm_mem_region_add_guest_memfd(w->other, VM_MEM_SRC_ANONYMOUS, PROBE_GPA, PROBE_SLOT,
				      1, fd, PROBE_OFFSET);
	vm_mem_set_private(w->other, PROBE_GPA, PAGE_SIZE);
	touch_run_page(w->other_vcpu);
	watch(w, fd);
}

static int other_run(struct world *w)
{
	return run_vcpu(w->other_vcpu);
}

static void other_failed(struct world *w, int error)
{
	expect_fault(w->other_vcpu, error, 0, EFAULT);
}

/* A vCPU of its own, whose caches for page tables are empty */

static void new_vcpu_prepare(struct world *w)
{
	static int id = 1;

	TEST_ASSERT(id < MAX_VCPUS, "More rounds than there are vCPUs");
	w->other_vcpu = vm_vcpu_add(w->vm, id++, guest_code);
	touch_run_page(w->other_vcpu);
	w->resident = resident_bytes(w->fd);
}

static void other_done(struct world *w)
{
	expect_sync(w->other_vcpu);
}

static void other_undo(struct world *w)
{
	close(w->watch_fd);
	watch(w, w->fd);
	kvm_vm_free(w->other);
}

/* The VM is gone, and kvm_vm_free() would ask it to delete its slots. */
static void teardown_undo(struct world *w)
{
	struct userspace_mem_region *region;
	int bucket;

	hash_for_each(w->other->regions.slot_hash, bucket, region, slot_node)
		TEST_ASSERT(!munmap(region->mmap_start, region->mmap_size), "munmap() failed");
	kvm_vm_release(w->other);
	close(w->watch_fd);
	watch(w, w->fd);
}

/* The library wants something to close, too. */
static int replace_fd(struct world *w, int fd)
{
	return dup2(w->dev_null, fd) < 0 ? errno : 0;
}

static void teardown_prepare(struct world *w)
{
	int mmap_size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	typeof(command) *c;

	other_prepare(w);
	ASSERT_EQ(run_vcpu(w->other_vcpu), 0);
	expect_sync(w->other_vcpu);

	c = addr_gva2hva(w->other, (vm_vaddr_t)&command);
	c->what = TOUCH;
	c->gpa = PROBE_GPA;
	ASSERT_EQ(run_vcpu(w->other_vcpu), 0);
	expect_sync(w->other_vcpu);
	ASSERT_EQ(resident_bytes(w->watch_fd), (u64)PAGE_SIZE);

	/* Like the descriptor, it holds the VM. */
	TEST_ASSERT(!munmap(w->other_vcpu->run, mmap_size), "errno %d", errno);
}

static int teardown_vm_first_run(struct world *w)
{
	int error = replace_fd(w, w->other_vcpu->fd);

	error = error ?: replace_fd(w, w->other->fd);
	return error ?: replace_fd(w, w->watch_fd);
}

static int teardown_file_first_run(struct world *w)
{
	int error = replace_fd(w, w->watch_fd);

	error = error ?: replace_fd(w, w->other_vcpu->fd);
	return error ?: replace_fd(w, w->other->fd);
}

/* fdinfo: as many bindings as do not fit into the first buffer. */

static char fdinfo_text[16384];

static void bind_many(struct world *w, bool bind)
{
	int i;

	for (i = 0; i < 80; i++)
		ASSERT_EQ(set_region(w, SPARE_SLOT + i, SPARE_GPA + i * PAGE_SIZE,
				     bind ? PAGE_SIZE : 0, w->window, w->fd,
				     SPARE_OFFSET + i * PAGE_SIZE), 0);
}

static int fdinfo_run(struct world *w)
{
	size_t len = 0;
	char path[64];
	int fd, error;
	ssize_t n;

	fdinfo_path(path, sizeof(path), w->fd);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return errno;

	while ((n = read(fd, fdinfo_text + len, sizeof(fdinfo_text) - 1 - len)) > 0)
		len += n;
	error = n < 0 ? errno : 0;
	fdinfo_text[len] = '\0';
	close(fd);
	return error;
}

static void fdinfo_done(struct world *w)
{
	static struct snapshot now;

	take_snapshot(w, &now);
	TEST_ASSERT(!strcmp(fdinfo_text, now.fdinfo), "fdinfo is now this, now that");
	TEST_ASSERT(strlen(fdinfo_text) > PAGE_SIZE, "fdinfo fits into a page");
}

static int mmap_run(struct world *w)
{
	void *mem = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, w->fd, 0);

	return mem == MAP_FAILED ? errno : 0;
}

/* close() of a file whose memory the guest has mapped */

static void close_prepare(struct world *w)
{
	w->new_fd = vm_create_guest_memfd(w->vm, FILE_SIZE);
	ASSERT_EQ(unbind(w, PROBE_SLOT), 0);
	ASSERT_EQ(set_region(w, PROBE_SLOT, PROBE_GPA, PAGE_SIZE, w->probe, w->new_fd,
			     PROBE_OFFSET), 0);
	vm_mem_set_private(w->vm, PROBE_GPA, PAGE_SIZE);
	run_command(w, TOUCH, PROBE_GPA);
	ASSERT_EQ(resident_bytes(w->new_fd), (u64)PAGE_SIZE);
}

static int close_run(struct world *w)
{
	return close(w->new_fd) ? errno : 0;
}

static void close_done(struct world *w)
{
	order(w, TOUCH, PROBE_GPA);
	ASSERT_EQ(run_vcpu(w->vcpu), EFAULT);
	expect_fault(w->vcpu, EFAULT, KVM_MEMORY_EXIT_FLAG_PRIVATE, EFAULT);

	vm_mem_set_shared(w->vm, PROBE_GPA, PAGE_SIZE);
	ASSERT_EQ(run_vcpu(w->vcpu), 0);
	expect_sync(w->vcpu);
}

static void close_undo(struct world *w)
{
	ASSERT_EQ(unbind(w, PROBE_SLOT), 0);
	ASSERT_EQ(set_region(w, PROBE_SLOT, PROBE_GPA, PAGE_SIZE, w->probe, w->fd,
			     PROBE_OFFSET), 0);
}

static const struct op create_vm_op = {
	.name = "KVM_CREATE_VM",
	.run = create_vm_run,
	.done = create_vm_done,
	.undo = close_new,
};

static const struct op create_first_file_op = {
	.name = "KVM_CREATE_GUEST_MEMFD, the first",
	.run = create_file_run,
	.done = create_file_done,
	.undo = close_new,
};

static const struct op allocate_op = {
	.name = "fallocate: allocate",
	.partial = true,
	.prepare = allocate_prepare,
	.run = allocate_run,
	.failed = allocate_failed,
	.done = allocate_done,
	.undo = allocate_undo,
};

static const struct op touch_private_op = {
	.name = "KVM_RUN: private fault",
	.prepare = touch_private_prepare,
	.run = touch_run,
	.failed = touch_private_failed,
	.done = touch_private_done,
	.undo = touch_private_undo,
};

static const struct op hypercall_op = {
	.name = "KVM_HC_MAP_GPA_RANGE",
	.prepare = hypercall_prepare,
	.run = hypercall_run,
	.failed = hypercall_failed,
	.done = hypercall_done,
	.undo = attrs_undo,
};

static const struct op fdinfo_op = {
	.name = "fdinfo",
	.run = fdinfo_run,
	.done = fdinfo_done,
};

static const struct op ops[] = {
	{
		.name = "KVM_CREATE_GUEST_MEMFD, another",
		.run = create_file_run,
		.done = create_file_done,
		.undo = close_new,
	}, {
		/* Pages leave the page cache, and whatever held them is freed. */
		.name = "fallocate: punch a hole",
		.kind = ALLOCATES_NOTHING,
		.prepare = punch_prepare,
		.run = punch_run,
		.done = punch_done,
	}, {
		/* The same, and mappings are cleared in place. */
		.name = "fallocate: punch what is mapped",
		.kind = ALLOCATES_NOTHING,
		.prepare = punch_mapped_prepare,
		.run = punch_mapped_run,
		.done = punch_done,
		.undo = touch_private_undo,
	}, {
		.name = "fallocate: punch a part of a huge page",
		.prepare = split_prepare,
		.run = split_run,
		.failed = split_failed,
		.done = split_done,
		.undo = close_new,
	}, {
		.name = "KVM_PRE_FAULT_MEMORY",
		.prepare = pre_fault_prepare,
		.run = pre_fault_run,
		.done = pre_fault_done,
		.undo = touch_private_undo,
	}, {
		.name = "region: bind",
		.run = bind_run,
		.failed = bind_failed,
		.done = bind_done,
		.undo = bind_undo,
	}, {
		.name = "region: bind what is bound",
		.want = EINVAL,
		.run = overlap_run,
		.failed = bind_failed,
		.done = window_stays,
	}, {
		.name = "region: delete",
		.run = delete_run,
		.failed = delete_failed,
		.done = delete_done,
		.undo = delete_undo,
	}, {
		/* Refused by what the slot is, before there is a new one. */
		.name = "region: move, refused",
		.kind = ALLOCATES_NOTHING,
		.want = EINVAL,
		.run = move_run,
		.done = window_stays,
	}, {
		/* Likewise. */
		.name = "region: change flags, refused",
		.kind = ALLOCATES_NOTHING,
		.want = EINVAL,
		.run = change_flags_run,
		.done = window_stays,
	}, {
		/* The page is there, and so are the page tables. */
		.name = "KVM_RUN: private fault, page allocated",
		.kind = ALLOCATES_NOTHING,
		.prepare = touch_allocated_prepare,
		.run = touch_run,
		.done = touch_private_done,
		.undo = touch_private_undo,
	}, {
		.name = "KVM_RUN: shared fault",
		.or_errno = EFAULT,
		.prepare = touch_shared_prepare,
		.run = touch_run,
		.failed = touch_shared_failed,
		.done = touch_shared_done,
	}, {
		/* Refused before there is a mapping. */
		.name = "mmap, refused",
		.kind = ALLOCATES_NOTHING,
		.want = ENODEV,
		.run = mmap_run,
		.done = window_stays,
	}, {
		/* Mappings, pages and bindings go, and nothing comes. */
		.name = "close a file that is bound and mapped",
		.kind = ALLOCATES_NOTHING,
		.prepare = close_prepare,
		.run = close_run,
		.done = close_done,
		.undo = close_undo,
	}, {
		.name = "KVM_RUN: the first of a vCPU",
		.or_errno = EFAULT,
		.prepare = new_vcpu_prepare,
		.run = other_run,
		.failed = other_failed,
		.done = other_done,
	}, {
		.name = "KVM_RUN: the first of a VM",
		.or_errno = EFAULT,
		.costly = true,
		.prepare = other_prepare,
		.run = other_run,
		.failed = other_failed,
		.done = other_done,
		.undo = other_undo,
	}, {
		.name = "close VM, then file",
		.kind = NEVER_FAILS,
		.costly = true,
		.prepare = teardown_prepare,
		.run = teardown_vm_first_run,
		.undo = teardown_undo,
	}, {
		.name = "close file, then VM",
		.kind = NEVER_FAILS,
		.costly = true,
		.prepare = teardown_prepare,
		.run = teardown_file_first_run,
		.undo = teardown_undo,
	},
};

/* A page that is allocated, and then has no place in the file, is not lost. */
static void test_lost_pages(struct world *w)
{
	const long tries = 8192, slack = tries / 2 * PAGE_SIZE / 1024;
	u64 bytes = resident_bytes(w->fd);
	long before, lost, i;

	shrink_cache("radix_tree_node");
	before = get_value("/proc/meminfo", "MemFree");
	arm(SLAB, 0);
	for (i = 0; i < tries && allocate_run(w) == ENOMEM; i++)
		;
	TEST_ASSERT(disarm(SLAB) && i == tries, "fallocate() did not fail with ENOMEM");
	lost = before - (long)get_value("/proc/meminfo", "MemFree");

	ASSERT_EQ(resident_bytes(w->fd), bytes);
	TEST_ASSERT(lost < slack, "%ld pages that were not used took %ld kB away", tries, lost);
	printf("%ld failed allocations of a page: %ld kB less are free\n", tries, lost);
}

/*
 * No memory in huge pieces: there is memory in single ones.  That it is in pieces
 * shows when a page is taken out of the middle: a huge page would have to be split,
 * for which there is no memory either.
 */
static void test_fragmentation(struct world *w)
{
	int error;

	w->new_fd = vm_create_guest_memfd(w->vm, HUGE_SIZE);

	set_knob(FAIL_PAGES "min-order", "9");
	arm(PAGES, 0);
	error = fallocate(w->new_fd, FALLOC_FL_KEEP_SIZE, 0, HUGE_SIZE) ? errno : 0;
	TEST_ASSERT(disarm(PAGES), "fallocate() did not ask for a huge page");
	set_knob(FAIL_PAGES "min-order", "0");
	ASSERT_EQ(error, 0);
	ASSERT_EQ(resident_bytes(w->new_fd), HUGE_SIZE);

	arm(SLAB, 0);
	error = split_run(w);
	disarm(SLAB);
	ASSERT_EQ(error, 0);
	split_done(w);

	close(w->new_fd);
}

/* The world */

static void enter_cgroup(void)
{
	__TEST_REQUIRE(!access("/sys/fs/cgroup/cgroup.procs", W_OK),
		       "No cgroup2 in /sys/fs/cgroup");
	try_write_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	TEST_ASSERT(!mkdir(CGROUP, 0755) || errno == EEXIST, "mkdir() failed, errno %d", errno);
	__TEST_REQUIRE(!access(CGROUP "/memory.stat", R_OK), "No memory controller");
	write_text(CGROUP "/cgroup.procs", "0");
}

static void leave_cgroup(void)
{
	write_text("/sys/fs/cgroup/cgroup.procs", "0");
	TEST_ASSERT(!rmdir(CGROUP), "rmdir() failed, errno %d", errno);
}

static void create_world(struct world *w)
{
	w->vm = __vm_create(VM_MODE_DEFAULT, VM_TYPE, MAX_VCPUS, 2 * NR_PAGES);
	w->vcpu = vm_vcpu_add(w->vm, 0, guest_code);
	vm_enable_cap(w->vm, KVM_CAP_EXIT_HYPERCALL, BIT(KVM_HC_MAP_GPA_RANGE));
	virt_map(w->vm, WINDOW_GPA, WINDOW_GPA, NR_PAGES);
	virt_map(w->vm, PROBE_GPA, PROBE_GPA, 1);

	/* Slots are only compared with the address space, so they can share this. */
	w->window = mmap(NULL, SPARE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	TEST_ASSERT(w->window != MAP_FAILED, "mmap() failed, errno %d", errno);
	TEST_ASSERT(!thp_configured() || !madvise(w->window, SPARE_SIZE, MADV_NOHUGEPAGE),
		    "madvise() failed, errno %d", errno);
	memset(w->window, IN_SHARED, WINDOW_SIZE);
	w->probe = w->window + WINDOW_SIZE;
}

static void fill_world(struct world *w)
{
	w->fd = vm_create_guest_memfd(w->vm, FILE_SIZE);
	watch(w, w->fd);
	ASSERT_EQ(create_window(w), 0);
	ASSERT_EQ(set_region(w, PROBE_SLOT, PROBE_GPA, PAGE_SIZE, w->probe, w->fd,
			     PROBE_OFFSET), 0);

	set(w, 0, NR_PAGES, true);
	ASSERT_EQ(run_vcpu(w->vcpu), 0);
	expect_sync(w->vcpu);
	run_command(w, MARK, 0);
	check_window(w);
	set(w, 0, NR_PAGES, false);
	check_window(w);

	/* Page tables for the probe */
	run_command(w, TOUCH, PROBE_GPA);
}

static void help(const char *name)
{
	printf("usage: %s [-h] [-r seed] [-o operation]\n"
	       "  -r: seed of the random numbers (default 1)\n"
	       "  -o: only operations whose name contains this\n", name);
}

int main(int argc, char *argv[])
{
	struct world w = { .watch_fd = -1, .fdinfo_fd = -1 };
	u64 before;
	int opt, i;

	srandom(1);
	while ((opt = getopt(argc, argv, "hr:o:")) != -1) {
		switch (opt) {
		case 'r':
			srandom(atoi(optarg));
			break;
		case 'o':
			only = optarg;
			break;
		case 'h':
		default:
			help(argv[0]);
			exit(opt == 'h' ? 0 : 1);
		}
	}

	TEST_REQUIRE(kvm_check_cap(KVM_CAP_VM_TYPES) & BIT(VM_TYPE));
	enter_cgroup();
	setvbuf(stdout, NULL, _IOLBF, 0);
	kvm_fd = open_kvm_dev_path_or_exit();
	w.dev_null = open("/dev/null", O_RDWR);
	init_injection();
	create_world(&w);
	before = page_cache();

	printf("%-44s %-8s %6s %7s %7s %6s %9s\n", "operation", "failing", "fired", "ENOMEM",
	       "EFAULT", "other", "absorbed");
	inject(&w, &create_vm_op);
	inject(&w, &create_first_file_op);

	fill_world(&w);
	inject(&w, &allocate_op);
	inject(&w, &touch_private_op);
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		inject(&w, &ops[i]);

	w.first = 100;
	w.end = 200;
	w.private = true;
	inject(&w, &hypercall_op);

	bind_many(&w, true);
	inject(&w, &fdinfo_op);
	bind_many(&w, false);

	test_attributes(&w);
	test_deep_attributes(&w);
	test_lost_pages(&w);
	test_fragmentation(&w);

	exit_injection();
	for (i = 0; i < NR_HOW; i++)
		TEST_ASSERT(*only || fired_by[i], "%s: never fired", how_name[i]);
	close(w.fdinfo_fd);
	close(w.fd);
	kvm_vm_free(w.vm);
	expect_page_cache("all", before);
	leave_cgroup();
	return 0;
}
