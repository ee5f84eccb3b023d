/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device that reads and writes memory as it is told, QEMU's "edu", and the
 * IOMMU before it. AMD I/O Virtualization Technology specification (48882).
 */
#ifndef DEVICE_H
#define DEVICE_H

#include "snp.h"

/* Bus, device and function, by which the IOMMU knows it */
u32 device_function(void);

/* Up to 64 bytes from an address into the device, or from the device to there */
void device_read(u64 address, u32 size);
void device_write(u64 address, u32 size);
/* The device's bytes, got and set by way of a page of the host's */
void device_set(const void *bytes, u32 size);
void device_get(void *bytes, u32 size);
void device_fill(u8 byte);
bool device_holds(u8 byte);
#define DEVICE_BYTES	64

#define IOMMU_DEVICE_TABLE	0x0000
#define IOMMU_LOG_BASE		0x0010
#define IOMMU_CONTROL		0x0018
#define IOMMU_FEATURES		0x0030
#define IOMMU_LOG_HEAD		0x2010
#define IOMMU_LOG_TAIL		0x2018
#define IOMMU_STATUS		0x2020

#define IOMMU_REGISTER(offset)	(*(volatile u64 *)(0xfed80000UL + (offset)))

#define CONTROL_ENABLE		BIT(0)
#define CONTROL_LOG		BIT(2)
#define STATUS_OVERFLOW		BIT(0)
#define STATUS_EVENT		BIT(1)
#define FEATURE_SNP		BIT(63)

struct iommu_event {
	u64 what, address;
};

#define EVENT_CODE(what)	((what) >> 60)
#define EVENT_WRITE		BIT(53)
#define EVENT_DEVICE(what)	((what) & 0xffff)
#define RMP_PAGE_FAULT		0xd

#define LOG_ENTRIES		256

/* On, with a device table that lets every device pass, and a log */
void iommu_start(void);
u64 iommu_log(void);
/* The oldest event that nobody has read; false if there is none */
bool iommu_event(struct iommu_event *event);
/* Nothing is in the log, and it goes on from this entry. */
void iommu_clear_log(u32 entry);
/* The device's addresses below 2 MiB go where this table says; 0 for no translation */
void iommu_translate(u64 table);

#define IOPTE(pa)		((pa) | BIT(0) | BIT(61) | BIT(62))

#endif
