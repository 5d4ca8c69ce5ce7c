"""What a broker's shards say of the work that a run made them do. Only Pregon is asked; others have no such figures."""

import re
import urllib.error
import urllib.request

SECONDS_MAX = 5
# What is counted, by the metric's name.
METRICS = {
    "reads": "pregon_reads_total",
    "sends": "pregon_sends_total",
    "turns": "pregon_turns_total",
    "sleeps": "pregon_shard_parks_total",
}
DELIVERED = "pregon_messages_delivered_total"


def work(address: str, figures: dict) -> dict:
    """Calls, turns and sleeps of all shards for a thousand deliveries, since the start; nothing if nobody answers."""
    if "error" in figures:
        return {}
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=SECONDS_MAX) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return {}
    delivered = total(text, DELIVERED)
    return {f"{name}_per_thousand": total(text, metric) / delivered * 1e3 for name, metric in METRICS.items()} if delivered else {}


def total(text: str, metric: str) -> float:
    """A metric over all shards."""
    return sum(float(value) for value in re.findall(rf"^{metric}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE))
