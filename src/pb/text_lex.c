/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * text_lex.c: see text_lex.h. */
#include "pb/text_lex.h"

static bool text_is_digit(char c) { return c >= '0' && c <= '9'; }

static bool text_is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || text_is_digit(c);
}

static void text_space(struct text_lex *l)
{
    while (l->at < l->end) {
        char c = *l->at;
        if (c == '#')
            while (l->at < l->end && *l->at != '\n')
                l->at++;
        else if (c == ' ' || (c >= '\t' && c <= '\r'))
            l->at++;
        else
            return;
    }
}

static void text_string(struct text_lex *l)
{
    char quote = *l->at;
    const char *s = l->at + 1;
    while (s < l->end && *s != quote && *s != '\n')
        s += *s == '\\' && s + 1 < l->end ? 2 : 1;
    l->text = (sennit_str){ l->at + 1, (size_t)(s - l->at - 1) };
    l->token = s < l->end && *s == quote ? TEXT_STRING : TEXT_ERROR;
    l->at = s < l->end ? s + 1 : l->end;
}

static void text_number(struct text_lex *l)
{
    const char *s = l->at;
    bool hex = s[0] == '0' && s + 1 < l->end && (s[1] | 32) == 'x';
    while (s < l->end && (text_is_word(*s) || *s == '.' ||
                          ((*s == '+' || *s == '-') && !hex && (s[-1] | 32) == 'e')))
        s++;
    l->text = (sennit_str){ l->at, (size_t)(s - l->at) };
    l->token = TEXT_NUMBER;
    l->at = s;
}

void text_lex_next(struct text_lex *l)
{
    text_space(l);
    const char *s = l->at;
    if (s == l->end) {
        l->token = TEXT_END;
        l->text = (sennit_str){ s, 0 };
        return;
    }
    if (*s == '"' || *s == '\'') {
        text_string(l);
    } else if (text_is_digit(*s) || (*s == '.' && s + 1 < l->end && text_is_digit(s[1]))) {
        text_number(l);
    } else if (text_is_word(*s)) {
        while (l->at < l->end && text_is_word(*l->at))
            l->at++;
        l->token = TEXT_NAME;
        l->text = (sennit_str){ s, (size_t)(l->at - s) };
    } else {
        l->token = TEXT_CHAR;
        l->ch = *s;
        l->text = (sennit_str){ s, 1 };
        l->at++;
    }
}

void text_lex_init(struct text_lex *l, const char *s, size_t n)
{
    *l = (struct text_lex){ .start = s, .at = s, .end = s + n };
    text_lex_next(l);
}

/* -- escapes ---------------------------------------------------------------------------------- */

static int text_digit(char c)
{
    if (text_is_digit(c))
        return c - '0';
    char low = (char)(c | 32);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : 99;
}

/* Up to `most` digits of the base at *s; how many. */
static int text_digits(const char **s, const char *end, int base, int most, uint32_t *v)
{
    int n = 0;
    for (*v = 0; n < most && *s < end && text_digit(**s) < base; n++)
        *v = *v * (uint32_t)base + (uint32_t)text_digit(*(*s)++);
    return n;
}

static void text_put_utf8(struct pb_out *o, uint32_t c)
{
    char s[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        s[i] = (char)(0x80 | (c & 63));
    s[0] = (char)(lead[n] | c);
    pb_out_add(o, s, n);
}

/* \u and \U, behind the letter. Surrogates are no characters, not even in pairs. */
static bool text_unicode(const char **s, const char *end, int digits, struct pb_out *o)
{
    uint32_t c;
    if (text_digits(s, end, 16, digits, &c) != digits || c > 0x10ffff || (c >> 11) == 0xd800 >> 11)
        return false;
    text_put_utf8(o, c);
    return true;
}

bool text_lex_unescape(sennit_str text, struct pb_out *o)
{
    static const char from[] = "nrtabfv\\'\"?", plain[] = "\n\r\t\a\b\f\v\\'\"?";
    const char *s = text.data, *end = s + text.len;
    while (s < end) {
        uint32_t v;
        if (*s != '\\') {
            pb_out_char(o, *s++);
            continue;
        }
        if (++s == end)
            return false;
        const char *at = *s ? strchr(from, *s) : NULL;
        if (at) {
            pb_out_char(o, plain[at - from]);
            s++;
        } else if (*s == 'x' || *s == 'X') {
            s++;
            if (!text_digits(&s, end, 16, 2, &v))
                return false;
            pb_out_char(o, (char)v);
        } else if (*s == 'u' || *s == 'U') {
            int digits = *s++ == 'u' ? 4 : 8;
            if (!text_unicode(&s, end, digits, o))
                return false;
        } else if (text_digits(&s, end, 8, 3, &v) && v < 256) {
            pb_out_char(o, (char)v);
        } else {
            return false;
        }
    }
    return true;
}

bool text_lex_uint(sennit_str s, uint64_t *v)
{
    uint64_t base = 10;
    size_t i = 0;
    if (s.len > 1 && s.data[0] == '0')
        base = (s.data[1] | 32) == 'x' ? 16 : 8, i = base == 16 ? 2 : 1;
    if (i == s.len)
        return false;
    for (*v = 0; i < s.len; i++) {
        uint64_t digit = (uint64_t)text_digit(s.data[i]);
        if (digit >= base || *v > (UINT64_MAX - digit) / base)
            return false;
        *v = *v * base + digit;
    }
    return true;
}
