import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock.shell import window_states
from penstock.shell.window_states import StateUnknown, WindowStates
from penstock.store import StateStore, StoreError
from shell.twins import run, until

CHILD = Path(__file__).parent.parent / "store" / "child_saver.py"


@asynccontextmanager
async def opened(path):
    states = WindowStates(path)
    try:
        yield states
    finally:
        await states.close()


def rows(path, what="version"):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [value for (value,) in connection.execute(f"SELECT {what} FROM window_state ORDER BY number")]


def test_a_state_is_found_again_by_the_next_node(tmp_path):
    async def scenario():
        async with opened(tmp_path / "store.db") as states:
            store = await states.save("m", "s-0", "v1", b'{"sum":7}')
        async with opened(tmp_path / "store.db") as states:
            assert await states.load(store, "v1") == b'{"sum":7}'

    run(scenario())


def test_a_node_without_windows_opens_nothing(tmp_path):
    async def scenario():
        threads = threading.active_count()
        async with opened(tmp_path / "store.db"):
            pass
        assert threading.active_count() == threads

    run(scenario())
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_store_is_told_apart_from_a_version_that_is_gone(tmp_path):
    async def scenario():
        async with opened(tmp_path / "store.db") as states:
            with pytest.raises(StateUnknown, match=r"in the store 'abc', and this node has none at .*store\.db"):
                await states.load("abc", "v1")
            store = await states.save("m", "s-0", "v1", b"{}")
            with pytest.raises(StateUnknown, match=rf"in the store 'abc', and this node's, .*, is '{store}'"):
                await states.load("abc", "v1")
            with pytest.raises(StateUnknown, match=r"store\.db has no window state 'v2'"):
                await states.load(store, "v2")

    run(scenario())


def test_what_is_forgotten_goes_soon_and_without_a_save(tmp_path, monkeypatch):
    monkeypatch.setattr(window_states, "FORGET_DELAY_S", 0.02)

    async def scenario():
        async with opened(tmp_path / "store.db") as states:
            for version in ("v1", "v2"):
                await states.save("m", "s-0", version, b"{}")
            states.forget("v1")
            await until(lambda: rows(tmp_path / "store.db") == ["v2"])

    run(scenario())


def test_what_is_forgotten_goes_with_the_next_save_or_at_the_end(tmp_path):
    async def scenario():
        async with opened(tmp_path / "store.db") as states:
            await states.save("m", "s-0", "v1", b"{}")
            states.forget("v1")
            await states.save("m", "s-0", "v2", b"{}")
            assert rows(tmp_path / "store.db") == ["v2"]
            states.forget("v2")
        assert rows(tmp_path / "store.db") == []

    run(scenario())


def test_what_a_load_proves_is_swept_up(tmp_path):
    async def scenario():
        async with opened(tmp_path / "store.db") as states:
            for version in ("v1", "v2", "v3"):
                store = await states.save("m", "s-0", version, b"{}")
        async with opened(tmp_path / "store.db") as states:
            await states.load(store, "v2")
        assert rows(tmp_path / "store.db") == ["v2", "v3"]
        assert [mark is None for mark in rows(tmp_path / "store.db", "passed_over_ms")] == [True, False]

    run(scenario())


def test_states_saved_at_once_share_transactions(tmp_path, monkeypatch):
    transactions = []
    write = StateStore.write
    monkeypatch.setattr(StateStore, "write", lambda *given: transactions.append(given) or write(*given))

    async def scenario():
        async with opened(tmp_path / "store.db") as states:
            await asyncio.gather(*(states.save("m", f"s-{number}", f"v{number}", b"{}") for number in range(200)))

    run(scenario())
    assert len(transactions) == 1
    assert len(rows(tmp_path / "store.db")) == 200


def test_a_store_that_can_not_be_written_says_so_to_everybody_and_is_tried_again(tmp_path):
    path = tmp_path / "later" / "store.db"

    async def scenario():
        async with opened(path) as states:
            failed = await asyncio.gather(
                *(states.save("m", "s-0", f"v{number}", b"{}") for number in range(3)), return_exceptions=True
            )
            assert [type(error) for error in failed] == [StoreError] * 3
            states.forget("v0")
            path.parent.mkdir()
            await states.save("m", "s-0", "v9", b"{}")

    run(scenario())
    assert rows(path) == ["v9"]


def test_a_save_that_is_cancelled_before_it_begins_is_not_done(tmp_path):
    async def scenario():
        async with opened(tmp_path / "store.db") as states:
            with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as other:
                await states.save("m", "s-0", "v1", b"{}")
                other.execute("BEGIN IMMEDIATE")
                first = asyncio.create_task(states.save("m", "s-0", "v2", b"{}"))
                await until(lambda: states._writing is not None and not states._saving)
                second = asyncio.create_task(states.save("m", "s-0", "v3", b"{}"))
                await asyncio.sleep(0)
                second.cancel()
                await asyncio.wait({second})
                other.execute("ROLLBACK")
            await first
        assert rows(tmp_path / "store.db") == ["v1", "v2"]

    run(scenario())


def test_after_the_end_nothing_is_saved_and_nothing_raised_by_forgetting(tmp_path):
    async def scenario():
        async with opened(tmp_path / "store.db") as states:
            await states.save("m", "s-0", "v1", b"{}")
        states.forget("v1")
        with pytest.raises(StoreError, match="is closed"):
            await states.save("m", "s-0", "v2", b"{}")
        with pytest.raises(StoreError, match="is closed"):
            await states.load("s", "v1")

    run(scenario())
    assert rows(tmp_path / "store.db") == ["v1"]


@pytest.mark.parametrize("said_count", [3, 60, 400])
def test_a_killed_node_has_every_state_that_a_checkpoint_could_name(tmp_path, said_count):
    path = tmp_path / "store.db"
    command = [sys.executable, str(CHILD), str(path), "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(said_count)]
        process.kill()
        lines += process.stdout.readlines()
    said = [line.split() for line in lines if line.endswith("\n")]
    newest = {shard: (store, version) for store, shard, version in said}

    async def scenario():
        async with opened(path) as states:
            for store, version in newest.values():
                assert await states.load(store, version) == f"{version} ".encode() * 200
        assert sum(len(value) for value in rows(path, "state")) < 5 * 1024 * 1024

    run(scenario())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    # What was forgotten too late to be written is no more than the last two of each shard, and what came after.
    assert len(rows(path)) <= 5 * 2
