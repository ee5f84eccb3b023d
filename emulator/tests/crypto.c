// SPDX-License-Identifier: GPL-2.0-or-later
/* SHA-384 (FIPS 180-4) and AES-256-GCM (FIPS 197, SP 800-38D), small rather than fast. */
#include "crypto.h"

/* Of the cube roots of the first 80 primes, the first 64 bits after the point */
static const u64 k[80] = {
	0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc,
	0x3956c25bf348b538, 0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118,
	0xd807aa98a3030242, 0x12835b0145706fbe, 0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2,
	0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235, 0xc19bf174cf692694,
	0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65,
	0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5,
	0x983e5152ee66dfab, 0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4,
	0xc6e00bf33da88fc2, 0xd5a79147930aa725, 0x06ca6351e003826f, 0x142929670a0e6e70,
	0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed, 0x53380d139d95b3df,
	0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b,
	0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30,
	0xd192e819d6ef5218, 0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8,
	0x19a4c116b8d2d0c8, 0x1e376c085141ab53, 0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8,
	0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373, 0x682e6ff3d6b2b8a3,
	0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
	0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b,
	0xca273eceea26619c, 0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178,
	0x06f067aa72176fba, 0x0a637dc5a2c898a6, 0x113f9804bef90dae, 0x1b710b35131c471b,
	0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc, 0x431d67c49c100d4c,
	0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817,
};

