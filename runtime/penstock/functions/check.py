"""Checks of a function: what can be told without running it, and what only an import tells."""

import importlib.util
import json
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penstock.api import FunctionFailed, FunctionSpec, NotRun, PenstockError
from penstock.functions.host import FunctionHost
from penstock.functions.interpreters import find_interpreter

_COMPILE_WITHIN_S: Final = 20.0

# It runs on the function's interpreter, whose grammar may be newer than the node's.
_COMPILE_SCRIPT: Final = """
import json, sys, warnings
warnings.simplefilter("ignore")
try:
    compile(open(sys.argv[1], "rb").read(), sys.argv[1], "exec", dont_inherit=True)
except (SyntaxError, ValueError) as error:
    print(json.dumps([getattr(error, "msg", None) or str(error), getattr(error, "lineno", None)]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeProblem:
    """One thing that is wrong with a function's code. `setting` is the key to blame; `file` and `line` a place."""

    setting: str
    problem: str
    allowed: str = ""
    file: Path | None = None
    line: int | None = None

    def __str__(self) -> str:
        """Write it as one sentence."""
        place = f" ({self.file}:{self.line})" if self.file and self.line else ""
        return f"{self.setting}: {self.problem}{place}" + (f"; {self.allowed}" if self.allowed else "")


def check_code(spec: FunctionSpec) -> list[CodeProblem]:
    """Check what needs no run of the function: its folder, interpreter, layers, handler's file and syntax.

    A file that is not there is looked for where an import would: the code, `PYTHONPATH`, the layers, the interpreter.
    """
    found = [
        CodeProblem(setting="Layers", problem=f"{layer} is not a folder") for layer in spec.layers if not layer.is_dir()
    ]
    interpreter: Path | None = None
    try:
        interpreter = find_interpreter(spec)
    except PenstockError as error:
        setting, _, problem = str(error).partition(": ")
        found.append(CodeProblem(setting=setting, problem=problem))
    if not spec.code.is_dir():
        what = "is not a folder" if spec.code.exists() else "is not there"
        found.append(CodeProblem(setting="CodeUri", problem=f"{spec.code} {what}", allowed="a folder with the code"))
        return found
    module, _, function = spec.handler.rpartition(".")
    if not module or not function:
        return [*found, CodeProblem(setting="Handler", problem=f"is '{spec.handler}'", allowed="module.function")]
    relative = module.replace(".", "/")
    source = _find_source(spec, relative)
    if source is not None:
        if interpreter is not None and source.suffix == ".py":
            found.extend(_check_syntax(source, None if interpreter == Path(sys.executable) else interpreter))
    elif not _is_installed(relative.split("/")[0], interpreter):
        found.append(
            CodeProblem(
                setting="Handler",
                problem=f"is '{spec.handler}', but there is no {relative}.py in {spec.code}",
                allowed="module.function of a file below CodeUri",
            )
        )
    return found


async def check_import(host: FunctionHost, spec: FunctionSpec) -> str | None:
    """Import a function in an environment, without invoking it; returns what went wrong, in a sentence."""
    executor = host.executor(spec, environments_max=1)
    try:
        await executor.open()
        match await executor.check():
            case FunctionFailed(error_type=kind, error_message=message):
                return f"{kind}: {message}"
            case NotRun(reason=reason):
                return reason
            case None:
                return None
    except PenstockError as error:
        return str(error)
    finally:
        await host.release(executor)


def _find_source(spec: FunctionSpec, relative: str) -> Path | None:
    folders = [spec.code, *(Path(entry) for entry in spec.environment.get("PYTHONPATH", "").split(":") if entry)]
    for layer in spec.layers:
        folders += [layer / "python", layer, *layer.glob("python/lib/python3*/site-packages")]
    for folder in folders:
        for candidate in (folder / f"{relative}.py", folder / relative / "__init__.py"):
            if candidate.is_file():
                return candidate
        compiled = next(folder.glob(f"{relative}.*.so"), None)
        if compiled is not None:
            return compiled
    return None


def _is_installed(package: str, interpreter: Path | None) -> bool:
    if interpreter is None:
        # Reported already; what it would find is not known.
        return True
    if interpreter == Path(sys.executable):
        return importlib.util.find_spec(package) is not None
    places = interpreter.parent.parent.glob("lib/python3*/*-packages")
    return any((place / package).is_dir() or (place / f"{package}.py").is_file() for place in places)


def _check_syntax(source: Path, interpreter: Path | None) -> list[CodeProblem]:
    error = _compile_here(source) if interpreter is None else _compile_there(source, interpreter)
    if error is None:
        return []
    message, line = error
    return [CodeProblem(setting="Handler", problem=f"syntax error: {message}", file=source, line=line)]


def _compile_here(source: Path) -> tuple[str, int | None] | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(source.read_bytes(), str(source), "exec", dont_inherit=True)
    except SyntaxError as error:
        return error.msg, error.lineno
    except ValueError as error:
        return str(error), None
    return None


def _compile_there(source: Path, interpreter: Path) -> tuple[str, int | None] | None:
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that the configuration names
            [interpreter, "-I", "-S", "-c", _COMPILE_SCRIPT, str(source)],
            capture_output=True,
            timeout=_COMPILE_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        # What is wrong with the interpreter is said when its template is started.
        return None
    if not done.stdout.strip():
        return None
    message, line = json.loads(done.stdout)
    return message, line
