"""What filters cost: decisions per second on one core, on values that are parsed already and from raw bytes.

Two sets of events. *Orders* are about 300 bytes, for patterns of one to three fields. *Lots* look like the parcels of a
city's land register, some 500 to 900 bytes each, with the mix of operators that the benchmark of AWS's event-ruler
uses. Every figure is the best of several rounds over all events, after one that does not count.

`parsed` asks `Matcher.matches`; `bytes` asks `RecordFilter.keep` of whole lists of messages, as the stage does, which
reads the JSON too.
"""

import gc
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from penstock.api import Message
from penstock.core.events import Origin, queue_layout
from penstock.core.filtering import Filtering
from penstock.core.patterns import FilterCriteria, compile_patterns

EVENTS = 2000
LIST_SIZE = 500
ORIGIN = Origin(source_arn="arn:aws:sqs:us-east-1:000000000000:bench", region="us-east-1")
STREETS = ("JEFFERSON", "BEACH", "NORTH POINT", "BAY", "FULTON", "ACADIA", "ACTON", "FRANCISCO", "CHESTNUT", "LOMBARD")


@dataclass(frozen=True, slots=True)
class Case:
    """Patterns over one set of events. `target` are the decisions per second asked for, parsed and from bytes."""

    name: str
    events: str
    patterns: tuple[dict[str, Any], ...]
    target: tuple[int, int]


SIMPLE = (500_000, 300_000)
ARRAYS = (100_000, 100_000)
NO_TARGET = (0, 0)

CASES = (
    Case("one field", "orders", ({"type": ["created"]},), SIMPLE),
    Case("two fields", "orders", ({"type": ["created"], "amount": [{"numeric": [">", 100]}]},), SIMPLE),
    Case(
        "three fields",
        "orders",
        ({"type": ["created"], "customer": {"tier": ["gold", "silver"]}, "count": [{"numeric": [">", 0, "<=", 5]}]},),
        SIMPLE,
    ),
    Case("one field, rarely there", "orders", ({"refund": {"reason": [{"prefix": "d"}]}},), SIMPLE),
    Case("one text, rarely there", "orders", ({"type": ["refunded"]},), SIMPLE),
    Case("$or of three", "orders", ({"$or": [{"type": ["paid"]}, {"count": [5]}, {"amount": [1]}]},), SIMPLE),
    Case(
        "array-consistent", "orders", ({"items": {"sku": [{"prefix": "A"}], "count": [{"numeric": [">", 7]}]}},), ARRAYS
    ),
    Case(
        "array-consistent with exists false",
        "orders",
        ({"items": {"sku": [{"prefix": "A"}], "voucher": [{"exists": False}]}},),
        ARRAYS,
    ),
    Case("exact", "lots", ({"properties": {"MAPBLKLOT": ["0143022"]}},), NO_TARGET),
    Case("prefix", "lots", ({"properties": {"STREET": [{"prefix": "AC"}]}},), NO_TARGET),
    Case("suffix", "lots", ({"properties": {"STREET": [{"suffix": "ON"}]}},), NO_TARGET),
    Case("equals-ignore-case", "lots", ({"properties": {"STREET": [{"equals-ignore-case": "jefferson"}]}},), NO_TARGET),
    Case("wildcard", "lots", ({"properties": {"STREET": [{"wildcard": "*A*ON*"}]}},), NO_TARGET),
    Case(
        "numeric",
        "lots",
        ({"geometry": {"type": ["Polygon"], "firstCoordinates": {"x": [{"numeric": [">", -122.43]}]}}},),
        NO_TARGET,
    ),
    Case("anything-but", "lots", ({"properties": {"STREET": [{"anything-but": ["FULTON", "BAY"]}]}},), NO_TARGET),
    Case("anything-but prefix", "lots", ({"properties": {"STREET": [{"anything-but": {"prefix": "F"}}]}},), NO_TARGET),
    Case("numbers in nested arrays", "lots", ({"geometry": {"coordinates": [{"numeric": [">", 38]}]}},), NO_TARGET),
    Case(
        "all of them",
        "lots",
        (
            {"properties": {"MAPBLKLOT": ["0143022"]}},
            {"properties": {"STREET": [{"prefix": "AC"}, {"wildcard": "*X*ON*"}]}},
            {"geometry": {"firstCoordinates": {"x": [{"numeric": [">", -122]}]}}},
            {"properties": {"ODD_EVEN": [{"anything-but": ["E", "O"]}]}},
        ),
        NO_TARGET,
    ),
)


def run(file: Path) -> None:
    """Measure every case, print the table and write the file."""
    chance = random.Random(20)
    events = {
        "orders": [order(chance) for _ in range(EVENTS)],
        "lots": [lot(chance, number) for number in range(EVENTS)],
    }
    messages = {name: [as_message(each, number) for number, each in enumerate(many)] for name, many in events.items()}
    table = Table("case", "events", "matching", "parsed/s", "wanted", "bytes/s", "wanted", title=title(messages))
    entries: list[dict[str, Any]] = []
    for case in CASES:
        parsed, matching = parsed_rate(case, events[case.events])
        from_bytes = bytes_rate(case, messages[case.events])
        wanted = [f"{each:,}" if each else "" for each in case.target]
        share = f"{matching / EVENTS:.0%}"
        table.add_row(case.name, case.events, share, f"{parsed:,.0f}", wanted[0], f"{from_bytes:,.0f}", wanted[1])
        entries += [entry(f"filters {case.name}, parsed", parsed), entry(f"filters {case.name}, bytes", from_bytes)]
    console = Console()
    console.print(table)
    for name, cost_us in stage_costs(messages["orders"]):
        console.print(f"{name}: {cost_us:.2f} µs per record")
        entries.append(entry(f"filters {name}", cost_us, "us/record"))
    file.write_text(json.dumps(entries, indent=2) + "\n")


