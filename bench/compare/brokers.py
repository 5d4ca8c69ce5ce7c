"""The brokers of a comparison: where each one comes from, how it is configured, started, asked for its version and stopped."""

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pregon-brokers"

START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 10
VERSION_SECONDS_MAX = 10
# Messages that one session may have waiting in the durable scenarios: more than a run publishes.
QUEUE_MESSAGES_MAX = 1_000_000
# Lines of its log that are shown of a broker that does not start.
SAID_LINES_MAX = 3


class BrokerError(Exception):
    """A broker that cannot be installed, started or reached."""


@dataclass(frozen=True)
class Broker:
    """A broker by name; command and configuration may hold {port}, {second_port}, {threads}, {config} and {folder}."""

    name: str
    command: str
    config: Path | None = None
    # What a scenario adds for this broker; only the floor needs to be told who talks to whom.
    extra: dict[str, str] | None = None
    # What makes the program say its version; nothing if it has none.
    asks_version: str | None = "--version"
    # Whether it uses more than one core, so that one can be compared with two.
    is_parallel: bool = True
    # How it is started and configured to keep sessions over its own end; nothing if it takes no part in that.
    durable_command: str | None = None
    durable_config: Path | None = None
    # When it acknowledges a message for such a session.
    promise: str = ""
    # How it is started and configured to speak TLS on its port, with the file {certificate}; nothing if it takes no part in that.
    secure_command: str | None = None
    secure_config: Path | None = None
    # What else its configuration is filled in with.
    config_values: dict = field(default_factory=dict)
    # Whether its allocations go through entries that `counts` knows.
    has_known_allocator: bool = False


def pregon(command: str | None, durable: str | None, config: Path | None, built: Path) -> Broker | None:
    """Ours: the command that was given, or what is built; nothing if nothing is."""
    if command is None and not built.exists():
        return None
    base = f"{built} --listen 127.0.0.1:{{port}} --admin 127.0.0.1:{{second_port}}"
    # Whoever is away gets all that was published, as from a mosquitto without limits.
    kept = f"{base} --data-dir {{folder}}/data --set limits.queue_messages_max={QUEUE_MESSAGES_MAX}"
    secure = f"{built} --admin 127.0.0.1:{{second_port}} --memory --set listeners.tcp=[]"
    secure += " --set listeners.secure.address=127.0.0.1:{port} --set listeners.secure.certificates={certificate}"
    return Broker(
        "pregon",
        command or f"{base} --memory",
        config,
        secure_command=None if command else secure,
        durable_command=durable or (None if command else kept),
        promise="when it is on the device, after fdatasync",
        has_known_allocator=True,
    )


def mosquitto() -> Broker:
    """Debian's mosquitto."""
    path = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise BrokerError("mosquitto is missing: apt-get install mosquitto")
    command = f"{path} -c {{config}}"
    return Broker(
        "mosquitto",
        command,
        HERE / "mosquitto.conf",
        asks_version="-h",
        is_parallel=False,
        durable_command=command,
        durable_config=HERE / "mosquitto-durable.conf",
        secure_command=command,
        secure_config=HERE / "mosquitto-tls.conf",
        promise="when it is in memory; nothing is synced before PUBACK, and its database is written every half an hour and at its end",
        has_known_allocator=True,
    )


def rumqttd(path: str) -> Broker:
    """rumqttd, which cargo installs if no path is given."""
    # Its own lock file names a crate that the compilers of today refuse.
    return Broker("rumqttd", f"{path or cargo_installed('rumqttd')} --quiet --config {{config}}", HERE / "rumqttd.toml")


def rmqttd(path: str) -> Broker:
    """rmqttd, which cargo installs if no path is given."""
    return Broker("rmqttd", f"{path or cargo_installed('rmqttd', '--locked')} -f {{config}}", HERE / "rmqttd.toml")


def flashmq(path: str) -> Broker:
    """FlashMQ, from where it is."""
    return Broker("flashmq", f"{path} --config-file {{config}}", HERE / "flashmq.conf", has_known_allocator=True)


def floor(path: Path, extra: dict[str, str]) -> Broker:
    """The relay that knows no topics."""
    return Broker("floor", f"{path} 127.0.0.1:{{port}}", extra=extra, asks_version=None, is_parallel=False)


def cargo_installed(crate: str, *words: str) -> Path:
    """A program of the crate registry, built once and kept outside of the tree."""
    binary = CACHE / "bin" / crate
    if not binary.exists():
        print(f"installing {crate} into {CACHE}, once", flush=True)
        command = ["cargo", "install", *words, "--root", str(CACHE), crate]
        if subprocess.run(command, check=False).returncode != 0:
            raise BrokerError(f"{crate} does not build: {shlex.join(command)}")
    return binary


def from_template(text: str, configs: dict[str, Path]) -> Broker:
    """A broker given as NAME=COMMAND."""
    name, _, command = text.partition("=")
    if not command or "{port}" not in command + (configs[name].read_text() if name in configs else ""):
        raise BrokerError(f"--other {text}: NAME=COMMAND, with {{port}} in the command or in its --config")
    return Broker(name, command, configs.get(name))


def lasting(broker: Broker) -> Broker | None:
    """The same broker, started so that it keeps sessions over its own end; nothing if it takes no part in that."""
    if broker.durable_command is None:
        return None
    return replace(broker, command=broker.durable_command, config=broker.durable_config or broker.config)


def version(broker: Broker) -> str:
    """What the program says its version is; a dash if it does not tell."""
    if broker.asks_version is None:
        return "—"
    command = [shlex.split(broker.command)[0], broker.asks_version]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=VERSION_SECONDS_MAX, check=False)
        found = re.search(r"\d+\.\d+(?:\.\d+)?", done.stdout + done.stderr)
        if found:
            return found[0]
    return "—"


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def core_list(cores: str) -> list[int]:
    """The cores of a list as `taskset` takes it: `1`, `0,1`, `0-3`."""
    found = []
    for part in cores.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


@dataclass(frozen=True)
class Running:
    """A broker's process, where its clients connect, and its second port."""

    pid: int
    address: str
    second_address: str


@contextlib.contextmanager
def running(broker: Broker, cores: str, scenario: str):
    """Runs a broker on its cores while the body runs."""
    with tempfile.TemporaryDirectory(prefix="pregon-compare-") as folder:
        port, second_port = free_port(), free_port()
        values = {"port": port, "second_port": second_port, "threads": len(core_list(cores)), "folder": folder}
        config = Path(folder) / "config.toml"
        if broker.config is not None:
            config.write_text(filled(broker.config.read_text(), values | broker.config_values))
        words = filled(broker.command + " " + (broker.extra or {}).get(scenario, ""), values | {"config": config})
        log = Path(folder) / "log"
        with log.open("wb") as out:
            # `taskset` becomes the broker, so the process id is the broker's. A lock or a cache in the user's home would outlive it.
            command = ["taskset", "-c", cores, *shlex.split(words)]
            process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, env=os.environ | {"HOME": folder})
        try:
            wait_for(process, port, broker, log)
            yield Running(process.pid, f"127.0.0.1:{port}", f"127.0.0.1:{second_port}")
        finally:
            stop(process)


def filled(text: str, values: dict) -> str:
    """A template with its values; braces that name none of them stay."""
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text


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
