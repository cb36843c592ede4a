#!/bin/sh
# Gets the database drivers that the integration tests talk through, from their registries.
#
#   drivers.sh python   print a Python that has psycopg, asyncpg, SQLAlchemy and Django
#   drivers.sh node     print the directory of modules that holds node-postgres, postgres.js, Drizzle and Sequelize
#   drivers.sh php      print a PHP that has PDO for PostgreSQL
#   drivers.sh ruby     print a Ruby that has pg
#   drivers.sh java     print the file of pgjdbc
#   drivers.sh go       print a program over pgx and lib/pq
#   drivers.sh rust     print a program over sqlx
#   drivers.sh parser   print a Python that has pglast: PostgreSQL's own parser, of version 18
#
# They are kept in $PGLAGOON_LOCAL, by default .local beside this directory, which git ignores.
set -eu

psycopg=3.3.9
psycopg_pool=3.3.3
asyncpg=0.32.0
sqlalchemy=2.1.9
django=5.2.19
node_postgres=8.23.1
postgres_js=3.4.9
drizzle=0.45.4
sequelize=6.37.8
pglast=8.8

store=${PGLAGOON_LOCAL:-$(cd "$(dirname "$0")/.." && pwd)/.local}
mkdir -p "$store"

say() { echo "drivers.sh: $*" >&2; }

# Installs packages as root on Debian unless $1 succeeds; elsewhere the user must.
unless() {
    check=$1
    shift
    ! sh -c "$check" >/dev/null 2>&1 || return 0
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || { say "not installed: $* ($check)"; exit 1; }
    apt-get update -q >&2 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
}

need() {
    program=$1
    shift
    unless "command -v $program" "$@"
}

# Where this repository's programs are.
programs=$(cd "$(dirname "$0")/../integration/drivers" && pwd)
# Where Debian's packages put the sources of Go and the classes of Java.
go=/usr/share/gocode
jar=/usr/share/java/postgresql.jar

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
    place=$1
    shift
    python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore \
        --target "$place/modules" "$@"
    printf '#!/bin/sh\nPYTHONPATH="$(dirname "$0")/modules" exec python3 "$@"\n' >"$place/python"
    chmod +x "$place/python"
}

drivers_in() {
    python_in "$1" "psycopg[binary]==$psycopg" "psycopg-pool==$psycopg_pool" "asyncpg==$asyncpg" \
        "sqlalchemy[asyncio]==$sqlalchemy" "django==$django" &&
        "$1/python" -c 'import asyncpg, django, psycopg, psycopg_pool, sqlalchemy.ext.asyncio'
}

parser_in() {
    python_in "$1" "pglast==$pglast" && "$1/python" -c 'import pglast.parser'
}

node_in() {
    npm install --silent --no-save --no-audit --no-fund --cache "$1/cache" --prefix "$1" \
        "pg@$node_postgres" pg-cursor@2.22.0 pg-copy-streams@7.0.0 "postgres@$postgres_js" "drizzle-orm@$drizzle" "sequelize@$sequelize"
    rm -rf "$1/cache"
}

case ${1:-} in
    python)
        need python3 python3 python3-pip
        name=python-$psycopg-$asyncpg-$sqlalchemy-$django
        make_once "$store/$name" drivers_in
        echo "$store/$name/python"
        ;;
    node)
        need npm nodejs npm
        name=node-$node_postgres-$postgres_js-$drizzle-$sequelize
        make_once "$store/$name" node_in
        echo "$store/$name/node_modules"
        ;;
    php)
        unless 'php -r "exit(extension_loaded(\"pdo_pgsql\") ? 0 : 1);"' php-cli php-pgsql
        command -v php
        ;;
    ruby)
        unless 'ruby -e "require %(pg)"' ruby ruby-pg
        command -v ruby
        ;;
    java)
        unless "java -version && test -e $jar" default-jdk-headless libpostgresql-jdbc-java
        echo "$jar"
        ;;
    go)
        unless "go version && test -d $go/src/github.com/jackc/pgx/v4 && test -d $go/src/github.com/lib/pq" \
            golang-go golang-github-jackc-pgx-v4-dev golang-github-lib-pq-dev
        GO111MODULE=off GOPATH=$go GOCACHE=$store/go go build -o "$store/go-features" "$programs/go/main.go" >&2
        echo "$store/go-features"
        ;;
    rust)
        cargo build -q --locked --manifest-path "$programs/rust/Cargo.toml" --target-dir "$store/rust" >&2
        echo "$store/rust/debug/features"
        ;;
    parser)
        need python3 python3 python3-pip
        make_once "$store/parser-$pglast" parser_in
        echo "$store/parser-$pglast/python"
        ;;
    *)
        sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
        exit 64
        ;;
esac
