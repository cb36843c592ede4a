#!/bin/sh
# Finds PgBouncer for the benchmark, or gets it.
#
#   pgbouncer.sh find   print the path of the program; fail when there is none
#   pgbouncer.sh get    the same, but install it with apt as root when there is none
#
# PGLAGOON_PGBOUNCER names a program to use instead, such as a newer one than the distribution's.
set -eu

say() { echo "pgbouncer.sh: $*" >&2; }

find_program() {
    for program in "${PGLAGOON_PGBOUNCER:-}" "$(command -v pgbouncer 2>/dev/null || true)" /usr/sbin/pgbouncer; do
        if [ -n "$program" ] && [ -x "$program" ]; then
            echo "$program"
            return
        fi
    done
    return 1
}

install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        say "PgBouncer is not installed, and only root can install it with apt"
        return 1
    fi
    say "installing PgBouncer with apt"
    apt-get update -q >&2 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends pgbouncer >&2 || return 1
    # Debian's package starts a server of its own; nobody asked for that one.
    [ ! -d /run/systemd/system ] || systemctl disable --now pgbouncer >&2 || true
}

case ${1:-} in
    find) find_program ;;
    get) find_program || { install && find_program; } ;;
    *)
        sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
        exit 64
        ;;
esac
