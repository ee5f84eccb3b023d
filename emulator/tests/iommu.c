// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a device may do to memory. AMD I/O Virtualization Technology
 * specification (48882), SNP's parts and "RMP_PAGE_FAULT"; APM volume 2, 15.34
 * for what it sees of encrypted memory.
 *
 * One access of a device may be several to the emulator, and be logged as
 * often; a rule counts events only where the access is of four bytes.
 */
#include "device.h"
#include "psp.h"

#define BEFORE		0x11
#define SECRET		0x5a

/* A page of the host's, full of this */
static u64 filled(u8 byte)
{
	u64 pa = alloc_page();

	memset((void *)pa, byte, PAGE);
	return pa;
}

/* From here on, the RMP is checked, and the log is empty. */
static void ready(void)
{
	snp_enable();
	iommu_start();
	iommu_clear_log(0);
}

/* A page with that entry, which was filled before it got one */
static u64 owned(u8 byte, struct rmp_state state)
{
	u64 pa = filled(byte);

	ready();
	OK(rmpupdate(pa, state));
	return pa;
}

static void nothing_logged(void)
{
	struct iommu_event e;

	if (iommu_event(&e))
		fail("the log has an event: %lx, %lx", e.what, e.address);
}

/* All events tell of this. */
static void logged(u64 address, u64 write)
{
	struct iommu_event e;

	if (!iommu_event(&e))
		fail("nothing is in the log");
	do {
		EQ(EVENT_CODE(e.what), RMP_PAGE_FAULT);
		EQ(EVENT_DEVICE(e.what), device_function());
		EQ(e.what & EVENT_WRITE, write);
		EQ(e.address & -PAGE, address & -PAGE);
	} while (iommu_event(&e));
}

static void write_is_blocked(u64 pa)
{
	device_fill(SECRET);
	device_write(pa + 0x40, DEVICE_BYTES);
	TRUE(all_bytes((void *)pa, BEFORE, PAGE));
	logged(pa, EVENT_WRITE);
}

static void read_is_blocked(u64 pa)
{
	u8 bytes[DEVICE_BYTES];

	device_fill(BEFORE);
	device_read(pa + 0x40, DEVICE_BYTES);
	logged(pa, 0);
	device_get(bytes, sizeof(bytes));
	for (u32 i = 0; i < sizeof(bytes); i++)
		NE(bytes[i], SECRET);
}

TEST("iommu.features.snp") { TRUE(IOMMU_REGISTER(IOMMU_FEATURES) & FEATURE_SNP); }
TEST("iommu.features.cannot_be_written")
{
	u64 before = IOMMU_REGISTER(IOMMU_FEATURES);

	IOMMU_REGISTER(IOMMU_FEATURES) = 0;
	EQ(IOMMU_REGISTER(IOMMU_FEATURES), before);
}
TEST("iommu.device.present") { device_function(); }

/* What the tests below stand on: the device does as it is told. */
TEST("iommu.before_snp.device_writes")
{
	u64 pa = filled(BEFORE);

	device_fill(SECRET);
	device_write(pa + 0x40, DEVICE_BYTES);
	TRUE(all_bytes((void *)(pa + 0x40), SECRET, DEVICE_BYTES));
	TRUE(all_bytes((void *)pa, BEFORE, 0x40));
	EQ(rd8(pa + 0x40 + DEVICE_BYTES), BEFORE);
}
TEST("iommu.before_snp.device_reads")
{
	device_fill(BEFORE);
	device_read(filled(SECRET), DEVICE_BYTES);
	TRUE(device_holds(SECRET));
}
/*
 * Firmware does not start SNP without an IOMMU that is on. Whoever has switched
 * one off does not find that devices get at guests for it.
 */
TEST("iommu.off.guest_page")
{
	u64 pa = filled(BEFORE);

	snp_enable();
	OK(rmpupdate(pa, GUEST(1, 0x1000)));
	device_fill(SECRET);
	device_write(pa, DEVICE_BYTES);
	TRUE(all_bytes((void *)pa, BEFORE, PAGE));
}

