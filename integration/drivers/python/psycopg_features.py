"""psycopg 3 as applications use it."""

import threading

import psycopg
from psycopg import errors
from psycopg_pool import ConnectionPool

from features import fails_with, report, sleeping, unique, url

TEXT = "lagoon" * 500_000


def connect():
    for _ in range(10):
        with psycopg.connect(url) as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
    with psycopg.connect(url, autocommit=True) as one, psycopg.connect(url, autocommit=True) as two:
        one.execute("SET statement_timeout = '12s'")
        one.execute("SET TIME ZONE 'Asia/Tokyo'")
        for _ in range(10):
            assert one.execute("SHOW statement_timeout").fetchone() == ("12s",)
            assert two.execute("SHOW statement_timeout").fetchone() == ("0",)
            assert one.execute("SHOW timezone").fetchone() == ("Asia/Tokyo",)
            assert two.execute("SHOW timezone").fetchone() != ("Asia/Tokyo",)


def prepare():
    table = unique("psycopg")
    with psycopg.connect(url) as conn, conn.cursor() as cur:
        cur.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, name text, size int)")
        rows = [(i, f"name {i}", i * 10) for i in range(500)]
        cur.executemany(f"INSERT INTO {table} VALUES (%s, %s, %s)", rows)
        conn.commit()
        for i in range(20):
            cur.execute(f"UPDATE {table} SET size = size + 1 WHERE id = %s", (i,), prepare=True)
            conn.commit()
    # Prepared from the fifth time on, under names that the connections have in common.
    with psycopg.connect(url, autocommit=True) as one, psycopg.connect(url, autocommit=True) as two:
        for i in range(20):
            found = one.execute(f"SELECT size FROM {table} WHERE id = %s", (i,)).fetchone()
            assert found == (i * 10 + 1,), found
            found = two.execute(f"SELECT name, id FROM {table} WHERE id = %s", (i,)).fetchone()
            assert found == (f"name {i}", i), found
        # More than psycopg keeps: it deallocates the oldest.
        for turn in range(6):
            for width in range(120):
                sql = f"SELECT %s::int + {width}"
                assert one.execute(sql, (turn,), prepare=True).fetchone() == (turn + width,)


def pipeline():
    with psycopg.connect(url, autocommit=True) as conn:
        with conn.pipeline() as pipe:
            cursors = [conn.execute("SELECT %s::int + 1", (i,)) for i in range(100)]
            pipe.sync()
            failed = conn.cursor()
            try:
                failed.execute("SELECT 1 / %s::int", (0,))
                pipe.sync()
                raise AssertionError("a division by zero went through")
            except errors.DivisionByZero:
                pass
            cursors += [conn.execute("SELECT %s::int + 1", (i,)) for i in range(100, 200)]
        assert [cur.fetchone()[0] for cur in cursors] == list(range(1, 201))


def transaction():
    table = unique("psycopg")
    with psycopg.connect(url) as conn:
        conn.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, name text)")
        conn.commit()
        for i in range(20):
            conn.execute(f"INSERT INTO {table} VALUES (%s, 'new')", (i,))
            conn.commit()
            assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (i + 1,)
            conn.rollback()
        with conn.transaction():
            conn.execute(f"UPDATE {table} SET name = 'kept' WHERE id = 1")
            try:
                with conn.transaction():  # a savepoint
                    conn.execute(f"UPDATE {table} SET name = 'lost' WHERE id = 1")
                    conn.execute("SELECT 1 / 0")
            except errors.DivisionByZero:
                pass
        assert conn.execute(f"SELECT name FROM {table} WHERE id = 1").fetchone() == ("kept",)
        conn.execute(f"DELETE FROM {table}")
        conn.rollback()
        conn.read_only = True
        assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (20,)
        fails_with(errors.ReadOnlySqlTransaction, lambda: conn.execute(f"DELETE FROM {table}"))
        conn.rollback()
    # Each of these is a transaction of its own, and the reads may go to replicas.
    with psycopg.connect(url, autocommit=True) as conn:
        for i in range(20):
            conn.execute(f"UPDATE {table} SET name = %s WHERE id = 2", (f"name {i}",))
            found = conn.execute(f"SELECT name FROM {table} WHERE id = 2").fetchone()
            assert found == (f"name {i}",), found


def error():
    with psycopg.connect(url) as conn:
        fails_with(errors.UndefinedTable, lambda: conn.execute("SELECT * FROM no_such_table"))
        fails_with(errors.InFailedSqlTransaction, lambda: conn.execute("SELECT 1"))
        conn.rollback()
        assert conn.execute("SELECT 1").fetchone() == (1,)
    with psycopg.connect(url, autocommit=True) as conn:
        for _ in range(20):
            failing = lambda: conn.execute("SELECT 1 / %s::int", (0,))
            fails_with(errors.DivisionByZero, failing)
            fails_with(errors.SyntaxError, lambda: conn.execute("SELEC 1"))
            assert conn.execute("SELECT %s::int", (7,)).fetchone() == (7,)


