"""Sources: their settings, what they take over from a connection, and what happens when their plugin is broken."""

import asyncio
from pathlib import Path

import pytest

from penstock.api import MappingContext, SourceBroken, SourceContext


def test_settings_arrive_converted_with_defaults_and_absolute_paths(folder):
    source = folder.load(
        "Sources:\n"
        "  a: {Type: tape, Servers: 'k1:9092, k2:9092', Reel: 7, CaFile: tls/ca.pem, Config: {n: 1, b: true}}\n"
    ).sources["a"]
    assert source.settings == {
        "Servers": ("k1:9092", "k2:9092"),
        "Reel": "7",
        "CaFile": folder.path / "tls/ca.pem",
        "Config": {"n": "1", "b": "true"},
        "Url": None,
        "Speed": 3,
        "Credentials": None,
    }
    assert (source.name, source.create, source.line) == ("a", False, 2)


def test_paths_are_relative_to_the_file_wherever_one_stands(folder, monkeypatch):
    monkeypatch.chdir("/")
    source = folder.load("Sources: {a: {Type: tape, Servers: a, Reel: b, CaFile: ../ca.pem}}\n").sources["a"]
    assert source.settings["CaFile"] == folder.path.parent / "ca.pem"


def test_servers_can_be_a_list(folder):
    source = folder.load("Sources: {a: {Type: tape, Servers: ['x:1', 'y:2'], Reel: b}}\n").sources["a"]
    assert source.settings["Servers"] == ("x:1", "y:2")


def test_a_source_takes_over_its_connections_settings_and_its_own_win(folder):
    project = folder.load(
        """
        Connections:
          main: {Type: tape, Servers: main, Url: one}
        Sources:
          a: {Connection: main, Reel: a}
          b: {Connection: main, Reel: b, Url: two}
        """
    )
    assert [(each.settings["Servers"], each.settings["Url"]) for each in project.sources.values()] == [
        (("main",), "one"),
        (("main",), "two"),
    ]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            "Connections:\n  main: {Servers: a}\n",
            "2: Connections.main.Type: is missing; a type of source has to be given",
        ),
        (
            "Connections:\n  main: {Type: tape, Reel: a}\n",
            "2: Connections.main.Reel: is not known; known are Type, Servers, Url, CaFile, Credentials",
        ),
        (
            "Connections: {main: {Type: tape, Servers: a}}\nSources:\n  a: {Connection: mian, Type: drum}\n",
            "3: Sources.a.Connection: there is no connection 'mian'; did you mean main?",
        ),
        (
            "Connections: {main: {Type: tape, Servers: a}}\nSources:\n  a:\n    Type: drum\n    Connection: main\n",
            (
                "5: Sources.a.Connection: the connection has Servers, which a source of type 'drum' does not take; "
                "nothing is known here"
            ),
        ),
        (
            "Connections: {main: {Type: tape}}\nSources:\n  a: {Connection: main, Reel: b}\n",
            "3: Sources.a.Servers: is missing; where the tapes are has to be given",
        ),
        (
            "Sources:\n  a: {Type: tape, Servers: ' , ', Reel: b}\n",
            "2: Sources.a.Servers: is empty; a list of texts, or one text with commas",
        ),
        (
            "Sources:\n  a: {Type: tape, Servers: [], Reel: b}\n",
            "2: Sources.a.Servers: is empty; a list of texts, or one text with commas",
        ),
        (
            "Sources:\n  a: {Type: tape, Servers: x, Reel: ''}\n",
            "2: Sources.a.Reel: is ''; a text",
        ),
        (
            "Sources:\n  a: {Type: tape, Servers: {a: 1}, Reel: b}\n",
            "2: Sources.a.Servers: is an object; a list of texts, or one text with commas",
        ),
        (
            "Sources:\n  a: {Type: tape, Servers: [x, [y]], Reel: b}\n",
            "2: Sources.a.Servers.1: is a list; a text",
        ),
        (
            "Sources:\n  a:\n    Type: tape\n    Servers: x\n    Reel: b\n    Config:\n      a: {}\n",
            "7: Sources.a.Config.a: is an object; a text",
        ),
        (
            "Sources:\n  a: {Type: drum, VisibilityTimeout: 3}\n",
            "2: Sources.a.VisibilityTimeout: is not known; known are Type, Connection, Arn, Create",
        ),
        (
            "Sources:\n  a: {Type: pile, VisibilityTimeout: 43201}\n",
            "2: Sources.a.VisibilityTimeout: is 43201; a whole number of seconds from 0 to 43200",
        ),
    ],
)
def test_what_is_wrong_with_a_source_is_named(folder, text, finding):
    assert folder.findings(text) == [f"penstock.yaml:{finding}"]


def test_a_type_may_be_created_by_default_and_the_file_may_say_no(folder):
    sources = folder.load(
        "Sources: {a: {Type: drum}, b: {Type: drum, Create: false}, c: {Type: pile}, d: {Type: pile, Create: true}}\n"
    ).sources
    assert {name: source.create for name, source in sources.items()} == {"a": True, "b": False, "c": False, "d": True}


def test_arns_are_those_of_the_service_whose_place_a_source_takes(folder):
    sources = folder.load(
        "Settings: {Region: eu-west-1, AccountId: 123456789012}\nSources: {a: {Type: drum}, b: {Type: pile}}\n"
    ).sources
    assert [source.arn for source in sources.values()] == [
        "arn:aws:kinesis:eu-west-1:123456789012:stream/a",
        "arn:aws:sqs:eu-west-1:123456789012:b",
    ]


BROKEN = """
Sources:
  old: {Type: rope, Length: 3}
  older: {Type: rope-ladder}
  good: {Type: drum}
Functions:
  billing:
    CodeUri: code
    Handler: app.handler
    Events:
      A: {Source: old, StartingPosition: LATEST, Knots: 7}
      B: {Source: older}
      C: {Source: good, StartingPosition: LATEST}
"""


def test_a_broken_plugin_stops_its_own_mappings_and_no_other(folder):
    project = folder.load(BROKEN)
    assert [mapping.name for mapping in project.mappings] == ["billing.A", "billing.B", "billing.C"]
    assert [(each.line, each.path) for each in project.problems] == [(2, "Sources.old.Type"), (3, "Sources.older.Type")]
    assert project.problems[0].problem == (
        "the plugin 'rope' can not be loaded: ModuleNotFoundError: No module named 'hemp' (penstock_rope/plugin.py:3)"
    )


def test_a_mapping_of_a_broken_plugin_says_why_when_it_is_opened(folder):
    mapping = folder.load(BROKEN).mappings[0]
    context = MappingContext(mapping="m", uuid="u", node="n", settings={}, buffer_bytes_max=1)
    source = SourceContext(project="p", name="s", settings={}, data_dir=Path("/nowhere"))

    async def open_it() -> None:
        await mapping.source.type.open_stream(source, context).open()

    with pytest.raises(SourceBroken, match="the plugin 'rope' can not be loaded: ModuleNotFoundError"):
        asyncio.run(open_it())


def test_the_kind_of_a_source_whose_plugin_is_broken_is_guessed_from_its_mappings(folder):
    project = folder.load(BROKEN)
    assert [(each.stream is None, each.queue is None) for each in project.mappings] == [
        (False, True),
        (True, False),
        (False, True),
    ]
