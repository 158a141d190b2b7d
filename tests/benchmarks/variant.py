"""The kinds of function that a path is measured with: one reads JSON by the standard library, one by orjson."""

import os
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

CODE = Path(__file__).with_name("function")


@dataclass(frozen=True, slots=True)
class Variant:
    """A function's handler and interpreter. Bootstrap and function use orjson where the interpreter has it."""

    name: str
    handler: str
    python: Path


def variants(folder: Path) -> tuple[Variant, ...]:
    """Make an interpreter without packages in a folder, and give it and our own, which has orjson."""
    does = os.environ.get("FUNCTION", "decode")
    if does not in {"decode", "touch"}:
        raise SystemExit(f"FUNCTION is '{does}'; it is decode or touch")
    venv.create(folder / "python", symlinks=True)
    handler = f"bench_function.{does}"
    return (
        Variant("json", handler, folder / "python" / "bin" / "python"),
        Variant("orjson", handler, Path(sys.executable)),
    )
