/* The way in: many datagrams with one recvmmsg; viewers' plain reports are taken in, and their consent checks answered,
 * without Python.
 *
 * A plain report is SRTCP by AES-128-GCM (RFC 7714, 9) that holds receiver reports, REMB and descriptions alone, and
 * says that all is well: nothing was lost, and the path carries as much as before. Every viewer sends one or two a
 * second, and each one would cost Python fifty times what it costs here. Whatever else arrives, and whatever is not
 * understood to the last byte, is handed to Python as it came.
 */

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>
#include <structmember.h>

#include <netinet/in.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define KEY_SIZE 16
#define SALT_SIZE 12
#define TAG_SIZE 16
#define TRAILER_SIZE 4 /* RFC 3711, 3.4: the E bit and the index */
#define HEADER_SIZE 8
#define ENCRYPTED 0x80000000u
#define WINDOW 64 /* indices in which a repetition is recognised */
#define MAX_REPORTED 4 /* a viewer has two streams of ours, and may report on their repetitions */
#define BLOCK_SIZE 24
#define MAX_DATAGRAM 2048 /* as streamer.udp_socket has it */
#define MAX_DATAGRAMS 64
#define CONTROL_SIZE 128

#define RECEIVER_REPORT 201
#define DESCRIPTION 202
#define PAYLOAD_FEEDBACK 206
#define APPLICATION 15
#define PADDING 0x20
#define MAX_USERNAME 513 /* RFC 8489, 14.3 */
#define MAX_PASSWORD 256 /* RFC 8839, 5.4 */
#define MAX_ANSWER 128
#define MAX_CHECKS 32 /* as wire.ice remembers: more than a minute of consent checks */
#define TRANSACTION_SIZE 12
#define TRANSACTION_AT 8
#define STEADY(remb, before) (16 * (remb) >= 15 * (before)) /* estimates waver a little */

enum { ASIDE, TAKEN, REPEATED };

/* One report block (RFC 3550, 6.4.1), as numbers, and when it came. */
typedef struct {
    uint32_t ssrc, loss, highest, jitter, last_sr, delay;
    double at;
} Block;

typedef struct {
    uint32_t count;
    Block blocks[MAX_REPORTED];
    int has_remb;
    uint64_t remb;
} Report;

/* What one viewer's reports have said since they were last asked for. */
typedef struct {
    PyObject_HEAD
    EVP_CIPHER_CTX *cipher;
    unsigned char salt[SALT_SIZE];
    int has_source;
    uint32_t source, highest;
    uint64_t seen; /* bit n: index `highest - n` */
    uint64_t remb; /* the last one, whoever read it */
    int is_fresh;
    Report report;
    double heard_at;
    unsigned char *credentials; /* user name and password, for consent checks; NULL: Python answers */
    size_t username_size, password_size;
    unsigned char (*checks)[TRANSACTION_SIZE]; /* a ring of those that were answered */
    uint32_t checked;
    int control_level, control_type; /* what makes an answer leave from the address that was contacted */
    unsigned char control[64];
    size_t control_size;
} Reader;

typedef struct {
    PyObject_HEAD
    PyObject *readers; /* struct sockaddr as bytes -> Reader */
    unsigned long long taken;
} Inbox;

size_t answer_check(const unsigned char *datagram, size_t size, const struct sockaddr_storage *from,
                    const unsigned char *username, size_t username_size, const unsigned char *password,
                    size_t password_size, unsigned char *answer); /* _stun.c */

static unsigned char datagrams[MAX_DATAGRAMS][MAX_DATAGRAM];
static struct mmsghdr headers[MAX_DATAGRAMS];
static struct iovec vectors[MAX_DATAGRAMS];
static struct sockaddr_storage senders[MAX_DATAGRAMS];
static union {
    struct cmsghdr align;
    unsigned char bytes[CONTROL_SIZE];
} controls[MAX_DATAGRAMS];

