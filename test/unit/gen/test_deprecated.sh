#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# What a .proto calls deprecated warns where it is used, and there alone, unless
# SENNIT_NO_DEPRECATED is defined. test_deprecated.sh COMPILER STANDARD INCLUDE_DIR...
set -eu
compiler=$1 standard=$2
shift 2
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
case $standard in c++*) language=c++ ;; *) language=c ;; esac
for dir; do
    shift
    set -- "$@" -I "$dir"
done

# warned TIMES LINE: a function with that line
warned() {
    times=$1 line=$2
    shift 2
    cat >"$out/use.c" <<END
#include "deprecated.sennit.h"
int use(sennit_aged_ShopClient c, sennit_ctx *ctx, sennit_aged_Mixed *m);
int use(sennit_aged_ShopClient c, sennit_ctx *ctx, sennit_aged_Mixed *m)
{
    (void)c, (void)ctx, (void)m;
    $line
    return 0;
}
END
    for silent in "" -DSENNIT_NO_DEPRECATED; do
        # shellcheck disable=SC2086 # nothing, or one
        "$compiler" -x "$language" -std="$standard" -Wall -Wextra -fsyntax-only $silent "$@" \
            "$out/use.c" 2>"$out/warnings" || { cat "$out/warnings"; exit 1; }
        # g++ says it several times of one place
        n=$(grep 'warning: .*deprecated' "$out/warnings" | sort -u | wc -l)
        all=$(grep 'warning:' "$out/warnings" | sort -u | wc -l)
        if [ "$n $all" != "$times $times" ]; then
            printf '%s %s %s: %s warnings, not %s\n' "$compiler" "$silent" "$line" "$all" "$times"
            cat "$out/warnings"
            exit 1
        fi
        times=0
    done
}

warned 0 'm->number = sennit_aged_Shade_SHADE_NONE;' "$@"
warned 0 'm->text.len = 0; m->old = NULL;' "$@"
warned 0 'if (sennit_aged_Shop_Get(c, ctx, m, NULL)) return 1;' "$@"
warned 1 'm->number = sennit_aged_Shade_SHADE_OLD;' "$@"
warned 1 'sennit_aged_OldShade s = sennit_aged_OldShade_OLD_SHADE_NONE; (void)s;' "$@"
warned 1 'sennit_aged_Old *old = NULL; (void)old;' "$@"
warned 1 'm->old_number = 1;' "$@"
warned 1 'm->old_names.len = 0;' "$@"
warned 1 'm->old_inner = NULL;' "$@"
warned 1 'm->old_text.len = 0;' "$@"
warned 1 'if (sennit_aged_Shop_OldGet(c, ctx, m, m)) return 1;' "$@"
warned 1 'if (sennit_aged_Shop_OldGet_with(c, ctx, NULL, m, m)) return 1;' "$@"
warned 1 'return sennit_aged_Shop_OldWatch(c, ctx, m).s == NULL;' "$@"
warned 1 'sennit_aged_ShopService s; s.OldGet = NULL; (void)s;' "$@"
