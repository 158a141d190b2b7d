"""Says in one line what went wrong in a plugin's own code, and where."""

import importlib.metadata
import sys
import traceback
from pathlib import Path
from types import ModuleType

from penstock.plugins.signatures import PluginError

_NOT_THEIRS = {Path(__file__).parent, Path(importlib.__file__).parent, Path(importlib.metadata.__file__).parent}


def blame(error: BaseException, module_name: str) -> str:
    """Write an exception as `Type: message (file:line)`, the line being the plugin's own where one is on the way."""
    if isinstance(error, PluginError):
        return str(error)
    said = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    place = _own_line(error, module_name)
    return f"{text} ({place})" if place else text


def _own_line(error: BaseException, module_name: str) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and Path(frame.filename).parent not in _NOT_THEIRS
    ]
    own = [frame for frame in frames if _belongs(frame.filename, module_name)]
    chosen = (own or frames)[-1:]
    return f"{chosen[0].filename}:{chosen[0].lineno}" if chosen else ""


def _belongs(filename: str, module_name: str) -> bool:
    root = module_name.partition(".")[0]
    module: ModuleType | None = sys.modules.get(root)
    if module is not None and getattr(module, "__file__", None):
        folder = Path(str(module.__file__)).parent
        if (folder / "__init__.py") == Path(str(module.__file__)):
            return folder in Path(filename).parents
    return Path(filename).stem == module_name.rpartition(".")[2]