TEST("iommu.hypervisor_page.write")
{
	u64 pa = filled(BEFORE);

	ready();
	device_fill(SECRET);
	device_write(pa, DEVICE_BYTES);
	TRUE(all_bytes((void *)pa, SECRET, DEVICE_BYTES));
	nothing_logged();
}
TEST("iommu.hypervisor_page.read")
{
	ready();
	device_fill(BEFORE);
	device_read(filled(SECRET), DEVICE_BYTES);
	TRUE(device_holds(SECRET));
	nothing_logged();
}
TEST("iommu.guest_page.write") { write_is_blocked(owned(BEFORE, GUEST(1, 0x1000))); }
TEST("iommu.guest_page.read") { read_is_blocked(owned(SECRET, GUEST(1, 0x1000))); }
TEST("iommu.firmware_page.write") { write_is_blocked(owned(BEFORE, FIRMWARE)); }
TEST("iommu.firmware_page.read") { read_is_blocked(owned(SECRET, FIRMWARE)); }
TEST("iommu.pre_guest_page.write")
{
	struct rmp_state pre_guest = { .assigned = 1, .immutable = 1, .asid = 1, .gpa = 0x1000 };

	write_is_blocked(owned(BEFORE, pre_guest));
}
/* Nobody's any more, but not yet the host's */
TEST("iommu.reclaim_page.write") { write_is_blocked(owned(BEFORE, STATE(.assigned = 1))); }
TEST("iommu.reclaim_page.read") { read_is_blocked(owned(SECRET, STATE(.assigned = 1))); }
TEST("iommu.large_entry.first_page_and_last")
{
	u64 pa = alloc_large();

	memset((void *)pa, BEFORE, LARGE);
	ready();
	OK(rmpupdate(pa, GUEST_2M(1, 0x200000)));
	write_is_blocked(pa);
	write_is_blocked(pa + LARGE - PAGE);
	write_is_blocked(pa + LARGE / 2);
}
/* The check is for a page, also where an entry of 2 MiB could be. */
TEST("iommu.pages_around")
{
	u64 pa = alloc_large() + 8 * PAGE;

	ready();
	OK(rmpupdate(pa, GUEST(1, 0x1000)));
	device_fill(SECRET);
	device_write(pa - DEVICE_BYTES, DEVICE_BYTES);
	device_write(pa + PAGE, DEVICE_BYTES);
	TRUE(all_bytes((void *)(pa - DEVICE_BYTES), SECRET, DEVICE_BYTES));
	TRUE(all_bytes((void *)(pa + PAGE), SECRET, DEVICE_BYTES));
	nothing_logged();
}
TEST("iommu.across_into_guest_page")
{
	u64 pa = alloc_large() + 8 * PAGE;

	ready();
	OK(rmpupdate(pa, GUEST(1, 0x1000)));
	device_fill(SECRET);
	device_write(pa - DEVICE_BYTES / 2, DEVICE_BYTES);
	TRUE(all_bytes((void *)pa, 0, PAGE));
	logged(pa, EVENT_WRITE);
}

/* Nothing that the IOMMU has looked up outlives a change of the table. */
TEST("iommu.taken")
{
	u64 pa = filled(BEFORE);

	ready();
	device_fill(BEFORE);
	device_write(pa, DEVICE_BYTES);
	nothing_logged();
	OK(rmpupdate(pa, GUEST(1, 0x1000)));
	write_is_blocked(pa);
	read_is_blocked(pa);
}
TEST("iommu.given_back")
{
	u64 pa = owned(BEFORE, GUEST(1, 0x1000));

	write_is_blocked(pa);
	OK(rmpupdate(pa, HYPERVISOR));
	device_write(pa, DEVICE_BYTES);
	TRUE(all_bytes((void *)pa, SECRET, DEVICE_BYTES));
	device_fill(BEFORE);
	device_read(pa, DEVICE_BYTES);
	TRUE(device_holds(SECRET));
	nothing_logged();
}

