/* TLS for remotes: libevent's bufferevents over OpenSSL.
 *
 * Both sides show certificates.  A peer's must be signed by the configured
 * authority.  With --bootstrap-ca-cert and no file yet, that of the first peer to
 * which we connect is taken and kept in the file; nobody can connect to us
 * before. */
#include <config.h>
#include "mgmt/db/server.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(tls);

/* A configured file and the state in which it has been read. */
struct config_file {
    bool read;
    char *name;
    struct timespec mtime;
};

static SSL_CTX *ctx;
static struct config_file private_key, certificate, ca_cert, peer_ca_cert;
static char *protocols, *ciphers;
static bool bootstrapping;      /* The CA certificate is still to come. */

static void
log_ssl_errors(const char *what, const char *name)
{
    unsigned long e;

    while ((e = ERR_get_error())) {
        char buf[256];
        ERR_error_string_n(e, buf, sizeof buf);
        VLOG_ERR("%s: %s: %s", name, what, buf);
    }
}

static void
init_ctx(void)
{
    if (!ctx) {
        ctx = SSL_CTX_new(TLS_method());
        SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
        SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                              | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER
                                | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
}

/* Notes that 'name' (NULL: none) is the file to use.  Returns whether it has
 * to be read: it is another one, or has changed. */
static bool
update_file(const char *name, struct config_file *file)
{
    struct timespec mtime = { 0, 0 };
    struct stat s;
    bool same_name;

    if (name && !stat(name, &s)) {
        mtime = s.st_mtim;
    }
    same_name = nullable_string_is_equal(name, file->name);
    if (same_name && (!name || (mtime.tv_sec == file->mtime.tv_sec
                                && mtime.tv_nsec == file->mtime.tv_nsec))) {
        return false;
    }
    if (!same_name) {
        free(file->name);
        file->name = nullable_xstrdup(name);
    }
    file->mtime = mtime;
    file->read = false;
    return name != NULL;
}

static void
read_key_and_certificate(void)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate.name) != 1) {
        log_ssl_errors("can't read the certificate", certificate.name);
        return;
    }
    certificate.read = true;
    if (SSL_CTX_use_PrivateKey_file(ctx, private_key.name,
                                    SSL_FILETYPE_PEM) != 1) {
        log_ssl_errors("can't read the private key", private_key.name);
        return;
    }
    private_key.read = true;
}

static void
read_ca_cert(bool bootstrap)
{
    struct stat s;

    if (!strcmp(ca_cert.name, "none")) {
        ca_cert.read = true;
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        VLOG_WARN("Peer certificate validation disabled "
                  "(this is a security risk)");
        return;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       NULL);
    /* A new store: the authority of before isn't to be trusted any more. */
    SSL_CTX_set_cert_store(ctx, X509_STORE_new());
    bootstrapping = bootstrap && stat(ca_cert.name, &s) && errno == ENOENT;
    if (bootstrapping) {
        return;
    }
    if (SSL_CTX_load_verify_locations(ctx, ca_cert.name, NULL) != 1) {
        log_ssl_errors("can't read the CA certificate", ca_cert.name);
        return;
    }
    SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(ca_cert.name));
    ca_cert.read = true;
}

static void
read_peer_ca_cert(void)
{
    FILE *stream = fopen(peer_ca_cert.name, "r");
    X509 *cert;

    if (!stream) {
        VLOG_ERR("%s: can't read the peer CA certificate: %s",
                 peer_ca_cert.name, ovs_strerror(errno));
        return;
    }
    SSL_CTX_clear_extra_chain_certs(ctx);
    while ((cert = PEM_read_X509(stream, NULL, NULL, NULL))) {
        SSL_CTX_add_extra_chain_cert(ctx, cert); /* Takes 'cert'. */
    }
    ERR_clear_error();
    fclose(stream);
    peer_ca_cert.read = true;
}

static void
set_protocols(const char *s)
{
    static const struct {
        const char *name;
        long option;
    } known[] = {
        { "TLSv1", SSL_OP_NO_TLSv1 },
        { "TLSv1.1", SSL_OP_NO_TLSv1_1 },
        { "TLSv1.2", SSL_OP_NO_TLSv1_2 },
        { "TLSv1.3", SSL_OP_NO_TLSv1_3 },
    };
    long off = 0;
    char *copy, *word, *save_ptr = NULL;
    bool any = false;
    size_t i;

    for (i = 0; i < ARRAY_SIZE(known); i++) {
        off |= known[i].option;
    }
    copy = xstrdup(s);
    for (word = strtok_r(copy, " ,\t", &save_ptr); word;
         word = strtok_r(NULL, " ,\t", &save_ptr)) {
        for (i = 0; i < ARRAY_SIZE(known); i++) {
            if (!strcasecmp(word, known[i].name)) {
                off &= ~known[i].option;
                any = true;
                break;
            }
        }
        if (i == ARRAY_SIZE(known)) {
            VLOG_ERR("%s: SSL protocol not recognized", word);
        }
    }
    free(copy);
    if (any) {
        SSL_CTX_clear_options(ctx, SSL_OP_NO_SSL_MASK);
        SSL_CTX_set_options(ctx, off);
    }
}

/* Notes that 'new' is the setting kept in '*old'.  Returns whether that is
 * news. */
