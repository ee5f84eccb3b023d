/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory that stress.c verifies, what its values mean, and the guest
 *
 * The first part is for the guest and the host.  It depends on nothing but its
 * arguments and the struct state that both of them map.
 */
#ifndef STRESS_GUEST_H
#define STRESS_GUEST_H

#include <stdbool.h>

#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"

enum { OWNED_ANON, OWNED_MEMFD, WATCHED, FREE, NR_ZONES, NR_OWNED = WATCHED };

#define HUGE_SIZE	0x200000ull
#define ZONE_PAGES	1024u
#define ZONE_SIZE	(ZONE_PAGES * PAGE_SIZE)
#define BASE_GPA	0x100000000ull

/* Half of the operations are here, where the zone's two huge pages meet. */
#define HOT_BEGIN	(ZONE_PAGES / 2 - 24)
#define HOT_END		(ZONE_PAGES / 2 + 24)

/* The pages at either end of the free zone that are never converted */
#define STRIP		64u

#define MAX_VCPUS	16u
#define MAX_SLOTS	3u
#define SLOT(zone, i)	(10 + (zone) * MAX_SLOTS + (i))

/* Of an owned page these words are used; of others, a line for each vCPU. */
#define WORDS		9u
#define LINE		64

/* The first byte of each value: how it got there */
enum { SHARED = 0x51, PRIVATE = 0x9a, GUEST = 0x67, HOST = 0x40, SECRET = 0x5e };

#define NOBODY		0u

/* Pages that a vCPU may write to in one go */
#define SMALL		16u

struct rng {
	u64 x;
};

struct range {
	unsigned int first, nr;
};

/* Under the owner; for others, whatever it says if seq is even and stays so. */
struct page_model {
	u32 owner;
	u32 seq;
	u32 private;
	u32 generation;
	/* Of the value in shared memory [0] and in private memory [1]; 0 if zeroes. */
	u32 content[2];
};

enum { RUN, STOP, STOP_AND_VERIFY };

/* In memory that the guest and the host both use. */
static struct state {
	struct page_model page[NR_OWNED][ZONE_PAGES];
	u64 last[MAX_VCPUS][STRIP];
	u64 rounds[MAX_VCPUS], reads[MAX_VCPUS], writes[MAX_VCPUS];
	u64 stop;
} state;

/* What both sides need */

