/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for tests, made when they are needed: a CA, and leaves of it, as PEM files. */
#ifndef SKIFF_TESTS_T_CERT_H
#define SKIFF_TESTS_T_CERT_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"

struct t_ca {
	EVP_PKEY *key;
	X509 *cert;
	char dir[32]; /* where the files are */
};

static inline void t_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(ext);
	X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
}

static inline X509 *t_cert_make(const char *cn, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
				const char *san)
{
	static long serial;
	X509 *x = X509_new();

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x));
	t_extension(x, issuer ? issuer : x, NID_basic_constraints, san ? "CA:FALSE" : "CA:TRUE");
	if (san)
		t_extension(x, issuer, NID_subject_alt_name, san);
	assert_true(X509_sign(x, issuer_key, EVP_sha256()) > 0);
	return x;
}

static inline char *t_cert_path(const struct t_ca *ca, const char *name)
{
	return xasprintf("%s/%s", ca->dir, name);
}

static inline void t_cert_write(const struct t_ca *ca, const char *name, X509 *x, EVP_PKEY *key)
{
	char *path = t_cert_path(ca, name);
	char *tmp = xasprintf("%s.new", path);
	FILE *f = fopen(tmp, "w");

	assert_non_null(f);
	if (x)
		assert_true(PEM_write_X509(f, x));
	if (key)
		assert_true(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
	assert_int_equal(rename(tmp, path), 0);
	free(tmp);
	free(path);
}

/* A CA whose certificate is @name below a new folder, or in the folder of @beside. */
static inline void t_ca_open(struct t_ca *ca, const struct t_ca *beside, const char *name)
{
	if (beside) {
		memcpy(ca->dir, beside->dir, sizeof(ca->dir));
	} else {
		memcpy(ca->dir, "/tmp/skiff-cert-XXXXXX", 23);
		assert_non_null(mkdtemp(ca->dir));
	}
	ca->key = EVP_EC_gen("P-256");
	ca->cert = t_cert_make(name, ca->key, NULL, ca->key, NULL);
	t_cert_write(ca, name, ca->cert, NULL);
}

/* NAME.crt and NAME.key with subject alternative names, e.g. "DNS:a.test,IP:127.0.0.1". */
static inline void t_leaf(const struct t_ca *ca, const char *name, const char *san)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = t_cert_make(name, key, ca->cert, ca->key, san);
	char file[64];

	snprintf(file, sizeof(file), "%s.crt", name);
	t_cert_write(ca, file, x, NULL);
	snprintf(file, sizeof(file), "%s.key", name);
	t_cert_write(ca, file, NULL, key);
	X509_free(x);
	EVP_PKEY_free(key);
}

static inline void t_file_write(const struct t_ca *ca, const char *name, const char *text)
{
	char *path = t_cert_path(ca, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	free(path);
}

static inline void t_ca_close(struct t_ca *ca, bool remove_files)
{
	char *cmd = xasprintf("rm -r %s", ca->dir);

	EVP_PKEY_free(ca->key);
	X509_free(ca->cert);
	if (remove_files)
		assert_int_equal(system(cmd), 0);
	free(cmd);
}

#endif
