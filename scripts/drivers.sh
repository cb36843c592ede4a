#!/bin/sh
# Gets the database drivers that the integration tests talk through, from their registries.
#
#   drivers.sh python   print a Python that has psycopg
#   drivers.sh node     print the directory of modules that holds node-postgres
#   drivers.sh parser   print a Python that has pglast: PostgreSQL's own parser, of version 18
#
# They are kept in $PGLAGOON_LOCAL, by default .local beside this directory, which git ignores.
set -eu

psycopg=3.3.9
node_postgres=8.23.1
pglast=8.8

store=${PGLAGOON_LOCAL:-$(cd "$(dirname "$0")/.." && pwd)/.local}
mkdir -p "$store"

say() { echo "drivers.sh: $*" >&2; }

# Installs packages as root on Debian; elsewhere the user must.
need() {
    program=$1
    shift
    command -v "$program" >/dev/null 2>&1 && return
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || { say "$program is not installed"; exit 1; }
    apt-get update -q >&2 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
}

# Has $2 fill a directory and puts it at $1, whole or not at all.
make_once() {
    [ ! -d "$1" ] || return 0
    made=$(mktemp -d "$1.XXXXXX")
    "$2" "$made" >&2 || { rm -rf "$made"; exit 1; }
    # Another run may have been quicker.
    [ -d "$1" ] || mv "$made" "$1"
    rm -rf "$made"
}

python_in() {
    # Not a virtual environment: those know their own path, and need a package that Debian leaves out.
    python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore \
        --target "$1/modules" "$2"
    printf '#!/bin/sh\nPYTHONPATH="$(dirname "$0")/modules" exec python3 "$@"\n' >"$1/python"
    chmod +x "$1/python"
}

psycopg_in() {
    python_in "$1" "psycopg[binary]==$psycopg" && "$1/python" -c 'import psycopg'
}

parser_in() {
    python_in "$1" "pglast==$pglast" && "$1/python" -c 'import pglast.parser'
}

node_in() {
    npm install --silent --no-save --no-audit --no-fund --cache "$1/cache" --prefix "$1" "pg@$node_postgres"
    rm -rf "$1/cache"
}

case ${1:-} in
    python)
        need python3 python3 python3-pip
        make_once "$store/python-$psycopg" psycopg_in
        echo "$store/python-$psycopg/python"
        ;;
    node)
        need npm nodejs npm
        make_once "$store/node-$node_postgres" node_in
        echo "$store/node-$node_postgres/node_modules"
        ;;
    parser)
        need python3 python3 python3-pip
        make_once "$store/parser-$pglast" parser_in
        echo "$store/parser-$pglast/python"
        ;;
    *)
        sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
        exit 64
        ;;
esac
