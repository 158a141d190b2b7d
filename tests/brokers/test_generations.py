"""Which of a broker is started in whose place, and what newer ones need."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from local_brokers import containers, fleet, systems
from local_brokers.__main__ import main
from local_brokers.kinds import kind_named
from local_brokers.process import BrokerError
from local_brokers.redis import RedisServer
from redis import Redis


@pytest.fixture
def own_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout's brokers that are nobody else's, as processes."""
    monkeypatch.setattr(fleet, "HOME", tmp_path)
    monkeypatch.setattr(fleet, "_STATE", tmp_path / "state.json")
    monkeypatch.setattr(fleet, "_EXPORTS", tmp_path / "env")
    monkeypatch.setattr(containers, "available", lambda _kinds: False)
    return tmp_path


@pytest.mark.redis
def test_another_server_takes_the_place_of_the_usual_one_until_that_is_asked_for_again(own_fleet):
    redis = [kind_named("redis")]
    try:
        fleet.up(redis)
        usual = _server_name()
        fleet.up(redis, choices={"redis": "valkey"})
        chosen = _server_name()
        assert fleet.up(redis) == []
        still = _server_name()
        fleet.up(redis, choices={"redis": "redis"})
        again = _server_name()
    finally:
        fleet.down()

    assert [chosen, still, again] == ["valkey", "valkey", usual]
    assert not (own_fleet / "state.json").exists()


@pytest.mark.redis
def test_two_servers_of_one_protocol_run_beside_each_other(own_fleet):
    kinds = [kind_named("redis"), kind_named("redis-8")]
    try:
        fleet.up(kinds)
        addresses = dict(fleet.exports(kinds))
        versions = [
            _info(addresses[name])["redis_version"] for name in ("PENSTOCK_TEST_REDIS", "PENSTOCK_TEST_REDIS_8")
        ]
    finally:
        fleet.down()

    assert versions[1].startswith("8.")
    assert addresses["PENSTOCK_TEST_REDIS_TLS"] != addresses["PENSTOCK_TEST_REDIS_8_TLS"]
    assert list(own_fleet.glob("redis*")) == []


@pytest.mark.redis
@pytest.mark.usefixtures("own_fleet")
def test_what_was_started_to_be_borrowed_ends_with_its_last_user():
    redis = [kind_named("redis")]
    try:
        with fleet.borrowed(redis):
            second = fleet.borrowed(redis)
            second.__enter__()
        while_one_is_left = fleet.exports(redis)
        second.__exit__(None, None, None)
        assert fleet.exports(redis) == []

        fleet.up(redis)
        with fleet.borrowed(redis):
            pass
        started_for_everyone = fleet.exports(redis)
    finally:
        fleet.down()

    assert while_one_is_left != []
    assert started_for_everyone != []


def test_one_that_an_earlier_checkout_started_with_fewer_ports_is_started_anew(own_fleet):
    kind = kind_named("redis")
    _write(own_fleet, {"redis": {"how": "native", "ports": [1]}})
    try:
        assert fleet.up([kind]) == [kind]
    finally:
        fleet.down()


def test_one_in_a_container_is_asked_only_for_the_ports_that_this_has(own_fleet):
    kind = kind_named("redis-8")
    fleet.up([kind])
    state = json.loads((own_fleet / "state.json").read_text())
    try:
        # The official image has no listener over TLS; ours is stopped, and what is left is said to be a container.
        RedisServer(own_fleet / kind.name / "secured", 0).process.stop()
        _write(own_fleet, {kind.name: {**state[kind.name], "how": "container"}})

        assert fleet.up([kind]) == []
        assert fleet.exports([kind]) == [("PENSTOCK_TEST_REDIS_8", f"redis://127.0.0.1:{state[kind.name]['ports'][0]}")]
    finally:
        _write(own_fleet, state)
        fleet.down()


def test_a_server_that_is_none_of_ours_is_refused_with_those_that_are(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["local_brokers", "up", "--redis", "9"])

    assert main() == 1

    assert "REDIS=9 is none that can be started; allowed are system, 8, valkey" in capsys.readouterr().err


def test_who_is_not_root_is_told_what_the_newer_brokers_need(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(BrokerError, match=r"only root can make[\s\S]*PENSTOCK_TEST_VALKEY"):
        systems.packages_missing_to_make_one()


def test_a_root_file_system_that_cannot_be_made_leaves_nothing_and_says_why(tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "debootstrap").write_text("#!/bin/sh\necho 'E: no such mirror' >&2\nexit 1\n")
    (programs / "debootstrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    home = tmp_path / "home"

    with pytest.raises(BrokerError, match="no such mirror"):
        systems.root_file_system_in(home).ensure()

    assert list(home.iterdir()) == []


def _write(home: Path, state: object) -> None:
    (home / "state.json").write_text(json.dumps(state))


def _server_name() -> str:
    return str(_info(dict(fleet.exports())["PENSTOCK_TEST_REDIS"]).get("server_name", "redis"))


def _info(url: str) -> dict[str, str]:
    with Redis.from_url(url) as client:
        return client.info("server")  # type: ignore[no-any-return] # untyped for a client that is not asynchronous