static uint32_t read_u32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static double monotonic(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Reading a report. All functions answer whether it is understood. */

static int read_blocks(const unsigned char *body, size_t size, uint32_t count, Report *report)
{
    if (size < 4 + (size_t)count * BLOCK_SIZE || report->count + count > MAX_REPORTED)
        return 0;
    for (const unsigned char *at = body + 4; count > 0; count--, at += BLOCK_SIZE)
        report->blocks[report->count++] = (Block){
            read_u32(at), read_u32(at + 4), read_u32(at + 8), read_u32(at + 12), read_u32(at + 16), read_u32(at + 20), 0,
        };
    return 1;
}

/* draft-alvestrand-rmcat-remb-03, 2.2 */
static int read_remb(const unsigned char *body, size_t size, Report *report)
{
    if (size < 16 || memcmp(body + 8, "REMB", 4) != 0)
        return 0;
    uint32_t word = read_u32(body + 12), exponent = word >> 18 & 0x3F;
    if (size < 16 + 4 * (size_t)(word >> 24) || exponent > 40) /* so that sixteen times as much is a number too */
        return 0;
    report->has_remb = 1;
    report->remb = (uint64_t)(word & 0x3FFFF) << exponent;
    return 1;
}

static int read_compound(const unsigned char *at, size_t size, Report *report)
{
    while (size > 0) {
        if (size < 4 || at[0] >> 6 != 2 || at[0] & PADDING)
            return 0;
        size_t whole = 4 + 4 * ((size_t)at[2] << 8 | at[3]);
        uint32_t number = at[0] & 0x1F, kind = at[1];
        if (whole > size)
            return 0;
        if (kind == RECEIVER_REPORT) {
            if (!read_blocks(at + 4, whole - 4, number, report))
                return 0;
        } else if (kind == PAYLOAD_FEEDBACK && number == APPLICATION) {
            if (!read_remb(at + 4, whole - 4, report))
                return 0;
        } else if (kind != DESCRIPTION) {
            return 0;
        }
        at += whole;
        size -= whole;
    }
    return 1;
}

/* RFC 7714, 9: header and trailer are authenticated, what is between them is encrypted too. */
static int decrypt(Reader *self, const unsigned char *packet, size_t size, unsigned char *clear)
{
    unsigned char nonce[SALT_SIZE], associated[HEADER_SIZE + TRAILER_SIZE], tag[TAG_SIZE];
    size_t body = size - HEADER_SIZE - TAG_SIZE - TRAILER_SIZE;
    int done = 0;
    memcpy(nonce, self->salt, SALT_SIZE);
    for (int i = 0; i < 4; i++) {
        nonce[2 + i] ^= packet[4 + i];
        nonce[8 + i] ^= packet[size - TRAILER_SIZE + i] & (i == 0 ? 0x7F : 0xFF);
    }
    memcpy(associated, packet, HEADER_SIZE);
    memcpy(associated + HEADER_SIZE, packet + size - TRAILER_SIZE, TRAILER_SIZE);
    memcpy(tag, packet + HEADER_SIZE + body, TAG_SIZE);
    memcpy(clear, packet, HEADER_SIZE);
    return EVP_DecryptInit_ex(self->cipher, NULL, NULL, NULL, nonce) == 1
        && EVP_DecryptUpdate(self->cipher, NULL, &done, associated, sizeof associated) == 1
        && (body == 0 || EVP_DecryptUpdate(self->cipher, clear + HEADER_SIZE, &done, packet + HEADER_SIZE, (int)body) == 1)
        && EVP_CIPHER_CTX_ctrl(self->cipher, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) == 1
        && EVP_DecryptFinal_ex(self->cipher, clear + HEADER_SIZE + body, &done) == 1;
}

/* RFC 3711, 3.3.2. What is too old to tell counts as a repetition. */
static int is_repeated(const Reader *self, uint32_t source, uint32_t index)
{
    if (!self->has_source || source != self->source || index > self->highest)
        return 0;
    uint32_t behind = self->highest - index;
    return behind >= WINDOW || self->seen >> behind & 1;
}

static void note_index(Reader *self, uint32_t source, uint32_t index)
{
    if (!self->has_source) {
        self->has_source = 1;
        self->source = source;
        self->highest = index;
    }
    if (index > self->highest) {
        uint32_t ahead = index - self->highest;
        self->seen = ahead < WINDOW ? self->seen << ahead : 0;
        self->highest = index;
    }
    self->seen |= (uint64_t)1 << (self->highest - index);
}

/* The newest word on each stream counts. 0: too many streams. */
static int merge(Report *all, const Report *newer, double now)
{
    Report merged = *all;
    for (uint32_t i = 0; i < newer->count; i++) {
        uint32_t at = 0;
        while (at < merged.count && merged.blocks[at].ssrc != newer->blocks[i].ssrc)
            at++;
        if (at == MAX_REPORTED)
            return 0;
        merged.count += at == merged.count;
        merged.blocks[at] = newer->blocks[i];
        merged.blocks[at].at = now;
    }
    if (newer->has_remb) {
        merged.has_remb = 1;
        merged.remb = newer->remb;
    }
    *all = merged;
    return 1;
}

/* Is there no news in it that cannot wait until somebody asks? */
static int is_well(Reader *self, const Report *report)
{
    uint64_t before = self->remb;
    if (report->has_remb) {
        self->remb = report->remb;
        if (!STEADY(report->remb, before))
            return 0;
    }
    for (uint32_t i = 0; i < report->count; i++)
        if (report->blocks[i].loss >> 24)
            return 0;
    return 1;
}

/* TAKEN: a plain report, which is noted. REPEATED: it was taken before. ASIDE: something else. */
static int take(Reader *self, const unsigned char *packet, size_t size, double now)
{
    unsigned char clear[MAX_DATAGRAM];
    Report report = {0};
    if (size < HEADER_SIZE + TAG_SIZE + TRAILER_SIZE || size > MAX_DATAGRAM)
        return ASIDE;
    uint32_t source = read_u32(packet + 4), word = read_u32(packet + size - TRAILER_SIZE), index = word & ~ENCRYPTED;
    if (!(word & ENCRYPTED) || (self->has_source && source != self->source))
        return ASIDE;
    if (is_repeated(self, source, index))
        return REPEATED;
    if (!decrypt(self, packet, size, clear)
        || !read_compound(clear, size - TAG_SIZE - TRAILER_SIZE, &report) || !is_well(self, &report)
        || !merge(&self->report, &report, now))
        return ASIDE;
    note_index(self, source, index);
    self->is_fresh = 1;
    self->heard_at = now;
    return TAKEN;
}

/* Send an answer from where it was contacted. What a full socket does not take is lost: checks repeat themselves. */
static void reply(int fd, const Reader *self, unsigned char *answer, size_t size, struct msghdr *received)
{
    union {
        struct cmsghdr align;
        unsigned char bytes[CONTROL_SIZE];
    } control = {0};
    struct iovec vector = {answer, size};
    struct msghdr header = {
        .msg_name = received->msg_name, .msg_namelen = received->msg_namelen, .msg_iov = &vector, .msg_iovlen = 1};
    if (self->control_size) {
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(self->control_size);
        struct cmsghdr *message = CMSG_FIRSTHDR(&header);
        message->cmsg_level = self->control_level;
        message->cmsg_type = self->control_type;
        message->cmsg_len = CMSG_LEN(self->control_size);
        memcpy(CMSG_DATA(message), self->control, self->control_size);
    }
    sendmsg(fd, &header, MSG_DONTWAIT);
}

/* Has it come to the address of ours that answers leave from? Always, where there is but one. */
static int is_at_home(const Reader *self, struct msghdr *received)
{
    size_t at, size;
    if (!self->control_size)
        return 1;
    if (self->control_level == IPPROTO_IPV6) {
        at = offsetof(struct in6_pktinfo, ipi6_addr);
        size = sizeof(struct in6_addr);
    } else {
        at = offsetof(struct in_pktinfo, ipi_spec_dst);
        size = sizeof(struct in_addr);
    }
    for (struct cmsghdr *each = CMSG_FIRSTHDR(received); each != NULL; each = CMSG_NXTHDR(received, each))
        if (each->cmsg_level == self->control_level && each->cmsg_type == self->control_type)
            return at + size <= self->control_size && each->cmsg_len >= CMSG_LEN(at + size)
                && memcmp(CMSG_DATA(each) + at, self->control + at, size) == 0;
    return 0;
}

/* TAKEN: a consent check, which is answered. ASIDE: something else, or at another address of ours. */
static int check(int fd, Reader *self, const unsigned char *datagram, size_t size, struct msghdr *received, double now)
{
    unsigned char answer[MAX_ANSWER];
    if (self->credentials == NULL || !is_at_home(self, received))
        return ASIDE;
    size_t answered = answer_check(datagram, size, received->msg_name, self->credentials, self->username_size,
                                   self->credentials + self->username_size, self->password_size, answer);
    if (answered == 0)
        return ASIDE;
    memcpy(self->checks[self->checked++ % MAX_CHECKS], datagram + TRANSACTION_AT, TRANSACTION_SIZE);
    self->heard_at = now;
    reply(fd, self, answer, answered, received);
    return TAKEN;
}

/* Reader */

static void Reader_dealloc(Reader *self)
{
    PyTypeObject *type = Py_TYPE(self);
    EVP_CIPHER_CTX_free(self->cipher);
    PyMem_Free(self->credentials);
    PyMem_Free(self->checks);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *Reader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"key", "salt", NULL};
    Py_buffer key, salt;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*y*", names, &key, &salt))
        return NULL;
    Reader *self = NULL;
    if (key.len != KEY_SIZE || salt.len != SALT_SIZE) {
        PyErr_Format(PyExc_ValueError, "key of %zd and salt of %zd bytes", key.len, salt.len);
        goto done;
    }
    self = (Reader *)type->tp_alloc(type, 0);
    if (self == NULL)
        goto done;
    memcpy(self->salt, salt.buf, SALT_SIZE);
    self->cipher = EVP_CIPHER_CTX_new();
    if (self->cipher == NULL || EVP_DecryptInit_ex(self->cipher, EVP_aes_128_gcm(), NULL, key.buf, NULL) != 1) {
        PyErr_SetString(PyExc_RuntimeError, "OpenSSL refuses AES-128-GCM");
        Py_CLEAR(self);
    }
done:
    PyBuffer_Release(&key);
    PyBuffer_Release(&salt);
    return (PyObject *)self;
}

