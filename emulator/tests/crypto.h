/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What launch measurements and guests' messages are made with */
#ifndef CRYPTO_H
#define CRYPTO_H

#include "lib.h"

void sha384(const void *data, size_t n, u8 digest[48]);

/* Encrypts or decrypts n bytes, and leaves the tag of what is encrypted. */
void aes_gcm(const u8 key[32], const u8 iv[12], const u8 *aad, size_t aad_size, const u8 *in, u8 *out, size_t n,
	     bool decrypt, u8 tag[16]);

#endif
