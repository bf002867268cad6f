/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * err.c: making and copying errors. An error is one block: header, details, and the text "rpc
 * error: code = ... desc = ..." whose tail is the message, so that sennit_err_text needs no memory.
 * The block belongs to the ring of the goroutine or thread that made it and is freed when
 * LIMIT_ERRORS_KEPT newer ones came, or with its owner; nobody else touches the ring, so it has no
 * lock. Freed is one that the next error is made in, if it fits: a thousand goroutines that each
 * keep their last errors would else scatter them anew all over the heap, for ever. */
#include "rt/err.h"
#include "base/limits.h"
#include "base/sys.h"
#include "rt/rt_private.h"
#include <stdio.h>

#define ERR_PREFIX "rpc error: code = "
#define ERR_DESC   " desc = "

struct err_block {
    struct sennit_error e;
    const char *text;
    size_t size; /* octets of this block */
};

struct err_ring {
    uint32_t next;
    struct err_block *spare; /* the last one that left */
    struct err_block *blocks[LIMIT_ERRORS_KEPT];
};

/* What a block is made of. */
struct err_parts {
    sennit_code code;
    uint32_t reason;
    const char *message;
    size_t len;
    const sennit_detail *details;
    uint32_t n_details;
    const sennit_detail *extra; /* one detail more, or NULL */
    char number[24];            /* name of a code that has none */
    const char *name;
};

static const char *const err_names[] = {
    "OK",       "Canceled",        "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",   "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",      "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated",
};

static const struct sennit_error err_memory = ERR_FIXED(WHY(NO_MEMORY), "out of memory");
static const struct sennit_error err_channel = ERR_FIXED(WHY(CHANNEL_CLOSED), "channel closed");
const struct sennit_error err_ctx_cancelled = ERR_FIXED(WHY(CANCELLED), "context canceled");
const struct sennit_error err_ctx_expired = ERR_FIXED(WHY(DEADLINE), "context deadline exceeded");
const sennit_err sennit_no_memory = &err_memory;
const sennit_err sennit_closed = &err_channel;

/* Those that live for ever; pointers to them are compared, so they are never copied. */
static const struct {
    sennit_err err;
    const char *text;
} err_fixed[] = {
    { &err_memory, ERR_PREFIX "ResourceExhausted" ERR_DESC "out of memory" },
    { &err_channel, ERR_PREFIX "OutOfRange" ERR_DESC "channel closed" },
    { &err_ctx_cancelled, ERR_PREFIX "Canceled" ERR_DESC "context canceled" },
    { &err_ctx_expired, ERR_PREFIX "DeadlineExceeded" ERR_DESC "context deadline exceeded" },
};

static const char *err_fixed_text(sennit_err err)
{
    for (size_t i = 0; i < countof(err_fixed); i++)
        if (err_fixed[i].err == err)
            return err_fixed[i].text;
    return NULL;
}

/* -- the ring -------------------------------------------------------------------------------- */

static void err_ring_free(void *errors)
{
    struct err_ring *r = errors;
    for (size_t i = 0; r && i < LIMIT_ERRORS_KEPT; i++)
        sys.free(r->blocks[i]);
    if (r)
        sys.free(r->spare);
    sys.free(r);
}

/* Before main, so that no thread reads the hook while it changes. */
__attribute__((constructor)) static void err_set_hook(void) { rt_errors_free = err_ring_free; }

static struct err_ring *err_ring(bool make)
{
    void **slot = rt_errors_slot(), *ring = NULL;
    san_ignore_begin(); /* of a record that is reused in ways that TSan does not see */
    if (slot && !*slot && make)
        *slot = sys.calloc(1, sizeof(struct err_ring));
    if (slot)
        ring = *slot;
    san_ignore_end();
    return ring;
}

#define ERR_GRAIN 64u /* octets that a block's size is a multiple of */

/* From the ring if a block is there that is large enough, and not far too large. */
static void *err_ring_take(size_t size)
{
    struct err_ring *r = err_ring(false);
    struct err_block *spare = r ? r->spare : NULL;
    size_t whole = (size + ERR_GRAIN - 1) & ~(size_t)(ERR_GRAIN - 1);
    bool fits = BASE_KEEPS && spare && spare->size >= whole && spare->size / 2 <= whole;
    struct err_block *b = fits ? spare : sys.malloc(whole);
    if (fits)
        r->spare = NULL;
    else if (b)
        b->size = whole;
    return b;
}

