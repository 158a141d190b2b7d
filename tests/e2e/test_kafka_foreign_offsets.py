"""A group that another client has used before: its offsets win, whatever it wrote beside them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from harness import KafkaProject, identities, offsets, orders
from local_brokers import debian
from local_brokers.java import find_java
from local_brokers.kinds import KAFKA_JARS, KINDS, install_missing

from brokers import committed_offsets, produce

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

_COMMIT = """
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Commit {
    public static void main(String[] args) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        settings.put("group.id", args[1]);
        settings.put("enable.auto.commit", "false");
        settings.put("key.deserializer", ByteArrayDeserializer.class);
        settings.put("value.deserializer", ByteArrayDeserializer.class);
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
            for (int at = 3; at < args.length; at += 3)
                offsets.put(new TopicPartition(args[2], Integer.parseInt(args[at])),
                    new OffsetAndMetadata(Long.parseLong(args[at + 1]), args[at + 2]));
            consumer.commitSync(offsets);
        }
    }
}
"""


def _javac(java: Path) -> Path:
    for found in (java.resolve().with_name("javac"), shutil.which("javac")):
        if found and Path(found).exists():
            return Path(found)
    # A broker needs the runtime alone; only we compile.
    debian.install([("openjdk-21-jdk-headless", "openjdk-17-jdk-headless", "default-jdk-headless")])
    return Path(shutil.which("javac") or "javac")


def _commit_with_java(folder: Path, *arguments: str) -> None:
    install_missing([kind for kind in KINDS if kind.name == "kafka"])
    java = find_java()
    assert java is not None
    source = folder / "Commit.java"
    source.write_text(_COMMIT)
    jars = f"{KAFKA_JARS}/*"
    compiled = [str(_javac(java)), "--release", "17", "-cp", jars, "-d", str(folder), str(source)]
    subprocess.run(compiled, check=True, capture_output=True, timeout=60)
    run = [str(java), "-XX:TieredStopAtLevel=1", "-cp", f"{folder}:{jars}", "Commit", *arguments]
    subprocess.run(run, check=True, capture_output=True, timeout=60)


def test_a_group_whose_offsets_a_java_client_committed_resumes_there(kafka, topic, nodes, tmp_path):
    name = topic(partitions=2)
    records = orders(100, keys=10, partitions=2)
    produce(kafka.address, name, records)
    project = KafkaProject(tmp_path / "shop", kafka.address, name, BatchSize=10)
    metadata = {0: "java's own: größer", 1: '{"v": "not a note of ours"}'}
    _commit_with_java(
        tmp_path, kafka.address, project.group, name, *("0", "30", metadata[0]), *("1", "45", metadata[1])
    )

    node = nodes.run(project, "--until-idle=1")

    by_partition = [[record for record in records if record.partition == number] for number in (0, 1)]
    assert project.ledger.handed_out() == identities([*by_partition[0][30:], *by_partition[1][45:]])
    assert project.ledger.out_of_order() == []
    assert {(line["shard"], line["after"], line["origin"]) for line in node.log("reading")} == {
        (f"{name}-0", 29, "CHECKPOINT"),
        (f"{name}-1", 44, "CHECKPOINT"),
    }
    assert offsets(kafka.address, project) == {0: 50, 1: 50}
    left = {text for _, text in committed_offsets(kafka.address, project.group, name).values()}
    assert not left & set(metadata.values())
