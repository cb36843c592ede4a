"""asyncpg as applications use it."""

import asyncio
import io

import asyncpg

from features import report, sleeping, unique, url

TEXT = "lagoon" * 500_000


async def fails_with(kind, work):
    try:
        await work
    except kind as error:
        return error
    raise AssertionError(f"there was no {kind}")


class Connection:
    """A connection for the time of a block."""

    async def __aenter__(self):
        self.conn = await asyncpg.connect(url)
        return self.conn

    async def __aexit__(self, *_):
        await self.conn.close()


async def connect():
    for _ in range(10):
        async with Connection() as conn:
            assert await conn.fetchval("SELECT 1") == 1
    # Types that asyncpg does not know have it ask the catalog, within what it is doing.
    mood = unique("mood")
    async with Connection() as conn:
        await conn.execute(f"CREATE TYPE {mood} AS ENUM ('glad', 'sad'); CREATE TYPE {mood}s AS (a {mood}, b int[])")
        for _ in range(3):
            await conn.reload_schema_state()
            assert await conn.fetchval(f"SELECT 'sad'::{mood}") == "sad"
            assert await conn.fetchval(f"SELECT $1::{mood}s", ("glad", [1, 2])) == ("glad", [1, 2])
            async with Connection() as other:
                assert await other.fetchval(f"SELECT array['glad', 'sad']::{mood}[]") == ["glad", "sad"]


async def prepare():
    table = unique("asyncpg")
    async with Connection() as one, Connection() as two:
        await one.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, name text, size int)")
        rows = [(i, f"name {i}", i * 10) for i in range(500)]
        await one.executemany(f"INSERT INTO {table} VALUES ($1, $2, $3)", rows)
        by_id = await one.prepare(f"SELECT size FROM {table} WHERE id = $1")
        assert [column.name for column in by_id.get_attributes()] == ["size"]
        for i in range(20):
            assert await by_id.fetchval(i) == i * 10
            found = await two.fetchrow(f"SELECT name, id FROM {table} WHERE id = $1", i)
            assert tuple(found) == (f"name {i}", i), found
        # More than asyncpg keeps: it closes the oldest.
        for turn in range(3):
            for width in range(120):
                assert await one.fetchval(f"SELECT $1::int + {width}", turn) == turn + width
    # It knows the columns of what it has prepared, and waits to be told that they are others.
    async with Connection() as one:
        for more in range(3):
            for _ in range(3):
                assert len((await one.fetch(f"SELECT * FROM {table} WHERE id < 9"))[0]) == 3 + more
            await one.execute(f"ALTER TABLE {table} ADD COLUMN more{more} int")
            assert len((await one.fetch(f"SELECT * FROM {table} WHERE id < 9"))[0]) == 4 + more
    # Its cache switched off, it parses and binds in two steps.
    conn = await asyncpg.connect(url, statement_cache_size=0)
    for i in range(20):
        assert await conn.fetchval(f"SELECT size FROM {table} WHERE id = $1", i) == i * 10
    await conn.close()


async def transaction():
    table = unique("asyncpg")
    async with Connection() as conn:
        await conn.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, name text)")
        for i in range(20):
            await conn.execute(f"INSERT INTO {table} VALUES ($1, 'new')", i)
            assert await conn.fetchval(f"SELECT count(*) FROM {table}") == i + 1
        async with conn.transaction():
            await conn.execute(f"UPDATE {table} SET name = 'kept' WHERE id = 1")
            try:
                async with conn.transaction():  # a savepoint
                    await conn.execute(f"UPDATE {table} SET name = 'lost' WHERE id = 1")
                    await conn.execute("SELECT 1 / 0")
            except asyncpg.DivisionByZeroError:
                pass
        assert await conn.fetchval(f"SELECT name FROM {table} WHERE id = 1") == "kept"
        rolled_back = conn.transaction()
        await rolled_back.start()
        await conn.execute(f"DELETE FROM {table}")
        await rolled_back.rollback()
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 20
        try:
            async with conn.transaction(readonly=True):
                await conn.execute(f"DELETE FROM {table}")
            raise AssertionError("a read-only transaction wrote")
        except asyncpg.ReadOnlySQLTransactionError:
            pass
        # Several commands at once.
        await conn.execute(f"BEGIN; DELETE FROM {table} WHERE id > 10; COMMIT")
        assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 11