/* The oldest one goes last of all: the new one may have been made of its text. */
static sennit_err err_ring_put(struct err_block *b)
{
    struct err_ring *r = b ? err_ring(true) : NULL;
    if (!r) {
        sys.free(b);
        return sennit_no_memory;
    }
    sys.free(r->spare);
    r->spare = r->blocks[r->next];
    r->blocks[r->next] = b;
    r->next = (r->next + 1) % LIMIT_ERRORS_KEPT;
    return &b->e;
}

static const struct err_block *err_ring_find(sennit_err err)
{
    const struct err_ring *r = err_ring(false);
    for (size_t i = 0; r && i < LIMIT_ERRORS_KEPT; i++)
        if (r->blocks[i] && &r->blocks[i]->e == err)
            return r->blocks[i];
    return NULL;
}

/* -- blocks ---------------------------------------------------------------------------------- */

/* Cut between characters. */
static size_t err_cut(const char *message, size_t len)
{
    if (len <= LIMIT_ERROR_TEXT)
        return len;
    len = LIMIT_ERROR_TEXT;
    while (len > LIMIT_ERROR_TEXT - 4 && ((uint8_t)message[len] & 0xc0) == 0x80)
        len--;
    return len;
}

static void err_parts_finish(struct err_parts *p)
{
    p->len = err_cut(p->message, p->len);
    if ((size_t)p->code < countof(err_names)) {
        p->name = err_names[p->code];
    } else {
        snprintf(p->number, sizeof p->number, "Code(%u)", (unsigned)p->code);
        p->name = p->number;
    }
}

static const sennit_detail *err_parts_detail(const struct err_parts *p, uint32_t i)
{
    return i < p->n_details ? &p->details[i] : p->extra;
}

static size_t err_parts_size(const struct err_parts *p)
{
    uint32_t n = p->n_details + (p->extra != NULL);
    size_t size = sizeof(struct err_block) + n * sizeof(sennit_detail) +
                  sizeof ERR_PREFIX ERR_DESC + strlen(p->name) + p->len;
    for (uint32_t i = 0; i < n; i++) {
        const sennit_detail *d = err_parts_detail(p, i);
        size += (d->type_url ? strlen(d->type_url) : 0) + 1 + d->value.len + 1;
    }
    return size;
}

static char *err_append(char *at, const void *data, size_t n)
{
    if (n)
        memcpy(at, data, n);
    return at + n;
}

static sennit_str err_append_str(char **at, const void *data, size_t n)
{
    sennit_str s = { *at, n };
    *at = err_append(*at, data, n);
    *(*at)++ = '\0';
    return s;
}

/* mem has err_parts_size octets. */
static struct err_block *err_build(void *mem, const struct err_parts *p)
{
    struct err_block *b = mem;
    uint32_t n = p->n_details + (p->extra != NULL);
    sennit_detail *details = (sennit_detail *)(b + 1);
    char *at = (char *)(details + n);
    b->text = at;
    at = err_append(at, ERR_PREFIX, sizeof ERR_PREFIX - 1);
    at = err_append(at, p->name, strlen(p->name));
    at = err_append(at, ERR_DESC, sizeof ERR_DESC - 1);
    b->e = (struct sennit_error){ .code = p->code,
                                  .n_details = n,
                                  .reason = p->reason,
                                  .message = err_append_str(&at, p->message, p->len).data,
                                  .details = n ? details : NULL };
    for (uint32_t i = 0; i < n; i++) {
        const sennit_detail *d = err_parts_detail(p, i);
        const char *url = d->type_url ? d->type_url : "";
        details[i].type_url = err_append_str(&at, url, strlen(url)).data;
        details[i].value = err_append_str(&at, d->value.data, d->value.len);
    }
    return b;
}

static struct err_block *err_block_new(const struct err_parts *p)
{
    void *mem = err_ring_take(err_parts_size(p));
    return mem ? err_build(mem, p) : NULL;
}

static struct err_parts err_parts_of(sennit_err err, const sennit_detail *extra)
{
    struct err_parts p = { .code = err->code,
                           .reason = err->reason,
                           .message = err->message ? err->message : "",
                           .details = err->details,
                           .n_details = err->n_details,
                           .extra = extra };
    p.len = strlen(p.message);
    return p;
}

/* -- reasons --------------------------------------------------------------------------------- */

/* All names and hints in one string, two for each reason: a table of pointers would be a third of
 * it again. Looked up when somebody wants to read one. */
#define ERR_WHY(number, name, code, hint) ERR_WHY_NAME #number "\0" hint "\0"
#define ERR_WHY_NAME                      "SENNIT-E"
static const char err_whys[] = WHY_TABLE(ERR_WHY);

