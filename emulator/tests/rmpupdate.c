// SPDX-License-Identifier: GPL-2.0-or-later
/* RMPUPDATE: every result, every fault, and what is in the table then. APM volume 3; volume 2, 15.36.5. */
#include "snp.h"
#include "svm.h"

#define ASIDS	cpuid(0x8000001f).ecx

/* A page's entry after an instruction that must not have changed it */
#define UNCHANGED(pa, what) do {				\
	struct rmp_entry before_ = rmp(pa);			\
	what;							\
	struct rmp_entry after_ = rmp(pa);			\
	OK(memcmp(&before_, &after_, sizeof(after_)));		\
} while (0)

static void user_update(void *pa)
{
	static const struct rmp_state state;

	rmpupdate_at((u64)pa, &state);
}

TEST("rmpupdate.ud_before_enable") { FAULTS(rmpupdate(alloc_page(), HYPERVISOR), UD, 0); }

TEST("rmpupdate.ud_outside_64_bit_mode")
{
	snp_enable();
	FAULTS(compat_call(compat_rmpupdate), UD, 0);
}
TEST("rmpupdate.gp_at_cpl_3")
{
	FAULTS(user_call(user_update, (void *)alloc_page()), GP, 0);
}
TEST("rmpupdate.pf_on_bad_argument")
{
	struct rmp_state *nowhere = (void *)(1UL << 45);

	FAULTS(rmpupdate_at(alloc_page(), nowhere), PF, 0);
}
TEST("rmpupdate.ok_4k") { OK(rmpupdate(alloc_page(), GUEST(1, 0x12345000))); }
TEST("rmpupdate.ok_2m") { OK(rmpupdate(alloc_large(), GUEST_2M(1, 0x12400000))); }
TEST("rmpupdate.ok_firmware") { OK(rmpupdate(alloc_page(), FIRMWARE)); }
TEST("rmpupdate.ok_hypervisor_again") { OK(rmpupdate(alloc_page(), HYPERVISOR)); }
TEST("rmpupdate.ok_largest_asid") { OK(rmpupdate(alloc_page(), GUEST(ASIDS, 0))); }

TEST("rmpupdate.entry_4k")
{
	u64 p = alloc_page();
	struct rmp_entry e;

	OK(rmpupdate(p, GUEST(5, 0x123456789000)));
	e = rmp(p);
	EQ(e.assigned, 1);
	EQ(e.large, 0);
	EQ(e.immutable, 0);
	EQ(e.gfn, 0x123456789);
	EQ(e.asid, 5);
	EQ(e.vmsa, 0);
	EQ(e.validated, 0);
}
TEST("rmpupdate.entry_2m")
{
	u64 p = alloc_large();
	struct rmp_entry e;

	OK(rmpupdate(p, GUEST_2M(6, 0x40000000)));
	e = rmp(p);
	EQ(e.assigned, 1);
	EQ(e.large, 1);
	EQ(e.gfn, 0x40000);
	EQ(e.asid, 6);
	EQ(e.validated, 0);
}
TEST("rmpupdate.entry_immutable")
{
	u64 p = alloc_page();

	OK(rmpupdate(p, FIRMWARE));
	EQ(rmp(p).assigned, 1);
	EQ(rmp(p).immutable, 1);
	EQ(rmp(p).asid, 0);
}
TEST("rmpupdate.entry_given_back")
{
	u64 p = alloc_page();

	OK(rmpupdate(p, GUEST(5, 0x5000)));
	OK(rmpupdate(p, HYPERVISOR));
	EQ(rmp(p).assigned, 0);
	EQ(rmp(p).asid, 0);
	EQ(rmp(p).gfn, 0);
}
TEST("rmpupdate.entry_given_back_2m")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, GUEST_2M(5, 0x200000)));
	OK(rmpupdate(p, HYPERVISOR_2M));
	EQ(rmp(p).assigned, 0);
	for (u64 q = p; q < p + LARGE; q += PAGE)
		EQ(rmp(q).assigned, 0);
	OK(rmpupdate(p + PAGE, GUEST(5, 0x1000)));
}
TEST("rmpupdate.entry_neighbours_unchanged")
{
	u64 p = alloc_large() + 8 * PAGE;

	UNCHANGED(p - PAGE, OK(rmpupdate(p, GUEST(5, 0x5000))));
	EQ(rmp(p + PAGE).assigned, 0);
}
TEST("rmpupdate.other_guest")
{
	u64 p = alloc_page();

	OK(rmpupdate(p, GUEST(5, 0x5000)));
	OK(rmpupdate(p, GUEST(6, 0x7000)));
	EQ(rmp(p).asid, 6);
	EQ(rmp(p).gfn, 7);
}
/* Only SPAs' page numbers count */
TEST("rmpupdate.contents_unchanged")
{
	u64 p = alloc_page();

	memset((void *)p, 0x5a, PAGE);
	OK(rmpupdate(p, GUEST(5, 0x5000)));
	OK(rmpupdate(p, HYPERVISOR));
	TRUE(all_bytes((void *)p, 0x5a, PAGE));
}
/* OF, SF, AF and PF are of the result as well; ZF is what programs look at */
TEST("rmpupdate.flags")
{
	u64 p = alloc_page();

	OK(rmpupdate(p, GUEST(5, 0x5000)));
	TRUE(rmp_flags & BIT(6));
	EQ(rmpupdate(p, STATE(.assigned = 1, .reserved = 1)), FAIL_INPUT);
	EQ(rmp_flags & BIT(6), 0);
}

