"""The brokers of a comparison: how each one is installed, configured, started and stopped."""

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pregon-brokers"

START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 10
# Lines of its log that are shown of a broker that does not start.
SAID_LINES_MAX = 3


class BrokerError(Exception):
    """A broker that cannot be installed, started or reached."""


@dataclass(frozen=True)
class Broker:
    """A broker by name; the command may hold {port}, {config} and {folder}."""

    name: str
    command: str
    config: Path | None = None
    # What a scenario adds for this broker; only the floor needs to be told who talks to whom.
    extra: dict[str, str] | None = None


def mosquitto() -> Broker:
    """Debian's mosquitto."""
    path = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise BrokerError("mosquitto is missing: apt-get install mosquitto")
    return Broker("mosquitto", f"{path} -c {{config}}", HERE / "mosquitto.conf")


def cargo_installed(crate: str, command: str) -> Broker:
    """A broker of the crate registry, built once and kept outside of the tree."""
    binary = CACHE / "bin" / crate
    if not binary.exists():
        print(f"installing {crate} into {CACHE}, once", flush=True)
        result = subprocess.run(["cargo", "install", "--locked", "--root", str(CACHE), crate], check=False)
        if result.returncode != 0:
            raise BrokerError(f"{crate} does not build: cargo install --locked --root {CACHE} {crate}")
    return Broker(crate, command.replace("{binary}", str(binary)), HERE / f"{crate}.toml")


def from_template(text: str, configs: dict[str, Path]) -> Broker:
    """A broker given as NAME=COMMAND."""
    name, _, command = text.partition("=")
    if not command or "{port}" not in command + (configs[name].read_text() if name in configs else ""):
        raise BrokerError(f"--broker {text}: NAME=COMMAND, with {{port}} in the command or in its --config")
    return Broker(name, command, configs.get(name))


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(broker: Broker, cores: str, scenario: str):
    """Runs a broker on its cores while the body runs; gives its process id and address."""
    with tempfile.TemporaryDirectory(prefix="pregon-compare-") as folder:
        port = free_port()
        config = Path(folder) / "config.toml"
        if broker.config is not None:
            config.write_text(broker.config.read_text().replace("{port}", str(port)))
        words = broker.command + " " + (broker.extra or {}).get(scenario, "")
        for name, value in {"port": port, "config": config, "folder": folder}.items():
            words = words.replace("{" + name + "}", str(value))
        log = Path(folder) / "log"
        with log.open("wb") as out:
            # `taskset` becomes the broker, so the process id is the broker's.
            process = subprocess.Popen(["taskset", "-c", cores, *shlex.split(words)], stdout=out, stderr=out, cwd=folder)
        try:
            wait_for(process, port, broker, log)
            yield process.pid, f"127.0.0.1:{port}"
        finally:
            stop(process)


def wait_for(process: subprocess.Popen, port: int, broker: Broker, log: Path):
    """Waits until the broker accepts a connection."""
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    said = log.read_text(errors="replace").splitlines()[:SAID_LINES_MAX]
    raise BrokerError(f"{broker.name} does not listen on port {port}; it said: {' / '.join(said) or 'nothing'}")


def stop(process: subprocess.Popen):
    """Asks the broker to end, and ends it if it does not."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
