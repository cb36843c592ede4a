"""What an application does with psycopg, at the address given as the only argument."""

import sys
import threading
import time

import psycopg

url = sys.argv[1]
table = f"psycopg_{time.time_ns()}"


def statements_are_prepared_and_keep_their_meaning():
    with psycopg.connect(url) as conn, conn.cursor() as cur:
        cur.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, name text, size int)")
        rows = [(i, f"name {i}", i * 10) for i in range(500)]
        cur.executemany(f"INSERT INTO {table} VALUES (%s, %s, %s)", rows)
        conn.commit()
        for i in range(20):  # prepared from the fifth time on
            found = cur.execute(f"SELECT size FROM {table} WHERE id = %s", (i,)).fetchone()
            assert found == (i * 10,), found
        for i in range(20):
            cur.execute(f"UPDATE {table} SET size = size + 1 WHERE id = %s", (i,), prepare=True)
            conn.commit()
        found = cur.execute(f"SELECT sum(size) FROM {table}").fetchone()
        assert found == (sum(r[2] for r in rows) + 20,), found


def many_connections_prepare_the_same_text():
    failures = []

    def work(number):
        try:
            with psycopg.connect(url, autocommit=True, prepare_threshold=0) as conn:
                for i in range(50):
                    sql = f"SELECT id, name FROM {table} WHERE id = %s"
                    found = conn.execute(sql, (i,)).fetchone()
                    assert found == (i, f"name {i}"), found
        except Exception as error:
            failures.append((number, error))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def an_error_ends_only_its_transaction():
    with psycopg.connect(url) as conn:
        with conn.transaction():
            conn.execute(f"UPDATE {table} SET name = 'kept' WHERE id = 1")
            try:
                with conn.transaction():  # a savepoint
                    conn.execute(f"UPDATE {table} SET name = 'lost' WHERE id = 1")
                    conn.execute("SELECT 1 / 0")
            except psycopg.errors.DivisionByZero:
                pass
        assert conn.execute(f"SELECT name FROM {table} WHERE id = 1").fetchone() == ("kept",)
        try:
            conn.execute("SELECT * FROM no_such_table")
            raise AssertionError("a missing table was found")
        except psycopg.errors.UndefinedTable:
            pass
        try:
            conn.execute("SELECT 1")
            raise AssertionError("a failed transaction went on")
        except psycopg.errors.InFailedSqlTransaction:
            conn.rollback()
        assert conn.execute("SELECT 1").fetchone() == (1,)


def rows_are_copied_in_and_out():
    with psycopg.connect(url) as conn, conn.cursor() as cur:
        with cur.copy(f"COPY {table} FROM STDIN") as copy:
            for i in range(1000, 6000):
                copy.write_row((i, "x" * 200, i))
        with cur.copy(f"COPY (SELECT id FROM {table} WHERE id >= 1000 ORDER BY id) TO STDOUT") as copy:
            copy.set_types(["int4"])
            assert [row[0] for row in copy.rows()] == list(range(1000, 6000))
        try:
            with cur.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write_row((9000, "never seen", 1))
                raise ZeroDivisionError
        except ZeroDivisionError:
            conn.rollback()
        assert conn.execute(f"SELECT count(*) FROM {table} WHERE id = 9000").fetchone() == (0,)


def a_cursor_on_the_server_is_read_in_parts():
    with psycopg.connect(url) as conn:
        with conn.cursor(name="by_part") as cur:
            cur.itersize = 100
            cur.execute("SELECT i FROM generate_series(1, 1000) AS i")
            assert [row[0] for row in cur] == list(range(1, 1001))


def a_pipeline_answers_in_order():
    with psycopg.connect(url, autocommit=True) as conn:
        with conn.pipeline() as pipeline:
            cursors = [conn.execute("SELECT %s::int + 1", (i,)) for i in range(100)]
            pipeline.sync()
            failed = conn.cursor()
            try:
                failed.execute("SELECT 1 / %s::int", (0,))
                pipeline.sync()
            except psycopg.errors.DivisionByZero:
                pass
        assert [cur.fetchone()[0] for cur in cursors] == list(range(1, 101))


def settings_are_the_connections_own():
    with psycopg.connect(url, autocommit=True) as one, psycopg.connect(url, autocommit=True) as two:
        one.execute("SET statement_timeout = '12s'")
        one.execute("SET TIME ZONE 'Asia/Tokyo'")
        for _ in range(10):
            assert one.execute("SHOW statement_timeout").fetchone() == ("12s",)
            assert two.execute("SHOW statement_timeout").fetchone() == ("0",)
            assert one.execute("SHOW timezone").fetchone() == ("Asia/Tokyo",)
            assert two.execute("SHOW timezone").fetchone() != ("Asia/Tokyo",)


def a_running_statement_is_cancelled():
    with psycopg.connect(url, autocommit=True) as conn:
        timer = threading.Timer(0.2, conn.cancel)
        timer.start()
        began = time.monotonic()
        try:
            conn.execute("SELECT pg_sleep(30)")
            raise AssertionError("the statement was not cancelled")
        except psycopg.errors.QueryCanceled:
            assert time.monotonic() - began < 20
        timer.join()
        assert conn.execute("SELECT 1").fetchone() == (1,)


def a_large_value_survives():
    with psycopg.connect(url, autocommit=True) as conn:
        text = "lagoon" * 500_000
        assert conn.execute("SELECT %s::text", (text,)).fetchone() == (text,)
        raw = bytes(range(256)) * 4096
        assert conn.execute("SELECT %b::bytea", (raw,)).fetchone() == (raw,)


def notifications_arrive():
    with psycopg.connect(url, autocommit=True) as ear, psycopg.connect(url, autocommit=True) as mouth:
        ear.execute(f"LISTEN {table}")
        mouth.execute("SELECT pg_notify(%s, 'hello')", (table,))
        heard = next(ear.notifies(timeout=10))
        assert (heard.channel, heard.payload) == (table, "hello"), heard


def the_newest_protocol_is_spoken():
    if psycopg.pq.version() < 180000:
        return
    with psycopg.connect(url, autocommit=True, max_protocol_version="latest") as conn:
        spoken = conn.pgconn.full_protocol_version
        assert spoken == 30002 or conn.info.server_version < 180000, spoken
        timer = threading.Timer(0.2, conn.cancel_safe)  # with a key of 32 bytes
        timer.start()
        try:
            conn.execute("SELECT pg_sleep(30)")
            raise AssertionError("the statement was not cancelled")
        except psycopg.errors.QueryCanceled:
            timer.join()
        assert conn.execute("SELECT 1").fetchone() == (1,)


statements_are_prepared_and_keep_their_meaning()
many_connections_prepare_the_same_text()
an_error_ends_only_its_transaction()
rows_are_copied_in_and_out()
a_cursor_on_the_server_is_read_in_parts()
a_pipeline_answers_in_order()
settings_are_the_connections_own()
a_running_statement_is_cancelled()
a_large_value_survives()
notifications_arrive()
the_newest_protocol_is_spoken()
print("ok")