def large():
    with psycopg.connect(url) as conn:
        with conn.cursor(name="by_part") as cur:
            cur.itersize = 5000
            cur.execute("SELECT i, repeat('x', 100) FROM generate_series(1, 50000) AS i")
            assert [row[0] for row in cur] == list(range(1, 50001))
        with conn.cursor() as cur:
            rows = cur.stream("SELECT i FROM generate_series(1, 20000) AS i")
            assert sum(row[0] for row in rows) == 200010000
        with conn.cursor(name="kept", withhold=True) as cur:
            cur.execute("SELECT i FROM generate_series(1, 1000) AS i")
            conn.commit()
            assert len(cur.fetchall()) == 1000
        conn.commit()
        assert conn.execute("SELECT %s::text", (TEXT,)).fetchone() == (TEXT,)
        raw = bytes(range(256)) * 4096
        assert conn.execute("SELECT %b::bytea", (raw,)).fetchone() == (raw,)


def copy():
    table = unique("psycopg")
    with psycopg.connect(url) as conn, conn.cursor() as cur:
        cur.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, name text)")
        with cur.copy(f"COPY {table} FROM STDIN") as rows:
            for i in range(5000):
                rows.write_row((i, "x" * 200))
        conn.commit()
        with cur.copy(f"COPY (SELECT id FROM {table} ORDER BY id) TO STDOUT") as rows:
            rows.set_types(["int4"])
            assert [row[0] for row in rows.rows()] == list(range(5000))
        conn.commit()
        try:
            with cur.copy(f"COPY {table} FROM STDIN") as rows:
                rows.write_row((9000, "never seen"))
                raise ZeroDivisionError
        except ZeroDivisionError:
            conn.rollback()
        try:
            with cur.copy(f"COPY {table} FROM STDIN") as rows:
                rows.write_row((1, "is there already"))
            raise AssertionError("a row was copied twice")
        except errors.UniqueViolation:
            conn.rollback()
        assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (5000,)


def cancelled(conn, cancel):
    sleeps, does_sleep = sleeping()

    def once_it_sleeps():
        with psycopg.connect(url, autocommit=True) as watcher:
            while watcher.execute(does_sleep).fetchone() != (True,):
                pass
        cancel()

    canceller = threading.Thread(target=once_it_sleeps)
    canceller.start()
    fails_with(errors.QueryCanceled, lambda: conn.execute(sleeps))
    canceller.join()
    assert conn.execute("SELECT 1").fetchone() == (1,)


def cancel():
    with psycopg.connect(url, autocommit=True) as conn:
        cancelled(conn, conn.cancel)
        cancelled(conn, conn.cancel_safe)
    if psycopg.pq.version() >= 180000:
        with psycopg.connect(url, autocommit=True, max_protocol_version="latest") as conn:
            spoken = conn.pgconn.full_protocol_version
            assert spoken == 30002 or conn.info.server_version < 180000, spoken
            cancelled(conn, conn.cancel_safe)  # with a key of 32 bytes


def notify():
    channel = unique("psycopg")
    with psycopg.connect(url, autocommit=True) as ear, psycopg.connect(url) as mouth:
        ear.execute(f"LISTEN {channel}")
        for payload in ["hello", "again"]:
            mouth.execute("SELECT pg_notify(%s, %s)", (channel, payload))
            mouth.commit()
            heard = next(ear.notifies(timeout=60))
            assert (heard.channel, heard.payload) == (channel, payload), heard


def pool():
    table = unique("psycopg")
    with psycopg.connect(url) as conn:
        conn.execute(f"CREATE TABLE {table} (job int PRIMARY KEY, name text)")
    failures = []

    def work(connections, worker):
        try:
            for job in range(worker * 10, worker * 10 + 10):
                with connections.connection() as conn:
                    conn.execute(f"INSERT INTO {table} VALUES (%s, %s)", (job, f"job {job}"))
                with connections.connection() as conn:
                    sql = f"SELECT name, %s::int FROM {table} WHERE job = %s"
                    found = conn.execute(sql, (worker, job)).fetchone()
                    # Another session of the pool may have written it.
                    assert found in [(f"job {job}", worker), None], found
                    found = conn.execute("SELECT %s::text, %s::int", ("own", job)).fetchone()
                    assert found == ("own", job), found
        except Exception as failure:
            failures.append(failure)

    with ConnectionPool(url, min_size=30, max_size=30) as connections:
        connections.wait(timeout=60)
        threads = [threading.Thread(target=work, args=(connections, n)) for n in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        with connections.connection() as conn:
            conn.execute(f"UPDATE {table} SET name = name")
            assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (300,)


report("psycopg", psycopg.__version__, vars())
