"""The section Settings, where the data directory is, and the configuration as understood."""

import json
import os
from pathlib import Path

import pytest
import yaml


def test_a_node_has_defaults(folder):
    settings = folder.load("").settings
    assert settings.concurrency_max == max(16, 4 * len(os.sched_getaffinity(0)))
    assert (settings.region, settings.account_id, settings.listen) == ("us-east-1", "000000000000", "127.0.0.1:3001")
    assert (settings.log_format, settings.drain_timeout_s) == ("text", 25.0)
    assert settings.buffer_bytes_max == 64 * 1024 * 1024
    assert settings.data_dir == folder.path / ".penstock"


def test_every_setting_of_a_node_arrives(folder):
    settings = folder.load(
        """
        Settings:
          MaximumConcurrency: 3
          DataDir: state
          Listen: none
          Region: local
          AccountId: 012345678901
          LogFormat: json
          DrainTimeoutSeconds: 0.5
          BufferMegabytes: 1
        """
    ).settings
    assert settings.concurrency_max == 3
    assert settings.data_dir == folder.path / "state"
    assert (settings.listen, settings.region, settings.account_id) == ("none", "local", "012345678901")
    assert (settings.log_format, settings.drain_timeout_s, settings.buffer_bytes_max) == ("json", 0.5, 1_048_576)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:3001", "localhost:80", "0.0.0.0:65535", "none"])
def test_an_address_to_listen_on_is_host_and_port_or_none(folder, listen):
    assert folder.load(f"Settings: {{Listen: '{listen}'}}\n").settings.listen == listen


@pytest.mark.parametrize(
    ("option", "environ", "text", "wanted"),
    [
        ("/o", {"PENSTOCK_DATA_DIR": "/e", "STATE_DIRECTORY": "/s"}, "Settings: {DataDir: /f}\n", "/o"),
        (None, {"PENSTOCK_DATA_DIR": "/e", "STATE_DIRECTORY": "/s"}, "Settings: {DataDir: /f}\n", "/e"),
        (None, {"STATE_DIRECTORY": "/s"}, "Settings: {DataDir: /f}\n", "/f"),
        (None, {"STATE_DIRECTORY": "/s:/t"}, "", "/s"),
    ],
)
def test_the_data_directory_is_the_options_else_the_environments_else_the_files(folder, option, environ, text, wanted):
    folder.environ = environ
    project = folder.load(text, data_dir=Path(option) if option else None)
    assert project.settings.data_dir == Path(wanted)


EVERYTHING = """
Connections:
  main: {Type: tape, Servers: [a, b]}
Sources:
  orders: {Connection: main, Reel: 7, Config: {x: y}}
  jobs: {Type: pile, VisibilityTimeout: 60}
Globals: {Function: {Timeout: 9, Environment: {Variables: {A: 1}}}}
Functions:
  billing:
    CodeUri: code
    Handler: app.handler
    Events:
      A: {Source: orders, StartingPosition: AT_TIMESTAMP, StartingPositionTimestamp: 2023-11-14T22:13:20Z}
      B: {Source: jobs, ScalingConfig: {MaximumConcurrency: 3}}
Settings: {Listen: none}
"""


def test_the_configuration_as_understood_has_every_default(folder):
    masked = folder.load(EVERYTHING).masked
    assert masked["Functions"]["billing"]["Events"]["B"] == {
        "Source": "jobs",
        "EventFormat": "sqs",
        "Enabled": True,
        "BatchSize": 10,
        "MaximumBatchingWindowInMilliseconds": 0,
        "RetryBackoff": {"InitialMs": 500, "MaximumMs": 20000, "Multiplier": 2.0},
        "FilterCriteria": {},
        "OnFiltered": "delete",
        "FunctionResponseTypes": [],
        "ScalingConfig": {"MaximumConcurrency": 3, "Policy": "eager"},
    }
    assert masked["Sources"]["orders"] == {
        "Type": "tape",
        "Connection": "main",
        "Servers": ["a", "b"],
        "Reel": "7",
        "Speed": 3,
        "Config": {"x": "y"},
        "Create": False,
        "Arn": "arn:aws:kinesis:us-east-1:000000000000:stream/orders",
    }
    assert masked["Functions"]["billing"]["Timeout"] == 9
    json.dumps(dict(masked))


def test_the_configuration_as_understood_can_be_read_again_and_means_the_same(folder):
    first = folder.load(EVERYTHING)
    again = folder.load(yaml.safe_dump(dict(first.masked)))
    assert again.masked == first.masked
    assert again.settings == first.settings
    assert [(each.name, each.stream, each.queue) for each in again.mappings] == [
        (each.name, each.stream, each.queue) for each in first.mappings
    ]
