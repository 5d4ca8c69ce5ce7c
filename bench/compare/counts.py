"""What a broker asks of the kernel and of its allocator during a whole run, counted from outside while it serves.

The counting begins before the first client connects and ends when the last message has been accounted for, so counts and deliveries
belong to exactly the same interval. Runs of two lengths tell the steady state from what is made once.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from brokers import BrokerError

# A vectored send is what a delivery needs at least; everything else is beside it. `write` is not among them, because an eventfd is
# written to as well.
SENDS = ("sendmsg", "sendto", "writev", "sendmmsg")
# All calls together, and those that brokers of all kinds make at full load: the rest is what is left of the sum. A tracepoint a call
# would be 350 of them for each thread.
ALL_CALLS, SUM = "raw_syscalls:sys_enter", "sys_enter"
NAMED_CALLS = (
    *SENDS,
    *("recvfrom", "recvmsg", "recvmmsg", "read", "readv", "write", "io_uring_enter", "epoll_wait", "epoll_pwait", "epoll_ctl", "poll"),
    *("ppoll", "futex", "accept4", "close", "brk", "mmap", "munmap", "madvise", "clock_nanosleep", "timerfd_settime", "setsockopt"),
)
# Entries of the allocators that a broker may use: its own of this name in the binary, and those of the C library.
BINARY_ENTRIES = ("mi_malloc_aligned", "mi_zalloc_aligned", "mi_realloc_aligned")
LIBRARY_ENTRIES = ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc")
READY_SECONDS_MAX = 30
STOP_SECONDS_MAX = 30


def need(program: str, package: str):
    """Ends with a clear word where a tool is missing."""
    if shutil.which(program) is None:
        raise BrokerError(f"{program} is missing: apt-get install {package}")


@contextlib.contextmanager
def strace(pid: int):
    """Counts system calls as `strace -c -f` does; the dictionary is filled when the body has ended. It slows the broker down."""
    need("strace", "strace")
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        table, said = Path(folder) / "table", Path(folder) / "said"
        with said.open("wb") as err:
            process = subprocess.Popen(["strace", "-c", "-f", "-U", "calls,name", "-o", str(table), "-p", str(pid)], stderr=err)
        try:
            # A line for the process, and behind it how many threads it has.
            wait_for(lambda: "attached" in said.read_text(errors="replace"), process, said)
            yield counts
        finally:
            interrupt(process)
        for line in table.read_text().splitlines():
            found = re.fullmatch(r"\s*(\d+)\s+(\w+)", line)
            if found and found[2] != "total":
                counts[found[2]] = int(found[1])


@contextlib.contextmanager
def perf(pid: int, events: list[str]):
    """Counts events of all threads of a process; the dictionary is filled when the body has ended."""
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        table, said = Path(folder) / "table", Path(folder) / "said"
        control, answer = Path(folder) / "control", Path(folder) / "answer"
        for pipe in (control, answer):
            os.mkfifo(pipe)
        command = ["perf", "stat", "-x", ",", "-o", str(table), "-D", "-1", "--control", f"fifo:{control},{answer}", "-p", str(pid)]
        # Opened for reading and writing, so that neither side waits for the other to come.
        commands, answers = os.open(control, os.O_RDWR), os.open(answer, os.O_RDWR)
        with said.open("wb") as err:
            process = subprocess.Popen([*command, *(word for event in events for word in ("-e", event))], stderr=err)
        try:
            os.set_blocking(answers, False)
            os.write(commands, b"enable\n")
            wait_for(lambda: b"ack" in received(answers), process, said)
            yield counts
        finally:
            interrupt(process)
            os.close(commands)
            os.close(answers)
        for line in table.read_text().splitlines():
            fields = line.split(",")
            if len(fields) > 2 and fields[0].isdigit():
                event = fields[2].rpartition(":")[2]
                counts[event.removeprefix("sys_enter_")] = int(fields[0])
    if not counts:
        raise BrokerError(f"perf counted nothing of {', '.join(events)}")


def system_calls(pid: int):
    """Counts system calls by tracepoints, at the broker's own speed."""
    need("perf", "linux-perf")
    tracefs()
    return perf(pid, [ALL_CALLS, *(f"syscalls:sys_enter_{name}" for name in NAMED_CALLS)])


def named(counted: dict[str, int]) -> dict[str, int]:
    """The calls that have a name, and what the sum has beyond them."""
    calls = {name: count for name, count in counted.items() if name != SUM}
    return calls | ({"other": counted[SUM] - sum(calls.values())} if SUM in counted else {})


def total(counted: dict[str, int]) -> int:
    """All calls."""
    return sum(named(counted).values())


def sends(counted: dict[str, int]) -> int:
    """The calls that send."""
    return sum(counted.get(name, 0) for name in SENDS)


@contextlib.contextmanager
def allocations(pid: int):
    """Counts calls of the allocators, those of the process and those of its C library, by probes at their entries."""
    need("perf", "linux-perf")
    tracefs()
    binary = os.readlink(f"/proc/{pid}/exe")
    places = [(binary, entry) for entry in BINARY_ENTRIES] + [(c_library(pid), entry) for entry in LIBRARY_ENTRIES]
    group = f"allocations_{os.getpid()}"
    try:
        added = [entry for place, entry in places if probe(place, f"{group}:{entry}={entry}")]
        if not added:
            raise BrokerError(f"{binary} has no allocator that is known here")
        with perf(pid, [f"{group}:{entry}" for entry in added]) as counts:
            yield counts
    finally:
        subprocess.run(["perf", "probe", "-q", "-d", f"{group}:*"], stderr=subprocess.DEVNULL, check=False)


def probe(place: str, definition: str) -> bool:
    """Adds a probe; false where the file has no such symbol."""
    command = ["perf", "probe", "-q", "-x", place, "-a", definition]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def c_library(pid: int) -> str:
    """The C library that a process has loaded."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        path = line.rpartition(" ")[2]
        if Path(path).name.startswith(("libc.so", "libc-")):
            return path
    raise BrokerError(f"process {pid} has no C library of its own")


def tracefs():
    """Tracepoints and probes are reached through tracefs, which containers and small machines leave unmounted."""
    if not Path("/sys/kernel/tracing/events").exists():
        raise BrokerError("tracefs is missing: as root, mount -t tracefs nodev /sys/kernel/tracing")


def received(pipe: int) -> bytes:
    """What has come through a pipe, which may be nothing."""
    try:
        return os.read(pipe, 4096)
    except BlockingIOError:
        return b""


def wait_for(is_ready, process: subprocess.Popen, said: Path):
    """Waits until a tool counts."""
    until = time.monotonic() + READY_SECONDS_MAX
    while not is_ready():
        if process.poll() is not None or time.monotonic() > until:
            raise BrokerError(f"{process.args[0]} does not count: {said.read_text(errors='replace').strip()}")
        time.sleep(0.05)


def interrupt(process: subprocess.Popen):
    """Ends a tool as Ctrl-C does, so that it writes its table."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
