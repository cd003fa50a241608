/* The inner loop of the fan-out: AES-128-GCM (RFC 7714) by OpenSSL, UDP segmentation and sendmmsg, without the GIL.
 *
 * Python decides who gets what; here packets are encrypted into one arena and sent until the socket is full. A target
 * that was cut short is given again, and is then encrypted to the same bytes under the same indices. What is read of a
 * target, and counted in it, are the attributes of relay.rtp_target.RtpTarget: thirty times a second and viewer, this
 * is where Python would spend more than the encryption. A viewer's sound may ride along with its picture: the last
 * segment of a send may be smaller than the others.
 */

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define TAG_SIZE 16
#define NONCE_SIZE 12
#define KEY_SIZE 16
#define MIN_HEADER 12
#define PADDING 0x20
#define MAX_PACKETS 4096       /* the history: no batch is longer */
#define MAX_PACKET_SIZE 1500   /* header, payload and tag */
#define MAX_RUN_SEGMENTS 64    /* UDP_MAX_SEGMENTS */
#define MAX_RUN_SIZE 65000     /* below the largest UDP datagram */
#define ARENA_SIZE (1 << 20)   /* what is encrypted before it is sent: it stays in the second-level cache */
#define MAX_MESSAGES 64
#define MAX_JOBS 256
#define CONTROL_SIZE 128
#define SINGLE_SENDS 1000 /* as relay.segmentation has it */
#define NEW_ROUTE 10001 /* beyond any errno */
#define NEW_HEADER 10002
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* One viewer's cipher and address. `route` is the object that the address was read from: another one is a new route. */
typedef struct {
    PyObject_HEAD
    EVP_CIPHER_CTX *cipher;
    PyObject *route;
    int fd;
    unsigned char mask[NONCE_SIZE];
    struct sockaddr_storage address;
    socklen_t address_size;
    int control_level, control_type;
    unsigned char control[64];
    size_t control_size;
    uint32_t single; /* sends until segmentation is tried again, which was refused for this viewer */
} Session;

/* The packets of a batch with the headers of one kind of viewer. */
typedef struct {
    PyObject_HEAD
    PyObject *headers, *payloads; /* tuples of bytes, kept alive */
    Py_ssize_t count, own, runs; /* those behind `own` are the rider's */
    const unsigned char **header, **payload;
    uint32_t *header_size, *payload_size;
    uint32_t *octets; /* of the payloads before each packet; one more than packets */
    uint32_t *run_end;
} Packets;

/* What is sent of one of a viewer's streams. Everything is kept alive while the job is there. */
typedef struct {
    PyObject *target, *header;
    Session *session;
    uint64_t first; /* the viewer's own index of the first packet of this stream */
} Lane;

/* One target, and its rider if that comes along; without packets it has no route. */
typedef struct {
    Lane own, rider;
    Packets *packets;
    uint32_t start; /* packets before this one were out before */
    uint32_t sent;  /* packets before this one are out now */
    uint32_t errors;
} Job;

/* Shared indices: of the first packet, and of the one behind the last. Negative where there are no packets. */
typedef struct {
    long long first, end;
} Span;

typedef struct {
    uint32_t job, end, segments;
} Message;

int add_inbox(PyObject *module); /* _inbox.c */

static unsigned char arena[ARENA_SIZE];
static struct mmsghdr headers[MAX_MESSAGES];
static struct iovec vectors[MAX_MESSAGES];
static Message messages[MAX_MESSAGES];
static union {
    struct cmsghdr align;
    unsigned char bytes[CONTROL_SIZE];
} controls[MAX_MESSAGES];
static Job jobs[MAX_JOBS];
static int is_busy = 0; /* the buffers are shared; guarded by the GIL */

/* Session */