def title(messages: dict[str, list[Message]]) -> str:
    sizes = ", ".join(
        f"{name} of {sum(len(each.body) for each in many) // len(many)} bytes" for name, many in messages.items()
    )
    return f"filters: decisions per second on one core; {sizes}"


def entry(name: str, value: float, unit: str = "decisions/s") -> dict[str, Any]:
    empty = dict.fromkeys(("raw", "pipeline", "ratio_raw", "ratio_pipeline", "cpu_us_per_record"))
    return {"name": name, "unit": unit, "value": round(value, 3), **empty}


def parsed_rate(case: Case, events: Sequence[dict[str, Any]]) -> tuple[float, int]:
    matches = compile_patterns(case.patterns).matches
    matching = sum(map(matches, events))
    return best_rate(lambda: [matches(event) for event in events], len(events)), matching


def bytes_rate(case: Case, messages: Sequence[Message]) -> float:
    criteria = FilterCriteria([{"body": pattern} for pattern in case.patterns], "sqs")
    return best_rate(over_lists(criteria.record_filter(ORIGIN).keep, messages), len(messages))


def over_lists(work: Callable[[Sequence[Message]], object], messages: Sequence[Message]) -> Callable[[], object]:
    lists = [messages[begin : begin + LIST_SIZE] for begin in range(0, len(messages), LIST_SIZE)]
    return lambda: [work(each) for each in lists]


def best_rate(work: Callable[[], object], count: int, *, rounds: int = 9) -> float:
    work()
    gc.collect()
    best_s = float("inf")
    for _ in range(rounds):
        begin_s = time.perf_counter()
        work()
        best_s = min(best_s, time.perf_counter() - begin_s)
    return count / best_s


def stage_costs(messages: Sequence[Message]) -> list[tuple[str, float]]:
    """Measure what the core does with each record of a mapping, with filters and without: sift, and build the event."""
    layout = queue_layout("sqs", ORIGIN)
    patterns: tuple[tuple[str, list[dict[str, Any]]], ...] = (
        ("stage and event, unfiltered", []),
        ("stage and event, all kept", [{"body": {"customer": {"tier": [{"anything-but": "none"}]}}}]),
        ("stage and event, half kept", [{"body": {"half": [0]}}]),
        ("stage and event, none kept", [{"body": {"type": ["none"]}}]),
    )
    costs = []
    for name, each in patterns:
        criteria = FilterCriteria(each, "sqs")
        filtering: Filtering[Message] = Filtering(criteria.record_filter(ORIGIN) if each else None)

        def work(some: Sequence[Message], filtering: Filtering[Message] = filtering) -> None:
            kept = filtering.sift(some).kept
            if kept:
                layout.encode(kept)

        costs.append((name, 1e6 / best_rate(over_lists(work, messages), len(messages))))
    return costs


def order(chance: random.Random) -> dict[str, Any]:
    return {
        "id": f"{chance.getrandbits(64):016x}",
        "time": f"2026-0{chance.randint(1, 9)}-13T13:48:0{chance.randint(0, 9)}Z",
        "type": chance.choice(("created", "created", "paid", "shipped")),
        "half": chance.randint(0, 1),
        "amount": round(chance.uniform(0, 500), 2),
        "count": chance.randint(1, 9),
        "customer": {"name": "Ada Lovelace", "tier": chance.choice(("gold", "silver", "plain")), "country": "GB"},
        "items": [{"sku": f"{chance.choice('ABC')}{number}", "count": chance.randint(1, 9)} for number in range(3)],
    }


def lot(chance: random.Random, number: int) -> dict[str, Any]:
    corners = [[-122.5 + chance.random() / 5, 37.7 + chance.random() / 10, 0.0] for _ in range(chance.randint(4, 8))]
    return {
        "type": "Feature",
        "properties": {
            "MAPBLKLOT": f"{number:07d}",
            "BLKLOT": f"{number:07d}",
            "BLOCK_NUM": f"{number // 1000:04d}",
            "LOT_NUM": f"{number % 1000:03d}",
            "FROM_ST": str(chance.randint(1, 3000)),
            "TO_ST": str(chance.randint(1, 3000)),
            "STREET": chance.choice(STREETS),
            "ST_TYPE": "ST",
            "ODD_EVEN": chance.choice("EO"),
        },
        "geometry": {
            "type": "Polygon",
            "firstCoordinates": dict(zip("xyz", corners[0], strict=True)),
            "coordinates": [corners],
        },
    }


def as_message(event: dict[str, Any], number: int) -> Message:
    return Message(f"id-{number}", f"receipt-{number}", json.dumps(event).encode(), 1, 1545082649183, 1545082649185)
