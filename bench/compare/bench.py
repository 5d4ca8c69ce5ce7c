"""Brokers, a generator, and how they are put together: rounds, single runs, sweeps."""

import argparse
import contextlib
import dataclasses
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import asking
import feeding
import scenarios
import tables
from brokers import Broker, BrokerError, Running, core_list, lasting, running
from securing import certificate, secured

RUN_SECONDS_MAX = 300
# A sweep ends where the broker is busy all the time or delivers less than this share of what was sent.
BUSY_SHARE = 0.97
DELIVERED_SHARE_MIN = 0.8
# What every broker has to do faultlessly before it is measured.
PROOF = "pairs --pairs 2 --messages 2000 --qos"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a broker and its load run: cores as `taskset` takes them, and the load's core; without one it wanders over all of them."""

    broker_cores: str
    load_core: int | None
    # Whether the broker is asked afterwards what its shards did.
    is_asked: bool = False


class Bench:
    """A comparison under way."""

    def __init__(self, arguments: argparse.Namespace, load: Path, brokers: list[Broker]):
        self.arguments, self.load, self.brokers = arguments, load, brokers
        self.usual = Place(str(arguments.broker_core), arguments.load_core)
        self.kept = tempfile.TemporaryDirectory(prefix="pregon-certificates-")
        # Where the certificates lie.
        self.folder = Path(self.kept.name)
        # The highest rate that a broker has shown in a closed loop, by scenario and broker, for the latency at half of it.
        self.highest: dict[tuple[str, str], float] = {}

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
            present = self.present(scenario)
            turn = number % len(present)
            order = present[turn:] + present[:turn]
            results.append({broker.name: self.once(scenario, broker) for broker in order})
            print(f"{scenario.name}: round {number + 1} of {count}", file=sys.stderr, flush=True)
        for broker in self.brokers if scenario in scenarios.MESSAGES else []:
            highest = tables.median(tables.values(results, broker.name, "published_per_s"))
            self.highest |= {(scenario.name, broker.name): highest} if highest else {}
        return results

    def present(self, scenario: scenarios.Scenario) -> list[Broker]:
        """Who takes part in a scenario, and as what."""
        if scenario.is_durable:
            return [kept for kept in map(lasting, self.brokers) if kept is not None]
        if scenario.certificate is not None:
            path = certificate(self.folder, scenario.certificate)
            return [each for each in (secured(broker, path) for broker in self.brokers) if each is not None]
        return [broker for broker in self.brokers if scenario.has_floor or broker.name != tables.FLOOR]

    def once(self, scenario: scenarios.Scenario, broker: Broker) -> dict:
        """One run against a fresh broker: its figures, or why there are none."""
        words = scenario.arguments
        if scenario.half_of is not None:
            of = tables.BASE if scenario.is_same_rate else broker.name
            highest = self.highest_of(scenario.half_of, of)
            if highest is None:
                return {"error": f"{broker.name}: the highest rate of {of} is not known"}
            words += f" --rate {max(1, int(highest / 2))}"
        if scenario.is_timed:
            words += f" --seconds {self.arguments.seconds}"
        return self.run(scenario.name, words, broker)

    def highest_of(self, closed_loop: str, name: str) -> float | None:
        """The highest rate of a broker in a closed loop, measured now if it is not known yet."""
        broker = next((broker for broker in self.brokers if broker.name == name), None)
        if (closed_loop, name) not in self.highest and broker is not None:
            words = f"{scenarios.ALL[closed_loop].arguments} --seconds {self.arguments.seconds}"
            figures = self.run(closed_loop, words, broker)
            if "published_per_s" in figures:
                self.highest[closed_loop, name] = figures["published_per_s"]
        return self.highest.get((closed_loop, name))

    def run(self, name: str, words: str, broker: Broker, place: Place | None = None) -> dict:
        """Starts the broker, puts the load on it and reads the figures."""
        place = place or self.usual
        try:
            with running(broker, place.broker_cores, name) as run:
                figures = self.put(words, run, place)
                return figures | (asking.work(run.second_address, figures) if place.is_asked else {})
        except (BrokerError, subprocess.TimeoutExpired, OSError) as error:
            return {"error": f"{broker.name}: {error}"}

    def put(self, words: str, run: Running, place: Place) -> dict:
        """Puts the load on a running broker."""
        with tempfile.TemporaryDirectory() as folder:
            result, said = Path(folder) / "figures.json", Path(folder) / "said"
            own = ["--address", run.address, "--pid", str(run.pid), "--json", str(result)]
            if place.load_core is not None:
                own += ["--core", str(place.load_core)]
            with said.open("wb") as out:
                process = subprocess.Popen([str(self.load), *shlex.split(words), *own], stdout=subprocess.DEVNULL, stderr=out)
            try:
                cores = core_list(place.broker_cores)
                with feeding.wandering(process, cores) if place.load_core is None else contextlib.nullcontext():
                    code = process.wait(RUN_SECONDS_MAX)
            finally:
                process.kill()
                process.wait()
            if code not in (0, 2) or not result.exists():
                raise BrokerError(said.read_text(errors="replace").strip() or f"the generator ended with {code}")
            return derived(json.loads(result.read_text()) | {"is_sound": code == 0})

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
    if figures.get("broker_cpu_us_each"):
        figures["connects_per_core_s"] = 1e6 / figures["broker_cpu_us_each"]
    if len(after) > scenarios.GROWTH_FROM_ROUND:
        settled = after[scenarios.GROWTH_FROM_ROUND - 1]
        figures |= {"first_round_bytes": after[0], "settled_bytes": settled, "last_round_bytes": after[-1]}
        figures["late_growth_bytes"] = after[-1] - settled
    return figures