static PyObject *read_block(const Block *block)
{
    long lost = (long)(block->loss & 0xFFFFFF) - ((long)(block->loss & 0x800000) << 1); /* 24 bits and a sign */
    return Py_BuildValue("(d(kIlkkkk))", block->at, (unsigned long)block->ssrc, block->loss >> 24, lost,
                         (unsigned long)block->highest, (unsigned long)block->jitter, (unsigned long)block->last_sr,
                         (unsigned long)block->delay);
}

/* take() -> None | (blocks, remb): what has come since the last call. A block is (when, the fields of a ReportBlock). */
static PyObject *Reader_take(Reader *self, PyObject *Py_UNUSED(arguments))
{
    if (!self->is_fresh)
        Py_RETURN_NONE;
    const Report *report = &self->report;
    PyObject *blocks = PyTuple_New(report->count);
    if (blocks == NULL)
        return NULL;
    for (uint32_t i = 0; i < report->count; i++) {
        PyObject *block = read_block(&report->blocks[i]);
        if (block == NULL) {
            Py_DECREF(blocks);
            return NULL;
        }
        PyTuple_SET_ITEM(blocks, i, block);
    }
    PyObject *remb = report->has_remb ? PyLong_FromUnsignedLongLong(report->remb) : Py_NewRef(Py_None);
    self->is_fresh = 0;
    self->report = (Report){0};
    return Py_BuildValue("(NN)", blocks, remb);
}