TEST("rmpupdate.input.2m_not_aligned") { EQ(rmpupdate(alloc_large() + PAGE, GUEST_2M(1, 0x200000)), FAIL_INPUT); }
TEST("rmpupdate.input.2m_gpa_not_aligned") { EQ(rmpupdate(alloc_large(), GUEST_2M(1, 0x201000)), FAIL_INPUT); }
TEST("rmpupdate.input.reserved") { EQ(rmpupdate(alloc_page(), STATE(.assigned = 1, .reserved = 1)), FAIL_INPUT); }
TEST("rmpupdate.input.assigned_reserved") { EQ(rmpupdate(alloc_page(), STATE(.assigned = 2)), FAIL_INPUT); }
TEST("rmpupdate.input.size_reserved") { EQ(rmpupdate(alloc_large(), STATE(.assigned = 1, .large = 4)), FAIL_INPUT); }
TEST("rmpupdate.input.immutable_reserved") { EQ(rmpupdate(alloc_page(), STATE(.assigned = 1, .immutable = 2)), FAIL_INPUT); }
TEST("rmpupdate.input.gpa_bits_11_0") { EQ(rmpupdate(alloc_page(), GUEST(1, 0x5001)), FAIL_INPUT); }
TEST("rmpupdate.input.gpa_bit_51") { EQ(rmpupdate(alloc_page(), GUEST(1, 1UL << 51)), FAIL_INPUT); }
TEST("rmpupdate.input.asid_too_large") { EQ(rmpupdate(alloc_page(), GUEST(ASIDS + 1, 0)), FAIL_INPUT); }
TEST("rmpupdate.input.asid_not_assigned") { EQ(rmpupdate(alloc_page(), STATE(.asid = 1)), FAIL_INPUT); }
TEST("rmpupdate.input.immutable_not_assigned") { EQ(rmpupdate(alloc_page(), STATE(.immutable = 1)), FAIL_INPUT); }
TEST("rmpupdate.input.beyond_table") { EQ(rmpupdate(rmp_limit(), GUEST(1, 0)), FAIL_INPUT); }
TEST("rmpupdate.input.changes_nothing")
{
	u64 p = alloc_page();

	OK(rmpupdate(p, GUEST(5, 0x5000)));
	UNCHANGED(p, EQ(rmpupdate(p, STATE(.asid = 1)), FAIL_INPUT));
}
/* The table's own pages are nobody's to give away. */
TEST("rmpupdate.permission.table_itself")
{
	u64 first = rmp_base(), last = rmp_end() & -PAGE;

	UNCHANGED(first, EQ(rmpupdate(first, GUEST(1, 0)), FAIL_PERMISSION));
	UNCHANGED(last, EQ(rmpupdate(last, GUEST(1, 0)), FAIL_PERMISSION));
}
TEST("rmpupdate.last_page_of_table") { u32 r = rmpupdate(rmp_limit() - PAGE, HYPERVISOR); NE(r, FAIL_INPUT); }

TEST("rmpupdate.permission.immutable_to_hypervisor")
{
	u64 p = alloc_page();

	OK(rmpupdate(p, FIRMWARE));
	UNCHANGED(p, EQ(rmpupdate(p, HYPERVISOR), FAIL_PERMISSION));
}
TEST("rmpupdate.permission.immutable_to_guest")
{
	u64 p = alloc_page();

	OK(rmpupdate(p, FIRMWARE));
	UNCHANGED(p, EQ(rmpupdate(p, GUEST(1, 0)), FAIL_PERMISSION));
}
TEST("rmpupdate.permission.pre_guest")
{
	u64 p = alloc_page();

	OK(rmpupdate(p, STATE(.assigned = 1, .immutable = 1, .asid = 1, .gpa = 0x1000)));
	UNCHANGED(p, EQ(rmpupdate(p, GUEST(1, 0x1000)), FAIL_PERMISSION));
}
TEST("rmpupdate.permission.immutable_2m")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, STATE(.assigned = 1, .immutable = 1, .large = 1)));
	UNCHANGED(p, EQ(rmpupdate(p, HYPERVISOR_2M), FAIL_PERMISSION));
}