static u64 be64(const u8 *p)
{
	u64 v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static void put_be64(u8 *p, u64 v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = v;
}

static u64 ror(u64 v, int n)
{
	return v >> n | v << (64 - n);
}

static void sha_block(u64 h[8], const u8 *p)
{
	u64 w[80], s[8];

	for (int i = 0; i < 16; i++)
		w[i] = be64(p + 8 * i);
	for (int i = 16; i < 80; i++)
		w[i] = w[i - 16] + w[i - 7] + (ror(w[i - 15], 1) ^ ror(w[i - 15], 8) ^ w[i - 15] >> 7) +
		       (ror(w[i - 2], 19) ^ ror(w[i - 2], 61) ^ w[i - 2] >> 6);
	memcpy(s, h, sizeof(s));
	for (int i = 0; i < 80; i++) {
		u64 a = s[0], e = s[4];
		u64 t1 = s[7] + (ror(e, 14) ^ ror(e, 18) ^ ror(e, 41)) + ((e & s[5]) ^ (~e & s[6])) + k[i] + w[i];
		u64 t2 = (ror(a, 28) ^ ror(a, 34) ^ ror(a, 39)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));

		for (int j = 7; j > 0; j--)
			s[j] = s[j - 1];
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		h[i] += s[i];
}

void sha384(const void *data, size_t n, u8 digest[48])
{
	/* Of the square roots of the 9th to 16th primes */
	u64 h[8] = {
		0xcbbb9d5dc1059ed8, 0x629a292a367cd507, 0x9159015a3070dd17, 0x152fecd8f70e5939,
		0x67332667ffc00b31, 0x8eb44a8768581511, 0xdb0c2e0d64f98fa7, 0x47b5481dbefa4fa4,
	};
	const u8 *p = data;
	u8 last[256] = { 0 };
	size_t left = n;

	for (; left >= 128; left -= 128, p += 128)
		sha_block(h, p);
	memcpy(last, p, left);
	last[left] = 0x80;
	put_be64(last + (left < 112 ? 128 : 256) - 8, n * 8);
	sha_block(h, last);
	if (left >= 112)
		sha_block(h, last + 128);
	for (int i = 0; i < 6; i++)
		put_be64(digest + 8 * i, h[i]);
}

/* AES. The S-box is the inverse in GF(2^8), and an affine map of it. */

static u8 times(u8 a, u8 b)
{
	u8 r = 0;

	for (; b; b >>= 1, a = a << 1 ^ (a & 0x80 ? 0x1b : 0))
		if (b & 1)
			r ^= a;
	return r;
}

static u8 sbox(u8 a)
{
	static u8 table[256];
	static bool made;

	for (u32 i = 0; !made && i < 256; i++) {
		u8 inverse = 0;

		for (u32 j = 1; j < 256; j++)
			if (times(i, j) == 1)
				inverse = j;
		table[i] = 0x63;
		for (int r = 0; r < 5; r++)
			table[i] ^= inverse << r | inverse >> (8 - r);
	}
	made = true;
	return table[a];
}

static void expand(const u8 key[32], u8 round[240])
{
	u8 constant = 1;

	memcpy(round, key, 32);
	for (int i = 32; i < 240; i += 4) {
		u8 t[4];

		memcpy(t, round + i - 4, 4);
		if (i % 32 == 0) {
			u8 first = t[0];

			t[0] = sbox(t[1]) ^ constant;
			t[1] = sbox(t[2]);
			t[2] = sbox(t[3]);
			t[3] = sbox(first);
			constant = times(constant, 2);
		} else if (i % 32 == 16) {
			for (int j = 0; j < 4; j++)
				t[j] = sbox(t[j]);
		}
		for (int j = 0; j < 4; j++)
			round[i + j] = round[i + j - 32] ^ t[j];
	}
}

static void aes(const u8 round[240], const u8 in[16], u8 out[16])
{
	u8 s[16], t[16];

	for (int i = 0; i < 16; i++)
		s[i] = in[i] ^ round[i];
	for (int r = 1; r <= 14; r++) {
		for (int i = 0; i < 16; i++)
			t[i] = sbox(s[(i + 4 * (i % 4)) % 16]);
		for (int i = 0; i < 16; i++) {
			const u8 *c = t + i / 4 * 4;
			u8 mixed = times(c[i % 4], 2) ^ times(c[(i + 1) % 4], 3) ^ c[(i + 2) % 4] ^ c[(i + 3) % 4];

			s[i] = (r == 14 ? t[i] : mixed) ^ round[16 * r + i];
		}
	}
	memcpy(out, s, 16);
}

/* y = (y ^ x) * h in GF(2^128), bits from the left */
static void ghash(u64 y[2], const u64 h[2], const u8 *x, size_t n)
{
	u8 block[16] = { 0 };
	u64 a[2], v[2] = { h[0], h[1] }, r[2] = { 0, 0 };

	memcpy(block, x, n);
	a[0] = y[0] ^ be64(block);
	a[1] = y[1] ^ be64(block + 8);
	for (int i = 0; i < 128; i++) {
		u64 carry = v[1] & 1;

		if (a[i / 64] >> (63 - i % 64) & 1) {
			r[0] ^= v[0];
			r[1] ^= v[1];
		}
		v[1] = v[1] >> 1 | v[0] << 63;
		v[0] = v[0] >> 1 ^ (carry ? 0xe1UL << 56 : 0);
	}
	y[0] = r[0];
	y[1] = r[1];
}

static void ghash_all(u64 y[2], const u64 h[2], const u8 *x, size_t n)
{
	for (; n > 16; n -= 16, x += 16)
		ghash(y, h, x, 16);
	if (n)
		ghash(y, h, x, n);
}

void aes_gcm(const u8 key[32], const u8 iv[12], const u8 *aad, size_t aad_size, const u8 *in, u8 *out, size_t n,
	     bool decrypt, u8 tag[16])
{
	u8 round[240], counter[16] = { 0 }, mask[16], zero[16] = { 0 }, lengths[16];
	u64 h[2], y[2] = { 0, 0 };

	expand(key, round);
	aes(round, zero, mask);
	h[0] = be64(mask);
	h[1] = be64(mask + 8);
	memcpy(counter, iv, 12);
	ghash_all(y, h, aad, aad_size);
	if (decrypt)
		ghash_all(y, h, in, n);
	for (size_t i = 0; i < n; i++) {
		if (i % 16 == 0) {
			u64 block = i / 16 + 2;

			for (int j = 15; j > 11; j--, block >>= 8)
				counter[j] = block;
			aes(round, counter, mask);
		}
		out[i] = in[i] ^ mask[i % 16];
	}
	if (!decrypt)
		ghash_all(y, h, out, n);
	put_be64(lengths, aad_size * 8);
	put_be64(lengths + 8, n * 8);
	ghash(y, h, lengths, 16);
	memset(counter + 12, 0, 3);
	counter[15] = 1;
	aes(round, counter, mask);
	put_be64(tag, y[0]);
	put_be64(tag + 8, y[1]);
	for (int i = 0; i < 16; i++)
		tag[i] ^= mask[i];
}
