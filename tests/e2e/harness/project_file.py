"""The configuration of a project that tests change between two runs of a node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FUNCTION = "keeper"


class ProjectFile:
    """A folder with a `penstock.yaml`, of one function and one mapping."""

    def __init__(self, folder: Path, *, event: str) -> None:
        self.folder = folder
        self.file = folder / "penstock.yaml"
        self._event = event

    def write(self, configuration: dict[str, Any]) -> None:
        """Replace the whole configuration."""
        self.file.write_text(yaml.safe_dump(configuration, sort_keys=False))

    def change(self, **event: Any) -> None:
        """Set other settings of its mapping, for the node that is started next."""
        configuration = yaml.safe_load(self.file.read_text())
        configuration["Functions"][FUNCTION]["Events"][self._event] |= event
        self.write(configuration)

    def change_all(self, **event: Any) -> None:
        """Set other settings of all mappings, where there are several."""
        configuration = yaml.safe_load(self.file.read_text())
        for each in configuration["Functions"][FUNCTION]["Events"].values():
            each.update(event)
        self.write(configuration)

    def extend(self, **sections: dict[str, Any]) -> None:
        """Add sources or functions: `extend(Sources={"letters": {…}})`."""
        configuration = yaml.safe_load(self.file.read_text())
        for section, entries in sections.items():
            configuration.setdefault(section, {}).update(entries)
        self.write(configuration)
