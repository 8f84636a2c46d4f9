/* derive.c: PBKDF2 by hand on libcrypto's HMAC, for the library's own function cannot be interrupted.
 *
 * Each block of the key is the exclusive or of a chain of HMACs; the chain is as long as the iterations say. A context
 * that has the key can be set back to it, so that a round costs two blocks of SHA-256 and no allocation. Once in some
 * hundred rounds the job looks whether anybody still waits for the answer. */
#include "compute.h"

#include <weft/weft.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <errno.h>
#include <string.h>

enum { HASH = 32, LOOK_EVERY = 256 };

/* One HMAC over two parts, the second of which may be empty. */
static bool mac(EVP_MAC_CTX *context, const unsigned char *first, size_t first_length, const unsigned char *second,
                size_t second_length, unsigned char out[HASH])
{
    size_t length;

    return EVP_MAC_init(context, NULL, 0, NULL) == 1 && EVP_MAC_update(context, first, first_length) == 1 &&
           EVP_MAC_update(context, second, second_length) == 1 && EVP_MAC_final(context, out, &length, HASH) == 1;
}

static int derive_block(EVP_MAC_CTX *context, const struct derivation *d, uint32_t index, unsigned char block[HASH])
{
    const unsigned char number[] = {(unsigned char)(index >> 24), (unsigned char)(index >> 16),
                                    (unsigned char)(index >> 8), (unsigned char)index};
    unsigned char link[HASH];

    if (!mac(context, d->salt, d->salt_length, number, sizeof number, link)) {
        return ENOMEM;
    }
    memcpy(block, link, HASH);
    for (int64_t round = 1; round < d->iterations; round++) {
        if (round % LOOK_EVERY == 0 && weft_cancelled()) {
            return ECANCELED;
        }
        if (!mac(context, link, HASH, link, 0, link)) {
            return ENOMEM;
        }
        for (size_t i = 0; i < HASH; i++) {
            block[i] ^= link[i];
        }
    }
    return 0;
}

static EVP_MAC_CTX *keyed_context(const struct derivation *d)
{
    char digest[] = "SHA256";
    const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                     OSSL_PARAM_construct_end()};
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(hmac);

    EVP_MAC_free(hmac); /* the context holds it */
    if (context != NULL && EVP_MAC_init(context, d->password, d->password_length, parameters) != 1) {
        EVP_MAC_CTX_free(context);
        return NULL;
    }
    return context;
}

int derive_key(const struct derivation *derivation, unsigned char *key)
{
    EVP_MAC_CTX *context = keyed_context(derivation);
    unsigned char block[HASH];
    int code = context == NULL ? ENOMEM : 0;

    for (size_t done = 0; done < derivation->key_length && code == 0; done += HASH) {
        size_t left = derivation->key_length - done;
        code = derive_block(context, derivation, (uint32_t)(done / HASH) + 1, block);
        memcpy(key + done, block, left < HASH ? left : HASH);
    }
    EVP_MAC_CTX_free(context);
    OPENSSL_cleanse(block, sizeof block);
    return code;
}

void write_hex(char *text, const unsigned char *bytes, size_t length)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < length; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * length] = '\0';
}
