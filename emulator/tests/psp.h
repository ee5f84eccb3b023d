/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The secure processor: its mailbox and commands. SEV API (55766), SEV-SNP Firmware ABI (56860). */
#ifndef PSP_H
#define PSP_H

#include "snp.h"

enum {
	SEV_INIT = 0x01, SEV_SHUTDOWN = 0x02, SEV_PLATFORM_STATUS = 0x04, SEV_DF_FLUSH = 0x0a,
	SEV_DECOMMISSION = 0x20, SEV_ACTIVATE = 0x21, SEV_DEACTIVATE = 0x22, SEV_GUEST_STATUS = 0x23,
	SEV_LAUNCH_START = 0x30, SEV_LAUNCH_UPDATE_DATA = 0x31, SEV_LAUNCH_UPDATE_VMSA = 0x32,
	SEV_LAUNCH_MEASURE = 0x33, SEV_LAUNCH_FINISH = 0x35,
	SNP_INIT = 0x81, SNP_PLATFORM_STATUS = 0x83, SNP_DF_FLUSH = 0x84, SNP_INIT_EX = 0x85, SNP_SHUTDOWN_EX = 0x86,
	SNP_DECOMMISSION = 0x90, SNP_ACTIVATE = 0x91, SNP_GUEST_STATUS = 0x92, SNP_GCTX_CREATE = 0x93,
	SNP_GUEST_REQUEST = 0x94,
	SNP_LAUNCH_START = 0xa0, SNP_LAUNCH_UPDATE = 0xa1, SNP_LAUNCH_FINISH = 0xa2,
	SNP_DBG_DECRYPT = 0xb0, SNP_DBG_ENCRYPT = 0xb1,
	SNP_PAGE_MOVE = 0xc2, SNP_PAGE_MD_INIT = 0xc3, SNP_PAGE_SET_STATE = 0xc6, SNP_PAGE_RECLAIM = 0xc7,
	SNP_PAGE_UNSMASH = 0xc8, SNP_CONFIG = 0xc9, SNP_COMMIT = 0xcb,
};

enum {
	SUCCESS = 0, INVALID_PLATFORM_STATE = 1, INVALID_GUEST_STATE = 2, INVALID_CONFIG = 3, INVALID_LEN = 4,
	POLICY_FAILURE = 7, INACTIVE = 8, INVALID_ADDRESS = 9, BAD_SIGNATURE = 10, BAD_MEASUREMENT = 11,
	ASID_OWNED = 12, INVALID_ASID = 13, WBINVD_REQUIRED = 14, DFFLUSH_REQUIRED = 15, INVALID_GUEST = 16,
	INVALID_COMMAND = 17, ACTIVE = 18, UNSUPPORTED = 21, INVALID_PARAM = 22, RESOURCE_LIMIT = 23,
	INVALID_PAGE_SIZE = 0x19, INVALID_PAGE_STATE = 0x1a, INVALID_MDATA_ENTRY = 0x1b, INVALID_PAGE_OWNER = 0x1c,
	AEAD_OFLOW = 0x1d, RMP_INIT_REQUIRED = 0x20,
};

enum { PAGE_NORMAL = 1, PAGE_VMSA = 2, PAGE_ZERO = 3, PAGE_UNMEASURED = 4, PAGE_SECRETS = 5, PAGE_CPUID = 6 };

struct PACKED sev_status {
	u8 major, minor, state;
	u32 flags;
	u8 build;
	u32 guests;
};

struct PACKED snp_status {
	u8 major, minor, state, rmp_initialized;
	u32 build, mask, guests;
	u64 current_tcb, reported_tcb;
};

struct PACKED snp_init_ex {
	u32 init_rmp:1, list_en:1, :30;
	u32 reserved1;
	u64 list;
	u8 reserved2[48];
};

struct PACKED snp_address { u64 address; };
struct PACKED snp_activate { u64 gctx; u32 asid; };
struct PACKED snp_guest_request { u64 gctx, request, response; };
struct PACKED snp_guest_status { u64 gctx, address; };
struct PACKED snp_dbg { u64 gctx, source, target; };

struct PACKED snp_launch_start {
	u64 gctx, policy, ma_gctx;
	u32 flags, tsc_khz;
	u8 gosvw[16];
};

struct PACKED snp_launch_update {
	u64 gctx;
	u32 large:1, type:3, imi:1, :27;
	u32 reserved2;
	u64 address;
	u8 reserved3, vmpl1, vmpl2, vmpl3;
	u32 reserved4;
};

struct PACKED snp_launch_finish {
	u64 gctx, id_block, id_auth;
	u64 flags;
	u8 host_data[32];
};

struct PACKED snp_page_move { u64 gctx; u32 large; u32 reserved; u64 source, target; };

/* SMT is allowed; bit 17 must be set */
#define POLICY		0x30000UL
#define POLICY_DEBUG	BIT(19)

struct PACKED sev_init { u32 flags, reserved; u64 tmr; u32 tmr_length; };
struct PACKED sev_start { u32 handle, policy; u64 dh; u32 dh_length, reserved; u64 session; u32 session_length; };
struct PACKED sev_activate { u32 handle, asid; };
struct PACKED sev_update { u32 handle, reserved; u64 address; u32 length; };
struct PACKED sev_handle { u32 handle; };
struct PACKED sev_guest_status { u32 handle, policy, asid; u8 state; };

/* One command, whose buffer is copied to a page of its own and back; the answer is the status. */
u32 psp_command(u32 command, void *buffer, size_t size);

bool psp_present(void);
/* Its registers */
volatile u32 *psp_register(u32 offset);

/* Turns SNP on, and INIT_EX; once. HSAVE areas must not be set before. */
void psp_snp_init(void);
/* INIT of the old commands, too, with encrypted register states */
void psp_sev_init(void);

/*
 * One of the old commands that work on a page: LAUNCH_UPDATE_*, LAUNCH_MEASURE.
 * After SNP_INIT_EX the page must be the firmware's meanwhile.
 */
u32 psp_sev_update(u32 command, struct sev_update *update);

/* Makes pages the firmware's, and gets them back */
u64 firmware_page(void);
u32 reclaim(u64 pa);
void reclaimed(u64 pa);

/* SNP_INIT_EX needs the IOMMU on. */
void iommu_enable(void);
void iommu_disable(void);

#endif