/* read(datagram) -> bool: whether it is a plain report, and noted. For tests: `Inbox.receive` does this by itself. */
static PyObject *Reader_read(Reader *self, PyObject *argument)
{
    Py_buffer datagram;
    if (PyObject_GetBuffer(argument, &datagram, PyBUF_SIMPLE) < 0)
        return NULL;
    int outcome = take(self, datagram.buf, (size_t)datagram.len, monotonic());
    PyBuffer_Release(&datagram);
    return PyBool_FromLong(outcome == TAKEN);
}

/* answer(username, password): consent checks with these are answered from now on; without a user name, none are. */
static PyObject *Reader_answer(Reader *self, PyObject *args)
{
    const char *username, *password;
    Py_ssize_t username_size, password_size;
    if (!PyArg_ParseTuple(args, "y#y#", &username, &username_size, &password, &password_size))
        return NULL;
    if (username_size > MAX_USERNAME || password_size > MAX_PASSWORD) {
        PyErr_Format(PyExc_ValueError, "user name of %zd and password of %zd bytes", username_size, password_size);
        return NULL;
    }
    PyMem_Free(self->credentials);
    self->credentials = NULL;
    if (username_size == 0)
        Py_RETURN_NONE;
    if (self->checks == NULL && (self->checks = PyMem_Calloc(MAX_CHECKS, TRANSACTION_SIZE)) == NULL)
        return PyErr_NoMemory();
    self->credentials = PyMem_Malloc((size_t)(username_size + password_size));
    if (self->credentials == NULL)
        return PyErr_NoMemory();
    memcpy(self->credentials, username, (size_t)username_size);
    memcpy(self->credentials + username_size, password, (size_t)password_size);
    self->username_size = (size_t)username_size;
    self->password_size = (size_t)password_size;
    Py_RETURN_NONE;
}

