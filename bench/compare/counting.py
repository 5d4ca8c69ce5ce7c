"""System calls and allocations a message: which runs are counted, and the tables that come of it."""

import sys

import counts
import tables
from bench import Bench
from brokers import Broker, BrokerError, running

# Runs by name, with their arguments and how many messages ours publishes in the long one.
RUNS = {
    "fan-in": ("fan-in --publishers 10 --in-flight 1000", 1_000_000),
    "fan-out-100": ("fan-out --subscribers 100 --in-flight 200", 100_000),
    "pairs-qos0": ("pairs --pairs 50 --in-flight 100", 1_000_000),
    "pairs-qos1": ("pairs --pairs 50 --in-flight 100 --qos 1 --window 20", 200_000),
}
# The short run is so much shorter; the difference of the two is the steady state. That of strace, which slows a broker down, is short.
SHORTER = 5
# The other brokers need so much longer for a message, and get so many fewer.
OTHERS_SHORTER = 20
# Calls that are shown by name.
NAMES_MAX = 6


def measure(bench: Bench) -> dict:
    """All counts of all brokers: by strace, by tracepoints, of allocators."""
    found: dict = {}
    for name, (words, messages) in RUNS.items():
        found[name] = {}
        for broker in bench.brokers:
            counted = found[name][broker.name] = {}
            for way in ("strace", "tracepoints", "allocations"):
                if way == "allocations" and not broker.has_known_allocator:
                    continue
                long = messages if broker.name in ("pregon", tables.FLOOR) else messages // OTHERS_SHORTER
                lengths = [long // SHORTER] if way == "strace" else [long // SHORTER, long]
                try:
                    counted[way] = [once(bench, broker, name, f"{words} --messages {length}", way) for length in lengths]
                except (BrokerError, OSError) as error:
                    counted[way] = {"error": str(error)}
            print(f"counts, {name}: {broker.name}", file=sys.stderr, flush=True)
    return found


def once(bench: Bench, broker: Broker, name: str, words: str, way: str) -> dict:
    """One counted run: the counts and the figures of the generator."""
    ways = {"strace": counts.strace, "tracepoints": counts.system_calls, "allocations": counts.allocations}
    with running(broker, bench.usual.broker_cores, name) as run:
        with ways[way](run.pid) as counted:
            figures = bench.put(words, run, bench.usual)
        if not figures["is_sound"]:
            raise BrokerError(f"{broker.name}, {way}: {tables.fault(figures)}")
    return {"counts": counted, "sent": figures["sent"], "deliveries": figures["deliveries"], "seconds": figures["seconds"]}


def table(found: dict) -> str:
    """Both tables."""
    return "\n".join([*call_lines(found), "", *allocation_lines(found), "", *error_lines(found)]) + "\n"


def steady(runs: list[dict]) -> dict:
    """What the longer run has beyond the shorter one; all of it where there is only one."""
    if len(runs) == 1:
        return runs[0]
    short, long = runs
    counted = {name: count - short["counts"].get(name, 0) for name, count in long["counts"].items()}
    return {"counts": counted, "sent": long["sent"] - short["sent"], "deliveries": long["deliveries"] - short["deliveries"]}


def call_lines(found: dict) -> list[str]:
    """System calls for a published message: under strace those of connecting included, by tracepoints in the steady state."""
    heads = ["scenario", "broker", "how", "messages", "calls a message", "sends", "beside the sends", "calls a delivery", "by name"]
    lines = ["### system calls", "", tables.row(heads), tables.ruler(heads)]
    for name, brokers in found.items():
        for broker, counted in brokers.items():
            for way in ("strace", "tracepoints"):
                if not isinstance(counted.get(way), list):
                    continue
                last = steady(counted[way])
                total, sends = counts.total(last["counts"]), counts.sends(last["counts"])
                sent = last["sent"]
                cells = [name, broker, way, tables.short(sent)]
                cells += [tables.short(each / sent) for each in (total, sends, total - sends)]
                cells += [tables.short(total / last["deliveries"]), by_name(last["counts"], sent)]
                lines.append(tables.row(cells))
    return lines


def by_name(counted: dict, sent: int) -> str:
    """The most frequent calls with their number a message."""
    named = sorted(counts.named(counted).items(), key=lambda pair: -pair[1])[:NAMES_MAX]
    return ", ".join(f"{name} {tables.short(count / sent)}" for name, count in named if count > 0)


def allocation_lines(found: dict) -> list[str]:
    """Calls of the allocators: of both runs, and what the difference says of a message in the steady state."""
    heads = ["scenario", "broker", "messages", "allocations", "messages of the longer run", "its allocations", "steady state, a message"]
    lines = ["### allocations", "", tables.row(heads), tables.ruler(heads)]
    for name, brokers in found.items():
        for broker, counted in brokers.items():
            if isinstance(counted.get("allocations"), list):
                short, long = counted["allocations"]
                between = steady(counted["allocations"])
                cells = [short["sent"], sum(short["counts"].values()), long["sent"], sum(long["counts"].values())]
                cells.append(sum(between["counts"].values()) / between["sent"])
                lines.append(tables.row([name, broker, *(tables.short(each) for each in cells)]))
    return lines


def error_lines(found: dict) -> list[str]:
    """What could not be counted."""
    failed = []
    for name, brokers in found.items():
        for broker, counted in brokers.items():
            failed += [f"- {name}, {broker}, {way}: {got['error']}" for way, got in counted.items() if isinstance(got, dict)]
    return failed
