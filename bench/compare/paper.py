"""What stands around the figures: the machine, who took part, the plots."""

import argparse
import datetime
import os
import platform
from pathlib import Path

import plots
import tables
from brokers import Broker, version


def heading(arguments: argparse.Namespace, brokers: list[Broker]) -> dict:
    """When, on what and with whom."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%-d %B %Y, %H:%M UTC"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load_average": load_average(),
        "broker_core": arguments.broker_core,
        "load_core": arguments.load_core,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "versions": {broker.name: version(broker) for broker in brokers},
        "commands": {broker.name: command_line(broker, arguments.tls) for broker in brokers},
    }


def command_line(broker: Broker, is_tls: bool = False) -> str:
    """How a broker is started, without the folder it lies in."""
    command = (broker.secure_command if is_tls else None) or broker.command
    program, _, words = command.partition(" ")
    return f"{Path(program).name} {words}"


def promises(brokers: list[Broker]) -> str:
    """How brokers that keep sessions were started, and what an acknowledgement of each of them says."""
    lines = [f"- {broker.name}, `{command_line(broker)}`: a message is acknowledged {broker.promise}." for broker in brokers]
    return "\n".join([*lines, ""])


def load_average() -> float:
    """How busy the machine was in the last minute."""
    return os.getloadavg()[0]


def markdown(about: dict) -> str:
    """What the tables are of."""
    lines = [
        f"Measured on {about['date']}: {about['cpu']}, {about['cores']} cores, Linux {about['kernel']}, load average "
        f"{about['load_average']:.2f} at the start.",
        f"Broker on core {about['broker_core']}, load on core {about['load_core']}; up to {about['rounds']} rounds, brokers in turns,",
        f"each run {about['seconds']:g} s after 1 s of warm-up, with a freshly started broker.",
        "Shares are medians of the ratios of each round.",
        "",
        tables.row(["broker", "version", "command"]),
        tables.row(["---"] * 3),
    ]
    lines += [tables.row([name, about["versions"][name], f"`{command}`"]) for name, command in about["commands"].items()]
    return "\n".join(lines) + "\n"


def draw(out: Path, results: dict):
    """The plots, of whatever was measured for them."""
    throughput(out / "throughput.svg", results)
    memory(out / "memory.svg", results)


def throughput(path: Path, results: dict):
    """CPU against the rate, from the sweep."""
    sweep = {name: rising(lines) for name, lines in results["sweep"].items() if lines}
    heads = plots.Heads(
        "What throughput costs",
        "10 publishers to 1 subscriber, QoS 0, 64 bytes, fixed rates; a line ends where broker or load deliver no more than before",
        "messages a second",
        "CPU of the broker, % of a core",
        caption(results, sweep),
    )
    plots.line_chart(path, heads, sweep, log_x=True)


def rising(lines: list[dict]) -> list[tuple[float, float]]:
    """Rate and CPU up to the highest rate that was delivered; what a broker does with more than it can is no cost of throughput."""
    points: list[tuple[float, float]] = []
    for figures in lines:
        if points and figures["deliveries_per_s"] <= points[-1][0]:
            break
        points.append((figures["deliveries_per_s"], 100 * figures["broker_cpu_share"]))
    return points


def memory(path: Path, results: dict):
    """Resident memory against idle connections."""
    resident: plots.Series = {}
    for name in results["versions"]:
        for scenario, rounds in results["scenarios"].items():
            middle = tables.median(tables.values(rounds, name, "resident_after_bytes"))
            if scenario.startswith("idle-") and middle is not None:
                resident.setdefault(name, []).append((float(scenario.removeprefix("idle-")), middle / 1024**2))
    heads = plots.Heads(
        "What idle connections cost",
        "clean sessions over TCP, one subscription each; resident memory of the broker's process",
        "connections",
        "MiB, on a logarithmic scale",
        caption(results, resident),
    )
    plots.line_chart(path, heads, resident, log_y=True)


def caption(results: dict, shown: plots.Series) -> list[str]:
    """When, on what and with which versions a plot was made."""
    versions = [f"{name} {results['versions'][name]}".removesuffix(" —") for name in shown]
    return [
        f"{results['date']}; {results['cpu']}, {results['cores']} cores, Linux {results['kernel']}; broker on one core, load on another; "
        f"load average {results['load_average']:.1f} at the start",
        ", ".join(versions),
    ]
