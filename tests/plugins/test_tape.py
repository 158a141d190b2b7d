"""The example of the plugin author's guide keeps what every stream source has to keep."""

import asyncio
import dataclasses
import importlib.util
import itertools
from pathlib import Path
from zlib import crc32

import pytest

from contract.stream_contract import (
    STREAM_CHECKS,
    StreamSubject,
    what_a_stream_can_not_carry_is_refused_and_the_rest_is_sent,
)
from penstock.api import SourceContext

FILE = Path(__file__).parents[2] / "examples" / "plugin-tape" / "penstock_tape.py"

# Of those that need a capability which a tape does not have, this is the one that does not ask for it: it writes.
CHECKS = [check for check in STREAM_CHECKS if check is not what_a_stream_can_not_carry_is_refused_and_the_rest_is_sent]


class TapeWriter:
    """Writes lines onto the tapes of a folder: a key chooses a tape, records without one take turns."""

    def __init__(self, context):
        self._tapes = sorted(Path(context.settings["Folder"]).glob("*.txt"))
        self._turns = itertools.count()

    async def open(self):
        pass

    async def close(self):
        pass

    async def send(self, records):
        for record in records:
            number = next(self._turns) if record.key is None else crc32(record.key)
            tape = self._tapes[number % len(self._tapes)]
            with tape.open("ab") as file:
                file.write(record.value + b"\n")
        return [None] * len(records)


@pytest.fixture(scope="session")
def tape_type():
    spec = importlib.util.spec_from_file_location("penstock_tape", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    types = []
    module.register_sources(types.append)
    return dataclasses.replace(types[0], open_destination=TapeWriter)


@pytest.fixture
def tapes(tmp_path):
    folder = tmp_path / "tapes"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).touch()
    return SourceContext(project="shop", name="notes", settings={"Folder": folder}, data_dir=tmp_path / "data")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_folder_of_tapes_keeps_that(check, tape_type, tapes):
    asyncio.run(check(StreamSubject(type=tape_type, source=tapes)))