static void Session_dealloc(Session *self)
{
    PyTypeObject *type = Py_TYPE(self);
    EVP_CIPHER_CTX_free(self->cipher);
    Py_XDECREF(self->route);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *Session_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"key", "mask", NULL};
    Py_buffer key, mask;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*y*", names, &key, &mask))
        return NULL;
    Session *self = NULL;
    if (key.len != KEY_SIZE || mask.len != NONCE_SIZE) {
        PyErr_Format(PyExc_ValueError, "key of %zd and mask of %zd bytes", key.len, mask.len);
        goto done;
    }
    self = (Session *)type->tp_alloc(type, 0);
    if (self == NULL)
        goto done;
    memcpy(self->mask, mask.buf, NONCE_SIZE);
    self->fd = -1;
    self->cipher = EVP_CIPHER_CTX_new();
    if (self->cipher == NULL || EVP_EncryptInit_ex(self->cipher, EVP_aes_128_gcm(), NULL, key.buf, NULL) != 1) {
        PyErr_SetString(PyExc_RuntimeError, "OpenSSL refuses AES-128-GCM");
        Py_CLEAR(self);
    }
done:
    PyBuffer_Release(&key);
    PyBuffer_Release(&mask);
    return (PyObject *)self;
}

/* route(route, fd: int, address: bytes, level: int, type: int, control: bytes): the object that says so, a struct
 * sockaddr, empty for a connected socket, and one control message, empty for none. */
