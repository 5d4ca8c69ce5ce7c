"""Rounds become medians, spreads and ratios; those become Markdown."""

import statistics

from scenarios import Scenario

BASE = "mosquitto"
FLOOR = "floor"
# What makes the books of a run unclean, by the figure's name.
FAULTS = ("lost", "duplicates", "reordered", "unacknowledged", "foreign", "refused", "wrong_packets", "clients_gone")


def median(values: list[float]) -> float | None:
    """The median of what was measured; nothing if nothing was."""
    return statistics.median(values) if values else None


def ratios(rounds: list[dict], broker: str, base: str, figure: str) -> list[float]:
    """A figure as a share of another broker's in the same round."""
    pairs = [(value(one, broker, figure), value(one, base, figure)) for one in rounds]
    return [own / other for own, other in pairs if own is not None and other]


def value(one_round: dict, broker: str, figure: str) -> float | None:
    """A figure of a broker in one round; nothing if the run failed."""
    return one_round.get(broker, {}).get(figure)


def values(rounds: list[dict], broker: str, figure: str) -> list[float]:
    """A figure of a broker in all rounds that have it."""
    found = (value(one, broker, figure) for one in rounds)
    return [each for each in found if each is not None]


def table(scenario: Scenario, brokers: list[str], rounds: list[dict]) -> str:
    """The lines of one scenario."""
    heads = ["broker", f"{scenario.unit}, median", "lowest to highest"]
    bases = {BASE: f"share of {BASE}"} | ({FLOOR: "times the floor"} if scenario.has_floor else {}) if scenario.is_ratio else {}
    heads += bases.values()
    heads += [head for head, _ in scenario.columns.values()]
    lines = [f"### {scenario.name}", f"`load {scenario.arguments}`", "", row(heads), ruler(heads)]
    for broker in brokers:
        own = [each / scenario.divisor for each in values(rounds, broker, scenario.figure)]
        spread = f"{short(min(own))} to {short(max(own))}" if own else "—"
        cells = [broker, short(median(own)), spread]
        cells += [short(median(ratios(rounds, broker, base, scenario.figure))) for base in bases]
        for figure, (_, divisor) in scenario.columns.items():
            middle = median(values(rounds, broker, figure))
            cells.append(short(None if middle is None else middle / divisor))
        lines.append(row(cells))
    return "\n".join([*lines, "", *notes(brokers, rounds)]) + "\n"


def notes(brokers: list[str], rounds: list[dict]) -> list[str]:
    """A line for each broker that failed in a round, or whose books were not clean."""
    lines = []
    for broker in brokers:
        faults = [fault(one[broker]) for one in rounds if not one.get(broker, {}).get("is_sound", False) and broker in one]
        if faults:
            lines.append(f"- {broker}: not clean in {len(faults)} of {len(rounds)} rounds: {'; '.join(dict.fromkeys(faults))}")
    return lines


def fault(figures: dict) -> str:
    """What was wrong with a run."""
    if "error" in figures:
        return figures["error"]
    found = [f"{name.replace('_', ' ')} {figures[name]:,}" for name in FAULTS if figures.get(name)]
    return ", ".join([*found, *(["stalled"] if figures.get("stalled") else [])])


def row(cells: list[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def ruler(heads: list[str]) -> str:
    """The line below the heads: numbers stand to the right."""
    return row(["---"] + ["---:"] * (len(heads) - 1))


def short(number: float | None) -> str:
    """Three digits that matter; whole numbers from a thousand on."""
    if number is None:
        return "—"
    if abs(number) >= 1_000:
        return f"{number:,.0f}"
    return f"{number:.3g}"