/* knows(transaction_id) -> bool: whether a check with it was answered here, of the last MAX_CHECKS. */
static PyObject *Reader_knows(Reader *self, PyObject *argument)
{
    Py_buffer id;
    if (PyObject_GetBuffer(argument, &id, PyBUF_SIMPLE) < 0)
        return NULL;
    int found = 0;
    uint32_t count = self->checked < MAX_CHECKS ? self->checked : MAX_CHECKS;
    for (uint32_t i = 0; i < count && id.len == TRANSACTION_SIZE; i++)
        found |= memcmp(self->checks[i], id.buf, TRANSACTION_SIZE) == 0;
    PyBuffer_Release(&id);
    return PyBool_FromLong(found);
}

static PyMethodDef Reader_methods[] = {
    {"take", (PyCFunction)Reader_take, METH_NOARGS, "What has come since the last call."},
    {"answer", (PyCFunction)Reader_answer, METH_VARARGS, "Answer consent checks with these credentials."},
    {"knows", (PyCFunction)Reader_knows, METH_O, "Whether a check with this transaction id was answered."},
    {"read", (PyCFunction)Reader_read, METH_O, "Whether this datagram is a plain report."},
    {NULL, NULL, 0, NULL},
};
static PyMemberDef Reader_members[] = {
    {"heard_at", T_DOUBLE, offsetof(Reader, heard_at), READONLY, "When the last one came, on the monotonic clock."},
    {NULL, 0, 0, 0, NULL},
};
static PyType_Slot Reader_slots[] = {
    {Py_tp_new, Reader_new},
    {Py_tp_dealloc, Reader_dealloc},
    {Py_tp_methods, Reader_methods},
    {Py_tp_members, Reader_members},
    {0, NULL},
};
static PyType_Spec Reader_spec = {"relay._fanout.Reader", sizeof(Reader), 0, Py_TPFLAGS_DEFAULT, Reader_slots};