/* With translation it is the page behind the address that counts. */
static u64 io_table(void)
{
	static u64 table;

	ready();
	if (!table)
		table = alloc_page();
	return table;
}
/* A new address each time: the IOMMU keeps what it has looked up. */
static u64 mapped(u64 pa)
{
	static u64 next = 0x100000;

	next += PAGE;
	wr64(io_table() + next / PAGE * 8, IOPTE(pa));
	return next;
}
static void write_translated(u64 address, u32 size)
{
	iommu_translate(io_table());
	device_write(address, size);
	iommu_translate(0);
}
TEST("iommu.translated.hypervisor_page")
{
	u64 pa = filled(BEFORE), address = mapped(pa);

	device_fill(SECRET);
	write_translated(address + 0x80, DEVICE_BYTES);
	TRUE(all_bytes((void *)(pa + 0x80), SECRET, DEVICE_BYTES));
	nothing_logged();
}
/* The log has the address that the device asked for. */
TEST("iommu.translated.guest_page")
{
	u64 pa = owned(BEFORE, GUEST(1, 0x1000)), address = mapped(pa);

	device_fill(SECRET);
	write_translated(address, DEVICE_BYTES);
	TRUE(all_bytes((void *)pa, BEFORE, PAGE));
	NE(address, pa);
	logged(address, EVENT_WRITE);
}
TEST("iommu.translated.taken")
{
	u64 pa = filled(BEFORE), address = mapped(pa);

	device_fill(BEFORE);
	write_translated(address, DEVICE_BYTES);
	nothing_logged();
	OK(rmpupdate(pa, GUEST(1, 0x1000)));
	device_fill(SECRET);
	write_translated(address, DEVICE_BYTES);
	TRUE(all_bytes((void *)pa, BEFORE, PAGE));
	logged(address, EVENT_WRITE);
}

/* A device has no key: it sees what is in memory. */
static volatile u8 *encrypted(u64 pa)
{
	return window(pa, 0, PTE_RWU | PTE_C);
}
TEST("iommu.encrypted.read")
{
	u64 pa = alloc_page();
	u8 bytes[DEVICE_BYTES];
	u32 same = 0;

	ready();
	memset((void *)encrypted(pa), SECRET, PAGE);
	device_read(pa, DEVICE_BYTES);
	device_get(bytes, sizeof(bytes));
	for (u32 i = 0; i < sizeof(bytes); i++)
		same += bytes[i] == SECRET;
	TRUE(same < sizeof(bytes) / 4);
	/* And so does a host that does without the key. */
	OK(memcmp(bytes, (void *)pa, sizeof(bytes)));
	nothing_logged();
}
TEST("iommu.encrypted.write")
{
	u64 pa = alloc_page();
	volatile u8 *c = encrypted(pa);

	ready();
	memset((void *)c, BEFORE, PAGE);
	device_fill(SECRET);
	device_write(pa, DEVICE_BYTES);
	TRUE(!all_bytes(c, SECRET, DEVICE_BYTES));
	TRUE(!all_bytes(c, BEFORE, DEVICE_BYTES));
	TRUE(all_bytes((void *)pa, SECRET, DEVICE_BYTES));
	/* What it has not written to is as it was. */
	TRUE(all_bytes(c + DEVICE_BYTES, BEFORE, PAGE - DEVICE_BYTES));
}

