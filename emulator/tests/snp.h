/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reverse map table: registers, instructions, entries. APM volume 2, 15.36; volume 3. */
#ifndef SNP_H
#define SNP_H

#include "lib.h"

#define SYSCFG			0xc0010010
#define SYSCFG_MFDM		BIT(19)
#define SYSCFG_MEM_ENC		BIT(23)
#define SYSCFG_SNP_EN		BIT(24)
#define SYSCFG_VMPL_EN		BIT(25)
#define HWCR			0xc0010015
#define HWCR_SMMLOCK		BIT(0)
#define VM_PAGE_FLUSH		0xc001011e
#define GHCB_MSR		0xc0010130
#define SEV_STATUS		0xc0010131
#define RMP_BASE		0xc0010132
#define RMP_END			0xc0010133

#define RMP_BOOKKEEPING		0x4000UL

/* What the instructions leave in EAX */
enum {
	DONE = 0,
	FAIL_INPUT = 1,
	FAIL_PERMISSION = 2,
	FAIL_INUSE = 3,
	FAIL_OVERLAP = 4,
	FAIL_SIZEMISMATCH = 6,
	FAIL_BADADDR = 7,
};

/* RMPUPDATE's argument, RMPREAD's result */
struct PACKED rmp_state {
	u64 gpa;
	u8 assigned, large, immutable, reserved;
	u32 asid;
};

#define STATE(...)	((struct rmp_state){ __VA_ARGS__ })
#define HYPERVISOR	STATE(0)
#define HYPERVISOR_2M	STATE(.large = 1)
#define FIRMWARE	STATE(.assigned = 1, .immutable = 1)
#define GUEST(id, at)	STATE(.assigned = 1, .asid = (id), .gpa = (at))
#define GUEST_2M(id, at) STATE(.assigned = 1, .large = 1, .asid = (id), .gpa = (at))

/* An entry in memory, as the PPR of family 19h has it */
struct rmp_entry {
	u64 assigned:1, large:1, immutable:1, :9, gfn:39, asid:10, vmsa:1, validated:1, :1;
	u64 high;
};

/* SNP_EN and VMPL_EN on both processors, over a table of zeros; once */
void snp_enable(void);

u64 rmp_base(void);
u64 rmp_end(void);
/* The first address that the table has no entry for */
u64 rmp_limit(void);
volatile struct rmp_entry *rmp_address(u64 pa);
struct rmp_entry rmp(u64 pa);

/* RFLAGS after the last of these instructions on this processor */
extern u64 rmp_flags;

u32 rmpupdate_at(u64 pa, const struct rmp_state *state);
u32 rmpupdate(u64 pa, struct rmp_state state);
u32 psmash(u64 pa);
u32 rmpread(u64 pa, struct rmp_state *state);
bool has_rmpread(void);

/* The same outside 64-bit mode, for page 0 */
void compat_call(void (*fn)(void));
void compat_rmpupdate(void);
void compat_psmash(void);

#endif
