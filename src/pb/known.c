/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * known.c: the texts that JSON has for types of google.protobuf, and base64. */
#include "base/base64.h"
#include "pb/format.h"

#include "google/protobuf/field_mask.sennit.h"

#define KNOWN_MIN_SECONDS  INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define KNOWN_MAX_SECONDS  INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
#define KNOWN_MAX_DURATION INT64_C(315576000000) /* 10,000 years */

enum pb_known pb_known_of(const sennit_msg_desc *d)
{
    static const char prefix[] = "google.protobuf.";
    static const struct {
        const char *name;
        enum pb_known known;
    } types[] = {
        { "Any", PB_ANY },
        { "Timestamp", PB_TIMESTAMP },
        { "Duration", PB_DURATION },
        { "FieldMask", PB_FIELD_MASK },
        { "Struct", PB_STRUCT },
        { "Value", PB_VALUE },
        { "ListValue", PB_LIST_VALUE },
        { "DoubleValue", PB_WRAPPER },
        { "FloatValue", PB_WRAPPER },
        { "Int64Value", PB_WRAPPER },
        { "UInt64Value", PB_WRAPPER },
        { "Int32Value", PB_WRAPPER },
        { "UInt32Value", PB_WRAPPER },
        { "BoolValue", PB_WRAPPER },
        { "StringValue", PB_WRAPPER },
        { "BytesValue", PB_WRAPPER },
    };
    if (strncmp(d->name, prefix, sizeof prefix - 1) != 0)
        return PB_ORDINARY;
    for (size_t i = 0; i < countof(types); i++)
        if (!strcmp(d->name + sizeof prefix - 1, types[i].name))
            return types[i].known;
    return PB_ORDINARY;
}

bool pb_is_null_value(const sennit_field *f)
{
    return pb_kind(f) == SENNIT_KIND_ENUM &&
           !strcmp(((const sennit_enum_desc *)f->type)->name, "google.protobuf.NullValue");
}

/* -- time ------------------------------------------------------------------------------------- */

/* n digits at *s; -1: they are not there. */
static int64_t known_digits(const char **s, const char *end, int n)
{
    int64_t v = 0;
    for (; n > 0; n--, ++*s) {
        if (*s == end || **s < '0' || **s > '9')
            return -1;
        v = v * 10 + (**s - '0');
    }
    return v;
}

/* ".123" as nanoseconds, or nothing as 0; -1: malformed. */
static int32_t known_fraction(const char **s, const char *end)
{
    int32_t nanos = 0, digits = 0;
    if (*s == end || **s != '.')
        return 0;
    for (++*s; *s < end && **s >= '0' && **s <= '9'; ++*s) {
        if (++digits > 9)
            return -1;
        nanos = nanos * 10 + (**s - '0');
    }
    for (int i = digits; i < 9; i++)
        nanos *= 10;
    return digits ? nanos : -1;
}

