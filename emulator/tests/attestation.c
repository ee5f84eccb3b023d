// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages between an SNP guest and the firmware, and the launch measurement. SEV-SNP Firmware ABI, chapters 7 and 8. */
#include "crypto.h"
#include "vm.h"

/* A message: only ALGO and what follows, up to the payload, is authenticated in the clear. */
struct PACKED message {
	u8 tag[32];
	u64 sequence, reserved1;
	u8 algorithm, header_version;
	u16 header_size;
	u8 type, version;
	u16 size;
	u32 reserved2;
	u8 key, reserved3[35];
	u8 payload[4000];
};
_Static_assert(offsetof(struct message, payload) == 0x60, "message");

struct PACKED report_request { u8 data[64]; u32 vmpl, key; u8 reserved[24]; };

struct PACKED report {
	u32 version, guest_svn;
	u64 policy;
	u8 family_id[16], image_id[16];
	u32 vmpl, signature_algorithm;
	u64 current_tcb, platform_info;
	u32 flags, reserved1;
	u8 data[64], measurement[48], host_data[32], id_key[48], author_key[48], report_id[32], report_id_ma[32];
	u64 reported_tcb;
	u8 rest[0x4a0 - 0x188];
};
_Static_assert(offsetof(struct report, measurement) == 0x90, "report");
_Static_assert(offsetof(struct report, reported_tcb) == 0x180, "report");

enum { REPORT_REQUEST = 5, REPORT_RESPONSE = 6 };

static struct vp *snp(void) { return vm_start(SNP); }

static u64 sequence;

/* The key of VMPL 0's messages. Only the guest sees it: so it shows it here. */
static const u8 *key(void)
{
	static u8 vmpck0[32];

	if (all_bytes(vmpck0, 0, 32)) {
		DO(snp(), G_COPY, G_EXCHANGE, G_SECRETS, PAGE);
		memcpy(vmpck0, (u8 *)vm_spa(snp()->vm, G_EXCHANGE) + 0x20, 32);
	}
	return vmpck0;
}

static void seal(struct message *m, const void *payload)
{
	u8 iv[12] = { 0 };

	memcpy(iv, &m->sequence, 8);
	aes_gcm(key(), iv, &m->algorithm, 0x30, payload, m->payload, m->size, false, m->tag);
}

static struct message *new_request(const struct report_request *r)
{
	struct message *m = (struct message *)alloc_page();

	*m = (struct message){ .sequence = sequence + 1, .algorithm = 1, .header_version = 1, .header_size = 0x60,
			       .type = REPORT_REQUEST, .version = 1, .size = sizeof(*r), .key = 0 };
	seal(m, r);
	return m;
}

static u32 request(struct message *m, struct message **response)
{
	struct snp_guest_request r = { snp()->vm->gctx, (u64)m, firmware_page() };
	u32 status = psp_command(SNP_GUEST_REQUEST, &r, sizeof(r));

	if (status == SUCCESS)
		sequence += 2;
	*response = (struct message *)r.response;
	return status;
}

/* Opens a response; false if its tag is wrong */
static bool open(const struct message *m, u8 *payload)
{
	u8 iv[12] = { 0 }, tag[16];

	memcpy(iv, &m->sequence, 8);
	aes_gcm(key(), iv, &m->algorithm, 0x30, m->payload, payload, m->size, true, tag);
	return !memcmp(tag, m->tag, 16);
}

/* A report on this guest, for this data */
static const struct report *get_report(const struct report_request *want)
{
	static u8 payload[PAGE];
	struct message *answer;

	EQ(request(new_request(want), &answer), SUCCESS);
	EQ(answer->type, REPORT_RESPONSE);
	EQ(answer->sequence, sequence);
	TRUE(answer->size <= sizeof(answer->payload));
	TRUE(open(answer, payload));
	/* STATUS, REPORT_SIZE */
	EQ(*(u32 *)payload, 0);
	EQ(*(u32 *)(payload + 4), sizeof(struct report));
	return (const struct report *)(payload + 0x20);
}