static PyObject *Session_route(Session *self, PyObject *args)
{
    Py_buffer address, control;
    PyObject *route;
    int fd, level, type;
    if (!PyArg_ParseTuple(args, "Oiy*iiy*", &route, &fd, &address, &level, &type, &control))
        return NULL;
    int fits = address.len <= (Py_ssize_t)sizeof self->address && control.len <= (Py_ssize_t)sizeof self->control;
    if (fits) {
        memcpy(&self->address, address.buf, address.len);
        self->address_size = (socklen_t)address.len;
        self->control_level = level;
        self->control_type = type;
        memcpy(self->control, control.buf, control.len);
        self->control_size = control.len;
        self->fd = fd;
        Py_XSETREF(self->route, Py_NewRef(route));
    } else {
        PyErr_Format(PyExc_ValueError, "address of %zd and control message of %zd bytes", address.len, control.len);
    }
    PyBuffer_Release(&address);
    PyBuffer_Release(&control);
    if (!fits)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef Session_methods[] = {
    {"route", (PyCFunction)Session_route, METH_VARARGS, "Where this viewer is."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot Session_slots[] = {
    {Py_tp_new, Session_new},
    {Py_tp_dealloc, Session_dealloc},
    {Py_tp_methods, Session_methods},
    {0, NULL},
};
static PyType_Spec Session_spec = {"relay._fanout.Session", sizeof(Session), 0, Py_TPFLAGS_DEFAULT, Session_slots};

/* Packets */

static void Packets_dealloc(Packets *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(self->headers);
    Py_XDECREF(self->payloads);
    PyMem_Free(self->header);
    PyMem_Free(self->payload);
    PyMem_Free(self->header_size);
    PyMem_Free(self->payload_size);
    PyMem_Free(self->octets);
    PyMem_Free(self->run_end);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static int read_bytes(PyObject *tuple, Py_ssize_t count, const unsigned char **at, uint32_t *size)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(tuple, i);
        if (!PyBytes_Check(item)) {
            PyErr_SetString(PyExc_TypeError, "headers and payloads are bytes");
            return -1;
        }
        at[i] = (const unsigned char *)PyBytes_AS_STRING(item);
        size[i] = (uint32_t)PyBytes_GET_SIZE(item);
    }
    return 0;
}

/* Every packet must fit a datagram, and every run a segmented send: sizes are checked once, here. */
static int check_sizes(Packets *self)
{
    uint32_t start = 0;
    for (Py_ssize_t run = 0; run < self->runs; run++) {
        uint32_t end = self->run_end[run];
        size_t total = 0;
        if (end <= start || end > (uint32_t)self->count || end - start > MAX_RUN_SEGMENTS)
            return -1;
        for (uint32_t i = start; i < end; i++) {
            size_t size = (size_t)self->header_size[i] + self->payload_size[i] + TAG_SIZE;
            if (self->header_size[i] < MIN_HEADER || size > MAX_PACKET_SIZE)
                return -1;
            total += size;
        }
        if (total > MAX_RUN_SIZE)
            return -1;
        start = end;
    }
    return start == (uint32_t)self->count ? 0 : -1;
}

/* Bytes at the end of a payload that are none of it (RFC 3550, 5.1), and not counted. */
static uint32_t padding(const Packets *self, Py_ssize_t at)
{
    uint32_t size = self->payload_size[at];
    int is_padded = self->header_size[at] && (self->header[at][0] & PADDING) && size;
    uint32_t last = is_padded ? self->payload[at][size - 1] : 0;
    return last <= size ? last : 0;
}

static PyObject *Packets_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"headers", "payloads", "run_ends", "own", NULL};
    PyObject *head, *body, *ends;
    Py_ssize_t own = -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!O!|n", names, &PyTuple_Type, &head, &PyTuple_Type, &body,
                                     &PyTuple_Type, &ends, &own))
        return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(head), runs = PyTuple_GET_SIZE(ends);
    own = own < 0 ? count : own;
    if (count == 0 || count > MAX_PACKETS || PyTuple_GET_SIZE(body) != count || runs > count || own < 1 || own > count) {
        PyErr_Format(PyExc_ValueError, "%zd headers, %zd payloads, %zd runs, %zd of its own", count,
                     PyTuple_GET_SIZE(body), runs, own);
        return NULL;
    }
    Packets *self = (Packets *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->headers = Py_NewRef(head);
    self->payloads = Py_NewRef(body);
    self->count = count;
    self->own = own;
    self->runs = runs;
    self->header = PyMem_New(const unsigned char *, count);
    self->payload = PyMem_New(const unsigned char *, count);
    self->header_size = PyMem_New(uint32_t, count);
    self->payload_size = PyMem_New(uint32_t, count);
    self->octets = PyMem_New(uint32_t, count + 1);
    self->run_end = PyMem_New(uint32_t, runs + 1);
    if (!self->header || !self->payload || !self->header_size || !self->payload_size || !self->octets
        || !self->run_end) {
        PyErr_NoMemory();
        goto failed;
    }
    if (read_bytes(head, count, self->header, self->header_size) < 0
        || read_bytes(body, count, self->payload, self->payload_size) < 0)
        goto failed;
    self->octets[0] = 0;
    for (Py_ssize_t i = 0; i < count; i++)
        self->octets[i + 1] = self->octets[i] + self->payload_size[i] - padding(self, i);
    for (Py_ssize_t run = 0; run < runs; run++) {
        unsigned long end = PyLong_AsUnsignedLong(PyTuple_GET_ITEM(ends, run));
        if (PyErr_Occurred())
            goto failed;
        self->run_end[run] = end > MAX_PACKETS ? MAX_PACKETS + 1 : (uint32_t)end;
    }
    if (check_sizes(self) < 0) {
        PyErr_SetString(PyExc_ValueError, "packets or runs of a size that cannot be sent");
        goto failed;
    }
    return (PyObject *)self;
failed:
    Py_DECREF(self);
    return NULL;
}

static PyType_Slot Packets_slots[] = {
    {Py_tp_new, Packets_new},
    {Py_tp_dealloc, Packets_dealloc},
    {0, NULL},
};
static PyType_Spec Packets_spec = {"relay._fanout.Packets", sizeof(Packets), 0, Py_TPFLAGS_DEFAULT, Packets_slots};

/* Encryption */

/* RFC 7714, 8.1: two zero bytes, the SSRC and the index, XOR the salt; the mask is salt and SSRC already. */
static void make_nonce(const unsigned char *mask, uint64_t index, unsigned char *nonce)
{
    memcpy(nonce, mask, NONCE_SIZE);
    for (int i = 0; i < 6; i++)
        nonce[NONCE_SIZE - 1 - i] ^= (unsigned char)(index >> (8 * i));
}

