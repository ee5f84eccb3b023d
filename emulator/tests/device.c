// SPDX-License-Identifier: GPL-2.0-or-later
#include "device.h"

#define DMA_SOURCE	0x80
#define DMA_TARGET	0x88
#define DMA_COUNT	0x90
#define DMA_COMMAND	0x98
#define DMA_START	BIT(0)
#define DMA_TO_MEMORY	BIT(1)
/* Where the device has its bytes */
#define INSIDE		0x40000
#define PATIENCE	(10 * GIGA)

/* The device */

u32 device_function(void)
{
	static u32 function = NO_FUNCTION;

	if (function == NO_FUNCTION)
		function = pci_find(0x1234, 0x11e8);
	if (function == NO_FUNCTION)
		fail("there is no device on the PCI bus that could be told to access memory");
	return function;
}

static void transfer(u64 source, u64 target, u32 size, u64 command)
{
	static u64 base;
	u64 start = rdtsc();

	if (!base)
		base = pci_enable(device_function(), 0);
	wr32(base + DMA_SOURCE, source);
	wr32(base + DMA_TARGET, target);
	wr32(base + DMA_COUNT, size);
	wr32(base + DMA_COMMAND, command | DMA_START);
	while (rd32(base + DMA_COMMAND) & DMA_START) {
		if (rdtsc() - start > PATIENCE)
			fail("the device does not come to an end");
		pause();
	}
}

void device_read(u64 address, u32 size)
{
	transfer(address, INSIDE, size, 0);
}

void device_write(u64 address, u32 size)
{
	transfer(INSIDE, address, size, DMA_TO_MEMORY);
}

static u64 exchange(void)
{
	static u64 page;

	if (!page)
		page = alloc_page();
	return page;
}

void device_set(const void *bytes, u32 size)
{
	memcpy((void *)exchange(), bytes, size);
	device_read(exchange(), size);
}

void device_get(void *bytes, u32 size)
{
	memset((void *)exchange(), 0, size);
	device_write(exchange(), size);
	memcpy(bytes, (void *)exchange(), size);
}

void device_fill(u8 byte)
{
	u8 bytes[DEVICE_BYTES];

	memset(bytes, byte, sizeof(bytes));
	device_set(bytes, sizeof(bytes));
}

bool device_holds(u8 byte)
{
	u8 bytes[DEVICE_BYTES];

	device_get(bytes, sizeof(bytes));
	return all_bytes(bytes, byte, sizeof(bytes));
}

/* The IOMMU */

#define TABLE_ENTRY	32
#define DTE_VALID	BIT(0)
#define DTE_TRANSLATE	BIT(1)
#define DTE_LEVELS(n)	((u64)(n) << 9)
#define DTE_RW		(BIT(61) | BIT(62))

static u64 table, event_log;

void iommu_start(void)
{
	if (table)
		return;
	/* All 65536 functions; entries of zeros translate nothing */
	table = alloc_large();
	event_log = alloc_page();
	IOMMU_REGISTER(IOMMU_DEVICE_TABLE) = table | (LARGE / PAGE - 1);
	/* The length is 2 to the power of this, in entries. */
	IOMMU_REGISTER(IOMMU_LOG_BASE) = event_log | 8UL << 56;
	iommu_clear_log(0);
	IOMMU_REGISTER(IOMMU_CONTROL) |= CONTROL_ENABLE | CONTROL_LOG;
}

u64 iommu_log(void)
{
	return event_log;
}

void iommu_clear_log(u32 entry)
{
	IOMMU_REGISTER(IOMMU_LOG_HEAD) = entry * sizeof(struct iommu_event);
	IOMMU_REGISTER(IOMMU_LOG_TAIL) = entry * sizeof(struct iommu_event);
}

bool iommu_event(struct iommu_event *event)
{
	u64 head = IOMMU_REGISTER(IOMMU_LOG_HEAD);

	if (head == IOMMU_REGISTER(IOMMU_LOG_TAIL))
		return false;
	memcpy(event, (void *)(event_log + head), sizeof(*event));
	IOMMU_REGISTER(IOMMU_LOG_HEAD) = (head + sizeof(*event)) % (LOG_ENTRIES * sizeof(*event));
	return true;
}

void iommu_translate(u64 io_table)
{
	u64 entry = table + device_function() * TABLE_ENTRY;

	wr64(entry, io_table ? io_table | DTE_VALID | DTE_TRANSLATE | DTE_LEVELS(1) | DTE_RW : 0);
}
