"""One line for each check, and waiting that ends."""

import os
import queue

PATIENCE = 30  # seconds; far more than a busy machine needs
RUN = f"python-{os.getpid()}"  # keeps this run's topics and identifiers apart from those of others

failures = 0


def check(name, body, *arguments):
    """Runs one check and says how it went."""
    global failures
    try:
        body(*arguments)
        print(f"ok {name}", flush=True)
    except Exception as error:
        failures += 1
        what = "waited in vain" if isinstance(error, queue.Empty) else repr(error)
        print(f"FAILED {name}: {what}".replace("\n", " "), flush=True)


def expect(what, actual, expected):
    """Raises unless both are the same."""
    if actual != expected:
        raise AssertionError(f"{what} is {actual!r} and not {expected!r}")


def qualities():
    """Every pair of a published and a granted quality of service."""
    return [(sent, granted) for sent in range(3) for granted in range(3)]