TEST("rmpupdate.overlap.4k_inside_2m")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, GUEST_2M(1, 0x200000)));
	UNCHANGED(p, EQ(rmpupdate(p + 5 * PAGE, GUEST(1, 0x205000)), FAIL_OVERLAP));
}
TEST("rmpupdate.overlap.4k_given_back_inside_2m")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, GUEST_2M(1, 0x200000)));
	EQ(rmpupdate(p + 5 * PAGE, HYPERVISOR), FAIL_OVERLAP);
}
TEST("rmpupdate.overlap.last_4k_inside_2m")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, GUEST_2M(1, 0x200000)));
	EQ(rmpupdate(p + LARGE - PAGE, GUEST(1, 0x3ff000)), FAIL_OVERLAP);
}
TEST("rmpupdate.overlap.2m_over_4k")
{
	u64 p = alloc_large();

	OK(rmpupdate(p + 5 * PAGE, GUEST(1, 0x205000)));
	UNCHANGED(p, EQ(rmpupdate(p, GUEST_2M(1, 0x200000)), FAIL_OVERLAP));
}
TEST("rmpupdate.overlap.2m_over_last_4k")
{
	u64 p = alloc_large();

	OK(rmpupdate(p + LARGE - PAGE, GUEST(1, 0x3ff000)));
	EQ(rmpupdate(p, GUEST_2M(1, 0x200000)), FAIL_OVERLAP);
}
TEST("rmpupdate.overlap.2m_next_to_4k")
{
	u64 p = alloc_large(), q = alloc_large();

	/* Pieces come from above: q ends where p begins */
	EQ(q + LARGE, p);
	OK(rmpupdate(q + LARGE - PAGE, GUEST(1, 0x1000)));
	OK(rmpupdate(p, GUEST_2M(1, 0x200000)));
}

/* Pages that a running guest's processor works with */
static struct vcpu runner;
static volatile bool running, stop;

static void spin(void)
{
	running = true;
	while (!stop)
		pause();
	asm volatile("vmmcall");
}

static void run_runner(void *unused)
{
	(void)unused;
	svm_run(&runner);
}

static void start_runner(void)
{
	svm_enable_both();
	plain_guest(&runner, spin);
	running = stop = false;
	ap_run(run_runner, NULL);
	while (!running && !ap_done())
		pause();
}

static void stop_runner(void)
{
	stop = true;
	ap_wait();
	EQ(runner.vmcb->control.exit_code, EXIT_VMMCALL);
}

TEST("rmpupdate.inuse.vmcb_of_running_guest")
{
	u32 while_running;

	start_runner();
	while_running = rmpupdate((u64)runner.vmcb, GUEST(1, 0));
	stop_runner();
	EQ(while_running, FAIL_INUSE);
	OK(rmpupdate((u64)runner.vmcb, GUEST(1, 0)));
}
TEST("rmpupdate.inuse.2m_around_vmcb")
{
	u64 p = alloc_large();
	u32 while_running;

	svm_enable_both();
	start_runner();
	stop_runner();
	memcpy((void *)(p + 7 * PAGE), runner.vmcb, PAGE);
	runner.vmcb = (struct vmcb *)(p + 7 * PAGE);
	long_mode((struct vmcb_save *)&runner.vmcb->save, page_tables(), (u64)spin, alloc_page() + PAGE - 8);
	running = stop = false;
	ap_run(run_runner, NULL);
	while (!running && !ap_done())
		pause();
	while_running = rmpupdate(p, GUEST_2M(1, 0));
	stop_runner();
	EQ(while_running, FAIL_INUSE);
}
TEST("rmpupdate.inuse.page_next_to_vmcb_is_free")
{
	u64 p = alloc_page();
	u32 while_running;

	start_runner();
	while_running = rmpupdate(p, GUEST(1, 0));
	stop_runner();
	OK(while_running);
}

/* Two processors at one entry: each change is whole, each answer is OK or FAIL_INUSE. */
static u64 contended;
static volatile u32 worst;

static void change_often(void *asid)
{
	for (u64 i = 1; i <= 2000; i++) {
		u32 r = rmpupdate(contended, GUEST((u64)asid, (u64)asid << 12));

		if (r && r != FAIL_INUSE)
			worst = r;
	}
}
TEST("rmpupdate.two_processors")
{
	struct rmp_entry e;

	contended = alloc_page();
	ap_run(change_often, (void *)3);
	change_often((void *)4);
	ap_wait();
	EQ(worst, 0);
	e = rmp(contended);
	TRUE(e.assigned && (e.asid == 3 || e.asid == 4) && e.gfn == e.asid);
}
