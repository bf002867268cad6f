/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * text_lex.h: the tokens of text format. No memory; the text stays the caller's. */
#ifndef SENNIT_PB_TEXT_LEX_H
#define SENNIT_PB_TEXT_LEX_H

#include "pb/format.h"

enum text_token {
    TEXT_ERROR,
    TEXT_END,
    TEXT_NAME,
    TEXT_NUMBER, /* starts with a digit or a point; the sign is a character of its own */
    TEXT_STRING, /* text: between its quotes */
    TEXT_CHAR    /* ch */
};
struct text_lex {
    const char *start, *at, *end;
    enum text_token token; /* the current one */
    sennit_str text;
    char ch;
};

void text_lex_init(struct text_lex *l, const char *s, size_t n);
void text_lex_next(struct text_lex *l); /* moves on to the next token */
static inline bool text_lex_is(const struct text_lex *l, char c)
{
    return l->token == TEXT_CHAR && l->ch == c;
}
/* Appends what the string's content stands for; false: an unknown escape. */
bool text_lex_unescape(sennit_str text, struct pb_out *o);
/* Decimal, 0x or 0 octal digits; false: none of these, or over 64 bits. */
bool text_lex_uint(sennit_str s, uint64_t *v);

#endif
