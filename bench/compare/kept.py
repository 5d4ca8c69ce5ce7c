"""One Pregon on a data directory: written by `bench/sessions`, started until it is ready, asked what it has, stopped."""

import contextlib
import json
import os
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asking
from brokers import BrokerError, free_port, stop

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS_MAX = 600
ASK_SECONDS_MAX = 5
# Length of a client identifier, where nothing else is asked for.
ID_BYTES = 14
# How often it is asked whether it is ready: a start is as exact as this.
ASK_EVERY_SECONDS = 0.02


@dataclass(frozen=True)
class Ready:
    """A broker that has become ready: its process, where clients connect, and what it took until then."""

    pid: int
    port: int
    admin: str
    seconds: float
    cpu_seconds: float


def built(*benches: str) -> list[Path]:
    """Programs of `bench/`, built now."""
    names = [word for name in benches for word in ("--bench", name)]
    command = ["cargo", "bench", "--no-run", "--no-default-features", *names, "--message-format", "json"]
    messages = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.splitlines()
    found = {each["target"]["name"]: each["executable"] for each in map(json.loads, messages) if each.get("executable")}
    return [Path(found[name]) for name in benches]


def write(writer: Path, data: Path, sessions: int, queued: int, payload: int, shards: int, id_bytes: int = ID_BYTES):
    """Writes a data directory with so many sessions and messages."""
    words = f"--sessions {sessions} --queued {queued} --payload {payload} --shards {shards} --id-bytes {id_bytes}"
    subprocess.run([str(writer), str(data), *shlex.split(words)], stdout=subprocess.DEVNULL, check=True)


@contextlib.contextmanager
def running(pregon: Path, data: Path, cores: str, shards: int, settings: list[str]) -> Iterator[Ready]:
    """Runs a broker on a data directory while the body runs. Its log lies beside the directory."""
    port, admin = free_port(), f"127.0.0.1:{free_port()}"
    words = ["--listen", f"127.0.0.1:{port}", "--admin", admin, "--data-dir", str(data)]
    words += [word for setting in (f"runtime.shards={shards}", *settings) for word in ("--set", setting)]
    log = data.with_suffix(".log")
    with log.open("wb") as out:
        since = time.monotonic()
        process = subprocess.Popen(["taskset", "-c", cores, str(pregon), *words], stdout=out, stderr=out)
    try:
        wait_until_ready(process, f"http://{admin}/readyz", log)
        yield Ready(process.pid, port, admin, time.monotonic() - since, cpu_time(process.pid))
    finally:
        stop(process)


def wait_until_ready(process: subprocess.Popen, url: str, log: Path):
    """Asks until the broker says that clients may come."""
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=ASK_SECONDS_MAX):
            return
        time.sleep(ASK_EVERY_SECONDS)
    raise BrokerError(f"the broker does not become ready; it said: {log.read_text(errors='replace').strip()}")


def cpu_time(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def counts(broker: Ready, *metrics: str) -> list[int]:
    """Metrics of a broker, over all shards."""
    with urllib.request.urlopen(f"http://{broker.admin}/metrics", timeout=ASK_SECONDS_MAX) as answer:
        text = answer.read().decode()
    return [int(asking.total(text, metric)) for metric in metrics]
