"""The section `Settings`: what belongs to the node."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from penstock.configuration.project import NodeSettings
from penstock.configuration.tree import Section
from penstock.configuration.validator import Part, Validator
from penstock.configuration.vocabulary import NODE_SETTINGS

ENVIRONMENTS_MIN = 16
ENVIRONMENTS_PER_CORE = 4
DATA_DIR_NAME = ".penstock"

_LISTEN = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})\Z")
_REGION = re.compile(r"[a-z0-9-]{1,64}\Z")
_ACCOUNT = re.compile(r"\d{12}\Z")
_PORT_MAX = 65_535


def read_node_settings(
    validator: Validator, section: Section, line: int, *, data_dir: Path | None
) -> tuple[NodeSettings, Part]:
    """Check the section; the data directory is the option's, the environment's, the file's or beside the file."""
    part = validator.complete(
        validator.section(section, NODE_SETTINGS, path="Settings", line=line),
        NODE_SETTINGS,
    )
    values = {setting.name: setting.default for setting in NODE_SETTINGS} | part.values
    _check_texts(validator, part, values)
    concurrency_max = values["MaximumConcurrency"] or default_concurrency()
    chosen = data_dir or _data_dir(validator.environ, values["DataDir"], validator.folder)
    part.shown.update({"MaximumConcurrency": concurrency_max, "DataDir": str(chosen)})
    settings = NodeSettings(
        concurrency_max=concurrency_max,
        region=values["Region"],
        account_id=values["AccountId"],
        listen=values["Listen"],
        data_dir=Path(os.path.abspath(chosen)),  # noqa: PTH100 - a link to the directory stays as the user named it
        log_format=values["LogFormat"],
        drain_timeout_s=float(values["DrainTimeoutSeconds"]),
        buffer_bytes_max=values["BufferMegabytes"] * 1_048_576,
    )
    return settings, part


def default_concurrency() -> int:
    """Give the environments a node may have where nothing is said: four per core, and 16 at least."""
    return max(ENVIRONMENTS_MIN, ENVIRONMENTS_PER_CORE * len(os.sched_getaffinity(0)))


def is_listen(text: str) -> bool:
    """Tell whether a text is HOST:PORT, or `none`."""
    found = _LISTEN.match(text)
    return text == "none" or (found is not None and int(found[2]) <= _PORT_MAX)


def _check_texts(validator: Validator, part: Part, values: dict[str, object]) -> None:
    for name, is_right, allowed in (
        ("Listen", is_listen, "HOST:PORT such as 127.0.0.1:3001, or none"),
        ("Region", _REGION.match, "letters, digits and - such as us-east-1"),
        ("AccountId", _ACCOUNT.match, "twelve digits"),
    ):
        value = str(values[name])
        if not is_right(value):
            validator.findings.error(*part.place(name), f"is {value!r}", allowed)


def _data_dir(environ: Mapping[str, str], configured: Path | None, folder: Path) -> Path:
    if environ.get("PENSTOCK_DATA_DIR"):
        return Path(environ["PENSTOCK_DATA_DIR"])
    if configured is not None:
        return configured
    # systemd gives several directories with colons between them; the first is ours.
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(given) if given else folder / DATA_DIR_NAME
