#!/bin/sh
# Finds the poolers that the benchmark compares with, or gets them.
#
#   peers.sh find pgbouncer|pgpool   print the path of the program; fail when there is none
#   peers.sh get pgbouncer|pgpool    the same, but install it as root when there is none
#
# PGLAGOON_PGBOUNCER and PGLAGOON_PGPOOL name programs to use instead, such as newer ones than the distribution's. Where
# apt has only a PgBouncer without prepared statements (before 1.21), the source of the next Debian's is built and kept
# in $PGLAGOON_LOCAL, by default .local beside this directory, which git ignores.
set -eu

next_debian=trixie

store=${PGLAGOON_LOCAL:-$(cd "$(dirname "$0")/.." && pwd)/.local}

say() { echo "peers.sh: $*" >&2; }

find_program() {
    for program in "$named" "$store/$1/$1" "$(command -v "$1" 2>/dev/null || true)" "/usr/sbin/$1"; do
        if [ -n "$program" ] && [ -x "$program" ]; then
            echo "$program"
            return
        fi
    done
    return 1
}

can_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

apt_install() {
    say "installing $* with apt"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
}

install() {
    can_apt || { say "$1 is not installed, and only root can install it with apt"; return 1; }
    apt-get update -q >&2 || true
    apt_install "$1" || return 1
    # Debian's packages start a server of their own; nobody asked for that one.
    [ ! -d /run/systemd/system ] || systemctl disable --now "$1" >&2 || true
}

# Whether a PgBouncer keeps prepared statements in transaction mode.
keeps_statements() {
    "$1" --version 2>/dev/null | awk '/^PgBouncer/ { split($2, v, "."); exit !(v[1] > 1 || v[2] >= 21) }'
}

# A list of sources of its own: nothing else on this machine shall come from there.
apt_next() {
    lists=$building/lists
    mkdir -p "$lists/partial" "$building/cache/archives/partial"
    echo "deb-src http://deb.debian.org/debian $next_debian main" >"$building/sources.list"
    apt-get -q -o Dir::Etc::sourcelist="$building/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$lists" -o Dir::Cache="$building/cache" "$@" >&2
}

build_pgbouncer() {
    can_apt || return 1
    say "building the PgBouncer of Debian $next_debian"
    building=$(mktemp -d)
    if cd "$building" && apt_next update && apt_next source --download-only pgbouncer &&
        { apt-get update -q >&2 || true; } && apt_install gcc make pkg-config libevent-dev libssl-dev &&
        tar xzf pgbouncer_*.orig.tar.gz && cd pgbouncer-*/ && ./configure --without-cares >&2 && make pgbouncer >&2; then
        mkdir -p "$store/pgbouncer"
        cp pgbouncer "$store/pgbouncer/pgbouncer"
        chmod -R a+rX "$store/pgbouncer"
    fi
    cd /
    rm -rf "$building"
    [ -x "$store/pgbouncer/pgbouncer" ]
}

get() {
    if [ "$1" = pgbouncer ] && [ -z "$named" ] && ! { found=$(find_program "$1") && keeps_statements "$found"; }; then
        build_pgbouncer || say "that has failed"
    fi
    find_program "$1" || { install "$2" && find_program "$1"; }
}

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 64
}

case ${2:-} in
    pgbouncer) named=${PGLAGOON_PGBOUNCER:-} package=pgbouncer ;;
    pgpool) named=${PGLAGOON_PGPOOL:-} package=pgpool2 ;;
    *) usage ;;
esac
case ${1:-} in
    find) find_program "$2" ;;
    get) get "$2" "$package" ;;
    *) usage ;;
esac
