// SPDX-License-Identifier: GPL-2.0-or-later
/* The secure processor's commands, their states and the pages they work on. SEV API; SEV-SNP Firmware ABI, chapters 5 and 8. */
#include "vm.h"

#define CMD(command, buffer)	psp_command(command, &(buffer), sizeof(buffer))
#define FEATURES		0x109fc
#define COMMAND_REGISTER	0x10980

/* One page's state, as chapter 5 names them */
static const char *state_of(u64 pa)
{
	struct rmp_entry e = rmp(pa & -LARGE);

	/* A large entry speaks for its pages. */
	if (!e.assigned || !e.large)
		e = rmp(pa);
	if (!e.assigned)
		return "hypervisor";
	if (e.immutable && !e.asid)
		return e.vmsa ? "context" : e.gfn ? "metadata" : "firmware";
	if (!e.asid)
		return "reclaim";
	if (e.immutable)
		return e.validated ? "pre-swap" : "pre-guest";
	return e.validated ? "guest-valid" : "guest-invalid";
}
static bool same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}
#define STATE_IS(pa, name)	do { if (!same(state_of(pa), name)) \
	fail("line %d: page %lx is %s, not %s", __LINE__, (u64)(pa), state_of(pa), name); } while (0)

static struct snp_status snp_status(void)
{
	struct snp_address a = { alloc_page() };
	bool ready = rdmsr(SYSCFG) & SYSCFG_SNP_EN;
	struct snp_status s;

	if (ready)
		OK(rmpupdate(a.address, FIRMWARE));
	EQ(CMD(SNP_PLATFORM_STATUS, a), SUCCESS);
	s = *(volatile struct snp_status *)a.address;
	return s;
}

static struct sev_status sev_status(void)
{
	struct sev_status s = { 0 };

	EQ(CMD(SEV_PLATFORM_STATUS, s), SUCCESS);
	return s;
}

/* A context page with no guest in it, and one with a guest that is being launched */
static u64 context(void)
{
	struct snp_address a = { firmware_page() };

	EQ(CMD(SNP_GCTX_CREATE, a), SUCCESS);
	return a.address;
}
static u64 launching(u64 policy)
{
	struct snp_launch_start start = { .gctx = context(), .policy = policy };

	EQ(CMD(SNP_LAUNCH_START, start), SUCCESS);
	return start.gctx;
}
static u32 next_asid(void)
{
	/* vm_new() takes them from below */
	static u32 asid = 50;

	return asid++;
}
static u32 activate(u64 gctx, u32 asid)
{
	struct snp_activate a = { gctx, asid };

	return CMD(SNP_ACTIVATE, a);
}
static u64 active(u32 *asid)
{
	u64 gctx = launching(POLICY);

	*asid = next_asid();
	EQ(activate(gctx, *asid), SUCCESS);
	return gctx;
}
static u64 pre_guest(u32 asid, u64 gpa)
{
	u64 pa = alloc_page();

	OK(rmpupdate(pa, STATE(.assigned = 1, .immutable = 1, .asid = asid, .gpa = gpa)));
	return pa;
}
static u32 update(u64 gctx, u64 pa, int type)
{
	struct snp_launch_update u = { .gctx = gctx, .type = type, .address = pa };

	return CMD(SNP_LAUNCH_UPDATE, u);
}
static u32 finish(u64 gctx)
{
	struct snp_launch_finish f = { .gctx = gctx };

	return CMD(SNP_LAUNCH_FINISH, f);
}
static u32 decommission(u64 gctx)
{
	struct snp_address a = { gctx };

	return CMD(SNP_DECOMMISSION, a);
}
/* policy, ASID and state of a guest */
struct PACKED guest_status { u64 policy; u32 asid; u8 state; };
static struct guest_status guest_status(u64 gctx)
{
	struct snp_guest_status s = { gctx, firmware_page() };

	EQ(CMD(SNP_GUEST_STATUS, s), SUCCESS);
	return *(struct guest_status *)s.address;
}

