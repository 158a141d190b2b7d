"""A project in a folder: its configuration, its function's code, its ledger."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import OffsetSpec

from brokers import committed_offsets, until
from brokers.clients import admin
from harness.ledger import Ledger
from harness.project_file import FUNCTION, ProjectFile

CODE = Path(__file__).resolve().parent / "function"
EVENT = "FromOrders"
SOURCE = "orders"


class KafkaProject(ProjectFile):
    """One function that keeps a ledger, on one topic. `event` and `function` are settings in Lambda's words.

    project = KafkaProject(tmp_path / "shop", kafka.address, "orders", BatchSize=10, function={"Timeout": 60})
    """

    mapping = f"{FUNCTION}.{EVENT}"

    def __init__(
        self,
        folder: Path,
        address: str,
        topic: str,
        *,
        name: str | None = None,
        function: dict[str, Any] | None = None,
        work_seconds: float = 0,
        record_seconds: float = 0,
        **event: Any,
    ) -> None:
        super().__init__(folder, event=EVENT)
        self.name = name or f"e2e-{uuid.uuid4().hex[:12]}"
        self.topic = topic
        folder.mkdir(parents=True)
        self.ledger = Ledger(folder / "ledger")
        shutil.copytree(CODE, folder / "function", ignore=shutil.ignore_patterns("__pycache__"))
        variables = {
            "LEDGER": str(self.ledger.path),
            "WORK_SECONDS": str(work_seconds),
            "RECORD_SECONDS": str(record_seconds),
        }
        configuration = {
            "Name": self.name,
            "Sources": {SOURCE: {"Type": "kafka", "BootstrapServers": address, "Topic": topic}},
            "Functions": {
                FUNCTION: {
                    "CodeUri": "function",
                    "Handler": "app.handler",
                    "Timeout": 30,
                    "Environment": {"Variables": variables, "Inherit": ["LEDGER_NODE"]},
                    **(function or {}),
                    "Events": {EVENT: {"Source": SOURCE, "StartingPosition": "TRIM_HORIZON", **event}},
                }
            },
        }
        self.write(configuration)

    @property
    def group(self) -> str:
        """The consumer group of its mapping."""
        return f"{self.name}.{self.mapping}"


def offsets(address: str, project: KafkaProject) -> dict[int, int]:
    """Give the offset that a project's mapping has committed for each partition of its topic."""
    committed = committed_offsets(address, project.group, project.topic)
    return {partition: offset for partition, (offset, _) in committed.items()}


def wait_settled(address: str, project: KafkaProject, *, timeout_seconds: float = 60) -> None:
    """Wait until a project's mapping has committed everything that is on its topic."""
    ends = ends_of(address, project.topic)
    until(
        lambda: offsets(address, project) == ends,
        what=f"everything up to {ends} is committed",
        timeout_seconds=timeout_seconds,
        every_seconds=0.2,
    )


def ends_of(address: str, topic: str) -> dict[int, int]:
    """Tell where each partition of a topic ends."""
    client = admin(address)
    partitions = client.list_topics(timeout=10).topics[topic].partitions
    asked = client.list_offsets({TopicPartition(topic, one): OffsetSpec.latest() for one in partitions})
    return {place.partition: answer.result(timeout=10).offset for place, answer in asked.items()}
