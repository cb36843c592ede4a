"""SQLAlchemy as applications use it, over psycopg or asyncpg: the second argument."""

import asyncio
import sys
import threading

import sqlalchemy
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

from features import fails_with, report, unique, url

OVER = sys.argv[2]
ADDRESS = url.replace("postgres:", f"postgresql+{OVER}:")


class Base(DeclarativeBase):
    pass


class Boat(Base):
    __tablename__ = unique("boat")
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    sails: Mapped[list["Sail"]] = relationship(back_populates="boat", cascade="all, delete-orphan")


class Sail(Base):
    __tablename__ = unique("sail")
    id: Mapped[int] = mapped_column(primary_key=True)
    boat_id: Mapped[int] = mapped_column(sqlalchemy.ForeignKey(f"{Boat.__tablename__}.id"))
    area: Mapped[float]
    boat: Mapped[Boat] = relationship(back_populates="sails")


class Engine:
    """An engine that runs a function with a connection or a session, whatever driver it is over."""

    def __init__(self, **options):
        if OVER == "asyncpg":
            self.runner = asyncio.Runner()
            self.engine = create_async_engine(ADDRESS, **options)
        else:
            self.engine = sqlalchemy.create_engine(ADDRESS, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if OVER == "asyncpg":
            self.runner.run(self.engine.dispose())
            self.runner.close()
        else:
            self.engine.dispose()

    async def aconnected(self, work):
        async with self.engine.connect() as conn:
            return await conn.run_sync(work)

    def connected(self, work):
        if OVER == "asyncpg":
            return self.runner.run(self.aconnected(work))
        with self.engine.connect() as conn:
            return work(conn)

    def session(self, work):
        def within(conn):
            with Session(conn) as session:
                return work(session)

        return self.connected(within)

    def many(self, works):
        """Runs all of them at the same time, each with a connection of its own."""
        if OVER == "asyncpg":

            async def together():
                return await asyncio.gather(*map(self.aconnected, works))

            return self.runner.run(together())
        results = [None] * len(works)

        def one(at):
            results[at] = self.connected(works[at])

        threads = [threading.Thread(target=one, args=(at,)) for at in range(len(works))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


def schema():
    def create(conn):
        Base.metadata.create_all(conn)
        conn.commit()

    def look(conn):
        found = sqlalchemy.inspect(conn)
        assert found.has_table(Boat.__tablename__)
        columns = [column["name"] for column in found.get_columns(Sail.__tablename__)]
        assert columns == ["id", "boat_id", "area"], columns
        keys = found.get_foreign_keys(Sail.__tablename__)
        assert [key["referred_table"] for key in keys] == [Boat.__tablename__], keys
        mirrored = sqlalchemy.MetaData()
        mirrored.reflect(conn, only=[Sail.__tablename__])
        assert len(mirrored.tables) == 2
        Base.metadata.create_all(conn)  # they exist: nothing happens
        conn.commit()

    def remove(conn):
        Base.metadata.drop_all(conn)
        conn.commit()
        assert not sqlalchemy.inspect(conn).has_table(Boat.__tablename__)
        create(conn)

    with Engine() as engine:
        for work in [create, look, remove]:
            engine.connected(work)


def connect():
    for _ in range(3):
        with Engine() as engine:
            assert engine.connected(lambda conn: conn.scalar(text("SELECT 1"))) == 1
    with Engine(pool_pre_ping=True, isolation_level="AUTOCOMMIT") as engine:
        for _ in range(10):
            assert engine.connected(lambda conn: conn.scalar(text("SELECT 1"))) == 1


def prepare():
    def work(conn):
        for turn in range(20):
            for width in range(10):
                found = conn.scalar(text(f"SELECT CAST(:n AS int) + {width}"), {"n": turn})
                assert found == turn + width, found
            conn.commit()

    with Engine() as engine:
        engine.many([work] * 3)


def fill(engine):
    """Both tables, made and with fifty boats."""

    def work(session):
        Base.metadata.create_all(session.connection())
        session.query(Sail).delete()
        session.query(Boat).delete()
        session.add_all(Boat(name=f"boat {i}", sails=[Sail(area=i), Sail(area=i + 0.5)]) for i in range(50))
        session.commit()

    engine.session(work)


def transaction():
    def work(session):
        boat = session.scalars(select(Boat).where(Boat.name == "boat 7")).one()
        boat.name = "renamed"
        session.commit()
        assert boat.name == "renamed"  # read again
        try:
            with session.begin_nested():  # a savepoint
                session.add(Boat(name="boat 8"))
                session.flush()
        except sqlalchemy.exc.IntegrityError:
            pass
        session.delete(boat)
        session.rollback()
        assert session.scalar(select(func.count()).select_from(Boat)) == 50
        boats = session.scalars(select(Boat).options(selectinload(Boat.sails)).order_by(Boat.id)).all()
        assert [len(boat.sails) for boat in boats] == [2] * 50
        boats[0].sails.pop()
        session.commit()
        assert session.scalar(select(func.count()).select_from(Sail)) == 99

    def each_alone(conn):
        conn = conn.execution_options(isolation_level="AUTOCOMMIT")
        for i in range(20):
            conn.execute(sqlalchemy.update(Sail).values(area=i))
            assert conn.scalar(select(func.min(Sail.area))) == i

    def read_only(conn):
        conn = conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        assert conn.scalar(select(func.count()).select_from(Boat)) == 50
        fails_with(sqlalchemy.exc.DBAPIError, lambda: conn.execute(sqlalchemy.delete(Sail)))
        conn.rollback()

    with Engine() as engine:
        fill(engine)
        engine.session(work)
        engine.connected(each_alone)
        engine.connected(read_only)
        engine.connected(each_alone)


def error():
    def work(conn):
        for _ in range(10):
            fails_with(sqlalchemy.exc.DBAPIError, lambda: conn.execute(text("SELECT 1 / 0")))
            conn.rollback()
            fails_with(sqlalchemy.exc.ProgrammingError, lambda: conn.execute(text("SELECT * FROM nowhere")))
            conn.rollback()
            assert conn.scalar(text("SELECT 1")) == 1

    with Engine() as engine:
        engine.connected(work)


def large():
    def parts(conn):
        rows = conn.execution_options(stream_results=True, max_row_buffer=1000).execute(
            text("SELECT i, repeat('x', 100) FROM generate_series(1, 20000) AS i")
        )
        assert sum(row.i for row in rows) == 200010000

    def work(conn):
        assert len(conn.execute(text("SELECT generate_series(1, 50000)")).all()) == 50000
        blob = "lagoon" * 500_000
        assert conn.scalar(text("SELECT CAST(:blob AS text)"), {"blob": blob}) == blob
        # Hundreds of rows in few statements, whose keys come back in order.
        Base.metadata.create_all(conn)
        names = [{"name": unique(f"many {i}")} for i in range(3000)]
        insert = sqlalchemy.insert(Boat).returning(Boat.id, sort_by_parameter_order=True)
        found = conn.execute(insert, names).scalars().all()
        assert found == sorted(found) and len(found) == 3000
        conn.rollback()

    with Engine() as engine:
        engine.connected(parts)
        engine.connected(work)


def pool():
    def work(job):
        def job_of(session):
            boat = Boat(name=unique(f"job {job}"), sails=[Sail(area=job)])
            session.add(boat)
            session.commit()
            session.expire_all()
            assert boat.sails[0].area == job
            session.commit()

        def within(conn):
            with Session(conn) as session:
                for _ in range(4):
                    job_of(session)

        return within

    with Engine(pool_size=30) as engine:
        fill(engine)
        engine.many([work(job) for job in range(30)])
        engine.many([work(job) for job in range(30)])
        count = select(func.count()).select_from(Boat)
        assert engine.connected(lambda conn: conn.scalar(count)) == 50 + 240


report(f"sqlalchemy-{OVER}", sqlalchemy.__version__, vars())