TEST("psp.present") { TRUE(psp_present()); }
/* Bit 0: it has the SEV commands */
TEST("psp.features") { TRUE(*psp_register(FEATURES) & BIT(0)); }
TEST("psp.mailbox.unknown_command") { u64 b[8] = { 0 }; EQ(CMD(0x7f, b), INVALID_COMMAND); }
TEST("psp.mailbox.response_bit")
{
	sev_status();
	TRUE(*psp_register(COMMAND_REGISTER) & BIT(31));
}
TEST("psp.version_1_51_or_later") { struct sev_status s = sev_status(); TRUE(s.major > 1 || (s.major == 1 && s.minor >= 51)); }
TEST("psp.platform_status.uninitialized") { EQ(sev_status().state, 0); }
TEST("psp.snp_platform_status.uninitialized") { EQ(snp_status().state, 0); }
TEST("psp.snp_platform_status.version") { EQ(snp_status().minor, sev_status().minor); }
TEST("psp.before_init.launch_start")
{
	struct sev_start s = { 0 };

	EQ(CMD(SEV_LAUNCH_START, s), INVALID_PLATFORM_STATE);
}
TEST("psp.before_init.gctx_create")
{
	struct snp_address a = { alloc_page() };

	EQ(CMD(SNP_GCTX_CREATE, a), INVALID_PLATFORM_STATE);
}
TEST("psp.snp_init_ex.snp_not_enabled")
{
	struct snp_init_ex i = { .init_rmp = 1 };

	/* So that it is not the IOMMU that firmware minds */
	iommu_enable();
	EQ(CMD(SNP_INIT_EX, i), INVALID_CONFIG);
	iommu_disable();
	EQ(snp_status().state, 0);
}
TEST("psp.snp_init_ex.iommu_off")
{
	struct snp_init_ex i = { .init_rmp = 1 };

	snp_enable();
	EQ(CMD(SNP_INIT_EX, i), INVALID_CONFIG);
	iommu_enable();
}
TEST("psp.snp_init_ex.hsave_set")
{
	struct snp_init_ex i = { .init_rmp = 1 };

	wrmsr(EFER, rdmsr(EFER) | EFER_SVME);
	wrmsr(VM_HSAVE_PA, alloc_page());
	EQ(CMD(SNP_INIT_EX, i), INVALID_CONFIG);
	wrmsr(VM_HSAVE_PA, 0);
	wrmsr(EFER, rdmsr(EFER) & ~EFER_SVME);
}
TEST("psp.snp_init_ex.reserved")
{
	struct snp_init_ex i = { .init_rmp = 1, .reserved1 = 1 };

	EQ(CMD(SNP_INIT_EX, i), INVALID_PARAM);
}
/* The host has the table in its TLB: what firmware takes is gone for all that. */
TEST("psp.snp_init_ex")
{
	RUNS(wr64(rmp_end() - 7, 0));
	psp_snp_init();
	FAULTS(wr64(rmp_end() - 7, 0), PF, PF_P | PF_W | PF_RMP);
}
TEST("psp.snp_init_ex.status") { struct snp_status s = snp_status(); EQ(s.state, 1); EQ(s.rmp_initialized & 1, 1); EQ(s.guests, 0); }
TEST("psp.snp_init_ex.twice") { struct snp_init_ex i = { .init_rmp = 1 }; EQ(CMD(SNP_INIT_EX, i), INVALID_PLATFORM_STATE); }
/* The table belongs to firmware from then on. */
TEST("psp.snp_init_ex.table_is_firmware") { STATE_IS(rmp_base(), "firmware"); STATE_IS(rmp_end() & -PAGE, "firmware"); }
TEST("psp.snp_init_ex.table_is_not_writable")
{
	FAULTS(wr64(rmp_base(), 0), PF, PF_P | PF_W | PF_RMP);
	FAULTS(wr64(rmp_address(0), 0), PF, PF_P | PF_W | PF_RMP);
	FAULTS(wr64(rmp_end() - 7, 0), PF, PF_P | PF_W | PF_RMP);
}
TEST("psp.snp_init_ex.table_is_readable") { RUNS((void)rmp(0)); }
TEST("psp.snp_init_ex.rmpupdate_of_table") { EQ(rmpupdate(rmp_base(), HYPERVISOR), FAIL_PERMISSION); }
TEST("psp.snp_init_ex.around_table")
{
	EQ(rmp(rmp_base() - PAGE).assigned, 0);
	RUNS(wr8(alloc_page(), 1));
}

