"""What the tests of configurations share: types of source as a plugin would bring them, and a project's folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from penstock.api import (
    Destination,
    DestinationType,
    QueueCapabilities,
    Setting,
    SettingsError,
    SourceContext,
    SourceType,
    StreamCapabilities,
)
from penstock.configuration import ConfigurationError, Project, load
from penstock.plugins import PluginInfo, Registry

NOW_S = 1_800_000_000.0


def _check_tape(settings: Mapping[str, Any]) -> None:
    credentials = settings["Credentials"]
    if credentials and credentials["Mechanism"] == "PLAIN" and not credentials["Password"]:
        raise SettingsError("Credentials.Mechanism", "is PLAIN without a Password", allowed="give Password")
    if " " in (settings["Reel"] or ""):
        raise SettingsError("Reel", f"is {settings['Reel']!r}", allowed="a reel has no spaces in its name")


def _is_same_tape(one: SourceContext, other: SourceContext) -> bool:
    return one.settings["Reel"] == other.settings["Reel"] and one.settings["Servers"] == other.settings["Servers"]


def _is_same_pile(one: SourceContext, other: SourceContext) -> bool:
    return (one.settings["Queue"] or one.name) == (other.settings["Queue"] or other.name)


def _open_destination(*_: object) -> Destination:
    raise AssertionError("a configuration is read without opening anything")


TAPE = SourceType(
    name="tape",
    kind="stream",
    doc="a tape that is read from one end to the other",
    capabilities=StreamCapabilities(seekable_by_time=True, keyed=True),
    settings=(
        Setting("Servers", "texts", required=True, doc="where the tapes are"),
        Setting("Reel", "text", required=True, doc="the name of the reel"),
        Setting("Url", "text", doc="another way to say where"),
        Setting("CaFile", "path", doc="a certificate"),
        Setting("Speed", "integer", least=1, most=10, default=3, unit="metres", doc="how fast"),
        Setting("Config", "map", doc="the client's own options"),
        Setting(
            "Credentials",
            "section",
            doc="who we are",
            fields=(
                Setting("Mechanism", "choice", choices=("PLAIN", "SCRAM"), required=True, doc="how we say it"),
                Setting("Username", "text"),
                Setting("Password", "text", secret=True),
            ),
        ),
    ),
    connection_settings=("Servers", "Url", "CaFile", "Credentials"),
    mapping_settings=(Setting("ReaderId", "text", doc="whose position it is"),),
    event_formats=("kafka", "kinesis", "dynamodb"),
    check_settings=_check_tape,
    open_destination=_open_destination,
    is_same=_is_same_tape,
    destination_scheme="tape",
    destination_setting="Reel",
    endless_retries_with_destination=7,
)

DRUM = SourceType(
    name="drum",
    kind="stream",
    doc="a drum that turns and knows no time",
    capabilities=StreamCapabilities(),
    settings=(Setting("Create", "boolean", default=True),),
    event_formats=("kinesis",),
)

PILE = SourceType(
    name="pile",
    kind="queue",
    doc="a pile that is worked off",
    capabilities=QueueCapabilities(leased=True),
    settings=(Setting("Queue", "text", doc="the pile's name"),),
    event_formats=("sqs", "rmq"),
    open_destination=_open_destination,
    is_same=_is_same_pile,
)

SHELF = SourceType(
    name="shelf",
    kind="queue",
    doc="a shelf whose piles keep their order",
    capabilities=QueueCapabilities(delayed=True, grouped=True, counted=True, leased=True),
    settings=(Setting("Queue", "text", doc="the shelf's name"),),
    event_formats=("sqs",),
    open_destination=_open_destination,
)

WHOLE = SourceType(
    name="whole",
    kind="queue",
    doc="a queue that one receiver has at a time",
    capabilities=QueueCapabilities(delayed=True, grouped=True, exclusive=True, counted=True, leased=True),
    settings=(Setting("Queue", "text", doc="the shelf's name"),),
    event_formats=("sqs",),
    open_destination=_open_destination,
)

WEB = DestinationType(scheme="https", doc="posts to a web page", settings=(), open_destination=_open_destination)

BROKEN = PluginInfo(
    name="rope",
    distribution="penstock-rope",
    version="1.0",
    api_version=None,
    error="ModuleNotFoundError: No module named 'hemp' (penstock_rope/plugin.py:3)",
)


@pytest.fixture(scope="session")
def registry() -> Registry:
    types = {each.name: each for each in (TAPE, DRUM, PILE, SHELF, WHOLE)}
    return Registry(source_types=types, destination_types={"https": WEB}, plugins=(BROKEN,))


class Folder:
    """A project's folder: write a configuration into it, and load it."""

    def __init__(self, path: Path, registry: Registry) -> None:
        self.path = path
        self.registry = registry
        self.environ: dict[str, str] = {}
        self.write("code/app.py", "def handler(event, context):\n    return None\n")

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def load(self, text: str, **options: Any) -> Project:
        self.write("penstock.yaml", dedent(text).lstrip("\n"))
        return load(self.path / "penstock.yaml", self.registry, environ=self.environ, clock=lambda: NOW_S, **options)

    def findings(self, text: str) -> list[str]:
        """Load what is wrong, and give every finding without the folder's name."""
        with pytest.raises(ConfigurationError) as caught:
            self.load(text)
        return [str(each).replace(f"{self.path}/", "") for each in caught.value.findings]


@pytest.fixture
def folder(tmp_path: Path, registry: Registry) -> Folder:
    path = tmp_path / "shop"
    path.mkdir()
    return Folder(path, registry)


def document(*keys: str, source: str = "{Type: tape, Servers: a, Reel: b}", others: str = "") -> str:
    """Write a configuration with a source (line 2, with the `others` behind it) and a mapping: keys from line 9 on."""
    lines = [
        "Sources:",
        f"  {{orders: {source}, {others}}}" if others else f"  orders: {source}",
        "Functions:",
        "  billing:",
        "    CodeUri: code",
        "    Handler: app.handler",
        "    Events:",
        "      From:",
        *(f"        {key}" for key in keys),
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def write() -> Callable[..., str]:
    return document
