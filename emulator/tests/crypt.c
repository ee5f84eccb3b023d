// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is seen of a page by who has not its key. APM volume 2, 7.10 and 15.34.
 *
 * The emulator's cipher is not AES; what software can observe of one holds:
 * other bytes, that depend on the key, the address and the plaintext, and that
 * the same key at the same address turns back.
 */
#include "vm.h"

#define PATTERN		0x5a

static volatile u8 *encrypted(u64 pa)
{
	return window(pa, 0, PTE_RWU | PTE_C);
}

/* A page as it is in memory, kept aside */
static u8 *copy_of(u64 pa)
{
	return memcpy((void *)alloc_page(), (void *)pa, PAGE);
}

/* How many of these bytes are this one? A good scramble leaves some sixteen of a page. */
static u32 count(const u8 *p, u8 byte)
{
	u32 n = 0;

	for (u64 i = 0; i < PAGE; i++)
		n += p[i] == byte;
	return n;
}
static bool scrambled(const u8 *p)
{
	return count(p, PATTERN) < 64;
}

/* A page of this guest's, full of the pattern; where it is */
static u64 written(struct vp *vp, u64 gpa)
{
	u64 pa = vm_private(vp, gpa);

	DO(vp, G_FILL, gpa, PATTERN, PAGE);
	return pa;
}

/* The host's own key */
TEST("crypt.sme.back_and_forth")
{
	u64 p = alloc_page();
	volatile u8 *c = encrypted(p);

	wr64(c, 0x1122334455667788);
	EQ(rd64(c), 0x1122334455667788);
	NE(rd64(p), 0x1122334455667788);
}
TEST("crypt.sme.plaintext_looks_encrypted")
{
	u64 p = alloc_page();
	volatile u8 *c = encrypted(p);

	memset((void *)p, PATTERN, PAGE);
	TRUE(scrambled((const u8 *)c));
	TRUE(all_bytes((void *)p, PATTERN, PAGE));
}
TEST("crypt.sme.differs_per_address")
{
	u64 p = alloc_page(), q = alloc_page();

	memset((void *)encrypted(p), PATTERN, PAGE);
	memset((void *)encrypted(q), PATTERN, PAGE);
	NE(memcmp((void *)p, (void *)q, PAGE), 0);
	NE(memcmp((void *)p, (void *)(p + 16), 16), 0);
}
TEST("crypt.sme.bytes_and_words")
{
	u64 p = alloc_page();
	volatile u8 *c = encrypted(p);

	for (u64 i = 0; i < 256; i++)
		wr8(c + i, i);
	for (u64 i = 0; i < 256; i += 8)
		EQ(rd64(c + i), 0x0706050403020100 + i * 0x0101010101010101);
	EQ(rd32(c + 0x41), 0x44434241);
}
TEST("crypt.sme.large_mapping")
{
	u64 p = alloc_large();
	volatile u8 *c = window(p, 1, PTE_RWU | PTE_C);

	wr64(c + 0x12345, 0x1122334455667788);
	EQ(rd64(encrypted(p + 0x12000) + 0x345), 0x1122334455667788);
	NE(rd64(p + 0x12345), 0x1122334455667788);
}
/* In-place, as Linux does: read one way, write the other */
TEST("crypt.sme.in_place")
{
	u64 p = alloc_page();
	volatile u8 *c = encrypted(p);

	memset((void *)p, PATTERN, PAGE);
	memcpy((void *)c, copy_of(p), PAGE);
	TRUE(all_bytes(c, PATTERN, PAGE));
	TRUE(scrambled((u8 *)p));
}
TEST("crypt.sme.locked_operation")
{
	volatile u8 *c = encrypted(alloc_page());

	wr64(c, 41);
	asm volatile("lock incq (%0)" :: "r"(c) : "memory");
	EQ(rd64(c), 42);
}
TEST("crypt.sme.page_table")
{
	/* Tables may be encrypted: here one of the host's, with the C-bit in the entry above */
	u64 table = alloc_page(), target = alloc_page(), va = 0x700000000000;
	volatile u8 *c = encrypted(table);

	for (int i = 0; i < 512; i++)
		wr64(c + 8 * i, target | PTE_RWU);
	map_table(va, table, PTE_RWU | PTE_C);
	wr64(target, 0xabcd);
	EQ(rd64(va), 0xabcd);
}

