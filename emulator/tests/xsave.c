// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * XSAVEC, and XRSTOR of what it writes: an SNP guest gets to know of this form
 * of the save area only. APM volume 2, 11.5; volume 4, XSAVEC and XRSTOR.
 */
#include "lib.h"

#define X87		BIT(0)
#define SSE		BIT(1)
#define AVX		BIT(2)
#define PKRU		BIT(9)
#define COMPACTED	BIT(63)

#define CR4_OSFXSR	BIT(9)
#define CR4_OSXMMEXCPT	BIT(10)
#define CR4_OSXSAVE	BIT(18)
#define CR4_PKE		BIT(22)

#define MXCSR_INITIAL	0x1f80
#define FCW_INITIAL	0x37f
#define UNTOUCHED	0xa5

static struct PACKED area {
	u16 fcw, fsw, ftw, fop;
	u64 rip, rdp;
	u32 mxcsr, mxcsr_mask;
	u8 st[8][16], xmm[16][16];
	u8 rest[96];
	u64 xstate_bv, xcomp_bv, reserved[6];
	u8 extended[4096 - 576];
} area __attribute__((aligned(64)));

_Static_assert(offsetof(struct area, xmm) == 160, "legacy area");
_Static_assert(offsetof(struct area, xstate_bv) == 512, "header");
_Static_assert(offsetof(struct area, extended) == 576, "header");

#define FOR_16(insn)							\
	".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t" insn "\n\t.endr"

static u64 cr4(void)
{
	u64 v;

	asm volatile("mov %%cr4, %0" : "=r"(v));
	return v;
}

static void set_cr4(u64 v)
{
	asm volatile("mov %0, %%cr4" :: "r"(v) : "memory");
}

static void set_xcr0(u64 v)
{
	asm volatile("xsetbv" :: "c"(0), "a"((u32)v), "d"((u32)(v >> 32)));
}

static bool has(u64 component)
{
	return cpuid_part(0xd, 0).eax & component;
}

/* What the tests know of */
static u64 components(void)
{
	return X87 | SSE | AVX | (has(PKRU) ? PKRU : 0);
}

static void enable(void)
{
	set_cr4(cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | (has(PKRU) ? CR4_PKE : 0));
	set_xcr0(components());
}

static void xsavec_at(void *p, u64 what)
{
	asm volatile("xsavec64 (%0)" :: "r"(p), "a"((u32)what), "d"((u32)(what >> 32)) : "memory");
}

static void xrstor_at(void *p, u64 what)
{
	asm volatile("xrstor64 (%0)" :: "r"(p), "a"((u32)what), "d"((u32)(what >> 32)) : "memory");
}

/* To an area that had nothing but UNTOUCHED in it */
static void xsavec(u64 what)
{
	memset(&area, UNTOUCHED, sizeof(area));
	xsavec_at(&area, what);
}

/* What XSAVEC leaves of the header is for software to clear. */
static void xrstor(u64 what)
{
	memset(area.reserved, 0, sizeof(area.reserved));
	xrstor_at(&area, what);
}

/* The registers: YMM0 to YMM15, MXCSR, control word and top of the x87 stack, PKRU */
struct values {
	u8 ymm[16][32];
	u32 mxcsr, pkru;
	u16 fcw;
	u8 st0[10];
};

static u8 pattern(u8 seed, u32 reg, u32 byte)
{
	return seed + reg * 32 + byte * 3;
}

static void set_values(u8 seed)
{
	u8 ymm[16][32];
	u32 mxcsr = MXCSR_INITIAL | (seed & 3) << 13;
	u16 fcw = FCW_INITIAL & ~0x300;
	u64 st0 = seed;

	for (u32 i = 0; i < 16; i++)
		for (u32 j = 0; j < 32; j++)
			ymm[i][j] = pattern(seed, i, j);
	asm volatile(FOR_16("vmovdqu 32 * \\i(%0), %%ymm\\i") :: "r"(ymm) : "memory");
	asm volatile("ldmxcsr %0; fninit; fldcw %1; fildll %2" :: "m"(mxcsr), "m"(fcw), "m"(st0));
	if (has(PKRU))
		asm volatile("wrpkru" :: "a"((u32)seed << 8), "c"(0), "d"(0));
}