/* Pages that firmware writes to must be its own. */
TEST("psp.snp_platform_status.hypervisor_page")
{
	struct snp_address a = { alloc_page() };

	EQ(CMD(SNP_PLATFORM_STATUS, a), INVALID_PAGE_STATE);
	TRUE(all_bytes((void *)a.address, 0, PAGE));
}
TEST("psp.gctx_create") { STATE_IS(context(), "context"); }
TEST("psp.gctx_create.hypervisor_page") { struct snp_address a = { alloc_page() }; EQ(CMD(SNP_GCTX_CREATE, a), INVALID_PAGE_STATE); }
TEST("psp.gctx_create.not_aligned") { struct snp_address a = { firmware_page() + 8 }; EQ(CMD(SNP_GCTX_CREATE, a), INVALID_ADDRESS); }
TEST("psp.gctx_create.twice") { struct snp_address a = { context() }; EQ(CMD(SNP_GCTX_CREATE, a), INVALID_PAGE_STATE); }
TEST("psp.gctx_create.host_cannot_write") { u64 p = context(); FAULTS(wr8(p, 1), PF, PF_P | PF_W | PF_RMP); }
TEST("psp.gctx_create.rmpupdate") { EQ(rmpupdate(context(), HYPERVISOR), FAIL_PERMISSION); }

TEST("psp.launch_start") { EQ(guest_status(launching(POLICY)).policy, POLICY); }
TEST("psp.launch_start.no_context")
{
	struct snp_launch_start s = { .gctx = firmware_page(), .policy = POLICY };

	EQ(CMD(SNP_LAUNCH_START, s), INVALID_GUEST);
}
TEST("psp.launch_start.twice")
{
	struct snp_launch_start s = { .gctx = launching(POLICY), .policy = POLICY };

	EQ(CMD(SNP_LAUNCH_START, s), INVALID_GUEST_STATE);
}
TEST("psp.launch_start.policy_bit_17")
{
	struct snp_launch_start s = { .gctx = context(), .policy = 0x10000 };

	NE(CMD(SNP_LAUNCH_START, s), SUCCESS);
}
TEST("psp.launch_start.policy_version")
{
	struct snp_launch_start s = { .gctx = context(), .policy = POLICY | 0xff00 };

	EQ(CMD(SNP_LAUNCH_START, s), POLICY_FAILURE);
}
TEST("psp.activate")
{
	u32 asid;
	u64 gctx = active(&asid);

	EQ(guest_status(gctx).asid, asid);
}
TEST("psp.activate.before_launch_start")
{
	EQ(activate(context(), next_asid()), INVALID_GUEST_STATE);
}
TEST("psp.activate.asid_0") { EQ(activate(launching(POLICY), 0), INVALID_ASID); }
TEST("psp.activate.asid_of_sev") { EQ(activate(launching(POLICY), cpuid(0x8000001f).edx), INVALID_ASID); }
TEST("psp.activate.asid_too_large") { EQ(activate(launching(POLICY), cpuid(0x8000001f).ecx + 1), INVALID_ASID); }
TEST("psp.activate.asid_owned") { u32 asid; active(&asid); EQ(activate(launching(POLICY), asid), ASID_OWNED); }
TEST("psp.activate.twice") { u32 asid; EQ(activate(active(&asid), next_asid()), ACTIVE); }

