import asyncio

import pytest

from penstock.api import SourceContext
from penstock.embedded.plugin import QUEUE, STREAM


@pytest.fixture
def stream_source(tmp_path):
    source = SourceContext(project="tests", name="orders", settings={"Shards": 4, "LeaseSeconds": 1}, data_dir=tmp_path)
    assert asyncio.run(STREAM.operate(source).create())
    return source


@pytest.fixture
def queue_source(tmp_path):
    source = SourceContext(project="tests", name="jobs", settings={}, data_dir=tmp_path)
    assert asyncio.run(QUEUE.operate(source).create())
    return source
