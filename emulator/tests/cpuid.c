// SPDX-License-Identifier: GPL-2.0-or-later
/* What the processor says of itself. APM volume 3, appendix E, Fn8000_001F; PPRs of family 19h. */
#include "lib.h"

static bool feature(int bit)
{
	return cpuid(0x8000001f).eax & BIT(bit);
}

static u32 family(void)
{
	u32 eax = cpuid(1).eax;

	return (eax >> 8 & 15) + (eax >> 20 & 255);
}

static u32 model(void)
{
	u32 eax = cpuid(1).eax;

	return (eax >> 4 & 15) | (eax >> 12 & 0xf0);
}

TEST("cpuid.vendor") { EQ(cpuid(0).ebx, 0x68747541); }
TEST("cpuid.family_19h") { EQ(family(), 0x19); }
/* Zen 3 servers are models 00h-0Fh, Zen 4 ones 10h-1Fh and A0h-AFh */
TEST("cpuid.model_zen3_or_zen4") { TRUE(model() < 0x20 || model() >> 4 == 0xa); }
TEST("cpuid.no_hypervisor_bit") { EQ(cpuid(1).ecx >> 31, 0); }
TEST("cpuid.max_leaf") { TRUE(cpuid(0x80000000).eax >= 0x8000001f); }
TEST("cpuid.svm") { TRUE(cpuid(0x80000001).ecx & BIT(2)); }
TEST("cpuid.svm.nested_paging") { TRUE(cpuid(0x8000000a).edx & BIT(0)); }
TEST("cpuid.sme") { TRUE(feature(0)); }
TEST("cpuid.sev") { TRUE(feature(1)); }
TEST("cpuid.vm_page_flush") { TRUE(feature(2)); }
TEST("cpuid.sev_es") { TRUE(feature(3)); }
TEST("cpuid.sev_snp") { TRUE(feature(4)); }
TEST("cpuid.vmpl") { TRUE(feature(5)); }
TEST("cpuid.rmpquery") { TRUE(feature(6)); }
TEST("cpuid.c_bit_is_51") { EQ(cpuid(0x8000001f).ebx & 63, 51); }
TEST("cpuid.5_bits_less") { EQ(cpuid(0x8000001f).ebx >> 6 & 63, 5); }
TEST("cpuid.4_vmpls") { EQ(cpuid(0x8000001f).ebx >> 12 & 15, 4); }
TEST("cpuid.asids") { TRUE(cpuid(0x8000001f).ecx > 1); }
/* ASIDs below EDX are for guests with an encrypted register state */
TEST("cpuid.asids_of_sev_es") { u32 min = cpuid(0x8000001f).edx; TRUE(min > 1 && min <= cpuid(0x8000001f).ecx + 1); }
/* The C-bit lies above what is left of the address, within the 52 bits of a page table entry */
TEST("cpuid.c_bit_above_addresses")
{
	TRUE((cpuid(0x80000008).eax & 255) <= 51);
}
TEST("cpuid.same_on_both")
{
	static struct regs there[3];
	static const u32 leaf[] = { 1, 0x80000008, 0x8000001f };

	void ask(void *unused)
	{
		(void)unused;
		for (int i = 0; i < 3; i++)
			there[i] = cpuid(leaf[i]);
	}
	ap_run(ask, NULL);
	ap_wait();
	for (int i = 0; i < 3; i++) {
		EQ(there[i].eax, cpuid(leaf[i]).eax);
		EQ(there[i].edx, cpuid(leaf[i]).edx);
	}
}