TEST("psp.launch_update.normal")
{
	u32 asid;
	u64 gctx = active(&asid), pa = pre_guest(asid, 0x1000);
	struct rmp_entry e;

	STATE_IS(pa, "pre-guest");
	EQ(update(gctx, pa, PAGE_NORMAL), SUCCESS);
	STATE_IS(pa, "guest-valid");
	e = rmp(pa);
	EQ(e.gfn, 1);
	EQ(e.asid, asid);
	EQ(e.vmsa, 0);
}
TEST("psp.launch_update.vmsa")
{
	u32 asid;
	u64 gctx = active(&asid), pa = alloc_page();

	((struct vmcb_save *)pa)->sev_features = SEV_FEATURE_SNP;
	OK(rmpupdate(pa, STATE(.assigned = 1, .immutable = 1, .asid = asid, .gpa = 0xfffffffff000)));
	EQ(update(gctx, pa, PAGE_VMSA), SUCCESS);
	STATE_IS(pa, "guest-valid");
	EQ(rmp(pa).vmsa, 1);
}
TEST("psp.launch_update.encrypts")
{
	u32 asid;
	u64 gctx = active(&asid), pa = alloc_page();

	memset((void *)pa, 0x5a, PAGE);
	OK(rmpupdate(pa, STATE(.assigned = 1, .immutable = 1, .asid = asid, .gpa = 0x1000)));
	EQ(update(gctx, pa, PAGE_NORMAL), SUCCESS);
	NE(rd64(pa), 0x5a5a5a5a5a5a5a5a);
}
TEST("psp.launch_update.other_types")
{
	u32 asid;
	u64 gctx = active(&asid);
	const int types[] = { PAGE_ZERO, PAGE_UNMEASURED, PAGE_SECRETS };

	for (u64 i = 0; i < ARRAY_SIZE(types); i++) {
		u64 pa = pre_guest(asid, 0x1000 * (i + 1));

		EQ(update(gctx, pa, types[i]), SUCCESS);
		STATE_IS(pa, "guest-valid");
	}
}
TEST("psp.launch_update.type_0") { u32 asid; u64 g = active(&asid); EQ(update(g, pre_guest(asid, 0x1000), 0), INVALID_PARAM); }
TEST("psp.launch_update.not_active")
{
	EQ(update(launching(POLICY), pre_guest(next_asid(), 0x1000), PAGE_NORMAL), INACTIVE);
}
TEST("psp.launch_update.hypervisor_page") { u32 asid; EQ(update(active(&asid), alloc_page(), PAGE_NORMAL), INVALID_PAGE_STATE); }
TEST("psp.launch_update.guest_invalid_page")
{
	u32 asid;
	u64 gctx = active(&asid), pa = alloc_page();

	OK(rmpupdate(pa, GUEST(asid, 0x1000)));
	EQ(update(gctx, pa, PAGE_NORMAL), INVALID_PAGE_STATE);
}
TEST("psp.launch_update.page_of_other_guest")
{
	u32 a, b;
	u64 gctx = active(&a);

	active(&b);
	EQ(update(gctx, pre_guest(b, 0x1000), PAGE_NORMAL), INVALID_PAGE_OWNER);
}
TEST("psp.launch_update.twice")
{
	u32 asid;
	u64 gctx = active(&asid), pa = pre_guest(asid, 0x1000);

	EQ(update(gctx, pa, PAGE_NORMAL), SUCCESS);
	EQ(update(gctx, pa, PAGE_NORMAL), INVALID_PAGE_STATE);
}
TEST("psp.launch_finish") { u32 asid; EQ(finish(active(&asid)), SUCCESS); }
TEST("psp.launch_finish.twice") { u32 asid; u64 g = active(&asid); EQ(finish(g), SUCCESS); EQ(finish(g), INVALID_GUEST_STATE); }
TEST("psp.launch_finish.then_update")
{
	u32 asid;
	u64 gctx = active(&asid);

	EQ(finish(gctx), SUCCESS);
	EQ(update(gctx, pre_guest(asid, 0x1000), PAGE_NORMAL), INVALID_GUEST_STATE);
}
TEST("psp.guest_status.states")
{
	u32 asid;
	u64 gctx = active(&asid);

	/* GSTATE_LAUNCH, GSTATE_RUNNING */
	EQ(guest_status(gctx).state, 1);
	EQ(finish(gctx), SUCCESS);
	EQ(guest_status(gctx).state, 2);
}
TEST("psp.snp_platform_status.counts_guests") { u32 before = snp_status().guests; launching(POLICY); EQ(snp_status().guests, before + 1); }