/* One packet to `out`; returns its size, 0 when OpenSSL fails. */
static size_t seal(const Job *job, uint32_t at, unsigned char *out)
{
    const Packets *packets = job->packets;
    uint32_t own = (uint32_t)packets->own;
    const Lane *lane = at < own ? &job->own : &job->rider;
    EVP_CIPHER_CTX *cipher = lane->session->cipher;
    uint64_t index = lane->first + (at < own ? at : at - own);
    uint32_t header_size = packets->header_size[at], payload_size = packets->payload_size[at];
    unsigned char nonce[NONCE_SIZE], *body = out + header_size;
    int size = 0, ok;
    memcpy(out, packets->header[at], header_size);
    out[2] = (unsigned char)(index >> 8);
    out[3] = (unsigned char)index;
    make_nonce(lane->session->mask, index, nonce);
    ok = EVP_EncryptInit_ex(cipher, NULL, NULL, NULL, nonce) == 1
        && EVP_EncryptUpdate(cipher, NULL, &size, out, (int)header_size) == 1;
    if (ok && payload_size)
        ok = EVP_EncryptUpdate(cipher, body, &size, packets->payload[at], (int)payload_size) == 1;
    ok = ok && EVP_EncryptFinal_ex(cipher, body + payload_size, &size) == 1
        && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, body + payload_size) == 1;
    return ok ? (size_t)header_size + payload_size + TAG_SIZE : 0;
}

/* Sending */

static void set_control(struct msghdr *header, unsigned char *bytes, const Session *session, uint16_t segment)
{
    struct cmsghdr *message;
    size_t used = 0;
    if (!session->control_size && !segment)
        return;
    memset(bytes, 0, CONTROL_SIZE);
    header->msg_control = bytes;
    header->msg_controllen = CONTROL_SIZE;
    message = CMSG_FIRSTHDR(header);
    if (session->control_size) {
        message->cmsg_level = session->control_level;
        message->cmsg_type = session->control_type;
        message->cmsg_len = CMSG_LEN(session->control_size);
        memcpy(CMSG_DATA(message), session->control, session->control_size);
        used += CMSG_SPACE(session->control_size);
        message = CMSG_NXTHDR(header, message);
    }
    if (segment && message != NULL) {
        message->cmsg_level = IPPROTO_UDP;
        message->cmsg_type = UDP_SEGMENT;
        message->cmsg_len = CMSG_LEN(sizeof segment);
        memcpy(CMSG_DATA(message), &segment, sizeof segment);
        used += CMSG_SPACE(sizeof segment);
    }
    header->msg_controllen = used;
}

/* Encrypt packets from `start` to `end` of one job as one message. Returns the bytes used, 0 on failure. */
static size_t add_message(uint32_t number, const Job *job, uint32_t job_number, uint32_t start, uint32_t end,
                          unsigned char *out)
{
    struct msghdr *header = &headers[number].msg_hdr;
    size_t used = 0, first = 0;
    for (uint32_t at = start; at < end; at++) {
        size_t size = seal(job, at, out + used);
        if (size == 0)
            return 0;
        if (at == start)
            first = size;
        used += size;
    }
    vectors[number].iov_base = out;
    vectors[number].iov_len = used;
    memset(header, 0, sizeof *header);
    header->msg_iov = &vectors[number];
    header->msg_iovlen = 1;
    if (job->own.session->address_size) {
        header->msg_name = &job->own.session->address;
        header->msg_namelen = job->own.session->address_size;
    }
    set_control(header, controls[number].bytes, job->own.session, end - start > 1 ? (uint16_t)first : 0);
    messages[number] = (Message){job_number, end, end - start};
    return used;
}

static int is_segmentation_error(int error)
{
    return error == EIO || error == EINVAL || error == ENOTSUP || error == ENOPROTOOPT || error == EMSGSIZE;
}

/* Send the first `count` messages, all of one socket. 0: all are dealt with; EAGAIN: the socket is full; else:
 * segmentation was refused for one viewer, which gets packet by packet when it is called again. */
