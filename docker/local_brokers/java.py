"""The Java that Kafka runs on, and Kafka's jars."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from local_brokers.process import BrokerError, run, say

JAVA_VERSION_MIN = 17
_POM = Path(__file__).resolve().parent.parent / "pom.xml"


def find_java() -> Path | None:
    """Find a `java` that Kafka can run on: JAVA_HOME's, the PATH's, or one installed beside it."""
    return next((java for java in _candidates() if _version(java) >= JAVA_VERSION_MIN), None)


def fetch_kafka_jars(directory: Path) -> None:
    """Bring the jars that `docker/pom.xml` names into this directory, which `kafka_jars_in` names, if it is not there.

    It appears whole or not at all, and never changes: a running broker still opens jars from it.
    """
    if directory.exists():
        return
    java = find_java()
    if java is None:
        raise BrokerError(f"Kafka needs Java {JAVA_VERSION_MIN} or later, and there is none on this machine")
    directory.parent.mkdir(parents=True, exist_ok=True)
    say("fetching Kafka's jars with Maven")
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix="fetching-") as fetching:
        run(
            [
                *("mvn", "--quiet", "--batch-mode", "--no-transfer-progress", "--file", str(_POM)),
                *("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={fetching}/jars"),
            ],
            what="fetching Kafka's jars with Maven",
            environment={**os.environ, "JAVA_HOME": str(java.resolve().parent.parent)},
        )
        # Somebody else may have been quicker; the jars are the same.
        with contextlib.suppress(OSError):
            Path(fetching, "jars").rename(directory)


def kafka_jars_in(home: Path) -> Path:
    """Name the directory for the jars; another `pom.xml` gives another name."""
    return home / f"kafka-jars-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home, "bin", "java")
    if found := shutil.which("java"):
        yield Path(found)
    yield from sorted(Path("/usr/lib/jvm").glob("*/bin/java"), reverse=True)


def _version(java: Path) -> int:
    # Every Java since 9 describes itself in a file beside its programs; reading it is quicker than starting a JVM.
    try:
        release = (java.resolve().parent.parent / "release").read_text()
    except OSError:
        return 0
    version = re.search(r'^JAVA_VERSION="(\d+)', release, re.MULTILINE)
    return int(version[1]) if version else 0
