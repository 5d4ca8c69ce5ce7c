"""What is compared: the arguments of the load generator for each scenario, and the figures that are read from it."""

from dataclasses import dataclass, field

MEBIBYTE = 1024.0**2
ROUNDS_MAX = 1_000


@dataclass(frozen=True)
class Scenario:
    """One line of the comparison."""

    name: str
    arguments: str
    # What is compared, with the unit in which it is printed and what it is divided by.
    figure: str = "broker_cpu_s_per_million"
    unit: str = "CPU s / 1 M deliveries"
    divisor: float = 1.0
    # Further columns: name of the figure -> head of the column and divisor.
    columns: dict[str, tuple[str, float]] = field(default_factory=dict)
    # Whether the load runs for --seconds.
    is_timed: bool = True
    # Whether shares of another broker's figure say anything.
    is_ratio: bool = True
    # Whether the relay takes part: it is not made for crowds that come and go.
    has_floor: bool = True
    # The closed loop whose highest rate is halved for `--rate`, and whether that is mosquitto's for all.
    half_of: str | None = None
    is_same_rate: bool = False
    rounds_max: int = ROUNDS_MAX
    # Whether brokers keep sessions over their own end; those that do not take no part.
    is_durable: bool = False
    # The kind of certificate that brokers show, if TLS is spoken; those that speak none take no part.
    certificate: str | None = None


RATE = {"deliveries_per_s": ("deliveries/s", 1.0), "broker_cpu_share": ("CPU", 1.0), "resident_peak_bytes": ("peak RSS, MiB", MEBIBYTE)}
BOOKS = {"lost": ("lost", 1.0), "duplicates": ("doubled", 1.0), "reordered": ("reordered", 1.0)}

FAN_IN = Scenario("fan-in", "fan-in --publishers 10 --in-flight 1000", columns=RATE | BOOKS)

MESSAGES = [
    FAN_IN,
    Scenario("fan-out-100", "fan-out --subscribers 100 --in-flight 200", columns=RATE | BOOKS),
    Scenario("fan-out-500", "fan-out --subscribers 500 --in-flight 50", columns=RATE | BOOKS),
    Scenario("pairs-qos0", "pairs --pairs 50 --in-flight 100", columns=RATE | BOOKS),
    Scenario("pairs-qos1", "pairs --pairs 50 --in-flight 100 --qos 1 --window 20", columns=RATE | BOOKS),
    Scenario("pairs-qos2", "pairs --pairs 50 --in-flight 100 --qos 2 --window 20", columns=RATE | BOOKS),
]

ACKNOWLEDGED = {"acknowledged_per_s": ("acknowledged/s", 1.0)}
DRAINED = {
    "drained_per_s": ("drained/s", 1.0),
    "store_cpu_s_per_million": ("CPU s / 1 M stored", 1.0),
    "drain_cpu_s_per_million": ("CPU s / 1 M drained", 1.0),
}
COST = {"broker_cpu_share": ("CPU", 1.0), "resident_peak_bytes": ("peak RSS, MiB", MEBIBYTE)}


def durable(name: str, arguments: str, columns: dict[str, tuple[str, float]], is_timed: bool) -> Scenario:
    """Subscribers whose sessions outlive their connections, and a broker that keeps them over its own end."""
    columns = ACKNOWLEDGED | columns | COST | BOOKS
    return Scenario(
        name, f"durable --pairs 50 --window 20 {arguments}", columns=columns, is_timed=is_timed, has_floor=False, is_durable=True
    )


DURABLE = [
    durable("durable-online-qos1", "--qos 1 --in-flight 100", {}, is_timed=True),
    durable("durable-online-qos2", "--qos 2 --in-flight 100", {}, is_timed=True),
    durable("durable-offline-qos1", "--qos 1 --away --messages 200000", DRAINED, is_timed=False),
    durable("durable-offline-qos2", "--qos 2 --away --messages 200000", DRAINED, is_timed=False),
]

FLOOD = Scenario(
    "flood",
    "fan-in --publishers 10 --flood",
    columns=RATE | {"resident_growth_bytes": ("RSS growth, MiB", MEBIBYTE), "delivered_share": ("delivered", 1.0)} | BOOKS,
)

CONNECT = Scenario(
    "connect",
    "connect --connections 2000 --rounds 5",
    figure="broker_cpu_us_each",
    unit="CPU µs / connection",
    columns={"connects_per_s": ("connections/s", 1.0), "latency_p99_us": ("p99, µs", 1.0)},
    is_timed=False,
)


def secure(name: str, arguments: str) -> Scenario:
    """Messages over TLS."""
    return Scenario(name, f"{arguments} --tls", columns=RATE | BOOKS, has_floor=False, certificate="ecdsa")


def handshakes(certificate: str, group: str) -> Scenario:
    """Clients that connect over TLS, each by a whole handshake."""
    return Scenario(
        f"tls-handshakes-{certificate}-{group}",
        f"connect --connections 1000 --rounds 5 --tls --group {group}",
        figure="broker_cpu_us_each",
        unit="CPU µs / connection",
        columns={"connects_per_core_s": ("connections/s and core", 1.0), "latency_p99_us": ("p99, µs", 1.0)},
        is_timed=False,
        has_floor=False,
        certificate=certificate,
    )