/* A guest's key. Firmware wants SNP_INIT_EX before INIT. */
TEST("crypt.sev.init") { psp_snp_init(); psp_sev_init(); }
TEST("crypt.sev.host_sees_other_bytes") { TRUE(scrambled((u8 *)written(vm_start(SEV), G_TEST))); }
TEST("crypt.sev.guest_sees_its_own")
{
	struct vp *vp = vm_start(SEV);

	written(vp, G_TEST);
	DO(vp, G_COPY, G_EXCHANGE, G_TEST, PAGE);
	TRUE(all_bytes((void *)vm_spa(vp->vm, G_EXCHANGE), PATTERN, PAGE));
}
TEST("crypt.sev.shared_page_is_plain")
{
	struct vp *vp = vm_start(SEV);
	u64 pa = vm_share(vp->vm, G_TEST);

	DO(vp, G_FILL, G_TEST_SHARED, PATTERN, PAGE);
	TRUE(all_bytes((void *)pa, PATTERN, PAGE));
	memset((void *)pa, 0x21, PAGE);
	EQ(DO(vp, G_READ, G_TEST_SHARED, 0, 0), 0x2121212121212121);
}
TEST("crypt.sev.guest_sees_its_page_scrambled_without_c_bit")
{
	struct vp *vp = vm_start(SEV);
	u64 pa = written(vp, G_TEST);

	DO(vp, G_COPY, G_EXCHANGE, G_TEST_SHARED, PAGE);
	OK(memcmp((void *)vm_spa(vp->vm, G_EXCHANGE), (void *)pa, PAGE));
	TRUE(scrambled((u8 *)pa));
}
TEST("crypt.sev.same_bytes_each_time")
{
	struct vp *vp = vm_start(SEV);
	u64 pa = written(vp, G_TEST);
	u8 *first = copy_of(pa);

	DO(vp, G_FILL, G_TEST, 0, PAGE);
	NE(memcmp((void *)pa, first, PAGE), 0);
	DO(vp, G_FILL, G_TEST, PATTERN, PAGE);
	OK(memcmp((void *)pa, first, PAGE));
}
TEST("crypt.sev.differs_per_address")
{
	struct vp *vp = vm_start(SEV);
	u64 p = written(vp, G_TEST), q = written(vp, G_TEST + PAGE);

	NE(memcmp((void *)p, (void *)q, PAGE), 0);
	NE(memcmp((void *)p, (void *)(p + 16), 16), 0);
}
TEST("crypt.sev.host_writes_garbage")
{
	struct vp *vp = vm_start(SEV);
	u64 pa = written(vp, G_TEST);

	memset((void *)pa, 0x33, PAGE);
	NE(DO(vp, G_READ, G_TEST, 0, 0), 0x3333333333333333);
	TRUE(all_bytes((void *)pa, 0x33, PAGE));
}
/* Without integrity protection what the guest once wrote can be put back … */
TEST("crypt.sev.replay_at_the_same_address")
{
	struct vp *vp = vm_start(SEV);
	u64 pa = written(vp, G_TEST);
	u8 *old = copy_of(pa);

	DO(vp, G_FILL, G_TEST, 0, PAGE);
	memcpy((void *)pa, old, PAGE);
	EQ(DO(vp, G_READ, G_TEST, 0, 0), 0x5a5a5a5a5a5a5a5a);
	EQ(DO(vp, G_READ, G_TEST + PAGE - 8, 0, 0), 0x5a5a5a5a5a5a5a5a);
}
/* … but not elsewhere */
TEST("crypt.sev.not_at_another_address")
{
	struct vp *vp = vm_start(SEV);
	u64 p = written(vp, G_TEST), q = written(vp, G_TEST + PAGE);

	memcpy((void *)q, copy_of(p), PAGE);
	NE(DO(vp, G_READ, G_TEST + PAGE, 0, 0), 0x5a5a5a5a5a5a5a5a);
}
TEST("crypt.sev.differs_per_guest")
{
	struct vp *a = vm_start(SEV), *b = vm_start(SEV_ES);
	u64 pa = written(a, G_TEST);
	u8 *of_a = copy_of(pa);

	vm_map(b->vm, G_TEST, pa, 0);
	NE(DO(b, G_READ, G_TEST, 0, 0), 0x5a5a5a5a5a5a5a5a);
	DO(b, G_FILL, G_TEST, PATTERN, PAGE);
	TRUE(scrambled((u8 *)pa));
	NE(memcmp((void *)pa, of_a, PAGE), 0);
	/* And what the first one now sees is not what the second one wrote */
	NE(DO(a, G_READ, G_TEST, 0, 0), 0x5a5a5a5a5a5a5a5a);
}
TEST("crypt.sev.hosts_key_is_another")
{
	struct vp *vp = vm_start(SEV);
	u64 pa = written(vp, G_TEST);

	TRUE(scrambled((u8 *)encrypted(pa)));
}
TEST("crypt.es.vmsa_is_not_readable")
{
	struct vp *vp = vm_start(SEV_ES);
	struct vmcb_save *s = (struct vmcb_save *)vp->vmsa;

	TRUE(s->rip < G_COMMANDS / 4 || s->rip > G_COMMANDS);
	NE(s->cr3, G_TABLES | PTE_C);
	NE(s->rdi, G_COMMANDS);
}

