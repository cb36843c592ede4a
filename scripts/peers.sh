#!/bin/sh
# Finds the poolers that the benchmark compares with, or gets them.
#
#   peers.sh find pgbouncer|pgpool   print the path of the program; fail when there is none
#   peers.sh get pgbouncer|pgpool    the same, but install it with apt as root when there is none
#
# PGLAGOON_PGBOUNCER and PGLAGOON_PGPOOL name programs to use instead, such as newer ones than the distribution's.
set -eu

say() { echo "peers.sh: $*" >&2; }

find_program() {
    for program in "$named" "$(command -v "$1" 2>/dev/null || true)" "/usr/sbin/$1"; do
        if [ -n "$program" ] && [ -x "$program" ]; then
            echo "$program"
            return
        fi
    done
    return 1
}

install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        say "$1 is not installed, and only root can install it with apt"
        return 1
    fi
    say "installing $1 with apt"
    apt-get update -q >&2 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$1" >&2 || return 1
    # Debian's packages start a server of their own; nobody asked for that one.
    [ ! -d /run/systemd/system ] || systemctl disable --now "$1" >&2 || true
}

usage() {
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 64
}

case ${2:-} in
    pgbouncer) named=${PGLAGOON_PGBOUNCER:-} package=pgbouncer ;;
    pgpool) named=${PGLAGOON_PGPOOL:-} package=pgpool2 ;;
    *) usage ;;
esac
case ${1:-} in
    find) find_program "$2" ;;
    get) find_program "$2" || { install "$package" && find_program "$2"; } ;;
    *) usage ;;
esac
