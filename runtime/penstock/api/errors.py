"""The errors that cross the wall between a plugin and the engine.

Each says who is to blame and whether trying again helps. A function that fails is not an error of ours: it is a
`penstock.api.FunctionFailed`, a value.
"""


class PenstockError(Exception):
    """Anything that Penstock raises on purpose. Its text is one sentence for the person who runs the node."""


class SourceError(PenstockError):
    """A source, or the broker behind it, did not do what was asked.

    The engine retries every one of these with back-off while the node runs, since brokers get mended while nodes run;
    `is_retryable` is False where retrying alone can not help, so that `validate --connect`, `send` and
    `up --until-idle` end at once.
    """

    is_retryable = True


class SourceUnavailable(SourceError):
    """The broker can not be reached, or answers that it can not serve now. Try again."""


class SourceDenied(SourceError):
    """The broker refused us: credentials, certificate, or a missing right. Somebody has to change something."""

    is_retryable = False


class SourceMissing(SourceError):
    """The topic, queue or file is not there, and nothing we do may create it by accident."""

    is_retryable = False


class SourceBroken(SourceError):
    """What is there can not be used: another type, a newer format than this reader knows, a damaged file."""

    is_retryable = False


class CommitRefused(SourceError):
    """A checkpoint came too late: the shard is no longer ours. Nothing was changed."""

    is_retryable = False


class StillRead(SourceError):
    """A position was not moved, since somebody reads there. The text says who, as far as the broker tells."""

    is_retryable = False


class ReceiptExpired(SourceError):
    """A receipt no longer stands for a message that we hold. The message will be delivered again."""

    is_retryable = False


class RecordRefused(SourceError):
    """A destination refused one record for good: too large, or not a kind of value that it takes."""

    is_retryable = False

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        """Say why, and whether the size was the reason (a smaller document may then be accepted)."""
        super().__init__(message)
        self.too_large = too_large


class SettingsError(PenstockError):
    """A setting that is wrong, named by its path below the plugin's own settings.

    Example: `SettingsError("Sasl.Mechanism", "is 'SCRAM'", allowed="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")`.
    """

    def __init__(self, path: str, problem: str, *, allowed: str | None = None) -> None:
        """Take the setting's dotted path, what is wrong with it, and what would be right."""
        super().__init__(f"{path}: {problem}" + (f"; {allowed}" if allowed else ""))
        self.path = path
        self.problem = problem
        self.allowed = allowed
