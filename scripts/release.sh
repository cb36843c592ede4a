#!/bin/sh
# Builds pgLagoon as it should be run: target/profiled/release/pglagoon, optimised by a profile of itself.
#
# A short run of the benchmark in front of PostgreSQL shows the compiler which code is used together. That takes three
# builds, some minutes each, llvm-profdata (rustup's llvm-tools) and a PostgreSQL, both of which are got if they are not
# there. Where one of them cannot be had it is an ordinary release build.
set -eu
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-$PWD/target}
profiled=$target/profiled/release/pglagoon

say() { echo "release.sh: $*" >&2; }

find_profdata() { find "$(rustc --print sysroot)" -name llvm-profdata -type f 2>/dev/null | head -n 1; }

build() { RUSTFLAGS="${RUSTFLAGS:-} $1" $cargo build --release --bin pglagoon --target-dir "$2"; }

build_without_profile() {
    say "$1: building without a profile, which costs some 10 % more CPU"
    build "" "$target/profiled"
    say "built $profiled"
    exit
}

merge=$(find_profdata)
if [ -z "$merge" ]; then
    say "getting llvm-profdata (rustup component add llvm-tools)"
    rustup component add llvm-tools >&2 || true
    merge=$(find_profdata)
fi
if [ -z "$merge" ]; then
    build_without_profile "there is no llvm-profdata"
fi

raw=$(mktemp -d)
trap 'rm -rf "$raw"' EXIT
say "1 of 3: a build that counts"
build "-Cprofile-generate=$raw" "$target/instrumented"
# The build's own programs have counted, too.
rm -f "$raw"/*
say "2 of 3: a short run of the benchmark (its figures mean nothing here)"
if ! $cargo bench --bench compare -- --alone --program "$target/instrumented/release/pglagoon" --rounds 1 --seconds 2 \
    --sections select,instant,log-in --clients 32 >"$target/instrumented/run.log"; then
    build_without_profile "the benchmark could not be run (see above, and $target/instrumented/run.log)"
fi
"$merge" merge -o "$target/instrumented/pglagoon.profdata" "$raw"/*.profraw
say "3 of 3: the build that uses it"
build "-Cprofile-use=$target/instrumented/pglagoon.profdata" "$target/profiled"
say "built $profiled"
