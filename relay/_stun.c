/* A consent check (RFC 7675) of a viewer whose address is known already, and its answer (RFC 8489, RFC 8445, 7.3).
 *
 * Every browser sends one every few seconds for as long as it watches. What is answered here is exactly what a browser
 * sends: the expected user name, a good MESSAGE-INTEGRITY and FINGERPRINT, the role of the controlling side and nothing
 * that has to be understood and is not. Everything else is left to Python, wire/stun.py and wire/ice.py.
 */

#define _GNU_SOURCE
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER_SIZE 20
#define MAX_SIZE 512 /* a browser's check has about 100 bytes */
#define BINDING_REQUEST 0x0001
#define BINDING_SUCCESS 0x0101
#define COOKIE 0x2112A442u
#define INTEGRITY_SIZE 20
#define WHOLE_INTEGRITY (4 + INTEGRITY_SIZE)
#define WHOLE_FINGERPRINT 8
#define FINGERPRINT_XOR 0x5354554Eu

enum {
    USERNAME = 0x0006,
    MESSAGE_INTEGRITY = 0x0008,
    XOR_MAPPED_ADDRESS = 0x0020,
    PRIORITY = 0x0024,
    USE_CANDIDATE = 0x0025,
    FIRST_OPTIONAL = 0x8000, /* RFC 8489, 14: those below must be understood */
    FINGERPRINT = 0x8028,
    ICE_CONTROLLED = 0x8029,
};

static uint32_t read_u16(const unsigned char *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t read_u32(const unsigned char *at)
{
    return read_u16(at) << 16 | read_u16(at + 2);
}

static unsigned char *write_u16(unsigned char *at, uint32_t value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
    return at + 2;
}

static unsigned char *write_u32(unsigned char *at, uint32_t value)
{
    return write_u16(write_u16(at, value >> 16), value & 0xFFFF);
}

/* The CRC of Ethernet and zlib, four bits at a time. */
static uint32_t crc32(const unsigned char *data, size_t size)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
        0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < size; i++) {
        crc = table[(crc ^ data[i]) & 0x0F] ^ crc >> 4;
        crc = table[(crc ^ data[i] >> 4) & 0x0F] ^ crc >> 4;
    }
    return ~crc;
}

/* RFC 8489, 14.5: over all that comes before, with the length as if this attribute were the last one. */
static int sign(const unsigned char *message, size_t size, const unsigned char *password, size_t password_size,
                unsigned char *out)
{
    unsigned char before[MAX_SIZE];
    unsigned int written = 0;
    memcpy(before, message, size);
    write_u16(before + 2, (uint32_t)(size - HEADER_SIZE + WHOLE_INTEGRITY));
    return HMAC(EVP_sha1(), password, (int)password_size, before, size, out, &written) != NULL
        && written == INTEGRITY_SIZE;
}

/* Where MESSAGE-INTEGRITY begins, behind attributes that are all understood, with the user name among them; 0: not so. */
static size_t find_integrity(const unsigned char *datagram, size_t size, const unsigned char *username,
                             size_t username_size)
{
    int has_username = 0;
    for (size_t at = HEADER_SIZE; at + 4 <= size;) {
        uint32_t attribute = read_u16(datagram + at), length = read_u16(datagram + at + 2);
        if (attribute == MESSAGE_INTEGRITY)
            return has_username && length == INTEGRITY_SIZE ? at : 0;
        if (at + 4 + length > size || attribute == ICE_CONTROLLED || attribute == FINGERPRINT)
            return 0;
        if (attribute == USERNAME) {
            if (has_username || length != username_size || memcmp(datagram + at + 4, username, length) != 0)
                return 0;
            has_username = 1;
        } else if (attribute < FIRST_OPTIONAL && attribute != PRIORITY && attribute != USE_CANDIDATE) {
            return 0;
        }
        at += 4 + ((length + 3) & ~3u);
    }
    return 0;
}

static int is_good(const unsigned char *datagram, size_t size, const unsigned char *username, size_t username_size,
                   const unsigned char *password, size_t password_size)
{
    unsigned char expected[INTEGRITY_SIZE];
    if (size < HEADER_SIZE + WHOLE_INTEGRITY + WHOLE_FINGERPRINT || size > MAX_SIZE || size & 3)
        return 0;
    if (read_u16(datagram) != BINDING_REQUEST || read_u16(datagram + 2) != size - HEADER_SIZE
        || read_u32(datagram + 4) != COOKIE)
        return 0;
    size_t integrity = find_integrity(datagram, size, username, username_size);
    size_t fingerprint = integrity + WHOLE_INTEGRITY;
    if (integrity == 0 || fingerprint + WHOLE_FINGERPRINT != size)
        return 0;
    if (read_u16(datagram + fingerprint) != FINGERPRINT || read_u16(datagram + fingerprint + 2) != 4
        || read_u32(datagram + fingerprint + 4) != (crc32(datagram, fingerprint) ^ FINGERPRINT_XOR))
        return 0;
    return sign(datagram, integrity, password, password_size, expected)
        && CRYPTO_memcmp(expected, datagram + integrity + 4, INTEGRITY_SIZE) == 0;
}

/* RFC 8489, 14.2; an IPv4 address in IPv6's coat is an IPv4 one. NULL: no address of the internet. */
static unsigned char *write_mapped(unsigned char *at, const struct sockaddr_storage *from, const unsigned char *mask)
{
    const unsigned char *address;
    uint32_t size = 4, port;
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *plain = (const struct sockaddr_in *)from;
        address = (const unsigned char *)&plain->sin_addr;
        port = ntohs(plain->sin_port);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;
        int is_mapped = IN6_IS_ADDR_V4MAPPED(&six->sin6_addr);
        address = (const unsigned char *)&six->sin6_addr + (is_mapped ? 12 : 0);
        size = is_mapped ? 4 : 16;
        port = ntohs(six->sin6_port);
    } else {
        return NULL;
    }
    at = write_u16(write_u16(at, XOR_MAPPED_ADDRESS), 4 + size);
    at = write_u16(write_u16(at, size == 4 ? 1 : 2), port ^ COOKIE >> 16);
    for (uint32_t i = 0; i < size; i++)
        at[i] = address[i] ^ mask[i];
    return at + size;
}

/* The answer to a good consent check, `ANSWER_SIZE` bytes at most; returns its size, 0 for anything else. */
size_t answer_check(const unsigned char *datagram, size_t size, const struct sockaddr_storage *from,
                    const unsigned char *username, size_t username_size, const unsigned char *password,
                    size_t password_size, unsigned char *answer)
{
    if (!is_good(datagram, size, username, username_size, password, password_size))
        return 0;
    memcpy(answer, datagram, HEADER_SIZE); /* cookie and transaction id are the same */
    write_u16(answer, BINDING_SUCCESS);
    unsigned char *at = write_mapped(answer + HEADER_SIZE, from, answer + 4);
    if (at == NULL || !sign(answer, (size_t)(at - answer), password, password_size, at + 4))
        return 0;
    at = write_u16(write_u16(at, MESSAGE_INTEGRITY), INTEGRITY_SIZE) + INTEGRITY_SIZE;
    write_u16(answer + 2, (uint32_t)(at - answer - HEADER_SIZE + WHOLE_FINGERPRINT));
    uint32_t crc = crc32(answer, (size_t)(at - answer)) ^ FINGERPRINT_XOR;
    at = write_u32(write_u16(write_u16(at, FINGERPRINT), 4), crc);
    return (size_t)(at - answer);
}
