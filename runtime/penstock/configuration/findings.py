"""Everything that is wrong with a configuration, gathered, so that one run names all of it."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from penstock.api import PenstockError
from penstock.configuration.project import Finding


class ConfigurationError(PenstockError):
    """A configuration that can not be used. `findings` are all that was found, in the order of the file."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        """Take what was found; the text has one line for each."""
        self.findings = tuple(findings)
        super().__init__("\n".join(map(str, self.findings)))


class Findings:
    """A collector of errors and warnings of one file."""

    def __init__(self, file: str) -> None:
        """Name the file as the user did."""
        self.file = file
        self._errors: list[Finding] = []
        self._warnings: list[Finding] = []
        self._problems: list[Finding] = []
        self._notes: dict[str, str] = {}

    def error(self, line: int, path: str, problem: str, allowed: str = "", *, file: str | None = None) -> None:
        """Add what is wrong; the file is another one where the fault lies in a function's code."""
        finding = Finding(file=file or self.file, line=line, path=path, problem=problem, allowed=allowed)
        if finding not in self._errors:
            self._errors.append(finding)

    def warning(self, line: int, path: str, problem: str, allowed: str = "") -> None:
        """Add what is allowed and dangerous."""
        self._warnings.append(Finding(file=self.file, line=line, path=path, problem=problem, allowed=allowed))

    def problem(self, line: int, path: str, problem: str, allowed: str = "") -> None:
        """Add what is wrong with this installation and not with the file: a plugin that can not be loaded."""
        self._problems.append(Finding(file=self.file, line=line, path=path, problem=problem, allowed=allowed))

    def note(self, path: str, text: str) -> None:
        """Add how a setting came to the value that it has, where the file says another one."""
        self._notes[path] = text

    def notes(self) -> dict[str, str]:
        """List the notes by the path of their setting."""
        return dict(self._notes)

    def warnings(self, mask: Callable[[str], str]) -> tuple[Finding, ...]:
        """List the warnings by line, with secrets masked."""
        return tuple(_masked(each, mask) for each in sorted(self._warnings, key=lambda each: each.line))

    def problems(self, mask: Callable[[str], str]) -> tuple[Finding, ...]:
        """List the problems of the installation by line, with secrets masked."""
        return tuple(_masked(each, mask) for each in sorted(self._problems, key=lambda each: each.line))

    def count(self) -> int:
        """Tell how many errors there are so far."""
        return len(self._errors)

    def raise_errors(self, mask: Callable[[str], str]) -> None:
        """Raise ConfigurationError if anything is wrong: the file's own findings first, by line; secrets masked."""
        if self._errors:
            in_order = sorted(self._errors, key=lambda each: (each.file != self.file, each.line))
            raise ConfigurationError(_masked(each, mask) for each in in_order)


def _masked(finding: Finding, mask: Callable[[str], str]) -> Finding:
    return replace(finding, problem=mask(finding.problem), allowed=mask(finding.allowed))