/* No fraction, or 3, 6 or 9 digits of it. */
static void known_print_fraction(struct pb_out *o, int32_t nanos)
{
    if (nanos == 0)
        return;
    if (nanos % 1000000 == 0)
        pb_out_printf(o, ".%03d", nanos / 1000000);
    else if (nanos % 1000 == 0)
        pb_out_printf(o, ".%06d", nanos / 1000);
    else
        pb_out_printf(o, ".%09d", nanos);
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar, which repeats every 146,097 days. */
static int64_t known_days(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year % 400; /* year >= 0 */
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int64_t known_month_days(int64_t year, int64_t month)
{
    static const int8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* Z or +hh:mm, as seconds east; INT64_MIN: malformed. */
static int64_t known_offset(const char *s, const char *end)
{
    if (end - s == 1 && *s == 'Z')
        return 0;
    if (end - s != 6 || (*s != '+' && *s != '-') || s[3] != ':')
        return INT64_MIN;
    int64_t sign = *s++ == '-' ? -1 : 1, hours = known_digits(&s, end, 2);
    s++;
    int64_t minutes = known_digits(&s, end, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return INT64_MIN;
    return sign * (hours * 3600 + minutes * 60);
}

bool pb_timestamp_parse(sennit_str text, int64_t *seconds, int32_t *nanos)
{
    static const char between[] = "--T::";
    static const int8_t width[] = { 4, 2, 2, 2, 2, 2 };
    const char *s = text.data, *end = s + text.len;
    int64_t v[6];
    for (size_t i = 0; i < 6; i++) {
        if (i && (s == end || *s++ != between[i - 1]))
            return false;
        v[i] = known_digits(&s, end, width[i]);
    }
    if (v[0] < 1 || v[1] < 1 || v[1] > 12 || v[2] < 1 || v[2] > known_month_days(v[0], v[1]) ||
        v[3] < 0 || v[3] > 23 || v[4] < 0 || v[4] > 59 || v[5] < 0 || v[5] > 59)
        return false;
    *nanos = known_fraction(&s, end);
    int64_t offset = known_offset(s, end);
    if (*nanos < 0 || offset == INT64_MIN)
        return false;
    *seconds = known_days(v[0], v[1], v[2]) * 86400 + v[3] * 3600 + v[4] * 60 + v[5] - offset;
    return *seconds >= KNOWN_MIN_SECONDS && *seconds <= KNOWN_MAX_SECONDS;
}

bool pb_timestamp_print(struct pb_out *o, int64_t seconds, int32_t nanos)
{
    if (seconds < KNOWN_MIN_SECONDS || seconds > KNOWN_MAX_SECONDS || nanos < 0 ||
        nanos > 999999999)
        return false;
    int64_t since = seconds - KNOWN_MIN_SECONDS, days = since / 86400, second = since % 86400;
    /* Counted from the first of March of year 0, 306 days earlier, leap days come last. */
    int64_t day = days + 306, era = day / 146097, of_era = day % 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), m = (5 * of_year + 2) / 153;
    int64_t month = m < 10 ? m + 3 : m - 9;
    year += era * 400 + (month <= 2);
    pb_out_printf(o, "%04d-%02d-%02dT%02d:%02d:%02d", (int)year, (int)month,
                  (int)(of_year - (153 * m + 2) / 5 + 1), (int)(second / 3600),
                  (int)(second / 60 % 60), (int)(second % 60));
    known_print_fraction(o, nanos);
    pb_out_char(o, 'Z');
    return true;
}

bool pb_duration_parse(sennit_str text, int64_t *seconds, int32_t *nanos)
{
    const char *s = text.data, *end = s + text.len;
    bool minus = s < end && *s == '-';
    int digits = 0;
    *seconds = 0;
    for (s += minus; s < end && *s >= '0' && *s <= '9'; s++) {
        *seconds = *seconds * 10 + (*s - '0');
        if (++digits > 12)
            return false;
    }
    *nanos = known_fraction(&s, end);
    if (!digits || *nanos < 0 || end - s != 1 || *s != 's' || *seconds > KNOWN_MAX_DURATION)
        return false;
    if (minus)
        *seconds = -*seconds, *nanos = -*nanos;
    return true;
}

bool pb_duration_print(struct pb_out *o, int64_t seconds, int32_t nanos)
{
    bool minus = seconds < 0 || nanos < 0;
    if (seconds < -KNOWN_MAX_DURATION || seconds > KNOWN_MAX_DURATION || nanos < -999999999 ||
        nanos > 999999999 || (minus && (seconds > 0 || nanos > 0)))
        return false;
    pb_out_printf(o, "%s%lld", minus ? "-" : "", (long long)(minus ? -seconds : seconds));
    known_print_fraction(o, minus ? -nanos : nanos);
    pb_out_char(o, 's');
    return true;
}

/* -- field masks ------------------------------------------------------------------------------ */

static bool known_path_parse(struct pb_out *o, const char *s, const char *end)
{
    pb_out_tag(o, 1, PB_LENGTH);
    size_t mark = o->len;
    for (; s < end; s++) {
        if (*s == '_')
            return false;
        bool upper = *s >= 'A' && *s <= 'Z';
        if (upper)
            pb_out_char(o, '_');
        pb_out_char(o, upper ? (char)(*s - 'A' + 'a') : *s);
    }
    pb_out_close(o, mark);
    return true;
}

bool pb_field_mask_parse(struct pb_out *o, sennit_str s)
{
    const char *at = s.data, *end = at + s.len;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at)), *stop = comma ? comma : end;
        if (stop == at || !known_path_parse(o, at, stop))
            return false;
        at = stop + (comma != NULL);
    }
    return true;
}

/* Only paths that read back the same have this form. */
static bool known_path_print(struct pb_out *o, sennit_str path)
{
    for (size_t i = 0; i < path.len; i++) {
        char c = path.data[i];
        if (c >= 'A' && c <= 'Z')
            return false;
        if (c == '_') {
            char next = i + 1 < path.len ? path.data[++i] : 0;
            if (next < 'a' || next > 'z')
                return false;
            c = (char)(next - 'a' + 'A');
        }
        if ((uint8_t)c < 32 || c == '"' || c == '\\')
            return false;
        pb_out_char(o, c);
    }
    return true;
}

bool pb_field_mask_print(struct pb_out *o, const void *msg)
{
    const google_protobuf_FieldMask *mask = msg;
    for (size_t i = 0; i < mask->paths.len; i++) {
        if (i)
            pb_out_char(o, ',');
        if (!known_path_print(o, mask->paths.data[i]))
            return false;
    }
    return true;
}

/* -- base64 ----------------------------------------------------------------------------------- */

bool pb_base64_parse(struct pb_out *o, sennit_str s)
{
    char *to = pb_out_room(o, s.len / 4 * 3 + 2);
    ptrdiff_t n = to ? base64_decode_any(to, s.data, s.len) : 0; /* no memory: the result is set */
    o->len += n > 0 ? (size_t)n : 0;
    return n >= 0;
}

void pb_base64_print(struct pb_out *o, sennit_str s)
{
    static const char padding[] = "==";
    char *to = s.len ? pb_out_room(o, BASE64_ENCODED(s.len)) : NULL;
    if (!to)
        return;
    o->len += (size_t)(base64_encode(to, s.data, s.len) - to);
    pb_out_add(o, padding, (3 - s.len % 3) % 3);
}
