"""Tries the features of a driver one by one, and prints a line for each: driver, feature, ok or n/a or fails, note."""

import asyncio
import inspect
import os
import sys
import time
import traceback

url = sys.argv[1]


def unique(what):
    return f"{what}_{time.time_ns()}"


def sleeping():
    """A statement that sleeps, on the primary, and one that asks there whether it does: true or false."""
    mark = unique("asleep")
    return (
        f"/* pglagoon: primary */ SELECT pg_sleep(60) AS {mark}",
        "/* pglagoon: primary */ SELECT count(*) = 1 FROM pg_stat_activity"
        f" WHERE wait_event = 'PgSleep' AND strpos(query, '{mark}') > 0",
    )


def report(driver, version, module):
    """The features are those of the module's functions that are called like one."""
    print(driver, "version", version, flush=True)
    for name in os.environ["FEATURES"].split():
        feature = module.get(name)
        if not inspect.isfunction(feature):
            print(driver, name, "n/a", flush=True)
            continue
        try:
            if inspect.iscoroutinefunction(feature):
                asyncio.run(feature())
            else:
                feature()
        except Exception as error:
            traceback.print_exc()
            print(driver, name, "fails", repr(error)[:300].replace("\n", " "), flush=True)
        else:
            print(driver, name, "ok", flush=True)


def fails_with(kind, work):
    """Calls `work`, which must raise this kind of error."""
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"there was no {kind}")