static bool
update_string(const char *new, char **old)
{
    if (nullable_string_is_equal(new, *old)) {
        return false;
    }
    free(*old);
    *old = nullable_xstrdup(new);
    return new != NULL;
}

/* Sets what new connections use: file names, or NULL.  Files are read again
 * when they have changed. */
void
tls_configure(const char *private_key_name, const char *certificate_name,
              const char *ca_cert_name, bool bootstrap,
              const char *peer_ca_cert_name, const char *protocols_,
              const char *ciphers_)
{
    bool key_changed, certificate_changed;

    init_ctx();
    key_changed = update_file(private_key_name, &private_key);
    certificate_changed = update_file(certificate_name, &certificate);
    if ((key_changed || certificate_changed)
        && private_key.name && certificate.name) {
        read_key_and_certificate();
    }
    if (update_file(ca_cert_name, &ca_cert)) {
        read_ca_cert(bootstrap);
    }
    if (update_file(peer_ca_cert_name, &peer_ca_cert)) {
        read_peer_ca_cert();
    }
    if (update_string(protocols_, &protocols)) {
        set_protocols(protocols_);
    }
    if (update_string(ciphers_, &ciphers)
        && SSL_CTX_set_cipher_list(ctx, ciphers_) != 1) {
        log_ssl_errors("can't set the ciphers", ciphers_);
    }
}

static bool
is_configured(void)
{
    if (!private_key.read) {
        VLOG_ERR("Private key must be configured to use SSL");
    } else if (!certificate.read) {
        VLOG_ERR("Certificate must be configured to use SSL");
    } else if (!ca_cert.read && !bootstrapping) {
        VLOG_ERR("CA certificate must be configured to use SSL");
    } else {
        return true;
    }
    return false;
}

/* A bufferevent that speaks TLS over 'fd', which it takes, as the server if
 * 'accept'.  On failure returns NULL and sets '*error'. */
struct bufferevent *
tls_bufferevent(struct event_base *base, int fd, bool accept, int *error)
{
    struct bufferevent *bev = NULL;
    SSL *ssl;

    init_ctx();
    *error = ENOPROTOOPT;
    if (is_configured()) {
        ssl = SSL_new(ctx);
        if (bootstrapping && !accept) {
            SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
        }
        bev = bufferevent_openssl_socket_new(
            base, fd, ssl, (accept ? BUFFEREVENT_SSL_ACCEPTING
                            : BUFFEREVENT_SSL_CONNECTING),
            BEV_OPT_CLOSE_ON_FREE);
        *error = ENOMEM;
    }
    if (!bev) {
        close(fd);
        return NULL;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    *error = 0;
    return bev;
}

/* Keeps the authority at the end of the peer's chain in the CA certificate's
 * file. */
static void
learn_authority(SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    X509 *ca;
    FILE *stream;
    int fd;

    if (!chain || !sk_X509_num(chain)) {
        VLOG_ERR("could not bootstrap CA cert: no certificate presented by "
                 "peer");
        return;
    }
    ca = sk_X509_value(chain, sk_X509_num(chain) - 1);
    if (X509_check_issued(ca, ca) != X509_V_OK) {
        VLOG_ERR("could not bootstrap CA cert: CA certificate is not "
                 "self-signed");
        return;
    }
    fd = open(ca_cert.name, O_CREAT | O_EXCL | O_WRONLY, 0444);
    if (fd < 0) {
        VLOG_ERR("could not bootstrap CA cert: creating %s failed: %s",
                 ca_cert.name, ovs_strerror(errno));
        return;
    }
    stream = fdopen(fd, "w");
    if (!PEM_write_X509(stream, ca) || fclose(stream)) {
        VLOG_ERR("could not bootstrap CA cert: writing %s failed",
                 ca_cert.name);
        unlink(ca_cert.name);
        return;
    }
    VLOG_INFO("successfully bootstrapped CA cert to %s", ca_cert.name);
    read_ca_cert(false);
}

/* Whether the peer to which 'bev' has connected showed a certificate before
 * there was an authority to verify it.  Then the authority is taken from it, and
 * the connection is of no use: the next one will tell whether it fits. */
bool
tls_is_unverified(struct bufferevent *bev)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);

    if (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER
        || !strcmp(ca_cert.name, "none")) {
        return false;
    }
    if (bootstrapping) {
        learn_authority(ssl);
    }
    return true;
}

/* The common name in the peer's certificate, for access control, which the
 * caller must free; NULL if it has shown none. */
char *
tls_peer_id(struct bufferevent *bev)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    char *id = NULL;
    ASN1_STRING *s;
    X509_NAME *name;
    X509 *cert;
    int i;

    if (!ssl) {
        return NULL;
    }
    cert = SSL_get1_peer_certificate(ssl);
    if (!cert) {
        return NULL;
    }
    name = X509_get_subject_name(cert);
    i = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (i >= 0) {
        s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i));
        if (strlen((const char *) ASN1_STRING_get0_data(s))
            == (size_t) ASN1_STRING_length(s)) {
            id = xstrdup((const char *) ASN1_STRING_get0_data(s));
        } else {
            VLOG_WARN("a peer's certificate has a common name with a null "
                      "character: ignored");
        }
    }
    X509_free(cert);
    return id;
}