static int is_reader(PyObject *object)
{
    return Py_TYPE(object)->tp_dealloc == (destructor)Reader_dealloc;
}

/* Inbox */

static PyObject *Inbox_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    Inbox *self = (Inbox *)type->tp_alloc(type, 0);
    if (self != NULL && (self->readers = PyDict_New()) == NULL)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void Inbox_dealloc(Inbox *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(self->readers);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* listen(sockaddr: bytes, reader, level: int, type: int, control: bytes): reports and checks from there are this
 * reader's, and its answers carry this control message, where there is one. */
static PyObject *Inbox_listen(Inbox *self, PyObject *args)
{
    PyObject *address, *object;
    const char *control;
    Py_ssize_t control_size;
    int level, type;
    if (!PyArg_ParseTuple(args, "SOiiy#", &address, &object, &level, &type, &control, &control_size))
        return NULL;
    if (!is_reader(object)) {
        PyErr_SetString(PyExc_TypeError, "not a Reader");
        return NULL;
    }
    Reader *reader = (Reader *)object;
    if (control_size > (Py_ssize_t)sizeof reader->control) {
        PyErr_Format(PyExc_ValueError, "control message of %zd bytes", control_size);
        return NULL;
    }
    if (PyDict_SetItem(self->readers, address, object) < 0)
        return NULL;
    reader->control_level = level;
    reader->control_type = type;
    memcpy(reader->control, control, (size_t)control_size);
    reader->control_size = (size_t)control_size;
    Py_RETURN_NONE;
}

/* forget(sockaddr: bytes, reader): no longer; nothing happens when the address is another reader's by now. */
static PyObject *Inbox_forget(Inbox *self, PyObject *args)
{
    PyObject *address, *reader;
    if (!PyArg_ParseTuple(args, "SO", &address, &reader))
        return NULL;
    PyObject *found = PyDict_GetItemWithError(self->readers, address);
    if (found == NULL && PyErr_Occurred())
        return NULL;
    if (found == reader && PyDict_DelItem(self->readers, address) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static void prepare(void)
{
    for (int i = 0; i < MAX_DATAGRAMS; i++) {
        vectors[i] = (struct iovec){datagrams[i], MAX_DATAGRAM};
        headers[i].msg_hdr = (struct msghdr){
            .msg_name = &senders[i],
            .msg_namelen = sizeof senders[i],
            .msg_iov = &vectors[i],
            .msg_iovlen = 1,
            .msg_control = controls[i].bytes,
            .msg_controllen = CONTROL_SIZE,
        };
    }
}

static int is_rtcp(const unsigned char *datagram, size_t size)
{
    return size >= HEADER_SIZE && datagram[0] >> 6 == 2 && datagram[1] >= 192 && datagram[1] <= 223; /* RFC 5761, 4 */
}

static int is_stun(const unsigned char *datagram, size_t size)
{
    return size >= HEADER_SIZE && datagram[0] < 4; /* RFC 7983, 7 */
}

/* 1: it was a plain report, the repetition of one, or a consent check; 0: it is for Python; -1: an error. */
static int take_in(Inbox *self, int fd, int number, PyObject *address, double now)
{
    const unsigned char *datagram = datagrams[number];
    size_t size = headers[number].msg_len;
    if (!is_rtcp(datagram, size) && !is_stun(datagram, size))
        return 0;
    PyObject *reader = PyDict_GetItemWithError(self->readers, address);
    if (reader == NULL)
        return PyErr_Occurred() ? -1 : 0;
    if (is_stun(datagram, size))
        return check(fd, (Reader *)reader, datagram, size, &headers[number].msg_hdr, now) != ASIDE;
    return take((Reader *)reader, datagram, size, now) != ASIDE;
}

static PyObject *ancillary(struct msghdr *header)
{
    PyObject *list = PyList_New(0);
    if (list == NULL)
        return NULL;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at != NULL; at = CMSG_NXTHDR(header, at)) {
        PyObject *entry = Py_BuildValue("(iiy#)", at->cmsg_level, at->cmsg_type, CMSG_DATA(at),
                                        (Py_ssize_t)(at->cmsg_len - CMSG_LEN(0)));
        if (entry == NULL || PyList_Append(list, entry) < 0) {
            Py_XDECREF(entry);
            Py_DECREF(list);
            return NULL;
        }
        Py_DECREF(entry);
    }
    return list;
}

/* One datagram: taken in, or appended to `rest`. */
static int sort(Inbox *self, int fd, int number, PyObject *rest, double now)
{
    struct msghdr *header = &headers[number].msg_hdr;
    PyObject *address = PyBytes_FromStringAndSize((const char *)&senders[number], header->msg_namelen);
    if (address == NULL)
        return -1;
    int outcome = take_in(self, fd, number, address, now);
    if (outcome == 0) {
        PyObject *control = ancillary(header);
        PyObject *entry = control == NULL ? NULL
            : Py_BuildValue("(y#ON)", datagrams[number], (Py_ssize_t)headers[number].msg_len, address, control);
        outcome = entry == NULL ? -1 : PyList_Append(rest, entry);
        Py_XDECREF(entry);
    } else if (outcome > 0) {
        self->taken++;
        outcome = 0;
    }
    Py_DECREF(address);
    return outcome;
}

/* receive(fd) -> [(datagram, sockaddr, [(level, type, bytes)])]: what has arrived, MAX_DATAGRAMS at most, without the
 * reports that were taken in and the checks that were answered. Nothing there, and an ICMP error of somebody's earlier datagram, are an empty list. */
static PyObject *Inbox_receive(Inbox *self, PyObject *argument)
{
    long fd = PyLong_AsLong(argument);
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    PyObject *rest = PyList_New(0);
    if (rest == NULL)
        return NULL;
    prepare();
    int count = recvmmsg((int)fd, headers, MAX_DATAGRAMS, MSG_DONTWAIT, NULL);
    double now = monotonic();
    for (int number = 0; number < count; number++)
        if (sort(self, (int)fd, number, rest, now) < 0) {
            Py_DECREF(rest);
            return NULL;
        }
    return rest;
}

static Py_ssize_t Inbox_length(Inbox *self)
{
    return PyDict_GET_SIZE(self->readers);
}

static PyMethodDef Inbox_methods[] = {
    {"listen", (PyCFunction)Inbox_listen, METH_VARARGS, "Reports from this address are this reader's."},
    {"forget", (PyCFunction)Inbox_forget, METH_VARARGS, "They no longer are."},
    {"receive", (PyCFunction)Inbox_receive, METH_O, "What has arrived, without the reports that were taken in."},
    {NULL, NULL, 0, NULL},
};
static PyMemberDef Inbox_members[] = {
    {"taken", T_ULONGLONG, offsetof(Inbox, taken), READONLY, "Reports that were taken in, and repetitions of them."},
    {NULL, 0, 0, 0, NULL},
};
static PyType_Slot Inbox_slots[] = {
    {Py_tp_new, Inbox_new},
    {Py_tp_dealloc, Inbox_dealloc},
    {Py_tp_methods, Inbox_methods},
    {Py_tp_members, Inbox_members},
    {Py_mp_length, Inbox_length},
    {0, NULL},
};
static PyType_Spec Inbox_spec = {"relay._fanout.Inbox", sizeof(Inbox), 0, Py_TPFLAGS_DEFAULT, Inbox_slots};

/* For the module's start: see `_fanout.c`. */
int add_inbox(PyObject *module)
{
    PyType_Spec *specs[] = {&Reader_spec, &Inbox_spec};
    for (int i = 0; i < 2; i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, specs[i], NULL);
        if (type == NULL)
            return -1;
        int status = PyModule_AddType(module, (PyTypeObject *)type);
        Py_DECREF(type);
        if (status < 0)
            return -1;
    }
    return 0;
}
