"""A configuration as understood: everything resolved, checked and named, ready to run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from penstock.api import FunctionSpec, SourceType
from penstock.core.patterns import FilterCriteria
from penstock.core.settings import QueueSettings, StreamSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """The `Settings` section: what belongs to the node and not to one mapping."""

    concurrency_max: int
    region: str
    account_id: str
    listen: str
    data_dir: Path
    log_format: str
    drain_timeout_s: float
    buffer_bytes_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """A source: `settings` are checked against its type, with defaults, connection and secrets filled in."""

    name: str
    type: SourceType
    settings: Mapping[str, Any]
    arn: str
    create: bool
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionConfig:
    """A function, and how many environments it may have at once (None: as many as the node)."""

    spec: FunctionSpec
    concurrency_max: int | None
    line: int
    handler_line: int = 0
    """Where its `Handler` stands: in the function itself, or in `Globals`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationConfig:
    """Where a stream mapping's invocation records go. What `kind` names is set; the others are empty.

    `source` is one of the file's, or one made of an address such as `kafka://orders-failed`. `path` is absolute, a
    folder. A `scheme` is that of a plugin's `DestinationType`, which takes the whole `text`.
    """

    kind: Literal["source", "file", "function", "scheme"]
    text: str
    """The address as the file has it."""
    source: SourceConfig | None = None
    path: Path | None = None
    function: str = ""
    scheme: str = ""
    include_payload: bool = True
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingConfig:
    """An event source mapping. Exactly one of `stream` and `queue` is set, as the source's kind is."""

    name: str
    """`<function>.<event>`"""
    uuid: str
    function: FunctionConfig
    source: SourceConfig
    event_format: str
    enabled: bool
    settings: Mapping[str, Any]
    """The keys that the source's type declared as `mapping_settings`."""
    filter_criteria: FilterCriteria | None = None
    """None: the function sees everything."""
    stream: StreamSettings | None = None
    queue: QueueSettings | None = None
    on_failure: DestinationConfig | None = None
    on_success: DestinationConfig | None = None
    dead_letter_target: SourceConfig | None = None
    """Where a queue's dead letters go (D22)."""
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with a configuration, or allowed and dangerous: `FILE:LINE: path: problem; allowed`."""

    file: str
    line: int
    path: str
    problem: str
    allowed: str = ""

    def __str__(self) -> str:
        """Write it as a compiler would. Line 0 is no line, an empty path the whole file."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        what = f"{self.path}: {self.problem}" if self.path else self.problem
        return f"{where}: {what}" + (f"; {self.allowed}" if self.allowed else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A whole configuration. `masked` is it as a tree of plain values, defaults included and secrets masked."""

    name: str
    file: Path
    folder: Path
    settings: NodeSettings
    sources: Mapping[str, SourceConfig]
    functions: Mapping[str, FunctionConfig]
    mappings: tuple[MappingConfig, ...]
    warnings: tuple[Finding, ...]
    masked: Mapping[str, Any]
    secrets: frozenset[str]
    """Every secret text, to be masked in logs and messages (`mask_function` of this package)."""
    problems: tuple[Finding, ...] = ()
    """What is wrong with this installation and not with the file: a source's plugin that can not be loaded. The
    mappings concerned can not run, and their sources say why when opened; everything else can."""