TEST("psp.decommission")
{
	u32 asid;
	u64 gctx = active(&asid);

	EQ(decommission(gctx), SUCCESS);
	STATE_IS(gctx, "firmware");
	reclaimed(gctx);
	STATE_IS(gctx, "hypervisor");
	RUNS(wr8(gctx, 1));
}
TEST("psp.decommission.no_context") { EQ(decommission(firmware_page()), INVALID_GUEST); }
TEST("psp.decommission.asid_is_free_after_flush")
{
	u32 asid;
	u64 gctx = active(&asid), other = launching(POLICY);

	EQ(decommission(gctx), SUCCESS);
	asm volatile("wbinvd" ::: "memory");
	EQ(psp_command(SNP_DF_FLUSH, NULL, 0), SUCCESS);
	EQ(activate(other, asid), SUCCESS);
}
TEST("psp.decommission.asid_needs_flush")
{
	u32 asid;
	u64 gctx = active(&asid), other = launching(POLICY);

	EQ(decommission(gctx), SUCCESS);
	EQ(activate(other, asid), DFFLUSH_REQUIRED);
}

TEST("psp.reclaim.firmware_page") { u64 p = firmware_page(); EQ(reclaim(p), SUCCESS); STATE_IS(p, "reclaim"); OK(rmpupdate(p, HYPERVISOR)); }
TEST("psp.reclaim.pre_guest_page") { u64 p = pre_guest(next_asid(), 0x1000); EQ(reclaim(p), SUCCESS); STATE_IS(p, "reclaim"); }
/* The table is firmware's for good. */
TEST("psp.reclaim.rmp")
{
	EQ(reclaim(rmp_base() | rmp(rmp_base()).large), INVALID_PAGE_STATE);
	STATE_IS(rmp_base(), "firmware");
}
TEST("psp.reclaim.hypervisor_page") { EQ(reclaim(alloc_page()), INVALID_PAGE_STATE); }
TEST("psp.reclaim.context_page") { EQ(reclaim(context()), INVALID_PAGE_STATE); }
TEST("psp.reclaim.guest_page") { u64 p = alloc_page(); OK(rmpupdate(p, GUEST(1, 0))); EQ(reclaim(p), INVALID_PAGE_STATE); }
TEST("psp.reclaim.size")
{
	u64 p = alloc_large();

	OK(rmpupdate(p, STATE(.assigned = 1, .immutable = 1, .large = 1)));
	EQ(reclaim(p), INVALID_PAGE_SIZE);
	EQ(reclaim(p | 1), SUCCESS);
	OK(rmpupdate(p, HYPERVISOR_2M));
}
/*
 * 2 MiB of a guest's pages, each with an entry of its own. Two that follow each
 * other may have changed places, and one may be another guest's; 0 for none.
 */
