"""Real nodes, real functions, and a ledger that must balance.

- `KafkaProject`: writes a `penstock.yaml` with one function, which keeps the ledger, and one mapping on a topic.
- `Nodes` (the fixture `nodes`): runs `penstock up` as a process of its own: `nodes.start(project)`. A `Node` can be
  killed, frozen, asked for its status, and its log is read as JSON.
- `Ledger`: what the function wrote down, and what must be true of it.
- `orders`: numbered records to put on a topic; a record may carry a plan of what the function does with it.
- `QueueProject`: the same on a queue; `queues(kind)` (a fixture) makes one of a kind, with `EVERY_KIND`, `FIFO_KINDS`,
  `STANDARD_KINDS` or `DISTINCT_KINDS` (one of those that are alike) as parameters. Its function keeps a `QueueLedger`,
  made of `Run`s; `orders` are its messages.
- `letters`: what is on a topic that a mapping sends its failure documents to.
"""

from harness.invocation import Invocation
from harness.ledger import Ledger
from harness.letters import Letter, letters
from harness.node import Node, Nodes
from harness.orders import Order, identities, lane_of, orders
from harness.project import KafkaProject, offsets, wait_settled
from harness.queue_ledger import QueueLedger, Run
from harness.queue_project import QueueProject, attributes
from harness.queues import (
    DISTINCT_KINDS,
    EVERY_KIND,
    FIFO_KINDS,
    KINDS,
    LAPSING_FIFO_KINDS,
    STANDARD_KINDS,
    Figures,
    Queue,
)

__all__ = [
    "DISTINCT_KINDS",
    "EVERY_KIND",
    "FIFO_KINDS",
    "KINDS",
    "LAPSING_FIFO_KINDS",
    "STANDARD_KINDS",
    "Figures",
    "Invocation",
    "KafkaProject",
    "Ledger",
    "Letter",
    "Node",
    "Nodes",
    "Order",
    "Queue",
    "QueueLedger",
    "QueueProject",
    "Run",
    "attributes",
    "identities",
    "lane_of",
    "letters",
    "offsets",
    "orders",
    "wait_settled",
]
