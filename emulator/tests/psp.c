// SPDX-License-Identifier: GPL-2.0-or-later
#include "psp.h"

#define COMMAND		0x10980
#define ADDRESS_LOW	0x109e0
#define ADDRESS_HIGH	0x109e4
#define RESPONSE	BIT(31)
#define PATIENCE	(10 * GIGA)

/*
 * SNP wants every device translated. Device table entries of zeros let devices
 * pass; with the event log off, firmware has none of the IOMMU's pages to take.
 */
#define IOMMU_CONTROL	(*(volatile u64 *)0xfed80018)

void iommu_enable(void)
{
	IOMMU_CONTROL |= 1;
}

void iommu_disable(void)
{
	IOMMU_CONTROL &= ~1UL;
}

/* After SNP_INIT, pages that the old commands write must be firmware's. */
static bool snp_initialized, sev_initialized;

static u32 find(void)
{
	u32 f = pci_find(0x1022, 0x1486);

	return f == NO_FUNCTION ? pci_find(0x1022, 0x14ca) : f;
}

bool psp_present(void)
{
	return find() != NO_FUNCTION;
}

volatile u32 *psp_register(u32 offset)
{
	static u64 bar;

	if (!bar) {
		u32 f = find();

		if (f == NO_FUNCTION)
			fail("there is no secure processor on the PCI bus");
		bar = pci_enable(f, 2);
	}
	return (volatile u32 *)(bar + offset);
}

static u32 submit(u32 command, u64 buffer)
{
	u64 start = rdtsc();
	u32 r;

	*psp_register(ADDRESS_LOW) = buffer;
	*psp_register(ADDRESS_HIGH) = buffer >> 32;
	*psp_register(COMMAND) = command << 16;
	while (!((r = *psp_register(COMMAND)) & RESPONSE)) {
		if (rdtsc() - start > PATIENCE)
			fail("the secure processor does not answer command %x", command);
		pause();
	}
	return r & 0xffff;
}

u32 reclaim(u64 pa)
{
	static u64 buffer;

	if (!buffer)
		buffer = alloc_page();
	wr64(buffer, pa);
	return submit(SNP_PAGE_RECLAIM, buffer);
}

void reclaimed(u64 pa)
{
	u32 r = reclaim(pa);

	if (r)
		fail("SNP_PAGE_RECLAIM of %lx: %x", pa, r);
	r = rmpupdate(pa & -PAGE, pa & 1 ? HYPERVISOR_2M : HYPERVISOR);
	if (r)
		fail("RMPUPDATE of the reclaimed %lx: %x", pa, r);
}

u64 firmware_page(void)
{
	u64 pa = alloc_page();
	u32 r = rmpupdate(pa, FIRMWARE);

	if (r)
		fail("RMPUPDATE to a firmware page: %x", r);
	return pa;
}

u32 psp_command(u32 command, void *data, size_t size)
{
	static u64 buffer;
	bool old = snp_initialized && command < SNP_INIT;
	u32 status;

	if (!buffer)
		buffer = alloc_page();
	memcpy((void *)buffer, data, size);
	if (old && rmpupdate(buffer, FIRMWARE))
		fail("the command buffer cannot be made firmware's");
	status = submit(command, size ? buffer : 0);
	if (old)
		reclaimed(buffer);
	memcpy(data, (void *)buffer, size);
	return status;
}

u32 psp_sev_update(u32 command, struct sev_update *update)
{
	u64 page = update->address & -PAGE;
	u32 status;

	if (snp_initialized && rmpupdate(page, FIRMWARE))
		fail("the page %lx cannot be made firmware's", page);
	status = psp_command(command, update, sizeof(*update));
	if (snp_initialized)
		reclaimed(page);
	return status;
}

void psp_snp_init(void)
{
	struct snp_init_ex init = { .init_rmp = 1 };
	u32 r;

	if (snp_initialized)
		return;
	snp_enable();
	iommu_enable();
	r = psp_command(SNP_INIT_EX, &init, sizeof(init));
	if (r)
		fail("SNP_INIT_EX: %x", r);
	asm volatile("wbinvd" ::: "memory");
	r = psp_command(SNP_DF_FLUSH, NULL, 0);
	if (r)
		fail("SNP_DF_FLUSH: %x", r);
	snp_initialized = true;
}

void psp_sev_init(void)
{
	struct sev_init init = { .flags = 1, .tmr = alloc_large(), .tmr_length = 1 << 20 };
	u32 r;

	if (sev_initialized)
		return;
	/* With SNP, the trusted memory region is the firmware's, 2 MiB of it. */
	if (snp_initialized) {
		init.tmr_length = LARGE;
		for (u64 pa = init.tmr; pa < init.tmr + LARGE; pa += PAGE)
			if (rmpupdate(pa, FIRMWARE))
				fail("RMPUPDATE of the trusted memory region");
	}
	r = psp_command(SEV_INIT, &init, sizeof(init));
	if (r)
		fail("INIT: %x", r);
	/* ASIDs can be activated once the caches know nothing of them. */
	asm volatile("wbinvd" ::: "memory");
	r = psp_command(SEV_DF_FLUSH, NULL, 0);
	if (r)
		fail("DF_FLUSH: %x", r);
	sev_initialized = true;
}
