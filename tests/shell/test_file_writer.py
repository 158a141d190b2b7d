"""The names of files come from an iterator that everything on the node's loop shares, and which no thread may touch."""

import asyncio
import threading
from collections.abc import Iterator

from penstock.core.events.invocation_documents import Document
from penstock.shell.file_writer import FileWriter


def test_a_file_writer_takes_its_names_on_the_loop_alone(tmp_path):
    callers = set()

    def names() -> Iterator[str]:
        for number in range(10):
            callers.add(threading.get_ident())
            yield f"name-{number}"

    async def scenario() -> None:
        writer = FileWriter(tmp_path / "failed", mapping_uuid="uuid", names=names())
        await writer.open()
        assert await writer.write([Document(value=b"{}", shard="orders-0", ended_ms=0)]) == [None]
        await writer.close()

    asyncio.run(scenario())

    assert callers == {threading.get_ident()}