/* The same with the reverse map table: pages change hands. */
TEST("crypt.snp.host_sees_other_bytes") { TRUE(scrambled((u8 *)written(vm_start(SNP), G_TEST))); }
TEST("crypt.snp.guest_sees_its_own")
{
	struct vp *vp = vm_start(SNP);

	written(vp, G_TEST);
	DO(vp, G_COPY, G_EXCHANGE, G_TEST, PAGE);
	TRUE(all_bytes((void *)vm_spa(vp->vm, G_EXCHANGE), PATTERN, PAGE));
}
TEST("crypt.snp.other_bytes_after_given_back")
{
	u64 pa = written(vm_start(SNP), G_TEST);
	u8 *while_guests = copy_of(pa);

	OK(rmpupdate(pa, HYPERVISOR));
	TRUE(scrambled((u8 *)pa));
	OK(memcmp((void *)pa, while_guests, PAGE));
}
TEST("crypt.snp.large_page")
{
	struct vp *vp = vm_start(SNP);
	u64 pa = vm_give_large(vp->vm, G_LARGE);

	OK(DO(vp, G_PVALIDATE, G_LARGE, 1, 1));
	DO(vp, G_FILL, G_LARGE, PATTERN, LARGE);
	TRUE(scrambled((u8 *)pa));
	TRUE(scrambled((u8 *)(pa + LARGE - PAGE)));
	OK(rmpupdate(pa, HYPERVISOR_2M));
	TRUE(scrambled((u8 *)pa));
	TRUE(scrambled((u8 *)(pa + LARGE - PAGE)));
}
TEST("crypt.snp.hosts_bytes_do_not_get_in")
{
	struct vp *vp = vm_start(SNP);
	u64 pa = alloc_page();

	memset((void *)pa, PATTERN, PAGE);
	OK(rmpupdate(pa, GUEST(vp->vm->asid, G_TEST)));
	vm_map(vp->vm, G_TEST, pa, 0);
	OK(DO(vp, G_PVALIDATE, G_TEST, 0, 1));
	NE(DO(vp, G_READ, G_TEST, 0, 0), 0x5a5a5a5a5a5a5a5a);
	TRUE(all_bytes((void *)pa, PATTERN, PAGE));
}
TEST("crypt.snp.host_may_use_it_again")
{
	struct vp *vp = vm_start(SNP);
	u64 pa = written(vp, G_TEST);

	OK(rmpupdate(pa, HYPERVISOR));
	memset((void *)pa, 0x77, PAGE);
	TRUE(all_bytes((void *)pa, 0x77, PAGE));
	wr64(encrypted(pa), 0x1234);
	NE(rd64(pa), 0x1234);
}
TEST("crypt.snp.vmsa_is_not_readable")
{
	struct vmcb_save *s = (struct vmcb_save *)vm_start(SNP)->vmsa;

	NE(s->cr3, G_TABLES | PTE_C);
	NE(s->rdi, G_COMMANDS);
}
