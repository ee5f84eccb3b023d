// SPDX-License-Identifier: GPL-2.0-or-later
/* Strict mode and what a device does: AMD I/O Virtualization Technology specification (48882) */
#include "device.h"
#include "strict.h"

TEST("strict.device.writes_hosts_page")
{
	u64 pa = alloc_page();

	snp_enable();
	iommu_start();
	device_fill(0x5a);
	device_write(pa, DEVICE_BYTES);
	TRUE(all_bytes((void *)pa, 0x5a, DEVICE_BYTES));
}
TEST("strict.device.writes_page_given_back")
{
	u64 pa = alloc_page();

	OK(rmpupdate(pa, GUEST(1, 0x1000)));
	OK(rmpupdate(pa, HYPERVISOR));
	device_write(pa, DEVICE_BYTES);
	TRUE(all_bytes((void *)pa, 0x5a, DEVICE_BYTES));
}
TEST("strict.device.writes_guest_page")
{
	u64 pa = alloc_page();

	OK(rmpupdate(pa, GUEST(1, 0x1000)));
	ENDS(device_write(pa, DEVICE_BYTES), "strict: device writes %lx: assigned", pa);
}
