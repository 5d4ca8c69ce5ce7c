"""A load that counts as if it had cores of its own, where it has to share those of the broker.

It runs before everything else (SCHED_FIFO), so no shard ever waits for it; and it changes the core every millisecond, so each
shard is displaced as often as the others. Both need the right to do so.
"""

import contextlib
import os
import subprocess
import threading
import time

# How long the load stays on a core.
STAY_SECONDS = 0.001
# The load's real-time priority; who moves it has a higher one.
PRIORITY = 1


@contextlib.contextmanager
def wandering(process: subprocess.Popen, cores: list[int]):
    """Moves a process from core to core while the body runs, before everything else on each of them."""
    is_over = threading.Event()
    os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(PRIORITY))
    mover = threading.Thread(target=move, args=(process.pid, cores, is_over))
    mover.start()
    try:
        yield
    finally:
        is_over.set()
        mover.join()


def move(pid: int, cores: list[int], is_over: threading.Event):
    """Until it is over, or the process is."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY + 1))  # this thread alone
    turn = 0
    with contextlib.suppress(ProcessLookupError):
        while not is_over.is_set():
            os.sched_setaffinity(pid, {cores[turn % len(cores)]})
            turn += 1
            time.sleep(STAY_SECONDS)