async def error():
    async with Connection() as conn:
        for _ in range(20):
            await fails_with(asyncpg.DivisionByZeroError, conn.fetchval("SELECT 1 / $1::int", 0))
            await fails_with(asyncpg.PostgresSyntaxError, conn.fetchval("SELEC 1"))
            await fails_with(asyncpg.UndefinedTableError, conn.fetchval("SELECT * FROM no_such_table"))
            await fails_with(asyncpg.DataError, conn.fetchval("SELECT $1::int", "no number"))
            assert await conn.fetchval("SELECT $1::int", 7) == 7
        many = conn.executemany("SELECT 1 / $1::int", [(n,) for n in range(100, -1, -1)])
        await fails_with(asyncpg.DivisionByZeroError, many)
        assert await conn.fetchval("SELECT 1") == 1


async def large():
    async with Connection() as conn:
        async with conn.transaction():
            sql = "SELECT i, repeat('x', 100) FROM generate_series(1, $1) AS i"
            numbers = [row[0] async for row in conn.cursor(sql, 20000, prefetch=1000)]
            assert numbers == list(range(1, 20001))
            cursor = await conn.cursor(sql, 100)
            assert len(await cursor.fetch(60)) == 60
            assert await conn.fetchval("SELECT 5") == 5
            assert len(await cursor.fetch(60)) == 40
        assert len(await conn.fetch(sql, 50000)) == 50000
        assert await conn.fetchval("SELECT $1::text", TEXT) == TEXT


async def copy():
    table = unique("asyncpg")
    async with Connection() as conn:
        await conn.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, name text)")
        rows = [(i, "x" * 200) for i in range(5000)]
        await conn.copy_records_to_table(table, records=rows)
        out = io.BytesIO()
        await conn.copy_from_query(f"SELECT id FROM {table} ORDER BY id", output=out)
        assert out.getvalue().split() == [b"%d" % i for i in range(5000)]
        twice = conn.copy_records_to_table(table, records=[(1, "is there already")])
        await fails_with(asyncpg.UniqueViolationError, twice)

        async def given_up():
            yield b"9000\tnever seen\n"
            raise ZeroDivisionError

        await fails_with(ZeroDivisionError, conn.copy_to_table(table, source=given_up()))
        assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 5000


async def cancel():
    async with Connection() as conn:
        for _ in range(3):
            await fails_with(asyncio.TimeoutError, conn.fetch("SELECT pg_sleep(60)", timeout=0.2))
            assert await conn.fetchval("SELECT 1") == 1
        sleeps, does_sleep = sleeping()
        running = asyncio.create_task(conn.fetch(sleeps))
        async with Connection() as watcher:
            while not await watcher.fetchval(does_sleep):
                pass
        running.cancel()
        await fails_with(asyncio.CancelledError, running)
        assert await conn.fetchval("SELECT 1") == 1


async def notify():
    channel = unique("asyncpg")
    async with Connection() as ear, Connection() as mouth:
        heard = asyncio.Queue()
        await ear.add_listener(channel, lambda *what: heard.put_nowait(what[2:]))
        for payload in ["hello", "again"]:
            await mouth.execute("SELECT pg_notify($1, $2)", channel, payload)
            assert await asyncio.wait_for(heard.get(), 60) == (channel, payload)


async def pool():
    table = unique("asyncpg")
    async with Connection() as conn:
        await conn.execute(f"CREATE TABLE {table} (job int PRIMARY KEY, name text)")
    async with asyncpg.create_pool(url, min_size=30, max_size=30) as connections:

        async def work(job):
            async with connections.acquire() as conn:
                await conn.execute(f"INSERT INTO {table} VALUES ($1, $2)", job, f"job {job}")
                found = await conn.fetchval(f"SELECT name FROM {table} WHERE job = $1", job)
                assert found == f"job {job}", found
            # Another connection of the pool.
            assert await connections.fetchval("SELECT $1::int", job) == job

        await asyncio.gather(*(work(job) for job in range(300)))
        async with connections.acquire() as conn:
            await conn.execute(f"UPDATE {table} SET name = name")
            assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 300


report("asyncpg", asyncpg.__version__, vars())