static struct values values(void)
{
	struct values v;

	memset(&v, 0, sizeof(v));
	asm volatile(FOR_16("vmovdqu %%ymm\\i, 32 * \\i(%0)") :: "r"(v.ymm) : "memory");
	asm volatile("stmxcsr %0; fnstcw %1" : "=m"(v.mxcsr), "=m"(v.fcw));
	/* Onto the stack again: this reads, and changes nothing. */
	asm volatile("fstpt %0; fldt %0" : "=m"(v.st0));
	if (has(PKRU))
		asm volatile("rdpkru" : "=a"(v.pkru) : "c"(0) : "rdx");
	return v;
}

/* The upper halves of the YMM registers, as a save area has them */
static bool upper_halves(const u8 *p, u8 seed)
{
	for (u32 i = 0; i < 16; i++)
		for (u32 j = 0; j < 16; j++)
			if (p[16 * i + j] != pattern(seed, i, 16 + j))
				return false;
	return true;
}

static bool lower_halves(u8 seed)
{
	for (u32 i = 0; i < 16; i++)
		for (u32 j = 0; j < 16; j++)
			if (area.xmm[i][j] != pattern(seed, i, j))
				return false;
	return true;
}

static bool untouched(const void *p, size_t n)
{
	return all_bytes(p, UNTOUCHED, n);
}

TEST("xsave.cpuid.xsavec") { TRUE(cpuid(1).ecx & BIT(26)); TRUE(cpuid_part(0xd, 1).eax & BIT(1)); }
TEST("xsave.cpuid.avx") { TRUE(has(AVX)); EQ(cpuid_part(0xd, 2).eax, 256); }
/* With all components enabled, the compacted area is as large as all of them together. */
TEST("xsave.cpuid.size_of_compacted_area")
{
	u64 all = cpuid_part(0xd, 0).eax, size = 576;

	enable();
	set_xcr0(all);
	for (u32 i = 2; i < 32; i++) {
		struct regs r = cpuid_part(0xd, i);

		if (!(all & BIT(i)))
			continue;
		if (r.ecx & BIT(1))
			size = (size + 63) & -64;
		size += r.eax;
	}
	EQ(cpuid_part(0xd, 1).ebx, size);
}
TEST("xsave.cpuid.size_is_of_what_is_enabled")
{
	enable();
	set_xcr0(X87 | SSE);
	EQ(cpuid_part(0xd, 0).ebx, 576);
	EQ(cpuid_part(0xd, 1).ebx, 576);
	set_xcr0(X87 | SSE | AVX);
	EQ(cpuid_part(0xd, 0).ebx, 576 + 256);
	EQ(cpuid_part(0xd, 1).ebx, 576 + 256);
}