SECURE = [
    # Without TLS, and the relay with them: what sockets alone cost where each message is a call to read and a call to send.
    Scenario("echo-qos0", "pairs --pairs 50 --in-flight 1", columns=RATE | BOOKS),
    Scenario("echo-qos1", "pairs --pairs 50 --in-flight 1 --qos 1", columns=RATE | BOOKS),
    secure("tls-echo-qos0", "pairs --pairs 50 --in-flight 1"),
    secure("tls-echo-qos1", "pairs --pairs 50 --in-flight 1 --qos 1"),
    secure("tls-pairs-qos0", "pairs --pairs 50 --in-flight 100"),
    secure("tls-pairs-qos1", "pairs --pairs 50 --in-flight 100 --qos 1 --window 20"),
    secure("tls-fan-out-100", "fan-out --subscribers 100 --in-flight 200"),
    secure("tls-fan-out-500", "fan-out --subscribers 500 --in-flight 50"),
    handshakes("ecdsa", "x25519"),
    handshakes("rsa", "x25519"),
    handshakes("ecdsa", "hybrid"),
]

LATENCIES = {
    "rate_per_s": ("rate/s", 1.0),
    "latency_p50_us": ("p50, µs", 1.0),
    "latency_p999_us": ("p99.9, µs", 1.0),
    "broker_cpu_share": ("CPU", 1.0),
    "load_cpu_share": ("CPU of the load", 1.0),
}


def latency(name: str, arguments: str, half_of: str, is_same_rate: bool = False) -> Scenario:
    """The tail at a fixed rate, which a closed loop tells in the same run."""
    columns = LATENCIES | BOOKS
    return Scenario(
        name, arguments, figure="latency_p99_us", unit="p99, µs", columns=columns, half_of=half_of, is_same_rate=is_same_rate
    )


# At half of the broker's own highest rate. An open loop is not to wait for its window: it is wide.
HALVES = [
    latency("latency", "fan-in --publishers 10", "fan-in"),
    latency("latency-fan-out-500", "fan-out --subscribers 500", "fan-out-500"),
    latency("latency-pairs-qos0", "pairs --pairs 50", "pairs-qos0"),
    latency("latency-pairs-qos1", "pairs --pairs 50 --qos 1 --window 500", "pairs-qos1"),
    latency("latency-pairs-qos2", "pairs --pairs 50 --qos 2 --window 500", "pairs-qos2"),
]

# All at the same rate, half of the highest one of mosquitto.
LATENCY_SAME = latency("latency-same", "fan-in --publishers 10", "fan-in", is_same_rate=True)

# From this round on a broker has what it keeps for later.
GROWTH_FROM_ROUND = 3
GROWTH = Scenario(
    "growth",
    "connect --subscribe --connections 15000 --rounds 10",
    figure="late_growth_bytes",
    unit="RSS after round 10 less after round 3, MiB",
    divisor=MEBIBYTE,
    columns={
        "resident_before_bytes": ("RSS before, MiB", MEBIBYTE),
        "first_round_bytes": ("after round 1", MEBIBYTE),
        "settled_bytes": ("after round 3", MEBIBYTE),
        "last_round_bytes": ("after round 10", MEBIBYTE),
        "resident_peak_bytes": ("peak", MEBIBYTE),
    },
    is_timed=False,
    is_ratio=False,
    has_floor=False,
    rounds_max=1,
)

USUAL = [*MESSAGES, *DURABLE, FLOOD, CONNECT, *HALVES, LATENCY_SAME]
ALL = {scenario.name: scenario for scenario in [*USUAL, *SECURE, GROWTH]}

# The pairs of the floor are made by client numbers.
FLOOR_EXTRA = {name: "--pairs 50" for name, scenario in ALL.items() if scenario.arguments.startswith("pairs")}

# Fixed rates for the plot of throughput against CPU, in messages a second.
SWEEP = [10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000]

IDLE_SIZES = 5
# Memory of idle connections hardly varies; only the largest size is repeated.
IDLE_ROUNDS_MAX = 3


def idle_sizes(connections: int) -> list[Scenario]:
    """Idle connections at several sizes, up to this one."""
    sizes = sorted({max(1, connections * part // IDLE_SIZES) for part in range(1, IDLE_SIZES + 1)})
    return [idle(size, 2.0, IDLE_ROUNDS_MAX if size == connections else 1) for size in sizes]


def idle(connections: int, seconds: float, rounds_max: int) -> Scenario:
    """Connections that only are there, with one subscription each."""
    return Scenario(
        f"idle-{connections}",
        f"idle --connections {connections} --seconds {seconds}",
        figure="bytes_a_connection",
        unit="bytes / connection",
        columns={"resident_after_bytes": ("RSS, MiB", MEBIBYTE), "broker_cpu_share": ("CPU", 1.0)},
        is_timed=False,
        has_floor=False,
        rounds_max=rounds_max,
    )
