"""Two cores against one: what a second shard costs, on a machine where the load needs a core as well.

A rate on both cores is no measure here, because the load takes its share of them. What is measured is the CPU time of each thread
of the broker, which does not count the time in which the load ran instead. The busiest thread is the one that would fill its core
first, so with nobody else on the cores the two together would reach this many times the rate of one:

    gain = (CPU of the busiest thread for a delivery, one core) / (the same, all cores)

As many times as there are cores is perfect; what is below it is work that two shards have and one has not, and work that is not shared
out evenly. It is true only while the shards have as much to do in a turn as on one core: a shard that waits for a load that was
displaced goes to sleep and wakes for each message, and one that is displaced itself finds more at a time. So the load runs before
the shards and changes the core (`feeding`), and what the shards did for a thousand deliveries stands beside the gain.
"""

import argparse
import sys

import asking
import tables
from bench import Bench, Place
from brokers import core_list
from scenarios import MESSAGES

ONE, ALL = "one", "all"


def measure(bench: Bench, arguments: argparse.Namespace) -> dict:
    """The rounds of each scenario: for each broker the figures of one core and of all."""
    names = arguments.scaling_brokers.split(",")
    brokers = [broker for broker in bench.brokers if broker.name in names and broker.is_parallel]
    usual = bench.usual
    places = {ONE: Place(usual.broker_cores, usual.load_core, is_asked=True), ALL: Place(arguments.scaling_cores, None, is_asked=True)}
    cores = len(core_list(arguments.scaling_cores))
    found: dict = {"cores": cores, "brokers": [broker.name for broker in brokers], "scenarios": {}}
    for scenario in MESSAGES:
        words = f"{scenario.arguments} --seconds {arguments.seconds}"
        rounds = found["scenarios"][scenario.name] = []
        for number in range(arguments.rounds):
            one_round = {}
            for broker in brokers:
                one_round[broker.name] = {how: bench.run(scenario.name, words, broker, place) for how, place in places.items()}
            rounds.append(one_round)
            print(f"scaling, {scenario.name}: round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
    return found


def busiest_s_per_million(figures: dict) -> float | None:
    """CPU seconds of the busiest thread for a million deliveries."""
    if not figures.get("deliveries_per_s") or "broker_busiest_share" not in figures:
        return None
    return figures["broker_busiest_share"] / figures["deliveries_per_s"] * 1e6


def gains(runs: list[dict]) -> list[float]:
    """How many times the deliveries of one core all cores would make, if they were the broker's alone: of each round."""
    pairs = [(busiest_s_per_million(run[ONE]), busiest_s_per_million(run[ALL])) for run in runs]
    return [one / every for one, every in pairs if one and every]


def table(found: dict) -> str:
    """The lines of all scenarios."""
    heads = ["scenario", "broker", "gain", "lowest to highest"]
    heads += [f"CPU s / 1 M, {how}" for how in (ONE, ALL)]
    heads += ["part of the busiest thread", *(f"{name} / 1,000, one and all" for name in asking.METRICS)]
    heads += [f"deliveries/s, {how}" for how in (ONE, ALL)]
    lines = [f"### scaling: {found['cores']} cores against one", "", tables.row(heads), tables.ruler(heads)]
    faults = []
    for name, rounds in found["scenarios"].items():
        for broker in found["brokers"]:
            runs = [one_round[broker] for one_round in rounds]
            lines.append(tables.row([name, broker, *cells(runs)]))
            for how in (ONE, ALL):
                faults += [f"- {name}, {how}: {note[2:]}" for note in tables.notes([broker], [{broker: run[how]} for run in runs])]
    return "\n".join([*lines, "", *faults]) + "\n"


def cells(runs: list[dict]) -> list[str]:
    """The figures of one scenario and broker."""
    own = gains(runs)
    found = [tables.short(tables.median(own)), f"{tables.short(min(own))} to {tables.short(max(own))}" if own else "—"]
    found += [middle(runs, how, "broker_cpu_s_per_million") for how in (ONE, ALL)]
    parts = [run[ALL]["broker_busiest_share"] / run[ALL]["broker_cpu_share"] for run in runs if run[ALL].get("broker_cpu_share")]
    found.append(tables.short(tables.median(parts)))
    found += [f"{middle(runs, ONE, figure)}, {middle(runs, ALL, figure)}" for figure in (f"{name}_per_thousand" for name in asking.METRICS)]
    return found + [middle(runs, how, "deliveries_per_s") for how in (ONE, ALL)]


def middle(runs: list[dict], how: str, figure: str) -> str:
    """The median of a figure, as text."""
    return tables.short(tables.median([run[how][figure] for run in runs if figure in run[how]]))