static const char *err_why_find(uint32_t number)
{
    char name[sizeof ERR_WHY_NAME + 10];
    snprintf(name, sizeof name, ERR_WHY_NAME "%u", (unsigned)number);
    for (const char *s = err_whys; *s; s += strlen(s) + 1) {
        if (strcmp(s, name) == 0)
            return s;
        s += strlen(s) + 1;
    }
    return NULL;
}

const char *sennit_err_reason(sennit_err err)
{
    const char *text = err && err->reason ? err_why_find(err->reason) : NULL;
    return text ? text : "";
}

const char *sennit_err_hint(sennit_err err)
{
    const char *text = sennit_err_reason(err);
    return text[0] ? text + strlen(text) + 1 : "";
}

/* -- inside ---------------------------------------------------------------------------------- */

sennit_err err_make(sennit_code code, const char *message, size_t len)
{
    if (code == SENNIT_OK)
        return NULL;
    struct err_parts p = { .code = code, .message = len ? message : "", .len = len };
    if (WHY_NUMBER(code) - WHY_FIRST <= WHY_LAST - WHY_FIRST)
        p.code = WHY_CODE(code), p.reason = WHY_NUMBER(code);
    err_parts_finish(&p);
    return err_ring_put(err_block_new(&p));
}

sennit_err err_vmake(sennit_code code, const char *fmt, va_list ap)
{
    char small[512], *text = small;
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    if (n < 0)
        small[0] = '\0', n = 0;
    size_t len = (size_t)n;
    if (len >= sizeof small) {
        size_t room = min_size(len, LIMIT_ERROR_TEXT + 4) + 1;
        text = sys.malloc(room);
        if (text)
            vsnprintf(text, room, fmt, again), len = room - 1;
    }
    va_end(again);
    sennit_err err = text ? err_make(code, text, len) : sennit_no_memory;
    if (text != small)
        sys.free(text);
    return err;
}

const char *err_code_name(sennit_code code)
{
    if ((size_t)code < countof(err_names))
        return err_names[code];
    char name[24];
    snprintf(name, sizeof name, "Code(%u)", (unsigned)code);
    sennit_err err = err_make(SENNIT_UNKNOWN, name, strlen(name)); /* lends its memory */
    return err == sennit_no_memory ? "Code(?)" : err->message;
}

sennit_err err_hold(sennit_err err)
{
    if (!err || err_fixed_text(err))
        return err;
    struct err_parts p = err_parts_of(err, NULL);
    err_parts_finish(&p);
    struct err_block *b = err_block_new(&p);
    return b ? &b->e : sennit_no_memory;
}

void err_drop(sennit_err held)
{
    if (held && !err_fixed_text(held))
        sys.free(container_of(held, struct err_block, e));
}

sennit_err err_own(sennit_err err)
{
    if (!err || err_fixed_text(err) || err_ring_find(err))
        return err;
    struct err_parts p = err_parts_of(err, NULL);
    err_parts_finish(&p);
    return err_ring_put(err_block_new(&p));
}

/* -- public ---------------------------------------------------------------------------------- */

sennit_err sennit_errorf(sennit_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sennit_err err = err_vmake(code, fmt, ap);
    va_end(ap);
    return err;
}

sennit_err sennit_err_detail(sennit_err err, const char *type_url, sennit_str value)
{
    if (!err)
        return NULL;
    sennit_detail extra = { type_url, value };
    struct err_parts p = err_parts_of(err, &extra);
    err_parts_finish(&p);
    return err_ring_put(err_block_new(&p));
}

sennit_err sennit_err_copy(sennit_arena *a, sennit_err err)
{
    if (!err || err_fixed_text(err))
        return err;
    struct err_parts p = err_parts_of(err, NULL);
    err_parts_finish(&p);
    if (!a)
        return err_ring_put(err_block_new(&p));
    void *mem = sennit_alloc(a, err_parts_size(&p));
    return mem ? &err_build(mem, &p)->e : sennit_no_memory;
}

const char *sennit_err_text(sennit_err err)
{
    if (!err)
        return "OK";
    const char *text = err_fixed_text(err);
    if (text)
        return text;
    const struct err_block *b = err_ring_find(err);
    if (b)
        return b->text;
    struct err_parts p = err_parts_of(err, NULL);
    err_parts_finish(&p);
    sennit_err own = err_ring_put(err_block_new(&p));
    return own == sennit_no_memory ? err->message : container_of(own, struct err_block, e)->text;
}
