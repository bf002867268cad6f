#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# What a user of protoc reads when a .proto cannot become C: the file, the line and the reason.
# test_errors.sh path/to/protoc-gen-sennit; 77 (skipped) without protoc.
set -eu
plugin=$1
command -v protoc >/dev/null || exit 77
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# refused WHAT OPTIONS EXPECTED: standard input is x.proto
refused() {
    { printf 'syntax = "proto3";\npackage p;\n'; cat; } >"$out/x.proto"
    if protoc --plugin=protoc-gen-sennit="$plugin" --sennit_out="$2:$out" -I "$out" \
        "$out/x.proto" 2>"$out/error"; then
        echo "$1: not refused"
        exit 1
    fi
    if [ "$(cat "$out/error")" != "--sennit_out: $3" ]; then
        printf '%s: expected\n--sennit_out: %s\nbut got\n%s\n' "$1" "$3" "$(cat "$out/error")"
        exit 1
    fi
}

refused "types that meet" "" "x.proto:6: p.A_B and p.A.B (x.proto) are both p_A_B in C; prefix= or\
 other names in the .proto keep them apart" <<'END'
message A {
  message B {}
}
message A_B {}
END
refused "a field that is a has-bit" "" "x.proto:5: p.M.x and p.M.has_x (x.proto) are both has_x in\
 C; prefix= or other names in the .proto keep them apart" <<'END'
message M {
  bool has_x = 1;
  optional int32 x = 2;
}
END
refused "a method that is a _with form" "" "x.proto:6: p.S.A_with and p.S.A (x.proto) are both\
 p_S_A_with in C; prefix= or other names in the .proto keep them apart" <<'END'
message M {}
service S {
  rpc A(M) returns (M);
  rpc A_with(M) returns (M);
}
END
refused "an unknown option" "frob=1" \
    "unknown option frob=1: prefix=P and prefix=PACKAGE:P are known" </dev/null
refused "a prefix that is no name" "prefix=a-b" \
    "prefix=a-b is not the start of a C name" </dev/null
