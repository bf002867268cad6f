#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# The list of generated files that are committed. Writes them anew, or with --check compares them
# with what the plugin writes now, and fails when one differs. 77 (skipped) without protoc.
#
#     regen.sh [--check] path/to/protoc-gen-sennit
set -eu
check=
if [ "$1" = --check ]; then
    check=1
    shift
fi
plugin=$(realpath "$1")
cd "$(dirname "$0")/../.."
command -v protoc >/dev/null || exit 77
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
failed=0

# one SOURCE_DIR FILE OPTIONS TARGET_DIR [TARGET_OF_HEADER TARGET_OF_SOURCE]
one() {
    rm -rf "${out:?}"/*
    protoc --plugin=protoc-gen-sennit="$plugin" --sennit_out="$3:$out" -I "$1" "$1/$2.proto"
    for ending in h c; do
        file=$4/$2.sennit.$ending
        [ $# = 4 ] || { [ $ending = h ] && file=$5/$2.sennit.h || file=$6/$2.sennit.c; }
        if [ -z "$check" ]; then
            cp "$out/$2.sennit.$ending" "$file"
        elif ! cmp "$out/$2.sennit.$ending" "$file"; then
            failed=1
        fi
    done
}

# well_known NAME: part of the library
well_known() {
    one proto "google/protobuf/$1" "" "" include src/pb
}

one gen/protoc-gen-sennit plugin "" gen/protoc-gen-sennit
for name in any api duration empty field_mask source_context struct timestamp type wrappers; do
    well_known $name
done
one proto helloworld "" examples/helloworld
one proto echo prefix=echo examples/multiplex
one proto bench "" bench
one proto route_guide prefix=rg examples/route_guide
one proto grpc_testing prefix=gt test/interop
one proto health prefix=hv src/svc
one proto reflection_v1 prefix=rv src/svc
one proto reflection_v1alpha prefix=ra src/svc
one test/unit/gen imported "" test/unit/gen
one test/unit/gen forwarding "" test/unit/gen
one test/unit/gen all_kinds "" test/unit/gen
one test/unit/gen old_kinds "" test/unit/gen
one test/unit/gen deprecated "" test/unit/gen
one test/unit/gen known_kinds "" test/unit/gen
exit $failed
