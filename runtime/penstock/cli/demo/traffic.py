"""What the demo sends: orders to a stream and invoices to a queue, with one of each kind that makes trouble."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from itertools import islice

from penstock.api import Outgoing
from penstock.cli.loading import context_of, destination_of, make_data_dir, operations_of
from penstock.configuration.project import Project

ORDERS = 3000
POISON_ORDER = 1111
SLOW_ORDER = 2222
INVOICES = 300
SHAKY_INVOICE = 77
SPREAD_S = 2.0
"""Over so long the records are sent, so that there is something to watch."""
PORTIONS = 10


def orders() -> Iterator[Outgoing]:
    """Make the orders of a hundred customers; the customer is the key, so each one's orders stay in order."""
    kinds = {POISON_ORDER: "poison", SLOW_ORDER: "slow"}
    for number in range(1, ORDERS + 1):
        order = {"number": number, "kind": kinds.get(number, "plain"), "customer": f"customer-{number % 100}"}
        yield Outgoing(json.dumps(order).encode(), key=str(order["customer"]).encode())


def invoices() -> Iterator[Outgoing]:
    """Make the invoices."""
    for number in range(1, INVOICES + 1):
        kind = "shaky" if number == SHAKY_INVOICE else "plain"
        yield Outgoing(json.dumps({"number": number, "kind": kind}).encode())


async def send(project: Project) -> None:
    """Make the sources and send all of it in portions."""
    make_data_dir(project.settings.data_dir)
    for name in ("orders", "invoices"):
        await _create(project, name)
    await asyncio.gather(
        _send_in_portions(project, "orders", tuple(orders())), _send_in_portions(project, "invoices", tuple(invoices()))
    )


async def _create(project: Project, name: str) -> None:
    source = project.sources[name]
    operations = operations_of(source.type, context_of(project, source))
    try:
        await operations.create()
    finally:
        await operations.close()


async def _send_in_portions(project: Project, name: str, records: Sequence[Outgoing]) -> None:
    source = project.sources[name]
    destination = destination_of(source.type, context_of(project, source))
    rest = iter(records)
    try:
        await destination.open()
        while portion := tuple(islice(rest, len(records) // PORTIONS)):
            refused = [refusal for refusal in await destination.send(portion) if refusal is not None]
            assert not refused, refused
            await asyncio.sleep(SPREAD_S / PORTIONS)
    finally:
        await destination.close()
