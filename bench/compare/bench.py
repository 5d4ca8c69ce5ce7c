"""Brokers, a generator, and how they are put together: rounds, single runs, sweeps."""

import argparse
import dataclasses
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import scenarios
import tables
from brokers import Broker, BrokerError, running

RUN_SECONDS_MAX = 300
# A sweep ends where the broker is busy all the time or delivers less than this share of what was sent.
BUSY_SHARE = 0.97
DELIVERED_SHARE_MIN = 0.8
# What every broker has to do faultlessly before it is measured.
PROOF = "pairs --pairs 2 --messages 2000 --qos"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a broker and its load run: cores as `taskset` takes them, and the load's core; it floats if there is none."""

    broker_cores: str
    load_core: int | None


class Bench:
    """A comparison under way."""

    def __init__(self, arguments: argparse.Namespace, load: Path, brokers: list[Broker]):
        self.arguments, self.load, self.brokers = arguments, load, brokers
        self.usual = Place(str(arguments.broker_core), arguments.load_core)
        # The highest rate that a broker has shown in the closed loop of fan-in, for the latency at half of it.
        self.highest: dict[str, float] = {}

    def prove(self):
        """Lets each broker deliver some messages of each quality of service, all of them, once and in order."""
        for broker in self.brokers:
            for qos in (0, 1, 2):
                # The relay is told of 50 pairs in the scenarios, and here of two.
                shown = dataclasses.replace(broker, extra={"proof": "--pairs 2"}) if broker.extra else broker
                figures = self.run("proof", f"{PROOF} {qos}", shown)
                if not figures.get("is_sound"):
                    raise BrokerError(f"{broker.name} does not deliver at quality of service {qos}: {tables.fault(figures)}")

    def rounds(self, scenario: scenarios.Scenario) -> list[dict]:
        """All rounds of a scenario, each with every broker once."""
        results = []
        count = min(self.arguments.rounds, scenario.rounds_max)
        for number in range(count):
            present = [broker for broker in self.brokers if scenario.has_floor or broker.name != tables.FLOOR]
            turn = number % len(present)
            order = present[turn:] + present[:turn]
            results.append({broker.name: self.once(scenario, broker) for broker in order})
            print(f"{scenario.name}: round {number + 1} of {count}", file=sys.stderr, flush=True)
        if scenario.name == scenarios.FAN_IN.name:
            for broker in self.brokers:
                highest = tables.median(tables.values(results, broker.name, "published_per_s"))
                self.highest |= {broker.name: highest} if highest else {}
        return results

    def once(self, scenario: scenarios.Scenario, broker: Broker) -> dict:
        """One run against a fresh broker: its figures, or why there are none."""
        words = scenario.arguments
        for place, of in (("{rate}", broker.name), ("{base_rate}", tables.BASE)):
            if place in words:
                highest = self.highest_of(of)
                if highest is None:
                    return {"error": f"{broker.name}: the highest rate of {of} is not known"}
                words = words.replace(place, str(max(1, int(highest / 2))))
        if scenario.is_timed:
            words += f" --seconds {self.arguments.seconds}"
        return self.run(scenario.name, words, broker)

    def highest_of(self, name: str) -> float | None:
        """The highest rate of a broker, measured now if it is not known yet."""
        broker = next((broker for broker in self.brokers if broker.name == name), None)
        if name not in self.highest and broker is not None:
            figures = self.run(scenarios.FAN_IN.name, f"{scenarios.FAN_IN.arguments} --seconds {self.arguments.seconds}", broker)
            if "published_per_s" in figures:
                self.highest[name] = figures["published_per_s"]
        return self.highest.get(name)

    def run(self, name: str, words: str, broker: Broker, place: Place | None = None) -> dict:
        """Starts the broker, puts the load on it and reads the figures."""
        place = place or self.usual
        try:
            with running(broker, place.broker_cores, name) as (pid, address):
                return self.put(words, pid, address, place.load_core)
        except (BrokerError, subprocess.TimeoutExpired, OSError) as error:
            return {"error": f"{broker.name}: {error}"}

    def put(self, words: str, pid: int, address: str, core: int | None) -> dict:
        """Puts the load on a running broker."""
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "figures.json"
            own = ["--address", address, "--pid", str(pid), "--json", str(result)]
            if core is not None:
                own += ["--core", str(core)]
            done = subprocess.run(
                [str(self.load), *shlex.split(words), *own],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=RUN_SECONDS_MAX,
                check=False,
            )
            if done.returncode not in (0, 2) or not result.exists():
                raise BrokerError(done.stderr.strip() or f"the generator ended with {done.returncode}")
            return derived(json.loads(result.read_text()) | {"is_sound": done.returncode == 0})

    def sweep(self) -> dict:
        """CPU of each broker at fixed rates, up to the one that fills its core."""
        found: dict[str, list] = {broker.name: [] for broker in self.brokers}
        for broker in self.brokers:
            for rate in scenarios.SWEEP:
                words = f"fan-in --publishers 10 --rate {rate} --seconds {self.arguments.seconds}"
                figures = self.run("sweep", words, broker)
                print(f"sweep: {broker.name} at {rate}/s", file=sys.stderr, flush=True)
                if "broker_cpu_share" not in figures:
                    break
                found[broker.name].append(figures)
                is_behind = figures["deliveries_per_s"] < DELIVERED_SHARE_MIN * rate
                if figures["broker_cpu_share"] > BUSY_SHARE or is_behind:
                    break
        return found


def derived(figures: dict) -> dict:
    """Adds the figures that follow from others."""
    after = figures.get("resident_after_rounds_bytes", [])
    if len(after) > scenarios.GROWTH_FROM_ROUND:
        settled = after[scenarios.GROWTH_FROM_ROUND - 1]
        figures |= {"first_round_bytes": after[0], "settled_bytes": settled, "last_round_bytes": after[-1]}
        figures["late_growth_bytes"] = after[-1] - settled
    return figures
