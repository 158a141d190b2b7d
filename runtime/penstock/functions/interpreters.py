"""Which Python runs a function."""

import os
import re
import shutil
import sys
from pathlib import Path

from penstock.api import FunctionSpec, PenstockError

_AWS_NAME = re.compile(r"python3\.\d+")


def find_interpreter(spec: FunctionSpec) -> Path:
    """Find a function's interpreter: `Python` (or `bin/python` in it), else what `Runtime` names, else the node's.

    Raises PenstockError, which names the setting, when it is not there.
    """
    if spec.python is not None:
        found = spec.python / "bin" / "python" if spec.python.is_dir() else spec.python
        if not found.exists():
            raise PenstockError(f"Python: {spec.python} is not there; give an interpreter or a virtual environment")
        if not os.access(found, os.X_OK):
            raise PenstockError(f"Python: {found} can not be run; give an interpreter or a virtual environment")
        return found
    own = Path(sys.executable)
    if _AWS_NAME.fullmatch(spec.runtime) and spec.runtime != f"python3.{sys.version_info.minor}":
        named = shutil.which(spec.runtime)
        if named is None:
            raise PenstockError(f"Runtime: {spec.runtime} is not on the PATH; install it, or name one by Python:")
        return Path(named)
    if not spec.runtime.startswith("python"):
        raise PenstockError(f"Runtime: {spec.runtime} is not supported yet; use python")
    return own