/* The log */
static u64 provoke(void)
{
	u64 pa = owned(BEFORE, GUEST(1, 0x1000));

	device_write(pa, 4);
	return pa;
}
TEST("iommu.log.tail_moves")
{
	provoke();
	EQ(IOMMU_REGISTER(IOMMU_LOG_HEAD), 0);
	EQ(IOMMU_REGISTER(IOMMU_LOG_TAIL), sizeof(struct iommu_event));
}
TEST("iommu.log.entry_is_where_the_tail_was")
{
	struct iommu_event *log, none = { 0 };
	u64 pa;

	ready();
	log = (struct iommu_event *)iommu_log();
	memset(log, 0, PAGE);
	iommu_clear_log(7);
	pa = owned(BEFORE, GUEST(1, 0x1000));
	iommu_clear_log(7);
	device_write(pa, 4);
	OK(memcmp(log + 6, &none, sizeof(none)));
	EQ(log[7].address, pa);
	OK(memcmp(log + 8, &none, sizeof(none)));
}
TEST("iommu.log.wraps_around")
{
	u64 pa = owned(BEFORE, GUEST(1, 0x1000));

	iommu_clear_log(LOG_ENTRIES - 1);
	device_write(pa, 4);
	EQ(IOMMU_REGISTER(IOMMU_LOG_TAIL), 0);
	logged(pa, EVENT_WRITE);
}
TEST("iommu.log.status_until_it_is_cleared")
{
	ready();
	IOMMU_REGISTER(IOMMU_STATUS) = STATUS_EVENT;
	EQ(IOMMU_REGISTER(IOMMU_STATUS) & STATUS_EVENT, 0);
	provoke();
	TRUE(IOMMU_REGISTER(IOMMU_STATUS) & STATUS_EVENT);
	IOMMU_REGISTER(IOMMU_STATUS) = STATUS_EVENT;
	EQ(IOMMU_REGISTER(IOMMU_STATUS) & STATUS_EVENT, 0);
}
/* Ones clear; zeros leave the other bits alone. */
TEST("iommu.log.status_zeros_change_nothing")
{
	provoke();
	IOMMU_REGISTER(IOMMU_STATUS) = 0;
	TRUE(IOMMU_REGISTER(IOMMU_STATUS) & STATUS_EVENT);
}
TEST("iommu.log.off")
{
	u64 pa = owned(BEFORE, GUEST(1, 0x1000));

	device_fill(SECRET);
	IOMMU_REGISTER(IOMMU_CONTROL) &= ~CONTROL_LOG;
	device_write(pa, DEVICE_BYTES);
	IOMMU_REGISTER(IOMMU_CONTROL) |= CONTROL_LOG;
	TRUE(all_bytes((void *)pa, BEFORE, PAGE));
	nothing_logged();
}
/* One entry stays free, or a full log would look like an empty one. */
TEST("iommu.log.full")
{
	struct iommu_event last;
	u64 pa = owned(BEFORE, GUEST(1, 0x1000)), tail = 9 * sizeof(last);

	iommu_clear_log(9);
	IOMMU_REGISTER(IOMMU_LOG_HEAD) = tail + sizeof(last);
	memcpy(&last, (void *)(iommu_log() + tail), sizeof(last));
	EQ(IOMMU_REGISTER(IOMMU_STATUS) & STATUS_OVERFLOW, 0);
	device_write(pa, 4);
	TRUE(IOMMU_REGISTER(IOMMU_STATUS) & STATUS_OVERFLOW);
	EQ(IOMMU_REGISTER(IOMMU_LOG_TAIL), tail);
	OK(memcmp(&last, (void *)(iommu_log() + tail), sizeof(last)));
	EQ(rd8(pa), BEFORE);
	/* Nothing more is logged until software has taken notice. */
	iommu_clear_log(0);
	device_write(pa, 4);
	nothing_logged();
	IOMMU_REGISTER(IOMMU_CONTROL) &= ~CONTROL_LOG;
	IOMMU_REGISTER(IOMMU_STATUS) = STATUS_OVERFLOW;
	IOMMU_REGISTER(IOMMU_CONTROL) |= CONTROL_LOG;
	device_write(pa, 4);
	logged(pa, EVENT_WRITE);
}

/* SNP_INIT_EX takes the pages that the IOMMU writes: SEV-SNP Firmware ABI (56860). */
TEST("iommu.snp_init.log_is_firmwares")
{
	ready();
	psp_snp_init();
	EQ(rmp(iommu_log()).assigned, 1);
	EQ(rmp(iommu_log()).immutable, 1);
	FAULTS(wr8(iommu_log(), 0), PF, PF_P | PF_W | PF_RMP);
}
TEST("iommu.snp_init.log_goes_on") { write_is_blocked(owned(BEFORE, GUEST(1, 0x1000))); }
TEST("iommu.snp_init.log_is_not_for_devices")
{
	u64 log;

	ready();
	log = iommu_log();
	device_fill(SECRET);
	device_write(log + PAGE / 2, DEVICE_BYTES);
	TRUE(!all_bytes((void *)(log + PAGE / 2), SECRET, DEVICE_BYTES));
	logged(log, EVENT_WRITE);
}
TEST("iommu.snp_init.table_is_not_for_devices")
{
	struct rmp_entry before;

	ready();
	before = rmp(0);
	device_fill(0xff);
	device_write((u64)rmp_address(0), DEVICE_BYTES);
	EQ(memcmp(&before, (void *)rmp_address(0), sizeof(before)), 0);
	logged((u64)rmp_address(0), EVENT_WRITE);
}
