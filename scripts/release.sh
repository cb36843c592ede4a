#!/bin/sh
# Builds pgLagoon as it should be run: target/profiled/release/pglagoon, optimised by a profile of itself.
#
# A short run of the benchmark in front of PostgreSQL shows the compiler which code is used together. That takes three
# builds, some minutes each. Without llvm-profdata (rustup's llvm-tools) it is an ordinary release build.
set -eu
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-$PWD/target}
profiled=$target/profiled/release/pglagoon

say() { echo "release.sh: $*" >&2; }

find_profdata() { find "$(rustc --print sysroot)" -name llvm-profdata -type f 2>/dev/null | head -n 1; }

build() { RUSTFLAGS="${RUSTFLAGS:-} $1" $cargo build --release --bin pglagoon --target-dir "$2"; }

merge=$(find_profdata)
if [ -z "$merge" ]; then
    say "getting llvm-profdata (rustup component add llvm-tools)"
    rustup component add llvm-tools >&2 || true
    merge=$(find_profdata)
fi
if [ -z "$merge" ]; then
    say "there is no llvm-profdata: building without a profile"
    build "" "$target/profiled"
    exit
fi

raw=$(mktemp -d)
trap 'rm -rf "$raw"' EXIT
say "1 of 3: a build that counts"
build "-Cprofile-generate=$raw" "$target/instrumented"
# The build's own programs have counted, too.
rm -f "$raw"/*
say "2 of 3: a short run of the benchmark (its figures mean nothing here)"
$cargo bench --bench compare -- --program "$target/instrumented/release/pglagoon" --rounds 1 --seconds 2 \
    --sections select,instant,log-in --clients 32 >"$target/instrumented/run.log"
"$merge" merge -o "$target/instrumented/pglagoon.profdata" "$raw"/*.profraw
say "3 of 3: the build that uses it"
build "-Cprofile-use=$target/instrumented/pglagoon.profdata" "$target/profiled"
say "built $profiled"
