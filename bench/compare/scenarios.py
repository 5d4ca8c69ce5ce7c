"""What is compared: the arguments of the load generator for each scenario, and the figures that are read from it."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scenario:
    """One line of the comparison."""

    name: str
    arguments: str
    # What is compared, with the unit in which it is printed.
    figure: str = "broker_cpu_s_per_million"
    unit: str = "CPU s / 1 M deliveries"
    # Further columns: name of the figure -> head of the column and divisor.
    columns: dict[str, tuple[str, float]] = field(default_factory=dict)
    # Whether the load runs for --seconds.
    is_timed: bool = True


RATE = {"deliveries_per_s": ("deliveries/s", 1.0), "resident_peak_bytes": ("peak RSS, MiB", 1024.0**2)}
BOOKS = {"lost": ("lost", 1.0), "duplicates": ("doubled", 1.0), "reordered": ("reordered", 1.0)}

MESSAGES = [
    Scenario("fan-in", "fan-in --publishers 10 --in-flight 1000", columns=RATE | BOOKS),
    Scenario("fan-out-100", "fan-out --subscribers 100 --in-flight 200", columns=RATE | BOOKS),
    Scenario("fan-out-500", "fan-out --subscribers 500 --in-flight 50", columns=RATE | BOOKS),
    Scenario("pairs-qos0", "pairs --pairs 50 --in-flight 100", columns=RATE | BOOKS),
    Scenario("pairs-qos1", "pairs --pairs 50 --in-flight 100 --qos 1 --window 20", columns=RATE | BOOKS),
    Scenario("pairs-qos2", "pairs --pairs 50 --in-flight 100 --qos 2 --window 20", columns=RATE | BOOKS),
]

FLOOD = Scenario(
    "flood",
    "fan-in --publishers 10 --flood",
    columns=RATE | {"resident_growth_bytes": ("RSS growth, MiB", 1024.0**2), "delivered_share": ("delivered", 1.0)} | BOOKS,
)

CONNECT = Scenario(
    "connect",
    "connect --connections 2000 --rounds 5",
    figure="broker_cpu_us_each",
    unit="CPU µs / connection",
    columns={"connects_per_s": ("connections/s", 1.0), "latency_p99_us": ("p99, µs", 1.0)},
    is_timed=False,
)

# At half of the broker's own highest rate, which the closed loop of the same scenario tells: {rate} is filled in later.
LATENCY = Scenario(
    "latency",
    "fan-in --publishers 10 --rate {rate}",
    figure="latency_p99_us",
    unit="p99, µs",
    columns={
        "rate_per_s": ("rate/s", 1.0),
        "latency_p50_us": ("p50, µs", 1.0),
        "latency_p999_us": ("p99.9, µs", 1.0),
        "broker_cpu_share": ("CPU", 1.0),
    }
    | BOOKS,
)

ALL = {scenario.name: scenario for scenario in [*MESSAGES, FLOOD, CONNECT, LATENCY]}

# The pairs of the floor are made by client numbers.
FLOOR_EXTRA = {name: "--pairs 50" for name in ALL if name.startswith("pairs")}

# Fixed rates for the plot of throughput against CPU, in messages a second.
SWEEP = [10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000]


def idle(connections: int, seconds: float) -> Scenario:
    """Connections that only are there, with one subscription each."""
    return Scenario(
        f"idle-{connections}",
        f"idle --connections {connections} --seconds {seconds}",
        figure="bytes_a_connection",
        unit="bytes / connection",
        columns={"resident_after_bytes": ("RSS, MiB", 1024.0**2), "broker_cpu_share": ("CPU", 1.0)},
        is_timed=False,
    )
