"""The section `Functions`: each function over `Globals`, with absolute paths and its code looked at."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from penstock.api import FunctionSpec, Setting
from penstock.configuration.findings import Findings
from penstock.configuration.names import FUNCTION_NAME, FUNCTION_NAME_ALLOWED, function_arn
from penstock.configuration.project import FunctionConfig, NodeSettings
from penstock.configuration.tree import Entry, Section
from penstock.configuration.validator import Part, Validator
from penstock.configuration.vocabulary import FUNCTION, NOT_YET
from penstock.functions.check import CodeProblem, check_code

_RUNTIME = re.compile(r"python(3\.\d{1,2})?\Z")
_RUNTIME_LATER = re.compile(r"nodejs|provided|java|dotnet|ruby|go")
_HANDLER = re.compile(r"[^\s./]+([./][^\s./]+)*\.[^\s./]+\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED_VARIABLES = re.compile(
    r"(_HANDLER|_X_AMZN_TRACE_ID|LAMBDA_TASK_ROOT|LAMBDA_RUNTIME_DIR|AWS_REGION|AWS_DEFAULT_REGION|AWS_EXECUTION_ENV"
    r"|AWS_LAMBDA_.*)\Z"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Function:
    """A function, what is shown of it, and its events' tree. `config` is None for one that is wrong."""

    config: FunctionConfig | None
    timeout_ms: int
    part: Part
    events: Entry | None


class FunctionReader:
    """Reads the functions of one file."""

    def __init__(self, validator: Validator, node: NodeSettings, *, folder_shown: Path) -> None:
        """Take the node's region and account, and the file's folder as the user named it, for messages."""
        self._validator = validator
        self._findings: Findings = validator.findings
        self._node = node
        self._folder_shown = folder_shown
        self._defaults = Part("Globals.Function", 0)

    def read_globals(self, section: Section) -> None:
        """Check `Globals: {Function: …}`, which holds defaults for every function, as in a SAM template."""
        table = (Setting("Function", "any"),)
        for name, entry in self._validator.section(section, table, path="Globals", line=section.line).origins.items():
            self._defaults = self._validator.section(entry.node, FUNCTION, path=f"Globals.{name}", line=entry.line)

    def read(self, section: Section) -> dict[str, Function]:
        """Check every function."""
        return {name: self._function(name, entry) for name, entry in section.entries.items()}

    def _function(self, name: str, entry: Entry) -> Function:
        path = f"Functions.{name}"
        errors_before = self._findings.count()
        if not FUNCTION_NAME.match(name):
            self._findings.error(entry.line, path, f"the name is {name!r}", FUNCTION_NAME_ALLOWED)
        events: Entry | None = None
        node = entry.node
        if isinstance(node, Section):
            events = node.entries.get("Events")
            node = Section({key: each for key, each in node.entries.items() if key != "Events"}, node.line)
        else:
            self._findings.error(entry.line, path, "is not an object", "CodeUri, Handler and other settings")
            return Function(None, 3000, Part(path, entry.line), None)
        own = self._validator.section(node, (*FUNCTION, Setting("Events", "any")), path=path, line=entry.line)
        part = self._validator.complete(_merged(own, self._defaults), FUNCTION)
        config = self._config(name, part)
        wrong = self._findings.count() > errors_before
        return Function(None if wrong else config, part.values["Timeout"] * 1000, part, events)

    def _config(self, name: str, part: Part) -> FunctionConfig:
        values = part.values
        environment = values["Environment"] or {"Variables": {}, "Inherit": ()}
        self._check_variables(part, environment)
        spec = FunctionSpec(
            name=name,
            handler=values["Handler"] or "",
            code=values["CodeUri"] or self._validator.folder,
            arn=function_arn(name, region=self._node.region, account_id=self._node.account_id),
            region=self._node.region,
            runtime=self._runtime(part),
            python=values["Python"],
            layers=tuple(Path(os.path.normpath(self._validator.folder / each)) for each in values["Layers"]),
            timeout_ms=values["Timeout"] * 1000,
            memory_mb=values["MemorySize"],
            environment=environment["Variables"],
            inherit=tuple(environment["Inherit"]),
            preload=values["Preload"],
        )
        self._check_code(spec, part)
        return FunctionConfig(
            spec=spec,
            concurrency_max=values["ReservedConcurrentExecutions"],
            line=part.line,
            handler_line=part.place("Handler")[0],
        )

    def _runtime(self, part: Part) -> str:
        runtime: str = part.values["Runtime"]
        if _RUNTIME.match(runtime):
            return runtime
        later = _RUNTIME_LATER.match(runtime)
        problem = f"the runtime {runtime!r} {NOT_YET}" if later else f"the runtime {runtime!r} is not known"
        self._findings.error(*part.place("Runtime"), problem, "python, or python3.12 and so on")
        return "python"

    def _check_code(self, spec: FunctionSpec, part: Part) -> None:
        has_handler = _HANDLER.match(spec.handler) is not None
        if spec.handler and not has_handler:
            allowed = "module.function, such as app.handler for the function handler of app.py"
            self._findings.error(*part.place("Handler"), f"is {spec.handler!r}", allowed)
        if spec.code.is_file() and spec.code.suffix.lower() == ".zip":
            self._findings.error(*part.place("CodeUri"), f"a zip file {NOT_YET}", "a folder")
        elif part.values["CodeUri"]:
            for problem in check_code(spec if has_handler else dataclasses.replace(spec, handler="unknown.handler")):
                if has_handler or problem.setting != "Handler":
                    self._add(problem, part)

    def _add(self, problem: CodeProblem, part: Part) -> None:
        line, path = part.place(problem.setting)
        if problem.file is None:
            self._findings.error(line, path, problem.problem, problem.allowed)
        else:
            file = self._shown(problem.file)
            self._findings.error(problem.line or 1, path, problem.problem, problem.allowed, file=file)

    def _check_variables(self, part: Part, environment: dict[str, Any]) -> None:
        for name in environment["Variables"]:
            place = part.place("Environment", "Variables", name)
            if not _VARIABLE.match(name):
                self._findings.error(*place, "is no name of a variable", "letters, digits and _, no digit first")
            elif _RESERVED_VARIABLES.match(name):
                self._findings.error(*place, "is set by the runtime itself", "choose another name")
        for number, name in enumerate(environment["Inherit"]):
            if not _VARIABLE.match(name):
                place = part.place("Environment", "Inherit", str(number))
                self._findings.error(*place, f"{name!r} is no name of a variable", "letters, digits and _")

    def _shown(self, file: Path) -> str:
        """Name a file of the function's as the user would, beside the configuration as it was named."""
        folder = self._validator.folder
        return str(self._folder_shown / file.relative_to(folder)) if file.is_relative_to(folder) else str(file)


def _merged(own: Part, defaults: Part) -> Part:
    """Put a function over the defaults: variables are joined, layers of the defaults come first."""
    merged = own.over(defaults)
    for form in ("values", "shown"):
        ours, theirs, result = getattr(own, form), getattr(defaults, form), getattr(merged, form)
        if "Layers" in ours and "Layers" in theirs:
            result["Layers"] = (*theirs["Layers"], *ours["Layers"])
        if "Environment" in ours and "Environment" in theirs:
            result["Environment"] = {
                "Variables": theirs["Environment"]["Variables"] | ours["Environment"]["Variables"],
                "Inherit": (*theirs["Environment"]["Inherit"], *ours["Environment"]["Inherit"]),
            }
    return merged
