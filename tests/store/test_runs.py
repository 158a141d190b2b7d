import contextlib
import sqlite3
import threading

import pytest

from penstock.store import RunStore, StateStore, WindowState, runs
from penstock.store.schema import SCHEMA_VERSION


@pytest.fixture
def store(tmp_path, clock):
    opened = RunStore(tmp_path / "store.db", now_ms=clock)
    yield opened
    opened.close()


def test_runs_are_there_after_the_file_was_closed(store):
    store.write("jobs", {"a": 1, "b": 0})
    store.write("jobs", {"a": 2})
    store.close()

    assert store.load("jobs", ["a", "b", "c"]) == {"a": 2, "b": 0}


def test_queues_do_not_see_each_others_runs(store):
    store.write("jobs", {"a": 3})

    assert store.load("letters", ["a"]) == {}


def test_more_messages_than_one_statement_takes_are_asked_for(store):
    ids = [f"message {number}" for number in range(10_000)]
    store.write("jobs", dict.fromkeys(ids, 4))

    assert store.load("jobs", ids) == dict.fromkeys(ids, 4)


def test_what_is_forgotten_is_gone_and_nothing_else(store):
    store.write("jobs", {"a": 1, "b": 2})
    store.write("letters", {"a": 5})
    store.write("jobs", {}, ["a", "never there"])

    assert (store.load("jobs", ["a", "b"]), store.load("letters", ["a"])) == ({"b": 2}, {"a": 5})


def test_asking_makes_no_file(store):
    assert store.load("jobs", ["a"]) == {}
    assert not store.path.exists()


def test_what_nobody_wrote_of_for_as_long_as_a_message_can_live_goes(store, clock):
    store.write("jobs", {"old": 1, "renewed": 1})
    clock.now_ms += runs.KEPT_MS - 1
    store.write("jobs", {"renewed": 2})
    clock.now_ms += 2
    store.write("jobs", {"new": 1})
    assert store.load("jobs", ["old"]) == {"old": 1}, "it is looked for once an hour"

    clock.now_ms += 3_600_000
    store.write("jobs", {"new": 2})

    assert store.load("jobs", ["old", "renewed", "new"]) == {"renewed": 2, "new": 2}


def test_a_store_of_the_format_before_is_brought_up_to_date_and_keeps_its_states(store):
    states = StateStore(store.path)
    states.write([WindowState("m", "s-0", "v1", b"{}")], [], [])
    states.close()
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        connection.executescript("DROP TABLE message_run; PRAGMA user_version = 1")

    store.write("jobs", {"a": 1})

    assert store.load("jobs", ["a"]) == {"a": 1}
    loaded = states.load("v1")
    states.close()
    assert loaded is not None
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_two_threads_that_open_a_new_file_at_once_both_get_it(tmp_path):
    for number in range(20):
        path = tmp_path / f"store-{number}.db"
        gate = threading.Barrier(2)
        failures = []

        def use(kind, path=path, gate=gate, failures=failures):
            store = kind(path)
            gate.wait()
            try:
                store.connect()
            except Exception as error:  # noqa: BLE001 - looked at below
                failures.append(error)
            finally:
                store.close()

        threads = [threading.Thread(target=use, args=(kind,)) for kind in (RunStore, StateStore)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
