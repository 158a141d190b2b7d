import contextlib
import sqlite3
import stat

import pytest

from penstock.store import StateStore, StoreError, WindowState, database, states
from penstock.store.schema import SCHEMA_VERSION


@pytest.fixture
def store(tmp_path, clock):
    opened = StateStore(tmp_path / "store.db", now_ms=clock)
    yield opened
    opened.close()


def save(store, *versions, shard="s-0", mapping="m", forget=()):
    return store.write([WindowState(mapping, shard, version, version.encode()) for version in versions], forget, [])


def load(store, version):
    """Load a version as a shard does that begins, and let the store take in what that proves."""
    loaded = store.load(version)
    assert loaded is not None
    store.write([], [], [loaded])
    return loaded.state


def left(store, *versions):
    return [version for version in versions if store.load(version) is not None]


def test_a_state_is_there_after_the_file_was_closed(store):
    first = save(store, "v1")
    store.close()

    assert (store.find_id(), store.load("v1").state) == (first, b"v1")


def test_a_state_of_the_largest_size_and_more_is_kept_byte_for_byte(store):
    state = bytes(range(256)) * 5000

    store.write([WindowState("m", "s-0", "v1", state)], [], [])

    assert store.load("v1").state == state


def test_a_save_waits_for_the_disk(store):
    save(store, "v1")
    connection, _ = store.connect()

    settings = [connection.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous")]
    assert settings == [("wal",), (2,)]


def test_every_store_has_an_id_of_its_own(tmp_path):
    ids = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        store = StateStore(tmp_path / name / "store.db")
        ids.add(save(store, "v1"))
        store.close()

    assert len(ids) == 2


def test_asking_makes_no_file(store):
    assert (store.find_id(), store.load("v1"), store.write([], ["v1"], [])) == (None, None, "")
    assert not store.path.exists()


def test_only_its_owner_may_read_it(store):
    save(store, "v1")

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.path.parent.iterdir()}
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


def test_a_save_whose_answer_was_lost_can_be_done_again(store):
    save(store, "v1")
    save(store, "v1")

    assert store.load("v1").state == b"v1"


def test_what_is_forgotten_is_gone_and_nothing_else(store):
    save(store, "v1", "v2")
    save(store, "w1", shard="s-1")

    save(store, "v3", forget=["v2", "never saved"])

    assert left(store, "v1", "v2", "v3", "w1") == ["v1", "v3", "w1"]


def test_what_was_saved_before_the_version_that_a_checkpoint_names_goes_with_its_load(store):
    save(store, "v1", "v2", "v3")
    save(store, "w1", shard="s-1")
    save(store, "x1", mapping="other")

    assert load(store, "v3") == b"v3"

    assert left(store, "v1", "v2", "v3", "w1", "x1") == ["v3", "w1", "x1"]


def test_what_was_saved_after_it_stays_until_it_was_passed_over_twice_an_hour_apart(store, clock):
    save(store, "v1", "v2")

    load(store, "v1")
    clock.now_ms += states.PASSED_OVER_MS - 1
    load(store, "v1")
    assert left(store, "v1", "v2") == ["v1", "v2"]

    clock.now_ms += 1
    load(store, "v1")
    assert left(store, "v1", "v2") == ["v1"]


def test_a_version_that_turns_out_to_be_named_is_not_passed_over_any_more(store, clock):
    save(store, "v1", "v2")
    load(store, "v1")
    clock.now_ms += states.PASSED_OVER_MS

    # Its commit was stored after all, by a request that a dead process had sent.
    load(store, "v2")

    assert left(store, "v1", "v2") == ["v2"]
    clock.now_ms += states.PASSED_OVER_MS
    assert load(store, "v2") == b"v2"


def test_what_is_saved_after_a_load_is_no_concern_of_it(store, clock):
    save(store, "v1", "v2")
    loaded = store.load("v1")
    save(store, "v3")

    store.write([], [], [loaded])
    clock.now_ms += states.PASSED_OVER_MS
    store.write([], [], [loaded])

    assert left(store, "v1", "v2", "v3") == ["v1", "v3"]


def test_age_alone_deletes_nothing(store, clock):
    save(store, "v1")
    for number in range(5):
        clock.now_ms += 365 * 24 * 3_600_000
        save(store, f"w{number}", shard="s-1")
        store.close()

    assert load(store, "v1") == b"v1"


def test_a_node_that_dies_again_and_again_leaves_a_bounded_number_of_states(store, clock):
    save(store, "named")
    for number in range(60):
        load(store, "named")
        save(store, f"never named {number}")
        store.close()
        clock.now_ms += 10 * 60_000

    rows = sqlite3.connect(store.path)
    with contextlib.closing(rows):
        (count,) = rows.execute("SELECT count(*) FROM window_state").fetchone()
    assert count <= 10
    assert load(store, "named") == b"named"


def test_a_newer_format_is_refused_with_both_numbers(store):
    save(store, "v1")
    store.close()
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 6}")

    with pytest.raises(StoreError, match=rf"format {SCHEMA_VERSION + 6}\b.* up to {SCHEMA_VERSION}\b"):
        store.load("v1")


def test_another_programs_database_is_refused_and_left_alone(store):
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        connection.execute("CREATE TABLE theirs (id)")
    before = store.path.read_bytes()

    with pytest.raises(StoreError, match="another program"):
        save(store, "v1")
    assert store.path.read_bytes() == before


def test_what_is_no_database_is_refused_and_left_alone(store):
    store.path.write_bytes(b"these are notes, not a database\n" * 400)

    with pytest.raises(StoreError, match=r"store\.db is not an SQLite database"):
        save(store, "v1")
    assert store.path.read_bytes() == b"these are notes, not a database\n" * 400


def test_a_folder_that_is_gone_is_named(tmp_path):
    with pytest.raises(StoreError, match="can not be made: No such file or directory"):
        save(StateStore(tmp_path / "gone" / "store.db"), "v1")


def test_a_store_that_is_locked_for_too_long_can_be_used_again_afterwards(store, monkeypatch):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    save(store, "v1")
    store.close()
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="is locked by another process"):
            save(store, "v2")
        other.execute("ROLLBACK")

    save(store, "v2")
    assert left(store, "v1", "v2") == ["v1", "v2"]


def test_a_full_disk_changes_nothing_and_is_not_for_ever(store):
    save(store, "v1")
    store.close()
    # As the file's own limit: a disk that is really full would need one of its own.
    connection, _ = store.connect()
    (pages_count,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages_count + 20}")
    large = WindowState("m", "s-0", "v3", bytes(1_000_000))

    with pytest.raises(StoreError, match="the disk is full"):
        store.write([WindowState("m", "s-0", "v2", b"{}"), large], ["v1"], [])
    assert left(store, "v1", "v2", "v3") == ["v1"]

    connection.execute("PRAGMA max_page_count = 1000000")
    store.write([large], ["v1"], [])
    assert left(store, "v1", "v2", "v3") == ["v3"]