static u64 small_pages(u64 swapped, u64 foreign)
{
	u64 p = alloc_large();

	for (u64 i = 0; i < 512; i++) {
		u64 at = !swapped ? i : i == swapped ? i + 1 : i == swapped + 1 ? i - 1 : i;

		OK(rmpupdate(p + i * PAGE, STATE(.assigned = 1, .immutable = 1,
						 .asid = foreign && i == foreign ? 8 : 7,
						 .gpa = 0x40000000 + at * PAGE)));
	}
	return p;
}
static u32 unsmash(u64 p)
{
	struct snp_address a = { p };

	return CMD(SNP_PAGE_UNSMASH, a);
}
TEST("psp.unsmash")
{
	u64 p = small_pages(0, 0);

	EQ(unsmash(p), SUCCESS);
	EQ(rmp(p).large, 1);
	EQ(rmp(p).immutable, 1);
	EQ(rmp(p).gfn, 0x40000);
	EQ(rmp(p).asid, 7);
}
TEST("psp.unsmash.two_pages_swapped")
{
	u64 p = small_pages(5, 0);

	EQ(unsmash(p), INVALID_PAGE_STATE);
	EQ(rmp(p).large, 0);
}
TEST("psp.unsmash.last_pages_swapped")
{
	u64 p = small_pages(510, 0);

	EQ(unsmash(p), INVALID_PAGE_STATE);
	EQ(rmp(p).large, 0);
}
TEST("psp.unsmash.page_of_other_guest")
{
	u64 p = small_pages(0, 300);

	EQ(unsmash(p), INVALID_PAGE_OWNER);
	EQ(rmp(p).large, 0);
	EQ(rmp(p + 300 * PAGE).asid, 8);
}
TEST("psp.unsmash.guest_pages")
{
	u64 p = alloc_large();
	struct snp_address a = { p };

	for (u64 i = 0; i < 512; i++)
		OK(rmpupdate(p + i * PAGE, GUEST(7, 0x40000000 + i * PAGE)));
	/* Firmware does it to pages that no guest can be using: immutable ones */
	EQ(CMD(SNP_PAGE_UNSMASH, a), INVALID_PAGE_STATE);
}
TEST("psp.config.reported_tcb")
{
	struct PACKED { u64 reported_tcb; u32 mask; u8 reserved[52]; } c = { .reported_tcb = snp_status().current_tcb };

	EQ(CMD(SNP_CONFIG, c), SUCCESS);
	EQ(snp_status().reported_tcb, c.reported_tcb);
	c.mask = 4;
	EQ(CMD(SNP_CONFIG, c), INVALID_PARAM);
	/* No firmware claims to be more than it is. */
	c.mask = 0;
	c.reported_tcb = snp_status().current_tcb + 1;
	EQ(CMD(SNP_CONFIG, c), INVALID_PARAM);
}
TEST("psp.commit") { struct PACKED { u32 length; } c = { 4 }; EQ(CMD(SNP_COMMIT, c), SUCCESS); }
TEST("psp.dbg_decrypt.policy_forbids")
{
	u32 asid;
	u64 gctx = active(&asid), pa = pre_guest(asid, 0x1000);
	struct snp_dbg d = { gctx, pa, firmware_page() };

	EQ(update(gctx, pa, PAGE_NORMAL), SUCCESS);
	EQ(CMD(SNP_DBG_DECRYPT, d), POLICY_FAILURE);
}
TEST("psp.dbg_decrypt")
{
	u64 gctx = launching(POLICY | POLICY_DEBUG), pa = alloc_page();
	u32 asid = next_asid();
	struct snp_dbg d = { gctx, pa, firmware_page() };

	EQ(activate(gctx, asid), SUCCESS);
	memset((void *)pa, 0x5a, PAGE);
	OK(rmpupdate(pa, STATE(.assigned = 1, .immutable = 1, .asid = asid, .gpa = 0x1000)));
	EQ(update(gctx, pa, PAGE_NORMAL), SUCCESS);
	EQ(CMD(SNP_DBG_DECRYPT, d), SUCCESS);
	TRUE(all_bytes((void *)d.target, 0x5a, PAGE));
}

