"""Loading plugins: what is right is registered, what is wrong is listed with its reason, and all others work."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from penstock.api import API_VERSION
from penstock.plugins import PluginInfo, Registry, load_plugins

GOOD = """
from penstock.api import SourceType, StreamCapabilities, Setting, hookimpl

PENSTOCK_API_VERSION = 1


def open_stream(source, mapping):
    return object()


@hookimpl
def register_sources(register):
    register(
        SourceType(
            name="tape", kind="stream", doc="a tape",
            capabilities=StreamCapabilities(seekable_by_time=True, keyed=True),
            settings=(Setting("Reel", "text"),), event_formats=("kinesis",), open_stream=open_stream,
        )
    )
"""


@dataclass(frozen=True)
class Distribution:
    name: str
    version: str


@dataclass(frozen=True)
class EntryPoint:
    """An entry point of a distribution that is not installed, loaded as an installed one is."""

    name: str
    value: str
    dist: Distribution | None

    def load(self) -> object:
        return importlib.import_module(self.value)


Load = Callable[..., Registry]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load plugins given as the text of their modules, by name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load_modules(**modules: str) -> Registry:
        entries = []
        for name, text in modules.items():
            package = tmp_path / f"penstock_test_{name}"
            package.mkdir()
            (package / "__init__.py").write_text("")
            (package / "plugin.py").write_text(dedent(text).lstrip("\n"))
            distribution = Distribution(f"penstock-{name}", "1.2.3")
            entries.append(EntryPoint(name, f"{package.name}.plugin", distribution))
        importlib.invalidate_caches()
        return load_plugins(entries)

    yield load_modules
    for name in [each for each in sys.modules if each.startswith("penstock_test_")]:
        del sys.modules[name]


def error_of(load: Load, text: str) -> str:
    (info,) = load(broken=text).plugins
    return info.error


def test_a_plugin_is_loaded_with_all_it_has(load):
    registry = load(tape=GOOD)
    assert registry.plugins == (
        PluginInfo(
            name="tape",
            distribution="penstock-tape",
            version="1.2.3",
            api_version=1,
            source_types=("tape",),
            capabilities={"tape": ("seekable_by_time", "keyed")},
        ),
    )
    assert registry.source_types["tape"].kind == "stream"
    assert registry.plugin_of("tape") == "tape"


def test_the_embedded_plugin_is_found_by_its_entry_point():
    registry = load_plugins()
    (embedded,) = [plugin for plugin in registry.plugins if plugin.name == "embedded"]
    assert embedded.error == ""
    assert embedded.distribution == "penstock"
    assert {"sqlite-stream", "sqlite-queue"} <= set(embedded.source_types)


def test_a_plugin_that_can_not_be_imported_does_not_stop_the_others(load):
    registry = load(rope="import hemp_that_is_not_there\n", tape=GOOD)
    rope, tape = registry.plugins
    assert rope.error.startswith("ModuleNotFoundError: No module named 'hemp_that_is_not_there' (")
    assert rope.error.endswith("penstock_test_rope/plugin.py:1)")
    assert tape.error == ""
    assert list(registry.source_types) == ["tape"]
    assert registry.failed_plugin_for("rope") == rope
    assert registry.failed_plugin_for("rope-ladder") == rope
    assert registry.failed_plugin_for("ropes") is None
    assert registry.failed_plugin_for("tape") is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x = 1\ny = x / 0\n", "ZeroDivisionError: division by zero ({}:2)"),
        ("import json\n\njson.loads('{')\n", "({}:3)"),
        ("raise SystemExit(3)\n", "SystemExit: 3 ({}:1)"),
        ("def f(:\n", "SyntaxError: invalid syntax ({}:1)"),
    ],
)
def test_an_error_names_the_line_of_the_plugins_own_code(load, tmp_path, text, error):
    found = error_of(load, text)
    assert found.endswith(error.replace("{}", str(tmp_path / "penstock_test_broken" / "plugin.py")))


@pytest.mark.parametrize("version", [0, API_VERSION + 1, "'1'"])
def test_another_api_version_is_refused_with_both_numbers(load, version):
    text = GOOD.replace("PENSTOCK_API_VERSION = 1", f"PENSTOCK_API_VERSION = {version}")
    expected = f"it was written for API version {str(version).strip(chr(39))}; this Penstock has {API_VERSION}"
    assert error_of(load, text) == expected


def test_a_plugin_without_an_api_version_is_refused(load):
    assert error_of(load, GOOD.replace("PENSTOCK_API_VERSION = 1", "")) == (
        "penstock_test_broken.plugin does not say which API version it was written for; this Penstock has "
        f"{API_VERSION}: PENSTOCK_API_VERSION = {API_VERSION}"
    )


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            "def register_sources(register):",
            "def register_sources(registry, config):\n    register = registry",
            "found `def register_sources(registry, config)`; wanted is `def register_sources(register)`",
        ),
        ("@hookimpl\ndef", "def", "register_sources is not marked with @hookimpl; "),
        (
            "def register_sources",
            "def register_source",
            (
                "there is no hook named register_source; "
                "there are register_sources, register_destinations, register_executors"
            ),
        ),
        (
            "def open_stream(source, mapping):",
            "def open_stream(source):",
            "SourceType 'tape': open_stream is open_stream(source); it is called with (source, mapping)",
        ),
        (
            "open_stream=open_stream",
            "open_stream=7",
            "SourceType 'tape': open_stream is 7; wanted is a function (source, mapping)",
        ),
        (
            "open_stream=open_stream",
            "open_queue=open_stream",
            "SourceType 'tape': open_queue is set; a stream has open_stream alone",
        ),
        (
            'kind="stream"',
            'kind="topic"',
            "SourceType 'tape': kind is 'topic'; wanted is 'stream' or 'queue'",
        ),
        (
            'kind="stream"',
            'kind="queue"',
            (
                "SourceType 'tape': capabilities is StreamCapabilities(seekable_by_time=True, balanced=False, "
                "leased=False, keyed=True); a queue has QueueCapabilities"
            ),
        ),
        ('("kinesis",)', "()", "SourceType 'tape': event_formats is empty; the first one is the default"),
        (
            'event_formats=("kinesis",)',
            'event_formats=("kinesis",), connection_settings=("Url",)',
            "SourceType 'tape': connection_settings names Url, which settings does not have",
        ),
        ('(Setting("Reel", "text"),)', '("Reel",)', "SourceType 'tape': settings has 'Reel'; wanted is a Setting"),
        (
            "    register(\n",
            "    register('tape')\n    register(\n",
            "register was given 'tape'; wanted is a SourceType",
        ),
        (
            'doc="a tape"',
            'dock="a tape"',
            "TypeError: SourceType.__init__() got an unexpected keyword argument 'dock' (",
        ),
    ],
)
def test_a_mistake_quotes_what_the_author_wrote_beside_what_is_wanted(load, old, new, error):
    assert old in GOOD
    assert error_of(load, GOOD.replace(old, new)).startswith(error)


def test_a_plugin_that_registers_nothing_is_told_so(load):
    assert error_of(load, "PENSTOCK_API_VERSION = 1\n") == (
        "it registers nothing; wanted is one of register_sources, register_destinations, register_executors "
        "with @hookimpl"
    )


def test_a_type_that_two_plugins_have_is_refused_with_both_names(load):
    registry = load(alpha=GOOD, beta=GOOD)
    alpha, beta = registry.plugins
    assert alpha.error == ""
    assert beta.error == "source type 'tape' is registered by the plugin 'alpha' already"
    assert registry.plugin_of("tape") == "alpha"


def test_a_type_registered_twice_by_one_plugin_is_refused(load):
    twice = GOOD + "    again(register)\n\n\ndef again(register):\n" + GOOD.partition("(register):\n")[2]
    assert error_of(load, twice) == "SourceType 'tape' is registered twice"


def test_destinations_and_executors_are_registered_too(load):
    registry = load(
        other="""
        from penstock.api import DestinationType, ExecutorType, hookimpl

        PENSTOCK_API_VERSION = 1

        class Web:
            def __init__(self, address, settings): ...

        @hookimpl
        def register_destinations(register):
            register(DestinationType(scheme="https", doc="a web hook", settings=(), open_destination=Web))

        @hookimpl
        def register_executors(register):
            register(ExecutorType(runtime="http", doc="a URL", settings=(), open_executor=lambda spec, folder: None))
        """
    )
    (info,) = registry.plugins
    assert (info.error, info.destinations, info.executors) == ("", ("https",), ("http",))
    assert list(registry.destination_types) == ["https"]
    assert list(registry.executor_types) == ["http"]
