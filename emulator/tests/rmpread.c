// SPDX-License-Identifier: GPL-2.0-or-later
/* RMPREAD: an entry in the format that does not change between models. APM volume 3. */
#include "snp.h"

/* Bit 1 of the size tells of the 2 MiB around the page; it is no part of the entry. */
#define NEEDED	do { if (!has_rmpread()) SKIP("not on this model"); } while (0)

static void user_rmpread(void *pa)
{
	static struct rmp_state state;

	rmpread((u64)pa, &state);
}

TEST("rmpread.ud_on_older_model")
{
	struct rmp_state s;

	if (has_rmpread())
		SKIP("this model has it");
	snp_enable();
	FAULTS(rmpread(alloc_page(), &s), UD, 0);
}
TEST("rmpread.ud_before_enable")
{
	struct rmp_state s;

	NEEDED;
	FAULTS(rmpread(alloc_page(), &s), UD, 0);
	snp_enable();
}
TEST("rmpread.gp_at_cpl_3") { NEEDED; FAULTS(user_call(user_rmpread, (void *)alloc_page()), GP, 0); }
TEST("rmpread.hypervisor")
{
	struct rmp_state s, zero = HYPERVISOR;

	NEEDED;
	memset(&s, 0xff, sizeof(s));
	OK(rmpread(alloc_page(), &s));
	s.large &= 1;
	OK(memcmp(&s, &zero, sizeof(s)));
}
TEST("rmpread.4k")
{
	struct rmp_state s, want = GUEST(5, 0x12345000);
	u64 p = alloc_page();

	NEEDED;
	OK(rmpupdate(p, want));
	OK(rmpread(p, &s));
	s.large &= 1;
	OK(memcmp(&s, &want, sizeof(s)));
}
TEST("rmpread.largest_asid")
{
	struct rmp_state s, want = GUEST(cpuid(0x8000001f).ecx, 0x12345000);
	u64 p = alloc_page();

	NEEDED;
	OK(rmpupdate(p, want));
	OK(rmpread(p, &s));
	EQ(s.asid, want.asid);
}
TEST("rmpread.2m")
{
	struct rmp_state s, want = GUEST_2M(5, 0x40000000);
	u64 p = alloc_large();

	NEEDED;
	OK(rmpupdate(p, want));
	OK(rmpread(p, &s));
	s.large &= 1;
	OK(memcmp(&s, &want, sizeof(s)));
}
TEST("rmpread.firmware")
{
	struct rmp_state s, want = FIRMWARE;
	u64 p = alloc_page();

	NEEDED;
	OK(rmpupdate(p, want));
	OK(rmpread(p, &s));
	s.large &= 1;
	OK(memcmp(&s, &want, sizeof(s)));
}
TEST("rmpread.input.beyond_table") { struct rmp_state s; NEEDED; EQ(rmpread(rmp_limit(), &s), FAIL_INPUT); }
