"""Tries the features of a driver one by one, and prints a line for each: driver, feature, ok or n/a or fails, note."""

import asyncio
import inspect
import sys
import time
import traceback

FEATURES = (
    "connect prepare pipeline transaction error large copy cancel notify pool schema".split()
)

url = sys.argv[1]


def unique(what):
    return f"{what}_{time.time_ns()}"


def report(driver, version, **features):
    assert set(features) <= set(FEATURES), features
    print(driver, "version", version, flush=True)
    for name in FEATURES:
        if name not in features:
            print(driver, name, "n/a", flush=True)
            continue
        try:
            if inspect.iscoroutinefunction(features[name]):
                asyncio.run(features[name]())
            else:
                features[name]()
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