/* The older commands beside it */
TEST("psp.init") { psp_sev_init(); EQ(sev_status().state, 1); }
TEST("psp.init.twice") { struct sev_init i = { 0 }; EQ(CMD(SEV_INIT, i), INVALID_PLATFORM_STATE); }
TEST("psp.init.es_flag") { TRUE(sev_status().flags & BIT(8)); }
TEST("psp.sev.launch_start")
{
	struct sev_start s = { 0 }, t = { 0 };

	EQ(CMD(SEV_LAUNCH_START, s), SUCCESS);
	EQ(CMD(SEV_LAUNCH_START, t), SUCCESS);
	NE(s.handle, 0);
	NE(s.handle, t.handle);
	EQ(sev_status().state, 2);
}
TEST("psp.sev.activate")
{
	struct sev_start s = { 0 };
	struct sev_activate a;
	struct sev_guest_status g;

	EQ(CMD(SEV_LAUNCH_START, s), SUCCESS);
	a = (struct sev_activate){ s.handle, cpuid(0x8000001f).edx + 40 };
	EQ(CMD(SEV_ACTIVATE, a), SUCCESS);
	g = (struct sev_guest_status){ .handle = s.handle };
	EQ(CMD(SEV_GUEST_STATUS, g), SUCCESS);
	EQ(g.asid, a.asid);
	EQ(CMD(SEV_ACTIVATE, a), ACTIVE);
}
TEST("psp.sev.activate.no_guest") { struct sev_activate a = { 0x7777, 100 }; EQ(CMD(SEV_ACTIVATE, a), INVALID_GUEST); }
TEST("psp.sev.activate.asid_of_es")
{
	struct sev_start s = { 0 };
	struct sev_activate a;

	EQ(CMD(SEV_LAUNCH_START, s), SUCCESS);
	a = (struct sev_activate){ s.handle, 1 };
	EQ(CMD(SEV_ACTIVATE, a), INVALID_ASID);
}
TEST("psp.sev.launch_update")
{
	struct sev_start s = { 0 };
	struct sev_activate a;
	u64 pa = alloc_page();
	struct sev_update u;

	EQ(CMD(SEV_LAUNCH_START, s), SUCCESS);
	a = (struct sev_activate){ s.handle, cpuid(0x8000001f).edx + 41 };
	EQ(CMD(SEV_ACTIVATE, a), SUCCESS);
	memset((void *)pa, 0x5a, PAGE);
	u = (struct sev_update){ s.handle, 0, pa, 32 };
	/* With SNP, firmware writes to its own pages only. */
	EQ(CMD(SEV_LAUNCH_UPDATE_DATA, u), INVALID_PAGE_STATE);
	EQ(psp_sev_update(SEV_LAUNCH_UPDATE_DATA, &u), SUCCESS);
	NE(rd64(pa), 0x5a5a5a5a5a5a5a5a);
	EQ(rd64(pa + 32), 0x5a5a5a5a5a5a5a5a);
	u.length = 8;
	EQ(psp_sev_update(SEV_LAUNCH_UPDATE_DATA, &u), INVALID_LEN);
}
TEST("psp.sev.measure_tells_its_length")
{
	struct sev_start s = { 0 };
	struct sev_activate a;
	struct sev_update m;

	EQ(CMD(SEV_LAUNCH_START, s), SUCCESS);
	a = (struct sev_activate){ s.handle, cpuid(0x8000001f).edx + 42 };
	EQ(CMD(SEV_ACTIVATE, a), SUCCESS);
	m = (struct sev_update){ .handle = s.handle };
	EQ(CMD(SEV_LAUNCH_MEASURE, m), INVALID_LEN);
	/* 32 bytes of HMAC-SHA-256, 16 of nonce */
	EQ(m.length, 48);
}
TEST("psp.sev.finish_before_measure")
{
	struct sev_start s = { 0 };
	struct sev_handle h;

	EQ(CMD(SEV_LAUNCH_START, s), SUCCESS);
	h.handle = s.handle;
	EQ(CMD(SEV_LAUNCH_FINISH, h), INVALID_GUEST_STATE);
}
