// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a reset leaves of what a host did: nothing, as firmware runs again. APM
 * volume 2, 14.1.3 and 15.36.4. The battery-backed memory of the clock tells
 * how often the machine was reset, and what the first boot found.
 */
#include "snp.h"

#define BOOTS		0x70
#define FOUND		0x71
#define BOOT(n)		(0xa0 + (n))

static u8 cmos(u8 index)
{
	outb(0x70, index);
	return inb(0x71);
}
static void set_cmos(u8 index, u8 value)
{
	outb(0x70, index);
	outb(0x71, value);
}

/* RMP_BASE and RMP_END, of which the lowest 13 bits are given */
static u32 found(int i)
{
	u32 value = 0;

	for (int byte = 0; byte < 4; byte++)
		value |= (u32)cmos(FOUND + 4 * i + byte) << 8 * byte;
	return value;
}
static void note(int i, u64 value)
{
	for (int byte = 0; byte < 4; byte++)
		set_cmos(FOUND + 4 * i + byte, value >> 13 >> 8 * byte);
}

static void reset(int boots)
{
	set_cmos(BOOTS, BOOT(boots));
	outb(0xcf9, 0x02);
	outb(0xcf9, 0x06);
	for (u64 start = rdtsc(); rdtsc() - start < 10 * GIGA;)
		pause();
	fail("the machine does not reset");
}

/* The tests' own words are for the first processor to say. */
static void look(void *registers)
{
	u64 *r = registers;

	r[0] = rdmsr(RMP_BASE);
	r[1] = rdmsr(RMP_END);
	r[2] = rdmsr(SYSCFG);
}
static void as_firmware_left_it(void)
{
	static u64 r[2][3];

	look(r[0]);
	ap_run(look, r[1]);
	ap_wait();
	for (int i = 0; i < 2; i++) {
		EQ(r[i][0] >> 13, found(0));
		EQ(r[i][1] >> 13, found(1));
		EQ(r[i][2] & (SYSCFG_MEM_ENC | SYSCFG_SNP_EN | SYSCFG_VMPL_EN), SYSCFG_MEM_ENC);
	}
}

static void move_table(void *unused)
{
	(void)unused;
	wrmsr(RMP_BASE, rdmsr(RMP_BASE) + 0x100000);
}
static void on_both(void (*fn)(void *))
{
	ap_run(fn, NULL);
	ap_wait();
	fn(NULL);
}
TEST("reset.table_was_moved")
{
	if (cmos(BOOTS) != BOOT(1) && cmos(BOOTS) != BOOT(2)) {
		note(0, rmp_base());
		note(1, rmp_end());
		on_both(move_table);
		reset(1);
	}
	as_firmware_left_it();
}
/* And with it, where firmware did not put the table */
TEST("reset.snp_was_on")
{
	u64 pa = alloc_page();

	if (cmos(BOOTS) == BOOT(1)) {
		on_both(move_table);
		snp_enable();
		OK(rmpupdate(pa, GUEST(1, 0x1000)));
		FAULTS(wr8(pa, 0), PF, PF_P | PF_W | PF_RMP);
		reset(2);
	}
	as_firmware_left_it();
	/* Memory is the host's, the table's too, and SNP can be enabled again. */
	RUNS(wr8(pa, 1));
	RUNS(wr64(rmp_base(), 0));
	snp_enable();
	OK(rmpupdate(pa, GUEST(1, 0x1000)));
	EQ(rmp(pa).assigned, 1);
	FAULTS(wr8(pa, 0), PF, PF_P | PF_W | PF_RMP);
}
