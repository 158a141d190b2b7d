"""What is refused before anything is connected to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_engine import source_type

from penstock.api import MappingContext, SettingsError, SourceContext
from penstock_kafka import plugin
from penstock_kafka.config import OWNED, Budget, common_config, member_config
from penstock_kafka.plugin import check_mapping_settings
from penstock_kafka.settings import CONNECTION_SETTINGS

BASE = {"BootstrapServers": ["k1:9092", "k2:9092"], "Topic": "orders"}


def refusal(settings: dict[str, Any]) -> str:
    check = source_type().check_settings
    assert check is not None
    with pytest.raises(SettingsError) as raised:
        check({**BASE, **settings})
    return str(raised.value)


def open_with(settings: dict[str, Any], mapping: dict[str, Any], *, name: str = "f.e") -> None:
    plugin.open_stream(
        SourceContext(project="shop", name="orders", settings={**BASE, **settings}, data_dir=Path()),
        MappingContext(mapping=name, uuid="u", node="n", settings=mapping, buffer_bytes_max=1_000_000),
    )


def test_good_settings_pass() -> None:
    check = source_type().check_settings
    assert check is not None
    check(BASE)
    check({**BASE, "Tls": {}, "Config": {"fetch.wait.max.ms": "100"}})
    check({**BASE, "Sasl": {"Mechanism": "PLAIN", "Username": "u", "Password": "p"}, "Tls": {"Verify": False}})


@pytest.mark.parametrize("name", ["", "a b", "x" * 250, "..", "ü"])
def test_a_topic_that_can_not_be_is_refused(name: str) -> None:
    assert refusal({"Topic": name}).startswith(f"Topic: is {name!r}; ")


@pytest.mark.parametrize("name", sorted(OWNED))
def test_a_property_that_the_plugin_owns_is_refused_with_the_reason(name: str) -> None:
    assert refusal({"Config": {name: "1"}}) == f"Config.{name}: is set by Penstock; {OWNED[name]}"


def test_an_unknown_property_is_refused() -> None:
    assert refusal({"Config": {"fetch.wiat.max.ms": "1"}}) == (
        'Config: No such configuration property: "fetch.wiat.max.ms"'
    )


def test_a_value_that_librdkafka_refuses_is_refused() -> None:
    assert 'Invalid value for configuration property "fetch.wait.max.ms"' in refusal(
        {"Config": {"fetch.wait.max.ms": "soon"}}
    )


def test_files_of_tls_have_to_be_there(tmp_path: Path) -> None:
    assert "Tls.CaFile: there is no file" in refusal({"Tls": {"CaFile": str(tmp_path / "ca.pem")}})
    (tmp_path / "cert.pem").write_text("no certificate")
    assert refusal({"Tls": {"CertFile": str(tmp_path / "cert.pem")}}) == "Tls.KeyFile: is missing; a CertFile needs it"
    assert refusal({"Tls": {"CaFile": str(tmp_path / "cert.pem")}}).startswith("Tls: ssl.ca.location failed")


def test_what_is_not_built_is_refused_by_its_setting() -> None:
    refused = {setting.name for setting in source_type().settings if setting.refusal}
    assert refused == {"Topics", "TopicPattern"}


@pytest.mark.parametrize("group", ["a group", "x" * 201, "ü"])
def test_a_group_that_can_not_be_is_refused(group: str) -> None:
    with pytest.raises(SettingsError, match="ConsumerGroupId: is "):
        open_with({}, {"ConsumerGroupId": group})


def test_a_grace_longer_than_a_third_of_the_poll_interval_is_refused() -> None:
    open_with({}, {"RevocationGraceSeconds": 100})
    open_with({"Config": {"max.poll.interval.ms": "6000"}}, {"RevocationGraceSeconds": None})
    with pytest.raises(SettingsError, match=r"RevocationGraceSeconds: is 101; at most 100"):
        open_with({}, {"RevocationGraceSeconds": 101})
    with pytest.raises(SettingsError, match="at most 10,"):
        open_with({"Config": {"max.poll.interval.ms": "30000"}}, {"RevocationGraceSeconds": 11})


@pytest.mark.parametrize(
    ("settings", "protocol"),
    [
        ({}, "PLAINTEXT"),
        ({"Tls": {}}, "SSL"),
        ({"Sasl": {"Mechanism": "PLAIN", "Username": "u", "Password": "p"}}, "SASL_PLAINTEXT"),
        ({"Sasl": {"Mechanism": "PLAIN", "Username": "u", "Password": "p"}, "Tls": {}}, "SASL_SSL"),
    ],
)
def test_the_security_protocol_follows_from_what_is_set(settings: dict[str, Any], protocol: str) -> None:
    assert common_config({**BASE, **settings})["security.protocol"] == protocol


def test_the_other_group_protocol_has_no_session_of_the_clients() -> None:
    config = member_config(
        BASE, group="g", instance="i", protocol="consumer", session_timeout_ms=1, budget=Budget.of(1_000_000)
    )
    assert config["group.protocol"] == "consumer"
    assert not {"session.timeout.ms", "partition.assignment.strategy", "group.instance.id"} & set(config)


def test_a_members_id_is_one_that_kafka_takes() -> None:
    assert plugin.instance_id("node-1", "uuid-2") == "penstock.node-1.uuid-2"
    odd = plugin.instance_id("a node ü", "uuid")
    assert odd.isascii()
    assert len(odd) < 249
    assert odd != plugin.instance_id("a node ö", "uuid")


def test_an_event_is_told_where_its_records_come_from() -> None:
    assert plugin.describe(BASE) == {"topic": "orders", "bootstrapServers": "k1:9092,k2:9092"}


def test_what_may_stand_in_a_connection_are_settings() -> None:
    assert set(CONNECTION_SETTINGS) < {setting.name for setting in source_type().settings}


@pytest.mark.parametrize(
    ("settings", "path", "problem"),
    [
        ({"ConsumerGroupId": "a b"}, "ConsumerGroupId", "is 'a b'"),
        ({"RevocationGraceSeconds": 200}, "RevocationGraceSeconds", "is 200"),
        (
            {"GroupProtocol": "consumer", "SessionTimeoutSeconds": 6},
            "SessionTimeoutSeconds",
            "is set beside `GroupProtocol: consumer`, where the broker decides how long a session lasts",
        ),
    ],
)
def test_a_mapping_setting_that_can_not_be_is_refused_before_anything_is_connected(
    settings: dict[str, Any], path: str, problem: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        check_mapping_settings({"Topic": "orders", "BootstrapServers": ["127.0.0.1:1"]}, settings)
    assert (refused.value.path, refused.value.problem) == (path, problem)


def test_a_mapping_without_settings_of_its_own_is_fine() -> None:
    check_mapping_settings({"Topic": "orders", "BootstrapServers": ["127.0.0.1:1"]}, {})