TEST("xsavec.ud_without_osxsave")
{
	enable();
	set_cr4(cr4() & ~CR4_OSXSAVE);
	FAULTS(xsavec_at(&area, X87), UD, 0);
	set_cr4(cr4() | CR4_OSXSAVE);
}
TEST("xsavec.gp_not_aligned")
{
	enable();
	FAULTS(xsavec_at((u8 *)&area + 32, X87), GP, 0);
	RUNS(xsavec_at((u8 *)&area + 64, X87));
}
TEST("xsavec.header")
{
	enable();
	set_values(1);
	xsavec(X87 | SSE | AVX);
	EQ(area.xcomp_bv, COMPACTED | X87 | SSE | AVX);
	/* All of them are in use. */
	EQ(area.xstate_bv, X87 | SSE | AVX);
}
TEST("xsavec.header_has_what_was_asked_for")
{
	enable();
	set_values(1);
	xsavec(SSE | AVX);
	EQ(area.xcomp_bv, COMPACTED | SSE | AVX);
	EQ(area.xstate_bv, SSE | AVX);
	xsavec(0);
	EQ(area.xcomp_bv, COMPACTED);
	EQ(area.xstate_bv, 0);
}
TEST("xsavec.header_has_what_xcr0_has")
{
	enable();
	set_xcr0(X87 | SSE);
	xsavec(-1UL);
	enable();
	EQ(area.xcomp_bv, COMPACTED | X87 | SSE);
	TRUE(untouched(area.extended, sizeof(area.extended)));
}
TEST("xsavec.contents")
{
	u32 mxcsr;

	enable();
	set_values(2);
	mxcsr = values().mxcsr;
	xsavec(X87 | SSE | AVX);
	TRUE(lower_halves(2));
	EQ(area.mxcsr, mxcsr);
	EQ(area.fcw, FCW_INITIAL & ~0x300);
	TRUE(upper_halves(area.extended, 2));
	TRUE(untouched(area.extended + 256, sizeof(area.extended) - 256));
}
/* The first component after the header is at 576, whichever it is. */
TEST("xsavec.avx_alone")
{
	enable();
	set_values(3);
	xsavec(AVX);
	TRUE(upper_halves(area.extended, 3));
	TRUE(untouched(area.xmm, sizeof(area.xmm)));
	TRUE(untouched(area.st, sizeof(area.st)));
	TRUE(untouched(&area.fcw, 2));
}
TEST("xsavec.components_follow_one_another")
{
	if (!has(PKRU))
		SKIP("this model has nothing after AVX");
	enable();
	set_values(4);
	xsavec(SSE | AVX | PKRU);
	EQ(area.xcomp_bv, COMPACTED | SSE | AVX | PKRU);
	TRUE(upper_halves(area.extended, 4));
	EQ(rd32(area.extended + 256), 4 << 8);
	xsavec(SSE | PKRU);
	EQ(area.xcomp_bv, COMPACTED | SSE | PKRU);
	EQ(rd32(area.extended), 4 << 8);
	TRUE(untouched(area.extended + 64, sizeof(area.extended) - 64));
}
TEST("xsavec.not_asked_for_is_not_written")
{
	enable();
	set_values(5);
	xsavec(X87);
	EQ(area.fcw, FCW_INITIAL & ~0x300);
	TRUE(untouched(area.xmm, sizeof(area.xmm)));
	TRUE(untouched(area.extended, sizeof(area.extended)));
}
/*
 * A component in its initial state need not be written, and then its bit says
 * so. Whether a processor notices is its own affair; that the bit and the bytes
 * agree is not.
 */
TEST("xsavec.initial_state")
{
	enable();
	asm volatile("vzeroall");
	xsavec(AVX);
	if (area.xstate_bv & AVX)
		TRUE(all_bytes(area.extended, 0, 256));
	else
		TRUE(untouched(area.extended, 256));
	EQ(area.xcomp_bv, COMPACTED | AVX);
}

TEST("xrstor.compacted.gives_back")
{
	struct values before, after;

	enable();
	set_values(6);
	before = values();
	xsavec(components());
	set_values(9);
	after = values();
	NE(memcmp(&before, &after, sizeof(before)), 0);
	RUNS(xrstor(components()));
	after = values();
	OK(memcmp(&before, &after, sizeof(before)));
}
TEST("xrstor.compacted.avx_alone")
{
	struct values v;

	enable();
	set_values(6);
	xsavec(AVX);
	set_values(8);
	RUNS(xrstor(AVX));
	v = values();
	for (u32 i = 0; i < 16; i++)
		for (u32 j = 0; j < 32; j++)
			EQ(v.ymm[i][j], pattern(j < 16 ? 8 : 6, i, j));
}
TEST("xrstor.compacted.after_avx")
{
	if (!has(PKRU))
		SKIP("this model has nothing after AVX");
	enable();
	set_values(6);
	xsavec(AVX | PKRU);
	set_values(8);
	RUNS(xrstor(PKRU));
	EQ(values().pkru, 6 << 8);
	EQ(values().ymm[1][20], pattern(8, 1, 20));
	set_values(7);
	xsavec(PKRU);
	set_values(8);
	RUNS(xrstor(PKRU));
	EQ(values().pkru, 7 << 8);
}
TEST("xrstor.compacted.only_what_was_asked_for")
{
	struct values v;

	enable();
	set_values(6);
	xsavec(X87 | SSE | AVX);
	set_values(11);
	RUNS(xrstor(SSE));
	v = values();
	EQ(v.ymm[3][5], pattern(6, 3, 5));
	EQ(v.ymm[3][20], pattern(11, 3, 20));
}
/* A component that the area has no state of gets its initial one, and so does MXCSR. */
TEST("xrstor.compacted.initial_state")
{
	struct values v;

	enable();
	set_values(7);
	xsavec(X87 | SSE | AVX);
	area.xstate_bv = 0;
	RUNS(xrstor(X87 | SSE | AVX));
	asm volatile("fnstcw %0; stmxcsr %1" : "=m"(v.fcw), "=m"(v.mxcsr));
	asm volatile(FOR_16("vmovdqu %%ymm\\i, 32 * \\i(%0)") :: "r"(v.ymm) : "memory");
	EQ(v.fcw, FCW_INITIAL);
	EQ(v.mxcsr, MXCSR_INITIAL);
	TRUE(all_bytes(v.ymm, 0, sizeof(v.ymm)));
}
TEST("xrstor.compacted.initial_state_of_one")
{
	struct values v;

	enable();
	set_values(7);
	xsavec(SSE | AVX);
	area.xstate_bv = SSE;
	RUNS(xrstor(SSE | AVX));
	v = values();
	for (u32 i = 0; i < 16; i++) {
		EQ(v.ymm[i][0], pattern(7, i, 0));
		TRUE(all_bytes(v.ymm[i] + 16, 0, 16));
	}
}

