# Everything here sets itself up; scripts/postgres.sh finds PostgreSQL or gets it.

CARGO ?= cargo
# Where downloaded versions of PostgreSQL are kept; git ignores it.
export PGLAGOON_LOCAL ?= $(CURDIR)/.local

.PHONY: help demo test unit integration regress drivers torture fetch check lint format doc release bench micro instructions clean

help:
	@echo 'make demo         a throwaway primary, two streaming replicas and pgLagoon in front (ARGS="--lag 2s")'
	@echo 'make test         every test; starts PostgreSQL 15 and 18 itself'
	@echo 'make drivers      every driver in the table of the README, in each language (UPDATE=1 writes the table)'
	@echo 'make regress      the regression suite of PostgreSQL through pgLagoon (minutes)'
	@echo 'make unit         the tests that need no PostgreSQL'
	@echo 'make integration  the tests against real PostgreSQL'
	@echo 'make check        format, lints and documentation, as the gate sees them'
	@echo 'make release      what should be installed, optimised by a profile: target/profiled/release/pglagoon'
	@echo 'make bench        side by side with PgBouncer and others on this machine (ARGS="--sections select")'
	@echo 'make torture      200 clients that do everything at once, for a minute (SECONDS=, SEED=)'
	@echo 'make micro        the steps of the hot path, one by one, timed'
	@echo 'make instructions the same in instructions; fails if one has become dearer (ARGS=--update keeps the counts)'

demo:
	$(CARGO) run -- demo $(ARGS)

test: fetch
	$(CARGO) test

unit:
	$(CARGO) test --lib --bins --test scripted
	$(CARGO) test --doc

integration: fetch
	$(CARGO) test --test integration

regress: fetch
	$(CARGO) test --test integration regress -- --ignored --nocapture

# With the drivers that are too large to be fetched for every run of the tests.
drivers: fetch
	@for language in rust java go ruby php; do \
		echo "getting the drivers of $$language"; scripts/drivers.sh $$language >/dev/null || exit 1; done
	$(if $(UPDATE),PGLAGOON_MATRIX=update) $(CARGO) test --test integration drivers:: -- --include-ignored

# What the tests use is fetched first, so that a download is neither a failing nor a slow test.
fetch:
	@for version in 15 18; do scripts/postgres.sh get $$version >/dev/null || exit 1; done
	@scripts/postgres.sh tools >/dev/null || echo 'the tests with psql and pgbench will be skipped'
	@scripts/drivers.sh python >/dev/null || echo 'the tests with the drivers of Python will be skipped'
	@scripts/drivers.sh node >/dev/null || echo 'the tests with the drivers of Node.js will be skipped'
	@scripts/drivers.sh parser >/dev/null || echo 'the tests with the parser of PostgreSQL will be skipped'
	@scripts/regress.sh get >/dev/null || echo 'the tests with the regression suite of PostgreSQL will be skipped'

check: lint doc

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --document-private-items

format:
	$(CARGO) fmt

# What should be installed: target/profiled/release/pglagoon.
release:
	scripts/release.sh

# Of the release. `cargo bench --bench compare -- $(ARGS)` measures an ordinary build, which takes much less time.
bench: release
	$(CARGO) bench --bench compare -- --program target/profiled/release/pglagoon $(ARGS)

# For hours: make torture SECONDS=7200. The same clients again: SEED=...
torture: fetch
	TORTURE_SECONDS=$(or $(SECONDS),60) $(if $(SEED),TORTURE_SEED=$(SEED)) \
		$(CARGO) test --test integration torture -- --nocapture --test-threads 1

micro:
	$(CARGO) bench --bench micro -- $(ARGS)

# Counted by valgrind, so that the machine's speed and load do not matter.
instructions:
	$(CARGO) bench --profile counted --bench micro -- --instructions $(ARGS)

clean:
	$(CARGO) clean
