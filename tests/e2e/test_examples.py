"""Every example does what its README shows, in a copy of its folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from redis import Redis

from brokers.clients import delete_topics

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.e2e


def blocks(example, language):
    text = (EXAMPLES / example / "README.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run_readme(example, folder, **variables):
    """Run what a README shows, as it shows it; gives what it wrote to stdout."""
    copy = folder / example
    shutil.copytree(EXAMPLES / example, copy, ignore=shutil.ignore_patterns(".penstock", "__pycache__"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Another node may have the port.
    environment = {**os.environ, "PATH": path, "PENSTOCK_LISTEN": "127.0.0.1:0", **variables}
    command = ["bash", "-euo", "pipefail", "-c", "".join(blocks(example, "sh"))]
    ran = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def messages(stdout, example):
    """Find the lines that the README promises, in the order in which they were written."""
    promised = "".join(blocks(example, "text")).splitlines()
    written = (line for line in stdout.splitlines())
    return promised, [each for line in written for each in promised if line.endswith(f" {each}")]


def test_the_list_of_examples_names_every_one_of_them():
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    linked = re.findall(r"^\| \[(.*?)\]\((.*?)\)", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert {name for name, _ in linked} == folders
    assert [file for _, file in linked if not (EXAMPLES / file).is_file()] == []


@pytest.mark.kafka
def test_the_kafka_example(kafka, tmp_path):
    topic = f"example-{uuid.uuid4().hex[:12]}"
    try:
        stdout = run_readme("kafka", tmp_path, KAFKA=kafka.address, TOPIC=topic)
    finally:
        delete_topics(kafka.address, [topic])
    promised, found = messages(stdout, "kafka")
    assert sorted(found) == sorted(promised)


@pytest.mark.redis
def test_the_redis_example(redis, tmp_path):
    key = f"example-{uuid.uuid4().hex[:12]}"
    try:
        promised, found = messages(run_readme("redis", tmp_path, REDIS=redis.url, KEY=key), "redis")
    finally:
        with Redis.from_url(redis.url) as client:
            client.delete(key, *client.scan_iter(match=f"penstock:{{{key}}}:*"))
    assert sorted(found) == sorted(promised)
    assert found[-1] == "mail 2 sent at receive 2"


def test_the_queue_example(tmp_path):
    promised, found = messages(run_readme("queue", tmp_path), "queue")
    assert sorted(found) == sorted(promised)
    assert found[-1] == "printed invoice 2 at receive 2"


def test_the_stream_example(tmp_path):
    promised, found = messages(run_readme("stream", tmp_path), "stream")
    assert found == promised