/* What no XSAVEC has written */
static void image(u64 xstate_bv, u64 xcomp_bv)
{
	enable();
	set_values(1);
	xsavec(X87 | SSE | AVX);
	memset(area.reserved, 0, sizeof(area.reserved));
	area.xstate_bv = xstate_bv;
	area.xcomp_bv = xcomp_bv;
}
static void image_faults(u64 xstate_bv, u64 xcomp_bv)
{
	image(xstate_bv, xcomp_bv);
	FAULTS(xrstor(SSE | AVX), GP, 0);
}
TEST("xrstor.compacted.ok") { image(SSE | AVX, COMPACTED | SSE | AVX); RUNS(xrstor(-1UL)); }
TEST("xrstor.compacted.gp.not_in_xcomp_bv") { image_faults(SSE | AVX, COMPACTED | SSE); }
TEST("xrstor.compacted.gp.not_in_xcr0") { image_faults(SSE, COMPACTED | SSE | BIT(5)); }
TEST("xrstor.compacted.gp.disabled_in_xcr0")
{
	image(SSE, COMPACTED | SSE | AVX);
	set_xcr0(X87 | SSE);
	FAULTS(xrstor(SSE), GP, 0);
	enable();
}
TEST("xrstor.compacted.gp.reserved_bit_62") { image_faults(SSE, COMPACTED | BIT(62) | SSE); }
TEST("xrstor.gp.xcomp_bv_without_bit_63") { image_faults(SSE, SSE); }
TEST("xrstor.gp.xstate_bv_bit_63") { image_faults(COMPACTED | SSE, COMPACTED | SSE); }
TEST("xrstor.compacted.gp.header_reserved")
{
	for (u32 i = 0; i < 6; i++) {
		image(SSE, COMPACTED | SSE);
		area.reserved[i] = 1;
		FAULTS(xrstor_at(&area, SSE), GP, 0);
	}
}
TEST("xrstor.gp_not_aligned") { enable(); FAULTS(xrstor_at((u8 *)&area + 8, SSE), GP, 0); }
/* The other form is as ever: AVX is where CPUID says. */
TEST("xrstor.standard")
{
	u32 at = cpuid_part(0xd, 2).ebx - 576;

	enable();
	memset(&area, 0, sizeof(area));
	set_values(5);
	asm volatile("xsave64 %0" : "+m"(area) : "a"(SSE | AVX), "d"(0));
	EQ(area.xcomp_bv, 0);
	TRUE(upper_halves(area.extended + at, 5));
	set_values(6);
	RUNS(xrstor(SSE | AVX));
	EQ(values().ymm[7][31], pattern(5, 7, 31));
}