TEST("attest.secrets_page")
{
	TRUE(!all_bytes(key(), 0, 32));
	/* Each VMPL has a key of its own */
	for (int i = 1; i < 4; i++)
		NE(memcmp((u8 *)vm_spa(snp()->vm, G_EXCHANGE) + 0x20, (u8 *)vm_spa(snp()->vm, G_EXCHANGE) + 0x20 + 32 * i,
			  32), 0);
}
TEST("attest.secrets_of_other_guest")
{
	struct vm *vm = vm_new(SNP);
	struct vp *other;
	u8 first[32];

	memcpy(first, key(), 32);
	vm_launch_start(vm, POLICY);
	other = vm_launch_finish(vm);
	EQ(vp_run(other), EXIT_VMGEXIT);
	DO(other, G_COPY, G_EXCHANGE, G_SECRETS, PAGE);
	NE(memcmp((u8 *)vm_spa(vm, G_EXCHANGE) + 0x20, first, 32), 0);
	/* The same pages at the same places: the same measurement */
	OK(memcmp(vm->digest, snp()->vm->digest, 48));
}
TEST("attest.report")
{
	struct report_request want = { .vmpl = 0 };
	const struct report *r;

	memset(want.data, 0xa5, 64);
	r = get_report(&want);
	TRUE(r->version >= 2);
	EQ(r->policy, POLICY);
	EQ(r->vmpl, 0);
	TRUE(all_bytes(r->data, 0xa5, 64));
	/* ECDSA P-384 with SHA-384 */
	EQ(r->signature_algorithm, 1);
	TRUE(!all_bytes(r->rest + 0x2a0 - 0x188, 0, 48));
}
/* The hash over everything that was launched: the program, its tables, secrets, the VMSA */
TEST("attest.measurement")
{
	struct report_request want = { .vmpl = 0 };
	const struct report *r = get_report(&want);

	TRUE(!memcmp(r->measurement, snp()->vm->digest, 48));
}
TEST("attest.report_of_lower_vmpl") { struct report_request want = { .vmpl = 3 }; EQ(get_report(&want)->vmpl, 3); }
TEST("attest.report_id_stays")
{
	struct report_request want = { .vmpl = 0 };
	u8 id[32];

	memcpy(id, get_report(&want)->report_id, 32);
	TRUE(!all_bytes(id, 0, 32));
	OK(memcmp(id, get_report(&want)->report_id, 32));
}
TEST("attest.message.sequence_repeated")
{
	struct report_request want = { .vmpl = 0 };
	struct message *answer, *m = new_request(&want);

	EQ(request(m, &answer), SUCCESS);
	NE(request(m, &answer), SUCCESS);
}
TEST("attest.message.changed")
{
	struct report_request want = { .vmpl = 0 };
	struct message *answer, *m = new_request(&want);

	m->payload[0] ^= 1;
	EQ(request(m, &answer), BAD_MEASUREMENT);
}
TEST("attest.message.header_changed")
{
	struct report_request want = { .vmpl = 0 };
	struct message *answer, *m = new_request(&want);

	m->version++;
	NE(request(m, &answer), SUCCESS);
}
TEST("attest.message.response_page_is_hypervisors")
{
	struct report_request want = { .vmpl = 0 };
	struct snp_guest_request r = { snp()->vm->gctx, (u64)new_request(&want), alloc_page() };

	EQ(psp_command(SNP_GUEST_REQUEST, &r, sizeof(r)), INVALID_PAGE_STATE);
	TRUE(all_bytes((void *)r.response, 0, PAGE));
}
TEST("attest.message.guest_not_running")
{
	struct vm *vm = vm_new(SNP);
	struct report_request want = { .vmpl = 0 };
	struct snp_guest_request r = { 0, (u64)new_request(&want), firmware_page() };

	vm_launch_start(vm, POLICY);
	r.gctx = vm->gctx;
	EQ(psp_command(SNP_GUEST_REQUEST, &r, sizeof(r)), INVALID_GUEST_STATE);
}