static u64 mix(u64 x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* An operation draws the same whatever became of those before it. */
static struct rng rng_of_op(u64 seed, unsigned int actor, u64 op)
{
	struct rng r = { mix(mix(seed + actor * 0x9e3779b97f4a7c15ull) + op) };

	return r;
}

static u64 draw(struct rng *r, u64 n)
{
	r->x += 0x9e3779b97f4a7c15ull;
	return mix(r->x) % n;
}

/* Part of [begin, end), of any size but more often small, aligned or ragged. */
static struct range draw_range(struct rng *r, unsigned int begin, unsigned int end)
{
	unsigned int nr = 1 + draw(r, 1u << draw(r, 11));
	unsigned int align = 1u << draw(r, 10);
	bool aligned = draw(r, 2), hot = draw(r, 2);
	unsigned int first;

	if (hot) {
		begin = max(begin, HOT_BEGIN);
		end = min(end, HOT_END);
	}

	nr = min(nr, end - begin);
	first = begin + draw(r, end - begin - nr + 1);

	if (aligned) {
		first = max(begin, first & ~(align - 1));
		nr = min((nr + align - 1) & ~(align - 1), end - first);
	}

	return (struct range) { first, nr };
}

static unsigned int draw_page(struct rng *r)
{
	return draw(r, 2) ? HOT_BEGIN + draw(r, HOT_END - HOT_BEGIN) : draw(r, ZONE_PAGES);
}

static struct range draw_part(struct rng *r, struct range of)
{
	unsigned int nr = 1 + draw(r, of.nr);

	return (struct range) { of.first + draw(r, of.nr - nr + 1), nr };
}

/* @who: the word of an owned page, or the vCPU whose line it is */
static u64 value(u64 side, u64 zone, u64 page, u64 who, u32 generation)
{
	return side << 56 | zone << 52 | page << 40 | who << 32 | generation;
}

static bool is_of_place(u64 v, u64 side, u64 zone, u64 page, u64 who)
{
	return v >> 32 == value(side, zone, page, who, 0) >> 32;
}

static u64 owned_value(const struct page_model *p, unsigned int private, unsigned int zone,
		       unsigned int page, unsigned int word)
{
	u32 generation = p->content[private];

	if (!generation)
		return 0;

	return value(private ? PRIVATE : SHARED, zone, page, word, generation);
}

static unsigned int word_offset(unsigned int word)
{
	return word < WORDS - 1 ? word * 512 : PAGE_SIZE - 8;
}

static u32 load(const u32 *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static bool try_own(struct page_model *p, u32 actor)
{
	u32 nobody = NOBODY;

	if (!__atomic_compare_exchange_n(&p->owner, &nobody, actor, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return false;

	__atomic_add_fetch(&p->seq, 1, __ATOMIC_SEQ_CST);
	return true;
}

static void disown(struct page_model *p)
{
	__atomic_add_fetch(&p->seq, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&p->owner, NOBODY, __ATOMIC_SEQ_CST);
}

static bool in_shared_strip(unsigned int zone, unsigned int page)
{
	return zone == FREE && page < STRIP;
}

static bool in_private_strip(unsigned int zone, unsigned int page)
{
	return zone == FREE && page >= ZONE_PAGES - STRIP;
}

/* The guest */

static u64 *guest_place(unsigned int zone, unsigned int page, unsigned int offset)
{
	return (u64 *)(BASE_GPA + zone * ZONE_SIZE + page * PAGE_SIZE + offset);
}

static void guest_fail(const char *what, unsigned int zone, unsigned int page, unsigned int who,
		       u64 expected, u64 found)
{
	ucall(UCALL_ABORT, 6, what, (u64)zone, (u64)page, (u64)who,
	      expected, found);
}

static void guest_verify_page(unsigned int vcpu, unsigned int zone, unsigned int page)
{
	struct page_model *p = &state.page[zone][page];
	unsigned int word;
	u64 v, want;

	for (word = 0; word < WORDS; word++) {
		want = owned_value(p, p->private, zone, page, word);
		v = READ_ONCE(*guest_place(zone, page, word_offset(word)));
		if (v != want)
			guest_fail("a page that the vCPU owns", zone, page, word, want, v);
	}
	state.reads[vcpu]++;
}

static void guest_write_page(unsigned int vcpu, unsigned int zone, unsigned int page)
{
	struct page_model *p = &state.page[zone][page];
	unsigned int word;

	p->content[p->private] = ++p->generation;
	for (word = 0; word < WORDS; word++)
		WRITE_ONCE(*guest_place(zone, page, word_offset(word)),
			   owned_value(p, p->private, zone, page, word));
	state.writes[vcpu]++;
}

static void guest_convert(unsigned int zone, struct range range, bool private)
{
	unsigned int page;
	u64 ret;

	ret = kvm_map_gpa_range((u64)guest_place(zone, range.first, 0),
				range.nr * PAGE_SIZE, private);
	if (ret)
		guest_fail("the answer to a hypercall", zone, range.first, 0, 0, ret);

	if (zone >= NR_OWNED)
		return;

	for (page = range.first; page < range.first + range.nr; page++)
		state.page[zone][page].private = private;
}

static void guest_discard(unsigned int zone, struct range range, bool private)
{
	unsigned int page;

	ucall(UCALL_SYNC, 4, (u64)zone, (u64)range.first, (u64)range.nr,
	      (u64)private);

	for (page = range.first; page < range.first + range.nr; page++)
		state.page[zone][page].content[private] = 0;
}

/* Read without owning, amid what the owner does. */
static void guest_peek(unsigned int vcpu, unsigned int zone, unsigned int page, unsigned int word)
{
	struct page_model *p = &state.page[zone][page];
	u32 seq = load(&p->seq);
	struct page_model copy = {
		.private = READ_ONCE(p->private),
		.content = { READ_ONCE(p->content[0]), READ_ONCE(p->content[1]) },
	};
	u64 v = READ_ONCE(*guest_place(zone, page, word_offset(word)));
	u64 want = owned_value(&copy, copy.private & 1, zone, page, word);

	if (!(seq & 1) && load(&p->seq) == seq) {
		if (v != want)
			guest_fail("a page that nobody owns", zone, page, word, want, v);
	} else if (v && !is_of_place(v, PRIVATE, zone, page, word) &&
		   !is_of_place(v, SHARED, zone, page, word)) {
		guest_fail("a page that somebody owns", zone, page, word, want, v);
	}
	state.reads[vcpu]++;
}

/* All of a range, or its ends if it is large */
static void guest_verify(unsigned int vcpu, unsigned int zone, struct range range)
{
	unsigned int i;

	for (i = 0; i < range.nr; i++)
		if (i < SMALL / 2 || i >= range.nr - SMALL / 2)
			guest_verify_page(vcpu, zone, range.first + i);
}

/*
 * What is not in the part that is converted or discarded must not change, nor may
 * what is in it by a conversion, neither on the old side nor on the new one.
 */
static void guest_owned(struct rng *r, unsigned int vcpu)
{
	unsigned int zone = draw(r, NR_OWNED), kind = draw(r, 16), i;
	struct range range = draw_range(r, 0, ZONE_PAGES);
	bool private = draw(r, 2);

	if (kind < 4) {
		for (i = 0; i < SMALL; i++)
			guest_peek(vcpu, zone, draw_page(r), draw(r, WORDS));
		return;
	}

	if (draw(r, 16))
		range.nr = min(range.nr, SMALL);

	for (i = 0; i < range.nr; i++)
		if (!try_own(&state.page[zone][range.first + i], vcpu + 1))
			break;
	range.nr = i;
	if (!range.nr)
		return;

	guest_verify(vcpu, zone, range);
	if (range.nr <= SMALL && kind >= 6)
		for (i = 0; i < range.nr; i++)
			guest_write_page(vcpu, zone, range.first + i);

	if (kind < 10)
		guest_convert(zone, draw_part(r, range), private);
	else if (kind < 12)
		guest_discard(zone, draw_part(r, range), private);
	if (kind < 12)
		guest_verify(vcpu, zone, range);

	for (i = 0; i < range.nr; i++)
		disown(&state.page[zone][range.first + i]);
}

static void guest_line(struct rng *r, unsigned int vcpu, unsigned int zone, u32 count)
{
	unsigned int page = draw_page(r);
	u64 *line = guest_place(zone, page, vcpu * LINE);
	u64 v = READ_ONCE(*line), want;
	unsigned int side = GUEST;
	bool ok;

	if (in_shared_strip(zone, page)) {
		want = state.last[vcpu][page];
		if (v != want)
			guest_fail("a line that is always shared", zone, page, vcpu, want, v);
		side = SHARED;
	} else if (in_private_strip(zone, page)) {
		side = PRIVATE;
	}

	want = value(side, zone, page, vcpu, count);
	ok = !v || (is_of_place(v, side, zone, page, vcpu) && (u32)v < count) ||
	     (side == GUEST && is_of_place(v, HOST, zone, page, vcpu));
	if (!ok)
		guest_fail(side == PRIVATE ? "a line that is always private" : "a line",
			   zone, page, vcpu, want, v);

	if (side == SHARED)
		state.last[vcpu][page] = want;
	WRITE_ONCE(*line, want);
	state.reads[vcpu]++;
	state.writes[vcpu]++;
}

/* When all is quiet: is everything where it was left, on either side? */
static void guest_last_look(unsigned int vcpu, unsigned int nr_vcpus)
{
	const unsigned int chunk = 64;
	struct range range = { .nr = chunk };
	unsigned int zone, page, side, i;

	for (i = vcpu; i < NR_OWNED * ZONE_PAGES / chunk; i += nr_vcpus) {
		zone = i * chunk / ZONE_PAGES;
		range.first = i * chunk % ZONE_PAGES;

		for (page = range.first; page < range.first + chunk; page++)
			while (!try_own(&state.page[zone][page], vcpu + 1))
				cpu_relax();

		for (side = 0; side < 2; side++) {
			guest_convert(zone, range, side);
			for (page = range.first; page < range.first + chunk; page++)
				guest_verify_page(vcpu, zone, page);
		}

		for (page = range.first; page < range.first + chunk; page++)
			disown(&state.page[zone][page]);

		WRITE_ONCE(state.rounds[vcpu], state.rounds[vcpu] + 1);
	}
}

static void guest_code(unsigned int vcpu, u64 seed, unsigned int nr_vcpus)
{
	u32 count = 1;
	struct range range;
	u64 op;
	int i;

	/*
	 * Nobody sends this guest interrupts.  Bochs, though, can miss one of
	 * the host's while the guest has them off, and then never leaves it.
	 */
	asm volatile("sti");

	for (op = 0; READ_ONCE(state.stop) == RUN; op++) {
		struct rng r = rng_of_op(seed, vcpu, op);
		unsigned int kind = draw(&r, 16);

		if (kind < 9) {
			guest_owned(&r, vcpu);
		} else if (kind < 15) {
			for (i = 0; i < 16; i++)
				guest_line(&r, vcpu, kind < 12 ? WATCHED : FREE, count++);
		} else {
			range = draw_range(&r, STRIP, ZONE_PAGES - STRIP);
			guest_convert(FREE, range, draw(&r, 2));
		}

		WRITE_ONCE(state.rounds[vcpu], state.rounds[vcpu] + 1);
	}

	if (READ_ONCE(state.stop) == STOP_AND_VERIFY)
		guest_last_look(vcpu, nr_vcpus);

	GUEST_DONE();
}

#endif /* STRESS_GUEST_H */
