"""Rounds become medians, spreads and ratios; those become Markdown."""

import statistics

from scenarios import Scenario

BASE = "mosquitto"
FLOOR = "floor"


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
    heads = ["broker", f"{scenario.unit}, median", "lowest to highest", f"share of {BASE}", "times the floor"]
    heads += [head for head, _ in scenario.columns.values()]
    lines = [f"### {scenario.name}", f"`load {scenario.arguments}`", "", row(heads), row(["---"] + ["---:"] * (len(heads) - 1))]
    for broker in brokers:
        own = values(rounds, broker, scenario.figure)
        spread = f"{short(min(own))} to {short(max(own))}" if own else "—"
        cells = [broker, short(median(own)), spread]
        cells += [short(median(ratios(rounds, broker, base, scenario.figure))) for base in (BASE, FLOOR)]
        for figure, (_, divisor) in scenario.columns.items():
            middle = median(values(rounds, broker, figure))
            cells.append(short(None if middle is None else middle / divisor))
        lines.append(row(cells))
    failed = [one[broker]["error"] for one in rounds for broker in brokers if "error" in one.get(broker, {})]
    lines += [""] + [f"- failed: {error}" for error in dict.fromkeys(failed)]
    return "\n".join(lines) + "\n"


def row(cells: list[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def short(number: float | None) -> str:
    """Three digits that matter; whole numbers from a thousand on."""
    if number is None:
        return "—"
    if abs(number) >= 1_000:
        return f"{number:,.0f}"
    return f"{number:.3g}"
