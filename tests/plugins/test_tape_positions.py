"""The example of the plugin author's guide can be moved, as the guide says."""

import asyncio
import importlib.util
from pathlib import Path

import pytest

from contract.stream_contract import StreamSubject
from penstock.api import Checkpoint, SourceContext, Start

FILE = Path(__file__).parents[2] / "examples" / "plugin-tape" / "penstock_tape.py"


@pytest.fixture
def tapes(tmp_path):
    spec = importlib.util.spec_from_file_location("penstock_tape", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    types = []
    module.register_sources(types.append)
    folder = tmp_path / "tapes"
    folder.mkdir()
    (folder / "a.txt").write_text("one\ntwo\nthree\n")
    (folder / "b.txt").touch()
    source = SourceContext(project="shop", name="notes", settings={"Folder": folder}, data_dir=tmp_path / "data")
    return StreamSubject(type=types[0], source=source)


def test_a_position_that_was_moved_is_where_the_next_reader_begins(tapes):
    async def scenario():
        positions = tapes.type.open_positions(tapes.source, tapes.mapping())
        assert await positions.committed() == {"a.txt": None, "b.txt": None}
        assert await positions.resolve("a.txt", Start("LATEST")) == 2
        await positions.write({"a.txt": Checkpoint(1)})
        assert await positions.committed() == {"a.txt": Checkpoint(1), "b.txt": None}
        await positions.close()

        async with tapes.reader() as reader:
            await reader.until(lambda: len(reader.held) == 2)
            assert reader.held["a.txt"].checkpoint == Checkpoint(1)

    asyncio.run(scenario())
