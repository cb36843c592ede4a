"""Django as applications use it: migrations, models, and its tests' own transactions."""

import io
import threading
import unittest
from contextlib import redirect_stderr
from urllib.parse import urlsplit

import django
from django.conf import settings

from features import fails_with, report, unique, url

parts = urlsplit(url)
DATABASE = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": parts.path.lstrip("/"),
    "USER": parts.username,
    "PASSWORD": parts.password,
    "HOST": parts.hostname,
    "PORT": parts.port,
}
settings.configure(
    DATABASES={"default": DATABASE, "pooled": DATABASE | {"OPTIONS": {"pool": {"min_size": 30, "max_size": 30, "timeout": 60}}}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, close_old_connections, connection, connections, models, transaction
from django.test import TestCase, TransactionTestCase


def migrate():
    call_command("migrate", verbosity=0)


def connect():
    for _ in range(10):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
        connection.close()


def prepare():
    """Parameters bound by the server, which Django leaves off by default, on a connection of its own."""
    bound = connection.copy("bound")
    bound.settings_dict["OPTIONS"] = {"server_side_binding": True, "prepare_threshold": 0}
    for turn in range(20):
        with bound.cursor() as cursor:
            cursor.execute("SELECT %s::int + 1, %s::text", (turn, "x"))
            assert cursor.fetchone() == (turn + 1, "x")
    bound.close()


def of_transactions():
    migrate()
    Group.objects.filter(name__startswith="t_").delete()
    for i in range(20):
        Group.objects.create(name=f"t_{i}")
        assert Group.objects.filter(name__startswith="t_").count() == i + 1
    with transaction.atomic():
        Group.objects.create(name="t_kept")
        try:
            with transaction.atomic():
                Group.objects.create(name="t_1")
        except IntegrityError:
            pass
        assert Group.objects.select_for_update().filter(name__startswith="t_").count() == 21
    try:
        with transaction.atomic():
            Group.objects.all().delete()
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    seen = []
    with transaction.atomic():
        group, is_new = Group.objects.get_or_create(name="t_later")
        transaction.on_commit(lambda: seen.append(Group.objects.get(pk=group.pk).name))
    assert is_new and seen == ["t_later"]
    assert Group.objects.filter(name__startswith="t_").count() == 22


class Rollback(TestCase):
    """Each test runs within a transaction and a savepoint, which are rolled back."""

    @classmethod
    def setUpTestData(cls):
        cls.group = Group.objects.create(name="c_of all")

    def test_one(self):
        self.group.name = "c_renamed"
        self.group.save()
        Group.objects.create(name="c_own")
        self.assertEqual(Group.objects.filter(name__startswith="c_").count(), 2)

    def test_two(self):
        self.assertEqual(Group.objects.get(name__startswith="c_").name, "c_of all")
        with self.assertNumQueries(1), self.captureOnCommitCallbacks():
            self.assertTrue(Group.objects.filter(name="c_of all").exists())


class Flush(TransactionTestCase):
    """Each test leaves what it has written, and all tables are emptied behind it."""

    databases = {"default"}
    reset_sequences = True

    def test_one(self):
        self.assertEqual(User.objects.create_user("one").pk, 1)

    def test_two(self):
        self.assertEqual(User.objects.create_user("one").pk, 1)


def error():
    migrate()
    for _ in range(20):
        with connection.cursor() as cursor:
            fails_with(DatabaseError, lambda: cursor.execute("SELECT 1 / 0"))
        fails_with(IntegrityError, lambda: Group.objects.create(name=None))
        assert Group.objects.filter(name="nobody").first() is None


def large():
    migrate()
    Group.objects.filter(name__startswith="l_").delete()
    Group.objects.bulk_create((Group(name=f"l_{i}") for i in range(5000)), batch_size=1000)
    many = Group.objects.filter(name__startswith="l_")
    # A cursor WITH HOLD, as there is no transaction.
    assert len({group.pk for group in many.iterator(chunk_size=500)}) == 5000
    next(many.iterator(chunk_size=10))
    with transaction.atomic():
        assert len(list(many.iterator(chunk_size=500))) == 5000
    assert many.update(name=models.functions.Concat("name", models.Value("_"))) == 5000
    assert many.delete()[0] == 5000


def copy():
    table = unique("django")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} (id int)")
        with cursor.copy(f"COPY {table} FROM STDIN") as rows:
            for i in range(5000):
                rows.write_row((i,))
        cursor.execute(f"SELECT count(*) FROM {table}")
        assert cursor.fetchone() == (5000,)


def pool():
    migrate()
    groups = Group.objects.using("pooled")
    groups.filter(name__startswith="p_").delete()
    failures = []

    def work(worker):
        try:
            for job in range(worker * 10, worker * 10 + 10):
                with transaction.atomic(using="pooled"):
                    group = groups.create(name=f"p_{job}")
                    assert groups.get(pk=group.pk).name == f"p_{job}"
                connections["pooled"].close()  # as at the end of a request
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    with transaction.atomic(using="pooled"):
        assert groups.select_for_update().filter(name__startswith="p_").count() == 300
    groups.filter(name__startswith="p_").delete()
    connections["pooled"].close()
    connections["pooled"].close_pool()


def schema():
    for app in ["sessions", "auth", "contenttypes"]:
        call_command("migrate", app, "zero", verbosity=0)
    migrate()
    migrate()
    out = io.StringIO()
    call_command("migrate", check_unapplied=True, verbosity=0)
    call_command("showmigrations", stdout=out)
    assert "[ ]" not in out.getvalue() and "[X] 0012" in out.getvalue()
    call_command("inspectdb", "auth_user", stdout=out)
    assert "class AuthUser" in out.getvalue()
    close_old_connections()
    printed = io.StringIO()
    suite = unittest.TestSuite(map(unittest.defaultTestLoader.loadTestsFromTestCase, [Rollback, Flush]))
    with redirect_stderr(printed):
        result = unittest.TextTestRunner(stream=printed).run(suite)
    assert result.wasSuccessful() and result.testsRun == 4, printed.getvalue()


report("django", django.__version__, vars() | {"transaction": of_transactions})