static int flush(int fd, uint32_t count)
{
    uint32_t done = 0;
    while (done < count) {
        int sent = sendmmsg(fd, headers + done, count - done, 0);
        if (sent > 0) {
            for (int i = 0; i < sent; i++, done++)
                jobs[messages[done].job].sent = messages[done].end;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return EAGAIN;
        if (messages[done].segments > 1 && is_segmentation_error(errno)) {
            jobs[messages[done].job].own.session->single = SINGLE_SENDS;
            return errno;
        }
        jobs[messages[done].job].errors++; /* no route, or a firewall of our own: this viewer's loss */
        jobs[messages[done].job].sent = messages[done].end;
        done++;
    }
    return 0;
}

/* All jobs. As `flush`; -1 when OpenSSL fails. */
static int send_jobs(uint32_t count, int segmentation)
{
    uint32_t number = 0;
    size_t used = 0;
    int status, fd = -1;
    for (uint32_t j = 0; j < count; j++) {
        const Packets *packets = jobs[j].packets;
        uint32_t start = jobs[j].sent, end, run = 0;
        if (packets == NULL)
            continue;
        for (; start < (uint32_t)packets->count; start = end) {
            while (packets->run_end[run] <= start)
                run++;
            end = segmentation && !jobs[j].own.session->single ? packets->run_end[run] : start + 1;
            if (number == MAX_MESSAGES || used + MAX_RUN_SIZE > ARENA_SIZE || (number && fd != jobs[j].own.session->fd)) {
                if ((status = flush(fd, number)) != 0)
                    return status;
                number = 0;
                used = 0;
            }
            fd = jobs[j].own.session->fd;
            size_t size = add_message(number, &jobs[j], j, start, end, arena + used);
            if (size == 0)
                return -1;
            used += size;
            number++;
        }
    }
    return flush(fd, number);
}

/* Targets */

enum { NATIVE, ROUTE, HEADER, NEXT, BASE, PACKETS, OCTETS, ERRORS, RIDER, NAMES };
static const char *const name_texts[NAMES] = {
    "native", "route", "header", "next", "base", "packets", "octets", "errors", "rider",
};

/* `slotted` is the type of targets, when it keeps all of these in __slots__; `offsets` is where. */
typedef struct {
    PyTypeObject *session, *packets, *slotted;
    PyObject *names[NAMES];
    Py_ssize_t offsets[NAMES];
} State;

/* Look once where the slots of this type are: a dozen attributes of each target are read and written with each picture.
 * Nothing is noted of a type without slots, whose attributes are then asked for by name. */
static void find_slots(State *state, PyTypeObject *type)
{
    Py_ssize_t offsets[NAMES];
    for (int name = 0; name < NAMES; name++) {
        PyObject *found = PyObject_GetAttr((PyObject *)type, state->names[name]);
        if (found == NULL) {
            PyErr_Clear();
            return;
        }
        int is_slot = Py_IS_TYPE(found, &PyMemberDescr_Type) && PyDescr_TYPE(found) == type
            && ((PyMemberDescrObject *)found)->d_member->type == T_OBJECT_EX;
        offsets[name] = is_slot ? ((PyMemberDescrObject *)found)->d_member->offset : 0;
        Py_DECREF(found);
        if (!is_slot)
            return;
    }
    memcpy(state->offsets, offsets, sizeof offsets);
    state->slotted = (PyTypeObject *)Py_NewRef((PyObject *)type);
}

/* A slot of a target that has slots and a value in it, else NULL. */
static PyObject **slot_of(const State *state, PyObject *target, int name)
{
    if (!Py_IS_TYPE(target, state->slotted))
        return NULL;
    PyObject **slot = (PyObject **)((char *)target + state->offsets[name]);
    return *slot == NULL ? NULL : slot;
}

static PyObject *get_value(const State *state, PyObject *target, int name)
{
    PyObject **slot = slot_of(state, target, name);
    return slot != NULL ? Py_NewRef(*slot) : PyObject_GetAttr(target, state->names[name]);
}

static int set_value(const State *state, PyObject *target, int name, PyObject *value)
{
    PyObject **slot = slot_of(state, target, name);
    if (slot == NULL)
        return PyObject_SetAttr(target, state->names[name], value);
    Py_SETREF(*slot, Py_NewRef(value));
    return 0;
}

static int get_number(const State *state, PyObject *target, int name, int64_t *number)
{
    PyObject *value = get_value(state, target, name);
    if (value == NULL)
        return -1;
    *number = PyLong_AsLongLong(value);
    Py_DECREF(value);
    return *number == -1 && PyErr_Occurred() ? -1 : 0;
}

static int set_number(const State *state, PyObject *target, int name, int64_t number)
{
    PyObject *value = PyLong_FromLongLong(number);
    if (value == NULL)
        return -1;
    int status = set_value(state, target, name, value);
    Py_DECREF(value);
    return status;
}

static int add_number(const State *state, PyObject *target, int name, int64_t more)
{
    int64_t number;
    if (get_number(state, target, name, &number) < 0)
        return -1;
    return set_number(state, target, name, number + more);
}

/* The packets for one kind of header, or one of each, borrowed; NULL where there are none. Most targets have the very
 * headers of the one before. */
static Packets *find_packets(State *state, PyObject *layouts, const Job *job, const Job *before)
{
    PyObject *found, *rides = job->rider.header;
    if (before != NULL && before->packets != NULL && before->own.header == job->own.header
        && before->rider.header == rides)
        return before->packets;
    if (rides == NULL) {
        found = PyDict_GetItemWithError(layouts, job->own.header);
    } else {
        PyObject *both = PyTuple_Pack(2, job->own.header, rides);
        if (both == NULL)
            return NULL;
        found = PyDict_GetItemWithError(layouts, both);
        Py_DECREF(both);
    }
    return found != NULL && Py_IS_TYPE(found, state->packets) ? (Packets *)found : NULL;
}

/* The session of a target; -1: an error, 0: it has none. */
static int read_session(State *state, Lane *lane)
{
    PyObject *session = get_value(state, lane->target, NATIVE);
    if (session == NULL)
        return -1;
    if (!Py_IS_TYPE(session, state->session)) {
        Py_DECREF(session);
        return 0;
    }
    lane->session = (Session *)session;
    return 1;
}

/* The header and the own first index of a lane with a session, and its `next`. */
static int read_lane(State *state, long long first, Lane *lane, int64_t *next)
{
    int64_t base;
    if (get_number(state, lane->target, NEXT, next) < 0
        || get_number(state, lane->target, BASE, &base) < 0)
        return -1;
    lane->first = (uint64_t)(first - base);
    lane->header = get_value(state, lane->target, HEADER);
    return lane->header == NULL ? -1 : 0;
}

static void release_lane(Lane *lane)
{
    Py_CLEAR(lane->target);
    Py_CLEAR(lane->header);
    Py_CLEAR(lane->session);
}

/* The rider, where the batch has just what it needs next: `start` then says what is left. It has its target's route. */
static int read_rider(State *state, Span rides, int has_all, Job *job)
{
    int64_t next;
    job->rider.target = get_value(state, job->own.target, RIDER);
    if (job->rider.target == NULL)
        return -1;
    int found = job->rider.target == Py_None ? 0 : read_session(state, &job->rider);
    if (found > 0 && read_lane(state, rides.first, &job->rider, &next) < 0)
        return -1;
    if (found > 0 && next >= rides.first && next < rides.end && (has_all || next == rides.first))
        job->start += has_all ? (uint32_t)(next - rides.first) : 0;
    else
        release_lane(&job->rider);
    return found < 0 ? -1 : 0;
}

/* What a target with a session and a route is sent. As `read_job`. */
static int load_job(State *state, PyObject *layouts, Span span, Span rides, Job *job, const Job *before)
{
    int64_t next;
    if (read_lane(state, span.first, &job->own, &next) < 0)
        return -1;
    int has_all = next >= span.end;
    next = has_all ? span.end - span.first : next > span.first ? next - span.first : 0;
    job->start = next < MAX_PACKETS ? (uint32_t)next : MAX_PACKETS;
    if (rides.first >= 0 && read_rider(state, rides, has_all, job) < 0)
        return -1;
    job->sent = job->start;
    job->packets = find_packets(state, layouts, job, before);
    if (job->packets == NULL)
        return PyErr_Occurred() ? -1 : NEW_HEADER;
    Py_INCREF(job->packets);
    job->own.session->single -= job->own.session->single > 0;
    if (job->packets->count > job->packets->own && job->rider.session == NULL) {
        PyErr_SetString(PyExc_TypeError, "packets of a rider for a target without one");
        return -1;
    }
    return 0;
}

/* 0; NEW_ROUTE: the session does not know the route yet; NEW_HEADER: there are no packets for its kind of header yet;
 * -1: an error. */
static int read_job(State *state, PyObject *layouts, Span span, Span rides, PyObject *target, Job *job,
                    const Job *before)
{
    int status = 0;
    *job = (Job){.own.target = Py_NewRef(target)};
    PyObject *route = get_value(state, target, ROUTE);
    if (route == NULL)
        return -1;
    if (route != Py_None) {
        status = read_session(state, &job->own);
        if (status == 0)
            PyErr_SetString(PyExc_TypeError, "a target that was not added");
        if (status <= 0)
            status = -1;
        else if (job->own.session->route != route)
            status = NEW_ROUTE;
        else
            status = load_job(state, layouts, span, rides, job, before);
    }
    Py_DECREF(route);
    return status;
}

/* Packets from `start` to `end` of the cargo, which are those behind `next`, have left. */
static int settle_lane(State *state, PyObject *target, int64_t next, const Packets *packets, uint32_t start,
                       uint32_t end)
{
    int64_t octets = packets->octets[end] - packets->octets[start];
    if (set_number(state, target, NEXT, next) < 0
        || add_number(state, target, PACKETS, end - start) < 0
        || add_number(state, target, OCTETS, octets) < 0)
        return -1;
    return 0;
}

/* Tell a target, and its rider, what has left. Returns 1 when the target is dealt with. */
static int settle_job(State *state, Span span, Span rides, const Job *job)
{
    PyObject *target = job->own.target;
    const Packets *packets = job->packets;
    uint32_t errors = job->errors, start = job->start, sent = job->sent;
    if (packets == NULL) {
        errors++; /* no route: nobody can be asked for what it missed */
        if (set_number(state, target, NEXT, span.end) < 0)
            return -1;
    } else {
        uint32_t own = (uint32_t)packets->own, own_sent = sent < own ? sent : own, ridden = start > own ? start : own;
        if (own_sent > start
            && settle_lane(state, target, span.first + own_sent, packets, start, own_sent) < 0)
            return -1;
        if (sent > ridden
            && settle_lane(state, job->rider.target, rides.first + (sent - own), packets, ridden, sent) < 0)
            return -1;
    }
    if (errors && add_number(state, target, ERRORS, errors) < 0)
        return -1;
    return packets == NULL || sent >= (uint32_t)packets->count;
}

static void release_jobs(uint32_t count)
{
    for (uint32_t j = 0; j < count; j++) {
        release_lane(&jobs[j].own);
        release_lane(&jobs[j].rider);
        Py_XDECREF(jobs[j].packets);
    }
    is_busy = 0;
}

/* How many targets, from the front, are dealt with; -1 for an error. */
static Py_ssize_t settle_jobs(State *state, Span span, Span rides, uint32_t count)
{
    Py_ssize_t done = 0;
    for (uint32_t j = 0; j < count; j++) {
        int is_done = settle_job(state, span, rides, &jobs[j]);
        if (is_done < 0)
            return -1;
        if (is_done && done == j)
            done++;
    }
    return done;
}

/* send(layouts: dict, first, end, targets: list, segmentation[, rider_first, rider_end]) -> (status, done)
 *
 * `layouts` has the Packets of a batch by the targets' `header`, and with its rider by a pair of headers; `first` is the
 * index of its first packet, `end` the one behind its last, and so for the rider, -1 without one. `done` targets, from
 * the front, are dealt with. status: 0; EAGAIN: the socket is full; another errno: segmentation was refused for one
 * target, call again with the same; NEW_ROUTE, NEW_HEADER: nothing was sent, because target `done` has a route that its
 * session was not told of, or a header for which there are no packets. */
static PyObject *fanout_send(PyObject *module, PyObject *args)
{
    State *state = PyModule_GetState(module);
    PyObject *layouts, *targets;
    Span span, rides = {-1, -1};
    int segmentation, status = 0;
    if (!PyArg_ParseTuple(args, "O!LLO!p|LL", &PyDict_Type, &layouts, &span.first, &span.end, &PyList_Type, &targets,
                          &segmentation, &rides.first, &rides.end))
        return NULL;
    Py_ssize_t count = PyList_GET_SIZE(targets), done = -1;
    if (count > MAX_JOBS || is_busy) {
        PyErr_Format(PyExc_ValueError, is_busy ? "two threads send at once" : "%zd targets at once", count);
        return NULL;
    }
    if (state->slotted == NULL && count > 0)
        find_slots(state, Py_TYPE(PyList_GET_ITEM(targets, 0)));
    is_busy = 1;
    uint32_t ready = 0;
    while (status == 0 && ready < (uint32_t)count && ready < (uint32_t)PyList_GET_SIZE(targets)) {
        const Job *before = ready ? &jobs[ready - 1] : NULL;
        status = read_job(state, layouts, span, rides, PyList_GET_ITEM(targets, ready), &jobs[ready], before);
        ready++;
    }
    if (status == 0) {
        Py_BEGIN_ALLOW_THREADS
        status = send_jobs(ready, segmentation);
        Py_END_ALLOW_THREADS
        if (status < 0)
            PyErr_SetString(PyExc_RuntimeError, "OpenSSL failed to encrypt");
        else
            done = settle_jobs(state, span, rides, ready);
    } else if (status > 0) {
        done = ready - 1;
    }
    release_jobs(ready);
    return PyErr_Occurred() ? NULL : Py_BuildValue("(in)", status, done);
}

static PyMethodDef methods[] = {
    {"send", fanout_send, METH_VARARGS, "Encrypt and send the packets of each job until the socket is full."},
    {NULL, NULL, 0, NULL},
};

static int fanout_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    state->session = (PyTypeObject *)PyType_FromModuleAndSpec(module, &Session_spec, NULL);
    state->packets = (PyTypeObject *)PyType_FromModuleAndSpec(module, &Packets_spec, NULL);
    if (state->session == NULL || state->packets == NULL)
        return -1;
    if (PyModule_AddType(module, state->session) < 0 || PyModule_AddType(module, state->packets) < 0)
        return -1;
    for (int name = 0; name < NAMES; name++)
        if ((state->names[name] = PyUnicode_InternFromString(name_texts[name])) == NULL)
            return -1;
    if (add_inbox(module) < 0 || PyModule_AddIntConstant(module, "NEW_ROUTE", NEW_ROUTE) < 0
        || PyModule_AddIntConstant(module, "NEW_HEADER", NEW_HEADER) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "MAX_JOBS", MAX_JOBS);
}

static int fanout_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->session);
    Py_VISIT(state->packets);
    Py_VISIT(state->slotted);
    return 0;
}

static int fanout_clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->session);
    Py_CLEAR(state->packets);
    Py_CLEAR(state->slotted);
    for (int name = 0; name < NAMES; name++)
        Py_CLEAR(state->names[name]);
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fanout_exec},
    {0, NULL},
};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "relay._fanout",
    .m_doc = "Encrypts and sends packets for many viewers without the GIL.",
    .m_size = sizeof(State),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = fanout_traverse,
    .m_clear = fanout_clear,
};

PyMODINIT_FUNC PyInit__fanout(void)
{
    return PyModuleDef_Init(&definition);
}
