#!/bin/sh
# Gets PostgreSQL's own regression suite: src/test/regress of Debian's source package of PostgreSQL 15.
#
#   regress.sh get   print the directory that holds sql, expected and data, downloading it with apt
#
# It is kept in $PGLAGOON_LOCAL, by default .local beside this directory, which git ignores. Nothing is
# installed, and apt's own lists are left alone.
set -eu

package=postgresql-15
store=${PGLAGOON_LOCAL:-$(cd "$(dirname "$0")/.." && pwd)/.local}

say() { echo "regress.sh: $*" >&2; }

sources() {
    cat <<END
Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
}

download() {
    mkdir -p "$1/lists/partial" "$1/parts"
    sources >"$1/parts/bookworm.sources"
    (
        cd "$1"
        apt() {
            apt-get -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$1/parts" \
                -o Dir::State::Lists="$1/lists" -o APT::Sandbox::User= "$2" $3
        }
        apt "$1" update "" && apt "$1" source "--download-only --tar-only $package"
    ) >&2 || return 1
    mkdir "$1/regress"
    tar xjf "$1"/$package*.orig.tar.bz2 -C "$1/regress" --strip-components=4 --wildcards \
        '*/src/test/regress/sql' '*/src/test/regress/expected' '*/src/test/regress/data' \
        '*/src/test/regress/parallel_schedule'
}

case ${1:-} in
    get)
        wanted=$store/regress-15
        if [ ! -d "$wanted" ]; then
            command -v apt-get >/dev/null 2>&1 || { say "apt-get is needed to download $package"; exit 1; }
            command -v bzip2 >/dev/null 2>&1 || apt-get install -y -q --no-install-recommends bzip2 >&2
            mkdir -p "$store"
            made=$(mktemp -d "$wanted.XXXXXX")
            download "$made" || { rm -rf "$made"; say "cannot download $package"; exit 1; }
            chmod -R a+rX "$made"
            # Another run may have been quicker.
            [ -d "$wanted" ] || mv "$made/regress" "$wanted"
            rm -rf "$made"
        fi
        echo "$wanted"
        ;;
    *)
        sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
        exit 64
        ;;
esac
